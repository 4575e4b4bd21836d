//! The replay against the closed forms of queueing theory, and against figures made by hand.

use super::*;
use crate::math;
use crate::perf::StepTable;
use crate::spec::{Arrivals, Lengths};

const FREE: Limits = Limits { sequences: u32::MAX, kv_tokens: 1e15, step_tokens: 1e15 };

fn timing() -> Linear {
    Linear {
        alpha_s: 0.0,
        beta_s: 0.0,
        alone_s: 0.0,
        per_prompt_s: 0.0,
        per_token_s: 0.0,
        per_pair_s: 0.0,
        before_s: 0.0,
    }
}

fn fleet(timing: Linear, limits: Limits, replicas: u32) -> Fleet<Linear> {
    Fleet { kinds: vec![Kind { timing, limits, replicas }], routing: Routing::LeastOutstanding }
}

/// Poisson arrivals with lengths of an exponential of these means (0 = one token).
fn exponential(rate: f64, input: f64, output: f64, count: usize) -> Vec<Request> {
    let mut gaps = arrivals::Random::new(7, "gaps");
    let mut lengths = arrivals::Random::new(7, "lengths");
    let mut at_s = 0.0;
    let mut draw =
        |mean: f64| if mean > 0.0 { (-math::ln(lengths.uniform()) * mean).ceil() as u32 } else { 1 };
    (0..count)
        .map(|_| {
            at_s += -math::ln(gaps.uniform()) / rate;
            Request { at_s, input: draw(input), cached: 0, output: draw(output) }
        })
        .collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    Sample::new(values).mean().unwrap()
}

/// One prompt of 100 tokens at 1 ms each, then nine steps of 10 + 2 ms.
#[test]
fn a_lone_request_takes_what_its_steps_take() {
    let t = Linear {
        alpha_s: 0.010,
        beta_s: 0.002,
        alone_s: 0.005,
        per_token_s: 0.001,
        before_s: 0.003,
        ..timing()
    };
    let requests = [Request { at_s: 1.0, input: 100, cached: 0, output: 10 }];
    let run = run(&fleet(t, FREE, 1), &requests, Source::Open, 0);
    let o = run.outcomes[0];
    assert!((o.ttft_s - 0.108).abs() < 1e-12, "{o:?}");
    assert!((o.tpot_s - 0.012).abs() < 1e-12, "{o:?}");
    assert!((o.e2e_s - (0.108 + 9.0 * 0.012)).abs() < 1e-12, "{o:?}");
    assert_eq!(run.used[0].finished, 1);
}

/// Two prompts of 100 tokens in steps of at most 80: 80, 20 + 60, 40 tokens; the first's answer comes
/// with the second step and decodes beside what is left of the other's prompt.
#[test]
fn prompts_are_cut_to_the_token_budget() {
    let t = Linear { alpha_s: 0.010, per_token_s: 0.001, ..timing() };
    let requests = [100, 100].map(|input| Request { at_s: 0.0, input, cached: 0, output: 2 });
    let limits = Limits { step_tokens: 80.0, ..FREE };
    let run = run(&fleet(t, limits, 1), &requests, Source::Open, 0);
    assert!((run.outcomes[0].ttft_s - 0.160).abs() < 1e-12);
    assert!((run.outcomes[0].e2e_s - 0.210).abs() < 1e-12);
    assert!((run.outcomes[1].ttft_s - 0.210).abs() < 1e-12);
    assert!((run.outcomes[1].e2e_s - 0.220).abs() < 1e-12);
}

/// A cache of 25 tokens: two sequences of 10 tokens grow until it is full; the one that was
/// admitted last goes and is computed again when the other has ended.
#[test]
fn a_full_cache_preempts_the_last_one_admitted() {
    let t = Linear { alpha_s: 1.0, alone_s: 1.0, ..timing() };
    let requests = [0.0, 0.5].map(|at_s| Request { at_s, input: 10, cached: 0, output: 8 });
    let limits = Limits { kv_tokens: 25.0, ..FREE };
    let run = run(&fleet(t, limits, 1), &requests, Source::Open, 0);
    assert_eq!(run.used[0].preempted, 1);
    assert_eq!(run.used[0].finished, 2);
    assert!(run.used[0].most_tokens <= 25.0);
    // First: prefill until 1, seven steps until 8.
    assert!((run.outcomes[0].e2e_s - 8.0).abs() < 1e-9, "{:?}", run.outcomes);
    // Second: prefill until 2; the steps ending at 3 and 4 fill the cache; from 8 on prefill
    // again, which makes its fourth token, and four steps.
    assert!((run.outcomes[1].ttft_s - 1.5).abs() < 1e-9, "{:?}", run.outcomes);
    assert!((run.outcomes[1].e2e_s - 12.5).abs() < 1e-9, "{:?}", run.outcomes);
}

