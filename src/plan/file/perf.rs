//! What prediction says, in a plan file.

use serde::Serializer;
use serde::ser::SerializeStruct as _;

use super::mirror::{Mirror, Written, mirror, words};
use crate::perf;
use crate::spec::{
    Checkpointing, EngineName, Framework, KvCacheDtype, Quantization, Sharding, TrainingPrecision,
};

words!(QuantizationWord for Quantization {
    Native = "native",
    Bf16 = "bf16",
    Fp8 = "fp8",
    Fp8Block = "fp8_block",
    Int8 = "int8",
    Int4 = "int4",
    Mxfp4 = "mxfp4",
    Nvfp4 = "nvfp4",
});

words!(KvCacheWord for KvCacheDtype { Auto = "auto", Bf16 = "bf16", Fp8 = "fp8" });

words!(EngineWord for EngineName { Vllm = "vllm", Sglang = "sglang", Trtllm = "trtllm", Own = "own" });

words!(PrecisionWord for TrainingPrecision { Bf16 = "bf16", Fp8 = "fp8" });

words!(FrameworkWord for Framework { PyTorch = "pytorch", TensorFlow = "tensorflow" });

words!(ShardingWord for Sharding { None = "none", Gradients = "gradients", Full = "full" });

words!(CheckpointingWord for Checkpointing { None = "none", Full = "full" });

mirror!(TrainingMemoryFile for perf::training::TrainingMemory {
    device: f64,
    weights: f64,
    gradients: f64,
    optimizer: f64,
    gathered: f64,
    activations: f64,
    logits: f64,
    runtime: f64,
});

mirror!(LayoutFile for perf::Layout { tp: u32, pp: u32, dp: u32, ep: u32 });

mirror!(EngineFile for perf::EngineSettings {
    name: EngineName,
    version: (u32, u32),
    max_num_seqs: u32,
    max_num_batched_tokens: u32,
    max_model_len: u32,
    gpu_memory_utilization: f64,
});

mirror!(MemoryFile for perf::MemoryFit {
    device: f64,
    usable: f64,
    weights: f64,
    overhead: f64,
    kv_cache: f64,
    kv_per_token: f64,
    kv_tokens: f64,
    max_sequences: u32,
});

mirror!(LatencyFile for perf::Latency {
    ttft: perf::Percentiles,
    tpot: perf::Percentiles,
    e2e: perf::Percentiles,
    utilization: f64,
    batch: f64,
});

/// `Percentiles` in a plan file: a wait is written only where there is one.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PercentilesFile {
    mean: f64,
    shift: f64,
    mu: f64,
    sigma: f64,
    #[serde(default)]
    wait: Option<WaitFile>,
}

impl Mirror for perf::Percentiles {
    type File = PercentilesFile;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let perf::Percentiles { mean, shift, mu, sigma, wait } = self;
        let mut file = serializer.serialize_struct("PercentilesFile", 4 + usize::from(wait.is_some()))?;
        for (name, value) in [("mean", mean), ("shift", shift), ("mu", mu), ("sigma", sigma)] {
            file.serialize_field(name, value)?;
        }
        if let Some(wait) = wait {
            file.serialize_field("wait", &Written(wait))?;
        }
        file.end()
    }
    fn from_file(file: PercentilesFile) -> Result<Self, String> {
        let PercentilesFile { mean, shift, mu, sigma, wait } = file;
        Ok(perf::Percentiles { mean, shift, mu, sigma, wait: Mirror::from_file(wait)? })
    }
}

mirror!(WaitFile for perf::Wait { share: f64, whole_ms: f64, longer: f64, longer_ms: f64 });
