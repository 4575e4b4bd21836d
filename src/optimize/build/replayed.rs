//! What the replay said of a pool, for whoever approves the plan.

use super::super::job::Job;
use super::super::load::Demand;
use super::super::table::Speed;
use crate::placement::Pool;

/// What a reader must know of how a pool's number was found, if it was not the closed form alone.
///
/// `lost` is above 0 where a failure of replicas was replayed.
pub(super) fn replayed(
    job: &Job<'_>,
    demand: &Demand<'_>,
    speed: &Speed,
    pool: &Pool,
    lost: u32,
) -> Option<String> {
    if job.world.replay == 0 {
        return None;
    }
    let addr = pool.addr.as_str().split_once('/').map_or("", |(_, below)| below);
    let reaching = demand.rate(speed, pool.replicas);
    let so = || {
        let found = Some(lost).filter(|lost| demand.plays_undisturbed(*lost));
        let found = found.and_then(|_| demand.tightest(speed, reaching, pool.replicas));
        found.map_or_else(String::new, |(limit, ms, half)| {
            let (metric, quantile) = (limit.metric.as_str(), crate::replay::percentile(limit.quantile));
            let edge = job.spec.confidence * 100.0;
            let limit = limit.limit_ms;
            format!(
                ": at the {edge:.0} % edge {metric} {quantile} is {ms:.0} of {limit:.0} ms, give or take {half:.0}"
            )
        })
    };
    let rates = [1.0, demand.capacity, demand.region_loss.unwrap_or(1.0)].map(|x| reaching * x);
    if speed.refuted.on_fewer(&rates, pool.replicas, demand.network_ms) {
        return Some(format!(
            "{addr}: the closed form would have done with less, but a replay breaks a limit there; \
             the replay decided{}",
            so()
        ));
    }
    let rate = reaching / f64::from(pool.replicas.max(1));
    let recorded = demand.traffic.recorded.as_ref().map(|_| "recorded arrivals");
    let outside = recorded.or(speed.slowed.unchecked(rate, pool.replicas, demand.arrivals))?;
    Some(format!(
        "{addr}: outside of what the closed form was checked for ({outside}); a replay confirms it{}",
        so()
    ))
}
