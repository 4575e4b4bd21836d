//! Benches, each beside a baseline that does the least that could be called the same work, so that a
//! ratio means something on any machine. `cargo bench --bench bench`; `tests/bench/run` makes the table of
//! `tests/bench/RESULTS.md` from them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::hint::black_box;

use divan::Bencher;
use rhumb::catalog::{Accelerator, Catalog, ModelArch};
use rhumb::perf::{Configuration, EngineSettings, Layout, RequestShape, ServiceCurve};
use rhumb::spec::{Arrivals, EngineName, KvCacheDtype, Lengths, Quantization};

fn main() {
    divan::main();
}

/// A command of the built binary, as a user starts it.
mod command {
    use std::process::{Command, Stdio};

    fn run(args: &[&str]) {
        let status = Command::new(env!("CARGO_BIN_EXE_rhumb"))
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok_and(|s| s.success()), "{args:?}");
    }

    #[divan::bench(sample_count = 30)]
    fn version() {
        run(&["--version"]);
    }

    #[divan::bench(sample_count = 30)]
    fn validate() {
        run(&["validate", "examples/support-chat"]);
    }

    #[divan::bench(sample_count = 30)]
    fn plan_two_origins() {
        run(&["plan", "examples/support-chat", "--at", "2026-11-25"]);
    }

    #[divan::bench(sample_count = 30)]
    fn plan_one_origin() {
        run(&["plan", "examples/code-completion", "--at", "2026-11-25"]);
    }

    #[divan::bench(sample_count = 30)]
    fn check() {
        run(&["check", "examples/support-chat", "--at", "2026-11-25"]);
    }

    /// What starting any process costs here.
    #[divan::bench(sample_count = 30)]
    fn baseline_true() {
        let status = Command::new("true").stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|s| s.success()));
    }
}

/// The tables that the binary carries, as text.
fn tables() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog/data");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "tsv"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

/// Choosing where one service of an example goes, over the whole catalogue.
mod choice {
    use std::collections::BTreeMap;

    use rhumb::diagnostic::SourceFile;
    use rhumb::placement::{Placement, World};
    use rhumb::spec::{ModelSource, Sources, Spec};
    use sha2::{Digest, Sha256};

    use super::*;

    fn problem(example: &str) -> (Spec, World) {
        let name = format!("examples/{example}/deploy.yaml");
        let text = std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        parsed(name, text)
    }

    /// A spec's text, with the world that it is planned in.
    pub fn parsed(name: String, text: String) -> (Spec, World) {
        let catalog = Catalog::embedded();
        let sources = Sources {
            files: vec![SourceFile { name, text }],
            variables: Vec::new(),
            vocabulary: &catalog.vocabulary(),
            read: &|path| Err(format!("{path}: benches read no files")),
        };
        let spec = rhumb::spec::load(&sources).unwrap().spec;
        let known = |source: &ModelSource| match source {
            ModelSource::Known { id, .. } => Some(catalog.model(id).unwrap().clone()),
            ModelSource::Config(file) => panic!("{}: benches read no files", file.path),
            ModelSource::Measured(_) => None,
        };
        let archs: BTreeMap<_, _> =
            spec.models.iter().filter_map(|(n, m)| Some((n.clone(), known(&m.source)?))).collect();
        (
            spec,
            World {
                archs,
                catalog,
                calibration: Default::default(),
                today: "2026-11-25".into(),
                replay: 0,
                running: Default::default(),
            },
        )
    }

    fn place(bencher: Bencher, example: &str) {
        let (spec, world) = problem(example);
        assert_eq!((spec.services.len(), spec.batches.len()), (1, 0));
        bencher.bench(|| -> Placement { rhumb::optimize::place(black_box(&spec), &world).unwrap() });
    }

    #[divan::bench(sample_count = 40)]
    fn place_two_origins(bencher: Bencher) {
        place(bencher, "support-chat");
    }

    #[divan::bench(sample_count = 40)]
    fn place_one_origin(bencher: Bencher) {
        place(bencher, "code-completion");
    }

