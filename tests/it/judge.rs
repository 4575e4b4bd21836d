//! The checker's own bound: plans that are not the cheapest, and proofs that prove nothing, each with what it must say of them.

use std::sync::OnceLock;

use rhumb::catalog::{Catalog, Offering};
use rhumb::check::{self, Finding, Proof};
use rhumb::placement::{Coupling, Placement, WorkloadPlacement, World};
use rhumb::spec::{AllowDeny, BudgetLimit, BudgetScope, Load, Spec};
use rhumb_api::{Cloud, Money, Purchase};

use crate::line;

/// Two services and a batch; with a quota that two of them want more of than there is if `quota` is small.
fn text(quota: u32) -> String {
    format!(
        "rhumb: 1
confidence: 80%
name: judged
models:
  large:
    source: meta-llama/Llama-3.3-70B-Instruct
    variants:
      bf16: {{ quantization: bf16 }}
      fp8: {{ quantization: fp8 }}
    quality: {{ keep: 99%, benchmark: mmlu, measured: {{ fp8: 99.5% }} }}
defaults:
  placement: {{ residency: [eu] }}
services:
  a:
    model: large
    traffic:
      peak: 2 req/s
      input_tokens: {{ p50: 1200, p95: 5000 }}
      output_tokens: {{ p50: 400, p95: 1200 }}
      origins: {{ nl: {{ at: NL, share: 100% }} }}
    slo: {{ ttft: {{ p95: 2s }}, tpot: {{ p95: 60ms }} }}
  b:
    model: large
    traffic:
      peak: 16 req/s
      input_tokens: {{ p50: 1200, p95: 7000 }}
      output_tokens: {{ p50: 200, p95: 700 }}
      origins: {{ ie: {{ at: IE, share: 60% }}, it: {{ at: IT, share: 40% }} }}
    slo: {{ ttft: {{ p95: 2s }}, tpot: {{ p95: 60ms }} }}
    survive: {{ machine: 1 }}
    purchase: {{ spot_max_share: 50% }}
batches:
  night:
    model: large
    items: 400k
    input_tokens: 350
    output_tokens: 20
    schedule: \"0 1 * * *\"
    deadline: 6h
providers:
  aws: {{ quotas: {{ eu-north-1: {{ L-417A185B: {quota} }} }} }}
"
    )
}

/// The catalogue with a handful of offers.
fn catalog() -> Catalog {
    line::on_sale(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
        ("p5.48xlarge", "eu-north-1", Purchase::Spot, 25_000_000),
        ("p5.48xlarge", "us-east-1", Purchase::OnDemand, 31_000_000),
        ("p5en.48xlarge", "eu-south-2", Purchase::OnDemand, 68_400_000),
    ])
}

type Case = (Spec, World, Placement);

fn case(quota: u32) -> Case {
    let catalog = catalog();
    let spec = line::spec(&text(quota), &catalog);
    let world = line::world(&spec, &catalog);
    let placement = line::place(&spec, &world).unwrap();
    (spec, world, placement)
}

/// Nothing is short.
fn free() -> &'static Case {
    static FREE: OnceLock<Case> = OnceLock::new();
    FREE.get_or_init(|| case(10_000))
}

/// Two machines of the cheapest offer, of which more are wanted.
fn tight() -> &'static Case {
    static TIGHT: OnceLock<Case> = OnceLock::new();
    TIGHT.get_or_init(|| case(400))
}

fn judged(spec: &Spec, world: &World, placement: &Placement) -> (Vec<Finding>, Proof) {
    let proof = check::prove(spec, world, placement);
    (check::inspect(spec, world, placement).and(proof.report.clone()).findings, proof)
}

/// What is planted: before planning, so that another plan is made than the spec and the catalogue deserve; or afterwards.
enum Plant {
    Before(fn(&mut Spec, &mut World)),
    After(fn(&mut Spec, &mut World, &mut Placement)),
}
use Plant::{After, Before};

