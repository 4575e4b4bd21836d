//! Creates, updates and deletes: what is refused, and what begins.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{
    Attr, Attributes, ErrorKind, Handle, Order, Owner, ProviderError, Purchase, Reply, Resource,
    ResourceAddr, ResourceKind, Status, Tags, preflight,
};

use crate::arrival::Outcome;
use crate::chance::{Chance, Stream};
use crate::cloud::{Happening, Pool, SimCloud};
use crate::follow::said;
use crate::kinds::{check, check_place, forcing, references};
use crate::log::Event;
use crate::thing::{Thing, beside, count, has_machines, made_anew, number, purchase, text};
use crate::world::{Quota, Span};

fn error(kind: ErrorKind, message: impl Into<String>) -> ProviderError {
    ProviderError::new(kind, message)
}

/// How the id of a thing of a kind begins.
const fn prefix(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Network => "net",
        ResourceKind::Firewall => "fw",
        ResourceKind::LaunchTemplate => "lt",
        ResourceKind::Fleet => "fleet",
        ResourceKind::LoadBalancer => "lb",
        ResourceKind::JobRun => "run",
        ResourceKind::EdgeUnit => "edge",
    }
}

/// How what was accepted goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course {
    /// How it ends, if badly.
    pub fails: Option<ProviderError>,
    /// Whether its machines never answer their health check.
    pub sick: bool,
}

impl SimCloud {
    pub(crate) fn create(&mut self, order: &Order, course: Course) -> Result<Outcome, ProviderError> {
        check(order, &self.world)?;
        if order.takes_over.is_some() {
            return Err(error(ErrorKind::Invalid, "what is made is nobody's to be taken over"));
        }
        if self.world.deduplicates
            && let Some((made_with, handle)) = self.tokens.get(&order.tags.token)
        {
            if made_with.as_ref().is_some_and(|made_with| made_with != order) {
                return Err(error(ErrorKind::Invalid, "the token was used with other arguments"));
            }
            return Ok(match self.things.get(handle) {
                Some(thing) => Outcome::of(Event::Unchanged, thing.observed()),
                None => Outcome {
                    event: Event::Unchanged,
                    handle: Some(handle.clone()),
                    answer: Ok(Reply::One(None)),
                },
            });
        }
        self.check_secrets(&order.resource)?;
        let stands_on = self.needed(order)?;
        let resource = &order.resource;
        let has_machines = has_machines(resource.kind);
        let awaits = self.awaited(Some(&order.tags.lineage), &resource.attributes);
        let awaits = (resource.kind == ResourceKind::JobRun && !awaits.is_empty()).then_some(awaits);
        let works = has_machines && awaits.is_none();
        let machines = if works { self.due(resource.kind, &resource.attributes) } else { 0 };
        if has_machines {
            self.room(&pool_of(&order.resource), count(&resource.attributes))?;
        }
        let place = (resource.cloud, resource.region.clone(), resource.kind);
        let number = self.ids.entry(place).or_default();
        let handle = loop {
            *number += 1;
            let handle = Handle {
                cloud: resource.cloud,
                region: resource.region.clone(),
                kind: resource.kind,
                id: format!("{}-{:08x}", prefix(resource.kind), number),
            };
            // What was planted by hand may have taken an id.
            if !self.things.contains_key(&handle) && !self.gone.contains_key(&handle) {
                break handle;
            }
        };
        let thing = Thing {
            handle: handle.clone(),
            tags: Some(order.tags.clone()),
            attributes: resource.attributes.clone(),
            order: Some(order.clone()),
            before: None,
            status: Status::Pending,
            running: 0,
            machines: 0,
            made_ms: self.now,
            generation: 1,
            failing: course.fails,
            stands_on,
            run_ends_ms: None,
            awaits,
            between_runs: false,
            complete: false,
            making_up: false,
            healthy: 0,
            most_healthy: if course.sick { 0 } else { u32::MAX },
            moved: said(resource.kind, &resource.attributes, self.world.begins, self.now),
            switches: 0,
            metered_ms: self.now,
        };
        let seen = thing.observed();
        self.things.insert(handle.clone(), thing);
        self.tokens.insert(order.tags.token.clone(), (Some(order.clone()), handle.clone()));
        self.set_machines(&handle, machines);
        let lag = self.draw(self.world.durations_of(handle.kind).make);
        self.after(lag, Happening::Settle(handle, 1));
        Ok(Outcome::of(Event::Made, seen))
    }

