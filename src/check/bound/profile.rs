//! The least that machines of a service with a profile cost: the tree of its proof covers all their numbers, and at each leaf the prices
//! bound those in it (decision 20), worked out here from the profile, the rows on sale and the spec alone. Of the proof only which numbers are
//! divided where, and the prices, are taken: wrong ones give a lower bound, never a higher one.

use rhumb_api::Cloud;

use super::super::day::WEEK;
use super::super::profile::OVER;
use super::super::subject::Work;
use super::field::{self, Site};
use super::prices::Prices;
use crate::placement::{MixBranch, SizeMix, World};
use crate::spec::{Profiled, Spec};

/// A whole.
const WHOLE: i128 = 1_000_000_000;
/// Prices of a proof are whole multiples of this.
const UNIT: i128 = 16_384;
/// More than anything costs: what is in such a leaf does not do.
const NEVER: i128 = i128::MAX / 4;

/// Everything on sale that was measured.
pub(super) struct Field<'a> {
    world: &'a World,
    asked: &'a Profiled,
    sites: Vec<Site>,
    /// Offerings of the catalogue.
    pub all: u64,
    /// Those of machines that were measured and may be bought.
    pub running: u64,
}

/// A kind of machine: what it sustains of each class, and its price at each site with how many there may be, cheapest first.
struct Kind {
    rates: Vec<i128>,
    offers: Vec<(i128, u32)>,
}

/// From and to how many machines of each kind.
type Span = Vec<(u32, u32)>;

struct Question<'a> {
    asked: &'a Profiled,
    demands: Vec<i128>,
    kinds: Vec<Kind>,
    part: i128,
}

impl<'a> Field<'a> {
    pub fn of(spec: &Spec, world: &'a World, work: &'a Work<'a>, asked: &'a Profiled) -> Self {
        let measured = |s: &Site| {
            let kind = &world.catalog.instance_types[s.instance_type];
            s.base.is_some() && asked.profile.rates.contains_key(&(kind.cloud, kind.name.clone()))
        };
        let sites: Vec<Site> = field::sites(spec, world, work).into_iter().filter(measured).collect();
        Field {
            world,
            asked,
            all: world.catalog.offerings.iter().filter(|o| field::exists_for(work, o)).count() as u64,
            running: sites.iter().map(|s| s.offerings).sum(),
            sites,
        }
    }

    /// The least at these prices by the proof of that number; `None` if that is none, or not about these machines.
    pub fn least(&self, prices: &Prices, mix: Option<&SizeMix>, number: usize) -> Option<i128> {
        let mix = mix?;
        let (kinds, names) = self.kinds(prices);
        let told = mix.kinds.iter().map(|k| (k.cloud, k.instance_type.clone()));
        if !told.eq(names) {
            return None;
        }
        let asked = self.asked;
        let demand = |share: &u64| {
            let exact = i128::from(asked.peak) * i128::from(*share);
            exact / WHOLE + i128::from(exact % WHOLE > 0)
        };
        let question = Question {
            asked,
            demands: asked.classes.values().map(demand).collect(),
            kinds,
            part: ((asked.capacity * WHOLE as f64).round() as i128).clamp(1, WHOLE),
        };
        let proof = mix.proofs.get(number)?;
        let prices: Vec<Vec<i128>> = proof
            .prices
            .iter()
            .map(|all| all.iter().map(|p| i128::from(*p).max(0) * UNIT).collect())
            .collect();
        if prices.iter().any(|all: &Vec<i128>| all.len() != question.kinds.len()) {
            return None;
        }
        let least = question.covered(&proof.tree, &prices)?;
        // Every cost is a sum of prices, and so a multiple of what divides them all.
        let step = question
            .kinds
            .iter()
            .flat_map(|k| &k.offers)
            .fold(0, |of, (price, _)| divisor(of, *price))
            .max(1);
        Some(if least >= NEVER { NEVER } else { -(-least).div_euclid(step) * step })
    }

