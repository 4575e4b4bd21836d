//! What is held in random worlds: machines, and savings plans.

use super::*;

/// Adds one to three commitments to a world: most to its end, some that end within the month, some that are over, some of what is not on
/// sale on demand. Most services may use them.
pub fn hold(seed: u64, spec: &mut Spec, world: &mut World) {
    let mut r = Random::new(seed ^ 0x6865_6c64);
    let mut places: Vec<(usize, usize)> =
        world.catalog.offerings.iter().map(|o| (o.instance_type, o.region)).collect();
    places.dedup();
    let n = 1 + r.below(3);
    for (i, (kind, region)) in r.some(&places, n).into_iter().enumerate() {
        if r.chance(15) {
            let gone =
                |o: &Offering| (o.instance_type, o.region) == (kind, region) && o.purchase != Purchase::Spot;
            world.catalog.offerings.retain(|o| !gone(o));
        }
        let (kind, region) = (&world.catalog.instance_types[kind], &world.catalog.regions[region]);
        let held = Held {
            name: format!("h{i}"),
            kind: r.pick(&[HeldKind::Reservation, HeldKind::CapacityBlock]),
            cloud: kind.cloud,
            region: region.id.clone(),
            instance_type: kind.name.clone(),
            count: r.pick(&[1, 1, 2, 2, 3, 5, 0]),
            until: r
                .pick(&["2027-11-25", "2027-01-01", "2026-12-26", "2026-12-10", "2026-11-27", "2026-11-25"])
                .into(),
            cost: r.pick(&[None, Some(Money::from_micros(3_000_000))]),
            id: None,
            at: at(),
        };
        spec.held.insert(held.name.clone(), held);
    }
    for service in spec.services.values_mut() {
        service.purchase.held = r.chance(90);
    }
    spec.lower_held();
    world.hold(spec).unwrap();
}

/// The same with savings plans: of everything, or of some types and regions; sometimes beside reservations of them.
pub fn save(seed: u64, spec: &mut Spec, world: &mut World) {
    let mut r = Random::new(seed ^ 0x7361_7665);
    let sold = |o: &&Offering| o.purchase == Purchase::OnDemand;
    let offers: Vec<Offering> = world.catalog.offerings.iter().filter(sold).cloned().collect();
    let n = 1 + r.below(2);
    for (i, offer) in r.some(&offers, n).into_iter().enumerate() {
        let (kind, region) =
            (&world.catalog.instance_types[offer.instance_type], &world.catalog.regions[offer.region]);
        let rates = 1 + r.below(2);
        let rate = |r: &mut Random| PlanRate {
            discount_ppm: r.pick(&[0, 150_000, 270_001, 333_333, 440_000]),
            instance_types: r.pick(&[
                AllowDeny::Any,
                AllowDeny::Only(vec![kind.name.clone()]),
                AllowDeny::Not(vec![kind.name.clone()]),
            ]),
            regions: r.pick(&[AllowDeny::Any, AllowDeny::Any, AllowDeny::Only(vec![region.id.clone()])]),
            at: at(),
        };
        // From less than a machine to several of it, of which no whole number fills it; now and then exactly as many.
        let machines = r.pick(&[0.4, 0.7, 1.0, 1.5, 2.0, 2.6, 4.3]);
        let plan = SavingsPlan {
            name: format!("s{i}"),
            cloud: kind.cloud,
            spend: offer.list_price.scale(machines),
            until: r.pick(&["2027-11-25", "2027-01-01", "2026-12-26", "2026-12-10", "2026-11-25"]).into(),
            rates: (0..rates).map(|_| rate(&mut r)).collect(),
            id: None,
            at: at(),
        };
        spec.savings.insert(plan.name.clone(), plan);
    }
    for service in spec.services.values_mut() {
        service.purchase.held = r.chance(95);
    }
    for batch in spec.batches.values_mut() {
        batch.purchase.held = r.chance(95);
    }
    spec.lower_held();
    world.hold(spec).unwrap();
}
