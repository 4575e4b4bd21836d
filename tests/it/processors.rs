//! Models with a measured time on machines without accelerators: by hand, by enumeration, by laws; planted faults, and what
//! starts the servers.

use std::process::Command;
use std::sync::OnceLock;

use proptest::prelude::*;
use rhumb::catalog::{Catalog, Evidence, InstanceType};
use rhumb::check;
use rhumb::graph;
use rhumb::perf::{self, ServiceCurve};
use rhumb::placement::*;
use rhumb::render;
use rhumb::replay;
use rhumb::spec::{MeasuredVariant, ModelSource, OnProcessors, Processors, Spec};
use rhumb_api::{Attr, Cloud, Purchase, ResourceKind};

use crate::extent::{is_many, one_in};
use crate::faults::{self, Case, Fault, told};
use crate::line;

const MODEL: &str = "
rhumb: 1
name: fraud
models:
  trees:
    measured:
      unit: score
      image: registry.example.com/fraud/trees:3
      command: [serve]
      variants:
        t1200:
          quality: 97.1%
          memory: 1GiB
          time:
            aws/m7i: 1.8ms
            aws/m7i.8xlarge: 2ms
            x86_64: 2.4ms
            arm64: { vcpus: 2, takes: 1.5ms }
            l4: 0.4ms
        t400: { quality: 96.6%, memory: 1GiB, time: { x86_64: 0.7ms } }
    quality: { floor: 96.8%, benchmark: auc }
services:
  score:
    model: trees
    traffic: { peak: 5000 req/s }
    slo: { e2e: { p99: 40ms } }
";

/// Two vCPUs and 8 GiB; 32 and 128; eight of another series; four of arm64; an L4.
fn catalog() -> Catalog {
    line::on_sale(&[
        ("m7i.large", "eu-central-1", Purchase::OnDemand, 120_000),
        ("m7i.8xlarge", "eu-central-1", Purchase::OnDemand, 1_600_000),
        ("c7i.2xlarge", "eu-central-1", Purchase::OnDemand, 400_000),
        ("m8g.xlarge", "eu-central-1", Purchase::OnDemand, 170_000),
        ("g6.xlarge", "eu-central-1", Purchase::OnDemand, 800_000),
    ])
}

fn planned(text: &str) -> (Spec, World, Result<Placement, Infeasible>) {
    line::placed(text, &catalog())
}

fn proven(text: &str) -> Placement {
    line::proven(text, &catalog()).2
}

/// On one type of machine alone.
fn only(kind: &str, text: &str) -> String {
    format!("{text}    placement: {{ instance_types: [{kind}] }}\n")
}

fn first(placement: &Placement) -> &Pool {
    &placement.workloads["services.score"].pools[0]
}

/// Type, machines, servers, vCPUs of a server, and micro-dollars an hour.
fn choice(placement: &Placement) -> (String, u32, u32, Option<u32>, i64) {
    let pool = first(placement);
    let cost = placement.workloads["services.score"].cost.expected_per_hour.micros();
    let machines = pool.machines.iter().map(|m| m.count).sum();
    (pool.instance_type.clone(), machines, pool.replicas, pool.vcpus_per_replica, cost)
}

