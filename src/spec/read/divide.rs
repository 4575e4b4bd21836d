//! `traffic.divide_at` and `scaling.mode: vertical` or `hybrid`: services that may be served in parts, and what these cannot go with yet.

use std::collections::BTreeMap;

use super::*;
use crate::spec::divide::{LEAST_SHARE, MOST_POINTS, slices};
use crate::spec::{By, Slice};

impl Reader<'_> {
    /// `divide_at` of a service's traffic.
    pub(super) fn divide_at(&mut self, traffic: &At<'_>) -> Option<DivideAt> {
        let at = traffic.key("divide_at");
        let items = at.items();
        if at.is_there() && at.value.is_some_and(Value::is_array) && items.is_empty() {
            let fix = "list the lengths at which requests may be divided, `divide_at: [2048]`; or remove it";
            self.report(&at.pointer, true, Problem::new("empty-list", "divided nowhere", "empty", fix));
        }
        if let Some(more) = items.get(MOST_POINTS) {
            let what = format!("more than {MOST_POINTS} lengths in `divide_at`");
            let help = "keep those that divide most: each doubles the number of divisions that are compared";
            self.report(&more.pointer, false, leaf::not_yet(&what, help));
        }
        let mut tokens: Vec<u32> = Vec::new();
        for one in items.iter().take(MOST_POINTS) {
            let Some(n) = one.whole().filter(|n| *n > 0) else { continue };
            if tokens.last().is_some_and(|last| *last >= n) {
                let what = format!("{n} after {}", tokens.last().copied().unwrap_or(0));
                let fix = "write the lengths in ascending order, each once";
                self.report(&one.pointer, false, Problem::new("out-of-order", what, "not ascending", fix));
                continue;
            }
            tokens.push(n);
        }
        (!tokens.is_empty()).then_some(DivideAt { tokens, at: at.pointer })
    }

    /// What only several sections together say of services in parts.
    pub(super) fn divided(
        &mut self,
        root: &At<'_>,
        models: &BTreeMap<String, Model>,
        (services, others): (&BTreeMap<String, Service>, &BTreeMap<String, Profiled>),
    ) {
        let share = services.values().filter(|s| s.shares).count() > 1;
        for (name, service) in services {
            let Some(divide) = service.divisible() else { continue };
            let at = root.key("services").key(name);
            let key = match divide.by {
                By::Prompts => "divide_at".to_owned(),
                By::Load => format!("mode: {}", at.key("scaling").key("mode").word().unwrap_or_default()),
            };
            let not = match divide.by {
                By::Prompts => self.not_with_divide_at(&at, service),
                By::Load => self.not_with_other_machines(&at, service),
            };
            let of_both = self.not_in_parts(root, (name, &at), service, divide.by);
            for (later, what, help) in not.into_iter().chain(of_both) {
                let what = format!("`{key}` with {what}");
                self.report(&later.pointer, true, leaf::not_yet(&what, help));
            }
            // What sharers cost by themselves bounds nothing from below.
            if share && !service.shares {
                let what = format!("`{key}` in a deployment whose services share machines");
                let help = format!("write `share_machines: never` in the others, or remove `{key}`");
                self.report(divide.at, true, leaf::not_yet(&what, &help));
            }
            let model = models.get(&service.model).filter(|_| divide.by == By::Prompts);
            let kind = model.and_then(|m| {
                let measured = m.measured().map(|_| "times that were measured");
                measured.or(m.adapters.as_ref().map(|_| "adapters"))
            });
            if let Some(kind) = kind {
                let what = format!("`{key}` of a service whose model has {kind}");
                self.report(divide.at, true, leaf::not_yet(&what, &format!("remove `{key}`")));
                continue;
            }
            match (&service.traffic.divide_at, &service.traffic.daily) {
                (Some(lengths), _) => self.points(&at, service, lengths),
                (None, Some(daily)) if divide.points.is_empty() => {
                    let (what, fix) = if daily.rests() {
                        (
                            format!("`{key}`, but every hour has the peak or nothing"),
                            "hours without any load need no machines of their own: write `horizontal`",
                        )
                    } else {
                        (
                            format!("`{key}`, but no hour has less than the peak"),
                            "state hours of less load, or write `fixed`",
                        )
                    };
                    let problem = Problem::new("useless-key", what, "changes nothing here", fix);
                    let pointer = if self.is_copied(divide.at) { &daily.at } else { divide.at };
                    self.report(pointer, false, problem);
                }
                _ => {}
            }
            let parts = service.divisions().into_iter().flat_map(|division| slices(divide.by, &division));
            let parts: Vec<String> = parts.map(|slice| service.part_name(slice)).collect();
            let taken = |part: &str| services.contains_key(part) || others.contains_key(part);
            self.parts_have_names(divide.at, &service.name, &parts, taken);
        }
    }

    /// Other machines in other hours are compared by what they cost.
    pub(super) fn least_carbon_by_the_hour(
        &mut self,
        root: &At<'_>,
        services: &BTreeMap<String, Service>,
        objective: Goal,
    ) {
        for (name, at) in services.iter().filter_map(|(name, s)| Some((name, s.scaling.changes.clone()?))) {
            if objective != Goal::Carbon {
                return;
            }
            let key = root.key("services").key(name).key("scaling").key("mode");
            let what = format!("`mode: {}` with `objective: carbon`", key.word().unwrap_or_default());
            let help =
                "write `horizontal`, or an objective with a price: `objective: { carbon_price: 90 USD/t }`";
            self.report(&at, true, leaf::not_yet(&what, help));
        }
    }

    /// That requests are on both sides of each length.
    fn points(&mut self, at: &At<'_>, service: &Service, divide: &DivideAt) {
        let traffic = &service.traffic;
        for n in &divide.tokens {
            let share = |above, to| service.share_of(Slice { by: By::Prompts, above, to });
            let (short, long) = (share(0, Some(*n)), share(*n, None));
            if short > 0.0 && long > 0.0 {
                continue;
            }
            let which = if short > 0.0 { "longer" } else { "so short" };
            let what = format!("hardly a prompt is {which}: fewer than {} in a million", LEAST_SHARE * 1e6);
            let range = format!(
                "they have {:.0} tokens on average, {:.0} at most",
                traffic.input.mean, traffic.input.max
            );
            let fix = format!("{range}: write a length that divides them, or remove it");
            let written = at.key("traffic").key("divide_at").items();
            let pointer = written.into_iter().find(|one| one.whole() == Some(*n)).map(|one| one.pointer);
            let pointer = pointer.unwrap_or_else(|| divide.at.clone());
            self.report(&pointer, false, Problem::new("useless-key", what, "divides nothing", fix));
        }
    }

    /// That the names of parts can be names, and are no other service's; the first that is not is told.
    fn parts_have_names(
        &mut self,
        at: &Pointer,
        whole: &str,
        parts: &[String],
        is_taken: impl Fn(&str) -> bool,
    ) {
        for part in parts.iter().filter(|part| *part != whole) {
            let (what, label, fix) = if !leaf::is_name(part) {
                let what = format!("a part would be called `{part}`, which is too long");
                (what, "too long a name", "give the service a shorter name")
            } else if is_taken(part) {
                let what = format!("a part would be called `{part}`, as another service is");
                (what, "two of one name", "rename one of the two services")
            } else {
                continue;
            };
            self.report(at, true, Problem::new("bad-name", what, label, fix));
            return;
        }
    }

    /// What `divide_at` alone cannot go with: what each is, and what to write.
    fn not_with_divide_at<'v>(
        &self,
        at: &At<'v>,
        service: &Service,
    ) -> Vec<(At<'v>, &'static str, &'static str)> {
        let mut later = Vec::new();
        let mut no = |is: bool, key: At<'v>, what, help| {
            if is {
                later.push((key, what, help));
            }
        };
        let traffic = at.key("traffic");
        let as_rate = "state the load as `peak: 12 req/s`, or remove `divide_at`";
        let sessions = service.traffic.sessions.is_some();
        let closed = matches!(service.traffic.load, Load::Concurrency(_)) && !sessions;
        no(sessions, traffic.key("sessions"), "conversations", as_rate);
        no(closed, traffic.key("concurrency"), "requests in flight", as_rate);
        let recorded = service.traffic.recorded.is_some();
        for lengths in ["input_tokens", "output_tokens"] {
            let both = "the trace has the lengths of each request: remove it, or `trace`";
            let key = traffic.key(lengths);
            no(recorded && key.is_there(), key, "lengths that are stated besides a trace", both);
        }
        let most = service.scaling.max_replicas.is_some() && !service.scaling.vertical;
        let key = at.key("scaling").key("max_replicas");
        no(most, key, "`max_replicas`", "remove it: it would be of all parts together");
        let mode = at.key("scaling").key("mode");
        no(
            service.scaling.changes.is_some(),
            mode,
            "machines that change with the load",
            "write `horizontal`",
        );
        later
    }

    /// What machines that change with the load alone cannot go with.
    fn not_with_other_machines<'v>(
        &self,
        at: &At<'v>,
        service: &Service,
    ) -> Vec<(At<'v>, &'static str, &'static str)> {
        let mut later = Vec::new();
        if service.traffic.sessions.is_some() {
            let help = "a conversation may last until other machines serve: write `horizontal`";
            later.push((at.key("traffic").key("sessions"), "conversations", help));
        }
        if service.scaling.vertical && service.traffic.origins.len() > 1 {
            // Each pool has its part of the replicas, rounded up: together more than there are to be.
            let help = "one origin alone has all replicas in one place: write `hybrid`, or a service for each origin";
            later.push((at.key("traffic").key("origins"), "several origins", help));
        }
        later
    }

    /// What services in parts cannot go with.
    fn not_in_parts<'v>(
        &self,
        root: &At<'v>,
        (name, at): (&str, &At<'v>),
        service: &Service,
        by: By,
    ) -> Vec<(At<'v>, &'static str, &'static str)> {
        let mut later = Vec::new();
        let mut no = |is: bool, key: At<'v>, what, help: [&'static str; 2]| {
            if is {
                later.push((key, what, help[usize::from(by == By::Load)]));
            }
        };
        let own = match by {
            By::Prompts => at.key("traffic").key("divide_at"),
            By::Load => at.key("scaling").key("mode"),
        };
        let either = ["remove one of the two", "remove it, or write `mode: horizontal`"];
        no(service.degrade.is_some(), at.key("degrade"), "`degrade`", either);
        let never = ["write `share_machines: never`"; 2];
        // Of pools that follow a day it is refused already.
        let shares = service.shares && by == By::Prompts;
        no(shares, at.key("share_machines"), "shared machines", never);
        let at_site = !service.placement.sites.is_empty();
        let sites = [
            "remove `placement.sites`, or remove `divide_at`",
            "remove `placement.sites`, or write `mode: horizontal`",
        ];
        no(at_site, at.key("placement").key("sites"), "sites of your own", sites);
        let holds = !root.key("commitments").entries().is_empty() && service.purchase.held;
        let none = ["write `purchase: { commitments: none }` in the service: it leaves them alone"; 2];
        no(holds, own.clone(), "the use of held machines", none);
        let chained = self.chained.contains(name);
        let alone = [
            "take the service out of the chain, or remove `divide_at`",
            "take the service out of the chain, or write `horizontal`",
        ];
        no(chained, own, "an objective of a chain", alone);
        later
    }
}
