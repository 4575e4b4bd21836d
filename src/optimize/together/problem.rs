//! The problem of all workloads at once, in integers: one plan for each, within limits that they share.

/// Multipliers are integers over this.
pub const ONE: i128 = super::super::pool::PRICE_ONE;

/// A plan of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Cost in micro-dollars a month.
    pub cost: i64,
    /// Machines: of equal plans the one with fewer is taken.
    pub machines: u64,
    /// Row and what is taken of it, more than nothing, in the order of the rows.
    pub uses: Vec<(usize, i64)>,
}

impl Column {
    /// What is taken of a row.
    pub fn of(&self, row: usize) -> i64 {
        self.uses.binary_search_by_key(&row, |(r, _)| *r).map_or(0, |i| self.uses[i].1)
    }

    /// Its cost when `price[row]` is paid for what it takes, times [`ONE`].
    pub fn priced<P: Copy + Into<i128>>(&self, prices: &[P]) -> i128 {
        let tolls = self.uses.iter().map(|(r, u)| prices[*r].into() * i128::from(*u));
        i128::from(self.cost) * ONE + tolls.sum::<i128>()
    }

    /// Whether it is as good as `other` in everything.
    pub fn beats(&self, other: &Column) -> bool {
        (self.cost, self.machines) <= (other.cost, other.machines)
            && self.uses.iter().all(|(r, u)| *u <= other.of(*r))
    }
}

/// Workloads with the plans that may be chosen, and what they share.
#[derive(Clone, Debug, Default)]
pub struct Problem {
    /// How much there is of each row.
    pub limits: Vec<i64>,
    /// What a plan may cost that is not known, micro-dollars a month, where machines are held: those that are known may all cost nothing.
    pub machine: i64,
    /// Plans of each workload.
    pub plans: Vec<Vec<Column>>,
    /// From here on the workloads are fleets, whose plans are the numbers of their machines.
    pub fleets: Option<usize>,
    /// Fleets that are counted together, to split on all of their machines.
    pub classes: Vec<Class>,
}

/// Fleets of like machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Their indexes among the workloads.
    pub fleets: Vec<usize>,
    /// The rows that limit the sum of their machines from above, and its opposite; without a limit unless a node of the search has one.
    pub rows: (usize, usize),
    /// What the cheapest of their machines costs, micro-dollars a month.
    pub machine: i64,
}

/// One plan of each workload, with its cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub cost: i64,
    /// Machines, then the indexes: the order among equals.
    pub machines: u64,
    pub plans: Vec<usize>,
}

impl Choice {
    /// What is least is best.
    pub fn rank(&self) -> (i64, u64, &[usize]) {
        (self.cost, self.machines, &self.plans)
    }
}

impl Problem {
    /// What a choice takes of each row.
    pub fn taken(&self, plans: &[usize]) -> Vec<i128> {
        let mut taken = vec![0_i128; self.limits.len()];
        for (own, p) in self.plans.iter().zip(plans) {
            for (r, u) in &own[*p].uses {
                taken[*r] += i128::from(*u);
            }
        }
        taken
    }

    /// Whether a choice stays within all limits.
    pub fn fits(&self, plans: &[usize]) -> bool {
        self.taken(plans).iter().zip(&self.limits).all(|(t, l)| *t <= i128::from(*l))
    }

    /// A choice with its cost; `None` if the sum is beyond what a number holds.
    pub fn choice(&self, plans: Vec<usize>) -> Option<Choice> {
        let mut cost = 0_i64;
        let mut machines = 0_u64;
        for (own, p) in self.plans.iter().zip(&plans) {
            cost = cost.checked_add(own[*p].cost)?;
            machines = machines.checked_add(own[*p].machines)?;
        }
        Some(Choice { cost, machines, plans })
    }

    /// No choice among `allowed` (of each workload) within the limits costs less, times [`ONE`]: the least priced plan of
    /// each, less what is paid for all that there is. True for any prices of zero or more (Lagrange).
    pub fn bound(&self, allowed: &[Vec<usize>], prices: &[i64]) -> Option<i128> {
        let mut sum = 0_i128;
        for (own, list) in self.plans.iter().zip(allowed) {
            sum += list.iter().map(|p| own[*p].priced(prices)).min()?;
        }
        Some(sum - self.paid(prices))
    }

    /// What all that there is costs at `prices`, times [`ONE`].
    pub fn paid(&self, prices: &[i64]) -> i128 {
        self.limits.iter().zip(prices).map(|(l, p)| i128::from(*l) * i128::from(*p)).sum()
    }
}

/// A bound in whole micro-dollars: costs are whole, so it may be rounded up.
pub fn whole(scaled: i128) -> i64 {
    let up = scaled.div_euclid(ONE) + i128::from(scaled.rem_euclid(ONE) > 0);
    up.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}
