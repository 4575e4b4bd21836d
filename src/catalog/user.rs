//! The user's own catalogue file: YAML that adds rows to the catalogue or overrides them, or a price list in CSV.
//!
//! A file whose name ends with `.csv` is a price list. Its first line names its columns, in any order: `cloud`, `instance_type`, `region`, `price`
//! (dollars an hour of one machine, as paid: discounts are not taken off it), `currency` (`USD`), `date` (of the price), and `purchase` if not all are
//! `on_demand`. Rows override prices of the catalogue or add to them. Everything else is YAML:
//!
//! ```yaml
//! as_of: 2026-11-20            # the date of these figures (optional)
//!
//! instance_types:              # a known one is overridden key by key, a new one needs `vcpus`
//!   - cloud: aws
//!     name: p5.48xlarge
//!     network_gbps: 3200
//!   - cloud: azure
//!     name: Standard_Own_H100
//!     accelerator: h100_sxm    # any known spelling of an accelerator of the catalogue
//!     accelerator_count: 8     # below 1 for a partition
//!     vcpus: 96
//!     memory_gib: 1900         # also: local_nvme_gib, network_gbps, rdma, rdma_gbps, arch, status, notes
//!
//! regions:                     # a known one is overridden key by key, a new one needs `country`
//!   - cloud: gcp
//!     id: europe-own1
//!     country: DE              # also: location, continent, jurisdictions, latitude, longitude, zones, notes
//!
//! prices:                      # what you pay; discounts are not taken off these
//!   - cloud: aws
//!     instance_type: p5.48xlarge
//!     region: eu-west-1
//!     purchase: reserved_1y    # on_demand (unless stated), spot, reserved_1y, reserved_3y
//!     usd_per_hour: 41.20
//!     offered: yes             # or unknown
//!     # spot only: interruption: 0.1 (upper edge of the monthly frequency), zone: euw1-az2
//!
//! discounts:                   # percent off list prices but spot; the longest matching family counts
//!   - cloud: aws
//!     percent: 7
//!   - cloud: aws
//!     family: p5               # beginning of the instance type's name
//!     percent: 12.5
//!     purchase: [on_demand]    # unless stated, all but spot
//!
//! quotas:                      # a known one (cloud, code, purchase) is overridden key by key;
//!   - cloud: aws               # a new one needs `families` and `unit` (vcpus, gpus, chips)
//!     code: L-417A185B
//!     default_new_account: 192 # also: name, purchase, scope, notes
//! ```
//!
//! Rows get the source `user:FILE`; a discounted price keeps its own source and adds `, user:FILE`.
//! Several files apply in order. All problems of a file are reported together, and a file with
//! problems changes nothing.

mod apply;
mod prices;
mod read;

use super::Catalog;
use crate::diagnostic::{Diagnostics, SourceFile, SourceMap};

impl Catalog {
    /// Adds or overrides rows by a user's own file: YAML, or CSV by its name.
    ///
    /// # Errors
    /// Every problem of the file, with its place.
    pub fn apply_user_file(&mut self, name: &str, text: &str) -> Result<(), Diagnostics> {
        let file = SourceFile { name: name.to_owned(), text: text.to_owned() };
        if std::path::Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
            prices::apply(self, name, text).map_err(|problems| {
                Diagnostics::new(SourceMap { files: vec![file], ..SourceMap::default() }, problems)
            })?;
            self.user_files.push(name.to_owned());
            self.user_texts.push(text.to_owned());
            return Ok(());
        }
        let (value, map, problems) = crate::spec::parse_document(file);
        let mut changed = self.clone();
        let mut reader = read::Reader { map: &map, problems };
        if reader.problems.is_empty() {
            apply::file(&mut changed, &mut reader, name, &value);
        }
        if !reader.problems.is_empty() {
            let problems = reader.problems;
            return Err(Diagnostics::new(map, problems));
        }
        changed.user_files.push(name.to_owned());
        changed.user_texts.push(text.to_owned());
        *self = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
