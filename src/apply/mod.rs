//! Apply: a plan becomes calls, exactly those, each once.
//!
//! The core is a synchronous machine ([`Machine`]): it is told what happened and says what to do next, and looks at no clock, file or
//! network itself. A driver feeds it in production, tests feed the same machine on virtual time.
//!
//! A call that changes something is recorded before it is sent, with a token that nothing else of the deployment will ever have, and
//! what became of it is recorded after. So whatever is cut off at any point, the record says all that may have happened: the next
//! apply looks each open intent up, adopts what exists, repeats what does not ([`Machine::new`] begins with that), and then goes on.
//! There is no command that repairs, because there is nothing that it could do.

mod back;
mod drive;
mod machine;
mod survey;
mod token;
mod work;

use std::collections::BTreeMap;

use rhumb_api::{Answer, Call, Cloud, ErrorKind, Guarantees, Money, ResourceAddr};

use crate::state::Record;

pub use drive::{Recorder, drive};
pub use machine::Machine;
pub use survey::{Drift, Found, Survey, differing};
pub use work::Work;

/// What is told what happened and says what to do next, until it says that it has finished.
pub trait Engine {
    /// What to do after an event. Numbers that are not known are ignored: an answer may come twice.
    fn on(&mut self, event: Event) -> Vec<Effect>;
    /// The calls that have not been answered.
    fn unanswered(&self) -> Vec<u64>;
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "most are answers, and each is taken apart at once")]
pub enum Event {
    /// The machine is started.
    Start,
    /// The records of this and all earlier writes are durable.
    Written(u64),
    /// Records could not be made durable; why. None of this or a later write is.
    WriteFailed(String),
    /// The answer to a call.
    Answered(u64, Answer),
    /// The time of a timer has passed.
    Rang(u64),
    /// Whoever waits wants an end: nothing new is begun, what was sent is recorded.
    Interrupted,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make these records durable, after those of all earlier writes, and say so.
    Write {
        /// Number of the write; they grow.
        number: u64,
        /// In this order.
        records: Vec<Record>,
    },
    /// Send this call to its cloud, and tell the answer.
    Send {
        /// Number of the call.
        number: u64,
        /// What is asked.
        call: Box<Call>,
    },
    /// Ring after so long.
    Wait {
        /// Number of the timer.
        number: u64,
        /// Milliseconds from now.
        ms: u64,
    },
    /// Tell whoever waits.
    Tell(Progress),
    /// Everything has ended; nothing comes after this.
    Finish(Summary),
}

/// What is done to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is removed.
    Delete,
    /// It is looked whether its machines serve; nothing is done to it.
    Check,
}

impl Verb {
    /// The word in messages and event streams.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Delete => "delete",
            Verb::Check => "check",
        }
    }
}

/// How far a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its address.
    pub address: ResourceAddr,
    /// What is done to it.
    pub verb: Verb,
    /// How far.
    pub stage: Stage,
}

/// How far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is about to be sent.
    Begun,
    /// An earlier apply was cut off here: what became of it is looked up.
    Recovered,
    /// The cloud has accepted it, under this id.
    Accepted(String),
    /// It is sent or looked up again.
    Again {
        /// Why.
        why: ErrorKind,
        /// In the cloud's words.
        message: String,
        /// After so many milliseconds.
        in_ms: u64,
    },
    /// Of its machines, so many answer their health check, of so many that are to.
    Healthy(u32, u32),
    /// It is done.
    Done(Option<String>),
    /// It was refused; the pool that is made instead.
    Replaced {
        /// Why.
        why: String,
        /// The pool that is made instead.
        by: ResourceAddr,
        /// Dollars a month that this costs more.
        more_per_month: Money,
    },
    /// It was not done.
    Failed(String),
    /// It was not begun; because of what.
    Skipped(String),
    /// It was sent, and how it ended is not known yet: the next apply finds out.
    Left(String),
}

/// How an apply ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What was done, in the order in which it ended: verb and address.
    pub done: Vec<(Verb, ResourceAddr)>,
    /// What failed, and why.
    pub failed: Vec<(Verb, ResourceAddr, String)>,
    /// What was not begun, and because of what.
    pub skipped: Vec<(Verb, ResourceAddr, String)>,
    /// Pools whose machines were refused, what was made instead, and why.
    pub taken: Vec<(ResourceAddr, ResourceAddr, String)>,
    /// Workloads of which what was made went again, since machines were refused and nothing that may stand in was left.
    pub went_back: Vec<String>,
    /// Workloads of which what was made was to go again, and not all of it did.
    pub not_back: Vec<String>,
    /// What was sent and has an unknown end.
    pub left: Vec<(Verb, ResourceAddr, String)>,
    /// Whether it was asked to end early.
    pub interrupted: bool,
    /// Why nothing could be recorded any more.
    pub unrecorded: Option<String>,
}

impl Summary {
    /// Whether everything of the plan is done.
    pub fn complete(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty() && self.left.is_empty() && self.unrecorded.is_none()
    }
}

/// How a machine behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Most resources that are worked on at a time.
    pub parallel: usize,
    /// When something under way is first looked at, milliseconds; then after twice as long, up to [`Options::poll_ms`].
    pub first_poll_ms: u64,
    /// How often something that takes long is looked at, milliseconds.
    pub poll_ms: u64,
    /// The first pause before something is sent again, milliseconds; each further one is twice as long, up to
    /// [`Options::longest_pause_ms`].
    pub pause_ms: u64,
    /// The longest pause, milliseconds.
    pub longest_pause_ms: u64,
    /// Milliseconds in pauses after which one resource is left as it is.
    pub patience_ms: u64,
    /// What each cloud promises.
    pub guarantees: BTreeMap<Cloud, Guarantees>,
    /// Whether what serves so far goes although what takes its place does not answer its health checks.
    pub ignore_health: bool,
}

impl Options {
    /// For clouds that promise this. Ten at a time, as is usual; machines with accelerators take minutes, so an hour of patience.
    pub fn new(guarantees: BTreeMap<Cloud, Guarantees>) -> Self {
        Options {
            parallel: 10,
            first_poll_ms: 100,
            poll_ms: 2_000,
            pause_ms: 250,
            longest_pause_ms: 20_000,
            patience_ms: 3_600_000,
            guarantees,
            ignore_health: false,
        }
    }

    fn guarantees(&self, cloud: Cloud) -> Guarantees {
        // A cloud that promises nothing is waited for.
        let nothing = Guarantees { deduplicates: false, list_lag_ms: 60_000, call_lag_ms: 60_000 };
        self.guarantees.get(&cloud).copied().unwrap_or(nothing)
    }
}
