//! Fallbacks of a batch or a training.

use std::collections::BTreeSet;
use std::sync::Arc;

use rhumb_api::Money;

use super::super::batch::{self, Priced, Run};
use super::super::build;
use super::super::emission;
use super::super::job::{Job, Task};
use super::super::pool::Terms;
use super::super::table::{Site, Table};
use super::super::together::ONE;
use super::{Found, Left, Short, Why, differs, fallback, few, key, sorted};
use crate::perf::carbon;
use crate::placement::WorkloadPlacement;
use crate::spec::BudgetBinds;

pub(super) fn of_batch(
    job: &Job<'_>,
    table: &Table,
    task: Task<'_>,
    run: &Run,
    placed: &WorkloadPlacement,
    left: &Left,
) -> Found {
    let Some(own) = placed.pools.first() else { return Found::default() };
    let catalog = &job.world.catalog;
    let mut terms: Vec<Terms> = table.terms.to_vec();
    for (terms, site) in terms.iter_mut().zip(table.sites.iter()) {
        // What is held is for the plan.
        if site.held {
            (terms.base, terms.spot) = (None, None);
        }
        let cloud = catalog.regions[site.region].cloud;
        for q in Arc::make_mut(&mut terms.quotas) {
            q.limit -= left.taken.get(&(cloud, q.place.clone(), q.code.clone())).copied().unwrap_or(0.0);
        }
    }
    let looked = || look(job, table, task, run, terms.clone(), left);
    let within = batch::Within { job, table, task, terms: &terms };
    let mut found = looked();
    // What a replay makes slower is looked for again.
    while found.list.iter().filter(|p| within.slower(&p.run).is_some()).count() > 0 {
        found = looked();
    }
    let Looked { list: found, mut over, emits, does } = found;
    let mut list = Vec::new();
    for priced in found {
        let built = build::run(job, table, task, &priced.run, placed.certificate.clone());
        match built.filter(|built| left.allows(job, built)) {
            Some(built) => list.push(fallback(&built, 0, placed, 0)),
            None => drop(over.insert(priced.run.chosen.site)),
        }
    }
    let fallbacks = sorted(own, list);
    let limited: BTreeSet<usize> = over.union(&emits).copied().collect();
    let planned = table.sites.get(run.chosen.site).map(|site| (site.machine, site.region));
    let is_slow = |(i, site): &(usize, &Site)| {
        let own = planned == Some((site.machine, site.region));
        !site.held && !own && !does.contains(i) && !limited.contains(i)
    };
    let slow = table.sites.iter().enumerate().filter(is_slow).count() as u32;
    let dark = emits.difference(&over).filter(|site| !does.contains(site)).count() as u32;
    let why = Why::from([("budget", over.difference(&does).count() as u32), ("carbon", dark)]);
    let told = few(&fallbacks, table, slow, &why).into_iter().collect();
    (vec![fallbacks], told)
}

/// What was found among all runs.
struct Looked {
    list: Vec<Priced>,
    /// Sites of runs that cost too much.
    over: BTreeSet<usize>,
    /// Of those that emit too much.
    emits: BTreeSet<usize>,
    /// Of those that will do.
    does: BTreeSet<usize>,
}

/// Looks at all runs within `terms`, at the rates that are known by now.
fn look(
    job: &Job<'_>,
    table: &Table,
    task: Task<'_>,
    run: &Run,
    mut terms: Vec<Terms>,
    left: &Left,
) -> Looked {
    let ceiling = job.spec.budget.binds == BudgetBinds::Ceiling;
    let mut short = Short::new(job);
    let (mut over, mut does) = (BTreeSet::new(), BTreeSet::from([run.chosen.site]));
    let mut emits = BTreeSet::new();
    let emitted = |priced: &Priced| {
        let (chosen, site) = (priced.run.chosen, &table.sites[priced.run.chosen.site]);
        let machine = table.machines[site.machine].index;
        let mg = emission::emitter(job.world, machine, site.region).map_or(0, |e| e.mg_per_hour);
        carbon::of_runs(mg, chosen.count.machines, priced.run.hours, task.runs())
    };
    let mut search = |terms: &[Terms], bar: &dyn Fn(&Short<'_, Priced>) -> Option<Money>| {
        let within = batch::Within { job, table, task, terms };
        within.each(&|_| (0, 0, 0), i128::MAX, &mut |priced: Priced| {
            let chosen = priced.run.chosen;
            let (at, planned) = (&table.sites[chosen.site], &table.sites[run.chosen.site]);
            let own = (at.machine, at.region) == (planned.machine, planned.region);
            let fits =
                left.month.is_none_or(|most| if ceiling { priced.ceiling } else { priced.month } <= most);
            if left.carbon.is_some_and(|most| emitted(&priced) > most) {
                emits.insert(chosen.site);
            } else if !fits {
                over.insert(chosen.site);
            } else if !own || (chosen.count.spot == 0 && run.chosen.count.spot > 0 && !planned.held) {
                does.insert(chosen.site);
                let other = differs(job, table, chosen.site, run.chosen.site);
                short.offer(key(job, table, priced.month, &chosen), other, priced);
            }
            bar(&short).map_or(i128::MAX, |bar| i128::from(bar.micros()) * ONE)
        });
    };
    search(&terms, &|short| short.full());
    // What is not among the cheapest is told for being without spot or of another kind. Machines without spot are enough for both:
    // all shares of spot up to the price of the dearest would be many.
    for terms in &mut terms {
        terms.spot = None;
    }
    search(&terms, &|short| short.bar(false, true));
    let list = short.list(|p| differs(job, table, p.run.chosen.site, run.chosen.site));
    Looked { list, over, emits, does }
}
