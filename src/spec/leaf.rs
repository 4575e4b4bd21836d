//! Values that are not maps of known keys: read, or refused with the reason and the fix.

use rhumb_api::Cloud;
use serde_json::Value;

use super::units::{Problem, Range, Unit, describe, quantity};
use super::{AllowDeny, Place, RegionRef, Vocabulary};
use crate::diagnostic::did_you_mean;

/// What reading a value gives.
pub type Read<T> = Result<T, Problem>;

/// The problem with a value of another type.
pub fn wrong_type(expected: &str, value: &Value, example: &str) -> Problem {
    Problem::new(
        "wrong-type",
        format!("expected {expected}, found {}", describe(value)),
        format!("expected {expected}"),
        format!("write {expected}, for example `{example}`"),
    )
}

/// ` Did you mean ...?` or the list of what there is.
pub fn suggest<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone, noun: &str) -> String {
    if let Some(near) = did_you_mean(written, known.clone()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<_> = known.into_iter().map(|k| format!("`{k}`")).collect();
    match all.len() {
        0 => format!("there are no {noun}"),
        1..=16 => format!("{noun}: {}", all.join(", ")),
        n => format!("{n} are known; `rhumb catalog` lists them"),
    }
}

/// Any text that is not empty.
///
/// # Errors
/// Another type, or nothing.
pub fn text(value: &Value) -> Read<String> {
    match value {
        Value::String(s) if !s.trim().is_empty() => Ok(s.clone()),
        Value::String(_) => Err(Problem::new("empty-text", "the text is empty", "empty", "write something")),
        other => Err(wrong_type("text", other, "some text")),
    }
}

/// The value of a label: text, a number or true or false.
///
/// # Errors
/// A list, a map or nothing.
pub fn label(value: &Value) -> Read<String> {
    match value {
        Value::String(s) => Ok(s.clone()),
        Value::Number(n) => Ok(n.to_string()),
        Value::Bool(b) => Ok(b.to_string()),
        other => Err(wrong_type("text", other, "support")),
    }
}

/// What [`is_name`] asks for, in words.
pub const NAMES: &str = "names start with a letter and have lower-case letters, digits and `-`, at most 40";

/// Whether `name` can be a part of a resource's name.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 40
        && !name.ends_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A name.
///
/// # Errors
/// Another type, or characters that resource names cannot have.
pub fn name(value: &Value) -> Read<String> {
    let text = match value {
        Value::String(s) => s,
        other => return Err(wrong_type("a name", other, "support-chat")),
    };
    if is_name(text) { Ok(text.clone()) } else { Err(bad_name(text)) }
}

/// The problem with a name that [`is_name`] refuses.
pub fn bad_name(text: &str) -> Problem {
    let mut fixed = String::new();
    for c in text.to_lowercase().chars() {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
        let misplaced =
            if fixed.is_empty() { !c.is_ascii_lowercase() } else { c == '-' && fixed.ends_with('-') };
        if !misplaced {
            fixed.push(c);
        }
    }
    fixed.truncate(40);
    let fixed = fixed.trim_end_matches('-');
    let help = if is_name(fixed) {
        format!("for example `{fixed}`")
    } else {
        "for example `support-chat`".to_owned()
    };
    Problem::new(
        "bad-name",
        format!("`{text}` cannot be a name"),
        "lower-case letters, digits and `-`",
        format!("{NAMES}; {help}"),
    )
}

/// A whole number; `None` is `auto`.
///
/// # Errors
/// Another type, a fraction, out of range.
pub fn whole(min: u64, max: u64, auto: bool, value: &Value) -> Read<Option<u64>> {
    if auto && value == "auto" {
        return Ok(None);
    }
    let expected = if auto { "a whole number or `auto`" } else { "a whole number" };
    let number = match value {
        Value::Number(n) => n,
        other => return Err(wrong_type(expected, other, &min.max(1).to_string())),
    };
    let whole = number.as_u64().or_else(|| {
        number.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0 && *f <= 9e15).map(|f| f as u64)
    });
    match whole {
        Some(n) if (min..=max).contains(&n) => Ok(Some(n)),
        _ if min == max => Err(Problem::new(
            "out-of-range",
            format!("`{number}` is not supported"),
            format!("must be {min}"),
            format!("write `{min}`"),
        )),
        _ => Err(Problem::new(
            "out-of-range",
            format!("`{number}` is out of range"),
            format!("must be a whole number from {min} to {max}"),
            format!("write a whole number from {min} to {max}"),
        )),
    }
}

