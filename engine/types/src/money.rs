use core::fmt;
use core::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// An amount of one currency; 1 unit is 10^-12 of it. The currency stands with the instrument or the account.
/// 10^-12 keeps every fee and every inverse-contract amount within half a unit of the exact rational.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub i128);

impl Money {
    pub const ZERO: Self = Self(0);
    /// Units of `Money` in one whole unit of the currency.
    pub const SCALE: i128 = 1_000_000_000_000;

    pub const fn from_whole(units: i64) -> Self {
        Self(units as i128 * Self::SCALE)
    }

    /// The one division of the engine: `numerator / denominator`, rounded half to even. `denominator` must not be 0.
    #[inline]
    pub const fn div_half_even(numerator: i128, denominator: i128) -> i128 {
        assert!(denominator != 0, "division of money by zero");
        let quotient = numerator / denominator;
        let remainder = numerator % denominator;
        let twice = remainder.unsigned_abs().saturating_mul(2);
        let half = denominator.unsigned_abs();
        let away = twice > half || (twice == half && quotient % 2 != 0);
        if !away {
            quotient
        } else if (numerator < 0) == (denominator < 0) {
            quotient + 1
        } else {
            quotient - 1
        }
    }

    /// Nearest `f64`, for display and for strategies; never used in accounting.
    #[inline]
    pub fn to_f64(self) -> f64 {
        // Whole and fraction apart, so that amounts past 2^53 units keep their cents. Nine million units fit 64 bits, where
        // the same division is an instruction and not a call.
        if let Ok(units) = i64::try_from(self.0) {
            return (units / Self::SCALE as i64) as f64 + (units % Self::SCALE as i64) as f64 / Self::SCALE as f64;
        }
        (self.0 / Self::SCALE) as f64 + (self.0 % Self::SCALE) as f64 / Self::SCALE as f64
    }
}

impl Add for Money {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}
impl Sub for Money {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}
impl Neg for Money {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}
impl AddAssign for Money {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}
impl SubAssign for Money {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl fmt::Display for Money {
    /// Exact decimal, at least two digits after the point, no trailing zeros beyond them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let whole = (self.0 / Self::SCALE).unsigned_abs();
        let fraction = format!("{:012}", (self.0 % Self::SCALE).unsigned_abs());
        let shown = fraction.trim_end_matches('0').len().max(2);
        f.pad(&format!("{sign}{whole}.{}", &fraction[..shown]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_amounts_are_the_same_number_by_the_short_division() {
        let by_wide = |m: i128| (m / Money::SCALE) as f64 + (m % Money::SCALE) as f64 / Money::SCALE as f64;
        for units in [0, 1, 299, 9_223_371, 9_223_372, 9_223_373, 1 << 40] {
            for rest in [0, 1, 7, 123_456_789_012, 999_999_999_999] {
                for amount in [units * Money::SCALE + rest, -(units * Money::SCALE + rest)] {
                    assert_eq!(Money(amount).to_f64().to_bits(), by_wide(amount).to_bits(), "{amount}");
                }
            }
        }
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        for (n, d, want) in
            [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (5, -2, -2), (1, 3, 0), (2, 3, 1), (-2, 3, -1), (4, 2, 2)]
        {
            assert_eq!(Money::div_half_even(n, d), want, "{n}/{d}");
        }
    }

    #[test]
    fn display_is_exact() {
        assert_eq!(Money(-1_500_000_000_000).to_string(), "-1.50");
        assert_eq!(Money(1).to_string(), "0.000000000001");
        assert_eq!(Money::from_whole(12).to_string(), "12.00");
    }
}
