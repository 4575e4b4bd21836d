//! What `predict` says about adapters, processors, energy and the start of a machine.

use serde_json::Value;

fn run(args: &[&str]) -> (i32, String, String) {
    let output = assert_cmd::Command::cargo_bin("rhumb").unwrap().arg("predict").args(args).output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

const LLAMA: [&str; 6] = ["--model", "meta-llama/Meta-Llama-3.1-8B", "--gpu", "h100-sxm-80gb", "--tp", "1"];

fn row(more: &[&str]) -> Value {
    let (_, out, err) = run(&[&LLAMA[..], &["--json"], more].concat());
    let value: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let schema = serde_json::from_str(include_str!("../../src/cli/commands/predict/schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let problems: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
    assert!(problems.is_empty(), "{more:?}: {problems:?}");
    value["rows"][0].clone()
}

#[test]
fn adapters_cost_memory_and_time_and_are_told_to_the_engine() {
    let (alone, with) = (row(&[]), row(&["--adapters", "8", "--max-rank", "32"]));
    let bytes = with["adapters"]["bytes"].as_f64().unwrap();
    let cache = |r: &Value| r["memory"]["kv_cache_bytes"].as_f64().unwrap();
    assert!((cache(&alone) - cache(&with) - bytes).abs() < 4.0, "{alone} {with}");
    assert!(with["step_ms"].as_f64() > alone["step_ms"].as_f64());
    assert_eq!(with["class"], "modelled");
    let words: Vec<&str> =
        with["adapters"]["arguments"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    assert_eq!(words.join(" "), "--enable-lora --max-loras 8 --max-lora-rank 32");
    let (code, out, _) = run(&[&LLAMA[..], &["--adapters", "8", "--max-rank", "32"]].concat());
    assert!(
        code == 0 && out.contains("--max-lora-rank 32") && out.contains("adapters: their memory is counted"),
        "{out}"
    );
    // A benchmark of a replica with adapters is not predicted; without them it is not left out.
    assert!(out.contains("not predicted with adapters") && with["loads"].is_null());
    assert!(!alone["loads"].as_array().unwrap().is_empty());
}

#[test]
fn adapters_that_cannot_be_get_a_reason() {
    for (more, code, expected) in [
        (&["--adapters", "4"][..], 1, "--max-rank"),
        (&["--max-rank", "4"], 1, "--adapters"),
        (&["--adapters", "0", "--max-rank", "8"], 6, "0 adapters"),
        (&["--adapters", "4", "--max-rank", "1000"], 6, "from 1 to 512"),
        (&["--adapters", "4", "--max-rank", "8", "--engine", "trtllm"], 6, "TensorRT-LLM"),
        (&["--adapters", "900", "--max-rank", "256"], 6, "does not run (memory)"),
        (&["--adapters", "4", "--max-rank", "8", "--concurrency", "8"], 1, "cannot be used with"),
    ] {
        let (got, out, err) = run(&[&LLAMA[..], more].concat());
        assert!(got == code && format!("{out}{err}").contains(expected), "{more:?}: {got} {out}{err}");
    }
}

#[test]
fn start_and_energy_carry_their_class() {
    let r = row(&["--rate", "2"]);
    let names: Vec<&str> =
        r["start_up"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["machine", "image", "weights", "engine"]);
    let energy = &r["energy"];
    assert_eq!(energy["class"], "modelled");
    assert!(energy["decode_watts"].as_f64() < energy["tdp_watts"].as_f64());
    let (_, out, _) = run(&LLAMA);
    assert!(out.contains("default loader: 0.33 GB/s"), "{out}");
    assert!(out.contains("J a generated token") && out.contains("assumed   boot and driver"), "{out}");
    // More in flight spread the power over more tokens.
    let busy = row(&["--rate", "20"]);
    assert!(busy["energy"]["decode_j_per_token"].as_f64() < energy["decode_j_per_token"].as_f64());
}

#[test]
fn processors_decode_by_their_memory() {
    let on = |more: &[&str]| run(&[&["--model", "meta-llama/Meta-Llama-3.1-8B"][..], more].concat());
    let (code, out, _) = on(&["--cpu-bandwidth", "460.8", "--precision", "int4", "--json"]);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, value["schema"].as_str()), (0, Some("rhumb.predict-cpu/1")));
    let schema =
        serde_json::from_str(include_str!("../../src/cli/commands/predict/cpu.schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    assert!(validator.is_valid(&value), "{out}");
    assert!(value["tokens_per_s_low"].as_f64() < value["tokens_per_s"].as_f64());
    let (_, refused, _) = on(&["--cpu-bandwidth", "460.8", "--precision", "nvfp4", "--json"]);
    assert!(validator.is_valid(&serde_json::from_str(&refused).unwrap()), "{refused}");
    let (code, out, _) = on(&["--cpu-bandwidth", "460.8"]);
    assert!(
        code == 0 && out.contains("class: modelled") && out.contains("tokens/s of one sequence"),
        "{out}"
    );
    for (more, code, expected) in [
        (&["--cpu-bandwidth", "0"][..], 1, "--cpu-bandwidth"),
        (&["--cpu-bandwidth", "NaN"], 1, "--cpu-bandwidth"),
        (&["--cpu-bandwidth", "100", "--precision", "mxfp4"], 6, "does not run (precision)"),
        (&["--cpu-bandwidth", "100", "--isl", "9999999"], 6, "does not run (context)"),
        (&["--cpu-bandwidth", "100", "--gpu", "l4"], 1, "cannot be used with"),
        (&["--cpu-bandwidth", "100", "--replicas", "2"], 1, "cannot be used with"),
        (&["--cpu-bandwidth", "100", "--calibration", "runs.json"], 1, "cannot be used with"),
    ] {
        let (got, out, err) = on(more);
        assert!(got == code && format!("{out}{err}").contains(expected), "{more:?}: {got} {out}{err}");
    }
}
