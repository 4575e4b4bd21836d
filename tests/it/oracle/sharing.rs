//! Services that share machines against brute force.

use std::collections::BTreeMap;

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::placement::Pool;

use super::{brute, proven, worlds};
use crate::line;

/// Worlds that are tried.
const WORLDS: u64 = 1_600;

#[test]
fn shared_machines_are_never_beaten_and_never_wrong() {
    let base = Catalog::embedded();
    let (mut faults, mut all, mut shared, mut saved, mut refused, mut open) = (String::new(), 0, 0, 0, 0, 0);
    let (mut spread, mut limited, mut missed, mut moved, mut stuck) = (0, 0, 0_u64, 0, 0);
    for seed in 0..WORLDS {
        let (spec, world) = worlds::sharing(seed, &base);
        let plans: Vec<Vec<brute::sharing::Plan>> =
            spec.services.keys().map(|name| brute::sharing::plans(&spec, &world, name)).collect();
        // What one service cannot do alone on machines of its own is another test's matter.
        let alone = |own: &Vec<brute::sharing::Plan>| own.iter().any(|p| p.on.is_empty());
        let sharing = spec.services.values().filter(|s| s.shares).count();
        if sharing < 2 || !plans.iter().all(alone) {
            continue;
        }
        let truth = brute::sharing::together(&spec, &world, &plans);
        let placement = match line::place(&spec, &world) {
            Ok(placement) => placement,
            Err(why) => {
                refused += 1;
                // The rule may need more machines than the rows of the common problem ask for: then the search may miss what
                // there is, and says that it proved nothing.
                let open = |r: &rhumb::placement::Rejection| {
                    r.reason.contains("did not prove that there is nothing")
                };
                if truth.is_some() && why.workloads[0].conflict.iter().any(open) {
                    missed += 1;
                } else if truth.is_some() {
                    faults += &format!(
                        "world {seed}: refused, brute force {truth:?}: {:?}\n",
                        why.workloads[0].conflict
                    );
                }
                continue;
            }
        };
        let cost: i64 = placement.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum();
        let beyond = |p: &Pool| {
            p.machines.iter().map(|m| m.count).sum::<u32>() > brute::MOST_MACHINES
                || (p.shared.is_some() && p.replicas > brute::sharing::MOST_REPLICAS)
        };
        if placement.workloads.values().flat_map(|w| &w.pools).any(beyond) {
            continue;
        }
        all += 1;
        let c = placement.coupling.as_ref().expect("services that share are placed together");
        // Eight products rounded by the hour, of a month.
        let near = |a: i64, b: i64| (a - b).abs() <= 8 * 730;
        // Likewise what is dearer than need be, if a gap is told.
        let gap = !near(c.lower_bound.micros(), cost);
        if gap && truth.is_some_and(|t| t < cost && !near(t, cost)) {
            missed += 1;
        } else if truth.is_none_or(|t| !near(t, cost)) {
            faults += &format!(
                "world {seed}: the optimizer says {cost}, brute force {truth:?}, bound {}\n",
                c.lower_bound
            );
        }
        if truth.is_some_and(|t| c.lower_bound.micros() > t + 8 * 730) {
            faults += &format!("world {seed}: a bound of {} above {truth:?}\n", c.lower_bound);
        }
        if !near(c.optimum.micros(), cost) {
            faults += &format!("world {seed}: {cost} is paid, {} was optimized\n", c.optimum);
        }
        proven(seed, &spec, &world, &placement, &mut faults);
        let mut apart = spec.clone();
        apart.services.values_mut().for_each(|s| s.shares = false);
        if let Ok(apart) = line::place(&apart, &world) {
            let dearer: i64 = apart.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum();
            if cost > dearer + 8 * 730 {
                faults += &format!("world {seed}: {cost} shared, {dearer} apart\n");
            }
        }
        let by_name: BTreeMap<String, Vec<brute::sharing::Plan>> =
            spec.services.keys().map(|name| format!("services.{name}")).zip(plans).collect();
        for fleet in &placement.fleets {
            let truth = brute::sharing::elsewhere(&spec, &world, &placement, fleet, &by_name);
            let first = fleet.fallbacks.first().map(|f| f.more_per_month.micros());
            let same = match (first, truth) {
                (Some(first), Some((least, most))) => {
                    (least - 8 * 730..=most.saturating_add(8 * 730)).contains(&first)
                }
                (None, None) => true,
                (None, Some((_, most))) => most == i64::MAX,
                (Some(_), None) => false,
            };
            if !same {
                faults += &format!(
                    "world {seed}: {} falls back at {first:?} more, brute force {truth:?}\n",
                    fleet.addr
                );
            }
            moved += u64::from(first.is_some());
            stuck += u64::from(first.is_none());
        }
        open += u64::from(gap);
        let several = placement.fleets.iter().any(|f| f.pools.len() > 1);
        shared += u64::from(several);
        saved += u64::from(c.optimum < c.apart);
        limited += u64::from(several && c.limits.iter().any(|l| l.multiplier > 0));
        spread += u64::from(placement.fleets.iter().any(|f| f.mixes.len() > 1));
        for f in check::placement(&spec, &world, &placement) {
            faults += &format!(
                "world {seed}: {} {}: {} ({} / {})\n",
                f.address, f.code, f.message, f.expected, f.found
            );
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(
        shared > 50 && saved > 50 && spread > 20 && limited > 1 && refused > 25,
        "{all} worlds: {shared} share, {saved} save, {spread} with mixes, {limited} at a limit, {refused} refused"
    );
    assert!(moved > 50 && stuck > 50, "{moved} fleets with and {stuck} without a fallback");
    assert!(missed * 100 < all, "{missed} of {all} are dearer than need be, or refused without a proof");
    assert!(open * 20 < all, "{open} of {all} are not proven");
}
