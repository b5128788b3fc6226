//! Hot path. Net profit of one strategy: what it has realised and would realise at the mark, less fees, since the start and
//! since 00:00 UTC. Kept per instrument and computed again only where a fill came or the mark of an open position moved.
use crate::trade::Mark;
use tercel_event::Chain;
use tercel_order::Orders;
use tercel_types::{InstrumentId, Instruments, Money, Price, StrategyId, TimeNs};

/// Nanoseconds of a UTC day; the trading day of `Calendar::Always` turns at 00:00.
const DAY_NS: i64 = 86_400_000_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Profit {
    /// Per binding.
    parts: Vec<Part>,
    /// Σ of the parts.
    net: Money,
    /// Some position is open, so that a mark may change the sum; without, a fill alone can.
    is_open: bool,
    /// A report may have been a fill since the last update.
    pub has_fills: bool,
    /// Day number, when it ends, and the net profit at its start.
    day: i64,
    day_end: TimeNs,
    day_base: Money,
    /// `day_base` − `net`.
    loss: f64,
}

/// One instrument: its share, and what that was computed from.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    fills: u64,
    mark: Option<Price>,
    net: Money,
}

impl Profit {
    pub fn new(bindings: usize) -> Self {
        Self {
            parts: vec![Part::default(); bindings],
            net: Money::ZERO,
            is_open: false,
            has_fills: true,
            day: i64::MIN,
            day_end: TimeNs::MIN,
            day_base: Money::ZERO,
            loss: 0.0,
        }
    }

    /// Whether an update can change anything: the day has turned, or the profit is looked at and a fill or a mark may have
    /// moved it.
    #[inline]
    pub fn is_due(&self, now: TimeNs, is_watched: bool) -> bool {
        self.turns_at(now) || (is_watched && (self.is_open || self.has_fills))
    }

    /// A trading day begins at `now`, or has begun since the last update: the profit at its start is wanted.
    #[inline]
    fn turns_at(&self, now: TimeNs) -> bool {
        now >= self.day_end
    }

    /// Brings everything up to `now`. `ids` are the instruments of the bindings.
    #[inline(never)]
    pub fn update(
        &mut self,
        now: TimeNs,
        instruments: &Instruments,
        orders: &Orders,
        marks: &[Mark],
        strategy: StrategyId,
        ids: &[InstrumentId],
    ) {
        (self.is_open, self.has_fills) = (false, false);
        let mut changed = self.turns_at(now);
        for (part, &id) in self.parts.iter_mut().zip(ids) {
            let position = orders.position(strategy, id);
            let flat = position.qty.is_zero();
            let mark = if flat { None } else { marks.get(id.idx()).and_then(|mark| mark.of(position.qty)) };
            self.is_open |= !flat;
            // Nothing but a fill changes a position, and a flat one has no mark.
            if part.fills == position.fills && part.mark == mark {
                continue;
            }
            let open = instruments.get(id).zip(mark).and_then(|(i, mark)| position.unrealised(i, mark));
            let net = position.realised + open.unwrap_or(Money::ZERO) - position.fees;
            self.net += net - part.net;
            *part = Part { fills: position.fills, mark, net };
            changed = true;
        }
        if changed {
            self.turn(now);
        }
    }

    fn turn(&mut self, now: TimeNs) {
        if self.turns_at(now) {
            // The first day counts from the start of the run.
            self.day_base = if self.day == i64::MIN { Money::ZERO } else { self.net };
            self.day = now.0.div_euclid(DAY_NS);
            self.day_end = TimeNs((self.day + 1).saturating_mul(DAY_NS));
        }
        self.loss = (self.day_base - self.net).to_f64();
    }

    /// Loss since 00:00 UTC as a positive amount, in the settlement currency.
    #[inline]
    pub fn loss_today(&self) -> f64 {
        self.loss
    }

    pub fn digest(&self, chain: &mut Chain) {
        chain.word(self.day as u64);
        chain.word(self.day_base.0 as u64);
    }
}
