//! Trainings: what is planned is clean and proven, every planted fault is found, and runs end as they are said to.

use std::sync::OnceLock;

use rhumb::catalog::Catalog;
use rhumb::check::{self, Finding};
use rhumb::placement::*;
use rhumb::replay::{self, Kept};
use rhumb::spec::{Checkpointing, Method, Sharding, Spec, TrainingPrecision};
use rhumb_api::{Money, Purchase};

use crate::faults::{self, Case, Fault, told};
use crate::line;

/// A fine-tuning that one machine does not end in time, of a dataset in another region; spot for a part of it.
const TEXT: &str = "
rhumb: 1
name: tune
models:
  chat: { source: Qwen/Qwen3-8B, artifacts_at: aws/us-east-1 }
trainings:
  tune:
    model: chat
    method: full
    dataset_tokens: 4.1G
    sequence_tokens: 2048
    batch_size: 128
    checkpoint_every: 30m
    dataset: { at: aws/us-east-1, size: 900GB }
    command: [train.py]
    deadline: 10h
    purchase: { spot_max_share: 50% }
";

const TYPE: &str = "p5.48xlarge";

fn catalog() -> Catalog {
    line::on_sale(&[
        (TYPE, "eu-north-1", Purchase::OnDemand, 58_900_000),
        (TYPE, "eu-north-1", Purchase::Spot, 21_400_000),
        (TYPE, "us-east-1", Purchase::OnDemand, 63_200_000),
        ("p5en.48xlarge", "us-east-1", Purchase::OnDemand, 71_300_000),
        ("p4d.24xlarge", "us-east-1", Purchase::OnDemand, 44_900_000),
    ])
}

fn case() -> &'static Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let catalog = catalog();
        let spec = line::spec(TEXT, &catalog);
        let world = line::world(&spec, &catalog);
        let placement = line::place(&spec, &world).unwrap();
        (spec, world, placement)
    })
}

fn placed(p: &mut Placement) -> &mut WorkloadPlacement {
    p.workloads.get_mut("trainings.tune").unwrap()
}

fn pool(p: &mut Placement) -> &mut Pool {
    &mut placed(p).pools[0]
}

fn run(p: &mut Placement) -> &mut BatchRun {
    placed(p).run.as_mut().unwrap()
}

fn trains(p: &mut Placement) -> &mut TrainingRun {
    run(p).training.as_mut().unwrap()
}

fn asked(s: &mut Spec) -> &mut rhumb::spec::Training {
    s.trainings.get_mut("tune").unwrap()
}

fn dollar() -> Money {
    Money::from_micros(1_000_000)
}

/// Another strategy, recomputation, ... than the planned.
fn other(p: &mut Placement) -> Sharding {
    Sharding::ALL.into_iter().find(|s| *s != trains(p).sharding).unwrap()
}

fn dataset(p: &mut Placement) -> &mut CostLine {
    placed(p).cost.lines.iter_mut().find(|l| l.addr.contains("/transfer/dataset/")).unwrap()
}

