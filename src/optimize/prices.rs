//! The search for a service at other prices than those of the catalogue.

use std::cell::Cell;
use std::sync::Arc;

use rhumb_api::Money;

use super::base::Base;
use super::pool::{Count, PRICE_ONE, Terms, times, weights_gib};
use super::service::{Chosen, Search};
use crate::spec::BudgetBinds;

impl<'a> Search<'a> {
    /// The same search by the figure that a budget limits in place of what is expected.
    pub fn at_bound(&self, binds: BudgetBinds) -> Self {
        let mut search = self.at(
            |_, terms| {
                if binds == BudgetBinds::Ceiling {
                    terms.spot = terms.spot.map(|spot| terms.on_demand.unwrap_or(spot));
                    terms.beside = (terms.base.unwrap_or(Money::ZERO), terms.spot.unwrap_or(Money::ZERO));
                }
            },
            0,
            0,
        );
        search.flat = binds != BudgetBinds::Expected;
        search
    }

    /// The same search at other prices: those of a site, and what budgets make of a dollar that is expected to be paid and of one that
    /// is paid at the load of the peak, over [`PRICE_ONE`].
    pub fn at(&self, mut of: impl FnMut(usize, &mut Terms), budget: i128, toll: i128) -> Self {
        let mut terms = self.terms.to_vec();
        terms.iter_mut().enumerate().for_each(|(site, terms)| of(site, terms));
        let priced = |price: Money| times(price, PRICE_ONE + budget);
        Search {
            job: self.job,
            table: self.table,
            service: self.service,
            hops: Arc::clone(&self.hops),
            terms: Arc::new(terms),
            own_terms: Arc::clone(&self.own_terms),
            internet: self.internet.iter().map(|price| price.map(priced)).collect(),
            own_internet: Arc::clone(&self.own_internet),
            toll,
            flat: self.flat,
            days: Arc::clone(&self.days),
            rests: Arc::clone(&self.rests),
            fates: self.fates.cleared(),
            needs: Arc::clone(&self.needs),
            stands: self.stands.at_other_prices(),
            known: Arc::clone(&self.known),
            ends: self.ends,
            budgets: self.budgets.clone(),
            unproven: Cell::new(false),
            relaxed: Cell::new(Money::ZERO),
            known_at: Money::MAX,
        }
    }

    /// A pool that was chosen at other prices, at the prices of this search.
    pub fn own(&self, base: &Base<'a>, regions: u32, chosen: &Chosen) -> Option<Chosen> {
        let site = self.table.sites.get(chosen.site)?;
        let way = self.table.machines[site.machine].ways.get(chosen.way)?;
        let index = *way.speed.as_ref().ok()?;
        let ms = base.network.get(site.region).copied().flatten()?;
        let needs = self.needs(base, regions, ms, index);
        let Count { machines, spot, .. } = chosen.count;
        let gib = weights_gib(&self.table.speeds[index], way);
        let extra = |n: u32| self.responses(base, site.region, needs.rate(n));
        let day = self.day(base, regions, (chosen.site, chosen.way)).ok()?;
        let ask = self.ask((chosen.site, chosen.way), 1, &extra, day)?;
        let count = ask.count(machines / way.span.max(1), machines, spot, gib)?;
        let count = match chosen.count.stand_in {
            Some(standing) => self.with_standing(count, standing)?,
            None => count,
        };
        Some(Chosen { count, ..*chosen })
    }
}
