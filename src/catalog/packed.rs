//! The packed form of the tables: strings once each, then rows of fixed width.
//!
//! The build script that wrote it checked it; a reader that runs past the end yields unknowns instead
//! of panicking.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::{Cloud, Money};

use super::Provenance;
use super::schema::{Kind, TABLES, Table};

/// The packed tables of this build.
pub(super) static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/catalog.bin"));

/// A decoded row. Text is an index into the strings, so that comparing names is comparing numbers.
pub(super) struct Row<'a> {
    offsets: &'a [usize],
    cells: &'a [u8],
    strings: &'a Strings<'a>,
}

pub(super) struct Strings<'a> {
    text: Vec<&'a str>,
    shared: std::cell::RefCell<Vec<Option<Arc<str>>>>,
}

impl<'a> Strings<'a> {
    pub(super) fn get(&self, index: u32) -> &'a str {
        self.text.get(index as usize).copied().unwrap_or_default()
    }

    pub(super) fn shared(&self, index: u32) -> Arc<str> {
        let mut all = self.shared.borrow_mut();
        match all.get_mut(index as usize) {
            Some(slot) => slot.get_or_insert_with(|| Arc::from(self.get(index))).clone(),
            None => Arc::from(""),
        }
    }
}

fn width(kind: Kind) -> usize {
    match kind {
        Kind::Text => 4,
        Kind::Number | Kind::Money => 8,
    }
}

/// Where each column starts in a row, and the length of a row.
fn layout(table: &Table) -> (Vec<usize>, usize) {
    let mut offsets = Vec::with_capacity(table.columns.len());
    let mut end = 0;
    for (_, kind) in table.columns {
        offsets.push(end);
        end += width(*kind);
    }
    (offsets, end)
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Reads cells by position; the order of the calls is the order of the columns in the schema.
impl<'a> Row<'a> {
    pub(super) fn offset(&self, column: usize) -> usize {
        self.offsets.get(column).copied().unwrap_or(usize::MAX / 2)
    }

    pub(super) fn index(&self, column: usize) -> u32 {
        bytes(self.cells, self.offset(column)).map_or(0, u32::from_le_bytes)
    }

    pub(super) fn text(&self, column: usize) -> &'a str {
        self.strings.get(self.index(column))
    }

    pub(super) fn owned(&self, column: usize) -> String {
        self.text(column).to_owned()
    }

    pub(super) fn some_text(&self, column: usize) -> Option<String> {
        Some(self.text(column)).filter(|t| !t.is_empty()).map(str::to_owned)
    }

    pub(super) fn number(&self, column: usize) -> Option<f64> {
        bytes(self.cells, self.offset(column)).map(f64::from_le_bytes).filter(|x| x.is_finite())
    }

    pub(super) fn scaled(&self, column: usize, factor: f64) -> Option<f64> {
        self.number(column).map(|x| x * factor)
    }

    pub(super) fn whole(&self, column: usize) -> Option<u32> {
        self.number(column).filter(|x| (0.0..=f64::from(u32::MAX)).contains(x)).map(|x| x as u32)
    }

    pub(super) fn money(&self, column: usize) -> Option<Money> {
        bytes(self.cells, self.offset(column))
            .map(i64::from_le_bytes)
            .filter(|x| *x != i64::MIN)
            .map(Money::from_micros)
    }

    pub(super) fn cloud(&self, column: usize) -> Option<Cloud> {
        cloud(self.text(column))
    }

    /// Source and date are the last two columns of every table but `sources`.
    pub(super) fn provenance(&self) -> Provenance {
        let last = self.offsets.len().saturating_sub(1);
        Provenance {
            source: self.strings.shared(self.index(last.saturating_sub(1))),
            as_of: self.strings.shared(self.index(last)),
        }
    }
}

pub(super) fn cloud(text: &str) -> Option<Cloud> {
    Cloud::ALL.into_iter().find(|c| c.as_str() == text)
}

/// A table's cells: where each column starts in a row, the length of a row, all rows.
struct Cells<'a> {
    offsets: Vec<usize>,
    width: usize,
    body: &'a [u8],
}

/// Row numbers by cloud and name, both as indexes of strings: one slot for each.
pub(super) struct ByName {
    clouds: Vec<u32>,
    slots: Vec<u32>,
}

impl ByName {
    pub(super) fn new(strings: &Strings<'_>) -> Self {
        let find = |c: Cloud| strings.text.iter().position(|t| *t == c.as_str());
        let clouds: Vec<u32> = Cloud::ALL.into_iter().filter_map(|c| find(c).map(|i| i as u32)).collect();
        let slots = vec![u32::MAX; strings.text.len() * clouds.len()];
        ByName { clouds, slots }
    }

    pub(super) fn slot(&self, cloud: u32, name: u32) -> Option<usize> {
        let rank = self.clouds.iter().position(|c| *c == cloud)?;
        Some(name as usize * self.clouds.len() + rank)
    }

    pub(super) fn get(&self, cloud: u32, name: u32) -> Option<usize> {
        let found = self.slots.get(self.slot(cloud, name)?).copied()?;
        (found != u32::MAX).then_some(found as usize)
    }

    pub(super) fn insert(&mut self, cloud: u32, name: u32, row: usize) {
        if let Some(slot) = self.slot(cloud, name).and_then(|i| self.slots.get_mut(i)) {
            *slot = row as u32;
        }
    }
}

pub(super) struct Tables<'a> {
    pub(super) strings: Strings<'a>,
    rows: BTreeMap<&'static str, Cells<'a>>,
    pub(super) excluded: &'a str,
}

impl<'a> Tables<'a> {
    pub(super) fn open(packed: &'a [u8]) -> Self {
        let count = |at: usize| bytes(packed, at).map_or(0, u32::from_le_bytes) as usize;
        let mut at = 4;
        let mut text = Vec::with_capacity(count(0));
        for _ in 0..count(0) {
            let length = count(at);
            at += 4;
            text.push(packed.get(at..at + length).and_then(|b| str::from_utf8(b).ok()).unwrap_or_default());
            at += length;
        }
        let mut rows = BTreeMap::new();
        for table in TABLES {
            let (offsets, size) = layout(table);
            let length = count(at) * size;
            at += 4;
            let body = packed.get(at..at + length).unwrap_or_default();
            rows.insert(table.name, Cells { offsets, width: size, body });
            at += length;
        }
        let excluded = packed.get(at + 4..at + 4 + count(at)).unwrap_or_default();
        let excluded = str::from_utf8(excluded).unwrap_or_default();
        let shared = std::cell::RefCell::new(vec![None; text.len()]);
        Tables { strings: Strings { text, shared }, rows, excluded }
    }

    pub(super) fn rows(&self, name: &str) -> impl Iterator<Item = Row<'_>> {
        self.rows.get(name).into_iter().flat_map(|table| {
            let rows = table.body.chunks_exact(table.width);
            rows.map(|cells| Row { offsets: &table.offsets, cells, strings: &self.strings })
        })
    }
}
