//! What a plan says of shared machines to people and to machines, and what of it an edited file may not say.

use rhumb::placement::{Mix, SharedFleet};
use rhumb::plan::Plan;
use rhumb::plan::file::{PlanFileError, decode, encode};
use rhumb::report::json::PLAN_SCHEMA;
use rhumb::report::{self, Block, Report};
use rhumb_api::{Money, Purchase};
use serde_json::{Value, json};

use super::addr;
use crate::planfile::sample;

/// The rows and lines of a section.
fn section(report: &Report, name: &str) -> Vec<String> {
    let found = report.sections.iter().find(|s| s.name == name);
    let blocks = found.map_or(&[][..], |s| &s.blocks);
    let cells = |row: &Vec<report::Cell>| row.iter().map(|c| c.text.as_str()).collect::<Vec<_>>().join(" | ");
    blocks
        .iter()
        .flat_map(|block| match block {
            Block::Table(table) => table.rows.iter().map(cells).collect(),
            Block::Lines(lines) => lines.iter().map(|l| l.text.clone()).collect::<Vec<_>>(),
        })
        .collect()
}

#[test]
fn the_report_shows_what_is_where() {
    let mut plan = sample::plan();
    plan.rollback = None;
    let told = report::report(&plan);
    // 2 x 55.04 USD x 730 h; 2 x 4 and 3 x 2 of 16.
    assert_eq!(
        section(&told, "fleets"),
        [
            "2 on_demand p5.48xlarge in aws/eu-west-1: 55.04 USD/h each, 80,358.40 USD/month in all (listed \
             2026-10-01); 14 of 16 h100-sxm-80gb are taken, 2 free.",
            "Quotas, counted once for all services: 385 vcpus of L-417A185B.",
            "1 | 1 services.chat + 2 services.rank | 8 | 0",
            "1 | 1 services.chat + 1 services.rank | 6 | 2",
        ]
    );
    let placed = section(&told, "placements");
    let row = |of: &str| placed.iter().find(|r| r.contains(of)).unwrap_or_else(|| panic!("{of}: {placed:?}"));
    assert!(row("shared: 3 replicas on 2 of 2 x p5.48xlarge").contains("| 6 of 16 x h100-sxm-80gb |"));
    assert!(row("shared: 2 replicas on 2 of 2 x p5.48xlarge").contains("| 8 of 16 x h100-sxm-80gb |"));
    // 384 of the machines of its own, and those that are shared.
    assert!(section(&told, "quotas")[0].starts_with("aws/eu-west-1 | L-417A185B | 769 vcpus"));
    let caveats = section(&told, "caveats");
    assert!(
        caveats.contains(&"machines.shared/aws/eu-west-1/p5.48xlarge/on_demand: offered: assumed".into())
    );

    // Where what runs is kept, more than money was compared.
    plan.placement.coupling.as_mut().unwrap().carbon_price = 0;
    plan.placement.coupling.as_mut().unwrap().apart = Money::from_micros(61_234_000_000);
    let told = report::report(&plan);
    let counted = "placed apart they would count for 61,234.00 USD/month, 11,234.00 more";
    assert_eq!(section(&told, "fleets").pop().unwrap(), format!("All workloads: {counted}."));
    assert!(section(&told, "shared").iter().any(|line| line.contains(counted)));
    let kept = section(&told, "stability");
    assert!(kept[0].contains("| aws/eu-south-2/p5.48xlarge (shared) |"), "{kept:?}");
    let json = report::json::plan(&plan);
    assert_eq!(json["stability"]["workloads"][0]["free_choice"]["places"][0]["shared"], true);
    assert_eq!(json["stability"]["workloads"][0]["running"][0]["shared"], false);
    plan.placement.kept = None;
    let told = report::report(&plan);
    let saved = "placed apart they would cost 61,234.00 USD/month, 11,234.00 more";
    assert_eq!(section(&told, "fleets").pop().unwrap(), format!("All workloads: {saved}."));
    assert!(section(&told, "shared").iter().any(|line| line.contains(saved)));
    plan.placement.coupling.as_mut().unwrap().limits.clear();
    let told = report::report(&plan);
    let shared = told.sections.iter().find(|s| s.name == "shared").unwrap();
    assert_eq!((shared.heading.as_str(), shared.blocks.len()), ("Placed together", 1));

    let rank = report::explain(&plan.placement.workloads["services.rank"], &[]);
    let line = "  on shared machines, machines.shared/aws/eu-west-1/p5.48xlarge/on_demand: 2 accelerators each, at \
                most 2 on one machine and 2 in one zone";
    assert!(section(&rank, "choice").contains(&line.into()), "{:?}", section(&rank, "choice"));

    plan.placement.fleets.clear();
    assert!(section(&report::report(&plan), "fleets").is_empty());
}

