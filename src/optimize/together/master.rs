//! The relaxation of a [`Problem`]: plans may be mixed, and what is missing of a row may be bought dearly.
//!
//! A simplex for generalised upper bounds (Dantzig and Van Slyke 1967): every workload's shares sum to one, so one of its
//! plans, the key, is eliminated, and the basis is as large as the number of rows, not of workloads. The basis is
//! factorised afresh when a key changes, after some exchanges, and before anything is told: nothing can drift.
//!
//! Floating point decides only which prices are tried. What they prove is computed from them in integers
//! ([`Problem::bound`]).

use super::problem::{ONE, Problem};

/// An optimum of the relaxation.
#[derive(Clone, Debug)]
pub struct Relaxed {
    /// What a unit of each row is worth, integers over [`ONE`], never negative.
    pub prices: Vec<i64>,
    /// Workload to the plans that are mixed, with their shares.
    pub shares: Vec<Vec<(usize, f64)>>,
    /// Rows that are short, whatever is paid.
    pub short: Vec<usize>,
    /// Where the next one starts: the keys, and what else was basic.
    pub basis: Basis,
}

/// Keys and basic variables; any valid basis is a start.
#[derive(Clone, Debug, Default)]
pub struct Basis {
    keys: Vec<usize>,
    basic: Vec<Variable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Plan(usize, usize),
    /// What is left of a row.
    Left(usize),
    /// What is missing of a row.
    Short(usize),
}

/// What counts as nothing in scaled numbers.
const NOTHING: f64 = 1e-9;
/// No pivot is smaller.
const PIVOT: f64 = 1e-7;

struct Simplex<'p> {
    problem: &'p Problem,
    allowed: &'p [Vec<usize>],
    /// What a row and the costs are divided by.
    rows: Vec<f64>,
    money: f64,
    /// Scaled price of a plan that is not allowed.
    missing: f64,
    /// Scaled price of a missing unit of each row.
    short: Vec<f64>,
    keys: Vec<usize>,
    basic: Vec<Variable>,
}

/// The relaxation over `allowed` plans, each list in ascending order, from `start` if it still is a basis.
///
/// A unit of the largest use of a row that is missing costs `missing` times the dearest plan.
pub fn relax(problem: &Problem, allowed: &[Vec<usize>], start: Option<&Basis>, missing: f64) -> Relaxed {
    let k = problem.limits.len();
    let mut rows = vec![1.0_f64; k];
    let mut money = (problem.machine as f64).max(1.0);
    for (own, list) in problem.plans.iter().zip(allowed) {
        for p in list {
            money = money.max((own[*p].cost as f64).abs());
            for (r, u) in &own[*p].uses {
                rows[*r] = rows[*r].max((*u as f64).abs());
            }
        }
    }
    // Prices beyond what a number holds would prove nothing.
    let short = |row: &f64| missing.min(DEAREST / 4.0 / ONE as f64 / money * row);
    let short = rows.iter().map(short).collect();
    let keys = allowed.iter().enumerate().map(|(s, list)| cheapest(problem, s, list)).collect();
    let mut simplex = Simplex {
        problem,
        allowed,
        rows,
        money,
        missing,
        short,
        keys,
        basic: (0..k).map(Variable::Left).collect(),
    };
    if !start.is_some_and(|basis| simplex.resume(basis)) {
        simplex.begin();
    }
    simplex.run()
}

fn cheapest(problem: &Problem, s: usize, list: &[usize]) -> usize {
    list.iter().copied().min_by_key(|p| (problem.plans[s][*p].cost, *p)).unwrap_or(0)
}

/// A factorised basis.
struct Factors {
    inverse: Vec<Vec<f64>>,
    /// Values of the basic variables.
    x: Vec<f64>,
    /// Share of each key.
    key: Vec<f64>,
}

