//! Machines that are there besides while a change is rolled out, against brute force: they count against quotas and in the ceiling.

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::placement::World;
use rhumb::spec::{Budget, BudgetBinds, BudgetLimit, BudgetScope, Purchase, Rolling, Rollout, Spec};
use rhumb_api::Money;

use super::worlds::{self, Random};
use super::{Several, agree, ask, brute, findings, options, proven};
use crate::extent::{is_many, one_in};
use crate::line;

/// Lets most services have some machines besides.
fn rolled(mut spec: Spec, seed: u64) -> Spec {
    let mut r = Random::new(seed ^ 0x726f_6c6c);
    let names: Vec<String> = spec.services.keys().cloned().collect();
    for name in names {
        if r.chance(80) {
            let rolling = Some(Rolling { surge: r.pick(&[1, 1, 2, 3]), unavailable: r.pick(&[0, 1]) });
            let rollout = Rollout {
                waves: Vec::new(),
                health_timeout_s: 60,
                rolling,
                roll_back: false,
                at: Default::default(),
            };
            spec.rollouts.insert(format!("services.{name}"), rollout);
        }
    }
    // Where a budget limits another figure, only quotas feel it.
    if r.chance(70) {
        spec.budget.binds = BudgetBinds::Ceiling;
    }
    spec
}

#[test]
fn one_service_with_machines_besides_is_as_brute_force_says() {
    let base = Catalog::embedded();
    let (mut faults, mut all, mut felt, mut exact) = (String::new(), 0, 0, 0);
    let part = one_in(24, 4);
    for seed in part.seeds(0..1_600) {
        let (plain, world) = worlds::case(seed, &base);
        let spec = rolled(plain.clone(), seed);
        if spec.rollouts.is_empty() || (spec.providers.is_empty() && spec.budget.limits.is_empty()) {
            continue;
        }
        let (answer, placement) = ask(&spec, &world);
        if answer.beyond {
            continue;
        }
        let truth = super::brute(&spec, &world);
        let without = Spec { rollouts: Default::default(), ..spec.clone() };
        felt += u64::from(truth != super::brute(&without, &world));
        if !agree(answer.cost, truth) {
            faults += &format!("world {seed}: the optimizer says {:?}, brute force {truth:?}\n", answer.cost);
            continue;
        }
        let Some(placement) = placement.filter(|_| truth.is_some()) else { continue };
        all += 1;
        exact += u64::from(proven(seed, &spec, &world, &placement, &mut faults));
        faults += &findings(seed, &spec, &world, &placement);
    }
    assert!(faults.is_empty(), "\n{faults}");
    let seen = format!("{all} placed, {felt} felt it, {exact} exact");
    assert!(all > part.of(30) && (felt > 5 || !is_many()), "{seen}");
    assert!(exact * 100 > all * 90, "{seen}");
}