/// The server of a variant on a machine type, and how many of them it holds: with loops of its own, for enumerations.
pub fn server_on(
    catalog: &Catalog,
    kind: &InstanceType,
    variant: &MeasuredVariant,
) -> Option<(ServiceCurve, u32)> {
    if let Some(on) = kind.accelerator.map(|a| &catalog.accelerators[a]) {
        let launch = variant.times.get(&on.id)?;
        let curve = perf::measured::curve(launch, variant.memory_bytes, on).ok()?;
        return (kind.accelerator_count >= 1.0).then_some((curve, kind.accelerator_count as u32));
    }
    let (mut narrowest, mut length) = (None, 0);
    for (of, server) in &variant.processors {
        let name = format!("{}/{}", kind.cloud, kind.name);
        let own = match of {
            Processors::Type(..) => of.to_string() == name,
            // No series of the enumerated worlds is the beginning of another one's name.
            Processors::Series(..) => name.starts_with(&format!("{of}.")),
            Processors::Architecture(arch) => *arch == kind.arch,
        };
        let weight = match of {
            Processors::Type(..) => 3,
            Processors::Series(..) => 2,
            Processors::Architecture(_) => 1,
        };
        if own && weight > length {
            (narrowest, length) = (Some((of, server)), weight);
        }
    }
    let (of, server) = narrowest?;
    let by_vcpus = kind.vcpus as u32 / server.vcpus;
    let by_memory = (kind.memory_gib? * 0.9 * 1_073_741_824.0 / variant.memory_bytes) as u32;
    let held = by_vcpus.min(by_memory);
    let curve = perf::measured::on_processors(&server.launch, variant.memory_bytes, of, kind).ok()?;
    (held > 0).then_some((curve, held))
}

/// By hand, 5000 scores a second. On m7i.large, two servers of 1.8 ms: nine would be busy all the time, ten are needed, five machines
/// (0.60). On c7i.2xlarge, eight of 2.4 ms: twelve busy, two machines (0.80). On m8g.xlarge, two of two vCPUs and 1.5 ms: 7.5 busy, eight
/// servers, four machines (0.68). m7i.8xlarge has its own time, 2 ms, and 32 servers: one (1.60). An L4 does 2500: three (2.40).
#[test]
fn the_cheapest_by_hand() {
    let of = |text: &str| choice(&proven(text));
    assert_eq!(of(MODEL), ("m7i.large".into(), 5, 10, Some(1), 600_000));
    assert_eq!(of(&only("c7i.2xlarge", MODEL)), ("c7i.2xlarge".into(), 2, 16, Some(1), 800_000));
    assert_eq!(of(&only("m8g.xlarge", MODEL)), ("m8g.xlarge".into(), 4, 8, Some(2), 680_000));
    assert_eq!(of(&only("m7i.8xlarge", MODEL)), ("m7i.8xlarge".into(), 1, 32, Some(1), 1_600_000));
    assert_eq!(of(&only("g6.xlarge", MODEL)), ("g6.xlarge".into(), 3, 3, None, 2_400_000));
    // Ten of twelve are left when a machine fails: two more.
    let survives = format!("{MODEL}    survive: {{ machine: 1 }}\n");
    assert_eq!(of(&survives), ("m7i.large".into(), 6, 12, Some(1), 720_000));
    // Servers of 4 GiB: of 7.2 that are left of 8 one fits, though there are two vCPUs; ten machines. Two of 3.5 GiB fit.
    let memory = |gib: &str| only("m7i.large", &MODEL.replace("memory: 1GiB\n", &format!("memory: {gib}\n")));
    assert_eq!(of(&memory("4GiB")).1, 10);
    assert_eq!(of(&memory("3.5GiB")).1, 5);
    // The smaller forest is good enough at a lower floor: 3.5 busy servers, two machines.
    let loose = MODEL.replace("floor: 96.8%", "floor: 96%");
    let placement = proven(&loose);
    assert_eq!((first(&placement).variant.as_str(), choice(&placement).1), ("t400", 2));
}

