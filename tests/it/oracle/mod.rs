//! The optimizer against brute force, on small random worlds: as many of some hundred as [`crate::extent`] says.

mod brute;
mod carbon;
mod chains;
mod changing;
mod degrade;
mod divided;
mod held;
mod labels;
mod profiles;
mod rolling;
mod sharing;
mod stability;
mod stops;
mod training;
mod weeks;
pub mod worlds;

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::placement::{Placement, WorkloadPlacement, World};
use rhumb::spec::{ScalingMode, Spec};
use rhumb_api::Money;

use crate::extent::{is_many, one_in};
use crate::line;

/// Worlds that are tried.
const WORLDS: u64 = 400;

/// What an optimizer answered for a world with one workload: the cost that it claims to be the least
/// (a service: micro-dollars an hour; a batch: a run), and whether a pool is larger than what brute force tries.
struct Answer {
    cost: Option<i64>,
    beyond: bool,
}

fn ask(spec: &Spec, world: &World) -> (Answer, Option<Placement>) {
    let Ok(placement) = line::place(spec, world) else {
        return (Answer { cost: None, beyond: false }, None);
    };
    let placed = placement.workloads.values().next().unwrap();
    let cost = match &placed.run {
        Some(run) => run.cost_per_run,
        None => placed.cost.expected_per_hour,
    };
    let most = if placed.run.is_some() { 4 * brute::MOST_MACHINES } else { brute::MOST_MACHINES };
    let machines = |p: &rhumb::placement::Pool| p.machines.iter().map(|m| m.count).sum::<u32>();
    let beyond = placed.pools.iter().any(|p| machines(p) > most);
    // A budget for everything that one workload breaks is as good as no placement.
    let broken = !placement.joint_violations.is_empty();
    (Answer { cost: (!broken).then_some(cost.micros()), beyond }, Some(placement))
}

fn brute(spec: &Spec, world: &World) -> Option<i64> {
    match spec.services.keys().next() {
        Some(name) => brute::service(spec, world, name),
        None => brute::batch(spec, world, spec.batches.keys().next()?),
    }
}

/// Derives the bound of a placement that brute force agrees with again; whether it is as high as the cost.
fn proven(seed: u64, spec: &Spec, world: &World, placement: &Placement, faults: &mut String) -> bool {
    let proof = check::prove(spec, world, placement);
    for f in &proof.report.findings {
        *faults += &format!(
            "world {seed}: {} {}: {} ({} / {})\n",
            f.address, f.code, f.message, f.expected, f.found
        );
    }
    let all = &proof.all;
    if all.bound.is_none_or(|bound| bound > all.cost + Money::from_micros(8 * 730)) {
        *faults += &format!("world {seed}: a bound of {:?} above the truth of {}\n", all.bound, all.cost);
    }
    if all.gap() != Some(0.0) && all.left_out.is_empty() {
        *faults += &format!("world {seed}: {} and no word why: {proof:?}\n", all.verdict());
    }
    all.gap() == Some(0.0)
}

/// What the checker finds wrong with a placement, a line each.
fn findings(seed: u64, spec: &Spec, world: &World, placement: &Placement) -> String {
    let line = |f: check::Finding| {
        format!("world {seed}: {} {}: {} ({} / {})\n", f.address, f.code, f.message, f.expected, f.found)
    };
    check::placement(spec, world, placement).into_iter().map(line).collect()
}

/// Whether two answers agree: both infeasible, or costs equal but for the rounding of a few products.
fn agree(answer: Option<i64>, truth: Option<i64>) -> bool {
    match (answer, truth) {
        (None, None) => true,
        (Some(a), Some(b)) => (a - b).abs() <= 8,
        _ => false,
    }
}

