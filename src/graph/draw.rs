//! A graph as DOT, Mermaid and JSON.
//!
//! Edges point from what needs to what is needed. Nodes and edges are in the order of their keys, so that
//! the same graph is the same text.

use std::collections::BTreeMap;

use rhumb_api::{Attr, Resource};
use serde_json::{Map, Value, json};

use super::{Graph, Unplaced};

/// What a drawing needs to know of a node.
pub trait Drawn {
    /// What it is, in one word.
    fn kind(&self) -> &'static str;
    /// A second line below the key; empty if the key says it all.
    fn detail(&self) -> String;
    /// More keys of its JSON object.
    fn json(&self) -> Map<String, Value>;
}

impl Drawn for Unplaced {
    fn kind(&self) -> &'static str {
        Unplaced::kind(self)
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn json(&self) -> Map<String, Value> {
        Map::new()
    }
}

impl Drawn for Resource {
    fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    fn detail(&self) -> String {
        let text = |name: &str| match self.attributes.get(name) {
            Some(Attr::Text(text)) => Some(text.clone()),
            Some(Attr::Int(n)) => Some(n.to_string()),
            _ => None,
        };
        match (text("count"), text("instance_type"), text("purchase")) {
            (Some(count), Some(kind), Some(purchase)) => format!("{count} x {kind} {purchase}"),
            _ => self.kind.as_str().replace('_', " "),
        }
    }

    fn json(&self) -> Map<String, Value> {
        let attributes = self.attributes.iter().map(|(k, v)| (k.to_owned(), attr(v))).collect();
        [
            ("cloud".to_owned(), Value::from(self.cloud.as_str())),
            ("region".to_owned(), Value::from(self.region.as_str())),
            ("attributes".to_owned(), Value::Object(attributes)),
        ]
        .into_iter()
        .collect()
    }
}

/// An attribute as JSON.
fn attr(value: &Attr) -> Value {
    match value {
        Attr::Bool(b) => Value::Bool(*b),
        Attr::Int(n) => Value::from(*n),
        Attr::Text(text) => Value::String(text.clone()),
        Attr::List(items) => Value::Array(items.iter().map(attr).collect()),
        Attr::Map(entries) => Value::Object(entries.iter().map(|(k, v)| (k.to_owned(), attr(v))).collect()),
    }
}

/// Graphviz's language.
pub fn dot<N: Drawn>(name: &str, graph: &Graph<N>) -> String {
    let mut out = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", dot_text(name));
    for (key, node) in graph.nodes() {
        let detail = node.detail();
        let label = if detail.is_empty() { key.to_owned() } else { format!("{key}\n{detail}") };
        out +=
            &format!("  {} [label={}, class={}];\n", dot_text(key), dot_text(&label), dot_text(node.kind()));
    }
    for edge in graph.edges() {
        let (from, to) = (dot_text(edge.from), dot_text(edge.to));
        out += &format!("  {from} -> {to} [label={}];\n", dot_text(edge.label));
    }
    out + "}\n"
}

/// A quoted string of DOT, in which a backslash and a quote are escaped and no other escape is begun.
fn dot_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out + "\""
}

/// A Mermaid flowchart.
pub fn mermaid<N: Drawn>(graph: &Graph<N>) -> String {
    let mut out = String::from("flowchart LR\n");
    // Keys may hold words and signs that Mermaid reads as its own, so nodes are numbered.
    let ids: BTreeMap<&str, usize> = graph.keys().enumerate().map(|(i, key)| (key, i)).collect();
    for (i, (key, node)) in graph.nodes().enumerate() {
        let detail = node.detail();
        let label = if detail.is_empty() {
            mermaid_text(key)
        } else {
            format!("{}<br/>{}", mermaid_text(key), mermaid_text(&detail))
        };
        out += &format!("  n{i}[\"{label}\"]:::{}\n", node.kind());
    }
    for edge in graph.edges() {
        if let (Some(from), Some(to)) = (ids.get(edge.from), ids.get(edge.to)) {
            out += &format!("  n{from} -->|{}| n{to}\n", edge.label);
        }
    }
    out
}

/// Text between quotes in Mermaid: whatever could end it or be read as markup becomes an entity.
fn mermaid_text(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '#' | '<' | '>' | '&' | '`' | '\\' | ';' => format!("#{};", u32::from(c)),
            c if c.is_control() => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

/// A JSON object, schema `rhumb.graph/1`: `name`, `nodes` and `edges` by key, and `order`, in which
/// everything comes after what it needs.
pub fn json<N: Drawn>(name: &str, graph: &Graph<N>) -> Value {
    let nodes: Vec<Value> = graph
        .nodes()
        .map(|(key, node)| {
            let mut object = Map::new();
            object.insert("key".to_owned(), Value::from(key));
            object.insert("kind".to_owned(), Value::from(node.kind()));
            object.extend(node.json());
            Value::Object(object)
        })
        .collect();
    let edges: Vec<Value> =
        graph.edges().into_iter().map(|e| json!({ "from": e.from, "to": e.to, "label": e.label })).collect();
    json!({
        "schema": "rhumb.graph/1",
        "name": name,
        "nodes": nodes,
        "edges": edges,
        "order": graph.order(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_stay_inside_their_quotes() {
        assert_eq!(dot_text("a\"]; x [\\N\n\u{1b}"), "\"a\\\"]; x [\\\\N\\n \"");
        assert_eq!(mermaid_text("a\"] <b>`c` #1;\n"), "a#34;] #60;b#62;#96;c#96; #35;1#59; ");
    }

    #[test]
    fn a_graph_in_three_languages() {
        let mut graph = Graph::default();
        graph.add("services.chat", Unplaced::Service("chat".into()));
        graph.add("models.m", Unplaced::Model("m".into()));
        graph.connect("services.chat", "models.m", "model");
        let drawn = dot("x", &graph);
        assert!(drawn.contains("  \"services.chat\" -> \"models.m\" [label=\"model\"];\n"), "{drawn}");
        assert_eq!(
            mermaid(&graph),
            "flowchart LR\n  n0[\"models.m\"]:::model\n  n1[\"services.chat\"]:::service\n  n1 -->|model| n0\n"
        );
        let value = json("x", &graph);
        assert_eq!(value["order"], json!(["models.m", "services.chat"]));
        assert_eq!(value["nodes"][1], json!({ "key": "services.chat", "kind": "service" }));
    }
}
