//! Commitments that would pay: by hand, and planted faults.

use std::collections::BTreeMap;

use rhumb::check::{self, Finding};
use rhumb::placement::{Commitment, Placement, SharedFleet, WorkloadPlacement, World};
use rhumb::spec::Spec;
use rhumb_api::{Money, Purchase};

use crate::line;

/// Frames that one machine cannot do at the peak of the day, and a batch that runs an hour of each day.
const SPEC: &str = r#"
rhumb: 1
name: terms
models:
  find: { measured: { unit: frame, image: r/find:1, variants: { v: { memory: 2GiB, time: { l4: 20ms } } } } }
services:
  find:
    model: find
    traffic: { peak: 120 req/s, daily: DAILY, origins: { o: { at: vpc } } }
    slo: { e2e: { p95: 200ms } }
    scaling: { mode: MODE }
"#;

/// Twelve hours at night of a tenth of the peak, twelve at the peak.
const DAY: &str = "[10%, 10%, 10%, 10%, 10%, 10%, 10%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 10%, 10%, 10%, 10%, 10%]";

fn solved(mode: &str) -> (Spec, World, Placement) {
    let catalog = line::on_sale(&[
        ("g6.xlarge", "us-east-1", Purchase::OnDemand, 800_000),
        ("g6.xlarge", "us-east-1", Purchase::Reserved1y, 500_000),
        ("g6.xlarge", "us-east-1", Purchase::Reserved3y, 300_000),
    ]);
    let spec = line::spec(&SPEC.replace("DAILY", DAY).replace("MODE", mode), &catalog);
    let world = line::world(&spec, &catalog);
    let placement = line::place(&spec, &world).unwrap();
    (spec, world, placement)
}

fn one(placement: &Placement, purchase: Purchase) -> &Commitment {
    placement.commitments.iter().find(|c| c.purchase == purchase).unwrap()
}

#[test]
fn what_runs_all_day_pays_for_itself() {
    let (spec, world, placement) = solved("fixed");
    assert_eq!(check::placement(&spec, &world, &placement), vec![]);
    let count = placement.workloads["services.find"].pools[0].machines[0].count;
    assert!(count >= 3, "{count}");
    assert_eq!(placement.commitments.len(), 2);
    // 0.80 less 0.50 and less 0.30 USD an hour for each, 730 hours; they pay from five and three eighths of the hours on.
    let saves = |cents: i64| Money::from_micros(cents * 10_000).times(730 * i64::from(count));
    for (purchase, cents, from) in [(Purchase::Reserved1y, 30, 0.625), (Purchase::Reserved3y, 50, 0.375)] {
        let found = one(&placement, purchase);
        assert_eq!((found.machines, found.saves_per_month), (count, saves(cents)));
        assert!((found.pays_from() - from).abs() < 1e-9);
        assert_eq!(found.addr, "services.find/aws/us-east-1/g6.xlarge/on_demand");
    }
}

#[test]
fn machines_of_the_peak_pay_only_where_the_term_is_cheap_enough() {
    let (spec, world, placement) = solved("horizontal");
    assert_eq!(check::placement(&spec, &world, &placement), vec![]);
    let pool = &placement.workloads["services.find"].pools[0];
    let classes = &pool.following.as_ref().unwrap().classes;
    let (night, peak) = (classes[0].machines[0], classes.last().unwrap().machines[0]);
    assert!(night < peak, "{classes:?}");
    // The peak lasts little more than half of the day: more than three eighths, less than five eighths.
    let day = f64::from(classes.last().unwrap().seconds) / 86_400.0;
    assert!(day > 0.5 && day < 0.56, "{day}");
    assert_eq!(one(&placement, Purchase::Reserved1y).machines, night);
    assert_eq!(one(&placement, Purchase::Reserved3y).machines, peak);
    let all_day = Money::from_micros(500_000).times(i64::from(night));
    let of_the_peak =
        Money::from_micros(((0.8 * day - 0.3) * 1e6).round() as i64).times(i64::from(peak - night));
    let saves = one(&placement, Purchase::Reserved3y).saves_per_month;
    let off = (saves - (all_day + of_the_peak).times(730)).micros().abs();
    assert!(off <= 730 * i64::from(peak), "{saves}");
}

#[test]
fn each_planted_fault_is_found() {
    let (spec, world, sound) = solved("horizontal");
    let found = |fault: fn(&mut Placement)| -> Vec<Finding> {
        let mut placement = sound.clone();
        fault(&mut placement);
        check::placement(&spec, &world, &placement).into_iter().filter(|f| f.code == "commitment").collect()
    };
    assert_eq!(found(|_| {}), vec![]);
    let faults: &[(&str, fn(&mut Placement))] = &[
        ("not told", |p| drop(p.commitments.pop())),
        ("told twice", |p| p.commitments.push(p.commitments[0].clone())),
        ("a machine too many", |p| p.commitments[0].machines += 1),
        ("another price", |p| p.commitments[0].price = Money::from_micros(499_999)),
        ("instead of another", |p| p.commitments[0].instead_of = Money::from_micros(800_001)),
        ("saves more", |p| p.commitments[0].saves_per_month = p.commitments[0].saves_per_month.times(2)),
        ("of other machines", |p| p.commitments[0].addr.push('x')),
        ("for another term", |p| p.commitments[0].purchase = Purchase::Reserved3y),
    ];
    for (what, fault) in faults {
        assert!(!found(*fault).is_empty(), "{what} is not found");
    }
}

/// What of these machines would pay for a term; none of them follows a day.
pub fn of(
    world: &World,
    workloads: &BTreeMap<String, WorkloadPlacement>,
    fleets: &[SharedFleet],
) -> Vec<Commitment> {
    let mut bought = Vec::new();
    for placed in workloads.values() {
        let share = placed.run.as_ref().map_or(1.0, |run| run.hours * run.runs_per_month / 730.0);
        for pool in &placed.pools {
            for m in pool.machines.iter().filter(|m| m.purchase == Purchase::OnDemand) {
                let addr = format!("{}/on_demand", pool.addr);
                bought.push((addr, (pool.cloud, &pool.region, &pool.instance_type), m.price, m.count, share));
            }
        }
    }
    for f in fleets.iter().filter(|f| f.purchase == Purchase::OnDemand) {
        bought.push((f.addr.to_string(), (f.cloud, &f.region, &f.instance_type), f.price, f.count, 1.0));
    }
    let mut found = Vec::new();
    for (addr, (cloud, region, kind), price, count, share) in bought {
        let kind = world.catalog.instance_type(cloud, kind).unwrap();
        let region = world.catalog.region(cloud, region).unwrap();
        for purchase in [Purchase::Reserved1y, Purchase::Reserved3y] {
            let Some(offer) = world.catalog.offering(kind, region, purchase) else { continue };
            let saves = (price.scale(share) - offer.price).times(i64::from(count)).times(730);
            if saves > Money::ZERO {
                found.push(Commitment {
                    addr: addr.clone(),
                    purchase,
                    machines: count,
                    price: offer.price,
                    instead_of: price,
                    saves_per_month: saves,
                    provenance: offer.provenance.clone(),
                });
            }
        }
    }
    found
}
