//! Why nothing keeps the limits that workloads share, and what each would have to be.
//!
//! Another limit is tried by solving again. Such a search may find a choice, prove that there is none, or end with neither; the
//! third is never taken for the second: where the refusal was proven, a limit stays in the conflict then, and a change is not said to be the
//! least. Where it was not, the limits that are told are those of which it is known that without them something works.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rayon::prelude::*;
use rhumb_api::{HOURS_PER_MONTH, Money};

use super::{All, DEPLOYMENT, Workloads, figure, limit, limited, words};
use crate::placement::{Infeasible, InfeasibleWorkload, Rejection, Relaxation};
use crate::spec::BudgetScope;

use super::super::emission;
use super::super::job::Job;
use super::super::least_taken;
use super::super::service::Block;
use super::super::together::{self, Effort, Plan, Planned, Rows, Shared, Together, UNLIMITED};

/// With more limits than this, only those that are short at any price are looked at for a conflict.
const MOST_SUSPECTS: usize = 12;

/// Above so many times what the workloads cost apart, a lower bound is as good as a proof that there is nothing.
const HOPELESS: i64 = 1000;

/// What is paid for a plan a month, micro-dollars, of what it counts for.
fn bill(rows: &Rows, planned: &Planned) -> i64 {
    match &planned.plan {
        Plan::Service(blocks) => {
            let hour: Money = blocks.iter().map(Block::cost).sum();
            hour.micros().saturating_mul(HOURS_PER_MONTH)
        }
        Plan::Mixed(fleet) => fleet.month.micros(),
        Plan::Run(_) | Plan::Federation(_) => {
            let emitted = rows.carbon.map_or(0, |row| planned.column.of(row));
            planned.column.cost - emission::priced(emitted, rows.carbon_price).micros()
        }
    }
}

/// What other limits lead to.
enum Answer {
    Works(Works),
    /// Proven.
    Nothing,
    /// Nothing was found; that there is nothing was not proven.
    Unknown,
}

struct Works {
    /// Dollars a month, without what emissions and moves count for.
    bill: Money,
    /// Nothing costs less.
    bound: i64,
    /// What it takes of each row, shared machines included.
    taken: Vec<i128>,
}

/// What is known of limits that nothing was found for.
struct Refused<'a, 's> {
    all: &'a All<'s>,
    workloads: &'a Workloads<'s>,
    rows: &'a Rows,
    found: &'a Together,
    /// Micro-dollars a month of the separate optima.
    apart: i64,
    /// What each workload takes of budgets at the least, micro-dollars a month, where that is known.
    least: OnceLock<BTreeMap<String, i64>>,
    /// What all of them emit at the least, milligrams a month.
    emitted: OnceLock<Option<i64>>,
}

impl<'s> All<'s> {
    /// Whether it is proven that nothing keeps the limits, without the reasons.
    pub(super) fn is_refused(&self, workloads: &Workloads<'s>, rows: &Rows, found: &Together) -> bool {
        self.unexplained(workloads, rows, found).proven(rows, found)
    }

    fn unexplained<'a>(
        &'a self,
        workloads: &'a Workloads<'s>,
        rows: &'a Rows,
        found: &'a Together,
    ) -> Refused<'a, 's> {
        let apart = self.apart_month().micros();
        Refused { all: self, workloads, rows, found, apart, least: OnceLock::new(), emitted: OnceLock::new() }
    }

    /// Which limits cannot hold together, and what each would have to be.
    pub(super) fn refusal(&self, workloads: &Workloads<'s>, rows: &Rows, found: &Together) -> Infeasible {
        self.asking.refuses();
        self.unexplained(workloads, rows, found).explained()
    }
}

impl Refused<'_, '_> {
    /// Whether what a search ended with proves that `rows` cannot be kept.
    fn proven(&self, rows: &Rows, found: &Together) -> bool {
        found.chosen.is_none()
            && (rows.most().is_some_and(|most| found.bound > most)
                || (!found.short.is_empty() && self.hopeless(found))
                || rows
                    .list
                    .iter()
                    .any(|row| self.least_of(&row.what).is_some_and(|least| least > row.limit)))
    }

    /// Whether what keeps the limits costs so much more than the separate optima that nobody means it. Where all is for nothing, no
    /// multiple says that.
    fn hopeless(&self, found: &Together) -> bool {
        self.apart > 0 && found.bound / HOPELESS >= self.apart
    }

