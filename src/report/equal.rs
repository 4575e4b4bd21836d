//! Equal services at equal sites, told once: rows that differ in the number of a site alone become one.
//!
//! Nothing is added up: what is told once is of each.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::Cloud;

use super::{Block, Cell, Section};
use crate::plan::Plan;

/// The stems of sites such that a service is named after each: `plants` of `plants-1` to `plants-12`.
fn stems(plan: &Plan) -> BTreeSet<String> {
    let mut members: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (address, placed) in &plan.placement.workloads {
        for pool in placed.pools.iter().filter(|p| p.cloud == Cloud::Site) {
            let Some((stem, number)) = pool.region.rsplit_once('-') else { continue };
            let numbered = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            if numbered && address.ends_with(&format!("-{}", pool.region)) {
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
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        out += before;
        let found = &after[..digits];
        if digits > 0 {
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

/// Rows (or lines, of one cell each) without those that an equal one stands for.
fn folded(rows: Vec<Vec<Cell>>, stem: &str) -> Vec<Vec<Cell>> {
    // A character that no text has keeps the cells apart.
    let whole = |row: &Vec<Cell>| row.iter().map(|c| c.text.as_str()).collect::<Vec<_>>().join("\u{1f}");
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    for key in rows.iter().filter_map(|row| without_number(&whole(row), stem)) {
        *members.entry(key.0).or_insert(0) += 1;
    }
    let mut told = BTreeSet::new();
    let mut kept = Vec::new();
    for mut row in rows {
        let key = without_number(&whole(&row), stem);
        let several = key.as_ref().and_then(|(key, _)| Some((key, *members.get(key)?)));
        match several.filter(|(_, n)| *n > 1) {
            None => kept.push(row),
            Some((key, n)) => {
                if told.insert(key.clone()) {
                    for (cell, text) in row.iter_mut().zip(key.split('\u{1f}')) {
                        cell.text = text.to_owned();
                    }
                    if let Some(first) = row.first_mut() {
                        first.text += &format!(" (each of {n})");
                    }
                    kept.push(row);
                }
            }
        }
    }
    kept
}

/// The sections with equal rows told once.
pub(super) fn told_once(plan: &Plan, mut sections: Vec<Section>) -> Vec<Section> {
    for stem in stems(plan) {
        for block in sections.iter_mut().flat_map(|s| &mut s.blocks) {
            match block {
                Block::Table(table) => table.rows = folded(std::mem::take(&mut table.rows), &stem),
                Block::Lines(lines) => {
                    let rows = std::mem::take(lines).into_iter().map(|line| vec![line]).collect();
                    *lines = folded(rows, &stem).into_iter().flatten().collect();
                }
            }
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
        let told = folded(
            rows(&[
                ["services.a-p-1/site/p-1/n", "4"],
                ["services.a-p-2/site/p-2/n", "4"],
                ["services.a-p-3/site/p-3/n", "5"],
                ["services.a-p-10/site/p-10/n", "4"],
                ["services.b", "4"],
                ["services.b", "4"],
                ["p-1 and p-2", "4"],
                ["p- and no number", "4"],
            ]),
            "p",
        );
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
