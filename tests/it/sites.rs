//! Machines at sites of the user's own: plans by hand, by enumeration, planted faults, and what is said of them.

mod enumeration;
pub mod faults;

use rhumb::catalog::{Catalog, Evidence};
use rhumb::check;
use rhumb::placement::{Infeasible, Placement, Pool, World};
use rhumb::spec::{Place, RegionRef, Spec};
use rhumb_api::{Cloud, Purchase, ResourceKind};

use crate::faults::told;
use crate::line;

/// A detector, and a plant near Munich with six machines of an L4.
pub const PLANT: &str = "
rhumb: 1
name: plant
models:
  defect:
    measured:
      image: registry.example.com/defect:7
      variants:
        int8: { memory: 2GiB, time: { l4: 3.3ms } }
sites:
  plant-7:
    location: [48.14, 11.58]
    country: DE
    inventory:
      l4-node: { accelerator: l4, count: 6, vcpus: 16, memory: 64GiB }
    cost: 0.9 USD/h
    power: 4200 W
    wan: { bandwidth: 100Mbps, round_trip: 24ms }
services:
  inspect:
    model: defect
    traffic: { peak: 640 req/s, origins: { line: { at: sites.plant-7 } } }
    slo: { e2e: { p99: 80ms } }
    placement: { sites: [plant-7] }
";

/// A machine of one L4 in Frankfurt, for 0.5 USD/h.
fn catalog() -> Catalog {
    line::on_sale(&[("g6.xlarge", "eu-central-1", Purchase::OnDemand, 500_000)])
}

pub fn planned(text: &str) -> (Spec, World, Result<Placement, Infeasible>) {
    let catalog = catalog();
    let spec = line::spec(text, &catalog);
    let world = line::world(&spec, &catalog);
    let placement = line::place(&spec, &world);
    (spec, world, placement)
}

/// As [`planned`], with the proof that nothing is cheaper.
pub fn proven(text: &str) -> (Spec, World, Placement) {
    let (spec, world, placement) = planned(text);
    let placement = placement.unwrap_or_else(|why| panic!("{why:?}\n{text}"));
    let proof = check::prove(&spec, &world, &placement);
    assert!(proof.report.passed(), "\n{}\n{text}", told(&proof.report.findings));
    assert_eq!(proof.all.verdict(), "optimal", "{text}");
    (spec, world, placement)
}

/// Region and machines of each pool of a service.
fn pools(placement: &Placement, service: &str) -> Vec<(String, u32)> {
    let count = |p: &Pool| p.machines.iter().map(|m| m.count).sum();
    let pools = &placement.workloads[&format!("services.{service}")].pools;
    pools.iter().map(|p| (format!("{}/{}", p.cloud, p.region), count(p))).collect()
}

fn at(site: &str, machines: u32) -> Vec<(String, u32)> {
    vec![(site.to_owned(), machines)]
}

fn surviving(more: &str) -> String {
    format!("{PLANT}    survive: {{ {more} }}\n")
}

/// By hand. An L4 does 1 / 3.3 ms = 303 frames a second, so that 640 need three (2.11 would be busy all the time), and four if one may
/// fail. A machine takes 72 W for its L4, 16 x 3.5 W for its vCPUs and 64 x 0.392 W for its memory: 153.1 W, 154 in whole watts.
#[test]
fn the_plan_by_hand() {
    let (_, _, three) = proven(PLANT);
    assert_eq!(pools(&three, "inspect"), at("site/plant-7", 3));
    let (_, world, four) = proven(&surviving("machine: 1, wan: 1"));
    assert_eq!(pools(&four, "inspect"), at("site/plant-7", 4));
    let placed = &four.workloads["services.inspect"];
    assert_eq!(placed.cost.expected_per_hour.micros(), 4 * 900_000);
    assert!(!placed.cost.incomplete, "nothing else is made at a site");
    assert_eq!(placed.cost.lines[0].evidence, Evidence::Stated);
    let taken =
        |code: &str| placed.quotas.iter().find(|q| q.code == code).map(|q| (q.amount, q.declared, q.unit));
    assert_eq!(taken("l4-node"), Some((4.0, Some(6.0), "machines")));
    assert_eq!(taken("power"), Some((4.0 * 154.0, Some(4200.0), "watts")));
    let wan: Vec<_> = placed.failures.iter().filter(|f| f.scope == "wan").collect();
    assert_eq!((wan.len(), wan[0].replicas_left, wan[0].required_rate), (1, 4, 640.0));
    // 2 GiB on each of four machines, at 100 Mbps.
    let minutes = 4.0 * 2.0 * 1_073_741_824.0 * 8.0 / 1e8 / 60.0;
    assert!(placed.caveats.iter().any(|c| c.contains(&format!("at least {minutes:.1} min"))), "{placed:?}");
    let kind = world.catalog.instance_type(Cloud::Site, "l4-node").unwrap();
    assert_eq!(world.catalog.instance_types[kind].full_load_watts, Some(154.0));
    // What stands there is what there is, and so is the cap; a machine more, or a watt, would do.
    let text = surviving("machine: 1");
    for (old, less, enough) in [("count: 6", "count: 3", "count: 4"), ("4200 W", "615 W", "616 W")] {
        let why = planned(&text.replace(old, less)).2.unwrap_err();
        let rules: Vec<&str> = why.workloads[0].conflict.iter().map(|c| c.constraint).collect();
        assert!(rules.contains(&"quota"), "{rules:?}");
        assert_eq!(pools(&proven(&text.replace(old, enough)).2, "inspect"), at("site/plant-7", 4));
    }
    // What a machine takes may be stated.
    let hungry = text.replace("memory: 64GiB", "memory: 64GiB, power: 1050 W");
    assert_eq!(pools(&proven(&hungry).2, "inspect"), at("site/plant-7", 4));
    assert!(planned(&hungry.replace("4200 W", "4199 W")).2.is_err());
    // One room is one zone.
    assert!(planned(&surviving("zone: 1")).2.is_err());
}

