//! Chains of services: their limits by hand, what is told, and planted faults.

use rhumb::catalog::Catalog;
use rhumb::check::{self, Finding};
use rhumb::optimize;
use rhumb::placement::{Metric, Placement, World};
use rhumb::spec::Spec;
use rhumb_api::Purchase;

use crate::line;

/// A detector and two models that look at what it found.
const THREE: &str = r#"
rhumb: 1
name: three
models:
  find: { measured: { unit: frame, image: r/find:1, variants: { v: { memory: 2GiB, time: { l4: 20ms, l40s: 5ms } } } } }
  name: { measured: { unit: frame, image: r/name:1, variants: { v: { memory: 2GiB, time: { l4: 30ms, l40s: 8ms } } } } }
  read: { measured: { unit: frame, image: r/read:1, variants: { v: { memory: 2GiB, time: { l4: 12ms } } } } }
services:
  find: { model: find, traffic: { peak: 2 req/s, origins: { o: { at: vpc } } } }
  name: { model: name, traffic: { peak: 2 req/s, origins: { o: { at: vpc } } } }
  read: { model: read, traffic: { peak: 2 req/s, origins: { o: { at: vpc } } } }
chains:
  look: { steps: [find, [name, read]], between: 4ms, slo: { e2e: { p95: LIMIT } } }
"#;

fn catalog() -> Catalog {
    line::on_sale(&[
        ("g6.xlarge", "us-east-1", Purchase::OnDemand, 800_000),
        ("g6e.xlarge", "us-east-1", Purchase::OnDemand, 1_860_000),
    ])
}

fn solved(limit: &str) -> (Spec, World, Placement) {
    let catalog = catalog();
    let mut spec = line::spec(&THREE.replace("LIMIT", limit), &catalog);
    let world = line::world(&spec, &catalog);
    optimize::split_chains(&mut spec, &world);
    let placement = line::place(&spec, &world).unwrap();
    (spec, world, placement)
}

fn types(placement: &Placement) -> Vec<(&str, &str)> {
    let all = placement.workloads.iter();
    all.map(|(a, w)| (a.trim_start_matches("services."), w.pools[0].instance_type.as_str())).collect()
}

/// Alone an item takes 20 or 5, 30 or 8, and 12 ms; two a second wait little, and their 98.3th percentile is below twice that.
#[test]
fn the_time_goes_where_it_saves_most() {
    // All of it on the cheap machines.
    let (spec, world, loose) = solved("400ms");
    assert_eq!(types(&loose), [("find", "g6.xlarge"), ("name", "g6.xlarge"), ("read", "g6.xlarge")]);
    assert_eq!(check::placement(&spec, &world, &loose), vec![]);
    // 20 + 30 + 4 are 54 at the least: one of the first two must be faster, and `read` runs on nothing else.
    let (spec, world, tight) = solved("53ms");
    let dear = types(&tight).iter().filter(|(_, kind)| *kind == "g6e.xlarge").count();
    assert_eq!(dear, 1, "{:?}", types(&tight));
    assert_eq!(check::placement(&spec, &world, &tight), vec![]);
    let chain = &tight.chains[0];
    // Three services: each may break it for a third of 5 %.
    assert!((chain.part_quantile - 0.983_334).abs() < 1e-9, "{}", chain.part_quantile);
    let limits: Vec<f64> = chain.steps.iter().map(|step| step[0].limit_ms).collect();
    assert!(limits.iter().sum::<f64>() <= 49.0 && limits.iter().sum::<f64>() > 48.9, "{limits:?}");
    assert_eq!(chain.steps[1][0].limit_ms.to_bits(), chain.steps[1][1].limit_ms.to_bits());
    assert!(chain.promised_ms(&tight).unwrap() <= 53.0);
    for placed in tight.workloads.values() {
        let of = |o: &&rhumb::placement::ObjectiveCheck| o.metric == Metric::E2e;
        assert_eq!(placed.objectives.iter().filter(of).count(), 1);
    }
}

