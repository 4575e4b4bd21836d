//! What follows from a model's architecture: parameters, bytes of KV cache, divisors.

use super::{Mla, ModelArch, ModelKind, Moe, Provenance};
use crate::spec::Quantization;

/// A row of the models table.
pub(super) struct TableRow<'a> {
    pub id: String,
    pub kind: &'a str,
    pub layers: u32,
    pub hidden: u32,
    pub ffn: u32,
    pub gated: bool,
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    pub kv_lora_rank: Option<u32>,
    pub q_lora_rank: Option<u32>,
    pub qk_rope_head_dim: Option<u32>,
    pub qk_nope_head_dim: Option<u32>,
    pub v_head_dim: Option<u32>,
    pub experts: Option<u32>,
    pub experts_per_token: Option<u32>,
    pub shared_experts: Option<u32>,
    pub moe_intermediate: Option<u32>,
    pub dense_layers: Option<u32>,
    pub vocab: u32,
    pub max_context: u32,
    pub native_dtype: &'a str,
    pub sliding_window: Option<u32>,
    pub sliding_layers: Option<u32>,
    pub linear_layers: u32,
    pub sparse_topk: Option<u32>,
    pub tied_embeddings: bool,
    pub params_stated: Option<f64>,
    pub licence: Option<String>,
    pub provenance: Provenance,
}

/// A model of the catalogue; `None` for a kind that cannot be served.
pub(super) fn from_table(row: TableRow<'_>) -> Option<ModelArch> {
    let kind = match row.kind {
        "llm-dense" => ModelKind::Dense,
        "llm-moe" => ModelKind::Moe,
        "embedding" => ModelKind::Embedding,
        "encoder" => ModelKind::Encoder,
        _ => return None,
    };
    let native = match row.native_dtype {
        // All fp8 checkpoints of the table are in blocks of 128 (DeepSeek's scheme).
        "fp8" => Quantization::Fp8Block,
        "int4" => Quantization::Int4,
        "mxfp4" => Quantization::Mxfp4,
        _ => Quantization::Bf16,
    };
    let mla = row.kv_lora_rank.map(|kv_lora_rank| Mla {
        kv_lora_rank,
        q_lora_rank: row.q_lora_rank.unwrap_or(0),
        qk_rope_head_dim: row.qk_rope_head_dim.unwrap_or(0),
        qk_nope_head_dim: row.qk_nope_head_dim.unwrap_or(0),
        v_head_dim: row.v_head_dim.unwrap_or(0),
    });
    let moe = match (row.experts, row.experts_per_token, row.moe_intermediate) {
        (Some(experts), Some(per_token), Some(intermediate)) => Some(Moe {
            experts,
            per_token,
            shared: row.shared_experts.unwrap_or(0),
            intermediate,
            dense_layers: row.dense_layers.unwrap_or(0),
        }),
        _ => None,
    };
    let mut arch = ModelArch {
        id: row.id,
        kind,
        params: 0.0,
        params_active: 0.0,
        layers: row.layers,
        hidden: row.hidden,
        ffn: if moe.is_some_and(|m| m.dense_layers == 0) { 0 } else { row.ffn },
        gated: row.gated,
        heads: row.heads,
        kv_heads: row.kv_heads,
        head_dim: row.head_dim,
        mla,
        moe,
        vocab: row.vocab,
        max_context: row.max_context,
        native,
        sliding: row.sliding_window.zip(row.sliding_layers),
        linear_layers: row.linear_layers,
        sparse_topk: row.sparse_topk,
        tied_embeddings: row.tied_embeddings,
        licence: row.licence,
        provenance: row.provenance,
    };
    arch.count_parameters();
    // The table has no dimensions of linear attention, whose layers are larger than the attention
    // they replace: the publisher's total is the safer one.
    if arch.linear_layers > 0
        && let Some(stated) = row.params_stated.filter(|stated| *stated > arch.params)
    {
        if arch.moe.is_none() {
            arch.params_active *= stated / arch.params;
        }
        arch.params = stated;
    }
    Some(arch)
}

