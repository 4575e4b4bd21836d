//! The optimizer on the embedded catalogue: what it must not do, and what no change of the spec may do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rhumb::catalog::{Catalog, Provenance};
use rhumb::optimize;
use rhumb::placement::{Placement, Relaxation, World};
use rhumb::spec::{BudgetScope, Spec};
use rhumb_api::{Cloud, Money, Purchase};

use crate::extent::{is_many, one_in};
use crate::line;
use crate::oracle::worlds;

const CHAT: &str = r#"
rhumb: 1
name: support
models:
  m: { source: Qwen/Qwen3-32B, variants: { native: {}, fp8: { quantization: fp8 } }, quality: { keep: 98%, benchmark: mmlu, measured: { fp8: 99% } } }
services:
  chat:
    model: m
    traffic:
      peak: 6 req/s
      input_tokens: { p50: 600, p95: 2500 }
      output_tokens: { p50: 200, p95: 700 }
    slo: { ttft: { p95: 900ms }, tpot: { p95: 60ms } }
"#;

fn solved(text: &str, catalog: &Catalog) -> (Spec, World, Placement) {
    let spec = line::spec(text, catalog);
    let world = line::world(&spec, catalog);
    let placement = optimize::place(&spec, &world).unwrap_or_else(|why| panic!("{why:#?}"));
    (spec, world, placement)
}

fn cost(placement: &Placement) -> Vec<Money> {
    placement.workloads.values().map(|w| w.certificate.optimum).collect()
}

/// Every candidate is accounted for, and the proof is complete.
#[test]
fn a_certificate_accounts_for_every_candidate() {
    let (_, _, placement) = solved(CHAT, &Catalog::embedded());
    let c = &placement.workloads["services.chat"].certificate;
    assert!(c.candidates > 50_000, "{}", c.candidates);
    assert_eq!(c.rejected.values().sum::<u64>() + c.bounded + c.evaluated, c.candidates);
    assert_eq!(c.optimum, c.lower_bound);
}

/// A minimum over many candidates picks the most optimistic error: an accelerator without calibration
/// that is predicted three times too fast must not win by that.
#[test]
fn an_inflated_accelerator_without_calibration_does_not_win() {
    let catalog = Catalog::embedded();
    let (_, _, before) = solved(CHAT, &catalog);
    let won = &before.workloads["services.chat"].pools[0];
    let mut moved = Vec::new();
    for id in ["rtx-pro-6000-96gb", "mi300x-192gb", "a10-24gb"] {
        let Some(index) = catalog.accelerator(id) else { continue };
        let mut inflated = catalog.clone();
        let a = &mut inflated.accelerators[index];
        // Nothing measured stands behind it, and every rate is three times the truth.
        a.perf_id = None;
        for rate in [&mut a.memory_bandwidth, &mut a.bf16, &mut a.fp16, &mut a.fp8, &mut a.int8] {
            *rate = rate.map(|r| r * 3.0);
        }
        let (_, _, after) = solved(CHAT, &inflated);
        let now = &after.workloads["services.chat"].pools[0];
        if now.accelerator.as_deref() == Some(id) && won.accelerator.as_deref() != Some(id) {
            moved.push(id);
        }
    }
    assert!(moved.is_empty(), "the choice moved to {moved:?} from {:?}", won.accelerator);
}

#[test]
fn losers_are_dearer_or_rejected_and_relaxations_save() {
    let (spec, world, placement) = solved(CHAT, &Catalog::embedded());
    let chat = &placement.workloads["services.chat"];
    assert!(chat.losers.len() >= 5, "{:#?}", chat.losers);
    for loser in &chat.losers {
        assert!(!loser.rejection.reason.is_empty());
        if loser.rejection.constraint == "dearer" {
            assert!(loser.per_hour >= chat.certificate.optimum);
        }
    }
    let saved = optimize::relaxations(&spec, &world, "services.chat");
    assert!(saved.iter().any(|r| r.constraint == "purchase"), "{saved:#?}");
    for r in saved {
        assert_eq!(r.saves_per_month, Some(chat.cost.expected_per_month - r.cost_per_month));
    }
}

