//! Machines that services share: a placement made by hand is clean, its bound is what the page says, and every planted fault is
//! found.

use std::sync::OnceLock;

use rhumb::catalog::{Catalog, Evidence, Offered};
use rhumb::check::{self, Lack};
use rhumb::placement::*;
use rhumb::spec::{self, BudgetScope, Daily, ScalingMode, Spec};
use rhumb_api::{Cloud, Money, Purchase, ResourceAddr};

use crate::faults::{self, Case, Fault, told};
use crate::line;
use crate::maker::{self, Wanted};

/// A replica of two accelerators whose machine may fail, one of one whose zone may, one that may fail with everything; and a
/// batch on machines of its own.
const TEXT: &str = r#"
rhumb: 1
confidence: 80%
name: sharing
models:
  chat: { source: Qwen/Qwen3-8B, variants: { bf16: {} } }
defaults:
  share_machines: within-deployment
services:
  a:
    model: chat
    traffic: { peak: 8 req/s, input_tokens: { mean: 600 }, output_tokens: { mean: 200 }, origins: { eu: { at: DE, share: 100% } } }
    slo: { ttft: { p95: 2s }, tpot: { p95: 25ms } }
    survive: { machine: 1 }
    engine: { args: { max_num_seqs: 256, max_num_batched_tokens: 8192, max_model_len: 8192, tensor_parallel_size: 2 } }
  b:
    model: chat
    traffic: { peak: 15 req/s, input_tokens: { mean: 600 }, output_tokens: { mean: 200 }, origins: { eu: { at: DE, share: 100% } } }
    slo: { ttft: { p95: 2s }, tpot: { p95: 60ms } }
    survive: { zone: 1 }
    scaling: { min_replicas: 6 }
    engine: { args: { max_num_seqs: 256, max_num_batched_tokens: 8192, max_model_len: 8192, tensor_parallel_size: 1 } }
  c:
    model: chat
    traffic: { peak: 12 req/s, input_tokens: { mean: 600 }, output_tokens: { mean: 200 }, origins: { eu: { at: DE, share: 100% } } }
    slo: { ttft: { p95: 2s }, tpot: { p95: 60ms } }
    scaling: { min_replicas: 5 }
    engine: { args: { max_num_seqs: 256, max_num_batched_tokens: 8192, max_model_len: 8192, tensor_parallel_size: 1 } }
batches:
  night:
    model: chat
    items: 100k
    input_tokens: 350
    output_tokens: 20
    deadline: 20h
    engine: { args: { max_num_seqs: 256, max_num_batched_tokens: 8192, max_model_len: 8192 } }
providers: { aws: { quotas: { eu-west-1: { L-417A185B: 300, L-DB2E81BA: 8 } } } }
budget: { monthly: 80000 USD }
"#;

/// Dollars an hour of a machine of eight, in micro-dollars; not a multiple of 17, nor of 8.
const PRICE: i64 = 32_772_601;
const TYPE: &str = "p4d.24xlarge";

fn catalog() -> Catalog {
    line::on_sale(&[
        (TYPE, "eu-west-1", Purchase::OnDemand, PRICE),
        (TYPE, "eu-west-1", Purchase::Spot, 9_000_000),
        (TYPE, "eu-west-1", Purchase::Reserved1y, 21_000_000),
        ("g6e.xlarge", "eu-west-1", Purchase::OnDemand, 2_071_111),
    ])
}

