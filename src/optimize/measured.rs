//! How a model whose times were measured runs on an accelerator: as the team says, or not at all.

use super::ways::{Predicted, Wanted, does_not_run};
use crate::catalog::{Accelerator, InstanceType};
use crate::perf::{self, Layout};
use crate::placement::Rejection;
use crate::replay::limits_of;
use crate::spec::Measured;

/// A server has one accelerator.
pub(super) const LAYOUT: Layout = Layout { tp: 1, pp: 1, dp: 1, ep: 1 };

/// Why nothing that was stated says how a variant runs on machines of a type.
pub(super) fn unstated(
    measured: &Measured,
    kind: &InstanceType,
    variant: &str,
    on: &Accelerator,
) -> Option<Rejection> {
    let no = |constraint, reason: String| {
        Some(Rejection { constraint, reason, at: Some(measured.at.join("variants")), distance: None })
    };
    if !measured.variants.get(variant).is_some_and(|v| v.times.contains_key(&on.id)) {
        return no("measured-time", format!("no time of `{variant}` was measured on {}", on.id));
    }
    if kind.accelerator_count < 1.0 {
        let reason =
            format!("the time of `{variant}` was measured on a whole {}, not on a part of one", on.id);
        return no("measured-time", reason);
    }
    if !perf::measured::VENDORS.contains(&on.vendor.as_str()) {
        let reason = format!(
            "a team's own server is started on accelerators of {}",
            perf::measured::VENDORS.join(" and ")
        );
        return no("engine", reason);
    }
    None
}

/// The speed of a server. There is no band, so that no confidence changes it.
pub(super) fn speed(measured: &Measured, w: &Wanted<'_>) -> Result<Predicted, Rejection> {
    let stated = measured.variants.get(w.variant).and_then(|v| Some((v, v.times.get(&w.accelerator.id)?)));
    let Some((variant, launch)) = stated else {
        let reason = format!("no time of `{}` was measured on {}", w.variant, w.accelerator.id);
        return Err(Rejection { constraint: "measured-time", reason, at: None, distance: None });
    };
    let curve = perf::measured::curve(launch, variant.memory_bytes, w.accelerator);
    let mut curve = curve.map_err(|why| does_not_run(&why))?;
    let ms = crate::math::round_to(launch.takes_s * 1e3, 6);
    curve.notes.push(match launch.batch {
        1 => format!("stated: {ms} ms for a {}", measured.unit),
        n => format!("stated: {ms} ms for a launch of up to {n}, each a {}", measured.unit),
    });
    let engine = perf::measured::settings(launch.batch);
    let limits = limits_of(&curve, &engine, LAYOUT);
    Ok(Predicted { slowed: curve.clone(), curve, f: 1.0, g: 1.0, engine, limits })
}
