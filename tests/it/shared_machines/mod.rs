//! Machines that services share, from a placement made by hand: resources, start files, plan, bill, report, replay.

mod files;
mod told;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rhumb::catalog::Catalog;
use rhumb::graph::{self, Graph};
use rhumb::perf::Layout;
use rhumb::placement::{Mix, OnShared, Placement, Pool, SharedFleet, SharedPool, World};
use rhumb::plan::{self, Action};
use rhumb::replay;
use rhumb::spec::{EngineName, Purchase, Quantization, Spec};
use rhumb_api::{Attr, Cloud, Money, Resource, ResourceAddr};
use serde_json::{Value, json};

use crate::maker::{self, Wanted};
use crate::{diff, line};

const SPEC: &str = r#"
rhumb: 1
name: together
labels: { team: platform }
models:
  m: { source: Qwen/Qwen3-8B, variants: { bf16: { quantization: bf16 }, int4: { quantization: int4 } } }
services:
  chat:
    model: m
    traffic: &traffic { peak: 2 req/s, input_tokens: { mean: 600 }, output_tokens: { mean: 100 } }
    slo: &slo { ttft: { p95: 2s }, tpot: { p95: 80ms } }
    labels: { owner: chat }
    share_machines: within-deployment
  draft: { model: m, traffic: *traffic, slo: *slo, share_machines: within-deployment }
  rank: { model: m, traffic: *traffic, slo: *slo, share_machines: within-deployment }
"#;

const FLEET: &str = "machines.shared/aws/eu-west-1/p4d.24xlarge/on_demand";
const FULL: &str = "machines.shared/aws/eu-west-1/p4d.24xlarge/on_demand/1xchat.2+2xrank";
const OTHER: &str = "machines.shared/aws/eu-west-1/p4d.24xlarge/on_demand/1xchat.2+1xdraft+1xrank";

pub fn addr(text: &str) -> ResourceAddr {
    ResourceAddr::parse(text).unwrap()
}

/// Every service on a machine of its own.
fn apart() -> &'static (Spec, World, Placement) {
    static APART: OnceLock<(Spec, World, Placement)> = OnceLock::new();
    APART.get_or_init(|| {
        let catalog = Catalog::embedded();
        let mut spec = line::spec(SPEC, &catalog);
        let world = line::world(&spec, &catalog);
        let wanted = Wanted {
            cloud: Cloud::Aws,
            region: "eu-west-1",
            instance_type: "p4d.24xlarge",
            variant: "bf16",
            machines: (1, 0),
        };
        let made = ["chat", "draft", "rank"].map(|name| maker::service(&spec, &world, name, &wanted));
        let endpoint = &mut spec.services.get_mut("chat").unwrap().endpoint;
        endpoint.api_keys = Some("aws-sm:chat".into());
        endpoint.tls_certificate = Some("aws-acm:chat".into());
        let workloads = made.into_iter().map(|w| (w.address.clone(), w)).collect();
        {
            let made = maker::placement(&world, workloads, Vec::new(), None);
            (spec, world, made)
        }
    })
}

fn shared_pool(own: &Pool, below: &str, tp: u32, replicas: u32, most: u32) -> Pool {
    Pool {
        addr: addr(&format!("{}{below}", own.addr)),
        layout: Layout { tp, pp: 1, dp: 1, ep: 1 },
        replicas,
        replicas_per_machine: most,
        zones: 2,
        machines: Vec::new(),
        shared: Some(OnShared {
            fleet: addr(FLEET),
            accelerators: tp,
            most_per_machine: most,
            most_per_zone: None,
        }),
        ..own.clone()
    }
}

