//! What runs is kept unless a move saves enough: by hand, laws, planted faults, and the command line.

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::diagnostic::Pointer;
use rhumb::placement::{MachinesAt, Placement, Running, World};
use rhumb::spec::{Spec, Stability};
use rhumb_api::{Cloud, Money, Purchase};

use crate::extent::{OneIn, is_many, one_in};
use crate::faults::{self, Case, Fault};
use crate::line;
use crate::oracle::worlds::{self, Random};

/// A service that needs two machines for its load, wherever they are.
const SPEC: &str = r#"
rhumb: 1
name: moves
models:
  find: { measured: { unit: frame, image: r/find:1, variants: { v: { memory: 2GiB, time: { l4: 20ms } } } } }
services:
  find:
    model: find
    traffic: { peak: 70 req/s, origins: { o: { at: vpc } } }
    slo: { e2e: { p95: 200ms } }
stability: { saving: 10% }
"#;

/// The service runs on g6.xlarge in us-east-1 at 0.80 USD an hour; in us-east-2 the same costs `cents`.
fn solved(cents: i64) -> Case {
    let catalog = line::on_sale(&[
        ("g6.xlarge", "us-east-1", Purchase::OnDemand, 800_000),
        ("g6.xlarge", "us-east-2", Purchase::OnDemand, cents * 10_000),
    ]);
    let spec = line::spec(SPEC, &catalog);
    let mut world = line::world(&spec, &catalog);
    world.running.add("services.find", Cloud::Aws, "us-east-1", "g6.xlarge");
    let placement = line::place(&spec, &world).unwrap();
    (spec, world, placement)
}

fn at(region: &str) -> MachinesAt {
    let (region, instance_type) = (region.into(), "g6.xlarge".into());
    MachinesAt { cloud: Cloud::Aws, region, instance_type, shared: false }
}

#[test]
fn a_move_must_save_more_than_it_is_told() {
    for (cents, region) in
        [(60, "us-east-2"), (71, "us-east-2"), (72, "us-east-1"), (75, "us-east-1"), (81, "us-east-1")]
    {
        let (spec, world, placement) = solved(cents);
        assert_eq!(check::placement(&spec, &world, &placement), vec![], "{cents}");
        let proof = check::prove(&spec, &world, &placement);
        assert_eq!(proof.all.gap(), Some(0.0), "{cents}: {proof:?}");
        assert!(proof.report.findings.is_empty(), "{cents}: {:?}", proof.report.findings);
        let kept = placement.kept.as_ref().unwrap();
        let of = &kept.workloads["services.find"];
        assert_eq!(of.planned, vec![at(region)], "{cents}");
        assert_eq!((of.running.clone(), of.is_kept()), (vec![at("us-east-1")], region == "us-east-1"));
        // Two machines, 730 hours; the free choice is the cheaper of the two.
        let month = |cents: i64| Money::from_micros(cents * 10_000).times(2 * 730);
        assert_eq!(of.cost, month(if region == "us-east-1" { 80 } else { cents }), "{cents}");
        assert_eq!(kept.free, Some(month(cents.min(80))), "{cents}");
        let free = of.free.as_ref().unwrap();
        assert_eq!(free.places, vec![at(if cents < 80 { "us-east-2" } else { "us-east-1" })], "{cents}");
        let lost = &placement.workloads["services.find"].losers;
        let told =
            lost.iter().any(|l| l.rejection.constraint == "stability" && l.candidate.region == "us-east-2");
        assert_eq!(told, (72..80).contains(&cents), "{cents}: {lost:?}");
    }
}

/// Machines that the team holds are as good as running: nobody goes on paying for others beside them.
#[test]
fn what_is_held_is_moved_to() {
    let held = "commitments: { r: { kind: reservation, cloud: aws, region: us-east-2, instance_type: g6.xlarge, count: 2, until: 2031-01-01 } }\n";
    let (_, running, _) = solved(79);
    let spec = line::spec(&format!("{SPEC}{held}"), &running.catalog);
    let mut world = line::world(&spec, &running.catalog);
    world.running = running.running;
    let placement = line::place(&spec, &world).unwrap();
    assert_eq!(placement.workloads["services.find"].pools[0].region, "us-east-2");
    assert_eq!(placement.kept.as_ref().unwrap().cost, Money::ZERO);
    assert_eq!(check::placement(&spec, &world, &placement), vec![]);
    assert_eq!(check::prove(&spec, &world, &placement).all.gap(), Some(0.0));
}

