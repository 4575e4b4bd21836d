//! The canonical form of JSON, and the digest of a plan file, made while the text is read: the tree of a large plan takes ten times the
//! memory of its text.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// JSON without white space, keys sorted by their bytes; of keys that are there twice, the last one.
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    // A tree in memory has no fault that a text may have.
    let _ = Append(&mut text).deserialize(value);
    text
}

/// SHA-256, lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(Sha256::digest(bytes).as_slice())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a JSON text is at its top.
pub(super) enum Top {
    /// An object.
    Object(BTreeMap<String, Part>),
    /// Anything else.
    Other,
}

/// A value of an object at the top. The one that is nearly all of a plan file is not put together in the order of its keys: that would
/// be the text once more.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// An object: its values in their canonical forms.
    Object(BTreeMap<String, Text>),
    /// The canonical form of anything else.
    Other(Text),
}

impl Part {
    /// Its canonical form.
    pub(super) fn text(&self) -> String {
        match self {
            Part::Object(entries) => {
                let each =
                    entries.iter().map(|(key, value)| format!("{}:{}", leaf(key.as_str()), value.0.concat()));
                format!("{{{}}}", each.collect::<Vec<_>>().join(","))
            }
            Part::Other(text) => text.0.concat(),
        }
    }
}

/// A value in its canonical form, in pieces: a text of megabytes that grows leaves holes behind it that are as large as itself.
#[derive(Debug, PartialEq)]
pub(super) struct Text(Vec<String>);

impl Text {
    fn hash(&self, hash: &mut Sha256) {
        self.0.iter().for_each(|piece| hash.update(piece));
    }
}

/// SHA-256 of the canonical form of a plan file without digest and signatures.
pub(super) fn digest(parts: &BTreeMap<String, Part>) -> String {
    let mut hash = Sha256::new();
    let left = parts.iter().filter(|(key, _)| !["digest", "signatures"].contains(&key.as_str()));
    object(&mut hash, left, |hash, part| match part {
        Part::Object(entries) => object(hash, entries.iter(), |hash, text| text.hash(hash)),
        Part::Other(text) => text.hash(hash),
    });
    hexadecimal(hash.finalize().as_slice())
}

/// Hashes an object, its entries sorted by key.
fn object<'a, T: 'a>(
    hash: &mut Sha256,
    entries: impl Iterator<Item = (&'a String, &'a T)>,
    value: impl Fn(&mut Sha256, &T),
) {
    hash.update("{");
    for (i, (key, of)) in entries.enumerate() {
        if i > 0 {
            hash.update(",");
        }
        hash.update(leaf(key.as_str()));
        hash.update(":");
        value(hash, of);
    }
    hash.update("}");
}

/// What has no parts, as JSON.
fn leaf(value: impl Into<Value>) -> String {
    value.into().to_string()
}

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = deserializer.deserialize_any(Entries(&mut String::new(), PhantomData))?;
        Ok(entries.map_or(Top::Other, Top::Object))
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut other = String::new();
        let entries = deserializer.deserialize_any(Entries(&mut other, PhantomData))?;
        Ok(entries.map_or_else(|| Part::Other(Text(vec![other])), Part::Object))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pieces = Vec::new();
        deserializer.deserialize_any(Pieces(&mut pieces))?;
        Ok(Text(pieces))
    }
}

/// An element of a list in its canonical form.
struct Element(String);

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::new();
        Append(&mut text).deserialize(deserializer)?;
        text.shrink_to_fit();
        Ok(Element(text))
    }
}

/// Reads a list element by element, and anything else as a whole.
struct Pieces<'a>(&'a mut Vec<String>);