/// Erlang's C formula: sequences of a constant step are the servers.
#[test]
fn slots_wait_as_in_m_m_c() {
    let (c, step, tokens) = (8_u32, 0.001, 2000.0);
    for load in [0.5, 0.8, 0.9] {
        let service = (tokens + 0.5) * step;
        let rate = load * f64::from(c) / service;
        let requests = exponential(rate, 0.0, tokens, 400_000);
        let t = Linear { alpha_s: step, alone_s: 1e-9, ..timing() };
        let run = run(&fleet(t, Limits { sequences: c, ..FREE }, 1), &requests, Source::Open, 0);
        let a = load * f64::from(c);
        let mut term = 1.0;
        let mut sum = 1.0;
        for k in 1..c {
            term *= a / f64::from(k);
            sum += term;
        }
        let last = term * a / f64::from(c) / (1.0 - load);
        let wait = last / (sum + last) * service / (f64::from(c) * (1.0 - load));
        let found = mean(run.outcomes.iter().skip(20_000).map(|o| o.queued_s));
        assert!((found / wait - 1.0).abs() < 0.06, "load {load}: {found} against {wait}");
    }
}

/// Pollaczek and Khinchine: prompts computed one at a time are M/G/1.
#[test]
fn prompts_wait_as_in_m_g_1() {
    for (load, cv2) in [(0.5, 0.0), (0.8, 0.0), (0.8, 1.0)] {
        let tokens = 1000.0;
        let service = tokens * 1e-4;
        let rate = load / service;
        let requests: Vec<Request> = if cv2 > 0.0 {
            exponential(rate, tokens, 0.0, 400_000)
        } else {
            exponential(rate, 0.0, 0.0, 400_000).iter().map(|r| Request { input: 1000, ..*r }).collect()
        };
        let t = Linear { per_token_s: 1e-4, ..timing() };
        let run = run(&fleet(t, Limits { sequences: 1, ..FREE }, 1), &requests, Source::Open, 0);
        let wait = load * service * (1.0 + cv2) / 2.0 / (1.0 - load);
        let found = mean(run.outcomes.iter().skip(20_000).map(|o| o.queued_s));
        assert!((found / wait - 1.0).abs() < 0.05, "load {load}, cv2 {cv2}: {found} against {wait}");
    }
}

/// A step that takes as long as it has sequences shares the processor: the mean stay is `S / (1 - rho)`
/// whatever the lengths.
#[test]
fn decoding_shares_the_processor() {
    for load in [0.5, 0.8] {
        let (tokens, per) = (500.0, 1e-4);
        let service = (tokens + 0.5) * per;
        let requests = exponential(load / service, 0.0, tokens, 300_000);
        let t = Linear { beta_s: per, alone_s: 1e-9, ..timing() };
        let run = run(&fleet(t, FREE, 1), &requests, Source::Open, 0);
        let found = mean(run.outcomes.iter().skip(20_000).map(|o| o.e2e_s));
        let stay = service / (1.0 - load);
        assert!((found / stay - 1.0).abs() < 0.05, "load {load}: {found} against {stay}");
    }
}

/// Every token and every request is accounted for, whatever the limits, the source and the router.
#[test]
fn nothing_is_lost() {
    let lengths = |mean, cv2| Lengths { mean, cv2, p95: 3.0 * mean, max: 8.0 * mean };
    let stream = Stream {
        rate: 40.0,
        arrivals: Arrivals::Bursty { cv2: 4.0 },
        input: lengths(300.0, 1.0),
        output: lengths(80.0, 1.0),
        prefix_cached: 0.2,
        recorded: None,
    };
    let requests = generate(&stream, 5_000, 3);
    let t = Linear {
        alpha_s: 0.005,
        beta_s: 1e-4,
        alone_s: 0.001,
        per_token_s: 2e-5,
        per_pair_s: 1e-10,
        before_s: 0.01,
        ..timing()
    };
    let tight = Limits { sequences: 24, kv_tokens: 4_000.0, step_tokens: 512.0 };
    let sources = [
        Source::Open,
        Source::Closed { clients: 30 },
        Source::Sessions { users: 40, turns: 5, think_s: 2.0 },
    ];
    let routers = [Routing::LeastOutstanding, Routing::RoundRobin, Routing::Random, Routing::Sticky];
    for source in sources {
        for routing in routers {
            let both = Fleet {
                kinds: vec![
                    Kind { timing: t, limits: tight, replicas: 2 },
                    Kind { timing: Linear { alpha_s: 0.002, ..t }, limits: FREE, replicas: 1 },
                ],
                routing,
            };
            let run = run(&both, &requests, source, 11);
            assert_eq!(run.used.iter().map(|u| u.finished).sum::<u64>(), 5_000, "{source:?} {routing:?}");
            for o in &run.outcomes {
                assert!(
                    o.ttft_s > 0.01 && o.e2e_s >= o.ttft_s && o.queued_s >= 0.0,
                    "{source:?} {routing:?} {o:?}"
                );
                assert!((0.0..1.0).contains(&o.hit));
            }
            assert!(run.used.iter().all(|u| u.busy_s > 0.0 && u.busy_s <= run.span_s + 1e-9));
            let again = super::run(&both, &requests, source, 11);
            assert_eq!(format!("{:?}", run.outcomes), format!("{:?}", again.outcomes));
        }
    }
}

