//! How much of the large matrices is run: `RHUMB_TESTS` is `few` (unless stated: what `cargo test` does, in a minute or two), `ci` (what
//! `tests/run` does) or `all`.
//!
//! What is run of a matrix depends on the extent alone, so that a test that fails fails again, and each extent has all of the one before it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use proptest::prelude::ProptestConfig;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    Few,
    Ci,
    All,
}

impl Extent {
    fn parse(text: Option<&str>) -> Result<Self, String> {
        match text {
            None | Some("few") => Ok(Extent::Few),
            Some("ci") => Ok(Extent::Ci),
            Some("all") => Ok(Extent::All),
            Some(other) => Err(format!("RHUMB_TESTS is `{other}`, and not `few`, `ci` or `all`")),
        }
    }
}

fn here() -> Extent {
    static HERE: LazyLock<Extent> = LazyLock::new(|| {
        let text = std::env::var_os("RHUMB_TESTS").map(|text| text.to_string_lossy().into_owned());
        Extent::parse(text.as_deref()).unwrap_or_else(|why| panic!("{why}"))
    });
    *HERE
}

/// Whether so much is tried that what is rare is seen: how often something happens is asserted then, what each case shows in any extent.
pub fn is_many() -> bool {
    here() > Extent::Few
}

/// One of three, by the extent.
pub fn pick<T>(few: T, ci: T, all: T) -> T {
    match here() {
        Extent::Few => few,
        Extent::Ci => ci,
        Extent::All => all,
    }
}

/// A part of a matrix: one case in so many.
#[derive(Clone, Copy, Debug)]
pub struct OneIn {
    few: u64,
    ci: u64,
}

/// One case in `few`, and one in `ci`; in `all` every case is run.
pub const fn one_in(few: u64, ci: u64) -> OneIn {
    assert!(few >= ci && ci >= 1);
    OneIn { few, ci }
}

impl OneIn {
    fn here(self) -> u64 {
        pick(self.few, self.ci, 1)
    }

    /// Whether the world of a seed, or the case of a number, is run; 0 always is.
    pub fn has(self, seed: u64) -> bool {
        seed == 0 || place(seed) <= u64::MAX / self.here()
    }

    /// Seeds of worlds, one of them if there would be none.
    pub fn seeds(self, seeds: Range<u64>) -> impl Iterator<Item = u64> {
        let first = seeds.clone().min_by_key(|seed| place(*seed));
        seeds.filter(move |seed| self.has(*seed) || Some(*seed) == first)
    }

    /// Numbers from one on, of which somebody knows when to stop; others for each `row` of a table.
    pub fn numbers(self, row: usize) -> impl Iterator<Item = u64> {
        (1..).filter(move |number| self.has(number + 977 * row as u64))
    }

    /// Cases of a list, in its order; of each stratum that a case is in (its command, its example) there is at least one.
    pub fn cases<T, S: Ord, I: IntoIterator<Item = S>>(
        self,
        cases: impl IntoIterator<Item = T>,
        strata: impl Fn(&T) -> I,
    ) -> Vec<T> {
        let mut all: Vec<(usize, T)> = cases.into_iter().enumerate().collect();
        all.sort_by_key(|(at, _)| place(*at as u64));
        let mut seen = BTreeSet::new();
        all.retain(|(at, case)| {
            // Without a short cut: a case that is taken anyway is of its strata too.
            let mut new = false;
            for stratum in strata(case) {
                new |= seen.insert(stratum);
            }
            new || place(*at as u64) <= u64::MAX / self.here()
        });
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, case)| case).collect()
    }

    /// How much of something there is to be more of in this extent, if it is `seen` in `ci`: in `few` half of its share, as a small sample has
    /// more or less of everything, and at the least something.
    pub fn of(self, seen: u64) -> u64 {
        pick(seen * self.ci / self.few / 2, seen, seen)
    }
}

/// How much a law is tried on.
pub fn laws() -> ProptestConfig {
    let all = ProptestConfig::default();
    ProptestConfig { cases: pick(all.cases.div_ceil(8), all.cases, all.cases), ..all }
}

/// The place of a seed among all. Two halves take turns as evenly as can be; within a half there is no order at all, since remainders mean
/// something to makers of worlds and products of lists have periods.
fn place(seed: u64) -> u64 {
    let half = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63;
    half << 63 | mixed(seed) >> 1
}

fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn an_extent_is_one_of_three_words() {
    assert_eq!(Extent::parse(None), Ok(Extent::Few));
    for (word, extent) in [("few", Extent::Few), ("ci", Extent::Ci), ("all", Extent::All)] {
        assert_eq!(Extent::parse(Some(word)), Ok(extent));
    }
    for wrong in ["", "FEW", "1", "some"] {
        let why = Extent::parse(Some(wrong)).unwrap_err();
        assert!(["`few`", "`ci`", "`all`"].iter().all(|word| why.contains(word)), "{why}");
    }
}

#[test]
fn a_part_has_its_share_of_every_remainder_and_of_every_stratum() {
    let half = |seed: &u64| place(*seed) >> 63 == 0;
    let (few, ci) = (one_in(20, 2), one_in(2, 2));
    let taken: Vec<u64> = few.seeds(0..4_800).collect();
    let all = pick(240, 2_400, 4_800);
    assert!(taken.len().abs_diff(all) <= all / 5, "{}", taken.len());
    for n in 2..=13 {
        for of in 0..n {
            let here = taken.iter().filter(|seed| *seed % n == of).count() as u64;
            let share = all as u64 / n;
            assert!(
                here * 3 > share && here < share * 3,
                "{here} of {share} are {of} beyond multiples of {n}"
            );
        }
    }
    // Each extent has what the one before it has.
    let of_ci: Vec<u64> = ci.seeds(0..4_800).collect();
    assert!(taken.iter().all(|seed| of_ci.contains(seed)));
    assert!(pick(true, true, false) == of_ci.iter().all(half));
    assert_eq!(one_in(1_000, 1_000).seeds(7..9).count(), pick(1, 1, 2));
    let pairs = (0..13).flat_map(|a| (0..21).map(move |b| (a, b)));
    let taken = one_in(50, 50).cases(pairs, |(a, b)| [(0, *a), (1, *b)]);
    assert!(taken.is_sorted());
    for a in 0..13 {
        assert!(taken.iter().any(|pair| pair.0 == a), "{taken:?}");
    }
    for b in 0..21 {
        assert!(taken.iter().any(|pair| pair.1 == b), "{taken:?}");
    }
    assert!(taken.len() < pick(40, 40, 500), "{}", taken.len());
}
