//! Does it fit, how fast is it: model architecture x accelerator -> service curve.

mod types;

pub use types::*;

use crate::catalog::ModelArch;
use crate::spec::Arrivals;

/// Whether a configuration runs, and where its memory goes.
///
/// # Errors
/// The first rule that it breaks.
pub fn fit(_configuration: &Configuration<'_>, _shape: &RequestShape) -> Result<MemoryFit, DoesNotFit> {
    todo!()
}

/// The service curve of one replica.
///
/// # Errors
/// The first rule that the configuration breaks.
pub fn curve(_configuration: &Configuration<'_>, _shape: &RequestShape) -> Result<ServiceCurve, DoesNotFit> {
    todo!()
}

/// The layouts of a replica worth trying on machines with `accelerators` equal accelerators, at
/// most `machines` of them together, in a fixed order.
pub fn layouts(_arch: &ModelArch, _accelerators: u32, _machines: u32) -> Vec<Layout> {
    todo!()
}

/// Seconds from an order for a machine to the first token: boot, image, weights, graph capture.
/// Class "assumed" but for the weights' share, which follows from size and bandwidth.
pub fn start_up_s(_weights_bytes: f64, _network_gbps: Option<f64>) -> f64 {
    todo!()
}

impl ServiceCurve {
    /// Latency percentiles at `rate` requests/s per replica in a pool of `replicas`, at the engine,
    /// without the band; `None` if the load is not below the capacity.
    pub fn latency(&self, _rate: f64, _replicas: u32, _arrivals: Arrivals) -> Option<Latency> {
        todo!()
    }

    /// The same replica with every time `factor` (at least 1) times as long.
    #[must_use]
    pub fn slowed(&self, _factor: f64) -> Self {
        todo!()
    }

    /// Requests/s at which one replica saturates, whatever the latency.
    pub fn saturation_rate(&self) -> f64 {
        todo!()
    }

    /// Items/s of one replica fed without pause (batch inference), without the band.
    pub fn batch_rate(&self) -> f64 {
        todo!()
    }
}

impl Percentiles {
    /// The value at a quantile in (0, 1), or the mean.
    pub fn at(&self, quantile: Option<f64>) -> f64 {
        match quantile {
            None => self.mean,
            Some(_) if self.sigma == 0.0 => self.mean,
            Some(q) => self.shift + crate::math::exp(self.mu + self.sigma * crate::math::normal_quantile(q)),
        }
    }
}

impl Band {
    /// The factor that the truth stays below with probability `confidence` in (0, 1).
    pub fn factor(&self, confidence: f64) -> f64 {
        crate::math::exp(self.mu + self.sigma * crate::math::normal_quantile(confidence))
    }
}
