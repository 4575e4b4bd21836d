//! The cheapest choice of members of which one is given: why another one was not chosen.

use std::collections::BTreeMap;

use super::super::job::{Job, Role};
use super::{Aggregator, Members, Rounds};
use crate::catalog::TransferTo;
use crate::perf;
use crate::placement::Rejection;

impl Rounds<'_> {
    /// The cheapest choice of which one machine is given: that of the aggregator, by its place in the table, or of a client, by its
    /// place in the clients' table.
    ///
    /// # Errors
    /// What stands in the way of any.
    pub fn with_one(&self, job: &Job<'_>, role: Role, site: usize) -> Result<Members, Rejection> {
        if let Some(why) = self.refusal() {
            return Err(why);
        }
        let of = |aggregator: &Aggregator| match role {
            Role::Aggregator => (aggregator.site == site).then(|| aggregator.clone()),
            Role::Client => {
                let mut given = aggregator.clone();
                let kinds = given.clients.iter_mut().find(|kinds| kinds.iter().any(|c| c.site == site))?;
                kinds.retain(|c| c.site == site);
                Some(given)
            }
        };
        let aggregators: Vec<Aggregator> = self.aggregators.iter().filter_map(of).collect();
        if aggregators.is_empty() {
            return Err(self.takes_no_part(job, role, site));
        }
        let given = Rounds {
            asked: self.asked,
            table: self.table,
            clients: self.clients,
            aggregators,
            most: self.most,
            rejected: BTreeMap::new(),
            evaluated: 0,
            left_out: BTreeMap::new(),
        };
        given.within_budget(job)
    }

    /// Why a machine that may be one is no member of any choice.
    fn takes_no_part(&self, job: &Job<'_>, role: Role, i: usize) -> Rejection {
        let asked = self.asked;
        let catalog = &job.world.catalog;
        let no = |constraint, reason: String, key: &str| Rejection {
            constraint,
            reason,
            at: Some(asked.at.join(key)),
            distance: None,
        };
        let table = match role {
            Role::Aggregator => self.table,
            Role::Client => self.clients,
        };
        let region = &catalog.regions[table.sites[i].region];
        if !table.terms[i].within_quotas(1, 0) {
            let reason = "what is declared or stands there is too little for one".to_owned();
            let at = job.spec.quotas_at(region.cloud);
            return Rejection { at, ..no("quota", reason, "placement") };
        }
        let Some(member) = table.member(i) else {
            return no("measured-time", "nothing was measured of it".into(), "local");
        };
        if role == Role::Aggregator {
            if catalog.transfer_price(table.sites[i].region, TransferTo::Internet).is_none() {
                let reason = format!("what it costs to send from {}/{}", region.cloud, region.id);
                return no("unknown", reason, "placement");
            }
            let reason = format!("with it fewer sites keep the deadline than the {} of another", self.most);
            return no("round-deadline", reason, "round_deadline");
        }
        let Some(mbps) = job.spec.sites.get(&region.id).and_then(|s| s.wan.mbps) else {
            return no("bandwidth", "its `wan.bandwidth` is not known".into(), "sites");
        };
        let n = asked.sites.len();
        let rounds = self.aggregators.iter().filter_map(|a| {
            let aggregator = self.table.member(a.site)?;
            let transfer_s = perf::federated::transfer_s(asked.update_gib, mbps, aggregator.network_gbps, n);
            let round_s = 2.0 * transfer_s + member.seconds + n as f64 * aggregator.seconds;
            Some((round_s, a.limit_s))
        });
        let Some((round_s, limit_s)) = rounds.min_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1))) else {
            return no("infeasible", "no machine may be the aggregator".into(), "placement");
        };
        let s = |seconds: f64| crate::math::round_to(seconds, 2);
        let reason = format!("a round takes it {} s, {} s are allowed", s(round_s), s(limit_s));
        Rejection {
            distance: Some(round_s / limit_s - 1.0),
            ..no("round-deadline", reason, "round_deadline")
        }
    }
}
