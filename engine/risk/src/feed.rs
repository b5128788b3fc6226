//! What the core tells the ledger: prices, fills and the ends of reservations, all by value.
use crate::ledger::{Change, InstrumentState, Owner, Reserved, Risk};
use crate::scope::Cell;
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
        (state.ts, state.fresh_until) = (now, now.saturating_add(state.max_age));
        if (state.bid, state.ask) == (bid, ask) {
            return;
        }
        (state.bid, state.ask) = (bid, ask);
        state.twice = bid.0.saturating_add(ask.0);
        if state.holders_count > 0 {
            self.revalue_holders(column);
        }
    }

    /// Every owner's position in an instrument at its newest mark.
    fn revalue_holders(&mut self, column: usize) {
        let state = &self.instruments[column];
        for (row, scope) in self.strategies.iter_mut().enumerate() {
            let cell = &mut self.strategy_cells[row * self.columns + column];
            if cell.position != 0 {
                scope.profit += Self::revalue(cell, state);
                self.halts_untold |= scope.watch_loss();
            }
        }
        let mut firm = 0;
        for (row, scope) in self.accounts.iter_mut().enumerate() {
            let cell = &mut self.account_cells[row * self.columns + column];
            if cell.position != 0 {
                let change = Self::revalue(cell, state);
                scope.profit += change;
                self.halts_untold |= scope.watch_loss();
                firm += change;
            }
        }
        if firm != 0 {
            self.firm.profit += firm;
            self.halts_untold |= self.firm.watch_loss();
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
        let Some(state) = self.instruments.get_mut(column) else {
            self.anomalies += 1;
            return;
        };
        let row = fill.strategy.idx().min(self.strategies.len() - 1);
        let (scope, cell) = (&mut self.strategies[row], &mut self.strategy_cells[row * self.columns + column]);
        let (change, held) = count_trade(state, cell, fill);
        scope.held_count = scope.held_count.wrapping_add_signed(held);
        scope.profit += change;
        self.halts_untold |= scope.watch_loss();
        if let Some(scope) = self.accounts.get_mut(fill.account.idx()) {
            let cell = &mut self.account_cells[fill.account.idx() * self.columns + column];
            let (change, _) = count_trade(state, cell, fill);
            scope.profit += change;
            self.halts_untold |= scope.watch_loss();
            self.firm.profit += change;
            self.halts_untold |= self.firm.watch_loss();
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
        let Reserved { owner, px, pending, qty, value, .. } = self.orders[slot as usize];
        self.tally(&owner, &Change { orders_count: -1, qty: -qty, value: -value });
        self.move_prices(&owner, [Some(px), pending.map(|(px, _)| px)], [None; 2]);
        self.free.push(slot);
    }

    /// Reserves for an order that exists at the venue whatever we think of it: found in reconciliation, so nothing is
    /// checked. `order.cl_ord_id` is its root; `cum_qty` is what had filled before it was found. Returns `false` when the ledger is full.
    pub fn adopt(&mut self, order: &Command, cum_qty: Qty) -> bool {
        let Some(side) = Side::from_u8(order.side) else { return false };
        let owner = Owner::of(order, side);
        let (px, order_qty, cum_qty) = (order.px, order.order_qty.0, cum_qty.0);
        let mut reserved = Reserved { owner, px, order_qty, pending: None, cum_qty, qty: 0, value: 0 };
        (reserved.qty, reserved.value) = self.measure(&reserved, None, self.instruments.get(owner.instrument.idx()));
        if self.take(order.cl_ord_id, reserved).is_none() {
            return false;
        }
        self.tally(&owner, &Change { orders_count: 1, qty: reserved.qty, value: reserved.value });
        self.move_prices(&owner, [None; 2], [Some(px), None]);
        true
    }

    /// Takes a slot for an order that no sum counts yet; `None` when there is none, or its id is there already.
    #[inline]
    pub(crate) fn take(&mut self, root: ClOrdId, order: Reserved) -> Option<()> {
        let slot = *self.free.last()?;
        if !self.ids.insert(root.0, slot) {
            return None;
        }
        self.free.pop();
        self.orders[slot as usize] = order;
        Some(())
    }

    /// Changes an order and counts the difference.
    #[inline]
    pub(crate) fn change(&mut self, slot: u32, how: impl FnOnce(&mut Reserved)) {
        let before = self.orders[slot as usize];
        let mut order = before;
        how(&mut order);
        (order.qty, order.value) =
            self.measure(&order, order.pending, self.instruments.get(order.owner.instrument.idx()));
        self.orders[slot as usize] = order;
        let change = Change { orders_count: 0, qty: order.qty - before.qty, value: order.value - before.value };
        self.tally(&order.owner, &change);
        let prices = |order: &Reserved| [Some(order.px), order.pending.map(|(px, _)| px)];
        self.move_prices(&order.owner, prices(&before), prices(&order));
    }

    /// Own open prices of one order, from what they were to what they are.
    #[inline]
    pub(crate) fn move_prices(&mut self, owner: &Owner, before: [Option<Price>; 2], after: [Option<Price>; 2]) {
        let Some(resting) = self.resting.get_mut(owner.account.idx() * self.columns + owner.instrument.idx()) else {
            return;
        };
        if before == after {
            return;
        }
        let (mut gone, mut come) = (before, after);
        // What stays needs no move, whichever of the two it was.
        for old in &mut gone {
            if let Some(same) = come.iter_mut().find(|new| old.is_some() && **new == *old) {
                (*old, *same) = (None, None);
            }
        }
        gone.into_iter().flatten().for_each(|px| resting.remove(owner.side, px));
        come.into_iter().flatten().for_each(|px| resting.add(owner.side, px));
    }
}

/// Counts a fill for one owner; returns how its profit changed, and by how much the number of instruments it holds did.
#[inline]
fn count_trade(state: &mut InstrumentState, cell: &mut Cell, fill: &FillInput) -> (i128, i32) {
    let held_before = cell.position != 0;
    let change = Risk::trade(cell, state, fill.side.sign() * fill.qty.0, fill.px, fill.fee);
    let held = i32::from(cell.position != 0) - i32::from(held_before);
    state.holders_count = state.holders_count.wrapping_add_signed(held);
    (change, held)
}
