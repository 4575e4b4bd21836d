//! What machines that exist cost by the list prices of the catalogue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rhumb_api::{Attr, Attributes, Handle, Money, Observed, Resource, ResourceAddr, ResourceKind};
use tokio::sync::watch;

use super::clouds::Clouds;
use crate::apply::{Drift, Found, Progress, Recorder, Summary, Survey, drive};
use crate::catalog::Catalog;
use crate::state::{Record, Spared, State, StateResource, offer};

/// How long a look at the end of an apply may take; who waits for the end of an apply does not wait for a figure. Assumed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Dollars an hour.
pub enum Cost {
    /// It has no price of its own, or no machines.
    Nothing,
    /// Machines by a listed price of a day, from a source.
    Listed {
        /// Of all of them.
        usd: Money,
        /// Where the price was read.
        source: String,
        /// The day that it is of; empty if the source states none.
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
    if machines == 0 {
        return Cost::Nothing;
    }
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

/// Why something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in use.
    Used,
    /// It is to be removed.
    Spare(Spared),
    /// It has our tags and is in no record.
    Stray,
}

/// Everything that is recorded, and what a look has found besides.
pub fn things(state: &State, drift: Option<&Drift>) -> Vec<(ResourceAddr, Arc<StateResource>, Standing)> {
    let used = state.resources.iter().map(|(addr, thing)| (addr.clone(), Arc::clone(thing), Standing::Used));
    let spares = state.spares.iter();
    let spares = spares.map(|s| (s.address.clone(), Arc::clone(&s.thing), Standing::Spare(s.why)));
    let strays = drift.into_iter().flat_map(|drift| &drift.found).filter_map(|((addr, handle), found)| {
        let Found::Stray(_, attributes) = found else { return None };
        let Handle { kind, cloud, region, id } = handle.clone();
        let resource = Resource { kind, cloud, region, attributes: attributes.clone() };
        let thing = StateResource { id: Some(id), ..StateResource::of(resource, Vec::new()) };
        Some((addr.clone(), Arc::new(thing), Standing::Stray))
    });
    used.chain(spares).chain(strays).collect()
}

/// What a look has seen of a thing.
pub fn seen<'d>(thing: &StateResource, drift: Option<&'d Drift>) -> Option<&'d Observed> {
    drift?.seen.get(&thing.handle()?)
}

/// Machines of a thing: those that run, if it was looked at; else those of its peak, of a run while it is under way. `None` of what has none,
/// and where it is not known.
pub fn machines(addr: &ResourceAddr, thing: &StateResource, drift: Option<&Drift>) -> Option<u32> {
    let planned = count(&thing.resource.attributes);
    let Some(drift) = drift else {
        return if thing.complete { planned.map(|_| 0) } else { planned };
    };
    let found = thing.handle().and_then(|handle| drift.found.get(&(addr.clone(), handle)));
    match found {
        Some(Found::Vanished | Found::Others(_) | Found::Completed) => planned.map(|_| 0),
        _ if thing.complete => planned.map(|_| 0),
        _ => seen(thing, Some(drift)).and_then(|seen| seen.running),
    }
}

/// The number of machines among attributes; `None` of what has none.
pub fn count(attributes: &Attributes) -> Option<u32> {
    number(attributes, "count")
}

/// A number of machines among attributes.
pub fn number(attributes: &Attributes, name: &str) -> Option<u32> {
    match attributes.get(name) {
        Some(Attr::Int(n)) => u32::try_from(*n).ok(),
        _ => None,
    }
}

/// Whether it has machines at some hours alone, or once another run is complete.
pub fn waits(resource: &Resource) -> bool {
    let of = &resource.attributes;
    resource.kind == ResourceKind::JobRun && (of.contains_key("schedule") || of.contains_key("after"))
}

/// Whether its cloud or its end moves the number of its machines, so that a record cannot tell it.
fn moves(thing: &StateResource) -> bool {
    let of = &thing.resource.attributes;
    let bounds = number(of, "min_count").zip(number(of, "max_count"));
    let spot = offer(&thing.resource).is_some_and(|(_, spot)| spot);
    spot || thing.resource.kind == ResourceKind::JobRun || bounds.is_some_and(|(least, most)| least < most)
}

/// What things cost an hour together.
pub struct Sum {
    /// Dollars an hour of those that have a price.
    pub usd: Money,
    /// Those that have none.
    pub unpriced: u32,
    /// Days and sources of the prices.
    listed: BTreeSet<(String, String)>,
}

impl Sum {
    fn of(costs: impl Iterator<Item = Cost>) -> Self {
        let mut sum = Sum { usd: Money::ZERO, unpriced: 0, listed: BTreeSet::new() };
        for cost in costs {
            match cost {
                Cost::Nothing => {}
                Cost::Listed { usd, source, as_of } => {
                    sum.usd += usd;
                    sum.listed.insert((as_of, source));
                }
                Cost::Unknown(_) => sum.unpriced += 1,
            }
        }
        sum
    }

    /// With the days of the prices, and `at least` if something has none.
    pub fn in_words(&self) -> String {
        let at_least = if self.unpriced > 0 { "at least " } else { "" };
        let (undated, dated): (Vec<_>, Vec<_>) = self.listed.iter().partition(|(day, _)| day.is_empty());
        // What somebody states in a spec or a file has no day.
        let own = undated.iter().filter(|(_, source)| source.starts_with("user:")).count();
        let mut listed = Vec::new();
        match (dated.first(), dated.last()) {
            (Some((first, _)), Some((last, _))) if first == last => {
                listed.push(format!("list prices of {first}"))
            }
            (Some((first, _)), Some((last, _))) => listed.push(format!("list prices of {first} to {last}")),
            _ => {}
        }
        if own > 0 {
            listed.push("your own prices".to_owned());
        }
        if undated.len() > own {
            listed.push("prices without a day".to_owned());
        }
        let listed = if listed.is_empty() { String::new() } else { format!(" ({})", listed.join(" and ")) };
        let without = match self.unpriced {
            0 => String::new(),
            1 => "; 1 thing has no known price".to_owned(),
            n => format!("; {n} things have no known price"),
        };
        format!("{at_least}{:.2} USD an hour{listed}{without}", self.usd.usd())
    }
}

