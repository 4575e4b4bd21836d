//! One language to the other, keeping the meaning: nothing is evaluated.

use serde_json::{Map, Value};

use super::expr;
use super::hcl::{BLOCKS, escape};
use super::keys::{Key, Kind, ROOT, section};
use super::{Language, tree};
use crate::diagnostic::{Diagnostics, SourceFile, SourceMap};
use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::template::{Element, Strip};

/// Columns that a map in one line may take.
const WIDTH: usize = 88;

/// The tree of a file as it is written, expressions unevaluated.
///
/// # Errors
/// Problems of the syntax, with their places.
pub fn tree_of(file: &SourceFile) -> Result<Value, Diagnostics> {
    let mut problems = Vec::new();
    let (node, found) = super::language(&file.name).parse(&file.text, 0);
    problems.extend(found);
    let tree = node.map(|n| tree::flatten(n, &mut problems));
    match tree {
        Some(tree) if problems.is_empty() => Ok(tree.value),
        _ => Err(Diagnostics::new(SourceMap { files: vec![file.clone()], ..SourceMap::default() }, problems)),
    }
}

/// The same tree with every expression written in one way, for comparison.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::String(text) if expr::is_template(text) => match expr::parse(text) {
            Ok(template) => Value::String(print(text, &template, false)),
            Err(_) => value.clone(),
        },
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), canonical(v))).collect()),
        other => other.clone(),
    }
}

/// Writes a tree in a language.
pub fn write(value: &Value, language: Language) -> String {
    match language {
        Language::Yaml => match value {
            Value::Object(map) if !map.is_empty() => serde_yaml::to_string(value).unwrap_or_default(),
            _ => String::new(),
        },
        Language::Hcl => {
            let mut out = String::new();
            if let Value::Object(map) = value {
                body(map, Some(ROOT), 0, &mut out);
            }
            out
        }
    }
}

fn is_identifier(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        && !matches!(key, "null" | "true" | "false" | "for" | "if" | "in")
}

/// Whether a map can be the body of a block.
fn is_body(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.keys().all(|k| is_identifier(k)))
}

fn body(map: &Map<String, Value>, keys: Option<&'static [Key]>, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let mut after_block = false;
    for (i, (name, value)) in map.iter().enumerate() {
        let kind = keys.and_then(|keys| keys.iter().find(|k| k.name == name)).map(|k| &k.kind);
        let block = BLOCKS.iter().find(|b| b.key == name && b.labelled);
        let labelled = match (block, value) {
            (Some(block), Value::Object(entries))
                if !entries.is_empty()
                    && matches!(kind, Some(Kind::Map { .. }))
                    && entries.values().all(is_body)
                    && entries.keys().all(|k| !expr::is_template(k)) =>
            {
                Some((block, entries))
            }
            _ => None,
        };
        let plain_block = is_body(value)
            && (name == "locals" || kind.is_some_and(|k| section(k).is_some()))
            && value.as_object().is_some_and(|m| !m.is_empty());
        let is_block = labelled.is_some() || plain_block;
        if i > 0 && (is_block || after_block) && depth == 0 {
            out.push('\n');
        }
        after_block = is_block;
        if let Some((block, entries)) = labelled {
            let of = match kind {
                Some(Kind::Map { of, .. }) => section(of),
                _ => None,
            };
            for (n, (label, entry)) in entries.iter().enumerate() {
                if n > 0 && depth == 0 {
                    out.push('\n');
                }
                let Value::Object(entry) = entry else { continue };
                open(&format!("{indent}{} {}", block.block, quote(label)), entry, of, depth, out);
            }
        } else if let (true, Value::Object(inner)) = (plain_block, value) {
            open(&format!("{indent}{name}"), inner, kind.and_then(section), depth, out);
        } else {
            out.push_str(&format!(
                "{indent}{name} = {}\n",
                expression(value, depth, indent.len() + name.len() + 3)
            ));
        }
    }
}

