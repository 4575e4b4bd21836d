//! Services in parts: that the parts are those of a division that the spec allows, and their requests those of the whole.

use std::collections::BTreeSet;

use crate::math::{exp, ln, sqrt};
use crate::placement::{Divided, DividedService, DivisionOption, Placement, ServicePart};
use crate::spec::divide::{LEAST_SHARE, MOST_POINTS, MOST_TRIED, PART};
use crate::spec::{By, Lengths, ScalingMode, Service, Spec, Traffic};

use super::Ledger;
use super::day;
use super::ledger::dollars;

/// Steps of the integrals over lengths, and how many deviations of their logarithm these go through on either side.
const STEPS: u32 = 3_000;
const REACH: f64 = 8.0;

/// By how much a figure of an integral may be off, as a share of it.
const OFF: f64 = 2e-4;

pub(super) fn check(log: &mut Ledger, spec: &Spec, placement: &Placement) {
    let asked: Vec<&Service> = spec.services.values().filter(|s| by(s).is_some()).collect();
    let told = placement.divided.as_ref();
    let names: Vec<String> = asked.iter().map(|s| format!("services.{}", s.name)).collect();
    let said: Vec<String> = told.iter().flat_map(|d| d.services.keys().cloned()).collect();
    log.same(
        "divided",
        "deployment",
        "the services that may be divided",
        &names.join(", "),
        &said.join(", "),
    );
    log.same("divided", "deployment", "whether some may be", &!asked.is_empty(), &told.is_some());
    let Some(divided) = told else { return };
    for service in asked {
        if let Some(own) = divided.services.get(&format!("services.{}", service.name)) {
            one(log, spec, placement, service, own);
        }
    }
    for other in &divided.dearer {
        let keys: Vec<String> = other.at.keys().cloned().collect();
        log.same_debug("divided", "deployment", "the services of a dearer division", &names, &keys);
        let told_twice = divided.dearer.iter().filter(|d| d.at == other.at).count() > 1;
        let may = other
            .at
            .iter()
            .all(|(a, at)| divided.services.get(a).is_some_and(|s| s.options.iter().any(|o| o.at == *at)));
        log.hold(may && !told_twice, "divided", "deployment", || {
            (
                "a dearer division that is none, or told twice".into(),
                "each once".into(),
                format!("{:?}", other.at),
            )
        });
        let same = other.at.iter().all(|(a, at)| divided.services.get(a).is_some_and(|s| s.at == *at));
        log.hold(!same, "divided", "deployment", || {
            ("the division that was chosen is told as dearer".into(), "another".into(), "the same".into())
        });
    }
    lowest(log, placement, divided);
}

/// By what a service may be divided.
fn by(service: &Service) -> Option<By> {
    let load = service.scaling.changes.as_ref().map(|_| By::Load);
    service.traffic.divide_at.as_ref().map(|_| By::Prompts).or(load)
}

/// The points at which requests are really divided: of loads, each at which some hour is and not the peak.
fn points(service: &Service, by: By) -> Vec<u32> {
    let lengths = service.traffic.divide_at.iter().flat_map(|d| d.tokens.iter().copied().take(MOST_POINTS));
    match by {
        By::Prompts => lengths.collect(),
        By::Load => {
            let loads: BTreeSet<u32> = week(&service.traffic).collect();
            loads.into_iter().filter(|load| (1..day::PEAK).contains(load)).collect()
        }
    }
}

/// The loads of the hours of a week, millionths of the peak.
fn week(traffic: &Traffic) -> impl Iterator<Item = u32> + '_ {
    let of = traffic.daily.as_ref();
    let days = of.into_iter().flat_map(|d| {
        let weekend = d.weekend.as_ref().unwrap_or(&d.shares);
        [&d.shares, &d.shares, &d.shares, &d.shares, &d.shares, weekend, weekend]
    });
    days.flatten().copied()
}