impl Simplex<'_> {
    fn k(&self) -> usize {
        self.rows.len()
    }

    /// All workloads at their keys.
    fn begin(&mut self) {
        let left = self.left();
        self.basic = (0..self.k())
            .map(|r| if left[r] >= 0.0 { Variable::Left(r) } else { Variable::Short(r) })
            .collect();
    }

    /// What a plan costs, scaled. One that is not allowed any more may stay basic from before, and goes as it is dear.
    fn cost(&self, s: usize, p: usize) -> f64 {
        let banned = self.allowed[s].binary_search(&p).is_err();
        self.problem.plans[s][p].cost as f64 / self.money + if banned { self.missing } else { 0.0 }
    }

    /// Takes over a basis; false, with the own start kept, if it does not hold here.
    fn resume(&mut self, basis: &Basis) -> bool {
        let holds = basis.keys.len() == self.keys.len()
            && basis.keys.iter().zip(&self.problem.plans).all(|(key, own)| *key < own.len())
            && basis.basic.iter().all(|v| match v {
                Variable::Plan(s, p) => self.problem.plans.get(*s).is_some_and(|own| *p < own.len()),
                Variable::Left(r) | Variable::Short(r) => *r < self.k(),
            });
        if !holds {
            return false;
        }
        let own = (self.keys.clone(), self.basic.clone());
        self.keys.clone_from(&basis.keys);
        self.basic.clone_from(&basis.basic);
        let known: Vec<usize> = self
            .basic
            .iter()
            .filter_map(|v| match v {
                Variable::Left(r) | Variable::Short(r) => Some(*r),
                Variable::Plan(..) => None,
            })
            .collect();
        // Rows that came later start with their own slack.
        for r in basis.basic.len()..self.k() {
            if !known.contains(&r) {
                self.basic.push(Variable::Left(r));
            }
        }
        let mut feasible = false;
        if self.basic.len() == self.k()
            && let Some(f) = self.factors()
        {
            // What is left of a row that a limit was lowered for is now missing.
            for (v, x) in self.basic.iter_mut().zip(&f.x) {
                if let Variable::Left(r) = *v
                    && *x < -NOTHING
                {
                    *v = Variable::Short(r);
                }
            }
            let x = self.basic.iter().zip(&f.x);
            let mut x = x.map(|(v, x)| if matches!(v, Variable::Short(_)) { x.abs() } else { *x });
            feasible = x.all(|x| x >= -NOTHING) && f.key.iter().all(|x| *x >= -NOTHING);
        }
        if !feasible {
            (self.keys, self.basic) = own;
        }
        feasible
    }

    /// What the keys leave of each row, scaled.
    fn left(&self) -> Vec<f64> {
        let mut left: Vec<f64> =
            self.problem.limits.iter().zip(&self.rows).map(|(l, scale)| *l as f64 / scale).collect();
        for (s, key) in self.keys.iter().enumerate() {
            for (r, u) in &self.problem.plans[s][*key].uses {
                left[*r] -= *u as f64 / self.rows[*r];
            }
        }
        left
    }

    /// Column of a variable, relative to the key of its workload, and its cost.
    fn column(&self, v: Variable) -> (Vec<f64>, f64) {
        let mut column = vec![0.0; self.k()];
        let cost = match v {
            Variable::Left(r) => {
                column[r] = 1.0;
                0.0
            }
            Variable::Short(r) => {
                column[r] = -1.0;
                self.short[r]
            }
            Variable::Plan(s, p) => {
                let (own, key) = (&self.problem.plans[s][p], &self.problem.plans[s][self.keys[s]]);
                for (r, u) in &own.uses {
                    column[*r] += *u as f64 / self.rows[*r];
                }
                for (r, u) in &key.uses {
                    column[*r] -= *u as f64 / self.rows[*r];
                }
                self.cost(s, p) - self.cost(s, self.keys[s])
            }
        };
        (column, cost)
    }

    fn factors(&self) -> Option<Factors> {
        let k = self.k();
        let mut matrix = vec![vec![0.0; k]; k];
        for (j, v) in self.basic.iter().enumerate() {
            let (column, _) = self.column(*v);
            for (row, value) in matrix.iter_mut().zip(column) {
                row[j] = value;
            }
        }
        let inverse = invert(matrix)?;
        let left = self.left();
        let x: Vec<f64> = inverse.iter().map(|row| dot(row, &left)).collect();
        let key = self.key_shares(&x);
        Some(Factors { inverse, x, key })
    }

    /// Scaled prices of the rows.
    fn prices(&self, f: &Factors) -> Vec<f64> {
        let costs: Vec<f64> = self.basic.iter().map(|v| self.column(*v).1).collect();
        (0..self.k()).map(|r| -costs.iter().zip(&f.inverse).map(|(c, row)| c * row[r]).sum::<f64>()).collect()
    }

    /// The variable that gains most; the first that gains if `first`.
    fn entering(&self, prices: &[f64], first: bool) -> Option<Variable> {
        let mut best: Option<(f64, Variable)> = None;
        let mut consider = |gain: f64, v: Variable| {
            if gain < -NOTHING && best.is_none_or(|(g, _)| gain < g && !first) {
                best = Some((gain, v));
            }
        };
        for (r, price) in prices.iter().enumerate() {
            consider(*price, Variable::Left(r));
            consider(self.short[r] - price, Variable::Short(r));
        }
        for (s, list) in self.allowed.iter().enumerate() {
            let value = |p: usize| {
                let plan = &self.problem.plans[s][p];
                let tolls = plan.uses.iter().map(|(r, u)| prices[*r] * *u as f64 / self.rows[*r]);
                tolls.sum::<f64>() + plan.cost as f64 / self.money
            };
            let banned = if list.binary_search(&self.keys[s]).is_err() { self.missing } else { 0.0 };
            let key = value(self.keys[s]) + banned;
            for p in list.iter().filter(|p| **p != self.keys[s]) {
                consider(value(*p) - key, Variable::Plan(s, *p));
            }
        }
        best.map(|(_, v)| v)
    }

    /// Brings a variable in and tells how far, and what the basis becomes by it if no key changes; `None` if nothing leaves, which a
    /// bounded problem does not do.
    fn exchange(&mut self, f: &Factors, enter: Variable) -> Option<(f64, Option<Factors>)> {
        let (column, _) = self.column(enter);
        let direction: Vec<f64> = f.inverse.iter().map(|row| dot(row, &column)).collect();
        let mut rate = vec![0.0; self.keys.len()];
        for (v, d) in self.basic.iter().zip(&direction) {
            if let Variable::Plan(s, _) = v {
                rate[*s] += d;
            }
        }
        if let Variable::Plan(s, _) = enter {
            rate[s] -= 1.0;
        }
        // Harris: among those that leave almost as soon as the first, the largest pivot.
        let slack = |x: f64, d: f64| (x.max(0.0) + NOTHING) / d;
        let basics = direction.iter().zip(&f.x).map(|(d, x)| (*d, *x));
        let keys = rate.iter().zip(&f.key).map(|(d, x)| (-*d, *x));
        let all: Vec<(f64, f64)> = basics.chain(keys).collect();
        let limit =
            all.iter().filter(|(d, _)| *d > PIVOT).map(|(d, x)| slack(*x, *d)).fold(f64::INFINITY, f64::min);
        let mut leave: Option<(f64, usize)> = None;
        for (i, (d, x)) in all.iter().enumerate() {
            if *d > PIVOT && x.max(0.0) / d <= limit && leave.is_none_or(|(most, _)| *d > most) {
                leave = Some((*d, i));
            }
        }
        let (d, i) = leave?;
        let step = all[i].1.max(0.0) / d;
        let k = self.k();
        if i < k {
            self.basic[i] = enter;
            return Some((step, Some(self.exchanged(f, &direction, i, step))));
        }
        let s = i - k;
        if let Variable::Plan(of, p) = enter
            && of == s
        {
            self.keys[s] = p;
            return Some((step, None));
        }
        let heir = self.basic.iter().zip(&direction).enumerate().filter_map(|(j, (v, d))| match v {
            Variable::Plan(of, p) if *of == s => Some((d.abs(), j, *p)),
            _ => None,
        });
        let (_, j, p) = heir.max_by(|a, b| a.0.total_cmp(&b.0))?;
        self.keys[s] = p;
        self.basic[j] = enter;
        Some((step, None))
    }

    /// The factors after the basic variable of a place was exchanged, by one step of elimination.
    fn exchanged(&self, f: &Factors, direction: &[f64], place: usize, step: f64) -> Factors {
        let mut inverse = f.inverse.clone();
        let by = 1.0 / direction[place];
        inverse[place].iter_mut().for_each(|value| *value *= by);
        let pivot = inverse[place].clone();
        let mut x = f.x.clone();
        for (i, d) in direction.iter().enumerate().filter(|(i, d)| *i != place && **d != 0.0) {
            inverse[i].iter_mut().zip(&pivot).for_each(|(value, p)| *value -= d * p);
            x[i] -= d * step;
        }
        x[place] = step;
        let key = self.key_shares(&x);
        Factors { inverse, x, key }
    }

    /// What the basic plans leave of each key.
    fn key_shares(&self, x: &[f64]) -> Vec<f64> {
        let mut key = vec![1.0; self.keys.len()];
        for (v, x) in self.basic.iter().zip(x) {
            if let Variable::Plan(s, _) = v {
                key[*s] -= x;
            }
        }
        key
    }

    fn run(mut self) -> Relaxed {
        let mut still = 0;
        let mut last: Option<Factors> = None;
        // With how many exchanges since the basis was factorised.
        let mut kept: Option<(Factors, u32)> = None;
        for _ in 0..MOST_EXCHANGES {
            let (factors, exchanges) = match kept.take().filter(|(_, exchanges)| *exchanges < FRESH) {
                Some(kept) => kept,
                None => match self.factors() {
                    Some(factors) => (factors, 0),
                    None => {
                        // A singular basis: begin again; prices from anywhere are valid.
                        self.begin();
                        last = self.factors();
                        break;
                    }
                },
            };
            let prices = self.prices(&factors);
            let entering = self.entering(&prices, still > STILL);
            let Some((step, next)) = entering.and_then(|v| self.exchange(&factors, v)) else {
                // What is told must not have drifted.
                if exchanges == 0 {
                    last = Some(factors);
                    break;
                }
                continue;
            };
            kept = next.map(|next| (next, exchanges + 1));
            still = if step <= NOTHING { still + 1 } else { 0 };
        }
        self.finish(last)
    }

    fn finish(self, factors: Option<Factors>) -> Relaxed {
        let k = self.k();
        let factors = factors.or_else(|| self.factors());
        let scaled = factors.as_ref().map_or(vec![0.0; k], |f| self.prices(f));
        let prices = scaled
            .iter()
            .zip(&self.rows)
            .map(|(p, row)| (p.max(0.0) * self.money / row * ONE as f64).round().clamp(0.0, DEAREST) as i64)
            .collect();
        let mut shares: Vec<Vec<(usize, f64)>> = self.keys.iter().map(|_| Vec::new()).collect();
        let mut short = Vec::new();
        if let Some(f) = &factors {
            for (s, key) in self.keys.iter().enumerate() {
                if f.key[s] > NOTHING {
                    shares[s].push((*key, f.key[s]));
                }
            }
            for (v, x) in self.basic.iter().zip(&f.x) {
                match v {
                    Variable::Plan(s, p) if *x > NOTHING => shares[*s].push((*p, *x)),
                    Variable::Short(r) if *x > 1e-7 => short.push(*r),
                    _ => {}
                }
            }
        }
        for list in &mut shares {
            list.sort_by_key(|(p, _)| *p);
        }
        short.sort_unstable();
        Relaxed { prices, shares, short, basis: Basis { keys: self.keys, basic: self.basic } }
    }
}

