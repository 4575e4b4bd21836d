//! What differs between a resource as it exists and as it is wanted.

use rhumb_api::{Attr, Attributes, Resource};

use super::FieldChange;
use super::replace::forces_replacement;

/// Longest value that a reason quotes, characters.
const QUOTED: usize = 48;

/// The attributes that differ, ordered by name; kind, cloud and region first.
pub fn fields(before: &Resource, after: &Resource) -> Vec<FieldChange> {
    let text = |t: &str| Some(Attr::from(t));
    let mut found: Vec<FieldChange> = [
        ("cloud", before.cloud.as_str(), after.cloud.as_str()),
        ("kind", before.kind.as_str(), after.kind.as_str()),
        ("region", before.region.as_str(), after.region.as_str()),
    ]
    .into_iter()
    .filter(|(_, b, a)| b != a)
    .map(|(name, b, a)| FieldChange {
        name: name.to_owned(),
        before: text(b),
        after: text(a),
        forces_replacement: true,
    })
    .collect();
    let mut differing = Vec::new();
    maps(&mut differing, "", &before.attributes, &after.attributes);
    found.extend(differing.into_iter().map(|(name, before, after_attr)| FieldChange {
        forces_replacement: forces_replacement(after.kind, &name),
        name,
        before,
        after: after_attr,
    }));
    found
}

type Differing = (String, Option<Attr>, Option<Attr>);

fn maps(found: &mut Vec<Differing>, prefix: &str, before: &Attributes, after: &Attributes) {
    for key in before.differing(after) {
        let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
        match (before.get(key), after.get(key)) {
            (Some(Attr::Map(b)), Some(Attr::Map(a))) => maps(found, &name, b, a),
            (b, a) => found.push((name, b.cloned(), a.cloned())),
        }
    }
}

/// One difference in words: `count 3 -> 4`.
pub fn in_words(field: &FieldChange) -> String {
    let name = &field.name;
    if name == "launch_template_sha256" {
        return "its launch template changed, so its machines are made anew".to_owned();
    }
    match (&field.before, &field.after) {
        (None, Some(value)) => match quoted(value) {
            Some(text) => format!("{name} {text} is new"),
            None => format!("{name} is new"),
        },
        (Some(value), None) => match quoted(value) {
            Some(text) => format!("{name} {text} is gone"),
            None => format!("{name} is gone"),
        },
        (Some(before), Some(after)) => match (quoted(before), quoted(after)) {
            (Some(b), Some(a)) => format!("{name} {b} -> {a}"),
            _ => format!("{name} changed"),
        },
        (None, None) => format!("{name} is unchanged"),
    }
}

/// A value as a reason quotes it; `None` if it is too long to read.
fn quoted(value: &Attr) -> Option<String> {
    let text = match value {
        Attr::Bool(b) => b.to_string(),
        Attr::Int(n) => n.to_string(),
        Attr::Text(t) if t.is_empty() => "\"\"".to_owned(),
        Attr::Text(t) => t.clone(),
        Attr::List(items) => {
            let parts: Option<Vec<String>> = items.iter().map(quoted).collect();
            format!("[{}]", parts?.join(", "))
        }
        Attr::Map(entries) => {
            let parts: Option<Vec<String>> =
                entries.iter().map(|(k, v)| quoted(v).map(|v| format!("{k}: {v}"))).collect();
            format!("{{{}}}", parts?.join(", "))
        }
    };
    let readable = text.chars().count() <= QUOTED && !text.chars().any(char::is_control);
    readable.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_api::{Cloud, ResourceKind};

    fn fleet(attributes: &[(&str, Attr)]) -> Resource {
        Resource {
            kind: ResourceKind::Fleet,
            cloud: Cloud::Aws,
            region: "eu-west-1".into(),
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        }
    }

    fn words(before: &Resource, after: &Resource) -> Vec<String> {
        fields(before, after).iter().map(in_words).collect()
    }

    #[test]
    fn differences_are_named_by_level() {
        let labels =
            |team: &str| Attr::Map([("team".to_owned(), team.into()), ("x".to_owned(), 1.into())].into());
        let before = fleet(&[("count", 3.into()), ("labels", labels("ml")), ("old", true.into())]);
        let mut after = fleet(&[("count", 4.into()), ("labels", labels("web")), ("new", "a".into())]);
        assert_eq!(
            words(&before, &after),
            ["count 3 -> 4", "labels.team ml -> web", "new a is new", "old true is gone"]
        );
        after.region = "eu-west-2".into();
        let found = fields(&before, &after);
        assert!(found[0].forces_replacement && found[0].name == "region");
        assert!(found[1..].iter().all(|f| !f.forces_replacement));
        assert!(fields(&before, &before).is_empty());
    }

    #[test]
    fn long_values_are_not_quoted() {
        let script = |n: usize| fleet(&[("script", "x".repeat(n).into()), ("l", Attr::List(vec![1.into()]))]);
        assert_eq!(words(&script(2), &script(100)), ["script changed"]);
        assert_eq!(words(&fleet(&[]), &script(3)), ["l [1] is new", "script xxx is new"]);
        assert_eq!(words(&fleet(&[("a", "b\nc".into())]), &fleet(&[])), ["a is gone"]);
    }
}