#[test]
fn the_json_keeps_its_schema() {
    let validator = jsonschema::validator_for(&serde_json::from_str(PLAN_SCHEMA).unwrap()).unwrap();
    let plan = report::json::plan(&sample::plan());
    let problems: Vec<String> =
        validator.iter_errors(&plan).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    let fleet = &plan["fleets"][0];
    assert_eq!((&fleet["accelerators"], &fleet["accelerators_taken"]), (&json!(16), &json!(14)));
    assert_eq!(fleet["pools"][0]["usd_per_hour"], json!("62.902858"));
    assert_eq!(
        fleet["mixes"][1],
        json!({
            "address": "machines.shared/aws/eu-west-1/p5.48xlarge/on_demand/1xchat.2+1xrank",
            "machines": [1], "replicas": [1, 1], "accelerators_taken": 6,
        })
    );
    assert_eq!(
        plan["workloads"]["services.rank"]["pools"][0]["shared"],
        json!({
            "fleet": "machines.shared/aws/eu-west-1/p5.48xlarge/on_demand",
            "accelerators_per_replica": 2, "most_per_machine": 2, "most_per_zone": 2,
        })
    );
    let rank = "/workloads/services.rank/pools/0";
    let own = json!({ "purchase": "on_demand" });
    let faults: &[(&str, Value)] = &[
        ("/fleets", Value::Null),
        ("/fleets/0/purchase", json!("spot")),
        ("/fleets/0/count", json!(0)),
        ("/fleets/0/usd_per_hour_each", json!(55.04)),
        ("/fleets/0/mixes", json!([])),
        ("/fleets/0/mixes/0/machines", json!([])),
        ("/fleets/0/pools/0/replicas", json!("2")),
        ("/fleets/0/quotas/0/unit", json!("cores")),
        (&format!("{rank}/shared"), Value::Null),
        (&format!("{rank}/shared/most_per_machine"), json!(0)),
        (&format!("{rank}/machines"), json!([own])),
        ("/workloads/services.chat/pools/0/machines", json!([])),
    ];
    for (at, wrong) in faults {
        let mut bad = plan.clone();
        *bad.pointer_mut(at).unwrap_or_else(|| panic!("there is no {at}")) = wrong.clone();
        assert!(!validator.is_valid(&bad), "{at} = {wrong} passes");
    }
}

fn fleet(p: &mut Plan) -> &mut SharedFleet {
    &mut p.placement.fleets[0]
}

fn rank(p: &mut Plan) -> &mut rhumb::placement::Pool {
    &mut p.placement.workloads.get_mut("services.rank").unwrap().pools[0]
}

