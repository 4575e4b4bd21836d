//! Trainings against brute force: alone, and beside a service and a batch that share quotas and a budget with them.

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::diagnostic::Pointer;
use rhumb::placement::{Placement, World};
use rhumb::spec::*;
use rhumb_api::Money;

use super::worlds::{self, Random};
use super::{brute, proven, refused};
use crate::extent::{is_many, one_in};
use crate::line;

/// Worlds in which something is held.
const HELD: u64 = 120;
/// Worlds with a training alone.
const ALONE: u64 = 600;
/// Worlds with trainings beside others.
const TOGETHER: u64 = 500;
/// By how much sums of a month that are rounded otherwise may differ, micro-dollars.
const ROUNDED: i64 = 8 * 730;

/// Machines of other sizes and networks: some of them can only train alone, some are no whole accelerator.
fn other_machines(r: &mut Random, world: &mut World) {
    let catalog = &mut world.catalog;
    let mut types: Vec<usize> = catalog.offerings.iter().map(|o| o.instance_type).collect();
    types.dedup();
    for index in types {
        let kind = &mut catalog.instance_types[index];
        kind.accelerator_count = r.pick(&[kind.accelerator_count, kind.accelerator_count, 8.0, 3.0, 0.5]);
        kind.network_gbps = r.pick(&[kind.network_gbps, Some(25.0), Some(100.0), Some(0.0), None]);
        kind.rdma_gbps = r.pick(&[None, None, Some(0.0), Some(400.0), Some(3200.0)]);
    }
}

/// A region that the world has offers in, or any other.
fn region(r: &mut Random, world: &World) -> RegionRef {
    let catalog = &world.catalog;
    let index = match catalog.offerings.is_empty() || r.chance(20) {
        true => r.below(catalog.regions.len()),
        false => catalog.offerings[r.below(catalog.offerings.len())].region,
    };
    RegionRef { cloud: catalog.regions[index].cloud, region: catalog.regions[index].id.clone() }
}

fn training(r: &mut Random, world: &World, placement: PlacementRules, purchase: PurchaseRules) -> Training {
    let method = match r.below(5) {
        0 | 1 => Method::Full,
        2 => Method::QLora { rank: r.pick(&[8, 16, 64]) },
        _ => Method::Lora { rank: r.pick(&[8, 16, 64]) },
    };
    let runs = r.pick(&[None, None, Some(4.0), Some(30.416_666_666_666_668)]);
    let mut some = |percent: usize, of: &[u32]| {
        let picked = r.pick(of);
        r.chance(percent).then_some(picked)
    };
    let micro_batch = some(25, &[1, 2, 3, 4, 16]);
    let checkpoint_every_s = some(30, &[20, 600, 3600, 36_000]).map(f64::from);
    let sharding = some(25, &[0, 1, 2]).map(|i| Sharding::ALL[i as usize]);
    let checkpointing = some(25, &[0, 1]).map(|i| Checkpointing::ALL[i as usize]);
    let dataset = r.chance(60).then(|| Dataset {
        from: region(r, world),
        gib: r.range(5.0, 3000.0).round(),
        at: Pointer::root(),
    });
    let training = Training {
        name: "t".into(),
        model: "m".into(),
        labels: Default::default(),
        method,
        framework: Framework::PyTorch,
        precision: if r.chance(15) { TrainingPrecision::Fp8 } else { TrainingPrecision::Bf16 },
        dataset_tokens: (10_f64).powf(r.range(6.0, 9.5)).round(),
        epochs: r.pick(&[0.5, 1.0, 1.0, 3.0]),
        sequence_tokens: r.pick(&[512, 2048, 4096]),
        batch_size: r.pick(&[1, 12, 16, 24, 64, 96, 256, 2048]),
        micro_batch,
        sharding,
        checkpointing,
        checkpoint_every_s,
        dataset,
        command: Vec::new(),
        schedule: runs.map(|runs_per_month| Schedule { cron: "0 1 * * *".into(), runs_per_month }),
        deadline_s: (10_f64).powf(r.range(3.8, 6.2)).round(),
        placement: PlacementRules { spread_regions: 1, ..placement },
        purchase,
        after: Vec::new(),
        at: Pointer::root(),
    };
    let framework = if r.chance(15) { Framework::TensorFlow } else { Framework::PyTorch };
    Training { framework, ..training }
}

