//! What a posterior must keep, whatever the runs are.

use proptest::prelude::*;

use super::compare::NOISE;
use super::near::{Posterior, SHARED, Said, Spot, nearness};
use super::*;
use crate::perf::testing::{arch, configuration, gpu, shape};
use crate::perf::{Layout, benchmark, curve, layouts};
use crate::spec::{EngineName, KvCacheDtype, Quantization};

fn deployment(model: &str, accelerator: &str, tp: u32) -> Deployment {
    Deployment {
        model: model.into(),
        accelerator: accelerator.into(),
        engine: EngineName::Vllm,
        version: (0, 19),
        layout: Layout { tp, pp: 1, dp: 1, ep: 1 },
        precision: Quantization::Bf16,
        kv_cache: KvCacheDtype::Bf16,
    }
}

fn spot(model: &str, accelerator: &str, tp: u32, clients: f64) -> Spot {
    Spot {
        deployment: deployment(model, accelerator, tp),
        kind: Kind::Seen,
        load: load(clients, 1024.0, 256.0),
    }
}

fn a_run(d: &Deployment, clients: f64, factor: (f64, f64), part: u32) -> Run {
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    let mut run = Run {
        file: format!("{part}.json"),
        sha256: "0".repeat(64),
        part,
        tool: "test".into(),
        date: "2026-11-20".into(),
        deployment: d.clone(),
        load: Load::Closed { concurrency: clients },
        input: 1024.0,
        output: 256.0,
        fixed_lengths: None,
        requests: 100,
        ttft: Figure { ms: 1.0, error: 0.0 },
        tpot: Figure { ms: 1.0, error: 0.0 },
        accepted: false,
    };
    let found = compare(&run, &a, &g);
    run.ttft.ms = found.ttft.unwrap().predicted_ms * factor.0;
    run.tpot.ms = found.tpot.unwrap().predicted_ms * factor.1;
    run
}

fn calibrator(runs: &[Run]) -> Calibrator {
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    let ordered = Calibration::new("", "", runs.to_vec());
    Calibrator::new(
        ordered.runs(),
        |id| Some(&a).filter(|a| a.id == id),
        |id| Some(&g).filter(|g| g.id == id),
    )
}

fn own() -> Deployment {
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    Deployment::of(&configuration(&a, &g, 8))
}

#[test]
fn the_table_is_whole() {
    for metric in [Metric::Tpot, Metric::Ttft] {
        for kind in [Kind::Seen, Kind::NewModel, Kind::NewAccelerator] {
            let n = nearness(metric, kind);
            let sum: f64 = n.share.iter().sum();
            assert!((sum - 1.0).abs() < 0.002, "{metric:?} {kind:?}: {n:?}");
            assert!(n.share.iter().all(|s| *s >= 0.0) && n.scale > 0.1, "{metric:?} {kind:?}: {n:?}");
        }
    }
    assert_eq!(SHARED.len(), 6);
}

#[test]
fn nearer_is_never_less_alike_and_nothing_shared_is_nothing() {
    let here = spot("m", "a", 1, 16.0);
    for metric in [Metric::Tpot, Metric::Ttft] {
        let with = |s: &Spot| here.correlation(s, metric);
        assert!((with(&here) - 1.0).abs() < 0.002);
        let mut last = 1.1;
        for clients in [16.0, 20.0, 32.0, 64.0, 512.0] {
            let now = with(&spot("m", "a", 1, clients));
            assert!(now < last, "{clients}");
            last = now;
        }
        assert!(with(&spot("m", "a", 2, 16.0)) <= last);
        assert_eq!(with(&spot("other", "b", 1, 16.0)), 0.0);
        let mut engine = here.clone();
        engine.deployment.engine = EngineName::Sglang;
        assert_eq!(with(&engine), 0.0);
    }
}

/// By hand, one run of the very spot: K = s^2, posterior mean s^2 / (s^2 + n^2) d, variance
/// s^2 n^2 / (s^2 + n^2). With s = 0.2, n = 0.05, d = 0.17: 0.16 and 0.04 * 0.0025 / 0.0425 = 0.002353.
#[test]
fn one_run_is_what_two_lines_of_algebra_say() {
    let here = spot("m", "a", 1, 16.0);
    let said = Said { spot: here.clone(), spread: 0.2, noise: 0.05, deviation: 0.17 };
    let (mean, variance) = Posterior::new(Metric::Tpot, vec![said]).at(Metric::Tpot, &here, 0.2);
    // The shares in the table are rounded: their sum, and so the correlation, is within 0.1 % of 1.
    assert!((mean - 0.16).abs() < 1e-3 && (variance - 0.002353).abs() < 1e-4, "{mean} {variance}");
}