/// Name, what is planted, and code, address and a part of the message of what must be found.
type Fault = (&'static str, Plant, &'static str, &'static str, &'static str);

const CHEAPER: &str = "something cheaper keeps every promise";
const BELOW: &str = "it costs less than anything that keeps the promises";

fn service<'s>(spec: &'s mut Spec, name: &str) -> &'s mut rhumb::spec::Service {
    spec.services.get_mut(name).unwrap()
}

fn placed<'p>(placement: &'p mut Placement, address: &str) -> &'p mut WorkloadPlacement {
    placement.workloads.get_mut(address).unwrap()
}

fn without(world: &mut World, kind: &str, purchase: Option<Purchase>) {
    let index = world.catalog.instance_type(Cloud::Aws, kind).unwrap();
    let drop = |o: &Offering| o.instance_type == index && purchase.is_none_or(|p| o.purchase == p);
    world.catalog.offerings.retain(|o| !drop(o));
}

fn dollar() -> Money {
    Money::from_micros(1_000_000)
}

/// Where nothing is shared.
#[rustfmt::skip]
const ALONE: &[Fault] = &[
    // Made from less than there is.
    ("a catalogue that lacked the cheapest type", Before(|_, w| without(w, "p5.48xlarge", None)), "optimum", "services.a", CHEAPER),
    ("and its candidates are not counted", Before(|_, w| without(w, "p5.48xlarge", None)), "certificate", "services.a", "the number of candidates there are"),
    ("the same of a batch", Before(|_, w| without(w, "p5en.48xlarge", None)), "optimum", "batches.night", CHEAPER),
    ("a catalogue without spot", Before(|_, w| without(w, "p5.48xlarge", Some(Purchase::Spot))), "optimum", "services.b", CHEAPER),
    ("a price that fell since", Before(|_, w| w.catalog.offerings.iter_mut().for_each(|o| if o.price < Money::from_micros(60_000_000) { o.price = o.price.times(2) })), "optimum", "services.a", CHEAPER),
    ("a price that rose since", After(|_, w, _| for o in &mut w.catalog.offerings { o.price += dollar(); }), "price", "services.a/aws/eu-north-1/p5.48xlarge/on_demand", "the price is wrong"),
    ("a region left out", Before(|s, _| service(s, "a").placement.regions = AllowDeny::Not(vec!["eu-north-1".into()])), "optimum", "services.a", CHEAPER),
    ("a type left out", Before(|s, _| s.batches.get_mut("night").unwrap().placement.instance_types = AllowDeny::Not(vec!["p5en.48xlarge".into()])), "optimum", "batches.night", CHEAPER),
    ("a residency that is not asked for", After(|s, _, _| service(s, "a").placement.residency.clear()), "optimum", "services.a", CHEAPER),
    // Made for more than is asked for.
    ("twice the traffic", Before(|s, _| service(s, "b").traffic.load = Load::Rate(64.0)), "optimum", "services.b", CHEAPER),
    ("a machine more may fail", Before(|s, _| service(s, "b").survive.machine = 2), "optimum", "services.b", CHEAPER),
    ("a region may fail", Before(|s, _| service(s, "b").survive.region = 1), "optimum", "services.b", CHEAPER),
    ("two regions", Before(|s, _| service(s, "a").placement.spread_regions = 2), "optimum", "services.a", CHEAPER),
    ("more replicas", Before(|s, _| service(s, "a").scaling.min_replicas = 40), "optimum", "services.a", CHEAPER),
    ("no spot", Before(|s, _| service(s, "b").purchase.spot_max_share = 0.0), "optimum", "services.b", CHEAPER),
    ("machines that are not spot", Before(|s, _| service(s, "b").purchase.on_demand_base = 3), "optimum", "services.b", CHEAPER),
    ("an earlier end", Before(|s, _| s.batches.get_mut("night").unwrap().deadline_s /= 16.0), "optimum", "batches.night", CHEAPER),
    // A proof of something else.
    ("a cost below everything", After(|_, _, p| { let c = &mut placed(p, "services.a").certificate; c.optimum = c.optimum - dollar(); c.lower_bound = c.optimum; }), "optimum", "services.a", BELOW),
    ("a cost and a bound above what is paid", After(|_, _, p| { let c = &mut placed(p, "services.a").certificate; c.optimum += dollar(); c.lower_bound = c.optimum; }), "certificate", "services.a", "the optimum is wrong"),
    ("a bound above the cost", After(|_, _, p| placed(p, "services.a").certificate.lower_bound += dollar()), "certificate", "services.a", "the bound does not prove the optimum"),
    ("one candidate fewer", After(|_, _, p| { let c = &mut placed(p, "services.a").certificate; c.candidates -= 1; c.bounded -= 1; }), "certificate", "services.a", "the number of candidates there are"),
    ("the proof of another service", After(|_, _, p| { let c = placed(p, "services.b").certificate.clone(); placed(p, "services.a").certificate = c; }), "certificate", "services.a", "the optimum is wrong"),
    ("together, and nothing is shared", After(|_, _, p| placed(p, "services.a").certificate.together = true), "certificate", "deployment", "the number of workloads proven together"),
    // Other plans than these.
    ("a machine fewer", After(|_, _, p| placed(p, "services.b").pools[0].machines[0].count -= 1), "replicas", "services.b/aws/eu-north-1/p5.48xlarge", "machines make up another number"),
    ("a machine fewer, with its replicas", After(|_, _, p| { let pool = &mut placed(p, "services.b").pools[0]; pool.machines[0].count -= 1; pool.replicas -= pool.replicas_per_machine; }), "failure", "services.b/aws/eu-north-1/p5.48xlarge", "does not survive"),
    ("two services swapped", After(|_, _, p| { let b = p.workloads.remove("services.b").unwrap(); let a = p.workloads.insert("services.a".into(), b).unwrap(); p.workloads.insert("services.b".into(), a); }), "workload", "services.a", "its own address"),
    ("a service forgotten", After(|_, _, p| { p.workloads.remove("services.b"); }), "workload", "services.b", "the workload is not placed"),
    ("data outside of its residency", After(|s, _, _| service(s, "a").placement.residency = vec!["us".into()]), "residency", "services.a/aws/eu-north-1/p5.48xlarge", "data may not be there"),
    ("more spot than is allowed", After(|s, _, _| service(s, "b").purchase.spot_max_share = 0.01), "spot-share", "services.b/aws/eu-north-1/p5.48xlarge", "too many spot machines"),
    ("a budget off by a micro-dollar", After(|s, _, p| {
        let limit = p.workloads["services.a"].cost.expected_per_month - Money::from_micros(1);
        s.budget.limits.insert(BudgetScope::Workload("services.a".into()), BudgetLimit { limit, at: Default::default() });
    }), "budget", "services.a", "over its budget"),
    ("a budget for everything off by a micro-dollar", After(|s, _, p| {
        let limit = p.workloads.values().map(|w| w.cost.expected_per_month).sum::<Money>() - Money::from_micros(1);
        s.budget.limits.insert(BudgetScope::All, BudgetLimit { limit, at: Default::default() });
    }), "joint", "budget", "the budget of all workloads together"),
    ("a quota off by one", After(|s, _, p| {
        let taken: f64 = p.workloads.values().flat_map(|w| &w.quotas).filter(|q| q.code == "L-417A185B" && q.region == "eu-north-1").map(|q| q.amount).sum();
        let quotas = &mut s.providers.get_mut(&Cloud::Aws).unwrap().quotas;
        quotas.get_mut("eu-north-1").unwrap().insert("L-417A185B".into(), taken - 1.0);
        for q in p.workloads.values_mut().flat_map(|w| &mut w.quotas).filter(|q| q.region == "eu-north-1" && q.declared.is_some()) { q.declared = Some(taken - 1.0); }
    }), "joint", "quotas", "the quotas of all workloads together"),
];

