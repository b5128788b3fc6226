//! Hot path. Decimal text to a count of steps.
//!
//! The digits of `61800.20` are one whole number and the place of the point; times a power of ten that is a number of units
//! of 10^-8, which is then divided by the step exactly: multiplying by the inverse of the odd part modulo 2^64 gives the
//! quotient when the division has no remainder, and a number above the largest possible quotient when it has one (Granlund
//! and Montgomery, Division by Invariant Integers using Multiplication, 1994, §9).
//!
//! Memory      none.
//! Cost        a number of at most eight characters is one word: the point is taken out of it, and three multiplications
//!             make it a number. Longer ones take a word or two before the point and one behind it. Anything unusual (a
//!             sign, more than 10 digits before or 8 behind the point, a step finer than 10^-8) leaves through
//!             `count_slow`, which gives the same answers.
use crate::json::Why;
use crate::json::digits::{before, eight, first, number, others};
use tercel_types::{Decimal, DecimalError};

/// Counts steps of one fixed size.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    step: Decimal,
    /// Of units of 10^-8.
    steps: Steps,
    /// The inverse for eight digits of which i stand before the point: they are units of 10^(i − 8).
    inverse_at: [u64; WORD],
}

/// A number that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub count: i64,
    /// Behind the closing quote.
    pub end: usize,
    /// Digits before the point, `None` without one and where the slow way was taken.
    pub point: Option<usize>,
}

/// The exact division that makes steps of a whole number of some unit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    /// Inverse modulo 2^64 of the odd part of the step in units of 10^-8, times how many of those the unit is.
    inverse: u64,
    /// Trailing zero bits of the step in units of 10^-8.
    shift: u32,
    /// 0 when the step is no whole number of units: then the fast way finds no multiple and the slow way decides.
    quotient_max: u64,
}

impl Steps {
    pub const NONE: Self = Self { inverse: 1, shift: 0, quotient_max: 0 };

    /// `None` when it is no whole number of steps.
    #[inline(always)]
    pub fn count(self, units: u64) -> Option<i64> {
        let count = units.wrapping_mul(self.inverse).rotate_right(self.shift);
        // Where the step is no whole number of units only 0 passes, and 0 is 0 in every step.
        (count <= self.quotient_max).then_some(count as i64)
    }
}

const WORD: usize = 8;
const PART_DIGITS: usize = 8;
/// More digits before the point than this leave through the slow way: ten of them are below 2^63 units.
pub(super) const WHOLE_DIGITS: usize = 10;
/// Digits before the point, the point, a word behind it, quote.
const WINDOW: usize = 2 * WORD + 1 + WORD + 1;
pub(super) const TEN_TO: [u64; PART_DIGITS + 1] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

impl Scale {
    /// `step` must be positive.
    pub fn new(step: Decimal) -> Self {
        let mut scale = Self { step, steps: Steps::NONE, inverse_at: [1; WORD] };
        if step.mantissa <= 0 || usize::from(step.scale) > PART_DIGITS {
            return scale;
        }
        let power = TEN_TO[PART_DIGITS - usize::from(step.scale)];
        let Some(units) = (step.mantissa as u64).checked_mul(power) else { return scale };
        let shift = units.trailing_zeros();
        let inverse = inverse_of_odd(units >> shift);
        scale.steps = Steps { inverse, shift, quotient_max: u64::MAX / units };
        scale.inverse_at = core::array::from_fn(|at| inverse.wrapping_mul(TEN_TO[at]));
        scale
    }

    /// Reads the number that starts at `bytes[at]`, behind an opening quote.
    #[inline(always)]
    pub fn count(&self, bytes: &[u8], at: usize) -> Result<Counted, Why> {
        let text = bytes.get(at..).and_then(|rest| rest.first_chunk());
        match text.and_then(|text| self.count_word(text)) {
            Some(found) => Ok(Counted { end: at + found.end, ..found }),
            None => self.count_long(bytes, at),
        }
    }

    /// What makes steps of the digits of a number with `part_digits` of them behind the point.
    pub(super) fn steps_of(&self, part_digits: usize) -> Option<Steps> {
        let power = *TEN_TO.get(PART_DIGITS.checked_sub(part_digits)?)?;
        Some(Steps { inverse: self.steps.inverse.wrapping_mul(power), ..self.steps })
    }

