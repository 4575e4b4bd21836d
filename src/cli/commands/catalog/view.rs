//! A list of rows with named columns: filtered, sorted, printed as a table or as JSON.

use rhumb_api::Money;
use serde_json::{Map, Value, json};

use crate::cli::view::terminal;
use crate::cli::{Failure, Settings};
use crate::diagnostic::did_you_mean;
use crate::report;

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Not known.
    Unknown,
    /// Text.
    Text(String),
    /// A number, shown with at most so many decimals.
    Number(f64, usize),
    /// Dollars.
    Money(Money),
}

impl Cell {
    /// A number that may be unknown.
    pub fn number(value: Option<f64>, decimals: usize) -> Self {
        value.map_or(Cell::Unknown, |v| Cell::Number(v, decimals))
    }

    /// Text; empty is unknown.
    pub fn text(value: impl Into<String>) -> Self {
        let text = value.into();
        if text.is_empty() { Cell::Unknown } else { Cell::Text(text) }
    }

    fn shown(&self) -> String {
        match self {
            Cell::Unknown => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Number(value, decimals) => {
                let text = format!("{value:.decimals$}");
                if text.contains('.') {
                    text.trim_end_matches('0').trim_end_matches('.').to_owned()
                } else {
                    text
                }
            }
            Cell::Money(money) => {
                let text = format!("{:.6}", money.usd());
                let cut = text.trim_end_matches('0');
                let decimals = cut.rsplit_once('.').map_or(0, |(_, d)| d.len()).max(2);
                format!("{:.decimals$}", money.usd())
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Unknown => Value::Null,
            Cell::Text(text) => json!(text),
            Cell::Number(value, _) => json!(value),
            Cell::Money(money) => json!(money.usd()),
        }
    }

    /// Unknown comes last in either direction.
    fn order(&self, other: &Cell, reverse: bool) -> std::cmp::Ordering {
        use std::cmp::Ordering;
        let known = match (self, other) {
            (Cell::Unknown, Cell::Unknown) => return Ordering::Equal,
            (Cell::Unknown, _) => return Ordering::Greater,
            (_, Cell::Unknown) => return Ordering::Less,
            (Cell::Number(a, _), Cell::Number(b, _)) => a.total_cmp(b),
            (Cell::Money(a), Cell::Money(b)) => a.cmp(b),
            (a, b) => a.shown().cmp(&b.shown()),
        };
        if reverse { known.reverse() } else { known }
    }
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name in JSON, in `--sort` and, with spaces, in the header.
    pub key: &'static str,
    /// Numbers stand at the right.
    pub right: bool,
    /// Shown only with `-v` (always in JSON).
    pub verbose: bool,
}

/// A column of text.
pub const fn text(key: &'static str) -> Column {
    Column { key, right: false, verbose: false }
}

/// A column of numbers.
pub const fn number(key: &'static str) -> Column {
    Column { key, right: true, verbose: false }
}

/// A column of text that only `-v` shows.
pub const fn detail(key: &'static str) -> Column {
    Column { key, right: false, verbose: true }
}

/// A list.
pub struct View {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, as many cells as columns.
    pub rows: Vec<Vec<Cell>>,
}

impl View {
    fn position(&self, key: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.key == key)
    }

    /// Keeps the rows whose cell is one of `accepted` (any case).
    ///
    /// # Errors
    /// The list has no such column, or no row at all has such a cell.
    pub fn keep(&mut self, column: &str, written: &str, accepted: &[String]) -> Result<(), Failure> {
        let option = format!("--{}", column.replace('_', "-"));
        let Some(at) = self.position(column) else {
            return Err(Failure::usage(format!("{option} does not apply to this list")));
        };
        let matches = |row: &Vec<Cell>| {
            let shown = row.get(at).map(Cell::shown).unwrap_or_default();
            accepted.iter().any(|a| a.eq_ignore_ascii_case(&shown))
        };
        if !self.rows.is_empty() && !self.rows.iter().any(matches) {
            let mut known: Vec<String> =
                self.rows.iter().filter_map(|r| r.get(at)).map(Cell::shown).collect();
            known.sort();
            known.dedup();
            let guess = did_you_mean(written, known.iter().map(String::as_str));
            let guess = guess.map(|g| format!("; did you mean `{g}`?")).unwrap_or_default();
            return Err(Failure::usage(format!("{option} {written}: no row of this list has it{guess}")));
        }
        self.rows.retain(matches);
        Ok(())
    }

    /// Keeps the rows that hold a text in any cell (any case).
    pub fn matching(&mut self, wanted: &str) {
        let wanted = wanted.to_lowercase();
        self.rows.retain(|row| row.iter().any(|cell| cell.shown().to_lowercase().contains(&wanted)));
    }

