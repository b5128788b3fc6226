//! Hot path. Decimal text to a count of steps.
//!
//! The digits of `61800.20` are one whole number and the place of the point; times a power of ten that is a number of units
//! of 10^-8, which is then divided by the step exactly: multiplying by the inverse of the odd part modulo 2^64 gives the
//! quotient when the division has no remainder, and a number above the largest possible quotient when it has one (Granlund
//! and Montgomery, Division by Invariant Integers using Multiplication, 1994, §9).
//!
//! Memory      none.
//! Cost        about five instructions a digit, unrolled: numbers of one stream have nearly always the same length, so the
//!             ends are predicted. Reading eight digits per word was measured to be slower at these lengths. Anything
//!             unusual (a sign, more than 9 digits before or 8 behind the point, a step finer than 10^-8, the last bytes of
//!             a message) leaves through `count_slow`, which gives the same answers.
use crate::json::Why;
use tercel_types::{Decimal, DecimalError};

/// Counts steps of one fixed size.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    step: Decimal,
    /// Inverse modulo 2^64 of the odd part of the step in units of 10^-8.
    inverse: u64,
    /// Trailing zero bits of the step in units of 10^-8.
    shift: u32,
    /// 0 when the step is no whole number of units: then the fast way finds no multiple and the slow way decides.
    quotient_max: u64,
}

const WHOLE_DIGITS: usize = 9;
const PART_DIGITS: usize = 8;
/// Digits, point, digits, quote.
const WINDOW: usize = WHOLE_DIGITS + 1 + PART_DIGITS + 1;
const TEN_TO: [u64; PART_DIGITS + 1] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

impl Scale {
    /// `step` must be positive.
    pub fn new(step: Decimal) -> Self {
        let mut scale = Self { step, inverse: 1, shift: 0, quotient_max: 0 };
        if step.mantissa <= 0 || usize::from(step.scale) > PART_DIGITS {
            return scale;
        }
        let power = TEN_TO[PART_DIGITS - usize::from(step.scale)];
        let Some(units) = (step.mantissa as u64).checked_mul(power) else { return scale };
        scale.shift = units.trailing_zeros();
        scale.quotient_max = u64::MAX / units;
        scale.inverse = inverse_of_odd(units >> scale.shift);
        scale
    }

    /// Reads the number that starts at `bytes[at]`, behind an opening quote. Returns the count and the place behind the
    /// closing quote.
    #[inline(always)]
    pub fn count(&self, bytes: &[u8], at: usize) -> Result<(i64, usize), Why> {
        let window = bytes.get(at..).and_then(|rest| rest.first_chunk());
        match window.and_then(|window| self.count_fast(window)) {
            Some((count, len)) => Ok((count, at + len)),
            None => self.count_end(bytes, at),
        }
    }

    /// The count, and the length with the closing quote.
    #[inline(always)]
    fn count_fast(&self, window: &[u8; WINDOW]) -> Option<(i64, usize)> {
        let (value, whole_len) = digits::<0>(window, 0);
        let (units, len) = match window[whole_len] {
            b'.' => {
                let part: &[u8; WINDOW - WHOLE_DIGITS - 1] = window[whole_len + 1..].first_chunk()?;
                let (value, part_len) = digits::<1>(part, value);
                if part_len == 0 || part[part_len] != b'"' {
                    return None;
                }
                (value * TEN_TO[PART_DIGITS - part_len], whole_len + 1 + part_len)
            }
            b'"' => (value * TEN_TO[PART_DIGITS], whole_len),
            _ => return None,
        };
        let count = units.wrapping_mul(self.inverse).rotate_right(self.shift);
        // Where the step is no whole number of units only 0 passes, and 0 is 0 in every step.
        if count > self.quotient_max || whole_len == 0 { None } else { Some((count as i64, len + 1)) }
    }

    /// The last bytes of a message do not fill a window: they are read from a copy with zeros behind.
    #[inline(never)]
    fn count_end(&self, bytes: &[u8], at: usize) -> Result<(i64, usize), Why> {
        let rest = bytes.get(at..).unwrap_or(&[]);
        if rest.len() < WINDOW {
            let mut window = [0; WINDOW];
            window[..rest.len()].copy_from_slice(rest);
            if let Some((count, len)) = self.count_fast(&window) {
                return Ok((count, at + len));
            }
        }
        self.count_slow(bytes, at)
    }

    #[cold]
    #[inline(never)]
    fn count_slow(&self, bytes: &[u8], at: usize) -> Result<(i64, usize), Why> {
        let rest = bytes.get(at..).unwrap_or(&[]);
        let Some(len) = rest.iter().position(|&b| b == b'"') else { return Err(Why::Truncated) };
        match self.step.count_of(&rest[..len]) {
            Ok(count) => Ok((count, at + len + 1)),
            Err(DecimalError::OffStep) => Err(Why::OffStep),
            Err(DecimalError::Overflow) => Err(Why::Overflow),
            Err(DecimalError::Malformed) => Err(Why::Number),
        }
    }
}

/// The digits at the front of `window`, appended to `value`, and how many there were. Unrolled: at most `WHOLE_DIGITS` of
/// them, or `PART_DIGITS` with `PART` = 1.
#[inline(always)]
fn digits<const PART: usize>(window: &[u8], mut value: u64) -> (u64, usize) {
    macro_rules! each {
        ($($at:literal)*) => {
            $(
                let digit = window[$at].wrapping_sub(b'0');
                if digit > 9 || $at + PART == WHOLE_DIGITS {
                    return (value, $at);
                }
                value = value * 10 + u64::from(digit);
            )*
        };
    }
    each!(0 1 2 3 4 5 6 7 8);
    (value, WHOLE_DIGITS)
}

