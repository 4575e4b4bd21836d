//! What the choice for a federation promises.

use rhumb_api::{HOURS_PER_MONTH, Money};

use super::super::federation::{Member, Members, Rounds};
use super::super::job::{Job, Kind};
use super::super::pool::Count;
use super::super::service::Chosen;
use super::super::table::Table;
use super::{Draft, Runner, Runs, machines};
use crate::catalog::{Evidence, TransferTo};
use crate::perf::MemoryFit;
use crate::placement::{
    BatchRun, Certificate, Cost, CostLine, FederationClient, FederationRun, Pool, WorkloadPlacement,
};
use crate::spec::{KvCacheDtype, Quantization};

/// One machine of a site, which does what the only way of its type says.
fn one(site: usize) -> Chosen {
    let none = Money::ZERO;
    let count = Count {
        machines: 1,
        spot: 0,
        replicas: 1,
        most_base: 1,
        most_spot: 0,
        most_replicas: 1,
        beside_base: 0,
        beside_spot: 0,
        seconds: 0,
        cost: none,
        peak: none,
        ceiling: none,
        stand_in: None,
    };
    Chosen { site, way: 0, count }
}

fn member(job: &Job<'_>, table: &Table, site: usize, taken: &[Pool]) -> Option<Pool> {
    let Member { memory: (device, usable, overhead), evidence, note, .. } = table.member(site)?;
    let runner = Runner {
        quantization: Quantization::Native,
        kv_cache: KvCacheDtype::Auto,
        engine: crate::perf::measured::settings(1),
        factors: (1.0, 1.0),
        memory: MemoryFit {
            device: *device,
            usable: *usable,
            weights: 0.0,
            overhead: *overhead,
            kv_cache: 0.0,
            kv_per_token: 0.0,
            kv_tokens: 0.0,
            max_sequences: 1,
        },
        evidence: *evidence,
        notes: vec![note.clone()],
    };
    machines(job, table, &one(site), runner, taken)
}

/// What the choice for a federation promises.
pub(in crate::optimize) fn federation(
    job: &Job<'_>,
    rounds: &Rounds<'_>,
    members: &Members,
    certificate: Certificate,
) -> Option<WorkloadPlacement> {
    let Kind::Federation(asked, _) = job.kind else { return None };
    let runs = rounds.runs();
    let month = Runs::Share(members.hours * runs / HOURS_PER_MONTH as f64);
    let n = members.clients.len();
    let each = f64::from(asked.rounds) / (members.hours * 3600.0);
    let limit_s = asked.deadline_s.unwrap_or(members.start_s + f64::from(asked.rounds) * members.limit_s);
    let asks = f64::from(asked.rounds) / limit_s;
    let mut draft = Draft { pools: Vec::new(), lines: Vec::new(), caveats: Vec::new(), quotas: Vec::new() };
    let all = std::iter::once((rounds.table, members.aggregator, n as f64));
    for (table, site, updates) in all.chain(members.clients.iter().map(|c| (rounds.clients, c.site, 1.0))) {
        let mut pool = member(job, table, site, &draft.pools)?;
        pool.peak_rate = asks * updates;
        pool.capacity = each * updates;
        draft.bill(job, table, &one(site), &pool, month, 0.0);
        draft.pools.push(pool);
    }
    let sent_gib = asked.update_gib * n as f64 * f64::from(asked.rounds);
    draft.updates(job, (rounds, members), sent_gib, runs);
    let clients = members.clients.iter().map(|c| FederationClient {
        site: job.world.catalog.regions[rounds.clients.sites[c.site].region].id.clone(),
        transfer_s: c.transfer_s,
        local_s: c.local_s,
        round_s: c.round_s,
    });
    let how = FederationRun {
        framework: asked.framework,
        rounds: asked.rounds,
        round_s: members.round_s,
        round_limit_s: members.limit_s,
        start_up_s: members.start_s,
        aggregate_s: rounds.table.member(members.aggregator)?.seconds,
        min_sites: asked.min_sites,
        clients: clients.collect(),
        left_out: rounds.left_out(members.aggregator).to_vec(),
        sent_gib,
    };
    let lines = std::mem::take(&mut draft.lines);
    let cost = Cost {
        expected_per_hour: lines.iter().filter_map(|l| l.per_hour).sum(),
        expected_per_month: members.month,
        peak_per_month: members.month,
        ceiling_per_month: members.month,
        incomplete: lines.iter().any(|l| l.per_hour.is_none()),
        lines,
    };
    draft.sort();
    super::order(&mut draft.pools);
    Some(WorkloadPlacement {
        address: job.address.clone(),
        pools: draft.pools,
        fallbacks: Vec::new(),
        routes: Vec::new(),
        objectives: Vec::new(),
        mix: None,
        failures: Vec::new(),
        cost,
        run: Some(BatchRun {
            hours: members.hours,
            deadline_hours: limit_s / 3600.0,
            items_per_s: each * n as f64,
            runs_per_month: runs,
            cost_per_run: members.run,
            training: None,
            pipeline: None,
            federation: Some(how),
        }),
        certificate,
        losers: Vec::new(),
        relaxations: Vec::new(),
        quotas: draft.quotas,
        caveats: draft.caveats,
    })
}

impl Draft {
    /// Adds the lines of what members send each other.
    fn updates(&mut self, job: &Job<'_>, (rounds, members): (&Rounds<'_>, &Members), gib: f64, runs: f64) {
        let catalog = &job.world.catalog;
        let region = rounds.table.sites[members.aggregator].region;
        let price = catalog.transfer_price(region, TransferTo::Internet);
        let at = &catalog.regions[region];
        self.lines.push(CostLine {
            addr: format!("{}/transfer/updates/{}/{}", job.address, at.cloud, at.id),
            what: format!("{gib:.1} GiB of updates to the sites, for each run"),
            per_hour: price
                .as_ref()
                .map(|p| p.usd_per_gib.scale(gib).scale(runs).scale(1.0 / HOURS_PER_MONTH as f64)),
            evidence: Evidence::Listed,
            provenance: price.map(|p| p.provenance),
        });
        self.lines.push(CostLine {
            addr: format!("{}/transfer/updates/site/clients", job.address),
            what: format!("{gib:.1} GiB of updates from the sites, for each run"),
            per_hour: None,
            evidence: Evidence::Assumed,
            provenance: None,
        });
    }
}