    /// What the workloads of a part of the deployment take of its budget at the least, micro-dollars a month. None of them shares
    /// machines, so that each is looked at by itself.
    fn least_of(&self, what: &Shared) -> Option<i64> {
        if *what == Shared::Carbon {
            return self.least_emitted();
        }
        let Shared::Budget(scope) = what else { return None };
        if *scope == BudgetScope::All {
            return None;
        }
        let spec = self.all.spec;
        let least = self.least.get_or_init(|| {
            let parts = || spec.budget.limits.keys().filter(|scope| **scope != BudgetScope::All);
            let counted = |job: &&Job<'_>| parts().any(|scope| scope.binds(spec, &job.address));
            let jobs: Vec<&Job<'_>> = self.all.jobs.iter().filter(counted).collect();
            let taken = |job: &&Job<'_>| {
                let least = least_taken(spec, job.world, &job.address)?;
                Some((job.address.clone(), least.micros()))
            };
            jobs.par_iter().filter_map(taken).collect()
        });
        let counted = self.all.jobs.iter().filter(|job| scope.binds(spec, &job.address));
        counted.map(|job| least.get(&job.address).copied()).sum()
    }

    /// What all workloads emit at the least, milligrams a month, if there is a cap.
    fn least_emitted(&self) -> Option<i64> {
        let spec = self.all.spec;
        spec.budget.carbon.as_ref()?;
        *self.emitted.get_or_init(|| {
            self.all.jobs.par_iter().map(|job| emission::least(spec, job.world, &job.address)).sum()
        })
    }

    fn answer(&self, limits: &[(usize, i64)]) -> Answer {
        let mut other = self.rows.clone();
        for (row, limit) in limits {
            other.list[*row].limit = *limit;
        }
        let effort = match self.rows.fleets.is_empty() {
            true => Effort::any(),
            false => {
                Effort { nodes: Effort::any().nodes, reaches: Effort::any().reaches, ..Effort::default() }
            }
        };
        let Ok(found) = together::solve(self.workloads, &other, effort, self.all.asking) else {
            return Answer::Unknown;
        };
        let nothing = self.proven(&other, &found);
        match found.chosen {
            Some(chosen) => {
                let more: i64 =
                    chosen.iter().map(|p| p.column.cost - bill(&other, p)).sum::<i64>() + found.counted;
                Answer::Works(Works {
                    bill: Money::from_micros(found.cost - more),
                    bound: found.bound,
                    taken: found.taken,
                })
            }
            None if nothing => Answer::Nothing,
            None => Answer::Unknown,
        }
    }

    fn explained(&self) -> Infeasible {
        let found = self.found;
        let few = found.short.is_empty() || found.active.len() <= MOST_SUSPECTS;
        let suspects: Vec<usize> = if few { found.active.clone() } else { found.short.clone() };
        let proven = self.proven(self.rows, found);
        // Taken away one after the other, until what is left is needed for the conflict.
        let mut needed: Vec<usize> = suspects.clone();
        let mut gone: Vec<(usize, i64)> = Vec::new();
        for row in suspects {
            let mut without = gone.clone();
            without.push((row, UNLIMITED));
            let drops = match self.answer(&without) {
                Answer::Works(_) => false,
                Answer::Nothing => true,
                Answer::Unknown => !proven,
            };
            if drops {
                gone = without;
                needed.retain(|r| *r != row);
            }
        }
        let stopped = || self.all.asking.stopped().is_some();
        // What was not looked at to the end says nothing.
        if stopped() {
            needed.clear();
        }
        let mut relaxations: Vec<Relaxation> = needed.iter().filter_map(|row| self.nearest(*row)).collect();
        if stopped() {
            relaxations.clear();
        }
        relaxations
            .sort_by(|a, b| a.cost_per_month.cmp(&b.cost_per_month).then_with(|| a.change.cmp(&b.change)));
        let told = if needed.is_empty() { found.active.clone() } else { needed };
        let conflict = told.iter().map(|r| self.conflict(*r)).collect();
        let workload = InfeasibleWorkload {
            address: DEPLOYMENT.to_owned(),
            conflict,
            relaxations,
            ended: self.all.asking.stopped(),
            nearest: None,
            rejected: BTreeMap::new(),
            candidates: self.all.tables.iter().map(|t| t.candidates).sum(),
        };
        Infeasible { workloads: vec![workload], proven }
    }

    /// Millionths of a row that the separate optima take.
    fn apart_of(&self, what: &Shared) -> i64 {
        let (spec, apart) = (self.all.spec, self.all.apart);
        match what {
            Shared::Budget(scope) => {
                let counted = apart.iter().filter(|(address, _)| scope.binds(spec, address));
                counted.map(|(_, w)| limited(spec, w).micros()).sum()
            }
            Shared::Quota { cloud, place, code } => apart
                .values()
                .flat_map(|w| &w.quotas)
                .filter(|q| q.cloud == *cloud && q.region == *place && q.code == *code)
                .map(|q| together::millionths(q.amount))
                .sum(),
            Shared::Carbon => {
                let jobs = self.all.jobs.iter();
                jobs.filter_map(|job| Some(emission::sum(job.world, apart.get(&job.address)?))).sum()
            }
            // No limit of the spec.
            Shared::Slots => 0,
        }
    }

    fn conflict(&self, row: usize) -> Rejection {
        let (of, found) = (&self.rows.list[row], self.found);
        let shown = limit(of, self.apart_of(&of.what), 0, 0);
        let least = self.least_of(&of.what).filter(|least| *least > of.limit);
        let (name, unit) = words(of);
        let proof = if let Some(least) = least {
            format!("its workloads take {}{unit} at the least", figure(least as f64 / 1e6))
        } else if found.short.contains(&row) && self.hopeless(found) {
            // What costs a thousand times the separate optima keeps no budget that these do not keep.
            match of.what {
                Shared::Budget(BudgetScope::All) => "no placement keeps it".to_owned(),
                _ => format!("no placement keeps it, even at {HOPELESS} times the separate optima"),
            }
        } else if self.rows.most().is_some_and(|most| found.bound > most) {
            match self.rows.list.iter().filter(|row| matches!(row.what, Shared::Budget(_))).count() {
                1 => "nothing that keeps the other limits costs less than the budget".to_owned(),
                _ => "nothing that keeps the other limits costs less than the budgets allow".to_owned(),
            }
        } else {
            "the search found nothing that keeps it, and did not prove that there is nothing".to_owned()
        };
        Rejection {
            constraint: shown.constraint,
            reason: format!(
                "{name} of {}{unit}: {proof}; the separate optima take {}{unit}",
                figure(shown.limit),
                figure(shown.taken)
            ),
            at: of.at.clone(),
            distance: Some(shown.taken / shown.limit.max(1e-9) - 1.0),
        }
    }

    /// The least limit that works, by bisection down to a unit or a dollar; that it is the least is said only if it was proven.
    fn nearest(&self, row: usize) -> Option<Relaxation> {
        let of = &self.rows.list[row];
        let Answer::Works(free) = self.answer(&[(row, UNLIMITED)]) else { return None };
        let step = 1_000_000;
        let units = |amount: i64| amount.div_euclid(step) + i64::from(amount.rem_euclid(step) > 0);
        let taken =
            |works: &Works| works.taken.get(row).map_or(0, |t| i64::try_from(*t).unwrap_or(UNLIMITED));
        // What the total budget limits is never below the cost.
        let least = match of.what {
            Shared::Budget(BudgetScope::All) if !self.rows.surcharges && self.rows.carbon_price == 0 => {
                units(free.bound) - 1
            }
            _ => self.least_of(&of.what).map_or(0, |least| units(least) - 1),
        };
        let (mut low, mut high) = (of.limit.div_euclid(step).max(least), units(taken(&free)));
        // The present limit is known not to do only if that was proven.
        let mut decided = low > of.limit.div_euclid(step) || self.proven(self.rows, self.found);
        if high <= of.limit.div_euclid(step) {
            return None;
        }
        let Answer::Works(mut best) = self.answer(&[(row, high.saturating_mul(step))]) else { return None };
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.answer(&[(row, middle.saturating_mul(step))]) {
                Answer::Works(works) => {
                    high = units(taken(&works)).clamp(low + 1, middle);
                    best = works;
                }
                Answer::Nothing => low = middle,
                Answer::Unknown => {
                    decided = false;
                    // Where machines are shared a proof is far, and each further question is as long and says as little.
                    if !self.rows.fleets.is_empty() {
                        break;
                    }
                    low = middle;
                }
            }
        }
        if self.all.asking.stopped().is_some() {
            return None;
        }
        let (name, unit) = words(of);
        let less = if decided { "" } else { " (whether less would do was not decided)" };
        let now = figure(of.limit as f64 / 1e6);
        Some(Relaxation {
            constraint: limit(of, 0, 0, 0).constraint,
            at: of.at.clone(),
            change: format!("{name} of {high}{unit} instead of {now}{unit}{less}"),
            cost_per_month: best.bill,
            saves_per_month: None,
            choice: None,
        })
    }
}
