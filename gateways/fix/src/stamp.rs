//! UTCTimestamp, `YYYYMMDD-HH:MM:SS.sss`, both ways.
use crate::number::text3;
use tercel_types::TimeNs;

pub const STAMP_LEN: usize = 21;
const NS_PER_S: i64 = 1_000_000_000;

/// Renders times, patching only what changed since the call before: within one second three digits.
#[derive(Clone, Debug)]
pub struct StampCache {
    /// Start of the second that `text` names.
    second: TimeNs,
    day: i64,
    text: [u8; STAMP_LEN],
}

impl Default for StampCache {
    fn default() -> Self {
        Self { second: TimeNs(0), day: 0, text: *b"19700101-00:00:00.000" }
    }
}

impl StampCache {
    /// Milliseconds are cut, not rounded, so that a stamp is never in the future. Times outside the years 0..=9999 are
    /// rendered as 19700101-00:00:00.000.
    #[inline]
    pub fn render(&mut self, time: TimeNs) -> &[u8; STAMP_LEN] {
        let (digits, _) = text3(self.split(time), 0);
        self.text[18..].copy_from_slice(&digits.to_le_bytes()[..3]);
        &self.text
    }

    /// Goes to the second of `time` and returns its milliseconds.
    #[inline]
    pub(crate) fn split(&mut self, time: TimeNs) -> u32 {
        let mut of_second = time.0.wrapping_sub(self.second.0) as u64;
        if of_second >= NS_PER_S as u64 {
            self.render_second(time.0.div_euclid(NS_PER_S));
            of_second = time.0.rem_euclid(NS_PER_S) as u64;
        }
        of_second as u32 / 1_000_000
    }

    /// Start of the second at which the cache stands.
    #[inline]
    pub(crate) fn second(&self) -> TimeNs {
        self.second
    }

    /// Its text, with the point and any three digits.
    pub(crate) fn second_text(&self) -> &[u8; STAMP_LEN] {
        &self.text
    }

    #[cold]
    fn render_second(&mut self, second: i64) {
        self.second = TimeNs(second.wrapping_mul(NS_PER_S));
        let day = second.div_euclid(86_400);
        if day != self.day {
            self.day = day;
            let (year, month, date) = civil_of(day);
            two(&mut self.text, 0, (year / 100) as u32);
            two(&mut self.text, 2, (year % 100) as u32);
            two(&mut self.text, 4, month);
            two(&mut self.text, 6, date);
        }
        let of_day = second.rem_euclid(86_400) as u32;
        two(&mut self.text, 9, of_day / 3_600);
        two(&mut self.text, 12, of_day / 60 % 60);
        two(&mut self.text, 15, of_day % 60);
    }
}

fn two(text: &mut [u8; STAMP_LEN], at: usize, value: u32) {
    text[at] = b'0' + (value / 10 % 10) as u8;
    text[at + 1] = b'0' + (value % 10) as u8;
}

/// Reads `YYYYMMDD-HH:MM:SS` with 0 to 9 digits after a point. `None` for anything else, also for a 13th month.
/// A leap second (60) reads as the first instant of the next minute.
#[inline]
pub fn parse_stamp(text: &[u8]) -> Option<TimeNs> {
    let (head, fraction) = text.split_at_checked(17)?;
    if head[8] != b'-' || head[11] != b':' || head[14] != b':' {
        return None;
    }
    let number = |from: usize, len: usize| -> Option<i64> {
        let mut value = 0i64;
        for &byte in &head[from..from + len] {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        Some(value)
    };
    let (year, month, date) = (number(0, 4)?, number(4, 2)?, number(6, 2)?);
    let (hour, minute, second) = (number(9, 2)?, number(12, 2)?, number(15, 2)?);
    if !(1..=12).contains(&month) || date < 1 || date > days_in(year, month) || hour > 23 || minute > 59 || second > 60
    {
        return None;
    }
    let ns = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            let mut value = 0i64;
            for at in 0..9 {
                let digit = digits.get(at).map_or(0, |b| b.wrapping_sub(b'0'));
                if digit > 9 {
                    return None;
                }
                value = value * 10 + i64::from(digit);
            }
            value
        }
        _ => return None,
    };
    let seconds = days_of(year, month, date) * 86_400 + hour * 3_600 + minute * 60 + second;
    // Years past 2262 do not fit 64-bit nanoseconds.
    Some(TimeNs(seconds.checked_mul(NS_PER_S)?.checked_add(ns)?))
}

