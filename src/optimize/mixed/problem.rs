//! Size classes on kinds of machines, in integers: what a number of machines of each kind costs, whether it does, and what bounds it.
//!
//! See `src/decisions/0020-own-profiles.md` for the rule and why the bound holds.

use super::lp::{self, Curve, Start};
use crate::spec::profile::PARTS;

/// Machines that may be loaded by one in so many more than they sustain: no rounding decides whether a number of them does.
pub const ALLOWANCE: i128 = 1_000_000;

/// Parts of a machine that a load is counted in, rounded up.
const LOAD: i128 = 10_000_000_000;

/// Machines of a kind that are bought at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Of one machine.
    pub price: i128,
    /// As many as may be bought; [`u32::MAX`] = any number.
    pub most: u32,
    /// Whose it is, for the caller.
    pub site: usize,
}

/// What is to be served, and by what.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Of each class, above 0, millionths of a request a second.
    pub demands: Vec<u64>,
    /// Of each kind and class what a machine sustains, in the same unit; 0 = it does not serve it.
    pub rates: Vec<Vec<u64>>,
    /// Of each kind, cheapest first.
    pub offers: Vec<Vec<Offer>>,
    /// So many machines may fail, and then this part of each class, in billionths, is served still.
    pub survive: u32,
    pub capacity: u64,
    /// Fewest and most machines.
    pub least: u32,
    pub most: Option<u32>,
}

/// The fewest and the most machines of each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub low: Vec<u32>,
    /// [`u32::MAX`] = any number.
    pub high: Vec<u32>,
}

/// Of each class its parts on kinds, in billionths: each a whole.
pub type Routing = Vec<Vec<(usize, u64)>>;

/// What is known of a number of machines of each kind.
pub enum Verdict {
    Does(Routing),
    /// With prices under which all of them are worth less than what they must carry.
    DoesNot(Vec<i128>),
    /// Rounding decides: it is not taken, and nothing is proven by it.
    Unclear,
}

/// `a * b / c`, rounded down, without a product that is too large.
fn scaled(a: i128, b: i128, c: i128) -> i128 {
    let c = c.max(1);
    (a / c).saturating_mul(b).saturating_add((a % c).saturating_mul(b) / c)
}

impl Problem {
    pub fn kinds(&self) -> usize {
        self.rates.len()
    }

    /// As many of a kind as may be bought.
    pub fn supply(&self, kind: usize) -> u32 {
        self.offers[kind].iter().fold(0, |sum, offer| sum.saturating_add(offer.most))
    }

    /// What `n` machines of a kind cost at the least; `None` if there are not so many.
    pub fn cost_of(&self, kind: usize, n: u32) -> Option<i128> {
        let (mut left, mut cost) = (n, 0_i128);
        for offer in &self.offers[kind] {
            let taken = left.min(offer.most);
            cost = cost.saturating_add(offer.price.saturating_mul(i128::from(taken)));
            left -= taken;
        }
        (left == 0).then_some(cost)
    }

    pub fn cost(&self, counts: &[u32]) -> Option<i128> {
        counts
            .iter()
            .enumerate()
            .try_fold(0_i128, |sum, (kind, n)| Some(sum.saturating_add(self.cost_of(kind, *n)?)))
    }

    /// What all classes are worth at the least at prices of each kind's machines, or the part of them that is served in a failure.
    pub fn worth(&self, prices: &[i128], failing: bool) -> i128 {
        let part = i128::from(if failing { self.capacity } else { PARTS });
        self.demands.iter().enumerate().fold(0, |sum, (class, demand)| {
            let of = |(rates, price): (&Vec<u64>, &i128)| {
                let rate = i128::from(rates[class]);
                (rate > 0).then(|| scaled(*price, i128::from(*demand) * ALLOWANCE, rate * (ALLOWANCE + 1)))
            };
            let least = self.rates.iter().zip(prices).filter_map(of).min().unwrap_or(0);
            sum.saturating_add(scaled(least, part, i128::from(PARTS)))
        })
    }

    /// What the machines that may fail are worth at the least, where there are at least `low` of each kind.
    fn lost(&self, prices: &[i128], span: &Span) -> i128 {
        let mut sure: Vec<(i128, u32)> = prices.iter().copied().zip(span.low.iter().copied()).collect();
        sure.sort_unstable_by(|a, b| b.cmp(a));
        let (mut left, mut lost) = (self.survive, 0_i128);
        for (price, n) in sure {
            let taken = left.min(n);
            lost = lost.saturating_add(price.saturating_mul(i128::from(taken)));
            left -= taken;
        }
        let any = prices.iter().zip(&span.high).filter(|(_, high)| **high > 0).map(|(p, _)| *p).min();
        lost.saturating_add(any.unwrap_or(0).saturating_mul(i128::from(left)))
    }

