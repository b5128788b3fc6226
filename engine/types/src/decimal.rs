use core::fmt;
use thiserror::Error;

/// An exact decimal, `mantissa · 10^-scale`: how steps, lots and multipliers are written in configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    pub mantissa: i64,
    /// Digits after the point, 0..=18.
    pub scale: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecimalError {
    #[error("not a decimal number")]
    Malformed,
    #[error("more digits than 64 bits hold")]
    Overflow,
    #[error("not a multiple of the step")]
    OffStep,
}

pub(crate) const POW10: [i64; 19] = {
    let mut table = [1i64; 19];
    let mut at = 1;
    while at < 19 {
        table[at] = table[at - 1] * 10;
        at += 1;
    }
    table
};

impl Decimal {
    pub const ONE: Self = Self { mantissa: 1, scale: 0 };

    /// Reads `-12.340`; no exponent, no sign but `-`, at least one digit. Trailing zeros are dropped.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let (digits, negative) = match text {
            [b'-', rest @ ..] => (rest, true),
            _ => (text, false),
        };
        let (mut mantissa, mut scale, mut seen_digit, mut seen_point) = (0i64, 0u8, false, false);
        // Zeros after the point count only when a digit follows them, so that "1.0000000000000000000000" is fine.
        let mut pending_zeros = 0u32;
        for &byte in digits {
            match byte {
                b'0' if seen_point => {
                    seen_digit = true;
                    pending_zeros += 1;
                }
                b'0'..=b'9' => {
                    seen_digit = true;
                    for _ in 0..pending_zeros {
                        mantissa = mantissa.checked_mul(10).ok_or(DecimalError::Overflow)?;
                        scale += 1;
                    }
                    pending_zeros = 0;
                    mantissa = mantissa
                        .checked_mul(10)
                        .and_then(|m| m.checked_add(i64::from(byte - b'0')))
                        .ok_or(DecimalError::Overflow)?;
                    scale += u8::from(seen_point);
                    if scale > 18 {
                        return Err(DecimalError::Overflow);
                    }
                }
                b'.' if !seen_point => seen_point = true,
                _ => return Err(DecimalError::Malformed),
            }
        }
        if !seen_digit || digits.last() == Some(&b'.') {
            return Err(DecimalError::Malformed);
        }
        Ok(Self { mantissa: if negative { -mantissa } else { mantissa }, scale })
    }

    /// How many `self` fit `text`, exactly: `"61800.20"` in steps of 0.1 is 618,002.
    /// Errors: `OffStep` when `text` is no multiple, `Malformed`, `Overflow`.
    #[inline]
    pub fn count_of(self, text: &[u8]) -> Result<i64, DecimalError> {
        let value = Self::parse(text)?;
        let scale = self.scale.max(value.scale);
        let numerator = i128::from(value.mantissa) * i128::from(POW10[usize::from(scale - value.scale)]);
        let step = i128::from(self.mantissa) * i128::from(POW10[usize::from(scale - self.scale)]);
        if step == 0 || numerator % step != 0 {
            return Err(DecimalError::OffStep);
        }
        i64::try_from(numerator / step).map_err(|_| DecimalError::Overflow)
    }

    /// `count · self` as text with exactly `self.scale` digits after the point.
    #[inline]
    pub fn text_of(self, count: i64) -> DecimalText {
        DecimalText::new(i128::from(count) * i128::from(self.mantissa), self.scale)
    }

    /// `count · self` as the nearest `f64`: integer ÷ 10^k, which rounds correctly while the product is below 2^53.
    #[inline]
    pub fn f64_of(self, count: i64) -> f64 {
        (count.wrapping_mul(self.mantissa)) as f64 / POW10[usize::from(self.scale)] as f64
    }

    /// `x / self` in floating point: multiply by the integer power, divide by the integer mantissa, never by a decimal.
    #[inline]
    pub(crate) fn count_f64(self, x: f64) -> f64 {
        x * POW10[usize::from(self.scale)] as f64 / self.mantissa as f64
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(DecimalText::new(i128::from(self.mantissa), self.scale).as_str())
    }
}

/// A decimal rendered without the heap.
#[derive(Clone, Copy)]
pub struct DecimalText {
    bytes: [u8; 48],
    start: u8,
}

impl DecimalText {
    fn new(value: i128, scale: u8) -> Self {
        let mut bytes = [0; 48];
        let mut at = bytes.len();
        let mut rest = value.unsigned_abs();
        let mut digits = 0u8;
        loop {
            if digits == scale && scale > 0 {
                at -= 1;
                bytes[at] = b'.';
            }
            // 64-bit division where it fits: the 128-bit one is a library call.
            let digit = match u64::try_from(rest) {
                Ok(small) => {
                    rest = u128::from(small / 10);
                    small % 10
                }
                Err(_) => {
                    let digit = (rest % 10) as u64;
                    rest /= 10;
                    digit
                }
            };
            at -= 1;
            bytes[at] = b'0' + digit as u8;
            digits += 1;
            if rest == 0 && digits > scale {
                break;
            }
        }
        if value < 0 {
            at -= 1;
            bytes[at] = b'-';
        }
        Self { bytes, start: at as u8 }
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }

    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or("?")
    }
}

impl fmt::Display for DecimalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_to_steps_is_exact_or_refused() {
        let step = Decimal::parse(b"0.10").unwrap();
        assert_eq!(step, Decimal { mantissa: 1, scale: 1 });
        assert_eq!(step.count_of(b"61800.20"), Ok(618_002));
        assert_eq!(step.count_of(b"-0.3"), Ok(-3));
        assert_eq!(step.count_of(b"61800.25"), Err(DecimalError::OffStep));
        assert_eq!(step.count_of(b""), Err(DecimalError::Malformed));
        assert_eq!(step.count_of(b"1e5"), Err(DecimalError::Malformed));
        assert_eq!(step.count_of(b"1."), Err(DecimalError::Malformed));
        assert_eq!(step.count_of(b"99999999999999999999"), Err(DecimalError::Overflow));
        assert_eq!(Decimal::parse(b"0.25").unwrap().count_of(b"4500.75"), Ok(18_003));
    }

    #[test]
    fn steps_to_text_keeps_the_digits_of_the_step() {
        let step = Decimal { mantissa: 25, scale: 2 };
        assert_eq!(step.text_of(18_003).as_str(), "4500.75");
        assert_eq!(step.text_of(-1).as_str(), "-0.25");
        assert_eq!(step.text_of(0).as_str(), "0.00");
        assert_eq!(Decimal { mantissa: 5, scale: 0 }.text_of(3).as_str(), "15");
    }
}
