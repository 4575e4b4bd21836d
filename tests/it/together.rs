//! Workloads that share too little: the certificate, the checker, laws, and refusals.

use std::sync::OnceLock;

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::placement::{Placement, World};
use rhumb::spec::Spec;
use rhumb_api::{Cloud, Money, Purchase};

use crate::line;

/// Two services for which H100 machines of one region are cheapest, and a quota for `vcpus` of them.
fn text(vcpus: u32, budget: &str) -> String {
    let quotas =
        format!("providers:\n  aws: {{ quotas: {{ eu-north-1: {{ L-417A185B: {vcpus} }} }} }}\n{budget}");
    line::two_services(&quotas)
}

/// The catalogue with two offers: machines of 192 vCPUs in one region, dearer ones in another.
fn catalog() -> Catalog {
    line::on_sale(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
        ("p5en.48xlarge", "eu-south-2", Purchase::OnDemand, 68_400_000),
    ])
}

fn solved(vcpus: u32, budget: &str) -> (Spec, World, Result<Placement, rhumb::placement::Infeasible>) {
    let catalog = catalog();
    let spec = line::spec(&text(vcpus, budget), &catalog);
    let world = line::world(&spec, &catalog);
    let found = line::place(&spec, &world);
    (spec, world, found)
}

/// The placement under a quota for two of the three machines that both want.
fn tight() -> &'static (Spec, World, Placement) {
    static TIGHT: OnceLock<(Spec, World, Placement)> = OnceLock::new();
    TIGHT.get_or_init(|| {
        let (spec, world, found) = solved(400, "");
        (spec, world, found.unwrap())
    })
}

fn machines(placement: &Placement, address: &str) -> u32 {
    placement.workloads[address].pools.iter().flat_map(|p| &p.machines).map(|m| m.count).sum()
}

#[test]
fn a_quota_is_divided_and_the_proof_is_complete() {
    let (spec, world, placement) = tight();
    let c = placement.coupling.as_ref().expect("the separate optima take 3 x 192 of 400 vCPUs");
    assert!(placement.joint_violations.is_empty());
    assert_eq!(c.lower_bound, c.optimum);
    assert!(c.optimum > c.apart);
    let limit = &c.limits[0];
    assert_eq!((limit.cloud, limit.code.as_deref()), (Some(Cloud::Aws), Some("L-417A185B")));
    // 192 vCPUs a machine: two fit into 400.
    assert_eq!((limit.limit, limit.taken), (400.0, 384.0));
    assert_eq!(check::placement(spec, world, placement), vec![]);
    // Whoever was crowded out says so.
    let shared =
        |w: &rhumb::placement::WorkloadPlacement| w.losers.iter().any(|l| l.rejection.constraint == "shared");
    assert_eq!(placement.workloads.values().filter(|w| shared(w)).count(), 1);
}

#[test]
fn a_slack_quota_changes_nothing_and_a_tighter_one_never_saves() {
    let (_, _, free) = solved(10_000, "");
    let free = free.unwrap();
    assert_eq!(free.coupling, None);
    assert_eq!(machines(&free, "services.a") + machines(&free, "services.b"), 3);
    let cost = |p: &Placement| p.workloads.values().map(|w| w.cost.expected_per_month).sum::<Money>();
    let mut last = cost(&free);
    for vcpus in [575, 400, 383, 192, 100, 0] {
        let (spec, world, found) = solved(vcpus, "");
        let found = found.unwrap();
        assert!(cost(&found) >= last, "{vcpus} vCPUs");
        assert_eq!(check::placement(&spec, &world, &found), vec![], "{vcpus} vCPUs");
        last = cost(&found);
    }
    assert!(last > cost(&free));
}

#[test]
fn one_machine_more_of_a_quota_saves_what_it_is_said_to_be_worth() {
    let (_, _, placement) = tight();
    let c = placement.coupling.as_ref().unwrap();
    let (_, _, more) = solved(576, "");
    let cost: Money = more.unwrap().workloads.values().map(|w| w.cost.expected_per_month).sum();
    // At the margin 192 vCPUs are worth 192 times one: never less than what the machine saves.
    let worth = c.limits[0].worth.times(192);
    assert!(c.optimum - cost <= worth + Money::from_micros(1_000_000), "{} > {worth}", c.optimum - cost);
    assert!(c.limits[0].worth > Money::ZERO);
}