/// The cheapest place loses to the rule, and the other way round.
#[test]
fn a_site_is_used_where_placement_names_it() {
    let free = PLANT.replace("0.9 USD/h", "0 USD/h");
    let of = |text: &str| pools(&proven(text).2, "inspect");
    assert_eq!(of(&free), at("site/plant-7", 3));
    let placement = "    placement: { sites: [plant-7] }\n";
    let anywhere = free.replace(placement, "");
    assert_eq!(of(&anywhere), at("aws/eu-central-1", 3));
    for clouds in ["clouds: [aws]", "clouds: { not: [gcp] }", "regions: [eu-central-1]", "residency: [de]"] {
        let text = free.replace("sites: [plant-7] }\n", &format!("{clouds} }}\n"));
        assert_eq!(of(&text), at("aws/eu-central-1", 3), "{clouds}");
    }
    // With clouds beside it the cheaper of both; `regions` are those of clouds.
    for (text, place) in [(&free, "site/plant-7"), (&PLANT.to_owned(), "aws/eu-central-1")] {
        let both =
            text.replace("sites: [plant-7]", "sites: [plant-7], clouds: [aws], regions: [eu-central-1]");
        assert_eq!(of(&both), at(place, 3));
    }
    let abroad = PLANT.replace("sites: [plant-7]", "sites: [plant-7], residency: [us]");
    assert!(planned(&abroad).2.is_err(), "the law of a site is that of its country");
    // Who states one of the two takes neither from defaults.
    let with = |defaults: &str, own: &str| {
        let own = if own.is_empty() { String::new() } else { format!("    placement: {{ {own} }}\n") };
        of(&format!("{}defaults: {{ placement: {{ {defaults} }} }}\n", free.replace(placement, &own)))
    };
    assert_eq!(with("sites: [plant-7]", ""), at("site/plant-7", 3));
    assert_eq!(with("sites: [plant-7], clouds: [aws]", ""), at("site/plant-7", 3));
    assert_eq!(with("sites: [plant-7]", "clouds: [aws]"), at("aws/eu-central-1", 3));
    let dear = PLANT.replace(placement, "    placement: { sites: [plant-7] }\n");
    let text = format!("{dear}defaults: {{ placement: {{ clouds: [aws] }} }}\n");
    assert_eq!(of(&text), at("site/plant-7", 3), "the cheaper cloud is of the defaults alone");
}

/// Machines and watts of a site are divided where services want more than there is.
#[test]
fn services_compete_for_a_site() {
    let second = "
  grade:
    model: defect
    traffic: { peak: 350 req/s, origins: { line: { at: sites.plant-7 } } }
    slo: { e2e: { p99: 80ms } }
    placement: { sites: [plant-7], clouds: [aws] }
";
    let dear = |text: &str| {
        let catalog = line::on_sale(&[("g6.xlarge", "eu-central-1", Purchase::OnDemand, 1_100_000)]);
        let spec = line::spec(text, &catalog);
        let world = line::world(&spec, &catalog);
        let placement = line::place(&spec, &world).unwrap_or_else(|why| panic!("{why:?}\n{text}"));
        let proof = check::prove(&spec, &world, &placement);
        assert!(proof.report.passed(), "\n{}\n{text}", told(&proof.report.findings));
        // What the search closed by listing plans remains as a gap of the multipliers' bound.
        assert!(proof.all.bound.is_some_and(|bound| bound <= proof.all.cost), "{text}");
        let coupling = placement.coupling.as_ref();
        assert!(coupling.is_none_or(|c| c.lower_bound == c.optimum), "{coupling:?}");
        (pools(&placement, "inspect"), pools(&placement, "grade"))
    };
    let text = format!("{}{second}", surviving("machine: 1"));
    // Four and two: all six.
    assert_eq!(dear(&text), (at("site/plant-7", 4), at("site/plant-7", 2)));
    // One less, or power for five alone: the one that may goes to the cloud with half of what it does, one machine here and one there,
    // although that is dearer.
    for text in [text.replace("count: 6", "count: 5"), text.replace("4200 W", "923 W")] {
        let halves = vec![("aws/eu-central-1".to_owned(), 1), ("site/plant-7".to_owned(), 1)];
        assert_eq!(dear(&text), (at("site/plant-7", 4), halves), "{text}");
    }
}

