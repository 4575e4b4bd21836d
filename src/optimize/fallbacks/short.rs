//! The few offers that are told.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money};

use super::super::job::Job;
use crate::placement::WANTED_FALLBACKS;

/// What offers are put in order by: cost, machines, cloud, region, type, spot.
pub(super) type Key<'c> = (Money, u32, Cloud, &'c str, &'c str, bool);

/// The cheapest offers, and the cheapest of the kinds that a list should not be without.
pub(super) struct Short<'c, T> {
    cheapest: BTreeMap<Key<'c>, T>,
    /// Without spot; not asked for where nothing may be spot.
    plain: Option<(Key<'c>, T)>,
    /// With another accelerator than the pool's.
    other: Option<(Key<'c>, T)>,
    may_use_spot: bool,
}

impl<'c, T: Copy> Short<'c, T> {
    pub fn new(job: &Job<'_>) -> Self {
        Short { cheapest: BTreeMap::new(), plain: None, other: None, may_use_spot: job.may_use_spot() }
    }

    /// What an offer must not cost more than to be among the cheapest; `None` = anything.
    pub fn full(&self) -> Option<Money> {
        let full = self.cheapest.len() >= WANTED_FALLBACKS;
        self.cheapest.last_key_value().filter(|_| full).map(|(k, _)| k.0)
    }

    /// What an offer must not cost more than to be told; `None` = anything.
    pub fn bar(&self, spot: bool, other: bool) -> Option<Money> {
        let mut bar = self.full()?;
        if self.may_use_spot && !spot {
            bar = bar.max(self.plain.as_ref()?.0.0);
        }
        if other {
            bar = bar.max(self.other.as_ref()?.0.0);
        }
        Some(bar)
    }

    /// Takes an offer in; of one region, type and use of spot the cheaper one, and spot only where it is cheaper than without.
    pub fn offer(&mut self, key: Key<'c>, other: bool, item: T) {
        let of = |k: &Key<'c>| (k.2, k.3, k.4);
        let mut same = self.cheapest.keys().filter(|k| of(k) == of(&key));
        if same.any(|k| (k.5 == key.5 && *k <= key) || (!k.5 && key.5 && k.0 <= key.0)) {
            return;
        }
        self.cheapest.retain(|k, _| of(k) != of(&key) || (k.5 != key.5 && (!k.5 || k.0 < key.0)));
        self.cheapest.insert(key, item);
        while self.cheapest.len() > WANTED_FALLBACKS {
            self.cheapest.pop_last();
        }
        let beaten = |slot: &Option<(Key<'c>, T)>| slot.as_ref().is_none_or(|(k, _)| key < *k);
        if !key.5 && beaten(&self.plain) {
            self.plain = Some((key, item));
        }
        if other && beaten(&self.other) {
            self.other = Some((key, item));
        }
    }

    /// All that are told, cheapest first.
    pub fn list(mut self, differs: impl Fn(&T) -> bool) -> Vec<T> {
        if self.may_use_spot
            && let Some((key, item)) = self.plain.filter(|_| self.cheapest.keys().all(|k| k.5))
        {
            self.cheapest.insert(key, item);
        }
        if let Some((key, item)) = self.other.filter(|_| !self.cheapest.values().any(&differs)) {
            self.cheapest.insert(key, item);
        }
        self.cheapest.into_values().collect()
    }
}
