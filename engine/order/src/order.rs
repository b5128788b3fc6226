use crate::OrderState;
use tercel_event::hash_words;
use tercel_types::{AccountId, ClOrdId, InstrumentId, OrderId, Price, Qty, Side, SourceId, StrategyId, TimeNs};

/// A cancel or replace request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub cl_ord_id: ClOrdId,
    /// What a replace asks for; of a cancel, what stands.
    pub px: Price,
    pub order_qty: Qty,
    pub ts: TimeNs,
    /// The gateway wrote it.
    pub sent: bool,
}

/// Status questions about one order on the running session. Answers come in the order of the questions, so the last one
/// outstanding is answered when as many answers as questions have come; of an earlier one only a lower bound is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Questions {
    unanswered_count: u32,
    /// No unanswered question is older than this.
    ts_oldest: TimeNs,
    ts_newest: TimeNs,
}

impl Questions {
    pub(crate) const NONE: Self = Self { unanswered_count: 0, ts_oldest: TimeNs::MIN, ts_newest: TimeNs::MIN };

    pub(crate) fn ask(&mut self, now: TimeNs) {
        if self.unanswered_count == 0 {
            self.ts_oldest = now;
        }
        self.unanswered_count = self.unanswered_count.saturating_add(1);
        self.ts_newest = now;
    }

    /// An answer came: requests made before the returned time had reached the venue before it, or never will.
    pub(crate) fn answer(&mut self) -> TimeNs {
        match self.unanswered_count {
            0 => TimeNs::MIN, // nobody asked: it proves nothing about requests
            1 => {
                self.unanswered_count = 0;
                self.ts_newest
            }
            _ => {
                self.unanswered_count -= 1;
                self.ts_oldest
            }
        }
    }
}

/// What one order adds to the open totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// `reserved_qty`.
    pub(crate) qty: Qty,
    pub(crate) open: bool,
    pub(crate) unknown: bool,
    /// Open, and the venue must be asked.
    pub(crate) unproven: bool,
}

/// Ids kept per order beside the root: requests in flight and the newest answered ones.
pub(crate) const IDS_COUNT: usize = 6;

/// One order with everything that is proven about it.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The first ClOrdID: the order's own identity through all replaces.
    pub root: ClOrdId,
    /// The id under which the venue last acknowledged it: OrigClOrdID of the next request.
    pub cl_ord_id: ClOrdId,
    pub order_id: OrderId,
    pub strategy: StrategyId,
    pub account: AccountId,
    pub instrument: InstrumentId,
    /// The session it was sent on.
    pub dest: SourceId,
    pub side: Side,
    pub tif: u8,
    pub flags: u8,
    /// Sink and leg, as in the command.
    pub leg: u16,
    pub parent_id: u64,
    pub px: Price,
    pub order_qty: Qty,
    pub cum_qty: Qty,
    /// The largest CumQty that the venue has told; above `cum_qty` while a fill is missing.
    pub venue_cum_qty: Qty,
    pub state: OrderState,
    /// The venue has shown that it has (or had) the order.
    pub acked: bool,
    /// The gateway wrote it.
    pub sent: bool,
    /// Taken in from a report, not from a command of this table.
    pub adopted: bool,
    pub cancel: Option<Request>,
    pub replace: Option<Request>,
    /// The venue says it is dead, but a fill is missing.
    pub(crate) final_state: Option<OrderState>,
    pub ts_created: TimeNs,
    /// Time of the last change.
    pub ts_changed: TimeNs,
    /// When missing an answer makes it `Unknown`; `MAX` when nothing is awaited.
    pub(crate) deadline: TimeNs,
    /// The due time that the table's heap knows of.
    pub(crate) due: TimeNs,
    /// When it may be asked about again; `MIN` at once.
    pub(crate) status_from: TimeNs,
    pub(crate) questions: Questions,
    /// What the open totals hold of it.
    pub(crate) counted: Share,
    /// What the table's digest holds of it.
    pub(crate) digested: u64,
    /// Where its strategy's and its account's totals stand.
    pub(crate) cell: u32,
    pub(crate) account_cell: u32,
    /// Ring of the ids other than the root that lead here, in ascending order from the one at `oldest_id`.
    pub(crate) ids: [ClOrdId; IDS_COUNT],
    pub(crate) oldest_id: u8,
    pub(crate) prev: u32,
    pub(crate) next: u32,
}

