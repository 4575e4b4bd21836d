//! Smaller models that stand in: when they do, what the checker finds of one that is wrong, the state after the loss, and what is started.

use rhumb::placement::{Placement, StandsIn};
use rhumb::replay::{Kept, Options, verify};
use rhumb::spec::{Load, Spec};
use rhumb_api::{Attr, Purchase};

use crate::faults::{self, Planted};
use crate::line;

/// 20 requests/s: two p5.48xlarge carry them, one does not.
fn text(more: &str) -> String {
    format!(
        "rhumb: 1
confidence: 80%
name: d
models:
  large: {{ source: meta-llama/Llama-3.3-70B-Instruct, variants: {{ bf16: {{ quantization: bf16 }} }} }}
  small: {{ source: meta-llama/Llama-3.1-8B-Instruct }}
services:
  chat:
    model: large
    traffic: {{ peak: 20 req/s, input_tokens: {{ p50: 700, p95: 2800 }}, output_tokens: {{ p50: 180, p95: 700 }} }}
    slo: {{ ttft: {{ p95: 1200ms }}, tpot: {{ p95: 60ms }} }}
    survive: {{ machine: 1 }}
    during_failure: {{ slo: relax 1.5x }}
{more}"
    )
}

const DEGRADE: &str = "    degrade: { keep: 90%, to: [{ model: small, quality: 92% }] }\n";
const LARGE: &str = "services.chat/aws/eu-west-1/p5.48xlarge";
const SMALL: &str = "services.chat/aws/eu-west-1/g6e.2xlarge";

/// A small machine for `micros` an hour, beside a large one for 60 dollars.
fn on_sale(micros: i64) -> rhumb::catalog::Catalog {
    line::on_sale(&[
        ("p5.48xlarge", "eu-west-1", Purchase::OnDemand, 60_000_000),
        ("g6e.2xlarge", "eu-west-1", Purchase::OnDemand, micros),
    ])
}

fn case() -> faults::Case {
    line::proven(&text(DEGRADE), &on_sale(2_400_000))
}

fn stands_in(placement: &Placement) -> Option<&StandsIn> {
    placement.workloads["services.chat"].pools.iter().find_map(|p| p.stands_in.as_ref())
}

fn machines(placement: &Placement) -> Vec<(&str, u32)> {
    let pools = placement.workloads["services.chat"].pools.iter();
    pools.map(|p| (p.instance_type.as_str(), p.machines.iter().map(|m| m.count).sum())).collect()
}

#[test]
fn something_stands_in_only_where_it_costs_less_than_a_spare() {
    let (_, _, spare) = line::proven(&text(""), &on_sale(2_400_000));
    assert_eq!(machines(&spare), [("p5.48xlarge", 3)]);
    let (spec, _, with) = case();
    assert_eq!(machines(&with), [("g6e.2xlarge", 2), ("p5.48xlarge", 2)]);
    let said = stands_in(&with).unwrap();
    assert_eq!((said.pool.as_str(), said.model.as_str(), said.quality), (LARGE, "small", 0.92));
    let Load::Rate(peak) = spec.services["chat"].traffic.load else { unreachable!() };
    assert!((said.rate - peak * f64::from(said.percent) / 100.0).abs() < 1e-9 && said.percent < 100);
    // Two for 60 and two for 2.40.
    assert_eq!(with.workloads["services.chat"].cost.expected_per_hour.micros(), 124_800_000);
    // Two small machines that cost as much as a large one change nothing; a micro-dollar less, and they do.
    let (_, _, equal) = line::proven(&text(DEGRADE), &on_sale(30_000_000));
    assert_eq!((machines(&equal), stands_in(&equal)), (machines(&spare), None));
    assert!(
        equal.workloads["services.chat"]
            .caveats
            .iter()
            .any(|c| c.starts_with("`degrade`: nothing stands in"))
    );
    let (_, _, less) = line::proven(&text(DEGRADE), &on_sale(29_999_999));
    assert_eq!(machines(&less), machines(&with));
    // Half of the load in a failure is what one machine carries by itself.
    let half = text(DEGRADE).replace("slo: relax 1.5x", "slo: relax 1.5x, capacity: 50%");
    let (_, _, half) = line::proven(&half, &on_sale(2_400_000));
    assert_eq!((machines(&half), stands_in(&half)), (vec![("p5.48xlarge", 2)], None));
}

