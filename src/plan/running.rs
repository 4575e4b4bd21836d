//! What a state says that runs.

use rhumb_api::{Attr, ResourceKind};

use crate::placement::Running;
use crate::state::State;

/// Where machines of services and streams run. Runs of batches, trainings and pipelines end by themselves.
pub fn running(state: &State) -> Running {
    let mut running = Running::default();
    for (addr, known) in &state.resources {
        let of = &known.resource;
        let Some(Attr::Text(instance_type)) = of.attributes.get("instance_type") else { continue };
        let stream = of.attributes.contains_key("trigger_ms");
        if stream || matches!(of.kind, ResourceKind::Fleet | ResourceKind::EdgeUnit) {
            let workload = addr.as_str().split('/').next().unwrap_or_default();
            running.add(workload, of.cloud, &of.region, instance_type);
        }
    }
    running
}
