//! What a server is asked and what a world says, in words for who does both by hand.

use std::fmt::Write as _;

use rhumb_api::{Cloud, Purchase, ResourceKind};
use serde_json::Value;

use crate::inprocess::CLOUDS;
use crate::server::{ROUTES, Route};
use crate::world::World;

/// A key of a [`World`].
struct Key {
    /// Its name in the file, with a dot within an object.
    name: &'static str,
    /// Unit or form of its value.
    form: &'static str,
    what: &'static str,
}

const fn key(name: &'static str, form: &'static str, what: &'static str) -> Key {
    Key { name, form, what }
}

const KEYS: &[Key] = &[
    key("seed", "number", "where all chance comes from"),
    key(
        "begins",
        "RFC 3339",
        "what the time 0 is on the calendar, which schedules of fleets go by; it is a Monday",
    ),
    key("regions", "{cloud: [region]}", "regions of a cloud; one that is not listed has every region"),
    key("instance_types", "{cloud: [type]}", "the same of instance types"),
    key("deduplicates", "bool", "whether a create with a token that was seen before makes nothing new"),
    key("list_lag_ms", "ms", "how long a list does not show what was made, and shows what is gone"),
    key("call_lag_ms", "ms", "the longest time from sending a call to its effect"),
    key("timeout_ms", "ms", "when a call without reply is given up, counted from sending"),
    key("latency_ms", "ms, {min, max}", "the way of a request, and the way of a reply"),
    key(
        "durations",
        "{kind: {make, change, remove}}, each ms, {min, max}",
        "how long that takes; of a kind that is not listed 1000 to 3000, 500 to 1500 and 500 to 2000",
    ),
    key(
        "calls",
        "{cloud: {per_second, burst}}",
        "calls that a cloud takes; one that is not listed takes any number",
    ),
    key(
        "stock",
        "[{cloud, region, instance_type, spot, machines}]",
        "machines that there are, with those that you have; without a row, or without `machines`, plenty",
    ),
    key(
        "quotas",
        "[{cloud, region, type_prefix, spot, machines}]",
        "machines that the account may have; without `type_prefix` of all types, without `spot` of both",
    ),
    key(
        "denied",
        "[{cloud, kind, verb}]",
        "rights that are withheld: create, update, delete, read, list; what is left out is all; preflight by its name alone",
    ),
    key("expired", "[cloud]", "clouds whose credentials have expired"),
    key("secrets", "[reference]", "the secrets that exist, as orders name them; without it all do"),
    key(
        "prices",
        "[{cloud, region, instance_type, purchase, per_hour}], micro-dollars",
        "what a machine costs an hour; none has no price; `sim serve` takes the catalogue's for an empty list",
    ),
    key("faults.request_lost_ppm", "ppm", "the request never arrives"),
    key("faults.reply_lost_ppm", "ppm", "it has its effect, and the reply never arrives"),
    key("faults.request_late_ppm", "ppm", "the request arrives at any time up to call_lag_ms"),
    key("faults.request_duplicated_ppm", "ppm", "the request arrives twice"),
    key(
        "faults.errors_ppm",
        "{error: ppm}",
        "it is answered with capacity, quota, throttled, denied, conflict, not_found, invalid or unknown_outcome",
    ),
    key("faults.fails_later_ppm", "ppm", "what was accepted fails afterwards"),
    key(
        "faults.reply_late_ppm",
        "ppm",
        "it has its effect, and the reply arrives at any time up to call_lag_ms",
    ),
    key(
        "faults.reply_duplicated_ppm",
        "ppm",
        "the reply arrives twice; never over HTTP, where a request has one",
    ),
    key(
        "rules",
        "[{nth, verb, kind, address, times, what}]",
        "what goes wrong by appointment, from the nth matching call on, so many times; `what` is {\"error\": {kind, message}}, \
         drop_request, drop_reply, {\"delay\": ms}, duplicate, {\"delay_reply\": ms}, duplicate_reply, \
         {\"fail_later\": {kind, message}}, sick, hold_before or hold_after",
    ),
    key("runs.run_ms", "ms", "how long every run takes; without it, a part of its deadline"),
    key("runs.deadline_permille", "1/1000", "that part"),
    key(
        "runs.period_ms",
        "ms",
        "from start to start of a run with a schedule, whatever that says; the first starts when it is ready",
    ),
    key("spot.per_hour_ppm", "ppm", "probability that a spot machine is lost within an hour"),
    key(
        "spot.replace_ms",
        "ms",
        "until a lost machine is made up for, and between two tries for one that a schedule asks for",
    ),
    key("warm_ms", "ms, {min, max}", "from when machines run until they answer their health check"),
];

/// The default of a key in JSON; nothing of one that has nothing.
fn default_of(world: &Value, name: &str) -> String {
    match world.pointer(&format!("/{}", name.replace('.', "/"))) {
        None | Some(Value::Null) => String::new(),
        Some(value) if value.as_array().is_some_and(Vec::is_empty) => String::new(),
        Some(value) if value.as_object().is_some_and(serde_json::Map::is_empty) => String::new(),
        Some(value) => format!(" [{value}]"),
    }
}

