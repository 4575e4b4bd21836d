//! What the multipliers leave open, closed: every choice of whole plans within the gap is looked at.
//!
//! Multipliers pay for parts of a limit, but what runs is whole: between the bound that they prove and the cost of what was placed
//! there may be a gap where nothing lies. A choice that costs less than what was placed has, of each workload, a plan that costs
//! at the multipliers at most the gap more than its least, since each of the others costs at least its own. So all such plans are
//! listed, of every candidate and count, and searched in depth for a choice within the limits. None is left out because another
//! is better, but where that costs no more and takes no more of any limit.
//!
//! Workloads whose plans are not listed stay at their least at the multipliers, for which they may take what they like of the
//! limits: the bound is as true, and lower.

mod depth;

use std::sync::Mutex;

use rayon::prelude::*;
use rhumb_api::Money;

use self::depth::{Depth, front};
use super::super::shared;
use super::super::subject::{Kind, Work};
use super::field::{Field, Site};
use super::prices::{Costs, Prices, SCALE};
use super::service::{Least, Search};
use super::{SLACK, batch, limit_of, paid, pipeline, shares, training};
use crate::placement::{Coupling, Placement, World};
use crate::spec::{BudgetBinds, Spec};

/// Most plans that are listed of one workload, and of all.
pub(super) const MOST_PLANS: usize = 20_000;
const MOST_OF_ALL: usize = 400_000;
/// Plans that may be looked at for each that may be listed.
pub(super) const LOOKS: usize = 128;
/// More workloads are not listed: what is left at their number is a small part of the cost.
const MOST_WORKLOADS: usize = 256;
/// Parts of the gap that are tried in turn where all of it is too much: each that ends proves as much.
const PARTS: [i128; 3] = [64, 8, 1];
/// Told where a gap is left because plans were not compared as wholes.
pub(super) const WHOLE_PLANS: &str = "which whole plans fit into shared limits together";

/// A plan of a workload.
pub(super) struct Plan {
    /// A month at each of the prices, over the scale: at the multipliers, without any, and at a price of a unit of each limit alone.
    pub gauged: Vec<i128>,
    pub of: Of,
}

/// What a plan is of.
pub(super) enum Of {
    Pools(Least),
    /// Machines of a site, index by index, and how many of them are spot.
    Run {
        site: usize,
        way: usize,
        machines: u32,
        spot: u32,
    },
}

/// Plans of one candidate that no other one of it beats in cost and in every limit.
#[derive(Default)]
pub(super) struct Front(Vec<Plan>);

impl Front {
    /// Adds a plan unless one that is there is as good.
    pub fn add(&mut self, plan: Plan) {
        if self.0.iter().any(|other| no_dearer(other, &plan)) {
            return;
        }
        self.0.retain(|other| !no_dearer(&plan, other));
        self.0.push(plan);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn into_plans(self) -> Vec<Plan> {
        self.0
    }
}

/// Whether a plan costs no more than another and takes no more of any limit.
fn no_dearer(a: &Plan, b: &Plan) -> bool {
    let cost = |plan: &Plan| plan.gauged.get(1).copied().unwrap_or(0);
    let more = cost(a) - cost(b);
    // What is taken of a limit is what a price of it adds.
    let bars = [0, 0].into_iter().chain(std::iter::repeat(more));
    a.gauged.iter().zip(&b.gauged).zip(bars).all(|((a, b), bar)| a - b <= bar)
}

/// What becomes of a plan once it is looked at closely.
pub(super) enum Settled {
    Holds,
    /// It does not do; what takes its place, if anything does.
    Gone(Vec<Plan>),
    /// It does not do, and what takes its place is too much to list.
    Open,
}

/// A workload whose plans can be listed.
pub(super) trait Wholes: Sync {
    /// Every plan that costs at most so much at the first of the prices, by the closed form, but for those that cost no less and take no
    /// less of anything than another of the same machines; `None` if they are too many.
    fn list(&self, up_to: i128, plans: usize) -> Option<Vec<Plan>>;
    /// Whether a replay lets a plan be what it is.
    fn settle(&self, plan: &Plan) -> Settled;
}

/// A plan and what it takes.
struct Item {
    /// What it counts for in what is minimised, a month.
    cost: i128,
    /// The same with what it takes of limits at the multipliers.
    priced: i128,
    /// What it takes of each limit, in its units.
    used: Vec<i128>,
    plan: Plan,
}

impl Item {
    fn new(plan: Plan) -> Item {
        let mut by = plan.gauged.iter().copied();
        let (priced, cost) = (by.next().unwrap_or(0), by.next().unwrap_or(0));
        let used = by.map(|with| (with - cost + SCALE / 2).div_euclid(SCALE)).collect();
        Item { cost, priced, used, plan }
    }
}

/// A workload whose plans are listed.
struct Listed<'s> {
    wholes: &'s dyn Wholes,
    /// Its least at the multipliers.
    least: i128,
    items: Vec<Item>,
    /// Plans that a replay contradicted.
    gone: Vec<bool>,
}

