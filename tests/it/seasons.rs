//! Seasons: a plan is that of its day's traffic, the coming year is told as it is, and the checker finds what is not.

use std::sync::OnceLock;

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::diagnostic::{Pointer, SourceFile};
use rhumb::optimize::{Standing, Step, Watch};
use rhumb::placement::{Running, Stop, World};
use rhumb::plan::Plan;
use rhumb::spec::season::{self, SpanPeak, USUAL};
use rhumb::spec::{Load, Season, SeasonDay, Sources, Spec};
use rhumb_api::{Money, Purchase};

use crate::cli::{rhumb, run};
use crate::line;
use crate::oracle::worlds::Random;

const CHRISTMAS: &str = "seasons: { christmas: { from: 12-01, to: 12-24, peak: 4x }, summer: { from: 07-05, to: 08-31, peak: 50% } }";

/// A service by how much arrives; of spare machines in every region.
fn text(load: &str, more: &str) -> String {
    format!(
        "rhumb: 1
name: shop
models:
  m: {{ source: Qwen/Qwen3-8B, variants: {{ bf16: {{ quantization: bf16 }} }} }}
services:
  chat:
    model: m
    traffic:
      {load}
      input_tokens: {{ p50: 600, p95: 2200 }}
      output_tokens: {{ p50: 200, p95: 700 }}
    slo: {{ ttft: {{ p95: 2s }}, tpot: {{ p95: 60ms }} }}
    survive: {{ machine: 1 }}
{more}"
    )
}

fn catalog() -> Catalog {
    line::on_sale(&[
        ("g6e.xlarge", "eu-central-1", Purchase::OnDemand, 2_330_000),
        ("g6e.xlarge", "eu-north-1", Purchase::OnDemand, 2_560_000),
        ("g5.xlarge", "eu-central-1", Purchase::OnDemand, 1_260_000),
    ])
}

fn of_day(text: &str, catalog: &Catalog, day: &str) -> (Spec, World) {
    let mut spec = line::spec(text, catalog);
    let mut world = line::world(&spec, catalog);
    world.today = day.to_owned();
    spec.on_day(day);
    (spec, world)
}

fn input(spec: &Spec, world: &World) -> rhumb::PlanningInput {
    rhumb::PlanningInput {
        spec: spec.clone(),
        spec_digest: "0".repeat(64),
        world: world.clone(),
        prior: None,
        now: format!("{}T09:30:00Z", world.today),
        warnings: Vec::new(),
    }
}

fn cost(plan: &Plan) -> Money {
    plan.placement.workloads.values().map(|w| w.cost.expected_per_month).sum()
}

/// The traffic of the season written as the usual one, in a spec that knows no seasons, gives the same placement.
#[test]
fn the_plan_of_a_season_is_that_of_its_traffic() {
    let catalog = catalog();
    for (usual, christmas, summer) in [
        ("peak: 6 req/s", "peak: 24 req/s", "peak: 3 req/s"),
        ("concurrency: 40", "concurrency: 160", "concurrency: 20"),
        (
            "sessions: { concurrent: 60, turns: 4, think_time: 8s }",
            "sessions: { concurrent: 240, turns: 4, think_time: 8s }",
            "sessions: { concurrent: 30, turns: 4, think_time: 8s }",
        ),
    ] {
        let mut seen = Vec::new();
        // The lead is three days: the 28th of November is of Christmas.
        for (day, same) in [
            ("2026-11-27", usual),
            ("2026-11-28", christmas),
            ("2026-12-24", christmas),
            ("2026-12-25", usual),
            ("2027-07-04", usual),
            ("2027-07-05", summer),
        ] {
            let (spec, world) = of_day(&text(&format!("{usual}\n      {CHRISTMAS}"), ""), &catalog, day);
            let (plain, _) = of_day(&text(same, ""), &catalog, day);
            let found = line::place(&spec, &world).unwrap();
            assert_eq!(found, line::place(&plain, &world).unwrap(), "{usual} on {day}");
            assert_eq!(check::placement(&spec, &world, &found), vec![], "{usual} on {day}");
            seen.push(found);
        }
        let machines = |p: &rhumb::placement::Placement| {
            p.workloads["services.chat"].pools.iter().flat_map(|p| &p.machines).map(|m| m.count).sum::<u32>()
        };
        assert!(machines(&seen[1]) > machines(&seen[0]), "a season that changes nothing shows nothing");
        assert!(machines(&seen[5]) < machines(&seen[0]), "{usual}");
    }
}

