//! The simulated cloud passes what every adapter has to pass, and adapters that break a law do not.

mod arrange;
mod broken;
mod twist;

use rhumb_api::Provider;
use rhumb_api::conformance::{Bench, Patience, Place, Report, checks, suite};
use rhumb_sim::server::{Clock, serve};
use rhumb_sim::{Client, InProcess, Runs, Span, World};
use tokio::net::TcpListener;

use crate::bench::{place, site};
use arrange::{Inside, Remote};
use broken::{Broken, Fault};

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
        for (name, world) in worlds().into_iter().take(3) {
            // The wire has a latency of its own.
            let world = World { latency_ms: Span { min: 0, max: 0 }, ..world };
            let report = runtime().block_on(remote(&world, &place));
            assert!(report.passed(), "{} {name}\n{report}", place.cloud);
        }
    }
}

/// A fault for every check, and more where there are several ways to break it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::MisplacesHandles, "create.handle"),
    (Fault::TagsWithTheParent, "create.tags"),
    (Fault::DropsAnAttribute, "create.attributes"),
    (Fault::AddsAnAttribute, "create.attributes"),
    (Fault::NeverReady, "create.ready"),
    (Fault::CountsOneMachineMore, "create.machines"),
    (Fault::GivesOneId, "create.ids_differ"),
    (Fault::GivesIdsAgain, "create.ids_are_not_reused"),
    (Fault::UnknownReadIsNotFound, "read.unknown"),
    (Fault::ReadsAreLists, "reply.one"),
    (Fault::DeletesAreLists, "reply.one"),
    (Fault::ListsAreThings, "reply.many"),
    (Fault::EmptyListIsNotFound, "reply.many"),
    (Fault::IgnoresTokens, "repeat.create"),
    (Fault::HidesTheRepeated, "repeat.create"),
    (Fault::IgnoresTokensWhilePending, "repeat.while_pending"),
    (Fault::ChangedOrderMakesASecond, "repeat.changed_order"),
    (Fault::ForgetsTokensOfTheGone, "repeat.after_delete"),
    (Fault::UpdatesNothing, "update.attributes"),
    (Fault::UpdateKeepsWhatWasDropped, "update.attributes"),
    (Fault::UpdateReplacesTags, "update.tags"),
    (Fault::SameUpdateIsInvalid, "update.again"),
    (Fault::UpdatesByAddress, "update.alone"),
    (Fault::UpdateOfTheMissingIsInvalid, "update.missing"),
    (Fault::UpdateOfTheMissingIsNothing, "update.missing"),
    (Fault::OneThingPerAddress, "replace.beside"),
    (Fault::DeletesByAddress, "replace.removal"),
    (Fault::DeletesNothing, "delete.gone"),
    (Fault::DeletingIsReady, "delete.tells"),
    (Fault::SecondDeleteIsNotFound, "delete.again"),
    (Fault::DeletesUnderOthers, "delete.stood_on"),
    (Fault::ConflictIsForEver, "delete.afterwards"),
    (Fault::RunsNeverEnd, "run.completes"),
    (Fault::CompleteKeepsMachines, "run.completes"),
    (Fault::CompleteVanishes, "run.stays"),
    (Fault::FailedIsReady, "failed.told"),
    (Fault::FailedOfSomethingElse, "failed.told"),
    (Fault::FailedIsNotListed, "failed.stays"),
    (Fault::ListsLackTheNew, "list.complete"),
    (Fault::ListsKeepNothingBack, "list.complete"),
    (Fault::PromisesNoListLag, "list.complete"),
    (Fault::ListsIgnoreTokens, "list.token"),
    (Fault::ListsIgnoreLineages, "list.lineage"),
    (Fault::ListsIgnoreRegions, "list.region"),
    (Fault::ReadsIgnoreRegions, "list.region"),
    (Fault::ListsKeepTheGone, "list.forgets"),
    (Fault::ListsLackAttributes, "list.as_read"),
    (Fault::ListsAreUnordered, "list.order"),
    (Fault::ListsRepeat, "list.order"),
    (Fault::CapacityIsQuota, "error.capacity"),
    (Fault::CapacityMakesIt, "error.capacity"),
    (Fault::QuotaIsCapacity, "error.quota"),
    (Fault::ThrottledIsDenied, "error.throttled"),
    (Fault::ThrottledMakesIt, "error.throttled"),
    (Fault::KeepsAdviceToItself, "error.advice"),
    (Fault::DeniedIsNotFound, "error.denied"),
    (Fault::DeniedDeletes, "error.denied"),
    (Fault::DeniedReadIsNothing, "error.denied_look"),
    (Fault::DeniedListIsEmpty, "error.denied_look"),
    (Fault::ConflictIsInvalid, "error.conflict"),
    (Fault::MakesWithoutNeeds, "invalid.needs"),
    (Fault::InvalidUpdateChanges, "invalid.update"),
    (Fault::UnknownIsCapacity, "unknown.happened"),
    (Fault::UnknownIsPending, "unknown.did_not"),
    (Fault::SendsAgainByItself, "unknown.did_not"),
    (Fault::PromisesNoCallLag, "unknown.late"),
    (Fault::UnknownChangeIsConflict, "unknown.update"),
    (Fault::LostDeleteIsGone, "unknown.delete"),
    (Fault::LostReadIsNothing, "unknown.look"),
    (Fault::LostListIsEmpty, "unknown.look"),
    (Fault::AnswersForNoCloud, "can.clouds"),
    (Fault::CanNothing, "can.deploys"),
    (Fault::CanEverything, "can.refuses"),
    (Fault::CannotAndDoesNotSayWhy, "can.refuses"),
    (Fault::LeavesOutTheUnknown, "can.invalid"),
    (Fault::TellsSecrets, "says.no_secrets"),
];

#[test]
fn every_check_is_red_on_a_planted_fault() {
    let (world, place) = (world(), place());
    let mut faults = Vec::new();
    for (fault, check) in FAULTS {
        let sim = InProcess::new(world.clone());
        let broken = Broken::new(sim.clone(), *fault);
        let arrange = Inside { sim, base: world.clone(), place: place.clone() };
        let report = runtime().block_on(suite(&bench(&broken, &arrange, &place)));
        let red: Vec<&str> = report.failures().into_iter().map(|(name, _)| name).collect();
        println!("{fault:?}: {}", red.join(", "));
        if !red.contains(check) {
            faults.push(format!("{check} passes an adapter with {fault:?}; red are {red:?}"));
        }
    }
    for check in checks() {
        if !FAULTS.iter().any(|(_, of)| *of == check.name) {
            faults.push(format!("no fault shows {} red", check.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
