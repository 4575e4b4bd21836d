//! Services that may be served in parts, and what proves the division that was chosen.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rhumb_api::{HOURS_PER_MONTH, Money};

use super::{Coupling, Placement, WorkloadPlacement};
use crate::spec::{By, Division, Slice, Spec};

/// How the services that may be divided are, and why not otherwise (`src/decisions/0025-parts-of-a-service.md`).
#[derive(Clone, Debug, PartialEq)]
pub struct Divided {
    /// Each service that may be divided, by its address.
    pub services: BTreeMap<String, DividedService>,
    /// Dollars a month that no placement of any division costs less than, each part counted as a cent besides.
    pub lower_bound: Money,
    /// The divisions that were placed as well, because what their parts cost by themselves would have been less than what was chosen.
    pub dearer: Vec<DearerDivision>,
    /// Whether divisions were left that might cost less, because [`crate::spec::divide::MOST_TRIED`] had been placed: they cost no less than
    /// [`Self::lower_bound`].
    pub gave_up: bool,
}

/// A service that may be divided.
#[derive(Clone, Debug, PartialEq)]
pub struct DividedService {
    /// What its parts differ in.
    pub by: By,
    /// The marks that divide it, tokens of a prompt or millionths of the peak; none = it is not divided.
    pub at: Division,
    /// Its parts, those of the least first; one if it is not divided.
    pub parts: Vec<ServicePart>,
    /// Every way to divide it, fewer parts first.
    pub options: Vec<DivisionOption>,
}

/// A part of a service: a workload of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePart {
    /// Address of the workload.
    pub address: String,
    /// Its prompts are longer than so many tokens, or its hours have more than so many millionths of the peak.
    pub above: u32,
    /// And at most so many; `None` = any.
    pub to: Option<u32>,
    /// Its hours by the clock, in the time zone of the profile, [`crate::spec::Daily::hours_of`]; none where lengths divide it.
    pub hours: Vec<String>,
    /// Part of the requests, a fraction.
    pub share: f64,
}

/// A way to divide a service.
#[derive(Clone, Debug, PartialEq)]
pub struct DivisionOption {
    /// The marks.
    pub at: Division,
    /// What each of its parts costs at the least by itself, dollars a month, those of the least first; `None` if it cannot be placed.
    pub least: Vec<Option<Money>>,
}

/// A division of all services that was placed and is dearer.
#[derive(Clone, Debug, PartialEq)]
pub struct DearerDivision {
    /// Address of each service that may be divided to the marks.
    pub at: BTreeMap<String, Division>,
    /// No placement of it costs less, dollars a month; `None` if none is within what is shared.
    pub lower_bound: Option<Money>,
    /// What proves that, where its services share too little.
    pub coupling: Option<Coupling>,
}

impl DivisionOption {
    /// What its parts cost at the least by themselves, dollars a month; `None` if one of them cannot be placed.
    pub fn sum(&self) -> Option<Money> {
        self.least.iter().copied().sum()
    }
}

impl ServicePart {
    /// Its requests, of a service that is divided so.
    pub fn slice(&self, by: By) -> Slice {
        Slice { by, above: self.above, to: self.to }
    }
}

impl Placement {
    /// What was minimised, dollars a month: what everything counts for where it was placed together, else what it costs.
    pub fn counted(&self) -> Money {
        let month = |w: &WorkloadPlacement| match w.run {
            Some(_) => w.cost.expected_per_month,
            None => w.cost.expected_per_hour.times(HOURS_PER_MONTH),
        };
        self.coupling.as_ref().map_or_else(|| self.workloads.values().map(month).sum(), |c| c.optimum)
    }

    /// The service that a workload is a part of; itself if it is of none.
    pub fn whole_of<'p>(&'p self, address: &'p str) -> &'p str {
        let services = self.divided.iter().flat_map(|d| &d.services);
        let mut of = services.filter(|(_, s)| s.parts.iter().any(|p| p.address == address));
        of.next().map_or(address, |(whole, _)| whole)
    }

    /// The spec with its services in the parts that were placed.
    pub fn spec_of<'s>(&self, spec: &'s Spec) -> Cow<'s, Spec> {
        match &self.divided {
            Some(divided) if spec.divides() => {
                let name = |address: &String| address.trim_start_matches("services.").to_owned();
                let all = divided.services.iter().map(|(address, s)| (name(address), s.at.clone()));
                Cow::Owned(spec.divided(&all.collect()))
            }
            _ => Cow::Borrowed(spec),
        }
    }
}
