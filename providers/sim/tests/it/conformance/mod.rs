//! The simulated cloud passes what every adapter has to pass, and adapters that break a law do not.

mod ahead;
mod arrange;
mod broken;
mod instead;
mod twist;

use rhumb_api::Provider;
use rhumb_api::conformance::{Bench, Check, Patience, Place, Report, Trouble, ask, checks, suite};
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
    let arrange = Inside { sim: sim.clone(), base: world.clone(), place: place.clone(), cannot: None };
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
    // The wire has a latency of its own.
    let quick = |world| World { latency_ms: Span { min: 0, max: 0 }, ..world };
    let of_clouds = worlds().into_iter().take(3).map(|(name, world)| (name, quick(world), place()));
    // They wait most of the time.
    std::thread::scope(|scope| {
        for (name, world, place) in of_clouds.chain([("at a site", quick(world()), site())]) {
            scope.spawn(move || {
                let report = runtime().block_on(remote(&world, &place));
                assert!(report.passed(), "{} {name}\n{report}", place.cloud);
            });
        }
    });
}

/// A fault for every check, and more where there are several ways to break it, with the check that sees it and a part
/// of what that says: a check that fails on its way to its own question has seen nothing.
const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::MisplacesHandles, "create.handle", "eu-west-1x was made"),
    (Fault::TagsWithTheParent, "create.tags", "the answer to the create of a network has tags"),
    (Fault::DropsAnAttribute, "create.attributes", "`labels` of"),
    (Fault::AddsAnAttribute, "create.attributes", "Some(\"arn\"), which was not ordered"),
    (Fault::NeverReady, "create.ready", "stays Some(Pending)"),
    (Fault::CountsOneMachineMore, "create.machines", "runs Some(3) machines"),
    (
        Fault::SaysNothingOfHealth,
        "create.healthy",
        "says that None machines are healthy, and has a health check",
    ),
    (Fault::NeverHealthy, "create.healthy", "Some(0) stay healthy"),
    (Fault::HealthierThanItRuns, "create.healthy", "machines are healthy and"),
    (Fault::RollsAllAtOnce, "update.rolling", "serves with 0, at least 2 were ordered"),
    (Fault::RollsBesideAll, "update.rolling", "has 4 machines, at most 3 were ordered"),
    (Fault::HasNoAddress, "create.address", "says that its address is None"),
    (Fault::ListsHaveNoAddress, "create.address", "a list says of"),
    (Fault::GivesOneId, "create.ids_differ", "was made twice"),
    (Fault::GivesIdsAgain, "create.ids_are_not_reused", "was gone and is there again"),
    (Fault::UnknownReadIsNotFound, "read.unknown", "was answered with not_found"),
    (Fault::ReadsAreLists, "reply.one", "was answered with a list of 0"),
    (Fault::UpdatesAreLists, "reply.one", "update of network"),
    (Fault::DeletesAreLists, "reply.one", "delete of network"),
    (Fault::ListsAreThings, "reply.many", "was answered with nothing"),
    (Fault::EmptyListIsNotFound, "reply.many", "was answered with not_found"),
    (Fault::IgnoresTokens, "repeat.create", "a repeated create of a network has tags"),
    (Fault::HidesTheRepeated, "repeat.create", "and there are {}"),
    (
        Fault::IgnoresTokensWhilePending,
        "repeat.while_pending",
        "a token of a network that was used was answered with",
    ),
    (
        Fault::ChangedOrderMakesASecond,
        "repeat.changed_order",
        "a token of a network that was used was answered with",
    ),
    (
        Fault::ForgetsTokensOfTheGone,
        "repeat.after_delete",
        "a token of a network that was used was answered with",
    ),
    (Fault::UpdatesNothing, "update.attributes", "`labels` of"),
    (Fault::UpdateKeepsWhatWasDropped, "update.attributes", "\"environment_sha256\"), which was not ordered"),
    (Fault::UpdateReplacesTags, "update.tags", "after an update"),
    (Fault::UpdateKeepsTheAddress, "update.address", "renamed by an update"),
    (Fault::SameUpdateIsInvalid, "update.again", "no changes to be made"),
    (Fault::UpdatesByAddress, "update.alone", "`labels` of"),
    (Fault::UpdateOfTheMissingIsInvalid, "update.missing", "invalid: there is no"),
    (Fault::UpdateOfTheMissingIsNothing, "update.missing", "nothing, not not_found"),
    (
        Fault::UpdatesWhatIsOthers,
        "take.refused",
        "update of network net-00000001 in aws/eu-west-1 was answered with",
    ),
    (Fault::TakesOverInWordsAlone, "take.others", "taken over by"),
    (Fault::TagsTheUntagged, "take.untagged", "has no tags, and is shown with"),
    (Fault::OneThingPerAddress, "replace.beside", "a second network of the address is the first"),
    (Fault::DeletesByAddress, "replace.removal", "is gone"),
    (Fault::DeletesNothing, "delete.gone", "was removed and is Some(Ready)"),
    (Fault::DeletingIsReady, "delete.tells", "is being removed and is shown as"),
    (Fault::SecondDeleteIsNotFound, "delete.again", "was answered with not_found"),
    (Fault::DeletesUnderOthers, "delete.stood_on", "nothing, not conflict"),
    (Fault::ConflictIsForEver, "delete.afterwards", "conflict: something stands on it"),
    (Fault::RunsNeverEnd, "run.completes", "does not end by itself"),
    (Fault::RunsDoNotWait, "run.after", "has machines before"),
    (Fault::CompleteKeepsMachines, "run.completes", "is complete and runs Some(1)"),
    (Fault::CompleteVanishes, "run.stays", "was complete and is gone"),
    (Fault::FailedIsReady, "failed.told", "failed for capacity and is Ready"),
    (Fault::FailedOfSomethingElse, "failed.told", "failed for capacity and is Failed"),
    (Fault::FailedIsNotListed, "failed.stays", "there are 0 things of one intent, not 1"),
    (Fault::FailedStaysFailed, "failed.again", "invalid: it has failed"),
    (Fault::FailedUpdateIsReady, "failed.again", "failed and it is Ready"),
    (Fault::ListsHaveNetworksAlone, "list.complete", "a list lacks firewall"),
    (Fault::ListsAreEmpty, "list.complete", "a list lacks network"),
    (Fault::PromisesNoListLag, "list.complete", "a list lacks"),
    (Fault::ListsIgnoreTokens, "list.token", "the token of network"),
    (Fault::ListsIgnoreLineages, "list.lineage", "the lineage of network"),
    (Fault::ListsIgnoreRegions, "list.region", "a list of eu-west-1 has"),
    (Fault::ReadsIgnoreRegions, "list.region", "is in us-east-1 as well"),
    (Fault::ListsKeepTheGone, "list.forgets", "a list still has"),
    (Fault::ListsLackAttributes, "list.as_read", "attributes: {}"),
    (Fault::ListsAreUnordered, "list.order", "not in the order of handles"),
    (Fault::ListsRepeat, "list.order", "not in the order of handles"),
    (Fault::CapacityIsQuota, "error.capacity", "not capacity"),
    (Fault::CapacityMakesIt, "error.capacity", "there are 1 things of one intent, not 0"),
    (Fault::QuotaIsCapacity, "error.quota", "not quota"),
    (Fault::ThrottledIsDenied, "error.throttled", "not throttled"),
    (Fault::ThrottledMakesIt, "error.throttled", "there are 1 things of one intent, not 0"),
    (Fault::KeepsAdviceToItself, "error.advice", "the error says None"),
    (Fault::DeniedIsNotFound, "error.denied", "not denied"),
    (Fault::DeniedDeletes, "error.denied", "is gone"),
    (Fault::DeniedReadIsNothing, "error.denied_look", "nothing, not denied"),
    (Fault::DeniedListIsEmpty, "error.denied_look", "a list of 0, not denied"),
    (Fault::ConflictIsInvalid, "error.conflict", "invalid: by appointment, not conflict"),
    (Fault::MakesWithoutNeeds, "invalid.needs", "(Ready), not invalid"),
    (Fault::InvalidUpdateChanges, "invalid.update", "`labels` of"),
    (Fault::UnknownIsCapacity, "unknown.happened", "not unknown_outcome"),
    (Fault::UnknownIsPending, "unknown.did_not", "nothing, not unknown_outcome"),
    (Fault::SendsAgainByItself, "unknown.did_not", "there are 1 things of one intent, not 0"),
    (Fault::LateCopiesMakeASecond, "unknown.sent_again", "there are 2 things of one intent, not 1"),
    (Fault::PromisesNoCallLag, "unknown.late_update", "`labels` of"),
    (Fault::PromisesNoCallLag, "unknown.late", "made 0 things by its token"),
    (Fault::UnknownChangeIsConflict, "unknown.update", "not unknown_outcome"),
    (Fault::LostDeleteIsGone, "unknown.delete", "nothing, not unknown_outcome"),
    (Fault::LostReadIsNothing, "unknown.look", "nothing, not unknown_outcome"),
    (Fault::LostListIsEmpty, "unknown.look", "a list of 0, not unknown_outcome"),
    (Fault::AnswersForNoCloud, "can.clouds", "it answers for []"),
    (Fault::CanNothing, "can.deploys", "this build deploys nothing"),
    (Fault::CanEverything, "can.refuses", "it says that it can deploy a network with an unknown attribute"),
    (Fault::CannotAndDoesNotSayWhy, "can.refuses", "and does not say why"),
    (Fault::AnswersForNoCloud, "can.table", "on aws, for which it does not answer"),
    (Fault::TableIsEmpty, "can.table", "it makes a network, and its table says: no adapter"),
    (
        Fault::TableIsNarrower,
        "can.table",
        "and its table: no adapter of this build can deploy engine `unheard-of`",
    ),
    (Fault::CanEverything, "can.table", "it says that it can deploy a network on site"),
    (Fault::LeavesOutTheUnknown, "can.invalid", "a network with an unknown attribute: create"),
    (Fault::MakesWithoutSecrets, "invalid.secret", "(Pending), not invalid"),
    (Fault::PreflightRefusesAll, "preflight.passes", "a sample of every kind is refused"),
    (Fault::PreflightSaysHalf, "preflight.complete", "nothing is said of {Offering}"),
    (Fault::PreflightMakesIt, "preflight.makes_nothing", "there were 4 things, and there are 10"),
    (Fault::PreflightTakesCredentials, "preflight.credentials", "is let pass, by credentials"),
    (Fault::PreflightGrantsAll, "preflight.permission", "a Create of a network that is denied is let pass"),
    (Fault::PreflightOffersAll, "preflight.invalid", "a network with an unknown attribute is let pass"),
    (Fault::PreflightOffersAll, "preflight.offering", "of a type that there is not is let pass"),
    (Fault::PreflightCountsEachAlone, "preflight.quota", "by itself and not together is let pass"),
    (
        Fault::PreflightCountsTheReplacedAsGone,
        "preflight.replaced",
        "that does not fit beside the old one is let pass",
    ),
    (Fault::PreflightKnowsNoOrder, "preflight.replaced", "for which the old one goes first is refused"),
    (Fault::PreflightKnowsNoSecrets, "preflight.secret", "a secret that is not there is let pass"),
    (Fault::PreflightPromisesMachines, "preflight.capacity", "it says [Ok]"),
    (Fault::PreflightFailsForMachines, "preflight.capacity", "it says [Failed]"),
    (Fault::UnansweredPreflightPasses, "preflight.unanswered", "an answer with 0 findings"),
    (Fault::TellsSecrets, "says.no_secrets", "a secret is in the answer to the create of a"),
];