impl Order {
    /// LeavesQty by our own count.
    #[inline]
    pub fn leaves_qty(&self) -> Qty {
        if self.state.is_dead() { Qty::ZERO } else { Qty((self.order_qty.0 - self.cum_qty.0).max(0)) }
    }

    /// What can still fill in the worst case: with a replace in flight, the larger of what stands and what is asked.
    #[inline]
    pub fn reserved_qty(&self) -> Qty {
        if self.state.is_dead() {
            return Qty::ZERO;
        }
        let order_qty = self.replace.map_or(self.order_qty.0, |replace| replace.order_qty.0.max(self.order_qty.0));
        Qty((order_qty - self.cum_qty.0).max(0))
    }

    /// What the venue has filled and we have not seen.
    #[inline]
    pub fn missing_qty(&self) -> Qty {
        Qty((self.venue_cum_qty.0 - self.cum_qty.0).max(0))
    }

    /// Shown in the public book as far as we know: acknowledged, open, not unknown.
    #[inline]
    pub fn is_resting(&self) -> bool {
        self.acked
            && matches!(
                self.state,
                OrderState::New
                    | OrderState::PartFilled
                    | OrderState::PendingCancel
                    | OrderState::PendingReplace
                    | OrderState::PendingBoth
            )
    }

    /// A request of ours awaits its answer.
    #[inline]
    pub fn in_flight(&self) -> bool {
        self.state == OrderState::PendingNew || self.cancel.is_some() || self.replace.is_some()
    }

    /// The venue must be asked, or must resend.
    #[inline]
    pub fn needs_status(&self) -> bool {
        self.state == OrderState::Unknown || (self.venue_cum_qty > self.cum_qty)
    }

    /// The live state that follows from what is acknowledged, filled and in flight.
    #[inline]
    pub(crate) fn live_state(&self) -> OrderState {
        match (self.cancel.is_some(), self.replace.is_some()) {
            (true, true) => OrderState::PendingBoth,
            (true, false) => OrderState::PendingCancel,
            (false, true) => OrderState::PendingReplace,
            (false, false) if self.cum_qty.0 > 0 => OrderState::PartFilled,
            (false, false) if self.acked => OrderState::New,
            (false, false) => OrderState::PendingNew,
        }
    }

    /// Something still awaits the id: it is the current one, or that of a request in flight.
    #[inline]
    pub(crate) fn needs_id(&self, id: ClOrdId) -> bool {
        id == self.cl_ord_id
            || self.cancel.is_some_and(|request| request.cl_ord_id == id)
            || self.replace.is_some_and(|request| request.cl_ord_id == id)
    }

    /// What the open totals must hold of it as it stands.
    #[inline]
    pub(crate) fn share(&self) -> Share {
        let (open, unknown) = (self.state.is_open(), self.state == OrderState::Unknown);
        Share { qty: self.reserved_qty(), open, unknown, unproven: open && self.needs_status() }
    }

    /// This order's addend of `StateDigest::orders`.
    #[inline]
    pub(crate) fn digest(&self) -> u64 {
        let pending = |request: Option<Request>| request.map_or(0, |r| r.cl_ord_id.0 ^ (r.px.0 as u64).rotate_left(40));
        hash_words(
            self.root.0,
            [
                self.cl_ord_id.0,
                self.px.0 as u64,
                self.order_qty.0 as u64,
                self.cum_qty.0 as u64,
                pending(self.cancel) ^ pending(self.replace).rotate_left(1),
                self.venue_cum_qty.0 as u64,
                self.state as u64
                    | u64::from(self.acked) << 8
                    | (self.side as u64) << 12
                    | u64::from(self.instrument.0) << 16
                    | u64::from(self.strategy.0) << 48,
            ],
        )
    }
}