/// The part of the requests that comes in hours of more than `above` and at most `to`.
fn arriving(traffic: &Traffic, above: u32, to: Option<u32>) -> f64 {
    let within = |load: &u32| *load > above && to.is_none_or(|to| *load <= to);
    let sum = |all: &mut dyn Iterator<Item = u32>| all.fold(0.0, |sum, load| sum + f64::from(load));
    sum(&mut week(traffic).filter(within)) / sum(&mut week(traffic)).max(1.0)
}

/// What is true of a length: its part of the requests, mean and second moment.
struct Moments {
    share: f64,
    mean: f64,
    second: f64,
}

/// Of prompts longer than `above` and at most `to`, by a sum over many lengths; of recorded ones by a sum over them.
fn moments(traffic: &Traffic, above: f64, to: f64) -> Moments {
    let (mut weight, mut first, mut second, mut all) = (0.0, 0.0, 0.0, 0.0);
    let mut add = |length: f64, w: f64, here: bool| {
        all += w;
        if here {
            weight += w;
            first += w * length;
            second += w * length * length;
        }
    };
    let Lengths { mean, cv2, max, .. } = traffic.input;
    match &traffic.recorded {
        Some(hour) => hour.iter().for_each(|r| add(r.input, 1.0, r.input > above && r.input <= to)),
        None if cv2 <= 0.0 => add(mean, 1.0, mean > above && mean <= to),
        None => {
            let sigma = sqrt(ln(1.0 + cv2));
            let mu = ln(mean) - sigma * sigma / 2.0;
            // Where a moment is largest depends on which: the sum goes as far as the second one reaches.
            let (low, high) = (-REACH, REACH + 2.0 * sigma);
            let cut = |x: f64| if x <= 0.0 { low } else { ((ln(x) - mu) / sigma).clamp(low, high) };
            let top = if to >= max { high } else { cut(to) };
            let bottom = if above >= max { high } else { cut(above) };
            // Of each part by itself, so that its ends are the length that divides it.
            for (from, until, here) in [(low, bottom, false), (bottom, top, true), (top, high, false)] {
                let step = (until - from) / f64::from(STEPS);
                if step <= 0.0 {
                    continue;
                }
                for i in 0..STEPS {
                    let z = from + (f64::from(i) + 0.5) * step;
                    add(exp(mu + sigma * z), exp(-z * z / 2.0) * step, here);
                }
            }
        }
    }
    let share = if all > 0.0 { weight / all } else { 0.0 };
    let of = |sum: f64| if weight > 0.0 { sum / weight } else { 0.0 };
    Moments { share, mean: of(first), second: of(second) }
}

fn bounds(at: &[u32], i: usize) -> (u32, Option<u32>) {
    (if i == 0 { 0 } else { at[i - 1] }, at.get(i).copied())
}

