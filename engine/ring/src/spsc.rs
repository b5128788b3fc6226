//! Hot path. Lossless ring of items of one size (commands, small events) from one thread to one other.
//!
//!   Producer::try_push ──▶ slots ──▶ Consumer::drain        full is a value, draining is bounded
//!
//! Thread      each end lives on one thread; both ends are `Send`, neither can be cloned.
//! Memory      all slots allocated and touched by `spsc`; the indices are alone on 128 bytes each.
//! Cost        O(1), wait-free; one cache line of indices and one of data per hop. Measured in benches/ring.
//! Invariants  head ≤ tail ≤ head + capacity. Each end keeps its own index in a plain field and a cached copy of the
//!             other's, which it refreshes only when the ring looks full (empty).
use crate::atomic::{Atomic, Padded, prefetch_for_write};
use crate::power_of_two::PowerOfTwo;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::sync::Arc;
use thiserror::Error;

/// The ring was full; the item comes back.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the ring is full")]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

/// The memory of a ring and the orderings of its protocol. Production uses `HeapSlots`; loom brings its own.
///
/// # Safety
/// `put` and `with` address one and the same cell for one and the same `slot < capacity`, and distinct cells otherwise.
pub unsafe trait Slots<T: Copy> {
    type U64: Atomic<u64>;

    /// Store of `tail` after a slot is written; pairs with `OBSERVE`.
    const PUBLISH: Ordering = Ordering::Release;
    /// Load of `tail` before a slot is read.
    const OBSERVE: Ordering = Ordering::Acquire;
    /// Store of `head` after a slot is read; pairs with `RECLAIM`.
    const FREE: Ordering = Ordering::Release;
    /// Load of `head` before a slot is written again.
    const RECLAIM: Ordering = Ordering::Acquire;

    /// Slots, a power of two.
    fn capacity(&self) -> u64;
    /// Items ever released by the consumer.
    fn head(&self) -> &Self::U64;
    /// Items ever published by the producer.
    fn tail(&self) -> &Self::U64;

    /// # Safety
    /// `slot < capacity`, and no other thread touches the slot meanwhile.
    unsafe fn put(&self, slot: usize, item: T);

    /// Told after each publication which slot comes next: fetching its line for writing takes that transfer out of the
    /// next hop (1.78 to 0.98 of a bare line's time).
    #[inline]
    fn prepare(&self, _slot: usize) {}

    /// # Safety
    /// `slot < capacity`, the slot has been `put`, and no other thread writes it meanwhile.
    unsafe fn with<R>(&self, slot: usize, read: impl FnOnce(&T) -> R) -> R;
}

/// Slots on the heap, shared by the two ends.
pub struct HeapSlots<T> {
    slots: *mut T,
    mask: u64,
    shared: Arc<Shared<T>>,
}

// SAFETY: the pointer belongs to `shared`, kept alive beside it. A slot is written by the one producer and read by the one
// consumer, never at once (see `try_push`, `drain`).
unsafe impl<T: Send> Send for HeapSlots<T> {}

struct Shared<T> {
    head: Padded<AtomicU64>,
    tail: Padded<AtomicU64>,
    slots: *mut T,
    layout: Layout,
}

// SAFETY: the indices are atomics; the pointer is only the owner's, for `drop`. Items are `Copy` and need no drop.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Slots start on a pair of cache lines, so that an item of 64 bytes costs one transfer, not two.
    fn new(capacity: usize) -> Self {
        let layout = Layout::array::<T>(capacity).and_then(|array| array.align_to(128));
        let layout = layout.expect("a ring's capacity is below the address space");
        let slots: *mut T = if layout.size() == 0 {
            NonNull::dangling().as_ptr()
        } else {
            // SAFETY: the size is not zero.
            let bytes = unsafe { alloc_zeroed(layout) };
            if bytes.is_null() {
                handle_alloc_error(layout);
            }
            // SAFETY: the range is the allocation. Written, not only zero-mapped: the hot path meets no page fault.
            unsafe { bytes.write_bytes(0, layout.size()) };
            bytes.cast()
        };
        Self { head: Padded::default(), tail: Padded::default(), slots, layout }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: allocated in `new` with this layout; both ends are gone.
            unsafe { dealloc(self.slots.cast(), self.layout) };
        }
    }
}

// SAFETY: `put` and `with` address element `slot` of one array.
unsafe impl<T: Copy + Send> Slots<T> for HeapSlots<T> {
    type U64 = AtomicU64;

    #[inline]
    fn capacity(&self) -> u64 {
        self.mask + 1
    }

    #[inline]
    fn head(&self) -> &AtomicU64 {
        &self.shared.head
    }

    #[inline]
    fn tail(&self) -> &AtomicU64 {
        &self.shared.tail
    }

    #[inline]
    unsafe fn put(&self, slot: usize, item: T) {
        // SAFETY: the caller keeps `slot` below the capacity, which is the length of the array, and is alone on it.
        unsafe { self.slots.add(slot).write(item) };
    }