#[test]
fn without_runs_or_near_ones_a_curve_stays_as_it_is_to_the_bit() {
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    let c = configuration(&a, &g, 8);
    let plain = curve(&c, &shape(1024.0, 256.0)).unwrap();
    assert_eq!(Calibrator::default().apply(plain.clone(), &c, None), plain);
    let far = calibrator(&[a_run(&own(), 16.0, (1.3, 1.3), 0)]);
    let (mut stranger, mut other) = (arch("qwen3-32b"), gpu("h100"));
    stranger.id = "nobody/else".into();
    other.id = "another".into();
    let c = configuration(&stranger, &other, 4);
    let plain = curve(&c, &shape(1024.0, 256.0)).unwrap();
    assert_eq!(far.apply(plain.clone(), &c, None), plain);
}

#[test]
fn many_consistent_runs_narrow_to_the_noise_and_move_the_figure() {
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    let c = configuration(&a, &g, 8);
    let plain = curve(&c, &shape(1024.0, 256.0)).unwrap();
    let most = f64::from(plain.max_batch);
    for factor in [0.8, 1.25] {
        let mut runs = Vec::new();
        for (i, clients) in
            [most / 8.0, most / 4.0, most / 2.0, most, most / 3.0, most / 1.5].iter().enumerate()
        {
            for repeat in 0..8 {
                // Repeats that agree in all digits would be one run.
                let factor = factor * (1.0 + 1e-4 * (f64::from(repeat) - 3.5));
                runs.push(a_run(&own(), *clients, (factor, factor), i as u32 * 8 + repeat));
            }
        }
        let found = calibrator(&runs).apply(plain.clone(), &c, None);
        let noise = NOISE[0];
        assert!(found.tpot_band.sigma < plain.tpot_band.sigma, "{:?}", found.tpot_band);
        assert!(
            (found.tpot_band.sigma / noise - 1.0).abs() < 0.15,
            "{} against {noise}",
            found.tpot_band.sigma
        );
        // Figure and band together expect what was measured: the prediction's own centre is forgotten.
        let centre = found.beta_s / plain.beta_s * math::exp(found.tpot_band.mu);
        assert!((centre / factor - 1.0).abs() < 0.03, "{factor}: {centre}");
        assert!(found.notes[0].starts_with("calibrated from 48 runs of 2026-11-20: "), "{:?}", found.notes);
        assert_eq!(found.evidence, Evidence::Calibrated);
    }
}

#[test]
fn a_first_token_measured_shorter_never_beats_the_engines_times() {
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    let c = configuration(&a, &g, 8);
    let plain = curve(&c, &shape(1024.0, 256.0)).unwrap();
    let most = f64::from(plain.max_batch);
    let runs = |ttft| [a_run(&own(), most / 4.0, (ttft, 1.0), 0), a_run(&own(), most, (ttft, 1.0), 1)];
    let (short, long) = (calibrator(&runs(0.5)), calibrator(&runs(2.0)));
    let (short, long) = (short.apply(plain.clone(), &c, None), long.apply(plain.clone(), &c, None));
    assert_eq!(short.ttft_floor_s, long.ttft_floor_s);
    assert!(short.ttft_band.factor(0.8) < plain.ttft_band.factor(0.8));
    assert!(long.ttft_band.mu > plain.ttft_band.mu + 0.3, "{:?}", long.ttft_band);
}

#[test]
fn what_its_owner_stands_by_counts_at_home_and_nowhere_else() {
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    let home = configuration(&a, &g, 8);
    let most = f64::from(curve(&home, &shape(1024.0, 256.0)).unwrap().max_batch);
    let mut run = a_run(&own(), most / 2.0, (1.0, 6.0), 0);
    run.accepted = true;
    let found = calibrator(&[run]);
    assert!(found.compared()[0].tpot.unwrap().contradicts());
    let plain = curve(&home, &shape(1024.0, 256.0)).unwrap();
    let applied = found.apply(plain.clone(), &home, None);
    assert!(applied.beta_s > plain.beta_s * 1.2);
    assert!(
        applied.notes.iter().any(|n| n.starts_with(CONTRADICTED) && n.ends_with("these figures follow it"))
    );
    for layout in layouts(&a, 8, 1).into_iter().filter(|l| *l != home.layout) {
        let c = Configuration { layout, ..home };
        let Ok(plain) = curve(&c, &shape(1024.0, 256.0)) else { continue };
        assert_eq!(found.apply(plain.clone(), &c, None), plain, "{layout}");
    }
}

