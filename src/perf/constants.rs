//! The fitted constants of each engine: how much of the kernel curves' time its forward pass really takes,
//! what its host adds, and what a benchmark's client adds to that.
//!
//! `perf_convert fit` writes `data/constants.tsv` from the calibration rows; every constant is drawn
//! towards a prior, so that one without evidence stays what physics says.

use std::sync::OnceLock;

use super::pass::Parts;
use crate::math;
use crate::spec::{EngineName, Quantization};

/// Engines in the order of the tables.
pub const ENGINES: [EngineName; 3] = [EngineName::Vllm, EngineName::Sglang, EngineName::Trtllm];

/// Precisions of weights whose expert kernels have a factor of their own, shared by the engines: they run the same
/// few kernels, and a curve of one shape is off by its format more than by who calls it.
pub const FORMATS: [Quantization; 6] = [
    Quantization::Bf16,
    Quantization::Fp8,
    Quantization::Fp8Block,
    Quantization::Int4,
    Quantization::Mxfp4,
    Quantization::Nvfp4,
];

/// Position of the experts in [`Parts::NAMES`].
const EXPERTS: usize = 3;

/// What multiplies the kernels' time, and the host's part of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineConstants {
    /// On each part of a decode step, in the order of [`Parts::NAMES`].
    pub decode: [f64; 8],
    /// On each part of a prefill step.
    pub prefill: [f64; 8],
    /// Seconds of a decode step on the host.
    pub host_s: f64,
    /// Seconds of a decode step on the host for each sequence.
    pub sequence_s: f64,
    /// Seconds of a prefill step on the host.
    pub host_prefill_s: f64,
    /// Seconds that the host takes to launch one layer of a prefill step, which no graph holds.
    pub layer_s: f64,
    /// Launches of a layer of a mixture of experts beyond those of a dense layer, as a share of them.
    pub layer_experts: f64,
    /// The same of latent attention.
    pub layer_mla: f64,
    /// Tokens of a step for each sequence where tokens are drafted.
    pub drafted: f64,
}

/// What a benchmark's client, and the engine's scheduler under it, add to the physics of a closed loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Harness {
    /// Seconds before the first token that no kernel explains: HTTP, tokenizer, scheduler, client.
    pub start_s: f64,
    /// Seconds of that for each request in flight.
    pub start_per_request_s: f64,
    /// Steps that a request waits for its first.
    pub steps: f64,
    /// Steps that it waits besides where attention ranks have requests of their own: an engine that balances
    /// prompts over the ranks holds one back until the others have one too, or a number of steps has passed.
    pub gather: f64,
    /// Share of the prefill work ahead of a request that it waits for.
    pub prefill: f64,
    /// Share of the prefill work of others that a decoding request pays for.
    pub mix: f64,
    /// Prompts of others that come in the same moment as a request's own: those that end together come back
    /// together.
    pub cluster: f64,
    /// Wave synchrony of the benchmark: 1 = all requests of a wave arrive and end together (from the
    /// method's prototype; not fitted here).
    pub synchrony: f64,
}

impl EngineConstants {
    /// The constants of an engine that runs weights of this precision.
    pub fn of(engine: EngineName, precision: Quantization) -> Self {
        let of = |side: usize| {
            FORMATS.iter().position(|f| *f == precision).map_or(1.0, |format| table().2[format][side])
        };
        table().0[index(engine)].with_experts(of(0), of(1))
    }

    /// With experts that take so many times as long, in decode and in prefill steps.
    #[must_use]
    pub const fn with_experts(mut self, decode: f64, prefill: f64) -> Self {
        self.decode[EXPERTS] *= decode;
        self.prefill[EXPERTS] *= prefill;
        self
    }

    /// Seconds of a decode step of `n` sequences.
    pub fn step(&self, parts: &Parts, n: f64) -> f64 {
        parts.weighted(&self.decode) + self.host_s + self.sequence_s * n
    }

    /// Seconds of a prefill step.
    pub fn prompt(&self, parts: &Parts) -> f64 {
        parts.weighted(&self.prefill) + self.host_prefill_s
    }

    /// Seconds of a prompt that is alone and takes the kernels `seconds`: the host launches its layers one by one,
    /// and what takes longer hides the other, but for the fourth root of the sum of both to the fourth. Prompts that
    /// share a step are long enough to hide the launches.
    pub fn alone(&self, seconds: f64, layers: f64, experts: bool, mla: bool) -> f64 {
        let more = |has: bool, share: f64| if has { share } else { 0.0 };
        let floor =
            self.layer_s * layers * (1.0 + more(experts, self.layer_experts) + more(mla, self.layer_mla));
        let (kernels, host) = (seconds * seconds, floor * floor);
        math::sqrt(math::sqrt(kernels * kernels + host * host))
    }
}

impl Harness {
    /// The constants of an engine under a benchmark with fixed output lengths, or spread ones.
    pub fn of(engine: EngineName, fixed: bool) -> Self {
        table().1[index(engine)][usize::from(fixed)]
    }

    /// [`Harness::synchrony`] of an engine, fixed lengths or spread ones.
    pub const fn synchrony(engine: EngineName, fixed: bool) -> f64 {
        match (engine, fixed) {
            (EngineName::Vllm | EngineName::Own, true) => 0.08,
            (EngineName::Vllm | EngineName::Own, false) => 0.13,
            (EngineName::Sglang, true) => 1.0,
            (EngineName::Sglang, false) => 0.35,
            (EngineName::Trtllm, true) => 0.10,
            (EngineName::Trtllm, false) => 0.06,
        }
    }
}

