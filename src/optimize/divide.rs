//! Services that may be served in parts (`src/decisions/0025-parts-of-a-service.md`): the division whose parts cost the least.
//!
//! The parts of a division are services of their own, and are placed as any. What they cost by themselves, all of them and whatever
//! else is placed, bounds what the division costs from below, and is what it costs where they share enough. So divisions are placed
//! in the order of that bound, until the next one's is no less than the best that was found: as a rule the first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use rayon::prelude::*;
use rhumb_api::{HOURS_PER_MONTH, Money};

use super::deployment::{self, Telling};
use super::watch::Asking;
use super::{NoPlacement, Watch, solve, stability};
use crate::placement::{
    DearerDivision, Divided, DividedService, DivisionOption, Infeasible, Placement, Rejection, ServicePart,
    Stop, Unfinished, WorkloadPlacement, World,
};
use crate::spec::divide::{MOST_TRIED, PART, slices};
use crate::spec::{BudgetLimit, BudgetScope, By, Division, Service, Slice, Spec};

/// See [`super::place`].
pub(super) fn place(
    spec: &Spec,
    world: &World,
    with_fallbacks: bool,
    watch: Watch<'_>,
) -> Result<Placement, NoPlacement> {
    let telling = Telling { fallbacks: with_fallbacks, refusal: true };
    if !spec.divides() {
        return deployment::place(spec, world, telling, watch);
    }
    let whole = || {
        let undivided = spec.divided(&BTreeMap::new());
        refused(spec, deployment::place(&undivided, world, telling, watch))
    };
    let services = priced(spec, world, watch).map_err(NoPlacement::Unfinished)?;
    let all = InOrder::of(&services);
    if all.next.is_empty() {
        return whole();
    }
    let found = Sought { spec, world, telling, watch, services, others: None }.best(all);
    let mut placement = found.unwrap_or_else(whole)?;
    if placement.kept.is_some() {
        // If nothing ran, the division might be another one.
        let nothing = Spec { stability: None, ..spec.clone() };
        let free = place(&nothing, world, false, watch).ok();
        let parted = (placement.spec_of(spec), free.as_ref().map(|free| (free.spec_of(&nothing), free)));
        let free = parted.1.as_ref().map(|(spec, free)| (&**spec, &free.workloads));
        placement.kept = stability::kept((&parted.0, &placement.workloads), world, free);
    }
    Ok(placement)
}

/// A service that may be divided, with what the parts of each division cost by themselves.
struct Dividing<'s> {
    service: &'s Service,
    by: By,
    /// A month, each; `None` of one that cannot be placed.
    options: Vec<(Division, Vec<Option<i64>>)>,
}

/// What parts cost by themselves, a month, with [`PART`] for each of them; `None` if one of them cannot be placed.
fn sum(parts: &[Option<i64>]) -> Option<i64> {
    Some(parts.iter().copied().sum::<Option<i64>>()? + PART * parts.len() as i64)
}

/// Every part by itself.
///
/// # Errors
/// It was ended before all were known.
fn priced<'s>(spec: &'s Spec, world: &World, watch: Watch<'_>) -> Result<Vec<Dividing<'s>>, Unfinished> {
    let parts = |by: By, divisions: &[Division]| -> BTreeSet<Slice> {
        divisions.iter().flat_map(|d| slices(by, d)).collect()
    };
    let dividing: Vec<(&Service, By, Vec<Division>)> =
        spec.services.values().filter_map(|s| Some((s, s.divisible()?.by, s.divisions()))).collect();
    let asking = Asking::new(watch, dividing.iter().map(|(_, by, all)| parts(*by, all).len()).sum());
    let of = |(service, by, divisions): (&'s Service, By, Vec<Division>)| {
        let parts: Vec<Slice> = parts(by, &divisions).into_iter().collect();
        let least = |slice: &Slice| {
            if asking.stops_apart() {
                return None;
            }
            // Any division that has the part.
            let of = divisions.iter().find(|d| slices(by, d).contains(slice))?;
            let divided = spec.divided(&[(service.name.clone(), of.clone())].into());
            let placed = solve(&divided, world, &format!("services.{}", service.part_name(*slice)));
            asking.placed_apart();
            Some(bound(&placed.ok()?).micros())
        };
        let known: BTreeMap<Slice, Option<i64>> =
            parts.par_iter().map(|slice| (*slice, least(slice))).collect();
        let options = divisions.into_iter().map(|division| {
            let costs = slices(by, &division).into_iter().map(|s| known.get(&s).copied().flatten()).collect();
            (division, costs)
        });
        let options = options.collect();
        Dividing { service, by, options }
    };
    let all = dividing.into_par_iter().map(of).collect();
    asking.unfinished().map_or(Ok(all), Err)
}

