//! What things do by themselves: they become ready, fail, end, lose machines and are gone.

use rhumb_api::{Handle, Status};

use crate::chance::{Chance, Stream};
use crate::cloud::{Ghost, Happening, Pool, SimCloud};
use crate::follow::said;
use crate::log::{Entry, Event};

/// How often chance decides on spot machines, milliseconds.
const MINUTE_MS: u64 = 60_000;

/// The least time from start to start of a run, and between two tries to make up for lost machines: a world that
/// says 0 would not get on.
pub(crate) const LEAST_MS: u64 = 1_000;

impl SimCloud {
    /// The change under way is over.
    pub(crate) fn settle(&mut self, handle: &Handle, generation: u64) {
        let (begins, now) = (self.world.begins, self.now);
        let Some(thing) = self.current(handle, generation) else { return };
        if thing.status != Status::Pending {
            return;
        }
        let before = thing.before.take();
        if let Some(error) = thing.failing.take() {
            // Of what was being made, half is there; what was being changed is as it was before.
            let left = match before {
                Some((attributes, order)) => {
                    thing.attributes = attributes;
                    thing.order = order;
                    thing.moved = said(handle.kind, &thing.attributes, begins, now);
                    thing.machines.min(thing.wanted())
                }
                None => thing.wanted() / 2,
            };
            let made = thing.generation > 1;
            thing.running = if made { thing.running.min(left) } else { left };
            self.set_machines(handle, left);
            self.become_(handle, Status::Failed(error));
            return;
        }
        thing.making_up = false;
        thing.moved = said(handle.kind, &thing.attributes, begins, now);
        // What a schedule has added meanwhile has to be found yet.
        let wanted = thing.wanted().min(thing.machines);
        thing.running = wanted;
        thing.healthy = thing.healthy.min(wanted);
        let status = if thing.complete { Status::Complete } else { Status::Ready };
        let (complete, ends) = (thing.complete, thing.run_ends_ms);
        let watched = thing.has_machines() && thing.spot() && self.world.spot.per_hour_ppm > 0;
        self.set_machines(handle, wanted);
        self.become_(handle, status);
        self.warm_up(handle, generation);
        self.follow(handle);
        if watched && !complete {
            self.after(MINUTE_MS, Happening::SpotMinute(handle.clone(), generation));
        }
        match ends {
            Some(ends) if ends <= self.now => self.run_ends(handle),
            Some(_) => {}
            None if !complete => self.start_run(handle),
            None => {}
        }
    }

    /// Machines have started: they answer their health check once their engines have loaded their weights.
    pub(crate) fn warm_up(&mut self, handle: &Handle, generation: u64) {
        match self.draw(self.world.warm_ms) {
            0 => self.warm(handle, generation),
            ms => self.after(ms, Happening::Warm(handle.clone(), generation)),
        }
    }

    /// Engines have loaded their weights.
    pub(crate) fn warm(&mut self, handle: &Handle, generation: u64) {
        let Some(thing) = self.current(handle, generation) else { return };
        thing.healthy = thing.running.min(thing.most_healthy);
    }

    /// A run starts, if the thing is one that ends by itself.
    pub(crate) fn start_run(&mut self, handle: &Handle) {
        let runs = self.world.runs;
        let now = self.now;
        let Some(thing) = self.things.get_mut(handle) else { return };
        if thing.awaits.is_some() {
            return self.begin(handle);
        }
        if thing.between_runs {
            return;
        }
        let Some(run_ms) = thing.run_ms(&runs) else { return };
        thing.run_ends_ms = Some(now.saturating_add(run_ms));
        let scheduled = thing.scheduled();
        self.after(run_ms, Happening::RunEnds(handle.clone()));
        if scheduled {
            // A run that takes longer than its period is not started again before it has ended.
            let period = runs.period_ms.max(run_ms).max(LEAST_MS);
            self.after(period, Happening::RunStarts(handle.clone()));
        }
    }

    pub(crate) fn run_ends(&mut self, handle: &Handle) {
        let now = self.now;
        let Some(thing) = self.things.get_mut(handle) else { return };
        // While it is being changed, the end waits for that.
        if thing.status != Status::Ready || thing.run_ends_ms.is_none_or(|ends| ends > now) {
            return;
        }
        thing.run_ends_ms = None;
        thing.running = 0;
        let scheduled = thing.scheduled();
        thing.between_runs = scheduled;
        thing.complete = !scheduled;
        self.set_machines(handle, 0);
        if !scheduled {
            self.become_(handle, Status::Complete);
        }
        if let Some(thing) = self.things.get(handle).cloned() {
            self.release_after(&thing);
        }
    }

    /// The next run of one with a schedule; it is left out if there are no machines for it.
    pub(crate) fn run_starts(&mut self, handle: &Handle) {
        let Some(thing) = self.things.get(handle) else { return };
        if thing.awaits.is_some() {
            return self.begin(handle);
        }
        if !thing.scheduled() {
            return;
        }
        if !thing.between_runs || thing.status != Status::Ready {
            let period = self.world.runs.period_ms.max(LEAST_MS);
            self.after(period, Happening::RunStarts(handle.clone()));
            return;
        }
        let awaits = self.awaited(thing.lineage(), &thing.attributes);
        if let Some(thing) = self.things.get_mut(handle) {
            thing.awaits = Some(awaits);
        }
        self.begin(handle);
    }

