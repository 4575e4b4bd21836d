//! `services.NAME` with a `profile`, and what only such a service has.

use std::collections::BTreeMap;

use super::*;
use crate::diagnostic::SourceFile;
use crate::spec::profile::{MICRO, MOST_RATE, PARTS};

/// Keys that say what the profile has measured, or how what it replaces is predicted.
const REPLACED: [&str; 5] = ["model", "slo", "use_case", "priority", "engine"];

/// The same of `traffic`.
const REPLACED_OF_TRAFFIC: [&str; 5] =
    ["input_tokens", "output_tokens", "prefix_cached", "arrivals", "divide_at"];

/// What is not looked at yet, by section.
const LATER: [(&str, &[&str]); 6] = [
    ("", &["share_machines", "degrade"]),
    ("traffic", &["concurrency", "trace", "sessions", "origins", "daily", "weekend", "time_zone"]),
    ("survive", &["zone", "region", "wan"]),
    ("during_failure", &["slo"]),
    ("placement", &["sites", "spread"]),
    ("purchase", &["commitments"]),
];

impl Reader<'_> {
    /// `services.NAME` with a `profile`.
    pub(super) fn profiled(
        &mut self,
        name: &str,
        at: &At<'_>,
        shared: &BTreeMap<String, String>,
    ) -> Option<Profiled> {
        at.value?.as_object()?;
        self.not_beside_a_profile(at);
        let traffic = at.key("traffic");
        // Without `traffic` that is what is missing.
        let sizes = traffic.key("size_classes");
        let classes = if traffic.is_there() { self.size_classes(&sizes) } else { BTreeMap::new() };
        let peak = traffic.key("peak").quantity(Unit::Rate, Range::POSITIVE);
        if traffic.is_there() && !traffic.key("peak").is_there() {
            self.missing(&traffic, "peak", "requests of all size classes in the busiest hour, `40 req/s`");
        } else if peak.is_some_and(|rate| !(1.0 / MICRO as f64..=MOST_RATE).contains(&rate)) {
            let problem = Problem::new(
                "out-of-range",
                "a service with a profile has up to 1000000 requests a second, and at least one in 1000000",
                "out of range",
                "write the peak of the busiest hour; divide the service if it is larger",
            );
            self.report(&traffic.key("peak").pointer, false, problem);
        }
        let image = self.image(at);
        if !at.key("image").is_there() {
            self.missing(at, "image", "the container that was measured, as it is pulled");
        }
        let help = "write what the container runs, or remove the key: then it is what its image says";
        let command = self.command(at, "an empty command runs nothing", help);
        let (placement, purchase) = (at.key("placement"), at.key("purchase"));
        let survive = at.key("survive");
        let machines = |key: &str| survive.key(key).whole().unwrap_or(0);
        let capacity = at.key("during_failure").key("capacity");
        self.something_may_fail(at);
        let scaling = self.scaling(&at.key("scaling"));
        let profile = self.profile(&at.key("profile"), &classes);
        let usual = peak.map_or(0, |rate| (rate.min(MOST_RATE) * MICRO as f64).round() as u64);
        let found = Profiled {
            name: name.to_owned(),
            labels: self.merged_labels(at, shared),
            profile: profile?,
            image,
            command,
            peak: usual,
            usual,
            seasons: self.seasons(&traffic.key("seasons")),
            classes: classes.iter().map(|(name, (part, _))| (name.clone(), *part)).collect(),
            // A machine is a replica.
            survive: machines("replica").max(machines("machine")),
            capacity: capacity.quantity(Unit::Percent, Range::POSITIVE_SHARE).unwrap_or(1.0),
            least_machines: scaling.min_replicas,
            most_machines: scaling.max_replicas,
            placement: self.placement(&placement),
            purchase: self.purchase(&purchase),
            endpoint: self.endpoint(&at.key("endpoint")),
            at: at.pointer.clone(),
        };
        Some(found)
    }

    fn not_beside_a_profile(&mut self, at: &At<'_>) {
        let traffic = at.key("traffic");
        let replaced = REPLACED.iter().map(|key| at.key(key));
        let replaced = replaced.chain(REPLACED_OF_TRAFFIC.iter().map(|key| traffic.key(key)));
        // Those of `defaults` are for those that have them.
        for key in replaced.filter(At::is_there).filter(|key| !self.whole_is_copied(key)).collect::<Vec<_>>()
        {
            let problem = Problem::new(
                "conflicting-keys",
                format!("`{}` beside a `profile`", key.pointer.dotted()),
                "the profile stands in its place",
                "remove it: rates of a profile are measured within your objectives, with your engine and requests, and nothing is \
                 predicted; or remove `profile`",
            );
            self.report(&key.pointer, true, problem);
        }
        for (section, keys) in LATER {
            let section = if section.is_empty() { at.clone() } else { at.key(section) };
            for key in keys.iter().map(|key| section.key(key)).filter(At::is_there) {
                let says_nothing = match key.word() {
                    Some("never") => key.pointer.0.ends_with("/share_machines"),
                    Some("keep") => key.pointer.0.ends_with("/slo"),
                    Some("none") => key.pointer.0.ends_with("/commitments"),
                    _ => key.whole() == Some(0),
                };
                let one_region = key.pointer.0.ends_with("/spread") && key.key("regions").whole() == Some(1);
                if !says_nothing && !one_region {
                    self.later(&key);
                }
            }
        }
        let purchase = at.key("purchase");
        let spot = purchase.key("spot_max_share");
        if spot.quantity(Unit::Percent, Range::SHARE).is_some_and(|share| share > 0.0) {
            self.later(&spot);
        }
        let base = purchase.key("on_demand_base");
        if base.whole().is_some_and(|n| n > 0) && !self.is_copied(&base.pointer) {
            let problem = Problem::new(
                "useless-key",
                "`on_demand_base` changes nothing: no machine of a service with a profile is spot",
                "changes nothing here",
                "remove it",
            );
            self.report(&base.pointer, true, problem);
        }
        let mode = at.key("scaling").key("mode");
        if mode.word().is_some_and(|word| word != "fixed") {
            self.later(&mode);
        }
        let rests = at.key("scaling").key("scale_to_zero");
        if rests.get(leaf::boolean) == Some(true) {
            self.later(&rests);
        }
    }

    fn later(&mut self, key: &At<'_>) {
        let what = format!("`{}` of a service with a `profile`", key.pointer.dotted());
        let help = "remove it; from `defaults` it is taken back by stating it here: `0`, `0%`, `fixed`, `false`, `never`";
        let copied = self.is_copied(&key.pointer);
        let help = if copied { help } else { "remove it, or remove `profile`" };
        self.report(&key.pointer, true, leaf::not_yet(&what, help));
    }

    /// Whether nothing of it was written where it stands.
    fn whole_is_copied(&self, at: &At<'_>) -> bool {
        let below = at.entries();
        self.is_copied(&at.pointer)
            || !below.is_empty() && below.iter().all(|(_, member)| self.whole_is_copied(member))
    }

    /// Of each class its part in billionths, and where it was written.
    fn size_classes(&mut self, at: &At<'_>) -> BTreeMap<String, (u64, Pointer)> {
        let mut classes = BTreeMap::new();
        let mut readable = true;
        let mut sum = 0.0;
        for (name, share) in at.entries() {
            match share.quantity(Unit::Percent, Range::POSITIVE_SHARE) {
                Some(part) => {
                    sum += part;
                    let billionths = ((part * PARTS as f64).round() as u64).max(1);
                    classes.insert(name.to_owned(), (billionths, share.pointer));
                }
                None => readable = false,
            }
        }
        if !at.is_there() || (readable && classes.is_empty()) {
            let problem = Problem::new(
                "missing-key",
                format!("`{}` says which part of the requests is of which size", at.pointer.dotted()),
                "which sizes?",
                "add `size_classes: { short: 60%, long: 40% }`, by the names of the profile's rows",
            );
            self.report(&at.pointer, true, problem);
        } else if readable && (sum - 1.0).abs() > 1e-6 {
            let off = Unit::Percent.format(crate::math::round_to((1.0 - sum).abs(), 9));
            let problem = Problem::new(
                "shares-do-not-sum",
                format!(
                    "the shares sum to {}, not 100%",
                    Unit::Percent.format(crate::math::round_to(sum, 9))
                ),
                "shares of this service",
                if sum < 1.0 {
                    format!("{off} are missing: raise a share")
                } else {
                    format!("{off} are too much: lower a share")
                },
            );
            self.report(&at.pointer, true, problem);
        }
        classes
    }

    fn profile(&mut self, at: &At<'_>, classes: &BTreeMap<String, (u64, Pointer)>) -> Option<Profile> {
        let file = FileRef { path: at.get(leaf::path)?, at: at.pointer.clone() };
        let text = (self.read)(&file.path)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()));
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                let problem = Problem::new(
                    "cannot-read",
                    format!("`{}` cannot be read: {error}", file.path),
                    "cannot be read",
                    "the path is relative to the spec's folder",
                );
                self.report(&at.pointer, false, problem);
                return None;
            }
        };
        let names: Vec<&str> = classes.keys().map(String::as_str).collect();
        // A class that could not be read is reported, and its rows are not.
        if names.is_empty() {
            return None;
        }
        let index = self.map.files.len() + self.tables.len();
        let found = Profile::read(&file, (&text, index), self.vocabulary, &names);
        self.tables.push(SourceFile { name: file.path.clone(), text });
        let profile = match found {
            Ok(profile) => profile,
            Err(mut problems) => {
                self.problems.append(&mut problems);
                return None;
            }
        };
        for (name, (_, at)) in classes.iter().filter(|(name, _)| !profile.has(name)) {
            let problem = Problem::new(
                "unknown-reference",
                format!("`{}` has no row for the size class `{name}`", profile.file.path),
                "nothing was measured",
                "add a row for each machine type that serves it, or remove the class",
            );
            self.report(at, true, problem);
        }
        Some(profile)
    }

    /// Keys of a service that mean something beside a profile only.
    pub(super) fn only_with_a_profile(&mut self, at: &At<'_>) {
        let keys = [at.key("image"), at.key("command"), at.key("traffic").key("size_classes")];
        for key in
            keys.iter().filter(|key| key.is_there() && !self.is_copied(&key.pointer)).collect::<Vec<_>>()
        {
            let problem = Problem::new(
                "useless-key",
                format!("`{}` has no meaning without `profile`", key.pointer.dotted()),
                "changes nothing here",
                "add `profile: ./profile.csv`, or remove it",
            );
            self.report(&key.pointer, true, problem);
        }
        if !at.key("model").is_there() {
            self.missing(at, "model", "a name in `models`; or `profile`, if you measured whole machines");
        }
    }
}
