//! Checkpoints that are published compressed: what is planned is what is launched.

use std::path::Path;

use serde_json::Value;

use crate::cli::{rhumb, run};

fn spec(model: &str) -> String {
    format!(
        "rhumb: 1
name: stored
models:
  chat: {model}
services:
  chat:
    model: chat
    traffic: {{ peak: 2 req/s, input_tokens: 600, output_tokens: 200 }}
    slo: {{ ttft: {{ p95: 2s }}, tpot: {{ p95: 80ms }} }}
    placement: {{ instance_types: [p5.4xlarge] }}
"
    )
}

fn plan(folder: &Path, model: &str, more: &[&str]) -> (String, String, i32) {
    std::fs::write(folder.join("deploy.yaml"), spec(model)).unwrap();
    run(rhumb().current_dir(folder).arg("plan").args(["--at", "2026-11-25"]).args(more))
}

/// 32.8 billion parameters take 65.5 GB in 16 bits, half of that in blocks of fp8, a quarter and the embeddings in int4.
#[test]
fn the_name_of_a_checkpoint_says_how_it_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let gigabytes = |source: &str| {
        let (out, err, code) = plan(folder.path(), &format!("{{ source: {source} }}"), &["--json"]);
        assert_eq!(code, 0, "{err}");
        let plan: Value = serde_json::from_str(&out).unwrap();
        let pool = &plan["workloads"]["services.chat"]["pools"][0];
        let launched = plan["changes"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|c| c["after"]["model"]["repository"].as_str().map(str::to_owned));
        assert_eq!(launched.as_deref(), Some(source));
        pool["memory_bytes"]["weights"].as_f64().unwrap() / 1e9
    };
    let (bf16, fp8, awq) =
        (gigabytes("Qwen/Qwen3-32B"), gigabytes("Qwen/Qwen3-32B-FP8"), gigabytes("Qwen/Qwen3-32B-AWQ"));
    assert!(
        (64.0..67.0).contains(&bf16) && (32.0..36.0).contains(&fp8) && (17.0..23.0).contains(&awq),
        "{bf16} {fp8} {awq}"
    );
}

#[test]
fn nothing_is_made_of_compressed_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (_, err, code) = plan(
        folder.path(),
        "{ source: Qwen/Qwen3-32B-FP8, variants: { bf16: { quantization: bf16 } } }",
        &[],
    );
    assert_eq!(code, 1, "{err}");
    for part in [
        "compressed-source",
        "is stored as fp8_block: nothing is made of it, bf16 neither",
        "deploy.yaml:4:",
        "Qwen/Qwen3-32B`",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    // However it is called: what is stored has no name of its own.
    for named in ["fp8: {}", "a: { quantization: fp8_block }"] {
        let (_, err, code) =
            plan(folder.path(), &format!("{{ source: Qwen/Qwen3-32B-FP8, variants: {{ {named} }} }}"), &[]);
        assert!(code == 1 && err.contains("leave `quantization` away"), "{named}: {err}");
    }
    let own = "{ source: Qwen/Qwen3-32B-FP8, variants: { native: {}, w4: { quantization: int4, source: Qwen/Qwen3-32B-AWQ } } }";
    assert_eq!(plan(folder.path(), own, &[]).2, 0);
}
