//! Requests made from a description of traffic.

use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::fleet::Request;
use crate::math;
use crate::spec::{Arrivals, Lengths, RecordedRequest, Sessions};

/// Numbers that are the same on every machine: xoshiro256++.
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// The stream of a seed for a purpose, so that what one purpose draws does not move another.
    pub fn new(seed: u64, purpose: &str) -> Self {
        // FNV-1a over seed and purpose; the generator expands it by SplitMix64.
        let bytes = seed.to_le_bytes().into_iter().chain(purpose.bytes());
        let mixed =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Random(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// In (0, 1), a multiple of 2^-53 moved by half of one.
    pub fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
    }

    /// Of the standard normal distribution.
    pub fn normal(&mut self) -> f64 {
        math::normal_quantile(self.uniform())
    }

    /// Of mean 1 and this squared coefficient of variation (above 0): Marsaglia and Tsang, "A simple method
    /// for generating gamma variables" (2000), with their power of a uniform below a shape of 1.
    fn gamma(&mut self, cv2: f64) -> f64 {
        let shape = 1.0 / cv2;
        let (boosted, boost) =
            if shape < 1.0 { (shape + 1.0, math::pow(self.uniform(), cv2)) } else { (shape, 1.0) };
        let d = boosted - 1.0 / 3.0;
        let c = 1.0 / math::sqrt(9.0 * d);
        loop {
            let z = self.normal();
            let v = 1.0 + c * z;
            if v <= 0.0 {
                continue;
            }
            let v = v * v * v;
            if math::ln(self.uniform()) < 0.5 * z * z + d - d * v + d * math::ln(v) {
                return d * v * boost * cv2;
            }
        }
    }
}

/// An hour of recorded traffic, to be played again.
pub type Hour<'a> = &'a [RecordedRequest];

/// What traffic looks like.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// Requests/s; above 0.
    pub rate: f64,
    /// How gaps vary.
    pub arrivals: Arrivals,
    /// Prompt tokens.
    pub input: Lengths,
    /// Generated tokens.
    pub output: Lengths,
    /// Share of prompt tokens that is in every prefix cache.
    pub prefix_cached: f64,
    /// Played again, with its time stretched to the rate, in place of the distributions.
    pub recorded: Option<Hour<'a>>,
}

/// `count` requests. The same seed gives the same lengths at every rate, and gaps that are the same but for
/// the unit of time. A recorded hour is played once from its start, then again from there.
pub fn generate(stream: &Stream<'_>, count: usize, seed: u64) -> Vec<Request> {
    Draws::new(seed).requests(stream, count)
}

/// What one seed draws for a kind of traffic, at any rate: drawn as far as was asked for, once.
pub(super) struct Draws {
    gaps: Random,
    inputs: Random,
    outputs: Random,
    /// Gap in units of the mean, prompt and answer.
    drawn: Vec<(f64, u32, u32)>,
}

impl Draws {
    /// Nothing drawn yet.
    pub fn new(seed: u64) -> Self {
        Draws {
            gaps: Random::new(seed, "gaps"),
            inputs: Random::new(seed, "inputs"),
            outputs: Random::new(seed, "outputs"),
            drawn: Vec::new(),
        }
    }

    /// The first `count` requests of the stream; arrivals and lengths must be those of all calls before.
    pub fn requests(&mut self, stream: &Stream<'_>, count: usize) -> Vec<Request> {
        if let Some(hour) = stream.recorded.filter(|h| h.len() > 1) {
            return again(stream, hour, count);
        }
        let (input, output) = (Lognormal::of(&stream.input), Lognormal::of(&stream.output));
        for _ in self.drawn.len()..count {
            let gap = match stream.arrivals {
                Arrivals::Poisson => -math::ln(self.gaps.uniform()),
                Arrivals::Bursty { cv2 } if cv2 > 0.0 => self.gaps.gamma(cv2),
                Arrivals::Bursty { .. } | Arrivals::Constant => 1.0,
            };
            let input = input.draw(&mut self.inputs).max(1);
            self.drawn.push((gap, input, output.draw(&mut self.outputs)));
        }
        let mut at_s = 0.0;
        let timed = |(gap, input, output): &(f64, u32, u32)| {
            at_s += gap / stream.rate;
            Request { at_s, input: *input, cached: cached(stream.prefix_cached, *input), output: *output }
        };
        self.drawn.iter().take(count).map(timed).collect()
    }
}

