//! The cheapest members of a federation: one aggregator, and of each site that takes part a machine.
//!
//! A round is as long as its slowest client. So for each longest round that there may be, every site has its cheapest kind that is no
//! slower: what is enumerated is that choice, under a bound that is linear in the machines.

mod given;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb_api::{Cloud, Money};

use super::job::{Job, Role};
use super::pool::GIB;
use super::table::Table;
use super::together::ONE;
use super::ways::{Kind, Way};
use crate::catalog::{Evidence, InstanceType, TransferTo};
use crate::perf::{self, Layout};
use crate::placement::{LeftOut, Rejection};
use crate::spec::{Federation, POWER, Processors};

/// What is compared with a limit may be over it by a rounding.
const ROUNDED: f64 = 1.0 + 1e-12;

/// What a machine of a type does in a federation.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Seconds for an update, or of training in a round.
    pub seconds: f64,
    pub network_gbps: f64,
    /// Seconds until it works.
    pub start_s: f64,
    /// Main memory, bytes: all of it, what is left to the aggregator, and what it takes; zero of a client.
    pub memory: (f64, f64, f64),
    pub evidence: Evidence,
    pub note: String,
}

/// The ways of a federation's members on the machine types that are `wanted`.
pub(super) fn runs(
    job: &Job<'_>,
    (asked, role): (&Federation, Role),
    wanted: &[bool],
) -> (Vec<Kind>, Arc<[Member]>) {
    let mut members = Vec::new();
    let kinds = job.world.catalog.instance_types.iter().zip(wanted).map(|(kind, wanted)| {
        let way = || {
            let found = match role {
                Role::Aggregator => aggregator(asked, kind),
                Role::Client => client(job, asked, kind),
            };
            let speed = found.map(|member| {
                members.push(member);
                members.len() - 1
            });
            let layout = Layout { tp: 1, pp: 1, dp: 1, ep: 1 };
            Way { variant: 0, layout, speed, replicas: 1, span: 1, most_on_one: None }
        };
        Kind::of(wanted.then(way).into_iter().collect(), 1)
    });
    let kinds = kinds.collect();
    (kinds, members.into())
}

fn aggregator(asked: &Federation, kind: &InstanceType) -> Result<Member, Rejection> {
    let no = |constraint, reason: String, key: &str| {
        Err(Rejection { constraint, reason, at: Some(asked.at.join(key)), distance: None })
    };
    let Some((of, seconds)) = perf::measured::narrowest(&asked.aggregate_s, kind) else {
        let reason =
            format!("no time was measured on {}/{} or stated for {}", kind.cloud, kind.name, kind.arch);
        return no("measured-time", reason, "aggregate");
    };
    let Some(gib) = kind.memory_gib.filter(|gib| *gib > 0.0) else {
        return no("unknown", format!("the memory of {}", kind.name), "aggregator_memory");
    };
    let Some(network_gbps) = kind.network_gbps.filter(|gbps| *gbps > 0.0) else {
        return no("unknown", format!("the network of {}", kind.name), "update");
    };
    let usable = perf::federated::usable(gib);
    if asked.memory_bytes > usable {
        let needs = crate::math::round_to(asked.memory_bytes / GIB, 2);
        let reason =
            format!("leaves the aggregator {:.1} GiB ({}), it needs {needs}", usable / GIB, kind.name);
        let at = Some(asked.at.join("aggregator_memory"));
        let distance = Some(asked.memory_bytes / usable - 1.0);
        return Err(Rejection { constraint: "memory", reason, at, distance });
    }
    let how = match of {
        Processors::Architecture(arch) => format!("stated for {arch} and assumed here"),
        Processors::Type(..) | Processors::Series(..) => format!("stated for {of}"),
    };
    Ok(Member {
        seconds: *seconds,
        network_gbps,
        start_s: perf::start_up_s(0.0, kind.network_gbps),
        memory: (gib * GIB, usable, asked.memory_bytes),
        evidence: perf::measured::class(of),
        note: format!("{how}: {seconds} s an update"),
    })
}

