//! That new machines are there before old ones go wherever the declared quotas hold both, and that the plan says where they do not.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, Cloud, Purchase, Resource, ResourceAddr, ResourceKind};

use super::Ledger;
use crate::catalog::{Catalog, QuotaUnit};
use crate::placement::World;
use crate::plan::{Action, Change, Plan};
use crate::spec::Spec;

/// Cloud, place and code of a quota.
type Key<'a> = (Cloud, &'a str, &'a str);

/// What one quota holds: before, after, and while both are there; and who takes how much before and after.
#[derive(Default)]
struct Held<'a> {
    after: f64,
    both: f64,
    who: BTreeMap<&'a ResourceAddr, [f64; 2]>,
}

pub fn check(log: &mut Ledger, spec: &Spec, world: &World, plan: &Plan) {
    surge(log, world, plan);
    let mut all: BTreeMap<Key<'_>, Held<'_>> = BTreeMap::new();
    let limits = spec.providers.iter().flat_map(|(cloud, settings)| {
        settings.quotas.iter().flat_map(move |(place, codes)| {
            codes.iter().map(move |(code, limit)| ((*cloud, place.as_str(), code.as_str()), *limit))
        })
    });
    let limits: BTreeMap<Key<'_>, f64> = limits.collect();
    for key in limits.keys() {
        let held = all.entry(*key).or_default();
        for change in &plan.changes {
            let of = |resource: &Option<Resource>| {
                resource.as_ref().map_or(0.0, |resource| taken(resource, *key, &world.catalog))
            };
            let (old, new) = (of(&change.before), of(&change.after));
            held.after += new;
            let one = change.after.as_ref().map_or(0.0, |after| of_one(after, *key, &world.catalog));
            let rolled = new + beside(change) as f64 * one;
            held.both += if change.action == Action::Replace { old + new } else { old.max(rolled) };
            held.who.insert(&change.addr, [old, new]);
        }
    }
    let anew =
        |addr: &ResourceAddr| plan.changes.iter().any(|c| c.addr == *addr && c.action == Action::Replace);
    let mut wanted: BTreeMap<Key<'_>, [BTreeSet<&str>; 2]> = BTreeMap::new();
    for (key, held) in &all {
        let limit = limits.get(key).copied().unwrap_or(f64::INFINITY);
        if held.both <= limit + 1e-9 || held.after > limit + 1e-9 {
            continue;
        }
        let (mut goes, mut comes) = (BTreeSet::new(), BTreeSet::new());
        for (addr, [old, new]) in &held.who {
            if old > new || (*old > 0.0 && anew(addr)) {
                goes.insert(addr.as_str());
            }
            if new > old || (*new > 0.0 && anew(addr)) {
                comes.insert(addr.as_str());
            }
        }
        if !goes.is_empty() && !comes.is_empty() {
            wanted.insert(*key, [goes, comes]);
        }
    }
    fn said(list: &[ResourceAddr]) -> BTreeSet<&str> {
        list.iter().map(ResourceAddr::as_str).collect()
    }
    let told: BTreeMap<Key<'_>, [BTreeSet<&str>; 2]> = plan
        .dips
        .iter()
        .map(|d| ((d.cloud, d.place.as_str(), d.code.as_str()), [said(&d.first), said(&d.then)]))
        .collect();
    log.same_debug("plan", "plan", "where quotas do not hold old and new machines at once", &wanted, &told);
    for dip in &plan.dips {
        let key = (dip.cloud, dip.place.as_str(), dip.code.as_str());
        let address = dip.code.as_str();
        log.same_debug("plan", address, "what is declared", &limits.get(&key), &Some(&dip.limit));
        let both = all.get(&key).map_or(0.0, |held| held.both);
        log.hold((both - dip.needed).abs() < 1e-6, "plan", address, || {
            (
                "old and new machines take something else together".into(),
                both.to_string(),
                dip.needed.to_string(),
            )
        });
        let of = |addr: &ResourceAddr, after: bool| {
            let change = plan.changes.iter().find(|c| c.addr == *addr);
            let resource = change.and_then(|c| if after { c.after.as_ref() } else { c.before.as_ref() });
            resource.map_or(0, machines)
        };
        let anew =
            |addr: &ResourceAddr| plan.changes.iter().any(|c| c.addr == *addr && c.action == Action::Replace);
        let before: i64 = dip.first.iter().map(|addr| of(addr, false)).sum();
        let left: i64 = dip.first.iter().filter(|addr| !anew(addr)).map(|addr| of(addr, true)).sum();
        log.same("plan", address, "the machines that go or shrink", &before, &i64::from(dip.machines));
        log.same("plan", address, "the machines that are left meanwhile", &left, &i64::from(dip.left));
    }
}

fn machines(resource: &Resource) -> i64 {
    match resource.attributes.get("count") {
        Some(Attr::Int(n)) => *n,
        _ => 0,
    }
}

