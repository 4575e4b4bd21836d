//! The residual ledger: what measurements say beyond the physics, as a few named corrections.
//!
//! `ln(measured / physics)` is a sum of terms, one for each thing that a configuration has in common with
//! measured ones (its engine, its model, both together, ...), some of them with slopes in the load and in
//! the lengths. `perf_convert fit` finds the coefficients by ridge regression; the more special a term,
//! the stronger it is drawn to nothing. The ledger speaks only of what was measured: a model that never
//! ran on that engine, or an engine that never ran on that accelerator, is left to physics, because
//! corrections learned elsewhere made such predictions worse (`ACCURACY.md`).

use std::sync::OnceLock;

use super::types::Configuration;
use super::{bands, kernel, precision};
use crate::math;

/// How a figure is measured, as far as it matters to the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions<'a> {
    /// Whether a benchmark sends fixed lengths (`Some(true)`) or spread ones; `None` is user traffic.
    pub fixed_lengths: Option<bool>,
    /// Full version text of the engine of a benchmark, empty if the source does not say it.
    pub build: Option<&'a str>,
}

/// What a coefficient multiplies: 1, or one of the slopes' variables in the order of [`variables`].
pub const VARIABLES: [&str; 7] =
    ["1", "ln_clients", "ln_input", "ln_output", "ln_gpus", "ln_clients_squared", "ln_clients_input"];

/// What a term goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Engine,
    Lengths,
    Class,
    Family,
    Precision,
    Parallelism,
    Version,
    Build,
    Accelerator,
    Model,
}

/// How many facts there are.
const FACTS: usize = 10;

/// A term: name, whether it has slopes, how strongly it is drawn to zero, and what it goes by.
pub(crate) const TERMS: [(&str, bool, f64, &[Fact]); 19] = {
    use Fact::{Accelerator, Build, Class, Engine, Family, Lengths, Model, Parallelism, Precision, Version};
    [
        ("engine", false, 1.0, &[Engine]),
        ("engine+lengths", false, 1.5, &[Engine, Lengths]),
        ("engine+class", false, 1.5, &[Engine, Class]),
        ("engine+family", false, 1.5, &[Engine, Family]),
        ("engine+class+precision", false, 2.0, &[Engine, Class, Precision]),
        ("engine+class+family", false, 2.0, &[Engine, Class, Family]),
        ("engine+parallelism", false, 1.5, &[Engine, Parallelism]),
        ("engine slopes", true, 1.0, &[Engine]),
        ("engine+class slopes", true, 2.0, &[Engine, Class]),
        ("engine+lengths slopes", true, 2.0, &[Engine, Lengths]),
        ("engine+version", false, 2.0, &[Engine, Version]),
        ("engine+class+build", false, 2.0, &[Engine, Class, Build]),
        ("engine+accelerator", false, 2.5, &[Engine, Accelerator]),
        ("model", false, 2.0, &[Model]),
        ("model+engine", false, 2.5, &[Model, Engine]),
        ("model+engine+accelerator+precision", false, 3.0, &[Model, Engine, Accelerator, Precision]),
        ("model+engine+parallelism", false, 3.0, &[Model, Engine, Parallelism]),
        ("model+engine slopes", true, 3.0, &[Model, Engine]),
        ("engine+parallelism slopes", true, 3.0, &[Engine, Parallelism]),
    ]
};

/// `major.minor`, without a place on the heap.
struct Version {
    digits: [u8; 21],
    from: usize,
}

impl Version {
    fn new((major, minor): (u32, u32)) -> Self {
        let mut v = Version { digits: [b'.'; 21], from: 21 };
        v.number(minor);
        v.from -= 1;
        v.number(major);
        v
    }

    fn number(&mut self, mut n: u32) {
        loop {
            self.from -= 1;
            self.digits[self.from] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[self.from..]).unwrap_or("")
    }
}

/// The facts of a configuration, `None` where one is not known.
struct Facts<'a>([Option<&'a str>; FACTS]);

