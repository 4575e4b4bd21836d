//! What is asked of a cloud, and what it answers, as data: it is journalled, sent, delayed and repeated.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ProviderError;
use crate::{Attributes, Cloud, Resource, ResourceAddr, ResourceKind};

/// The name of one intent: the same token is the same call, however often it is sent.
///
/// 32 lower-case hexadecimal digits: within the 64 characters of an EC2 client token, and the digits of a UUID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

/// A text that is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 lower-case hexadecimal digits")]
pub struct TokenError;

impl Token {
    /// From its digits.
    ///
    /// # Errors
    /// They are not 32 lower-case hexadecimal digits.
    pub fn parse(text: impl Into<String>) -> Result<Self, TokenError> {
        let text = text.into();
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 32 && text.bytes().all(digit)).then_some(Token(text)).ok_or(TokenError)
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Token {
    type Error = TokenError;
    fn try_from(text: String) -> Result<Self, TokenError> {
        Token::parse(text)
    }
}

impl From<Token> for String {
    fn from(token: Token) -> String {
        token.0
    }
}

/// What everything that we make is tagged with, on every cloud.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tags {
    /// The lineage of the deployment's state.
    pub lineage: String,
    /// The address that it was made for, or that it was last changed for: a deployment may rename what it has.
    pub address: ResourceAddr,
    /// The intent that it was made by.
    pub token: Token,
}

/// Whose a thing is before somebody takes it over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Nobody's: it has no tags, as what was made by hand or by another tool.
    Nobody,
    /// That of the deployment with this lineage.
    Lineage(String),
}

/// An order to make something, or to make something that exists into this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Whose it is and what for.
    pub tags: Tags,
    /// What it is to be.
    pub resource: Resource,
    /// The clouds' ids of what its attributes name by address.
    pub needs: BTreeMap<ResourceAddr, String>,
    /// Files that its machines get, by name; no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Of an update of what is not this deployment's yet: whose it is. From when it is accepted on, the thing is tagged with the tags of this
    /// order, whole, as if it had been made by it. Where it is of somebody else, or is tagged where it should not be, it is
    /// [`crate::ErrorKind::Invalid`] and stays as it is; where it is this deployment's already, it is an update like any other, so that the
    /// same may be sent again. A create takes nothing over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_over: Option<Owner>,
}

/// A thing that exists, by the cloud's own id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handle {
    /// Where.
    pub cloud: Cloud,
    /// Its region.
    pub region: String,
    /// What.
    pub kind: ResourceKind,
    /// The cloud's id: unique within cloud, region and kind, never used again.
    pub id: String,
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in {}/{}", self.kind, self.id, self.cloud, self.region)
    }
}

/// How far a thing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is being made or changed: ask again.
    Pending,
    /// It is as it was ordered.
    Ready,
    /// It was accepted and then failed; what there is of it still exists, and may cost money.
    Failed(ProviderError),
    /// It is being removed: ask again until it is gone.
    Deleting,
    /// A run that has ended by itself; its machines are gone.
    Complete,
}

/// Names of [`Observed::outputs`].
pub mod outputs {
    /// Where clients reach it: a host name or an IP address, without protocol and port. Of load balancers and of machines at sites.
    pub const ADDRESS: &str = "address";
}

/// A thing as its cloud describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// What and where.
    pub handle: Handle,
    /// What it is tagged with: lineage and token of the order that made it or took it over, and the address of the last order of it; `None`
    /// of what no order made. A tag by itself, or one that is no address or no token, is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    /// As it is, in the words of [`Resource::attributes`]. What it names by address and what has no tags is named by its cloud's id.
    pub attributes: Attributes,
    /// How far it is.
    pub status: Status,
    /// Machines of it that run now; `None` for what has no machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u32>,
    /// Of those, the machines that answer their health check as they should; `None` for what has no health check, and where the cloud
    /// does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<u32>,
    /// What its cloud has given it, by name ([`outputs`]); no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
}

impl Observed {
    /// Whether it is tagged with a lineage.
    pub fn is_of(&self, lineage: &str) -> bool {
        self.tags.as_ref().is_some_and(|tags| tags.lineage == lineage)
    }

    /// The address that it is tagged with.
    pub fn address(&self) -> Option<&ResourceAddr> {
        self.tags.as_ref().map(|tags| &tags.address)
    }

    /// The intent that it is tagged with.
    pub fn token(&self) -> Option<&Token> {
        self.tags.as_ref().map(|tags| &tags.token)
    }
}

/// What a list is of: everything of a deployment in a region, or what one intent made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The cloud that is asked.
    pub cloud: Cloud,
    /// The region that is asked.
    pub region: String,
    /// Only with this lineage.
    pub lineage: String,
    /// Only what this intent made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
}

/// One call of a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Make it. The same token again makes nothing new, where [`crate::Guarantees::deduplicates`].
    Create(Order),
    /// Make what exists into this; the same again changes nothing. Lineage and token stay those of the order that made it, unless the
    /// order takes it over. What is of another lineage or of none is [`crate::ErrorKind::Invalid`] otherwise.
    Update(Handle, Order),
    /// Remove it; it is no error if it is gone.
    Delete(Handle),
    /// How it is; `None` if it is not there.
    Read(Handle),
    /// What there is; may lag behind by [`crate::Guarantees::list_lag_ms`].
    List(Scope),
}

impl Call {
    /// The cloud that it goes to.
    pub fn cloud(&self) -> Cloud {
        match self {
            Call::Create(order) => order.resource.cloud,
            Call::Update(handle, _) | Call::Delete(handle) | Call::Read(handle) => handle.cloud,
            Call::List(scope) => scope.cloud,
        }
    }

    /// Whether it may change something.
    pub fn changes(&self) -> bool {
        matches!(self, Call::Create(_) | Call::Update(..) | Call::Delete(_))
    }

    /// `create`, `update`, `delete`, `read` or `list`.
    pub const fn verb(&self) -> &'static str {
        match self {
            Call::Create(_) => "create",
            Call::Update(..) => "update",
            Call::Delete(_) => "delete",
            Call::Read(_) => "read",
            Call::List(_) => "list",
        }
    }
}

/// What a cloud answers to a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every reply is of one thing, and is taken apart at once"
)]
pub enum Reply {
    /// To all but lists: the thing, or that there is none (any more).
    One(Option<Observed>),
    /// To a list: what there is, by handle.
    Many(Vec<Observed>),
}

/// An answered call.
pub type Answer = Result<Reply, ProviderError>;
