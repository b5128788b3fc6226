use super::header::{Identity, LogWords};
use super::{LogError, LogFault};
use crate::publish::{Follower, LINE_LEN, Next, WatchedWords, Words};
use core::sync::atomic::Ordering;
use std::path::{Path, PathBuf};

/// After a kill: every whole frame from where the slowest gating reader (the journal) had committed to the tail.
/// Opens read-only and changes nothing.
pub struct LogRecovery {
    follower: Follower<LogWords>,
    identity: Identity,
    start: u64,
    /// Offset and length of the newest frame returned.
    current: (usize, usize),
    path: PathBuf,
}

/// Where the frames that nobody has committed begin.
pub(super) fn start(words: &LogWords, path: &Path) -> Result<u64, LogError> {
    match words.slowest() {
        Some(slowest) if slowest.is_multiple_of(LINE_LEN as u64) => Ok(slowest),
        Some(_) => Err(LogError::Format { path: path.to_path_buf(), why: "a cursor does not stand on a line" }),
        None if words.limit().load(Ordering::Acquire) <= words.capacity() => Ok(0),
        None => Err(LogError::NoCursor { path: path.to_path_buf() }),
    }
}

pub(super) fn damaged(path: &Path, follower: &Follower<LogWords>, len: u32) -> LogError {
    LogError::Damaged { path: path.to_path_buf(), source: LogFault { position: follower.position(), len } }
}

impl LogRecovery {
    /// Errors: `Format`, `NoCursor`, `Io`.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let (words, identity) = LogWords::open(path, false)?;
        let start = start(&words, path)?;
        Ok(Self {
            follower: Follower::new(words, 0, start),
            identity,
            start,
            current: (0, 0),
            path: path.to_path_buf(),
        })
    }

    /// The next whole frame, `None` at the tail. Errors: `Damaged`.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, LogError> {
        let held = self.follower.position() - self.start;
        match self.follower.look() {
            Next::Empty => Ok(None),
            Next::Frame { offset, len } if held < self.identity.capacity => {
                self.follower.advance(len);
                self.current = (offset, len);
                Ok(Some(self.current()))
            }
            Next::Frame { len, .. } => Err(damaged(&self.path, &self.follower, len as u32)),
            Next::Damaged { len } => Err(damaged(&self.path, &self.follower, len)),
        }
    }

    /// The frame that `next_frame` returned last; empty before the first.
    pub fn current(&self) -> &[u8] {
        let (offset, len) = self.current;
        // SAFETY: bounds were checked by `look`; the writer is dead, or leaves these bytes alone because the cursor tells it
        // to. The slice lives as long as the mapping, which `self` owns.
        unsafe { core::slice::from_raw_parts(self.follower.words().line(offset), len) }
    }

    /// Position of the first frame.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Position behind the last frame that was returned.
    pub fn position(&self) -> u64 {
        self.follower.position()
    }

    pub fn epoch(&self) -> u32 {
        self.identity.epoch
    }

    pub fn config_hash(&self) -> u64 {
        self.identity.config_hash
    }

    pub fn build_hash(&self) -> u64 {
        self.identity.build_hash
    }
}
