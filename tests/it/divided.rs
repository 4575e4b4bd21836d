//! Services in parts: what divides them, what the checker finds of parts that are wrong, and where requests go.

use std::collections::BTreeMap;

use rhumb::placement::Placement;
use rhumb::replay::{Options, verify};
use rhumb::spec::{By, Load, Spec};
use rhumb_api::{Attr, Money, Purchase};

use crate::faults::{self, Planted};
use crate::line;

/// Prompts of 700 tokens and, one in twenty, more than 12,000: 8,192 of them take 1 GiB of KV cache, 100,000 take 12.2 GiB.
fn text(at: &str, more: &str) -> String {
    format!(
        "rhumb: 1
name: d
models:
  chat: {{ source: meta-llama/Llama-3.1-8B-Instruct, variants: {{ bf16: {{ quantization: bf16 }} }} }}
services:
  chat:
    model: chat
    traffic: {{ peak: 20 req/s, input_tokens: {{ p50: 700, p95: 12000, max: 100000 }}, output_tokens: {{ p50: 180, p95: 700 }}{at} }}
    slo: {{ ttft: {{ p95: 4s }}, tpot: {{ p95: 150ms }} }}
{more}"
    )
}

const DIVIDE: &str = ", divide_at: [2048, 8192]";

/// A machine of 24 GB for a dollar an hour, and one of 80 GB for `micros`.
fn on_sale(micros: i64) -> rhumb::catalog::Catalog {
    line::on_sale(&[
        ("g6.xlarge", "eu-west-1", Purchase::OnDemand, 1_000_000),
        ("p5.4xlarge", "eu-west-1", Purchase::OnDemand, micros),
    ])
}

fn case() -> faults::Case {
    line::proven(&text(DIVIDE, ""), &on_sale(8_000_000))
}

fn month(placement: &Placement) -> Money {
    placement.workloads.values().map(|w| w.cost.expected_per_month).sum()
}

fn at(placement: &Placement) -> Vec<u32> {
    placement.divided.as_ref().unwrap().services["services.chat"].at.clone()
}

#[test]
fn a_service_is_divided_only_where_that_costs_less() {
    let (spec, _, with) = case();
    let (_, _, whole) = line::proven(&text("", ""), &on_sale(8_000_000));
    assert!(!at(&with).is_empty(), "{:?}", with.divided);
    assert!(month(&with) < month(&whole), "{} {}", month(&with), month(&whole));
    let told = &with.divided.as_ref().unwrap().services["services.chat"];
    // What the undivided service costs is told, to the micro-dollar, and the lengths that could divide it: four ways.
    let ways: Vec<&[u32]> = told.options.iter().map(|o| o.at.as_slice()).collect();
    assert_eq!(ways, [&[][..], &[2048], &[8192], &[2048, 8192]]);
    assert_eq!(told.options[0].sum(), Some(month(&whole)));
    let chosen = told.options.iter().find(|o| o.at == told.at).unwrap();
    assert_eq!(chosen.sum(), Some(month(&with)));
    let shares: f64 = told.parts.iter().map(|p| p.share).sum();
    assert!((shares - 1.0).abs() < 1e-12);
    let parted = with.spec_of(&spec);
    let rate = |name: &str| match parted.services[name].traffic.load {
        Load::Rate(rate) => rate,
        Load::Concurrency(_) => unreachable!(),
    };
    let all: f64 = told.parts.iter().map(|p| rate(p.address.trim_start_matches("services."))).sum();
    assert!((all - 20.0).abs() < 1e-9, "{all}");
    // One large machine that carries all costs less than two small ones: one part serves all, as it does without the key.
    let few = |at: &str| text(at, "").replace("20 req/s", "1 req/s");
    let (_, _, one) = line::proven(&few(DIVIDE), &on_sale(1_500_000));
    let (_, _, without) = line::proven(&few(""), &on_sale(1_500_000));
    assert_eq!((at(&one), month(&one)), (vec![], month(&without)));
    assert_eq!(one.workloads["services.chat"].pools, without.workloads["services.chat"].pools);
}

