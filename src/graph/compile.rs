//! A spec as a graph.

use super::{Graph, Unplaced};
use crate::diagnostic::{Diagnostic, Pointer, SourceMap, did_you_mean};
use crate::spec::Spec;

/// Why a spec has no graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Runs wait for each other.
    #[error("runs wait for each other: {}", path.join(" -> "))]
    Cycle {
        /// From the smallest key back to it.
        path: Vec<String>,
        /// The `after` that leads from the first to the second.
        at: Pointer,
    },
    /// Something is named that the spec does not have.
    #[error("`{from}` names `{name}`, which is not in the spec")]
    UnknownName {
        /// What names it.
        from: String,
        /// The name.
        name: String,
        /// Where it was written.
        at: Pointer,
        /// The nearest name that there is.
        nearest: Option<String>,
    },
}

impl GraphError {
    /// Where it was written.
    pub fn at(&self) -> &Pointer {
        match self {
            GraphError::Cycle { at, .. } | GraphError::UnknownName { at, .. } => at,
        }
    }

    /// With its place in the text.
    pub fn diagnostic(&self, map: &SourceMap) -> Diagnostic {
        let (code, label, help) = match self {
            GraphError::Cycle { .. } => {
                ("cycle", "this closes the circle", "take one `after` of the circle away".to_owned())
            }
            GraphError::UnknownName { nearest, .. } => (
                "unknown-reference",
                "not in the spec",
                nearest.as_ref().map_or_else(
                    || {
                        "write it as `services.NAME`, `batches.NAME`, `trainings.NAME`, `pipelines.NAME` or `federations.NAME`, or remove it"
                            .to_owned()
                    },
                    |name| format!("did you mean `{name}`?"),
                ),
            ),
        };
        Diagnostic::error(code, self.to_string()).at(map, self.at()).label(label).help(help)
    }
}

/// The graph of a spec: models, services with their origins, batches, trainings, pipelines, federations and the budget.
///
/// Edges: a service needs its model and its origins, a batch or a training its model, every run what it runs
/// `after`, the budget what it limits.
///
/// # Errors
/// Runs wait for each other, or something is named that is not there.
pub fn compile(spec: &Spec) -> Result<Graph<Unplaced>, GraphError> {
    let mut graph = Graph::default();
    for name in spec.models.keys() {
        graph.add(format!("models.{name}"), Unplaced::Model(name.clone()));
    }
    for (name, service) in &spec.services {
        let key = format!("services.{name}");
        graph.add(key.clone(), Unplaced::Service(name.clone()));
        for origin in &service.traffic.origins {
            let node = Unplaced::Origin { service: name.clone(), origin: origin.name.clone() };
            let origin_key = format!("{key}.traffic.origins.{}", origin.name);
            graph.add(origin_key.clone(), node);
            connect(&mut graph, &key, &origin_key, "origin", &origin.at)?;
        }
    }
    for name in spec.profiled.keys() {
        graph.add(format!("services.{name}"), Unplaced::Service(name.clone()));
    }
    for name in spec.batches.keys() {
        graph.add(format!("batches.{name}"), Unplaced::Batch(name.clone()));
    }
    for name in spec.trainings.keys() {
        graph.add(format!("trainings.{name}"), Unplaced::Training(name.clone()));
    }
    for name in spec.pipelines.keys() {
        graph.add(format!("pipelines.{name}"), Unplaced::Pipeline(name.clone()));
    }
    for name in spec.federations.keys() {
        graph.add(format!("federations.{name}"), Unplaced::Federation(name.clone()));
    }
    for (name, service) in &spec.services {
        let model = format!("models.{}", service.model);
        connect(&mut graph, &format!("services.{name}"), &model, "model", &service.at.join("model"))?;
        for smaller in service.degrade.iter().flat_map(|d| &d.to) {
            let model = format!("models.{}", smaller.model);
            connect(&mut graph, &format!("services.{name}"), &model, "stand-in", &smaller.at.join("model"))?;
        }
    }
    let batches = spec.batches.iter().map(|(n, b)| (format!("batches.{n}"), &b.model, &b.at, &b.after));
    let trainings = spec.trainings.iter().map(|(n, t)| (format!("trainings.{n}"), &t.model, &t.at, &t.after));
    for (key, model, place, after) in batches.chain(trainings) {
        connect(&mut graph, &key, &format!("models.{model}"), "model", &place.join("model"))?;
        for (other, at) in after {
            connect(&mut graph, &key, other, "after", at)?;
        }
    }
    for (name, pipeline) in &spec.pipelines {
        for (other, at) in &pipeline.after {
            connect(&mut graph, &format!("pipelines.{name}"), other, "after", at)?;
        }
    }
    for (name, federation) in &spec.federations {
        for (other, at) in &federation.after {
            connect(&mut graph, &format!("federations.{name}"), other, "after", at)?;
        }
    }
    budget(spec, &mut graph)?;
    if let Some(path) = graph.cycle() {
        let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
        let at = edge_place(spec, &path);
        return Err(GraphError::Cycle { path, at });
    }
    Ok(graph)
}

/// A budget needs every workload that one of its limits counts, by whatever name.
fn budget(spec: &Spec, graph: &mut Graph<Unplaced>) -> Result<(), GraphError> {
    if spec.budget.limits.is_empty() && spec.budget.carbon.is_none() {
        return Ok(());
    }
    graph.add("budget", Unplaced::Budget);
    if let Some(cap) = &spec.budget.carbon {
        for key in spec.addresses() {
            connect(graph, "budget", &key, "limits", &cap.at)?;
        }
    }
    for (scope, limit) in &spec.budget.limits {
        for key in spec.addresses().into_iter().filter(|key| scope.covers(spec, key)) {
            connect(graph, "budget", &key, "limits", &limit.at)?;
        }
        let parts = scope.workload().is_some_and(|named| {
            spec.services.values().any(|s| {
                s.part_of.as_ref().is_some_and(|of| named.strip_prefix("services.") == Some(&of.service.name))
            })
        });
        if let Some(named) = scope.workload().filter(|_| !parts) {
            connect(graph, "budget", named, "limits", &limit.at)?;
        }
    }
    Ok(())
}

fn connect(
    graph: &mut Graph<Unplaced>,
    from: &str,
    to: &str,
    label: &'static str,
    at: &Pointer,
) -> Result<(), GraphError> {
    if graph.connect(from, to, label) {
        return Ok(());
    }
    let nearest = did_you_mean(to, graph.keys()).map(str::to_owned);
    Err(GraphError::UnknownName { from: from.to_owned(), name: to.to_owned(), at: at.clone(), nearest })
}

/// Where the first edge of a cycle was written.
fn edge_place(spec: &Spec, path: &[String]) -> Pointer {
    let [from, to, ..] = path else { return Pointer::root() };
    let after = match from.split_once('.') {
        Some(("batches", name)) => spec.batches.get(name).map(|b| &b.after),
        Some(("trainings", name)) => spec.trainings.get(name).map(|t| &t.after),
        Some(("pipelines", name)) => spec.pipelines.get(name).map(|p| &p.after),
        Some(("federations", name)) => spec.federations.get(name).map(|f| &f.after),
        _ => None,
    };
    after
        .and_then(|after| after.iter().find(|(other, _)| other == to))
        .map_or_else(Pointer::root, |(_, at)| at.clone())
}
