//! A Hugging Face `config.json` as a [`ModelArch`].
//!
//! Only families whose fields are known are read: a guessed architecture would give a confident
//! wrong answer. Of a model that also sees or hears, the language part is read (`text_config`).

use serde_json::{Map, Value};

use super::{Mla, ModelArch, ModelKind, Moe, Provenance};
use crate::spec::Quantization;

/// How a family differs from a plain decoder with gated feed-forward.
struct Family {
    /// `model_type`.
    name: &'static str,
    form: Form,
    /// Three feed-forward matrices, not two.
    gated: bool,
    /// What `tie_word_embeddings` means when it is not written.
    tied: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Dense,
    /// `intermediate_size` is an expert's size and every layer has experts.
    Mixtral,
    /// `moe_intermediate_size`, and `intermediate_size` for layers without experts.
    Experts,
    /// Experts in every n-th layer, one shared.
    Llama4,
    Dbrx,
    Encoder,
}

const fn family(name: &'static str, form: Form, gated: bool, tied: bool) -> Family {
    Family { name, form, gated, tied }
}

const FAMILIES: &[Family] = &[
    family("bert", Form::Encoder, false, true),
    family("cohere", Form::Dense, true, true),
    family("cohere2", Form::Dense, true, true),
    family("dbrx", Form::Dbrx, true, false),
    family("deepseek_v2", Form::Experts, true, false),
    family("deepseek_v3", Form::Experts, true, false),
    family("deepseek_v32", Form::Experts, true, false),
    family("exaone4", Form::Dense, true, false),
    family("gemma", Form::Dense, true, true),
    family("gemma2", Form::Dense, true, true),
    family("gemma3", Form::Dense, true, true),
    family("gemma3_text", Form::Dense, true, true),
    family("glm4", Form::Dense, true, false),
    family("glm4_moe", Form::Experts, true, false),
    family("glm_moe_dsa", Form::Experts, true, false),
    family("gpt_oss", Form::Mixtral, true, false),
    family("granite", Form::Dense, true, false),
    family("kimi_k2", Form::Experts, true, false),
    family("llama", Form::Dense, true, false),
    family("llama4", Form::Llama4, true, false),
    family("llama4_text", Form::Llama4, true, false),
    family("mimo", Form::Dense, true, false),
    family("minimax_m2", Form::Mixtral, true, false),
    family("ministral3", Form::Dense, true, false),
    family("mistral", Form::Dense, true, false),
    family("mixtral", Form::Mixtral, true, false),
    family("nemotron", Form::Dense, false, false),
    family("olmo2", Form::Dense, true, false),
    family("olmo3", Form::Dense, true, false),
    family("phi3", Form::Dense, true, false),
    family("phimoe", Form::Mixtral, true, false),
    family("qwen2", Form::Dense, true, false),
    family("qwen2_moe", Form::Experts, true, false),
    family("qwen3", Form::Dense, true, false),
    family("qwen3_5_moe_text", Form::Experts, true, false),
    family("qwen3_5_text", Form::Dense, true, false),
    family("qwen3_moe", Form::Experts, true, false),
    family("qwen3_next", Form::Experts, true, false),
    family("roberta", Form::Encoder, false, true),
    family("seed_oss", Form::Dense, true, false),
    family("smollm3", Form::Dense, true, true),
    family("starcoder2", Form::Dense, false, true),
    family("xlm-roberta", Form::Encoder, false, true),
];

/// Reads of one object, with errors that name the key.
struct Config<'a> {
    id: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Config<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Value::as_str)
    }

    /// A whole number from 0 to 2^31 under the first key that is there.
    fn maybe(&self, keys: &[&str]) -> Result<Option<u32>, String> {
        for key in keys {
            if let Some(value) = self.get(key) {
                let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= 1 << 31);
                return match number {
                    Some(number) => Ok(Some(number)),
                    None => Err(format!("{}: `{key}` is {value}, not a whole number", self.id)),
                };
            }
        }
        Ok(None)
    }

    /// As [`Config::maybe`], at least 1.
    fn need(&self, keys: &[&str]) -> Result<u32, String> {
        match self.maybe(keys)? {
            Some(0) => Err(format!("{}: `{}` is 0", self.id, keys.join("` or `"))),
            Some(number) => Ok(number),
            None => Err(format!("{}: `{}` is missing", self.id, keys.join("` or `"))),
        }
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).and_then(Value::as_bool)
    }

    fn object(&self, key: &str) -> Option<Config<'a>> {
        self.get(key).and_then(Value::as_object).map(|map| Config { id: self.id, map })
    }

    fn list(&self, key: &str) -> Option<&'a Vec<Value>> {
        self.get(key).and_then(Value::as_array)
    }
}