/// A replica of a small model, and the load on so many of them.
struct Served {
    curve: crate::perf::ServiceCurve,
    shape: crate::perf::RequestShape,
    limits: Limits,
}

impl Served {
    fn new() -> Self {
        let catalog = crate::catalog::Catalog::embedded();
        let lengths = |mean, cv2| Lengths { mean, cv2, p95: 3.0 * mean, max: 8.0 * mean };
        let shape = crate::perf::RequestShape {
            input: lengths(800.0, 1.5),
            output: lengths(200.0, 1.0),
            prefix_cached: 0.0,
        };
        let configuration = crate::perf::Configuration {
            arch: catalog.model("Qwen/Qwen3-8B").unwrap(),
            quantization: crate::spec::Quantization::Native,
            kv_cache: crate::spec::KvCacheDtype::Auto,
            accelerator: &catalog.accelerators[catalog.accelerator("h100-sxm-80gb").unwrap()],
            fraction: 1.0,
            layout: crate::perf::Layout { tp: 1, pp: 1, dp: 1, ep: 1 },
            accelerators_per_node: 8,
            inter_node_bandwidth: None,
            engine: crate::perf::EngineSettings {
                name: crate::spec::EngineName::Vllm,
                version: (0, 19),
                max_num_seqs: 128,
                max_num_batched_tokens: 8192,
                max_model_len: 8192,
                gpu_memory_utilization: 0.9,
            },
        };
        let curve = crate::perf::curve(&configuration, &shape).unwrap();
        let limits = limits_of(&curve, &configuration.engine, configuration.layout);
        Served { curve, shape, limits }
    }

    fn loaded(&self, arrivals: Arrivals, replicas: u32, rate: f64, requests: u32) -> Loaded<'_> {
        Loaded {
            curve: &self.curve,
            limits: self.limits,
            replicas,
            stream: Stream {
                rate,
                arrivals,
                input: self.shape.input,
                output: self.shape.output,
                prefix_cached: 0.0,
                recorded: None,
            },
            sessions: None,
            requests,
        }
    }
}

/// The same seed plays the same requests faster: every figure rises with the rate and falls with replicas.
#[test]
fn figures_rise_with_the_load_and_fall_with_replicas() {
    use crate::placement::Metric;
    let served = Served::new();
    let asked = [(Metric::Ttft, Some(0.95)), (Metric::Tpot, Some(0.95)), (Metric::E2e, None)];
    for arrivals in [Arrivals::Poisson, Arrivals::Constant, Arrivals::Bursty { cv2: 4.0 }] {
        let figures =
            |replicas: u32, rate: f64| served.loaded(arrivals, replicas, rate, 8_000).figures(&asked);
        let top = served.curve.saturation_rate();
        let ladder: Vec<_> = [0.2, 0.4, 0.6, 0.8, 0.9].map(|u| figures(2, 2.0 * top * u)).to_vec();
        for pair in ladder.windows(2) {
            for (less, more) in pair[0].iter().zip(&pair[1]) {
                assert!(less.mean <= more.mean * 1.005, "{arrivals:?} {pair:?}");
            }
        }
        let ladder: Vec<_> = [2, 3, 4, 6, 8].map(|n| figures(n, 1.6 * top)).to_vec();
        for pair in ladder.windows(2) {
            for (more, less) in pair[0].iter().zip(&pair[1]) {
                assert!(less.mean <= more.mean * 1.005, "{arrivals:?} {pair:?}");
            }
        }
    }
}

