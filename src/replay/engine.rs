//! One replica: which sequences take part in a step, and what the step leaves behind.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use super::cache::PrefixCache;
use super::timing::{Step, Timing};

/// What bounds a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Most sequences at once (`max_num_seqs`); at least 1.
    pub sequences: u32,
    /// Tokens that the KV cache holds.
    pub kv_tokens: f64,
    /// Most tokens in a step (`max_num_batched_tokens`); at least 1.
    pub step_tokens: f64,
}

/// A request on its way through an engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    pub at_s: f64,
    /// Tokens to compute or find in the cache before the next token comes.
    pub prompt: f64,
    /// Tokens of the prompt that are in the prefix cache when it is admitted.
    pub cached: f64,
    /// Tokens still to generate.
    pub left: u32,
    pub output: u32,
    /// Step count of its replica when it began to decode.
    since: u64,
    /// Raised at each preemption: what was noted under another is void.
    epoch: u32,
    /// When the first token came; NaN before.
    pub first_s: f64,
    pub admitted_s: f64,
    /// Tokens that were found in a cache when it was first admitted.
    pub hit: f64,
    pub session: Option<u32>,
}

impl Sequence {
    pub fn new(at_s: f64, input: u32, cached: u32, output: u32, session: Option<u32>) -> Self {
        Sequence {
            at_s,
            prompt: f64::from(input.max(1)),
            cached: f64::from(cached.min(input.saturating_sub(1))),
            left: output,
            output,
            since: 0,
            epoch: 0,
            first_s: f64::NAN,
            admitted_s: f64::NAN,
            hit: 0.0,
            session,
        }
    }
}

/// A prompt of which a part is computed.
#[derive(Clone, Copy)]
struct Chunked {
    id: u32,
    done: f64,
}

/// Equal steps that run one after the other.
struct Block {
    start_s: f64,
    step_s: f64,
    steps: u64,
    /// Whether the steps only decode, so that an arrival may end the block early.
    decode: bool,
}

/// How a replica was used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Use {
    /// Seconds in which a step ran.
    pub busy_s: f64,
    /// Sequences that decoded, times seconds.
    pub sequence_s: f64,
    /// Requests that ended here.
    pub finished: u64,
    /// Sequences that lost their place in the KV cache and were computed again.
    pub preempted: u64,
    /// Most tokens in the KV cache.
    pub most_tokens: f64,
}

/// One replica.
pub(super) struct Replica {
    block: Option<Block>,
    /// Changes whenever the end of the block does.
    pub version: u32,
    waiting: VecDeque<u32>,
    chunked: Option<Chunked>,
    /// Prompts whose last part the running step computes.
    completing: Vec<u32>,
    /// Step count at which a sequence ends, sequence, epoch.
    ends: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// In order of admission, with epochs.
    admitted: Vec<(u32, u32)>,
    steps: u64,
    decoding: u32,
    /// Tokens of the sequences that decode.
    context: f64,
    /// Tokens of all admitted sequences.
    held: f64,
    pub cache: Option<PrefixCache>,
    /// Requests that arrived and have not ended.
    pub outstanding: u32,
    pub used: Use,
}

impl Replica {
    pub fn new(remembers: bool) -> Self {
        Replica {
            block: None,
            version: 0,
            waiting: VecDeque::new(),
            chunked: None,
            completing: Vec::new(),
            ends: BinaryHeap::new(),
            admitted: Vec::new(),
            steps: 0,
            decoding: 0,
            context: 0.0,
            held: 0.0,
            cache: remembers.then(PrefixCache::default),
            outstanding: 0,
            used: Use::default(),
        }
    }

    /// When the running block ends.
    pub fn end_s(&self) -> Option<f64> {
        self.block.as_ref().map(|b| b.start_s + b.step_s * b.steps as f64)
    }