/// The plans of a service.
struct OfService<'a> {
    search: Search<'a>,
    budgets: Vec<Money>,
    binds: BudgetBinds,
}

impl Wholes for OfService<'_> {
    fn list(&self, up_to: i128, plans: usize) -> Option<Vec<Plan>> {
        let all = self.search.list(0, up_to, plans)?.into_iter();
        let kept = all.filter(|plan| self.search.breaks(plan, &self.budgets, self.binds).is_empty());
        Some(kept.map(|plan| Plan { gauged: self.search.gauged(&plan), of: Of::Pools(plan) }).collect())
    }

    fn settle(&self, plan: &Plan) -> Settled {
        match &plan.of {
            Of::Pools(pools) if self.search.holds(pools) => Settled::Holds,
            _ => Settled::Gone(Vec::new()),
        }
    }
}

/// What the multipliers prove.
pub(super) struct Open<'a> {
    /// Workload to its least at the multipliers, over the scale.
    pub least: &'a [(String, i128)],
    /// What everything that was placed counts for, a month.
    pub cost: Money,
}

/// The bound of all workloads together.
pub(super) struct Closed {
    /// Over the scale.
    pub bound: i128,
    /// Whether whole plans were compared up to there: nothing is left open.
    pub whole: bool,
    /// Whether a choice costs as much that keeps every promise and every limit.
    pub found: bool,
}

/// What the rounding of so many workloads' months may come to.
pub(super) fn rounding(workloads: usize) -> Money {
    Money::from_micros(SLACK).times(workloads.clamp(1, 1 << 20) as i64)
}

/// The bound of all workloads together where the multipliers leave a gap; `None` where they do not.
pub(super) fn bound(spec: &Spec, world: &World, placement: &Placement, open: &Open<'_>) -> Option<Closed> {
    let coupling = placement.coupling.as_ref()?;
    let sum: i128 = open.least.iter().map(|(_, least)| least).sum();
    let apart = sum - paid(spec, coupling);
    let top = i128::from((open.cost - rounding(open.least.len())).micros()) * SCALE;
    if apart >= top || coupling.limits.is_empty() {
        return None;
    }
    let at = |bound: i128| Closed { bound, whole: false, found: false };
    if open.least.len() > MOST_WORKLOADS {
        return Some(at(apart));
    }
    let limits: Option<Vec<i128>> = coupling.limits.iter().map(|limit| limit_of(spec, limit)).collect();
    let Some(limits) = limits else { return Some(at(apart)) };
    // Dollars of a plan may be rounded to a little less than they are here; machines and grams are not.
    let slack = |i: usize| if coupling.limits[i].constraint == "budget" { i128::from(SLACK) } else { 0 };
    let within: Vec<i128> = limits.iter().enumerate().map(|(i, limit)| limit + slack(i)).collect();
    let limits = (limits.as_slice(), within.as_slice());

    let works: Vec<Work<'_>> = open.least.iter().filter_map(|(a, _)| Work::of(spec, world, a)).collect();
    let fields: Vec<FieldOf<'_>> = works.iter().map(|work| FieldOf::of(spec, world, work)).collect();
    let gauges: Vec<Vec<Prices>> = works.iter().map(|work| gauges(spec, coupling, &work.address)).collect();
    let gap = top - apart;
    let least_of =
        |address: &str| open.least.iter().find(|(a, _)| a == address).map_or(0, |(_, least)| *least);
    let wholes: Vec<Option<Box<dyn Wholes + '_>>> = works
        .iter()
        .zip(&fields)
        .zip(&gauges)
        .map(|((work, field), prices)| {
            let budgets = shared::budgets_on(spec, &work.address).into_iter().map(|(_, b)| b.limit).collect();
            field.wholes(work, Gauge { world, prices, budgets }, least_of(&work.address) + gap)
        })
        .collect();
    let all = wholes.iter().all(Option::is_some);
    let mut proven = apart;
    for part in PARTS {
        let within = gap / part;
        let Some(mut listed) = list(&wholes, open, within) else { break };
        let Some(found) = closed(&mut listed, limits, apart, within, all) else { break };
        match found {
            // Something within the part: no more of the gap is to be looked at.
            Some((value, sure)) => {
                return Some(Closed { bound: value.max(proven), whole: all, found: all && sure });
            }
            None => proven = apart + within,
        }
    }
    let whole = proven >= top;
    let bound = if whole { i128::from(open.cost.micros()) * SCALE } else { proven };
    Some(Closed { bound, whole, found: false })
}