#[test]
fn the_parts_share_budgets_and_quotas() {
    let (_, _, with) = case();
    let most = month(&with);
    let dollars = most.micros().div_euclid(1_000_000) as u32;
    for scope in ["monthly: {} USD", "per: { services.chat: {} USD }"] {
        let budget = |n: u32| {
            text(DIVIDE, &format!("budget: {{ binds: expected, {} }}\n", scope.replace("{}", &n.to_string())))
        };
        let found = line::placed(&budget(dollars + 1), &on_sale(8_000_000)).2.unwrap();
        assert_eq!(month(&found), most);
        let (_, _, refused) = line::placed(&budget(dollars - 1), &on_sale(8_000_000));
        let why = refused.unwrap_err();
        assert!(why.proven, "{why:?}");
        let told = format!("{:?}", why.workloads);
        assert!(told.contains("no division at these lengths does either"), "{told}");
    }
}

pub fn divided(p: &mut Placement) -> &mut rhumb::placement::DividedService {
    p.divided.as_mut().unwrap().services.get_mut("services.chat").unwrap()
}

fn first(p: &Placement) -> String {
    p.divided.as_ref().unwrap().services["services.chat"].parts[0].address.clone()
}

#[test]
fn the_checker_finds_what_is_planted() {
    let all = "deployment";
    let whole = "services.chat";
    let planted: &[Planted] = &[
        (
            "nothing may be divided",
            |s, _| s.services.get_mut("chat").unwrap().traffic.divide_at = None,
            "divided",
            all,
            "the services that may be divided",
        ),
        ("nothing is told", |_, p| p.divided = None, "divided", all, "whether some may be"),
        (
            "another length",
            |s, _| {
                s.services.get_mut("chat").unwrap().traffic.divide_at.as_mut().unwrap().tokens =
                    vec![4096, 8192]
            },
            "divided",
            whole,
            "the ways to divide it",
        ),
        (
            "a way is missing",
            |_, p| drop(divided(p).options.pop()),
            "divided",
            whole,
            "the ways to divide it",
        ),
        ("a part is missing", |_, p| drop(divided(p).parts.pop()), "divided", whole, "its parts"),
        (
            "divided elsewhere",
            |_, p| divided(p).at = vec![4096],
            "divided",
            whole,
            "divided where it may not be",
        ),
        (
            "a bound too high",
            |_, p| p.divided.as_mut().unwrap().lower_bound = Money::from_usd(1e6).unwrap(),
            "divided",
            all,
            "not the least of theirs",
        ),
        (
            "a bound too low",
            |_, p| p.divided.as_mut().unwrap().lower_bound = Money::ZERO,
            "divided",
            all,
            "not the least of theirs",
        ),
        (
            "a cheaper way",
            |_, p| divided(p).options[0].least[0] = Some(Money::from_micros(1)),
            "divided",
            all,
            "it may cost less",
        ),
        (
            "the chosen one is dearer",
            |_, p| {
                let at = [("services.chat".to_owned(), divided(p).at.clone())].into();
                p.divided.as_mut().unwrap().dearer.push(rhumb::placement::DearerDivision {
                    at,
                    lower_bound: None,
                    coupling: None,
                });
            },
            "divided",
            all,
            "is told as dearer",
        ),
        (
            "twice the load",
            |s, _| s.services.get_mut("chat").unwrap().traffic.load = Load::Rate(40.0),
            "capacity",
            "",
            "",
        ),
    ];
    let base = case();
    let (last, rest) = planted.split_last().unwrap();
    faults::all_are_found_at(&base, rest);
    // With more to do than was planned for, what is found is of the parts.
    let (mut spec, world, mut placement) = base;
    last.1(&mut spec, &mut placement);
    let found = rhumb::check::placement(&spec, &world, &placement);
    assert!(found.iter().any(|f| f.address.starts_with("services.chat-to-")), "{}", faults::told(&found));
}

