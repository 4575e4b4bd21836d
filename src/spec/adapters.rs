//! `models.NAME.adapters`.

use std::collections::BTreeMap;

use super::EngineName;

/// LoRA adapters on a model's weights, all of them held by every replica; a request names one, or the model without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoraAdapters {
    /// `adapters.max_rank`: the largest rank among them, 1 to 512.
    pub max_rank: u32,
    /// `adapters.sources.NAME`: the name that requests go by, and the repository that it is loaded from.
    pub sources: BTreeMap<String, String>,
}

/// Ranks that vLLM takes as `--max-lora-rank` (`vllm/config/lora.py`).
pub const LORA_RANKS: [u32; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];

impl LoraAdapters {
    /// The rank that an engine allocates for, given the largest; `None` if it takes none so large.
    pub fn allocated(engine: EngineName, rank: u32) -> Option<u32> {
        if rank == 0 || rank > LORA_RANKS[LORA_RANKS.len() - 1] {
            return None;
        }
        match engine {
            EngineName::Vllm => LORA_RANKS.into_iter().find(|r| *r >= rank),
            EngineName::Sglang | EngineName::Trtllm | EngineName::Own => Some(rank),
        }
    }
}
