//! A plan for machines: schema `rhumb.plan/1`, described by `templates/report/plan.schema.json`.
//!
//! Amounts of money are decimal strings of dollars, exact to a micro-dollar; `null` is unknown or not
//! priced, never zero. New keys may join within version 1; readers ignore what they do not know.

use std::collections::BTreeMap;

use rhumb_api::{Money, ResourceAddr};
use serde_json::{Map, Value, json};

use super::week::{clock, day_and_clock};
use super::{cost, quantile};
use crate::catalog::Evidence;
use crate::check::Fact;
use crate::diagnostic::{Pointer, SourceMap};
use crate::perf::Layout;
use crate::placement::{
    BatchRun, CandidateId, Coupling, Following, Infeasible, Loser, Pool, QuotaNeed, Rejection, Relaxation,
    Stop, WorkloadPlacement,
};
use crate::plan::{Action, BudgetLine, Change, Pattern, Plan};
use crate::spec::PEAK_SHARE;

/// Name and version of the schema.
pub const SCHEMA: &str = "rhumb.plan/1";

/// The JSON Schema (2020-12) of [`plan`].
pub const PLAN_SCHEMA: &str = include_str!("../../templates/report/plan.schema.json");

/// Dollars, exact to a micro-dollar.
pub(crate) fn usd(money: Money) -> Value {
    let micros = money.micros();
    let sign = if micros < 0 { "-" } else { "" };
    let magnitude = micros.unsigned_abs();
    Value::String(format!("{sign}{}.{:06}", magnitude / 1_000_000, magnitude % 1_000_000))
}

pub(super) fn layout(l: Layout) -> Value {
    json!({ "tp": l.tp, "pp": l.pp, "dp": l.dp, "ep": l.ep })
}

fn action(a: Action) -> &'static str {
    match a {
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "replace",
        Action::Remove => "remove",
        Action::Keep => "keep",
    }
}

fn following(p: &Pool, f: &Following) -> Value {
    let classes: Vec<Value> = f
        .classes
        .iter()
        .map(|c| {
            let machines: Map<String, Value> = p
                .machines
                .iter()
                .zip(&c.machines)
                .map(|(m, n)| (m.purchase.as_str().to_owned(), json!(n)))
                .collect();
            json!({
                "share": f64::from(c.share) / f64::from(PEAK_SHARE),
                "seconds": c.seconds,
                "replicas": c.replicas,
                "machines": machines,
            })
        })
        .collect();
    let at = if f.is_weekly() { day_and_clock } else { clock };
    let schedule: Vec<Value> =
        f.schedule.iter().map(|s| json!({ "at": at(s.at_s), "class": s.class })).collect();
    json!({
        "time_zone": f.time_zone,
        "start_up_s": f.start_up_s,
        "classes": classes,
        "schedule": schedule,
    })
}

