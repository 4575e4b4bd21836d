//! The bound, derived again: that nothing cheaper keeps the promises, or what does.
//!
//! For every workload all candidates of the family are made anew, without leaving one out because another is better: every
//! offering, variant, layout and engine setting, in every partition of the origins and every number of regions. Each one's
//! machines are counted by a search of the checker's own on the curve of a replica, and priced at the certificate's multipliers,
//! in integers. The least of all workloads, less what is paid for all that there is of the shared limits, bounds every placement
//! from below (Lagrange).
//!
//! Where that leaves a gap, or where the least breaks a rule over several pools of a service (`min_replicas`, `max_replicas`, quotas,
//! budgets), every plan up to the cost of what was placed is listed and the cheapest choice of whole plans within the limits looked
//! for (`closing`), up to stated numbers of plans and steps.
//!
//! What makes the bound lower than it could be, and so is told and not held against a plan: rules and limits where plans are too
//! many, or of workloads whose plans are not listed; what a pool that follows the day takes of shared limits in other hours than those
//! of the peak, as far as the multipliers alone bound it; and that shared machines are whole: replicas on them are paid for by the accelerator, at a part, rounded down, of a
//! machine with what it takes of limits. The replay is asked only about what would be cheaper than the plan by the closed form.
//!
//! It shares no code with the optimizer.

mod batch;
mod choice;
mod closing;
mod divided;
mod federation;
mod field;
mod need;
mod pipeline;
mod pool;
mod prices;
mod profile;
mod service;
mod stream;
mod training;

pub use choice::{Choice, Column, choice};

use rhumb_api::{HOURS_PER_MONTH, Money};

use super::ledger::dollars;
use super::subject::{self, Kind, Work};
use super::{Ledger, carbon, day, fleet, shared, stability};
use crate::placement::{Coupling, Placement, SharedLimit, WorkloadPlacement, World};
use crate::spec::{BudgetBinds, Goal, Service, Spec};
use closing::{Closed, Open};
use field::Field;
use prices::{Prices, SCALE};
use service::{Least, Search};

/// A bound that the checker derived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// A workload, or `deployment` for all of them.
    pub address: String,
    /// What was placed costs, dollars a month.
    pub cost: Money,
    /// What both amounts hold besides the bill; empty where they are the bill.
    pub counted: Vec<&'static str>,
    /// No placement costs less, dollars a month; `None` if none was derived.
    pub bound: Option<Money>,
    /// Candidates that were priced: offerings times the ways to run on them.
    pub candidates: u64,
    /// Why the bound may be lower than it could be: rules that it leaves out and that would have mattered.
    pub left_out: Vec<&'static str>,
}

impl Bound {
    /// What lies between bound and cost, as a share of the cost; `None` without a bound.
    pub fn gap(&self) -> Option<f64> {
        let bound = self.bound?;
        let between = (self.cost - bound).max(Money::ZERO);
        // Amounts are rounded to the micro-dollar in more than one place.
        let equal = between.micros() <= SLACK;
        Some(if equal { 0.0 } else { between.usd() / self.cost.usd().max(f64::MIN_POSITIVE) })
    }

    /// `optimal`, `within 0.4 %` or `unknown`; the share is rounded up.
    pub fn verdict(&self) -> String {
        match self.gap() {
            None => "unknown".to_owned(),
            Some(0.0) => "optimal".to_owned(),
            Some(gap) => {
                let percent = gap * 100.0;
                let digits = if percent < 0.095 { 100.0 } else { 10.0 };
                format!("within {} %", (percent * digits * (1.0 - 1e-9)).ceil() / digits)
            }
        }
    }
}

/// What was derived, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// All workloads together.
    pub all: Bound,
    /// Each by itself, in the order of the addresses; not what it costs in company, where limits are shared.
    pub workloads: Vec<Bound>,
    /// What contradicts the certificates.
    pub report: super::Report,
}

/// What is told as left out where a bound has some accelerators of shared machines and not all.
const WHOLE_MACHINES: &str = "that shared machines are whole";

