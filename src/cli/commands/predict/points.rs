//! `rhumb predict --points`: a table of benchmark points, answered row by row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::edges;
use crate::catalog::{Catalog, ModelArch};
use crate::cli::load::{read_named, read_text_named};
use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings};
use crate::math::round_to;
use crate::perf::Benchmark;
use crate::perf::points::{Case, Columns, Row};

/// The columns of the answer.
const COLUMNS: [&str; 9] =
    ["id", "ttft_ms", "tpot_ms", "ttft_lo", "ttft_hi", "tpot_lo", "tpot_hi", "evidence", "note"];

/// An answer: a benchmark's figures and whether a request has a time between tokens, or why there are none.
type Answer = Result<(Benchmark, bool), String>;

/// TTFT and TPOT, then the ends of their intervals in the order of [`COLUMNS`], milliseconds.
fn figures(answer: &Answer) -> [Option<f64>; 6] {
    let Ok((b, between)) = answer else { return [None; 6] };
    let (ttft, tpot) = (edges(b.ttft_s, &b.ttft_band), edges(b.tpot_s, &b.tpot_band));
    let of_tokens = |s: f64| Some(s).filter(|_| *between);
    let all = [
        Some(b.ttft_s),
        of_tokens(b.tpot_s),
        Some(ttft.0),
        Some(ttft.1),
        of_tokens(tpot.0),
        of_tokens(tpot.1),
    ];
    all.map(|s| s.map(|s| round_to(s * 1e3, 4)))
}

fn note(answer: &Answer) -> String {
    match answer {
        Ok((b, between)) => {
            let one = Some("one token has no time per output token").filter(|_| !between);
            b.notes.iter().map(String::as_str).chain(one).collect::<Vec<_>>().join("; ")
        }
        Err(why) => format!("no prediction: {why}"),
    }
}

/// `config.json` files that stand in for models the catalogue does not know, by the name in the table.
struct Own {
    models: BTreeMap<String, Result<ModelArch, String>>,
}

impl Own {
    /// Looks for each unknown name in `at`: the file itself, or in a folder `NAME/config.json` or
    /// `NAME.json` for the whole name or its last part, or one `config.json` for all.
    fn read(folder: &Path, at: Option<&Path>, unknown: &[&str]) -> Self {
        let mut models = BTreeMap::new();
        let Some(at) = at else { return Own { models } };
        let root = folder.join(at);
        for name in unknown {
            let last = name.rsplit('/').next().unwrap_or(name);
            let safe =
                |n: &str| !n.is_empty() && !n.split('/').any(|part| part == "..") && !n.starts_with('/');
            let mut places = Vec::new();
            if root.is_dir() {
                for n in [*name, last].into_iter().filter(|n| safe(n)) {
                    places.extend([at.join(n).join("config.json"), at.join(format!("{n}.json"))]);
                }
                places.push(at.join("config.json"));
            } else {
                places.push(at.to_owned());
            }
            let Some(place) = places.into_iter().find(|p| folder.join(p).is_file()) else { continue };
            let shown = place.display().to_string();
            let arch = read_named(folder, &shown)
                .and_then(|text| ModelArch::from_hf_config(&shown, &text))
                .map_err(|e| format!("--model-config {shown}: {e}"));
            models.insert((*name).to_owned(), arch);
        }
        Own { models }
    }
}