fn client(job: &Job<'_>, asked: &Federation, kind: &InstanceType) -> Result<Member, Rejection> {
    let accelerator = kind.accelerator.and_then(|i| job.world.catalog.accelerators.get(i));
    let id = accelerator.map_or("", |a| a.id.as_str());
    let Some(seconds) = asked.local_s.get(id) else {
        let reason = format!("no time of training was measured on {id}");
        return Err(Rejection {
            constraint: "measured-time",
            reason,
            at: Some(asked.at.join("local")),
            distance: None,
        });
    };
    Ok(Member {
        seconds: *seconds,
        network_gbps: 0.0,
        start_s: perf::start_up_s(0.0, kind.network_gbps),
        memory: (0.0, 0.0, 0.0),
        evidence: Evidence::Measured,
        note: format!("stated for {id}: {seconds} s a round"),
    })
}

/// Why no machine of a site may be a client.
fn idle(job: &Job<'_>, clients: &Table, name: &str) -> String {
    let catalog = &job.world.catalog;
    let mut reasons: Vec<String> = Vec::new();
    for offering in &catalog.offerings {
        let region = &catalog.regions[offering.region];
        if region.cloud != Cloud::Site || region.id != name {
            continue;
        }
        let kind = &catalog.instance_types[offering.instance_type].name;
        let place = clients.sites.iter().position(|s| {
            (clients.machines[s.machine].index, s.region) == (offering.instance_type, offering.region)
        });
        let ways = place.iter().flat_map(|i| clients.machines[clients.sites[*i].machine].ways.iter());
        let short = |i: usize| clients.terms[i].quotas.iter().find(|q| q.base > q.limit + 1e-9);
        let reason = if let Some(why) = clients.against(job, offering) {
            why.reason.clone()
        } else if let Some(why) = ways.filter_map(|way| way.speed.as_ref().err()).next() {
            why.reason.clone()
        } else if let Some(q) = place.and_then(short) {
            match q.code == POWER {
                true => format!("{kind} takes {} W at full load, its `power` is {} W", q.base, q.limit),
                false => format!("of {} {} stand there", q.code, q.limit),
            }
        } else {
            format!("{kind} is not on sale there")
        };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons.join("; ")
}

/// A machine of a site that keeps the deadline with an aggregator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// Index into the clients' sites.
    pub site: usize,
    pub transfer_s: f64,
    pub local_s: f64,
    pub round_s: f64,
    price: Money,
}

/// An aggregator with which as many sites take part as with any.
#[derive(Clone)]
struct Aggregator {
    /// Index into the table's sites.
    site: usize,
    price: Money,
    start_s: f64,
    limit_s: f64,
    /// What it sends in a run.
    sent: Money,
    /// Of each site that takes part, in the order of their names.
    clients: Vec<Vec<Client>>,
}

/// A choice of members.
#[derive(Clone, Debug)]
pub(super) struct Members {
    /// Index into the table's sites.
    pub aggregator: usize,
    pub clients: Vec<Client>,
    pub start_s: f64,
    pub round_s: f64,
    pub limit_s: f64,
    pub hours: f64,
    /// A run.
    pub run: Money,
    pub month: Money,
}

/// All choices.
pub(super) struct Rounds<'s> {
    asked: &'s Federation,
    pub table: &'s Table,
    pub clients: &'s Table,
    aggregators: Vec<Aggregator>,
    /// Of the sites' machines, how many sites of the most do with an aggregator.
    most: usize,
    /// Candidates that were rejected here, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Candidates that are part of a choice.
    pub evaluated: u64,
    /// By an aggregator that was chosen or, if none can be, by one of the best: who takes no part.
    left_out: BTreeMap<usize, Vec<LeftOut>>,
}

