//! The tree against the key table: unknown keys, missing keys, wrong values.

use std::collections::BTreeSet;

use serde_json::Value;

use super::keys::{Key, Kind, Names, section};
use super::units::{Problem, Unit, describe, hourly, money, quantity};
use super::{Vocabulary, day, leaf, shape};
use crate::diagnostic::{Diagnostic, Pointer, SourceMap, did_you_mean};

/// What the check needs to know.
pub struct Checker<'a> {
    /// Places.
    pub map: &'a SourceMap,
    /// Known names.
    pub vocabulary: &'a Vocabulary,
    /// Names in `models`.
    pub models: Vec<String>,
    /// Names in `sites`.
    pub sites: Vec<String>,
    /// Addresses of batches and trainings.
    pub runs: Vec<String>,
    /// Addresses of all workloads.
    pub workloads: Vec<String>,
    /// Places whose values were copied from `defaults`, where they are checked.
    copied: BTreeSet<Pointer>,
    /// Whether some values are missing because their expressions could not be evaluated.
    gaps: bool,
    /// What was found.
    pub problems: Vec<Diagnostic>,
}

fn names(tree: &Value, section: &str) -> Vec<String> {
    tree.get(section).and_then(Value::as_object).map(|m| m.keys().cloned().collect()).unwrap_or_default()
}

impl<'a> Checker<'a> {
    /// For one tree.
    pub fn new(
        map: &'a SourceMap,
        vocabulary: &'a Vocabulary,
        tree: &Value,
        copied: BTreeSet<Pointer>,
        gaps: bool,
    ) -> Self {
        let mut workloads: Vec<String> = Vec::new();
        for kind in super::WORKLOADS {
            workloads.extend(names(tree, kind).into_iter().map(|n| format!("{kind}.{n}")));
        }
        Checker {
            map,
            vocabulary,
            models: names(tree, "models"),
            sites: names(tree, "sites"),
            runs: workloads.iter().filter(|a| !a.starts_with("services.")).cloned().collect(),
            workloads,
            copied,
            gaps,
            problems: Vec::new(),
        }
    }

    /// Checks the whole tree.
    pub fn root(&mut self, tree: &Value) {
        self.section(super::keys::ROOT, tree, &Pointer::root(), false);
    }

    fn report(&mut self, at: &Pointer, on_key: bool, problem: Problem) {
        let diagnostic = Diagnostic::error(problem.code, problem.message);
        let diagnostic = if on_key { diagnostic.at_key(self.map, at) } else { diagnostic.at(self.map, at) };
        self.problems.push(diagnostic.label(problem.label).help(problem.help));
    }

    fn section(&mut self, keys: &'static [Key], value: &Value, at: &Pointer, partial: bool) {
        let Some(map) = self.expect_map(value, at) else { return };
        for (name, value) in map {
            let place = at.join(name);
            if self.copied.contains(&place) {
                continue;
            }
            let Some(key) = keys.iter().find(|k| k.name == name) else {
                self.unknown_key(keys, name, at, &place);
                continue;
            };
            if key.not_yet {
                let what = format!("`{}`", place.dotted());
                self.report(
                    &place,
                    true,
                    leaf::not_yet(
                        &what,
                        key.instead.unwrap_or("leave it out; what is planned by now is in `rhumb schema`"),
                    ),
                );
            } else if let Some(word) = value.as_str().filter(|w| key.later.contains(w)) {
                self.report(&place, false, leaf::not_yet(&format!("`{word}`"), "write the values out"));
            } else if value.is_null() && self.gaps {
            } else if value.is_null() && !matches!(key.kind, Kind::Anything | Kind::Literal) {
                self.report(
                    &place,
                    true,
                    Problem::new(
                        "empty-value",
                        format!("`{name}` has no value"),
                        "empty",
                        "write a value, or remove the key",
                    ),
                );
            } else {
                self.value(&key.kind, value, &place, partial);
            }
        }
        if partial {
            return;
        }
        for key in keys.iter().filter(|k| k.required && !map.contains_key(k.name)) {
            let (what, key_name) = if at.0.is_empty() {
                ("the spec".to_owned(), key.name)
            } else {
                (format!("`{}`", at.dotted()), key.name)
            };
            self.report(
                at,
                true,
                Problem::new(
                    "missing-key",
                    format!("{what} needs the key `{key_name}`"),
                    format!("`{key_name}` is missing"),
                    format!("add `{key_name}`: {}", first_sentence(key.doc)),
                ),
            );
        }
    }

