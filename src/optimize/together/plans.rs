//! What a workload may be given: plans with what they cost and take.

use super::super::batch::Run;
use super::super::federation::Members;
use super::super::mixed::Fleet;
use super::super::service::Block;
use super::super::sharing::Item;
use super::problem::Column;

/// What a column stands for.
#[derive(Clone, Debug)]
pub enum Plan {
    Service(Vec<Block>),
    Mixed(Fleet),
    Run(Run),
    Federation(Members),
}

/// A plan with its column over all rows.
#[derive(Clone, Debug)]
pub struct Planned {
    pub column: Column,
    pub plan: Plan,
    /// Its pools on shared machines, whose cost is not in the column.
    pub shared: Vec<OnFleet>,
}

impl Planned {
    /// Whether it is as good as `other` in everything.
    pub fn beats(&self, other: &Planned) -> bool {
        // What needs more machines, or larger gaps on them, fits in fewer places.
        let shape = |of: &Planned, fleet: usize| {
            let own = of.shared.iter().filter(|s| s.fleet == fleet).map(|s| s.item);
            own.fold((0, 0), |(needs, size), item| (item.needs().max(needs), item.size.max(size)))
        };
        let spread = self.shared.iter().all(|s| {
            let (a, b) = (shape(self, s.fleet), shape(other, s.fleet));
            a.0 <= b.0 && a.1 <= b.1
        });
        self.column.beats(&other.column) && spread
    }
}

/// A pool on shared machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnFleet {
    /// Index into `Rows::fleets`.
    pub fleet: usize,
    pub item: Item,
}

/// The least that a plan may cost at some prices, times [`ONE`](super::ONE), and a plan that does not cost much more.
pub struct Cheapest {
    pub least: i128,
    pub found: Planned,
}

/// Those that no other one beats, cheapest first; of equals the first.
pub fn unbeaten(mut all: Vec<Planned>) -> Vec<Planned> {
    all.sort_by(|a, b| {
        let key = |p: &Planned| (p.column.cost, p.column.machines);
        key(a).cmp(&key(b)).then_with(|| a.column.uses.cmp(&b.column.uses))
    });
    let mut kept: Vec<Planned> = Vec::new();
    for planned in all {
        if !kept.iter().any(|k| k.beats(&planned)) {
            kept.push(planned);
        }
    }
    kept
}