/// What a workload costs a month at the least.
fn bound(placed: &WorkloadPlacement) -> Money {
    match placed.run {
        Some(_) => placed.cost.expected_per_month,
        None => placed.certificate.lower_bound.times(HOURS_PER_MONTH),
    }
}

/// A division of each service that may be divided.
#[derive(Clone)]
struct Combined {
    /// By the order of the services.
    divisions: Vec<Division>,
    /// What their parts cost by themselves, a month, with [`PART`] for each.
    least: i64,
}

impl Combined {
    fn parts(&self) -> usize {
        self.divisions.iter().map(|d| d.len() + 1).sum()
    }

    /// By what one is better than another, given what it costs.
    fn rank(&self, cost: i64) -> (i64, usize, &[Division]) {
        (cost, self.parts(), &self.divisions)
    }
}

/// Every combination of divisions whose parts can be placed by themselves, in the order in which they are tried: the cheapest first, of
/// equals those of fewer parts. There may be very many: each is made when it is asked for.
struct InOrder {
    /// Of each service its divisions with what their parts cost, the cheapest first.
    options: Vec<Vec<(i64, Division)>>,
    /// Those whose turn may be next, by their rank: which option each service has, and from which service on one may be exchanged for its
    /// next, so that each combination is reached in one way.
    next: BinaryHeap<Reverse<Candidate>>,
}

/// Cost, parts, divisions; which options these are, and the first of them that may be exchanged.
type Candidate = (i64, usize, Vec<Division>, Vec<usize>, usize);

impl InOrder {
    fn of(services: &[Dividing<'_>]) -> Self {
        let options = services.iter().map(|of| {
            let placed =
                of.options.iter().filter_map(|(division, least)| Some((sum(least)?, division.clone())));
            let mut placed: Vec<(i64, Division)> = placed.collect();
            placed.sort_by(|(a, d), (b, e)| (a, d.len(), d).cmp(&(b, e.len(), e)));
            placed
        });
        let mut all = InOrder { options: options.collect(), next: BinaryHeap::new() };
        all.add(vec![0; services.len()], 0);
        all
    }

    fn add(&mut self, which: Vec<usize>, from: usize) {
        let chosen: Option<Vec<&(i64, Division)>> =
            self.options.iter().zip(&which).map(|(of, i)| of.get(*i)).collect();
        let Some(chosen) = chosen else { return };
        let divisions: Vec<Division> = chosen.iter().map(|(_, d)| d.clone()).collect();
        let parts = divisions.iter().map(|d| d.len() + 1).sum();
        let cost = chosen.iter().map(|(cost, _)| cost).sum();
        self.next.push(Reverse((cost, parts, divisions, which, from)));
    }
}

impl Iterator for InOrder {
    type Item = Combined;

