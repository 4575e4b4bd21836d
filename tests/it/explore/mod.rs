//! Changed worlds: their laws in small worlds of their own, their command lines on examples.

mod pareto;
mod scale;
mod stress;
mod what_if;

use rhumb::catalog::{Catalog, Offered, Offering};
use rhumb::explore;
use rhumb::placement::{Infeasible, Placement, World};
use rhumb::spec::Spec;
use rhumb_api::{Cloud, Money, Purchase};

use crate::line;

/// Two services of one model, in the European Union.
fn text(more: &str) -> String {
    format!(
        "rhumb: 1
name: small
models:
  large: {{ source: meta-llama/Llama-3.3-70B-Instruct, variants: {{ bf16: {{ quantization: bf16 }} }} }}
defaults:
  placement: {{ residency: [eu] }}
services:
  a:
    model: large
    traffic:
      peak: 2 req/s
      input_tokens: {{ p50: 1200, p95: 5000 }}
      output_tokens: {{ p50: 400, p95: 1200 }}
      origins: {{ nl: {{ at: NL, share: 100% }} }}
    slo: {{ ttft: {{ p95: 2s }}, tpot: {{ p95: 60ms }} }}
  b:
    model: large
    traffic:
      peak: 4 req/s
      input_tokens: {{ p50: 1200, p95: 7000 }}
      output_tokens: {{ p50: 200, p95: 700 }}
      origins: {{ ie: {{ at: IE, share: 100% }} }}
    slo: {{ ttft: {{ p95: 2s }}, tpot: {{ p95: 60ms }} }}
    survive: {{ machine: 1 }}
{more}"
    )
}

/// The catalogue with four offers: two types, each in a cheap region and a dear one.
fn catalog() -> Catalog {
    let mut catalog = Catalog::embedded();
    let provenance = catalog.offerings[0].provenance.clone();
    let offer = |kind: &str, region: &str, micros: i64| Offering {
        instance_type: catalog.instance_type(Cloud::Aws, kind).unwrap(),
        region: catalog.region(Cloud::Aws, region).unwrap(),
        zone: None,
        purchase: Purchase::OnDemand,
        price: Money::from_micros(micros),
        list_price: Money::from_micros(micros),
        offered: Offered::Yes,
        interruption: None,
        provenance: provenance.clone(),
    };
    let mut offerings = vec![
        offer("p5.48xlarge", "eu-north-1", 58_900_000),
        offer("p5.48xlarge", "eu-west-1", 63_300_000),
        offer("p5en.48xlarge", "eu-north-1", 68_400_000),
        offer("p5en.48xlarge", "eu-south-2", 66_100_000),
    ];
    offerings.sort_by_key(|o| (o.instance_type, o.region));
    catalog.offerings = offerings;
    catalog
}

fn small(more: &str) -> (Spec, World) {
    let catalog = catalog();
    let spec = line::spec(&text(more), &catalog);
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
