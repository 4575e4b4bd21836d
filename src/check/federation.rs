//! Federations: who keeps the deadline takes part, a round is as long as its slowest client, and everybody does what the spec states.

use rhumb_api::{Cloud, Money};

use crate::catalog::{Evidence, InstanceType, TransferTo};
use crate::perf::{self, federated::transfer_s};
use crate::placement::{FederationRun, WorkloadPlacement, World};
use crate::spec::{EngineName, Federation, POWER, Processors, Spec};

use super::subject::{Checked, GIB, Work};
use super::{Ledger, carbon, measured};

/// Share of the main memory that an aggregator may have.
const FOR_THE_AGGREGATOR: f64 = 0.9;
/// Limits are held to this.
const EXACT: f64 = 1.0 + 1e-12;

/// What a machine does as an aggregator, by the spec alone.
pub(super) struct Gathers {
    /// Seconds for an update.
    pub each_s: f64,
    pub network_gbps: f64,
    room: f64,
    class: Evidence,
    remark: String,
}

impl Gathers {
    /// # Errors
    /// In words: what is not stated, not known or too little.
    pub fn on(asked: &Federation, kind: &InstanceType) -> Result<Gathers, String> {
        let stated = |of: &&Processors| measured::narrowness(of, kind).is_some();
        let of = asked.aggregate_s.keys().filter(stated).max_by_key(|of| measured::narrowness(of, kind));
        let of = of.ok_or_else(|| format!("no time on {} nor on {}", kind.name, kind.arch))?;
        let each_s = asked.aggregate_s.get(of).copied().unwrap_or(f64::INFINITY);
        let gib = kind.memory_gib.filter(|gib| *gib > 0.0).ok_or("an unknown memory")?;
        let network_gbps = kind.network_gbps.filter(|gbps| *gbps > 0.0).ok_or("an unknown network")?;
        let room = gib * GIB * FOR_THE_AGGREGATOR;
        if room < asked.memory_bytes {
            return Err(format!("{room} bytes of memory"));
        }
        let (class, how) = match of {
            Processors::Architecture(arch) => {
                (Evidence::Assumed, format!("stated for {arch} and assumed here"))
            }
            Processors::Type(..) | Processors::Series(..) => (Evidence::Measured, format!("stated for {of}")),
        };
        Ok(Gathers { each_s, network_gbps, room, class, remark: format!("{how}: {each_s} s an update") })
    }

    /// Seconds that a round takes a client, and those of an update in one direction.
    pub fn round(&self, asked: &Federation, mbps: f64, local_s: f64) -> (f64, f64) {
        let one_way = transfer_s(asked.update_gib, mbps, self.network_gbps, asked.sites.len());
        (local_s + one_way + one_way + self.each_s * asked.sites.len() as f64, one_way)
    }
}

/// A machine that stands at a site and may train, by the catalogue's index of its type.
pub(super) struct Stands {
    pub kind: usize,
    pub local_s: f64,
}

/// Machines of a site that a time is stated for, and that its stock and power allow one of.
pub(super) fn stands(spec: &Spec, world: &World, asked: &Federation, site: &str) -> Vec<Stands> {
    let catalog = &world.catalog;
    let Some(region) = catalog.regions.iter().position(|r| r.cloud == Cloud::Site && r.id == site) else {
        return Vec::new();
    };
    let limits = spec.providers.get(&Cloud::Site).and_then(|p| p.quotas.get(site));
    let limit = |code: &str| limits.and_then(|of| of.get(code)).copied();
    let mut found = Vec::new();
    for offering in catalog.offerings.iter().filter(|o| o.region == region) {
        let kind = &catalog.instance_types[offering.instance_type];
        let on = kind.accelerator.and_then(|a| catalog.accelerators.get(a));
        let Some(local_s) = on.and_then(|a| asked.local_s.get(&a.id)) else { continue };
        let stock = limit(&kind.name).is_none_or(|n| n + 1e-9 >= 1.0);
        let power = limit(POWER).is_none_or(|cap| kind.full_load_watts.is_none_or(|w| w <= cap + 1e-9));
        let counted =
            !carbon::counts(spec) || carbon::of_machine(world, offering.instance_type, region).is_some();
        if stock && power && counted {
            found.push(Stands { kind: offering.instance_type, local_s: *local_s });
        }
    }
    found
}

/// The most seconds that a round may take, if the members start in so many.
pub(super) fn round_limit(asked: &Federation, start_s: f64) -> f64 {
    match asked.deadline_s {
        Some(deadline) => asked.round_deadline_s.min((deadline - start_s) / f64::from(asked.rounds)),
        None => asked.round_deadline_s,
    }
}

