//! Where new machines cannot be there before old ones go.
//!
//! A plan makes first and removes afterwards, so that for a while both count against the quotas of the account. Where a declared quota
//! holds what was and what will be and not both, the old ones go first, and until the new ones serve there are fewer: a dip, which whoever
//! approves the plan has to know of.

use std::collections::BTreeMap;

use rhumb_api::{Attr, Cloud, Resource, ResourceAddr, ResourceKind};

use super::{Action, Change};
use crate::catalog::{Catalog, Quota, QuotaUnit};
use crate::spec::Spec;

/// Old machines that go before new ones are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Dip {
    /// The cloud of the quota.
    pub cloud: Cloud,
    /// The region that it is of, or `global`.
    pub place: String,
    /// The cloud's code for it.
    pub code: String,
    /// What it counts: the word of [`QuotaUnit::as_str`].
    pub unit: String,
    /// What is declared, in that unit.
    pub limit: f64,
    /// What old and new machines take together, in that unit; above the limit.
    pub needed: f64,
    /// What goes or shrinks first, by address.
    pub first: Vec<ResourceAddr>,
    /// What is made or grows once that has gone, by address.
    pub then: Vec<ResourceAddr>,
    /// Machines that serve before, of what goes or shrinks.
    pub machines: u32,
    /// Machines of these that are left meanwhile.
    pub left: u32,
}

/// What machines count against a quota.
#[derive(Default)]
struct Taken<'a> {
    before: f64,
    after: f64,
    during: f64,
    first: Vec<(&'a ResourceAddr, u32, u32)>,
    then: Vec<&'a ResourceAddr>,
}

/// The dips of a plan's changes, by cloud, place and code.
pub fn dips(changes: &[Change], spec: &Spec, catalog: &Catalog) -> Vec<Dip> {
    let mut all: BTreeMap<(Cloud, String, String), (Taken<'_>, &Quota)> = BTreeMap::new();
    for change in changes {
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        let was = before.map_or(0, machines);
        let will = after.map_or(0, machines);
        let mut each: BTreeMap<(String, String), (f64, f64, f64, &Quota)> = BTreeMap::new();
        for (resource, is_before) in before.map(|r| (r, true)).into_iter().chain(after.map(|r| (r, false))) {
            for (quota, of_one) in quotas(resource, catalog) {
                let place = if quota.scope == "global" { "global" } else { resource.region.as_str() };
                let entry =
                    each.entry((place.to_owned(), quota.code.clone())).or_insert((0.0, 0.0, 0.0, quota));
                let amount = of_one * f64::from(machines(resource));
                if is_before {
                    entry.0 += amount;
                } else {
                    entry.1 += amount;
                    entry.2 += of_one * f64::from(change.rolled().map_or(0, |(_, beside)| beside));
                }
            }
        }
        let Some(cloud) = after.or(before).map(|r| r.cloud) else { continue };
        for ((place, code), (old, new, beside, quota)) in each {
            let (taken, _) = all.entry((cloud, place, code)).or_insert_with(|| (Taken::default(), quota));
            taken.before += old;
            taken.after += new;
            taken.during += if change.action == Action::Replace { old + new } else { old.max(new + beside) };
            let goes = matches!(change.action, Action::Remove | Action::Replace);
            if goes && was > 0 {
                taken.first.push((&change.addr, was, 0));
            } else if change.action == Action::Update && will < was {
                taken.first.push((&change.addr, was, will));
            }
            if matches!(change.action, Action::Create | Action::Replace)
                || (change.action == Action::Update && will > was)
            {
                taken.then.push(&change.addr);
            }
        }
    }
    let declared = |cloud: Cloud, place: &str, code: &str| -> Option<f64> {
        spec.providers.get(&cloud)?.quotas.get(place)?.get(code).copied()
    };
    let dip = |((cloud, place, code), (taken, quota)): ((Cloud, String, String), (Taken<'_>, &Quota))| {
        let limit = declared(cloud, &place, &code)?;
        let tight = taken.during > limit + 1e-9 && taken.after <= limit + 1e-9;
        // Dollars that a savings plan covers are no limit of what there can be.
        let counts = quota.unit != QuotaUnit::UsdPerHour;
        (tight && counts && !taken.first.is_empty() && !taken.then.is_empty()).then(|| Dip {
            cloud,
            place,
            code,
            unit: quota.unit.as_str().to_owned(),
            limit,
            needed: taken.during,
            first: taken.first.iter().map(|(addr, ..)| (*addr).clone()).collect(),
            then: taken.then.into_iter().cloned().collect(),
            machines: taken.first.iter().map(|(_, was, _)| was).sum(),
            left: taken.first.iter().map(|(_, _, left)| left).sum(),
        })
    };
    all.into_iter().filter_map(dip).collect()
}

fn machines(resource: &Resource) -> u32 {
    match resource.attributes.get("count") {
        Some(Attr::Int(n)) => u32::try_from(*n).unwrap_or(0),
        _ => 0,
    }
}

/// The quotas that a machine of a fleet counts against. A run has its machines for a while only, and waits for them.
fn quotas<'c>(resource: &Resource, catalog: &'c Catalog) -> Vec<(&'c Quota, f64)> {
    if !matches!(resource.kind, ResourceKind::Fleet | ResourceKind::EdgeUnit) {
        return Vec::new();
    }
    let Some((kind, purchase)) = catalog.machines_of(resource) else { return Vec::new() };
    match catalog.offered(resource) {
        Some(offering) => catalog.quotas_of(offering),
        None => catalog.quotas_for(kind, purchase),
    }
}
