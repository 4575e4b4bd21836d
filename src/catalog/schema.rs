//! The tables under `data/`: their columns, in order, and what a cell holds.
//!
//! Three programs read this file: the converter writes the tables by it, the build script checks
//! and packs them by it, and start-up decodes the packed form by it.

/// What a cell of a column holds. An empty cell is unknown in every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A finite decimal number.
    Number,
    /// Dollars, kept as an integer number of micro-dollars.
    Money,
}

/// A table: one file `data/NAME.tsv` with a header line.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// File name without extension.
    pub name: &'static str,
    /// The first so many columns are the key: rows are sorted by them and no key occurs twice.
    pub key: usize,
    /// Column names and kinds.
    pub columns: &'static [(&'static str, Kind)],
}

impl Table {
    /// Position of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(n, _)| *n == name)
    }
}

/// The table of that name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|t| t.name == name)
}

/// References between tables: table, its columns, the table whose key they name. An empty last cell
/// is none.
pub const REFERENCES: &[(&str, &[&str], &str)] = &[
    ("instance_types", &["accelerator_id"], "accelerators"),
    ("prices", &["cloud", "instance_type"], "instance_types"),
    ("prices", &["cloud", "region"], "regions"),
    ("offered", &["cloud", "instance_type"], "instance_types"),
    ("offered", &["cloud", "region"], "regions"),
    ("spot_advisor", &["cloud", "instance_type"], "instance_types"),
    ("spot_advisor", &["cloud", "region"], "regions"),
    ("zones", &["cloud", "region"], "regions"),
    ("grid", &["cloud", "region"], "regions"),
    ("pue", &["cloud", "region"], "regions"),
    ("quality", &["model"], "models"),
];

/// Kinds of aliases and the table that their ids are keys of, if the catalogue holds them.
pub const ALIASED: &[(&str, &str)] = &[("model", "models"), ("accelerator", "accelerators")];

use Kind::{Money, Number, Text};