pub(super) fn pool(p: &Pool) -> Value {
    let machines: Vec<Value> = p
        .machines
        .iter()
        .map(|m| {
            let mut machines = json!({
                "purchase": m.purchase.as_str(),
                "count": m.count,
                "usd_per_hour_each": usd(m.price),
                "list_usd_per_hour_each": usd(m.list_price),
                "source": &*m.provenance.source,
                "as_of": &*m.provenance.as_of,
                "interruption_per_month": m.interruption,
            });
            if let Some(name) = &m.commitment {
                machines["commitment"] = json!(name);
            }
            machines
        })
        .collect();
    let mut value = json!({
        "address": p.addr.as_str(),
        "cloud": p.cloud.as_str(),
        "region": p.region,
        "instance_type": p.instance_type,
        "accelerator": p.accelerator,
        "accelerators_per_machine": p.accelerators_per_machine,
        "variant": p.variant,
        "quantization": p.quantization.as_str(),
        "kv_cache_dtype": p.kv_cache.as_str(),
        "layout": layout(p.layout),
        "engine": {
            "name": p.engine.name.as_str(),
            "version": format!("{}.{}", p.engine.version.0, p.engine.version.1),
            "max_num_seqs": p.engine.max_num_seqs,
            "max_num_batched_tokens": p.engine.max_num_batched_tokens,
            "max_model_len": p.engine.max_model_len,
            "gpu_memory_utilization": p.engine.gpu_memory_utilization,
        },
        "replicas": p.replicas,
        "replicas_per_machine": p.replicas_per_machine,
        "machines_per_replica": p.machines_per_replica,
        "zones": p.zones,
        "machines": machines,
        "shared": p.shared.as_ref().map(|on| json!({
            "fleet": on.fleet.as_str(),
            "accelerators_per_replica": on.accelerators,
            "most_per_machine": on.most_per_machine,
            "most_per_zone": on.most_per_zone,
        })),
        "following": p.following.as_ref().map(|f| following(p, f)),
        "peak_rate_per_s": p.peak_rate,
        "capacity_per_s": p.capacity,
        "utilization": p.latency.as_ref().map(|l| l.utilization),
        "ttft_factor": p.ttft_factor,
        "tpot_factor": p.tpot_factor,
        "memory_bytes": {
            "device": p.memory.device,
            "usable": p.memory.usable,
            "weights": p.memory.weights,
            "overhead": p.memory.overhead,
            "kv_cache": p.memory.kv_cache,
            "kv_per_token": p.memory.kv_per_token,
        },
        "evidence": p.evidence.as_str(),
        "notes": p.notes,
    });
    if let Some(vcpus) = p.vcpus_per_replica {
        value["vcpus_per_replica"] = json!(vcpus);
    }
    if let Some(s) = &p.stands_in {
        value["stands_in"] = json!({
            "pool": s.pool.as_str(),
            "model": s.model,
            "quality": s.quality,
            "quality_evidence": Evidence::Stated.as_str(),
            "percent": s.percent,
            "rate_per_s": s.rate,
        });
    }
    value
}

pub(super) fn candidate(c: &CandidateId) -> Value {
    json!({
        "cloud": c.cloud.as_str(),
        "region": c.region,
        "instance_type": c.instance_type,
        "purchase": c.purchase.as_str(),
        "variant": c.variant,
        "layout": layout(c.layout),
    })
}

fn rejection(r: &Rejection) -> Value {
    json!({
        "constraint": r.constraint,
        "reason": r.reason,
        "at": r.at.as_ref().map(Pointer::dotted),
        "distance": r.distance,
    })
}

fn loser(l: &Loser) -> Value {
    json!({
        "candidate": candidate(&l.candidate),
        "machines": l.machines,
        "usd_per_hour": usd(l.per_hour),
        "rejection": rejection(&l.rejection),
    })
}

pub(super) fn relaxation(r: &Relaxation) -> Value {
    json!({
        "constraint": r.constraint,
        "at": r.at.as_ref().map(Pointer::dotted),
        "change": r.change,
        "usd_per_month": usd(r.cost_per_month),
        "saves_usd_per_month": r.saves_per_month.map(usd),
        "choice": r.choice.as_ref().map(candidate),
    })
}

pub(super) fn run(r: &BatchRun) -> Value {
    let mut value = json!({
        "hours": r.hours,
        "deadline_hours": r.deadline_hours,
        "items_per_s": r.items_per_s,
        "runs_per_month": r.runs_per_month,
        "usd_per_run": usd(r.cost_per_run),
        "training": r.training.as_ref().map(super::training::json),
    });
    if let Some(pipeline) = &r.pipeline {
        value["pipeline"] = super::pipeline::json(pipeline);
    }
    if let Some(federation) = &r.federation {
        value["federation"] = super::federation::json(federation);
    }
    value
}

pub(super) fn quota(q: &QuotaNeed) -> Value {
    json!({
        "cloud": q.cloud.as_str(),
        "region": q.region,
        "code": q.code,
        "name": q.name,
        "unit": q.unit,
        "amount": q.amount,
        "declared": q.declared,
        "default_new_account": q.default_new_account,
    })
}

