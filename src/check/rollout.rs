//! That machines come and go as the spec says: every place of a service once, in waves of the sizes that are stated, those with fewer
//! machines before those with more.

use std::collections::BTreeMap;

use rhumb_api::{Attr, Cloud, ResourceKind};

use super::Ledger;
use crate::plan::{Change, Plan, SHARED};
use crate::spec::{Rollout, Spec};

/// `spec` with the parts of divided services in their place.
pub fn check(log: &mut Ledger, spec: &Spec, plan: &Plan, whole: &[Change]) {
    let mut machines: BTreeMap<&str, BTreeMap<String, i64>> = BTreeMap::new();
    for after in whole.iter().filter_map(|c| Some((c.addr.workload(), c.after.as_ref()?))) {
        let (workload, resource) = after;
        if !matches!(resource.kind, ResourceKind::Fleet | ResourceKind::EdgeUnit) {
            continue;
        }
        let Some(Attr::Int(n)) = resource.attributes.get("count") else { continue };
        let place = format!("{}/{}", resource.cloud, resource.region);
        *machines.entry(workload).or_default().entry(place).or_default() += n;
    }
    let wanted: BTreeMap<&str, &Rollout> =
        machines.keys().filter_map(|workload| Some((*workload, stated(spec, workload)?))).collect();
    let said: Vec<&str> = plan.rollouts.iter().map(|r| r.workload.as_str()).collect();
    let asked: Vec<&str> = wanted.keys().copied().collect();
    log.same_debug("plan", "plan", "the services that say how they are rolled out", &asked, &said);
    for change in whole {
        let Some(fleet) = change.after.as_ref().filter(|after| after.kind == ResourceKind::Fleet) else {
            continue;
        };
        let rolling = stated(spec, change.addr.workload()).and_then(|rollout| rollout.rolling);
        let asked = rolling.map(|r| [r.surge, r.unavailable].map(|n| Attr::Int(i64::from(n))));
        let said = ["max_surge", "max_unavailable"].map(|name| fleet.attributes.get(name).cloned());
        let what = "the machines that may be there besides or be missing";
        log.same_debug(
            "plan",
            change.addr.as_str(),
            what,
            &asked.map_or([None, None], |all| all.map(Some)),
            &said,
        );
    }
    for rollout in &plan.rollouts {
        let address = rollout.workload.as_str();
        let (Some(stated), Some(places)) = (wanted.get(address), machines.get(address)) else { continue };
        let timeout = &stated.health_timeout_s;
        log.same("plan", address, "the time until machines are healthy", timeout, &rollout.health_timeout_s);
        let back = (&stated.roll_back, &rollout.roll_back);
        log.same(
            "plan",
            address,
            "whether what was made goes again when machines are refused",
            back.0,
            back.1,
        );
        let mut told: Vec<&String> = rollout.waves.iter().flatten().collect();
        let order: Vec<i64> = told.iter().map(|place| places.get(*place).copied().unwrap_or(-1)).collect();
        log.hold(order.windows(2).all(|w| w[0] <= w[1]), "plan", address, || {
            ("a wave with more machines comes first".into(), "ascending".into(), format!("{order:?}"))
        });
        told.sort();
        let all: Vec<&String> = places.keys().collect();
        log.same_debug("plan", address, "the places of all waves", &all, &told);
        let mut ends: Vec<usize> = stated.waves.iter().map(|n| (*n as usize).min(places.len())).collect();
        ends.push(places.len());
        ends.dedup();
        let mut sum = 0;
        let there: Vec<usize> = rollout
            .waves
            .iter()
            .map(|wave| {
                sum += wave.len();
                sum
            })
            .collect();
        log.same_debug("plan", address, "the places after each wave", &ends, &there);
    }
}

/// The most machines of each kind of a pool that may be there besides while they are made anew: no more than there are of it. Those of
/// a site stand there.
pub(super) fn surge(spec: &Spec, workload: &str, cloud: Cloud) -> u32 {
    let rolling = stated(spec, workload).and_then(|rollout| rollout.rolling);
    rolling.filter(|_| cloud != Cloud::Site).map_or(0, |rolling| rolling.surge)
}

/// What is stated of a workload: of a part of a service, of the whole; of machines that services share, the longest time.
fn stated<'s>(spec: &'s Spec, workload: &str) -> Option<&'s Rollout> {
    if workload == SHARED {
        let shares = |address: &str| {
            let name = address.strip_prefix("services.").unwrap_or_default();
            spec.services.get(name).is_some_and(|service| service.shares)
        };
        let each = spec.rollouts.iter().filter(|(address, _)| shares(address)).map(|(_, rollout)| rollout);
        return each.max_by_key(|rollout| rollout.health_timeout_s);
    }
    let part = workload.strip_prefix("services.").and_then(|name| spec.services.get(name)?.part_of.as_ref());
    match part {
        Some(part) => spec.rollouts.get(&format!("services.{}", part.service.name)),
        None => spec.rollouts.get(workload),
    }
}