impl ModelArch {
    /// Reads a Hugging Face `config.json`.
    ///
    /// Parameters are counted from the architecture, of the language part only. A decoder whose
    /// `architectures` name no output head (`Qwen3Model`) is an embedding model.
    ///
    /// # Errors
    /// What is missing or not understood, for people.
    pub fn from_hf_config(id: &str, json: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(json).map_err(|e| format!("{id}: not JSON: {e}"))?;
        let Value::Object(map) = &value else {
            return Err(format!("{id}: not a JSON object"));
        };
        let outer = Config { id, map };
        let inner = match outer.object("text_config") {
            Some(text) if outer.get("hidden_size").is_none() => text,
            _ => Config { id, map },
        };
        let written = inner.text("model_type").or_else(|| outer.text("model_type"));
        let model_type = written.ok_or_else(|| format!("{id}: `model_type` is missing"))?;
        let family = FAMILIES.iter().find(|f| f.name == model_type).ok_or_else(|| {
            let known: Vec<&str> = FAMILIES.iter().map(|f| f.name).collect();
            let guess = crate::diagnostic::did_you_mean(model_type, known.iter().copied());
            let guess = guess.map(|g| format!("; did you mean `{g}`?")).unwrap_or_default();
            format!("{id}: architecture `{model_type}` is not known{guess} Known are: {}", known.join(", "))
        })?;
        let native = native(&inner, &outer)?;
        let kind = kind(family, &inner, &outer);
        let mut arch = if family.form == Form::Dbrx {
            dbrx(&inner, native)?
        } else {
            read(&inner, family, kind, native)?
        };
        arch.count_parameters();
        let extra = linear_attention_extra(&inner, &arch)?;
        arch.params += extra;
        arch.params_active += extra;
        Ok(arch)
    }
}

fn kind(family: &Family, inner: &Config<'_>, outer: &Config<'_>) -> ModelKind {
    let architectures = outer.list("architectures").or_else(|| inner.list("architectures"));
    let class = architectures.and_then(|l| l.first()).and_then(Value::as_str).unwrap_or_default();
    match family.form {
        Form::Encoder if class.contains("For") => ModelKind::Encoder,
        Form::Encoder => ModelKind::Embedding,
        _ if !class.is_empty() && class.ends_with("Model") => ModelKind::Embedding,
        Form::Dense => ModelKind::Dense,
        _ => ModelKind::Moe,
    }
}