fn coupling(placement: &mut Placement) -> &mut Coupling {
    placement.coupling.as_mut().unwrap()
}

const TOO_HIGH: &str = "its least cost at the multipliers is claimed too high";

/// Where a quota is short.
#[rustfmt::skip]
const TOGETHER: &[Fault] = &[
    ("a catalogue without spot", Before(|_, w| without(w, "p5.48xlarge", Some(Purchase::Spot))), "certificate", "services.b", "the number of candidates there are"),
    ("a least cost that is a dollar too high", After(|_, _, p| { let least = coupling(p).least.get_mut("services.a").unwrap(); *least += dollar(); }), "optimum", "services.a", TOO_HIGH),
    ("the same of a batch", After(|_, _, p| { let least = coupling(p).least.get_mut("batches.night").unwrap(); *least += dollar(); }), "optimum", "batches.night", TOO_HIGH),
    ("a multiplier of half as much", After(|_, _, p| coupling(p).limits[0].multiplier /= 2), "optimum", "services.a", TOO_HIGH),
    ("a multiplier of the wrong sign", After(|_, _, p| { let m = &mut coupling(p).limits[0].multiplier; *m = -*m; }), "certificate", "deployment", "the multiplier of L-417A185B"),
    ("the multiplier of another quota", After(|_, _, p| coupling(p).limits[0].code = Some("L-7212CCBC".into())), "joint", "deployment", "is not limited by the spec"),
    ("the multiplier of another region", After(|_, _, p| coupling(p).limits[0].region = Some("eu-south-2".into())), "joint", "deployment", "is not limited by the spec"),
    ("a quota planned with one machine fewer", Before(|s, _| { s.providers.get_mut(&Cloud::Aws).unwrap().quotas.get_mut("eu-north-1").unwrap().insert("L-417A185B".into(), 208.0); }), "optimum", "services.b", CHEAPER),
    ("by itself it costs less than is said", After(|_, _, p| { let c = &mut placed(p, "services.a").certificate; c.lower_bound = c.optimum.times(2); }), "optimum", "services.a", "the least that it costs by itself is claimed too high"),
    ("a bound of everything above the cost", After(|_, _, p| { let c = coupling(p); c.lower_bound = c.optimum + Money::from_micros(1); }), "certificate", "deployment", "the bound is above the cost"),
    ("no proof of all together", After(|_, _, p| p.coupling = None), "certificate", "deployment", "the number of workloads proven together"),
    ("no least cost of one", After(|_, _, p| { coupling(p).least.remove("services.b"); }), "certificate", "services.b", "its least cost is not said"),
    ("a dearer choice of plans, by the right multipliers", After(|s, w, p| {
        let mut fewer = s.clone();
        fewer.providers.get_mut(&Cloud::Aws).unwrap().quotas.get_mut("eu-north-1").unwrap().insert("L-417A185B".into(), 208.0);
        let other = line::place(&fewer, w).unwrap();
        let cost = other.workloads.values().map(|w| w.cost.expected_per_month).sum();
        p.workloads = other.workloads;
        (coupling(p).optimum, coupling(p).lower_bound) = (cost, cost);
    }), "optimum", "deployment", "a cheaper choice keeps every promise and every shared limit"),
    ("more taken of the quota than is said", After(|_, _, p| coupling(p).limits[0].taken -= 1.0), "joint", "deployment", "what is taken of L-417A185B"),
];

