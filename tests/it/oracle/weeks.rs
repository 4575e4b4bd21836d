//! Weekends of random days, and whether nothing runs without load.

use rhumb::catalog::Catalog;
use rhumb::spec::{Daily, Purchase, ScalingMode};

use super::worlds::{self, Random};
use super::{agree, ask, brute, findings, proven};
use crate::extent::{is_many, one_in};

pub struct Weekend {
    pub shares: Option<[u32; 24]>,
    pub rests: bool,
}

/// Drawn from the day alone, so that worlds are otherwise what they are without weekends.
pub fn weekend(day: &[u32; 24]) -> Weekend {
    let seed = day.iter().fold(7_u64, |sum, share| sum * 31 % 1_000_003 + u64::from(share / 1_000));
    let mut r = Random::new(seed);
    let shares = r.chance(40).then(|| {
        let part = r.pick(&[0, 10, 25, 50]);
        let mut shares = day.map(|share| share / 100 * part);
        if r.chance(30) {
            shares[r.below(24)] = 1_000_000;
        }
        shares
    });
    Weekend { shares, rests: r.chance(40) }
}

/// A day of hours without load, of a fifth, of the half and of the peak.
fn hours(r: &mut Random) -> [u32; 24] {
    let mut level = 0;
    std::array::from_fn(|_| {
        if r.chance(30) {
            level = r.pick(&[0, 0, 200_000, 500_000, 1_000_000]);
        }
        level
    })
}

/// Worlds in which every service follows a week and has nothing in its hours without load, against every second and every count.
#[test]
fn weeks_with_rest_are_never_beaten_and_never_wrong() {
    let base = Catalog::embedded();
    let (mut faults, mut weekly, mut at_rest, mut refused, mut exact) = (String::new(), 0, 0, 0, 0);
    let part = one_in(10, 1);
    for seed in part.seeds(5_000..5_160) {
        let (mut spec, world) = worlds::case(seed, &base);
        let Some(service) = spec.services.values_mut().next() else { continue };
        let mut r = Random::new(seed);
        let (mut shares, weekend) = (hours(&mut r), hours(&mut r));
        shares[r.below(24)] = 1_000_000;
        let at = service.traffic.at.clone();
        service.traffic.daily =
            Some(Daily { name: None, shares, weekend: Some(weekend), time_zone: "UTC".into(), at });
        service.scaling.mode = ScalingMode::Horizontal;
        service.scaling.to_zero = true;
        service.purchase.options = vec![Purchase::OnDemand];
        let (answer, placement) = ask(&spec, &world);
        if answer.beyond {
            continue;
        }
        let truth = brute(&spec, &world);
        if !agree(answer.cost, truth) {
            faults += &format!("world {seed}: the optimizer says {:?}, brute force {truth:?}\n", answer.cost);
            continue;
        }
        let Some(placement) = placement else {
            refused += 1;
            continue;
        };
        exact += u64::from(proven(seed, &spec, &world, &placement, &mut faults));
        faults += &findings(seed, &spec, &world, &placement);
        let pools = placement.workloads.values().flat_map(|w| &w.pools);
        let following: Vec<_> = pools.filter_map(|p| p.following.as_ref()).collect();
        weekly += u64::from(following.iter().any(|f| f.is_weekly()));
        at_rest += u64::from(following.iter().any(|f| f.classes.iter().any(|c| c.replicas == 0)));
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(weekly > part.of(29) && at_rest > part.of(19), "{weekly} {at_rest}");
    assert!(refused > part.of(4), "{refused}");
    assert!(exact * 100 > weekly * 90 || !is_many(), "the bound was exact in {exact} of {weekly}");
}