    fn kinds(&self, prices: &Prices) -> (Vec<Kind>, Vec<(Cloud, String)>) {
        let (mut kinds, mut names) = (Vec::new(), Vec::new());
        for ((cloud, name), rows) in &self.asked.profile.rates {
            let of = |s: &&Site| {
                let kind = &self.world.catalog.instance_types[s.instance_type];
                (kind.cloud, &kind.name) == (*cloud, name)
            };
            let mut offers: Vec<(i128, u32)> = Vec::new();
            for site in self.sites.iter().filter(of) {
                let machine = prices.machine(site, prices.tolls(self.world, site), WEEK);
                let most =
                    site.quotas.iter().filter(|q| q.base > 0.0).map(|q| ((q.limit + 1e-9) / q.base).floor());
                let most = most.fold(f64::from(u32::MAX), f64::min).max(0.0) as u32;
                offers.extend(machine.base.map(|price| (price, most)));
            }
            if offers.is_empty() {
                continue;
            }
            // What a quota leaves none of, and what stands behind as many as one likes of a cheaper one, is in no least cost, so that it does not
            // divide one either.
            offers.retain(|(_, most)| *most > 0);
            offers.sort_unstable();
            let endless = offers.iter().position(|(_, most)| *most == u32::MAX);
            offers.truncate(endless.map_or(offers.len(), |i| i + 1));
            let rate = |class: &String| rows.get(class).map_or(0, |row| i128::from(row.micro));
            kinds.push(Kind { rates: self.asked.classes.keys().map(rate).collect(), offers });
            names.push((*cloud, name.clone()));
        }
        (kinds, names)
    }
}

fn divisor(a: i128, b: i128) -> i128 {
    if a == 0 { b } else { divisor(b % a, a) }
}

/// `a * b / c`, rounded down.
fn part_of(a: i128, b: i128, c: i128) -> i128 {
    a / c * b + (a % c) * b / c
}

