//! Small tables of the accuracy report: starts of machines and processors.

use std::fmt::Write as _;
use std::path::Path;

use rhumb::perf::cpu::EFFICIENCY;
use rhumb::perf::start_up::{Loader, MAPPED, load_s};

use super::points::number;
use super::{Outcome, rows};

/// Bytes of Llama-3-8B: 8.03 billion parameters of 16 bits.
const LLAMA: f64 = 16.06e9;
/// What the storage of the rows gives at most, bytes/s: a gp3 volume 1000 MiB/s, any volume of a g5.12xlarge
/// 16 Gbit/s (Amazon EC2 and EBS user guides).
const GP3: f64 = 1000.0 * 1_048_576.0;
const G5_12XLARGE: f64 = 16e9 / 8.0;

/// Writes both sections.
pub fn write(out: &mut String, dir: &Path) -> Outcome<()> {
    writeln!(out, "\n## Start of a machine\n")?;
    writeln!(
        out,
        "Three published loads of Llama-3-8B on a g5.12xlarge (`cold_start.csv`). The rate is the lowest of volume, machine and"
    )?;
    writeln!(
        out,
        "loader; the default loader's {:.2} GB/s is the first row itself. Boot, image and graph capture (190 s together at",
        MAPPED / 1e9
    )?;
    writeln!(
        out,
        "10 Gbit/s) are assumed, nothing measured stands behind them. Plans take 1 GB/s at most for weights, which holds for a"
    )?;
    writeln!(out, "streaming loader only: the default one took three times as long.\n")?;
    writeln!(out, "| storage, loader | measured s | predicted s | error % | n |\n|---|---|---|---|---|")?;
    // The file does not quote a comma in the model's name: its rows are read by their ends.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(dir.join("cold_start.csv"))?;
    for r in reader.records() {
        let r = r?;
        let cell = |i: usize| r.get(i).unwrap_or("");
        let (storage, method) = (cell(2), cell(3));
        let measured: f64 = cell(r.len().saturating_sub(2)).parse()?;
        let streamed = method.contains("streamer");
        let volume = if storage.starts_with("GP3") { GP3 } else { f64::INFINITY };
        let loader = if streamed { Loader::Streamed } else { Loader::Mapped };
        let predicted = load_s(LLAMA, volume.min(G5_12XLARGE), loader);
        let own = if streamed { "" } else { ", fitted on it" };
        writeln!(
            out,
            "| {}, {} | {measured:.1} | {predicted:.1} | {:+.1}{own} | 1 |",
            storage,
            method.replace(',', ""),
            (predicted / measured - 1.0) * 100.0
        )?;
    }
    writeln!(out, "\n## Decoding on processors\n")?;
    writeln!(
        out,
        "Four published runs of Phi-4 14B on one EPYC 9554 (`cpu_decode.csv`), by {EFFICIENCY} of the memory bandwidth over the"
    )?;
    writeln!(
        out,
        "bytes of the weights; beside it the mean efficiency of the other three. One processor and one model: nothing is known"
    )?;
    writeln!(out, "about others, and the band (a factor of 1.6) is assumed.\n")?;
    writeln!(
        out,
        "| format | measured tokens/s | predicted | error % | error % left out | n |\n|---|---|---|---|---|---|"
    )?;
    let all = rows(dir, "cpu_decode.csv")?;
    let reached = |r: &super::Row| {
        number(r, "decode_tok_s") * number(r, "model_gib") * 1_073_741_824.0
            / (number(r, "mem_bw_gbps") * 1e9)
    };
    let total: f64 = all.iter().map(reached).sum();
    for r in &all {
        let measured = number(r, "decode_tok_s");
        let at = |efficiency: f64| measured * efficiency / reached(r);
        let others = (total - reached(r)) / (all.len() as f64 - 1.0);
        let error = |x: f64| (x / measured - 1.0) * 100.0;
        writeln!(
            out,
            "| {} | {measured:.1} | {:.1} | {:+.1} | {:+.1} | 1 |",
            r["quant"],
            at(EFFICIENCY),
            error(at(EFFICIENCY)),
            error(at(others))
        )?;
    }
    writeln!(
        out,
        "\nEnergy and LoRA adapters are modelled; no measurement is in the data, so there is no table of them."
    )?;
    Ok(())
}
