//! The log's lapped reader under loom: `cargo test -p tercel-ring --release --features loom --test loom_observe`
//!
//! No cursor holds the writer back. The payload is two relaxed words per line; a confirmed copy must be of one frame, the
//! one that belongs at its position. Twins leave out the announcement, its fence, or the reader's fence.
mod loom_memory;

use core::sync::atomic::Ordering::{self, Relaxed};
use loom::sync::Arc;
use loom::sync::atomic::fence;
use loom::thread;
use loom_memory::{U32, U64, holds, is_caught};
use std::marker::PhantomData;
use tercel_ring::publish::{Glance, Observer, Publisher, WatchedWords, Words, announce_limit, publish_position};
use tercel_ring::{Atomic, LINE_LEN};

const LINES: usize = 4;
const LEN: usize = 48;

trait Rules: Send + Sync + 'static {
    const ANNOUNCES: bool = true;
    const FENCES: bool = true;
}

struct Memory<R> {
    lens: Vec<U32>,
    payload: Vec<[U64; 2]>,
    limit: U64,
    position: U64,
    none: U64,
    rules: PhantomData<R>,
}

struct Handle<R>(Arc<Memory<R>>);

impl<R: Rules> Words for Handle<R> {
    type U32 = U32;
    type U64 = U64;

    fn capacity(&self) -> u64 {
        (LINES * LINE_LEN) as u64
    }

    fn len_at(&self, offset: usize) -> &U32 {
        &self.0.lens[offset / LINE_LEN]
    }

    fn cursor(&self, _reader: usize) -> &U64 {
        &self.0.none
    }

    fn readers_max(&self) -> usize {
        0
    }

    fn announce(&self, limit: u64) {
        if R::ANNOUNCES {
            announce_limit(self, limit);
        }
    }

    fn published(&self, position: u64) {
        publish_position(self, position);
    }
}

impl<R: Rules> WatchedWords for Handle<R> {
    fn limit(&self) -> &U64 {
        &self.0.limit
    }

    fn position(&self) -> &U64 {
        &self.0.position
    }

    fn fence(order: Ordering) {
        if R::FENCES {
            fence(order);
        }
    }
}

/// A writer laps a reader that starts at the first frame.
fn a_confirmed_copy_is_of_one_frame<R: Rules>(before: u64, during: u64) {
    let memory = Arc::new(Memory::<R> {
        lens: (0..LINES).map(|_| U32::new(0)).collect(),
        payload: (0..LINES).map(|_| [U64::new(0), U64::new(0)]).collect(),
        limit: U64::new(0),
        position: U64::new(0),
        none: U64::new(u64::MAX),
        rules: PhantomData,
    });
    let mut observer = Observer::new(Handle(Arc::clone(&memory)));
    let mut publisher = Publisher::new(Handle(memory), 0, 0);
    let mut write = move || {
        let value = publisher.position() / LINE_LEN as u64 + 1;
        let offset = publisher.claim(LEN).unwrap();
        for word in &publisher.words().0.payload[offset / LINE_LEN] {
            word.store(value, Relaxed);
        }
        publisher.publish();
    };
    (0..before).for_each(|_| write());
    let writing = thread::spawn(move || (0..during).for_each(|_| write()));
    for _ in 0..3 {
        let position = observer.position();
        match observer.glance() {
            Glance::Frame { offset, len } => {
                let memory = &observer_memory(&observer).payload[offset / LINE_LEN];
                let copy = [memory[0].load(Relaxed), memory[1].load(Relaxed)];
                if observer.confirm(len).is_ok() {
                    assert_eq!((len, copy), (LEN, [position / LINE_LEN as u64 + 1; 2]), "at {position}");
                }
            }
            Glance::Damaged { len } => panic!("length {len}"),
            Glance::Empty | Glance::Lapped { .. } => thread::yield_now(),
        }
    }
    writing.join().unwrap();
}

fn observer_memory<R: Rules>(observer: &Observer<Handle<R>>) -> &Memory<R> {
    &observer.words().0
}

struct Sound;
impl Rules for Sound {}

#[test]
fn a_confirmed_copy_is_whole_loom() {
    holds("log, lapped reader", 1_000, 2, || a_confirmed_copy_is_of_one_frame::<Sound>(2, 4));
}

#[test]
fn a_writer_that_announces_nothing_is_caught_loom() {
    struct Defect;
    impl Rules for Defect {
        const ANNOUNCES: bool = false;
    }
    is_caught("no announcement", 2, || a_confirmed_copy_is_of_one_frame::<Defect>(2, 4));
}

#[test]
fn missing_fences_are_caught_loom() {
    struct Defect;
    impl Rules for Defect {
        const FENCES: bool = false;
    }
    is_caught("no fences", 2, || a_confirmed_copy_is_of_one_frame::<Defect>(2, 4));
}