#[test]
fn what_is_cheapest_is_found_to_be() {
    let (spec, world, placement) = free();
    let (findings, proof) = judged(spec, world, placement);
    assert_eq!(findings, vec![]);
    assert_eq!(placement.coupling, None);
    for b in proof.workloads.iter().chain([&proof.all]) {
        assert_eq!((b.verdict().as_str(), b.left_out.len()), ("optimal", 0), "{b:?}");
    }
    // 70B on eight accelerators in two variants, three settings: more candidates than offers, and each counted once.
    assert_eq!(proof.all.candidates, proof.workloads.iter().map(|b| b.candidates).sum::<u64>());
    assert!(proof.all.candidates > 50, "{proof:?}");
}

#[test]
fn what_is_cheapest_together_is_found_again_among_whole_plans() {
    let (spec, world, placement) = tight();
    let (findings, proof) = judged(spec, world, placement);
    assert_eq!(findings, vec![]);
    let coupling = placement.coupling.as_ref().expect("more of the quota is wanted than there is");
    let bound = proof.all.bound.unwrap();
    assert_eq!((bound, coupling.lower_bound), (coupling.optimum, coupling.optimum));
    assert!(bound > coupling.apart, "{bound} {coupling:?}");
    assert_eq!((proof.all.verdict().as_str(), proof.all.left_out.len()), ("optimal", 0), "{proof:?}");
    // The multipliers alone leave a gap here, which the choice of whole plans closes.
    let paid: f64 = coupling.limits.iter().map(|l| l.multiplier as f64 / f64::from(1 << 24) * l.limit).sum();
    let least: Money = coupling.least.values().copied().sum();
    assert!(
        least.usd() - paid < 0.999 * coupling.optimum.usd(),
        "{least} less {paid} of {}",
        coupling.optimum
    );
}

