//! Each way in which a call goes wrong.

use std::collections::BTreeMap;

use rhumb_api::{Call, ErrorKind, Order, ProviderError, ResourceKind, Status};
use rhumb_sim::{CallNo, Event, Faults, Rule, SimCloud, Verb, What, When, World};

use crate::bench::Bench;

fn rule(what: What) -> Rule {
    Rule { nth: None, verb: Some(Verb::Create), kind: None, address: None, times: Some(1), what }
}

fn with(what: What) -> Bench {
    Bench::new(World { rules: vec![rule(what)], ..World::default() })
}

fn made(bench: &Bench) -> usize {
    bench.events(|event| *event == Event::Made)
}

fn create(bench: &mut Bench) -> (Order, ErrorKind) {
    let order = bench.order(ResourceKind::Network);
    let kind = bench.error(Call::Create(order.clone()));
    (order, kind)
}

#[test]
fn an_error_has_no_effect() {
    for kind in ErrorKind::ALL {
        let mut bench = with(What::Error(ProviderError::new(kind, "by appointment")));
        assert_eq!(create(&mut bench).1, kind);
        assert_eq!(made(&bench), 0);
    }
}

#[test]
fn a_lost_request_has_none_either_and_nobody_knows() {
    let mut bench = with(What::DropRequest);
    let (order, kind) = create(&mut bench);
    assert_eq!((kind, bench.now), (ErrorKind::UnknownOutcome, 30_000));
    assert_eq!(made(&bench), 0);
    bench.make(order);
}

#[test]
fn a_lost_reply_had_its_effect() {
    let mut bench = with(What::DropReply);
    let (order, kind) = create(&mut bench);
    assert_eq!((kind, bench.now), (ErrorKind::UnknownOutcome, 30_000));
    assert_eq!(made(&bench), 1);
    assert_eq!(bench.list(Some(order.tags.token.clone())).len(), 1);
    bench.make(order);
    assert_eq!(made(&bench), 1);
}

#[test]
fn a_late_request_has_its_effect_after_its_caller_gave_up() {
    let mut bench = with(What::Delay(45_000));
    let (order, kind) = create(&mut bench);
    assert_eq!(kind, ErrorKind::UnknownOutcome);
    assert_eq!(made(&bench), 0);
    bench.wait(20_000);
    assert_eq!(made(&bench), 1);
    bench.make(order);
    assert_eq!(made(&bench), 1);
    let mut bench = with(What::Delay(5_000));
    let order = bench.order(ResourceKind::Network);
    assert!(bench.one(Call::Create(order)).is_some(), "late, and in time");
}

#[test]
fn a_duplicated_request_arrives_twice() {
    for deduplicates in [true, false] {
        let world = World { deduplicates, rules: vec![rule(What::Duplicate)], ..World::default() };
        let mut bench = Bench::new(world);
        let order = bench.order(ResourceKind::Network);
        bench.make(order);
        assert_eq!(made(&bench), if deduplicates { 1 } else { 2 });
    }
}

#[test]
fn a_late_reply_had_its_effect_and_comes_in_time_or_to_nobody() {
    let mut bench = with(What::DelayReply(45_000));
    let (order, kind) = create(&mut bench);
    assert_eq!((kind, bench.now, made(&bench)), (ErrorKind::UnknownOutcome, 30_000, 1));
    bench.wait(60_000);
    assert_eq!(bench.events(|event| matches!(event, Event::Answered(_))), 1);
    bench.make(order);
    assert_eq!(made(&bench), 1);
    let mut bench = with(What::DelayReply(5_000));
    let order = bench.order(ResourceKind::Network);
    assert!(bench.one(Call::Create(order)).is_some(), "late, and in time");
    assert!((5_000..5_200).contains(&bench.now), "{}", bench.now);
}

#[test]
fn a_doubled_reply_comes_twice_to_who_waits_for_it() {
    let mut bench = with(What::DuplicateReply);
    let order = bench.order(ResourceKind::Network);
    let number = bench.cloud.submit(0, Call::Create(order.clone()));
    let answers = bench.cloud.advance(1_000);
    assert_eq!((answers.len(), made(&bench)), (2, 1));
    assert!(answers.iter().all(|(n, answer)| *n == number && *answer == answers[0].1 && answer.is_ok()));
    assert_eq!(bench.events(|event| *event == Event::AnsweredAgain), 1);
    // One that has its answer, or has gone before, gets no second one; nor does one that gave up.
    let rule = |times| Rule { times: Some(times), ..rule(What::DuplicateReply) };
    bench.cloud.set_rules(vec![rule(2)]);
    for answered in [true, false] {
        let number = bench.cloud.submit(bench.now.max(bench.cloud.now_ms()), Call::Create(order.clone()));
        while answered && bench.cloud.advance(bench.cloud.next_ms().unwrap()).is_empty() {}
        bench.cloud.abandon(number);
        assert!(bench.cloud.advance(bench.cloud.now_ms() + 60_000).is_empty());
    }
    let world = World { timeout_ms: 5, rules: vec![rule(1)], ..World::default() };
    bench.cloud.set_world(world);
    let started = bench.cloud.now_ms();
    bench.cloud.submit(started, Call::Create(order));
    let answers = bench.cloud.advance(started + 1_000);
    assert!(matches!(&answers[..], [(_, Err(error))] if error.kind == ErrorKind::UnknownOutcome));
    assert_eq!(bench.events(|event| *event == Event::AnsweredAgain), 1);
}

