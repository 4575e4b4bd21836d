//! `commitments`.

use std::collections::BTreeMap;

use super::*;
use crate::spec::units::hourly;

impl Reader<'_> {
    /// `commitments`: of machines, and savings plans.
    pub(super) fn held(&mut self, at: &At<'_>) -> (BTreeMap<String, Held>, BTreeMap<String, SavingsPlan>) {
        let mut all: BTreeMap<String, Held> = BTreeMap::new();
        let mut savings = BTreeMap::new();
        for (name, at) in at.entries() {
            if at.key("kind").word() == Some("savings-plan") {
                savings.extend(self.one_savings_plan(name, &at).map(|plan| (name.to_owned(), plan)));
                continue;
            }
            let Some(held) = self.one_held(name, &at) else { continue };
            let place = |h: &Held| (h.cloud, h.region.clone(), h.instance_type.clone());
            if let Some(other) = all.values().find(|other| place(other) == place(&held)) {
                let what = format!(
                    "a second commitment of {} in {}/{}",
                    held.instance_type, held.cloud, held.region
                );
                let help = format!(
                    "`{}` is of the same machines: write one with the count of both, until the day on which the first ends",
                    other.at.dotted()
                );
                self.report(&at.pointer, true, leaf::not_yet(&what, &help));
            }
            all.insert(name.to_owned(), held);
        }
        (all, savings)
    }

    fn one_held(&mut self, name: &str, at: &At<'_>) -> Option<Held> {
        let kind = match at.key("kind").word()? {
            "reservation" => HeldKind::Reservation,
            "capacity-block" => HeldKind::CapacityBlock,
            _ => return None,
        };
        self.not_of_machines(at);
        for (key, what) in [
            ("region", "the region that they are in"),
            ("instance_type", "the type of the machines"),
            ("count", "how many: all of the deployment share them"),
        ] {
            if !at.key(key).is_there() {
                self.missing(at, key, what);
            }
        }
        let cloud = at.key("cloud").get(leaf::cloud)?;
        let region = at.key("region");
        let written = region.text()?;
        let id = written.strip_prefix(&format!("{cloud}/")).unwrap_or(&written).to_owned();
        region.get(|v| leaf::region(self.vocabulary, v))?;
        if !self.vocabulary.regions.iter().any(|r| r.cloud == cloud && r.region == id) {
            self.report(
                &region.pointer,
                false,
                Problem::new(
                    "unknown-region",
                    format!("unknown region `{written}` of {cloud}"),
                    "of another cloud",
                    format!("`rhumb catalog regions` lists the regions of {cloud}"),
                ),
            );
            return None;
        }
        Some(Held {
            name: name.to_owned(),
            kind,
            cloud,
            region: id,
            instance_type: at.key("instance_type").get(|v| leaf::instance_type(self.vocabulary, v))?,
            count: at.key("count").whole()?,
            until: at.key("until").get(leaf::date)?,
            cost: at.key("cost").get(hourly),
            id: at.key("id").text(),
            at: at.pointer.clone(),
        })
    }

    /// What only several sections together can be wrong about: who says that it uses what nobody holds, or cannot use it yet.
    pub(super) fn held_is_used(&mut self, root: &At<'_>, holds: bool) {
        for kind in crate::spec::WORKLOADS {
            for (_, at) in root.key(kind).entries() {
                let key = at.key("purchase").key("commitments");
                let profile = at.key("profile");
                if kind == "services" && profile.is_there() && holds && key.word() != Some("none") {
                    let what = "the use of held machines by a service with a `profile`";
                    let help = "write `purchase: { commitments: none }` in the service: it leaves them alone";
                    self.report(&profile.pointer, true, leaf::not_yet(what, help));
                    continue;
                }
                let existing = key.word() == Some("existing");
                let copied = |p: &Pointer| {
                    key.pointer.0.strip_prefix(&p.0).is_some_and(|r| r.is_empty() || r.starts_with('/'))
                };
                if self.copied.iter().any(copied) {
                    continue;
                }
                let useless = match (kind, key.word()) {
                    ("federations", Some("none")) => Some(("no federation uses held machines", "remove it")),
                    (_, Some("existing")) if kind != "federations" && !holds => Some((
                        "nothing is held",
                        "state what is held in the top level's `commitments`, or remove it",
                    )),
                    _ => None,
                };
                if let Some((why, help)) = useless {
                    self.problems.push(
                        Diagnostic::warning("useless-key", format!("`{}`: {why}", key.pointer.dotted()))
                            .at_key(self.map, &key.pointer)
                            .label("changes nothing here")
                            .help(help),
                    );
                } else if existing && kind == "federations" {
                    let what = format!("`{}`", key.pointer.dotted());
                    let problem = leaf::not_yet(&what, "a federation leaves them alone: remove it");
                    self.report(&key.pointer, true, problem);
                }
            }
        }
    }
}