/// Two machines of eight by the rule of decision 12: the fours of `chat` one on each, then the twos of `rank` where the fewest are
/// free (two on the first, one on the second), then the one of `draft`. `chat` keeps a machine of its own as well.
pub fn together() -> (Spec, World, Placement) {
    let (mut spec, world, mut placement) = apart().clone();
    spec.models.get_mut("m").unwrap().revision = Some("it's -x".into());
    let price = placement.workloads["services.chat"].pools[0].machines[0].clone();
    // Pool, accelerators, replicas, most on a machine, and its part of fifteen: 8, 6 and 1.
    let made = [("chat", "/2", 4, 2, 1), ("rank", "", 2, 3, 2), ("draft", "", 1, 1, 2)];
    let total = price.price.times(2);
    let mut pools = Vec::new();
    for (name, below, tp, replicas, most) in made {
        let workload = format!("services.{name}");
        let placed = placement.workloads.get_mut(&workload).unwrap();
        let pool = shared_pool(&placed.pools[0], below, tp, replicas, most);
        let micros = total.micros() * i64::from(tp * replicas) / 15;
        pools.push(SharedPool {
            workload,
            addr: pool.addr.clone(),
            replicas,
            per_hour: Money::from_micros(micros),
        });
        if name == "chat" {
            placed.pools.push(pool);
            placed.routes.iter_mut().for_each(|r| {
                r.to = vec![(0, 0.5), (1, 0.5)];
                r.network_ms = vec![r.network_ms[0]; 2];
            });
        } else {
            placed.pools = vec![pool];
        }
    }
    let paid: Money = pools.iter().map(|p| p.per_hour).sum();
    pools[0].per_hour += total - paid;
    let set = |p: &mut Placement, name: &str, of: fn(&mut Pool)| {
        of(&mut p.workloads.get_mut(&format!("services.{name}")).unwrap().pools[0]);
    };
    set(&mut placement, "draft", |p| p.engine.name = EngineName::Sglang);
    set(&mut placement, "rank", |p| (p.quantization, p.variant) = (Quantization::Int4, "int4".into()));
    placement.fleets = vec![SharedFleet {
        addr: addr(FLEET),
        cloud: Cloud::Aws,
        region: "eu-west-1".into(),
        instance_type: "p4d.24xlarge".into(),
        accelerator: placement.workloads["services.rank"].pools[0].accelerator.clone(),
        accelerators_per_machine: 8,
        purchase: Purchase::OnDemand,
        count: 2,
        zones: 2,
        price: price.price,
        list_price: price.list_price,
        provenance: price.provenance,
        pools,
        mixes: vec![
            Mix { machines: vec![0], replicas: vec![1, 2, 0] },
            Mix { machines: vec![1], replicas: vec![1, 1, 1] },
        ],
        quotas: Vec::new(),
        caveats: Vec::new(),
        fallbacks: Vec::new(),
    }];
    (spec, world, placement)
}

pub fn bound(spec: &Spec, placement: &Placement) -> Graph<Resource> {
    graph::compile(spec).unwrap().bind(spec, placement)
}

/// The attributes of a resource as JSON.
fn attributes(graph: &Graph<Resource>, key: &str) -> Value {
    let resource = graph.get(key).unwrap_or_else(|| panic!("no {key}"));
    serde_json::to_value(&resource.attributes).unwrap()
}

#[test]
fn shared_machines_are_resources_that_need_each_other() {
    let (spec, _, placement) = together();
    let graph = bound(&spec, &placement);
    let keys: Vec<String> = graph.keys().map(|k| k.replace("/aws/eu-west-1", "")).collect();
    assert_eq!(
        keys,
        [
            "machines.shared/firewall",
            "machines.shared/network",
            "machines.shared/p4d.24xlarge/on_demand/1xchat.2+1xdraft+1xrank",
            "machines.shared/p4d.24xlarge/on_demand/1xchat.2+1xdraft+1xrank/launch_template",
            "machines.shared/p4d.24xlarge/on_demand/1xchat.2+2xrank",
            "machines.shared/p4d.24xlarge/on_demand/1xchat.2+2xrank/launch_template",
            "services.chat/firewall",
            "services.chat/load_balancer",
            "services.chat/p4d.24xlarge/launch_template",
            "services.chat/p4d.24xlarge/on_demand",
            "services.draft/firewall",
            "services.draft/load_balancer",
            "services.rank/firewall",
            "services.rank/load_balancer",
        ]
    );
    let needs = |key: &str| -> Vec<String> {
        graph.dependencies(key).iter().map(|k| k.replace("/aws/eu-west-1", "")).collect()
    };
    let template = "machines.shared/p4d.24xlarge/on_demand/1xchat.2+2xrank/launch_template";
    assert_eq!(
        needs(FULL),
        ["machines.shared/network", template, "services.chat/load_balancer", "services.rank/load_balancer"]
    );
    assert_eq!(
        needs(&format!("{FULL}/launch_template")),
        ["machines.shared/firewall", "machines.shared/network"]
    );
    for service in ["chat", "draft", "rank"] {
        let network = "machines.shared/network".to_owned();
        let firewall = format!("services.{service}/firewall");
        assert_eq!(needs(&format!("services.{service}/aws/eu-west-1/firewall")), ["machines.shared/network"]);
        assert_eq!(needs(&format!("services.{service}/aws/eu-west-1/load_balancer")), [network, firewall]);
    }
    assert_eq!(
        needs("machines.shared/aws/eu-west-1/firewall"),
        [
            "machines.shared/network",
            "services.chat/firewall",
            "services.draft/firewall",
            "services.rank/firewall"
        ]
    );
    // A machine of its own stands in the same network.
    let own = "services.chat/aws/eu-west-1/p4d.24xlarge/on_demand";
    assert!(needs(own).contains(&"machines.shared/network".to_owned()));
    assert_eq!(graph.order().len(), graph.len());
}

