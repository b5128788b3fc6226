//! Queue position of resting orders at one price: how much displayed quantity still stands before each of them.
//!
//!   arrival ──▶ ahead = displayed quantity
//!   trade   ──▶ consumes the queue from its front: the others ahead, us, the others between us, us again
//!   decrease of the displayed quantity that no trade explains ──▶ a cancel, by `QueueModel`
//!
//! Depth, quotes and trades come over separate streams, so a decrease may be seen before the trade that made it. Such a
//! decrease waits `HOLD` of exchange time for its trade before it counts as a cancel: a trade never moves the queue twice.
//!
//! Invariants  `ahead` never grows. Of one trade, at most its quantity is filled, whoever is in front.
use crate::market::Observation;
use crate::order::OrderNo;
use tercel_types::{DurationNs, TimeNs};

/// Where cancels of others are taken from when the displayed quantity shrinks without a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueueModel {
    /// From behind us as long as there is anything behind us: the pessimistic bound.
    #[default]
    Conservative,
    /// From before and behind us in proportion to the quantities, rounded against us.
    Proportional,
}

impl QueueModel {
    pub const ALL: &'static [Self] = &[Self::Conservative, Self::Proportional];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Conservative => "conservative",
            Self::Proportional => "proportional",
        }
    }

    /// The model in one sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Conservative => "what leaves a level without a trade was behind us as long as anything was",
            Self::Proportional => "what leaves a level without a trade was before and behind us in proportion",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|model| model.name() == text)
    }
}

/// How long an unexplained decrease waits for its trade. In the recording that the demo uses, 96 % of trades come within
/// 10 ms of the quote that already shows them.
pub const HOLD: DurationNs = DurationNs(50_000_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resting {
    pub no: OrderNo,
    pub leaves: i64,
    /// Displayed quantity of others before this order, in lots.
    pub ahead: i64,
}

/// Our orders at one price of one side, oldest first, and what is known of the level.
#[derive(Clone, Debug)]
pub(crate) struct QueueLevel {
    pub orders: Vec<Resting>,
    seen: Observation,
    /// Traded quantity that the displayed quantity does not show yet.
    traded: i64,
    traded_ts: TimeNs,
    /// Decrease that no trade has explained yet.
    unexplained: i64,
    unexplained_ts: TimeNs,
}

impl QueueLevel {
    pub fn new(seen: Observation) -> Self {
        Self {
            orders: Vec::new(),
            seen,
            traded: 0,
            traded_ts: TimeNs::MIN,
            unexplained: 0,
            unexplained_ts: TimeNs::MIN,
        }
    }

    /// Puts an order behind everything displayed. `taken` is what we took from this very level.
    /// A decrease that still waits for its trade counts as standing: that trade will be deducted when it comes.
    pub fn join(&mut self, no: OrderNo, leaves: i64, taken: i64) {
        let mut ahead = (self.seen.qty + self.unexplained - taken).max(0);
        if let Some(last) = self.orders.last() {
            ahead = ahead.max(last.ahead);
        }
        self.orders.push(Resting { no, leaves, ahead });
    }

    /// Takes in a newer word of the record about this level.
    pub fn observe(&mut self, seen: Observation, ts: TimeNs) {
        if seen.update_id <= self.seen.update_id {
            return;
        }
        let decrease = self.seen.qty - seen.qty;
        if decrease > 0 {
            let by_trades = decrease.min(self.traded);
            self.traded -= by_trades;
            if decrease > by_trades {
                self.unexplained += decrease - by_trades;
                self.unexplained_ts = ts;
            }
        }
        if ts > self.traded_ts {
            // The level has been seen since the trade: what it did not explain was replenished.
            self.traded = 0;
        }
        self.seen = seen;
        self.clamp();
    }

    /// No more can stand before us than stands there at all.
    fn clamp(&mut self) {
        let standing = self.seen.qty + self.unexplained;
        for order in &mut self.orders {
            order.ahead = order.ahead.min(standing);
        }
    }

    /// Decreases that waited long enough are cancels.
    pub fn settle(&mut self, clock: TimeNs, model: QueueModel) {
        if self.unexplained == 0 || clock.since(self.unexplained_ts) < HOLD {
            return;
        }
        if model == QueueModel::Proportional {
            let standing = i128::from(self.seen.qty + self.unexplained);
            for order in &mut self.orders {
                let share = i128::from(self.unexplained) * i128::from(order.ahead) / standing;
                order.ahead -= share as i64;
            }
        }
        self.unexplained = 0;
        self.clamp();
    }

    /// A trade of `qty` at this price. Of it `open` is not yet spoken for by better orders of ours; fills go to `on_fill`.
    /// Returns what is left of `open`.
    pub fn trade(&mut self, qty: i64, open: i64, ts: TimeNs, mut on_fill: impl FnMut(OrderNo, i64)) -> i64 {
        let seen_before = if ts <= self.unexplained_ts { qty.min(self.unexplained) } else { 0 };
        self.unexplained -= seen_before;
        if qty > seen_before {
            self.traded += qty - seen_before;
            self.traded_ts = ts;
        }
        let (mut open, mut others_before, mut others_done) = (open, 0, 0);
        for order in &mut self.orders {
            // Others between the order before and this one trade first.
            let gap = (order.ahead - others_before).clamp(0, open);
            others_before = order.ahead.max(others_before);
            others_done += gap;
            open -= gap;
            order.ahead -= others_done.min(order.ahead);
            let fill = order.leaves.min(open);
            if fill > 0 {
                order.leaves -= fill;
                open -= fill;
                on_fill(order.no, fill);
            }
        }
        self.clamp();
        self.orders.retain(|order| order.leaves > 0);
        open
    }

    /// The market went through this price: others are gone, and up to `open` fills us. Returns what is left of `open`.
    pub fn through(&mut self, open: i64, mut on_fill: impl FnMut(OrderNo, i64)) -> i64 {
        let mut open = open;
        for order in &mut self.orders {
            order.ahead = 0;
            let fill = order.leaves.min(open);
            if fill > 0 {
                order.leaves -= fill;
                open -= fill;
                on_fill(order.no, fill);
            }
        }
        self.orders.retain(|order| order.leaves > 0);
        open
    }
}
