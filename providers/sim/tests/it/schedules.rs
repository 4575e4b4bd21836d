//! Fleets that follow a schedule, beside a naive count of their machines.

use rhumb_api::{Attr, Attributes, Call, ErrorKind, Handle, Observed, Order, ResourceKind, Status};
use rhumb_sim::{Event, Moment, Span, Stock, World};

use crate::bench::{Bench, place};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const WEEK_MINUTES: usize = 7 * 24 * 60;
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// On which days, from Monday on, at which minute of the day, how many machines.
type Entries = &'static [(&'static [usize], u32, i64)];

const EVERY_DAY: &[usize] = &[];
const WORKING: &[usize] = &[0, 1, 2, 3, 4];
const OFFICE: Entries = &[
    (WORKING, 5 * 60 + 55, 4),
    (WORKING, 8 * 60, 9),
    (WORKING, 17 * 60 + 30, 4),
    (WORKING, 20 * 60, 0),
    (&[5], 9 * 60, 2),
    (&[5], 13 * 60, 0),
];
const DAILY: Entries = &[(EVERY_DAY, 0, 3), (EVERY_DAY, 6 * 60, 7), (EVERY_DAY, 23 * 60, 1)];

fn following(entries: Entries, zone: &str) -> Vec<(&'static str, Attr)> {
    let entry = |(days, minute, count): &(&[usize], u32, i64)| {
        let mut entry = Attributes::default();
        entry.insert("at_s", Attr::Int(i64::from(minute * 60)));
        entry.insert("count", Attr::Int(*count));
        if !days.is_empty() {
            entry.insert("days", Attr::List(days.iter().map(|day| Attr::from(DAYS[*day])).collect()));
        }
        Attr::Map(entry)
    };
    vec![
        ("count", Attr::Int(9)),
        ("min_count", Attr::Int(0)),
        ("max_count", Attr::Int(9)),
        ("schedule", Attr::List(entries.iter().map(entry).collect())),
        ("time_zone", Attr::from(zone)),
    ]
}

/// Machines in each minute of a local week, by going through two of them minute by minute.
fn week(entries: Entries) -> Vec<u64> {
    let mut week = vec![0; WEEK_MINUTES];
    let mut there = 0;
    for minute in 0..2 * WEEK_MINUTES {
        let (day, of_day) = (minute / 1_440 % 7, minute % 1_440);
        for (days, at, count) in entries {
            if (days.is_empty() || days.contains(&day)) && *at as usize == of_day {
                there = *count as u64;
            }
        }
        week[minute % WEEK_MINUTES] = there;
    }
    week
}

/// Milliseconds of machines in so many minutes that begin at a full one after Monday, 0:00 UTC, where the local clock is ahead by `ahead` minutes.
fn naive(entries: Entries, from: u64, minutes: u64, ahead: impl Fn(u64) -> i64) -> u64 {
    let week = week(entries);
    let there = |minute: u64| {
        let local = minute as i64 + ahead(minute);
        week[local.rem_euclid(WEEK_MINUTES as i64) as usize]
    };
    (from..from + minutes).map(there).sum::<u64>() * MINUTE_MS
}

