//! Requests, the router, and the order of events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::arrivals::Random;
pub use super::engine::Use;
use super::engine::{Limits, Replica, Sequence};
use super::timing::Timing;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// Seconds from the start; of a closed loop, ignored.
    pub at_s: f64,
    /// Prompt tokens, at least 1.
    pub input: u32,
    /// Prompt tokens that every replica has in its prefix cache.
    pub cached: u32,
    /// Tokens to generate; 0 for an encoder.
    pub output: u32,
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// At their own times, which must not fall.
    Open,
    /// A number of clients, each of which sends the next request when its last one ended.
    Closed {
        /// How many; at least 1.
        clients: u32,
    },
    /// Conversations: the requests are cut into runs of `turns`, whose prompts repeat what was said before,
    /// which the replica that answered may still have in its cache. Each user has one of the first runs, starts it at the
    /// time of its first request, sends each following turn `think_s` after the answer, and then the
    /// next run that nobody has.
    Sessions {
        /// How many talk at the same time; at least 1.
        users: u32,
        /// Requests of a conversation; at least 1.
        turns: u32,
        /// Seconds between an answer and the next turn.
        think_s: f64,
    },
}

/// Which replica gets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// The one with the fewest requests that have not ended; among equals, in turn.
    LeastOutstanding,
    /// Each in turn.
    RoundRobin,
    /// Any, with equal chances.
    Random,
    /// The one that answered the session before; a session's first by least outstanding.
    Sticky,
}

/// A kind of replica.
#[derive(Clone, Copy, Debug)]
pub struct Kind<T> {
    /// How long its steps take.
    pub timing: T,
    /// What bounds its batch.
    pub limits: Limits,
    /// How many there are.
    pub replicas: u32,
}

/// What serves, behind one router.
#[derive(Clone, Debug)]
pub struct Fleet<T> {
    /// Its replicas by kind; at least one replica.
    pub kinds: Vec<Kind<T>>,
    /// How requests are spread.
    pub routing: Routing,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// When it was sent, seconds.
    pub at_s: f64,
    /// Seconds to the first token (an encoder: to the answer).
    pub ttft_s: f64,
    /// Seconds for each token after the first; NaN if there is none.
    pub tpot_s: f64,
    /// Seconds to the last token.
    pub e2e_s: f64,
    /// Seconds before it was admitted.
    pub queued_s: f64,
    /// Share of its prompt that was in a prefix cache.
    pub hit: f64,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct Run {
    /// In the order of the requests.
    pub outcomes: Vec<Outcome>,
    /// Of each replica, kinds in order.
    pub used: Vec<Use>,
    /// Seconds from the first arrival to the last token.
    pub span_s: f64,
}

/// Non-negative seconds in the order of their bits.
type Moment = u64;

/// Seconds as [`Moment`].
fn moment(seconds: f64) -> Moment {
    seconds.max(0.0).to_bits()
}

struct Router {
    routing: Routing,
    next: usize,
    random: Random,
    homes: Vec<u32>,
}

impl Router {
    fn choose(&mut self, replicas: &[Replica], session: Option<u32>) -> usize {
        let n = replicas.len();
        let in_turn = |next: &mut usize| {
            let chosen = *next;
            *next = (chosen + 1) % n;
            chosen
        };
        match self.routing {
            Routing::RoundRobin => in_turn(&mut self.next),
            Routing::Random => ((self.random.uniform() * n as f64) as usize).min(n - 1),
            Routing::LeastOutstanding => self.least(replicas),
            Routing::Sticky => {
                let Some(session) = session.map(|s| s as usize) else { return self.least(replicas) };
                if self.homes[session] == u32::MAX {
                    self.homes[session] = self.least(replicas) as u32;
                }
                self.homes[session] as usize
            }
        }
    }