/// Measured on the series, assumed where only the architecture is stated; each says so.
#[test]
fn what_was_not_measured_is_assumed() {
    for (kind, class, note) in [
        ("m7i.large", Evidence::Measured, "stated for aws/m7i: 1.8 ms for a score, 1 vCPU a server"),
        ("m7i.8xlarge", Evidence::Measured, "stated for aws/m7i.8xlarge: 2 ms for a score, 1 vCPU a server"),
        (
            "c7i.2xlarge",
            Evidence::Assumed,
            "stated for x86_64 and assumed here: 2.4 ms for a score, 1 vCPU a server",
        ),
        (
            "m8g.xlarge",
            Evidence::Assumed,
            "stated for arm64 and assumed here: 1.5 ms for a score, 2 vCPUs a server",
        ),
        ("g6.xlarge", Evidence::Measured, "stated: 0.4 ms for a score"),
    ] {
        let placement = proven(&only(kind, MODEL));
        let pool = first(&placement);
        assert_eq!((pool.evidence, pool.notes.as_slice()), (class, [note.to_owned()].as_slice()), "{kind}");
        assert_eq!((pool.ttft_factor, pool.tpot_factor), (1.0, 1.0));
    }
}

#[test]
fn what_cannot_be_gets_its_reason() {
    let told = |text: &str, kind: &str, constraint: &str, part: &str| {
        // The smaller forest, which is not good enough anyway, does not stand before it in the list.
        let text =
            text.replace("        t400: { quality: 96.6%, memory: 1GiB, time: { x86_64: 0.7ms } }\n", "");
        let losers = &planned(&text).2.unwrap().workloads["services.score"].losers;
        let why = losers.iter().find(|l| l.candidate.instance_type == kind).map(|l| &l.rejection);
        assert!(why.is_some_and(|w| w.constraint == constraint && w.reason.contains(part)), "{losers:?}");
    };
    let four = MODEL.replace("aws/m7i: 1.8ms", "aws/m7i: { vcpus: 4, takes: 0.1ms }");
    told(&four, "m7i.large", "vcpus", "a server of `t1200` has 4 vCPUs, m7i.large has 2");
    let large = MODEL.replace("memory: 1GiB\n", "memory: 8GiB\n");
    told(&large, "m7i.large", "memory", "needs 8.0 GiB, has 7.2");
    let x86 = MODEL.replace("            arm64: { vcpus: 2, takes: 1.5ms }\n", "");
    let why = "no time of `t1200` was measured on aws/m8g.xlarge or stated for arm64";
    told(&x86, "m8g.xlarge", "measured-time", why);
    // A list of accelerators asks for one of them; what is not wanted can be named beside processors.
    let rule = |rule: &str| format!("{MODEL}    placement: {{ accelerators: {rule} }}\n");
    assert_eq!(choice(&proven(&rule("[l4]"))).0, "g6.xlarge");
    assert_eq!(choice(&proven(&rule("{ not: [l4] }"))).0, "m7i.large");
    // Nobody knows how much memory it has: it is not taken to have enough.
    let mut unknown = catalog();
    let large = unknown.instance_type(Cloud::Aws, "m7i.large").unwrap();
    unknown.instance_types[large].memory_gib = None;
    let spec = line::spec(MODEL, &unknown);
    let world = line::world(&spec, &unknown);
    assert_eq!(choice(&line::place(&spec, &world).unwrap()).0, "m8g.xlarge");
}

/// A model without times on processors, and one with an architecture, are not put on them.
#[test]
fn nobody_else_is_put_on_processors() {
    let text = MODEL
        .replace(
            "            aws/m7i: 1.8ms\n            aws/m7i.8xlarge: 2ms\n            x86_64: 2.4ms\n",
            "",
        )
        .replace("            arm64: { vcpus: 2, takes: 1.5ms }\n", "")
        .replace("        t400: { quality: 96.6%, memory: 1GiB, time: { x86_64: 0.7ms } }\n", "");
    let placement = proven(&text);
    assert_eq!(choice(&placement).0, "g6.xlarge");
    let losers = &placement.workloads["services.score"].losers;
    let bare = losers.iter().find(|l| l.candidate.instance_type == "m7i.large");
    assert!(bare.is_none_or(|l| l.rejection.constraint == "accelerator"), "{bare:?}");
    let text = MODEL.replace("models:\n", "models:\n  chat: { source: Qwen/Qwen3-8B }\n").replace(
        "services:\n",
        "services:
  chat:
    model: chat
    traffic: { peak: 1 req/s, input_tokens: 500, output_tokens: 100 }
    slo: { ttft: { p95: 3s }, tpot: { p95: 200ms } }
",
    );
    let placement = proven(&text);
    let of = |name: &str| placement.workloads[name].pools[0].instance_type.clone();
    assert_eq!([of("services.chat"), of("services.score")], ["g6.xlarge", "m7i.large"]);
}

