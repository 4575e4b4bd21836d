//! Several services that share quotas and a budget, by plain enumeration.

use super::*;

/// Every way to place a workload, by the month, without most of those that another one beats.
pub fn options(spec: &Spec, world: &World, address: &str) -> Vec<Choice> {
    match address.split_once('.').unwrap() {
        ("services", name) if spec.profiled.contains_key(name) => profile::options(spec, world, name),
        ("services", name) => {
            let monthly =
                |c: Choice| Choice { cost: c.cost * 730, ceiling: c.ceiling * 730, peak: c.peak * 730, ..c };
            serving(spec, world, name).into_iter().map(monthly).collect()
        }
        ("trainings", name) => training::options(spec, world, name),
        (_, name) => {
            let mut all: Vec<Choice> = Vec::new();
            each_run(spec, world, name, &|_| true, &mut |_, month| {
                let beats = |a: &Choice, b: &Choice| {
                    let less = |(key, n): (&(usize, String), &f64)| b.quotas.get(key).is_some_and(|m| n <= m);
                    a.cost <= b.cost && a.ceiling <= b.ceiling && a.quotas.iter().all(less)
                };
                if !all.iter().any(|other| beats(other, &month)) {
                    all.retain(|other| !beats(&month, other));
                    all.push(month);
                }
            });
            all
        }
    }
}

/// Every way to serve a service of one origin from any number of regions, without those that another one beats.
fn serving(spec: &Spec, world: &World, name: &str) -> Vec<Choice> {
    let s = &spec.services[name];
    let t = &s.traffic;
    let shape = RequestShape { input: t.input, output: t.output, prefix_cached: t.prefix_cached };
    let ways = ways(spec, world, &s.model, &s.placement, &s.engine, &shape);
    let regions = regions(world, &s.placement);
    let search = Search::new(spec, world, name, &ways, &regions);
    let mut all: Vec<Choice> = Vec::new();
    for subset in 1_u32..1 << regions.len() {
        let picked = (0..regions.len()).filter(|i| subset >> i & 1 == 1).map(|i| regions[i]);
        let mut sums: Vec<Vec<(usize, Choice)>> = vec![Vec::new()];
        for region in picked {
            let choices = search.choices(&[0], subset.count_ones() as usize, region);
            let with = |sum: &Vec<(usize, Choice)>| {
                let sum = sum.clone();
                choices
                    .iter()
                    .map(move |c| [sum.clone(), vec![(region, c.clone())]].concat())
                    .collect::<Vec<_>>()
            };
            sums = sums.iter().flat_map(with).filter(|sum| search.within(sum)).collect();
        }
        for sum in sums.iter().filter(|sum| search.judge(sum).is_some()) {
            let mut one = Choice {
                cost: 0,
                ceiling: 0,
                peak: 0,
                replicas: 0,
                most_replicas: 0,
                quotas: BTreeMap::new(),
            };
            for (_, c) in sum {
                one.cost += c.cost;
                one.ceiling += c.ceiling;
                one.peak += c.peak;
                one.most_replicas += c.most_replicas;
                one.replicas += c.replicas;
                for (key, n) in &c.quotas {
                    *one.quotas.entry(key.clone()).or_insert(0.0) += n;
                }
            }
            if !all.iter().any(|other| search.beats(other, &one)) {
                all.retain(|other| !search.beats(&one, other));
                all.push(one);
            }
        }
    }
    all
}

/// The least that one option of each workload costs together (with what its emissions count for) within quotas, budgets and the cap,
/// micro-dollars a month.
pub fn together(spec: &Spec, world: &World, addresses: &[String], options: &[Vec<Choice>]) -> Option<i64> {
    let mut best = None;
    combine(spec, world, addresses, options, &mut Vec::new(), &mut best);
    best
}

fn combine<'c>(
    spec: &Spec,
    world: &World,
    addresses: &[String],
    left: &'c [Vec<Choice>],
    chosen: &mut Vec<&'c Choice>,
    best: &mut Option<i64>,
) {
    let mut taken: BTreeMap<&(usize, String), f64> = BTreeMap::new();
    for (key, n) in chosen.iter().flat_map(|c| &c.quotas) {
        *taken.entry(key).or_insert(0.0) += n;
    }
    let over = |(scope, budget): (&BudgetScope, &BudgetLimit)| {
        let of = chosen.iter().zip(addresses).filter(|(_, address)| counted(spec, scope, address));
        of.map(|(c, _)| c.bound(spec)).sum::<i64>() > budget.limit.micros()
    };
    if taken.iter().any(|(k, n)| allowed(spec, world, k).is_some_and(|l| *n > l))
        || spec.budget.limits.iter().any(over)
    {
        return;
    }
    let cost: i64 = chosen.iter().map(|c| carbon::objective(spec, c)).sum();
    if best.is_some_and(|b| cost >= b) {
        return;
    }
    let Some((first, rest)) = left.split_first() else {
        *best = Some(cost);
        return;
    };
    for choice in first {
        chosen.push(choice);
        combine(spec, world, addresses, rest, chosen, best);
        chosen.pop();
    }
}

/// All partitions of `0..n` into blocks.
pub fn partitions(n: usize) -> Vec<Vec<Vec<usize>>> {
    let mut all = vec![Vec::new()];
    for item in 0..n {
        let mut next = Vec::new();
        for partition in &all {
            for block in 0..partition.len() {
                let mut with: Vec<Vec<usize>> = partition.clone();
                with[block].push(item);
                next.push(with);
            }
            let mut with = partition.clone();
            with.push(vec![item]);
            next.push(with);
        }
        all = next;
    }
    all
}