#[test]
fn budgets_quotas_and_the_bill_have_both() {
    // 124.80 USD/h are 91,104 a month; a spare would be 131,400.
    let budget = |usd: u32| format!("{}budget: {{ monthly: {usd} USD }}\n", text(DEGRADE));
    assert!(line::placed(&budget(91_104), &on_sale(2_400_000)).2.is_ok());
    assert!(line::placed(&budget(91_103), &on_sale(2_400_000)).2.is_err());
    let (_, _, with) = case();
    let placed = &with.workloads["services.chat"];
    let lines: Vec<&str> = placed.cost.lines.iter().map(|l| l.what.as_str()).collect();
    assert!(
        lines.contains(&"2 x g6e.2xlarge on_demand") && lines.contains(&"2 x p5.48xlarge on_demand"),
        "{lines:?}"
    );
    // 8 vCPUs each of one quota, 192 each of another.
    let amounts: Vec<f64> = placed.quotas.iter().map(|q| q.amount).collect();
    assert!(amounts.contains(&16.0) && amounts.contains(&384.0), "{amounts:?}");
    // Where the small ones' quota is too small for two, a spare is bought.
    let quota = &placed.quotas.iter().find(|q| q.amount == 16.0).unwrap().code;
    let declared =
        format!("{}providers: {{ aws: {{ quotas: {{ eu-west-1: {{ {quota}: 8 }} }} }} }}\n", text(DEGRADE));
    let (_, _, spare) = line::proven(&declared, &on_sale(2_400_000));
    assert_eq!(machines(&spare), [("p5.48xlarge", 3)]);
}

fn service(s: &mut Spec) -> &mut rhumb::spec::Service {
    s.services.get_mut("chat").unwrap()
}

fn pool<'p>(p: &'p mut Placement, addr: &str) -> &'p mut rhumb::placement::Pool {
    let pools = &mut p.workloads.get_mut("services.chat").unwrap().pools;
    pools.iter_mut().find(|pool| pool.addr.as_str() == addr).unwrap()
}

fn said(p: &mut Placement) -> &mut StandsIn {
    pool(p, SMALL).stands_in.as_mut().unwrap()
}

/// The stand-in is gone, and the only route leads where it did.
fn without_it(p: &mut Placement) {
    let placed = p.workloads.get_mut("services.chat").unwrap();
    placed.pools.retain(|p| p.stands_in.is_none());
    placed.routes[0].to[0].0 = 0;
}

