//! Result files of benchmarks, the calibration file, and `rhumb calibrate`.

use std::path::Path;

use rhumb::calibrate::{self, Refusal, Results, file};
use rhumb::perf::Load;
use serde_json::{Value, json};

use crate::cli::{rhumb, run};
use crate::extent::is_many;

const VLLM: &str = include_str!("fixtures/calibrate/vllm-0.25.1.json");
const FAILED: &str = include_str!("fixtures/calibrate/vllm-0.25.1-all-failed.json");
const SPECULATIVE: &str = include_str!("fixtures/calibrate/vllm-0.25.1-speculative.json");
const DETAILED: &str = include_str!("fixtures/calibrate/vllm-2024-detailed.json");
const TURNS: &str = include_str!("fixtures/calibrate/vllm-2026-multi-turn.json");
const GUIDELLM: &str = include_str!("fixtures/calibrate/guidellm-0.5.json");
const AIPERF: &str = include_str!("fixtures/calibrate/aiperf-0.10.json");
const GENAI: &str = include_str!("fixtures/calibrate/genai-perf.json");

fn read(text: &str) -> Result<Results, Refusal> {
    calibrate::read("r.json", text.as_bytes())
}

/// The file with one value replaced (`null` takes a key out).
fn with(text: &str, path: &[&str], value: Value) -> String {
    let mut root: Value = serde_json::from_str(text).unwrap();
    let (last, above) = path.split_last().unwrap();
    let mut at = &mut root;
    for key in above {
        at = match key.parse::<usize>() {
            Ok(i) => &mut at[i],
            Err(_) => &mut at[*key],
        };
    }
    if value.is_null() {
        at.as_object_mut().unwrap().remove(*last).expect("the key is there");
    } else {
        at[*last] = value;
    }
    root.to_string()
}

#[test]
fn real_files_are_read_as_they_were_written() {
    let vllm = read(VLLM).unwrap();
    assert_eq!((vllm.tool, vllm.measurements.len()), ("vllm bench serve", 1));
    let m = &vllm.measurements[0];
    assert_eq!((m.model.as_str(), m.date.as_str(), m.requests), ("facebook/opt-125m", "2026-08-16", 8));
    assert_eq!((m.input, m.output, m.load), (32.0, 16.0, Load::Closed { concurrency: 2.0 }));
    assert_eq!((m.ttft.ms, m.tpot.ms), (215.53594200008774, 11.265828258331112));
    // 292.07 / 215.54 / sqrt(8): the first requests of that run met a cold engine, and it shows.
    assert!((m.ttft.error - 0.4791).abs() < 1e-4, "{}", m.ttft.error);
    assert_eq!(m.fixed_lengths, None);

    let guide = read(GUIDELLM).unwrap();
    let m = &guide.measurements[0];
    assert_eq!(
        (guide.tool, m.model.as_str(), m.date.as_str()),
        ("guidellm", "Qwen/Qwen3-30B-A3B", "2026-03-02")
    );
    assert_eq!((m.load, m.output, m.fixed_lengths), (Load::Closed { concurrency: 1.0 }, 1024.0, Some(false)));
    assert_eq!((m.ttft.ms, m.tpot.ms, m.requests), (59.9928153188605, 38.65124784686373, 19));

    let ai = read(AIPERF).unwrap();
    let m = &ai.measurements[0];
    assert_eq!((ai.tool, m.model.as_str(), m.date.as_str()), ("aiperf", "qwen3.6-nvfp4", "2026-07-03"));
    assert_eq!((m.load, m.requests), (Load::Closed { concurrency: 16.0 }, 96));
    assert_eq!((m.ttft.ms, m.tpot.ms, m.input), (119.13046247916667, 13.05021344397687, 367.28125));

    let genai = read(GENAI).unwrap();
    let m = &genai.measurements[0];
    assert_eq!((genai.tool, m.load, m.output), ("genai-perf", Load::Closed { concurrency: 1.0 }, 16.0));
}