fn read(c: &Config<'_>, family: &Family, kind: ModelKind, native: Quantization) -> Result<ModelArch, String> {
    let layers = c.need(&["num_hidden_layers", "n_layer"])?;
    let hidden = c.need(&["hidden_size", "n_embd"])?;
    let heads = c.need(&["num_attention_heads", "n_head"])?;
    let kv_heads = c.maybe(&["num_key_value_heads"])?.filter(|n| *n > 0).unwrap_or(heads);
    let mla = mla(c)?;
    let head_dim = match (&mla, c.maybe(&["head_dim"])?.filter(|n| *n > 0)) {
        (Some(mla), _) => mla.qk_nope_head_dim.saturating_add(mla.qk_rope_head_dim),
        (None, Some(stated)) => stated,
        (None, None) if hidden % heads == 0 => hidden / heads,
        (None, None) => {
            return Err(format!(
                "{}: no `head_dim`, and `hidden_size` {hidden} is not a multiple of `num_attention_heads` {heads}",
                c.id
            ));
        }
    };
    let moe = moe(c, family, layers)?;
    let ffn = match (family.form, &moe) {
        (Form::Llama4, Some(moe)) if moe.dense_layers > 0 => c.need(&["intermediate_size_mlp"])?,
        (_, Some(moe)) if moe.dense_layers == 0 => 0,
        _ => c.need(&["intermediate_size", "n_inner"])?,
    };
    let (sliding, linear_layers) = layer_kinds(c, family, layers)?;
    Ok(ModelArch {
        id: c.id.to_owned(),
        kind,
        params: 0.0,
        params_active: 0.0,
        layers,
        hidden,
        ffn,
        gated: family.gated,
        heads,
        kv_heads,
        head_dim,
        mla,
        moe,
        vocab: c.need(&["vocab_size"])?,
        max_context: c.need(&["max_position_embeddings", "n_positions", "max_seq_len"])?,
        native,
        sliding,
        linear_layers,
        sparse_topk: c.maybe(&["index_topk"])?,
        tied_embeddings: c.flag("tie_word_embeddings").unwrap_or(family.tied),
        licence: None,
        provenance: own(c.id),
    })
}

fn own(id: &str) -> Provenance {
    Provenance { source: format!("user:{id}").into(), as_of: "".into() }
}

fn mla(c: &Config<'_>) -> Result<Option<Mla>, String> {
    let Some(kv_lora_rank) = c.maybe(&["kv_lora_rank"])? else { return Ok(None) };
    Ok(Some(Mla {
        kv_lora_rank,
        q_lora_rank: c.maybe(&["q_lora_rank"])?.unwrap_or(0),
        qk_rope_head_dim: c.need(&["qk_rope_head_dim"])?,
        qk_nope_head_dim: c.need(&["qk_nope_head_dim"])?,
        v_head_dim: c.need(&["v_head_dim"])?,
    }))
}

fn moe(c: &Config<'_>, family: &Family, layers: u32) -> Result<Option<Moe>, String> {
    const EXPERTS: [&str; 4] = ["n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"];
    let per_token = || c.need(&["num_experts_per_tok", "experts_per_token", "moe_topk"]);
    Ok(match family.form {
        Form::Dense | Form::Encoder | Form::Dbrx => None,
        Form::Mixtral => Some(Moe {
            experts: c.need(&EXPERTS)?,
            per_token: per_token()?,
            shared: 0,
            intermediate: c.need(&["intermediate_size"])?,
            dense_layers: 0,
        }),
        Form::Llama4 => {
            let with_experts = match c.list("moe_layers").filter(|l| !l.is_empty()) {
                Some(list) => u32::try_from(list.len()).unwrap_or(layers),
                None => layers / c.maybe(&["interleave_moe_layer_step"])?.unwrap_or(1).max(1),
            };
            Some(Moe {
                experts: c.need(&EXPERTS)?,
                per_token: per_token()?,
                shared: 1,
                intermediate: c.need(&["intermediate_size"])?,
                dense_layers: layers.saturating_sub(with_experts),
            })
        }
        Form::Experts => {
            let intermediate = c.need(&["moe_intermediate_size"])?;
            let dense_layers = match c.maybe(&["first_k_dense_replace"])? {
                Some(first) => first.min(layers),
                None => {
                    let step = c.maybe(&["decoder_sparse_step"])?.unwrap_or(1).max(1);
                    let only_mlp = c.list("mlp_only_layers").map_or(0, Vec::len);
                    let sparse = (layers / step).saturating_sub(u32::try_from(only_mlp).unwrap_or(0));
                    layers.saturating_sub(sparse)
                }
            };
            Some(Moe {
                experts: c.need(&EXPERTS)?,
                per_token: per_token()?,
                shared: shared_experts(c, intermediate)?,
                intermediate,
                dense_layers,
            })
        }
    })
}

