//! The independent checker: re-derives every promise of a finished placement and plan.
//!
//! It shares no code with the optimizer and takes nothing that a placement says on trust. From the
//! spec it takes what was asked for; from the catalogue's raw rows what exists, where and at what
//! price; from [`crate::perf`] how fast one replica is. Everything between (which regions may serve
//! an origin, what a pool carries after a failure, what the month costs) is computed here again, by
//! `src/decisions/0002-what-a-placement-promises.md`.
//!
//! [`prove`] goes on to make every candidate again and to derive the bound that the certificates claim.

mod asked;
mod batch;
mod bill;
mod bound;
mod carbon;
mod chain;
mod commitment;
mod day;
mod degrade;
mod deployment;
mod dip;
mod divided;
mod facts;
mod fallback;
mod federation;
mod fleet;
mod following;
mod held;
mod ledger;
mod measured;
mod packing;
mod pipeline;
mod profile;
mod proof;
mod rollout;
mod rules;
mod savings;
mod season;
mod serving;
mod shared;
mod sites;
mod stability;
mod stream;
mod subject;
mod team;
mod training;

use crate::placement::{Placement, World};
use crate::spec::Spec;

pub use bound::{Bound, Choice, Column, Proof, choice, prove};
pub use deployment::{plan, rollback};
pub use facts::{Fact, Lack, facts};
pub use ledger::Ledger;
pub use season::of_time;

/// A promise that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// A stable name for machines, kebab case: a row of [`CODES`].
    pub code: &'static str,
    /// What it is about: a workload (`services.chat`), a pool, a fleet, or a part of the spec (`budget`).
    pub address: String,
    /// What is wrong, one line.
    pub message: String,
    /// What the checker derived or the spec demands.
    pub expected: String,
    /// What the placement or the plan says.
    pub found: String,
}

/// What a check looked at and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Broken promises, ordered by address, code and message.
    pub findings: Vec<Finding>,
    /// Promises that were re-derived. A check of none is no check, and counts as failed.
    pub promises: u64,
    /// Lines of the bill without a price, about which nothing can be promised.
    pub unpriced: u64,
}

impl Report {
    /// Both reports as one.
    #[must_use]
    pub fn and(mut self, other: Report) -> Report {
        self.findings.extend(other.findings);
        self.findings.sort_by(|a, b| (&a.address, a.code, &a.message).cmp(&(&b.address, b.code, &b.message)));
        Report {
            findings: self.findings,
            promises: self.promises + other.promises,
            unpriced: self.unpriced + other.unpriced,
        }
    }

    /// Whether something was checked and all of it holds.
    pub fn passed(&self) -> bool {
        self.findings.is_empty() && self.promises > 0
    }
}

/// Every code of a [`Finding`] and what it means.
pub const CODES: &[(&str, &str)] = &[
    ("accelerators", "an accelerator that the spec does not allow"),
    ("address", "an address that is not the pool's own, or that two pools share"),
    ("capacity", "a capacity that the prediction does not give, or that is below the load"),
    (
        "carbon",
        "emissions that are not those of the machines, more than the cap, or not known where they count",
    ),
    ("caveat", "an uncertain fact that the plan rests on is not named"),
    ("certificate", "a proof whose numbers do not add up or that proves another cost"),
    ("chain", "services of a chain that may together take more, or break it more often, than it may"),
    ("commitment", "a commitment that would pay and is not told, or not as it would"),
    ("clouds", "a cloud that the spec does not allow"),
    ("cost-line", "a line of the bill that is missing, wrong or about nothing"),
    ("cost-sum", "a total that is not the sum of its lines"),
    ("ceiling", "a ceiling that is not the cost with all spot bought on demand"),
    (
        "degrade",
        "a stand-in that the spec does not name, that answers another part than what is missing, or that does not carry it",
    ),
    ("divided", "a service in other parts than it may be, or parts that are not what the whole sends them"),
    ("deadline", "a run, or a round of one, that ends after its deadline"),
    ("does-not-fit", "a configuration that does not run"),
    ("engine", "engine settings other than the spec's"),
    ("failure", "a declared failure that leaves too little, or whose figures are wrong"),
    ("failure-missing", "a declared failure that nothing was promised for"),
    ("federation", "clients that are not those that keep the deadline, or rounds that take another time"),
    ("following", "a pool that does not go through the day as its load does, or not as it says"),
    (
        "fallback",
        "a fallback that is no other offer, out of order, at another price, or missing without a word",
    ),
    ("fleet", "shared machines that are not what their pools make them, or a pool that is not on its own"),
    ("held", "held machines that are not there, more of them than are held, or not told as they are"),
    ("savings", "what a savings plan covers at another rate, beyond what is promised, or not told as it is"),
    (
        "freshness",
        "a stream that falls behind, or makes of its events what is too old, or has another trigger than the rule gives",
    ),
    ("figure", "another figure that cannot be derived again"),
    ("instance-type", "an instance type that is not in the catalogue, or not as described"),
    ("instance-types", "an instance type that the spec does not allow"),
    ("joint", "a bound over several workloads that is broken and not reported, or reported and not broken"),
    ("layout", "a layout that does not make up the machine or is not the spec's"),
    ("loser", "a refused option that would have been cheaper and is refused for nothing else"),
    ("measured-time", "a server that nobody measured, on that accelerator or at all"),
    ("memory", "memory that is not where the placement says"),
    ("objective", "an objective that does not hold, or whose figures are wrong"),
    ("objective-missing", "an objective of the spec that nothing was promised for"),
    ("on-demand-base", "fewer machines that are not spot than demanded"),
    ("optimum", "something cheaper keeps the promises, or nothing so cheap can"),
    ("packing", "another number of shared machines than the rule needs, or replicas that it puts elsewhere"),
    ("peak-month", "a month that is all peak, with another cost than that of the peak"),
    ("plan", "a plan that does not follow from its own parts"),
    ("price", "a price that is not the catalogue's"),
    ("profile", "size classes that are not divided as the profile allows, or not told as it says"),
    ("purchase", "a purchase option that is not allowed, or not offered there"),
    ("quality", "a compression below the quality floor"),
    ("quota", "more than a declared quota"),
    ("region", "a region that is not in the catalogue"),
    ("regions", "a region that the spec does not allow"),
    ("replicas", "replicas that the machines do not make up, or outside min and max"),
    ("residency", "data where it may not be"),
    ("route", "traffic that goes nowhere, twice or unevenly"),
    ("run", "a run of a batch or a training whose figures are wrong"),
    ("sharing", "a pool on shared machines that may not be there, or not as it says"),
    ("sites", "a site that the spec does not allow, or rows of one that are not what the spec says"),
    ("season", "a plan for another season than its day's, or a coming year that is not told as it is"),
    ("stability", "what runs, what is kept of it or what that costs is not told as it is"),
    ("spot-share", "more spot machines than allowed"),
    ("spread", "fewer regions than demanded"),
    ("training", "a training that is done in another way than the spec says, or than the fastest that fits"),
    ("variant", "a variant that is not the model's, or not as declared"),
    ("wan", "an origin at a site that is served elsewhere although its connection may fail"),
    ("workload", "a workload that is missing or that nobody asked for"),
    ("zones", "zones that the region does not have or that the machines cannot fill"),
    ("budget", "more than a workload's budget"),
];

