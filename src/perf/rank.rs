//! One accelerator's part of a model under a layout: what it holds and what it multiplies.

use super::precision::Precision;
use super::types::{Configuration, DoesNotFit, Layout};
use crate::catalog::{ModelArch, ModelKind};

/// Per-accelerator sizes. Counts of parameters are per layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rank {
    pub tp: f64,
    pub pp: f64,
    pub dp: f64,
    pub ep: f64,
    /// How many ways tensor parallelism cuts each expert.
    pub moe_tp: f64,
    pub layers: f64,
    /// Layers without experts.
    pub dense_layers: f64,
    pub moe_layers: f64,
    /// Layers with a sliding window, and the window.
    pub window_layers: f64,
    pub window: f64,
    pub linear_layers: f64,
    /// Layers whose KV cache grows without bound.
    pub full_layers: f64,
    pub hidden: f64,
    /// Query heads.
    pub heads: f64,
    /// Elements of K and V that a token adds to a layer's cache.
    pub kv_elements: f64,
    /// Head sizes in prefill: of queries and of values.
    pub dq: f64,
    pub dv: f64,
    /// Attention projections.
    pub attention: f64,
    /// Dense feed-forward.
    pub ffn: f64,
    /// Matrices of a feed-forward, times two flops.
    pub matrices: f64,
    /// Routed experts, all of this rank.
    pub experts: f64,
    /// Shared expert.
    pub shared: f64,
    /// Embedding, one matrix.
    pub embedding: f64,
    /// Whether the output matrix is apart from the input matrix.
    pub untied: bool,
    /// Multi-head latent attention: rank of the cache and rotary part.
    pub mla: Option<(f64, f64)>,
    pub sparse_topk: Option<f64>,
    /// Encoders look both ways and cache nothing.
    pub encoder: bool,
}

/// Whether the layout divides the model, by the rules of the engines.
pub(crate) fn check_layout(c: &Configuration<'_>) -> Result<(), DoesNotFit> {
    let Layout { tp, pp, dp, ep } = c.layout;
    let arch = c.arch;
    let no = |reason: String| Err(DoesNotFit::Layout { reason });
    if tp == 0 || pp == 0 || dp == 0 || ep == 0 {
        return no("every part of a layout is at least 1".into());
    }
    let Some(group) = tp.checked_mul(dp) else { return no("the layout is too large".into()) };
    if group.checked_mul(pp).is_none_or(|g| g > 1024) {
        return no("more than 1024 accelerators in one replica".into());
    }
    if !tp.is_power_of_two() || tp > 8 {
        return no(format!("tp {tp}: engines take 1, 2, 4 or 8"));
    }
    if arch.heads == 0 || !arch.heads.is_multiple_of(tp) {
        return no(format!("tp {tp} does not divide {} attention heads", arch.heads));
    }
    if arch.kv_heads > 0
        && arch.mla.is_none()
        && !arch.kv_heads.is_multiple_of(tp)
        && !tp.is_multiple_of(arch.kv_heads)
    {
        return no(format!("tp {tp} neither divides nor is a multiple of {} key/value heads", arch.kv_heads));
    }
    if pp > arch.layers {
        return no(format!("pp {pp} is more than {} layers", arch.layers));
    }
    match &arch.moe {
        Some(moe) => {
            if ep > 1 && (!group.is_multiple_of(ep) || !moe.experts.is_multiple_of(ep)) {
                return no(format!(
                    "ep {ep} does not divide {group} accelerators of a stage and {} experts",
                    moe.experts
                ));
            }
            let cut = group / ep;
            if !moe.intermediate.is_multiple_of(cut) {
                return no(format!("experts of size {} cannot be cut {cut} ways", moe.intermediate));
            }
        }
        None if ep > 1 => return no("ep needs a mixture-of-experts model".into()),
        None if dp > 1 => {
            return no("dp inside a replica needs a mixture-of-experts model; use replicas".into());
        }
        None => {}
    }
    if arch.ffn > 0 && !arch.ffn.is_multiple_of(tp) {
        return no(format!("tp {tp} does not divide a feed-forward of {}", arch.ffn));
    }
    if c.fraction < 1.0 && c.layout.accelerators() > 1 {
        return no("a part of an accelerator cannot be joined with others".into());
    }
    if !(c.fraction > 0.0 && c.fraction <= 1.0) {
        return no(format!("{} of an accelerator", c.fraction));
    }
    let node = c.accelerators_per_node.max(1);
    if tp > node {
        return no(format!("tp {tp} needs the fast link, which joins {node} accelerators here"));
    }
    if c.layout.accelerators() > node && c.inter_node_bandwidth.is_none() {
        return no(format!(
            "{} accelerators span machines of {node}, and the network between them carries no RDMA",
            c.layout.accelerators()
        ));
    }
    if c.inter_node_bandwidth.is_some_and(|b| b.is_nan() || b <= 0.0) {
        return no("the network between machines must be faster than nothing".into());
    }
    Ok(())
}

