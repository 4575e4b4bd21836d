//! What a simulated world is like, as data. Everything has a default: a world of plenty in which nothing fails.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Cloud, ErrorKind, Guarantees, Money, ProviderError, Purchase, ResourceAddr, ResourceKind};
use serde::{Deserialize, Serialize};

use crate::calendar::Moment;
use crate::cloud::Pool;

/// What there is, how fast it is, and how it fails. Times are in milliseconds, probabilities in parts per million.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// Where all chance comes from.
    pub seed: u64,
    /// What the time 0 is on the calendar, which the schedules of fleets go by; those of runs do not ([`Runs::period_ms`]).
    pub begins: Moment,
    /// Regions of a cloud; one that is not listed has every region.
    pub regions: BTreeMap<Cloud, BTreeSet<String>>,
    /// Instance types of a cloud; one that is not listed has every type.
    pub instance_types: BTreeMap<Cloud, BTreeSet<String>>,
    /// Whether a create with a token that was seen before makes nothing new.
    pub deduplicates: bool,
    /// How long a list does not show what was made, and goes on showing what is gone.
    pub list_lag_ms: u64,
    /// The longest time from sending a call to its effect; a delay by a rule alone may be longer.
    pub call_lag_ms: u64,
    /// When a call without reply is given up, counted from sending.
    pub timeout_ms: u64,
    /// The way of a request, and the way of a reply.
    pub latency_ms: Span,
    /// How long making, changing and removing take; a kind that is not listed has the default.
    pub durations: BTreeMap<ResourceKind, Durations>,
    /// Calls that a cloud takes; one that is not listed takes any number.
    pub calls: BTreeMap<Cloud, Rate>,
    /// Machines that there are; what has no row is plenty.
    pub stock: Vec<Stock>,
    /// Machines that the account may have at a time.
    pub quotas: Vec<Quota>,
    /// What the credentials may not do.
    pub denied: Vec<Denial>,
    /// Clouds whose credentials have expired: every call is denied.
    pub expired: BTreeSet<Cloud>,
    /// References to the secrets that exist, as orders name them; all exist without it.
    pub secrets: Option<BTreeSet<String>>,
    /// What machines cost; what has no row has no price, which is not the price 0.
    pub prices: Vec<Price>,
    /// What goes wrong by chance.
    pub faults: Faults,
    /// What goes wrong by appointment. Of several that match a call, the first that is due happens.
    pub rules: Vec<Rule>,
    /// How long runs take.
    pub runs: Runs,
    /// How spot machines are lost.
    pub spot: Interruptions,
    /// From when machines run until they answer their health check: the engine loads its weights.
    pub warm_ms: Span,
}

impl Default for World {
    fn default() -> Self {
        World {
            seed: 0,
            begins: Moment::MONDAY,
            regions: BTreeMap::new(),
            instance_types: BTreeMap::new(),
            deduplicates: true,
            list_lag_ms: 5_000,
            call_lag_ms: 60_000,
            timeout_ms: 30_000,
            latency_ms: Span { min: 10, max: 50 },
            durations: BTreeMap::new(),
            calls: BTreeMap::new(),
            stock: Vec::new(),
            quotas: Vec::new(),
            denied: Vec::new(),
            expired: BTreeSet::new(),
            secrets: None,
            prices: Vec::new(),
            faults: Faults::default(),
            rules: Vec::new(),
            runs: Runs::default(),
            spot: Interruptions::default(),
            warm_ms: Span { min: 0, max: 0 },
        }
    }
}

