//! What a thread does when there is nothing to do.
use core::hint::spin_loop;
use core::time::Duration;

/// How a thread waits for work, by configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStrategy {
    /// Never gives the core away. For pinned threads with a core each.
    Spin,
    /// Spins `spins` times, then yields to whoever wants the core.
    SpinThenYield { spins: u32 },
    /// Spins, yields, then sleeps: from 10 µs, doubling up to `max`. For hosts with fewer cores than threads.
    /// `std::thread::Thread::unpark` ends a sleep early.
    Park { spins: u32, max: Duration },
}

impl WaitStrategy {
    /// A `park` that answers within a millisecond.
    pub const PARK: Self = Self::Park { spins: 64, max: Duration::from_millis(1) };
    pub const SPIN_THEN_YIELD: Self = Self::SpinThenYield { spins: 1024 };

    /// The strategy of its configuration word: `spin`, `spin-then-yield` or `park`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "spin" => Some(Self::Spin),
            "spin-then-yield" => Some(Self::SPIN_THEN_YIELD),
            "park" => Some(Self::PARK),
            _ => None,
        }
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::SpinThenYield { .. } => "spin-then-yield",
            Self::Park { .. } => "park",
        }
    }
}

/// One thread's state of waiting: `idle` when a turn found nothing, `reset` when it found something.
#[derive(Clone, Debug)]
pub struct Waiter {
    strategy: WaitStrategy,
    idle_count: u32,
}

impl Waiter {
    const SLEEP_FIRST: Duration = Duration::from_micros(10);
    const YIELDS: u32 = 32;

    pub const fn new(strategy: WaitStrategy) -> Self {
        Self { strategy, idle_count: 0 }
    }

    #[inline]
    pub fn reset(&mut self) {
        self.idle_count = 0;
    }

    /// Waits a little, longer each time. `Spin` makes no system call.
    #[inline]
    pub fn idle(&mut self) {
        self.idle_count = self.idle_count.saturating_add(1);
        match self.strategy {
            WaitStrategy::Spin => spin_loop(),
            WaitStrategy::SpinThenYield { spins } if self.idle_count > spins => std::thread::yield_now(),
            WaitStrategy::Park { spins, max } if self.idle_count > spins => Self::rest(self.idle_count - spins, max),
            WaitStrategy::SpinThenYield { .. } | WaitStrategy::Park { .. } => spin_loop(),
        }
    }

    fn rest(idle_count: u32, max: Duration) {
        match idle_count.checked_sub(Self::YIELDS) {
            None | Some(0) => std::thread::yield_now(),
            Some(sleeps) => std::thread::park_timeout((Self::SLEEP_FIRST * (1 << sleeps.min(16))).min(max)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn words_and_strategies_agree() {
        for word in ["spin", "spin-then-yield", "park"] {
            assert_eq!(WaitStrategy::from_word(word).map(WaitStrategy::word), Some(word));
        }
        assert_eq!(WaitStrategy::from_word("sleep"), None);
    }

    #[test]
    fn park_sleeps_and_reset_ends_it() {
        let mut waiter = Waiter::new(WaitStrategy::Park { spins: 1, max: Duration::from_millis(2) });
        let start = Instant::now();
        (0..1 + Waiter::YIELDS + 12).for_each(|_| waiter.idle());
        assert!(start.elapsed() >= Duration::from_millis(4), "twelve sleeps of up to 2 ms");
        waiter.reset();
        let start = Instant::now();
        waiter.idle();
        assert!(start.elapsed() < Duration::from_millis(2), "one spin");
    }
}
