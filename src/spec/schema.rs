//! The key table as JSON Schema, as the text of one key, and as a reference page.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::day;
use super::keys::{Key, Kind, Names, ROOT, find, section};
use super::leaf::SECRET_SCHEMES;
use super::units::{Range, Unit};
use crate::diagnostic::did_you_mean;

/// The dialect.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// JSON Schema of a whole spec, for editors and validators; it describes YAML and the tree of HCL.
///
/// An expression `${...}` may stand for any value. What only several keys together can be wrong about,
/// and names that only the catalogue knows, are checked by `rhumb validate`.
pub fn json_schema() -> Value {
    let mut schema = section_schema(ROOT, false);
    if let Value::Object(map) = &mut schema {
        let mut full = Map::new();
        full.insert("$schema".to_owned(), json!(DIALECT));
        full.insert("title".to_owned(), json!("rhumb spec"));
        full.append(map);
        full.insert("$defs".to_owned(), json!({ "expression": { "type": "string", "pattern": "\\$\\{" } }));
        return Value::Object(full);
    }
    schema
}

/// JSON Schema of one key.
pub fn key_schema(key: &'static Key) -> Value {
    let mut schema = kind_schema(&key.kind, false);
    if let Value::Object(map) = &mut schema {
        map.insert("description".to_owned(), json!(key.doc));
        if let Some(default) = key.default {
            map.insert("$comment".to_owned(), json!(format!("default: {default}")));
        }
    }
    schema
}

fn section_schema(keys: &'static [Key], partial: bool) -> Value {
    let mut properties = Map::new();
    for key in keys.iter().filter(|k| !k.not_yet) {
        properties.insert(key.name.to_owned(), key_schema(key));
    }
    // What `defaults` may hold need not be in the workload itself.
    let supplied = ["traffic"];
    let required: Vec<&str> = keys
        .iter()
        .filter(|k| k.required && !k.not_yet && !partial && !supplied.contains(&k.name))
        .map(|k| k.name)
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    // A service has a model or a profile in its place.
    let either = ["model", "profile"];
    let both = either.iter().all(|name| keys.iter().any(|key| key.name == *name));
    if let (true, false, Value::Object(map)) = (both, partial, &mut schema) {
        map.insert("anyOf".to_owned(), either.iter().map(|name| json!({ "required": [name] })).collect());
    }
    schema
}

/// A value, or an expression that gives it.
fn or_expression(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "$ref": "#/$defs/expression" }] })
}

