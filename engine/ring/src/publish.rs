//! Hot path. How one writer publishes frames of 1..512 contiguous cache lines to its readers: the protocol that `frames`
//! (heap, one reader) and `log` (mapped file, many readers) share.
//!
//!   position ─▶ [len|payload…][len|payload…][0]            a reader stands on a `len` word: 0 = not yet, SKIP = lap end
//!
//! Memory      lines of 64 bytes, a power of two of them; a position counts bytes from the first lap and never wraps.
//! Publication `len` of the next header is zeroed first, then one `PUBLISH` store of this frame's `len` makes the frame
//!             visible. A claim that is never published is invisible, also to a recovery after a kill.
//! Invariants  cursor ≤ position, and position + one line ≤ slowest cursor + capacity: the zeroed header is free as well.
use crate::atomic::Atomic;
use core::sync::atomic::Ordering;
use thiserror::Error;

/// A cache line; frames start on one.
pub const LINE_LEN: usize = 64;
/// The longest frame: 512 lines.
pub const MAX_FRAME_LEN: usize = 512 * LINE_LEN;
/// Bytes of `len` at the start of a frame; a claim hands out what follows them.
pub const PREFIX_LEN: usize = 4;
/// `len` of the rest of a lap that the next frame did not fit into.
pub const SKIP: u32 = u32::MAX;

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PushError {
    /// A reader must release lines first.
    #[error("no room: the slowest reader holds the lines")]
    Full,
    /// Not 5..=32768 bytes, or more than half of the capacity, or not what the frame's own `len` says: waiting does
    /// not help.
    #[error("the length of the frame is out of range or contradicts its `len`")]
    Length,
}

/// The words of a ring of frames, and the orderings of its protocol. Payload is the owner's business.
pub trait Words {
    type U32: Atomic<u32>;
    type U64: Atomic<u64>;

    /// Store of `len`; pairs with `OBSERVE`.
    const PUBLISH: Ordering = Ordering::Release;
    /// Load of `len` before the payload is read.
    const OBSERVE: Ordering = Ordering::Acquire;
    /// Store of a cursor after the payload is read; pairs with `RECLAIM`.
    const FREE: Ordering = Ordering::Release;
    /// Load of a cursor before its lines are written again.
    const RECLAIM: Ordering = Ordering::Acquire;
    /// Whether the next header is zeroed before publication; always, but for a test's planted defect.
    const CLEAR_NEXT: bool = true;

    /// Bytes, a power of two, at least four lines.
    fn capacity(&self) -> u64;
    /// The first four bytes of the line at `offset < capacity`, a multiple of `LINE_LEN`.
    fn len_at(&self, offset: usize) -> &Self::U32;
    /// The position that reader `reader` still needs, `u64::MAX` when there is no such reader.
    fn cursor(&self, reader: usize) -> &Self::U64;
    fn readers_max(&self) -> usize;
    /// Told before any byte below `limit` is written, so that readers without a cursor can tell torn copies.
    fn announce(&self, _limit: u64) {}
    /// Told after each publication where the next frame goes.
    fn published(&self, _position: u64) {}
    /// Told after each publication which line is written first in the next one and not owned yet: its store stands before
    /// the store of `len`, so fetching it for writing ahead of time takes that transfer out of the next hop.
    fn prepare(&self, _offset: usize) {}
}

/// The words that readers without a cursor need besides.
pub trait WatchedWords: Words {
    /// The writer writes below it only; raised before the bytes are.
    fn limit(&self) -> &Self::U64;
    /// Behind the newest published frame.
    fn position(&self) -> &Self::U64;
    fn fence(order: Ordering);
}

/// What a `WatchedWords` does in `Words::announce`.
pub fn announce_limit<W: WatchedWords>(words: &W, limit: u64) {
    words.limit().store(limit, Ordering::Relaxed);
    // ORDERING: the limit is visible before any byte below it is written; pairs with the fence in `Observer::confirm`.
    W::fence(Ordering::Release);
}

/// What a `WatchedWords` does in `Words::published`.
#[inline]
pub fn publish_position<W: WatchedWords>(words: &W, position: u64) {
    words.position().store(position, Ordering::Release); // ORDERING: pairs with the load in `Observer::rejoin`
}

/// An open frame, its number of lines already worked out.
pub(crate) struct Claim {
    pub offset: usize,
    next: u64,
    len: u32,
}

/// Bytes that a frame of `len` bytes occupies.
#[inline]
pub const fn padded_len(len: usize) -> u64 {
    (len.div_ceil(LINE_LEN) * LINE_LEN) as u64
}

/// The writing end of the protocol.
pub struct Publisher<W> {
    words: W,
    position: u64,
    claimed_len: u32,
    /// The capacity less one.
    mask: u64,
    /// The longest frame that is taken: `MAX_FRAME_LEN` or half of the capacity.
    len_max: usize,
    slowest_cached: u64,
    announced: u64,
    /// A frame that ends a line before it needs no look at anything else: below it are no reader, no end of the lap and
    /// nothing that was not announced.
    free_end: u64,
}

