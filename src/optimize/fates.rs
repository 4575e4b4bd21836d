//! What became of every candidate of a search: a certificate accounts for all of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::base::Base;
use super::job::resides;
use super::service::Search;
use super::table::Table;
use crate::placement::Rejection;

/// What became of a candidate of a site: nothing yet, evaluated, or rejected for the reason of this number.
const UNTOUCHED: u8 = 0;
const EVALUATED: u8 = 1;
const REJECTED: u8 = 2;

/// The marks of a search.
pub(super) struct Fates {
    /// First entry of each site in `all`.
    offsets: Arc<[usize]>,
    all: RefCell<Vec<u8>>,
    reasons: RefCell<Vec<String>>,
}

impl Fates {
    pub fn new(table: &Table) -> Self {
        let mut offsets = Vec::with_capacity(table.sites.len());
        let mut total = 0;
        for site in table.sites.iter() {
            offsets.push(total);
            total += table.machines[site.machine].ways.len();
        }
        Fates {
            offsets: offsets.into(),
            all: RefCell::new(vec![UNTOUCHED; total]),
            reasons: RefCell::default(),
        }
    }

    /// Without any mark.
    pub fn cleared(&self) -> Self {
        let all = RefCell::new(vec![UNTOUCHED; self.all.borrow().len()]);
        Fates { offsets: Arc::clone(&self.offsets), all, reasons: RefCell::default() }
    }

    pub fn mark(&self, site: usize, way: usize, fate: &Result<(), &str>) {
        let mut all = self.all.borrow_mut();
        let Some(slot) = all.get_mut(self.offsets[site] + way) else { return };
        match fate {
            Ok(()) => *slot = EVALUATED,
            Err(_) if *slot == EVALUATED => {}
            Err(why) => *slot = self.reason(why),
        }
    }

    fn reason(&self, why: &str) -> u8 {
        let mut reasons = self.reasons.borrow_mut();
        let at = reasons.iter().position(|r| r == why).unwrap_or_else(|| {
            reasons.push(why.to_owned());
            reasons.len() - 1
        });
        REJECTED.saturating_add(at as u8)
    }
}

/// Why not even one origin alone can be served, from the fates of all candidates.
pub(super) fn hopeless(search: &Search<'_>) -> Rejection {
    let counts = tally(search);
    let most = counts
        .iter()
        .filter(|(k, _)| !k.is_empty())
        .max_by_key(|(k, n)| (**n, std::cmp::Reverse(k.as_str())));
    Rejection {
        constraint: "infeasible",
        reason: match most {
            Some((why, n)) => format!("no candidate does; most ({n}) fall to {why}"),
            None => "no candidate is left".into(),
        },
        at: Some(search.job.at.clone()),
        distance: None,
    }
}

/// How many candidates of the sites ended how: `` for left out by a bound, `evaluated`, or a reason.
pub(super) fn tally<'a>(search: &Search<'a>) -> BTreeMap<String, u64> {
    let singles: Vec<Arc<Base<'a>>> =
        (0..search.service.traffic.origins.len()).map(|o| search.base(&[o])).collect();
    let reasons = search.fates.reasons.borrow().clone();
    let fate = search.fates.all.borrow();
    let mut why_of: BTreeMap<(usize, u64), Option<&'static str>> = BTreeMap::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut add = |key: &str, n: u64| match counts.get_mut(key) {
        Some(count) => *count += n,
        None => {
            counts.insert(key.to_owned(), n);
        }
    };
    for (i, site) in search.table.sites.iter().enumerate() {
        let served: Vec<&Arc<Base<'a>>> =
            singles.iter().filter(|b| b.network.get(site.region).copied().flatten().is_some()).collect();
        for (w, way) in search.table.machines[site.machine].ways.iter().enumerate() {
            let Ok(speed) = way.speed else { continue };
            add("", site.dearer);
            let of = fate.get(search.fates.offsets[i] + w).copied().unwrap_or(UNTOUCHED);
            if of == EVALUATED {
                add("evaluated", site.rows);
            } else if of >= REJECTED {
                add(reasons.get(usize::from(of - REJECTED)).map_or("other", String::as_str), site.rows);
            } else if served.is_empty() {
                let region = &search.job.world.catalog.regions[site.region];
                let origins = &search.service.traffic.origins;
                let resides = origins.iter().any(|o| resides(&o.residency, region));
                let reaches = origins.iter().any(|o| search.service.reaches(o, region.cloud, &region.id));
                let why = if !resides {
                    "residency"
                } else if !reaches {
                    "wan"
                } else {
                    "unknown"
                };
                add(why, site.rows);
            } else if served.iter().all(|b| b.tops.get(speed).is_none_or(|x| *x <= 0.0)) {
                let base = served[0];
                let why = *why_of.entry((speed, base.nearest.to_bits())).or_insert_with(|| {
                    let demand = search.demand(base, 1, base.nearest);
                    demand.missed(&search.table.speeds[speed]).map(|r| r.constraint)
                });
                add(why.unwrap_or("saturated"), site.rows);
            } else {
                add("", site.rows);
            }
        }
    }
    counts
}
