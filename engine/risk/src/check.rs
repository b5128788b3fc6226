//! The controls, in the order in which they are asked: who, may it, is it an order, how large, at what price, with what else.
//! Whatever a command is refused for is said here. `quick.rs` goes before it and passes what passes all of them.
use crate::control::{Control, Refusal, Verdict, refuse, refuse_money};
use crate::duplicates::Likeness;
use crate::ledger::{Change, InstrumentState, Owner, Reserved, Risk};
use crate::limits::Collar;
use crate::rate::Rate;
use crate::scope::{Cell, ScopeState};
use crate::value::VALUE_MAX;
use tercel_event::{Command, CommandKind, OrdType, Tif, TradingState};
use tercel_types::{Price, Qty, Side, TimeNs};

/// Quantities and prices beyond this are no orders; below it no sum of a run can overflow.
pub(crate) const COUNT_MAX: i64 = 1 << 52;

/// What a command would add to the ledger.
pub(crate) struct Added {
    pub(crate) side: Side,
    /// The price it is valued at.
    pub(crate) px: Price,
    /// Growth of the reservation; an amend that shrinks adds 0.
    pub(crate) qty: i64,
    pub(crate) value: i128,
    pub(crate) orders_count: u32,
}

/// A checked amend: which order, and what it reserves from now on.
pub(crate) struct Amend {
    pub(crate) slot: u32,
    pub(crate) owner: Owner,
    pub(crate) qty: i64,
    pub(crate) value: i128,
    pub(crate) change: Change,
}

impl Risk {
    /// Whether `command` may leave, without reserving. Status questions and book rebuilds always may.
    #[inline]
    pub fn check(&self, command: &Command) -> Verdict {
        let passes = match CommandKind::from_u8(command.kind) {
            Some(CommandKind::New) => {
                Side::from_u8(command.side).is_some_and(|side| self.pass_new(command, side).is_some())
            }
            Some(CommandKind::Replace) => {
                Side::from_u8(command.side).is_some_and(|side| self.pass_replace(command, side).is_some())
            }
            _ => false,
        };
        if passes { Verdict::Ok } else { self.check_in_order(command) }
    }

    /// What passed on the short way passes every control in order.
    #[cfg(test)]
    fn assert_passes(&self, command: &Command) {
        let verdict = self.check_in_order(command);
        assert!(verdict.is_ok() || self.defect.is_some(), "passed on the short way: {command:?}: {verdict:?}");
    }

    #[inline(never)]
    pub(crate) fn check_in_order(&self, command: &Command) -> Verdict {
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
        match CommandKind::from_u8(command.kind) {
            Some(CommandKind::Replace) => self.submit_replace(command),
            Some(CommandKind::New) => self.submit_new(command),
            Some(CommandKind::Cancel) => self.submit_cancel(command),
            Some(CommandKind::Status | CommandKind::MassStatus | CommandKind::Resync) => Verdict::Ok,
            None => self.refused(command, Refusal { control: Control::Form, value: i64::from(command.kind), limit: 0 }),
        }
    }

    fn submit_new(&mut self, command: &Command) -> Verdict {
        // Once for each side: what is kept by side is then where the code says, not where an index points.
        match Side::from_u8(command.side) {
            Some(Side::Buy) => self.submit_new_on(Side::Buy, command),
            Some(Side::Sell) => self.submit_new_on(Side::Sell, command),
            None => self.judge_new(command),
        }
    }

    #[inline(always)]
    fn submit_new_on(&mut self, side: Side, command: &Command) -> Verdict {
        match self.pass_new(command, side) {
            Some(value) => {
                #[cfg(test)]
                self.assert_passes(command);
                self.book_new(command, side, value)
            }
            None => self.judge_new(command),
        }
    }

    #[cold]
    fn judge_new(&mut self, command: &Command) -> Verdict {
        match self.check_new(command) {
            Ok(side) => {
                let value = self.instruments[command.instrument.idx()].valuer.order(command.px, command.order_qty);
                self.book_new(command, side, value.unwrap_or(VALUE_MAX))
            }
            Err(refusal) => self.refused(command, refusal),
        }
    }

    #[inline(always)]
    fn book_new(&mut self, command: &Command, side: Side, value: i128) -> Verdict {
        let owner = Owner::of(command, side);
        let (px, qty) = (command.px, command.order_qty.0);
        let order = Reserved { owner, px, order_qty: qty, pending: None, cum_qty: 0, qty, value };
        if self.take(command.cl_ord_id, order).is_none() {
            return self.refuse_held(command);
        }
        let like = Likeness { px: command.px, qty: command.order_qty, instrument: command.instrument, side };
        self.duplicates[command.strategy.idx()].count(like, command.ts);
        self.book(command, &owner, &Change { orders_count: 1, qty, value });
        Verdict::Ok
    }