impl Rank {
    /// The part of one accelerator; the layout was checked.
    pub fn of(arch: &ModelArch, layout: Layout) -> Self {
        let tp = f64::from(layout.tp);
        let dp = f64::from(layout.dp);
        let ep = f64::from(layout.ep);
        let moe_tp = (tp * dp / ep).max(1.0);
        let h = f64::from(arch.hidden);
        let heads = f64::from(arch.heads);
        let d = f64::from(arch.head_dim);
        let kv = (f64::from(arch.kv_heads) / tp).max(1.0);
        let layers = f64::from(arch.layers);
        let matrices = if arch.gated { 3.0 } else { 2.0 };
        let (attention, kv_elements, dq, dv, mla) = match &arch.mla {
            Some(m) => {
                let (c, r) = (f64::from(m.kv_lora_rank), f64::from(m.qk_rope_head_dim));
                let (n, v) = (f64::from(m.qk_nope_head_dim), f64::from(m.v_head_dim));
                let q = f64::from(m.q_lora_rank);
                let query = if q > 0.0 { h * q + q * heads * (n + r) / tp } else { h * heads * (n + r) / tp };
                let rest = h * (c + r) + (c * heads * (n + v) + heads * v * h) / tp;
                (query + rest, c + r, n + r, v, Some((c, r)))
            }
            None => (2.0 * h * heads * d / tp + 2.0 * h * kv * d, 2.0 * kv * d, d, d, None),
        };
        let (dense_layers, experts, shared) = match &arch.moe {
            Some(m) => {
                let i = f64::from(m.intermediate);
                (
                    f64::from(m.dense_layers.min(arch.layers)),
                    matrices * h * f64::from(m.experts) * i / (moe_tp * ep),
                    matrices * h * f64::from(m.shared) * i / tp,
                )
            }
            None => (layers, 0.0, 0.0),
        };
        let (window, window_layers) = arch.sliding.map_or((0, 0), |(w, n)| (w, n.min(arch.layers)));
        let linear = arch.linear_layers.min(arch.layers - window_layers);
        let encoder = matches!(arch.kind, ModelKind::Encoder | ModelKind::Embedding);
        Rank {
            tp,
            pp: f64::from(layout.pp),
            dp,
            ep,
            moe_tp,
            layers,
            dense_layers,
            moe_layers: layers - dense_layers,
            window_layers: f64::from(window_layers),
            window: f64::from(window),
            linear_layers: f64::from(linear),
            full_layers: f64::from(arch.layers - window_layers - linear),
            hidden: h,
            heads: heads / tp,
            kv_elements,
            dq,
            dv,
            attention,
            ffn: matrices * h * f64::from(arch.ffn) / tp,
            matrices,
            experts,
            shared,
            embedding: f64::from(arch.vocab) * h / tp,
            untied: !arch.tied_embeddings && !encoder,
            mla,
            sparse_topk: arch.sparse_topk.map(f64::from),
            encoder,
        }
    }

    /// Bytes of weights on the accelerator that holds most: embeddings are 16 bits, and with a
    /// pipeline the first and the last stage hold one matrix each.
    pub fn weight_bytes(&self, p: &Precision) -> f64 {
        let per_layers = self.layers * self.attention * p.attention_bytes
            + self.dense_layers * self.ffn * p.weight_bytes
            + self.moe_layers * (self.experts * p.expert_padding() + self.shared) * p.weight_bytes;
        let stage = libm::ceil(self.layers / self.pp) / self.layers.max(1.0);
        let matrices = if self.untied && self.pp <= 1.0 { 2.0 } else { 1.0 };
        per_layers * stage + matrices * self.embedding * 2.0
    }

    /// Bytes of KV cache that a sequence of `context` tokens takes on one accelerator of its stage.
    pub fn kv_bytes(&self, p: &Precision, context: f64) -> f64 {
        if self.encoder {
            return 0.0;
        }
        let per_layer = self.kv_elements * p.kv_bytes;
        let windowed = self.window_layers * context.min(self.window);
        let tokens = self.full_layers * context + windowed;
        (tokens * per_layer + self.linear_layers * self.state_bytes()) / self.pp
    }

    /// Bytes of recurrent state of a sequence in one linear-attention layer: a head_dim x head_dim
    /// matrix per head in 16 bits (assumed; the architecture record has no field for it).
    pub fn state_bytes(&self) -> f64 {
        self.heads * self.dq * self.dv * 2.0
    }
}
