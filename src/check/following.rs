//! That a pool goes through the week as its load does (decision 11), and the machines that it has in each class of hours.

use rhumb_api::Purchase;

use crate::placement::{Following, HourClass, Pool, Switch, WorkloadPlacement};
use crate::spec::Service;

use super::Ledger;
use super::day::{self, Class, Day};
use super::serving;
use super::subject::{self, Checked, Kind, Work};

/// A pool in one class of the week.
#[derive(Clone, Debug)]
pub(super) struct Hours {
    pub class: Class,
    pub replicas: u32,
    /// Machines, and spot machines among them.
    pub machines: u32,
    pub spot: u32,
    /// Machines of each entry of the pool's, in its order.
    pub of: Vec<u32>,
}

/// What a pool has in each class that is derived, the peak last: as it says itself, and nothing of classes it does not name.
pub(super) fn hours(pool: &Pool, day: &Day) -> Vec<Hours> {
    let of = |class: &Class, replicas: u32, of: Vec<u32>| {
        let spot =
            pool.machines.iter().zip(&of).filter(|(m, _)| m.purchase == Purchase::Spot).map(|(_, n)| n);
        let sum =
            |counts: &mut dyn Iterator<Item = &u32>| counts.fold(0_u32, |all, n| all.saturating_add(*n));
        Hours { class: *class, replicas, machines: sum(&mut of.iter()), spot: sum(&mut { spot }), of }
    };
    let Some((peak, lower)) = day.classes.split_last() else { return Vec::new() };
    let said = |class: &Class| {
        let classes = &pool.following.as_ref()?.classes;
        let said =
            classes.iter().find(|c| c.share == class.share && c.machines.len() == pool.machines.len())?;
        Some(of(class, said.replicas, said.machines.clone()))
    };
    let at_peak = of(peak, pool.replicas, pool.machines.iter().map(|m| m.count).collect());
    lower.iter().filter_map(said).chain([at_peak]).collect()
}

/// Whether pools say how they follow the day where they do and only there, and say it right.
pub(super) fn check(log: &mut Ledger, work: &Work<'_>, placed: &WorkloadPlacement, pools: &[Checked<'_>]) {
    let followed = match work.kind {
        Kind::Service(service) => day::followed(service),
        Kind::Profiled(_) | Kind::Batch(_) | Kind::Training(_) | Kind::Pipeline(_) | Kind::Federation(_) => {
            None
        }
    };
    for c in pools {
        let address = c.pool.addr.as_str();
        match (followed, &c.pool.following) {
            (None, None) => {}
            (None, Some(_)) => {
                log.finding(
                    "following",
                    address,
                    "the pool follows a day that nobody asked it to",
                    "none",
                    "a schedule",
                );
            }
            (Some(_), None) => {
                log.finding("following", address, "the pool does not follow the day", "a schedule", "none");
            }
            (Some(daily), Some(said)) => {
                log.same("following", address, "the time zone", daily.time_zone.as_str(), &said.time_zone);
                log.same("following", address, "the start-up time", &c.start_up_s, &said.start_up_s);
                let repeats = day::repeats(daily);
                classes(log, c, said, repeats);
                let schedule: Vec<Switch> =
                    c.day.schedule.iter().filter(|s| s.at_s < day::WEEK / repeats).copied().collect();
                log.same_debug("following", address, "the schedule", &schedule, &said.schedule);
            }
        }
    }
    if let (Kind::Service(service), Some(_)) = (work.kind, followed) {
        replicas(log, work, service, placed, pools);
    }
}

/// A plan says the seconds of one of `repeats` equal parts of a week.
fn classes(log: &mut Ledger, c: &Checked<'_>, said: &Following, repeats: u32) {
    let (pool, address) = (c.pool, c.pool.addr.as_str());
    let derived: Vec<(u32, u32)> = c.day.classes.iter().map(|c| (c.share, c.seconds / repeats)).collect();
    let told: Vec<(u32, u32)> = said.classes.iter().map(|c| (c.share, c.seconds)).collect();
    log.same_debug("following", address, "the classes of the day and their seconds", &derived, &told);
    let entries = pool.machines.len();
    log.hold(said.classes.iter().all(|c| c.machines.len() == entries), "following", address, || {
        let found = format!("{:?}", said.classes.iter().map(|c| c.machines.len()).collect::<Vec<_>>());
        ("a class does not count all of the pool's machines".into(), entries.to_string(), found)
    });
    let counts: Vec<u32> = pool.machines.iter().map(|m| m.count).collect();
    let peak = said.classes.last().map(|c: &HourClass| (c.replicas, c.machines.clone()));
    let expected = Some((pool.replicas, counts));
    log.same_debug("following", address, "the class of the peak", &expected, &peak);
}

/// Where nothing runs without load, no pool has a machine then. In every other lower class a pool has its part of the fewest replicas, so that all together have them whenever each changes class;
/// and the most that each has at any time are not too many. (Those of the peak together are a rule of every service.)
fn replicas(
    log: &mut Ledger,
    work: &Work<'_>,
    service: &Service,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) {
    let scaling = &service.scaling;
    for c in pools {
        let share = serving::share(service, placed, c);
        let least = subject::part_up(share, scaling.min_replicas);
        for hours in c.hours.iter().filter(|h| h.class.share < day::PEAK) {
            if day::rests(service, &hours.class) {
                log.hold(
                    (hours.replicas, hours.machines) == (0, 0),
                    "replicas",
                    c.pool.addr.as_str(),
                    || {
                        let found = format!("{} machines, {} replicas", hours.machines, hours.replicas);
                        ("machines run in hours without any load".into(), "none".into(), found)
                    },
                );
                continue;
            }
            log.hold(hours.replicas >= least, "replicas", c.pool.addr.as_str(), || {
                let what = format!("fewer replicas than the pool's part of `min_replicas`{}", c.when(hours));
                (what, format!("at least {least}"), hours.replicas.to_string())
            });
        }
    }
    let most = |c: &Checked<'_>| c.hours.iter().map(|h| h.replicas).max().unwrap_or(0);
    let all: u64 = pools.iter().map(|c| u64::from(most(c))).sum();
    log.hold(scaling.max_replicas.is_none_or(|max| all <= u64::from(max)), "replicas", &work.address, || {
        let max = scaling.max_replicas.unwrap_or(u32::MAX);
        ("the pools' most replicas are too many".into(), format!("at most {max}"), all.to_string())
    });
}