fn quantity_schema(unit: Unit, range: Range) -> Value {
    let units: Vec<&str> = unit.spellings().iter().map(|s| s.0).collect();
    let sign = if range.min >= 0.0 { "\\+?" } else { "[+-]?" };
    let pattern =
        format!("^\\s*{sign}[0-9][0-9_]*(\\.[0-9]+)?([eE][+-]?[0-9]+)?\\s*({})\\s*$", units.join("|"));
    let text = json!({ "type": "string", "pattern": pattern, "examples": [unit.example()] });
    if !matches!(unit, Unit::Count | Unit::Number) {
        return text;
    }
    let mut number = json!({ "type": "number" });
    number[if range.min_open { "exclusiveMinimum" } else { "minimum" }] = json!(range.min);
    if range.max < 1e15 {
        number[if range.max_open { "exclusiveMaximum" } else { "maximum" }] = json!(range.max);
    }
    json!({ "anyOf": [number, text] })
}

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn kind_schema(kind: &'static Kind, partial: bool) -> Value {
    match kind {
        Kind::Anything | Kind::Literal => json!({}),
        Kind::Text
        | Kind::Path
        | Kind::Region
        | Kind::InstanceType
        | Kind::Accelerator
        | Kind::Jurisdiction => text(),
        Kind::ModelSource | Kind::Model | Kind::Site | Kind::Cron => text(),
        Kind::Launch => {
            let time = or_expression(quantity_schema(Unit::Duration, Range::POSITIVE));
            let whole =
                |most: u64| or_expression(json!({ "type": "integer", "minimum": 1, "maximum": most }));
            let (batch, vcpus) = (whole(super::MOST_OF_A_LAUNCH), whole(super::MOST_VCPUS));
            json!({ "anyOf": [
                time.clone(),
                { "type": "object", "properties": { "batch": batch, "takes": time, "vcpus": vcpus },
                  "required": ["takes"], "anyOf": [{ "required": ["batch"] }, { "required": ["vcpus"] }],
                  "additionalProperties": false },
            ] })
        }
        Kind::Run => or_expression(
            json!({ "type": "string", "pattern": "^(batches|trainings|pipelines|federations)\\.[a-z][a-z0-9-]*$" }),
        ),
        Kind::Label => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Name => or_expression(json!({ "type": "string", "pattern": NAME })),
        Kind::Whole { min, max, auto } => {
            let number = json!({ "type": "integer", "minimum": min, "maximum": max });
            match auto {
                true => or_expression(json!({ "anyOf": [number, { "const": "auto" }] })),
                false => or_expression(number),
            }
        }
        Kind::Bool => or_expression(json!({ "type": "boolean" })),
        Kind::BoolOrAuto => or_expression(json!({ "enum": [true, false, "auto"] })),
        Kind::Quantity(unit, range) => or_expression(quantity_schema(*unit, *range)),
        Kind::PercentOrAuto(range) => or_expression(json!({ "anyOf": [
            quantity_schema(Unit::Percent, *range), quantity_schema(Unit::Number, *range), { "const": "auto" },
        ] })),
        Kind::Choice { values, .. } => or_expression(json!({ "enum": values })),
        Kind::List(of) => {
            or_expression(json!({ "type": "array", "items": kind_schema(of, false), "uniqueItems": true }))
        }
        Kind::Map { names, of, .. } => {
            let mut value = kind_schema(of, false);
            if matches!(of, Kind::Section(keys) if keys.iter().all(|k| !k.required)) {
                value = json!({ "anyOf": [value, { "type": "null" }] });
            }
            let mut map = json!({ "type": "object", "additionalProperties": value });
            if let Some(pattern) = names_pattern(*names) {
                map["propertyNames"] = json!({ "pattern": pattern });
            }
            map
        }
        Kind::Section(keys) => section_schema(keys, partial),
        Kind::Defaults => {
            let keys = section(kind).unwrap_or(&[]);
            let mut properties = Map::new();
            for key in keys.iter().filter(|k| !k.not_yet) {
                let mut schema = kind_schema(&key.kind, true);
                schema["description"] = json!(key.doc);
                properties.insert(key.name.to_owned(), schema);
            }
            json!({ "type": "object", "properties": properties, "additionalProperties": false })
        }
        Kind::Lengths => {
            let tokens = or_expression(quantity_schema(Unit::Count, Range::NOT_NEGATIVE));
            let number = or_expression(quantity_schema(Unit::Number, Range::NOT_NEGATIVE));
            json!({ "anyOf": [
                tokens.clone(),
                { "type": "object", "properties": { "p50": tokens.clone(), "p95": tokens.clone(), "max": tokens.clone() },
                  "required": ["p50", "p95"], "additionalProperties": false },
                { "type": "object", "properties": { "mean": tokens.clone(), "p95": tokens.clone(), "max": tokens.clone() },
                  "required": ["mean", "p95"], "additionalProperties": false },
                { "type": "object", "properties": { "mean": tokens.clone(), "cv2": number, "max": tokens },
                  "required": ["mean"], "additionalProperties": false },
            ] })
        }
        Kind::Objectives => json!({
            "type": "object",
            "propertyNames": { "pattern": "^(mean|p[0-9]{1,2}(\\.[0-9]{1,2})?)$" },
            "additionalProperties": or_expression(quantity_schema(Unit::Duration, Range::POSITIVE)),
        }),
        Kind::Arrivals => {
            let range = Range { min: 1.0, min_open: true, max: 1000.0, max_open: false };
            let bursty = json!({ "type": "object", "properties": { "cv2": or_expression(quantity_schema(Unit::Number, range)) },
                "required": ["cv2"], "additionalProperties": false });
            or_expression(json!({ "anyOf": [
                { "enum": ["poisson", "constant"] },
                { "type": "object", "properties": { "bursty": bursty }, "required": ["bursty"], "additionalProperties": false },
            ] }))
        }
        Kind::Objective => {
            let price = or_expression(quantity_schema(Unit::PerTonne, Range::POSITIVE));
            or_expression(json!({ "anyOf": [
                { "enum": ["cost", "carbon"] },
                { "type": "object", "properties": { "carbon_price": price }, "required": ["carbon_price"], "additionalProperties": false },
            ] }))
        }
        Kind::Daily => {
            let share = or_expression(quantity_schema(Unit::Percent, Range::SHARE));
            or_expression(json!({ "anyOf": [
                { "enum": day::NAMES },
                { "type": "array", "items": share, "minItems": 24, "maxItems": 24 },
            ] }))
        }
        Kind::Weekend => or_expression(json!({ "anyOf": [
            kind_schema(&Kind::Daily, false),
            quantity_schema(Unit::Percent, Range::SHARE),
        ] })),
        Kind::TimeZone => or_expression(json!({ "type": "string", "pattern": "^[A-Za-z0-9_+/-]+$" })),
        Kind::DuringFailureSlo => {
            or_expression(json!({ "type": "string", "pattern": "^\\s*(keep|relax\\s+[0-9.]+\\s*x)\\s*$" }))
        }
        Kind::AllowDeny(of) => {
            let list = json!({ "type": "array", "items": kind_schema(of, false), "uniqueItems": true });
            let mut full = list.clone();
            full["minItems"] = json!(1);
            or_expression(json!({ "anyOf": [
                { "const": "any" }, full,
                { "type": "object", "properties": { "not": list }, "required": ["not"], "additionalProperties": false },
            ] }))
        }
        Kind::Place => json!({ "anyOf": [
            text(),
            { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 },
        ] }),
        Kind::Step => json!({ "anyOf": [
            text(),
            { "type": "array", "items": text(), "minItems": 2, "uniqueItems": true },
        ] }),
        Kind::Cloud => or_expression(json!({ "enum": rhumb_api::Cloud::ALL.map(rhumb_api::Cloud::as_str) })),
        Kind::Secret => or_expression(
            json!({ "type": "string", "pattern": format!("^({}):\\S+$", SECRET_SCHEMES.join("|")) }),
        ),
        Kind::Date => or_expression(json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" })),
        Kind::SeasonDay => {
            or_expression(json!({ "type": "string", "pattern": "^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$" }))
        }
        Kind::SeasonPeak => {
            or_expression(json!({ "type": "string", "pattern": "^\\s*[0-9.]+\\s*(x|%)\\s*$" }))
        }
        Kind::Lead => or_expression(quantity_schema(Unit::Duration, Range::NOT_NEGATIVE)),
        Kind::Version => or_expression(json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)*$" })),
    }
}

const NAME: &str = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$";

fn names_pattern(names: Names) -> Option<&'static str> {
    match names {
        Names::Name => Some(NAME),
        Names::Identifier => Some("^[A-Za-z_][A-Za-z0-9_]*$"),
        Names::Loose => Some("^[A-Za-z0-9_.-]+$"),
        Names::Cloud => Some("^(aws|azure|gcp)$"),
        Names::Address => Some("^(services|batches|trainings|pipelines|federations)\\.[a-z][a-z0-9-]*$"),
        Names::Any => None,
    }
}

