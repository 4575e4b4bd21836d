//! What a replay contradicted of a speed.
//!
//! The closed form alone allows whatever it allows together with the replay, so a search goes by it until the replay says no to
//! what was found; from then on just that is out of the question, and the search is made again. So only what is chosen is ever
//! replayed, and the optimum is still that of both.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::replay::played;

/// A load on some replicas, requests/s, and what limits are multiplied by; the bits of the numbers make it an exact key.
type Key = (u64, u32, u64);

/// Loads that a replay found to break a limit.
#[derive(Default)]
pub(super) struct Refuted {
    /// To the least network time, ms, at which it is known: with more of it the same limits are broken. Of few speeds anything is.
    known: OnceLock<Box<Known>>,
    /// By what limits are multiplied by (bits), the least network time, ms, at which no load on any number of replicas keeps them.
    never: OnceLock<Box<Never>>,
}

type Known = Mutex<BTreeMap<Key, f64>>;
type Never = Mutex<BTreeMap<u64, f64>>;

impl Clone for Refuted {
    /// With all that is known.
    fn clone(&self) -> Self {
        let copied = |known: MutexGuard<'_, BTreeMap<Key, f64>>| Box::new(Mutex::new(known.clone())).into();
        let never = |never: MutexGuard<'_, BTreeMap<u64, f64>>| Box::new(Mutex::new(never.clone())).into();
        Refuted {
            known: self.known().map(copied).unwrap_or_default(),
            never: self.never().map(never).unwrap_or_default(),
        }
    }
}

impl Refuted {
    /// Of all replicas that are judged by the same replay.
    pub fn note(&self, rate: f64, replicas: u32, factor: f64, network_ms: f64) {
        let replicas = played(replicas);
        let mut known = self.known.get_or_init(Box::default).lock().unwrap_or_else(PoisonError::into_inner);
        let least = known.entry((rate.to_bits(), replicas, factor.to_bits())).or_insert(network_ms);
        *least = least.min(network_ms);
    }

    /// Requests that have a replica each break a limit.
    pub fn note_never(&self, factor: f64, network_ms: f64) {
        let mut never = self.never.get_or_init(Box::default).lock().unwrap_or_else(PoisonError::into_inner);
        let least = never.entry(factor.to_bits()).or_insert(network_ms);
        *least = least.min(network_ms);
    }

    /// Whether no number of replicas keeps the limits times a factor.
    pub fn never_keeps(&self, factor: f64, network_ms: f64) -> bool {
        let never = self.never();
        never.is_some_and(|n| n.get(&factor.to_bits()).is_some_and(|least| *least <= network_ms))
    }

    fn never(&self) -> Option<MutexGuard<'_, BTreeMap<u64, f64>>> {
        Some(self.never.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether anything was contradicted at all.
    pub fn any(&self) -> bool {
        self.known.get().is_some()
    }

    fn known(&self) -> Option<MutexGuard<'_, BTreeMap<Key, f64>>> {
        Some(self.known.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether one of these loads is known to break a limit on fewer than `replicas`.
    pub fn on_fewer(&self, rates: &[f64], replicas: u32, network_ms: f64) -> bool {
        let Some(known) = self.known() else { return false };
        known.iter().any(|((rate, n, _), least)| {
            *n < played(replicas) && *least <= network_ms && rates.iter().any(|r| r.to_bits() == *rate)
        })
    }

    pub fn knows(&self, rate: f64, replicas: u32, factor: f64, network_ms: f64) -> bool {
        if self.never_keeps(factor, network_ms) {
            return true;
        }
        let Some(known) = self.known() else { return false };
        known
            .get(&(rate.to_bits(), played(replicas), factor.to_bits()))
            .is_some_and(|least| *least <= network_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::Refuted;

    #[test]
    fn what_fails_fails_from_farther_away_too_and_nothing_else_does() {
        let refuted = Refuted::default();
        assert!(!refuted.any() && !refuted.knows(4.0, 2, 1.0, 9.0));
        refuted.note(4.0, 2, 1.0, 9.0);
        assert!(refuted.any());
        assert!(refuted.knows(4.0, 2, 1.0, 9.0) && refuted.knows(4.0, 2, 1.0, 20.0));
        assert!(!refuted.knows(4.0, 2, 1.0, 8.0) && !refuted.knows(4.0, 3, 1.0, 9.0));
        assert!(!refuted.knows(4.1, 2, 1.0, 9.0) && !refuted.knows(4.0, 2, 1.5, 9.0));
        assert!(refuted.on_fewer(&[1.0, 4.0], 3, 9.0));
        assert!(!refuted.on_fewer(&[1.0, 4.0], 2, 9.0) && !refuted.on_fewer(&[1.0, 4.0], 3, 8.0));
        assert!(!refuted.on_fewer(&[1.0], 3, 9.0));
        refuted.note(4.0, 2, 1.0, 5.0);
        refuted.note(4.0, 2, 1.0, 7.0);
        assert!(refuted.knows(4.0, 2, 1.0, 5.0));
        refuted.note(4.0, 97, 1.0, 9.0);
        assert!(refuted.knows(4.0, 96, 1.0, 9.0) && refuted.knows(4.0, 97, 1.0, 9.0));
        assert!(!refuted.knows(4.0, 95, 1.0, 9.0) && !refuted.knows(4.0, 98, 1.0, 9.0));
        refuted.note_never(1.5, 9.0);
        assert!(refuted.knows(0.1, 900, 1.5, 9.0) && refuted.clone().knows(0.1, 900, 1.5, 10.0));
        assert!(!refuted.knows(0.1, 900, 1.5, 8.0) && !refuted.knows(0.1, 900, 1.0, 9.0));
    }
}
