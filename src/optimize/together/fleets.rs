//! Shared fleets in the common problem: each is one more workload, whose plans are its numbers of machines. A row says that no more
//! accelerators are taken than there are; others, that a workload whose pool may have so many replicas on a machine needs as many
//! machines. Both follow from the rule by which pools are put on machines; what a choice really needs, the rule says.
//!
//! Where a move counts for more, those who move to machines of which none run are on a second fleet as well, which nobody buys and which
//! counts for that; if all who may be there move, it is the fleet itself, at a higher price.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::{Choice, Class, Column, Problem};
use super::rows::Fleet;
use super::{Planned, Search, tree};
use crate::optimize::sharing::{self, Item};

/// The known plans of all workloads, then those of the fleets that any of them uses.
pub struct Full {
    pub problem: Problem,
    /// Indexes of the fleets.
    pub fleets: Vec<usize>,
    /// Accelerators of a machine of each.
    slots: Vec<i64>,
    /// Fleets and workloads that there is a row for: machines that it needs there.
    pairs: Vec<(usize, usize)>,
}

impl Full {
    /// One machine of each fleet with its accelerators.
    pub fn fleets_of_problem(&self) -> impl Iterator<Item = (&Column, i64)> {
        let first = self.problem.fleets.unwrap_or(self.problem.plans.len());
        let machines = self.problem.plans[first..].iter().filter_map(|numbers| numbers.get(1));
        machines.zip(self.slots.iter().copied())
    }
}

/// Up to so many rows of machines that a workload needs are all there from the start. Of more, those are added that a relaxation or
/// a choice breaks: it would be slow with all, and is true without.
const MOST_NEEDED: usize = 40;
/// Rows that are added at once, those first that break most money.
const ADDED: usize = 12;

/// A column in which shared machines are paid and taken in parts, rounded down: what it costs at least beside others.
pub fn folded(column: &Column, fleets: &[Fleet]) -> Column {
    let mut folded = Column { uses: Vec::new(), ..*column };
    let mut add = |row: usize, amount: i64| match folded.uses.iter_mut().find(|(r, _)| *r == row) {
        Some((_, sum)) => *sum += amount,
        None => folded.uses.push((row, amount)),
    };
    let mut machines = 0;
    for (row, amount) in &column.uses {
        match fleets.iter().find(|f| f.row == *row) {
            None => add(*row, *amount),
            Some(fleet) => {
                machines += fleet.part(fleet.month, *amount);
                fleet.uses.iter().for_each(|(r, a)| add(*r, fleet.part(*a, *amount)));
            }
        }
    }
    folded.cost += machines;
    folded.uses.retain(|(_, amount)| *amount > 0);
    folded.uses.sort_unstable();
    folded
}

/// Machines of a fleet that a plan needs, whatever else is on them.
fn needs(planned: &Planned, fleet: usize) -> i64 {
    let own = planned.shared.iter().filter(|s| s.fleet == fleet);
    own.map(|s| i64::from(s.item.needs())).max().unwrap_or(0)
}

