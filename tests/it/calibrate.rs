//! Result files of benchmarks, the calibration file, and `rhumb calibrate`.

mod applied;
mod held;

use std::path::Path;

use rhumb::calibrate::{self, Refusal, Results, file};
use rhumb::perf::Load;
use serde_json::{Value, json};

use crate::cli::{rhumb, run};

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
    let older = with(&older, &["request_throughput", "avg"], json!(60.0));
    assert_eq!(read(&older).unwrap().measurements[0].load, Load::Closed { concurrency: 4.0 });
    // GuideLLM 0.7 names a strategy `kind` and has labels.
    let strategy = &["benchmarks", "0", "config", "strategy"];
    let newer = with(GUIDELLM, strategy, json!({ "kind": "concurrent", "streams": 24 }));
    let metrics = ["benchmarks", "0", "metrics"];
    let newer = with(&newer, &[&metrics[..], &["request_totals", "successful"]].concat(), json!(240));
    let held = [&metrics[..], &["request_concurrency", "successful", "mean"]].concat();
    let newer = with(&newer, &held, json!(23.1));
    let newer = with(&newer, &["config"], json!({ "metadata": { "labels": { "gpu": "h100", "tp": "2" } } }));
    let m = &read(&newer).unwrap().measurements[0];
    assert_eq!((m.load, m.metadata["tp"].as_str()), (Load::Closed { concurrency: 24.0 }, "2"));
    // Appended results are several runs of one file; microseconds are not milliseconds.
    let two = format!("{}\n{}", VLLM.trim(), with(VLLM, &["date"], json!("20260817-000000")));
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
fn a_run_is_recorded_once_under_any_name_and_in_any_writing() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let (ttft, tpot) = predicted(folder.path(), 16);
    let a = result(16, ttft * 1.1, tpot * 1.05, &[]);
    put("a.json", &a.to_string());
    assert_eq!(calibrate(folder.path(), &["a.json"], &STATED).2, 0);
    let written = || std::fs::read_to_string(folder.path().join("calibration.json")).unwrap();
    let first = written();

    let pretty = serde_json::to_string_pretty(&a).unwrap();
    put("pretty.json", &pretty);
    put("bare.json", &with(&with(&pretty, &["std_tpot_ms"], Value::Null), &["date"], Value::Null));
    let (out, err, code) = calibrate(folder.path(), &["pretty.json", "bare.json"], &STATED);
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        out,
        "recorded once: bare.json repeats the run of 2026-11-20 in a.json\n\
         recorded once: pretty.json repeats the run of 2026-11-20 in a.json\n\
         calibration.json: 1 run, 0 new, 2 known before\n"
    );
    assert_eq!(written(), first);

    // Thirty in one file are one; the band is as wide as it is.
    put("thirty.json", &format!("{a}\n").repeat(30));
    let more = [&STATED[..], &["--out", "thirty-out.json"]].concat();
    let (out, err, code) = calibrate(folder.path(), &["thirty.json"], &more);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.ends_with(
            "recorded once: thirty.json repeats the run of 2026-11-20 in thirty.json 29 times\n\
             thirty-out.json: 1 run, 1 new, 0 known before\n"
        ),
        "{out}"
    );
    let (out, _, _) = calibrate(folder.path(), &["thirty.json"], &[&more[..], &["--json"]].concat());
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        value["repeats"],
        json!([{ "file": "thirty.json", "of": "thirty.json", "date": "2026-11-20", "times": 29 }])
    );
    // One of them measured again is another.
    put("again.json", &result(16, ttft * 1.1, tpot * 1.06, &[]).to_string());
    let (out, _, _) = calibrate(folder.path(), &["again.json"], &STATED);
    assert!(out.ends_with("calibration.json: 2 runs, 1 new, 0 known before\n"), "{out}");
    // The same figures cannot be another deployment's.
    let other = ["--gpu", "l4-24gb", "--tp", "1", "--engine", "vllm", "--engine-version", "0.19"];
    let (_, err, code) = calibrate(folder.path(), &["pretty.json"], &other);
    assert!(code == 1 && err.contains("pretty.json: the run in a.json, already recorded in"), "{err}");
}

#[test]
fn a_calibration_file_that_counts_a_run_twice_is_read_as_one() {
    const FILE: &str = include_str!("fixtures/calibrate/calibration.json");
    let known = file::decode("c.json", FILE).unwrap();
    let mut root: Value = serde_json::from_str(FILE).unwrap();
    let mut copy = root["runs"][0].clone();
    (copy["file"], copy["sha256"]) = (json!("pretty.json"), json!("3".repeat(64)));
    root["runs"].as_array_mut().unwrap().push(copy);
    let text = root.to_string();
    let read = file::decode("c.json", &text).unwrap();
    assert_eq!((read.runs(), &read.digest, read.repeated), (known.runs(), &known.digest, 1));
    // And who adds to it is told.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("calibration.json"), &text).unwrap();
    let (ttft, tpot) = predicted(folder.path(), 16);
    std::fs::write(folder.path().join("a.json"), result(16, ttft, tpot, &[]).to_string()).unwrap();
    let (out, err, code) = calibrate(folder.path(), &["a.json"], &STATED);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("calibration.json: 1 of its entries repeat others and do not count\n"), "{out}");
    assert!(out.ends_with("calibration.json: 3 runs, 1 new, 0 known before\n"), "{out}");
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