#[test]
fn the_checker_finds_what_is_planted() {
    let planted: &[Planted] = &[
        ("no degrade", |s, _| service(s).degrade = None, "degrade", SMALL, "nothing may stand in here"),
        (
            "another model",
            |_, p| said(p).model = "large".into(),
            "degrade",
            SMALL,
            "a model that may not stand in",
        ),
        ("a better figure", |_, p| said(p).quality = 0.99, "degrade", SMALL, "the quality as stated"),
        (
            "a higher floor",
            |s, _| service(s).degrade.as_mut().unwrap().keep = 0.95,
            "degrade",
            SMALL,
            "keeps too little",
        ),
        (
            "a percent less",
            |_, p| said(p).percent -= 1,
            "degrade",
            SMALL,
            "another part than what is missing",
        ),
        (
            "a percent more",
            |_, p| said(p).percent += 1,
            "degrade",
            SMALL,
            "another part than what is missing",
        ),
        ("a lower rate", |_, p| said(p).rate *= 0.5, "degrade", SMALL, "the rate in a failure"),
        (
            "for itself",
            |_, p| said(p).pool = pool(p, SMALL).addr.clone(),
            "degrade",
            SMALL,
            "it stands in for no pool",
        ),
        (
            "a route to it",
            |_, p| {
                let placed = p.workloads.get_mut("services.chat").unwrap();
                let at = placed.pools.iter().position(|p| p.stands_in.is_some()).unwrap();
                placed.routes[0].to.push((at, 0.5));
            },
            "degrade",
            SMALL,
            "something is sent to it",
        ),
        ("a peak", |_, p| pool(p, SMALL).peak_rate = 1.0, "degrade", SMALL, "something is sent to it"),
        ("a capacity", |_, p| pool(p, SMALL).capacity *= 2.0, "degrade", SMALL, "its capacity is wrong"),
        (
            "no latency",
            |_, p| pool(p, SMALL).latency = None,
            "degrade",
            SMALL,
            "its latency in a failure is not told",
        ),
        (
            "another latency",
            |_, p| pool(p, SMALL).latency.as_mut().unwrap().tpot.mean *= 2.0,
            "degrade",
            SMALL,
            "its mean TPOT",
        ),
        (
            "a machine fewer",
            |_, p| {
                let small = pool(p, SMALL);
                small.machines[0].count -= 1;
                small.replicas -= 1;
            },
            "degrade",
            SMALL,
            "it does not carry what is missing",
        ),
        (
            "on spot",
            |_, p| pool(p, SMALL).machines[0].purchase = Purchase::Spot,
            "degrade",
            SMALL,
            "not on machines of its own",
        ),
        (
            "two of them",
            |_, p| {
                let more = pool(p, SMALL).clone();
                p.workloads.get_mut("services.chat").unwrap().pools.push(more);
            },
            "degrade",
            SMALL,
            "several stand in",
        ),
        (
            "nobody is told",
            |_, p| p.workloads.get_mut("services.chat").unwrap().caveats.clear(),
            "degrade",
            SMALL,
            "must move the requests",
        ),
        (
            "in another region",
            |_, p| pool(p, SMALL).region = "us-east-1".into(),
            "degrade",
            SMALL,
            "where it stands in",
        ),
        ("gone", |_, p| without_it(p), "failure", LARGE, "does not survive the loss"),
        (
            "gone, and nobody says so",
            |_, p| without_it(p),
            "degrade",
            "services.chat",
            "nothing stands in, and the plan does not say so",
        ),
        (
            "the failure is told as if it had to carry all",
            |_, p| p.workloads.get_mut("services.chat").unwrap().failures[0].required_rate = 20.0,
            "failure",
            LARGE,
            "the required rate",
        ),
    ];
    let base = case();
    faults::all_are_found_at(&base, planted);
    let (spec, world, mut placement) = base;
    let sound = rhumb::check::placement(&spec, &world, &placement);
    assert!(sound.is_empty(), "\n{}", faults::told(&sound));
    // Nobody says that no fallbacks were looked for.
    let placed = placement.workloads.get_mut("services.chat").unwrap();
    placed.caveats.retain(|c| !c.contains("fallback") && !c.contains("stand-in"));
    let found = rhumb::check::placement(&spec, &world, &placement);
    assert!(found.iter().any(|f| f.code == "fallback"), "{}", faults::told(&found));
}

#[test]
fn what_is_not_the_cheapest_is_found() {
    let (spec, world, with) = case();
    let large = world.catalog.offerings.iter().map(|o| o.price).max();
    faults::dearer_is_told(&(spec, world, with), |o| Some(o.price) == large);
}

#[test]
fn the_state_after_the_loss_is_replayed_with_both() {
    let (spec, mut world, _) = case();
    world.replay = 2_000;
    let placement = line::place(&spec, &world).unwrap();
    let percent = stands_in(&placement).unwrap().percent;
    let options = Options { requests: 16_000, seed: 7, traces: &Default::default(), progress: &|_, _| {} };
    let failed = |placement: &Placement| {
        let found = verify(&spec, &world, placement, &options).unwrap();
        let of = found.services[0].scenarios.iter().find(|s| s.name == "machine").unwrap().clone();
        (of, found.services[0].fewer.clone())
    };
    let (found, fewer) = failed(&placement);
    assert!(
        !found.broken() && found.what.contains(&format!("{percent} % answered by small")),
        "{}",
        found.what
    );
    assert!(found.objectives.iter().all(|o| o.kept != Kept::No) && found.lost == 0.0);
    let rates: Vec<f64> = found.pools.iter().map(|p| p.rate).collect();
    let part = rates[0] / rates.iter().sum::<f64>() * 100.0;
    assert!((part - f64::from(percent)).abs() < 2.0, "{part} % of {rates:?}");
    // What a small machine buys is the failure, not the hour as planned.
    let buys = format!("{:?}", fewer.iter().find(|f| f.pool == SMALL).unwrap().verdict);
    assert!(buys.contains("survive.machine"), "{buys}");
    // A stand-in of a single machine breaks it.
    let mut less = placement.clone();
    pool(&mut less, SMALL).replicas = 1;
    assert!(failed(&less).0.broken());
}

