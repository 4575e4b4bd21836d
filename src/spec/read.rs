//! The checked tree to the typed [`Spec`].
//!
//! What the key table can say about a value has been reported by [`super::check`]; reading takes a
//! value that cannot be read as not written, and reports what only several values together can be
//! wrong about.

mod adapters;
mod budget;
mod chain;
mod day;
mod degrade;
mod divide;
mod federation;
mod held;
mod inference;
mod measured;
mod pipeline;
mod profile;
mod remote_state;
mod rollout;
mod rules;
mod savings;
mod season;
mod sharing;
mod site;
mod training;

use std::collections::BTreeMap;

use rhumb_api::Cloud;
use serde_json::Value;

use super::units::{Problem, Range, Unit, quantity};
use super::*;
use crate::diagnostic::{Diagnostic, Pointer};

/// Reads a tree.
pub struct Reader<'a> {
    /// Places.
    pub map: &'a SourceMap,
    /// Known names.
    pub vocabulary: &'a Vocabulary,
    /// Reads a file that the spec names.
    pub read: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
    /// Names of the models whose times the team measured.
    pub measured: std::collections::BTreeSet<String>,
    /// Names of the services that get an objective from a chain.
    pub chained: std::collections::BTreeSet<String>,
    /// Places whose values were copied from `defaults`.
    pub copied: std::collections::BTreeSet<Pointer>,
    /// Tables that were read, which diagnostics show behind the files of the spec.
    pub tables: Vec<crate::diagnostic::SourceFile>,
    /// What was found.
    pub problems: Vec<Diagnostic>,
}

/// A place in the tree and the value there, if any.
#[derive(Clone)]
pub struct At<'v> {
    /// The value.
    pub value: Option<&'v Value>,
    /// The place.
    pub pointer: Pointer,
}

impl<'v> At<'v> {
    /// The member `key`.
    pub fn key(&self, key: &str) -> At<'v> {
        At {
            value: self.value.and_then(|v| v.get(key)).filter(|v| !v.is_null()),
            pointer: self.pointer.join(key),
        }
    }

    /// The members of a map, in the order of the text.
    pub fn entries(&self) -> Vec<(&'v str, At<'v>)> {
        let map = self.value.and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .map(|(k, v)| (k.as_str(), At { value: Some(v), pointer: self.pointer.join(k) }))
            .collect()
    }

    /// The items of a list.
    pub fn items(&self) -> Vec<At<'v>> {
        let list = self.value.and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .enumerate()
            .map(|(i, v)| At { value: Some(v), pointer: self.pointer.join(i) })
            .collect()
    }

    /// What `read` makes of the value.
    pub fn get<T>(&self, read: impl FnOnce(&Value) -> Result<T, Problem>) -> Option<T> {
        self.value.and_then(|v| read(v).ok())
    }

    /// A quantity.
    pub fn quantity(&self, unit: Unit, range: Range) -> Option<f64> {
        self.get(|v| quantity(unit, range, v))
    }

    /// Text.
    pub fn text(&self) -> Option<String> {
        self.get(leaf::text)
    }

    /// A word of a closed list that the check has seen.
    pub fn word(&self) -> Option<&'v str> {
        self.value.and_then(Value::as_str)
    }

    /// A whole number.
    pub fn whole(&self) -> Option<u32> {
        self.get(|v| leaf::whole(0, u64::from(u32::MAX), true, v))
            .flatten()
            .and_then(|n| u32::try_from(n).ok())
    }

    /// Whether something is written here.
    pub fn is_there(&self) -> bool {
        self.value.is_some()
    }
}

