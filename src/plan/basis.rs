//! What a plan says beside its changes: budget and warnings; and what is wanted, from its graph.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money, Resource, ResourceAddr};

use super::{BudgetLine, Desired};
use crate::graph::Graph;
use crate::placement::{Cost, Placement, QuotaNeed};
use crate::spec::{BudgetBinds, BudgetLimit, BudgetScope, Spec};
use crate::state::State;

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

/// Every monthly budget, in the order of the spec's limits, and the figure that it limits.
pub fn budgets(spec: &Spec, placement: &Placement) -> Vec<BudgetLine> {
    let binds = match spec.budget.binds {
        BudgetBinds::Expected => "expected",
        BudgetBinds::PeakMonth => "peak_month",
        BudgetBinds::Ceiling => "ceiling",
    };
    let line = |(scope, budget): (&BudgetScope, &BudgetLimit)| {
        let counted = placement.workloads.iter().filter(|(address, _)| scope.covers(spec, address));
        let costs: Vec<&Cost> = counted.map(|(_, w)| &w.cost).collect();
        let sum = |of: fn(&Cost) -> Money| -> Money { costs.iter().map(|cost| of(cost)).sum() };
        let expected = sum(|cost| cost.expected_per_month);
        // Where hours of less load have other machines, the ceiling alone might be less.
        let figure = match spec.budget.binds {
            BudgetBinds::Expected => expected,
            BudgetBinds::PeakMonth => sum(|cost| cost.peak_per_month).max(expected),
            BudgetBinds::Ceiling => sum(|cost| cost.ceiling_per_month).max(expected),
        };
        BudgetLine {
            workload: scope.workload().map(str::to_owned),
            label: scope.label(),
            limit: budget.limit,
            binds: binds.to_owned(),
            figure,
        }
    };
    spec.budget.limits.iter().map(line).collect()
}

/// What the reader of a plan must know before anything else: bounds that the workloads break together,
/// and quotas of which a new account has too little.
pub fn warnings(placement: &Placement) -> Vec<String> {
    warnings_beside(placement, None)
}

/// What the reader of a plan must know of the state that it was made against.
pub fn warnings_of_state(state: &State) -> Vec<String> {
    let simulated = state
        .simulated
        .then(|| "SIMULATED: the state is of a simulated cloud; nothing of what it says exists".to_owned());
    let open = state.open.len();
    let cut_off = (open > 0).then(|| {
        format!(
            "an earlier apply was cut off: how {open} of its calls ended is not known; `apply` finds that out first, and then plans anew"
        )
    });
    simulated.into_iter().chain(cut_off).collect()
}

/// The same of another placement than that of the plan, without what is said of `own` already: quotas of which the other needs no
/// more.
pub fn warnings_beside(placement: &Placement, own: Option<&Placement>) -> Vec<String> {
    let mut warnings: Vec<String> =
        placement.joint_violations.iter().map(|v| format!("{}: {}", v.constraint, v.reason)).collect();
    let own = own.map(needs).unwrap_or_default();
    for (place, (quota, amount)) in needs(placement) {
        if own.get(&place).is_some_and(|(_, known)| *known >= amount) {
            continue;
        }
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

/// What is needed of a quota, by cloud, region and code.
type Needs<'p> = BTreeMap<(Cloud, &'p str, &'p str), (&'p QuotaNeed, f64)>;

fn needs(placement: &Placement) -> Needs<'_> {
    let mut needs = Needs::new();
    let of_fleets = placement.fleets.iter().flat_map(|f| &f.quotas);
    for quota in placement.workloads.values().flat_map(|w| &w.quotas).chain(of_fleets) {
        let key = (quota.cloud, quota.region.as_str(), quota.code.as_str());
        needs.entry(key).or_insert((quota, 0.0)).1 += quota.amount;
    }
    needs
}
