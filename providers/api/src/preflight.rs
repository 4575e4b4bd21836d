//! What is asked of a cloud before anything of it is changed, and what it answers.
//!
//! **The law.** An answer is of the moment at which it was given. What it lets pass (see [`passes`]), the same calls at once
//! afterwards are not refused as denied, as invalid for their place, their type or a secret that they name, or beyond a quota.
//! Machines that are there are a [`Verdict::Warning`] where there are too few and never a promise. What a cloud cannot tell is
//! [`Verdict::Unknown`] and never fine, and so is everything that an answer says nothing of ([`Preflight::unspoken`]). Asking
//! makes, changes and removes nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::{Attr, Attributes, Cloud, ProviderError, Resource, ResourceAddr, ResourceKind};

/// What is about to be asked of one cloud, all of it together: what each part of it may have says nothing of the sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preflight {
    /// The cloud.
    pub cloud: Cloud,
    /// The lineage of the deployment's state; none where nothing was recorded yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<String>,
    /// The changes, in any order. Everything is made and grown before anything is removed, so that what is replaced is counted
    /// beside what takes its place, unless it goes first ([`Wanted::first`]).
    pub wanted: Vec<Wanted>,
}

/// One change that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// What it is for. A replacement is two changes of one address.
    pub address: ResourceAddr,
    /// What is done.
    pub change: Change,
    /// As it is to be; of what is removed, as it is recorded.
    pub resource: Resource,
    /// The cloud's id of what exists, if it is known: what grows is counted from what it has, without an id from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether it goes or shrinks before anything is made or grows: what it gives back is there for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
}

/// What is done to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is made.
    Create,
    /// What exists is made into it.
    Update,
    /// It is removed.
    Delete,
}

impl Change {
    /// `create`, `update` or `delete`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Change::Create => "create",
            Change::Update => "update",
            Change::Delete => "delete",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// Whether the cloud takes the credentials at all.
    Credentials,
    /// A right to make, change, remove, read or list.
    Permission,
    /// Whether there is such a thing in such a place: region, instance type.
    Offering,
    /// A limit of the account, with what is used of it by now.
    Quota,
    /// Whether a secret exists that is named. Never what it holds.
    Secret,
    /// Whether the machines are there at this moment.
    Capacity,
}

impl About {
    /// All of them, in the order in which they are told.
    pub const ALL: [About; 6] = [
        About::Credentials,
        About::Permission,
        About::Offering,
        About::Quota,
        About::Secret,
        About::Capacity,
    ];

    /// The word in views and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            About::Credentials => "credentials",
            About::Permission => "permission",
            About::Offering => "offering",
            About::Quota => "quota",
            About::Secret => "secret",
            About::Capacity => "capacity",
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It stands in the way of nothing.
    Ok,
    /// It may be otherwise by the time at which it matters.
    Warning,
    /// The cloud cannot tell, or did not.
    Unknown,
    /// The calls would be refused.
    Failed,
}

impl Verdict {
    /// The word in views and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Unknown => "unknown",
            Verdict::Failed => "failed",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much is needed of something, and how much of it is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// What is counted, for example `machines` or `vcpus`.
    pub unit: String,
    /// What all the changes need more than there is of them by now.
    pub needed: u64,
    /// What is left beside what is used by now; none where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<u64>,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What it is about.
    pub about: About,
    /// What was found.
    pub verdict: Verdict,
    /// The one resource that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<ResourceAddr>,
    /// The one region that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What was looked at and, unless it is fine, what is wrong with it, in words without credentials.
    pub message: String,
    /// Of what is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

impl Finding {
    /// One about no resource and no region.
    pub fn new(about: About, verdict: Verdict, message: impl Into<String>) -> Self {
        Finding { about, verdict, address: None, region: None, message: message.into(), amount: None }
    }

    /// The same of a resource, and of its region.
    #[must_use]
    pub fn of(self, wanted: &Wanted) -> Self {
        Finding { address: Some(wanted.address.clone()), ..self.in_region(&wanted.resource.region) }
    }

    /// The same of a region.
    #[must_use]
    pub fn in_region(self, region: &str) -> Self {
        Finding { region: Some(region.to_owned()), ..self }
    }
}

/// An answer to a [`Preflight`].
///
/// Credentials or rights that are refused are findings. An error says that nothing was found out; the same may be asked again.
pub type Answer = Result<Vec<Finding>, ProviderError>;

/// An answer that will come.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Whether findings let everything pass that was asked about: nothing of them would be refused, and nothing is unknown.
pub fn passes(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| matches!(finding.verdict, Verdict::Ok | Verdict::Warning))
}

impl Preflight {
    /// What an answer has to speak of.
    pub fn topics(&self) -> BTreeSet<About> {
        let mut topics = BTreeSet::from([About::Credentials, About::Permission]);
        for wanted in self.wanted.iter().filter(|wanted| wanted.change != Change::Delete) {
            topics.insert(About::Offering);
            if !secrets(&wanted.resource).is_empty() {
                topics.insert(About::Secret);
            }
            if wanted.change == Change::Create && wanted.machines() > 0 {
                topics.extend([About::Quota, About::Capacity]);
            }
        }
        topics
    }

