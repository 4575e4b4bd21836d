//! Services that may be served in parts: by the lengths of prompts, `traffic.divide_at` (`src/decisions/0025-parts-of-a-service.md`), or
//! by the load of the hour, `scaling.mode` (`src/decisions/0032-machines-that-change-with-the-load.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::day::{Daily, PEAK};
use super::{Arrivals, Lengths, Load, RecordedRequest, Scaling, Service, Spec, Traffic, trace};
use crate::diagnostic::Pointer;
use crate::math::{exp, ln, normal_cdf, normal_quantile, sqrt};

/// Lengths at which a service may be divided, at most.
pub const MOST_POINTS: usize = 3;

/// Divisions of a deployment that are placed within what is shared, at most: then the search gives up, with the bound of the others.
pub const MOST_TRIED: usize = 32;

/// A part of fewer of the requests is none: nothing could be said of its lengths.
pub const LEAST_SHARE: f64 = 1e-6;

/// What each part counts for in what is minimised besides its cost, micro-dollars a month: more than the rounding of a few pools, so
/// that no service is divided for nothing.
pub const PART: i64 = 10_000;

/// `services.NAME.traffic.divide_at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DivideAt {
    /// Tokens of a prompt, ascending, from 1 to [`MOST_POINTS`] of them: one of so many is of the shorter class.
    pub tokens: Vec<u32>,
    /// Where it was written.
    pub at: Pointer,
}

/// What the parts of a service differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The length of a request's prompt, tokens.
    Prompts,
    /// The load of the hour in which a request comes, millionths of the peak.
    Load,
}

/// Requests of which what they are divided by is more than `above`, up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice {
    /// What they are divided by.
    pub by: By,
    /// None has so little; 0 = from the least.
    pub above: u32,
    /// The most; `None` = any.
    pub to: Option<u32>,
}

/// What a part of a service is of.
#[derive(Clone, Debug, PartialEq)]
pub struct PartOf {
    /// The whole.
    pub service: Arc<Service>,
    /// Its requests.
    pub slice: Slice,
    /// Its part of the requests, a fraction in (0, 1).
    pub share: f64,
}

/// How a service is divided: the marks that are used of those where it may be, ascending; empty = it is not.
pub type Division = Vec<u32>;

/// Where a service may be divided.
#[derive(Clone, Debug, PartialEq)]
pub struct Divisible<'s> {
    /// What its parts differ in.
    pub by: By,
    /// Every mark, ascending.
    pub points: Vec<u32>,
    /// Marks of a division, at most.
    pub most: usize,
    /// Where it was written.
    pub at: &'s Pointer,
}

impl Slice {
    /// Whether a mark is within it.
    pub fn has(&self, mark: u32) -> bool {
        mark > self.above && self.to.is_none_or(|to| mark <= to)
    }

    /// Whether a prompt of so many tokens may be of this part.
    pub fn takes(&self, tokens: u32) -> bool {
        self.by == By::Load || self.has(tokens)
    }
}

/// A share of the peak, in percent, to the digit: `12.5`.
pub fn percent(millionths: u32) -> String {
    const ONE: u32 = PEAK / 100;
    match millionths % ONE {
        0 => (millionths / ONE).to_string(),
        part => format!("{}.{}", millionths / ONE, format!("{part:04}").trim_end_matches('0')),
    }
}

/// `prompts up to 2048 tokens`, `hours above 30 % of the peak`.
impl std::fmt::Display for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, unit) = match self.by {
            By::Prompts => ("prompts", "tokens"),
            By::Load => ("hours", "% of the peak"),
        };
        let number = |mark: u32| match self.by {
            By::Prompts => mark.to_string(),
            By::Load => percent(mark),
        };
        match (self.above, self.to) {
            (0, None) => write!(f, "all {what}"),
            (0, Some(to)) => write!(f, "{what} up to {} {unit}", number(to)),
            (above, None) => write!(f, "{what} above {} {unit}", number(above)),
            (above, Some(to)) => write!(f, "{what} above {} up to {} {unit}", number(above), number(to)),
        }
    }
}

/// The parts of a division, in the order of their marks.
pub fn slices(by: By, division: &[u32]) -> Vec<Slice> {
    let from = std::iter::once(0).chain(division.iter().copied());
    let to = division.iter().copied().map(Some).chain([None]);
    from.zip(to).map(|(above, to)| Slice { by, above, to }).collect()
}

