//! Hot path. One side of a book: a ladder of prices around the touch and a sorted list of what lies beyond.
//!
//!   key   −−−−−−−−−−−−−▶ better
//!         [ far: sorted, few ]|[ near: one slot per price, one bit per occupied slot ]
//!         horizon             low                    best              low + window
//!
//! Memory      `window` slots and `capacity` far levels, allocated once. Slots are addressed modulo the window, so moving it
//!             moves only the levels that cross its lower edge. When the far list is full its worst level is dropped and the
//!             *horizon* moves there: every level better than the horizon is known, nothing is claimed beyond it.
//! Cost        near: one slot and one bit; the best one leaving costs a scan of the bits to the next, 64 prices a step. Far: a
//!             binary search and a move of the far levels above.
//! Invariants  the best level of a side that has any is near; far keys < low ≤ near keys < low + window; `low` is a multiple
//!             of 64, so that no word of bits holds both ends of the window.
use tercel_event::{Level, mix64};
use tercel_types::{Price, Qty};

/// Prices beyond this are no prices: the frame is malformed. Keeps every sum of keys within 64 bits.
pub(crate) const PRICE_MAX: i64 = 1 << 60;
const WORD: i64 = 64;

/// `BID` fixes the direction at compile time.
#[derive(Clone, Debug)]
pub(crate) struct SideLevels<const BID: bool> {
    /// Quantity by slot; meaningful where the bit is set.
    slots: Box<[Qty]>,
    bits: Box<[u64]>,
    /// Lowest key of the window.
    low: i64,
    near_count: usize,
    /// Key of the best level; meaningful while `near_count` > 0.
    best: i64,
    /// Key and quantity, worst first.
    far: Vec<(i64, Qty)>,
    capacity: usize,
    /// Best key among the levels that were dropped for want of room; `None` while everything fits.
    horizon: Option<i64>,
    /// Σ over levels of `weight(px) · qty`, wrapping.
    digest: u64,
    /// Levels dropped or refused because they lie at or beyond the horizon.
    pub(crate) dropped: u64,
}

impl<const BID: bool> SideLevels<BID> {
    /// `window` is a power of two, at least 256: three quarters of it and a word fit.
    pub(crate) fn new(window: usize, capacity: usize) -> Self {
        Self {
            slots: vec![Qty::ZERO; window].into_boxed_slice(),
            bits: vec![0; window / WORD as usize].into_boxed_slice(),
            low: 0,
            near_count: 0,
            best: 0,
            far: Vec::with_capacity(capacity),
            capacity,
            horizon: None,
            digest: 0,
            dropped: 0,
        }
    }

    /// Prices as keys that grow with how good they are.
    #[inline]
    fn key(px: Price) -> i64 {
        if BID { px.0 } else { !px.0 }
    }

    #[inline]
    fn px(key: i64) -> Price {
        Price(if BID { key } else { !key })
    }

    /// Odd, so that no change of a quantity leaves the digest as it was.
    #[inline]
    fn weight(key: i64) -> u64 {
        mix64((key as u64) ^ if BID { 0 } else { 0x5bd1_e995_97f4_a7c5 }) | 1
    }

    #[inline]
    fn window(&self) -> i64 {
        self.slots.len() as i64
    }

    #[inline]
    fn slot(&self, key: i64) -> usize {
        key as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn word(&self, key: i64) -> usize {
        (key >> 6) as usize & (self.bits.len() - 1)
    }

    #[inline]
    fn is_near(&self, key: i64) -> bool {
        (key.wrapping_sub(self.low) as u64) < self.slots.len() as u64
    }

    #[inline]
    pub(crate) fn best(&self) -> Option<Level> {
        (self.near_count > 0).then(|| self.near_level(self.best))
    }

    #[inline]
    fn near_level(&self, key: i64) -> Level {
        Level { px: Self::px(key), qty: self.slots[self.slot(key)] }
    }

    /// Level `idx` counted from 0 at the best.
    #[inline]
    pub(crate) fn level(&self, idx: usize) -> Option<Level> {
        if idx == 0 { self.best() } else { self.iter().nth(idx) }
    }

    /// Levels from the best to the worst.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Level> + '_ {
        let mut next = (self.near_count > 0).then_some(self.best);
        let near = core::iter::from_fn(move || {
            let key = next?;
            next = self.next_below(key);
            Some(self.near_level(key))
        });
        near.chain(self.far.iter().rev().map(|&(key, qty)| Level { px: Self::px(key), qty }))
    }

