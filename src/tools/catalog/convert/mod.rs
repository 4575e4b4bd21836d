//! The converter's work: CSV in, tables out.

mod carbon;
mod models;
mod names;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::schema::{self, Kind, TABLES};

/// A row by column name.
pub type Record = BTreeMap<String, String>;
/// Tables by name.
pub type Tables = BTreeMap<&'static str, Vec<Record>>;

/// The tables that are kept by hand.
const BY_HAND: [&str; 2] = ["aliases", "offered"];

/// Reads everything, writes everything.
pub fn run(catalog: &Path, perf: &Path, excluded: &[String]) -> Result<(), String> {
    let data = Path::new("src/catalog/data");
    let mut tables = Tables::new();
    for name in BY_HAND {
        tables.insert(name, read_tsv(&data.join(name).with_extension("tsv"))?);
    }
    for (name, file) in [
        ("accelerators", "accelerators.csv"),
        ("instance_types", "instance_types.csv"),
        ("regions", "regions.csv"),
        ("zones", "zones.csv"),
        ("prices", "prices.csv"),
        ("spot_advisor", "spot_advisor.csv"),
        ("quotas", "quotas.csv"),
        ("egress", "egress.csv"),
        ("rtt", "rtt.csv"),
        ("rtt_fit", "rtt_fit.csv"),
        ("throughput", "throughput.csv"),
    ] {
        tables.insert(name, read_csv(&catalog.join(file))?);
    }
    let aliases = names::Aliases::new(tables.get("aliases").map(Vec::as_slice).unwrap_or_default());
    let (known_models, left_out) = models::models(&read_csv(&perf.join("models.csv"))?)?;
    for kind in left_out {
        eprintln!("left out: models of kind {kind}");
    }
    let accelerators = tables.get_mut("accelerators").ok_or("no accelerators")?;
    models::perf_ids(accelerators, &read_csv(&perf.join("gpu_specs.csv"))?, &aliases);
    tables.insert("quality", models::quality(&read_csv(&perf.join("quality.csv"))?, &known_models, &aliases));
    tables.insert("models", known_models);
    let grid = carbon::grid(tables.get("regions").map(Vec::as_slice).unwrap_or_default());
    tables.insert("grid", grid);
    tables.insert("pue", carbon::pue());

    let mut dropped: BTreeSet<String> = excluded.iter().cloned().collect();
    // Its licence forbids commercial use, and the one figure is not worth that.
    dropped.insert("mongodb-docs".to_owned());
    let mut all_sources = sources::sources(catalog)?;
    for source in &all_sources {
        if field(source, "parts").split(' ').any(|part| dropped.contains(part)) {
            dropped.insert(field(source, "id").to_owned());
        }
    }
    let mut used = BTreeSet::from(sources::OUTSIDE_THE_CATALOGUE.map(str::to_owned));
    for rows in tables.values_mut() {
        rows.retain(|row| !dropped.contains(field(row, "source")));
        used.extend(rows.iter().map(|row| field(row, "source").to_owned()));
    }
    drop_orphans(&mut tables);
    for source in &mut all_sources {
        let carried = used.contains(field(source, "id"));
        source.insert("carried".to_owned(), if carried { "yes" } else { "no" }.to_owned());
        used.remove(field(source, "id"));
    }
    if !used.is_empty() {
        return Err(format!("sources without a row in the source tables: {used:?}"));
    }
    std::fs::write("NOTICE", sources::notice(&all_sources)).map_err(|e| format!("NOTICE: {e}"))?;
    tables.insert("sources", all_sources);
    for table in TABLES {
        let rows = tables.get(table.name).map(Vec::as_slice).unwrap_or_default();
        let text = tsv(table, rows)?;
        let path = data.join(table.name).with_extension("tsv");
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        eprintln!("{:>6} {}", rows.len(), table.name);
    }
    names::fixture(catalog, perf)
}

/// What refers to a row that is gone goes too, and an alias of it says so.
fn drop_orphans(tables: &mut Tables) {
    let keys = |tables: &Tables, target: &str| -> BTreeSet<Vec<String>> {
        let Some(table) = schema::table(target) else { return BTreeSet::new() };
        let key =
            |row: &Record| table.columns.iter().take(table.key).map(|c| field(row, c.0).to_owned()).collect();
        tables.get(target).into_iter().flatten().map(key).collect()
    };
    for (name, columns, target) in schema::REFERENCES {
        let known = keys(tables, target);
        if let Some(rows) = tables.get_mut(name) {
            rows.retain(|row| {
                let key: Vec<String> = columns.iter().map(|c| field(row, c).to_owned()).collect();
                key.last().is_some_and(String::is_empty) || known.contains(&key)
            });
        }
    }
    for (kind, target) in schema::ALIASED {
        let known = keys(tables, target);
        for row in tables.get_mut("aliases").into_iter().flatten().filter(|row| field(row, "kind") == *kind) {
            let found = known.contains(&vec![field(row, "id").to_owned()]);
            row.insert("catalogued".to_owned(), if found { "yes" } else { "no" }.to_owned());
        }
    }
}

/// The cell of a column, empty if there is none.
pub fn field<'a>(row: &'a Record, column: &str) -> &'a str {
    row.get(column).map(String::as_str).unwrap_or_default()
}

/// A CSV file with a header.
pub fn read_csv(path: &Path) -> Result<Vec<Record>, String> {
    let failed = |e: csv::Error| format!("{}: {e}", path.display());
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(failed)?;
    let header = reader.headers().map_err(failed)?.clone();
    reader
        .records()
        .map(|row| {
            let row = row.map_err(failed)?;
            Ok(header.iter().zip(&row).map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect())
        })
        .collect()
}

fn read_tsv(path: &Path) -> Result<Vec<Record>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    Ok(lines
        .map(|line| {
            header.iter().zip(line.split('\t')).map(|(k, v)| ((*k).to_owned(), v.to_owned())).collect()
        })
        .collect())
}

fn tsv(table: &schema::Table, rows: &[Record]) -> Result<String, String> {
    let mut lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let cell = |(name, kind): &(&str, Kind)| {
                let text = field(row, name).split_whitespace().collect::<Vec<_>>().join(" ");
                let sound = *kind == Kind::Text || text.is_empty() || text.parse::<f64>().is_ok();
                if sound { Ok(text) } else { Err(format!("{}: {name}: `{text}`", table.name)) }
            };
            table.columns.iter().map(cell).collect()
        })
        .collect::<Result<_, String>>()?;
    lines.sort();
    lines.dedup();
    let mut text: String = table.columns.iter().map(|c| c.0).collect::<Vec<_>>().join("\t");
    text.push('\n');
    for line in lines {
        text.push_str(&line.join("\t"));
        text.push('\n');
    }
    Ok(text)
}