#[test]
fn a_budget_below_what_the_quota_allows_is_refused_with_the_least_of_each_that_works() {
    let (_, _, placement) = tight();
    let least = placement.coupling.as_ref().unwrap().optimum;
    let apart = placement.coupling.as_ref().unwrap().apart;
    let dollars = |m: Money| m.micros().div_euclid(1_000_000);
    let (_, _, refused) = solved(400, &format!("budget: {{ monthly: {} USD }}", dollars(least)));
    let why = refused.unwrap_err();
    assert_eq!(why.workloads.len(), 1);
    let why = &why.workloads[0];
    assert!(why.conflict.iter().any(|r| r.reason.contains("costs less than the budget")), "{why:?}");
    let named: Vec<&str> = why.conflict.iter().map(|r| r.constraint).collect();
    assert_eq!(named, ["budget", "quota"], "{:?}", why.conflict);
    let change = |constraint: &str| {
        let r = why.relaxations.iter().find(|r| r.constraint == constraint).unwrap();
        (r.change.clone(), r.cost_per_month)
    };
    // Rounded up to a dollar: the budget of one dollar less was just refused.
    assert_eq!(change("budget").1, least);
    assert!(
        change("budget").0.contains(&format!("budget of {} USD", dollars(least) + 1)),
        "{:?}",
        change("budget")
    );
    assert!(change("quota").0.contains(" of 576 instead of 400"), "{:?}", change("quota"));
    assert!(change("quota").1 <= least && change("quota").1 >= apart);
    let (_, _, works) = solved(400, &format!("budget: {{ monthly: {} USD }}", dollars(least) + 1));
    assert!(works.is_ok());
}

#[test]
fn equal_on_any_number_of_threads() {
    let (spec, world, placement) = tight();
    for threads in [1, 2, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| line::place(spec, world)).unwrap();
        assert_eq!(&again, placement, "{threads} threads");
    }
}

#[test]
fn each_planted_fault_of_the_proof_is_found() {
    let (spec, world, placement) = tight();
    type Plant = fn(&mut Placement);
    let faults: [(&str, &str, Plant); 11] = [
        ("a limit that is not the spec's", "joint", |p| p.coupling.as_mut().unwrap().limits[0].limit = 401.0),
        ("less taken than is", "joint", |p| p.coupling.as_mut().unwrap().limits[0].taken = 192.0),
        ("a limit that nobody declared", "joint", |p| {
            p.coupling.as_mut().unwrap().limits[0].code = Some("L-NONE".into());
        }),
        ("a negative multiplier", "certificate", |p| p.coupling.as_mut().unwrap().limits[0].multiplier = -1),
        ("a bound above the cost", "certificate", |p| {
            let c = p.coupling.as_mut().unwrap();
            c.lower_bound = c.optimum + Money::from_micros(1);
        }),
        ("another cost", "certificate", |p| {
            p.coupling.as_mut().unwrap().optimum = Money::from_micros(1_000_000);
        }),
        ("a least cost above what was chosen", "certificate", |p| {
            let c = p.coupling.as_mut().unwrap();
            let most = c.optimum.times(10);
            *c.least.values_mut().next().unwrap() = most;
        }),
        ("a workload without a least cost", "certificate", |p| {
            p.coupling.as_mut().unwrap().least.pop_first();
        }),
        ("a workload that is proven alone", "certificate", |p| {
            p.workloads.values_mut().next().unwrap().certificate.together = false;
        }),
        ("no proof of all together", "certificate", |p| p.coupling = None),
        ("more than the quota", "joint", |p| {
            let want = |w: &&mut rhumb::placement::WorkloadPlacement| {
                w.pools.iter().any(|q| q.region == "eu-north-1")
            };
            let w = p.workloads.values_mut().find(want).unwrap();
            w.pools.iter_mut().find(|q| q.region == "eu-north-1").unwrap().machines[0].count += 1;
        }),
    ];
    for (what, code, plant) in faults {
        let mut planted = placement.clone();
        plant(&mut planted);
        let found = check::placement(spec, world, &planted);
        assert!(found.iter().any(|f| f.code == code), "{what}: {found:?}");
    }
}