/// Every key of a world: name, default, unit or form, and what it is; a line or two of text each.
pub fn of_worlds() -> String {
    let mut text =
        String::from("Keys (\"a.b\" is b of the object a), each with its default and its unit or form:\n");
    let world = serde_json::to_value(World::default()).unwrap_or_default();
    for Key { name, form, what } in KEYS {
        let _ = write!(text, "  {name}{}  ({form})\n      {what}\n", default_of(&world, name));
    }
    let list = |names: &[&str]| names.join(", ");
    let (clouds, kinds) = (CLOUDS.map(Cloud::as_str), ResourceKind::ALL.map(ResourceKind::as_str));
    let purchases: Vec<&str> =
        Purchase::ALL.into_iter().chain([Purchase::Held]).map(Purchase::as_str).collect();
    let _ = write!(
        text,
        "\nA cloud is one of {}; a kind is one of {}; a purchase is one of {}.\n",
        list(&clouds),
        list(&kinds),
        list(&purchases)
    );
    text
}

/// The world of [`World::default`], as the file that a world is read from.
pub fn default_world() -> String {
    serde_json::to_string_pretty(&World::default()).unwrap_or_default() + "\n"
}

/// An id and an attribute that a hand changes, in an example.
const DRIFT: &str = r#"{"handle": {"cloud": "aws", "region": "eu-west-1", "kind": "fleet", "id": "fleet-00000001"}, "name": "count", "value": 5}"#;

/// Every route of the server, a line each, and how drift is made by hand.
pub fn of_routes() -> String {
    in_words(ROUTES)
}