/// Rounding of a month of a few pools, micro-dollars.
const SLACK: i64 = 8 * HOURS_PER_MONTH;

/// What is minimised besides the bill, in words.
fn beside_the_bill(spec: &Spec) -> Vec<&'static str> {
    let carbon = match spec.objective {
        Goal::Cost => None,
        Goal::Priced { .. } => Some("emissions at their price"),
        Goal::Carbon => Some("a gram of CO2e as 100 USD"),
    };
    let stability = spec.stability.as_ref().map(|_| "machines that do not run yet as dearer");
    carbon.into_iter().chain(stability).collect()
}

/// Derives the bounds of a placement's certificates again.
///
/// It takes longer than the search, which leaves most candidates out. Workloads that were not placed, and models that are not
/// known, are findings of [`super::inspect`].
pub fn prove(spec: &Spec, world: &World, placement: &Placement) -> Proof {
    let mut log = Ledger::default();
    let whole = spec;
    let spec = &*placement.spec_of(whole);
    let mut workloads = Vec::new();
    let mut priced: Option<Vec<(String, i128)>> = Some(Vec::new());
    for address in subject::addresses(spec) {
        let placed = placement.workloads.get(&address);
        let work = Work::of(spec, world, &address);
        let (Some(placed), Some(work)) = (placed, work) else {
            priced = None;
            continue;
        };
        let judged = judge(&mut log, spec, world, &work, placed, placement.coupling.as_ref());
        priced = priced.zip(judged.1).map(|(mut all, own)| {
            all.push((address.clone(), own));
            all
        });
        workloads.push(judged.0);
    }
    // What was minimised, not the bill alone.
    let price = placement.coupling.as_ref().map_or(0, |_| carbon::price(spec, SCALE));
    let counted = |w: &WorkloadPlacement| {
        let mg = if price > 0 { carbon::month(world, w).unwrap_or(0) } else { 0 };
        let emitted = i64::try_from(i128::from(mg) * price / SCALE).unwrap_or(i64::MAX / 1024);
        let more = placement.coupling.as_ref().map_or(Money::ZERO, |_| stability::month(spec, world, w));
        Money::from_micros(emitted) + more
    };
    let of_fleets = placement.coupling.as_ref().map(|_| shared::counted_of_fleets(spec, world, placement).1);
    let cost = workloads.iter().map(|b| b.cost).sum::<Money>()
        + placement.workloads.values().map(counted).sum::<Money>()
        + of_fleets.unwrap_or(Money::ZERO);
    let closed =
        priced.as_ref().and_then(|least| closing::bound(spec, world, placement, &Open { least, cost }));
    let bound = priced.map(|least| {
        let sum: i128 = least.iter().map(|(_, own)| own).sum();
        let apart = sum - placement.coupling.as_ref().map_or(0, |c| paid(spec, c));
        let bound = micros(closed.as_ref().map_or(apart, |closed| closed.bound));
        // Milligrams are whole in a plan: where they cost something, each workload's may be one more.
        let mg = i64::try_from(price * least.len() as i128 / SCALE).unwrap_or(i64::MAX);
        if bound < cost && (cost - bound).micros() <= mg { cost } else { bound }
    });
    let other = divided::least(&mut log, whole, world, placement, &workloads).map(micros);
    let candidates = workloads.iter().map(|b| b.candidates).sum();
    let mut left_out: Vec<&'static str> = workloads.iter().flat_map(|b| b.left_out.clone()).collect();
    left_out.sort_unstable();
    left_out.dedup();
    let counted = placement.coupling.as_ref().map_or(Vec::new(), |_| beside_the_bill(spec));
    let dearer = other.is_none_or(|other| other >= cost - Money::from_micros(SLACK));
    if !dearer {
        left_out.push(divided::DIVISIONS);
    }
    let own = bound;
    let bound = own.map(|own| other.map_or(own, |other| own.min(other)));
    let mut all = Bound { address: "deployment".into(), cost, counted, bound, candidates, left_out };
    let wholes = closed.as_ref().is_none_or(|closed| closed.whole);
    if !wholes && all.gap().is_some_and(|gap| gap > 0.0) {
        all.left_out.push(closing::WHOLE_PLANS);
    }
    if let (Some(Closed { bound, found: true, .. }), Some(coupling)) = (&closed, &placement.coupling) {
        let claimed = (coupling.lower_bound - closing::rounding(placement.workloads.len())).micros();
        let claimed = i128::from(claimed) * SCALE;
        log.hold(*bound >= claimed, "optimum", "deployment", || {
            let message = "a cheaper choice keeps every promise and every shared limit".to_owned();
            (message, format!("{} a month", dollars(micros(*bound))), dollars(coupling.lower_bound))
        });
    }
    if all.gap() == Some(0.0) {
        all.left_out.retain(|rule| *rule != WHOLE_MACHINES);
    }
    if let (Some(bound), true) = (own, placement.coupling.is_some()) {
        let most = cost + Money::from_micros(SLACK);
        log.hold(bound <= most, "optimum", "deployment", || {
            (
                "everything together costs less than it can".into(),
                format!("at least {}", dollars(bound)),
                dollars(cost),
            )
        });
    }
    Proof { all, workloads, report: log.report() }
}