/// All tables, in the order in which they are packed.
pub const TABLES: &[Table] = &[
    Table {
        name: "sources",
        key: 1,
        columns: &[
            ("id", Text),
            ("parts", Text),
            ("description", Text),
            ("copy", Text),
            ("licence", Text),
            ("taken", Text),
            ("carried", Text),
        ],
    },
    Table {
        name: "accelerators",
        key: 1,
        columns: &[
            ("accelerator_id", Text),
            ("vendor", Text),
            ("model", Text),
            ("memory_gib", Number),
            ("memory_reported_mib", Number),
            ("memory_bandwidth_gbps", Number),
            ("fp32_tflops", Number),
            ("bf16_tflops", Number),
            ("fp16_tflops", Number),
            ("fp8_tflops", Number),
            ("int8_tops", Number),
            ("fp4_tflops", Number),
            ("interconnect", Text),
            ("interconnect_gbps_per_gpu", Number),
            ("tdp_watts", Number),
            ("compute_capability", Text),
            ("perf_id", Text),
            ("notes", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "instance_types",
        key: 2,
        columns: &[
            ("cloud", Text),
            ("instance_type", Text),
            ("accelerator_id", Text),
            ("gpu_count", Number),
            ("vcpus", Number),
            ("memory_gib", Number),
            ("local_nvme_gib", Number),
            ("network_gbps", Number),
            ("rdma", Text),
            ("rdma_gbps", Number),
            ("arch", Text),
            ("status", Text),
            ("notes", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "regions",
        key: 2,
        columns: &[
            ("cloud", Text),
            ("region", Text),
            ("location", Text),
            ("country_code", Text),
            ("continent", Text),
            ("jurisdictions", Text),
            ("latitude", Number),
            ("longitude", Number),
            ("zone_count", Number),
            ("notes", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "zones",
        key: 3,
        columns: &[
            ("cloud", Text),
            ("region", Text),
            ("zone", Text),
            ("zone_kind", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "prices",
        key: 5,
        columns: &[
            ("cloud", Text),
            ("instance_type", Text),
            ("region", Text),
            ("purchase", Text),
            ("zone", Text),
            ("usd_per_hour", Money),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "offered",
        key: 3,
        columns: &[
            ("cloud", Text),
            ("instance_type", Text),
            ("region", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "spot_advisor",
        key: 3,
        columns: &[
            ("cloud", Text),
            ("instance_type", Text),
            ("region", Text),
            ("interruption_band", Text),
            ("savings_over_on_demand_pct", Number),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "quotas",
        key: 4,
        columns: &[
            ("cloud", Text),
            ("instance_families", Text),
            ("purchase", Text),
            ("quota_code", Text),
            ("quota_name", Text),
            ("unit", Text),
            ("scope", Text),
            ("default_new_account", Number),
            ("notes", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "egress",
        key: 7,
        columns: &[
            ("cloud", Text),
            ("from_region", Text),
            ("from_scope", Text),
            ("to_kind", Text),
            ("to_region", Text),
            ("to_scope", Text),
            ("tier_min_tib_month", Number),
            ("tier_max_tib_month", Number),
            ("usd_per_gib", Money),
            ("notes", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "rtt",
        key: 4,
        columns: &[
            ("from_cloud", Text),
            ("from_region", Text),
            ("to_cloud", Text),
            ("to_region", Text),
            ("rtt_avg_ms", Number),
            ("flag", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "rtt_fit",
        key: 2,
        columns: &[
            ("continent_a", Text),
            ("continent_b", Text),
            ("n_pairs", Number),
            ("base_ms", Number),
            ("route_factor", Number),
            ("median_abs_error_ms", Number),
            ("p90_abs_error_ms", Number),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "throughput",
        key: 4,
        columns: &[
            ("from_cloud", Text),
            ("from_region", Text),
            ("to_cloud", Text),
            ("to_region", Text),
            ("tcp_gbps", Number),
            ("connections", Number),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "grid",
        key: 2,
        columns: &[
            ("cloud", Text),
            ("region", Text),
            ("gco2_per_kwh", Number),
            ("year", Number),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "pue",
        key: 2,
        columns: &[("cloud", Text), ("region", Text), ("pue", Number), ("source", Text), ("as_of", Text)],
    },
    Table {
        name: "models",
        key: 1,
        columns: &[
            ("hf_id", Text),
            ("kind", Text),
            ("layers", Number),
            ("hidden", Number),
            ("ffn_dim", Number),
            ("mlp_gated", Text),
            ("heads", Number),
            ("kv_heads", Number),
            ("head_dim", Number),
            ("kv_lora_rank", Number),
            ("q_lora_rank", Number),
            ("qk_rope_head_dim", Number),
            ("qk_nope_head_dim", Number),
            ("v_head_dim", Number),
            ("n_experts", Number),
            ("experts_per_token", Number),
            ("n_shared_experts", Number),
            ("moe_intermediate", Number),
            ("dense_layers", Number),
            ("vocab", Number),
            ("max_context", Number),
            ("native_dtype", Text),
            ("sliding_window", Number),
            ("sliding_layers", Number),
            ("linear_attn_layers", Number),
            ("sparse_attn_topk", Number),
            ("tied_embeddings", Text),
            ("params_stated_b", Number),
            ("params_check_b", Number),
            ("licence", Text),
            ("notes", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "quality",
        key: 4,
        columns: &[
            ("model", Text),
            ("quantization", Text),
            ("benchmark", Text),
            ("precision", Text),
            ("recovery_pct", Number),
            ("score", Number),
            ("bf16_score", Number),
            ("kind", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
    Table {
        name: "aliases",
        key: 2,
        columns: &[
            ("kind", Text),
            ("alias", Text),
            ("id", Text),
            ("catalogued", Text),
            ("quantization", Text),
            ("source", Text),
            ("as_of", Text),
        ],
    },
];