/// Seconds in which a machine starts.
pub(super) fn starts(kind: &InstanceType) -> f64 {
    perf::start_up_s(0.0, kind.network_gbps)
}

/// The bandwidth of a site's connection.
pub(super) fn mbps(spec: &Spec, site: &str) -> Option<f64> {
    spec.sites.get(site)?.wan.mbps
}

pub(super) fn check(
    log: &mut Ledger,
    (spec, world): (&Spec, &World),
    work: &Work<'_>,
    asked: &Federation,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) {
    let address = &work.address;
    let said = placed.run.as_ref().and_then(|run| Some((run, run.federation.as_ref()?)));
    let Some((run, how)) = said else {
        log.finding("run", address, "a federation without its run", "a run", "none");
        return;
    };
    log.hold(run.training.is_none() && run.pipeline.is_none(), "run", address, || {
        ("a federation that is something else".into(), "neither".into(), "one of them".into())
    });
    let (clients, others): (Vec<&Checked<'_>>, Vec<&Checked<'_>>) =
        pools.iter().partition(|c| c.pool.cloud == Cloud::Site);
    let [aggregator] = others.as_slice() else {
        log.finding("federation", address, "another number of aggregators", 1, others.len());
        return;
    };
    let gathers = match Gathers::on(asked, aggregator.instance_type) {
        Ok(gathers) => gathers,
        Err(why) => {
            log.finding(
                "measured-time",
                aggregator.pool.addr.as_str(),
                "no aggregator",
                "a time and room",
                why,
            );
            return;
        }
    };
    // Nobody knows the network of a site's machine: all start alike.
    let start_s = pools.iter().map(|c| starts(c.instance_type)).fold(0.0, f64::max);
    let limit_s = round_limit(asked, start_s);
    member(log, aggregator, &gathers.remark, gathers.class);
    let a = aggregator.pool;
    let on = a.addr.as_str();
    log.same("variant", on, "the role", "aggregator", a.variant.as_str());
    let main = aggregator.instance_type.memory_gib.unwrap_or(0.0) * GIB;
    log.near("memory", on, "main memory", main, a.memory.device, 1e-9);
    log.near("memory", on, "memory that is left to it", gathers.room, a.memory.usable, 1e-9);
    log.near("memory", on, "memory that it takes", asked.memory_bytes, a.memory.overhead, 1e-9);
    let longest = taking_part(log, (spec, world), work, asked, (how, &clients), (&gathers, limit_s));
    log.same_debug("run", address, "the framework", &asked.framework, &how.framework);
    log.same("run", address, "the rounds", &asked.rounds, &how.rounds);
    log.same("run", address, "the sites that must answer", &asked.min_sites, &how.min_sites);
    log.near("run", address, "the start", start_s, how.start_up_s, 1e-9);
    log.near("run", address, "the time of an update", gathers.each_s, how.aggregate_s, 1e-9);
    log.near("run", address, "the limit of a round", limit_s, how.round_limit_s, 1e-9);
    log.near("federation", address, "the time of a round", longest, how.round_s, 1e-9);
    log.hold(longest <= limit_s * EXACT, "deadline", address, || {
        ("a round ends too late".into(), format!("at most {limit_s} s"), format!("{longest} s"))
    });
    let rounds = f64::from(asked.rounds);
    let hours = (start_s + rounds * longest) / 3600.0;
    log.near("run", address, "the hours of a run", hours, run.hours, 1e-9);
    let deadline = asked.deadline_s.unwrap_or(start_s + rounds * limit_s) / 3600.0;
    log.near("run", address, "the deadline", deadline, run.deadline_hours, 1e-9);
    log.hold(hours <= deadline * (1.0 + 1e-9), "deadline", address, || {
        ("a run ends too late".into(), format!("at most {deadline} h"), format!("{hours} h"))
    });
    let runs = asked.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
    log.near("run", address, "the runs of a month", runs, run.runs_per_month, 1e-9);
    let updates = clients.len() as f64;
    log.near(
        "run",
        address,
        "the updates a second",
        updates * rounds / hours / 3600.0,
        run.items_per_s,
        1e-6,
    );
    for c in pools {
        let own = if c.pool.cloud == Cloud::Site { 1.0 } else { updates } * rounds / 3600.0;
        let at = c.pool.addr.as_str();
        log.near("run", at, "the updates a second that are needed", own / deadline, c.pool.peak_rate, 1e-6);
        log.near("run", at, "the updates a second", own / hours, c.pool.capacity, 1e-6);
    }
    let sent = asked.update_gib * updates * rounds;
    log.near("run", address, "what the aggregator sends", sent, how.sent_gib, 1e-9);
    let price = world.catalog.transfer_price(aggregator.region_index, TransferTo::Internet);
    log.hold(price.is_some(), "price", address, || {
        ("what sending updates costs there is not known".into(), "a known price".into(), "none".into())
    });
    let hourly: Money =
        pools.iter().flat_map(|c| &c.pool.machines).map(|m| m.price.times(i64::from(m.count))).sum();
    let whole = hourly.scale(hours) + price.map_or(Money::ZERO, |p| p.usd_per_gib.scale(sent));
    log.amount("run", address, "the cost of a run", whole, run.cost_per_run, 4);
}