fn wanted(kind: &'static str) -> Wanted<'static> {
    Wanted { cloud: Cloud::Aws, region: "eu-west-1", instance_type: kind, variant: "bf16", machines: (0, 0) }
}

fn micro(n: i64) -> Money {
    Money::from_micros(n)
}

/// A service made as if every replica had a machine of its own, and put on shared ones: what fails with such a machine is
/// what fails with `most` of 1, and a zone has the same part of the replicas.
fn shared(
    spec: &Spec,
    world: &World,
    name: &str,
    (most, per_zone): (u32, Option<u32>),
    part: i64,
) -> WorkloadPlacement {
    let mut cut = world.clone();
    let each = spec.services[name].engine.tensor_parallel_size.unwrap();
    let of = cut.catalog.instance_type(Cloud::Aws, TYPE).unwrap();
    cut.catalog.instance_types[of].accelerator_count = f64::from(each);
    let mut made = maker::service(spec, &cut, name, &wanted(TYPE));
    let provenance = made.pools[0].machines[0].provenance.clone();
    let pool = &mut made.pools[0];
    pool.accelerators_per_machine = 8.0;
    pool.machines.clear();
    pool.replicas_per_machine = most;
    pool.shared = Some(OnShared {
        fleet: ResourceAddr::parse(format!("machines.shared/aws/eu-west-1/{TYPE}/on_demand")).unwrap(),
        accelerators: each,
        most_per_machine: most,
        most_per_zone: per_zone,
    });
    let line = made.cost.lines.iter_mut().find(|l| l.addr.ends_with("/on_demand")).unwrap();
    *line = CostLine {
        addr: format!("{}/shared", pool.addr),
        what: format!("{each} of 8 accelerators for each of {} replicas", pool.replicas),
        per_hour: Some(micro(part)),
        evidence: Evidence::Listed,
        provenance: Some(provenance),
    };
    made.quotas.clear();
    made.fallbacks.clear();
    let sum: Money = made.cost.lines.iter().filter_map(|l| l.per_hour).sum();
    let month = sum.per_month();
    made.cost.expected_per_hour = sum;
    (made.cost.expected_per_month, made.cost.peak_per_month, made.cost.ceiling_per_month) =
        (month, month, month);
    let slots = i64::from(each * made.pools[0].replicas);
    prove(&mut made, sum, sum - micro(part) + micro(PRICE / 8 * slots));
    made
}

/// Candidates by hand: four offerings; of 8 accelerators the replicas are cut in as many ways as `perf::layouts` has for a dense
/// model, which is asked for since what is counted is checked in judge.rs.
fn candidates(spec: &Spec, world: &World, name: &str) -> u64 {
    let model = spec.services.get(name).map_or("chat", |s| s.model.as_str());
    let of = |kind: &str| {
        let t = &world.catalog.instance_types[world.catalog.instance_type(Cloud::Aws, kind).unwrap()];
        let whole = t.accelerator_count as u32;
        let spans = if t.rdma_gbps.is_some_and(|g| g > 0.0) && whole >= 4 { 4 } else { 1 };
        let cuts = rhumb::perf::layouts(&world.archs[model], whole, spans);
        let divides =
            |l: &&rhumb::perf::Layout| l.accelerators() <= whole || l.accelerators().is_multiple_of(whole);
        cuts.iter().filter(divides).count() as u64
    };
    3 * of(TYPE) + of("g6e.xlarge")
}

fn prove(made: &mut WorkloadPlacement, optimum: Money, alone: Money) {
    let c = &mut made.certificate;
    (c.optimum, c.lower_bound, c.together) = (optimum, alone, true);
    made.losers[0].per_hour = optimum.times(2);
}

/// By hand. The replicas of `a` go on three machines, one on each: 6, 6, 6 accelerators are free. Those of `b` fill the first
/// with room that has not two of a zone's: two on each, 4, 4, 4. Four of `c` fill the first machine, the fifth goes on the
/// second. So 17 of 24 are taken; `a` pays 6 of 17 and what is left of rounding.
fn base() -> &'static Case {
    static BASE: OnceLock<Case> = OnceLock::new();
    BASE.get_or_init(|| {
        let catalog = catalog();
        let spec = line::spec(TEXT, &catalog);
        let world = line::world(&spec, &catalog);
        let (b, c) = (3 * PRICE * 6 / 17, 3 * PRICE * 5 / 17);
        let a = 3 * PRICE - b - c;
        let mut made = vec![
            shared(&spec, &world, "a", (1, None), a),
            shared(&spec, &world, "b", (8, Some(2)), b),
            shared(&spec, &world, "c", (8, None), c),
        ];
        let replicas: Vec<u32> = made.iter().map(|w| w.pools[0].replicas).collect();
        assert_eq!(replicas, [3, 6, 5], "the loads are chosen so");
        let entry = |(w, part): (&WorkloadPlacement, i64)| SharedPool {
            workload: w.address.clone(),
            addr: w.pools[0].addr.clone(),
            replicas: w.pools[0].replicas,
            per_hour: micro(part),
        };
        let offering = &world.catalog.offerings[0];
        let quota = |code: &str, amount, declared| {
            let of = world.catalog.instance_type(Cloud::Aws, TYPE).unwrap();
            let quotas = world.catalog.quotas_for(of, Purchase::OnDemand);
            let row = quotas.iter().find(|(q, _)| q.code == code).unwrap().0;
            QuotaNeed {
                cloud: Cloud::Aws,
                region: "eu-west-1".into(),
                code: row.code.clone(),
                name: row.name.clone(),
                unit: "vcpus",
                amount,
                declared: Some(declared),
                default_new_account: row.default_new_account,
            }
        };
        let fleet = SharedFleet {
            addr: ResourceAddr::parse(format!("machines.shared/aws/eu-west-1/{TYPE}/on_demand")).unwrap(),
            cloud: Cloud::Aws,
            region: "eu-west-1".into(),
            instance_type: TYPE.into(),
            accelerator: made[0].pools[0].accelerator.clone(),
            accelerators_per_machine: 8,
            purchase: Purchase::OnDemand,
            count: 3,
            zones: 3,
            price: micro(PRICE),
            list_price: micro(PRICE),
            provenance: offering.provenance.clone(),
            pools: made.iter().zip([a, b, c]).map(entry).collect(),
            mixes: vec![
                Mix { machines: vec![0], replicas: vec![1, 2, 4] },
                Mix { machines: vec![1], replicas: vec![1, 2, 1] },
                Mix { machines: vec![2], replicas: vec![1, 2, 0] },
            ],
            // 96 vCPUs a machine.
            quotas: vec![quota("L-417A185B", 288.0, 300.0)],
            caveats: vec!["no fallback was looked for here".into()],
            fallbacks: Vec::new(),
        };
        let mut night =
            maker::batch(&spec, &world, "night", &Wanted { machines: (1, 0), ..wanted("g6e.xlarge") });
        night.quotas[0].declared = Some(8.0);
        let optimum = night.certificate.optimum;
        prove(&mut night, optimum, optimum);
        made.push(night);
        for w in &mut made {
            let name = w.address.split_once('.').unwrap().1;
            w.certificate.candidates = candidates(&spec, &world, name);
            w.certificate.bounded = w.certificate.candidates - 2;
        }
        let month = |w: &WorkloadPlacement| {
            if w.run.is_some() { w.cost.expected_per_month } else { w.cost.expected_per_hour.per_month() }
        };
        let alone = |w: &WorkloadPlacement| {
            if w.run.is_some() { w.cost.expected_per_month } else { w.certificate.lower_bound.per_month() }
        };
        let sum: Money = made.iter().map(month).sum();
        let least = made.iter().map(|w| (w.address.clone(), alone(w))).collect();
        let coupling = Coupling {
            limits: Vec::new(),
            optimum: sum,
            lower_bound: sum,
            apart: sum,
            least,
            plans: 1,
            nodes: 1,
            stopped: None,
            carbon_price: 0,
        };
        let workloads = made.into_iter().map(|w| (w.address.clone(), w)).collect();
        let placement = maker::placement(&world, workloads, vec![fleet], Some(coupling));
        (spec, world, placement)
    })
}

