//! `pipelines`.

use std::collections::BTreeMap;

use super::*;
use crate::spec::measured::{Device, device};
use crate::spec::{PipelineEngine, Processors};

/// Input of a shard where their number is not stated, GiB: what Spark and Ray put into one.
const SHARD_GIB: f64 = 0.125;

impl Reader<'_> {
    /// `pipelines.NAME`.
    pub(super) fn pipeline(
        &mut self,
        name: &str,
        at: &At<'_>,
        shared: &BTreeMap<String, String>,
    ) -> Option<Pipeline> {
        at.value?.as_object()?;
        let help = "write what starts the job: `[spark-submit, job.py]`";
        let command = self.command(at, "an empty command starts nothing", help);
        let image = self.image(at);
        let throughput = self.throughput(&at.key("throughput_per_core"));
        let input_gib = at.key("input").quantity(Unit::Data, Range::POSITIVE).unwrap_or(1.0);
        let own = at.key("shards").whole();
        let shards = own.unwrap_or_else(|| {
            (input_gib / SHARD_GIB * (1.0 - 1e-12)).ceil().clamp(1.0, f64::from(MOST_SHARDS)) as u32
        });
        let dataset = at.key("dataset");
        let from = dataset.key("at").get(|v| leaf::region(self.vocabulary, v));
        let listed = at.key("placement").key("accelerators");
        // Those of `defaults` are for those that have them.
        if listed.is_there() && !self.is_copied(&listed.pointer) {
            let what = "`accelerators` of a pipeline, which runs on machines without any";
            let problem = Problem::new("conflicting-keys", what, "has no meaning here", "remove it");
            self.report(&listed.pointer, true, problem);
        }
        let placement = self.placement(&at.key("placement"));
        self.in_one_region(at, &placement);
        Some(Pipeline {
            name: name.to_owned(),
            labels: self.merged_labels(at, shared),
            engine: at.key("engine").word().and_then(PipelineEngine::parse).unwrap_or(PipelineEngine::Spark),
            image,
            command,
            input_gib,
            throughput,
            memory_bytes: at.key("memory_per_core").quantity(Unit::Data, Range::POSITIVE).unwrap_or(1.0)
                * 1_073_741_824.0,
            shards: shards.max(1),
            dataset: from.map(|from| Dataset { from, gib: input_gib, at: dataset.pointer.clone() }),
            schedule: at.key("schedule").get(cron::parse),
            deadline_s: at.key("deadline").quantity(Unit::Duration, Range::POSITIVE).unwrap_or(1.0) / 1e3,
            placement,
            purchase: self.purchase(&at.key("purchase")),
            after: self.after(at, &format!("pipelines.{name}")),
            at: at.pointer.clone(),
        })
    }

    fn throughput(&mut self, at: &At<'_>) -> BTreeMap<Processors, f64> {
        let mut all = BTreeMap::new();
        for (name, at) in at.entries() {
            let problem = match device(self.vocabulary, name) {
                Ok(Device::Processors(of)) => {
                    // A rate that is none has been reported.
                    let Some(gib) = at.quantity(Unit::DataRate, Range::POSITIVE) else { continue };
                    if all.insert(of.clone(), gib).is_none() {
                        continue;
                    }
                    Problem::new(
                        "duplicate-key",
                        format!("`{name}` is the second rate of `{of}`"),
                        "the same processors",
                        "keep one of the two",
                    )
                }
                Ok(Device::Accelerator(id)) => Problem::new(
                    "ambiguous-processors",
                    format!("`{id}` is an accelerator, and a pipeline runs on processors"),
                    "an accelerator",
                    "write what you measured it on: `aws/m7i`, `x86_64`",
                ),
                Err(problem) => problem,
            };
            self.report(&at.pointer, true, problem);
        }
        if at.is_there() && at.entries().is_empty() {
            let problem = Problem::new(
                "empty-value",
                "there is no rate",
                "empty",
                "write what you measured: `{ aws/m7i: 6MB/s }`",
            );
            self.report(&at.pointer, true, problem);
        }
        all
    }
}
