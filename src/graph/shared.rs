//! Machines that services share, as resources (decision 12).
//!
//! The pools of a fleet have their ports one after the other, in its order and each as many as it may have replicas on
//! one machine: a port depends on nothing that differs between machines, so that a load balancer has fixed ones.
//! Accelerators are given out in the same order, without gaps.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, Attributes, Cloud, Resource, ResourceAddr, ResourceKind};

use super::attributes::{ADDRESS_RANGE, Builder, ENGINE_PORT, HEALTH_PATH, SHARED, parts};
use super::{Graph, Unplaced, engine};
use crate::placement::{Mix, OnShared, Placement, Pool, SharedFleet};
use crate::spec::{Model, Service, Spec};

/// The part `kind` of what the shared machines of a region have together, or of what a workload has there.
pub(super) fn part(root: &str, cloud: Cloud, region: &str, kind: ResourceKind) -> Option<ResourceAddr> {
    let root = ResourceAddr::parse(root).ok()?;
    Some(root.child(cloud.as_str()).child(region).child(kind.as_str()))
}

/// A pool of a fleet, with what its engines need.
struct Seat<'a> {
    pool: &'a Pool,
    shared: &'a OnShared,
    workload: &'a str,
    service: &'a Service,
    model: &'a Model,
    first_port: i64,
}

impl Seat<'_> {
    fn of_service(&self, kind: ResourceKind) -> Option<ResourceAddr> {
        part(self.workload, self.pool.cloud, &self.pool.region, kind)
    }

    fn ports(&self, replicas: u32) -> impl Iterator<Item = i64> + use<> {
        let first = self.first_port;
        (0..i64::from(replicas)).map(move |i| first + i)
    }

    fn engine(&self, replicas: u32, first_device: i64) -> Attr {
        let each = i64::from(self.shared.accelerators);
        let one = |(i, port): (usize, i64)| {
            let first = first_device + i as i64 * each;
            let devices = (first..first + each).map(Attr::Int).collect();
            Builder::default().with("port", port).with("accelerators", Attr::List(devices)).map()
        };
        let artifacts = self.model.artifacts_at.as_ref().map(|r| format!("{}/{}", r.cloud, r.region));
        Builder::default()
            .with("workload", self.workload)
            .with("port", self.first_port)
            .with("replicas", Attr::List(self.ports(replicas).enumerate().map(one).collect()))
            .with("model", engine::model(self.model, self.pool))
            .with("engine", engine::engine(self.pool))
            .maybe("artifacts_at", artifacts)
            .maybe("api_keys", self.service.endpoint.api_keys.as_deref())
            .map()
    }
}

/// The pools of a fleet, in its order; `None` for one that graph, spec or placement do not have.
fn seats<'a>(
    of: &'a Graph<Unplaced>,
    spec: &'a Spec,
    placement: &'a Placement,
    fleet: &'a SharedFleet,
) -> Vec<Option<Seat<'a>>> {
    let mut next = ENGINE_PORT;
    let seat = |shared: &'a crate::placement::SharedPool| {
        let workload = placement.workloads.get(&shared.workload)?;
        let pool = workload.pools.iter().find(|p| p.addr == shared.addr)?;
        let on = pool.shared.as_ref()?;
        let first_port = next;
        next += i64::from(on.most_per_machine);
        let Unplaced::Service(name) = of.get(&shared.workload)? else { return None };
        let service = spec.services.get(name)?;
        let model = spec.models.get(&service.model)?;
        Some(Seat { pool, shared: on, workload: &shared.workload, service, model, first_port })
    };
    fleet.pools.iter().map(seat).collect()
}

/// What is on each machine of a mix, as part of an address: `2xchat+1xsearch`. It names no machine and no other mix.
fn name(fleet: &SharedFleet, mix: &Mix) -> String {
    let mut on: Vec<(&ResourceAddr, String)> = fleet
        .pools
        .iter()
        .zip(&mix.replicas)
        .filter(|(_, n)| **n > 0)
        .map(|(pool, n)| {
            let service = pool.workload.split_once('.').map_or(pool.workload.as_str(), |(_, name)| name);
            // Behind workload, cloud, region and type: what keeps pools of one service there apart.
            let apart: String = pool.addr.as_str().split('/').skip(4).map(|s| format!(".{s}")).collect();
            (&pool.addr, format!("{n}x{service}{apart}"))
        })
        .collect();
    if on.is_empty() {
        return "empty".to_owned();
    }
    on.sort();
    on.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("+")
}

