//! From an order for a machine to its first token, phase by phase.

use crate::catalog::Evidence;

/// How weights get from storage to the accelerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// One file after the other, mapped into memory: the engines' default.
    Mapped,
    /// Many reads at once.
    Streamed,
}

/// What the mapped loader reaches, bytes/s: 16.06 GB of Llama-3-8B in 47.99 s from a gp3 disk that gives
/// three times as much (NVIDIA/Run:ai model streamer white paper, 2024-10-29).
pub const MAPPED: f64 = 16.06e9 / 47.99;

/// What [`start_up`] rests on, for whoever shows a figure with it inside.
pub const STATED: &str = "start-up is assumed: weights by a streaming loader at up to 1 GB/s; the engines' \
                          default loader was measured at 0.33 GB/s and takes up to 3 times as long";

/// Seconds to bring weights from storage of this rate (bytes/s) to the accelerator.
pub fn load_s(weights_bytes: f64, storage: f64, loader: Loader) -> f64 {
    let rate = match loader {
        Loader::Mapped => storage.min(MAPPED),
        Loader::Streamed => storage,
    };
    if rate > 0.0 { weights_bytes.max(0.0) / rate } else { f64::INFINITY }
}

/// What a machine with this network (10 Gbit/s if unknown) reads from storage or writes there, bytes/s: 0.8 of the network, at
/// most 1 GB/s (assumed).
pub fn storage_rate(network_gbps: Option<f64>) -> f64 {
    (network_gbps.filter(|g| *g > 0.0).unwrap_or(10.0) * 1e9 / 8.0 * 0.8).min(1e9)
}

/// One phase of a start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// `machine`, `image`, `weights` or `engine`.
    pub name: &'static str,
    /// Seconds.
    pub seconds: f64,
    /// What stands behind it.
    pub evidence: Evidence,
    /// Why it is so.
    pub basis: &'static str,
}

/// The phases of a start on a machine with this network (10 Gbit/s if unknown), in order.
///
/// Image and weights come over the network at 0.8 of its rate and at no more than 1 GB/s. For weights
/// that assumes a streaming loader: with the engines' default they take up to three times as long ([`MAPPED`]).
pub fn start_up(weights_bytes: f64, network_gbps: Option<f64>) -> [Phase; 4] {
    let rate = storage_rate(network_gbps);
    let phase = |name, seconds, evidence, basis| Phase { name, seconds, evidence, basis };
    [
        phase("machine", 120.0, Evidence::Assumed, "boot and driver"),
        phase("image", 10e9 / rate, Evidence::Assumed, "10 GB at 0.8 of the network, at most 1 GB/s"),
        phase(
            "weights",
            load_s(weights_bytes, rate, Loader::Streamed),
            Evidence::Assumed,
            "a streaming loader, as fast as the image; the default loader: 0.33 GB/s",
        ),
        phase("engine", 60.0, Evidence::Assumed, "compilation and graph capture, typically 20 to 90 s"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 10 Gbit/s give 1 GB/s: 120 + 10 + 16 + 60. 1 Gbit/s gives 0.1 GB/s.
    #[test]
    fn phases_by_hand() {
        let seconds = |g| start_up(16e9, g).map(|p| p.seconds);
        assert_eq!(seconds(None), [120.0, 10.0, 16.0, 60.0]);
        assert_eq!(seconds(Some(1.0)), [120.0, 100.0, 160.0, 60.0]);
        assert_eq!(seconds(Some(-1.0)), seconds(None));
        assert_eq!(crate::perf::start_up_s(16e9, Some(400.0)), 206.0);
        assert!(start_up(1.0, None).iter().all(|p| p.evidence == Evidence::Assumed));
        assert!(STATED.contains(&format!("{:.2} GB/s", MAPPED / 1e9)));
    }

    #[test]
    fn the_slower_of_storage_and_loader_decides() {
        assert!((load_s(MAPPED * 5.0, 1e12, Loader::Mapped) - 5.0).abs() < 1e-9);
        assert_eq!(load_s(1e9, 1e8, Loader::Mapped), 10.0);
        assert_eq!(load_s(1e9, 1e8, Loader::Streamed), 10.0);
        assert!(load_s(1e9, 0.0, Loader::Streamed).is_infinite());
    }
}