#[test]
fn forms_that_differ_between_versions_are_read_alike() {
    // AIPerf before its configuration had phases.
    let older = with(AIPERF, &["input_config", "phases"], Value::Null);
    let older =
        with(&older, &["input_config", "loadgen"], json!({ "concurrency": 16, "request_rate": null }));
    assert_eq!(read(&older).unwrap().measurements[0].load, Load::Closed { concurrency: 16.0 });
    // genai-perf before its configuration had sections.
    let older = with(GENAI, &["input_config", "perf_analyzer"], Value::Null);
    let older = with(&older, &["input_config", "concurrency"], json!(4));
    assert_eq!(read(&older).unwrap().measurements[0].load, Load::Closed { concurrency: 4.0 });
    // GuideLLM 0.7 names a strategy `kind` and has labels.
    let strategy = &["benchmarks", "0", "config", "strategy"];
    let newer = with(GUIDELLM, strategy, json!({ "kind": "concurrent", "streams": 24 }));
    let newer = with(&newer, &["config"], json!({ "metadata": { "labels": { "gpu": "h100", "tp": "2" } } }));
    let m = &read(&newer).unwrap().measurements[0];
    assert_eq!((m.load, m.metadata["tp"].as_str()), (Load::Closed { concurrency: 24.0 }, "2"));
    // Appended results are several runs of one file; microseconds are not milliseconds.
    let two = format!("{}\n{}", VLLM.trim(), with(VLLM, &["max_concurrency"], json!(4)));
    let parts: Vec<u32> = read(&two).unwrap().measurements.iter().map(|m| m.part).collect();
    assert_eq!(parts, [0, 1]);
    let micro = with(AIPERF, &["time_to_first_token", "unit"], json!("us"));
    assert!((read(&micro).unwrap().measurements[0].ttft.ms - 0.119130).abs() < 1e-6);
}