    /// Sorts by a column; a leading `-` reverses. Rows that are equal keep their order.
    ///
    /// # Errors
    /// There is no such column.
    pub fn sort(&mut self, key: &str) -> Result<(), Failure> {
        let (name, reverse) = key.strip_prefix('-').map_or((key, false), |rest| (rest, true));
        let name = name.replace('-', "_");
        let Some(at) = self.position(&name) else {
            let known: Vec<&str> = self.columns.iter().map(|c| c.key).collect();
            let guess = did_you_mean(&name, known.iter().copied());
            let guess = guess.map(|g| format!("; did you mean `{g}`?")).unwrap_or_default();
            let known = known.join(", ");
            return Err(Failure::usage(format!("--sort {key}: no such column{guess} (columns: {known})")));
        };
        self.rows.sort_by(|a, b| match (a.get(at), b.get(at)) {
            (Some(a), Some(b)) => a.order(b, reverse),
            _ => std::cmp::Ordering::Equal,
        });
        Ok(())
    }

    /// The text to print, with a final newline.
    pub fn render(mut self, subject: &str, limit: Option<usize>, settings: &Settings) -> String {
        let total = self.rows.len();
        self.rows.truncate(limit.unwrap_or(total));
        if settings.json {
            let rows: Vec<Value> = self
                .rows
                .iter()
                .map(|row| {
                    let members = self.columns.iter().zip(row);
                    Value::Object(members.map(|(c, v)| (c.key.to_owned(), v.json())).collect::<Map<_, _>>())
                })
                .collect();
            let value =
                json!({ "schema": "rhumb.catalog/1", "subject": subject, "total": total, "rows": rows });
            return format!("{value:#}\n");
        }
        let mut text = self.table(settings);
        if !settings.quiet {
            let shown = self.rows.len();
            let more =
                if shown < total { format!("{shown} of {total} rows") } else { format!("{total} rows") };
            text.push_str(&format!("{more}\n"));
        }
        text
    }

    /// The columns to show, and those that the width leaves no room for (from the right).
    fn fitting(&self, settings: &Settings) -> (Vec<usize>, Vec<&'static str>) {
        let mut used: Vec<(usize, usize)> = Vec::new();
        for (i, column) in self.columns.iter().enumerate() {
            // A column that is empty throughout says nothing.
            let cells = self.rows.iter().filter_map(|row| row.get(i)).filter(|c| **c != Cell::Unknown);
            let widest = cells.map(|c| c.shown().chars().count()).max();
            if let (Some(widest), true) = (widest, settings.verbose > 0 || !column.verbose) {
                used.push((i, widest.max(column.key.len()) + 2));
            }
        }
        let mut hidden = Vec::new();
        let limit = settings.for_lists().width.saturating_sub(2);
        while used.len() > 2 && used.iter().map(|(_, w)| w).sum::<usize>() > limit {
            if let Some((i, _)) = used.pop() {
                hidden.insert(0, self.columns[i].key);
            }
        }
        (used.into_iter().map(|(i, _)| i).collect(), hidden)
    }

    fn table(&self, settings: &Settings) -> String {
        let (mut used, mut hidden) = self.fitting(settings);
        // What reads from a pipe must find every column, however narrow the stated width is.
        let blocks = !settings.terminal && !hidden.is_empty();
        if blocks {
            used = self.fitting(&Settings { width_known: false, ..settings.clone() }).0;
            hidden.clear();
        }
        let columns: Vec<(String, bool)> = used
            .iter()
            .filter_map(|i| self.columns.get(*i))
            .map(|column| (column.key.replace('_', " "), column.right))
            .collect();
        let rows: Vec<Vec<report::Cell>> = self
            .rows
            .iter()
            .map(|row| {
                used.iter()
                    .map(|i| report::Cell::plain(row.get(*i).map(Cell::shown).unwrap_or_default()))
                    .collect()
            })
            .collect();
        let mut text = if blocks {
            terminal::blocks(&columns, &rows, settings)
        } else {
            terminal::grid(&columns, &rows, &settings.for_lists())
        };
        if !hidden.is_empty() && !settings.quiet {
            let hidden: Vec<String> = hidden.iter().map(|key| key.replace('_', " ")).collect();
            let line = format!("not shown for want of room: {}", hidden.join(", "));
            text.push_str(&terminal::fold(&line, settings.width));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_drops_columns_and_says_so() {
        let settings = |terminal| Settings {
            dir: ".".into(),
            json: false,
            quiet: false,
            verbose: 0,
            now: jiff::Timestamp::UNIX_EPOCH,
            color: false,
            terminal,
            clock: jiff::Timestamp::UNIX_EPOCH,
            width: 40,
            width_known: true,
        };
        let words = ["first", "second", "third", "fourth"];
        let view = || View {
            columns: words.map(text).to_vec(),
            rows: vec![words.map(|w| Cell::text(format!("{w}-{w}"))).to_vec()],
        };
        let shown = view().render("words", None, &settings(true));
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("not shown for want of room: third, fourth"), "{shown}");
        let piped = view().render("words", None, &settings(false));
        assert!(piped.contains("fourth: fourth-fourth"), "{piped}");
    }
}
