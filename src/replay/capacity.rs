//! What a pool does under one load, replayed: the second half of the capacity function.
//!
//! A pool carries a load when the closed form says so and the replay does not contradict it
//! (`src/decisions/0006`). A replay is a pure function of its inputs, so it is remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::arrivals::{Draws, Stream, conversations, generate};
use super::engine::Limits;
use super::fleet::{Fleet, Kind, Outcome, Request, Routing, Source, run};
use super::statistics::{self, Interval};
use super::timing::{Linear, Tabulated};
use super::verify::RUNS;
use crate::perf::ServiceCurve;
use crate::placement::Metric;
use crate::spec::{Arrivals, Lengths, Sessions};

/// A pool under one load.
#[derive(Clone, Copy, Debug)]
pub struct Loaded<'a> {
    /// Its replicas, at the edge of the prediction that is asked about.
    pub curve: &'a ServiceCurve,
    /// What bounds their batches.
    pub limits: Limits,
    /// How many; at least 1.
    pub replicas: u32,
    /// All that arrives.
    pub stream: Stream<'a>,
    /// Conversations in place of the stream's arrivals and prompts, and how many go on at the same time.
    pub sessions: Option<(Sessions, u32)>,
    /// Requests to play, over all runs.
    pub requests: u32,
}

/// Figures that were asked for before, by all that they follow from.
static KNOWN: Mutex<BTreeMap<Vec<u64>, Vec<Interval>>> = Mutex::new(BTreeMap::new());
/// Most entries that are remembered: some hundred bytes each.
const REMEMBERED: usize = 50_000;

/// Where the closed form without any load takes more than this part of a limit, requests by themselves are played as well.
pub const NEAR: f64 = 0.8;

/// Most replicas that are played: of more so many at the same load each, which more of them share as well. A replay of thousands would
/// have to be of tens of millions of requests to fill them.
const FLEET: u32 = 64;

/// The replicas that a replay of so many stands for: up to 64 as they are, of more the six leading binary digits. What fewer do,
/// more of them do, and where many counts in turn are too few, not each of them is played.
pub fn played(replicas: u32) -> u32 {
    let low = (u32::BITS - replicas.leading_zeros()).saturating_sub(6);
    replicas >> low << low
}

/// Requests/s of which hardly two are ever there at the same time; seconds from start to end still have digits below a microsecond.
const ALONE_PER_S: f64 = 1e-5;

/// What was drawn before, by seed and all else that it follows from: a third of a replay's time.
static DRAWN: Mutex<BTreeMap<Vec<u64>, Arc<Mutex<Draws>>>> = Mutex::new(BTreeMap::new());
/// Most seeds whose draws are remembered, of at most [`KEPT`] requests each: 16 bytes a request.
const SEEDS: usize = 256;
/// Runs of more requests than that draw anew.
const KEPT: usize = 16_384;

/// What a seed draws for a stream.
fn requests(stream: &Stream<'_>, count: usize, seed: u64) -> Vec<Request> {
    let anew = || generate(stream, count, seed);
    if count > KEPT || stream.recorded.is_some() {
        return anew();
    }
    let mut key = vec![seed, variation(stream.arrivals).to_bits()];
    key.extend(lengths(&stream.input).into_iter().chain(lengths(&stream.output)));
    let Ok(mut known) = DRAWN.lock() else { return anew() };
    if known.len() >= SEEDS && !known.contains_key(&key) {
        known.clear();
    }
    let draws = Arc::clone(known.entry(key).or_insert_with(|| Arc::new(Mutex::new(Draws::new(seed)))));
    drop(known);
    let Ok(mut draws) = draws.lock() else { return anew() };
    draws.requests(stream, count)
}

/// What decides the lengths that are drawn.
pub(super) fn lengths(of: &Lengths) -> [u64; 3] {
    [of.mean, of.cv2, of.max].map(f64::to_bits)
}

/// What decides what a replica does.
pub(super) fn replica(curve: &ServiceCurve, limits: Limits) -> Vec<u64> {
    let t = Linear::of(curve);
    let mut key: Vec<u64> = [
        t.alpha_s,
        t.beta_s,
        t.alone_s,
        t.per_prompt_s,
        t.per_token_s,
        t.per_pair_s,
        t.before_s,
        f64::from(limits.sequences),
        limits.kv_tokens,
        limits.step_tokens,
    ]
    .map(f64::to_bits)
    .to_vec();
    if let Some(steps) = &curve.steps {
        let seconds = steps.seconds.iter().flatten();
        key.extend(seconds.chain(&steps.contexts).chain(&steps.batches).map(|x| x.to_bits()));
    }
    key
}

