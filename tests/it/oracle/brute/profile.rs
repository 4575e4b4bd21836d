//! A service with a profile by plain enumeration, from the text of `src/decisions/0020-own-profiles.md`: every number of machines at every place, and
//! whether they carry all classes by what their time is worth at the only prices that can say no.

use super::*;

/// Most machines of all places together that are tried.
pub const MOST: u32 = 7;

/// Every set of machines that does, by the month.
pub fn options(spec: &Spec, world: &World, name: &str) -> Vec<Choice> {
    let asked = &spec.profiled[name];
    let mut places = Vec::new();
    let mut kinds: Vec<Vec<f64>> = Vec::new();
    for ((cloud, kind), rows) in &asked.profile.rates {
        let kind = world.catalog.instance_type(*cloud, kind).unwrap();
        let status = &world.catalog.instance_types[kind].status;
        if status != "current" && !status.starts_with("previous") {
            continue;
        }
        let rate = |class: &String| rows.get(class).map_or(0.0, |r| r.micro as f64 / 1e6);
        kinds.push(asked.classes.keys().map(rate).collect());
        for region in regions(world, &asked.placement) {
            let at = cheapest(world, &asked.purchase, kind, region);
            places.extend(at.map(|(each, _)| (kinds.len() - 1, kind, region, each)));
        }
    }
    let demands: Vec<f64> =
        asked.classes.values().map(|part| asked.peak as f64 * *part as f64 / 1e15).collect();
    let tests = prices(&kinds);
    let mut found = Vec::new();
    let mut counts = vec![0_u32; places.len()];
    loop {
        let mut of = vec![0_u32; kinds.len()];
        for ((kind, ..), n) in places.iter().zip(&counts) {
            of[*kind] += n;
        }
        if does(asked, &kinds, &demands, &tests, &of) {
            found.push(choice(spec, world, asked, &places, &counts));
        }
        // The next in order, of those with no more machines in all than are tried.
        let Some(next) = (0..counts.len()).find(|i| {
            let rest: u32 = counts[i + 1..].iter().sum();
            counts[*i] + rest < MOST
        }) else {
            return unbeaten(found);
        };
        counts[next] += 1;
        counts[..next].fill(0);
    }
}

/// Without those that cost and take no less than another.
fn unbeaten(all: Vec<Choice>) -> Vec<Choice> {
    let beats = |a: &Choice, b: &Choice| {
        let less = |(key, n): (&(usize, String), &f64)| b.quotas.get(key).is_some_and(|m| n <= m);
        a.cost <= b.cost && a.quotas.iter().all(less)
    };
    let mut kept: Vec<Choice> = Vec::new();
    for one in all {
        if !kept.iter().any(|other| beats(other, &one)) {
            kept.retain(|other| !beats(&one, other));
            kept.push(one);
        }
    }
    kept
}

fn choice(
    spec: &Spec,
    world: &World,
    asked: &Profiled,
    places: &[(usize, usize, usize, i64)],
    counts: &[u32],
) -> Choice {
    let nothing =
        Choice { cost: 0, ceiling: 0, peak: 0, replicas: 0, most_replicas: 0, quotas: BTreeMap::new() };
    let mut all = nothing.clone();
    for ((_, kind, region, each), n) in places.iter().zip(counts).filter(|(_, n)| **n > 0) {
        let cost = each * i64::from(*n) * 730;
        let quotas = quotas(world, &asked.purchase, *kind, *region, *n, 0);
        let one = Choice { cost, ceiling: cost, peak: cost, replicas: *n, most_replicas: *n, quotas };
        let month = |mg| rhumb::perf::carbon::of_weeks(mg, 604_800 * i64::from(*n));
        let one = carbon::with(spec, world, (*kind, *region), month, one);
        all.cost += one.cost;
        all.ceiling += one.ceiling;
        all.peak += one.peak;
        all.replicas += n;
        all.most_replicas += n;
        for (key, amount) in one.quotas {
            *all.quotas.entry(key).or_insert(0.0) += amount;
        }
    }
    all
}

