//! What the seasons to come ask for: each set of their peaks is placed as if it were today's (decision 26).

use jiff::civil::Date;

use super::split_chains;
use super::watch::{Standing, Step, Watch};
use super::{NoPlacement, divide};
use crate::catalog::InForce;
use crate::placement::{Ahead, ComingYear, Placement, Running, World};
use crate::spec::Spec;
use crate::spec::season::Span;

/// What makes two spans alike: the peaks of all services that have seasons, and what of each commitment is there in the month
/// that begins with the first day.
type Key = (Vec<u32>, Vec<InForce>);

/// The year that begins with the planning day of `world`; `placement` is what was placed for that day. `None` if the spec has no
/// seasons.
///
/// Each set of peaks is placed once. With `stability`, what was placed for today runs by then.
pub fn ahead(spec: &Spec, world: &World, placement: &Placement, watch: Watch<'_>) -> Option<ComingYear> {
    let today: Date = world.today.parse().ok()?;
    let spans = spec.year(today);
    let key = |span: &Span| -> Key {
        let day = span.from.to_string();
        let held = spec.held.values().map(|held| world.catalog.in_force(held, &day));
        let covered = spec.savings.values().map(|plan| InForce::of(&plan.until, &day, true));
        (span.peaks.values().map(|peak| peak.times).collect(), held.chain(covered).collect())
    };
    let mut keys: Vec<Key> = vec![key(spans.first()?)];
    let mut first_of: Vec<&Span> = Vec::new();
    let outcomes: Vec<usize> = spans
        .iter()
        .map(|span| {
            let key = key(span);
            keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                first_of.push(span);
                keys.len() - 1
            })
        })
        .collect();
    let all = first_of.len() as u32;
    let found = first_of.iter().zip(0..).map(|(span, done)| {
        let step = Step::Seasons { done, all };
        let ask = |_: &Standing| watch.ask?(&Standing { step, found: None, bound: None });
        of_span(spec, world, placement, span, Watch { ask: Some(&ask), ..watch })
    });
    let found = found.collect();
    Some(ComingYear { spans: spans.into_iter().zip(outcomes).collect(), found })
}

fn of_span(spec: &Spec, world: &World, placement: &Placement, span: &Span, watch: Watch<'_>) -> Ahead {
    let day = span.from.to_string();
    let (mut spec, mut world) = (spec.clone(), world.clone());
    spec.on_day(&day);
    world.today = day;
    // Its types are those of the plan, which are known.
    let _ = world.hold(&spec);
    world.running = Running::of_placement(placement);
    split_chains(&mut spec, &world);
    match divide::place(&spec, &world, false, watch) {
        Ok(placement) => Ahead::Placed(Box::new(placement)),
        Err(NoPlacement::Infeasible(why)) => Ahead::Refused(why),
        Err(NoPlacement::Unfinished(why)) => Ahead::Ended(why.by),
    }
}
