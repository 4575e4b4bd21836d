//! From forward passes to a service curve.

use super::bands::judge;
use super::ledger::{self, Conditions, Residual};
use super::memory;
use super::pass::{Parts, Pass};
use super::types::{
    Configuration, DoesNotFit, MemoryFit, PromptTime, RequestShape, ServiceCurve, StepTable, Term,
};
use crate::math;

/// Nodes and weights of five-point Gauss-Hermite quadrature for a standard normal variable.
const NODES: [(f64, f64); 5] = [
    (-2.856_970_013_872_806, 0.011_257_411_327_720_7),
    (-1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (0.0, 0.533_333_333_333_333_3),
    (1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (2.856_970_013_872_806, 0.011_257_411_327_720_7),
];

/// Seconds before a prompt reaches the engine: of the first fit of [`super::Harness::start_s`] on vLLM's
/// benchmarks, taken for all engines and kept apart from later fits, which describe a benchmark's client.
const BEFORE_ENGINE_S: f64 = 0.0134;

/// Mean and second moment of `f` over a lognormal length of this mean and squared coefficient of
/// variation, cut at `max`.
fn over_lengths(mean: f64, cv2: f64, max: f64, f: impl Fn(f64) -> f64) -> (f64, f64) {
    if cv2 <= 0.0 {
        let y = f(mean);
        return (y, y * y);
    }
    let variance = math::ln(1.0 + cv2);
    let (mu, sigma) = (math::ln(mean) - variance / 2.0, math::sqrt(variance));
    let mut first = 0.0;
    let mut second = 0.0;
    for (z, weight) in NODES {
        let y = f(math::exp(mu + sigma * z).clamp(1.0, max.max(1.0)));
        first += weight * y;
        second += weight * y * y;
    }
    (first, second)
}

/// `alpha + beta * b` through points `(b, seconds)` by least squares of the relative error, both at
/// least 0: near the small batches that light load runs at and the large ones that set the capacity.
fn linearise(points: &[(f64, f64)]) -> (f64, f64) {
    let (mut s, mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y) in points {
        let w = 1.0 / (y * y);
        s += w;
        sx += w * x;
        sy += w * y;
        sxx += w * x * x;
        sxy += w * x * y;
    }
    let det = s * sxx - sx * sx;
    let beta = if det > 0.0 { ((s * sxy - sx * sy) / det).max(0.0) } else { 0.0 };
    let alpha = (sy - beta * sx) / s;
    if alpha > 0.0 { (alpha, beta) } else { (points.first().map_or(0.0, |p| p.1) * 0.5, sxy / sxx) }
}

fn terms(parts: &Parts, decode: bool) -> Vec<Term> {
    let names = if decode {
        [
            "attention projections",
            "attention over the KV cache",
            "dense feed-forward",
            "experts",
            "elementwise kernels",
            "launches",
            "communication",
            "output head",
            "host",
        ]
    } else {
        [
            "attention projections",
            "attention over the prompt",
            "dense feed-forward",
            "experts",
            "elementwise kernels",
            "launches",
            "communication",
            "output head",
            "host",
        ]
    };
    let values = [
        parts.projections,
        parts.attention,
        parts.feed_forward,
        parts.experts,
        parts.elementwise,
        parts.launches,
        parts.communication,
        parts.head,
        parts.host,
    ];
    names
        .into_iter()
        .zip(values)
        .filter(|(_, v)| *v > 0.0)
        .map(|(name, v)| Term { name, ms: v * 1e3 })
        .collect()
}

/// As [`super::curve()`].
pub(crate) fn curve(c: &Configuration<'_>, shape: &RequestShape) -> Result<ServiceCurve, DoesNotFit> {
    let (memory, rank, precision) = memory::fit(c, shape)?;
    let note = precision.note;
    let quantization = precision.quantization;
    let pass = Pass::new(c, rank, precision)?;
    let measured = ledger::measured(c, &Conditions::default());
    let judged = judge(c, &measured, quantization, pass.own_curves, shape);
    let slower = math::exp(judged.slower);
    let mut notes = judged.notes;
    notes.extend(note.map(str::to_owned));
    let figures = if shape.output.mean > 0.0 && !rank.encoder {
        decoder(c, &pass, shape, &memory, &measured.residual, &mut notes)
    } else {
        encoder(c, &pass, shape, &memory)
    };
    let curve = ServiceCurve {
        alpha_s: figures.alpha,
        beta_s: figures.beta,
        w_s: figures.w,
        w2_s2: figures.w2.max(figures.w * figures.w),
        ttft_floor_s: figures.floor,
        prompt: figures.prompt,
        steps: figures.steps,
        max_batch: figures.max_batch,
        shape: *shape,
        memory,
        ttft_band: judged.ttft,
        tpot_band: judged.tpot,
        evidence: judged.evidence,
        notes,
        decode_terms: figures.decode_terms,
        prefill_terms: figures.prefill_terms,
        launches: false,
    };
    Ok(if slower > 1.0 { curve.slowed(slower) } else { curve })
}

struct Figures {
    alpha: f64,
    beta: f64,
    w: f64,
    w2: f64,
    floor: f64,
    prompt: PromptTime,
    steps: Option<StepTable>,
    max_batch: u32,
    decode_terms: Vec<Term>,
    prefill_terms: Vec<Term>,
}

/// New tokens of a prompt of `tokens`: at least one is always computed.
fn uncached(shape: &RequestShape, tokens: f64) -> f64 {
    ((1.0 - shape.prefix_cached.clamp(0.0, 1.0)) * tokens).max(1.0).min(tokens.max(1.0))
}

/// Decoders: steps at nine batch sizes spaced evenly in the logarithm from 1 to the largest, a line through five of them, and the
/// marginal prefill time of a prompt that shares its step with others up to the token budget. Under a prompt that is
/// alone lie the launches of its layers.
fn decoder(
    c: &Configuration<'_>,
    pass: &Pass,
    shape: &RequestShape,
    memory: &MemoryFit,
    residual: &Residual,
    notes: &mut Vec<String>,
) -> Figures {
    let rank = &pass.rank;
    let lanes = rank.dp * rank.pp;
    let context = shape.input.mean + shape.output.mean / 2.0;
    let max = f64::from(memory.max_sequences.max(1));
    let step = |b: f64| pass.decode((b / lanes).max(1.0), context);
    // What was measured beyond the physics stretches every engine time alike; of the time to first token
    // the ledger knows only a benchmark's.
    let gpus = f64::from(c.layout.accelerators());
    let factor = |b: f64| {
        let at = ledger::variables(b / lanes, shape.input.mean, shape.output.mean, gpus);
        math::exp(residual.at(&at).1)
    };
    let mut steps = StepTable {
        batches: [1.0; StepTable::BATCHES],
        contexts: [context / 2.0, context, context * 2.0],
        seconds: [[0.0; StepTable::BATCHES]; StepTable::CONTEXTS],
    };
    let (log, last) = (math::ln(max), StepTable::BATCHES - 1);
    for i in 0..=last {
        let b = if i == last { max } else { math::exp(log * i as f64 / last as f64) };
        steps.batches[i] = b;
        let factor = factor(b);
        let times = pass.decode_over((b / lanes).max(1.0), &steps.contexts);
        for (seconds, time) in steps.seconds.iter_mut().zip(times) {
            seconds[i] = time * factor;
        }
    }
    let points: [(f64, f64); 5] = std::array::from_fn(|i| (steps.batches[2 * i], steps.seconds[1][2 * i]));
    let (mut alpha, beta) = linearise(&points);
    // Steps of mixtures rise steeply until every expert is in use. The line may be slow at small
    // batches, never more than a tenth too quick at others.
    alpha += points
        .iter()
        .filter(|(b, _)| *b >= 2.0)
        .map(|(b, t)| t / 1.1 - (alpha + beta * b))
        .fold(0.0, f64::max);
    let worst = points
        .iter()
        .map(|(b, t)| (alpha + beta * b) / t - 1.0)
        .fold(0.0, |w: f64, e| if e.abs() > w.abs() { e } else { w });
    if worst.abs() > 0.2 {
        notes.push(format!(
            "step time is not linear in the batch: the line is up to {:+.0} % off",
            worst * 100.0
        ));
    }
    let budget = f64::from(c.engine.max_num_batched_tokens.max(1));
    let together = (budget / uncached(shape, shape.input.mean)).clamp(1.0, (max / (4.0 * lanes)).max(1.0));
    let stretch = factor(math::sqrt(max));
    let (w, w2) = over_lengths(shape.input.mean.max(1.0), shape.input.cv2, shape.input.max, |tokens| {
        pass.prefill(together, tokens, uncached(shape, tokens)).total() * stretch / together / lanes
    });
    let marginal = |tokens: f64| {
        let new = uncached(shape, tokens);
        (
            new,
            tokens * tokens - (tokens - new) * (tokens - new),
            pass.prefill(together, tokens, new).total() * stretch / together / lanes,
        )
    };
    let prompt = prompt_time(
        w,
        marginal(shape.input.mean.max(1.0)),
        marginal((2.0 * shape.input.mean).min(shape.input.max.max(shape.input.mean * 1.25)).max(2.0)),
    );
    let alone = pass.prefill(1.0, shape.input.mean.max(1.0), uncached(shape, shape.input.mean.max(1.0)));
    let mut prefill_terms = terms(&alone, false);
    prefill_terms
        .push(Term { name: "before the engine: HTTP, tokenizer, scheduler", ms: BEFORE_ENGINE_S * 1e3 });
    Figures {
        alpha,
        beta,
        w,
        w2,
        floor: pass.alone(alone.total()).max(w) + BEFORE_ENGINE_S,
        prompt,
        steps: Some(steps),
        max_batch: memory.max_sequences.max(1),
        decode_terms: terms(&step(max), true),
        prefill_terms,
    }
}

/// Tokens and pairs of a usual and a long prompt with their times, to the time of either; scaled so that
/// the mean over all lengths is `mean`.
fn prompt_time(mean: f64, usual: (f64, f64, f64), long: (f64, f64, f64)) -> PromptTime {
    let ((n1, p1, t1), (n2, p2, t2)) = (usual, long);
    let det = n1 * p2 - n2 * p1;
    let pair = if det > 0.0 { ((n1 * t2 - n2 * t1) / det).clamp(0.0, t1 / p1) } else { 0.0 };
    let token = (t1 - pair * p1) / n1;
    let scale = mean / t1;
    PromptTime { per_token_s: token * scale, per_pair_s: pair * scale, before_s: BEFORE_ENGINE_S }
}

/// Encoders: `alpha + beta * n` is the time of a step over `n` texts; as many texts share a step as
/// the token budget and `max_num_seqs` allow.
fn encoder(c: &Configuration<'_>, pass: &Pass, shape: &RequestShape, memory: &MemoryFit) -> Figures {
    let tokens = shape.input.mean.max(1.0);
    let lanes = pass.rank.dp * pass.rank.pp;
    let budget = f64::from(c.engine.max_num_batched_tokens.max(1));
    let new = uncached(shape, tokens);
    let most = libm::floor(budget / new).clamp(1.0, f64::from(c.engine.max_num_seqs.max(1)));
    let most = most.min(f64::from(memory.max_sequences.max(1)));
    let step = |n: f64| pass.prefill(n, tokens, new).total() / lanes;
    let mut points = [(1.0, 0.0); 5];
    let log = math::ln(most);
    for (i, point) in points.iter_mut().enumerate() {
        let n = if i == 4 { most } else { math::exp(log * i as f64 / 4.0) };
        *point = (n, step(n));
    }
    let (alpha, beta) = linearise(&points);
    let w = (alpha + beta * most) / most;
    let (mean, second) = over_lengths(tokens, shape.input.cv2, shape.input.max, |x| {
        pass.prefill(most, x, uncached(shape, x)).total() / most / lanes
    });
    let spread = if mean > 0.0 { (second / (mean * mean)).max(1.0) } else { 1.0 };
    let alone = pass.prefill(1.0, tokens, new);
    Figures {
        alpha,
        beta,
        w,
        w2: w * w * spread,
        floor: (alpha + beta).max(alone.total() / lanes),
        prompt: PromptTime { per_token_s: 0.0, per_pair_s: 0.0, before_s: 0.0 },
        steps: None,
        max_batch: most as u32,
        decode_terms: Vec::new(),
        prefill_terms: terms(&alone, false),
    }
}
