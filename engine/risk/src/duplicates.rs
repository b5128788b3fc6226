use tercel_types::{DurationNs, InstrumentId, Price, Qty, Side, TimeNs};

const LEN: usize = 64;
const BUCKETS: usize = 128;

/// What makes two orders equal (control C10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Likeness {
    pub(crate) px: Price,
    pub(crate) qty: Qty,
    pub(crate) instrument: InstrumentId,
    pub(crate) side: Side,
}

impl Likeness {
    #[inline(always)]
    fn bucket(&self) -> usize {
        let tag = (u64::from(self.instrument.0) << 2) | self.side as u64;
        let mixed = (self.px.0 as u64) ^ (self.qty.0 as u64).rotate_left(24) ^ tag.rotate_left(48);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as usize
    }
}

/// The newest orders of one strategy, chained by print, so that a check reads the few that could be equal. When more orders
/// fall into the window than are remembered, the answer is refusal: nobody could say that there is no equal one.
#[derive(Clone, Debug)]
pub(crate) struct Duplicates {
    window: Option<DurationNs>,
    ring: Box<[Entry; LEN]>,
    /// Number of the newest order of each bucket, from 1; 0 when there is none.
    heads: Box<[u64; BUCKETS]>,
    count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ts: TimeNs,
    order: Likeness,
    /// Number of the one before in the same bucket.
    before: u64,
}

impl Duplicates {
    pub(crate) fn new(window: Option<DurationNs>) -> Self {
        let order = Likeness { px: Price(0), qty: Qty::ZERO, instrument: InstrumentId(0), side: Side::Buy };
        let entry = Entry { ts: TimeNs::MIN, order, before: 0 };
        Self { window, ring: Box::new([entry; LEN]), heads: Box::new([0; BUCKETS]), count: 0 }
    }

    /// `Err((age_ns, window_ns))` when an equal order is within the window, its end included.
    #[inline(always)]
    pub(crate) fn check(&self, order: &Likeness, now: TimeNs) -> Result<(), (i64, i64)> {
        let Some(window) = self.window else { return Err((0, 0)) };
        let oldest = now.0.saturating_sub(window.0);
        // Numbers at or below this have been overwritten.
        let gone = self.count.saturating_sub(LEN as u64);
        let mut number = self.heads[order.bucket()];
        while number > gone {
            let entry = &self.ring[number as usize % LEN];
            if entry.ts.0 < oldest {
                break;
            }
            if entry.order == *order {
                return Err((now.since(entry.ts).0, window.0));
            }
            number = entry.before;
        }
        if gone > 0 && self.ring[(gone + 1) as usize % LEN].ts.0 >= oldest {
            return Err((0, window.0));
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn count(&mut self, order: Likeness, now: TimeNs) {
        self.count += 1;
        let head = &mut self.heads[order.bucket()];
        self.ring[self.count as usize % LEN] = Entry { ts: now, order, before: *head };
        *head = self.count;
    }

    pub(crate) fn set(&mut self, window: DurationNs) {
        self.window = Some(window);
    }
}
