//! What machines that are recorded cost by the list prices of the catalogue.

use std::collections::BTreeSet;

use rhumb_api::{Attr, Money, Resource, ResourceKind};

use crate::catalog::Catalog;
use crate::state::State;

/// Dollars an hour.
pub enum Cost {
    /// It has no price of its own.
    Nothing,
    /// Machines by a listed price of a day, from a source.
    Listed {
        /// Of all of them.
        usd: Money,
        /// Where the price was read.
        source: String,
        /// The day that it is of.
        as_of: String,
    },
    /// Not known, and why.
    Unknown(&'static str),
}

/// What the machines of a thing cost by the catalogue; a load balancer has a price, which the catalogue does not have.
pub fn cost(resource: &Resource, machines: Option<u32>, catalog: &Catalog) -> Cost {
    match resource.kind {
        ResourceKind::Network | ResourceKind::Firewall | ResourceKind::LaunchTemplate => {
            return Cost::Nothing;
        }
        ResourceKind::LoadBalancer => return Cost::Unknown("no price of load balancers is known"),
        ResourceKind::Fleet | ResourceKind::JobRun | ResourceKind::EdgeUnit => {}
    }
    let Some(machines) = machines else { return Cost::Unknown("how many machines run is not known") };
    if catalog.machines_of(resource).is_none() || catalog.region(resource.cloud, &resource.region).is_none() {
        return Cost::Unknown("the catalogue does not know these machines");
    }
    match catalog.offered(resource) {
        Some(offering) => Cost::Listed {
            usd: offering.price.scale(f64::from(machines)),
            source: offering.provenance.source.to_string(),
            as_of: offering.provenance.as_of.to_string(),
        },
        None => Cost::Unknown("the catalogue has no price of these machines bought so"),
    }
}

/// What things cost an hour together.
pub struct Sum {
    /// Dollars an hour of those that have a price.
    pub usd: Money,
    /// Those that have none.
    pub unpriced: u32,
    days: BTreeSet<String>,
}

/// What everything that is recorded costs an hour with the machines that it was told to have: what is in use and what is to be removed. A
/// run that has ended has no machines, and one that begins by a schedule has none until then.
pub fn of_state(state: &State, catalog: &Catalog) -> Sum {
    let all = state.resources.values().chain(state.spares.iter().map(|spare| &spare.thing));
    let begun = all.filter(|thing| !thing.complete && !waits(&thing.resource));
    sum(begun.map(|thing| &thing.resource), catalog)
}

/// Whether it has machines at some hours alone.
pub fn waits(resource: &Resource) -> bool {
    resource.kind == ResourceKind::JobRun && resource.attributes.contains_key("schedule")
}

fn sum<'a>(resources: impl Iterator<Item = &'a Resource>, catalog: &Catalog) -> Sum {
    let mut sum = Sum { usd: Money::ZERO, unpriced: 0, days: BTreeSet::new() };
    for resource in resources {
        let machines = match resource.attributes.get("count") {
            Some(Attr::Int(n)) => u32::try_from(*n).ok(),
            _ => None,
        };
        match cost(resource, machines, catalog) {
            Cost::Nothing => {}
            Cost::Listed { usd, as_of, .. } => {
                sum.usd += usd;
                sum.days.insert(as_of);
            }
            Cost::Unknown(_) => sum.unpriced += 1,
        }
    }
    sum
}

/// What some resources cost an hour with the machines that they ask for, in words: with the days of the prices, and `at least` if
/// something has none.
pub fn in_words<'a>(resources: impl Iterator<Item = &'a Resource>, catalog: &Catalog) -> String {
    sum(resources, catalog).in_words()
}

impl Sum {
    /// With the days of the prices, and `at least` if something has none.
    pub fn in_words(&self) -> String {
        let (sum, unknown, days) = (self.usd, self.unpriced, &self.days);
        let at_least = if unknown > 0 { "at least " } else { "" };
        let listed = match (days.first(), days.last()) {
            (Some(first), Some(last)) if first == last => format!(" (list prices of {first})"),
            (Some(first), Some(last)) => format!(" (list prices of {first} to {last})"),
            _ => String::new(),
        };
        let without = match unknown {
            0 => String::new(),
            1 => "; 1 thing has no known price".to_owned(),
            n => format!("; {n} things have no known price"),
        };
        format!("{at_least}{:.2} USD an hour{listed}{without}", sum.usd())
    }
}