impl ModelArch {
    /// Parameters of the attention of one layer, without biases and norms.
    ///
    /// Plain: query, key, value and output matrices. MLA: the down- and up-projections of
    /// DeepSeek-V2 (arXiv 2405.04434, section 2.1) and the output matrix.
    pub fn attention_params(&self) -> f64 {
        let [h, heads, kv, d] = [self.hidden, self.heads, self.kv_heads, self.head_dim].map(f64::from);
        match self.mla {
            None => 2.0 * h * heads * d + 2.0 * h * kv * d,
            Some(mla) => {
                let [kv_rank, q_rank, rope, nope, v] = [
                    mla.kv_lora_rank,
                    mla.q_lora_rank,
                    mla.qk_rope_head_dim,
                    mla.qk_nope_head_dim,
                    mla.v_head_dim,
                ]
                .map(f64::from);
                let query = if q_rank > 0.0 {
                    h * q_rank + q_rank * heads * (nope + rope)
                } else {
                    h * heads * (nope + rope)
                };
                query + h * (kv_rank + rope) + kv_rank * heads * (nope + v) + heads * v * h
            }
        }
    }

    /// Parameters of one feed-forward block of the given inner size.
    pub fn ffn_params(&self, inner: u32) -> f64 {
        let matrices = if self.gated { 3.0 } else { 2.0 };
        matrices * f64::from(self.hidden) * f64::from(inner)
    }

    /// Layers with experts.
    pub fn moe_layers(&self) -> u32 {
        self.moe.map_or(0, |moe| self.layers.saturating_sub(moe.dense_layers))
    }

    /// Layers whose KV cache grows with the context.
    pub fn attention_layers(&self) -> u32 {
        self.layers.saturating_sub(self.linear_layers)
    }

    /// Values that one token leaves in the KV cache of one attention layer: keys and values of all
    /// KV heads, or the compressed latent and the rotary key of MLA.
    pub fn kv_values_per_token(&self) -> u32 {
        match self.mla {
            Some(mla) => mla.kv_lora_rank.saturating_add(mla.qk_rope_head_dim),
            None => self.kv_heads.saturating_mul(self.head_dim).saturating_mul(2),
        }
    }

    /// Whether weights can be split evenly over `n` accelerators: attention heads and inner sizes
    /// divide by it.
    pub fn splits_over(&self, n: u32) -> bool {
        let divides = |x: u32| n != 0 && x.is_multiple_of(n);
        let ffn = self.moe_layers() == self.layers || divides(self.ffn);
        divides(self.heads) && ffn && self.moe.is_none_or(|moe| divides(moe.intermediate))
    }

    /// Whether it generates text (has an output head).
    pub fn is_generative(&self) -> bool {
        matches!(self.kind, ModelKind::Dense | ModelKind::Moe)
    }

    /// Sets [`ModelArch::params`] and [`ModelArch::params_active`] from the other fields. Active
    /// counts everything but the experts that a token is not sent to, by the custom of model cards.
    pub(super) fn count_parameters(&mut self) {
        let [layers, h, vocab] = [self.layers, self.hidden, self.vocab].map(f64::from);
        let heads_of_vocab = if self.tied_embeddings || !self.is_generative() { 1.0 } else { 2.0 };
        let norms = (2.0 * layers + 1.0) * h;
        let moe_layers = f64::from(self.moe_layers());
        let mut total =
            layers * self.attention_params() + (layers - moe_layers) * self.ffn_params(self.ffn) + norms;
        total += heads_of_vocab * vocab * h;
        // BERT-like encoders learn one vector per position.
        if !self.is_generative() && !self.gated {
            total += f64::from(self.max_context) * h;
        }
        let mut active = total;
        if let Some(moe) = self.moe {
            let expert = self.ffn_params(moe.intermediate);
            let always = f64::from(moe.shared) * expert + f64::from(moe.experts) * h;
            total += moe_layers * (f64::from(moe.experts) * expert + always);
            active += moe_layers * (f64::from(moe.per_token) * expert + always);
        }
        self.params = total;
        self.params_active = active;
    }
}
