//! Streams (decision 23): micro-batches keep up and what they make is fresh, with all machines and after each failure.

use crate::placement::{FailureCheck, PipelineRun, Pool, WorkloadPlacement};
use crate::spec::Stream;

use super::Ledger;
use super::pipeline::Works;
use super::subject::Checked;

/// Sums of floating point may differ by this share.
const NEAR: f64 = 1e-11;

/// A stream on machines of a type.
pub(super) struct Flow<'a> {
    pub stream: &'a Stream,
    pub works: &'a Works,
    pub shards: u32,
}

/// So many machines, and the share of the peak that they must keep up with.
type Part = (u32, f64);

impl Flow<'_> {
    /// Seconds of a micro-batch of a trigger at a share of the peak; `None` if there is only the driver.
    fn batch_s(&self, (machines, share): Part, trigger_ms: u64) -> Option<f64> {
        let shard_s = self.works.shard_s * share * trigger_ms as f64 / 1e3;
        Some(self.stream.overhead_s + self.works.waves(self.shards, machines)? as f64 * shard_s)
    }

    fn is_fresh(&self, part: Part, trigger_ms: u64) -> bool {
        let waited = trigger_ms as f64 / 1e3;
        self.batch_s(part, trigger_ms)
            .is_some_and(|batch| waited + batch <= self.stream.freshness_s * (1.0 + NEAR))
    }

    fn keeps_up(&self, part: Part, trigger_ms: u64) -> bool {
        let interval = trigger_ms as f64 / 1e3;
        self.batch_s(part, trigger_ms).is_some_and(|batch| batch <= interval * (1.0 + NEAR))
    }

    /// Machines that each failure takes: a scope, how many of it, and how many machines. `None` if one takes all, or it is not known.
    pub fn failures(
        &self,
        (zones, interruption): (Option<u32>, f64),
        machines: u32,
        spot: u32,
    ) -> Option<Vec<(&'static str, u32, u32)>> {
        let mut all = Vec::new();
        if self.stream.machines > 0 {
            all.push(("machine", self.stream.machines, self.stream.machines));
        }
        if self.stream.zones > 0 {
            let mut in_zones = vec![0_u32; zones?.min(machines).max(1) as usize];
            let several = in_zones.len() as u32;
            for (i, zone) in in_zones.iter_mut().enumerate() {
                *zone = machines / several + u32::from((i as u32) < machines % several);
            }
            let lost = in_zones.iter().take(self.stream.zones as usize).sum();
            all.push(("zone", self.stream.zones, lost));
        }
        if spot > 0 {
            let mut gone = 1;
            while f64::from(gone) < interruption * f64::from(spot) - 1e-9 {
                gone += 1;
            }
            all.push(("spot", gone, gone));
        }
        all.iter().all(|(.., lost)| *lost < machines).then_some(all)
    }

    /// Everything that must keep up: all machines, and what each failure leaves.
    fn parts(&self, site: (Option<u32>, f64), machines: u32, spot: u32) -> Option<Vec<Part>> {
        let failures = self.failures(site, machines, spot)?;
        let left = failures.iter().map(|(.., lost)| (machines - lost, self.stream.capacity));
        Some([(machines, 1.0)].into_iter().chain(left).collect())
    }

    /// Whether there is a trigger, in whole milliseconds, at which all of it keeps up and is fresh: by halving, since a longer one is staler
    /// and easier to keep up with.
    pub fn does(&self, site: (Option<u32>, f64), machines: u32, spot: u32) -> bool {
        let Some(parts) = self.parts(site, machines, spot) else { return false };
        let fresh = |ms: u64| parts.iter().all(|part| self.is_fresh(*part, ms));
        let (mut yes, mut no) = (0, (self.stream.freshness_s * 1e3) as u64 + 1);
        while no - yes > 1 {
            let middle = yes + (no - yes) / 2;
            if fresh(middle) { yes = middle } else { no = middle }
        }
        yes > 0 && parts.iter().all(|part| self.keeps_up(*part, yes))
    }

    /// Whether what a failure leaves has all shards at once, so that more machines do nothing more.
    pub fn at_once(&self, site: (Option<u32>, f64), machines: u32, spot: u32) -> bool {
        let parts = self.parts(site, machines, spot);
        parts.is_some_and(|parts| parts.iter().all(|(n, _)| self.works.waves(self.shards, *n) == Some(1)))
    }

    /// Events a second that keep up and are fresh, by halving.
    fn capacity(&self, machines: u32, trigger_ms: u64) -> f64 {
        let waited = trigger_ms as f64 / 1e3;
        let most = waited.min(self.stream.freshness_s - waited);
        let holds =
            |share: f64| self.batch_s((machines, share), trigger_ms).is_some_and(|batch| batch <= most);
        if !holds(0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, 1.0);
        while holds(high) && high < 1e12 {
            (low, high) = (high, high * 2.0);
        }
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if holds(middle) { low = middle } else { high = middle }
        }
        self.stream.events_per_s * low
    }
}