#[test]
fn a_part_that_is_not_as_told_is_found() {
    let (spec, world, placement) = case();
    let name = first(&placement);
    let found = |plant: &dyn Fn(&mut rhumb::placement::ServicePart)| {
        let mut other = placement.clone();
        plant(&mut divided(&mut other).parts[0]);
        let found = rhumb::check::placement(&spec, &world, &other);
        found.iter().any(|f| f.code == "divided")
    };
    assert!(!found(&|_| {}));
    assert!(found(&|p| p.share *= 1.01));
    assert!(found(&|p| p.to = None));
    assert!(found(&|p| p.above = 1));
    assert!(found(&|p| p.address = "services.other".into()));
    let mut gone = placement.clone();
    gone.workloads.remove(&name);
    let told = rhumb::check::placement(&spec, &world, &gone);
    assert!(told.iter().any(|f| f.code == "workload" && f.address == name), "{}", faults::told(&told));
}

/// That a sound plan of `services.chat` is proven, and one that claims the undivided service would cost twice as much is found.
pub fn a_claim_is_searched_again((spec, world, placement): &faults::Case) {
    let sound = rhumb::check::prove(spec, world, placement);
    let told = faults::told(&sound.report.findings);
    assert_eq!((sound.report.findings.len(), sound.all.gap()), (0, Some(0.0)), "{told}");
    let mut claimed = placement.clone();
    let least = &mut divided(&mut claimed).options[0].least[0];
    *least = least.map(|m| m + m);
    let found = rhumb::check::prove(spec, world, &claimed).report.findings;
    let told = faults::told(&found);
    assert!(found.iter().any(|f| f.code == "optimum" && f.address == "services.chat"), "{told}");
}

#[test]
fn claims_that_nothing_can_keep_are_found() {
    let case = case();
    a_claim_is_searched_again(&case);
    let (spec, world, placement) = case;
    // A plan of the undivided service, which says the same of the parts of the others: the bound is below it.
    let mut undivided = spec.clone();
    undivided.services.values_mut().for_each(|s| s.traffic.divide_at = None);
    let mut whole = line::place(&undivided, &world).unwrap();
    let mut told = placement.divided.clone().unwrap();
    let own = told.services.get_mut("services.chat").unwrap();
    own.at = Vec::new();
    own.parts = vec![rhumb::placement::ServicePart {
        address: "services.chat".into(),
        above: 0,
        to: None,
        hours: Vec::new(),
        share: 1.0,
    }];
    whole.divided = Some(told);
    let proof = rhumb::check::prove(&spec, &world, &whole);
    assert!(proof.all.gap().is_some_and(|gap| gap > 0.01), "{:?}", proof.all);
    let found = rhumb::check::placement(&spec, &world, &whole);
    assert!(found.iter().any(|f| f.message.contains("it may cost less")), "{}", faults::told(&found));
}

#[test]
fn verify_sends_each_request_to_the_part_of_its_length() {
    let (spec, world, placement) = case();
    let options = Options { requests: 8_000, seed: 3, traces: &BTreeMap::new(), progress: &|_, _| {} };
    let found = verify(&spec, &world, &placement, &options).unwrap();
    let parts = &placement.divided.as_ref().unwrap().services["services.chat"].parts;
    assert_eq!(found.services.len(), parts.len());
    assert!(
        found.services.iter().all(|s| s.traffic.contains("those of the whole service")),
        "{:?}",
        found.services[0].traffic
    );
    // A recorded hour of short prompts alone has nothing for the others.
    let hour = |tokens: &[u32]| {
        let line = |(i, n): (usize, &u32)| format!("{i},{n},10\n");
        let csv = "time,input_tokens,output_tokens\n".to_owned()
            + &tokens.iter().enumerate().map(line).collect::<String>();
        BTreeMap::from([("chat".to_owned(), rhumb::spec::read_trace("t.csv", csv.as_bytes()).unwrap())])
    };
    let of = |traces: &BTreeMap<String, rhumb::spec::Recorded>| {
        verify(&spec, &world, &placement, &Options { requests: 8_000, seed: 3, traces, progress: &|_, _| {} })
    };
    let short = of(&hour(&[100, 200, 300, 400])).unwrap_err();
    assert!(short.contains("fewer than two requests for services.chat-"), "{short}");
    let mixed = of(&hour(&[100, 90_000, 200, 80_000, 2048, 2049, 8192, 8193])).unwrap();
    let counts: Vec<usize> = mixed.services.iter().map(|s| s.requests).collect();
    let takes = |p: &rhumb::placement::ServicePart| {
        [100, 90_000, 200, 80_000, 2048, 2049, 8192, 8193]
            .into_iter()
            .filter(|n| p.slice(By::Prompts).takes(*n))
            .count()
    };
    let expected: BTreeMap<&str, usize> = parts.iter().map(|p| (p.address.as_str(), takes(p))).collect();
    assert_eq!(counts, expected.into_values().collect::<Vec<_>>());
}

