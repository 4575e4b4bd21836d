//! Runs, and the file's worth of them.

use crate::perf::precision::resolve_native;
use crate::perf::types::{Configuration, Layout};
use crate::spec::{EngineName, KvCacheDtype, Quantization};

/// What was deployed, as far as it decides the speed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deployment {
    /// Id of the architecture.
    pub model: String,
    /// Id of the accelerator.
    pub accelerator: String,
    /// The engine.
    pub engine: EngineName,
    /// Its version, major and minor.
    pub version: (u32, u32),
    /// How a replica is cut.
    pub layout: Layout,
    /// How weights are stored, never `native`.
    pub precision: Quantization,
    /// How the KV cache is stored, never `auto`.
    pub kv_cache: KvCacheDtype,
}

impl Deployment {
    /// That of a configuration.
    pub fn of(c: &Configuration<'_>) -> Self {
        Deployment {
            model: c.arch.id.clone(),
            accelerator: c.accelerator.id.clone(),
            engine: c.engine.name,
            version: c.engine.version,
            layout: c.layout,
            precision: resolve_native(c.arch, c.quantization),
            kv_cache: stored(c.kv_cache),
        }
    }
}

impl std::fmt::Display for Deployment {
    /// `qwen3-32b on h100-sxm-80gb, vllm 0.19, tp2, fp8`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor) = self.version;
        write!(f, "{} on {}, {} {major}.{minor}", self.model, self.accelerator, self.engine.as_str())?;
        write!(f, ", {}, {}", self.layout, self.precision.as_str())?;
        if self.kv_cache == KvCacheDtype::Fp8 { f.write_str(", fp8 KV cache") } else { Ok(()) }
    }
}

/// The KV cache's type with `auto` resolved: that of the model, 16 bits.
const fn stored(kv: KvCacheDtype) -> KvCacheDtype {
    match kv {
        KvCacheDtype::Auto => KvCacheDtype::Bf16,
        other => other,
    }
}

/// How requests were sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// A fixed number of requests in flight on the replica.
    Closed {
        /// How many.
        concurrency: f64,
    },
    /// Requests arrive whether or not earlier ones are answered.
    Open {
        /// Requests/s.
        rate: f64,
        /// Requests in flight that were observed, on average.
        in_flight: f64,
        /// Whether gaps are exponential.
        poisson: bool,
    },
}

impl Load {
    /// Requests in flight.
    pub const fn in_flight(&self) -> f64 {
        match self {
            Load::Closed { concurrency } => *concurrency,
            Load::Open { in_flight, .. } => *in_flight,
        }
    }

    fn is_alike(&self, other: &Self) -> bool {
        let how = match (self, other) {
            (Load::Closed { .. }, Load::Closed { .. }) => true,
            (Load::Open { rate, poisson, .. }, Load::Open { rate: r, poisson: p, .. }) => {
                alike(*rate, *r) && poisson == p
            }
            _ => false,
        };
        how && alike(self.in_flight(), other.in_flight())
    }
}

impl std::fmt::Display for Load {
    /// `16 in flight` or `4 requests/s (23 in flight)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Load::Closed { concurrency } => write!(f, "{concurrency} in flight"),
            Load::Open { rate, in_flight, .. } => write!(f, "{rate} requests/s ({in_flight:.0} in flight)"),
        }
    }
}

/// Equal but for how a program wrote the number; repeated measurements differ by percents.
fn alike(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}

/// A measured mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Milliseconds.
    pub ms: f64,
    /// Standard error of the mean over the mean, from the spread of the requests; 0 = not stated.
    pub error: f64,
}

/// One benchmark run against one deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Name of the result file, for people.
    pub file: String,
    /// SHA-256 of the result file, lower-case hexadecimal.
    pub sha256: String,
    /// Which run of that file, from 0.
    pub part: u32,
    /// What wrote it.
    pub tool: String,
    /// `YYYY-MM-DD`; empty if the file does not say it.
    pub date: String,
    /// What was deployed.
    pub deployment: Deployment,
    /// How it was loaded.
    pub load: Load,
    /// Mean prompt, tokens.
    pub input: f64,
    /// Mean answer, tokens.
    pub output: f64,
    /// Whether all requests had equal lengths, if that is known.
    pub fixed_lengths: Option<bool>,
    /// Requests that were answered.
    pub requests: u64,
    /// Mean time to first token.
    pub ttft: Figure,
    /// Mean time per output token after the first.
    pub tpot: Figure,
    /// It contradicts the prediction or another run, and its owner stands by it: it counts for its own
    /// configuration alone.
    pub accepted: bool,
}

impl Run {
    /// Where it was read: file and part. The same run may stand in another file: [`Run::repeats`].
    pub fn id(&self) -> (&str, u32) {
        (&self.sha256, self.part)
    }

    /// Whether the other is the same measurement, whatever its file is called, how that is formatted and
    /// what it is said to have run on. Spreads and whether lengths were equal are not compared: files of
    /// one run may or may not tell them, as they may the date.
    pub fn repeats(&self, other: &Self) -> bool {
        let date = self.date == other.date || self.date.is_empty() || other.date.is_empty();
        self.id() == other.id()
            || date
                && self.requests == other.requests
                && self.load.is_alike(&other.load)
                && [
                    (self.input, other.input),
                    (self.output, other.output),
                    (self.ttft.ms, other.ttft.ms),
                    (self.tpot.ms, other.tpot.ms),
                ]
                .iter()
                .all(|(a, b)| alike(*a, *b))
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |r: &Self| (r.deployment.clone(), r.date.clone(), r.sha256.clone(), r.part);
        let load = self.load.in_flight().total_cmp(&other.load.in_flight());
        self.deployment.cmp(&other.deployment).then(load).then_with(|| key(self).cmp(&key(other)))
    }
}

/// All runs that are known, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// The file that holds them, as the spec names it; empty if there is none.
    pub name: String,
    /// SHA-256 of their canonical form; empty if there is none.
    pub digest: String,
    /// Runs that were given and left out because they repeat one of those that stay.
    pub repeated: usize,
    runs: Vec<Run>,
}

impl Calibration {
    /// Puts runs in order; of those of one deployment that repeat each other the first stays, accepted if
    /// any of them is: written twice, a run would count as two and narrow the bands.
    pub fn new(name: impl Into<String>, digest: impl Into<String>, mut runs: Vec<Run>) -> Self {
        runs.sort_by(Run::order);
        let given = runs.len();
        let mut kept: Vec<Run> = Vec::with_capacity(given);
        for run in runs {
            let mut near = kept.iter_mut().rev().take_while(|k| {
                k.deployment == run.deployment && alike(k.load.in_flight(), run.load.in_flight())
            });
            match near.find(|k| k.repeats(&run)) {
                Some(first) => first.accepted |= run.accepted,
                None => kept.push(run),
            }
        }
        let repeated = given - kept.len();
        Calibration { name: name.into(), digest: digest.into(), repeated, runs: kept }
    }

    /// The runs, by configuration and load.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }
}
