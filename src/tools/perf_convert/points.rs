//! Measured points as configurations.

use std::path::Path;

use rhumb::catalog::{Accelerator, Catalog, ModelArch};
use rhumb::perf::{
    ClosedLoop, Configuration, EngineSettings, Layout, RequestShape, closed_loop, error_class,
};
use rhumb::spec::{EngineName, KvCacheDtype, Lengths, Quantization};

use super::{Outcome, Row, rows};

/// A measured point and the physics of it.
pub struct Point {
    pub id: String,
    pub group: String,
    pub model: String,
    pub system: String,
    pub engine: EngineName,
    pub class: &'static str,
    pub family: &'static str,
    pub fixed: bool,
    pub precision: Quantization,
    pub layout: Layout,
    pub ttft_s: f64,
    pub tpot_s: f64,
    pub physics: ClosedLoop,
}

pub fn number(r: &Row, key: &str) -> f64 {
    r[key].parse().unwrap_or(f64::NAN)
}

fn count(r: &Row, key: &str) -> u32 {
    r[key].parse::<f64>().map_or(1, |x| x as u32).max(1)
}

fn version(text: &str, engine: EngineName) -> (u32, u32) {
    let mut parts = text.split('.').filter_map(|p| p.parse().ok());
    match (parts.next(), parts.next()) {
        (Some(a), Some(b)) => (a, b),
        // Rows without a version are from early 2026.
        _ => match engine {
            EngineName::Vllm => (0, 17),
            EngineName::Sglang => (0, 5),
            EngineName::Trtllm => (1, 2),
        },
    }
}

/// The precision that a row's label stands for.
fn quantization(r: &Row, arch: &ModelArch) -> Quantization {
    match (r["dtype"].as_str(), r["moe_quant_mode"].as_str()) {
        // gpt-oss is published in mxfp4 whatever the label says.
        _ if arch.native == Quantization::Mxfp4 => Quantization::Mxfp4,
        ("fp4", _) => Quantization::Nvfp4,
        ("int4", _) => Quantization::Int4,
        // Checkpoints published in fp8 (DeepSeek, MiniMax, GLM) are scaled in blocks.
        ("fp8", _) if matches!(arch.native, Quantization::Fp8 | Quantization::Fp8Block) => {
            Quantization::Fp8Block
        }
        ("fp8", "fp8_block") => Quantization::Fp8Block,
        ("fp8", _) => Quantization::Fp8,
        _ => Quantization::Bf16,
    }
}

pub fn lengths(mean: f64, max: f64) -> Lengths {
    Lengths { mean, cv2: 0.0, p95: max, max }
}

/// What a row is run as.
pub struct Case<'a> {
    pub arch: &'a ModelArch,
    pub accelerator: &'a Accelerator,
    pub row: &'a Row,
}

impl Case<'_> {
    /// The configuration and the shape of the row.
    pub fn configuration(&self) -> Option<(Configuration<'_>, RequestShape)> {
        let r = self.row;
        let name = match r["backend"].as_str() {
            "vllm" => EngineName::Vllm,
            "sglang" => EngineName::Sglang,
            "trtllm" => EngineName::Trtllm,
            _ => return None,
        };
        let (isl, osl, ratio) = (number(r, "isl"), number(r, "osl"), number(r, "random_range_ratio"));
        let mean = if ratio < 1.0 { (1.0 + ratio) / 2.0 } else { 1.0 };
        let (tp, dp) = (count(r, "attn_tp"), count(r, "attn_dp"));
        Some((
            Configuration {
                arch: self.arch,
                quantization: quantization(r, self.arch),
                kv_cache: KvCacheDtype::Auto,
                accelerator: self.accelerator,
                fraction: 1.0,
                layout: Layout { tp, pp: count(r, "pp"), dp, ep: count(r, "moe_ep") },
                accelerators_per_node: 8,
                inter_node_bandwidth: None,
                engine: EngineSettings {
                    name,
                    version: version(&r["backend_version"], name),
                    max_num_seqs: 1024,
                    max_num_batched_tokens: 8192,
                    max_model_len: (isl + osl) as u32,
                    gpu_memory_utilization: 0.90,
                },
            },
            RequestShape {
                input: lengths(isl * mean, isl),
                output: lengths(osl * mean, osl),
                prefix_cached: 0.0,
            },
        ))
    }
}

/// The aggregated rows of the calibration file; those that are refused are returned with the reason.
pub fn load(dir: &Path, catalog: &Catalog) -> Outcome<(Vec<Point>, Vec<String>)> {
    let vocabulary = catalog.vocabulary();
    let mut points = Vec::new();
    let mut refused = Vec::new();
    for row in &rows(dir, "calibration.csv")? {
        if row["mode"] != "agg" || row["quality"] != "ok" {
            continue;
        }
        let known = |name: &str| vocabulary.models.get(&name.to_lowercase()).and_then(|id| catalog.model(id));
        let Some(arch) = known(&row["model"]).or_else(|| known(&row["arch"])) else {
            refused.push(format!("{}: no such model", row["model"]));
            continue;
        };
        let system = &row["system"];
        let Some(accelerator) = catalog.accelerators.iter().find(|a| a.perf_id.as_deref() == Some(system))
        else {
            refused.push(format!("{system}: no such accelerator"));
            continue;
        };
        let case = Case { arch, accelerator, row };
        let Some((configuration, shape)) = case.configuration() else { continue };
        match closed_loop(&configuration, &shape, number(row, "concurrency")) {
            Ok(physics) => {
                let (class, family) = error_class(&configuration);
                points.push(Point {
                    id: row["id"].clone(),
                    group: row["group"].clone(),
                    model: arch.id.clone(),
                    system: system.clone(),
                    engine: configuration.engine.name,
                    class,
                    family,
                    precision: configuration.quantization,
                    layout: configuration.layout,
                    fixed: number(row, "random_range_ratio") >= 1.0,
                    ttft_s: number(row, "ttft_ms") / 1e3,
                    tpot_s: number(row, "tpot_ms") / 1e3,
                    physics,
                });
            }
            Err(e) => refused.push(format!("{} {} {e:?}", row["id"], row["group"])),
        }
    }
    Ok((points, refused))
}
