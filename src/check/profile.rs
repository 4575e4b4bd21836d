//! Services with a profile: size classes are divided as a whole, no machine has more than it was measured to sustain, also when some fail.

use crate::catalog::Evidence;
use crate::placement::{FailureCheck, MixPart, SizeMix, WorkloadPlacement};
use crate::spec::{EngineName, Profiled};

use super::Ledger;
use super::subject::{Checked, GIB, Work};

/// A whole of a class or of a share.
const WHOLE: i128 = 1_000_000_000;
/// A machine's time, in the parts that loads are counted in.
const TIME: i128 = 1_000_000_000_000;
/// Loads may be over by one part in so many (decision 20).
pub(super) const OVER: i128 = 1_000_000;
/// Millionths of a request.
const MICRO: f64 = 1e6;

pub(super) fn check(
    log: &mut Ledger,
    work: &Work<'_>,
    asked: &Profiled,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) {
    let address = &work.address;
    let Some(mix) = &placed.mix else {
        log.finding(
            "profile",
            address,
            "a service with a profile without its size classes",
            "a division",
            "none",
        );
        return;
    };
    log.hold(placed.run.is_none() && placed.objectives.is_empty(), "profile", address, || {
        ("a service with a profile promises no latency and has no run".into(), "none".into(), "some".into())
    });
    log.same("profile", address, "the file", asked.profile.file.path.as_str(), mix.file.as_str());
    log.same("profile", address, "the hash of the file", &asked.profile.sha256, &mix.sha256);
    kinds(log, address, asked, mix, pools);
    let names: Vec<&str> = asked.classes.keys().map(String::as_str).collect();
    let told: Vec<&str> = mix.classes.iter().map(|c| c.name.as_str()).collect();
    log.same_debug("profile", address, "the size classes", &names, &told);
    if names != told {
        return;
    }
    for class in &mix.classes {
        let what = format!("the requests of `{}`", class.name);
        log.same("profile", address, &what, &demand(asked, &class.name), &i128::from(class.demand));
    }
    let routes: Vec<&[MixPart]> = mix.classes.iter().map(|c| c.to.as_slice()).collect();
    let counts: Vec<u32> = mix.kinds.iter().map(|k| k.machines).collect();
    let loads = carried(log, "capacity", address, (asked, mix), (&routes, WHOLE), &counts);
    for c in pools {
        machine(log, asked, mix, c, &loads);
    }
    failures(log, address, asked, placed, mix, &counts);
    routed(log, address, placed, pools);
}

/// Requests of a class at the peak, rounded up.
fn demand(asked: &Profiled, class: &str) -> i128 {
    let share = asked.classes.get(class).copied().unwrap_or(0);
    up(i128::from(asked.peak) * i128::from(share), WHOLE)
}

fn up(of: i128, by: i128) -> i128 {
    of / by + i128::from(of % by > 0)
}

/// A row of the profile.
fn row(asked: &Profiled, mix: &SizeMix, kind: u32, class: &str) -> Option<i128> {
    let on = mix.kinds.get(kind as usize)?;
    let rows =
        asked.profile.rates.iter().find(|((cloud, name), _)| (*cloud, name) == (on.cloud, &on.instance_type));
    Some(i128::from(rows?.1.get(class)?.micro)).filter(|rate| *rate > 0)
}

