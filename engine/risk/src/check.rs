//! The controls, in the order in which they are asked: who, may it, is it an order, how large, at what price, with what else.
//! Inlined into one function by force: as separate ones they passed more registers than they compared (bench `risk/check_new`).
use crate::control::{Control, Refusal, Verdict, refuse, refuse_money};
use crate::duplicates::Likeness;
use crate::ledger::{Cell, InstrumentState, Reserved, Risk, ScopeState};
use crate::limits::Collar;
use crate::rate::Rate;
use tercel_event::{Command, CommandKind, OrdType, Tif, TradingState};
use tercel_types::{Price, Qty, Side, TimeNs};

/// Quantities and prices beyond this are no orders; below it no sum of a run can overflow.
const COUNT_MAX: i64 = 1 << 52;

/// What a command would add to the ledger.
struct Added {
    side: Side,
    /// The price it is valued at.
    px: Price,
    value: i128,
    /// Growth of the reservation; an amend that shrinks adds 0.
    qty: i64,
    added_value: i128,
    /// The same, negative for a sell.
    signed_value: i128,
    orders_count: u32,
}

impl Risk {
    /// Whether `command` may leave, without reserving. Status questions and book rebuilds always may.
    #[inline]
    pub fn check(&self, command: &Command) -> Verdict {
        let checked = match CommandKind::from_u8(command.kind) {
            Some(CommandKind::New) => self.check_new(command).map(|_| ()),
            Some(CommandKind::Replace) => self.check_replace(command).map(|_| ()),
            Some(CommandKind::Cancel) => self.check_cancel(command),
            Some(CommandKind::Status | CommandKind::MassStatus | CommandKind::Resync) => Ok(()),
            None => refuse(Control::Form, i64::from(command.kind), 0),
        };
        checked.map_or_else(Verdict::Refused, |()| Verdict::Ok)
    }

    /// The gate: checks and, when the verdict is `Ok`, reserves and counts, so that nothing can come between the two. A
    /// refusal is counted by control and leaves everything else as it was.
    #[inline]
    pub fn submit(&mut self, command: &Command) -> Verdict {
        self.turn_day(command.ts);
        let done = match CommandKind::from_u8(command.kind) {
            Some(CommandKind::New) => self.check_new(command).map(|side| self.book_new(command, side)),
            Some(CommandKind::Replace) => self.check_replace(command).map(|slot| self.book_replace(command, slot)),
            Some(CommandKind::Cancel) => self.check_cancel(command).map(|()| self.book_cancel(command)),
            Some(CommandKind::Status | CommandKind::MassStatus | CommandKind::Resync) => Ok(()),
            None => refuse(Control::Form, i64::from(command.kind), 0),
        };
        match done {
            Ok(()) => Verdict::Ok,
            Err(refusal) => {
                self.refused(command, refusal);
                Verdict::Refused(refusal)
            }
        }
    }

    #[inline]
    fn book_new(&mut self, command: &Command, side: Side) {
        let like = Likeness { px: command.px, qty: command.order_qty, instrument: command.instrument, side };
        self.duplicates[command.strategy.idx()].count(like, command.ts);
        self.count_message(command, true);
        self.reserve(command, side, 0);
    }

    #[inline]
    fn book_replace(&mut self, command: &Command, slot: u32) {
        self.count_message(command, true);
        self.change(slot, |order| order.pending = Some((command.px, command.order_qty.0)));
    }

    #[inline]
    fn book_cancel(&mut self, command: &Command) {
        self.count_message(command, false);
        #[cfg(test)]
        if self.defect == Some(crate::ledger::Defect::ReleasesOnCancelRequest) {
            self.release(command.root_cl_ord_id);
        }
    }

    #[inline]
    fn count_message(&mut self, command: &Command, is_order: bool) {
        self.newest_id = self.newest_id.max(command.cl_ord_id);
        let scopes = [
            Some(&mut self.firm),
            self.accounts.get_mut(command.account.idx()),
            self.strategies.get_mut(command.strategy.idx()),
        ];
        for scope in scopes.into_iter().flatten() {
            if is_order {
                scope.orders.count(command.ts);
                scope.in_rate_run = false;
            } else {
                scope.cancels.count(command.ts);
            }
        }
    }

    #[cold]
    fn refused(&mut self, command: &Command, refusal: Refusal) {
        self.count_refusal(refusal.control);
        if refusal.control != Control::Rate || command.kind == CommandKind::Cancel as u8 {
            return;
        }
        let scopes = [
            Some(&mut self.firm),
            self.accounts.get_mut(command.account.idx()),
            self.strategies.get_mut(command.strategy.idx()),
        ];
        for scope in scopes.into_iter().flatten() {
            if scope.orders.is_open(command.ts) || scope.in_rate_run {
                continue;
            }
            scope.in_rate_run = true;
            scope.rate_runs += 1;
            let halt_after = scope.limits.rates.halt_after;
            if halt_after > 0 && scope.rate_runs >= halt_after {
                scope.halt(Control::Rate, i64::from(scope.rate_runs), i64::from(halt_after));
            }
        }
    }

