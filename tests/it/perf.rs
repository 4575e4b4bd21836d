//! Prediction against the catalogue and against what engines reported.

use rhumb::catalog::{Accelerator, Catalog, ModelArch};
use rhumb::perf::{Configuration, DoesNotFit, EngineSettings, Layout, MemoryFit, RequestShape, fit};
use rhumb::spec::{EngineName, KvCacheDtype, Lengths, Quantization};

const GIB: f64 = 1_073_741_824.0;

fn fixed(tokens: f64) -> Lengths {
    Lengths { mean: tokens, cv2: 0.0, p95: tokens, max: tokens }
}

fn configuration<'a>(arch: &'a ModelArch, accelerator: &'a Accelerator, tp: u32) -> Configuration<'a> {
    Configuration {
        arch,
        quantization: Quantization::Native,
        kv_cache: KvCacheDtype::Auto,
        accelerator,
        fraction: 1.0,
        layout: Layout { tp, pp: 1, dp: 1, ep: 1 },
        accelerators_per_node: 8,
        inter_node_bandwidth: None,
        engine: EngineSettings {
            name: EngineName::Vllm,
            version: (0, 19),
            max_num_seqs: 256,
            max_num_batched_tokens: 8192,
            max_model_len: 8192,
            gpu_memory_utilization: 0.90,
        },
    }
}

fn accelerator<'a>(catalog: &'a Catalog, id: &str) -> &'a Accelerator {
    &catalog.accelerators[catalog.accelerator(id).unwrap()]
}

fn quantization(name: &str) -> Quantization {
    match name {
        "bf16" => Quantization::Bf16,
        "fp8" => Quantization::Fp8,
        "int8" => Quantization::Int8,
        "mxfp4" => Quantization::Mxfp4,
        other => unreachable!("{other}"),
    }
}

struct Report<'a> {
    model: &'a str,
    started: bool,
    weights: Option<f64>,
    cache: Option<f64>,
    predicted: Result<MemoryFit, DoesNotFit>,
}

fn reports(catalog: &Catalog) -> Vec<Report<'_>> {
    let vocabulary = catalog.vocabulary();
    let h100 = accelerator(catalog, "h100-sxm-80gb");
    include_str!("../../src/perf/data/vllm_memory.tsv")
        .lines()
        .skip(1)
        .filter_map(|line| {
            let c: Vec<&'static str> = line.split('\t').collect();
            let arch = catalog.model(vocabulary.models.get(&c[1].to_lowercase())?)?;
            let number = |i: usize| c[i].parse::<f64>().ok();
            let mut configuration = configuration(arch, h100, c[5].parse().unwrap());
            configuration.quantization = quantization(c[2]);
            configuration.kv_cache = if c[3] == "fp8" { KvCacheDtype::Fp8 } else { KvCacheDtype::Auto };
            configuration.engine.version = if c[4] == "0.11" { (0, 11) } else { (0, 19) };
            // vLLM's default on this card.
            configuration.engine.max_num_seqs = 1024;
            configuration.engine.max_model_len = c[6].parse().unwrap();
            configuration.engine.gpu_memory_utilization = c[7].parse().unwrap();
            let shape = RequestShape { input: fixed(1024.0), output: fixed(256.0), prefix_cached: 0.0 };
            Some(Report {
                model: c[0],
                started: c[8] == "yes",
                weights: number(10),
                cache: number(13),
                predicted: fit(&configuration, &shape),
            })
        })
        .collect()
}

fn median(mut xs: Vec<f64>) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs[xs.len() / 2]
}