/// The same of machines that the team measured: 40 requests a second are 100 at Christmas.
#[test]
fn the_season_of_a_profile_is_that_of_its_traffic() {
    let catalog = line::on_sale(&[("g6.xlarge", "us-east-1", Purchase::OnDemand, 800_000)]);
    let vocabulary = catalog.vocabulary();
    let read = |traffic: &str| {
        let text = format!(
            "rhumb: 1\nname: own\nservices:\n  s:\n    profile: ./p.csv\n    image: r/s:1\n    traffic: {{ {traffic}, size_classes: {{ all: 100% }} }}\n"
        );
        let csv = "size_class,cloud,instance_type,requests_per_s\nall,aws,g6.xlarge,9\n";
        let sources = Sources {
            files: vec![SourceFile { name: "test.yaml".into(), text }],
            variables: Vec::new(),
            vocabulary: &vocabulary,
            read: &|_| Ok(csv.as_bytes().to_vec()),
        };
        rhumb::spec::load(&sources).unwrap_or_else(|why| panic!("{:#?}", why.list)).spec
    };
    let mut spec = read("peak: 40 req/s, seasons: { christmas: { from: 12-01, to: 12-24, peak: 250% } }");
    let world = line::world(&spec, &catalog);
    // Ninths of 40 and of 100, rounded up.
    for (day, plain, machines) in [("2026-11-27", "peak: 40 req/s", 5), ("2026-11-28", "peak: 100 req/s", 12)]
    {
        spec.on_day(day);
        let found = line::place(&spec, &world).unwrap();
        assert_eq!(found, line::place(&read(plain), &world).unwrap(), "{day}");
        assert_eq!(found.workloads["services.s"].pools[0].machines[0].count, machines, "{day}");
        let checked = check::of_time(&spec, &format!("{day}T00:00:00Z"));
        assert_eq!(checked.profiled["s"].peak, spec.profiled["s"].peak, "{day}");
    }
    assert_eq!(check::of_time(&spec, "2026-07-01T00:00:00Z").profiled["s"].peak, 40_000_000);
}

/// A plan of the 25th of November: usual to the 27th, Christmas from the 28th to the 24th of December, and so on.
fn base() -> &'static (Spec, World, Plan) {
    static BASE: OnceLock<(Spec, World, Plan)> = OnceLock::new();
    BASE.get_or_init(|| {
        let more = "budget: { monthly: 60000 USD, binds: expected }\n";
        let text = text(&format!("peak: 6 req/s\n      {CHRISTMAS}"), more);
        let (spec, world) = of_day(&text, &catalog(), "2026-11-25");
        let plan = rhumb::plan(&input(&spec, &world)).expect("a plan");
        (spec, world, plan)
    })
}

#[test]
fn the_year_has_each_day_once_and_costs_the_sum_of_its_days() {
    let (spec, world, plan) = base();
    let year = plan.year.as_ref().expect("seasons");
    let told: Vec<(&str, &str, u32, String)> =
        year.periods.iter().map(|p| (p.from.as_str(), p.to.as_str(), p.days, p.name())).collect();
    let expected = [
        ("2026-11-25", "2026-11-27", 3, "usual"),
        ("2026-11-28", "2026-12-24", 27, "christmas 4x"),
        ("2026-12-25", "2027-07-04", 192, "usual"),
        ("2027-07-05", "2027-08-31", 58, "summer 0.5x"),
        ("2027-09-01", "2027-11-24", 85, "usual"),
    ];
    assert_eq!(told, expected.map(|(from, to, days, name)| (from, to, days, name.to_owned())));
    assert_eq!((year.days, year.expires()), (365, Some("2026-11-28")));
    let mut days = 0_i128;
    for period in &year.periods {
        let (mut spec, mut world) = (spec.clone(), world.clone());
        spec.on_day(&period.from);
        world.today.clone_from(&period.from);
        let alone = line::place(&spec, &world).unwrap();
        let month: Money = alone.workloads.values().map(|w| w.cost.expected_per_month).sum();
        let outlook = &period.outlook;
        assert_eq!(
            outlook.cost.as_ref().map(|c| (c.expected, c.budgets.clone())),
            Some((month, vec![month]))
        );
        assert!(outlook.proven, "{}", period.from);
        days += i128::from(month.micros()) * i128::from(period.days);
    }
    // A month has 730 hours, a day 24.
    let expected = Money::from_micros(((days * 24 * 2 + 730) / 1460) as i64);
    assert_eq!(year.expected, Some(expected));
    // 365 days are twelve months.
    assert_eq!(year.budgets[0].limit, Money::from_usd(720_000.0).unwrap());
    assert_eq!(year.budgets[0].figure, Some(expected));
    let report = check::plan(spec, world, None, plan);
    assert!(report.passed(), "{:#?}", report.findings);
    assert_eq!(plan.expired_on("2026-11-27"), None);
    assert!(plan.expired_on("2026-11-28").is_some_and(|why| why.contains("christmas 4x")));
    // Made ahead, it is not old.
    assert_eq!(plan.expired_on("2026-10-01"), None);
}