/// What some resources cost an hour with the machines that they ask for, in words: with the days of the prices, and `at least` if
/// something has none.
pub fn in_words<'a>(resources: impl Iterator<Item = &'a Resource>, catalog: &Catalog) -> String {
    Sum::of(resources.map(|resource| cost(resource, count(&resource.attributes), catalog))).in_words()
}

/// How it is known how many machines there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its clouds were asked.
    Look,
    /// By the record, of fleets whose number of machines nobody moves.
    Record,
    /// By the record, of what has fewer machines at some hours: at its peak, with every run under way.
    Peak,
}

impl By {
    /// The word in event streams.
    pub const fn as_str(self) -> &'static str {
        match self {
            By::Look => "look",
            By::Record => "record",
            By::Peak => "peak",
        }
    }
}

/// What everything costs an hour now.
pub struct Now {
    /// All of it.
    pub sum: Sum,
    /// How many machines are meant.
    pub by: By,
    simulated: bool,
}

impl Now {
    /// By the record alone.
    pub fn recorded(state: &State, catalog: &Catalog) -> Self {
        let moved = state.resources.values().any(|thing| !thing.complete && moves(thing));
        Self::told(state, None, if moved { By::Peak } else { By::Record }, catalog)
    }

    /// By the record where that tells it, by a look otherwise; by the record if nobody answers in time.
    pub fn of(state: &State, clouds: &Clouds, catalog: &Catalog) -> Self {
        let recorded = Self::recorded(state, catalog);
        if recorded.by == By::Record {
            recorded
        } else {
            Self::looked(state, clouds, catalog).unwrap_or(recorded)
        }
    }

    /// As [`Now::of`], at the end of an apply. One that was not complete may have left other machines than it recorded.
    pub fn after(summary: &Summary, state: &State, clouds: &Clouds, catalog: &Catalog) -> Self {
        let exists = !state.resources.is_empty() || !state.spares.is_empty();
        if summary.complete() || !exists {
            return Self::of(state, clouds, catalog);
        }
        Self::looked(state, clouds, catalog)
            .unwrap_or_else(|| Now { by: By::Peak, ..Self::recorded(state, catalog) })
    }

    fn looked(state: &State, clouds: &Clouds, catalog: &Catalog) -> Option<Self> {
        let mut survey = Survey::new(state, clouds.options.clone());
        let (_open, asked) = watch::channel(false);
        let in_time = clouds.runtime.block_on(async {
            let (mut nowhere, mut nobody) = (Nowhere, |_: &Progress| {});
            let look = drive(&mut survey, &mut nowhere, &clouds.providers, asked, &mut nobody);
            tokio::time::timeout(PATIENCE, look).await.is_ok()
        });
        let drift = survey.drift();
        (in_time && drift.unseen.is_empty()).then(|| Self::told(state, Some(&drift), By::Look, catalog))
    }

    fn told(state: &State, drift: Option<&Drift>, by: By, catalog: &Catalog) -> Self {
        let all = things(state, drift);
        let each = all.iter().map(|(addr, t, _)| cost(&t.resource, machines(addr, t, drift), catalog));
        Now { sum: Sum::of(each), by, simulated: state.simulated }
    }

    /// As a part of a sentence, with the days of the prices.
    pub fn in_words(&self) -> String {
        let (said, costs) = match (self.simulated, self.by) {
            (true, By::Look) => ("SIMULATED: it would cost now", ""),
            (true, By::Record) => ("SIMULATED: by what is recorded it would cost now", ""),
            (true, By::Peak) => {
                ("SIMULATED: by what is recorded it would cost", " at its peak, with every run under way")
            }
            (false, By::Look) => ("It costs now", ""),
            (false, By::Record) => ("By what is recorded it costs now", ""),
            (false, By::Peak) => ("By what is recorded it costs", " at its peak, with every run under way"),
        };
        format!("{said} {}{costs}", self.sum.in_words())
    }
}

/// A look that records nothing.
pub struct Nowhere;

impl Recorder for Nowhere {
    fn append(&mut self, _: &[Record]) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_without_a_day_are_not_said_to_have_one() {
        let of = |listed: &[(&str, &str)]| {
            let each = listed.iter().map(|(day, source)| Cost::Listed {
                usd: Money::ZERO,
                source: (*source).to_owned(),
                as_of: (*day).to_owned(),
            });
            Sum::of(each).in_words()
        };
        assert_eq!(of(&[]), "0.00 USD an hour");
        assert_eq!(of(&[("", "user:sites of the spec")]), "0.00 USD an hour (your own prices)");
        assert_eq!(of(&[("", "list")]), "0.00 USD an hour (prices without a day)");
        let dated = [("2026-01-02", "a"), ("2026-01-01", "b"), ("", "user:sites of the spec")];
        assert_eq!(
            of(&dated),
            "0.00 USD an hour (list prices of 2026-01-01 to 2026-01-02 and your own prices)"
        );
        assert_eq!(of(&dated[..1]), "0.00 USD an hour (list prices of 2026-01-02)");
    }
}