impl<'a> Facts<'a> {
    /// `version` is the engine's, see [`Version`].
    fn of(c: &Configuration<'a>, conditions: &Conditions<'a>, version: &'a str) -> Self {
        Facts([
            Some(c.engine.name.as_str()),
            conditions.fixed_lengths.map(|fixed| if fixed { "fixed" } else { "spread" }),
            Some(bands::class(c.arch)),
            Some(kernel::family(c.accelerator)),
            Some(precision::resolve_native(c.arch, c.quantization).as_str()),
            Some(match (c.layout.ep > 1, c.layout.dp > 1) {
                (false, false) => "tp",
                (true, false) => "ep",
                (false, true) => "dp",
                (true, true) => "ep-dp",
            }),
            Some(if conditions.build == Some("") { "unknown" } else { version }),
            conditions.build,
            Some(c.accelerator.perf_id.as_deref().unwrap_or(&c.accelerator.id)),
            Some(&c.arch.id),
        ])
    }

    /// The values of a term in words, `None` if one of them is not known here.
    fn values(&self, term: usize) -> Option<Vec<&'a str>> {
        TERMS[term].3.iter().map(|fact| self.0[*fact as usize]).collect()
    }
}

/// One round of a multiplicative hash (Fibonacci hashing, Knuth 6.4), folded so that all bits count.
const fn stir(h: u64, word: u64) -> u64 {
    let mixed = (h ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// Hash of a value, eight bytes at a time.
fn text_hash(text: &str) -> u64 {
    text.as_bytes().chunks(8).fold(text.len() as u64, |h, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        stir(h, u64::from_le_bytes(word))
    })
}

/// Hash of a term from the hashes of its values.
fn hash(term: usize, values: impl Iterator<Item = u64>) -> u64 {
    values.fold(term as u64 + 1, stir)
}

/// A key of the ledger in words: term and values. `perf_convert fit` works with these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Index of the term.
    pub term: usize,
    /// Its name.
    pub name: &'static str,
    /// Its values, joined with `+`.
    pub values: String,
    /// Whether it has slopes.
    pub slopes: bool,
}

/// The keys that a configuration has under these conditions, with the penalty of each.
pub fn keys(c: &Configuration<'_>, conditions: &Conditions<'_>) -> Vec<(Key, f64)> {
    let version = Version::new(c.engine.version);
    let facts = Facts::of(c, conditions, version.as_str());
    TERMS
        .iter()
        .enumerate()
        .filter_map(|(term, (name, slopes, penalty, _))| {
            let values = facts.values(term)?.into_iter().filter(|v| !v.is_empty()).collect::<Vec<_>>();
            Some((Key { term, name, values: values.join("+"), slopes: *slopes }, *penalty))
        })
        .collect()
}

/// The variables of a load: `clients` in flight on each attention rank, mean lengths in tokens, and
/// accelerators of a replica. Outside of what was measured (1 to 1,024 clients, 100 to 8,192 tokens, 1 to
/// 8 accelerators) the edge stands, so that no slope runs away.
pub fn variables(clients: f64, input: f64, output: f64, gpus: f64) -> [f64; 7] {
    let c = math::ln(clients.clamp(1.0, 1024.0) / 16.0);
    let i = math::ln(input.clamp(100.0, 8192.0) / 2000.0);
    let o = math::ln(output.clamp(100.0, 8192.0) / 1000.0);
    let g = math::ln(gpus.clamp(1.0, 8.0) / 4.0);
    [1.0, c, i, o, g, c * c / 3.0, c * i / 2.0]
}

/// The corrections of one configuration: coefficients of [`variables`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Residual {
    /// On `ln` of the time per output token.
    pub tpot: [f64; 7],
    /// On `ln` of the time to first token.
    pub ttft: [f64; 7],
}

impl Residual {
    /// `ln` of the factors on TTFT and TPOT at a load.
    pub fn at(&self, v: &[f64; 7]) -> (f64, f64) {
        let dot = |c: &[f64; 7]| c.iter().zip(v).map(|(c, x)| c * x).sum();
        (dot(&self.ttft), dot(&self.tpot))
    }
}

