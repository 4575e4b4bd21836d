//! What the choice for a service with a profile promises.

use super::super::mixed::{self, Fleet, Mixed};
use super::super::pool::GIB;
use super::super::service::Chosen;
use super::{Draft, Runner, Runs, machines, order};
use crate::catalog::{Evidence, InstanceType};
use crate::perf::MemoryFit;
use crate::placement::{
    Certificate, FailureCheck, MixPart, MixProof, Pool, Route, SizeMix, WorkloadPlacement,
};
use crate::spec::profile::{MICRO, PARTS};
use crate::spec::{KvCacheDtype, Quantization};

/// What the choice for a service with a profile promises; `None` if it does not do.
pub(in crate::optimize) fn mixed(
    mixed: &Mixed<'_>,
    fleet: &Fleet,
    proofs: Vec<MixProof>,
    certificate: Certificate,
) -> Option<WorkloadPlacement> {
    let (job, table, service) = (mixed.job, mixed.table, mixed.service);
    let mix = mixed.mix(fleet, proofs)?;
    let routing = mixed::routing(&mix);
    let mut draft = Draft { pools: Vec::new(), lines: Vec::new(), caveats: Vec::new(), quotas: Vec::new() };
    for (site, n) in &fleet.machines {
        let count = super::super::pool::Count {
            machines: *n,
            replicas: *n,
            most_base: *n,
            most_replicas: *n,
            beside_base: 0,
            beside_spot: 0,
            ..Default::default()
        };
        let chosen = Chosen { site: *site, way: 0, count };
        let kind = &job.world.catalog.instance_types[table.machines[table.sites[*site].machine].index];
        let mut pool = machines(job, table, &chosen, measured(mixed, kind), &draft.pools)?;
        let index = mix.kinds.iter().position(|k| (k.cloud, &k.instance_type) == (kind.cloud, &kind.name))?;
        let all = f64::from(mix.kinds[index].machines.max(1));
        let (mut sent, mut load) = (0.0, 0.0);
        for (class, parts) in mix.classes.iter().zip(&routing) {
            let own = parts.iter().filter(|(k, _)| *k == index).map(|(_, share)| *share).sum::<u64>();
            let rate = class.demand as f64 / MICRO as f64 * own as f64 / PARTS as f64;
            let sustains =
                service.rate(&class.name, kind.cloud, &kind.name).unwrap_or(0) as f64 / MICRO as f64;
            sent += rate;
            load += if own > 0 { rate / sustains } else { 0.0 };
        }
        pool.peak_rate = sent * f64::from(*n) / all;
        // As much more of the same mix as its machines have time for.
        pool.capacity = if load > 0.0 { pool.peak_rate * all / load } else { 0.0 };
        draft.bill(job, table, &chosen, &pool, Runs::Always, 0.0);
        draft.pools.push(pool);
    }
    order(&mut draft.pools);
    let lines = std::mem::take(&mut draft.lines);
    let hour = fleet.hour(mixed);
    let cost = super::cost(lines, hour, hour);
    draft.sort();
    let routes = vec![routes(&draft.pools)];
    let failures = failures(mixed, &mix);
    Some(WorkloadPlacement {
        address: job.address.clone(),
        pools: draft.pools,
        fallbacks: Vec::new(),
        routes,
        objectives: Vec::new(),
        failures,
        cost,
        run: None,
        mix: Some(mix),
        certificate,
        losers: Vec::new(),
        relaxations: Vec::new(),
        quotas: draft.quotas,
        caveats: draft.caveats,
    })
}

/// What runs on a machine is the team's own, and what it does was measured.
fn measured(mixed: &Mixed<'_>, kind: &InstanceType) -> Runner {
    let rows = mixed.service.profile.rates.get(&(kind.cloud, kind.name.clone()));
    let mut lines: Vec<usize> = rows.iter().flat_map(|rows| rows.values()).map(|row| row.line).collect();
    lines.sort_unstable();
    let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
    let file = &mixed.service.profile.file.path;
    let word = if lines.len() == 1 { "line" } else { "lines" };
    let note = format!("{word} {} of {file}", lines.join(", "));
    Runner {
        quantization: Quantization::Native,
        kv_cache: KvCacheDtype::Auto,
        engine: crate::perf::measured::settings(1),
        factors: (1.0, 1.0),
        memory: MemoryFit {
            device: kind.memory_gib.unwrap_or(0.0) * GIB,
            usable: 0.0,
            weights: 0.0,
            overhead: 0.0,
            kv_cache: 0.0,
            kv_per_token: 0.0,
            kv_tokens: 0.0,
            max_sequences: 1,
        },
        evidence: Evidence::Measured,
        notes: vec![note],
    }
}

/// All requests enter next to the service; each pool gets what its classes send there.
fn routes(pools: &[Pool]) -> Route {
    let all: f64 = pools.iter().map(|p| p.peak_rate).sum();
    let share = |p: &Pool| if all > 0.0 { p.peak_rate / all } else { 0.0 };
    Route {
        origin: "any".to_owned(),
        to: pools.iter().enumerate().map(|(i, p)| (i, share(p))).collect(),
        network_ms: vec![0.0; pools.len()],
        evidence: Evidence::Measured,
    }
}

/// The loss that leaves the least room.
fn failures(mixed: &Mixed<'_>, mix: &SizeMix) -> Vec<FailureCheck> {
    let service = mixed.service;
    let peak: f64 = mix.classes.iter().map(|c| c.demand as f64 / MICRO as f64).sum();
    let required = peak * service.capacity;
    let part = service.part_in_failure();
    let load = |kind: usize, routes: &[Vec<MixPart>]| -> f64 {
        let on = &mix.kinds[kind];
        let of = |(class, to): (&crate::placement::SizeClass, &Vec<MixPart>)| {
            let share: u64 = to.iter().filter(|p| p.kind as usize == kind).map(|p| p.billionths).sum();
            let sustains = service.rate(&class.name, on.cloud, &on.instance_type).unwrap_or(0);
            if share == 0 {
                0.0
            } else {
                // What is left of a class is rounded up, as it is when it is divided.
                let left = (u128::from(class.demand) * u128::from(part)).div_ceil(u128::from(PARTS));
                left as f64 * share as f64 / PARTS as f64 / sustains as f64
            }
        };
        mix.classes.iter().zip(routes).map(of).sum()
    };
    let room = mix.losses.iter().map(|loss| {
        let routes: Vec<Vec<MixPart>> = loss.routes.iter().map(|r| r.to.clone()).collect();
        let of = (0..mix.kinds.len()).filter_map(|kind| {
            let load = load(kind, &routes);
            let left = mix.kinds[kind].machines - loss.lost[kind];
            (load > 0.0).then(|| f64::from(left) / load)
        });
        of.fold(f64::INFINITY, f64::min)
    });
    let Some(least) = room.min_by(f64::total_cmp) else { return Vec::new() };
    let total: u32 = mix.kinds.iter().map(|k| k.machines).sum();
    vec![FailureCheck {
        scope: "machine",
        count: service.survive,
        at: "all".to_owned(),
        replicas_left: total - service.survive,
        required_rate: required,
        // Whatever is left carries it: the allowance is no shortage.
        capacity: required * least.max(1.0),
    }]
}
