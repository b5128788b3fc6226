//! Numbers that one thread keeps and others look at. All relaxed: they order nothing. Each is alone on its cache lines.
use crate::atomic::Padded;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

/// A count of things that happened; only grows. Clones count into the same cell.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Padded<AtomicU64>>);

impl Counter {
    pub fn new() -> Self {
        Self::default()
    }

    /// A locked add, about 5 ns: fine at the edges and for what seldom happens.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The latest value of something, such as a lag or a heartbeat. Clones see the same cell; one of them writes.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Padded<AtomicU64>>);

impl Gauge {
    pub fn new() -> Self {
        Self::default()
    }

    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A condition that is raised once, such as "stop". What was written before `raise` is seen after `is_raised`.
#[derive(Clone, Debug, Default)]
pub struct Flag(Arc<Padded<AtomicBool>>);

impl Flag {
    pub fn new() -> Self {
        Self::default()
    }

    #[inline]
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release); // ORDERING: pairs with `is_raised`
    }

    #[inline]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire) // ORDERING: pairs with `raise`
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_cell() {
        let (counter, gauge, flag) = (Counter::new(), Gauge::new(), Flag::new());
        let (counter2, gauge2, flag2) = (counter.clone(), gauge.clone(), flag.clone());
        std::thread::spawn(move || {
            counter2.add(2);
            counter2.increment();
            gauge2.set(7);
            flag2.raise();
        })
        .join()
        .unwrap();
        assert_eq!((counter.get(), gauge.get(), flag.is_raised()), (3, 7, true));
    }
}