    /// The next occupied key of the window below `key`.
    #[inline]
    fn next_below(&self, key: i64) -> Option<i64> {
        // The word's own base; bits below `key` in it first, then whole words down to the one of `low`.
        let mut base = key & !(WORD - 1);
        let mut word = self.bits[self.word(key)] & ((1u64 << (key & (WORD - 1))) - 1);
        while word == 0 {
            if base == self.low {
                return None;
            }
            base -= WORD;
            word = self.bits[self.word(base)];
        }
        Some(base + i64::from(63 - word.leading_zeros()))
    }

    pub(crate) fn len(&self) -> usize {
        self.near_count + self.far.len()
    }

    pub(crate) fn horizon(&self) -> Option<Price> {
        self.horizon.map(Self::px)
    }

    #[inline]
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn clear(&mut self) {
        self.bits.fill(0);
        self.near_count = 0;
        self.far.clear();
        self.horizon = None;
        self.digest = 0;
    }

    /// Sets the quantity at `px`, 0 removing it. Returns whether the side changed. |px| is below `PRICE_MAX`.
    #[inline]
    pub(crate) fn set(&mut self, px: Price, qty: Qty) -> bool {
        let key = Self::key(px);
        if self.is_near(key) && self.near_count > 0 { self.set_near(key, qty) } else { self.set_beyond(key, qty) }
    }

    #[inline]
    fn set_near(&mut self, key: i64, qty: Qty) -> bool {
        let (slot, word, bit) = (self.slot(key), self.word(key), 1u64 << (key & (WORD - 1)));
        let old = if self.bits[word] & bit == 0 { Qty::ZERO } else { self.slots[slot] };
        let delta = (qty.0 as u64).wrapping_sub(old.0 as u64);
        if delta == 0 || (old.is_zero() && self.is_dropped(key)) {
            return false;
        }
        self.digest = self.digest.wrapping_add(Self::weight(key).wrapping_mul(delta));
        self.slots[slot] = qty;
        if qty.is_zero() {
            self.bits[word] &= !bit;
            self.near_count -= 1;
            if key == self.best {
                self.best_left();
            }
        } else if old.is_zero() {
            self.bits[word] |= bit;
            self.near_count += 1;
            self.best = self.best.max(key);
        }
        true
    }

    /// Finds the best level after the last one has gone, and keeps room below it.
    fn best_left(&mut self) {
        match self.next_below(self.best) {
            Some(next) => {
                self.best = next;
                if next - self.low < self.window() / 4 && !self.far.is_empty() {
                    self.move_down(next);
                }
            }
            None => {
                if let Some(&(next, _)) = self.far.last() {
                    self.move_down(next);
                }
            }
        }
    }

    /// Outside the window, or into an empty one.
    #[cold]
    fn set_beyond(&mut self, key: i64, qty: Qty) -> bool {
        if self.near_count == 0 {
            // No near level means no far one either.
            if qty.is_zero() {
                return false;
            }
            (self.low, self.best) = (self.low_for(key), i64::MIN);
            return self.set_near(key, qty);
        }
        if key >= self.low {
            if qty.is_zero() {
                return false;
            }
            self.move_up(key);
            return self.set_near(key, qty);
        }
        let at = self.far.partition_point(|&(far, _)| far < key);
        match self.far.get_mut(at) {
            Some((found, old)) if *found == key => {
                let delta = (qty.0 as u64).wrapping_sub(old.0 as u64);
                self.digest = self.digest.wrapping_add(Self::weight(key).wrapping_mul(delta));
                *old = qty;
                if qty.is_zero() {
                    self.far.remove(at);
                }
                delta != 0
            }
            _ => !qty.is_zero() && !self.is_dropped(key) && self.insert_far(at, key, qty),
        }
    }

