//! What is known to be missing or doubtful.

/// The known holes of the collected data, for people. Counts of unknown cells are computed, not
/// listed here.
pub const KNOWN_HOLES: [&str; 15] = [
    "A price row is not a promise of capacity: Azure also prices sizes that a region does not sell, so its offerings read `unknown`.",
    "Prices of AWS local and Wavelength zones are kept in the table and are not offerings of the region.",
    "AWS: spot only for p4d, p4de, p5*, p6 and part of g7e; no trn2, p5e on-demand or P6e-GB200 price; g7, c7i and r7i in few regions.",
    "Azure: no reservations; no GB300 price; network and disks of some sizes are unknown.",
    "Google Cloud: A4X, A3 edge and TPU7x have no price; A3 1g/2g/4g, A3 Ultra and A4 have no plain on-demand price.",
    "Spot prices are examples of the level only; they move by tens of percent within months.",
    "The spot advisor's band `>20%` states no upper edge; 100 % is used. Azure and Google publish no band here.",
    "Transfer between regions: Google inside North America is unknown; some Google prices are older than its 2024 change; Azure's are of 2023-24.",
    "Round trips were measured in 2022 between 69 regions; newer regions and cables are modelled.",
    "Countries stand for the catalogue's regions in them; a country without a region has no place (give coordinates).",
    "Quotas: what a new account has is often unknown; read the account's own figures.",
    "Quotas of Google Cloud for machines without accelerators (vCPUs of a series, of spot, of all regions) are not held.",
    "Grid carbon is the mean of a year by location (Google's of 2024, by grid; four Azure regions by older ones of Cloud Carbon Footprint), never of an hour; where only a source without clear terms has it, it is unknown.",
    "PUE: 9 regions of Google have their own (as Cloud Carbon Footprint has it, without a year); all others stand at a mean of their cloud.",
    "Models for speech, vision and images are not held.",
];
