//! A good choice where machines are shared, for the tree to begin with: workloads are moved one by one, fleets are emptied and
//! filled, as long as anything gets cheaper. Limits are paid at the prices of the bound; what breaks them still is repaired.

use super::fleets::Full;
use super::problem::{Choice, ONE};
use super::repair;
use super::{Planned, Search};

/// A plan as a descent sees it.
struct Move {
    /// What it costs without shared machines, limits at their prices.
    own: i128,
    /// Fleet, accelerators taken, machines needed.
    on: Vec<(usize, i64, i64)>,
    /// With its part of shared machines.
    part: i128,
}

struct Descent {
    /// Plans of each workload.
    moves: Vec<Vec<Move>>,
    /// Price of a machine of each fleet with what it takes of limits, and its accelerators.
    fleets: Vec<(i128, i64)>,
}

/// A choice with its cost.
#[derive(Clone)]
struct At {
    plans: Vec<usize>,
    cost: i128,
}

/// Rounds in which all fleets are emptied and filled.
const MOST_ROUNDS: usize = 12;
/// Passes over all workloads.
const MOST_PASSES: usize = 40;

impl Descent {
    fn new(pool: &[Vec<Planned>], full: &Full, prices: &[i64]) -> Self {
        let place = |fleet: usize| full.fleets.iter().position(|f| *f == fleet);
        let fleets: Vec<(i128, i64)> = full
            .fleets_of_problem()
            .map(|(machine, slots)| {
                let tolls = machine.uses.iter().filter_map(|(r, u)| Some((prices.get(*r)?, u)));
                let tolls: i128 = tolls.map(|(price, u)| i128::from(*price) * i128::from(*u)).sum();
                (i128::from(machine.cost) * ONE + tolls, slots)
            })
            .collect();
        let moves = pool.iter().zip(&full.problem.plans).map(|(own, columns)| {
            let of = |(planned, column): (&Planned, &super::Column)| {
                let tolls = column.uses.iter().filter_map(|(r, u)| Some((prices.get(*r)?, u)));
                let tolls: i128 = tolls.map(|(price, u)| i128::from(*price) * i128::from(*u)).sum();
                let own = i128::from(column.cost) * ONE + tolls;
                let mut on: Vec<(usize, i64, i64)> = Vec::new();
                for shared in &planned.shared {
                    let Some(f) = place(shared.fleet) else { continue };
                    let (slots, needs) = (shared.item.slots() as i64, i64::from(shared.item.needs()));
                    match on.iter_mut().find(|(g, ..)| *g == f) {
                        Some(here) => *here = (f, here.1 + slots, here.2.max(needs)),
                        None => on.push((f, slots, needs)),
                    }
                }
                let parts = on
                    .iter()
                    .map(|(f, slots, _)| fleets[*f].0 * i128::from(*slots) / i128::from(fleets[*f].1));
                Move { own, part: own + parts.sum::<i128>(), on }
            };
            own.iter().zip(columns).map(of).collect()
        });
        Descent { moves: moves.collect(), fleets }
    }

    /// Accelerators taken and machines needed of each fleet, without one workload.
    fn loads(&self, plans: &[usize], without: Option<usize>) -> Vec<(i64, i64)> {
        let mut loads = vec![(0, 0); self.fleets.len()];
        for (s, (own, p)) in self.moves.iter().zip(plans).enumerate() {
            if Some(s) != without {
                for (f, slots, needs) in &own[*p].on {
                    loads[*f] = (loads[*f].0 + slots, loads[*f].1.max(*needs));
                }
            }
        }
        loads
    }

    fn machines(&self, fleet: usize, (slots, needs): (i64, i64)) -> i128 {
        let (price, each) = self.fleets[fleet];
        price * i128::from(((slots + each - 1) / each).max(needs))
    }

    fn at(&self, plans: Vec<usize>) -> At {
        let own: i128 = self.moves.iter().zip(&plans).map(|(own, p)| own[*p].own).sum();
        let loads = self.loads(&plans, None);
        let machines: i128 = loads.iter().enumerate().map(|(f, load)| self.machines(f, *load)).sum();
        At { plans, cost: own + machines }
    }

    /// What a plan costs beside what is taken already.
    fn beside(&self, plan: &Move, loads: &[(i64, i64)]) -> i128 {
        let more = plan.on.iter().map(|(f, slots, needs)| {
            let then = (loads[*f].0 + slots, loads[*f].1.max(*needs));
            self.machines(*f, then) - self.machines(*f, loads[*f])
        });
        plan.own + more.sum::<i128>()
    }

    /// Moves one workload after the other to what is cheapest beside the others.
    fn settled(&self, mut plans: Vec<usize>) -> At {
        for _ in 0..MOST_PASSES {
            let mut any = false;
            for s in 0..plans.len() {
                let loads = self.loads(&plans, Some(s));
                let cost = |p: usize| (self.beside(&self.moves[s][p], &loads), self.moves[s][p].part);
                let here = cost(plans[s]);
                let best = (0..self.moves[s].len()).min_by_key(|p| (cost(*p), *p));
                if let Some(p) = best.filter(|p| cost(*p) < here) {
                    plans[s] = p;
                    any = true;
                }
            }
            if !any {
                break;
            }
        }
        self.at(plans)
    }