impl Service {
    /// Where it may be divided; `None` = it is not.
    pub fn divisible(&self) -> Option<Divisible<'_>> {
        if let Some(at) = &self.traffic.divide_at {
            let points = at.tokens.iter().copied().take(MOST_POINTS).collect();
            return Some(Divisible { by: By::Prompts, points, most: MOST_POINTS, at: &at.at });
        }
        let at = self.scaling.changes.as_ref()?;
        let mut points = self.traffic.daily.as_ref()?.week().to_vec();
        points.retain(|share| *share > 0 && *share < PEAK);
        points.sort_unstable();
        points.dedup();
        Some(Divisible { by: By::Load, points, most: 1, at })
    }

    /// The name of a part of it: `chat-to-2048`, `chat-above-12-5pct`.
    pub fn part_name(&self, slice: Slice) -> String {
        let name = &self.name;
        let mark = |mark: u32| match slice.by {
            By::Prompts => mark.to_string(),
            By::Load => format!("{}pct", percent(mark).replace('.', "-")),
        };
        match (slice.above, slice.to) {
            (0, None) => name.clone(),
            (0, Some(to)) => format!("{name}-to-{}", mark(to)),
            (above, None) => format!("{name}-above-{}", mark(above)),
            (above, Some(to)) => format!("{name}-{}-to-{}", mark(above), mark(to)),
        }
    }

    /// Every way to divide it of which each part has some requests, fewer parts first, then by the marks.
    pub fn divisions(&self) -> Vec<Division> {
        let Some(Divisible { by, points, most, .. }) = self.divisible() else { return vec![Vec::new()] };
        let mut all: Vec<Division> = vec![Vec::new()];
        for n in points {
            let with: Vec<Division> =
                all.iter().filter(|d| d.len() < most).map(|d| [d.as_slice(), &[n]].concat()).collect();
            all.extend(with);
        }
        all.retain(|d| d.is_empty() || slices(by, d).into_iter().all(|slice| self.share_of(slice) > 0.0));
        all.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        all
    }

    /// Its part of the requests of the whole.
    pub fn share(&self) -> f64 {
        self.part_of.as_ref().map_or(1.0, |of| of.share)
    }

    /// The part of the requests that is of a slice; 0 if it is less than [`LEAST_SHARE`].
    pub(super) fn share_of(&self, slice: Slice) -> f64 {
        match slice.by {
            By::Prompts => self.traffic.share_of(slice),
            By::Load => self.traffic.daily.as_ref().map_or(0.0, |daily| daily.share_of(slice)),
        }
    }

    /// A part of it, a service of its own; `None` if it has hardly a request ([`LEAST_SHARE`]).
    pub fn part(&self, slice: Slice) -> Option<Service> {
        let share = self.share_of(slice);
        if share <= 0.0 {
            return None;
        }
        let (traffic, scaling) = match slice.by {
            By::Prompts => (self.traffic.part(slice, share), self.scaling.clone()),
            By::Load => (self.in_hours(slice)?, Scaling { to_zero: true, ..self.scaling.clone() }),
        };
        let scaling = Scaling { changes: None, ..scaling };
        let of = PartOf { service: Arc::new(self.clone()), slice, share };
        Some(Service { name: self.part_name(slice), traffic, scaling, part_of: Some(of), ..self.clone() })
    }

    /// The traffic of these hours alone: its peak is their greatest load, and in other hours nothing comes. An hour in which nothing
    /// comes to the whole service, and which still has replicas, is one of the lowest part: it counts as a millionth of its peak.
    fn in_hours(&self, slice: Slice) -> Option<Traffic> {
        let daily = self.traffic.daily.as_ref()?;
        let peak = daily.week().into_iter().filter(|share| slice.has(*share)).max()?;
        let idle = u32::from(slice.above == 0 && !self.scaling.to_zero);
        let share = |of: u32| match of {
            0 => idle,
            of if slice.has(of) => (u64::from(of) * u64::from(PEAK)).div_ceil(u64::from(peak)) as u32,
            _ => 0,
        };
        let of = Daily {
            shares: daily.shares.map(share),
            weekend: daily.weekend.map(|weekend| weekend.map(share)),
            ..daily.clone()
        };
        let part = f64::from(peak) / f64::from(PEAK);
        let traffic = &self.traffic;
        let (load, usual) = (traffic.load.scaled(part), traffic.usual.scaled(part));
        Some(Traffic { load, usual, daily: Some(of), ..traffic.clone() })
    }
}

