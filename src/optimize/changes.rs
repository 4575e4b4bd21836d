//! The constraints of a workload that can be loosened, and by how much.

use rhumb_api::Money;

use super::job::{Job, Kind, Task};
use crate::diagnostic::Pointer;
use crate::spec::{
    AllowDeny, BudgetScope, Objective, Pipeline, PlacementRules, PurchaseRules, Service, Spec,
};

mod federation;
mod money;
mod profile;
mod rolling;
mod stream;

/// A constraint of one workload that can be loosened.
pub(super) struct Change {
    pub constraint: &'static str,
    pub at: Pointer,
    /// What the constraint says, for a conflict.
    pub says: String,
    /// A few looser values, nearest first: what would be worth a thought.
    pub coarse: Vec<Step>,
    /// Many looser values, nearest first: what would just do.
    pub fine: Vec<Step>,
    /// The value now, if it is a limit that a candidate may come near to.
    now: Option<f64>,
    set: fn(&mut Spec, &str, usize, f64),
    without: fn(&mut Spec, &str, usize),
    /// Which of several alike.
    index: usize,
    /// The budget, if it is one.
    budget: Option<BudgetScope>,
}

/// A looser value of a constraint.
#[derive(Clone)]
pub(super) struct Step {
    pub words: String,
    /// `None` takes the constraint away.
    to: Option<f64>,
}

impl Step {
    fn new(words: String, to: f64) -> Self {
        Step { words, to: Some(to) }
    }

    /// The same step in other words.
    pub fn worded(&self, words: String) -> Self {
        Step { words, to: self.to }
    }

    fn without(words: String) -> Self {
        Step { words, to: None }
    }
}

impl Change {
    /// The spec with a looser value.
    pub fn applied(&self, spec: &Spec, address: &str, step: &Step) -> Spec {
        let mut looser = spec.clone();
        match (step.to, &self.budget) {
            (None, _) => self.take(&mut looser, address),
            (Some(to), None) => (self.set)(&mut looser, address, self.index, to),
            (Some(to), Some(scope)) => {
                if let Some(b) = looser.budget.limits.get_mut(scope) {
                    b.limit = Money::from_usd(to).unwrap_or(Money::MAX);
                }
            }
        }
        looser
    }

    /// Takes the constraint away.
    pub fn take(&self, spec: &mut Spec, address: &str) {
        match &self.budget {
            Some(scope) => drop(spec.budget.limits.remove(scope)),
            None => (self.without)(spec, address, self.index),
        }
    }

    /// How far a looser value is from the present one.
    pub fn distance(&self, step: &Step) -> Option<f64> {
        let (now, to) = (self.now?, step.to?);
        (now > 0.0).then(|| (to / now - 1.0).abs())
    }

    /// The budget of so many dollars a month.
    pub fn budget_of(&self, usd: f64) -> Step {
        let words = Money::from_usd(usd)
            .map_or_else(|_| usd.to_string(), |m| format!("a budget of {m} USD a month ({})", self.says));
        Step::new(words, usd)
    }
}

/// Factors on a limit that are tried where a saving is looked for: beyond, it is another service.
const FACTORS: [f64; 5] = [1.1, 1.25, 1.5, 2.0, 3.0];

/// How far a limit is loosened.
const MOST: f64 = 100.0;

/// Short decimal numbers above `low` up to [`MOST`] times of it, at most 2.5 % apart.
fn grid(low: f64) -> Vec<f64> {
    let mantissas =
        (100..200).step_by(2).chain((200..500).step_by(5)).chain((500..1000).step_by(10)).collect::<Vec<_>>();
    let mut values = Vec::new();
    for exponent in -6..13_i32 {
        let power = (0..exponent.abs()).fold(1.0, |p, _| p * 10.0);
        for m in &mantissas {
            let value = if exponent < 0 { f64::from(*m) / power } else { f64::from(*m) * power };
            if value > low && value <= low * MOST {
                values.push(value);
            }
        }
    }
    values
}

fn rules<'s>(spec: &'s mut Spec, address: &str) -> Option<&'s mut PlacementRules> {
    match address.split_once('.')? {
        ("services", name) if spec.profiled.contains_key(name) => {
            spec.profiled.get_mut(name).map(|p| &mut p.placement)
        }
        ("services", name) => spec.services.get_mut(name).map(|s| &mut s.placement),
        ("batches", name) => spec.batches.get_mut(name).map(|b| &mut b.placement),
        ("trainings", name) => spec.trainings.get_mut(name).map(|t| &mut t.placement),
        ("pipelines", name) => spec.pipelines.get_mut(name).map(|p| &mut p.placement),
        ("federations", name) => spec.federations.get_mut(name).map(|f| &mut f.placement),
        _ => None,
    }
}

