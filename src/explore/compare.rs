//! What was chosen, short enough to be compared, and what differs between two choices.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Cloud, Money, Purchase};

use crate::perf::Layout;
use crate::placement::{Infeasible, Placement, Pool, WorkloadPlacement, names};
use crate::spec::{EngineName, Quantization};

/// One pool of a choice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    /// The cloud.
    pub cloud: Cloud,
    /// Region id.
    pub region: String,
    /// Instance type.
    pub instance_type: String,
    /// The variant of a measured model, which has no precision.
    pub variant: Option<String>,
    /// How weights are stored.
    pub quantization: Quantization,
    /// How a replica is cut.
    pub layout: Layout,
    /// Machines of its own by purchase option; none where services share them.
    pub machines: Machines,
    /// How many replicas are on machines that services share, and how these are bought.
    pub shared: Option<(Purchase, u32)>,
}

/// How many machines, by purchase option, in its order.
pub type Machines = Vec<(Purchase, u32)>;

/// What may differ between two choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// Other clouds or regions.
    Region,
    /// Other sites: a federation loses one that gets too slow.
    Sites,
    /// Other instance types.
    Type,
    /// Other precisions.
    Precision,
    /// Replicas are cut in another way.
    Layout,
    /// Other purchase options.
    Purchase,
    /// On machines that services share, or no longer.
    Sharing,
    /// Another number of machines, or of replicas on shared ones.
    Count,
}

impl Aspect {
    /// The name shown to users.
    pub const fn as_str(self) -> &'static str {
        match self {
            Aspect::Region => "region",
            Aspect::Sites => "sites",
            Aspect::Type => "type",
            Aspect::Precision => "precision",
            Aspect::Layout => "layout",
            Aspect::Purchase => "purchase",
            Aspect::Sharing => "sharing",
            Aspect::Count => "count",
        }
    }
}

fn of(pool: &Pool) -> Choice {
    Choice {
        cloud: pool.cloud,
        region: pool.region.clone(),
        instance_type: pool.instance_type.clone(),
        variant: (pool.engine.name == EngineName::Own).then(|| pool.variant.clone()),
        quantization: pool.quantization,
        layout: pool.layout,
        machines: pool.machines.iter().map(|m| (m.purchase, m.count)).collect(),
        shared: pool.shared.is_some().then(|| (pool.candidate().purchase, pool.replicas)),
    }
}

/// What was chosen for a workload, in the order of its pools.
pub fn choice(placed: &WorkloadPlacement) -> Vec<Choice> {
    placed.pools.iter().map(of).collect()
}

/// What was chosen for each workload, by its address; the parts of a service are one.
pub fn choices(placement: &Placement) -> BTreeMap<String, Vec<Choice>> {
    let mut all: BTreeMap<String, Vec<Choice>> = BTreeMap::new();
    for (address, placed) in &placement.workloads {
        all.entry(placement.whole_of(address).to_owned()).or_default().extend(choice(placed));
    }
    all
}

/// What differs between two choices; empty if nothing does.
pub fn compare(before: &[Choice], after: &[Choice]) -> BTreeSet<Aspect> {
    fn differs<T: Ord, I: IntoIterator<Item = T>>(
        before: &[Choice],
        after: &[Choice],
        of: impl Fn(&Choice) -> I,
    ) -> bool {
        let set = |list: &[Choice]| list.iter().flat_map(&of).collect::<BTreeSet<T>>();
        set(before) != set(after)
    }
    let place = |c: &Choice| Some((c.cloud, c.region.clone()));
    let count = |list: &[Choice]| {
        let own = list.iter().flat_map(|c| &c.machines).map(|m| m.1).sum::<u32>();
        (own, list.iter().filter_map(|c| c.shared).map(|s| s.1).sum::<u32>())
    };
    let purchases = |c: &Choice| -> Vec<Purchase> {
        c.machines.iter().map(|m| m.0).chain(c.shared.map(|s| s.0)).collect()
    };
    let sharing = differs(before, after, |c| vec![c.shared.is_some()]);
    let mut found = BTreeSet::new();
    let aspects = [
        (Aspect::Region, differs(before, after, |c| place(c).filter(|(cloud, _)| *cloud != Cloud::Site))),
        (Aspect::Sites, differs(before, after, |c| place(c).filter(|(cloud, _)| *cloud == Cloud::Site))),
        (Aspect::Type, differs(before, after, |c| vec![(c.cloud, c.instance_type.clone())])),
        (Aspect::Precision, differs(before, after, |c| vec![(c.quantization, c.variant.clone())])),
        (Aspect::Layout, differs(before, after, |c| vec![c.layout])),
        (Aspect::Purchase, differs(before, after, purchases)),
        (Aspect::Sharing, sharing),
        // Machines and replicas on shared ones do not compare.
        (Aspect::Count, !sharing && count(before) != count(after)),
    ];
    found.extend(aspects.into_iter().filter(|(_, differ)| *differ).map(|(aspect, _)| aspect));
    // The same sets in other pairs: some pool went from one to the other.
    if found.is_empty() && before != after {
        found.insert(if before.len() == after.len() { Aspect::Count } else { Aspect::Region });
    }
    found
}