/// True or false.
///
/// # Errors
/// Anything else.
pub fn boolean(value: &Value) -> Read<bool> {
    match value {
        Value::Bool(b) => Ok(*b),
        other => Err(wrong_type("`true` or `false`", other, "true")),
    }
}

/// True or false; `None` is `auto`.
///
/// # Errors
/// Anything else.
pub fn bool_or_auto(value: &Value) -> Read<Option<bool>> {
    match value {
        Value::Bool(b) => Ok(Some(*b)),
        Value::String(s) if s == "auto" => Ok(None),
        other => Err(wrong_type("`true`, `false` or `auto`", other, "auto")),
    }
}

/// A share as `90%` or `0.9`; `None` is `auto`.
///
/// # Errors
/// Anything else, or out of range.
pub fn share_or_auto(range: Range, value: &Value) -> Read<Option<f64>> {
    match value {
        Value::String(s) if s == "auto" => Ok(None),
        Value::Number(_) => quantity(Unit::Number, range, value).map(Some),
        other => quantity(Unit::Percent, range, other).map(Some),
    }
}

/// One of a few words.
///
/// # Errors
/// Another word, or one that is known and not planned yet.
pub fn choice(
    values: &'static [&'static str],
    later: &'static [&'static str],
    value: &Value,
) -> Read<&'static str> {
    let Value::String(written) = value else {
        return Err(wrong_type("a word", value, values.first().unwrap_or(&"")));
    };
    if let Some(found) = values.iter().find(|v| *v == written) {
        return Ok(found);
    }
    if later.contains(&written.as_str()) {
        return Err(not_yet(&format!("`{written}`"), &suggest("", values.iter().copied(), "supported")));
    }
    Err(Problem::new(
        "unknown-value",
        format!("`{written}` is not one of the values of this key"),
        "unknown value",
        suggest(written, values.iter().copied(), "values"),
    ))
}

/// The problem with something that is known and not planned yet.
pub fn not_yet(what: &str, help: &str) -> Problem {
    Problem::new("not-supported-yet", format!("{what} is not supported yet"), "not supported yet", help)
}

/// A cloud.
///
/// # Errors
/// Another name.
pub fn cloud(value: &Value) -> Read<Cloud> {
    let Value::String(written) = value else { return Err(wrong_type("a cloud", value, "aws")) };
    // A site is no cloud that anything is bought from.
    Cloud::ALL.into_iter().find(|c| c.as_str() == written).ok_or_else(|| {
        let help = match written.to_lowercase().as_str() {
            "google" | "google-cloud" | "gce" => "did you mean `gcp`?".to_owned(),
            "amazon" => "did you mean `aws`?".to_owned(),
            "microsoft" => "did you mean `azure`?".to_owned(),
            "site" | "sites" => {
                "machines of your own are in `sites`, and a service names them in `placement.sites`"
                    .to_owned()
            }
            _ => suggest(written, Cloud::ALL.iter().map(|c| c.as_str()), "clouds"),
        };
        Problem::new("unknown-cloud", format!("unknown cloud `{written}`"), "unknown cloud", help)
    })
}

