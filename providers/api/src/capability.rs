//! What the adapters of a build can apply, and what can only be exported.

use std::collections::BTreeSet;

use crate::{Attr, Attributes, Cloud, Resource, ResourceKind};

/// Whether a build can make a resource itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// An adapter of this build creates, updates and removes it.
    Apply,
    /// No adapter in this build makes it; it can be exported for another tool.
    ExportOnly,
}

/// One row of the capability table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdapterCapability {
    /// The cloud.
    pub cloud: Cloud,
    /// The kind of resource.
    pub kind: ResourceKind,
    /// What this build can do with it.
    pub support: Support,
}

/// The capability table of this build: a row per cloud and resource kind.
///
/// `adapters` names the clouds whose adapters are compiled in. None is yet, so every row reads
/// [`Support::ExportOnly`] and a plan says so.
pub fn capabilities(adapters: &[Cloud]) -> Vec<AdapterCapability> {
    let mut table = Vec::new();
    for cloud in Cloud::ALL {
        for kind in ResourceKind::ALL {
            let support = if adapters.contains(&cloud) { Support::Apply } else { Support::ExportOnly };
            table.push(AdapterCapability { cloud, kind, support });
        }
    }
    table
}

/// Which values of a dimension an adapter can deploy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Among {
    /// Every one.
    #[default]
    Any,
    /// These and no others; the empty set can deploy what says nothing of the dimension.
    Only(BTreeSet<String>),
}

impl Among {
    /// These and no others.
    pub fn only<const N: usize>(names: [&str; N]) -> Self {
        Among::Only(names.map(str::to_owned).into())
    }

    /// The first of some values that is not among these.
    fn lacks<'a>(&self, used: &BTreeSet<&'a str>) -> Option<&'a str> {
        match self {
            Among::Any => None,
            Among::Only(names) => used.iter().find(|name| !names.contains(**name)).copied(),
        }
    }
}

/// One row of what an adapter can deploy. A resource is covered if all that it says is within one row, so that
/// what goes together only in part is several rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The cloud.
    pub cloud: Cloud,
    /// The kind of resource.
    pub kind: ResourceKind,
    /// What machines start: the names of [`Uses::runtimes`].
    pub runtimes: Among,
    /// Engines by name.
    pub engines: Among,
    /// How replicas lie on machines: the names of [`Uses::layouts`].
    pub layouts: Among,
    /// Accelerators by their id in the catalogue.
    pub accelerators: Among,
}

impl Capability {
    /// Every runtime, engine, layout and accelerator.
    pub const fn all(cloud: Cloud, kind: ResourceKind) -> Self {
        Capability {
            cloud,
            kind,
            runtimes: Among::Any,
            engines: Among::Any,
            layouts: Among::Any,
            accelerators: Among::Any,
        }
    }

    /// Whether this row covers a resource.
    ///
    /// # Errors
    /// What of it cannot be deployed, and where.
    pub fn can(&self, resource: &Resource) -> Result<(), String> {
        let (cloud, kind) = (resource.cloud, resource.kind);
        if (self.cloud, self.kind) != (cloud, kind) {
            return Err(format!("no adapter of this build makes a {kind} on {cloud}"));
        }
        let uses = Uses::of(resource);
        let dimensions = [
            ("runtime", &self.runtimes, &uses.runtimes),
            ("engine", &self.engines, &uses.engines),
            ("layout", &self.layouts, &uses.layouts),
            ("accelerator", &self.accelerators, &uses.accelerators),
        ];
        for (dimension, among, used) in dimensions {
            if let Some(name) = among.lacks(used) {
                return Err(format!("the adapter for {cloud} deploys no {kind} with {dimension} `{name}`"));
            }
        }
        Ok(())
    }
}

