//! What can be loosened about money: options and shares of purchase, quality, budgets, quotas, confidence.

use rhumb_api::{Cloud, Purchase};

use super::{Change, Step, nothing, purchase};
use crate::diagnostic::Pointer;
use crate::optimize::job::{Job, Kind};
use crate::spec::{BudgetScope, Model, Spec};

fn model<'s>(spec: &'s mut Spec, address: &str) -> Option<&'s mut Model> {
    let name = match address.split_once('.')? {
        ("services", n) => spec.services.get(n).map(|s| s.model.clone()),
        ("batches", n) => spec.batches.get(n).map(|b| b.model.clone()),
        ("trainings", n) => spec.trainings.get(n).map(|t| t.model.clone()),
        _ => None,
    };
    spec.models.get_mut(&name?)
}

fn set_money(spec: &mut Spec, address: &str, index: usize, to: f64) {
    match index {
        1 => {
            if let Some(p) = purchase(spec, address) {
                p.spot_max_share = to;
            }
        }
        2 => {
            if let Some(q) = model(spec, address).and_then(|m| m.quality.as_mut()) {
                q.keep = to;
            }
        }
        4 => spec.confidence = to,
        _ => {}
    }
}

/// Whole steps of `1 / parts` between two shares, both left out at the ends that are no step.
fn parts(low: f64, high: f64, parts: u32) -> Vec<f64> {
    let n = f64::from(parts);
    (0..=parts)
        .map(|i| f64::from(i) / n)
        .filter(|share| *share > low + 1e-9 && *share < high + 1e-9)
        .collect()
}

fn percent(share: f64) -> f64 {
    crate::math::round_to(share * 100.0, 2)
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
            if let Some(m) = model(spec, address) {
                m.quality = None;
            }
        }
        3 => {
            let clouds = spec.providers.iter_mut().filter(|(cloud, _)| **cloud != Cloud::Site);
            clouds.for_each(|(_, p)| p.forget_quotas());
        }
        5 => drop(spec.providers.remove(&Cloud::Site)),
        _ => spec.confidence = 0.5,
    }
}

pub(super) fn rules(job: &Job<'_>, all: &mut Vec<Change>) {
    let (spec, p) = (job.spec, job.purchase);
    let rule = |constraint, at: Pointer, says: String, change: String, index: usize, now, fine: Vec<Step>| {
        let coarse = vec![Step::without(change.clone())];
        let fine = fine.into_iter().chain([Step::without(change)]).collect();
        Change {
            constraint,
            at,
            says,
            coarse,
            fine,
            now,
            set: set_money,
            without: drop_money,
            index,
            budget: None,
        }
    };
    // What follows the load is bought on demand alone.
    let follows = matches!(job.kind, Kind::Service(service) if service.follows().is_some());
    if p.options.len() < Purchase::ALL.len() - 1 && !follows {
        let change = "purchase options on_demand, reserved_1y and reserved_3y".into();
        all.push(rule(
            "purchase",
            p.at.join("options"),
            "purchase.options".into(),
            change,
            0,
            None,
            Vec::new(),
        ));
    }
    if p.spot_max_share < 1.0 || p.on_demand_base > 0 {
        let now = p.spot_max_share;
        let says = format!("spot_max_share {now}");
        let change = if p.on_demand_base > 0 {
            format!("spot_max_share 1 instead of {now}, no on_demand_base")
        } else {
            format!("spot_max_share 1 instead of {now}")
        };
        let words = |share: f64| format!("spot_max_share {} % instead of {} %", percent(share), percent(now));
        let fine = parts(now, 1.0, 20).into_iter().map(|x| Step::new(words(x), x)).collect();
        all.push(rule("spot", p.at.join("spot_max_share"), says, change, 1, None, fine));
    }
    if let Some(q) = &job.model.quality {
        let what = if job.model.measured().is_some() { "quality floor" } else { "quality keeps" };
        let says = format!("{what} {} of {}", q.keep, q.benchmark);
        let words = |keep: f64| format!("{what} {} % instead of {} %", percent(keep), percent(q.keep));
        let lower = parts(0.5, q.keep - 2e-9, 1000).into_iter().rev();
        let fine = lower.map(|x| Step::new(words(x), x)).collect();
        let change = format!("without a quality floor (now {})", q.keep);
        all.push(rule("quality", q.at.clone(), says, change, 2, Some(q.keep), fine));
    }
    budgets(job, all);
    let declared = spec.providers.iter().find(|(c, p)| **c != Cloud::Site && p.declares());
    if let Some((_, p)) = declared {
        let change = "without the declared quotas".into();
        all.push(rule("quota", p.at.join("quotas"), "declared quotas".into(), change, 3, None, Vec::new()));
    }
    let is_at_sites = !job.rules.sites.is_empty() || matches!(job.kind, Kind::Federation(..));
    if let Some(at) = spec.quotas_at(Cloud::Site).filter(|_| is_at_sites) {
        let change = "without limits on machines and power at sites".into();
        all.push(rule("quota", at, "stock and power of sites".into(), change, 5, None, Vec::new()));
    }
    let now = spec.confidence;
    if now > 0.5 {
        let says = format!("confidence {now}");
        let change = format!("confidence 50 % instead of {} %", now * 100.0);
        let words = |c: f64| format!("confidence {} % instead of {} %", percent(c), percent(now));
        let lower = parts(0.5, now - 2e-9, 100).into_iter().rev();
        let fine = lower.map(|c| Step::new(words(c), c)).collect();
        all.push(rule("confidence", Pointer::root().join("confidence"), says, change, 4, None, fine));
    }
}

fn budgets(job: &Job<'_>, all: &mut Vec<Change>) {
    let spec = job.spec;
    for (scope, b) in spec.budgets_of(&job.address) {
        let (says, without) = match scope {
            BudgetScope::All => (String::new(), "without the monthly budget".to_owned()),
            BudgetScope::Workload(_) => (String::new(), "without its budget".to_owned()),
            BudgetScope::Label { .. } => (format!(" for {scope}"), format!("without the budget for {scope}")),
        };
        let without = || Step::without(without.clone());
        all.push(Change {
            constraint: "budget",
            at: b.at.clone(),
            says: format!("at most {} USD a month{says}", b.limit),
            coarse: vec![without()],
            fine: vec![without()],
            now: Some(b.limit.usd()),
            set: nothing,
            without: |_, _, _| {},
            index: 0,
            budget: Some(scope.clone()),
        });
    }
}