/// A region by its id, with or without its cloud.
///
/// # Errors
/// Not a known region.
pub fn region(vocabulary: &Vocabulary, value: &Value) -> Read<RegionRef> {
    let Value::String(written) = value else {
        return Err(wrong_type("a region", value, "aws/eu-west-1"));
    };
    let (cloud, id) = match written.split_once('/') {
        Some((cloud, id)) => (Some(cloud), id),
        None => (None, written.as_str()),
    };
    let found: Vec<&RegionRef> = vocabulary
        .regions
        .iter()
        .filter(|r| r.region == id && cloud.is_none_or(|c| c == r.cloud.as_str()))
        .collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let full: Vec<String> =
                vocabulary.regions.iter().map(|r| format!("{}/{}", r.cloud, r.region)).collect();
            let near = match cloud {
                Some(_) => did_you_mean(written, full.iter().map(String::as_str)),
                None => did_you_mean(id, vocabulary.regions.iter().map(|r| r.region.as_str())),
            };
            let elsewhere = vocabulary.regions.iter().find(|r| r.region == id);
            let help = match (near, elsewhere) {
                (_, Some(region)) => {
                    format!("`{id}` is a region of {}: `{}/{id}`", region.cloud, region.cloud)
                }
                (Some(near), None) => format!("did you mean `{near}`?"),
                (None, None) => "`rhumb catalog regions` lists them".to_owned(),
            };
            Err(Problem::new("unknown-region", format!("unknown region `{written}`"), "unknown region", help))
        }
        several => Err(Problem::new(
            "ambiguous-region",
            format!("`{written}` is a region of several clouds"),
            "which cloud?",
            format!("write `{}/{id}`", several[0].cloud),
        )),
    }
}

/// The accelerators that a name stands for: one, or all of a family.
///
/// # Errors
/// Not a known name.
pub fn accelerators(vocabulary: &Vocabulary, value: &Value) -> Read<Vec<String>> {
    let Value::String(written) = value else { return Err(wrong_type("an accelerator", value, "h100")) };
    let lower = written.to_lowercase();
    if let Some(members) = vocabulary.accelerator_families.get(&lower) {
        return Ok(members.clone());
    }
    if let Some(id) = vocabulary.accelerators.get(&lower) {
        return Ok(vec![id.clone()]);
    }
    let known =
        vocabulary.accelerators.keys().chain(vocabulary.accelerator_families.keys()).map(String::as_str);
    let help = did_you_mean(&lower, known).map_or_else(
        || "`rhumb catalog accelerators` lists them".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Problem::new(
        "unknown-accelerator",
        format!("unknown accelerator `{written}`"),
        "unknown accelerator",
        help,
    ))
}

/// An instance type in its canonical spelling.
///
/// # Errors
/// Not a known type.
pub fn instance_type(vocabulary: &Vocabulary, value: &Value) -> Read<String> {
    let Value::String(written) = value else {
        return Err(wrong_type("an instance type", value, "p5.48xlarge"));
    };
    if vocabulary.instance_types.contains(written) {
        return Ok(written.clone());
    }
    if let Some(found) = vocabulary.instance_types.iter().find(|t| t.eq_ignore_ascii_case(written)) {
        return Ok(found.clone());
    }
    let help = did_you_mean(written, vocabulary.instance_types.iter().map(String::as_str)).map_or_else(
        || "`rhumb catalog instances` lists them".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Problem::new(
        "unknown-instance-type",
        format!("unknown instance type `{written}`"),
        "unknown instance type",
        help,
    ))
}