fn one(log: &mut Ledger, spec: &Spec, placement: &Placement, service: &Service, own: &DividedService) {
    let at = format!("services.{}", service.name);
    let traffic = &service.traffic;
    let Some(by) = by(service) else { return };
    log.same_debug("divided", &at, "what its parts differ in", &by, &own.by);
    let points = points(service, by);
    let most = |to: Option<u32>| to.map_or(f64::INFINITY, f64::from);
    let is_some = |above: u32, to: Option<u32>| {
        let share = match by {
            By::Prompts => moments(traffic, f64::from(above), most(to)).share,
            By::Load => arriving(traffic, above, to),
        };
        share >= LEAST_SHARE
    };
    // Every subset of the lengths of which each part has requests, by the bits of a number; of loads one at the most.
    let chosen: Vec<Vec<u32>> = match by {
        By::Prompts => {
            let of = |bits: usize| (0..points.len()).filter(move |i| bits & (1 << i) != 0);
            (0..1_usize << points.len()).map(|bits| of(bits).map(|i| points[i]).collect()).collect()
        }
        By::Load => std::iter::once(Vec::new()).chain(points.iter().map(|p| vec![*p])).collect(),
    };
    let mut all: Vec<Vec<u32>> = Vec::new();
    for at in chosen {
        let each = (0..=at.len()).all(|i| {
            at.is_empty() || {
                let (above, to) = bounds(&at, i);
                is_some(above, to)
            }
        });
        if each {
            all.push(at);
        }
    }
    all.sort_by_key(|at| (at.len(), at.clone()));
    let told: Vec<Vec<u32>> = own.options.iter().map(|o| o.at.clone()).collect();
    log.same_debug("divided", &at, "the ways to divide it", &all, &told);
    log.hold(all.contains(&own.at), "divided", &at, || {
        ("it is divided where it may not be".into(), format!("one of {all:?}"), format!("{:?}", own.at))
    });
    for option in &own.options {
        log.same("divided", &at, "the parts of a division", &(option.at.len() + 1), &option.least.len());
    }
    log.same("divided", &at, "its parts", &(own.at.len() + 1), &own.parts.len());
    for (i, part) in own.parts.iter().enumerate().take(own.at.len() + 1) {
        let (above, to) = bounds(&own.at, i);
        log.same_debug("divided", &part.address, "its prompts", &(above, to), &(part.above, part.to));
        let mark = |mark: u32| match by {
            By::Prompts => mark.to_string(),
            By::Load if mark.is_multiple_of(10_000) => format!("{}pct", mark / 10_000),
            By::Load => {
                let decimals = format!("{:04}", mark % 10_000);
                format!("{}-{}pct", mark / 10_000, decimals.trim_end_matches('0'))
            }
        };
        let name = match (above, to) {
            (0, None) => service.name.clone(),
            (0, Some(to)) => format!("{}-to-{}", service.name, mark(to)),
            (above, None) => format!("{}-above-{}", service.name, mark(above)),
            (above, Some(to)) => format!("{}-{}-to-{}", service.name, mark(above), mark(to)),
        };
        log.same("divided", &part.address, "its address", &format!("services.{name}"), &part.address);
        let placed = placement.spec_of(spec);
        if by == By::Load {
            hours(log, service, part, placed.services.get(&name).filter(|_| !own.at.is_empty()));
            continue;
        }
        let derived = moments(traffic, f64::from(above), most(to));
        log.near("divided", &part.address, "its part of the requests", derived.share, part.share, OFF);
        let Some(of) = placed.services.get(&name).map(|s| s.traffic.clone()) else {
            continue;
        };
        // What it is planned for is what the whole sends there.
        if let (crate::spec::Load::Rate(all), crate::spec::Load::Rate(rate)) = (&traffic.load, &of.load) {
            log.near("divided", &part.address, "its load", all * derived.share, *rate, OFF);
        }
        if own.at.is_empty() {
            continue;
        }
        let longest = most(to).min(traffic.input.max);
        let mean = derived.mean.min(longest);
        log.near("divided", &part.address, "the mean of its prompts", mean, of.input.mean, OFF);
        let second = of.input.mean * of.input.mean * (1.0 + of.input.cv2);
        if derived.mean <= longest {
            log.near("divided", &part.address, "the spread of its prompts", derived.second, second, OFF);
        }
        if traffic.recorded.is_none() {
            log.near("divided", &part.address, "its longest prompt", longest, of.input.max, 1e-12);
        }
    }
}