/// What a value may be, in words, and an example.
pub fn describe(kind: &'static Kind) -> (String, Option<&'static str>) {
    let plain = |text: &str, example: &'static str| (text.to_owned(), Some(example));
    match kind {
        Kind::Anything | Kind::Literal => ("any value".to_owned(), None),
        Kind::Text => ("text".to_owned(), None),
        Kind::Label => ("text, a number, true or false".to_owned(), None),
        Kind::Name => plain("a name: lower-case letters, digits and `-`", "support-chat"),
        Kind::Whole { min, max, .. } if min == max => (format!("the number {min}"), None),
        Kind::Whole { min, max, auto } => {
            let or = if *auto { ", or `auto`" } else { "" };
            (format!("a whole number from {min} to {max}{or}"), None)
        }
        Kind::Bool => ("`true` or `false`".to_owned(), None),
        Kind::BoolOrAuto => ("`true`, `false` or `auto`".to_owned(), None),
        Kind::Quantity(Unit::Number, range) => (format!("a number, {}", range.describe(Unit::Number)), None),
        Kind::Quantity(unit, range) => {
            (format!("{} ({}), {}", unit.noun(), unit.list(), range.describe(*unit)), Some(unit.example()))
        }
        Kind::PercentOrAuto(range) => {
            (format!("a percentage or a fraction, {}, or `auto`", range.describe(Unit::Percent)), Some("90%"))
        }
        Kind::Choice { values, later } => {
            let words = |list: &[&str]| list.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ");
            let later = if later.is_empty() { String::new() } else { format!("; not yet: {}", words(later)) };
            (format!("one of {}{later}", words(values)), None)
        }
        Kind::List(of) => (format!("a list, each {}", describe(of).0), None),
        Kind::Map { entry, of, .. } => (format!("a map of {entry} to {}", describe(of).0), None),
        Kind::Section(_) | Kind::Defaults => ("a map of keys".to_owned(), None),
        Kind::Lengths => plain(
            "tokens: a number, `p50` or `mean` with `p95` (a lognormal), or `mean` with or without `cv2`; `max` is the 99.9th percentile unless stated",
            "{ p50: 600, p95: 2800 }",
        ),
        Kind::Objectives => plain("a map of percentiles (`p95`, `mean`) to durations", "{ p95: 500ms }"),
        Kind::Arrivals => plain("`poisson`, `constant` or a burstiness", "{ bursty: { cv2: 4 } }"),
        Kind::Objective => plain("`cost`, `carbon` or a price of carbon", "{ carbon_price: 90 USD/t }"),
        Kind::Daily => plain("a named profile, or 24 percentages from midnight on", "office-hours"),
        Kind::Weekend => plain(
            "a named profile, 24 percentages from midnight on, or one percentage: that part of `daily` in each hour",
            "20%",
        ),
        Kind::TimeZone => plain("a time zone by its IANA name", "Europe/Berlin"),
        Kind::DuringFailureSlo => plain("`keep`, or `relax` with a factor", "relax 2x"),
        Kind::AllowDeny(of) => {
            (format!("`any`, a list, or `{{ not: [...] }}`, each {}", describe(of).0), None)
        }
        Kind::Place => plain("a country, a region, coordinates, a site or `vpc`", "DE"),
        Kind::Cloud => plain("`aws`, `azure` or `gcp`", "aws"),
        Kind::Region => plain("a region", "aws/eu-west-1"),
        Kind::Accelerator => plain("an accelerator or a family", "h100"),
        Kind::InstanceType => plain("an instance type", "p5.48xlarge"),
        Kind::Jurisdiction => plain("a jurisdiction or a country", "eu"),
        Kind::ModelSource => plain("a known model, or the path of a `config.json`", "Qwen/Qwen3-32B"),
        Kind::Launch => plain(
            "a time, or `batch` items with the time that they take together, on processors with the `vcpus` of a server",
            "6.1ms",
        ),
        Kind::Model => ("a name in `models`".to_owned(), None),
        Kind::Site => ("a name in `sites`".to_owned(), None),
        Kind::Step => plain("a name in `services`, or a list of those that are called at once", "rank"),
        Kind::Run => plain("the address of a batch, a training, a pipeline or a federation", "batches.embed"),
        Kind::Secret => (
            format!("a reference to a secret: {}", SECRET_SCHEMES.map(|s| format!("`{s}:`")).join(", ")),
            Some("env:API_KEYS"),
        ),
        Kind::Path => plain("a path relative to the spec's folder", "./requests.csv"),
        Kind::Cron => plain("five cron fields, UTC", "\"0 1 * * *\""),
        Kind::Date => plain("a day", "2027-06-30"),
        Kind::SeasonDay => plain("a day of every year, or with the year a day once", "11-20"),
        Kind::SeasonPeak => {
            plain("a factor on the usual peak, or a percentage of it, from 0.01x to 100x", "4x")
        }
        Kind::Lead => plain("a duration of whole days, at most 90d", "3d"),
        Kind::Version => plain("a version in quotes", "\"0.17\""),
    }
}

