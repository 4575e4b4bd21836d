//! Text to [`Spec`]: two languages, one tree, one typed model.
//!
//! [`load`] is the way of a spec: each file becomes a tree whose nodes know their places
//! ([`tree`]), the trees are merged, expressions evaluated ([`expr`]), defaults copied into the
//! workloads ([`defaults`]), every value held against the key table ([`keys`], [`check`]), and the
//! result read into the typed model ([`read`]). Problems are collected all the way.

mod adapters;
mod arithmetic;
mod budget;
mod chain;
mod check;
mod convert;
mod cron;
mod day;
mod defaults;
mod degrade;
pub mod divide;
mod each;
mod expr;
mod federation;
mod format;
pub mod functions;
mod hcl;
mod held;
pub mod keys;
mod leaf;
mod measured;
mod model;
mod model_source;
mod objective;
mod pipeline;
pub mod profile;
mod read;
mod remote_state;
mod rollout;
mod savings;
pub mod schema;
pub mod season;
mod shape;
pub mod sheet;
mod site;
mod stability;
mod survive;
mod trace;
mod traffic;
mod training;
mod tree;
pub mod units;
pub mod use_case;
mod yaml;

pub use adapters::{LORA_RANKS, LoraAdapters};
pub use budget::{Budget, BudgetBinds, BudgetLimit, BudgetScope, CarbonCap};
pub use chain::Chain;
pub use convert::{canonical, tree_of};
pub use day::{Daily, PEAK as PEAK_SHARE, Scaling, ScalingMode, WEEK_HOURS, WEEK_S};
pub use degrade::{Degrade, Smaller};
pub use divide::{By, DivideAt, Divisible, Division, PartOf, Slice};
pub use each::MOST as MOST_EQUAL_SITES;
pub use federation::{Federation, FederationFramework};
pub use format::{convert_to, format};
pub use held::{HELD, Held, HeldKind};
pub use leaf::{NAMES, is_name};
pub use measured::{
    Launch, MOST_OF_A_LAUNCH, MOST_VCPUS, Measured, MeasuredVariant, OnProcessors, Processors,
};
pub use model::*;
pub use objective::Goal;
pub use pipeline::{MOST_SHARDS, NO_MODEL, Pipeline, PipelineEngine, STREAM_S, Stream};
pub use profile::{Profile, Profiled};
pub use remote_state::RemoteState;
pub use rollout::{Rolling, Rollout};
pub use savings::{EVERYWHERE, PlanRate, SAVINGS_PLAN, SavingsPlan, WHOLE_PPM};
pub use season::{Season, SeasonDay};
pub use site::{EdgeSite, POWER, SiteMachine, Wan};
pub use stability::Stability;
pub use survive::{DuringFailure, Survive};
pub use trace::{Recorded, RecordedRequest, read as read_trace};
pub use traffic::{Arrivals, Lengths, Load, Sessions};
pub use training::{Checkpointing, Dataset, Framework, Method, Sharding, Training, TrainingPrecision};

use crate::diagnostic::{Diagnostic, Diagnostics, Pointer, Severity, SourceFile, SourceMap, Span};

/// The sections whose entries are workloads, in the order in which they are placed.
pub const WORKLOADS: [&str; 5] = ["services", "batches", "trainings", "pipelines", "federations"];

/// Largest file, bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// The names that a spec may refer to, handed in so that this module knows no catalogue.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// Any known spelling of a model, lower case, to its canonical id.
    pub models: std::collections::BTreeMap<String, String>,
    /// Canonical ids of the models that write text: no encoders, no embedding models.
    pub generators: std::collections::BTreeSet<String>,
    /// Any known spelling of an accelerator, lower case, to its canonical id.
    pub accelerators: std::collections::BTreeMap<String, String>,
    /// Names that mean several accelerators (`a100`), lower case, to their canonical ids.
    pub accelerator_families: std::collections::BTreeMap<String, Vec<String>>,
    /// All regions.
    pub regions: Vec<RegionRef>,
    /// All jurisdiction tags and country codes, lower case.
    pub jurisdictions: std::collections::BTreeSet<String>,
    /// All country codes that have a known place, upper case.
    pub countries: std::collections::BTreeSet<String>,
    /// All instance types.
    pub instance_types: std::collections::BTreeSet<String>,
    /// The same with their clouds.
    pub machines: std::collections::BTreeSet<(Cloud, String)>,
    /// Names of machines without accelerators, lower case: `aws/m7i`, `aws/m7i.large`, `x86_64`.
    pub processors: std::collections::BTreeMap<String, Processors>,
    /// The sites of the spec; [`load`] adds them, with their machines.
    pub sites: std::collections::BTreeSet<String>,
}

/// What a spec is read from.
pub struct Sources<'a> {
    /// Spec files, `.yaml`, `.yml` or `.hcl`, sorted by name.
    pub files: Vec<SourceFile>,
    /// Values of variables with a name for where each came from (`--var`, a file, the environment);
    /// a later one wins.
    pub variables: Vec<(String, String, String)>,
    /// The names that the spec may refer to.
    pub vocabulary: &'a Vocabulary,
    /// Reads a file that the spec names, relative to the spec's folder; the error is for people.
    pub read: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
}