/// That a part is of the hours that are told of it, and is planned for what the whole gets in them; of an undivided service it is all.
fn hours(log: &mut Ledger, service: &Service, part: &ServicePart, planned: Option<&Service>) {
    let (at, traffic) = (&part.address, &service.traffic);
    let within = |load: u32| load > part.above && part.to.is_none_or(|to| load <= to);
    let (mut own, mut all, mut top) = (0_u64, 0_u64, 0_u32);
    for load in week(traffic) {
        all += u64::from(load);
        if within(load) {
            own += u64::from(load);
            top = top.max(load);
        }
    }
    log.near("divided", at, "its part of the requests", own as f64 / all.max(1) as f64, part.share, 1e-12);
    let rests = |load: u32| load == 0 && part.above == 0;
    let mut clock = Vec::new();
    let days = traffic.daily.iter().flat_map(|d| {
        let days = if d.weekend.is_some() { ["Mon-Fri ", "Sat-Sun "] } else { ["", ""] };
        [Some((days[0], &d.shares)), d.weekend.as_ref().map(|w| (days[1], w))].into_iter().flatten()
    });
    for (day, loads) in days {
        let mut hour = 0;
        while hour < loads.len() {
            let long = loads[hour..].iter().take_while(|load| within(**load) || rests(**load)).count();
            if long > 0 {
                clock.push(format!("{day}{hour:02}:00-{:02}:00", hour + long));
            }
            hour += long + 1;
        }
    }
    log.same_debug("divided", at, "its hours by the clock", &clock, &part.hours);
    let Some(planned) = planned else { return };
    let (crate::spec::Load::Rate(was) | crate::spec::Load::Concurrency(was)) = traffic.load;
    let (crate::spec::Load::Rate(is) | crate::spec::Load::Concurrency(is)) = planned.traffic.load;
    log.near("divided", at, "its load", was * f64::from(top) / f64::from(day::PEAK), is, 1e-12);
    // An hour is planned for what comes in it: not less, and less than a millionth of the peak more.
    let mut loads = week(traffic).zip(week(&planned.traffic));
    let right = loads.all(|(load, planned)| match load {
        load if within(load) => {
            let off = i128::from(planned) * i128::from(top) - i128::from(load) * i128::from(day::PEAK);
            (0..i128::from(top)).contains(&off)
        }
        load if rests(load) && !service.scaling.to_zero => planned == 1,
        _ => planned == 0,
    });
    log.hold(right, "divided", at, || {
        let told = week(&planned.traffic).take(24).collect::<Vec<_>>();
        (
            "its hours are not those of the whole".into(),
            format!("{} of the peak", part.slice(By::Load)),
            format!("{told:?}"),
        )
    });
    let (of, own) = (&service.scaling, &planned.scaling);
    let said = (ScalingMode::Horizontal, of.min_replicas, of.max_replicas, true);
    let planned = (own.mode, own.min_replicas, own.max_replicas, own.to_zero);
    log.same_debug("divided", at, "how it follows the load", &said, &planned);
}

