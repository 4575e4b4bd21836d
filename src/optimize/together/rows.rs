//! What workloads share: budgets and declared quotas, in whole micro-dollars a month and whole millionths of a unit.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Cloud, HOURS_PER_MONTH, Money};

use super::super::pool::{Terms, times};
use super::super::{emission, stability};
use super::problem::ONE;
use crate::diagnostic::Pointer;
use crate::placement::World;
use crate::spec::{BudgetBinds, BudgetScope, Spec};

/// A limit that nothing reaches, with room for sums.
pub const UNLIMITED: i64 = i64::MAX / 1024;

/// One limit.
#[derive(Clone, Debug)]
pub struct Row {
    pub what: Shared,
    /// Micro-dollars a month, millionths of the quota's unit, or milligrams a month.
    pub limit: i64,
    pub at: Option<Pointer>,
}

/// What is limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shared {
    Budget(BudgetScope),
    Quota {
        cloud: Cloud,
        /// Region id, or `global`.
        place: String,
        code: String,
    },
    /// What all workloads emit; without a limit where it is only priced.
    Carbon,
    /// The accelerators of a shared fleet: what is taken of them, less those of its machines, is nothing at most.
    Slots,
}

/// Machines that services may share: a fleet of one offering.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Its [`Shared::Slots`].
    pub row: usize,
    /// Index of the offering.
    pub offering: usize,
    /// Index of its instance type.
    pub kind: usize,
    /// Micro-dollars a month for a machine, with what it counts for beside its price.
    pub month: i64,
    /// Its price alone.
    pub bill: i64,
    /// Whether its machines stand for those that count for more because none run yet, as many as those who move to the fleet need:
    /// nobody buys them.
    pub counts_only: bool,
    /// The fleet of these, where not everybody who may be on this one moves to it.
    pub moved: Option<usize>,
    /// What a machine takes of other rows.
    pub uses: Vec<(usize, i64)>,
    /// Accelerators of a machine.
    pub slots: u32,
    /// Zones of its region, if they are known.
    pub zones: Option<u32>,
}

impl Fleet {
    /// A part of what machines take or cost, rounded down.
    pub fn part(&self, of: i64, slots: i64) -> i64 {
        let part = i128::from(of) * i128::from(slots) / i128::from(self.slots.max(1));
        part.clamp(0, i128::from(i64::MAX / 1024)) as i64
    }
}

/// All limits of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub list: Vec<Row>,
    /// Shared fleets, by what their row is.
    pub fleets: Vec<Fleet>,
    quotas: BTreeMap<(Cloud, String, String), usize>,
    /// The budgets that each workload counts against.
    budgets: BTreeMap<String, Vec<usize>>,
    /// What each costs by itself, micro-dollars a month.
    apart: BTreeMap<String, i64>,
    /// What budgets limit.
    pub binds: BudgetBinds,
    /// A month of the dearest machine that a workload may buy beside held ones, micro-dollars; nothing where none are held.
    pub machine: i64,
    /// The row of [`Shared::Carbon`], where emissions count.
    pub carbon: Option<usize>,
    /// What a milligram counts for in what is minimised, micro-dollars over [`ONE`].
    pub carbon_price: i64,
    /// Whether machines that do not run yet count for more than they cost.
    pub surcharges: bool,
    /// Whether something runs of any service that may share machines, and of each: then all of them move to machines of a kind that does
    /// not run.
    pub some_move: bool,
    pub all_move: bool,
}

/// An amount of a quota's unit in millionths.
pub fn millionths(amount: f64) -> i64 {
    (amount * 1e6).round().clamp(0.0, 9e18) as i64
}

impl Rows {
    /// The budgets of `spec`, for workloads that cost so much by themselves; quotas follow as workloads name them.
    pub fn of(spec: &Spec, apart: BTreeMap<String, i64>) -> Self {
        let budgets = apart.keys().map(|address| (address.clone(), Vec::new())).collect();
        let mut rows = Rows { binds: spec.budget.binds, budgets, apart, ..Rows::default() };
        for (scope, budget) in &spec.budget.limits {
            let row = rows.add(Shared::Budget(scope.clone()), budget.limit.micros(), Some(budget.at.clone()));
            let counted = rows.budgets.iter_mut().filter(|(address, _)| scope.binds(spec, address));
            counted.for_each(|(_, own)| own.push(row));
        }
        if spec.carbon_at().is_some() {
            let cap = spec.budget.carbon.as_ref();
            let limit = cap.map_or(UNLIMITED, |cap| cap.mg.min(UNLIMITED));
            rows.carbon = Some(rows.add(Shared::Carbon, limit, cap.map(|cap| cap.at.clone())));
            rows.carbon_price = emission::price(spec);
        }
        rows
    }

