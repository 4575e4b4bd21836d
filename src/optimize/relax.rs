//! What a loosened constraint would bring: nearest changes that work, savings, sets in conflict.

use rhumb_api::{Money, Purchase};

use super::job::{Job, Kind};
use crate::diagnostic::Pointer;
use crate::placement::{CandidateId, InfeasibleWorkload, Rejection, Relaxation, WorkloadPlacement, World};
use crate::spec::{AllowDeny, BudgetLimit, Objective, PlacementRules, PurchaseRules, Service, Spec};

/// A constraint of one workload that can be loosened.
struct Change {
    constraint: &'static str,
    at: Pointer,
    /// What the constraint says, for a conflict.
    says: String,
    /// Looser specs in words, nearest first.
    steps: Vec<(String, Spec)>,
    /// The spec without the constraint.
    without: fn(&mut Spec, &str, usize),
    /// Which of several alike.
    index: usize,
}

/// Factors on a limit that are tried.
const FACTORS: [f64; 9] = [1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

fn rules<'s>(spec: &'s mut Spec, address: &str) -> Option<&'s mut PlacementRules> {
    match address.split_once('.')? {
        ("services", name) => spec.services.get_mut(name).map(|s| &mut s.placement),
        ("batches", name) => spec.batches.get_mut(name).map(|b| &mut b.placement),
        _ => None,
    }
}