impl Question<'_> {
    /// The least of all leaves; `None` if the tree is none that covers all numbers.
    fn covered(&self, tree: &[MixBranch], prices: &[Vec<i128>]) -> Option<i128> {
        let mut least = NEVER;
        let mut open: Vec<Span> = vec![self.kinds.iter().map(|k| (0, k.there())).collect()];
        for branch in tree {
            let span = open.pop()?;
            match branch.kind {
                None => least = least.min(self.bound(prices.get(branch.at as usize)?, span)),
                Some(kind) => {
                    let (low, high) = *span.get(kind as usize)?;
                    let (mut below, mut above) = (span.clone(), span);
                    below[kind as usize] = (low, high.min(branch.at));
                    above[kind as usize] = (low.max(branch.at.checked_add(1)?), high);
                    open.push(above);
                    open.push(below);
                }
            }
        }
        open.is_empty().then_some(least)
    }

    /// No numbers in a span that do cost less.
    fn bound(&self, prices: &[i128], mut span: Span) -> i128 {
        let sure: u64 = span.iter().map(|(low, _)| u64::from(*low)).sum();
        if let Some(most) = self.asked.most_machines {
            let Some(spare) = u64::from(most).checked_sub(sure) else { return NEVER };
            for (low, high) in &mut span {
                *high = (*high).min(low.saturating_add(u32::try_from(spare).unwrap_or(u32::MAX)));
            }
        }
        if span.iter().any(|(low, high)| low > high) {
            return NEVER;
        }
        // What all machines are worth at the prices: at least what all classes are, and in a loss what is left of them.
        let mut worth = self.worth(prices, WHOLE);
        if self.asked.survive > 0 {
            worth = worth.max(self.worth(prices, self.part) + self.lost(prices, &span));
        }
        let most: i128 = prices.iter().zip(&span).map(|(price, (_, high))| times(*price, *high)).fold(0, add);
        if most < worth {
            return NEVER;
        }
        // Of more machines more is left after a loss, whichever it is: of the most that there may be it is not enough.
        if self.asked.survive > 0 {
            let mut dearest: Vec<(i128, u32)> =
                prices.iter().copied().zip(span.iter().map(|(_, high)| *high)).collect();
            dearest.sort_unstable();
            let (mut fail, mut gone) = (self.asked.survive, 0);
            while let Some((price, n)) = dearest.pop() {
                gone = add(gone, times(price, n.min(fail)));
                fail -= n.min(fail);
            }
            if most < NEVER && most - gone < self.worth(prices, self.part) {
                return NEVER;
            }
        }
        let mut by_prices = Some(worth);
        for ((kind, price), (low, high)) in self.kinds.iter().zip(prices).zip(&span) {
            by_prices = by_prices.zip(kind.least_less(*price, *low, *high)).map(|(sum, own)| sum + own);
        }
        by_prices.unwrap_or(0).max(self.by_number(&span))
    }

    fn worth(&self, prices: &[i128], part: i128) -> i128 {
        let mut sum = 0;
        for (class, demand) in self.demands.iter().enumerate() {
            let serving = self.kinds.iter().zip(prices).filter(|(k, _)| k.rates[class] > 0);
            // A load may be over by the allowance.
            let each = serving.map(|(k, price)| part_of(*price, demand * OVER, k.rates[class] * (OVER + 1)));
            sum += part_of(each.min().unwrap_or(0), part, WHOLE);
        }
        sum
    }

    /// What the dearest machines are worth that may fail: first those that are there for sure, then any.
    fn lost(&self, prices: &[i128], span: &Span) -> i128 {
        let mut there: Vec<(i128, u32)> =
            prices.iter().zip(span).map(|(price, (low, _))| (*price, *low)).collect();
        there.sort_unstable();
        let (mut left, mut sum) = (self.asked.survive, 0);
        while let Some((price, n)) = there.pop() {
            sum += price * i128::from(n.min(left));
            left -= n.min(left);
        }
        let any = prices.iter().zip(span).filter(|(_, (_, high))| *high > 0).map(|(price, _)| *price).min();
        sum + any.unwrap_or(0) * i128::from(left)
    }

    /// What the fewest machines cost that there are for sure, and that there must be.
    fn by_number(&self, span: &Span) -> i128 {
        let mut sum = 0;
        let mut spare: Vec<(i128, u32)> = Vec::new();
        let mut sure = 0_u32;
        for (kind, (low, high)) in self.kinds.iter().zip(span) {
            let (mut before, low, high) = (0_u32, *low, *high);
            for (price, most) in &kind.offers {
                let after = before.saturating_add(*most);
                sum += price * i128::from(low.clamp(before, after) - before);
                spare.push((*price, high.clamp(before, after) - low.clamp(before, after)));
                before = after;
            }
            sure = sure.saturating_add(low);
        }
        spare.sort_unstable();
        // Of as many as may fail nothing is left.
        let fewest = if self.asked.survive > 0 { self.asked.survive.saturating_add(1) } else { 0 };
        let mut missing = self.asked.least_machines.max(fewest).saturating_sub(sure);
        for (price, n) in spare {
            sum += price * i128::from(n.min(missing));
            missing -= n.min(missing);
        }
        if missing > 0 { NEVER } else { sum }
    }
}

impl Kind {
    /// As many as may be bought.
    fn there(&self) -> u32 {
        self.offers.iter().fold(0, |sum, (_, most)| sum.saturating_add(*most))
    }

    /// The least, over numbers of machines from `low` to `high`, of what they cost less what they are worth; `None` if it has no end. The cost is
    /// convex in the number, so it is at an end of the span or where one offer ends.
    fn least_less(&self, price: i128, low: u32, high: u32) -> Option<i128> {
        let mut ends = vec![low, high];
        let mut end = 0_u32;
        for (_, most) in &self.offers {
            end = end.saturating_add(*most);
            ends.push(end.clamp(low, high));
        }
        let endless = |(each, _): &&(i128, u32)| *each < price;
        let unlimited = self.offers.iter().find(|(_, most)| *most == u32::MAX);
        if high == u32::MAX && unlimited.as_ref().is_some_and(endless) {
            return None;
        }
        let at = |n: u32| {
            let (mut left, mut cost) = (n, 0_i128);
            for (each, most) in &self.offers {
                cost = add(cost, times(*each, left.min(*most)));
                left -= left.min(*most);
            }
            cost - times(price, n)
        };
        ends.retain(|n| *n != u32::MAX);
        ends.into_iter().map(at).min()
    }
}

/// No more than [`NEVER`].
fn times(price: i128, n: u32) -> i128 {
    price.saturating_mul(i128::from(n)).min(NEVER)
}

fn add(a: i128, b: i128) -> i128 {
    a.saturating_add(b).min(NEVER)
}
