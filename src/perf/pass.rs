//! One forward pass: kernels, communication and host time of a decode or a prefill step.

use super::constants::EngineConstants;
use super::data::{Library, Op};
use super::kernel::{Chain, Curve, Rates};
use super::precision::Precision;
use super::rank::Rank;
use super::types::{Configuration, DoesNotFit};
use crate::math;

/// Seconds by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    /// Attention projections.
    pub projections: f64,
    /// Attention over prompt or cache.
    pub attention: f64,
    /// Dense feed-forward.
    pub feed_forward: f64,
    /// Routed and shared experts.
    pub experts: f64,
    /// Norms, rotary embeddings, residuals.
    pub elementwise: f64,
    /// Launches that no curve holds.
    pub launches: f64,
    /// All-reduce, dispatch, hand-over between stages.
    pub communication: f64,
    /// Output head.
    pub head: f64,
    /// Scheduler and sampler on the host.
    pub host: f64,
}

impl Parts {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.projections
            + self.attention
            + self.feed_forward
            + self.experts
            + self.elementwise
            + self.launches
            + self.communication
            + self.head
            + self.host
    }

    /// Names of all parts but the host's, in the order of [`Parts::kernels`].
    pub const NAMES: [&'static str; 8] = [
        "projections",
        "attention",
        "feed_forward",
        "experts",
        "elementwise",
        "launches",
        "communication",
        "head",
    ];

    /// All parts but the host's.
    pub const fn kernels(&self) -> [f64; 8] {
        [
            self.projections,
            self.attention,
            self.feed_forward,
            self.experts,
            self.elementwise,
            self.launches,
            self.communication,
            self.head,
        ]
    }

    /// Seconds of all parts but the host's, each times its weight.
    pub fn weighted(&self, weights: &[f64; 8]) -> f64 {
        self.kernels().iter().zip(weights).map(|(x, w)| x * w).sum()
    }

    fn times(&self, weights: &[f64; 8], host: f64) -> Self {
        let mut k = self.kernels();
        for (x, w) in k.iter_mut().zip(weights) {
            *x *= w;
        }
        Parts {
            projections: k[0],
            attention: k[1],
            feed_forward: k[2],
            experts: k[3],
            elementwise: k[4],
            launches: k[5],
            communication: k[6],
            head: k[7],
            host,
        }
    }
}

/// How much of a kernel's launch time is left under CUDA graphs (fitted): GEMM, attention, MoE.
const GRAPH: (f64, f64, f64) = (0.42, 0.63, 0.79);

/// Everything a forward pass of a configuration needs.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub rank: Rank,
    precision: Precision,
    rates: Rates,
    engine: EngineConstants,
    projection: Curve,
    feed_forward: Curve,
    head: Curve,
    prefill_curve: Curve,
    decode_curve: Curve,
    moe: Option<Curve>,
    experts: Option<(f64, f64, f64)>,
    /// All-reduce over the tensor-parallel group: seconds, bytes/s.
    all_reduce: (f64, f64),
    /// Dispatch to experts: bytes/s.
    dispatch: f64,
    /// Between stages: bytes/s.
    stage: f64,
    vocab: f64,
    /// Most tokens in a step.
    chunk: f64,
    /// Whether the accelerator has curves of its own.
    pub own_curves: bool,
}

impl Pass {
    /// Looks up the curves.
    ///
    /// # Errors
    /// A rate of the accelerator is unknown.
    pub fn new(c: &Configuration<'_>, rank: Rank, precision: Precision) -> Result<Self, DoesNotFit> {
        let unknown = |reason: String| DoesNotFit::Unknown { reason };
        let rates = Rates::of(c.accelerator, c.fraction, precision.fp16).map_err(unknown)?;
        let chain = Chain::of(c.accelerator);
        let library = Library::from(c.engine.name);
        let curve = |op, formats| {
            chain
                .curve(&rates, op, formats, library)
                .ok_or_else(|| unknown(format!("no {op:?} curve stands in for {}", c.accelerator.id)))
        };
        let (prefill, decode) =
            if rank.mla.is_some() { (Op::MlaPrefill, Op::MlaDecode) } else { (Op::Prefill, Op::Decode) };
        let sixteen = &[(super::data::Format::Bf16, super::precision::Peak::Sixteen)];
        let spans = c.layout.accelerators() > c.accelerators_per_node.max(1);
        let network = c.inter_node_bandwidth.unwrap_or(rates.link).min(rates.link);
        let group_spans = c.layout.tp * c.layout.dp > c.accelerators_per_node.max(1);
        Ok(Pass {
            engine: EngineConstants::of(c.engine.name, precision.quantization),
            projection: curve(Op::Gemm, precision.attention_gemm)?,
            feed_forward: curve(Op::Gemm, precision.gemm)?,
            head: curve(Op::Gemm, sixteen)?,
            prefill_curve: curve(prefill, precision.prefill)?,
            decode_curve: curve(decode, precision.decode)?,
            moe: match c.arch.moe {
                Some(_) => Some(curve(Op::Moe, precision.moe)?),
                None => None,
            },
            experts: c
                .arch
                .moe
                .as_ref()
                .map(|m| (f64::from(m.experts), f64::from(m.per_token).max(1.0), f64::from(m.intermediate))),
            all_reduce: chain.all_reduce(c, &rates, c.layout.tp),
            dispatch: 0.5 * if group_spans { network } else { rates.link },
            stage: if spans { network } else { rates.link },
            vocab: f64::from(c.arch.vocab),
            chunk: f64::from(c.engine.max_num_batched_tokens.max(1)),
            own_curves: chain.own,
            rank,
            precision,
            rates,
        })
    }

