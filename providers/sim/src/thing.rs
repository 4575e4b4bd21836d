//! What exists.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{
    Attr, Attributes, Handle, Observed, Order, ProviderError, Purchase, ResourceKind, Status, Tags, outputs,
};

/// A thing and what is going on with it.
#[derive(Clone, Debug)]
pub struct Thing {
    /// What and where.
    pub handle: Handle,
    /// Of the order that made it or took it over; none of what somebody made otherwise.
    pub tags: Option<Tags>,
    /// As it is, or is being made into.
    pub attributes: Attributes,
    /// The last order that was accepted for it; none of what was not ordered here.
    pub order: Option<Order>,
    /// Attributes and order to go back to if the change under way fails.
    pub before: Option<(Attributes, Option<Order>)>,
    /// How far it is.
    pub status: Status,
    /// Machines that work.
    pub running: u32,
    /// Machines that it holds of the stock, and that cost money.
    pub machines: u32,
    /// When its create was accepted.
    pub made_ms: u64,
    /// Counts accepted changes, so that what a former change had in view for it is void.
    pub generation: u64,
    /// How the change under way ends, if badly.
    pub failing: Option<ProviderError>,
    /// What it stands on, which cannot be removed before it.
    pub stands_on: BTreeSet<Handle>,
    /// When the run under way ends.
    pub run_ends_ms: Option<u64>,
    /// Whether it is a run with a schedule that waits for its next start.
    pub between_runs: bool,
    /// The workloads whose runs must be complete before this run starts, once its start is due; empty while it waits for
    /// machines alone, and none of a run that has started, or whose start is not due.
    pub awaits: Option<BTreeSet<String>>,
    /// Whether it is a run that has ended for good.
    pub complete: bool,
    /// Whether machines that were lost are going to be made up for.
    pub making_up: bool,
    /// Machines that answer their health check, if as many run.
    pub healthy: u32,
    /// The most of its machines that ever will.
    pub most_healthy: u32,
    /// Machines that it is to have in the place of `count`, since its schedule or a hand has moved it.
    pub moved: Option<u32>,
    /// Counts schedules that it came to follow, so that what a former one had in view for it is void.
    pub switches: u64,
    /// Up to when its machines are in the bill.
    pub metered_ms: u64,
}

impl Thing {
    /// The deployment that it is of, if it is of one.
    pub fn lineage(&self) -> Option<&str> {
        self.tags.as_ref().map(|tags| tags.lineage.as_str())
    }

    /// Whether things of its kind have machines.
    pub fn has_machines(&self) -> bool {
        has_machines(self.handle.kind)
    }

    /// Machines that it is to have while it works.
    pub fn count(&self) -> u32 {
        self.moved.unwrap_or_else(|| count(&self.attributes))
    }

    /// Machines that it is to have now.
    pub fn wanted(&self) -> u32 {
        if self.idle() { 0 } else { self.count() }
    }

    /// Whether it is a run that has none of its machines: it has ended, or waits for its start.
    pub fn idle(&self) -> bool {
        self.complete || self.between_runs || self.awaits.is_some()
    }

    /// Whether what comes after this run need not wait for it: it has ended, and is not to start again now.
    pub fn has_run(&self) -> bool {
        self.complete || (self.between_runs && self.awaits.is_none())
    }

    /// The cloud's name of the type of its machines.
    pub fn instance_type(&self) -> &str {
        text(&self.attributes, "instance_type").unwrap_or_default()
    }

    /// How its machines are paid for.
    pub fn purchase(&self) -> Option<Purchase> {
        purchase(&self.attributes)
    }

    /// Whether its machines are spot machines.
    pub fn spot(&self) -> bool {
        self.purchase() == Some(Purchase::Spot)
    }

    /// Whether it is a run with a schedule.
    pub fn scheduled(&self) -> bool {
        self.handle.kind == ResourceKind::JobRun && self.attributes.contains_key("schedule")
    }

    /// How long a run of it takes, milliseconds; `None` for what never ends by itself.
    pub fn run_ms(&self, runs: &crate::Runs) -> Option<u64> {
        if self.handle.kind != ResourceKind::JobRun || self.attributes.contains_key("restart") {
            return None;
        }
        let of_deadline = || match self.attributes.get("deadline_s") {
            Some(Attr::Int(s)) => Some(s.unsigned_abs().saturating_mul(u64::from(runs.deadline_permille))),
            _ => None,
        };
        runs.run_ms.or_else(of_deadline)
    }

    /// Whether its machines are asked how they are.
    fn health_checked(&self) -> bool {
        self.has_machines() && self.attributes.contains_key("health_check_path")
    }

    /// What it was given: a name of its own, below a domain that can never exist (RFC 2606).
    fn outputs(&self) -> BTreeMap<String, String> {
        let Handle { cloud, region, kind, id } = &self.handle;
        if !matches!(kind, ResourceKind::LoadBalancer | ResourceKind::EdgeUnit) {
            return BTreeMap::new();
        }
        let name = format!("{id}.{region}.{cloud}.invalid");
        BTreeMap::from([(outputs::ADDRESS.to_owned(), name)])
    }

    /// As its cloud describes it.
    pub fn observed(&self) -> Observed {
        let mut attributes = self.attributes.clone();
        if let Some(moved) = self.moved {
            attributes.insert("count", Attr::Int(i64::from(moved)));
        }
        Observed {
            handle: self.handle.clone(),
            tags: self.tags.clone(),
            attributes,
            status: self.status.clone(),
            running: self.has_machines().then_some(self.running),
            healthy: self.health_checked().then(|| self.healthy.min(self.running)),
            outputs: self.outputs(),
        }
    }
}

/// Machines beside its own that something has for a while if it becomes this: those that are made anew come some at a time.
pub fn beside(from: &Attributes, to: &Attributes) -> u32 {
    if made_anew(from, to) { number(to, "max_surge").unwrap_or(0).min(count(to)) } else { 0 }
}

/// Whether its machines are made anew if something becomes this.
pub fn made_anew(from: &Attributes, to: &Attributes) -> bool {
    from.get("launch_template_sha256") != to.get("launch_template_sha256")
}

/// A number of machines, if the attribute is there.
pub fn number(attributes: &Attributes, name: &str) -> Option<u32> {
    match attributes.get(name) {
        Some(Attr::Int(n)) => u32::try_from(*n).ok(),
        _ => None,
    }
}

/// Whether things of a kind have machines.
pub fn has_machines(kind: ResourceKind) -> bool {
    matches!(kind, ResourceKind::Fleet | ResourceKind::JobRun | ResourceKind::EdgeUnit)
}

/// The attribute `count`; 0 without one.
pub fn count(attributes: &Attributes) -> u32 {
    number(attributes, "count").unwrap_or(0)
}

/// The workloads that a run with these attributes comes after.
pub fn after(attributes: &Attributes) -> BTreeSet<&str> {
    let Some(Attr::List(names)) = attributes.get("after") else { return BTreeSet::new() };
    names
        .iter()
        .filter_map(|name| if let Attr::Text(name) = name { Some(name.as_str()) } else { None })
        .collect()
}

/// An attribute that is a text.
pub fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    match attributes.get(name) {
        Some(Attr::Text(text)) => Some(text),
        _ => None,
    }
}

/// The attribute `purchase`.
pub fn purchase(attributes: &Attributes) -> Option<Purchase> {
    let name = text(attributes, "purchase")?;
    Purchase::ALL.into_iter().chain([Purchase::Held]).find(|p| p.as_str() == name)
}
