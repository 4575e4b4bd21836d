//! What is held in another world.

use rhumb_api::{Cloud, Money, Purchase};

use super::change::Amount;
use crate::catalog::Offering;
use crate::placement::World;
use crate::spec::{EVERYWHERE, Held, Spec};

/// How many machines a commitment holds, or what of an hour a savings plan covers.
///
/// # Errors
/// No such commitment, or an amount out of range; for people.
pub(super) fn of_held(
    spec: &mut Spec,
    world: &mut World,
    (cloud, place, code): (Cloud, &str, &str),
    to: Amount,
) -> Result<(), String> {
    if place == EVERYWHERE {
        let mut plans = spec.savings.values_mut();
        let plan = plans
            .find(|plan| plan.cloud == cloud && plan.code() == code)
            .ok_or_else(|| format!("no savings plan of {cloud} has the limit {code}"))?;
        let usd = to.of(Some(plan.spend.usd())).unwrap_or(0.0);
        let spend = Money::from_usd(usd).ok().filter(|_| (0.0..=1e6).contains(&usd));
        plan.spend = spend
            .ok_or_else(|| format!("{} would be {usd} USD/h; at least 0, at most 1000000", plan.name))?;
    } else {
        let is = |held: &&mut Held| held.cloud == cloud && held.region == place && held.code() == code;
        let held = spec
            .held
            .values_mut()
            .find(is)
            .ok_or_else(|| format!("no commitment holds such machines in {cloud}/{place}"))?;
        let amount = to.of(Some(f64::from(held.count))).unwrap_or(0.0);
        if !(0.0..=1e5).contains(&amount) {
            return Err(format!("{} would hold {amount} machines; at least 0, at most 100000", held.name));
        }
        held.count = amount as u32;
    }
    spec.lower_held();
    // Its types are those of the plan before.
    let _ = world.hold(spec);
    Ok(())
}

/// What is left of held machines costs what follows from prices as they are by now, and takes of a savings plan what follows from list
/// prices (decision 19).
pub(super) fn held_again(spec: &Spec, world: &mut World) {
    let mut fresh = world.catalog.clone();
    fresh.hold(&spec.held, &spec.savings, &world.today);
    let now = |o: &Offering| {
        let name = o.held.as_ref().map(|held| &*held.name);
        fresh.offering_of(o.instance_type, o.region, (o.purchase, name)).cloned()
    };
    let held = |o: &Offering| o.purchase == Purchase::Held;
    let offerings = std::mem::take(&mut world.catalog.offerings);
    world.catalog.offerings =
        offerings.into_iter().filter_map(|o| if held(&o) { now(&o) } else { Some(o) }).collect();
}
