//! Sites: that the rows which a placement stands on are what the spec says of them, and what a failed connection asks for.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Purchase};

use crate::catalog::{Catalog, Evidence, InstanceType, Region};
use crate::perf::carbon;
use crate::placement::{Placement, World};
use crate::spec::{EdgeSite, Origin, Place, Service, SiteMachine, Spec};

use super::Ledger;
use super::ledger::dollars;
use super::serving::Seen;

/// Whether an origin is at the site that a region is.
pub(super) fn is_at(origin: &Origin, region: &Region) -> bool {
    match &origin.place {
        Place::Region(at) => at.cloud == Cloud::Site && region.cloud == Cloud::Site && at.region == region.id,
        Place::Vpc | Place::Country(_) | Place::Coordinates { .. } => false,
    }
}

/// Whether one of the origins that a pool serves is at its site.
pub(super) fn is_home(region: &Region, seen: &[Seen<'_>]) -> bool {
    seen.iter().any(|s| is_at(s.origin, region))
}

/// Whether an origin at a site must not be served in a region, as its connection may fail.
pub(super) fn cut_off(service: &Service, origin: &Origin, region: &Region) -> bool {
    let Place::Region(home) = &origin.place else { return false };
    service.survive.wan > 0 && home.cloud == Cloud::Site && !is_at(origin, region)
}

/// Every row of a site, from the spec: what stands there, how much of it, at what price and power; and nothing besides.
pub(super) fn check(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    let catalog = &world.catalog;
    let mut limits: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    for (name, site) in &spec.sites {
        let own = limits.entry(name).or_default();
        for machine in site.machines.values() {
            own.insert(&machine.name, f64::from(machine.count));
            stands(log, catalog, name, machine);
        }
        if let Some(watts) = site.power_watts {
            own.insert("power", watts);
        }
        place(log, catalog, name, site);
    }
    let bound = spec.providers.get(&Cloud::Site);
    let bound: BTreeMap<&str, BTreeMap<&str, f64>> = bound
        .into_iter()
        .flat_map(|p| &p.quotas)
        .map(|(site, of)| (site.as_str(), of.iter().map(|(code, n)| (code.as_str(), *n)).collect()))
        .collect();
    log.same_debug("sites", "sites", "stock and caps on power", &limits, &bound);
    let all = spec.sites.values().map(|site| site.machines.len()).sum::<usize>();
    let sold = catalog.offerings.iter().filter(|o| {
        catalog.instance_types.get(o.instance_type).is_some_and(|kind| kind.cloud == Cloud::Site)
    });
    log.same("sites", "sites", "the number of prices", &all, &sold.count());
    for placed in placement.workloads.values() {
        for pool in placed.pools.iter().filter(|pool| pool.cloud == Cloud::Site) {
            let mbps = spec.sites.get(&pool.region).and_then(|site| site.wan.mbps);
            let start = format!("site/{}: ", pool.region);
            let told = placed.caveats.iter().find(|caveat| caveat.starts_with(&start));
            log.same_debug(
                "caveat",
                pool.addr.as_str(),
                "whether the time of its weights is told",
                // What a federation sends is told with its rounds.
                &(mbps.is_some() && placed.run.as_ref().is_none_or(|run| run.federation.is_none())),
                &told.is_some(),
            );
            for m in &pool.machines {
                let address = format!("{}/{}", pool.addr, m.purchase);
                let line = placed.cost.lines.iter().find(|l| l.addr == address);
                let class = line.map(|l| l.evidence);
                log.same_debug(
                    "cost-line",
                    &address,
                    "the class of the price",
                    &Some(Evidence::Stated),
                    &class,
                );
            }
            let machines: u32 = pool.machines.iter().map(|m| m.count).sum();
            let each = pool.memory.weights * f64::from(pool.layout.accelerators())
                / f64::from(pool.machines_per_replica.max(1));
            if let (Some(mbps), Some(told)) = (mbps, told) {
                let minutes = each * f64::from(machines) / (mbps * 125_000.0) / 60.0;
                let expected = format!("at least {minutes:.1} min");
                log.hold(told.ends_with(&expected), "caveat", pool.addr.as_str(), || {
                    ("weights come in another time".into(), expected.clone(), told.clone())
                });
            }
        }
    }
}

fn place(log: &mut Ledger, catalog: &Catalog, name: &str, site: &EdgeSite) {
    let row = catalog.regions.iter().find(|r| r.cloud == Cloud::Site && r.id == name);
    let said = row.map(|r| {
        let (grid, pue) = (r.grid.as_ref().map(|g| g.g_per_kwh), r.pue.as_ref().map(|p| p.ratio));
        (r.country.as_str(), r.latitude, r.longitude, r.zones, grid, pue)
    });
    let derived =
        (site.country.as_str(), Some(site.latitude), Some(site.longitude), Some(1), site.grid, site.pue);
    log.same_debug("sites", &format!("sites.{name}"), "the place", &Some(derived), &said);
}

/// One sort of machine at a site.
fn stands(log: &mut Ledger, catalog: &Catalog, name: &str, machine: &SiteMachine) {
    let address = format!("sites.{name}.inventory.{}", machine.name);
    let is = |t: &InstanceType| t.cloud == Cloud::Site && t.name == machine.name;
    let region = catalog.regions.iter().position(|r| r.cloud == Cloud::Site && r.id == name);
    let (Some(index), Some(region)) = (catalog.instance_types.iter().position(is), region) else {
        log.finding("sites", &address, "it has no row", "a row", "none");
        return;
    };
    let kind = &catalog.instance_types[index];
    let on = kind.accelerator.and_then(|i| catalog.accelerators.get(i));
    let said = (on.map(|a| a.id.as_str()), kind.accelerator_count, kind.vcpus, kind.memory_gib);
    let (id, count) = (Some(machine.accelerator.as_str()), f64::from(machine.accelerators));
    log.same_debug(
        "sites",
        &address,
        "what it is",
        &(id, count, machine.vcpus, Some(machine.memory_gib)),
        &said,
    );
    let boards = on.and_then(|a| a.tdp_watts).map(|tdp| tdp * count);
    let modelled = boards.map(|boards| {
        boards + machine.vcpus * carbon::FULL_WATTS_PER_VCPU + machine.memory_gib * carbon::WATTS_PER_GIB
    });
    // To whole watts, upwards; a sum in another order may lie on the other side of one.
    let derived = machine.power_watts.or(modelled);
    let close = match (derived, kind.full_load_watts) {
        (Some(derived), Some(said)) => said >= derived - 1e-6 && said < derived + 1.0 + 1e-6,
        (None, None) => true,
        _ => false,
    };
    log.hold(close, "sites", &address, || {
        ("another power at full load".into(), format!("{derived:?}"), format!("{:?}", kind.full_load_watts))
    });
    let taken: BTreeMap<&str, f64> = catalog
        .quotas_for(index, Purchase::OnDemand)
        .into_iter()
        .map(|(q, n)| (q.code.as_str(), n))
        .collect();
    let counts =
        BTreeMap::from([(machine.name.as_str(), 1.0), ("power", kind.full_load_watts.unwrap_or(0.0))]);
    log.same_debug("sites", &address, "what it counts against", &counts, &taken);
    let mut prices = catalog.offerings.iter().filter(|o| o.instance_type == index && o.region == region);
    let said = prices.next().map(|o| (o.purchase, dollars(o.price), dollars(o.list_price)));
    let derived = (Purchase::OnDemand, dollars(machine.cost), dollars(machine.cost));
    log.same_debug("sites", &address, "the price", &Some(derived), &said);
}
