//! The checker passes what the optimizer makes and finds every planted fault, by its code.

use std::sync::OnceLock;

use rhumb::catalog::{Catalog, Offered};
use rhumb::check;
use rhumb::placement::{Metric, Placement, Pool, WorkloadPlacement, World};
use rhumb::spec::{BudgetScope, Cloud, KvCacheDtype, Money, Purchase, Quantization, Spec};

use crate::line;
use crate::maker::{self, Wanted};

/// A chat service for two continents that survives, on spot in part, and a nightly batch.
const BASE: &str = r#"
rhumb: 1
name: base
models:
  chat:
    source: Qwen/Qwen3-8B
    variants:
      bf16: {}
      fp8: { quantization: fp8, kv_cache_dtype: fp8 }
    quality: { keep: 99%, benchmark: mmlu, measured: { fp8: 99.5% } }
services:
  chat:
    model: chat
    traffic:
      peak: 12 req/s
      input_tokens: { mean: 600 }
      output_tokens: { mean: 200 }
      origins:
        eu: { at: DE, share: 60%, residency: [eu] }
        us: { at: US, share: 40% }
    slo: { ttft: { p95: 800ms }, tpot: { p95: 60ms } }
    survive: { replica: 1, machine: 1, zone: 1 }
    during_failure: { capacity: 70% }
    purchase: { spot_max_share: 50%, on_demand_base: 1 }
    scaling: { min_replicas: 2, max_replicas: 60 }
batches:
  night:
    model: chat
    items: 400k
    input_tokens: 350
    output_tokens: 20
    schedule: "0 1 * * *"
    deadline: 6h
    purchase: { spot_max_share: 100% }
budget: { monthly: 200000 USD, per: { services.chat: 150000 USD } }
"#;

pub type Case = (Spec, World, Placement);

pub fn base() -> &'static Case {
    static BASE_CASE: OnceLock<Case> = OnceLock::new();
    BASE_CASE.get_or_init(|| {
        let catalog = Catalog::embedded();
        let spec = line::spec(BASE, &catalog);
        let world = line::world(&spec, &catalog);
        let wanted = |region: &'static str, machines| Wanted {
            cloud: Cloud::Aws,
            region,
            instance_type: "p4d.24xlarge",
            variant: "bf16",
            machines,
        };
        let chat = maker::service(&spec, &world, "chat", &wanted("eu-west-1", (4, 2)));
        let night = maker::batch(&spec, &world, "night", &wanted("eu-west-1", (1, 1)));
        let workloads = [chat, night].into_iter().map(|w| (w.address.clone(), w)).collect();
        {
            let made = maker::placement(&world, workloads, Vec::new(), None);
            (spec, world, made)
        }
    })
}

fn chat(p: &mut Placement) -> &mut WorkloadPlacement {
    p.workloads.get_mut("services.chat").unwrap()
}

fn night(p: &mut Placement) -> &mut WorkloadPlacement {
    p.workloads.get_mut("batches.night").unwrap()
}

fn pool(p: &mut Placement) -> &mut Pool {
    &mut chat(p).pools[0]
}

fn cheaper(m: Money) -> Money {
    m - Money::from_micros(10_000)
}

/// The pool of the chat service that has spot machines.
fn spot(p: &mut Placement) -> &mut Pool {
    chat(p)
        .pools
        .iter_mut()
        .find(|p| p.machines.iter().any(|m| m.purchase == Purchase::Spot))
        .expect("the base case uses spot")
}

