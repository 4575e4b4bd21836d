//! How pools follow the load of the day.

use super::{Block, Cell, Section, Table};
use crate::placement::{Following, HourClass, Pool};
use crate::plan::Plan;
use crate::spec::PEAK_SHARE;

/// `07:56`, local time; with seconds where there are any.
pub(crate) fn clock(at_s: u32) -> String {
    let (h, m, s) = (at_s / 3600, at_s / 60 % 60, at_s % 60);
    if s == 0 { format!("{h:02}:{m:02}") } else { format!("{h:02}:{m:02}:{s:02}") }
}

/// `60 %` of the peak.
fn share(class: &HourClass) -> String {
    format!("{} %", crate::math::round_to(f64::from(class.share) * 100.0 / f64::from(PEAK_SHARE), 3))
}

/// From when to when a pool is in a class.
fn when(following: &Following, class: usize) -> String {
    let s = &following.schedule;
    if s.is_empty() {
        return "all day".to_owned();
    }
    let spans: Vec<String> = s
        .iter()
        .enumerate()
        .filter(|(_, switch)| switch.class == class)
        .map(|(i, switch)| format!("{} to {}", clock(switch.at_s), clock(s[(i + 1) % s.len()].at_s)))
        .collect();
    spans.join(", ")
}

fn machines(pool: &Pool, class: &HourClass) -> String {
    let parts: Vec<String> =
        pool.machines.iter().zip(&class.machines).map(|(m, n)| format!("{n} {}", m.purchase)).collect();
    parts.join(" + ")
}

/// Nothing if no pool follows the day.
pub(super) fn hours(plan: &Plan) -> Option<Section> {
    let mut table = Table {
        columns: vec![
            ("pool", false),
            ("load", true),
            ("local time", false),
            ("machines", false),
            ("replicas", true),
        ],
        rows: Vec::new(),
    };
    let mut lines = Vec::new();
    for (address, placed) in &plan.placement.workloads {
        for pool in &placed.pools {
            let Some(following) = &pool.following else { continue };
            for (i, class) in following.classes.iter().enumerate() {
                table.rows.push(vec![
                    Cell::plain(pool.addr.as_str()),
                    Cell::plain(share(class)),
                    Cell::plain(when(following, i)),
                    Cell::plain(machines(pool, class)),
                    Cell::plain(class.replicas.to_string()),
                ]);
            }
            let below = pool.addr.as_str().strip_prefix(address).unwrap_or_default();
            lines.push(Cell::plain(format!(
                "{address}: {}: {}; machines are started {} s before they are needed (assumed).",
                below.trim_start_matches('/'),
                following.time_zone,
                following.start_up_s
            )));
        }
    }
    (!table.rows.is_empty()).then(|| Section {
        name: "hours",
        heading: "Machines over the day".to_owned(),
        blocks: vec![Block::Table(table), Block::Lines(lines)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Switch;

    #[test]
    fn spans_go_past_midnight() {
        let class =
            |share, machines| HourClass { share, seconds: 1, replicas: machines, machines: vec![machines] };
        let mut following = Following {
            time_zone: "UTC".into(),
            start_up_s: 90,
            classes: vec![class(125_000, 1), class(PEAK_SHARE, 8)],
            schedule: vec![Switch { at_s: 28_710, class: 1 }, Switch { at_s: 72_000, class: 0 }],
        };
        assert_eq!(when(&following, 0), "20:00 to 07:58:30");
        assert_eq!(when(&following, 1), "07:58:30 to 20:00");
        assert_eq!(share(&following.classes[0]), "12.5 %");
        following.schedule.clear();
        assert_eq!(when(&following, 1), "all day");
    }
}