impl Daily {
    /// The part of all requests that comes in these hours.
    fn share_of(&self, slice: Slice) -> f64 {
        let week = self.week();
        let sum = |all: &mut dyn Iterator<Item = u32>| all.map(u64::from).sum::<u64>() as f64;
        let own = sum(&mut week.into_iter().filter(|share| slice.has(*share)));
        let share = own / sum(&mut week.into_iter()).max(1.0);
        if share >= LEAST_SHARE { share } else { 0.0 }
    }

    /// The hours of a slice by the clock, in days that have the same: `Mon-Fri 08:00-18:00`, or `08:00-18:00` where all days do.
    pub fn hours_of(&self, slice: Slice) -> Vec<String> {
        let within = |share: u32| slice.has(share) || (share == 0 && slice.above == 0);
        let stretches = |shares: &[u32], days: &str| -> Vec<String> {
            let mut all = Vec::new();
            let mut from = None;
            for hour in 0..=shares.len() {
                let is = shares.get(hour).is_some_and(|share| within(*share));
                match (from, is) {
                    (None, true) => from = Some(hour),
                    (Some(start), false) => {
                        all.push(format!("{days}{start:02}:00-{hour:02}:00"));
                        from = None;
                    }
                    _ => {}
                }
            }
            all
        };
        match &self.weekend {
            None => stretches(&self.shares, ""),
            Some(weekend) => [stretches(&self.shares, "Mon-Fri "), stretches(weekend, "Sat-Sun ")].concat(),
        }
    }
}

impl Traffic {
    /// The part of the requests that is of these prompts; 0 if it is less than [`LEAST_SHARE`].
    fn share_of(&self, sizes: Slice) -> f64 {
        let share = match &self.recorded {
            Some(hour) => hour.iter().filter(|r| of(r, sizes)).count() as f64 / hour.len().max(1) as f64,
            None => within(&self.input, sizes).map_or(0.0, |(share, _)| share),
        };
        if share >= LEAST_SHARE { share } else { 0.0 }
    }

    /// These prompts alone, which are `share` of all.
    fn part(&self, sizes: Slice, share: f64) -> Traffic {
        let load = match self.load {
            Load::Rate(rate) => Load::Rate(rate * share),
            Load::Concurrency(clients) => Load::Concurrency(clients * share),
        };
        let (input, output, recorded) = match &self.recorded {
            Some(hour) => {
                let own: Vec<RecordedRequest> = hour.iter().filter(|r| of(r, sizes)).copied().collect();
                let input = trace::lengths(own.iter().map(|r| r.input));
                let output = trace::lengths(own.iter().map(|r| r.output));
                // A single request has no time from one to the next that could be played again.
                (input, output, Some(own).filter(|own| own.len() > 1).map(Arc::from))
            }
            None => {
                let own = within(&self.input, sizes).map_or(self.input, |(_, lengths)| lengths);
                (own, self.output, None)
            }
        };
        Traffic {
            load,
            input,
            output,
            recorded,
            arrivals: thinned(self.arrivals, share),
            divide_at: None,
            ..self.clone()
        }
    }
}

fn of(request: &RecordedRequest, sizes: Slice) -> bool {
    request.input > f64::from(sizes.above) && sizes.to.is_none_or(|to| request.input <= f64::from(to))
}

/// Arrivals of which each is kept with the probability `share`, whatever became of the others: the gap is the sum of a geometric
/// number of gaps, so that its squared coefficient of variation is `share * cv2 + 1 - share`.
fn thinned(arrivals: Arrivals, share: f64) -> Arrivals {
    match arrivals {
        Arrivals::Bursty { cv2 } => Arrivals::Bursty { cv2: share * cv2 + (1.0 - share) },
        Arrivals::Poisson => Arrivals::Poisson,
        Arrivals::Constant if share >= 1.0 => Arrivals::Constant,
        Arrivals::Constant => Arrivals::Bursty { cv2: 1.0 - share },
    }
}

