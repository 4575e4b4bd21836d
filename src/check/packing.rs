//! How many machines services share, and what is on each of them (decision 12): the rule, step by step.

/// Replicas that are put on shared machines one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Accelerators of one.
    pub each: u32,
    /// How many there are.
    pub replicas: u32,
    /// Most on one machine.
    pub per_machine: u32,
    /// Most in one zone, where a zone may fail.
    pub per_zone: Option<u32>,
}

/// Replicas of each item on every machine.
pub(super) type Machines = Vec<Vec<u32>>;

/// Replicas times machines beyond which nothing is put anywhere: it would take too long.
const MOST: u64 = 1 << 28;

/// The zones that so many machines are in.
pub(super) fn zones(of_region: Option<u32>, machines: u32) -> u32 {
    of_region.unwrap_or(1).min(machines).max(1)
}

/// What is on each of `machines` of `whole` accelerators, or the item that finds no machine. The items are in the order in
/// which they are taken.
pub(super) fn packed(
    items: &[Item],
    whole: u32,
    of_region: Option<u32>,
    machines: u32,
) -> Result<Machines, usize> {
    let zones = zones(of_region, machines) as usize;
    let mut free = vec![whole; machines as usize];
    let mut on = vec![vec![0; items.len()]; machines as usize];
    for (k, item) in items.iter().enumerate() {
        let mut in_zone = vec![0_u32; zones];
        for _ in 0..item.replicas {
            let fits = |i: &usize| {
                free[*i] >= item.each
                    && on[*i][k] < item.per_machine
                    && item.per_zone.is_none_or(|most| in_zone[*i % zones] < most)
            };
            let i = (0..free.len()).filter(fits).min_by_key(|i| (free[*i], *i)).ok_or(k)?;
            free[i] -= item.each;
            on[i][k] += 1;
            in_zone[i % zones] += 1;
        }
    }
    Ok(on)
}

