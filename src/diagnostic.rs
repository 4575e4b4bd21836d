//! Where a problem is, why it is one, and what to do about it.
//!
//! Both spec languages are read into one tree of JSON values; a [`Pointer`] names a place in that
//! tree, and the [`SourceMap`] turns it into a byte range of a file. Every stage may report a
//! [`Diagnostic`] by pointer; only `cli` prints them.

use std::collections::BTreeMap;
use std::fmt;

/// A JSON pointer (RFC 6901) into the spec's tree: empty, or segments each preceded by `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(pub String);

impl Pointer {
    /// The root of the tree.
    pub fn root() -> Self {
        Pointer(String::new())
    }

    /// The place `key` below this one.
    #[must_use]
    pub fn join(&self, key: impl fmt::Display) -> Self {
        let key = key.to_string().replace('~', "~0").replace('/', "~1");
        Pointer(format!("{}/{key}", self.0))
    }

    /// The place that this one is directly below.
    pub fn parent(&self) -> Option<Self> {
        self.0.rfind('/').map(|i| Pointer(self.0[..i].to_owned()))
    }

    /// As people write it: `services.chat.slo.ttft`.
    pub fn dotted(&self) -> String {
        self.0.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing can be planned.
    Error,
    /// Something that the author should know.
    Warning,
}

/// A byte range of one file of the [`SourceMap`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Index into [`SourceMap::files`].
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// As the user named it or as found in the folder, relative where possible.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Where a node of the tree was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpan {
    /// The key, if the node is a member of an object.
    pub key: Option<Span>,
    /// The value.
    pub value: Span,
}

/// Files, and where each node of the merged tree stands in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceMap {
    /// All files, sorted by name.
    pub files: Vec<SourceFile>,
    /// Node to place.
    pub nodes: BTreeMap<Pointer, NodeSpan>,
}

/// A place in text, counted from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// File name.
    pub file: String,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl SourceMap {
    /// The span of the key of `pointer` (`prefer_key`) or of its value; the nearest enclosing node
    /// when the node itself was not written down (a default, a merged key).
    pub fn span(&self, pointer: &Pointer, prefer_key: bool) -> Option<Span> {
        let mut at = Some(pointer.clone());
        let mut key = prefer_key;
        while let Some(p) = at {
            if let Some(node) = self.nodes.get(&p) {
                let span = if key { node.key.as_ref().unwrap_or(&node.value) } else { &node.value };
                return Some(span.clone());
            }
            key = true;
            at = p.parent();
        }
        None
    }

    /// File, line and column of the start of a span.
    pub fn locate(&self, span: &Span) -> Option<Location> {
        let file = self.files.get(span.file)?;
        let mut start = span.start.min(file.text.len());
        while !file.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &file.text[..start];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Some(Location {
            file: file.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name for machines, kebab case: `unknown-key`, `not-supported-yet`, ...
    pub code: &'static str,
    /// What is wrong, one line, without position.
    pub message: String,
    /// Where. `None` if there is no text to show (a missing folder, say).
    pub span: Option<Span>,
    /// What the caret points at, a few words.
    pub label: Option<String>,
    /// What to do about it, one or two sentences.
    pub help: Option<String>,
    /// Other places that matter: the first of two declarations, say.
    pub related: Vec<(Span, String)>,
    /// The place in the tree, if it is known.
    pub pointer: Option<Pointer>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: None,
            label: None,
            help: None,
            related: Vec::new(),
            pointer: None,
        }
    }

    /// A warning without a place.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, message) }
    }

    /// With a byte range.
    #[must_use]
    pub fn span(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// At a node's value.
    #[must_use]
    pub fn at(mut self, map: &SourceMap, pointer: &Pointer) -> Self {
        self.span = map.span(pointer, false);
        self.pointer = Some(pointer.clone());
        self
    }

    /// At a node's key.
    #[must_use]
    pub fn at_key(mut self, map: &SourceMap, pointer: &Pointer) -> Self {
        self.span = map.span(pointer, true);
        self.pointer = Some(pointer.clone());
        self
    }

    /// With a few words at the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With the fix.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All problems found together with the text that they are about, ordered by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// The text.
    pub map: SourceMap,
    /// The problems.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Orders by file, position, code and message, and drops exact repetitions.
    pub fn new(map: SourceMap, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by(|a, b| (&a.span, a.code, &a.message).cmp(&(&b.span, b.code, &b.message)));
        list.dedup();
        Diagnostics { map, list }
    }

    /// Whether there is an error among them.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }
}

/// The nearest of `known` to `written`, if it is near enough to be a slip of the keyboard
/// (Damerau-Levenshtein distance at most a third of the length, or equal but for case).
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    let limit = (written.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_and_read_back() {
        let p = Pointer::root().join("services").join("a/b").join(3);
        assert_eq!(p.0, "/services/a~1b/3");
        assert_eq!(p.dotted(), "services.a/b.3");
        assert_eq!(p.parent().unwrap().0, "/services/a~1b");
        assert_eq!(Pointer::root().parent(), None);
    }

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        assert_eq!(did_you_mean("trafic", ["traffic", "model"]), Some("traffic"));
        assert_eq!(did_you_mean("BF16", ["bf16", "fp8"]), Some("bf16"));
        assert_eq!(did_you_mean("zebra", ["traffic", "model"]), None);
    }
}
