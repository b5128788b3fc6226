//! Time at the edge. Engine time is what frames carry; wall time is what session timers and kernel stamps use. They are the
//! same clock unless a venue plays a recording faster than it happened.
use crate::Now;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tercel_types::TimeNs;

/// What shells read time from; never called inside the core.
pub trait EdgeClock: Send + Sync {
    /// UTC wall time.
    fn wall(&self) -> TimeNs;
    /// Engine time of a wall time: a kernel stamp, or `wall()` itself.
    fn engine_of(&self, wall: TimeNs) -> TimeNs;

    #[inline]
    fn now(&self) -> Now {
        let wall = self.wall();
        Now { engine: self.engine_of(wall), wall }
    }
}

/// One clock, shared by the sockets and shells of a process.
pub type SharedClock = Arc<dyn EdgeClock>;

/// CLOCK_REALTIME through the vDSO, about 22 ns; engine time is wall time.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl EdgeClock for WallClock {
    #[inline]
    fn wall(&self) -> TimeNs {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimeNs(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
    }

    #[inline]
    fn engine_of(&self, wall: TimeNs) -> TimeNs {
        wall
    }
}

/// Engine time that runs `speed` times as fast as the wall from a shared start.
#[derive(Clone, Copy, Debug)]
pub struct ScaledClock {
    /// The wall time at which engine time equals wall time.
    pub start: TimeNs,
    /// ≥ 1.
    pub speed: u32,
}

impl EdgeClock for ScaledClock {
    #[inline]
    fn wall(&self) -> TimeNs {
        WallClock.wall()
    }

    #[inline]
    fn engine_of(&self, wall: TimeNs) -> TimeNs {
        let elapsed = wall.since(self.start).0;
        TimeNs(self.start.0.saturating_add(elapsed.saturating_mul(i64::from(self.speed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_time_runs_faster_from_a_shared_start() {
        let clock = ScaledClock { start: TimeNs(1_000), speed: 5 };
        assert_eq!(clock.engine_of(TimeNs(1_000)), TimeNs(1_000));
        assert_eq!(clock.engine_of(TimeNs(1_010)), TimeNs(1_050));
        assert_eq!(WallClock.engine_of(TimeNs(7)), TimeNs(7));
    }
}