/// Why a text is not a world.
#[derive(Debug, thiserror::Error)]
#[error("not a world: {0}")]
pub struct WorldError(#[from] serde_json::Error);

impl World {
    /// From JSON; what is left out is as in [`World::default`].
    ///
    /// # Errors
    /// It is not JSON, or has a key that no world has.
    pub fn from_json(text: &[u8]) -> Result<Self, WorldError> {
        // By way of an object: a list would be taken for the values in their order.
        World::default().patched(text)
    }

    /// This world with the top-level keys of a JSON object in the place of its own.
    ///
    /// # Errors
    /// It is not JSON, is no object, or has a key that no world has.
    pub fn patched(&self, text: &[u8]) -> Result<Self, WorldError> {
        let patch: BTreeMap<String, serde_json::Value> = serde_json::from_slice(text)?;
        let mut whole = serde_json::to_value(self)?;
        if let Some(keys) = whole.as_object_mut() {
            keys.extend(patch);
        }
        Ok(serde_json::from_value(whole)?)
    }

    /// What its clouds promise.
    pub fn guarantees(&self) -> Guarantees {
        Guarantees {
            deduplicates: self.deduplicates,
            list_lag_ms: self.list_lag_ms,
            call_lag_ms: self.call_lag_ms,
        }
    }

    /// How long things of a kind take.
    pub fn durations_of(&self, kind: ResourceKind) -> Durations {
        self.durations.get(&kind).copied().unwrap_or_default()
    }

    /// The price of a machine-hour, if it has one.
    pub fn price(
        &self,
        cloud: Cloud,
        region: &str,
        instance_type: &str,
        purchase: Purchase,
    ) -> Option<Money> {
        let of = |p: &&Price| {
            p.cloud == cloud
                && p.region == region
                && p.instance_type == instance_type
                && p.purchase == purchase
        };
        self.prices.iter().find(of).map(|p| p.per_hour)
    }
}

/// A time from `min` to `max` milliseconds, both included, all equally likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The shortest.
    pub min: u64,
    /// The longest; not less than the shortest, else that.
    pub max: u64,
}

/// How long things of a kind take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Durations {
    /// From the accepted create to `Ready`.
    pub make: Span,
    /// From the accepted update to `Ready`.
    pub change: Span,
    /// From the accepted delete until it is gone.
    pub remove: Span,
}

impl Default for Durations {
    fn default() -> Self {
        Durations {
            make: Span { min: 1_000, max: 3_000 },
            change: Span { min: 500, max: 1_500 },
            remove: Span { min: 500, max: 2_000 },
        }
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls per second in the long run.
    pub per_second: u32,
    /// Calls at once after a rest.
    pub burst: u32,
}

/// Machines of a type in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stock {
    /// The cloud.
    pub cloud: Cloud,
    /// Its region.
    pub region: String,
    /// The cloud's name of the type.
    pub instance_type: String,
    /// Whether these are the spot machines, or those of every other purchase.
    pub spot: bool,
    /// Machines, with those that the deployment has; `None` for plenty.
    #[serde(default)]
    pub machines: Option<u32>,
}

/// A limit of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// The cloud.
    pub cloud: Cloud,
    /// Its region.
    pub region: String,
    /// Of the types whose names begin with this; of all types without it.
    #[serde(default)]
    pub type_prefix: Option<String>,
    /// Of spot machines, of all others, or of both without it.
    #[serde(default)]
    pub spot: Option<bool>,
    /// Machines at a time.
    pub machines: u32,
}

impl Quota {
    /// Whether it counts these machines.
    pub(crate) fn counts(&self, (cloud, region, name, spot): &Pool) -> bool {
        (self.cloud, &self.region) == (*cloud, region)
            && self.type_prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && self.spot.is_none_or(|of_spot| of_spot == *spot)
    }
}

/// A right that the credentials do not have. What is left out is everything but the right to ask for a preflight, which is
/// withheld by its own name alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Denial {
    /// Of this cloud.
    pub cloud: Option<Cloud>,
    /// Of things of this kind; lists are of none.
    pub kind: Option<ResourceKind>,
    /// To do this.
    pub verb: Option<Verb>,
}

impl Denial {
    /// Whether it withholds the right to do this.
    pub(crate) fn withholds(&self, cloud: Cloud, kind: Option<ResourceKind>, verb: Verb) -> bool {
        self.cloud.is_none_or(|c| c == cloud)
            && self.kind.is_none_or(|k| Some(k) == kind)
            && self.verb.map_or(verb != Verb::Preflight, |v| v == verb)
    }
}

/// What a machine costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The cloud.
    pub cloud: Cloud,
    /// Its region.
    pub region: String,
    /// The cloud's name of the type.
    pub instance_type: String,
    /// How it is paid for.
    pub purchase: Purchase,
    /// For an hour of a machine.
    pub per_hour: Money,
}