/// A number for each way that gaps may vary.
fn variation(arrivals: Arrivals) -> f64 {
    match arrivals {
        Arrivals::Poisson => 1.0,
        Arrivals::Constant => 0.0,
        Arrivals::Bursty { cv2 } => -cv2,
    }
}

impl Loaded<'_> {
    /// The mean of a metric (`None`) or its quantiles, ms at the engine, each with its 95 % interval.
    pub fn figures(&self, asked: &[(Metric, Option<f64>)]) -> Vec<Interval> {
        let key = self.key(asked);
        if let Some(known) = KNOWN.lock().ok().and_then(|k| k.get(&key).cloned()) {
            return known;
        }
        let figures = self.replayed(asked);
        if let Ok(mut known) = KNOWN.lock() {
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(key, figures.clone());
        }
        figures
    }

    /// Whether the upper ends of the intervals are within limits. `share` is the greatest share of a limit that
    /// figures plus so many half-widths of their intervals take.
    ///
    /// A fifth of the requests settles what is far from its limits: by itself, or by so many of its own
    /// half-widths that all of the requests would have to be off by six standard errors to say otherwise.
    ///
    /// More than 64 replicas are judged by [`played`], which are at most 3.1 % fewer, and these by 64 with the load of each.
    pub fn within(&self, asked: &[(Metric, Option<f64>)], share: impl Fn(&[Interval], f64) -> f64) -> bool {
        self.decided(asked, share).0
    }

    /// The same with the figures that settled it.
    pub fn decided(
        &self,
        asked: &[(Metric, Option<f64>)],
        share: impl Fn(&[Interval], f64) -> f64,
    ) -> (bool, Vec<Interval>) {
        let of = self.in_small();
        let quick = Loaded { requests: self.requests / 5, ..of }.figures(asked);
        let at = |halves| share(&quick, halves);
        if at(1.0) <= 0.9 || at(3.0) <= 0.98 {
            return (true, quick);
        }
        if at(-1.0) > 1.05 || at(-2.0) > 1.0 {
            return (false, quick);
        }
        let all = of.figures(asked);
        (share(&all, 1.0) <= 1.0, all)
    }

    /// At most 64 replicas under the same load each.
    #[must_use]
    pub fn in_small(&self) -> Self {
        let replicas = played(self.replicas);
        let share = f64::from(FLEET) / f64::from(replicas.max(1));
        if share >= 1.0 {
            return Loaded { replicas, ..*self };
        }
        Loaded {
            replicas: FLEET,
            stream: Stream { rate: self.stream.rate * share, ..self.stream },
            sessions: self.sessions.map(|(s, users)| (s, libm::ceil(f64::from(users) * share) as u32)),
            ..*self
        }
    }

    /// The same requests, each with a replica for itself: on no number of replicas do they take less time.
    #[must_use]
    pub fn alone(&self) -> Self {
        // Far apart; those that come at the same moment, in bursts or as recorded, find a replica each.
        let together = self.stream.recorded.map_or(1, |hour| {
            let moments = hour.chunk_by(|a, b| a.at_s.to_bits() == b.at_s.to_bits());
            moments.map(<[_]>::len).max().unwrap_or(1)
        });
        Loaded {
            replicas: if self.sessions.is_some() { 1 } else { 64 + together as u32 },
            stream: Stream { rate: ALONE_PER_S, ..self.stream },
            sessions: self.sessions.map(|(s, _)| (s, 1)),
            ..*self
        }
    }

    fn key(&self, asked: &[(Metric, Option<f64>)]) -> Vec<u64> {
        let s = &self.stream;
        let mut key = replica(self.curve, self.limits);
        key.extend(lengths(&s.input).into_iter().chain(lengths(&s.output)));
        key.extend([s.rate, variation(s.arrivals), s.prefix_cached].map(f64::to_bits));
        key.extend([u64::from(self.replicas), self.each() as u64]);
        if let Some((s, users)) = &self.sessions {
            let own = [s.think_s, s.added.mean, s.added.cv2, s.added.max].map(f64::to_bits);
            key.extend([u64::from(s.turns), u64::from(*users)].into_iter().chain(own));
        }
        for (metric, quantile) in asked {
            key.push(*metric as u64);
            key.push(quantile.map_or(0, f64::to_bits));
        }
        if let Some(hour) = s.recorded {
            let mut digest = Sha256::new();
            for value in hour.iter().flat_map(|r| [r.at_s, r.input, r.output]) {
                digest.update(value.to_bits().to_le_bytes());
            }
            let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            key.extend(digest.finalize().chunks(8).map(word));
        }
        key
    }

    /// Requests that a replay of it plays, over all runs.
    pub fn plays(&self) -> usize {
        RUNS * self.each()
    }

    /// Requests of a run.
    fn each(&self) -> usize {
        // A run must last much longer than what is in flight, or it never fills the fleet.
        let timing = Linear::of(self.curve);
        let step = timing.alpha_s + timing.beta_s * f64::from(self.curve.max_batch);
        let in_flight = self.stream.rate * self.stream.output.mean * step;
        let most = f64::from(self.replicas) * f64::from(self.curve.max_batch);
        let floor = 10.0 * in_flight.min(most);
        (self.requests as usize / RUNS).max(libm::ceil(floor.min(1e6)) as usize).max(50)
    }

    fn replayed(&self, asked: &[(Metric, Option<f64>)]) -> Vec<Interval> {
        let timing = Tabulated::of(self.curve);
        let each = self.each();
        let routing = if self.sessions.is_some() { Routing::Sticky } else { Routing::LeastOutstanding };
        let fleet = Fleet {
            kinds: vec![Kind { timing, limits: self.limits, replicas: self.replicas.max(1) }],
            routing,
        };
        let play = |count: usize, seed: u64| match &self.sessions {
            None => run(&fleet, &requests(&self.stream, count, seed), Source::Open, seed),
            Some((s, users)) => {
                let users = (*users).max(1);
                // Each user's first conversation is not counted: four more are.
                let count = count.max(5 * users as usize * s.turns as usize);
                let (output, longest) = (&self.stream.output, self.stream.input.max);
                let requests = conversations(s, output, longest, users, count, seed);
                let source = Source::Sessions { users, turns: s.turns, think_s: s.think_s };
                run(&fleet, &requests, source, seed)
            }
        };
        // Of each figure that is asked for, the values of a run.
        let values = |outcomes: &[Outcome]| -> Vec<Vec<f64>> {
            let of = |f: fn(&Outcome) -> f64| {
                outcomes.iter().map(f).filter(|s| !s.is_nan()).map(|s| s * 1e3).collect()
            };
            asked
                .iter()
                .map(|(metric, _)| match metric {
                    Metric::Ttft => of(|o| o.ttft_s),
                    Metric::Tpot => of(|o| o.tpot_s),
                    Metric::E2e => of(|o| o.e2e_s),
                })
                .collect()
        };
        let mut runs: Vec<Vec<Vec<f64>>> = match self.stream.recorded {
            Some(hour) if hour.len() > 1 => {
                let whole = play(hour.len(), 1);
                let part = whole.outcomes.len().div_ceil(RUNS).max(1);
                whole.outcomes.chunks(part).map(values).collect()
            }
            _ => (1..=RUNS as u64)
                .into_par_iter()
                .map(|seed| {
                    let outcomes = play(each, seed).outcomes;
                    values(outcomes.get(outcomes.len() / 5..).unwrap_or_default())
                })
                .collect(),
        };
        asked
            .iter()
            .enumerate()
            .map(|(i, (_, quantile))| {
                let figure = |values: &mut [f64]| match quantile {
                    None => statistics::mean(values),
                    Some(q) => statistics::quantile(values, *q),
                };
                let mut pooled: Vec<f64> = runs.iter().flat_map(|r| r[i].iter().copied()).collect();
                let each: Vec<f64> = runs.iter_mut().filter_map(|r| figure(&mut r[i])).collect();
                Interval {
                    mean: figure(&mut pooled).unwrap_or(0.0),
                    half: if each.is_empty() { 0.0 } else { Interval::of(&each).half },
                }
            })
            .collect()
    }
}