#[test]
fn ports_are_those_of_the_fleet_and_devices_those_of_the_machine() {
    let (spec, _, placement) = together();
    let graph = bound(&spec, &placement);
    // chat may have 1 on a machine, rank 2, draft 2: 8000, 8001 to 8002, 8003 to 8004.
    let replicas = |template: &str, pool: &str| {
        let of = attributes(&graph, &format!("{template}/launch_template"));
        of["engines"][pool]["replicas"].clone()
    };
    let [chat, rank, draft] = ["chat", "rank", "draft"]
        .map(|s| format!("services.{s}/aws/eu-west-1/p4d.24xlarge{}", if s == "chat" { "/2" } else { "" }));
    assert_eq!(replicas(FULL, &chat), json!([{ "port": 8000, "accelerators": [0, 1, 2, 3] }]));
    assert_eq!(
        replicas(FULL, &rank),
        json!([{ "port": 8001, "accelerators": [4, 5] }, { "port": 8002, "accelerators": [6, 7] }])
    );
    assert_eq!(replicas(FULL, &draft), Value::Null);
    assert_eq!(replicas(OTHER, &chat), json!([{ "port": 8000, "accelerators": [0, 1, 2, 3] }]));
    assert_eq!(replicas(OTHER, &rank), json!([{ "port": 8001, "accelerators": [4, 5] }]));
    assert_eq!(replicas(OTHER, &draft), json!([{ "port": 8003, "accelerators": [6] }]));

    let balancer = |s: &str| format!("services.{s}/aws/eu-west-1/load_balancer");
    let full = attributes(&graph, FULL);
    assert_eq!(full["targets"], json!({ (balancer("chat")): [8000], (balancer("rank")): [8001, 8002] }));
    assert_eq!((&full["count"], &full["machines_in_zones"]), (&json!(1), &json!([1, 0])));
    assert_eq!((&full["replicas_per_machine"], &full["zones"]), (&json!(3), &json!(2)));
    let other = attributes(&graph, OTHER);
    assert_eq!(other["targets"][balancer("draft")], json!([8003]));
    assert_eq!(other["machines_in_zones"], json!([0, 1]));

    let rules = |key: &str| attributes(&graph, key)["inbound"].clone();
    let admitted = |service: &str, first: u32, last: u32| {
        json!({
            "from": "load_balancer", "firewall": format!("services.{service}/aws/eu-west-1/firewall"),
            "to": "machines", "protocol": "tcp", "first_port": first, "last_port": last,
        })
    };
    assert_eq!(
        rules("machines.shared/aws/eu-west-1/firewall"),
        json!([admitted("chat", 8000, 8000), admitted("draft", 8003, 8004), admitted("rank", 8001, 8002)])
    );
    // Eight replicas on the machine of its own, behind https.
    let ports = |key: &str| -> Vec<(Value, Value)> {
        let list = rules(key).as_array().unwrap().clone();
        list.iter().map(|r| (r["first_port"].clone(), r["last_port"].clone())).collect()
    };
    let pair = |a: i64, b: i64| (json!(a), json!(b));
    assert_eq!(ports("services.chat/aws/eu-west-1/firewall"), [pair(443, 443), pair(8000, 8007)]);
    assert_eq!(ports("services.rank/aws/eu-west-1/firewall"), [pair(80, 80)]);
    assert_eq!(attributes(&graph, &balancer("rank"))["health_check_port"], Value::Null);
}

#[test]
fn no_service_claims_a_shared_machine() {
    let (spec, _, placement) = together();
    let graph = bound(&spec, &placement);
    for (key, node) in graph.nodes().filter(|(key, _)| key.starts_with("machines.shared")) {
        assert_eq!(node.attributes["workload"], Attr::from("machines.shared"), "{key}");
        let labels = Attr::Map([("team".to_owned(), "platform".into())].into());
        assert_eq!(node.attributes["labels"], labels, "{key}");
    }
    let own = attributes(&graph, "services.chat/aws/eu-west-1/load_balancer");
    assert_eq!(own["labels"], json!({ "team": "platform", "owner": "chat" }));
    // Keys are named, per engine, and nowhere else.
    let of = attributes(&graph, &format!("{FULL}/launch_template"));
    let keys: Vec<&Value> = of["engines"].as_object().unwrap().values().map(|e| &e["api_keys"]).collect();
    assert_eq!(keys, [&json!("aws-sm:chat"), &Value::Null]);
    assert_eq!(of["api_keys"], Value::Null);
}