    #[inline(always)]
    fn check_new(&self, command: &Command) -> Result<Side, Refusal> {
        let (strategy, account) = self.attributed(command)?;
        self.may_trade(command, strategy, account)?;
        let instrument = self.instrument(command)?;
        let (side, px, value) = form(command, instrument)?;
        let signed_value = signed(side, value);
        let qty = command.order_qty.0;
        let added = Added { side, px, value, qty, added_value: value, signed_value, orders_count: 1 };
        self.check_order(command, instrument, strategy, account, &added)?;
        let like = Likeness { px: command.px, qty: command.order_qty, instrument: command.instrument, side };
        if let Err((age, window)) = self.duplicates[command.strategy.idx()].check(&like, command.ts) {
            refuse(Control::Duplicate, age, window)?;
        }
        self.check_rates(command, strategy, account)?;
        if self.free.is_empty() {
            refuse(Control::Exposure, self.orders.len() as i64 + 1, self.orders.len() as i64)?;
        }
        Ok(side)
    }

    /// An amend is judged by what it may become: the worse of what stands and what is asked.
    #[inline]
    fn check_replace(&self, command: &Command) -> Result<u32, Refusal> {
        let (strategy, account) = self.attributed(command)?;
        self.may_trade(command, strategy, account)?;
        let instrument = self.instrument(command)?;
        let (side, px, value) = form(command, instrument)?;
        let Some(slot) = self.ids.get(command.root_cl_ord_id.0) else {
            return refuse(Control::Form, 0, 0).map(|()| 0);
        };
        let order = &self.orders[slot as usize];
        let same = order.strategy == command.strategy
            && order.account == command.account
            && order.instrument == command.instrument
            && order.side == side
            && order.pending.is_none()
            && command.order_qty.0 > order.cum_qty;
        if !same {
            refuse(Control::Form, command.order_qty.0, order.cum_qty)?;
        }
        let mut after = Reserved { pending: Some((command.px, command.order_qty.0)), ..*order };
        self.measure(&mut after);
        let added = Added {
            side,
            px,
            value,
            qty: after.qty - order.qty,
            added_value: after.value - order.value,
            signed_value: signed(side, after.value - order.value),
            orders_count: 0,
        };
        self.check_order(command, instrument, strategy, account, &added)?;
        self.check_rates(command, strategy, account)?;
        Ok(slot)
    }

    /// A cancel only ever reduces risk: nothing but its own budget and the identity of its id stands against it.
    #[inline]
    fn check_cancel(&self, command: &Command) -> Result<(), Refusal> {
        self.fresh_id(command)?;
        let scopes = [
            Some(&self.firm),
            self.accounts.get(command.account.idx()),
            // Orders of nobody are cancelled on the budgets of account and firm.
            self.strategies.get(command.strategy.idx()).filter(|_| command.strategy.idx() + 1 < self.strategies.len()),
        ];
        for scope in scopes.into_iter().flatten() {
            if !scope.cancels.is_open(command.ts) {
                return refuse_rate(&scope.cancels, command.ts);
            }
        }
        Ok(())
    }

    /// C1.
    #[inline(always)]
    fn attributed(&self, command: &Command) -> Result<(&ScopeState, &ScopeState), Refusal> {
        let (strategy, account) = (command.strategy.idx(), command.account.idx());
        match (self.strategies.get(strategy), self.accounts.get(account)) {
            (Some(own), Some(account_scope)) if self.allowed_accounts[strategy] >> account & 1 == 1 => {
                Ok((own, account_scope))
            }
            _ => Err(Refusal { control: Control::Attribution, value: strategy as i64, limit: account as i64 }),
        }
    }

    /// C33, C20, C14 (latched).
    #[inline(always)]
    fn may_trade(&self, command: &Command, strategy: &ScopeState, account: &ScopeState) -> Result<(), Refusal> {
        if !self.gates_open[command.account.idx()] {
            refuse(Control::StartGate, 0, 1)?;
        }
        let state = self.firm.state.max(strategy.state).max(account.state);
        if state == TradingState::Halted {
            let halted = [&self.firm, account, strategy].into_iter().find_map(|scope| scope.halted_by);
            let (control, value, limit) =
                halted.unwrap_or((Control::State, state as i64, TradingState::Reducing as i64));
            refuse(control, value, limit)?;
        }
        self.fresh_id(command)
    }