pub(crate) fn workload(w: &WorkloadPlacement) -> Value {
    let routes: Vec<Value> = w
        .routes
        .iter()
        .map(|r| {
            let to: Vec<Value> =
                r.to.iter()
                    .zip(&r.network_ms)
                    .map(|((pool, share), net)| json!({ "pool": pool, "share": share, "network_ms": net }))
                    .collect();
            json!({ "origin": r.origin, "evidence": r.evidence.as_str(), "to": to })
        })
        .collect();
    let objectives: Vec<Value> = w
        .objectives
        .iter()
        .map(|o| {
            json!({
                "origin": o.origin,
                "metric": o.metric.as_str(),
                "percentile": quantile(o.quantile),
                "limit_ms": o.limit_ms,
                "network_ms": o.network_ms,
                "predicted_ms": o.predicted_ms,
                "at_confidence_ms": o.at_confidence_ms,
                "margin": 1.0 - o.at_confidence_ms / o.limit_ms,
                "evidence": o.evidence.as_str(),
            })
        })
        .collect();
    let failures: Vec<Value> = w
        .failures
        .iter()
        .map(|f| {
            json!({
                "scope": f.scope,
                "count": f.count,
                "at": f.at,
                "replicas_left": f.replicas_left,
                "required_per_s": f.required_rate,
                "capacity_per_s": f.capacity,
            })
        })
        .collect();
    let lines: Vec<Value> = w
        .cost
        .lines
        .iter()
        .map(|l| {
            json!({
                "address": l.addr,
                "what": l.what,
                "usd_per_hour": l.per_hour.map(usd),
                "evidence": if l.per_hour.is_some() { l.evidence.as_str() } else { "unknown" },
                "source": l.provenance.as_ref().map(|p| p.source.to_string()),
                "as_of": l.provenance.as_ref().map(|p| p.as_of.to_string()),
            })
        })
        .collect();
    let mut value = json!({
        "pools": w.pools.iter().map(pool).collect::<Vec<_>>(),
        "fallbacks": super::fallbacks::of_workload(w),
        "routes": routes,
        "objectives": objectives,
        "failures": failures,
        "run": w.run.as_ref().map(run),
        "cost": {
            "lines": lines,
            "expected_usd_per_hour": usd(w.cost.expected_per_hour),
            "expected_usd_per_month": usd(w.cost.expected_per_month),
            "peak_usd_per_month": usd(w.cost.peak_per_month),
            "ceiling_usd_per_month": usd(w.cost.ceiling_per_month),
            "incomplete": w.cost.incomplete,
        },
        "certificate": {
            "family": w.certificate.family,
            "candidates": w.certificate.candidates,
            "rejected": w.certificate.rejected,
            "bounded": w.certificate.bounded,
            "evaluated": w.certificate.evaluated,
            "optimum_usd": usd(w.certificate.optimum),
            "lower_bound_usd": usd(w.certificate.lower_bound),
            "together": w.certificate.together,
        },
        "losers": w.losers.iter().map(loser).collect::<Vec<_>>(),
        "relaxations": w.relaxations.iter().map(relaxation).collect::<Vec<_>>(),
        "quotas": w.quotas.iter().map(quota).collect::<Vec<_>>(),
        "caveats": w.caveats,
    });
    if let Some(mix) = &w.mix {
        value["profile"] = super::profile::json(mix);
    }
    value
}

fn change(c: &Change, uncovered: &BTreeMap<&ResourceAddr, String>) -> Value {
    let fields: Vec<Value> = c
        .fields
        .iter()
        .map(|f| {
            json!({
                "name": f.name,
                "before": f.before,
                "after": f.after,
                "forces_replacement": f.forces_replacement,
            })
        })
        .collect();
    let resource = c.after.as_ref().or(c.before.as_ref());
    json!({
        "address": c.addr.as_str(),
        "kind": resource.map(|r| r.kind.as_str()),
        "action": action(c.action),
        "reasons": c.reasons,
        "fields": fields,
        "after": c.after.as_ref().map(|r| &r.attributes),
        "depends_on": c.depends_on.iter().map(|a| a.as_str()).collect::<Vec<_>>(),
        "apply": resource.is_some() && !uncovered.contains_key(&c.addr),
    })
}

