//! The header page of a log, and its lines as `Words`.
//!
//! | offset | type | field |
//! |---:|---|---|
//! | 0 | u64 | magic |
//! | 8 | u32 | format version |
//! | 12 | u32 | bytes of this header, 4096 |
//! | 16 | u64 | capacity in bytes |
//! | 24 | u32 | epoch |
//! | 28 | u32 | CRC32C of bytes 0..28 and 32..64 |
//! | 32 | u64 | hash of the configuration |
//! | 40 | u64 | hash of the build |
//! | 128 | u64 | position of the writer, behind the newest published frame |
//! | 256 | u64 | limit: the writer writes below it only |
//! | 512 + 128 i | u64 | cursor of gating reader i, 2^64 − 1 when there is none |
//! | 528 + 128 i | \[u8; 16\] | its name |
use super::{CAPACITY_MIN, LogConfig, LogError, NAME_LEN, READERS_MAX};
use crate::atomic::prefetch_for_write;
use crate::map::Mapping;
use crate::publish::{LINE_LEN, WatchedWords, Words, announce_limit, publish_position};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::path::Path;
use std::sync::Arc;

pub(super) const HEADER_LEN: usize = 4096;
pub(super) const NO_CURSOR: u64 = u64::MAX;
const MAGIC: u64 = u64::from_le_bytes(*b"TRCL-LOG");
const VERSION: u32 = 1;
const POSITION_AT: usize = 128;
const LIMIT_AT: usize = 256;
const CURSORS_AT: usize = 512;
const CURSOR_LEN: usize = 128;
const NAME_AT: usize = 16;

const _: () = assert!(CURSORS_AT + READERS_MAX * CURSOR_LEN <= HEADER_LEN && NAME_AT + NAME_LEN <= CURSOR_LEN);

/// The fixed fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub capacity: u64,
    pub epoch: u32,
    pub config_hash: u64,
    pub build_hash: u64,
}

impl Identity {
    pub(super) fn of(config: &LogConfig) -> Self {
        let LogConfig { capacity, epoch, config_hash, build_hash, .. } = *config;
        Self { capacity: capacity.get() as u64, epoch, config_hash, build_hash }
    }

    fn encode(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(HEADER_LEN as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.config_hash.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.build_hash.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..28]), &bytes[32..]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; 64]) -> Result<Self, &'static str> {
        let u64_at = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
        let u32_at = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
        if u64_at(0) != MAGIC {
            return Err("it does not start with the magic of a log");
        }
        if u32_at(8) != VERSION {
            return Err("another format version");
        }
        let read = Self { capacity: u64_at(16), epoch: u32_at(24), config_hash: u64_at(32), build_hash: u64_at(40) };
        if read.encode() != *bytes || !read.capacity.is_power_of_two() || read.capacity < CAPACITY_MIN as u64 {
            return Err("the checksum of its header is wrong");
        }
        Ok(read)
    }
}

/// A mapped log: header page and lines.
#[derive(Clone)]
pub(super) struct LogWords {
    header: *mut u8,
    lines: *mut u8,
    capacity: u64,
    map: Arc<Mapping>,
}

// SAFETY: the pointers belong to `map`, kept alive beside them; what they reach is shared under the protocol of `publish`.
unsafe impl Send for LogWords {}

impl LogWords {
    /// Takes a mapping of the right length.
    fn over(map: Mapping, capacity: u64) -> Self {
        let header = map.base();
        debug_assert_eq!(map.len() as u64, HEADER_LEN as u64 + capacity);
        Self { header, lines: header.wrapping_add(HEADER_LEN), capacity, map: Arc::new(map) }
    }

    /// Writes the header of a new, zeroed mapping.
    pub(super) fn create(map: Mapping, identity: &Identity) -> Self {
        let words = Self::over(map, identity.capacity);
        (0..READERS_MAX).for_each(|reader| words.cursor(reader).store(NO_CURSOR, Ordering::Relaxed));
        // SAFETY: the header page is mapped and nobody else knows the file yet.
        unsafe { words.header.copy_from_nonoverlapping(identity.encode().as_ptr(), 64) };
        words
    }

