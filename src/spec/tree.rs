//! The tree that both languages are read into, every node with its place.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, NodeSpan, Pointer, Span};

/// Deepest nesting of maps and lists.
pub const MAX_DEPTH: usize = 64;
/// Most nodes of one file, aliases expanded.
pub const MAX_NODES: usize = 50_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub content: Content,
    /// Its text.
    pub span: Span,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Content {
    /// Anything but a list and a map. Text may hold `${...}`.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the text; keys may repeat.
    Map(Vec<Entry>),
}

/// A member of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its text.
    pub key_span: Span,
    /// The value.
    pub node: Node,
}

/// A tree of plain values and the places of its nodes.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The values.
    pub value: Value,
    /// The places.
    pub nodes: BTreeMap<Pointer, NodeSpan>,
}

/// Turns a node into plain values; a key that is there twice is a problem and its first value counts.
pub fn flatten(node: Node, problems: &mut Vec<Diagnostic>) -> Tree {
    let mut nodes = BTreeMap::new();
    let value = flatten_node(node, None, &Pointer::root(), &mut nodes, problems);
    Tree { value, nodes }
}

fn flatten_node(
    node: Node,
    key: Option<Span>,
    at: &Pointer,
    nodes: &mut BTreeMap<Pointer, NodeSpan>,
    problems: &mut Vec<Diagnostic>,
) -> Value {
    nodes.insert(at.clone(), NodeSpan { key, value: node.span });
    match node.content {
        Content::Scalar(value) => value,
        Content::List(items) => Value::Array(
            items
                .into_iter()
                .enumerate()
                .map(|(i, item)| flatten_node(item, None, &at.join(i), nodes, problems))
                .collect(),
        ),
        Content::Map(entries) => {
            let mut map = Map::new();
            for entry in entries {
                let place = at.join(&entry.key);
                if map.contains_key(&entry.key) {
                    problems.push(twice("duplicate-key", &place, entry.key_span, nodes));
                    continue;
                }
                let value = flatten_node(entry.node, Some(entry.key_span), &place, nodes, problems);
                map.insert(entry.key, value);
            }
            Value::Object(map)
        }
    }
}

fn twice(
    code: &'static str,
    place: &Pointer,
    second: Span,
    nodes: &BTreeMap<Pointer, NodeSpan>,
) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(code, format!("`{}` is declared twice", place.dotted()))
        .span(second)
        .label("declared again here")
        .help("rename or remove one of the two");
    diagnostic.pointer = Some(place.clone());
    if let Some(first) = nodes.get(place) {
        let span = first.key.clone().unwrap_or_else(|| first.value.clone());
        diagnostic.related.push((span, "first declared here".to_owned()));
    }
    diagnostic
}

/// Sections whose entries may come from several files.
const MERGED: [&str; 11] = [
    "models",
    "services",
    "chains",
    "batches",
    "variables",
    "locals",
    "providers",
    "trainings",
    "pipelines",
    "federations",
    "sites",
];

/// Merges the trees of several files; what is declared twice is a problem that shows both places.
pub fn merge(trees: Vec<Tree>, problems: &mut Vec<Diagnostic>) -> Tree {
    let mut all = Tree { value: Value::Object(Map::new()), nodes: BTreeMap::new() };
    for tree in trees {
        let Value::Object(map) = tree.value else { continue };
        let mut taken: Vec<Pointer> = Vec::new();
        if let Some(root) = tree.nodes.get(&Pointer::root()) {
            all.nodes.entry(Pointer::root()).or_insert_with(|| root.clone());
        }
        let Value::Object(merged) = &mut all.value else { continue };
        for (key, value) in map {
            let place = Pointer::root().join(&key);
            match merged.get_mut(&key) {
                None => {
                    merged.insert(key, value);
                    taken.push(place);
                }
                Some(Value::Object(target)) if MERGED.contains(&key.as_str()) && value.is_object() => {
                    let Value::Object(entries) = value else { continue };
                    for (name, entry) in entries {
                        let place = place.join(&name);
                        if target.contains_key(&name) {
                            let second = tree.nodes.get(&place).and_then(|n| n.key.clone());
                            let second = second.unwrap_or(Span { file: 0, start: 0, end: 0 });
                            problems.push(twice("declared-twice", &place, second, &all.nodes));
                        } else {
                            target.insert(name, entry);
                            taken.push(place);
                        }
                    }
                }
                Some(first) if key == "rhumb" && *first == value => {}
                Some(_) => {
                    let second = tree.nodes.get(&place).and_then(|n| n.key.clone());
                    let second = second.unwrap_or(Span { file: 0, start: 0, end: 0 });
                    problems.push(twice("declared-twice", &place, second, &all.nodes));
                }
            }
        }
        for (pointer, span) in tree.nodes {
            let below = |top: &Pointer| {
                pointer.0.strip_prefix(&top.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if taken.iter().any(below) {
                all.nodes.insert(pointer, span);
            }
        }
    }
    all
}
