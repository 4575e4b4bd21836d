//! What can be loosened about a stream.

use super::{Change, FACTORS, Step, grid, rounded};
use crate::spec::{Pipeline, Spec, Stream};

fn stream<'s>(spec: &'s mut Spec, address: &str) -> Option<&'s mut Stream> {
    spec.pipelines.get_mut(address.strip_prefix("pipelines.")?)?.stream.as_mut()
}

fn set_freshness(spec: &mut Spec, address: &str, _: usize, seconds: f64) {
    if let Some(stream) = stream(spec, address) {
        stream.freshness_s = seconds;
    }
}

fn set_machines(spec: &mut Spec, address: &str, _: usize, n: f64) {
    if let Some(stream) = stream(spec, address) {
        stream.machines = n as u32;
    }
}

fn set_zones(spec: &mut Spec, address: &str, _: usize, n: f64) {
    if let Some(stream) = stream(spec, address) {
        stream.zones = n as u32;
    }
}

pub(super) fn changes(pipeline: &Pipeline, stream: &Stream) -> Vec<Change> {
    let now = stream.freshness_s;
    let step = |seconds: f64| Step::new(format!("a freshness of {seconds} s instead of {now} s"), seconds);
    let mut all = vec![Change {
        constraint: "freshness",
        at: pipeline.at.join("freshness"),
        says: format!("what is made is at most {now} s old"),
        coarse: FACTORS.iter().map(|f| step(rounded(now * f))).collect(),
        fine: grid(now).into_iter().map(step).collect(),
        now: Some(now),
        set: set_freshness,
        without: |spec, address, index| set_freshness(spec, address, index, 1e9),
        index: 0,
        budget: None,
    }];
    type Set = fn(&mut Spec, &str, usize, f64);
    type Without = fn(&mut Spec, &str, usize);
    let scopes: [(&str, u32, Set, Without); 2] = [
        ("machine", stream.machines, set_machines, |spec, address, i| set_machines(spec, address, i, 0.0)),
        ("zone", stream.zones, set_zones, |spec, address, i| set_zones(spec, address, i, 0.0)),
    ];
    for (scope, count, set, without) in scopes.into_iter().filter(|s| s.1 > 0) {
        let words = |k: u32| format!("survive {scope} {k} instead of {count}");
        all.push(Change {
            constraint: "survive",
            at: pipeline.at.join("survive").join(scope),
            says: format!("survives the loss of {count} ({scope})"),
            coarse: vec![Step::without(words(0))],
            fine: (0..count).rev().map(|k| Step::new(words(k), f64::from(k))).collect(),
            now: None,
            set,
            without,
            index: 0,
            budget: None,
        });
    }
    all
}