    pub(crate) fn update(
        &mut self,
        handle: &Handle,
        order: &Order,
        course: Course,
    ) -> Result<Outcome, ProviderError> {
        check(order, &self.world)?;
        let resource = &order.resource;
        if (resource.cloud, &resource.region, resource.kind) != (handle.cloud, &handle.region, handle.kind) {
            return Err(error(
                ErrorKind::Invalid,
                format!("{handle} cannot become something else elsewhere"),
            ));
        }
        let Some(thing) = self.things.get(handle) else {
            return Err(error(ErrorKind::NotFound, format!("there is no {handle}")));
        };
        let tags = self.tags_after(thing, order)?;
        let same = thing.attributes == resource.attributes
            && thing.tags.as_ref() == Some(&tags)
            && thing.order.as_ref().is_none_or(|o| o.needs == order.needs && o.files == order.files);
        match thing.status {
            Status::Deleting => {
                return Err(error(ErrorKind::Conflict, format!("{handle} is being removed")));
            }
            Status::Pending | Status::Ready | Status::Complete if same => {
                return Ok(Outcome::of(Event::Unchanged, thing.observed()));
            }
            Status::Pending => {
                return Err(error(ErrorKind::Conflict, format!("{handle} is being made or changed")));
            }
            _ => {}
        }
        if let Some(name) = forcing(handle.kind, &in_new_words(thing, order), &resource.attributes) {
            return Err(error(ErrorKind::Invalid, format!("`{name}` of {handle} cannot be changed")));
        }
        self.check_secrets(&order.resource)?;
        let stands_on = self.needed(order)?;
        let awaits = self.awaited_still(thing, &resource.attributes);
        let idle = thing.idle() || !thing.has_machines();
        let beside = beside(&thing.attributes, &resource.attributes);
        // What is too many goes first, and the others are made anew then.
        let due = self.due(handle.kind, &resource.attributes);
        let machines = if idle { 0 } else { thing.machines.max(due + beside.min(due)) };
        if !idle {
            let most = count(&resource.attributes) + beside;
            self.room(&pool_of(&order.resource), most.saturating_sub(thing.machines))?;
        }
        let lag = self.draw(self.world.durations_of(handle.kind).change);
        self.set_machines(handle, machines);
        let (begins, now) = (self.world.begins, self.now);
        let Some(thing) = self.things.get_mut(handle) else { return Ok(Outcome::nothing()) };
        thing.tags = Some(tags);
        thing.awaits = awaits;
        let attributes = std::mem::replace(&mut thing.attributes, resource.attributes.clone());
        thing.moved = said(handle.kind, &thing.attributes, begins, now);
        let anew = made_anew(&attributes, &thing.attributes);
        if anew && let Some(missing) = number(&thing.attributes, "max_unavailable") {
            thing.healthy = thing.healthy.min(thing.count().saturating_sub(missing));
        }
        thing.before = Some((attributes, thing.order.replace(order.clone())));
        thing.stands_on = stands_on;
        thing.failing = course.fails.or_else(|| {
            // One is made anew before the next one goes; the first that does not come up is the last.
            (course.sick && anew).then(|| error(ErrorKind::Invalid, "a new machine did not become healthy"))
        });
        thing.most_healthy = if course.sick { thing.healthy } else { u32::MAX };
        thing.status = Status::Pending;
        thing.generation += 1;
        let (seen, generation) = (thing.observed(), thing.generation);
        self.after(lag, Happening::Settle(handle.clone(), generation));
        Ok(Outcome::of(Event::Changed, seen))
    }