#[test]
fn under_the_very_load_of_an_accepted_run_the_figure_is_the_measured_one_and_says_so() {
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    let home = configuration(&a, &g, 8);
    let mut run = a_run(&own(), 32.0, (1.0, 6.0), 0);
    run.accepted = true;
    let (ttft, tpot) = (run.ttft.ms, run.tpot.ms);
    let found = calibrator(&[run]);
    let at = |found: &Calibrator, input: f64, clients: f64| {
        let conditions = Conditions { fixed_lengths: None, build: None };
        let plain = benchmark(&home, &shape(input, 256.0), clients, &conditions).unwrap();
        (found.apply_to_benchmark(plain.clone(), &home, &shape(input, 256.0), clients), plain)
    };
    let noted = |notes: &[String]| -> Vec<String> {
        notes.iter().filter(|n| n.starts_with(CONTRADICTED)).cloned().collect()
    };
    let (there, _) = at(&found, 1024.0, 32.0);
    assert_eq!(there.evidence, Evidence::Measured);
    assert!((there.tpot_s * 1e3 / tpot - 1.0).abs() < 1e-9 && there.tpot_band.mu == 0.0, "{there:?}");
    assert!((there.ttft_s * 1e3 / ttft - 1.0).abs() < 1e-9 && there.ttft_band.mu == 0.0, "{there:?}");
    let told = "accepted contradiction: the run 0.json (2026-11-20; 32 in flight, 1024 + 256 tokens) measured TPOT 6.00 \
                times and TTFT 1.00 times what is predicted without it; this is what was measured";
    assert_eq!(noted(&there.notes), [told]);
    assert!(there.notes[0].contains("tokens take 600 % of what is predicted"), "{:?}", there.notes);
    // Another load or length is what the run says about it, and no measurement.
    for (input, clients) in [(1024.0, 40.0), (1100.0, 32.0)] {
        let (near, plain) = at(&found, input, clients);
        assert_eq!(near.evidence, Evidence::Calibrated);
        assert!(near.tpot_s > plain.tpot_s && near.tpot_s < there.tpot_s, "{near:?}");
        assert!(noted(&near.notes)[0].ends_with("; this figure follows it"), "{:?}", near.notes);
    }
    // A run that fits its prediction corrects it, as before.
    let fitting = calibrator(&[a_run(&own(), 32.0, (1.0, 1.1), 0)]);
    let (there, _) = at(&fitting, 1024.0, 32.0);
    assert_eq!((there.evidence, noted(&there.notes).len()), (Evidence::Calibrated, 0));
    // Where it makes the loads of a curve differ by more than the band, none of them can follow it, and that is told.
    let plain = curve(&home, &shape(1024.0, 256.0)).unwrap();
    let mut far = a_run(&own(), f64::from(plain.max_batch), (30.0, 30.0), 0);
    far.accepted = true;
    let told = calibrator(&[far]).apply(plain.clone(), &home, None);
    let after = noted(&told.notes);
    assert_eq!((after.len(), told.beta_s), (1, plain.beta_s), "{after:?}");
    assert!(after[0].ends_with("near that load figures follow it, and these do not"), "{after:?}");
}

