//! Equal services at equal sites, and equal clients of a federation there, told once: rows that differ in the number of a site alone become one.
//!
//! Nothing is added up: what is told once is of each.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::Cloud;

use super::{Block, Cell, Section};
use crate::plan::Plan;

/// The stems of sites such that a service is named after each, or that take part in one federation: `plants` of `plants-1` to `plants-12`.
fn stems(plan: &Plan) -> BTreeSet<String> {
    let mut members: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (address, placed) in &plan.placement.workloads {
        for pool in placed.pools.iter().filter(|p| p.cloud == Cloud::Site) {
            let Some((stem, number)) = pool.region.rsplit_once('-') else { continue };
            let numbered = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            let federated = placed.run.as_ref().is_some_and(|run| run.federation.is_some());
            if numbered && (federated || address.ends_with(&format!("-{}", pool.region))) {
                members.entry(stem.to_owned()).or_default().insert(number);
            }
        }
    }
    members.into_iter().filter(|(_, of)| of.len() > 1).map(|(stem, _)| stem).collect()
}

/// A text with `*` in the place of the one number that follows `stem-` everywhere in it, and that number; `None` if there is none or
/// they differ.
fn without_number(text: &str, stem: &str) -> Option<(String, String)> {
    let mark = format!("{stem}-");
    let (mut out, mut rest, mut number) = (String::new(), text, None::<&str>);
    while let Some(at) = rest.find(&mark) {
        let (before, after) = rest.split_at(at + mark.len());
        // Of another word it is a part.
        let inside = before[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        out += before;
        let found = &after[..digits];
        if inside {
            out += found;
        } else if digits > 0 {
            if number.is_some_and(|n| n != found) {
                return None;
            }
            number = Some(found);
            out.push('*');
        }
        rest = &after[digits..];
    }
    out += rest;
    Some((out, number?.to_owned()))
}

/// The cells of a row as one text, kept apart by a character that none has.
fn whole(row: &[Cell]) -> String {
    row.iter().map(|c| c.text.as_str()).collect::<Vec<_>>().join("\u{1f}")
}

/// Rows, and lines as rows of one cell, of which one stands for all equal ones.
#[derive(Default)]
struct Fold {
    members: BTreeMap<String, usize>,
    told: BTreeSet<String>,
}

impl Fold {
    fn count(&mut self, row: &[Cell], stem: &str) {
        if let Some((key, _)) = without_number(&whole(row), stem) {
            *self.members.entry(key).or_insert(0) += 1;
        }
    }

    /// The row as it is told; `None` if another one stands for it.
    fn tell(&mut self, mut row: Vec<Cell>, stem: &str) -> Option<Vec<Cell>> {
        let Some((key, _)) = without_number(&whole(&row), stem) else { return Some(row) };
        let n = self.members.get(&key).copied().filter(|n| *n > 1);
        let Some(n) = n else { return Some(row) };
        if !self.told.insert(key.clone()) {
            return None;
        }
        for (cell, text) in row.iter_mut().zip(key.split('\u{1f}')) {
            cell.text = text.to_owned();
        }
        if let Some(first) = row.first_mut() {
            first.text += &format!(" (each of {n})");
        }
        Some(row)
    }
}

/// The sections with equal rows told once.
pub(super) fn told_once(plan: &Plan, mut sections: Vec<Section>) -> Vec<Section> {
    for stem in stems(plan) {
        for section in &mut sections {
            let mut fold = Fold::default();
            for block in &section.blocks {
                match block {
                    Block::Table(table) => table.rows.iter().for_each(|row| fold.count(row, &stem)),
                    Block::Lines(lines) => {
                        lines.iter().for_each(|line| fold.count(std::slice::from_ref(line), &stem));
                    }
                }
            }
            section.blocks.retain_mut(|block| match block {
                Block::Table(table) => {
                    let rows = std::mem::take(&mut table.rows);
                    let had = !rows.is_empty();
                    table.rows = rows.into_iter().filter_map(|row| fold.tell(row, &stem)).collect();
                    !had || !table.rows.is_empty()
                }
                Block::Lines(lines) => {
                    let all = std::mem::take(lines);
                    let had = !all.is_empty();
                    *lines = all.into_iter().filter_map(|line| fold.tell(vec![line], &stem)?.pop()).collect();
                    !had || !lines.is_empty()
                }
            });
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[[&str; 2]]) -> Vec<Vec<Cell>> {
        texts.iter().map(|row| row.iter().map(|t| Cell::plain(*t)).collect()).collect()
    }

    #[test]
    fn rows_that_differ_in_their_number_alone_are_one() {
        let all = rows(&[
            ["services.a-p-1/site/p-1/n", "4"],
            ["services.a-p-2/site/p-2/n", "4"],
            ["services.a-p-3/site/p-3/n", "5"],
            ["services.a-p-10/site/p-10/n", "4"],
            ["services.b", "4"],
            ["services.b", "4"],
            ["p-1 and p-2", "4"],
            ["p- and no number", "4"],
        ]);
        let mut fold = Fold::default();
        all.iter().for_each(|row| fold.count(row, "p"));
        let told: Vec<Vec<Cell>> = all.into_iter().filter_map(|row| fold.tell(row, "p")).collect();
        let expected = rows(&[
            ["services.a-p-*/site/p-*/n (each of 3)", "4"],
            ["services.a-p-3/site/p-3/n", "5"],
            ["services.b", "4"],
            ["services.b", "4"],
            ["p-1 and p-2", "4"],
            ["p- and no number", "4"],
        ]);
        assert_eq!(told, expected);
    }
}