    /// SHA-256 of the same tables: touching every byte of them once.
    #[divan::bench(sample_count = 40)]
    fn baseline_hash_tsv(bencher: Bencher) {
        let tables = tables();
        bencher.bench(|| {
            let mut hash = Sha256::new();
            tables.iter().for_each(|table| hash.update(black_box(table)));
            hash.finalize()
        });
    }
}

/// Deployments of `tests/bench/fleet SERVICES SEED BUDGET` whose services share quotas, from parsed specs: all that a search begins
/// with, and choosing where everything goes, that included, by the closed form of capacity and without fallbacks.
mod fleet {
    use std::process::Command;

    use rhumb::placement::World;
    use rhumb::spec::Spec;

    use super::*;

    fn problem(services: u32, seed: u32) -> (Spec, World) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/fleet");
        let budget = services * 1_000_000;
        let args = [services, seed, budget].map(|n| n.to_string());
        let made = Command::new("python3").arg(script).args(args).output().unwrap();
        assert!(made.status.success());
        super::choice::parsed("deploy.yaml".into(), String::from_utf8(made.stdout).unwrap())
    }

    fn candidates(bencher: Bencher, services: u32, seed: u32) {
        let (spec, world) = problem(services, seed);
        bencher.bench(|| rhumb::optimize::candidates(black_box(&spec), &world));
    }

    fn place(bencher: Bencher, services: u32, seed: u32) {
        let (spec, world) = problem(services, seed);
        bencher.bench(|| rhumb::optimize::outline(black_box(&spec), &world).unwrap());
    }

    #[divan::bench(sample_count = 20, sample_size = 1)]
    fn candidates_of_1_service(bencher: Bencher) {
        candidates(bencher, 1, 1);
    }

    #[divan::bench(sample_count = 20, sample_size = 1)]
    fn candidates_of_20_services(bencher: Bencher) {
        candidates(bencher, 20, 3);
    }

    #[divan::bench(sample_count = 5, sample_size = 1)]
    fn candidates_of_200_services(bencher: Bencher) {
        candidates(bencher, 200, 7);
    }

    #[divan::bench(sample_count = 20, sample_size = 1)]
    fn place_1_service(bencher: Bencher) {
        place(bencher, 1, 1);
    }

    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn place_20_services(bencher: Bencher) {
        place(bencher, 20, 3);
    }

    #[divan::bench(sample_count = 5, sample_size = 1)]
    fn place_200_services(bencher: Bencher) {
        place(bencher, 200, 7);
    }

    /// One curve for each service of 200: least of what candidates are worked out from.
    #[divan::bench(sample_count = 20)]
    fn baseline_200_curves(bencher: Bencher) {
        let replica = Replica::new();
        bencher.bench(|| (0..200).map(|_| black_box(&replica).curve().alpha_s).sum::<f64>());
    }
}

/// Loading what the binary carries.
mod catalogue {
    use super::*;

    #[divan::bench]
    fn embedded() -> Catalog {
        Catalog::embedded()
    }

    /// Splitting the same tables into lines and cells, without making rows of them.
    #[divan::bench]
    fn baseline_split_tsv(bencher: Bencher) {
        let tables = tables();
        bencher.bench(|| {
            let cells =
                |table: &String| -> usize { table.lines().map(|l| black_box(l).split('\t').count()).sum() };
            tables.iter().map(cells).sum::<usize>()
        });
    }
}

/// One replica of an 8B model on an H100.
struct Replica {
    arch: ModelArch,
    accelerator: Accelerator,
    shape: RequestShape,
}

impl Replica {
    fn new() -> Self {
        let catalog = Catalog::embedded();
        let accelerator = catalog.accelerator("h100-sxm-80gb").unwrap();
        let lengths = |mean: f64| Lengths { mean, cv2: 0.5, p95: mean * 2.5, max: mean * 4.0 };
        Replica {
            arch: catalog.model("Qwen/Qwen3-8B").unwrap().clone(),
            accelerator: catalog.accelerators[accelerator].clone(),
            shape: RequestShape { input: lengths(600.0), output: lengths(200.0), prefix_cached: 0.0 },
        }
    }