    fn unknown_key(&mut self, keys: &'static [Key], name: &str, at: &Pointer, place: &Pointer) {
        let near = did_you_mean(name, keys.iter().map(|k| k.name));
        let singular = keys
            .iter()
            .find(|k| k.name.strip_suffix('s') == Some(name) || k.name.strip_suffix("es") == Some(name));
        let dotted = at.dotted();
        let segments: Vec<&str> = at.0.split('/').skip(1).collect();
        let elsewhere = super::keys::elsewhere(name, &segments);
        let below = |path: &str| {
            let prefix = if dotted.is_empty() { String::new() } else { format!("{dotted}.") };
            path.strip_prefix(&prefix).map(str::to_owned)
        };
        let help = match (singular, near, elsewhere) {
            (Some(key), ..) => format!("did you mean `{}`?", key.name),
            (_, Some(near), None) => format!("did you mean `{near}`?"),
            (_, Some(near), Some(other)) if below(&other.path).is_none() => {
                format!("did you mean `{near}`?")
            }
            (_, _, Some(other)) => {
                let path = below(&other.path).unwrap_or_else(|| other.path.clone());
                if other.key.not_yet {
                    format!("it belongs to `{path}`, which is not supported yet: leave it out")
                } else if path.contains('.') {
                    format!("did you mean `{path}`?")
                } else {
                    format!("`{path}` belongs to the top level")
                }
            }
            (None, None, None) => {
                let known: Vec<_> =
                    keys.iter().filter(|k| !k.not_yet).map(|k| format!("`{}`", k.name)).collect();
                format!("keys here: {}", known.join(", "))
            }
        };
        let message = if at.0.is_empty() {
            format!("unknown key `{name}`")
        } else {
            format!("unknown key `{name}` in `{}`", at.dotted())
        };
        self.report(place, true, Problem::new("unknown-key", message, "unknown key", help));
    }

