//! `services.NAME.profile`: what the team measured of each size of request on each machine type.

use std::collections::BTreeMap;

use rhumb_api::Cloud;

use super::sheet::{Cell, Sheet, problem};
use super::{Endpoint, FileRef, PlacementRules, PurchaseRules, Vocabulary, leaf};
use crate::diagnostic::{Diagnostic, Pointer, Span, did_you_mean};

/// Rates are whole numbers of this part of a request a second.
pub const MICRO: u64 = 1_000_000;

/// Most requests a second, of a service and of a machine.
pub const MOST_RATE: f64 = 1e6;

/// A service whose machines the team measured: no model, no prediction and no objective of latency.
#[derive(Clone, Debug, PartialEq)]
pub struct Profiled {
    /// Name in the spec; its address is `services.NAME`.
    pub name: String,
    /// `labels` of the deployment and the service's own, merged.
    pub labels: BTreeMap<String, String>,
    /// `profile`.
    pub profile: Profile,
    /// `image`: the container image that was measured and is started on every machine.
    pub image: String,
    /// `command` of it; empty if the image says it.
    pub command: Vec<String>,
    /// `traffic.peak` on the day that is planned for ([`super::Spec::on_day`]), millionths of a request a second, above 0.
    pub peak: u64,
    /// The same outside any season, as written.
    pub usual: u64,
    /// `traffic.seasons`, in the order of their names, of which no two have a day in common.
    pub seasons: Vec<super::Season>,
    /// `traffic.size_classes`: of each class its part of the requests, in billionths, above 0; never empty.
    pub classes: BTreeMap<String, u64>,
    /// Machines, whichever, that may fail while `capacity` of the peak is still carried.
    pub survive: u32,
    /// `during_failure.capacity`, a fraction in (0, 1].
    pub capacity: f64,
    /// `scaling.min_replicas`: machines.
    pub least_machines: u32,
    /// `scaling.max_replicas`: machines.
    pub most_machines: Option<u32>,
    /// `placement`.
    pub placement: PlacementRules,
    /// `purchase`.
    pub purchase: PurchaseRules,
    /// `endpoint`.
    pub endpoint: Endpoint,
    /// Where it was written.
    pub at: Pointer,
}

impl Profiled {
    /// Requests of a class at the peak, millionths of a request a second, rounded up.
    pub fn demand(&self, class: &str) -> u64 {
        let part = self.classes.get(class).copied().unwrap_or(0);
        let exact = u128::from(self.peak) * u128::from(part);
        u64::try_from(exact.div_ceil(u128::from(PARTS))).unwrap_or(u64::MAX)
    }

    /// `during_failure.capacity` in billionths, at least one.
    pub fn part_in_failure(&self) -> u64 {
        ((self.capacity * PARTS as f64).round() as u64).clamp(1, PARTS)
    }

    /// What a machine of a type sustains of a class by itself, millionths of a request a second; `None` if it was not measured.
    pub fn rate(&self, class: &str, cloud: Cloud, instance_type: &str) -> Option<u64> {
        let rows = self.profile.rates.get(&(cloud, instance_type.to_owned()))?;
        rows.get(class).map(|rate| rate.micro)
    }
}

/// A whole, in the parts that shares are counted in.
pub const PARTS: u64 = 1_000_000_000;

/// The file of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Which.
    pub file: FileRef,
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// Of each machine type, by its cloud and name, and size class what was measured.
    pub rates: BTreeMap<(Cloud, String), BTreeMap<String, Measurement>>,
}

/// A row of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// Millionths of a request a second, above 0.
    pub micro: u64,
    /// Line of the file, from 1.
    pub line: usize,
}

/// The columns of a profile.
pub const COLUMNS: [&str; 4] = ["size_class", "cloud", "instance_type", "requests_per_s"];

