//! What the core tells the ledger: prices, fills and the ends of reservations, all by value.
use crate::ledger::{Reserved, Risk};
use tercel_event::Command;
use tercel_types::{AccountId, ClOrdId, InstrumentId, Money, Price, Qty, Side, StrategyId, TimeNs};

/// One fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillInput {
    /// Root of the order, `NONE` when it is not known.
    pub root: ClOrdId,
    pub strategy: StrategyId,
    pub account: AccountId,
    pub instrument: InstrumentId,
    pub side: Side,
    pub px: Price,
    pub qty: Qty,
    pub fee: Money,
    pub now: TimeNs,
}

impl Risk {
    /// Best bid and ask of a live book: the reference of C6 and the mark of C14. Not called when the book is not live, so
    /// that the reference ages.
    #[inline]
    pub fn mark(&mut self, instrument: InstrumentId, bid: Price, ask: Price, now: TimeNs) {
        self.turn_day(now);
        let column = instrument.idx();
        let Some(state) = self.instruments.get_mut(column) else { return };
        state.ts = now;
        if (state.bid, state.ask) == (bid, ask) {
            return;
        }
        (state.bid, state.ask) = (bid, ask);
        let state = &self.instruments[column];
        for (row, scope) in self.strategies.iter_mut().enumerate() {
            let cell = &mut self.strategy_cells[row * self.columns + column];
            if cell.position != 0 {
                scope.profit += Self::revalue(cell, state);
                scope.watch_loss();
            }
        }
        let mut firm = 0;
        for (row, scope) in self.accounts.iter_mut().enumerate() {
            let cell = &mut self.account_cells[row * self.columns + column];
            if cell.position != 0 {
                let change = Self::revalue(cell, state);
                scope.profit += change;
                scope.watch_loss();
                firm += change;
            }
        }
        if firm != 0 {
            self.firm.profit += firm;
            self.firm.watch_loss();
        }
    }

    /// A fill, early, late or of an order that is not known: it always counts.
    #[inline]
    pub fn fill(&mut self, fill: &FillInput) {
        self.turn_day(fill.now);
        #[cfg(test)]
        if self.defect == Some(crate::ledger::Defect::DropsLateFills) && self.ids.get(fill.root.0).is_none() {
            return;
        }
        let column = fill.instrument.idx();
        let Some(state) = self.instruments.get(column) else {
            self.anomalies += 1;
            return;
        };
        let signed_qty = fill.side.sign() * fill.qty.0;
        let row = fill.strategy.idx().min(self.strategies.len() - 1);
        let cell = &mut self.strategy_cells[row * self.columns + column];
        self.strategies[row].profit += Self::trade(cell, state, signed_qty, fill.px, fill.fee);
        self.strategies[row].watch_loss();
        if let Some(scope) = self.accounts.get_mut(fill.account.idx()) {
            let cell = &mut self.account_cells[fill.account.idx() * self.columns + column];
            let change = Self::trade(cell, state, signed_qty, fill.px, fill.fee);
            scope.profit += change;
            scope.watch_loss();
            self.firm.profit += change;
            self.firm.watch_loss();
        }
        match self.ids.get(fill.root.0) {
            Some(slot) => self.change(slot, |order| order.cum_qty = order.cum_qty.saturating_add(fill.qty.0)),
            None => self.anomalies += 1,
        }
    }

    /// The end of a replace, or the venue's own word on price and quantity: from here on, this is what is reserved.
    #[inline]
    pub fn replaced(&mut self, root: ClOrdId, px: Price, order_qty: Qty) {
        match self.ids.get(root.0) {
            Some(slot) => self.change(slot, |order| {
                (order.px, order.order_qty, order.pending) = (px, order_qty.0, None);
            }),
            None => self.anomalies += 1,
        }
    }

    /// The order is proven dead: its reservation ends.
    #[inline]
    pub fn release(&mut self, root: ClOrdId) {
        let Some(slot) = self.ids.remove(root.0) else {
            self.anomalies += 1;
            return;
        };
        let order = self.orders[slot as usize];
        self.tally(&order, -1);
        self.free.push(slot);
    }

    /// Reserves for an order that exists at the venue whatever we think of it: found in reconciliation, so nothing is
    /// checked. `order.cl_ord_id` is its root; `cum_qty` is what had filled before it was found. Returns `false` when the ledger is full.
    pub fn adopt(&mut self, order: &Command, cum_qty: Qty) -> bool {
        let Some(side) = Side::from_u8(order.side) else { return false };
        self.reserve(order, side, cum_qty.0)
    }

    /// Books a checked order.
    #[inline]
    pub(crate) fn reserve(&mut self, command: &Command, side: Side, cum_qty: i64) -> bool {
        let Some(slot) = self.free.pop() else { return false };
        if !self.ids.insert(command.cl_ord_id.0, slot) {
            self.free.push(slot);
            return false;
        }
        let mut order = Reserved {
            strategy: command.strategy,
            account: command.account,
            instrument: command.instrument,
            side,
            px: command.px,
            order_qty: command.order_qty.0,
            pending: None,
            cum_qty,
            qty: 0,
            value: 0,
        };
        self.measure(&mut order);
        self.tally(&order, 1);
        self.orders[slot as usize] = order;
        true
    }

    #[inline]
    pub(crate) fn change(&mut self, slot: u32, how: impl FnOnce(&mut Reserved)) {
        let mut order = self.orders[slot as usize];
        self.tally(&order, -1);
        how(&mut order);
        self.measure(&mut order);
        self.tally(&order, 1);
        self.orders[slot as usize] = order;
    }
}