    fn expect_map<'v>(
        &mut self,
        value: &'v Value,
        at: &Pointer,
    ) -> Option<&'v serde_json::Map<String, Value>> {
        let map = value.as_object();
        if map.is_none() {
            self.report(
                at,
                false,
                Problem::new(
                    "wrong-type",
                    format!("expected a map, found {}", describe(value)),
                    "expected a map of keys",
                    "write `key: value` lines below it",
                ),
            );
        }
        map
    }

    /// Checks a value; `partial` if keys that are required may be elsewhere.
    pub fn value(&mut self, kind: &'static Kind, value: &Value, at: &Pointer, partial: bool) {
        if self.gaps
            && !matches!(kind, Kind::Section(_) | Kind::Map { .. } | Kind::Defaults)
            && has_gap(value)
        {
            return;
        }
        let vocabulary = self.vocabulary;
        let problem = match kind {
            Kind::Anything => None,
            Kind::Text => leaf::text(value).err(),
            Kind::Label => leaf::label(value).err(),
            Kind::Name => leaf::name(value).err(),
            Kind::Whole { min, max, auto } => leaf::whole(*min, *max, *auto, value).err(),
            Kind::Bool => leaf::boolean(value).err(),
            Kind::BoolOrAuto => leaf::bool_or_auto(value).err(),
            Kind::Quantity(Unit::Monthly, _) => money(value).err(),
            Kind::Quantity(Unit::Hourly, _) => hourly(value).err(),
            Kind::Quantity(unit, range) => quantity(*unit, *range, value).err(),
            Kind::PercentOrAuto(range) => leaf::share_or_auto(*range, value).err(),
            Kind::Choice { values, later } => leaf::choice(values, later, value).err(),
            Kind::List(of) => return self.list(of, value, at),
            Kind::Map { names, of, .. } => return self.map(*names, of, value, at),
            Kind::Section(_) | Kind::Defaults => {
                let partial = partial || matches!(kind, Kind::Defaults);
                return self.section(section(kind).unwrap_or(&[]), value, at, partial);
            }
            Kind::Lengths => shape::lengths(true, value).err(),
            Kind::Objectives => return self.objectives(value, at),
            Kind::Arrivals => shape::arrivals(value).err(),
            Kind::Objective => super::objective::read(value).err(),
            Kind::Daily => day::shares(value).err(),
            Kind::Weekend => day::weekend(value).err(),
            Kind::TimeZone => day::time_zone(value).err(),
            Kind::DuringFailureSlo => shape::relax(value).err(),
            Kind::AllowDeny(of) => return self.allow_deny(of, value, at),
            Kind::Place => leaf::place(vocabulary, value).err(),
            Kind::Cloud => leaf::cloud(value).err(),
            Kind::Region => leaf::region(vocabulary, value).err(),
            Kind::Accelerator => leaf::accelerators(vocabulary, value).err(),
            Kind::InstanceType => leaf::instance_type(vocabulary, value).err(),
            Kind::Jurisdiction => leaf::jurisdiction(vocabulary, value).err(),
            Kind::ModelSource => super::model_source::read(vocabulary, value).err(),
            Kind::Launch => super::measured::launch(value).err(),
            Kind::Model => reference(value, &self.models, "model", "models"),
            Kind::Site => reference(value, &self.sites, "site", "sites"),
            Kind::Step => super::chain::step(value).err(),
            Kind::Run => reference(value, &self.runs, "batch, training, pipeline or federation", "runs"),
            Kind::Secret => leaf::secret(value).err(),
            Kind::Path => leaf::path(value).err(),
            Kind::Cron => super::cron::parse(value).err(),
            Kind::Date => leaf::date(value).err(),
            Kind::SeasonDay => super::season::day(value).err(),
            Kind::SeasonPeak => super::season::peak(value).err(),
            Kind::Lead => super::season::lead(value).err(),
            Kind::Version => leaf::version(value).err(),
            Kind::Literal => None,
        };
        if let Some(problem) = problem {
            let place = self.inner_place(value, at, &problem);
            self.report(&place.0, place.1, problem);
        }
    }

    /// For a map that is read as one value: the key or the member that the problem is about.
    fn inner_place(&self, value: &Value, at: &Pointer, problem: &Problem) -> (Pointer, bool) {
        let Some(map) = value.as_object() else { return (at.clone(), false) };
        if problem.code == "unknown-key" {
            for key in map.keys() {
                if problem.message.contains(&format!("`{key}`")) {
                    return (at.join(key), true);
                }
            }
        }
        for (key, inner) in map {
            let written = match inner {
                Value::String(s) => s.clone(),
                Value::Object(deeper) if deeper.len() == 1 => {
                    if let Some((name, Value::Number(n))) = deeper.iter().next()
                        && problem.message.contains(&format!("`{n}`"))
                    {
                        return (at.join(key).join(name), false);
                    }
                    continue;
                }
                other => other.to_string(),
            };
            if problem.message.contains(&format!("`{written}`")) {
                return (at.join(key), false);
            }
        }
        (at.clone(), false)
    }

    fn list(&mut self, of: &'static Kind, value: &Value, at: &Pointer) {
        let Value::Array(items) = value else {
            return self.report(
                at,
                false,
                Problem::new(
                    "wrong-type",
                    format!("expected a list, found {}", describe(value)),
                    "expected a list",
                    match value {
                        Value::String(s) => format!("write `[{s}]`"),
                        _ => "write `[a, b]`".to_owned(),
                    },
                ),
            );
        };
        for (i, item) in items.iter().enumerate() {
            let place = at.join(i);
            self.value(of, item, &place, false);
            if items[..i].contains(item) {
                self.report(
                    &place,
                    false,
                    Problem::new("listed-twice", "listed twice", "again", "remove one of the two"),
                );
            }
        }
    }

    fn map(&mut self, names: Names, of: &'static Kind, value: &Value, at: &Pointer) {
        let Some(map) = self.expect_map(value, at) else { return };
        for (name, value) in map {
            let place = at.join(name);
            if self.copied.contains(&place) {
                continue;
            }
            if let Some(problem) = self.bad_entry(names, name) {
                self.report(&place, true, problem);
                continue;
            }
            // `bf16:` and `bf16: {}` mean the same.
            if value.is_null() && self.gaps
                || value.is_null() && matches!(of, Kind::Section(keys) if keys.iter().all(|k| !k.required))
            {
                continue;
            }
            self.value(of, value, &place, false);
        }
    }

    fn bad_entry(&self, names: Names, name: &str) -> Option<Problem> {
        let bad = |what: &str| {
            Problem::new("bad-name", format!("`{name}` cannot be a name here"), "not a name", what)
        };
        match names {
            Names::Name => (!leaf::is_name(name)).then(|| leaf::bad_name(name)),
            Names::Identifier => {
                let fine = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                (!fine).then(|| bad("use letters, digits and `_`, so that `${...}` can refer to it"))
            }
            Names::Loose => {
                let fine = !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
                (!fine).then(|| bad("use letters, digits, `-`, `_` and `.`"))
            }
            Names::Cloud => leaf::cloud(&Value::from(name)).err(),
            Names::Address => reference(&Value::from(name), &self.workloads, "workload", "workloads"),
            Names::Any => name.trim().is_empty().then(|| bad("write something")),
        }
    }

    fn objectives(&mut self, value: &Value, at: &Pointer) {
        let Value::Object(map) = value else {
            let written = match value {
                Value::String(s) => s.clone(),
                other => other.to_string(),
            };
            return self.report(
                at,
                false,
                Problem::new(
                    "wrong-type",
                    format!("expected percentiles, found {}", describe(value)),
                    "at which percentile?",
                    format!("write `{{ p95: {written} }}`"),
                ),
            );
        };
        for (name, limit) in map {
            let place = at.join(name);
            if let Err(problem) = shape::quantile(name) {
                self.report(&place, true, problem);
            }
            if let Err(problem) = quantity(Unit::Duration, super::units::Range::POSITIVE, limit) {
                self.report(&place, false, problem);
            }
        }
    }

    fn allow_deny(&mut self, of: &'static Kind, value: &Value, at: &Pointer) {
        if let Err(problem) = leaf::allow_deny(value, |v| vec![v.clone()]) {
            return self.report(at, false, problem);
        }
        match value {
            Value::Object(map) => {
                if let Some(list) = map.get("not") {
                    self.list(of, list, &at.join("not"));
                }
            }
            Value::Array(_) => self.list(of, value, at),
            _ => {}
        }
    }
}

