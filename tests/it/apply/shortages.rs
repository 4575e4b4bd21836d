//! Many worlds, each from a seed, in which there is too little of something: machines, quota, calls, machines that serve already.
//!
//! A service stands. A plan changes it while calls go wrong as in [`super::seeds`] and whoever applies it dies: what is refused is made
//! up for as the plan says, what serves goes on serving, and once there is enough again nothing is lost, left or there twice.

use std::collections::BTreeMap;

use rhumb::plan::{Change, Desired, Dip, Rollout, Standby};
use rhumb::state::{Record, State};
use rhumb_api::{Cloud, ErrorKind, Money, ResourceAddr};
use rhumb_sim::{Event, Faults, Interruptions, Quota, Rate, Span, Stock, World};

use super::deployment::Region;
use super::seeds::{self, Dice};
use super::world::{Death, End, Plan, Theatre};
use crate::diff::between;

/// Seeds that once failed; each is run whatever the sample.
const ONCE_FAILED: &[u64] = &[];

const WORKLOAD: &str = "services.chat";
const OWN: &str = "g6e.xlarge";
const NEW: &str = "p5.48xlarge";
/// What may stand in, in the order in which it does.
const OTHERS: [&str; 2] = ["g5.12xlarge", "p4d.24xlarge"];

/// What a plan does to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    Type,
    Network,
    /// Its machines start something else: they are made anew where they are.
    Program,
    More,
    /// Another type or network, and no room for both.
    Dip,
    Spot,
}

const STORIES: [Story; 6] =
    [Story::Type, Story::Network, Story::Program, Story::More, Story::Dip, Story::Spot];

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    None,
    /// What serves goes before what takes its place does.
    IgnoresHealth,
    /// Something stands in that the plan does not have.
    NoStandbys,
    /// What is replaced goes first, and the plan does not say so.
    NoDips,
}

/// One pool in one region.
#[derive(Clone, Debug)]
struct Place {
    region: Region,
    spot: bool,
    rolling: bool,
}

impl Place {
    fn instance_type(&self) -> &str {
        self.region.pools.keys().next().expect("a pool")
    }

    fn count(&self) -> u32 {
        self.region.pools.values().map(|(count, _)| u32::try_from(*count).expect("few")).sum()
    }

    fn pool(&self) -> ResourceAddr {
        self.region.pool(self.instance_type())
    }

    fn fleet(&self) -> ResourceAddr {
        self.pool().child(if self.spot { "spot" } else { "on_demand" })
    }

    fn on(&self, instance_type: &str) -> Place {
        let size = *self.region.pools.values().next().expect("a pool");
        let region =
            Region { pools: BTreeMap::from([(instance_type.to_owned(), size)]), ..self.region.clone() };
        Place { region, ..self.clone() }
    }

    fn wanted(&self) -> Desired {
        let mut all = self.region.wanted();
        let on_demand = self.pool().child("on_demand");
        let (mut fleet, needs) = all.remove(&on_demand).expect("a fleet");
        if self.spot {
            fleet.attributes.insert("purchase", "spot".into());
        }
        if self.rolling {
            fleet.attributes.insert("max_surge", 1.into());
            fleet.attributes.insert("max_unavailable", 0.into());
        }
        all.insert(self.fleet(), (fleet, needs));
        all
    }

    fn stock(&self, machines: u32) -> Stock {
        let Region { cloud, region, .. } = self.region.clone();
        let (instance_type, spot) = (self.instance_type().to_owned(), self.spot);
        Stock { cloud, region, instance_type, spot, machines: Some(machines) }
    }
}

fn wanted(places: &[Place]) -> Desired {
    places.iter().flat_map(Place::wanted).collect()
}

fn standing(dice: &mut Dice) -> Vec<Place> {
    let regions = if dice.one_in(2) { &["eu-west-1"][..] } else { &["eu-west-1", "us-east-1"][..] };
    let rolling = dice.one_in(2);
    let place = |region: &&str| {
        let pools = BTreeMap::from([(OWN.to_owned(), (1 + dice.below(3) as i64, 1))]);
        let region = Region { pools, ..Region::new(WORKLOAD, region) };
        Place { region, spot: false, rolling }
    };
    regions.iter().map(place).collect()
}

