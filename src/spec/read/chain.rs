//! `chains`.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

impl Reader<'_> {
    /// Names of services that a chain gives an objective.
    pub(super) fn chained_services(root: &At<'_>) -> BTreeSet<String> {
        let steps = root.key("chains").entries().into_iter().flat_map(|(_, at)| at.key("steps").items());
        steps.filter_map(|at| at.get(crate::spec::chain::step)).flatten().collect()
    }

    /// `chains`; each service of one gets its part of the objective.
    pub(super) fn chains(
        &mut self,
        root: &At<'_>,
        services: &mut BTreeMap<String, Service>,
    ) -> BTreeMap<String, Chain> {
        let mut chains = BTreeMap::new();
        let mut taken: BTreeMap<String, Pointer> = BTreeMap::new();
        for (name, at) in root.key("chains").entries() {
            let steps = at.key("steps");
            let mut known = true;
            for step in steps.items() {
                known &= step.get(crate::spec::chain::step).is_some();
                for service in step.get(crate::spec::chain::step).into_iter().flatten() {
                    known &= self.in_one_chain(root, &step.pointer, &service, services, &mut taken);
                }
            }
            let between = at.key("between");
            let e2e = at.key("slo").key("e2e");
            let steps: Vec<Vec<String>> =
                steps.items().iter().filter_map(|step| step.get(crate::spec::chain::step)).collect();
            let Some((quantile, limit)) = self.end_to_end(&e2e) else { continue };
            let Some(limit_ms) = limit.quantity(Unit::Duration, Range::POSITIVE) else { continue };
            let between_ms = between.quantity(Unit::Duration, Range::NOT_NEGATIVE).unwrap_or(0.0);
            let chain =
                Chain { name: name.to_owned(), steps, between_ms, quantile, limit_ms, at: limit.pointer };
            if chain.services().count() < 2 && known {
                self.report(
                    &at.key("steps").pointer,
                    true,
                    Problem::new(
                        "useless-key",
                        format!("`{}` has fewer than two services", at.pointer.dotted()),
                        "no chain",
                        "state the objective in the service's own `slo`",
                    ),
                );
                continue;
            }
            if chain.left_ms() <= 0.0 && known {
                self.report(
                    &between.pointer,
                    false,
                    Problem::new(
                        "out-of-range",
                        "nothing of the limit is left for the steps",
                        format!("must be below {}", Unit::Duration.format(limit_ms)),
                        "raise the limit, or lower `between`",
                    ),
                );
                continue;
            }
            if known {
                let (quantile, limit_ms) = (chain.part_quantile(), chain.equal_ms());
                for service in chain.services() {
                    if let Some(service) = services.get_mut(service) {
                        let at = chain.at.clone();
                        service.slo.e2e.push(Objective { quantile: Some(quantile), limit_ms, at });
                        let by = |o: &Objective| o.quantile.unwrap_or(0.0);
                        service.slo.e2e.sort_by(|a, b| by(a).total_cmp(&by(b)));
                    }
                }
                chains.insert(name.to_owned(), chain);
            }
        }
        chains
    }

    /// The one percentile of a chain and its limit.
    fn end_to_end<'v>(&mut self, at: &At<'v>) -> Option<(f64, At<'v>)> {
        let mut all = at.entries().into_iter();
        let (first, second) = (all.next()?, all.next());
        let quantile = shape::quantile(first.0).ok()?;
        if let Some((_, second)) = second {
            self.report(
                &second.pointer,
                true,
                Problem::new(
                    "not-supported-yet",
                    "several percentiles of a chain",
                    "not supported yet",
                    "keep the one that matters most",
                ),
            );
            return None;
        }
        if quantile.is_none() {
            self.report(
                &first.1.pointer,
                true,
                Problem::new(
                    "not-supported-yet",
                    "the mean of a chain",
                    "not supported yet",
                    "write a percentile, such as `p95`",
                ),
            );
        }
        Some((quantile?, first.1))
    }

    /// Whether a step names a service that is there, in no other step, and without an end-to-end objective of its own.
    fn in_one_chain(
        &mut self,
        root: &At<'_>,
        step: &Pointer,
        service: &str,
        services: &BTreeMap<String, Service>,
        taken: &mut BTreeMap<String, Pointer>,
    ) -> bool {
        let own = root.key("services").key(service);
        if !own.is_there() {
            let written = root.key("services").entries();
            let names: Vec<&str> = written.iter().map(|(name, _)| *name).collect();
            let help = leaf::suggest(service, names, "services");
            self.report(
                step,
                false,
                Problem::new(
                    "unknown-reference",
                    format!("there is no service `{service}`"),
                    "not in `services`",
                    help,
                ),
            );
            return false;
        }
        if let Some(first) = taken.insert(service.to_owned(), step.clone()) {
            self.report(
                step,
                false,
                Problem::new(
                    "not-supported-yet",
                    format!("`{service}` in two steps: it is in `{}` already", first.dotted()),
                    "not supported yet",
                    "declare a service for each step, of the same model",
                ),
            );
            return false;
        }
        if own.key("profile").is_there() {
            let what = format!("a service with a `profile` in a chain: `{service}`");
            let help = "nothing is known of how long its requests take: leave it out, or give it a `model`";
            self.report(step, false, leaf::not_yet(&what, help));
            return false;
        }
        let e2e = own.key("slo").key("e2e");
        if e2e.is_there() {
            self.report(
                &e2e.pointer,
                true,
                Problem::new(
                    "conflicting-keys",
                    format!("what `{service}` may take follows from its chain"),
                    "one of the two",
                    "remove it: the chain's objective is split over its services",
                ),
            );
            return false;
        }
        let measured_at = own.key("slo").key("measured_at");
        if matches!(measured_at.word(), Some("engine" | "gateway")) {
            self.report(
                &measured_at.pointer,
                false,
                Problem::new(
                    "not-supported-yet",
                    format!("a step of a chain that is measured elsewhere than at the client: `{service}`"),
                    "not supported yet",
                    "remove it: the network counts in all of the chain",
                ),
            );
            return false;
        }
        services.contains_key(service)
    }
}
