//! The publication protocol of `frames` and `log` under loom:
//! `cargo test -p tercel-ring --release --features loom --test loom_publish`
//!
//! Four lines of memory, so that every scenario laps. The payload is one cell per line, for which loom reports every access
//! that nothing orders. Each ordering, and the zeroing of the next header, is left out in a twin, which must be caught.
mod loom_memory;

use core::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use loom_memory::{U32, U64, holds, is_caught};
use std::marker::PhantomData;
use std::sync::atomic::AtomicUsize; // counts schedules, so not one of loom's
use tercel_ring::LINE_LEN;
use tercel_ring::publish::{Follower, Next, Publisher, Words};

const LINES: usize = 4;

trait Orders: Send + Sync + 'static {
    const PUBLISH: Ordering = Release;
    const OBSERVE: Ordering = Acquire;
    const FREE: Ordering = Release;
    const RECLAIM: Ordering = Acquire;
    const CLEAR_NEXT: bool = true;
}

struct Memory<O> {
    lens: Vec<U32>,
    payload: Vec<UnsafeCell<u64>>,
    cursors: Vec<U64>,
    orders: PhantomData<O>,
}

struct Handle<O>(Arc<Memory<O>>);

impl<O: Orders> Words for Handle<O> {
    type U32 = U32;
    type U64 = U64;
    const PUBLISH: Ordering = O::PUBLISH;
    const OBSERVE: Ordering = O::OBSERVE;
    const FREE: Ordering = O::FREE;
    const RECLAIM: Ordering = O::RECLAIM;
    const CLEAR_NEXT: bool = O::CLEAR_NEXT;

    fn capacity(&self) -> u64 {
        (LINES * LINE_LEN) as u64
    }

    fn len_at(&self, offset: usize) -> &U32 {
        &self.0.lens[offset / LINE_LEN]
    }

    fn cursor(&self, reader: usize) -> &U64 {
        &self.0.cursors[reader]
    }

    fn readers_max(&self) -> usize {
        self.0.cursors.len()
    }
}

fn lines_of(offset: usize, len: usize) -> core::ops::Range<usize> {
    offset / LINE_LEN..offset / LINE_LEN + len.div_ceil(LINE_LEN)
}

/// Waits for `attempt` to succeed; with a bound, gives up instead, because loom is not fair to three waiting threads.
fn wait<T>(tries: Option<usize>, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    for tried in 1.. {
        let outcome = attempt();
        if outcome.is_some() || tries == Some(tried) {
            return outcome;
        }
        thread::yield_now();
    }
    None
}

fn write<O: Orders>(publisher: &mut Publisher<Handle<O>>, tries: Option<usize>, len: usize, value: u64) -> Option<()> {
    let offset = wait(tries, || publisher.claim(len).ok())?;
    for line in lines_of(offset, len) {
        // SAFETY: loom checks that nobody else is here.
        publisher.words().0.payload[line].with_mut(|cell| unsafe { *cell = value });
    }
    publisher.publish();
    Some(())
}

fn read<O: Orders>(follower: &mut Follower<Handle<O>>, tries: Option<usize>, expected: (usize, u64)) -> Option<()> {
    let (offset, len) = wait(tries, || match follower.look() {
        Next::Frame { offset, len } => Some((offset, len)),
        Next::Empty => None,
        Next::Damaged { len } => panic!("length {len}"),
    })?;
    assert_eq!(len, expected.0);
    for line in lines_of(offset, len) {
        // SAFETY: loom checks that nobody writes here.
        follower.words().0.payload[line].with(|cell| assert_eq!(unsafe { *cell }, expected.1));
    }
    follower.advance(len);
    follower.commit();
    Some(())
}

/// Frames of these lengths reach every reader whole, once and in order. With more than one reader each side gives up
/// after a few tries; `all_arrived` counts the schedules in which nobody did.
fn every_frame_arrives_whole<O: Orders>(readers: usize, lens: &'static [usize], all_arrived: &AtomicUsize) {
    let memory = Arc::new(Memory::<O> {
        lens: (0..LINES).map(|_| U32::new(0)).collect(),
        payload: (0..LINES).map(|_| UnsafeCell::new(0)).collect(),
        cursors: (0..readers).map(|_| U64::new(0)).collect(),
        orders: PhantomData,
    });
    let tries = (readers > 1).then_some(2);
    let mut publisher = Publisher::new(Handle(Arc::clone(&memory)), 0, 0);
    let reading: Vec<_> = (0..readers)
        .map(|reader| {
            let mut follower = Follower::new(Handle(Arc::clone(&memory)), reader, 0);
            thread::spawn(move || {
                lens.iter().zip(1..).all(|(len, value)| read(&mut follower, tries, (*len, value)).is_some())
            })
        })
        .collect();
    let written = lens.iter().zip(1..).all(|(len, value)| write(&mut publisher, tries, *len, value).is_some());
    let read = reading.into_iter().map(|reader| reader.join().unwrap()).filter(|all| *all).count();
    assert!(readers > 1 || (written && read == 1));
    all_arrived.fetch_add(usize::from(written && read == readers), Relaxed);
}

/// The third frame does not fit behind the second: the end of the lap is skipped.
const SKIPPING: &[usize] = &[60, 100, 100];
/// Line by line around the lap: the fifth frame stands where the first one did.
const LAPPING: &[usize] = &[40, 41, 42, 43, 44];

struct Sound;
impl Orders for Sound {}

#[test]
fn frames_with_one_reader_arrive_whole_loom() {
    static ARRIVED: AtomicUsize = AtomicUsize::new(0);
    holds("frames, end of lap skipped", 1_000, 3, || every_frame_arrives_whole::<Sound>(1, SKIPPING, &ARRIVED));
    holds("frames, lapped", 10_000, 3, || every_frame_arrives_whole::<Sound>(1, LAPPING, &ARRIVED));
}

#[test]
fn a_log_is_held_back_by_its_slowest_reader_loom() {
    static ARRIVED: AtomicUsize = AtomicUsize::new(0);
    holds("log, two gating readers", 5_000, 2, || every_frame_arrives_whole::<Sound>(2, SKIPPING, &ARRIVED));
    let whole = ARRIVED.load(Relaxed);
    println!("in {whole} of them every frame reached both readers");
    assert!(whole >= 500, "only {whole} schedules ran to the end");
}

macro_rules! twins {
    ($($test:ident: $name:ident: $ty:ty = $defect:expr)+) => {$(
        #[test]
        fn $test() {
            struct Defect;
            impl Orders for Defect {
                const $name: $ty = $defect;
            }
            static ARRIVED: AtomicUsize = AtomicUsize::new(0);
            is_caught(stringify!($test), 3, || every_frame_arrives_whole::<Defect>(1, LAPPING, &ARRIVED));
            is_caught(concat!(stringify!($test), ", two readers"), 2, || {
                every_frame_arrives_whole::<Defect>(2, LAPPING, &ARRIVED);
            });
        }
    )+};
}

twins! {
    a_relaxed_publication_is_caught_loom: PUBLISH: Ordering = Relaxed
    a_relaxed_look_at_len_is_caught_loom: OBSERVE: Ordering = Relaxed
    a_relaxed_commit_is_caught_loom: FREE: Ordering = Relaxed
    a_relaxed_look_at_cursors_is_caught_loom: RECLAIM: Ordering = Relaxed
    a_stale_next_header_is_caught_loom: CLEAR_NEXT: bool = false
}
