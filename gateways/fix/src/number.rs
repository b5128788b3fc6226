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

/// Padded to a power of two, so that a mask can stand for the check of a bound.
static PAIRS: [[u8; 2]; 128] = {
    let mut pairs = [[0; 2]; 128];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

/// `0` in every byte.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Eight decimal digits of a number below 10^8, each 0 to 9 in a byte of its own, the first in the lowest byte.
/// Halves, pairs and digits are divided out side by side in one word; multiplications stand for the divisions.
#[inline]
pub(crate) const fn digits8(value: u32) -> u64 {
    let halves = (value / 10_000) as u64 | ((value % 10_000) as u64) << 32;
    let hundreds = ((halves * 10_486) >> 20) & 0x7f_0000_007f;
    let pairs = hundreds | (halves - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (pairs - 10 * tens) << 8
}

/// Sum of eight digits: below 73, so no byte of the product carries into the next.
#[inline]
const fn digits_sum(digits: u64) -> u32 {
    (digits.wrapping_mul(0x0101_0101_0101_0101) >> 56) as u32
}

/// A number below 10^8 as text that ends at the eighth byte, how many zeros stand before it, and the sum of what remains.
#[inline]
pub(crate) const fn text8(value: u32) -> (u64, usize, u32) {
    let digits = digits8(value);
    let zeros = (digits | 1 << 56).trailing_zeros() / 8;
    (digits | ZEROS, zeros as usize, digits_sum(digits) + (8 - zeros) * b'0' as u32)
}

/// Two digits of a number below 100, the first in the lower byte, and their sum.
#[inline]
pub(crate) fn text2(value: u32) -> (u16, u32) {
    let pair = u16::from_le_bytes(PAIRS[value as usize % PAIRS.len()]);
    (pair, u32::from(pair & 0xff) + u32::from(pair >> 8))
}

/// Three digits of a number below 1,000 and `last` behind them, the first in the lowest byte; and the sum of the digits.
#[inline]
pub(crate) fn text3(value: u32, last: u8) -> (u32, u32) {
    let hundreds = (value * 41) >> 12;
    let (pair, _) = text2(value - 100 * hundreds);
    let digits = (hundreds + u32::from(b'0')) | u32::from(pair) << 8;
    (digits | u32::from(last) << 24, (digits * 0x01_0101) >> 16 & 0xff)
}

/// How counts of one step are written in decimals, worked out once: `count · step` with exactly the digits of the step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    mantissa: i64,
    /// Counts of 10^-scale below this are written from one word: 10^8, and 0 for a scale of more than seven.
    narrow_end: u64,
    /// Keeps the digit before the point when all before it are zeros.
    guard: u64,
    fraction_shift: u32,
    /// Digits before the point, of eight.
    whole_len: u32,
    /// Point and digits behind it.
    tail_len: u32,
    scale: u32,
}

impl Places {
    /// Bytes that `write` may touch.
    pub(crate) const SPAN: usize = 32;
    const SCALE_MAX: u32 = 15;

    pub(crate) fn of(step: Decimal) -> Self {
        let scale = u32::from(step.scale);
        let narrow = scale <= 7;
        Self {
            mantissa: step.mantissa,
            narrow_end: if narrow { 100_000_000 } else { 0 },
            guard: if narrow { 1 << (8 * (7 - scale)) } else { 0 },
            // Without decimals the point is written all the same and what follows writes over it.
            fraction_shift: if narrow { 8 * (8 - scale) % 64 } else { 0 },
            whole_len: 8u32.saturating_sub(scale),
            tail_len: if scale == 0 { 0 } else { scale + 1 },
            scale,
        }
    }

    /// Writes `count · step` at the start of `out` and returns the length and the sum of its bytes. `None` below zero, from
    /// 10^16 units and past fifteen decimals.
    #[inline(always)]
    pub(crate) fn write(&self, count: i64, out: &mut [u8; Self::SPAN]) -> Option<(usize, u32)> {
        // Below zero is above every limit.
        let units = count.checked_mul(self.mantissa)? as u64;
        if units >= self.narrow_end {
            return self.write_wide(units, out);
        }
        let digits = digits8(units as u32);
        let zeros = (digits | self.guard).trailing_zeros() / 8;
        let text = digits | ZEROS;
        let whole_len = (self.whole_len - zeros) as usize & 15;
        let tail = (text >> (self.fraction_shift & 63)) << 8 | u64::from(b'.');
        out[..8].copy_from_slice(&(text >> (8 * zeros)).to_le_bytes());
        out[whole_len..whole_len + 8].copy_from_slice(&tail.to_le_bytes());
        let len = whole_len + self.tail_len as usize;
        Some((len, digits_sum(digits) + self.sum_of(len)))
    }

    /// As `write` with sixteen digits.
    #[inline(never)]
    fn write_wide(&self, units: u64, out: &mut [u8; Self::SPAN]) -> Option<(usize, u32)> {
        if units >= 10_000_000_000_000_000 || self.scale > Self::SCALE_MAX {
            return None;
        }
        let (high, low) = (digits8((units / 100_000_000) as u32), digits8((units % 100_000_000) as u32));
        let digits = u128::from(high) | u128::from(low) << 64;
        let zeros = (digits | 1 << (8 * (15 - self.scale))).trailing_zeros() / 8;
        let text = digits | u128::from(ZEROS) | u128::from(ZEROS) << 64;
        let whole_len = (16 - self.scale - zeros) as usize;
        let tail = (text >> (8 * (16 - self.scale) % 128)) << 8 | u128::from(b'.');
        out[..16].copy_from_slice(&(text >> (8 * zeros)).to_le_bytes());
        out[whole_len..whole_len + 16].copy_from_slice(&tail.to_le_bytes());
        let len = whole_len + self.tail_len as usize;
        Some((len, digits_sum(high) + digits_sum(low) + self.sum_of(len)))
    }

    /// What `len` bytes add to the sum of their digits: a `0` each, and a point is two less than one.
    #[inline]
    fn sum_of(&self, len: usize) -> u32 {
        u32::from(b'0') * len as u32 - if self.tail_len > 0 { 2 } else { 0 }
    }
}

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

    #[test]
    fn every_four_and_every_three_digits() {
        for value in 0..10_000 {
            let (low, high) = (text8(value).0.to_le_bytes(), text8(value * 10_000).0.to_le_bytes());
            assert_eq!((&low[..4], &low[4..]), (&b"0000"[..], format!("{value:04}").as_bytes()));
            assert_eq!((&high[..4], &high[4..]), (format!("{value:04}").as_bytes(), &b"0000"[..]));
        }
        for value in 0..1_000 {
            let (text, sum) = text3(value, b'|');
            let want = format!("{value:03}|");
            assert_eq!(&text.to_le_bytes(), want.as_bytes());
            assert_eq!(sum, want.bytes().take(3).map(u32::from).sum::<u32>());
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

        /// Every step and count: the text of the reference, and its sum.
        #[test]
        fn places_write_the_decimal_prop(
            count in prop_oneof![0i64..2_000, 0i64..200_000_000, 0i64..20_000_000_000_000_000, any::<i64>()],
            mantissa in prop_oneof![Just(1i64), Just(5), Just(25), 1i64..1_000],
            scale in 0u8..=18,
        ) {
            let (step, mut out) = (Decimal { mantissa, scale }, [b'x'; Places::SPAN]);
            let want = step.text_of(count);
            match Places::of(step).write(count, &mut out) {
                Some((len, sum)) => {
                    prop_assert_eq!(core::str::from_utf8(&out[..len]).unwrap(), want.as_str(), "{:?}", step);
                    prop_assert_eq!(sum, want.as_bytes().iter().map(|&byte| u32::from(byte)).sum::<u32>());
                }
                None => {
                    let units = count.checked_mul(mantissa);
                    prop_assert!(scale > 15 || units.is_none_or(|units| !(0..10_000_000_000_000_000).contains(&units)), "{want}");
                }
            }
        }

        #[test]
        fn eight_digits_round_trip_prop(value in 0u32..100_000_000) {
            let (text, zeros, sum) = text8(value);
            let (text, want) = (text.to_le_bytes(), value.to_string());
            prop_assert_eq!(&text[zeros..], want.as_bytes());
            prop_assert_eq!(sum, want.bytes().map(u32::from).sum::<u32>());
        }

        #[test]
        fn digits_round_trip_prop(value in any::<u64>()) {
            let digits = Digits::of(value);
            prop_assert_eq!(core::str::from_utf8(digits.text()).unwrap(), value.to_string());
        }
    }
}
