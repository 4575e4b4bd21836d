//! The order of steps.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::ResourceAddr;

/// All addresses, each after those that it needs; the smallest first where that leaves it open.
///
/// Needs that are not in the map are met already. Members of a cycle (a damaged state could hold one) come
/// in the order of their addresses once nothing else is left.
pub fn dependencies_first<'a>(
    needs: &BTreeMap<&'a ResourceAddr, &'a [ResourceAddr]>,
) -> Vec<&'a ResourceAddr> {
    let mut missing: BTreeMap<&ResourceAddr, BTreeSet<&ResourceAddr>> = BTreeMap::new();
    let mut needed_by: BTreeMap<&ResourceAddr, Vec<&'a ResourceAddr>> = BTreeMap::new();
    for (addr, of) in needs {
        let inside: BTreeSet<&ResourceAddr> =
            of.iter().filter(|n| n != addr && needs.contains_key(n)).collect();
        for need in &inside {
            needed_by.entry(need).or_default().push(addr);
        }
        missing.insert(addr, inside);
    }
    let mut ready: BTreeSet<&'a ResourceAddr> =
        needs.keys().copied().filter(|a| missing.get(a).is_none_or(BTreeSet::is_empty)).collect();
    let mut waiting: BTreeSet<&'a ResourceAddr> =
        needs.keys().copied().filter(|a| !ready.contains(a)).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(next) = ready.pop_first().or_else(|| waiting.pop_first()) {
        order.push(next);
        for dependant in needed_by.get(next).into_iter().flatten() {
            let Some(open) = missing.get_mut(dependant) else { continue };
            open.remove(next);
            if open.is_empty() && waiting.remove(dependant) {
                ready.insert(dependant);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(edges: &[(&str, &[&str])]) -> Vec<String> {
        let addr = |t: &str| ResourceAddr::parse(t).unwrap();
        let owned: BTreeMap<ResourceAddr, Vec<ResourceAddr>> =
            edges.iter().map(|(a, n)| (addr(a), n.iter().map(|t| addr(t)).collect())).collect();
        let borrowed = owned.iter().map(|(a, n)| (a, n.as_slice())).collect();
        dependencies_first(&borrowed).into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn needs_come_first_then_the_smallest() {
        assert_eq!(
            order(&[("a", &["c", "gone"]), ("b", &[]), ("c", &["d"]), ("d", &[])]),
            ["b", "d", "c", "a"]
        );
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn a_cycle_ends() {
        assert_eq!(order(&[("a", &["b"]), ("b", &["a"]), ("c", &["c"])]), ["c", "a", "b"]);
    }
}