#[test]
fn every_fault_of_a_plan_or_its_proof_is_found() {
    let mut missed = String::new();
    for (base, faults) in [(free(), ALONE), (tight(), TOGETHER)] {
        for (name, plant, code, address, part) in faults {
            let (mut spec, mut world, mut placement) = base.clone();
            match plant {
                Before(plant) => {
                    let (mut other, mut elsewhere) = (spec.clone(), world.clone());
                    plant(&mut other, &mut elsewhere);
                    match line::place(&other, &elsewhere) {
                        Ok(planned) => placement = planned,
                        Err(why) => missed += &format!("{name}: no plan: {:?}\n", why.workloads[0].conflict),
                    }
                }
                After(plant) => plant(&mut spec, &mut world, &mut placement),
            }
            let (findings, _) = judged(&spec, &world, &placement);
            let found = |f: &Finding| f.code == *code && f.address == *address && f.message.contains(part);
            if !findings.iter().any(found) {
                missed += &format!("{name}: no {code} of {address} `{part}` among:\n");
                for f in findings {
                    missed += &format!(
                        "    {} {}: {} ({} / {})\n",
                        f.code, f.address, f.message, f.expected, f.found
                    );
                }
            }
        }
    }
    assert!(missed.is_empty(), "\n{missed}");
}

#[test]
fn something_cheaper_is_named() {
    let (spec, world, _) = free();
    let mut poorer = world.clone();
    without(&mut poorer, "p5.48xlarge", None);
    let (findings, proof) = judged(spec, world, &line::place(spec, &poorer).unwrap());
    let cheaper = findings.iter().find(|f| f.code == "optimum" && f.address == "services.a").unwrap();
    assert!(cheaper.expected.contains("aws/eu-north-1/p5.48xlarge"), "{cheaper:?}");
    assert!(proof.all.gap().unwrap() > 0.1 && proof.all.verdict().starts_with("within 1"), "{proof:?}");
}

#[test]
fn equal_on_any_number_of_threads() {
    let (spec, world, placement) = tight();
    let first = check::prove(spec, world, placement);
    for threads in [1, 2, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| check::prove(spec, world, placement)), first, "{threads} threads");
    }
}

#[test]
fn at_least_thirty_faults_are_planted() {
    assert!(ALONE.len() + TOGETHER.len() >= 30);
}
