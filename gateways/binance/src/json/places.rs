//! Hot path. Numbers whose digits stand where those of an earlier one stood: what was found out about the text then is kept as
//! masks, so reading one more is a word or two, three multiplications each, and no search for point or quote.
//!
//! Nothing here depends on the text but the numbers themselves: where the next value begins is known before this one is read.
use crate::json::digits::{ZEROS, eight, number, others};
use crate::json::scale::{Scale, Steps, TEN_TO, WHOLE_DIGITS};

const WORD: usize = 8;

/// A whole number of at most 16 digits at a fixed place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    /// Where the last eight of its bytes begin.
    at: u32,
    /// The bytes of that word which belong to it, and of the word before.
    low: u64,
    high: u64,
}

/// A decimal of at most 16 characters, of which the last word, and the one before in a longer one, are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    /// Where it ends, less eight.
    at: u32,
    len: u32,
    low: Places,
    high: Places,
    /// What the word before counts for, 0 when there is none.
    high_factor: u64,
    /// Makes steps of the digits.
    steps: Steps,
}

/// Which bytes of a word are digits before the point, the point, and digits behind it.
#[derive(Clone, Copy, Debug)]
struct Places {
    whole: u64,
    point: u64,
    part: u64,
}

impl Number {
    /// No digits: 0.
    pub const NONE: Self = Self { at: 0, low: 0, high: 0 };

    /// The number at `from..to`, which is digits.
    pub fn at(from: usize, to: usize) -> Option<Self> {
        let len = to - from;
        if len > 2 * WORD || to < 2 * WORD {
            return None;
        }
        Some(Self { at: (to - WORD) as u32, low: last_bytes(len), high: last_bytes(len.saturating_sub(WORD)) })
    }

    /// For a text that has digits in these places.
    #[inline(always)]
    pub fn read(&self, bytes: &[u8]) -> Option<u64> {
        let low = number(eight(bytes, self.at)? & self.low);
        if self.high == 0 {
            return Some(low);
        }
        Some(number(eight(bytes, self.at.wrapping_sub(8))? & self.high) * TEN_TO[WORD] + low)
    }
}

impl Decimal {
    /// Fits no text.
    pub const NONE: Self =
        Self { at: 0, len: u32::MAX, low: Places::NONE, high: Places::NONE, high_factor: 0, steps: Steps::NONE };

    /// The decimal at `from..to`, when it is digits with perhaps a point between them.
    pub fn at(text: &[u8], from: usize, to: usize, scale: &Scale) -> Option<Self> {
        let (text, len) = (text.get(from..to)?, to - from);
        let point = text.iter().position(|&b| b == b'.');
        if text.iter().enumerate().any(|(at, b)| !b.is_ascii_digit() && Some(at) != point) {
            return None;
        }
        Self::shaped(to, len, point, scale)
    }

    /// One of `len` characters that ends at `to`: digits, and after `point` of them a point.
    #[inline]
    pub fn shaped(to: usize, len: usize, point: Option<usize>, scale: &Scale) -> Option<Self> {
        let (whole_len, part_len) = point.map_or((len, 0), |point| (point, len - point - 1));
        if len > 2 * WORD || to < 2 * WORD || whole_len == 0 || whole_len > WHOLE_DIGITS || point == Some(len - 1) {
            return None;
        }
        let (low, high) = (last_bytes(len), last_bytes(len.saturating_sub(WORD)));
        let (low, high) = match point {
            None => (Places::part(low), Places::part(high)),
            // The point is the last byte of the word before, or a byte of the last one.
            Some(_) if part_len == WORD => (Places::part(low), Places::whole_and_point(high, 0)),
            Some(_) => (Places::whole_and_point(low, part_len), Places::part(high)),
        };
        let low_digits = if low.point == 0 { WORD } else { WORD - 1 };
        let high_factor = if len > WORD { TEN_TO[low_digits] } else { 0 };
        let steps = scale.steps_of(part_len)?;
        Some(Self { at: (to - WORD) as u32, len: len as u32, low, high, high_factor, steps })
    }

    /// For a text that has digits and point in these places.
    #[inline(always)]
    pub fn read(&self, bytes: &[u8]) -> Option<i64> {
        let low = self.low.number(eight(bytes, self.at)?);
        if self.high_factor != 0 {
            return self.read_long(bytes, low);
        }
        self.steps.count(low)
    }

    #[inline(never)]
    fn read_long(&self, bytes: &[u8], low: u64) -> Option<i64> {
        let high = self.high.number(eight(bytes, self.at.wrapping_sub(8))?);
        self.steps.count(high * self.high_factor + low)
    }