    /// A number of at most eight characters at the start of `text`.
    #[inline(always)]
    fn count_word(&self, text: &[u8; WORD + 1]) -> Option<Counted> {
        let values = eight(text, 0)?;
        let marks = others(values);
        if marks == 0 {
            return None;
        }
        let (point, whole) = (first(marks), before(marks));
        let (digits, quote) = if text[point] == b'.' {
            let marks = marks & marks.wrapping_sub(1);
            let (part, quote) = if marks == 0 { (values, WORD) } else { (values & before(marks), first(marks)) };
            // What stands behind the point moves one byte down, over it.
            ((part & whole) | (part >> 8 & !whole), quote)
        } else {
            (values & whole, point)
        };
        if text[quote] != b'"' || point == 0 || quote == point + 1 {
            return None;
        }
        let steps = Steps { inverse: self.inverse_at[point], ..self.steps };
        let point = (quote > point).then_some(point);
        Some(Counted { count: steps.count(number(digits))?, end: quote + 1, point })
    }

    #[inline(never)]
    fn count_long(&self, bytes: &[u8], at: usize) -> Result<Counted, Why> {
        let rest = bytes.get(at..).unwrap_or(&[]);
        // The last bytes of a message do not fill a window: they are read from a copy with zeros behind.
        let mut copy = [0; WINDOW];
        let window = match rest.first_chunk() {
            Some(window) => window,
            None => {
                copy[..rest.len()].copy_from_slice(rest);
                &copy
            }
        };
        match self.count_words(window) {
            Some(found) => Ok(Counted { end: at + found.end, ..found }),
            None => self.count_slow(bytes, at),
        }
    }

    #[inline(always)]
    fn count_words(&self, window: &[u8; WINDOW]) -> Option<Counted> {
        let (whole, whole_len) = leading(window)?;
        let (units, len) = match *window.get(whole_len)? {
            b'.' => {
                let values = eight(window, whole_len as u32 + 1)?;
                let marks = others(values);
                let part = if marks == 0 { values } else { values & before(marks) };
                (whole * TEN_TO[PART_DIGITS] + number(part), whole_len + 1 + first(marks))
            }
            _ => (whole * TEN_TO[PART_DIGITS], whole_len),
        };
        if *window.get(len)? != b'"' || whole_len == 0 || len == whole_len + 1 {
            return None;
        }
        let point = (len > whole_len).then_some(whole_len);
        Some(Counted { count: self.steps.count(units)?, end: len + 1, point })
    }

    #[cold]
    #[inline(never)]
    fn count_slow(&self, bytes: &[u8], at: usize) -> Result<Counted, Why> {
        let rest = bytes.get(at..).unwrap_or(&[]);
        let Some(len) = rest.iter().position(|&b| b == b'"') else { return Err(Why::Truncated) };
        match self.step.count_of(&rest[..len]) {
            Ok(count) => Ok(Counted { count, end: at + len + 1, point: None }),
            Err(DecimalError::OffStep) => Err(Why::OffStep),
            Err(DecimalError::Overflow) => Err(Why::Overflow),
            Err(DecimalError::Malformed) => Err(Why::Number),
        }
    }
}

/// The number that the window begins with and its length, at most `WHOLE_DIGITS`.
#[inline(always)]
fn leading(window: &[u8]) -> Option<(u64, usize)> {
    let values = eight(window, 0)?;
    let marks = others(values);
    if marks != 0 {
        return Some(leading_digits(values, marks));
    }
    let values_more = eight(window, WORD as u32)?;
    let marks = others(values_more);
    if marks == 0 || first(marks) > WHOLE_DIGITS - WORD {
        return None;
    }
    let (more, more_len) = leading_digits(values_more, marks);
    Some((number(values) * TEN_TO[more_len] + more, WORD + more_len))
}

/// The digits before the first mark, which there must be, and how many there are.
#[inline(always)]
fn leading_digits(values: u64, marks: u64) -> (u64, usize) {
    let len = first(marks);
    // Leading zeros: the digits move to the end of the word, by all of it when there is none.
    (number(values.checked_shl(64 - 8 * len as u32).unwrap_or(0)), len)
}

