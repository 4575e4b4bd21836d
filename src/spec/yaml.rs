//! YAML to the common tree.
//!
//! The events of saphyr's parser are read one by one instead of its finished nodes, so that every
//! duplicate key is found, with both places, and nesting and aliases are bounded while reading.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr::Scalar;
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::Value;

use super::tree::{Content, Entry, MAX_DEPTH, MAX_NODES, Node};
use crate::diagnostic::{Diagnostic, Span};

/// Character index to byte index.
struct Offsets {
    /// Byte offset of every character, and of the end; empty if all characters are one byte.
    bytes: Vec<usize>,
    len: usize,
}

impl Offsets {
    fn new(text: &str) -> Self {
        let bytes = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(i, _)| i).chain([text.len()]).collect()
        };
        Offsets { bytes, len: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        if self.bytes.is_empty() {
            character.min(self.len)
        } else {
            self.bytes.get(character).copied().unwrap_or(self.len)
        }
    }
}

/// A map or list that is being read.
enum Open {
    List { items: Vec<Node>, start: usize, anchor: usize },
    Map { entries: Vec<Entry>, key: Option<(String, Span)>, start: usize, anchor: usize },
}

struct Reader<'t> {
    text: &'t str,
    file: usize,
    offsets: Offsets,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
    problems: Vec<Diagnostic>,
}

/// Reads one YAML document: the tree, if it could be read to its end, and all problems (syntax, several
/// documents, keys that are no text, tags, numbers that are not finite, nesting or aliases beyond the
/// limits).
pub fn parse(text: &str, file: usize) -> (Option<Node>, Vec<Diagnostic>) {
    let mut reader = Reader {
        text,
        file,
        offsets: Offsets::new(text),
        open: Vec::new(),
        anchors: BTreeMap::new(),
        nodes: 0,
        root: None,
        documents: 0,
        problems: Vec::new(),
    };
    let mut complete = true;
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                let start = reader.offsets.byte(span.start.index());
                let end = reader.offsets.byte(span.end.index()).max(start);
                if !reader.event(event, start, end) {
                    complete = false;
                    break;
                }
            }
            Err(error) => {
                complete = false;
                let mut at = reader.offsets.byte(error.marker().index());
                let info = error.info().trim_end_matches('.').to_owned();
                let line = text[..at].rfind('\n').map_or(0, |i| i + 1);
                let blank =
                    text[line..].find(|c: char| c != ' ' && c != '\t').map_or(text.len(), |i| line + i);
                let tab = text[line..blank].find('\t').map(|i| line + i);
                at = tab.unwrap_or(at);
                let help = if tab.is_some() {
                    "indent with spaces: YAML does not allow tabs"
                } else {
                    "check indentation, quotes and brackets on this line and the one above it"
                };
                reader.problems.push(
                    Diagnostic::error("syntax", format!("not YAML: {info}"))
                        .span(reader.point(at))
                        .label("here")
                        .help(help),
                );
                break;
            }
        }
    }
    let empty = Node { content: Content::Scalar(Value::Null), span: Span { file, start: 0, end: 0 } };
    let root = complete.then(|| reader.root.unwrap_or(empty));
    (root, reader.problems)
}

