//! A token-level replay of serving: what a fleet of engines does with given requests, step by step.
//!
//! Continuous batching as vLLM schedules it: every step decodes one token of each running sequence and
//! spends what is left of the token budget on prompts, first come first served, in chunks; a sequence is
//! admitted while `max_num_seqs` and the KV cache have room for its prompt; when the cache is full the
//! sequence that was admitted last is preempted and computed again. Between two changes of the batch all
//! steps are alike, so they are taken together: the cost is that of requests, not of tokens.
//!
//! How long a step takes is a [`Timing`]; everything else here is scheduling. The same requests, timing and
//! seed give the same outcome to the bit on every machine.

mod arrivals;
mod batch;
mod cache;
mod capacity;
mod engine;
mod fleet;
mod placed;
mod statistics;
mod timing;
mod training;
mod verify;

#[cfg(test)]
mod tests;

pub use arrivals::{Hour, Random, Stream, conversations, generate};
pub use batch::{ITEMS as MOST_ITEMS, Worker, items_of};
pub use capacity::{Loaded, NEAR, played};
pub use engine::Limits;
pub use fleet::{Fleet, Kind, Outcome, Request, Routing, Run, Source, Use, run};
pub use placed::{METRICS, PoolUse, curve_of, limits_of};
pub use statistics::{Interval, Sample, percentile};
pub use timing::{Linear, Step, Tabulated, Timing};
pub use training::{TRIALS, Trial, interruptions_per_hour, planned_pace, trial};
pub use verify::{
    Asked, Attainment, Buys, Fewer, Kept, Options, Quantiles, RUNS, Scenario, Verification, Verified,
    VerifiedBatch, VerifiedTraining, verify,
};
