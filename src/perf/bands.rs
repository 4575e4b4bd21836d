//! How far the truth may lie from a prediction.

use super::data::{LeftOut, tables};
use super::kernel::family;
use super::ledger::Measured;
use super::types::{Band, Configuration, RequestShape};
use crate::catalog::{Evidence, ModelArch};
use crate::spec::{EngineName, Quantization};

/// The classes that errors were measured in.
pub(crate) fn class(arch: &ModelArch) -> &'static str {
    match (&arch.mla, &arch.moe) {
        (Some(_), _) => "mla",
        (None, Some(_)) => "moe",
        (None, None) => "dense",
    }
}

/// Widths assumed where nothing was measured: `sigma` of TPOT and of TTFT.
///
/// A factor of `exp(sigma)` is exceeded by about one in six. Curves of another accelerator: 1.8; encoders
/// on curves of their own: 1.5; AMD, where NVIDIA's curves were four times off: 2.7 with a shift of 2.
const ASSUMED_OWN: (f64, f64) = (0.4, 0.5);
const ASSUMED_BORROWED: (f64, f64) = (0.6, 0.7);
/// Of a card that the performance tables do not even list, so that its rates rest on one row of the
/// catalogue: four times as slow at a confidence of 80 %, as far as borrowed curves were ever off, or a
/// misprint there would win every search.
const ASSUMED_UNLISTED: (f64, f64) = (1.65, 1.65);
const ASSUMED_AMD: (f64, f64) = (1.0, 1.0);
const AMD_SHIFT: f64 = 0.7;
/// Added in quadrature where no measured row has such a layout or precision.
const EXTRAPOLATED: f64 = 0.3;

/// Engines older than any that was measured: the first version that is not, and the logarithm of how much longer published
/// batches of 2024 took than this predicts, with the deviation that holds four of five of their rows (`ACCURACY.md`, "Static batches of 2024"). vLLM
/// changed its engine in 0.8.0 ("we have now enabled V1 engine by default", its release notes), TensorRT-LLM in 1.0.
const VINTAGES: [Vintage; 2] = [
    Vintage { engine: EngineName::Vllm, since: (0, 8), mu: 0.32, sigma: 0.15 },
    Vintage { engine: EngineName::Trtllm, since: (1, 0), mu: 0.18, sigma: 0.2 },
];

/// The logarithm of how much longer everything takes on engines of 2024 than the physics says; 0 where none were measured.
pub fn vintage(engine: EngineName) -> f64 {
    VINTAGES.iter().find(|v| v.engine == engine).map_or(0.0, |v| v.mu)
}

struct Vintage {
    engine: EngineName,
    since: (u32, u32),
    mu: f64,
    sigma: f64,
}

/// The lengths and loads that the aggregated calibration rows cover; beyond them nothing measured stands behind
/// a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredRange;

impl MeasuredRange {
    /// Longest mean prompt, tokens.
    pub const INPUT: f64 = 15_000.0;
    /// Longest mean answer, tokens.
    pub const OUTPUT: f64 = 8_192.0;
    /// Most requests in flight on an attention rank, but for a handful of rows: where the corrections' slopes
    /// end, see [`super::variables`].
    pub const CLIENTS: f64 = 1_024.0;

    /// What of the mean lengths lies beyond.
    pub fn beyond(shape: &RequestShape) -> Option<String> {
        let longer = |what: &str, tokens: f64, most: f64| {
            (tokens > most).then(|| format!("{what} of {tokens:.0} tokens, {most:.0} were measured"))
        };
        longer("prompts", shape.input.mean, Self::INPUT)
            .or_else(|| longer("answers", shape.output.mean, Self::OUTPUT))
    }
}

/// Bands, class and remarks of a configuration.
pub(crate) struct Judged {
    pub ttft: Band,
    pub tpot: Band,
    /// The logarithm of how much longer everything takes than the physics says: known of a whole kind, and of no configuration.
    pub slower: f64,
    pub evidence: Evidence,
    pub notes: Vec<String>,
}