/// A third machine with another mix leaves the others what they were.
#[test]
fn a_mix_keeps_its_name_when_others_come() {
    let (spec, _, placement) = together();
    let before = bound(&spec, &placement);
    let mut grown = placement.clone();
    let fleet = &mut grown.fleets[0];
    fleet.count = 3;
    fleet.pools[1].replicas += 1;
    fleet.mixes.push(Mix { machines: vec![2], replicas: vec![0, 1, 0] });
    grown.workloads.get_mut("services.rank").unwrap().pools[0].replicas += 1;
    let after = bound(&spec, &grown);
    let differing: Vec<&str> = after.keys().filter(|k| before.get(k) != after.get(k)).collect();
    let new = format!("{FLEET}/1xrank");
    assert_eq!(differing, [new.clone(), format!("{new}/launch_template")]);
    // Two machines with the same mix are one fleet.
    grown.fleets[0].mixes[2].replicas = vec![1, 1, 1];
    let [first, _, last] = &grown.fleets[0].mixes[..] else { panic!("three mixes") };
    let same = Mix { machines: vec![1, 2], replicas: last.replicas.clone() };
    grown.fleets[0].mixes = vec![first.clone(), same];
    let three = bound(&spec, &grown);
    let changed: Vec<&str> = three.keys().filter(|k| before.get(k) != three.get(k)).collect();
    assert_eq!(changed, [OTHER]);
    assert_eq!(attributes(&three, OTHER)["machines_in_zones"], json!([1, 1]));
}

#[test]
fn a_plan_makes_changes_and_removes_them_like_other_resources() {
    let (_, _, own) = apart();
    let (spec, _, placement) = together();
    let wanted = |p: &Placement| plan::desired(&bound(&spec, p));
    let prior = diff::state_of(&wanted(own));
    let moved = diff::between(Some(&prior), &wanted(&placement));
    let exists = diff::apply(Some(&prior), &moved);
    let all: BTreeMap<_, _> = wanted(&placement).into_iter().map(|(a, (r, _))| (a, r)).collect();
    assert_eq!(exists, all);
    let of =
        |plan: &plan::Plan, at: &str| plan.changes.iter().find(|c| c.addr.as_str() == at).unwrap().clone();
    // A load balancer cannot move to another network.
    for service in ["chat", "draft", "rank"] {
        let balancer = of(&moved, &format!("services.{service}/aws/eu-west-1/load_balancer"));
        assert_eq!(balancer.action, Action::Replace, "{service}");
    }
    assert_eq!(of(&moved, FULL).reasons, ["no machines were shared before"]);
    let gone = of(&moved, "services.rank/aws/eu-west-1/network");
    assert_eq!(gone.reasons, ["not wanted any more: nothing of services.rank in aws/eu-west-1 needs it"]);

    // Another engine setting of one pool changes the templates that start it, in place.
    let shared = diff::state_of(&wanted(&placement));
    let mut tuned = placement.clone();
    tuned.workloads.get_mut("services.draft").unwrap().pools[0].engine.max_num_seqs = 64;
    let plan = diff::between(Some(&shared), &wanted(&tuned));
    let changed: Vec<(String, &[String])> = plan
        .changes
        .iter()
        .filter(|c| c.action != Action::Keep)
        .map(|c| (c.addr.to_string(), &c.reasons[..]))
        .collect();
    let why = "engines.services.draft/aws/eu-west-1/p4d.24xlarge.engine.max_num_seqs 256 -> 64".to_owned();
    assert_eq!(changed, [(format!("{OTHER}/launch_template"), &[why][..])]);

    let mut fewer = placement.clone();
    fewer.fleets[0].mixes[1].replicas = vec![1, 1, 0];
    let plan = diff::between(Some(&shared), &wanted(&fewer));
    assert_eq!(
        of(&plan, OTHER).reasons,
        ["not wanted any more: no p4d.24xlarge in aws/eu-west-1 has these replicas on it any more"]
    );
    let back = diff::between(Some(&shared), &wanted(own));
    assert_eq!(
        of(&back, "machines.shared/aws/eu-west-1/network").reasons,
        ["not wanted any more: no services share machines any more"]
    );
}

