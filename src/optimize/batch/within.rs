//! All runs of a batch, a training or a pipeline, one after the other, and what a replay makes of one.

use rhumb_api::Money;

use super::super::job::{Job, Task};
use super::super::pool::Terms;
use super::super::service::Chosen;
use super::super::table::Table;
use super::super::together::ONE;
use super::{Asked, Run};

/// A run with what it costs and may cost in a month.
#[derive(Clone, Copy, Debug)]
pub(in crate::optimize) struct Priced {
    pub run: Run,
    pub month: Money,
    pub ceiling: Money,
}

/// All runs of a batch or a training, for a search over several workloads.
pub(in crate::optimize) struct Within<'s, 'a> {
    pub job: &'s Job<'a>,
    pub table: &'s Table,
    pub task: Task<'s>,
    pub terms: &'s [Terms],
}

impl Within<'_, '_> {
    fn asked(&self, chosen: &Chosen) -> Option<Asked<'_>> {
        Asked::of(self.job, self.table, self.task, self.terms, (chosen.site, chosen.way))
    }

    /// Replays a run. If that is slower than what the search went by, the items a second that are left.
    pub fn slower(&self, run: &Run) -> Option<f64> {
        let asked = self.asked(&run.chosen)?;
        let count = run.chosen.count;
        asked.play(count.replicas);
        let rate = asked.rate(count.replicas);
        let slower = rate < run.items_per_s;
        let deadline = self.task.deadline();
        if slower && self.again(run).is_none() {
            asked.play_on(count.replicas / asked.way.replicas.max(1), deadline, count.spot.min(1));
        }
        slower.then_some(rate)
    }

    /// A run on the same machines at what is known of its rate by now; `None` if that ends too late.
    pub fn again(&self, run: &Run) -> Option<Priced> {
        let (asked, count) = (self.asked(&run.chosen)?, run.chosen.count);
        let units = count.replicas / asked.way.replicas.max(1);
        let (run, _) = asked.run((run.chosen.site, run.chosen.way), units, count.machines, count.spot)?;
        (run.late <= self.task.deadline() * (1.0 + 1e-12)).then(|| self.priced(run))
    }

    fn priced(&self, run: Run) -> Priced {
        let month = run.run.scale(self.task.runs()) + run.copying;
        Priced { run, month, ceiling: run.chosen.count.ceiling }
    }

    /// Visits runs that end in time within the declared quotas, until a month of them costs more than `limit` together with
    /// the tolls of their machines (bought as planned, and as spot; each a month's; and of an hour in which they run; all over [`ONE`]). A
    /// visit may lower the limit.
    pub fn each(
        &self,
        tolls: &dyn Fn(usize) -> (i128, i128, i128),
        mut limit: i128,
        visit: &mut dyn FnMut(Priced) -> i128,
    ) {
        let deadline = self.task.deadline();
        let runs = self.task.runs();
        for (i, site) in self.table.sites.iter().enumerate() {
            let (base, spot, hour) = tolls(i);
            let toll = match (self.terms[i].base, self.terms[i].spot) {
                (Some(_), Some(_)) => base.min(spot),
                (Some(_), None) => base,
                (None, _) => spot,
            };
            for (w, way) in self.table.machines[site.machine].ways.iter().enumerate() {
                let Some(asked) = Asked::of(self.job, self.table, self.task, self.terms, (i, w)) else {
                    continue;
                };
                let terms = &self.terms[i];
                let Some(first) = asked.first(deadline) else { continue };
                let mut any = false;
                let never_spot = terms.most_spot(u32::MAX) == 0;
                // More machines only pay more start-ups; they may help where a share of them may be spot.
                for units in asked.counts(first, asked.most(first, first.saturating_add(64))) {
                    let machines = units.saturating_mul(way.span.max(1));
                    let Some(least) = asked.least(units) else { break };
                    // Spot makes no run shorter.
                    let seconds = asked.least_hours(units).map_or(0.0, |hours| hours * runs * 3600.0 - 1.0);
                    let run = hour * i128::from(machines) * (seconds.clamp(0.0, 1e12) as i128) / 3600;
                    let month =
                        i128::from(least.scale(runs).micros()) * ONE + toll * i128::from(machines) + run;
                    if month > limit || !terms.any_within_quotas(machines) {
                        break;
                    }
                    let in_time = asked.may_end(units, deadline);
                    for spot in if in_time { asked.spots(machines) } else { Vec::new() } {
                        let Some((run, _)) = asked.run((i, w), units, machines, spot) else { continue };
                        if run.late > deadline * (1.0 + 1e-12) || !terms.within_quotas(machines, spot) {
                            continue;
                        }
                        any = true;
                        limit = visit(self.priced(run));
                    }
                    if any && never_spot && !asked.in_waves() {
                        break;
                    }
                }
            }
        }
    }
}
