//! The text of a journal: what it says, what a cut-off write leaves of it, and what is refused and where.

use proptest::prelude::*;
use rhumb::state::journal::{Replayed, encode_grouped, encode_header, encode_record, replay};
use rhumb::state::{Failed, Intent, Outcome, Record, State, StateError};
use rhumb_api::{Attr, Call, Cloud, ErrorKind, Order, Resource, ResourceAddr, ResourceKind, Tags, Token};
use sha2::{Digest, Sha256};

pub const LINEAGE: &str = "0f9d2c1e-5a77-4f0e-9c55-1f2a3b4c5d6e";

/// Numbers that depend on the seed only.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn of<T: Clone>(&mut self, items: impl Iterator<Item = T>) -> Option<T> {
        let items: Vec<T> = items.collect();
        (!items.is_empty()).then(|| items[self.below(items.len())].clone())
    }
}

fn addr(i: usize) -> ResourceAddr {
    ResourceAddr::parse(format!("services.s/r{i}")).unwrap()
}

fn order(address: &ResourceAddr, token: &Token, machines: usize) -> Order {
    let attributes = [("machines".to_owned(), Attr::Int(machines as i64))].into();
    let region = "eu-west-1".to_owned();
    Order {
        tags: Tags { lineage: LINEAGE.to_owned(), address: address.clone(), token: token.clone() },
        resource: Resource { kind: ResourceKind::Fleet, cloud: Cloud::Aws, region, attributes },
        needs: [].into(),
        files: [].into(),
        takes_over: None,
    }
}

/// `n` records that fit one after the other, behind a new state.
pub fn history(seed: u64, n: usize) -> Vec<Record> {
    let mut dice = Dice(seed);
    let mut state = State::new(LINEAGE.to_owned(), false);
    let mut records = Vec::new();
    let mut serial = 0;
    while records.len() < n {
        serial += 1;
        let token = Token::parse(format!("{serial:032x}")).unwrap();
        if let Some(record) = proposal(&mut dice, &state, token)
            && state.take(&record).is_ok()
        {
            records.push(record);
        }
    }
    records
}

fn proposal(dice: &mut Dice, state: &State, token: Token) -> Option<Record> {
    let kind = [ErrorKind::Capacity, ErrorKind::NotFound, ErrorKind::Throttled][dice.below(3)];
    let id = format!("i-\u{e9}{}", &token.as_str()[24..]);
    let address = addr(dice.below(8));
    let depends_on: Vec<ResourceAddr> = (0..dice.below(3)).map(|_| addr(dice.below(8))).collect();
    let intend = |address: ResourceAddr, call| {
        let (token, depends_on) = (token.clone(), depends_on.clone());
        Some(Record::Intend(Intent { token, address, call, depends_on, accepted: None }))
    };
    let open = dice.of(state.open.values());
    match dice.below(9) {
        0 | 1 => intend(address.clone(), Call::Create(order(&address, &token, dice.below(9)))),
        2 => {
            let (address, thing) = dice.of(state.resources.iter())?;
            intend(address.clone(), Call::Update(thing.handle()?, order(address, &token, dice.below(9))))
        }
        3 => {
            let spares = state.spares.iter().map(|s| (&s.address, &s.thing));
            let (address, thing) = dice.of(state.resources.iter().chain(spares))?;
            intend(address.clone(), Call::Delete(thing.handle()?))
        }
        4 => Some(Record::Accepted { token: open?.token.clone(), id }),
        5 | 6 => {
            let id = (dice.below(4) > 0).then_some(id);
            Some(Record::Ended {
                token: open?.token.clone(),
                outcome: Outcome::Done { id, outputs: [].into() },
            })
        }
        7 => {
            let left = (dice.below(2) == 0).then_some(id);
            let failed =
                Failed { kind, message: "no\n\0\"more\"".to_owned(), left, gone: dice.below(2) == 0 };
            Some(Record::Ended { token: open?.token.clone(), outcome: Outcome::Failed(failed) })
        }
        _ if state.applying.is_some() => Some(Record::End { complete: dice.below(2) == 0 }),
        _ => Some(Record::Begin {
            plan: "9f86".to_owned(),
            from: (dice.below(2) == 0).then_some(state.serial),
            by: "a@b".to_owned(),
            at: "2026-01-01T00:00:00Z".to_owned(),
        }),
    }
}

