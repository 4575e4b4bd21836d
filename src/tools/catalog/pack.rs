//! The build script: checks the tables under `data/` and packs them into one file that the
//! program carries.
//!
//! `RHUMB_CATALOG_EXCLUDE` (comma separated source ids, or `none-found` for every source whose
//! licence is "none found") leaves the rows of these sources out, and the rows that refer to them.
#![allow(clippy::disallowed_methods)]

#[allow(dead_code)]
#[path = "../../catalog/schema.rs"]
/// The tables' columns.
pub mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use schema::{ALIASED, Kind, REFERENCES, TABLES, Table};

type Row = Vec<String>;

fn main() {
    println!("cargo::rerun-if-changed=src/catalog/data");
    println!("cargo::rerun-if-changed=src/catalog/schema.rs");
    println!("cargo::rerun-if-changed=tools/catalog/pack.rs");
    println!("cargo::rerun-if-env-changed=RHUMB_CATALOG_EXCLUDE");
    let converting = std::env::var_os("CARGO_FEATURE_CONVERT").is_some();
    let (Some(root), Some(out)) = (std::env::var_os("CARGO_MANIFEST_DIR"), std::env::var_os("OUT_DIR"))
    else {
        fail("not started by cargo");
    };
    let folder = Path::new(&root).join("src/catalog/data");
    let exclude = std::env::var("RHUMB_CATALOG_EXCLUDE").unwrap_or_default();
    let packed = match read(&folder).and_then(|tables| pack(tables, &exclude)) {
        Ok(packed) => packed,
        // The converter is about to write the tables anew; it must not need sound old ones.
        Err(_) if converting => Vec::new(),
        Err(error) => fail(&error),
    };
    if let Err(error) = std::fs::write(Path::new(&out).join("catalog.bin"), packed) {
        fail(&error.to_string());
    }
}

fn fail(error: &str) -> ! {
    println!("cargo::error=catalogue: {}", error.replace('\n', " "));
    std::process::exit(1)
}

/// The tables of a folder, each sound in itself.
pub fn read(folder: &Path) -> Result<BTreeMap<&'static str, Vec<Row>>, String> {
    let mut tables = BTreeMap::new();
    for table in TABLES {
        let path = folder.join(table.name).with_extension("tsv");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        tables.insert(table.name, rows(table, &text)?);
    }
    Ok(tables)
}

/// Reads a table and checks its form: header, cells, order, no key twice, source and date.
pub fn rows(table: &Table, text: &str) -> Result<Vec<Row>, String> {
    let mut lines = text.lines().enumerate();
    let header: Vec<&str> = lines.next().map(|(_, l)| l.split('\t').collect()).unwrap_or_default();
    let expected: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    if header != expected {
        return Err(format!("{}.tsv: the columns are {header:?}, not {expected:?}", table.name));
    }
    let mut result: Vec<Row> = Vec::new();
    for (number, line) in lines {
        let at = format!("{}.tsv:{}", table.name, number + 1);
        let row: Row = line.split('\t').map(str::to_owned).collect();
        if row.len() != table.columns.len() {
            return Err(format!("{at}: {} cells, not {}", row.len(), table.columns.len()));
        }
        for (cell, (name, kind)) in row.iter().zip(table.columns) {
            let sound = match kind {
                Kind::Text => cell.trim() == cell,
                Kind::Number => cell.is_empty() || cell.parse::<f64>().is_ok_and(f64::is_finite),
                Kind::Money => cell.is_empty() || micros(cell).is_some(),
            };
            if !sound {
                return Err(format!("{at}: {name}: `{cell}` is not a {kind:?}"));
            }
            if matches!(*name, "source" | "as_of" | "licence" if table.name != "models" || *name != "licence")
                && cell.is_empty()
            {
                return Err(format!("{at}: no {name}"));
            }
        }
        if let Some(last) = result.last()
            && last[..table.key] >= row[..table.key]
        {
            return Err(format!("{at}: not in order, or a key occurs twice"));
        }
        result.push(row);
    }
    Ok(result)
}

/// Dollars as micro-dollars, exactly; `None` if it is not a decimal of at most nine places.
fn micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nano: i64 = format!("{whole}{fraction:0<9}").parse().ok()?;
    Some((nano + 500) / 1000)
}

/// The packed form of tables without the sources to exclude.
pub fn pack(mut tables: BTreeMap<&'static str, Vec<Row>>, exclude: &str) -> Result<Vec<u8>, String> {
    let dropped = drop_sources(&mut tables, exclude)?;
    let orphans = drop_orphans(&mut tables);
    if exclude.trim().is_empty() && !orphans.is_empty() {
        return Err(format!("rows that refer to nothing: {}", orphans.join("; ")));
    }
    check_references(&tables)?;
    Ok(encode(&tables, &dropped.into_iter().collect::<Vec<_>>().join(" ")))
}

