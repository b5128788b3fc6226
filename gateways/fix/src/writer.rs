//! Hot path. Builds one outgoing message: body first, then BeginString and BodyLength in front of it, so that nothing moves.
//!
//! Thread      the session's.
//! Memory      one buffer, allocated once; a message that does not fit is refused by `finish`, never cut.
//! Cost        see benches/fix: a NewOrderSingle from its template.
use crate::message::{SOH, checksum};
use crate::number::Digits;
use crate::stamp::{STAMP_LEN, StampCache};
use crate::tag::Prefix;
use tercel_types::{Decimal, TimeNs};

/// Room for `8=FIXT.1.1`, `9=nnnnnn` and two SOH.
const HEAD_ROOM: usize = 32;
/// Spare bytes behind the limit, so that fixed-size copies need no exact bound.
const SLACK: usize = 64;

/// A buffer in which messages are built, one after the other.
#[derive(Debug)]
pub struct Writer {
    buf: Box<[u8]>,
    at: usize,
    /// Last place where a field may end.
    limit: usize,
    overflow: bool,
    stamps: StampCache,
}

impl Writer {
    /// Longest message that we build, in bytes.
    pub const DEFAULT_LEN: usize = 8 * 1024;

    pub fn with_capacity(len: usize) -> Self {
        let limit = HEAD_ROOM + len;
        Self {
            buf: vec![0; limit + SLACK].into_boxed_slice(),
            at: HEAD_ROOM,
            limit,
            overflow: false,
            stamps: StampCache::default(),
        }
    }

    /// Drops what was built.
    #[inline]
    pub fn begin(&mut self) {
        self.at = HEAD_ROOM;
        self.overflow = false;
    }

    /// Pre-rendered fields, each with its SOH.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if end > self.limit {
            self.overflow = true;
            return;
        }
        self.buf[self.at..end].copy_from_slice(bytes);
        self.at = end;
    }

    /// A text field. The value must not hold SOH: texts of configuration are checked when they are read, others come from
    /// a received field, which cannot hold one.
    #[inline]
    pub fn text<const TAG: u32>(&mut self, value: &[u8]) {
        debug_assert!(!value.contains(&SOH), "SOH in a value");
        self.prefix::<TAG>();
        self.raw(value);
        self.byte(SOH);
    }

    /// A field of constant length.
    #[inline]
    pub fn fixed<const TAG: u32, const N: usize>(&mut self, value: &[u8; N]) {
        self.prefix::<TAG>();
        self.copy(value, N);
        self.byte(SOH);
    }

    #[inline]
    pub fn char<const TAG: u32>(&mut self, value: u8) {
        self.fixed::<TAG, 1>(&[value]);
    }

    #[inline]
    pub fn uint<const TAG: u32>(&mut self, value: u64) {
        self.prefix::<TAG>();
        self.digits(&Digits::of(value));
        self.byte(SOH);
    }

    /// `count · step`, with exactly the digits of the step.
    #[inline]
    pub fn decimal<const TAG: u32>(&mut self, step: Decimal, count: i64) {
        self.prefix::<TAG>();
        match count.checked_mul(step.mantissa) {
            Some(units) => {
                self.digits(&Digits::scaled(units.unsigned_abs(), units < 0, usize::from(step.scale.min(18))))
            }
            None => self.raw(step.text_of(count).as_bytes()),
        }
        self.byte(SOH);
    }

    #[inline]
    pub fn time<const TAG: u32>(&mut self, time: TimeNs) {
        let stamp: [u8; STAMP_LEN] = *self.stamps.render(time);
        self.fixed::<TAG, STAMP_LEN>(&stamp);
    }

    /// Number with the tag as a value, for copies of received fields.
    pub fn field(&mut self, tag: u32, value: &[u8]) {
        self.digits(&Digits::of(u64::from(tag)));
        self.byte(b'=');
        self.raw(value);
        self.byte(SOH);
    }

    /// Adds BeginString, BodyLength and CheckSum and returns the message; `None` when it did not fit.
    /// `begin` is the pre-rendered `8=FIX.4.4` with SOH and `9=`.
    #[inline]
    pub fn finish(&mut self, begin: &[u8]) -> Option<&[u8]> {
        let body_end = self.at;
        let len = Digits::of((body_end - HEAD_ROOM) as u64);
        let start = HEAD_ROOM.checked_sub(begin.len() + len.len() + 1)?;
        if self.overflow || self.at > self.limit {
            return None;
        }
        self.buf[start..start + begin.len()].copy_from_slice(begin);
        let digits_at = start + begin.len();
        self.buf[digits_at..digits_at + len.len()].copy_from_slice(&len.span()[..len.len()]);
        self.buf[HEAD_ROOM - 1] = SOH;
        let sum = checksum(&self.buf[start..body_end]);
        let trailer = [b'1', b'0', b'=', b'0' + sum / 100, b'0' + sum / 10 % 10, b'0' + sum % 10, SOH];
        self.copy(&trailer, trailer.len());
        let end = self.at;
        self.at = body_end;
        Some(&self.buf[start..end])
    }

    #[inline]
    fn prefix<const TAG: u32>(&mut self) {
        self.copy(&Prefix::<TAG>::TEXT, Prefix::<TAG>::LEN);
    }

    #[inline]
    fn digits(&mut self, digits: &Digits) {
        self.copy(digits.span(), digits.len());
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.copy(&[byte], 1);
    }

    /// Copies `N` bytes, of which `len` count: the size of the copy is a constant.
    #[inline]
    fn copy<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        const { assert!(N <= SLACK) };
        if self.at > self.limit {
            self.overflow = true;
            return;
        }
        if let Some(slot) = self.buf[self.at..].first_chunk_mut::<N>() {
            *slot = *bytes;
        }
        self.at += len;
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::with_capacity(Self::DEFAULT_LEN)
    }
}
