//! Pipelines on processors: by hand, by enumeration alone and beside another, by laws; planted faults, and what starts them.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;

use proptest::prelude::*;
use rhumb::catalog::{Catalog, Evidence, InstanceType, TransferTo};
use rhumb::check;
use rhumb::graph;
use rhumb::placement::*;
use rhumb::render;
use rhumb::replay;
use rhumb::spec::{Pipeline, Processors, RegionRef, Spec};
use rhumb_api::{Attr, Cloud, Money, Purchase, ResourceKind};

use crate::extent::{is_many, one_in};
use crate::faults::{self, Case, Fault, told};
use crate::line;
use crate::pipeline_worlds::{enumerated, pipeline};

const FEATURES: &str = "
rhumb: 1
name: features
pipelines:
  features:
    engine: spark
    image: registry.example.com/data/features:5
    command: [spark-submit, \"--conf=a b\", job.py]
    input: 400GB
    throughput_per_core: { aws/m7i: 6MB/s, x86_64: 5MB/s }
    memory_per_core: 4GiB
    shards: 3200
    schedule: \"0 1 * * *\"
    deadline: 3h
";

/// Eight vCPUs with 32 GiB, sixteen with 32 GiB of another series, and an L4.
fn catalog() -> Catalog {
    line::on_sale(&[
        ("m7i.2xlarge", "eu-central-1", Purchase::OnDemand, 400_000),
        ("m7i.2xlarge", "eu-central-1", Purchase::Spot, 380_000),
        ("c7i.4xlarge", "eu-central-1", Purchase::OnDemand, 600_000),
        ("g6.xlarge", "eu-central-1", Purchase::OnDemand, 10_000),
    ])
}

fn planned(text: &str) -> (Spec, World, Result<Placement, Infeasible>) {
    line::placed(text, &catalog())
}

fn proven(text: &str) -> Placement {
    line::proven(text, &catalog()).2
}

fn chosen(placement: &Placement) -> (&WorkloadPlacement, &BatchRun, &PipelineRun) {
    let placed = &placement.workloads["pipelines.features"];
    let run = placed.run.as_ref().unwrap();
    (placed, run, run.pipeline.as_ref().unwrap())
}

/// Type, machines, spot machines among them, and waves.
fn choice(placement: &Placement) -> (String, u32, u32, u32) {
    let (placed, _, how) = chosen(placement);
    let pool = &placed.pools[0];
    let of = |spot: bool| {
        let counted = pool.machines.iter().filter(|m| !spot || m.purchase == Purchase::Spot);
        counted.map(|m| m.count).sum()
    };
    (pool.instance_type.clone(), of(false), of(true), how.waves)
}

/// By hand. Of 32 GiB nine tenths are 28.8: seven vCPUs of 4 GiB, one of them all drives. A shard of 125 MB takes 20.83 s at 6 MB/s, and a
/// machine reads 312.5 MB/s, more than 7 x 6. Start: 120 s, 10 GB at that rate, 60 s: 212 s. One machine has six: 534 waves are 3.1 h, too
/// late. Two have 13: 247 waves, 2 x 5357.8 s. Three have 20: 160 waves, 3 x 3545.3 s, the least; four have 27: 119 waves, 4 x 2691.2 s.
#[test]
fn the_cheapest_by_hand() {
    let only = "    placement: { instance_types: [m7i.2xlarge] }\n";
    let placement = proven(&format!("{FEATURES}{only}"));
    assert_eq!(choice(&placement), ("m7i.2xlarge".into(), 3, 0, 160));
    let (placed, run, how) = chosen(&placement);
    let hours = (212.0 + 160.0 * 125.0 / 6.0) / 3600.0;
    assert!((run.hours - hours).abs() < 1e-9, "{run:?}");
    assert_eq!(run.cost_per_run, Money::from_micros(3 * 400_000).scale(hours));
    assert_eq!((how.cores_per_machine, how.driver_cores, how.shards), (7, 1, 3200));
    let pool = &placed.pools[0];
    assert_eq!((pool.vcpus_per_replica, pool.evidence), (Some(7), Evidence::Measured));
    assert_eq!(pool.notes, ["stated for aws/m7i: 6 MB/s a vCPU"]);
    let month = placed.cost.expected_per_month;
    assert!((month.usd() / (run.cost_per_run.usd() * 30.4166666) - 1.0).abs() < 1e-4, "{month}");
    assert_eq!(placed.quotas.iter().find(|q| q.code == "L-1216C47A").unwrap().amount, 24.0);
    // Forty minutes: five machines have 34: 95 waves, 36.5 min; four take 44.9.
    let short = FEATURES.replace("deadline: 3h", "deadline: 40min");
    assert_eq!(choice(&proven(&format!("{short}{only}"))), ("m7i.2xlarge".into(), 5, 0, 95));
    // Sixteen vCPUs with 28.8 GiB are seven as well, at 5 MB/s, and dearer.
    assert_eq!(choice(&proven(FEATURES)).0, "m7i.2xlarge");
    let other =
        FEATURES.replace("aws/m7i: 6MB/s, ", "").replace("memory_per_core: 4GiB", "memory_per_core: 1GiB");
    let placement = proven(&other);
    assert_eq!((choice(&placement).0, chosen(&placement).2.cores_per_machine), ("c7i.4xlarge".into(), 16));
    assert_eq!(chosen(&placement).0.pools[0].evidence, Evidence::Assumed);
    // Seven vCPUs at 60 MB/s would read more than the 312.5 MB/s of the machine.
    let fast = FEATURES.replace("aws/m7i: 6MB/s", "aws/m7i: 60MB/s");
    let placement = proven(&format!("{fast}{only}"));
    assert!((chosen(&placement).2.shard_s - 125e6 * 7.0 / 312.5e6).abs() < 1e-9);
    assert!(chosen(&placement).0.pools[0].notes[0].ends_with("of which the network lets less through"));
    // No shards are stated: 400 GB are 2981 of 128 MiB. Three have 20 vCPUs: 150 waves.
    let (_, _, placement) = planned(&format!("{}{only}", FEATURES.replace("    shards: 3200\n", "")));
    assert_eq!(chosen(&placement.unwrap()).2.shards, 2981);
}

/// Spot takes a tenth more work and another start: at 5 % less it is not worth it, at a quarter of the price it is.
#[test]
fn spot_is_bought_where_it_pays() {
    let all = FEATURES.replace("deadline: 3h", "deadline: 3h\n    purchase: { spot_max_share: 100% }");
    assert_eq!(choice(&proven(&all)).2, 0);
    let mut catalog = catalog();
    let cheap = catalog.offerings.iter_mut().find(|o| o.purchase == Purchase::Spot).unwrap();
    cheap.price = Money::from_micros(100_000);
    let spec = line::spec(&all, &catalog);
    let world = line::world(&spec, &catalog);
    let placement = line::place(&spec, &world).unwrap();
    let (_, machines, spot, waves) = choice(&placement);
    assert_eq!(machines, spot);
    let hours = (2.0 * 212.0 + 1.1 * f64::from(waves) * 125.0 / 6.0) / 3600.0;
    assert!((chosen(&placement).1.hours - hours).abs() < 1e-9);
    let ceiling = chosen(&placement).0.cost.ceiling_per_month;
    assert!(
        ceiling > chosen(&placement).0.cost.expected_per_month.times(3),
        "bought on demand it costs four times as much"
    );
}

#[test]
fn what_cannot_be_gets_its_reason() {
    let none = |text: &str| planned(text).2.unwrap_err();
    let late = none(&FEATURES.replace("deadline: 3h", "deadline: 3min"));
    assert!(late.proven && late.workloads[0].conflict.iter().any(|r| r.constraint == "deadline"), "{late:?}");
    // A shard takes 125 MB / 5 MB/s, 25 s, on a c7i.4xlarge after a start of 120 + 10e9 / 625e6 + 60 = 196 s; the m7i.2xlarge, 212 s and 20.8 s, is later.
    let why = late.workloads[0].conflict.iter().find(|r| r.constraint == "deadline").unwrap();
    assert!(why.reason.contains("before 221s, the deadline is 180s"), "{}", why.reason);
    let rejected = |text: &str| none(text).workloads[0].rejected.clone();
    let large = rejected(&FEATURES.replace("memory_per_core: 4GiB", "memory_per_core: 30GiB"));
    assert!(large.contains_key("memory"), "{large:?}");
    let arm = rejected(&FEATURES.replace("aws/m7i: 6MB/s, x86_64: 5MB/s", "arm64: 6MB/s"));
    assert!(arm.contains_key("measured-time") && arm.contains_key("accelerator"), "{arm:?}");
    // An accelerator is never left idle, however cheap it is; what defaults say of accelerators is for others.
    let listed =
        FEATURES.replace("pipelines:", "defaults: { placement: { accelerators: [h100] } }\npipelines:");
    assert_eq!(choice(&proven(&listed)).0, "m7i.2xlarge");
}

/// Its input is read from elsewhere at the price of the transfer, once a run; the bill, a carbon cap and the order of runs know it.
#[test]
fn everything_else_is_as_of_a_training() {
    let far = format!("{FEATURES}    dataset: {{ at: aws/us-east-1 }}\n");
    let (far, near) = (proven(&far), proven(FEATURES));
    let line = chosen(&far).0.cost.lines.iter().find(|l| l.addr.contains("/transfer/dataset/")).unwrap();
    assert!(line.what.starts_with("372.5 GiB of dataset from aws/us-east-1"), "{}", line.what);
    let more = chosen(&far).0.cost.expected_per_month - chosen(&near).0.cost.expected_per_month;
    // 372.53 GiB at the catalogue's price for 30.4 runs.
    let catalog = Catalog::embedded();
    let from = catalog.region(Cloud::Aws, "us-east-1").unwrap();
    let to = RegionRef { cloud: Cloud::Aws, region: "eu-central-1".into() };
    let each = catalog.transfer_price(from, TransferTo::Region(&to)).unwrap().usd_per_gib.usd();
    assert!((more.usd() / (each * 400e9 / 1_073_741_824.0 * 30.416_666) - 1.0).abs() < 1e-4, "{more} {each}");

    let two = format!(
        "{FEATURES}  report:
    engine: ray
    image: x
    command: [python, report.py]
    input: 20GB
    throughput_per_core: {{ x86_64: 3MB/s }}
    memory_per_core: 1GiB
    deadline: 5h
    labels: {{ team: data }}
    after: [pipelines.features]
budget: {{ monthly: 60 USD, by_label: {{ team: {{ data: 2 USD }} }}, carbon: 1 t/month }}
"
    );
    let placement = proven(&two);
    let spec = planned(&two).0;
    let desired = graph::compile(&spec).unwrap().bind(&spec, &placement);
    let runs: Vec<&str> =
        desired.keys().filter(|k| desired.get(k).unwrap().kind == ResourceKind::JobRun).collect();
    assert_eq!(runs.len(), 2);
    let after = desired.edges().into_iter().find(|e| e.label == "after").unwrap();
    assert!(after.from.starts_with("pipelines.report/") && after.to.starts_with("pipelines.features/"));
    assert!(placement.emissions.machines.values().all(|e| e.mg_per_month.is_some_and(|mg| mg > 0)));
    let tight = two.replace("monthly: 60 USD", "monthly: 20 USD");
    assert!(planned(&tight).2.is_err(), "36 USD of features and some of the report are not to be had for 20");
}

/// A service on processors of the same quota: five machines of two vCPUs are its. Of 40 vCPUs three of eight are left for the pipeline; of 27
/// two, which take longer and cost more; of 17 none.
#[test]
fn a_service_and_a_pipeline_share_a_quota() {
    let of = |vcpus: u32, deadline: &str| {
        let text = FEATURES.replace("deadline: 3h", &format!("deadline: {deadline}")).replace(
            "pipelines:\n",
            "models:
  trees: { measured: { image: x, variants: { v: { memory: 1GiB, time: { aws/m7i.large: 1.8ms } } } } }
services:
  score: { model: trees, traffic: { peak: 5000 req/s }, slo: { e2e: { p99: 40ms } } }
pipelines:
",
        );
        let quotas = format!("{{ aws: {{ quotas: {{ eu-central-1: {{ L-1216C47A: {vcpus} }} }} }} }}");
        let mut catalog = catalog();
        let extra = line::on_sale(&[("m7i.large", "eu-central-1", Purchase::OnDemand, 120_000)]);
        catalog.offerings.extend(extra.offerings);
        catalog.offerings.retain(|o| catalog.instance_types[o.instance_type].name != "c7i.4xlarge");
        catalog.offerings.sort_by_key(|o| (o.instance_type, o.region, o.purchase));
        let spec = line::spec(&format!("{text}providers: {quotas}\n"), &catalog);
        let world = line::world(&spec, &catalog);
        let placement = line::place(&spec, &world);
        if let Ok(placement) = &placement {
            let report = check::prove(&spec, &world, placement).report;
            assert!(report.passed(), "\n{}", told(&report.findings));
            assert_eq!(placement.workloads["services.score"].pools[0].replicas, 10);
        }
        placement.map(|p| (choice(&p).1, choice(&p).3))
    };
    assert_eq!(of(40, "3h").unwrap(), (3, 160));
    assert_eq!(of(27, "3h").unwrap(), (2, 247));
    assert!(of(17, "3h").is_err());
    assert!(of(27, "1h").is_err());
}

/// Sums of a month that are rounded otherwise, micro-dollars.
const ROUNDED: i64 = 8 * 730;

#[test]
fn enumeration_finds_nothing_cheaper() {
    let mut random = replay::Random::new(17, "worlds of pipelines");
    let mut below = |n: f64| (random.uniform() * n) as i64;
    let (mut feasible, mut refused, mut with_spot, mut coupled, mut many) = (0, 0, 0, 0, 0);
    let part = one_in(26, 2);
    for world in 0..260_u64 {
        let mut offers = Vec::new();
        for (kind, usual) in [
            ("m7i.large", 100_000),
            ("m7i.2xlarge", 400_000),
            ("c7i.4xlarge", 700_000),
            ("m8g.xlarge", 160_000),
            ("g6.xlarge", 1_000),
        ] {
            for region in ["eu-central-1", "eu-west-1"] {
                if below(3.0) == 0 {
                    continue;
                }
                let price = usual / 2 + below(usual as f64);
                if below(5.0) > 0 {
                    offers.push((kind, region, Purchase::OnDemand, price));
                }
                if below(2.0) == 0 {
                    offers.push((kind, region, Purchase::Spot, price / 5 + below(price as f64 / 2.0)));
                }
            }
        }
        if offers.is_empty() {
            continue;
        }
        let catalog = line::on_sale(&offers);
        let mut text =
            format!("rhumb: 1\nname: data\nmodels: {{}}\npipelines:\n{}", pipeline("a", &mut below));
        let two = world % 2 == 1;
        if two {
            text += &pipeline("b", &mut below);
        }
        if below(3.0) == 0 {
            text += &format!(
                "providers: {{ aws: {{ quotas: {{ eu-central-1: {{ L-1216C47A: {} }}, eu-west-1: {{ L-1216C47A: {} }} }} }} }}\n",
                below(60.0),
                below(60.0)
            );
        }
        if below(2.0) == 0 {
            let binds = ["ceiling", "expected"][below(2.0) as usize];
            let cents = 10 + below(if two { 900.0 } else { 500.0 });
            text +=
                &format!("budget: {{ monthly: {}.{:02} USD, binds: {binds} }}\n", cents / 100, cents % 100);
        }
        // Two of them have as many choices as the product of theirs.
        if world % 6 == 2 || world % 60 == 5 {
            let count = 1 + world % 4;
            text += &format!(
                "commitments: {{ own: {{ kind: reservation, cloud: aws, region: eu-central-1, instance_type: m7i.2xlarge, count: {count}, until: 2031-01-01 }} }}\n"
            );
        }
        if !part.has(world) {
            continue;
        }
        let spec = line::spec(&text, &catalog);
        let there = line::world(&spec, &catalog);
        let found = line::place(&spec, &there);
        let truth = enumerated(&spec, &there);
        let cost = found
            .as_ref()
            .ok()
            .filter(|p| p.joint_violations.is_empty())
            .map(|p| p.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum::<i64>());
        let near = match (cost, truth) {
            (Some(cost), Some(truth)) => (cost - truth).abs() <= ROUNDED,
            (None, None) => true,
            _ => false,
        };
        assert!(near, "world {world}: {cost:?}, enumerated {truth:?}\n{text}\n{offers:?}");
        let Ok(placement) = found else {
            refused += 1;
            continue;
        };
        feasible += 1;
        coupled += u64::from(placement.coupling.is_some());
        for placed in placement.workloads.values() {
            with_spot += u64::from(placed.pools[0].uses_spot());
            many += u64::from(placed.pools[0].machines.iter().map(|m| m.count).sum::<u32>() > 1);
        }
        let proof = check::prove(&spec, &there, &placement);
        assert!(
            proof.report.passed(),
            "world {world}:\n{}\n{text}\n{offers:?}",
            told(&proof.report.findings)
        );
        if placement.coupling.is_none() {
            assert_eq!(proof.all.verdict(), "optimal", "world {world}\n{text}");
        }
    }
    assert!(
        feasible > part.of(60)
            && many > part.of(20)
            && (refused > 7 && with_spot > 8 && coupled > 1 || !is_many()),
        "{feasible} {refused} {with_spot} {coupled} {many}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// More input, less time and more memory a vCPU are never cheaper; faster vCPUs never dearer.
    #[test]
    fn laws(gb in 10u32..900, more in 1u32..300, minutes in 8u32..300, faster in 7u32..30) {
        let of = |gb: u32, minutes: u32, mb: u32, memory: u32| {
            let text = FEATURES
                .replace("input: 400GB", &format!("input: {gb}GB"))
                .replace("deadline: 3h", &format!("deadline: {minutes}min"))
                .replace("aws/m7i: 6MB/s", &format!("aws/m7i: {mb}MB/s"))
                .replace("memory_per_core: 4GiB", &format!("memory_per_core: {memory}GiB"));
            planned(&text).2.ok().map(|p| chosen(&p).0.cost.expected_per_month.micros())
        };
        let at_most = |a: Option<i64>, b: Option<i64>| b.is_none() || a.is_some_and(|a| Some(a) <= b.map(|b| b + ROUNDED));
        let base = of(gb, minutes, 6, 4);
        prop_assert!(at_most(base, of(gb + more, minutes, 6, 4)));
        prop_assert!(at_most(of(gb, minutes + 9, 6, 4), base));
        prop_assert!(at_most(of(gb, minutes, faster, 4), base));
        prop_assert!(at_most(base, of(gb, minutes, 6, 6)));
    }
}

fn case() -> &'static Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let (spec, world, placement) = planned(&format!("{FEATURES}    dataset: {{ at: aws/us-east-1 }}\n"));
        (spec, world, placement.unwrap())
    })
}

