//! Benchmark points in a table: the columns of the calibration file, read into configurations, and
//! predicted as the benchmark would measure them.
//!
//! Conditions that the columns do not carry are those of the file's sources: Blackwell runs with an fp8 KV
//! cache, and vLLM and SGLang under InferenceX (`random_range_ratio` below 1) with 0.95 of the memory.
//! Saturated rows of MiniMax-M2.5, Llama-3.1-70B, DeepSeek and Kimi-K2.5 queue at the concurrency that
//! this capacity gives, and at no other. Some rows of DeepSeek-R1 drafted tokens ([`Case::drafted`]), and some
//! configurations hold prompts back ([`Case::hold_steps`]). The rest run with the engines' defaults.

use super::closed_loop::{self, Benchmark, Script};
use super::ledger::Conditions;
use super::types::{ClosedLoop, Configuration, DoesNotFit, EngineSettings, Layout, RequestShape};
use super::{default_version, kernel, precision};
use crate::catalog::{Accelerator, Catalog, ModelArch, ModelKind};
use crate::spec::{EngineName, KvCacheDtype, Lengths, Quantization};

/// DeepSeek-R1, and its twin V3.
const DEEPSEEK: [&str; 2] = ["deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V3"];
const LLAMA: &str = "meta-llama/Meta-Llama-3.1-70B";
/// Of one replica: beyond any domain of fast links that is built.
const MOST_ACCELERATORS: u32 = 65_536;

/// The columns of a table of points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Names with their positions, sorted by length and then by name: most comparisons are of two numbers.
    sorted: Vec<(String, usize)>,
}

impl Columns {
    /// From the names in their order.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut sorted: Vec<(String, usize)> =
            names.enumerate().map(|(i, name)| (name.trim().to_owned(), i)).collect();
        sorted.sort_by(|a, b| (a.0.len(), a).cmp(&(b.0.len(), b)));
        Columns { sorted }
    }

    fn position(&self, name: &str) -> Option<usize> {
        let found = self.sorted.binary_search_by(|c| (c.0.len(), c.0.as_str()).cmp(&(name.len(), name)));
        found.ok().map(|i| self.sorted[i].1)
    }
}

/// A row of a table of points: cells by column name.
#[derive(Clone, Copy, Debug)]
pub struct Row<'t> {
    columns: &'t Columns,
    cells: &'t csv::StringRecord,
}

impl<'t> Row<'t> {
    /// A record under these columns.
    pub const fn new(columns: &'t Columns, cells: &'t csv::StringRecord) -> Self {
        Row { columns, cells }
    }

    /// The cell of a column, empty if there is none.
    pub fn text(&self, column: &str) -> &'t str {
        self.columns.position(column).and_then(|i| self.cells.get(i)).map_or("", str::trim)
    }

    /// The number of a column, if it is one above zero.
    pub fn number(&self, column: &str) -> Option<f64> {
        self.text(column).parse::<f64>().ok().filter(|x| x.is_finite() && *x > 0.0)
    }

    /// The whole number of a column, `None` of an empty one.
    ///
    /// # Errors
    /// It is something else.
    fn count(&self, column: &str) -> Result<Option<u32>, String> {
        match (self.text(column), self.number(column)) {
            ("", _) => Ok(None),
            // Of models without experts.
            ("0", _) if column.contains("moe_") => Ok(Some(1)),
            (_, Some(x)) if (1.0..=1e6).contains(&x) && x.fract() == 0.0 => Ok(Some(x as u32)),
            (text, _) => Err(format!("{column} `{text}`: a whole number of at least 1")),
        }
    }
}

/// A row as a configuration.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The model.
    pub arch: &'a ModelArch,
    /// The accelerator.
    pub accelerator: &'a Accelerator,
    /// Everything that decides the speed of a replica that decodes (and prefills, unless `prefill` is there).
    pub configuration: Configuration<'a>,
    /// Replicas of it.
    pub replicas: f64,
    /// Of a disaggregated row: the replica that prefills, how many of them, and prompts in a step.
    pub prefill: Option<(Configuration<'a>, f64, f64)>,
    /// Lengths.
    pub shape: RequestShape,
    /// Requests in flight on the whole deployment.
    pub concurrency: f64,
    /// How it is measured.
    pub fixed_lengths: bool,
    /// Full version text of the engine.
    pub build: String,
    /// What had to be assumed.
    pub notes: Vec<String>,
}