fn of<'p>(p: &'p mut Placement, name: &str) -> &'p mut WorkloadPlacement {
    p.workloads.get_mut(&format!("services.{name}")).unwrap()
}

fn pool<'p>(p: &'p mut Placement, name: &str) -> &'p mut Pool {
    &mut of(p, name).pools[0]
}

fn on<'p>(p: &'p mut Placement, name: &str) -> &'p mut OnShared {
    pool(p, name).shared.as_mut().unwrap()
}

fn fleet(p: &mut Placement) -> &mut SharedFleet {
    &mut p.fleets[0]
}

fn line_of<'p>(p: &'p mut Placement, name: &str) -> &'p mut CostLine {
    of(p, name).cost.lines.iter_mut().find(|l| l.addr.ends_with("/shared")).unwrap()
}

fn service<'s>(s: &'s mut Spec, name: &str) -> &'s mut spec::Service {
    s.services.get_mut(name).unwrap()
}

fn night(p: &mut Placement) -> &mut WorkloadPlacement {
    p.workloads.get_mut("batches.night").unwrap()
}

fn coupling(p: &mut Placement) -> &mut Coupling {
    p.coupling.as_mut().unwrap()
}

/// The quota of the shared machines as a limit of the certificate, with a multiplier.
fn limit(p: &mut Placement, multiplier: i64) -> &mut SharedLimit {
    coupling(p).limits.push(SharedLimit {
        constraint: "quota",
        workload: None,
        label: None,
        cloud: Some(Cloud::Aws),
        region: Some("eu-west-1".into()),
        code: Some("L-417A185B".into()),
        limit: 300.0,
        taken: 288.0,
        multiplier,
        worth: Money::ZERO,
        at: None,
    });
    &mut coupling(p).limits[0]
}