/// vCPUs of the quota of standard machines, emissions of the host alone, pools that follow the day, spot, a shared budget.
#[test]
fn everything_else_is_as_of_any_service() {
    let placement = proven(MODEL);
    let quotas = &placement.workloads["services.score"].quotas;
    let standard = quotas.iter().find(|q| q.code == "L-1216C47A").unwrap();
    assert_eq!((standard.amount, standard.unit), (10.0, "vcpus"));
    // Five machines of 2 x 2.12 W + 8 x 0.392 W.
    let emitted = placement.emissions.machines.values().next().unwrap().watts.unwrap();
    assert!((emitted - (2.0 * 2.12 + 8.0 * 0.392)).abs() < 1e-9, "{emitted}");
    let limited =
        format!("{MODEL}providers: {{ aws: {{ quotas: {{ eu-central-1: {{ L-1216C47A: 8 }} }} }} }}\n");
    assert_eq!(choice(&proven(&limited)).0, "g6.xlarge", "eight vCPUs are no ten");
    let daily = only("m7i.large", MODEL).replace("5000 req/s", "5000 req/s, daily: office-hours");
    let follows = proven(&format!("{daily}    scaling: {{ mode: horizontal }}\n"));
    assert!(choice(&follows).4 < 400_000, "{:?}", choice(&follows));
    let cap = format!("{MODEL}budget: {{ carbon: 1 t/month }}\n");
    assert_eq!(choice(&proven(&cap)), choice(&placement));
    let none = planned(&format!("{MODEL}budget: {{ carbon: 0.001 t/month }}\n")).2.unwrap_err();
    assert!(format!("{none:?}").contains("carbon"), "{none:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// More scores are never cheaper, a faster time and a narrower statement of the same time never dearer.
    #[test]
    fn laws(rate in 50u32..40_000, more in 1u32..9000, limit in 4u32..60, faster in 5u32..18, machine in 0u32..2) {
        let of = |rate: u32, m7i: f64, more: &str| {
            let text = MODEL
                .replace("5000 req/s", &format!("{rate} req/s"))
                .replace("p99: 40ms", &format!("p99: {limit}ms"))
                .replace("aws/m7i: 1.8ms\n", &format!("aws/m7i: {m7i}ms\n{more}"));
            let text = format!("{text}    survive: {{ machine: {machine} }}\n");
            planned(&text).2.ok().map(|p| choice(&p).4)
        };
        let at_most = |a: Option<i64>, b: Option<i64>| b.is_none() || a.is_some_and(|a| Some(a) <= b);
        let base = of(rate, 1.8, "");
        prop_assert!(at_most(base, of(rate + more, 1.8, "")));
        prop_assert!(at_most(of(rate, f64::from(faster) / 10.0, ""), base));
        prop_assert_eq!(of(rate, 1.8, "            aws/m7i.large: 1.8ms\n"), base);
    }
}

#[test]
fn enumeration_finds_nothing_cheaper() {
    let mut random = replay::Random::new(11, "worlds of processors");
    let mut below = |n: f64| (random.uniform() * n) as i64;
    let (mut feasible, mut bare, mut with_spot, mut several) = (0, 0, 0, 0);
    let part = one_in(6, 1);
    for world in 0..120_u64 {
        let mut offers = Vec::new();
        for (kind, usual) in [
            ("m7i.large", 100_000),
            ("m7i.2xlarge", 400_000),
            ("c7i.4xlarge", 700_000),
            ("m8g.xlarge", 160_000),
            ("r7i.2xlarge", 520_000),
            ("g6.xlarge", 800_000),
        ] {
            for region in ["eu-central-1", "eu-west-1"] {
                if below(3.0) == 0 {
                    continue;
                }
                let price = usual / 2 + below(usual as f64);
                offers.push((kind, region, Purchase::OnDemand, price));
                if below(2.0) == 0 {
                    offers.push((kind, region, Purchase::Spot, price / 4 + below(price as f64)));
                }
            }
        }
        if offers.is_empty() {
            continue;
        }
        let catalog = line::on_sale(&offers);
        let time = |below: &mut dyn FnMut(f64) -> i64| {
            let takes = format!("{}ms", 2 + below(30.0));
            match below(3.0) {
                0 => takes,
                1 => format!("{{ vcpus: {}, takes: {takes} }}", 1 + below(5.0)),
                _ => format!("{{ vcpus: {}, batch: {}, takes: {takes} }}", 1 + below(4.0), 1 + below(6.0)),
            }
        };
        let times = |below: &mut dyn FnMut(f64) -> i64| {
            let mut all = vec![format!("l4: {}ms", 1 + below(6.0))];
            for name in ["aws/m7i", "aws/m7i.2xlarge", "aws/c7i", "x86_64", "arm64", "aws/r7i.2xlarge"] {
                if below(2.0) == 0 {
                    all.push(format!("{name}: {}", time(below)));
                }
            }
            all.join(", ")
        };
        let text = format!(
            "rhumb: 1
name: fraud
models:
  defect:
    measured:
      image: x
      variants:
        a: {{ quality: 95%, memory: {}GiB, time: {{ {} }} }}
        b: {{ quality: {}%, memory: {}GiB, time: {{ {} }} }}
    quality: {{ floor: 93%, benchmark: auc }}
services:
  inspect:
    model: defect
    traffic: {{ peak: {} req/s, arrivals: {} }}
    slo: {{ e2e: {{ p{}: {}ms }} }}
    survive: {{ replica: {}, machine: {}, region: {} }}
    during_failure: {{ capacity: {}% }}
    purchase: {{ spot_max_share: {}% }}
",
            1 + below(9.0),
            times(&mut below),
            92 + below(3.0),
            1 + below(4.0),
            times(&mut below),
            20 + below(900.0),
            ["poisson", "constant", "{ bursty: { cv2: 3 } }"][below(3.0) as usize],
            [50, 95, 99][below(3.0) as usize],
            8 + below(80.0),
            below(2.0),
            below(2.0),
            (below(4.0) == 0) as u32,
            50 + below(51.0),
            [0, 30, 100][below(3.0) as usize],
        );
        if !part.has(world) {
            continue;
        }
        let spec = line::spec(&text, &catalog);
        let there = line::world(&spec, &catalog);
        let found = line::place(&spec, &there);
        let cost =
            found.as_ref().ok().map(|p| p.workloads["services.inspect"].cost.expected_per_hour.micros());
        let least = crate::measured::enumerated(&spec, &there);
        assert_eq!(cost, least, "world {world}:\n{text}\n{offers:?}");
        if let Ok(placement) = found {
            let pools = &placement.workloads["services.inspect"].pools;
            feasible += 1;
            bare += u64::from(pools.iter().any(|p| p.accelerator.is_none()));
            with_spot += u64::from(pools.iter().any(Pool::uses_spot));
            several += u64::from(pools.iter().any(|p| p.replicas_per_machine > 1));
            let proof = check::prove(&spec, &there, &placement);
            assert!(proof.report.passed(), "world {world}:\n{}\n{text}", told(&proof.report.findings));
            assert_eq!(proof.all.verdict(), "optimal", "world {world}");
        }
    }
    assert!(
        feasible > part.of(80)
            && bare > part.of(50)
            && several > part.of(30)
            && (with_spot > 15 || !is_many()),
        "{feasible} {bare} {with_spot} {several}"
    );
}

/// 32 short servers on one machine, with the replay as the judge, played again with other numbers.
#[test]
fn replays_keep_what_was_promised() {
    let catalog = catalog();
    for (rate, limit) in [(14_000, 40), (14_000, 5), (60_000, 40)] {
        let text = only("m7i.8xlarge", MODEL)
            .replace("5000 req/s", &format!("{rate} req/s"))
            .replace("40ms", &format!("{limit}ms"));
        let spec = line::spec(&text, &catalog);
        let world = World { replay: 20_000, ..line::world(&spec, &catalog) };
        let placement = line::place(&spec, &world).unwrap();
        assert_eq!(first(&placement).replicas_per_machine, 32);
        let none = Default::default();
        let options = replay::Options { requests: 20_000, seed: 99, traces: &none, progress: &|_, _| {} };
        let found = replay::verify(&spec, &world, &placement, &options).unwrap();
        assert!(found.passed() && !found.services.is_empty(), "{rate} {limit}: {found:?}");
    }
}

fn case() -> &'static Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let (spec, world, placement) = planned(&format!("{MODEL}    survive: {{ machine: 1 }}\n"));
        (spec, world, placement.unwrap())
    })
}

