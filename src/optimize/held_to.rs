//! A deployment in which one workload is held to some offers: what the whole then costs, with all that workloads share.

use std::collections::BTreeSet;

use rhumb_api::{Cloud, Purchase};

use super::{outline, split_chains};
use crate::placement::{Infeasible, Placement, World};
use crate::spec::{AllowDeny, BudgetScope, PlacementRules, PurchaseRules, Spec};

/// Whether workloads share a limit, so that what one of them costs by itself need not be what it costs beside the others.
pub fn shares(spec: &Spec) -> bool {
    let budget = spec.budget.limits.keys().any(|scope| !matches!(scope, BudgetScope::Workload(_)));
    let quota = spec.providers.values().any(|p| p.quotas.values().any(|codes| !codes.is_empty()));
    let machines = spec.services.values().filter(|s| s.shares).count() > 1;
    spec.addresses().len() > 1 && (budget || quota || machines || spec.budget.carbon.is_some())
}

/// The cheapest placement of everything in which all machines of a workload are of some offers (indexes of the catalogue's). Its own
/// rules hold on top. `None` if these leave none of the offers, or if it is a client's machine of a federation: of those every site
/// has its own.
pub fn held_to(
    spec: &Spec,
    world: &World,
    address: &str,
    offers: &[usize],
) -> Option<Result<Placement, Infeasible>> {
    let mut held = spec.clone();
    let (kind, name) = address.split_once('.')?;
    let federated = kind == "federations";
    let (placement, purchase): (&mut PlacementRules, &mut PurchaseRules) = match kind {
        "services" => match held.services.get_mut(name) {
            Some(service) => (&mut service.placement, &mut service.purchase),
            None => held.profiled.get_mut(name).map(|p| (&mut p.placement, &mut p.purchase))?,
        },
        "batches" => held.batches.get_mut(name).map(|b| (&mut b.placement, &mut b.purchase))?,
        "trainings" => held.trainings.get_mut(name).map(|t| (&mut t.placement, &mut t.purchase))?,
        "pipelines" => held.pipelines.get_mut(name).map(|p| (&mut p.placement, &mut p.purchase))?,
        "federations" => held.federations.get_mut(name).map(|f| (&mut f.placement, &mut f.purchase))?,
        _ => return None,
    };
    let catalog = &world.catalog;
    let (mut regions, mut sites) = (BTreeSet::new(), BTreeSet::new());
    let (mut types, mut bought) = (BTreeSet::new(), BTreeSet::new());
    for offer in offers.iter().filter_map(|o| catalog.offerings.get(*o)) {
        let (machine, region) =
            (&catalog.instance_types[offer.instance_type], &catalog.regions[offer.region]);
        let full = format!("{}/{}", region.cloud, region.id);
        let at_site = region.cloud == Cloud::Site;
        let place = match at_site {
            true => placement.sites.contains(&region.id),
            // A region may be written with its cloud or without.
            false => match &placement.regions {
                AllowDeny::Any => placement.clouds.allows(&region.cloud),
                AllowDeny::Only(list) => {
                    placement.clouds.allows(&region.cloud)
                        && (list.contains(&full) || list.contains(&region.id))
                }
                AllowDeny::Not(list) => {
                    placement.clouds.allows(&region.cloud)
                        && !list.contains(&full)
                        && !list.contains(&region.id)
                }
            },
        };
        let buys = match offer.purchase {
            Purchase::Spot => purchase.spot_max_share > 0.0,
            option => purchase.options.contains(&option),
        };
        if !place || !buys || !placement.instance_types.allows(&machine.name) {
            continue;
        }
        if at_site {
            sites.insert(region.id.clone());
        } else {
            regions.insert(full);
        }
        types.insert(machine.name.clone());
        bought.insert(offer.purchase);
    }
    if types.is_empty() || (federated && !sites.is_empty()) {
        return None;
    }
    placement.regions = AllowDeny::Only(regions.into_iter().collect());
    placement.sites = sites.into_iter().collect();
    placement.instance_types = AllowDeny::Only(types.into_iter().collect());
    if !bought.contains(&Purchase::Spot) {
        purchase.spot_max_share = 0.0;
    }
    // Where only spot is named, what must not be spot is bought as the spec says.
    if bought.iter().any(|option| *option != Purchase::Spot) {
        purchase.options.retain(|option| bought.contains(option));
    }
    purchase.held = false;
    split_chains(&mut held, world);
    Some(outline(&held, world))
}