#[test]
fn the_load_balancer_says_where_requests_go_and_the_engine_answers_to_both_names() {
    let (spec, _, with) = case();
    let percent = i64::from(stands_in(&with).unwrap().percent);
    let graph = rhumb::graph::compile(&spec).unwrap();
    let desired = graph.bind(&spec, &with);
    let attributes = |addr: &str| &desired.get(addr).unwrap().attributes;
    let balancer = attributes("services.chat/aws/eu-west-1/load_balancer");
    let Some(Attr::List(overflow)) = balancer.get("overflow") else { panic!("{balancer:?}") };
    let [Attr::Map(overflow)] = overflow.as_slice() else { panic!("{overflow:?}") };
    let fleet = |addr: &str| Attr::List(vec![Attr::from(format!("{addr}/on_demand").as_str())]);
    assert_eq!(
        (overflow.get("from"), overflow.get("to"), overflow.get("percent")),
        (Some(&fleet(LARGE)), Some(&fleet(SMALL)), Some(&Attr::Int(percent)))
    );
    let named = attributes(&format!("{SMALL}/on_demand")).get("stands_in_for");
    assert_eq!(named, Some(&Attr::from(LARGE)));
    assert_eq!(attributes(&format!("{LARGE}/on_demand")).get("stands_in_for"), None);
    let artifacts = rhumb::render::artifacts(&desired).unwrap();
    let script = |of: &str| {
        let all = artifacts.iter().filter(|a| a.addr.as_str().contains(of));
        all.map(|a| a.content.as_str()).collect::<String>()
    };
    assert!(
        script("g6e.2xlarge").contains("--served-model-name 'small' 'large'\n"),
        "{}",
        script("g6e.2xlarge")
    );
    assert!(script("p5.48xlarge").contains("--served-model-name 'large'\n"));
}

#[test]
fn the_keys_arrive_and_of_models_the_cheapest_stands_in() {
    let full = crate::diagnostics::load("deploy.yaml", crate::spec::FULL)
        .unwrap_or_else(|d| panic!("{:?}", d.list))
        .spec;
    let degrade = full.services["answer"].degrade.as_ref().unwrap();
    let to: Vec<(&str, f64)> = degrade.to.iter().map(|s| (s.model.as_str(), s.quality)).collect();
    assert_eq!((degrade.keep, to), (0.9, vec![("tiny", 0.925)]));
    // The better one is named first, and costs more.
    let both =
        "    degrade: { keep: 90%, to: [{ model: middle, quality: 97% }, { model: small, quality: 92% }] }\n";
    let named =
        |degrade: &str| text(degrade).replace("  small:", "  middle: { source: Qwen/Qwen3-14B }\n  small:");
    let (_, _, cheapest) = line::proven(&named(both), &on_sale(2_400_000));
    assert_eq!(stands_in(&cheapest).unwrap().model, "small");
    // Who wants the better one names no other.
    let one = "    degrade: { keep: 95%, to: [{ model: middle, quality: 97% }] }\n";
    let (_, _, better) = line::proven(&named(one), &on_sale(2_400_000));
    assert_eq!(stands_in(&better).unwrap().model, "middle");
    let cost = |p: &Placement| p.workloads["services.chat"].cost.expected_per_hour;
    assert!(cost(&better) > cost(&cheapest) && cost(&better).micros() < 180_000_000);
}