fn changed(story: Story, place: &Place, dice: &mut Dice) -> Place {
    let mut place = place.clone();
    match story {
        Story::Type => return place.on(NEW),
        Story::Dip if dice.one_in(2) => return place.on(NEW),
        Story::Spot => return Place { spot: true, ..place.on(NEW) },
        Story::Network | Story::Dip => place.region.range = 65,
        Story::Program => place.region.pools.values_mut().for_each(|(_, version)| *version = 2),
        Story::More => {
            place.region.pools.values_mut().for_each(|(count, _)| *count += 1 + dice.below(2) as i64);
        }
    }
    place
}

/// There is too little of something: of what stands nothing is taken away.
fn short(world: &mut World, story: Story, before: &[Place], after: &[Place], dice: &mut Dice) {
    for (before, after) in before.iter().zip(after) {
        let same = (before.instance_type(), before.spot) == (after.instance_type(), after.spot);
        let held = if same { before.count() } else { 0 };
        if dice.one_in(2) {
            world.stock.push(after.stock(held + dice.below(after.count().into()) as u32));
        }
        for other in OTHERS {
            if dice.one_in(3) {
                let other = Place { spot: false, ..after.on(other) };
                world.stock.push(other.stock(0));
            }
        }
        let beside = match story {
            Story::Dip => Some(after.count().saturating_sub(before.count())),
            _ => dice.one_in(4).then(|| dice.below(2 * u64::from(after.count())) as u32),
        };
        world.quotas.extend(beside.map(|beside| Quota {
            cloud: before.region.cloud,
            region: before.region.region.clone(),
            type_prefix: None,
            spot: None,
            machines: before.count() + beside,
        }));
    }
    // Replies that come when nobody waits any more, and twice.
    for ppm in [&mut world.faults.reply_late_ppm, &mut world.faults.reply_duplicated_ppm] {
        *ppm = if dice.one_in(2) { 0 } else { dice.below(100_000) as u32 };
    }
    if dice.one_in(3) {
        let rate = Rate { per_second: 2 + dice.below(8) as u32, burst: 1 + dice.below(10) as u32 };
        world.calls.insert(Cloud::Aws, rate);
    }
    if story == Story::Spot && dice.one_in(2) {
        world.spot = Interruptions { per_hour_ppm: 600_000, ..Interruptions::default() };
    }
}

/// What may stand in for a pool, against what exists.
fn standbys(state: &State, plan: &Plan, places: &[Place], at: usize) -> Vec<Standby> {
    let own = &places[at];
    let on_demand = own.spot.then(|| Place { spot: false, ..own.clone() });
    let others = OTHERS.map(|other| Place { spot: false, ..own.on(other) });
    let same = |a: &Change, b: &Change| {
        (&a.addr, a.action, &a.after, &a.depends_on) == (&b.addr, b.action, &b.after, &b.depends_on)
    };
    let standby = |other: Place| {
        let mut all = places.to_vec();
        all[at] = other.clone();
        let with = wanted(&all);
        let mut changes = between(Some(state), &with).changes;
        changes.retain(|change| !plan.changes.iter().any(|planned| same(planned, change)));
        let made = plan.changes.iter().filter(|change| change.after.is_some());
        let without = made.filter(|change| !with.contains_key(&change.addr));
        Standby {
            pool: own.pool(),
            by: other.pool(),
            spot: other.spot,
            more_per_month: Money::from_micros(1),
            without: without.map(|change| change.addr.clone()).collect(),
            changes,
            artifacts: Vec::new(),
        }
    };
    on_demand.into_iter().chain(others).map(standby).collect()
}

