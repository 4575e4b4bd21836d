//! Names: the alias table, and the list of all names of all data files that a test resolves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Record, field, read_csv};

/// The alias table.
pub struct Aliases(BTreeMap<(String, String), String>);

impl Aliases {
    /// From the rows of `aliases.tsv`.
    pub fn new(rows: &[Record]) -> Self {
        Aliases(
            rows.iter()
                .filter(|r| field(r, "catalogued") == "yes")
                .map(|r| {
                    let key = (field(r, "kind").to_owned(), field(r, "alias").to_lowercase());
                    (key, field(r, "id").to_owned())
                })
                .collect(),
        )
    }

    /// The id behind a name, if the catalogue has it.
    pub fn resolve(&self, kind: &str, name: &str) -> Option<&str> {
        self.0.get(&(kind.to_owned(), name.to_lowercase())).map(String::as_str)
    }
}

/// Where names stand: file, column, kind.
const COLUMNS: [(&str, &str, &str); 34] = [
    ("calibration.csv", "model", "model"),
    ("calibration.csv", "arch", "model"),
    ("calibration.csv", "system", "accelerator"),
    ("calibration.csv", "dtype", "precision"),
    ("calibration.csv", "gemm_quant_mode", "precision"),
    ("calibration.csv", "moe_quant_mode", "precision"),
    ("other_gpus.csv", "gpu", "accelerator"),
    ("other_gpus.csv", "model", "model"),
    ("other_gpus.csv", "dtype", "precision"),
    ("gpustack_measured_calibration.csv", "model", "model"),
    ("gpustack_measured_calibration.csv", "gpu", "accelerator"),
    ("gpustack_measured_calibration.csv", "precision", "precision"),
    ("llmd_measured_calibration.csv", "model", "model"),
    ("llmd_measured_calibration.csv", "gpu", "accelerator"),
    ("llmd_measured_calibration.csv", "precision", "precision"),
    ("vllm_memory_measured_calibration.csv", "model", "model"),
    ("vllm_memory_measured_calibration.csv", "gpu", "accelerator"),
    ("vllm_memory_measured_calibration.csv", "dtype", "precision"),
    ("vllm_memory_measured_calibration.csv", "quantization", "precision"),
    ("vllm_memory_measured_calibration.csv", "kv_cache_dtype", "precision"),
    ("quality.csv", "model", "model"),
    ("quality.csv", "precision", "precision"),
    ("training.csv", "model", "model"),
    ("training.csv", "gpu", "accelerator"),
    ("training.csv", "precision", "precision"),
    ("gpu_kernel_fit.csv", "gpu", "accelerator"),
    ("gpu_kernel_fit.csv", "dtype", "precision"),
    ("gpu_efficiency.csv", "gpu", "accelerator"),
    ("gpu_efficiency.csv", "dtype", "precision"),
    ("collectives.csv", "gpu", "accelerator"),
    ("collectives_fit.csv", "gpu", "accelerator"),
    ("gpu_specs.csv", "gpu", "accelerator"),
    ("models.csv", "hf_id", "model"),
    ("models.csv", "native_dtype", "precision"),
];

/// Writes the fixture: every distinct name with the file that it is from.
pub fn fixture(catalog: &Path, perf: &Path) -> Result<(), String> {
    let mut names: BTreeSet<(&str, String, &str)> = BTreeSet::new();
    for (file, column, kind) in COLUMNS {
        for row in read_csv(&perf.join(file))? {
            let name = field(&row, column);
            if !name.is_empty() && name != "None" {
                names.insert((kind, name.to_owned(), file));
            }
        }
    }
    for (file, column) in [("cold_start.csv", "model"), ("cpu_decode.csv", "model")] {
        for row in read_csv(&perf.join(file))? {
            names.insert(("model", field(&row, column).to_owned(), file));
        }
    }
    for row in read_csv(&perf.join("cpu_decode.csv"))? {
        names.insert(("precision", field(&row, "quant").to_owned(), "cpu_decode.csv"));
    }
    for row in read_csv(&perf.join("cold_start.csv"))? {
        let hardware = field(&row, "hardware");
        let gpu = hardware.rsplit_once(", ").map_or(hardware, |(_, gpu)| gpu);
        names.insert(("accelerator", gpu.to_owned(), "cold_start.csv"));
    }
    for row in read_csv(&catalog.join("instance_types.csv"))? {
        // `machine-type+accelerator:count`
        if let Some((_, attached)) = field(&row, "instance_type").split_once('+') {
            let name = attached.split_once(':').map_or(attached, |(name, _)| name);
            names.insert(("accelerator", name.to_owned(), "instance_types.csv"));
        }
        let accelerator = field(&row, "accelerator_id");
        if !accelerator.is_empty() {
            names.insert(("accelerator", accelerator.to_owned(), "instance_types.csv"));
        }
    }
    let mut text = String::from("kind\tname\tfile\n");
    for (kind, name, file) in names {
        text.push_str(&format!("{kind}\t{name}\t{file}\n"));
    }
    let path = Path::new("tests/it/fixtures/names.tsv");
    std::fs::create_dir_all("tests/it/fixtures").map_err(|e| e.to_string())?;
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