#[test]
fn without_the_key_or_with_nothing_running_the_cheapest_is_chosen() {
    let (spec, world, _) = solved(75);
    let free = Spec { stability: None, ..spec.clone() };
    let anew = World { running: Running::default(), ..world.clone() };
    for (spec, world) in [(&free, &world), (&spec, &anew)] {
        let placement = line::place(spec, world).unwrap();
        assert_eq!(placement.workloads["services.find"].pools[0].region, "us-east-2");
        assert_eq!(placement.kept, None);
        assert_eq!(check::placement(spec, world, &placement), vec![]);
    }
}

fn pools(placement: &Placement) -> Vec<(String, Vec<(Purchase, u32)>)> {
    let of = |p: &rhumb::placement::Pool| {
        (p.addr.to_string(), p.machines.iter().map(|m| (m.purchase, m.count)).collect())
    };
    placement.workloads.values().flat_map(|w| w.pools.iter().map(of)).collect()
}

/// Prices of what does not run move by a hundredth, or three tenths, either way: nothing that runs is given up for it, though without the
/// key some of it would be.
#[test]
fn a_price_tick_moves_nothing() {
    let part = one_in(8, 1);
    let (same, _) = ticks(part, 0.01, 50_000);
    let (same_as_well, would_move) = ticks(part, 0.3, 400_000);
    assert!(
        same > part.of(60) && same_as_well > part.of(60) && (would_move > 5 || !is_many()),
        "{same} and {same_as_well} the same, {would_move} would move"
    );
}

fn ticks(part: OneIn, tick: f64, saving_ppm: u32) -> (u64, u64) {
    let base = Catalog::embedded();
    let (mut same, mut would_move) = (0, 0);
    for seed in part.seeds(0..250) {
        let (mut spec, mut world) = worlds::together(seed, &base);
        spec.budget.limits.clear();
        spec.batches.clear();
        if spec.services.is_empty() {
            continue;
        }
        let Ok(first) = line::place(&spec, &world) else { continue };
        world.running = Running::of_placement(&first);
        let mut r = Random::new(seed ^ 0x7469_636b);
        let catalog = &mut world.catalog;
        for offering in &mut catalog.offerings {
            let (kind, region) =
                (&catalog.instance_types[offering.instance_type], &catalog.regions[offering.region]);
            let runs = |w: &String| world.running.has(w, (region.cloud, &region.id, &kind.name));
            if !world.running.0.keys().any(runs) {
                offering.price = offering.price.scale(r.range(1.0 - tick, 1.0 + tick));
            }
        }
        let free = line::place(&spec, &world).unwrap();
        would_move += u64::from(pools(&free) != pools(&first));
        spec.stability = Some(Stability { saving_ppm, at: Pointer::root() });
        let second = line::place(&spec, &world).unwrap();
        assert_eq!(pools(&second), pools(&first), "world {seed}");
        let kept = second.kept.unwrap();
        assert!(
            kept.free.unwrap() <= kept.cost && kept.workloads.values().all(|w| w.is_kept()),
            "world {seed}"
        );
        same += 1;
    }
    (same, would_move)
}

pub const FAULTS: &[Fault] = &[
    ("not told", "stability", "nothing is said of what runs", |_, _, p| p.kept = None),
    ("another part", "stability", "the part that a move must save", |_, _, p| kept(p).saving_ppm += 1),
    ("a service too few", "stability", "the services of which machines run", |_, _, p| {
        kept(p).workloads.clear()
    }),
    ("runs elsewhere", "stability", "where its machines run", |_, _, p| {
        one(p).running = vec![at("us-west-2")]
    }),
    ("planned elsewhere", "stability", "where they will", |_, _, p| one(p).planned = vec![at("us-east-2")]),
    ("another cost", "stability", "its cost a month", |_, _, p| one(p).cost = Money::ZERO),
    ("another sum", "stability", "the cost of everything", |_, _, p| kept(p).cost = Money::ZERO),
    ("a free choice that is dearer", "stability", "a free choice costs more", |_, _, p| {
        kept(p).free = Some(Money::from_micros(i64::MAX / 2));
    }),
    ("a free choice that is not its services'", "stability", "what a free choice costs", |_, _, p| {
        kept(p).free = Some(Money::from_micros(1));
    }),
    ("a service without a free choice", "stability", "without its free choice", |_, _, p| one(p).free = None),
    ("something else runs", "stability", "where its machines run", |_, w, _| {
        w.running.add("services.find", Cloud::Aws, "us-west-2", "g6.xlarge");
    }),
    ("the cost of a move is not counted", "certificate", "the cost of all workloads", |s, _, p| {
        s.stability.as_mut().unwrap().saving_ppm = 100_000;
        p.coupling.as_mut().unwrap().optimum = Money::ZERO;
    }),
];