    /// No machines within `span` that do cost less, whatever the prices; `None` if these bound nothing.
    #[cfg(test)]
    pub fn bound(&self, prices: &[i128], span: &Span) -> Option<i128> {
        self.bound_at((self.worth(prices, false), self.worth(prices, true)), prices, span)
    }

    /// The same, with what all classes are worth at the prices, and in a failure.
    pub fn bound_at(&self, worth: (i128, i128), prices: &[i128], span: &Span) -> Option<i128> {
        let mut bound = worth.0;
        if self.survive > 0 {
            bound = bound.max(worth.1.saturating_add(self.lost(prices, span)));
        }
        for (kind, price) in prices.iter().enumerate() {
            // What a machine costs less than it is worth is a gain, as often as it may be bought.
            let (mut before, low, high) = (0_u32, span.low[kind], span.high[kind]);
            for offer in &self.offers[kind] {
                let after = before.saturating_add(offer.most);
                let sure = low.clamp(before, after) - before;
                let maybe = high.clamp(before, after) - before;
                let gain = offer.price.saturating_sub(*price);
                if gain < 0 && offer.most == u32::MAX && high == u32::MAX {
                    return None;
                }
                let taken = if gain < 0 { maybe } else { sure };
                bound = bound.saturating_add(gain.saturating_mul(i128::from(taken)));
                before = after;
            }
        }
        Some(bound)
    }

    /// The same by the fewest machines that there must be.
    pub fn bound_by_number(&self, span: &Span) -> i128 {
        let mut spare: Vec<(i128, u32)> = Vec::new();
        let (mut cost, mut sure) = (0_i128, 0_u32);
        for (kind, offers) in self.offers.iter().enumerate() {
            cost = cost.saturating_add(self.cost_of(kind, span.low[kind]).unwrap_or(i128::MAX));
            sure = sure.saturating_add(span.low[kind]);
            let cheapest = offers.first().map_or(0, |o| o.price);
            spare.push((cheapest, span.high[kind] - span.low[kind]));
        }
        spare.sort_unstable();
        let mut left = self.least.saturating_sub(sure);
        for (price, n) in spare {
            let taken = left.min(n);
            cost = cost.saturating_add(price.saturating_mul(i128::from(taken)));
            left -= taken;
        }
        if left > 0 { i128::MAX } else { cost }
    }

    /// Whether no numbers within `span` do, by prices that say so.
    pub fn refuted(&self, prices: &[i128], span: &Span) -> bool {
        self.refuted_at((self.worth(prices, false), self.worth(prices, true)), prices, span)
    }

    /// The same, with what all classes are worth at the prices, and in a failure.
    pub fn refuted_at(&self, worth: (i128, i128), prices: &[i128], span: &Span) -> bool {
        let all = |lost: i128| {
            let there = prices.iter().zip(&span.high).fold(0_i128, |sum, (price, n)| {
                let n = if *n == u32::MAX && *price > 0 { i128::MAX } else { i128::from(*n) };
                sum.saturating_add(price.saturating_mul(n))
            });
            there.saturating_sub(lost)
        };
        // What is left after the loss of the dearest only grows with more machines, so that most of it is left of the most there may be.
        all(0) < worth.0 || self.survive > 0 && all(self.dearest(prices, &span.high)) < worth.1
    }

    /// What as many machines as may fail are worth, of those with the highest prices.
    fn dearest(&self, prices: &[i128], counts: &[u32]) -> i128 {
        let mut there: Vec<(i128, u32)> = prices.iter().copied().zip(counts.iter().copied()).collect();
        there.sort_unstable_by(|a, b| b.cmp(a));
        let mut left = self.survive;
        there.into_iter().fold(0, |sum: i128, (price, n)| {
            let taken = left.min(n);
            left -= taken;
            sum.saturating_add(price.saturating_mul(i128::from(taken)))
        })
    }

    /// For each class the kinds that serve it, with the machines that all of it takes.
    pub fn loads(&self, part: u64) -> Vec<Vec<(usize, f64)>> {
        let part = part as f64 / PARTS as f64;
        let of = |(class, demand): (usize, &u64)| {
            let on = self.rates.iter().enumerate().filter(|(_, rates)| rates[class] > 0);
            on.map(|(kind, rates)| (kind, *demand as f64 * part / rates[class] as f64)).collect()
        };
        self.demands.iter().enumerate().map(of).collect()
    }

    /// Whether so many machines carry a part of all classes, with none failing.
    pub fn carry(&self, counts: &[u32], part: u64) -> Verdict {
        self.carry_from(counts, part, &mut Start::default())
    }