/// Name, the code that must be among the findings, and the fault.
type Fault = (&'static str, &'static str, fn(&mut Spec, &mut World, &mut Placement));

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    // What is bought.
    ("price lowered", "price", |_, _, p| pool(p).machines[0].price = cheaper(pool(p).machines[0].price)),
    ("list price raised", "price", |_, _, p| pool(p).machines[0].list_price = Money::from_micros(1_000_000_000)),
    ("the catalogue's price moved", "price", |_, w, _| for o in &mut w.catalog.offerings { o.price = cheaper(o.price); }),
    ("discount taken twice", "price", |s, w, _| { let _ = s; for c in Cloud::ALL { w.catalog.apply_discount(c, 0.1); } }),
    ("count lowered", "replicas", |_, _, p| pool(p).machines[0].count -= 1),
    ("replicas inflated", "replicas", |_, _, p| pool(p).replicas += 3),
    ("more replicas than allowed", "replicas", |s, _, _| s.services.get_mut("chat").unwrap().scaling.max_replicas = Some(1)),
    ("a type of another cloud", "instance-type", |_, _, p| pool(p).instance_type = "no-such-type".into()),
    ("an invented region", "region", |_, _, p| pool(p).region = "moon-north-1".into()),
    ("another accelerator", "instance-type", |_, _, p| pool(p).accelerator = Some("h100-sxm-80gb-x".into())),
    ("a retired type", "instance-type", |_, w, _| for t in &mut w.catalog.instance_types { t.status = "retired".into(); }),
    ("not offered there", "purchase", |_, w, p| {
        let (cloud, name) = (pool(p).cloud, pool(p).instance_type.clone());
        let index = w.catalog.instance_type(cloud, &name).unwrap();
        w.catalog.offerings.retain(|o| o.instance_type != index);
    }),
    ("reserved without leave", "purchase", |_, _, p| pool(p).machines[0].purchase = Purchase::Reserved3y),
    ("the same option twice", "purchase", |_, _, p| { let m = pool(p).machines[0].clone(); pool(p).machines.push(m); }),
    ("spot share exceeded", "spot-share", |s, _, _| s.services.get_mut("chat").unwrap().purchase.spot_max_share = 0.0),
    ("base not kept", "on-demand-base", |s, _, _| s.services.get_mut("chat").unwrap().purchase.on_demand_base = 99),
    ("uncertain and not told", "caveat", |_, w, p| {
        for o in &mut w.catalog.offerings { o.offered = Offered::Unknown; }
        chat(p).caveats.clear();
    }),
    // Where.
    ("data outside its residency", "residency", |s, _, _| s.services.get_mut("chat").unwrap().placement.residency = vec!["jp".into()]),
    ("an origin's data outside its residency", "residency", |s, _, _| s.services.get_mut("chat").unwrap().traffic.origins[1].residency = vec!["jp".into()]),
    ("a cloud that is not allowed", "clouds", |s, _, p| { let c = pool(p).cloud; s.services.get_mut("chat").unwrap().placement.clouds = rhumb::spec::AllowDeny::Not(vec![c]); }),
    ("a region that is not allowed", "regions", |s, _, p| { let r = pool(p).region.clone(); s.services.get_mut("chat").unwrap().placement.regions = rhumb::spec::AllowDeny::Not(vec![r]); }),
    ("a type that is not allowed", "instance-types", |s, _, p| { let t = pool(p).instance_type.clone(); s.services.get_mut("chat").unwrap().placement.instance_types = rhumb::spec::AllowDeny::Not(vec![t]); }),
    ("an accelerator that is not allowed", "accelerators", |s, _, p| { let a = pool(p).accelerator.clone().unwrap(); s.services.get_mut("chat").unwrap().placement.accelerators = rhumb::spec::AllowDeny::Not(vec![a]); }),
    ("too few regions", "spread", |s, _, _| s.services.get_mut("chat").unwrap().placement.spread_regions = 9),
    ("one zone more", "zones", |_, _, p| pool(p).zones += 1),
    ("the address of another pool", "address", |_, _, p| pool(p).addr = rhumb_api::ResourceAddr::parse("services.chat/aws/x/y").unwrap()),
    ("two pools of one address", "address", |_, _, p| { let twin = pool(p).clone(); chat(p).pools.push(twin); }),
    // How it is run.
    ("variant below quality", "quality", |s, _, p| {
        let m = s.models.get_mut("chat").unwrap();
        m.quality.as_mut().unwrap().measured.insert("fp8".into(), 0.5);
        pool(p).variant = "fp8".into();
    }),
    ("a variant nobody declared", "variant", |_, _, p| pool(p).variant = "fp2".into()),
    ("weights stored otherwise", "variant", |_, _, p| pool(p).quantization = Quantization::Int4),
    ("cache stored otherwise", "variant", |s, _, p| {
        let v = pool(p).variant.clone();
        let other = if pool(p).kv_cache == KvCacheDtype::Fp8 { KvCacheDtype::Bf16 } else { KvCacheDtype::Fp8 };
        s.models.get_mut("chat").unwrap().variants.get_mut(&v).unwrap().kv_cache = other;
    }),
    ("memory figure altered", "memory", |_, _, p| pool(p).memory.kv_cache *= 1.5),
    ("sequences inflated", "memory", |_, _, p| pool(p).memory.max_sequences += 64),
    ("layout that does not fit", "layout", |_, _, p| pool(p).replicas_per_machine += 8),
    ("other engine settings", "engine", |s, _, _| s.services.get_mut("chat").unwrap().engine.max_num_seqs = Some(7)),
    ("memory share of the engine", "engine", |_, _, p| pool(p).engine.gpu_memory_utilization = 0.99),
    ("a model too large", "does-not-fit", |_, w, _| {
        let a = w.archs.get_mut("chat").unwrap();
        a.layers *= 40; a.params *= 40.0; a.params_active *= 40.0;
    }),
    // What it carries.
    ("capacity inflated", "capacity", |_, _, p| pool(p).capacity *= 2.0),
    ("traffic grown", "capacity", |s, _, _| s.services.get_mut("chat").unwrap().traffic.load = rhumb::spec::Load::Rate(400.0)),
    ("peak rate altered", "route", |_, _, p| pool(p).peak_rate *= 0.5),
    ("origin unserved", "route", |_, _, p| { chat(p).routes.remove(0); }),
    ("half the traffic lost", "route", |_, _, p| for to in &mut chat(p).routes[0].to { to.1 /= 2.0; }),
    ("traffic to a pool that is not there", "route", |_, _, p| chat(p).routes[0].to[0].0 = 77),
    ("network time left out", "route", |_, _, p| chat(p).routes[0].network_ms[0] = 1.0),
    ("objective tightened", "objective", |s, _, p| {
        s.services.get_mut("chat").unwrap().slo.ttft[0].limit_ms = 1.0;
        for o in &mut chat(p).objectives { if o.metric == Metric::Ttft { o.limit_ms = 1.0; } }
    }),
    ("objective figure altered", "objective", |_, _, p| chat(p).objectives[0].at_confidence_ms *= 0.9),
    ("displayed figure altered", "objective", |_, _, p| chat(p).objectives[0].predicted_ms *= 0.9),
    ("objective forgotten", "objective-missing", |_, _, p| { chat(p).objectives.remove(0); }),
    ("confidence raised", "objective", |s, _, _| s.confidence = 0.9999),
    ("prediction altered", "figure", |_, _, p| { let l = pool(p).latency.as_mut().unwrap(); l.tpot.mean *= 0.9; }),
    ("band left out", "figure", |_, _, p| pool(p).ttft_factor = 0.5),
    ("class raised", "figure", |_, _, p| pool(p).evidence = rhumb::catalog::Evidence::Measured),
    // What may fail.
    ("more must be survived", "failure", |s, _, _| s.services.get_mut("chat").unwrap().survive.machine = 90),
    ("a region must be survived", "failure", |s, _, _| s.services.get_mut("chat").unwrap().survive.region = 3),
    ("failure figure altered", "failure", |_, _, p| chat(p).failures[0].capacity *= 3.0),
    ("failure forgotten", "failure-missing", |_, _, p| chat(p).failures.clear()),
    ("spot lost more often", "failure", |_, _, p| {
        let at = spot(p).addr.to_string();
        for f in &mut chat(p).failures { if f.scope == "spot" && f.at == at { f.count += 1; } }
    }),
    // What it costs.
    ("cost line missing", "cost-line", |_, _, p| { chat(p).cost.lines.remove(0); }),
    ("cost line lowered", "cost-line", |_, _, p| { let l = &mut chat(p).cost.lines[0]; l.per_hour = l.per_hour.map(cheaper); }),
    ("transfer left out", "cost-line", |_, _, p| chat(p).cost.lines.retain(|l| !l.addr.contains("/transfer"))),
    ("unpriced as free", "cost-sum", |_, _, p| { let c = &mut chat(p).cost; c.incomplete = !c.incomplete; }),
    ("hour altered", "cost-sum", |_, _, p| { let c = &mut chat(p).cost; c.expected_per_hour = cheaper(c.expected_per_hour); }),
    ("month altered", "cost-sum", |_, _, p| { let c = &mut chat(p).cost; c.expected_per_month = cheaper(c.expected_per_month); }),
    ("month of the peak wrong", "peak-month", |_, _, p| { let c = &mut chat(p).cost; c.peak_per_month = cheaper(c.peak_per_month); }),
    ("and of a batch", "peak-month", |_, _, p| { let c = &mut night(p).cost; c.peak_per_month = cheaper(c.peak_per_month); }),
    ("ceiling wrong", "ceiling", |_, _, p| { let c = &mut chat(p).cost; c.ceiling_per_month = cheaper(c.ceiling_per_month); }),
    ("over its budget", "budget", |s, _, _| s.budget.limits.get_mut(&BudgetScope::Workload("services.chat".into())).unwrap().limit = Money::from_micros(1)),
    ("over the joint budget", "joint", |s, _, _| s.budget.limits.get_mut(&BudgetScope::All).unwrap().limit = Money::from_micros(1)),
    ("quota exceeded", "quota", |s, w, p| {
        let (cloud, region, kind) = (pool(p).cloud, pool(p).region.clone(), pool(p).instance_type.clone());
        let index = w.catalog.instance_type(cloud, &kind).unwrap();
        let purchase = pool(p).machines[0].purchase;
        let (quota, each) = w.catalog.quotas_for(index, purchase).first().map(|(q, n)| (q.code.clone(), *n)).expect("a quota");
        let settings = s.providers.entry(cloud).or_insert(rhumb::spec::ProviderSettings {
            account: None, discount: 0.0, quotas: Default::default(), at: Default::default(),
        });
        settings.quotas.entry(region).or_default().insert(quota, each / 2.0);
    }),
    ("quota not listed", "quota", |_, _, p| chat(p).quotas.clear()),
    ("quota amount lowered", "quota", |_, _, p| chat(p).quotas[0].amount -= 1.0),
    ("quota declared by nobody", "quota", |_, _, p| chat(p).quotas[0].declared = Some(1e9)),
    // Batches.
    ("deadline missed", "deadline", |s, _, p| {
        s.batches.get_mut("night").unwrap().deadline_s = 60.0;
        night(p).run.as_mut().unwrap().deadline_hours = 60.0 / 3600.0;
    }),
    ("more items than planned", "run", |s, _, _| s.batches.get_mut("night").unwrap().items *= 2.0),
    ("run shortened", "run", |_, _, p| night(p).run.as_mut().unwrap().hours *= 0.5),
    ("run made cheaper", "run", |_, _, p| { let r = night(p).run.as_mut().unwrap(); r.cost_per_run = cheaper(r.cost_per_run); }),
    ("run forgotten", "run", |_, _, p| night(p).run = None),
    // The proof.
    ("certificate forged", "certificate", |_, _, p| chat(p).certificate.candidates += 1),
    ("bound too low", "certificate", |_, _, p| { let c = &mut chat(p).certificate; c.lower_bound = cheaper(c.lower_bound); }),
    ("another optimum", "certificate", |_, _, p| {
        let c = &mut chat(p).certificate;
        c.optimum = cheaper(c.optimum);
        c.lower_bound = c.optimum;
    }),
    ("a cheaper loser", "loser", |_, _, p| {
        let mut cheapest = chat(p).losers[0].clone();
        cheapest.rejection.constraint = "dearer";
        cheapest.per_hour = Money::from_micros(1);
        chat(p).losers.push(cheapest);
    }),
    // Workloads.
    ("workload forgotten", "workload", |_, _, p| { p.workloads.remove("batches.night"); }),
    ("workload invented", "workload", |_, _, p| { let w = chat(p).clone(); p.workloads.insert("services.ghost".into(), w); }),
    ("placed nowhere", "workload", |_, _, p| { chat(p).pools.clear(); }),
];

