//! What can be loosened about a service with a profile.

use super::{Change, Step};
use crate::spec::{Profiled, Spec};

fn profiled_at<'s>(spec: &'s mut Spec, address: &str) -> Option<&'s mut Profiled> {
    spec.profiled.get_mut(address.strip_prefix("services.")?)
}

/// Machines that may fail, and the most machines.
pub(super) fn changes(profiled: &Profiled, all: &mut Vec<Change>) {
    if profiled.survive > 0 {
        let count = profiled.survive;
        let words = |k: u32| format!("survive machine {k} instead of {count}");
        all.push(Change {
            constraint: "survive",
            at: profiled.at.join("survive"),
            says: format!("survives the loss of {count} (machine)"),
            coarse: vec![Step::without(words(0))],
            fine: (0..count).rev().map(|k| Step::new(words(k), f64::from(k))).collect(),
            now: None,
            set: |spec, address, _, n| {
                if let Some(p) = profiled_at(spec, address) {
                    p.survive = n as u32;
                }
            },
            without: |spec, address, _| {
                if let Some(p) = profiled_at(spec, address) {
                    p.survive = 0;
                }
            },
            index: 0,
            budget: None,
        });
    }
    if let Some(most) = profiled.most_machines {
        let none = || Step::without("no largest number of replicas".into());
        let more = most.saturating_add(1)..=most.saturating_mul(4).max(most.saturating_add(256));
        let words = |n: u32| format!("max_replicas {n} instead of {most}");
        all.push(Change {
            constraint: "max_replicas",
            at: profiled.at.join("scaling"),
            says: format!("at most {most} machines"),
            coarse: vec![none()],
            fine: more.map(|n| Step::new(words(n), f64::from(n))).chain([none()]).collect(),
            now: Some(f64::from(most)),
            set: |spec, address, _, n| {
                if let Some(p) = profiled_at(spec, address) {
                    p.most_machines = Some(n as u32);
                }
            },
            without: |spec, address, _| {
                if let Some(p) = profiled_at(spec, address) {
                    p.most_machines = None;
                }
            },
            index: 0,
            budget: None,
        });
    }
}
