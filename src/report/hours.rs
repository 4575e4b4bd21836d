//! How pools follow the load of the day or of the week.

use super::week::{clock, spans};
use super::{Block, Cell, Section, Table};
use crate::placement::{Following, HourClass, Pool};
use crate::plan::Plan;
use crate::spec::{By, PEAK_SHARE};

/// `60 %` of the peak.
fn share(class: &HourClass) -> String {
    format!("{} %", crate::math::round_to(f64::from(class.share) * 100.0 / f64::from(PEAK_SHARE), 3))
}

/// For each number of machines that a pool has at some time, the greatest class that has it and from when to when.
fn stretches(following: &Following) -> Vec<(&HourClass, String)> {
    let of = |class: usize| following.classes.get(class);
    // The greatest class with as many machines stands for all of them.
    let stands = |class: usize| {
        let own = of(class).map(|c| &c.machines);
        (0..following.classes.len()).rev().find(|k| of(*k).map(|c| &c.machines) == own).unwrap_or(class)
    };
    let mut switches: Vec<(u32, usize)> = Vec::new();
    let mut before = following.schedule.last().map(|s| stands(s.class));
    for switch in &following.schedule {
        let class = stands(switch.class);
        if before != Some(class) {
            switches.push((switch.at_s, class));
        }
        before = Some(class);
    }
    let mut kept: Vec<usize> = switches.iter().map(|(_, class)| *class).collect();
    if kept.is_empty() {
        kept.push(following.classes.len().saturating_sub(1));
    }
    kept.sort_unstable();
    kept.dedup();
    let when = |class: usize| {
        if switches.is_empty() {
            return if following.is_weekly() { "all week" } else { "all day" }.to_owned();
        }
        let own = switches.iter().enumerate().filter(|(_, s)| s.1 == class);
        let own: Vec<(u32, u32)> = own.map(|(i, s)| (s.0, switches[(i + 1) % switches.len()].0)).collect();
        if following.is_weekly() {
            return spans(&own);
        }
        own.iter()
            .map(|(from, to)| format!("{} to {}", clock(*from), clock(*to)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    kept.into_iter().filter_map(|class| Some((of(class)?, when(class)))).collect()
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
            ("workload", false),
            ("region", false),
            ("load up to", true),
            ("local time", false),
            ("machines", false),
            ("replicas", true),
        ],
        rows: Vec::new(),
    };
    let mut lines = Vec::new();
    let mut weekly = false;
    for (address, placed) in &plan.placement.workloads {
        for pool in &placed.pools {
            let Some(following) = &pool.following else { continue };
            weekly |= following.is_weekly();
            let place = format!("{}/{}", pool.cloud, pool.region);
            for (i, (class, when)) in stretches(following).into_iter().enumerate() {
                table.rows.push(vec![
                    Cell::plain(if i == 0 { address.as_str() } else { "" }),
                    Cell::plain(if i == 0 { place.as_str() } else { "" }),
                    Cell::plain(share(class)),
                    Cell::plain(when),
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
            if following.classes.iter().any(|class| class.replicas == 0) {
                let when = match part_by(plan, address) {
                    Some(By::Load) => "in hours that are not its own or have no load",
                    _ => "in the hours without load; a request that comes then gets no answer",
                };
                lines.push(Cell::plain(format!(
                    "{address}: {}: nothing runs {when}.",
                    below.trim_start_matches('/')
                )));
            }
        }
    }
    (!table.rows.is_empty()).then(|| Section {
        name: "hours",
        heading: if weekly { "Machines over the week" } else { "Machines over the day" }.to_owned(),
        blocks: vec![Block::Table(table), Block::Lines(lines)],
    })
}

/// By what a workload is a part of a service; `None` if it is a whole one.
fn part_by(plan: &Plan, address: &str) -> Option<By> {
    let mut all = plan.placement.divided.iter().flat_map(|d| d.services.values());
    let of = all.find(|s| s.parts.iter().any(|p| p.address == address))?;
    (!of.at.is_empty()).then_some(of.by)
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
            classes: vec![class(125_000, 1), class(250_000, 1), class(PEAK_SHARE, 8)],
            schedule: vec![
                Switch { at_s: 3_600, class: 0 },
                Switch { at_s: 28_710, class: 2 },
                Switch { at_s: 72_000, class: 1 },
            ],
        };
        let told = |f: &Following| -> Vec<(String, u32, String)> {
            stretches(f).into_iter().map(|(c, when)| (share(c), c.replicas, when)).collect()
        };
        // Both lower classes have one machine.
        let few = ("25 %".to_owned(), 1, "20:00 to 07:58:30".to_owned());
        assert_eq!(told(&following), [few, ("100 %".into(), 8, "07:58:30 to 20:00".into())]);
        following.classes.truncate(1);
        following.schedule.clear();
        assert_eq!(told(&following), [("12.5 %".into(), 1, "all day".into())]);
    }
}
