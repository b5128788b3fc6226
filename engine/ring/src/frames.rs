//! Hot path. Lossless ring of frames from a gateway's thread to the core's.
//!
//!   FrameProducer::push / claim + publish ──▶ lines ──▶ FrameConsumer::peek + release
//!
//! Thread      each end lives on one thread. Memory: allocated, zeroed and touched by `frames`; no allocation after.
//! Protocol    `publish`: the frame's own `len` is the publication word; a doorbell beside it says when to look.
use crate::atomic::{Padded, prefetch_for_write};
use crate::power_of_two::PowerOfTwo;
use crate::publish::{Doorbell, Follower, LINE_LEN, Next, PREFIX_LEN, Publisher, PushError, Words};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::sync::Arc;

/// A ring of `capacity` bytes. Frames of up to half the capacity always fit an empty ring; below 256 bytes it is raised
/// to 256, and 64 KiB carry the largest frame.
pub fn frames(capacity: PowerOfTwo) -> (FrameProducer, FrameConsumer) {
    let memory = Arc::new(HeapMemory::new(capacity.get().max(4 * LINE_LEN)));
    let words = || HeapWords { lines: memory.lines, capacity: memory.capacity as u64, memory: Arc::clone(&memory) };
    (
        FrameProducer { publisher: Publisher::new(words(), 0, 0) },
        FrameConsumer { follower: Follower::new(words(), 0, 0), doorbell: Doorbell::default(), held: 0 },
    )
}

/// The writing end.
pub struct FrameProducer {
    publisher: Publisher<HeapWords>,
}

impl FrameProducer {
    /// Room for a frame of `len` bytes in all: the slice starts behind `len` (`PREFIX_LEN`), which `publish` writes.
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<&mut [u8], PushError> {
        let offset = self.publisher.claim(len)?;
        let start = self.publisher.words().lines.wrapping_add(offset + PREFIX_LEN);
        // SAFETY: `claim` returned a range of `len` bytes inside the lines that no reader stands on; the `len` word before
        // it is touched atomically only. `&mut self` bars a second claim. Tests: loom_publish, frames_prop.
        Ok(unsafe { core::slice::from_raw_parts_mut(start, len - PREFIX_LEN) })
    }

    /// Makes the claimed frame visible with one release store of its `len`.
    #[inline]
    pub fn publish(&mut self) {
        self.publisher.publish();
    }

    /// Copies in a whole frame whose first four bytes are its length.
    #[inline]
    pub fn push(&mut self, frame: &[u8]) -> Result<(), PushError> {
        let Some(payload) = payload_of(frame) else { return Err(PushError::Length) };
        self.claim(frame.len())?.copy_from_slice(payload);
        self.publish();
        Ok(())
    }

    /// Bytes not yet released by the consumer, with a fresh load.
    #[inline]
    pub fn used_bytes(&mut self) -> usize {
        self.publisher.used() as usize
    }

    #[inline]
    pub fn capacity(&self) -> usize {
        self.publisher.words().capacity as usize
    }
}

/// What follows the `len` of a frame, or `None` when the slice is not as long as its `len` says.
#[inline]
pub(crate) fn payload_of(frame: &[u8]) -> Option<&[u8]> {
    let (prefix, payload) = frame.split_first_chunk::<PREFIX_LEN>()?;
    (u32::from_le_bytes(*prefix) as usize == frame.len()).then_some(payload)
}

/// The reading end.
pub struct FrameConsumer {
    follower: Follower<HeapWords>,
    doorbell: Doorbell,
    /// Length of the frame that `peek` showed, 0 when there was none or it is released.
    held: usize,
}

impl FrameConsumer {
    /// The oldest frame, 64-byte aligned; the same one until `release`.
    #[inline]
    pub fn peek(&mut self) -> Option<&[u8]> {
        let words = self.follower.words();
        if !self.doorbell.rings(self.follower.position(), || words.memory.newest.load(Ordering::Acquire)) {
            return None;
        }
        match self.follower.look() {
            Next::Frame { offset, len } => {
                self.held = len;
                let start = self.follower.words().lines.wrapping_add(offset);
                // SAFETY: the protocol published `len` bytes at `offset` inside the lines, and the producer writes none of
                // them before `release` moves the cursor, which needs `&mut self`. Tests: loom_publish, frames_prop.
                Some(unsafe { core::slice::from_raw_parts(start, len) })
            }
            Next::Empty => None,
            Next::Damaged { len } => {
                debug_assert!(false, "a ring on the heap holds a frame of {len} bytes");
                None
            }
        }
    }

    /// Gives the lines of the oldest frame back; without one it does nothing.
    #[inline]
    pub fn release(&mut self) {
        if self.held > 0 || self.peek().is_some() {
            self.follower.advance(self.held);
            self.held = 0;
            self.follower.commit();
        }
    }

    #[inline]
    pub fn capacity(&self) -> usize {
        self.follower.words().capacity as usize
    }
}

struct HeapMemory {
    lines: *mut u8,
    capacity: usize,
    cursor: Padded<AtomicU64>,
    newest: Padded<AtomicU64>,
}

impl HeapMemory {
    fn new(capacity: usize) -> Self {
        let layout = Self::layout(capacity);
        // SAFETY: the layout is not empty.
        let lines = unsafe { alloc_zeroed(layout) };
        if lines.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: the range is the allocation. Written, not only zero-mapped, so that the hot path meets no page fault.
        unsafe { lines.write_bytes(0, capacity) };
        Self { lines, capacity, cursor: Padded::default(), newest: Padded::default() }
    }

    fn layout(capacity: usize) -> Layout {
        Layout::from_size_align(capacity, 4096).expect("a ring's capacity is below the address space")
    }
}

impl Drop for HeapMemory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout; both ends are gone.
        unsafe { dealloc(self.lines, Self::layout(self.capacity)) };
    }
}

// SAFETY: the lines are shared under the protocol of `publish`; the pointer is the owner's.
unsafe impl Send for HeapMemory {}
// SAFETY: as above; through a shared reference only atomics are reached.
unsafe impl Sync for HeapMemory {}

struct HeapWords {
    lines: *mut u8,
    capacity: u64,
    memory: Arc<HeapMemory>,
}

// SAFETY: the pointer belongs to `memory`, which is kept alive beside it and is `Send + Sync`.
unsafe impl Send for HeapWords {}

impl Words for HeapWords {
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
    fn cursor(&self, _reader: usize) -> &AtomicU64 {
        &self.memory.cursor
    }

    #[inline]
    fn readers_max(&self) -> usize {
        1
    }

    #[inline]
    fn published(&self, position: u64) {
        self.memory.newest.store(position, Ordering::Release);
    }

    #[inline]
    fn prepare(&self, offset: usize) {
        prefetch_for_write(self.lines.wrapping_add(offset));
    }
}
