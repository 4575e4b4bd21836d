//! `pipelines`.

use std::collections::BTreeMap;

use super::*;
use crate::spec::measured::{Device, device};
use crate::spec::{PipelineEngine, Processors, STREAM_S, Stream};

/// Input of a shard where their number is not stated, GiB: what Spark and Ray put into one.
const SHARD_GIB: f64 = 0.125;
/// What a stream has and a run has not, the first one required.
const OF_STREAM: [&str; 6] =
    ["rate", "event_size", "freshness", "batch_overhead", "survive", "during_failure"];
/// What a run has and a stream has not.
const OF_RUN: [&str; 5] = ["input", "deadline", "schedule", "dataset", "after"];
/// Bytes of a GiB.
const GIB: f64 = 1_073_741_824.0;

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
        let engine = at.key("engine").word().and_then(PipelineEngine::parse).unwrap_or(PipelineEngine::Spark);
        let stream = self.stream(at, engine);
        let input_gib = match &stream {
            Some(stream) => stream.events_per_s * stream.event_bytes / GIB,
            None => at.key("input").quantity(Unit::Data, Range::POSITIVE).unwrap_or(1.0),
        };
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
            engine,
            image,
            command,
            input_gib,
            throughput,
            memory_bytes: at.key("memory_per_core").quantity(Unit::Data, Range::POSITIVE).unwrap_or(1.0)
                * GIB,
            shards: shards.max(1),
            dataset: from.filter(|_| stream.is_none()).map(|from| Dataset {
                from,
                gib: input_gib,
                at: dataset.pointer.clone(),
            }),
            schedule: at.key("schedule").get(cron::parse).filter(|_| stream.is_none()),
            deadline_s: match &stream {
                Some(_) => STREAM_S,
                None => at.key("deadline").quantity(Unit::Duration, Range::POSITIVE).unwrap_or(1.0) / 1e3,
            },
            stream,
            placement,
            purchase: self.purchase(&at.key("purchase")),
            after: self.after(at, &format!("pipelines.{name}")),
            at: at.pointer.clone(),
        })
    }

    /// What makes it a stream, if anything of one is stated.
    fn stream(&mut self, at: &At<'_>, engine: PipelineEngine) -> Option<Stream> {
        let there = |key: &&&str| at.key(key).is_there();
        let mut needs = |keys: &[(&str, &str)]| {
            for (key, help) in keys.iter().filter(|(key, _)| !at.key(key).is_there()) {
                let what = format!("`{}` needs the key `{key}`", at.pointer.dotted());
                let help = format!("add `{key}`: {help}");
                let problem = Problem::new("missing-key", what, format!("`{key}` is missing"), help);
                self.report(&at.pointer, true, problem);
            }
        };
        let Some(first) = OF_STREAM.iter().find(there) else {
            needs(&[
                ("input", "what a run reads; a stream has `rate` instead"),
                ("deadline", "a run must end within this time; a stream has `freshness` instead"),
            ]);
            return None;
        };
        needs(&[
            ("rate", "events that come in at the peak: `9500 events/s`"),
            ("event_size", "what an event takes: `1200 B`"),
            ("freshness", "how old what was made of an event may be: `5s`"),
            ("batch_overhead", "what a micro-batch takes besides its events, as you measured it: `400ms`"),
            ("shards", "the partitions of its source, such as those of a Kafka topic: `48`"),
        ]);
        for key in OF_RUN.iter().filter(there) {
            let own = at.key(key);
            let (what, help) = match *key {
                "after" => ("waits for nothing: it is there all the time", "remove `after`".to_owned()),
                _ => ("has no runs", format!("remove `{key}`, or `{first}` and all else that is a stream's")),
            };
            let what = format!("`{key}` beside `{first}`: a stream {what}");
            self.report(&own.pointer, true, Problem::new("conflicting-keys", what, "belongs to runs", help));
        }
        if engine == PipelineEngine::Ray {
            let help = "Ray Data reads data that end: write `engine: spark`";
            self.report(&at.key("engine").pointer, false, leaf::not_yet("a stream on `ray`", help));
        }
        let seconds =
            |key: &str| at.key(key).quantity(Unit::Duration, Range::POSITIVE).map_or(1.0, |ms| ms / 1e3);
        let (freshness_s, overhead_s) = (seconds("freshness"), seconds("batch_overhead"));
        let (survive, during) = (at.key("survive"), at.key("during_failure"));
        let count = |key: &str| survive.key(key).whole().unwrap_or(0);
        // An event waits for its batch at least as long as that takes.
        let least = 2.0 * overhead_s;
        if at.key("freshness").is_there() && at.key("batch_overhead").is_there() && least >= freshness_s {
            let problem = Problem::new(
                "out-of-reach",
                "nothing is as fresh: an event waits for a batch that takes as long as the one before",
                format!("twice `batch_overhead` is {}", Unit::Duration.format(least * 1e3)),
                "allow more, or make batches that cost less by themselves",
            );
            self.report(&at.key("freshness").pointer, false, problem);
        }
        if during.is_there() && count("machine") == 0 && count("zone") == 0 && !self.spot(at) {
            let problem = Problem::new(
                "useless-key",
                "`during_failure` where nothing may fail",
                "changes nothing here",
                "add `survive: { machine: 1 }`, or remove it",
            );
            self.report(&during.pointer, true, problem);
        }
        Some(Stream {
            events_per_s: at.key("rate").quantity(Unit::Events, Range::POSITIVE).unwrap_or(1.0),
            event_bytes: at.key("event_size").quantity(Unit::Size, Range::POSITIVE).unwrap_or(1.0),
            freshness_s,
            overhead_s,
            machines: count("machine"),
            zones: count("zone"),
            capacity: during.key("capacity").quantity(Unit::Percent, Range::POSITIVE_SHARE).unwrap_or(1.0),
        })
    }

    /// Whether spot machines, which may be taken away, are allowed.
    fn spot(&self, at: &At<'_>) -> bool {
        let share = at.key("purchase").key("spot_max_share");
        share.quantity(Unit::Percent, Range::SHARE).is_some_and(|share| share > 0.0)
    }

    /// Who waits for a stream waits for ever.
    pub(super) fn none_waits_for_a_stream<'w>(
        &mut self,
        pipelines: &BTreeMap<String, Pipeline>,
        waiting: impl Iterator<Item = &'w (String, Pointer)>,
    ) {
        for (other, at) in waiting {
            let name = other.strip_prefix("pipelines.").and_then(|name| pipelines.get(name));
            if name.is_some_and(|p| p.stream.is_some()) {
                let problem = Problem::new(
                    "waits-for-ever",
                    format!("`{other}` is a stream, which never ends"),
                    "never complete",
                    "name a run, or remove it",
                );
                self.report(at, false, problem);
            }
        }
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
