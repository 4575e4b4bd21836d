//! Kernel curves: the whole roofline in one formula (design: `t0 + ((F/eP)^p + (B/eb)^p)^(1/p)`).

use super::data::{KernelFit, Library, Op, Tables, tables};
use super::precision::Peak;
use super::types::Configuration;
use crate::catalog::Accelerator;
use crate::math;

/// A curve with the accelerator's own rates put in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Curve {
    /// Seconds a flop at the efficiency of large problems.
    per_flop: f64,
    /// Seconds a byte.
    per_byte: f64,
    /// Seconds of a launch.
    pub t0: f64,
    /// Sharpness of the edge.
    p: f64,
    /// Its inverse.
    inverse_p: f64,
    /// Below this share of the larger side, the smaller one to the power of `p` is lost in rounding.
    negligible: f64,
}

impl Curve {
    fn new(fit: &KernelFit, peak: f64, bandwidth: f64) -> Self {
        Curve {
            per_flop: 1.0 / (fit.compute * peak),
            per_byte: 1.0 / (fit.bandwidth * bandwidth),
            t0: fit.t0,
            p: fit.p,
            inverse_p: 1.0 / fit.p,
            negligible: fit.negligible,
        }
    }

    /// Seconds for one launch of `flops` and `bytes`; a launch costs `launch` times its usual time.
    pub fn time(&self, flops: f64, bytes: f64, launch: f64) -> f64 {
        let a = flops * self.per_flop;
        let b = bytes * self.per_byte;
        let (hi, lo) = if a > b { (a, b) } else { (b, a) };
        let body = if hi <= 0.0 {
            0.0
        } else if self.p <= 1.0 {
            hi + lo
        } else {
            let ratio = lo / hi;
            if ratio < self.negligible {
                hi
            } else {
                hi * math::pow(1.0 + math::pow(ratio, self.p), self.inverse_p)
            }
        };
        self.t0 * launch + body
    }
}

/// What the accelerator can do, from its catalogue row, else from the performance tables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    pub bandwidth: f64,
    /// 16-bit rate, flop/s.
    pub sixteen: f64,
    fp8: Option<f64>,
    int8: Option<f64>,
    fp4: Option<f64>,
    /// Bytes/s to the neighbours, one direction.
    pub link: f64,
}

/// Where curves come from for an accelerator, nearest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chain {
    ids: [Option<u8>; 4],
    /// Whether the accelerator has curves of its own.
    pub own: bool,
    /// Where all-reduce figures come from.
    collectives: Option<u8>,
}

/// Hopper, Blackwell, ... by vendor and capability.
pub(crate) fn family(accelerator: &Accelerator) -> &'static str {
    let cc = accelerator.compute_capability.as_deref().unwrap_or("");
    if accelerator.vendor == "amd" {
        return "cdna";
    }
    match super::data::version(cc) {
        Some((7, 0..=4)) => "volta",
        Some((7, _)) => "turing",
        Some((8, 9)) => "ada",
        Some((8, _)) => "ampere",
        Some((9, _)) => "hopper",
        Some((10 | 11, _)) => "blackwell",
        Some((12, _)) => "blackwell-workstation",
        _ => "other",
    }
}