fn rollout(places: &[Place], dice: &mut Dice) -> Rollout {
    let place = |place: &Place| format!("{}/{}", place.region.cloud, place.region.region);
    let all: Vec<String> = places.iter().map(place).collect();
    Rollout {
        workload: WORKLOAD.to_owned(),
        // Now and then no machine serves in time.
        health_timeout_s: if dice.one_in(6) { 60 } else { 1_800 },
        roll_back: dice.one_in(3),
        waves: if dice.one_in(2) { vec![all] } else { all.into_iter().map(|place| vec![place]).collect() },
    }
}

fn dip(before: &Place, after: &Place) -> Dip {
    Dip {
        cloud: before.region.cloud,
        place: before.region.region.clone(),
        code: "L-1".into(),
        unit: "machines".into(),
        limit: f64::from(before.count()),
        needed: f64::from(before.count() + after.count()),
        first: vec![before.fleet()],
        then: vec![after.fleet()],
        machines: before.count(),
        left: 0,
    }
}

/// What was met: where it never is, nothing is proved.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    /// Something stood in.
    taken: usize,
    /// The plan was not done, for want of something.
    undone: usize,
    /// Calls came too fast.
    throttled: usize,
    /// Spot machines are taken away.
    taken_away: usize,
    /// It was watched how many machines serve, while some were made that take their time.
    watched: usize,
    waves: usize,
    dips: usize,
}

const HOUR_MS: u64 = 3_600_000;

fn rest(theatre: &mut Theatre) {
    // Where spot machines are lost something always happens next.
    theatre.now += 2 * HOUR_MS;
    theatre.cloud.advance(theatre.now);
}

/// One history; what was wrong.
fn history(seed: u64, plant: Plant, met: &mut Met) -> Vec<String> {
    let mut dice = Dice::new(seed ^ 0x5ca1_ab1e);
    let story = STORIES[dice.below(STORIES.len() as u64) as usize];
    let before = standing(&mut dice);
    let after: Vec<Place> = before.iter().map(|place| changed(story, place, &mut dice)).collect();
    let mut rough = seeds::world(&mut dice);
    rough.warm_ms = if dice.one_in(4) { Span { min: 0, max: 0 } } else { Span { min: 30_000, max: 600_000 } };
    // What fails after it was accepted, and what is taken away by the cloud, is no fault of who applies.
    let watched = !matches!(story, Story::Dip | Story::Spot) && !dice.one_in(4);
    if watched {
        rough.faults.fails_later_ppm = 0;
    }
    let calm = World { faults: Faults::default(), ..rough.clone() };
    short(&mut rough, story, &before, &after, &mut dice);

    let mut theatre = Theatre::new(calm.clone());
    theatre.options.parallel = 1 + dice.below(8) as usize;
    // Minutes pass until machines serve.
    theatre.options.poll_ms = 10_000;
    theatre.options.ignore_health = plant == Plant::IgnoresHealth;
    let first = Plan::new("first", None, &wanted(&before));
    theatre.converge(&first);
    rest(&mut theatre);
    let all = |places: &[Place]| places.iter().map(Place::count).sum::<u32>();
    assert_eq!(theatre.healthy(), all(&before), "seed {seed}: it stands");
    let promised = all(&before).min(all(&after));

    let wanted = wanted(&after);
    let mut plan = Plan::new("second", Some(&theatre.durable), &wanted);
    let others = (0..after.len()).flat_map(|at| standbys(&theatre.durable, &plan, &after, at));
    let others: Vec<Standby> = others.collect();
    plan.standbys = others;
    plan.rollouts.push(rollout(&after, &mut dice));
    if story == Story::Dip {
        plan.dips = before.iter().zip(&after).map(|(before, after)| dip(before, after)).collect();
    }
    theatre.cloud.set_world(rough.clone());
    let (mut wrong, mut complete) = (Vec::new(), false);
    for _ in 0..1 + dice.below(4) {
        theatre.interrupt_at = dice.one_in(4).then(|| dice.below(200));
        theatre.disk_fails_at = dice.one_in(5).then(|| dice.below(300));
        let death = dice.one_in(2).then(|| Death { at: dice.below(300), after: dice.one_in(2) });
        theatre.least_healthy = watched.then_some(u32::MAX);
        let end = theatre.apply(&plan, death);
        if let Some(least) = theatre.least_healthy.take().filter(|least| *least < promised) {
            wrong.push(format!("{least} machines served, and {promised} were promised"));
        }
        complete = matches!(end, End::Finished(summary) if summary.complete());
        if complete {
            break;
        }
        theatre.now += dice.below(90_000);
    }
    theatre.interrupt_at = None;
    theatre.disk_fails_at = None;

    // From here on there is enough of everything.
    theatre.cloud.set_world(calm);
    seeds::settled(&mut theatre, &mut Dice::new(0));
    let mut plans = vec![first, plan];
    if let Err(why) = seeds::done(&mut theatre, &mut plans, &wanted) {
        wrong.push(why);
        return wrong;
    }
    rest(&mut theatre);
    wrong.extend(theatre.faults(&wanted));
    wrong.extend(theatre.made_twice());
    let again = Plan::new("again", Some(&theatre.durable), &wanted);
    wrong.extend(again.order.iter().map(|addr| format!("the next plan is not empty: {addr}")));
    match plant {
        Plant::NoStandbys => plans[1].standbys.clear(),
        Plant::NoDips => plans[1].dips.clear(),
        Plant::None | Plant::IgnoresHealth => {}
    }
    wrong.extend(theatre.unplanned(&plans.iter().collect::<Vec<_>>()));

    let log = theatre.cloud.log();
    let throttled = Event::Answered(Some(ErrorKind::Throttled));
    met.taken += usize::from(theatre.history.iter().any(|record| matches!(record, Record::Took(_))));
    met.undone += usize::from(!complete);
    met.throttled += usize::from(!rough.calls.is_empty() && log.iter().any(|entry| entry.event == throttled));
    met.taken_away += usize::from(rough.spot.per_hour_ppm > 0);
    met.watched += usize::from(watched && rough.warm_ms.max > 0);
    met.waves += usize::from(plans[1].rollouts[0].waves.len() > 1);
    met.dips += usize::from(story == Story::Dip);
    wrong
}