impl<'s> Rounds<'s> {
    pub fn of(job: &Job<'s>, table: &'s Table, asked: &'s Federation) -> Option<Self> {
        let clients: &Table = table.clients.as_deref()?;
        let catalog = &job.world.catalog;
        let mut names: Vec<&String> = asked.sites.iter().collect();
        names.sort_unstable();
        // Of each site, in the order of the names, its machines that somebody measured and stock and power allow.
        let at: Vec<Vec<usize>> = names
            .iter()
            .map(|name| {
                let here = |i: &usize| {
                    let site = &clients.sites[*i];
                    catalog.regions[site.region].id == **name
                        && clients.machines[site.machine].ways.iter().any(|w| w.speed.is_ok())
                        && clients.terms[*i].within_quotas(1, 0)
                };
                (0..clients.sites.len()).filter(here).collect()
            })
            .collect();
        let mbps: Vec<Option<f64>> =
            names.iter().map(|name| job.spec.sites.get(*name).and_then(|s| s.wan.mbps)).collect();
        let mut rounds = Rounds {
            asked,
            table,
            clients,
            aggregators: Vec::new(),
            most: 0,
            rejected: BTreeMap::new(),
            evaluated: 0,
            left_out: BTreeMap::new(),
        };
        let mut all: Vec<(Aggregator, Vec<LeftOut>)> = Vec::new();
        for (i, site) in table.sites.iter().enumerate() {
            let Some(member) = table.member(i) else { continue };
            let (Some(price), true) = (table.terms[i].base, table.terms[i].within_quotas(1, 0)) else {
                *rounds.rejected.entry("quota".into()).or_insert(0) += site.rows;
                continue;
            };
            // Where it is not known there is no site.
            let Some(sends) = catalog.transfer_price(site.region, TransferTo::Internet) else { continue };
            let sends = sends.usd_per_gib;
            all.push(rounds.joined(job, (i, member, price, sends), (&names, &at, &mbps)));
        }
        rounds.most = all.iter().map(|(a, _)| a.clients.len()).max().unwrap_or(0);
        for (aggregator, left_out) in all {
            if aggregator.clients.len() < rounds.most {
                let rows = table.sites[aggregator.site].rows;
                *rounds.rejected.entry("round-deadline".into()).or_insert(0) += rows;
                continue;
            }
            rounds.left_out.insert(aggregator.site, left_out);
            rounds.aggregators.push(aggregator);
        }
        rounds.count(&at, &mbps);
        Some(rounds)
    }

    /// An aggregator with everybody who keeps the deadline with it, and the reasons of the others.
    fn joined(
        &self,
        job: &Job<'_>,
        (site, member, price, sends): (usize, &Member, Money, Money),
        (names, at, mbps): (&[&String], &[Vec<usize>], &[Option<f64>]),
    ) -> (Aggregator, Vec<LeftOut>) {
        let asked = self.asked;
        let members = at.iter().flatten().filter_map(|i| self.clients.member(*i));
        let start_s = members.map(|m| m.start_s).fold(member.start_s, f64::max);
        let of_run = asked.deadline_s.map(|deadline| (deadline - start_s) / f64::from(asked.rounds));
        let limit_s = of_run.map_or(asked.round_deadline_s, |of_run| of_run.min(asked.round_deadline_s));
        let (mut clients, mut left_out) = (Vec::new(), Vec::new());
        for ((name, at), mbps) in names.iter().zip(at).zip(mbps) {
            let mut leave = |reason: String| left_out.push(LeftOut { site: (*name).clone(), reason });
            if at.is_empty() {
                leave(idle(job, self.clients, name));
                continue;
            }
            let Some(mbps) = mbps else {
                leave("its `wan.bandwidth` is not known".into());
                continue;
            };
            let n = names.len();
            let transfer_s = perf::federated::transfer_s(asked.update_gib, *mbps, member.network_gbps, n);
            let mut kinds: Vec<Client> = Vec::new();
            for i in at {
                let (Some(trains), Some(price)) = (self.clients.member(*i), self.clients.terms[*i].base)
                else {
                    continue;
                };
                let round_s = 2.0 * transfer_s + trains.seconds + n as f64 * member.seconds;
                kinds.push(Client { site: *i, transfer_s, local_s: trains.seconds, round_s, price });
            }
            let fastest = kinds.iter().map(|c| c.round_s).fold(f64::INFINITY, f64::min);
            kinds.retain(|c| c.round_s <= limit_s * ROUNDED);
            if kinds.is_empty() {
                let s = |seconds: f64| crate::math::round_to(seconds, 2);
                leave(format!("a round takes it {} s, {} s are allowed", s(fastest), s(limit_s)));
                continue;
            }
            clients.push(kinds);
        }
        let sent = sends.scale(asked.update_gib * clients.len() as f64 * f64::from(asked.rounds));
        (Aggregator { site, price, start_s, limit_s, sent, clients }, left_out)
    }

