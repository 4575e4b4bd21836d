//! The replay beside that of `aisimulate-core` 0.13 (Apache-2.0, NVIDIA): the same requests, limits and timing in
//! both, percentiles compared.
//!
//! The two schedulers differ in detail (theirs admits by blocks of the chunk and counts a step's prompts by their mean
//! length), so percentiles agree to a percent, not to the bit. Exit 1 if one is further apart than its tolerance, or if the
//! comparison does not notice a planted fault: the same with our steps a fifth longer.

use std::sync::Arc;

use aisimulate_core::TimingModel;
use aisimulate_core::engine::{Backend, EngineConfig};
use aisimulate_core::replay::{
    CURRENT_REPLAY_SPEC_VERSION, ReplayEngineConfig, ReplayRequest, ReplaySpec, ReplayTopology,
    WorkerPoolSpec, run_engine_replay_with_timing,
};
use rhumb::replay::{Fleet, Kind, Limits, Linear, Request, Routing, Sample, Source, Stream, generate, run};
use rhumb::spec::{Arrivals, Lengths};

/// How far apart a percentile may be, as a share.
const TOLERANCE: f64 = 0.03;
const REQUESTS: usize = 4_000;

/// The linear timing of ours, behind their two functions.
struct Plugged(Linear);

impl TimingModel for Plugged {
    fn predict_prefill_ms(&self, batch: usize, mean_isl: usize, mean_prefix: usize) -> anyhow::Result<f64> {
        Ok(self.0.per_token_s * 1e3 * (batch * mean_isl.saturating_sub(mean_prefix)) as f64)
    }

    fn predict_decode_ms(&self, batch: usize, _: usize, _: usize, _: usize) -> anyhow::Result<f64> {
        Ok(if batch == 0 { 0.0 } else { 1e3 * (self.0.alpha_s + self.0.beta_s * batch as f64) })
    }
}

struct Case {
    name: &'static str,
    replicas: u32,
    limits: Limits,
    stream: Stream<'static>,
}

fn lengths(mean: f64, cv2: f64) -> Lengths {
    Lengths { mean, cv2, p95: 3.0 * mean, max: 8.0 * mean }
}

fn cases() -> Vec<Case> {
    let roomy = Limits { sequences: 256, kv_tokens: 400_000.0, step_tokens: 2048.0 };
    let stream = |rate, arrivals, input, output| Stream {
        rate,
        arrivals,
        input,
        output,
        prefix_cached: 0.0,
        recorded: None,
    };
    let chat = (lengths(600.0, 1.0), lengths(200.0, 1.0));
    let documents = (lengths(4000.0, 0.3), lengths(100.0, 0.5));
    vec![
        Case {
            name: "chat, light",
            replicas: 1,
            limits: roomy,
            stream: stream(6.0, Arrivals::Poisson, chat.0, chat.1),
        },
        Case {
            name: "chat, busy",
            replicas: 1,
            limits: roomy,
            stream: stream(16.0, Arrivals::Poisson, chat.0, chat.1),
        },
        Case {
            name: "chat, two replicas in turn",
            replicas: 2,
            limits: roomy,
            stream: stream(30.0, Arrivals::Poisson, chat.0, chat.1),
        },
        Case {
            name: "documents",
            replicas: 1,
            limits: roomy,
            stream: stream(5.0, Arrivals::Poisson, documents.0, documents.1),
        },
        Case {
            name: "evenly spaced",
            replicas: 1,
            limits: roomy,
            stream: stream(14.0, Arrivals::Constant, chat.0, chat.1),
        },
        Case {
            name: "bursts",
            replicas: 1,
            limits: roomy,
            stream: stream(8.0, Arrivals::Bursty { cv2: 4.0 }, chat.0, chat.1),
        },
        Case {
            name: "few slots",
            replicas: 1,
            limits: Limits { sequences: 32, ..roomy },
            stream: stream(9.0, Arrivals::Poisson, chat.0, chat.1),
        },
    ]
}

/// TTFT, TPOT and E2E in milliseconds.
type Figures = [Sample; 3];

fn ours(case: &Case, requests: &[Request], timing: Linear) -> Figures {
    let fleet = Fleet {
        kinds: vec![Kind { timing, limits: case.limits, replicas: case.replicas }],
        routing: Routing::RoundRobin,
    };
    let outcomes = run(&fleet, requests, Source::Open, 1).outcomes;
    let of = |f: fn(&rhumb::replay::Outcome) -> f64| Sample::new(outcomes.iter().map(f).map(|s| s * 1e3));
    [of(|o| o.ttft_s), of(|o| o.tpot_s), of(|o| o.e2e_s)]
}