#[test]
fn quotas_that_nothing_keeps_are_refused_by_the_bound() {
    // No machine of the rules' one type and region for either, and each would do with what there is for one.
    let rules = "placement: { residency: [eu], regions: [aws/eu-north-1], instance_types: [p5.48xlarge] }";
    let catalog = catalog();
    let text = text(384, "").replace("placement: { residency: [eu] }", rules);
    let spec = line::spec(&text, &catalog);
    let world = line::world(&spec, &catalog);
    let why = line::place(&spec, &world).unwrap_err();
    let why = &why.workloads[0];
    assert_eq!(why.address, "deployment");
    assert!(why.conflict[0].reason.contains("1000 times the separate optima"), "{:?}", why.conflict);
    assert!(why.relaxations[0].change.contains("of 576 instead of 384"), "{:?}", why.relaxations);
}

/// Of the same model and lengths, but for places, engine arguments and objectives.
const ALIKE: &str = r#"
rhumb: 1
name: alike
models: { m: { source: Qwen/Qwen3-14B, variants: { bf16: { quantization: bf16 }, fp8: { quantization: fp8 } } } }
defaults: { traffic: { peak: 3 req/s, input_tokens: { mean: 500 }, output_tokens: { mean: 100 } } }
services:
  a: { model: m, slo: { ttft: { p95: 2s } } }
  b: { model: m, slo: { ttft: { p95: 900ms }, tpot: { p95: 30ms } }, placement: { accelerators: [l40s, h100] } }
  c: { model: m, slo: { ttft: { p95: 2s } }, placement: { residency: [eu] }, purchase: { spot_max_share: 50% } }
  d: { model: m, slo: { ttft: { p95: 2s } }, engine: { args: { tensor_parallel_size: 2 } } }
  e: { model: m, slo: { ttft: { p95: 2s } }, engine: { args: { max_num_seqs: 128 } } }
"#;

#[test]
fn workloads_that_run_a_model_alike_are_placed_as_each_by_itself() {
    let catalog = Catalog::embedded();
    let spec = line::spec(ALIKE, &catalog);
    let world = line::world(&spec, &catalog);
    let alone = |name: &str| rhumb::optimize::cheapest(&spec, &world, &format!("services.{name}"));
    let names = ["a", "b", "c", "d", "e"];
    let Ok(placement) = line::place(&spec, &world) else {
        // Of a catalogue without most of its rows not all can be placed.
        assert!(names.iter().any(|name| alone(name).is_none()));
        return;
    };
    let mut candidates = 0;
    for name in names {
        let (own, here) = (alone(name).unwrap(), &placement.workloads[&format!("services.{name}")]);
        assert_eq!((&own.pools, &own.cost), (&here.pools, &here.cost), "{name}");
        assert_eq!(own.certificate, here.certificate, "{name}");
        candidates += own.certificate.candidates;
    }
    assert_eq!(rhumb::optimize::candidates(&spec, &world), candidates);
}

/// Where a quota leaves spot machines alone, spot that is dearer than on demand is bought: its loss saves nothing, and no figure that a
/// budget limits is below what is expected.
#[test]
fn dear_spot_is_no_cheaper_when_it_is_lost() {
    let catalog = line::on_sale(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 50_000_000),
        ("p5.48xlarge", "eu-north-1", Purchase::Spot, 58_900_000),
    ]);
    let more =
        "providers:\n  aws: { quotas: { eu-north-1: { L-417A185B: 0 } } }\nbudget: { monthly: 900000 USD }\n";
    let text = line::two_services(more).replace(
        "placement: { residency: [eu] }",
        "placement: { residency: [eu] }\n  purchase: { spot_max_share: 100% }",
    );
    let spec = line::spec(&text, &catalog);
    let world = line::world(&spec, &catalog);
    let placement = line::place(&spec, &world).unwrap();
    for w in placement.workloads.values() {
        assert!(w.pools.iter().flat_map(|p| &p.machines).all(|m| m.purchase == Purchase::Spot));
        assert_eq!(w.cost.ceiling_per_month, w.cost.expected_per_month, "{}", w.address);
    }
    assert_eq!(check::placement(&spec, &world, &placement), vec![]);
    assert_eq!(check::prove(&spec, &world, &placement).report.findings, vec![]);
}