#[test]
fn the_optimizer_is_never_beaten_and_never_wrong() {
    let base = Catalog::embedded();
    let (mut faults, mut feasible, mut refused, mut beyond, mut exact) = (String::new(), 0, 0, 0, 0);
    let mut tried: u64 = 0;
    for seed in one_in(16, 1).seeds(0..WORLDS) {
        tried += 1;
        let (spec, world) = worlds::case(seed, &base);
        let (answer, placement) = ask(&spec, &world);
        if answer.beyond {
            beyond += 1;
            continue;
        }
        let truth = brute(&spec, &world);
        match truth {
            Some(_) => feasible += 1,
            None => refused += 1,
        }
        if !agree(answer.cost, truth) {
            faults += &format!("world {seed}: the optimizer says {:?}, brute force {truth:?}\n", answer.cost);
            continue;
        }
        let Some(placement) = placement else { continue };
        exact += u64::from(proven(seed, &spec, &world, &placement, &mut faults));
        faults += &findings(seed, &spec, &world, &placement);
    }
    assert!(faults.is_empty(), "\n{faults}");
    // Worlds that are all alike would prove nothing.
    assert!(feasible > tried / 4, "only {feasible} worlds were feasible");
    assert!(refused > tried / 20, "only {refused} worlds were infeasible");
    assert!(beyond < tried.div_ceil(10), "{beyond} worlds were too large for brute force");
    assert!(exact * 100 > feasible * 90, "the bound was exact in {exact} of {feasible}");
}

/// Worlds with several workloads.
const TOGETHER: u64 = 1_200;

/// What became of worlds with several workloads.
#[derive(Default)]
struct Several {
    faults: String,
    /// Placed together, and of these: dearer than apart, and with a batch.
    coupled: u64,
    dearer: u64,
    batches: u64,
    refused: u64,
    /// Refused without a proof, though there is a choice: the search found none, and says that it decided nothing.
    undecided: u64,
    /// Placed, and with a bound as high as the cost.
    all: u64,
    exact: u64,
}

impl Several {
    /// Compares what the optimizer says with the least of all `options`, which are those of `addresses`.
    fn compare(
        &mut self,
        seed: u64,
        (spec, world): (&Spec, &World),
        addresses: &[String],
        options: &[Vec<brute::Choice>],
    ) -> Option<Placement> {
        let truth = brute::several::together(spec, world, addresses, options);
        let placement = match line::place(spec, world) {
            Ok(placement) => placement,
            Err(why) => {
                self.refused += 1;
                if truth.is_some() && !why.proven {
                    self.undecided += 1;
                } else if truth.is_some() {
                    self.faults += &format!(
                        "world {seed}: refused, brute force {truth:?}: {:?}\n",
                        why.workloads[0].conflict
                    );
                }
                return None;
            }
        };
        let cost: i64 = placement.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum();
        // What brute force does not try is beyond it.
        let large = |w: &WorkloadPlacement| {
            let all = |w: &WorkloadPlacement| w.pools.iter().map(|p| p.replicas).sum::<u32>();
            if w.mix.is_some() && all(w) > brute::profile::MOST {
                return true;
            }
            let most = if w.run.is_some() { 4 * brute::MOST_MACHINES } else { brute::MOST_MACHINES };
            w.pools.iter().any(|p| p.machines.iter().map(|m| m.count).sum::<u32>() > most)
        };
        if placement.workloads.values().any(large) {
            return None;
        }
        // Seconds of a batch's runs are rounded.
        let emitted = brute::carbon::counted(spec, placement.emissions.known());
        let cost = cost + brute::stability::of(spec, world, &placement);
        let (cost, rounded) = (cost + emitted, emitted / 100_000);
        // Eight products rounded by the hour, of a month.
        if truth.is_none_or(|t| (t - cost).abs() > 8 * 730 + rounded) {
            self.faults += &format!("world {seed}: the optimizer says {cost}, brute force {truth:?}\n");
        }
        self.all += 1;
        if let Some(c) = &placement.coupling {
            self.coupled += 1;
            self.batches += u64::from(!spec.batches.is_empty());
            self.dearer += u64::from(c.optimum > c.apart);
            if c.lower_bound != c.optimum {
                self.faults += &format!("world {seed}: not proven: {} below {}\n", c.lower_bound, c.optimum);
            }
        }
        self.exact += u64::from(proven(seed, spec, world, &placement, &mut self.faults));
        self.faults += &findings(seed, spec, world, &placement);
        Some(placement)
    }
}