fn purchase<'s>(spec: &'s mut Spec, address: &str) -> Option<&'s mut PurchaseRules> {
    match address.split_once('.')? {
        ("services", name) => spec.services.get_mut(name).map(|s| &mut s.purchase),
        ("batches", name) => spec.batches.get_mut(name).map(|b| &mut b.purchase),
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
fn changes(job: &Job<'_>) -> Vec<Change> {
    let (spec, address) = (job.spec, job.address.as_str());
    let mut all: Vec<Change> = Vec::new();
    let changed = |f: &dyn Fn(&mut Spec)| {
        let mut copy = spec.clone();
        f(&mut copy);
        copy
    };
    if let Kind::Service(s) = job.kind {
        for (m, (metric, list)) in
            [("ttft", &s.slo.ttft), ("tpot", &s.slo.tpot), ("e2e", &s.slo.e2e)].into_iter().enumerate()
        {
            for (i, o) in list.iter().enumerate() {
                let q = super::load::quantile(o.quantile);
                let steps = FACTORS
                    .iter()
                    .map(|f| {
                        let limit = rounded(o.limit_ms * f);
                        let looser = changed(&|copy| {
                            if let Some(o) = service(copy, address).and_then(|s| objectives(s, m).get_mut(i))
                            {
                                o.limit_ms = limit;
                            }
                        });
                        (format!("{metric} {q} {limit} ms instead of {} ms", o.limit_ms), looser)
                    })
                    .collect();
                all.push(Change {
                    constraint: metric,
                    at: o.at.clone(),
                    says: format!("{metric} {q} at most {} ms", o.limit_ms),
                    steps,
                    without: |spec, address, index| {
                        if let Some(o) = service(spec, address)
                            .and_then(|s| objectives(s, index / 1000).get_mut(index % 1000))
                        {
                            o.limit_ms = 1e12;
                        }
                    },
                    index: m * 1000 + i,
                });
            }
        }
        for (i, origin) in s.traffic.origins.iter().enumerate().filter(|(_, o)| !o.residency.is_empty()) {
            all.push(Change {
                constraint: "residency",
                at: origin.at.join("residency"),
                says: format!("data of `{}` stays in {}", origin.name, origin.residency.join(" or ")),
                steps: vec![(
                    format!("no residency for `{}`", origin.name),
                    changed(&|copy| drop_origin_residency(copy, address, i)),
                )],
                without: drop_origin_residency,
                index: i,
            });
        }
        for (scope, count) in [
            ("replica", s.survive.replica),
            ("machine", s.survive.machine),
            ("zone", s.survive.zone),
            ("region", s.survive.region),
        ]
        .into_iter()
        .filter(|(_, n)| *n > 0)
        {
            let index =
                ["replica", "machine", "zone", "region"].iter().position(|x| *x == scope).unwrap_or(0);
            all.push(Change {
                constraint: "survive",
                at: s.at.join("survive").join(scope),
                says: format!("survives the loss of {count} ({scope})"),
                steps: vec![(
                    format!("survive {scope} 0 instead of {count}"),
                    changed(&|copy| drop_survive(copy, address, index)),
                )],
                without: drop_survive,
                index,
            });
        }
        if let Some(most) = s.scaling.max_replicas {
            let without: fn(&mut Spec, &str, usize) = |spec, address, _| {
                if let Some(s) = service(spec, address) {
                    s.scaling.max_replicas = None;
                }
            };
            let step = ("no largest number of replicas".into(), changed(&|copy| without(copy, address, 0)));
            all.push(Change {
                constraint: "max_replicas",
                at: s.at.join("scaling"),
                says: format!("at most {most} replicas"),
                steps: vec![step],
                without,
                index: 0,
            });
        }
    } else if let Kind::Batch(b) = job.kind {
        let steps = FACTORS
            .iter()
            .map(|f| {
                let hours = rounded(b.deadline_s / 3600.0 * f);
                let looser = changed(&|copy| {
                    if let Some(b) = copy.batches.get_mut(address.trim_start_matches("batches.")) {
                        b.deadline_s = hours * 3600.0;
                    }
                });
                (format!("a deadline of {hours} h instead of {} h", b.deadline_s / 3600.0), looser)
            })
            .collect();
        all.push(Change {
            constraint: "deadline",
            at: b.at.join("deadline"),
            says: format!("ends within {} h", b.deadline_s / 3600.0),
            steps,
            without: |spec, address, _| {
                if let Some(b) = spec.batches.get_mut(address.trim_start_matches("batches.")) {
                    b.deadline_s = 1e9;
                }
            },
            index: 0,
        });
    }
    place_rules(job, &mut all);
    money_rules(job, &mut all);
    all
}

fn drop_origin_residency(spec: &mut Spec, address: &str, index: usize) {
    if let Some(o) = service(spec, address).and_then(|s| s.traffic.origins.get_mut(index)) {
        o.residency.clear();
    }
}

fn drop_survive(spec: &mut Spec, address: &str, index: usize) {
    if let Some(s) = service(spec, address) {
        match index {
            0 => s.survive.replica = 0,
            1 => s.survive.machine = 0,
            2 => s.survive.zone = 0,
            _ => s.survive.region = 0,
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
            _ => r.spread_regions = 1,
        }
    }
}

fn place_rules(job: &Job<'_>, all: &mut Vec<Change>) {
    let r = job.rules;
    let list = [
        ("residency", "residency", !r.residency.is_empty()),
        ("clouds", "clouds", r.clouds != AllowDeny::Any),
        ("regions", "regions", r.regions != AllowDeny::Any),
        ("accelerators", "accelerators", r.accelerators != AllowDeny::Any),
        ("instance-types", "instance_types", r.instance_types != AllowDeny::Any),
        ("spread", "spread", r.spread_regions > 1),
    ];
    for (index, (constraint, key, _)) in list.into_iter().enumerate().filter(|(_, l)| l.2) {
        let mut copy = job.spec.clone();
        drop_place(&mut copy, &job.address, index);
        all.push(Change {
            constraint,
            at: r.at.join(key),
            says: format!("placement.{key}"),
            steps: vec![(format!("without placement.{key}"), copy)],
            without: drop_place,
            index,
        });
    }
}

fn drop_money(spec: &mut Spec, address: &str, index: usize) {
    match index {
        0 => {
            if let Some(p) = purchase(spec, address) {
                p.options = Purchase::ALL.into_iter().filter(|p| *p != Purchase::Spot).collect();
            }
        }
        1 => {
            if let Some(p) = purchase(spec, address) {
                p.spot_max_share = 1.0;
                p.on_demand_base = 0;
            }
        }
        2 => {
            let name = match address.split_once('.') {
                Some(("services", n)) => spec.services.get(n).map(|s| s.model.clone()),
                Some(("batches", n)) => spec.batches.get(n).map(|b| b.model.clone()),
                _ => None,
            };
            if let Some(m) = name.and_then(|n| spec.models.get_mut(&n)) {
                m.quality = None;
            }
        }
        3 => {
            spec.budget.per.remove(address);
        }
        4 => spec.budget.monthly = None,
        5 => spec.providers.values_mut().for_each(|p| p.quotas.clear()),
        _ => spec.confidence = 0.5,
    }
}

fn money_rules(job: &Job<'_>, all: &mut Vec<Change>) {
    let (spec, p) = (job.spec, job.purchase);
    let mut add = |constraint, at: Pointer, says: String, change: String, index: usize| {
        let mut copy = spec.clone();
        drop_money(&mut copy, &job.address, index);
        all.push(Change { constraint, at, says, steps: vec![(change, copy)], without: drop_money, index });
    };
    if p.options.len() < Purchase::ALL.len() - 1 {
        let options = "on_demand, reserved_1y and reserved_3y".to_owned();
        add(
            "purchase",
            p.at.join("options"),
            "purchase.options".into(),
            format!("purchase options {options}"),
            0,
        );
    }
    if p.spot_max_share < 1.0 || p.on_demand_base > 0 {
        let says = format!("spot_max_share {}", p.spot_max_share);
        let change = format!("spot_max_share 1 instead of {}", p.spot_max_share);
        add("spot", p.at.join("spot_max_share"), says, change, 1);
    }
    if let Some(q) = &job.model.quality {
        let says = format!("quality keeps {} of {}", q.keep, q.benchmark);
        add("quality", q.at.clone(), says, format!("without a quality floor (now {})", q.keep), 2);
    }
    if let Some(b) = spec.budget.per.get(&job.address) {
        add("budget", b.at.clone(), budget(b), "without its budget".into(), 3);
    }
    if let Some(b) = &spec.budget.monthly {
        add("budget", b.at.clone(), budget(b), "without the monthly budget".into(), 4);
    }
    if let Some(p) = spec.providers.values().find(|p| !p.quotas.is_empty()) {
        add("quota", p.at.join("quotas"), "declared quotas".into(), "without the declared quotas".into(), 5);
    }
    if spec.confidence > 0.5 {
        let says = format!("confidence {}", spec.confidence);
        let change = format!("confidence 50 % instead of {} %", spec.confidence * 100.0);
        add("confidence", Pointer::root().join("confidence"), says, change, 6);
    }
}

fn budget(b: &BudgetLimit) -> String {
    format!("at most {} USD a month", b.limit)
}

fn choice(placed: &WorkloadPlacement) -> Option<CandidateId> {
    let pool = placed.pools.first()?;
    let purchase =
        pool.machines.iter().find(|m| m.purchase != Purchase::Spot).or(pool.machines.first())?.purchase;
    Some(CandidateId {
        cloud: pool.cloud,
        region: pool.region.clone(),
        instance_type: pool.instance_type.clone(),
        purchase,
        variant: pool.variant.clone(),
        layout: pool.layout,
    })
}

/// The choices of a placement, for telling losers apart.
pub(super) fn choices(placed: &WorkloadPlacement) -> Vec<CandidateId> {
    let mut list = Vec::new();
    for pool in &placed.pools {
        for m in &pool.machines {
            list.push(CandidateId {
                cloud: pool.cloud,
                region: pool.region.clone(),
                instance_type: pool.instance_type.clone(),
                purchase: m.purchase,
                variant: pool.variant.clone(),
                layout: pool.layout,
            });
        }
    }
    list
}

fn solve(spec: &Spec, world: &World, address: &str) -> Option<WorkloadPlacement> {
    super::solve(spec, world, address).ok()
}

/// What one loosened constraint would save, dearest first.
pub(super) fn savings(job: &Job<'_>, now: Money) -> Vec<Relaxation> {
    let mut found = Vec::new();
    for change in changes(job) {
        // Steps up to three times the limit: beyond, it is another service.
        for (words, spec) in change.steps.into_iter().take(5) {
            let Some(placed) = solve(&spec, job.world, &job.address) else { continue };
            let cost = placed.cost.expected_per_month;
            if cost < now
                && let Some(choice) = choice(&placed)
            {
                found.push(Relaxation {
                    constraint: change.constraint,
                    at: Some(change.at.clone()),
                    change: words,
                    cost_per_month: cost,
                    saves_per_month: Some(now - cost),
                    choice,
                });
                break;
            }
        }
    }
    found.sort_by(|a, b| b.saves_per_month.cmp(&a.saves_per_month).then_with(|| a.change.cmp(&b.change)));
    found
}

/// The nearest step of a change that works, by bisection: a looser step never fails where one before works.
fn nearest_step(job: &Job<'_>, change: &Change) -> Option<(String, CandidateId, WorkloadPlacement)> {
    let tried = |i: usize| {
        let (words, spec) = change.steps.get(i)?;
        let placed = solve(spec, job.world, &job.address)?;
        Some((words.clone(), choice(&placed)?, placed))
    };
    let mut high = change.steps.len().checked_sub(1)?;
    let mut found = tried(high)?;
    let mut low = 0;
    while low < high {
        let middle = low + (high - low) / 2;
        match tried(middle) {
            Some(works) => {
                found = works;
                high = middle;
            }
            None => low = middle + 1,
        }
    }
    Some(found)
}

/// Completes a refusal: a smallest set of constraints in conflict, and the nearest change of each single
/// one that works.
pub(super) fn refusal(job: &Job<'_>, why: &mut InfeasibleWorkload) {
    let all = changes(job);
    let dropped = |keep: &[bool]| {
        let mut spec = job.spec.clone();
        for (change, _) in all.iter().zip(keep).filter(|(_, keep)| !**keep) {
            (change.without)(&mut spec, &job.address, change.index);
        }
        super::feasible(&spec, job.world, &job.address)
    };
    let mut keep = vec![true; all.len()];
    if !dropped(&vec![false; all.len()]) {
        // No constraint of ours stands in the way: what rejected the candidates says it.
        return;
    }
    for i in 0..all.len() {
        keep[i] = false;
        if dropped(&keep) {
            keep[i] = true;
        }
    }
    let conflict: Vec<Rejection> = all
        .iter()
        .zip(&keep)
        .filter(|(_, keep)| **keep)
        .map(|(c, _)| {
            let same = why.conflict.iter().find(|r| r.constraint == c.constraint);
            Rejection {
                constraint: c.constraint,
                reason: same.map_or_else(|| c.says.clone(), |r| format!("{}: {}", c.says, r.reason)),
                at: Some(c.at.clone()),
                distance: same.and_then(|r| r.distance),
            }
        })
        .collect();
    if !conflict.is_empty() {
        why.conflict = conflict;
    }
    for (change, _) in all.iter().zip(&keep).filter(|(_, keep)| **keep) {
        let works = nearest_step(job, change);
        let Some((words, choice, placed)) = works else { continue };
        let words = match change.constraint {
            "budget" => {
                let needed = super::limited(job.spec, &placed);
                format!("a budget of {needed} USD a month ({})", change.says)
            }
            _ => words,
        };
        why.relaxations.push(Relaxation {
            constraint: change.constraint,
            at: Some(change.at.clone()),
            change: words,
            cost_per_month: placed.cost.expected_per_month,
            saves_per_month: None,
            choice,
        });
    }
    why.relaxations
        .sort_by(|a, b| a.cost_per_month.cmp(&b.cost_per_month).then_with(|| a.change.cmp(&b.change)));
}
