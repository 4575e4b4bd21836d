//! Held machines and savings plans in batches, trainings and pipelines.

use rhumb::placement::{Placement, Pool};
use rhumb::spec::Spec;
use rhumb_api::{Money, Purchase};

use crate::faults::{self, Fault};
use crate::line;
use Purchase::{Held, OnDemand};

/// Of `tests/it/pipelines.rs`: three machines of 0.4 do the work in the least time for its price, 20 vCPUs in 160 waves.
const FEATURES: &str = "
rhumb: 1
name: features
commitments:
  m7i: { kind: reservation, cloud: aws, region: eu-central-1, instance_type: m7i.2xlarge, count: 3, until: 2027-06-30 }
pipelines:
  features:
    engine: spark
    image: registry.example.com/data/features:5
    command: [spark-submit, job.py]
    input: 400GB
    throughput_per_core: { aws/m7i: 6MB/s, x86_64: 5MB/s }
    memory_per_core: 4GiB
    shards: 3200
    schedule: \"0 1 * * *\"
    deadline: 3h
";

/// 120 MB/s of events: four machines of seven vCPUs (`tests/it/streams.rs`).
const CLICKS: &str = "  clicks:
    engine: spark
    image: registry.example.com/data/clicks:3
    command: [spark-submit, clicks.py]
    rate: 100000 events/s
    event_size: 1200 B
    freshness: 5s
    batch_overhead: 400ms
    shards: 48
    throughput_per_core: { aws/m7i: 6MB/s, x86_64: 5MB/s }
    memory_per_core: 4GiB
";

fn proven(text: &str) -> (Spec, rhumb::placement::World, Placement) {
    let catalog = line::on_sale(&[
        ("m7i.2xlarge", "eu-central-1", OnDemand, 400_000),
        ("m7i.2xlarge", "eu-central-1", Purchase::Spot, 380_000),
    ]);
    line::proven(text, &catalog)
}

fn machines(placement: &Placement, address: &str) -> Vec<(Purchase, u32)> {
    placement.workloads[address].pools[0].machines.iter().map(|m| (m.purchase, m.count)).collect()
}

fn month(placement: &Placement) -> Money {
    placement.workloads.values().map(|w| w.cost.expected_per_month).sum()
}

#[test]
fn a_run_on_held_machines_costs_nothing_more() {
    let (_, _, placement) = proven(FEATURES);
    let run = placement.workloads["pipelines.features"].run.as_ref().unwrap();
    assert_eq!(month(&placement), Money::ZERO);
    let held = machines(&placement, "pipelines.features");
    assert!(held.len() == 1 && held[0].0 == Held && held[0].1 <= 3, "{held:?}");
    // What runs so many hours a month would cost on demand.
    let all = 400_000.0 * f64::from(held[0].1) * run.hours * run.runs_per_month;
    let rises = placement.held[0].rises_per_month.unwrap().micros() as f64;
    assert!((rises / all - 1.0).abs() < 1e-4, "{rises} {all}");
    assert_eq!(placement.held[0].used, held[0].1);
    // It leaves them alone where it is told to.
    let not = format!("{FEATURES}    purchase: {{ commitments: none }}\n");
    assert_eq!(machines(&proven(&not).2, "pipelines.features"), [(OnDemand, 3)]);
    assert_eq!(proven(&not).2.held[0].used, 0);
}

#[test]
fn what_is_missing_is_bought_for_the_run() {
    // One is held; a second is needed, and beside one that is paid two, or three, cost what others do in less time.
    let one = FEATURES.replace("count: 3", "count: 1");
    let (_, _, placement) = proven(&one);
    let run = placement.workloads["pipelines.features"].run.as_ref().unwrap();
    let mixed = machines(&placement, "pipelines.features");
    let [(OnDemand, bought), (Held, 1)] = mixed[..] else { panic!("{mixed:?}") };
    // By the waves of 7 n - 1 vCPUs: 212 s and 20.83 s of each, n - 1 machines of 0.4.
    let of = |n: f64| (n - 1.0) * 0.4 * (212.0 + (3200.0 / (7.0 * n - 1.0)).ceil() * 125.0 / 6.0) / 3600.0;
    let cheapest = (2..60).map(f64::from).map(of).fold(f64::INFINITY, f64::min);
    assert!((run.cost_per_run.usd() - cheapest).abs() < 1e-5, "{} {cheapest} {bought}", run.cost_per_run);
    // It is not lost, so that no work is done twice.
    assert!(placement.workloads["pipelines.features"].failures.is_empty());
}

#[test]
fn runs_and_streams_share_the_stock_all_the_time() {
    // The stream needs four. Of four held it has them all, or the run has some: the stock counts the run's at every hour.
    let both = FEATURES.replace("count: 3", "count: 4") + CLICKS;
    let (_, _, placement) = proven(&both);
    assert_eq!(placement.held[0].used, 4);
    assert_eq!(machines(&placement, "pipelines.clicks"), [(Held, 4)]);
    assert_eq!(machines(&placement, "pipelines.features"), [(OnDemand, 3)]);
    assert_eq!(month(&proven(&both.replace("count: 4", "count: 7")).2), Money::ZERO);
}

#[test]
fn a_savings_plan_covers_runs() {
    // A fourth off 0.4 is 0.3: of 0.95 three machines.
    let line = FEATURES.lines().find(|l| l.contains("reservation")).unwrap();
    let plan = "  own: { kind: savings-plan, cloud: aws, spend: 0.95 USD/h, until: 2027-06-30, rates: [{ discount: 25% }] }";
    let (_, _, placement) = proven(&FEATURES.replace(line, plan));
    let run = placement.workloads["pipelines.features"].run.as_ref().unwrap();
    let held = machines(&placement, "pipelines.features");
    assert_eq!((month(&placement), held[0].0), (Money::ZERO, Held));
    let own = &placement.savings[0];
    assert_eq!(own.used().micros(), 300_000 * i64::from(held[0].1));
    // Of the mean hour it takes the share in which it runs.
    let mean = own.used().usd() * run.hours * run.runs_per_month / 730.0;
    assert!((own.mean.usd() - mean).abs() < 1e-5, "{} {mean}", own.mean);
}

fn pool(p: &mut Placement) -> &mut Pool {
    &mut p.workloads.get_mut("pipelines.features").unwrap().pools[0]
}

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    ("more used than held", "held", "more held machines", |s, _, _| { s.held.get_mut("m7i").unwrap().count = 0; s.lower_held(); }),
    ("used where none may be", "held", "none may be used", |s, _, _| s.pipelines.get_mut("features").unwrap().purchase.held = false),
    ("fewer told than are used", "held", "the machines that are used", |_, _, p| p.held[0].used -= 1),
    ("another rise of the bill", "held", "what is told", |_, _, p| p.held[0].rises_per_month = None),
    ("a price that is not nothing", "price", "the price", |_, _, p| pool(p).machines[0].price = Money::from_micros(1)),
    ("a fallback on held machines", "held", "a fallback takes", |_, _, p| {
        let own = pool(p).machines.clone();
        let fallbacks = &mut p.workloads.get_mut("pipelines.features").unwrap().fallbacks;
        let list = &mut fallbacks[0].list;
        list[0].pool.machines = own;
    }),
];

#[test]
fn every_fault_is_found() {
    let catalog = line::on_sale(&[
        ("m7i.2xlarge", "eu-central-1", OnDemand, 400_000),
        ("c7i.4xlarge", "eu-central-1", OnDemand, 600_000),
    ]);
    faults::all_are_found_on_sound(&line::proven(FEATURES, &catalog), FAULTS);
}
