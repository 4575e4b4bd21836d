//! What a launch template says about a member of a federation.

use rhumb_api::{Attr, Attributes, Cloud};

use super::attributes::{Builder, parts};
use crate::placement::{FederationRun, Pool};
use crate::spec::Federation;

/// Where Flower's SuperLink answers the SuperNodes of clients.
pub(super) const SUPERLINK_PORT: i64 = 9092;

/// The attributes of a member's launch template.
pub(super) fn template(common: Builder, asked: &Federation, pool: &Pool, run: &FederationRun) -> Attributes {
    let role = if pool.cloud == Cloud::Site { "client" } else { "aggregator" };
    let command = asked.command.iter().map(|word| Attr::from(word.as_str())).collect();
    let chosen = Builder::default()
        .with("framework", run.framework.as_str())
        .with("role", role)
        .with("image", asked.image.as_str())
        .with("command", Attr::List(command))
        .with("port", SUPERLINK_PORT)
        .number("rounds", run.rounds)
        .number("sites", run.clients.len() as u32)
        .number("min_sites", run.min_sites)
        .with("round_deadline_s", parts(asked.round_deadline_s, 1.0))
        .map();
    common.with("federation", chosen).finish()
}
