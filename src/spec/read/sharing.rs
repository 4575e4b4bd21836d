//! `share_machines`, and what it cannot go with yet.

use std::collections::BTreeMap;

use super::*;

impl Reader<'_> {
    /// What services that share machines cannot have yet.
    pub(super) fn shared_machines(
        &mut self,
        root: &At<'_>,
        services: &BTreeMap<String, Service>,
        budget: &Budget,
    ) {
        for (name, service) in services.iter().filter(|(_, s)| s.shares) {
            let at = root.key("services").key(name);
            let sharing = at.key("share_machines").pointer;
            if service.scaling.mode == ScalingMode::Horizontal {
                self.report(
                    &sharing,
                    false,
                    Problem::new(
                        "not-supported-yet",
                        format!(
                            "`within-deployment` with `scaling.mode: {}`",
                            at.key("scaling").key("mode").word().unwrap_or("horizontal")
                        ),
                        "not supported yet",
                        "a shared machine cannot be stopped while others need it: write `never`, or scale `fixed`",
                    ),
                );
            }
            for (scope, limit) in &budget.limits {
                let what = match scope {
                    BudgetScope::All => continue,
                    BudgetScope::Workload(address) if address == &format!("services.{name}") => {
                        format!("a budget of its own for `{address}`, which shares machines")
                    }
                    BudgetScope::Label { key, value } if service.labels.get(key) == Some(value) => {
                        format!("a budget of `{scope}`: `services.{name}` carries it and shares machines")
                    }
                    _ => continue,
                };
                self.report(
                    &limit.at,
                    false,
                    Problem::new(
                        "not-supported-yet",
                        what,
                        "not supported yet",
                        "which part of a shared machine is its own depends on the others: write \
                         `share_machines: never`, or limit everything by `budget.monthly`",
                    ),
                );
            }
        }
    }
}