/// Shared experts, as many as make up the stated shared size.
fn shared_experts(c: &Config<'_>, intermediate: u32) -> Result<u32, String> {
    if let Some(shared) = c.maybe(&["n_shared_experts"])? {
        return Ok(shared);
    }
    match c.maybe(&["shared_expert_intermediate_size"])? {
        None => Ok(0),
        Some(size) if size % intermediate == 0 => Ok(size / intermediate),
        Some(size) => Err(format!(
            "{}: `shared_expert_intermediate_size` {size} is not a multiple of `moe_intermediate_size` {intermediate}",
            c.id
        )),
    }
}

/// Sliding window with its number of layers, and the number of layers with linear attention.
#[allow(clippy::type_complexity)]
fn layer_kinds(c: &Config<'_>, family: &Family, layers: u32) -> Result<(Option<(u32, u32)>, u32), String> {
    let window = c.maybe(&["sliding_window"])?.filter(|w| *w > 0);
    if let Some(types) = c.list("layer_types") {
        if types.len() != layers as usize {
            return Err(format!("{}: `layer_types` has {} entries for {layers} layers", c.id, types.len()));
        }
        let count = |name: &str| types.iter().filter(|t| t.as_str() == Some(name)).count() as u32;
        let sliding = count("sliding_attention");
        return Ok((window.filter(|_| sliding > 0).map(|w| (w, sliding)), count("linear_attention")));
    }
    let pattern = |default: u32| -> Result<u32, String> {
        Ok(c.maybe(&["sliding_window_pattern", "_sliding_window_pattern"])?.unwrap_or(default).max(1))
    };
    let linear = match c.maybe(&["full_attention_interval"])? {
        Some(interval) if interval > 0 && c.get("linear_num_value_heads").is_some() => {
            layers - layers / interval
        }
        _ => 0,
    };
    let sliding = match family.name {
        "gemma2" | "gpt_oss" => layers.div_ceil(2),
        "gemma3" | "gemma3_text" => layers - layers / pattern(6)?,
        "cohere2" => layers - layers / pattern(4)?,
        "qwen2" | "qwen3" | "qwen2_moe" | "qwen3_moe" if c.flag("use_sliding_window") != Some(true) => 0,
        "qwen2" | "qwen3" | "qwen2_moe" | "qwen3_moe" => {
            layers.saturating_sub(c.maybe(&["max_window_layers"])?.unwrap_or(0))
        }
        _ => layers,
    };
    Ok((window.filter(|_| sliding > 0).map(|w| (w, sliding)), linear))
}

/// Gated delta-net layers are larger than the attention that they replace, and the full attention
/// between them has an output gate as large as its query (Qwen3-Next).
fn linear_attention_extra(c: &Config<'_>, arch: &ModelArch) -> Result<f64, String> {
    if arch.linear_layers == 0 {
        return Ok(0.0);
    }
    let dims =
        ["linear_num_key_heads", "linear_key_head_dim", "linear_num_value_heads", "linear_value_head_dim"];
    let mut sizes = [0.0; 4];
    for (size, key) in sizes.iter_mut().zip(dims) {
        *size = f64::from(c.need(&[key])?);
    }
    let [key_heads, key_dim, value_heads, value_dim] = sizes;
    let (keys, values, hidden) = (key_heads * key_dim, value_heads * value_dim, f64::from(arch.hidden));
    let kernel = f64::from(c.maybe(&["linear_conv_kernel_dim"])?.unwrap_or(4));
    let layer = hidden * (2.0 * keys + 2.0 * values)
        + hidden * 2.0 * value_heads
        + kernel * (2.0 * keys + values)
        + values * hidden;
    let gate = hidden * f64::from(arch.heads) * f64::from(arch.head_dim);
    Ok(f64::from(arch.linear_layers) * (layer - arch.attention_params())
        + f64::from(arch.attention_layers()) * gate)
}

