//! Measured points as configurations.

use std::collections::BTreeMap;
use std::path::Path;

use rhumb::catalog::Catalog;
use rhumb::perf::points::{Case, Columns, Row};
use rhumb::perf::{ClosedLoop, Key, error_class, keys, variables};
use rhumb::spec::EngineName;

use super::{Outcome, rows};

/// A measured point and the physics of it.
#[derive(Debug)]
pub struct Point {
    pub id: String,
    pub group: String,
    pub model: String,
    pub system: String,
    pub engine: EngineName,
    pub class: &'static str,
    pub family: &'static str,
    pub precision: &'static str,
    pub fixed: bool,
    pub gpus: f64,
    pub isl: f64,
    pub osl: f64,
    pub concurrency: f64,
    pub ttft_s: f64,
    pub tpot_s: f64,
    pub physics: ClosedLoop,
    /// Terms of the ledger with their penalties.
    pub keys: Vec<(Key, f64)>,
    pub variables: [f64; 7],
    /// What the rules say against it, though it ran.
    pub refused: Option<String>,
    /// TTFT and TPOT of AIConfigurator and of the naive roofline, seconds.
    pub aic: (Option<f64>, Option<f64>),
    pub roofline: (Option<f64>, Option<f64>),
}

/// A number of a row of one of the collected files.
pub fn number(r: &super::Row, key: &str) -> f64 {
    r.get(key).and_then(|x| x.parse().ok()).unwrap_or(f64::NAN)
}

/// The rows of the calibration file in a mode, as the product reads them.
pub struct Cases {
    columns: Columns,
    rows: Vec<(super::Row, csv::StringRecord)>,
}

impl Cases {
    /// Reads them.
    pub fn read(dir: &Path, mode: &str) -> Outcome<Self> {
        let rows: Vec<super::Row> = rows(dir, "calibration.csv")?
            .into_iter()
            .filter(|row| row["mode"] == mode && row["quality"] == "ok")
            .collect();
        let columns = Columns::new(rows.iter().take(1).flat_map(|r| r.keys().map(String::as_str)));
        let record = |r: &super::Row| r.values().map(String::as_str).collect::<csv::StringRecord>();
        let rows = rows.into_iter().map(|r| (r.clone(), record(&r))).collect();
        Ok(Cases { columns, rows })
    }

    /// Each with its measured figures.
    pub fn iter(&self) -> impl Iterator<Item = (&super::Row, Row<'_>)> {
        self.rows.iter().map(|(row, cells)| (row, Row::new(&self.columns, cells)))
    }
}

/// The aggregated rows of the calibration file.
pub fn load(dir: &Path, catalog: &Catalog) -> Outcome<Vec<Point>> {
    let mut others: BTreeMap<String, super::Row> = BTreeMap::new();
    for row in rows(dir, "calibration_baselines.csv")? {
        others.insert(row["id"].clone(), row);
    }
    let mut points = Vec::new();
    for (row, cells) in Cases::read(dir, "agg")?.iter() {
        let case = Case::read(&cells, catalog, None)?;
        let (physics, refused) = case.physics().map_err(|e| format!("{}: {e}", row["id"]))?;
        let c = &case.configuration;
        let (class, family) = error_class(c);
        let other = |key: &str| {
            let x = number(others.get(&row["id"])?, key);
            (x > 0.0).then_some(x / 1e3)
        };
        let clients = case.concurrency / case.replicas / f64::from(c.layout.dp);
        let gpus = f64::from(c.layout.accelerators());
        points.push(Point {
            id: row["id"].clone(),
            group: row["group"].clone(),
            model: case.arch.id.clone(),
            system: row["system"].clone(),
            engine: c.engine.name,
            class,
            family,
            precision: rhumb::perf::resolved(case.arch, c.quantization).as_str(),
            fixed: case.fixed_lengths,
            gpus: gpus * case.replicas,
            isl: number(row, "isl"),
            osl: number(row, "osl"),
            concurrency: case.concurrency,
            ttft_s: number(row, "ttft_ms") / 1e3,
            tpot_s: number(row, "tpot_ms") / 1e3,
            physics,
            keys: keys(c, &case.conditions()),
            variables: variables(clients, case.shape.input.mean, case.shape.output.mean, gpus),
            refused: refused.map(|why| why.rule().to_owned()),
            aic: (other("aic_ttft_ms"), other("aic_tpot_ms")),
            roofline: (other("naive_roofline_ttft_ms"), other("naive_roofline_tpot_ms")),
        });
    }
    Ok(points)
}

/// Weight of each point: 1 / root of the size of its group, between equal points and equal groups.
pub fn weights(points: &[&Point]) -> Vec<f64> {
    let mut sizes: BTreeMap<&str, f64> = BTreeMap::new();
    for p in points {
        *sizes.entry(&p.group).or_default() += 1.0;
    }
    let raw: Vec<f64> = points.iter().map(|p| 1.0 / sizes[p.group.as_str()].sqrt()).collect();
    let mean = raw.iter().sum::<f64>() / raw.len().max(1) as f64;
    raw.into_iter().map(|w| w / mean).collect()
}
