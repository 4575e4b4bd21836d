//! A workload as the common problem sees it: its cheapest plan at given prices of what is shared, and all of its plans that
//! are nearly as cheap.

use std::collections::BTreeSet;
use std::sync::Arc;

use rhumb_api::{HOURS_PER_MONTH, Money};

use super::super::base::Base;
use super::super::batch;
use super::super::couple::{self, Wanted};
use super::super::emission;
use super::super::federation::{Members, Rounds};
use super::super::job::{Job, Task};
use super::super::mixed::{Fleet, Mixed};
use super::super::pool::Terms;
use super::super::service::{Block, Chosen, Search};
use super::super::sharing::Item;
use super::super::sought::Sought;
use super::super::stability;
use super::super::table::{Site, Table};
use super::Effort;
use super::plans::{Cheapest, OnFleet, Plan, Planned, unbeaten};
use super::problem::{Column, ONE};
use super::quotas::Quotas;
use super::rows::{Rows, Shared};
use super::within::{self, Counted};
use crate::perf::carbon;
use crate::placement::Rejection;
use crate::spec::{BudgetBinds, Spec, WEEK_S};

/// Rounding of a pool's transfers, micro-dollars an hour.
const ROUNDED: i128 = 4;

pub struct Workload<'a> {
    pub job: &'a Job<'a>,
    sites: Quotas,
    /// Each site's fleet, if its machines are shared; empty where none are.
    fleets: Vec<Option<usize>>,
    /// Each site's fleet of machines that count for more since it moves there, if there is one.
    moved: Vec<Option<usize>>,
    /// Milligrams that a machine of each site emits an hour; empty where emissions do not count.
    emits: Vec<i64>,
    /// What an hour of a machine of each site counts for more, micro-dollars; empty where nothing does.
    surcharges: Vec<i64>,
    budgets: Vec<usize>,
    /// All rows of which it may take something, ascending.
    takes: Vec<usize>,
    kind: Sort<'a>,
    /// Its optimum on machines of its own, where it may be on shared ones.
    alone: Option<Vec<Block>>,
}

enum Sort<'a> {
    Service {
        search: Box<Search<'a>>,
        bases: Vec<Arc<Base<'a>>>,
    },
    Mixed(Mixed<'a>),
    Run {
        table: &'a Table,
        task: Task<'a>,
        terms: &'a [Terms],
    },
    /// With its runs of a month.
    Federation {
        rounds: Box<Rounds<'a>>,
        runs: f64,
    },
}

