//! Deterministic mathematics: the only place where the core takes logarithms, powers and roots.
//!
//! The standard library's transcendental functions call the platform's, whose last bits differ;
//! `libm` is the same code everywhere. Fused multiply-add is not used.

/// Natural exponential.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// Logarithm to base 2.
pub fn log2(x: f64) -> f64 {
    libm::log2(x)
}

/// `x` to the power `y`.
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// Square root (exact by IEEE 754, so the platform's would do; kept here for one rule).
pub fn sqrt(x: f64) -> f64 {
    libm::sqrt(x)
}

/// Sine, radians.
pub fn sin(x: f64) -> f64 {
    libm::sin(x)
}

/// Cosine, radians.
pub fn cos(x: f64) -> f64 {
    libm::cos(x)
}

/// Arc sine, radians.
pub fn asin(x: f64) -> f64 {
    libm::asin(x)
}

/// Gauss error function.
pub fn erf(x: f64) -> f64 {
    libm::erf(x)
}

/// Probability that a standard normal variable is at most `z`.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// The `p` quantile of the standard normal distribution, `p` in (0, 1).
///
/// Acklam's rational approximation (relative error below 1.15e-9) refined by one step of Halley's
/// method against [`normal_cdf`]. Outside (0, 1) the result is infinite.
pub fn normal_quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let tail = |q: f64| {
        (((((C[0] * q + C[1]) * q + C[2]) * q + C[3]) * q + C[4]) * q + C[5])
            / ((((D[0] * q + D[1]) * q + D[2]) * q + D[3]) * q + 1.0)
    };
    let z = if p < 0.024_25 {
        tail(sqrt(-2.0 * ln(p)))
    } else if p > 1.0 - 0.024_25 {
        -tail(sqrt(-2.0 * ln(1.0 - p)))
    } else {
        let q = p - 0.5;
        let r = q * q;
        (((((A[0] * r + A[1]) * r + A[2]) * r + A[3]) * r + A[4]) * r + A[5]) * q
            / (((((B[0] * r + B[1]) * r + B[2]) * r + B[3]) * r + B[4]) * r + 1.0)
    };
    let e = normal_cdf(z) - p;
    let u = e * sqrt(2.0 * std::f64::consts::PI) * exp(z * z / 2.0);
    z - u / (1.0 + z * u / 2.0)
}

/// [`normal_quantile`] where the same few quantiles are asked for again and again, as those of objectives and confidences are.
pub fn known_normal_quantile(p: f64) -> f64 {
    use std::cell::Cell;
    thread_local!(static KNOWN: Cell<[(f64, f64); 4]> = const { Cell::new([(f64::NAN, f64::NAN); 4]) });
    KNOWN.with(|cell| {
        let known = cell.get();
        if let Some((_, z)) = known.iter().find(|(q, _)| *q == p) {
            return *z;
        }
        let z = normal_quantile(p);
        cell.set([(p, z), known[0], known[1], known[2]]);
        z
    })
}

/// `x` rounded to `places` decimal places, half away from zero.
pub fn round_to(x: f64, places: i32) -> f64 {
    let scale = (0..places).fold(1.0, |s, _| s * 10.0);
    (x * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_tables() {
        // NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.1.
        for (p, z) in [(0.5, 0.0), (0.8, 0.841_621), (0.9, 1.281_552), (0.95, 1.644_854), (0.99, 2.326_348)] {
            assert!((normal_quantile(p) - z).abs() < 1e-6, "{p}");
            assert!((normal_quantile(1.0 - p) + z).abs() < 1e-6, "{p}");
        }
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
        for p in [0.5, 0.9, 0.95, 0.99, 0.999, 0.975, 0.5, 0.9, 0.999, 0.0] {
            assert_eq!(known_normal_quantile(p), normal_quantile(p), "{p}");
        }
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!(round_to(0.125, 2), 0.13);
        assert_eq!(round_to(-0.125, 2), -0.13);
    }
}