#[test]
fn without_seasons_there_is_no_year() {
    let (spec, world) = of_day(&text("peak: 6 req/s", ""), &catalog(), "2026-11-25");
    let plan = rhumb::plan(&input(&spec, &world)).unwrap();
    assert_eq!((&plan.year, plan.expired_on("2036-01-01")), (&None, None));
    let with_year = Plan { year: base().2.year.clone(), ..plan };
    let found = check::plan(&spec, &world, None, &with_year).findings;
    assert!(found.iter().any(|f| f.code == "season"), "{found:?}");
}

/// A quota for the usual traffic is too small for Christmas, and the plan of today says so.
#[test]
fn a_season_that_cannot_be_placed_is_told_today() {
    let (_, _, free) = base();
    let vcpus: f64 = free.placement.workloads["services.chat"].quotas.iter().map(|q| q.amount).sum();
    let quota = format!(
        "providers: {{ aws: {{ quotas: {{ eu-central-1: {{ L-DB2E81BA: {vcpus} }}, eu-north-1: {{ L-DB2E81BA: 0 }} }} }} }}\n"
    );
    let text = text(&format!("peak: 6 req/s\n      {CHRISTMAS}"), &quota);
    let (spec, world) = of_day(&text, &catalog(), "2026-11-25");
    let plan = rhumb::plan(&input(&spec, &world)).expect("today it suffices");
    let year = plan.year.as_ref().unwrap();
    let christmas = &year.periods[1].outlook;
    assert!(christmas.cost.is_none() && christmas.proven, "{christmas:?}");
    assert!(christmas.refused.iter().any(|why| why.contains("services.chat: quota")), "{christmas:?}");
    assert!(!christmas.would_do.is_empty(), "{christmas:?}");
    assert_eq!((year.expected, year.periods[2].outlook.cost.is_some()), (None, true));
    let warning =
        plan.warnings.iter().find(|w| w.starts_with("the season from 2026-11-28 (christmas 4x) cannot"));
    assert!(warning.is_some_and(|w| w.contains("quota")), "{:?}", plan.warnings);
    assert!(check::plan(&spec, &world, None, &plan).passed());
    let silent = Plan { warnings: Vec::new(), ..plan };
    let found = check::plan(&spec, &world, None, &silent).findings;
    assert!(found.iter().any(|f| f.code == "season" && f.message.contains("does not warn")), "{found:?}");
}

