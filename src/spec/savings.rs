//! `commitments` of kind `savings-plan`: so many dollars an hour, whatever machines they cover.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money};

use super::held::HELD;
use super::{AllowDeny, ProviderSettings, Spec};
use crate::diagnostic::Pointer;

/// The place of a limit that is not of one region.
pub const EVERYWHERE: &str = "global";

/// The word of the spec for its kind.
pub const SAVINGS_PLAN: &str = "savings-plan";

/// A whole in the unit of [`PlanRate::discount_ppm`].
pub const WHOLE_PPM: u32 = 1_000_000;

/// `commitments.NAME` of kind `savings-plan`.
#[derive(Clone, Debug, PartialEq)]
pub struct SavingsPlan {
    /// Name in the spec.
    pub name: String,
    /// `cloud`.
    pub cloud: Cloud,
    /// `spend`: dollars of each hour, more than nothing.
    pub spend: Money,
    /// `until`, `YYYY-MM-DD`: up to the beginning of that day, UTC.
    pub until: String,
    /// `rates`: of a machine the first that fits counts. Never empty.
    pub rates: Vec<PlanRate>,
    /// `id`: what the cloud calls it; `None` = not stated.
    pub id: Option<String>,
    /// Where it was written.
    pub at: Pointer,
}

/// An entry of `rates`.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRate {
    /// `discount` from the list price on demand, millionths, less than [`WHOLE_PPM`].
    pub discount_ppm: u32,
    /// `instance_types`.
    pub instance_types: AllowDeny<String>,
    /// `regions`: ids of the plan's cloud.
    pub regions: AllowDeny<String>,
    /// Where it was written.
    pub at: Pointer,
}

impl SavingsPlan {
    /// The code of its limit among the declared quotas of its cloud.
    pub fn code(&self) -> String {
        format!("{HELD}{}", self.name)
    }

    /// The discount of a machine; `None` if it is not covered.
    pub fn discount_ppm(&self, instance_type: &str, region: &str) -> Option<u32> {
        let (kind, region) = (instance_type.to_owned(), region.to_owned());
        let fits = |rate: &&PlanRate| rate.instance_types.allows(&kind) && rate.regions.allows(&region);
        self.rates.iter().find(fits).map(|rate| rate.discount_ppm)
    }

    /// What an hour of a machine takes of it, by its list price on demand there; `None` if it is not covered.
    pub fn rate(&self, instance_type: &str, region: &str, listed: Money) -> Option<Money> {
        let kept = i128::from(WHOLE_PPM.saturating_sub(self.discount_ppm(instance_type, region)?));
        let micros = (i128::from(listed.micros()) * kept + i128::from(WHOLE_PPM) - 1) / i128::from(WHOLE_PPM);
        Some(Money::from_micros(micros.clamp(1, i128::from(i64::MAX / 1024)) as i64))
    }
}

impl Spec {
    /// Makes a limit of what each savings plan covers, as [`Spec::lower_held`] does of machines, which ends with it.
    pub(super) fn lower_savings(&mut self) {
        for plan in self.savings.values() {
            let settings = self.providers.entry(plan.cloud).or_insert_with(|| ProviderSettings {
                account: None,
                discount: 0.0,
                quotas: BTreeMap::new(),
                at: Pointer::root().join("providers").join(plan.cloud),
            });
            let of_cloud = settings.quotas.entry(EVERYWHERE.to_owned()).or_default();
            of_cloud.insert(plan.code(), plan.spend.usd());
        }
    }

    /// The savings plan of a cloud whose limit has a code.
    pub fn savings_of(&self, cloud: Cloud, code: &str) -> Option<&SavingsPlan> {
        self.savings.values().find(|plan| plan.cloud == cloud && plan.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rates: &[(u32, &[&str], &[&str])]) -> SavingsPlan {
        let list = |names: &[&str]| match names {
            [] => AllowDeny::Any,
            names => AllowDeny::Only(names.iter().map(|n| (*n).to_owned()).collect()),
        };
        let rate = |(discount_ppm, types, regions): &(u32, &[&str], &[&str])| PlanRate {
            discount_ppm: *discount_ppm,
            instance_types: list(types),
            regions: list(regions),
            at: Pointer::root(),
        };
        SavingsPlan {
            name: "x".into(),
            cloud: Cloud::Aws,
            spend: Money::from_micros(1),
            until: String::new(),
            rates: rates.iter().map(rate).collect(),
            id: None,
            at: Pointer::root(),
        }
    }

    #[test]
    fn the_first_rate_that_fits_counts() {
        let plan = plan(&[(440_000, &["p5"], &["here"]), (100_000, &["p5"], &[]), (270_000, &["g6"], &[])]);
        assert_eq!(plan.discount_ppm("p5", "here"), Some(440_000));
        assert_eq!(plan.discount_ppm("p5", "there"), Some(100_000));
        assert_eq!(plan.discount_ppm("g6", "here"), Some(270_000));
        assert_eq!(plan.discount_ppm("g5", "here"), None);
    }

    #[test]
    fn a_rate_is_rounded_up_to_the_micro_dollar() {
        let of =
            |ppm, micros| plan(&[(ppm, &[], &[])]).rate("any", "any", Money::from_micros(micros)).unwrap();
        assert_eq!(of(270_000, 1_000_000).micros(), 730_000);
        assert_eq!(of(333_333, 1_000_001).micros(), 666_668);
        assert_eq!(of(0, 7).micros(), 7);
        assert_eq!(of(999_999, 0).micros(), 1);
    }
}
