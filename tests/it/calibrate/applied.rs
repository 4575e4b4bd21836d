//! Plans and predictions near runs that were recorded.

use std::path::Path;

use serde_json::Value;

use super::{STATED, calibrate, predicted, result};
use crate::cli::{rhumb, run};
use crate::extent::is_many;

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
    let told = "accepted contradiction: the run r32.json (2026-11-20; 32 in flight, 1024 + 256 tokens) measured TPOT 2.5";
    assert!(text.contains(told) && text.contains("these figures follow it"), "{text}");
    // Where the plan cannot follow it, it is told all the same.
    let folder = deployed(40.0, &[64], &["--accept"]);
    let text = planned(folder.path()).1.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = "p5.4xlarge: accepted contradiction: the run r64.json (2026-11-20; 64 in flight";
    assert!(text.contains(told) && text.contains("and these do not"), "{text}");
}

#[test]
fn a_page_on_which_an_accepted_contradiction_counts_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (ttft, tpot) = predicted(folder.path(), 32);
    let slow = result(32, ttft, tpot * 9.0, &[("lengths", "fixed")]);
    std::fs::write(folder.path().join("r32.json"), slow.to_string()).unwrap();
    let (out, err, code) = calibrate(folder.path(), &["r32.json"], &[&STATED[..], &["--accept"]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let ask = |more: &[&str]| -> Value {
        let known = ["--model", "meta-llama/Llama-3.1-8B-Instruct", "--gpu", "h100-sxm-80gb", "--tp", "1"];
        let own = ["--engine-version", "0.19", "--calibration", "calibration.json", "--json"];
        let shape = ["--isl", "1024", "--osl", "256"];
        let args = [&["predict"], &known[..], &own, &shape, more].concat();
        let (out, err, code) = in_folder(folder.path(), &args);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<Value>(&out).unwrap()["rows"][0].clone()
    };
    let row = ask(&["--concurrency", "32"]);
    let measured = row["load"]["tpot_mean_ms"].as_f64().unwrap();
    assert!((measured / (tpot * 9.0) - 1.0).abs() < 1e-6, "{measured} {tpot}");
    for row in [row, ask(&["--rate", "5"])] {
        let notes = row["notes"].to_string();
        assert!(
            notes.contains("accepted contradiction: the run r32.json (2026-11-20; 32 in flight")
                && notes.contains("measured TPOT 8.7"),
            "{notes}"
        );
    }
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