type Fault = (&'static str, fn(&mut Plan));

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    ("in the order of their addresses", |p| { let f = fleet(p).clone(); p.placement.fleets.push(f); }),
    ("its address is not that of its place", |p| fleet(p).region = "eu-west-2".into()),
    ("its address is not that of its place", |p| fleet(p).purchase = Purchase::Reserved1y),
    ("never spot", |p| {
        let spot = addr("machines.shared/aws/eu-west-1/p5.48xlarge/spot");
        (fleet(p).purchase, fleet(p).addr) = (Purchase::Spot, spot);
    }),
    ("there must be 1 to", |p| fleet(p).count = 0),
    ("there must be 1 to", |p| fleet(p).count = u32::MAX),
    ("2 machines are in a mix, there are 3", |p| { fleet(p).count = 3; fleet(p).price = Money::ZERO; }),
    ("are not spread over 0 zones", |p| fleet(p).zones = 0),
    ("are not spread over 3 zones", |p| fleet(p).zones = 3),
    ("cannot be shared", |p| fleet(p).accelerators_per_machine = 1),
    ("is there twice", |p| { let twin = fleet(p).pools[0].clone(); fleet(p).pools.push(twin); }),
    ("its workload is not there", |p| fleet(p).pools[0].workload = "services.none".into()),
    ("its workload does not have it", |p| fleet(p).pools[0].workload = "services.rank".into()),
    ("it is not on shared machines", |p| rank(p).shared = None),
    ("it is on other machines", |p| rank(p).shared.as_mut().unwrap().fleet = addr("machines.shared/x")),
    ("on shared machines that are not there", |p| p.placement.fleets.clear()),
    ("does not have it", |p| {
        let mut third = rank(p).clone();
        third.addr = addr("services.rank/aws/eu-west-1/p5.48xlarge/3");
        p.placement.workloads.get_mut("services.rank").unwrap().pools.push(third);
    }),
    ("of another place or on another type", |p| rank(p).region = "eu-west-3".into()),
    ("of another place or on another type", |p| rank(p).accelerators_per_machine = 4.0),
    ("it has machines of its own", |p| {
        let own = p.placement.workloads["services.chat"].pools[0].machines.clone();
        rank(p).machines = own;
    }),
    ("3 replicas are on the machines, it has 4", |p| rank(p).replicas = 4),
    ("2 replicas are on the machines, it has 3", |p| fleet(p).pools[1].replicas = 2),
    ("accelerators for a replica do not fit", |p| rank(p).shared.as_mut().unwrap().accelerators = 1),
    ("accelerators for a replica do not fit", |p| rank(p).layout.tp = 4),
    ("replicas to a machine do not fit", |p| rank(p).machines_per_replica = 2),
    ("replicas to a machine do not fit", |p| rank(p).shared.as_mut().unwrap().most_per_machine = 5),
    ("replicas to a machine do not fit", |p| rank(p).replicas_per_machine = 3),
    ("does not say of every pool", |p| fleet(p).mixes[0].replicas.truncate(1)),
    ("two mixes are the same", |p| fleet(p).mixes[1].replicas = vec![1, 2]),
    ("in their order, each once", |p| fleet(p).mixes[0].machines = vec![0, 0]),
    ("in their order, each once", |p| fleet(p).mixes[0].machines.clear()),
    ("a machine is in two mixes", |p| fleet(p).mixes[1].machines = vec![0]),
    ("or beyond their number", |p| fleet(p).mixes[1].machines = vec![2]),
    ("replicas of services.rank/aws/eu-west-1/p5.48xlarge are on one machine, at most 2", |p| {
        fleet(p).mixes[1].replicas = vec![0, 3];
    }),
    ("12 accelerators of a machine are taken, it has 8", |p| {
        let chat = &mut p.placement.workloads.get_mut("services.chat").unwrap().pools[1];
        (chat.replicas_per_machine, chat.shared.as_mut().unwrap().most_per_machine) = (2, 2);
        fleet(p).mixes = vec![
            Mix { machines: vec![0], replicas: vec![2, 2] },
            Mix { machines: vec![1], replicas: vec![0, 1] },
        ];
    }),
    ("1 replicas of services.chat/aws/eu-west-1/p5.48xlarge/2 are in the mixes, it has 2", |p| {
        fleet(p).mixes[1].replicas = vec![0, 0];
    }),
    ("2 replicas of services.rank/aws/eu-west-1/p5.48xlarge are in the mixes, it has 3", |p| {
        fleet(p).mixes[1].replicas = vec![1, 0];
    }),
    ("in the order of their first machines", |p| fleet(p).mixes.swap(0, 1)),
    ("what the pools pay is not what the machines cost", |p| {
        fleet(p).pools[0].per_hour += Money::from_micros(1);
    }),
    ("what the pools pay is not what the machines cost", |p| fleet(p).price = Money::from_micros(1)),
    ("a fallback, services.chat/aws/eu-west-3/p5.48xlarge: on shared machines", |p| {
        let on = rank(p).shared.clone();
        p.placement.workloads.get_mut("services.chat").unwrap().fallbacks[0].list[0].pool.shared = on;
    }),
];

#[test]
fn an_edited_plan_whose_shared_machines_do_not_fit_is_refused() {
    assert_eq!(decode("p.json", &encode(&sample::plan())).unwrap(), sample::plan());
    for (message, fault) in FAULTS {
        let mut plan = sample::plan();
        fault(&mut plan);
        let error = decode("p.json", &encode(&plan)).expect_err(message);
        assert!(matches!(error, PlanFileError::Inconsistent { .. }), "{message}: {error:?}");
        assert!(error.to_string().contains(message), "{message}: {error}");
    }
}
