use tercel_types::TimeNs;

pub(crate) const SPANS_NS: [i64; 3] = [100_000_000, 1_000_000_000, 60_000_000_000];
/// Messages are remembered as if none were later than this (the year 2262), so that a span can be added to each.
const TS_MAX: i64 = i64::MAX - SPANS_NS[2];

/// Control C8: the newest messages of one budget, by time. Exact: a window slides with every message, nothing is bucketed.
///
/// "At most L in any span" holds exactly when the L-th newest message has left the span. That time is known as soon as a
/// message is counted, so the check itself is one comparison. Where at least half of every window is free, the next messages
/// up to that half pass in any case, and the windows are not looked at again before they have been used up.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    /// The next message may leave from here on.
    open_from: i64,
    /// Messages that may follow the next one without another look, since time does not run backwards.
    spare: i32,
    limits: [u32; 3],
    /// Times of the newest messages; the length is a power of two, at least the largest limit.
    ring: Box<[i64]>,
    mask: usize,
    count: usize,
}

impl Rate {
    pub(crate) fn new(limits: [u32; 3]) -> Self {
        let len = limits.iter().copied().max().unwrap_or(0).max(1).next_power_of_two();
        let (ring, mask) = (vec![0; len as usize].into_boxed_slice(), len as usize - 1);
        let mut rate = Self { open_from: 0, spare: 0, limits, ring, mask, count: 0 };
        rate.open_from = rate.opening();
        rate
    }

    /// One more message may leave at `now`.
    #[inline(always)]
    pub(crate) fn is_open(&self, now: TimeNs) -> bool {
        now.0 >= self.open_from
    }

    /// The limit that stands against one more message at `now`, 0 when none does.
    #[cold]
    pub(crate) fn limit_reached(&self, now: TimeNs) -> u32 {
        let closed = (0..self.limits.len()).find(|&window| now.0 < self.opening_of(window, 0));
        closed.map_or(0, |window| self.limits[window])
    }

    #[inline(always)]
    pub(crate) fn count(&mut self, now: TimeNs) {
        self.ring[self.count & self.mask] = now.0.min(TS_MAX);
        self.count += 1;
        self.spare -= 1;
        if self.spare < 0 {
            self.look(now);
        }
    }

    /// Changes the limit of one window, within the memory taken at the start.
    pub(crate) fn set(&mut self, window: usize, limit: u32) -> bool {
        let fits = limit as usize <= self.ring.len() && window < self.limits.len();
        if fits {
            self.limits[window] = limit;
            (self.open_from, self.spare) = (self.opening(), 0);
        }
        fits
    }

    #[inline(never)]
    fn look(&mut self, now: TimeNs) {
        (self.open_from, self.spare) = (self.opening(), 0);
        if self.open_from > now.0 {
            return;
        }
        // Half of a window is free when the message that fills the other half has left it.
        let mut free = i32::MAX as u32;
        for window in 0..self.limits.len() {
            let half = self.limits[window] / 2;
            let is_free = half > 0 && self.opening_of(window, half) <= now.0;
            free = free.min(if is_free { half + 1 } else { 1 });
        }
        // At most half of the largest limit, which is far below the range of 31 bits.
        self.spare = free as i32 - 1;
        if self.spare > 0 {
            // What is promised holds from now on only.
            self.open_from = now.0;
        }
    }

    #[inline]
    fn opening(&self) -> i64 {
        self.opening_of(0, 0).max(self.opening_of(1, 0)).max(self.opening_of(2, 0))
    }

    /// When one more message than `ahead` may leave by this window: when the (L − `ahead`)-th newest leaves it, at exactly its
    /// time plus the span. A limit of 0 never opens.
    #[inline]
    fn opening_of(&self, window: usize, ahead: u32) -> i64 {
        let limit = self.limits[window] as usize;
        if limit == 0 {
            return i64::MAX;
        }
        let within = limit - ahead as usize;
        if self.count < within {
            return i64::MIN;
        }
        self.ring[(self.count - within) & self.mask] + SPANS_NS[window]
    }
}
