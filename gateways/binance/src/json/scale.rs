//! Hot path. Decimal text to a count of steps, eight digits at a time.
//!
//! A number `61800.20` becomes 6,180,020,000,000 units of 10^-8 and is then divided by the step exactly: multiplying by the
//! inverse of the odd part modulo 2^64 gives the quotient when the division has no remainder, and a number above the largest
//! possible quotient when it has one (Granlund and Montgomery, Division by Invariant Integers using Multiplication, 1994, §9).
//!
//! Memory      none.
//! Cost        two 8-byte loads and six multiplications per number; anything unusual (a sign, more than 7 digits before or
//!             8 behind the point, a step finer than 10^-8) leaves through `count_slow`, which gives the same answers.
use crate::json::Why;
use tercel_types::{Decimal, DecimalError};

/// Counts steps of one fixed size.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    step: Decimal,
    /// Inverse modulo 2^64 of the odd part of the step in units of 10^-8; 0 when the fast way cannot be used.
    inverse: u64,
    /// Trailing zero bits of the step in units of 10^-8.
    shift: u32,
    quotient_max: u64,
}

const UNITS: u64 = 100_000_000;
const ZEROS: u64 = 0x3030_3030_3030_3030;

impl Scale {
    /// `step` must be positive.
    pub fn new(step: Decimal) -> Self {
        let mut slow = Self { step, inverse: 0, shift: 0, quotient_max: 0 };
        if step.mantissa <= 0 || step.scale > 8 {
            return slow;
        }
        let Some(units) = (step.mantissa as u64).checked_mul(10u64.pow(u32::from(8 - step.scale))) else { return slow };
        slow.shift = units.trailing_zeros();
        slow.quotient_max = u64::MAX / units;
        slow.inverse = inverse_of_odd(units >> slow.shift);
        slow
    }

    /// Reads the number that starts at `bytes[at]`, behind an opening quote. Returns the count and the place behind the
    /// closing quote.
    #[inline]
    pub fn count(&self, bytes: &[u8], at: usize) -> Result<(i64, usize), Why> {
        let word = load(bytes, at);
        let (whole_len, whole_digits) = digits(word);
        if self.inverse == 0 || whole_len == 0 || whole_len == 8 {
            return self.count_slow(bytes, at);
        }
        // Leading zeros: the digits move to the end of the word.
        let mut units = value_of(whole_digits << (64 - 8 * whole_len)) * UNITS;
        let mut end = at + whole_len as usize;
        match (word >> (8 * whole_len)) as u8 {
            b'"' => {}
            b'.' => {
                let word = load(bytes, end + 1);
                let (part_len, part_digits) = digits(word);
                end += 1 + part_len as usize;
                let closed = if part_len == 8 { byte(bytes, end) } else { (word >> (8 * part_len)) as u8 };
                if part_len == 0 || closed != b'"' {
                    return self.count_slow(bytes, at);
                }
                // Trailing zeros: what follows the digits is cut off.
                let mask = if part_len == 8 { u64::MAX } else { (1 << (8 * part_len)) - 1 };
                units += value_of(part_digits & mask);
            }
            _ => return self.count_slow(bytes, at),
        }
        let count = units.wrapping_mul(self.inverse).rotate_right(self.shift);
        if count > self.quotient_max {
            return Err(Why::OffStep);
        }
        Ok((count as i64, end + 1))
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

/// Reads a JSON number that is a whole number without sign, at most 19 digits. Returns it and the place behind it.
#[inline]
pub fn whole(bytes: &[u8], at: usize) -> Result<(u64, usize), Why> {
    let (len, head) = digits(load(bytes, at));
    if len == 0 {
        return Err(Why::Number);
    }
    if byte(bytes, at) == b'0' && len > 1 {
        return Err(Why::Number);
    }
    let mut value = value_of(head << (64 - 8 * len));
    let mut end = at + len as usize;
    if len == 8 {
        let (more_len, more) = digits(load(bytes, end));
        if more_len > 0 {
            value = value * TEN_TO[more_len as usize] + value_of(more << (64 - 8 * more_len));
            end += more_len as usize;
        }
        while byte(bytes, end).is_ascii_digit() {
            value = value
                .checked_mul(10)
                .and_then(|v| v.checked_add(u64::from(byte(bytes, end) - b'0')))
                .filter(|_| end - at < 19)
                .ok_or(Why::Overflow)?;
            end += 1;
        }
    }
    // A fraction or an exponent would make it another number than the digits say.
    if matches!(byte(bytes, end), b'.' | b'e' | b'E') { Err(Why::Number) } else { Ok((value, end)) }
}

const TEN_TO: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// How many digits the word starts with (0..=8), and the word with every digit as its value.
#[inline]
fn digits(word: u64) -> (u32, u64) {
    let values = word ^ ZEROS;
    // Bit 7 of a byte is set when it is no digit. A carry reaches only bytes behind one that is already marked.
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    (others.trailing_zeros() / 8, values)
}

/// The number that eight digit values spell, most significant in the lowest byte.
#[inline]
fn value_of(values: u64) -> u64 {
    let pairs = values.wrapping_mul(2_561) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(6_553_601) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(42_949_672_960_001) >> 32
}

/// Eight bytes from `at`, zeros behind the end.
#[inline]
fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(word) => u64::from_le_bytes(*word),
        None => load_end(bytes, at),
    }
}

#[cold]
fn load_end(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    let rest = bytes.get(at..).unwrap_or(&[]);
    let len = rest.len().min(8);
    word[..len].copy_from_slice(&rest[..len]);
    u64::from_le_bytes(word)
}

#[inline]
fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
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