#[test]
fn open_loop_requests_in_flight_follow_from_littles_law() {
    let m = with(VLLM, &["request_rate"], json!(5.5));
    let m = read(&with(&m, &["max_concurrency"], Value::Null)).unwrap().measurements.remove(0);
    // 8 / 1.54416 requests/s, each 215.536 + 15 * 11.26583 ms: 5.18081 * 0.384523 = 1.99.
    match m.load {
        Load::Open { rate, in_flight, poisson } => {
            assert!(rate == 5.5 && poisson && (in_flight - 1.9921).abs() < 1e-3, "{in_flight}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_fault_is_refused_with_reason_and_fix() {
    let cases: Vec<(&str, String, &str)> = vec![
        ("none answered", FAILED.into(), "8 of 8 requests failed"),
        ("some failed", with(VLLM, &["failed"], json!(1)), "1 of 9 requests failed"),
        (
            "fewer than asked for",
            with(&with(VLLM, &["failed"], Value::Null), &["num_prompts"], json!(10)),
            "2 of 10",
        ),
        ("zero completed", with(VLLM, &["completed"], json!(0)), "no request was answered"),
        ("not a number", VLLM.replace("215.53594200008774", "NaN"), "(NaN) at line 15"),
        ("infinite", VLLM.replace("215.53594200008774", "Infinity"), "(Infinity) at line 15"),
        ("a text for a number", with(VLLM, &["mean_tpot_ms"], json!("fast")), "`mean_tpot_ms`"),
        ("below zero", with(VLLM, &["mean_tpot_ms"], json!(-1.0)), "is -1"),
        ("one token each", with(VLLM, &["mean_tpot_ms"], json!(0.0)), "is 0"),
        ("no figure", with(VLLM, &["mean_ttft_ms"], Value::Null), "is missing"),
        ("no tokens", with(VLLM, &["total_output_tokens"], json!(0)), "generated tokens"),
        ("tokens of another run", with(VLLM, &["total_output_tokens"], json!(256)), "256 were counted"),
        ("requests of another run", with(VLLM, &["request_throughput"], json!(9.0)), "8 were counted"),
        (
            "lengths of another run",
            with(DETAILED, &["input_lens"], json!([1, 2])),
            "`input_lens` adds up to 3",
        ),
        ("all at once", with(VLLM, &["max_concurrency"], Value::Null), "sent at once"),
        ("all at once, older", DETAILED.into(), "sent at once"),
        ("drafted", SPECULATIVE.into(), "drafted"),
        ("several turns", TURNS.into(), "several turns"),
        ("truncated", VLLM[..VLLM.len() / 2].into(), "the file ends in the middle, at line"),
        ("empty", String::new(), "the file is empty"),
        ("no JSON", "Serving Benchmark Result".into(), "not JSON at line 1"),
        ("something else", "{\"a\": 1}".into(), "not a result file"),
        ("a list", "[]".into(), "not a result file"),
        (
            "guidellm: errors",
            with(GUIDELLM, &["benchmarks", "0", "metrics", "request_totals", "errored"], json!(3)),
            "3 of 22",
        ),
        (
            "guidellm: errors while warming up",
            with(GUIDELLM, &["benchmarks", "0", "scheduler_metrics", "requests_made", "errored"], json!(1)),
            "1 of 20",
        ),
        (
            "guidellm: none",
            with(GUIDELLM, &["benchmarks", "0", "metrics", "request_totals", "successful"], json!(0)),
            "no request",
        ),
        ("guidellm: nothing ran", with(GUIDELLM, &["benchmarks"], json!([])), "`benchmarks` is empty"),
        (
            "guidellm: throughput",
            with(GUIDELLM, &["benchmarks", "0", "config", "strategy"], json!({ "type_": "throughput" })),
            "at once",
        ),
        (
            "guidellm: no strategy",
            with(GUIDELLM, &["benchmarks", "0", "config", "strategy"], json!({})),
            "config.strategy",
        ),
        (
            "guidellm: no first token",
            with(
                GUIDELLM,
                &["benchmarks", "0", "metrics", "time_to_first_token_ms", "successful", "mean"],
                json!(0.0),
            ),
            "mean time to first token",
        ),
        ("aiperf: cancelled", with(AIPERF, &["was_cancelled"], json!(true)), "cancelled"),
        (
            "aiperf: errors",
            with(AIPERF, &["error_request_count"], json!({ "unit": "requests", "avg": 2.0 })),
            "2 requests failed",
        ),
        (
            "aiperf: errors listed",
            with(AIPERF, &["error_summary"], json!([{ "count": 1 }])),
            "some requests failed",
        ),
        ("aiperf: not streamed", with(AIPERF, &["time_to_first_token"], Value::Null), "--streaming"),
        ("aiperf: no load", with(AIPERF, &["input_config", "phases"], json!([])), "neither a concurrency"),
        (
            "aiperf: a strange unit",
            with(AIPERF, &["inter_token_latency", "unit"], json!("fortnights")),
            "fortnights",
        ),
    ];
    for (what, text, reason) in cases {
        let refusal = read(&text).expect_err(what);
        let shown = refusal.to_string();
        assert!(shown.contains(reason), "{what}: {shown}");
        assert!(shown.starts_with("r.json: ") && !refusal.fix.is_empty(), "{what}: {shown}");
    }
    assert!(calibrate::read("r.json", &[0xff, 0x00]).unwrap_err().reason.contains("UTF-8"));
}

/// A run of Llama 3.1 8B with these figures, as vLLM writes it.
fn result(clients: u32, ttft: f64, tpot: f64, metadata: &[(&str, &str)]) -> Value {
    let (n, input, output) = (u64::from(clients) * 10, 1024_u64, 256_u64);
    let seconds = 10.0 * (ttft + 255.0 * tpot) / 1e3;
    let mut value = json!({
        "date": "20261120-101500", "endpoint_type": "vllm", "backend": "vllm", "label": null,
        "model_id": "meta-llama/Llama-3.1-8B-Instruct", "tokenizer_id": "meta-llama/Llama-3.1-8B-Instruct",
        "num_prompts": n, "request_rate": "inf", "burstiness": 1.0, "max_concurrency": clients,
        "duration": seconds, "completed": n, "failed": 0, "total_input_tokens": n * input,
        "total_output_tokens": n * output, "request_throughput": n as f64 / seconds,
        "output_throughput": (n * output) as f64 / seconds, "mean_ttft_ms": ttft, "std_ttft_ms": ttft / 3.0,
        "mean_tpot_ms": tpot, "std_tpot_ms": tpot / 20.0, "mean_itl_ms": tpot,
    });
    for (key, text) in metadata {
        value[*key] = json!(text);
    }
    value
}

const STATED: [&str; 8] =
    ["--gpu", "h100-sxm-80gb", "--tp", "1", "--engine", "vllm", "--engine-version", "0.19"];

fn calibrate(folder: &Path, files: &[&str], more: &[&str]) -> (String, String, i32) {
    run(rhumb().current_dir(folder).arg("calibrate").args(files).args(more))
}

/// What is predicted for [`result`] with `clients`: TTFT and TPOT, ms.
fn predicted(folder: &Path, clients: u32) -> (f64, f64) {
    std::fs::write(folder.join("probe.json"), result(clients, 50.0, 10.0, &[]).to_string()).unwrap();
    let more = [&STATED[..], &["--json", "--accept", "--out", "probe-out.json"]].concat();
    let (out, err, code) = calibrate(folder, &["probe.json"], &more);
    assert_eq!(code, 0, "{err}");
    std::fs::remove_file(folder.join("probe-out.json")).unwrap();
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["schema"], "rhumb.calibrate/1");
    let figure = |name: &str| value["runs"][0][name]["predicted_ms"].as_f64().unwrap();
    (figure("ttft"), figure("tpot"))
}

#[test]
fn runs_are_recorded_once_in_one_order_and_nothing_is_written_when_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (ttft, tpot) = predicted(folder.path(), 16);
    std::fs::write(at("a.json"), result(16, ttft * 1.1, tpot * 1.05, &[]).to_string()).unwrap();
    std::fs::write(at("b.json"), result(32, ttft * 2.0, tpot * 1.4, &[]).to_string()).unwrap();
    std::fs::write(at("bad.json"), FAILED).unwrap();

    let (out, err, code) = calibrate(folder.path(), &["a.json", "bad.json"], &STATED);
    assert_eq!((out.as_str(), code), ("", 1));
    assert!(err.contains("bad.json: 8 of 8 requests failed") && err.contains("nothing was written"), "{err}");
    assert!(!at("calibration.json").exists());

    let (out, err, code) = calibrate(folder.path(), &["a.json", "b.json"], &STATED);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("Meta-Llama-3.1-8B on h100-sxm-80gb, vllm 0.19, tp1, bf16"), "{out}");
    assert!(out.ends_with("calibration.json: 2 runs, 2 new, 0 known before\n"), "{out}");
    let written = std::fs::read_to_string(at("calibration.json")).unwrap();
    // The other order, and once more: the same bytes.
    let (_, _, code) =
        calibrate(folder.path(), &["b.json", "a.json"], &[&STATED[..], &["--out", "other.json"]].concat());
    assert_eq!(code, 0);
    assert_eq!(std::fs::read_to_string(at("other.json")).unwrap(), written);
    let (out, _, code) = calibrate(folder.path(), &["b.json"], &STATED);
    assert_eq!((out.as_str(), code), ("calibration.json: 2 runs, 0 new, 1 known before\n", 0));
    assert_eq!(std::fs::read_to_string(at("calibration.json")).unwrap(), written);
    let (out, _, code) = calibrate(folder.path(), &["b.json"], &[&STATED[..], &["--quiet"]].concat());
    assert_eq!((out.as_str(), code), ("", 0));
    // The same file cannot be of another deployment.
    let other = ["--gpu", "l4-24gb", "--tp", "1", "--engine", "vllm", "--engine-version", "0.19"];
    let (_, err, code) = calibrate(folder.path(), &["a.json"], &other);
    assert!(
        code == 1
            && err.contains("already recorded in calibration.json as meta-llama/Meta-Llama-3.1-8B on h100"),
        "{err}"
    );
    // What is read back is what was written.
    let calibration = file::decode("calibration.json", &written).unwrap();
    assert_eq!(file::encode(calibration.runs()), written);
}