/// Re-derives every promise of `placement`; empty if all hold.
///
/// `world` is the world that was planned in: its catalogue has the user's rows and discounts applied.
pub fn placement(spec: &Spec, world: &World, placement: &Placement) -> Vec<Finding> {
    inspect(spec, world, placement).findings
}

/// As [`placement`], with how much was checked.
pub fn inspect(spec: &Spec, world: &World, placement: &Placement) -> Report {
    let mut log = Ledger::default();
    divided::check(&mut log, spec, placement);
    let spec = &*placement.spec_of(spec);
    let parts = fleet::parts(placement);
    let asked: Vec<String> = subject::addresses(spec);
    for address in placement.workloads.keys().filter(|a| !asked.contains(a)) {
        log.finding("workload", address, "nobody asked for this workload", "no such workload", "a placement");
    }
    for address in &asked {
        let Some(placed) = placement.workloads.get(address) else {
            log.finding("workload", address, "the workload is not placed", "a placement", "none");
            continue;
        };
        log.same("workload", address, "its own address", address, &placed.address);
        let Some(work) = subject::Work::of(spec, world, address) else {
            log.finding("workload", address, "its model is not known", "an architecture", "none");
            continue;
        };
        let pools = subject::pools(&mut log, world, &work, placed, &parts);
        rules::check(&mut log, spec, world, &work, placed, &pools);
        following::check(&mut log, &work, placed, &pools);
        match work.kind {
            subject::Kind::Service(service) => {
                serving::check(&mut log, world, &work, service, placed, &pools);
            }
            subject::Kind::Profiled(asked) => profile::check(&mut log, &work, asked, placed, &pools),
            subject::Kind::Batch(batch) => {
                batch::check(&mut log, &work, batch, placed, (&pools, world.replay))
            }
            subject::Kind::Training(asked) => {
                training::check(&mut log, world, &work, asked, placed, &pools);
            }
            subject::Kind::Pipeline(asked) => {
                pipeline::check(&mut log, world, &work, asked, placed, &pools);
            }
            subject::Kind::Federation(asked) => {
                federation::check(&mut log, (spec, world), &work, asked, placed, &pools);
            }
        }
        log.hold(
            placed.mix.is_none() || spec.profiled.contains_key(address.trim_start_matches("services.")),
            "profile",
            address,
            || ("size classes of what has none".into(), "none".into(), "a division".into()),
        );
        bill::check(&mut log, world, &work, placed, &pools);
        proof::check(&mut log, &work, placed);
    }
    chain::check(&mut log, spec, placement);
    commitment::check(&mut log, world, placement);
    fleet::check(&mut log, spec, world, placement);
    shared::check(&mut log, spec, world, placement);
    sites::check(&mut log, spec, world, placement);
    held::check(&mut log, spec, world, placement);
    carbon::check(&mut log, spec, world, placement);
    stability::check(&mut log, spec, world, placement);
    fallback::check(&mut log, spec, world, placement);
    log.report()
}