/// A spec and the text that it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The spec.
    pub spec: Spec,
    /// Positions, for diagnostics of later stages.
    pub map: SourceMap,
    /// The merged tree after evaluation, keys sorted: what the spec digest is taken over.
    pub tree: serde_json::Value,
    /// SHA-256 in hexadecimal of every file that the spec names and that was read with it, by its path there: profiles, recorded traffic.
    pub named: std::collections::BTreeMap<String, String>,
    /// Warnings.
    pub warnings: Diagnostics,
}

/// Reads a spec.
///
/// # Errors
/// Every problem that was found, ordered by position.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Diagnostics> {
    let mut map = SourceMap { files: sources.files.clone(), ..SourceMap::default() };
    let mut problems = Vec::new();
    let Some(tree) = parse(&mut map, &mut problems) else {
        return Err(Diagnostics::new(map, problems));
    };
    let mut value = tree.value;
    map.nodes = tree.nodes;
    let problems_before = problems.len();
    problems.extend(expr::evaluate(&mut value, &map, &sources.variables));
    let evaluated = problems.len() == problems_before;
    let mut copied = defaults::merge(&mut value, &mut map);
    let before = copied.len();
    problems.extend(each::expand(&mut value, &mut map, &mut copied));
    let has_copies = copied.len() > before;
    let vocabulary = &*site::known(&value, sources.vocabulary);
    let mut checker = check::Checker::new(&map, vocabulary, &value, copied.clone(), !evaluated);
    checker.root(&value);
    problems.append(&mut checker.problems);
    let mut spec = None;
    let mut tables = Vec::new();
    let named = std::cell::RefCell::new(std::collections::BTreeMap::new());
    let read = |path: &str| {
        let bytes = (sources.read)(path)?;
        named.borrow_mut().insert(path.to_owned(), sha256(&bytes));
        Ok(bytes)
    };
    if evaluated {
        let mut reader = read::Reader {
            map: &map,
            vocabulary,
            read: &read,
            measured: Default::default(),
            chained: Default::default(),
            copied,
            tables: Vec::new(),
            problems: Vec::new(),
        };
        spec = Some(reader.spec(&value));
        problems.append(&mut reader.problems);
        tables = reader.tables;
    }
    map.files.append(&mut tables);
    if has_copies {
        once(&mut problems);
    }
    redact(&mut map, &problems);
    if problems.iter().any(|p| p.severity == Severity::Error) {
        return Err(Diagnostics::new(map, problems));
    }
    let Some(spec) = spec else { return Err(Diagnostics::new(map, problems)) };
    let tree = digestible(value);
    let warnings = Diagnostics::new(map.clone(), problems);
    Ok(Loaded { spec, map, tree, named: named.into_inner(), warnings })
}

/// In lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The user's own catalogue files that a spec names, as far as they can be known before the spec is
/// checked: their rows are names that the spec may refer to.
pub fn named_catalogs(files: &[SourceFile], variables: &[(String, String, String)]) -> Vec<String> {
    let mut map = SourceMap { files: files.to_vec(), ..SourceMap::default() };
    let mut trees = Vec::new();
    for (index, file) in map.files.iter().enumerate() {
        let (node, _) = language(&file.name).parse(file.text.trim_start_matches('\u{feff}'), index);
        trees.extend(node.map(|n| tree::flatten(n, &mut Vec::new())));
    }
    let mut tree = tree::merge(trees, &mut Vec::new());
    map.nodes = tree.nodes;
    expr::evaluate(&mut tree.value, &map, variables);
    let list = tree.value.get("catalog").and_then(serde_json::Value::as_array);
    list.into_iter().flatten().filter_map(|v| leaf::path(v).ok()).collect()
}

/// Reads one YAML document that is not a spec: its values, the places of its nodes, and every problem
/// of its form (syntax, duplicate keys, limits). The value is `null` if it could not be read.
pub fn parse_document(file: SourceFile) -> (serde_json::Value, SourceMap, Vec<Diagnostic>) {
    let (node, mut problems) = yaml::parse(file.text.trim_start_matches('\u{feff}'), 0);
    let tree = node.map(|n| tree::flatten(n, &mut problems)).unwrap_or_default();
    (tree.value, SourceMap { files: vec![file], nodes: tree.nodes }, problems)
}

