//! `models.NAME.measured`, and what a service of such a model cannot have.

use std::collections::BTreeMap;

use super::*;
use crate::spec::measured::{Device, device, launch};
use crate::spec::{OnProcessors, Processors};

/// Keys of a model that speak of published weights.
const OF_WEIGHTS: [&str; 4] = ["source", "variants", "revision", "artifacts_at"];

impl Reader<'_> {
    pub(super) fn measured_model(&mut self, name: &str, at: &At<'_>) -> Option<Model> {
        self.not_here(at, &OF_WEIGHTS, |key| {
            Problem::new(
                "conflicting-keys",
                format!("`{}` with `measured`, which stands in place of published weights", key.dotted()),
                "one of the two",
                "remove it: variants of a measured model are in `measured.variants`, its weights in its image",
            )
        });
        let own = at.key("measured");
        let help = "write what the container runs, or remove the key: then it is what its image says";
        let command = self.command(&own, "an empty command runs nothing", help);
        let image = self.image(&own);
        let mut variants = BTreeMap::new();
        let mut scores = BTreeMap::new();
        for (name, at) in own.key("variants").entries() {
            let Some(found) = self.measured_variant(&at) else { continue };
            if let Some(score) = at.key("quality").quantity(Unit::Percent, Range::POSITIVE_SHARE) {
                scores.insert(name.to_owned(), score);
            }
            variants.insert(name.to_owned(), found);
        }
        if own.key("variants").is_there() && own.key("variants").entries().is_empty() {
            self.report(
                &own.key("variants").pointer,
                true,
                Problem::new(
                    "empty-value",
                    "there is no variant",
                    "empty",
                    "write at least one, with its times",
                ),
            );
        }
        if !scores.is_empty() && !at.key("quality").is_there() {
            let variants = own.key("variants").pointer;
            self.problems.push(
                Diagnostic::warning(
                    "useless-key",
                    "the scores of variants change nothing without a floor".to_owned(),
                )
                .at_key(self.map, &variants)
                .label("any of them may be chosen")
                .help(
                    "write `quality: { floor: 93%, benchmark: NAME }` in the model, or leave the scores out",
                ),
            );
        }
        let quality = self.floor(&at.key("quality"), &own.key("variants"), scores);
        let adapters = at.key("adapters");
        if adapters.is_there() {
            let what = "`adapters` with a measured model: nothing says what they would take";
            let fix = "remove it; what the server holds is in its times and its memory";
            self.report(
                &adapters.pointer,
                true,
                Problem::new("conflicting-keys", what, "has no meaning here", fix),
            );
        }
        let names = variants.keys().map(|name| {
            let variant = Variant {
                name: name.clone(),
                quantization: Quantization::Native,
                kv_cache: KvCacheDtype::Auto,
                source: None,
                at: own.key("variants").key(name).pointer,
            };
            (name.clone(), variant)
        });
        Some(Model {
            name: name.to_owned(),
            revision: None,
            artifacts_at: None,
            variants: names.collect(),
            quality,
            adapters: None,
            at: at.pointer.clone(),
            source: ModelSource::Measured(Measured {
                unit: own.key("unit").get(leaf::name).unwrap_or_else(|| "item".to_owned()),
                image,
                command,
                variants,
                at: own.pointer,
            }),
        })
    }

    /// `image`: a container's.
    pub(super) fn image(&mut self, own: &At<'_>) -> String {
        let image = own.key("image").text().unwrap_or_default();
        let is_image = image.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !image.contains(|c: char| c.is_whitespace() || c.is_control());
        if !image.is_empty() && !is_image {
            self.report(
                &own.key("image").pointer,
                false,
                Problem::new(
                    "bad-name",
                    "this cannot be the name of a container image",
                    "not an image",
                    "write it as it is pulled: `registry.example.com/team/model:3`, or with a digest: `...@sha256:...`",
                ),
            );
        }
        image
    }

    fn measured_variant(&mut self, at: &At<'_>) -> Option<MeasuredVariant> {
        let gib = at.key("memory").quantity(Unit::Data, Range::POSITIVE);
        let time = at.key("time");
        let mut times: BTreeMap<String, Launch> = BTreeMap::new();
        let mut processors: BTreeMap<Processors, OnProcessors> = BTreeMap::new();
        for (name, at) in time.entries() {
            let device = match device(self.vocabulary, name) {
                Ok(device) => device,
                Err(problem) => {
                    self.report(&at.pointer, true, problem);
                    continue;
                }
            };
            // A time that is none has been reported.
            let Some((launch, vcpus)) = at.get(launch) else { continue };
            let (of, twice) = match device {
                Device::Accelerator(id) => {
                    if vcpus.is_some() {
                        let what = format!("`vcpus` with `{id}`: a server there has an accelerator");
                        let key = at.key("vcpus").pointer;
                        let help = "remove it: what else a machine has is shared by its servers";
                        self.report(
                            &key,
                            true,
                            Problem::new("useless-key", what, "changes nothing here", help),
                        );
                    }
                    let twice = times.insert(id.clone(), launch).is_some();
                    (id, twice)
                }
                Device::Processors(of) => {
                    let server = OnProcessors { vcpus: vcpus.unwrap_or(1), launch };
                    let twice = processors.insert(of.clone(), server).is_some();
                    (of.to_string(), twice)
                }
            };
            if twice {
                self.report(
                    &at.pointer,
                    true,
                    Problem::new(
                        "duplicate-key",
                        format!("`{name}` is the second time of `{of}`"),
                        "the same device",
                        "keep one of the two",
                    ),
                );
            }
        }
        if time.is_there() && time.entries().is_empty() {
            self.report(
                &time.pointer,
                true,
                Problem::new(
                    "empty-value",
                    "there is no time",
                    "empty",
                    "write what you measured: `{ l4: 6.1ms }`",
                ),
            );
        }
        Some(MeasuredVariant { memory_bytes: gib? * 1_073_741_824.0, times, processors })
    }

    /// `quality` of a measured model: a floor on what its variants say of themselves.
    fn floor(
        &mut self,
        at: &At<'_>,
        variants: &At<'_>,
        measured: BTreeMap<String, f64>,
    ) -> Option<QualityFloor> {
        self.not_here(at, &["keep", "measured"], |key| {
            Problem::new(
                "useless-key",
                format!("`{}` is of models with published weights", key.dotted()),
                "changes nothing here",
                "write `floor: 93%`, and the score of each variant in `measured.variants.VARIANT.quality`",
            )
        });
        if !at.is_there() {
            return None;
        }
        let floor = at.key("floor");
        if !floor.is_there() {
            self.missing(at, "floor", "the least score of a variant");
        }
        let keep = floor.quantity(Unit::Percent, Range::POSITIVE_SHARE)?;
        let benchmark = at.key("benchmark").text()?.to_lowercase();
        let entries = variants.entries();
        for (name, at) in entries.iter().filter(|(name, _)| !measured.contains_key(*name)) {
            if !at.key("quality").is_there() {
                self.missing(
                    at,
                    "quality",
                    &format!("what `{name}` scores of {benchmark}, which has a floor"),
                );
            }
        }
        let best = measured.iter().max_by(|a, b| a.1.total_cmp(b.1));
        if let Some((name, best)) = best.filter(|(_, best)| **best < keep && measured.len() == entries.len())
        {
            self.report(
                &floor.pointer,
                false,
                Problem::new(
                    "out-of-reach",
                    format!("no variant scores {} of {benchmark}", Unit::Percent.format(keep)),
                    format!("`{name}` is the best, with {}", Unit::Percent.format(*best)),
                    format!("lower it to {}, or add a better variant", Unit::Percent.format(*best)),
                ),
            );
        }
        Some(QualityFloor { keep, benchmark, measured, at: at.pointer.clone() })
    }

    /// Whether a value was copied from `defaults`, alone or with the section around it.
    pub(super) fn is_copied(&self, at: &Pointer) -> bool {
        let around = at.0.match_indices('/').skip(1).map(|(end, _)| Pointer(at.0[..end].to_owned()));
        around.chain([at.clone()]).any(|place| self.copied.contains(&place))
    }

    /// Reports keys that a measured model gives no meaning, each with the reason and what to do.
    pub(super) fn has_no_tokens(&mut self, useless: &[(At<'_>, &str, &str)]) {
        for (key, why, help) in useless.iter().filter(|(key, ..)| key.is_there()) {
            // Defaults are for those that they have a meaning for.
            if self.is_copied(&key.pointer) {
                continue;
            }
            let what = format!("`{}` with a measured model: {why}", key.pointer.dotted());
            let problem = Problem::new("conflicting-keys", what, "has no meaning here", *help);
            self.report(&key.pointer, true, problem);
        }
    }

    /// What has no meaning for a service whose requests are items.
    pub(super) fn of_items(&mut self, at: &At<'_>) {
        let (traffic, slo) = (at.key("traffic"), at.key("slo"));
        let useless = [
            (traffic.key("input_tokens"), "an item has no tokens", "remove it: a request is an item"),
            (traffic.key("output_tokens"), "an item has no tokens", "remove it: a request is an item"),
            (traffic.key("prefix_cached"), "there is no prefix cache", "remove it"),
            (
                slo.key("ttft"),
                "an item has no first token",
                "write `e2e`: from the client's send to the answer",
            ),
            (slo.key("tpot"), "an item has no tokens", "write `e2e`: from the client's send to the answer"),
            (at.key("use_case"), "templates are of models that write text", "state `traffic` and `slo`"),
            (at.key("engine"), "a measured model is served by its own image", "remove it"),
        ];
        self.has_no_tokens(&useless);
        let later = [
            (traffic.key("trace"), "`trace` with a measured model", "write `peak` and `arrivals`"),
            (traffic.key("sessions"), "`sessions` with a measured model", "write `peak` or `concurrency`"),
        ];
        for (key, what, help) in later.into_iter().filter(|(key, ..)| key.is_there()) {
            self.report(&key.pointer, true, leaf::not_yet(what, help));
        }
        let shares = at.key("share_machines");
        if shares.word() == Some("within-deployment") {
            let what = "a measured model on machines that services share";
            self.report(&shares.pointer, false, leaf::not_yet(what, "write `never`"));
        }
    }

    /// Trainings of measured models are not planned yet.
    pub(super) fn not_trained(&mut self, root: &At<'_>) {
        for (_, at) in root.key("trainings").entries() {
            let model = at.key("model");
            let Some(name) = model.word().filter(|name| self.measured.contains(*name)) else { continue };
            let what = format!("the measured model `{name}` in `trainings`");
            let help = "name a model with a `source`: nothing says how long this one trains";
            self.report(&model.pointer, false, leaf::not_yet(&what, help));
        }
    }
}
