//! `degrade`, and what it cannot go with yet.

use std::collections::BTreeMap;

use super::*;

impl Reader<'_> {
    /// `degrade` of a service.
    pub(super) fn degrade(&mut self, at: &At<'_>) -> Option<Degrade> {
        let at = at.key("degrade");
        at.value?.as_object()?;
        let to = at.key("to");
        if to.is_there() && to.items().is_empty() {
            let fix = "list the models that may stand in: `to: [{ model: small, quality: 92% }]`; or remove `degrade`";
            self.report(&to.pointer, false, Problem::new("empty-list", "nothing may stand in", "empty", fix));
        }
        let keep = at.key("keep").quantity(Unit::Percent, Range::POSITIVE_SHARE)?;
        let range = Range { max: 2.0, ..Range::POSITIVE_SHARE };
        let mut found: Vec<Smaller> = Vec::new();
        for one in to.items() {
            let (model, quality) = (one.key("model"), one.key("quality"));
            let (Some(name), Some(share)) = (model.text(), quality.quantity(Unit::Percent, range)) else {
                continue;
            };
            if share < keep {
                let percent = |x: f64| Unit::Percent.format(crate::math::round_to(x, 9));
                let what = format!("`{name}` keeps {}, {} are asked for", percent(share), percent(keep));
                let fix = "name a better model, or lower `degrade.keep` if its answers do";
                self.report(
                    &quality.pointer,
                    false,
                    Problem::new("below-floor", what, "below `degrade.keep`", fix),
                );
            }
            if found.iter().any(|other| other.model == name) {
                let what = format!("`{name}` twice in `degrade.to`");
                let problem = Problem::new(
                    "duplicate-name",
                    what,
                    "named before",
                    "remove one of the two: they are one model",
                );
                self.report(&model.pointer, false, problem);
            }
            found.push(Smaller { model: name, quality: share, at: one.pointer });
        }
        Some(Degrade { to: found, keep, at: at.pointer })
    }

    /// What only several sections together say of `degrade`.
    pub(super) fn degraded(
        &mut self,
        root: &At<'_>,
        models: &BTreeMap<String, Model>,
        services: &BTreeMap<String, Service>,
    ) {
        for (name, service) in services {
            let Some(degrade) = &service.degrade else { continue };
            let at = root.key("services").key(name);
            let key = at.key("degrade").pointer;
            let survive = service.survive;
            if survive.replica == 0 && survive.machine == 0 {
                let what = "`degrade` has no meaning without `survive`: no failure of a replica or a machine is planned for";
                let fix = "say what may fail, `survive: { machine: 1 }`, or remove it";
                self.report(&key, true, Problem::new("useless-key", what, "changes nothing here", fix));
            }
            for (later, what, help) in self.not_with_degrade(root, (name, &at), service) {
                let what = format!("`degrade` with {what}");
                self.report(&later.pointer, true, leaf::not_yet(&what, help));
            }
            let own = models.get(&service.model);
            if let Some(own) = own.filter(|m| m.adapters.is_some() || m.measured().is_some()) {
                let kind = if own.adapters.is_some() { "adapters" } else { "times that were measured" };
                let what = format!("`degrade` of a service whose model has {kind}");
                let help = "remove `degrade`: a spare of the model survives the failure";
                self.report(&key, true, leaf::not_yet(&what, help));
            }
            for smaller in &degrade.to {
                self.may_stand_in(service, own, models, smaller);
            }
        }
    }

    /// The first key of each sort that the rule knows nothing of: what it is, and what to write.
    fn not_with_degrade<'v>(
        &self,
        root: &At<'v>,
        (name, at): (&str, &At<'v>),
        service: &Service,
    ) -> Vec<(At<'v>, &'static str, &'static str)> {
        let mut later = Vec::new();
        let mut no = |is: bool, key: At<'v>, what, help| {
            if is {
                later.push((key, what, help));
            }
        };
        let (survive, traffic, purchase) = (at.key("survive"), at.key("traffic"), at.key("purchase"));
        let of_failure = "only replicas and machines that fail: remove it, or remove `degrade`";
        no(service.survive.zone > 0, survive.key("zone"), "zones that may fail", of_failure);
        no(service.survive.region > 0, survive.key("region"), "regions that may fail", of_failure);
        no(service.survive.wan > 0, survive.key("wan"), "a connection that may fail", of_failure);
        let as_rate = "state the load as `peak: 12 req/s`, or remove `degrade`";
        let sessions = service.traffic.sessions.is_some();
        let closed = matches!(service.traffic.load, Load::Concurrency(_)) && !sessions;
        no(sessions, traffic.key("sessions"), "conversations", as_rate);
        no(closed, traffic.key("concurrency"), "requests in flight", as_rate);
        let follows = service.scaling.mode == ScalingMode::Horizontal;
        no(follows, at.key("scaling").key("mode"), "pools that follow the day", "write `mode: fixed`");
        let spot = service.purchase.spot_max_share > 0.0;
        no(spot, purchase.key("spot_max_share"), "spot machines", "write `spot_max_share: 0%`");
        let shares = "write `share_machines: never`";
        no(service.shares, at.key("share_machines"), "shared machines", shares);
        let at_site = !service.placement.sites.is_empty();
        let sites = "remove `placement.sites`, or remove `degrade`";
        no(at_site, at.key("placement").key("sites"), "sites of your own", sites);
        let engine = &service.engine;
        let sizes = [
            (engine.tensor_parallel_size.is_some(), "tensor_parallel_size"),
            (engine.pipeline_parallel_size.is_some(), "pipeline_parallel_size"),
            (engine.data_parallel_size.is_some(), "data_parallel_size"),
            (engine.enable_expert_parallel.is_some(), "enable_expert_parallel"),
        ];
        for (_, size) in sizes.into_iter().filter(|(is, _)| *is) {
            let help = "write `auto`: a smaller model is cut otherwise";
            no(true, at.key("engine").key("args").key(size), "a size of the layout", help);
        }
        let holds = !root.key("commitments").entries().is_empty() && service.purchase.held;
        let none = "write `purchase: { commitments: none }` in the service: it leaves them alone";
        no(holds, at.key("degrade"), "the use of held machines", none);
        let chained = self.chained.contains(name);
        let alone = "take the service out of the chain, or remove `degrade`";
        no(chained, at.key("degrade"), "an objective of a chain", alone);
        later
    }

    /// Whether a model may stand in for that of a service at all.
    fn may_stand_in(
        &mut self,
        service: &Service,
        own: Option<&Model>,
        models: &BTreeMap<String, Model>,
        smaller: &Smaller,
    ) {
        let at = smaller.at.join("model");
        if smaller.model == service.model {
            let what = format!("`{}` stands in for itself", smaller.model);
            let fix = "name another model: a spare of the service's own is planned where it is cheaper";
            self.report(&at, false, Problem::new("useless-key", what, "the service's own model", fix));
            return;
        }
        let Some(model) = models.get(&smaller.model) else { return };
        if model.variants.len() > 1 {
            let what = format!("`{}` with several variants as a stand-in", smaller.model);
            let help = "`quality` is the figure of one: declare a model with that one variant";
            self.report(&at, false, leaf::not_yet(&what, help));
        }
        if model.adapters.is_some() || model.measured().is_some() {
            let kind = if model.adapters.is_some() { "adapters" } else { "measured times" };
            let what = format!("`{}` with {kind} as a stand-in", smaller.model);
            self.report(&at, false, leaf::not_yet(&what, "name a model without them"));
        }
        if own.is_some_and(|own| own.artifacts_at != model.artifacts_at) {
            let what = format!("`{}` with another `artifacts_at` than `{}`", smaller.model, service.model);
            let help = "copy both from one place: write the same `artifacts_at` in both models, or in none";
            self.report(&at, false, leaf::not_yet(&what, help));
        }
    }
}