#[test]
fn a_refusal_names_the_conflict_and_changes_that_work() {
    let catalog = Catalog::embedded();
    let spec = line::spec(&CHAT.replace("ttft: { p95: 900ms }", "ttft: { p95: 9ms }"), &catalog);
    let world = line::world(&spec, &catalog);
    let why = optimize::place(&spec, &world).unwrap_err();
    let chat = &why.workloads[0];
    assert_eq!(chat.conflict.iter().map(|r| r.constraint).collect::<Vec<_>>(), ["ttft"], "{chat:#?}");
    assert!(chat.relaxations.iter().any(|r| r.constraint == "ttft"), "{chat:#?}");
    assert!(
        chat.nearest.as_ref().is_some_and(|n| n.rejection.distance.is_some_and(|d| d > 0.0)),
        "{chat:#?}"
    );
    assert!(chat.rejected.get("ttft").is_some_and(|n| *n > 0));
}

/// The first number of a text after `before`.
fn number(text: &str, before: &str) -> f64 {
    let rest = &text[text.find(before).unwrap() + before.len()..];
    rest.split(' ').find_map(|word| word.replace(',', "").parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// A spec with the limit that a relaxation names, or one a little tighter.
fn with_number(spec: &Spec, relaxation: &Relaxation, change: impl Fn(f64) -> f64) -> Option<(Spec, f64)> {
    let (mut looser, text) = (spec.clone(), relaxation.change.as_str());
    let number = match relaxation.constraint {
        "ttft" | "tpot" | "e2e" => {
            let (new, old) = (change(number(text, " ")), number(text, "instead of "));
            let s = looser.services.values_mut().next()?;
            let list = match relaxation.constraint {
                "ttft" => &mut s.slo.ttft,
                "tpot" => &mut s.slo.tpot,
                _ => &mut s.slo.e2e,
            };
            list.iter_mut().find(|o| o.limit_ms == old)?.limit_ms = new;
            new / old
        }
        "budget" => {
            let (new, old) = (change(number(text, "a budget of ")), number(text, "at most "));
            let limits = looser.budget.limits.values_mut();
            let limit = limits.map(|l| &mut l.limit).find(|l| (l.usd() - old).abs() < 0.01)?;
            *limit = Money::from_usd(new).unwrap();
            new / old
        }
        _ => return None,
    };
    Some((looser, number))
}

fn places(spec: &Spec, world: &World) -> bool {
    optimize::place(spec, world).is_ok_and(|p| p.joint_violations.is_empty())
}

/// What a refusal prints works as it is printed, and nothing beyond its resolution (2.5 % of a limit, two
/// dollars of a budget) would have done.
#[test]
fn a_printed_relaxation_works_and_is_the_nearest() {
    let mut catalog = embedded();
    // One cloud has fewer offers to search.
    let elsewhere: Vec<bool> = catalog.regions.iter().map(|r| r.cloud != Cloud::Aws).collect();
    catalog.offerings.retain(|o| is_many() || !elsewhere[o.region]);
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut refused: Vec<(Spec, World)> =
        one_in(10, 1).seeds(0..40).map(|seed| worlds::case(seed, &catalog)).collect();
    for (old, new) in [
        ("ttft: { p95: 900ms }", "ttft: { p95: 9ms }"),
        ("tpot: { p95: 60ms }", "tpot: { p95: 3ms }"),
        ("name: support", "name: support\nbudget: { monthly: 1000 USD }"),
        ("peak: 6 req/s", "concurrency: 40\n      origins: { uk: { at: GB, share: 100% } }"),
    ] {
        let tight = if old.starts_with("peak") { "tpot: { p95: 5ms }" } else { "tpot: { p95: 60ms }" };
        let spec = line::spec(&CHAT.replace("tpot: { p95: 60ms }", tight).replace(old, new), &catalog);
        let world = line::world(&spec, &catalog);
        refused.push((spec, world));
    }
    for (spec, world) in refused {
        let Err(why) = optimize::place(&spec, &world) else { continue };
        for r in &why.workloads[0].relaxations {
            let Some((looser, _)) = with_number(&spec, r, |x| x) else { continue };
            assert!(places(&looser, &world), "{} does not work", r.change);
            *seen.entry(r.constraint).or_insert(0) += 1;
            let less = |x: f64| if r.constraint == "budget" { x - 2.0 } else { x / 1.026 };
            let Some((tighter, factor)) = with_number(&spec, r, less) else { continue };
            assert!(factor <= 1.0 || !places(&tighter, &world), "less than `{}` works", r.change);
        }
        let nearest = why.workloads[0].nearest.as_ref();
        if let Some(distance) = nearest.and_then(|n| n.rejection.distance)
            && !why.workloads[0].relaxations.is_empty()
        {
            let in_conflict = |n: &str| why.workloads[0].conflict.iter().any(|c| c.constraint == n);
            assert!(distance > 0.0 && in_conflict(nearest.unwrap().rejection.constraint), "{nearest:?}");
        }
    }
    for constraint in ["budget", "ttft", "tpot"] {
        assert!(seen.contains_key(constraint), "{constraint}: {seen:?}");
    }
}

#[test]
fn a_refusal_without_candidates_names_what_rejected_them() {
    let catalog = embedded();
    let refused = |text: &str| {
        let spec = line::spec(text, &catalog);
        let world = line::world(&spec, &catalog);
        optimize::place(&spec, &world).unwrap_err().workloads.remove(0)
    };
    let stated = "    engine: { name: vllm, args: { max_model_len: 200000 } }\n";
    let why = refused(&(CHAT.to_owned() + stated));
    let first = &why.conflict[0];
    assert_eq!(first.constraint, "context", "{why:#?}");
    assert!(first.reason.contains("200000"), "{why:#?}");
    assert_eq!(first.at.as_ref().map(|p| p.dotted()).unwrap(), "services.chat.engine.args.max_model_len");
    let why = refused(&CHAT.replace("p50: 600, p95: 2500", "p50: 60000, p95: 150000"));
    assert_eq!(why.conflict[0].constraint, "context", "{why:#?}");
    assert_eq!(
        why.conflict[0].at.as_ref().map(|p| p.dotted()).unwrap(),
        "services.chat.traffic.input_tokens"
    );
}

#[test]
fn equal_input_gives_the_equal_placement_on_any_number_of_threads() {
    let catalog = Catalog::embedded();
    let spec = line::spec(CHAT, &catalog);
    let world = line::world(&spec, &catalog);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| format!("{:?}", optimize::place(&spec, &world)))
    };
    assert_eq!(on(1), on(3));
}

