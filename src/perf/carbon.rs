//! What a machine emits: power of its accelerators and of its host, PUE, and the intensity of the grid (decision 14).
//!
//! A property of the machine's type and region alone. Rounded to whole milligrams an hour, so that sums and limits are exact.

use super::energy::{self, power};
use crate::catalog::{Accelerator, InstanceType, Region};

/// Watts of a vCPU at half load (assumed): `MIN_WATTS_AVG` 0.74 and half of the way to `MAX_WATTS_AVG` 3.5, at
/// `AVG_CPU_UTILIZATION_2020` of 50 %. Of cloud-carbon-footprint/cloud-carbon-footprint (Apache-2.0),
/// packages/aws/src/domain/AwsFootprintEstimationConstants.ts at 0656d55594b69d74ce35ff18019be36140beaa50; the same file for Azure (at
/// 0602dde823efbac1fa75a755125e5065c3726404) has 0.74 and 3.54, that for Google 0.68 and 4.11.
pub const WATTS_PER_VCPU: f64 = 0.74 + 0.5 * (3.5 - 0.74);

/// Watts of a GiB of memory (assumed): `MEMORY_COEFFICIENT`, 0.000392 kWh for a GB and an hour. The same three files.
pub const WATTS_PER_GIB: f64 = 0.392;

/// Shares of the peak rates of memory and arithmetic at which accelerators are taken to work (assumed): between the published anchors of
/// [`energy`], and what an hour really has is within its band.
const BUSY: (f64, f64) = (0.7, 0.2);

/// The truth lies between a figure over this and the figure times this in four of five cases (assumed): that of the accelerators.
pub const FACTOR: f64 = energy::FACTOR;

/// Hours of a month.
const HOURS: i128 = rhumb_api::HOURS_PER_MONTH as i128;

/// What a machine emits, and from what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Emitter {
    /// Watts of the machine itself.
    pub watts: f64,
    /// Power of the data centre over that of its machines.
    pub pue: f64,
    /// Grams of CO2e for a kWh.
    pub g_per_kwh: f64,
    /// Milligrams of CO2e an hour, whole.
    pub mg_per_hour: i64,
}

/// Watts of a machine at work, idle accelerators of it too.
///
/// # Errors
/// In words: what is not known.
pub fn watts(kind: &InstanceType, accelerator: Option<&Accelerator>) -> Result<f64, String> {
    let boards = match accelerator {
        None if kind.accelerator_count > 0.0 => {
            return Err(format!("no accelerator of {} is known", kind.name));
        }
        None => 0.0,
        Some(accelerator) => {
            let tdp = accelerator.tdp_watts.filter(|tdp| *tdp > 0.0);
            let tdp = tdp.ok_or_else(|| format!("the board power of {} is not listed", accelerator.id))?;
            tdp * kind.accelerator_count * power(BUSY.0, BUSY.1)
        }
    };
    let memory = kind.memory_gib.filter(|gib| *gib > 0.0 && kind.vcpus > 0.0);
    let memory = memory.ok_or_else(|| format!("vCPUs or memory of {} are not listed", kind.name))?;
    Ok(boards + kind.vcpus * WATTS_PER_VCPU + memory * WATTS_PER_GIB)
}

/// Watts of a vCPU at full load (assumed): `MAX_WATTS_AVG` of the source of [`WATTS_PER_VCPU`].
pub const FULL_WATTS_PER_VCPU: f64 = 3.5;

/// Watts of a machine at full load: the board power of its accelerators, its vCPUs and its memory (modelled).
///
/// # Errors
/// In words: what is not known.
pub fn full_load_watts(kind: &InstanceType, accelerator: Option<&Accelerator>) -> Result<f64, String> {
    let at_work = watts(kind, accelerator)?;
    let boards = accelerator.and_then(|a| a.tdp_watts).unwrap_or(0.0) * kind.accelerator_count;
    let more = boards * (power(1.0, 1.0) - power(BUSY.0, BUSY.1));
    Ok(at_work + more + kind.vcpus * (FULL_WATTS_PER_VCPU - WATTS_PER_VCPU))
}

/// Intensity of a region's grid, and its PUE.
///
/// # Errors
/// In words: what is not known.
pub fn place(region: &Region) -> Result<(f64, f64), String> {
    let at = || format!("{}/{}", region.cloud, region.id);
    let grid =
        region.grid.as_ref().ok_or_else(|| format!("the intensity of the grid of {} is not known", at()))?;
    let pue = region.pue.as_ref().ok_or_else(|| format!("no PUE of {} is known", at()))?;
    Ok((grid.g_per_kwh, pue.ratio))
}