/// Position of an engine in [`ENGINES`]; of an own server, for which nothing is ever predicted, any.
pub(crate) const fn index(engine: EngineName) -> usize {
    match engine {
        EngineName::Vllm | EngineName::Own => 0,
        EngineName::Sglang => 1,
        EngineName::Trtllm => 2,
    }
}

/// Constants, harnesses, and the factors of [`FORMATS`] on experts in decode and prefill steps.
type Table = ([EngineConstants; 3], [[Harness; 2]; 3], [[f64; 2]; FORMATS.len()]);

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| parse(include_str!("data/constants.tsv")))
}

fn parse(text: &str) -> Table {
    let of_any = |engine: &str, group: &str, name: &str| -> f64 {
        text.lines()
            .skip(1)
            .map(|l| l.split('\t').collect::<Vec<_>>())
            .find(|c| c.len() > 3 && c[0] == engine && c[1] == group && c[2] == name)
            .and_then(|c| c[3].parse::<f64>().ok())
            .unwrap_or(f64::NAN)
    };
    let read = |engine: EngineName, group: &str, name: &str| of_any(engine.as_str(), group, name);
    let of = |engine: EngineName| EngineConstants {
        decode: Parts::NAMES.map(|n| read(engine, "decode", n)),
        prefill: Parts::NAMES.map(|n| read(engine, "prefill", n)),
        host_s: read(engine, "host", "step_ms") * 1e-3,
        sequence_s: read(engine, "host", "sequence_us") * 1e-6,
        host_prefill_s: read(engine, "host", "prefill_ms") * 1e-3,
        layer_s: read(engine, "host", "layer_ms") * 1e-3,
        layer_experts: of_any("*", "layer", "experts"),
        layer_mla: of_any("*", "layer", "mla"),
        drafted: of_any("*", "drafted", "tokens"),
    };
    let harness = |engine: EngineName| {
        [("harness-spread", false), ("harness-fixed", true)].map(|(group, fixed)| Harness {
            start_s: read(engine, group, "start_ms") * 1e-3,
            start_per_request_s: read(engine, group, "start_per_request_ms") * 1e-3,
            steps: read(engine, group, "steps"),
            gather: read(engine, "host", "gather_steps"),
            prefill: read(engine, group, "prefill"),
            mix: read(engine, group, "mix"),
            cluster: read(engine, group, "cluster"),
            synchrony: Harness::synchrony(engine, fixed),
        })
    };
    let formats =
        FORMATS.map(|f| ["experts-decode", "experts-prefill"].map(|side| of_any("*", side, f.as_str())));
    (ENGINES.map(of), ENGINES.map(harness), formats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_is_there_and_plausible() {
        for engine in ENGINES {
            for format in FORMATS {
                let c = EngineConstants::of(engine, format);
                assert!((0.2..5.0).contains(&c.decode[EXPERTS]) && (0.2..5.0).contains(&c.prefill[EXPERTS]));
            }
            let c = EngineConstants::of(engine, Quantization::Bf16);
            for x in c.decode.iter().chain(&c.prefill) {
                assert!((0.2..5.0).contains(x), "{engine:?}: {c:?}");
            }
            assert!((1e-6..0.02).contains(&c.host_s) && (0.0..1e-3).contains(&c.sequence_s));
            assert!((1e-6..5e-3).contains(&c.layer_s) && (0.0..5.0).contains(&c.layer_experts));
            assert!((0.0..20.0).contains(&c.layer_mla) && (1.0..4.0).contains(&c.drafted));
            for fixed in [true, false] {
                let h = Harness::of(engine, fixed);
                assert!((0.0..1.0).contains(&h.start_s) && (0.0..0.05).contains(&h.start_per_request_s));
                assert!((0.0..60.0).contains(&h.steps) && (0.2..3.0).contains(&h.prefill));
                assert!((0.0..60.0).contains(&h.gather));
                assert!((0.2..3.0).contains(&h.mix), "{engine:?} {fixed}: {h:?}");
                assert!((0.0..10.0).contains(&h.cluster), "{engine:?} {fixed}: {h:?}");
            }
        }
    }

    #[test]
    fn launches_are_a_floor_under_a_prompt_alone_that_long_prompts_hide() {
        let mut e = EngineConstants::of(EngineName::Vllm, Quantization::Bf16);
        (e.layer_s, e.layer_experts, e.layer_mla) = (0.25e-3, 0.5, 3.0);
        // 80 layers of 0.25 ms are 20 ms.
        for seconds in [1e-6, 0.005, 0.02, 0.05] {
            let alone = e.alone(seconds, 80.0, false, false);
            assert!(alone >= seconds.max(0.02) && alone <= seconds + 0.02, "{seconds}: {alone}");
        }
        assert!(e.alone(1.0, 80.0, false, false) - 1.0 < 1e-6);
        for (experts, mla, floor) in [(true, false, 0.03), (false, true, 0.08), (true, true, 0.09)] {
            assert!((e.alone(0.0, 80.0, experts, mla) - floor).abs() < 1e-12);
        }
        e.layer_s = 0.0;
        assert!((e.alone(0.02, 80.0, true, true) - 0.02).abs() < 1e-12);
    }
}
