//! The proof that nothing cheaper would do: that its numbers add up and that it proves this cost.

use rhumb_api::Money;

use crate::placement::WorkloadPlacement;

use super::Ledger;
use super::ledger::dollars;
use super::subject::{Kind, Work};

pub(super) fn check(log: &mut Ledger, work: &Work<'_>, placed: &WorkloadPlacement) {
    let (address, proof) = (&work.address, &placed.certificate);
    let rejected = proof.rejected.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
    let handled = rejected.saturating_add(proof.bounded).saturating_add(proof.evaluated);
    log.same("certificate", address, "the number of candidates", &handled, &proof.candidates);
    log.hold(proof.evaluated > 0, "certificate", address, || {
        ("nothing was evaluated".into(), "at least one candidate".into(), "0".into())
    });
    log.hold(!proof.family.trim().is_empty(), "certificate", address, || {
        ("what the optimum is proven over is not said".into(), "a family".into(), "none".into())
    });
    // What was chosen together is proven together. A search of mixes may end before all is proven, and tells the gap (decision 20).
    let may_tell = proof.together || matches!(work.kind, Kind::Profiled(_));
    let proven =
        if may_tell { proof.lower_bound <= proof.optimum } else { proof.lower_bound == proof.optimum };
    log.hold(proven, "certificate", address, || {
        let (bound, optimum) = (dollars(proof.lower_bound), dollars(proof.optimum));
        ("the bound does not prove the optimum".into(), optimum, bound)
    });
    let (paid, slack) = match (work.kind, &placed.run) {
        (Kind::Batch(_) | Kind::Training(_) | Kind::Pipeline(_) | Kind::Federation(_), Some(run)) => {
            (batch_run(placed, run.runs_per_month, run.cost_per_run), 800)
        }
        _ => (placed.cost.expected_per_hour, 0),
    };
    log.amount("certificate", address, "the optimum", paid, proof.optimum, slack);
    for loser in &placed.losers {
        let dearer = loser.rejection.constraint == "dearer";
        log.hold(!dearer || loser.per_hour >= proof.optimum, "loser", address, || {
            let c = &loser.candidate;
            let what = format!("{}/{}/{} is not dearer", c.cloud, c.region, c.instance_type);
            (what, format!("at least {}", dollars(proof.optimum)), dollars(loser.per_hour))
        });
        log.hold(!loser.rejection.reason.trim().is_empty(), "loser", address, || {
            ("an option was refused without a reason".into(), "a reason".into(), "none".into())
        });
    }
    for r in &placed.relaxations {
        let Some(saves) = r.saves_per_month else { continue };
        let sum = saves + r.cost_per_month;
        // A loosened constraint is worth telling only when it saves, and by what it says.
        log.hold(saves > Money::ZERO, "figure", address, || {
            (format!("`{}` saves nothing", r.change), "a saving".into(), dollars(saves))
        });
        let what = format!("the saving of `{}`", r.change);
        log.amount("figure", address, &what, placed.cost.expected_per_month, sum, 800);
    }
}

/// What the optimum of a batch or a training is about: a run, with its part of what is paid once a month.
fn batch_run(placed: &WorkloadPlacement, runs: f64, machines: Money) -> Money {
    let month = placed.cost.expected_per_month;
    if runs > 0.0 && month > machines.scale(runs) { month.scale(1.0 / runs) } else { machines }
}