/// Whether a table of capabilities covers a resource.
///
/// # Errors
/// What of it cannot be deployed, and where; for each row of its cloud and kind, if there are several.
pub fn covered(table: &[Capability], resource: &Resource) -> Result<(), String> {
    let (cloud, kind) = (resource.cloud, resource.kind);
    let mut why = Vec::new();
    for row in table.iter().filter(|row| (row.cloud, row.kind) == (cloud, kind)) {
        match row.can(resource) {
            Ok(()) => return Ok(()),
            Err(reason) => why.push(reason),
        }
    }
    if why.is_empty() {
        return Err(format!("no adapter of this build makes a {kind} on {cloud}"));
    }
    Err(why.join("; "))
}

/// What a resource says of the dimensions of a [`Capability`]. A kind that says nothing of one has no names there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses<'a> {
    /// The attributes that say what machines start: `engine`, `engines`, `server`, `measured`, `training`,
    /// `pipeline`, `federation`.
    pub runtimes: BTreeSet<&'a str>,
    /// `name` of an `engine` or of each of `engines`, `engine` of a `pipeline`, `framework` of a `training` or a
    /// `federation`.
    pub engines: BTreeSet<&'a str>,
    /// `tensor_parallel`, `pipeline_parallel`, `data_parallel`, `expert_parallel` where an engine's size is above 1,
    /// `many_machines` where a replica spans machines, `many_replicas` where a machine has several,
    /// `part_of_accelerator` where it has a fraction of one.
    pub layouts: BTreeSet<&'a str>,
    /// Of its machines; none of machines without.
    pub accelerators: BTreeSet<&'a str>,
}

impl<'a> Uses<'a> {
    /// What a resource says.
    pub fn of(resource: &'a Resource) -> Self {
        let attributes = &resource.attributes;
        let mut uses = Uses::default();
        for name in RUNTIMES {
            let Some(Attr::Map(runs)) = attributes.get(name) else { continue };
            uses.runtimes.insert(name);
            match name {
                "engine" => uses.engine(runs),
                "engines" => {
                    for seat in runs.values() {
                        if let Attr::Map(seat) = seat
                            && let Some(Attr::Map(engine)) = seat.get("engine")
                        {
                            uses.engine(engine);
                        }
                    }
                }
                "pipeline" => uses.engines.extend(text(runs, "engine")),
                "training" | "federation" => uses.engines.extend(text(runs, "framework")),
                _ => {}
            }
        }
        let number = |name| number(attributes, name);
        for (layout, used) in [
            ("many_machines", number("machines_per_replica") > 1),
            ("many_replicas", number("replicas_per_machine") > 1),
            ("part_of_accelerator", number("accelerators_per_machine_permille") % 1_000 != 0),
        ] {
            if used {
                uses.layouts.insert(layout);
            }
        }
        uses.accelerators.extend(text(attributes, "accelerator"));
        uses
    }

    fn engine(&mut self, engine: &'a Attributes) {
        self.engines.extend(text(engine, "name"));
        for (layout, size) in SIZES {
            if number(engine, size) > 1 {
                self.layouts.insert(layout);
            }
        }
    }
}

/// The attributes of a launch template that say what its machines start.
const RUNTIMES: [&str; 7] = ["engine", "engines", "server", "measured", "training", "pipeline", "federation"];

/// Layouts of an engine, each with its size.
const SIZES: [(&str, &str); 4] = [
    ("tensor_parallel", "tensor_parallel_size"),
    ("pipeline_parallel", "pipeline_parallel_size"),
    ("data_parallel", "data_parallel_size"),
    ("expert_parallel", "expert_parallel_size"),
];

fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    match attributes.get(name) {
        Some(Attr::Text(text)) => Some(text),
        _ => None,
    }
}

