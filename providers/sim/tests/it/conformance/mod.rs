//! The simulated cloud passes what every adapter has to pass, and adapters that break a law do not.

mod arrange;

use rhumb_api::Provider;
use rhumb_api::conformance::{Bench, Patience, Place, Report, suite};
use rhumb_sim::server::{Clock, serve};
use rhumb_sim::{Client, InProcess, Runs, Span, World};
use tokio::net::TcpListener;

use crate::bench::{place, site};
use arrange::{Inside, Remote};

/// What no answer may hold.
const CANARY: &str = "wJalrXUtnFEMI-canary";

/// Runs end within the patience of the suite, and not within that of a look or two.
fn world() -> World {
    World { runs: Runs { run_ms: Some(300_000), ..Runs::default() }, ..World::default() }
}

/// Worlds that promise different things.
fn worlds() -> Vec<(&'static str, World)> {
    vec![
        ("as it comes", world()),
        ("without deduplication", World { deduplicates: false, ..world() }),
        ("lists lag for two minutes", World { list_lag_ms: 120_000, ..world() }),
        (
            "lists do not lag, calls are slow",
            World { list_lag_ms: 0, latency_ms: Span { min: 500, max: 4_000 }, ..world() },
        ),
    ]
}

fn elsewhere(place: &Place) -> &'static str {
    if place.region == site().region { "plant-2" } else { "us-east-1" }
}

fn bench<'a>(
    provider: &'a dyn Provider,
    arrange: &'a dyn rhumb_api::conformance::Arrange,
    place: &'a Place,
) -> Bench<'a> {
    Bench {
        provider,
        arrange,
        place,
        elsewhere: elsewhere(place),
        patience: Patience::default(),
        secrets: &[CANARY],
        not_arranged: &[],
        first: 1 << 20,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn inside(world: &World, place: &Place) -> Report {
    let sim = InProcess::new(world.clone());
    let arrange = Inside { sim: sim.clone(), base: world.clone(), place: place.clone() };
    runtime().block_on(suite(&bench(&sim, &arrange, place)))
}

#[test]
fn the_simulated_cloud_passes_in_process() {
    for place in [place(), site()] {
        for (name, world) in worlds() {
            let report = inside(&world, &place);
            assert!(report.passed(), "{} {name}\n{report}", place.cloud);
        }
    }
}

async fn remote(world: &World, place: &Place) -> Report {
    let speed = 20_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(serve(listener, world.clone(), Clock::Real { speed }));
    let client = Client::connect(&url).await.unwrap();
    let control = client.control();
    let arrange = Remote { control, base: world.clone(), place: place.clone(), speed };
    let report = suite(&bench(&client, &arrange, place)).await;
    server.abort();
    report
}

#[test]
fn the_simulated_cloud_passes_over_http() {
    for place in [place(), site()] {
        for (name, world) in worlds() {
            let report = runtime().block_on(remote(&world, &place));
            assert!(report.passed(), "{} {name}\n{report}", place.cloud);
        }
    }
}
