//! A [`Report`] on a terminal, in a pipe or in a narrow window.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{
    Attribute, Cell as TableCell, CellAlignment, Color, ContentArrangement, LineStyle, Table as Grid, presets,
};

use crate::cli::{Failure, Settings};
use crate::report::{Block, Cell, Report, Section, Tone};

/// Below this width a table becomes a list of names and values.
const NARROW: usize = 72;

/// The whole report, or only the sections named.
pub fn text(report: &Report, settings: &Settings, only: Option<&[&str]>) -> String {
    let mut out = String::new();
    if settings.quiet {
        let _ = writeln!(out, "{}", report.summary);
        return out;
    }
    let bold = Style::new().bold();
    for line in wrap(&report.title, settings.width, 0) {
        line_in(&mut out, &line, bold, settings.color);
    }
    for section in &report.sections {
        if only.is_none_or(|names| names.contains(&section.name)) {
            section_text(&mut out, section, settings);
        }
    }
    out.push('\n');
    for line in wrap(&report.summary, settings.width, 0) {
        line_in(&mut out, &line, bold, settings.color);
    }
    out
}

fn section_text(out: &mut String, section: &Section, settings: &Settings) {
    out.push('\n');
    for line in wrap(&section.heading, settings.width, 0) {
        line_in(out, &line, Style::new().bold().underline(), settings.color);
    }
    for block in &section.blocks {
        match block {
            Block::Lines(lines) => {
                for line in lines {
                    for part in wrap(&line.text, settings.width.saturating_sub(2), 2) {
                        out.push_str("  ");
                        line_in(out, &part, style(line.tone), settings.color);
                    }
                }
            }
            Block::Table(t) => out.push_str(&table(&t.columns, &t.rows, settings)),
        }
    }
}

/// Draws rows under headings (`true` = flush right): a grid, or in a narrow window a block per row.
pub fn table<S: AsRef<str>>(columns: &[(S, bool)], rows: &[Vec<Cell>], settings: &Settings) -> String {
    let mut out = String::new();
    if settings.width < NARROW {
        narrow(&mut out, columns, rows, settings);
    } else {
        out = grid(columns, rows, settings);
    }
    out
}

/// Draws rows under headings as a grid, whatever the width; cells that do not fit are wrapped.
pub fn grid<S: AsRef<str>>(columns: &[(S, bool)], rows: &[Vec<Cell>], settings: &Settings) -> String {
    let mut grid = Grid::new();
    let rule = LineStyle::none().fill('─').junction('─');
    grid.load_style(if settings.terminal {
        presets::NOTHING.header_separator(rule)
    } else {
        presets::NOTHING
    })
    .set_content_arrangement(ContentArrangement::Dynamic)
    .set_width(u16::try_from(settings.width.saturating_sub(2)).unwrap_or(u16::MAX));
    // The padding of a cell is not coloured, so that the end of a line can be trimmed.
    grid.style_text_only();
    if settings.color {
        grid.enforce_styling();
    } else {
        grid.force_no_tty();
    }
    let cell = |text: &str, right: bool, tone: Tone| {
        let cell = TableCell::new(text);
        let cell = if right { cell.set_alignment(CellAlignment::Right) } else { cell };
        match tone {
            Tone::Plain => cell,
            Tone::Good => cell.fg(Color::Green),
            Tone::Warn => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
            Tone::Dim => cell.add_attribute(Attribute::Dim),
        }
    };
    grid.set_header(
        columns
            .iter()
            .map(|(name, right)| cell(name.as_ref(), *right, Tone::Plain).add_attribute(Attribute::Bold)),
    );
    for row in rows {
        grid.add_row(row.iter().zip(columns).map(|(c, (_, right))| cell(&c.text, *right, c.tone)));
    }
    grid.lines().map(|line| format!(" {}\n", line.trim_end())).collect()
}

/// Draws a block of names and values for each row.
pub fn blocks<S: AsRef<str>>(columns: &[(S, bool)], rows: &[Vec<Cell>], settings: &Settings) -> String {
    let mut out = String::new();
    narrow(&mut out, columns, rows, settings);
    out
}

fn narrow<S: AsRef<str>>(out: &mut String, columns: &[(S, bool)], rows: &[Vec<Cell>], settings: &Settings) {
    let names = columns.iter().map(|(name, _)| name.as_ref().chars().count()).max().unwrap_or(0);
    for (i, row) in rows.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        for (cell, (name, _)) in row.iter().zip(columns) {
            let name = name.as_ref();
            let room = settings.width.saturating_sub(names + 5).max(10);
            for (n, part) in wrap(&cell.text, room, 0).into_iter().enumerate() {
                let label = if n == 0 { format!("{name}:") } else { String::new() };
                let _ = write!(out, "  {label:<width$} ", width = names + 1);
                line_in(out, &part, style(cell.tone), settings.color);
            }
        }
    }
}

/// Cuts lines that are too wide at spaces; lines that fit stay as they are.
pub fn fold(text: &str, width: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.chars().count() <= width {
            out.push_str(line);
            out.push('\n');
        } else {
            wrap(line, width, 2).iter().for_each(|part| {
                let _ = writeln!(out, "{part}");
            });
        }
    }
    out
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Warn => AnsiColor::Yellow.on_default(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
        Tone::Dim => Style::new().dimmed(),
    }
}

fn line_in(out: &mut String, text: &str, style: Style, color: bool) {
    if color {
        let _ = writeln!(out, "{style}{text}{style:#}");
    } else {
        let _ = writeln!(out, "{text}");
    }
}

/// Cuts a text at spaces so that no line is wider than `width`; later lines are indented. A word longer
/// than a line is cut.
fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let width = width.max(10);
    let lead = text.len() - text.trim_start().len();
    let mut lines = Vec::new();
    let mut line = " ".repeat(lead);
    let mut empty = true;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let used = line.chars().count();
            let gap = usize::from(!empty);
            if used + gap + word.len() <= width {
                if !empty {
                    line.push(' ');
                }
                line.extend(&word);
                empty = false;
                break;
            }
            if empty {
                let rest = word.split_off(width.saturating_sub(used).max(1).min(word.len()));
                line.extend(&word);
                word = rest;
                empty = false;
                if word.is_empty() {
                    break;
                }
            }
            lines.push(std::mem::replace(&mut line, " ".repeat((lead + indent).min(width / 2))));
            empty = true;
        }
    }
    if !empty || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Writes to standard output; a reader that has gone away is no error.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    crate::cli::stdout::print(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_asked() {
        let text = "  the quick brown fox services.chat/aws/eu-central-1/p5.48xlarge/on_demand jumps";
        for width in 10..90 {
            for line in wrap(text, width, 2) {
                assert!(line.chars().count() <= width, "{width}: {line:?}");
            }
        }
        let joined: String = wrap(text, 30, 2).concat().split_whitespace().collect();
        assert_eq!(joined, text.split_whitespace().collect::<String>());
        assert_eq!(wrap("", 20, 0), [""]);
    }
}
