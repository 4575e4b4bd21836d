//! Carbon: the intensity of each region's electricity, and the PUE of data centres.

use super::{Record, field};

/// What regions.csv calls a source of intensities, and the date of the copy. Others are not carried.
///
/// The terms of `gsf-real-time-cloud` ask to be checked before redistribution, and none of its copies states a licence for its
/// data: its intensities of 2023 and all of its PUE are unknown here.
const INTENSITIES: [(&str, &str); 2] = [("gcp-region-carbon-info", "2025-12-03"), ("ccf", "2022-11-01")];

/// PUE as Cloud Carbon Footprint has it (`PUE_AVG` and `PUE_TRAILING_TWELVE_MONTH`): cloud, region (none: all others of the cloud),
/// ratio.
const PUE: [[&str; 3]; 12] = [
    ["aws", "", "1.135"],
    ["azure", "", "1.185"],
    ["gcp", "", "1.1"],
    ["gcp", "asia-east1", "1.13"],
    ["gcp", "asia-southeast1", "1.14"],
    ["gcp", "europe-north1", "1.09"],
    ["gcp", "europe-west1", "1.08"],
    ["gcp", "europe-west4", "1.09"],
    ["gcp", "southamerica-east1", "1.09"],
    ["gcp", "us-central1", "1.11"],
    ["gcp", "us-east1", "1.102"],
    ["gcp", "us-west1", "1.095"],
];

/// Source and date of [`PUE`].
pub const PUE_SOURCE: [&str; 2] = ["ccf-pue", "2026-11-27"];

/// Of each region whose intensity has a source that may be carried, that figure.
pub fn grid(regions: &[Record]) -> Vec<Record> {
    let row = |region: &Record| {
        let source = field(region, "grid_carbon_source");
        let (_, as_of) = INTENSITIES.iter().find(|(known, _)| *known == source)?;
        let cells = [
            ("cloud", field(region, "cloud")),
            ("region", field(region, "region")),
            ("gco2_per_kwh", field(region, "grid_carbon_gco2_per_kwh")),
            ("year", field(region, "grid_carbon_year")),
            ("source", source),
            ("as_of", as_of),
        ];
        Some(cells.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
    };
    regions.iter().filter_map(row).collect()
}

/// The table of PUE.
pub fn pue() -> Vec<Record> {
    let [source, as_of] = PUE_SOURCE;
    let row = |[cloud, region, ratio]: [&str; 3]| -> Record {
        let cells =
            [("cloud", cloud), ("region", region), ("pue", ratio), ("source", source), ("as_of", as_of)];
        cells.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    };
    PUE.map(row).into()
}
