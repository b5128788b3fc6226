//! The pinned functions. Both engines call these, machine code by address, so a result never depends on the host's libm.
//! The crate `libm` is pure Rust and pinned to one version; `pinned_math_is_golden` holds its bit patterns.

/// Natural logarithm; NaN below zero, −∞ at zero. Error below 1 ulp (FreeBSD msun, by way of musl).
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// e to the power x; error below 1 ulp (FreeBSD msun, by way of musl).
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// The share of a new value in a mean with this half-life after `dt_ns` nanoseconds: 1 − 2^(−dt / halflife).
pub fn ew_weight(dt_ns: i64, halflife_ns: i64) -> f64 {
    1.0 - exp(-core::f64::consts::LN_2 * (dt_ns as f64 / halflife_ns as f64))
}

/// Seconds to nanoseconds: multiplied by 1e9 and rounded to the nearest integer, ties to even; magnitudes of 2^61 and more
/// become ±2^61, which is 73 years. `None` for NaN.
pub fn span_ns(seconds: f64) -> Option<i64> {
    const BOUND: f64 = (1u64 << 61) as f64;
    if seconds.is_nan() {
        return None;
    }
    let ns = libm::rint(seconds * 1e9);
    Some(if ns >= BOUND {
        1 << 61
    } else if ns <= -BOUND {
        -(1 << 61)
    } else {
        ns as i64
    })
}

/// Nanoseconds to seconds: the nearest double of the integer, divided by 1e9.
pub fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}
