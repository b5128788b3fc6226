//! What the loom tests share: loom's atomics as `tercel_ring::Atomic`, and a counted exploration.
#![allow(dead_code)] // each test uses a part
use core::sync::atomic::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tercel_ring::Atomic;

pub struct U32(loom::sync::atomic::AtomicU32);
pub struct U64(loom::sync::atomic::AtomicU64);

impl U32 {
    pub fn new(value: u32) -> Self {
        Self(loom::sync::atomic::AtomicU32::new(value))
    }
}

impl U64 {
    pub fn new(value: u64) -> Self {
        Self(loom::sync::atomic::AtomicU64::new(value))
    }
}

impl Atomic<u32> for U32 {
    fn load(&self, order: Ordering) -> u32 {
        self.0.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.0.store(value, order);
    }
}

impl Atomic<u64> for U64 {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }
}

/// Runs `scenario` under every schedule with at most `preemptions` preemptions. Returns how many schedules there were and,
/// if one failed, why.
fn explore(preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) -> (usize, Option<String>) {
    let schedules = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&schedules);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            scenario();
        });
    }));
    let why = outcome.err().map(|payload| match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().map_or("a panic", |text| *text).to_owned(),
    });
    (schedules.load(Ordering::Relaxed), why)
}

/// The scenario holds under every schedule, and there were at least `floor` of them: a test that explores one schedule
/// proves nothing.
pub fn holds(name: &str, floor: usize, preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) {
    let (schedules, why) = explore(preemptions, scenario);
    println!("{name}: {schedules} schedules");
    assert!(why.is_none(), "{name}: failed in schedule {schedules}: {}", why.unwrap_or_default());
    assert!(schedules >= floor, "{name}: only {schedules} schedules explored, expected at least {floor}");
}

/// The planted defect makes some schedule fail, by a race or a wrong value: running out of loom's patience is no catch.
pub fn is_caught(name: &str, preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) {
    let (schedules, why) = explore(preemptions, scenario);
    let why = why.unwrap_or_else(|| panic!("{name}: the planted defect passed {schedules} schedules"));
    println!("{name}: caught in schedule {schedules}: {}", why.lines().next().unwrap_or_default());
    assert!(!why.contains("maximum number of branches"), "{name}: loom gave up, which catches nothing");
}
