//! `share_machines`, and what it cannot go with yet.

use std::collections::BTreeMap;

use super::*;

impl Reader<'_> {
    /// What services that share machines cannot have yet.
    pub(super) fn shared_machines(&mut self, root: &At<'_>, services: &BTreeMap<String, Service>) {
        for (name, service) in services.iter().filter(|(_, s)| s.shares) {
            let at = root.key("services").key(name);
            let sharing = at.key("share_machines").pointer;
            if service.scaling.mode == ScalingMode::Horizontal {
                self.report(
                    &sharing,
                    false,
                    Problem::new(
                        "not-supported-yet",
                        "`within-deployment` with `scaling.mode: horizontal`",
                        "not supported yet",
                        "a shared machine cannot be stopped while others need it: write `never`, or scale `fixed`",
                    ),
                );
            }
            let own = root.key("budget").key("per").key(&format!("services.{name}"));
            if own.is_there() {
                self.report(
                    &own.pointer,
                    false,
                    Problem::new(
                        "not-supported-yet",
                        format!("a budget of its own for `services.{name}`, which shares machines"),
                        "not supported yet",
                        "which part of a shared machine is its own depends on the others: write \
                         `share_machines: never`, or limit everything by `budget.monthly`",
                    ),
                );
            }
        }
    }
}