fn text(findings: &[check::Finding]) -> String {
    findings
        .iter()
        .map(|f| {
            format!("{} {}: {} (expected {}, found {})\n", f.code, f.address, f.message, f.expected, f.found)
        })
        .collect()
}

#[test]
fn a_placement_by_the_rules_is_clean() {
    let (spec, world, placement) = base();
    let report = check::inspect(spec, world, placement);
    assert!(report.findings.is_empty(), "\n{}", text(&report.findings));
    assert!(report.promises > 100, "only {} promises were checked", report.promises);
    assert!(report.passed());
}

/// Each engine divides memory by its own rule, and none is planned in a way that it has no start for.
#[test]
fn plans_of_every_engine_are_clean() {
    let catalog = line::on_sale(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
        ("g6.48xlarge", "eu-north-1", Purchase::OnDemand, 14_000_000),
        ("g6.12xlarge", "eu-north-1", Purchase::OnDemand, 100_000),
    ]);
    for engine in ["vllm", "sglang", "trtllm"] {
        let text = line::two_services("").replace(
            "  placement: { residency: [eu] }",
            &format!("  placement: {{ residency: [eu] }}\n  engine: {{ name: {engine} }}"),
        );
        let spec = line::spec(&text, &catalog);
        let world = line::world(&spec, &catalog);
        let placement = line::place(&spec, &world).unwrap_or_else(|why| panic!("{engine}: {why:?}"));
        let findings = check::placement(&spec, &world, &placement);
        assert!(findings.is_empty(), "{engine}: {}", self::text(&findings));
        let proof = check::prove(&spec, &world, &placement);
        assert!(proof.report.findings.is_empty(), "{engine}: {}", self::text(&proof.report.findings));
        assert_eq!(proof.all.gap(), Some(0.0), "{engine}");
        let mut pools = placement.workloads.values().flat_map(|w| &w.pools);
        assert!(engine != "trtllm" || pools.all(|p| p.machines_per_replica == 1));
    }
}

