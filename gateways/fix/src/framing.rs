//! Where messages begin and end in a stream of bytes, and the buffer that keeps the start of one until the rest arrives.
use crate::message::{Garbled, SOH};

/// Longest message that is taken or sent, in bytes.
pub const MAX_MESSAGE_LEN: usize = 64 * 1024;
/// `10=ddd` and SOH.
pub const TRAILER_LEN: usize = 7;
const BEGIN: &[u8; 5] = b"8=FIX";
/// `8=FIXT.1.1`, SOH, `9=`, six digits, SOH, with room to spare.
const MAX_HEAD_LEN: usize = 32;

/// A message at the start of the scanned bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Of the whole message, from `8=` to the SOH after CheckSum.
    pub len: usize,
    /// Place of `35=`.
    pub body_start: usize,
    pub begin_string_end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    Message(Extent),
    /// The message is not all there yet.
    Partial,
    /// No message begins here: skip so many bytes. They belong to no message, or to one whose start was lost.
    Garbage {
        skip: usize,
    },
    /// A message begins here and cannot be one: skip so many bytes, to the next `8=FIX`.
    Garbled {
        skip: usize,
        why: Garbled,
    },
}

/// Looks at the start of `bytes`. Never looks past the message that begins there, except to find the next one after
/// garbage; CheckSum is left to `Index::parse_extent`.
#[inline]
pub fn scan(bytes: &[u8]) -> Scan {
    let Some(begin) = bytes.first_chunk::<5>() else {
        return if BEGIN.starts_with(bytes) { Scan::Partial } else { garbage(bytes) };
    };
    if begin != BEGIN {
        return garbage(bytes);
    }
    let head = &bytes[..bytes.len().min(MAX_HEAD_LEN)];
    let (begin_string_end, mut at) = match head.first_chunk::<12>() {
        Some(b"8=FIX.4.4\x019=") => (9, 12),
        _ => match scan_head(head, bytes) {
            Ok(places) => places,
            Err(scan) => return scan,
        },
    };
    let (first, mut body_len) = (at, 0usize);
    loop {
        match head.get(at) {
            None if head.len() < MAX_HEAD_LEN => return Scan::Partial,
            Some(byte @ b'0'..=b'9') if at - first < 6 => body_len = body_len * 10 + usize::from(byte - b'0'),
            Some(&SOH) if at > first => break,
            _ => return garbled(bytes, Garbled::BodyLength),
        }
        at += 1;
    }
    let body_start = at + 1;
    let len = body_start + body_len + TRAILER_LEN;
    if len > MAX_MESSAGE_LEN {
        return garbled(bytes, Garbled::TooLong);
    }
    let begins = &bytes[body_start.min(bytes.len())..bytes.len().min(body_start + 3)];
    if begins != b"35=" {
        return if b"35=".starts_with(begins) { Scan::Partial } else { garbled(bytes, Garbled::Order) };
    }
    let Some(message) = bytes.get(..len) else { return Scan::Partial };
    match message[len - TRAILER_LEN - 1..] {
        [SOH, b'1', b'0', b'=', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', SOH] => {
            Scan::Message(Extent { len, body_start, begin_string_end })
        }
        _ => garbled(bytes, Garbled::BodyLength),
    }
}

/// End of BeginString and place of the first digit of BodyLength, whatever the version.
#[cold]
fn scan_head(head: &[u8], bytes: &[u8]) -> Result<(usize, usize), Scan> {
    let Some(begin_string_end) = head.iter().position(|&b| b == SOH) else {
        let partial = head.len() < MAX_HEAD_LEN;
        return Err(if partial { Scan::Partial } else { garbled(bytes, Garbled::Order) });
    };
    // "9=" and up to six digits; anything else is out of order.
    let mut at = begin_string_end + 1;
    for want in b"9=" {
        match head.get(at) {
            None => return Err(Scan::Partial),
            Some(byte) if byte == want => at += 1,
            Some(_) => return Err(garbled(bytes, Garbled::Order)),
        }
    }
    Ok((begin_string_end, at))
}

#[cold]
fn garbage(bytes: &[u8]) -> Scan {
    Scan::Garbage { skip: next_begin(bytes, 0) }
}

#[cold]
fn garbled(bytes: &[u8], why: Garbled) -> Scan {
    Scan::Garbled { skip: next_begin(bytes, 1), why }
}

/// Place of the next `8=FIX` at or after `from`, or of a tail that may be the start of one. `58=FIX` is not one: the byte
/// before must not be a digit.
fn next_begin(bytes: &[u8], from: usize) -> usize {
    (from..bytes.len())
        .find(|&at| {
            let rest = &bytes[at..];
            let begins = if rest.len() < BEGIN.len() { BEGIN.starts_with(rest) } else { rest.starts_with(BEGIN) };
            begins && (at == 0 || !bytes[at - 1].is_ascii_digit())
        })
        .unwrap_or(bytes.len())
}

/// Keeps what a read left unfinished. The capacity holds one message of the longest kind and a read beside it.
#[derive(Debug)]
pub(crate) struct Carry {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Carry {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; 2 * MAX_MESSAGE_LEN].into_boxed_slice(), start: 0, end: 0 }
    }

    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn consume(&mut self, len: usize) {
        self.start = (self.start + len).min(self.end);
        if self.start == self.end {
            self.clear();
        }
    }

    /// Takes as much of `input` as fits and returns how much. At least one byte fits, for an unfinished message is
    /// shorter than `MAX_MESSAGE_LEN` and everything before it has been consumed.
    pub(crate) fn push(&mut self, input: &[u8]) -> usize {
        if self.bytes.len() - self.end < input.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let taken = input.len().min(self.bytes.len() - self.end);
        self.bytes[self.end..self.end + taken].copy_from_slice(&input[..taken]);
        self.end += taken;
        taken
    }
}
