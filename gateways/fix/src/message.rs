//! Hot path. One message as an index over its own bytes: tag, place and length of every field, nothing copied.
//!
//!   bytes ──▶ framing::scan (where does it end) ──▶ Index::parse (CheckSum, order, tags) ──▶ Message ──▶ Header
//!
//! Thread      the session's.
//! Memory      one table of fields, allocated once; a message with more fields is garbled (`TooManyFields`).
//! Invariants  the bytes of a `Message` begin with 8, 9, 35 in this order, end with 10, and BodyLength and CheckSum agree.
use crate::framing::{Extent, Scan, TRAILER_LEN, scan};
use crate::number::parse_u32;
use crate::tag::{self, data_field_of, is_header};
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    pub tag: u32,
    start: u32,
    len: u32,
}

/// The reusable table of fields.
#[derive(Debug)]
pub struct Index {
    fields: Box<[Field]>,
}

impl Index {
    pub const DEFAULT_FIELDS: usize = 2_048;

    pub fn with_capacity(fields: usize) -> Self {
        Self { fields: vec![Field::default(); fields].into_boxed_slice() }
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
        if i32::from(checksum(&bytes[..body_end])) != stated {
            return Err(Garbled::CheckSum);
        }
        let count = self.index_body(bytes, extent.body_start, body_end)?;
        Ok(Message { bytes, begin_string_end: extent.begin_string_end, fields: &self.fields[..count] })
    }

    /// Fields of the body, from 35 to the one before 10. Eight bytes at a time: each word gives the places of its SOHs.
    #[inline]
    fn index_body(&mut self, bytes: &[u8], from: usize, end: usize) -> Result<usize, Garbled> {
        let (mut start, mut count, mut base) = (from, 0, from);
        // Tag of a data field that must come next, 0 when none; and the place before which an SOH is data.
        let (mut data_tag, mut data_end) = (0u32, 0usize);
        while base < end {
            let mut ends = soh_bits(word_at(bytes, base));
            while ends != 0 {
                let at = base + (ends.trailing_zeros() / 8) as usize;
                ends &= ends - 1;
                if at >= end {
                    break; // of the trailer
                }
                if at < data_end {
                    continue;
                }
                let (tag, tag_len) = read_tag(bytes, start).ok_or(Garbled::Tag)?;
                let (tag_start, value) = (start, start + tag_len);
                if data_tag != 0 {
                    // Its end is known from the length field before; the tag must be the right one, the end an SOH.
                    if tag != data_tag {
                        return Err(Garbled::Data);
                    }
                    if data_end < value {
                        data_end = value.saturating_add(data_end_len(bytes, &self.fields[count - 1])?);
                        if at < data_end {
                            continue;
                        }
                    }
                    if at != data_end {
                        return Err(Garbled::Data);
                    }
                    data_tag = 0;
                }
                debug_assert!(tag_start < at);
                let Some(slot) = self.fields.get_mut(count) else { return Err(Garbled::TooManyFields) };
                *slot = Field { tag, start: value as u32, len: (at - value) as u32 };
                count += 1;
                if is_data_len(tag) {
                    data_tag = data_field_of(tag);
                    data_end = 0;
                    data_end_len(bytes, &self.fields[count - 1])?;
                }
                start = at + 1;
            }
            base += 8;
        }
        if data_tag != 0 { Err(Garbled::Data) } else { Ok(count) }
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::with_capacity(Self::DEFAULT_FIELDS)
    }
}

/// Length that a length field states.
#[cold]
fn data_end_len(bytes: &[u8], field: &Field) -> Result<usize, Garbled> {
    let value = &bytes[field.start as usize..(field.start + field.len) as usize];
    parse_u32(value).map(|len| len as usize).ok_or(Garbled::Data)
}

/// Bit `tag` of a table over the tags below 640: whether `data_field_of` answers.
#[inline]
fn is_data_len(tag: u32) -> bool {
    static TABLE: [u64; 10] = {
        let (mut table, mut tag) = ([0; 10], 0);
        while tag < 640 {
            if data_field_of(tag) != 0 {
                table[tag as usize / 64] |= 1 << (tag % 64);
            }
            tag += 1;
        }
        table
    };
    TABLE.get(tag as usize / 64).is_some_and(|word| word >> (tag % 64) & 1 != 0)
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

/// The top bit of each byte that is SOH, exactly: no carry passes from one byte to the next.
#[inline]
fn soh_bits(word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let x = word ^ 0x0101_0101_0101_0101;
    !(((x & LOW) + LOW) | x | LOW)
}

/// The tag at `at` and its length with the `=`: 1 to 7 digits, no leading zero.
#[inline]
fn read_tag(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let word = word_at(bytes, at);
    let byte = |idx: u32| (word >> (8 * idx)) as u8;
    let digit = |idx: u32| byte(idx).wrapping_sub(b'0');
    let (first, second, third) = (digit(0), digit(1), digit(2));
    let leads = first.wrapping_sub(1) < 9;
    // Two and three digits are nearly all there are; messages of one venue have one shape, so these branches are predicted.
    if byte(2) == b'=' && leads && second < 10 {
        return Some((u32::from(first) * 10 + u32::from(second), 3));
    }
    if byte(3) == b'=' && leads && second < 10 && third < 10 {
        return Some((u32::from(first) * 100 + u32::from(second) * 10 + u32::from(third), 4));
    }
    let len = (0..8).find(|&idx| byte(idx) == b'=')?;
    let digits = (0..len).all(|idx| digit(idx) < 10);
    if len == 0 || !leads || !digits {
        return None;
    }
    Some(((0..len).fold(0, |tag, idx| tag * 10 + u32::from(digit(idx))), len as usize + 1))
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
        &self.bytes[field.start as usize..(field.start + field.len) as usize]
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