    fn add(&mut self, what: Shared, limit: i64, at: Option<Pointer>) -> usize {
        self.list.push(Row { what, limit, at });
        self.list.len() - 1
    }

    /// Each quota of a site with what a machine takes of it, bought as planned and as spot.
    pub fn quotas(&mut self, spec: &Spec, cloud: Cloud, terms: &Terms) -> Vec<(usize, i64, i64)> {
        let mut found = Vec::new();
        for q in terms.quotas.iter() {
            let key = (cloud, q.place.clone(), q.code.clone());
            let row = match self.quotas.get(&key) {
                Some(row) => *row,
                None => {
                    let at = spec.limit_at(cloud, &q.place, &q.code);
                    let what = Shared::Quota { cloud, place: q.place.clone(), code: q.code.clone() };
                    // What a float sum may exceed a limit by without meaning it.
                    let row = self.add(what, millionths(q.limit + 1e-9), at);
                    self.quotas.insert(key, row);
                    row
                }
            };
            found.push((row, millionths(q.base), millionths(q.spot)));
        }
        found.sort_unstable();
        found
    }

    /// The fleet of an offering, by its index and that of its instance type: one machine costs and takes what a site's terms say.
    pub fn fleet(
        &mut self,
        spec: &Spec,
        cloud: Cloud,
        terms: &Terms,
        (world, region): (&World, usize),
        (offering, kind): (usize, usize),
        slots: u32,
    ) -> usize {
        if let Some(known) = self.fleets.iter().position(|f| f.offering == offering) {
            return known;
        }
        let hourly = terms.base.map_or(0, Money::micros);
        let bill = hourly.saturating_mul(HOURS_PER_MONTH);
        let mut uses: Vec<(usize, i64)> =
            self.quotas(spec, cloud, terms).into_iter().map(|q| (q.0, q.1)).collect();
        // No other budget counts a workload on shared machines.
        uses.extend(self.total().map(|row| (row, bill)));
        // What is not known was rejected before.
        let emitted = self.carbon.map_or(0, |_| emission::of_shared(world, kind, region));
        uses.extend(self.carbon.map(|row| (row, emitted)));
        uses.retain(|(_, amount)| *amount > 0);
        uses.sort_unstable();
        let row = self.add(Shared::Slots, 0, None);
        let month = bill.saturating_add(emission::priced(emitted, self.carbon_price).micros());
        let zones = terms.zones;
        let (counts_only, moved) = (false, None);
        let fleet = Fleet { row, offering, kind, month, bill, counts_only, moved, uses, slots, zones };
        self.fleets.push(fleet);
        let at = self.fleets.len() - 1;
        if let Some(each) = stability::machine(spec, world, (kind, region)).filter(|_| self.some_move) {
            let more = each.saturating_mul(HOURS_PER_MONTH);
            if self.all_move {
                self.fleets[at].month = month.saturating_add(more);
            } else {
                let row = self.add(Shared::Slots, 0, None);
                let fleet = Fleet {
                    row,
                    month: more,
                    bill: 0,
                    counts_only: true,
                    uses: Vec::new(),
                    ..self.fleets[at].clone()
                };
                self.fleets.push(fleet);
                self.fleets[at].moved = Some(at + 1);
            }
        }
        at
    }

    /// Prices of all rows from those of budgets and quotas: an accelerator of a shared fleet costs its part of a machine and of
    /// what that takes, rounded down. No fleet of any number of machines gains by them, so that the bound that they give is
    /// true.
    pub fn with_slots(&self, mut prices: Vec<i128>) -> Vec<i128> {
        for fleet in &self.fleets {
            let tolls: i128 = fleet.uses.iter().map(|(r, a)| prices[*r] * i128::from(*a)).sum();
            prices[fleet.row] = (i128::from(fleet.month) * ONE + tolls) / i128::from(fleet.slots.max(1));
        }
        prices
    }

    /// Prices at which nothing counts but the bill: no limit, no emission, no move.
    pub fn of_bill(&self) -> Vec<i128> {
        let mut prices = vec![0; self.list.len()];
        for fleet in &self.fleets {
            prices[fleet.row] = i128::from(fleet.bill) * ONE / i128::from(fleet.slots.max(1));
        }
        prices
    }

    /// The budget of everything.
    fn total(&self) -> Option<usize> {
        self.list.iter().position(|row| row.what == Shared::Budget(BudgetScope::All))
    }

