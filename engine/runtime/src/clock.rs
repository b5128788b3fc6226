//! Wall and engine time from the TSC, disciplined against CLOCK_REALTIME by the watchdog.
use std::time::{SystemTime, UNIX_EPOCH};
use tercel_net::EdgeClock;
use tercel_ring::Gauge;
use tercel_types::TimeNs;

/// One clock for all threads of a process: a counter read (about 10 ns, no system call) and an offset.
#[derive(Clone, Debug)]
pub struct TscClock {
    clock: quanta::Clock,
    raw_at_anchor: u64,
    /// Wall time at `raw_at_anchor`, as an i64 in a u64 cell: the watchdog slews it.
    anchor: Gauge,
    /// The wall time at which engine time and wall time are equal.
    start: TimeNs,
    speed: i64,
}

impl TscClock {
    /// Engine time equals wall time up to `start` and runs `speed` times as fast from there.
    pub fn new(start: Option<TimeNs>, speed: u32) -> Self {
        let clock = quanta::Clock::new();
        let (raw_at_anchor, wall) = sample(&clock);
        let anchor = Gauge::new();
        anchor.set(wall as u64);
        Self { clock, raw_at_anchor, anchor, start: start.unwrap_or(TimeNs(wall)), speed: i64::from(speed.max(1)) }
    }

    pub fn start(&self) -> TimeNs {
        self.start
    }

    pub fn speed(&self) -> u32 {
        self.speed as u32
    }

    /// Compares with CLOCK_REALTIME and moves the offset by at most `slew_ns`; returns the difference found, in ns
    /// (positive when the wall is ahead of us). A step of the wall is followed slowly, never by a jump.
    pub fn discipline(&self, slew_ns: i64) -> i64 {
        let (raw, wall) = sample(&self.clock);
        let ours = (self.anchor.get() as i64).wrapping_add(self.clock.delta_as_nanos(self.raw_at_anchor, raw) as i64);
        let difference = wall - ours;
        self.anchor.set((self.anchor.get() as i64).wrapping_add(difference.clamp(-slew_ns, slew_ns)) as u64);
        difference
    }
}

/// The counter and the wall as close together as three tries bring them.
fn sample(clock: &quanta::Clock) -> (u64, i64) {
    let mut best = (0, 0, u64::MAX);
    for _ in 0..3 {
        let before = clock.raw();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64);
        let after = clock.raw();
        if after - before < best.2 {
            best = (before + (after - before) / 2, wall, after - before);
        }
    }
    (best.0, best.1)
}

impl EdgeClock for TscClock {
    #[inline]
    fn wall(&self) -> TimeNs {
        let elapsed = self.clock.delta_as_nanos(self.raw_at_anchor, self.clock.raw());
        TimeNs((self.anchor.get() as i64).wrapping_add(elapsed as i64))
    }

    #[inline]
    fn engine_of(&self, wall: TimeNs) -> TimeNs {
        let elapsed = wall.0 - self.start.0;
        if elapsed <= 0 || self.speed == 1 { wall } else { TimeNs(self.start.0 + elapsed * self.speed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_wall_and_runs_faster_on_request() {
        let clock = TscClock::new(None, 4);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        assert!((clock.wall().0 - wall).abs() < 50_000_000, "within 50 ms of CLOCK_REALTIME");
        let start = clock.start();
        assert_eq!(clock.engine_of(TimeNs(start.0 + 10)), TimeNs(start.0 + 40));
        assert_eq!(clock.engine_of(TimeNs(start.0 - 10)), TimeNs(start.0 - 10));
    }

    #[test]
    fn a_step_of_the_wall_is_slewed() {
        let clock = TscClock::new(None, 1);
        clock.anchor.set((clock.anchor.get() as i64 - 1_000_000_000) as u64);
        let found = clock.discipline(1_000);
        assert!(found > 900_000_000, "{found}");
        assert!(clock.discipline(0) > 900_000_000, "one call moves it by 1 µs only");
    }
}
