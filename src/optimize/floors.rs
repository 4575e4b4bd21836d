//! What pools cost at least, before their machines are counted.

use std::sync::{Arc, PoisonError};

use rhumb_api::Money;

use super::base::Base;
use super::day;
use super::load::{self, Demand, PoolLoad};
use super::service::Search;
use super::table::Way;
use crate::spec::{PEAK_SHARE, WEEK_S};

/// The fewest machines of a way: on the mean of the week, in thousandths, and at the peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Floor {
    pub thousandths: u64,
    pub machines: u32,
    pub way: usize,
}

impl<'a> Search<'a> {
    /// Machines that a way needs at least if no replica does more than `bound` requests/s.
    fn floor(
        &self,
        demand: &Demand<'_>,
        (machine, w): (usize, usize),
        speed: usize,
        bound: f64,
    ) -> Option<Floor> {
        let way = &self.table.machines[machine].ways[w];
        let speed = self.table.speeds.get(speed)?;
        if bound <= 0.0 {
            return None;
        }
        let replicas = demand.at_least(speed, bound);
        let machines = self.machines_for(demand, way, replicas, 1.0);
        let thousandths = match self.classes(machine, way) {
            None => u64::from(machines) * 1000,
            Some(classes) => {
                let of = |class: &day::Class| {
                    let share = f64::from(class.share) / f64::from(PEAK_SHARE);
                    let rests = self.rests_in(class);
                    let machines = if rests { 0 } else { self.machines_for(demand, way, replicas, share) };
                    u64::from(class.seconds) * u64::from(machines)
                };
                classes.list.iter().map(of).sum::<u64>() * 1000 / u64::from(WEEK_S)
            }
        };
        Some(Floor { thousandths, machines, way: w })
    }

    /// Machines for a share of a load that needs so many replicas.
    fn machines_for(&self, demand: &Demand<'_>, way: &Way, replicas: f64, share: f64) -> u32 {
        let s = self.service.survive;
        let mut n = load::whole(replicas * share);
        let per = way.replicas.max(1);
        let lost = s.replica.max(s.machine.saturating_mul(per)).max(s.zone.saturating_mul(per));
        // A stand-in may be all that is there in a failure.
        let lost = if self.service.degrade.is_some() { 0 } else { lost };
        if lost > 0 {
            let left = if demand.slo_factor <= 1.0 && matches!(demand.load, PoolLoad::Rate(_)) {
                (f64::from(n.saturating_sub(1)) * demand.capacity * (1.0 - 1e-9)).ceil().max(1.0) as u32
            } else {
                1
            };
            n = n.max(left.saturating_add(lost));
        }
        n.div_ceil(per).saturating_mul(way.span.max(1))
    }

    /// Machines that a way needs at least where `regions` share a block, for each way of each machine type, fewest first. Good for an
    /// order, and to leave out most; [`Search::least`] knows better. No price changes them.
    pub fn floors(&self, base: &Base<'a>, regions: u32) -> Arc<Vec<Vec<Floor>>> {
        let mut known = base.floors.lock().unwrap_or_else(PoisonError::into_inner);
        let floors = known.entry((regions, self.flat));
        Arc::clone(floors.or_insert_with(|| Arc::new(self.new_floors(base, regions))))
    }

    fn new_floors(&self, base: &Base<'a>, regions: u32) -> Vec<Vec<Floor>> {
        let demand = &self.demand(base, regions, base.nearest);
        let of = |m: usize, machine: &super::table::Machine| {
            let floor = |w: usize, way: &Way| {
                let speed = *way.speed.as_ref().ok()?;
                self.floor(demand, (m, w), speed, *base.tops.get(speed)?)
            };
            let mut list: Vec<Floor> =
                machine.ways.iter().enumerate().filter_map(|(w, way)| floor(w, way)).collect();
            list.sort_unstable();
            list
        };
        self.table.machines.iter().enumerate().map(|(m, machine)| of(m, machine)).collect()
    }

    /// Machines that a way needs at least, by the most that a replica does within the limits; `None` if no number does.
    pub fn least(&self, base: &Base<'a>, demand: &Demand<'_>, (machine, w): (usize, usize)) -> Option<Floor> {
        let speed = *self.table.machines[machine].ways[w].speed.as_ref().ok()?;
        let bound = base.bounds.get(speed)?.get_or_init(|| {
            let near = self.demand(base, 1, base.nearest);
            self.table.speeds.get(speed).map_or(0.0, |s| near.bound_per_replica(s))
        });
        self.floor(demand, (machine, w), speed, *bound)
    }