/// The coefficients by hash of term and values.
#[derive(Debug, Default)]
struct Ledger {
    /// Sorted by hash.
    entries: Vec<(u64, Residual)>,
    /// Where the entries begin whose hashes begin with each value of [`BUCKET_BITS`] bits; one more at the end.
    buckets: Vec<usize>,
}

const BUCKET_BITS: u32 = 9;

impl Ledger {
    fn new(entries: Vec<(u64, Residual)>) -> Self {
        let start = |bucket: u64| entries.partition_point(|e| e.0 >> (64 - BUCKET_BITS) < bucket);
        let buckets = (0..=1 << BUCKET_BITS).map(start).collect();
        Ledger { entries, buckets }
    }

    fn get(&self, key: u64) -> Option<&Residual> {
        let bucket = (key >> (64 - BUCKET_BITS)) as usize;
        let (from, to) = (*self.buckets.get(bucket)?, *self.buckets.get(bucket + 1)?);
        self.entries.get(from..to)?.iter().find(|e| e.0 == key).map(|e| &e.1)
    }
}

fn ledger() -> &'static Ledger {
    static LEDGER: OnceLock<Ledger> = OnceLock::new();
    LEDGER.get_or_init(|| parse(include_str!("data/ledger.tsv")))
}

fn parse(text: &str) -> Ledger {
    let mut all: std::collections::BTreeMap<u64, Residual> = std::collections::BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [name, values, metric, variable, coefficient, ..] = cells[..] else { continue };
        let term = TERMS.iter().position(|t| t.0 == name);
        let slot = VARIABLES.iter().position(|v| *v == variable);
        let (Some(term), Some(slot), Ok(x)) = (term, slot, coefficient.parse::<f64>()) else { continue };
        // A value may be empty (no build): what the words leave out at the end counts as that.
        let values = values.split('+').filter(|v| !v.is_empty()).chain(std::iter::repeat(""));
        let key = hash(term, values.take(TERMS[term].3.len()).map(text_hash));
        let entry = all.entry(key).or_default();
        let side = if metric == "tpot" { &mut entry.tpot } else { &mut entry.ttft };
        side[slot] = x;
    }
    Ledger::new(all.into_iter().collect())
}

/// What the ledger knows of a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    /// The corrections; none unless model and accelerator were measured with its engine.
    pub residual: Residual,
    /// The model ran on this engine.
    pub model: bool,
    /// The engine ran on this accelerator.
    pub accelerator: bool,
    /// A model of its class ran on this engine and this family of accelerators.
    pub class: bool,
    /// Some model ran on this engine and this family of accelerators.
    pub family: bool,
    /// The model ran on this engine and accelerator in this precision.
    pub precision: bool,
    /// The model ran on this engine with this kind of parallelism.
    pub parallelism: bool,
}

