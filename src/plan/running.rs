//! What a state says that runs.

use rhumb_api::{Attr, ResourceKind};

use crate::placement::{MachinesAt, Running};
use crate::state::State;

/// Where machines of services and streams run. Runs of batches, trainings and pipelines end by themselves. What is on machines that
/// services share, their launch template names.
pub fn running(state: &State) -> Running {
    let mut running = Running::default();
    for (addr, known) in &state.resources {
        let of = &known.resource;
        let Some(Attr::Text(instance_type)) = of.attributes.get("instance_type") else { continue };
        if let Some(Attr::Text(template)) = of.attributes.get("launch_template")
            && let Some(template) = state.resources.iter().find(|(addr, _)| addr.as_str() == template)
            && let Some(Attr::Map(engines)) = template.1.resource.attributes.get("engines")
        {
            for engine in engines.values() {
                let Attr::Map(engine) = engine else { continue };
                let Some(Attr::Text(workload)) = engine.get("workload") else { continue };
                let (region, instance_type) = (of.region.clone(), instance_type.clone());
                running.put(workload, MachinesAt { cloud: of.cloud, region, instance_type, shared: true });
            }
            continue;
        }
        let stream = of.attributes.contains_key("trigger_ms");
        if stream || matches!(of.kind, ResourceKind::Fleet | ResourceKind::EdgeUnit) {
            let workload = addr.as_str().split('/').next().unwrap_or_default();
            running.add(workload, of.cloud, &of.region, instance_type);
        }
    }
    running
}