/// Where a workload whose plans can be listed may be put.
enum FieldOf<'a> {
    Service(Field),
    Batch(Field),
    Training(training::Field<'a>),
    Pipeline(pipeline::Field<'a>),
    Other,
}

impl<'a> FieldOf<'a> {
    fn of(spec: &Spec, world: &'a World, work: &'a Work<'a>) -> Self {
        match work.kind {
            Kind::Service(service) if !shares(spec, service) && service.degrade.is_none() => {
                FieldOf::Service(Field::of(spec, world, work))
            }
            Kind::Batch(_) => FieldOf::Batch(Field::of(spec, world, work)),
            Kind::Training(asked) => FieldOf::Training(training::Field::of(spec, world, work, asked)),
            Kind::Pipeline(asked) => FieldOf::Pipeline(pipeline::Field::of(spec, world, work, asked)),
            Kind::Service(_) | Kind::Profiled(_) | Kind::Federation(_) => FieldOf::Other,
        }
    }

    /// `bar`: what costs more is not asked about.
    fn wholes(&'a self, work: &'a Work<'a>, gauge: Gauge<'a>, bar: i128) -> Option<Box<dyn Wholes + 'a>> {
        let none: &[Field] = &[];
        Some(match (work.kind, self) {
            (Kind::Service(service), FieldOf::Service(field)) => {
                let Gauge { world, prices, budgets } = gauge;
                let search = Search::new(world, work, service, (field, none), prices, vec![bar], false)?;
                Box::new(OfService { search, budgets, binds: prices.first()?.binds })
            }
            (Kind::Batch(batch), FieldOf::Batch(field)) => {
                Box::new(batch::Wholes { work, batch, field, gauge, state: Mutex::default() })
            }
            (_, FieldOf::Training(field)) => Box::new(training::Wholes { field, gauge }),
            (_, FieldOf::Pipeline(field)) => Box::new(pipeline::Wholes { field, gauge }),
            _ => return None,
        })
    }
}

/// What a run's plans are measured by.
pub(super) struct Gauge<'a> {
    pub world: &'a World,
    pub prices: &'a [Prices],
    /// Its own, each of a month.
    pub budgets: Vec<Money>,
}

/// How long machines are there.
#[derive(Clone, Copy)]
pub(super) struct Time {
    /// Of a run.
    pub hours: f64,
    /// A month.
    pub runs: f64,
    /// Whether they are there all the time.
    pub all_month: bool,
}

