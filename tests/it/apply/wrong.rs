//! What may be wrong once everything was applied, as the tables count it.

use rhumb_api::{Attr, Attributes};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It exists with our tags, and is not recorded.
    Leaked,
    /// Two things of one address.
    Duplicated,
    /// It is recorded and does not exist, or is wanted and does not.
    Forgotten,
    /// More than the next apply is needed.
    Manual,
    /// Anything else: attributes, what is left, calls that nobody asked for.
    Otherwise,
}

impl Kind {
    pub const ALL: [Kind; 5] =
        [Kind::Leaked, Kind::Duplicated, Kind::Forgotten, Kind::Manual, Kind::Otherwise];

    const fn as_str(self) -> &'static str {
        match self {
            Kind::Leaked => "leaked",
            Kind::Duplicated => "duplicated",
            Kind::Forgotten => "forgotten",
            Kind::Manual => "manual steps",
            Kind::Otherwise => "otherwise",
        }
    }

    /// The head of the columns.
    pub fn head() -> String {
        Kind::ALL.map(Kind::as_str).join(" | ")
    }

    /// The columns of a row.
    pub fn row(wrong: &[Wrong]) -> String {
        Kind::ALL.map(|kind| kind.count(wrong).to_string()).join(" | ")
    }

    /// The sums in words.
    pub fn told(wrong: &[Wrong]) -> String {
        Kind::ALL.map(|kind| format!("{} {}", kind.as_str(), kind.count(wrong))).join(", ")
    }

    fn count(self, wrong: &[Wrong]) -> usize {
        wrong.iter().filter(|one| one.kind == self).count()
    }

    pub fn is(self, what: impl Into<String>) -> Wrong {
        Wrong { kind: self, what: what.into() }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub kind: Kind,
    pub what: String,
}

/// The attributes in which something is otherwise than it is to be. Machines that follow their load are as many as their cloud wants,
/// within the bounds.
pub fn differing(wanted: &Attributes, seen: &Attributes) -> Vec<String> {
    let number = |of: &Attributes, name: &str| match of.get(name) {
        Some(Attr::Int(n)) => Some(*n),
        _ => None,
    };
    let follows = || {
        let (least, most) = (number(wanted, "min_count")?, number(wanted, "max_count")?);
        Some((least..=most).contains(&number(seen, "count")?))
    };
    let moved = follows().unwrap_or(false);
    wanted.differing(seen).filter(|name| !(*name == "count" && moved)).map(str::to_owned).collect()
}

#[test]
fn every_fault_is_in_a_column_of_its_own() {
    let one_each = Kind::ALL.map(|kind| kind.is("something"));
    assert_eq!(Kind::row(&one_each), "1 | 1 | 1 | 1 | 1");
    assert_eq!(Kind::row(&one_each[3..4]), "0 | 0 | 0 | 1 | 0");
    assert_eq!(Kind::told(&[]), "leaked 0, duplicated 0, forgotten 0, manual steps 0, otherwise 0");
    assert_eq!(Kind::head().matches(" | ").count(), Kind::row(&[]).matches(" | ").count());
}

#[test]
fn machines_that_follow_their_load_are_no_fault_within_their_bounds() {
    let of = |numbers: &[(&str, i64)]| -> Attributes {
        numbers.iter().map(|(name, n)| (*name, Attr::Int(*n))).collect()
    };
    let (fixed, follows) = (of(&[("count", 4)]), of(&[("count", 4), ("min_count", 2), ("max_count", 4)]));
    assert!(differing(&fixed, &fixed).is_empty());
    assert_eq!(differing(&fixed, &of(&[("count", 3)])), ["count"]);
    assert!(differing(&follows, &of(&[("count", 2), ("min_count", 2), ("max_count", 4)])).is_empty());
    for seen in [
        &[("count", 1), ("min_count", 2), ("max_count", 4)][..],
        &[("count", 3), ("min_count", 1), ("max_count", 4)],
        &[("min_count", 2), ("max_count", 4)],
    ] {
        assert_eq!(differing(&follows, &of(seen)).len(), 1, "{seen:?}");
    }
}
