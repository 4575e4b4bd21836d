//! The layout of spec files: indentation, blanks, aligned `=`; comments stay.

use hcl_edit::Span as _;
use hcl_edit::structure::{Body, Structure};

use super::{Language, convert};
use crate::diagnostic::{Diagnostic, Diagnostics, SourceFile, SourceMap};

/// Lays out a file; the result reads as the same tree.
///
/// # Errors
/// Problems of the syntax. A file whose layout would change its meaning is refused, never written.
pub fn format(file: &SourceFile) -> Result<String, Diagnostics> {
    let before = convert::tree_of(file)?;
    let refused = |why: &str| {
        let problem =
            Diagnostic::error("cannot-format", format!("`{}` cannot be laid out: {why}", file.name))
                .help("the file is left as it is");
        Diagnostics::new(SourceMap { files: vec![file.clone()], ..SourceMap::default() }, vec![problem])
    };
    let text = match super::language(&file.name) {
        Language::Yaml => yaml(&file.text).map_err(|e| refused(&e))?,
        Language::Hcl => hcl(&file.text).map_err(|e| refused(&e))?,
    };
    let after = convert::tree_of(&SourceFile { name: file.name.clone(), text: text.clone() })
        .map_err(|_| refused("the result would not be read"))?;
    if convert::canonical(&before) == convert::canonical(&after) {
        Ok(text)
    } else {
        Err(refused("the result would mean something else"))
    }
}

/// Converts a file to a language; comments are lost.
///
/// # Errors
/// Problems of the syntax, or something that the other language cannot say.
pub fn convert_to(file: &SourceFile, language: Language) -> Result<String, Diagnostics> {
    let before = convert::tree_of(file)?;
    let text = convert::write(&before, language);
    let name = match language {
        Language::Yaml => "converted.yaml",
        Language::Hcl => "converted.hcl",
    };
    let written = SourceFile { name: name.to_owned(), text };
    let written = SourceFile { text: format(&written).unwrap_or_else(|_| written.text.clone()), ..written };
    match convert::tree_of(&written) {
        Ok(after) if convert::canonical(&before) == convert::canonical(&after) => Ok(written.text),
        _ => {
            let problem = Diagnostic::error(
                "cannot-convert",
                format!("`{}` says something that the other language cannot", file.name),
            )
            .help("the file is left as it is; keys should be plain names");
            Err(Diagnostics::new(
                SourceMap { files: vec![file.clone()], ..SourceMap::default() },
                vec![problem],
            ))
        }
    }
}

fn yaml(text: &str) -> Result<String, String> {
    let mut options = pretty_yaml::config::FormatOptions::default();
    options.layout.print_width = 110;
    options.language.quotes = pretty_yaml::config::Quotes::PreferDouble;
    pretty_yaml::format_text(text, &options).map_err(|e| e.to_string())
}

/// One replacement of bytes.
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

fn hcl(text: &str) -> Result<String, String> {
    let body: Body = text.parse().map_err(|e: hcl_edit::parser::Error| e.message().to_owned())?;
    let mut edits = Vec::new();
    align(&body, text, &mut edits);
    edits.sort_by_key(|e| e.start);
    let mut aligned = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        if edit.start < at {
            continue;
        }
        aligned.push_str(&text[at..edit.start]);
        aligned.push_str(&edit.text);
        at = edit.end;
    }
    aligned.push_str(&text[at..]);
    Ok(indent(&aligned.replace("\r\n", "\n")))
}

/// Puts the `=` of attributes on consecutive lines below each other.
fn align(body: &Body, text: &str, edits: &mut Vec<Edit>) {
    struct Line {
        key: (usize, usize),
        value: usize,
        line: usize,
        last: usize,
    }
    let line_of = |offset: usize| text[..offset].matches('\n').count();
    let mut group: Vec<Line> = Vec::new();
    let flush = |group: &mut Vec<Line>, edits: &mut Vec<Edit>| {
        let width = group.iter().map(|l| text[l.key.0..l.key.1].chars().count()).max().unwrap_or(0);
        for line in group.drain(..) {
            let own = text[line.key.0..line.key.1].chars().count();
            // Only blanks and the sign may stand between; a comment there stays as it is.
            if text[line.key.1..line.value].trim() == "=" {
                let padding = " ".repeat(width - own + 1);
                edits.push(Edit { start: line.key.1, end: line.value, text: format!("{padding}= ") });
            }
        }
    };
    for structure in body {
        match structure {
            Structure::Attribute(attribute) => {
                let (Some(key), Some(value)) = (attribute.key.span(), attribute.value.span()) else {
                    continue;
                };
                let line = line_of(key.start);
                let last = line_of(value.end);
                if group.last().is_some_and(|l| l.last + 1 != line || last != line) {
                    flush(&mut group, edits);
                }
                group.push(Line { key: (key.start, key.end), value: value.start, line, last });
                if group.last().is_some_and(|l| l.last != l.line) {
                    flush(&mut group, edits);
                }
            }
            Structure::Block(block) => {
                flush(&mut group, edits);
                align(&block.body, text, edits);
            }
        }
    }
    flush(&mut group, edits);
}