/// What the pool's machines are told of besides the rate of a vCPU.
pub(super) fn remark(stream: &Stream) -> String {
    format!("{} s of a micro-batch besides its events, as stated and assumed here", stream.overhead_s)
}

pub(super) fn check(
    log: &mut Ledger,
    flow: &Flow<'_>,
    placed: &WorkloadPlacement,
    how: &PipelineRun,
    c: &Checked<'_>,
    site: (Option<u32>, f64),
) {
    let (stream, address) = (flow.stream, placed.address.as_str());
    let Some(said) = &how.stream else {
        log.finding("run", address, "a stream without its micro-batches", "a trigger", "none");
        return;
    };
    log.near("run", address, "the events a second", stream.events_per_s, said.events_per_s, 1e-9);
    log.near("run", address, "the overhead of a micro-batch", stream.overhead_s, said.overhead_s, 1e-9);
    log.near(
        "freshness",
        address,
        "the freshness that is asked for",
        stream.freshness_s,
        said.freshness_s,
        1e-9,
    );
    let all = (c.machines, 1.0);
    let Some(batch) = flow.batch_s(all, said.trigger_ms) else { return };
    log.near("run", address, "the time of a micro-batch", batch, said.batch_s, 1e-6);
    let waited = said.trigger_ms as f64 / 1e3;
    log.near("run", address, "how old what is made of an event is", waited + batch, said.fresh_s, 1e-6);
    log.hold(flow.keeps_up(all, said.trigger_ms), "freshness", address, || {
        ("micro-batches fall behind".into(), format!("at most {waited} s each"), format!("{batch} s"))
    });
    log.hold(flow.is_fresh(all, said.trigger_ms), "freshness", address, || {
        let limit = format!("at most {} s old", stream.freshness_s);
        ("what is made of events is too old".into(), limit, format!("{} s", waited + batch))
    });
    let Some(parts) = flow.parts(site, c.machines, c.spot) else {
        let what = "a failure that must be survived leaves nothing, or nobody knows what";
        log.finding("failure", address, what, "machines that are left", c.machines);
        return;
    };
    let longer = parts.iter().all(|part| flow.is_fresh(*part, said.trigger_ms + 1));
    log.hold(!longer, "freshness", address, || {
        let longer = format!("more than {} ms", said.trigger_ms);
        (
            "a longer trigger is as fresh and easier to keep up with".into(),
            longer,
            said.trigger_ms.to_string(),
        )
    });
    log.near("run", address, "the events that come in", stream.events_per_s, c.pool.peak_rate, 1e-9);
    let most = flow.capacity(c.machines, said.trigger_ms);
    log.near("capacity", address, "the events that the pool can do", most, c.pool.capacity, 1e-6);
    failures(log, flow, placed, (c, site), said.trigger_ms);
    let told = placed.caveats.iter().any(|caveat| caveat.contains("checkpoints"));
    log.hold(told, "caveat", address, || {
        ("storage of checkpoints is not priced, and nobody says so".into(), "a caveat".into(), "none".into())
    });
}

/// What is left in each failure keeps up with its share of the peak, and the plan says so.
fn failures(
    log: &mut Ledger,
    flow: &Flow<'_>,
    placed: &WorkloadPlacement,
    (c, site): (&Checked<'_>, (Option<u32>, f64)),
    trigger_ms: u64,
) {
    let on: &Pool = c.pool;
    let required = flow.stream.events_per_s * flow.stream.capacity;
    let derived = flow.failures(site, c.machines, c.spot).unwrap_or_default();
    for (scope, count, lost) in &derived {
        let part = (c.machines - lost, flow.stream.capacity);
        let holds = flow.keeps_up(part, trigger_ms) && flow.is_fresh(part, trigger_ms);
        log.hold(holds, "failure", on.addr.as_str(), || {
            let what = format!("the loss of {count} {scope} leaves too little");
            (what, format!("{required} events/s"), format!("{}", flow.capacity(part.0, trigger_ms)))
        });
        let told = placed.failures.iter().find(|f| f.scope == *scope && f.at == on.addr.as_str());
        let Some(told) = told else {
            log.finding("failure-missing", on.addr.as_str(), "nothing is said of a failure", *scope, "none");
            continue;
        };
        let FailureCheck { count: said, replicas_left, required_rate, capacity, .. } = told;
        log.same("failure", on.addr.as_str(), "how many fail", count, said);
        log.same("failure", on.addr.as_str(), "the machines that are left", &part.0, replicas_left);
        log.near("failure", on.addr.as_str(), "what must be kept up with", required, *required_rate, 1e-9);
        let most = flow.capacity(part.0, trigger_ms);
        log.near("failure", on.addr.as_str(), "what is kept up with", most, *capacity, 1e-6);
    }
    let known = |f: &&FailureCheck| derived.iter().any(|(scope, ..)| *scope == f.scope);
    let unasked = placed.failures.iter().filter(|f| !known(f)).count();
    log.hold(unasked == 0, "failure", on.addr.as_str(), || {
        ("a failure that nobody declared".into(), "none".into(), unasked.to_string())
    });
}

/// Hours of a month, all of which a stream is there.
pub(super) const MONTH: f64 = 730.0;