/// The least number of machines on which every replica finds one, and what is on them; `None` if none does, or if it is too
/// much to look at.
pub(super) fn least(items: &[Item], whole: u32, of_region: Option<u32>) -> Option<Machines> {
    let replicas: u64 = items.iter().map(|i| u64::from(i.replicas)).sum();
    let fits = |i: &Item| i.each >= 1 && i.each <= whole && i.per_machine >= 1 && i.per_zone != Some(0);
    if !items.iter().all(fits) || replicas == 0 {
        return None;
    }
    let taken: u64 = items.iter().map(|i| u64::from(i.each) * u64::from(i.replicas)).sum();
    let apart = |i: &Item| i.replicas.div_ceil(i.per_machine);
    let fewest = items
        .iter()
        .map(apart)
        .max()
        .unwrap_or(1)
        .max(u32::try_from(taken.div_ceil(u64::from(whole))).unwrap_or(u32::MAX));
    // With as many machines in each zone as there are replicas, one is empty wherever the next replica may go.
    let most = u64::from(of_region.unwrap_or(1).max(1)).saturating_mul(replicas);
    (fewest..=most.min(u64::from(u32::MAX)) as u32)
        .take_while(|n| u64::from(*n).saturating_mul(replicas) <= MOST)
        .find_map(|n| packed(items, whole, of_region, n).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(each: u32, replicas: u32, per_machine: u32, per_zone: Option<u32>) -> Item {
        Item { each, replicas, per_machine, per_zone }
    }

    /// Numbers below a bound, always the same.
    fn random() -> impl FnMut(u32) -> u32 {
        let mut state = 12_u64;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % u64::from(below)) as u32
        }
    }

    /// The page, word by word: of all machines with room for the next replica, the one with the fewest free accelerators, the
    /// first of several. Everything is counted again from what is on the machines.
    fn slow(items: &[Item], whole: u32, of_region: Option<u32>, machines: u32) -> Option<Machines> {
        let zones = of_region.map_or(1, |z| z.min(machines));
        let mut on: Machines = (0..machines).map(|_| vec![0; items.len()]).collect();
        let next = items.iter().enumerate().flat_map(|(k, item)| (0..item.replicas).map(move |_| k));
        for k in next {
            let free = |m: &Vec<u32>| whole - m.iter().zip(items).map(|(n, item)| n * item.each).sum::<u32>();
            let mut chosen: Option<usize> = None;
            for i in 0..on.len() {
                let zone = i as u32 % zones;
                let there: u32 =
                    on.iter().enumerate().filter(|(j, _)| *j as u32 % zones == zone).map(|(_, m)| m[k]).sum();
                let room = free(&on[i]) >= items[k].each
                    && on[i][k] < items[k].per_machine
                    && items[k].per_zone.is_none_or(|most| there < most);
                if room && chosen.is_none_or(|c| free(&on[i]) < free(&on[c])) {
                    chosen = Some(i);
                }
            }
            on[chosen?][k] += 1;
        }
        Some(on)
    }

    /// Whether a packing keeps all that was asked for, however it was made.
    fn kept(items: &[Item], whole: u32, of_region: Option<u32>, on: &Machines) {
        let zones = of_region.map_or(1, |z| z.min(on.len() as u32)) as usize;
        for machine in on {
            assert!(machine.iter().zip(items).map(|(n, i)| n * i.each).sum::<u32>() <= whole, "overfull");
            assert!(machine.iter().zip(items).all(|(n, i)| *n <= i.per_machine), "too many of a pool");
        }
        for (k, item) in items.iter().enumerate() {
            assert_eq!(on.iter().map(|m| m[k]).sum::<u32>(), item.replicas, "replicas lost");
            for zone in 0..zones {
                let there: u32 = on.iter().skip(zone).step_by(zones).map(|m| m[k]).sum();
                assert!(item.per_zone.is_none_or(|most| there <= most), "an overfull zone");
            }
        }
    }

    #[test]
    fn the_rule_agrees_with_the_page_and_keeps_every_cap() {
        let mut next = random();
        let (mut looked, mut above) = (0, 0);
        for _ in 0..4_000 {
            let whole = [2, 3, 4, 6, 8][next(5) as usize];
            let of_region = [None, Some(1), Some(2), Some(3)][next(4) as usize];
            let mut items: Vec<Item> = (0..1 + next(4))
                .map(|_| {
                    let each = 1 + next(whole - 1);
                    let replicas = 1 + next(7);
                    let per_machine = 1 + next(whole / each);
                    let per_zone =
                        of_region.filter(|_| next(3) == 0).map(|z| replicas.div_ceil(z.min(replicas)));
                    item(each, replicas, per_machine, per_zone)
                })
                .collect();
            items.sort_by_key(|i| std::cmp::Reverse(i.each));
            let on = least(&items, whole, of_region).expect("some number of machines always does");
            let n = on.len() as u32;
            kept(&items, whole, of_region, &on);
            assert_eq!(slow(&items, whole, of_region, n).as_ref(), Some(&on), "{items:?} of {whole}");
            // The least by the rule: with every smaller number a replica finds no machine.
            for fewer in 1..n {
                assert_eq!(slow(&items, whole, of_region, fewer), None, "{items:?} of {whole} on {fewer}");
                assert!(packed(&items, whole, of_region, fewer).is_err());
            }
            looked += 1;
            let taken: u32 = items.iter().map(|i| i.each * i.replicas).sum();
            above += u32::from(n > taken.div_ceil(whole));
        }
        assert!(looked == 4_000 && above > 400, "{above} of {looked} need more than their accelerators");
    }

    #[test]
    fn nested_sizes_without_caps_leave_less_than_a_machine_free() {
        let mut next = random();
        for _ in 0..2_000 {
            let sizes: &[u32] = [&[4, 2, 1][..], &[4, 1], &[2, 1], &[4, 2]][next(4) as usize];
            let items: Vec<Item> =
                sizes.iter().map(|each| item(*each, 1 + next(40), 8 / each, None)).collect();
            let taken: u32 = items.iter().map(|i| i.each * i.replicas).sum();
            let on = least(&items, 8, Some(3)).unwrap();
            assert_eq!(on.len() as u32, taken.div_ceil(8), "{items:?}");
        }
    }

    /// By hand: four fours, and three of two that must be apart.
    #[test]
    fn the_fullest_machine_that_has_room_is_taken() {
        let items = [item(4, 3, 2, None), item(2, 3, 1, None), item(1, 2, 8, None)];
        // Fours: 4+4, 4. Twos: one on machine 1 (4 free), then none has room but machine 1, which has its own.
        assert_eq!(packed(&items, 8, Some(3), 2), Err(1));
        assert_eq!(packed(&items, 8, Some(3), 3), Err(1));
        let on = packed(&items, 8, Some(3), 4).unwrap();
        assert_eq!(on, [vec![2, 0, 0], vec![1, 1, 2], vec![0, 1, 0], vec![0, 1, 0]]);
        assert_eq!(least(&items, 8, Some(3)), Some(on));
    }

    #[test]
    fn a_zone_that_may_fail_has_no_more_than_its_part() {
        // Three replicas over three zones: one in each, so that two machines of two zones do not do.
        let items = [item(1, 3, 8, Some(1))];
        assert_eq!(least(&items, 8, Some(3)).unwrap(), [[1], [1], [1]]);
        // Seven over three: at most three in a zone.
        let on = least(&[item(1, 7, 8, Some(3))], 8, Some(3)).unwrap();
        assert_eq!(on, [[3], [3], [1]]);
        // More than the zones can have.
        assert_eq!(least(&[item(1, 7, 8, Some(2))], 8, Some(3)), None);
    }

    #[test]
    fn nonsense_is_not_packed() {
        assert_eq!(least(&[], 8, None), None);
        assert_eq!(least(&[item(0, 1, 1, None)], 8, None), None);
        assert_eq!(least(&[item(9, 1, 1, None)], 8, None), None);
        assert_eq!(least(&[item(1, 1, 0, None)], 8, None), None);
        assert_eq!(least(&[item(1, u32::MAX, 1, None), item(1, u32::MAX, 1, None)], 8, Some(6)), None);
    }
}
