//! `budget`, whose labels must be those of workloads.

use std::collections::{BTreeMap, BTreeSet};

use super::super::units::money;
use super::*;

/// Addresses of workloads.
type Addresses = BTreeSet<String>;

/// All workloads by name.
type Workloads<'a> = (
    &'a BTreeMap<String, Service>,
    &'a BTreeMap<String, Profiled>,
    &'a BTreeMap<String, Batch>,
    &'a BTreeMap<String, Training>,
    &'a BTreeMap<String, Pipeline>,
    &'a BTreeMap<String, Federation>,
);

impl Reader<'_> {
    /// The limits. What is left out of the result has been reported.
    pub(super) fn budget(
        &mut self,
        root: &At<'_>,
        (services, profiled, batches, trainings, pipelines, federations): Workloads<'_>,
    ) -> Budget {
        let at = root.key("budget");
        let own = services.iter().map(|(name, s)| (format!("services.{name}"), &s.labels));
        let own = own.chain(profiled.iter().map(|(name, p)| (format!("services.{name}"), &p.labels)));
        let own = own.chain(batches.iter().map(|(name, b)| (format!("batches.{name}"), &b.labels)));
        let own = own.chain(trainings.iter().map(|(name, t)| (format!("trainings.{name}"), &t.labels)));
        let own = own.chain(pipelines.iter().map(|(name, p)| (format!("pipelines.{name}"), &p.labels)));
        let own = own.chain(federations.iter().map(|(name, f)| (format!("federations.{name}"), &f.labels)));
        let mut carriers: BTreeMap<&str, BTreeMap<&str, Addresses>> = BTreeMap::new();
        let mut all = Addresses::new();
        for (address, labels) in own {
            for (key, value) in labels {
                carriers.entry(key).or_default().entry(value).or_default().insert(address.clone());
            }
            all.insert(address);
        }
        let mut limits = BTreeMap::new();
        let mut limit = |scope: BudgetScope, at: At<'_>| {
            if let Some(limit) = at.get(money) {
                limits.insert(scope, BudgetLimit { limit, at: at.pointer });
            }
        };
        limit(BudgetScope::All, at.key("monthly"));
        for (address, at) in at.key("per").entries() {
            limit(BudgetScope::Workload(address.to_owned()), at);
        }
        for (key, values) in at.key("by_label").entries() {
            for (value, at) in values.entries() {
                limit(BudgetScope::Label { key: key.to_owned(), value: value.to_owned() }, at);
            }
        }
        let written = crate::spec::WORKLOADS.map(|kind| root.key(kind).entries().len());
        // The labels of a workload that could not be read are not known.
        if written.iter().sum::<usize>() == all.len() {
            self.carried(&at.key("by_label"), &carriers);
        }
        self.limited_twice(&limits, &carriers, &all);
        let binds = match at.key("binds").word() {
            Some("expected") => BudgetBinds::Expected,
            Some("peak_month") => BudgetBinds::PeakMonth,
            _ => BudgetBinds::Ceiling,
        };
        let carbon = at.key("carbon");
        let tonnes = carbon.quantity(Unit::Emissions, Range::POSITIVE);
        // Less than a milligram is nothing.
        let cap = tonnes.map(|t| CarbonCap {
            mg: ((t * 1e9).round() as i64).clamp(1, i64::MAX / 1024),
            at: carbon.pointer,
        });
        Budget { limits, carbon: cap, binds }
    }

    /// A limit on a label that nothing carries limits nothing, which nobody means.
    fn carried(&mut self, at: &At<'_>, carriers: &BTreeMap<&str, BTreeMap<&str, Addresses>>) {
        let nobody = |what: &str, help| {
            let message = format!("no workload carries the label `{what}`");
            Problem::new("unknown-label", message, "carried by nothing", help)
        };
        for (key, values) in at.entries() {
            let Some(known) = carriers.get(key) else {
                let help = leaf::suggest(key, carriers.keys().copied(), "labels");
                self.report(&values.pointer, true, nobody(key, help));
                continue;
            };
            for (value, at) in values.entries().into_iter().filter(|(value, _)| !known.contains_key(value)) {
                let help = leaf::suggest(value, known.keys().copied(), &format!("values of `{key}`"));
                self.report(&at.pointer, true, nobody(&format!("{key}: {value}"), help));
            }
        }
    }

    /// Of two limits on the same workloads the higher one says nothing.
    fn limited_twice(
        &mut self,
        limits: &BTreeMap<BudgetScope, BudgetLimit>,
        carriers: &BTreeMap<&str, BTreeMap<&str, Addresses>>,
        all: &Addresses,
    ) {
        let covered = |scope: &BudgetScope| match scope {
            BudgetScope::All => all.clone(),
            BudgetScope::Workload(address) => Addresses::from([address.clone()]),
            BudgetScope::Label { key, value } => carriers
                .get(key.as_str())
                .and_then(|values| values.get(value.as_str()))
                .cloned()
                .unwrap_or_default(),
        };
        let mut before: BTreeMap<Addresses, &BudgetLimit> = BTreeMap::new();
        for (scope, limit) in limits {
            let set = covered(scope);
            match before.get(&set) {
                Some(other) if scope.label().is_some() && !set.is_empty() => {
                    let message = format!(
                        "`{}` limits the same workloads as `{}`",
                        limit.at.dotted(),
                        other.at.dotted()
                    );
                    self.problems.push(
                        Diagnostic::warning("limited-twice", message)
                            .at_key(self.map, &limit.at)
                            .label("the same workloads")
                            .help("the lower of the two holds: remove the other"),
                    );
                }
                _ => drop(before.insert(set, limit)),
            }
        }
    }
}
