//! HCL to the common tree.
//!
//! Attributes are members of a map, unlabelled blocks are maps, labelled blocks are entries of the
//! map that [`BLOCKS`] names. Anything that is not a plain value becomes text with `${...}`, so that
//! both languages are evaluated by the same code.

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, Object, ObjectKey, UnaryOperator};
use hcl_edit::structure::{Body, Structure};
use hcl_edit::template::{Element, Strip, Template};
use serde_json::Value;

use super::tree::{Content, Entry, Node};
use crate::diagnostic::{Diagnostic, Span, did_you_mean};

/// How a block of HCL is spelled in the tree.
pub struct BlockName {
    /// The block's name.
    pub block: &'static str,
    /// The key.
    pub key: &'static str,
    /// Whether it has a label, which is an entry of a map; otherwise it is an item of a list.
    pub labelled: bool,
}

/// Blocks whose names differ from the keys that they stand for.
pub const BLOCKS: &[BlockName] = &[
    BlockName { block: "variable", key: "variables", labelled: true },
    BlockName { block: "model", key: "models", labelled: true },
    BlockName { block: "variant", key: "variants", labelled: true },
    BlockName { block: "service", key: "services", labelled: true },
    BlockName { block: "origin", key: "origins", labelled: true },
    BlockName { block: "season", key: "seasons", labelled: true },
    BlockName { block: "chain", key: "chains", labelled: true },
    BlockName { block: "batch", key: "batches", labelled: true },
    BlockName { block: "provider", key: "providers", labelled: true },
    BlockName { block: "training", key: "trainings", labelled: true },
    BlockName { block: "pipeline", key: "pipelines", labelled: true },
    BlockName { block: "federation", key: "federations", labelled: true },
    BlockName { block: "site", key: "sites", labelled: true },
    BlockName { block: "commitment", key: "commitments", labelled: true },
    BlockName { block: "policy", key: "policies", labelled: false },
];

struct Reader<'t> {
    text: &'t str,
    file: usize,
    problems: Vec<Diagnostic>,
}