fn open(
    head: &str,
    inner: &Map<String, Value>,
    keys: Option<&'static [Key]>,
    depth: usize,
    out: &mut String,
) {
    if inner.is_empty() {
        out.push_str(&format!("{head} {{}}\n"));
        return;
    }
    out.push_str(&format!("{head} {{\n"));
    body(inner, keys, depth + 1, out);
    out.push_str(&format!("{}}}\n", "  ".repeat(depth)));
}

fn expression(value: &Value, depth: usize, column: usize) -> String {
    match value {
        Value::String(text) => string(text),
        Value::Array(items) => {
            let short: Vec<String> = items.iter().map(|v| expression(v, depth, WIDTH)).collect();
            let line = format!("[{}]", short.join(", "));
            if items.is_empty() || column + line.len() <= WIDTH && !line.contains('\n') {
                return line;
            }
            let indent = "  ".repeat(depth + 1);
            let lines: Vec<String> = items
                .iter()
                .map(|v| format!("{indent}{},\n", expression(v, depth + 1, indent.len())))
                .collect();
            format!("[\n{}{}]", lines.concat(), "  ".repeat(depth))
        }
        Value::Object(map) => {
            let key = |k: &str| if is_identifier(k) { k.to_owned() } else { quote(k) };
            let short: Vec<String> =
                map.iter().map(|(k, v)| format!("{} = {}", key(k), expression(v, depth, WIDTH))).collect();
            let line = if map.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", short.join(", ")) };
            if map.is_empty() || column + line.len() <= WIDTH && !line.contains('\n') {
                return line;
            }
            let indent = "  ".repeat(depth + 1);
            let lines: Vec<String> = map
                .iter()
                .map(|(k, v)| {
                    let head = format!("{indent}{} = ", key(k));
                    let value = expression(v, depth + 1, head.len());
                    format!("{head}{value}\n")
                })
                .collect();
            format!("{{\n{}{}}}", lines.concat(), "  ".repeat(depth))
        }
        other => other.to_string(),
    }
}

/// A text of the tree as an expression: bare where it is nothing but one, in quotes otherwise.
fn string(text: &str) -> String {
    if !expr::is_template(text) {
        return quote(text);
    }
    let Ok(template) = expr::parse(text) else { return quote(text) };
    if let (Some(only), Some(Element::Interpolation(interpolation))) =
        (expr::single(&template), template.iter().next())
    {
        let literal = matches!(
            only,
            Expression::Null(_)
                | Expression::Bool(_)
                | Expression::Number(_)
                | Expression::String(_)
                | Expression::StringTemplate(_)
                | Expression::HeredocTemplate(_)
                | Expression::Array(_)
                | Expression::Object(_)
                | Expression::UnaryOp(_)
        );
        let source = source(text, only);
        if !literal && interpolation.strip == Strip::None && !source.contains('\n') {
            return source.to_owned();
        }
    }
    format!("\"{}\"", print(text, &template, true))
}

fn source<'t>(text: &'t str, expression: &Expression) -> &'t str {
    expression.span().and_then(|r| text.get(r)).unwrap_or_default().trim()
}

/// A template's text; `quoted` as it stands between quotes in HCL.
fn print(text: &str, template: &hcl_edit::template::Template, quoted: bool) -> String {
    let mut out = String::new();
    for element in template {
        match element {
            Element::Literal(literal) => {
                let literal = escape(literal.value());
                out.push_str(&if quoted { escape_quoted(&literal) } else { literal });
            }
            Element::Interpolation(interpolation) => {
                let strip = |on: bool| if on { "~" } else { "" };
                let (start, end) = match interpolation.strip {
                    Strip::None => (false, false),
                    Strip::Start => (true, false),
                    Strip::End => (false, true),
                    Strip::Both => (true, true),
                };
                let source = source(text, &interpolation.expr);
                out.push_str(&format!("${{{}{source}{}}}", strip(start), strip(end)));
            }
            Element::Directive(_) => {}
        }
    }
    out
}

fn quote(text: &str) -> String {
    format!("\"{}\"", escape_quoted(text))
}

fn escape_quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
