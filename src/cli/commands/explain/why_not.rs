//! `rhumb explain --why-not`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Args;
use crate::catalog::Catalog;
use crate::cli::planning::{self, PlanArgs};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, progress};
use crate::explore::Selector;
use crate::placement::{Whole, WhyNot, World};
use crate::spec::{Spec, WORKLOADS};
use crate::{explore, optimize, report};

/// Runs the command.
///
/// # Errors
/// The spec is wrong, or the offer or the workload is unknown.
pub fn run(args: &Args, what: &str, settings: &Settings) -> Result<Exit, Failure> {
    let mut planning = args.planning.clone();
    let workload = of_workload(args.address.as_deref(), &mut planning);
    let gathered = planning::gather(&planning, settings)?;
    let (whole, world) = (&gathered.input.spec, &gathered.input.world);
    let offers = offers(what, &world.catalog)?;
    let progress = progress::start("searching placements and loosened constraints", settings);
    let (spec, parts) = parted(whole, world);
    let spec = &*spec;
    let known = spec.addresses();
    let is =
        |workload: &String, address: &String| workload == address || parts.get(address) == Some(workload);
    if let Some(workload) = workload.as_ref().filter(|w| !parts.values().any(|whole| whole == *w)) {
        super::known(workload, &known, spec)?;
    }
    let asked = || known.iter().filter(|k| workload.as_ref().is_none_or(|w| is(w, k)));
    let mut all: Vec<WhyNot> =
        asked().filter_map(|address| optimize::why_not(spec, world, address, &offers)).collect();
    if optimize::shares(spec) {
        together(spec, world, &offers, &mut all);
    }
    progress.finish();
    if settings.json {
        terminal::print(&format!("{:#}\n", report::why_not_json(what, &all, &gathered.map)))?;
    } else {
        terminal::print(&terminal::text(
            &report::why_not(what, &all, &parts, &gathered.map),
            settings,
            None,
        ))?;
    }
    Ok(Exit::Done)
}

/// The spec with its services in the parts that are planned: of another division nothing is asked. Where nothing can be placed they are whole.
fn parted<'s>(spec: &'s Spec, world: &World) -> (Cow<'s, Spec>, BTreeMap<String, String>) {
    if !spec.divides() {
        return (Cow::Borrowed(spec), BTreeMap::new());
    }
    let placement = optimize::outline(spec, world).ok();
    let parted = match &placement {
        Some(placement) => placement.spec_of(spec),
        None => Cow::Owned(spec.divided(&BTreeMap::new())),
    };
    let parts = placement.iter().flat_map(|p| p.divided.iter().flat_map(|d| &d.services));
    let parts = parts.filter(|(_, own)| !own.at.is_empty());
    let parts = parts.flat_map(|(whole, own)| own.parts.iter().map(|p| (p.address.clone(), whole.clone())));
    let parts = parts.collect();
    (parted, parts)
}

/// What the whole deployment costs with each of the workloads on the offers alone.
fn together(spec: &Spec, world: &World, offers: &[usize], all: &mut [WhyNot]) {
    let planned = optimize::outline(spec, world).ok().map(|placement| explore::cost(&placement));
    for why in all {
        let held = optimize::held_to(spec, world, &why.address, offers);
        why.whole = held.map(|held| Whole {
            planned,
            held: held.map(|placement| explore::cost(&placement)).map_err(|why| explore::refusal(&why)),
        });
    }
}

/// The workload, if one was named. A single argument that is no workload's address is the path.
fn of_workload(address: Option<&str>, planning: &mut PlanArgs) -> Option<String> {
    let address = address?;
    let is_address = address.split_once('.').is_some_and(|(kind, _)| WORKLOADS.contains(&kind));
    if !is_address && planning.spec.path.as_os_str() == "." {
        planning.spec.path = address.into();
        return None;
    }
    Some(address.split('/').next().unwrap_or_default().to_owned())
}

/// The offers of one instance type that are meant, in the order of the catalogue.
fn offers(what: &str, catalog: &Catalog) -> Result<Vec<usize>, Failure> {
    let selector = Selector::parse(what, catalog).map_err(Failure::usage)?;
    if selector.names_held() {
        let text = format!(
            "`{what}`: why held machines were not chosen is not answered yet; name the type and its region"
        );
        return Err(Failure::usage(text));
    }
    let offers: Vec<usize> = (0..catalog.offerings.len())
        .filter(|i| catalog.offerings.get(*i).is_some_and(|o| selector.takes(catalog, o)))
        .collect();
    let mut types: Vec<&str> = offers
        .iter()
        .filter_map(|i| catalog.instance_types.get(catalog.offerings.get(*i)?.instance_type))
        .map(|t| t.name.as_str())
        .collect();
    types.dedup();
    types.sort_unstable();
    types.dedup();
    if types.len() > 1 {
        let some = types.iter().take(6).copied().collect::<Vec<_>>().join(", ");
        let more = if types.len() > 6 { ", ..." } else { "" };
        let text =
            format!("`{what}` is {} instance types ({some}{more}); name one: cloud/region/type", types.len());
        return Err(Failure::usage(text));
    }
    Ok(offers)
}
