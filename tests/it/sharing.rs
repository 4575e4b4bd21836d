//! Services that share machines: what one machine holds, by hand.

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::placement::{Placement, World};
use rhumb::spec::Spec;
use rhumb_api::{Money, Purchase};

use crate::line;
use crate::plans::REDUCED;

/// Machines of eight accelerators and 192 vCPUs at 58.90 USD an hour, dearer ones next to them, and a smaller one that is dearer
/// for each of its accelerators.
fn catalog() -> Catalog {
    line::on_sale(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
        ("p5.48xlarge", "eu-west-1", Purchase::OnDemand, 61_000_000),
        ("p4d.24xlarge", "eu-west-1", Purchase::OnDemand, 57_000_000),
    ])
}

/// Three services of small models, each of which fits on one accelerator.
pub fn text(sharing: &str, c: &str, more: &str) -> String {
    format!(
        "rhumb: 1
name: three
models:
  small: {{ source: meta-llama/Llama-3.1-8B-Instruct, variants: {{ bf16: {{ quantization: bf16 }} }} }}
defaults:
  {sharing}
  placement: {{ residency: [eu], accelerators: [h100, a100-40gb] }}
  slo: {{ ttft: {{ p95: 2s }}, tpot: {{ p95: 60ms }} }}
  engine: {{ args: {{ tensor_parallel_size: 1 }} }}
services:
  a: {{ model: small, traffic: {{ peak: 0.5 req/s, input_tokens: 500, output_tokens: 200 }} }}
  b: {{ model: small, traffic: {{ peak: 0.5 req/s, input_tokens: 800, output_tokens: 100 }} }}
  c: {{ model: small, traffic: {{ peak: 0.5 req/s, input_tokens: 300, output_tokens: 300 }}{c} }}
{more}"
    )
}

pub fn placed(text: &str) -> (Spec, World, Result<Placement, rhumb::placement::Infeasible>) {
    let catalog = catalog();
    let spec = line::spec(text, &catalog);
    let world = line::world(&spec, &catalog);
    let found = line::place(&spec, &world);
    (spec, world, found)
}

pub const SHARED: &str = "share_machines: within-deployment";

fn hourly(placement: &Placement) -> Money {
    placement.workloads.values().map(|w| w.cost.expected_per_hour).sum()
}

fn replicas(placement: &Placement, address: &str) -> u32 {
    placement.workloads[address].pools.iter().map(|p| p.replicas).sum()
}

#[test]
fn three_services_pay_for_one_machine() {
    let (_, _, apart) = placed(&text("labels: {}", "", ""));
    let apart = apart.unwrap();
    // 3 x 57.00: each by itself takes the cheapest machine.
    assert_eq!(hourly(&apart), Money::from_micros(171_000_000));
    assert_eq!((apart.fleets.len(), apart.coupling.is_some()), (0, false));
    let (spec, world, found) = placed(&text(SHARED, "", ""));
    let found = found.unwrap();
    assert_eq!(hourly(&found), Money::from_micros(57_000_000));
    let [fleet] = &found.fleets[..] else { panic!("{:?}", found.fleets) };
    assert_eq!(fleet.addr.as_str(), "machines.shared/aws/eu-west-1/p4d.24xlarge/on_demand");
    assert_eq!((fleet.count, fleet.accelerators_per_machine, fleet.pools.len()), (1, 8, 3));
    // p4d.24xlarge has 96 vCPUs.
    assert_eq!(fleet.quotas.iter().map(|q| q.amount).sum::<f64>(), 96.0);
    assert!(found.workloads.values().all(|w| w.quotas.is_empty()));
    let taken: u32 = ["services.a", "services.b", "services.c"].map(|a| replicas(&found, a)).iter().sum();
    assert_eq!(fleet.mixes[0].replicas.iter().sum::<u32>(), taken);
    let parts: Vec<i64> = fleet.pools.iter().map(|p| p.per_hour.micros()).collect();
    assert_eq!(parts.iter().sum::<i64>(), 57_000_000);
    for (pool, part) in fleet.pools.iter().zip(&parts) {
        let fair = 57_000_000 * i64::from(pool.replicas) / i64::from(taken);
        assert!((part - fair).abs() < 3, "{part} of {fair}");
    }
    let c = found.coupling.as_ref().unwrap();
    assert_eq!((c.apart, c.optimum), (Money::from_micros(171_000_000).times(730), c.optimum));
    assert_eq!((c.optimum, c.lower_bound), (Money::from_micros(57_000_000).times(730), c.optimum));
    assert_eq!(check::placement(&spec, &world, &found), vec![]);
}