fn kept(placement: &mut Placement) -> &mut rhumb::placement::Kept {
    placement.kept.as_mut().unwrap()
}

fn one(placement: &mut Placement) -> &mut rhumb::placement::KeptWorkload {
    kept(placement).workloads.values_mut().next().unwrap()
}

#[test]
fn each_planted_fault_is_found() {
    faults::all_are_found_on_sound(&solved(75), FAULTS);
}

/// A plan that keeps what it should give up, and one that gives up what it should keep.
#[test]
fn the_bound_knows_what_a_move_counts_for() {
    let (spec, world, moves) = solved(60);
    let (_, _, stays) = solved(75);
    let (mut keeps, mut gives_up) = (spec.clone(), spec.clone());
    // Planned by another rule than the one that it is checked by.
    keeps.stability.as_mut().unwrap().saving_ppm = 400_000;
    gives_up.stability = None;
    let dear = line::place(&keeps, &world).unwrap();
    assert_ne!(pools(&dear), pools(&moves));
    let proof = check::prove(&spec, &world, &dear);
    assert!(proof.all.gap().is_some_and(|gap| gap > 0.1), "{proof:?}");
    let (spec, world, _) = solved(75);
    let mut moved = line::place(&gives_up, &world).unwrap();
    assert_ne!(pools(&moved), pools(&stays));
    moved.coupling.clone_from(&stays.coupling);
    let proof = check::prove(&spec, &world, &moved);
    assert!(proof.all.gap().is_some_and(|gap| gap > 0.03), "{proof:?}");
}

#[test]
fn a_saved_plan_stands_for_what_runs() {
    use crate::cli::{rhumb, run};
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let spec = SPEC.replace("slo:", "placement: { clouds: [aws], accelerators: [l4] }\n    slo:");
    write("deploy.yaml", &spec);
    let rhumb = || {
        let mut command = rhumb();
        command.current_dir(folder.path());
        command
    };
    let (out, err, code) = run(rhumb().args(["--json", "plan", "--out", "first.plan"]));
    assert_eq!(code, 0, "{err}");
    let first: serde_json::Value = serde_json::from_str(&out).unwrap();
    let pool = &first["workloads"]["services.find"]["pools"][0];
    let (kind, region) = (pool["instance_type"].as_str().unwrap(), pool["region"].as_str().unwrap());
    let other = if region == "eu-north-1" { "eu-south-1" } else { "eu-north-1" };
    let price: f64 = pool["machines"][0]["usd_per_hour_each"].as_str().unwrap().parse().unwrap();
    let plan = |usd: f64, args: &[&str]| {
        let own = format!(
            "as_of: 2026-11-27\nprices:\n  - {{ cloud: aws, region: {other}, instance_type: {kind}, usd_per_hour: {usd} }}\n"
        );
        let prices = tempfile::tempdir().unwrap();
        std::fs::write(prices.path().join("own.yaml"), &own).unwrap();
        let own = prices.path().join("own.yaml");
        let (out, err, code) = run(rhumb().args(["--json", "plan", "--catalog"]).arg(own).args(args));
        assert_eq!(code, 0, "{err}");
        let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
        let region = plan["workloads"]["services.find"]["pools"][0]["region"].as_str().unwrap().to_owned();
        (region, plan["stability"].clone())
    };
    let running: &[&str] = &["--running", "first.plan"];
    assert_eq!(plan(price * 0.95, &[]).0, other);
    let (stays, told) = plan(price * 0.95, running);
    assert_eq!(stays, region);
    assert_eq!(told["workloads"][0]["kept"], true);
    assert_eq!(told["workloads"][0]["free_choice"]["places"][0]["region"], other);
    assert_eq!(plan(price * 0.85, running).0, other);
    write(
        "other.yaml",
        &spec.replace("stability: { saving: 10% }", "").replace("name: moves", "name: other"),
    );
    let (_, err, code) = run(rhumb().args(["plan", "other.yaml", "--running", "first.plan"]));
    assert!(code == 1 && err.contains("has no `stability`"), "{code} {err}");
    std::fs::remove_file(folder.path().join("other.yaml")).unwrap();
    let (_, err, code) = run(rhumb().args(["plan", "--running", "none.plan"]));
    assert!(code == 1 && err.contains("none.plan"), "{code} {err}");
    let (_, err, code) = run(rhumb().args(["plan", "--running", "deploy.yaml"]));
    assert!(code == 1 && err.contains("deploy.yaml"), "{code} {err}");
}