/// The addresses of all workloads, and every way to place each; `None` if one cannot be placed alone, which is another test's matter.
fn options(spec: &Spec, world: &World) -> Option<(Vec<String>, Vec<Vec<brute::Choice>>)> {
    let services = spec.services.keys().map(|name| format!("services.{name}"));
    let addresses: Vec<String> =
        services.chain(spec.batches.keys().map(|name| format!("batches.{name}"))).collect();
    let options: Vec<Vec<brute::Choice>> =
        addresses.iter().map(|a| brute::several::options(spec, world, a)).collect();
    (options.len() >= 2 && !options.iter().any(Vec::is_empty)).then_some((addresses, options))
}

#[test]
fn several_workloads_are_never_beaten_and_never_wrong() {
    let base = Catalog::embedded();
    let (mut tried, part) = (Several::default(), one_in(30, 4));
    for seed in part.seeds(0..TOGETHER) {
        let (spec, world) = worlds::together(seed, &base);
        if let Some((addresses, options)) = options(&spec, &world) {
            tried.compare(seed, (&spec, &world), &addresses, &options);
        }
    }
    let Several { faults, coupled, dearer, batches, refused, undecided, all, exact } = tried;
    assert!(faults.is_empty(), "\n{faults}");
    assert_eq!(undecided, 0, "refused without a proof, against brute force");
    assert!(exact * 100 > all * 90, "the bound was exact in {exact} of {all}");
    let seen = format!("{coupled} coupled, {dearer} dearer, {refused} refused, {batches} with a batch");
    // Few share too little.
    assert!(coupled > 5 && dearer > 5 && refused > 7 && batches > 2 || !is_many(), "{seen}");
}

/// The world without what is refused with a pool: its spot machines if it has some, else all machines of its type there.
fn refused(world: &World, pool: &rhumb::placement::Pool) -> World {
    let kind = world.catalog.instance_type(pool.cloud, &pool.instance_type).unwrap();
    let region = world.catalog.region(pool.cloud, &pool.region).unwrap();
    let mut other = world.clone();
    other.catalog.offerings.retain(|o| {
        (o.instance_type, o.region) != (kind, region)
            || (pool.uses_spot() && o.purchase != rhumb::spec::Purchase::Spot)
    });
    other
}