fn in_words(routes: &[Route]) -> String {
    let mut text = String::from(
        "Requests, in JSON; what is wrong with one is told as {\"error\": \"...\"} with a status of 4xx:\n",
    );
    for route in routes {
        let to = if route.body.is_empty() { "" } else { " -> " };
        let _ = writeln!(text, "  {:4} /v1{}  {}{to}{}", route.method, route.path, route.body, route.what);
    }
    let _ = write!(
        text,
        "\nDrift by hand, with a handle of the inventory:\n  curl -s $URL/v1/inventory\n  curl -s $URL/v1/set -d '{DRIFT}'\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rhumb_api::{ErrorKind, Money, ProviderError, ResourceAddr};

    use super::*;
    use crate::calendar::Moment;
    use crate::world::*;

    /// Everything in which something can go wrong with a call.
    fn whats() -> Vec<What> {
        let error = || ProviderError::new(ErrorKind::Capacity, "sold out");
        let all = vec![
            What::Error(error()),
            What::DropRequest,
            What::DropReply,
            What::Delay(1),
            What::Duplicate,
            What::DelayReply(1),
            What::DuplicateReply,
            What::FailLater(error()),
            What::Sick,
            What::HoldBefore,
            What::HoldAfter,
        ];
        // One that joins is missed here.
        all.iter().for_each(|what| match what {
            What::Error(_) | What::DropRequest | What::DropReply | What::Delay(_) | What::Duplicate => {}
            What::DelayReply(_) | What::DuplicateReply | What::FailLater(_) | What::Sick => {}
            What::HoldBefore | What::HoldAfter => {}
        });
        all
    }

    /// A world in which nothing is left out, so that a key that joins is missed here.
    fn whole() -> World {
        let (cloud, region, instance_type) = (Cloud::Aws, "eu-west-1".to_owned(), "m7i.xlarge".to_owned());
        let span = Span { min: 1, max: 2 };
        let rule = |what| Rule {
            nth: Some(1),
            verb: Some(Verb::Create),
            kind: Some(ResourceKind::Fleet),
            address: Some(ResourceAddr::parse("services.a").unwrap()),
            times: Some(1),
            what,
        };
        World {
            seed: 1,
            begins: Moment::MONDAY,
            regions: BTreeMap::from([(cloud, BTreeSet::from([region.clone()]))]),
            instance_types: BTreeMap::from([(cloud, BTreeSet::from([instance_type.clone()]))]),
            deduplicates: true,
            list_lag_ms: 1,
            call_lag_ms: 1,
            timeout_ms: 1,
            latency_ms: span,
            durations: BTreeMap::from([(
                ResourceKind::Fleet,
                Durations { make: span, change: span, remove: span },
            )]),
            calls: BTreeMap::from([(cloud, Rate { per_second: 1, burst: 1 })]),
            stock: vec![Stock {
                cloud,
                region: region.clone(),
                instance_type: instance_type.clone(),
                spot: true,
                machines: Some(1),
            }],
            quotas: vec![Quota {
                cloud,
                region: region.clone(),
                type_prefix: Some("m".to_owned()),
                spot: Some(true),
                machines: 1,
            }],
            denied: vec![Denial {
                cloud: Some(cloud),
                kind: Some(ResourceKind::Fleet),
                verb: Some(Verb::Create),
            }],
            expired: BTreeSet::from([cloud]),
            secrets: Some(BTreeSet::from(["env:A".to_owned()])),
            prices: vec![Price {
                cloud,
                region,
                instance_type,
                purchase: Purchase::Spot,
                per_hour: Money::from_micros(1),
            }],
            faults: Faults {
                request_lost_ppm: 1,
                reply_lost_ppm: 1,
                request_late_ppm: 1,
                request_duplicated_ppm: 1,
                errors_ppm: ErrorKind::ALL.into_iter().map(|kind| (kind, 1)).collect(),
                fails_later_ppm: 1,
                reply_late_ppm: 1,
                reply_duplicated_ppm: 1,
            },
            rules: whats().into_iter().map(rule).collect(),
            runs: Runs { run_ms: Some(1), deadline_permille: 1, period_ms: 1 },
            spot: Interruptions { per_hour_ppm: 1, replace_ms: 1 },
            warm_ms: span,
        }
    }

    /// The names of maps are names of clouds, kinds and regions; all others are keys.
    fn is_key(name: &str) -> bool {
        let clouds = Cloud::ALL.into_iter().chain([Cloud::Site]).map(Cloud::as_str);
        !clouds.chain(ResourceKind::ALL.map(ResourceKind::as_str)).any(|other| other == name)
    }

    /// Every name within a value that is no name of a map.
    fn names(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                into.extend(map.keys().filter(|name| is_key(name)).cloned());
                map.values().for_each(|value| names(value, into));
            }
            Value::Array(list) => list.iter().for_each(|value| names(value, into)),
            _ => {}
        }
    }

    /// What the table lacks of a world.
    fn lacking(keys: &[Key], world: &Value) -> Vec<String> {
        let mut lacking = Vec::new();
        for (name, value) in world.as_object().unwrap() {
            let said: Vec<&Key> = keys.iter().filter(|k| k.name.split('.').next() == Some(name)).collect();
            let text: String = said.iter().map(|k| format!("{} {} {} ", k.name, k.form, k.what)).collect();
            let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let mut within = BTreeSet::new();
            names(value, &mut within);
            if said.is_empty() {
                lacking.push(name.clone());
            }
            lacking.extend(
                within
                    .iter()
                    .filter(|part| !words.contains(part.as_str()))
                    .map(|part| format!("{name}.{part}")),
            );
        }
        // Those that are words alone have no name within.
        for what in whats() {
            let value = serde_json::to_value(&what).unwrap();
            let word = value.as_str().unwrap_or_default();
            let rules = keys.iter().find(|k| k.name == "rules").map_or("", |k| k.what);
            if !rules.contains(word) {
                lacking.push(format!("rules: {word}"));
            }
        }
        lacking
    }

    #[test]
    fn every_key_of_a_world_is_told_and_no_other() {
        let world = serde_json::to_value(whole()).unwrap();
        assert_eq!(lacking(KEYS, &world), Vec::<String>::new());
        let defaults = serde_json::to_value(World::default()).unwrap();
        for Key { name, .. } in KEYS {
            let pointer = format!("/{}", name.replace('.', "/"));
            assert!(world.pointer(&pointer).is_some(), "{name} is no key");
            assert!(defaults.pointer(&pointer).is_some(), "{name} has no default");
        }
        // One that is not told is missed, on top and within.
        for gone in ["seed", "warm_ms", "faults.reply_late_ppm", "rules"] {
            let keys = KEYS.iter().filter(|k| k.name != gone);
            let keys: Vec<Key> = keys.map(|k| key(k.name, k.form, k.what)).collect();
            assert!(!lacking(&keys, &world).is_empty(), "{gone}");
        }
        let text = of_worlds();
        assert!(text.contains("timeout_ms [30000]  (ms)"), "{text}");
        assert!(text.contains("begins [\"2026-01-05T00:00:00Z\"]"), "{text}");
        // Durations of no kind are no value of the file: they are told in words.
        let Durations { make, change, remove } = Durations::default();
        for Span { min, max } in [make, change, remove] {
            assert!(text.contains(&format!("{min} to {max}")), "{min} {max}");
        }
    }

    #[test]
    fn the_default_world_is_read_as_it_is_printed() {
        assert_eq!(World::from_json(default_world().as_bytes()).unwrap(), World::default());
        let text = serde_json::to_string(&whole()).unwrap();
        assert_eq!(World::from_json(text.as_bytes()).unwrap(), whole());
    }

    #[test]
    fn every_route_is_told_and_the_example_is_understood() {
        let lacking = |text: &str| {
            let line = |route: &&Route| format!("  {:4} /v1{}  ", route.method, route.path);
            ROUTES.iter().filter(|route| text.matches(&line(route)).count() != 1).count()
        };
        assert_eq!((lacking(&of_routes()), lacking(&in_words(&ROUTES[1..]))), (0, 1));
        assert!(serde_json::from_str::<crate::routes::Change>(DRIFT).is_ok());
    }
}