    /// The same, from where a problem that is nearly the same ended, and up to where this one does.
    pub fn carry_from(&self, counts: &[u32], part: u64, start: &mut Start) -> Verdict {
        let curve = |n: &u32| match n {
            0 => Curve { ends: vec![f64::INFINITY], slopes: vec![1.0] },
            n => Curve { ends: vec![f64::from(*n), f64::INFINITY], slopes: vec![0.0, 1.0] },
        };
        let curves: Vec<Curve> = counts.iter().map(curve).collect();
        let found = lp::solve(&self.loads(part), curves, start);
        *start = found.end;
        // What is over by so little that it may be is left to integers.
        let allowed = 1.0 + 2.0 / ALLOWANCE as f64;
        let over = found.loads.iter().zip(counts).any(|(load, n)| *load > f64::from(*n) * allowed + 1e-7);
        if !over {
            let routing = rounded(&found.shares);
            if self.carried(&routing, counts, part) {
                return Verdict::Does(routing);
            }
        }
        let most = found.prices.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let whole = |price: &f64| (price / most * (1_u64 << 40) as f64).max(0.0).floor() as i128;
        let prices: Vec<i128> = found.prices.iter().map(whole).collect();
        let there = prices.iter().zip(counts).map(|(p, n)| p * i128::from(*n)).sum::<i128>();
        let failing = part != PARTS;
        if there < self.worth(&prices, failing) { Verdict::DoesNot(prices) } else { Verdict::Unclear }
    }

    /// Of each kind the load of a routing, in parts of a machine, rounded up.
    pub fn load_of(&self, routing: &Routing, part: u64) -> Vec<i128> {
        let mut loads = vec![0_i128; self.kinds()];
        for ((class, parts), demand) in routing.iter().enumerate().zip(&self.demands) {
            for (kind, share) in parts {
                let rate = i128::from(self.rates[*kind][class]);
                let whole =
                    (i128::from(*demand) * i128::from(part) + i128::from(PARTS) - 1) / i128::from(PARTS);
                let of = scaled(whole * i128::from(*share), LOAD, rate * i128::from(PARTS));
                loads[*kind] += if rate > 0 { of + 1 } else { i128::MAX / 1_000_000 };
            }
        }
        loads
    }

    fn carried(&self, routing: &Routing, counts: &[u32], part: u64) -> bool {
        let room = |n: u32| i128::from(n) * LOAD / ALLOWANCE * (ALLOWANCE + 1);
        let whole = routing.iter().all(|parts| parts.iter().map(|(_, share)| *share).sum::<u64>() == PARTS);
        whole && self.load_of(routing, part).iter().zip(counts).all(|(load, n)| *load <= room(*n))
    }

    /// The machines that may fail, `lost` of each kind, and whether the rest does: of all ways to lose them, the first that says no.
    pub fn survives(&self, counts: &[u32], known: &mut Vec<Vec<i128>>) -> bool {
        if self.survive == 0 {
            return true;
        }
        if counts.iter().map(|n| u64::from(*n)).sum::<u64>() <= u64::from(self.survive) {
            return false;
        }
        let mut left = counts.to_vec();
        self.each_loss(&mut left, 0, self.survive, known)
    }

    fn each_loss(&self, left: &mut Vec<u32>, from: usize, lost: u32, known: &mut Vec<Vec<i128>>) -> bool {
        if lost == 0 {
            return match self.carry(left, self.capacity) {
                Verdict::Does(_) => true,
                Verdict::DoesNot(prices) => {
                    known.push(prices);
                    false
                }
                Verdict::Unclear => false,
            };
        }
        let Some(kind) = (from..left.len()).find(|kind| left[*kind] > 0) else { return true };
        // All of what is lost is of this kind and later ones; of this one any number.
        let there = left[kind];
        let later: u32 = left[kind + 1..].iter().fold(0, |sum, n| sum.saturating_add(*n));
        for own in lost.saturating_sub(later)..=lost.min(there) {
            left[kind] = there - own;
            let does = self.each_loss(left, kind + 1, lost - own, known);
            left[kind] = there;
            if !does {
                return false;
            }
        }
        true
    }
}

/// Shares in whole parts: all but the largest are rounded down, so that no small pool is asked for more than it has.
fn rounded(shares: &[Vec<(usize, f64)>]) -> Routing {
    let of = |parts: &Vec<(usize, f64)>| {
        let largest = parts.iter().enumerate().max_by(|a, b| a.1.1.total_cmp(&b.1.1)).map_or(0, |(i, _)| i);
        let mut whole: Vec<(usize, u64)> = parts
            .iter()
            .map(|(kind, share)| (*kind, (share.clamp(0.0, 1.0) * PARTS as f64).floor() as u64))
            .collect();
        let others: u64 = whole.iter().enumerate().filter(|(i, _)| *i != largest).map(|(_, (_, n))| *n).sum();
        if let Some((_, share)) = whole.get_mut(largest) {
            *share = PARTS.saturating_sub(others);
        }
        whole.retain(|(_, share)| *share > 0);
        whole
    };
    shares.iter().map(of).collect()
}