/// The precision that a row's label stands for, of a checkpoint stored as `own`.
fn quantization(dtype: &str, moe: &str, arch: &ModelArch, own: Quantization) -> Option<Quantization> {
    Some(match dtype {
        // gpt-oss is published in mxfp4 whatever the label says.
        _ if arch.native == Quantization::Mxfp4 => Quantization::Mxfp4,
        "fp4" | "nvfp4" => Quantization::Nvfp4,
        "mxfp4" => Quantization::Mxfp4,
        "int4" | "int4_wo" | "w4a16" | "awq" | "gptq" => Quantization::Int4,
        "int8" | "w8a8" => Quantization::Int8,
        // Checkpoints published in fp8 (DeepSeek, MiniMax, GLM) are scaled in blocks.
        "fp8" if matches!(arch.native, Quantization::Fp8 | Quantization::Fp8Block) || moe == "fp8_block" => {
            Quantization::Fp8Block
        }
        "fp8" if own == Quantization::Fp8Block => Quantization::Fp8Block,
        "fp8" => Quantization::Fp8,
        "fp8_block" => Quantization::Fp8Block,
        "bf16" | "fp16" | "bfloat16" | "float16" => Quantization::Bf16,
        _ => return None,
    })
}

/// The version of a build: `0.17.0` is (0, 17). Builds without a version in InferenceX are of late 2025;
/// nightly builds are the newest.
fn version(build: &str, engine: EngineName) -> (u32, u32) {
    // Containers of TensorRT-LLM have numbers of their own.
    if engine == EngineName::Trtllm
        && build.starts_with("0.")
        && (build.contains("post") || build.contains('-'))
    {
        return default_version(engine);
    }
    let mut parts = build.trim_start_matches('v').split('.').filter_map(|p| p.parse().ok());
    match (build, parts.next(), parts.next()) {
        (_, Some(a), Some(b)) => (a, b),
        ("", ..) => match engine {
            EngineName::Vllm => (0, 11),
            EngineName::Sglang => (0, 5),
            EngineName::Trtllm => (1, 1),
            EngineName::Own => (0, 0),
        },
        _ => default_version(engine),
    }
}

fn lengths(mean: f64, max: f64) -> Lengths {
    Lengths { mean, cv2: 0.0, p95: max, max }
}