/// Reads a file of variables: a map of names to values; lists and maps are given as JSON.
///
/// # Errors
/// Problems of the file, with their places.
pub fn parse_values(file: SourceFile) -> Result<Vec<(String, String)>, Diagnostics> {
    use serde_json::Value;
    let (node, mut problems) = language(&file.name).parse(file.text.trim_start_matches('\u{feff}'), 0);
    let mut map = SourceMap { files: vec![file], ..SourceMap::default() };
    let tree = node.map(|n| tree::flatten(n, &mut problems)).unwrap_or_default();
    map.nodes = tree.nodes;
    let mut values = Vec::new();
    match tree.value {
        Value::Object(entries) => {
            for (name, value) in entries {
                match value {
                    Value::String(text) => values.push((name, text)),
                    other => values.push((name, other.to_string())),
                }
            }
        }
        _ if problems.is_empty() => problems.push(
            Diagnostic::error("wrong-type", "a file of variables is a map of names to values")
                .at(&map, &Pointer::root())
                .help("write lines such as `peak: 12`"),
        ),
        _ => {}
    }
    if problems.is_empty() { Ok(values) } else { Err(Diagnostics::new(map, problems)) }
}

/// The places of all nodes of a file as it is written.
///
/// # Errors
/// Problems of the syntax.
pub fn places(file: &SourceFile) -> Result<SourceMap, Diagnostics> {
    let mut map = SourceMap { files: vec![file.clone()], ..SourceMap::default() };
    let (node, mut problems) = language(&file.name).parse(&file.text, 0);
    let tree = node.map(|n| tree::flatten(n, &mut problems));
    match tree {
        Some(tree) if problems.is_empty() => {
            map.nodes = tree.nodes;
            Ok(map)
        }
        _ => Err(Diagnostics::new(map, problems)),
    }
}

/// Parses and merges all files; `None` if the tree of one could not be read.
fn parse(map: &mut SourceMap, problems: &mut Vec<Diagnostic>) -> Option<tree::Tree> {
    let mut trees = Vec::new();
    let mut complete = true;
    if map.files.is_empty() {
        problems
            .push(Diagnostic::error("no-spec", "there is no spec file").help("write one with `rhumb init`"));
        return None;
    }
    for (index, file) in map.files.iter_mut().enumerate() {
        // A byte order mark is not text.
        if let Some(rest) = file.text.strip_prefix('\u{feff}') {
            file.text = rest.to_owned();
        }
        let (node, found) = language(&file.name).parse(&file.text, index);
        problems.extend(found);
        let Some(node) = node else {
            complete = false;
            continue;
        };
        let tree = tree::flatten(node, problems);
        let start = Span { file: index, start: 0, end: 0 };
        match &tree.value {
            serde_json::Value::Object(root) if !root.is_empty() => trees.push(tree),
            serde_json::Value::Object(_) | serde_json::Value::Null => {
                problems.push(
                    Diagnostic::error("empty-file", format!("`{}` is empty", file.name))
                        .span(start)
                        .label("nothing here")
                        .help("write a spec, or remove the file; `rhumb init` writes a first one"),
                );
                complete = false;
            }
            other => {
                problems.push(
                    Diagnostic::error(
                        "wrong-type",
                        format!("a spec is a map of keys, `{}` holds {}", file.name, units::describe(other)),
                    )
                    .span(start)
                    .label("expected `key: value` lines")
                    .help("begin with `rhumb: 1`"),
                );
                complete = false;
            }
        }
    }
    complete.then(|| tree::merge(trees, problems))
}

/// The language of a file, by its name.
pub fn language(name: &str) -> Language {
    if name.ends_with(".hcl") { Language::Hcl } else { Language::Yaml }
}

/// A spelling of specs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// YAML.
    Yaml,
    /// HCL.
    Hcl,
}

impl Language {
    fn parse(self, text: &str, file: usize) -> (Option<tree::Node>, Vec<Diagnostic>) {
        match self {
            Language::Yaml => yaml::parse(text, file),
            Language::Hcl => hcl::parse(text, file),
        }
    }
}

/// Leaves out what is told of another copy of the same text.
fn once(problems: &mut Vec<Diagnostic>) {
    let mut told = std::collections::BTreeSet::new();
    problems.retain(|p| {
        let Some(span) = &p.span else { return true };
        told.insert((p.code, span.file, span.start, span.end, p.label.clone()))
    });
}

/// Blanks out what may be a secret, so that no message shows it.
fn redact(map: &mut SourceMap, problems: &[Diagnostic]) {
    for problem in problems.iter().filter(|p| p.code == "literal-secret") {
        let Some(span) = &problem.span else { continue };
        let Some(file) = map.files.get_mut(span.file) else { continue };
        let Some(secret) = file.text.get(span.start..span.end) else { continue };
        // Byte for byte, so that every other span keeps its meaning.
        let blank: String = secret
            .chars()
            .flat_map(|c| std::iter::repeat_n(if c == '\n' { '\n' } else { '*' }, c.len_utf8()))
            .collect();
        file.text.replace_range(span.start..span.end, &blank);
    }
}

/// The tree without what has done its work, keys sorted.
fn digestible(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    fn sorted(value: Value) -> Value {
        match value {
            Value::Object(map) => {
                let sorted_map: std::collections::BTreeMap<String, Value> =
                    map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
                Value::Object(sorted_map.into_iter().collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
            other => other,
        }
    }
    let mut value = value;
    if let Value::Object(root) = &mut value {
        for key in ["variables", "locals", "defaults"] {
            root.shift_remove(key);
        }
    }
    sorted(value)
}
