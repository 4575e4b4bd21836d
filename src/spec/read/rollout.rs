//! `services.NAME.rollout`.

use std::collections::BTreeMap;

use super::{At, Problem, Reader, Rollout, leaf};
use crate::spec::Rolling;
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
                let rollout = self.rollout(&at);
                let back = at.key("on_refusal");
                if rollout.roll_back && service.key("share_machines").word() == Some("within-deployment") {
                    let what =
                        format!("`{}: roll_back` of a service that shares machines", back.pointer.dotted());
                    let help = "remove it: others may serve from machines that were made for it";
                    self.report(&back.pointer, true, leaf::not_yet(&what, help));
                }
                for key in ["max_surge", "max_unavailable"].map(|key| at.key(key)) {
                    let of = Self::not_rolled(root, &service).filter(|_| key.is_there());
                    if let Some(of) = of {
                        let what = format!("`{}` of {of}", key.pointer.dotted());
                        let help = "remove it; machines are then made anew as their cloud does it";
                        self.report(&key.pointer, true, leaf::not_yet(&what, help));
                    }
                }
                found.insert(format!("services.{name}"), rollout);
            }
        }
        found
    }

    /// What of a service keeps its machines from being planned with a surge.
    fn not_rolled(root: &At<'_>, service: &At<'_>) -> Option<&'static str> {
        let says = |key: &str| service.key(key).is_there();
        if service.key("share_machines").word() == Some("within-deployment") {
            return Some("a service that shares machines");
        }
        [("profile", "a service with a `profile`"), ("degrade", "a service with `degrade`")]
            .into_iter()
            .find_map(|(key, of)| says(key).then_some(of))
            .or_else(|| {
                // What one covers is dollars, which are no limit of what may be there besides.
                let mut held = root.key("commitments").entries().into_iter();
                held.any(|(_, at)| at.key("kind").word() == Some("savings-plan"))
                    .then_some("a service that a `savings-plan` may cover")
            })
    }

    fn rolling(&mut self, at: &At<'_>) -> Option<Rolling> {
        let (surge, unavailable) = (at.key("max_surge"), at.key("max_unavailable"));
        if !surge.is_there() && !unavailable.is_there() {
            return None;
        }
        let rolling = Rolling {
            surge: surge.whole().unwrap_or(Rolling::DEFAULT.surge),
            unavailable: unavailable.whole().unwrap_or(Rolling::DEFAULT.unavailable),
        };
        if rolling.surge == 0 && rolling.unavailable == 0 {
            let key = if surge.is_there() { &surge } else { &unavailable };
            let what = format!("`{}`: no machine may come and none may go", at.pointer.dotted());
            let help = "write `max_surge: 1`, or `max_unavailable: 1` where there is no room for one more";
            self.report(
                &key.pointer,
                false,
                Problem::new("conflicting-keys", what, "nothing could change", help),
            );
        }
        Some(rolling)
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
        let seconds = timeout.quantity(Unit::Duration, Range::POSITIVE).map(|ms| (ms / 1e3).ceil());
        if seconds.is_some_and(|s| s > f64::from(Rollout::LONGEST_S)) {
            let what = format!("`{}` is longer than a day", timeout.pointer.dotted());
            let help = "machines that do not serve within a day will not; write a shorter time, such as 30m";
            self.report(&timeout.pointer, false, Problem::new("out-of-range", what, "too long", help));
        }
        let seconds = seconds.map(|s| s.clamp(1.0, f64::from(Rollout::LONGEST_S)) as u32);
        Rollout {
            waves,
            health_timeout_s: seconds.unwrap_or(Rollout::HEALTH_TIMEOUT_S),
            rolling: self.rolling(at),
            roll_back: at.key("on_refusal").word() == Some("roll_back"),
            at: at.pointer.clone(),
        }
    }
}
