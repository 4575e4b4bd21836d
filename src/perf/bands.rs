//! How far the truth may lie from a prediction.

use super::data::tables;
use super::kernel::family;
use super::types::{Band, Configuration};
use crate::catalog::{Evidence, ModelArch};
use crate::spec::{Lengths, Quantization};

/// The classes that errors were measured in.
pub(crate) fn class(arch: &ModelArch) -> &'static str {
    match (&arch.mla, &arch.moe) {
        (Some(_), _) => "mla",
        (None, Some(_)) => "moe",
        (None, None) => "dense",
    }
}

/// GPU families of the measured rows: GB200 and B300 count as Blackwell, H200 as Hopper.
pub(crate) fn measured_family(c: &Configuration<'_>) -> &'static str {
    family(c.accelerator)
}

/// Widths assumed where nothing was measured: `sigma` of TPOT and of TTFT.
///
/// A factor of `exp(sigma)` is exceeded by about one in six. Own kernel curves without end-to-end
/// measurements: 1.5; curves of another accelerator: 1.8; AMD, where NVIDIA's curves were four
/// times off: 2.7 with a shift of 2.
const ASSUMED_OWN: (f64, f64) = (0.4, 0.5);
const ASSUMED_BORROWED: (f64, f64) = (0.6, 0.7);
const ASSUMED_AMD: (f64, f64) = (1.0, 1.0);
const AMD_SHIFT: f64 = 0.7;
/// Added in quadrature where no measured row has such a layout, model or precision.
const EXTRAPOLATED: f64 = 0.3;
/// Added in quadrature where only other accelerators of the family were measured.
const RELATIVE: f64 = 0.15;

/// Bands, class and remarks of a configuration.
pub(crate) struct Judged {
    pub ttft: Band,
    pub tpot: Band,
    pub evidence: Evidence,
    pub notes: Vec<String>,
}

/// Judges a configuration by what was measured.
pub(crate) fn judge(
    c: &Configuration<'_>,
    precision: Quantization,
    own_curves: bool,
    output: &Lengths,
) -> Judged {
    let t = tables();
    let class = class(c.arch);
    let family = measured_family(c);
    let mut notes = Vec::new();
    let encoder = output.mean <= 0.0;
    let find = |metric| t.band(class, c.engine.name, family, metric);
    let measured = own_curves && !encoder && c.fraction >= 1.0;
    let mut judged = match (measured, find("ttft"), find("tpot")) {
        (true, Some(ttft), Some(tpot)) => Judged {
            ttft: Band { mu: ttft.mu, sigma: ttft.sigma, groups: ttft.groups },
            tpot: Band { mu: tpot.mu, sigma: tpot.sigma, groups: tpot.groups },
            evidence: Evidence::Calibrated,
            notes: Vec::new(),
        },
        _ => {
            let (mu, (tpot, ttft)) = if c.accelerator.vendor == "amd" {
                (AMD_SHIFT, ASSUMED_AMD)
            } else if own_curves {
                (0.0, ASSUMED_OWN)
            } else {
                (0.0, ASSUMED_BORROWED)
            };
            notes.push(if own_curves {
                format!(
                    "no end-to-end measurement of {class} models with {} on {family}",
                    c.engine.name.as_str()
                )
            } else {
                format!(
                    "no kernel measurements of {}: efficiencies of its nearest relative",
                    c.accelerator.id
                )
            });
            Judged {
                ttft: Band { mu, sigma: ttft, groups: 0 },
                tpot: Band { mu, sigma: tpot, groups: 0 },
                evidence: Evidence::Modelled,
                notes: Vec::new(),
            }
        }
    };
    let perf = c.accelerator.perf_id.as_deref().unwrap_or("");
    let elsewhere = find("tpot")
        .filter(|row| judged.evidence == Evidence::Calibrated && !row.systems.split(' ').any(|s| s == perf));
    if let Some(row) = elsewhere {
        let wider = |s: f64| crate::math::sqrt(s * s + RELATIVE * RELATIVE);
        judged.ttft.sigma = wider(judged.ttft.sigma);
        judged.tpot.sigma = wider(judged.tpot.sigma);
        notes.push(format!("error measured on {} only", row.systems));
    }
    let strange = match (judged.evidence, find("tpot")) {
        (Evidence::Calibrated, Some(row)) => [("ep", c.layout.ep), ("dp", c.layout.dp)]
            .into_iter()
            .find(|(name, n)| *n > 1 && !row.parallel.split(' ').any(|p| p == *name))
            .map(|(name, _)| {
                format!(
                    "{name} was not measured for {class} models with {} on {family}",
                    c.engine.name.as_str()
                )
            }),
        _ => None,
    };
    let unmeasured = match (judged.evidence, find("tpot")) {
        (Evidence::Calibrated, Some(row)) => {
            let name = precision.as_str();
            let known = row.precisions.split(' ').any(|p| p == name);
            (!known).then(|| {
                format!(
                    "{name} was not measured for {class} models with {} on {family}",
                    c.engine.name.as_str()
                )
            })
        }
        _ => None,
    };
    let mut widen = |why: &str| {
        let wider = |s: f64| crate::math::sqrt(s * s + EXTRAPOLATED * EXTRAPOLATED);
        judged.ttft.sigma = wider(judged.ttft.sigma);
        judged.tpot.sigma = wider(judged.tpot.sigma);
        judged.evidence = Evidence::Modelled;
        notes.push(why.to_owned());
    };
    for why in unmeasured.iter().chain(&strange) {
        widen(why);
    }
    if c.layout.pp > 1 {
        widen("pipeline parallelism was never measured");
    }
    if c.layout.accelerators() > c.accelerators_per_node.max(1) {
        widen("replicas over several machines were never measured");
    }
    if c.arch.linear_layers > 0 {
        widen("linear attention was never measured");
    }
    if c.fraction < 1.0 {
        notes.push("a part of an accelerator is taken to have its share of memory and speed".into());
    }
    if encoder {
        notes.push("encoders were never measured".into());
    }
    judged.notes = notes;
    judged
}