/// Reads a JSON number that is a whole number without sign, at most 19 digits. Returns it and the place behind it.
#[inline]
pub fn whole(bytes: &[u8], at: usize) -> Result<(u64, usize), Why> {
    let rest = bytes.get(at..).unwrap_or(&[]);
    match whole_short(rest) {
        // A fraction or an exponent would make it another number than the digits say.
        Some((value, len)) if !matches!(rest.get(len), Some(b'.' | b'e' | b'E')) => Ok((value, at + len)),
        _ => whole_slow(rest).map(|(value, len)| (value, at + len)),
    }
}

/// Ids and times: fewer than 8 digits, or 13, and 14 bytes of text at least. `None` when it is another number, or perhaps
/// none: what follows the digits is the caller's to look at.
#[inline(always)]
pub(super) fn whole_short(rest: &[u8]) -> Option<(u64, usize)> {
    const LEN: usize = 13;
    let text: &[u8; LEN + 1] = rest.first_chunk()?;
    let values = eight(text, 0)?;
    let marks = others(values);
    let zero_first = values & 0xff == 0;
    if marks != 0 {
        let (value, len) = leading_digits(values, marks);
        return (len == 1 || (len > 0 && !zero_first)).then_some((value, len));
    }
    let last = eight(text, (LEN - WORD) as u32)?;
    if zero_first || others(last) != 0 || text[LEN].is_ascii_digit() {
        return None;
    }
    Some((number(values << (8 * (2 * WORD - LEN))) * TEN_TO[WORD] + number(last), LEN))
}

#[inline(never)]
fn whole_slow(rest: &[u8]) -> Result<(u64, usize), Why> {
    let (mut value, mut len) = (0u64, 0);
    while let Some(digit) = rest.get(len).map(|b| b.wrapping_sub(b'0')).filter(|&d| d <= 9) {
        if len == 19 {
            return Err(Why::Overflow);
        }
        value = value * 10 + u64::from(digit);
        len += 1;
    }
    match rest.get(len) {
        Some(b'.' | b'e' | b'E') => Err(Why::Number),
        _ if len == 0 || (len > 1 && rest[0] == b'0') => Err(Why::Number),
        _ => Ok((value, len)),
    }
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

    fn count(step: &str, text: &[u8], at: usize) -> Result<(i64, usize), Why> {
        let scale = Scale::new(Decimal::parse(step.as_bytes()).unwrap());
        scale.count(text, at).map(|found| (found.count, found.end))
    }

    #[test]
    fn steps_of_every_shape_are_counted() {
        assert_eq!(count("0.10", b"61800.20\",\"", 0), Ok((618_002, 9)));
        assert_eq!(count("1", b"x1001\"]", 1), Ok((1_001, 6)));
        assert_eq!(count("0.25", b"4500.75\"", 0), Ok((18_003, 8)));
        assert_eq!(count("0.00000001", b"0.00000001\"", 0), Ok((1, 11)));
        assert_eq!(count("5", b"15\"", 0), Ok((3, 3)));
        assert_eq!(count("0.000000000001", b"0.000000000003\"", 0), Ok((3, 15)));
        assert_eq!(count("0.1", b"-0.3\"", 0), Ok((-3, 5)));
        assert_eq!(count("0.1", b"123456789012.3\"", 0), Ok((1_234_567_890_123, 15)));
        assert_eq!(count("0.1", b"61800.25\"", 0), Err(Why::OffStep));
        assert_eq!(count("0.1", b"61800.2", 0), Err(Why::Truncated));
        for bad in [&b"\""[..], b"1.\"", b"1.2.3\"", b"1e5\"", b" 1\"", b"1 \"", b"0x1\"", b"1:2\"", b"1/2\""] {
            assert_eq!(count("0.1", bad, 0), Err(Why::Number), "{:?}", String::from_utf8_lossy(bad));
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
                Ok(Counted { count, end, .. }) => prop_assert_eq!((Ok(count), end), (want, line.len())),
                Err(_) => prop_assert!(want.is_err(), "{:?} in {:?}: {:?}", text, step, want),
            }
        }
    }
}
