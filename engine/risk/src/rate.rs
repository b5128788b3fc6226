use tercel_types::TimeNs;

pub(crate) const SPANS_NS: [i64; 3] = [100_000_000, 1_000_000_000, 60_000_000_000];

/// Control C8: the newest messages of one budget, by time. Exact: a window slides with every message, nothing is bucketed.
///
/// "At most L in any span" holds exactly when the L-th newest message has left the span. That time is known as soon as a
/// message is counted, so the check itself is one comparison.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    limits: [u32; 3],
    /// Times of the newest messages; the length is a power of two, at least the largest limit.
    ring: Box<[i64]>,
    count: u64,
    /// The next message may leave from here on.
    open_from: i64,
}

impl Rate {
    pub(crate) fn new(limits: [u32; 3]) -> Self {
        let len = limits.iter().copied().max().unwrap_or(0).max(1).next_power_of_two();
        let mut rate = Self { limits, ring: vec![0; len as usize].into_boxed_slice(), count: 0, open_from: 0 };
        rate.open_from = rate.opening();
        rate
    }

    /// One more message may leave at `now`.
    #[inline]
    pub(crate) fn is_open(&self, now: TimeNs) -> bool {
        now.0 >= self.open_from
    }

    /// The limit that stands against one more message at `now`, 0 when none does.
    #[cold]
    pub(crate) fn limit_reached(&self, now: TimeNs) -> u32 {
        let closed = (0..self.limits.len()).find(|&window| now.0 < self.opening_of(window));
        closed.map_or(0, |window| self.limits[window])
    }

    #[inline]
    pub(crate) fn count(&mut self, now: TimeNs) {
        let at = self.count as usize & (self.ring.len() - 1);
        self.ring[at] = now.0;
        self.count += 1;
        self.open_from = self.opening();
    }

    /// Changes the limit of one window, within the memory taken at the start.
    pub(crate) fn set(&mut self, window: usize, limit: u32) -> bool {
        let fits = limit as usize <= self.ring.len() && window < self.limits.len();
        if fits {
            self.limits[window] = limit;
            self.open_from = self.opening();
        }
        fits
    }

    #[inline]
    fn opening(&self) -> i64 {
        self.opening_of(0).max(self.opening_of(1)).max(self.opening_of(2))
    }

    /// When the L-th newest message leaves the window: at exactly its time plus the span it has left. A limit of 0 never
    /// opens.
    #[inline]
    fn opening_of(&self, window: usize) -> i64 {
        let limit = u64::from(self.limits[window]);
        if limit == 0 {
            return i64::MAX;
        }
        if self.count < limit {
            return i64::MIN;
        }
        let at = (self.count - limit) as usize & (self.ring.len() - 1);
        self.ring[at].saturating_add(SPANS_NS[window])
    }
}
