//! What exists, as last recorded, and what is under way.
//!
//! A state changes by [`Record`]s alone ([`State::take`]): what is about to be asked of a cloud is recorded before it is asked, and
//! what became of it after. A journal is a list of records behind a state, so that every prefix of it is a state too, and a change costs
//! as much as it says, however much exists. The file of a state is defined in [`mod@file`], that of a journal in [`journal`]; [`local`]
//! keeps both on a [`disk`], of which [`faulty`] is one that fails, and [`remote`] in a bucket.

pub mod disk;
mod error;
pub mod faulty;
pub mod file;
pub mod journal;
pub mod local;
mod names;
mod record;
pub mod remote;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use rhumb_api::{
    Attr, Attributes, Cloud, ErrorKind, Handle, Owner, Purchase, Resource, ResourceAddr, ResourceKind, Token,
};
use serde::{Deserialize, Serialize};

pub use error::{Holder, StoreError};
pub use record::{Failed, Intent, Outcome, Record, RecordError, Returned};

/// Deeds that a state remembers; older ones are dropped.
pub const MOST_DEEDS: usize = 1_000;

/// Everything that a deployment owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Made once per deployment; two states of one lineage are comparable. Everything of it is tagged with it.
    pub lineage: String,
    /// Grows by one with every record.
    pub serial: u64,
    /// Whether it is of a simulated cloud: nothing in it exists. No state is of both.
    pub simulated: bool,
    /// What exists.
    pub resources: BTreeMap<ResourceAddr, Arc<StateResource>>,
    /// What exists besides and is to be removed, in the order in which it became so.
    pub spares: Vec<Spare>,
    /// What was about to be asked of a cloud and is not known to have ended, by its token.
    pub open: BTreeMap<Token, Intent>,
    /// The plan that is being applied, or whose apply was cut off.
    pub applying: Option<Applying>,
    /// What exists with our tags and was left to others ([`Record::Forget`]), sorted: it is no stray.
    pub forgotten: Vec<Handle>,
    /// What was done to the deployment, the latest last, at most [`MOST_DEEDS`].
    pub history: Vec<Deed>,
    /// Where something was ever ordered or taken over, whatever is there by now: a call that was recorded and not sent at once may
    /// have its effect after everything that is known is gone, and is found only where it is looked for.
    pub regions: BTreeSet<(Cloud, String)>,
    /// Machines that were refused, each offer once, sorted by it: a plan does not ask for them again for a while.
    pub refusals: Vec<Refusal>,
}

/// Machines that a cloud refused when they were to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The cloud.
    pub cloud: Cloud,
    /// Its region.
    pub region: String,
    /// The cloud's name of the type.
    pub instance_type: String,
    /// Whether spot machines were refused, or those of every other purchase.
    pub spot: bool,
    /// `capacity` or `quota`.
    pub kind: ErrorKind,
    /// When the apply that was refused them began, RFC 3339, UTC.
    pub at: String,
}

/// One thing that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateResource {
    /// As it was made.
    pub resource: Resource,
    /// The cloud's own id for it.
    pub id: Option<String>,
    /// The intent that it was made or taken over by; unknown of what older versions recorded, and of what is to be taken over.
    pub token: Option<Token>,
    /// The serial of the record that says so.
    pub since: u64,
    /// Why it is not known to be as recorded: a change that failed. It is changed again, though nothing else differs.
    pub doubtful: Option<String>,
    /// Of a run: it has ended by itself, and its machines are gone.
    pub complete: bool,
    /// What must exist as long as it does, sorted, each once; some of it may be gone all the same.
    pub depends_on: Vec<ResourceAddr>,
    /// The cloud's ids of what it was made with. While something is replaced, the address is that of the new one already, and this
    /// still stands on the old one; nothing of what older versions recorded.
    pub stands_on: BTreeMap<ResourceAddr, String>,
    /// What its cloud has given it, by name ([`rhumb_api::outputs`]); nothing of what older versions recorded.
    pub outputs: BTreeMap<String, String>,
    /// Files that its machines get, by name; nothing of what older versions recorded.
    pub files: BTreeMap<String, String>,
    /// Addresses that were renamed ([`Record::Rename`]) since it was last made or changed, or that another deployment gave to what was taken
    /// over from it, its own and those that its attributes name: the new one, and the one by which its cloud still knows it.
    pub known_as: BTreeMap<ResourceAddr, ResourceAddr>,
    /// Whose its cloud says that it is ([`Record::Import`]), until an update that takes it over is done; none of what is this deployment's.
    pub owner: Option<Owner>,
}

/// One thing that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spare {
    /// The address that it had, or was to have.
    pub address: ResourceAddr,
    /// What it is.
    pub thing: Arc<StateResource>,
    /// Why it is to go.
    pub why: Spared,
}

/// Why something is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spared {
    /// Another one has taken its place.
    Replaced,
    /// It was accepted and then failed.
    Failed,
    /// One intent made it besides the one that is in use.
    Duplicate,
    /// It has our tags, and no record knows it.
    Stray,
}

impl Spared {
    /// The word in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Spared::Replaced => "replaced",
            Spared::Failed => "failed",
            Spared::Duplicate => "duplicate",
            Spared::Stray => "stray",
        }
    }
}

/// An apply under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applying {
    /// SHA-256 of the plan file.
    pub plan: String,
    /// The serial that the plan was made against; none if nothing was recorded then.
    pub from: Option<u64>,
    /// What the plan lets take the place of what was refused, and has, in the order in which it was taken.
    pub taken: Vec<Taken>,
}