#[test]
fn rules_count_the_calls_that_match() {
    let mut third = rule(What::DropRequest);
    third.nth = Some(3);
    third.kind = Some(ResourceKind::Network);
    let mut bench = Bench::new(World { rules: vec![third.clone()], ..World::default() });
    bench.sample(ResourceKind::Network);
    bench.sample(ResourceKind::Firewall);
    assert_eq!(made(&bench), 3, "a second network came with the firewall");
    assert_eq!(create(&mut bench).1, ErrorKind::UnknownOutcome);
    bench.sample(ResourceKind::Network);
    third.nth = None;
    third.address = Some(bench.order(ResourceKind::Fleet).tags.address);
    bench.cloud.set_rules(vec![third]);
    bench.sample(ResourceKind::Network);
}

#[test]
fn a_call_is_held_before_its_effect_or_after_it() {
    for (what, when, effects) in [(What::HoldBefore, When::Before, 0), (What::HoldAfter, When::After, 1)] {
        let mut bench = with(what);
        let order = bench.order(ResourceKind::Network);
        let number = bench.cloud.submit(0, Call::Create(order.clone()));
        bench.wait(600_000);
        let held = bench.cloud.held();
        assert_eq!((held.len(), held[0].number, held[0].when), (1, number, when));
        assert_eq!(held[0].call, Call::Create(order.clone()));
        assert_eq!(made(&bench), effects);
        assert!(bench.cloud.release(number));
        assert!(!bench.cloud.release(number));
        let answers = bench.cloud.advance(bench.now + 1_000);
        assert_eq!(answers.len(), 1);
        assert!(answers[0].1.is_ok());
        assert_eq!(made(&bench), 1);
    }
}

#[test]
fn who_goes_away_gets_no_answer() {
    for (what, effects) in [(What::HoldBefore, 0), (What::HoldAfter, 1), (What::Delay(1_000), 1)] {
        let mut bench = with(what);
        let order = bench.order(ResourceKind::Network);
        let number = bench.cloud.submit(0, Call::Create(order));
        bench.now += 500;
        assert!(bench.cloud.advance(bench.now).is_empty());
        bench.cloud.abandon(number);
        bench.wait(100_000);
        assert!(bench.cloud.held().is_empty());
        assert!(!bench.cloud.release(number));
        assert_eq!(made(&bench), effects);
    }
}

/// Sends many creates and counts what became of them.
fn many(faults: Faults) -> (SimCloud, BTreeMap<Option<ErrorKind>, usize>) {
    let mut bench = Bench::new(World { seed: 5, faults, ..World::default() });
    for n in 0..2_000 {
        let order = bench.order(ResourceKind::Network);
        bench.cloud.submit(n * 10, Call::Create(order));
    }
    let mut kinds = BTreeMap::new();
    for (_, answer) in bench.cloud.advance(1_000_000) {
        *kinds.entry(answer.err().map(|error| error.kind)).or_default() += 1;
    }
    (bench.cloud, kinds)
}

fn effects(cloud: &SimCloud) -> usize {
    cloud.log().iter().filter(|entry| entry.event == Event::Made).count()
}