#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    // How many machines, and what is on them.
    ("one machine fewer", "packing", "the least number of machines", |_, _, p| fleet(p).count = 2),
    ("one machine more", "packing", "the least number of machines", |_, _, p| { fleet(p).count = 4; fleet(p).mixes.push(Mix { machines: vec![3], replicas: vec![0, 0, 0] }); }),
    ("another mix that would do", "packing", "what is on each", |_, _, p| { fleet(p).mixes[0].replicas[2] = 3; fleet(p).mixes[1].replicas[2] = 2; }),
    ("mixes in another order", "packing", "what is on each", |_, _, p| fleet(p).mixes.swap(0, 1)),
    ("two that may not fail together", "packing", "too many replicas of services.a", |_, _, p| { fleet(p).mixes[0].replicas = vec![2, 2, 2]; fleet(p).mixes[1].replicas[0] = 0; }),
    ("a zone overfull", "packing", "/p4d.24xlarge in one zone", |_, _, p| { fleet(p).mixes[0].replicas[1] = 3; fleet(p).mixes[2].replicas[1] = 1; }),
    ("a machine overfull", "packing", "more accelerators are taken", |_, _, p| { fleet(p).mixes[0].replicas[2] = 5; fleet(p).mixes[1].replicas[2] = 0; }),
    ("a replica nowhere", "packing", "the replicas of services.c", |_, _, p| fleet(p).mixes[1].replicas[2] = 0),
    ("a machine twice", "packing", "not every machine", |_, _, p| fleet(p).mixes[2].machines = vec![1]),
    ("a pool that is not counted", "packing", "not every pool", |_, _, p| { fleet(p).mixes[0].replicas.pop(); }),
    ("taken in another order", "packing", "the order", |_, _, p| fleet(p).pools.swap(1, 2)),
    ("on no number of machines", "packing", "fit no number", |_, _, p| on(p, "c").most_per_machine = 0),
    ("zones of the region", "zones", "the number of zones", |_, _, p| fleet(p).zones = 1),
    // Who is there.
    ("a pool listed twice", "fleet", "not on its shared machines once", |_, _, p| { let twin = fleet(p).pools[2].clone(); fleet(p).pools.push(twin); }),
    ("a pool not listed", "fleet", "not on its shared machines once", |_, _, p| { fleet(p).pools.pop(); }),
    ("a pool in two fleets", "fleet", "not on its shared machines once", |_, _, p| { let mut twin = fleet(p).clone(); twin.pools.truncate(1); twin.addr = twin.addr.child("more"); p.fleets.push(twin); }),
    ("no fleet", "fleet", "no such shared machines", |_, _, p| p.fleets.clear()),
    ("a fleet of nobody", "fleet", "nobody is on", |_, _, p| fleet(p).pools.clear()),
    ("a pool that is not there", "fleet", "is said to be here", |_, _, p| { let other = fleet(p).pools[0].addr.child("2"); fleet(p).pools[0].addr = other; }),
    ("other replicas", "fleet", "the number of replicas of services.b", |_, _, p| fleet(p).pools[1].replicas = 7),
    ("two fleets of one address", "fleet", "not in order", |_, _, p| { let twin = fleet(p).clone(); p.fleets.push(twin); }),
    ("machines of another type", "fleet", "the place and type", |_, _, p| fleet(p).instance_type = "p4de.24xlarge".into()),
    ("the address of other machines", "address", "the address of shared machines", |_, _, p| fleet(p).addr = fleet(p).addr.child("2")),
    ("an invented type", "instance-type", "no such type", |_, _, p| fleet(p).instance_type = "p9.huge".into()),
    ("an invented region", "region", "no such region", |_, _, p| fleet(p).region = "moon-north-1".into()),
    ("twice the accelerators", "instance-type", "the number of accelerators", |_, _, p| fleet(p).accelerators_per_machine = 16),
    ("other accelerators", "instance-type", "the accelerator ", |_, _, p| fleet(p).accelerator = None),
    // Who may be there, and how.
    ("who shares nothing", "sharing", "shares no machines", |s, _, _| service(s, "b").shares = false),
    ("who follows the day", "sharing", "the load of the day", |s, _, _| { let b = service(s, "b"); b.scaling.mode = ScalingMode::Horizontal; b.traffic.daily = Some(Daily { name: None, shares: [1_000_000; 24], weekend: None, time_zone: "UTC".into(), at: Default::default() }); }),
    ("who has a budget", "sharing", "a budget of its own", |s, _, _| { let limit = s.budget.limits[&BudgetScope::All].clone(); s.budget.limits.insert(BudgetScope::Workload("services.b".into()), limit); }),
    ("a batch", "sharing", "a run has machines of its own", |_, _, p| night(p).pools[0].shared = Some(on(p, "c").clone())),
    ("machines of its own as well", "sharing", "has some of its own", |_, _, p| { let own = night(p).pools[0].machines[0].clone(); pool(p, "b").machines.push(own); }),
    ("fewer accelerators", "sharing", "the accelerators of a replica", |_, _, p| on(p, "a").accelerators = 1),
    ("a replica over two machines", "sharing", "the machines of a replica", |_, _, p| pool(p, "a").machines_per_replica = 2),
    ("a whole machine", "sharing", "takes a whole machine", |_, w, _| for t in &mut w.catalog.instance_types { if t.name == TYPE { t.accelerator_count = 2.0; } }),
    ("machines of one", "sharing", "cannot be shared", |_, w, _| for t in &mut w.catalog.instance_types { if t.name == TYPE { t.accelerator_count = 1.0; } }),
    ("more on a machine than fit", "sharing", "on no machine", |_, _, p| { on(p, "a").most_per_machine = 5; pool(p, "a").replicas_per_machine = 5; }),
    ("fewer than fit without need", "sharing", "that may not fail", |_, _, p| { on(p, "c").most_per_machine = 4; pool(p, "c").replicas_per_machine = 4; }),
    ("two ways to say it", "sharing", "the most replicas on one machine", |_, _, p| pool(p, "a").replicas_per_machine = 2),
    ("more in a zone", "sharing", "the most replicas in one zone", |_, _, p| on(p, "b").most_per_zone = Some(3)),
    ("no word of zones", "sharing", "the most replicas in one zone", |_, _, p| on(p, "b").most_per_zone = None),
    ("no replicas", "replicas", "no replicas", |_, _, p| pool(p, "c").replicas = 0),
    ("zones of the replicas", "zones", "the number of zones", |_, _, p| pool(p, "a").zones = 2),
    // What may fail.
    ("two fail with a machine", "failure", "the loss of 1 (machine)", |_, _, p| { on(p, "a").most_per_machine = 2; pool(p, "a").replicas_per_machine = 2; }),
    ("more zones fail", "failure", "the loss of 3 (zone)", |s, _, _| service(s, "b").survive.zone = 3),
    ("zones that nobody knows", "failure", "the loss of 1 (zone)", |_, w, _| for r in &mut w.catalog.regions { r.zones = None; }),
    ("what a zone leaves", "failure", "what is left of scope zone", |_, _, p| of(p, "b").failures[0].replicas_left = 5),
    // What it costs.
    ("spot", "purchase", "spot machines are not shared", |_, _, p| fleet(p).purchase = Purchase::Spot),
    ("not the cheapest option", "purchase", "would buy these machines in another way", |s, _, _| service(s, "c").purchase.options.push(Purchase::Reserved1y)),
    ("an option that is not allowed", "purchase", "would buy these machines in another way", |_, _, p| fleet(p).purchase = Purchase::Reserved1y),
    ("not sold there", "purchase", "not offered there", |_, w, _| w.catalog.offerings.clear()),
    ("another price", "price", "the price is wrong", |_, _, p| fleet(p).price = micro(PRICE - 1)),
    ("another list price", "price", "the list price", |_, _, p| fleet(p).list_price = micro(1)),
    ("the price of somebody else", "price", "the source of the price", |_, _, p| fleet(p).provenance.source = "hearsay".into()),
    ("nobody knows", "caveat", "the fleet does not say so", |_, w, _| for o in &mut w.catalog.offerings { o.offered = Offered::Unknown; }),
    ("a part too small", "fleet", "the part of the price of services.b", |_, _, p| fleet(p).pools[1].per_hour = fleet(p).pools[1].per_hour - micro(1)),
    ("the rest paid by the second", "fleet", "the part of the price of services.a", |_, _, p| { let of = &mut fleet(p).pools; of[0].per_hour = of[0].per_hour - micro(1); of[1].per_hour += micro(1); }),
    ("a line too small", "cost-line", "the part of shared machines is wrong", |_, _, p| line_of(p, "b").per_hour = Some(micro(1))),
    ("a line too large by the rest", "cost-line", "the part of shared machines is wrong", |_, _, p| { let l = line_of(p, "c"); l.per_hour = l.per_hour.map(|m| m + micro(1)); }),
    ("a line without a price", "cost-line", "machines without a price", |_, _, p| line_of(p, "b").per_hour = None),
    ("a line of another class", "cost-line", "the class of the price", |_, _, p| line_of(p, "b").evidence = Evidence::Measured),
    ("a line from nowhere", "cost-line", "the source of the price", |_, _, p| line_of(p, "b").provenance = None),
    ("no line", "cost-line", "without its line", |_, _, p| of(p, "b").cost.lines.retain(|l| !l.addr.ends_with("/shared"))),
    ("two lines", "cost-line", "without its line", |_, _, p| { let twin = line_of(p, "b").clone(); of(p, "b").cost.lines.push(twin); }),
    ("a line of who shares nothing", "cost-line", "for no pool on them", |_, _, p| { let mut own = line_of(p, "b").clone(); own.addr = format!("{}/shared", night(p).pools[0].addr); night(p).cost.lines.push(own); }),
    ("a ceiling of its own", "ceiling", "the ceiling", |_, _, p| of(p, "b").cost.ceiling_per_month += micro(1)),
    // What is limited.
    ("a quota counted by a pool as well", "quota", "the quotas that are needed", |_, _, p| { let need = fleet(p).quotas[0].clone(); of(p, "a").quotas.push(need); }),
    ("a quota not counted", "quota", "the quotas that are needed", |_, _, p| fleet(p).quotas.clear()),
    ("a quota of two machines", "quota", "the amount of L-417A185B", |_, _, p| fleet(p).quotas[0].amount = 192.0),
    ("a quota of two", "quota", "over quota L-417A185B", |s, _, _| { s.providers.get_mut(&Cloud::Aws).unwrap().quotas.get_mut("eu-west-1").unwrap().insert("L-417A185B".into(), 287.0); }),
    ("a quota of all that is not kept", "joint", "the quotas of all workloads", |s, _, _| { s.providers.get_mut(&Cloud::Aws).unwrap().quotas.get_mut("eu-west-1").unwrap().insert("L-417A185B".into(), 287.0); }),
    ("a limit without the fleet", "joint", "what is taken of L-417A185B", |_, _, p| limit(p, 0).taken = 0.0),
    ("a limit that counts it twice", "joint", "what is taken of L-417A185B", |_, _, p| limit(p, 0).taken = 576.0),
    ("a budget below what all cost", "joint", "the budget of all workloads", |s, _, p| { let all = coupling(p).optimum; s.budget.limits.get_mut(&BudgetScope::All).unwrap().limit = all - micro(100_000_000); }),
    // What is proven.
    ("no proof together", "certificate", "are not proven together", |_, _, p| p.coupling = None),
    ("a least above the own part", "certificate", "the least cost is above", |_, _, p| { let l = coupling(p).least.get_mut("services.b").unwrap(); *l += micro(14_000_000_000); }),
    ("a bound above the cost", "certificate", "the bound is above the cost", |_, _, p| { let c = coupling(p); c.lower_bound = c.optimum + micro(1); }),
    ("a fallback", "fallback", "the pools that fallbacks are told for", |_, _, p| { let own = pool(p, "b").addr.clone(); of(p, "b").fallbacks.push(Fallbacks { pool: own, list: Vec::new() }); }),
    ("no word of fallbacks", "fallback", "does not say so", |_, _, p| fleet(p).caveats.clear()),
];

