//! `spsc` under loom: `cargo test -p tercel-ring --release --features loom --test loom_spsc`
//!
//! The ring's own code over loom's memory, whose cells report every access that nothing orders. Each of the four orderings
//! is weakened in a twin, which must be caught.
mod loom_memory;

use core::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use loom_memory::{U64, holds, is_caught};
use std::marker::PhantomData;
use tercel_ring::spsc::{Consumer, Producer, Slots};

trait Orders: Send + Sync + 'static {
    const PUBLISH: Ordering = Release;
    const OBSERVE: Ordering = Acquire;
    const FREE: Ordering = Release;
    const RECLAIM: Ordering = Acquire;
}

struct Memory<O> {
    head: U64,
    tail: U64,
    slots: Vec<UnsafeCell<u64>>,
    orders: PhantomData<O>,
}

struct Handle<O>(Arc<Memory<O>>);

// SAFETY: both methods address `slots[slot]`.
unsafe impl<O: Orders> Slots<u64> for Handle<O> {
    type U64 = U64;
    const PUBLISH: Ordering = O::PUBLISH;
    const OBSERVE: Ordering = O::OBSERVE;
    const FREE: Ordering = O::FREE;
    const RECLAIM: Ordering = O::RECLAIM;

    fn capacity(&self) -> u64 {
        self.0.slots.len() as u64
    }

    fn head(&self) -> &U64 {
        &self.0.head
    }

    fn tail(&self) -> &U64 {
        &self.0.tail
    }

    unsafe fn put(&self, slot: usize, item: u64) {
        // SAFETY: loom checks that nobody else is here.
        self.0.slots[slot].with_mut(|cell| unsafe { *cell = item });
    }

    unsafe fn with<R>(&self, slot: usize, read: impl FnOnce(&u64) -> R) -> R {
        // SAFETY: loom checks that nobody writes here.
        self.0.slots[slot].with(|cell| read(unsafe { &*cell }))
    }
}

/// `items` numbers through a ring of `capacity`: every one arrives, once, in order.
fn every_item_arrives_once<O: Orders>(capacity: usize, items: u64) {
    let slots = (0..capacity).map(|_| UnsafeCell::new(0)).collect();
    let memory = Arc::new(Memory::<O> { head: U64::new(0), tail: U64::new(0), slots, orders: PhantomData });
    // SAFETY: the two ends of a new ring.
    let (mut producer, mut consumer) =
        unsafe { (Producer::<u64, _>::over(Handle(Arc::clone(&memory))), Consumer::<u64, _>::over(Handle(memory))) };
    let producing = thread::spawn(move || {
        for item in 1..=items {
            while producer.try_push(item).is_err() {
                thread::yield_now();
            }
        }
    });
    let mut expected = 1;
    while expected <= items {
        let drained = consumer.drain(2, |item| {
            assert_eq!(*item, expected);
            expected += 1;
        });
        if drained == 0 {
            thread::yield_now();
        }
    }
    producing.join().unwrap();
}

struct Sound;
impl Orders for Sound {}

#[test]
fn every_item_arrives_once_in_order_loom() {
    holds("spsc, 2 slots, 4 items", 1_000, 3, || every_item_arrives_once::<Sound>(2, 4));
    holds("spsc, 1 slot, 3 items", 300, 4, || every_item_arrives_once::<Sound>(1, 3));
}

macro_rules! twins {
    ($($test:ident: $order:ident)+) => {$(
        #[test]
        fn $test() {
            struct Defect;
            impl Orders for Defect {
                const $order: Ordering = Relaxed;
            }
            is_caught(stringify!($test), 3, || every_item_arrives_once::<Defect>(1, 3));
        }
    )+};
}

twins! {
    a_relaxed_publication_is_caught_loom: PUBLISH
    a_relaxed_look_at_the_tail_is_caught_loom: OBSERVE
    a_relaxed_release_of_slots_is_caught_loom: FREE
    a_relaxed_look_at_the_head_is_caught_loom: RECLAIM
}