    fn configuration(&self) -> Configuration<'_> {
        Configuration {
            arch: &self.arch,
            quantization: Quantization::Native,
            kv_cache: KvCacheDtype::Auto,
            accelerator: &self.accelerator,
            fraction: 1.0,
            layout: Layout { tp: 1, pp: 1, dp: 1, ep: 1 },
            accelerators_per_node: 8,
            inter_node_bandwidth: None,
            engine: EngineSettings {
                name: EngineName::Vllm,
                version: (0, 17),
                max_num_seqs: 256,
                max_num_batched_tokens: 8192,
                max_model_len: 8192,
                gpu_memory_utilization: 0.9,
            },
        }
    }

    fn curve(&self) -> ServiceCurve {
        rhumb::perf::curve(&self.configuration(), &self.shape).unwrap()
    }
}

/// Prediction.
mod prediction {
    use super::*;

    #[divan::bench]
    fn curve(bencher: Bencher) {
        let replica = Replica::new();
        bencher.bench(|| black_box(&replica).curve());
    }

    /// A roofline: the larger of bytes over bandwidth and operations over rate, at 16 batch sizes.
    #[divan::bench]
    fn baseline_roofline(bencher: Bencher) {
        let replica = Replica::new();
        let (bandwidth, rate) =
            (replica.accelerator.memory_bandwidth.unwrap(), replica.accelerator.bf16.unwrap());
        bencher.bench(|| {
            let r = black_box(&replica);
            (1..=16)
                .map(|b| (r.arch.params * 2.0 / bandwidth).max(r.arch.params * 2.0 * f64::from(b) / rate))
                .sum::<f64>()
        });
    }

    #[divan::bench]
    fn latency(bencher: Bencher) {
        let curve = Replica::new().curve();
        let rate = curve.saturation_rate() * 0.7;
        bencher.bench(|| black_box(&curve).latency(black_box(rate), 4, Arrivals::Poisson).unwrap());
    }

    /// The waiting time of M/M/1 and one exponential tail.
    #[divan::bench]
    fn baseline_mm1(bencher: Bencher) {
        let curve = Replica::new().curve();
        let saturation = curve.saturation_rate();
        bencher.bench(|| {
            let rate = black_box(saturation * 0.7);
            let mean = 1.0 / (saturation - rate);
            (mean, mean * -rhumb::math::ln(0.05))
        });
    }
}

/// Benchmark points, as `predict --points` answers them: the rows of a table over many models, accelerators and
/// layouts. A time is of all 69 rows; the target is 5 µs for each (`tests/bench/run`).
mod points {
    use divan::counter::ItemsCount;
    use rhumb::perf::points::{Case, Columns, Row};

    use super::*;

    struct Table {
        columns: Columns,
        rows: Vec<csv::StringRecord>,
        catalog: Catalog,
    }

    impl Table {
        fn read() -> Self {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/points.csv");
            let mut reader = csv::Reader::from_path(path).unwrap();
            let columns = Columns::new(reader.headers().unwrap().iter());
            Table {
                columns,
                rows: reader.records().map(Result::unwrap).collect(),
                catalog: Catalog::embedded(),
            }
        }

        fn cases(&self) -> Vec<Case<'_>> {
            self.rows.iter().map(|r| self.case(r)).collect()
        }

