//! Clocks: which ticks make a value change and a stateful operator advance (S3).
use core::ops::{BitOr, BitOrAssign};

/// A set of clocks, one bit each.
/// Bits `0..48` are `Manifest::clocks`, bits `48..63` the program's periodic timers, bit 63 is `commit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockSet(pub u64);

impl ClockSet {
    pub const NONE: Self = Self(0);
    /// Ticks in commit rounds only: the clock of state and mode values.
    pub const COMMIT: Self = Self(1 << 63);
    /// The most base clocks a manifest may declare.
    pub const BASE_COUNT: usize = 48;
    /// The most distinct periods a program may use.
    pub const TIMER_COUNT: usize = 15;

    /// Base clock `idx` of the manifest, below [`Self::BASE_COUNT`].
    pub const fn base(idx: usize) -> Self {
        assert!(idx < Self::BASE_COUNT);
        Self(1 << idx)
    }

    /// Periodic timer `idx` of the program, below [`Self::TIMER_COUNT`].
    pub const fn timer(idx: usize) -> Self {
        assert!(idx < Self::TIMER_COUNT);
        Self(1 << (Self::BASE_COUNT + idx))
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }
}

impl BitOr for ClockSet {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for ClockSet {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