    /// C10: an order that was adopted holds the id. Nothing is reserved, so there is nothing that could be taken back from it.
    #[cold]
    fn refuse_held(&mut self, command: &Command) -> Verdict {
        let id = command.cl_ord_id.0 as i64;
        self.refused(command, Refusal { control: Control::Duplicate, value: id, limit: id })
    }

    fn submit_replace(&mut self, command: &Command) -> Verdict {
        match Side::from_u8(command.side) {
            Some(Side::Buy) => self.submit_replace_on(Side::Buy, command),
            Some(Side::Sell) => self.submit_replace_on(Side::Sell, command),
            None => self.judge_replace(command),
        }
    }

    #[inline(always)]
    fn submit_replace_on(&mut self, side: Side, command: &Command) -> Verdict {
        match self.pass_replace(command, side) {
            Some(amend) => {
                #[cfg(test)]
                self.assert_passes(command);
                self.book_replace(command, &amend)
            }
            None => self.judge_replace(command),
        }
    }

    #[cold]
    fn judge_replace(&mut self, command: &Command) -> Verdict {
        match self.check_replace(command) {
            Ok(amend) => self.book_replace(command, &amend),
            Err(refusal) => self.refused(command, refusal),
        }
    }

    #[inline(always)]
    fn book_replace(&mut self, command: &Command, amend: &Amend) -> Verdict {
        let order = &mut self.orders[amend.slot as usize];
        order.pending = Some((command.px, command.order_qty.0));
        (order.qty, order.value) = (amend.qty, amend.value);
        self.book(command, &amend.owner, &amend.change);
        Verdict::Ok
    }

    fn submit_cancel(&mut self, command: &Command) -> Verdict {
        if let Err(refusal) = self.check_cancel(command) {
            return self.refused(command, refusal);
        }
        self.newest_id = self.newest_id.max(command.cl_ord_id);
        let own = self.strategies.get_mut(command.strategy.idx());
        for scope in [Some(&mut self.firm), self.accounts.get_mut(command.account.idx()), own].into_iter().flatten() {
            scope.cancels.count(command.ts);
        }
        #[cfg(test)]
        if self.defect == Some(crate::ledger::Defect::ReleasesOnCancelRequest) {
            self.release(command.root_cl_ord_id);
        }
        Verdict::Ok
    }

    /// Counts a checked order or amend: its id as used, its message for the rates, its share in every sum.
    #[inline(always)]
    fn book(&mut self, command: &Command, owner: &Owner, change: &Change) {
        self.newest_id = command.cl_ord_id;
        let count = |scope: &mut ScopeState| {
            scope.orders.count(command.ts);
            scope.in_rate_run = false;
            scope.add(owner.side, change);
        };
        count(&mut self.firm);
        self.accounts.get_mut(owner.account.idx()).map(count);
        self.strategies.get_mut(owner.strategy.idx()).map(count);
        self.tally_cells(owner, change);
        if let Some(resting) = self.resting.get_mut(owner.account.idx() * self.columns + owner.instrument.idx()) {
            resting.add(owner.side, command.px);
        }
    }