/// Reads a JSON number that is a whole number without sign, at most 19 digits. Returns it and the place behind it.
#[inline]
pub fn whole(bytes: &[u8], at: usize) -> Result<(u64, usize), Why> {
    let rest = bytes.get(at..).unwrap_or(&[]);
    let (mut value, mut len) = (0u64, 0);
    // Ids and times have 13 digits: one word of eight, and the digits that the next word starts with.
    if let Some((head, more)) = rest.first_chunk::<16>().and_then(|text| text.split_first_chunk::<8>())
        && let (8, head) = leading_digits(*head)
        && let Some(more) = more.first_chunk()
        && let (more_len @ 0..8, more) = leading_digits(*more)
    {
        (value, len) = (head * TEN_TO[more_len] + more, 8 + more_len);
    }
    while let Some(digit) = rest.get(len).map(|b| b.wrapping_sub(b'0')).filter(|&d| d <= 9) {
        if len == 19 {
            return Err(Why::Overflow);
        }
        value = value * 10 + u64::from(digit);
        len += 1;
    }
    match rest.get(len) {
        // A fraction or an exponent would make it another number than the digits say.
        Some(b'.' | b'e' | b'E') => Err(Why::Number),
        _ if len == 0 || (len > 1 && rest[0] == b'0') => Err(Why::Number),
        _ => Ok((value, at + len)),
    }
}

/// How many digits the text starts with, and the number that they spell.
#[inline(always)]
fn leading_digits(text: [u8; 8]) -> (usize, u64) {
    let values = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    // Bit 7 of a byte is set when it is above 9; a carry reaches only bytes behind one that is already marked.
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    let len = others.trailing_zeros() / 8;
    // Leading zeros: the digits move to the end of the word, by all of it when there is none.
    let values = values.checked_shl(64 - 8 * len).unwrap_or(0);
    let pairs = values.wrapping_mul(2_561) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(6_553_601) >> 16 & 0x0000_ffff_0000_ffff;
    (len as usize, fours.wrapping_mul(42_949_672_960_001) >> 32)
}

/// Newton's iteration doubles the right bits; an odd number is its own inverse modulo 8.
const fn inverse_of_odd(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut rounds = 0;
    while rounds < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        rounds += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scale(step: &str) -> Scale {
        Scale::new(Decimal::parse(step.as_bytes()).unwrap())
    }

    #[test]
    fn steps_of_every_shape_are_counted() {
        assert_eq!(scale("0.10").count(b"61800.20\",\"", 0), Ok((618_002, 9)));
        assert_eq!(scale("1").count(b"x1001\"]", 1), Ok((1_001, 6)));
        assert_eq!(scale("0.25").count(b"4500.75\"", 0), Ok((18_003, 8)));
        assert_eq!(scale("0.00000001").count(b"0.00000001\"", 0), Ok((1, 11)));
        assert_eq!(scale("5").count(b"15\"", 0), Ok((3, 3)));
        assert_eq!(scale("0.000000000001").count(b"0.000000000003\"", 0), Ok((3, 15)));
        assert_eq!(scale("0.1").count(b"-0.3\"", 0), Ok((-3, 5)));
        assert_eq!(scale("0.1").count(b"123456789012.3\"", 0), Ok((1_234_567_890_123, 15)));
        assert_eq!(scale("0.1").count(b"61800.25\"", 0), Err(Why::OffStep));
        assert_eq!(scale("0.1").count(b"61800.2", 0), Err(Why::Truncated));
        for bad in [&b"\""[..], b"1.\"", b"1.2.3\"", b"1e5\"", b" 1\"", b"1 \"", b"0x1\"", b"1:2\"", b"1/2\""] {
            assert_eq!(scale("0.1").count(bad, 0), Err(Why::Number), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn whole_numbers_are_read_to_their_end() {
        for value in
            [0, 7, 12_345_678, 123_456_789, 5_123_107_832_006, 9_999_999_999_999_999, 1_234_567_890_123_456_789]
        {
            let text = format!("{value},");
            assert_eq!(whole(text.as_bytes(), 0), Ok((value, text.len() - 1)));
        }
        for bad in ["", "-1", "01", "1.5", "1e3", "12345678e1", "x"] {
            assert_eq!(whole(bad.as_bytes(), 0), Err(Why::Number), "{bad}");
        }
        assert_eq!(whole(b"99999999999999999999", 0), Err(Why::Overflow));
    }

    proptest! {
        /// The word-wise way and `Decimal::count_of` agree on every text, good or bad, in every step.
        #[test]
        fn both_ways_count_alike_prop(
            text in prop_oneof!["[0-9]{0,10}(\\.[0-9]{0,10})?", "-?[0-9]{1,7}\\.[0-9]{1,8}", "[0-9.:/\\-e]{0,12}"],
            step in prop_oneof!["0\\.0{0,8}[125]", "[1-9][0-9]{0,3}", "0\\.(25|05|125|75)"],
            before in 0usize..9,
        ) {
            let step = Decimal::parse(step.as_bytes()).unwrap();
            let line = format!("{}{text}\"", " ".repeat(before));
            let want = step.count_of(text.as_bytes());
            match Scale::new(step).count(line.as_bytes(), before) {
                Ok((count, end)) => prop_assert_eq!((Ok(count), end), (want, line.len())),
                Err(_) => prop_assert!(want.is_err(), "{:?} in {:?}: {:?}", text, step, want),
            }
        }
    }
}