    pub(crate) fn delete(&mut self, handle: &Handle, course: Course) -> Result<Outcome, ProviderError> {
        check_place(handle.cloud, &handle.region, &self.world)?;
        let Some(thing) = self.things.get(handle) else { return Ok(Outcome::nothing()) };
        match thing.status {
            Status::Deleting => return Ok(Outcome::of(Event::Unchanged, thing.observed())),
            Status::Pending => {
                return Err(error(ErrorKind::Conflict, format!("{handle} is being made or changed")));
            }
            _ => {}
        }
        if let Some(other) = self.things.values().find(|other| other.stands_on.contains(handle)) {
            return Err(error(ErrorKind::Conflict, format!("{} stands on {handle}", other.handle)));
        }
        let lag = self.draw(self.world.durations_of(handle.kind).remove);
        let Some(thing) = self.things.get_mut(handle) else { return Ok(Outcome::nothing()) };
        thing.status = Status::Deleting;
        thing.failing = course.fails;
        thing.before = None;
        thing.generation += 1;
        let (seen, generation) = (thing.observed(), thing.generation);
        self.after(lag, Happening::Vanish(handle.clone(), generation));
        Ok(Outcome::of(Event::Removed, seen))
    }

    /// What a thing is tagged with once an order of it is accepted: who made it stays, unless it is taken over.
    fn tags_after(&self, thing: &Thing, order: &Order) -> Result<Tags, ProviderError> {
        let handle = &thing.handle;
        let refused = |why: String| Err(error(ErrorKind::Invalid, why));
        match (&thing.tags, &order.takes_over) {
            // The same again, when it was taken over already.
            (Some(tags), _) if tags.lineage == order.tags.lineage => {
                Ok(Tags { address: order.tags.address.clone(), ..tags.clone() })
            }
            (None, Some(Owner::Nobody)) => Ok(order.tags.clone()),
            (Some(tags), Some(Owner::Lineage(lineage))) if tags.lineage == *lineage => Ok(order.tags.clone()),
            (Some(_), _) => refused(format!("{handle} is of another deployment")),
            (None, _) => refused(format!("{handle} is of no deployment")),
        }
    }

    /// Whether the secrets exist that a resource names.
    fn check_secrets(&self, resource: &Resource) -> Result<(), ProviderError> {
        match preflight::secrets(resource).into_iter().find(|reference| !self.has_secret(reference)) {
            Some(reference) => Err(error(ErrorKind::Invalid, format!("there is no secret `{reference}`"))),
            None => Ok(()),
        }
    }

    pub(crate) fn has_secret(&self, reference: &str) -> bool {
        self.world.secrets.as_ref().is_none_or(|secrets| secrets.contains(reference))
    }

    /// What an order names by address, found by the ids that it gives.
    fn needed(&self, order: &Order) -> Result<BTreeSet<Handle>, ProviderError> {
        let resource = &order.resource;
        let named = references(resource);
        let mut all = BTreeSet::new();
        for (address, id) in &order.needs {
            let Some((_, kind)) = named.iter().find(|(name, _)| name == address.as_str()) else {
                // Runs come after runs of other regions and clouds; an id alone does not say where.
                let same = self.things.values().filter(|thing| thing.handle.id == *id);
                let there = same.filter_map(|thing| thing.tags.as_ref()).any(|tags| tags.address == *address);
                if there {
                    continue;
                }
                return Err(error(ErrorKind::Invalid, format!("there is no {id} for `{address}`")));
            };
            let handle = Handle {
                cloud: resource.cloud,
                region: resource.region.clone(),
                kind: *kind,
                id: id.clone(),
            };
            let Some(thing) = self.things.get(&handle) else {
                return Err(error(ErrorKind::Invalid, format!("there is no {handle}")));
            };
            let made_for = |tags: &Tags| tags.address == *address && tags.lineage == order.tags.lineage;
            if !thing.tags.as_ref().is_some_and(made_for) {
                return Err(error(ErrorKind::Invalid, format!("{handle} was not made for `{address}`")));
            }
            match &thing.status {
                Status::Ready | Status::Complete => {}
                Status::Failed(_) => {
                    return Err(error(ErrorKind::Invalid, format!("{handle} has failed")));
                }
                Status::Pending | Status::Deleting => {
                    return Err(error(ErrorKind::Conflict, format!("{handle} is not ready")));
                }
            }
            if *kind == ResourceKind::LaunchTemplate
                && text(&resource.attributes, "instance_type") != Some(thing.instance_type())
            {
                return Err(error(ErrorKind::Invalid, format!("{handle} starts machines of another type")));
            }
            all.insert(handle);
        }
        Ok(all)
    }