#[test]
fn the_first_fallback_is_the_cheapest_without_what_is_refused() {
    let base = Catalog::embedded();
    let (mut faults, mut same, mut none, mut spot, mut several) = (String::new(), 0, 0, 0, 0);
    let part = one_in(6, 1);
    for seed in part.seeds(0..WORLDS) {
        let (spec, world) = worlds::case(seed, &base);
        let Ok(placement) = line::place(&spec, &world) else { continue };
        let (address, placed) = placement.workloads.iter().next().unwrap();
        // Beside pools that follow the day, and without spot in their place, the seat is not as brute force fills it.
        let follows = |s: &rhumb::spec::Service| {
            s.follows().is_some() && (placed.pools.len() > 1 || s.purchase.spot_max_share > 0.0)
        };
        if spec.services.values().any(follows) {
            continue;
        }
        for (index, pool) in placed.pools.iter().enumerate() {
            let in_region = |p: &&rhumb::placement::Pool| (p.cloud, &p.region) == (pool.cloud, &pool.region);
            if placed.pools.iter().filter(in_region).count() > 1 {
                continue;
            }
            let fallbacks = &placed.fallbacks[index].list;
            let elsewhere = refused(&world, pool);
            let (truth, said) = match &placed.run {
                Some(_) => {
                    let said =
                        fallbacks.first().and_then(|f| f.run.as_ref()).map(|r| r.cost_per_run.micros());
                    (brute::batch(&spec, &elsewhere, address.trim_start_matches("batches.")), said)
                }
                None => {
                    let name = address.trim_start_matches("services.");
                    let (truth, own) = brute::seat::seat(&spec, &world, &elsewhere, (name, placed), index);
                    (truth, fallbacks.first().map(|f| own + f.more_per_month.micros() / 730))
                }
            };
            let most = if placed.run.is_some() { 4 * brute::MOST_MACHINES } else { brute::MOST_MACHINES };
            let machines = |p: &rhumb::placement::Pool| p.machines.iter().map(|m| m.count).sum::<u32>();
            if fallbacks.first().is_some_and(|f| machines(&f.pool) > most) {
                continue;
            }
            if !agree(said, truth) {
                faults += &format!("world {seed}, {}: {said:?}, brute force {truth:?}\n", pool.addr);
            }
            same += u64::from(truth.is_some());
            none += u64::from(truth.is_none());
            spot += u64::from(pool.uses_spot());
            several += u64::from(placed.pools.len() > 1);
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(
        same > part.of(100) && none > part.of(5) && spot > part.of(20) && several > part.of(20),
        "{same} with and {none} without a fallback, {spot} of spot, {several} beside others"
    );
}

#[test]
fn a_batch_that_a_replay_makes_slower_is_bought_for_what_it_takes() {
    let base = Catalog::embedded();
    let (mut faults, mut slower, mut moved, mut together) = (String::new(), 0, 0, 0);
    let part = one_in(12, 2);
    for seed in part.seeds(0..WORLDS / 2) {
        let (spec, mut world) = worlds::case(seed, &base);
        let Some(name) = spec.batches.keys().next() else { continue };
        let (closed, _) = ask(&spec, &world);
        // Thousands of machines take thousands of replays, and brute force does not try them.
        if closed.beyond {
            continue;
        }
        world.replay = 400;
        let (answer, placement) = ask(&spec, &world);
        if answer.beyond {
            continue;
        }
        let truth = brute::batch(&spec, &world, name);
        if !agree(answer.cost, truth) {
            faults += &format!("world {seed}: the optimizer says {:?}, brute force {truth:?}\n", answer.cost);
        }
        moved += u64::from(answer.cost != closed.cost);
        let Some(placement) = placement else { continue };
        slower += u64::from(
            placement.workloads.values().any(|w| w.caveats.iter().any(|c| c.contains("fewer of them"))),
        );
        proven(seed, &spec, &world, &placement, &mut faults);
        for f in check::placement(&spec, &world, &placement) {
            faults += &format!("world {seed}: {} {}: {}\n", f.address, f.code, f.message);
        }
    }
    for seed in part.seeds(0..TOGETHER / 2) {
        let (spec, mut world) = worlds::together(seed, &base);
        let few = |p: &Placement| {
            let machines = |p: &rhumb::placement::Pool| p.machines.iter().map(|m| m.count).sum::<u32>();
            let pools = p.workloads.values().flat_map(|w| &w.pools);
            p.coupling.is_some() && pools.map(machines).max().is_some_and(|most| most <= 64)
        };
        if spec.batches.is_empty() || !line::place(&spec, &world).is_ok_and(|p| few(&p)) {
            continue;
        }
        world.replay = 400;
        let Some(placement) = line::place(&spec, &world).ok().filter(|p| p.coupling.is_some()) else {
            continue;
        };
        together += 1;
        // Prices are those from before the replay: the bound holds, but is not exact.
        proven(seed, &spec, &world, &placement, &mut faults);
    }
    assert!(faults.is_empty(), "\n{faults}");
    // The replay decides in few worlds.
    assert!(slower > 1 && moved > 1 || !is_many(), "{slower} slower, in {moved} it cost something");
    assert!(together > 2 || !is_many(), "{together} together");
}

#[test]
fn what_a_replay_changes_in_an_hour_is_paid_for_in_every_plan() {
    let base = Catalog::embedded();
    let (mut faults, mut placed, mut coupled, mut decided) = (String::new(), 0, 0, 0);
    let part = one_in(20, 2);
    for seed in part.seeds(0..TOGETHER) {
        let (spec, mut world) = worlds::together(seed, &base);
        if spec.services.values().all(|s| s.follows().is_none()) {
            continue;
        }
        let closed = line::place(&spec, &world);
        // Replays take long: of most worlds those that are placed together are enough.
        if seed > 100 && closed.as_ref().map_or(true, |closed| closed.coupling.is_none()) {
            continue;
        }
        world.replay = 400;
        let Ok(placement) = line::place(&spec, &world) else { continue };
        placed += 1;
        coupled += u32::from(placement.coupling.is_some());
        decided += u32::from(closed.is_ok_and(|closed| closed.workloads != placement.workloads));
        faults += &findings(seed, &spec, &world, &placement);
        let own: Money = placement.workloads.values().map(|w| w.cost.expected_per_month).sum();
        if let Some(c) = &placement.coupling
            && (c.optimum - own).micros().abs() > 8 * 730
        {
            faults += &format!("world {seed}: {} is paid, {} was optimized\n", own, c.optimum);
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    let seen = format!("{placed} placed, {coupled} coupled, the replay decided in {decided}");
    assert!(placed > 0 && (coupled > 2 && decided > 2 || !is_many()), "{seen}");
}

#[test]
fn a_planted_wrong_answer_is_seen() {
    let base = Catalog::embedded();
    let cost = (0..50).find_map(|seed| {
        let (spec, world) = worlds::case(seed, &base);
        brute(&spec, &world)
    });
    let cost = cost.expect("a feasible world");
    assert!(agree(Some(cost), Some(cost)));
    assert!(!agree(Some(cost + cost / 100), Some(cost)), "an answer 1 % too dear");
    assert!(!agree(Some(cost - cost / 100), Some(cost)), "an answer 1 % too cheap");
    assert!(!agree(None, Some(cost)), "a refusal of what is feasible");
    assert!(!agree(Some(cost), None), "a placement of what is not");
}

#[test]
fn a_rule_left_out_changes_the_truth() {
    // Brute force itself reads every rule: without it, some world has another answer.
    let base = Catalog::embedded();
    let forget: [(&str, fn(&mut Spec, &mut World)); 11] = [
        ("daily", |s, _| s.services.values_mut().for_each(|s| s.traffic.daily = None)),
        ("scaling", |s, _| s.services.values_mut().for_each(|s| s.scaling.mode = ScalingMode::Fixed)),
        ("objectives", |s, _| s.services.values_mut().for_each(|s| s.slo.tpot.clear())),
        ("survive", |s, _| s.services.values_mut().for_each(|s| s.survive = Default::default())),
        ("residency", |s, _| s.services.values_mut().for_each(|s| s.placement.residency.clear())),
        ("regions", |s, _| s.services.values_mut().for_each(|s| s.placement.regions = Default::default())),
        ("quality", |s, _| s.models.values_mut().for_each(|m| m.quality = None)),
        ("spot", |s, _| s.services.values_mut().for_each(|s| s.purchase.spot_max_share = 0.0)),
        ("quotas", |s, _| s.providers.clear()),
        ("budget", |s, _| s.budget = Default::default()),
        ("replicas", |s, _| s.services.values_mut().for_each(|s| s.scaling.min_replicas = 1)),
    ];
    // Most rules are felt soon, and then each world's truth is that of every rule.
    let mut truths = Vec::new();
    for (rule, plant) in forget {
        let differs = (0..WORLDS).any(|seed| {
            let (spec, mut world) = worlds::case(seed, &base);
            if truths.len() as u64 == seed {
                truths.push(brute(&spec, &world));
            }
            let mut without = spec.clone();
            plant(&mut without, &mut world);
            without != spec && truths[seed as usize] != brute(&without, &world)
        });
        assert!(differs, "no world feels the rule on {rule}");
    }
}

#[test]
fn all_partitions_are_tried() {
    let bell = [1, 1, 2, 5, 15];
    for (n, count) in bell.into_iter().enumerate() {
        assert_eq!(brute::partitions(n).len(), count);
    }
}
