//! Numbers between text and integers, straight from and to the digits, without the heap.
use tercel_types::{Decimal, DecimalError};

const POW10: [i64; 19] = {
    let mut table = [1i64; 19];
    let mut at = 1;
    while at < 19 {
        table[at] = table[at - 1] * 10;
        at += 1;
    }
    table
};

/// An unsigned number of 1 to 9 digits and nothing else.
#[inline]
pub fn parse_u32(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    let mut value = 0u32;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u32::from(digit);
    }
    Some(value)
}

/// How many `step` fit `text`, exactly; the same answer as `Decimal::count_of`, faster where the step is a power of ten.
#[inline]
pub fn count_of(step: Decimal, text: &[u8]) -> Result<i64, DecimalError> {
    if step.mantissa != 1 || text.len() > 18 || text.is_empty() || step.scale > 18 {
        return step.count_of(text);
    }
    let (mut value, mut decimals, mut point) = (0i64, 0usize, false);
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value * 10 + i64::from(digit);
            decimals += usize::from(point);
        } else if byte == b'.' && !point {
            point = true;
        } else {
            return step.count_of(text); // a sign, or an error that it names
        }
    }
    let scale = usize::from(step.scale);
    if text.len() == usize::from(point) || (point && decimals == 0) {
        return Err(DecimalError::Malformed);
    }
    if decimals <= scale {
        return value.checked_mul(POW10[scale - decimals]).ok_or(DecimalError::Overflow);
    }
    let excess = POW10[decimals - scale];
    if value % excess != 0 { Err(DecimalError::OffStep) } else { Ok(value / excess) }
}

/// Decimal text in a scratch of which `SPAN` bytes may be copied from `start` whatever the length: a copy of constant size
/// compiles to two moves, one of variable size to a call.
pub(crate) struct Digits {
    bytes: [u8; 2 * Digits::SPAN],
    start: usize,
}

impl Digits {
    pub(crate) const SPAN: usize = 24;

    #[inline]
    pub(crate) fn of(value: u64) -> Self {
        Self::scaled(value, false, 0)
    }

    /// `value · 10^-scale` with exactly `scale` digits after the point; `scale` at most 18.
    #[inline]
    pub(crate) fn scaled(value: u64, negative: bool, scale: usize) -> Self {
        let mut bytes = [0; 2 * Self::SPAN];
        let (mut at, mut rest) = (Self::SPAN, value);
        for _ in 0..scale {
            at -= 1;
            bytes[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        if scale > 0 {
            at -= 1;
            bytes[at] = b'.';
        }
        while rest >= 100 {
            let pair = &PAIRS[(rest % 100) as usize];
            rest /= 100;
            at -= 2;
            bytes[at] = pair[0];
            bytes[at + 1] = pair[1];
        }
        if rest >= 10 {
            let pair = &PAIRS[rest as usize];
            at -= 2;
            bytes[at] = pair[0];
            bytes[at + 1] = pair[1];
        } else {
            at -= 1;
            bytes[at] = b'0' + rest as u8;
        }
        if negative {
            at -= 1;
            bytes[at] = b'-';
        }
        Self { bytes, start: at }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        Self::SPAN - self.start
    }

    #[inline]
    pub(crate) fn span(&self) -> &[u8; Self::SPAN] {
        // `start` is at most SPAN − 1, so the window always exists.
        self.bytes[self.start..].first_chunk().expect("start is below SPAN")
    }

    #[cfg(test)]
    fn text(&self) -> &[u8] {
        &self.bytes[self.start..Self::SPAN]
    }
}

static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn u32_takes_digits_only() {
        assert_eq!(parse_u32(b"0042"), Some(42));
        for bad in [&b""[..], b"+1", b"-1", b"1.0", b"9999999999", b"1 "] {
            assert_eq!(parse_u32(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn digits_are_exact_at_the_ends() {
        for (value, negative, scale, want) in [
            (0, false, 0, "0"),
            (0, false, 2, "0.00"),
            (7, true, 1, "-0.7"),
            (99, false, 0, "99"),
            (100, false, 0, "100"),
            (618_002, false, 1, "61800.2"),
            (u64::MAX, true, 18, "-18.446744073709551615"),
            (u64::MAX, false, 0, "18446744073709551615"),
        ] {
            let digits = Digits::scaled(value, negative, scale);
            assert_eq!(core::str::from_utf8(digits.text()), Ok(want));
            assert_eq!(&digits.span()[..digits.len()], want.as_bytes());
        }
    }

    proptest! {
        /// The fast reading and the reference agree on everything, errors included.
        #[test]
        fn fast_count_equals_reference_prop(text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?|[0-9a.]{0,8}", scale in 0u8..=18, mantissa in prop_oneof![Just(1i64), 1i64..50]) {
            let step = Decimal { mantissa, scale };
            let (fast, reference) = (count_of(step, text.as_bytes()), step.count_of(text.as_bytes()));
            prop_assert_eq!(fast.is_ok(), reference.is_ok(), "{} in {:?}: {:?} {:?}", text, step, fast, reference);
            if reference.is_ok() {
                prop_assert_eq!(fast, reference);
            }
        }

        #[test]
        fn digits_round_trip_prop(value in any::<u64>()) {
            let digits = Digits::of(value);
            prop_assert_eq!(core::str::from_utf8(digits.text()).unwrap(), value.to_string());
        }
    }
}
