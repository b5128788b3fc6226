//! `step` allocates nothing after it has warmed up: counted over frames with a resync, a lost session, a burst of rejects, a
//! parameter change and a kill. The twin shows that the counter counts.
mod common;
use common::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tercel_core::*;
use tercel_event::*;

struct Counting;

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

fn count() {
    let _ = COUNT.try_with(|count| count.set(count.get().map(|n| n + 1)));
}

// SAFETY: every call is handed to the system allocator unchanged; counting touches a thread-local word only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    COUNT.with(|count| count.set(Some(0)));
    work();
    COUNT.with(|count| count.take()).unwrap_or(0)
}

/// The inputs of a long day, recorded from a run that answers every command.
fn inputs(frames: usize) -> Vec<FrameBufSmall> {
    fn make() -> Core {
        core(config(2), vec![Quoter::boxed(vec![], &[]), Taker::aggressive()])
    }
    let mut s = Script::started(make);
    let mut waiting: Vec<Command> = Vec::new();
    let mut at = 0u64;
    while s.seq.last().0 < frames as u64 {
        at += 1;
        s.now += 3 * MS;
        let mut fresh = s.bbo(BID + at as i64 % 9 * 3, ASK + at as i64 % 9 * 3);
        for command in core::mem::take(&mut waiting) {
            let dice = if at % 500 < 40 { 0 } else { mix64(command.cl_ord_id.0) };
            fresh.extend(s.answer(&command, dice));
        }
        match at % 1_000 {
            100 => fresh.extend(s.param(1, (at % 3) as f64 * 0.001)),
            300 => {
                s.feed_status(FeedEvent::Gap);
                fresh.extend(s.book(BID, ASK));
            }
            600 => {
                s.session(SessionEvent::Disconnected);
                fresh = s.session(SessionEvent::LoggedOn);
            }
            800 => fresh.extend(s.operator(&Kill { scope: Scope::All as u8, ..Default::default() })),
            850 => {
                let active = Mode { state: TradingState::Active as u8, scope: Scope::All as u8, ..Default::default() };
                fresh.extend(s.operator(&active));
            }
            _ => {}
        }
        waiting = fresh;
    }
    let counters = s.core().counters();
    assert!(counters.fills > 10 && counters.venue_rejects > 5 && counters.session_losses > 0, "{counters:?}");
    let inputs = s.seq.sink().frames().filter(|f| !f.is_derived());
    inputs.map(|f| FrameBufSmall { header: f.header, body: f.body.to_vec() }).collect()
}

struct FrameBufSmall {
    header: FrameHeader,
    body: Vec<u8>,
}

#[test]
fn step_allocates_nothing_after_it_has_warmed_up() {
    let frames = if std::env::var_os("TERCEL_SOAK").is_some() { 1_000_000 } else { 20_000 };
    let inputs = inputs(frames);
    let mut core = core(config(2), vec![Quoter::boxed(vec![], &[]), Taker::aggressive()]);
    let mut out = core.outbox();
    let mut commands = 0;
    let (warm, rest) = inputs.split_at(inputs.len() / 10);
    let mut run = |inputs: &[FrameBufSmall]| {
        for input in inputs {
            core.step(Frame { header: input.header, body: &input.body }, &mut out);
            commands += out.commands().count();
        }
    };
    run(warm);
    assert_eq!(allocations(|| run(rest)), 0);
    assert!(commands > 500, "{commands}");
}

#[test]
fn an_allocation_is_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(3)))), 1);
}
