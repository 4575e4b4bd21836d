//! How the changes of the sample are done.

use rhumb::plan::{Dip, Rollback, Rollout, Surge};
use rhumb_api::{Cloud, Money, ResourceAddr};

pub fn dips() -> Vec<Dip> {
    let addr = |text: &str| ResourceAddr::parse(text).unwrap();
    vec![Dip {
        cloud: Cloud::Aws,
        place: "global".into(),
        code: "L-1".into(),
        unit: "vcpus".into(),
        limit: 8.5,
        needed: 9.5,
        first: vec![addr("services.a/x")],
        then: vec![addr("services.a/y")],
        machines: 3,
        left: 1,
    }]
}

pub fn rollback() -> Option<Rollback> {
    Some(Rollback { to: 7, digest: "c".repeat(64) })
}

pub fn rollouts() -> Vec<Rollout> {
    let waves = vec![vec!["aws/r1".into()], vec!["gcp/r2".into()]];
    vec![Rollout { workload: "services.a".into(), health_timeout_s: 60, roll_back: true, waves }]
}

pub fn surge() -> Option<Surge> {
    let [before, during, after] = [1, 5, 4].map(Money::from_micros);
    Some(Surge { before, during, after, unpriced: 2 })
}