/// Cheaper is at most a rounding of a batch's run.
fn no_dearer(after: &[Money], before: &[Money]) -> bool {
    after.iter().zip(before).all(|(a, b)| *a <= *b + Money::from_micros(2))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn renaming_changes_nothing_but_names(seed in 1000_u64..9000) {
        let (spec, world) = worlds::case(seed, &embedded());
        let mut renamed = spec.clone();
        renamed.services = std::mem::take(&mut renamed.services)
            .into_iter()
            .map(|(n, mut s)| {
                s.name = format!("z-{n}");
                (s.name.clone(), s)
            })
            .collect();
        renamed.batches = std::mem::take(&mut renamed.batches)
            .into_iter()
            .map(|(n, mut b)| {
                b.name = format!("z-{n}");
                (b.name.clone(), b)
            })
            .collect();
        let renamed_scope = |scope| match scope {
            BudgetScope::Workload(a) => BudgetScope::Workload(a.replace('.', ".z-")),
            other => other,
        };
        renamed.budget.limits = std::mem::take(&mut renamed.budget.limits)
            .into_iter()
            .map(|(scope, b)| (renamed_scope(scope), b))
            .collect();
        let before = optimize::place(&spec, &world);
        let after = optimize::place(&renamed, &world);
        prop_assert_eq!(before.is_ok(), after.is_ok());
        if let (Ok(a), Ok(b)) = (before, after) {
            prop_assert_eq!(cost(&a), cost(&b));
            let pools = |p: &Placement| -> Vec<_> {
                p.workloads.values().flat_map(|w| &w.pools).map(|p| (p.region.clone(), p.instance_type.clone(), p.machines.clone())).collect()
            };
            prop_assert_eq!(pools(&a), pools(&b));
        }
    }

    #[test]
    fn a_looser_limit_never_costs_more(seed in 1000_u64..9000, factor in 1.01_f64..4.0) {
        let (spec, world) = worlds::case(seed, &embedded());
        let mut looser = spec.clone();
        for s in looser.services.values_mut() {
            for o in s.slo.ttft.iter_mut().chain(&mut s.slo.tpot).chain(&mut s.slo.e2e) {
                o.limit_ms *= factor;
            }
            s.survive.zone = 0;
        }
        for b in looser.batches.values_mut() {
            b.deadline_s *= factor;
        }
        if let Ok(before) = optimize::place(&spec, &world) {
            let after = optimize::place(&looser, &world);
            prop_assert!(after.is_ok());
            prop_assert!(no_dearer(&cost(&after.unwrap()), &cost(&before)));
        }
    }

    #[test]
    fn a_dominated_offering_changes_nothing_and_a_cheaper_one_never_costs_more(seed in 1000_u64..9000) {
        let (spec, world) = worlds::case(seed, &embedded());
        let Ok(before) = optimize::place(&spec, &world) else { return Ok(()) };
        // Offerings of types that are not chosen, ten times as dear: dominated by what was chosen.
        let chosen: Vec<&str> =
            before.workloads.values().flat_map(|w| &w.pools).map(|p| p.instance_type.as_str()).collect();
        let mut dearer = world.clone();
        let mut cheaper = world.clone();
        let types = world.catalog.instance_types.clone();
        for o in &mut dearer.catalog.offerings {
            if !chosen.contains(&types[o.instance_type].name.as_str()) {
                o.price = o.price.times(10);
                o.provenance = Provenance { source: "test".into(), as_of: "2026-11-25".into() };
            }
        }
        for o in &mut cheaper.catalog.offerings {
            o.price = o.price.scale(0.9);
        }
        let same = optimize::place(&spec, &dearer).unwrap();
        prop_assert_eq!(cost(&same), cost(&before));
        let less = optimize::place(&spec, &cheaper).unwrap();
        prop_assert!(no_dearer(&cost(&less), &cost(&before)));
    }
}