/// What the ledger knows of a configuration under these conditions.
pub(crate) fn measured(c: &Configuration<'_>, conditions: &Conditions<'_>) -> Measured {
    let version = Version::new(c.engine.version);
    let hashes = Facts::of(c, conditions, version.as_str()).0.map(|fact| fact.map(text_hash));
    let ledger = ledger();
    // Each value is hashed once, whatever the number of terms that go by it.
    let mut rows: [Option<&Residual>; TERMS.len()] = [None; TERMS.len()];
    for (term, row) in rows.iter_mut().enumerate() {
        let facts = TERMS[term].3;
        if facts.iter().all(|f| hashes[*f as usize].is_some()) {
            *row = ledger.get(hash(term, facts.iter().filter_map(|f| hashes[*f as usize])));
        }
    }
    let ran = |term: usize| rows[term].is_some();
    let mut found = Measured {
        residual: Residual::default(),
        model: ran(14),
        accelerator: ran(12),
        class: ran(5),
        family: ran(3),
        precision: ran(15),
        parallelism: ran(16),
    };
    if found.model && found.accelerator {
        let sum = &mut found.residual;
        for r in rows.iter().flatten() {
            for i in 0..7 {
                sum.tpot[i] += r.tpot[i];
                sum.ttft[i] += r.ttft[i];
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_ledger_is_understood() {
        let text = include_str!("data/ledger.tsv");
        let mut lines = 0;
        for line in text.lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            assert!(TERMS.iter().any(|t| t.0 == cells[0]), "{line}");
            assert!(VARIABLES.contains(&cells[3]), "{line}");
            let x: f64 = cells[4].parse().unwrap();
            assert!(x.abs() < 3.0, "{line}");
            lines += 1;
        }
        assert!(lines > 50, "{lines} rows");
    }

    #[test]
    fn no_two_keys_share_a_hash() {
        let text = include_str!("data/ledger.tsv");
        let named: std::collections::BTreeSet<(&str, &str)> = text
            .lines()
            .skip(1)
            .filter_map(|l| {
                let mut cells = l.split('\t');
                Some((cells.next()?, cells.next()?))
            })
            .collect();
        assert_eq!(named.len(), ledger().entries.len());
    }

    /// What the fit writes in words is what prediction adds up by hash.
    #[test]
    fn corrections_are_the_sum_of_the_rows_that_the_keys_name() {
        use crate::perf::testing::{arch, configuration, gpu};
        let (mut a, mut g) = (arch("llama-3.1-70b"), gpu("h100"));
        a.id = "meta-llama/Meta-Llama-3.1-70B".into();
        g.perf_id = Some("h100_sxm".into());
        let c = configuration(&a, &g, 8);
        let conditions = Conditions { fixed_lengths: Some(false), build: Some("") };
        let found = measured(&c, &conditions);
        assert!(found.model && found.accelerator && found.class && found.family);
        let (mut sum, mut rows) = (Residual::default(), 0);
        for line in include_str!("data/ledger.tsv").lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            if !keys(&c, &conditions).iter().any(|(k, _)| k.name == cells[0] && k.values == cells[1]) {
                continue;
            }
            let side = if cells[2] == "tpot" { &mut sum.tpot } else { &mut sum.ttft };
            let slot = VARIABLES.iter().position(|v| *v == cells[3]).unwrap();
            side[slot] += cells[4].parse::<f64>().unwrap();
            rows += 1;
        }
        assert!(rows > 40, "{rows} rows speak of it");
        let near = |a: &[f64; 7], b: &[f64; 7]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-9);
        assert!(near(&sum.tpot, &found.residual.tpot) && near(&sum.ttft, &found.residual.ttft));
        // A model that nobody ran has none, whatever its engine learned elsewhere.
        let mut stranger = a.clone();
        stranger.id = "nobody/knows-this".into();
        let unknown = measured(&configuration(&stranger, &g, 8), &conditions);
        assert_eq!((unknown.residual, unknown.model), (Residual::default(), false));
    }

    #[test]
    fn versions_are_written_like_numbers() {
        for (version, text) in [((0, 19), "0.19"), ((1, 0), "1.0"), ((u32::MAX, 10), "4294967295.10")] {
            assert_eq!(Version::new(version).as_str(), text);
        }
    }

    #[test]
    fn every_entry_is_found_in_its_bucket_and_nothing_else_is() {
        let ledger = ledger();
        for (key, residual) in &ledger.entries {
            assert_eq!(ledger.get(*key), Some(residual));
            assert_eq!(ledger.get(key.wrapping_add(1)), None);
        }
        assert!(ledger.get(0).is_none() && ledger.get(u64::MAX).is_none());
    }

    #[test]
    fn variables_stop_at_the_edge_of_what_was_measured() {
        assert_eq!(variables(1e6, 1e6, 1e6, 64.0), variables(1024.0, 8192.0, 8192.0, 8.0));
        assert_eq!(variables(16.0, 2000.0, 1000.0, 4.0), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
