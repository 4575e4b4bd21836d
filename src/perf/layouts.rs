//! Which layouts of a replica are worth trying.

use super::types::Layout;
use crate::catalog::ModelArch;

/// As [`super::layouts()`].
pub(crate) fn layouts(arch: &ModelArch, accelerators: u32, machines: u32) -> Vec<Layout> {
    let mut all = Vec::new();
    let divides = |tp: u32| {
        arch.heads > 0
            && arch.heads.is_multiple_of(tp)
            && (arch.mla.is_some()
                || arch.kv_heads == 0
                || arch.kv_heads.is_multiple_of(tp)
                || tp.is_multiple_of(arch.kv_heads))
            && (arch.ffn == 0 || arch.ffn.is_multiple_of(tp))
    };
    let fits = |tp: &u32| *tp <= accelerators && divides(*tp);
    let cuts = |cut: u32| arch.moe.as_ref().is_none_or(|m| m.intermediate.is_multiple_of(cut));
    let spreads = |ep: u32| arch.moe.as_ref().is_some_and(|m| m.experts.is_multiple_of(ep));
    let sizes: Vec<u32> = [1, 2, 4, 8].into_iter().filter(fits).collect();
    for &tp in &sizes {
        if cuts(tp) {
            all.push(Layout { tp, pp: 1, dp: 1, ep: 1 });
        }
        if tp > 1 && spreads(tp) {
            all.push(Layout { tp, pp: 1, dp: 1, ep: tp });
        }
    }
    if arch.moe.is_some() {
        for dp in [2, 4, 8] {
            if dp <= accelerators && spreads(dp) {
                all.push(Layout { tp: 1, pp: 1, dp, ep: dp });
            }
        }
    }
    let Some(&widest) = sizes.last() else { return all };
    // A pipeline inside a machine only where tensor parallelism cannot go on.
    for pp in [2, 4, 8] {
        if widest * pp <= accelerators && pp <= arch.layers && cuts(widest) {
            all.push(Layout { tp: widest, pp, dp: 1, ep: 1 });
        }
    }
    for count in 2..=machines.min(8) {
        let stages = count * (accelerators / widest).max(1);
        if stages <= arch.layers && cuts(widest) {
            all.push(Layout { tp: widest, pp: stages, dp: 1, ep: 1 });
        }
        let ep = count * widest;
        if arch.moe.is_some() && spreads(ep) {
            all.push(Layout { tp: widest, pp: 1, dp: count, ep });
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}
