//! Chance from a seed: xoshiro256++, one stream per thing that chance decides on.

use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::world::Span;

/// What a stream decides on. Streams are apart so that a fault more or less leaves all other draws as they are.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// The way of a call.
    Call = 1,
    /// The course of a thing.
    Course = 2,
    /// The loss of machines.
    Spot = 3,
}

/// A stream of random numbers.
pub struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// The `n`th stream of its sort under a seed.
    pub fn new(seed: u64, stream: Stream, n: u64) -> Self {
        // Neighbouring seeds are taken apart by the generator's own SplitMix64; the odd factors keep the three
        // numbers from cancelling each other out.
        let mixed = seed
            ^ (stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ n.wrapping_add(1).wrapping_mul(0xd134_2543_de82_ef95);
        Chance(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// A number from 0 to `bound` - 1; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product is uniform up to 2^-64 of the bound (Lemire 2019).
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A time within a span, milliseconds.
    pub fn within(&mut self, span: Span) -> u64 {
        let width = span.max.saturating_sub(span.min).saturating_add(1);
        span.min.saturating_add(self.below(width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_within_bounds_and_streams_differ() {
        let mut chance = Chance::new(1, Stream::Call, 1);
        for _ in 0..1_000 {
            assert!((3..=7).contains(&chance.within(Span { min: 3, max: 7 })));
        }
        assert_eq!(chance.within(Span { min: 9, max: 2 }), 9);
        assert_eq!(chance.below(0), 0);
        let first = |stream, n| Chance::new(1, stream, n).below(u64::MAX);
        assert_ne!(first(Stream::Call, 1), first(Stream::Call, 2));
        assert_ne!(first(Stream::Call, 1), first(Stream::Course, 1));
    }
}
