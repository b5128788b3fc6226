//! Hot path. One message as an index over its own bytes: tag, place and length of every field, nothing copied.
//!
//!   bytes ──▶ framing::scan (where does it end) ──▶ Index::parse (CheckSum, order, tags) ──▶ Message ──▶ Header
//!
//! Thread      the session's.
//! Memory      one table of fields, allocated once; a message with more fields is garbled (`TooManyFields`).
//! Invariants  the bytes of a `Message` begin with 8, 9, 35 in this order, end with 10, and BodyLength and CheckSum agree.
use crate::framing::{Extent, MAX_MESSAGE_LEN, Scan, TRAILER_LEN, scan};
use crate::number::parse_u32;
use crate::tag::{self, data_field_of, is_header};
use tercel_net::Marks;
use thiserror::Error;

pub const SOH: u8 = 1;

/// Why bytes are no message. A garbled message is dropped and consumes no sequence number (FIX 4.4 volume 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Garbled {
    #[error("the message does not begin with BeginString, BodyLength and MsgType")]
    Order,
    #[error("BodyLength (9) does not lead to CheckSum (10)")]
    BodyLength,
    #[error("CheckSum (10) is wrong")]
    CheckSum,
    #[error("a tag is not a number")]
    Tag,
    #[error("a data field is missing or not as long as its length field says")]
    Data,
    #[error("more fields than the index holds")]
    TooManyFields,
    #[error("the message is longer than the limit")]
    TooLong,
}

/// One field in eight bytes: a message is at most 64 KiB long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    pub tag: u32,
    start: u16,
    len: u16,
}

const _: () = assert!(MAX_MESSAGE_LEN <= 1 << 16 && size_of::<Field>() == 8);

impl Field {
    #[inline]
    fn new(tag: u32, start: usize, end: usize) -> Self {
        Self { tag, start: start as u16, len: (end - start) as u16 }
    }

    #[inline]
    fn value(self, bytes: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        &bytes[start..start + usize::from(self.len)]
    }
}

/// The reusable table of fields.
#[derive(Debug)]
pub struct Index {
    fields: Box<[Field]>,
    marks: Marks<SOH>,
}

impl Index {
    pub const DEFAULT_FIELDS: usize = 2_048;

    pub fn with_capacity(fields: usize) -> Self {
        Self {
            fields: vec![Field::default(); fields].into_boxed_slice(),
            marks: Marks::new(if fields == 0 { 0 } else { MAX_MESSAGE_LEN }),
        }
    }

    /// Reads exactly one message.
    pub fn parse<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Message<'a>, Garbled> {
        match scan(bytes) {
            Scan::Message(extent) if extent.len == bytes.len() => self.parse_extent(bytes, extent),
            Scan::Garbled { why, .. } => Err(why),
            Scan::Message(_) | Scan::Partial | Scan::Garbage { .. } => Err(Garbled::BodyLength),
        }
    }

    /// Reads the message that `scan` found at the start of `bytes`.
    #[inline]
    pub fn parse_extent<'a>(&'a mut self, bytes: &'a [u8], extent: Extent) -> Result<Message<'a>, Garbled> {
        let bytes = bytes.get(..extent.len).ok_or(Garbled::BodyLength)?;
        let body_end = extent.len - TRAILER_LEN;
        let stated = &bytes[body_end + 3..body_end + 6];
        let stated = (u32::from(stated[0]) * 100 + u32::from(stated[1]) * 10 + u32::from(stated[2])) as i32 - 5_328;
        let (marks, sum) = self.marks.sweep(&bytes[..body_end]).ok_or(Garbled::TooLong)?;
        if i32::from(sum) != stated {
            return Err(Garbled::CheckSum);
        }
        let count = index_body(&mut self.fields, marks, bytes, extent.body_start, body_end)?;
        Ok(Message { bytes, begin_string_end: extent.begin_string_end, fields: &self.fields[..count] })
    }
}