#[test]
fn memory_agrees_with_what_vllm_reported_at_start() {
    let catalog = Catalog::embedded();
    let reports = reports(&catalog);
    assert!(reports.len() >= 28, "{}", reports.len());
    let started: Vec<&Report<'_>> = reports.iter().filter(|r| r.started).collect();
    for r in &started {
        assert!(r.predicted.is_ok(), "{} started, but: {:?}", r.model, r.predicted);
    }
    for r in reports.iter().filter(|r| !r.started) {
        assert!(r.predicted.is_err(), "{} did not start", r.model);
    }
    assert_eq!(reports.iter().filter(|r| !r.started).count(), 2);
    let error = |pick: fn(&Report<'_>) -> Option<(f64, f64)>| -> Vec<f64> {
        started.iter().filter_map(|r| pick(r)).map(|(p, m)| (p / m - 1.0).abs()).collect()
    };
    let weights = median(error(|r| Some((r.predicted.as_ref().ok()?.weights / GIB, r.weights?))));
    let cache = median(error(|r| Some((r.predicted.as_ref().ok()?.kv_cache / GIB, r.cache?))));
    eprintln!("median error: weights {:.1} %, cache {:.1} %", weights * 100.0, cache * 100.0);
    assert!(weights < 0.02, "weights {weights}");
    assert!(cache < 0.03, "cache {cache}");
}

fn rhumb() -> assert_cmd::Command {
    assert_cmd::Command::cargo_bin("rhumb").unwrap()
}