/// A world with one training.
fn alone(seed: u64, base: &Catalog) -> (Spec, World) {
    let mut r = Random::new(seed ^ 0x0074_7261_696e);
    let (mut spec, mut world) = worlds::case(seed, base);
    other_machines(&mut r, &mut world);
    let rules = spec.services.values().map(|s| (s.placement.clone(), s.purchase.clone()));
    let rules = rules.chain(spec.batches.values().map(|b| (b.placement.clone(), b.purchase.clone())));
    let (placement, purchase) = rules.last().unwrap();
    spec.services.clear();
    spec.batches.clear();
    let cheap = |(scope, mut limit): (BudgetScope, BudgetLimit)| {
        limit.limit = Money::from_micros(r.range(5e7, 4e9) as i64);
        match scope {
            BudgetScope::Workload(_) => (BudgetScope::Workload("trainings.t".into()), limit),
            scope => (scope, limit),
        }
    };
    spec.budget.limits = std::mem::take(&mut spec.budget.limits).into_iter().map(cheap).collect();
    if r.chance(40) {
        spec.models.values_mut().for_each(|m| m.artifacts_at = Some(region(&mut r, &world)));
    }
    spec.trainings.insert("t".into(), training(&mut r, &world, placement, purchase));
    (spec, world)
}

/// A world with a training or two beside what is there already.
fn beside(seed: u64, base: &Catalog) -> (Spec, World) {
    let mut r = Random::new(seed ^ 0x6265_7369_6465);
    let (mut spec, world) = worlds::together(seed, base);
    let keep = r.below(3);
    while spec.services.len() > 2 - keep.min(1) {
        spec.services.pop_last();
    }
    while spec.batches.len() > 1 {
        spec.batches.pop_last();
    }
    for name in ["t", "u"].iter().take(1 + r.below(2)) {
        let (placement, purchase) = match spec.services.values().next() {
            Some(s) => (PlacementRules::default(), s.purchase.clone()),
            None => (PlacementRules::default(), spec.batches["b0"].purchase.clone()),
        };
        let mut one = training(&mut r, &world, placement, purchase);
        one.name = (*name).into();
        one.placement.at = Pointer::root();
        if r.chance(60) {
            one.labels.insert("team".into(), "search".into());
        }
        spec.trainings.insert(one.name.clone(), one);
    }
    if r.chance(40) {
        for service in spec.services.values_mut() {
            service.labels.insert("team".into(), "search".into());
        }
        let limit = Money::from_micros(r.range(1e9, 2e10) as i64);
        let scope = BudgetScope::Label { key: "team".into(), value: "search".into() };
        spec.budget.limits.insert(scope, BudgetLimit { limit, at: Pointer::root() });
    }
    (spec, world)
}

fn told(seed: u64, spec: &Spec, world: &World, placement: &Placement, faults: &mut String) {
    for f in check::placement(spec, world, placement) {
        *faults += &format!(
            "world {seed}: {} {}: {} ({} / {})\n",
            f.address, f.code, f.message, f.expected, f.found
        );
    }
}

fn near(a: i64, b: i64) -> bool {
    (a - b).abs() <= ROUNDED
}