/// Judges a configuration by what was measured: errors of left-out groups where its model and its
/// accelerator are in the ledger, of left-out models or left-out accelerators where they are not.
pub(crate) fn judge(
    c: &Configuration<'_>,
    measured: &Measured,
    precision: Quantization,
    own_curves: bool,
    shape: &RequestShape,
) -> Judged {
    let t = tables();
    let class = class(c.arch);
    let family = family(c.accelerator);
    let engine = c.engine.name.as_str();
    let encoder = shape.output.mean <= 0.0;
    let mut notes = Vec::new();
    let left = match (measured.model, measured.accelerator) {
        (true, true) => LeftOut::Groups,
        (false, true) => LeftOut::Models,
        (_, false) => LeftOut::Accelerators,
    };
    // What left-out accelerators say holds for their own families: a card with another memory and another
    // link may be off by more than any of them.
    let comparable = own_curves && !encoder && (measured.accelerator || measured.family);
    let found = |ttft| t.band(left, class, c.engine.name, family, ttft).filter(|_| comparable);
    let mut slower = 0.0;
    let (ttft, tpot) = match (found(true), found(false)) {
        (Some(ttft), Some(tpot)) => (ttft, tpot),
        _ => {
            let (tpot, ttft) = if c.accelerator.vendor == "amd" {
                slower = AMD_SHIFT;
                ASSUMED_AMD
            } else if own_curves {
                ASSUMED_OWN
            } else if c.accelerator.perf_id.as_deref().and_then(|id| t.gpu(id)).is_none() {
                ASSUMED_UNLISTED
            } else {
                ASSUMED_BORROWED
            };
            let assumed = |sigma| Band { mu: 0.0, sigma, groups: 0 };
            (assumed(ttft), assumed(tpot))
        }
    };
    let calibrated = own_curves && !encoder && measured.accelerator && (measured.model || measured.class);
    let evidence = if calibrated { Evidence::Calibrated } else { Evidence::Modelled };
    if encoder {
        notes.push("encoders were never measured".into());
    }
    if !own_curves {
        notes.push(format!(
            "no kernel measurements of {}: efficiencies of its nearest relative",
            c.accelerator.id
        ));
    } else if encoder {
        // Said above.
    } else if !measured.accelerator {
        let width = if measured.family { "error of left-out accelerators" } else { "an assumed error" };
        notes.push(format!("no end-to-end measurement of {engine} on {}: {width}", c.accelerator.id));
    } else if !measured.model {
        let what = if measured.class { "this model" } else { "such models" };
        notes.push(format!("no measurement of {what} with {engine}: error of left-out models"));
    }
    let mut judged = Judged { ttft, tpot, slower, evidence, notes };
    if measured.model && measured.accelerator && own_curves && !encoder {
        if !measured.precision {
            judged
                .widen(format!("{} was not measured for this model with {engine} there", precision.as_str()));
        }
        if !measured.parallelism {
            judged.widen(format!("this kind of parallelism was not measured for this model with {engine}"));
        }
    }
    if let Some(what) = MeasuredRange::beyond(shape) {
        judged.widen(format!("extrapolated: {what}"));
    }
    if shape.prefix_cached > 0.0 {
        judged.widen_by(
            EXTRAPOLATED * shape.prefix_cached.min(1.0),
            "prompts out of the prefix cache were never measured".into(),
        );
    }
    // None of these runs on a Blackwell card: a small number there is that of a container.
    let old = VINTAGES.iter().find(|v| v.engine == c.engine.name && c.engine.version < v.since);
    if let Some(v) = old.filter(|_| family != "blackwell") {
        judged.slower += v.mu;
        for band in [&mut judged.ttft, &mut judged.tpot] {
            *band = Band { sigma: band.sigma.max(v.sigma), groups: 0, ..*band };
        }
        judged.evidence = Evidence::Modelled;
        let ((major, minor), longer) = (v.since, crate::math::exp(v.mu));
        judged.notes.push(format!(
            "{engine} before {major}.{minor} took {longer:.2} times as long in batches of 2024"
        ));
    }
    if c.layout.pp > 1 {
        judged.widen("pipeline parallelism was never measured".into());
    }
    if c.layout.accelerators() > c.accelerators_per_node.max(1) {
        judged.widen("replicas over several machines were never measured".into());
    }
    if c.arch.linear_layers > 0 {
        judged.widen("linear attention was never measured".into());
    }
    if c.fraction < 1.0 {
        judged.notes.push("a part of an accelerator is taken to have its share of memory and speed".into());
        judged.evidence = Evidence::Modelled;
    }
    judged
}

impl Judged {
    /// Less sure, for this reason.
    pub(super) fn widen(&mut self, why: String) {
        self.widen_by(EXTRAPOLATED, why);
    }

    fn widen_by(&mut self, sigma: f64, why: String) {
        for band in [&mut self.ttft, &mut self.tpot] {
            band.sigma = crate::math::sqrt(band.sigma * band.sigma + sigma * sigma);
        }
        self.evidence = Evidence::Modelled;
        self.notes.push(why);
    }
}