impl<'a> Case<'a> {
    /// Reads a row; `own` stands in for models that the catalogue does not know.
    ///
    /// # Errors
    /// What names nothing that is known (the model, the accelerator or the engine), a cell that is no number of its kind,
    /// lengths beyond the model's context, or a layout on more accelerators than there are.
    pub fn read(row: &Row<'_>, catalog: &'a Catalog, own: Option<&'a ModelArch>) -> Result<Self, String> {
        let mut notes: Vec<String> = Vec::new();
        let (model, arch_name) = (row.text("model"), row.text("arch"));
        let known = |name: &str| catalog.resolve_checkpoint(name);
        let own = own.map(|arch| (arch, arch.native));
        let (arch, stored) = known(model).or_else(|| known(arch_name)).or(own).ok_or_else(|| {
            format!("no model `{model}` in the catalogue; give its config.json with --model-config")
        })?;
        if matches!(arch.kind, ModelKind::Embedding | ModelKind::Encoder) {
            return Err(format!("{} writes no text, and has no time per output token", arch.id));
        }
        let system = row.text("system");
        let accelerator = catalog
            .accelerators
            .iter()
            .find(|a| a.perf_id.as_deref() == Some(system))
            .or_else(|| {
                let id = catalog.resolve_accelerator(system)?;
                catalog.accelerator(id).map(|i| &catalog.accelerators[i])
            })
            .ok_or_else(|| format!("no accelerator `{system}` in the catalogue"))?;
        let name = match row.text("backend") {
            "vllm" => EngineName::Vllm,
            "sglang" => EngineName::Sglang,
            "trtllm" | "tensorrt-llm" | "tensorrt_llm" => EngineName::Trtllm,
            "" => {
                notes.push("no engine: vllm".into());
                EngineName::Vllm
            }
            other => return Err(format!("no engine `{other}`: vllm, sglang or trtllm")),
        };
        let build = row.text("backend_version").to_owned();
        let mut or = |column: &str, default: f64| match (row.text(column), row.number(column)) {
            (_, Some(x)) if x >= 1.0 => Ok(x),
            ("", _) => {
                notes.push(format!("no {column}: {default}"));
                Ok(default)
            }
            (text, _) => Err(format!("{column} `{text}`: a number of at least 1")),
        };
        let isl = or("isl", 1024.0)?;
        let osl = or("osl", 1024.0)?;
        let concurrency = or("concurrency", 1.0)?;
        let longest = isl + osl;
        if arch.max_context > 0 && longest > f64::from(arch.max_context) {
            return Err(
                DoesNotFit::Context { needed: longest, available: f64::from(arch.max_context) }.to_string()
            );
        }
        let ratio = match (row.text("random_range_ratio"), row.number("random_range_ratio")) {
            (_, Some(x)) if x <= 1.0 => x,
            ("", _) => {
                notes.push("no random_range_ratio: 1, all requests are as long".into());
                1.0
            }
            (text, _) => return Err(format!("random_range_ratio `{text}`: a share above 0, at most 1")),
        };
        let dtype = row.text("dtype");
        let quantization =
            quantization(dtype, row.text("moe_quant_mode"), arch, stored).unwrap_or_else(|| {
                let own = precision::resolve_native(arch, stored);
                notes.push(format!("no precision `{dtype}`: the checkpoint's own, {}", own.as_str()));
                own
            });
        let disaggregated = match row.text("mode") {
            "agg" => false,
            "disagg" => true,
            "" => {
                notes.push("no mode: agg".into());
                false
            }
            other => return Err(format!("mode `{other}`: agg or disagg")),
        };
        let gpus = row.count("num_gpus")?;
        if build.is_empty() {
            let (major, minor) = version("", name);
            notes.push(format!("no backend_version: as {major}.{minor}"));
        }
        let layout = |prefix: &str, notes: &mut Vec<String>| -> Result<Layout, String> {
            let column = |agg: &str, disagg: &str| {
                if prefix.is_empty() { agg.to_owned() } else { format!("{prefix}_{disagg}") }
            };
            let mut or = |column: String, default: u32| -> Result<u32, String> {
                Ok(row.count(&column)?.unwrap_or_else(|| {
                    notes.push(format!("no {column}: {default}"));
                    default
                }))
            };
            let dp = or(column("attn_dp", "attention_dp_size"), 1)?;
            let pp = or(column("pp", "pp_size"), 1)?;
            let ep = match arch.moe {
                Some(_) => or(column("moe_ep", "moe_ep_size"), 1)?,
                None => row.count(&column("moe_ep", "moe_ep_size"))?.unwrap_or(1),
            };
            let large = || format!("a layout of dp {dp} and pp {pp} is too large");
            let others = dp.checked_mul(pp).ok_or_else(large)?;
            let fill = if prefix.is_empty() { (gpus.unwrap_or(1) / others).clamp(1, 8) } else { 1 };
            let tp = or(column("attn_tp", "tp_size"), fill)?;
            match tp.checked_mul(others).filter(|all| *all <= MOST_ACCELERATORS) {
                Some(all) => {
                    if let Some(few) = gpus.filter(|g| prefix.is_empty() && *g < all) {
                        notes.push(format!(
                            "num_gpus {few} is less than the {all} of the layout: one replica of it"
                        ));
                    }
                    Ok(Layout { tp, pp, dp, ep })
                }
                None => Err(format!("tp {tp} in {}", large())),
            }
        };
        let inference_x = ratio < 1.0;
        let blackwell = kernel::family(accelerator) == "blackwell";
        let configuration = |layout: Layout| Configuration {
            arch,
            quantization,
            kv_cache: if blackwell { KvCacheDtype::Fp8 } else { KvCacheDtype::Auto },
            accelerator,
            fraction: 1.0,
            layout,
            // An NVL72 rack is one domain; elsewhere 400 Gbit/s of RDMA between machines (assumed: the table
            // does not say, and only rows that span machines depend on it).
            accelerators_per_node: if matches!(system, "gb200" | "gb300") { 72 } else { 8 },
            inter_node_bandwidth: Some(50e9),
            engine: EngineSettings {
                name,
                version: version(&build, name),
                max_num_seqs: 1024,
                max_num_batched_tokens: 8192,
                max_model_len: (isl + osl) as u32,
                gpu_memory_utilization: if inference_x && name != EngineName::Trtllm { 0.95 } else { 0.90 },
            },
        };
        let (decode, replicas, prefill) = if disaggregated {
            let decode = layout("decode", &mut notes)?;
            let workers = row.number("decode_num_workers").unwrap_or(1.0);
            let prompt = layout("prefill", &mut notes)?;
            let prompts = row.number("prefill_batch_size").unwrap_or(1.0);
            let prefillers = row.number("prefill_num_workers").unwrap_or(1.0);
            (decode, workers, Some((configuration(prompt), prefillers, prompts)))
        } else {
            let layout = layout("", &mut notes)?;
            let replicas = gpus.map_or(1, |g| (g / layout.accelerators().max(1)).max(1));
            (layout, f64::from(replicas), None)
        };
        let mean = (1.0 + ratio) / 2.0;
        Ok(Case {
            arch,
            accelerator,
            configuration: configuration(decode),
            replicas,
            prefill,
            shape: RequestShape {
                input: lengths(isl * mean, isl),
                output: lengths(osl * mean, osl),
                prefix_cached: 0.0,
            },
            concurrency,
            fixed_lengths: !inference_x,
            build,
            notes,
        })
    }