    /// A request arrives.
    pub fn arrive(
        &mut self,
        now: f64,
        id: u32,
        sequences: &mut [Sequence],
        limits: &Limits,
        timing: &impl Timing,
    ) {
        self.outstanding += 1;
        let first = self.waiting.is_empty() && self.chunked.is_none();
        self.waiting.push_back(id);
        let Some(block) = &mut self.block else {
            self.start(now, sequences, limits, timing);
            return;
        };
        // It can join at the next step only if nothing was waiting, for else the batch is full already.
        let prompt = sequences[id as usize].prompt;
        if first
            && block.decode
            && self.decoding < limits.sequences
            && self.held + prompt + f64::from(self.decoding) <= limits.kv_tokens
        {
            let ran = libm::ceil((now - block.start_s) / block.step_s).max(1.0) as u64;
            if ran < block.steps {
                block.steps = ran;
                self.version += 1;
            }
        }
    }

    /// The running block is over: its tokens are there. Ended sequences are handed to `ended`.
    pub fn finish(&mut self, sequences: &mut [Sequence], mut ended: impl FnMut(u32, f64)) -> f64 {
        let Some(block) = self.block.take() else { return 0.0 };
        let length = block.step_s * block.steps as f64;
        let now = block.start_s + length;
        let grown = f64::from(self.decoding) * block.steps as f64;
        self.used.busy_s += length;
        self.used.sequence_s += f64::from(self.decoding) * length;
        self.steps += block.steps;
        self.context += grown;
        self.held += grown;
        self.used.most_tokens = self.used.most_tokens.max(self.held);
        while let Some(Reverse((at, id, epoch))) = self.ends.peek().copied() {
            let s = &sequences[id as usize];
            if s.epoch == epoch {
                if at > self.steps {
                    break;
                }
                let tokens = s.prompt + (self.steps - s.since) as f64;
                self.context -= tokens;
                self.decoding -= 1;
                self.release(id, tokens, sequences);
                ended(id, now);
            }
            self.ends.pop();
        }
        let mut completing = std::mem::take(&mut self.completing);
        for id in completing.drain(..) {
            let s = &mut sequences[id as usize];
            if s.first_s.is_nan() {
                s.first_s = now;
            }
            if s.left <= 1 {
                let tokens = s.prompt;
                self.release(id, tokens, sequences);
                ended(id, now);
            } else {
                s.since = self.steps;
                let at = self.steps + u64::from(s.left) - 1;
                self.decoding += 1;
                self.context += s.prompt;
                self.ends.push(Reverse((at, id, s.epoch)));
            }
        }
        self.completing = completing;
        now
    }

    fn release(&mut self, id: u32, tokens: f64, sequences: &mut [Sequence]) {
        self.held -= tokens;
        self.outstanding -= 1;
        self.used.finished += 1;
        let s = &mut sequences[id as usize];
        s.epoch += 1;
        if let (Some(cache), Some(session)) = (&mut self.cache, s.session) {
            cache.keep(session, tokens);
        }
    }

    /// The running sequence that was admitted last waits again, before all others.
    fn preempt(&mut self, sequences: &mut [Sequence]) {
        while let Some((id, epoch)) = self.admitted.pop() {
            let s = &mut sequences[id as usize];
            let decodes = self.ends.iter().any(|Reverse((_, other, e))| *other == id && *e == epoch);
            if s.epoch != epoch || !decodes {
                continue;
            }
            let made = self.steps - s.since + 1;
            let tokens = s.prompt + (self.steps - s.since) as f64;
            s.left = s.left.saturating_sub(made as u32).max(1);
            s.prompt += made as f64;
            s.cached = 0.0;
            s.epoch += 1;
            self.decoding -= 1;
            self.context -= tokens;
            self.held -= tokens;
            self.waiting.push_front(id);
            self.used.preempted += 1;
            return;
        }
    }