fn fleet(bench: &mut Bench, attributes: &[(&'static str, Attr)]) -> Observed {
    let order = bench.with(ResourceKind::Fleet, attributes);
    bench.make(order)
}

/// At the next full hour; its number.
fn to_the_hour(bench: &mut Bench) -> u64 {
    bench.wait(HOUR_MS - bench.now % HOUR_MS);
    bench.now / HOUR_MS
}

fn ground(world: World) -> Bench {
    let mut bench = Bench::new(world);
    bench.before(ResourceKind::Fleet);
    bench
}

/// Milliseconds of machines that are billed in so many hours from the next full one on, and that hour.
fn billed(world: World, attributes: &[(&'static str, Attr)], hours: u64) -> (u64, u64) {
    let mut bench = ground(world);
    fleet(&mut bench, attributes);
    let from = to_the_hour(&mut bench);
    let before = bench.cloud.bill(bench.now).machine_ms;
    let after = bench.cloud.bill(bench.now + hours * HOUR_MS).machine_ms;
    (after - before, from)
}

#[test]
fn a_week_is_billed_by_the_hours_of_its_schedule() {
    for (entries, zone, ahead) in [
        (OFFICE, "Europe/Berlin", 60),
        (OFFICE, "America/New_York", -300),
        (DAILY, "Asia/Kolkata", 330),
        (DAILY, "UTC", 0),
    ] {
        let (ms, from) = billed(World::default(), &following(entries, zone), 168);
        assert_eq!(ms, naive(entries, from * 60, 168 * 60, |_| ahead), "{zone}");
    }
    // Berlin's clock goes forward in the night to Sunday, 29 March, at 1:00 UTC.
    let begins = Moment::parse("2026-03-23T00:00:00Z").unwrap();
    let (ms, from) = billed(World { begins, ..World::default() }, &following(DAILY, "Europe/Berlin"), 160);
    let summer = |minute| if minute < (6 * 24 + 1) * 60 { 60 } else { 120 };
    assert_eq!(ms, naive(DAILY, from * 60, 160 * 60, summer));
    assert_ne!(ms, naive(DAILY, from * 60, 160 * 60, |_| 60), "an hour less of the night");
}

/// The count sees a cloud that keeps what it started with, one that goes by another clock, and one a minute late.
#[test]
fn a_cloud_that_does_not_keep_to_the_schedule_is_seen() {
    let obeyed = |attributes: &[(&'static str, Attr)]| {
        let (ms, from) = billed(World::default(), attributes, 168);
        ms == naive(OFFICE, from * 60, 168 * 60, |_| 60)
    };
    assert!(obeyed(&following(OFFICE, "Europe/Berlin")));
    let mut ignored = following(OFFICE, "Europe/Berlin");
    ignored.retain(|(name, _)| *name == "count");
    assert!(!obeyed(&ignored));
    // Over a week another clock comes to the same, over a day not.
    let day = |zone| {
        let (ms, from) = billed(World::default(), &following(OFFICE, zone), 10);
        ms == naive(OFFICE, from * 60, 600, |_| 60)
    };
    assert!(day("Europe/Berlin") && !day("UTC"));
    const LATE: Entries = &[(WORKING, 5 * 60 + 56, 4), (WORKING, 8 * 60, 9), (WORKING, 17 * 60 + 30, 4)];
    assert!(!obeyed(&following(LATE, "Europe/Berlin")));
}

fn seen(bench: &mut Bench, handle: &Handle) -> (Attr, Option<u32>, Option<u32>, Status) {
    let seen = bench.one(Call::Read(handle.clone())).unwrap();
    (seen.attributes["count"].clone(), seen.running, seen.healthy, seen.status)
}

#[test]
fn the_count_is_shown_as_it_was_moved_and_new_machines_load_first() {
    let warm_ms = Span { min: 300_000, max: 300_000 };
    let mut bench = ground(World { warm_ms, ..World::default() });
    let made = fleet(&mut bench, &following(DAILY, "UTC"));
    assert_eq!((&made.attributes["count"], made.running), (&Attr::Int(3), Some(3)));
    bench.wait(6 * HOUR_MS - bench.now);
    assert_eq!(seen(&mut bench, &made.handle), (Attr::Int(7), Some(7), Some(3), Status::Ready));
    bench.wait(300_000);
    assert_eq!(seen(&mut bench, &made.handle), (Attr::Int(7), Some(7), Some(7), Status::Ready));
    bench.wait(23 * HOUR_MS - bench.now);
    assert_eq!(seen(&mut bench, &made.handle), (Attr::Int(1), Some(1), Some(1), Status::Ready));
    // What was ordered is there: the same again changes nothing, and another label leaves the machines alone.
    let same = bench.with(ResourceKind::Fleet, &following(DAILY, "UTC"));
    let again = bench.one(Call::Update(made.handle.clone(), same)).unwrap();
    assert_eq!((again.status, again.running), (Status::Ready, Some(1)));
    let mut other = following(DAILY, "UTC");
    other.push(("labels", Attr::Map([("team".to_owned(), Attr::from("other"))].into())));
    let other = bench.with(ResourceKind::Fleet, &other);
    bench.one(Call::Update(made.handle.clone(), other));
    let settled = bench.settled(&made.handle).unwrap();
    assert_eq!((&settled.attributes["count"], settled.running), (&Attr::Int(1), Some(1)));
    bench.wait(2 * HOUR_MS);
    assert_eq!(seen(&mut bench, &made.handle).1, Some(3), "it goes on to follow it");
}

fn stock(machines: u32) -> Vec<Stock> {
    let place = place();
    let (cloud, region, instance_type) = (place.cloud, place.region, place.instance_type);
    vec![Stock { cloud, region, instance_type, spot: false, machines: Some(machines) }]
}

fn more(bench: &mut Bench, count: i64) -> Order {
    bench.with(ResourceKind::Fleet, &[("count", Attr::Int(count))])
}

#[test]
fn what_is_not_there_is_tried_for_again_and_what_goes_is_given_back() {
    let mut bench = ground(World { stock: stock(9), ..World::default() });
    // Room is asked for what it may grow to, whatever it has now.
    let other = more(&mut bench, 1);
    let other = bench.make(other);
    let order = bench.with(ResourceKind::Fleet, &following(DAILY, "UTC"));
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Capacity);
    bench.remove(&other.handle);
    let made = fleet(&mut bench, &following(DAILY, "UTC"));
    let other = more(&mut bench, 5);
    let other = bench.make(other);
    bench.wait(6 * HOUR_MS - bench.now);
    assert_eq!(seen(&mut bench, &made.handle), (Attr::Int(7), Some(4), Some(4), Status::Ready));
    bench.remove(&other.handle);
    bench.wait(130_000);
    assert_eq!(seen(&mut bench, &made.handle).1, Some(7));
    bench.wait(23 * HOUR_MS - bench.now);
    let rest = more(&mut bench, 8);
    bench.make(rest);
}

#[test]
fn a_hand_moves_it_until_the_next_entry_and_another_schedule_at_once() {
    let mut bench = ground(World::default());
    let made = fleet(&mut bench, &following(DAILY, "UTC"));
    bench.cloud.set_attribute(&made.handle, "count", Some(Attr::Int(5))).unwrap();
    bench.wait(HOUR_MS);
    assert_eq!(seen(&mut bench, &made.handle), (Attr::Int(5), Some(5), Some(5), Status::Ready));
    bench.wait(6 * HOUR_MS - bench.now);
    assert_eq!(seen(&mut bench, &made.handle).1, Some(7));
    let of = |entries, name| {
        let all = following(entries, "America/New_York");
        all.into_iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    };
    // 1:00 in New York, where the daily one has 3.
    bench.cloud.set_attribute(&made.handle, "time_zone", of(DAILY, "time_zone")).unwrap();
    assert_eq!(seen(&mut bench, &made.handle).1, Some(3));
    bench.cloud.set_attribute(&made.handle, "schedule", of(OFFICE, "schedule")).unwrap();
    assert_eq!(seen(&mut bench, &made.handle).1, Some(0));
    bench.cloud.set_attribute(&made.handle, "schedule", None).unwrap();
    bench.wait(24 * HOUR_MS);
    assert_eq!(seen(&mut bench, &made.handle).1, Some(0), "nobody moves it any more");
    // An order of what was leads back.
    let order = bench.with(ResourceKind::Fleet, &following(DAILY, "UTC"));
    bench.one(Call::Update(made.handle.clone(), order));
    assert_eq!(bench.settled(&made.handle).unwrap().running, Some(7));
    let begins = Moment::parse("2026-01-05T17:00:00Z").unwrap();
    let world = World { begins, ..bench.cloud.world().clone() };
    bench.cloud.set_world(world);
    assert_eq!(seen(&mut bench, &made.handle).1, Some(1));
}

#[test]
fn machines_that_cannot_be_followed_are_refused_and_how_often_time_is_told_does_not_matter() {
    let mut bench = ground(World::default());
    for (name, value) in [
        ("time_zone", Attr::from("Europe/Berlim")),
        ("schedule", Attr::from("0 8 * * *")),
        ("max_count", Attr::Int(8)),
        ("min_count", Attr::Int(1)),
    ] {
        let mut attributes = following(OFFICE, "UTC");
        attributes.push((name, value));
        let order = bench.with(ResourceKind::Fleet, &attributes);
        assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid, "{name}");
    }
    let log = |step: u64| {
        let mut bench = ground(World { stock: stock(9), ..World::default() });
        fleet(&mut bench, &following(OFFICE, "Europe/Berlin"));
        let until = 100 * HOUR_MS;
        while bench.now < until {
            bench.wait(step.min(until - bench.now));
        }
        assert!(bench.events(|event| *event == Event::Machines(9)) >= 4);
        serde_json::to_string(bench.cloud.log()).unwrap()
    };
    assert_eq!(log(7 * MINUTE_MS), log(100 * HOUR_MS));
}