#[test]
fn what_is_stated_and_what_the_file_says_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let put = |metadata: &[(&str, &str)]| {
        std::fs::write(folder.path().join("r.json"), result(16, 60.0, 9.0, metadata).to_string()).unwrap();
    };
    let refused = |more: &[&str], reason: &str| {
        let (_, err, code) = calibrate(folder.path(), &["r.json"], more);
        assert!(code == 1 && err.contains(reason) && err.contains("fix: "), "{reason}: {err}");
    };
    put(&[]);
    refused(&[], "it does not say which accelerator it ran on");
    refused(&["--gpu", "h100"], "`h100` is several accelerators: ");
    refused(&["--gpu", "h100-sxm-80gb"], "its tensor parallel size");
    refused(&["--gpu", "h100-sxm-80gb", "--tp", "1"], "which engine served it");
    refused(&["--gpu", "h100-sxm-80gb", "--tp", "1", "--engine", "vllm"], "the engine's version");
    refused(&["--gpu", "h101", "--tp", "1"], "no accelerator `h101`");
    refused(&["--gpu", "h100-sxm-80gb", "--tp", "0"], "`0` is not a parallel size");
    refused(&["--gpu", "h100-sxm-80gb", "--tp", "1", "--engine", "tgi"], "no engine `tgi`");
    refused(&[&STATED[..], &["--model", "Qwen/Qwen3-32B"]].concat(), "was stated");
    refused(&[&STATED[..], &["--precision", "fp7"]].concat(), "no precision `fp7`");
    refused(&[&STATED[..], &["--kv-cache", "fp4"]].concat(), "no precision of the KV cache");
    put(&[("gpu", "h100-sxm-80gb"), ("tp", "2"), ("engine", "vllm"), ("engine_version", "0.19.1")]);
    refused(&["--tp", "1"], "--tp says 1, its metadata 2");
    let (out, err, code) = calibrate(folder.path(), &["r.json"], &["--tp", "2", "--accept"]);
    assert!(code == 0 && out.contains("vllm 0.19, tp2, bf16"), "{out}{err}");
    put(&[("gpu", "h900"), ("tp", "2"), ("engine", "vllm"), ("engine_version", "0.19.1")]);
    refused(&["--gpu", "h100-sxm-80gb"], "its metadata `gpu`: no accelerator `h900`");
}

