use tercel_types::TimeNs;

pub(crate) const SPANS_NS: [i64; 3] = [100_000_000, 1_000_000_000, 60_000_000_000];

/// Control C8: the newest messages of one budget, by time. Exact: a window slides with every message, nothing is bucketed.
///
/// "At most L in any span" holds exactly when the L-th newest message has left the span, so each limit costs one load.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    limits: [u32; 3],
    /// Times of the newest messages; the length is a power of two, at least the largest limit.
    ring: Box<[i64]>,
    count: u64,
}

impl Rate {
    pub(crate) fn new(limits: [u32; 3]) -> Self {
        let len = limits.iter().copied().max().unwrap_or(0).max(1).next_power_of_two();
        Self { limits, ring: vec![0; len as usize].into_boxed_slice(), count: 0 }
    }

    /// `Err((limit, messages))` when one more message at `now` would be too many; messages at exactly `now − span` have left.
    #[inline]
    pub(crate) fn check(&self, now: TimeNs) -> Result<(), (i64, i64)> {
        for (limit, span) in self.limits.into_iter().zip(SPANS_NS) {
            let limit = u64::from(limit);
            if self.count >= limit {
                let at = self.count.wrapping_sub(limit) as usize & (self.ring.len() - 1);
                if limit == 0 || self.ring[at] > now.0.saturating_sub(span) {
                    return Err((limit as i64, limit as i64 + 1));
                }
            }
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn count(&mut self, now: TimeNs) {
        let at = self.count as usize & (self.ring.len() - 1);
        self.ring[at] = now.0;
        self.count += 1;
    }

    /// Changes the limit of one window, within the memory taken at the start.
    pub(crate) fn set(&mut self, window: usize, limit: u32) -> bool {
        let fits = limit as usize <= self.ring.len() && window < self.limits.len();
        if fits {
            self.limits[window] = limit;
        }
        fits
    }
}
