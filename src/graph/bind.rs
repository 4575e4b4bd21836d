//! A placement as a graph of resources.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, Attributes, Cloud, Purchase, Resource, ResourceAddr, ResourceKind};

use super::attributes::{ADDRESS_RANGE, Builder, ENGINE_PORT, HEALTH_PATH, SHARED, parts};
use super::following::{following, rolling};
use super::{Graph, Unplaced, engine, federation, input, part, pipeline, profile, shared, training};
use crate::diagnostic::Pointer;
use crate::placement::{Placement, Pool, PoolMachines, WorkloadPlacement};
use crate::spec::{
    Batch, Endpoint, Exposure, Federation, Model, NO_MODEL, Pipeline, Profiled, SAVINGS_PLAN, Schedule,
    Service, Spec, Training,
};

/// A workload of the spec.
#[derive(Clone, Copy)]
enum Workload<'a> {
    Service(&'a Service),
    /// A service with a profile.
    Profiled(&'a Profiled),
    Batch(&'a Batch),
    Training(&'a Training),
    Pipeline(&'a Pipeline),
    Federation(&'a Federation),
}

impl<'a> Workload<'a> {
    /// Where clients reach it; `None` of what answers nobody.
    fn endpoint(self) -> Option<&'a Endpoint> {
        match self {
            Workload::Service(service) => Some(&service.endpoint),
            Workload::Profiled(profiled) => Some(&profiled.endpoint),
            Workload::Batch(_) | Workload::Training(_) | Workload::Pipeline(_) | Workload::Federation(_) => {
                None
            }
        }
    }

    /// Whether the turns of a conversation go to one replica.
    fn sticks(self) -> bool {
        matches!(self, Workload::Service(service) if service.traffic.sessions.is_some())
    }
}

/// A workload in one region, and the addresses of what its pools there share.
struct Region<'a> {
    spec: &'a Spec,
    address: &'a str,
    workload: Workload<'a>,
    cloud: Cloud,
    region: &'a str,
    pools: Vec<(usize, &'a Pool)>,
    /// That of the shared machines, if one of its pools is on them.
    network: ResourceAddr,
    firewall: ResourceAddr,
    load_balancer: ResourceAddr,
}

impl Graph<Unplaced> {
    /// Adds a placement: everything that is to exist, by address.
    ///
    /// Per workload and region there are a network, a firewall and, for a service, a load balancer; per
    /// pool a launch template and, per purchase option, a fleet or, for a batch, a training, a pipeline or a federation, a run. A workload that
    /// the graph, the spec or the placement does not have gives nothing.
    ///
    /// The shared machines of a region have a network and a firewall, and for each mix of replicas on them a launch template
    /// and a fleet; a service with a pool on them has no network of its own there.
    ///
    /// The launch templates are complete once [`crate::render::with_hashes`] has added the hashes of their
    /// files.
    #[must_use]
    pub fn bind(&self, spec: &Spec, placement: &Placement) -> Graph<Resource> {
        let mut graph = Graph::default();
        shared::networks(spec, placement, &mut graph);
        for (address, chosen) in &placement.workloads {
            let workload = match self.get(address) {
                Some(Unplaced::Service(name)) => match spec.profiled.get(name) {
                    Some(profiled) => Some(Workload::Profiled(profiled)),
                    None => spec.services.get(name).map(Workload::Service),
                },
                Some(Unplaced::Batch(name)) => spec.batches.get(name).map(Workload::Batch),
                Some(Unplaced::Training(name)) => spec.trainings.get(name).map(Workload::Training),
                Some(Unplaced::Pipeline(name)) => spec.pipelines.get(name).map(Workload::Pipeline),
                Some(Unplaced::Federation(name)) => spec.federations.get(name).map(Workload::Federation),
                _ => None,
            };
            let Some(workload) = workload else { continue };
            for region in regions(spec, address, workload, chosen) {
                region.add_to(&mut graph, chosen);
            }
            if let Workload::Federation(_) = workload {
                join(chosen, &mut graph);
            }
        }
        self.order_runs(placement, &mut graph);
        shared::fleets(self, spec, placement, &mut graph);
        graph
    }

    /// A run needs every run that it comes after.
    fn order_runs(&self, placement: &Placement, graph: &mut Graph<Resource>) {
        let runs = |address: &str| -> Vec<String> {
            let pools = placement.workloads.get(address).map_or(&[][..], |w| &w.pools);
            pools.iter().flat_map(|p| purchases(p).map(|m| p.addr.child(m.0.as_str()).to_string())).collect()
        };
        for edge in self.edges_of("after") {
            for from in runs(edge.from) {
                for to in runs(edge.to) {
                    graph.connect(&from, &to, "after");
                }
            }
        }
    }
}

/// Every client of a federation needs its aggregator.
fn join(chosen: &WorkloadPlacement, graph: &mut Graph<Resource>) {
    let runs = |clients: bool| {
        let pools = chosen.pools.iter().filter(move |p| (p.cloud == Cloud::Site) == clients);
        pools.flat_map(|p| purchases(p).map(|m| p.addr.child(m.0.as_str()).to_string()))
    };
    for client in runs(true) {
        for aggregator in runs(false) {
            graph.connect(&client, &aggregator, "joins");
        }
    }
}

/// Purchase options of a pool that have machines in some hour, and their number at the peak.
fn purchases(pool: &Pool) -> impl Iterator<Item = (Purchase, u32)> {
    let most = |i: usize| {
        pool.following.iter().flat_map(|f| &f.classes).filter_map(move |c| c.machines.get(i)).max()
    };
    let used = move |(i, m): &(usize, &PoolMachines)| m.count > 0 || most(*i).is_some_and(|n| *n > 0);
    pool.machines.iter().enumerate().filter(used).map(|(_, m)| (m.purchase, m.count))
}

fn regions<'a>(
    spec: &'a Spec,
    address: &'a str,
    workload: Workload<'a>,
    chosen: &'a WorkloadPlacement,
) -> Vec<Region<'a>> {
    let mut grouped: BTreeMap<(Cloud, &str), Vec<(usize, &Pool)>> = BTreeMap::new();
    for (index, pool) in chosen.pools.iter().enumerate() {
        grouped.entry((pool.cloud, &pool.region)).or_default().push((index, pool));
    }
    let Ok(root) = ResourceAddr::parse(address) else { return Vec::new() };
    grouped
        .into_iter()
        .map(|((cloud, region), pools)| {
            let here = root.child(cloud.as_str()).child(region);
            let shares = pools.iter().any(|(_, p)| p.shared.is_some());
            let common = shared::part(SHARED, cloud, region, ResourceKind::Network).filter(|_| shares);
            Region {
                spec,
                address,
                workload,
                cloud,
                region,
                pools,
                network: common.unwrap_or_else(|| here.child(ResourceKind::Network.as_str())),
                firewall: here.child(ResourceKind::Firewall.as_str()),
                load_balancer: here.child(ResourceKind::LoadBalancer.as_str()),
            }
        })
        .collect()
}

impl<'a> Region<'a> {
    fn add_to(&self, graph: &mut Graph<Resource>, chosen: &WorkloadPlacement) {
        if self.cloud == Cloud::Site {
            return self.add_at_site(graph, chosen);
        }
        if !self.shares() {
            self.put(graph, &self.network, ResourceKind::Network, self.network_attributes());
        }
        self.put(graph, &self.firewall, ResourceKind::Firewall, self.firewall_attributes());
        graph.connect(self.firewall.as_str(), self.network.as_str(), "in");
        if let Some(endpoint) = self.workload.endpoint() {
            let attributes = self.load_balancer_attributes(endpoint, chosen);
            self.put(graph, &self.load_balancer, ResourceKind::LoadBalancer, attributes);
            graph.connect(self.load_balancer.as_str(), self.network.as_str(), "in");
            graph.connect(self.load_balancer.as_str(), self.firewall.as_str(), "guarded_by");
        }
        for pool in self.own() {
            let Some(model) = self.model(pool) else { continue };
            let template = pool.addr.child(ResourceKind::LaunchTemplate.as_str());
            let run = chosen.run.as_ref();
            let federated = run.and_then(|r| r.federation.as_ref());
            let how = run.map(|r| (r.training.as_ref(), r.pipeline.as_ref()));
            let attributes = match (self.workload, how) {
                (Workload::Training(training), Some((Some(run), _))) => {
                    training::template(self.template(pool, model), pool, (model, training), run)
                }
                (Workload::Pipeline(asked), Some((_, Some(run)))) => {
                    pipeline::template(self.template(pool, model), asked, run)
                }
                (Workload::Profiled(profiled), _) => self.profiled_attributes(pool, profiled, chosen),
                (Workload::Federation(asked), _) => {
                    let Some(run) = federated else { continue };
                    federation::template(self.template(pool, model), asked, pool, run)
                }
                _ => self.template_attributes(pool, model),
            };
            self.put(graph, &template, ResourceKind::LaunchTemplate, attributes);
            graph.connect(template.as_str(), self.network.as_str(), "in");
            graph.connect(template.as_str(), self.firewall.as_str(), "guarded_by");
            for (purchase, count) in purchases(pool) {
                let addr = pool.addr.child(purchase.as_str());
                let common = self.machine_attributes(pool, &template, purchase, count);
                let (kind, attributes) = match self.workload {
                    Workload::Service(_) | Workload::Profiled(_) => {
                        let common = rolling(following(common, pool, purchase), self.spec, self.address);
                        (ResourceKind::Fleet, self.fleet_attributes(common, pool))
                    }
                    Workload::Batch(batch) => {
                        let common = common.with("items", parts(batch.items, 1.0));
                        let deadline = batch.deadline_s;
                        (
                            ResourceKind::JobRun,
                            run_attributes(common, deadline, &batch.schedule, &batch.after),
                        )
                    }
                    Workload::Training(t) => {
                        let common = common.with("tokens", parts(t.tokens(), 1.0));
                        (ResourceKind::JobRun, run_attributes(common, t.deadline_s, &t.schedule, &t.after))
                    }
                    Workload::Pipeline(p) => {
                        (ResourceKind::JobRun, pipeline::run(common.number("shards", p.shards), p, run))
                    }
                    Workload::Federation(f) => (ResourceKind::JobRun, rounds(common, f, chosen)),
                };
                let attributes = match kind {
                    ResourceKind::JobRun => input::identified(attributes, self.spec, self.address),
                    _ => attributes,
                };
                self.put(graph, &addr, kind, attributes);
                graph.connect(addr.as_str(), template.as_str(), "starts_from");
                graph.connect(addr.as_str(), self.network.as_str(), "in");
                if kind == ResourceKind::Fleet {
                    graph.connect(addr.as_str(), self.load_balancer.as_str(), "behind");
                }
            }
        }
    }

    /// What stands at a site has its network and its firewall already, and nobody there makes a load balancer: the machines and what
    /// they start are all that is made.
    fn add_at_site(&self, graph: &mut Graph<Resource>, chosen: &WorkloadPlacement) {
        let service = match self.workload {
            Workload::Service(service) => service,
            Workload::Federation(asked) => return self.add_client(graph, asked, chosen),
            _ => return,
        };
        for pool in self.own() {
            let Some(model) = self.model(pool) else { continue };
            let template = pool.addr.child(ResourceKind::LaunchTemplate.as_str());
            let mut attributes = self.template_attributes(pool, model);
            let mut elsewhere = |key: &str| drop(attributes.remove(key));
            elsewhere("network");
            elsewhere("firewall");
            self.put(graph, &template, ResourceKind::LaunchTemplate, attributes);
            for (purchase, count) in purchases(pool) {
                let addr = pool.addr.child(purchase.as_str());
                let ports = (0..i64::from(replicas_per_machine(pool))).map(|i| Attr::Int(ENGINE_PORT + i));
                let unit = self
                    .common()
                    .with("site", self.region)
                    .with("launch_template", template.as_str())
                    .with("instance_type", pool.instance_type.as_str())
                    .maybe("accelerator", pool.accelerator.as_deref())
                    .with("purchase", purchase.as_str())
                    .number("count", count)
                    .number("replicas_per_machine", replicas_per_machine(pool))
                    .number("machines_per_replica", pool.machines_per_replica)
                    .maybe("stickiness", service.traffic.sessions.map(|_| "session"))
                    .maybe("prevent_destroy", service.endpoint.prevent_destroy.then_some(true))
                    .with("origins_ppm", self.origins(chosen))
                    .with("health_check_path", HEALTH_PATH)
                    .with("health_check_port", ENGINE_PORT)
                    .with("target_ports", Attr::List(ports.collect()));
                self.put(graph, &addr, ResourceKind::EdgeUnit, following(unit, pool, purchase).finish());
                graph.connect(addr.as_str(), template.as_str(), "starts_from");
            }
        }
    }

    /// The same for a client of a federation.
    fn add_client(&self, graph: &mut Graph<Resource>, asked: &Federation, chosen: &WorkloadPlacement) {
        let Some(run) = chosen.run.as_ref().and_then(|r| r.federation.as_ref()) else { return };
        for pool in self.own() {
            let template = pool.addr.child(ResourceKind::LaunchTemplate.as_str());
            let mut attributes = federation::template(self.template(pool, &NO_MODEL), asked, pool, run);
            attributes.remove("network");
            attributes.remove("firewall");
            self.put(graph, &template, ResourceKind::LaunchTemplate, attributes);
            for (purchase, count) in purchases(pool) {
                let addr = pool.addr.child(purchase.as_str());
                let common = self.machine_attributes(pool, &template, purchase, count);
                let mut attributes = rounds(common.with("site", self.region), asked, chosen);
                attributes.remove("network");
                let attributes = input::identified(attributes, self.spec, self.address);
                self.put(graph, &addr, ResourceKind::JobRun, attributes);
                graph.connect(addr.as_str(), template.as_str(), "starts_from");
            }
        }
    }

    /// The pools on machines of their own.
    fn own(&self) -> impl Iterator<Item = &'a Pool> {
        self.pools.iter().map(|(_, p)| *p).filter(|p| p.shared.is_none())
    }

    /// Whether a pool is on shared machines.
    fn shares(&self) -> bool {
        self.pools.iter().any(|(_, p)| p.shared.is_some())
    }

    fn put(
        &self,
        graph: &mut Graph<Resource>,
        addr: &ResourceAddr,
        kind: ResourceKind,
        attributes: Attributes,
    ) {
        let resource = Resource { kind, cloud: self.cloud, region: self.region.to_owned(), attributes };
        graph.add(addr.as_str(), resource);
    }

    /// The model of a pool; of a pipeline and of a service with a profile one that is none.
    fn model(&self, pool: &Pool) -> Option<&'a Model> {
        if let Some(stands_in) = &pool.stands_in {
            return self.spec.models.get(&stands_in.model);
        }
        let name = match self.workload {
            Workload::Service(service) => &service.model,
            Workload::Batch(batch) => &batch.model,
            Workload::Training(training) => &training.model,
            Workload::Pipeline(_) | Workload::Profiled(_) | Workload::Federation(_) => {
                return Some(&NO_MODEL);
            }
        };
        self.spec.models.get(name)
    }

    fn common(&self) -> Builder {
        let labels = match self.workload {
            Workload::Service(service) => &service.labels,
            Workload::Profiled(profiled) => &profiled.labels,
            Workload::Batch(batch) => &batch.labels,
            Workload::Training(training) => &training.labels,
            Workload::Pipeline(pipeline) => &pipeline.labels,
            Workload::Federation(federation) => &federation.labels,
        };
        let labels = labels.iter().map(|(k, v)| (k.clone(), Attr::from(v.as_str()))).collect();
        let account = self.spec.providers.get(&self.cloud).and_then(|p| p.account.as_deref());
        Builder::default()
            .with("deployment", self.spec.name.as_str())
            .with("workload", self.address)
            .with("labels", Attr::Map(labels))
            .maybe("account", account)
    }

    fn network_attributes(&self) -> Attributes {
        let zones = self.pools.iter().map(|(_, p)| p.zones).max().unwrap_or(1);
        self.common().with("address_range", ADDRESS_RANGE).number("zones", zones).finish()
    }

    fn firewall_attributes(&self) -> Attributes {
        let last = self.own().map(replicas_per_machine).max();
        let rule = |from: &str, to: &str, first: i64, last: i64| {
            Builder::default()
                .with("from", from)
                .with("to", to)
                .with("protocol", "tcp")
                .number("first_port", first)
                .number("last_port", last)
                .map()
        };
        let mut inbound = Vec::new();
        if let Some(endpoint) = self.workload.endpoint() {
            let from = match endpoint.exposure {
                Exposure::Public => "internet",
                Exposure::Private => "network",
            };
            let (_, port) = listener(endpoint);
            inbound.push(rule(from, "load_balancer", port, port));
            inbound.extend(
                last.map(|n| rule("load_balancer", "machines", ENGINE_PORT, ENGINE_PORT + i64::from(n) - 1)),
            );
        }
        if let Workload::Federation(_) = self.workload {
            inbound.push(rule("sites", "machines", federation::SUPERLINK_PORT, federation::SUPERLINK_PORT));
        }
        let several = |p: &Pool| p.machines.iter().map(|m| m.count).sum::<u32>() > 1;
        let together = matches!(self.workload, Workload::Pipeline(_));
        if self.pools.iter().any(|(_, p)| p.machines_per_replica > 1 || together && several(p)) {
            inbound.push(rule("members", "machines", 1, 65_535));
        }
        self.common()
            .with("network", self.network.as_str())
            .with("inbound", Attr::List(inbound))
            .with("outbound", "any")
            .finish()
    }

    /// Origins to the share of their traffic that comes to this region, in millionths.
    fn origins(&self, chosen: &WorkloadPlacement) -> Attr {
        let here: BTreeSet<usize> = self.pools.iter().map(|(index, _)| *index).collect();
        let mut origins = Attributes::default();
        for route in &chosen.routes {
            // Rounded one by one: whole numbers add up the same in any order.
            let to_here = route.to.iter().filter(|(pool, _)| here.contains(pool));
            let share: i64 = to_here.map(|(_, share)| parts(*share, 1e6)).sum();
            if share > 0 {
                origins.insert(&route.origin, Attr::Int(share));
            }
        }
        Attr::Map(origins)
    }

    fn load_balancer_attributes(&self, endpoint: &Endpoint, chosen: &WorkloadPlacement) -> Attributes {
        let (protocol, port) = listener(endpoint);
        let exposure = match endpoint.exposure {
            Exposure::Public => "public",
            Exposure::Private => "private",
        };
        self.common()
            .with("network", self.network.as_str())
            .with("firewall", self.firewall.as_str())
            .with("exposure", exposure)
            .with("protocol", protocol)
            .with("port", port)
            .maybe("tls_certificate", endpoint.tls_certificate.as_deref())
            .with("health_check_path", HEALTH_PATH)
            .maybe("health_check_port", (!self.shares()).then_some(ENGINE_PORT))
            .maybe("stickiness", self.workload.sticks().then_some("session"))
            .with("origins_ppm", self.origins(chosen))
            .maybe("overflow", self.overflow())
            .maybe("part", self.part())
            .maybe("prevent_destroy", endpoint.prevent_destroy.then_some(true))
            .finish()
    }

    /// Which requests of a whole service it is for; `None` of a whole one.
    fn part(&self) -> Option<Attr> {
        let Workload::Service(service) = self.workload else { return None };
        part::attribute(service)
    }

    /// Where requests go while a pool of the region has failed in part; `None` where nothing stands in.
    fn overflow(&self) -> Option<Attr> {
        let entry = |(_, pool): &(usize, &Pool)| {
            let stands_in = pool.stands_in.as_ref()?;
            let fleets =
                |p: &Pool| purchases(p).map(|m| Attr::from(p.addr.child(m.0.as_str()).as_str())).collect();
            let of = self.pools.iter().map(|(_, p)| *p).find(|p| p.addr == stands_in.pool)?;
            let entry = Builder::default()
                .with("from", Attr::List(fleets(of)))
                .with("to", Attr::List(fleets(pool)))
                .number("percent", stands_in.percent);
            Some(entry.map())
        };
        let all: Vec<Attr> = self.pools.iter().filter_map(entry).collect();
        (!all.is_empty()).then_some(Attr::List(all))
    }

    fn template_attributes(&self, pool: &Pool, model: &Model) -> Attributes {
        let common = self.serving(pool, model);
        match model.measured() {
            Some(measured) => common.with("server", engine::server(model, measured, pool)),
            None => common.with("model", self.served(model, pool)).with("engine", engine::engine(pool)),
        }
        .finish()
    }

    /// The `model` attribute; a stand-in answers to the name of the model that it stands in for as well.
    fn served(&self, model: &Model, pool: &Pool) -> Attr {
        let of = engine::model(model, pool);
        match (of, self.workload) {
            (Attr::Map(mut map), Workload::Service(service)) if pool.stands_in.is_some() => {
                map.insert("answers_for", Attr::from(service.model.as_str()));
                Attr::Map(map)
            }
            (of, _) => of,
        }
    }

    /// What the launch templates of all that answer have.
    fn serving(&self, pool: &Pool, model: &Model) -> Builder {
        let keys = self.workload.endpoint().and_then(|e| e.api_keys.as_deref());
        self.template(pool, model).with("port", ENGINE_PORT).maybe("api_keys", keys)
    }

    /// The container that was measured, alone on its machine, and which part of each size class is sent to all machines of the type.
    fn profiled_attributes(
        &self,
        pool: &Pool,
        profiled: &Profiled,
        chosen: &WorkloadPlacement,
    ) -> Attributes {
        let command = profiled.command.iter().map(|word| Attr::from(word.as_str())).collect();
        let measured = Builder::default()
            .with("image", profiled.image.as_str())
            .with("command", Attr::List(command))
            .with("classes_ppb", profile::classes(pool, chosen))
            .map();
        self.serving(pool, &NO_MODEL).with("measured", measured).finish()
    }

    /// What the launch templates of all workloads have.
    fn template(&self, pool: &Pool, model: &Model) -> Builder {
        let artifacts = model.artifacts_at.as_ref().map(|r| format!("{}/{}", r.cloud, r.region));
        self.common()
            .with("network", self.network.as_str())
            .with("firewall", self.firewall.as_str())
            .with("instance_type", pool.instance_type.as_str())
            .maybe("accelerator", pool.accelerator.as_deref())
            .with("accelerators_per_machine_permille", parts(pool.accelerators_per_machine, 1000.0))
            .number("replicas_per_machine", replicas_per_machine(pool))
            .number("machines_per_replica", pool.machines_per_replica)
            .maybe("artifacts_at", artifacts)
    }

    fn machine_attributes(
        &self,
        pool: &Pool,
        template: &ResourceAddr,
        purchase: Purchase,
        count: u32,
    ) -> Builder {
        // Machines that are held are started in what holds them; those that a savings plan covers are started as on demand.
        let commitment = pool.commitment().filter(|_| purchase == Purchase::Held);
        let held = commitment.and_then(|name| self.spec.held.get(name));
        let plan = commitment.and_then(|name| self.spec.savings.get(name));
        let kind = held.map(|h| h.kind.as_str()).or(plan.map(|_| SAVINGS_PLAN));
        let id = held.and_then(|h| h.id.as_deref()).or(plan.and_then(|p| p.id.as_deref()));
        self.common()
            .maybe("commitment", commitment)
            .maybe("commitment_kind", kind)
            .maybe("commitment_id", id)
            .with("network", self.network.as_str())
            .with("launch_template", template.as_str())
            .with("instance_type", pool.instance_type.as_str())
            .maybe("accelerator", pool.accelerator.as_deref())
            .with("purchase", purchase.as_str())
            .number("count", count)
            .number("zones", pool.zones)
            .number("replicas_per_machine", replicas_per_machine(pool))
            .number("machines_per_replica", pool.machines_per_replica)
    }

    fn fleet_attributes(&self, common: Builder, pool: &Pool) -> Attributes {
        let ports = (0..i64::from(replicas_per_machine(pool))).map(|i| Attr::Int(ENGINE_PORT + i)).collect();
        common
            .maybe("stands_in_for", pool.stands_in.as_ref().map(|s| s.pool.as_str()))
            .with("load_balancer", self.load_balancer.as_str())
            .with("health_check_path", HEALTH_PATH)
            .with("health_check_port", ENGINE_PORT)
            .with("target_ports", Attr::List(ports))
            .finish()
    }
}

/// A run of a member of a federation.
fn rounds(common: Builder, asked: &Federation, chosen: &WorkloadPlacement) -> Attributes {
    let deadline_s = chosen.run.as_ref().map_or(0.0, |run| run.deadline_hours * 3600.0);
    run_attributes(common.number("rounds", asked.rounds), deadline_s, &asked.schedule, &asked.after)
}

pub(super) fn run_attributes(
    common: Builder,
    deadline_s: f64,
    schedule: &Option<Schedule>,
    after: &[(String, Pointer)],
) -> Attributes {
    let after: Vec<Attr> = after.iter().map(|(name, _)| Attr::from(name.as_str())).collect();
    common
        .with("deadline_s", parts(deadline_s, 1.0))
        .maybe("schedule", schedule.as_ref().map(|s| s.cron.as_str()))
        .maybe("after", (!after.is_empty()).then_some(Attr::List(after)))
        .finish()
}

/// Engine processes of a machine: at least one, also when a replica spans several machines.
fn replicas_per_machine(pool: &Pool) -> u32 {
    pool.replicas_per_machine.max(1)
}

fn listener(endpoint: &Endpoint) -> (&'static str, i64) {
    if endpoint.tls_certificate.is_some() { ("https", 443) } else { ("http", 80) }
}