    /// The conditions of the measurement.
    pub fn conditions(&self) -> Conditions<'_> {
        Conditions { fixed_lengths: Some(self.fixed_lengths), build: Some(&self.build) }
    }

    /// Whether the row was measured with drafted tokens (MTP), which no column says.
    ///
    /// InferenceX publishes DeepSeek-R1 on TensorRT-LLM as `dsr1-*-trt-mtp` and on SGLang 0.5.9 as
    /// `dsr1-fp8-b200-sglang-mtp` beside configurations without drafts. That the rows named here are those is inferred
    /// from the name of the model and the build. The witness is the same configuration under the name V3, which
    /// drafts nothing: the time per output token of these rows is 0.59 of it on TensorRT-LLM (13 pairs) and 0.77
    /// on SGLang (5 pairs).
    fn drafted(&self) -> bool {
        let builds: &[&str] = match self.configuration.engine.name {
            EngineName::Trtllm => &["1.1.0rc2.post2", "1.2.0rc6.post3"],
            EngineName::Sglang => &["0.5.9"],
            EngineName::Vllm | EngineName::Own => &[],
        };
        !self.fixed_lengths && self.arch.id == DEEPSEEK[0] && builds.contains(&self.build.as_str())
    }

    /// Steps that the scheduler holds a prompt back, by InferenceX's published scripts; not fitted.
    ///
    /// Llama-3.1-70B of 1,024 and 1,024 tokens on TensorRT-LLM with fewer than 8 ranks waits 20 steps for more prompts
    /// (`batch_wait_timeout_iters: 20`). SGLang looks for new DeepSeek requests every 30 steps from 16 clients on and
    /// every 10 below (`--scheduler-recv-interval`), in blocks of fp8 on 4 ranks always every 10: a request waits
    /// for half of that.
    fn hold_steps(&self) -> f64 {
        let c = &self.configuration;
        match c.engine.name {
            _ if self.fixed_lengths => 0.0,
            EngineName::Trtllm => {
                let lengths = (self.shape.input.max, self.shape.output.max);
                let held = self.arch.id == LLAMA && lengths == (1024.0, 1024.0) && c.layout.tp < 8;
                if held { 20.0 } else { 0.0 }
            }
            EngineName::Sglang if DEEPSEEK.contains(&self.arch.id.as_str()) => {
                let blocks = precision::resolve_native(self.arch, c.quantization) == Quantization::Fp8Block;
                let often = self.concurrency < 16.0 || (blocks && c.layout.tp == 4);
                if often { 5.0 } else { 15.0 }
            }
            _ => 0.0,
        }
    }

    fn script(&self) -> Script {
        Script { drafted: self.drafted(), hold: self.hold_steps() }
    }

    /// The physics of an aggregated row; what does not fit is answered as if it did, with the reason.
    ///
    /// # Errors
    /// A figure that every prediction needs is unknown.
    pub fn physics(&self) -> Result<(ClosedLoop, Option<DoesNotFit>), DoesNotFit> {
        let held = self.concurrency / self.replicas;
        let found = closed_loop::leniently(&self.configuration, &self.shape, held)?;
        Ok((found.0.under(self.script()), found.2))
    }

    /// What the benchmark would measure.
    ///
    /// # Errors
    /// A figure that every prediction needs is unknown.
    pub fn predict(&self) -> Result<Benchmark, DoesNotFit> {
        let held = self.concurrency / self.replicas;
        let mut found = match &self.prefill {
            None => closed_loop::benchmark_leniently(
                &self.configuration,
                &self.shape,
                held,
                &self.conditions(),
                self.script(),
            )?,
            Some((prompts, workers, together)) => closed_loop::disaggregated(
                (&self.configuration, held),
                (prompts, self.concurrency / workers, *together),
                &self.shape,
                &self.conditions(),
            )?,
        };
        found.notes.splice(0..0, self.notes.iter().cloned());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps held, and whether drafted, of a row with these cells; `change` is of cells by column.
    fn script(change: &[(&str, &str)]) -> (bool, f64) {
        let mut cells = std::collections::BTreeMap::from([
            ("arch", "deepseek-r1"),
            ("attn_tp", "8"),
            ("backend", "trtllm"),
            ("backend_version", "1.2.0rc6.post3"),
            ("concurrency", "64"),
            ("dtype", "fp8"),
            ("isl", "1024"),
            ("mode", "agg"),
            ("model", "deepseek-ai/DeepSeek-R1"),
            ("num_gpus", "8"),
            ("osl", "1024"),
            ("random_range_ratio", "0.8"),
            ("system", "b200_sxm"),
        ]);
        cells.extend(change.iter().copied());
        let catalog = Catalog::embedded();
        let columns = Columns::new(cells.keys().copied());
        let record: csv::StringRecord = cells.values().copied().collect();
        let case = Case::read(&Row::new(&columns, &record), &catalog, None).unwrap();
        let (found, _) = case.physics().unwrap();
        assert_eq!((found.drafted, found.hold), (case.drafted(), case.hold_steps()));
        (found.drafted, found.hold)
    }

    const V3: (&str, &str) = ("model", "deepseek-ai/DeepSeek-V3");
    const LLAMA: (&str, &str) = ("model", "meta-llama/Meta-Llama-3.1-70B");
    const SGLANG: (&str, &str) = ("backend", "sglang");
    const FIXED: (&str, &str) = ("random_range_ratio", "1.0");

    #[test]
    fn drafts_are_of_deepseek_r1_and_of_three_builds() {
        let build = |build: &'static str| ("backend_version", build);
        for drafted in ["1.1.0rc2.post2", "1.2.0rc6.post3"] {
            assert!(script(&[build(drafted)]).0);
            for other in [V3, LLAMA, FIXED, SGLANG, ("backend", "vllm")] {
                assert!(!script(&[build(drafted), other]).0, "{drafted} {other:?}");
            }
        }
        assert!(!script(&[build("1.1.0rc5")]).0 && !script(&[build("")]).0);
        assert!(script(&[SGLANG, build("0.5.9")]).0);
        assert!(!script(&[SGLANG, build("0.5.9"), V3]).0);
        assert!(!script(&[SGLANG, build("0.5.8")]).0 && !script(&[build("0.5.9")]).0);
    }

    #[test]
    fn holds_are_those_of_the_published_scripts() {
        let hold = |change: &[(&str, &str)]| script(change).1;
        let (tp4, few) = (("attn_tp", "4"), ("concurrency", "8"));
        assert_eq!(hold(&[LLAMA, tp4]), 20.0);
        for other in [("attn_tp", "8"), ("isl", "8192"), ("osl", "8192"), FIXED, ("backend", "vllm")] {
            assert_eq!(hold(&[LLAMA, tp4, other]), 0.0, "{other:?}");
        }
        assert_eq!(hold(&[tp4]), 0.0);
        for model in [V3, ("model", "deepseek-ai/DeepSeek-R1")] {
            assert_eq!(hold(&[SGLANG, model]), 15.0);
            assert_eq!(hold(&[SGLANG, model, ("concurrency", "16")]), 15.0);
            assert_eq!(hold(&[SGLANG, model, few]), 5.0);
            assert_eq!(hold(&[SGLANG, model, tp4]), 5.0);
            assert_eq!(hold(&[SGLANG, model, tp4, ("dtype", "fp4")]), 15.0);
            assert_eq!(hold(&[SGLANG, model, FIXED]), 0.0);
        }
        assert_eq!(hold(&[SGLANG, LLAMA]), 0.0);
    }

    /// Users' traffic, their runs and the load of a benchmark of their own come of functions that make a
    /// closed loop without a row.
    #[test]
    fn only_rows_of_a_table_have_a_script() {
        use crate::perf::testing::{arch, configuration, gpu, shape};
        let (mut a, g) = (arch("deepseek-v3"), gpu("b200"));
        a.id = DEEPSEEK[0].into();
        let mut c = configuration(&a, &g, 8);
        (c.engine.name, c.engine.version) = (EngineName::Sglang, (0, 5));
        let found = crate::perf::closed_loop(&c, &shape(1024.0, 1024.0), 64.0).unwrap();
        assert_eq!((found.drafted, found.hold), (false, 0.0));
    }
}
