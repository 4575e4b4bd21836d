//! `predict --points`: every row is answered, in order, whatever the order of the columns, and near what was
//! measured. The fixture is a stratified sample of AIConfigurator's silicon sample (Apache-2.0, commit 095f58a):
//! three rows of each model, engine and system, and some disaggregated ones; `source` names the run's origin.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cli::{rhumb, run};

const FIXTURE: &str = "tests/it/fixtures/points.csv";

type Table = Vec<BTreeMap<String, String>>;

fn parse(text: &str) -> Table {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().unwrap().clone();
    reader
        .records()
        .map(|r| columns.iter().map(str::to_owned).zip(r.unwrap().iter().map(str::to_owned)).collect())
        .collect()
}

fn measured() -> Table {
    parse(&std::fs::read_to_string(FIXTURE).unwrap())
}

/// Writes rows with these columns and asks for them.
fn ask(rows: &Table, columns: &[&str], more: &[&str]) -> (String, String, i32) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.csv");
    let mut text = columns.join(",") + "\n";
    for row in rows {
        let cells: Vec<&str> = columns.iter().map(|c| row.get(*c).map_or("", String::as_str)).collect();
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    std::fs::write(&path, text).unwrap();
    run(rhumb().args(["predict", "--points", path.to_str().unwrap()]).args(more))
}

/// The columns before the measured ones.
fn asked() -> Vec<String> {
    let text = std::fs::read_to_string(FIXTURE).unwrap();
    let header = text.lines().next().unwrap();
    header.split(',').take_while(|c| *c != "ttft_ms").map(str::to_owned).collect()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} of {row:?}"))
}

fn quantile(mut xs: Vec<f64>, q: f64) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs[((xs.len() - 1) as f64 * q).round() as usize]
}

#[test]
fn every_row_is_answered_in_order_and_near_what_was_measured() {
    let measured = measured();
    let columns = asked();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let (text, errors, exit) = ask(&measured, &columns, &[]);
    assert_eq!((errors.as_str(), exit), ("", 0));
    assert!(text.starts_with("id,ttft_ms,tpot_ms,ttft_lo,ttft_hi,tpot_lo,tpot_hi,evidence,note\n"));
    let answers = parse(&text);
    assert_eq!(answers.len(), measured.len());
    let (mut tpot, mut ttft, mut inside) = (Vec::new(), Vec::new(), 0);
    for (m, a) in measured.iter().zip(&answers) {
        assert_eq!(m["id"], a["id"]);
        for metric in ["ttft", "tpot"] {
            let x = number(a, &format!("{metric}_ms"));
            assert!(x > 0.0 && number(a, &format!("{metric}_lo")) <= x, "{a:?}");
            assert!(x <= number(a, &format!("{metric}_hi")), "{a:?}");
        }
        assert!(matches!(a["evidence"].as_str(), "calibrated" | "modelled"), "{a:?}");
        if m["mode"] == "disagg" {
            assert_eq!(a["evidence"], "modelled");
            assert!(a["note"].contains("disaggregated"), "{a:?}");
            continue;
        }
        tpot.push((number(a, "tpot_ms") / number(m, "tpot_ms") - 1.0).abs());
        ttft.push((number(a, "ttft_ms") / number(m, "ttft_ms") - 1.0).abs());
        let (low, high) = (number(a, "tpot_lo"), number(a, "tpot_hi"));
        inside += usize::from((low..=high).contains(&number(m, "tpot_ms")));
    }
    // The report's figures on all rows, with room for a sample of this size.
    assert!(tpot.len() >= 60);
    assert!(quantile(tpot.clone(), 0.5) <= 0.10 && quantile(tpot.clone(), 0.9) <= 0.35, "TPOT {tpot:?}");
    assert!(quantile(ttft.clone(), 0.5) <= 0.20 && quantile(ttft.clone(), 0.9) <= 0.60, "TTFT {ttft:?}");
    let share = inside as f64 / tpot.len() as f64;
    assert!(share >= 0.75, "{share} of the intervals hold the measurement");
}

#[test]
fn the_order_of_columns_and_further_columns_change_nothing() {
    let measured = measured();
    let columns = asked();
    let mut columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let (text, ..) = ask(&measured, &columns, &[]);
    columns.reverse();
    columns.push("remark");
    let (turned, _, exit) = ask(&measured, &columns, &[]);
    assert_eq!(exit, 0);
    assert_eq!(text, turned);
    // What the rows do not say must not matter: the measured figures are not read.
    let mut told = measured.clone();
    for row in &mut told {
        row.insert("ttft_ms".into(), "1".into());
        row.insert("tpot_ms".into(), "1".into());
    }
    columns.extend(["ttft_ms", "tpot_ms"]);
    assert_eq!(ask(&told, &columns, &[]).0, text);
}