    #[inline]
    fn is_dropped(&mut self, key: i64) -> bool {
        let dropped = self.horizon.is_some_and(|horizon| key <= horizon);
        self.dropped += u64::from(dropped);
        dropped
    }

    fn insert_far(&mut self, at: usize, key: i64, qty: Qty) -> bool {
        let mut at = at;
        if self.far.len() == self.capacity {
            self.dropped += 1;
            if at == 0 {
                self.horizon = Some(key);
                return false;
            }
            let (worst, worst_qty) = self.far.remove(0);
            self.horizon = Some(worst);
            self.digest = self.digest.wrapping_sub(Self::weight(worst).wrapping_mul(worst_qty.0 as u64));
            at -= 1;
        }
        self.digest = self.digest.wrapping_add(Self::weight(key).wrapping_mul(qty.0 as u64));
        self.far.insert(at, (key, qty));
        true
    }

    /// The window's lower edge that puts `key` three quarters up.
    fn low_for(&self, key: i64) -> i64 {
        (key - self.window() / 4 * 3) & !(WORD - 1)
    }

    /// Moves the window up to hold `key`, which is better than all of it; what falls out below goes to the far list.
    fn move_up(&mut self, key: i64) {
        let new_low = self.low_for(key);
        let end = new_low.min(self.low + self.window());
        let mut base = self.low;
        while base < end {
            let at = self.word(base);
            let mut word = core::mem::take(&mut self.bits[at]);
            while word != 0 {
                let key = base + i64::from(word.trailing_zeros());
                word &= word - 1;
                let qty = self.slots[self.slot(key)];
                self.near_count -= 1;
                // It counts anew as a far level, unless there is no room.
                self.digest = self.digest.wrapping_sub(Self::weight(key).wrapping_mul(qty.0 as u64));
                self.insert_far(self.far.len(), key, qty);
            }
            base += WORD;
        }
        self.low = new_low;
        if self.near_count == 0 {
            self.best = i64::MIN;
        }
    }

    /// Moves the window down so that `best` stands three quarters up; what comes in from the far list becomes near.
    fn move_down(&mut self, best: i64) {
        self.low = self.low_for(best);
        while let Some(&(key, qty)) = self.far.last()
            && key >= self.low
        {
            self.far.pop();
            let (slot, word) = (self.slot(key), self.word(key));
            self.slots[slot] = qty;
            self.bits[word] |= 1 << (key & (WORD - 1));
            self.near_count += 1;
        }
        self.best = best;
    }

    /// Claims nothing at `key_of(px)` or beyond: for snapshots that hold more levels than there was room to keep.
    #[cold]
    pub(crate) fn forget_from(&mut self, px: Price) {
        let horizon = Self::key(px);
        let doomed = |side: &Self| side.iter().find(|level| Self::key(level.px) <= horizon);
        while let Some(level) = doomed(self) {
            self.set(level.px, Qty::ZERO);
            self.dropped += 1;
        }
        self.horizon = Some(self.horizon.map_or(horizon, |old| old.max(horizon)));
    }
}

/// Levels of a snapshot while its parts arrive, in the order in which they came: the last word on a price counts.
#[derive(Clone, Debug)]
pub(crate) struct Filling {
    levels: Vec<Level>,
    capacity: usize,
    /// The best level that found no room.
    left_out: Option<Price>,
    left_out_count: u64,
}

impl Filling {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { levels: Vec::with_capacity(capacity), capacity, left_out: None, left_out_count: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.levels.clear();
        (self.left_out, self.left_out_count) = (None, 0);
    }

    #[inline]
    pub(crate) fn add<const BID: bool>(&mut self, level: Level) {
        if self.levels.len() < self.capacity {
            self.levels.push(level);
            return;
        }
        self.left_out_count += 1;
        let key = SideLevels::<BID>::key;
        if self.left_out.is_none_or(|best| key(level.px) > key(best)) {
            self.left_out = Some(level.px);
        }
    }

    pub(crate) fn fill<const BID: bool>(&self, side: &mut SideLevels<BID>) {
        side.clear();
        for level in &self.levels {
            side.set(level.px, level.qty);
        }
        if let Some(best) = self.left_out {
            side.dropped += self.left_out_count;
            side.forget_from(best);
        }
    }
}
