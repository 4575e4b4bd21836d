//! What orders of each kind must say.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use rhumb_api::{
    Attr, Attributes, Capability, Cloud, ErrorKind, Order, ProviderError, Resource, ResourceKind,
};

use crate::calendar::Schedule;
use crate::inprocess::CLOUDS;
use crate::thing::{has_machines, number, purchase, text};
use crate::world::World;

/// Attributes of every kind.
const OF_EVERY_KIND: &[&str] = &["deployment", "labels", "workload"];

/// Attributes without which an order of a kind is refused. At a site, those that name a network or a firewall are not asked for.
pub fn required(kind: ResourceKind) -> &'static [&'static str] {
    match kind {
        ResourceKind::Network => &["address_range", "zones"],
        ResourceKind::Firewall => &["network", "inbound", "outbound"],
        ResourceKind::LaunchTemplate => &[
            "network",
            "firewall",
            "instance_type",
            "accelerators_per_machine_permille",
            "replicas_per_machine",
            "machines_per_replica",
            "start_script_sha256",
        ],
        ResourceKind::LoadBalancer => {
            &["network", "firewall", "exposure", "protocol", "port", "health_check_path", "origins_ppm"]
        }
        ResourceKind::Fleet => &[
            "network",
            "launch_template",
            "launch_template_sha256",
            "instance_type",
            "purchase",
            "count",
            "zones",
            "replicas_per_machine",
            "machines_per_replica",
            "health_check_path",
        ],
        ResourceKind::JobRun => &[
            "network",
            "launch_template",
            "launch_template_sha256",
            "instance_type",
            "purchase",
            "count",
            "zones",
            "replicas_per_machine",
            "machines_per_replica",
        ],
        ResourceKind::EdgeUnit => &[
            "site",
            "launch_template",
            "launch_template_sha256",
            "instance_type",
            "purchase",
            "count",
            "replicas_per_machine",
            "machines_per_replica",
            "target_ports",
            "health_check_path",
            "health_check_port",
            "origins_ppm",
        ],
    }
}

/// Attributes that a kind may have besides those that it needs.
const fn optional(kind: ResourceKind) -> &'static [&'static str] {
    match kind {
        ResourceKind::Network | ResourceKind::Firewall => &[],
        ResourceKind::LaunchTemplate => &[
            "accelerator",
            "api_keys",
            "artifacts_at",
            "dataset_at",
            "engine",
            "engines",
            "environment_sha256",
            "environments_sha256",
            "federation",
            "measured",
            "model",
            "pipeline",
            "port",
            "server",
            "training",
        ],
        ResourceKind::LoadBalancer => {
            &["health_check_port", "overflow", "part", "prevent_destroy", "stickiness", "tls_certificate"]
        }
        ResourceKind::Fleet => &[
            "accelerator",
            "commitment",
            "commitment_id",
            "commitment_kind",
            "health_check_port",
            "load_balancer",
            "machines_in_zones",
            "max_count",
            "max_surge",
            "max_unavailable",
            "min_count",
            "schedule",
            "stands_in_for",
            "target_ports",
            "targets",
            "time_zone",
        ],
        ResourceKind::JobRun => &[
            "accelerator",
            "after",
            "commitment",
            "commitment_id",
            "commitment_kind",
            "deadline_s",
            "events_per_hour",
            "input_sha256",
            "items",
            "restart",
            "rounds",
            "schedule",
            "shards",
            "site",
            "tokens",
            "trigger_ms",
        ],
        ResourceKind::EdgeUnit => &[
            "accelerator",
            "max_count",
            "min_count",
            "prevent_destroy",
            "schedule",
            "stickiness",
            "time_zone",
        ],
    }
}

/// Whether a kind has an attribute, by the documentation of the vocabulary in `rhumb::graph`.
fn known(kind: ResourceKind, name: &str) -> bool {
    name == "account" || [OF_EVERY_KIND, required(kind), optional(kind)].concat().contains(&name)
}

/// Whether a change of this attribute needs another thing; as in `rhumb::plan`, which plans the replacement.
pub fn forces_replacement(kind: ResourceKind, name: &str) -> bool {
    let forcing: &[&str] = match kind {
        ResourceKind::Network => &["address_range"],
        ResourceKind::Firewall => &["network"],
        ResourceKind::LaunchTemplate => &["instance_type"],
        ResourceKind::LoadBalancer => &["network", "exposure"],
        ResourceKind::Fleet => &["network", "instance_type", "purchase"],
        ResourceKind::JobRun => &[
            "network",
            "instance_type",
            "purchase",
            "launch_template",
            "launch_template_sha256",
            "input_sha256",
        ],
        ResourceKind::EdgeUnit => &["site", "instance_type"],
    };
    name == "account" || forcing.contains(&name)
}

/// The addresses that attributes name, each with the kind of what is there. A thing stands on these: they are in
/// its order's `needs`, in its region, and cannot be removed before it.
///
/// The fleets of an `overflow` are not among them (they stand on the load balancer), nor is the pool that a fleet
/// stands in for, nor runs that come first.
pub fn references(resource: &Resource) -> BTreeSet<(String, ResourceKind)> {
    let mut all = BTreeSet::new();
    let named = [
        ("network", ResourceKind::Network),
        ("firewall", ResourceKind::Firewall),
        ("launch_template", ResourceKind::LaunchTemplate),
        ("load_balancer", ResourceKind::LoadBalancer),
    ];
    for (name, kind) in named {
        if let Some(address) = text(&resource.attributes, name) {
            all.insert((address.to_owned(), kind));
        }
    }
    if let Some(Attr::Map(targets)) = resource.attributes.get("targets") {
        all.extend(targets.keys().map(|address| (address.to_owned(), ResourceKind::LoadBalancer)));
    }
    if let Some(Attr::List(inbound)) = resource.attributes.get("inbound") {
        for rule in inbound {
            if let Attr::Map(rule) = rule
                && let Some(address) = text(rule, "firewall")
            {
                all.insert((address.to_owned(), ResourceKind::Firewall));
            }
        }
    }
    all
}