impl Profile {
    /// Reads a profile of the size classes `classes`; `index` is that of the file, for places in it.
    ///
    /// # Errors
    /// Everything that is wrong in it, with its place.
    pub fn read(
        file: &FileRef,
        (text, index): (&str, usize),
        vocabulary: &Vocabulary,
        classes: &[&str],
    ) -> Result<Profile, Vec<Diagnostic>> {
        let sheet = Sheet::read(text, index, &COLUMNS, &[])?;
        let mut problems = Vec::new();
        let mut rates: BTreeMap<(Cloud, String), BTreeMap<String, Measurement>> = BTreeMap::new();
        let mut spans: BTreeMap<(Cloud, String, String), Span> = BTreeMap::new();
        for (row, (line, cells)) in sheet.rows.iter().enumerate() {
            let [class, cloud, kind, rate] = cells.as_slice() else { continue };
            if !classes.contains(&class.text.as_str()) {
                let help = leaf::suggest(
                    &class.text,
                    classes.iter().copied(),
                    "size classes of `traffic.size_classes`",
                );
                let message = format!("the service has no size class `{}`", class.text);
                problems.push(problem(
                    "unknown-reference",
                    message,
                    class.span.clone(),
                    "no such class",
                    help,
                ));
            }
            let machine = machine(vocabulary, cloud, kind).map_err(|p| problems.push(*p)).ok();
            let micro = micro(rate).map_err(|p| problems.push(*p)).ok();
            let (Some((cloud, kind)), Some(micro)) = (machine, micro) else { continue };
            let key = (cloud, kind.clone(), class.text.clone());
            if let Some(first) = spans.get(&key) {
                let message = format!("`{}` on {cloud}/{kind} is there twice", class.text);
                let again =
                    problem("duplicate-key", message, sheet.span(row), "again", "keep one of the two rows");
                problems.push(Diagnostic { related: vec![(first.clone(), "the first".to_owned())], ..again });
                continue;
            }
            spans.insert(key, sheet.span(row));
            let found = Measurement { micro, line: *line };
            rates.entry((cloud, kind)).or_default().insert(class.text.clone(), found);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Profile { file: file.clone(), sha256: super::sha256(text.as_bytes()), rates })
    }

    /// Whether some machine type was measured with a class.
    pub fn has(&self, class: &str) -> bool {
        self.rates.values().any(|of| of.contains_key(class))
    }
}

/// A cloud and a machine type of it.
pub fn machine(
    vocabulary: &Vocabulary,
    cloud: &Cell,
    kind: &Cell,
) -> Result<(Cloud, String), Box<Diagnostic>> {
    let found = leaf::cloud(&serde_json::Value::String(cloud.text.clone()))
        .map_err(|p| Box::new(problem(p.code, p.message, cloud.span.clone(), &p.label, p.help)))?;
    let of = vocabulary.machines.iter().filter(|(c, _)| *c == found).map(|(_, name)| name.as_str());
    if let Some(known) = of.clone().find(|name| name.eq_ignore_ascii_case(&kind.text)) {
        return Ok((found, known.to_owned()));
    }
    let elsewhere = vocabulary.machines.iter().find(|(_, name)| name.eq_ignore_ascii_case(&kind.text));
    let help = match (elsewhere, did_you_mean(&kind.text, of)) {
        (Some((other, _)), _) => format!("it is one of {other}"),
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => {
            "`rhumb catalog instances` lists them; one of your own is added by a file in `catalog`".to_owned()
        }
    };
    let message = format!("{found} has no instance type `{}`", kind.text);
    let label = "unknown instance type";
    Err(Box::new(problem("unknown-instance-type", message, kind.span.clone(), label, help)))
}

/// A rate in millionths.
fn micro(cell: &Cell) -> Result<u64, Box<Diagnostic>> {
    let bad = |message: String, help: &str| {
        Err(Box::new(problem("out-of-range", message, cell.span.clone(), "not a rate", help)))
    };
    let Ok(rate) = cell.text.parse::<f64>() else {
        return Err(Box::new(problem(
            "wrong-type",
            format!("`{}` is not a number", cell.text),
            cell.span.clone(),
            "not a number",
            "write requests a second, with a point: `3.25`",
        )));
    };
    if !rate.is_finite() || rate > MOST_RATE {
        return bad(
            format!("`{}` requests a second of one machine", cell.text),
            "write what was measured, at most 1000000",
        );
    }
    let micro = (rate * MICRO as f64).round();
    if micro < 1.0 {
        let help = "write what one machine sustains within your objectives; leave the row out if it does not serve this class";
        return bad(format!("`{}` requests a second", cell.text), help);
    }
    Ok(micro as u64)
}
