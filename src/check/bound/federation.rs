//! The least that a month of a federation's runs can cost, over every aggregator, and every machine of each site that takes part.

use rhumb_api::{Cloud, Money};

use super::super::federation::{Gathers, mbps, round_limit, stands, starts};
use super::super::subject::Work;
use super::LeastRun;
use super::field::{self, Site};
use super::pool::within_quotas;
use super::prices::{Costs, Prices, SCALE};
use crate::catalog::TransferTo;
use crate::placement::World;
use crate::spec::{Federation, Spec};

/// Rounding of what is compared with a limit.
const EXACT: f64 = 1.0 + 1e-12;

/// A machine of a site with an aggregator: its site of the clients', and the seconds of its round.
#[derive(Clone, Copy)]
struct Client {
    site: usize,
    round_s: f64,
}

/// An aggregator and who keeps the deadline with it.
struct Gathering {
    site: usize,
    start_s: f64,
    clients: Vec<Vec<Client>>,
}

/// Everything on sale that the members of a federation may be.
pub(super) struct Field<'a> {
    world: &'a World,
    asked: &'a Federation,
    aggregators: Vec<Site>,
    clients: Vec<Site>,
    /// Those with which the most sites keep the deadline.
    gatherings: Vec<Gathering>,
    /// Offerings of the catalogue, as aggregators and as clients.
    pub all: u64,
    /// Those that may be a member.
    pub running: u64,
}

impl<'a> Field<'a> {
    pub fn of(spec: &Spec, world: &'a World, work: &Work<'_>, asked: &'a Federation) -> Self {
        let catalog = &world.catalog;
        let all = 2 * catalog.offerings.iter().filter(|o| field::exists_for(work, o)).count() as u64;
        let aggregators = field::sites(spec, world, work);
        let clients = work.clients().map_or_else(Vec::new, |work| field::sites(spec, world, &work));
        let mut gatherings = Vec::new();
        for (i, site) in aggregators.iter().enumerate() {
            let kind = &catalog.instance_types[site.instance_type];
            let Ok(gathers) = Gathers::on(asked, kind) else { continue };
            if site.base.is_none() || within_quotas(site, 1, 0, 0).is_none() {
                continue;
            }
            gatherings.push(gathered((spec, world, asked), &clients, i, starts(kind), &gathers));
        }
        let most = gatherings.iter().map(|g| g.clients.len()).max().unwrap_or(0);
        gatherings.retain(|g| g.clients.len() == most && most >= asked.min_sites as usize);
        let running = gatherings.len() as u64 + clients.len() as u64;
        Field { world, asked, aggregators, clients, gatherings, all, running }
    }

    /// The least at these prices; `None` if too few take part. Budgets are left out.
    pub fn least(&self, prices: &Prices) -> Option<LeastRun> {
        let mut best: Option<(i128, Money, String)> = None;
        for gathering in &self.gatherings {
            let mut longest: Vec<f64> = gathering.clients.iter().flatten().map(|c| c.round_s).collect();
            longest.sort_unstable_by(f64::total_cmp);
            longest.dedup();
            for round_s in longest {
                let Some((priced, month)) = self.priced(prices, gathering, round_s) else { continue };
                if best.as_ref().is_none_or(|(b, ..)| priced < *b) {
                    let site = &self.aggregators[gathering.site];
                    let kind = &self.world.catalog.instance_types[site.instance_type];
                    let at = &self.world.catalog.regions[site.region];
                    let n = gathering.clients.len();
                    let words = format!(
                        "{n} clients of {}/{}/{}, {round_s:.1} s a round",
                        at.cloud, at.id, kind.name
                    );
                    best = Some((priced, month, words));
                }
            }
        }
        best.map(|(priced, counted, words)| LeastRun { priced, counted, words })
    }

    /// A month at the prices, and in dollars, where no round is longer than that and each site has the cheapest that is not.
    fn priced(&self, prices: &Prices, g: &Gathering, round_s: f64) -> Option<(i128, Money)> {
        let asked = self.asked;
        let runs = asked.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
        let hours = (g.start_s + f64::from(asked.rounds) * round_s) / 3600.0;
        let beside = |site: &Site| prices.tolls(self.world, site).0 + prices.runs(site, 1, hours, runs, true);
        let counted = |site: &Site| {
            let month = site.base.unwrap_or(Money::ZERO).scale(hours * runs);
            prices.month(Costs::same(month)) + beside(site)
        };
        let aggregator = &self.aggregators[g.site];
        let (mut hourly, mut more) = (aggregator.base?, beside(aggregator));
        for kinds in &g.clients {
            let in_time = kinds.iter().filter(|c| c.round_s <= round_s).map(|c| &self.clients[c.site]);
            let cheapest = in_time.min_by_key(|site| counted(site))?;
            hourly += cheapest.base?;
            more += beside(cheapest);
        }
        let sent = asked.update_gib * g.clients.len() as f64 * f64::from(asked.rounds);
        let price = self.world.catalog.transfer_price(aggregator.region, TransferTo::Internet)?;
        let month = (hourly.scale(hours) + price.usd_per_gib.scale(sent)).scale(runs);
        // Which machine is cheapest was compared in rounded months.
        let rounded =
            (g.clients.len() as i128 + 1) * SCALE * i128::from(g.clients.iter().any(|k| k.len() > 1));
        Some((prices.month(Costs::same(month)) + more - rounded, month))
    }
}

fn gathered(
    (spec, world, asked): (&Spec, &World, &Federation),
    clients: &[Site],
    site: usize,
    start_s: f64,
    gathers: &Gathers,
) -> Gathering {
    let catalog = &world.catalog;
    let mut start_s = start_s;
    let all: Vec<_> = asked.sites.iter().map(|name| (name, stands(spec, world, asked, name))).collect();
    for machine in all.iter().flat_map(|(_, there)| there) {
        start_s = start_s.max(starts(&catalog.instance_types[machine.kind]));
    }
    let limit = round_limit(asked, start_s);
    let mut taking = Vec::new();
    for (name, there) in &all {
        let Some(mbps) = mbps(spec, name) else { continue };
        let mut kinds = Vec::new();
        for machine in there {
            let (round_s, _) = gathers.round(asked, mbps, machine.local_s);
            let here = |s: &Site| {
                let at = &catalog.regions[s.region];
                s.instance_type == machine.kind && at.cloud == Cloud::Site && at.id == **name
            };
            if let Some(site) = clients.iter().position(here).filter(|_| round_s <= limit * EXACT) {
                kinds.push(Client { site, round_s });
            }
        }
        if !kinds.is_empty() {
            taking.push(kinds);
        }
    }
    Gathering { site, start_s, clients: taking }
}