    fn next(&mut self) -> Option<Combined> {
        let Reverse((least, _, divisions, which, from)) = self.next.pop()?;
        for service in from..which.len() {
            let mut other = which.clone();
            other[service] += 1;
            self.add(other, service);
        }
        Some(Combined { divisions, least })
    }
}

struct Sought<'s> {
    spec: &'s Spec,
    world: &'s World,
    telling: Telling,
    watch: Watch<'s>,
    services: Vec<Dividing<'s>>,
    /// What all other workloads cost by themselves at the least, a month, once it is asked for; `None` in it if one cannot be placed.
    others: Option<Option<i64>>,
}

/// What a division came to.
struct Tried {
    of: Combined,
    /// No less than this, a month, with [`PART`] for each; `None` if nothing is within what is shared.
    bound: Option<i64>,
    /// What was found costs so much.
    found: Option<(i64, Placement)>,
}

/// How far the search has come.
struct Course {
    tried: Vec<Tried>,
    /// Which of these is the best.
    best: Option<usize>,
    stopped: Option<Stop>,
    /// Whether all that was refused is proven not to go.
    proven: bool,
    gave_up: bool,
}

impl Course {
    /// Whether what was found beats whatever costs so much.
    fn beats(&self, of: &Combined, least: i64) -> bool {
        let best = self.best.and_then(|b| Some((&self.tried[b].of, self.tried[b].found.as_ref()?.0)));
        best.is_some_and(|(best, cost)| of.rank(least) >= best.rank(cost))
    }
}

