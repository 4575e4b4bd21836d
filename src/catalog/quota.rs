//! Which quotas a machine counts against.

use rhumb_api::{Cloud, Purchase};

use super::{Catalog, InstanceType, Quota, QuotaUnit};

impl Catalog {
    /// The quotas that one machine of an instance type (index) counts against when bought so, and
    /// how much of each it takes, in the quota's own unit.
    ///
    /// A committed machine runs as an on-demand one and counts against the same quotas; so does a held one, which takes something of its
    /// commitment besides ([`Catalog::quotas_of`]).
    pub fn quotas_for(&self, instance_type: usize, purchase: Purchase) -> Vec<(&Quota, f64)> {
        let Some(machine) = self.instance_types.get(instance_type) else { return Vec::new() };
        let purchase = if purchase == Purchase::Spot { Purchase::Spot } else { Purchase::OnDemand };
        self.quotas
            .iter()
            .filter(|q| q.cloud == machine.cloud)
            .filter(|q| q.purchase == purchase && counts(q, machine))
            .map(|q| (q, amount(q, machine)))
            .collect()
    }
}

fn amount(quota: &Quota, machine: &InstanceType) -> f64 {
    match quota.unit {
        QuotaUnit::Vcpus => machine.vcpus,
        QuotaUnit::Gpus | QuotaUnit::Chips => machine.accelerator_count,
        // What a savings plan covers of a machine depends on where it is: [`Catalog::quotas_of`] knows.
        QuotaUnit::Machines | QuotaUnit::UsdPerHour => 1.0,
        // A machine of unknown power stands at no site with a cap.
        QuotaUnit::Watts => machine.full_load_watts.unwrap_or(0.0),
    }
}

fn counts(quota: &Quota, machine: &InstanceType) -> bool {
    let mut families = quota.families.split_whitespace();
    match machine.cloud {
        Cloud::Aws => {
            let family = machine.name.split('.').next().unwrap_or_default();
            families.any(|f| f == family) || is_standard(quota, family)
        }
        Cloud::Azure => {
            quota.families.starts_with("all ") || families.any(|f| f.eq_ignore_ascii_case(&machine.name))
        }
        Cloud::Gcp => {
            let is_gpu = machine.accelerator_count > 0.0 && !machine.name.starts_with("tpu-");
            if quota.families == "all GPU types" {
                is_gpu
            } else {
                families.any(|f| in_family(f, &machine.name))
            }
        }
        Cloud::Site => quota.unit == QuotaUnit::Watts || quota.families == machine.name,
    }
}

/// AWS counts every family of one letter and a digit (`m6i`, not `inf1`) whose letter is listed.
fn is_standard(quota: &Quota, family: &str) -> bool {
    let mut letters = family.chars();
    let (Some(letter), Some(generation)) = (letters.next(), letters.next()) else { return false };
    let Some((_, listed)) = quota.families.split_once('(') else { return false };
    let listed = listed.trim_end_matches(')');
    generation.is_ascii_digit()
        && listed.split_whitespace().any(|l| l.eq_ignore_ascii_case(&letter.to_string()))
}

/// `a2-highgpu` holds `a2-highgpu-1g`; `n1+nvidia-tesla-t4` holds `n1-standard-4+nvidia-tesla-t4:1`.
fn in_family(family: &str, name: &str) -> bool {
    let starts = |name: &str, prefix: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    match (family.split_once('+'), name.split_once('+')) {
        (Some((series, accelerator)), Some((machine, attached))) => {
            starts(machine, series) && attached.split(':').next() == Some(accelerator)
        }
        (None, None) => starts(name, family),
        _ => false,
    }
}
