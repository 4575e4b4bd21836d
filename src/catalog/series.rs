//! How clouds call series of machines.

use rhumb_api::Cloud;

use super::InstanceType;

impl InstanceType {
    /// Whether it has no accelerator, not even one that the catalogue does not know.
    pub fn is_processors_only(&self) -> bool {
        self.accelerator.is_none() && self.accelerator_count == 0.0
    }

    /// The series that it belongs to, lower case, the wider first: `p5` of `p5.48xlarge`; `a3` and `a3-highgpu` of `a3-highgpu-8g`;
    /// `ncads_a100_v4` of `Standard_NC24ads_A100_v4` (Azure's own name of the series: without the number of vCPUs).
    pub fn series(&self) -> Vec<String> {
        let name = self.name.to_lowercase();
        match self.cloud {
            Cloud::Aws => name.split_once('.').map(|(family, _)| family.to_owned()).into_iter().collect(),
            Cloud::Azure => {
                let name = name.strip_prefix("standard_").unwrap_or(&name);
                let size: Vec<char> = name.chars().collect();
                let digit = |c: &char| c.is_ascii_digit();
                let Some(start) = size.iter().position(digit) else { return Vec::new() };
                let end = size[start..].iter().position(|c| !digit(c)).map_or(size.len(), |n| start + n);
                vec![size[..start].iter().chain(&size[end..]).collect()]
            }
            Cloud::Gcp => {
                let machine = name.split('+').next().unwrap_or_default();
                machine.match_indices('-').map(|(i, _)| machine[..i].to_owned()).collect()
            }
            // A name of the user's own says nothing of a series.
            Cloud::Site => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn kind(cloud: Cloud, name: &str) -> InstanceType {
        InstanceType {
            cloud,
            name: name.into(),
            accelerator: None,
            accelerator_count: 1.0,
            vcpus: 1.0,
            memory_gib: None,
            local_nvme_gib: None,
            network_gbps: None,
            rdma: None,
            rdma_gbps: None,
            arch: "x86_64".into(),
            full_load_watts: None,
            status: "current".into(),
            notes: String::new(),
            provenance: crate::catalog::Provenance { source: "test".into(), as_of: "".into() },
        }
    }

    #[test]
    fn machines_know_their_series() {
        let series = |cloud, name| kind(cloud, name).series();
        assert_eq!(series(Cloud::Aws, "p5.48xlarge"), ["p5"]);
        assert_eq!(series(Cloud::Aws, "p6-b200.48xlarge"), ["p6-b200"]);
        assert_eq!(series(Cloud::Gcp, "a3-highgpu-8g"), ["a3", "a3-highgpu"]);
        assert_eq!(series(Cloud::Gcp, "n1-standard-4+nvidia-tesla-t4:1"), ["n1", "n1-standard"]);
        assert_eq!(series(Cloud::Azure, "Standard_NC24ads_A100_v4"), ["ncads_a100_v4"]);
        assert_eq!(series(Cloud::Azure, "Standard_ND96isr_H100_v5"), ["ndisr_h100_v5"]);
        assert_eq!(series(Cloud::Azure, "Standard_D16s_v5"), ["ds_v5"]);
    }

    #[test]
    fn an_unknown_accelerator_is_one() {
        assert!(!kind(Cloud::Aws, "x9.large").is_processors_only());
        let catalog = Catalog::embedded();
        let bare = |name| catalog.instance_types[catalog.instance_type(Cloud::Aws, name).unwrap()].clone();
        assert!(bare("m7i.large").is_processors_only() && !bare("g6.xlarge").is_processors_only());
    }
}