impl Reader<'_> {
    /// Reports at a node's value, or at its key.
    pub fn report(&mut self, at: &Pointer, on_key: bool, problem: Problem) {
        let diagnostic = Diagnostic::error(problem.code, problem.message);
        let diagnostic = if on_key { diagnostic.at_key(self.map, at) } else { diagnostic.at(self.map, at) };
        self.problems.push(diagnostic.label(problem.label).help(problem.help));
    }

    /// The whole tree.
    pub fn spec(&mut self, tree: &Value) -> Spec {
        let root = At { value: Some(tree), pointer: Pointer::root() };
        let labels = labels(&root.key("labels"));
        let models: BTreeMap<String, Model> = root
            .key("models")
            .entries()
            .into_iter()
            .filter_map(|(name, at)| Some((name.to_owned(), self.model(name, &at)?)))
            .collect();
        let sites = self.sites(&root.key("sites"));
        let of_own = models.iter().filter(|(_, m)| m.measured().is_some());
        self.measured = of_own.map(|(name, _)| name.clone()).collect();
        self.chained = Self::chained_services(&root);
        let mut services: BTreeMap<String, Service> = root
            .key("services")
            .entries()
            .into_iter()
            .filter(|(_, at)| !at.key("profile").is_there())
            .filter_map(|(name, at)| Some((name.to_owned(), self.service(name, &at, &labels)?)))
            .collect();
        let profiled: BTreeMap<String, Profiled> = root
            .key("services")
            .entries()
            .into_iter()
            .filter(|(_, at)| at.key("profile").is_there())
            .filter_map(|(name, at)| Some((name.to_owned(), self.profiled(name, &at, &labels)?)))
            .collect();
        let batches: BTreeMap<String, Batch> = root
            .key("batches")
            .entries()
            .into_iter()
            .filter_map(|(name, at)| Some((name.to_owned(), self.batch(name, &at, &labels)?)))
            .collect();
        let trainings: BTreeMap<String, Training> = root
            .key("trainings")
            .entries()
            .into_iter()
            .filter_map(|(name, at)| Some((name.to_owned(), self.training(name, &at, &labels)?)))
            .collect();
        let pipelines: BTreeMap<String, Pipeline> = root
            .key("pipelines")
            .entries()
            .into_iter()
            .filter_map(|(name, at)| Some((name.to_owned(), self.pipeline(name, &at, &labels)?)))
            .collect();
        let federations: BTreeMap<String, Federation> = root
            .key("federations")
            .entries()
            .into_iter()
            .filter_map(|(name, at)| Some((name.to_owned(), self.federation(name, &at, &labels)?)))
            .collect();
        let waiting = batches.values().flat_map(|b| &b.after);
        let waiting = waiting.chain(trainings.values().flat_map(|t| &t.after));
        let waiting = waiting.chain(pipelines.values().filter(|p| p.stream.is_none()).flat_map(|p| &p.after));
        let waiting = waiting.chain(federations.values().flat_map(|f| &f.after));
        self.none_waits_for_a_stream(&pipelines, waiting);
        if super::WORKLOADS.iter().all(|kind| root.key(kind).entries().is_empty()) {
            self.report(
                &Pointer::root(),
                true,
                Problem::new(
                    "nothing-to-plan",
                    "there is no service, batch, training, pipeline and federation",
                    "no workload",
                    "add `services`, `batches`, `trainings`, `pipelines` or `federations`; `rhumb init` writes a first spec",
                ),
            );
        }
        self.answers_have_lengths(&root, &models, &services);
        self.followed(&root, &models, &services);
        self.adapters_are_served(&root, &models);
        self.not_trained(&root);
        self.degraded(&root, &models, &services);
        self.divided(&root, &models, (&services, &profiled));
        let chains = self.chains(&root, &mut services);
        let workloads = (&services, &profiled, &batches, &trainings, &pipelines, &federations);
        let budget = self.budget(&root, workloads);
        let objective = root.key("objective").get(super::objective::read).unwrap_or_default();
        self.least_carbon_by_the_hour(&root, &services, objective);
        let stability = self.stability(&root.key("stability"));
        let runs_on =
            !services.is_empty() || !profiled.is_empty() || pipelines.values().any(|p| p.stream.is_some());
        if let Some(stability) = stability.as_ref().filter(|_| !runs_on) {
            let what =
                "`stability` has no meaning without a service or a stream: a run starts anew each time";
            let fix = "remove it, or add a service";
            self.report(
                &stability.at.clone(),
                true,
                Problem::new("useless-key", what, "changes nothing", fix),
            );
        }
        if let Some(stability) = stability.as_ref().filter(|_| objective == Goal::Carbon) {
            let at = stability.at.clone();
            let what =
                "`stability` with `objective: carbon`: a gram counts for more than any part of the bill";
            let fix = "remove it, or write `objective: cost` or `{ carbon_price: 90 USD/t }`";
            self.report(&at, true, Problem::new("conflicting-keys", what, "changes nothing", fix));
        }
        self.shared_machines(&root, &services, &budget);
        self.placed_at_sites(&root, &services, &federations, &sites);
        let (held, savings) = self.held(&root.key("commitments"));
        self.held_is_used(&root, !held.is_empty() || !savings.is_empty());
        self.unused_models(&root);
        let state = self.state(&root.key("state"));
        let mut spec = Spec {
            name: root.key("name").text().unwrap_or_default(),
            labels,
            models,
            services,
            profiled,
            chains,
            batches,
            trainings,
            pipelines,
            federations,
            budget,
            objective,
            stability,
            confidence: root.key("confidence").quantity(Unit::Percent, Range::OPEN).unwrap_or(0.85),
            providers: self.providers(&root.key("providers")),
            sites,
            held,
            savings,
            rollouts: self.rollouts(&root),
            catalog_files: root
                .key("catalog")
                .items()
                .into_iter()
                .filter_map(|at| Some(FileRef { path: at.get(leaf::path)?, at: at.pointer }))
                .collect(),
            calibration: Some(root.key("calibration"))
                .and_then(|at| Some(FileRef { path: at.get(leaf::path)?, at: at.pointer })),
            state,
        };
        spec.lower_sites();
        spec.lower_held();
        spec
    }

    fn stability(&self, at: &At<'_>) -> Option<Stability> {
        let saving = at.key("saving").quantity(Unit::Percent, Range::OPEN)?;
        let saving_ppm = (saving * 1e6).round().clamp(1.0, 999_999.0) as u32;
        Some(Stability { saving_ppm, at: at.pointer.clone() })
    }

    /// A model that writes text is not planned as if it wrote none because nobody said how much.
    fn answers_have_lengths(
        &mut self,
        root: &At<'_>,
        models: &BTreeMap<String, Model>,
        services: &BTreeMap<String, Service>,
    ) {
        for (name, service) in services {
            let Some(ModelSource::Known { id, .. }) = models.get(&service.model).map(|m| &m.source) else {
                continue;
            };
            let at = root.key("services").key(name);
            let traffic = at.key("traffic");
            let stated = traffic.key("output_tokens").is_there()
                || traffic.key("trace").is_there()
                || at.key("use_case").is_there();
            if stated || !traffic.is_there() || !self.vocabulary.generators.contains(id) {
                continue;
            }
            self.report(
                &traffic.pointer,
                true,
                Problem::new(
                    "missing-key",
                    format!("`{}` needs the key `output_tokens`: {id} writes text", traffic.pointer.dotted()),
                    "how long are answers?",
                    "add `output_tokens: { p50: 200, p95: 700 }`, name a `use_case`, or write `output_tokens: 0` if \
                     prompts are only read",
                ),
            );
        }
    }

    fn unused_models(&mut self, root: &At<'_>) {
        let mut used: Vec<&str> = Vec::new();
        for kind in super::WORKLOADS {
            for (_, at) in root.key(kind).entries() {
                used.extend(at.key("model").word());
                used.extend(
                    at.key("degrade").key("to").items().iter().filter_map(|to| to.key("model").word()),
                );
            }
        }
        // A name that is misspelt where it is used is reported there.
        let models = root.key("models");
        if used.is_empty() || used.iter().any(|name| !models.key(name).is_there()) {
            return;
        }
        for (name, at) in models.entries() {
            if !used.contains(&name) {
                self.problems.push(
                    Diagnostic::warning("unused-model", format!("nothing uses the model `{name}`"))
                        .at_key(self.map, &at.pointer)
                        .label("not used")
                        .help("remove it, or name it in a workload's `model`"),
                );
            }
        }
    }

    fn model(&mut self, name: &str, at: &At<'_>) -> Option<Model> {
        if at.key("measured").is_there() {
            return self.measured_model(name, at);
        }
        let source = at.key("source");
        if !source.is_there() {
            self.missing(
                at,
                "source",
                "a model id such as `Qwen/Qwen3-32B`; or `measured`, if you measured its times",
            );
        }
        let read = source.get(|v| model_source::read(self.vocabulary, v))?;
        let source = match read {
            model_source::Source::Known(id) => {
                ModelSource::Known { written: source.text().unwrap_or_default(), id }
            }
            model_source::Source::Config(path) => ModelSource::Config(FileRef { path, at: source.pointer }),
        };
        let mut variants: BTreeMap<String, Variant> = at
            .key("variants")
            .entries()
            .into_iter()
            .map(|(name, at)| (name.to_owned(), self.variant(name, at)))
            .collect();
        if variants.is_empty() {
            let native = Variant {
                name: "native".to_owned(),
                quantization: Quantization::Native,
                kv_cache: KvCacheDtype::Auto,
                source: None,
                at: at.pointer.clone(),
            };
            variants.insert("native".to_owned(), native);
        }
        let quality = self.quality(&at.key("quality"), &variants);
        Some(Model {
            name: name.to_owned(),
            source,
            revision: at.key("revision").text(),
            artifacts_at: at.key("artifacts_at").get(|v| leaf::region(self.vocabulary, v)),
            variants,
            quality,
            adapters: self.adapters(name, &at.key("adapters")),
            at: at.pointer.clone(),
        })
    }

    fn variant(&mut self, name: &str, at: At<'_>) -> Variant {
        let written = at.key("quantization");
        Variant {
            name: name.to_owned(),
            // `fp8: {}` means what it says.
            quantization: quantization(written.word().unwrap_or(name)).unwrap_or(Quantization::Native),
            kv_cache: match at.key("kv_cache_dtype").word() {
                Some("bf16") => KvCacheDtype::Bf16,
                Some("fp8") => KvCacheDtype::Fp8,
                _ => KvCacheDtype::Auto,
            },
            source: at.key("source").text(),
            at: at.pointer,
        }
    }

    fn quality(&mut self, at: &At<'_>, variants: &BTreeMap<String, Variant>) -> Option<QualityFloor> {
        let keep = at.key("keep");
        if at.is_there() && !keep.is_there() {
            self.missing(at, "keep", "share of the uncompressed model's score that must be kept");
        }
        let floor = at.key("floor");
        if floor.is_there() {
            self.report(
                &floor.pointer,
                true,
                Problem::new(
                    "useless-key",
                    "`floor` is of a `measured` model, whose variants state their scores",
                    "changes nothing here",
                    "write `keep: 99%`: the share of the uncompressed score that must be kept",
                ),
            );
        }
        let keep = keep.quantity(Unit::Percent, Range::POSITIVE_SHARE)?;
        let benchmark = at.key("benchmark").text()?.to_lowercase();
        let range = Range { max: 2.0, ..Range::POSITIVE_SHARE };
        let mut measured = BTreeMap::new();
        for (name, at) in at.key("measured").entries() {
            if !variants.contains_key(name) {
                let help = leaf::suggest(name, variants.keys().map(String::as_str), "variants");
                self.report(
                    &at.pointer,
                    true,
                    Problem::new(
                        "unknown-reference",
                        format!("there is no variant `{name}`"),
                        "not among the model's variants",
                        help,
                    ),
                );
            } else if let Some(share) = at.quantity(Unit::Percent, range) {
                measured.insert(name.to_owned(), share);
            }
        }
        Some(QualityFloor { keep, benchmark, measured, at: at.pointer.clone() })
    }

    /// Reports a key that only this kind of section needs.
    fn missing(&mut self, at: &At<'_>, key: &str, what: &str) {
        self.report(
            &at.pointer,
            true,
            Problem::new(
                "missing-key",
                format!("`{}` needs the key `{key}`", at.pointer.dotted()),
                format!("`{key}` is missing"),
                format!("add `{key}`: {what}"),
            ),
        );
    }

    fn providers(&mut self, at: &At<'_>) -> BTreeMap<Cloud, ProviderSettings> {
        let mut providers = BTreeMap::new();
        for (name, at) in at.entries() {
            let Some(cloud) = Cloud::ALL.into_iter().find(|c| c.as_str() == name) else { continue };
            let own = match cloud {
                Cloud::Aws => "profile",
                Cloud::Azure => "subscription",
                Cloud::Gcp | Cloud::Site => "project",
            };
            for other in ["profile", "subscription", "project"].into_iter().filter(|k| *k != own) {
                if at.key(other).is_there() {
                    self.report(
                        &at.key(other).pointer,
                        true,
                        Problem::new(
                            "unknown-key",
                            format!("unknown key `{other}` in `{}`", at.pointer.dotted()),
                            "belongs to another cloud",
                            format!("did you mean `{own}`?"),
                        ),
                    );
                }
            }
            let mut quotas: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
            for (region, codes) in at.key("quotas").entries() {
                let known = |r: &&RegionRef| r.cloud == cloud && r.region == region;
                if !self.vocabulary.regions.iter().any(|r| known(&r)) {
                    let ids = self.vocabulary.regions.iter().filter(|r| r.cloud == cloud);
                    let ids: Vec<&str> = ids.map(|r| r.region.as_str()).collect();
                    let help = crate::diagnostic::did_you_mean(region, ids).map_or_else(
                        || format!("`rhumb catalog regions` lists the regions of {cloud}"),
                        |near| format!("did you mean `{near}`?"),
                    );
                    self.report(
                        &codes.pointer,
                        true,
                        Problem::new(
                            "unknown-region",
                            format!("unknown region `{region}` of {cloud}"),
                            "unknown region",
                            help,
                        ),
                    );
                }
                let amounts = codes.entries().into_iter().filter_map(|(code, at)| {
                    Some((code.to_owned(), at.quantity(Unit::Count, Range::NOT_NEGATIVE)?))
                });
                quotas.insert(region.to_owned(), amounts.collect());
            }
            let settings = ProviderSettings {
                account: at.key(own).text(),
                discount: at.key("discount").quantity(Unit::Percent, Range::PART).unwrap_or(0.0),
                quotas,
                at: at.pointer.clone(),
            };
            providers.insert(cloud, settings);
        }
        providers
    }
}

/// By its name in a spec.
fn quantization(word: &str) -> Option<Quantization> {
    Some(match word {
        "native" => Quantization::Native,
        "bf16" => Quantization::Bf16,
        "fp8" => Quantization::Fp8,
        "fp8_block" => Quantization::Fp8Block,
        "int8" => Quantization::Int8,
        "int4" | "awq" | "gptq" => Quantization::Int4,
        "mxfp4" => Quantization::Mxfp4,
        "nvfp4" => Quantization::Nvfp4,
        _ => return None,
    })
}

fn labels(at: &At<'_>) -> BTreeMap<String, String> {
    at.entries().into_iter().filter_map(|(k, at)| Some((k.to_owned(), at.get(leaf::label)?))).collect()
}
