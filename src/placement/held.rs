//! What is held in the world that a spec is planned in.

use rhumb_api::{Cloud, Money, Purchase};

use super::{Placement, World};
use crate::diagnostic::Pointer;
use crate::spec::{AllowDeny, Held, HeldKind, Spec, WEEK_S};

impl World {
    /// Adds what a spec says is held to the catalogue; what another spec held is gone.
    ///
    /// # Errors
    /// Commitments of instance types that their cloud does not have: where, and what is wrong.
    pub fn hold(&mut self, spec: &Spec) -> Result<(), Vec<(Pointer, String)>> {
        self.catalog.hold(&spec.held, &spec.savings, &self.today);
        let unknown = |h: &&Held| self.catalog.instance_type(h.cloud, &h.instance_type).is_none();
        let no = |cloud: Cloud, name: &str| format!("{cloud} has no instance type `{name}`");
        let machines = spec.held.values().filter(unknown);
        let mut wrong: Vec<(Pointer, String)> =
            machines.map(|h| (h.at.join("instance_type"), no(h.cloud, &h.instance_type))).collect();
        for plan in spec.savings.values() {
            for rate in &plan.rates {
                let (AllowDeny::Only(named) | AllowDeny::Not(named)) = &rate.instance_types else { continue };
                let missing = named.iter().filter(|n| self.catalog.instance_type(plan.cloud, n).is_none());
                wrong.extend(missing.map(|name| (rate.at.join("instance_types"), no(plan.cloud, name))));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// What became of a commitment.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldUse {
    /// Its name in the spec.
    pub name: String,
    /// What it is.
    pub kind: HeldKind,
    /// The cloud.
    pub cloud: rhumb_api::Cloud,
    /// Region id.
    pub region: String,
    /// Instance type.
    pub instance_type: String,
    /// Machines that are held.
    pub count: u32,
    /// Machines that are used, at the peak of each workload.
    pub used: u32,
    /// The day, `YYYY-MM-DD`, up to which they are held.
    pub until: String,
    /// Hours of the planned month in which they are held, 0 to 730.
    pub hours: u32,
    /// Whether they may be used: the commitment is in force, and what its machines cost after it is known.
    pub usable: bool,
    /// Dollars an hour of one, used or not; `None` = unknown.
    pub cost: Option<Money>,
    /// What the cloud calls it; `None` = not stated.
    pub id: Option<String>,
    /// Dollars that what is used of it would cost more on demand all month than planned; `None` = not known.
    pub rises_per_month: Option<Money>,
}

impl HeldUse {
    /// Dollars a month of all its machines, used or not; `None` = unknown. It is paid for the hours in which they are held.
    pub fn sunk_per_month(&self) -> Option<Money> {
        Some(self.cost?.times(i64::from(self.count)).times(i64::from(self.hours)))
    }
}

impl Placement {
    /// What became of each commitment of the spec, by name.
    pub fn held(&self, spec: &Spec, world: &World) -> Vec<HeldUse> {
        let of = |held: &Held| {
            let here = |p: &&super::Pool| {
                (p.cloud, &p.region, &p.instance_type) == (held.cloud, &held.region, &held.instance_type)
            };
            let is_of = |p: &&super::Pool| p.commitment() == Some(held.name.as_str());
            let pools = |w: &'_ super::WorkloadPlacement| -> Vec<(u32, i64)> {
                let own = w.pools.iter().filter(here).filter(is_of);
                own.map(|p| (p.most_held(), w.held_seconds(p))).collect()
            };
            let all: Vec<(u32, i64)> = self.workloads.values().flat_map(pools).collect();
            let used = all.iter().map(|(most, _)| most).sum();
            let seconds: i64 = all.iter().map(|(_, seconds)| seconds).sum();
            let force = world.catalog.in_force(held, &world.today);
            let hours = force.hours();
            HeldUse {
                name: held.name.clone(),
                kind: held.kind,
                cloud: held.cloud,
                region: held.region.clone(),
                instance_type: held.instance_type.clone(),
                count: held.count,
                used,
                until: held.until.clone(),
                hours: hours as u32,
                usable: force.is_usable(),
                cost: held.cost,
                id: held.id.clone(),
                rises_per_month: world.catalog.follows(held).map(|o| {
                    let micros = i128::from(o.price.micros()) * i128::from(seconds) * i128::from(hours);
                    Money::from_micros(
                        (micros / i128::from(WEEK_S)).clamp(0, i128::from(i64::MAX / 1024)) as i64
                    )
                }),
            }
        };
        spec.held.values().map(of).collect()
    }
}

impl super::WorkloadPlacement {
    /// Machine-seconds of a week of the held machines of one of its pools: of runs those of the mean week.
    pub fn held_seconds(&self, pool: &super::Pool) -> i64 {
        let all = pool.held_seconds();
        let share =
            self.run.as_ref().map(|run| run.hours * run.runs_per_month / rhumb_api::HOURS_PER_MONTH as f64);
        share.map_or(all, |share| (all as f64 * share.min(1.0)).round() as i64)
    }
}

impl super::Pool {
    /// Its held machines and their seconds of a week in each class of hours; of a pool that is always at the peak one class.
    fn held_hours(&self) -> Vec<(u32, i64)> {
        let Some(k) = self.machines.iter().position(|m| m.purchase == Purchase::Held) else {
            return Vec::new();
        };
        match &self.following {
            None => vec![(self.machines[k].count, i64::from(WEEK_S))],
            Some(following) => {
                let seconds = |c: &super::HourClass| i64::from(c.seconds) * i64::from(following.repeats());
                let of = |c: &super::HourClass| Some((*c.machines.get(k)?, seconds(c)));
                following.classes.iter().filter_map(of).collect()
            }
        }
    }

    /// What its held machines are of, if it has any: of one commitment.
    pub fn commitment(&self) -> Option<&str> {
        self.machines.iter().find_map(|m| m.commitment.as_deref())
    }

    /// The most held machines that it has in any hour.
    pub fn most_held(&self) -> u32 {
        self.held_hours().into_iter().map(|(machines, _)| machines).max().unwrap_or(0)
    }

    /// Machine-seconds of a week of its held machines, if the pool is there all the time.
    pub fn held_seconds(&self) -> i64 {
        self.held_hours().into_iter().map(|(machines, seconds)| i64::from(machines) * seconds).sum()
    }
}
