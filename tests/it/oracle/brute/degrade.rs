//! Pools with a stand-in, from the text of `src/decisions/0024-a-smaller-model-stands-in.md`: every number of machines that carries the peak, with
//! every pool of every smaller model in the region that answers for what is missing.

use rhumb::perf::RequestShape;

use super::carbon::allowed;
use super::{Choice, MOST_MACHINES, Search, Way, prices, quotas, ways};

impl Search<'_> {
    pub(super) fn with_stand_in(
        &self,
        way: &Way,
        region: usize,
        (share, outside, r): (f64, f64, usize),
        network: &[f64],
    ) -> Vec<Choice> {
        let (s, survive, during) = (self.s, self.s.survive, self.s.during_failure);
        let mut found = Vec::new();
        let Some(degrade) = &s.degrade else { return found };
        let (per, t) = (way.replicas_per_machine, &s.traffic);
        let shape = RequestShape { input: t.input, output: t.output, prefix_cached: t.prefix_cached };
        for m in 1..=MOST_MACHINES {
            let n = m * per;
            let rate = self.peak(way, n, share / r as f64);
            if !self.carries(way, n, rate, 1.0, network) {
                continue;
            }
            let lost = survive.replica.max(survive.machine * per);
            let left = n.saturating_sub(lost);
            let asked = rate * during.capacity;
            let factor = during.slo_factor;
            if lost == 0 || left > 0 && self.carries(way, left, asked, factor, network) {
                break;
            }
            let rest = |p: u32| asked * f64::from(100 - p) / 100.0;
            let enough =
                |p: &u32| *p == 100 || left > 0 && self.carries(way, left, rest(*p), factor, network);
            let percent = (1..=100).find(enough).unwrap();
            let missing = asked * f64::from(percent) / 100.0;
            let all = self.smaller.get_or_init(|| {
                let models = degrade.to.iter().map(|to| &to.model);
                let of = |model: &String| ways(self.spec, self.world, model, &s.placement, &s.engine, &shape);
                models.flat_map(of).collect()
            });
            let cloud = self.world.catalog.regions[region].cloud;
            let here = |w: &&Way| self.world.catalog.instance_types[w.type_index].cloud == cloud;
            for other in all.iter().filter(here) {
                let does =
                    |k: &u32| self.carries(other, k * other.replicas_per_machine, missing, factor, network);
                let Some(k) = (1..=4 * MOST_MACHINES).find(does) else { continue };
                let Some((cost, _)) = prices(self.world, &s.purchase, way.type_index, region, m, 0) else {
                    continue;
                };
                let Some((beside, _)) = prices(self.world, &s.purchase, other.type_index, region, k, 0)
                else {
                    continue;
                };
                let mut taken = quotas(self.world, &s.purchase, way.type_index, region, m, 0);
                for (key, n) in quotas(self.world, &s.purchase, other.type_index, region, k, 0) {
                    *taken.entry(key).or_insert(0.0) += n;
                }
                taken.retain(|key, _| allowed(self.spec, self.world, key).is_some());
                let cost = cost + beside + self.transfer(region, rate, outside / share);
                found.push(Choice {
                    cost,
                    ceiling: cost,
                    peak: cost,
                    replicas: n,
                    most_replicas: n,
                    quotas: taken,
                });
            }
        }
        found
    }
}