impl<W: Words> Publisher<W> {
    /// Starts at `position`, whose `len` word is 0. `slowest` is at most every cursor.
    pub fn new(words: W, position: u64, slowest: u64) -> Self {
        let len_max = MAX_FRAME_LEN.min((words.capacity() / 2) as usize);
        let mask = words.capacity() - 1;
        Self { words, position, claimed_len: 0, mask, len_max, slowest_cached: slowest, announced: 0, free_end: 0 }
    }

    /// Room for a frame of `len` bytes; returns the offset of its first byte. A claim before replaces the open one.
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<usize, PushError> {
        let claim = self.open(len)?;
        self.claimed_len = claim.len;
        Ok(claim.offset)
    }

    /// As `claim` for a frame that is written and closed at once: what is known of it stays with the caller.
    #[inline]
    pub(crate) fn open(&mut self, len: usize) -> Result<Claim, PushError> {
        self.claimed_len = 0;
        if len <= PREFIX_LEN || len > self.len_max {
            return Err(PushError::Length);
        }
        let need = padded_len(len);
        if self.position + need + LINE_LEN as u64 > self.free_end {
            self.make_room(need)?;
        }
        let offset = (self.position & self.mask) as usize;
        Ok(Claim { offset, next: self.position + need, len: len as u32 })
    }

    /// Makes the frame of `claim`, which is the newest, visible.
    #[inline]
    pub(crate) fn close(&mut self, claim: Claim) {
        let Claim { offset, next, len } = claim;
        if W::CLEAR_NEXT {
            self.words.len_at((next & self.mask) as usize).store(0, Ordering::Relaxed); // ordered by the store below
        }
        // ORDERING: pairs with `OBSERVE` in `Follower::look`.
        self.words.len_at(offset).store(len, W::PUBLISH);
        self.words.published(next);
        self.words.prepare(((next + LINE_LEN as u64) & self.mask) as usize);
        self.position = next;
    }

    /// The rare half of `claim`: looks at the readers, announces, steps over the end of a lap.
    #[cold]
    fn make_room(&mut self, need: u64) -> Result<(), PushError> {
        let capacity = self.words.capacity();
        let offset = self.position & (capacity - 1);
        let skip = if need > capacity - offset { capacity - offset } else { 0 };
        let end = self.position + skip + need + LINE_LEN as u64;
        if end > self.slowest_cached + capacity && end > self.refresh_slowest() + capacity {
            return Err(PushError::Full);
        }
        if end > self.announced {
            self.announce(end);
        }
        if skip > 0 {
            self.words.len_at(0).store(0, Ordering::Relaxed); // ordered by the store of SKIP
            self.words.len_at(offset as usize).store(SKIP, W::PUBLISH);
            self.position += skip;
        }
        let lap_end = (self.position & !(capacity - 1)) + capacity;
        self.free_end = lap_end.min(self.slowest_cached + capacity).min(self.announced);
        Ok(())
    }

    /// Makes the claimed frame visible; without an open claim it does nothing.
    #[inline]
    pub fn publish(&mut self) {
        if self.claimed_len > 0 {
            let next = self.position + padded_len(self.claimed_len as usize);
            self.close(Claim { offset: (self.position & self.mask) as usize, next, len: self.claimed_len });
            self.claimed_len = 0;
        }
    }

    /// Where the next frame goes.
    #[inline]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Length of the open claim, 0 without one.
    #[inline]
    pub fn claimed_len(&self) -> usize {
        self.claimed_len as usize
    }

    /// Bytes free at the last look at the readers, less what was written since: never more than there are.
    #[inline]
    pub fn room(&self) -> u64 {
        (self.slowest_cached + self.words.capacity()).saturating_sub(self.position)
    }

    /// Bytes that the slowest reader has not released, with fresh loads.
    #[inline]
    pub fn used(&mut self) -> u64 {
        self.position - self.refresh_slowest()
    }

    #[inline]
    pub fn words(&self) -> &W {
        &self.words
    }

    fn refresh_slowest(&mut self) -> u64 {
        // ORDERING: pairs with `FREE` in `Follower::commit`.
        let cursors = (0..self.words.readers_max()).map(|reader| self.words.cursor(reader).load(W::RECLAIM));
        // A cursor past the position can only be a damaged one, or "no reader": it holds nothing back.
        self.slowest_cached = cursors.fold(self.position, u64::min);
        self.slowest_cached
    }

    /// In steps of an eighth of the capacity, so that the barrier behind it costs nothing per frame.
    fn announce(&mut self, end: u64) {
        self.announced = end + self.words.capacity() / 8;
        self.words.announce(self.announced);
    }
}

/// What stands at a reader's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing is published there yet.
    Empty,
    Frame {
        offset: usize,
        len: usize,
    },
    /// A `len` that no writer publishes: the memory is damaged.
    Damaged {
        len: u32,
    },
}

