//! Decoding on processors (llama.cpp): one sequence, bound by the main memory.

use super::types::{Band, DoesNotFit};
use crate::catalog::ModelArch;
use crate::spec::Quantization;

/// Share of the memory bandwidth that decoding reaches: mean of four runs of Phi-4 14B on one AMD EPYC
/// 9554 with twelve channels (0.565 in Q4_K_M, 0.585, 0.607, 0.649 in Q8_0; ahelpme.com/?p=6685).
pub const EFFICIENCY: f64 = 0.60;
/// Width for other processors and models, which nobody measured here: a factor of 1.6 holds four of five
/// (assumed).
pub const BAND: Band = Band { mu: 0.0, sigma: 0.37, groups: 0 };

/// Bytes of a parameter in llama.cpp's formats: Q4_K_M and Q8_0 by the file sizes of those runs (8.43 and
/// 14.51 GiB of 14.66 billion parameters).
fn bytes_per_parameter(q: Quantization) -> Option<f64> {
    match q {
        Quantization::Bf16 => Some(2.0),
        Quantization::Int8 => Some(1.063),
        Quantization::Int4 => Some(0.617),
        _ => None,
    }
}

/// What decoding one sequence on a processor reads and how fast it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuDecode {
    /// Bytes of all weights.
    pub weights: f64,
    /// Bytes read for a token: the weights that it uses, and its 16-bit cache.
    pub read: f64,
    /// Tokens/s of one sequence.
    pub tokens_per_s: f64,
}

/// Decodes one sequence of `context` tokens with a main memory of `bandwidth` bytes/s.
///
/// # Errors
/// A precision without such a format, a model that does not generate, a context beyond the model's, or no bandwidth.
pub fn decode(
    arch: &ModelArch,
    quantization: Quantization,
    context: f64,
    bandwidth: f64,
) -> Result<CpuDecode, DoesNotFit> {
    if !arch.is_generative() || arch.linear_layers > 0 {
        let reason =
            format!("{}: on processors only decoders with attention in every layer are predicted", arch.id);
        return Err(DoesNotFit::Engine { reason });
    }
    let Some(bytes) = bytes_per_parameter(quantization) else {
        let reason = format!(
            "{}: on processors bf16, int8 (Q8_0) and int4 (Q4_K_M) are predicted",
            quantization.as_str()
        );
        return Err(DoesNotFit::Precision { reason });
    };
    if !(bandwidth > 0.0 && bandwidth.is_finite()) {
        return Err(DoesNotFit::Unknown { reason: "the bandwidth of the main memory".into() });
    }
    if context > f64::from(arch.max_context) {
        return Err(DoesNotFit::Context { needed: context, available: f64::from(arch.max_context) });
    }
    let cache = f64::from(arch.attention_layers()) * f64::from(arch.kv_values_per_token()) * 2.0;
    let embedding = f64::from(arch.vocab) * f64::from(arch.hidden);
    // Of an input matrix only a row is read.
    let used = if arch.tied_embeddings { arch.params_active } else { arch.params_active - embedding };
    let read = used * bytes + cache * context.max(0.0);
    Ok(CpuDecode { weights: arch.params * bytes, read, tokens_per_s: EFFICIENCY * bandwidth / read })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arch(id: &str) -> ModelArch {
        crate::catalog::Catalog::embedded().resolve_checkpoint(id).unwrap().0.clone()
    }

    /// By hand: Llama-3.1-8B has 8.03 billion parameters, 0.525 of them in the input matrix, and 131072
    /// bytes of 16-bit cache a token.
    #[test]
    fn llama_by_hand() {
        let a = arch("meta-llama/Meta-Llama-3.1-8B");
        let d = decode(&a, Quantization::Int4, 1000.0, 460.8e9).unwrap();
        let read = (a.params - 128_256.0 * 4096.0) * 0.617 + 131_072.0 * 1000.0;
        assert!((d.read / read - 1.0).abs() < 1e-12);
        assert!((d.tokens_per_s / (0.6 * 460.8e9 / read) - 1.0).abs() < 1e-12);
        let wider = decode(&a, Quantization::Int8, 1000.0, 460.8e9).unwrap();
        assert!(wider.tokens_per_s < d.tokens_per_s && wider.weights > d.weights);
    }

    #[test]
    fn what_cannot_be_gets_a_reason() {
        let a = arch("meta-llama/Meta-Llama-3.1-8B");
        let rule = |q, context, b| decode(&a, q, context, b).unwrap_err().rule();
        assert_eq!(rule(Quantization::Nvfp4, 10.0, 1e11), "precision");
        assert_eq!(rule(Quantization::Int4, 1e7, 1e11), "context");
        for bandwidth in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(rule(Quantization::Int4, 10.0, bandwidth), "unknown");
        }
    }
}
