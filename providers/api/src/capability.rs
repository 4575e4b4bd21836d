//! What the adapters of a build can deploy, and what can only be exported.
//!
//! Every adapter states its rows ([`crate::Provider::capabilities`]); the table of a build is those of all its adapters. Who plans marks what
//! it does not cover, and who applies refuses that, both by [`uncovered`].

use std::collections::{BTreeMap, BTreeSet};

use crate::{Attr, Attributes, Cloud, Resource, ResourceAddr, ResourceKind};

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

    /// What of a resource of its cloud and kind this row lacks: the first dimension in which it lacks something, and that.
    fn lacks<'a>(&self, uses: &Uses<'a>) -> Option<(&'static str, &'a str)> {
        let dimensions = [
            ("runtime", &self.runtimes, &uses.runtimes),
            ("engine", &self.engines, &uses.engines),
            ("layout", &self.layouts, &uses.layouts),
            ("accelerator", &self.accelerators, &uses.accelerators),
        ];
        dimensions.into_iter().find_map(|(dimension, among, used)| Some((dimension, among.lacks(used)?)))
    }
}

/// Whether a table of capabilities covers a resource: one of its rows does.
///
/// # Errors
/// What of it cannot be deployed, and where: what each row of its cloud and kind lacks, if there are several.
pub fn covered(table: &[Capability], resource: &Resource) -> Result<(), String> {
    let (cloud, kind) = (resource.cloud, resource.kind);
    let uses = Uses::of(resource);
    let mut lacking = BTreeSet::new();
    for row in table.iter().filter(|row| (row.cloud, row.kind) == (cloud, kind)) {
        match row.lacks(&uses) {
            None => return Ok(()),
            Some((dimension, name)) => lacking.insert(format!("{dimension} `{name}`")),
        };
    }
    let what = match lacking.is_empty() {
        true => format!("a {kind}"),
        // Each of them alone may be in a row that lacks another one.
        false => lacking.into_iter().collect::<Vec<_>>().join(" with "),
    };
    Err(format!("no adapter of this build can deploy {what} on {cloud}"))
}

/// What of some resources a table does not cover, each with the reason: what [`covered`] refuses, and machines whose launch template it
/// refuses.
pub fn uncovered<'a>(
    table: &[Capability],
    resources: impl IntoIterator<Item = (&'a ResourceAddr, &'a Resource)>,
) -> BTreeMap<&'a ResourceAddr, String> {
    let resources: Vec<_> = resources.into_iter().collect();
    let refused =
        |(addr, resource): &(&'a ResourceAddr, &Resource)| Some((*addr, covered(table, resource).err()?));
    let mut all: BTreeMap<&ResourceAddr, String> = resources.iter().filter_map(refused).collect();
    let by_name: BTreeMap<&str, &String> = all.iter().map(|(addr, why)| (addr.as_str(), why)).collect();
    let started_by = |(addr, resource): &(&'a ResourceAddr, &Resource)| {
        let why = by_name.get(text(&resource.attributes, "launch_template")?)?;
        Some((*addr, (*why).clone()))
    };
    let more: Vec<_> = resources.iter().filter_map(started_by).collect();
    for (addr, why) in more {
        all.entry(addr).or_insert(why);
    }
    all
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
        let can = |row: &Capability, resource: &Resource| covered(std::slice::from_ref(row), resource);
        assert_eq!(can(&all, &resource), Ok(()));
        let fits = Capability {
            runtimes: Among::only(["engine"]),
            engines: Among::only(["vllm", "sglang"]),
            layouts: Among::only(["tensor_parallel", "many_machines"]),
            accelerators: Among::only(["h100"]),
            ..all.clone()
        };
        assert_eq!(can(&fits, &resource), Ok(()));
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
            (Capability { cloud: Cloud::Gcp, ..fits.clone() }, "can deploy a launch_template on aws"),
        ];
        for (row, what) in &narrower {
            let why = can(row, &resource).unwrap_err();
            assert!(why.contains(what), "{why}");
        }
        // Two rows, each of which lacks something, cover nothing together.
        let halves = [narrower[1].0.clone(), narrower[4].0.clone()];
        let why = covered(&halves, &resource).unwrap_err();
        assert!(why.ends_with("can deploy accelerator `h100` with engine `vllm` on aws"), "{why}");
        let twice = [narrower[1].0.clone(), narrower[1].0.clone()];
        assert!(covered(&twice, &resource).unwrap_err().ends_with("can deploy engine `vllm` on aws"));
        assert_eq!(covered(&[narrower[1].0.clone(), fits], &resource), Ok(()));
        assert!(covered(&[], &resource).unwrap_err().contains("launch_template on aws"));
    }

    /// Two pools and what is beside them: a narrower table leaves out exactly what it does not say.
    #[test]
    fn a_narrower_table_leaves_out_the_pools_outside_it_and_no_others() {
        let addr = |text: &str| ResourceAddr::parse(text).unwrap();
        let pool = |name: &str, engine: &str, accelerator: &str| {
            let accelerator = ("accelerator", Attr::from(accelerator));
            let made = template(&[("name", engine.into())], std::slice::from_ref(&accelerator));
            let mut fleet = template(&[], &[accelerator]);
            fleet.kind = ResourceKind::Fleet;
            fleet.attributes.remove("engine");
            fleet.attributes.insert("launch_template", format!("{name}/launch_template").as_str().into());
            [(addr(&format!("{name}/launch_template")), made), (addr(&format!("{name}/on_demand")), fleet)]
        };
        let mut network = template(&[], &[]);
        network.kind = ResourceKind::Network;
        network.attributes = Attributes::default();
        let mut all = vec![(addr("services.a/aws/eu-west-1/network"), network)];
        all.extend(pool("services.a/aws/eu-west-1/p5", "vllm", "h100"));
        all.extend(pool("services.a/aws/eu-west-1/g6e", "sglang", "l40s"));
        let left_out = |table: &[Capability]| -> Vec<String> {
            let found = uncovered(table, all.iter().map(|(addr, resource)| (addr, resource)));
            let words = |(addr, why): (&ResourceAddr, String)| {
                let why = why.trim_start_matches("no adapter of this build can deploy ").to_owned();
                let name = addr.as_str().trim_start_matches("services.a/aws/eu-west-1/");
                format!("{name}: {why}")
            };
            found.into_iter().map(words).collect()
        };
        let row = |kind| Capability::all(Cloud::Aws, kind);
        let [network, template, fleet] =
            [ResourceKind::Network, ResourceKind::LaunchTemplate, ResourceKind::Fleet].map(row);
        assert_eq!(left_out(&[network.clone(), template.clone(), fleet.clone()]), Vec::<String>::new());
        let sglang = Capability { engines: Among::only(["sglang"]), ..template.clone() };
        let why = "engine `vllm` on aws";
        assert_eq!(
            left_out(&[network.clone(), sglang, fleet.clone()]),
            [format!("p5/launch_template: {why}"), format!("p5/on_demand: {why}")]
        );
        let l40s = Capability { accelerators: Among::only(["l40s"]), ..fleet.clone() };
        assert_eq!(left_out(&[network, template.clone(), l40s]), ["p5/on_demand: accelerator `h100` on aws"]);
        assert_eq!(left_out(&[template, fleet]), ["network: a network on aws"]);
        assert_eq!(left_out(&[]).len(), 5);
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