#[test]
fn three_services_on_three_machines_are_clean() {
    let (spec, world, placement) = base();
    let report = check::inspect(spec, world, placement);
    assert!(report.findings.is_empty(), "\n{}", told(&report.findings));
    let without = check::inspect(spec, world, &Placement { fleets: Vec::new(), ..placement.clone() });
    assert!(report.promises > without.promises, "{} and {}", report.promises, without.promises);
    let parts: Money = placement.fleets[0].pools.iter().map(|p| p.per_hour).sum();
    assert_eq!(parts, micro(3 * PRICE), "all of the price is paid, once");
}

#[test]
fn every_fault_of_shared_machines_is_found() {
    faults::all_are_found(base(), FAULTS);
}

/// The least of each service by hand: its accelerators at an eighth of the price, rounded down, and its responses. It is below
/// the parts of three machines of which 7 accelerators are free.
#[test]
fn the_bound_is_that_of_the_accelerators() {
    let (spec, world, placement) = base();
    let proof = check::prove(spec, world, placement);
    assert!(proof.report.findings.is_empty(), "\n{}", told(&proof.report.findings));
    for bound in proof.workloads.iter().filter(|b| b.address.starts_with("services.")) {
        let hand = placement.coupling.as_ref().unwrap().least[&bound.address];
        let off = (bound.bound.unwrap() - hand).micros().abs();
        assert!(off <= 730, "{}: {:?} and {hand}", bound.address, bound.bound);
        assert!(bound.bound.unwrap() < bound.cost);
    }
    assert_eq!(proof.all.left_out, ["that shared machines are whole"]);
    // What is free, 7 of 24 accelerators, and the rounding of the machines' price.
    let gap = (proof.all.cost - proof.all.bound.unwrap()).micros();
    let free = 730 * (3 * PRICE - 17 * (PRICE / 8));
    let batch = proof.workloads.iter().find(|b| b.address.starts_with("batches.")).unwrap();
    let batch = (batch.cost - batch.bound.unwrap()).micros();
    assert!((gap - free - batch).abs() <= 4 * 730, "{gap}, of which {free} + {batch} by hand");
}