fn purchase<'s>(spec: &'s mut Spec, address: &str) -> Option<&'s mut PurchaseRules> {
    match address.split_once('.')? {
        ("services", name) if spec.profiled.contains_key(name) => {
            spec.profiled.get_mut(name).map(|p| &mut p.purchase)
        }
        ("services", name) => spec.services.get_mut(name).map(|s| &mut s.purchase),
        ("batches", name) => spec.batches.get_mut(name).map(|b| &mut b.purchase),
        ("trainings", name) => spec.trainings.get_mut(name).map(|t| &mut t.purchase),
        ("pipelines", name) => spec.pipelines.get_mut(name).map(|p| &mut p.purchase),
        ("federations", name) => spec.federations.get_mut(name).map(|f| &mut f.purchase),
        _ => None,
    }
}

fn service<'s>(spec: &'s mut Spec, address: &str) -> Option<&'s mut Service> {
    spec.services.get_mut(address.strip_prefix("services.")?)
}

fn objectives(service: &mut Service, metric: usize) -> &mut Vec<Objective> {
    match metric {
        0 => &mut service.slo.ttft,
        1 => &mut service.slo.tpot,
        _ => &mut service.slo.e2e,
    }
}

/// A limit of two or three digits.
fn rounded(x: f64) -> f64 {
    let mut unit = 1.0;
    while x / unit >= 100.0 {
        unit *= 10.0;
    }
    while x / unit < 10.0 && unit > 1e-3 {
        unit /= 10.0;
    }
    crate::math::round_to((x / unit).ceil() * unit, 3)
}

/// What can be loosened about a workload.
pub(super) fn changes(job: &Job<'_>) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    if let Kind::Service(s) = job.kind {
        for (m, (metric, list)) in
            [("ttft", &s.slo.ttft), ("tpot", &s.slo.tpot), ("e2e", &s.slo.e2e)].into_iter().enumerate()
        {
            for (i, o) in list.iter().enumerate() {
                let q = super::load::quantile(o.quantile);
                let step = |limit: f64| {
                    Step::new(format!("{metric} {q} {limit} ms instead of {} ms", o.limit_ms), limit)
                };
                all.push(Change {
                    constraint: metric,
                    at: o.at.clone(),
                    says: format!("{metric} {q} at most {} ms", o.limit_ms),
                    coarse: FACTORS.iter().map(|f| step(rounded(o.limit_ms * f))).collect(),
                    fine: grid(o.limit_ms).into_iter().map(step).collect(),
                    now: Some(o.limit_ms),
                    set: set_objective,
                    without: |spec, address, index| set_objective(spec, address, index, 1e12),
                    index: m * 1000 + i,
                    budget: None,
                });
            }
        }
        for (i, origin) in s.traffic.origins.iter().enumerate().filter(|(_, o)| !o.residency.is_empty()) {
            all.push(Change {
                constraint: "residency",
                at: origin.at.join("residency"),
                says: format!("data of `{}` stays in {}", origin.name, origin.residency.join(" or ")),
                coarse: vec![Step::without(format!("no residency for `{}`", origin.name))],
                fine: vec![Step::without(format!("no residency for `{}`", origin.name))],
                now: None,
                set: nothing,
                without: drop_origin_residency,
                index: i,
                budget: None,
            });
        }
        for (scope, count) in [
            ("replica", s.survive.replica),
            ("machine", s.survive.machine),
            ("zone", s.survive.zone),
            ("region", s.survive.region),
            ("wan", s.survive.wan),
        ]
        .into_iter()
        .filter(|(_, n)| *n > 0)
        {
            let index =
                ["replica", "machine", "zone", "region", "wan"].iter().position(|x| *x == scope).unwrap_or(0);
            all.push(Change {
                constraint: "survive",
                at: s.at.join("survive").join(scope),
                says: format!("survives the loss of {count} ({scope})"),
                coarse: vec![Step::without(format!("survive {scope} 0 instead of {count}"))],
                fine: (0..count)
                    .rev()
                    .map(|k| Step::new(format!("survive {scope} {k} instead of {count}"), f64::from(k)))
                    .collect(),
                now: None,
                set: set_survive,
                without: |spec, address, index| set_survive(spec, address, index, 0.0),
                index,
                budget: None,
            });
        }
        all.extend(rolling::change(job));
        if let Some(most) = s.scaling.max_replicas {
            let vertical = s.scaling.vertical;
            let none = || {
                let words =
                    if vertical { "`hybrid` instead of `vertical`" } else { "no largest number of replicas" };
                Step::without(words.into())
            };
            let more = most.saturating_add(1)..=most.saturating_mul(4).max(most.saturating_add(256));
            let key = if vertical { "min_replicas" } else { "max_replicas" };
            let words = |n: u32| format!("{key} {n} instead of {most}");
            all.push(Change {
                constraint: "max_replicas",
                at: s.at.join("scaling"),
                says: if vertical {
                    format!("exactly {most} of its replicas in every hour (`vertical`)")
                } else {
                    format!("at most {most} replicas")
                },
                coarse: vec![none()],
                fine: more.map(|n| Step::new(words(n), f64::from(n))).chain([none()]).collect(),
                now: Some(f64::from(most)),
                set: |spec, address, _, n| {
                    if let Some(s) = service(spec, address) {
                        s.scaling.max_replicas = Some(n as u32);
                        if s.scaling.vertical {
                            s.scaling.min_replicas = n as u32;
                        }
                    }
                },
                without: |spec, address, _| {
                    if let Some(s) = service(spec, address) {
                        s.scaling.max_replicas = None;
                    }
                },
                index: 0,
                budget: None,
            });
        }
    } else if let Kind::Mixed(profiled) = job.kind {
        profile::changes(profiled, &mut all);
    } else if let Kind::Federation(asked, _) = job.kind {
        all.extend(federation::changes(job.spec, asked));
    } else if let Kind::Run(Task::Pipeline(pipeline @ Pipeline { stream: Some(asked), .. })) = job.kind {
        all.extend(stream::changes(pipeline, asked));
    } else if let Kind::Run(task) = job.kind {
        let now = task.deadline();
        let step = |hours: f64| Step::new(format!("a deadline of {hours} h instead of {now} h"), hours);
        all.push(Change {
            constraint: "deadline",
            at: task.at().join("deadline"),
            says: format!("ends within {now} h"),
            coarse: FACTORS.iter().map(|f| step(rounded(now * f))).collect(),
            fine: grid(now).into_iter().map(step).collect(),
            now: Some(now),
            set: set_deadline,
            without: |spec, address, index| set_deadline(spec, address, index, 1e9 / 3600.0),
            index: 0,
            budget: None,
        });
    }
    place_rules(job, &mut all);
    money::rules(job, &mut all);
    all
}

