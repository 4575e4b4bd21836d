//! Tables of a user's own: CSV whose every cell knows its place.
//!
//! Not the `csv` crate, which knows of a cell neither line nor column and reads a quote that never ends as one long cell: of a wrong
//! price list the user is told which cell is wrong. What both take for a table says the same to both, which a test holds.

use super::leaf;
use crate::diagnostic::{Diagnostic, Span, did_you_mean};

/// Most rows of a table.
pub const MOST_ROWS: usize = 200_000;

/// A cell without the white space around it and without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// Index of the file, for spans.
    file: usize,
    /// Of each row after the first its line (from 1) and a cell for each of the wanted columns; an optional column that is not there
    /// gives empty ones.
    pub rows: Vec<(usize, Vec<Cell>)>,
}

impl Sheet {
    /// Reads a table whose first line names its columns: all of `needed` and any of `optional`, in any order. Blank lines say nothing.
    ///
    /// # Errors
    /// Every problem of its form: names of columns, quotes, cells too many or too few, no row at all.
    pub fn read(
        text: &str,
        file: usize,
        needed: &[&str],
        optional: &[&str],
    ) -> Result<Sheet, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut header: Option<Vec<Cell>> = None;
        let mut places: Vec<Option<usize>> = Vec::new();
        let mut rows = Vec::new();
        // A byte order mark, as spreadsheets write it.
        let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        for (number, line) in text[start..].split('\n').enumerate() {
            let from = start;
            start += line.len() + 1;
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim().is_empty() {
                continue;
            }
            let cells = match cells(line, from, file) {
                Ok(cells) => cells,
                Err(problem) => {
                    problems.push(*problem);
                    // Without its columns nothing can be said of the rest.
                    if header.is_none() {
                        return Err(problems);
                    }
                    continue;
                }
            };
            let Some(columns) = &header else {
                places = columns_of(&cells, needed, optional, &mut problems);
                if !problems.is_empty() {
                    return Err(problems);
                }
                header = Some(cells);
                continue;
            };
            if cells.len() != columns.len() {
                let span = Span { file, start: from, end: from + line.len() };
                let message = format!("a row of {} cells under {} columns", cells.len(), columns.len());
                let help = "write as many as the first line has; a cell with a comma is put in quotes";
                problems.push(problem("wrong-row", message, span, "not as the first line says", help));
                continue;
            }
            if rows.len() == MOST_ROWS {
                let span = Span { file, start: from, end: from + line.len() };
                let message = format!("more than {MOST_ROWS} rows");
                problems.push(problem("too-large", message, span, "too many", "leave out what is not sold"));
                break;
            }
            let blank = || Cell { text: String::new(), span: Span { file, start: from, end: from } };
            let row = places.iter().map(|p| p.and_then(|i| cells.get(i)).cloned().unwrap_or_else(blank));
            rows.push((number + 1, row.collect()));
        }
        if rows.is_empty() && problems.is_empty() {
            let names = needed.join(",");
            let (message, help) = match header {
                None => ("the file is empty", format!("the first line is `{names}`")),
                Some(_) => ("there is no row", "write a line for each figure below the first".to_owned()),
            };
            let span = Span { file, start: 0, end: text.chars().next().map_or(0, char::len_utf8) };
            problems.push(problem("empty-value", message, span, "empty", help));
        }
        if problems.is_empty() { Ok(Sheet { file, rows }) } else { Err(problems) }
    }

    /// A whole row.
    pub fn span(&self, row: usize) -> Span {
        let cells = self.rows.get(row).map_or(&[][..], |(_, cells)| cells);
        let start = cells.iter().map(|c| c.span.start).min().unwrap_or(0);
        let end = cells.iter().map(|c| c.span.end).max().unwrap_or(0);
        Span { file: self.file, start, end }
    }
}

/// A day, `2027-06-30`.
///
/// # Errors
/// Anything else.
pub fn day(cell: &Cell) -> Result<String, Box<Diagnostic>> {
    leaf::date(&serde_json::Value::String(cell.text.clone()))
        .map_err(|p| Box::new(problem(p.code, p.message, cell.span.clone(), &p.label, p.help)))
}