/// Conversations of `sessions.turns` requests each, at least `count` requests, for `users` at the same time: the first ones
/// start anywhere in a conversation without answers' times. Prompts grow by what was said.
pub fn conversations(
    sessions: &Sessions,
    output: &Lengths,
    longest: f64,
    users: u32,
    count: usize,
    seed: u64,
) -> Vec<Request> {
    let mut inputs = Random::new(seed, "inputs");
    let mut outputs = Random::new(seed, "outputs");
    let mut starts = Random::new(seed, "starts");
    let turns = sessions.turns.max(1);
    let runs = count.div_ceil(turns as usize).max(users as usize);
    let lasts = f64::from(turns) * (sessions.think_s + 1.0);
    let (added, answers) = (Lognormal::of(&sessions.added), Lognormal::of(output));
    let mut requests = Vec::with_capacity(runs * turns as usize);
    for run in 0..runs {
        let at_s = if run < users as usize { lasts * starts.uniform() } else { 0.0 };
        let mut said = 0_u32;
        for _ in 0..turns {
            let input = said.saturating_add(added.draw(&mut inputs).max(1));
            let answer = answers.draw(&mut outputs);
            let input = input.min(longest.max(1.0) as u32);
            requests.push(Request { at_s, input, cached: 0, output: answer });
            said = input.saturating_add(answer);
        }
    }
    requests
}

fn cached(share: f64, input: u32) -> u32 {
    (share.clamp(0.0, 1.0) * f64::from(input)) as u32
}

fn again(stream: &Stream<'_>, hour: Hour<'_>, count: usize) -> Vec<Request> {
    let (first, last) = (hour[0].at_s, hour[hour.len() - 1].at_s);
    let length = (last - first) * hour.len() as f64 / (hour.len() - 1) as f64;
    let stretch = hour.len() as f64 / length / stream.rate;
    (0..count)
        .map(|i| {
            let r = &hour[i % hour.len()];
            let round = (i / hour.len()) as f64;
            let input = (r.input as u32).max(1);
            Request {
                at_s: (r.at_s - first + round * length) * stretch,
                input,
                cached: cached(stream.prefix_cached, input),
                output: r.output as u32,
            }
        })
        .collect()
}

/// A lognormal length cut at the longest that is served.
struct Lognormal<'a> {
    lengths: &'a Lengths,
    /// Of the logarithm.
    mean: f64,
    deviation: f64,
}

impl<'a> Lognormal<'a> {
    fn of(lengths: &'a Lengths) -> Self {
        if lengths.mean <= 0.0 || lengths.cv2 <= 0.0 {
            return Lognormal { lengths, mean: 0.0, deviation: 0.0 };
        }
        let variance = math::ln(1.0 + lengths.cv2);
        let mean = math::ln(lengths.mean) - variance / 2.0;
        Lognormal { lengths, mean, deviation: math::sqrt(variance) }
    }

    fn draw(&self, random: &mut Random) -> u32 {
        // Drawn even where it is not used, so that the stream is the same for all lengths.
        let z = random.normal();
        if self.lengths.mean <= 0.0 {
            return 0;
        }
        if self.lengths.cv2 <= 0.0 {
            return libm::round(self.lengths.mean) as u32;
        }
        let x = math::exp(self.mean + self.deviation * z);
        libm::round(x.clamp(1.0, self.lengths.max.max(1.0))) as u32
    }
}
