//! `federations`.

use std::collections::BTreeMap;

use super::*;
use crate::spec::measured::{Device, device};
use crate::spec::{Federation, FederationFramework, Processors};

impl Reader<'_> {
    /// `federations.NAME`.
    pub(super) fn federation(
        &mut self,
        name: &str,
        at: &At<'_>,
        shared: &BTreeMap<String, String>,
    ) -> Option<Federation> {
        at.value?.as_object()?;
        let help = "write what starts the run: `[flwr, run, ., my-federation, --stream]`";
        let command = self.command(at, "an empty command starts nothing", help);
        let image = self.image(at);
        let (local_s, aggregate_s) = self.member_times(at);
        let sites = self.federated_sites(&at.key("sites"));
        let min_sites = self.min_sites(&at.key("min_sites"), sites.len());
        let placed = at.key("placement");
        for key in [placed.key("sites"), placed.key("each_of")].iter().filter(|key| key.is_there()) {
            let help = "an aggregator is in a region of a cloud; the clients' sites are those of `sites`";
            let what = format!("`{}`: an aggregator at a site", key.pointer.dotted());
            self.report(&key.pointer, true, leaf::not_yet(&what, help));
        }
        let listed = placed.key("accelerators");
        if listed.is_there() && !self.is_copied(&listed.pointer) {
            let what = "`accelerators` of an aggregator, which runs on a machine without any";
            let problem = Problem::new("conflicting-keys", what, "has no meaning here", "remove it");
            self.report(&listed.pointer, true, problem);
        }
        let placement = self.placement(&placed);
        self.in_one_region(at, &placement);
        let seconds = |key: &str| at.key(key).quantity(Unit::Duration, Range::POSITIVE).map(|ms| ms / 1e3);
        Some(Federation {
            name: name.to_owned(),
            labels: self.merged_labels(at, shared),
            framework: FederationFramework::Flower,
            image,
            command,
            at_sites: PlacementRules::of_sites(sites.clone(), at.key("sites").pointer),
            sites,
            min_sites,
            rounds: at.key("rounds").whole().unwrap_or(1).max(1),
            update_gib: at.key("update").quantity(Unit::Data, Range::POSITIVE).unwrap_or(1.0),
            local_s,
            aggregate_s,
            memory_bytes: at.key("aggregator_memory").quantity(Unit::Data, Range::POSITIVE).unwrap_or(1.0)
                * 1_073_741_824.0,
            round_deadline_s: seconds("round_deadline").unwrap_or(1.0),
            schedule: at.key("schedule").get(cron::parse),
            deadline_s: seconds("deadline"),
            placement,
            purchase: PurchaseRules::on_demand(at.pointer.clone()),
            after: self.after(at, &format!("federations.{name}")),
            at: at.pointer.clone(),
        })
    }

    /// Sites by name, each once.
    fn federated_sites(&mut self, at: &At<'_>) -> Vec<String> {
        let mut sites: Vec<String> = Vec::new();
        for item in at.items() {
            let Some(site) = item.text() else { continue };
            // One that is named twice has been reported.
            if !sites.contains(&site) {
                sites.push(site);
            }
        }
        if at.is_there() && at.items().is_empty() {
            let problem = Problem::new(
                "empty-list",
                "an empty list names no site",
                "empty",
                "name the sites that train",
            );
            self.report(&at.pointer, false, problem);
        }
        sites
    }

    fn min_sites(&mut self, at: &At<'_>, sites: usize) -> u32 {
        let least = at.whole().unwrap_or(1).max(1);
        if sites > 0 && least as usize > sites {
            let s = if sites == 1 { "" } else { "s" };
            let problem = Problem::new(
                "conflicting-keys",
                format!("`min_sites` {least} of {sites} site{s}: no round would ever count"),
                "more than there are",
                format!("write at most {sites}, or name more sites"),
            );
            self.report(&at.pointer, false, problem);
        }
        least
    }

    /// `local` and `aggregate`.
    fn member_times(&mut self, at: &At<'_>) -> (BTreeMap<String, f64>, BTreeMap<Processors, f64>) {
        let (mut local, mut aggregate) = (BTreeMap::new(), BTreeMap::new());
        for (key, trains) in [("local", true), ("aggregate", false)] {
            let at = at.key(key);
            for (name, at) in at.entries() {
                let found = device(self.vocabulary, name);
                // A time that is none has been reported.
                let Some(ms) = at.quantity(Unit::Duration, Range::POSITIVE) else { continue };
                let twice = |of: &dyn std::fmt::Display| {
                    let what = format!("`{name}` is the second time of `{of}`");
                    Problem::new("duplicate-key", what, "the same hardware", "keep one of the two")
                };
                let problem = match found {
                    Ok(Device::Accelerator(id)) if trains => {
                        let Some(_) = local.insert(id.clone(), ms / 1e3) else { continue };
                        twice(&id)
                    }
                    Ok(Device::Processors(of)) if !trains => {
                        let Some(_) = aggregate.insert(of.clone(), ms / 1e3) else { continue };
                        twice(&of)
                    }
                    Ok(Device::Processors(_)) => leaf::not_yet(
                        &format!("a client without an accelerator (`{name}`)"),
                        "write the time on an accelerator of the sites: `l4: 25min`",
                    ),
                    Ok(Device::Accelerator(id)) => Problem::new(
                        "ambiguous-processors",
                        format!("`{id}` is an accelerator, and an aggregator runs on processors"),
                        "an accelerator",
                        "write what you measured it on: `aws/m7i`, `x86_64`",
                    ),
                    Err(problem) => problem,
                };
                self.report(&at.pointer, true, problem);
            }
            if at.is_there() && at.entries().is_empty() {
                let example = if trains { "`{ l4: 25min }`" } else { "`{ x86_64: 2s }`" };
                let problem = Problem::new(
                    "empty-value",
                    "there is no time",
                    "empty",
                    format!("write what you measured: {example}"),
                );
                self.report(&at.pointer, true, problem);
            }
        }
        (local, aggregate)
    }
}