type Fault = (&'static str, &'static str, &'static str, fn(&mut Spec, &mut Plan));

fn period(plan: &mut Plan, i: usize) -> &mut rhumb::plan::Period {
    &mut plan.year.as_mut().unwrap().periods[i]
}

fn peak(plan: &mut Plan, i: usize) -> &mut SpanPeak {
    period(plan, i).peaks.get_mut("services.chat").unwrap()
}

fn chat(spec: &mut Spec) -> &mut Vec<Season> {
    &mut spec.services.get_mut("chat").unwrap().traffic.seasons
}

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    ("a plan with too little for its day", "objective", "", |_, p| p.created = "2026-12-10T09:30:00Z".into()),
    ("a lead that is a day longer", "season", "a period", |s, _| chat(s)[0].lead = 4),
    ("a plan that is to be of a season already", "objective", "", |s, _| chat(s)[0].lead = 7),
    ("a season that ends a day later", "season", "a period", |s, _| chat(s)[0].to = SeasonDay::EachYear(12, 25)),
    ("another peak than that of the spec", "season", "a period", |s, _| chat(s)[0].times = 3 * USUAL),
    ("a season of another name", "season", "a period", |_, p| peak(p, 1).season = Some("easter".into())),
    ("a season that is told as the usual peak", "season", "a period", |_, p| peak(p, 1).season = None),
    ("another peak than told", "season", "a period", |_, p| peak(p, 3).times += 1),
    ("a lead that is told shorter", "season", "a period", |_, p| peak(p, 1).lead = 2),
    ("a plan that holds a day longer", "season", "a period", |_, p| { period(p, 0).to = "2026-11-28".into(); period(p, 0).days = 4; }),
    ("a period that is missing", "season", "the number of periods", |_, p| { p.year.as_mut().unwrap().periods.pop(); }),
    ("a year of another length", "season", "the days of the year", |_, p| p.year.as_mut().unwrap().days = 366),
    ("no year at all", "season", "whether the coming year is told", |_, p| p.year = None),
    ("the same peak at another cost", "season", "the cost of the same peaks", |_, p| period(p, 2).outlook.cost.as_mut().unwrap().expected = Money::from_micros(7)),
    ("a year that costs a micro-dollar less", "season", "what the year costs", |_, p| { let y = p.year.as_mut().unwrap(); y.expected = y.expected.map(|m| m - Money::from_micros(1)); }),
    ("a budget of the year that is larger", "season", "a budget over the year", |_, p| p.year.as_mut().unwrap().budgets[0].limit = Money::from_micros(1)),
    ("what a budget limits, unknown", "season", "what a budget limits of the year", |_, p| p.year.as_mut().unwrap().budgets[0].figure = None),
    ("another cost of the plan itself", "season", "what the plan itself costs", |_, p| period(p, 0).outlook.cost.as_mut().unwrap().ceiling = Money::from_micros(7)),
    ("neither a cost nor why not", "season", "is not told once", |_, p| period(p, 3).outlook.cost = None),
    ("a cost and a refusal", "season", "is not told once", |_, p| period(p, 3).outlook.refused.push("services.chat: quota: all gone".into())),
];

#[test]
fn every_fault_of_a_season_is_found() {
    let (spec, world, plan) = base();
    for (name, code, part, plant) in FAULTS {
        let (mut spec, mut plan) = (spec.clone(), plan.clone());
        plant(&mut spec, &mut plan);
        let findings = check::plan(&spec, world, None, &plan).findings;
        let found = findings.iter().any(|f| f.code == *code && f.message.contains(part));
        assert!(found, "{name}: no `{code}` with `{part}` among {findings:#?}");
    }
}

/// The planner forgets that it is Christmas: the checker does not take the loads that it is handed.
#[test]
fn a_plan_of_the_usual_traffic_is_found_at_christmas() {
    let text = text(&format!("peak: 6 req/s\n      {CHRISTMAS}"), "");
    let (_, mut world) = of_day(&text, &catalog(), "2026-12-10");
    let forgotten = line::spec(&text, &catalog());
    world.today = "2026-12-10".into();
    let plan = rhumb::plan(&input(&forgotten, &world)).unwrap();
    let findings = check::plan(&forgotten, &world, None, &plan).findings;
    assert!(findings.iter().any(|f| f.code == "objective" || f.code == "capacity"), "{findings:#?}");
    let asked = check::of_time(&forgotten, &plan.created);
    let proof = check::prove(&asked, &world, &plan.placement);
    assert!(!proof.report.passed(), "nothing so cheap does at Christmas");
}

