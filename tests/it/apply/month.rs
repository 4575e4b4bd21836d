//! What a plan says that a month costs, beside the bill of the simulated cloud after living through it.

use std::collections::BTreeMap;

use rhumb::catalog::Catalog;
use rhumb::plan;
use rhumb_api::{Attr, Money, Purchase, Resource, ResourceAddr, ResourceKind};
use rhumb_sim::{Price, Runs, World};

use super::examples::{applied, plans, work};
use super::tables::Table;
use super::world::Theatre;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Whole weeks, so that no part of a day counts more than another; figures are of 730 hours of them.
const WEEKS: u64 = 5;

/// The list price of the machines of something, if the catalogue has one.
fn price(catalog: &Catalog, resource: &Resource) -> Option<Price> {
    let text = |name: &str| match resource.attributes.get(name) {
        Some(Attr::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let (instance_type, purchase) = (text("instance_type")?, text("purchase")?);
    let purchase = Purchase::ALL.into_iter().find(|p| p.as_str() == purchase)?;
    let (cloud, region) = (resource.cloud, resource.region.clone());
    let places = (catalog.instance_type(cloud, &instance_type)?, catalog.region(cloud, &region)?);
    let per_hour = catalog.offering(places.0, places.1, purchase)?.price;
    Some(Price { cloud, region, instance_type, purchase, per_hour })
}

/// A month of something: what the plan expects and what was billed, dollars.
struct Month {
    expected: f64,
    billed: f64,
}

/// Lives through a month of a plan; every machine with a price and a line of its own, by address. `much` multiplies all prices of the cloud.
fn month(name: &str, plan: &plan::Plan, catalog: &Catalog, much: f64) -> BTreeMap<ResourceAddr, Month> {
    let made = || plan.changes.iter().filter_map(|c| Some((&c.addr, c.after.as_ref()?)));
    let lines: BTreeMap<&str, f64> = plan
        .placement
        .workloads
        .values()
        .flat_map(|w| &w.cost.lines)
        .filter_map(|line| Some((line.addr.as_str(), line.per_hour?.usd())))
        .collect();
    let runs: Vec<_> = plan.placement.workloads.values().filter_map(|w| w.run.as_ref()).collect();
    let mut world = World { seed: 5, ..World::default() };
    // The cloud knows one length of runs: a plan of several has several clouds' worth of them.
    let alike =
        runs.windows(2).all(|w| w[0].hours == w[1].hours && w[0].runs_per_month == w[1].runs_per_month);
    if let Some(run) = runs.first().filter(|_| alike) {
        let period_ms = (730.0 / run.runs_per_month * HOUR_MS as f64).round() as u64;
        world.runs =
            Runs { run_ms: Some((run.hours * HOUR_MS as f64).round() as u64), period_ms, ..world.runs };
    }
    let counted: BTreeMap<&ResourceAddr, f64> = made()
        .filter(|(_, r)| match r.kind {
            ResourceKind::Fleet => true,
            ResourceKind::JobRun => alike && !r.attributes.contains_key("restart"),
            _ => false,
        })
        .filter_map(|(addr, r)| price(catalog, r).and(lines.get(addr.as_str())).map(|usd| (addr, *usd)))
        .collect();
    let mut prices: Vec<Price> = made().filter_map(|(_, resource)| price(catalog, resource)).collect();
    for price in &mut prices {
        price.per_hour = price.per_hour.scale(much);
    }
    world.prices = prices;
    let mut theatre = Theatre::new(world);
    assert_eq!(applied(&mut theatre, &work(name, plan)), Vec::<String>::new(), "{name}");
    let begin = theatre.now;
    let end = begin + WEEKS * 7 * DAY_MS;
    let before = theatre.cloud.bill(begin).by_address;
    let after = theatre.cloud.bill(end).by_address;
    let part = 730.0 * HOUR_MS as f64 / (end - begin) as f64;
    let resources: BTreeMap<&ResourceAddr, &Resource> = made().collect();
    counted
        .into_iter()
        .map(|(addr, per_hour)| {
            let resource = resources[addr];
            // A run that is made once is billed once, however long the month.
            let once = resource.kind == ResourceKind::JobRun && !resource.attributes.contains_key("schedule");
            let billed = if once { of(&after, addr) } else { (of(&after, addr) - of(&before, addr)) * part };
            (addr.clone(), Month { expected: per_hour * 730.0, billed })
        })
        .collect()
}

fn of(bill: &BTreeMap<ResourceAddr, Money>, addr: &ResourceAddr) -> f64 {
    bill.get(addr).map_or(0.0, |money| money.usd())
}

/// The figures of `tests/bench/BILLS.md`, where the command is.
#[test]
#[ignore = "figures"]
fn the_bills_of_all_examples() {
    let table = Table::named_by("RHUMB_BILLS_TABLE");
    let catalog = Catalog::embedded();
    let mut rows =
        "| example | machines of | planned USD/month | billed USD/month | off by |\n|---|---|---|---|---|\n"
            .to_owned();
    let (mut things, mut worst) = (0, 0.0_f64);
    for (name, plan) in plans() {
        for (addr, Month { expected, billed }) in month(&name, &plan, &catalog, 1.0) {
            let off = billed / expected - 1.0;
            (things, worst) = (things + 1, worst.max(off.abs()));
            rows.push_str(&format!(
                "| {name} | {addr} | {expected:.2} | {billed:.2} | {:+.2} % |\n",
                off * 100.0
            ));
        }
    }
    let told = format!(
        "{things} things with a price and a line of their own; the worst is {:.2} % off (below 3: {}).",
        worst * 100.0,
        if worst < 0.03 { "met" } else { "missed" }
    );
    println!("{told}\n{rows}");
    if let Some(table) = table {
        table.write(&told, &rows);
    }
}

#[test]
fn the_bill_of_a_month_is_what_was_planned() {
    let catalog = Catalog::embedded();
    let (mut plans_of, mut things, mut following, mut unheeded) = (0, 0, 0, 0);
    for (name, plan) in plans() {
        let months = month(&name, &plan, &catalog, 1.0);
        for (addr, Month { expected, billed }) in &months {
            assert!((billed / expected - 1.0).abs() < 0.03, "{name} {addr}: {billed:.2} of {expected:.2}");
        }
        let follows = |addr: &ResourceAddr| {
            plan.changes.iter().any(|c| {
                c.addr == *addr && c.after.as_ref().is_some_and(|r| r.attributes.contains_key("min_count"))
            })
        };
        // A cloud that ignores the schedule is noticed.
        let mut deaf = plan.clone();
        for after in deaf.changes.iter_mut().filter_map(|c| c.after.as_mut()) {
            after.attributes.remove("schedule");
        }
        let deaf = month(&name, &deaf, &catalog, 1.0);
        let off = |m: &Month| (m.billed / m.expected - 1.0).abs() > 0.03;
        unheeded += deaf.iter().filter(|(addr, m)| follows(addr) && off(m)).count();
        following += months.keys().filter(|addr| follows(addr)).count();
        things += months.len();
        plans_of += usize::from(!months.is_empty());
        // A cloud that is 4 % dearer is noticed.
        let dearer = month(&name, &plan, &catalog, 1.04);
        assert!(dearer.values().all(|m| (m.billed / m.expected - 1.0).abs() > 0.03), "{name}");
    }
    assert!(unheeded >= 3, "{unheeded}");
    assert!(plans_of >= 15 && things >= 25 && following >= 3, "{plans_of} {things} {following}");
}