    /// Starts the next block, if there is anything to do.
    pub fn start(&mut self, now: f64, sequences: &mut [Sequence], limits: &Limits, timing: &impl Timing) {
        let mut preempted = false;
        while self.decoding > 1 && self.held + f64::from(self.decoding) > limits.kv_tokens {
            self.preempt(sequences);
            preempted = true;
        }
        let mut step = Step { decoding: self.decoding, context: self.context, ..Step::default() };
        let mut budget = limits.step_tokens - f64::from(self.decoding);
        if let Some(mut part) = self.chunked.take() {
            self.compute(&mut part, &mut budget, &mut step, sequences);
        }
        while !preempted && self.chunked.is_none() && budget >= 1.0 {
            let running = self.decoding as usize + self.completing.len();
            let Some(id) = self.waiting.front().copied() else { break };
            if running >= limits.sequences as usize {
                break;
            }
            let s = &mut sequences[id as usize];
            let growth = (running + 1) as f64;
            if running > 0 && self.held + s.prompt + growth > limits.kv_tokens {
                break;
            }
            self.waiting.pop_front();
            if let (Some(cache), Some(session)) = (&mut self.cache, s.session) {
                // A turn repeats the tokens of those before it; the last one is always computed.
                s.cached = s.cached.max(cache.take(session).min(s.prompt - 1.0));
            }
            if s.admitted_s.is_nan() {
                s.admitted_s = now;
                s.hit = s.cached;
            }
            self.held += s.prompt;
            self.admitted.push((id, s.epoch));
            let mut part = Chunked { id, done: s.cached };
            self.compute(&mut part, &mut budget, &mut step, sequences);
        }
        if let Some(cache) = &mut self.cache {
            cache.shrink(limits.kv_tokens - self.held - f64::from(self.decoding));
        }
        self.trim();
        let alone = step.new <= 0.0;
        if alone && self.decoding == 0 {
            self.block = None;
            return;
        }
        let mut steps = 1;
        if alone {
            let b = f64::from(self.decoding);
            let next = self.next_end(sequences).map_or(1, |at| at.saturating_sub(self.steps));
            let room = libm::floor((limits.kv_tokens - self.held) / b).max(1.0) as u64;
            // Longer contexts make longer steps: no more than a sixteenth of growth at once.
            let alike = (self.context / b / 16.0).max(8.0) as u64;
            steps = next.min(room).min(alike).max(1);
            step.context += b * steps as f64 / 2.0;
        }
        self.version += 1;
        self.block = Some(Block { start_s: now, step_s: timing.step(&step), steps, decode: alone });
    }

    /// Computes as much of a prompt as the budget allows.
    fn compute(&mut self, part: &mut Chunked, budget: &mut f64, step: &mut Step, sequences: &mut [Sequence]) {
        let total = sequences[part.id as usize].prompt;
        let chunk = (total - part.done).min(*budget);
        if chunk > 0.0 {
            let end = part.done + chunk;
            step.prompts += 1;
            step.new += chunk;
            step.pairs += end * end - part.done * part.done;
            part.done = end;
            *budget -= chunk;
        }
        if part.done >= total {
            self.completing.push(part.id);
        } else {
            self.chunked = Some(*part);
        }
    }

    fn next_end(&mut self, sequences: &[Sequence]) -> Option<u64> {
        while let Some(Reverse((at, id, epoch))) = self.ends.peek().copied() {
            if sequences[id as usize].epoch == epoch {
                return Some(at);
            }
            self.ends.pop();
        }
        None
    }

    /// Forgets the order of admission of sequences that are long gone.
    fn trim(&mut self) {
        if self.admitted.len() > 4096 && self.admitted.len() > 8 * self.decoding as usize {
            let decoding: BTreeSet<(u32, u32)> =
                self.ends.iter().map(|Reverse((_, id, epoch))| (*id, *epoch)).collect();
            let chunked = self.chunked.map(|c| c.id);
            let completing = &self.completing;
            self.admitted.retain(|(id, epoch)| {
                decoding.contains(&(*id, *epoch)) || chunked == Some(*id) || completing.contains(id)
            });
        }
    }
}