/// A search that ends while it looks ahead has the same plan, and says what it does not know.
#[test]
fn a_look_ahead_that_is_ended_changes_no_plan() {
    let (spec, world, plan) = base();
    let ask = |s: &Standing| matches!(s.step, Step::Seasons { .. }).then_some(Stop::TimeLimit);
    let watch = Watch { ask: Some(&ask), ..Watch::default() };
    let ended = rhumb::plan_watched(&input(spec, world), watch).unwrap();
    assert_eq!((&ended.placement, &ended.changes), (&plan.placement, &plan.changes));
    let year = ended.year.as_ref().unwrap();
    let by: Vec<Option<Stop>> = year.periods.iter().map(|p| p.outlook.ended).collect();
    let limit = Some(Stop::TimeLimit);
    // Those of the usual peak are the plan's own.
    assert_eq!(by, [None, limit, None, limit, None]);
    assert_eq!((year.expected, year.budgets[0].figure), (None, None));
    assert!(check::plan(spec, world, None, &ended).passed());
    let alone = rhumb::plan_of_day(&input(spec, world), Watch::default()).unwrap();
    assert_eq!((alone.year, alone.placement), (None, plan.placement.clone()));
}

/// Each set of peaks is placed once, however often it recurs.
#[test]
fn equal_peaks_are_placed_once() {
    let (spec, world, plan) = base();
    let coming = rhumb::optimize::ahead(spec, world, &plan.placement, Watch::default()).unwrap();
    let outcomes: Vec<usize> = coming.spans.iter().map(|(_, n)| *n).collect();
    assert_eq!((outcomes, coming.found.len()), (vec![0, 1, 0, 2, 0], 2));
}

/// With `stability` what is placed today runs when Christmas comes.
#[test]
fn what_runs_is_kept_in_the_season() {
    // Many machines of one type are cheaper than of the other, few are not.
    let stability = "stability: { saving: 90% }\n";
    let of = |more: &str| {
        let text = text(&format!("peak: 1 req/s\n      {CHRISTMAS}"), more);
        let catalog = line::on_sale(&[
            ("g6e.xlarge", "eu-central-1", Purchase::OnDemand, 2_330_000),
            ("g6e.12xlarge", "eu-central-1", Purchase::OnDemand, 2_500_000),
        ]);
        let (spec, mut world) = of_day(&text, &catalog, "2026-11-25");
        let today = line::place(&spec, &world).unwrap();
        world.today = "2026-12-01".into();
        let mut christmas = spec.clone();
        christmas.on_day("2026-12-01");
        world.running = Running::of_placement(&today);
        let then = line::place(&christmas, &world).unwrap();
        let coming = rhumb::optimize::ahead(
            &spec,
            &World { today: "2026-11-25".into(), ..world },
            &today,
            Watch::default(),
        );
        (then, coming.unwrap())
    };
    let ahead = |coming: &rhumb::placement::ComingYear| match &coming.found[0] {
        rhumb::placement::Ahead::Placed(placed) => placed.workloads["services.chat"].pools.clone(),
        other => panic!("{other:?}"),
    };
    for more in [stability, ""] {
        let (then, coming) = of(more);
        assert_eq!(ahead(&coming), then.workloads["services.chat"].pools, "{more}");
    }
}

/// What a commitment holds or covers ends between two periods of the same peak: they are not the same then.
#[test]
fn a_commitment_that_ends_is_seen_ahead() {
    ends_by_march("kind: reservation, cloud: aws, region: eu-central-1, instance_type: g6e.xlarge, count: 9");
    ends_by_march("kind: savings-plan, cloud: aws, spend: 90 USD/h, rates: [ { discount: 30% } ]");
}

fn ends_by_march(commitment: &str) {
    let held = format!("commitments: {{ r: {{ {commitment}, until: 2027-03-01 }} }}\n");
    let held = held.as_str();
    let text = text(&format!("peak: 6 req/s\n      {CHRISTMAS}"), held);
    let (spec, world) = of_day(&text, &catalog(), "2026-11-25");
    let plan = rhumb::plan(&input(&spec, &world)).unwrap();
    let usual = |i: usize| plan.year.as_ref().unwrap().periods[i].outlook.cost.as_ref().unwrap().expected;
    assert_eq!((cost(&plan), usual(0), usual(2)), (Money::ZERO, Money::ZERO, Money::ZERO));
    assert!(usual(4) > Money::ZERO, "in September it has ended");
    assert!(check::plan(&spec, &world, None, &plan).passed());
}

