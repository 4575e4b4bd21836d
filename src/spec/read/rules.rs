//! Sections that all workloads have in common.

use std::collections::BTreeMap;

use super::*;

impl Reader<'_> {
    /// `placement`.
    pub(super) fn placement(&mut self, at: &At<'_>) -> PlacementRules {
        let vocabulary = self.vocabulary;
        let rule = |key: &str, item: &dyn Fn(&Value) -> Vec<String>| {
            at.key(key).get(|v| leaf::allow_deny(v, item)).unwrap_or_default()
        };
        let sites = at.key("sites");
        let clouds = at.key("clouds");
        // Sites alone are no clouds at all.
        let none = AllowDeny::Only(Vec::new());
        let unstated = if sites.is_there() && !clouds.is_there() { none } else { AllowDeny::Any };
        PlacementRules {
            sites: sites.items().iter().filter_map(At::text).collect(),
            residency: jurisdictions(&at.key("residency"), vocabulary),
            clouds: clouds
                .get(|v| leaf::allow_deny(v, |c| leaf::cloud(c).into_iter().collect()))
                .unwrap_or(unstated),
            regions: rule("regions", &|v| {
                leaf::region(vocabulary, v).ok().and(v.as_str()).map(str::to_owned).into_iter().collect()
            }),
            accelerators: rule("accelerators", &|v| leaf::accelerators(vocabulary, v).unwrap_or_default()),
            instance_types: rule("instance_types", &|v| {
                leaf::instance_type(vocabulary, v).into_iter().collect()
            }),
            spread_regions: at.key("spread").key("regions").whole().unwrap_or(1).max(1),
            at: at.pointer.clone(),
        }
    }

    /// `purchase`.
    pub(super) fn purchase(&mut self, at: &At<'_>) -> PurchaseRules {
        let options: Vec<Purchase> =
            at.key("options").items().iter().filter_map(|o| o.word()?.parse().ok()).collect();
        if at.key("options").is_there() && at.key("options").items().is_empty() {
            self.report(
                &at.key("options").pointer,
                false,
                Problem::new(
                    "empty-list",
                    "an empty list leaves no way to pay",
                    "empty",
                    "list `on_demand`, `reserved_1y` or `reserved_3y`, or leave the key out",
                ),
            );
        }
        PurchaseRules {
            options: if options.is_empty() { vec![Purchase::OnDemand] } else { options },
            spot_max_share: at.key("spot_max_share").quantity(Unit::Percent, Range::SHARE).unwrap_or(0.0),
            on_demand_base: at.key("on_demand_base").whole().unwrap_or(0),
            held: may_hold(&at.pointer) && at.key("commitments").word() != Some("none"),
            at: at.pointer.clone(),
        }
    }

    /// `engine`.
    pub(super) fn engine(&mut self, at: &At<'_>) -> Engine {
        let args = at.key("args");
        Engine {
            name: match at.key("name").word() {
                Some("sglang") => EngineName::Sglang,
                Some("trtllm") => EngineName::Trtllm,
                _ => EngineName::Vllm,
            },
            version: at.key("version").get(leaf::version),
            max_model_len: args.key("max_model_len").whole(),
            max_num_seqs: args.key("max_num_seqs").whole(),
            max_num_batched_tokens: args.key("max_num_batched_tokens").whole(),
            tensor_parallel_size: args.key("tensor_parallel_size").whole(),
            pipeline_parallel_size: args.key("pipeline_parallel_size").whole(),
            data_parallel_size: args.key("data_parallel_size").whole(),
            enable_expert_parallel: args.key("enable_expert_parallel").get(leaf::bool_or_auto).flatten(),
            gpu_memory_utilization: args
                .key("gpu_memory_utilization")
                .get(|v| leaf::share_or_auto(Range::POSITIVE_SHARE, v))
                .flatten(),
            at: at.pointer.clone(),
        }
    }

    /// Whether the longest request fits a stated `max_model_len`.
    pub(super) fn context_fits(&mut self, at: &At<'_>, engine: &Engine, input: &Lengths, output: &Lengths) {
        let Some(limit) = engine.max_model_len else { return };
        let mean = input.mean + output.mean;
        if f64::from(limit) < mean {
            self.report(
                &at.key("engine").key("args").key("max_model_len").pointer,
                false,
                Problem::new(
                    "context-too-short",
                    format!("`max_model_len` {limit} is below the mean request of {mean:.0} tokens"),
                    "shorter than the mean request",
                    format!(
                        "write at least {:.0} (the longest prompt and answer), or `auto`",
                        input.max + output.max
                    ),
                ),
            );
        }
    }

    /// What TensorRT-LLM's own server cannot do, as far as the spec alone tells.
    pub(super) fn engine_can(&mut self, at: &At<'_>, engine: &Engine) {
        if engine.name != EngineName::Trtllm {
            return;
        }
        let keys = at.key("endpoint").key("api_keys");
        if keys.is_there() {
            self.report(
                &keys.pointer,
                true,
                Problem::new(
                    "conflicting-keys",
                    "`api_keys` with the engine `trtllm`: trtllm-serve does not check API keys",
                    "nobody would check them",
                    "remove it and make the endpoint private, or write `engine.name: vllm` or `sglang`",
                ),
            );
        }
        let several = |size: Option<u32>| size.is_some_and(|n| n > 1);
        if several(engine.tensor_parallel_size) && several(engine.data_parallel_size) {
            self.report(
                &at.key("engine").key("args").key("data_parallel_size").pointer,
                true,
                Problem::new(
                    "conflicting-keys",
                    "TensorRT-LLM has attention either tensor parallel or data parallel, not both",
                    "with `tensor_parallel_size` above 1",
                    "write 1 for one of them, or `engine.name: vllm` or `sglang`",
                ),
            );
        }
    }

    /// `command`: words, at least one where it is stated; `empty` and `help` say what an empty one would be.
    pub(super) fn command(&mut self, at: &At<'_>, empty: &str, help: &str) -> Vec<String> {
        let command = at.key("command");
        if command.is_there() && command.items().is_empty() {
            self.report(&command.pointer, false, Problem::new("empty-list", empty, "empty", help));
        }
        command.items().iter().filter_map(At::text).collect()
    }

    /// Keys that may not be there, each with its reason.
    pub(super) fn not_here(&mut self, at: &At<'_>, keys: &[&str], why: impl Fn(&Pointer) -> Problem) {
        for key in keys.iter().map(|key| at.key(key)).filter(At::is_there) {
            self.report(&key.pointer, true, why(&key.pointer));
        }
    }

    /// A run is in one region: asking for several says nothing.
    pub(super) fn in_one_region(&mut self, at: &At<'_>, rules: &PlacementRules) {
        if rules.spread_regions > 1 {
            let place = at.key("placement").key("spread").key("regions").pointer;
            let message = format!("`{}` changes nothing: a run is in one region", place.dotted());
            self.problems.push(
                Diagnostic::warning("useless-key", message)
                    .at_key(self.map, &place)
                    .label("a run has one pool")
                    .help("write it in the services that are meant to be spread"),
            );
        }
    }

    /// `after` of the run at `address`.
    pub(super) fn after(&mut self, at: &At<'_>, address: &str) -> Vec<(String, Pointer)> {
        let after = at.key("after").items();
        let after: Vec<(String, Pointer)> =
            after.iter().filter_map(|i| Some((i.text()?, i.pointer.clone()))).collect();
        for (_, place) in after.iter().filter(|(other, _)| other == address) {
            self.report(
                place,
                false,
                Problem::new(
                    "cycle",
                    format!("`{address}` cannot run after itself"),
                    "itself",
                    "name another run, or remove it",
                ),
            );
        }
        after
    }

    /// The deployment's labels and a workload's own.
    pub(super) fn merged_labels(
        &mut self,
        at: &At<'_>,
        shared: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let mut all = shared.clone();
        all.extend(labels(&at.key("labels")));
        all
    }
}

/// A list of jurisdictions.
pub(super) fn jurisdictions(at: &At<'_>, vocabulary: &Vocabulary) -> Vec<String> {
    at.items().iter().filter_map(|i| i.get(|v| leaf::jurisdiction(vocabulary, v))).collect()
}

/// Whether a workload can have held machines at all, by the place of its `purchase`.
pub(super) fn may_hold(at: &Pointer) -> bool {
    !at.0.starts_with("/federations/")
}
