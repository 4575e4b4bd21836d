//! The line from text to placement, for tests.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rhumb::catalog::{Catalog, Offered, Offering, Provenance};
use rhumb::diagnostic::SourceFile;
use rhumb::placement::{Infeasible, Placement, World};
use rhumb::spec::{self, ModelSource, Sources, Spec};
use rhumb_api::{Cloud, Money, Purchase};

/// A spec from YAML text that names no files.
pub fn spec(text: &str, catalog: &Catalog) -> Spec {
    let vocabulary = catalog.vocabulary();
    let sources = Sources {
        files: vec![SourceFile { name: "test.yaml".into(), text: text.into() }],
        variables: Vec::new(),
        vocabulary: &vocabulary,
        read: &|path| Err(format!("{path}: tests read no files")),
    };
    match spec::load(&sources) {
        Ok(loaded) => loaded.spec,
        Err(diagnostics) => panic!("{:#?}", diagnostics.list),
    }
}

/// The world of a spec: the catalogue with its discounts, and the architectures of its models.
pub fn world(spec: &Spec, catalog: &Catalog) -> World {
    let mut catalog = catalog.clone();
    for (cloud, settings) in &spec.providers {
        catalog.apply_discount(*cloud, settings.discount);
    }
    rhumb::placement::stand(&mut catalog, spec).unwrap();
    let arch = |model: &spec::Model| match &model.source {
        ModelSource::Known { written, id } => {
            Some(catalog.checkpoint(written).unwrap_or_else(|| catalog.model(id).unwrap().clone()))
        }
        ModelSource::Config(file) => panic!("{}: tests read no files", file.path),
        ModelSource::Measured(_) => None,
    };
    let archs: BTreeMap<_, _> =
        spec.models.iter().filter_map(|(name, m)| Some((name.clone(), arch(m)?))).collect();
    let today = "2026-11-25".into();
    let running = Default::default();
    let mut world = World { archs, catalog, calibration: Default::default(), today, replay: 0, running };
    world.hold(spec).unwrap();
    world
}

/// The placement of a spec.
pub fn place(spec: &Spec, world: &World) -> Result<Placement, Infeasible> {
    rhumb::optimize::place(spec, world)
}

/// The catalogue with nothing on sale but these AWS machines: type, region, purchase option and micro-dollars an hour. Of
/// spot machines 5 % are interrupted in a month.
pub fn on_sale(offers: &[(&str, &str, Purchase, i64)]) -> Catalog {
    static EMPTY: LazyLock<(Catalog, Provenance)> = LazyLock::new(|| {
        let mut catalog = Catalog::embedded();
        let provenance = catalog.offerings[0].provenance.clone();
        catalog.offerings.clear();
        (catalog, provenance)
    });
    // To read it takes longer than to copy what is left of it.
    let (mut catalog, provenance) = EMPTY.clone();
    let offer = |(kind, region, purchase, micros): &(&str, &str, Purchase, i64)| Offering {
        instance_type: catalog.instance_type(Cloud::Aws, kind).unwrap(),
        region: catalog.region(Cloud::Aws, region).unwrap(),
        zone: None,
        purchase: *purchase,
        price: Money::from_micros(*micros),
        list_price: Money::from_micros(*micros),
        offered: Offered::Yes,
        interruption: (*purchase == Purchase::Spot).then_some(0.05),
        provenance: provenance.clone(),
        held: None,
    };
    let mut offerings: Vec<Offering> = offers.iter().map(offer).collect();
    offerings.sort_by_key(|o| (o.instance_type, o.region, o.purchase));
    catalog.offerings = offerings;
    catalog
}

/// Two services of one model in the European Union, with more keys behind them.
pub fn two_services(more: &str) -> String {
    format!(
        "rhumb: 1
name: two
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

/// A spec on a catalogue, as it is placed.
pub fn placed(text: &str, catalog: &Catalog) -> (Spec, World, Result<Placement, Infeasible>) {
    let spec = spec(text, catalog);
    let world = world(&spec, catalog);
    let placement = place(&spec, &world);
    (spec, world, placement)
}

/// The placement of a spec that the checker passes, and whose bound it finds to be the cost.
pub fn proven(text: &str, catalog: &Catalog) -> (Spec, World, Placement) {
    let (spec, world, placement) = placed(text, catalog);
    let placement = placement.unwrap_or_else(|why| panic!("{why:?}\n{text}"));
    let proof = rhumb::check::prove(&spec, &world, &placement);
    assert!(proof.report.passed(), "\n{}\n{text}", crate::faults::told(&proof.report.findings));
    assert_eq!(proof.all.verdict(), "optimal", "{text}");
    (spec, world, placement)
}
