use super::*;
use serde_json::json;

fn parse(value: &Value) -> Result<ModelArch, String> {
    ModelArch::from_hf_config("config.json", value.to_string().as_bytes())
}

fn billions(value: Value) -> (ModelArch, f64) {
    let arch = parse(&value).unwrap();
    let billions = arch.params / 1e9;
    (arch, billions)
}

#[test]
fn dense_decoders() {
    let (qwen, params) = billions(json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 5120,
        "intermediate_size": 25600, "num_hidden_layers": 64, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "sliding_window": null,
        "use_sliding_window": false, "max_window_layers": 64, "max_position_embeddings": 40960,
        "tie_word_embeddings": false, "torch_dtype": "bfloat16"
    }));
    assert!((params - 32.762).abs() < 0.01, "{params}");
    assert_eq!((qwen.kind, qwen.kv_values_per_token(), qwen.sliding), (ModelKind::Dense, 2048, None));
    let (gemma, params) = billions(json!({
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text", "hidden_size": 3840, "intermediate_size": 15360,
            "num_hidden_layers": 48, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256,
            "sliding_window": 1024, "max_position_embeddings": 131072, "vocab_size": 262208
        }
    }));
    assert!((params - 11.766).abs() < 0.01, "{params}");
    assert_eq!(gemma.sliding, Some((1024, 40)));
    let (coder, params) = billions(json!({
        "model_type": "starcoder2", "hidden_size": 6144, "intermediate_size": 24576, "num_hidden_layers": 40,
        "num_attention_heads": 48, "num_key_value_heads": 4, "sliding_window": 4096, "vocab_size": 49152,
        "max_position_embeddings": 16384, "tie_word_embeddings": false
    }));
    assert!(!coder.gated && (params - 15.95).abs() < 0.02, "{params}");
}

#[test]
fn experts_and_latent_attention() {
    let (r1, params) = billions(json!({
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "hidden_size": 7168,
        "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61,
        "num_attention_heads": 128, "num_key_value_heads": 128, "kv_lora_rank": 512, "q_lora_rank": 1536,
        "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128, "n_routed_experts": 256,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3, "vocab_size": 129280,
        "max_position_embeddings": 163840,
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"}
    }));
    assert!((params - 671.03).abs() < 0.1, "{params}");
    assert!((r1.params_active / 1e9 - 37.5).abs() < 0.5, "{}", r1.params_active);
    assert_eq!((r1.native, r1.kv_values_per_token()), (Quantization::Fp8Block, 576));
    let (oss, params) = billions(json!({
        "model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 36,
        "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "num_local_experts": 128,
        "num_experts_per_tok": 4, "vocab_size": 201088, "max_position_embeddings": 131072,
        "sliding_window": 128, "quantization_config": {"quant_method": "mxfp4"}
    }));
    assert!((params - 116.8).abs() < 0.5, "{params}");
    assert_eq!((oss.native, oss.sliding, oss.ffn), (Quantization::Mxfp4, Some((128, 18)), 0));
    let (maverick, params) = billions(json!({
        "model_type": "llama4", "text_config": {
            "model_type": "llama4_text", "hidden_size": 5120, "intermediate_size": 8192,
            "intermediate_size_mlp": 16384, "interleave_moe_layer_step": 2, "num_hidden_layers": 48,
            "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "num_local_experts": 128,
            "num_experts_per_tok": 1, "vocab_size": 202048, "max_position_embeddings": 1048576
        }
    }));
    assert!((params - 400.7).abs() < 1.0 && maverick.moe_layers() == 24, "{params}");
}

#[test]
fn hybrid_attention_counts_its_gates() {
    // Qwen3-Next-80B-A3B: 79.7 billion by its model card.
    let (next, params) = billions(json!({
        "model_type": "qwen3_next", "hidden_size": 2048, "intermediate_size": 5120,
        "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512, "num_experts": 512,
        "num_experts_per_tok": 10, "num_hidden_layers": 48, "num_attention_heads": 16,
        "num_key_value_heads": 2, "head_dim": 256, "full_attention_interval": 4, "decoder_sparse_step": 1,
        "linear_num_key_heads": 16, "linear_key_head_dim": 128, "linear_num_value_heads": 32,
        "linear_value_head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 262144
    }));
    assert_eq!(next.linear_layers, 36);
    assert!((params - 79.7).abs() < 0.8, "{params}");
}

#[test]
fn encoders_and_embeddings() {
    let config = |class: &str| {
        json!({
            "architectures": [class], "model_type": "xlm-roberta", "hidden_size": 1024,
            "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
            "vocab_size": 250002, "max_position_embeddings": 8194
        })
    };
    let (bge, params) = billions(config("XLMRobertaModel"));
    assert!((params - 0.5678).abs() < 0.005, "{params}");
    assert_eq!(bge.kind, ModelKind::Embedding);
    assert_eq!(billions(config("XLMRobertaForSequenceClassification")).0.kind, ModelKind::Encoder);
}

#[test]
fn compressed_checkpoints() {
    let with = |quantization: Value| {
        parse(&json!({
            "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
            "max_position_embeddings": 131072, "quantization_config": quantization
        }))
        .map(|arch| arch.native)
    };
    let group = |weights: Value, input: Value| {
        json!({"quant_method": "compressed-tensors",
               "config_groups": {"group_0": {"weights": weights, "input_activations": input}}})
    };
    let eight = json!({"num_bits": 8, "type": "int"});
    assert_eq!(with(json!({"quant_method": "awq", "bits": 4})), Ok(Quantization::Int4));
    assert_eq!(with(group(eight.clone(), json!({"num_bits": 8}))), Ok(Quantization::Int8));
    assert_eq!(with(group(json!({"num_bits": 4, "type": "float"}), json!({}))), Ok(Quantization::Nvfp4));
    assert_eq!(with(json!({"quant_method": "modelopt", "quant_algo": "FP8"})), Ok(Quantization::Fp8));
    assert!(with(group(eight, Value::Null)).unwrap_err().contains("8-bit int weights with 16-bit"));
    assert!(with(json!({"quant_method": "bitsandbytes"})).unwrap_err().contains("bitsandbytes"));
}

#[test]
fn what_is_wrong_is_named() {
    let error = |text: &str| ModelArch::from_hf_config("m/config.json", text.as_bytes()).unwrap_err();
    assert!(error("{").starts_with("m/config.json: not JSON"));
    assert!(error("[]").contains("not a JSON object"));
    assert!(error("{}").contains("`model_type` is missing"));
    assert!(error(r#"{"model_type":"lama"}"#).contains("did you mean `llama`"));
    assert!(error(r#"{"model_type":"llama"}"#).contains("`num_hidden_layers`"));
    assert!(error(r#"{"model_type":"llama","num_hidden_layers":-3}"#).contains("-3, not a whole number"));
    assert!(error(r#"{"model_type":"llama","num_hidden_layers":0}"#).contains("is 0"));
    let nested = format!("{}{}", "[".repeat(500), "]".repeat(500));
    assert!(error(&nested).contains("not JSON"));
}