/// A multiplier raises the price of a machine by what it takes of the limit, and so that of an accelerator by an eighth of it.
#[test]
fn multipliers_of_the_limits_are_in_the_accelerators_price() {
    let (spec, world, mut placement) = base().clone();
    // A dollar a month for each vCPU: a micro-dollar for a millionth of one.
    limit(&mut placement, 1 << 24);
    let slots = [("services.a", 6), ("services.b", 6), ("services.c", 5)];
    for (address, slots) in slots {
        // 96 dollars a month for a machine.
        *coupling(&mut placement).least.get_mut(address).unwrap() += micro(12_000_000 * slots);
    }
    let clean = check::placement(&spec, &world, &placement);
    assert!(clean.is_empty(), "\n{}", told(&clean));
    let proof = check::prove(&spec, &world, &placement);
    assert!(proof.report.findings.is_empty(), "\n{}", told(&proof.report.findings));
    // 204 dollars for the accelerators that are taken, less 300 for all there is.
    let without = check::prove(&spec, &world, &base().2).all.bound.unwrap();
    let off = proof.all.bound.unwrap() - without;
    assert!((off.micros() + 96_000_000).abs() <= 730, "{off}");
}

#[test]
fn a_bound_that_is_claimed_too_high_is_found() {
    let planted: [(&str, &str, fn(&mut Placement)); 3] = [
        ("the least at the multipliers", "its least cost at the multipliers is claimed too high", |p| {
            *coupling(p).least.get_mut("services.b").unwrap() += micro(1_000_000);
        }),
        ("the least by itself", "the least that it costs by itself is claimed too high", |p| {
            of(p, "c").certificate.lower_bound += micro(10_000);
        }),
        ("candidates that there are not", "the number of candidates there are", |p| {
            of(p, "a").certificate.candidates += 1;
        }),
    ];
    let (spec, world, placement) = base();
    for (name, part, plant) in planted {
        let mut placement = placement.clone();
        plant(&mut placement);
        let findings = check::prove(spec, world, &placement).report.findings;
        assert!(findings.iter().any(|f| f.message.contains(part)), "{name}:\n{}", told(&findings));
    }
}