#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    ("one machine fewer", "layout", "the machines that train together", |_, _, p| pool(p).machines[0].count -= 1),
    ("one machine fewer everywhere", "layout", "do not divide a step", |_, _, p| { pool(p).machines[0].count -= 1; pool(p).machines_per_replica -= 1; }),
    ("idle accelerators of several machines", "layout", "do not divide a step", |_, _, p| { trains(p).accelerators /= 2; trains(p).accumulation *= 2; }),
    ("another layout", "layout", "the layout is wrong", |_, _, p| pool(p).layout.dp /= 2),
    ("two runs at once", "layout", "how often the training runs at once", |_, _, p| pool(p).replicas = 2),
    ("a micro-batch that does not fit", "does-not-fit", "does not fit", |_, _, p| { let t = trains(p); t.accumulation = 1; t.micro_batch = 128 / t.accelerators; t.checkpointing = Checkpointing::None; t.sharding = Sharding::None; }),
    ("another accumulation", "training", "do not make up a step", |_, _, p| trains(p).accumulation += 1),
    ("a batch size of twice as many", "training", "do not make up a step", |s, _, _| asked(s).batch_size *= 2),
    ("another micro-batch than stated", "training", "the micro-batch is wrong", |s, _, p| asked(s).micro_batch = Some(trains(p).micro_batch + 1)),
    ("another strategy than stated", "training", "the strategy is wrong", |s, _, p| asked(s).sharding = Some(other(p))),
    ("activations recomputed against the spec", "training", "the activation checkpointing is wrong", |s, _, p| asked(s).checkpointing = Checkpointing::ALL.into_iter().find(|c| *c != trains(p).checkpointing)),
    ("another precision", "training", "the precision is wrong", |_, _, p| trains(p).precision = TrainingPrecision::Fp8),
    ("adapters that nobody asked for", "training", "the rank of adapters is wrong", |_, _, p| trains(p).rank = Some(16)),
    ("all parameters where adapters are asked for", "training", "the rank of adapters is wrong", |s, _, _| asked(s).method = Method::Lora { rank: 16 }),
    ("trained by something else", "training", "the framework is wrong", |_, _, p| trains(p).framework = rhumb::spec::Framework::TensorFlow),
    ("a base that is held in 4 bits", "variant", "how weights are stored is wrong", |s, _, _| asked(s).method = Method::QLora { rank: 16 }),
    ("shorter sequences", "training", "the tokens of a sequence is wrong", |_, _, p| trains(p).sequence_tokens /= 2),
    ("a slower way", "training", "not the fastest way that fits", |_, _, p| trains(p).checkpointing = Checkpointing::Full),
    ("fewer steps", "run", "the steps of a run is wrong", |_, _, p| trains(p).steps -= 1.0),
    ("less memory for the optimizer", "memory", "memory for the optimizer is wrong", |_, _, p| trains(p).memory.optimizer *= 0.9),
    ("less memory of the pool", "memory", "memory for weights, gradients and optimizer is wrong", |_, _, p| pool(p).memory.weights *= 0.9),
    ("a speed that is not predicted", "figure", "the tokens a second as predicted is wrong", |_, _, p| trains(p).predicted_tokens_per_s *= 1.01),
    ("a speed without the band", "run", "the tokens a second at confidence is wrong", |_, _, p| { let all = trains(p).predicted_tokens_per_s; run(p).items_per_s = all; }),
    ("a pool that reaches more", "run", "the tokens a second that the pool reaches is wrong", |_, _, p| pool(p).capacity *= 1.01),
    ("a prediction of another class", "figure", "the class of the prediction is wrong", |_, _, p| pool(p).evidence = rhumb::catalog::Evidence::Measured),
    ("a remark that is not told", "figure", "remarks of the prediction are not told", |_, _, p| pool(p).notes.clear()),
    ("a faster start", "run", "the seconds until the first step is wrong", |_, _, p| trains(p).start_up_s -= 10.0),
    ("a smaller checkpoint", "run", "the GiB of a checkpoint is wrong", |_, _, p| trains(p).checkpoint_gib /= 2.0),
    ("a checkpoint written faster", "run", "the seconds to write one is wrong", |_, _, p| trains(p).checkpoint_s /= 2.0),
    ("another interval", "run", "the seconds between two checkpoints is wrong", |_, _, p| trains(p).checkpoint_every_s *= 2.0),
    ("the stated interval not honoured", "run", "the seconds between two checkpoints is wrong", |s, _, _| asked(s).checkpoint_every_s = Some(600.0)),
    ("interruptions left out", "run", "the interruptions that are expected is wrong", |_, _, p| trains(p).interruptions = 0.0),
    ("one interruption fewer at confidence", "run", "the interruptions at confidence is wrong", |_, _, p| trains(p).most_interruptions += 1),
    ("hours of a run too few", "run", "the hours of a run is wrong", |_, _, p| run(p).hours *= 0.99),
    ("hours at confidence too few", "run", "the hours at confidence is wrong", |_, _, p| trains(p).late_hours *= 0.99),
    ("a deadline that is missed at confidence", "deadline", "ends too late", |s, _, p| { let h = trains(p).late_hours - 0.01; asked(s).deadline_s = h * 3600.0; run(p).deadline_hours = h; }),
    ("another deadline", "run", "the deadline is wrong", |_, _, p| run(p).deadline_hours += 1.0),
    ("more runs", "run", "the runs of a month is wrong", |_, _, p| run(p).runs_per_month = 2.0),
    ("a run that costs less", "run", "the cost of a run is wrong", |_, _, p| run(p).cost_per_run = run(p).cost_per_run - dollar()),
    ("a run without its dataset", "run", "the cost of a run is wrong", |s, _, _| asked(s).dataset = None),
    ("no line of the dataset", "cost-line", "the cost of moving data is wrong", |_, _, p| placed(p).cost.lines.retain(|l| !l.addr.contains("/transfer/dataset/"))),
    ("a cheaper dataset", "cost-line", "the cost of moving data is wrong", |_, _, p| { let line = dataset(p); line.per_hour = line.per_hour.map(|m| m.scale(0.5)); }),
    ("a larger dataset", "cost-line", "the cost of moving data is wrong", |s, _, _| asked(s).dataset.as_mut().unwrap().gib *= 2.0),
    ("a cheaper month", "cost-sum", "the cost of a month", |_, _, p| { let c = &mut placed(p).cost; c.expected_per_month = c.expected_per_month.scale(0.9); }),
    ("a ceiling without spot bought on demand", "ceiling", "the ceiling of a month", |_, _, p| { let c = &mut placed(p).cost; c.ceiling_per_month = c.expected_per_month; }),
    ("too many spot machines", "spot-share", "too many spot machines", |s, _, _| asked(s).purchase.spot_max_share = 0.1),
    ("too few that are not spot", "on-demand-base", "too few machines that are not spot", |s, _, _| asked(s).purchase.on_demand_base = 3),
    ("a proof of another cost", "certificate", "the optimum", |_, _, p| { let c = &mut placed(p).certificate; c.optimum += dollar(); c.lower_bound += dollar(); }),
    ("a bound below the optimum", "certificate", "does not prove the optimum", |_, _, p| { let c = &mut placed(p).certificate; c.lower_bound = c.lower_bound - dollar(); }),
    ("no run", "run", "a training without a run", |_, _, p| placed(p).run = None),
    ("a run that does not train", "run", "a training without a run", |_, _, p| run(p).training = None),
    ("another variant", "variant", "the variant is wrong", |_, _, p| pool(p).variant = "lora".into()),
    ("other weights", "variant", "how weights are stored is wrong", |_, _, p| pool(p).quantization = rhumb::spec::Quantization::Fp8),
    ("a cheaper fallback", "fallback", "what it costs more", |_, _, p| { let f = &mut placed(p).fallbacks[0].list[0]; f.more_per_month = f.more_per_month - dollar(); }),
    ("a fallback that is late", "deadline", "ends too late", |s, _, p| { let f = &mut placed(p).fallbacks[0].list[0]; let r = f.run.as_mut().unwrap(); let h = r.training.as_ref().unwrap().late_hours - 0.01; r.deadline_hours = h; asked(s).deadline_s = h * 3600.0; }),
    ("an accelerator that is not allowed", "accelerators", "this accelerator is not allowed", |s, _, _| asked(s).placement.accelerators = rhumb::spec::AllowDeny::Not(vec!["h100-sxm-80gb".into()])),
    ("data where it may not be", "residency", "data may not be there", |s, _, _| asked(s).placement.residency = vec!["jp".into()]),
    ("not placed", "workload", "the workload is not placed", |_, _, p| p.workloads.clear()),
];