impl<'a> Workload<'a> {
    /// Goes on with a workload that was looked at by itself, and names its quotas to `rows`.
    ///
    /// # Errors
    /// What stands in the way of looking at all of its plans.
    pub fn new(
        spec: &Spec,
        job: &'a Job<'a>,
        table: &'a Table,
        sought: Sought<'a>,
        alone: Option<Vec<Block>>,
        rows: &mut Rows,
    ) -> Result<Self, Rejection> {
        let cloud = |i: usize| job.world.catalog.regions[table.sites[i].region].cloud;
        let fleets: Vec<Option<usize>> = (0..table.sites.len())
            .map(|i| {
                let (slots, offering) = (table.slots(i)?, table.sites[i].base?);
                let kind = job.world.catalog.offerings[offering].instance_type;
                let terms = Terms::of(job, kind, &table.sites[i]);
                let at = (job.world, table.sites[i].region);
                Some(rows.fleet(spec, cloud(i), &terms, at, (offering, kind), slots))
            })
            .collect();
        let fleets = if fleets.iter().any(Option::is_some) { fleets } else { Vec::new() };
        let keeps = stability::keeps(job);
        // Machines of a fleet of which none run count for more by those who move there; whoever runs nowhere does not.
        let moved: Vec<Option<usize>> =
            fleets.iter().map(|fleet| rows.fleets[(*fleet)?].moved.filter(|_| keeps)).collect();
        let of = |terms: &[Terms], rows: &mut Rows| {
            Quotas::of(terms.iter().enumerate().map(|(i, t)| {
                let mut own = rows.quotas(spec, cloud(i), t);
                let both = [&fleets, &moved].map(|of| of.get(i).copied().flatten());
                own.extend(both.into_iter().flatten().map(|f| (rows.fleets[f].row, 1, 0)));
                own.sort_unstable();
                own
            }))
        };
        // What is not known was rejected before; shared machines emit what they do whoever is on them.
        let emits = |(i, site): (usize, &Site)| {
            let machine = table.machines[site.machine].index;
            rows.carbon
                .filter(|_| table.slots(i).is_none())
                .and_then(|_| emission::emitter(job.world, machine, site.region).ok())
                .map_or(0, |e| e.mg_per_hour)
        };
        let sites_that_emit = table.sites.iter().enumerate().filter(|_| rows.carbon.is_some());
        let mut emits: Vec<i64> = sites_that_emit.map(emits).collect();
        let surcharges = stability::surcharges(job, table);
        rows.surcharges |= !surcharges.is_empty();
        if table.sites.iter().any(|site| site.held) {
            let dearest = table.terms.iter().filter_map(|t| t.base).max();
            rows.machine = rows.machine.max(dearest.map_or(0, |price| price.per_month().micros()));
        }
        let (kind, sites) = match sought {
            Sought::Service(mut search) => {
                search.budgets.clear();
                let (bases, sites) = (search.bases()?, of(&search.terms, rows));
                (Sort::Service { search, bases }, sites)
            }
            Sought::Mixed(mixed) => (Sort::Mixed(mixed), of(&table.terms, rows)),
            Sought::Run(task) => {
                let sites = of(&table.terms, rows);
                (Sort::Run { table, task, terms: &table.terms }, sites)
            }
            Sought::Federation(rounds) => {
                let rounds = rounds.ok_or_else(lost)?;
                let mut sites = of(&table.terms, rows);
                // Sites of the clients follow those of the aggregator.
                for (site, terms) in rounds.clients.sites.iter().zip(rounds.clients.terms.iter()) {
                    let cloud = job.world.catalog.regions[site.region].cloud;
                    sites.push(rows.quotas(spec, cloud, terms));
                    let machine = rounds.clients.machines[site.machine].index;
                    let emitter = emission::emitter(job.world, machine, site.region).ok();
                    if rows.carbon.is_some() {
                        emits.push(emitter.map_or(0, |e| e.mg_per_hour));
                    }
                }
                (Sort::Federation { runs: rounds.runs(), rounds }, sites)
            }
        };
        let budgets = rows.budgets(&job.address);
        let quotas = sites.rows();
        let takes: BTreeSet<usize> = quotas.chain(budgets.iter().copied()).chain(rows.carbon).collect();
        Ok(Workload {
            job,
            sites,
            fleets,
            moved,
            emits,
            surcharges,
            budgets,
            takes: takes.into_iter().collect(),
            kind,
            alone,
        })
    }

