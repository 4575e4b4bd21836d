//! What every adapter has to pass, as code that its tests call, and sample orders of every kind of resource.
//!
//! [`suite`] asks a [`crate::Provider`] everything that the engine relies on and makes a [`Report`] of the answers. It
//! needs no test framework, knows no cloud, and looks at no clock: time, and what goes wrong, come from an [`Arrange`]
//! that the adapter's tests write over their double of the cloud. What the double cannot bring about is named by the
//! caller check by check, and nothing else is excused.
//!
//! Every check works in a lineage of its own and removes what it made as well as it can, so that one provider serves
//! for all of them. It must never be asked of an account that holds anything else of value.

mod able;
mod arrange;
mod check;
mod create;
mod errors;
mod list;
mod outcomes;
mod preflight;
mod remove;
mod repeat;
mod report;
mod runs;
mod samples;
mod takeover;
mod trial;
mod update;

pub use arrange::{Arrange, Later, Trouble, Verb};
pub use check::Check;
pub use report::{Finding, Outcome, Report};
pub use samples::{LINEAGE, Place, SECRET, address, attributes, changed, kinds, order, spoiled, token};

use std::sync::Mutex;

use crate::Provider;
use check::Stop;
use trial::Trial;

/// How often and how long something that is on its way is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The first pause between two looks, milliseconds; each next one is twice as long.
    pub first_ms: u64,
    /// The longest pause, milliseconds.
    pub longest_ms: u64,
    /// Looks, after which it counts as never.
    pub looks: u32,
}

impl Default for Patience {
    /// A quarter of an hour and more.
    fn default() -> Self {
        Patience { first_ms: 100, longest_ms: 20_000, looks: 60 }
    }
}

/// What is put to the test, and with what.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// The adapter.
    pub provider: &'a dyn Provider,
    /// Time, and what goes wrong.
    pub arrange: &'a dyn Arrange,
    /// Where everything is made.
    pub place: &'a Place,
    /// Another region of the cloud, or another site.
    pub elsewhere: &'a str,
    /// How long is waited.
    pub patience: Patience,
    /// Parts of the credentials that the adapter was given: nothing that it says may contain them.
    pub secrets: &'a [&'a str],
    /// Names of checks of which the double cannot bring about what they need.
    pub not_arranged: &'a [&'a str],
    /// Where tokens and lineages are counted from, so that a second run in the same account meets none of the first.
    /// A run uses up fewer than 2^20 numbers.
    pub first: u64,
}

/// Every check, in the order in which they are asked.
pub fn checks() -> Vec<Check> {
    [
        create::CHECKS,
        repeat::CHECKS,
        update::CHECKS,
        takeover::CHECKS,
        remove::CHECKS,
        runs::CHECKS,
        list::CHECKS,
        errors::CHECKS,
        outcomes::CHECKS,
        preflight::CHECKS,
        able::CHECKS,
    ]
    .concat()
}

/// Asks everything.
pub async fn suite(bench: &Bench<'_>) -> Report {
    ask(bench, &checks()).await
}

/// Asks some of [`checks`], for one who is looking for what is wrong. What [`Bench::not_arranged`] names besides is
/// not missed.
pub async fn ask(bench: &Bench<'_>, asked: &[Check]) -> Report {
    let mut findings = Vec::new();
    let leaks = Mutex::new(Vec::new());
    for (index, check) in asked.iter().enumerate() {
        let trial = Trial::new(bench, bench.first + ((index as u64) << 10), &leaks);
        let done = (check.run)(&trial).await;
        bench.arrange.calm().await;
        trial.clear().await;
        let listed = bench.not_arranged.contains(&check.name);
        let outcome = match done {
            Ok(()) => Outcome::Passed,
            Err(Stop::Failed(why)) => Outcome::Failed { why },
            Err(Stop::NotArranged(what)) => Outcome::NotArranged { what },
        };
        findings.push(Finding { name: check.name, asks: check.asks, outcome, listed });
    }
    let all = checks();
    let stray = |name: &&&str| !all.iter().any(|check| check.name == **name);
    let unknown = bench.not_arranged.iter().filter(stray).map(|name| (*name).to_owned()).collect();
    Report { findings, unknown }
}
