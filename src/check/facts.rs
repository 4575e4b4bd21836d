//! The facts that a placement needs, and which of them are missing or too old.
//!
//! What counts and what does not is argued in `src/decisions/0004-when-a-plan-is-inconclusive.md`.

use rhumb_api::{Cloud, Money, Purchase};

use crate::catalog::{Offered, Provenance};
use crate::placement::{Placement, PoolMachines, World};

use super::subject;

/// What is wrong with a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Nobody knows it.
    Missing,
    /// Older than allowed.
    TooOld,
    /// An age is demanded and it has no date.
    Undated,
}

impl Lack {
    /// The stable name for machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Lack::Missing => "missing",
            Lack::TooOld => "too-old",
            Lack::Undated => "undated",
        }
    }
}

/// A fact that a placement needs and that is missing or too old.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// What needs it: a fleet, a pool or a line of the bill.
    pub address: String,
    /// Which fact: `price`, `offered` or `transfer-price`.
    pub fact: &'static str,
    /// What is wrong with it.
    pub lack: Lack,
    /// In words, with numbers.
    pub message: String,
    /// Where it was read, if it was.
    pub source: Option<String>,
    /// Its date, if it has one.
    pub as_of: Option<String>,
    /// Days between its date and the planning day.
    pub age_days: Option<i32>,
    /// What to do.
    pub fix: String,
}

/// The facts that `placement` needs and that are missing, or older than `max_age_days` on the planning
/// day, ordered by address. Without a limit nothing is too old.
pub fn facts(world: &World, placement: &Placement, max_age_days: Option<u32>) -> Vec<Fact> {
    let mut found = Vec::new();
    for placed in placement.workloads.values() {
        for pool in &placed.pools {
            for machines in &pool.machines {
                let address = format!("{}/{}", pool.addr, machines.purchase);
                let of = (pool.cloud, pool.instance_type.as_str(), pool.region.as_str(), machines.purchase);
                found.extend(offered(address, world, of));
            }
            let Some(limit) = max_age_days else { continue };
            // What a machine of the user's own costs is in the spec itself, and as old as it.
            // Nor is a price of what is held to the end of the month, which nobody asks for; what ends before has the on-demand price behind it.
            let is_free = |m: &PoolMachines| m.purchase == Purchase::Held && m.price == Money::ZERO;
            for machines in pool.machines.iter().filter(|m| pool.cloud != Cloud::Site && !is_free(m)) {
                let address = format!("{}/{}", pool.addr, machines.purchase);
                let purchase = match machines.purchase {
                    Purchase::Held => Purchase::OnDemand,
                    other => other,
                };
                let of = (pool.cloud, pool.instance_type.as_str(), pool.region.as_str(), purchase);
                let key = format!("prices: {}", key(of));
                found.extend(old(address, &key, &machines.provenance, &world.today, limit));
            }
        }
        let transfers = format!("{}/transfer/", placed.address);
        // Nor is the connection of a site sold by what goes over it: the line says that it is not priced.
        let at_site = format!("/{}/", Cloud::Site);
        let blank = placed.cost.lines.iter().filter(|l| l.per_hour.is_none() && !l.addr.contains(&at_site));
        for line in blank.filter(|l| l.addr.starts_with(&transfers)) {
            found.push(Fact {
                address: line.addr.clone(),
                fact: "transfer-price",
                lack: Lack::Missing,
                message: format!(
                    "the price of moving data from there is unknown ({}), so this region may be dearer than one \
                     that was refused",
                    line.what
                ),
                source: None,
                as_of: None,
                age_days: None,
                fix: "leave the region out with `placement.regions`, or accept what you know and this does not"
                    .to_owned(),
            });
        }
    }
    for fleet in &placement.fleets {
        let of = (fleet.cloud, fleet.instance_type.as_str(), fleet.region.as_str(), fleet.purchase);
        let address = fleet.addr.to_string();
        found.extend(offered(address.clone(), world, of));
        let old =
            |limit| old(address, &format!("prices: {}", key(of)), &fleet.provenance, &world.today, limit);
        found.extend(max_age_days.and_then(old));
    }
    found.sort();
    found
}