/// A problem with its place.
pub fn problem(
    code: &'static str,
    message: impl Into<String>,
    span: Span,
    label: &str,
    help: impl Into<String>,
) -> Diagnostic {
    Diagnostic::error(code, message).span(span).label(label).help(help)
}

/// The cells of a line that begins at `from`.
fn cells(line: &str, from: usize, file: usize) -> Result<Vec<Cell>, Box<Diagnostic>> {
    let mut cells = Vec::new();
    let mut at = 0;
    loop {
        let rest = &line[at..];
        let lead = rest.len() - rest.trim_start().len();
        let (text, length) = if rest[lead..].starts_with('"') {
            quoted(&rest[lead + 1..]).map(|(text, n)| (text, lead + 1 + n)).ok_or_else(|| {
                let span = Span { file, start: from + at + lead, end: from + line.len() };
                let help = "close it on the same line; a quote inside is written twice";
                Box::new(problem("syntax", "a quote that does not end", span, "opened here", help))
            })?
        } else {
            let length = rest.find(',').unwrap_or(rest.len());
            (rest[..length].trim().to_owned(), length)
        };
        let tail = &rest[length..];
        let gap = tail.find(',').unwrap_or(tail.len());
        if !tail[..gap].trim().is_empty() {
            let span = Span { file, start: from + at + length, end: from + at + length + gap };
            let help = "put the whole cell in quotes, and write a quote inside it twice";
            let message = "text behind a quoted cell";
            return Err(Box::new(problem("syntax", message, span, "outside of the quotes", help)));
        }
        let end = at + rest[..length].trim_end().len();
        let span = Span { file, start: from + at + lead, end: (from + end).max(from + at + lead) };
        cells.push(Cell { text, span });
        if gap == tail.len() {
            return Ok(cells);
        }
        at += length + gap + 1;
    }
}

/// What is in quotes, from behind the first, and the bytes that it takes with the last.
fn quoted(rest: &str) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut characters = rest.char_indices().peekable();
    while let Some((i, c)) = characters.next() {
        match (c, characters.peek()) {
            ('"', Some((_, '"'))) => {
                text.push('"');
                characters.next();
            }
            ('"', _) => return Some((text.trim().to_owned(), i + 1)),
            _ => text.push(c),
        }
    }
    None
}

