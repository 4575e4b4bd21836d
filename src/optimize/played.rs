//! What a replay leaves of the rate at which a replica does a batch's items.
//!
//! The closed form bounds it from above, so a search goes by that until its choice is played; from then on the rate of that speed is
//! what was played, and the search is made again. So only what is chosen is ever played, and the optimum is that of the lesser rates.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Items a second of a replica, by the items that it was given.
#[derive(Default)]
pub(super) struct Played {
    known: OnceLock<Box<Known>>,
}

type Known = Mutex<BTreeMap<u32, f64>>;

impl Clone for Played {
    /// With all that is known.
    fn clone(&self) -> Self {
        let copied = |known: &Known| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Box::new(Mutex::new(known)).into()
        };
        Played { known: self.known.get().map(|known| copied(known)).unwrap_or_default() }
    }
}

impl Played {
    /// Items a second with so many items; `None` if that was not played.
    pub fn of(&self, items: u32) -> Option<f64> {
        let known = self.known.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&items).copied()
    }

    /// What was played of the most items that are no more than so many, with their number: more are not done sooner.
    pub fn most_up_to(&self, items: u32) -> Option<(u32, f64)> {
        let known = self.known.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        known.range(..=items).next_back().map(|(n, rate)| (*n, *rate))
    }

    pub fn note(&self, items: u32, rate: f64) {
        let known = self.known.get_or_init(Box::default);
        known.lock().unwrap_or_else(PoisonError::into_inner).insert(items, rate);
    }
}

#[cfg(test)]
mod tests {
    use super::Played;

    #[test]
    fn what_was_played_of_fewer_items_is_known_of_more() {
        let played = Played::default();
        assert_eq!((played.of(3), played.most_up_to(9)), (None, None));
        played.note(3, 0.5);
        played.note(7, 0.8);
        assert_eq!((played.of(3), played.of(4)), (Some(0.5), None));
        assert_eq!(played.most_up_to(2), None);
        assert_eq!((played.most_up_to(6), played.most_up_to(7)), (Some((3, 0.5)), Some((7, 0.8))));
        assert_eq!(played.clone().most_up_to(99), Some((7, 0.8)));
    }
}
