//! The table of all keys of a spec: the one source of the unknown-key check, the JSON Schema, the
//! text of `rhumb schema PATH` and the reference documentation.

mod table;

pub use table::ROOT;

use super::units::{Range, Unit};

/// A key of a section.
#[derive(Debug)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// What holds when it is not there, in words or as a value.
    pub default: Option<&'static str>,
    /// One or two sentences.
    pub doc: &'static str,
    /// If it is known but not planned yet: what it will be for.
    pub not_yet: bool,
    /// Words that are known instead of the value, and refused by now.
    pub later: &'static [&'static str],
    /// Of a key that is not planned yet: what to write in its place.
    pub instead: Option<&'static str>,
}

impl Key {
    /// An optional key.
    pub const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Key { name, kind, required: false, default: None, doc, not_yet: false, later: &[], instead: None }
    }

    /// A key that is known by name only.
    pub const fn not_yet(name: &'static str, doc: &'static str) -> Self {
        let key = Key::new(name, Kind::Anything, doc);
        Key { not_yet: true, ..key }
    }

    /// That must be there.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// With words that are known and not planned yet.
    #[must_use]
    pub const fn later(mut self, later: &'static [&'static str]) -> Self {
        self.later = later;
        self
    }

    /// With what to write in its place.
    #[must_use]
    pub const fn instead(mut self, instead: &'static str) -> Self {
        self.instead = Some(instead);
        self
    }

    /// With a default.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }
}

/// What a value may be.
#[derive(Debug)]
pub enum Kind {
    /// Whatever it is, it is not looked at here.
    Anything,
    /// Any text.
    Text,
    /// Text, a number or true or false: what a label may be.
    Label,
    /// Lower-case letters, digits and `-`.
    Name,
    /// A whole number.
    Whole {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
        /// Whether `auto` may stand instead.
        auto: bool,
    },
    /// True or false, or `auto`.
    BoolOrAuto,
    /// `true` or `false`.
    Bool,
    /// A number with a unit.
    Quantity(Unit, Range),
    /// A percentage, or `auto`.
    PercentOrAuto(Range),
    /// One of a few words; `later` are known and not planned yet.
    Choice {
        /// Accepted.
        values: &'static [&'static str],
        /// Known, but refused by now.
        later: &'static [&'static str],
    },
    /// Any number of.
    List(&'static Kind),
    /// A map whose keys are names that the author chooses.
    Map {
        /// What the names stand for, for documentation: `NAME`, `VARIANT`.
        entry: &'static str,
        /// What the names must be.
        names: Names,
        /// What the values must be.
        of: &'static Kind,
    },
    /// A map with known keys.
    Section(&'static [Key]),
    /// A distribution of lengths in tokens.
    Lengths,
    /// Percentiles with their limits.
    Objectives,
    /// `poisson`, `constant` or `{ bursty: { cv2: 4 } }`.
    Arrivals,
    /// `cost`, `carbon` or `{ carbon_price: 90 USD/t }`.
    Objective,
    /// A named profile of the day, or 24 shares of the peak.
    Daily,
    /// A profile of the day, or a part of another one.
    Weekend,
    /// An IANA name of a time zone.
    TimeZone,
    /// `keep` or `relax 2x`.
    DuringFailureSlo,
    /// `any`, a list or `{ not: list }`.
    AllowDeny(&'static Kind),
    /// A place on earth.
    Place,
    /// A cloud.
    Cloud,
    /// A region, with or without its cloud.
    Region,
    /// Any spelling of an accelerator or of a family of them.
    Accelerator,
    /// An instance type.
    InstanceType,
    /// A jurisdiction tag or a country code.
    Jurisdiction,
    /// A known model or a path of a `config.json`.
    ModelSource,
    /// A time, or a launch of several items and its time.
    Launch,
    /// A name in `models`.
    Model,
    /// A service of a chain, or several that are called at once.
    Step,
    /// A name in `sites`.
    Site,
    /// The address of a batch or a training.
    Run,
    /// Where a secret is kept.
    Secret,
    /// A path relative to the spec.
    Path,
    /// Five cron fields.
    Cron,
    /// A day, `YYYY-MM-DD`.
    Date,
    /// A day of every year, `MM-DD`, or `YYYY-MM-DD` once.
    SeasonDay,
    /// A factor on the usual peak, or a percentage of it.
    SeasonPeak,
    /// Whole days.
    Lead,
    /// A version such as `0.17`.
    Version,
    /// A value that a variable may have.
    Literal,
    /// The defaults of all workloads.
    Defaults,
}

/// What the keys of a map may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Lower-case letters, digits, `-`.
    Name,
    /// Letters, digits, `_`: what an expression can refer to.
    Identifier,
    /// A variant's name: letters, digits, `-`, `_`, `.`.
    Loose,
    /// A cloud.
    Cloud,
    /// A workload's address, `services.NAME`, `batches.NAME` or `trainings.NAME`.
    Address,
    /// Any text.
    Any,
}

/// The keys of a section, whatever kind leads to it.
pub fn section(kind: &Kind) -> Option<&'static [Key]> {
    match kind {
        Kind::Section(keys) => Some(keys),
        Kind::Defaults => Some(table::DEFAULTS),
        _ => None,
    }
}