    /// Everything that is on a fleet elsewhere.
    fn emptied(&self, at: &At, fleet: usize) -> Option<At> {
        let mut plans = at.plans.clone();
        let on = |plan: &Move| plan.on.iter().any(|(f, ..)| *f == fleet);
        for s in 0..plans.len() {
            if on(&self.moves[s][plans[s]]) {
                let loads = self.loads(&plans, Some(s));
                let others = (0..self.moves[s].len()).filter(|p| !on(&self.moves[s][*p]));
                plans[s] = others.min_by_key(|p| (self.beside(&self.moves[s][*p], &loads), *p))?;
            }
        }
        Some(self.settled(plans))
    }

    /// One machine of a fleet less: workloads leave it, that first which costs least for what it frees, until the others fit.
    fn shrunk(&self, at: &At, fleet: usize) -> Option<At> {
        let each = self.fleets[fleet].1;
        let mut plans = at.plans.clone();
        let all = |load: (i64, i64)| ((load.0 + each - 1) / each).max(load.1);
        let most = all(self.loads(&plans, None)[fleet]) - 1;
        let over = |load: (i64, i64)| (load.0 - most * each).max(0) + each * (load.1 - most).max(0);
        loop {
            let now = over(self.loads(&plans, None)[fleet]);
            if now == 0 {
                return Some(self.settled(plans));
            }
            let mut best: Option<(i128, usize, usize)> = None;
            for s in 0..plans.len() {
                let here = &self.moves[s][plans[s]];
                if here.on.iter().all(|(f, ..)| *f != fleet) {
                    continue;
                }
                let mut loads = self.loads(&plans, Some(s));
                // Its machines are paid for whoever is on them.
                let others = loads[fleet];
                loads[fleet] = (0, most);
                let now_costs = self.beside(here, &loads);
                for (p, plan) in self.moves[s].iter().enumerate() {
                    let own = plan.on.iter().filter(|(f, ..)| *f == fleet);
                    let then =
                        own.fold(others, |load, (_, slots, needs)| (load.0 + slots, load.1.max(*needs)));
                    let freed = now - over(then);
                    if freed > 0 {
                        let dearer = (self.beside(plan, &loads) - now_costs).max(0) / i128::from(freed);
                        if best.is_none_or(|b| (dearer, s, p) < b) {
                            best = Some((dearer, s, p));
                        }
                    }
                }
            }
            let (_, s, p) = best?;
            plans[s] = p;
        }
    }

    /// All workloads on a fleet for which its part costs at most `percent` of what they cost now.
    fn filled(&self, at: &At, fleet: usize, percent: i128) -> At {
        let mut plans = at.plans.clone();
        for (own, plan) in self.moves.iter().zip(&mut plans) {
            let on = |p: &usize| own[*p].on.iter().any(|(f, ..)| *f == fleet);
            let best = (0..own.len()).filter(on).min_by_key(|p| (own[*p].part, *p));
            if let Some(p) = best.filter(|p| own[*p].part * 100 <= own[*plan].part * percent) {
                *plan = p;
            }
        }
        self.settled(plans)
    }

    fn best(&self, start: Vec<usize>) -> At {
        let mut best = self.settled(start);
        for _ in 0..MOST_ROUNDS {
            let before = best.cost;
            for f in 0..self.fleets.len() {
                let fewer = self.emptied(&best, f).into_iter().chain(self.shrunk(&best, f));
                let tries = fewer.chain([100, 130, 1_000_000].map(|p| self.filled(&best, f, p)));
                if let Some(found) = tries.min_by(|a, b| (a.cost, &a.plans).cmp(&(b.cost, &b.plans)))
                    && found.cost < best.cost
                {
                    best = found;
                }
            }
            if best.cost >= before {
                break;
            }
        }
        best
    }
}

impl Search<'_, '_> {
    /// A choice within the limits that is better than `known`, if one is found; `prices` are those of the active rows.
    pub(super) fn descended(&self, full: &Full, known: Option<&Choice>, prices: &[i64]) -> Option<Choice> {
        // A replay may have left nothing of a list.
        if self.pool.iter().any(Vec::is_empty) {
            return known.cloned();
        }
        let descent = Descent::new(&self.pool, full, prices);
        let least = |of: &dyn Fn(&Move) -> i128| -> Vec<usize> {
            let best = |own: &Vec<Move>| (0..own.len()).min_by_key(|p| (of(&own[*p]), *p)).unwrap_or(0);
            descent.moves.iter().map(best).collect()
        };
        let apart = |plan: &Move| if plan.on.is_empty() { plan.own } else { i128::MAX };
        let known_plans = known.map(|c| c.plans[..self.pool.len()].to_vec());
        // Rows of shared machines have no price of their own.
        let mut padded = prices.to_vec();
        padded.resize(full.problem.limits.len(), 0);
        let starts = known_plans.into_iter().chain([least(&|plan| plan.part), least(&apart)]);
        let mut best: Option<Choice> = None;
        let all: Vec<Vec<usize>> = full.problem.plans.iter().map(|own| (0..own.len()).collect()).collect();
        for start in starts {
            let Some(choice) = self.completed(full, &descent.best(start).plans) else { continue };
            let choice = match full.problem.fits(&choice.plans) {
                true => Some(choice),
                false => {
                    repair::repaired(&full.problem, &all, choice.plans, &padded, repair::Effort::Singles)
                        .and_then(|plans| self.completed(full, &plans))
                        .filter(|choice| full.problem.fits(&choice.plans))
                }
            };
            best = best.into_iter().chain(choice).min_by(|a, b| a.rank().cmp(&b.rank()));
        }
        best.into_iter().chain(known.cloned()).min_by(|a, b| a.rank().cmp(&b.rank()))
    }
}
