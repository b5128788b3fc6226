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

/// The newest orders of one strategy. When more of them fall into the window than are remembered, the answer is refusal:
/// nobody could say that there is no equal one.
#[derive(Clone, Debug)]
pub(crate) struct Duplicates {
    window: Option<DurationNs>,
    ring: Box<[(TimeNs, Likeness)]>,
    count: usize,
}

impl Duplicates {
    pub(crate) fn new(window: Option<DurationNs>) -> Self {
        let none = Likeness { px: Price(0), qty: Qty::ZERO, instrument: InstrumentId(0), side: Side::Buy };
        Self { window, ring: vec![(TimeNs::MIN, none); LEN].into_boxed_slice(), count: 0 }
    }

    /// `Err((age_ns, window_ns))` when an equal order is within the window, its end included.
    #[inline]
    pub(crate) fn check(&self, order: &Likeness, now: TimeNs) -> Result<(), (i64, i64)> {
        let Some(window) = self.window else { return Err((0, 0)) };
        for back in 1..=self.count.min(LEN) {
            let (ts, like) = &self.ring[(self.count - back) % LEN];
            let age = now.since(*ts).0;
            if age > window.0 {
                return Ok(());
            }
            if like == order {
                return Err((age, window.0));
            }
        }
        if self.count < LEN { Ok(()) } else { Err((0, window.0)) }
    }

    #[inline]
    pub(crate) fn count(&mut self, order: Likeness, now: TimeNs) {
        self.ring[self.count % LEN] = (now, order);
        self.count += 1;
    }

    pub(crate) fn set(&mut self, window: DurationNs) {
        self.window = Some(window);
    }
}