fn stated(s: &mut Spec) -> &mut Pipeline {
    s.pipelines.get_mut("features").unwrap()
}

fn placed(p: &mut Placement) -> &mut WorkloadPlacement {
    p.workloads.get_mut("pipelines.features").unwrap()
}

fn run(p: &mut Placement) -> &mut BatchRun {
    placed(p).run.as_mut().unwrap()
}

fn how(p: &mut Placement) -> &mut PipelineRun {
    run(p).pipeline.as_mut().unwrap()
}

fn machine(w: &mut World) -> &mut InstanceType {
    let index = w.catalog.instance_type(Cloud::Aws, "m7i.2xlarge").unwrap();
    &mut w.catalog.instance_types[index]
}

#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    ("a pipeline without its run", "run", "a pipeline without its run", |_, _, p| run(p).pipeline = None),
    ("a rate that nobody measured", "measured-time", "nobody measured this", |s, _, _| stated(s).throughput.clear()),
    ("a faster rate than is stated", "run", "the time of a shard is wrong", |s, _, _| stated(s).throughput.values_mut().for_each(|r| *r *= 0.9)),
    ("a wider rate than the narrowest", "figure", "what is told of the rate is wrong", |s, _, _| { stated(s).throughput.remove(&Processors::Series(Cloud::Aws, "m7i".into())); }),
    ("what is assumed as measured", "figure", "the class of the rate is wrong", |_, _, p| placed(p).pools[0].evidence = Evidence::Assumed),
    ("a driver without a vCPU", "run", "the vCPUs of the driver is wrong", |_, _, p| how(p).driver_cores = 0),
    ("a wave fewer", "run", "the waves is wrong", |_, _, p| how(p).waves -= 1),
    ("more vCPUs than have memory", "run", "the vCPUs of a machine is wrong", |s, _, _| stated(s).memory_bytes *= 1.3),
    ("vCPUs that the pool does not say", "engine", "the vCPUs of a machine is wrong", |_, _, p| placed(p).pools[0].vcpus_per_replica = Some(8)),
    ("other shards", "run", "the shards is wrong", |s, _, _| stated(s).shards = 3100),
    ("fewer hours", "run", "the hours of a run is wrong", |_, _, p| run(p).hours *= 0.95),
    ("a network that lets less through", "run", "the time of a shard is wrong", |_, w, _| machine(w).network_gbps = Some(0.3)),
    ("less memory", "memory", "main memory is wrong", |_, w, _| machine(w).memory_gib = Some(31.9)),
    ("memory that it does not take", "memory", "memory that it takes is wrong", |_, _, p| placed(p).pools[0].memory.overhead = 0.0),
    ("a missed deadline", "deadline", "a run ends too late", |s, _, p| { stated(s).deadline_s = 3000.0; run(p).deadline_hours = 3000.0 / 3600.0; }),
    ("another deadline", "run", "the deadline is wrong", |_, _, p| run(p).deadline_hours = 4.0),
    ("a run more a month", "run", "the runs of a month is wrong", |_, _, p| run(p).runs_per_month += 1.0),
    ("one machine fewer", "run", "the waves is wrong", |_, _, p| placed(p).pools[0].machines[0].count -= 1),
    ("input that is read for nothing", "run", "the cost of a run is wrong", |_, _, p| run(p).cost_per_run = run(p).cost_per_run.scale(0.2)),
    ("a line of input that is not billed", "cost-line", "the cost of moving data is wrong", |_, _, p| placed(p).cost.lines.retain(|l| !l.addr.contains("/transfer/"))),
    ("two engines on a machine", "layout", "engines on a machine is wrong", |_, _, p| placed(p).pools[0].replicas_per_machine = 2),
    ("another engine", "run", "the engine is wrong", |s, _, _| stated(s).engine = rhumb::spec::PipelineEngine::Ray),
    ("an idle accelerator", "instance-type", "leaves its accelerators idle", |_, w, _| { machine(w).accelerator = Some(0); machine(w).accelerator_count = 1.0; }),
];

