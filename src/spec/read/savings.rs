//! `commitments` of kind `savings-plan`.

use super::*;
use crate::spec::units::hourly;

/// What one kind of commitment has and the other has not.
const OF_MACHINES: [&str; 4] = ["region", "instance_type", "count", "cost"];
const OF_MONEY: [&str; 2] = ["spend", "rates"];

impl Reader<'_> {
    /// A savings plan.
    pub(super) fn one_savings_plan(&mut self, name: &str, at: &At<'_>) -> Option<SavingsPlan> {
        for key in OF_MACHINES.into_iter().filter(|key| at.key(key).is_there()) {
            let fix = match key {
                "cost" => "remove it: what it costs an hour is its `spend`",
                "count" => "remove it: a savings plan covers machines up to its `spend`",
                _ => "remove it: what a savings plan covers is in its `rates`",
            };
            self.not_of_kind(&at.key(key).pointer, key, "a savings plan", fix);
        }
        for (key, what) in [
            ("spend", "what is promised of each hour: `40 USD/h`"),
            ("rates", "what machines cost under it: `[{ discount: 27% }]`"),
        ] {
            if !at.key(key).is_there() {
                self.missing(at, key, what);
            }
        }
        let cloud = at.key("cloud").get(leaf::cloud)?;
        let spend = at.key("spend").get(hourly);
        if spend == Some(Money::ZERO) {
            let what = "a savings plan of nothing covers nothing";
            let fix = "write what is promised of each hour, `40 USD/h`, or remove the commitment";
            let problem = Problem::new("out-of-range", what, "must be more than 0", fix);
            self.report(&at.key("spend").pointer, false, problem);
        }
        let rates = at.key("rates");
        if rates.is_there() && rates.items().is_empty() {
            let fix = "say what machines cost under it: `[{ discount: 27% }]`";
            let problem = Problem::new("empty-list", "no rate covers no machine", "empty", fix);
            self.report(&rates.pointer, false, problem);
        }
        let rates: Vec<PlanRate> = rates.items().iter().filter_map(|at| self.rate(cloud, at)).collect();
        for (i, rate) in rates.iter().enumerate() {
            if rates[..i].iter().any(|before| before.covers_all_of(rate)) {
                let what = "this rate never counts: one before it fits whatever it fits";
                let fix = "put the narrower one first, or remove it";
                self.report(&rate.at, true, Problem::new("useless-key", what, "changes nothing", fix));
            }
        }
        Some(SavingsPlan {
            name: name.to_owned(),
            cloud,
            spend: spend.filter(|usd| *usd > Money::ZERO)?,
            until: at.key("until").get(leaf::date)?,
            rates,
            id: at.key("id").text(),
            at: at.pointer.clone(),
        })
    }

    /// Reports what only savings plans have in a commitment of machines.
    pub(super) fn not_of_machines(&mut self, at: &At<'_>) {
        for key in OF_MONEY.into_iter().filter(|key| at.key(key).is_there()) {
            let fix = "remove it: what is held are `count` machines, and `cost` is what one of them costs";
            self.not_of_kind(&at.key(key).pointer, key, "a commitment of machines", fix);
        }
    }

    fn not_of_kind(&mut self, at: &Pointer, key: &str, kind: &str, fix: &str) {
        let what = format!("`{key}` is nothing that {kind} has");
        self.report(at, true, Problem::new("conflicting-keys", what, "of another kind of commitment", fix));
    }

    fn rate(&mut self, cloud: Cloud, at: &At<'_>) -> Option<PlanRate> {
        let vocabulary = self.vocabulary;
        let types = |v: &Value| leaf::instance_type(vocabulary, v).into_iter().collect();
        let id = |written: &str| written.strip_prefix(&format!("{cloud}/")).unwrap_or(written).to_owned();
        let ids = |v: &Value| leaf::region(vocabulary, v).ok().and(v.as_str()).map(id).into_iter().collect();
        let regions: AllowDeny<String> =
            at.key("regions").get(|v| leaf::allow_deny(v, ids)).unwrap_or_default();
        let named = match &regions {
            AllowDeny::Any => &[][..],
            AllowDeny::Only(list) | AllowDeny::Not(list) => list,
        };
        let of_cloud = |id: &&String| vocabulary.regions.iter().any(|r| r.cloud == cloud && r.region == **id);
        if let Some(other) = named.iter().find(|id| !of_cloud(id)) {
            let what = format!("unknown region `{other}` of {cloud}");
            let fix = format!("`rhumb catalog regions` lists the regions of {cloud}");
            let problem = Problem::new("unknown-region", what, "of another cloud", fix);
            self.report(&at.key("regions").pointer, false, problem);
        }
        let discount = at.key("discount").quantity(Unit::Percent, Range::PART)?;
        Some(PlanRate {
            // Of a share below 1 a whole number of millionths below a million, unless it is nearer to 1 than that.
            discount_ppm: ((discount * f64::from(WHOLE_PPM)).round() as u32).min(WHOLE_PPM - 1),
            instance_types: at.key("instance_types").get(|v| leaf::allow_deny(v, types)).unwrap_or_default(),
            regions,
            at: at.pointer.clone(),
        })
    }
}

impl PlanRate {
    /// Whether whatever another one fits, this one fits, as far as their words tell.
    fn covers_all_of(&self, other: &PlanRate) -> bool {
        let wider = |own: &AllowDeny<String>, other: &AllowDeny<String>| match (own, other) {
            (AllowDeny::Any, _) => true,
            (own, AllowDeny::Only(list)) => list.iter().all(|name| own.allows(name)),
            (own, other) => own == other,
        };
        wider(&self.instance_types, &other.instance_types) && wider(&self.regions, &other.regions)
    }
}