/// Alone, nobody shares: of two that might, one that does not leaves the other with machines of its own.
#[test]
fn one_service_shares_with_nobody() {
    let (mut spec, world, placement) = base().clone();
    service(&mut spec, "a").shares = false;
    service(&mut spec, "b").shares = false;
    let proof = check::prove(&spec, &world, &placement);
    let c = proof.workloads.iter().find(|b| b.address == "services.c").unwrap();
    // A machine of its own for five accelerators of eight.
    assert!(c.bound.unwrap() >= micro(PRICE * 730), "{:?}", c.bound);
    assert!(proof.all.left_out.is_empty(), "{:?}", proof.all.left_out);
}

#[test]
fn facts_of_shared_machines_are_needed_too() {
    let (_, world, placement) = base();
    let mut world = world.clone();
    let at = placement.fleets[0].addr.as_str();
    assert!(check::facts(&world, placement, None).iter().all(|f| f.address != at));
    let old = check::facts(&world, placement, Some(0));
    let age: Vec<Lack> = old.iter().filter(|f| f.address == at).map(|f| f.lack).collect();
    assert_eq!(age, [Lack::TooOld], "{old:?}");
    for offering in &mut world.catalog.offerings {
        offering.offered = Offered::Unknown;
    }
    let unknown = check::facts(&world, placement, None);
    assert!(unknown.iter().any(|f| f.address == at && f.fact == "offered"), "{unknown:?}");
}