#[test]
fn what_nothing_keeps_is_refused_with_the_parts_that_come_nearest() {
    let catalog = catalog();
    let mut spec = line::spec(&THREE.replace("LIMIT", "16ms"), &catalog);
    let world = line::world(&spec, &catalog);
    optimize::split_chains(&mut spec, &world);
    let limit = |name: &str| spec.services[name].slo.e2e[0].limit_ms;
    // `read` takes 12 ms at the least, `find` 5: of the 12 ms that are left the second step has more.
    assert!(limit("read") > limit("find") && limit("find") > 2.0, "{} {}", limit("read"), limit("find"));
    let refused = line::place(&spec, &world).unwrap_err();
    let why: Vec<&str> = refused.workloads.iter().flat_map(|w| &w.conflict).map(|c| c.constraint).collect();
    assert!(why.contains(&"e2e"), "{why:?}");
    let at = refused.workloads[0].conflict[0].at.as_ref().unwrap().dotted();
    assert_eq!(at, "chains.look.slo.e2e.p95");
}

#[test]
fn each_planted_fault_is_found() {
    let (spec, world, sound) = solved("53ms");
    let found = |of: &dyn Fn(&mut Spec, &mut Placement)| -> Vec<Finding> {
        let (mut spec, mut placement) = (spec.clone(), sound.clone());
        of(&mut spec, &mut placement);
        check::placement(&spec, &world, &placement).into_iter().filter(|f| f.code == "chain").collect()
    };
    assert_eq!(found(&|_, _| {}), vec![]);
    // What is not planted in the spec as well, other rules find too.
    let faults: &[(&str, &dyn Fn(&mut Spec, &mut Placement))] = &[
        ("a chain that nobody asked for", &|_, p| {
            let more = rhumb::placement::ChainSplit { name: "more".into(), ..p.chains[0].clone() };
            p.chains.push(more);
        }),
        ("a chain that is not there", &|_, p| p.chains.clear()),
        ("another limit", &|_, p| p.chains[0].limit_ms = 60.0),
        ("less between the steps", &|_, p| p.chains[0].between_ms = 0.0),
        ("another percentile", &|_, p| p.chains[0].quantile = 0.9),
        ("a step less", &|_, p| drop(p.chains[0].steps.pop())),
        ("steps in another order", &|_, p| p.chains[0].steps.reverse()),
        ("one service of two", &|_, p| drop(p.chains[0].steps[1].pop())),
        ("a limit that its service does not keep", &|_, p| p.chains[0].steps[0][0].limit_ms -= 1.0),
        ("parts that are too long together", &|s, p| {
            p.chains[0].steps[0][0].limit_ms += 1.0;
            let limit = p.chains[0].steps[0][0].limit_ms;
            s.services.get_mut("find").unwrap().slo.e2e[0].limit_ms = limit;
            p.workloads.get_mut("services.find").unwrap().objectives[0].limit_ms = limit;
        }),
        ("parts that are broken too often together", &|s, p| {
            p.chains[0].part_quantile = 0.95;
            for service in s.services.values_mut() {
                service.slo.e2e[0].quantile = Some(0.95);
            }
            for placed in p.workloads.values_mut() {
                placed.objectives[0].quantile = Some(0.95);
            }
        }),
        ("a service that promises nothing of it", &|_, p| {
            p.workloads.get_mut("services.read").unwrap().objectives.clear();
        }),
    ];
    for (what, fault) in faults {
        assert!(!found(fault).is_empty(), "{what} is not found");
    }
}

/// A template's own end-to-end objective would be another one, at the same percentile as that of the chain's parts.
#[test]
fn a_use_case_gives_a_step_no_objective_of_its_own() {
    let catalog = Catalog::embedded();
    let text = "rhumb: 1\nname: two\nmodels: { m: { source: meta-llama/Llama-3.1-8B-Instruct } }\n\
                services:\n  a: { model: m, use_case: chatbot_conversational, traffic: { peak: 1 req/s } }\n  \
                b: { model: m, use_case: chatbot_conversational, traffic: { peak: 1 req/s } }\n\
                chains: { c: { steps: [a, b], slo: { e2e: { p90: 60s } } } }\n";
    let spec = line::spec(text, &catalog);
    for service in spec.services.values() {
        assert_eq!(service.slo.e2e.len(), 1, "{:?}", service.slo.e2e);
        assert_eq!((service.slo.e2e[0].quantile, service.slo.ttft.len()), (Some(0.95), 1));
    }
}
