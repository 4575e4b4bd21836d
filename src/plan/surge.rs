//! What machines cost while old and new ones are there at once.

use rhumb_api::{Attr, Money, Resource, ResourceKind};

use super::{Action, Change};
use crate::catalog::Catalog;

/// Dollars an hour of the machines of a plan's fleets by the prices that it was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surge {
    /// Of those that there are.
    pub before: Money,
    /// Of the most that there are at once while it is applied; above both others.
    pub during: Money,
    /// Of those that there will be.
    pub after: Money,
    /// Fleets that have no known price, before or after; they are in none of the figures.
    pub unpriced: u32,
}

/// The surge of a plan's changes; `None` if at no time there are more than before or after.
///
/// What goes first where there is no room for both ([`super::Dip`]) is not there at once with what comes.
pub fn surge(changes: &[Change], dips: &[super::Dip], catalog: &Catalog) -> Option<Surge> {
    let (mut before, mut during, mut after) = (Money::ZERO, Money::ZERO, Money::ZERO);
    let mut unpriced = 0;
    for change in changes {
        let mut of = |resource: &Option<Resource>| match resource.as_ref().map(|r| per_hour(r, catalog)) {
            None | Some(Priced::NoMachines) => Money::ZERO,
            Some(Priced::Known(money)) => money,
            Some(Priced::Unknown) => {
                unpriced += 1;
                Money::ZERO
            }
        };
        let (old, new) = (of(&change.before), of(&change.after));
        before += old;
        after += new;
        // Machines that are made anew have so many beside them for a while.
        let beside =
            change.rolled().map_or(Money::ZERO, |(resource, n)| each(resource, catalog).times(i64::from(n)));
        let first = dips.iter().any(|dip| dip.first.contains(&change.addr));
        during += match change.action {
            Action::Replace if !first => old + new,
            Action::Remove if first => Money::ZERO,
            Action::Update if first => new + beside,
            _ => old.max(new + beside),
        };
    }
    (during > before && during > after).then_some(Surge { before, during, after, unpriced })
}

/// A machine of a fleet, dollars an hour; nothing without a known price, which is told elsewhere.
fn each(resource: &Resource, catalog: &Catalog) -> Money {
    catalog.offered(resource).map_or(Money::ZERO, |offering| offering.price)
}

enum Priced {
    NoMachines,
    Known(Money),
    Unknown,
}

fn per_hour(resource: &Resource, catalog: &Catalog) -> Priced {
    if !matches!(resource.kind, ResourceKind::Fleet | ResourceKind::EdgeUnit) {
        return Priced::NoMachines;
    }
    let machines = match resource.attributes.get("count") {
        Some(Attr::Int(n)) => *n as f64,
        _ => return Priced::Unknown,
    };
    match catalog.offered(resource) {
        Some(offering) => Priced::Known(offering.price.scale(machines)),
        None => Priced::Unknown,
    }
}
