//! Many worlds, each from a seed: whatever goes wrong, the next apply finds it and nothing is lost, left or there twice.

use std::collections::BTreeMap;

use rhumb::plan::Desired as Wanted;
use rhumb::state::State;
use rhumb_api::{ErrorKind, Handle};
use rhumb_sim::{Faults, World};

use super::deployment::{Region, run};
use super::world::{Death, End, Plan, Theatre};
use crate::extent::pick;

/// Seeds that once failed; each is run whatever the sample.
const ONCE_FAILED: &[u64] = &[
    2444, 4018, 8466, 14072, 15188, 22962, 24768, 28810, 29412, 31865, 32174, 32366, 35665, 41183, 54315,
    56052, 56583, 56896, 59165, 62293, 63389, 68873, 72633, 73825, 76764, 77988, 83049, 84350, 96571, 32,
];

/// A small source of chance that is the same everywhere (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A world in which calls go wrong by chance.
pub fn world(dice: &mut Dice) -> World {
    let ppm = |dice: &mut Dice| if dice.one_in(2) { 0 } else { dice.below(150_000) as u32 };
    let kinds = [ErrorKind::Throttled, ErrorKind::Conflict, ErrorKind::Capacity, ErrorKind::Quota];
    let mut errors_ppm = BTreeMap::new();
    for kind in kinds {
        if dice.one_in(3) {
            errors_ppm.insert(kind, dice.below(80_000) as u32);
        }
    }
    let deduplicates = dice.one_in(2);
    let duplicated = ppm(dice);
    let faults = Faults {
        request_lost_ppm: ppm(dice),
        reply_lost_ppm: ppm(dice),
        request_late_ppm: ppm(dice),
        // Where a token is nothing, an adapter must see to it that a request arrives once.
        request_duplicated_ppm: if deduplicates { duplicated } else { 0 },
        errors_ppm,
        fails_later_ppm: if dice.one_in(3) { dice.below(60_000) as u32 } else { 0 },
        ..Faults::default()
    };
    World {
        seed: dice.next(),
        deduplicates,
        list_lag_ms: dice.below(20_000),
        call_lag_ms: 30_000 + dice.below(60_000),
        faults,
        ..World::default()
    }
}

fn wanted(dice: &mut Dice) -> Wanted {
    let mut all = Wanted::new();
    for (workload, region) in
        [("services.chat", "eu-west-1"), ("services.chat", "us-east-1"), ("services.a", "eu-west-1")]
    {
        if dice.one_in(3) {
            continue;
        }
        let mut here = Region::new(workload, region);
        here.pools.clear();
        for instance_type in ["g6e.xlarge", "p5.48xlarge"] {
            if dice.one_in(2) {
                here.pools.insert(instance_type.into(), (1 + dice.below(4) as i64, dice.below(3) as u32));
            }
        }
        here.range = 64 + dice.below(2) as u8;
        here.share = 500_000 * (1 + dice.below(2) as i64);
        all.extend(here.wanted());
    }
    if dice.one_in(3) {
        all.extend(run("nightly", "a2-highgpu-1g", 2));
    }
    all
}

/// One history: several changes of mind, each with deaths, interruptions and a failing disk; then peace.
pub fn history(seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let mut theatre = Theatre::new(world(&mut dice));
    theatre.options.parallel = 1 + dice.below(8) as usize;
    let mut plans: Vec<Plan> = Vec::new();
    let mut last = Wanted::new();
    for round in 0..1 + dice.below(3) {
        last = wanted(&mut dice);
        // Who plans knows what became of everything; what was left open is settled first, however often that dies.
        settled(&mut theatre, &mut dice);
        let state: Option<&State> = (theatre.durable.serial > 0).then_some(&theatre.durable);
        let plan = Plan::new(&format!("plan {round}"), state, &last);
        for _ in 0..dice.below(4) {
            theatre.interrupt_at = dice.one_in(3).then(|| dice.below(120));
            theatre.disk_fails_at = dice.one_in(4).then(|| dice.below(200));
            let death = dice.one_in(2).then(|| Death { at: dice.below(200), after: dice.one_in(2) });
            if let End::Finished(summary) = theatre.apply(&plan, death)
                && summary.complete()
            {
                break;
            }
            theatre.now += dice.below(90_000);
        }
        theatre.interrupt_at = None;
        theatre.disk_fails_at = None;
        plans.push(plan);
    }
    // From here on nothing goes wrong any more.
    let mut calm = theatre.cloud.world().clone();
    calm.faults = Faults::default();
    theatre.cloud.set_world(calm);
    settled(&mut theatre, &mut Dice::new(0));
    if let Err(why) = done(&mut theatre, &mut plans, &last) {
        return vec![why];
    }
    theatre.rest();
    let mut wrong = theatre.faults(&last);
    wrong.extend(theatre.made_twice());
    let second = Plan::new("again", Some(&theatre.durable), &last);
    let more = second.changes.iter().filter(|c| c.action != rhumb::plan::Action::Keep);
    wrong.extend(more.map(|c| format!("the second plan is not empty: {:?} {}", c.action, c.addr)));
    let plans: Vec<&Plan> = plans.iter().collect();
    wrong.extend(theatre.unplanned(&plans));
    wrong
}

