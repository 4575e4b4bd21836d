//! Orders of each kind that are right, as small as they can be.

use std::collections::BTreeMap;

use crate::{Attr, Attributes, Cloud, Order, Resource, ResourceAddr, ResourceKind, Tags, Token};

/// The lineage of everything that is ordered here.
pub const LINEAGE: &str = "00000000-0000-4000-8000-000000000001";

/// The secret that samples name where one is asked for; it exists unless the double was told otherwise.
pub const SECRET: &str = "env:SAMPLE_KEYS";

/// A lineage of its own for each number.
pub(super) fn lineage(number: u64) -> String {
    format!("00000000-0000-4000-8000-{:012x}", number.wrapping_add(0x100))
}

/// Where samples are ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The cloud, or a site.
    pub cloud: Cloud,
    /// Its region, or the site's name.
    pub region: String,
    /// A type of machine that there is.
    pub instance_type: String,
}

/// The kinds that a place has, each after what it stands on.
pub fn kinds(place: &Place) -> &'static [ResourceKind] {
    match place.cloud {
        Cloud::Site => &[ResourceKind::LaunchTemplate, ResourceKind::EdgeUnit, ResourceKind::JobRun],
        _ => &[
            ResourceKind::Network,
            ResourceKind::Firewall,
            ResourceKind::LaunchTemplate,
            ResourceKind::LoadBalancer,
            ResourceKind::Fleet,
            ResourceKind::JobRun,
        ],
    }
}

/// A token of its own for each number.
pub fn token(number: u64) -> Token {
    match Token::parse(format!("{number:032x}")) {
        Ok(token) => token,
        Err(_) => unreachable!("32 hexadecimal digits are a token"),
    }
}

/// The address of the sample of a kind.
pub fn address(place: &Place, kind: ResourceKind) -> ResourceAddr {
    let root = match ResourceAddr::parse("services.sample") {
        Ok(root) => root,
        Err(_) => unreachable!("a name is an address"),
    };
    root.child(place.cloud.as_str()).child(&place.region).child(kind.as_str())
}

/// The attributes of the sample of a kind; fleets and units have two machines, runs one.
pub fn attributes(place: &Place, kind: ResourceKind) -> Attributes {
    let at_site = place.cloud == Cloud::Site;
    let named = |kind| Attr::from(address(place, kind).as_str());
    let number = |n: i64| Attr::Int(n);
    let digest = || Attr::from("0".repeat(64));
    let mut all = Attributes::default();
    let mut set = |name: &str, value: Attr| {
        all.insert(name, value);
    };
    set("deployment", "sample".into());
    set("workload", "services.sample".into());
    set("labels", Attr::Map([("team".to_owned(), Attr::from("sample"))].into()));
    let machines = matches!(kind, ResourceKind::Fleet | ResourceKind::JobRun | ResourceKind::EdgeUnit);
    if !at_site && kind != ResourceKind::Network {
        set("network", named(ResourceKind::Network));
    }
    if !at_site && matches!(kind, ResourceKind::LaunchTemplate | ResourceKind::LoadBalancer) {
        set("firewall", named(ResourceKind::Firewall));
    }
    if machines {
        set("launch_template", named(ResourceKind::LaunchTemplate));
        set("launch_template_sha256", digest());
        set("purchase", "on_demand".into());
        set("count", number(if kind == ResourceKind::JobRun { 1 } else { 2 }));
    }
    if machines || kind == ResourceKind::LaunchTemplate {
        set("instance_type", place.instance_type.as_str().into());
        set("replicas_per_machine", number(1));
        set("machines_per_replica", number(1));
    }
    if at_site && machines {
        set("site", place.region.as_str().into());
    }
    match kind {
        ResourceKind::Network => {
            set("address_range", "10.64.0.0/16".into());
            set("zones", number(2));
        }
        ResourceKind::Firewall => {
            let rule = [
                ("from", Attr::from("internet")),
                ("to", "load_balancer".into()),
                ("protocol", "tcp".into()),
                ("first_port", number(80)),
                ("last_port", number(80)),
            ];
            let rule = rule.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            set("inbound", Attr::List(vec![Attr::Map(rule)]));
            set("outbound", "any".into());
        }
        ResourceKind::LaunchTemplate => {
            set("accelerators_per_machine_permille", number(0));
            set("port", number(8000));
            set("start_script_sha256", digest());
            set("environment_sha256", digest());
        }
        ResourceKind::LoadBalancer => {
            set("exposure", "private".into());
            set("protocol", "http".into());
            set("port", number(80));
            set("health_check_path", "/health".into());
            set("health_check_port", number(8000));
            set("origins_ppm", Attr::Map([("origin".to_owned(), number(1_000_000))].into()));
        }
        ResourceKind::Fleet => {
            set("load_balancer", named(ResourceKind::LoadBalancer));
            set("zones", number(2));
            set("health_check_path", "/health".into());
            set("health_check_port", number(8000));
            set("target_ports", Attr::List(vec![number(8000)]));
        }
        ResourceKind::JobRun => {
            set("zones", number(1));
            set("items", number(1_000));
            set("deadline_s", number(3_600));
        }
        ResourceKind::EdgeUnit => {
            set("health_check_path", "/health".into());
            set("health_check_port", number(8000));
            set("target_ports", Attr::List(vec![number(8000)]));
            set("origins_ppm", Attr::Map([("origin".to_owned(), number(1_000_000))].into()));
        }
    }
    all
}