#[test]
fn what_must_outlive_a_machine_is_on_two() {
    let (spec, world, found) = placed(&text(SHARED, ", survive: { machine: 1 }", ""));
    let found = found.unwrap();
    let [fleet] = &found.fleets[..] else { panic!("{:?}", found.fleets) };
    assert_eq!(fleet.count, 2);
    let c = fleet.pools.iter().position(|p| p.workload == "services.c").unwrap();
    let most = found.workloads["services.c"].pools[0].shared.as_ref().unwrap().most_per_machine;
    for mix in &fleet.mixes {
        assert!(mix.replicas[c] >= 1 && mix.replicas[c] <= most, "{mix:?}");
    }
    let failure = &found.workloads["services.c"].failures[0];
    assert_eq!((failure.scope, failure.replicas_left), ("machine", replicas(&found, "services.c") - most));
    assert_eq!(hourly(&found), Money::from_micros(2 * 57_000_000));
    assert_eq!(check::placement(&spec, &world, &found), vec![]);
}

#[test]
fn one_that_shares_alone_or_not_at_all_keeps_its_machines() {
    let own = text(SHARED, ", share_machines: never", "");
    let (_, _, found) = placed(&own);
    let found = found.unwrap();
    assert_eq!(hourly(&found), Money::from_micros(2 * 57_000_000));
    assert!(found.workloads["services.c"].pools.iter().all(|p| p.shared.is_none()));
    let (_, _, alone) = placed(&text("labels: {}", ", share_machines: within-deployment", ""));
    let alone = alone.unwrap();
    assert_eq!((alone.fleets.len(), hourly(&alone)), (0, Money::from_micros(3 * 57_000_000)));
}

#[test]
fn quotas_and_budgets_count_the_shared_machines() {
    // One machine of 96 vCPUs is within the quota; three were not.
    let quota = |vcpus: u32| {
        format!(
            "providers:\n  aws: {{ quotas: {{ eu-west-1: {{ L-417A185B: {vcpus} }}, eu-north-1: {{ L-417A185B: {vcpus} }} }} }}\n"
        )
    };
    let (spec, world, found) = placed(&text(SHARED, "", &quota(96)));
    let found = found.unwrap();
    assert_eq!(hourly(&found), Money::from_micros(57_000_000));
    assert_eq!(check::placement(&spec, &world, &found), vec![]);
    // 57.00 x 730 = 41,610 USD a month.
    let (_, _, found) = placed(&text(SHARED, "", "budget: { monthly: 41610 USD }\n"));
    assert_eq!(hourly(&found.unwrap()), Money::from_micros(57_000_000));
    let (_, _, refused) = placed(&text(SHARED, "", "budget: { monthly: 41609 USD }\n"));
    assert!(refused.is_err());
}

#[test]
fn sharing_is_the_same_on_any_number_of_threads() {
    let (spec, world, found) = placed(&text(SHARED, ", survive: { machine: 1 }", ""));
    let found = found.unwrap();
    for threads in [1, 2, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| line::place(&spec, &world)).unwrap(), found, "{threads} threads");
    }
}

/// Six services on shared machines cost 52,007.16 USD a month at least; the budget is 51,000. One node of the search proves
/// nothing of that, all of them do.
#[test]
fn a_refusal_that_was_not_proven_is_no_infeasibility() {
    if REDUCED {
        return;
    }
    let plan = |more: &[&str]| {
        let mut rhumb = std::process::Command::new(env!("CARGO_BIN_EXE_rhumb"));
        rhumb.args(["plan", "tests/it/sharing_refused/six.yaml", "--at", "2026-11-25"]).args(more);
        let out = rhumb.env("NO_COLOR", "1").output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        (text.split_whitespace().collect::<Vec<_>>().join(" "), out.status.code())
    };
    let (text, code) = plan(&[]);
    assert!(code == Some(6) && text.contains("Infeasible: no placement keeps"), "{code:?} {text}");
    assert!(text.contains("a monthly budget of 52008 USD"), "{text}");
    assert!(text.contains("nothing that keeps the other limits costs less than the budget"), "{text}");
    assert!(!text.contains("did not prove"), "{text}");

    let (text, code) = plan(&["--effort", "1"]);
    assert_eq!(code, Some(7), "{text}");
    assert!(text.contains("Not decided: ") && !text.contains("Infeasible"), "{text}");
    assert!(text.contains("did not prove that there is nothing"), "{text}");
    assert!(text.contains("nothing was found that keeps these together"), "{text}");
    assert!(text.contains("a monthly budget of 52008 USD"), "{text}");
    let (json, code) = plan(&["--effort", "1", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["schema"], &json["proven"]), (&"rhumb.infeasible/1".into(), &false.into()));
    assert_eq!(code, Some(7));
}