fn random(r: &mut Random) -> Vec<Season> {
    let mut all: Vec<Season> = Vec::new();
    for i in 0..r.below(4) {
        let day = |r: &mut Random| SeasonDay::EachYear(1 + r.below(12) as i8, 1 + r.below(28) as i8);
        let (mut from, mut to) = (day(r), day(r));
        if r.below(4) == 0 {
            from = SeasonDay::EachYear(2, 29);
        } else if r.below(3) == 0 {
            let first: jiff::civil::Date =
                format!("20{}-{:02}-14", 26 + r.below(3), 1 + r.below(12)).parse().unwrap();
            let last = season::after(first, r.below(60) as i64).unwrap();
            (from, to) = (SeasonDay::Once(first), SeasonDay::Once(last));
        }
        let times = r.pick(&[250_000, 500_000, USUAL, 2 * USUAL, 4 * USUAL]);
        let (name, lead) = (format!("s{i}"), r.pick(&[0, 1, 3, 30, 90]));
        let new = Season { name, from, to, times, lead, at: Pointer::default() };
        let days = (0..1_500).filter_map(|n| season::after("2025-12-01".parse().unwrap(), n));
        if days.clone().all(|day| !(new.has(day) && all.iter().any(|other| other.has(day)))) {
            all.push(new);
        }
    }
    all
}

/// The planner's days and the checker's are counted apart; the year is that of its days, one by one.
#[test]
fn planner_and_checker_agree_on_every_day() {
    let base = line::spec(&text("peak: 6 req/s", ""), &catalog());
    let mut r = Random::new(26);
    let mut seen = 0;
    for case in 0..150 {
        let mut spec = base.clone();
        *chat(&mut spec) = random(&mut r);
        let first: jiff::civil::Date =
            format!("2026-{:02}-{:02}", 1 + r.below(12), 1 + r.below(28)).parse().unwrap();
        let spans = spec.year(first);
        let of = |n: i64| {
            let mut before = 0;
            let at = spans.iter().find(|s| {
                before += i64::from(s.days);
                n < before
            });
            at.map(|s| s.peaks["services.chat"].times)
        };
        assert_eq!(spans.is_empty(), chat(&mut spec).is_empty(), "{case}");
        for n in (0..365).step_by(3).chain([1, 364]) {
            let day = season::after(first, n).unwrap();
            let (mut planned, checked) = (spec.clone(), check::of_time(&spec, &format!("{day}T23:59:59Z")));
            planned.on_day(&day.to_string());
            let load = |s: &Spec| s.services["chat"].traffic.load.clone();
            assert_eq!(load(&planned), load(&checked), "{case} on {day}: {:?}", chat(&mut spec));
            let Load::Rate(rate) = load(&planned) else { panic!("a rate") };
            let times = of(n).unwrap_or(USUAL);
            assert_eq!(rate, 6.0 * f64::from(times) / 1e6, "{case} on {day}");
            seen += u32::from(times != USUAL);
        }
    }
    assert!(seen > 2_000, "{seen} days with another peak");
}

const SHOP: &str = "examples/holiday-shop";

/// A plan that is saved ahead or before the season passes the checker for its own day, and expires with it.
#[test]
fn a_saved_plan_expires_when_the_season_changes() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("shop.plan");
    let saved = saved.to_str().unwrap();
    let at = |args: &[&str], day: &str| run(rhumb().args(args).args(["--at", day]));
    for (made, asked, code, says) in [
        ("2026-11-25", "2026-11-26", 0, "all hold"),
        ("2026-11-25", "2026-11-27", 4, "since 2026-11-27 the peak is another one (christmas 3x)"),
        ("2026-12-10", "2026-11-20", 0, "all hold"),
        ("2026-12-10", "2026-12-25", 4, "since 2026-12-25 the peak is another one (usual)"),
    ] {
        assert_eq!(at(&["plan", SHOP, "--out", saved], made).2, 0);
        let (out, err, found) = at(&["check", "--plan", saved, "--fast", SHOP], asked);
        assert_eq!(found, code, "{made} on {asked}: {out}{err}");
        assert!(format!("{out}{err}").contains(says), "{made} on {asked}: {out}{err}");
    }
    // A changed world has the season of its day: half of three times 20 requests a second.
    for (day, rate) in [("2026-11-25", "10.0 of "), ("2026-12-10", "30.0 of ")] {
        let (out, err, code) = at(&["what-if", SHOP, "traffic=x0.5"], day);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains(rate), "{day}: {out}");
    }
}
