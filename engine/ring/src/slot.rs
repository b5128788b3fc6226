//! Slots of 64 bytes in a shared file: features from the engine to a sidecar, signals from a sidecar to the engine.
//!
//! The latest value wins. The other side is hostile input, the length of the file included: the engine never maps a slot
//! file but reads and writes it by system call, on a side thread, so a truncated file is a short read and never a fault.
//!
//! | offset | type | field |
//! |---:|---|---|
//! | 0 | u32 | `sequence`: 0 never written, odd while being written, even when whole |
//! | 4 | u16 | `version` of this layout, 1 |
//! | 6 | u16 | `schema` of the value, agreed between publisher and reader |
//! | 8 | u64 | `model_id` |
//! | 16 | f64 | `value` |
//! | 24 | f64 | `confidence` |
//! | 32 | i64 | `ts_features`: UTC ns of the newest input of the value; `age` counts from it |
//! | 40 | i64 | `ts_published`: UTC ns |
//! | 48 | u64 | `publish_seq`: counts the publisher's values from 1 |
//! | 56 | u32 | `flags`: bit 0, the value is to be used |
//! | 60 | u32 | CRC32C (Castagnoli) of bytes 4..60 |
//!
//! All little-endian. A publisher that maps the file stores an odd `sequence`, then bytes 4..64, then the next even
//! `sequence`. The CRC leaves the sequence out, so a reader that catches a slot half way sees a wrong CRC or an odd number.
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tercel_types::TimeNs;
use thiserror::Error;

pub const SLOT_LEN: usize = 64;
const VERSION: u16 = 1;
const FLAG_VALID: u32 = 1;

/// What a slot says. Nothing of it is checked for sense here: NaN, times and schema are the reader's to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slot {
    pub schema: u16,
    /// False when the publisher withdraws its value.
    pub valid: bool,
    pub model_id: u64,
    pub value: f64,
    pub confidence: f64,
    pub ts_features: TimeNs,
    pub ts_published: TimeNs,
    pub publish_seq: u64,
}

/// Why a slot cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[repr(u8)]
pub enum SlotFault {
    #[error("the slot file is missing or cannot be read")]
    Unreadable,
    #[error("the slot file ends before the slot")]
    Short,
    #[error("the slot has never been written")]
    Empty,
    #[error("the slot was being written")]
    Writing,
    #[error("the slot has another layout version")]
    Version,
    #[error("the slot's checksum is wrong")]
    Checksum,
}

impl Slot {
    /// The slot's bytes under an even, non-zero `sequence`.
    pub fn encode(&self, sequence: u32) -> [u8; SLOT_LEN] {
        let mut bytes = [0; SLOT_LEN];
        bytes[0..4].copy_from_slice(&sequence.to_le_bytes());
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.schema.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.model_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.value.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.confidence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.ts_features.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.ts_published.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.publish_seq.to_le_bytes());
        bytes[56..60].copy_from_slice(&(if self.valid { FLAG_VALID } else { 0 }).to_le_bytes());
        let crc = crc32c::crc32c(&bytes[4..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a slot; a pure function of any 64 bytes.
    pub fn decode(bytes: &[u8; SLOT_LEN]) -> Result<Self, SlotFault> {
        let sequence = u32::from_le_bytes(field(bytes, 0));
        if sequence == 0 {
            return Err(SlotFault::Empty);
        }
        if sequence % 2 == 1 {
            return Err(SlotFault::Writing);
        }
        if crc32c::crc32c(&bytes[4..60]) != u32::from_le_bytes(field(bytes, 60)) {
            return Err(SlotFault::Checksum);
        }
        if u16::from_le_bytes(field(bytes, 4)) != VERSION {
            return Err(SlotFault::Version);
        }
        Ok(Self {
            schema: u16::from_le_bytes(field(bytes, 6)),
            valid: u32::from_le_bytes(field(bytes, 56)) & FLAG_VALID != 0,
            model_id: u64::from_le_bytes(field(bytes, 8)),
            value: f64::from_le_bytes(field(bytes, 16)),
            confidence: f64::from_le_bytes(field(bytes, 24)),
            ts_features: TimeNs(i64::from_le_bytes(field(bytes, 32))),
            ts_published: TimeNs(i64::from_le_bytes(field(bytes, 40))),
            publish_seq: u64::from_le_bytes(field(bytes, 48)),
        })
    }
}

fn field<const N: usize>(bytes: &[u8; SLOT_LEN], offset: usize) -> [u8; N] {
    core::array::from_fn(|i| bytes[offset + i])
}

/// Reads slots of a file that somebody else writes. One system call per read, so never on the core's thread.
#[derive(Debug)]
pub struct SlotReader {
    path: PathBuf,
    file: Option<File>,
}

impl SlotReader {
    /// Never fails: a file that is missing now may come later.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), file: File::open(path).ok() }
    }

    /// The slot `slot_idx`. Tries again a few times while the publisher is in the middle of it.
    pub fn read(&mut self, slot_idx: usize) -> Result<Slot, SlotFault> {
        const TRIES: usize = 8;
        let mut outcome = self.read_once(slot_idx);
        for _ in 1..TRIES {
            if !matches!(outcome, Err(SlotFault::Writing | SlotFault::Checksum)) {
                break;
            }
            outcome = self.read_once(slot_idx);
        }
        outcome
    }

    fn read_once(&mut self, slot_idx: usize) -> Result<Slot, SlotFault> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let file = self.file.as_ref().ok_or(SlotFault::Unreadable)?;
        let mut bytes = [0; SLOT_LEN];
        match file.read_exact_at(&mut bytes, (slot_idx * SLOT_LEN) as u64) {
            Ok(()) => Slot::decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(SlotFault::Short),
            Err(_) => {
                self.file = None;
                Err(SlotFault::Unreadable)
            }
        }
    }

