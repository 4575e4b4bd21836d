//! `state`.

use std::collections::BTreeMap;

use super::*;
use crate::spec::{RemoteState, StateSettings};

/// Keys of each backend besides `backend`.
const KEYS: &[(&str, &[&str])] = &[
    ("local", &["path"]),
    ("s3", &["bucket", "key", "region", "endpoint"]),
    ("gcs", &["bucket", "key", "endpoint"]),
    ("azblob", &["bucket", "key", "account", "endpoint"]),
];

impl Reader<'_> {
    /// `state`.
    pub(super) fn state(&mut self, at: &At<'_>) -> StateSettings {
        let backend = at.key("backend").text().unwrap_or_else(|| "local".to_owned());
        let own = KEYS.iter().find(|(name, _)| *name == backend).map_or(&[][..], |(_, keys)| keys);
        for (_, keys) in KEYS {
            for key in keys.iter().filter(|key| !own.contains(*key)) {
                let other = at.key(key);
                if other.is_there() {
                    let what = format!("`{}` with `backend: {backend}`", other.pointer.dotted());
                    let help = format!("remove it; `{backend}` has {}", own.join(", "));
                    let problem = Problem::new("conflicting-keys", what, "means nothing there", help);
                    self.report(&other.pointer, true, problem);
                }
            }
        }
        let path = at.key("path").get(leaf::path).unwrap_or_else(|| "rhumb.state.json".to_owned());
        let scheme = match backend.as_str() {
            "s3" => "s3",
            "gcs" => "gs",
            "azblob" => "az",
            _ => return StateSettings { path, remote: None },
        };
        let bucket = self.part_of_an_address(at, "bucket", |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_')
        });
        let key = self.part_of_an_address(at, "key", |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '=' | '+' | '/')
        });
        let endpoint = at.key("endpoint");
        if own.contains(&"endpoint") && endpoint.text().is_some_and(|text| text.contains('@')) {
            let problem = Problem::new(
                "literal-secret",
                "an address with credentials in it",
                "no credentials here",
                "write the address alone; credentials are those of the environment",
            );
            self.report(&endpoint.pointer, false, problem);
        }
        let option = |name: &&str| Some(((*name).to_owned(), at.key(name).text()?));
        let options: BTreeMap<String, String> = ["region", "account", "endpoint"]
            .iter()
            .filter(|name| own.contains(name))
            .filter_map(option)
            .collect();
        let remote = bucket
            .zip(key)
            .map(|(bucket, key)| RemoteState { address: format!("{scheme}://{bucket}/{key}"), options });
        StateSettings { path, remote }
    }

    /// A name that an address can have as it is; it is demanded.
    fn part_of_an_address(&mut self, at: &At<'_>, name: &str, may_be: fn(char) -> bool) -> Option<String> {
        let part = at.key(name);
        let Some(text) = part.text() else {
            if !part.is_there() {
                let what = format!("`{}` has no `{name}`", at.pointer.dotted());
                let help = format!("state it: `{name}: acme-rhumb`");
                self.report(&at.pointer, false, Problem::new("missing-key", what, "it is needed here", help));
            }
            return None;
        };
        let pieces = |text: &str| text.split('/').all(|piece| !matches!(piece, "" | "." | ".."));
        if text.chars().all(may_be) && pieces(&text) && text.len() <= 512 {
            return Some(text);
        }
        let what = format!("`{}` is no name in a bucket's address", part.pointer.dotted());
        let help = "write letters, digits, `-`, `.` and `_`; a `key` also has `/` between names";
        self.report(&part.pointer, true, Problem::new("bad-name", what, "cannot be used", help));
        None
    }
}
