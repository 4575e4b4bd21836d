//! How long the weights of a federation travel.

use super::measured::SHARE_OF_MAIN_MEMORY;

/// What of a machine's network its members get through, as from storage (assumed).
const OF_NETWORK: f64 = 0.8;

/// Bytes of a GiB.
const GIB: f64 = 1_073_741_824.0;

/// Seconds that an update takes from the aggregator to a client or back, while `clients` send at once: over the lesser of the site's
/// connection (Mbit/s) and a client's part of the aggregator's network (Gbit/s).
pub fn transfer_s(update_gib: f64, wan_mbps: f64, network_gbps: f64, clients: usize) -> f64 {
    let part = network_gbps * 1e3 * OF_NETWORK / clients.max(1) as f64;
    update_gib * GIB * 8.0 / (wan_mbps.min(part) * 1e6)
}

/// Bytes of main memory that a machine with so many GiB leaves the aggregator.
pub fn usable(memory_gib: f64) -> f64 {
    memory_gib * GIB * SHARE_OF_MAIN_MEMORY
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 124 MB are 992 Mbit, 4.96 s at 200 Mbit/s. Of 1 Gbit/s 0.8 are left, of which a tenth is 80 Mbit/s: 12.4 s.
    #[test]
    fn the_narrower_of_both_ends_decides() {
        let gib = 124e6 / GIB;
        assert!((transfer_s(gib, 200.0, 10.0, 14) - 4.96).abs() < 1e-9);
        assert!((transfer_s(gib, 200.0, 1.0, 10) - 12.4).abs() < 1e-9);
        assert_eq!(usable(10.0), 9.0 * GIB);
    }
}