    /// How it computes.
    pub const fn precision(&self) -> &Precision {
        &self.precision
    }

    /// The precision, resolved.
    pub const fn quantization(&self) -> crate::spec::Quantization {
        self.precision.quantization
    }

    /// Everything but attention itself, for `m` tokens of `n` sequences; experts see those of `ranks` attention ranks; `graph` as in [`GRAPH`].
    fn body(&self, m: f64, n: f64, ranks: f64, graph: (f64, f64, f64)) -> Parts {
        let r = &self.rank;
        let p = &self.precision;
        let h = r.hidden;
        let mut parts = Parts::default();
        let launches = if r.mla.is_some() { 5.0 } else { 2.0 };
        let gemm = |curve: &Curve, flops: f64, bytes: f64, launches: f64| {
            curve.time(flops, bytes, graph.0) + (launches - 1.0) * curve.t0 * graph.0
        };
        parts.projections = r.layers
            * gemm(
                &self.projection,
                2.0 * m * r.attention,
                r.attention * p.attention_bytes + 6.0 * m * h,
                launches,
            );
        if r.dense_layers > 0.0 {
            parts.feed_forward = r.dense_layers
                * gemm(&self.feed_forward, 2.0 * m * r.ffn, r.ffn * p.weight_bytes + 4.0 * m * h, 1.0);
        }
        if let (Some(curve), Some((experts, k, _))) = (&self.moe, self.experts) {
            let all = m * ranks;
            let local = experts / r.ep;
            let active = local * (1.0 - math::pow((1.0 - k / experts).max(0.0), all));
            let imbalance = if r.ep > 1.0 { 1.0 + 0.9 * (1.0 - math::exp(-all / 64.0)) } else { 1.0 };
            let per_expert = r.experts / local;
            let flops = 2.0 * all * k * r.experts / experts * imbalance;
            let bytes = active * per_expert * p.weight_bytes + all * k / r.ep * 3.0 * h;
            let routed = curve.time(flops, bytes, graph.2);
            let shared = if r.shared > 0.0 {
                gemm(&self.feed_forward, 2.0 * m * r.shared, r.shared * p.weight_bytes + 4.0 * m * h, 1.0)
            } else {
                0.0
            };
            parts.experts = r.moe_layers * (routed + shared);
        }
        // 49 passes over the hidden state a layer (fitted).
        parts.elementwise = r.layers * 49.0 * m * h * 2.0 / (0.8 * self.rates.bandwidth);
        let mla = if r.mla.is_some() { 13.0 * r.layers } else { 0.0 };
        let sparse = if r.sparse_topk.is_some() { 79.0 * r.layers } else { 0.0 };
        parts.launches =
            1e-6 * (24.0 * r.layers + 3.0 * r.moe_layers + mla + 15.0 * r.linear_layers + sparse);
        parts.communication = self.communication(m);
        if n > 0.0 && !r.encoder {
            parts.head =
                self.head.time(2.0 * n * h * self.vocab / r.tp, 2.0 * h * self.vocab / r.tp, graph.0);
        }
        parts
    }

    /// All-reduces of attention and feed-forward, dispatch to experts, hand-over between stages.
    fn communication(&self, m: f64) -> f64 {
        let r = &self.rank;
        let bytes = 2.0 * m * r.hidden;
        // Serving engines fuse and overlap: latency 1.9 times, bandwidth 2.5 times the table's (fitted).
        let reduce =
            if r.tp > 1.0 { 1.9 * self.all_reduce.0 + bytes / (2.5 * self.all_reduce.1) } else { 0.0 };
        // Ranks of a tensor-parallel group hold the same activations: each computes its own experts and the
        // all-reduce adds them up, whether experts are cut or dealt out. Only attention ranks with requests of
        // their own have tokens to send.
        let scattered = r.moe_layers > 0.0 && r.dp > 1.0;
        let reduces = if scattered { r.layers + r.dense_layers } else { 2.0 * r.layers };
        let mut time = reduces * reduce;
        if let (true, Some((_, k, _))) = (scattered, self.experts) {
            let group = r.tp * r.dp;
            time += r.moe_layers * (2.0 * 4.8e-6 + bytes * 3.0 * k.min(group) / self.dispatch);
        }
        if r.pp > 1.0 {
            time += (r.pp - 1.0) * (10e-6 + bytes / self.stage);
        }
        time
    }

