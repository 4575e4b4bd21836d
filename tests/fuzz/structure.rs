//! Plan files whose structure is edited and whose digest is renewed: what lies behind the digest is reached.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rhumb::plan::Plan;
use rhumb::plan::file::{PlanFileError, decode, encode};
use serde_json::Value;

use super::INPUTS;
use crate::extent::pick;
use crate::planfile::{sample, signed};

/// One edit of a tree: which node, what is done to it, and with what.
type Edit = (u16, u8, u16);

/// How far a file got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Envelope,
    Digest,
    Content,
    Soundness,
    Accepted,
}

type Decoder = fn(&str, &str) -> Result<Plan, PlanFileError>;

fn files() -> &'static [Value] {
    static FILES: OnceLock<Vec<Value>> = OnceLock::new();
    FILES.get_or_init(|| {
        let texts = [encode(&sample::plan()), include_str!("../../plans/support-chat/saved.json").to_owned()];
        texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    })
}

/// Pointers to every node below `at`.
fn nodes(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| nodes(v, &format!("{at}/{i}"), found));
        }
        Value::Object(entries) => {
            for (key, v) in entries {
                nodes(v, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        _ => {}
    }
}

/// A leaf with another value, mostly of its own type so that it is not refused at once.
fn other(leaf: &Value, with: u16) -> Value {
    let numbers = [-1.0, 0.0, 0.5, 1.0, 1e-300, 1e18, 1e300];
    match leaf {
        Value::Bool(b) => (!b).into(),
        Value::Number(n) if n.is_f64() => numbers[usize::from(with) % numbers.len()].into(),
        Value::Number(_) => {
            let whole = [0_i64, 1, -1, 2, 255, 65_536, i64::from(u32::MAX), i64::MAX, i64::MIN];
            whole[usize::from(with) % whole.len()].into()
        }
        Value::String(text) => {
            let words = ["", "x", "services.chat", "aws", "1970-01-01", "\u{1b}[2J", "\u{0}", "é"];
            let text = text.repeat(usize::from(with % 3));
            words.get(usize::from(with) % 16).map_or(text, |w| (*w).to_owned()).into()
        }
        Value::Null => with.into(),
        _ => Value::Null,
    }
}

/// The tree with some edits; the digest is left as it is.
fn edited(tree: &Value, edits: &[Edit]) -> Value {
    let mut tree = tree.clone();
    for (place, what, with) in edits.iter().take(6) {
        let mut all = Vec::new();
        nodes(&tree["plan"], "/plan", &mut all);
        let at = all[usize::from(*place) * all.len() / 65_536].clone();
        let from = all[usize::from(*with) * all.len() / 65_536].clone();
        let copied = tree.pointer(&from).cloned().unwrap_or(Value::Null);
        let Some(node) = tree.pointer_mut(&at) else { continue };
        let alike = std::mem::discriminant(&*node) == std::mem::discriminant(&copied);
        let pick = |len: usize| usize::from(*with) * len / 65_536;
        match (what % 8, &mut *node) {
            (0, Value::Array(items)) if !items.is_empty() => drop(items.remove(pick(items.len()))),
            (1, Value::Array(items)) if !items.is_empty() => {
                let item = items[pick(items.len())].clone();
                items.push(item);
            }
            (2, Value::Array(items)) if items.len() > 1 => {
                let (a, last) = (pick(items.len()), items.len() - 1);
                items.swap(a, last);
            }
            (0 | 1, Value::Object(entries)) if !entries.is_empty() => {
                let key = entries.keys().nth(pick(entries.len())).cloned().unwrap_or_default();
                let value = entries.shift_remove(&key).unwrap_or(Value::Null);
                if what % 8 == 1 {
                    entries.insert(format!("{key}x"), value);
                }
            }
            (3, whole) => *whole = Value::Null,
            // A subtree from elsewhere, where it is of the same type.
            (4 | 5, whole) if alike => *whole = copied,
            (_, Value::Array(_) | Value::Object(_)) => {}
            (_, leaf) => *leaf = other(leaf, *with),
        }
    }
    tree
}

/// Reads an edited file; whatever is accepted can be written, shown, explained and checked.
fn property(decoder: Decoder, text: &str) -> Reached {
    let plan = match decoder("fuzz.json", text) {
        Ok(plan) => plan,
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && !said.contains(char::is_control), "{said:?}");
            return match error {
                PlanFileError::Digest { .. } => Reached::Digest,
                PlanFileError::Content { .. } => Reached::Content,
                PlanFileError::Inconsistent { .. } => Reached::Soundness,
                _ => Reached::Envelope,
            };
        }
    };
    assert_eq!(decoder("again.json", &encode(&plan)).as_ref(), Ok(&plan), "what is read can be written");
    let report = rhumb::report::report(&plan);
    assert!(!report.summary.is_empty());
    assert!(rhumb::report::json::plan(&plan).is_object());
    for placed in plan.placement.workloads.values() {
        rhumb::report::explain(placed, &[]);
    }
    let (spec, world, _) = crate::check::base();
    rhumb::check::facts(world, &plan.placement, Some(30));
    rhumb::check::plan(spec, world, None, &plan);
    Reached::Accepted
}

#[test]
fn plan_file_behind_the_digest() {
    let inputs = pick(INPUTS / 10, INPUTS, INPUTS);
    bolero::check!().with_iterations(inputs).with_type::<(bool, Vec<Edit>)>().for_each(|(which, edits)| {
        property(decode, &signed(edited(&files()[usize::from(*which)], edits)));
    });
}

/// Edits that are the same in every run.
fn fixed(n: usize) -> Vec<(usize, Vec<Edit>)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut edit = || (next() as u16, next() as u8, next() as u16);
    (0..n).map(|i| (i % 2, (0..=i % 3).map(|_| edit()).collect())).collect()
}

/// Edits of a survey.
fn edits() -> usize {
    pick(120, 1_200, 1_200)
}

fn survey(decoder: Decoder, text: fn(Value) -> String) -> BTreeMap<Reached, usize> {
    let mut seen = BTreeMap::new();
    for (which, edits) in fixed(edits()) {
        *seen.entry(property(decoder, &text(edited(&files()[which], &edits)))).or_default() += 1;
    }
    seen
}

#[test]
fn the_renewed_digest_opens_what_lies_behind_it() {
    let closed = survey(decode, |tree| tree.to_string());
    assert!(closed.keys().all(|r| matches!(r, Reached::Digest | Reached::Accepted)), "{closed:?}");
    let open = survey(decode, signed);
    assert_eq!(open.get(&Reached::Digest), None, "{open:?}");
    for stage in [Reached::Content, Reached::Soundness, Reached::Accepted] {
        assert!(
            open.get(&stage).is_some_and(|n| *n * 60 >= edits()),
            "{stage:?} is hardly reached: {open:?}"
        );
    }
}

/// A decoder with a fault in its soundness checks.
fn faulty(name: &str, text: &str) -> Result<Plan, PlanFileError> {
    let read = decode(name, text);
    assert!(!matches!(read, Err(PlanFileError::Inconsistent { .. })), "the planted fault");
    read
}

#[test]
fn a_fault_planted_behind_the_digest_is_found_only_with_a_renewed_one() {
    let found = |text: fn(Value) -> String| {
        let panic = std::panic::catch_unwind(|| survey(faulty, text)).err()?;
        panic.downcast_ref::<&str>().map(|message| (*message).to_owned())
    };
    assert_eq!(found(signed).as_deref(), Some("the planted fault"));
    assert_eq!(found(|tree| tree.to_string()), None);
}