/// A request is never served sooner than by a replica of its own: so a limit that those break is broken by any number of replicas.
#[test]
fn requests_by_themselves_take_the_least_time() {
    use crate::placement::Metric;
    let served = Served::new();
    let asked = [(Metric::Ttft, Some(0.95)), (Metric::Tpot, Some(0.95)), (Metric::E2e, Some(0.5))];
    let top = served.curve.saturation_rate();
    for arrivals in [Arrivals::Poisson, Arrivals::Constant, Arrivals::Bursty { cv2: 9.0 }] {
        let alone = served.loaded(arrivals, 1, top, 8_000).alone();
        let least = alone.figures(&asked);
        assert_eq!(least, alone.alone().figures(&asked));
        for (replicas, load) in [(1, 0.02), (1, 0.6), (2, 0.3), (7, 0.1), (40, 0.001)] {
            let found =
                served.loaded(arrivals, replicas, load * top * f64::from(replicas), 8_000).figures(&asked);
            for (alone, found) in least.iter().zip(&found) {
                assert!(alone.mean <= found.mean * (1.0 + 1e-6), "{arrivals:?} {replicas} {load}");
            }
        }
        // With far more replicas than requests at a time it is the same.
        let found = served.loaded(arrivals, 900, 0.1 * top, 8_000).figures(&asked);
        for (alone, found) in least.iter().zip(&found) {
            assert!((alone.mean / found.mean - 1.0).abs() < 1e-6, "{arrivals:?} {alone:?} {found:?}");
        }
    }
    // As recorded, three at the same moment find three replicas.
    let hour: Vec<crate::spec::RecordedRequest> = (0..600)
        .map(|i| crate::spec::RecordedRequest { at_s: f64::from(i / 3), input: 500.0, output: 30.0 })
        .collect();
    let mut loaded = served.loaded(Arrivals::Poisson, 1, 3.0, 8_000);
    loaded.stream.recorded = Some(&hour);
    let apart: Vec<crate::spec::RecordedRequest> = (0..2)
        .map(|i| crate::spec::RecordedRequest { at_s: f64::from(i), input: 500.0, output: 30.0 })
        .collect();
    let mut one = served.loaded(Arrivals::Constant, 1, 1e-3, 8_000);
    one.stream.recorded = Some(&apart);
    for (together, one) in loaded.alone().figures(&asked).iter().zip(one.figures(&asked)) {
        assert!((together.mean / one.mean - 1.0).abs() < 1e-6, "{together:?} {one:?}");
    }
}

/// What a fifth of the requests settles, all of them settle alike, wherever the limit is; and they do settle some.
#[test]
fn a_part_of_the_requests_says_what_all_of_them_say() {
    use crate::placement::Metric;
    let served = Served::new();
    let top = served.curve.saturation_rate();
    for arrivals in [Arrivals::Poisson, Arrivals::Bursty { cv2: 4.0 }] {
        for (metric, replicas, load) in
            [(Metric::Ttft, 1, 0.5), (Metric::Tpot, 1, 0.85), (Metric::Ttft, 3, 0.9), (Metric::Tpot, 4, 0.7)]
        {
            let loaded = served.loaded(arrivals, replicas, load * top * f64::from(replicas), 20_000);
            let asked = [(metric, Some(0.95))];
            let all = loaded.figures(&asked)[0];
            for nearness in [0.85, 0.9, 0.94, 0.97, 0.99, 1.0, 1.01, 1.03, 1.06, 1.1, 1.2] {
                let limit = nearness * (all.mean + all.half);
                let share = |f: &[Interval], halves: f64| (f[0].mean + halves * f[0].half) / limit;
                let said = loaded.within(&asked, share);
                assert_eq!(said, all.mean + all.half <= limit, "{arrivals:?} {metric:?} {nearness}");
            }
        }
    }
    // Near a limit the part alone would err: what decides is asked for with one half-width, and last.
    let loaded = served.loaded(Arrivals::Poisson, 1, 0.5 * top, 20_000);
    let asked = std::cell::RefCell::new(Vec::new());
    let near = |_: &[Interval], halves: f64| {
        asked.borrow_mut().push(halves);
        0.99 + 0.004 * halves
    };
    assert!(loaded.within(&[(Metric::Ttft, Some(0.95))], near));
    assert_eq!(*asked.borrow(), [1.0, 3.0, -1.0, -2.0, 1.0]);
}