fn row(cells: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut row: BTreeMap<String, String> = [
        ("id", "a"),
        ("model", "meta-llama/Llama-3.1-70B"),
        ("system", "h100_sxm"),
        ("backend", "vllm"),
        ("backend_version", "0.19.0"),
        ("dtype", "fp8"),
        ("mode", "agg"),
        ("isl", "1024"),
        ("osl", "1024"),
        ("random_range_ratio", "0.8"),
        ("concurrency", "16"),
        ("num_gpus", "4"),
        ("attn_tp", "4"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    for (k, v) in cells {
        row.insert((*k).to_owned(), (*v).to_owned());
    }
    row
}

const COLUMNS: [&str; 13] = [
    "id",
    "model",
    "system",
    "backend",
    "backend_version",
    "dtype",
    "mode",
    "isl",
    "osl",
    "random_range_ratio",
    "concurrency",
    "num_gpus",
    "attn_tp",
];

#[test]
fn what_a_row_lacks_or_breaks_is_said_in_its_note() {
    let rows = vec![
        row(&[]),
        row(&[("id", "b"), ("isl", ""), ("concurrency", "")]),
        row(&[("id", "c"), ("dtype", "bf16"), ("num_gpus", "1"), ("attn_tp", "1")]),
        row(&[("id", "d"), ("model", "nobody/knows-this")]),
        row(&[("id", "e"), ("system", "abacus")]),
        row(&[("id", "f"), ("attn_tp", ""), ("num_gpus", "8")]),
        row(&[("id", "g"), ("backend", "abacus")]),
    ];
    let (text, _, exit) = ask(&rows, &COLUMNS, &[]);
    assert_eq!(exit, 0);
    let answers = parse(&text);
    let note = |i: usize| answers[i]["note"].as_str();
    let figure = |i: usize| answers[i]["tpot_ms"].parse::<f64>().ok();
    assert_eq!(note(0), "no attn_dp: 1; no pp: 1");
    assert!(note(1).contains("no isl: 1024") && note(1).contains("no concurrency: 1"), "{}", note(1));
    // 141 GB of weights do not fit an H100 of 80 GB.
    assert!(note(2).contains("should not run") && note(2).contains("GiB"), "{}", note(2));
    assert!(figure(1).is_some() && figure(2).is_some());
    for i in [3, 4, 6] {
        assert_eq!(figure(i), None, "an unknown name has no figure");
        assert!(note(i).starts_with("no prediction: no "), "{}", note(i));
    }
    assert!(note(5).contains("no attn_tp: 8"), "{}", note(5));
    let (json, ..) = ask(&rows, &COLUMNS, &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schema"], "rhumb.predict-points/1");
    assert_eq!(json["points"].as_array().unwrap().len(), rows.len());
    assert!(json["points"][3]["tpot_ms"].is_null());
}

/// Cells that are no number of their kind, contradictions, and lengths beyond the model's 131,072 tokens refuse their row, and
/// no other.
#[test]
fn a_bad_cell_is_the_reason_of_its_row_alone() {
    let columns = [&COLUMNS[..], &["attn_dp", "pp", "moe_ep"]].concat();
    let bad = [
        ("attn_dp", "-5", "attn_dp `-5`"),
        ("moe_ep", "nan", "moe_ep `nan`"),
        ("attn_tp", "1.9", "attn_tp `1.9`: a whole number"),
        ("attn_tp", "four", "attn_tp `four`"),
        ("attn_tp", "1000000", "too large"),
        ("mode", "bogus", "mode `bogus`: agg or disagg"),
        ("isl", "1e300", "more than the context of 131072"),
        ("isl", "131000", "132024 tokens are more than the context of 131072"),
        ("model", "BAAI/bge-m3", "writes no text"),
    ];
    let mut rows: Table = bad.iter().map(|(column, cell, _)| row(&[(column, cell)])).collect();
    rows.push(row(&[("attn_dp", "1000000"), ("pp", "1000000"), ("num_gpus", "")]));
    rows.push(row(&[("attn_dp", "1"), ("pp", "1")]));
    let (text, errors, exit) = ask(&rows, &columns, &[]);
    assert_eq!((errors.as_str(), exit), ("", 0));
    let answers = parse(&text);
    for ((column, cell, says), answer) in bad.iter().zip(&answers) {
        assert!(
            answer["note"].starts_with("no prediction: ") && answer["note"].contains(says),
            "{column} {cell}: {answer:?}"
        );
        assert_eq!(answer["ttft_ms"], "", "{column} {cell}");
    }
    assert!(
        answers[bad.len()]["note"].contains("dp 1000000 and pp 1000000 is too large"),
        "{:?}",
        answers[bad.len()]
    );
    assert_eq!(answers[bad.len() + 1]["note"], "");
    assert_ne!(answers[bad.len() + 1]["ttft_ms"], "");
    // What contradicts itself and still says what ran is answered.
    let rows = vec![row(&[("attn_dp", "1"), ("pp", "1"), ("num_gpus", "2"), ("moe_ep", "0")])];
    let (text, ..) = ask(&rows, &columns, &[]);
    let answer = &parse(&text)[0];
    assert_eq!(answer["note"], "num_gpus 2 is less than the 4 of the layout: one replica of it");
    assert_eq!(answer["ttft_ms"], answers[bad.len() + 1]["ttft_ms"]);
}

/// A checkpoint's own precision is that of its name, whether the row says so, says nothing or nonsense.
#[test]
fn a_compressed_checkpoint_is_what_its_name_says() {
    let of = |model, dtype| row(&[("model", model), ("dtype", dtype), ("num_gpus", "1"), ("attn_tp", "1")]);
    let rows = vec![
        of("Qwen/Qwen3-32B-FP8", ""),
        of("Qwen/Qwen3-32B-FP8", "fp8"),
        of("Qwen/Qwen3-32B-FP8", "xyz"),
        of("Qwen/Qwen3-32B", "fp8_block"),
        of("Qwen/Qwen3-32B-AWQ", ""),
        of("Qwen/Qwen3-32B", "int4"),
        of("Qwen/Qwen3-32B", ""),
        of("Qwen/Qwen3-32B", "bf16"),
    ];
    let (text, ..) = ask(&rows, &COLUMNS, &[]);
    let answers = parse(&text);
    let tpot = |i: usize| number(&answers[i], "tpot_ms");
    assert_eq!([tpot(0), tpot(1), tpot(2)], [tpot(3); 3]);
    assert_eq!((tpot(4), tpot(6)), (tpot(5), tpot(7)));
    assert!(tpot(0) < 0.7 * tpot(6), "{} {}", tpot(0), tpot(6));
    assert!(
        answers[2]["note"].contains("no precision `xyz`: the checkpoint's own, fp8_block"),
        "{:?}",
        answers[2]
    );
}

#[test]
fn one_token_has_no_time_per_output_token() {
    let (text, ..) = ask(&vec![row(&[("osl", "1")])], &COLUMNS, &[]);
    let answer = &parse(&text)[0];
    for column in ["tpot_ms", "tpot_lo", "tpot_hi"] {
        assert_eq!(answer[column], "", "{column}");
    }
    assert!(
        number(answer, "ttft_ms") > 0.0 && answer["note"].contains("one token has no time per output token")
    );
}

/// More in flight than anybody measured is extrapolated: 1,024 on an attention rank.
#[test]
fn loads_beyond_the_measured_are_modelled() {
    let rows: Table = ["1024", "1025"].map(|c| row(&[("concurrency", c)])).into();
    let (text, ..) = ask(&rows, &COLUMNS, &[]);
    let answers = parse(&text);
    assert_eq!(
        (answers[0]["evidence"].as_str(), answers[1]["evidence"].as_str()),
        ("calibrated", "modelled")
    );
    assert!(answers[1]["note"].contains("extrapolated: 1025 requests in flight"), "{:?}", answers[1]);
}

/// Engines of 2024 took longer: vLLM before 0.8 by e^0.32, TensorRT-LLM before 1.0 by e^0.18, beside what its builds are off anyway.
#[test]
fn engines_older_than_any_that_was_measured_are_slower_and_modelled() {
    let of = |backend, version| row(&[("backend", backend), ("backend_version", version)]);
    let rows = vec![of("vllm", "0.8.0"), of("vllm", "v0.7.3"), of("trtllm", "1.0.0"), of("trtllm", "0.20.0")];
    let (text, ..) = ask(&rows, &COLUMNS, &[]);
    let answers = parse(&text);
    assert_eq!(answers[0]["evidence"], "calibrated");
    for (new, old, slower) in [(0, 1, 0.32_f64.exp()), (2, 3, 0.18_f64.exp())] {
        let ratio = number(&answers[old], "tpot_ms") / number(&answers[new], "tpot_ms");
        assert!((ratio / slower - 1.0).abs() < 0.08, "{ratio}");
        assert_eq!(answers[old]["evidence"], "modelled");
        assert!(answers[old]["note"].contains("times as long in batches of 2024"), "{:?}", answers[old]);
    }
}

/// A `config.json` that cannot be read is the reason of the rows that need it.
#[test]
fn a_broken_config_refuses_its_rows_only() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("nobody/knows-this");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("config.json"), "{").unwrap();
    let rows = vec![row(&[]), row(&[("id", "d"), ("model", "nobody/knows-this")])];
    let (text, errors, exit) = ask(&rows, &COLUMNS, &["--model-config", folder.path().to_str().unwrap()]);
    assert_eq!((errors.as_str(), exit), ("", 0));
    let answers = parse(&text);
    assert_ne!(answers[0]["tpot_ms"], "");
    assert!(answers[1]["note"].starts_with("no prediction: --model-config"), "{:?}", answers[1]);
}

#[test]
fn an_accelerator_without_measurements_has_a_wide_interval_around_its_figure() {
    let rows = vec![row(&[]), row(&[("id", "amd"), ("system", "mi300x"), ("dtype", "bf16")])];
    let (text, ..) = ask(&rows, &COLUMNS, &[]);
    let answers = parse(&text);
    assert_eq!(answers[1]["evidence"], "modelled");
    assert!(answers[1]["note"].contains("no kernel measurements"), "{:?}", answers[1]);
    let [low, x, high] = ["tpot_lo", "tpot_ms", "tpot_hi"].map(|c| number(&answers[1], c));
    assert!((high / x / (x / low) - 1.0).abs() < 0.01, "{low} {x} {high}");
    assert!(high / low > 4.0 * number(&answers[0], "tpot_hi") / number(&answers[0], "tpot_lo"));
    // Weights alone: 141 GB over 4 x 5.3 TB/s are 6.7 ms a step, and NVIDIA's curves were off by more.
    assert!(x > 6.7, "{x}");
}

#[test]
fn a_model_of_ones_own_comes_from_its_config() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("nobody/knows-this");
    std::fs::create_dir_all(&own).unwrap();
    let config = r#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8192,
        "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
        "intermediate_size": 28672, "vocab_size": 128256, "max_position_embeddings": 131072,
        "torch_dtype": "bfloat16", "tie_word_embeddings": false}"#;
    std::fs::write(own.join("config.json"), config).unwrap();
    let rows = vec![row(&[]), row(&[("id", "d"), ("model", "nobody/knows-this")])];
    let (text, errors, exit) = ask(&rows, &COLUMNS, &["--model-config", folder.path().to_str().unwrap()]);
    assert_eq!((errors.as_str(), exit), ("", 0));
    let answers = parse(&text);
    let ratio = number(&answers[1], "tpot_ms") / number(&answers[0], "tpot_ms");
    // The same architecture; only the ledger's corrections of the known model are missing.
    assert!((0.7..1.4).contains(&ratio), "{ratio}");
    assert!(answers[1]["note"].contains("left-out models"), "{:?}", answers[1]);
    let width = |a: &BTreeMap<String, String>| number(a, "tpot_hi") / number(a, "tpot_lo");
    assert!(width(&answers[1]) > width(&answers[0]) * 0.8);
}