/// The probability of these lengths, and what they are like: of the lognormal of the same mean and variance, which the prediction
/// takes too. `None` if there are none.
fn within(all: &Lengths, sizes: Slice) -> Option<(f64, Lengths)> {
    let (above, to) = (f64::from(sizes.above), sizes.to.map(f64::from).filter(|to| *to < all.max));
    if above >= all.max {
        return None;
    }
    if all.cv2 <= 0.0 {
        let here = all.mean > above && to.is_none_or(|to| all.mean <= to);
        return here.then_some((1.0, *all));
    }
    if above <= 0.0 && to.is_none() {
        return Some((1.0, *all));
    }
    let sigma = sqrt(ln(1.0 + all.cv2));
    let mu = ln(all.mean) - sigma * sigma / 2.0;
    let z = |x: f64| (ln(x) - mu) / sigma;
    let low = if above > 0.0 { z(above) } else { f64::NEG_INFINITY };
    let high = to.map_or(f64::INFINITY, z);
    // Of moment `k`, the part that lies within is that of a normal whose mean is moved by `k` deviations.
    let part = |k: f64| between(low - k * sigma, high - k * sigma);
    let share = part(0.0);
    if share <= 0.0 {
        return None;
    }
    let max = to.unwrap_or(all.max);
    let mean = (all.mean * part(1.0) / share).clamp(above, max);
    let second = all.mean * all.mean * (1.0 + all.cv2) * part(2.0) / share;
    let cv2 = (second / (mean * mean) - 1.0).max(0.0);
    let at = (between(f64::NEG_INFINITY, low) + 0.95 * share).clamp(1e-12, 1.0 - 1e-12);
    let p95 = exp(mu + sigma * normal_quantile(at)).clamp(above, max);
    Some((share, Lengths { mean, cv2, p95, max }))
}

/// The probability that a normal variable is between two values, from the side on which it loses no digits.
fn between(low: f64, high: f64) -> f64 {
    let below = |z: f64| match z {
        f64::INFINITY => 1.0,
        f64::NEG_INFINITY => 0.0,
        z => normal_cdf(z),
    };
    if low > 0.0 { below(-low) - below(-high) } else { below(high) - below(low) }.max(0.0)
}

impl Spec {
    /// With each service that is named here in the parts of its division, as services of their own, and none that may still be divided.
    #[must_use]
    pub fn divided(&self, divisions: &BTreeMap<String, Division>) -> Spec {
        let mut spec = self.clone();
        for service in spec.services.values_mut() {
            service.traffic.divide_at = None;
            service.scaling.changes = None;
        }
        for (name, division) in divisions.iter().filter(|(_, division)| !division.is_empty()) {
            let Some(whole) = self.services.get(name) else { continue };
            let Some(by) = whole.divisible().map(|d| d.by) else { continue };
            let parts: Vec<Service> =
                slices(by, division).into_iter().filter_map(|slice| whole.part(slice)).collect();
            spec.services.remove(name);
            spec.services.extend(parts.into_iter().map(|part| (part.name.clone(), part)));
        }
        spec
    }

    /// A service's own address and those of every part that it may be served in.
    pub fn addresses_of_parts(&self, service: &Service) -> BTreeSet<String> {
        let mut all = BTreeSet::from([format!("services.{}", service.name)]);
        if let Some(by) = service.divisible().map(|d| d.by) {
            let parts = service.divisions().into_iter().flat_map(|division| slices(by, &division));
            all.extend(parts.map(|slice| format!("services.{}", service.part_name(slice))));
        }
        all
    }

    /// Whether an address that is none of the spec's is that of a part which a service had once, divided elsewhere.
    pub fn was_part_of(&self, address: &str, service: &Service) -> bool {
        let Some(name) = address.strip_prefix("services.") else { return false };
        let taken = self.services.contains_key(name) || self.profiled.contains_key(name);
        let rest = name.strip_prefix(service.name.as_str()).and_then(|rest| rest.strip_prefix('-'));
        let Some(rest) = rest.filter(|_| !taken) else { return false };
        let mark = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let between = rest.split_once("-to-").is_some_and(|(low, high)| mark(low) && mark(high));
        between || rest.strip_prefix("to-").or_else(|| rest.strip_prefix("above-")).is_some_and(mark)
    }

    /// Whether a service may be divided at all.
    pub fn divides(&self) -> bool {
        self.services.values().any(|s| s.divisible().is_some())
    }

    /// Whether a workload has the hours below those of another part: a month that is all peak has none of them, so that nothing of it
    /// counts there or in the ceiling. Not where machines of it may be spot, or there besides while a change is rolled out.
    pub fn is_below_the_peak(&self, address: &str) -> bool {
        let service = address.strip_prefix("services.").and_then(|name| self.services.get(name));
        let below = service.is_some_and(|s| {
            let of = s.part_of.as_ref().map(|of| of.slice);
            s.purchase.spot_max_share <= 0.0 && of.is_some_and(|of| of.by == By::Load && of.to.is_some())
        });
        let grows = self.rollout(address).is_some_and(|rollout| rollout.rolling.is_some());
        below && !grows
    }