/// Finds out what became of everything, however often whoever looks dies.
pub fn settled(theatre: &mut Theatre, dice: &mut Dice) {
    for times in 0..200 {
        if theatre.durable.open.is_empty() {
            return;
        }
        let death =
            (times < 3 && dice.one_in(4)).then(|| Death { at: dice.below(20), after: dice.one_in(2) });
        theatre.settle(death);
    }
}

/// Plans and applies until nothing is left to do.
pub fn done(theatre: &mut Theatre, plans: &mut Vec<Plan>, wanted: &Wanted) -> Result<(), String> {
    let mut last = String::new();
    for times in 0..6 {
        let state = (theatre.durable.serial > 0).then_some(&theatre.durable);
        let plan = Plan::new(&format!("the last, {times}"), state, wanted);
        plans.push(plan.clone());
        match theatre.apply(&plan, None) {
            End::Finished(summary) if summary.complete() => return Ok(()),
            end => last = format!("it does not end: {end:?}"),
        }
    }
    Err(last)
}

#[test]
fn whatever_goes_wrong_nothing_is_lost() {
    // More than CI takes: RHUMB_SEEDS=100000.
    let most =
        std::env::var("RHUMB_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(pick(200, 3_000, 3_000));
    let mut failed = Vec::new();
    let only = std::env::var("RHUMB_SEED").ok().and_then(|n| n.parse::<u64>().ok());
    let seeds =
        ONCE_FAILED.iter().copied().chain(0..most).filter(|seed| only.is_none_or(|only| only == *seed));
    for seed in seeds {
        let wrong = history(seed);
        if !wrong.is_empty() {
            failed.push((seed, wrong));
        }
    }
    let first: Vec<_> = failed.iter().take(40).collect();
    assert!(failed.is_empty(), "{} seeds, the first of them: {first:#?}", failed.len());
}

/// The checks see what they are there for.
#[test]
fn planted_faults_are_found() {
    let wanted = Region::new("services.chat", "eu-west-1").wanted();
    let end = || {
        let mut theatre = Theatre::new(World { seed: 3, ..World::default() });
        let plan = Plan::new("first", None, &wanted);
        theatre.converge(&plan);
        (theatre, plan)
    };
    let found = |theatre: &Theatre, what: &str| {
        let wrong = theatre.faults(&wanted);
        assert!(wrong.iter().any(|w| w.contains(what)), "{what}: {wrong:?}");
    };
    let fleet = |theatre: &Theatre| -> Handle {
        let of = theatre.durable.resources.iter().find(|(addr, _)| addr.as_str().ends_with("on_demand"));
        of.expect("a fleet").1.handle().expect("an id")
    };
    let (mut theatre, _) = end();
    let there = fleet(&theatre);
    theatre.cloud.vanish(&there).expect("it is there");
    found(&theatre, "forgotten");
    let (mut theatre, _) = end();
    let mut seen = theatre.cloud.inventory().pop().expect("something");
    seen.handle.id.push('2');
    theatre.cloud.plant(seen).expect("planted");
    found(&theatre, "leaked");
    assert!(!theatre.made_twice().is_empty());
    let (mut theatre, _) = end();
    let there = fleet(&theatre);
    theatre.cloud.set_attribute(&there, "count", Some(7.into())).expect("it is there");
    found(&theatre, "not as it was wanted");
    let (mut theatre, _) = end();
    theatre.history.pop();
    found(&theatre, "the history does not lead");
    let (theatre, plan) = end();
    let mut less = plan.clone();
    less.changes.pop();
    assert!(theatre.unplanned(&[&plan]).is_empty() && theatre.unplanned(&[&less]).len() == 1);
    let (mut theatre, _) = end();
    let gone = theatre.durable.resources.pop_last();
    found(&theatre, "was not made");
    assert!(gone.is_some());
}

/// An engine that sends before it has recorded loses what it made: the checks are red on it.
#[test]
fn without_the_record_before_the_call_things_leak() {
    let wanted = Region::new("services.chat", "eu-west-1").wanted();
    let plan = Plan::new("first", None, &wanted);
    let mut leaked = 0;
    for at in 0..60 {
        let mut theatre = Theatre::new(World { seed: 3, ..World::default() });
        theatre.forgets = true;
        if let End::Finished(_) = theatre.apply(&plan, Some(Death { at, after: true })) {
            break;
        }
        theatre.forgets = false;
        theatre.rest();
        theatre.converge(&plan);
        theatre.rest();
        leaked += usize::from(theatre.faults(&wanted).iter().any(|w| w.contains("leaked")));
    }
    assert!(leaked > 5, "{leaked}");
}