/// No price is higher, times [`ONE`].
const DEAREST: f64 = 4e18;
/// Exchanges before whatever was reached is taken.
const MOST_EXCHANGES: usize = 20_000;
/// Exchanges before the basis is factorised afresh, so that nothing drifts.
const FRESH: u32 = 40;
/// Exchanges without progress before the first gain is taken instead of the largest (Bland).
const STILL: usize = 40;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The inverse by Gauss and Jordan with row pivots; `None` if there is none.
fn invert(mut a: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let n = a.len();
    let mut inverse: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| if i == j { 1.0 } else { 0.0 }).collect()).collect();
    for c in 0..n {
        let pivot = (c..n).max_by(|x, y| a[*x][c].abs().total_cmp(&a[*y][c].abs()))?;
        if a[pivot][c].abs() < 1e-11 {
            return None;
        }
        a.swap(c, pivot);
        inverse.swap(c, pivot);
        let by = 1.0 / a[c][c];
        a[c].iter_mut().chain(inverse[c].iter_mut()).for_each(|x| *x *= by);
        let (row, own) = (a[c].clone(), inverse[c].clone());
        for r in (0..n).filter(|r| *r != c) {
            let factor = a[r][c];
            if factor == 0.0 {
                continue;
            }
            a[r].iter_mut().zip(&row).for_each(|(x, y)| *x -= factor * y);
            inverse[r].iter_mut().zip(&own).for_each(|(x, y)| *x -= factor * y);
        }
    }
    Some(inverse)
}