    /// What machines cost at a site at least.
    pub fn least_cost(&self, site: usize, floor: Floor) -> Option<Money> {
        match self.follows() {
            None => self.terms[site].least(floor.machines),
            Some(_) => self.terms[site].least_over_day(floor.thousandths, floor.machines),
        }
    }

    /// Sites that may serve the block with a cost that none of their pools is under, cheapest first, up to a limit.
    pub fn sites(
        &self,
        base: &Base<'a>,
        demand: &Demand<'_>,
        floors: &[Vec<Floor>],
        limit: Money,
    ) -> Vec<(Money, usize)> {
        let extra = |region: usize| -> Option<Money> {
            base.network.get(region).copied().flatten()?;
            Some(self.least_extra(base, demand, region))
        };
        let extras: Vec<Option<Money>> = (0..base.network.len()).map(extra).collect();
        // Of a pool that follows the load the fewest machines on the mean are not always the fewest at the peak.
        let all = self.follows().is_some();
        let mut list: Vec<(Money, usize)> = self
            .table
            .sites
            .iter()
            .enumerate()
            .filter_map(|(i, site)| {
                let extra = extras.get(site.region).copied().flatten()?;
                let list = floors.get(site.machine)?;
                let few = if all { list.len() } else { 1 };
                let least = list.iter().take(few).filter_map(|floor| self.least_cost(i, *floor)).min()?;
                let least = least + extra;
                (least <= limit).then_some((least, i))
            })
            .collect();
        list.sort_unstable();
        list
    }

    /// What a pool costs besides machines at least, over the week.
    pub fn least_extra(&self, base: &Base<'_>, demand: &Demand<'_>, region: usize) -> Money {
        match demand.load {
            PoolLoad::Rate(rate) => {
                let extra = self.responses(base, region, rate);
                match &self.service.traffic.daily {
                    // Rounded once for each class, in which the load is.
                    Some(daily) if !self.flat => {
                        let rounded = Money::from_micros(day::differ(daily));
                        (day::mean(daily, extra.run) - rounded).max(Money::ZERO) + extra.toll
                    }
                    _ => extra.all(),
                }
            }
            PoolLoad::Clients(_) => Money::ZERO,
        }
    }

    /// What regions cost at least, however small their shares; `None` if no machine fits.
    pub fn one_machine(&self, base: &Base<'a>) -> Option<Least> {
        let fits = |machine: usize| {
            let ways = &self.table.machines[machine].ways;
            ways.iter()
                .filter(|w| matches!(w.speed, Ok(s) if base.tops.get(s).is_some_and(|b| *b > 0.0)))
                .map(|w| w.span.max(1))
                .min()
        };
        let spans: Vec<Option<u32>> = (0..self.table.machines.len()).map(fits).collect();
        let holds = self.table.sites.iter().any(|site| site.held);
        let runs = i64::from(WEEK_S) - i64::from(self.follows().map_or(0, |daily| self.may_rest_s(daily)));
        let mut by_region: Vec<Option<Money>> = vec![None; base.network.len()];
        for (i, site) in self.table.sites.iter().enumerate() {
            let t = &self.terms[i];
            let cheapest = t.base.into_iter().chain(t.spot).min();
            let (Some(cheapest), Some(span)) = (cheapest, spans[site.machine]) else { continue };
            if base.network.get(site.region).copied().flatten().is_some() {
                let whole = cheapest.times(i64::from(span));
                // Lines of two purchase options are each rounded.
                let price = match runs < i64::from(WEEK_S) {
                    true => (day::by_seconds(whole, runs) - Money::from_micros(2)).max(Money::ZERO),
                    false => whole,
                };
                let known = &mut by_region[site.region];
                *known = Some(known.map_or(price, |known| price.min(known)));
            }
        }
        let mut regions: Vec<Money> = by_region.into_iter().flatten().collect();
        regions.sort_unstable();
        Some(Least { one: *regions.first()?, regions: holds.then_some(regions) })
    }
}

/// What several regions cost at least.
pub(super) struct Least {
    /// The cheapest.
    one: Money,
    /// Each, cheapest first, where machines are held: where one region costs nothing, as many times as much says nothing.
    regions: Option<Vec<Money>>,
}

impl Least {
    /// So many together.
    pub fn of(&self, regions: u32) -> Money {
        match &self.regions {
            None => self.one.times(i64::from(regions)),
            Some(each) if each.len() < regions as usize => Money::MAX,
            Some(each) => each.iter().take(regions as usize).copied().sum(),
        }
    }
}