        fn case(&self, record: &csv::StringRecord) -> Case<'_> {
            Case::read(&Row::new(&self.columns, record), &self.catalog, None).unwrap()
        }
    }

    /// From the cells of a row to figures, bands and notes.
    #[divan::bench]
    fn row(bencher: Bencher) {
        let table = Table::read();
        bencher.counter(ItemsCount::new(table.rows.len())).bench(|| {
            let answer = |r| table.case(black_box(r)).predict().unwrap().tpot_s;
            table.rows.iter().map(answer).sum::<f64>()
        });
    }

    /// From configurations to figures, bands and notes.
    #[divan::bench]
    fn configuration(bencher: Bencher) {
        let table = Table::read();
        let cases = table.cases();
        bencher
            .counter(ItemsCount::new(cases.len()))
            .bench(|| cases.iter().map(|c| black_box(c).predict().unwrap().tpot_s).sum::<f64>());
    }

    /// The kernel curves of the same configurations alone: no corrections, bands or notes.
    #[divan::bench]
    fn kernels(bencher: Bencher) {
        let table = Table::read();
        let cases = table.cases();
        bencher
            .counter(ItemsCount::new(cases.len()))
            .bench(|| cases.iter().map(|c| black_box(c).physics().unwrap().0.batch).sum::<f64>());
    }

    /// A roofline of the same configurations: bytes of the weights over the bandwidth, or operations over the rate.
    #[divan::bench]
    fn baseline_roofline(bencher: Bencher) {
        let table = Table::read();
        let cases = table.cases();
        bencher.counter(ItemsCount::new(cases.len())).bench(|| {
            let step = |c: &Case<'_>| {
                let gpus = f64::from(c.configuration.layout.accelerators());
                let bandwidth = c.accelerator.memory_bandwidth.unwrap_or(1e12) * gpus;
                let rate = c.accelerator.bf16.unwrap_or(1e14) * gpus;
                (c.arch.params / bandwidth).max(2.0 * c.arch.params * c.concurrency / rate)
            };
            cases.iter().map(|c| step(black_box(c))).sum::<f64>()
        });
    }
}

/// Playing requests through four replicas at 80 % of what they can do.
mod replay {
    use rhumb::perf::StepTable;
    use rhumb::replay::{
        Fleet, Kind, Limits, Linear, Request, Routing, Source, Stream, Tabulated, Timing, generate, run,
    };
    use rhumb::spec::{Arrivals, Lengths};

    use super::*;

    const REQUESTS: usize = 20_000;

    /// About Qwen3-8B on an H100.
    const TIMING: Linear = Linear {
        alpha_s: 0.007,
        beta_s: 45e-6,
        alone_s: 0.004,
        per_prompt_s: 0.0,
        per_token_s: 20e-6,
        per_pair_s: 0.15e-9,
        before_s: 0.0134,
    };

    fn requests() -> Vec<Request> {
        let lengths = |mean: f64, cv2: f64| Lengths { mean, cv2, p95: 3.0 * mean, max: 10.0 * mean };
        generate(
            &Stream {
                rate: 4.0 * 22.0,
                arrivals: Arrivals::Poisson,
                input: lengths(800.0, 1.5),
                output: lengths(250.0, 1.0),
                prefix_cached: 0.0,
                recorded: None,
            },
            black_box(REQUESTS),
            1,
        )
    }

    fn play(bencher: Bencher<'_, '_>, timing: impl Timing + Copy + Sync) {
        let limits = Limits { sequences: 256, kv_tokens: 400_000.0, step_tokens: 8192.0 };
        let fleet =
            Fleet { kinds: vec![Kind { timing, limits, replicas: 4 }], routing: Routing::LeastOutstanding };
        let requests = requests();
        bencher.bench_local(|| run(black_box(&fleet), &requests, Source::Open, 1));
    }

    #[divan::bench(sample_count = 40)]
    fn replay_20000_requests(bencher: Bencher) {
        play(bencher, TIMING);
    }

    /// The same with steps from a table, as plans are replayed.
    #[divan::bench(sample_count = 40)]
    fn replay_20000_requests_by_table(bencher: Bencher) {
        let batches = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
        let seconds = batches.map(|b| TIMING.alpha_s + TIMING.beta_s * b);
        let table = StepTable { batches, contexts: [460.0, 925.0, 1850.0], seconds: [seconds; 3] };
        play(bencher, Tabulated { line: TIMING, steps: Some(table) });
    }

    /// Drawing the same requests: five random numbers each.
    #[divan::bench(sample_count = 40)]
    fn baseline_draw_20000_requests(bencher: Bencher) {
        bencher.bench(requests);
    }
}