/// Equal sites and a service at each: the same as all of them written out.
#[test]
fn one_service_at_each_of_equal_sites() {
    let one = surviving("machine: 1, wan: 1");
    let each = one
        .replace("  plant-7:\n", "  plants:\n    count: 3\n")
        .replace("at: sites.plant-7", "at: site")
        .replace("sites: [plant-7]", "each_of: plants");
    let (spec, _, placement) = proven(&each);
    let names: Vec<&str> = spec.services.keys().map(String::as_str).collect();
    assert_eq!(names, ["inspect-plants-1", "inspect-plants-2", "inspect-plants-3"]);
    for i in 1..=3 {
        assert_eq!(pools(&placement, &format!("inspect-plants-{i}")), at(&format!("site/plants-{i}"), 4));
    }
    let costs: Vec<i64> = placement.workloads.values().map(|w| w.cost.expected_per_hour.micros()).collect();
    assert_eq!(costs, [3_600_000; 3]);
    // By name they are sites as any.
    let named =
        each.replace("each_of: plants", "sites: [plants-2]").replace("at: site ", "at: sites.plants-2 ");
    assert_eq!(pools(&proven(&named).2, "inspect"), at("site/plants-2", 4));
    let catalog = catalog();
    let problems = |text: &str| -> Vec<String> {
        let vocabulary = catalog.vocabulary();
        let file = rhumb::diagnostic::SourceFile { name: "a.yaml".into(), text: text.into() };
        let read = |path: &str| Err(format!("{path}: tests read no files"));
        let sources = rhumb::spec::Sources {
            files: vec![file],
            variables: Vec::new(),
            vocabulary: &vocabulary,
            read: &read,
        };
        let found = rhumb::spec::load(&sources).unwrap_err();
        found.list.iter().map(|d| format!("{} {}", d.code, d.message)).collect()
    };
    for (old, new, wanted) in [
        ("each_of: plants", "each_of: plant", "unknown-reference there are no equal sites `plant`"),
        ("each_of: plants", "each_of: plants, sites: [plants-1]", "conflicting-keys `each_of` with `sites`"),
        ("each_of: plants", "sites: [plants-1]", "unknown-place unknown place `site`"),
        ("count: 3", "count: 0", "out-of-range `0` is out of range"),
        (
            "  plants:\n",
            "  plants-2: { location: [48, 11], country: DE, cost: 1 USD/h, inventory: { n: { accelerator: l4, count: 1, vcpus: 1, memory: 1GiB } } }\n  plants:\n",
            "declared-twice `sites.plants-2`",
        ),
        ("p99: 80ms", "p99: 80", "missing-unit `80` has no unit"),
        ("wan: 1", "wan: 1, region: 1", "conflicting-keys `survive.wan` with"),
    ] {
        let found = problems(&each.replace(old, new));
        let told = found.iter().filter(|f| f.starts_with(wanted)).count();
        assert_eq!(told, 1, "{wanted}: {found:#?}");
    }
}

/// Without its connection an origin is served by what stands beside it, however cheap the cloud is.
#[test]
fn a_failed_connection_keeps_an_origin_at_home() {
    let both = PLANT.replace("sites: [plant-7]", "sites: [plant-7], clouds: [aws]");
    assert_eq!(pools(&proven(&both).2, "inspect"), at("aws/eu-central-1", 3));
    let text = format!("{both}    survive: {{ wan: 1 }}\n");
    let (spec, world, kept) = proven(&text);
    assert_eq!(pools(&kept, "inspect"), at("site/plant-7", 3));
    let offer = |kind: &str| {
        let of = |o: &rhumb::catalog::Offering| world.catalog.instance_types[o.instance_type].name == kind;
        world.catalog.offerings.iter().position(of).unwrap()
    };
    let why = rhumb::optimize::why_not(&spec, &world, "services.inspect", &[offer("g6.xlarge")]).unwrap();
    assert!(format!("{why:?}").contains("\"wan\""), "{why:?}");
    // Others may still come from elsewhere, and go elsewhere: 448 frames to two at 0.5, 192 to one at 0.9; three at home are 2.7.
    let two = text.replace(
        "{ line: { at: sites.plant-7 } }",
        "{ line: { at: sites.plant-7, share: 30% }, lab: { at: DE, share: 70% } }",
    );
    let split = pools(&proven(&two).2, "inspect");
    assert_eq!(split, [("aws/eu-central-1".into(), 2), ("site/plant-7".into(), 1)]);
}

