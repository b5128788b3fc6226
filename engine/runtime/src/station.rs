//! A thread with one job: turn, wait when a turn found nothing, end when told.
use crate::pin;
use std::thread::{Builder, JoinHandle};
use tercel_ring::{Flag, Gauge, WaitStrategy, Waiter};

/// What runs on a thread of its own.
pub trait Station: Send + 'static {
    /// One bounded piece of work; `false` when there was none.
    fn turn(&mut self) -> bool;

    /// Called once after the stop flag was raised and a turn found nothing; the last chance to write.
    fn finish(&mut self) {}
}

/// Starts `station` on a thread, pinned to `cpu` where given. The station comes back when the thread ends.
/// `turns` grows with every turn, idle ones too: the watchdog's proof that the thread is alive.
pub fn spawn<S: Station>(
    name: &str,
    cpu: Option<usize>,
    wait: WaitStrategy,
    stop: Flag,
    turns: Gauge,
    mut station: S,
) -> std::io::Result<JoinHandle<S>> {
    Builder::new().name(name.into()).spawn(move || {
        pin(cpu);
        let mut waiter = Waiter::new(wait);
        let mut count = 0u64;
        loop {
            count = count.wrapping_add(1);
            turns.set(count);
            if station.turn() {
                waiter.reset();
            } else if stop.is_raised() {
                station.finish();
                return station;
            } else {
                waiter.idle();
            }
        }
    })
}