    /// Follows a file that was replaced at its path; call it now and then. Returns true when it was.
    pub fn refresh(&mut self) -> bool {
        let Ok(now) = std::fs::metadata(&self.path) else { return false };
        let held = self.file.as_ref().and_then(|file| file.metadata().ok());
        let same = held.is_some_and(|held| (held.dev(), held.ino()) == (now.dev(), now.ino()));
        if !same {
            self.file = File::open(&self.path).ok();
        }
        !same
    }
}

/// Writes slots for somebody else to read. One system call per write, so never on the core's thread.
#[derive(Debug)]
pub struct SlotWriter {
    file: File,
    sequences: Vec<u32>,
    buffer: Vec<u8>,
}

impl SlotWriter {
    /// Opens or creates the file and gives it exactly `slots_count` slots; sequences go on where a former writer stopped.
    pub fn create(path: &Path, slots_count: usize) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.set_len((slots_count * SLOT_LEN) as u64)?;
        let mut held = vec![0; slots_count * SLOT_LEN];
        file.read_exact_at(&mut held, 0)?;
        let sequences = held
            .chunks_exact(SLOT_LEN)
            .map(|slot| u32::from_le_bytes([slot[0], slot[1], slot[2], slot[3]]).next_multiple_of(2))
            .collect();
        Ok(Self { file, sequences, buffer: Vec::with_capacity(slots_count * SLOT_LEN) })
    }

    pub fn slots_count(&self) -> usize {
        self.sequences.len()
    }

    /// Writes one slot.
    pub fn write(&mut self, slot_idx: usize, slot: &Slot) -> io::Result<()> {
        self.write_all(slot_idx, core::slice::from_ref(slot))
    }

    /// Writes slots side by side in one call; a reader sees each of them whole, not all of them at once.
    /// Errors: `InvalidInput` past the last slot.
    pub fn write_all(&mut self, first_idx: usize, slots: &[Slot]) -> io::Result<()> {
        let end = first_idx.checked_add(slots.len()).ok_or(io::ErrorKind::InvalidInput)?;
        let sequences = self.sequences.get_mut(first_idx..end).ok_or(io::ErrorKind::InvalidInput)?;
        self.buffer.clear();
        for (sequence, slot) in sequences.iter_mut().zip(slots) {
            *sequence = sequence.checked_add(2).unwrap_or(2);
            self.buffer.extend_from_slice(&slot.encode(*sequence));
        }
        self.file.write_all_at(&self.buffer, (first_idx * SLOT_LEN) as u64)
    }
}

#[cfg(test)]
mod tests;