    /// C10, the part of the id: ours only ever grow, so a used one cannot be above all that were used.
    #[inline(always)]
    fn fresh_id(&self, command: &Command) -> Result<(), Refusal> {
        if command.cl_ord_id <= self.newest_id {
            return refuse(Control::Duplicate, command.cl_ord_id.0 as i64, self.newest_id.0 as i64);
        }
        Ok(())
    }

    #[inline(always)]
    fn instrument(&self, command: &Command) -> Result<&InstrumentState, Refusal> {
        let refusal =
            Refusal { control: Control::Form, value: i64::from(command.instrument.0), limit: self.columns as i64 };
        self.instruments.get(command.instrument.idx()).ok_or(refusal)
    }

    #[inline(always)]
    fn check_order(
        &self,
        command: &Command,
        instrument: &InstrumentState,
        strategy: &ScopeState,
        account: &ScopeState,
        added: &Added,
    ) -> Result<(), Refusal> {
        let now = command.ts;
        if command.order_qty.0 > instrument.max_order_qty {
            refuse(Control::MaxQty, command.order_qty.0, instrument.max_order_qty)?;
        }
        if added.value > instrument.max_order_value {
            refuse_money(Control::MaxValue, added.value, instrument.max_order_value)?;
        }
        collar(instrument, added.px, now)?;

        let column = command.instrument.idx();
        let own = &self.strategy_cells[command.strategy.idx() * self.columns + column];
        let shared = &self.account_cells[command.account.idx() * self.columns + column];
        worst_case(own, added)?;
        worst_case(shared, added)?;
        // Who must reduce is who is asked: a strategy may have to grow the account's position to leave its own.
        if strategy.state == TradingState::Reducing {
            reducing(own, added)?;
        }
        if account.state.max(self.firm.state) == TradingState::Reducing {
            reducing(shared, added)?;
        }
        for scope in [&self.firm, account, strategy] {
            exposure(scope, added)?;
            configured_loss(scope)?;
        }
        self.fresh_marks(command, column, now)?;
        self.self_trade(command, column, added)
    }

    /// C14: what is held must have fresh marks, or a loss could hide behind an old one.
    #[inline(always)]
    fn fresh_marks(&self, command: &Command, column: usize, now: TimeNs) -> Result<(), Refusal> {
        let row = &self.strategy_cells[command.strategy.idx() * self.columns..][..self.columns];
        for (held, (cell, instrument)) in row.iter().zip(&self.instruments).enumerate() {
            if held != column && cell.position != 0 && !instrument.is_fresh(now) {
                refuse(Control::Loss, now.since(instrument.ts).0, instrument.max_age.0)?;
            }
        }
        Ok(())
    }

    /// C15: refuses the newest.
    #[inline(always)]
    fn self_trade(&self, command: &Command, column: usize, added: &Added) -> Result<(), Refusal> {
        #[cfg(test)]
        if self.defect == Some(crate::ledger::Defect::SelfTradeOnAmend) && added.orders_count == 0 {
            return Ok(());
        }
        let resting = &self.resting[command.account.idx() * self.columns + column];
        if let Some(own) = resting.best(added.side.opposite()) {
            let crosses = match added.side {
                Side::Buy => added.px >= own,
                Side::Sell => added.px <= own,
            };
            if crosses || command.ord_type == OrdType::Market as u8 {
                refuse(Control::SelfTrade, added.px.0, own.0)?;
            }
        }
        Ok(())
    }

    /// C8.
    #[inline(always)]
    fn check_rates(&self, command: &Command, strategy: &ScopeState, account: &ScopeState) -> Result<(), Refusal> {
        for scope in [strategy, account, &self.firm] {
            if !scope.orders.is_open(command.ts) {
                return refuse_rate(&scope.orders, command.ts);
            }
        }
        Ok(())
    }
}

/// C3, and the value that the order is judged by.
#[inline(always)]
fn form(command: &Command, instrument: &InstrumentState) -> Result<(Side, Price, i128), Refusal> {
    let bad = |value: i64, limit: i64| Refusal { control: Control::Form, value, limit };
    let side = Side::from_u8(command.side).ok_or(bad(i64::from(command.side), 2))?;
    Tif::from_u8(command.tif).ok_or(bad(i64::from(command.tif), 0))?;
    let qty = command.order_qty.0;
    if qty < instrument.min_qty || qty > COUNT_MAX {
        return Err(bad(qty, instrument.min_qty));
    }
    let px = if command.ord_type == OrdType::Limit as u8 {
        command.px
    } else if command.ord_type == OrdType::Market as u8 {
        edge(instrument, side).ok_or(Refusal { control: Control::Collar, value: 0, limit: 0 })?
    } else {
        return Err(bad(i64::from(command.ord_type), 0));
    };
    if px.0 <= 0 || px.0 > COUNT_MAX {
        return Err(bad(px.0, 1));
    }
    let value = instrument.valuer.order(px, Qty(qty)).ok_or(bad(qty, 0))?;
    if value < instrument.min_value && command.flags & Command::REDUCE_ONLY == 0 {
        return Err(bad(crate::control::micros(value), crate::control::micros(instrument.min_value)));
    }
    Ok((side, px, value))
}

