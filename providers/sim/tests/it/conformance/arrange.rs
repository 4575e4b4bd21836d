//! The strings of the simulated cloud, pulled for the suite.

use std::time::Duration;

use rhumb_api::conformance::{Arrange, Later, Place, Trouble};
use rhumb_api::{ErrorKind, Handle, Observed, ProviderError};
use rhumb_sim::{Control, Denial, InProcess, Quota, Rate, Rule, Stock, Verb, What, World};

/// A world with trouble in it.
fn troubled(
    base: &World,
    place: &Place,
    what: Trouble,
    verb: rhumb_api::conformance::Verb,
    there: &[Observed],
) -> Result<World, String> {
    use rhumb_api::conformance::Verb as Asked;
    let verb = match verb {
        Asked::Create => Verb::Create,
        Asked::Update => Verb::Update,
        Asked::Delete => Verb::Delete,
        Asked::Read => Verb::Read,
        Asked::List => Verb::List,
        Asked::Preflight => Verb::Preflight,
    };
    let mut world = base.clone();
    let mut rule = |what| {
        world.rules.push(Rule { nth: None, verb: Some(verb), kind: None, address: None, times: None, what });
    };
    let error = |kind| ProviderError::new(kind, "by appointment");
    let mut quotas = Vec::new();
    let mut quota = |machines| {
        quotas.push(Quota {
            cloud: place.cloud,
            region: place.region.clone(),
            type_prefix: None,
            spot: None,
            machines,
        });
    };
    match what {
        Trouble::Conflict => rule(What::Error(error(ErrorKind::Conflict))),
        Trouble::LostRequest => rule(What::DropRequest),
        Trouble::LostReply => rule(What::DropReply),
        // Later than its caller waits, and sooner than the cloud promises.
        Trouble::LateRequest => rule(What::Delay((base.timeout_ms + base.call_lag_ms) / 2)),
        Trouble::FailsLater(kind) => rule(What::FailLater(error(kind))),
        Trouble::Capacity => world.stock.push(Stock {
            cloud: place.cloud,
            region: place.region.clone(),
            instance_type: place.instance_type.clone(),
            spot: false,
            machines: Some(0),
        }),
        Trouble::Quota => quota(0),
        Trouble::QuotaLeaves(more) => {
            let here = there
                .iter()
                .filter(|seen| (seen.handle.cloud, &seen.handle.region) == (place.cloud, &place.region));
            quota(here.filter_map(|seen| seen.running).sum::<u32>() + more);
        }
        Trouble::Expired => drop(world.expired.insert(place.cloud)),
        Trouble::NotOffered => {
            world.instance_types.insert(place.cloud, ["another".to_owned()].into());
        }
        Trouble::NoSecret => world.secrets = Some(["env:ANOTHER".to_owned()].into()),
        Trouble::Throttled | Trouble::ThrottledFor(1_000) => {
            world.calls.insert(place.cloud, Rate { per_second: 1, burst: 0 });
        }
        Trouble::ThrottledFor(ms) => return Err(format!("it says 1000 ms, never {ms}")),
        Trouble::Denied => {
            world.denied.push(Denial { cloud: Some(place.cloud), kind: None, verb: Some(verb) });
        }
    }
    world.quotas.extend(quotas);
    Ok(world)
}

/// On virtual time.
pub struct Inside {
    pub sim: InProcess,
    pub base: World,
    pub place: Place,
    /// What it says that it cannot bring about.
    pub cannot: Option<Trouble>,
}

impl Arrange for Inside {
    fn pause(&self, ms: u64) -> Later<'_, ()> {
        Box::pin(self.sim.sleep(ms))
    }

    fn trouble(&self, what: Trouble, verb: rhumb_api::conformance::Verb) -> Later<'_, Result<(), String>> {
        Box::pin(async move {
            if self.cannot == Some(what) {
                return Err("not here".to_owned());
            }
            let there = self.sim.with(|cloud| cloud.inventory());
            let world = troubled(&self.base, &self.place, what, verb, &there)?;
            self.sim.with(|cloud| cloud.set_world(world));
            Ok(())
        })
    }

    fn untag<'a>(&'a self, handle: &'a Handle) -> Later<'a, Result<(), String>> {
        Box::pin(async { self.sim.with(|cloud| cloud.untag(handle)).map_err(|error| error.to_string()) })
    }

    fn calm(&self) -> Later<'_, ()> {
        Box::pin(async { self.sim.with(|cloud| cloud.set_world(self.base.clone())) })
    }
}

/// Behind HTTP, on real time that is made faster.
pub struct Remote {
    pub control: Control,
    pub base: World,
    pub place: Place,
    pub speed: u32,
}

impl Arrange for Remote {
    fn pause(&self, ms: u64) -> Later<'_, ()> {
        Box::pin(tokio::time::sleep(Duration::from_micros(ms * 1_000 / u64::from(self.speed))))
    }

    fn trouble(&self, what: Trouble, verb: rhumb_api::conformance::Verb) -> Later<'_, Result<(), String>> {
        Box::pin(async move {
            let there = self.control.inventory(None).await.map_err(|error| error.to_string())?;
            let world = troubled(&self.base, &self.place, what, verb, &there)?;
            self.control.set_world(&world).await.map(drop).map_err(|error| error.to_string())
        })
    }

    fn untag<'a>(&'a self, handle: &'a Handle) -> Later<'a, Result<(), String>> {
        Box::pin(async { self.control.untag(handle).await.map_err(|error| error.to_string()) })
    }

    fn calm(&self) -> Later<'_, ()> {
        Box::pin(async {
            self.control.set_world(&self.base).await.expect("the server answers");
        })
    }
}
