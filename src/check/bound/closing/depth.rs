//! The cheapest choice of listed plans within the limits, searched in depth.

use super::{Item, Listed};

/// Most nodes of one search in depth.
const MOST_NODES: u64 = 4_000_000;

/// The plans of a workload that no other one beats in cost and in every limit, the cheapest at the multipliers first.
pub(super) fn front(listed: &Listed<'_>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..listed.items.len()).filter(|i| !listed.gone[*i]).collect();
    order.sort_by(|a, b| {
        let key = |i: usize| (listed.items[i].cost, &listed.items[i].used, i);
        key(*a).cmp(&key(*b))
    });
    let mut kept: Vec<usize> = Vec::new();
    for i in order {
        let item = &listed.items[i];
        let beaten = kept.iter().any(|k| {
            let other = &listed.items[*k];
            other.cost <= item.cost
                && other.priced <= item.priced
                && other.used.iter().zip(&item.used).all(|(a, b)| a <= b)
        });
        if !beaten {
            kept.push(i);
        }
    }
    kept.sort_by_key(|i| (listed.items[*i].priced, *i));
    kept
}

/// A search in depth, a workload after the other.
pub(super) struct Depth<'l> {
    listed: Vec<&'l [Item]>,
    least: Vec<i128>,
    fronts: Vec<&'l [usize]>,
    /// Position to workload.
    order: &'l [usize],
    /// What is left of the limits less what the workloads from a position on take at least.
    room: Vec<i128>,
    /// From a position on: the least that each limit is taken of.
    after: Vec<Vec<i128>>,
    apart: i128,
    /// What is counted is that of the bill where all are listed, and else that at the multipliers.
    all: bool,
    /// Above `apart`.
    most: i128,
    path: Vec<(usize, usize)>,
    /// The least value, and of each workload its plan.
    pub best: Option<(i128, Vec<(usize, usize)>)>,
    nodes: u64,
}

impl<'l> Depth<'l> {
    pub fn new(
        listed: &'l [Listed<'_>],
        fronts: &'l [Vec<usize>],
        order: &'l [usize],
        limits: &[i128],
        apart: i128,
        within: i128,
        all: bool,
    ) -> Self {
        let least_of = |w: usize, limit: usize| {
            let used = fronts[w].iter().map(|i| listed[w].items[*i].used[limit]);
            used.min().unwrap_or(0)
        };
        let mut after = vec![vec![0; limits.len()]; order.len() + 1];
        for (at, w) in order.iter().enumerate().rev() {
            after[at] = after[at + 1].iter().enumerate().map(|(k, more)| more + least_of(*w, k)).collect();
        }
        Depth {
            listed: listed.iter().map(|l| l.items.as_slice()).collect(),
            least: listed.iter().map(|l| l.least).collect(),
            fronts: fronts.iter().map(Vec::as_slice).collect(),
            order,
            room: limits.to_vec(),
            after,
            apart,
            all,
            most: within,
            path: Vec::new(),
            best: None,
            nodes: 0,
        }
    }

    /// Whether it was given up.
    pub fn ended(&self) -> bool {
        self.nodes > MOST_NODES
    }

    /// Goes on at a position, `above` the least of the workloads before it.
    pub fn go(&mut self, at: usize, above: i128) {
        self.nodes += 1;
        if self.ended() {
            return;
        }
        let Some(w) = self.order.get(at).copied() else {
            let cost: i128 = self.path.iter().map(|(w, i)| self.listed[*w][*i].cost).sum();
            let value = if self.all { cost } else { self.apart + above };
            if value <= self.apart + self.most && self.best.as_ref().is_none_or(|(best, _)| value < *best) {
                self.best = Some((value, self.path.clone()));
            }
            return;
        };
        for i in self.fronts[w] {
            let item = &self.listed[w][*i];
            let here = above + item.priced - self.least[w];
            let limit =
                self.best.as_ref().map_or(self.most, |(best, _)| (best - 1 - self.apart).min(self.most));
            // They come in this order.
            if here > limit {
                break;
            }
            let fits = self.room.iter().zip(&item.used).zip(&self.after[at + 1]);
            if fits.into_iter().any(|((room, used), after)| room - used < *after) {
                continue;
            }
            self.room.iter_mut().zip(&item.used).for_each(|(room, used)| *room -= used);
            self.path.push((w, *i));
            self.go(at + 1, here);
            self.path.pop();
            self.room.iter_mut().zip(&item.used).for_each(|(room, used)| *room += used);
        }
    }
}