/// The rows of the table.
///
/// # Errors
/// It is not a table, or a row has another number of cells; with line and reason.
fn records(name: &str, text: &str) -> Result<(Columns, Vec<csv::StringRecord>), Failure> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let failed = |line: u64, reason: String| Failure::error(format!("{name}:{line}:1: {reason}"));
    let columns = reader.headers().map_err(|e| failed(1, format!("no table: {e}")))?.clone();
    if !columns.iter().any(|c| c.trim() == "id") {
        return Err(failed(
            1,
            "no column `id`; the first line names the columns, separated by commas".into(),
        ));
    }
    for column in ["model", "system"] {
        if !columns.iter().any(|c| c.trim() == column) {
            return Err(failed(1, format!("no column `{column}`: nothing could be predicted")));
        }
    }
    let mut found = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| {
            let line = e.position().map_or(0, csv::Position::line);
            failed(line, format!("not a row of the table: {e}"))
        })?;
        if record.len() != columns.len() {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(failed(
                line,
                format!(
                    "{} cells, but the table has {} columns; quote cells with commas in them",
                    record.len(),
                    columns.len()
                ),
            ));
        }
        found.push(record);
    }
    Ok((Columns::new(columns.iter()), found))
}

/// The answers as text.
///
/// # Errors
/// As of [`records`].
fn answers(settings: &Settings, name: &str, config: Option<&Path>) -> Result<Vec<(String, Answer)>, Failure> {
    let text = read_text_named(&settings.dir, name).map_err(|e| Failure::error(format!("{name}: {e}")))?;
    let (columns, records) = records(name, &text)?;
    let rows: Vec<Row<'_>> = records.iter().map(|r| Row::new(&columns, r)).collect();
    let catalog = Catalog::embedded();
    let mut unknown: Vec<&str> = Vec::new();
    if config.is_some() {
        let strange = |name: &str| catalog.resolve_checkpoint(name).is_none();
        let rows = rows.iter().filter(|r| strange(r.text("model")) && strange(r.text("arch")));
        unknown = rows.map(|r| r.text("model")).collect();
        unknown.sort_unstable();
        unknown.dedup();
    }
    let own = Own::read(&settings.dir, config, &unknown);
    let answer = |row: &Row<'_>| -> Answer {
        let own = own.models.get(row.text("model")).map(|own| own.as_ref().map_err(Clone::clone));
        let case = Case::read(row, &catalog, own.transpose()?)?;
        let found = case.predict().map_err(|e| e.to_string())?;
        Ok((found, case.shape.output.max > 1.0))
    };
    Ok(rows.iter().map(|row| (row.text("id").to_owned(), answer(row))).collect())
}

/// Answers a table of points.
///
/// # Errors
/// See [`Failure`].
pub fn run(settings: &Settings, name: &str, config: Option<&Path>) -> Result<Exit, Failure> {
    let answers = answers(settings, name, config)?;
    let text = if settings.json {
        let points: Vec<_> = answers
            .iter()
            .map(|(id, answer)| {
                let figures = figures(answer);
                json!({
                    "id": id,
                    "ttft_ms": figures[0], "tpot_ms": figures[1],
                    "ttft_lo": figures[2], "ttft_hi": figures[3],
                    "tpot_lo": figures[4], "tpot_hi": figures[5],
                    "evidence": answer.as_ref().ok().map(|(b, _)| b.evidence.as_str()),
                    "note": note(answer),
                })
            })
            .collect();
        format!("{:#}\n", json!({ "schema": "rhumb.predict-points/1", "points": points }))
    } else {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let wrote = |e: csv::Error| Failure::error(format!("cannot write the answer: {e}"));
        writer.write_record(COLUMNS).map_err(wrote)?;
        let mut cell = String::new();
        for (id, answer) in &answers {
            writer.write_field(id).map_err(wrote)?;
            for figure in figures(answer) {
                cell.clear();
                if let Some(figure) = figure {
                    let _ = write!(cell, "{figure}");
                }
                writer.write_field(&cell).map_err(wrote)?;
            }
            writer.write_field(answer.as_ref().map_or("", |(b, _)| b.evidence.as_str())).map_err(wrote)?;
            writer.write_field(note(answer)).map_err(wrote)?;
            writer.write_record(None::<&[u8]>).map_err(wrote)?;
        }
        let bytes = writer.into_inner().map_err(|e| Failure::error(e.to_string()))?;
        String::from_utf8_lossy(&bytes).into_owned()
    };
    print(&text)?;
    Ok(Exit::Done)
}