/// What a machine of a type emits in a region.
///
/// # Errors
/// In words: what is not known. Then nothing is: unknown is not zero.
pub fn emitter(
    kind: &InstanceType,
    accelerator: Option<&Accelerator>,
    region: &Region,
) -> Result<Emitter, String> {
    let (g_per_kwh, pue) = place(region)?;
    let watts = watts(kind, accelerator)?;
    // Watts for an hour are thousandths of a kWh, and grams thousands of milligrams.
    let mg_per_hour = (watts * pue * g_per_kwh).round().clamp(0.0, 1e15) as i64;
    Ok(Emitter { watts, pue, g_per_kwh, mg_per_hour })
}

/// Seconds of a week.
const WEEK_S: i128 = 604_800;

/// Milligrams of a month of 730 hours of which each week has so many machine-seconds; rounded up.
pub fn of_weeks(mg_per_hour: i64, machine_seconds: i64) -> i64 {
    up(i128::from(mg_per_hour) * i128::from(machine_seconds) * HOURS, WEEK_S)
}

/// Milligrams of a month of `runs` runs of `hours` on so many machines; rounded up.
pub fn of_runs(mg_per_hour: i64, machines: u32, hours: f64, runs: f64) -> i64 {
    let seconds = (hours * 3600.0 * runs).ceil().clamp(0.0, 1e12) as i128;
    up(i128::from(mg_per_hour) * i128::from(machines) * seconds, 3600)
}

/// A quotient of what is not negative, rounded up.
fn up(of: i128, by: i128) -> i64 {
    (of.div_euclid(by) + i128::from(of.rem_euclid(by) > 0)).clamp(0, i128::from(i64::MAX / 1024)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use rhumb_api::Cloud;

    /// By hand: 8 x 700 W x 0.61 = 3416 W, 192 vCPUs x 2.12 W = 407.04 W, 2048 GiB x 0.392 W = 802.816 W; Frankfurt has 275.82 g
    /// and the mean PUE of AWS, 1.135.
    #[test]
    fn a_machine_by_hand() {
        let catalog = Catalog::embedded();
        let kind = &catalog.instance_types[catalog.instance_type(Cloud::Aws, "p5.48xlarge").unwrap()];
        let gpu = &catalog.accelerators[kind.accelerator.unwrap()];
        let region = &catalog.regions[catalog.region(Cloud::Aws, "eu-central-1").unwrap()];
        let e = emitter(kind, Some(gpu), region).unwrap();
        assert!((e.watts - (3416.0 + 407.04 + 802.816)).abs() < 1e-9, "{e:?}");
        assert_eq!(e.mg_per_hour, (4625.856_f64 * 1.135 * 275.82).round() as i64);
        assert!((1_400_000..1_500_000).contains(&e.mg_per_hour), "{e:?}");
        // Three machines all week; half of the week; 10 runs of 2.5 hours.
        assert_eq!(of_weeks(1_000, 3 * 604_800), 3 * 730_000);
        assert_eq!(of_weeks(1_001, 302_400), 365_365);
        assert_eq!(of_weeks(1, 1), 1, "never rounded to nothing");
        assert_eq!(of_runs(1_000, 3, 2.5, 10.0), 75_000);
    }

    #[test]
    fn what_is_not_known_emits_nothing_that_is_known() {
        let catalog = Catalog::embedded();
        let kind = &catalog.instance_types[catalog.instance_type(Cloud::Aws, "p5.48xlarge").unwrap()];
        let gpu = &catalog.accelerators[kind.accelerator.unwrap()];
        let region = |id: &str| catalog.regions[catalog.region(Cloud::Gcp, id).unwrap()].clone();
        let why = emitter(kind, Some(gpu), &region("asia-southeast3")).unwrap_err();
        assert_eq!(why, "the intensity of the grid of gcp/asia-southeast3 is not known");
        let dark = Accelerator { tdp_watts: None, ..gpu.clone() };
        assert!(emitter(kind, Some(&dark), &region("us-west1")).unwrap_err().contains("board power"));
        assert!(emitter(kind, None, &region("us-west1")).is_err());
        let bare = InstanceType { memory_gib: None, ..kind.clone() };
        assert!(emitter(&bare, Some(gpu), &region("us-west1")).is_err());
        let nowhere = Region { pue: None, ..region("us-west1") };
        assert!(emitter(kind, Some(gpu), &nowhere).unwrap_err().contains("PUE"));
    }
}