/// Address of the machines of a mix.
pub fn mix_address(fleet: &SharedFleet, mix: &Mix) -> ResourceAddr {
    fleet.addr.child(&name(fleet, mix))
}

fn common(spec: &Spec, cloud: Cloud) -> Builder {
    let labels = spec.labels.iter().map(|(k, v)| (k.clone(), Attr::from(v.as_str()))).collect();
    let account = spec.providers.get(&cloud).and_then(|p| p.account.as_deref());
    Builder::default()
        .with("deployment", spec.name.as_str())
        .with("workload", SHARED)
        .with("labels", Attr::Map(labels))
        .maybe("account", account)
}

fn put(
    graph: &mut Graph<Resource>,
    addr: &ResourceAddr,
    kind: ResourceKind,
    fleet: &SharedFleet,
    what: Attributes,
) {
    let resource = Resource { kind, cloud: fleet.cloud, region: fleet.region.clone(), attributes: what };
    graph.add(addr.as_str(), resource);
}

/// The networks of the regions with shared machines. Services that have pools on them are there whole.
pub(super) fn networks(spec: &Spec, placement: &Placement, graph: &mut Graph<Resource>) {
    let mut zones: BTreeMap<(Cloud, &str), u32> = BTreeMap::new();
    for fleet in &placement.fleets {
        let most = zones.entry((fleet.cloud, &fleet.region)).or_insert(1);
        *most = (*most).max(fleet.zones);
        for placed in placement.workloads.values() {
            let here = || placed.pools.iter().filter(|p| p.cloud == fleet.cloud && p.region == fleet.region);
            if here().any(|p| p.shared.is_some()) {
                *most = here().filter(|p| p.shared.is_none()).map(|p| p.zones).fold(*most, u32::max);
            }
        }
    }
    for fleet in &placement.fleets {
        let Some(addr) = part(SHARED, fleet.cloud, &fleet.region, ResourceKind::Network) else { continue };
        let zones = zones.get(&(fleet.cloud, fleet.region.as_str())).copied().unwrap_or(1);
        let attributes =
            common(spec, fleet.cloud).with("address_range", ADDRESS_RANGE).number("zones", zones).finish();
        put(graph, &addr, ResourceKind::Network, fleet, attributes);
    }
}

/// The firewalls and the machines, once the load balancers of the services are there.
pub(super) fn fleets(of: &Graph<Unplaced>, spec: &Spec, placement: &Placement, graph: &mut Graph<Resource>) {
    let mut guarded: BTreeSet<(Cloud, &str)> = BTreeSet::new();
    for fleet in &placement.fleets {
        let place = |kind| part(SHARED, fleet.cloud, &fleet.region, kind);
        let (Some(network), Some(firewall)) = (place(ResourceKind::Network), place(ResourceKind::Firewall))
        else {
            continue;
        };
        if guarded.insert((fleet.cloud, &fleet.region)) {
            let here = placement.fleets.iter().filter(|f| f.cloud == fleet.cloud && f.region == fleet.region);
            let seats: Vec<Seat<'_>> = here.flat_map(|f| seats(of, spec, placement, f)).flatten().collect();
            let attributes = firewall_attributes(spec, fleet.cloud, &network, &seats);
            put(graph, &firewall, ResourceKind::Firewall, fleet, attributes);
            graph.connect(firewall.as_str(), network.as_str(), "in");
            for admitted in seats.iter().filter_map(|s| s.of_service(ResourceKind::Firewall)) {
                graph.connect(firewall.as_str(), admitted.as_str(), "admits");
            }
        }
        let seats = seats(of, spec, placement, fleet);
        for mix in &fleet.mixes {
            let machines = Machines { spec, fleet, mix, seats: &seats, network: &network };
            let addr = mix_address(fleet, mix);
            let template = addr.child(ResourceKind::LaunchTemplate.as_str());
            put(graph, &template, ResourceKind::LaunchTemplate, fleet, machines.template(&firewall));
            graph.connect(template.as_str(), network.as_str(), "in");
            graph.connect(template.as_str(), firewall.as_str(), "guarded_by");
            put(graph, &addr, ResourceKind::Fleet, fleet, machines.fleet(&template));
            graph.connect(addr.as_str(), template.as_str(), "starts_from");
            graph.connect(addr.as_str(), network.as_str(), "in");
            for (seat, _) in machines.on() {
                if let Some(balancer) = seat.of_service(ResourceKind::LoadBalancer) {
                    graph.connect(addr.as_str(), balancer.as_str(), "behind");
                }
            }
        }
    }
}

