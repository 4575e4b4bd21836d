//! `services.NAME.rollout`.

use std::collections::BTreeMap;

use super::{At, Problem, Reader, Rollout, leaf};
use crate::spec::units::{Range, Unit};

impl Reader<'_> {
    /// The rollouts that are stated, by the address of the service.
    pub(super) fn rollouts(&mut self, root: &At<'_>) -> BTreeMap<String, Rollout> {
        let mut found = BTreeMap::new();
        for (name, service) in root.key("services").entries() {
            let at = service.key("rollout");
            if at.is_there() {
                let waves = at.key("waves");
                if waves.is_there() && service.key("share_machines").word() == Some("within-deployment") {
                    let what = format!("`{}` of a service that shares machines", waves.pointer.dotted());
                    let problem =
                        leaf::not_yet(&what, "remove it, or let the service have machines of its own");
                    self.report(&waves.pointer, true, problem);
                }
                found.insert(format!("services.{name}"), self.rollout(&at));
            }
        }
        found
    }

    fn rollout(&mut self, at: &At<'_>) -> Rollout {
        let mut waves: Vec<u32> = Vec::new();
        for wave in at.key("waves").items() {
            let Some(places) = wave.whole() else { continue };
            if let Some(before) = waves.last().copied().filter(|before| places <= *before) {
                let what = format!("`{}` after {before}: a wave adds places", wave.pointer.dotted());
                let help = "write how many places have changed after each wave, ascending, such as [1, 3]";
                self.report(
                    &wave.pointer,
                    false,
                    Problem::new("bad-value", what, "not above the wave before", help),
                );
                continue;
            }
            waves.push(places);
        }
        let timeout = at.key("health_timeout");
        let seconds = timeout.quantity(Unit::Duration, Range::POSITIVE).map(f64::ceil);
        if seconds.is_some_and(|s| s > f64::from(Rollout::LONGEST_S)) {
            let what = format!("`{}` is longer than a day", timeout.pointer.dotted());
            let help = "machines that do not serve within a day will not; write a shorter time, such as 30m";
            self.report(&timeout.pointer, false, Problem::new("out-of-range", what, "too long", help));
        }
        let seconds = seconds.map(|s| s.clamp(1.0, f64::from(Rollout::LONGEST_S)) as u32);
        Rollout {
            waves,
            health_timeout_s: seconds.unwrap_or(Rollout::HEALTH_TIMEOUT_S),
            at: at.pointer.clone(),
        }
    }
}
