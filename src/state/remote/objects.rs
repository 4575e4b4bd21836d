//! What is asked of a remote store, few enough requests to fail one at a time.

use std::future::Future;
use std::pin::Pin;

/// A request under way.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 'a>>;

/// A store of whole objects by name. What was put is there for everybody who asks after the put was answered.
///
/// Every request returns why it failed; whether it was done all the same is not known then.
pub trait Objects: Send + Sync {
    /// An object; `None` if it is not there, which is not the same as that its bucket is not.
    fn get<'a>(&'a self, key: &'a str) -> Doing<'a, Option<Object>>;

    /// Puts an object in one step, if the condition holds in that step: its tag then, and `None` if it does not hold.
    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>, only: Only) -> Doing<'a, Option<Tag>>;

    /// Every object whose key begins with `under` and a slash, in no order.
    fn list<'a>(&'a self, under: &'a str) -> Doing<'a, Vec<Listed>>;

    /// Removes an object; it is no error if it is not there.
    fn delete<'a>(&'a self, key: &'a str) -> Doing<'a, ()>;
}

/// The condition of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// Nothing is there.
    Absent,
    /// What is there has this tag.
    Unchanged(Tag),
    /// None.
    Always,
}

/// Tells the content of an object from what it was before and will be after. Some stores make it of the content alone, so that nothing is
/// put twice under one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// The entity tag.
    pub e_tag: Option<String>,
    /// The version or generation.
    pub version: Option<String>,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Of this content.
    pub tag: Tag,
    /// When it was put by the store's own clock, milliseconds since 1970. Many stores know whole seconds.
    pub at: i64,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key, whole.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was put by the store's own clock, milliseconds since 1970.
    pub at: i64,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In the words of the store: without addresses of requests, and without anything that signs them.
    pub reason: String,
    /// What kind of failure it is.
    pub kind: TroubleKind,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// There is no such bucket or container.
    NoBucket,
    /// Who asks is not known or may not.
    Denied,
    /// It refuses what is dated by a clock that is too far from its own.
    Clock,
    /// It does not answer, or says that it cannot just now. The same may go well a little later.
    Unreachable,
    /// Anything else. The same would fail again.
    Other,
}

impl TroubleKind {
    /// What to do about it.
    pub const fn help(self) -> &'static str {
        match self {
            TroubleKind::NoBucket => "make the bucket or container, or name another one",
            TroubleKind::Denied => {
                "check the credentials in the environment, and that they may read, write and list there"
            }
            TroubleKind::Clock => "set the clock of this machine, and start again",
            TroubleKind::Unreachable => "check the network and the endpoint, and start again",
            TroubleKind::Other => "check the address, the region and the endpoint",
        }
    }
}
