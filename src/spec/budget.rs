//! `budget`: monthly limits, each on what a set of workloads costs.

use std::collections::BTreeMap;

use rhumb_api::Money;

use super::Spec;
use crate::diagnostic::Pointer;

/// `budget`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Budget {
    /// `monthly`, `per` and `by_label`: all hold at once.
    pub limits: BTreeMap<BudgetScope, BudgetLimit>,
    /// `carbon`: what everything may emit.
    pub carbon: Option<CarbonCap>,
    /// `binds`.
    pub binds: BudgetBinds,
}

/// A monthly limit on emissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarbonCap {
    /// Milligrams of CO2e a month of 730 expected hours, more than 0.
    pub mg: i64,
    /// Where it was written.
    pub at: Pointer,
}

/// Which workloads a limit is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BudgetScope {
    /// `monthly`: all of them.
    All,
    /// `per.ADDRESS`: one.
    Workload(String),
    /// `by_label.KEY.VALUE`: all that carry the label.
    Label {
        /// Its name: `team`.
        key: String,
        /// Its value: `search`.
        value: String,
    },
}

/// A monthly limit.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetLimit {
    /// Dollars a month of 730 hours.
    pub limit: Money,
    /// Where it was written.
    pub at: Pointer,
}

/// Which figure budgets limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BudgetBinds {
    /// Profile-weighted cost.
    Expected,
    /// A month that is all peak.
    PeakMonth,
    /// Every pool at its largest and spot lost to on-demand.
    #[default]
    Ceiling,
}

impl BudgetScope {
    /// The label, `KEY=VALUE` in parts.
    pub fn label(&self) -> Option<(String, String)> {
        match self {
            BudgetScope::Label { key, value } => Some((key.clone(), value.clone())),
            _ => None,
        }
    }

    /// The one workload.
    pub fn workload(&self) -> Option<&str> {
        match self {
            BudgetScope::Workload(address) => Some(address),
            _ => None,
        }
    }

    /// Whether the limit counts what a workload of `spec` costs.
    pub fn covers(&self, spec: &Spec, address: &str) -> bool {
        match self {
            BudgetScope::All => true,
            BudgetScope::Workload(own) => *own == spec.whole_of(address),
            BudgetScope::Label { key, value } => {
                spec.labels_of(address).is_some_and(|labels| labels.get(key) == Some(value))
            }
        }
    }

    /// Whether what it limits of a workload is anything: of the hours below those of another part a month that is all peak, and the ceiling,
    /// have nothing.
    pub fn binds(&self, spec: &Spec, address: &str) -> bool {
        let nothing = spec.budget.binds != BudgetBinds::Expected && spec.is_below_the_peak(address);
        !nothing && self.covers(spec, address)
    }
}

/// `all workloads`, `services.chat`, `team=search`.
impl std::fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BudgetScope::All => f.write_str("all workloads"),
            BudgetScope::Workload(address) => f.write_str(address),
            BudgetScope::Label { key, value } => write!(f, "{key}={value}"),
        }
    }
}

impl Spec {
    /// The labels of a workload, those of the deployment among them.
    pub fn labels_of(&self, address: &str) -> Option<&BTreeMap<String, String>> {
        match address.split_once('.')? {
            ("services", name) => {
                let own = self.services.get(name).map(|s| &s.labels);
                own.or_else(|| self.profiled.get(name).map(|p| &p.labels))
            }
            ("batches", name) => self.batches.get(name).map(|b| &b.labels),
            ("trainings", name) => self.trainings.get(name).map(|t| &t.labels),
            ("pipelines", name) => self.pipelines.get(name).map(|p| &p.labels),
            ("federations", name) => self.federations.get(name).map(|f| &f.labels),
            _ => None,
        }
    }

    /// The limits that count what a workload costs.
    pub fn budgets_of<'s>(
        &'s self,
        address: &'s str,
    ) -> impl Iterator<Item = (&'s BudgetScope, &'s BudgetLimit)> {
        self.budget.limits.iter().filter(move |(scope, _)| scope.covers(self, address))
    }
}