fn firewall_attributes(spec: &Spec, cloud: Cloud, network: &ResourceAddr, seats: &[Seat<'_>]) -> Attributes {
    let rule = |seat: &Seat<'_>| {
        let admitted = seat.of_service(ResourceKind::Firewall)?;
        let last = seat.ports(seat.shared.most_per_machine).last()?;
        Some((admitted, seat.first_port, last))
    };
    let rules: BTreeSet<(ResourceAddr, i64, i64)> = seats.iter().filter_map(rule).collect();
    let inbound = rules
        .into_iter()
        .map(|(admitted, first, last)| {
            Builder::default()
                .with("from", "load_balancer")
                .with("firewall", admitted.as_str())
                .with("to", "machines")
                .with("protocol", "tcp")
                .number("first_port", first)
                .number("last_port", last)
                .map()
        })
        .collect();
    common(spec, cloud)
        .with("network", network.as_str())
        .with("inbound", Attr::List(inbound))
        .with("outbound", "any")
        .finish()
}

/// The machines of a mix.
struct Machines<'a> {
    spec: &'a Spec,
    fleet: &'a SharedFleet,
    mix: &'a Mix,
    seats: &'a [Option<Seat<'a>>],
    network: &'a ResourceAddr,
}

impl Machines<'_> {
    /// What is on each of them, and how often.
    fn on(&self) -> impl Iterator<Item = (&Seat<'_>, u32)> {
        let all = self.seats.iter().zip(&self.mix.replicas);
        all.filter(|(_, n)| **n > 0).filter_map(|(seat, n)| Some((seat.as_ref()?, *n)))
    }

    /// What template and fleet both say.
    fn both(&self) -> Builder {
        let engines: u32 = self.on().map(|(_, n)| n).sum();
        common(self.spec, self.fleet.cloud)
            .with("network", self.network.as_str())
            .with("instance_type", self.fleet.instance_type.as_str())
            .maybe("accelerator", self.fleet.accelerator.as_deref())
            .number("replicas_per_machine", engines)
            .number("machines_per_replica", 1)
    }

    fn template(&self, firewall: &ResourceAddr) -> Attributes {
        let mut engines = Attributes::default();
        let mut device = 0;
        for (seat, replicas) in self.on() {
            engines.insert(seat.pool.addr.as_str(), seat.engine(replicas, device));
            device += i64::from(replicas) * i64::from(seat.shared.accelerators);
        }
        let whole = f64::from(self.fleet.accelerators_per_machine);
        self.both()
            .with("firewall", firewall.as_str())
            .with("accelerators_per_machine_permille", parts(whole, 1000.0))
            .with("engines", Attr::Map(engines))
            .finish()
    }

    fn fleet(&self, template: &ResourceAddr) -> Attributes {
        let mut targets: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        for (seat, replicas) in self.on() {
            if let Some(balancer) = seat.of_service(ResourceKind::LoadBalancer) {
                targets.entry(balancer.to_string()).or_default().extend(seat.ports(replicas));
            }
        }
        let list = |ports: BTreeSet<i64>| Attr::List(ports.into_iter().map(Attr::Int).collect());
        let zones = self.fleet.zones.max(1);
        let mut in_zone: BTreeMap<u32, i64> = BTreeMap::new();
        for machine in &self.mix.machines {
            *in_zone.entry(machine % zones).or_default() += 1;
        }
        let in_zones = (0..zones).map(|z| Attr::Int(in_zone.get(&z).copied().unwrap_or(0))).collect();
        self.both()
            .with("launch_template", template.as_str())
            .with("purchase", self.fleet.purchase.as_str())
            .with("count", self.mix.machines.len() as i64)
            .number("zones", zones)
            .with("machines_in_zones", Attr::List(in_zones))
            .with("health_check_path", HEALTH_PATH)
            .with("targets", Attr::Map(targets.into_iter().map(|(k, v)| (k, list(v))).collect()))
            .finish()
    }
}