/// A jurisdiction tag or a country code, lower case.
///
/// # Errors
/// Not a known one.
pub fn jurisdiction(vocabulary: &Vocabulary, value: &Value) -> Read<String> {
    let Value::String(written) = value else { return Err(wrong_type("a jurisdiction", value, "eu")) };
    let lower = written.to_lowercase();
    if vocabulary.jurisdictions.contains(&lower) {
        return Ok(lower);
    }
    let help = match lower.as_str() {
        "uk" if vocabulary.jurisdictions.contains("gb") => "did you mean `gb`?".to_owned(),
        "usa" if vocabulary.jurisdictions.contains("us") => "did you mean `us`?".to_owned(),
        _ => did_you_mean(&lower, vocabulary.jurisdictions.iter().map(String::as_str)).map_or_else(
            || "write a tag such as `eu` or an ISO country code such as `ch`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        ),
    };
    Err(Problem::new(
        "unknown-jurisdiction",
        format!("unknown jurisdiction `{written}`"),
        "no region of the catalogue is in it",
        help,
    ))
}

/// A place on earth.
///
/// # Errors
/// Neither a country, a region, coordinates nor `vpc`.
pub fn place(vocabulary: &Vocabulary, value: &Value) -> Read<Place> {
    match value {
        Value::Array(pair) => {
            let degrees = |i: usize| pair.get(i).and_then(Value::as_f64);
            match (pair.len(), degrees(0), degrees(1)) {
                (2, Some(latitude), Some(longitude))
                    if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) =>
                {
                    Ok(Place::Coordinates { latitude, longitude })
                }
                _ => Err(Problem::new(
                    "bad-coordinates",
                    "coordinates are two numbers",
                    "degrees north and degrees east",
                    "write `[48.14, 11.58]`: latitude from -90 to 90, longitude from -180 to 180",
                )),
            }
        }
        Value::String(written) if written == "vpc" => Ok(Place::Vpc),
        Value::String(written) if written.starts_with("sites.") => {
            let name = written.trim_start_matches("sites.");
            if vocabulary.sites.contains(name) {
                return Ok(Place::Region(RegionRef { cloud: Cloud::Site, region: name.to_owned() }));
            }
            let help = suggest(name, vocabulary.sites.iter().map(String::as_str), "sites");
            Err(Problem::new(
                "unknown-reference",
                format!("there is no site `{name}`"),
                "not among the sites",
                help,
            ))
        }
        Value::String(written) => {
            let upper = written.to_uppercase();
            if vocabulary.countries.contains(&upper) {
                return Ok(Place::Country(upper));
            }
            if let Ok(region) = region(vocabulary, value) {
                return Ok(Place::Region(region));
            }
            let help = match upper.as_str() {
                "SITE" => "`site` is that of a service at each of several: write `placement: { each_of: NAME }`, or `sites.NAME` here".to_owned(),
                "UK" => "did you mean `GB`?".to_owned(),
                "USA" => "did you mean `US`?".to_owned(),
                "EU" => "a place is a country: name one origin for each, or the one where most users are".to_owned(),
                _ if upper.len() <= 3 => did_you_mean(&upper, vocabulary.countries.iter().map(String::as_str))
                    .map_or_else(
                        || "write an ISO 3166 code such as `DE`".to_owned(),
                        |near| format!("did you mean `{near}`?"),
                    ),
                _ => did_you_mean(written, vocabulary.regions.iter().map(|r| r.region.as_str())).map_or_else(
                    || {
                        "write a country (`DE`), a region (`aws/eu-west-1`), coordinates (`[48.14, 11.58]`) or `vpc`"
                            .to_owned()
                    },
                    |near| format!("did you mean `{near}`?"),
                ),
            };
            Err(Problem::new("unknown-place", format!("unknown place `{written}`"), "unknown place", help))
        }
        other => Err(wrong_type("a place", other, "DE")),
    }
}

/// `any`, a list, or `{ not: list }`; the lists' items are read by `item`.
///
/// # Errors
/// Another shape. Items that cannot be read are left out: they are reported one by one elsewhere.
pub fn allow_deny<T>(value: &Value, item: impl Fn(&Value) -> Vec<T>) -> Read<AllowDeny<T>> {
    let list = |items: &[Value]| items.iter().flat_map(&item).collect::<Vec<T>>();
    match value {
        Value::String(word) if word == "any" => Ok(AllowDeny::Any),
        Value::Array(items) if items.is_empty() => Err(Problem::new(
            "empty-list",
            "an empty list allows nothing",
            "empty",
            "list what is allowed, or leave the key out to allow everything",
        )),
        Value::Array(items) => Ok(AllowDeny::Only(list(items))),
        Value::Object(map) => match map.get("not") {
            Some(Value::Array(items)) if map.len() == 1 => Ok(AllowDeny::Not(list(items))),
            _ => Err(Problem::new(
                "wrong-type",
                "expected `any`, a list or `{ not: [...] }`",
                "only the key `not` with a list is allowed here",
                "write `{ not: [t4] }`, `[h100, l4]` or `any`",
            )),
        },
        Value::String(one) => {
            Err(wrong_type("`any`, a list or `{ not: [...] }`", value, &format!("[{one}]")))
        }
        other => Err(wrong_type("`any`, a list or `{ not: [...] }`", other, "[aws, gcp]")),
    }
}

