//! Hot path. One side of a book: distinct prices, sorted, the best one last.
//!
//! Memory      `capacity` levels, allocated once. When a side is full its worst level is dropped and the *horizon* moves
//!             there: every level better than the horizon is known, nothing is claimed beyond it.
//! Cost        the search gallops from the touch, so it costs O(log distance from the touch); insert and remove move the
//!             levels between the place and the touch.
use tercel_event::{Level, mix64};
use tercel_types::{Price, Qty};

/// `BID` fixes the direction at compile time, so the comparison costs no branch.
#[derive(Clone, Debug)]
pub(crate) struct SideLevels<const BID: bool> {
    /// Worst first, best last.
    levels: Vec<Level>,
    capacity: usize,
    /// Best price among the levels that were dropped for want of room; `None` while everything fits.
    horizon: Option<Price>,
    /// Σ over levels of `weight(px) · qty`, wrapping.
    digest: u64,
    /// Levels dropped or refused because they lie at or beyond the horizon.
    pub(crate) dropped: u64,
}

impl<const BID: bool> SideLevels<BID> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { levels: Vec::with_capacity(capacity), capacity, horizon: None, digest: 0, dropped: 0 }
    }

    #[inline]
    pub(crate) fn better(a: Price, b: Price) -> bool {
        if BID { a > b } else { a < b }
    }

    /// Odd, so that no change of a quantity leaves the digest as it was.
    #[inline]
    fn weight(px: Price) -> u64 {
        mix64((px.0 as u64) ^ if BID { 0 } else { 0x5bd1_e995_97f4_a7c5 }) | 1
    }

    #[inline]
    pub(crate) fn best(&self) -> Option<Level> {
        self.levels.last().copied()
    }

    /// Level `idx` counted from 0 at the best.
    #[inline]
    pub(crate) fn level(&self, idx: usize) -> Option<Level> {
        self.levels.len().checked_sub(idx + 1).map(|at| self.levels[at])
    }

    /// Levels from the best to the worst.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Level> + '_ {
        self.levels.iter().rev().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.levels.len()
    }

    pub(crate) fn horizon(&self) -> Option<Price> {
        self.horizon
    }

    #[inline]
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn clear(&mut self) {
        self.levels.clear();
        self.horizon = None;
        self.digest = 0;
    }

    /// Index of the first level that is `px` or better; equals `len` when none is.
    #[inline]
    fn find(&self, px: Price) -> usize {
        // Gallop from the touch: most changes happen within a few levels of it.
        let (mut hi, mut step) = (self.levels.len(), 1);
        while hi >= step && !Self::better(px, self.levels[hi - step].px) {
            // levels[hi − step] is `px` or better, so the answer is at or below it.
            hi -= step;
            step *= 2;
        }
        let mut lo = hi.saturating_sub(step);
        // INVARIANT: everything below `lo` is worse than `px`; everything from `hi` on is `px` or better.
        while lo < hi {
            let mid = lo + (hi - lo) / 2;
            if Self::better(px, self.levels[mid].px) {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        lo
    }

    /// Sets the quantity at `px`, 0 removing it. Returns whether the side changed.
    #[inline]
    pub(crate) fn set(&mut self, px: Price, qty: Qty) -> bool {
        let at = self.find(px);
        if let Some(level) = self.levels.get_mut(at)
            && level.px == px
        {
            let delta = (qty.0 as u64).wrapping_sub(level.qty.0 as u64);
            self.digest = self.digest.wrapping_add(Self::weight(px).wrapping_mul(delta));
            if qty.is_zero() {
                self.levels.remove(at);
            } else {
                level.qty = qty;
            }
            return delta != 0;
        }
        if qty.is_zero() {
            return false;
        }
        self.insert(at, Level { px, qty })
    }

    fn insert(&mut self, at: usize, level: Level) -> bool {
        if self.horizon.is_some_and(|horizon| !Self::better(level.px, horizon)) {
            self.dropped += 1;
            return false;
        }
        let mut at = at;
        if self.levels.len() == self.capacity {
            self.dropped += 1;
            if at == 0 {
                self.horizon = Some(level.px);
                return false;
            }
            let worst = self.levels.remove(0);
            self.horizon = Some(worst.px);
            self.digest = self.digest.wrapping_sub(Self::weight(worst.px).wrapping_mul(worst.qty.0 as u64));
            at -= 1;
        }
        self.digest = self.digest.wrapping_add(Self::weight(level.px).wrapping_mul(level.qty.0 as u64));
        self.levels.insert(at, level);
        true
    }

    /// Fills an empty side from levels that arrive best first, which is how snapshots come; O(1) a level. Any other order
    /// is accepted by `set` after `finish`. Returns `false` when `level` is not strictly worse than the one before.
    #[inline]
    pub(crate) fn push_worse(&mut self, level: Level) -> bool {
        // While filling, `levels` is best first; `finish` turns it round.
        if self.levels.last().is_some_and(|last| !Self::better(last.px, level.px)) {
            return false;
        }
        if self.horizon.is_some() || self.levels.len() == self.capacity {
            self.dropped += 1;
            self.horizon.get_or_insert(level.px);
            return true;
        }
        self.digest = self.digest.wrapping_add(Self::weight(level.px).wrapping_mul(level.qty.0 as u64));
        self.levels.push(level);
        true
    }

    pub(crate) fn finish(&mut self) {
        self.levels.reverse();
    }
}

/// Both sides of a snapshot while its parts arrive.
#[derive(Clone, Debug)]
pub(crate) struct Filling<const BID: bool> {
    pub(crate) side: SideLevels<BID>,
    best_first: bool,
}

impl<const BID: bool> Filling<BID> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { side: SideLevels::new(capacity), best_first: true }
    }

    pub(crate) fn clear(&mut self) {
        self.side.clear();
        self.best_first = true;
    }

    #[inline]
    pub(crate) fn add(&mut self, level: Level) {
        if self.best_first {
            if self.side.push_worse(level) {
                return;
            }
            self.side.finish();
            self.best_first = false;
        }
        self.side.set(level.px, level.qty);
    }

    pub(crate) fn finish(&mut self) {
        if self.best_first {
            self.side.finish();
            self.best_first = false;
        }
    }
}