/// By hand: the connection's 24 ms in place of the model's base, then 300 km to Frankfurt and back at the model's pace; nothing but the
/// stated time within the plant.
#[test]
fn network_times() {
    let there = |text: &str| {
        let (_, world, _) = planned(text);
        let home = Place::Region(RegionRef { cloud: Cloud::Site, region: "plant-7".into() });
        let site = world.catalog.region(Cloud::Site, "plant-7").unwrap();
        let frankfurt = world.catalog.region(Cloud::Aws, "eu-central-1").unwrap();
        let from = |place: &Place, to: usize| world.catalog.round_trip(place, to).unwrap();
        let munich = Place::Coordinates { latitude: 48.14, longitude: 11.58 };
        let trips = [
            from(&home, site),
            from(&home, frankfurt),
            from(&munich, frankfurt),
            from(&Place::Country("DE".into()), frankfurt),
        ];
        trips.map(|t| (t.ms, t.ms_p90, t.evidence))
    };
    let [home, cloud, plain, country] = there(PLANT);
    assert_eq!(home, (1.0, 2.0, Evidence::Assumed));
    assert_eq!(cloud.2, Evidence::Modelled);
    // The same path without the connection differs by 24 ms less the base, whatever that is; and no one's country moves.
    let unstated = PLANT.replace(", round_trip: 24ms", "");
    let [_, other, same, unmoved] = there(&unstated);
    assert_eq!((other.0, plain.0, country.0), (plain.0, same.0, unmoved.0));
    let slower = there(&PLANT.replace("24ms", "34ms"))[1];
    assert!((slower.0 - cloud.0 - 10.0).abs() < 1e-9 && (slower.1 - cloud.1 - 10.0).abs() < 1e-9);
    assert!(cloud.0 > 24.0 + 2.0 * 300.0 / 204.19 && cloud.0 < 40.0, "{cloud:?}");
    let stated = PLANT.replace("power: 4200 W", "power: 4200 W\n    lan: 0.4ms");
    assert_eq!(there(&stated)[0], (0.4, 0.4, Evidence::Stated));
}

/// Beside the machines and what they start nothing is made at a site, and what is said of their prices needs no date.
#[test]
fn what_is_made() {
    let (spec, world, placement) = proven(&surviving("machine: 1"));
    let graph = rhumb::graph::compile(&spec).unwrap().bind(&spec, &placement);
    let kinds: Vec<(ResourceKind, Cloud)> =
        graph.keys().filter_map(|k| graph.get(k)).map(|r| (r.kind, r.cloud)).collect();
    assert_eq!(kinds, [(ResourceKind::LaunchTemplate, Cloud::Site), (ResourceKind::EdgeUnit, Cloud::Site)]);
    let files = rhumb::render::artifacts(&graph).unwrap();
    assert_eq!(files.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["engine.env", "start.sh"]);
    let graph = rhumb::render::with_hashes(graph, &files);
    let unit = graph.get("services.inspect/site/plant-7/l4-node/on_demand").unwrap();
    for (name, value) in [("site", "plant-7".into()), ("count", rhumb_api::Attr::Int(4))] {
        assert_eq!(unit.attributes.get(name), Some(&value));
    }
    assert!(unit.attributes.contains_key("launch_template_sha256"));
    assert_eq!(check::facts(&world, &placement, Some(1)), []);
}

/// A language model at a site that answers people elsewhere: what goes over the connection has no price, and the sums say so.
#[test]
fn what_leaves_a_site_is_not_priced() {
    let text = |at: &str| {
        PLANT
            .replace("  defect:\n    measured:\n      image: registry.example.com/defect:7\n      variants:\n        int8: { memory: 2GiB, time: { l4: 3.3ms } }\n", "  defect: { source: Qwen/Qwen3-4B }\n")
            .replace("peak: 640 req/s", "peak: 0.4 req/s, input_tokens: 900, output_tokens: 180")
            .replace("e2e: { p99: 80ms }", "ttft: { p95: 4s }")
            .replace("at: sites.plant-7", &format!("at: {at}"))
    };
    let of = |at: &str| proven(&text(at)).2.workloads["services.inspect"].cost.clone();
    let inside = of("sites.plant-7");
    assert!(!inside.incomplete && inside.lines.len() == 1, "{inside:?}");
    let outside = of("DE");
    assert!(outside.incomplete && outside.lines.iter().any(|l| l.per_hour.is_none()), "{outside:?}");
    assert_eq!(inside.expected_per_hour, outside.expected_per_hour);
}
