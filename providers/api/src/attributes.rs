//! Named values: the attributes of a resource, and the maps among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::iter::Map;
use std::ops::Index;
use std::slice;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::Attr;

/// Named values, ordered by name.
///
/// State, plan, engine and intents all hold the resources of a deployment, which are most of their memory. So a copy is another hold on
/// the same values until one of them is changed, names are held once each, and there is no room for values to come.
#[derive(Clone, Default, Eq)]
pub struct Attributes(Arc<Vec<Entry>>);

/// A name and its value.
type Entry = (Arc<str>, Attr);

/// Names that are held once for all.
const MOST_NAMES: usize = 4_096;

/// A name, as all others of its letters. They are those that [`crate::Resource`] knows, and the user's own of labels and the like.
fn name(text: &str) -> Arc<str> {
    static NAMES: LazyLock<Mutex<BTreeSet<Arc<str>>>> = LazyLock::new(Mutex::default);
    // Nothing is half done in it when somebody panics.
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(name) = names.get(text) {
        return Arc::clone(name);
    }
    let name: Arc<str> = text.into();
    // Whoever makes up names without end gets each of them and no more.
    if names.len() < MOST_NAMES {
        names.insert(Arc::clone(&name));
    }
    name
}

impl Attributes {
    /// The place of a name, or where it would be.
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_ref().cmp(name))
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Attr> {
        self.find(name).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// The value of a name, to be changed in this copy alone.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Attr> {
        let at = self.find(name).ok()?;
        Arc::make_mut(&mut self.0).get_mut(at).map(|(_, value)| value)
    }

    /// Whether there is a value of a name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Sets the value of a name in this copy; the one that it had.
    pub fn insert(&mut self, key: impl AsRef<str>, value: Attr) -> Option<Attr> {
        let key = key.as_ref();
        let found = self.find(key);
        let entries = Arc::make_mut(&mut self.0);
        match found {
            Ok(at) => entries.get_mut(at).map(|(_, old)| std::mem::replace(old, value)),
            Err(at) => {
                entries.insert(at, (name(key), value));
                None
            }
        }
    }

    /// Takes a name out of this copy; the value that it had.
    pub fn remove(&mut self, name: &str) -> Option<Attr> {
        let at = self.find(name).ok()?;
        Some(Arc::make_mut(&mut self.0).remove(at).1)
    }

    /// Names and values, ordered by name.
    pub fn iter(&self) -> Entries<'_> {
        self.into_iter()
    }

    /// The names, ordered.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator + Clone {
        self.0.iter().map(|(name, _)| name.as_ref())
    }

    /// The values, ordered by name.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Attr> + ExactSizeIterator + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    /// The names whose values are others in `other`, or are there in one of both alone; ordered.
    pub fn differing<'a>(&'a self, other: &'a Attributes) -> impl Iterator<Item = &'a str> + use<'a> {
        let names: BTreeSet<&str> = self.keys().chain(other.keys()).collect();
        names.into_iter().filter(|name| self.get(name) != other.get(name))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Names and values, ordered by name.
pub type Entries<'a> = Map<slice::Iter<'a, Entry>, fn(&'a Entry) -> (&'a str, &'a Attr)>;

impl<'a> IntoIterator for &'a Attributes {
    type Item = (&'a str, &'a Attr);
    type IntoIter = Entries<'a>;
    fn into_iter(self) -> Entries<'a> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl PartialOrd for Attributes {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Attributes {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The value of a name that is there.
///
/// # Panics
/// It is not.
impl Index<&str> for Attributes {
    type Output = Attr;
    fn index(&self, name: &str) -> &Attr {
        self.get(name).unwrap_or_else(|| panic!("there is no `{name}`"))
    }
}

impl<K: AsRef<str>> FromIterator<(K, Attr)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (K, Attr)>>(entries: I) -> Self {
        let mut entries: Vec<Entry> =
            entries.into_iter().map(|(key, value)| (name(key.as_ref()), value)).collect();
        // Stable: of a name that is there twice, the last value counts.
        entries.reverse();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|later, first| later.0 == first.0);
        entries.shrink_to_fit();
        Attributes(Arc::new(entries))
    }
}

impl From<BTreeMap<String, Attr>> for Attributes {
    fn from(map: BTreeMap<String, Attr>) -> Self {
        map.into_iter().collect()
    }
}

impl<K: AsRef<str>, const N: usize> From<[(K, Attr); N]> for Attributes {
    fn from(entries: [(K, Attr); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: AsRef<str>> Extend<(K, Attr)> for Attributes {
    fn extend<I: IntoIterator<Item = (K, Attr)>>(&mut self, entries: I) {
        for (name, value) in entries {
            self.insert(name, value);
        }
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Attributes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
                let mut entries: Vec<(String, Attr)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries.into_iter().collect())
            }
        }
        deserializer.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_shares_until_it_is_changed() {
        let one: Attributes = [("count", Attr::Int(2))].into();
        let mut other = one.clone();
        assert!(Arc::ptr_eq(&one.0, &other.0) && one == other);
        assert_eq!(other.insert("count", Attr::Int(3)), Some(Attr::Int(2)));
        assert_eq!((&one["count"], &other["count"]), (&Attr::Int(2), &Attr::Int(3)));
        *other.get_mut("count").unwrap() = Attr::Int(2);
        assert!(!Arc::ptr_eq(&one.0, &other.0) && one == other);
        assert!(Arc::ptr_eq(&one.0[0].0, &other.0[0].0));
    }

    #[test]
    fn names_are_ordered_and_there_once() {
        let mut some: Attributes =
            [("b", 1), ("a", 2), ("b", 3), ("ab", 4)].map(|(k, v)| (k, Attr::Int(v))).into();
        let said =
            |of: &Attributes| of.iter().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>().join(" ");
        assert_eq!(said(&some), "a=Int(2) ab=Int(4) b=Int(3)");
        assert_eq!(some.insert("aa", Attr::Int(5)), None);
        assert_eq!(some.remove("ab"), Some(Attr::Int(4)));
        assert_eq!(some.remove("ab"), None);
        assert_eq!(said(&some), "a=Int(2) aa=Int(5) b=Int(3)");
        let other: Attributes = [("aa", Attr::Int(5)), ("b", Attr::Int(2)), ("c", Attr::Int(1))].into();
        assert_eq!(some.differing(&other).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(some.remove("a"), Some(Attr::Int(2)));
        assert_eq!((some.len(), some.contains_key("a"), some.get("b")), (2, false, Some(&Attr::Int(3))));
    }
}
