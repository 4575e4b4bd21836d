//! Who makes what.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::{Capability, Cloud, Provider, uncovered};

use super::Failure;
use super::discreet::Discreet;
use crate::apply::Options;
use crate::plan::{self, Change, Plan, Standby};
use crate::state::State;

/// Which clouds are talked to.
#[derive(Clone, Debug, clap::Args)]
pub struct CloudArgs {
    /// Talk to the simulated cloud at this address (`rhumb sim serve`); nothing real is made
    #[arg(long, value_name = "URL")]
    pub simulate: Option<String>,
    /// Most resources to work on at a time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel: u16,
}

/// Who makes what, and what they promise.
pub struct Clouds {
    /// The adapter of each cloud.
    pub providers: BTreeMap<Cloud, Arc<dyn Provider>>,
    /// What they can deploy: the rows of all of them.
    table: Vec<Capability>,
    /// Whether nothing that they make exists.
    pub simulated: bool,
    /// How they are worked with.
    pub options: Options,
    /// What calls are made on.
    pub runtime: tokio::runtime::Runtime,
}

impl Clouds {
    /// Connects to what the arguments name.
    ///
    /// # Errors
    /// It does not answer.
    pub fn of(args: &CloudArgs) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Failure::error(format!("cannot start: {e}")))?;
        let mut providers: BTreeMap<Cloud, Arc<dyn Provider>> = BTreeMap::new();
        let mut table = Vec::new();
        if let Some(url) = &args.simulate {
            if url.contains('@') {
                return Err(Failure::usage(
                    "--simulate: a simulated cloud asks for no credentials: write its address alone",
                ));
            }
            let client = runtime.block_on(rhumb_sim::Client::connect(url));
            let client = client.map_err(|e| Failure::error(format!("--simulate {url}: {e}")))?;
            table.extend_from_slice(client.capabilities());
            let client: Arc<dyn Provider> = Arc::new(Discreet(Arc::new(client)));
            for cloud in client.clouds() {
                providers.insert(*cloud, Arc::clone(&client));
            }
        }
        let guarantees = providers.iter().map(|(cloud, of)| (*cloud, of.guarantees())).collect();
        let options = Options { parallel: usize::from(args.parallel), ..Options::new(guarantees) };
        Ok(Clouds { providers, table, simulated: args.simulate.is_some(), options, runtime })
    }

    /// Nothing is begun that cannot be done.
    ///
    /// # Errors
    /// A cloud of the plan has no adapter here, or one that cannot make what is to be made.
    pub fn can(&self, plan: &Plan) -> Result<(), Failure> {
        self.adapters(plan)?;
        self.deploys(plan)
    }

    /// There is somebody to ask.
    ///
    /// # Errors
    /// A cloud of the plan has no adapter here.
    pub fn adapters(&self, plan: &Plan) -> Result<(), Failure> {
        let changed = plan.changes.iter().filter(|c| c.action != plan::Action::Keep);
        let places = changed.filter_map(|c| c.after.as_ref().or(c.before.as_ref())).map(|r| r.cloud);
        let missing: std::collections::BTreeSet<&str> =
            places.filter(|cloud| !self.providers.contains_key(cloud)).map(Cloud::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<&str> = missing.into_iter().collect();
        Err(Failure::error(format!(
            "this build has no adapter for {}: nothing was changed; apply to a simulated cloud with --simulate URL (`rhumb sim serve`)",
            missing.join(", ")
        )))
    }

    /// The adapters know how to make everything that is to be made.
    fn deploys(&self, plan: &Plan) -> Result<(), Failure> {
        let refused = self.refused(&plan.changes);
        if refused.is_empty() {
            return Ok(());
        }
        Err(Failure::error(format!(
            "nothing was changed: what this build cannot deploy: {}",
            refused.join("; ")
        )))
    }

    /// What of these may stand in for refused machines here, and why each of the others may not: nothing is told to an adapter that it
    /// cannot make, just because something else was refused.
    pub fn able<'p>(&self, standbys: &'p [Standby]) -> (Cow<'p, [Standby]>, Vec<(&'p Standby, String)>) {
        let why = |standby: &Standby| {
            let made = standby.changes.iter().filter_map(|change| change.after.as_ref());
            let foreign = made.map(|r| r.cloud).find(|cloud| !self.providers.contains_key(cloud));
            let refused = || Some(self.refused(&standby.changes).join("; ")).filter(|why| !why.is_empty());
            foreign.map(|cloud| format!("this build has no adapter for {cloud}")).or_else(refused)
        };
        let (mut able, mut passed) = (Vec::new(), Vec::new());
        for standby in standbys {
            match why(standby) {
                Some(why) => passed.push((standby, why)),
                None => able.push(standby),
            }
        }
        let able = match passed.is_empty() {
            true => Cow::Borrowed(standbys),
            false => able.into_iter().cloned().collect(),
        };
        (able, passed)
    }

    /// What of some changes is outside the table, or refused by its adapter, and why.
    fn refused(&self, changes: &[Change]) -> Vec<String> {
        let made = changes.iter().filter(|c| c.action != plan::Action::Keep);
        let made: Vec<_> = made.filter_map(|change| Some((&change.addr, change.after.as_ref()?))).collect();
        let mut why = uncovered(&self.table, made.iter().copied());
        for (addr, after) in made {
            if let Some(Err(reason)) = self.providers.get(&after.cloud).map(|provider| provider.can(after)) {
                why.entry(addr).or_insert(reason);
            }
        }
        why.into_iter().map(|(addr, why)| format!("{addr}: {why}")).collect()
    }

    /// Everything of a state can be looked at.
    ///
    /// # Errors
    /// A cloud of it has no adapter here.
    pub fn reach(&self, state: &State) -> Result<(), Failure> {
        let places = state.places();
        let missing: std::collections::BTreeSet<&str> = places
            .iter()
            .map(|(cloud, _)| *cloud)
            .filter(|c| !self.providers.contains_key(c))
            .map(Cloud::as_str)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<&str> = missing.into_iter().collect();
        Err(Failure::error(format!(
            "this build has no adapter for {}: what exists there cannot be looked at; a simulated cloud is named with --simulate URL",
            missing.join(", ")
        )))
    }

    /// What a simulated cloud made is not of a real one, and the reverse.
    ///
    /// # Errors
    /// The state is of the other.
    pub fn fits(&self, state: &State, name: &str) -> Result<(), Failure> {
        match (state.simulated, self.simulated) {
            (true, false) => Err(Failure::error(format!(
                "{name}: it is of a simulated cloud: nothing in it exists; apply with --simulate, or name another state"
            ))),
            (false, true) => Err(Failure::error(format!(
                "{name}: it is of real clouds; a simulated one cannot change them: name another state with --state"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rhumb_api::{Among, Attr, Resource, ResourceAddr, ResourceKind};
    use rhumb_sim::{InProcess, World};

    use super::*;

    fn template(addr: &str, engine: &str) -> Change {
        let text = |text: &str| Attr::from(text);
        let map = |name: &str, value: Attr| Attr::Map([(name.to_owned(), value)].into());
        let attributes = [
            ("deployment", text("a")),
            ("workload", text("services.a")),
            ("labels", map("team", text("ml"))),
            ("network", text("services.a/network")),
            ("firewall", text("services.a/firewall")),
            ("instance_type", text("m7i.xlarge")),
            ("accelerators_per_machine_permille", Attr::Int(0)),
            ("replicas_per_machine", Attr::Int(1)),
            ("machines_per_replica", Attr::Int(1)),
            ("start_script_sha256", text("0")),
            ("engine", map("name", text(engine))),
        ];
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (kind, cloud, region) = (ResourceKind::LaunchTemplate, Cloud::Aws, "eu-west-1".to_owned());
        Change {
            addr: ResourceAddr::parse(addr).expect("an address"),
            action: plan::Action::Create,
            reasons: vec!["new".to_owned()],
            before: None,
            after: Some(Resource { kind, cloud, region, attributes }),
            fields: Vec::new(),
            depends_on: Vec::new(),
        }
    }

    #[test]
    fn what_is_outside_the_table_is_refused_and_so_is_what_an_adapter_cannot_make() {
        let sim: Arc<dyn Provider> = Arc::new(InProcess::new(World::default()));
        let mut clouds = Clouds {
            table: sim.capabilities().to_vec(),
            providers: [(Cloud::Aws, sim)].into(),
            simulated: true,
            options: Options::new(BTreeMap::new()),
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
        };
        let mut changes = vec![template("services.a/p5", "vllm"), template("services.a/g6e", "sglang")];
        assert_eq!(clouds.refused(&changes), Vec::<String>::new());
        for row in &mut clouds.table {
            row.engines = Among::only(["sglang"]);
        }
        let outside = "services.a/p5: no adapter of this build can deploy engine `vllm` on aws";
        assert_eq!(clouds.refused(&changes), [outside]);
        changes[1].after.as_mut().expect("it is made").attributes.remove("network");
        let refused = clouds.refused(&changes);
        assert!(
            refused.len() == 2 && refused[0].contains("services.a/g6e: a launch_template needs `network`"),
            "{refused:?}"
        );
        // So is what would stand in, alone.
        let standby = |by: &str, change: &Change| Standby {
            pool: ResourceAddr::parse("services.a/aws/eu-west-1/p5").expect("an address"),
            by: ResourceAddr::parse(by).expect("an address"),
            spot: false,
            more_per_month: rhumb_api::Money::ZERO,
            changes: vec![change.clone()],
            without: Vec::new(),
            artifacts: Vec::new(),
        };
        let mut elsewhere = template("services.a/a3", "sglang");
        elsewhere.after.as_mut().expect("it is made").cloud = Cloud::Gcp;
        let all = [
            standby("services.a/p5", &template("services.a/p5", "vllm")),
            standby("services.a/g6e", &template("services.a/g6e", "sglang")),
            standby("services.a/a3", &elsewhere),
        ];
        let (able, passed) = clouds.able(&all);
        assert_eq!(able.iter().map(|s| s.by.as_str()).collect::<Vec<_>>(), ["services.a/g6e"]);
        let passed: Vec<_> = passed.iter().map(|(s, why)| (s.by.as_str(), why.as_str())).collect();
        let no_gcp = "this build has no adapter for gcp";
        assert_eq!(passed, [("services.a/p5", outside), ("services.a/a3", no_gcp)]);
        assert!(matches!(clouds.able(&all[1..2]), (Cow::Borrowed(_), none) if none.is_empty()));
        clouds.table.clear();
        assert_eq!(clouds.refused(&changes).len(), 2);
        changes.iter_mut().for_each(|change| change.action = plan::Action::Keep);
        assert_eq!(clouds.refused(&changes), Vec::<String>::new());
    }
}
