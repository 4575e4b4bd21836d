//! Joules of a token by phase: the power of the accelerators, from how busy their arithmetic and their
//! memory are, over the rate of the phase.
//!
//! `P = TDP * min(1, idle + memory * bytes/s / peak + arithmetic * flops/s / peak)`. The three shares are
//! assumed, between two published anchors that are far apart: an H100 of 700 W at about 300 W with one
//! sequence and 600 W with 128 (ML.ENERGY benchmark v3, arXiv 2601.22076, as quoted by the vLLM semantic
//! router's power model), an H200 of 700 W at 137 to 300 W while it decodes (arXiv 2605.11999). Hosts,
//! fans and the building are not in it.

use super::types::{Configuration, ServiceCurve};
use crate::spec::Quantization;

/// Of an accelerator that waits.
const IDLE: f64 = 0.15;
/// Of its memory at full rate.
const MEMORY: f64 = 0.40;
/// Of its arithmetic at full rate.
const ARITHMETIC: f64 = 0.90;
/// The truth lies between the figure over this and the figure times this in four of five cases (assumed).
pub const FACTOR: f64 = 1.6;

/// Energy of a replica's tokens, and the power of one accelerator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Energy {
    /// Joules of a generated token, of all accelerators of the replica; 0 for an encoder.
    pub decode_j_per_token: f64,
    /// Joules of a prompt's token.
    pub prefill_j_per_token: f64,
    /// Watts of one accelerator while it decodes.
    pub decode_watts: f64,
    /// Watts of one accelerator in a prefill.
    pub prefill_watts: f64,
    /// Watts of one accelerator at most, as its vendor states.
    pub tdp_watts: f64,
}

/// The share of the board power at these shares of the peak rates.
pub(super) fn power(bytes: f64, flops: f64) -> f64 {
    (IDLE + MEMORY * bytes.clamp(0.0, 1.0) + ARITHMETIC * flops.clamp(0.0, 1.0)).min(1.0)
}

/// Energy of a replica that decodes `batch` sequences; `None` where board power or a rate is not known.
pub fn energy(c: &Configuration<'_>, curve: &ServiceCurve, batch: f64) -> Option<Energy> {
    let tdp = c.accelerator.tdp_watts.filter(|w| *w > 0.0)? * c.fraction;
    let bandwidth = c.accelerator.memory_bandwidth.filter(|b| *b > 0.0)? * c.fraction;
    let sixteen = c.accelerator.bf16.or(c.accelerator.fp16)?;
    let peak = match super::resolved(c.arch, c.quantization) {
        Quantization::Fp8 | Quantization::Fp8Block => c.accelerator.fp8.unwrap_or(sixteen),
        Quantization::Int8 => c.accelerator.int8.unwrap_or(sixteen),
        Quantization::Nvfp4 => c.accelerator.fp4.or(c.accelerator.fp8).unwrap_or(sixteen),
        _ => sixteen,
    } * c.fraction;
    let n = f64::from(c.layout.accelerators().max(1));
    let shape = &curve.shape;
    let flops = 2.0 * c.arch.params_active / n;
    let batch = batch.max(1.0).min(f64::from(curve.max_batch.max(1)));
    let held = shape.input.mean + shape.output.mean / 2.0;
    // Experts that no token of the batch goes to are not read.
    let touched = (batch * c.arch.params_active / c.arch.params.max(1.0)).min(1.0);
    let read = curve.memory.weights * touched
        + curve.memory.kv_per_token * held * batch / f64::from(c.layout.dp.max(1));
    let step = curve.alpha_s + curve.beta_s * batch;
    let decode = tdp * power(read / step / bandwidth, flops * batch / step / peak);
    let new = shape.input.mean * (1.0 - shape.prefix_cached);
    if !(step > 0.0 && curve.w_s > 0.0 && new > 0.0) {
        return None;
    }
    let prefill = tdp * power(0.0, flops * new / curve.w_s / peak);
    let generates = shape.output.mean > 0.0;
    Some(Energy {
        decode_j_per_token: if generates { decode * n * step / batch } else { 0.0 },
        prefill_j_per_token: prefill * n * curve.w_s / new,
        decode_watts: decode,
        prefill_watts: prefill,
        tdp_watts: tdp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_by_hand() {
        assert_eq!(power(0.0, 0.0), 0.15);
        assert!((power(0.5, 0.25) - (0.15 + 0.2 + 0.225)).abs() < 1e-12);
        assert_eq!(power(1.0, 1.0), 1.0);
        // The anchors are inside of the band: one sequence on an H100 at two thirds of the bandwidth,
        // many at most of both, an H200 with short contexts.
        for (share, bytes, flops) in
            [(300.0 / 700.0, 0.67, 0.01), (600.0 / 700.0, 0.75, 0.3), (300.0 / 700.0, 0.5, 0.1)]
        {
            let ratio: f64 = share / power(bytes, flops);
            assert!(ratio < FACTOR && ratio > 1.0 / FACTOR, "{ratio}");
        }
    }

    /// A batch spreads the power over more tokens; power stays between idle and the board's.
    #[test]
    fn joules_fall_with_the_batch() {
        let catalog = crate::catalog::Catalog::embedded();
        let gpu = |id: &str| catalog.accelerators[catalog.accelerator(id).unwrap()].clone();
        let arch = |id: &str| catalog.resolve_checkpoint(id).unwrap().0.clone();
        for model in ["meta-llama/Meta-Llama-3.1-8B", "Qwen/Qwen3-30B-A3B"] {
            for id in ["h100-sxm-80gb", "a100-sxm-80gb", "l40s-48gb", "b200-sxm-180gb"] {
                let (arch, gpu) = (arch(model), gpu(id));
                let c = crate::perf::testing::configuration(&arch, &gpu, 2);
                let curve = crate::perf::curve(&c, &crate::perf::testing::shape(1000.0, 200.0)).unwrap();
                let mut last = f64::INFINITY;
                for batch in [1.0, 2.0, 8.0, 32.0, 100.0, 256.0] {
                    let e = energy(&c, &curve, batch).unwrap();
                    assert!(e.decode_j_per_token <= last + 1e-12, "{model} {id} {batch}: {e:?}");
                    assert!(e.decode_watts >= IDLE * e.tdp_watts && e.decode_watts <= e.tdp_watts);
                    assert!(e.prefill_watts > e.tdp_watts * IDLE && e.prefill_j_per_token > 0.0);
                    last = e.decode_j_per_token;
                }
                let unknown = crate::catalog::Accelerator { tdp_watts: None, ..gpu.clone() };
                assert!(energy(&Configuration { accelerator: &unknown, ..c }, &curve, 8.0).is_none());
            }
        }
    }
}