/// Fields of the body, from 35 to the one before 10, each from behind a SOH to the next.
#[inline]
fn index_body(fields: &mut [Field], marks: &[u64], bytes: &[u8], from: usize, end: usize) -> Result<usize, Garbled> {
    let (mut start, mut count) = (from, 0);
    'from_start: while let Some(word) = marks.get(start / 64) {
        let mut base = start & !63;
        let mut ends = word & !0 << (start % 64);
        loop {
            while ends == 0 {
                base += 64;
                match marks.get(base / 64) {
                    Some(word) => ends = *word,
                    None => return Ok(count),
                }
            }
            let at = base + ends.trailing_zeros() as usize;
            ends &= ends - 1;
            let (tag, tag_len) = read_tag(word_at(bytes, start)).ok_or(Garbled::Tag)?;
            let Some(slot) = fields.get_mut(count) else { return Err(Garbled::TooManyFields) };
            *slot = Field::new(tag, start + tag_len, at);
            count += 1;
            start = at + 1;
            if may_be_data_len(tag) && data_field_of(tag) != 0 {
                let data = data_field(bytes, *slot, start, end)?;
                start = usize::from(data.start) + usize::from(data.len) + 1;
                let Some(slot) = fields.get_mut(count) else { return Err(Garbled::TooManyFields) };
                *slot = data;
                count += 1;
                continue 'from_start;
            }
        }
    }
    Ok(count)
}

impl Default for Index {
    fn default() -> Self {
        Self::with_capacity(Self::DEFAULT_FIELDS)
    }
}

/// The data field that must follow `length` at `start`: the right tag, as long as stated, then SOH.
#[cold]
fn data_field(bytes: &[u8], length: Field, start: usize, end: usize) -> Result<Field, Garbled> {
    let len = parse_u32(length.value(bytes)).ok_or(Garbled::Data)? as usize;
    let (tag, tag_len) = read_tag(word_at(bytes, start)).ok_or(Garbled::Data)?;
    let value = start + tag_len;
    if tag != data_field_of(length.tag) || value + len >= end || bytes[value + len] != SOH {
        return Err(Garbled::Data);
    }
    Ok(Field::new(tag, value, value + len))
}

/// False for nearly every tag that is no length field, at three instructions.
#[inline]
fn may_be_data_len(tag: u32) -> bool {
    const BITS: u64 = {
        let (mut bits, mut tag) = (0, 0);
        while tag < 1_000 {
            if data_field_of(tag) != 0 {
                bits |= 1 << (tag % 64);
            }
            tag += 1;
        }
        bits
    };
    tag >= 90 && BITS >> (tag % 64) & 1 != 0
}

/// Eight bytes from `at`, zeros past the end.
#[inline]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            let rest = bytes.get(at..).unwrap_or(&[]);
            chunk[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(chunk)
        }
    }
}

/// The tag at the start of `word` and its length with the `=`: 1 to 7 digits, no leading zero.
#[inline]
fn read_tag(word: u64) -> Option<(u32, usize)> {
    // Where digits and `=` stand as they should, this leaves the digits' values and zero. Whatever else stands there shows
    // in the upper half of a byte, at once or when six is added.
    let two = word as u32 ^ 0x003d_3030;
    let three = word as u32 ^ 0x3d30_3030;
    let digit = |word: u32, idx: u32| word >> (8 * idx) & 0xff;
    // Two and three digits are nearly all there are; messages of one venue have one shape, so these branches are predicted.
    if (two | two.wrapping_add(0x0606)) & 0x00ff_f0f0 == 0 && digit(two, 0) != 0 {
        return Some((digit(two, 0) * 10 + digit(two, 1), 3));
    }
    if (three | three.wrapping_add(0x0006_0606)) & 0xfff0_f0f0 == 0 && digit(three, 0) != 0 {
        return Some((digit(three, 0) * 100 + digit(three, 1) * 10 + digit(three, 2), 4));
    }
    read_rare_tag(word)
}

fn read_rare_tag(word: u64) -> Option<(u32, usize)> {
    let (mut tag, bytes) = (0, word.to_le_bytes());
    for (idx, byte) in bytes.into_iter().enumerate() {
        match byte {
            b'=' if idx > 0 && bytes[0] != b'0' => return Some((tag, idx + 1)),
            b'0'..=b'9' => tag = tag * 10 + u32::from(byte - b'0'),
            _ => return None,
        }
    }
    None
}

