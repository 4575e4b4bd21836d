//! Why nothing will do, and what would.

use super::choice::{candidate, relaxations};
use super::{Block, Cell, Report, Section, Tone, percent};
use crate::diagnostic::{Pointer, SourceMap};
use crate::placement::Infeasible;

fn place(map: &SourceMap, at: Option<&Pointer>) -> String {
    at.and_then(|p| Some((p, map.locate(&map.span(p, true)?)?)))
        .map_or_else(String::new, |(p, l)| format!(" ({}, {}:{}:{})", p.dotted(), l.file, l.line, l.column))
}

/// The report of a refusal. `map` gives the constraints their file and line.
pub fn infeasible(name: &str, refusal: &Infeasible, map: &SourceMap) -> Report {
    let mut sections = Vec::new();
    for w in &refusal.workloads {
        let mut conflict: Vec<Cell> = w
            .conflict
            .iter()
            .map(|r| {
                Cell::tone(format!("{}{}: {}", r.constraint, place(map, r.at.as_ref()), r.reason), Tone::Bad)
            })
            .collect();
        if conflict.is_empty() {
            conflict.push(Cell::plain(
                "No small set of rules explains it; the counts below say what rejected most.",
            ));
        }
        sections.push(Section {
            name: "conflict",
            heading: match refusal.proven {
                true if w.ended.is_some() => {
                    format!("{}: these are among what cannot hold together", w.address)
                }
                true => format!("{}: these cannot hold together", w.address),
                false => format!("{}: nothing was found that keeps these together", w.address),
            },
            blocks: vec![Block::Lines(conflict)],
        });
        let blocks = if w.relaxations.is_empty() {
            vec![Block::Lines(vec![Cell::plain(match refusal.proven {
                _ if w.ended.is_some() => {
                    "The search was ended before it looked at all changes of a single rule."
                }
                true => "No change of a single rule makes it work.",
                false => {
                    "No change of a single rule was found that makes it work; that there is none was not proven."
                }
            })])]
        } else {
            vec![Block::Table(relaxations(&w.relaxations))]
        };
        sections.push(Section {
            name: "relaxations",
            heading: match w.relaxations.is_empty() {
                true => format!("{}: changes of a single rule", w.address),
                false if w.ended.is_some() => {
                    format!("{}: any one of these would work; not all were looked at", w.address)
                }
                false => format!("{}: any one of these would work", w.address),
            },
            blocks,
        });
        let mut nearest = Vec::new();
        if let Some(l) = &w.nearest {
            let distance =
                l.rejection.distance.map_or_else(String::new, |d| format!(", {} away", percent(d)));
            nearest.push(Cell::plain(format!(
                "Nearest: {} is refused by {}{distance}: {}",
                candidate(&l.candidate),
                l.rejection.constraint,
                l.rejection.reason
            )));
        }
        let counts: Vec<String> = w.rejected.iter().map(|(why, n)| format!("{why} {n}")).collect();
        if !counts.is_empty() {
            let counts = counts.join(", ");
            nearest
                .push(Cell::tone(format!("{} candidates, rejected by: {counts}.", w.candidates), Tone::Dim));
        }
        if !nearest.is_empty() {
            sections.push(Section {
                name: "nearest",
                heading: format!("{}: nearest to working", w.address),
                blocks: vec![Block::Lines(nearest)],
            });
        }
    }
    Report {
        title: format!("No plan for {name}"),
        sections,
        summary: match refusal.proven {
            true => format!("Infeasible: {refusal}."),
            false => format!("Not decided: {refusal}."),
        },
    }
}