/// Cloud, instance type, region and purchase option.
type Bought<'a> = (Cloud, &'a str, &'a str, Purchase);

fn key((cloud, instance_type, region, purchase): Bought<'_>) -> String {
    format!("cloud {cloud}, instance_type {instance_type}, region {region}, purchase {purchase}")
}

fn offered(address: String, world: &World, bought: Bought<'_>) -> Option<Fact> {
    let catalog = &world.catalog;
    let (cloud, instance_type, region, purchase) = bought;
    let of = catalog.instance_types.iter().position(|t| t.cloud == cloud && t.name == instance_type)?;
    let at = catalog.regions.iter().position(|r| r.cloud == cloud && r.id == region)?;
    let row = subject::offering(catalog, of, at, purchase).filter(|row| row.offered == Offered::Unknown)?;
    Some(Fact {
        address,
        fact: "offered",
        lack: Lack::Missing,
        message: format!(
            "{instance_type} has a price in {region}, but no source says that it can be had there"
        ),
        source: Some(row.provenance.source.to_string()),
        as_of: dated(&row.provenance),
        age_days: age(&row.provenance, &world.today),
        fix: format!(
            "if your account can have it, state it in a file for `--catalog` (prices: {}, usd_per_hour, \
             offered: yes)",
            key(bought)
        ),
    })
}

fn old(address: String, key: &str, from: &Provenance, today: &str, limit: u32) -> Option<Fact> {
    let age_days = age(from, today);
    let (lack, message) = match age_days {
        Some(days) if i64::from(days) <= i64::from(limit) => return None,
        Some(days) => {
            (Lack::TooOld, format!("the price is {days} days old, and at most {limit} are allowed"))
        }
        None => {
            (Lack::Undated, format!("the price has no date, and at most {limit} days of age are allowed"))
        }
    };
    let fix = if from.source.starts_with("user:") {
        "renew it and its `as_of` in your file, or allow more with `--max-age`".to_owned()
    } else {
        format!(
            "state today's price in a file for `--catalog` (as_of; {key}), or allow more with `--max-age`"
        )
    };
    let source = Some(from.source.to_string());
    Some(Fact { address, fact: "price", lack, message, source, as_of: dated(from), age_days, fix })
}

fn dated(from: &Provenance) -> Option<String> {
    (!from.as_of.is_empty()).then(|| from.as_of.to_string())
}

/// Days from a fact's date to the planning day; a fact of a later day has none.
fn age(from: &Provenance, today: &str) -> Option<i32> {
    let date = |text: &str| text.parse::<jiff::civil::Date>().ok();
    Some(date(today)?.since(date(&from.as_of)?).ok()?.get_days().max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(source: &str, as_of: &str) -> Option<Fact> {
        let from = Provenance { source: source.into(), as_of: as_of.into() };
        old("a/b".into(), "prices: ...", &from, "2026-11-25", 180)
    }

    #[test]
    fn the_limit_itself_is_young_enough() {
        assert_eq!(price("list", "2026-05-29"), None);
        let old = price("list", "2026-05-28").unwrap();
        assert_eq!((old.lack, old.age_days), (Lack::TooOld, Some(181)));
        assert!(old.message.contains("181 days") && old.fix.contains("--catalog"), "{old:?}");
        assert_eq!(price("list", "2027-01-01"), None, "a fact of a later day is not old");
    }

    #[test]
    fn without_a_date_no_age_can_be_shown() {
        let own = price("user:own.yaml", "").unwrap();
        assert_eq!((own.lack, own.age_days, own.as_of), (Lack::Undated, None, None));
        assert!(own.fix.contains("your file"), "{}", own.fix);
    }
}