/// The bound over all divisions is the least of what is said of each, and no other one is said to be better than what was chosen.
fn lowest(log: &mut Ledger, placement: &Placement, divided: &Divided) {
    let parts = |at: usize| i128::from(PART) * (at as i128 + 1);
    let chosen: i128 = divided.services.values().map(|s| parts(s.at.len())).sum();
    let of_chosen: i128 = match &placement.coupling {
        Some(c) => i128::from(c.lower_bound.micros()),
        None => placement.workloads.values().map(|w| i128::from(least(w))).sum(),
    };
    let own = |w: &str| divided.services.values().any(|s| s.parts.iter().any(|p| p.address == w));
    let others: i128 =
        placement.workloads.values().filter(|w| !own(&w.address)).map(|w| i128::from(least(w))).sum();
    let cost = match &placement.coupling {
        Some(c) => i128::from(c.optimum.micros()),
        None => placement.workloads.values().map(|w| i128::from(month(w))).sum(),
    };
    let stopped = placement.coupling.as_ref().is_some_and(|c| c.stopped.is_some());
    let at = |which: &[usize]| -> Vec<Vec<u32>> {
        let of = divided.services.values().zip(which);
        of.map(|(s, i)| s.options.get(*i).map(|o| o.at.clone()).unwrap_or_default()).collect()
    };
    let more = |at: &[Vec<u32>]| at.iter().map(|at| parts(at.len())).sum::<i128>() - chosen;
    let told = divided.dearer.iter().filter_map(|d| {
        let at: Vec<Vec<u32>> = d.at.values().cloned().collect();
        Some(i128::from(d.lower_bound?.micros()) + more(&at))
    });
    let mut lowest = told.fold(of_chosen, i128::min);
    // Of all that is not told of, the one whose parts cost least by themselves, and what they have more parts.
    let costs: Vec<Vec<Option<i128>>> = divided
        .services
        .values()
        .map(|s| {
            let of = |o: &DivisionOption| Some(i128::from(o.sum()?.micros()) + parts(o.at.len()));
            s.options.iter().map(of).collect()
        })
        .collect();
    let known = |which: &[usize]| {
        let at = at(which);
        divided.services.values().zip(&at).all(|(s, at)| s.at == *at)
            || divided.dearer.iter().any(|d| d.at.values().eq(at.iter()))
    };
    if let Some((apart, which)) = cheapest_other(&costs, &known) {
        let bound = apart - chosen + others;
        // Who has not placed it cannot know that it costs more.
        let beaten = bound < cost - 800;
        log.hold(!beaten || stopped || divided.gave_up, "divided", "deployment", || {
            let money = |n: i128| dollars(rhumb_api::Money::from_micros(n as i64));
            let what = format!("divided at {:?} it may cost less", at(&which));
            (what, format!("{} a month", money(bound)), money(cost))
        });
        lowest = lowest.min(bound);
    }
    log.hold(!divided.gave_up || divided.dearer.len() + 1 >= MOST_TRIED, "divided", "deployment", || {
        let tried = divided.dearer.len() + 1;
        ("the search gave up early".into(), format!("{MOST_TRIED} divisions"), tried.to_string())
    });
    let told = i128::from(divided.lower_bound.micros());
    log.hold((told - lowest).abs() <= 800, "divided", "deployment", || {
        let dollars = |n: i128| dollars(rhumb_api::Money::from_micros(n as i64));
        ("the bound over all divisions is not the least of theirs".into(), dollars(lowest), dollars(told))
    });
}

/// What a workload costs a month at the least, by its certificate.
fn least(placed: &crate::placement::WorkloadPlacement) -> i64 {
    match placed.run {
        Some(_) => placed.cost.expected_per_month.micros(),
        None => placed.certificate.lower_bound.per_month().micros(),
    }
}

/// What it costs a month.
fn month(placed: &crate::placement::WorkloadPlacement) -> i64 {
    match placed.run {
        Some(_) => placed.cost.expected_per_month.micros(),
        None => placed.cost.expected_per_hour.per_month().micros(),
    }
}

/// Of all choices of one option for each service that are not `known`, the cheapest by a sum over the services, and its sum; `None` if there is
/// none. An option without a cost is no choice. Whoever passes one over has passed over all that only exchange options of it for dearer
/// ones: these are looked at by then, in the order of their sums.
pub(super) fn cheapest_other(
    costs: &[Vec<Option<i128>>],
    known: &dyn Fn(&[usize]) -> bool,
) -> Option<(i128, Vec<usize>)> {
    let mut sorted: Vec<Vec<(i128, usize)>> = Vec::new();
    for of in costs {
        let mut of: Vec<(i128, usize)> =
            of.iter().enumerate().filter_map(|(i, c)| Some(((*c)?, i))).collect();
        of.sort_unstable();
        sorted.push(of);
    }
    if sorted.iter().any(Vec::is_empty) {
        return None;
    }
    let sum = |at: &[usize]| at.iter().zip(&sorted).map(|(i, of)| of[*i].0).sum::<i128>();
    let first = vec![0; sorted.len()];
    let mut seen: BTreeSet<(i128, Vec<usize>)> = [(sum(&first), first)].into();
    while let Some((cost, at)) = seen.pop_first() {
        let which: Vec<usize> = at.iter().zip(&sorted).map(|(i, of)| of[*i].1).collect();
        if !known(&which) {
            return Some((cost, which));
        }
        for service in 0..at.len() {
            let mut next = at.clone();
            next[service] += 1;
            if next[service] < sorted[service].len() {
                seen.insert((sum(&next), next));
            }
        }
    }
    None
}