#[test]
fn a_run_is_one_however_often_and_wherever_it_is_written() {
    let run = a_run(&own(), 32.0, (1.0, 1.1), 0);
    let other = |change: fn(&mut Run)| {
        let mut other = Run { file: "copy.json".into(), sha256: "1".repeat(64), part: 4, ..run.clone() };
        change(&mut other);
        other
    };
    let kept = |b: Run| {
        let all = Calibration::new("", "", vec![run.clone(), b]);
        (all.runs().len(), all.repeated)
    };
    // Formatted otherwise, without its spreads, its lists of lengths or its date.
    assert_eq!(kept(other(|_| ())), (1, 1));
    assert_eq!(kept(other(|r| r.tpot.ms *= 1.0 + 1e-9)), (1, 1));
    assert_eq!(kept(other(|r| r.tpot.error = 0.02)), (1, 1));
    assert_eq!(kept(other(|r| r.fixed_lengths = Some(true))), (1, 1));
    assert_eq!(kept(other(|r| r.date.clear())), (1, 1));
    // Measured again, or something else.
    assert_eq!(kept(other(|r| r.tpot.ms *= 1.001)), (2, 0));
    assert_eq!(kept(other(|r| r.ttft.ms *= 1.001)), (2, 0));
    assert_eq!(kept(other(|r| r.date = "2026-11-21".into())), (2, 0));
    assert_eq!(kept(other(|r| r.requests += 1)), (2, 0));
    assert_eq!(kept(other(|r| r.input += 1.0)), (2, 0));
    assert_eq!(kept(other(|r| r.load = Load::Closed { concurrency: 33.0 })), (2, 0));
    let open = |r: &mut Run| r.load = Load::Open { rate: 4.0, in_flight: 32.0, poisson: true };
    assert_eq!(kept(other(open)), (2, 0));
    assert_eq!(kept(other(|r| r.deployment.version = (0, 20))), (2, 0));
    // One that its owner stands by is not lost behind a copy.
    let all = Calibration::new("", "", vec![run.clone(), other(|r| r.accepted = true)]);
    assert!(all.runs().len() == 1 && all.runs()[0].accepted);
    let copies: Vec<Run> = (0..30).map(|part| Run { part, ..run.clone() }).collect();
    let (one, many) = (calibrator(&copies[..1]), calibrator(&copies));
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    let c = configuration(&a, &g, 8);
    let plain = curve(&c, &shape(1024.0, 256.0)).unwrap();
    assert_eq!(one.apply(plain.clone(), &c, None), many.apply(plain, &c, None));
}

#[test]
fn the_order_of_runs_does_not_matter() {
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    let c = configuration(&a, &g, 8);
    let plain = curve(&c, &shape(1024.0, 256.0)).unwrap();
    let mut runs: Vec<Run> =
        (0..7).map(|i| a_run(&own(), 4.0 * f64::from(i + 1), (1.1, 0.9 + 0.03 * f64::from(i)), i)).collect();
    let one = calibrator(&runs).apply(plain.clone(), &c, None);
    runs.reverse();
    runs.push(runs[2].clone());
    assert_eq!(calibrator(&runs).apply(plain, &c, None), one);
}

fn any_spot() -> impl Strategy<Value = Spot> {
    let names = (0..3_usize, 0..3_usize, 0..2_u32, 0.0..6.0, 4.0..9.0, 3.0..7.0);
    names.prop_map(|(m, a, t, c, i, o)| Spot {
        deployment: deployment(["m", "n", "o"][m], ["a", "b", "c"][a], 1 + t),
        // What is new about a configuration depends on nothing but its model and accelerator.
        kind: [Kind::Seen, Kind::NewModel, Kind::NewAccelerator][(m + a) % 3],
        load: [c, i, o],
    })
}

fn any_said() -> impl Strategy<Value = Said> {
    (any_spot(), 0.05..1.5, 0.04..0.6, -2.0..2.0).prop_map(|(spot, spread, noise, deviation)| Said {
        spot,
        spread,
        noise,
        deviation,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn runs_never_make_a_prediction_less_sure(
        said in prop::collection::vec(any_said(), 0..12),
        at in any_spot(),
        spread in 0.05..1.5_f64,
    ) {
        for metric in [Metric::Tpot, Metric::Ttft] {
            let prior = spread * spread;
            let mut last = prior;
            for n in 0..=said.len() {
                let (mean, variance) = Posterior::new(metric, said[..n].to_vec()).at(metric, &at, spread);
                prop_assert!(mean.is_finite() && variance >= 0.0);
                // More runs know more.
                prop_assert!(variance <= last + 1e-9, "{} after {}", variance, last);
                last = variance;
            }
        }
    }

    #[test]
    fn correlations_are_a_covariance(spots in prop::collection::vec(any_spot(), 1..8), x in prop::collection::vec(-1.0..1.0_f64, 8)) {
        for metric in [Metric::Tpot, Metric::Ttft] {
            let mut sum = 0.0;
            for (i, a) in spots.iter().enumerate() {
                for (j, b) in spots.iter().enumerate() {
                    let c = a.correlation(b, metric);
                    prop_assert!((0.0..=1.002).contains(&c));
                    sum += x[i] * x[j] * c;
                }
            }
            prop_assert!(sum >= -1e-9, "{}", sum);
        }
    }
}