    /// The address of the service that a workload is a part of; its own if it is of none.
    pub fn whole_of<'s>(&'s self, address: &'s str) -> std::borrow::Cow<'s, str> {
        let service = address.strip_prefix("services.").and_then(|name| self.services.get(name));
        match service.and_then(|s| s.part_of.as_ref()) {
            Some(part) => format!("services.{}", part.service.name).into(),
            None => address.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// p50 1000, p95 4000 and so on, as the reader makes it of `{ p50: 1000, p95: 4000 }`.
    fn prompts() -> Lengths {
        let sigma = ln(4.0) / normal_quantile(0.95);
        let mean = 1000.0 * exp(sigma * sigma / 2.0);
        Lengths { mean, cv2: exp(sigma * sigma) - 1.0, p95: 4000.0, max: 14_000.0 }
    }

    #[test]
    fn the_median_divides_requests_in_halves() {
        let (short, of_short) =
            within(&prompts(), Slice { by: By::Prompts, above: 0, to: Some(1000) }).expect("some");
        let (long, of_long) =
            within(&prompts(), Slice { by: By::Prompts, above: 1000, to: None }).expect("some");
        assert!((short - 0.5).abs() < 1e-12 && (long - 0.5).abs() < 1e-12, "{short} {long}");
        assert_eq!((of_short.max, of_long.max), (1000.0, 14_000.0));
        assert!(of_short.mean < 1000.0 && of_long.mean > 1000.0);
        // 95 % of the longer half are below the 97.5th percentile of all.
        let all = exp(ln(1000.0) + ln(4.0) * normal_quantile(0.975) / normal_quantile(0.95));
        assert!((of_long.p95 - all).abs() < 1e-6 * all, "{} {all}", of_long.p95);
    }

    #[test]
    fn shares_and_moments_are_those_of_the_whole() {
        let all = prompts();
        let (mut share, mut first, mut second) = (0.0, 0.0, 0.0);
        for sizes in slices(By::Prompts, &[300, 2048, 8000]) {
            let (part, own) = within(&all, sizes).expect("some");
            share += part;
            first += part * own.mean;
            second += part * own.mean * own.mean * (1.0 + own.cv2);
        }
        assert!((share - 1.0).abs() < 1e-12, "{share}");
        assert!((first / all.mean - 1.0).abs() < 1e-9, "{first} {}", all.mean);
        assert!((second / (all.mean * all.mean * (1.0 + all.cv2)) - 1.0).abs() < 1e-9, "{second}");
    }

    #[test]
    fn a_share_of_the_peak_has_its_digits_and_no_others() {
        let all = [70_000, 140_000, 290_000, 9_000, 205_500, 125_000, 333_333, 1, 999_999, 20_000];
        let told = ["7", "14", "29", "0.9", "20.55", "12.5", "33.3333", "0.0001", "99.9999", "2"];
        assert_eq!(all.map(percent), told);
        let slice = Slice { by: By::Load, above: 70_000, to: None };
        assert_eq!(slice.to_string(), "hours above 7 % of the peak");
    }

    #[test]
    fn what_nobody_sends_is_no_part() {
        assert_eq!(within(&prompts(), Slice { by: By::Prompts, above: 14_000, to: None }), None);
        let (share, own) =
            within(&prompts(), Slice { by: By::Prompts, above: 0, to: Some(14_000) }).expect("all");
        assert_eq!((share, own), (1.0, prompts()));
        let fixed = Lengths { mean: 500.0, cv2: 0.0, p95: 500.0, max: 500.0 };
        assert_eq!(within(&fixed, Slice { by: By::Prompts, above: 0, to: Some(400) }), None);
        assert_eq!(within(&fixed, Slice { by: By::Prompts, above: 400, to: Some(500) }), Some((1.0, fixed)));
    }

    #[test]
    fn every_other_of_steady_arrivals_by_chance_is_less_steady() {
        assert_eq!(thinned(Arrivals::Bursty { cv2: 5.0 }, 0.25), Arrivals::Bursty { cv2: 2.0 });
        assert_eq!(thinned(Arrivals::Constant, 0.25), Arrivals::Bursty { cv2: 0.75 });
        assert_eq!(thinned(Arrivals::Poisson, 0.25), Arrivals::Poisson);
    }
}
