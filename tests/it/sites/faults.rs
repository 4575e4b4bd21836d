//! Faults of plans at sites: each is found.

use rhumb::placement::{Placement, Pool, World};
use rhumb::spec::{Place, RegionRef, Spec};
use rhumb_api::{Cloud, Money, Purchase};

use super::proven;
use crate::faults::{self, Fault};

/// Two services at one plant that take all that stands there.
const TWO: &str = "
  grade:
    model: defect
    traffic: { peak: 350 req/s, origins: { line: { at: sites.plant-7 } } }
    slo: { e2e: { p99: 80ms } }
    placement: { sites: [plant-7] }
";

fn pool(p: &mut Placement) -> &mut Pool {
    &mut p.workloads.get_mut("services.inspect").unwrap().pools[0]
}

fn offering(w: &mut World) -> &mut rhumb::catalog::Offering {
    let kind = w.catalog.instance_type(Cloud::Site, "l4-node").unwrap();
    w.catalog.offerings.iter_mut().find(|o| o.instance_type == kind).unwrap()
}

fn kind(w: &mut World) -> &mut rhumb::catalog::InstanceType {
    let kind = w.catalog.instance_type(Cloud::Site, "l4-node").unwrap();
    &mut w.catalog.instance_types[kind]
}

fn site(s: &mut Spec) -> &mut rhumb::spec::EdgeSite {
    s.sites.get_mut("plant-7").unwrap()
}

fn service(s: &mut Spec) -> &mut rhumb::spec::Service {
    s.services.get_mut("inspect").unwrap()
}

/// Moves what a service does to the cloud, whose rows are there, with all its own figures.
fn to_cloud(p: &mut Placement) {
    let pool = pool(p);
    pool.cloud = Cloud::Aws;
    pool.region = "eu-central-1".into();
    pool.instance_type = "g6.xlarge".into();
}

#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    ("stock exceeded by one together", "quota", "", |s, _, _| { site(s).machines.get_mut("l4-node").unwrap().count = 5; s.lower_sites(); }),
    ("stock exceeded together and not told", "joint", "quotas of all", |s, _, _| { site(s).machines.get_mut("l4-node").unwrap().count = 5; s.lower_sites(); }),
    ("power exceeded by a watt", "joint", "quotas of all", |s, _, _| { site(s).power_watts = Some(6.0 * 154.0 - 1.0); s.lower_sites(); }),
    ("stock that binds is not what stands there", "sites", "stock and caps", |s, _, _| site(s).machines.get_mut("l4-node").unwrap().count = 7),
    ("a cap that binds nothing", "sites", "stock and caps", |s, _, _| { s.providers.remove(&Cloud::Site); }),
    ("a machine less is told", "quota", "amount of l4-node", |_, _, p| p.workloads.get_mut("services.inspect").unwrap().quotas[0].amount -= 1.0),
    ("less power is told", "quota", "amount of power", |_, _, p| p.workloads.get_mut("services.inspect").unwrap().quotas[1].amount -= 1.0),
    ("a price of the plan alone", "price", "the price", |_, _, p| pool(p).machines[0].price = Money::from_micros(800_000)),
    ("a price of the catalogue and the plan", "sites", "the price", |_, w, p| {
        let cheap = Money::from_micros(800_000);
        let o = offering(w); o.price = cheap; o.list_price = cheap;
        pool(p).machines[0].price = cheap; pool(p).machines[0].list_price = cheap;
    }),
    ("bought by an option that nobody sells", "sites", "the price", |_, w, _| offering(w).purchase = Purchase::Reserved3y),
    ("the price is called listed", "cost-line", "class of the price", |_, _, p| p.workloads.get_mut("services.inspect").unwrap().cost.lines[0].evidence = rhumb::catalog::Evidence::Listed),
    ("a machine that takes less", "sites", "power at full load", |_, w, _| kind(w).full_load_watts = Some(100.0)),
    ("another accelerator", "sites", "what it is", |_, w, _| { let l40s = w.catalog.accelerator("l40s-48gb"); kind(w).accelerator = l40s; }),
    ("more accelerators", "sites", "what it is", |_, w, _| kind(w).accelerator_count = 2.0),
    ("a second room", "sites", "the place", |_, w, _| { let r = w.catalog.region(Cloud::Site, "plant-7").unwrap(); w.catalog.regions[r].zones = Some(2); }),
    ("another country", "sites", "the place", |s, _, _| site(s).country = "AT".into()),
    ("a site that is gone", "sites", "number of prices", |s, _, _| { s.sites.clear(); }),
    ("a site that the service may not be at", "sites", "not allowed", |s, _, _| service(s).placement.sites.clear()),
    ("no word of the connection's failure", "failure-missing", "", |_, _, p| p.workloads.get_mut("services.inspect").unwrap().failures.retain(|f| f.scope != "wan")),
    ("less is left without the connection", "failure", "what is left of scope wan", |_, _, p| for f in &mut p.workloads.get_mut("services.inspect").unwrap().failures { if f.scope == "wan" { f.replicas_left -= 1; } }),
    ("served from the cloud although the connection may fail", "wan", "elsewhere than at its site", |s, _, p| { service(s).placement.clouds = rhumb::spec::AllowDeny::Any; to_cloud(p); }),
    ("the origin is at another site", "wan", "elsewhere than at its site", |s, _, _| service(s).traffic.origins[0].place = Place::Region(RegionRef { cloud: Cloud::Site, region: "plant-8".into() })),
    ("another network", "route", "network time", |_, _, p| p.workloads.get_mut("services.inspect").unwrap().routes[0].network_ms[0] = 0.2),
    ("the time of the weights is not told", "caveat", "is told", |_, _, p| p.workloads.get_mut("services.inspect").unwrap().caveats.clear()),
    ("weights come sooner", "caveat", "another time", |s, _, _| site(s).wan.mbps = Some(50.0)),
];

#[test]
fn every_fault_is_found() {
    let text = format!("{}    survive: {{ machine: 1, wan: 1 }}{TWO}", super::PLANT);
    faults::all_are_found(&proven(&text), FAULTS);
}