/// What a character of HCL stands in.
#[derive(Clone, Copy, PartialEq)]
enum In {
    Code,
    String,
    LineComment,
    BlockComment,
}

/// Indents every line by its brackets, trims line ends, and leaves at most one empty line.
fn indent(text: &str) -> String {
    let mut out = String::new();
    let mut state = vec![In::Code];
    let mut depth = 0_usize;
    let mut heredoc: Option<String> = None;
    let mut empty = true;
    for line in text.lines() {
        if let Some(end) = &heredoc {
            out.push_str(line);
            out.push('\n');
            if line.trim() == end {
                heredoc = None;
            }
            continue;
        }
        let inside = state.last() != Some(&In::Code);
        let trimmed = if inside { line.trim_end() } else { line.trim() };
        if trimmed.is_empty() {
            if !empty {
                out.push('\n');
            }
            empty = true;
            continue;
        }
        empty = false;
        let closers = trimmed.chars().take_while(|c| matches!(c, '}' | ']' | ')')).count();
        if !inside {
            out.push_str(&"  ".repeat(depth.saturating_sub(closers)));
        }
        out.push_str(trimmed);
        out.push('\n');
        heredoc = scan(trimmed, &mut state, &mut depth);
    }
    // An empty line before a closing bracket or at the end says nothing.
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

/// Follows one line; the delimiter if a heredoc begins on it.
fn scan(line: &str, state: &mut Vec<In>, depth: &mut usize) -> Option<String> {
    let mut heredoc = None;
    let mut chars = line.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        let next = chars.peek().map(|n| n.1);
        match state.last().copied().unwrap_or(In::Code) {
            In::LineComment => break,
            In::BlockComment => {
                if c == '*' && next == Some('/') {
                    chars.next();
                    state.pop();
                }
            }
            In::String => match (c, next) {
                ('\\', _) => {
                    chars.next();
                }
                ('"', _) => {
                    state.pop();
                }
                ('$' | '%', Some(n)) if n == c => {
                    chars.next();
                    if chars.peek().is_some_and(|n| n.1 == '{') {
                        chars.next();
                    }
                }
                ('$' | '%', Some('{')) => {
                    chars.next();
                    *depth += 1;
                    state.push(In::Code);
                }
                _ => {}
            },
            In::Code => match (c, next) {
                ('"', _) => state.push(In::String),
                ('#', _) | ('/', Some('/')) => state.push(In::LineComment),
                ('/', Some('*')) => {
                    chars.next();
                    state.push(In::BlockComment);
                }
                ('{' | '[' | '(', _) => *depth += 1,
                ('}' | ']' | ')', _) => {
                    *depth = depth.saturating_sub(1);
                    // The end of `${`.
                    if c == '}' && state.len() > 1 && state[state.len() - 2] == In::String && closes(line, i)
                    {
                        state.pop();
                    }
                }
                ('<', Some('<')) => {
                    let rest = line[i + 2..].trim_start_matches('-');
                    let word: String = rest
                        .chars()
                        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
                        .collect();
                    if !word.is_empty() && rest[word.len()..].trim().is_empty() {
                        heredoc = Some(word);
                        break;
                    }
                }
                _ => {}
            },
        }
    }
    if state.last() == Some(&In::LineComment) {
        state.pop();
    }
    heredoc
}

/// Whether the bracket at `end` closes the nearest `${` before it, counting the brackets between.
fn closes(line: &str, end: usize) -> bool {
    let mut open = 0_i32;
    let bytes = line.as_bytes();
    for i in (0..end).rev() {
        match bytes[i] {
            b'}' => open += 1,
            b'{' if open > 0 => open -= 1,
            b'{' => return i > 0 && matches!(bytes[i - 1], b'$' | b'%'),
            _ => {}
        }
    }
    false
}