impl Reader<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start, end }
    }

    /// One character, or nothing at the end of the text.
    fn point(&self, at: usize) -> Span {
        let at = at.min(self.text.len());
        let width = self.text[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        self.span(at, at + width)
    }

    fn problem(&mut self, code: &'static str, span: Span, message: &str, label: &str, help: &str) {
        self.problems.push(Diagnostic::error(code, message).span(span).label(label).help(help));
    }

    /// Handles one event; false to stop reading.
    fn event(&mut self, event: Event<'_>, start: usize, end: usize) -> bool {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let span = self.point(start);
                    self.problem(
                        "several-documents",
                        span,
                        "a file holds one document",
                        "a second document starts here",
                        "put it into a file of its own; the files of a folder are merged",
                    );
                    return false;
                }
                true
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(tag.as_ref(), start);
                self.open.push(Open::List { items: Vec::new(), start, anchor });
                self.deep_enough(start)
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(tag.as_ref(), start);
                self.open.push(Open::Map { entries: Vec::new(), key: None, start, anchor });
                self.deep_enough(start)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (content, start, anchor) = match self.open.pop() {
                    Some(Open::List { items, start, anchor }) => (Content::List(items), start, anchor),
                    Some(Open::Map { entries, start, anchor, .. }) => (Content::Map(entries), start, anchor),
                    None => return true,
                };
                // The end of a block is where the next token starts: blanks and comments are left out.
                let mut last = end.max(start);
                if let Some(inner) = last_end(&content).filter(|_| !self.closes(last)) {
                    last = inner.max(start);
                }
                let span = self.span(start, last);
                self.add(Node { content, span }, anchor)
            }
            Event::Scalar(value, style, anchor, tag) => {
                let span = self.span(start, end);
                let value = self.scalar(value, style, tag, &span);
                self.add(Node { content: Content::Scalar(value), span }, anchor)
            }
            Event::Alias(id) => {
                let span = self.span(start, end);
                let Some(node) = self.anchors.get(&id).cloned() else {
                    self.problem(
                        "alias-cycle",
                        span,
                        "the alias stands inside of what it refers to",
                        "refers to itself",
                        "write the value out",
                    );
                    return false;
                };
                self.nodes += count(&node);
                if self.nodes > MAX_NODES {
                    self.problem(
                        "too-large",
                        span,
                        &format!("aliases expand to more than {MAX_NODES} nodes"),
                        "expanded here",
                        "use fewer aliases; `defaults` and `locals` serve the same purpose",
                    );
                    return false;
                }
                self.add(Node { content: node.content, span }, 0)
            }
            _ => true,
        }
    }

    /// Whether the text before `end` is the closing bracket of a flow collection.
    fn closes(&self, end: usize) -> bool {
        self.text[..end.min(self.text.len())].ends_with(['}', ']'])
    }

    fn deep_enough(&mut self, start: usize) -> bool {
        if self.open.len() <= MAX_DEPTH {
            return true;
        }
        let span = self.point(start);
        self.problem(
            "too-deep",
            span,
            &format!("nested more than {MAX_DEPTH} levels deep"),
            "too deep",
            "no spec needs this; check brackets and indentation",
        );
        false
    }

    fn no_tag(&mut self, tag: Option<&Cow<'_, Tag>>, start: usize) {
        if let Some(tag) = tag.filter(|t| !t.is_yaml_core_schema()) {
            let message = format!("the tag `!{}` has no meaning here", tag.suffix);
            let span = self.point(start);
            self.problem("unknown-tag", span, &message, "tagged", "remove the tag");
        }
    }

    fn scalar(
        &mut self,
        value: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<Cow<'_, Tag>>,
        span: &Span,
    ) -> Value {
        self.no_tag(tag.as_ref(), span.start);
        match Scalar::parse_from_cow_and_metadata(value, style, tag.as_ref()) {
            Some(Scalar::Null) => Value::Null,
            Some(Scalar::Boolean(b)) => Value::Bool(b),
            Some(Scalar::Integer(i)) => Value::from(i),
            Some(Scalar::String(s)) => Value::String(s.into_owned()),
            // JSON has no such numbers: as text they are refused with everything else that is no number.
            Some(Scalar::FloatingPoint(f)) => serde_json::Number::from_f64(f.0)
                .map_or_else(|| Value::String(self.text[span.start..span.end].to_owned()), Value::Number),
            None => {
                let message = format!("`{}` is not of the tagged type", &self.text[span.start..span.end]);
                self.problem("unknown-tag", span.clone(), &message, "here", "remove the tag");
                Value::Null
            }
        }
    }

    /// Puts a finished node where it belongs; false to stop reading.
    fn add(&mut self, node: Node, anchor: usize) -> bool {
        self.nodes += 1;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                // Reported when its key was read.
                Some((key, _)) if key == "<<" => {}
                Some((key, key_span)) => entries.push(Entry { key, key_span, node }),
                None => {
                    let Node { content, span } = node;
                    let text = match content {
                        Content::Scalar(Value::String(text)) => Some(text),
                        Content::Scalar(Value::Number(_) | Value::Bool(_)) => {
                            self.text.get(span.start..span.end).map(str::to_owned)
                        }
                        _ => None,
                    };
                    match text {
                        Some(text) if text == "<<" => {
                            *key = Some((text, span.clone()));
                            self.problem(
                                "merge-key",
                                span,
                                "merge keys are not part of the language",
                                "merge key",
                                "use `defaults` for what workloads share, or write the keys out",
                            );
                        }
                        Some(text) => *key = Some((text, span)),
                        None => {
                            *key = Some((String::new(), span.clone()));
                            self.problem(
                                "wrong-key",
                                span,
                                "a key must be text",
                                "not text",
                                "write a name before the colon",
                            );
                        }
                    }
                }
            },
        }
        true
    }
}

fn last_end(content: &Content) -> Option<usize> {
    match content {
        Content::List(items) => items.last().map(|n| n.span.end),
        Content::Map(entries) => entries.last().map(|e| e.node.span.end.max(e.key_span.end)),
        Content::Scalar(_) => None,
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.content {
        Content::Scalar(_) => 0,
        Content::List(items) => items.iter().map(count).sum(),
        Content::Map(entries) => entries.iter().map(|e| count(&e.node)).sum(),
    }
}