#[test]
fn load_balancers_say_whose_prompts_they_are_for() {
    let (spec, _, placement) = case();
    let parted = placement.spec_of(&spec);
    let graph = rhumb::graph::compile(&parted).unwrap().bind(&parted, &placement);
    for part in &placement.divided.as_ref().unwrap().services["services.chat"].parts {
        let balancer = graph.get(&format!("{}/aws/eu-west-1/load_balancer", part.address)).unwrap();
        let Some(Attr::Map(said)) = balancer.attributes.get("part") else { panic!("{balancer:?}") };
        assert_eq!(said.get("of"), Some(&Attr::from("services.chat")));
        let above = (part.above > 0).then(|| Attr::Int(i64::from(part.above)));
        assert_eq!(said.get("prompt_tokens_above"), above.as_ref());
        assert_eq!(said.get("prompt_tokens_to"), part.to.map(|to| Attr::Int(i64::from(to))).as_ref());
    }
}

#[test]
fn a_trace_is_divided_as_it_is() {
    let load = |at: &str| -> Spec {
        let yaml = format!(
            "rhumb: 1\nname: t\nmodels: {{ m: {{ source: meta-llama/Llama-3.1-8B-Instruct }} }}\nservices:\n  s: {{ model: m, traffic: {{ trace: t.csv, divide_at: {at} }}, slo: {{ ttft: {{ p95: 4s }} }} }}\n"
        );
        let vocabulary = rhumb::catalog::Catalog::embedded().vocabulary();
        let csv = "time,input_tokens,output_tokens\n0,100,10\n1,5000,300\n2,200,20\n3,300,30\n4,7000,500\n8,400,40\n";
        let sources = rhumb::spec::Sources {
            files: vec![rhumb::diagnostic::SourceFile { name: "t.yaml".into(), text: yaml }],
            variables: Vec::new(),
            vocabulary: &vocabulary,
            read: &|_| Ok(csv.as_bytes().to_vec()),
        };
        rhumb::spec::load(&sources).unwrap_or_else(|d| panic!("{:#?}", d.list)).spec
    };
    let spec = load("[1000]");
    let parted = spec.divided(&[("s".to_owned(), vec![1000])].into());
    assert_eq!(parted.services.keys().collect::<Vec<_>>(), ["s-above-1000", "s-to-1000"]);
    let (short, long) = (&parted.services["s-to-1000"].traffic, &parted.services["s-above-1000"].traffic);
    assert_eq!((short.input.mean, short.input.max, short.output.mean), (250.0, 400.0, 25.0));
    assert_eq!((long.input.mean, long.input.max, long.output.mean), (6000.0, 7000.0, 400.0));
    // Five gaps in eight seconds, and four of six requests are short.
    for (t, share) in [(short, 4.0 / 6.0), (long, 2.0 / 6.0)] {
        let Load::Rate(rate) = t.load else { unreachable!() };
        assert!((rate - 5.0 / 8.0 * share).abs() < 1e-12, "{rate}");
    }
    let lengths =
        |t: &rhumb::spec::Traffic| t.recorded.as_ref().unwrap().iter().map(|r| r.input).collect::<Vec<_>>();
    assert_eq!((lengths(short), lengths(long)), (vec![100.0, 200.0, 300.0, 400.0], vec![5000.0, 7000.0]));
}