/// A version such as `0.17` or `0.17.1`.
///
/// # Errors
/// A number without quotes (`0.10` would read as 0.1), or other text.
pub fn version(value: &Value) -> Read<String> {
    match value {
        Value::String(s)
            if s.split('.')
                .all(|p| !p.is_empty() && p.len() < 12 && p.bytes().all(|b| b.is_ascii_digit())) =>
        {
            Ok(s.clone())
        }
        Value::Number(n) => Err(Problem::new(
            "wrong-type",
            "a version must be in quotes",
            "read as a number, which loses trailing zeros",
            format!("write `\"{n}\"`"),
        )),
        Value::String(s) => Err(Problem::new(
            "bad-version",
            format!("`{s}` is not a version"),
            "not a version",
            "write numbers with dots, for example `\"0.17\"`",
        )),
        other => Err(wrong_type("a version", other, "\"0.17\"")),
    }
}

/// A day, as it is written.
///
/// # Errors
/// No day of the calendar.
pub fn date(value: &Value) -> Read<String> {
    let Value::String(written) = value else { return Err(wrong_type("a day", value, "2027-06-30")) };
    // `parse` also knows times and zones, which would be lost here.
    match written.parse::<jiff::civil::Date>() {
        Ok(day) if day.to_string() == *written => Ok(written.clone()),
        _ => Err(Problem::new(
            "bad-date",
            format!("`{written}` is not a day"),
            "not a day",
            "write year, month and day: `2027-06-30`",
        )),
    }
}

/// Schemes of a reference to a secret.
pub const SECRET_SCHEMES: [&str; 7] = ["env", "file", "aws-sm", "aws-acm", "gcp-sm", "azure-kv", "vault"];

/// Where a secret is kept.
///
/// # Errors
/// Anything that is not a reference; the text is not repeated, it may be the secret.
pub fn secret(value: &Value) -> Read<String> {
    let Value::String(written) = value else {
        return Err(wrong_type("a reference to a secret", value, "env:API_KEYS"));
    };
    let refused = |message: &str| {
        Problem::new(
            "literal-secret",
            message,
            "a reference is needed here, never the secret itself",
            format!(
                "write where it is kept, for example `env:API_KEYS`; schemes: {}",
                SECRET_SCHEMES.map(|s| format!("`{s}:`")).join(", ")
            ),
        )
    };
    let Some((scheme, rest)) = written.split_once(':') else {
        return Err(refused("this is not a reference to a secret"));
    };
    if !SECRET_SCHEMES.contains(&scheme) {
        return Err(refused("this is not a reference to a secret"));
    }
    if rest.is_empty() || rest.chars().any(char::is_whitespace) || rest.contains("-----BEGIN") {
        return Err(refused("a reference names a place, without blanks"));
    }
    if scheme == "env" && !is_variable(rest) {
        return Err(refused("`env:` is followed by the name of an environment variable"));
    }
    Ok(written.clone())
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// A path relative to the spec's folder.
///
/// # Errors
/// Not text, empty, or absolute.
pub fn path(value: &Value) -> Read<String> {
    let written = text(value)?;
    if written.starts_with('/') {
        return Err(Problem::new(
            "absolute-path",
            format!("`{written}` is an absolute path"),
            "absolute",
            "write a path relative to the spec's folder, so that a checkout elsewhere plans the same",
        ));
    }
    Ok(written)
}
