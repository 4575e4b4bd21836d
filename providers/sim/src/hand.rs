//! What somebody does behind the caller's back, and what a test looks at.

use rhumb_api::{Attr, Cloud, Handle, Observed};

use crate::cloud::SimCloud;
use crate::log::Event;
use crate::meter::Bill;
use crate::thing::{Thing, number};
use crate::world::{Rule, Stock, World};

/// Why nothing was changed by hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandError {
    /// There is no such thing.
    #[error("there is no {0}")]
    Missing(Handle),
    /// There is or was such a thing already.
    #[error("there is or was a {0}")]
    Taken(Handle),
}

impl SimCloud {
    /// Changes or removes an attribute of a thing. Another `count` changes its machines too, whatever the stock; those that are new answer
    /// their health check after [`World::warm_ms`], as all others; with a schedule, until the next entry of it. Another schedule is followed at once; without one, it keeps the machines that it has.
    ///
    /// # Errors
    /// There is no such thing.
    pub fn set_attribute(
        &mut self,
        handle: &Handle,
        name: &str,
        value: Option<Attr>,
    ) -> Result<(), HandError> {
        let Some(thing) = self.things.get(handle) else { return Err(HandError::Missing(handle.clone())) };
        let machines = thing.machines;
        // Machines are counted and paid for by attributes: those of before, up to now.
        self.set_machines(handle, 0);
        let Some(thing) = self.things.get_mut(handle) else { return Ok(()) };
        match value {
            Some(value) => thing.attributes.insert(name, value),
            None => thing.attributes.remove(name),
        };
        if name == "count" && thing.moved.is_some() {
            thing.moved = number(&thing.attributes, name);
        }
        let by_count = name == "count" && thing.has_machines() && thing.wanted() != machines;
        let had = machines;
        let machines = if by_count { thing.wanted() } else { had };
        if by_count {
            thing.running = machines;
            thing.healthy = thing.healthy.min(machines);
        }
        let generation = thing.generation;
        self.set_machines(handle, machines);
        self.note_thing(handle, Event::ByHand);
        if machines > had {
            self.warm_up(handle, generation);
        }
        if matches!(name, "schedule" | "time_zone" | "min_count" | "max_count") {
            self.follow(handle);
        }
        Ok(())
    }

    /// Takes all tags off a thing: it is then nobody's, and its token finds it no more.
    ///
    /// # Errors
    /// There is no such thing.
    pub fn untag(&mut self, handle: &Handle) -> Result<(), HandError> {
        // Its machines are paid for by its address: those of before, up to now.
        self.accrue(handle);
        let Some(thing) = self.things.get_mut(handle) else { return Err(HandError::Missing(handle.clone())) };
        thing.tags = None;
        self.note_thing(handle, Event::ByHand);
        Ok(())
    }

    /// Removes a thing at once, whatever stands on it.
    ///
    /// # Errors
    /// There is no such thing.
    pub fn vanish(&mut self, handle: &Handle) -> Result<(), HandError> {
        if !self.things.contains_key(handle) {
            return Err(HandError::Missing(handle.clone()));
        }
        self.note_thing(handle, Event::ByHand);
        self.bury(handle);
        Ok(())
    }

    /// Lets at most so many machines of a thing answer their health check from now on; `None` for all.
    ///
    /// # Errors
    /// There is no such thing.
    pub fn set_healthy(&mut self, handle: &Handle, most: Option<u32>) -> Result<(), HandError> {
        let thing = self.things.get_mut(handle).ok_or_else(|| HandError::Missing(handle.clone()))?;
        thing.most_healthy = most.unwrap_or(u32::MAX);
        thing.healthy = thing.running.min(thing.most_healthy);
        self.note_thing(handle, Event::ByHand);
        Ok(())
    }

    /// Puts a thing there that was not ordered here. It stands on nothing, its status does not change by itself,
    /// and its machines are those of `running`. Lists take it for made at the time 0, and never show it without tags.
    ///
    /// # Errors
    /// There is or was a thing with that handle.
    pub fn plant(&mut self, seen: Observed) -> Result<(), HandError> {
        let handle = seen.handle.clone();
        if self.things.contains_key(&handle) || self.gone.contains_key(&handle) {
            return Err(HandError::Taken(handle));
        }
        let machines = seen.running.unwrap_or(0);
        if let Some(tags) = &seen.tags {
            self.tokens.entry(tags.token.clone()).or_insert_with(|| (None, handle.clone()));
        }
        let thing = Thing {
            handle: handle.clone(),
            tags: seen.tags,
            attributes: seen.attributes,
            order: None,
            before: None,
            complete: seen.status == rhumb_api::Status::Complete,
            status: seen.status,
            running: machines,
            machines: 0,
            made_ms: 0,
            generation: 1,
            failing: None,
            stands_on: std::collections::BTreeSet::new(),
            run_ends_ms: None,
            awaits: None,
            between_runs: false,
            making_up: false,
            healthy: seen.healthy.unwrap_or(machines),
            most_healthy: seen.healthy.unwrap_or(u32::MAX),
            moved: None,
            switches: 0,
            metered_ms: self.now,
        };
        self.things.insert(handle.clone(), thing);
        self.set_machines(&handle, machines);
        self.note_thing(&handle, Event::ByHand);
        Ok(())
    }

    /// Changes how many machines there are of a type, with those that the deployment has; `None` for plenty.
    pub fn set_stock(
        &mut self,
        cloud: Cloud,
        region: &str,
        instance_type: &str,
        spot: bool,
        machines: Option<u32>,
    ) {
        let row = self.world.stock.iter_mut().find(|row| {
            row.cloud == cloud
                && row.region == region
                && row.instance_type == instance_type
                && row.spot == spot
        });
        match row {
            Some(row) => row.machines = machines,
            None => self.world.stock.push(Stock {
                cloud,
                region: region.to_owned(),
                instance_type: instance_type.to_owned(),
                spot,
                machines,
            }),
        }
    }

    /// Puts other rules in the place of the present ones, and counts calls anew.
    pub fn set_rules(&mut self, rules: Vec<Rule>) {
        self.set_rules_and_counts(rules);
    }

    /// Puts another world around what there is. Rules that stay the same go on counting; what is under way ends as
    /// it began; machines cost the new prices from now on. Where it begins at another time, schedules say what they say then.
    pub fn set_world(&mut self, world: World) {
        self.accrue_all();
        if world.rules != self.world.rules {
            self.set_rules_and_counts(world.rules.clone());
        }
        let moved = world.begins != self.world.begins;
        self.world = world;
        if moved {
            let follow = self.things.values().filter(|thing| thing.switches > 0);
            let handles: Vec<Handle> = follow.map(|thing| thing.handle.clone()).collect();
            handles.iter().for_each(|handle| self.follow(handle));
        }
    }

    /// What was spent until now. Time goes on to it, as with [`SimCloud::advance`]; answers are kept for that.
    pub fn bill(&mut self, now_ms: u64) -> Bill {
        self.run_until(now_ms);
        self.accrue_all();
        self.meter.bill()
    }

    fn accrue_all(&mut self) {
        let handles: Vec<Handle> = self.things.keys().cloned().collect();
        for handle in handles {
            self.accrue(&handle);
        }
    }
}