impl Gauge<'_> {
    /// A plan of some machines of a way of a site (indexes), and of spot or held ones among them, that is there so long and costs so much;
    /// `None` if a budget does not allow it.
    pub fn plan(
        &self,
        site: &Site,
        (at, way): (usize, usize),
        (machines, spot): (u32, u32),
        time: Time,
        month: Costs,
    ) -> Option<Plan> {
        let binds = self.prices.first()?.binds;
        if self.budgets.iter().any(|limit| month.bound(binds) > *limit) {
            return None;
        }
        let priced = |prices: &Prices| {
            let tolls = prices.tolls(self.world, site);
            let there = if time.all_month { prices.all_month(site, machines) } else { 0 };
            prices.month(month)
                + tolls.0 * i128::from(machines - spot)
                + tolls.1 * i128::from(spot)
                + prices.runs(site, machines, time.hours, time.runs, true)
                + there
        };
        let gauged = self.prices.iter().map(priced).collect();
        Some(Plan { gauged, of: Of::Run { site: at, way, machines, spot } })
    }
}

impl Plan {
    /// Whether it costs at most so much at the first of the prices.
    pub fn within(&self, up_to: i128) -> bool {
        self.gauged.first().is_some_and(|priced| *priced <= up_to)
    }
}

/// The multipliers; none; and for each limit a price of one unit of it alone.
fn gauges(spec: &Spec, coupling: &Coupling, address: &str) -> Vec<Prices> {
    let with = |multiplier: &dyn Fn(usize) -> i64| {
        let mut coupling = Coupling { least: Default::default(), ..coupling.clone() };
        for (i, limit) in coupling.limits.iter_mut().enumerate() {
            limit.multiplier = multiplier(i);
        }
        Prices::of(spec, Some(&coupling), address)
    };
    let own = with(&|i| coupling.limits[i].multiplier);
    let alone = (0..coupling.limits.len()).map(|k| with(&|i| if i == k { SCALE as i64 } else { 0 }));
    [own, with(&|_| 0)].into_iter().chain(alone).collect()
}

/// Every plan of the listed workloads that costs at most so much more than its least; `None` if they are too many.
fn list<'s>(
    wholes: &'s [Option<Box<dyn Wholes + '_>>],
    open: &Open<'_>,
    within: i128,
) -> Option<Vec<Listed<'s>>> {
    let slack = i128::from(SLACK) * SCALE;
    let of = |(wholes, (_, least)): (&'s Option<Box<dyn Wholes + '_>>, &(String, i128))| {
        let wholes = wholes.as_deref()?;
        let plans = wholes.list(least + within + slack, MOST_PLANS);
        Some(plans.map(|plans| {
            let items: Vec<Item> = plans.into_iter().map(Item::new).collect();
            // What is below the least was contradicted by a replay.
            let gone = items.iter().map(|item| item.priced < least - slack).collect();
            Listed { wholes, least: *least, items, gone }
        }))
    };
    let listed: Option<Vec<Listed<'s>>> = wholes.iter().zip(open.least).filter_map(of).collect();
    listed.filter(|all| all.iter().map(|l| l.items.len()).sum::<usize>() <= MOST_OF_ALL)
}