    /// A decode step of one rank as its engine runs it: `n` sequences with `context` tokens each.
    pub fn decode(&self, n: f64, context: f64) -> Parts {
        let e = &self.engine;
        self.decode_kernels(n, context).times(&e.decode, e.host_s + e.sequence_s * n)
    }

    /// The prefill of `n` prompts of `tokens` tokens of which the last `new` are computed, as its
    /// engine runs it.
    pub fn prefill(&self, n: f64, tokens: f64, new: f64) -> Parts {
        let e = &self.engine;
        self.prefill_kernels(n, tokens, new).times(&e.prefill, e.host_prefill_s)
    }

    /// Seconds of a prompt that is alone and takes the kernels and a step's host time `seconds`.
    pub fn alone(&self, seconds: f64) -> f64 {
        let r = &self.rank;
        self.engine.alone(seconds, r.layers, r.moe_layers > 0.0, r.mla.is_some())
    }

    /// A decode step by the kernel curves alone.
    pub fn decode_kernels(&self, n: f64, context: f64) -> Parts {
        let mut parts = self.body(n, n, self.rank.dp, GRAPH);
        parts.attention = self.decode_attention(n, context);
        parts
    }

    /// Seconds of decode steps of `n` sequences at each of the contexts, as [`Pass::decode`]: only attention
    /// looks at the context.
    pub fn decode_over<const N: usize>(&self, n: f64, contexts: &[f64; N]) -> [f64; N] {
        let e = &self.engine;
        let mut parts = self.body(n, n, self.rank.dp, GRAPH);
        contexts.map(|context| {
            parts.attention = self.decode_attention(n, context);
            parts.times(&e.decode, e.host_s + e.sequence_s * n).total()
        })
    }

    fn decode_attention(&self, n: f64, context: f64) -> f64 {
        let r = &self.rank;
        let p = &self.precision;
        let attend = |context: f64| {
            let (flops, bytes) = match r.mla {
                Some((c, rope)) => {
                    (2.0 * n * context * r.heads * (2.0 * c + rope), n * context * (c + rope) * p.kv_bytes)
                }
                None => (4.0 * n * context * r.heads * r.dq, n * context * r.kv_elements * p.kv_bytes),
            };
            self.decode_curve.time(flops, bytes, GRAPH.1)
        };
        let seen = r.sparse_topk.map_or(context, |k| context.min(k));
        r.full_layers * attend(seen)
            + if r.window_layers > 0.0 { r.window_layers * attend(seen.min(r.window)) } else { 0.0 }
            + r.linear_layers * 2.0 * n * r.state_bytes() / (0.8 * self.rates.bandwidth)
    }

    /// A prefill by the kernel curves alone: in one step or, beyond the token budget, in as many as it
    /// takes.
    pub fn prefill_kernels(&self, n: f64, tokens: f64, new: f64) -> Parts {
        self.prefill_on(self.rank.dp, n, tokens, new)
    }

    /// The same while the other attention ranks have no prompt: the experts see the tokens of one rank.
    pub fn prefill_alone(&self, tokens: f64, new: f64) -> Parts {
        self.prefill_on(1.0, 1.0, tokens, new)
    }

    fn prefill_on(&self, ranks: f64, n: f64, tokens: f64, new: f64) -> Parts {
        let r = &self.rank;
        let p = &self.precision;
        let m = n * new;
        let steps = (m / self.chunk).max(1.0);
        let mut parts = self.body(m / steps, n / steps, ranks, (1.0, 1.0, 1.0)).times(&[steps; 8], 0.0);
        let cached = tokens - new;
        let attend = |seen: f64| {
            // Causal: a new token sees on average the cached tokens and half of the new ones.
            let span = if r.encoder { 2.0 * tokens } else { (2.0 * cached + new).min(2.0 * seen) };
            let flops = m * r.heads * span * (r.dq + r.dv);
            let bytes = m * r.heads * (r.dq + r.dv) * 2.0 + n * tokens * r.kv_elements * p.kv_bytes;
            self.prefill_curve.time(flops, bytes, steps)
        };
        let seen = r.sparse_topk.map_or(tokens, |k| tokens.min(k));
        parts.attention = r.full_layers * attend(seen)
            + if r.window_layers > 0.0 { r.window_layers * attend(seen.min(r.window)) } else { 0.0 }
            + r.linear_layers * m * r.heads * 4.0 * r.dq * r.dv / (0.3 * self.rates.sixteen);
        parts
    }
}