#[test]
fn every_planted_fault_is_found() {
    let mut missed = String::new();
    for (name, code, plant) in FAULTS {
        let (mut spec, mut world, mut placement) = base().clone();
        plant(&mut spec, &mut world, &mut placement);
        let findings = check::placement(&spec, &world, &placement);
        if !findings.iter().any(|f| f.code == *code) {
            missed += &format!("{name}: no `{code}` among:\n{}", text(&findings));
        }
    }
    assert!(missed.is_empty(), "\n{missed}");
}

#[test]
fn every_code_is_planted_and_documented() {
    // `plan` is planted in check_plan.rs, `optimum` in judge.rs, `following` in day.rs, `fallback` in fallbacks.rs, `carbon` in
    // carbon.rs, `chain` in chains.rs, `commitment` in commitments.rs, `degrade` in degrade.rs, `season` in seasons.rs, `divided` in divided.rs.
    let elsewhere = [
        "plan",
        "optimum",
        "following",
        "fallback",
        "carbon",
        "chain",
        "commitment",
        "degrade",
        "season",
        "divided",
    ];
    let shared = crate::sharing_faults::FAULTS.iter().map(|f| f.1);
    let training = crate::training_faults::FAULTS.iter().map(|f| f.1);
    let measured = crate::measured::FAULTS
        .iter()
        .chain(crate::processors::FAULTS)
        .chain(crate::pipelines::FAULTS)
        .chain(crate::streams::FAULTS)
        .chain(crate::federations::FAULTS)
        .map(|f| f.1);
    let sites = crate::sites::faults::FAULTS.iter().map(|f| f.1);
    let sites = sites.chain(crate::stability::FAULTS.iter().map(|f| f.1));
    let sites = sites.chain(crate::profiles::FAULTS.iter().map(|f| f.1));
    let held = crate::held::faults::FAULTS.iter().chain(crate::held::savings::FAULTS).map(|f| f.1);
    let own = FAULTS.iter().map(|f| f.1).chain(elsewhere);
    let planted: Vec<&str> =
        own.chain(held).chain(shared).chain(training).chain(measured).chain(sites).collect();
    for (code, meaning) in check::CODES {
        assert!(planted.contains(code), "nothing shows that `{code}` can be found");
        assert!(!meaning.is_empty());
    }
}

#[test]
fn a_check_of_nothing_does_not_pass() {
    assert!(!check::Report::default().passed());
}
