//! Small deployments in the neutral vocabulary.

use std::collections::BTreeMap;

use rhumb::plan::{Action, Change, Desired as Wanted, Standby};
use rhumb_api::{Attr, Attributes, Cloud, Money, Resource, ResourceAddr, ResourceKind};

pub fn addr(text: &str) -> ResourceAddr {
    ResourceAddr::parse(text).expect("an address")
}

fn resource(
    workload: &str,
    cloud: Cloud,
    region: &str,
    kind: ResourceKind,
    attributes: &[(&str, Attr)],
) -> Resource {
    let mut all: Attributes = attributes.iter().map(|(name, value)| (*name, value.clone())).collect();
    all.insert("deployment", "demo".into());
    all.insert("workload", workload.into());
    all.insert("labels", Attr::Map(Attributes::default()));
    Resource { kind, cloud, region: region.into(), attributes: all }
}

fn numbers<const N: usize>(of: [(&'static str, i64); N]) -> Vec<(&'static str, Attr)> {
    of.into_iter().map(|(name, n)| (name, Attr::Int(n))).collect()
}

/// A service in a region: network, firewall, load balancer.
#[derive(Clone, Debug)]
pub struct Region {
    pub workload: String,
    pub cloud: Cloud,
    pub region: String,
    /// Another range is another network.
    pub range: u8,
    /// Millionths of its clients.
    pub share: i64,
    /// Pools by instance type: machines, and which launch template.
    pub pools: BTreeMap<String, (i64, u32)>,
}

impl Region {
    pub fn new(workload: &str, region: &str) -> Self {
        let pools = BTreeMap::from([("g6e.xlarge".to_owned(), (2, 1))]);
        let (workload, region) = (workload.to_owned(), region.to_owned());
        Region { workload, cloud: Cloud::Aws, region, range: 64, share: 1_000_000, pools }
    }

    pub fn here(&self) -> ResourceAddr {
        addr(&self.workload).child(self.cloud.as_str()).child(&self.region)
    }

    pub fn pool(&self, instance_type: &str) -> ResourceAddr {
        self.here().child(instance_type)
    }

    pub fn wanted(&self) -> Wanted {
        let here = self.here();
        let make = |kind, attributes: &[(&str, Attr)]| {
            resource(&self.workload, self.cloud, &self.region, kind, attributes)
        };
        let (network, firewall, balancer) =
            (here.child("network"), here.child("firewall"), here.child("load_balancer"));
        let name = |addr: &ResourceAddr| Attr::Text(addr.to_string());
        let mut all = Wanted::new();
        let range = format!("10.{}.0.0/16", self.range);
        let zones = ("zones", Attr::Int(1));
        let is = make(ResourceKind::Network, &[("address_range", range.into()), zones.clone()]);
        all.insert(network.clone(), (is, vec![]));
        let is = make(
            ResourceKind::Firewall,
            &[("network", name(&network)), ("inbound", Attr::List(vec![])), ("outbound", "any".into())],
        );
        all.insert(firewall.clone(), (is, vec![network.clone()]));
        let shares = Attributes::from([("eu", Attr::Int(self.share))]);
        let is = make(
            ResourceKind::LoadBalancer,
            &[
                ("network", name(&network)),
                ("firewall", name(&firewall)),
                ("exposure", "private".into()),
                ("protocol", "http".into()),
                ("port", Attr::Int(80)),
                ("health_check_path", "/health".into()),
                ("origins_ppm", Attr::Map(shares)),
            ],
        );
        all.insert(balancer.clone(), (is, vec![firewall.clone(), network.clone()]));
        for (instance_type, (count, version)) in &self.pools {
            let pool = self.pool(instance_type);
            let template = pool.child("launch_template");
            let hash = format!("{version:064}");
            let mut of = numbers([
                ("accelerators_per_machine_permille", 1000),
                ("replicas_per_machine", 1),
                ("machines_per_replica", 1),
                ("port", 8000),
            ]);
            of.extend([
                ("network", name(&network)),
                ("firewall", name(&firewall)),
                ("instance_type", instance_type.as_str().into()),
                ("start_script_sha256", hash.as_str().into()),
            ]);
            let is = make(ResourceKind::LaunchTemplate, &of);
            all.insert(template.clone(), (is, vec![firewall.clone(), network.clone()]));
            let mut of = numbers([
                ("count", *count),
                ("zones", 1),
                ("replicas_per_machine", 1),
                ("machines_per_replica", 1),
                ("health_check_port", 8000),
            ]);
            of.extend([
                ("network", name(&network)),
                ("launch_template", name(&template)),
                ("load_balancer", name(&balancer)),
                ("launch_template_sha256", hash.as_str().into()),
                ("instance_type", instance_type.as_str().into()),
                ("purchase", "on_demand".into()),
                ("health_check_path", "/health".into()),
                ("target_ports", Attr::List(vec![Attr::Int(8000)])),
            ]);
            let is = make(ResourceKind::Fleet, &of);
            all.insert(pool.child("on_demand"), (is, vec![balancer.clone(), network.clone(), template]));
        }
        all
    }
}

/// A batch that runs once.
pub fn run(name: &str, instance_type: &str, count: i64) -> Wanted {
    let workload = format!("batches.{name}");
    let here = addr(&workload).child("gcp").child("europe-west4");
    let (network, firewall) = (here.child("network"), here.child("firewall"));
    let pool = here.child(instance_type);
    let template = pool.child("launch_template");
    let name = |addr: &ResourceAddr| Attr::Text(addr.to_string());
    let make =
        |kind, attributes: &[(&str, Attr)]| resource(&workload, Cloud::Gcp, "europe-west4", kind, attributes);
    let common = |more: &[(&'static str, i64)]| {
        let mut of = numbers([("replicas_per_machine", 1), ("machines_per_replica", 1)]);
        of.extend(more.iter().map(|(name, n)| (*name, Attr::Int(*n))));
        of.push(("network", name(&network)));
        of.push(("instance_type", instance_type.into()));
        of
    };
    let mut template_of = common(&[("accelerators_per_machine_permille", 1000)]);
    template_of.push(("firewall", name(&firewall)));
    template_of.push(("start_script_sha256", "0".repeat(64).into()));
    let mut run_of = common(&[("count", count), ("zones", 1), ("items", 10), ("deadline_s", 3600)]);
    run_of.push(("launch_template", name(&template)));
    run_of.push(("launch_template_sha256", "0".repeat(64).into()));
    run_of.push(("purchase", "on_demand".into()));
    let range = [("address_range", "10.64.0.0/16".into()), ("zones", Attr::Int(1))];
    let guard = [("network", name(&network)), ("inbound", Attr::List(vec![])), ("outbound", "any".into())];
    Wanted::from([
        (network.clone(), (make(ResourceKind::Network, &range), vec![])),
        (firewall.clone(), (make(ResourceKind::Firewall, &guard), vec![network.clone()])),
        (
            template.clone(),
            (make(ResourceKind::LaunchTemplate, &template_of), vec![firewall, network.clone()]),
        ),
        (pool.child("on_demand"), (make(ResourceKind::JobRun, &run_of), vec![network, template])),
    ])
}

fn made(addr: &ResourceAddr, after: &Resource, needs: &[ResourceAddr]) -> Change {
    Change {
        addr: addr.clone(),
        action: Action::Create,
        reasons: vec!["a test wants it".into()],
        before: None,
        after: Some(after.clone()),
        fields: Vec::new(),
        depends_on: needs.to_vec(),
    }
}

/// That `other` may take the place of a pool of `region`.
pub fn standby(region: &Region, instance_type: &str, other: &str) -> Standby {
    let planned = region.wanted();
    let mut with = region.clone();
    let size = with.pools.remove(instance_type).expect("a pool");
    with.pools.insert(other.to_owned(), size);
    let wanted = with.wanted();
    let more = |(addr, of): (&ResourceAddr, &(Resource, Vec<ResourceAddr>))| {
        (planned.get(addr) != Some(of)).then(|| made(addr, &of.0, &of.1))
    };
    Standby {
        pool: region.pool(instance_type),
        by: region.pool(other),
        spot: false,
        more_per_month: Money::from_micros(1),
        changes: wanted.iter().filter_map(more).collect(),
        without: planned.keys().filter(|addr| !wanted.contains_key(*addr)).cloned().collect(),
        artifacts: Vec::new(),
    }
}