#[test]
fn every_planted_fault_is_found() {
    faults::all_are_found_on_sound(case(), FAULTS);
}

#[test]
fn what_is_not_the_cheapest_is_told() {
    faults::dearer_is_told(case(), |o| o.price.micros() != 400_000);
}

/// A saved plan reads back, drawn worlds keep what no band makes uncertain, and twice the input costs more.
#[test]
fn other_views_know_pipelines() {
    let (spec, world, placement) = case();
    let asked = rhumb::explore::Stressing { worlds: 20, seed: 3, requests: 0, correlation: 0.5 };
    let stress = rhumb::explore::stress(spec, world, placement, &asked).unwrap();
    assert_eq!(stress.all.held, 20);
}

/// The start script with a `docker` that notes its words, on the first machine and on another.
#[test]
fn engines_are_started_as_planned() {
    let (spec, _, placement) = case();
    let desired = graph::compile(spec).unwrap().bind(spec, placement);
    let artifacts = render::artifacts(&desired).unwrap();
    let template =
        desired.keys().find(|k| desired.get(k).unwrap().kind == ResourceKind::LaunchTemplate).unwrap();
    let attributes = &desired.get(template).unwrap().attributes;
    assert_eq!(attributes["dataset_at"], Attr::from("aws/us-east-1"));
    let folder = tempfile::tempdir().unwrap();
    for artifact in &artifacts {
        std::fs::write(folder.path().join(&artifact.name), &artifact.content).unwrap();
    }
    let docker = folder.path().join("docker");
    let noted = "#!/bin/bash\nif test \"$1\" = rm; then exit 0; fi\n\
                 printf '%s\\n' \"$@\" \"shards $RHUMB_SHARDS\" > \"$OUT/$5\"\n";
    std::fs::write(&docker, noted).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    // Workers and the job wait for the master's port; whoever else listens there will do as well.
    let _master = std::net::TcpListener::bind("127.0.0.1:7077");
    let start = |rank: &str| -> BTreeMap<String, Vec<String>> {
        let out = folder.path().join(rank);
        std::fs::create_dir(&out).unwrap();
        let status = Command::new("bash")
            .arg(folder.path().join("start.sh"))
            .env("PATH", &path)
            .env("OUT", &out)
            .env("RHUMB_NODE_RANK", rank)
            .env("RHUMB_LEADER_ADDRESS", "127.0.0.1")
            .status()
            .unwrap();
        assert!(status.success());
        std::thread::sleep(std::time::Duration::from_millis(300));
        let words = |path: std::path::PathBuf| {
            std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
        };
        let files = std::fs::read_dir(&out).unwrap().map(|f| f.unwrap());
        files.map(|f| (f.file_name().into_string().unwrap(), words(f.path()))).collect()
    };
    let first = start("0");
    assert_eq!(first.keys().collect::<Vec<_>>(), ["rhumb-job", "rhumb-master", "rhumb-worker"]);
    let ends = |words: &[String], with: &[&str]| {
        words.ends_with(&with.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    };
    let job = ["registry.example.com/data/features:5", "spark-submit", "--conf=a b", "job.py", "shards 3200"];
    assert!(ends(&first["rhumb-job"], &job), "{first:?}");
    // Nothing but these says to spark-submit where the cluster is, and that an executor is a vCPU.
    for option in
        ["--env=MASTER", "--env=SPARK_EXECUTOR_CORES", "--env=SPARK_EXECUTOR_MEMORY", "--env=RHUMB_SHARDS"]
    {
        assert!(first["rhumb-job"].iter().any(|word| word == option), "{first:?}");
    }
    // Of its seven vCPUs one is the driver's.
    let worker = ["--cores", "6", "--memory", "24576m", "spark://127.0.0.1:7077", "shards 3200"];
    assert!(ends(&first["rhumb-worker"], &worker), "{first:?}");
    let other = start("1");
    assert_eq!(other.len(), 1);
    assert!(
        ends(&other["rhumb-worker"], &["7", "--memory", "28672m", "spark://127.0.0.1:7077", "shards 3200"]),
        "{other:?}"
    );
}

/// Nobody states what it costs to bring data from Virginia to Melbourne: that is not nothing, and no cheap machine there is chosen for it.
#[test]
fn data_comes_only_where_its_price_is_known() {
    let (virginia, melbourne) = ("us-east-1", "ap-southeast-4");
    let base = line::on_sale(&[
        ("m7i.2xlarge", melbourne, Purchase::OnDemand, 100_000),
        ("m7i.2xlarge", virginia, Purchase::OnDemand, 400_000),
    ]);
    let text = format!("{FEATURES}    dataset: {{ at: aws/{virginia} }}\n");
    let (spec, world, placement) = line::proven(&text, &base);
    assert_eq!(chosen(&placement).0.pools[0].region, virginia);
    let mut there = placement.clone();
    let placed = there.workloads.get_mut("pipelines.features").unwrap();
    placed.pools[0].region = melbourne.to_owned();
    let told = check::placement(&spec, &world, &there);
    assert!(told.iter().any(|f| f.code == "price" && f.message.contains("is not known")), "{told:?}");
    let only = line::on_sale(&[("m7i.2xlarge", melbourne, Purchase::OnDemand, 100_000)]);
    let refused = line::placed(&text, &only).2.unwrap_err();
    assert!(refused.workloads[0].rejected.contains_key("unknown"), "{:?}", refused.workloads[0].rejected);
}

/// Twice the data are twice as many shards of the same size, in a run and in its waves.
#[test]
fn more_data_are_more_shards() {
    let (spec, world, _) = planned(FEATURES);
    for (change, shards) in [("traffic=x2", 6400), ("traffic:features=x0.5", 1600), ("traffic=x0.001", 4)] {
        let (mut spec, mut world) = (spec.clone(), world.clone());
        for change in rhumb::explore::changes(change, &spec, &world.catalog).unwrap() {
            change.apply(&mut spec, &mut world).unwrap();
        }
        let pipeline = &spec.pipelines["features"];
        assert_eq!(pipeline.shards, shards, "{change}");
        if shards > 4 {
            let gb = pipeline.input_gib * 1_073_741_824.0 / 1e9 / f64::from(shards);
            assert!((gb - 0.125).abs() < 1e-9, "{change}: {gb}");
        }
    }
}

#[test]
fn validate_sees_runs_that_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let one = FEATURES.replace("    schedule", "    after: [pipelines.other]\n    schedule");
    let body = FEATURES.split_once("  features:").unwrap().1;
    let text = format!(
        "{one}  other:{}",
        body.replace("    schedule", "    after: [pipelines.features]\n    schedule")
    );
    std::fs::write(folder.path().join("deploy.yaml"), text).unwrap();
    let (_, err, code) = crate::cli::run(crate::cli::rhumb().current_dir(folder.path()).arg("validate"));
    assert!(code == 1 && err.contains("pipelines.features") && err.contains("deploy.yaml:"), "{code} {err}");
}
