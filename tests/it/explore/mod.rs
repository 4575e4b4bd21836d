//! Changed worlds: their laws in small worlds of their own, their command lines on examples.

mod pareto;
mod scale;
mod stress;
mod what_if;

use rhumb::catalog::Catalog;
use rhumb::explore;
use rhumb::placement::{Infeasible, Placement, World};
use rhumb::spec::Spec;
use rhumb_api::Purchase;

use crate::line;

/// The catalogue with four offers: two types, each in a cheap region and a dear one.
fn catalog() -> Catalog {
    line::on_sale(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
        ("p5.48xlarge", "eu-west-1", Purchase::OnDemand, 63_300_000),
        ("p5en.48xlarge", "eu-north-1", Purchase::OnDemand, 68_400_000),
        ("p5en.48xlarge", "eu-south-2", Purchase::OnDemand, 66_100_000),
    ])
}

fn small(more: &str) -> (Spec, World) {
    let catalog = catalog();
    let spec = line::spec(&line::two_services(more), &catalog);
    let world = line::world(&spec, &catalog);
    (spec, world)
}

/// The world with changes, as they are typed.
fn changed(spec: &Spec, world: &World, changes: &str) -> Result<(Spec, World), String> {
    let (mut spec, mut world) = (spec.clone(), world.clone());
    for change in explore::changes(changes, &spec.clone(), &world.catalog.clone())? {
        assert!(!change.is_key(), "{changes}: a key needs the text of the spec");
        change.apply(&mut spec, &mut world)?;
    }
    Ok((spec, world))
}

fn placed(spec: &Spec, world: &World, changes: &str) -> Result<Placement, Infeasible> {
    let (spec, world) = changed(spec, world, changes).unwrap_or_else(|e| panic!("{changes}: {e}"));
    line::place(&spec, &world)
}