/// The keys below a key, through maps of named entries.
fn below(kind: &'static Kind) -> &'static [Key] {
    match kind {
        Kind::Map { of, .. } => below(of),
        other => section(other).unwrap_or(&[]),
    }
}

fn wrap(text: &str, indent: usize, width: usize) -> String {
    let mut out = String::new();
    let mut column = width;
    for word in text.split(' ') {
        if column + 1 + word.chars().count() > width {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.chars().count();
    }
    out
}

/// Paths that end in a name, a few of them.
fn elsewhere(name: &str) -> Vec<String> {
    let ends = all_keys().into_iter().filter(|(_, k)| k.name == name && !k.not_yet);
    ends.take(3).map(|(path, _)| format!("`{path}`")).collect()
}

/// The text of one key: type, unit, default, meaning, and the keys below it.
///
/// # Errors
/// The path does not lead to a key; the text says how far it leads and what is there.
pub fn explain(path: &str, width: usize) -> Result<String, String> {
    let key = find(path).map_err(|(walked, known)| {
        let last = path.rsplit('.').next().unwrap_or(path);
        let place = if walked.is_empty() { "the top level".to_owned() } else { format!("`{walked}`") };
        match did_you_mean(last, known.iter().copied()) {
            Some(near) => format!("there is no key `{path}`; did you mean `{near}`?"),
            None if !elsewhere(last).is_empty() => {
                format!("there is no key `{path}`; did you mean {}?", elsewhere(last).join(" or "))
            }
            None if known.is_empty() => format!("there is no key `{path}`: {place} has no keys below it"),
            None => format!("there is no key `{path}`; keys of {place}: {}", known.join(", ")),
        }
    })?;
    let mut out = String::new();
    let _ = writeln!(out, "{path}\n");
    let _ = writeln!(out, "{}\n", wrap(key.doc, 2, width));
    if key.not_yet {
        let _ = writeln!(out, "  Not supported yet: a spec that has it is refused.");
        return Ok(out);
    }
    let (kind, example) = describe(&key.kind);
    let _ = writeln!(out, "  type      {}", wrap(&kind, 12, width).trim_start());
    let _ = writeln!(out, "  required  {}", if key.required { "yes" } else { "no" });
    if let Some(default) = key.default {
        let _ = writeln!(out, "  default   {default}");
    }
    if let Some(example) = example {
        let _ = writeln!(out, "  example   {}: {example}", key.name);
    }
    let keys = below(&key.kind);
    if !keys.is_empty() {
        let _ = writeln!(
            out,
            "\nKeys{}:",
            if matches!(key.kind, Kind::Map { .. }) { " of an entry" } else { "" }
        );
        for child in keys {
            let mark = match (child.not_yet, child.required) {
                (true, _) => " (not supported yet)",
                (_, true) => " (required)",
                _ => "",
            };
            let _ = writeln!(out, "  {}{mark}", child.name);
            let _ = writeln!(out, "{}", wrap(child.doc, 6, width));
        }
    }
    Ok(out)
}

/// The reference of all keys, in Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Keys of a spec\n\n\
         Generated from the key table in `src/spec/keys/table.rs`; `rhumb schema PATH` prints one entry, `rhumb schema`\n\
         the JSON Schema. In an editor with a YAML language server, begin a spec with\n\n\
         ```yaml\n# yaml-language-server: $schema=./rhumb.schema.json\n```\n\n\
         after `rhumb schema > rhumb.schema.json`. A month is 730 hours.\n\n\
         ## HCL\n\n\
         The same tree in HCL: `key = value`, a section is a block `key { ... }`, and the entries of these maps are\n\
         labelled blocks:\n\n\
         | HCL | YAML |\n|---|---|\n",
    );
    for block in super::hcl::BLOCKS.iter().filter(|b| b.labelled) {
        let supported = |name: &str| all_keys().iter().any(|(_, k)| k.name == name && !k.not_yet);
        if supported(block.key) {
            let _ =
                writeln!(out, "| `{} \"NAME\" {{ ... }}` | `{}: {{ NAME: ... }}` |", block.block, block.key);
        }
    }
    out.push_str("\n## Functions in `${...}`\n\n| function | gives |\n|---|---|\n");
    for function in super::functions::TABLE {
        let _ = writeln!(out, "| `{}` | {} |", function.signature, function.doc);
    }
    out.push_str("\n## Keys\n\n| key | value | default | meaning |\n|---|---|---|---|\n");
    let cell = |text: &str| text.replace('|', "\\|");
    for (path, key) in all_keys() {
        if key.not_yet {
            continue;
        }
        let default = if key.required { "required" } else { key.default.unwrap_or("") };
        let value = describe(&key.kind).0;
        let _ = writeln!(out, "| `{path}` | {} | {} | {} |", cell(&value), cell(default), cell(key.doc));
    }
    out.push_str("\n## Not supported yet\n\nRefused by name, with file and line:\n\n");
    for (path, key) in all_keys() {
        for word in key.later {
            let _ = writeln!(out, "- `{path}: {word}`");
        }
        if key.not_yet {
            let _ = writeln!(out, "- `{path}`: {}", key.doc);
        } else if let Kind::Choice { later, .. } = &key.kind
            && !later.is_empty()
        {
            let words: Vec<String> = later.iter().map(|l| format!("`{l}`")).collect();
            let _ = writeln!(out, "- `{path}`: {}", words.join(", "));
        }
    }
    out
}

/// Every key with its path, in the order of the table; `defaults` only names the sections it repeats.
pub fn all_keys() -> Vec<(String, &'static Key)> {
    fn walk(keys: &'static [Key], prefix: &str, out: &mut Vec<(String, &'static Key)>) {
        for key in keys {
            let mut path = format!("{prefix}{}", key.name);
            out.push((path.clone(), key));
            let mut kind = &key.kind;
            while let Kind::Map { entry, of, .. } = kind {
                path = format!("{path}.{entry}");
                kind = of;
            }
            if let Kind::Section(keys) = kind {
                walk(keys, &format!("{path}."), out);
            }
        }
    }
    let mut out = Vec::new();
    walk(ROOT, "", &mut out);
    out
}