#[test]
fn a_contradiction_is_refused_unless_its_owner_stands_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (ttft, tpot) = predicted(folder.path(), 16);
    std::fs::write(at("slow.json"), result(16, ttft, tpot * 6.0, &[]).to_string()).unwrap();
    let (out, _, code) = calibrate(folder.path(), &["slow.json"], &STATED);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("CONTRADICTION") && out.contains("nothing was written"), "{out}");
    assert!(!at("calibration.json").exists());
    let (out, _, code) = calibrate(folder.path(), &["slow.json"], &[&STATED[..], &["--accept"]].concat());
    assert_eq!(code, 0, "{out}");
    let written = std::fs::read_to_string(at("calibration.json")).unwrap();
    assert!(written.contains("\"accepted\": true"), "{written}");

    // Two runs inside the band that repeats do not explain.
    std::fs::write(at("one.json"), result(16, ttft, tpot * 0.9, &[]).to_string()).unwrap();
    std::fs::write(at("two.json"), result(16, ttft, tpot * 1.1, &[]).to_string()).unwrap();
    let more = [&STATED[..], &["--out", "pair.json", "--json"]].concat();
    let (out, _, code) = calibrate(folder.path(), &["one.json", "two.json"], &more);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["written"]), (3, &json!(false)), "{out}");
    let d = &value["disagreements"][0];
    assert_eq!(d["metric"], "tpot");
    // 1.1 / 0.9 = 1.222; exp(2.326 * sqrt(2) * 0.0524) = 1.188 without the spread of requests.
    assert!((d["ratio"].as_f64().unwrap() - 1.2222).abs() < 1e-3, "{out}");
    assert!((1.188..1.19).contains(&d["limit"].as_f64().unwrap()), "{out}");
    assert!(!at("pair.json").exists());
}