fn pool(p: &mut Placement) -> &mut Pool {
    &mut p.workloads.get_mut("services.score").unwrap().pools[0]
}

fn times(s: &mut Spec) -> &mut MeasuredVariant {
    match &mut s.models.get_mut("trees").unwrap().source {
        ModelSource::Measured(measured) => measured.variants.get_mut("t1200").unwrap(),
        other => panic!("{other:?}"),
    }
}

fn series(s: &mut Spec) -> &mut OnProcessors {
    times(s).processors.get_mut(&Processors::Series(Cloud::Aws, "m7i".into())).unwrap()
}

fn large(w: &mut World) -> &mut InstanceType {
    let index = w.catalog.instance_type(Cloud::Aws, "m7i.large").unwrap();
    &mut w.catalog.instance_types[index]
}

#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    ("processors without a time", "measured-time", "nobody measured this", |s, _, _| times(s).processors.clear()),
    ("a wider time than the narrowest", "figure", "what is told of the time is wrong", |s, _, _| { times(s).processors.remove(&Processors::Series(Cloud::Aws, "m7i".into())); }),
    ("a narrower time than was taken", "capacity", "does not carry its peak", |s, _, _| { let slow = OnProcessors { vcpus: 1, launch: rhumb::spec::Launch { batch: 1, takes_s: 0.003 } }; times(s).processors.insert(Processors::Type(Cloud::Aws, "m7i.large".into()), slow); }),
    ("what is assumed as measured", "figure", "the class of the times is wrong", |s, _, _| { let own = series(s).clone(); times(s).processors.clear(); times(s).processors.insert(Processors::Architecture("x86_64".into()), own); }),
    ("another architecture", "measured-time", "nobody measured this", |s, w, _| { times(s).processors.retain(|of, _| *of == Processors::Architecture("x86_64".into())); large(w).arch = "riscv".into(); }),
    ("more servers than vCPUs", "layout", "do not fit the machine", |s, _, _| series(s).vcpus = 2),
    ("a server of more vCPUs than there are", "measured-time", "nobody measured this", |s, _, _| series(s).vcpus = 3),
    ("other vCPUs than are stated", "engine", "the vCPUs of a server is wrong", |_, _, p| pool(p).vcpus_per_replica = Some(2)),
    ("no vCPUs", "engine", "the vCPUs of a server is wrong", |_, _, p| pool(p).vcpus_per_replica = None),
    ("more servers than memory", "layout", "do not fit the machine", |s, _, p| { times(s).memory_bytes = 4.0 * 1_073_741_824.0; pool(p).memory.weights = 4.0 * 1_073_741_824.0; }),
    ("a machine with less memory", "memory", "device memory is wrong", |_, w, _| large(w).memory_gib = Some(4.0)),
    ("unknown memory", "measured-time", "nobody measured this", |_, w, _| large(w).memory_gib = None),
    ("all of the memory for servers", "memory", "usable memory is wrong", |_, _, p| pool(p).memory.usable = pool(p).memory.device),
    ("an accelerator that is not there", "instance-type", "the accelerator is wrong", |_, _, p| pool(p).accelerator = Some("l4-24gb".into())),
    ("an accelerator that nobody knows", "instance-type", "the type has no accelerator", |_, w, _| large(w).accelerator_count = 1.0),
    ("processors where accelerators are asked for", "accelerators", "this accelerator is not allowed", |s, _, _| s.services.get_mut("score").unwrap().placement.accelerators = rhumb::spec::AllowDeny::Only(vec!["l4-24gb".into()])),
    ("a slower server than planned for", "capacity", "does not carry its peak", |s, _, _| series(s).launch.takes_s = 0.0025),
    ("three servers on two vCPUs", "layout", "do not fit the machine", |_, _, p| { pool(p).replicas_per_machine = 3; pool(p).replicas = 18; }),
];