pub(super) fn label(label: Option<&(String, String)>) -> Value {
    label.map_or(Value::Null, |(key, value)| json!({ "key": key, "value": value }))
}

fn coupling(c: &Coupling) -> Value {
    let limits: Vec<Value> = c
        .limits
        .iter()
        .map(|l| {
            json!({
                "constraint": l.constraint,
                "workload": l.workload,
                "label": label(l.label.as_ref()),
                "cloud": l.cloud,
                "region": l.region,
                "code": l.code,
                "limit": l.limit,
                "taken": l.taken,
                "worth_usd_per_month": usd(l.worth),
                "at": l.at.as_ref().map(Pointer::dotted),
            })
        })
        .collect();
    json!({
        "limits": limits,
        "carbon_usd_per_t": super::carbon::per_tonne(c),
        "optimum_usd_per_month": usd(c.optimum),
        "lower_bound_usd_per_month": usd(c.lower_bound),
        "apart_usd_per_month": usd(c.apart),
        "plans": c.plans,
        "nodes": c.nodes,
        "stopped": c.stopped.map(Stop::as_str),
    })
}

/// A plan as JSON.
pub fn plan(plan: &Plan) -> Value {
    let totals = cost::totals(plan);
    let uncovered = super::changes::uncovered(&plan.changes, super::changes::ADAPTERS);
    let (total, parts): (Vec<&BudgetLine>, Vec<&BudgetLine>) =
        plan.budgets.iter().partition(|b| b.workload.is_none() && b.label.is_none());
    let total = total.first();
    let workloads: Map<String, Value> =
        plan.placement.workloads.iter().map(|(address, w)| (address.clone(), workload(w))).collect();
    let joint: Vec<Value> = plan
        .placement
        .joint_violations
        .iter()
        .map(|v| json!({ "constraint": v.constraint, "reason": v.reason, "at": v.at.as_ref().map(Pointer::dotted) }))
        .collect();
    json!({
        "schema": SCHEMA,
        "name": plan.name,
        "created": plan.created,
        "tool_version": plan.tool_version,
        "spec_digest": plan.spec_digest,
        "catalog_digest": plan.catalog_digest,
        "destroy": plan.destroy,
        "valid_until": plan.valid_until,
        "rollback_to": plan.rollback.as_ref().map(|back| back.to),
        "asked": {
            "targets": plan.asked.targets.iter().map(Pattern::as_str).collect::<Vec<_>>(),
            "excludes": plan.asked.excludes.iter().map(Pattern::as_str).collect::<Vec<_>>(),
            "replace": plan.asked.replace,
        },
        "rollouts": plan.rollouts.iter().map(|r| json!({ "workload": r.workload, "health_timeout_s": r.health_timeout_s, "roll_back": r.roll_back, "waves": r.waves })).collect::<Vec<_>>(),
        "dips": plan.dips.iter().map(|d| json!({
            "cloud": d.cloud, "place": d.place, "code": d.code, "unit": d.unit, "limit": d.limit, "needed": d.needed,
            "first": d.first, "then": d.then, "machines": d.machines, "left": d.left,
        })).collect::<Vec<_>>(),
        "surge": plan.surge.as_ref().map(|s| json!({
            "before_usd_per_hour": usd(s.before), "during_usd_per_hour": usd(s.during), "after_usd_per_hour": usd(s.after), "unpriced": s.unpriced,
        })),
        "left_out": plan.left.iter().map(|left| json!({ "address": left.change.addr, "action": action(left.change.action), "why": left.why.as_str() })).collect::<Vec<_>>(),
        "prior": plan.prior.as_ref().map(|p| json!({ "lineage": p.lineage, "serial": p.serial, "digest": p.digest, "simulated": p.simulated })),
        "confidence": plan.confidence,
        "user_files": plan.user_files,
        "totals": {
            "expected_usd_per_hour": usd(totals.per_hour),
            "expected_usd_per_month": usd(totals.per_month),
            "peak_usd_per_month": usd(totals.peak),
            "ceiling_usd_per_month": usd(totals.ceiling),
            "incomplete": totals.unpriced > 0,
            "unpriced_lines": totals.unpriced,
        },
        "budget": total.map(|b| json!({
            "limit_usd_per_month": usd(b.limit), "binds": b.binds, "figure_usd_per_month": usd(b.figure),
        })),
        "budgets": parts.into_iter().map(|b| json!({
            "workload": b.workload,
            "label": label(b.label.as_ref()),
            "limit_usd_per_month": usd(b.limit),
            "binds": b.binds,
            "figure_usd_per_month": usd(b.figure),
        })).collect::<Vec<_>>(),
        "year": super::seasons::json(plan),
        "carbon": super::carbon::json(plan),
        "joint_violations": joint,
        "divided": super::divided::json(plan),
        "chains": super::chains::json(plan),
        "commitments": super::commitments::json(plan),
        "held": super::held::json(plan),
        "savings_plans": super::savings::json(plan),
        "stability": super::stability::json(plan),
        "coupling": plan.placement.coupling.as_ref().map(coupling),
        "workloads": workloads,
        "fleets": super::fleets::json(&plan.placement),
        "changes": plan.changes.iter().map(|c| change(c, &uncovered)).collect::<Vec<_>>(),
        "steps": plan.steps.iter()
            .map(|s| json!({ "address": s.addr.as_str(), "action": action(s.action) })).collect::<Vec<_>>(),
        "leftovers": plan.leftovers.iter()
            .map(|l| json!({ "address": l.addr.as_str(), "id": l.id, "why": l.why })).collect::<Vec<_>>(),
        "artifacts": plan.artifacts.iter()
            .map(|a| json!({ "address": a.addr.as_str(), "name": a.name, "sha256": a.sha256 })).collect::<Vec<_>>(),
        "warnings": plan.warnings,
    })
}

