//! What can be loosened about a federation.

use super::{Change, FACTORS, Step, grid, rounded};
use crate::diagnostic::Pointer;
use crate::math::round_to;
use crate::spec::{Federation, Spec};

fn federation<'s>(spec: &'s mut Spec, address: &str) -> Option<&'s mut Federation> {
    spec.federations.get_mut(address.strip_prefix("federations.")?)
}

fn set_round(spec: &mut Spec, address: &str, _: usize, minutes: f64) {
    if let Some(f) = federation(spec, address) {
        f.round_deadline_s = minutes * 60.0;
    }
}

fn set_run(spec: &mut Spec, address: &str, _: usize, hours: f64) {
    if let Some(f) = federation(spec, address) {
        f.deadline_s = Some(hours * 3600.0);
    }
}

fn set_least(spec: &mut Spec, address: &str, _: usize, sites: f64) {
    if let Some(f) = federation(spec, address) {
        f.min_sites = sites as u32;
    }
}

/// At every site of the federation that has less, or nobody knows how much.
fn set_bandwidth(spec: &mut Spec, address: &str, _: usize, mbps: f64) {
    let Some(sites) = federation(spec, address).map(|f| f.sites.clone()) else { return };
    for name in sites {
        if let Some(site) = spec.sites.get_mut(&name) {
            site.wan.mbps = Some(site.wan.mbps.map_or(mbps, |known| known.max(mbps)));
        }
    }
}

pub(super) fn changes(spec: &Spec, asked: &Federation) -> Vec<Change> {
    let mut all = Vec::new();
    let now = asked.round_deadline_s / 60.0;
    let shown = round_to(now, 3);
    let step = |to: f64| Step::new(format!("a round_deadline of {to} min instead of {shown} min"), to);
    let limit = |constraint: &'static str, at: Pointer, says: String| Change {
        constraint,
        at,
        says,
        coarse: Vec::new(),
        fine: Vec::new(),
        now: None,
        set: |_, _, _, _| {},
        without: |_, _, _| {},
        index: 0,
        budget: None,
    };
    all.push(Change {
        coarse: FACTORS.iter().map(|f| step(rounded(now * f))).collect(),
        fine: grid(now).into_iter().map(step).collect(),
        now: Some(now),
        set: set_round,
        without: |spec, address, index| set_round(spec, address, index, 1e9),
        ..limit("round-deadline", asked.at.join("round_deadline"), format!("a round ends within {shown} min"))
    });
    if let Some(deadline) = asked.deadline_s {
        let now = deadline / 3600.0;
        let shown = round_to(now, 3);
        let step = |hours: f64| Step::new(format!("a deadline of {hours} h instead of {shown} h"), hours);
        all.push(Change {
            coarse: FACTORS.iter().map(|f| step(rounded(now * f))).collect(),
            fine: grid(now).into_iter().map(step).collect(),
            now: Some(now),
            set: set_run,
            without: |spec, address, _| {
                if let Some(f) = federation(spec, address) {
                    f.deadline_s = None;
                }
            },
            ..limit("deadline", asked.at.join("deadline"), format!("ends within {shown} h"))
        });
    }
    let least = asked.min_sites;
    let step = |n: u32| Step::new(format!("min_sites {n} instead of {least}"), f64::from(n));
    if least > 1 {
        all.push(Change {
            fine: (1..least).rev().map(step).collect(),
            set: set_least,
            without: |spec, address, index| set_least(spec, address, index, 0.0),
            ..limit("min-sites", asked.at.join("min_sites"), format!("at least {least} sites answer"))
        });
    }
    // Of the narrowest that is known: what is wider changes nothing there.
    let known = asked.sites.iter().filter_map(|name| spec.sites.get(name)?.wan.mbps);
    let low = known.fold(f64::INFINITY, f64::min);
    let low = if low.is_finite() { low } else { 1.0 };
    let unknown =
        asked.sites.iter().any(|name| spec.sites.get(name).is_some_and(|site| site.wan.mbps.is_none()));
    let says = if unknown { "that has less or does not say what it has" } else { "that has less" };
    let step = |mbps: f64| Step::new(format!("{mbps} Mbit/s at every site of it {says}"), mbps);
    // Where one says nothing, what the narrowest of the others has may do.
    let first = unknown.then_some(low);
    all.push(Change {
        fine: first.into_iter().chain(grid(low)).map(step).collect(),
        set: set_bandwidth,
        without: |spec, address, index| set_bandwidth(spec, address, index, 1e9),
        ..limit(
            "bandwidth",
            asked.at.join("sites"),
            "updates go over the connections of the sites".to_owned(),
        )
    });
    all
}
