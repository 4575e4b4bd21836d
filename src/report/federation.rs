//! How a federation runs.

use rhumb_api::Cloud;
use serde_json::{Value, json};

use super::{Cell, number};
use crate::placement::{BatchRun, FederationRun, LeftOut, Pool};

/// `flower, client`.
pub(super) fn runs_as(f: &FederationRun, pool: &Pool) -> String {
    let role = if pool.cloud == Cloud::Site { "client" } else { "aggregator" };
    format!("{}, {role}", f.framework.as_str())
}

/// What a run takes, who is slowest, who may be lost and who takes no part.
pub(super) fn lines(address: &str, run: &BatchRun, f: &FederationRun) -> Vec<Cell> {
    let s = |n: f64| if n == 1.0 { "" } else { "s" };
    let mut lines = vec![Cell::plain(format!(
        "{address}: a run of {} round{} of {} s takes {} h of {} h allowed, costs {} USD; {} run{} a month.",
        f.rounds,
        s(f64::from(f.rounds)),
        number(f.round_s),
        number(run.hours),
        number(run.deadline_hours),
        run.cost_per_run,
        number(run.runs_per_month),
        s(run.runs_per_month),
    ))];
    let slowest = f.clients.iter().max_by(|a, b| a.round_s.total_cmp(&b.round_s).then(b.site.cmp(&a.site)));
    if let Some(c) = slowest {
        let equal = f.clients.iter().filter(|other| other.round_s.total_cmp(&c.round_s).is_eq()).count();
        let alike = if equal > 1 {
            let are = if equal == 2 { "is" } else { "are" };
            format!(", as {} other{} {are}", equal - 1, s((equal - 1) as f64))
        } else {
            String::new()
        };
        lines.push(Cell::plain(format!(
            "{address}: {} is the slowest{alike}: {} s of training, {} s for an update in each direction, {} s of putting together; \
             {} s are allowed for a round.",
            c.site,
            number(c.local_s),
            number(c.transfer_s),
            number(c.round_s - c.local_s - 2.0 * c.transfer_s),
            number(f.round_limit_s),
        )));
    }
    let n = f.clients.len();
    let lost = match f.may_lose() {
        0 => "none may be lost in a round".to_owned(),
        n => format!("{n} may be lost in a round that counts all the same"),
    };
    lines.push(Cell::plain(format!(
        "{address}: {n} site{} take{} part, {} must answer: {lost}.",
        s(n as f64),
        if n == 1 { "s" } else { "" },
        f.min_sites,
    )));
    for (sites, n, reason) in LeftOut::by_reason(&f.left_out) {
        let takes = if n == 1 { "takes" } else { "take" };
        lines.push(Cell::plain(format!("{address}: {sites} {takes} no part: {reason}.")));
    }
    lines
}

/// The federation for machines.
pub(super) fn json(f: &FederationRun) -> Value {
    let clients: Vec<Value> = f
        .clients
        .iter()
        .map(|c| {
            json!({ "site": c.site, "transfer_s": c.transfer_s, "local_s": c.local_s, "round_s": c.round_s })
        })
        .collect();
    let left_out: Vec<Value> =
        f.left_out.iter().map(|l| json!({ "site": l.site, "reason": l.reason })).collect();
    json!({
        "framework": f.framework.as_str(),
        "rounds": f.rounds,
        "round_s": f.round_s,
        "round_limit_s": f.round_limit_s,
        "start_up_s": f.start_up_s,
        "aggregate_s": f.aggregate_s,
        "min_sites": f.min_sites,
        "may_lose": f.may_lose(),
        "clients": clients,
        "left_out": left_out,
        "sent_gib": f.sent_gib,
    })
}