impl Sought<'_> {
    /// The best; `None` if no division can be placed.
    fn best(mut self, mut left: InOrder) -> Option<Result<Placement, NoPlacement>> {
        let mut course =
            Course { tried: Vec::new(), best: None, stopped: None, proven: true, gave_up: false };
        let mut next = left.next();
        while let Some(of) = next.take() {
            if !course.tried.is_empty() {
                let Some(others) = self.others() else { break };
                let beaten = course.beats(&of, of.least.saturating_add(others));
                course.stopped = course.stopped.or_else(|| self.ended());
                course.gave_up = !beaten && course.tried.len() >= MOST_TRIED;
                let ends = course.stopped.is_some() && course.best.is_some();
                // What is expected of it alone is more than there is: so of all that come after it.
                let own = of.least - PART * of.parts() as i64;
                if course.best.is_none() && self.all().is_some_and(|limit| own.saturating_add(others) > limit)
                {
                    break;
                }
                if beaten || course.gave_up || ends {
                    next = Some(of);
                    break;
                }
            }
            if let Err(why) = self.look(of.clone(), &mut course) {
                if course.best.is_none() {
                    return Some(Err(NoPlacement::Unfinished(why)));
                }
                course.stopped = Some(why.by);
                next = Some(of);
                break;
            }
            next = left.next();
        }
        let whole = vec![Vec::new(); self.services.len()];
        if course.gave_up && course.best.is_none() && course.tried.iter().all(|t| t.of.divisions != whole) {
            // Of all that is left it is what everybody would try.
            if let Err(why) = self.look(Combined { divisions: whole, least: 0 }, &mut course) {
                return Some(Err(NoPlacement::Unfinished(why)));
            }
        }
        let Course { tried, best, stopped, proven, gave_up } = course;
        let Some(best) = best else {
            if !proven || gave_up {
                // What the undivided services are refused for is told; that nothing else will do is not proven.
                let undivided = self.spec.divided(&BTreeMap::new());
                let told = deployment::place(&undivided, self.world, self.telling, self.watch);
                let told = refused(self.spec, told).map_err(|why| match why {
                    NoPlacement::Infeasible(why) => {
                        NoPlacement::Infeasible(Infeasible { proven: false, ..why })
                    }
                    unfinished => unfinished,
                });
                // What is expected of an undivided service is within what a limit sees of it.
                return Some(told);
            }
            return None;
        };
        // What was not tried costs no less than the first of it.
        let untried = next.map(|of| of.least.saturating_add(self.others.flatten().unwrap_or(0)));
        Some(Ok(self.told((tried, best), untried, stopped, gave_up)))
    }

    /// Places a division, and judges it.
    fn look(&mut self, of: Combined, course: &mut Course) -> Result<(), Unfinished> {
        let parts = PART * of.parts() as i64;
        match self.placed(&of) {
            Ok(placement) => {
                let (cost, bound) = amounts(&placement);
                course.stopped =
                    course.stopped.or_else(|| placement.coupling.as_ref().and_then(|c| c.stopped));
                // What it costs apart is known then, and so is what the others do.
                if placement.coupling.is_none() && self.others.is_none() && of.least > 0 {
                    self.others = Some(Some(bound + parts - of.least));
                }
                let parted = self.spec.divided(&self.by_name(&of));
                let found = if spends_more(&parted, &placement) {
                    // Another placement of it may spend less: that is not proven.
                    course.proven = false;
                    None
                } else {
                    if !course.beats(&of, cost + parts) {
                        course.best = Some(course.tried.len());
                    }
                    Some((cost + parts, placement))
                };
                course.tried.push(Tried { of, bound: Some(bound + parts), found });
            }
            Err(NoPlacement::Infeasible(why)) => {
                course.proven &= why.proven;
                let least = self.others().map(|others| of.least.saturating_add(others));
                let bound = if why.proven { None } else { least };
                course.tried.push(Tried { of, bound, found: None });
            }
            Err(NoPlacement::Unfinished(why)) => return Err(why),
        }
        Ok(())
    }

    /// The budget of everything, a month.
    fn all(&self) -> Option<i64> {
        self.spec.budget.limits.get(&BudgetScope::All).map(|all| all.limit.micros())
    }

    /// Asks whether to end.
    fn ended(&self) -> Option<Stop> {
        let standing = super::Standing { step: super::Step::Plans, found: None, bound: None };
        self.watch.ask.and_then(|ask| ask(&standing))
    }

    fn by_name(&self, of: &Combined) -> BTreeMap<String, Division> {
        let names = self.services.iter().map(|s| s.service.name.clone());
        names.zip(of.divisions.iter().cloned()).collect()
    }

    fn placed(&self, of: &Combined) -> Result<Placement, NoPlacement> {
        let divided = self.spec.divided(&self.by_name(of));
        let telling = Telling { refusal: false, ..self.telling };
        deployment::place(&divided, self.world, telling, self.watch)
    }

    /// What the workloads that cannot be divided cost by themselves.
    fn others(&mut self) -> Option<i64> {
        if let Some(known) = self.others {
            return known;
        }
        let undivided = self.spec.divided(&BTreeMap::new());
        let divides = |address: &String| {
            let service = address.strip_prefix("services.").and_then(|name| self.spec.services.get(name));
            service.is_some_and(|s| s.divisible().is_some())
        };
        let all: Vec<String> = undivided.addresses().into_iter().filter(|a| !divides(a)).collect();
        let least = |address: &String| Some(bound(&solve(&undivided, self.world, address).ok()?).micros());
        let all: Vec<Option<i64>> = all.par_iter().map(least).collect();
        let sum = all.into_iter().sum();
        self.others = Some(sum);
        sum
    }

    /// The best, with what proves it.
    fn told(
        &self,
        (tried, best): (Vec<Tried>, usize),
        untried: Option<i64>,
        stopped: Option<Stop>,
        gave_up: bool,
    ) -> Placement {
        let parts = |of: &Combined| PART * of.parts() as i64;
        let counted = tried.get(best).map_or(0, |t| parts(&t.of));
        let bounds = tried.iter().filter_map(|t| t.bound).chain(untried);
        let lower_bound = bounds.min().unwrap_or(0) - counted;
        let (mut chosen, mut dearer) = (None, Vec::new());
        for (i, Tried { of, bound, found }) in tried.into_iter().enumerate() {
            if i == best {
                chosen = found.map(|(_, placement)| (of, placement));
                continue;
            }
            let address = |(name, division)| (format!("services.{name}"), division);
            dearer.push(DearerDivision {
                at: self.by_name(&of).into_iter().map(address).collect(),
                lower_bound: bound.map(|b| Money::from_micros(b - parts(&of))),
                coupling: found.and_then(|(_, placement)| placement.coupling),
            });
        }
        let (of, mut placement) = chosen.unwrap_or_else(|| unreachable!("the best was found"));
        let services = self.services.iter().zip(&of.divisions);
        let services =
            services.map(|(s, division)| (format!("services.{}", s.service.name), told(s, division)));
        let services = services.collect();
        let lower_bound = Money::from_micros(lower_bound);
        if let Some(coupling) = placement.coupling.as_mut().filter(|c| lower_bound < c.optimum) {
            coupling.stopped = coupling.stopped.or(stopped);
        }
        placement.divided = Some(Divided { services, lower_bound, dearer, gave_up });
        placement
    }
}