/// What one check says of an adapter with a fault.
fn seen(world: &World, fault: Fault, check: &str) -> Option<String> {
    let place = place();
    let sim = InProcess::new(world.clone());
    let broken = Broken::new(sim.clone(), fault);
    let arrange = Inside { sim, base: world.clone(), place: place.clone(), cannot: None };
    let asked: Vec<Check> = checks().into_iter().filter(|asked| asked.name == check).collect();
    assert_eq!(asked.len(), 1, "{check}");
    let patience = Patience { looks: 16, ..Patience::default() };
    let report = runtime().block_on(ask(&Bench { patience, ..bench(&broken, &arrange, &place) }, &asked));
    report.failures().into_iter().next().map(|(_, why)| why)
}

#[test]
fn every_check_is_red_on_a_planted_fault() {
    let world = World { runs: Runs { run_ms: Some(60_000), ..Runs::default() }, ..World::default() };
    let mut faults = Vec::new();
    for (fault, check, words) in FAULTS {
        match seen(&world, *fault, check) {
            None => faults.push(format!("{check} passes an adapter with {fault:?}")),
            Some(why) if !why.contains(words) => faults.push(format!("{check} with {fault:?} says: {why}")),
            Some(_) => {}
        }
    }
    for check in checks() {
        if !FAULTS.iter().any(|(_, of, _)| *of == check.name) {
            faults.push(format!("no fault shows {} red", check.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_is_made_twice_without_deduplication_has_to_be_found() {
    let world = World { deduplicates: false, ..world() };
    let why = seen(&world, Fault::HidesTheRepeated, "repeat.create");
    assert!(why.as_ref().is_some_and(|why| why.contains("creates were answered with")), "{why:?}");
}

#[test]
fn a_double_that_cannot_do_something_is_excused_by_name_alone() {
    let (world, place) = (world(), place());
    let sim = InProcess::new(world.clone());
    let cannot = Some(Trouble::Quota);
    let arrange = Inside { sim: sim.clone(), base: world, place: place.clone(), cannot };
    // Three times in one account.
    let with = |run: u64, not_arranged: &[&str]| {
        let bench = Bench { not_arranged, first: run << 20, ..bench(&sim, &arrange, &place) };
        runtime().block_on(suite(&bench))
    };
    let names = |report: &Report| -> Vec<String> {
        report.failures().iter().map(|(name, _)| (*name).to_owned()).collect()
    };
    assert_eq!(names(&with(1, &[])), ["error.quota"]);
    let excused = with(2, &["error.quota"]);
    assert!(excused.passed(), "{excused}");
    assert!(excused.to_string().ends_with(" 0 failed, 1 not arranged"), "{excused}");
    assert_eq!(
        names(&with(3, &["error.quota", "error.denied", "error.quotas"])),
        ["error.denied", "error.quotas"]
    );
}
