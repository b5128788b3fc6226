//! The file format, version 1. All little-endian.
//!
//! A journal is a directory of segments `00000001.seg`, `00000002.seg`, … without holes. A segment is a header of 128 bytes
//! and records, each on a multiple of 8.
//!
//! | offset | type | segment header |
//! |---:|---|---|
//! | 0 | \[u8; 8\] | `TRCL-SEG` |
//! | 8 | u32 | format version |
//! | 12 | u32 | bytes of this header |
//! | 16 | u64 | number of the segment, from 1 |
//! | 24 | u64 | number of its first record |
//! | 32 | u64 | `seq` of its first frame |
//! | 40 | u64 | hash of the build |
//! | 48 | u64 | hash of the configuration |
//! | 56 | u32 | epoch |
//! | 60 | u32 | CRC of the last frame record before this segment, 0 in the first |
//! | 124 | u32 | CRC32C of bytes 0..124 |
//!
//! | offset | type | record |
//! |---:|---|---|
//! | 0 | u32 | CRC32C of what follows, padding left out |
//! | 4 | u32 | bytes of content: of a frame ≥ 32; 8 = sync mark, 16 = end mark |
//! | 8 | u32 | number of the record, from 1, dense over all segments, its low half; a mark carries that of the record after it |
//! | 12 | u32 | link: CRC of the frame record before it, `prev_crc` for the first; gives away a frame changed with its CRC |
//! | 16 | … | the frame, or of a mark: u64 offset below which the segment was synced; u64 last `seq` (end mark only) |
//!
//! **Torn or damaged.** A segment gets its name only with a synced header, and its successor exists only once it is synced
//! whole; so every bad record before the last segment is damage. In the last segment a bad record is damage when a later
//! mark says that its bytes had been synced, or when whole records follow and no lost sector lies between: 512 zero bytes, or
//! the zero rest of a sector (a crash loses sectors, it does not flip bits). Everything else is a torn tail, which is cut at the last whole record.
use crate::error::Damage;
use std::fmt;
use tercel_event::{Frame, HEADER_LEN as FRAME_HEADER_LEN, MAX_FRAME_LEN};

pub const MAGIC: [u8; 8] = *b"TRCL-SEG";
pub const VERSION: u32 = 1;
pub const SEGMENT_HEADER_LEN: usize = 128;
/// Where a segment header holds the CRC of the frame record before the segment.
pub(crate) const PREV_CRC_AT: usize = 60;
pub const RECORD_HEADER_LEN: usize = 16;
pub const SYNC_MARK_LEN: usize = 8;
pub const END_MARK_LEN: usize = 16;
/// The longest record with its padding.
pub const MAX_RECORD_LEN: usize = record_len(MAX_FRAME_LEN);

/// Bytes of a record with `content_len` bytes of content.
pub const fn record_len(content_len: usize) -> usize {
    RECORD_HEADER_LEN + content_len.next_multiple_of(8)
}

/// Place of a frame in the total order: an input, then what was derived from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameKey {
    pub seq: u64,
    /// Index among the derived frames of `seq`; `None`, which sorts first, for the input.
    pub derived: Option<u64>,
}

impl FrameKey {
    #[inline]
    pub fn of(frame: &Frame<'_>) -> Self {
        Self { seq: frame.header.seq, derived: frame.is_derived().then_some(frame.header.src_seq) }
    }
}

impl fmt::Display for FrameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.derived {
            None => write!(f, "seq {}", self.seq),
            Some(index) => write!(f, "seq {}, derived {index}", self.seq),
        }
    }
}

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub number: u64,
    pub first_record: u64,
    pub first_seq: u64,
    pub build_hash: u64,
    pub config_hash: u64,
    pub epoch: u32,
    pub prev_crc: u32,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(SEGMENT_HEADER_LEN as u32).to_le_bytes());
        for (at, word) in [
            (16, self.number),
            (24, self.first_record),
            (32, self.first_seq),
            (40, self.build_hash),
            (48, self.config_hash),
        ] {
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes[56..60].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[60..64].copy_from_slice(&self.prev_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..124]);
        bytes[124..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Errors: the version found when it is another one, else why it is no header.
    pub fn decode(bytes: &[u8; SEGMENT_HEADER_LEN]) -> Result<Self, HeaderError> {
        if bytes[0..8] != MAGIC {
            return Err(HeaderError::Why("it does not start with the magic of a segment"));
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        if u32_at(bytes, 124) != crc32c::crc32c(&bytes[..124]) {
            return Err(HeaderError::Why("the checksum of its header is wrong"));
        }
        Ok(Self {
            number: u64_at(bytes, 16),
            first_record: u64_at(bytes, 24),
            first_seq: u64_at(bytes, 32),
            build_hash: u64_at(bytes, 40),
            config_hash: u64_at(bytes, 48),
            epoch: u32_at(bytes, 56),
            prev_crc: u32_at(bytes, 60),
        })
    }
}

/// Why bytes are no segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    Version(u32),
    Why(&'static str),
}

/// The first four little-endian bytes at `at`; 0 past the end.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

/// The first eight little-endian bytes at `at`; 0 past the end.
#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}

/// A record header as it stands in the file, and where its content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub crc: u32,
    pub len: usize,
    /// The low half of the record's number.
    pub number: u32,
    /// CRC of the frame record before it.
    pub link: u32,
}

impl RecordHeader {
    /// Reads and checks the record at the start of `bytes` but for its number.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        if bytes.len() < RECORD_HEADER_LEN {
            return Err(Damage::Truncated);
        }
        let (crc, len) = (u32_at(bytes, 0), u32_at(bytes, 4) as usize);
        let header = Self { crc, len, number: u32_at(bytes, 8), link: u32_at(bytes, 12) };
        let frame = FRAME_HEADER_LEN..=MAX_FRAME_LEN;
        if !(header.is_mark() || frame.contains(&header.len)) {
            return Err(Damage::Length);
        }
        if bytes.len() < record_len(header.len) {
            return Err(Damage::Truncated);
        }
        if crc32c::crc32c(&bytes[4..RECORD_HEADER_LEN + header.len]) != header.crc {
            return Err(Damage::Checksum);
        }
        if !header.is_mark() && u32_at(bytes, RECORD_HEADER_LEN) as usize != header.len {
            return Err(Damage::Length);
        }
        Ok(header)
    }

    #[inline]
    pub(crate) fn is_mark(&self) -> bool {
        self.len == SYNC_MARK_LEN || self.len == END_MARK_LEN
    }
}

/// Appends a record to `out` and returns its CRC.
#[inline]
pub(crate) fn write_record(out: &mut Vec<u8>, number: u64, link: u32, content: &[u8]) -> u32 {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(content.len() as u32).to_le_bytes());
    out.extend_from_slice(&(number as u32).to_le_bytes());
    out.extend_from_slice(&link.to_le_bytes());
    out.extend_from_slice(content);
    let crc = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&[0; 8][..content.len().next_multiple_of(8) - content.len()]);
    crc
}

/// The file name of a segment.
pub fn segment_name(number: u64) -> String {
    format!("{number:08}.seg")
}
