//! Weekends of random days, and whether nothing runs without load.

use super::worlds::Random;

pub struct Weekend {
    pub shares: Option<[u32; 24]>,
    pub rests: bool,
}

/// Drawn from the day alone, so that worlds are otherwise what they are without weekends.
pub fn weekend(day: &[u32; 24]) -> Weekend {
    let seed = day.iter().fold(7_u64, |sum, share| sum * 31 % 1_000_003 + u64::from(share / 1_000));
    let mut r = Random::new(seed);
    let shares = r.chance(40).then(|| {
        let part = r.pick(&[0, 10, 25, 50]);
        let mut shares = day.map(|share| share / 100 * part);
        if r.chance(30) {
            shares[r.below(24)] = 1_000_000;
        }
        shares
    });
    Weekend { shares, rests: r.chance(40) }
}