/// A reader's copy of the position up to which frames are known to be published. A reader that polled the `len` word itself
/// would keep taking the line that the writer is filling; the word behind `newest` is on a line of its own. It only says
/// when to look: what is read, and in which order, is `len`'s to decide.
#[derive(Debug, Default)]
pub struct Doorbell(u64);

impl Doorbell {
    /// Whether a frame may stand at `position`; `newest` is asked only when the copy does not say so already.
    #[inline]
    pub fn rings(&mut self, position: u64, newest: impl FnOnce() -> u64) -> bool {
        if position >= self.0 {
            self.0 = newest();
        }
        position < self.0
    }
}

/// The reading end of the protocol: holds back the writer by its cursor.
pub struct Follower<W> {
    words: W,
    reader: usize,
    position: u64,
}

impl<W: Words> Follower<W> {
    /// Reads on from `position`, which is a frame's start; the reader's cursor is at most `position`.
    pub fn new(words: W, reader: usize, position: u64) -> Self {
        Self { words, reader, position }
    }

    /// The frame at the position. Steps over the end of a lap; otherwise calling it again returns the same.
    #[inline]
    pub fn look(&mut self) -> Next {
        let capacity = self.words.capacity();
        loop {
            let offset = self.position & (capacity - 1);
            // ORDERING: pairs with `PUBLISH` in `Publisher`.
            let len = self.words.len_at(offset as usize).load(W::OBSERVE);
            if len == 0 {
                return Next::Empty;
            }
            if len as usize <= MAX_FRAME_LEN && len as usize > PREFIX_LEN && u64::from(len) <= capacity - offset {
                return Next::Frame { offset: offset as usize, len: len as usize };
            }
            if len != SKIP || offset == 0 {
                return Next::Damaged { len };
            }
            self.position += capacity - offset;
        }
    }

    /// Steps over a frame of `len` bytes; its lines stay held until `commit`.
    #[inline]
    pub fn advance(&mut self, len: usize) {
        self.position += padded_len(len);
    }

    /// Releases everything before the position to the writer.
    #[inline]
    pub fn commit(&mut self) {
        self.words.cursor(self.reader).store(self.position, W::FREE); // ORDERING: pairs with `RECLAIM`
    }

    #[inline]
    pub fn position(&self) -> u64 {
        self.position
    }

    #[inline]
    pub fn reader(&self) -> usize {
        self.reader
    }

    #[inline]
    pub fn words(&self) -> &W {
        &self.words
    }
}

/// What an observer sees at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    Empty,
    /// Copy `len` bytes at `offset` word by word, then `confirm`.
    Frame {
        offset: usize,
        len: usize,
    },
    /// The writer has passed the observer, which has gone on to the newest position; `lost` bytes were skipped.
    Lapped {
        lost: u64,
    },
    Damaged {
        len: u32,
    },
}

/// A reading end without a cursor: the writer may pass it, and it notices.
pub struct Observer<W> {
    words: W,
    position: u64,
}

impl<W: WatchedWords> Observer<W> {
    /// Reads from the newest frame on.
    pub fn new(words: W) -> Self {
        let position = words.position().load(Ordering::Acquire);
        Self { words, position }
    }

    /// What stands at the position; a frame must be confirmed after it is copied.
    pub fn glance(&mut self) -> Glance {
        let capacity = self.words.capacity();
        loop {
            let offset = self.position & (capacity - 1);
            let len = self.words.len_at(offset as usize).load(W::OBSERVE);
            // The word may belong to a later lap, or be payload of one: it counts only while the position is not disowned.
            if self.is_disowned() {
                return Glance::Lapped { lost: self.rejoin() };
            }
            if len == 0 {
                return Glance::Empty;
            }
            if len as usize <= MAX_FRAME_LEN && len as usize > PREFIX_LEN && u64::from(len) <= capacity - offset {
                return Glance::Frame { offset: offset as usize, len: len as usize };
            }
            if len != SKIP || offset == 0 {
                return Glance::Damaged { len };
            }
            self.position += capacity - offset;
        }
    }

    /// Steps over the copied frame when the copy is whole; else rejoins the writer and returns how many bytes were lost.
    pub fn confirm(&mut self, len: usize) -> Result<(), u64> {
        if self.is_disowned() {
            return Err(self.rejoin());
        }
        self.position += padded_len(len);
        Ok(())
    }

    #[inline]
    pub fn position(&self) -> u64 {
        self.position
    }

    #[inline]
    pub fn words(&self) -> &W {
        &self.words
    }

    /// True when the writer may have begun to overwrite the position.
    fn is_disowned(&self) -> bool {
        // ORDERING: what was copied before is not newer than the limit read after; pairs with `announce_limit`.
        W::fence(Ordering::Acquire);
        self.words.limit().load(Ordering::Relaxed) > self.position + self.words.capacity()
    }

    #[cold]
    fn rejoin(&mut self) -> u64 {
        let newest = self.words.position().load(Ordering::Acquire); // ORDERING: pairs with the writer's store
        let lost = newest.saturating_sub(self.position);
        self.position = newest.max(self.position);
        lost
    }
}