    #[cold]
    fn refused(&mut self, command: &Command, refusal: Refusal) -> Verdict {
        self.count_refusal(refusal.control);
        if refusal.control != Control::Rate || command.kind == CommandKind::Cancel as u8 {
            return Verdict::Refused(refusal);
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
                self.halts_untold |= scope.halt(Control::Rate, i64::from(scope.rate_runs), i64::from(halt_after));
            }
        }
        Verdict::Refused(refusal)
    }

    #[inline(always)]
    fn check_new(&self, command: &Command) -> Result<Side, Refusal> {
        let (strategy, account) = self.attributed(command)?;
        self.may_trade(command, strategy, account)?;
        let instrument = self.instrument(command)?;
        let (side, px, value) = form(command, instrument)?;
        let added = Added { side, px, qty: command.order_qty.0, value, orders_count: 1 };
        self.check_order(command, instrument, strategy, account, value, &added)?;
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
    fn check_replace(&self, command: &Command) -> Result<Amend, Refusal> {
        let (strategy, account) = self.attributed(command)?;
        self.may_trade(command, strategy, account)?;
        let instrument = self.instrument(command)?;
        let (side, px, value) = form(command, instrument)?;
        let slot =
            self.ids.get(command.root_cl_ord_id.0).ok_or(Refusal { control: Control::Form, value: 0, limit: 0 })?;
        let order = &self.orders[slot as usize];
        let owner = Owner::of(command, side);
        if order.owner != owner || order.pending.is_some() || command.order_qty.0 <= order.cum_qty {
            refuse(Control::Form, command.order_qty.0, order.cum_qty)?;
        }
        let (qty_after, value_after) = self.measure(order, Some((command.px, command.order_qty.0)), Some(instrument));
        let change = Change { orders_count: 0, qty: qty_after - order.qty, value: value_after - order.value };
        let added = Added { side, px, qty: change.qty, value: change.value, orders_count: 0 };
        self.check_order(command, instrument, strategy, account, value, &added)?;
        self.check_rates(command, strategy, account)?;
        Ok(Amend { slot, owner, qty: qty_after, value: value_after, change })
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
    #[inline]
    fn attributed(&self, command: &Command) -> Result<(&ScopeState, &ScopeState), Refusal> {
        let (strategy, account) = (command.strategy.idx(), command.account.idx());
        match (self.strategies.get(strategy), self.accounts.get(account)) {
            (Some(own), Some(account_scope)) if own.allowed_accounts >> account & 1 == 1 => Ok((own, account_scope)),
            _ => Err(Refusal { control: Control::Attribution, value: strategy as i64, limit: account as i64 }),
        }
    }

    /// C33, C20, C14 (latched).
    #[inline]
    fn may_trade(&self, command: &Command, strategy: &ScopeState, account: &ScopeState) -> Result<(), Refusal> {
        if !account.is_gate_open() {
            refuse(Control::StartGate, 0, 1)?;
        }
        let state = self.firm.state().max(strategy.state()).max(account.state());
        if state == TradingState::Halted {
            let halted = [&self.firm, account, strategy].into_iter().find_map(|scope| scope.halted_by);
            let (control, value, limit) =
                halted.unwrap_or((Control::State, state as i64, TradingState::Reducing as i64));
            refuse(control, value, limit)?;
        }
        self.fresh_id(command)
    }

    /// C10, the part of the id: ours only ever grow, so a used one cannot be above all that were used.
    #[inline]
    fn fresh_id(&self, command: &Command) -> Result<(), Refusal> {
        if command.cl_ord_id <= self.newest_id {
            return refuse(Control::Duplicate, command.cl_ord_id.0 as i64, self.newest_id.0 as i64);
        }
        Ok(())
    }

    #[inline]
    fn instrument(&self, command: &Command) -> Result<&InstrumentState, Refusal> {
        let refusal =
            Refusal { control: Control::Form, value: i64::from(command.instrument.0), limit: self.columns as i64 };
        self.instruments.get(command.instrument.idx()).ok_or(refusal)
    }

    #[inline]
    fn check_order(
        &self,
        command: &Command,
        instrument: &InstrumentState,
        strategy: &ScopeState,
        account: &ScopeState,
        value: i128,
        added: &Added,
    ) -> Result<(), Refusal> {
        let now = command.ts;
        if command.order_qty.0 > instrument.max_order_qty {
            refuse(Control::MaxQty, command.order_qty.0, instrument.max_order_qty)?;
        }
        if value > instrument.max_order_value {
            refuse_money(Control::MaxValue, value, instrument.max_order_value)?;
        }
        collar(instrument, added.px, now)?;

        let column = command.instrument.idx();
        let own = &self.strategy_cells[command.strategy.idx() * self.columns + column];
        let shared = &self.account_cells[command.account.idx() * self.columns + column];
        worst_case(own, added)?;
        worst_case(shared, added)?;
        // Who must reduce is who is asked: a strategy may have to grow the account's position to leave its own.
        if strategy.state() == TradingState::Reducing {
            reducing(own, added)?;
        }
        if account.state().max(self.firm.state()) == TradingState::Reducing {
            reducing(shared, added)?;
        }
        for scope in [&self.firm, account, strategy] {
            exposure(scope, added)?;
            configured_loss(scope)?;
        }
        // Whoever holds nothing else has no other mark to ask for.
        if strategy.held_count > u32::from(own.position != 0) {
            self.fresh_marks(command, column, now)?;
        }
        self.self_trade(command, column, added)
    }

    /// C14: what is held must have fresh marks, or a loss could hide behind an old one.
    #[inline(never)]
    pub(crate) fn fresh_marks(&self, command: &Command, column: usize, now: TimeNs) -> Result<(), Refusal> {
        let row = &self.strategy_cells[command.strategy.idx() * self.columns..][..self.columns];
        for (held, (cell, instrument)) in row.iter().zip(&self.instruments).enumerate() {
            if held != column && cell.position != 0 && !instrument.is_fresh(now) {
                refuse(Control::Loss, now.since(instrument.ts).0, instrument.max_age.0)?;
            }
        }
        Ok(())
    }

    /// C15: refuses the newest.
    #[inline]
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
    #[inline]
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
#[inline]
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
    let value = instrument.valuer.positive(px, Qty(qty)).ok_or(bad(qty, 0))?;
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
#[inline]
fn collar(instrument: &InstrumentState, px: Price, now: TimeNs) -> Result<(), Refusal> {
    if !instrument.is_fresh(now) {
        return refuse(Control::Collar, now.since(instrument.ts).0, instrument.max_age.0);
    }
    let Some(collar) = instrument.collar else { return refuse(Control::Collar, px.0, 0) };
    // Best prices come from live books and px from `form`: far below the range of 64 bits.
    let distance = (2 * px.0).saturating_sub(instrument.twice).saturating_abs();
    match collar {
        Collar::Ticks(ticks) if distance > ticks.saturating_mul(2) => {
            refuse(Control::Collar, distance, ticks.saturating_mul(2))
        }
        Collar::Bps(bps) => match (distance.checked_mul(10_000), instrument.twice.checked_mul(bps)) {
            (Some(away), Some(allowed)) if away <= allowed => Ok(()),
            _ => collar_bps(distance, instrument.twice, bps),
        },
        _ => Ok(()),
    }
}

/// The same with room for any price.
#[cold]
fn collar_bps(distance: i64, twice: i64, bps: i64) -> Result<(), Refusal> {
    let allowed = i128::from(twice) * i128::from(bps);
    if i128::from(distance) * 10_000 <= allowed {
        return Ok(());
    }
    refuse(Control::Collar, distance, (allowed / 10_000) as i64)
}

/// C12.
#[inline]
fn worst_case(cell: &Cell, added: &Added) -> Result<(), Refusal> {
    let open = cell.open_qty[added.side].checked_add(added.qty);
    let (worst, limit) = match added.side {
        Side::Buy => (open.and_then(|open| open.checked_add(cell.position)), cell.limits.max_long.0),
        Side::Sell => (open.and_then(|open| open.checked_sub(cell.position)), cell.limits.max_short.0),
    };
    match worst {
        Some(worst) if worst <= limit && limit > 0 => Ok(()),
        _ => position(cell, added),
    }
}

/// The same where the limit is 0, the sum has no room, or the limit is passed.
#[cold]
fn position(cell: &Cell, added: &Added) -> Result<(), Refusal> {
    let open = cell.open_qty[added.side].saturating_add(added.qty);
    let (worst, limit) = match added.side {
        Side::Buy => (open.saturating_add(cell.position), cell.limits.max_long.0),
        Side::Sell => (open.saturating_sub(cell.position), cell.limits.max_short.0),
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
    let open = cell.open_qty[added.side].saturating_add(added.qty);
    let closable = match added.side {
        Side::Buy => cell.position.saturating_neg(),
        Side::Sell => cell.position,
    };
    if open > closable { refuse(Control::State, open, closable.max(0)) } else { Ok(()) }
}

/// C11.
#[inline]
fn exposure(scope: &ScopeState, added: &Added) -> Result<(), Refusal> {
    let limits = &scope.limits;
    let orders_count = scope.orders_count.saturating_add(added.orders_count);
    if orders_count > limits.max_open_orders {
        return refuse(Control::Exposure, i64::from(orders_count), i64::from(limits.max_open_orders));
    }
    if added.value > scope.gross_room {
        return refuse_money(Control::Exposure, scope.gross() + added.value, limits.max_gross_value.0);
    }
    // What is added lies on the side of the order, so the net can pass its limit on that side alone.
    if added.value > scope.net_room[added.side] {
        return net_exposure(scope, added);
    }
    Ok(())
}

/// An order that brings the net nearer to 0 is never refused for it.
#[cold]
fn net_exposure(scope: &ScopeState, added: &Added) -> Result<(), Refusal> {
    let signed_value = if added.side == Side::Buy { added.value } else { -added.value };
    let net = scope.net() + signed_value;
    if net.abs() <= scope.net().abs() {
        return Ok(());
    }
    refuse_money(Control::Exposure, net, scope.limits.max_net_value.0)
}

/// C14: without a limit there is no order.
#[inline]
fn configured_loss(scope: &ScopeState) -> Result<(), Refusal> {
    if scope.has_loss_limits { Ok(()) } else { refuse(Control::Loss, 0, 0) }
}

#[cold]
fn refuse_rate(rate: &Rate, now: TimeNs) -> Result<(), Refusal> {
    let limit = i64::from(rate.limit_reached(now));
    refuse(Control::Rate, limit + 1, limit)
}