/// Reads one HCL file: the tree, if it could be read to its end, and all problems.
pub fn parse(text: &str, file: usize) -> (Option<Node>, Vec<Diagnostic>) {
    let mut reader = Reader { text, file, problems: Vec::new() };
    match text.parse::<Body>() {
        Ok(body) => {
            let entries = reader.body(&body);
            let span = reader.span(0, text.len());
            (Some(Node { content: Content::Map(entries), span }), reader.problems)
        }
        Err(error) => {
            let at = text.floor_char_boundary(error.location().offset());
            let deep = error.message().contains("nesting depth");
            if error.message().contains("redefined") {
                return (None, vec![reader.redefined(at)]);
            }
            let width = text[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
            let (code, message, help) = if deep {
                (
                    "too-deep",
                    "nested more than 64 levels deep".to_owned(),
                    "no spec needs this; check brackets",
                )
            } else {
                (
                    "syntax",
                    format!("not HCL: {}", error.message().trim().replace('\n', "; ")),
                    "attributes are `key = value`, blocks `key { ... }`; text stands in quotes",
                )
            };
            let problem =
                Diagnostic::error(code, message).span(reader.span(at, at + width)).label("here").help(help);
            (None, vec![problem])
        }
    }
}

impl Reader<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start, end }
    }

    fn range(&self, range: Option<std::ops::Range<usize>>) -> Span {
        range.map_or_else(|| self.span(0, 0), |r| self.span(r.start, r.end))
    }

    /// An attribute that its block has already: the parser stops at the second and names no first.
    fn redefined(&self, at: usize) -> Diagnostic {
        let is_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let at = if self.text[at..].starts_with('"') { at + 1 } else { at };
        let word = |from: usize| {
            let rest = &self.text[from..];
            &rest[..rest.find(|c: char| !is_key(c)).unwrap_or(rest.len())]
        };
        let key = word(at);
        let mut problem = Diagnostic::error("duplicate-key", format!("`{key}` is declared twice"))
            .span(self.span(at, at + key.len()))
            .label("declared again here")
            .help("rename or remove one of the two");
        // The nearest before it in the same brackets.
        let mut depth = 0_i32;
        for (i, c) in self.text[..at].char_indices().rev() {
            match c {
                '}' | ']' | ')' => depth += 1,
                '{' | '[' | '(' if depth == 0 => break,
                '{' | '[' | '(' => depth -= 1,
                _ if depth == 0 && is_key(c) => {
                    let starts = !self.text[..i].ends_with(is_key);
                    let after = self.text[i + word(i).len()..].trim_start_matches(['"', ' ', '\t']);
                    if starts && word(i) == key && after.starts_with(['=', ':']) {
                        problem.related.push((self.span(i, i + key.len()), "first declared here".to_owned()));
                        break;
                    }
                }
                _ => {}
            }
        }
        problem
    }

    fn problem(&mut self, code: &'static str, span: Span, message: String, label: &str, help: String) {
        self.problems.push(Diagnostic::error(code, message).span(span).label(label).help(help));
    }

    fn body(&mut self, body: &Body) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let node = self.expression(&attribute.value);
                    entries.push(Entry {
                        key: attribute.key.as_str().to_owned(),
                        key_span: self.range(attribute.key.span()),
                        node,
                    });
                }
                Structure::Block(block) => self.block(block, &mut entries),
            }
        }
        entries
    }

    fn block(&mut self, block: &hcl_edit::structure::Block, entries: &mut Vec<Entry>) {
        let ident = block.ident.as_str();
        let ident_span = self.range(block.ident.span());
        let span = self.range(block.span());
        let content = Content::Map(self.body(&block.body));
        let node = Node { content, span: span.clone() };
        let known = BLOCKS.iter().find(|b| b.block == ident);
        match (known, block.labels.as_slice()) {
            (Some(known), [label]) if known.labelled => {
                let label_span = self.range(label.span());
                let entry = Entry { key: label.as_str().to_owned(), key_span: label_span, node };
                match entries.iter_mut().find(|e| e.key == known.key).map(|e| &mut e.node.content) {
                    Some(Content::Map(members)) => members.push(entry),
                    _ => entries.push(Entry {
                        key: known.key.to_owned(),
                        key_span: ident_span,
                        node: Node { content: Content::Map(vec![entry]), span },
                    }),
                }
            }
            (Some(known), []) if !known.labelled => {
                match entries.iter_mut().find(|e| e.key == known.key).map(|e| &mut e.node.content) {
                    Some(Content::List(items)) => items.push(node),
                    _ => entries.push(Entry {
                        key: known.key.to_owned(),
                        key_span: ident_span,
                        node: Node { content: Content::List(vec![node]), span },
                    }),
                }
            }
            (Some(known), labels) => {
                let wanted = if known.labelled { "one label" } else { "no label" };
                let example = if known.labelled {
                    format!("`{ident} \"name\" {{ ... }}`")
                } else {
                    format!("`{ident} {{ ... }}`")
                };
                self.problem(
                    "wrong-labels",
                    ident_span,
                    format!("a block `{ident}` has {wanted}, not {}", labels.len()),
                    "here",
                    format!("write {example}"),
                );
            }
            (None, []) => {
                // Several blocks of locals are one, as in Terraform.
                let earlier = entries.iter_mut().find(|e| e.key == ident && ident == "locals");
                match (earlier.map(|e| &mut e.node.content), node.content) {
                    (Some(Content::Map(members)), Content::Map(more)) => members.extend(more),
                    (_, content) => entries.push(Entry {
                        key: ident.to_owned(),
                        key_span: ident_span,
                        node: Node { content, span },
                    }),
                }
            }
            (None, _) => {
                let singular = BLOCKS.iter().find(|b| b.key == ident).map(|b| b.block);
                let is_key = super::schema::all_keys().iter().any(|(_, k)| k.name == ident);
                let near = singular.or_else(|| {
                    if is_key { None } else { did_you_mean(ident, BLOCKS.iter().map(|b| b.block)) }
                });
                self.problem(
                    "wrong-labels",
                    ident_span,
                    format!("a block `{ident}` has no label"),
                    "has a label here",
                    near.map_or_else(
                        || format!("write `{ident} {{ ... }}`"),
                        |near| format!("did you mean `{near}`?"),
                    ),
                );
            }
        }
    }

    fn expression(&mut self, expression: &Expression) -> Node {
        let span = self.range(expression.span());
        let content = match expression {
            Expression::Null(_) => Content::Scalar(Value::Null),
            Expression::Bool(b) => Content::Scalar(Value::Bool(*b.value())),
            Expression::Number(n) => Content::Scalar(number(n.value(), false)),
            Expression::String(s) => Content::Scalar(Value::String(escape(s.value()))),
            Expression::StringTemplate(template) => Content::Scalar(self.template(template)),
            Expression::HeredocTemplate(heredoc) => {
                let mut heredoc = (**heredoc).clone();
                heredoc.dedent();
                Content::Scalar(self.template(&heredoc.template))
            }
            Expression::Array(array) => {
                Content::List(array.iter().map(|item| self.expression(item)).collect())
            }
            Expression::Object(object) => Content::Map(self.object(object)),
            Expression::UnaryOp(op)
                if matches!((op.operator.value(), &op.expr), (UnaryOperator::Neg, Expression::Number(_))) =>
            {
                match &op.expr {
                    Expression::Number(n) => Content::Scalar(number(n.value(), true)),
                    _ => Content::Scalar(Value::Null),
                }
            }
            other => Content::Scalar(Value::String(format!("${{{}}}", self.source(other)))),
        };
        Node { content, span }
    }

    /// The text of an expression.
    fn source(&self, expression: &Expression) -> &str {
        expression.span().and_then(|r| self.text.get(r)).unwrap_or_default().trim()
    }

    fn template(&self, template: &Template) -> Value {
        let mut out = String::new();
        for element in template {
            match element {
                Element::Literal(literal) => out.push_str(&escape(literal.value())),
                Element::Interpolation(interpolation) => {
                    let (open, close) = match interpolation.strip {
                        Strip::None => ("${", "}"),
                        Strip::Start => ("${~", "}"),
                        Strip::End => ("${", "~}"),
                        Strip::Both => ("${~", "~}"),
                    };
                    out.push_str(open);
                    out.push_str(self.source(&interpolation.expr));
                    out.push_str(close);
                }
                // Refused where it would be evaluated, for both languages alike.
                Element::Directive(directive) => {
                    out.push_str(directive.span().and_then(|r| self.text.get(r)).unwrap_or_default());
                }
            }
        }
        Value::String(out)
    }

    fn object(&mut self, object: &Object) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (key, value) in object {
            let key_span = match key {
                ObjectKey::Ident(ident) => self.range(ident.span()),
                ObjectKey::Expression(expression) => self.range(expression.span()),
            };
            let name = match key {
                ObjectKey::Ident(ident) => ident.as_str().to_owned(),
                ObjectKey::Expression(Expression::String(s)) => s.value().clone(),
                ObjectKey::Expression(Expression::Number(n)) => n.value().to_string(),
                ObjectKey::Expression(Expression::Variable(v)) => v.as_str().to_owned(),
                ObjectKey::Expression(other) => format!("${{{}}}", self.source(other)),
            };
            let node = self.expression(value.expr());
            entries.push(Entry { key: name, key_span, node });
        }
        entries
    }
}

/// Text in which `${` and `%{` stand for themselves.
pub fn escape(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

fn number(n: &hcl_edit::Number, negative: bool) -> Value {
    let sign = if negative { -1 } else { 1 };
    if let Some(whole) = n.as_i64().and_then(|n| n.checked_mul(sign)) {
        return Value::from(whole);
    }
    n.as_f64().and_then(|f| serde_json::Number::from_f64(f * sign as f64)).map_or(Value::Null, Value::Number)
}