/// Firewall, templates and disks of shared machines have no price: each service has its part of them on its bill.
#[test]
fn what_is_not_priced_of_shared_machines_is_on_every_bill() {
    let (spec, _, mut placement) = together();
    let wanted = plan::desired(&bound(&spec, &placement));
    for placed in placement.workloads.values_mut() {
        placed.cost.incomplete = false;
    }
    plan::complete_bill(&mut placement, &wanted);
    for (address, placed) in &placement.workloads {
        let addr = format!("{address}/aws/eu-west-1/shared_parts");
        let lines: Vec<_> = placed.cost.lines.iter().filter(|l| l.addr == addr).collect();
        assert_eq!(lines.len(), 1, "{address}");
        assert_eq!(lines[0].per_hour, None);
        assert!(placed.cost.incomplete);
        assert!(placed.cost.lines.iter().all(|l| l.addr.starts_with(address.as_str())), "{address}");
    }
    let (spec, _, mut own) = apart().clone();
    let wanted = plan::desired(&bound(&spec, &own));
    plan::complete_bill(&mut own, &wanted);
    assert!(own.workloads.values().flat_map(|w| &w.cost.lines).all(|l| !l.addr.ends_with("/shared_parts")));
}

/// One replica fewer on shared machines frees accelerators, not money.
#[test]
fn the_replay_takes_one_replica_from_shared_machines() {
    let (spec, world, mut placement) = together();
    // The catalogue's curve of the checkpoint as it is: this is about counts.
    placement.workloads.get_mut("services.rank").unwrap().pools[0].quantization = Quantization::Bf16;
    let traces = BTreeMap::new();
    let options = replay::Options { requests: 800, seed: 1, traces: &traces, progress: &|_, _| () };
    let found = replay::verify(&spec, &world, &placement, &options).unwrap();
    let fewer = |address: &str| &found.services.iter().find(|s| s.address == address).unwrap().fewer;
    let rank = &fewer("services.rank")[0];
    assert_eq!((rank.replicas, rank.per_month), (2, None));
    let draft = &fewer("services.draft")[0];
    assert_eq!((draft.replicas, draft.per_month), (0, None));
    let only = |f: &replay::Fewer| format!("{:?}", f.verdict);
    assert!(only(draft).contains("the pool's only replica"), "{draft:?}");
    let [own, shared] = &fewer("services.chat")[..] else { panic!("two pools") };
    let price = placement.workloads["services.chat"].pools[0].machines[0].price;
    assert_eq!((own.replicas, own.per_month), (0, Some(price.times(730))));
    assert!(only(own).contains("the pool's only machine"), "{own:?}");
    assert_eq!((shared.replicas, shared.per_month), (1, None));
}

/// Three services that need an accelerator or two each, where only eights are sold: one machine instead of three.
#[test]
fn the_line_from_the_spec_to_the_saved_plan_knows_shared_machines() {
    let price = 32_772_600;
    let catalog = line::on_sale(&[("p4d.24xlarge", "eu-west-1", Purchase::OnDemand, price)]);
    let spec = line::spec(SPEC, &catalog);
    let world = line::world(&spec, &catalog);
    let input = rhumb::PlanningInput {
        spec,
        spec_digest: rhumb::plan::spec_digest(&json!({ "name": "together" }), &Default::default()),
        world,
        prior: None,
        now: "2026-11-25T08:00:00Z".into(),
        warnings: Vec::new(),
    };
    let plan = rhumb::plan(&input).unwrap_or_else(|e| panic!("{e}"));
    let placement = &plan.placement;
    let [fleet] = &placement.fleets[..] else { panic!("{:#?}", placement.fleets) };
    assert_eq!((fleet.count, fleet.pools.len(), fleet.price.micros()), (1, 3, price));
    let hourly: Money = placement.workloads.values().map(|w| w.cost.expected_per_hour).sum();
    assert_eq!(hourly.micros(), price);
    let apart = placement.coupling.as_ref().unwrap().apart;
    assert_eq!(apart.micros(), 3 * 730 * price);

    let text = plan::file::encode(&plan);
    assert_eq!(plan::file::decode("p.json", &text).unwrap(), plan);
    let told = format!("{:?}", rhumb::report::report(&plan));
    let saved = Money::from_micros(2 * 730 * price);
    assert!(
        told.contains(&format!("placed apart they would cost {apart} USD/month, {saved} more")),
        "{told}"
    );
    let schema = serde_json::from_str(rhumb::report::json::PLAN_SCHEMA).unwrap();
    let problems: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&rhumb::report::json::plan(&plan))
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
    // Three environments and one script; nothing of a service but its load balancer and its firewall.
    let names: Vec<&str> = plan.artifacts.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let own = plan.changes.iter().filter(|c| c.addr.as_str().starts_with("services."));
    assert_eq!(own.count(), 6);
    assert!(plan.changes.iter().any(|c| c.addr == graph::mix_address(fleet, &fleet.mixes[0])));
}
