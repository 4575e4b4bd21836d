//! Machines that a rollout may have besides.

use super::{Change, Step};
use crate::optimize::job::Job;
use crate::spec::{Rolling, Spec};

/// Fewer of them; without any, one may be missing instead.
pub(super) fn change(job: &Job<'_>) -> Option<Change> {
    let rollout = job.spec.rollout(&job.address)?;
    let Rolling { surge: now, unavailable } = rollout.rolling.filter(|rolling| rolling.surge > 0)?;
    let instead = if unavailable == 0 { ", with max_unavailable 1," } else { "" };
    let to = |k: u32| match k {
        0 => Step::new(format!("max_surge 0{instead} instead of {now}"), 0.0),
        _ => Step::new(format!("max_surge {k} instead of {now}"), f64::from(k)),
    };
    Some(Change {
        constraint: "max_surge",
        at: rollout.at.join("max_surge"),
        says: format!(
            "{now} {} of a fleet may be there besides while a change is rolled out",
            if now == 1 { "machine" } else { "machines" }
        ),
        coarse: vec![to(0)],
        fine: (0..now).rev().map(to).collect(),
        now: None,
        set,
        without: |spec, address, index| set(spec, address, index, 0.0),
        index: 0,
        budget: None,
    })
}

/// Of a part of a service, of the whole: all parts are rolled out alike.
fn set(spec: &mut Spec, address: &str, _: usize, n: f64) {
    let Some(whole) = spec.rollout(address).map(|rollout| rollout.at.clone()) else { return };
    for rollout in spec.rollouts.values_mut().filter(|rollout| rollout.at == whole) {
        if let Some(rolling) = &mut rollout.rolling {
            rolling.surge = n as u32;
            rolling.unavailable = rolling.unavailable.max(u32::from(n < 1.0));
        }
    }
}
