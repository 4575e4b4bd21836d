//! `models.NAME.adapters`.

use std::collections::BTreeMap;

use serde_json::Map;

use super::*;

impl Reader<'_> {
    /// `adapters`: of each the name that requests go by. One may not hide the model itself.
    pub(super) fn adapters(&mut self, model: &str, at: &At<'_>) -> Option<LoraAdapters> {
        if !at.is_there() {
            return None;
        }
        let sources = at.key("sources");
        let found: BTreeMap<String, String> = sources
            .entries()
            .into_iter()
            .filter_map(|(name, at)| Some((name.to_owned(), at.text()?)))
            .collect();
        if sources.get(|v| Ok(v.as_object().is_some_and(Map::is_empty))) == Some(true) {
            let fix = "name each adapter and its repository: `sources: { legal: acme/legal-lora }`";
            let problem = Problem::new("empty-value", "no adapter is named", "empty", fix);
            self.report(&sources.pointer, false, problem);
        }
        for (name, at) in sources.entries() {
            if name == model {
                let what = format!("the adapter `{name}` has the name of its model");
                let fix = "name it otherwise: a request for that name is one for the model without any";
                self.report(&at.pointer, true, Problem::new("duplicate-name", what, "hides the model", fix));
            }
            let repository = at.text().unwrap_or_default();
            let known = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            if !repository.is_empty() && (!repository.chars().all(known) || repository.starts_with('-')) {
                let fix =
                    "write the repository as the hub names it, `acme/legal-lora`, or a path on the machine";
                let what = format!("`{repository}` is no repository of the adapter `{name}`");
                self.report(&at.pointer, false, Problem::new("bad-name", what, "not a repository", fix));
            }
        }
        Some(LoraAdapters { max_rank: at.key("max_rank").whole()?, sources: found })
    }

    /// The engines of all that asks for a model with adapters have them.
    pub(super) fn adapters_are_served(&mut self, root: &At<'_>, models: &BTreeMap<String, Model>) {
        for (kind, name, at) in ["services", "batches"].into_iter().flat_map(|kind| {
            root.key(kind).entries().into_iter().map(move |(name, at)| (kind, name.to_owned(), at))
        }) {
            let engine = at.key("engine").key("name");
            let model =
                at.key("model").text().filter(|m| models.get(m).is_some_and(|m| m.adapters.is_some()));
            if let (Some(model), Some("trtllm")) = (model, engine.word()) {
                let what = format!("`{kind}.{name}` on TensorRT-LLM with the adapters of `{model}`");
                let help = "write `vllm` or `sglang`: the size of its cache of adapters is part of a file of its own";
                self.report(&engine.pointer, false, leaf::not_yet(&what, help));
            }
        }
    }
}
