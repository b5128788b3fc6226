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
    #[error("a field does not end")]
    Unterminated,
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

    /// Fields of the body, from 35 to the one before 10.
    #[inline]
    fn index_body(&mut self, bytes: &[u8], from: usize, end: usize) -> Result<usize, Garbled> {
        let bytes = &bytes[..end];
        let (mut at, mut count) = (from, 0);
        // Tag and length of a data field that must come next; 0 when none.
        let (mut data_tag, mut data_len) = (0u32, 0usize);
        while at < bytes.len() {
            let (mut tag, first) = (0u32, at);
            loop {
                let Some(&byte) = bytes.get(at) else { return Err(Garbled::Tag) };
                at += 1;
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    // 1 to 7 digits, no leading zero.
                    if byte != b'=' || at - first < 2 || at - first > 8 || bytes[first] == b'0' {
                        return Err(Garbled::Tag);
                    }
                    break;
                }
                tag = tag.wrapping_mul(10).wrapping_add(u32::from(digit));
            }
            let start = at;
            if data_tag != 0 {
                if tag != data_tag || bytes.get(start + data_len) != Some(&SOH) {
                    return Err(Garbled::Data);
                }
                at = start + data_len;
                data_tag = 0;
            } else {
                at = find_soh(bytes, start).ok_or(Garbled::Unterminated)?;
            }
            let Some(slot) = self.fields.get_mut(count) else { return Err(Garbled::TooManyFields) };
            *slot = Field { tag, start: start as u32, len: (at - start) as u32 };
            count += 1;
            if tag >= 90 && data_field_of(tag) != 0 {
                data_tag = data_field_of(tag);
                data_len = parse_u32(&bytes[start..at]).ok_or(Garbled::Data)? as usize;
            }
            at += 1;
        }
        if data_tag != 0 { Err(Garbled::Data) } else { Ok(count) }
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::with_capacity(Self::DEFAULT_FIELDS)
    }
}

/// Place of the next SOH at or after `from`, eight bytes at a time.
#[inline]
fn find_soh(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk) ^ 0x0101_0101_0101_0101;
        // The lowest set bit is exact: borrows only run upward from a byte that is zero.
        let zeros = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
        if zeros != 0 {
            return Some(at + (zeros.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    bytes.get(at..)?.iter().position(|&b| b == SOH).map(|offset| at + offset)
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
            if !is_header(field.tag) {
                header.body_idx = idx;
                return header;
            }
            let value = self.value_of(field);
            match field.tag {
                tag::MSG_SEQ_NUM => header.msg_seq_num = parse_u32(value),
                tag::SENDER_COMP_ID => header.sender_comp_id = value,
                tag::TARGET_COMP_ID => header.target_comp_id = value,
                tag::SENDING_TIME => header.sending_time = value,
                tag::ORIG_SENDING_TIME => header.orig_sending_time = value,
                tag::POSS_DUP_FLAG => header.poss_dup = value == b"Y",
                tag::POSS_RESEND => header.poss_resend = value == b"Y",
                _ => {}
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