    /// Checks the header of an existing file.
    pub(super) fn open(path: &Path, writable: bool) -> Result<(Self, Identity), LogError> {
        let map = Mapping::open(path, writable).map_err(|source| LogError::Io {
            path: path.to_path_buf(),
            len: 0,
            source,
        })?;
        let format = |why| LogError::Format { path: path.to_path_buf(), why };
        if map.len() < HEADER_LEN {
            return Err(format("it is shorter than a header"));
        }
        // SAFETY: at least a page is mapped; the fixed fields are written once, before the file gets its name.
        let identity = Identity::decode(unsafe { &*map.base().cast::<[u8; 64]>() }).map_err(format)?;
        if map.len() as u64 != HEADER_LEN as u64 + identity.capacity {
            return Err(format("its length is not what the header says"));
        }
        Ok((Self::over(map, identity.capacity), identity))
    }

    pub(super) fn map(&self) -> &Mapping {
        &self.map
    }

    #[inline]
    pub(super) fn line(&self, offset: usize) -> *mut u8 {
        self.lines.wrapping_add(offset)
    }

    #[inline]
    fn word_at(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: the constants above lie inside the header page, 8-byte aligned; these words are only accessed atomically.
        unsafe { AtomicU64::from_ptr(self.header.add(offset).cast()) }
    }

    pub(super) fn name(&self, reader: usize) -> [u8; NAME_LEN] {
        // SAFETY: inside the header page; written only by the one writer process, before the cursor is.
        unsafe { self.header.add(CURSORS_AT + reader * CURSOR_LEN + NAME_AT).cast::<[u8; NAME_LEN]>().read() }
    }

    /// Only the writer attaches readers, so only it calls this.
    pub(super) fn set_name(&self, reader: usize, name: [u8; NAME_LEN]) {
        // SAFETY: as in `name`; `&mut LogWriter` makes the caller the only one.
        unsafe { self.header.add(CURSORS_AT + reader * CURSOR_LEN + NAME_AT).cast::<[u8; NAME_LEN]>().write(name) };
    }

    /// The slowest gating cursor, `None` without gating readers.
    pub(super) fn slowest(&self) -> Option<u64> {
        (0..READERS_MAX).map(|reader| self.cursor(reader).load(Self::RECLAIM)).min().filter(|at| *at != NO_CURSOR)
    }
}

impl Words for LogWords {
    type U32 = AtomicU32;
    type U64 = AtomicU64;

    #[inline]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    #[inline]
    fn len_at(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset < self.capacity as usize && offset.is_multiple_of(LINE_LEN));
        // SAFETY: in bounds and aligned as asserted. The word is read otherwise only inside a published frame.
        unsafe { AtomicU32::from_ptr(self.lines.add(offset).cast()) }
    }

    #[inline]
    fn cursor(&self, reader: usize) -> &AtomicU64 {
        debug_assert!(reader < READERS_MAX);
        self.word_at(CURSORS_AT + reader * CURSOR_LEN)
    }

    #[inline]
    fn readers_max(&self) -> usize {
        READERS_MAX
    }

    #[inline]
    fn prepare(&self, offset: usize) {
        prefetch_for_write(self.lines.wrapping_add(offset));
    }

    fn announce(&self, limit: u64) {
        announce_limit(self, limit);
    }

    #[inline]
    fn published(&self, position: u64) {
        publish_position(self, position);
    }
}

impl WatchedWords for LogWords {
    #[inline]
    fn limit(&self) -> &AtomicU64 {
        self.word_at(LIMIT_AT)
    }

    #[inline]
    fn position(&self) -> &AtomicU64 {
        self.word_at(POSITION_AT)
    }

    #[inline]
    fn fence(order: Ordering) {
        fence(order);
    }
}
