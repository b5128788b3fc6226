use super::LogFault;
use super::header::LogWords;
use crate::publish::{Doorbell, Follower, Next, WatchedWords};
use core::sync::atomic::Ordering;

/// A lossless reader: the writer never overwrites what it has not committed.
pub struct GatingReader {
    follower: Follower<LogWords>,
    doorbell: Doorbell,
    /// Length of the frame that `peek` showed, 0 when there was none or it is passed.
    held: usize,
    capacity: u64,
}

impl GatingReader {
    pub(super) fn new(follower: Follower<LogWords>, capacity: u64) -> Self {
        Self { follower, doorbell: Doorbell::default(), held: 0, capacity }
    }

    pub(super) fn index(&self) -> usize {
        self.follower.reader()
    }

    /// The frame at the reader's position, 64-byte aligned; the same one until `advance`. `None` when there is no newer.
    #[inline]
    pub fn peek(&mut self) -> Result<Option<&[u8]>, LogFault> {
        let words = self.follower.words();
        if !self.doorbell.rings(self.follower.position(), || words.position().load(Ordering::Acquire)) {
            return Ok(None);
        }
        match self.follower.look() {
            Next::Frame { offset, len } => {
                self.held = len;
                let start = self.follower.words().line(offset);
                // SAFETY: bounds are checked by `look`; the bytes were published and the writer leaves them alone until
                // `commit` moves the cursor, which needs `&mut self`. Tests: loom_publish, log::tests.
                Ok(Some(unsafe { core::slice::from_raw_parts(start, len) }))
            }
            Next::Empty => Ok(None),
            Next::Damaged { len } => Err(LogFault { position: self.follower.position(), len }),
        }
    }

    /// Steps over the frame that `peek` shows, without releasing it; without one it does nothing.
    #[inline]
    pub fn advance(&mut self) {
        if self.held > 0 || matches!(self.peek(), Ok(Some(_))) {
            self.follower.advance(self.held);
            self.held = 0;
        }
    }

    /// Releases everything before the position. The journal calls it once the frames are in its file: what is not
    /// committed is found again by `LogRecovery`.
    #[inline]
    pub fn commit(&mut self) {
        self.follower.commit();
    }

    /// Bytes of the log before the frame that `peek` shows.
    #[inline]
    pub fn position(&self) -> u64 {
        self.follower.position()
    }

    /// Bytes published and not yet passed by this reader.
    #[inline]
    pub fn lag_bytes(&self) -> u64 {
        let written = self.follower.words().position().load(Ordering::Acquire);
        written.saturating_sub(self.follower.position())
    }

    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }
}