#[test]
fn every_planted_fault_is_found() {
    faults::all_are_found_on_sound(case(), FAULTS);
}

/// The start script with a `docker` that notes its words: each server with vCPUs of its own, its memory and its port.
#[test]
fn servers_are_started_as_planned() {
    let text = only("m8g.xlarge", MODEL);
    let (spec, _, placement) = planned(&text);
    let desired = graph::compile(&spec).unwrap().bind(&spec, &placement.unwrap());
    let artifacts = render::artifacts(&desired).unwrap();
    let template =
        desired.keys().find(|k| desired.get(k).unwrap().kind == ResourceKind::LaunchTemplate).unwrap();
    let Some(Attr::Map(server)) = desired.get(template).unwrap().attributes.get("server") else {
        panic!("no server");
    };
    assert_eq!((&server["vcpus"], &server["memory_bytes"]), (&Attr::Int(2), &Attr::Int(1 << 30)));
    let folder = tempfile::tempdir().unwrap();
    for artifact in &artifacts {
        std::fs::write(folder.path().join(&artifact.name), &artifact.content).unwrap();
        assert!(!artifact.content.contains("\n\n\n"), "{}", artifact.content);
        assert!(!artifact.content.to_lowercase().contains("gpu"), "{}", artifact.content);
    }
    let docker = folder.path().join("docker");
    let noted = "#!/bin/bash\nif test \"$1\" = rm; then exit 1; fi\n\
                 printf '%s\\n' \"$@\" \"chosen $RHUMB_VARIANT $RHUMB_BATCH $RHUMB_VCPUS\" > \"$OUT/part.$RHUMB_PORT\"\n\
                 mv \"$OUT/part.$RHUMB_PORT\" \"$OUT/out.$RHUMB_PORT\"\n\
                 while test \"$(ls \"$OUT\" | grep -c '^out')\" -lt 2; do sleep 0.05; done\n";
    std::fs::write(&docker, noted).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .arg(folder.path().join("start.sh"))
        .env("PATH", path)
        .env("OUT", folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "one that ends takes the machine with it: {output:?}");
    for (i, cpus) in ["0-1", "2-3"].into_iter().enumerate() {
        let words = std::fs::read_to_string(folder.path().join(format!("out.{}", 8000 + i))).unwrap();
        let words: Vec<&str> = words.lines().collect();
        assert!(words.windows(2).any(|w| w == ["--cpuset-cpus", cpus]), "{words:?}");
        assert!(words.windows(2).any(|w| w == ["--memory", "1073741824b"]), "{words:?}");
        assert!(
            words.ends_with(&["registry.example.com/fraud/trees:3", "serve", "chosen t1200 1 2"]),
            "{words:?}"
        );
    }
}
