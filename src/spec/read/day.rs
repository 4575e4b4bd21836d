//! `traffic.daily` and `traffic.weekend`, and the pools that follow them.

use std::collections::BTreeMap;

use super::*;
use crate::spec::{PEAK_SHARE, day};

impl Reader<'_> {
    /// The profile of a service's traffic.
    pub(super) fn daily(&mut self, traffic: &At<'_>) -> Option<Daily> {
        let (daily, zone) = (traffic.key("daily"), traffic.key("time_zone"));
        if zone.is_there() && !daily.is_there() {
            self.report(
                &zone.pointer,
                true,
                Problem::new(
                    "useless-key",
                    "`time_zone` has no meaning without `daily`",
                    "changes nothing here",
                    "add `daily`, or remove `time_zone`",
                ),
            );
        }
        let typed = traffic.key("weekend");
        if typed.is_there() && !daily.is_there() {
            self.report(
                &typed.pointer,
                false,
                Problem::new(
                    "missing-key",
                    "`weekend` says how Saturday and Sunday differ, but nothing says what the other days are",
                    "differ from what?",
                    "add `daily`, the shares of Monday to Friday",
                ),
            );
        }
        let (name, shares) = daily.get(day::shares)?;
        let weekend = typed.get(day::weekend).map(|weekend| weekend.beside(&shares));
        let mut all = shares.iter().chain(weekend.iter().flatten());
        if all.all(|share| *share < PEAK_SHARE) {
            self.report(&daily.pointer, false, day::without_peak());
            return None;
        }
        if weekend == Some(shares) {
            self.report(
                &typed.pointer,
                true,
                Problem::new(
                    "useless-key",
                    "`weekend` has the same shares as `daily`",
                    "changes nothing here",
                    "without `weekend` every day is alike: remove it",
                ),
            );
        }
        let time_zone = zone.get(day::time_zone).unwrap_or_else(|| "UTC".to_owned());
        Some(Daily { name, shares, weekend, time_zone, at: daily.pointer })
    }

    /// What `scale_to_zero` needs.
    fn rests(&mut self, at: &At<'_>, service: &Service) {
        let key = at.key("scaling").key("scale_to_zero");
        if !service.scaling.to_zero || self.is_copied(&key.pointer) {
            return;
        }
        if service.scaling.mode != ScalingMode::Horizontal {
            self.report(
                &key.pointer,
                false,
                Problem::new(
                    "conflicting-keys",
                    "`scale_to_zero` needs pools that follow the load",
                    "`fixed` pools are always as large as the peak asks for",
                    "add `mode: horizontal`, or remove it",
                ),
            );
        } else if service.traffic.daily.as_ref().is_some_and(|daily| !daily.rests()) {
            self.report(
                &key.pointer,
                true,
                Problem::new(
                    "useless-key",
                    "no hour of the profile is without any load",
                    "changes nothing here",
                    "write `0%` for the hours in which nobody needs an answer, or remove it",
                ),
            );
        }
    }

    /// What a pool that follows the load needs, and what it cannot have yet.
    pub(super) fn followed(
        &mut self,
        root: &At<'_>,
        models: &BTreeMap<String, Model>,
        services: &BTreeMap<String, Service>,
    ) {
        for (name, service) in services {
            self.rests(&root.key("services").key(name), service);
            if service.scaling.mode != ScalingMode::Horizontal {
                continue;
            }
            let at = root.key("services").key(name);
            let mode = at.key("scaling").key("mode");
            let word = mode.word().unwrap_or("horizontal");
            if !at.key("traffic").key("daily").is_there() {
                self.report(
                    &mode.pointer,
                    false,
                    Problem::new(
                        "missing-key",
                        format!("`{}` is `{word}`, but no load of a day is known", mode.pointer.dotted()),
                        "which load?",
                        "add `traffic.daily`: pools are planned for the hours of a known day, with machines that are \
                         started in time",
                    ),
                );
            }
            if let Some(option) = service.purchase.options.iter().find(|o| **o != Purchase::OnDemand) {
                self.report(
                    &at.key("purchase").key("options").pointer,
                    false,
                    Problem::new(
                        "not-supported-yet",
                        format!("`{word}` with machines that are bought as `{option}`"),
                        "not supported yet",
                        "what is reserved is paid whether it runs or not: write `[on_demand]`, or `fixed`",
                    ),
                );
            }
            if models.get(&service.model).is_some_and(|m| m.artifacts_at.is_some()) {
                self.report(
                    &mode.pointer,
                    false,
                    Problem::new(
                        "not-supported-yet",
                        format!("`{word}` with a model that has `artifacts_at` ({})", service.model),
                        "not supported yet",
                        "weights would be copied at every start of a machine, which is not priced yet: write `fixed`, or \
                         take the weights from the public hub",
                    ),
                );
            }
        }
    }
}