fn theirs(case: &Case, requests: &[Request], timing: Linear) -> anyhow::Result<Figures> {
    let rank = EngineConfig {
        num_gpu_blocks: (case.limits.kv_tokens / 16.0) as usize,
        block_size: 16,
        max_num_seqs: case.limits.sequences as usize,
        max_num_batched_tokens: case.limits.step_tokens as usize,
        enable_prefix_caching: false,
        ..EngineConfig::for_backend(Backend::Vllm)
    };
    let config = ReplayEngineConfig { rank, ..ReplayEngineConfig::default() };
    let spec = ReplaySpec {
        version: CURRENT_REPLAY_SPEC_VERSION,
        topology: ReplayTopology::Aggregated {
            workers: WorkerPoolSpec { initial_workers: case.replicas as usize, startup_delay_ms: 0.0 },
        },
        engine: serde_json::to_value(config)?,
        adapters: Default::default(),
        max_sim_time_ms: None,
        max_in_flight: None,
        record_per_request: true,
        sla: Default::default(),
        requests: requests
            .iter()
            .enumerate()
            .map(|(i, r)| ReplayRequest {
                id: format!("{i:06}"),
                arrival_time_ms: r.at_s * 1e3,
                input_tokens: r.input as usize,
                // Every prompt its own tokens: nothing is shared.
                input_token_ids: Some((0..r.input).map(|t| (i as u32) << 12 ^ t).collect()),
                output_tokens: r.output as usize,
                output_token_ids: None,
                dp_rank: None,
                prefill_dp_rank: None,
                session_id: None,
                turn_index: None,
                metadata: serde_json::Value::Null,
            })
            .collect(),
    };
    let mut records = run_engine_replay_with_timing(spec, Arc::new(Plugged(timing)))?.per_request;
    records.sort_by(|a, b| a.request_id.cmp(&b.request_id));
    let mut figures: [Vec<f64>; 3] = Default::default();
    for (record, request) in records.iter().zip(requests) {
        let at = record.arrival_time_ms;
        let first = record.first_token_ms.unwrap_or(f64::NAN);
        let last = record.last_token_ms.unwrap_or(f64::NAN);
        figures[0].push(first - at);
        figures[1].push(if request.output > 1 {
            (last - first) / f64::from(request.output - 1)
        } else {
            f64::NAN
        });
        figures[2].push(last - at);
    }
    anyhow::ensure!(figures[0].len() == requests.len(), "{} records", figures[0].len());
    Ok(figures.map(Sample::new))
}

/// The largest difference of a percentile, and the table's rows.
fn compare(case: &Case, ours: &Figures, theirs: &Figures) -> (f64, String) {
    let mut worst = 0.0_f64;
    let mut rows = String::new();
    for (name, (a, b)) in ["TTFT", "TPOT", "E2E"].iter().zip(ours.iter().zip(theirs)) {
        rows += &format!("| {} | {name} |", case.name);
        for q in [0.5, 0.95, 0.99] {
            let (a, b) = (a.quantile(q).unwrap_or(f64::NAN), b.quantile(q).unwrap_or(f64::NAN));
            let apart = a / b - 1.0;
            worst = if apart.is_nan() { f64::INFINITY } else { worst.max(apart.abs()) };
            rows += &format!(" {a:.1} | {b:.1} | {:+.1} % |", apart * 100.0);
        }
        rows += "\n";
    }
    (worst, rows)
}

fn main() -> anyhow::Result<()> {
    let timing = Linear {
        alpha_s: 0.008,
        beta_s: 80e-6,
        alone_s: 0.0,
        per_prompt_s: 0.0,
        per_token_s: 25e-6,
        per_pair_s: 0.0,
        before_s: 0.0,
    };
    let slow = Linear { alpha_s: timing.alpha_s * 1.2, beta_s: timing.beta_s * 1.2, ..timing };
    println!(
        "| case | metric | p50 rhumb | aisimulate | apart | p95 rhumb | aisimulate | apart | p99 rhumb | aisimulate | apart |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut failed = Vec::new();
    for case in cases() {
        let requests = generate(&case.stream, REQUESTS, 5);
        let others = theirs(&case, &requests, timing)?;
        let (worst, rows) = compare(&case, &ours(&case, &requests, timing), &others);
        print!("{rows}");
        if worst > TOLERANCE {
            failed.push(format!("{}: {:.1} % apart", case.name, worst * 100.0));
        }
        if compare(&case, &ours(&case, &requests, slow), &others).0 <= TOLERANCE {
            failed.push(format!("{}: steps a fifth longer are not noticed", case.name));
        }
    }
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("; "));
    println!("\nall within {:.0} %, and steps a fifth longer are noticed in every case", TOLERANCE * 100.0);
    Ok(())
}