/// What the pool of any member says.
fn member(log: &mut Ledger, c: &Checked<'_>, remark: &str, class: Evidence) {
    let (pool, address) = (c.pool, c.pool.addr.as_str());
    log.same("federation", address, "the machines of a member", &1, &c.machines);
    log.same("layout", address, "engines on a machine", &1, &pool.replicas_per_machine);
    log.same("layout", address, "machines of an engine", &1, &pool.machines_per_replica);
    log.same("layout", address, "accelerators", &1, &pool.layout.accelerators());
    log.same_debug("engine", address, "the program", &EngineName::Own, &pool.engine.name);
    log.same_debug("figure", address, "what is told of the time", &vec![remark.to_owned()], &pool.notes);
    log.same_debug("figure", address, "the class of the time", &class, &pool.evidence);
    let none = pool.memory.weights + pool.memory.kv_cache;
    log.near("memory", address, "memory for weights and a KV cache", 0.0, none, 0.0);
}

/// Every site that keeps the deadline has a client there that does, and no other site has one. Returns the longest round of one.
fn taking_part(
    log: &mut Ledger,
    (spec, world): (&Spec, &World),
    work: &Work<'_>,
    asked: &Federation,
    (how, clients): (&FederationRun, &[&Checked<'_>]),
    (gathers, limit_s): (&Gathers, f64),
) -> f64 {
    let address = &work.address;
    let mut longest = 0.0_f64;
    let mut names: Vec<&String> = asked.sites.iter().collect();
    names.sort_unstable();
    let (mut taking, mut left) = (Vec::new(), Vec::new());
    for site in names {
        let there = stands(spec, world, asked, site);
        let bandwidth = mbps(spec, site);
        let keeps = |s: &Stands| {
            bandwidth.is_some_and(|mbps| gathers.round(asked, mbps, s.local_s).0 <= limit_s * EXACT)
        };
        let own: Vec<&&Checked<'_>> = clients.iter().filter(|c| c.pool.region == *site).collect();
        let wanted = usize::from(there.iter().any(keeps));
        log.same("federation", address, &format!("the clients of {site}"), &wanted, &own.len());
        if wanted == 0 {
            left.push(site.as_str());
            continue;
        }
        taking.push(site.as_str());
        let ([c], Some(mbps)) = (own.as_slice(), bandwidth) else { continue };
        let at = c.pool.addr.as_str();
        log.same("variant", at, "the role", "client", c.pool.variant.as_str());
        let Some(machine) = there.iter().find(|s| s.kind == c.type_index) else {
            log.finding("measured-time", at, "nobody measured training here", "a time of `local`", "none");
            continue;
        };
        let id = c.pool.accelerator.as_deref().unwrap_or_default();
        let remark = format!("stated for {id}: {} s a round", machine.local_s);
        member(log, c, &remark, Evidence::Measured);
        let (round_s, one_way) = gathers.round(asked, mbps, machine.local_s);
        log.hold(round_s <= limit_s * EXACT, "deadline", at, || {
            ("a client is too late".into(), format!("at most {limit_s} s"), format!("{round_s} s"))
        });
        longest = longest.max(round_s);
        let Some(said) = how.clients.iter().find(|said| said.site == *site) else { continue };
        log.near("federation", at, "the time of an update to it", one_way, said.transfer_s, 1e-9);
        log.near("federation", at, "the time of its training", machine.local_s, said.local_s, 1e-9);
        log.near("federation", at, "the time of its round", round_s, said.round_s, 1e-9);
    }
    let said: Vec<&str> = how.clients.iter().map(|c| c.site.as_str()).collect();
    log.same_debug("federation", address, "who takes part", &taking, &said);
    let said: Vec<&str> = how.left_out.iter().map(|l| l.site.as_str()).collect();
    log.same_debug("federation", address, "who takes no part", &left, &said);
    log.hold(how.left_out.iter().all(|l| !l.reason.trim().is_empty()), "federation", address, || {
        ("a site is left out without a reason".into(), "a reason".into(), "none".into())
    });
    log.hold(taking.len() >= asked.min_sites as usize, "federation", address, || {
        ("too few sites take part".into(), format!("at least {}", asked.min_sites), taking.len().to_string())
    });
    longest
}