fn run(args: &[&str]) -> (i32, String, String) {
    let output = rhumb().arg("predict").args(args).output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn predict_shows_one_configuration_in_full() {
    let args = [
        "--model",
        "Qwen/Qwen3-32B",
        "--gpu",
        "h100-sxm-80gb",
        "--tp",
        "2",
        "--precision",
        "fp8",
        "--rate",
        "3",
    ];
    let (code, out, _) = run(&args);
    assert_eq!(code, 0);
    for expected in
        ["class: calibrated", "131072 bytes a token", "attention over the KV cache", "TTFT", "p95"]
    {
        assert!(out.contains(expected), "no {expected} in\n{out}");
    }
    // A row for each number of requests in flight, up to what fits, and a plot of them.
    let rows: Vec<&str> = out.lines().skip_while(|l| !l.contains("in flight  ")).collect();
    for (row, expected) in [(1, "1 "), (2, "2 "), (5, "16 ")] {
        assert!(rows[row].trim_start().starts_with(expected), "{out}");
    }
    assert!(
        out.contains("TPOT, ms") && out.contains("* TPOT, mean") && out.contains(". 80 % interval"),
        "{out}"
    );
    assert!(!out.contains("extrapolated"), "{out}");
    let (_, quiet, _) = run(&[&args[..], &["--quiet"]].concat());
    assert!(quiet.contains("tokens/s GPU") && !quiet.contains("* TPOT, mean"), "{quiet}");
    let (code, over, _) = run(&[&args[..9], &["1000"]].concat());
    assert!(code == 0 && over.contains("over the capacity"), "{over}");
}

#[test]
fn predict_says_why_not() {
    let (code, out, _) =
        run(&["--model", "meta-llama/Meta-Llama-3.1-70B", "--gpu", "h100-sxm-80gb", "--tp", "1"]);
    assert_eq!(code, 6);
    assert!(out.contains("does not run (memory): needs") && out.contains("weights 131.4 GiB"), "{out}");
    let (code, out, _) =
        run(&["--model", "Qwen/Qwen3-8B", "--gpu", "t4-16gb", "--tp", "1", "--precision", "nvfp4"]);
    assert!(code == 6 && out.contains("source: http"), "{out}");
    let (code, out, _) = run(&["--model", "Qwen/Qwen3-8B", "--gpu", "tpu-v5e", "--tp", "1"]);
    assert!(code == 6 && out.contains("only NVIDIA and AMD"), "{out}");
}

/// What cannot run has its reason, and no figure.
#[test]
fn predict_refuses_impossible_configurations() {
    let on_h100 = ["--gpu", "h100-sxm-80gb"];
    for (model, more, rule, reason) in [
        ("Qwen/Qwen3-32B", &["--tp", "3"][..], "layout", "engines take 1, 2, 4 or 8"),
        ("Qwen/Qwen2.5-7B-Instruct", &["--tp", "8"], "layout", "does not divide 28 attention heads"),
        ("Qwen/Qwen3-30B-A3B", &["--tp", "8", "--ep", "256"], "layout", "ep 256 does not divide"),
        ("Qwen/Qwen3-8B", &["--tp", "2", "--ep", "2"], "layout", "needs a mixture-of-experts model"),
        ("Qwen/Qwen3-8B", &["--tp", "1", "--pp", "100"], "layout", "more than 36 layers"),
        ("Qwen/Qwen3-8B", &["--tp", "1", "--isl", "1e6"], "context", "are more than the context of"),
        (
            "Qwen/Qwen3-8B",
            &["--tp", "1", "--max-model-len", "900000"],
            "context",
            "are more than the context of",
        ),
    ] {
        let args = [&["--model", model][..], &on_h100, more].concat();
        let (code, out, _) = run(&args);
        assert!(code == 6 && out.contains(&format!("does not run ({rule})")), "{args:?}: {code} {out}");
        assert!(out.contains(reason), "{args:?}: {out}");
        assert!(!out.contains("TTFT") && !out.contains("requests/s"), "{args:?}: {out}");
    }
}

fn row(args: &[&str]) -> serde_json::Value {
    let value: serde_json::Value = serde_json::from_str(&run(&[args, &["--json"]].concat()).1).unwrap();
    value["rows"][0].clone()
}

const ON_H100: [&str; 6] = ["--model", "Qwen/Qwen3-32B", "--gpu", "h100-sxm-80gb", "--precision", "fp8"];

/// Near the capacity of a single replica the closed form was not checked, and is far below what happens.
#[test]
fn a_load_outside_of_the_closed_form_is_replayed() {
    let lengths = ["--tp", "1", "--isl", "2000", "--osl", "300"];
    let at = |rate| [&ON_H100[..], &lengths, &["--rate", rate]].concat();
    let found = row(&at("3.6"));
    let (closed, replayed) = (&found["load"]["ttft"]["p95_ms"], &found["replayed"]["ttft"]["p95_ms"]);
    assert!(replayed.as_f64().unwrap() > 2.0 * closed.as_f64().unwrap(), "{found}");
    assert_eq!(found["replayed"]["outside"], "above 80 % of what the replicas can do");
    let (_, text, _) = run(&at("3.6"));
    assert!(text.contains("the closed form was not checked there") && text.contains(" +- "), "{text}");
    let shared =
        [&ON_H100[..], &["--tp", "2", "--isl", "600", "--osl", "200", "--rate", "12", "--replicas", "4"]]
            .concat();
    assert!(row(&shared)["replayed"].is_null());
    assert!(run(&shared).1.contains("80 % band of p95"));
}

/// A benchmark's figures have their interval, class and notes; requests that end with their first token have no other.
#[test]
fn a_closed_loop_has_intervals_and_its_own_class() {
    let asked = |more: &[&str]| row(&[&ON_H100[..], &["--tp", "2"], more].concat())["load"].clone();
    let known = asked(&["--concurrency", "16"]);
    for metric in ["ttft", "tpot"] {
        let [low, mean, high] =
            ["lo", "mean", "hi"].map(|end| known[format!("{metric}_{end}_ms")].as_f64().unwrap());
        assert!(low < mean && mean < high, "{known}");
    }
    assert_eq!(known["class"], "calibrated");
    let far = asked(&["--concurrency", "100000"]);
    assert!(far["class"] == "modelled" && far["notes"].to_string().contains("extrapolated"), "{far}");
    let one = asked(&["--concurrency", "4", "--osl", "1"]);
    assert!(one["tpot_mean_ms"].is_null());
    let (rate, ttft) = (one["requests_per_s"].as_f64().unwrap(), one["ttft_mean_ms"].as_f64().unwrap());
    assert!((rate * ttft / 4000.0 - 1.0).abs() < 1e-3, "{one}");
    // Lengths need not be whole.
    assert!(
        row(&[&ON_H100[..], &["--tp", "2", "--isl", "205.0", "--osl", "216.7"]].concat())["runs"] == true
    );
    let cached = row(&[&ON_H100[..], &["--tp", "2", "--prefix-cached", "0.9"]].concat());
    assert!(
        cached["class"] == "modelled" && cached["notes"].to_string().contains("prefix cache"),
        "{cached}"
    );
}

/// Texts of an embedding model take a step together, as the table of loads has it.
#[test]
fn texts_that_are_only_read_have_no_time_per_token() {
    let args = ["--model", "bge-m3", "--gpu", "h100-sxm", "--tp", "1", "--concurrency", "8"];
    let found = row(&args);
    assert!(found["load"]["tpot_mean_ms"].is_null());
    assert_eq!(found["load"]["ttft_mean_ms"], found["loads"][3]["ttft"]["mean_ms"]);
    assert_eq!(found["load"]["requests_per_s"], found["loads"][3]["requests_per_s"]);
    assert!(!run(&args).1.contains("TPOT"));
}

#[test]
fn contexts_beyond_the_measured_are_marked() {
    let ask = |isl: &str| {
        let fixed =
            ["--model", "Qwen/Qwen3-32B", "--gpu", "h100-sxm-80gb", "--tp", "2", "--precision", "fp8"];
        let args = [&fixed[..], &["--isl", isl]].concat();
        let text = run(&args).1;
        let value: serde_json::Value =
            serde_json::from_str(&run(&[&args[..], &["--json"]].concat()).1).unwrap();
        (text, value["rows"][0].clone())
    };
    let marked = |row: &serde_json::Value| {
        row["loads"].as_array().unwrap().iter().filter(|l| l["extrapolated"].as_bool().unwrap()).count()
    };
    let ((near, row), (far, far_row)) = (ask("8000"), ask("30000"));
    assert_eq!((row["class"].as_str(), marked(&row)), (Some("calibrated"), 0), "{near}");
    assert_eq!(far_row["class"], "modelled");
    assert_eq!(marked(&far_row), far_row["loads"].as_array().unwrap().len());
    assert!(far.contains("* extrapolated: beyond what was measured") && far.contains("* 1 "), "{far}");
    assert!(far.contains("note: extrapolated: prompts of 30000 tokens, 15000 were measured"), "{far}");
    let sigma = |row: &serde_json::Value| row["band"]["tpot"]["sigma"].as_f64().unwrap();
    assert!(sigma(&far_row) > sigma(&row) + 0.05);
}

#[test]
fn predict_refuses_wrong_calls() {
    for (args, expected) in [
        (vec!["--model", "qwen3-32c"], "did you mean qwen3-32b"),
        (vec!["--model", "Qwen/Qwen3-8B", "--gpu", "h100-sxm-81gb"], "did you mean"),
        (vec!["--model", "Qwen/Qwen3-8B", "--rate", "0"], "--rate"),
        (vec!["--model", "Qwen/Qwen3-8B", "--isl", "NaN"], "--isl"),
        (vec!["--model", "Qwen/Qwen3-8B", "--precision", "fp7"], "no precision named fp7"),
        (vec!["--model", "Qwen/Qwen3-8B", "--engine-version", "new"], "write it as"),
        (vec!["--model-config", "nowhere.json"], "nowhere.json"),
        (vec!["--model", "Qwen/Qwen3-8B", "--engine", "vlm"], "no engine named vlm; did you mean vllm"),
        (vec!["--model", "Qwen/Qwen3-8B", "--isl", "0"], "--isl 0"),
        (vec!["--model", "Qwen/Qwen3-8B", "--osl", "0"], "writes at least one token"),
        (vec!["--model", "BAAI/bge-m3", "--osl", "10"], "writes no text"),
        (vec!["--model", "Qwen/Qwen3-8B", "--prefix-cached", "1"], "a share below 1"),
        (vec!["--model", "Qwen/Qwen3-8B", "--prefix-cached=-0.1"], "--prefix-cached"),
        (vec!["--model", "Qwen/Qwen3-8B", "--concurrency=-1"], "--concurrency"),
        (vec!["--model", "Qwen/Qwen3-8B", "--rate", "1", "--concurrency", "1"], "cannot be used with"),
        (vec!["--model", "Qwen/Qwen3-8B", "--replicas", "0"], "--replicas 0"),
        (vec!["--model", "Qwen/Qwen3-8B", "--max-num-seqs", "0"], "--max-num-seqs 0"),
        (vec!["--model", "Qwen/Qwen3-8B", "--per-machine", "0"], "--per-machine 0"),
        (vec!["--model", "Qwen/Qwen3-8B", "--gpu", "h100-sxm-80gb", "--tp", "0"], "--tp 0"),
        (vec!["--model", "Qwen/Qwen3-8B", "--max-model-len", "100"], "less than the 1280 tokens"),
        (vec!["--model", "Qwen/Qwen3-8B", "--concurrency", "0.5"], "at least one request for each replica"),
        (
            vec!["--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--tp", "1", "--concurrency", "4"],
            "h100-sxm-80gb",
        ),
        (vec![], "--model"),
    ] {
        let (code, _, err) = run(&args);
        assert!(code == 1 && err.contains(expected), "{args:?}: {code} {err}");
    }
}

#[test]
fn predict_as_json_has_every_row_of_the_table() {
    let (code, out, _) = run(&["--model", "Qwen/Qwen3-30B-A3B", "--gpu", "b200-sxm-180gb", "--json"]);
    assert_eq!(code, 0);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["schema"], "rhumb.predict/1");
    let rows = value["rows"].as_array().unwrap();
    assert!(rows.len() > 20);
    for row in rows {
        let runs = row["runs"].as_bool().unwrap();
        assert_eq!(runs, row.get("memory").is_some());
        assert_eq!(!runs, row.get("refused").is_some());
        if runs {
            assert!(row["load"]["ttft"]["p95_ms"].as_f64().unwrap() > 0.0);
            assert!(row["band"]["tpot"]["sigma"].as_f64().unwrap() > 0.0);
        }
    }
    let schema = serde_json::from_str(include_str!("../../src/cli/commands/predict/schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for args in [
        &["--model", "Qwen/Qwen3-8B", "--rate", "2"][..],
        &["--model", "Qwen/Qwen3-8B", "--tp", "1", "--concurrency", "8"],
        &["--model", "Qwen/Qwen3-8B", "--tp", "1"],
        &["--model", "Qwen/Qwen3-8B", "--rate", "100000"],
        &["--model", "BAAI/bge-m3", "--tp", "1"],
    ] {
        let all = [&["--gpu", "l40s-48gb", "--json"], args].concat();
        let value: serde_json::Value = serde_json::from_str(&run(&all).1).unwrap();
        let loads = value["rows"][0]["loads"].as_array().map_or(0, Vec::len);
        assert_eq!(loads > 3, args.contains(&"--tp"), "{args:?}");
        let problems: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(problems.is_empty(), "{args:?}: {problems:?}");
    }
    assert!(validator.is_valid(&value));
    let (_, again, _) = run(&["--model", "Qwen/Qwen3-30B-A3B", "--gpu", "b200-sxm-180gb", "--json"]);
    assert_eq!(out, again);
}

#[test]
fn every_accelerator_of_the_catalogue_gets_an_answer() {
    let (code, out, _) = run(&["--model", "Qwen/Qwen3-8B", "--json"]);
    assert_eq!(code, 0);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    let answered: std::collections::BTreeSet<&str> =
        value["rows"].as_array().unwrap().iter().map(|r| r["accelerator"].as_str().unwrap()).collect();
    let catalog = Catalog::embedded();
    assert_eq!(answered.len(), catalog.accelerators.len());
    let runs = |id: &str| {
        value["rows"]
            .as_array()
            .unwrap()
            .iter()
            .any(|r| r["accelerator"] == id && r["runs"].as_bool().unwrap())
    };
    for id in [
        "h100-sxm-80gb",
        "a100-sxm-80gb",
        "l4-24gb",
        "a10g-24gb",
        "t4-16gb",
        "mi300x-192gb",
        "b200-sxm-180gb",
    ] {
        assert!(runs(id), "{id}");
    }
    for id in [
        "tpu-v5e",
        "trainium1",
        "gaudi2-96gb",
        "k80-12gb",
        "m60-8gb",
        "p100-pcie-16gb",
        "radeon-pro-v520-8gb",
    ] {
        assert!(!runs(id), "{id}");
    }
}