fn drop_origin_residency(spec: &mut Spec, address: &str, index: usize) {
    if let Some(o) = service(spec, address).and_then(|s| s.traffic.origins.get_mut(index)) {
        o.residency.clear();
    }
}

fn nothing(_: &mut Spec, _: &str, _: usize, _: f64) {}

fn set_objective(spec: &mut Spec, address: &str, index: usize, limit_ms: f64) {
    if let Some(o) = service(spec, address).and_then(|s| objectives(s, index / 1000).get_mut(index % 1000)) {
        o.limit_ms = limit_ms;
    }
}

fn set_deadline(spec: &mut Spec, address: &str, _: usize, hours: f64) {
    let seconds = match address.split_once('.') {
        Some(("batches", name)) => spec.batches.get_mut(name).map(|b| &mut b.deadline_s),
        Some(("trainings", name)) => spec.trainings.get_mut(name).map(|t| &mut t.deadline_s),
        Some(("pipelines", name)) => spec.pipelines.get_mut(name).map(|p| &mut p.deadline_s),
        _ => None,
    };
    if let Some(seconds) = seconds {
        *seconds = hours * 3600.0;
    }
}

fn set_survive(spec: &mut Spec, address: &str, index: usize, n: f64) {
    if let Some(s) = service(spec, address) {
        let s = &mut s.survive;
        let scopes = [&mut s.replica, &mut s.machine, &mut s.zone, &mut s.region, &mut s.wan];
        if let Some(scope) = scopes.into_iter().nth(index) {
            *scope = n as u32;
        }
    }
}

fn drop_place(spec: &mut Spec, address: &str, index: usize) {
    if let Some(r) = rules(spec, address) {
        match index {
            0 => r.residency.clear(),
            1 => r.clouds = AllowDeny::Any,
            2 => r.regions = AllowDeny::Any,
            3 => r.accelerators = AllowDeny::Any,
            4 => r.instance_types = AllowDeny::Any,
            5 => r.spread_regions = 1,
            // Sites alone become sites and clouds.
            _ => r.clouds = AllowDeny::Any,
        }
    }
}

fn place_rules(job: &Job<'_>, all: &mut Vec<Change>) {
    let r = job.rules;
    let sites_alone = !r.sites.is_empty() && r.clouds == AllowDeny::Only(Vec::new());
    let list = [
        ("residency", "residency", !r.residency.is_empty()),
        ("clouds", "clouds", r.clouds != AllowDeny::Any && !sites_alone),
        ("regions", "regions", r.regions != AllowDeny::Any),
        ("accelerators", "accelerators", r.accelerators != AllowDeny::Any),
        ("instance-types", "instance_types", r.instance_types != AllowDeny::Any),
        ("spread", "spread", r.spread_regions > 1),
        ("sites", "sites", sites_alone),
    ];
    for (index, (constraint, key, _)) in list.into_iter().enumerate().filter(|(_, l)| l.2) {
        let without = || {
            let clouds_too = format!("clouds beside placement.{key}");
            Step::without(if key == "sites" { clouds_too } else { format!("without placement.{key}") })
        };
        let spread = r.spread_regions;
        let fine = match constraint {
            "spread" => (1..spread)
                .rev()
                .map(|k| Step::new(format!("spread over {k} instead of {spread} regions"), f64::from(k)))
                .collect(),
            _ => vec![without()],
        };
        all.push(Change {
            constraint,
            at: r.at.join(key),
            says: format!("placement.{key}"),
            coarse: vec![without()],
            fine,
            now: None,
            set: |spec, address, _, n| {
                if let Some(r) = rules(spec, address) {
                    r.spread_regions = n as u32;
                }
            },
            without: drop_place,
            index,
            budget: None,
        });
    }
}