    #[inline]
    fn prepare(&self, slot: usize) {
        prefetch_for_write(self.slots.wrapping_add(slot).cast());
    }

    #[inline]
    unsafe fn with<R>(&self, slot: usize, read: impl FnOnce(&T) -> R) -> R {
        // SAFETY: as in `put`; the caller also vouches that the slot has been written.
        read(unsafe { &*self.slots.add(slot) })
    }
}

/// A ring of `capacity` items.
/// Memory: `capacity * size_of::<T>()` plus 256 bytes, touched here so that the hot path meets no page fault.
pub fn spsc<T: Copy + Send>(capacity: PowerOfTwo) -> (Producer<T>, Consumer<T>) {
    let shared = Arc::new(Shared::new(capacity.get()));
    let mask = capacity.get() as u64 - 1;
    let slots = || HeapSlots { slots: shared.slots, mask, shared: Arc::clone(&shared) };
    // SAFETY: these are the only ends over these slots.
    unsafe { (Producer::over(slots()), Consumer::over(slots())) }
}

/// The writing end.
pub struct Producer<T: Copy, S: Slots<T> = HeapSlots<T>> {
    slots: S,
    tail: u64,
    head_cached: u64,
    items: PhantomData<fn(T)>,
}

impl<T: Copy, S: Slots<T>> Producer<T, S> {
    /// # Safety
    /// The ring is empty and new, and this is its only producer.
    pub unsafe fn over(slots: S) -> Self {
        Self { slots, tail: 0, head_cached: 0, items: PhantomData }
    }

    /// Appends one item; a full ring hands it back. O(1), wait-free.
    #[inline]
    pub fn try_push(&mut self, item: T) -> Result<(), Full<T>> {
        let capacity = self.slots.capacity();
        if self.tail - self.head_cached == capacity {
            self.head_cached = self.slots.head().load(S::RECLAIM); // ORDERING: pairs with `FREE` in `drain`
            if self.tail - self.head_cached == capacity {
                return Err(Full(item));
            }
        }
        // SAFETY: the mask keeps the slot in bounds. No one else touches it: `head_cached` is past this slot's last lap
        // (`RECLAIM`), and `&mut self` bars a second producer. Tests: loom_spsc, spsc_prop.
        unsafe { self.slots.put((self.tail & (capacity - 1)) as usize, item) };
        self.tail += 1;
        self.slots.tail().store(self.tail, S::PUBLISH); // ORDERING: pairs with `OBSERVE` in `drain`
        self.slots.prepare((self.tail & (capacity - 1)) as usize);
        Ok(())
    }

    /// Items in the ring, counted with a fresh load: never fewer than there are.
    #[inline]
    pub fn used(&self) -> usize {
        (self.tail - self.slots.head().load(S::RECLAIM)) as usize
    }

    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.capacity() as usize
    }
}

/// The reading end.
pub struct Consumer<T: Copy, S: Slots<T> = HeapSlots<T>> {
    slots: S,
    head: u64,
    tail_cached: u64,
    items: PhantomData<fn() -> T>,
}

impl<T: Copy, S: Slots<T>> Consumer<T, S> {
    /// # Safety
    /// The ring is empty and new, and this is its only consumer.
    pub unsafe fn over(slots: S) -> Self {
        Self { slots, head: 0, tail_cached: 0, items: PhantomData }
    }

    /// Hands over at most `limit` items in order, then releases all their slots in one store. Returns how many.
    #[inline]
    pub fn drain(&mut self, limit: usize, mut on_item: impl FnMut(&T)) -> usize {
        if self.tail_cached == self.head {
            self.tail_cached = self.slots.tail().load(S::OBSERVE); // ORDERING: pairs with `PUBLISH` in `try_push`
        }
        let count = (self.tail_cached - self.head).min(limit as u64);
        if count == 0 {
            return 0;
        }
        let mask = self.slots.capacity() - 1;
        for index in self.head..self.head + count {
            // SAFETY: the mask keeps the slot in bounds; it is written, because `index < tail_cached` (`OBSERVE`), and
            // not written again before `head` passes it. Tests: loom_spsc, spsc_prop.
            unsafe { self.slots.with((index & mask) as usize, &mut on_item) };
        }
        self.head += count;
        self.slots.head().store(self.head, S::FREE); // ORDERING: pairs with `RECLAIM` in `try_push`
        count as usize
    }

    /// The next item.
    #[inline]
    pub fn try_pop(&mut self) -> Option<T> {
        let mut taken = None;
        self.drain(1, |item| taken = Some(*item));
        taken
    }

    /// Items in the ring, counted with a fresh load: never more than there are.
    #[inline]
    pub fn used(&self) -> usize {
        (self.slots.tail().load(S::OBSERVE) - self.head) as usize
    }

    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.capacity() as usize
    }
}
