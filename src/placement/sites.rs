//! The sites of a spec in the catalogue that it is planned on.

use crate::catalog::Catalog;
use crate::diagnostic::Pointer;
use crate::perf::carbon;
use crate::spec::Spec;

/// Adds the sites of a spec to its catalogue, machines with their power at full load as `perf` models it.
///
/// # Errors
/// Machines at a site with a cap on power of which no power is known: where, and what is missing. Nobody could prove that they keep it.
pub fn stand(catalog: &mut Catalog, spec: &Spec) -> Result<(), Vec<(Pointer, String)>> {
    catalog.add_sites(&spec.sites, &|kind, on| carbon::full_load_watts(kind, on).ok());
    let mut unknown = Vec::new();
    for site in spec.sites.values().filter(|site| site.power_watts.is_some()) {
        for machine in site.machines.values().filter(|m| m.power_watts.is_none()) {
            let index = catalog.instance_type(rhumb_api::Cloud::Site, &machine.name);
            let Some(kind) = index.and_then(|i| catalog.instance_types.get(i)) else { continue };
            let on = kind.accelerator.and_then(|a| catalog.accelerators.get(a));
            if let Err(why) = carbon::full_load_watts(kind, on) {
                unknown.push((machine.at.clone(), why));
            }
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}
