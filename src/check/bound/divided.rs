//! The bound over the other divisions of services that may be served in parts: each part by itself, and whole divisions at the
//! multipliers that are told with them.

use rhumb_api::Money;

use super::super::divided::cheapest_other;
use super::super::subject::{self, Kind, Work};
use super::super::{Ledger, shared};
use super::field::Field;
use super::prices::{Prices, SCALE};
use super::service::Search;
use super::{Bound, Claim, Found, compare, judge, of_service, paid};
use crate::placement::{DearerDivision, Divided, DividedService, DivisionOption, Placement, World};
use crate::spec::divide::{PART, slices};
use crate::spec::{Division, Spec};

/// What is told as left out where another division is not known to be dearer.
pub(super) const DIVISIONS: &str = "that other divisions do not keep what is shared";

/// What any placement of another division than the chosen one costs at the least, a month over the scale, with what it has more parts
/// than the chosen one counted; `None` if there is no other. `apart` are the bounds of what was placed, each by itself.
pub(super) fn least(
    log: &mut Ledger,
    spec: &Spec,
    world: &World,
    placement: &Placement,
    apart: &[Bound],
) -> Option<i128> {
    let divided = placement.divided.as_ref()?;
    let parts: Vec<Vec<Vec<Option<i128>>>> =
        divided.services.iter().map(|(address, own)| options(log, spec, world, address, own)).collect();
    let own = |w: &str| divided.services.values().any(|s| s.parts.iter().any(|p| p.address == w));
    let others = apart.iter().filter(|b| !own(&b.address));
    let others: i128 = others.map(|b| i128::from(b.bound.unwrap_or(Money::ZERO).micros()) * SCALE).sum();
    let counted =
        |at: &[Division]| -> i128 { at.iter().map(|at| i128::from(PART) * (at.len() as i128 + 1)).sum() };
    let chosen: Vec<Division> = divided.services.values().map(|s| s.at.clone()).collect();
    let more = |at: &[Division]| (counted(at) - counted(&chosen)) * SCALE;
    // What cannot be placed by itself cannot be in company.
    let alone: Vec<Vec<Option<i128>>> = (divided.services.values().zip(&parts))
        .map(|(own, least)| {
            let of = |(option, least): (&DivisionOption, &Vec<Option<i128>>)| {
                let sum: Option<i128> = least.iter().copied().sum();
                Some(sum? + i128::from(PART) * (option.at.len() as i128 + 1) * SCALE)
            };
            own.options.iter().zip(least).map(of).collect()
        })
        .collect();
    let at = |which: &[usize]| -> Option<Vec<Division>> {
        let of = divided.services.values().zip(which);
        of.map(|(s, i)| s.options.get(*i).map(|o| o.at.clone())).collect()
    };
    // Those that are told have multipliers, which prove more of most of them.
    let together = |told: &DearerDivision| -> Option<i128> {
        let divisions: Vec<Division> = told.at.values().cloned().collect();
        let of = divided.services.values().zip(&divisions).zip(&alone);
        let apart = of.map(|((s, at), costs)| {
            let i = s.options.iter().position(|o| o.at == *at)?;
            costs.get(i).copied().flatten()
        });
        let apart = apart.sum::<Option<i128>>()? - counted(&chosen) * SCALE + others;
        let together =
            at_multipliers(spec, world, placement, divided, told).map(|own| own + more(&divisions));
        Some(together.map_or(apart, |together| together.max(apart)))
    };
    let known = |which: &[usize]| {
        at(which).is_none_or(|at| at == chosen || divided.dearer.iter().any(|d| d.at.values().eq(at.iter())))
    };
    let untold = cheapest_other(&alone, &known).map(|(sum, _)| sum - counted(&chosen) * SCALE + others);
    divided.dearer.iter().filter_map(together).chain(untold).min()
}

/// For each way to divide a service, what each part costs at the least by itself, a month over the scale; `None` of one that cannot
/// be placed.
fn options(
    log: &mut Ledger,
    spec: &Spec,
    world: &World,
    address: &str,
    own: &DividedService,
) -> Vec<Vec<Option<i128>>> {
    let name = address.trim_start_matches("services.");
    let mut known = std::collections::BTreeMap::new();
    let mut all = Vec::new();
    for option in &own.options {
        let Some(whole) = spec.services.get(name) else { continue };
        let parted = spec.divided(&[(name.to_owned(), option.at.clone())].into());
        let mut costs = Vec::new();
        for (slice, claim) in slices(own.by, &option.at).into_iter().zip(&option.least) {
            let part = format!("services.{}", whole.part_name(slice));
            let claimed = claim.map(|c| i128::from(c.micros()) * SCALE);
            let derived = *known.entry((slice, *claim)).or_insert_with(|| {
                let found = alone(&parted, world, &part, claimed);
                if let (Some(least), Some(found)) = (claimed, &found) {
                    let what = "the least that a part costs by itself";
                    compare(log, &part, &Claim { least, chosen: false, what }, found);
                }
                // Rules that the bound leaves out may be why it is dearer, or cannot be placed: then what is claimed is told.
                found.map(|f| {
                    if f.left_out.is_empty() { f.least } else { f.least.min(claimed.unwrap_or(f.least)) }
                })
            });
            costs.push(derived);
        }
        all.push(costs);
    }
    all
}

/// The least of a part by itself.
fn alone(spec: &Spec, world: &World, address: &str, claimed: Option<i128>) -> Option<Found> {
    let work = Work::of(spec, world, address)?;
    let Kind::Service(service) = work.kind else { return None };
    let field = Field::of(spec, world, &work);
    let prices = [Prices::of(spec, None, address)];
    // Without a claim anything is cheaper.
    let least = claimed.unwrap_or(i128::MAX / 4);
    let search = Search::new(world, &work, service, (&field, &[]), &prices, vec![least], false)?;
    let own: Vec<Money> = shared::budgets_on(spec, address).into_iter().map(|(_, b)| b.limit).collect();
    let claim = Claim { least, chosen: false, what: "" };
    of_service(&search, 0, &claim, &own, spec.budget.binds)
}

/// The bound of a division at the multipliers that are told with it (Lagrange), a month over the scale; `None` where it is not derived.
fn at_multipliers(
    spec: &Spec,
    world: &World,
    placement: &Placement,
    divided: &Divided,
    told: &DearerDivision,
) -> Option<i128> {
    let coupling = told.coupling.as_ref()?;
    let name = |address: &String| address.trim_start_matches("services.").to_owned();
    let parted = spec.divided(&told.at.iter().map(|(a, at)| (name(a), at.clone())).collect());
    let any_part = divided.services.values().flat_map(|s| &s.parts).next()?;
    // Of a part that was not chosen nothing was placed: its claim is what is told with the division.
    let model = placement.workloads.get(&any_part.address)?;
    let mut sum = 0_i128;
    for address in subject::addresses(&parted) {
        let work = Work::of(&parted, world, &address)?;
        // The tree of its proof is of other multipliers.
        if matches!(work.kind, Kind::Profiled(_)) {
            return None;
        }
        let mut placed = placement.workloads.get(&address).unwrap_or(model).clone();
        placed.address.clone_from(&address);
        let mut unheard = Ledger::default();
        sum += judge(&mut unheard, &parted, world, &work, &placed, Some(coupling)).1?;
    }
    Some(sum - paid(&parted, coupling))
}