    /// The count of a number that begins at `at`, and the place behind its closing quote, when its digits, point and quote
    /// stand as they did in the number that this was made of.
    #[inline(always)]
    pub fn read_like(&self, bytes: &[u8], at: usize) -> Option<(i64, usize)> {
        let end = at + self.len as usize;
        if *bytes.get(end)? != b'"' {
            return None;
        }
        let low = self.low.checked(eight(bytes, (end as u32).wrapping_sub(8))?)?;
        if self.high_factor == 0 {
            return Some((self.steps.count(low)?, end + 1));
        }
        let high = self.high.checked(eight(bytes, (end as u32).wrapping_sub(16))?)?;
        Some((self.steps.count(high * self.high_factor + low)?, end + 1))
    }
}

impl Places {
    const NONE: Self = Self { whole: 0, point: 0, part: 0 };

    /// Digits only.
    fn part(digits: u64) -> Self {
        Self { part: digits, ..Self::NONE }
    }

    /// Of the bytes in `all`, the last `part_len` are behind the point.
    fn whole_and_point(all: u64, part_len: usize) -> Self {
        let (part, from_point) = (last_bytes(part_len), last_bytes(part_len + 1));
        Self { whole: all & !from_point, point: from_point & !part, part }
    }

    /// The digits, those before the point a byte further up, over it.
    #[inline(always)]
    fn number(&self, values: u64) -> u64 {
        number((values & self.whole) << 8 | (values & self.part))
    }

    /// `None` when what should be a digit or the point is something else.
    #[inline(always)]
    fn checked(&self, values: u64) -> Option<u64> {
        const POINTS: u64 = 0x2e2e_2e2e_2e2e_2e2e ^ ZEROS;
        let (whole, part) = (values & self.whole, values & self.part);
        let wrong = others(whole | part) | ((values ^ POINTS) & self.point);
        (wrong == 0).then(|| number(whole << 8 | part))
    }
}

/// The mask of the last `len` bytes of a word, all of it from 8 on.
fn last_bytes(len: usize) -> u64 {
    if len == 0 { 0 } else { u64::MAX << (64 - 8 * len.min(WORD)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tercel_types::Decimal as Step;

    proptest! {
        /// A number that is read like another one counts as it would alone, and only one of the same shape is.
        #[test]
        fn numbers_read_like_another_count_alike_prop(
            first in "[0-9]{1,11}(\\.[0-9]{1,9})?",
            changes in prop::collection::vec((any::<prop::sample::Index>(), "[0-9./:\\-e\"\\x7f]"), 0..4),
            other in prop_oneof!["[0-9]{1,11}(\\.[0-9]{1,9})?", "[0-9.\\-]{0,9}"],
            step in prop_oneof!["0\\.0{0,8}[125]", "[1-9][0-9]{0,3}", "0\\.(25|05|125|75)"],
            before in 0usize..3,
        ) {
            let step = Step::parse(step.as_bytes()).unwrap();
            let scale = Scale::new(step);
            let from = 16 + before;
            let line = |text: &str| format!("{}{text}\",", "7".repeat(from));
            let Some(like) = Decimal::at(line(&first).as_bytes(), from, from + first.len(), &scale) else {
                return Ok(());
            };
            let mut changed = first.clone().into_bytes();
            for (at, byte) in &changes {
                let at = at.index(changed.len());
                changed[at] = byte.as_bytes()[0];
            }
            for text in [first, String::from_utf8(changed).unwrap(), other] {
                if let Some((count, end)) = like.read_like(line(&text).as_bytes(), from) {
                    prop_assert_eq!((Ok(count), end), (step.count_of(text.as_bytes()), from + text.len() + 1), "{}", text);
                }
            }
        }

        /// What is on the step and within the limits is read like itself.
        #[test]
        fn a_number_is_read_like_itself_prop(whole in 0u64..10_000_000_000, part in "[0-9]{1,6}") {
            let text = format!("{whole}.{part}");
            let (scale, step) = (Scale::new(Step { mantissa: 1, scale: 8 }), Step { mantissa: 1, scale: 8 });
            let line = format!("{}{text}\"", "[".repeat(16));
            let like = Decimal::at(line.as_bytes(), 16, 16 + text.len(), &scale);
            let want = (text.len() <= 16).then(|| (step.count_of(text.as_bytes()).unwrap(), line.len()));
            prop_assert_eq!(like.and_then(|like| like.read_like(line.as_bytes(), 16)), want);
        }
    }
}
