//! Faults of plans with held machines: each is found.

use rhumb::placement::{Placement, Pool, World};
use rhumb::spec::{Held, Spec};
use rhumb_api::{Money, Purchase};

use super::proven;
use crate::faults::{self, Fault};

fn pool(p: &mut Placement) -> &mut Pool {
    &mut p.workloads.get_mut("services.inspect").unwrap().pools[0]
}

fn held(s: &mut Spec) -> &mut Held {
    s.held.get_mut("l4").unwrap()
}

fn offering(w: &mut World) -> &mut rhumb::catalog::Offering {
    w.catalog.offerings.iter_mut().find(|o| o.purchase == Purchase::Held).unwrap()
}

#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    ("more used than held", "held", "more held machines", |s, _, _| { held(s).count = 1; s.lower_held(); }),
    ("more used than held, as a quota", "quota", "", |s, _, _| { held(s).count = 1; s.lower_held(); }),
    ("of one that is over", "held", "more held machines", |s, _, _| held(s).until = "2026-11-25".into()),
    ("of one that ends within the month, for nothing", "held", "the price of a machine", |s, _, _| held(s).until = "2026-12-15".into()),
    ("of another region", "held", "more held machines", |s, _, _| held(s).region = "eu-west-1".into()),
    ("of another type", "held", "more held machines", |s, _, _| held(s).instance_type = "g6.2xlarge".into()),
    ("of nobody's", "held", "more held machines", |s, _, _| s.held.clear()),
    ("a price that is not nothing", "price", "the price", |_, _, p| pool(p).machines[1].price = Money::from_micros(1)),
    ("a price of the plan and the catalogue", "held", "the price of a machine", |_, w, p| {
        offering(w).price = Money::from_micros(1);
        pool(p).machines[1].price = Money::from_micros(1);
    }),
    ("rows of what nobody holds", "held", "the number of prices", |_, w, _| { let row = offering(w).clone(); w.catalog.offerings.push(row); }),
    ("a stock that does not bind", "held", "what limits", |s, _, _| { s.providers.clear(); }),
    ("fewer used than are", "held", "the machines that are used", |_, _, p| p.held[0].used -= 1),
    ("another end", "held", "what is told", |_, _, p| p.held[0].until = "2028-01-01".into()),
    ("another rise of the bill", "held", "what is told", |_, _, p| p.held[0].rises_per_month = None),
    ("a cost that nobody stated", "held", "what is told", |_, _, p| p.held[0].cost = Some(Money::ZERO)),
    ("nothing told", "held", "the commitments", |_, _, p| p.held.clear()),
    ("used where none may be", "held", "none may be used", |s, _, _| s.services.get_mut("inspect").unwrap().purchase.held = false),
    ("beside spot", "purchase", "beside spot", |_, _, p| pool(p).machines[0].purchase = Purchase::Spot),
    ("a fallback on held machines", "held", "a fallback takes", |_, _, p| {
        let fallbacks = &mut p.workloads.get_mut("services.inspect").unwrap().fallbacks[0];
        fallbacks.list[0].pool.machines[0].purchase = Purchase::Held;
    }),
    ("an amount of the stock", "quota", "amount of held", |_, _, p| {
        let quotas = &mut p.workloads.get_mut("services.inspect").unwrap().quotas;
        quotas.iter_mut().find(|q| q.code.starts_with("held:")).unwrap().amount -= 1.0;
    }),
];

/// Faults of a pool that follows the day.
#[rustfmt::skip]
const OF_A_DAY: &[Fault] = &[
    ("others run while held ones stand idle", "held", "stand idle", |_, _, p| {
        let class = &mut pool(p).following.as_mut().unwrap().classes[0];
        class.machines.swap(0, 1);
    }),
];

fn two() -> faults::Case {
    proven(&super::TEXT.replace("count: 4", "count: 2"))
}

#[test]
fn every_fault_is_found() {
    faults::all_are_found_on_sound(&two(), FAULTS);
}

#[test]
fn an_hour_that_buys_what_is_held_is_found() {
    let daily = "peak: 640 req/s, daily: office-hours, time_zone: UTC";
    let text = super::TEXT.replace("peak: 640 req/s", daily).replace("count: 4", "count: 2");
    let text = format!("{text}    scaling: {{ mode: horizontal }}\n");
    faults::all_are_found_on_sound(&proven(&text), OF_A_DAY);
}

#[test]
fn what_is_bought_while_held_machines_would_do_is_told() {
    faults::dearer_is_told(&two(), |o| o.purchase != Purchase::Held);
}