/// Leaves out the rows whose source is excluded, or is made from an excluded one; returns the sources.
pub fn drop_sources(
    tables: &mut BTreeMap<&'static str, Vec<Row>>,
    exclude: &str,
) -> Result<BTreeSet<String>, String> {
    let sources = tables.get("sources").cloned().unwrap_or_default();
    let mut dropped: BTreeSet<String> = BTreeSet::new();
    for name in exclude.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        if name == "none-found" {
            dropped.extend(sources.iter().filter(|s| s[4].starts_with("none found")).map(|s| s[0].clone()));
        } else if sources.iter().any(|s| s[0] == name) {
            dropped.insert(name.to_owned());
        } else {
            return Err(format!("RHUMB_CATALOG_EXCLUDE: there is no source `{name}`"));
        }
    }
    for source in &sources {
        if source[1].split(' ').any(|part| dropped.contains(part)) {
            dropped.insert(source[0].clone());
        }
    }
    for table in TABLES {
        let source = table.column("source").or_else(|| (table.name == "sources").then_some(0));
        if let (Some(column), Some(rows)) = (source, tables.get_mut(table.name)) {
            rows.retain(|row| !dropped.contains(&row[column]));
        }
    }
    Ok(dropped)
}

fn keys(tables: &BTreeMap<&'static str, Vec<Row>>, name: &str, width: usize) -> BTreeSet<Vec<String>> {
    tables.get(name).into_iter().flatten().map(|row| row[..width].to_vec()).collect()
}

/// After an exclusion: what refers to a row that is gone goes too, and an alias of it says so. Returns
/// what changed.
pub fn drop_orphans(tables: &mut BTreeMap<&'static str, Vec<Row>>) -> Vec<String> {
    let mut orphans = Vec::new();
    for (name, columns, target) in REFERENCES {
        let known = keys(tables, target, columns.len());
        let positions: Vec<usize> = schema::table(name)
            .map(|t| columns.iter().filter_map(|c| t.column(c)).collect())
            .unwrap_or_default();
        if let Some(rows) = tables.get_mut(name) {
            rows.retain(|row| {
                let key: Vec<String> = positions.iter().map(|c| row[*c].clone()).collect();
                let found = key.last().is_some_and(String::is_empty) || known.contains(&key);
                if !found {
                    orphans.push(format!("{name}: {}", row.join(" ")));
                }
                found
            });
        }
    }
    for (kind, target) in ALIASED {
        let known = keys(tables, target, 1);
        for row in tables.get_mut("aliases").into_iter().flatten().filter(|row| row[0] == *kind) {
            let found = known.contains(&row[2..3]);
            if found != (row[3] == "yes") {
                orphans.push(format!("aliases: {}", row.join(" ")));
                row[3] = if found { "yes" } else { "no" }.to_owned();
            }
        }
    }
    orphans
}

/// Every source that a row names is in the table of sources.
pub fn check_references(tables: &BTreeMap<&'static str, Vec<Row>>) -> Result<(), String> {
    let mut errors = String::new();
    let sources = keys(tables, "sources", 1);
    for table in TABLES {
        let Some(column) = table.column("source") else { continue };
        for row in tables.get(table.name).into_iter().flatten() {
            if !sources.contains(&row[column..=column]) {
                let _ = writeln!(errors, "{}.tsv: {}: no source `{}`;", table.name, row[0], row[column]);
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.chars().take(2000).collect()) }
}

/// Strings once each, then fixed-width rows in the order of [`TABLES`]; little endian. Unknown is
/// the empty string, NaN, or the smallest integer. Last, the sources that were left out.
fn encode(tables: &BTreeMap<&'static str, Vec<Row>>, dropped: &str) -> Vec<u8> {
    let mut strings: BTreeMap<&str, u32> = BTreeMap::from([("", 0)]);
    let mut order: Vec<&str> = vec![""];
    let mut body: Vec<u8> = Vec::new();
    for table in TABLES {
        let rows = tables.get(table.name).map(Vec::as_slice).unwrap_or_default();
        body.extend((rows.len() as u32).to_le_bytes());
        for row in rows {
            for (cell, (_, kind)) in row.iter().zip(table.columns) {
                match kind {
                    Kind::Text => {
                        let next = order.len() as u32;
                        let index = *strings.entry(cell).or_insert_with(|| {
                            order.push(cell);
                            next
                        });
                        body.extend(index.to_le_bytes());
                    }
                    Kind::Number => body.extend(cell.parse().unwrap_or(f64::NAN).to_le_bytes()),
                    Kind::Money => body.extend(micros(cell).unwrap_or(i64::MIN).to_le_bytes()),
                }
            }
        }
    }
    let mut packed = (order.len() as u32).to_le_bytes().to_vec();
    for text in &order {
        packed.extend((text.len() as u32).to_le_bytes());
        packed.extend(text.as_bytes());
    }
    packed.extend(body);
    packed.extend((dropped.len() as u32).to_le_bytes());
    packed.extend(dropped.as_bytes());
    packed
}