    /// What the cheapest choice within the limits costs no more than, micro-dollars a month; `None` if nothing says so.
    ///
    /// A budget limits a figure that is never below the cost: those that together count every workload are such a bound, and so is
    /// that of everything. A workload that nothing limits costs what it does by itself.
    pub fn most(&self) -> Option<i64> {
        // No budget limits what emissions and machines that do not run yet count for.
        if self.carbon_price > 0 || self.surcharges {
            return None;
        }
        let limit = |row: usize| Some(self.list.get(row)?.limit).filter(|limit| *limit < UNLIMITED);
        let parts = || {
            let (mut counting, mut free) = (BTreeSet::new(), 0_i64);
            for (address, own) in &self.budgets {
                match own.iter().copied().filter(|row| limit(*row).is_some()).min_by_key(|row| limit(*row)) {
                    Some(row) => drop(counting.insert(row)),
                    None if self.quotas.is_empty() && self.carbon.is_none() => {
                        free = free.saturating_add(*self.apart.get(address)?)
                    }
                    None => return None,
                }
            }
            let limits = counting.iter().filter_map(|row| limit(*row));
            (!counting.is_empty()).then(|| limits.fold(free, i64::saturating_add))
        };
        self.total().and_then(limit).into_iter().chain(parts()).min()
    }

    /// The budgets that a workload counts against.
    pub fn budgets(&self, address: &str) -> Vec<usize> {
        self.budgets.get(address).cloned().unwrap_or_default()
    }

    /// What an hour of a machine counts for that emits so many milligrams in it, times [`ONE`]: in what is minimised, and for the cap.
    pub fn emitted(&self, mg_per_hour: i64, prices: &[i128]) -> i128 {
        let price = self.carbon.map_or(0, |row| prices[row] + i128::from(self.carbon_price));
        price * i128::from(mg_per_hour)
    }

    /// Price of a machine a month in budgets and quotas, times [`ONE`]: bought as planned, and as spot.
    pub fn tolls(&self, site: &[(usize, i64, i64)], prices: &[i128]) -> (i128, i128) {
        site.iter().fold((0, 0), |(base, spot), (row, b, s)| {
            let price = prices[*row];
            (base + price * i128::from(*b), spot + price * i128::from(*s))
        })
    }

    /// The sum of the prices of a workload's budgets.
    pub fn budget_price(&self, address: &str, prices: &[i128]) -> i128 {
        self.budgets(address).into_iter().map(|row| prices[row]).sum()
    }

    /// What a budget makes of a dollar that is expected to be paid, and of one that is paid at the load of the peak.
    pub fn tolls_of(&self, budget: i128) -> (i128, i128) {
        if self.binds == BudgetBinds::Expected { (budget, 0) } else { (0, budget) }
    }

    /// Hourly prices of a site with what its machines take of shared limits and what an hour of one counts for beside its price, rounded down so that nothing priced so costs
    /// more than it should; and dollars a GiB likewise.
    pub fn terms(
        &self,
        terms: &mut Terms,
        (site, counted): (&[(usize, i64, i64)], i128),
        budget: i128,
        prices: &[i128],
    ) {
        let (base_toll, spot_toll) = self.tolls(site, prices);
        let hours = i128::from(HOURS_PER_MONTH);
        let priced = |own: Money, bound: Money, toll: i128| {
            let hour = i128::from(own.micros()) * ONE + i128::from(bound.micros()) * budget + counted;
            let month = hour * hours + toll;
            Money::from_micros((month / (hours * ONE)).clamp(0, i128::from(i64::MAX / 1024)) as i64)
        };
        let (expected, _) = self.tolls_of(budget);
        terms.budget = expected;
        let counted = Money::from_micros((counted / ONE).clamp(0, i128::from(i64::MAX / 1024)) as i64);
        terms.run_base = terms.run_base.map(|price| times(price, ONE + expected) + counted);
        terms.run_spot = terms.run_spot.map(|price| times(price, ONE + expected) + counted);
        let ceiling = self.binds == BudgetBinds::Ceiling;
        let beside = |dear: Option<Money>, toll: i128| {
            let bound = dear.filter(|_| ceiling).map_or(0, |dear| i128::from(dear.micros()) * budget);
            let hour = (bound * hours + toll) / (hours * ONE);
            Money::from_micros(hour.clamp(0, i128::from(i64::MAX / 1024)) as i64)
        };
        let dear = terms.spot.map(|spot| terms.on_demand.unwrap_or(spot));
        terms.beside = (beside(terms.base, base_toll), beside(dear, spot_toll));
        if let Some(spot) = terms.spot {
            let bound =
                if self.binds == BudgetBinds::Ceiling { terms.on_demand.unwrap_or(spot) } else { spot };
            terms.spot = Some(priced(spot, bound, spot_toll));
        }
        terms.base = terms.base.map(|base| priced(base, base, base_toll));
        terms.weights = terms.weights.map(|price| times(price, ONE + budget));
    }
}