fn invalid(message: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Invalid, message)
}

/// Whether an order is right in itself.
pub fn check(order: &Order, world: &World) -> Result<(), ProviderError> {
    let resource = &order.resource;
    check_resource(resource, world)?;
    if order.tags.lineage.is_empty() {
        return Err(invalid("the lineage is empty"));
    }
    for (address, kind) in references(resource) {
        if !order.needs.keys().any(|need| need.as_str() == address) {
            return Err(invalid(format!("`{address}`, a {kind}, is named and no id of it is given")));
        }
    }
    Ok(())
}

/// Whether there are things of a kind on a cloud.
const fn stands(cloud: Cloud, kind: ResourceKind) -> bool {
    match kind {
        ResourceKind::LaunchTemplate | ResourceKind::JobRun => true,
        ResourceKind::EdgeUnit => matches!(cloud, Cloud::Site),
        ResourceKind::Network | ResourceKind::Firewall | ResourceKind::LoadBalancer | ResourceKind::Fleet => {
            !matches!(cloud, Cloud::Site)
        }
    }
}

/// Everything that there can be, on every cloud and at sites: whatever it runs.
pub fn capabilities() -> &'static [Capability] {
    static TABLE: LazyLock<Vec<Capability>> = LazyLock::new(|| {
        let of = |cloud| {
            let kinds = ResourceKind::ALL.into_iter().filter(move |kind| stands(cloud, *kind));
            kinds.map(move |kind| Capability::all(cloud, kind))
        };
        CLOUDS.into_iter().flat_map(of).collect()
    });
    &TABLE
}

/// Whether a resource is one that there can be in a world, whoever orders it.
pub fn check_resource(resource: &Resource, world: &World) -> Result<(), ProviderError> {
    check_place(resource.cloud, &resource.region, world)?;
    let at_site = resource.cloud == Cloud::Site;
    if !stands(resource.cloud, resource.kind) {
        return Err(invalid(match at_site {
            true => format!("there is no {} at a site", resource.kind),
            false => "an edge unit stands at a site".to_owned(),
        }));
    }
    let attributes = &resource.attributes;
    for name in OF_EVERY_KIND.iter().chain(required(resource.kind)) {
        let excused = at_site && matches!(*name, "network" | "firewall");
        if !excused && !attributes.contains_key(name) {
            return Err(invalid(format!("a {} needs `{name}`", resource.kind)));
        }
    }
    if let Some(name) = attributes.keys().find(|name| !known(resource.kind, name)) {
        return Err(invalid(format!("a {} has no `{name}`", resource.kind)));
    }
    check_alternatives(resource, at_site)?;
    check_values(resource, world)
}

/// Whether a cloud has the region.
pub fn check_place(cloud: Cloud, region: &str, world: &World) -> Result<(), ProviderError> {
    match world.regions.get(&cloud) {
        Some(regions) if !regions.contains(region) => {
            Err(invalid(format!("{cloud} has no region `{region}`")))
        }
        _ if region.is_empty() => Err(invalid("the region is empty")),
        _ => Ok(()),
    }
}

/// Attributes of which one of several is needed.
fn check_alternatives(resource: &Resource, at_site: bool) -> Result<(), ProviderError> {
    let any = |names: &[&str]| names.iter().any(|name| resource.attributes.contains_key(name));
    let needed: &[&str] = match resource.kind {
        ResourceKind::Fleet => &["load_balancer", "targets"],
        ResourceKind::JobRun if at_site && !any(&["site"]) => &["site"],
        ResourceKind::JobRun => &["deadline_s", "restart"],
        _ => return Ok(()),
    };
    if any(needed) { Ok(()) } else { Err(invalid(format!("a {} needs {needed:?}", resource.kind))) }
}

fn check_values(resource: &Resource, world: &World) -> Result<(), ProviderError> {
    let attributes = &resource.attributes;
    for name in ["network", "firewall", "launch_template", "load_balancer", "instance_type", "purchase"] {
        if !matches!(attributes.get(name), None | Some(Attr::Text(_))) {
            return Err(invalid(format!("`{name}` is a text")));
        }
    }
    if let Some(name) = text(attributes, "instance_type")
        && let Some(types) = world.instance_types.get(&resource.cloud)
        && !types.contains(name)
    {
        return Err(invalid(format!("{} has no instance type `{name}`", resource.cloud)));
    }
    if !has_machines(resource.kind) {
        return Ok(());
    }
    if purchase(attributes).is_none() {
        return Err(invalid("`purchase` is none"));
    }
    if number(attributes, "count").is_none() {
        return Err(invalid("`count` is a number of machines"));
    }
    Schedule::of(resource.kind, attributes).map_err(invalid)?;
    let rolling = ["max_surge", "max_unavailable"];
    match rolling.map(|name| (attributes.contains_key(name), number(attributes, name))) {
        [(false, _), (false, _)] => Ok(()),
        [(_, Some(surge)), (_, Some(missing))] if surge > 0 || missing > 0 => Ok(()),
        _ => Err(invalid(format!("{rolling:?} are numbers of machines, not both 0"))),
    }
}

/// The attribute that keeps a thing from becoming what is ordered, if one does.
pub fn forcing<'a>(kind: ResourceKind, from: &'a Attributes, to: &'a Attributes) -> Option<&'a str> {
    from.differing(to).find(|name| forces_replacement(kind, name))
}