#[test]
fn every_planted_fault_of_a_training_is_found() {
    let (spec, world, placement) = case();
    let findings = check::placement(spec, world, placement);
    assert!(findings.is_empty(), "\n{}", told(&findings));
    let pool = &placement.workloads["trainings.tune"].pools[0];
    assert!(pool.machines_per_replica > 1 && pool.uses_spot(), "{pool:?}");
    faults::all_are_found(case(), FAULTS);
}

#[test]
fn the_bound_of_a_training_is_its_cost() {
    let (spec, world, placement) = case();
    let proof = check::prove(spec, world, placement);
    assert!(proof.report.passed(), "\n{}", told(&proof.report.findings));
    assert_eq!(proof.all.verdict(), "optimal");
    assert!(proof.all.candidates > 5);
}

fn one(findings: &[Finding], part: &str) -> bool {
    findings.iter().any(|f| (f.code, f.message.contains(part)) == ("optimum", true))
}

#[test]
fn what_is_not_the_cheapest_training_and_a_bound_too_high_are_told() {
    let (spec, world, placement) = case();
    // Planned without spot: it is cheaper with it.
    let mut poorer = world.clone();
    poorer.catalog.offerings.retain(|o| o.purchase != Purchase::Spot);
    let dearer = line::place(spec, &poorer).unwrap();
    let proof = check::prove(spec, world, &dearer);
    assert!(one(&proof.report.findings, "something cheaper"), "{}", told(&proof.report.findings));
    // Planned with it: nothing is so cheap without.
    let proof = check::prove(spec, &poorer, placement);
    assert!(one(&proof.report.findings, "costs less than anything"), "{}", told(&proof.report.findings));
    let mut wrong = placement.clone();
    let certificate = &mut placed(&mut wrong).certificate;
    certificate.together = true;
    certificate.lower_bound += dollar();
    let proof = check::prove(spec, world, &wrong);
    assert!(one(&proof.report.findings, "claimed too high"), "{}", told(&proof.report.findings));
    let mut fewer = placement.clone();
    placed(&mut fewer).certificate.candidates -= 1;
    let proof = check::prove(spec, world, &fewer);
    assert!(proof.report.findings.iter().any(|f| f.message.contains("the number of candidates there are")));
}