fn does(asked: &Profiled, kinds: &[Vec<f64>], demands: &[f64], tests: &[Vec<f64>], counts: &[u32]) -> bool {
    let total: u32 = counts.iter().sum();
    if total < asked.least_machines || asked.most_machines.is_some_and(|most| total > most) {
        return false;
    }
    if asked.survive > 0 && total <= asked.survive {
        return false;
    }
    carries(kinds, demands, 1.0, tests, counts)
        && (asked.survive == 0
            || losses(counts, asked.survive)
                .iter()
                .all(|left| carries(kinds, demands, asked.capacity, tests, left)))
}

/// What is left after each way to lose so many.
fn losses(counts: &[u32], lost: u32) -> Vec<Vec<u32>> {
    if lost == 0 {
        return vec![counts.to_vec()];
    }
    let there = (0..counts.len()).filter(|i| counts[*i] > 0);
    let less = |i| (0..counts.len()).map(|j| counts[j] - u32::from(i == j)).collect::<Vec<u32>>();
    there.flat_map(|i| losses(&less(i), lost - 1)).collect()
}

/// By duality: machines carry the classes unless at some prices of their time all of it is worth less than the least that the classes can be
/// carried for. The difference is made of straight pieces, so that the prices where these meet decide.
fn carries(kinds: &[Vec<f64>], demands: &[f64], part: f64, tests: &[Vec<f64>], counts: &[u32]) -> bool {
    tests.iter().all(|price| {
        let there: f64 = price.iter().zip(counts).map(|(p, n)| p * f64::from(*n)).sum();
        let needed: f64 = demands
            .iter()
            .enumerate()
            .map(|(class, demand)| {
                let serving = kinds.iter().zip(price).filter(|(rates, _)| rates[class] > 0.0);
                let least = serving.map(|(rates, p)| p / rates[class]).fold(f64::INFINITY, f64::min);
                demand * part * least
            })
            .sum();
        needed <= there * (1.0 + 1e-6) + 1e-9
    })
}

/// Every direction in which enough of: a price is nothing, a class is carried as cheaply by two kinds. At most three kinds.
fn prices(kinds: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = kinds.len();
    let classes = kinds.first().map_or(0, Vec::len);
    let mut planes: Vec<[f64; 3]> = Vec::new();
    for i in 0..n {
        let mut plane = [0.0; 3];
        plane[i] = 1.0;
        planes.push(plane);
        for j in 0..i {
            for c in (0..classes).filter(|c| kinds[i][*c] > 0.0 && kinds[j][*c] > 0.0) {
                let mut plane = [0.0; 3];
                plane[i] = kinds[j][c];
                plane[j] = -kinds[i][c];
                planes.push(plane);
            }
        }
    }
    match n {
        1 => vec![vec![1.0]],
        // Across each plane's normal.
        2 => planes.iter().flat_map(|p| positive(vec![-p[1], p[0]])).collect(),
        _ => planes
            .iter()
            .enumerate()
            .flat_map(|(i, a)| planes[..i].iter().map(move |b| (a, b)))
            .flat_map(|(a, b)| {
                positive(vec![
                    a[1] * b[2] - a[2] * b[1],
                    a[2] * b[0] - a[0] * b[2],
                    a[0] * b[1] - a[1] * b[0],
                ])
            })
            .collect(),
    }
}

/// A direction of prices that are not negative, of either sign; its sum is 1.
fn positive(of: Vec<f64>) -> Option<Vec<f64>> {
    let sum: f64 = of.iter().sum();
    let scaled: Vec<f64> = of.iter().map(|p| p / sum).collect();
    (sum.abs() > 1e-12 && scaled.iter().all(|p| *p >= -1e-12))
        .then(|| scaled.iter().map(|p| p.max(0.0)).collect())
}