/// A fleet of thousands is judged by 64 replicas at the load of each, which a million requests fill; by itself it would seem idle.
#[test]
fn large_fleets_are_judged_by_small_ones_at_the_same_load() {
    use crate::placement::Metric;
    let served = Served::new();
    let each = 0.9 * served.curve.saturation_rate();
    let asked = [(Metric::Tpot, Some(0.95))];
    let of = |replicas: u32| served.loaded(Arrivals::Poisson, replicas, each * f64::from(replicas), 20_000);
    let figure = |replicas: u32| of(replicas).decided(&asked, |f, _| f[0].mean).1[0];
    assert_eq!(figure(4096), figure(64));
    // Six leading binary digits: these are 4,096 under some more load.
    assert!(figure(4200).mean >= figure(4096).mean);
}

/// A table made of the line gives the line's outcomes; one twice as slow at large batches slower ones under load only.
#[test]
fn a_table_of_the_line_is_the_line() {
    let served = Served::new();
    let stream = served.loaded(Arrivals::Poisson, 1, 0.6 * served.curve.saturation_rate(), 1).stream;
    let requests = generate(&stream, 4_000, 3);
    let line = Linear::of(&served.curve);
    let mut table = served.curve.steps.unwrap();
    for seconds in &mut table.seconds {
        for (s, b) in seconds.iter_mut().zip(table.batches) {
            *s = line.alpha_s + line.beta_s * b;
        }
    }
    let play = |steps| {
        let kinds = vec![Kind { timing: Tabulated { line, steps }, limits: served.limits, replicas: 1 }];
        let fleet = Fleet { kinds, routing: Routing::LeastOutstanding };
        mean(run(&fleet, &requests, Source::Open, 0).outcomes.iter().map(|o| o.tpot_s))
    };
    let (of_line, of_table) = (play(None), play(Some(table)));
    assert!((of_table / of_line - 1.0).abs() < 1e-9, "{of_table} {of_line}");
    for seconds in &mut table.seconds {
        seconds[StepTable::BATCHES - 4..].iter_mut().for_each(|s| *s *= 2.0);
    }
    assert!(play(Some(table)) > 1.1 * of_line);
}

/// Draws that go on where they stopped are those of one go, at another rate too.
#[test]
fn draws_go_on_where_they_stopped() {
    let served = Served::new();
    for arrivals in [Arrivals::Poisson, Arrivals::Constant, Arrivals::Bursty { cv2: 4.0 }] {
        let stream = served.loaded(arrivals, 1, 2.0, 1).stream;
        let mut draws = super::arrivals::Draws::new(5);
        draws.requests(&Stream { rate: 7.0, ..stream }, 300);
        draws.requests(&stream, 40);
        assert_eq!(draws.requests(&stream, 1_000), generate(&stream, 1_000, 5));
        assert_ne!(draws.requests(&stream, 1_000), generate(&stream, 1_000, 6));
    }
}

/// Conversations of four turns: with room for all, a turn finds all that was said but the last token; a small
/// cache keeps less; a router that knows no sessions finds it on one replica of four.
#[test]
fn what_a_turn_finds_follows_from_cache_and_routing() {
    let fixed = |mean| Lengths { mean, cv2: 0.0, p95: mean, max: mean };
    let sessions = crate::spec::Sessions { turns: 4, think_s: 5.0, added: fixed(200.0) };
    let requests = conversations(&sessions, &fixed(100.0), 1e6, 40, 4_000, 1);
    assert_eq!(requests[..4].iter().map(|r| r.input).collect::<Vec<_>>(), [200, 500, 800, 1100]);
    let t = Linear { alpha_s: 0.01, beta_s: 1e-4, per_token_s: 2e-5, ..timing() };
    let hits = |routing: Routing, kv_tokens: f64| {
        let fleet = Fleet {
            kinds: vec![Kind { timing: t, limits: Limits { kv_tokens, ..FREE }, replicas: 4 }],
            routing,
        };
        let source = Source::Sessions { users: 40, turns: 4, think_s: 5.0 };
        let run = run(&fleet, &requests, source, 1);
        assert!(run.outcomes.iter().all(|o| o.e2e_s > 0.0));
        mean(run.outcomes.iter().zip(&requests).map(|(o, r)| o.hit * f64::from(r.input)))
    };
    let all = hits(Routing::Sticky, 1e9);
    // Found: 0, 299, 599 and 899 tokens.
    assert!((all - (299.0 + 599.0 + 899.0) / 4.0).abs() < 1e-6, "{all}");
    let small = hits(Routing::Sticky, 6_000.0);
    assert!(small < 0.9 * all && small > 0.0, "{small} of {all}");
    let anywhere = hits(Routing::Random, 1e9);
    assert!(anywhere < 0.6 * all && anywhere > 0.1 * all, "{anywhere} of {all}");
}
