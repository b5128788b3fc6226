//! A thread with one job: turn, wait when a turn found nothing, end when told.
use crate::pin;
use std::thread::{Builder, JoinHandle};
use tercel_ring::{Flag, WaitStrategy, Waiter};

/// What runs on a thread of its own.
pub trait Station: Send + 'static {
    /// One bounded piece of work; `false` when there was none.
    fn turn(&mut self) -> bool;

    /// Called once after the stop flag was raised and a turn found nothing; the last chance to write.
    fn finish(&mut self) {}
}

/// Starts `station` on a thread, pinned to `cpu` where given. The station comes back when the thread ends.
pub fn spawn<S: Station>(
    name: &str,
    cpu: Option<usize>,
    wait: WaitStrategy,
    stop: Flag,
    mut station: S,
) -> std::io::Result<JoinHandle<S>> {
    Builder::new().name(name.into()).spawn(move || {
        pin(cpu);
        let mut waiter = Waiter::new(wait);
        loop {
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