fn verified(spec: &Spec, world: &World, placement: &Placement, seed: u64) -> replay::Verification {
    let none = Default::default();
    let options = replay::Options { requests: 1000, seed, traces: &none, progress: &|_, _| {} };
    replay::verify(spec, world, placement, &options).unwrap()
}

#[test]
fn runs_end_within_the_deadline_as_often_as_promised() {
    let (spec, world, placement) = case();
    let found = verified(spec, world, placement, 1);
    assert!(found.passed());
    let t = &found.trainings[0];
    assert_eq!((t.runs, t.kept), (1000, Kept::Yes), "{t:?}");
    assert!(t.within >= spec.confidence && t.within_interval.0 < t.within, "{t:?}");
    assert!((t.hours.1 / t.hours.0 - 1.0).abs() < 0.03, "{t:?}");
    assert!(t.late_hours.1 <= t.late_hours.0 * 1.001, "{t:?}");
    // The same seed, the same runs; another, others.
    assert_eq!(verified(spec, world, placement, 1), found);
    assert_ne!(verified(spec, world, placement, 2).trainings[0].hours, t.hours);
    // On machines that are all lost within hours it does not.
    let mut worse = placement.clone();
    pool(&mut worse).machines.iter_mut().for_each(|m| m.interruption = Some(0.999));
    let mut tight = spec.clone();
    asked(&mut tight).checkpoint_every_s = Some(36_000.0);
    trains(&mut worse).checkpoint_every_s = 36_000.0;
    run(&mut worse).deadline_hours = run(&mut worse).hours * 0.9;
    let found = verified(&tight, world, &worse, 1);
    assert!(!found.passed() && found.trainings[0].kept == Kept::No, "{found:?}");
}

#[test]
fn a_training_is_stressed_by_its_speed_and_its_interruptions() {
    use rhumb::explore::{Stressing, What, stress};
    let (spec, world, placement) = case();
    let asked = Stressing { worlds: 400, seed: 1, requests: 0, correlation: 0.0 };
    let mut spec = spec.clone();
    let cost = placement.workloads["trainings.tune"].cost.expected_per_month;
    let limit = rhumb::spec::BudgetLimit { limit: cost.scale(1.05), at: rhumb::diagnostic::Pointer::root() };
    spec.budget.limits.insert(rhumb::spec::BudgetScope::All, limit);
    spec.budget.binds = rhumb::spec::BudgetBinds::Expected;
    let found = stress(&spec, world, placement, &asked).unwrap();
    assert_eq!(found.trained.len(), 1);
    let deadline = found.promises.iter().find(|p| p.what == What::Deadline).unwrap();
    let budget = found.promises.iter().find(|p| matches!(p.what, What::Budget { .. })).unwrap();
    // The speed alone is kept in `confidence` of all worlds; the deadline has room for interruptions besides.
    assert!(deadline.held.share() >= spec.confidence - 0.05, "{deadline:?}");
    assert!(deadline.high > deadline.median && deadline.median > 0.0, "{deadline:?}");
    assert!(budget.held.held > 0 && budget.high > budget.median, "{budget:?}");
    assert_eq!(stress(&spec, world, placement, &asked).unwrap(), found);
}