/// Reads stamps that mostly share their second with the one before: then three digits are left to read.
#[derive(Clone, Debug)]
pub struct StampReader {
    head: [u8; 17],
    head_ns: i64,
}

impl Default for StampReader {
    fn default() -> Self {
        Self { head: *b"19700101-00:00:00", head_ns: 0 }
    }
}

impl StampReader {
    /// As `parse_stamp`.
    #[inline]
    pub fn read(&mut self, text: &[u8]) -> Option<TimeNs> {
        if let Some((head, [b'.', a, b, c])) = text.split_first_chunk::<17>()
            && *head == self.head
            && [a, b, c].iter().all(|digit| digit.is_ascii_digit())
        {
            let ms = i64::from(a - b'0') * 100 + i64::from(b - b'0') * 10 + i64::from(c - b'0');
            return Some(TimeNs(self.head_ns + ms * 1_000_000));
        }
        let time = parse_stamp(text)?;
        // A leap second is not kept: its text stands for a second that another text names too.
        if let Some(head) = text.first_chunk::<17>().filter(|head| head[15] != b'6') {
            (self.head, self.head_ns) = (*head, time.0 - time.0.rem_euclid(NS_PER_S));
        }
        Some(time)
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date. Source: Hinnant, chrono-compatible low-level date algorithms.
fn days_of(year: i64, month: i64, date: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + date - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of `days_of`; years outside 0..=9999 answer 1970-01-01.
fn civil_of(day: i64) -> (i64, u32, u32) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * of_year + 2) / 153;
    let date = of_year - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if (0..=9_999).contains(&year) { (year, month as u32, date as u32) } else { (1970, 1, 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants() {
        let mut cache = StampCache::default();
        assert_eq!(cache.render(TimeNs(0)), b"19700101-00:00:00.000");
        assert_eq!(cache.render(TimeNs(1_709_210_096_123_999_999)), b"20240229-12:34:56.123");
        assert_eq!(parse_stamp(b"20240229-12:34:56.123"), Some(TimeNs(1_709_210_096_123_000_000)));
        assert_eq!(parse_stamp(b"20240229-12:34:56"), Some(TimeNs(1_709_210_096_000_000_000)));
        assert_eq!(parse_stamp(b"20240229-12:34:56.000000001"), Some(TimeNs(1_709_210_096_000_000_001)));
    }

    #[test]
    fn impossible_instants_are_refused() {
        for bad in [
            &b""[..],
            b"20230229-00:00:00",
            b"20241301-00:00:00",
            b"20240101-24:00:00",
            b"20240101-00:60:00",
            b"20240101 00:00:00",
            b"20240101-00:00:00.",
            b"20240101-00:00:00.0000000000",
            b"2024010x-00:00:00",
        ] {
            assert_eq!(parse_stamp(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        /// One cache over times in any order renders what a fresh one renders, and the text reads back to the millisecond.
        #[test]
        fn stamps_round_trip_prop(times in prop::collection::vec(0i64..9_000_000_000_000_000_000, 1..40)) {
            let (mut cache, mut reader) = (StampCache::default(), StampReader::default());
            for time in times {
                let text = *cache.render(TimeNs(time));
                prop_assert_eq!(text, *StampCache::default().render(TimeNs(time)));
                prop_assert_eq!(parse_stamp(&text), Some(TimeNs(time - time % 1_000_000)));
                prop_assert_eq!(reader.read(&text), parse_stamp(&text));
                prop_assert_eq!(reader.read(&text[..20]), parse_stamp(&text[..20]));
                prop_assert_eq!(reader.read(&text[..17]), parse_stamp(&text[..17]));
                prop_assert_eq!(reader.read(&text), parse_stamp(&text));
            }
        }
    }
}