fn number(attributes: &Attributes, name: &str) -> i64 {
    match attributes.get(name) {
        Some(Attr::Int(n)) => *n,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_adapters_everything_is_export_only() {
        let table = capabilities(&[]);
        assert_eq!(table.len(), Cloud::ALL.len() * ResourceKind::ALL.len());
        assert!(table.iter().all(|row| row.support == Support::ExportOnly));
        assert!(capabilities(&[Cloud::Aws]).iter().any(|row| row.support == Support::Apply));
    }

    fn template(engine: &[(&str, Attr)], more: &[(&str, Attr)]) -> Resource {
        let map = |of: &[(&str, Attr)]| of.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        let mut attributes: Attributes = map(more);
        attributes.insert("engine", Attr::Map(map(engine)));
        let kind = ResourceKind::LaunchTemplate;
        Resource { kind, cloud: Cloud::Aws, region: "eu-west-1".to_owned(), attributes }
    }

    #[test]
    fn each_dimension_refuses_what_is_not_in_it_and_says_what() {
        let resource = template(
            &[("name", "vllm".into()), ("tensor_parallel_size", 4.into()), ("data_parallel_size", 1.into())],
            &[
                ("accelerator", "h100".into()),
                ("machines_per_replica", 2.into()),
                ("accelerators_per_machine_permille", 8_000.into()),
            ],
        );
        let all = Capability::all(Cloud::Aws, ResourceKind::LaunchTemplate);
        assert_eq!(all.can(&resource), Ok(()));
        let fits = Capability {
            runtimes: Among::only(["engine"]),
            engines: Among::only(["vllm", "sglang"]),
            layouts: Among::only(["tensor_parallel", "many_machines"]),
            accelerators: Among::only(["h100"]),
            ..all.clone()
        };
        assert_eq!(fits.can(&resource), Ok(()));
        let none = || Among::only([]);
        let narrower = [
            (Capability { runtimes: none(), ..fits.clone() }, "runtime `engine`"),
            (Capability { engines: none(), ..fits.clone() }, "engine `vllm`"),
            (
                Capability { layouts: Among::only(["many_machines"]), ..fits.clone() },
                "layout `tensor_parallel`",
            ),
            (
                Capability { layouts: Among::only(["tensor_parallel"]), ..fits.clone() },
                "layout `many_machines`",
            ),
            (Capability { accelerators: none(), ..fits.clone() }, "accelerator `h100`"),
            (Capability { cloud: Cloud::Gcp, ..fits.clone() }, "no adapter of this build makes"),
        ];
        for (row, what) in &narrower {
            let why = row.can(&resource).unwrap_err();
            assert!(why.contains(what), "{why}");
        }
        // Two rows, each of which lacks something, cover nothing together.
        let halves = [narrower[1].0.clone(), narrower[4].0.clone()];
        let why = covered(&halves, &resource).unwrap_err();
        assert!(why.contains("vllm") && why.contains("h100"), "{why}");
        assert_eq!(covered(&[narrower[1].0.clone(), fits], &resource), Ok(()));
        assert!(covered(&[], &resource).unwrap_err().contains("launch_template on aws"));
    }

    #[test]
    fn engines_of_shared_machines_and_parts_of_accelerators_are_seen() {
        let seat = |name: &str| {
            let engine = Attributes::from([("name".to_owned(), Attr::from(name))]);
            Attr::Map(Attributes::from([("engine".to_owned(), Attr::Map(engine))]))
        };
        let mut resource = template(&[], &[("accelerators_per_machine_permille", 125.into())]);
        resource.attributes.remove("engine");
        let seats = Attributes::from([("a".to_owned(), seat("vllm")), ("b".to_owned(), seat("sglang"))]);
        resource.attributes.insert("engines", Attr::Map(seats));
        resource.attributes.insert("replicas_per_machine", Attr::Int(2));
        let uses = Uses::of(&resource);
        assert_eq!(uses.runtimes, BTreeSet::from(["engines"]));
        assert_eq!(uses.engines, BTreeSet::from(["sglang", "vllm"]));
        assert_eq!(uses.layouts, BTreeSet::from(["many_replicas", "part_of_accelerator"]));
        for (runtime, key, engine) in [
            ("pipeline", "engine", "ray"),
            ("training", "framework", "x"),
            ("federation", "framework", "flower"),
        ] {
            let runs = Attributes::from([(key.to_owned(), Attr::from(engine))]);
            resource.attributes = [(runtime, Attr::Map(runs))].into();
            let uses = Uses::of(&resource);
            assert_eq!((uses.runtimes, uses.engines), (BTreeSet::from([runtime]), BTreeSet::from([engine])));
        }
    }
}