/// Why and what would save, as JSON: schema `rhumb.explain/1`.
pub fn explain(placed: &WorkloadPlacement, loosened: &[Relaxation]) -> Value {
    json!({
        "schema": "rhumb.explain/1",
        "address": placed.address,
        "placement": workload(placed),
        "relaxations": loosened.iter().map(relaxation).collect::<Vec<_>>(),
    })
}

/// A refusal as JSON: schema `rhumb.infeasible/1`.
pub fn infeasible(name: &str, refusal: &Infeasible, map: &SourceMap) -> Value {
    let with_place = |r: &Rejection| {
        let mut value = rejection(r);
        let location = r.at.as_ref().and_then(|p| map.locate(&map.span(p, true)?));
        value["location"] =
            location.map_or(Value::Null, |l| json!({ "file": l.file, "line": l.line, "column": l.column }));
        value
    };
    let workloads: Map<String, Value> = refusal
        .workloads
        .iter()
        .map(|w| {
            let value = json!({
                "conflict": w.conflict.iter().map(with_place).collect::<Vec<_>>(),
                "relaxations": w.relaxations.iter().map(relaxation).collect::<Vec<_>>(),
                "ended": w.ended.map(Stop::as_str),
                "nearest": w.nearest.as_ref().map(loser),
                "rejected": w.rejected,
                "candidates": w.candidates,
            });
            (w.address.clone(), value)
        })
        .collect();
    json!({ "schema": "rhumb.infeasible/1", "name": name, "proven": refusal.proven, "workloads": workloads })
}

/// Facts that are missing or too old.
pub fn facts(facts: &[Fact]) -> Value {
    let fact = |f: &Fact| {
        json!({
            "address": f.address,
            "fact": f.fact,
            "lack": f.lack.as_str(),
            "message": f.message,
            "source": f.source,
            "as_of": f.as_of,
            "age_days": f.age_days,
            "fix": f.fix,
        })
    };
    facts.iter().map(fact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact() {
        assert_eq!(usd(Money::from_micros(55_040_001)), "55.040001");
        assert_eq!(usd(Money::from_micros(-5)), "-0.000005");
    }
}
