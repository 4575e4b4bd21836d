//! `commitments` of machines that are paid for already.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money};

use super::savings::EVERYWHERE;
use super::{ProviderSettings, Spec};
use crate::diagnostic::Pointer;

/// What the code of what is held begins with; the instance type follows, or the name of a savings plan.
pub const HELD: &str = "held:";

/// What a commitment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeldKind {
    /// Capacity that is kept for the team.
    Reservation,
    /// Capacity of a cluster that is kept for a time.
    CapacityBlock,
}

impl HeldKind {
    /// The word of the spec.
    pub const fn as_str(self) -> &'static str {
        match self {
            HeldKind::Reservation => "reservation",
            HeldKind::CapacityBlock => "capacity-block",
        }
    }
}

/// `commitments.NAME`: machines of one type in one region. No two are of the same type and region.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Name in the spec.
    pub name: String,
    /// `kind`.
    pub kind: HeldKind,
    /// `cloud`.
    pub cloud: Cloud,
    /// `region`: its id.
    pub region: String,
    /// `instance_type`.
    pub instance_type: String,
    /// `count`: machines.
    pub count: u32,
    /// `until`, `YYYY-MM-DD`: held up to the beginning of that day, UTC.
    pub until: String,
    /// `cost`: dollars an hour of one machine, used or not; `None` = unknown.
    pub cost: Option<Money>,
    /// `id`: what the cloud calls it; `None` = not stated.
    pub id: Option<String>,
    /// Where it was written.
    pub at: Pointer,
}

impl Held {
    /// The code of its stock among the declared quotas of its region.
    pub fn code(&self) -> String {
        format!("{HELD}{}", self.instance_type)
    }
}

impl Spec {
    /// Makes limits of what is held, as a provider's declared quotas are: from there on they bind whatever quotas bind.
    pub fn lower_held(&mut self) {
        for held in self.held.values() {
            let settings = self.providers.entry(held.cloud).or_insert_with(|| ProviderSettings {
                account: None,
                discount: 0.0,
                quotas: BTreeMap::new(),
                at: Pointer::root().join("providers").join(held.cloud),
            });
            let of_region = settings.quotas.entry(held.region.clone()).or_default();
            of_region.insert(held.code(), f64::from(held.count));
        }
        self.lower_savings();
    }

    /// What is held of an instance type in a region.
    pub fn held_of(&self, cloud: Cloud, region: &str, instance_type: &str) -> Option<&Held> {
        let is = |h: &&Held| h.cloud == cloud && h.region == region && h.instance_type == instance_type;
        self.held.values().find(is)
    }

    /// Whether nothing is held, neither machines nor a savings plan.
    pub fn holds_nothing(&self) -> bool {
        self.held.is_empty() && self.savings.is_empty()
    }

    /// Where a limit of a cloud is written: a declared quota, what stands at a site, or what is held.
    pub fn limit_at(&self, cloud: Cloud, region: &str, code: &str) -> Option<Pointer> {
        match code.strip_prefix(HELD) {
            Some(_) if region == EVERYWHERE => self.savings_of(cloud, code).map(|plan| plan.at.join("spend")),
            Some(kind) => self.held_of(cloud, region, kind).map(|held| held.at.join("count")),
            None => self.quotas_at(cloud),
        }
    }
}

impl ProviderSettings {
    /// Whether it declares a quota: what is held is none.
    pub fn declares(&self) -> bool {
        self.quotas.values().flat_map(BTreeMap::keys).any(|code| !code.starts_with(HELD))
    }

    /// Takes away the declared quotas: what is held stays what it is.
    pub fn forget_quotas(&mut self) {
        for codes in self.quotas.values_mut() {
            codes.retain(|code, _| code.starts_with(HELD));
        }
        self.quotas.retain(|_, codes| !codes.is_empty());
    }
}