    pub(crate) fn spot_minute(&mut self, handle: &Handle, generation: u64) {
        let rate = u64::from(self.world.spot.per_hour_ppm);
        let mut chance = Chance::new(self.world.seed, Stream::Spot, self.seq);
        let replace = self.world.spot.replace_ms.max(LEAST_MS);
        let Some(thing) = self.current(handle, generation) else { return };
        if thing.status != Status::Ready || thing.complete {
            return;
        }
        let lost = (0..thing.machines).filter(|_| chance.below(60_000_000) < rate).count();
        let lost = u32::try_from(lost).unwrap_or(u32::MAX);
        if lost > 0 {
            let left = thing.machines.saturating_sub(lost);
            thing.running = thing.running.min(left);
            let again = !std::mem::replace(&mut thing.making_up, true);
            self.set_machines(handle, left);
            if again {
                self.after(replace, Happening::MakeUp(handle.clone(), generation));
            }
        }
        self.after(MINUTE_MS, Happening::SpotMinute(handle.clone(), generation));
    }

    /// Lost machines are made up for, as far as there are any.
    pub(crate) fn make_up(&mut self, handle: &Handle, generation: u64) {
        let Some(thing) = self.current(handle, generation) else { return };
        if thing.status != Status::Ready {
            return;
        }
        thing.making_up = false;
        self.fill(handle, generation);
        self.warm(handle, generation);
    }

    /// Has what machines a thing lacks, as far as there are any, and tries again for the others; how many it got.
    pub(crate) fn fill(&mut self, handle: &Handle, generation: u64) -> u32 {
        let Some(thing) = self.things.get(handle) else { return 0 };
        let (pool, machines) = (pool_of(thing), thing.machines);
        let missing = thing.wanted().saturating_sub(machines);
        let found = missing.min(self.quota_left(&pool)).min(self.stock_left(&pool));
        self.set_machines(handle, machines + found);
        let Some(thing) = self.things.get_mut(handle) else { return 0 };
        thing.running = machines + found;
        if found < missing && !std::mem::replace(&mut thing.making_up, true) {
            let replace = self.world.spot.replace_ms.max(LEAST_MS);
            self.after(replace, Happening::MakeUp(handle.clone(), generation));
        }
        found
    }

    pub(crate) fn removed(&mut self, handle: &Handle, generation: u64) {
        let Some(thing) = self.current(handle, generation) else { return };
        match thing.failing.take() {
            Some(error) => self.become_(handle, Status::Failed(error)),
            None => self.bury(handle),
        }
    }

    /// A thing is gone, with its machines; lists show it for a while.
    pub(crate) fn bury(&mut self, handle: &Handle) {
        self.set_machines(handle, 0);
        self.note_thing(handle, Event::Gone);
        if let Some(thing) = self.things.remove(handle) {
            let ghost = Ghost { observed: thing.observed(), made_ms: thing.made_ms, gone_ms: self.now };
            self.gone.insert(handle.clone(), ghost);
            self.release_after(&thing);
        }
    }

    /// Gives a thing so many machines, and puts those that it had until now into the bill.
    pub(crate) fn set_machines(&mut self, handle: &Handle, machines: u32) {
        self.accrue(handle);
        let Some(thing) = self.things.get_mut(handle) else { return };
        if thing.machines == machines {
            return;
        }
        let pool = pool_of(thing);
        let held = self.held.entry(pool).or_default();
        *held = held.saturating_sub(thing.machines).saturating_add(machines);
        thing.machines = machines;
        self.note_thing(handle, Event::Machines(machines));
    }

    pub(crate) fn accrue(&mut self, handle: &Handle) {
        let Some(thing) = self.things.get_mut(handle) else { return };
        let since = self.now.saturating_sub(thing.metered_ms);
        thing.metered_ms = self.now;
        let price = thing.purchase().and_then(|purchase| {
            self.world.price(handle.cloud, &handle.region, thing.instance_type(), purchase)
        });
        let address = thing.tags.as_ref().map(|tags| &tags.address);
        self.meter.add(address, thing.machines, since, price);
    }

    pub(crate) fn become_(&mut self, handle: &Handle, status: Status) {
        if let Some(thing) = self.things.get_mut(handle) {
            thing.status = status.clone();
            self.note_thing(handle, Event::Became(status));
        }
    }

    pub(crate) fn note_thing(&mut self, handle: &Handle, event: Event) {
        let tags = self.things.get(handle).and_then(|thing| thing.tags.as_ref());
        let entry = Entry {
            at_ms: self.now,
            call: None,
            verb: None,
            cloud: handle.cloud,
            kind: Some(handle.kind),
            address: tags.map(|tags| tags.address.clone()),
            token: tags.map(|tags| tags.token.clone()),
            handle: Some(handle.clone()),
            event,
        };
        self.log.push(entry);
    }

    /// The thing, if no other change of it was accepted since.
    fn current(&mut self, handle: &Handle, generation: u64) -> Option<&mut crate::thing::Thing> {
        self.things.get_mut(handle).filter(|thing| thing.generation == generation)
    }
}

/// The machines that a thing holds.
pub(crate) fn pool_of(thing: &crate::thing::Thing) -> Pool {
    let handle = &thing.handle;
    (handle.cloud, handle.region.clone(), thing.instance_type().to_owned(), thing.spot())
}