/// Sites of one choice that another does not have: `h-1, h-2`, or `h-1 and 99 others`; `None` where it has all.
pub fn sites_lost(before: &[Choice], after: &[Choice]) -> Option<String> {
    let sites = |list: &[Choice]| {
        let at = list.iter().filter(|c| c.cloud == Cloud::Site).map(|c| c.region.clone());
        at.collect::<BTreeSet<String>>()
    };
    let lost: Vec<String> = sites(before).difference(&sites(after)).cloned().collect();
    (!lost.is_empty()).then(|| names(&lost))
}

/// Dollars a month of all workloads, as planned. Lines that are not priced are left out.
pub fn cost(placement: &Placement) -> Money {
    placement.workloads.values().map(|w| w.cost.expected_per_month).sum()
}

/// What a refusal that was not proven ends with.
pub(super) const NOT_PROVEN: &str = " (not proven)";

/// The constraints of a refusal, by workload: `services.chat: budget, ttft`; and whether it was not proven.
pub fn refusal(why: &Infeasible) -> String {
    let told = why.workloads.iter().map(|w| {
        let names: BTreeSet<&str> = w.conflict.iter().map(|r| r.constraint).collect();
        format!("{}: {}", w.address, names.into_iter().collect::<Vec<_>>().join(", "))
    });
    let told = told.collect::<Vec<_>>().join("; ");
    if why.proven { told } else { format!("{told}{NOT_PROVEN}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(region: &str, kind: &str, machines: &[(Purchase, u32)]) -> Choice {
        Choice {
            cloud: Cloud::Aws,
            region: region.into(),
            instance_type: kind.into(),
            variant: None,
            quantization: Quantization::Fp8,
            layout: Layout { tp: 1, pp: 1, dp: 1, ep: 1 },
            machines: machines.to_vec(),
            shared: None,
        }
    }

    #[test]
    fn each_difference_has_its_name() {
        let now = [pool("eu-west-1", "p5.48xlarge", &[(Purchase::OnDemand, 2)])];
        let names = |after: &[Choice]| -> Vec<&str> {
            compare(&now, after).into_iter().map(Aspect::as_str).collect()
        };
        assert_eq!(names(&now), [""; 0]);
        assert_eq!(names(&[pool("eu-west-1", "p5.48xlarge", &[(Purchase::OnDemand, 3)])]), ["count"]);
        assert_eq!(
            names(&[pool("eu-west-2", "p4d.24xlarge", &[(Purchase::OnDemand, 2)])]),
            ["region", "type"]
        );
        assert_eq!(
            names(&[pool("eu-west-1", "p5.48xlarge", &[(Purchase::OnDemand, 1), (Purchase::Spot, 1)])]),
            ["purchase"]
        );
        let at_site = |site: &str| Choice { cloud: Cloud::Site, region: site.into(), ..now[0].clone() };
        let (all, few) = ([at_site("far"), at_site("near")], [at_site("near"), at_site("near")]);
        assert_eq!(compare(&all, &few), BTreeSet::from([Aspect::Sites]));
        assert_eq!(sites_lost(&all, &few).as_deref(), Some("far"));
        assert_eq!(sites_lost(&few, &all), None);
        assert_eq!(names(&[at_site("near")]), ["region", "sites", "type"]);
        let int4 = Choice { quantization: Quantization::Int4, ..now[0].clone() };
        assert_eq!(names(&[int4]), ["precision"]);
        let on_shared =
            |n| Choice { machines: Vec::new(), shared: Some((Purchase::OnDemand, n)), ..now[0].clone() };
        assert_eq!(compare(&[on_shared(2)], &[on_shared(3)]), BTreeSet::from([Aspect::Count]));
        assert_eq!(names(&[on_shared(2)]), ["sharing"]);
        // Two pools that swap their sizes have the same sets and the same sum.
        let two =
            |a, b| [pool("a", "x", &[(Purchase::OnDemand, a)]), pool("b", "x", &[(Purchase::OnDemand, b)])];
        assert_eq!(compare(&two(1, 2), &two(2, 1)), BTreeSet::from([Aspect::Count]));
    }
}
