//! Diagnostics for people (the source line with a caret, the reason, the fix) and for machines.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents,
};
use serde_json::{Value, json};

use crate::cli::Settings;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, SourceMap, Span};

/// Name and version of the JSON form.
pub const SCHEMA: &str = "rhumb.diagnostics/1";

/// Lines between two places of one problem above which they are drawn apart.
const NEAR_LINES: usize = 3;

/// Width below which texts are no longer folded further.
const NARROWEST: usize = 40;

/// One diagnostic in the shape that miette draws.
#[derive(Debug)]
struct Drawn<'a> {
    diagnostic: &'a Diagnostic,
    source: Option<Lines>,
    labels: Vec<LabeledSpan>,
}

/// Another place that matters.
#[derive(Debug)]
struct Elsewhere {
    source: Lines,
    label: LabeledSpan,
    text: String,
}

/// A file that is shown by whole lines, without lines around them.
#[derive(Debug)]
struct Lines {
    map: SourceMap,
}

impl SourceCode for Lines {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let file = self.map.files.first().ok_or(MietteError::OutOfBounds)?;
        let end = span.offset() + span.len();
        let text = &file.text;
        if !text.is_char_boundary(span.offset()) || !text.is_char_boundary(end) {
            return Err(MietteError::OutOfBounds);
        }
        let place = self.map.locate(&Span { file: 0, start: span.offset(), end });
        let (line, column) = place.map_or((0, 0), |l| (l.line - 1, l.column - 1));
        // Without context, the position alone is asked for.
        let (start, end, column) = if before == 0 {
            (span.offset(), end, column)
        } else {
            let start = text[..span.offset()].rfind('\n').map_or(0, |i| i + 1);
            (start, text[end..].find('\n').map_or(text.len(), |i| end + i + 1), 0)
        };
        let lines = text[start..end].matches('\n').count() + 1;
        let shown = SourceSpan::new(start.into(), end - start);
        let data = &text.as_bytes()[start..end];
        Ok(Box::new(MietteSpanContents::new_named(file.name.clone(), data, shown, line, column, lines)))
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Drawn<'_> {}

impl miette::Diagnostic for Drawn<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|s| s as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Elsewhere {}

impl miette::Diagnostic for Elsewhere {
    fn severity(&self) -> Option<miette::Severity> {
        Some(miette::Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.label.clone())))
    }
}

fn source(map: &SourceMap, span: &Span) -> Option<Lines> {
    let file = map.files.get(span.file)?;
    Some(Lines { map: SourceMap { files: vec![file.clone()], ..SourceMap::default() } })
}

/// Whether two places are so near that one picture shows both.
fn near(map: &SourceMap, a: &Span, b: &Span) -> bool {
    let line = |span: &Span| map.locate(span).map_or(0, |l| l.line);
    a.file == b.file && line(a).abs_diff(line(b)) <= NEAR_LINES
}

/// The part of a span on its first line, so that a caret points at a line and not at a page.
fn first_line(map: &SourceMap, span: &Span) -> std::ops::Range<usize> {
    let text = map.files.get(span.file).map_or("", |f| f.text.as_str());
    let start = span.start.min(text.len());
    let line_end = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |i| start + i);
    start..span.end.min(line_end).max(start)
}

fn draw<'a>(map: &SourceMap, diagnostic: &'a Diagnostic) -> (Drawn<'a>, Vec<Elsewhere>) {
    let mut labels = Vec::new();
    let mut elsewhere = Vec::new();
    if let Some(span) = &diagnostic.span {
        let text = diagnostic.label.clone().unwrap_or_else(|| "here".to_owned());
        labels.push(LabeledSpan::new_primary_with_span(Some(text), first_line(map, span)));
    }
    for (span, text) in &diagnostic.related {
        let label = LabeledSpan::new_with_span(Some(text.clone()), first_line(map, span));
        if diagnostic.span.as_ref().is_some_and(|s| near(map, s, span)) {
            labels.push(label);
        } else if let Some(source) = source(map, span) {
            elsewhere.push(Elsewhere { source, label, text: text.clone() });
        }
    }
    let source = diagnostic.span.as_ref().and_then(|s| source(map, s));
    (Drawn { diagnostic, source, labels }, elsewhere)
}

/// The text for people, one paragraph for each problem and a closing count.
pub fn text(diagnostics: &Diagnostics, color: bool, width: usize) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width.max(NARROWEST))
        .with_context_lines(1)
        .with_links(false);
    let mut out = String::new();
    for diagnostic in &diagnostics.list {
        let mut paragraph = String::new();
        let (drawn, elsewhere) = draw(&diagnostics.map, diagnostic);
        let mut written = handler.render_report(&mut paragraph, &drawn);
        for other in &elsewhere {
            written = written.and_then(|()| handler.render_report(&mut paragraph, other));
        }
        if written.is_err() {
            paragraph = format!("{}: {}\n", diagnostic.code, diagnostic.message);
        }
        for line in paragraph.trim_matches('\n').lines() {
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out.push('\n');
    }
    let count = |severity| diagnostics.list.iter().filter(|d| d.severity == severity).count();
    let plural = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let counts: Vec<String> = [(errors, "error"), (warnings, "warning")]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, noun)| plural(n, noun))
        .collect();
    if !counts.is_empty() {
        out.push_str(&counts.join(", "));
        out.push('\n');
    }
    out
}

fn place(map: &SourceMap, span: &Span) -> Value {
    let end = Span { file: span.file, start: span.end, end: span.end };
    let point = |span: &Span| {
        map.locate(span).map(|l| json!({ "line": l.line, "column": l.column, "byte": span.start }))
    };
    let text = map.files.get(span.file);
    let snippet = text.and_then(|f| {
        let start = f.text.get(..span.start)?.rfind('\n').map_or(0, |i| i + 1);
        let rest = f.text.get(start..)?;
        Some(rest.lines().next().unwrap_or("").to_owned())
    });
    json!({
        "file": text.map(|f| f.name.clone()),
        "range": { "start": point(span), "end": point(&end) },
        "snippet": snippet,
    })
}

/// The form for machines, schema [`SCHEMA`].
pub fn json(diagnostics: &Diagnostics) -> Value {
    let map = &diagnostics.map;
    let list: Vec<Value> = diagnostics
        .list
        .iter()
        .map(|d| {
            let related: Vec<Value> = d
                .related
                .iter()
                .map(|(span, text)| json!({ "label": text, "at": place(map, span) }))
                .collect();
            json!({
                "severity": match d.severity { Severity::Error => "error", Severity::Warning => "warning" },
                "code": d.code,
                "message": d.message,
                "label": d.label,
                "help": d.help,
                "pointer": d.pointer.as_ref().map(|p| p.0.clone()),
                "at": d.span.as_ref().map(|s| place(map, s)),
                "related": related,
            })
        })
        .collect();
    json!({ "schema": SCHEMA, "ok": !diagnostics.has_errors(), "diagnostics": list })
}

/// Prints on standard error, or as JSON on standard output.
pub fn print(diagnostics: &Diagnostics, settings: &Settings) {
    if settings.json {
        let _ = crate::cli::stdout::print(&format!("{:#}\n", json(diagnostics)));
    } else {
        crate::cli::stdout::print_error(&text(diagnostics, settings.color, settings.width));
    }
}

/// Prints warnings, unless nothing but the result is wanted or standard output is for machines.
pub fn print_warnings(warnings: &Diagnostics, settings: &Settings) {
    if !settings.quiet && !settings.json && !warnings.list.is_empty() {
        crate::cli::stdout::print_error(&format!("{}\n", text(warnings, settings.color, settings.width)));
    }
}