/// The placement of the one training, compared with brute force, and whether the checker's bound is its cost; `None` if it is refused.
fn compared(seed: u64, spec: &Spec, world: &World, faults: &mut String) -> Option<(Placement, bool)> {
    let truth = brute::training::training(spec, world, "t");
    let placement = match line::place(spec, world) {
        Ok(placement) if placement.joint_violations.is_empty() => placement,
        _ => {
            if truth.is_some() {
                *faults += &format!("world {seed}: refused, brute force {truth:?}\n");
            }
            return None;
        }
    };
    let cost = placement.workloads["trainings.t"].cost.expected_per_month.micros();
    if truth.is_none_or(|t| !near(t, cost)) {
        *faults += &format!("world {seed}: the optimizer says {cost}, brute force {truth:?}\n");
    }
    let exact = proven(seed, spec, world, &placement, faults);
    told(seed, spec, world, &placement, faults);
    Some((placement, exact))
}

#[test]
fn a_training_is_never_beaten_and_never_wrong() {
    let base = Catalog::embedded();
    let mut faults = String::new();
    let (mut feasible, mut infeasible, mut exact, mut several, mut spot, mut idle) = (0, 0, 0, 0, 0, 0);
    let (mut same, mut none) = (0, 0);
    let part = one_in(6, 1);
    for seed in part.seeds(0..ALONE) {
        let (spec, world) = alone(seed, &base);
        let Some((placement, is_exact)) = compared(seed, &spec, &world, &mut faults) else {
            infeasible += 1;
            continue;
        };
        feasible += 1;
        exact += u64::from(is_exact);
        let placed = &placement.workloads["trainings.t"];
        let cost = placed.cost.expected_per_month.micros();
        let pool = &placed.pools[0];
        several += u64::from(pool.machines_per_replica > 1);
        spot += u64::from(pool.uses_spot());
        idle += u64::from(f64::from(pool.layout.dp) < pool.accelerators_per_machine);
        let elsewhere = refused(&world, pool);
        let truth = brute::training::training(&spec, &elsewhere, "t");
        let first = placed.fallbacks[0].list.first().map(|f| cost + f.more_per_month.micros());
        match (first, truth) {
            (Some(first), Some(truth)) if near(first, truth) => same += 1,
            (None, None) => none += 1,
            _ => faults += &format!("world {seed}: a fallback of {first:?}, brute force {truth:?}\n"),
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    let counts = format!(
        "{feasible} feasible, {infeasible} not, {exact} exact, {several} on several machines, {spot} with spot, \
         {idle} with idle accelerators, {same} with a fallback and {none} without"
    );
    println!("{counts}");
    let enough = |n: u64, of: u64| n > part.of(of);
    assert!(enough(feasible, 100) && enough(infeasible, 100) && enough(same, 50), "{counts}");
    assert!(enough(several, 20) && enough(spot, 20), "{counts}");
    assert!(idle > 5 && none > 2 || !is_many(), "{counts}");
    // A budget of its own is what the bound leaves out.
    assert!(exact * 100 > feasible * 90, "{counts}");
}

#[test]
fn trainings_beside_others_are_never_beaten_and_never_wrong() {
    let base = Catalog::embedded();
    let (mut faults, mut all, mut coupled, mut dearer, mut mixed, mut exact, mut none) =
        (String::new(), 0, 0, 0, 0, 0, 0);
    let part = one_in(10, 1);
    for seed in part.seeds(0..TOGETHER) {
        let (spec, world) = beside(seed, &base);
        let addresses: Vec<String> = spec
            .services
            .keys()
            .map(|name| format!("services.{name}"))
            .chain(spec.batches.keys().map(|name| format!("batches.{name}")))
            .chain(spec.trainings.keys().map(|name| format!("trainings.{name}")))
            .collect();
        let options: Vec<Vec<brute::Choice>> =
            addresses.iter().map(|a| brute::several::options(&spec, &world, a)).collect();
        if options.iter().any(Vec::is_empty) {
            continue;
        }
        let truth = brute::several::together(&spec, &world, &addresses, &options);
        let placement = match line::place(&spec, &world) {
            Ok(placement) => placement,
            Err(why) => {
                none += 1;
                if truth.is_some() {
                    let conflict = &why.workloads[0].conflict;
                    faults += &format!("world {seed}: refused, brute force {truth:?}: {conflict:?}\n");
                }
                continue;
            }
        };
        let cost: i64 = placement.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum();
        let machines = |p: &rhumb::placement::Pool| p.machines.iter().map(|m| m.count).sum::<u32>();
        let served = placement.workloads.values().filter(|w| w.run.is_none()).flat_map(|w| &w.pools);
        if served.into_iter().any(|p| machines(p) > brute::MOST_MACHINES) {
            continue;
        }
        if truth.is_none_or(|t| !near(t, cost)) {
            faults += &format!("world {seed}: the optimizer says {cost}, brute force {truth:?}\n");
        }
        all += 1;
        if let Some(c) = &placement.coupling {
            coupled += 1;
            dearer += u64::from(c.optimum > c.apart);
            mixed += u64::from(!spec.batches.is_empty() && !spec.services.is_empty());
            if c.lower_bound != c.optimum {
                faults += &format!("world {seed}: not proven: {} below {}\n", c.lower_bound, c.optimum);
            }
        }
        exact += u64::from(proven(seed, &spec, &world, &placement, &mut faults));
        told(seed, &spec, &world, &placement, &mut faults);
    }
    assert!(faults.is_empty(), "\n{faults}");
    let counts = format!(
        "{all} worlds, {coupled} coupled, {dearer} dearer, {mixed} with a batch and a service, {exact} exact, {none} refused"
    );
    println!("{counts}");
    assert!(coupled > part.of(20) && none > part.of(10), "{counts}");
    assert!(dearer > 10 && mixed > 3 || !is_many(), "{counts}");
    assert!(exact * 100 > all * 90, "{counts}");
}

/// What a month of the training costs with a change; nothing if it is refused.
fn with(spec: &Spec, world: &World, change: impl Fn(&mut Spec, &mut World)) -> Option<i64> {
    let (mut spec, mut world) = (spec.clone(), world.clone());
    change(&mut spec, &mut world);
    let placement = line::place(&spec, &world).ok().filter(|p| p.joint_violations.is_empty())?;
    Some(placement.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum())
}

#[test]
fn what_allows_more_never_costs_more() {
    let base = Catalog::embedded();
    let looser: [(&str, fn(&mut Spec, &mut World)); 7] = [
        ("a longer deadline", |s, _| s.trainings.values_mut().for_each(|t| t.deadline_s *= 1.7)),
        ("no quotas", |s, _| s.providers.clear()),
        ("no budget", |s, _| s.budget = Budget { binds: s.budget.binds, ..Budget::default() }),
        ("more spot", |s, _| s.trainings.values_mut().for_each(|t| t.purchase.spot_max_share = 1.0)),
        ("cheaper machines", |_, w| {
            w.catalog.offerings.iter_mut().for_each(|o| o.price = o.price.scale(0.8));
        }),
        ("a free strategy", |s, _| s.trainings.values_mut().for_each(|t| t.sharding = None)),
        ("a free micro-batch", |s, _| s.trainings.values_mut().for_each(|t| t.micro_batch = None)),
    ];
    let mut felt = [0; 7];
    for seed in one_in(6, 1).seeds(0..300) {
        let (spec, world) = alone(seed, &base);
        let Some(cost) = with(&spec, &world, |_, _| {}) else { continue };
        for (i, (what, change)) in looser.iter().enumerate() {
            let less =
                with(&spec, &world, *change).unwrap_or_else(|| panic!("world {seed}, {what}: refused"));
            assert!(less <= cost + ROUNDED, "world {seed}, {what}: {less} is more than {cost}");
            felt[i] += u64::from(less < cost);
        }
    }
    // A budget on the cost itself never makes a lone training dearer: it is kept or it is refused.
    let all = felt.iter().enumerate().all(|(i, n)| *n > 0 || i == 2);
    assert!(felt.iter().any(|n| *n > 0) && (all || !is_many()), "some law changed nothing: {felt:?}");
}

#[test]
fn names_and_order_change_nothing() {
    let base = Catalog::embedded();
    for seed in one_in(4, 1).seeds(0..60) {
        let (spec, world) = alone(seed, &base);
        let cost = with(&spec, &world, |_, _| {});
        let renamed = with(&spec, &world, |s, _| {
            let mut t = s.trainings.remove("t").unwrap();
            t.name = "another".into();
            s.trainings.insert(t.name.clone(), t);
            let own = BudgetScope::Workload("trainings.t".into());
            if let Some(limit) = s.budget.limits.remove(&own) {
                s.budget.limits.insert(BudgetScope::Workload("trainings.another".into()), limit);
            }
        });
        assert_eq!(cost, renamed, "world {seed}");
        let permuted = with(&spec, &world, |_, w| {
            let n = w.catalog.instance_types.len();
            w.catalog.instance_types.reverse();
            w.catalog.offerings.iter_mut().for_each(|o| o.instance_type = n - 1 - o.instance_type);
            w.catalog.offerings.sort_by_key(|o| (o.instance_type, o.region, o.purchase));
        });
        assert_eq!(cost, permuted, "world {seed}");
    }
}

#[test]
fn a_rule_of_trainings_left_out_changes_the_truth() {
    let base = Catalog::embedded();
    let forget: [(&str, fn(&mut Spec, &mut World)); 8] = [
        ("deadline", |s, _| s.trainings.values_mut().for_each(|t| t.deadline_s = 1e9)),
        ("strategy", |s, _| s.trainings.values_mut().for_each(|t| t.sharding = None)),
        ("micro-batch", |s, _| s.trainings.values_mut().for_each(|t| t.micro_batch = None)),
        ("checkpointing", |s, _| s.trainings.values_mut().for_each(|t| t.checkpointing = None)),
        ("interval", |s, _| s.trainings.values_mut().for_each(|t| t.checkpoint_every_s = None)),
        ("dataset", |s, _| s.trainings.values_mut().for_each(|t| t.dataset = None)),
        ("quotas", |s, _| s.providers.clear()),
        ("budget", |s, _| s.budget = Budget::default()),
    ];
    for (rule, plant) in forget {
        let differs = (0..ALONE).any(|seed| {
            let (mut spec, mut world) = alone(seed, &base);
            let truth = brute::training::training(&spec, &world, "t");
            plant(&mut spec, &mut world);
            truth != brute::training::training(&spec, &world, "t")
        });
        assert!(differs, "no world feels the rule on {rule}");
    }
}

#[test]
fn a_training_on_what_is_held_is_never_beaten() {
    let base = Catalog::embedded();
    let (mut faults, mut held, mut covered, mut bought, mut exact) = (String::new(), 0, 0, 0, 0);
    let part = one_in(2, 1);
    for seed in part.seeds(0..HELD) {
        let (mut spec, mut world) = alone(seed, &base);
        // Mostly there are machines that it may use.
        let save = seed.is_multiple_of(2);
        if save {
            worlds::save(seed, &mut spec, &mut world)
        } else {
            worlds::hold(seed, &mut spec, &mut world)
        };
        spec.trainings.get_mut("t").unwrap().purchase.held = true;
        let Some((placement, is_exact)) = compared(seed, &spec, &world, &mut faults) else { continue };
        exact += u64::from(is_exact);
        let placed = &placement.workloads["trainings.t"];
        match placed.pools[0].most_held() {
            0 => bought += 1,
            _ if save => covered += 1,
            _ => held += 1,
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    let seen = covered > part.of(5) && bought > part.of(8);
    assert!(seen && (held > 1 || !is_many()), "{held} held, {covered} covered, {bought} bought");
    assert!(exact * 10 > (held + covered + bought) * 8, "{exact} exact");
}