/// Each kind once, in order, and with as many machines as its pools.
fn kinds(log: &mut Ledger, address: &str, asked: &Profiled, mix: &SizeMix, pools: &[Checked<'_>]) {
    let names: Vec<(rhumb_api::Cloud, &str)> =
        mix.kinds.iter().map(|k| (k.cloud, k.instance_type.as_str())).collect();
    log.hold(names.windows(2).all(|w| w[0] < w[1]), "profile", address, || {
        ("kinds of machines are not in order or named twice".into(), "each once".into(), format!("{names:?}"))
    });
    for kind in &mix.kinds {
        let measured = asked.profile.rates.contains_key(&(kind.cloud, kind.instance_type.clone()));
        log.hold(measured, "measured-time", address, || {
            let found = format!("{}/{}", kind.cloud, kind.instance_type);
            ("nobody measured this".into(), format!("a row of {}", asked.profile.file.path), found)
        });
        let of =
            |c: &&Checked<'_>| (c.pool.cloud, &c.pool.instance_type) == (kind.cloud, &kind.instance_type);
        let there: u32 = pools.iter().filter(of).map(|c| c.machines).sum();
        let what = format!("the machines of {}/{}", kind.cloud, kind.instance_type);
        log.same("profile", address, &what, &there, &kind.machines);
    }
    for c in pools {
        let known = names.contains(&(c.pool.cloud, c.pool.instance_type.as_str()));
        log.hold(known, "profile", c.pool.addr.as_str(), || {
            ("a pool of no kind of the mix".into(), format!("{names:?}"), c.pool.instance_type.clone())
        });
    }
}

/// Whether every class is divided as a whole among kinds that serve it and no kind has more than its machines carry; of each kind its load
/// in parts of a machine.
fn carried(
    log: &mut Ledger,
    code: &'static str,
    address: &str,
    (asked, mix): (&Profiled, &SizeMix),
    (routes, part): (&[&[MixPart]], i128),
    counts: &[u32],
) -> Vec<i128> {
    let mut loads = vec![0_i128; mix.kinds.len()];
    for (class, to) in mix.classes.iter().zip(routes) {
        let sum: i128 = to.iter().map(|p| i128::from(p.billionths)).sum();
        log.hold(sum == WHOLE, code, address, || {
            let what = format!("`{}` is not divided as a whole", class.name);
            (what, WHOLE.to_string(), sum.to_string())
        });
        let twice = to.iter().enumerate().any(|(i, p)| to[..i].iter().any(|other| other.kind == p.kind));
        log.hold(!twice, code, address, || {
            (format!("`{}` is sent to a kind twice", class.name), "once".into(), "twice".into())
        });
        let whole = up(demand(asked, &class.name) * part, WHOLE);
        for p in to.iter() {
            let Some(rate) = row(asked, mix, p.kind, &class.name) else {
                let what = format!("`{}` is sent to what was not measured with it", class.name);
                log.finding(code, address, what, "a row of the profile", p.kind);
                continue;
            };
            // Within an i128: a share of all requests is at most 1e21 parts, a machine's time 1e12.
            loads[p.kind as usize] +=
                whole * i128::from(p.billionths) * (TIME / 1000) / (rate * WHOLE) * 1000;
        }
    }
    for ((kind, load), n) in mix.kinds.iter().zip(&loads).zip(counts) {
        let room = i128::from(*n) * TIME + i128::from(*n) * TIME / OVER;
        log.hold(*load <= room, code, address, || {
            let what =
                format!("{}/{} has more to do than it was measured to do", kind.cloud, kind.instance_type);
            let machines = |parts: i128| format!("{:.6} machines", parts as f64 / TIME as f64);
            (what, format!("at most {n}"), machines(*load))
        });
    }
    loads
}

/// What a pool says of what runs there.
fn machine(log: &mut Ledger, asked: &Profiled, mix: &SizeMix, c: &Checked<'_>, loads: &[i128]) {
    let (pool, address) = (c.pool, c.pool.addr.as_str());
    log.same("layout", address, "what runs on a machine", &1, &pool.replicas_per_machine);
    log.same("layout", address, "machines of it", &1, &pool.machines_per_replica);
    log.same("layout", address, "accelerators of it", &1, &pool.layout.accelerators());
    log.same_debug("engine", address, "the program", &EngineName::Own, &pool.engine.name);
    log.same("engine", address, "what it takes together", &1, &pool.engine.max_num_seqs);
    log.same("variant", address, "what stands for a variant", "profile", pool.variant.as_str());
    log.same_debug("figure", address, "the class of the rates", &Evidence::Measured, &pool.evidence);
    let rows = asked.profile.rates.get(&(pool.cloud, pool.instance_type.clone()));
    let mut lines: Vec<usize> = rows.iter().flat_map(|r| r.values()).map(|row| row.line).collect();
    lines.sort_unstable();
    let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
    let s = if lines.len() == 1 { "" } else { "s" };
    let note = format!("line{s} {} of {}", lines.join(", "), asked.profile.file.path);
    log.same_debug("figure", address, "where the rates are", &vec![note], &pool.notes);
    let device = c.instance_type.memory_gib.unwrap_or(0.0) * GIB;
    log.near("memory", address, "main memory", device, pool.memory.device, 1e-9);
    let told = pool.memory.weights + pool.memory.overhead + pool.memory.kv_cache + pool.memory.usable;
    log.near("memory", address, "memory of which nothing is known", 0.0, told, 0.0);
    for (what, said) in [("TTFT", pool.ttft_factor), ("TPOT", pool.tpot_factor)] {
        log.near("figure", address, &format!("the factor on {what}"), 1.0, said, 0.0);
    }
    let of = |k: &crate::placement::MixKind| (k.cloud, &k.instance_type) == (pool.cloud, &pool.instance_type);
    let Some(kind) = mix.kinds.iter().position(of) else { return };
    let part = f64::from(c.machines) / f64::from(mix.kinds[kind].machines.max(1));
    let mut sent = 0.0;
    for class in &mix.classes {
        let own: f64 = class.to.iter().filter(|p| p.kind as usize == kind).map(|p| p.billionths as f64).sum();
        sent += class.demand as f64 / MICRO * own / WHOLE as f64;
    }
    log.near("capacity", address, "the requests that are sent to it", sent * part, pool.peak_rate, 1e-6);
    let busy = loads[kind] as f64 / TIME as f64 / f64::from(mix.kinds[kind].machines.max(1));
    let most = if busy > 0.0 { sent * part / busy } else { 0.0 };
    log.near("capacity", address, "what it carries of the same mix", most, pool.capacity, 1e-6);
}

/// Every way to lose as many machines as the spec says, each once, and the one that is told.
fn failures(
    log: &mut Ledger,
    address: &str,
    asked: &Profiled,
    placed: &WorkloadPlacement,
    mix: &SizeMix,
    counts: &[u32],
) {
    let total: u32 = counts.iter().sum();
    if asked.survive > 0 {
        log.hold(total > asked.survive, "failure", address, || {
            ("nothing would be left".into(), format!("more than {}", asked.survive), total.to_string())
        });
    }
    let derived = losses(counts, asked.survive);
    let mut told: Vec<Vec<u32>> = mix.losses.iter().map(|l| l.lost.clone()).collect();
    told.sort_unstable();
    log.hold(derived == told, "failure-missing", address, || {
        ("not every loss of machines is looked at, once".into(), format!("{derived:?}"), format!("{told:?}"))
    });
    let part = ((asked.capacity * WHOLE as f64).round() as i128).clamp(1, WHOLE);
    let mut least = f64::INFINITY;
    for loss in mix.losses.iter().filter(|l| derived.contains(&l.lost)) {
        let left: Vec<u32> = counts.iter().zip(&loss.lost).map(|(n, gone)| n - gone).collect();
        log.same("failure", address, "the classes of a loss", &mix.classes.len(), &loss.routes.len());
        let routes: Vec<&[MixPart]> = loss.routes.iter().map(|r| r.to.as_slice()).collect();
        let loads = carried(log, "failure", address, (asked, mix), (&routes, part), &left);
        for (load, n) in loads.iter().zip(&left).filter(|(load, _)| **load > 0) {
            least = least.min(f64::from(*n) * TIME as f64 / *load as f64);
        }
    }
    let [said] = placed.failures.as_slice() else {
        let none = placed.failures.is_empty();
        log.hold(none && asked.survive == 0, "failure-missing", address, || {
            let found = placed.failures.len().to_string();
            (
                "a loss of machines that is not told once".into(),
                u32::from(asked.survive > 0).to_string(),
                found,
            )
        });
        return;
    };
    let FailureCheck { scope, count, at, replicas_left, required_rate, capacity } = said;
    log.same("failure", address, "what fails", "machine", scope);
    log.same("failure", address, "how many fail", &asked.survive, count);
    log.same("failure", address, "where they fail", "all", at.as_str());
    log.same("failure", address, "machines left", &total.saturating_sub(asked.survive), replicas_left);
    let all: f64 = mix.classes.iter().map(|c| c.demand as f64 / MICRO).sum();
    log.near("failure", address, "what is to be carried", all * asked.capacity, *required_rate, 1e-6);
    log.near("failure", address, "what is carried", all * asked.capacity * least.max(1.0), *capacity, 1e-6);
}

/// All ways to lose so many machines, in order.
fn losses(counts: &[u32], lost: u32) -> Vec<Vec<u32>> {
    if lost == 0 {
        return Vec::new();
    }
    let mut partial: Vec<(Vec<u32>, u32)> = vec![(Vec::new(), lost)];
    for n in counts {
        let longer = |(before, left): (Vec<u32>, u32)| {
            let most = left.min(*n);
            (0..=most).map(move |own| ([before.as_slice(), &[own]].concat(), left - own))
        };
        partial = partial.into_iter().flat_map(longer).collect();
    }
    let mut all: Vec<Vec<u32>> = partial.into_iter().filter(|(_, left)| *left == 0).map(|(l, _)| l).collect();
    all.sort_unstable();
    all
}

/// Every pool gets its part of all requests.
fn routed(log: &mut Ledger, address: &str, placed: &WorkloadPlacement, pools: &[Checked<'_>]) {
    log.same("route", address, "the origins", &1, &placed.routes.len());
    let all: f64 = pools.iter().map(|c| c.pool.peak_rate).sum();
    for route in &placed.routes {
        log.same("route", address, "the origin", "any", route.origin.as_str());
        log.same("route", address, "the pools that it is sent to", &placed.pools.len(), &route.to.len());
        for c in pools {
            let share: f64 = route.to.iter().filter(|(i, _)| *i == c.index).map(|(_, share)| share).sum();
            let part = if all > 0.0 { c.pool.peak_rate / all } else { 0.0 };
            log.near("route", c.pool.addr.as_str(), "the share of requests", part, share, 1e-9);
        }
        log.hold(route.network_ms.iter().all(|ms| *ms == 0.0), "route", address, || {
            ("network times of which nothing is known".into(), "0".into(), format!("{:?}", route.network_ms))
        });
    }
}
