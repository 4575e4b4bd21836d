//! `predict --training` as a user meets it.

fn run(args: &[&str]) -> (i32, String, String) {
    let output = assert_cmd::Command::cargo_bin("rhumb").unwrap().arg("predict").args(args).output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

const LLAMA: [&str; 6] =
    ["--model", "meta-llama/Meta-Llama-3.1-8B", "--gpu", "h100-sxm-80gb", "--training", "full"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&LLAMA[..], more].concat()
}

#[test]
fn a_run_is_shown_in_full() {
    let (code, out, _) = run(&with(&["--tokens", "1e9", "--seq-len", "4096"]));
    assert_eq!(code, 0);
    for expected in [
        "class: calibrated",
        "note: fitted on MPT models",
        "not stated, so chosen: micro batch, sharding, checkpointing",
        "with 80 % confidence",
        "1000000000 tokens take",
        "matrix products",
        "optimizer",
    ] {
        assert!(out.contains(expected), "no {expected} in\n{out}");
    }
}

#[test]
fn json_keeps_its_schema() {
    let schema =
        serde_json::from_str(include_str!("../../src/cli/commands/predict/training.schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for more in [
        &["--json", "--tokens", "2e9"][..],
        &["--json", "--micro-batch", "1024"],
        &["--json", "--gpus", "64", "--rdma-gbps", "400", "--precision", "fp8"],
        &["--json", "--gpus", "16"],
    ] {
        let value: serde_json::Value = serde_json::from_str(&run(&with(more)).1).unwrap();
        let problems: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(problems.is_empty(), "{more:?}: {problems:?}");
        assert_eq!(value["runs"].as_bool().unwrap(), value.get("tokens_per_s").is_some());
        assert_ne!(value["runs"].as_bool().unwrap(), value.get("refused").is_some());
    }
    let lora = ["--model", "qwen3-32b", "--gpu", "h100-sxm-80gb", "--training", "lora", "--json"];
    let (code, out, _) = run(&lora);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && validator.is_valid(&value), "{out}");
    assert_eq!((value["class"].as_str(), value["rank"].as_u64()), (Some("modelled"), Some(16)));
    assert!(value["tokens_per_s_low"].as_f64() < value["tokens_per_s"].as_f64());
    assert_eq!(run(&lora).1, out);
    let mut wrong = value;
    wrong["tokens_per_s"] = serde_json::json!(0);
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn bad_input_gets_a_reason_and_no_figure() {
    for (more, code, expected) in [
        (&["--gpus", "0"][..], 6, "0 accelerators"),
        (&["--gpus", "12", "--rdma-gbps", "400"], 6, "do not fill machines of 8"),
        (&["--gpus", "16"], 6, "the network between them is not"),
        (&["--seq-len", "0"], 6, "0 tokens of a sequence"),
        (&["--seq-len", "999999"], 6, "more than the context"),
        (&["--gpus", "1"], 6, "does not run (memory)"),
        (&["--precision", "int4"], 1, "no training precision named int4"),
        (&["--sharding", "ful"], 1, "did you mean full"),
        (&["--checkpointing", "half"], 1, "no checkpointing named half"),
        (&["--tokens=-1"], 1, "--tokens"),
        (&["--rate", "1"], 1, "cannot be used with"),
        (&["--isl", "100"], 1, "cannot be used with"),
        (&["--kv-cache", "fp8"], 1, "cannot be used with"),
        (&["--calibration", "runs.json"], 1, "cannot be used with"),
    ] {
        let (got, out, err) = run(&with(more));
        assert!(got == code && format!("{out}{err}").contains(expected), "{more:?}: {got} {out}{err}");
        assert!(!out.contains("tokens/s"), "{more:?}: {out}");
    }
    let (code, _, err) = run(&["--model", "qwen3-32b", "--training", "full"]);
    assert!(code == 1 && err.contains("name it with --gpu"), "{err}");
    let (code, _, err) = run(&["--model", "qwen3-32b", "--gpu", "h100-sxm-80gb", "--training", "prune"]);
    assert!(code == 1 && err.contains("no training method named prune"), "{err}");
    let (code, _, err) = run(&["--model", "qwen3-32b", "--seq-len", "5"]);
    assert!(code == 1 && err.contains("--training"), "{err}");
}
