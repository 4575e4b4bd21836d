//! Ctrl-C while a cloud refuses for now: what certainly had no effect has failed, and nobody sends it later.

use rhumb::apply::Summary;
use rhumb::plan::Desired;
use rhumb_api::{ErrorKind, ProviderError, ResourceKind};
use rhumb_sim::{Event, Rule, Verb, What, World};

use super::deployment::Region;
use super::world::{End, Plan, Theatre};

fn refuses(verb: Verb, kind: ErrorKind) -> World {
    let what = What::Error(ProviderError::new(kind, "not now"));
    let rule = Rule {
        verb: Some(verb),
        kind: Some(ResourceKind::Fleet),
        address: None,
        nth: None,
        times: None,
        what,
    };
    World { rules: vec![rule], ..quiet() }
}

fn quiet() -> World {
    World { seed: 8, ..World::default() }
}

/// From what to what, and what the cloud does not do for now.
fn stories() -> Vec<(Verb, Desired, Desired)> {
    let small = Region::new("services.chat", "eu-west-1");
    let mut grown = small.clone();
    grown.pools.insert("g6e.xlarge".into(), (4, 1));
    vec![
        (Verb::Create, Desired::new(), small.wanted()),
        (Verb::Update, small.wanted(), grown.wanted()),
        (Verb::Delete, small.wanted(), Desired::new()),
    ]
}

fn sent(theatre: &Theatre, verb: Verb) -> usize {
    let of = |entry: &&rhumb_sim::Entry| entry.event == Event::Sent && entry.verb == Some(verb);
    theatre.cloud.log().iter().filter(of).count()
}

fn at_work(before: &Desired, after: &Desired, world: World) -> (Theatre, Plan) {
    let mut theatre = Theatre::new(quiet());
    if !before.is_empty() {
        theatre.converge(&Plan::new("first", None, before));
        theatre.rest();
    }
    theatre.cloud.set_world(world);
    let state = (theatre.durable.serial > 0).then_some(&theatre.durable);
    let plan = Plan::new("second", state, after);
    (theatre, plan)
}

/// How often the refused call was sent when it was asked to end; none if it had not been sent by then.
fn stopped(
    verb: Verb,
    before: &Desired,
    after: &Desired,
    kind: ErrorKind,
    at: u64,
) -> Option<(Theatre, Plan, Summary)> {
    let (mut theatre, plan) = at_work(before, after, refuses(verb, kind));
    let mark = theatre.cloud.log().len();
    theatre.interrupt_at = Some(at);
    let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("nobody killed it") };
    theatre.interrupt_at = None;
    let refused = theatre.cloud.log()[mark..].iter().any(|entry| {
        entry.verb == Some(verb) && matches!(&entry.event, Event::Answered(Some(of)) if *of == kind)
    });
    refused.then_some((theatre, plan, summary))
}

#[test]
fn what_was_refused_when_it_was_asked_to_end_is_not_sent_later() {
    for (verb, before, after) in stories() {
        for kind in [ErrorKind::Throttled, ErrorKind::Conflict] {
            let mut points = 0;
            for at in (0..200).step_by(3) {
                let Some((mut theatre, plan, summary)) = stopped(verb, &before, &after, kind, at) else {
                    continue;
                };
                points += 1;
                let what = format!("{verb:?} {kind:?} at {at}: {summary:?}");
                assert!(summary.left.is_empty() && !summary.failed.is_empty(), "{what}");
                assert!(theatre.durable.open.is_empty(), "{what}: {:?}", theatre.durable.open);
                // Whoever only looks does nothing of it, though the cloud would by now.
                theatre.cloud.set_world(quiet());
                let before_it = sent(&theatre, verb);
                let End::Finished(_) = theatre.settle(None) else { panic!("nobody killed it") };
                assert_eq!(sent(&theatre, verb), before_it, "{what}");
                // The same plan goes on.
                theatre.converge(&plan);
                theatre.rest();
                assert_eq!(theatre.faults(&after), Vec::<String>::new(), "{what}");
                assert_eq!(theatre.made_twice(), Vec::<String>::new(), "{what}");
                let first = Plan::new("first", None, &before);
                assert_eq!(theatre.unplanned(&[&first, &plan]), Vec::<String>::new(), "{what}");
                assert!(Plan::new("again", Some(&theatre.durable), &after).order.is_empty(), "{what}");
            }
            assert!(points > 5, "{verb:?} {kind:?}: {points}");
        }
    }
}

/// What may have had an effect is still looked for: its reply was lost before it was refused.
#[test]
fn what_may_have_happened_stays_open() {
    let mut open = 0;
    for at in (0..200).step_by(3) {
        let (_, before, after) = stories().remove(0);
        let rule = |times, what| Rule {
            verb: Some(Verb::Create),
            kind: Some(ResourceKind::Fleet),
            address: None,
            nth: None,
            times,
            what,
        };
        let refused = What::Error(ProviderError::new(ErrorKind::Throttled, "not now"));
        let rules = vec![rule(Some(1), What::DropRequest), rule(None, refused)];
        let (mut theatre, plan) = at_work(&before, &after, World { rules, deduplicates: false, ..quiet() });
        theatre.interrupt_at = Some(at);
        let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("nobody killed it") };
        theatre.interrupt_at = None;
        let refused = Event::Answered(Some(ErrorKind::Throttled));
        if theatre.cloud.log().iter().any(|entry| entry.event == refused) {
            open += 1;
            assert!(summary.left.len() == 1 && theatre.durable.open.len() == 1, "{at}: {summary:?}");
        }
        theatre.cloud.set_world(quiet());
        theatre.converge(&plan);
        assert_eq!(theatre.faults(&after), Vec::<String>::new(), "{at}");
    }
    assert!(open > 3, "{open}");
}
