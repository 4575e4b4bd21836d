//! What a launch template says about the size classes of a service with a profile.

use rhumb_api::Attr;

use super::attributes::Builder;
use crate::placement::{Pool, WorkloadPlacement};

/// Size class to the part of it, in billionths, that all machines of the pool's type get together: what a router weighs by, evenly over
/// their pools by machines.
pub(super) fn classes(pool: &Pool, chosen: &WorkloadPlacement) -> Attr {
    let mut parts = Builder::default();
    if let Some(mix) = &chosen.mix {
        let same = |kind: u32| {
            let kind = mix.kinds.get(kind as usize);
            kind.is_some_and(|k| (k.cloud, &k.instance_type) == (pool.cloud, &pool.instance_type))
        };
        for class in &mix.classes {
            let billionths: u64 = class.to.iter().filter(|p| same(p.kind)).map(|p| p.billionths).sum();
            if billionths > 0 {
                parts = parts.number(&class.name, i64::try_from(billionths).unwrap_or(i64::MAX));
            }
        }
    }
    parts.map()
}
