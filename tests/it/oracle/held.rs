//! Worlds in which machines are held, against brute force.

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::placement::{Placement, Pool};
use rhumb_api::Purchase;

use super::{Several, agree, ask, brute, options, proven, worlds};

/// Worlds with one workload, and with several.
const WORLDS: u64 = 300;
const TOGETHER: u64 = 500;

/// The pools of a placement in which something is wrong.
fn told(placement: &Placement) -> String {
    let of = |p: &Pool| {
        let machines: Vec<(Purchase, u32)> = p.machines.iter().map(|m| (m.purchase, m.count)).collect();
        let hours: Option<Vec<_>> =
            p.following.as_ref().map(|f| f.classes.iter().map(|c| (c.share, c.machines.clone())).collect());
        format!("    {} {} {machines:?} {hours:?}\n", p.addr, p.variant)
    };
    placement.workloads.values().flat_map(|w| &w.pools).map(of).collect()
}

#[test]
fn what_is_held_is_used_where_nothing_is_cheaper() {
    let base = Catalog::embedded();
    let (mut faults, mut used, mut mixed, mut follows, mut refused, mut ending) =
        (String::new(), 0, 0, 0, 0, 0);
    let (mut exact, mut feasible) = (0, 0);
    for seed in 0..WORLDS {
        let (mut spec, mut world) = worlds::case(seed, &base);
        worlds::hold(seed, &mut spec, &mut world);
        let Some(name) = spec.services.keys().next() else { continue };
        let (answer, placement) = ask(&spec, &world);
        if answer.beyond {
            continue;
        }
        let truth = brute::service(&spec, &world, name);
        if !agree(answer.cost, truth) {
            faults += &format!("world {seed}: the optimizer says {:?}, brute force {truth:?}\n", answer.cost);
            continue;
        }
        let Some(placement) = placement else {
            refused += 1;
            continue;
        };
        let before = faults.len();
        feasible += 1;
        exact += u64::from(proven(seed, &spec, &world, &placement, &mut faults));
        for f in check::placement(&spec, &world, &placement) {
            faults += &format!(
                "world {seed}: {} {}: {} ({} / {})\n",
                f.address, f.code, f.message, f.expected, f.found
            );
        }
        if faults.len() > before {
            faults += &told(&placement);
        }
        for pool in placement.workloads.values().flat_map(|w| &w.pools).filter(|p| p.most_held() > 0) {
            used += 1;
            mixed += u64::from(pool.machines.len() > 1);
            follows += u64::from(pool.following.is_some());
            let of = |m: &&rhumb::placement::PoolMachines| m.purchase == Purchase::Held;
            ending += u64::from(pool.machines.iter().find(of).unwrap().price.micros() > 0);
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(
        used > 50 && mixed > 8 && follows > 10 && refused > 10 && ending > 8,
        "{used} used, {mixed} mixed, {follows} follow the day, {refused} refused, {ending} end within the month"
    );
    assert!(exact * 100 > feasible * 98, "the bound was exact in {exact} of {feasible}");
}

#[test]
fn services_share_what_is_held() {
    let base = Catalog::embedded();
    let mut tried = Several::default();
    let (mut used, mut both) = (0, 0);
    for seed in 0..TOGETHER {
        let (mut spec, mut world) = worlds::together(seed, &base);
        worlds::hold(seed, &mut spec, &mut world);
        let Some((addresses, options)) = options(&spec, &world) else { continue };
        let before = tried.faults.len();
        if let Some(placement) = tried.compare(seed, (&spec, &world), &addresses, &options) {
            if tried.faults.len() > before {
                tried.faults += &told(&placement);
            }
            let holds = |w: &&rhumb::placement::WorkloadPlacement| w.pools.iter().any(|p| p.most_held() > 0);
            let n = placement.workloads.values().filter(holds).count();
            used += u64::from(n > 0);
            both += u64::from(n > 1);
        }
    }
    let Several { faults, coupled, dearer, refused, undecided, all, exact, .. } = tried;
    assert!(faults.is_empty(), "\n{faults}");
    assert_eq!(undecided, 0, "refused without a proof, against brute force");
    assert!(exact * 100 > all * 98, "the bound was exact in {exact} of {all}");
    assert!(
        coupled > 30 && dearer > 30 && refused > 10 && used > 50 && both > 10,
        "{coupled} coupled, {dearer} dearer, {refused} refused, {used} use what is held, {both} by several"
    );
}
