//! Chains: what their services promise together keeps the chain's objective.

use crate::placement::{ChainSplit, Metric, ObjectiveCheck, Placement};
use crate::spec::{Chain, Spec};

use super::Ledger;

pub(super) fn check(log: &mut Ledger, spec: &Spec, placement: &Placement) {
    let names: Vec<&str> = placement.chains.iter().map(|c| c.name.as_str()).collect();
    let asked: Vec<&str> = spec.chains.keys().map(String::as_str).collect();
    let (asked, names) = (asked.join(", "), names.join(", "));
    log.same("chain", "deployment", "the chains", &asked, &names);
    for (chain, split) in spec.chains.values().zip(&placement.chains) {
        one(log, placement, chain, split);
    }
}

/// What a service promises of a chain: its limit and the quantile, from each origin.
fn promises<'p>(
    placement: &'p Placement,
    split: &'p ChainSplit,
    service: &str,
) -> impl Iterator<Item = &'p ObjectiveCheck> {
    let placed = placement.workloads.get(&format!("services.{service}"));
    let own = placed.into_iter().flat_map(|placed| &placed.objectives);
    own.filter(|o| o.metric == Metric::E2e && o.quantile == Some(split.part_quantile))
}

fn one(log: &mut Ledger, placement: &Placement, chain: &Chain, split: &ChainSplit) {
    let at = format!("chains.{}", chain.name);
    log.near("chain", &at, "the limit", chain.limit_ms, split.limit_ms, 1e-12);
    log.near("chain", &at, "what passes between the steps", chain.between_ms, split.between_ms, 1e-12);
    log.near("chain", &at, "the quantile", chain.quantile, split.quantile, 1e-12);
    let planned = split.steps.iter().map(|step| {
        let all: Vec<&str> = step.iter().map(|part| part.address.as_str()).collect();
        all.join(" + ")
    });
    let declared = chain.steps.iter().map(|step| {
        let all: Vec<String> = step.iter().map(|name| format!("services.{name}")).collect();
        all.join(" + ")
    });
    let asked = declared.collect::<Vec<_>>().join(", ");
    let steps = planned.collect::<Vec<_>>().join(", ");
    log.same("chain", &at, "the steps", &asked, &steps);
    let (mut whole, mut services) = (chain.between_ms, 0.0);
    for (step, parts) in chain.steps.iter().zip(&split.steps) {
        let mut longest: f64 = 0.0;
        for (service, part) in step.iter().zip(parts) {
            services += 1.0;
            longest = longest.max(part.limit_ms);
            let mut origins = 0;
            for promise in promises(placement, split, service) {
                origins += 1;
                log.near("chain", &at, "the limit of a step", part.limit_ms, promise.limit_ms, 1e-12);
            }
            log.hold(origins > 0, "chain", &at, || {
                (format!("services.{service} promises nothing of it"), "an objective".into(), "none".into())
            });
        }
        whole += longest;
    }
    log.hold(whole <= chain.limit_ms * (1.0 + 1e-9), "chain", &at, || {
        (
            "its steps may take too long".into(),
            format!("at most {} ms", chain.limit_ms),
            format!("{whole} ms"),
        )
    });
    // However they depend on each other, no more requests break the chain than break any of its services.
    let broken = services * (1.0 - split.part_quantile);
    log.hold(broken <= 1.0 - chain.quantile + 1e-9, "chain", &at, || {
        (
            "its services may break it too often".into(),
            format!("at most {} of the requests", 1.0 - chain.quantile),
            format!("{broken}"),
        )
    });
}