impl Search<'_, '_> {
    pub(super) fn full(&self) -> Full {
        let mut used: BTreeSet<usize> = BTreeSet::new();
        let mut pairs: BTreeSet<(usize, usize)> = BTreeSet::new();
        for (s, own) in self.pool.iter().enumerate() {
            for f in own.iter().flat_map(|p| &p.shared).map(|p| p.fleet) {
                used.insert(f);
                pairs.insert((f, s));
            }
        }
        let fleets: Vec<usize> = used.into_iter().collect();
        // Later ones behind, so that a basis without them still is one.
        let pairs: Vec<(usize, usize)> = match pairs.len() <= MOST_NEEDED {
            true => pairs.into_iter().collect(),
            false => self.needed.iter().copied().filter(|pair| pairs.contains(pair)).collect(),
        };
        let all = &self.rows.fleets;
        let mut place: BTreeMap<usize, usize> =
            self.active.iter().enumerate().map(|(i, row)| (*row, i)).collect();
        let a = self.active.len();
        place.extend(fleets.iter().enumerate().map(|(j, f)| (all[*f].row, a + j)));
        let mut limits: Vec<i64> = self.active.iter().map(|r| self.rows.list[*r].limit).collect();
        limits.resize(a + fleets.len(), 0);
        let classes = self.classes(&fleets, &mut limits);
        let rows = limits.len();
        limits.resize(rows + pairs.len(), 0);
        let of_workload = |s: usize, planned: &Planned| {
            let known = planned.column.uses.iter().filter_map(|(r, u)| Some((*place.get(r)?, *u)));
            let needed = pairs.iter().enumerate().filter(|(_, (_, of))| *of == s);
            let needed = needed.map(|(i, (f, _))| (rows + i, needs(planned, *f))).filter(|(_, n)| *n > 0);
            let mut uses: Vec<(usize, i64)> = known.chain(needed).collect();
            uses.sort_unstable();
            Column { uses, ..planned.column }
        };
        let mut plans: Vec<Vec<Column>> = self
            .pool
            .iter()
            .enumerate()
            .map(|(s, own)| own.iter().map(|p| of_workload(s, p)).collect())
            .collect();
        for (j, f) in fleets.iter().enumerate() {
            let fleet = &all[*f];
            let most = |own: &Vec<Planned>| own.iter().map(|p| self.alone(p, *f)).max().unwrap_or(0);
            let most: i64 = self.pool.iter().map(most).sum();
            let numbers = (0..=most).map(|n| {
                let own = fleet.uses.iter().filter_map(|(r, u)| Some((*place.get(r)?, u * n)));
                let here = [(a + j, -n * i64::from(fleet.slots))];
                let needed = pairs.iter().enumerate().filter(|(_, (of, _))| of == f);
                let needed = needed.map(|(i, _)| (rows + i, -n));
                let mut uses: Vec<(usize, i64)> =
                    own.chain(here).chain(needed).filter(|(_, u)| *u != 0).collect();
                uses.sort_unstable();
                let machines = if fleet.counts_only { 0 } else { n as u64 };
                Column { cost: fleet.month.saturating_mul(n), machines, uses }
            });
            plans.push(numbers.collect());
        }
        let first = (!fleets.is_empty()).then_some(self.pool.len());
        for class in &classes {
            for s in &class.fleets {
                for (n, column) in plans[*s].iter_mut().enumerate().skip(1) {
                    column.uses.extend([(class.rows.0, n as i64), (class.rows.1, -(n as i64))]);
                    column.uses.sort_unstable();
                }
            }
        }
        Full {
            problem: Problem { limits, machine: self.rows.machine, plans, fleets: first, classes },
            slots: fleets.iter().map(|f| i64::from(all[*f].slots)).collect(),
            fleets,
            pairs,
        }
    }

    /// Rows of machines that a workload needs, not there yet, which a choice breaks.
    pub(super) fn breaks(&self, full: &Full, plans: &[usize]) -> Vec<(usize, usize)> {
        let mut broken = Vec::new();
        for (f, n) in full.fleets.iter().zip(&plans[self.pool.len()..]) {
            for (s, (own, p)) in self.pool.iter().zip(plans).enumerate() {
                let pair = (*f, s);
                if needs(&own[*p], *f) > *n as i64 && !full.pairs.contains(&pair) {
                    broken.push(pair);
                }
            }
        }
        broken
    }

    /// Fleets of the same machines in several regions, and all of the same number of accelerators, each with two rows at the end of
    /// `limits`: many fleets may have whole machines only as their sum is whole, and cost about the same.
    fn classes(&self, fleets: &[usize], limits: &mut Vec<i64>) -> Vec<Class> {
        let all = &self.rows.fleets;
        let mut by: BTreeMap<(Option<usize>, u32), Vec<usize>> = BTreeMap::new();
        for (j, f) in fleets.iter().enumerate().filter(|(_, f)| !all[**f].counts_only) {
            for key in [(Some(all[*f].kind), all[*f].slots), (None, all[*f].slots)] {
                by.entry(key).or_default().push(self.pool.len() + j);
            }
        }
        let several: BTreeSet<Vec<usize>> = by.into_values().filter(|own| own.len() > 1).collect();
        let class = |own: Vec<usize>| {
            limits.extend([tree::MOST_MACHINES, 0]);
            let machine = own.iter().map(|s| all[fleets[s - self.pool.len()]].month).min().unwrap_or(0);
            Class { fleets: own, rows: (limits.len() - 2, limits.len() - 1), machine }
        };
        several.into_iter().map(class).collect()
    }