/// Sum of all bytes modulo 256, as CheckSum (10) wants it.
#[inline]
pub fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte))
}

/// One whole message whose length and checksum agree.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    begin_string_end: usize,
    fields: &'a [Field],
}

impl<'a> Message<'a> {
    /// The message as it was received, with BeginString and CheckSum.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn begin_string(&self) -> &'a [u8] {
        &self.bytes[2..self.begin_string_end]
    }

    #[inline]
    pub fn msg_type(&self) -> &'a [u8] {
        self.value(0)
    }

    /// Number of fields from MsgType (35) to the one before CheckSum.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    #[inline]
    fn value(&self, field_idx: usize) -> &'a [u8] {
        self.fields.get(field_idx).map_or(&[], |field| self.value_of(field))
    }

    #[inline]
    fn value_of(&self, field: &Field) -> &'a [u8] {
        field.value(self.bytes)
    }

    /// Every field from MsgType on, in the order of the wire.
    #[inline]
    pub fn fields(&self) -> impl Iterator<Item = (u32, &'a [u8])> + '_ {
        self.fields_from(0)
    }

    /// As `fields`, from field `first_idx` on; `Header::body_idx` is where the body begins.
    #[inline]
    pub fn fields_from(&self, first_idx: usize) -> impl Iterator<Item = (u32, &'a [u8])> + '_ {
        self.fields.get(first_idx..).unwrap_or(&[]).iter().map(|field| (field.tag, self.value_of(field)))
    }

    /// Value of the first field with this tag.
    #[inline]
    pub fn get(&self, tag: u32) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.tag == tag).map(|field| self.value_of(field))
    }

    pub fn get_u32(&self, tag: u32) -> Option<u32> {
        self.get(tag).and_then(parse_u32)
    }

    /// First byte of the value, for the many one-character fields.
    pub fn get_char(&self, tag: u32) -> Option<u8> {
        match self.get(tag) {
            Some([byte]) => Some(*byte),
            _ => None,
        }
    }

    /// True when the field is there with `Y`.
    pub fn flag(&self, tag: u32) -> bool {
        self.get(tag) == Some(b"Y")
    }

    /// Tag of the first field without a value.
    pub fn empty_field(&self) -> Option<u32> {
        self.fields.iter().find(|field| field.len == 0).map(|field| field.tag)
    }

    #[inline]
    pub fn header(&self) -> Header<'a> {
        let mut header = Header { msg_type: self.msg_type(), ..Header::default() };
        for (idx, field) in self.fields.iter().enumerate().skip(1) {
            let value = self.value_of(field);
            match field.tag {
                tag::MSG_SEQ_NUM => header.msg_seq_num = parse_u32(value),
                tag::SENDER_COMP_ID => header.sender_comp_id = value,
                tag::TARGET_COMP_ID => header.target_comp_id = value,
                tag::SENDING_TIME => header.sending_time = value,
                tag::ORIG_SENDING_TIME => header.orig_sending_time = value,
                tag::POSS_DUP_FLAG => header.poss_dup = value == b"Y",
                tag::POSS_RESEND => header.poss_resend = value == b"Y",
                other if is_header(other) => {}
                _ => {
                    header.body_idx = idx;
                    return header;
                }
            }
        }
        header.body_idx = self.fields.len();
        header
    }
}

/// What the session reads of every message. Absent texts are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Header<'a> {
    pub msg_type: &'a [u8],
    pub msg_seq_num: Option<u32>,
    pub sender_comp_id: &'a [u8],
    pub target_comp_id: &'a [u8],
    pub sending_time: &'a [u8],
    pub orig_sending_time: &'a [u8],
    pub poss_dup: bool,
    pub poss_resend: bool,
    /// Index of the first field that does not belong to the header.
    pub body_idx: usize,
}

#[cfg(test)]
#[path = "message/tests.rs"]
mod tests;