    /// What an answer does not speak of although it has to. Behind credentials that are not taken there is nothing to be found
    /// out.
    pub fn unspoken(&self, findings: &[Finding]) -> BTreeSet<About> {
        let about = |topic: &About| findings.iter().any(|finding| finding.about == *topic);
        let refused = |f: &Finding| f.about == About::Credentials && f.verdict == Verdict::Failed;
        if findings.iter().any(refused) {
            return BTreeSet::new();
        }
        self.topics().into_iter().filter(|topic| !about(topic)).collect()
    }
}

impl Wanted {
    /// Machines that it is to have; none of what has no machines.
    pub fn machines(&self) -> u32 {
        let has =
            matches!(self.resource.kind, ResourceKind::Fleet | ResourceKind::JobRun | ResourceKind::EdgeUnit);
        match self.resource.attributes.get("count") {
            Some(Attr::Int(count)) if has => u32::try_from(*count).unwrap_or(0),
            _ => 0,
        }
    }
}

/// References to secrets that have to exist for a resource: `api_keys`, `tls_certificate`, and `api_keys` of each of `engines`.
pub fn secrets<'a>(resource: &'a Resource) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut note = |attributes: &'a Attributes, name: &str| {
        if let Some(Attr::Text(reference)) = attributes.get(name) {
            found.insert(reference.as_str());
        }
    };
    note(&resource.attributes, "api_keys");
    note(&resource.attributes, "tls_certificate");
    if let Some(Attr::Map(engines)) = resource.attributes.get("engines") {
        for engine in engines.values() {
            if let Attr::Map(engine) = engine {
                note(engine, "api_keys");
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(kind: ResourceKind, change: Change, attributes: &[(&str, Attr)]) -> Wanted {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let resource = Resource { kind, cloud: Cloud::Aws, region: "eu-west-1".to_owned(), attributes };
        Wanted {
            address: ResourceAddr::parse("services.a/x").unwrap(),
            change,
            resource,
            id: None,
            first: false,
        }
    }

    fn asked(wanted: &[Wanted]) -> Preflight {
        Preflight { cloud: Cloud::Aws, lineage: None, wanted: wanted.to_vec() }
    }

    #[test]
    fn an_answer_has_to_speak_of_what_is_wanted() {
        use About::{Capacity, Credentials, Offering, Permission, Quota, Secret};
        let topics = |wanted: &[Wanted]| Vec::from_iter(asked(wanted).topics());
        let count = ("count", Attr::Int(2));
        let gone =
            wanted(ResourceKind::Fleet, Change::Delete, &[count.clone(), ("api_keys", "env:A".into())]);
        assert_eq!(topics(&[gone]), [Credentials, Permission]);
        let network = wanted(ResourceKind::Network, Change::Update, std::slice::from_ref(&count));
        assert_eq!(topics(&[network]), [Credentials, Permission, Offering]);
        let shrinks = wanted(ResourceKind::Fleet, Change::Update, std::slice::from_ref(&count));
        assert_eq!(topics(&[shrinks]), [Credentials, Permission, Offering]);
        let fleet = wanted(ResourceKind::Fleet, Change::Create, &[count]);
        let balancer =
            wanted(ResourceKind::LoadBalancer, Change::Create, &[("tls_certificate", "env:T".into())]);
        assert_eq!(topics(&[fleet.clone(), balancer]), About::ALL);

        let fine = |about| Finding::new(about, Verdict::Ok, "");
        let asked = asked(&[fleet]);
        let some = [fine(Credentials), fine(Permission), fine(Offering), fine(Capacity)];
        assert_eq!(asked.unspoken(&some), BTreeSet::from([Quota]));
        assert_eq!(asked.unspoken(&[]).len(), 5);
        assert!(!asked.unspoken(&some).contains(&Secret));
        let refused = [Finding::new(Credentials, Verdict::Failed, "expired")];
        assert_eq!(asked.unspoken(&refused), BTreeSet::new());
    }

    #[test]
    fn warnings_pass_and_what_is_unknown_does_not() {
        let with = |verdict| {
            [Finding::new(About::Quota, Verdict::Ok, ""), Finding::new(About::Capacity, verdict, "")]
        };
        assert!(passes(&with(Verdict::Ok)) && passes(&with(Verdict::Warning)));
        assert!(!passes(&with(Verdict::Unknown)) && !passes(&with(Verdict::Failed)));
    }

    #[test]
    fn secrets_of_shared_machines_are_named_too() {
        let engine = |keys: &str| Attr::Map(Attributes::from([("api_keys".to_owned(), keys.into())]));
        let engines =
            Attributes::from([("a".to_owned(), engine("env:A")), ("b".to_owned(), engine("env:B"))]);
        let template = wanted(
            ResourceKind::LaunchTemplate,
            Change::Create,
            &[("api_keys", "env:C".into()), ("engines", Attr::Map(engines))],
        );
        assert_eq!(secrets(&template.resource), BTreeSet::from(["env:A", "env:B", "env:C"]));
        let words = |all: &[&'static str]| all.iter().copied().collect::<BTreeSet<_>>().len();
        assert_eq!(words(&About::ALL.map(About::as_str)), 6);
    }
}