/// No quota, and a budget on the ceiling just below what the cheapest choice takes: which machines are spot matters by what is there
/// besides alone.
#[test]
fn a_budget_on_the_ceiling_decides_which_machines_are_spot() {
    let base = Catalog::embedded();
    let (mut faults, mut placed, mut mixed) = (String::new(), 0, 0);
    let part = one_in(50, 4);
    for seed in part.seeds(0..700) {
        let (mut spec, world) = worlds::case(seed, &base);
        let Some(service) = spec.services.values_mut().next() else { continue };
        let mut r = Random::new(seed ^ 0x7370_6f74);
        (service.purchase.spot_max_share, service.purchase.on_demand_base) = (r.pick(&[0.5, 0.7, 1.0]), 0);
        service.purchase.options = vec![Purchase::OnDemand];
        service.traffic.daily = None;
        spec.providers.clear();
        spec.budget = Budget { binds: BudgetBinds::Ceiling, ..Budget::default() };
        let rolling = Some(Rolling { surge: 5, unavailable: 0 });
        let rollout = Rollout {
            waves: Vec::new(),
            health_timeout_s: 60,
            rolling,
            roll_back: false,
            at: Default::default(),
        };
        spec.rollouts =
            spec.services.keys().map(|name| (format!("services.{name}"), rollout.clone())).collect();
        let Ok(free) = line::place(&spec, &world) else { continue };
        let chosen = &free.workloads.values().next().unwrap();
        mixed += u64::from(chosen.pools.iter().any(|pool| pool.machines.len() > 1));
        let limit = chosen.cost.ceiling_per_month - Money::from_micros(1_000_000);
        spec.budget.limits.insert(BudgetScope::All, BudgetLimit { limit, at: Default::default() });
        let (answer, placement) = ask(&spec, &world);
        if answer.beyond {
            continue;
        }
        let truth = super::brute(&spec, &world);
        if !agree(answer.cost, truth) {
            faults += &format!("world {seed}: the optimizer says {:?}, brute force {truth:?}\n", answer.cost);
            continue;
        }
        let Some(placement) = placement.filter(|_| truth.is_some()) else { continue };
        placed += 1;
        faults += &findings(seed, &spec, &world, &placement);
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(placed > part.of(12) && mixed > part.of(10), "{placed} placed, {mixed} of two kinds");
}

#[test]
fn several_services_with_machines_besides_are_as_brute_force_says() {
    let base = Catalog::embedded();
    let (mut tried, mut felt, part) = (Several::default(), 0, one_in(32, 4));
    for seed in part.seeds(0..600) {
        let (plain, world) = worlds::together(seed, &base);
        let spec = rolled(plain, seed);
        let Some((addresses, each)) = options(&spec, &world) else { continue };
        tried.compare(seed, (&spec, &world), &addresses, &each);
        let without = Spec { rollouts: Default::default(), ..spec.clone() };
        let truth = |spec: &Spec| {
            let (addresses, each) = options(spec, &world)?;
            brute::several::together(spec, &world, &addresses, &each)
        };
        felt += u64::from(truth(&spec) != truth(&without));
    }
    let Several { faults, coupled, dearer, refused, undecided, all, exact, .. } = tried;
    assert!(faults.is_empty(), "\n{faults}");
    assert_eq!(undecided, 0, "refused without a proof, against brute force");
    assert!(exact * 100 > all * 90, "the bound was exact in {exact} of {all}");
    let seen = format!("{coupled} coupled, {dearer} dearer, {refused} refused, {felt} felt it");
    assert!(all > part.of(20), "{all} placed, {seen}");
    assert!(coupled > 4 && dearer > 4 && refused > 5 && felt > 5 || !is_many(), "{seen}");
}

/// A placement that keeps its quotas and budget only while nothing is rolled out.
#[test]
fn the_checker_sees_machines_besides_that_nobody_counted() {
    let base = Catalog::embedded();
    let (mut quotas, mut ceilings) = (0, 0);
    let part = one_in(6, 1);
    for seed in part.seeds(0..300) {
        let (spec, world): (Spec, World) = worlds::together(seed, &base);
        let Ok(placement) = line::place(&spec, &world) else { continue };
        let mut rolling = rolled(spec.clone(), seed);
        rolling.budget = spec.budget.clone();
        let found = check::placement(&rolling, &world, &placement);
        quotas += u64::from(found.iter().any(|f| f.code == "quota"));
        ceilings += u64::from(found.iter().any(|f| f.code == "ceiling"));
    }
    assert!(quotas > part.of(20) && ceilings > part.of(50), "{quotas} quotas, {ceilings} ceilings");
}

/// A budget that only the machine besides breaks: by 711 USD of the 1,431.53 that it costs.
#[test]
fn fewer_machines_besides_are_told_where_they_would_do() {
    let text = std::fs::read_to_string("examples/weekday-assistant/deploy.yaml").unwrap();
    let catalog = Catalog::embedded();
    let ceiling =
        text.replace("binds: expected", "binds: ceiling").replace("rhumb: 1", "rhumb: 1\nconfidence: 80%");
    let (_, _, placed) = line::placed(&ceiling, &catalog);
    let all = placed.expect("enough").workloads["services.assistant"].cost.ceiling_per_month;
    let most = format!("{:.2}", all.usd() - 711.0);
    let short = ceiling.replace("20000 USD", &format!("{most} USD"));
    let (_, _, placed) = line::placed(&short, &catalog);
    let refused = placed.expect_err("too little");
    let found = refused.workloads[0].relaxations.iter().find(|r| r.constraint == "max_surge").expect("told");
    assert_eq!(found.change, "max_surge 0, with max_unavailable 1, instead of 1");
    // And so it is.
    let looser = short.replace("max_surge: 1", "max_surge: 0, max_unavailable: 1");
    let (_, _, placement) = line::proven(&looser, &catalog);
    let cost = placement.workloads["services.assistant"].cost.clone();
    assert_eq!(cost.expected_per_month, found.cost_per_month);
    assert_eq!((all - cost.ceiling_per_month).to_string(), "1,431.53");
}

/// What may be missing is told where more may be than the service survives, and what is there besides where something is.
#[test]
fn a_plan_says_what_a_rollout_means_for_its_promises() {
    let text = std::fs::read_to_string("examples/weekday-assistant/deploy.yaml").unwrap();
    let catalog = Catalog::embedded();
    let said = |rolling: &str| {
        let (_, _, placed) = line::placed(&text.replace("max_surge: 1", rolling), &catalog);
        let caveats = placed.expect("enough").workloads["services.assistant"].caveats.clone();
        [" of each fleet besides", " of each fleet may be missing"]
            .map(|words| caveats.iter().any(|c| c.contains(words)))
    };
    // It survives one machine.
    assert_eq!(said("max_surge: 1"), [true, false]);
    assert_eq!(said("max_surge: 0, max_unavailable: 1"), [false, false]);
    assert_eq!(said("max_surge: 1, max_unavailable: 2"), [true, true]);
    assert_eq!(said("strategy: rolling"), [false, false]);
}