fn dbrx(c: &Config<'_>, native: Quantization) -> Result<ModelArch, String> {
    let missing = |key: &str| format!("{}: `{key}` is missing", c.id);
    let attention = c.object("attn_config").ok_or_else(|| missing("attn_config"))?;
    let experts = c.object("ffn_config").ok_or_else(|| missing("ffn_config"))?;
    let (hidden, heads) = (c.need(&["d_model"])?, c.need(&["n_heads"])?);
    if hidden % heads != 0 {
        return Err(format!("{}: `d_model` {hidden} is not a multiple of `n_heads` {heads}", c.id));
    }
    Ok(ModelArch {
        id: c.id.to_owned(),
        kind: ModelKind::Moe,
        params: 0.0,
        params_active: 0.0,
        layers: c.need(&["n_layers"])?,
        hidden,
        ffn: 0,
        gated: true,
        heads,
        kv_heads: attention.need(&["kv_n_heads"])?,
        head_dim: hidden / heads,
        mla: None,
        moe: Some(Moe {
            experts: experts.need(&["moe_num_experts"])?,
            per_token: experts.need(&["moe_top_k"])?,
            shared: 0,
            intermediate: experts.need(&["ffn_hidden_size"])?,
            dense_layers: 0,
        }),
        vocab: c.need(&["vocab_size"])?,
        max_context: c.need(&["max_seq_len"])?,
        native,
        sliding: None,
        linear_layers: 0,
        sparse_topk: None,
        tied_embeddings: c.flag("tie_word_embeddings").unwrap_or(false),
        licence: None,
        provenance: own(c.id),
    })
}

/// How the checkpoint is stored, by `quantization_config`, else 16 bits.
fn native(inner: &Config<'_>, outer: &Config<'_>) -> Result<Quantization, String> {
    let found = ["quantization_config", "compression_config"]
        .into_iter()
        .find_map(|key| inner.object(key).or_else(|| outer.object(key)));
    let Some(q) = found else { return Ok(Quantization::Bf16) };
    let unknown = |what: &str| format!("{}: `quantization_config`: {what} is not supported", q.id);
    let method = q.text("quant_method").or_else(|| q.text("quant_algo")).unwrap_or_default().to_lowercase();
    match method.as_str() {
        "fp8" | "fbgemm_fp8" => {
            Ok(if q.get("weight_block_size").is_some() { Quantization::Fp8Block } else { Quantization::Fp8 })
        }
        "mxfp4" => Ok(Quantization::Mxfp4),
        "awq" | "gptq" | "auto-round" => match q.maybe(&["bits", "w_bit"])?.unwrap_or(4) {
            4 => Ok(Quantization::Int4),
            bits => Err(unknown(&format!("{method} with {bits} bits"))),
        },
        "modelopt" | "nvfp4" | "modelopt_fp4" => {
            match q.text("quant_algo").unwrap_or("NVFP4").to_uppercase().as_str() {
                "NVFP4" => Ok(Quantization::Nvfp4),
                "FP8" => Ok(Quantization::Fp8),
                other => Err(unknown(&format!("modelopt {other}"))),
            }
        }
        "compressed-tensors" => compressed_tensors(&q),
        other => Err(unknown(&format!("quant_method `{other}`"))),
    }
}

fn compressed_tensors(q: &Config<'_>) -> Result<Quantization, String> {
    let unknown = |what: String| format!("{}: `quantization_config`: {what} is not supported", q.id);
    let groups = q.object("config_groups").ok_or_else(|| unknown("no `config_groups`".into()))?;
    let group = groups.map.keys().next().and_then(|key| groups.object(key));
    let group = group.ok_or_else(|| unknown("an empty `config_groups`".into()))?;
    let weights = group.object("weights").ok_or_else(|| unknown("a group without `weights`".into()))?;
    let bits = weights.need(&["num_bits"])?;
    let kind = weights.text("type").unwrap_or("int");
    let activations = group.get("input_activations").is_some();
    match (bits, kind) {
        (8, "float") if weights.text("strategy") == Some("block") => Ok(Quantization::Fp8Block),
        (8, "float") => Ok(Quantization::Fp8),
        (8, "int") if activations => Ok(Quantization::Int8),
        (4, "int") if !activations => Ok(Quantization::Int4),
        (4, "float") => Ok(Quantization::Nvfp4),
        _ => {
            let with = if activations { "quantized" } else { "16-bit" };
            Err(unknown(format!("{bits}-bit {kind} weights with {with} activations")))
        }
    }
}

#[cfg(test)]
mod tests;