fn told(of: &Dividing<'_>, division: &Division) -> DividedService {
    let service = of.service;
    let part = |slice: Slice| ServicePart {
        address: format!("services.{}", service.part_name(slice)),
        above: slice.above,
        to: slice.to,
        hours: match (slice.by, &service.traffic.daily) {
            (By::Load, Some(daily)) => daily.hours_of(slice),
            _ => Vec::new(),
        },
        share: if division.is_empty() { 1.0 } else { service.part(slice).map_or(0.0, |p| p.share()) },
    };
    let option = |(at, least): &(Division, Vec<Option<i64>>)| {
        let least = least.iter().map(|least| least.map(Money::from_micros)).collect();
        DivisionOption { at: at.clone(), least }
    };
    DividedService {
        by: of.by,
        at: division.clone(),
        parts: slices(of.by, division).into_iter().map(part).collect(),
        options: of.options.iter().map(option).collect(),
    }
}

/// Whether more is expected to be spent than a budget allows whose figure does not see it: a month of the peak and the ceiling have no lower
/// hours.
fn spends_more(parted: &Spec, placement: &Placement) -> bool {
    let over = |(scope, budget): (&BudgetScope, &BudgetLimit)| {
        let of = || placement.workloads.values().filter(|w| scope.covers(parted, &w.address));
        let figure: Money = of().map(|w| deployment::limited(parted, w)).sum();
        let expected: Money = of().map(|w| w.cost.expected_per_month).sum();
        figure <= budget.limit && expected > budget.limit
    };
    parted.budget.limits.iter().any(over)
}

/// What a placement costs a month in what is minimised, and what none of its division is below.
fn amounts(placement: &Placement) -> (i64, i64) {
    let least = || placement.workloads.values().map(bound).sum::<Money>();
    let least = placement.coupling.as_ref().map_or_else(least, |c| c.lower_bound);
    (placement.counted().micros(), least.micros())
}

/// A refusal of the undivided services, with that dividing them does not help.
fn refused(spec: &Spec, found: Result<Placement, NoPlacement>) -> Result<Placement, NoPlacement> {
    found.map_err(|why| match why {
        NoPlacement::Infeasible(mut why) => {
            for workload in &mut why.workloads {
                let service = workload.address.strip_prefix("services.").and_then(|n| spec.services.get(n));
                let divides: Vec<&Service> = match service {
                    Some(service) => vec![service],
                    None if workload.address == deployment::DEPLOYMENT => spec.services.values().collect(),
                    None => continue,
                };
                let Some(at) = divides.iter().find_map(|s| s.divisible()) else { continue };
                let what = match at.by {
                    By::Prompts => "no division at these lengths does",
                    By::Load => "other machines in other hours do not",
                };
                workload.conflict.push(Rejection {
                    constraint: "infeasible",
                    reason: format!("{what} either; what would help is said of undivided services"),
                    at: Some(at.at.clone()),
                    distance: None,
                });
            }
            NoPlacement::Infeasible(why)
        }
        unfinished => unfinished,
    })
}
