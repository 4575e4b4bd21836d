//! What the limits are that workloads share, and which of them a placement breaks.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money};

use crate::placement::{Emissions, JointViolation, SharedFleet, WorkloadPlacement};
use crate::spec::{BudgetBinds, BudgetScope, Spec};

/// A number without trailing zeros, to the cent.
pub(super) fn figure(x: f64) -> String {
    format!("{}", crate::math::round_to(x, 2))
}

/// What a budget limits of a placed workload, a month.
pub(in super::super) fn limited(spec: &Spec, placed: &WorkloadPlacement) -> Money {
    match spec.budget.binds {
        BudgetBinds::Ceiling => placed.cost.ceiling_per_month,
        BudgetBinds::PeakMonth => placed.cost.peak_per_month,
        BudgetBinds::Expected => placed.cost.expected_per_month,
    }
}

/// Bounds that the workloads break together.
pub(in super::super) fn joint(
    spec: &Spec,
    workloads: &BTreeMap<String, WorkloadPlacement>,
    fleets: &[SharedFleet],
    emissions: &Emissions,
) -> Vec<JointViolation> {
    let mut violations = Vec::new();
    if let Some(cap) = &spec.budget.carbon {
        let emitted = emissions.known();
        if emitted > cap.mg {
            let kg = |mg: i64| figure(mg as f64 / 1e6);
            let reason = format!("{} kg of CO2e a month together, the cap is {}", kg(emitted), kg(cap.mg));
            violations.push(JointViolation { constraint: "carbon", reason, at: Some(cap.at.clone()) });
        }
    }
    // A workload's own budget bound its own search; that of a service in parts is one of several workloads.
    let several = |scope: &BudgetScope| scope.workload().is_none_or(|own| !workloads.contains_key(own));
    for (scope, budget) in spec.budget.limits.iter().filter(|(scope, _)| several(scope)) {
        let counted = || workloads.iter().filter(|(address, _)| scope.covers(spec, address));
        let total: Money = counted().map(|(_, w)| limited(spec, w)).sum();
        if total <= budget.limit {
            continue;
        }
        let parts: Vec<String> = counted().map(|(a, w)| format!("{a} {}", limited(spec, w))).collect();
        let of = if *scope == BudgetScope::All { String::new() } else { format!(" for {scope}") };
        violations.push(JointViolation {
            constraint: "budget",
            reason: format!(
                "{total} USD a month together ({}), the budget{of} is {}: {} too much",
                parts.join(", "),
                budget.limit,
                total - budget.limit
            ),
            at: Some(budget.at.clone()),
        });
    }
    type Taken<'a> = (f64, f64, Vec<&'a str>);
    let mut taken: BTreeMap<(Cloud, &str, &str), Taken<'_>> = BTreeMap::new();
    let own = workloads.iter().map(|(address, w)| (address.as_str(), &w.quotas));
    for (address, quotas) in own.chain(fleets.iter().map(|f| (f.addr.as_str(), &f.quotas))) {
        for q in quotas {
            let Some(limit) = q.declared else { continue };
            let entry = taken.entry((q.cloud, &q.region, &q.code)).or_insert((0.0, limit, Vec::new()));
            entry.0 += q.amount;
            entry.2.push(address);
        }
    }
    for ((cloud, region, code), (amount, limit, by)) in taken {
        if amount > limit + 1e-9 {
            violations.push(JointViolation {
                constraint: "quota",
                reason: format!(
                    "quota {code} in {cloud}/{region}: {amount} needed by {}, {limit} declared",
                    by.join(", ")
                ),
                at: spec.limit_at(cloud, region, code),
            });
        }
    }
    violations
}
