//! What a stream needs of its machines (decision 23): micro-batches that keep up and are fresh, with all machines and with those that a
//! failure leaves.

use super::pipeline::Executor;
use super::pool::Terms;
use crate::spec::{Pipeline, Stream};

/// What sums of floating point may be off by.
const ROUNDED: f64 = 1e-12;
/// More machines than are looked at.
const MOST: u32 = 1 << 22;

/// A failure, how many of them, and the machines that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub scope: &'static str,
    pub count: u32,
    pub machines: u32,
}

/// A stream on the machines of a type.
#[derive(Clone, Copy)]
pub(super) struct Flow<'a> {
    pub pipeline: &'a Pipeline,
    pub stream: &'a Stream,
    pub executor: &'a Executor,
}

impl Flow<'_> {
    /// Seconds of work for the events of a second at the peak, on so many machines; `None` if nobody works.
    pub fn load(&self, machines: u32) -> Option<f64> {
        self.executor.work_s(self.pipeline, machines)
    }

    /// Seconds of a micro-batch of so many milliseconds on so many machines.
    pub fn batch_s(&self, machines: u32, trigger_ms: u64) -> Option<f64> {
        Some(self.stream.overhead_s + self.load(machines)? * trigger_ms as f64 / 1e3)
    }

    /// Events a second that so many machines keep up with, as fresh as asked for; 0 if nobody works.
    pub fn capacity(&self, machines: u32, trigger_ms: u64) -> f64 {
        let Some(load) = self.load(machines) else { return 0.0 };
        let trigger = trigger_ms as f64 / 1e3;
        let left = trigger.min(self.stream.freshness_s - trigger) - self.stream.overhead_s;
        self.stream.events_per_s * (left / (trigger * load)).max(0.0)
    }

    /// What each failure takes of so many machines; `None` if one takes all, or nobody knows how many.
    pub fn losses(&self, terms: &Terms, machines: u32, spot: u32) -> Option<Vec<Loss>> {
        let mut all = Vec::new();
        if self.stream.machines > 0 {
            let count = self.stream.machines;
            all.push(Loss { scope: "machine", count, machines: count });
        }
        if self.stream.zones > 0 {
            let (zones, count) = (terms.zones?.min(machines).max(1), self.stream.zones);
            // The fullest zones fail.
            let lost = machines / zones * count + (machines % zones).min(count);
            all.push(Loss { scope: "zone", count, machines: lost });
        }
        if spot > 0 && terms.held.is_none() {
            let gone = (terms.interruption * f64::from(spot) - 1e-9).ceil().max(1.0) as u32;
            all.push(Loss { scope: "spot", count: gone, machines: gone });
        }
        all.iter().all(|loss| loss.machines < machines).then_some(all)
    }

    /// The greatest load that must be borne: of all machines, and of those that each failure leaves for its share of the peak.
    fn worst(&self, terms: &Terms, machines: u32, spot: u32) -> Option<f64> {
        let mut worst = self.load(machines)?;
        for loss in self.losses(terms, machines, spot)? {
            worst = worst.max(self.load(machines - loss.machines)? * self.stream.capacity);
        }
        Some(worst)
    }

    /// The longest trigger with which every event is fresh under a load, and whether batches keep up with it: no other one does if that
    /// does not.
    fn longest(&self, load: f64) -> Option<u64> {
        let (fresh, overhead) = (self.stream.freshness_s, self.stream.overhead_s);
        let most = ((fresh - overhead) / (1.0 + load) * 1e3 * (1.0 + ROUNDED)).floor();
        let keeps_up = overhead * 1e3 <= most * (1.0 - load) * (1.0 + ROUNDED);
        (most >= 1.0 && keeps_up).then_some(most as u64)
    }

    /// The trigger of so many machines, milliseconds; `None` if they do not keep up, or what they make is too old.
    pub fn trigger(&self, terms: &Terms, machines: u32, spot: u32) -> Option<u64> {
        self.longest(self.worst(terms, machines, spot)?)
    }

    /// Whether more machines do nothing more: what a failure leaves has all shards at once.
    fn saturated(&self, terms: &Terms, machines: u32, spot: u32) -> bool {
        let at_once =
            |n: u32| u64::from(n) * u64::from(self.executor.cores) > u64::from(self.pipeline.shards);
        let left = |losses: Vec<Loss>| losses.iter().map(|l| machines - l.machines).min().unwrap_or(machines);
        self.losses(terms, machines, spot).is_some_and(|losses| at_once(left(losses)))
    }

    /// The fewest machines that may do, without spot where something else is sold.
    pub fn fewest(&self, terms: &Terms) -> Option<u32> {
        let spot = |n: u32| if terms.base.is_none() { n } else { 0 };
        let does = |n: u32| self.trigger(terms, n, spot(n)).is_some();
        first(does, |n| self.saturated(terms, n, spot(n)))
    }

    /// Of no more machines than these another choice is better: where as many may be spot as are allowed, more machines have no fewer that
    /// are not, and no fewer that are.
    pub fn enough(&self, terms: &Terms) -> u32 {
        let all = |n: u32| {
            let spot = terms.most_spot(n);
            self.trigger(terms, n, spot).is_some() || self.saturated(terms, n, spot)
        };
        first(all, |_| false).unwrap_or(MOST)
    }

    /// Spot machines among so many with which it still keeps up, at the most; `None` if not even with the fewest.
    pub fn most_spot(&self, terms: &Terms, machines: u32, low: u32, high: u32) -> Option<u32> {
        let does = |spot: u32| self.trigger(terms, machines, spot).is_some();
        if low > high || !does(low) {
            return None;
        }
        let (mut yes, mut no) = (low, high.saturating_add(1));
        while no - yes > 1 {
            let middle = yes + (no - yes) / 2;
            if does(middle) { yes = middle } else { no = middle }
        }
        Some(yes)
    }

    /// How fresh what is made can be at the best, seconds, on any number of machines; `None` if a vCPU does not keep up with a shard.
    pub fn freshest_s(&self) -> Option<f64> {
        let load = self.executor.shard_s;
        (load < 1.0).then(|| 2.0 * self.stream.overhead_s / (1.0 - load))
    }
}