/// A bound in whole micro-dollars: costs are whole, so it may be rounded up.
fn micros(scaled: i128) -> Money {
    let up = scaled.div_euclid(SCALE) + i128::from(scaled.rem_euclid(SCALE) > 0);
    Money::from_micros(up.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

/// Whether a service's replicas may be on machines with those of others.
fn shares(spec: &Spec, service: &Service) -> bool {
    service.shares && day::followed(service).is_none() && fleet::sharing(spec) > 1
}

/// What all that there is of the shared limits costs at the multipliers, over the scale: by the spec's own limits.
fn paid(spec: &Spec, coupling: &Coupling) -> i128 {
    let of = |limit: &SharedLimit| Some(limit_of(spec, limit)? * i128::from(limit.multiplier.max(0)));
    coupling.limits.iter().filter_map(of).sum()
}

/// How much there is of a shared limit by the spec: millionths of a quota's unit, milligrams, or micro-dollars a month.
fn limit_of(spec: &Spec, limit: &SharedLimit) -> Option<i128> {
    Some(match (limit.cloud, &limit.region, &limit.code) {
        (Some(cloud), Some(place), Some(code)) => {
            let declared = spec.providers.get(&cloud)?.quotas.get(place)?.get(code)?;
            ((declared + 1e-9) * 1e6).round() as i128
        }
        _ if limit.constraint == "carbon" => i128::from(spec.budget.carbon.as_ref()?.mg),
        _ => i128::from(spec.budget.limits.get(&shared::scope_of(limit)?)?.limit.micros()),
    })
}

/// What a certificate claims to be the least of a workload, a month over the scale.
struct Claim {
    least: i128,
    /// Whether it is the cost of what was placed.
    chosen: bool,
    what: &'static str,
}

fn claims(placed: &WorkloadPlacement, coupling: Option<&Coupling>, runs: f64) -> Vec<Claim> {
    let certificate = &placed.certificate;
    let month = |amount: Money| match placed.run {
        Some(_) => i128::from(amount.scale(runs).micros()) * SCALE,
        None => i128::from(amount.per_month().micros()) * SCALE,
    };
    // A gap that is told is no claim that what was placed is the least.
    let told = certificate.together || certificate.lower_bound < certificate.optimum;
    let (own, what) = if told {
        (certificate.lower_bound, "the least that it costs by itself")
    } else {
        (certificate.optimum, "its cost")
    };
    let mut claims = vec![Claim { least: month(own), chosen: !told, what }];
    if let Some(least) = coupling.and_then(|c| c.least.get(&placed.address)) {
        let what = "its least cost at the multipliers";
        claims.push(Claim { least: i128::from(least.micros()) * SCALE, chosen: false, what });
    }
    claims
}

/// Looks at one workload: its own bound, and its least at the multipliers.
fn judge(
    log: &mut Ledger,
    spec: &Spec,
    world: &World,
    work: &Work<'_>,
    placed: &WorkloadPlacement,
    coupling: Option<&Coupling>,
) -> (Bound, Option<i128>) {
    let mut counted = |all: u64| {
        let what = "the number of candidates there are";
        log.same("certificate", &work.address, what, &all, &placed.certificate.candidates);
    };
    let schedule = match work.kind {
        Kind::Batch(batch) => batch.schedule.as_ref(),
        Kind::Training(training) => training.schedule.as_ref(),
        Kind::Pipeline(pipeline) => pipeline.schedule.as_ref(),
        Kind::Federation(federation) => federation.schedule.as_ref(),
        Kind::Service(_) | Kind::Profiled(_) => None,
    };
    let runs = schedule.map_or(1.0, |s| s.runs_per_month);
    let claims = claims(placed, coupling, runs);
    let prices: Vec<Prices> =
        [None, coupling].into_iter().take(claims.len()).map(|c| Prices::of(spec, c, &work.address)).collect();
    let own: Vec<Money> = shared::budgets_on(spec, &work.address).into_iter().map(|(_, b)| b.limit).collect();
    // By itself it may take all of a budget; at the multipliers it pays for what it takes.
    let own = |p: usize| if p == 0 { own.as_slice() } else { &[] };
    let binds = spec.budget.binds;
    let over = |p: usize, amount: Money| {
        if own(p).iter().any(|limit| amount > *limit) { vec!["budget"] } else { Vec::new() }
    };
    let of_run = |p: usize, least: Option<LeastRun>| {
        let LeastRun { priced, counted, words } = least?;
        Some(Found { least: priced, words, left_out: over(p, counted), by_accelerator: false })
    };
    let (found, candidates): (Vec<Option<Found>>, u64) = match work.kind {
        Kind::Service(service) => {
            let field = Field::of(spec, world, work);
            counted(field.all);
            let bars = claims.iter().map(|c| c.least).collect();
            let shares = shares(spec, service);
            let stand_ins: Vec<Field> = work.stand_ins().iter().map(|w| Field::of(spec, world, w)).collect();
            let fields = (&field, stand_ins.as_slice());
            let Some(search) = Search::new(world, work, service, fields, &prices, bars, shares) else {
                let bound = Bound {
                    address: work.address.clone(),
                    cost: placed.cost.expected_per_month,
                    counted: Vec::new(),
                    bound: None,
                    candidates: field.running,
                    left_out: vec!["origins"],
                };
                return (bound, None);
            };
            let of = |p: usize| of_service(&search, p, &claims[p], own(p), binds);
            ((0..claims.len()).map(of).collect(), field.running)
        }
        Kind::Batch(batch) => {
            let field = Field::of(spec, world, work);
            counted(field.all);
            let of = |p: usize| {
                let (pool, amount) = batch::least(world, work, batch, &field, &prices[p])?;
                let words = service::words(world, &field, &pool);
                Some(Found { least: pool.priced, words, left_out: over(p, amount), by_accelerator: false })
            };
            ((0..claims.len()).map(of).collect(), field.running)
        }
        Kind::Training(asked) => {
            let field = training::Field::of(spec, world, work, asked);
            counted(field.all);
            ((0..claims.len()).map(|p| of_run(p, field.least(&prices[p]))).collect(), field.running)
        }
        Kind::Profiled(asked) => {
            let field = profile::Field::of(spec, world, work, asked);
            counted(field.all);
            let of = |p: usize| {
                let least = field.least(&prices[p], placed.mix.as_ref(), p)?;
                let words = "by the tree of its proof".to_owned();
                Some(Found { least, words, left_out: Vec::new(), by_accelerator: false })
            };
            ((0..claims.len()).map(of).collect(), field.running)
        }
        Kind::Pipeline(asked) => {
            let field = pipeline::Field::of(spec, world, work, asked);
            counted(field.all);
            let of = |p: usize| of_run(p, field.least(&prices[p], own(p)));
            ((0..claims.len()).map(of).collect(), field.running)
        }
        Kind::Federation(asked) => {
            let field = federation::Field::of(spec, world, work, asked);
            counted(field.all);
            ((0..claims.len()).map(|p| of_run(p, field.least(&prices[p]))).collect(), field.running)
        }
    };
    let mut left_out = Vec::new();
    for (claim, found) in claims.iter().zip(&found) {
        match found {
            Some(found) => {
                compare(log, &work.address, claim, found);
                left_out.extend(found.left_out.iter().copied());
            }
            None => log.finding(
                "optimum",
                &work.address,
                "no candidate keeps the promises",
                "none",
                "a placement",
            ),
        }
    }
    if found.last().and_then(Option::as_ref).is_some_and(|f| f.by_accelerator) {
        left_out.push(WHOLE_MACHINES);
    }
    left_out.sort_unstable();
    left_out.dedup();
    let least = |p: usize| found.get(p).and_then(Option::as_ref).map(|f| f.least);
    let bound = Bound {
        address: work.address.clone(),
        cost: placed.cost.expected_per_month,
        counted: Vec::new(),
        bound: least(0).map(micros),
        candidates,
        left_out,
    };
    (bound, least(claims.len() - 1))
}

/// The cheapest run of a training or a pipeline.
struct LeastRun {
    /// A month at the prices, over the scale.
    priced: i128,
    /// What a budget counts of it.
    counted: Money,
    words: String,
}

/// The least that was found, and who costs so little.
struct Found {
    least: i128,
    words: String,
    left_out: Vec<&'static str>,
    /// Whether a part of it is paid by the accelerator, as if machines were not whole.
    by_accelerator: bool,
}

fn of_service(
    search: &Search<'_>,
    price: usize,
    claim: &Claim,
    budgets: &[Money],
    binds: BudgetBinds,
) -> Option<Found> {
    let found = |least: &Least, left_out| {
        let mut pools = least.blocks.iter().flat_map(|(_, pools)| pools);
        let by_accelerator = pools.any(|p| p.shared.is_some());
        Found { least: least.priced, words: search.words(least), left_out, by_accelerator }
    };
    let rises = |least: &Least| {
        if price > 0 && Search::rises(least) { vec!["hours below the peak"] } else { Vec::new() }
    };
    loop {
        let least = search.least(price)?;
        if least.priced >= claim.least - i128::from(SLACK) * SCALE {
            return Some(found(&least, Vec::new()));
        }
        let broken = search.breaks(&least, budgets, binds);
        if !broken.is_empty() {
            let keeps = |least: &Least| search.breaks(least, budgets, binds).is_empty();
            let short = claim.least - i128::from(SLACK) * SCALE;
            return match search.least_within(price, short, closing::MOST_PLANS, keeps) {
                Some(Some(least)) => Some(found(&least, rises(&least))),
                Some(None) => Some(Found { least: claim.least, ..found(&least, Vec::new()) }),
                None => Some(found(&least, broken)),
            };
        }
        if !rises(&least).is_empty() {
            return Some(found(&least, rises(&least)));
        }
        match search.replayed(&least) {
            Some(true) => return Some(found(&least, Vec::new())),
            Some(false) => {}
            None => return Some(found(&least, vec!["replay"])),
        }
    }
}

fn compare(log: &mut Ledger, address: &str, claim: &Claim, found: &Found) {
    let slack = i128::from(SLACK) * SCALE;
    let month = |scaled: i128| format!("{} a month", dollars(micros(scaled)));
    log.hold(found.least >= claim.least - slack || !found.left_out.is_empty(), "optimum", address, || {
        let message = if claim.chosen {
            "something cheaper keeps every promise".to_owned()
        } else {
            format!("{} is claimed too high", claim.what)
        };
        (message, format!("{}: {}", month(found.least), found.words), month(claim.least))
    });
    log.hold(!claim.chosen || found.least <= claim.least + slack, "optimum", address, || {
        let message = "it costs less than anything that keeps the promises".to_owned();
        (message, format!("at least {}: {}", month(found.least), found.words), month(claim.least))
    });
}