/// An order of the sample of a kind by an intent. `ids` are the clouds' ids by kind of what exists; those that the
/// sample stands on are taken from it.
pub fn order(place: &Place, kind: ResourceKind, token: Token, ids: &BTreeMap<ResourceKind, String>) -> Order {
    let attributes = attributes(place, kind);
    let mut needs = BTreeMap::new();
    for (needed, id) in ids {
        if attributes.contains_key(needed.as_str()) && *needed != kind {
            needs.insert(address(place, *needed), id.clone());
        }
    }
    Order {
        tags: Tags { lineage: LINEAGE.to_owned(), address: address(place, kind), token },
        resource: Resource { kind, cloud: place.cloud, region: place.region.clone(), attributes },
        needs,
        files: BTreeMap::new(),
        takes_over: None,
    }
}

/// The attributes of the sample of a kind after a change that it can take without being made anew: one has another
/// value, labels are added, and where the kind has one that it can do without, that is gone.
pub fn changed(place: &Place, kind: ResourceKind) -> Attributes {
    let mut all = attributes(place, kind);
    let label = |name: &str, value: &str| (name.to_owned(), Attr::from(value));
    all.insert("labels", Attr::Map([label("team", "other"), label("tier", "second")].into()));
    let (name, value, gone) = match kind {
        ResourceKind::Network => ("zones", Attr::Int(3), None),
        ResourceKind::Firewall => ("inbound", Attr::List(Vec::new()), None),
        ResourceKind::LaunchTemplate => {
            ("start_script_sha256", Attr::from("1".repeat(64)), Some("environment_sha256"))
        }
        ResourceKind::LoadBalancer => ("health_check_path", "/ready".into(), Some("health_check_port")),
        ResourceKind::Fleet => ("count", Attr::Int(3), Some("health_check_port")),
        ResourceKind::JobRun => ("count", Attr::Int(2), Some("items")),
        ResourceKind::EdgeUnit => ("count", Attr::Int(3), None),
    };
    all.insert(name, value);
    if let Some(gone) = gone {
        all.remove(gone);
    }
    all
}

/// Resources that no adapter can deploy, each with what is wrong with it: samples that lack something, have something
/// unknown or of the wrong sort, and those of kinds that the place does not have.
pub fn spoiled(place: &Place) -> Vec<(String, Resource)> {
    let sample = |kind| Resource {
        kind,
        cloud: place.cloud,
        region: place.region.clone(),
        attributes: attributes(place, kind),
    };
    let mut all = Vec::new();
    for kind in ResourceKind::ALL {
        if !kinds(place).contains(&kind) {
            all.push((format!("a {kind}, of which there is none on {}", place.cloud), sample(kind)));
            continue;
        }
        let mut more = sample(kind);
        more.attributes.insert("no_such_attribute", Attr::Int(1));
        all.push((format!("a {kind} with an unknown attribute"), more));
        let needed = match kind {
            ResourceKind::Network => "address_range",
            ResourceKind::Firewall => "inbound",
            ResourceKind::LaunchTemplate => "instance_type",
            ResourceKind::LoadBalancer => "port",
            ResourceKind::Fleet | ResourceKind::JobRun | ResourceKind::EdgeUnit => "purchase",
        };
        let mut less = sample(kind);
        less.attributes.remove(needed);
        all.push((format!("a {kind} without `{needed}`"), less));
        if sample(kind).attributes.contains_key("count") {
            let mut other = sample(kind);
            other.attributes.insert("count", "two".into());
            all.push((format!("a {kind} whose `count` is a text"), other));
        }
    }
    all
}