/// The first number that does, of which all larger ones do; `None` if there is none up to one at which `last` holds.
fn first(does: impl Fn(u32) -> bool, last: impl Fn(u32) -> bool) -> Option<u32> {
    let (mut no, mut yes) = (0, 1);
    while !does(yes) {
        if last(yes) || yes >= MOST {
            return None;
        }
        (no, yes) = (yes, yes * 2);
    }
    while yes - no > 1 {
        let middle = no + (yes - no) / 2;
        if does(middle) { yes = middle } else { no = middle }
    }
    Some(yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Evidence;
    use crate::diagnostic::Pointer;
    use crate::spec::{PipelineEngine, PlacementRules, PurchaseRules, STREAM_S};
    use proptest::prelude::*;

    fn pipeline(stream: Stream) -> Pipeline {
        Pipeline {
            name: "p".into(),
            labels: Default::default(),
            engine: PipelineEngine::Spark,
            image: "x".into(),
            command: vec!["x".into()],
            input_gib: 1.0,
            throughput: Default::default(),
            memory_bytes: 1.0,
            shards: 1,
            dataset: None,
            schedule: None,
            deadline_s: STREAM_S,
            stream: Some(stream),
            placement: PlacementRules::default(),
            purchase: PurchaseRules {
                options: Vec::new(),
                spot_max_share: 0.0,
                on_demand_base: 0,
                held: false,
                at: Pointer::root(),
            },
            after: Vec::new(),
            at: Pointer::root(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        /// Among all milliseconds the closed form takes the longest that keeps both rules, and finds none only where there is none.
        #[test]
        fn the_trigger_is_the_longest_that_will_do(load in 0.0f64..1.2, fresh_ms in 2u32..4000, overhead_ms in 1u32..2500) {
            let (fresh, overhead) = (f64::from(fresh_ms) / 1e3, f64::from(overhead_ms) / 1e3);
            let stream = Stream {
                events_per_s: 1.0, event_bytes: 1.0, freshness_s: fresh, overhead_s: overhead, machines: 0, zones: 0, capacity: 1.0,
            };
            let pipeline = pipeline(stream);
            let executor = Executor {
                cores: 2, shard_s: load, start_s: 0.0, memory: (1.0, 1.0, 1.0), evidence: Evidence::Measured, note: String::new(),
            };
            let flow = Flow { pipeline: &pipeline, stream: &stream, executor: &executor };
            let near = |a: f64, b: f64| a <= b * (1.0 + 1e-11);
            let searched = (1..=u64::from(fresh_ms)).rev().find(|ms| {
                let trigger = *ms as f64 / 1e3;
                let batch = overhead + load * trigger;
                near(batch, trigger) && near(trigger + batch, fresh)
            });
            prop_assert_eq!(flow.longest(load), searched);
        }
    }
}