fn embedded() -> Catalog {
    use std::sync::OnceLock;
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(Catalog::embedded).clone()
}

/// A quota that is too small is told with the amount that would do: declared so, the spec plans.
#[test]
fn a_quota_relaxation_names_the_amount_that_works() {
    let catalog = Catalog::embedded();
    let with = |vcpus: u32| {
        format!(
            "{CHAT}    placement: {{ regions: [aws/us-east-1], accelerators: [rtx-pro-6000-96gb] }}\n\
             providers:\n  aws:\n    quotas: {{ us-east-1: {{ L-DB2E81BA: {vcpus} }} }}\n"
        )
    };
    let spec = line::spec(&with(4), &catalog);
    let refused = optimize::place(&spec, &line::world(&spec, &catalog)).expect_err("4 vCPUs are too few");
    let found: Vec<&str> = refused.workloads[0]
        .relaxations
        .iter()
        .filter(|r| r.constraint == "quota")
        .map(|r| r.change.as_str())
        .collect();
    let [change] = found[..] else { panic!("{:#?}", refused.workloads) };
    let needed: u32 = change
        .strip_prefix("a quota of ")
        .and_then(|rest| rest.split(' ').next())
        .and_then(|amount| amount.parse().ok())
        .unwrap_or_else(|| panic!("{change}"));
    assert!(change.ends_with("vcpus of L-DB2E81BA in aws/us-east-1 instead of 4"), "{change}");
    solved(&with(needed), &catalog);
    // A g7e.2xlarge, the smallest of its family, has 8 vCPUs.
    assert!(needed >= 8 && needed.is_multiple_of(8), "{change}");
}

/// A replica does one answer after another token, however many replicas there are: no number of machines makes a run shorter than its
/// longest item, and none has more replicas than items.
#[test]
fn a_batch_of_few_items_takes_as_long_as_one_of_them() {
    let catalog = line::on_sale(&[("p5.4xlarge", "us-east-1", Purchase::OnDemand, 6_880_000)]);
    let run = |items: u32, deadline: &str| {
        let text = format!(
            "rhumb: 1\nname: few\nmodels: {{ m: {{ source: meta-llama/Llama-3.1-8B-Instruct }} }}\n\
             batches: {{ b: {{ model: m, items: {items}, input_tokens: 200, output_tokens: 6000, deadline: {deadline} }} }}\n"
        );
        let spec = line::spec(&text, &catalog);
        let world = World { replay: 400, ..line::world(&spec, &catalog) };
        let placement = line::place(&spec, &world).ok()?;
        assert_eq!(rhumb::check::placement(&spec, &world, &placement), vec![], "{items}");
        let proof = rhumb::check::prove(&spec, &world, &placement);
        assert_eq!((proof.all.gap(), proof.report.findings), (Some(0.0), vec![]), "{items}");
        let placed = &placement.workloads["batches.b"];
        Some((placed.run.as_ref().unwrap().hours, placed.pools[0].replicas))
    };
    let (one, _) = run(1, "10h").unwrap();
    for items in [2, 8, 40] {
        let (hours, replicas) = run(items, "10h").unwrap();
        assert!(hours >= one * (1.0 - 1e-9), "{items}: {hours} h, one takes {one}");
        assert!(replicas <= items, "{items} items on {replicas}");
        // In less time than one takes nothing is done.
        let minutes = format!("{}s", (one * 3600.0 * 0.9) as u32);
        assert_eq!(run(items, &minutes), None, "{items}");
    }
}