/// Machines beside those of a fleet of which each is made anew where it is.
fn beside(change: &Change) -> i64 {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return 0 };
    let same =
        before.attributes.get("launch_template_sha256") == after.attributes.get("launch_template_sha256");
    match after.attributes.get("max_surge") {
        Some(Attr::Int(most)) if change.action == Action::Update && !same => machines(after).min(*most),
        _ => 0,
    }
}

fn taken(resource: &Resource, key: Key<'_>, catalog: &Catalog) -> f64 {
    of_one(resource, key, catalog) * machines(resource) as f64
}

/// What a machine of a resource takes of a quota.
fn of_one(resource: &Resource, (cloud, place, code): Key<'_>, catalog: &Catalog) -> f64 {
    if resource.cloud != cloud || !matches!(resource.kind, ResourceKind::Fleet | ResourceKind::EdgeUnit) {
        return 0.0;
    }
    let text = |name: &str| match resource.attributes.get(name) {
        Some(Attr::Text(text)) => text.as_str(),
        _ => "",
    };
    let Some(kind) = catalog.instance_type(cloud, text("instance_type")) else { return 0.0 };
    let bought = text("purchase");
    let Some(purchase) = Purchase::ALL.into_iter().chain([Purchase::Held]).find(|p| p.as_str() == bought)
    else {
        return 0.0;
    };
    let offered = catalog
        .region(cloud, &resource.region)
        .and_then(|region| catalog.offering_of(kind, region, (purchase, commitment(resource))))
        .map(|offering| catalog.quotas_of(offering));
    let all = offered.unwrap_or_else(|| catalog.quotas_for(kind, purchase));
    let mine = all.into_iter().find(|(quota, _)| {
        let of = if quota.scope == "global" { "global" } else { resource.region.as_str() };
        quota.code == code && of == place && quota.unit != QuotaUnit::UsdPerHour
    });
    mine.map_or(0.0, |(_, each)| each)
}

/// What machines cost while old and new ones are there at once is the sum of what is there then.
fn surge(log: &mut Ledger, world: &World, plan: &Plan) {
    let first: BTreeSet<&ResourceAddr> = plan.dips.iter().flat_map(|dip| &dip.first).collect();
    let (mut sums, mut unpriced) = ([0_i128; 3], 0_u32);
    for change in &plan.changes {
        let mut price = |resource: &Option<Resource>| -> i128 {
            let Some(resource) = resource.as_ref() else { return 0 };
            if !matches!(resource.kind, ResourceKind::Fleet | ResourceKind::EdgeUnit) {
                return 0;
            }
            match listed(resource, &world.catalog) {
                Some(micros) => i128::from(micros) * i128::from(machines(resource)),
                None => {
                    unpriced += 1;
                    0
                }
            }
        };
        let (old, new) = (price(&change.before), price(&change.after));
        let gone = first.contains(&change.addr);
        let of_beside = change.after.as_ref().and_then(|after| listed(after, &world.catalog)).unwrap_or(0);
        let rolled = new + i128::from(of_beside) * i128::from(beside(change));
        let at_once = match (change.action, gone) {
            (Action::Replace, false) => old + new,
            (Action::Replace | Action::Remove | Action::Update, true) => rolled,
            _ => old.max(rolled),
        };
        for (sum, more) in sums.iter_mut().zip([old, at_once, new]) {
            *sum += more;
        }
    }
    let [before, during, after] = sums;
    let expected =
        (during > before && during > after).then_some([before, during, after, i128::from(unpriced)]);
    let told = plan.surge.as_ref().map(|s| {
        let micros = [s.before, s.during, s.after].map(|money| i128::from(money.micros()));
        [micros[0], micros[1], micros[2], i128::from(s.unpriced)]
    });
    log.same_debug(
        "plan",
        "plan",
        "what machines cost while old and new ones are there at once",
        &expected,
        &told,
    );
}

/// Millionths of a dollar an hour of one machine of a fleet.
fn listed(resource: &Resource, catalog: &Catalog) -> Option<i64> {
    let text = |name: &str| match resource.attributes.get(name) {
        Some(Attr::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let kind = catalog.instance_type(resource.cloud, text("instance_type")?)?;
    let region = catalog.region(resource.cloud, &resource.region)?;
    let bought = text("purchase")?;
    let purchase = Purchase::ALL.into_iter().chain([Purchase::Held]).find(|p| p.as_str() == bought)?;
    Some(catalog.offering_of(kind, region, (purchase, commitment(resource)))?.price.micros())
}

/// What holds held machines.
fn commitment(resource: &Resource) -> Option<&str> {
    match resource.attributes.get("commitment") {
        Some(Attr::Text(name)) => Some(name.as_str()),
        _ => None,
    }
}
