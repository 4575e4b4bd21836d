//! What machines that are recorded cost by the list prices of the catalogue.

use rhumb_api::{Attr, Money, Resource, ResourceKind};

use crate::catalog::Catalog;

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

/// What some resources cost an hour with the machines that they ask for, in words: with the days of the prices, and `at least` if
/// something has none.
pub fn in_words<'a>(resources: impl Iterator<Item = &'a Resource>, catalog: &Catalog) -> String {
    let (mut sum, mut unknown, mut days) = (Money::ZERO, 0_u32, Vec::new());
    for resource in resources {
        let machines = match resource.attributes.get("count") {
            Some(Attr::Int(n)) => u32::try_from(*n).ok(),
            _ => None,
        };
        match cost(resource, machines, catalog) {
            Cost::Nothing => {}
            Cost::Listed { usd, as_of, .. } => {
                sum += usd;
                days.push(as_of);
            }
            Cost::Unknown(_) => unknown += 1,
        }
    }
    let at_least = if unknown > 0 { "at least " } else { "" };
    let listed = match (days.iter().min(), days.iter().max()) {
        (Some(first), Some(last)) if first == last => format!(" (list prices of {first})"),
        (Some(first), Some(last)) => format!(" (list prices of {first} to {last})"),
        _ => String::new(),
    };
    let without = match unknown {
        0 => String::new(),
        n => format!("; {n} things have no known price"),
    };
    format!("{at_least}{:.2} USD an hour{listed}{without}", sum.usd())
}
