//! What of a service is played.

use super::super::placed::{Placed, Setting};
use super::{Asked, Planned};
use crate::placement::{FailureCheck, Pool, WorkloadPlacement};
use crate::spec::PEAK_SHARE;

/// The scenarios of a service: the displayed prediction, the planned confidence, a lost replica of each
/// pool, and every declared failure.
pub(super) fn scenarios(play: &Placed<'_>, placed: &WorkloadPlacement) -> Vec<Planned> {
    let service = play.service;
    let planned = play.as_planned();
    let mut list = vec![
        Planned {
            name: "expected".into(),
            what: "as planned, by the predicted figures".into(),
            asked: Asked::Nothing,
            setting: Setting { at_confidence: false, ..planned.clone() },
            factor: 1.0,
        },
        Planned {
            name: "planned".into(),
            what: "as planned, at the planned confidence".into(),
            asked: Asked::MustHold,
            setting: planned.clone(),
            factor: 1.0,
        },
    ];
    let promised = service.survive.replica > 0;
    for (i, pool) in placed.pools.iter().enumerate().filter(|(_, p)| !promised && p.stands_in.is_none()) {
        let mut setting = planned.clone();
        setting.replicas[i] -= 1;
        list.push(Planned {
            name: "replica-lost".into(),
            what: format!("one replica lost in {}", pool.addr.as_str()),
            asked: Asked::Nothing,
            setting,
            factor: 1.0,
        });
    }
    for failure in &placed.failures {
        list.extend(failed(play, placed, failure));
    }
    list.extend(hours(play, placed));
    list
}

/// Each load of the week below the peak, on the machines that pools which follow it then have.
fn hours(play: &Placed<'_>, placed: &WorkloadPlacement) -> Vec<Planned> {
    let Some(daily) = play.service.follows() else { return Vec::new() };
    let mut shares: Vec<u32> = daily.week().into_iter().filter(|s| *s > 0 && *s < PEAK_SHARE).collect();
    shares.sort_unstable();
    shares.dedup();
    let replicas = |pool: &Pool, share: u32| {
        let classes = pool.following.iter().flat_map(|f| &f.classes);
        classes.filter(|c| c.share >= share).map(|c| c.replicas).next().unwrap_or(pool.replicas)
    };
    let planned = play.as_planned();
    let at = |share: u32| {
        let load = f64::from(share) / f64::from(PEAK_SHARE);
        Planned {
            name: "hours".into(),
            what: format!("the hours with {} % of the peak", crate::math::round_to(load * 100.0, 3)),
            asked: Asked::MustHold,
            setting: Setting {
                replicas: placed.pools.iter().map(|p| replicas(p, share)).collect(),
                load,
                ..planned.clone()
            },
            factor: 1.0,
        }
    };
    shares.into_iter().map(at).collect()
}

pub(super) fn failed(play: &Placed<'_>, placed: &WorkloadPlacement, failure: &FailureCheck) -> Vec<Planned> {
    let during = play.service.during_failure;
    let planned = play.as_planned();
    let base = |what: String, setting: Setting| Planned {
        name: failure.scope.into(),
        what,
        asked: Asked::MustHold,
        setting: Setting { load: during.capacity, ..setting },
        factor: during.slo_factor,
    };
    if let Some(i) = placed.pools.iter().position(|p| p.addr.as_str() == failure.at) {
        let mut setting = planned;
        setting.replicas[i] = failure.replicas_left;
        let mut what = format!("{} {} lost in {}", failure.count, failure.scope, failure.at);
        if let Some((stand_in, s)) = placed.stand_in_of(&placed.pools[i]) {
            let to = placed.pools.iter().position(|p| p.addr == stand_in.addr);
            setting.overflow = to.map(|to| (i, to, f64::from(s.percent) / 100.0));
            what += &format!(", {} % answered by {}", s.percent, s.model);
        }
        return vec![base(what, setting)];
    }
    let mut regions: Vec<&String> = play.pools.iter().map(|p| &p.region).collect();
    regions.sort_unstable();
    regions.dedup();
    regions
        .into_iter()
        .map(|region| {
            let setting = Setting { without: Some(region.clone()), ..planned.clone() };
            base(format!("region {region} lost"), setting)
        })
        .collect()
}