/// Probabilities, in parts per million, that a call goes wrong; at most one of these happens to it. Replies overtake each other by their
/// latencies alone. What has the probability 0 draws nothing: a seed decides all else as it would without it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The request never arrives.
    pub request_lost_ppm: u32,
    /// It has its effect, and the reply never arrives.
    pub reply_lost_ppm: u32,
    /// The request arrives at any time up to `call_lag_ms`.
    pub request_late_ppm: u32,
    /// The request arrives twice, the second time before the reply to the first does.
    pub request_duplicated_ppm: u32,
    /// It is answered with an error and has no effect, per kind.
    pub errors_ppm: BTreeMap<ErrorKind, u32>,
    /// What was accepted fails afterwards. Reads and lists take no harm from it.
    pub fails_later_ppm: u32,
    /// It has its effect, and the reply arrives at any time up to `call_lag_ms` after the call was sent: after its caller gave up, as a
    /// rule.
    pub reply_late_ppm: u32,
    /// The reply arrives twice ([`What::DuplicateReply`]).
    pub reply_duplicated_ppm: u32,
}

/// How long runs take, and how often those with a schedule run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runs {
    /// Of every run; without it, a part of its deadline.
    pub run_ms: Option<u64>,
    /// Thousandths of its deadline that a run takes.
    pub deadline_permille: u32,
    /// From start to start of a run with a schedule, the first of which starts when it is ready.
    pub period_ms: u64,
}

impl Default for Runs {
    fn default() -> Self {
        Runs { run_ms: None, deadline_permille: 500, period_ms: 86_400_000 }
    }
}

/// How spot machines are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Interruptions {
    /// Probability, in parts per million, that a machine is lost within an hour; decided once a minute.
    pub per_hour_ppm: u32,
    /// Until a lost machine is made up for, if there are any; and between two tries for one that a schedule asks for.
    pub replace_ms: u64,
}

impl Default for Interruptions {
    fn default() -> Self {
        Interruptions { per_hour_ppm: 0, replace_ms: 120_000 }
    }
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// [`rhumb_api::Call::Create`].
    Create,
    /// [`rhumb_api::Call::Update`].
    Update,
    /// [`rhumb_api::Call::Delete`].
    Delete,
    /// [`rhumb_api::Call::Read`].
    Read,
    /// [`rhumb_api::Call::List`].
    List,
    /// [`rhumb_api::Provider::preflight`].
    Preflight,
}

impl Verb {
    /// The word in files and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Delete => "delete",
            Verb::Read => "read",
            Verb::List => "list",
            Verb::Preflight => "preflight",
        }
    }
}

impl From<&rhumb_api::Call> for Verb {
    fn from(call: &rhumb_api::Call) -> Verb {
        match call {
            rhumb_api::Call::Create(_) => Verb::Create,
            rhumb_api::Call::Update(..) => Verb::Update,
            rhumb_api::Call::Delete(_) => Verb::Delete,
            rhumb_api::Call::Read(_) => Verb::Read,
            rhumb_api::Call::List(_) => Verb::List,
        }
    }
}

/// A fault by appointment. It matches a call by verb, kind and address; what is left out matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only from this matching call on, counted from 1.
    #[serde(default)]
    pub nth: Option<u64>,
    /// Only calls that do this.
    #[serde(default)]
    pub verb: Option<Verb>,
    /// Only calls about a thing of this kind.
    #[serde(default)]
    pub kind: Option<ResourceKind>,
    /// Only calls about a thing of this address.
    #[serde(default)]
    pub address: Option<ResourceAddr>,
    /// How often it happens; for ever without it.
    #[serde(default)]
    pub times: Option<u64>,
    /// What happens.
    pub what: What,
}

/// What a rule does to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is answered with this and has no effect.
    Error(ProviderError),
    /// It never arrives.
    DropRequest,
    /// It has its effect, and the reply never arrives.
    DropReply,
    /// It arrives so many milliseconds later.
    Delay(u64),
    /// It arrives twice.
    Duplicate,
    /// It has its effect, and its reply leaves so many milliseconds later.
    DelayReply(u64),
    /// Its reply arrives twice, the second time up to a latency later, at a caller that drives a [`crate::SimCloud`] by itself. A request
    /// over HTTP has one reply, and so has a [`rhumb_api::Provider::call`]: there the second one comes to nobody, as it does of a
    /// preflight.
    DuplicateReply,
    /// It is accepted, and fails with this afterwards.
    FailLater(ProviderError),
    /// It is done, and the machines that it makes run and never answer their health check. A change that makes machines anew
    /// fails then, and leaves those that serve.
    Sick,
    /// It is held before its effect until it is released or its caller goes away; then it never has one. A preflight, which has
    /// none, is not held.
    HoldBefore,
    /// Its reply is held after its effect until it is released or its caller goes away.
    HoldAfter,
}