#[test]
fn what_is_no_table_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (text, says) in [
        ("", "no column `id`"),
        ("model,system\nx,y\n", "no column `id`"),
        ("id,model\na,b\n", "no column `system`"),
        ("id,model,system\na,b\n", "points.csv:2:1: 2 cells, but the table has 3 columns"),
    ] {
        let path = folder.path().join("points.csv");
        std::fs::write(&path, text).unwrap();
        let (out, errors, exit) = run(rhumb().args(["predict", "--points", path.to_str().unwrap()]));
        assert_eq!((out.as_str(), exit), ("", 1), "{text:?}");
        assert!(errors.contains(says), "{text:?}: {errors}");
    }
    let (_, errors, exit) = run(rhumb().args(["predict", "--points", "nowhere.csv"]));
    assert_eq!(exit, 1);
    assert!(errors.contains("nowhere.csv"), "{errors}");
}

/// A cell that is there but makes no sense is refused with its reason, not replaced by a default.
#[test]
fn nonsense_in_a_row_gets_a_reason_and_no_figure() {
    let good = measured().into_iter().find(|r| r["mode"] == "agg").unwrap();
    let columns = asked();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let cases = [
        ("isl", "0", "isl `0`: a number of at least 1"),
        ("osl", "-5", "osl `-5`"),
        ("concurrency", "many", "concurrency `many`"),
        ("random_range_ratio", "1.5", "random_range_ratio `1.5`: a share above 0, at most 1"),
        ("moe_ep", "100000", "experts"),
        ("system", "h100_sxn", "no accelerator `h100_sxn`"),
        ("backend", "vlm", "no engine `vlm`"),
    ];
    let rows: Table = cases
        .iter()
        .map(|(column, value, _)| {
            let mut row = good.clone();
            row.insert((*column).to_owned(), (*value).to_owned());
            row
        })
        .collect();
    let (text, _, exit) = ask(&rows, &columns, &[]);
    assert_eq!(exit, 0);
    for ((column, _, reason), answer) in cases.iter().zip(parse(&text)) {
        assert!(
            answer["note"].starts_with("no prediction: ") && answer["note"].contains(reason),
            "{answer:?}"
        );
        assert_eq!((answer["ttft_ms"].as_str(), answer["tpot_hi"].as_str()), ("", ""), "{column}");
    }
}