    /// Counts what became of the candidates.
    fn count(&mut self, at: &[Vec<usize>], mbps: &[Option<f64>]) {
        let mut used = BTreeSet::new();
        for aggregator in &self.aggregators {
            self.evaluated += self.table.sites[aggregator.site].rows;
            used.extend(aggregator.clients.iter().flatten().map(|c| c.site));
        }
        for (i, site) in self.clients.sites.iter().enumerate() {
            if self.clients.member(i).is_none() {
                continue;
            }
            let named = at.iter().position(|kinds| kinds.contains(&i));
            let why = match named {
                _ if used.contains(&i) => {
                    self.evaluated += site.rows;
                    continue;
                }
                None => "quota",
                Some(named) if mbps[named].is_none() => "bandwidth",
                Some(_) => "round-deadline",
            };
            *self.rejected.entry(why.into()).or_insert(0) += site.rows;
        }
    }

    /// Who takes no part with an aggregator.
    pub fn left_out(&self, aggregator: usize) -> &[LeftOut] {
        self.left_out.get(&aggregator).map_or(&[], Vec::as_slice)
    }

    /// Why no choice is one, whatever it costs.
    pub fn refusal(&self) -> Option<Rejection> {
        let asked = self.asked;
        if !self.aggregators.is_empty() && self.most >= asked.min_sites as usize {
            return None;
        }
        let Some(left_out) = self.left_out.values().next() else {
            let reason = "no machine may be the aggregator".into();
            return Some(Rejection {
                constraint: "infeasible",
                reason,
                at: Some(asked.at.clone()),
                distance: None,
            });
        };
        let named =
            LeftOut::by_reason(left_out).into_iter().map(|(sites, _, reason)| format!("{sites}: {reason}"));
        let named: Vec<String> = named.collect();
        let reason = format!(
            "{} of {} sites can take part, {} are asked for ({})",
            self.most,
            asked.sites.len(),
            asked.min_sites,
            named.join("; ")
        );
        let distance = (self.most > 0).then(|| f64::from(asked.min_sites) / self.most as f64 - 1.0);
        Some(Rejection { constraint: "min-sites", reason, at: Some(asked.at.join("min_sites")), distance })
    }

    /// Runs of a month.
    pub fn runs(&self) -> f64 {
        self.asked.schedule.as_ref().map_or(1.0, |s| s.runs_per_month)
    }

    /// Hours of a run whose rounds take so long.
    fn hours(&self, start_s: f64, round_s: f64) -> f64 {
        (start_s + f64::from(self.asked.rounds) * round_s) / 3600.0
    }

    /// Visits choices until a month of them costs more than `limit`, together with the tolls of their machines: a month's of one machine, and of
    /// an hour in which it runs, of aggregators first and then of clients; a micro-dollar counts `money`, and all is over [`ONE`]. A
    /// visit may lower the limit. Either `every` one, or for each aggregator and longest round one that costs the least, but for
    /// what [`Rounds::rounding`] says.
    pub fn each(
        &self,
        every: bool,
        (money, tolls): (i128, &dyn Fn(usize) -> (i128, i128)),
        limit: i128,
        visit: &mut dyn FnMut(Members) -> i128,
    ) {
        if self.refusal().is_some() {
            return;
        }
        let first = self.table.sites.len();
        let mut limit = limit;
        for aggregator in &self.aggregators {
            let mut rounds: Vec<f64> = aggregator.clients.iter().flatten().map(|c| c.round_s).collect();
            rounds.sort_unstable_by(f64::total_cmp);
            rounds.dedup();
            for round_s in rounds {
                let months = self.hours(aggregator.start_s, round_s) * self.runs();
                let counted = |price: Money, site: usize| {
                    let (toll, hour) = tolls(site);
                    let seconds = (months * 3600.0 - 1.0).clamp(0.0, 1e12);
                    (price.micros() as f64 * months * money as f64) as i128
                        + toll
                        + hour * (seconds as i128) / 3600
                };
                let in_time = |kinds: &Vec<Client>| -> Vec<(i128, Client)> {
                    let kinds = kinds.iter().filter(|c| c.round_s <= round_s);
                    let mut kinds: Vec<_> = kinds.map(|c| (counted(c.price, first + c.site), *c)).collect();
                    kinds.sort_by_key(|(cost, c)| (*cost, c.site));
                    kinds.truncate(if every { usize::MAX } else { 1 });
                    kinds
                };
                let lists: Vec<_> = aggregator.clients.iter().map(in_time).collect();
                if lists.iter().any(Vec::is_empty) {
                    continue;
                }
                let sent = (aggregator.sent.micros() as f64 * self.runs() * money as f64) as i128;
                let so_far = counted(aggregator.price, aggregator.site) + sent - self.rounding(money);
                let mut rest: Vec<i128> = vec![0];
                rest.extend(lists.iter().rev().scan(0, |sum, kinds| {
                    *sum += kinds[0].0;
                    Some(*sum)
                }));
                rest.reverse();
                let chosen = Vec::new();
                let mut deep = Deep {
                    rounds: self,
                    aggregator,
                    round_s,
                    lists: &lists,
                    rest: &rest,
                    limit,
                    visit,
                    chosen,
                };
                deep.choose(so_far, !every);
                limit = deep.limit;
            }
        }
    }