#[test]
fn a_calibration_file_with_a_fault_is_refused() {
    let run = json!({
        "file": "a.json", "sha256": "0".repeat(64), "part": 0, "tool": "vllm bench serve", "date": "2026-11-20",
        "model": "llama-3.1-8b", "gpu": "h100-sxm-80gb", "engine": "vllm", "engine_version": [0, 19],
        "tp": 1, "pp": 1, "dp": 1, "ep": 1, "precision": "bf16", "kv_cache": "bf16", "input_tokens": 1024.0,
        "output_tokens": 256.0, "fixed_lengths": null, "in_flight": 16.0, "requests": 160, "ttft_ms": 60.0,
        "ttft_error": 0.03, "tpot_ms": 9.0, "tpot_error": 0.004,
    });
    let whole = json!({ "rhumb_calibration": 1, "runs": [run] }).to_string();
    assert_eq!(file::decode("c.json", &whole).unwrap().runs().len(), 1);
    let one = |key: &str, value: Value| with(&whole, &["runs", "0", key], value);
    for (text, reason) in [
        (whole[..200].to_owned(), "not JSON"),
        (with(&whole, &["rhumb_calibration"], json!(2)), "version 2"),
        ("{}".to_owned(), "no `rhumb_calibration`"),
        (one("surprise", json!(1)), "surprise"),
        (one("gpu", Value::Null), "gpu"),
        (one("tpot_ms", json!(0.0)), "`tpot_ms` is 0"),
        (one("ttft_error", json!(-0.1)), "`ttft_error`"),
        (one("tp", json!(0)), "parallel size"),
        (one("engine", json!("tgi")), "no engine `tgi`"),
        (one("precision", json!("native")), "no precision `native`"),
        (one("kv_cache", json!("auto")), "KV cache"),
        (one("date", json!("yesterday")), "YYYY-MM-DD"),
        (one("sha256", json!("12")), "SHA-256"),
        (with(&whole, &["runs"], json!([run, run])), "twice"),
    ] {
        let refusal = file::decode("c.json", &text).unwrap_err();
        assert!(refusal.reason.contains(reason), "{reason}: {refusal}");
    }
}

/// A service on one kind of machine, so that what changes is the number of them.
const SPEC: &str = "rhumb: 1
name: helpdesk
calibration: ./calibration.json
models: { chat: { source: meta-llama/Llama-3.1-8B-Instruct } }
services:
  chat:
    model: chat
    traffic: { peak: 250 req/s, input_tokens: 1024, output_tokens: 256 }
    slo: { ttft: { p95: 3s }, tpot: { p95: 40ms } }
    placement: { clouds: [aws], regions: [us-east-1], accelerators: [h100-sxm-80gb] }
    engine: { args: { tensor_parallel_size: 1, max_num_seqs: 64 } }
";

/// A folder with the spec and runs that measured `factor` times what is predicted, at these levels.
fn deployed(factor: f64, levels: &[u32], more: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deploy.yaml"), SPEC).unwrap();
    let mut names = Vec::new();
    for clients in levels {
        let (ttft, tpot) = predicted(folder.path(), *clients);
        let name = format!("r{clients}.json");
        let value = result(*clients, ttft * factor, tpot * factor, &[("lengths", "fixed")]);
        std::fs::write(folder.path().join(&name), value.to_string()).unwrap();
        names.push(name);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (out, err, code) = calibrate(folder.path(), &names, &[&STATED[..], more].concat());
    assert_eq!(code, 0, "{out}{err}");
    folder
}

fn in_folder(folder: &Path, args: &[&str]) -> (String, String, i32) {
    run(rhumb().current_dir(folder).args(args).args(["--at", "2026-11-25"]))
}

/// Dollars a month, and the plan's text.
fn planned(folder: &Path) -> (f64, String) {
    let (out, err, code) = in_folder(folder, &["plan", "deploy.yaml", "--json"]);
    assert_eq!(code, 0, "{err}");
    let value: Value = serde_json::from_str(&out).unwrap();
    let (text, _, _) = in_folder(folder, &["plan", "deploy.yaml"]);
    (value["totals"]["expected_usd_per_month"].as_str().unwrap().parse().unwrap(), text)
}

#[test]
fn runs_make_a_plan_cheaper_or_dearer_and_the_checker_agrees() {
    let plain = tempfile::tempdir().unwrap();
    std::fs::write(plain.path().join("deploy.yaml"), SPEC.replace("calibration: ./calibration.json\n", ""))
        .unwrap();
    let (before, text) = planned(plain.path());
    assert!(!text.contains("calibrated from"), "{text}");
    for (factor, cheaper) in [(1.0, true), (1.25, false)] {
        let folder = deployed(factor, &[16, 32, 64], &[]);
        let (after, text) = planned(folder.path());
        assert_eq!(after < before, cheaper, "{factor}: {before} then {after}\n{text}");
        assert_ne!(after, before);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("calibrated from 3 runs of 2026-11-20: tokens take"), "{text}");
        assert!(text.contains("your own file ./calibration.json was applied"), "{text}");
        if cheaper || is_many() {
            let (out, err, code) = in_folder(folder.path(), &["check", "deploy.yaml"]);
            assert_eq!(code, 0, "{out}{err}");
        }
        if is_many() {
            assert_eq!(planned(folder.path()).1, planned(folder.path()).1);
        }
    }
}

