//! `trainings`.

use std::collections::BTreeMap;

use super::*;

impl Reader<'_> {
    /// `trainings.NAME`.
    pub(super) fn training(
        &mut self,
        name: &str,
        at: &At<'_>,
        shared: &BTreeMap<String, String>,
    ) -> Option<Training> {
        at.value?.as_object()?;
        let rank = at.key("rank");
        let adapters = rank.whole().unwrap_or(16).max(1);
        let method = at.key("method").word().and_then(|word| Method::parse(word, adapters));
        let method = method.unwrap_or(Method::Full);
        let precision = at.key("precision").word().and_then(TrainingPrecision::parse);
        let tensorflow = at.key("framework").word() == Some("tensorflow");
        if tensorflow && precision == Some(TrainingPrecision::Fp8) {
            self.report(
                &at.key("precision").pointer,
                false,
                Problem::new(
                    "conflicting-keys",
                    "`fp8` with the framework `tensorflow`",
                    "belongs to `pytorch`",
                    "write `bf16`, or `framework: pytorch`",
                ),
            );
        }
        if matches!(method, Method::QLora { .. }) && precision == Some(TrainingPrecision::Fp8) {
            self.report(
                &at.key("precision").pointer,
                false,
                Problem::new(
                    "conflicting-keys",
                    "`fp8` with the method `qlora`: a base of 4 bits is computed in 16",
                    "belongs to `full` and `lora`",
                    "remove it",
                ),
            );
        }
        if rank.is_there() && at.key("method").word() == Some("full") {
            self.report(
                &rank.pointer,
                true,
                Problem::new(
                    "conflicting-keys",
                    "`rank` with the method `full`: there are no adapters",
                    "belongs to `lora` and `qlora`",
                    "remove it, or write `method: lora`",
                ),
            );
        }
        let framework = match at.key("framework").word() {
            Some("tensorflow") => Framework::TensorFlow,
            _ => Framework::PyTorch,
        };
        let sharding = self.sharding(at, framework);
        if framework == Framework::TensorFlow && matches!(method, Method::QLora { .. }) {
            self.report(
                &at.key("method").pointer,
                false,
                Problem::new(
                    "conflicting-keys",
                    "`qlora` with the framework `tensorflow`",
                    "belongs to `pytorch`",
                    "write `lora`, or `framework: pytorch`",
                ),
            );
        }
        let batch_size = at.key("batch_size").whole().unwrap_or(1).max(1);
        let micro = at.key("micro_batch");
        let micro_batch = micro.whole();
        if let Some(n) = micro_batch.filter(|n| !batch_size.is_multiple_of(*n)) {
            self.report(
                &micro.pointer,
                false,
                Problem::new(
                    "out-of-range",
                    format!("a step of {batch_size} sequences is no multiple of {n}"),
                    "does not divide `batch_size`",
                    "write a divisor of `batch_size`, or `auto`",
                ),
            );
        }
        let help = "write the training script and its arguments: `[train.py, --config, tune.yaml]`";
        let command = self.command(at, "an empty command trains nothing", help);
        let dataset = at.key("dataset");
        let dataset = dataset.is_there().then(|| {
            Some(Dataset {
                from: dataset.key("at").get(|v| leaf::region(self.vocabulary, v))?,
                gib: dataset.key("size").quantity(Unit::Data, Range::POSITIVE)?,
                at: dataset.pointer.clone(),
            })
        });
        let placement = self.placement(&at.key("placement"));
        self.in_one_region(at, &placement);
        let deadline_ms = at.key("deadline").quantity(Unit::Duration, Range::POSITIVE).unwrap_or(1.0);
        Some(Training {
            name: name.to_owned(),
            model: at.key("model").text()?,
            labels: self.merged_labels(at, shared),
            method,
            framework,
            precision: precision.unwrap_or(TrainingPrecision::Bf16),
            dataset_tokens: at.key("dataset_tokens").quantity(Unit::Count, Range::POSITIVE).unwrap_or(1.0),
            epochs: at.key("epochs").quantity(Unit::Number, Range::POSITIVE).unwrap_or(1.0),
            sequence_tokens: at.key("sequence_tokens").whole().unwrap_or(2048).max(1),
            batch_size,
            micro_batch,
            sharding,
            checkpointing: at.key("activation_checkpointing").word().and_then(Checkpointing::parse),
            checkpoint_every_s: at
                .key("checkpoint_every")
                .quantity(Unit::Duration, Range::POSITIVE)
                .map(|ms| ms / 1e3),
            dataset: dataset.flatten(),
            command,
            schedule: at.key("schedule").get(cron::parse),
            deadline_s: deadline_ms / 1e3,
            placement,
            purchase: self.purchase(&at.key("purchase")),
            after: self.after(at, &format!("trainings.{name}")),
            at: at.pointer.clone(),
        })
    }

    /// `strategy`: TensorFlow has one of its own.
    fn sharding(&mut self, at: &At<'_>, framework: Framework) -> Option<Sharding> {
        let strategy = at.key("strategy");
        let word = strategy.word().filter(|word| *word != "auto");
        let (of, other) = match framework {
            Framework::TensorFlow => ("`multi-worker`", word.and_then(Sharding::of_strategy).is_some()),
            Framework::PyTorch => ("`ddp`, `zero2` or `fsdp`", word == Some("multi-worker")),
        };
        if let Some(word) = word.filter(|_| other) {
            let framework = framework.as_str();
            self.report(
                &strategy.pointer,
                false,
                Problem::new(
                    "conflicting-keys",
                    format!("`{word}` with the framework `{framework}`"),
                    format!("not one of {framework}"),
                    format!("write {of}, or `auto`"),
                ),
            );
        }
        match framework {
            Framework::TensorFlow => Some(Sharding::None),
            Framework::PyTorch => word.and_then(Sharding::of_strategy),
        }
    }
}