    /// By how much a choice may cost less than by the sum of its machines: a run, its month and what is sent are rounded to the
    /// micro-dollar, and a few units of the products with them.
    pub fn rounding(&self, money: i128) -> i128 {
        (self.runs() * 2.0 + 4.0) as i128 * money.max(ONE)
    }

    fn members(&self, aggregator: &Aggregator, clients: Vec<Client>) -> Members {
        let round_s = clients.iter().map(|c| c.round_s).fold(0.0, f64::max);
        let hours = self.hours(aggregator.start_s, round_s);
        let hourly = aggregator.price + clients.iter().map(|c| c.price).sum();
        let run = hourly.scale(hours) + aggregator.sent;
        Members {
            aggregator: aggregator.site,
            clients,
            start_s: aggregator.start_s,
            round_s,
            limit_s: aggregator.limit_s,
            hours,
            run,
            month: run.scale(self.runs()),
        }
    }

    /// The cheapest choice within what budgets leave to this workload alone.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn within_budget(&self, job: &Job<'_>) -> Result<Members, Rejection> {
        if let Some(why) = self.refusal() {
            return Err(why);
        }
        let lost = || Rejection {
            constraint: "infeasible",
            reason: "no candidate does".into(),
            at: Some(self.asked.at.clone()),
            distance: None,
        };
        let members = self.cheapest().ok_or_else(lost)?;
        match job.budgets().into_iter().min_by_key(|(limit, _)| *limit) {
            Some((limit, at)) if members.month > limit => Err(Rejection {
                constraint: "budget",
                reason: format!("{} USD a month, the budget is {limit}", members.month),
                at: Some(at.clone()),
                distance: Some(members.month.usd() / limit.usd().max(1e-9) - 1.0),
            }),
            _ => Ok(members),
        }
    }

    /// The cheapest choice; of equals the first aggregator.
    pub fn cheapest(&self) -> Option<Members> {
        let mut best: Option<Members> = None;
        self.each(false, (ONE, &|_| (0, 0)), i128::MAX, &mut |members| {
            if best.as_ref().is_none_or(|b| members.month < b.month) {
                best = Some(members);
            }
            best.as_ref().map_or(i128::MAX, |b| i128::from(b.month.micros()) * ONE)
        });
        best
    }
}

/// A search for the clients of an aggregator, of whom one at least is as slow as a round may be.
struct Deep<'d, 's> {
    rounds: &'d Rounds<'s>,
    aggregator: &'d Aggregator,
    round_s: f64,
    /// What each costs, cheapest first.
    lists: &'d [Vec<(i128, Client)>],
    /// What the sites from each on cost at the least.
    rest: &'d [i128],
    limit: i128,
    visit: &'d mut dyn FnMut(Members) -> i128,
    chosen: Vec<Client>,
}

impl Deep<'_, '_> {
    fn choose(&mut self, so_far: i128, slowest: bool) {
        let next = self.chosen.len();
        // One that costs as much is no better, and is visited because another one may take less of a limit.
        if so_far + self.rest[next] > self.limit {
            return;
        }
        let Some(kinds) = self.lists.get(next) else {
            if slowest {
                let members = self.rounds.members(self.aggregator, self.chosen.clone());
                self.limit = (self.visit)(members);
            }
            return;
        };
        let round_s = self.round_s;
        let is_slowest = |c: &Client| c.round_s.total_cmp(&round_s).is_eq();
        if !slowest && !self.lists[next..].iter().flatten().any(|(_, c)| is_slowest(c)) {
            return;
        }
        for (cost, client) in kinds {
            let slowest = slowest || is_slowest(client);
            self.chosen.push(*client);
            self.choose(so_far + cost, slowest);
            self.chosen.pop();
        }
    }
}