#[test]
fn a_run_at_another_load_says_less() {
    let near = planned(deployed(1.0, &[16, 32, 64], &[]).path()).1;
    let far = planned(deployed(1.0, &[1, 2], &[]).path()).1;
    let width = |text: &str| -> f64 {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let at = text.find("9 of 10 within ").expect("it says how wide");
        text[at + 15..].split(' ').next().unwrap().parse().unwrap()
    };
    assert!(width(&near) < width(&far), "{near}\n{far}");
}

#[test]
fn a_changed_calibration_makes_a_saved_plan_stale() {
    let folder = deployed(1.0, &[16, 32, 64], &[]);
    let (_, err, code) = in_folder(folder.path(), &["plan", "deploy.yaml", "--out", "saved.json"]);
    assert_eq!(code, 0, "{err}");
    let check = ["check", "--plan", "saved.json", "deploy.yaml"];
    assert_eq!(in_folder(folder.path(), &check).2, 0);
    let (ttft, tpot) = predicted(folder.path(), 24);
    std::fs::write(folder.path().join("r24.json"), result(24, ttft, tpot, &[]).to_string()).unwrap();
    assert_eq!(calibrate(folder.path(), &["r24.json"], &STATED).2, 0);
    let (_, err, code) = in_folder(folder.path(), &check);
    assert!(code == 4 && err.contains("your calibration has changed"), "{err}");
}

#[test]
fn what_its_owner_stands_by_is_a_caveat_of_the_plan() {
    let folder = deployed(2.6, &[32, 64], &["--accept"]);
    let written = std::fs::read_to_string(folder.path().join("calibration.json")).unwrap();
    assert!(written.contains("\"accepted\": true"), "{written}");
    let text = planned(folder.path()).1.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("stands on a run (r32.json, 2026-11-20) that contradicts"), "{text}");
}

#[test]
fn a_calibration_that_cannot_be_used_is_shown_in_the_spec() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deploy.yaml"), SPEC).unwrap();
    for (content, reason) in [(None, "there is no such file"), (Some("{}"), "no calibration file")] {
        if let Some(content) = content {
            std::fs::write(folder.path().join("calibration.json"), content).unwrap();
        }
        let (_, err, code) = in_folder(folder.path(), &["validate", "deploy.yaml"]);
        assert_eq!(code, 1, "{err}");
        let err = err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            err.contains(reason) && err.contains("deploy.yaml:3:") && err.contains("rhumb calibrate"),
            "{err}"
        );
    }
}

