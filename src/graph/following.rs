//! The schedule of a fleet whose pool follows the load (decision 11), and how its machines are made anew.

use std::collections::BTreeMap;

use rhumb_api::{Attr, Purchase};

use super::attributes::Builder;
use crate::placement::Pool;
use crate::spec::Spec;

const DAY_S: u32 = 86_400;

/// Names of the days, in the order of a week that begins with Monday.
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// From when, seconds after midnight, there are how many machines; where the days of a week differ, on which of them.
pub(super) fn following(common: Builder, pool: &Pool, purchase: Purchase) -> Builder {
    let Some(following) = &pool.following else { return common };
    let Some(index) = pool.machines.iter().position(|m| m.purchase == purchase) else { return common };
    let of = |class: usize| following.classes.get(class).and_then(|c| c.machines.get(index)).copied();
    let counts = || (0..following.classes.len()).filter_map(of);
    let mut before = following.schedule.last().and_then(|s| of(s.class));
    // On several days at the same time to as many: one entry.
    let mut changes: BTreeMap<(u32, u32), Vec<Attr>> = BTreeMap::new();
    for switch in &following.schedule {
        let count = of(switch.class);
        if let Some(n) = count.filter(|_| count != before) {
            let day = WEEKDAYS.get((switch.at_s / DAY_S) as usize).map(|day| Attr::from(*day));
            changes.entry((switch.at_s % DAY_S, n)).or_default().extend(day);
        }
        before = count;
    }
    let entry = |((at_s, count), days): ((u32, u32), Vec<Attr>)| {
        let days = following.is_weekly().then_some(Attr::List(days));
        Builder::default().number("at_s", at_s).number("count", count).maybe("days", days).map()
    };
    common
        .number("min_count", counts().min().unwrap_or(0))
        .number("max_count", counts().max().unwrap_or(0))
        .with("schedule", Attr::List(changes.into_iter().map(entry).collect()))
        .with("time_zone", following.time_zone.as_str())
}

/// How many machines may be there besides, and how many may be missing, while they are made anew; nothing if the spec does not say.
pub(super) fn rolling(common: Builder, spec: &Spec, address: &str) -> Builder {
    let rolling = spec.rollout(address).and_then(|rollout| rollout.rolling);
    common
        .maybe("max_surge", rolling.map(|r| i64::from(r.surge)))
        .maybe("max_unavailable", rolling.map(|r| i64::from(r.unavailable)))
}