    /// Adds rows of machines that a workload needs where mixed plans of `full` break them; whether any was added.
    pub(super) fn separates(&mut self, full: &Full, shares: &[Vec<(usize, f64)>]) -> bool {
        let mut broken: Vec<(f64, (usize, usize))> = Vec::new();
        for (j, f) in full.fleets.iter().enumerate() {
            let machines: f64 = shares[self.pool.len() + j].iter().map(|(n, x)| *n as f64 * x).sum();
            for (s, (own, list)) in self.pool.iter().zip(shares).enumerate() {
                let needed: f64 = list.iter().map(|(p, x)| needs(&own[*p], *f) as f64 * x).sum();
                if needed > machines + 1e-6 && !full.pairs.contains(&(*f, s)) {
                    broken.push(((needed - machines) * self.rows.fleets[*f].month as f64, (*f, s)));
                }
            }
        }
        broken.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        broken.truncate(ADDED);
        self.needs_rows(broken.iter().map(|(_, pair)| *pair));
        !broken.is_empty()
    }

    /// Adds rows of machines that a workload needs.
    pub(super) fn needs_rows(&mut self, pairs: impl IntoIterator<Item = (usize, usize)>) {
        for pair in pairs {
            if !self.needed.contains(&pair) {
                self.needed.push(pair);
            }
        }
    }

    /// Machines of a fleet for the pools of one plan, each apart.
    fn alone(&self, planned: &Planned, fleet: usize) -> i64 {
        let of = &self.rows.fleets[fleet];
        let own = planned.shared.iter().filter(|s| s.fleet == fleet);
        own.map(|s| sharing::packed(&[s.item], of.slots, of.zones).map_or(0, |m| m.len() as i64)).sum()
    }

    /// A choice of plans with the machines that the rule gives every fleet; `None` if those are more than there are plans for.
    pub(super) fn completed(&self, full: &Full, plans: &[usize]) -> Option<Choice> {
        let chosen: Vec<&Planned> = self.pool.iter().zip(plans).map(|(own, p)| &own[*p]).collect();
        let mut plans = plans[..self.pool.len()].to_vec();
        for (j, f) in full.fleets.iter().enumerate() {
            let n = self.machines(&chosen, *f)?;
            if n >= full.problem.plans[self.pool.len() + j].len() {
                return None;
            }
            plans.push(n);
        }
        full.problem.choice(plans)
    }

    /// A choice of plans with the fewest machines of every fleet that any rule could do with.
    pub(super) fn least(&self, full: &Full, plans: &[usize]) -> Option<Choice> {
        let mut plans = plans[..self.pool.len()].to_vec();
        for (j, f) in full.fleets.iter().enumerate() {
            let chosen = || self.pool.iter().zip(&plans).map(|(own, p)| &own[*p]);
            let slots: i64 = chosen().map(|p| p.column.of(self.rows.fleets[*f].row)).sum();
            let needed = chosen().map(|p| needs(p, *f)).max().unwrap_or(0);
            let each = i64::from(self.rows.fleets[*f].slots.max(1));
            let n = usize::try_from(slots.div_euclid(each) + i64::from(slots.rem_euclid(each) > 0)).ok()?;
            let n = n.max(usize::try_from(needed).ok()?);
            if n >= full.problem.plans[self.pool.len() + j].len() {
                return None;
            }
            plans.push(n);
        }
        full.problem.choice(plans)
    }

    /// Machines of a fleet for chosen plans.
    pub(super) fn machines(&self, chosen: &[&Planned], fleet: usize) -> Option<usize> {
        let all = self.by_address.iter().filter_map(|s| chosen.get(*s)).flat_map(|planned| &planned.shared);
        let mut items: Vec<Item> = all.filter(|s| s.fleet == fleet).map(|s| s.item).collect();
        if items.is_empty() {
            return Some(0);
        }
        items.sort_by_key(|item| std::cmp::Reverse(item.size));
        let of = &self.rows.fleets[fleet];
        sharing::packed(&items, of.slots, of.zones).map(|machines| machines.len())
    }