impl Pieces<'_> {
    fn whole<E: Error>(self, append: impl FnOnce(Append<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut text = String::new();
        append(Append(&mut text))?;
        self.0.push(text);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Pieces<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.push("[".to_owned());
        let first = self.0.len();
        while let Some(Element(text)) = seq.next_element()? {
            if self.0.len() > first {
                self.0.push(",".to_owned());
            }
            self.0.push(text);
        }
        self.0.push("]".to_owned());
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.whole(|append| append.visit_map(map))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.whole(|append| append.visit_unit())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.whole(|append| append.visit_bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.whole(|append| append.visit_i64(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.whole(|append| append.visit_u64(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.whole(|append| append.visit_f64(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.whole(|append| append.visit_str(value))
    }
}

/// Reads the entries of an object; anything else is appended in its canonical form.
struct Entries<'a, T>(&'a mut String, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<'_, T> {
    type Value = Option<BTreeMap<String, T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            entries.insert(key, value);
        }
        Ok(Some(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Append(self.0).visit_seq(seq).map(|()| None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Append(self.0).visit_unit().map(|()| None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Append(self.0).visit_bool(value).map(|()| None)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Append(self.0).visit_i64(value).map(|()| None)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Append(self.0).visit_u64(value).map(|()| None)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Append(self.0).visit_f64(value).map(|()| None)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Append(self.0).visit_str(value).map(|()| None)
    }
}

/// Appends the canonical form of what is read.
struct Append<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Append<'_> {
    fn leaf<E: Error>(self, value: impl Into<Value>) -> Result<(), E> {
        self.0.push_str(&leaf(value));
        Ok(())
    }
}

impl<'de> Visitor<'de> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let text = self.0;
        let begin = text.len();
        text.push('{');
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let from = text.len();
            text.push_str(&leaf(key.as_str()));
            text.push(':');
            map.next_value_seed(Append(text))?;
            entries.push((key, from..text.len()));
            text.push(',');
        }
        if entries.is_sorted_by(|a, b| a.0 < b.0) {
            if !entries.is_empty() {
                text.pop();
            }
        } else {
            let entries: BTreeMap<_, _> = entries.into_iter().collect();
            let parts: Vec<&str> = entries.into_values().filter_map(|at| text.get(at)).collect();
            let sorted = parts.join(",");
            text.truncate(begin + 1);
            text.push_str(&sorted);
        }
        text.push('}');
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let text = self.0;
        text.push('[');
        let begin = text.len();
        while seq.next_element_seed(Append(text))?.is_some() {
            text.push(',');
        }
        if text.len() > begin {
            text.pop();
        }
        text.push(']');
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.leaf(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.leaf(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.leaf(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.leaf(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.leaf(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.leaf(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_sorted_and_keeps_numbers() {
        let text = r#"{ "b": [1.0, -0.0, 1e-7, "\u00e9\n"], "a": {"y": null, "x": 1}, "b2": [], "A": {}, "c": [{}, [true]] }"#;
        let sorted = r#"{"A":{},"a":{"x":1,"y":null},"b":[1.0,-0.0,1e-7,"é\n"],"b2":[],"c":[{},[true]]}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(canonical(&value), sorted);
        assert_eq!(canonical(&serde_json::from_str(sorted).unwrap()), sorted);
        let Ok(Top::Object(parts)) = serde_json::from_str(text) else { panic!("an object") };
        let Part::Object(entries) = &parts["a"] else { panic!("an object") };
        assert_eq!(entries["y"], Text(vec!["null".into()]));
        assert_eq!(parts["c"], Part::Other(Text(vec!["[{},[true]]".into()])));
        assert_eq!(parts["a"].text(), r#"{"x":1,"y":null}"#);
        assert_eq!(digest(&parts), sha256(sorted.as_bytes()));
        let Text(pieces) = serde_json::from_str("[ {\"b\": [], \"a\": 1.5}, [2, []], -1 ]").unwrap();
        assert_eq!(pieces, ["[", r#"{"a":1.5,"b":[]}"#, ",", "[2,[]]", ",", "-1", "]"]);
        let Text(pieces) = serde_json::from_str("[ ]").unwrap();
        assert_eq!(pieces.concat(), "[]");
    }

    #[test]
    fn of_a_key_twice_the_last_one_is_read() {
        let text = r#"{"a": 1, "a": {"b": {"x": 1, "x": 2}, "b": {"x": 1, "c": 3, "x": 2}}}"#;
        assert_eq!(canonical(&serde_json::from_str(text).unwrap()), r#"{"a":{"b":{"c":3,"x":2}}}"#);
        let Ok(Top::Object(parts)) = serde_json::from_str(text) else { panic!("an object") };
        assert_eq!(digest(&parts), sha256(br#"{"a":{"b":{"c":3,"x":2}}}"#));
        // Serde's own tree of the same text keeps the last one, too; here the tree is not made first.
        let mut twice = String::new();
        let mut reader = serde_json::Deserializer::from_str(r#"{"x": 1, "b": 3, "x": [2, {}]}"#);
        Append(&mut twice).deserialize(&mut reader).unwrap();
        assert_eq!(twice, r#"{"b":3,"x":[2,{}]}"#);
    }

    #[test]
    fn digest_and_signatures_are_no_part_of_the_digest() {
        let of = |text: &str| match serde_json::from_str(text) {
            Ok(Top::Object(parts)) => digest(&parts),
            _ => panic!("an object"),
        };
        assert_eq!(of(r#"{"digest": "x", "signatures": []}"#), sha256(b"{}"));
        assert_eq!(of(r#"{"z": 1, "digest": "x", "a": "\""}"#), sha256(br#"{"a":"\"","z":1}"#));
    }
}
