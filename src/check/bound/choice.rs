//! The choice among the plans of every service as a problem for other solvers: what each costs, and what it takes of the limits
//! that all share.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money};

use super::super::shared;
use super::super::subject::{self, Kind, Work};
use super::super::{carbon, day};
use super::field::Field;
use super::prices::Prices;
use super::service::Search;
use super::shares;
use crate::placement::World;
use crate::spec::{BudgetBinds, BudgetScope, Spec};

/// A plan of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Micro-dollars a month.
    pub cost: i64,
    /// Index into [`Choice::limits`] and what is taken of it, more than nothing, in the order of the limits.
    pub uses: Vec<(usize, i64)>,
}

/// One plan of each service is to be chosen, within the limits, at the least cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Name, and how much there is: micro-dollars a month of a budget, millionths of a quota's unit.
    pub limits: Vec<(String, i64)>,
    /// Address of a service to its plans, cheapest first, without those that another one beats in cost and all limits.
    pub services: Vec<(String, Vec<Column>)>,
    /// Plans before those were left out.
    pub plans: u64,
}

/// The problem of a deployment over the plans of a single pool, by the closed form of capacity.
///
/// # Errors
/// In words: a workload that such plans cannot stand for (a batch, a training, spot, a region that may fail, shared machines, pools that follow the
/// day, too many origins), or without any plan.
pub fn choice(spec: &Spec, world: &World) -> Result<Choice, String> {
    if carbon::counts(spec) {
        return Err("emissions count, of which its limits know nothing".to_owned());
    }
    if !spec.holds_nothing() {
        return Err("machines are held, of which its plans know nothing".to_owned());
    }
    let mut rows = Rows::default();
    let budgets: Vec<(&BudgetScope, usize)> = spec
        .budget
        .limits
        .iter()
        .map(|(scope, b)| {
            let name = if *scope == BudgetScope::All { "budget".to_owned() } else { scope.to_string() };
            (scope, rows.row(name, b.limit.micros()))
        })
        .collect();
    let (mut services, mut plans) = (Vec::new(), 0);
    for address in subject::addresses(spec) {
        let work = Work::of(spec, world, &address).ok_or_else(|| format!("{address}: unknown model"))?;
        let Kind::Service(service) = work.kind else { return Err(format!("{address}: no service")) };
        if shares(spec, service) {
            return Err(format!("{address}: its replicas may be on machines that others share"));
        }
        if work.purchase.spot_max_share > 0.0 || service.survive.region > 0 || work.rules.spread_regions > 1 {
            return Err(format!("{address}: one pool without spot is not all that it may have"));
        }
        if service.degrade.is_some() {
            return Err(format!("{address}: a pool of a smaller model may stand in"));
        }
        if day::followed(service).is_some() {
            return Err(format!("{address}: its pools follow the load of a day"));
        }
        let counted = budgets.iter().filter(|(scope, _)| shared::binds_on(spec, scope, &address));
        let counted: Vec<usize> = counted.map(|(_, row)| *row).collect();
        let field = Field::of(spec, world, &work);
        let prices = [Prices::of(spec, None, &address)];
        let search = Search::new(world, &work, service, (&field, &[]), &prices, vec![0], false)
            .ok_or_else(|| format!("{address}: too many origins"))?;
        let mut columns = Vec::new();
        for least in search.single() {
            let bound = search.cost(&least, spec.budget.binds).per_month().micros();
            let mut uses: BTreeMap<usize, i64> = counted.iter().map(|row| (*row, bound)).collect();
            for pool in least.blocks.iter().flat_map(|(_, pools)| pools) {
                let site = &field.sites[pool.site];
                let cloud = world.catalog.regions[site.region].cloud;
                for q in &site.quotas {
                    let row = rows.quota(cloud, &q.place, &q.code, q.limit);
                    let each = (q.base * 1e6).round() as i64;
                    let machines = pool.machines + site.beside(pool.machines, 0).0;
                    *uses.entry(row).or_insert(0) += each.saturating_mul(i64::from(machines));
                }
            }
            let cost: Money = search.cost(&least, BudgetBinds::Expected).per_month();
            columns.push(Column {
                cost: cost.micros(),
                uses: uses.into_iter().filter(|(_, n)| *n > 0).collect(),
            });
        }
        plans += columns.len() as u64;
        let kept = unbeaten(columns);
        if kept.is_empty() {
            return Err(format!("{address}: nothing keeps its promises"));
        }
        services.push((address, kept));
    }
    Ok(Choice { limits: rows.limits, services, plans })
}

#[derive(Default)]
struct Rows {
    limits: Vec<(String, i64)>,
    quotas: BTreeMap<(Cloud, String, String), usize>,
}

impl Rows {
    fn row(&mut self, name: String, limit: i64) -> usize {
        self.limits.push((name, limit));
        self.limits.len() - 1
    }

    fn quota(&mut self, cloud: Cloud, place: &str, code: &str, limit: f64) -> usize {
        let key = (cloud, place.to_owned(), code.to_owned());
        if let Some(row) = self.quotas.get(&key) {
            return *row;
        }
        let row = self.row(format!("{cloud}/{place}/{code}"), ((limit + 1e-9) * 1e6).round() as i64);
        self.quotas.insert(key, row);
        row
    }
}

fn unbeaten(mut columns: Vec<Column>) -> Vec<Column> {
    columns.sort_by(|a, b| a.cost.cmp(&b.cost).then_with(|| a.uses.cmp(&b.uses)));
    let of = |c: &Column, row: usize| c.uses.iter().find(|(r, _)| *r == row).map_or(0, |(_, n)| *n);
    let mut kept: Vec<Column> = Vec::new();
    for column in columns {
        if !kept.iter().any(|k| k.uses.iter().all(|(row, n)| *n <= of(&column, *row))) {
            kept.push(column);
        }
    }
    kept
}
