//! The search for a service at other prices than those of the catalogue.

use std::cell::Cell;
use std::sync::Arc;

use rhumb_api::Money;

use super::base::Base;
use super::fates::Fates;
use super::pool::{Count, Terms, weights_gib};
use super::service::{Chosen, Search};

impl<'a> Search<'a> {
    /// The same search with every price at its ceiling: spot bought on demand.
    pub fn at_ceiling(&self) -> Self {
        self.at(|_, terms| terms.spot = terms.spot.map(|spot| terms.on_demand.unwrap_or(spot)), |price| price)
    }

    /// The same search at other prices: those of a site, and that of a GiB to the internet.
    pub fn at(&self, mut of: impl FnMut(usize, &mut Terms), internet: impl Fn(Money) -> Money) -> Self {
        let mut terms = self.terms.clone();
        terms.iter_mut().enumerate().for_each(|(site, terms)| of(site, terms));
        Search {
            job: self.job,
            table: self.table,
            service: self.service,
            hops: Arc::clone(&self.hops),
            terms,
            internet: self.internet.iter().map(|price| price.map(&internet)).collect(),
            fates: Fates::new(self.table),
            needs: Arc::clone(&self.needs),
            known: Arc::clone(&self.known),
            budgets: self.budgets.clone(),
            unproven: Cell::new(false),
            relaxed: Cell::new(Money::ZERO),
        }
    }

    /// A pool that was chosen at other prices, at the prices of this search.
    pub fn own(&self, base: &Base<'a>, regions: u32, chosen: &Chosen) -> Option<Chosen> {
        let site = self.table.sites.get(chosen.site)?;
        let way = self.table.machines[site.machine].ways.get(chosen.way)?;
        let index = *way.speed.as_ref().ok()?;
        let ms = base.network.get(site.region).copied().flatten()?;
        let needs = self.needs(base, regions, ms, index);
        let terms = &self.terms[chosen.site];
        let Count { machines, spot, replicas, .. } = chosen.count;
        let (price, ceiling) = terms.price(machines, spot)?;
        let gib = weights_gib(&self.table.speeds[index], way);
        let more = terms.copying(gib, machines) + self.responses(base, site.region, needs.rate(replicas));
        let count = Count { cost: price + more, ceiling: ceiling + more, ..chosen.count };
        Some(Chosen { count, ..*chosen })
    }
}