/// The least that a choice of listed plans within the limits counts for, if that is at most `within` above `apart`, and whether it keeps
/// everything that was asked about it: `Some(None)` if there is none, and `None` if that was not found out.
fn closed(
    listed: &mut [Listed<'_>],
    (strictly, limits): (&[i128], &[i128]),
    apart: i128,
    within: i128,
    all: bool,
) -> Option<Option<(i128, bool)>> {
    loop {
        let fronts: Vec<Vec<usize>> = listed.par_iter().map(front).collect();
        let mut order: Vec<usize> = (0..listed.len()).collect();
        order.sort_by_key(|w| (fronts[*w].len(), *w));
        let mut depth = Depth::new(listed, &fronts, &order, limits, apart, within, all);
        depth.go(0, 0);
        if depth.ended() {
            return None;
        }
        let Some((value, chosen)) = depth.best.take() else { return Some(None) };
        let settled: Vec<Settled> =
            chosen.par_iter().map(|(w, i)| listed[*w].wholes.settle(&listed[*w].items[*i].plan)).collect();
        let mut held = true;
        for ((w, i), settled) in chosen.iter().zip(settled) {
            let others = match settled {
                Settled::Holds => continue,
                Settled::Gone(others) => others,
                Settled::Open => return None,
            };
            held = false;
            listed[*w].gone[*i] = true;
            listed[*w].gone.extend(others.iter().map(|_| false));
            listed[*w].items.extend(others.into_iter().map(Item::new));
        }
        if held {
            let taken = |k: usize| chosen.iter().map(|(w, i)| listed[*w].items[*i].used[k]).sum::<i128>();
            let keeps = strictly.iter().enumerate().all(|(k, limit)| taken(k) <= *limit);
            return Some(Some((value, keeps)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan that costs so much and takes so much of two limits, of which the first has a price of a half.
    fn plan(cost: i128, first: i128, second: i128) -> Plan {
        let one = SCALE;
        let gauged =
            vec![cost * one + first * one / 2, cost * one, (cost + first) * one, (cost + second) * one];
        Plan { gauged, of: Of::Run { site: 0, way: 0, machines: first as u32, spot: second as u32 } }
    }

    fn of(front: Front) -> Vec<(u32, u32)> {
        let of = |plan: Plan| match plan.of {
            Of::Run { machines, spot, .. } => (machines, spot),
            Of::Pools(_) => unreachable!("none is"),
        };
        front.into_plans().into_iter().map(of).collect()
    }

    #[test]
    fn a_front_has_what_nothing_beats() {
        let mut front = Front::default();
        for (cost, first, second) in [(10, 4, 4), (9, 6, 4), (10, 4, 5), (12, 0, 9), (8, 4, 4), (8, 4, 4)] {
            front.add(plan(cost, first, second));
        }
        assert_eq!(of(front), [(0, 9), (4, 4)]);
    }

    struct Told(Vec<(i128, i128, i128)>, (u32, u32));

    impl Wholes for Told {
        fn list(&self, _: i128, _: usize) -> Option<Vec<Plan>> {
            Some(self.0.iter().map(|(cost, first, second)| plan(*cost, *first, *second)).collect())
        }

        fn settle(&self, plan: &Plan) -> Settled {
            match &plan.of {
                Of::Run { machines, spot, .. } if (*machines, *spot) == self.1 => Settled::Gone(Vec::new()),
                _ => Settled::Holds,
            }
        }
    }

    /// What two workloads cost together within so much of the limits; the third argument is a plan that a replay contradicts.
    fn least(limits: [i128; 2], within: i128, gone: (u32, u32)) -> Option<i128> {
        let own = |all: &[(i128, i128, i128)]| Told(all.to_vec(), gone);
        let (a, b) = (own(&[(5, 8, 0), (9, 4, 0), (20, 0, 1)]), own(&[(6, 6, 2), (11, 1, 3)]));
        // At the multiplier: 9, 11 and 20 of the first, 9 and 11.5 of the second; of the limit a half is paid.
        let apart = (18 * SCALE) - limits[0] * SCALE / 2;
        let mut listed: Vec<Listed<'_>> = [&a, &b]
            .map(|wholes| {
                let items: Vec<Item> = wholes.list(0, 0).unwrap().into_iter().map(Item::new).collect();
                let gone = vec![false; items.len()];
                Listed { wholes, least: 9 * SCALE, items, gone }
            })
            .into();
        let found = closed(&mut listed, (&limits, &limits), apart, within * SCALE, true);
        found.unwrap().map(|(value, _)| value / SCALE)
    }

    #[test]
    fn whole_plans_are_chosen_within_limits() {
        let none = (99, 99);
        assert_eq!(least([14, 9], 100, none), Some(11), "both have their cheapest");
        // 14 of the first do not fit: either takes another; 9 + 6 for 10, or 5 + 11 for 9.
        assert_eq!(least([10, 9], 100, none), Some(15));
        assert_eq!(least([9, 9], 100, none), Some(16));
        // Of the second limit 3 are there: 20 with 1 and 6 with 2, while 11 takes 3.
        assert_eq!(least([6, 3], 100, none), Some(20), "9 with 4, and 11 with 1");
        assert_eq!(least([6, 2], 100, none), None, "26 takes 3 of the second limit");
        // What a replay contradicts is none: the next best.
        assert_eq!(least([10, 9], 100, (4, 0)), Some(16));
        // Within a part of the gap that does not reach it nothing is found.
        assert_eq!(least([10, 9], 1, none), None);
        assert_eq!(least([10, 9], 2, none), Some(15));
    }
}