impl Rates {
    /// The rates of `fraction` of an accelerator; `Err` names what is unknown.
    pub fn of(accelerator: &Accelerator, fraction: f64, fp16: bool) -> Result<Self, String> {
        let t = tables();
        let spec = accelerator.perf_id.as_deref().and_then(|id| t.gpu(id)).and_then(|g| t.spec(g));
        let bandwidth = accelerator
            .memory_bandwidth
            .or_else(|| spec.map(|s| s.bandwidth))
            .ok_or_else(|| format!("the memory bandwidth of {} is unknown", accelerator.id))?;
        let sixteen = if fp16 { accelerator.fp16 } else { accelerator.bf16.or(accelerator.fp16) }
            .or_else(|| spec.and_then(|s| s.bf16))
            .ok_or_else(|| format!("the 16-bit rate of {} is unknown", accelerator.id))?;
        let pick = |own: Option<f64>, listed: Option<f64>| own.or(listed).map(|x| x * fraction);
        let pcie = 32e9;
        let link = accelerator
            .interconnect_bandwidth
            .map(|b| b / 2.0)
            .or_else(|| spec.and_then(|s| s.link))
            .unwrap_or(pcie);
        if !(bandwidth > 0.0 && sixteen > 0.0) {
            return Err(format!("the rates of {} are not positive", accelerator.id));
        }
        Ok(Rates {
            bandwidth: bandwidth * fraction,
            sixteen: sixteen * fraction,
            fp8: pick(accelerator.fp8, spec.and_then(|s| s.fp8)),
            int8: pick(accelerator.int8, spec.and_then(|s| s.int8)),
            fp4: pick(accelerator.fp4, spec.and_then(|s| s.fp4)),
            link: if link > 0.0 { link } else { pcie },
        })
    }

    /// The rate for a kernel; 16 bits where the accelerator lacks the format.
    fn peak(&self, peak: Peak) -> f64 {
        match peak {
            Peak::Sixteen => Some(self.sixteen),
            Peak::Fp8 => self.fp8,
            Peak::Int8 => self.int8,
            Peak::Fp4 => self.fp4,
        }
        .filter(|x| *x > 0.0)
        .unwrap_or(self.sixteen)
    }
}

impl Chain {
    /// The accelerators whose curves may stand in, nearest first: itself, its sibling, its
    /// generation, Hopper.
    pub fn of(accelerator: &Accelerator) -> Self {
        let t: &Tables = tables();
        let own = accelerator.perf_id.as_deref().and_then(|id| t.gpu(id)).filter(|g| t.has_curves(*g));
        let perf = accelerator.perf_id.as_deref().unwrap_or("");
        let sibling = match perf {
            "b300_sxm" | "gb200" => Some("b200_sxm"),
            "gb300" => Some("gb200"),
            "h200_sxm" => Some("h100_sxm"),
            "gh200" => Some("h200_sxm"),
            "rtx_4090" => Some("l40s"),
            _ => None,
        };
        let generation = match family(accelerator) {
            "volta" | "turing" | "ampere" => "a100_sxm",
            "ada" => "l40s",
            "blackwell" => "b200_sxm",
            "blackwell-workstation" => "rtx_pro_6000_server",
            _ => "h100_sxm",
        };
        let ids = [own, sibling.and_then(|s| t.gpu(s)), t.gpu(generation), t.gpu("h100_sxm")];
        let pcie = accelerator.interconnect.as_deref().is_none_or(|i| i.starts_with("pcie"));
        let collectives = if own.is_some() {
            own
        } else if pcie {
            t.gpu("l40s")
        } else {
            t.gpu(generation)
        };
        Chain { ids, own: own.is_some(), collectives }
    }

    /// The curve for an operation: format by format in order of preference, and for each the same
    /// accelerator and engine, the best fitting other engine, then the next accelerator.
    pub fn curve(
        &self,
        rates: &Rates,
        op: Op,
        formats: &[(super::data::Format, Peak)],
        library: Library,
    ) -> Option<Curve> {
        let t = tables();
        for (format, peak) in formats {
            for gpu in self.ids.iter().flatten() {
                if let Some(fit) = t.kernel_of_any(*gpu, op, *format, library) {
                    return Some(Curve::new(fit, rates.peak(*peak), rates.bandwidth));
                }
            }
        }
        None
    }

    /// Latency (s) and bandwidth (bytes/s) of an all-reduce over `n` accelerators.
    pub fn all_reduce(&self, c: &Configuration<'_>, rates: &Rates, n: u32) -> (f64, f64) {
        let found = self.collectives.and_then(|g| tables().all_reduce(g, c.engine.name.into(), n));
        match found {
            Some(row) => (row.latency, row.bandwidth),
            None => (10e-6, 0.45 * rates.link),
        }
    }
}