#[test]
fn faults_by_chance_are_as_frequent_as_said() {
    let tenth = 100_000;
    let about_200 = |n: usize| (150..250).contains(&n);
    let (cloud, kinds) = many(Faults { request_lost_ppm: tenth, ..Faults::default() });
    assert!(about_200(kinds[&Some(ErrorKind::UnknownOutcome)]), "{kinds:?}");
    assert_eq!(effects(&cloud), kinds[&None]);
    let (cloud, kinds) = many(Faults { reply_lost_ppm: tenth, ..Faults::default() });
    assert!(about_200(kinds[&Some(ErrorKind::UnknownOutcome)]), "{kinds:?}");
    assert_eq!(effects(&cloud), 2_000);
    let (cloud, kinds) = many(Faults { request_late_ppm: tenth, ..Faults::default() });
    assert!((50..150).contains(&kinds[&Some(ErrorKind::UnknownOutcome)]), "{kinds:?}");
    assert_eq!(effects(&cloud), 2_000);
    let (cloud, kinds) = many(Faults { request_duplicated_ppm: tenth, ..Faults::default() });
    assert_eq!((effects(&cloud), kinds[&None]), (2_000, 2_000));
    let twice = cloud.log().iter().filter(|entry| entry.event == Event::Unchanged).count();
    assert!(about_200(twice), "{twice}");
    let (cloud, kinds) = many(Faults { reply_late_ppm: tenth, ..Faults::default() });
    assert!((50..150).contains(&kinds[&Some(ErrorKind::UnknownOutcome)]), "{kinds:?}");
    assert_eq!(effects(&cloud), 2_000);
    let (cloud, kinds) = many(Faults { reply_duplicated_ppm: tenth, ..Faults::default() });
    let again = cloud.log().iter().filter(|entry| entry.event == Event::AnsweredAgain).count();
    assert!(about_200(again) && kinds[&None] == 2_000 + again, "{kinds:?}");
    assert_eq!(effects(&cloud), 2_000);
    let (cloud, kinds) = many(Faults { fails_later_ppm: tenth, ..Faults::default() });
    let failed = cloud.inventory().into_iter().filter(|seen| matches!(seen.status, Status::Failed(_)));
    assert!(about_200(failed.count()));
    assert_eq!(kinds[&None], 2_000);
    let errors_ppm = BTreeMap::from([(ErrorKind::Throttled, tenth), (ErrorKind::Denied, tenth)]);
    let (cloud, kinds) = many(Faults { errors_ppm, ..Faults::default() });
    assert!(about_200(kinds[&Some(ErrorKind::Throttled)]) && about_200(kinds[&Some(ErrorKind::Denied)]));
    assert_eq!(effects(&cloud), kinds[&None]);
}

#[test]
fn late_requests_keep_the_promise_about_them() {
    let faults = Faults { request_late_ppm: 1_000_000, ..Faults::default() };
    let (cloud, _) = many(faults);
    let mut sent: BTreeMap<CallNo, u64> = BTreeMap::new();
    let mut latest = 0;
    for entry in cloud.log() {
        let Some(call) = entry.call else { continue };
        match entry.event {
            Event::Sent => drop(sent.insert(call, entry.at_ms)),
            Event::Made => latest = latest.max(entry.at_ms - sent[&call]),
            _ => {}
        }
    }
    assert!(latest <= cloud.guarantees().call_lag_ms && latest > 50_000, "{latest}");
}

/// A reply that is on its way when its caller gives up is late, and none is on its way for longer than is promised.
#[test]
fn late_replies_arrive_at_any_time() {
    let faults = Faults { reply_late_ppm: 1_000_000, ..Faults::default() };
    let (cloud, _) = many(faults.clone());
    let mut sent: BTreeMap<CallNo, u64> = BTreeMap::new();
    let mut lags = Vec::new();
    for entry in cloud.log() {
        let Some(call) = entry.call else { continue };
        match &entry.event {
            Event::Sent => drop(sent.insert(call, entry.at_ms)),
            Event::Fault(What::DelayReply(ms)) => lags.push(*ms),
            Event::Made => assert!(entry.at_ms - sent[&call] <= 50, "the request is not late"),
            _ => {}
        }
    }
    let (most, least) = (lags.iter().max().unwrap(), lags.iter().min().unwrap());
    assert!(lags.len() == 2_000 && *most < 60_000 && *most > 59_000 && *least < 1_000, "{least} {most}");
}

#[test]
fn replies_overtake_each_other() {
    let mut bench = Bench::new(World::default());
    for _ in 0..50 {
        let order = bench.order(ResourceKind::Network);
        bench.cloud.submit(0, Call::Create(order));
    }
    let order: Vec<CallNo> = bench.cloud.advance(1_000).into_iter().map(|(n, _)| n).collect();
    assert!(!order.is_sorted());
}

/// What a seed decided before there were late and doubled replies it decides still: seeds that once failed are kept by number.
#[test]
fn a_seed_goes_on_deciding_what_it_decided() {
    let faults = Faults {
        request_lost_ppm: 50_000,
        reply_lost_ppm: 50_000,
        request_late_ppm: 50_000,
        request_duplicated_ppm: 50_000,
        errors_ppm: BTreeMap::from([(ErrorKind::Throttled, 50_000), (ErrorKind::Capacity, 50_000)]),
        fails_later_ppm: 50_000,
        ..Faults::default()
    };
    let (cloud, _) = many(faults);
    // FNV-1a, 64 bits.
    let text = serde_json::to_string(cloud.log()).unwrap();
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    assert_eq!(sum, 5_026_081_073_820_676_436, "of a log of {} bytes", text.len());
}
