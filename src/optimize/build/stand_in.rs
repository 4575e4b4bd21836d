//! A pool's stand-in, as a plan shows it.

use super::super::job::Job;
use super::super::load::Demand;
use super::super::pool::weights_gib;
use super::super::service::{Chosen, Search};
use super::{Draft, Runs};
use crate::placement::{Pool, StandsIn};

impl Draft {
    /// Adds the stand-in of a pool that was added before and carries `demand`.
    pub(super) fn stand_in(&mut self, search: &Search<'_>, chosen: &Chosen, demand: &Demand<'_>, of: &Pool) {
        let Some(built) = self.built(search, chosen, demand, of) else { return };
        let below =
            |pool: &Pool| pool.addr.as_str().split_once('/').map_or("", |(_, below)| below).to_owned();
        if let Some(s) = &built.stands_in {
            self.caveats.push(format!(
                "{}: while its machines have failed, {} % of its requests must go to {} ({}, which keeps {} % by your own figure) and none \
                 otherwise: the plan's load balancer says so, and whoever runs it moves the weights",
                below(of),
                s.percent,
                below(&built),
                s.model,
                crate::math::round_to(s.quality * 100.0, 3)
            ));
        }
        self.pools.push(built);
    }

    fn built(
        &mut self,
        search: &Search<'_>,
        chosen: &Chosen,
        demand: &Demand<'_>,
        of: &Pool,
    ) -> Option<Pool> {
        let standing = chosen.count.stand_in?;
        let (index, table) = search.standing(&standing)?;
        let jobs = search.job.stand_ins();
        let job: &Job<'_> = jobs.get(standing.of)?;
        let named = search.service.degrade.as_ref()?.to.get(standing.of)?;
        let (speed, alone) = (&table.speeds[index], standing.alone());
        let mut pool = super::pool(job, table, &alone, speed, &self.pools)?;
        let rate = of.peak_rate * demand.elsewhere(standing.percent);
        let failed = search.in_failure(demand.network_ms, rate);
        let n = pool.replicas;
        pool.capacity = failed.most(speed, n, 1.0);
        pool.latency = speed.curve.latency(rate / f64::from(n.max(1)), n, demand.arrivals);
        let (model, quality, percent) = (named.model.clone(), named.quality, standing.percent);
        pool.stands_in = Some(StandsIn { pool: of.addr.clone(), model, quality, percent, rate });
        self.caveats.extend(super::replayed(job, &failed, speed, &pool, 0));
        let way = &table.machines[table.sites[standing.site].machine].ways[standing.way];
        self.bill(job, table, &alone, &pool, Runs::Always, weights_gib(speed, way));
        Some(pool)
    }
}
