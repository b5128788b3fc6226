use tercel_types::{DurationNs, InstrumentId, Price, Qty, Side, TimeNs};

const LEN: usize = 64;

/// What makes two orders equal (control C10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Likeness {
    pub(crate) px: Price,
    pub(crate) qty: Qty,
    pub(crate) instrument: InstrumentId,
    pub(crate) side: Side,
}

impl Likeness {
    /// Different prints, different orders; the other way round only nearly always, so equal prints are looked at.
    #[inline]
    fn print(&self) -> u64 {
        let tag = u64::from(self.instrument.0) << 2 | self.side as u64;
        (self.px.0 as u64) ^ (self.qty.0 as u64).rotate_left(32) ^ tag.rotate_left(48)
    }
}

/// The newest orders of one strategy. When more of them fall into the window than are remembered, the answer is refusal:
/// nobody could say that there is no equal one.
#[derive(Clone, Debug)]
pub(crate) struct Duplicates {
    window: Option<DurationNs>,
    /// Time and print, which is what the search reads.
    ring: Box<[(TimeNs, u64); LEN]>,
    orders: Box<[Likeness; LEN]>,
    count: usize,
}

impl Duplicates {
    pub(crate) fn new(window: Option<DurationNs>) -> Self {
        let none = Likeness { px: Price(0), qty: Qty::ZERO, instrument: InstrumentId(0), side: Side::Buy };
        Self { window, ring: Box::new([(TimeNs::MIN, 0); LEN]), orders: Box::new([none; LEN]), count: 0 }
    }

    /// `Err((age_ns, window_ns))` when an equal order is within the window, its end included.
    #[inline]
    pub(crate) fn check(&self, order: &Likeness, now: TimeNs) -> Result<(), (i64, i64)> {
        let Some(window) = self.window else { return Err((0, 0)) };
        let (oldest, print) = (now.0.saturating_sub(window.0), order.print());
        for back in 1..=self.count.min(LEN) {
            let at = (self.count - back) % LEN;
            let (ts, found) = self.ring[at];
            if ts.0 < oldest {
                return Ok(());
            }
            if found == print && self.orders[at] == *order {
                return Err((now.since(ts).0, window.0));
            }
        }
        if self.count < LEN { Ok(()) } else { Err((0, window.0)) }
    }

    #[inline]
    pub(crate) fn count(&mut self, order: Likeness, now: TimeNs) {
        let at = self.count % LEN;
        self.ring[at] = (now, order.print());
        self.orders[at] = order;
        self.count += 1;
    }

    pub(crate) fn set(&mut self, window: DurationNs) {
        self.window = Some(window);
    }
}