#[test]
fn whatever_there_is_too_little_of_nothing_is_lost() {
    // More than CI takes: RHUMB_SHORTAGES=20000; one of them: RHUMB_SHORTAGE=17.
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().expect("a number"));
    let most = number("RHUMB_SHORTAGES").unwrap_or(300);
    let only = number("RHUMB_SHORTAGE");
    let (mut failed, mut met, mut tried) = (Vec::new(), Met::default(), 0);
    for seed in ONCE_FAILED.iter().copied().chain(0..most).filter(|seed| only.is_none_or(|o| o == *seed)) {
        tried += 1;
        let wrong = history(seed, Plant::None, &mut met);
        if !wrong.is_empty() {
            failed.push((seed, wrong));
        }
    }
    let first: Vec<_> = failed.iter().take(20).collect();
    assert!(failed.is_empty(), "{} seeds, the first of them: {first:#?}", failed.len());
    println!("{tried} seeds: {met:?}");
    let Met { taken, undone, throttled, taken_away, watched, waves, dips } = met;
    let enough = taken > 60 && undone > 30 && throttled > 15 && watched > 60 && waves > 30;
    assert!(only.is_some() || (enough && dips > 20 && taken_away > 5), "{met:?}");
}

/// The checks see what they are there for.
#[test]
fn planted_shortages_are_found() {
    let found = |plant: Plant, what: &str| {
        let mut met = Met::default();
        let seen = |seed: &u64| history(*seed, plant, &mut met).iter().any(|wrong| wrong.contains(what));
        (0..100).filter(seen).count()
    };
    let served = "were promised";
    assert_eq!(found(Plant::None, served), 0);
    let seen = found(Plant::IgnoresHealth, served);
    assert!(seen > 3, "{seen}");
    let seen = found(Plant::NoStandbys, "the plan does not have it");
    assert!(seen > 10, "{seen}");
    let seen = found(Plant::NoDips, "on_demand: the plan says Replace");
    assert!(seen > 0, "{seen}");
}