/// The states before, between and after records.
pub fn states(records: &[Record]) -> Vec<State> {
    let mut state = State::new(LINEAGE.to_owned(), false);
    let mut states = vec![state.clone()];
    for record in records {
        state.take(record).unwrap();
        states.push(state.clone());
    }
    states
}

/// The lines of a journal that begins with the first of these records.
fn lines(records: &[Record]) -> Vec<String> {
    let mut lines = vec![encode_header(LINEAGE, false, 0)];
    lines.extend(records.iter().zip(1..).map(|(record, serial)| encode_record(serial, record)));
    lines
}

fn line(json: &str) -> String {
    let sum: String = Sha256::digest(json.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    format!("{} {json}\n", &sum[..16])
}

fn refused(bytes: &[u8], snapshot: Option<State>) -> StateError {
    match replay("s.json.journal", bytes, snapshot) {
        Err(error) => {
            assert!(error.help.is_some(), "{error}");
            error
        }
        Ok(replayed) => panic!("accepted: {replayed:?}"),
    }
}

#[test]
fn the_text_is_as_documented() {
    let end = Record::End { complete: true };
    assert_eq!(
        encode_header("6f1c", false, 12) + &encode_record(13, &end),
        line("{\"rhumb_journal\":1,\"lineage\":\"6f1c\",\"simulated\":false,\"base\":12}")
            + &line("{\"serial\":13,\"record\":{\"end\":{\"complete\":true}}}")
    );
}

#[test]
fn every_prefix_is_a_state_of_the_history() {
    let records = history(1, 25);
    let (states, lines) = (states(&records), lines(&records));
    let text = lines.concat();
    let mut whole = 0;
    for length in 0..=text.len() {
        let replayed = replay("j", &text.as_bytes()[..length], None).unwrap();
        while whole < lines.len() && lines[..=whole].concat().len() <= length {
            whole += 1;
        }
        let good: usize = lines[..whole].iter().map(String::len).sum();
        assert_eq!(replayed.state.as_ref(), whole.checked_sub(1).map(|n| &states[n]), "{length} bytes");
        assert_eq!((replayed.good_bytes, replayed.torn_bytes), (good as u64, (length - good) as u64));
        assert_eq!(replayed.records, whole.saturating_sub(1));
    }
    assert_eq!(whole, lines.len());
}

#[test]
fn zeros_at_the_end_are_a_write_that_was_cut_off() {
    let records = history(2, 6);
    let (states, lines) = (states(&records), lines(&records));
    let four = lines[..4].concat();
    let half = &lines[4][..lines[4].len() / 2];
    for tail in [
        "\0".to_owned(),
        "\0".repeat(5000),
        format!("{half}\0\0"),
        format!("{half}\0\n"),
        "\0\nabc\n".to_owned(),
    ] {
        let replayed = replay("j", format!("{four}{tail}").as_bytes(), None).unwrap();
        let good_bytes = four.len() as u64;
        let torn_bytes = tail.len() as u64;
        let state = Some(states[3].clone());
        assert_eq!(replayed, Replayed { state, base: Some(0), records: 3, good_bytes, torn_bytes });
    }
}

#[test]
fn zeros_within_the_last_group_are_too() {
    let records = history(2, 8);
    let states = states(&records);
    let grouped = |first: u64, serial: u64| encode_grouped(first, serial, &records[serial as usize - 1]);
    let group = |serials: std::ops::RangeInclusive<u64>| -> Vec<String> {
        let first = *serials.start();
        serials.map(|serial| grouped(first, serial)).collect()
    };
    let mut lines = vec![encode_header(LINEAGE, false, 0)];
    lines.extend(group(1..=3).into_iter().chain(group(4..=8)));
    let with_zeros = |from: usize, to: usize| {
        let mut bytes = lines.concat().into_bytes();
        bytes[from..to].fill(0);
        bytes
    };
    let start = |line: usize| lines[..line].concat().len();
    // Of the second group: from the middle of any line to the middle of any other.
    for first in 4..=8 {
        for last in first..=8 {
            let middle = |line: usize| start(line) + lines[line].len() / 2;
            let bytes = with_zeros(middle(first) - 9, middle(last));
            let replayed = replay("j", &bytes, None).unwrap();
            assert_eq!(replayed.state.as_ref(), Some(&states[first - 1]), "{first} to {last}");
            assert_eq!(replayed.good_bytes, start(first) as u64);
        }
    }
    // Of the first group: the second was written after it had been synced.
    for line in 1..=3 {
        let error = refused(&with_zeros(start(line) + 1, start(line) + 9), None);
        assert_eq!(error.place, Some((line + 1, 1)), "{error}");
    }
}

#[test]
fn damage_is_refused_at_its_place() {
    let records = history(3, 6);
    let lines = lines(&records);
    let text = lines.concat();
    let flipped = |i: usize, at: usize| {
        let mut lines = lines.clone();
        let byte = if lines[i].as_bytes()[at] == b'0' { "1" } else { "0" };
        lines[i].replace_range(at..=at, byte);
        lines.concat()
    };
    let with = |i: usize, new: &str| {
        let mut lines = lines.clone();
        lines[i] = new.to_owned();
        lines.concat()
    };
    let entry = |serial: u64| encode_record(serial, &records[2]);
    let noted = line("{\"serial\":3,\"note\":1,\"record\":{\"end\":{\"complete\":true}}}");
    let noted_inside = line("{\"serial\":3,\"record\":{\"end\":{\"complete\":true,\"by\":\"y\"}}}");
    let stranger = Token::parse("f".repeat(32)).unwrap();
    let ended = Record::Ended { token: stranger, outcome: Outcome::done() };
    let header = |version: u64, lineage: &str, simulated: bool, base: u64| {
        let json = format!(
            "{{\"rhumb_journal\":{version},\"lineage\":\"{lineage}\",\"simulated\":{simulated},\"base\":{base}}}"
        );
        with(0, &line(&json))
    };
    let new = Some(State::new(LINEAGE.to_owned(), false));
    let zeros = "\0".repeat(lines[2].len() - 1) + "\n";
    #[rustfmt::skip]
    let faults = [
        // In the middle, at the end, in the first line; in the checksum and in what it is of.
        (flipped(2, 40), new.clone(), (3, 1), "its checksum does not match"),
        (flipped(6, 40), new.clone(), (7, 1), "its checksum does not match"),
        (flipped(6, 3), new.clone(), (7, 1), "its checksum does not match"),
        (flipped(0, 30), new.clone(), (1, 1), "its checksum does not match"),
        (flipped(2, 16), new.clone(), (3, 1), "does not begin with a checksum"),
        (with(3, "\n"), new.clone(), (4, 1), "does not begin with a checksum"),
        // Zeros, and something good behind them.
        (with(2, &zeros), new.clone(), (3, 1), "does not begin with a checksum"),
        ("\0".repeat(100), new.clone(), (1, 1), "the line has no end"),
        (with(2, ""), new.clone(), (3, 18), "serial 3 follows serial 1"),
        (with(2, &lines[2].repeat(2)), new.clone(), (4, 18), "serial 2 follows serial 2"),
        (with(3, &entry(u64::MAX)), new.clone(), (4, 18), "follows serial 2"),
        (with(3, &encode_record(3, &ended)), new.clone(), (4, 18), "its record does not fit"),
        (with(3, &noted), new.clone(), (4, 35), "unknown field `note`"),
        (with(3, &noted_inside), new.clone(), (0, 0), "unknown field `by`"),
        (with(3, &line("[]")), new.clone(), (0, 0), ""),
        (with(3, &line("{\"serial\":3,\"record\":{\"moved\":{}}}")), new.clone(), (0, 0), "unknown variant `moved`"),
        (header(2, LINEAGE, false, 0), new.clone(), (1, 18), "the journal has version 2, this rhumb reads version 1; use the rhumb that wrote it"),
        (header(1, "other", false, 0), new.clone(), (1, 18), "of another deployment"),
        (header(1, LINEAGE, true, 0), new.clone(), (1, 18), "of a simulated cloud"),
        (header(1, LINEAGE, false, 5), new.clone(), (1, 18), "continues serial 5, and the state file has serial 0"),
        (header(1, LINEAGE, false, 5), None, (1, 18), "continues serial 5, and the state file is not there"),
        (with(0, ""), new.clone(), (0, 0), "missing field `rhumb_journal`"),
    ];
    for (text, snapshot, place, message) in faults {
        let error = refused(text.as_bytes(), snapshot);
        assert!(error.to_string().contains(message), "{error} should say {message}");
        match place {
            (0, 0) => assert!(error.place.is_some(), "{error}"),
            place => assert_eq!(error.place, Some(place), "{error}"),
        }
        assert!(error.to_string().starts_with("s.json.journal:"), "{error}");
    }
    assert!(replay("j", text.as_bytes(), new).is_ok());
}

#[test]
fn a_snapshot_has_taken_over_the_first_records() {
    let records = history(4, 12);
    let (states, text) = (states(&records), lines(&records).concat());
    for (taken, snapshot) in states.iter().enumerate() {
        let replayed = replay("j", text.as_bytes(), Some(snapshot.clone())).unwrap();
        assert_eq!(replayed.state.as_ref(), states.last());
        assert_eq!(replayed.records, records.len() - taken);
    }
    // Newer than everything in the journal: it stays.
    let newer = State { serial: 99, ..states[12].clone() };
    let replayed = replay("j", text.as_bytes(), Some(newer.clone())).unwrap();
    assert_eq!((replayed.state, replayed.records), (Some(newer), 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_anywhere_leaves_a_prefix(seed in any::<u64>(), n in 0..40_usize, at in any::<prop::sample::Index>()) {
        let records = history(seed, n);
        let (states, text) = (states(&records), lines(&records).concat());
        let replayed = replay("j", &text.as_bytes()[..at.index(text.len() + 1)], None).unwrap();
        if let Some(state) = replayed.state {
            prop_assert_eq!(&state, &states[replayed.records]);
        }
    }

    #[test]
    fn no_changed_byte_goes_unseen(seed in any::<u64>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let records = history(seed, 5);
        let states = states(&records);
        let text = lines(&records).concat().into_bytes();
        let mut damaged = text.clone();
        let at = at.index(text.len());
        damaged[at] = byte;
        // An error, or a tail cut off: never another history.
        if let Ok(replayed) = replay("j", &damaged, Some(states[0].clone())) {
            prop_assert_eq!(replayed.state.as_ref(), Some(&states[replayed.records]));
            if damaged != text {
                let last = text[..text.len() - 1].iter().rposition(|b| *b == b'\n').unwrap();
                prop_assert!(at > last, "byte {} of {}", at, text.len());
            }
        }
    }

    #[test]
    fn no_bytes_are_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        json in ".*",
        seed in any::<u64>(),
    ) {
        let _ = replay("j", &bytes, None).map_err(|e| e.to_string());
        let mut text = lines(&history(seed, 3)).concat();
        text.push_str(&line(&json.replace('\n', " ")));
        let _ = replay("j", text.as_bytes(), None).map_err(|e| e.to_string());
        let _ = replay("j", line(&json).as_bytes(), None).map_err(|e| e.to_string());
    }
}