/// Finds a key by its dotted path, entries of maps by any name; for `rhumb schema PATH`.
///
/// # Errors
/// The part of the path that is known, and the keys that are there.
pub fn find(path: &str) -> Result<&'static Key, (String, Vec<&'static str>)> {
    let mut keys: &'static [Key] = ROOT;
    let mut found: Option<&'static Key> = None;
    let mut parts = path.split('.').filter(|p| !p.is_empty()).peekable();
    let mut walked = String::new();
    while let Some(part) = parts.next() {
        let Some(key) = keys.iter().find(|k| k.name == part) else {
            return Err((walked, keys.iter().map(|k| k.name).collect()));
        };
        if !walked.is_empty() {
            walked.push('.');
        }
        walked.push_str(part);
        found = Some(key);
        let mut kind = &key.kind;
        while let Kind::Map { of, .. } = kind {
            // The name of an entry may be given or left out: `services.slo` and `services.chat.slo`.
            let known = |name: &str| section(of).is_some_and(|keys| keys.iter().any(|k| k.name == name));
            if let Some(name) = parts.next_if(|next| !known(next)) {
                walked.push('.');
                walked.push_str(name);
            }
            kind = of;
        }
        keys = section(kind).unwrap_or(&[]);
    }
    found.ok_or_else(|| (walked, ROOT.iter().map(|k| k.name).collect()))
}

/// A key of the table that is written elsewhere than here.
#[derive(Debug)]
pub struct Elsewhere {
    /// Where it belongs: dotted, with the names of `at` where it is below the same entries.
    pub path: String,
    /// The key.
    pub key: &'static Key,
}

/// Where a key called `name` belongs, nearest to the section at `at` (segments from the root).
pub fn elsewhere(name: &str, at: &[&str]) -> Option<Elsewhere> {
    let mut found = Vec::new();
    walk(ROOT, &mut Vec::new(), at, name, &mut found);
    let nearest = found.into_iter().min_by_key(|(path, _)| {
        let shared = path.iter().zip(at).take_while(|(a, b)| *a == *b).count();
        (path.first().is_some_and(|first| first == "defaults"), std::cmp::Reverse(shared), path.len())
    });
    nearest.map(|(path, key)| Elsewhere { path: path.join("."), key })
}

fn walk(
    keys: &'static [Key],
    path: &mut Vec<String>,
    at: &[&str],
    name: &str,
    found: &mut Vec<(Vec<String>, &'static Key)>,
) {
    for key in keys {
        let depth = path.len();
        path.push(key.name.to_owned());
        if key.name == name {
            found.push((path.clone(), key));
        }
        let mut kind = &key.kind;
        while let Kind::Map { of, entry, .. } = kind {
            let same = path.iter().zip(at).all(|(a, b)| a == b);
            let own = at.get(path.len()).filter(|_| same);
            path.push((*own.unwrap_or(entry)).to_owned());
            kind = of;
        }
        walk(section(kind).unwrap_or(&[]), path, at, name, found);
        path.truncate(depth);
    }
}