/// A pool in the place of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// The pool that is not made.
    pub pool: ResourceAddr,
    /// The pool that is; it may have the same address, of spot machines or of others.
    pub by: ResourceAddr,
    /// Whether it needs spot machines.
    pub spot: bool,
}

/// Something that was done to a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deed {
    /// The serial of its record.
    pub serial: u64,
    /// What.
    pub what: What,
    /// Who: user and host, as the environment said.
    pub by: String,
    /// When it was begun, RFC 3339, UTC.
    pub at: String,
    /// Of an apply: SHA-256 of the plan file.
    pub plan: Option<String>,
    /// Of an import and of something that was forgotten: which; of a renaming: the new address.
    pub address: Option<ResourceAddr>,
    /// Things made.
    pub created: u32,
    /// Things changed.
    pub changed: u32,
    /// Things removed.
    pub removed: u32,
    /// Of an apply: whether everything of the plan was done; none while it is under way, and if it was cut off.
    pub complete: Option<bool>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A plan was applied.
    Apply,
    /// What exists was looked at, and was otherwise than recorded.
    Refresh,
    /// Something that existed was taken over.
    Import,
    /// Something was left to others: it exists and is not recorded any more.
    Forget,
    /// Machines that were refused are planned on again.
    Retry,
    /// Things got other addresses.
    Rename,
    /// Things that had been lost from the record were recorded again.
    Restore,
}

impl What {
    /// The word in files and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            What::Apply => "apply",
            What::Refresh => "refresh",
            What::Import => "import",
            What::Forget => "forget",
            What::Retry => "retry",
            What::Rename => "rename",
            What::Restore => "restore",
        }
    }
}

impl State {
    /// A state of nothing.
    pub fn new(lineage: String, simulated: bool) -> Self {
        State {
            lineage,
            serial: 0,
            simulated,
            resources: BTreeMap::new(),
            spares: Vec::new(),
            open: BTreeMap::new(),
            applying: None,
            forgotten: Vec::new(),
            history: Vec::new(),
            regions: BTreeSet::new(),
            refusals: Vec::new(),
        }
    }

    /// SHA-256 of [`file::encode`], lower-case hexadecimal: equal for equal states, however their files
    /// were written.
    pub fn digest(&self) -> String {
        file::digest(self)
    }
}

/// The machines that a resource asks for: the cloud's name of the type, and whether of spot; `None` of what has none, and of machines
/// that are held already.
pub fn offer(resource: &Resource) -> Option<(&str, bool)> {
    if !matches!(resource.kind, ResourceKind::Fleet | ResourceKind::JobRun) {
        return None;
    }
    let text = |name: &str| match resource.attributes.get(name) {
        Some(Attr::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let purchase = text("purchase")?;
    (purchase != Purchase::Held.as_str()).then_some(())?;
    Some((text("instance_type")?, purchase == Purchase::Spot.as_str()))
}

impl StateResource {
    /// Something of which no more is known than what it is.
    pub fn of(resource: Resource, depends_on: Vec<ResourceAddr>) -> Self {
        StateResource {
            resource,
            id: None,
            token: None,
            since: 0,
            doubtful: None,
            complete: false,
            depends_on,
            stands_on: BTreeMap::new(),
            outputs: BTreeMap::new(),
            files: BTreeMap::new(),
            known_as: BTreeMap::new(),
            owner: None,
        }
    }

    /// What it stands on although another one is recorded in that place, and of which kind that is: a network before all else.
    pub fn stands_on_old<'a>(
        &'a self,
        resources: &BTreeMap<ResourceAddr, Arc<StateResource>>,
    ) -> Option<(&'a ResourceAddr, ResourceKind)> {
        let old = self.stands_on.iter().filter_map(|(addr, id)| {
            let now = resources.get(addr).filter(|now| now.id.as_ref() != Some(id))?;
            Some((addr, now.resource.kind))
        });
        old.min_by_key(|(addr, kind)| (*kind != ResourceKind::Network, *addr))
    }

    /// Attributes in its cloud's words, in ours: with the addresses that were renamed since it was told. What is not ours yet may name by
    /// their ids what it stands on.
    pub fn in_our_words(&self, seen: Attributes) -> Attributes {
        if self.known_as.is_empty() && self.owner.is_none() {
            return seen;
        }
        let ids = self.stands_on.iter().filter(|_| self.owner.is_some());
        let texts = ids.map(|(now, id)| (id.as_str(), now.as_str()));
        let known = self.known_as.iter().map(|(now, known)| (known.as_str(), now.as_str()));
        record::exchanged(&seen, &texts.chain(known).collect())
    }

    /// Whether its cloud is to be told of it though nothing differs: it is another deployment's or nobody's, or has other addresses by now.
    pub fn is_to_be_told(&self) -> bool {
        !self.known_as.is_empty() || self.owner.is_some()
    }

    /// The thing by its cloud's id; `None` if that was never recorded.
    pub fn handle(&self) -> Option<Handle> {
        Some(Handle {
            cloud: self.resource.cloud,
            region: self.resource.region.clone(),
            kind: self.resource.kind,
            id: self.id.clone()?,
        })
    }
}

/// What to do about a state that a newer program wrote: nothing is wrong with it.
pub const NEWER: &str = "use the rhumb that wrote it, or a newer one";

/// Why a state cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError {
    /// The file, as the user named it.
    pub name: String,
    /// Line and column, counted from 1, if it is about a place in the text.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl std::error::Error for StateError {}
