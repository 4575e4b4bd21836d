//! What a plan says beside its changes: budget and warnings; and what is wanted, from its graph.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money, Resource, ResourceAddr};

use super::{BudgetLine, Desired};
use crate::graph::Graph;
use crate::placement::{Placement, QuotaNeed};
use crate::spec::{BudgetBinds, Spec};

/// What is wanted. Keys of such a graph are resource addresses; anything else in it is left out.
pub fn desired(graph: &Graph<Resource>) -> Desired {
    let addr = |key: &str| ResourceAddr::parse(key).ok();
    graph
        .keys()
        .filter_map(|key| {
            let needs = graph.dependencies(key).into_iter().filter_map(addr).collect();
            Some((addr(key)?, (graph.get(key)?.clone(), needs)))
        })
        .collect()
}

/// The total monthly budget, if one is declared, and the figure that it limits.
pub fn budget(spec: &Spec, placement: &Placement) -> Option<BudgetLine> {
    let limit = spec.budget.monthly.as_ref()?.limit;
    let costs = placement.workloads.values().map(|w| &w.cost);
    let (binds, figure): (&str, Money) = match spec.budget.binds {
        BudgetBinds::Expected => ("expected", costs.map(|c| c.expected_per_month).sum()),
        BudgetBinds::PeakMonth => ("peak_month", costs.map(|c| c.peak_per_month).sum()),
        BudgetBinds::Ceiling => ("ceiling", costs.map(|c| c.ceiling_per_month).sum()),
    };
    Some(BudgetLine { limit, binds: binds.to_owned(), figure })
}

/// What the reader of a plan must know before anything else: bounds that the workloads break together,
/// and quotas of which a new account has too little.
pub fn warnings(placement: &Placement) -> Vec<String> {
    let mut warnings: Vec<String> =
        placement.joint_violations.iter().map(|v| format!("{}: {}", v.constraint, v.reason)).collect();
    let mut needs: BTreeMap<(Cloud, &str, &str), (&QuotaNeed, f64)> = BTreeMap::new();
    let of_fleets = placement.fleets.iter().flat_map(|f| &f.quotas);
    for quota in placement.workloads.values().flat_map(|w| &w.quotas).chain(of_fleets) {
        let key = (quota.cloud, quota.region.as_str(), quota.code.as_str());
        needs.entry(key).or_insert((quota, 0.0)).1 += quota.amount;
    }
    for (quota, amount) in needs.into_values() {
        let Some(has) = quota.default_new_account.filter(|has| quota.declared.is_none() && *has < amount)
        else {
            continue;
        };
        warnings.push(format!(
            "quota {} ({}) in {}/{}: {amount} {} needed, not verified, and a new account has {has}",
            quota.code, quota.name, quota.cloud, quota.region, quota.unit
        ));
    }
    warnings
}