    /// Whether so many machines more may be had, and are there.
    fn room(&self, pool: &Pool, more: u32) -> Result<(), ProviderError> {
        if more == 0 {
            return Ok(());
        }
        let what = format!("{more} more {} in {}/{}", pool.2, pool.0, pool.1);
        if more > self.quota_left(pool) {
            return Err(error(ErrorKind::Quota, format!("{what} exceed a quota")));
        }
        if more > self.stock_left(pool) {
            return Err(error(ErrorKind::Capacity, format!("there are no {what}")));
        }
        Ok(())
    }

    /// Machines that quotas leave.
    pub(crate) fn quota_left(&self, pool: &Pool) -> u32 {
        let limits = self.world.quotas.iter().filter(|quota| quota.counts(pool));
        limits.map(|quota| self.left_of(quota, 0)).min().unwrap_or(u32::MAX)
    }

    /// Machines that a quota leaves once so many are given back.
    pub(crate) fn left_of(&self, quota: &Quota, freed: u32) -> u32 {
        let used = self.held.iter().filter(|(pool, _)| quota.counts(pool));
        let used = used.fold(0_u32, |sum, (_, n)| sum.saturating_add(*n));
        quota.machines.saturating_sub(used.saturating_sub(freed))
    }

    /// Machines that there are and that nobody has.
    pub(crate) fn stock_left(&self, pool: &Pool) -> u32 {
        self.stock_left_after(pool, 0)
    }

    /// The same once so many are given back.
    pub(crate) fn stock_left_after(&self, pool: &Pool, freed: u32) -> u32 {
        let row = self.world.stock.iter().find(|row| {
            row.cloud == pool.0 && row.region == pool.1 && row.instance_type == pool.2 && row.spot == pool.3
        });
        let machines = row.and_then(|row| row.machines);
        let held = self.held.get(pool).copied().unwrap_or(0).saturating_sub(freed);
        machines.map_or(u32::MAX, |n| n.saturating_sub(held))
    }

    /// A time within a span for the course of a thing.
    pub(crate) fn draw(&self, span: Span) -> u64 {
        Chance::new(self.world.seed, Stream::Course, self.seq).within(span)
    }
}

/// The machines of a resource.
pub(crate) fn pool_of(resource: &Resource) -> Pool {
    let name = text(&resource.attributes, "instance_type").unwrap_or_default();
    let spot = purchase(&resource.attributes) == Some(Purchase::Spot);
    (resource.cloud, resource.region.clone(), name.to_owned(), spot)
}

/// The attributes of a thing with the addresses that an order has for the same things: a deployment may rename what it has, and what was
/// nobody's names what it stands on by ids.
fn in_new_words(thing: &Thing, order: &Order) -> Attributes {
    let renamed = |old: &ResourceAddr, id: &String| {
        let new = order.needs.iter().find(|(_, now)| *now == id).map(|(new, _)| new);
        new.filter(|new| *new != old).map(|new| (old.to_string(), new.to_string()))
    };
    let before = thing.order.iter().flat_map(|before| &before.needs);
    let mut names: BTreeMap<String, String> = before.filter_map(|(old, id)| renamed(old, id)).collect();
    if thing.tags.is_none() {
        names.extend(order.needs.iter().map(|(address, id)| (id.clone(), address.to_string())));
    }
    if names.is_empty() {
        return thing.attributes.clone();
    }
    let word = |value: &Attr| match value {
        Attr::Text(text) => names.get(text).map_or_else(|| value.clone(), |new| new.as_str().into()),
        other => other.clone(),
    };
    thing.attributes.iter().map(|(name, value)| (name, word(value))).collect()
}