/// The worst price that the collar allows a market order.
#[inline]
fn edge(instrument: &InstrumentState, side: Side) -> Option<Price> {
    let twice = i128::from(instrument.bid.0) + i128::from(instrument.ask.0);
    let away = match instrument.collar? {
        Collar::Ticks(ticks) => i128::from(ticks),
        Collar::Bps(bps) => twice * i128::from(bps) / 20_000,
    };
    let px = match side {
        Side::Buy => (twice + 1).div_euclid(2) + away,
        Side::Sell => (twice.div_euclid(2) - away).max(1),
    };
    i64::try_from(px).ok().map(Price)
}

/// C6: twice the distance to the middle, so that halves stay whole.
#[inline(always)]
fn collar(instrument: &InstrumentState, px: Price, now: TimeNs) -> Result<(), Refusal> {
    if !instrument.is_fresh(now) {
        return refuse(Control::Collar, now.since(instrument.ts).0, instrument.max_age.0);
    }
    let Some(collar) = instrument.collar else { return refuse(Control::Collar, px.0, 0) };
    // Best prices come from live books and px from `form`: far below the range of 64 bits.
    let twice = instrument.bid.0.saturating_add(instrument.ask.0);
    let distance = (2 * px.0).saturating_sub(twice).saturating_abs();
    match collar {
        Collar::Ticks(ticks) if distance > ticks.saturating_mul(2) => {
            refuse(Control::Collar, distance, ticks.saturating_mul(2))
        }
        Collar::Bps(bps) if i128::from(distance) * 10_000 > i128::from(twice) * i128::from(bps) => {
            refuse(Control::Collar, distance, ((i128::from(twice) * i128::from(bps)) / 10_000) as i64)
        }
        _ => Ok(()),
    }
}

/// C12.
#[inline(always)]
fn worst_case(cell: &Cell, added: &Added) -> Result<(), Refusal> {
    let (worst, limit) = match added.side {
        Side::Buy => (cell.position.saturating_add(cell.buys).saturating_add(added.qty), cell.limits.max_long.0),
        Side::Sell => (cell.sells.saturating_add(added.qty).saturating_sub(cell.position), cell.limits.max_short.0),
    };
    // An owner without limits may not trade, not even to 0.
    if worst > limit || (cell.limits.max_long.0 == 0 && cell.limits.max_short.0 == 0) {
        return refuse(Control::Position, worst, limit);
    }
    Ok(())
}

/// C20 in `Reducing`: against the position, and with everything open on that side not past flat.
#[inline]
fn reducing(cell: &Cell, added: &Added) -> Result<(), Refusal> {
    let (open, closable) = match added.side {
        Side::Buy => (cell.buys.saturating_add(added.qty), cell.position.saturating_neg()),
        Side::Sell => (cell.sells.saturating_add(added.qty), cell.position),
    };
    if open > closable { refuse(Control::State, open, closable.max(0)) } else { Ok(()) }
}

/// C11.
#[inline(always)]
fn exposure(scope: &ScopeState, added: &Added) -> Result<(), Refusal> {
    let limits = &scope.limits;
    let orders_count = scope.orders_count.saturating_add(added.orders_count);
    if orders_count > limits.max_open_orders {
        return refuse(Control::Exposure, i64::from(orders_count), i64::from(limits.max_open_orders));
    }
    let gross = scope.gross + added.added_value;
    if gross > limits.max_gross_value.0 {
        return refuse_money(Control::Exposure, gross, limits.max_gross_value.0);
    }
    let net = scope.net + added.signed_value;
    if net > limits.max_net_value.0 || net < -limits.max_net_value.0 {
        return net_exposure(scope, net);
    }
    Ok(())
}

/// An order that brings the net nearer to 0 is never refused for it.
#[cold]
fn net_exposure(scope: &ScopeState, net: i128) -> Result<(), Refusal> {
    if net.abs() <= scope.net.abs() {
        return Ok(());
    }
    refuse_money(Control::Exposure, net, scope.limits.max_net_value.0)
}

#[inline(always)]
fn signed(side: Side, value: i128) -> i128 {
    if side == Side::Buy { value } else { -value }
}

/// C14: without a limit there is no order.
#[inline(always)]
fn configured_loss(scope: &ScopeState) -> Result<(), Refusal> {
    if scope.has_loss_limits { Ok(()) } else { refuse(Control::Loss, 0, 0) }
}

#[cold]
fn refuse_rate(rate: &Rate, now: TimeNs) -> Result<(), Refusal> {
    let limit = i64::from(rate.limit_reached(now));
    refuse(Control::Rate, limit + 1, limit)
}