    fn least(&mut self, replicas: &[Replica]) -> usize {
        let n = replicas.len();
        let mut best = self.next % n;
        for step in 1..n {
            // Nobody has less than nothing to do; large fleets are mostly idle where a limit is near.
            if replicas[best].outstanding == 0 {
                break;
            }
            let at = (self.next + step) % n;
            if replicas[at].outstanding < replicas[best].outstanding {
                best = at;
            }
        }
        self.next = (best + 1) % n;
        best
    }
}

/// Plays requests through a fleet.
///
/// `seed` decides only what [`Routing::Random`] draws. A request that asks for more tokens than a cache
/// holds is served alone.
///
/// # Panics
/// Never; an empty fleet or no requests give no outcomes.
pub fn run<T: Timing>(fleet: &Fleet<T>, requests: &[Request], source: Source, seed: u64) -> Run {
    let turns = match source {
        Source::Sessions { turns, .. } => Some(turns.max(1)),
        Source::Open | Source::Closed { .. } => None,
    };
    let mut kinds: Vec<usize> = Vec::new();
    let mut replicas: Vec<Replica> = Vec::new();
    for (k, kind) in fleet.kinds.iter().enumerate() {
        for _ in 0..kind.replicas {
            kinds.push(k);
            replicas.push(Replica::new(turns.is_some()));
        }
    }
    if replicas.is_empty() || requests.is_empty() {
        return Run { outcomes: Vec::new(), used: Vec::new(), span_s: 0.0 };
    }
    let session = |i: usize| turns.map(|t| (i / t as usize) as u32);
    let mut sequences: Vec<Sequence> = requests
        .iter()
        .enumerate()
        .map(|(i, r)| Sequence::new(r.at_s, r.input, r.cached, r.output, session(i)))
        .collect();
    let mut homes = vec![0_u32; requests.len()];
    let mut finished = vec![f64::NAN; requests.len()];
    let mut router = Router {
        routing: fleet.routing,
        next: 0,
        random: Random::new(seed, "routing"),
        homes: vec![u32::MAX; turns.map_or(0, |t| requests.len().div_ceil(t as usize))],
    };
    // Open arrivals are in order already; the others become known as answers come.
    let mut due: BinaryHeap<Reverse<(Moment, u32)>> = BinaryHeap::new();
    let mut next = 0_usize;
    match source {
        Source::Open => {}
        Source::Closed { clients } => {
            next = (clients.max(1) as usize).min(requests.len());
            for (i, s) in sequences.iter_mut().take(next).enumerate() {
                s.at_s = 0.0;
                due.push(Reverse((0, i as u32)));
            }
        }
        Source::Sessions { users, turns, .. } => {
            next = (users.max(1) as usize).saturating_mul(turns.max(1) as usize).min(requests.len());
            for i in (0..next).step_by(turns.max(1) as usize) {
                due.push(Reverse((moment(requests[i].at_s), i as u32)));
            }
        }
    }
    let mut ends: BinaryHeap<Reverse<(Moment, u32, u32)>> = BinaryHeap::new();
    let mut ended: Vec<u32> = Vec::new();
    loop {
        let arrival = match source {
            Source::Open => requests.get(next).map(|r| (moment(r.at_s), next as u32)),
            _ => due.peek().map(|Reverse(a)| *a),
        };
        let end = loop {
            match ends.peek() {
                Some(Reverse((_, r, version))) if replicas[*r as usize].version != *version => ends.pop(),
                Some(Reverse(end)) => break Some(*end),
                None => break None,
            };
        };
        let first_ends = match (arrival, end) {
            (None, None) => break,
            (Some((at, _)), Some((end, ..))) => end <= at,
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        let at = if let (true, Some((_, r, _))) = (first_ends, end) {
            ends.pop();
            let replica = &mut replicas[r as usize];
            let kind = &fleet.kinds[kinds[r as usize]];
            let now = replica.finish(&mut sequences, |id, now| {
                finished[id as usize] = now;
                ended.push(id);
            });
            replica.start(now, &mut sequences, &kind.limits, &kind.timing);
            for id in ended.drain(..) {
                match source {
                    Source::Open => {}
                    Source::Closed { .. } => {
                        if let Some(s) = sequences.get_mut(next) {
                            s.at_s = now;
                            due.push(Reverse((moment(now), next as u32)));
                            next += 1;
                        }
                    }
                    Source::Sessions { turns, think_s, .. } => {
                        let turns = turns.max(1) as usize;
                        let mut following = id as usize + 1;
                        if following.is_multiple_of(turns) {
                            following = next;
                            next = next.saturating_add(turns);
                        }
                        if let Some(s) = sequences.get_mut(following) {
                            s.at_s = now + think_s;
                            due.push(Reverse((moment(s.at_s), following as u32)));
                        }
                    }
                }
            }
            r
        } else if let Some((at, id)) = arrival {
            if source == Source::Open {
                next += 1;
            } else {
                due.pop();
            }
            let r = router.choose(&replicas, sequences[id as usize].session);
            homes[id as usize] = kinds[r] as u32;
            let kind = &fleet.kinds[kinds[r]];
            replicas[r].arrive(f64::from_bits(at), id, &mut sequences, &kind.limits, &kind.timing);
            r as u32
        } else {
            break;
        };
        let replica = &replicas[at as usize];
        if let Some(end) = replica.end_s() {
            ends.push(Reverse((moment(end), at, replica.version)));
        }
    }
    outcomes(fleet, requests, &sequences, &finished, &homes, &replicas)
}

fn outcomes<T: Timing>(
    fleet: &Fleet<T>,
    requests: &[Request],
    sequences: &[Sequence],
    finished: &[f64],
    homes: &[u32],
    replicas: &[Replica],
) -> Run {
    let mut last = 0.0_f64;
    let mut first = f64::INFINITY;
    let outcomes: Vec<Outcome> = sequences
        .iter()
        .zip(finished)
        .zip(homes.iter().zip(requests))
        .map(|((s, end), (kind, request))| {
            let before = fleet.kinds[*kind as usize].timing.before_s();
            last = last.max(*end);
            first = first.min(s.at_s);
            Outcome {
                at_s: s.at_s,
                ttft_s: s.first_s - s.at_s + before,
                tpot_s: if s.output > 1 { (end - s.first_s) / f64::from(s.output - 1) } else { f64::NAN },
                e2e_s: end - s.at_s + before,
                queued_s: s.admitted_s - s.at_s,
                hit: s.hit / f64::from(request.input.max(1)),
            }
        })
        .collect();
    Run { outcomes, used: replicas.iter().map(|r| r.used).collect(), span_s: last - first }
}