    /// Leaves out plans on fleets that another fleet replaces in every plan of every workload: at no more accelerators, machines,
    /// cost and limits. Those that `keep` names stay.
    pub(super) fn without_replaced(&self, lists: &mut [Vec<Planned>], keep: &BTreeSet<usize>) {
        let fleets = &self.rows.fleets;
        // Fleet and workload to the plans on that fleet; a plan on several fleets ties them down.
        let mut on: BTreeMap<usize, BTreeMap<usize, Vec<&Planned>>> = BTreeMap::new();
        let mut tied: BTreeSet<usize> = keep.clone();
        for (s, own) in lists.iter().enumerate() {
            for planned in own {
                let bought = planned.shared.iter().filter(|p| !fleets[p.fleet].counts_only);
                let mut its: Vec<usize> = bought.map(|p| p.fleet).collect();
                its.dedup();
                match its[..] {
                    [] => {}
                    [one] => on.entry(one).or_default().entry(s).or_default().push(planned),
                    _ => tied.extend(its),
                }
            }
        }
        let mut gone: BTreeSet<usize> = BTreeSet::new();
        let all: Vec<usize> = on.keys().copied().collect();
        let order = |f: usize| (fleets[f].month, f);
        let moved = |f: usize| fleets[f].moved.map_or(0, |m| fleets[m].month);
        for b in &all {
            if tied.contains(b) {
                continue;
            }
            let better = |a: &&usize| {
                let (a, b) = (**a, *b);
                let lighter = |(r, u): &(usize, i64)| fleets[b].uses.iter().any(|(q, v)| q == r && u <= v);
                order(a) < order(b)
                    && moved(a) <= moved(b)
                    && !gone.contains(&a)
                    && fleets[a].slots == fleets[b].slots
                    && fleets[a].uses.iter().all(lighter)
                    && on[&b].iter().all(|(s, plans)| {
                        let others = on[&a].get(s).map_or(&[][..], |list| list);
                        plans.iter().all(|p| others.iter().any(|q| self.replaces((q, a), (p, b))))
                    })
            };
            if all.iter().any(|a| better(&a)) {
                gone.insert(*b);
            }
        }
        for own in lists {
            own.retain(|p| !p.shared.iter().any(|s| gone.contains(&s.fleet)));
        }
    }

    /// The fleets of a choice.
    pub(super) fn fleets_of(&self, choice: Option<&Choice>) -> BTreeSet<usize> {
        let plans = choice.iter().flat_map(|c| self.pool.iter().zip(&c.plans));
        plans.flat_map(|(own, p)| own[*p].shared.iter().map(|s| s.fleet)).collect()
    }

    /// What chosen plans take of all rows, with the machines that they share.
    pub(super) fn taken(&self, chosen: &[Planned]) -> Vec<i128> {
        let mut taken = vec![0_i128; self.rows.list.len()];
        for (r, u) in chosen.iter().flat_map(|p| &p.column.uses) {
            taken[*r] += i128::from(*u);
        }
        let all: Vec<&Planned> = chosen.iter().collect();
        for (f, fleet) in self.rows.fleets.iter().enumerate() {
            let n = self.machines(&all, f).unwrap_or(0) as i128;
            for (r, u) in &fleet.uses {
                taken[*r] += i128::from(*u) * n;
            }
        }
        taken
    }

    /// What the shared machines of chosen plans count for beside what is paid for them, micro-dollars a month.
    pub(super) fn beside_the_bill(&self, chosen: &[Planned]) -> i64 {
        let all: Vec<&Planned> = chosen.iter().collect();
        let of = |(f, fleet): (usize, &Fleet)| {
            let n = self.machines(&all, f).unwrap_or(0) as i64;
            (fleet.month - fleet.bill).saturating_mul(n)
        };
        self.rows.fleets.iter().enumerate().map(of).sum()
    }

    /// Whether a plan on one fleet is as good as another plan on another one.
    fn replaces(&self, (p, on_p): (&Planned, usize), (q, on_q): (&Planned, usize)) -> bool {
        let fleets = &self.rows.fleets;
        let slots = |p: &Planned, f: usize| p.column.of(fleets[f].row);
        let moved = |p: &Planned, f: usize| fleets[f].moved.map_or((0, 0), |m| (slots(p, m), needs(p, m)));
        let of_moved = fleets[on_p].moved.map(|m| fleets[m].row);
        let others = |(r, _): &&(usize, i64)| *r != fleets[on_p].row && Some(*r) != of_moved;
        let (moved_p, moved_q) = (moved(p, on_p), moved(q, on_q));
        (p.column.cost, p.column.machines) <= (q.column.cost, q.column.machines)
            && slots(p, on_p) <= slots(q, on_q)
            && needs(p, on_p) <= needs(q, on_q)
            && moved_p.0 <= moved_q.0
            && moved_p.1 <= moved_q.1
            && p.shared.iter().all(|s| s.fleet == on_p || Some(s.fleet) == fleets[on_p].moved)
            && p.shared.iter().filter(|s| s.fleet == on_p).count() == 1
            && p.column.uses.iter().filter(others).all(|(r, u)| *u <= q.column.of(*r))
    }
}