/// Where each wanted column stands.
fn columns_of(
    header: &[Cell],
    needed: &[&str],
    optional: &[&str],
    problems: &mut Vec<Diagnostic>,
) -> Vec<Option<usize>> {
    let wanted: Vec<&str> = needed.iter().chain(optional).copied().collect();
    // As spreadsheets write it where the comma is in numbers.
    if let ([only], true) = (header, needed.len() > 1)
        && let Some(mark) = [';', '\t'].into_iter().find(|mark| only.text.contains(*mark))
    {
        let message = format!("cells are separated by {mark:?}");
        let help = "separate them by commas, and write numbers with a point";
        problems.push(problem("syntax", message, only.span.clone(), "no comma", help));
        return Vec::new();
    }
    for (i, cell) in header.iter().enumerate() {
        let name = cell.text.to_lowercase();
        if !wanted.contains(&name.as_str()) {
            let missing = wanted.iter().filter(|w| !header.iter().any(|h| h.text.eq_ignore_ascii_case(w)));
            let help = did_you_mean(&name, missing.copied()).map_or_else(
                || leaf::suggest(&name, wanted.iter().copied(), "columns"),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("there is no column `{}`", cell.text);
            problems.push(problem("unknown-column", message, cell.span.clone(), "not a column", help));
        } else if header[..i].iter().any(|h| h.text.to_lowercase() == name) {
            let message = format!("the column `{name}` is there twice");
            problems.push(problem(
                "duplicate-key",
                message,
                cell.span.clone(),
                "again",
                "remove one of the two",
            ));
        }
    }
    let place = |name: &&str| header.iter().position(|h| h.text.eq_ignore_ascii_case(name));
    let missing: Vec<String> =
        needed.iter().filter(|name| place(name).is_none()).map(|name| format!("`{name}`")).collect();
    let (first, last) = (header.first().map(|h| &h.span), header.last().map(|h| &h.span));
    if let (false, Some(first), Some(last)) = (missing.is_empty(), first, last) {
        let span = Span { file: first.file, start: first.start, end: last.end };
        let (s, is) = if missing.len() == 1 { ("", "is") } else { ("s", "are") };
        let message = format!("the column{s} {} {is} missing", missing.join(", "));
        let help = format!("the first line is `{}`", needed.join(","));
        problems.push(problem("missing-column", message, span, "the columns of this file", help));
    }
    wanted.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<Vec<String>> {
        let sheet = Sheet::read(text, 0, &["a", "b"], &["c"]).unwrap();
        sheet.rows.into_iter().map(|(_, cells)| cells.into_iter().map(|c| c.text).collect()).collect()
    }

    #[test]
    fn columns_come_in_any_order_and_spreadsheets_are_read() {
        let expected = [vec!["1".to_owned(), "2".into(), String::new()]];
        for text in ["a,b\n1,2\n", "b,a\r\n2,1\r\n", "\u{feff}A , B\n\n 1 ,\"2\"\n", "a,b\n\"1\" , 2"] {
            assert_eq!(texts(text), expected, "{text:?}");
        }
        assert_eq!(texts("c,a,b\n\"x, \"\"y\"\"\",1,2\n")[0][2], "x, \"y\"");
    }

    proptest::proptest! {
        /// What a library of the field writes is read as it was meant, and as that library reads it.
        #[test]
        fn what_csv_writes_is_read(table in proptest::collection::vec(["[ -~]{1,6}", "[a-zé\",; ]{0,5}", "[^\r\n]{0,4}"], 1..6)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["c", "b", "a"]).unwrap();
            for row in &table {
                writer.write_record(row).unwrap();
            }
            let written = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(written.as_bytes());
            let read: Vec<Vec<String>> = reader
                .records()
                .map(|row| row.unwrap().iter().rev().map(|cell| cell.trim().to_owned()).collect())
                .collect();
            let meant: Vec<Vec<String>> =
                table.iter().map(|row| row.iter().rev().map(|cell| cell.trim().to_owned()).collect()).collect();
            proptest::prop_assert_eq!(&texts(&written), &meant);
            proptest::prop_assert_eq!(&read, &meant);
        }
    }

    #[test]
    fn cells_know_where_they_stand() {
        let text = "\u{feff}a,b\r\n 1 , \"zwei\" \r\n";
        let sheet = Sheet::read(text, 7, &["a", "b"], &[]).unwrap();
        let (line, cells) = &sheet.rows[0];
        assert_eq!(*line, 2);
        let written: Vec<&str> = cells.iter().map(|c| &text[c.span.start..c.span.end]).collect();
        assert_eq!(written, ["1", "\"zwei\""]);
        assert_eq!(&text[sheet.span(0).start..sheet.span(0).end], "1 , \"zwei\"");
    }

    #[test]
    fn what_is_no_table_says_so() {
        let codes = |text: &str| -> Vec<&str> {
            Sheet::read(text, 0, &["a", "b"], &["c"]).unwrap_err().iter().map(|p| p.code).collect()
        };
        assert_eq!(codes(""), ["empty-value"]);
        assert_eq!(codes("a,b\n"), ["empty-value"]);
        assert_eq!(codes("a\n1\n"), ["missing-column"]);
        assert_eq!(codes("c\n1\n"), ["missing-column"], "one for all that are missing");
        assert_eq!(codes("a;b\n1;2\n"), ["syntax"]);
        assert_eq!(codes("a\tb\n1\t2\n"), ["syntax"]);
        assert_eq!(codes("a,bb\n1,2\n"), ["unknown-column", "missing-column"]);
        assert_eq!(codes("a,b,a\n1,2,3\n"), ["duplicate-key"]);
        assert_eq!(codes("a,b\n1\n1,2,3\n\"1,2\n\"1\"x,2\n"), ["wrong-row", "wrong-row", "syntax", "syntax"]);
    }
}