    /// Its search at its own prices, if it is a service.
    pub fn search(&self) -> Option<&Search<'a>> {
        match &self.kind {
            Sort::Service { search, .. } => Some(search),
            Sort::Mixed(_) | Sort::Run { .. } | Sort::Federation { .. } => None,
        }
    }

    /// The search for machines of a service with a profile.
    pub fn mixed(&self) -> Option<&Mixed<'a>> {
        match &self.kind {
            Sort::Mixed(mixed) => Some(mixed),
            Sort::Service { .. } | Sort::Run { .. } | Sort::Federation { .. } => None,
        }
    }

    /// A month of a machine at a site in everything that counts, at `prices`, times [`ONE`].
    pub fn machine(&self, mixed: &Mixed<'a>, rows: &Rows, site: usize, prices: &[i128]) -> i128 {
        let month = i128::from(mixed.base(site).micros()) * i128::from(HOURS_PER_MONTH);
        let (toll, _) = rows.tolls(self.sites.at(site), prices);
        let counted = self.counted(rows, site, prices) * i128::from(HOURS_PER_MONTH);
        month * (ONE + rows.budget_price(&self.job.address, prices)) + toll + counted
    }

    /// A fleet of such machines as a column.
    fn fleet(&self, rows: &Rows, fleet: Fleet) -> Planned {
        let counts: Vec<(usize, u32, u32)> = fleet.machines.iter().map(|(site, n)| (*site, *n, 0)).collect();
        let seconds = |n: u32| i64::from(crate::spec::WEEK_S) * i64::from(n);
        let emitted =
            fleet.machines.iter().map(|(site, n)| carbon::of_weeks(self.emits_at(*site), seconds(*n))).sum();
        let more =
            |(site, n): &(usize, u32)| Some(stability::month(*self.surcharges.get(*site)?, seconds(*n)));
        let more: i64 = fleet.machines.iter().filter_map(more).sum();
        let month = fleet.month.micros();
        let figures = (month.saturating_add(more), month, emitted);
        let column = self.column(rows, figures, &counts, fleet.count());
        Planned { column, plan: Plan::Mixed(fleet), shared: Vec::new() }
    }

    fn priced(&self, search: &Search<'a>, rows: &Rows, prices: &[i128]) -> Search<'a> {
        let budget = rows.budget_price(&self.job.address, prices);
        let (expected, at_peak) = rows.tolls_of(budget);
        search.at(
            |i, terms| rows.terms(terms, (self.sites.at(i), self.counted(rows, i, prices)), budget, prices),
            expected,
            at_peak,
        )
    }

    /// Whether the cheapest plan at some prices is the cheapest one at others: where nothing that it takes costs more, and nothing that
    /// the workload may take costs less.
    pub fn answers_alike(&self, column: &Column, before: &[i128], now: &[i128]) -> bool {
        let dearer = |row: &usize| now[*row] >= before[*row];
        let as_before = |(row, _): &(usize, i64)| now[*row] == before[*row];
        // A proof of a mix is of the prices that it was made at.
        let proven = matches!(self.kind, Sort::Mixed(_)) && before != now;
        !proven && column.uses.iter().all(as_before) && self.takes.iter().all(dearer)
    }

    /// The cheapest plan at `prices`; one of the known ones that costs `known` there (times [`ONE`]) spares the search what is dearer.
    ///
    /// # Errors
    /// What stands in the way, if nothing will do.
    pub fn cheapest(&self, rows: &Rows, prices: &[i128], known: Option<i128>) -> Result<Cheapest, Rejection> {
        let budget = rows.budget_price(&self.job.address, prices);
        match &self.kind {
            Sort::Service { search, bases } => {
                let mut priced = self.priced(search, rows, prices);
                priced.known_at = known.map_or(Money::MAX, hourly);
                let mut found = priced.by_closed_form(bases, Wanted::Cheapest);
                // A replay may have contradicted what is known.
                if found.is_err() && known.is_some() {
                    priced.known_at = Money::MAX;
                    found = priced.by_closed_form(bases, Wanted::Cheapest);
                }
                let blocks = found?;
                let value: i128 = blocks.iter().map(|b| i128::from(b.cost().micros())).sum();
                let value =
                    if priced.unproven.get() { i128::from(priced.relaxed.get().micros()) } else { value };
                // Transfers are rounded after they are priced, which matters only where a budget prices them.
                // No machine costs less than 0.10 USD an hour for each of them.
                let counted = (0..self.sites.len()).map(|i| self.counted(rows, i, prices)).min().unwrap_or(0);
                let pools = 8 + value * ONE / (ONE + budget) / (100_000 + counted / (ONE + budget));
                let slack = if budget > 0 || rows.carbon.is_some() {
                    ROUNDED * pools * (ONE + budget) / ONE
                } else {
                    0
                };
                let found = self.own(rows, blocks).ok_or_else(lost)?;
                let least = (value - slack) * i128::from(HOURS_PER_MONTH) * ONE;
                Ok(Cheapest { least: least.min(found.column.priced(prices)), found })
            }
            Sort::Mixed(mixed) => {
                let (fleet, least, _) = mixed.cheapest(&|site| self.machine(mixed, rows, site, prices))?;
                let found = self.fleet(rows, fleet);
                Ok(Cheapest { least: least.min(found.column.priced(prices)), found })
            }
            Sort::Federation { rounds, .. } => {
                let mut best: Option<(i128, Planned)> = None;
                let money = ONE + budget;
                let tolls = |i| self.tolls_of(rows, i, prices);
                rounds.each(false, (money, &tolls), i128::MAX, &mut |members| {
                    let planned = self.federation(rows, members);
                    let cost = planned.column.priced(prices);
                    if best.as_ref().is_none_or(|(c, _)| cost < *c) {
                        best = Some((cost, planned));
                    }
                    best.as_ref().map_or(i128::MAX, |(c, _)| *c)
                });
                let (least, found) = best.ok_or_else(lost)?;
                Ok(Cheapest { least: least - rounds.rounding(money), found })
            }
            Sort::Run { table, task, terms } => {
                let mut best: Option<(i128, Planned)> = None;
                let ask = batch::Within { job: self.job, table, task: *task, terms };
                ask.each(&|i| self.tolls(rows, i, prices), i128::MAX, &mut |run| {
                    let planned = self.run(rows, &run);
                    let cost = planned.column.priced(prices);
                    let rank = |cost: i128, p: &Planned| (cost, p.column.machines);
                    if best.as_ref().is_none_or(|(c, p)| rank(cost, &planned) < rank(*c, p)) {
                        best = Some((cost, planned));
                    }
                    best.as_ref().map_or(i128::MAX, |(c, _)| *c)
                });
                let (least, found) = best.ok_or_else(lost)?;
                Ok(Cheapest { least, found })
            }
        }
    }

    /// Every plan that costs at most `limit` at `prices` (times [`ONE`]; `limited` if something broke a limit) and that no other one beats; `None` if they are
    /// more than the effort allows.
    pub fn within(
        &self,
        rows: &Rows,
        (prices, limited): (&[i128], bool),
        limit: i128,
        effort: Effort,
    ) -> Option<Vec<Planned>> {
        let mut found: Vec<Planned> = Vec::new();
        match &self.kind {
            Sort::Service { search, bases } => {
                let priced = self.priced(search, rows, prices);
                let hour = hourly(limit);
                // Where nothing is priced, what costs more than the optimum on own machines by itself is in no optimum.
                let free = prices.iter().zip(&rows.list).all(|(p, row)| *p == 0 || row.what == Shared::Slots);
                let bill = self.surcharges.is_empty() && rows.carbon_price == 0;
                let alone = self.alone.as_ref().filter(|_| free && !limited && bill);
                let most = alone.map(|blocks| blocks.iter().map(Block::cost).sum());
                let counted =
                    Counted { sites: &self.sites, emits: &self.emits, surcharges: &self.surcharges };
                for blocks in within::plans((&priced, search), bases, counted, hour, most, effort)? {
                    let planned = self.service(rows, search, blocks);
                    if planned.column.priced(prices) <= limit {
                        found.push(planned);
                    }
                }
            }
            Sort::Mixed(mixed) => {
                let priced = |site| self.machine(mixed, rows, site, prices);
                // What one of its machines takes of everything: where no other takes less, the cheapest stands for all.
                let apart = |site: usize| {
                    let one = Fleet { machines: vec![(site, 1)], month: mixed.base(site).per_month() };
                    let column = self.fleet(rows, one).column;
                    let uses = (0..rows.list.len()).map(|row| column.of(row));
                    std::iter::once(column.cost).chain(uses).collect()
                };
                let most = effort.plans.saturating_mul(8);
                for fleet in mixed.within(&priced, &apart, limit, most)? {
                    let planned = self.fleet(rows, fleet);
                    if planned.column.priced(prices) <= limit {
                        found.push(planned);
                    }
                }
            }
            Sort::Federation { rounds, .. } => {
                let budget = rows.budget_price(&self.job.address, prices);
                let mut more = effort.plans.saturating_mul(4);
                let tolls = |i| self.tolls_of(rows, i, prices);
                rounds.each(true, (ONE + budget, &tolls), limit, &mut |members| {
                    let planned = self.federation(rows, members);
                    if planned.column.priced(prices) <= limit {
                        found.push(planned);
                    }
                    more = more.saturating_sub(1);
                    if more == 0 { i128::MIN / 2 } else { limit }
                });
                if more == 0 {
                    return None;
                }
            }
            Sort::Run { table, task, terms } => {
                let ask = batch::Within { job: self.job, table, task: *task, terms };
                ask.each(&|i| self.tolls(rows, i, prices), limit, &mut |run| {
                    let planned = self.run(rows, &run);
                    if planned.column.priced(prices) <= limit {
                        found.push(planned);
                    }
                    limit
                });
            }
        }
        let kept = unbeaten(found);
        (kept.len() <= effort.plans).then_some(kept)
    }

    /// What it is billed at the least an hour, beside others on shared machines, whatever else counts; `None` if nothing will do.
    pub fn least_bill(&self, rows: &Rows) -> Option<Money> {
        let Sort::Service { search, bases } = &self.kind else { return None };
        let prices = rows.of_bill();
        let priced = search.at(|i, terms| rows.terms(terms, (self.sites.at(i), 0), 0, &prices), 0, 0);
        let blocks = priced.by_closed_form(bases, Wanted::Cheapest).ok()?;
        if priced.unproven.get() {
            return Some(priced.relaxed.get());
        }
        Some(blocks.iter().map(Block::cost).sum())
    }

    /// Its optimum on machines of its own, where it may be on shared ones.
    pub fn alone(&self, rows: &Rows) -> Option<Planned> {
        self.own(rows, self.alone.clone()?)
    }

    /// A known plan with what it costs by now: a replay that contradicts an hour below the peak changes what that hour has in every
    /// plan with the same pool, and one that makes a batch slower what each run at that speed takes.
    pub fn renewed(&self, rows: &Rows, planned: &Planned) -> Option<Planned> {
        match (&self.kind, &planned.plan) {
            (Sort::Service { search, .. }, Plan::Service(blocks)) if search.follows().is_some() => {
                self.own(rows, blocks.clone())
            }
            (Sort::Run { table, task, terms }, Plan::Run(run)) => {
                let ask = batch::Within { job: self.job, table, task: *task, terms };
                ask.again(run).map(|priced| self.run(rows, &priced))
            }
            _ => Some(planned.clone()),
        }
    }

    /// Blocks chosen at other prices, with what they really cost.
    fn own(&self, rows: &Rows, mut blocks: Vec<Block>) -> Option<Planned> {
        let Sort::Service { search, bases } = &self.kind else { return None };
        for block in &mut blocks {
            let base = bases.iter().find(|b| b.origins == block.origins)?;
            let regions = block.pools.len() as u32;
            for chosen in &mut block.pools {
                *chosen = search.own(base, regions, chosen)?;
            }
        }
        Some(self.service(rows, search, blocks))
    }

    fn service(&self, rows: &Rows, search: &Search<'a>, blocks: Vec<Block>) -> Planned {
        let hourly: i64 = blocks.iter().map(|b| b.cost().micros()).sum();
        let bound = couple::bound(search, &blocks).per_month().micros();
        let pools = blocks.iter().flat_map(Block::all_pools);
        let own = |p: &Chosen| self.fleets.get(p.site).copied().flatten().is_none();
        let machines = pools.clone().filter(own).map(|p| u64::from(p.count.machines)).sum();
        let counts: Vec<(usize, u32, u32)> = pools
            .clone()
            .map(|p| (p.site, p.count.takes()))
            .map(|(site, (on, spot))| (site, on, spot))
            .collect();
        let emitted = pools.clone().map(|p| carbon::of_weeks(self.emits_at(p.site), p.count.seconds)).sum();
        let surcharges = pools.clone().filter_map(|p| Some((*self.surcharges.get(p.site)?, p.count.seconds)));
        let more: i64 = surcharges.map(|(each, seconds)| stability::month(each, seconds)).sum();
        let month = hourly.saturating_mul(HOURS_PER_MONTH).saturating_add(more);
        let column = self.column(rows, (month, bound, emitted), &counts, machines);
        let shared = pools.flat_map(|p| self.on_fleets(search, &p)).collect();
        Planned { column, plan: Plan::Service(blocks), shared }
    }

    fn on_fleets(&self, search: &Search<'a>, chosen: &Chosen) -> impl Iterator<Item = OnFleet> + use<'a> {
        let both = [&self.fleets, &self.moved].map(|of| of.get(chosen.site).copied().flatten());
        let item = Item::of(search, chosen);
        both.into_iter().flatten().filter_map(move |fleet| Some(OnFleet { fleet, item: item? }))
    }

    fn run(&self, rows: &Rows, priced: &batch::Priced) -> Planned {
        let count = priced.run.chosen.count;
        let counts = [(priced.run.chosen.site, count.machines - count.spot, count.spot)];
        let bound = if rows.binds == BudgetBinds::Ceiling { priced.ceiling } else { priced.month };
        let machines = u64::from(count.machines);
        let mg = self.emits_at(priced.run.chosen.site);
        let task = match &self.kind {
            Sort::Run { task, .. } => task.runs(),
            Sort::Federation { .. } | Sort::Service { .. } | Sort::Mixed(_) => 0.0,
        };
        let emitted = carbon::of_runs(mg, count.machines, priced.run.hours, task);
        // Only a stream has one, whose machines are there all week.
        let surcharge = self.surcharges.get(priced.run.chosen.site).copied().unwrap_or(0);
        let more = stability::month(surcharge, i64::from(WEEK_S) * i64::from(count.machines));
        let figures = (priced.month.micros().saturating_add(more), bound.micros(), emitted);
        let column = self.column(rows, figures, &counts, machines);
        Planned { column, plan: Plan::Run(priced.run), shared: Vec::new() }
    }

    fn federation(&self, rows: &Rows, members: Members) -> Planned {
        let Sort::Federation { rounds, runs } = &self.kind else {
            unreachable!("only federations have members")
        };
        let first = rounds.table.sites.len();
        let sites = members.clients.iter().map(|c| first + c.site).chain([members.aggregator]);
        let counts: Vec<(usize, u32, u32)> = sites.map(|site| (site, 1, 0)).collect();
        let emitted =
            |(site, ..): &(usize, u32, u32)| carbon::of_runs(self.emits_at(*site), 1, members.hours, *runs);
        let emitted = counts.iter().map(emitted).sum();
        let month = members.month.micros();
        let column = self.column(rows, (month, month, emitted), &counts, counts.len() as u64);
        Planned { column, plan: Plan::Federation(members), shared: Vec::new() }
    }

    /// What a machine of a federation takes of quotas in a month, and emits in an hour, at `prices`.
    fn tolls_of(&self, rows: &Rows, site: usize, prices: &[i128]) -> (i128, i128) {
        let (base, _, hour) = self.tolls(rows, site, prices);
        (base, hour)
    }

    /// What an hour of a machine of a site counts for beside its price, times [`ONE`].
    fn counted(&self, rows: &Rows, site: usize, prices: &[i128]) -> i128 {
        let more = self.surcharges.get(site).map_or(0, |each| i128::from(*each) * ONE);
        rows.emitted(self.emits_at(site), prices) + more
    }

    /// What a machine of a site takes of quotas in a month, bought as planned and as spot, and emits in an hour, at `prices`.
    fn tolls(&self, rows: &Rows, site: usize, prices: &[i128]) -> (i128, i128, i128) {
        let (base, spot) = rows.tolls(self.sites.at(site), prices);
        (base, spot, self.counted(rows, site, prices))
    }

    fn emits_at(&self, site: usize) -> i64 {
        self.emits.get(site).copied().unwrap_or(0)
    }

    /// What is paid, what budgets limit of it and what is emitted in a month; `pools`: site, the most machines that are not spot, and the
    /// most that are.
    fn column(
        &self,
        rows: &Rows,
        (money, bound, emitted): (i64, i64, i64),
        pools: &[(usize, u32, u32)],
        machines: u64,
    ) -> Column {
        let cost = money.saturating_add(emission::priced(emitted, rows.carbon_price).micros());
        let mut uses: Vec<(usize, i64)> = self.budgets.iter().map(|row| (*row, bound)).collect();
        uses.extend(rows.carbon.map(|row| (row, emitted)));
        for (site, on, spot) in pools {
            for (row, base, spots) in self.sites.at(*site) {
                let amount = base * i64::from(*on) + spots * i64::from(*spot);
                match uses.iter_mut().find(|(r, _)| r == row) {
                    Some((_, sum)) => *sum += amount,
                    None => uses.push((*row, amount)),
                }
            }
        }
        uses.retain(|(_, amount)| *amount > 0);
        uses.sort_unstable();
        Column { cost, machines, uses }
    }

    /// Whether the replay contradicts a plan; what it contradicts is left out from now on, or made slower.
    pub fn contradicted(&self, plan: &Plan) -> bool {
        match (&self.kind, plan) {
            (Sort::Service { search, .. }, Plan::Service(blocks)) => search.contradicted(blocks),
            (Sort::Run { table, task, terms }, Plan::Run(run)) => {
                let ask = batch::Within { job: self.job, table, task: *task, terms };
                ask.slower(run).is_some()
            }
            _ => false,
        }
    }
}

/// What costs so much a month (times [`ONE`]) at the most an hour, with all that is rounded on the way.
fn hourly(month: i128) -> Money {
    let micros = month.div_euclid(i128::from(HOURS_PER_MONTH) * ONE) + 1 + ROUNDED * 1024;
    Money::from_micros(micros.clamp(0, i128::from(i64::MAX / 1024)) as i64)
}

fn lost() -> Rejection {
    Rejection { constraint: "infeasible", reason: "no candidate does".into(), at: None, distance: None }
}