fn reference(value: &Value, known: &[String], noun: &str, plural: &str) -> Option<Problem> {
    let Value::String(written) = value else {
        return Some(Problem::new(
            "wrong-type",
            format!("expected the name of a {noun}, found {}", describe(value)),
            "expected a name",
            format!("write a name of `{plural}`"),
        ));
    };
    if known.contains(written) {
        return None;
    }
    let prefixed = known.iter().find(|k| k.split_once('.').is_some_and(|(_, n)| n == written));
    let help = match prefixed {
        Some(full) => format!("did you mean `{full}`?"),
        None => leaf::suggest(written, known.iter().map(String::as_str), plural),
    };
    Some(Problem::new(
        "unknown-reference",
        format!("there is no {noun} `{written}`"),
        format!("not among the {plural}"),
        help,
    ))
}

/// Whether a part is missing because its expression could not be evaluated.
fn has_gap(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_gap),
        Value::Object(map) => map.values().any(has_gap),
        _ => false,
    }
}

fn first_sentence(doc: &str) -> String {
    let end = doc.find(". ").unwrap_or(doc.len());
    let sentence = doc[..end].trim_end_matches('.');
    let mut chars = sentence.chars();
    match chars.next() {
        // `CSV` and `ISO 3166` stay what they are.
        Some(first) if !chars.clone().next().is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => sentence.to_owned(),
    }
}