#[test]
fn predict_takes_the_same_runs() {
    let folder = deployed(1.2, &[16, 32, 64], &[]);
    let args = [
        "predict",
        "--model",
        "meta-llama/Llama-3.1-8B-Instruct",
        "--gpu",
        "h100-sxm-80gb",
        "--tp",
        "1",
        "--engine-version",
        "0.19",
    ];
    let with =
        [&args[..], &["--max-num-seqs", "64", "--osl", "256", "--calibration", "calibration.json"]].concat();
    let (out, err, code) = in_folder(folder.path(), &with);
    assert_eq!(code, 0, "{err}");
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(out.contains("calibrated from 3 runs of 2026-11-20"), "{out}");
    // Adapters cost what they cost on top of what the runs say about the model alone.
    let step = |more: &[&str]| {
        let all = [&args[..], &["--max-num-seqs", "64", "--osl", "256", "--json"], more].concat();
        let value: Value = serde_json::from_str(&in_folder(folder.path(), &all).0).unwrap();
        let row = value["rows"][0].clone();
        (row["step_ms"].as_f64().unwrap(), row["notes"].to_string(), row["class"].clone())
    };
    let (runs, held) = (["--calibration", "calibration.json"], ["--adapters", "4", "--max-rank", "16"]);
    let (with, notes, class) = step(&[&runs[..], &held].concat());
    let added = step(&held).0 - step(&[]).0;
    assert!(added > 0.0 && (with - step(&runs).0 - added).abs() < 2e-6, "{with} {added}");
    assert!(notes.contains("calibrated from 3 runs") && notes.contains("adapters") && class == "modelled");
    let (_, err, code) = in_folder(folder.path(), &[&args[..], &["--calibration", "no.json"]].concat());
    assert!(code == 1 && err.contains("--calibration no.json: there is no such file"), "{err}");
}

#[test]
fn bench_plan_proposes_runs_that_are_worth_their_price() {
    let folder = tempfile::tempdir().unwrap();
    let spec = SPEC.replace("calibration: ./calibration.json\n", "");
    std::fs::write(folder.path().join("deploy.yaml"), &spec).unwrap();
    let (out, err, code) = in_folder(folder.path(), &["bench-plan", "deploy.yaml", "--json"]);
    assert_eq!(code, 0, "{err}");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["schema"], "rhumb.bench-plan/1");
    let runs = value["runs"].as_array().unwrap();
    assert!(!runs.is_empty(), "{out}");
    let mut last = f64::INFINITY;
    for r in runs {
        let number = |key: &str| r[key].as_f64().unwrap();
        // The figures follow from each other, and from the prices.
        let outcomes = r["outcomes"].as_array().unwrap();
        let now = number("usd_per_month_now");
        let mean = outcomes.iter().map(|o| o["usd_per_month"].as_f64().unwrap_or(now)).sum::<f64>() / 5.0;
        assert!((number("saving_usd_per_month") - (now - mean)).abs() < 1e-6, "{out}");
        let cost = number("usd_per_hour") * number("machines") * number("hours");
        assert!((number("cost_usd") - cost).abs() < 0.01, "{out}");
        assert!(number("net_usd") > 0.0 && number("net_usd") <= last, "{out}");
        last = number("net_usd");
        let commands = &r["commands"];
        let (serve, bench) = (commands["serve"].as_str().unwrap(), commands["bench"].as_str().unwrap());
        assert!(serve.contains("vllm serve") && serve.contains("--tensor-parallel-size 1"), "{serve}");
        assert!(bench.contains("--random-input-len 1024 --random-output-len 256"), "{bench}");
        assert!(bench.contains("--metadata gpu=h100-sxm-80gb tp=1"), "{bench}");
    }
    let (text, _, _) = in_folder(folder.path(), &["bench-plan", "deploy.yaml"]);
    assert!(text.contains("rhumb calibrate") && text.contains("listed by"), "{text}");
    assert!(!is_many() || in_folder(folder.path(), &["bench-plan", "deploy.yaml"]).0 == text, "{text}");
    // One request a second needs one machine whatever a run says.
    std::fs::write(folder.path().join("deploy.yaml"), spec.replace("250 req/s", "1 req/s")).unwrap();
    let (text, err, code) = in_folder(folder.path(), &["bench-plan", "deploy.yaml", "--quiet"]);
    assert_eq!(code, 0, "{err}");
    assert!(text.starts_with("no run is worth its price: "), "{text}");
}
