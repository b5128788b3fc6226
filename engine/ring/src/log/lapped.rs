use super::header::{Identity, LogWords};
use super::{LogError, LogFault};
use crate::publish::{Glance, LINE_LEN, MAX_FRAME_LEN, Observer};
use core::sync::atomic::{AtomicU64, Ordering};
use std::path::Path;

/// What a lapped reader finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Sighting<'a> {
    /// Nothing newer is published.
    Empty,
    /// A copy of the next frame.
    Frame(&'a [u8]),
    /// The writer has passed the reader, which goes on with the next frame; so many bytes of frames are lost.
    Lapped { lost_bytes: u64 },
}

/// A reader that never holds the writer back: it copies each frame out with relaxed word loads, then checks that the
/// writer has not begun to overwrite it. Opens the file read-only, so any process may be one.
pub struct LappedReader {
    observer: Observer<LogWords>,
    words: LogWords,
    identity: Identity,
    copy: Box<[u64]>,
    lapped_count: u64,
}

impl LappedReader {
    /// Reads from the newest frame on. Errors: `Format`, `Io`.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let (words, identity) = LogWords::open(path, false)?;
        let copy = vec![0; MAX_FRAME_LEN / 8].into_boxed_slice();
        Ok(Self { observer: Observer::new(words.clone()), words, identity, copy, lapped_count: 0 })
    }

    /// The next frame, copied. Errors: a length that no writer publishes.
    pub fn read(&mut self) -> Result<Sighting<'_>, LogFault> {
        let (offset, len) = match self.observer.glance() {
            Glance::Empty => return Ok(Sighting::Empty),
            Glance::Damaged { len } => return Err(LogFault { position: self.observer.position(), len }),
            Glance::Lapped { lost } => {
                self.lapped_count += 1;
                return Ok(Sighting::Lapped { lost_bytes: lost });
            }
            Glance::Frame { offset, len } => (offset, len),
        };
        for (index, word) in self.copy[..len.div_ceil(8)].iter_mut().enumerate() {
            // SAFETY: inside the line-padded frame, whose bounds `glance` checked; 8-byte aligned. The writer may be
            // writing here: the load is of one word, any value is accepted, and `confirm` discards a torn copy.
            *word = unsafe { AtomicU64::from_ptr(self.words.line(offset).cast::<u64>().add(index)) }
                .load(Ordering::Relaxed);
        }
        if let Err(lost) = self.observer.confirm(len) {
            self.lapped_count += 1;
            return Ok(Sighting::Lapped { lost_bytes: lost });
        }
        self.copy[0] = self.copy[0] & !u64::from(u32::MAX) | len as u64;
        // SAFETY: `len` bytes of an initialised buffer of MAX_FRAME_LEN bytes; any alignment suits bytes.
        Ok(Sighting::Frame(unsafe { core::slice::from_raw_parts(self.copy.as_ptr().cast(), len) }))
    }

    /// Times that the writer passed this reader.
    pub fn lapped_count(&self) -> u64 {
        self.lapped_count
    }

    pub fn epoch(&self) -> u32 {
        self.identity.epoch
    }

    pub fn config_hash(&self) -> u64 {
        self.identity.config_hash
    }
}

const _: () = assert!(LINE_LEN.is_multiple_of(8));
