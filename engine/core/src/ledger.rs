//! The three books of what we own, kept in step: risk reserves before the order table takes a command, hears of every
//! consequence of a report, and is compared with the order table after every fill.
use crate::trade::Refusal;
use crate::{Core, NO_STRATEGY, Outbox};
use tercel_event::{Chain, Command, CommandKind, Frame, LimitSet, Reason, Scope, TradingState};
use tercel_exec::Action;
use tercel_order::{Breach, OpenTotals, OrderUpdate};
use tercel_risk::{FillInput, OpenSeen, Seen, Verdict};
use tercel_types::{AccountId, ClOrdId, InstrumentId, Price, Qty, StrategyId};

impl Core {
    /// Asks risk, which reserves, then books the command; on a refusal by either nothing has changed.
    #[inline]
    pub(crate) fn place(&mut self, command: &Command) -> Result<(), Refusal> {
        if let Verdict::Refused(refusal) = self.risk.submit(command) {
            let (value, limit) = (refusal.value, refusal.limit);
            return Err(Refusal { control: refusal.control as u16, value, limit });
        }
        self.orders.on_command(command).map_err(|error| self.take_back(command, error.into()))
    }

    #[cold]
    fn take_back(&mut self, command: &Command, refusal: Refusal) -> Refusal {
        if command.kind == CommandKind::New as u8 {
            self.risk.release(command.cl_ord_id);
        } else if command.kind == CommandKind::Replace as u8
            && let Some(order) = self.orders.get(command.root_cl_ord_id)
        {
            self.risk.replaced(order.root, order.px, order.order_qty);
        }
        refusal
    }

    #[inline]
    pub(crate) fn count_command(&mut self, action: &Action) {
        let count = match action {
            Action::New { .. } => &mut self.counters.orders,
            Action::Replace { .. } => &mut self.counters.replaces,
            Action::Cancel { .. } => &mut self.counters.cancels,
        };
        *count += 1;
    }

    /// Everything that one message did to an order, told to risk in the order in which it must hear it.
    pub(crate) fn feed_risk(&mut self, update: &OrderUpdate, out: &mut Outbox) {
        if update.adopted
            && let Some(order) = self.orders.get(update.root)
        {
            let before = order.cum_qty.0 - update.fill.map_or(0, |fill| fill.qty.0);
            let command = Command {
                cl_ord_id: order.root,
                root_cl_ord_id: order.root,
                instrument: order.instrument,
                strategy: order.strategy,
                account: order.account,
                side: order.side as u8,
                px: order.px,
                order_qty: order.order_qty,
                ..self.blank()
            };
            self.counters.adopted += 1;
            if !self.risk.adopt(&command, Qty(before.max(0))) {
                self.halt_all(Reason::Reconcile, 11, 0, 0, out);
            }
        }
        if let Some(fill) = update.fill {
            // A fill that contradicts its order counts for the position, not for the order.
            let root = if update.breach == Some(Breach::Identity) { ClOrdId::NONE } else { update.root };
            self.risk.fill(&FillInput {
                root,
                strategy: update.strategy,
                account: update.account,
                instrument: update.instrument,
                side: fill.side,
                px: fill.px,
                qty: fill.qty,
                fee: fill.fee,
                now: self.now,
            });
        }
        if let Some(replaced) = update.replaced {
            self.risk.replaced(update.root, replaced.px, replaced.order_qty);
        }
        if update.released {
            self.risk.release(update.root);
        }
        if update.fill.is_some() {
            self.compare(update, out);
            self.watch_late_fill(update, out);
        }
        self.tell_halts(out);
    }

    /// Two calculators, one truth: a difference means that one of them is wrong, and nothing may be sent on it.
    fn compare(&mut self, update: &OrderUpdate, out: &mut Outbox) {
        let OrderUpdate { strategy, account, instrument, .. } = *update;
        let seen = |totals: OpenTotals| OpenSeen {
            orders_count: totals.orders_count,
            buy_qty: totals.buy_qty,
            sell_qty: totals.sell_qty,
        };
        let difference = self.risk.compare(&Seen {
            strategy,
            account,
            instrument,
            strategy_qty: self.orders.position(strategy, instrument).qty,
            account_qty: self.orders.account_position(account, instrument).qty,
            strategy_open: seen(self.orders.open_totals(strategy, instrument)),
            account_open: seen(self.orders.account_open_totals(account, instrument)),
        });
        if let Some(difference) = difference {
            self.counters.ledger_differences += 1;
            self.halt_all(Reason::Verdict, 32, difference.here, difference.there, out);
        }
    }

    /// A fill that nobody expected any more may leave more than is allowed: from there the position may only shrink.
    fn watch_late_fill(&mut self, update: &OrderUpdate, out: &mut Outbox) {
        if !matches!(update.breach, Some(Breach::LateFill | Breach::Overfill | Breach::Identity)) {
            return;
        }
        let (strategy, id) = (update.strategy, update.instrument);
        let qty = self.orders.position(strategy, id).qty.0;
        let limits = self.config.risk.strategies.get(strategy.idx()).and_then(|own| own.positions.get(id.idx()));
        let over = limits.is_none_or(|limits| qty > limits.max_long.0 || -qty > limits.max_short.0);
        if over {
            self.risk.reduce(strategy);
            self.note(Reason::Verdict as u16, strategy, Some(id), 12, 255, qty, 0, out);
        }
    }

    /// Halts that risk has latched by itself become notes, and instants of the strategies concerned.
    pub(crate) fn tell_halts(&mut self, out: &mut Outbox) {
        while let Some(halt) = self.risk.next_halt() {
            self.counters.halts += 1;
            let strategy = if halt.scope == Scope::Strategy { StrategyId(halt.id) } else { NO_STRATEGY };
            self.note(Reason::Verdict as u16, strategy, None, halt.control as u16, 255, halt.value, halt.limit, out);
            self.tick_control(halt.scope, halt.id);
        }
    }

    /// The newest reference and closing prices of an instrument with a live book.
    pub(crate) fn mark(&mut self, idx: usize, out: &mut Outbox) {
        let book = &self.books[idx];
        let (true, Some(bid), Some(ask)) = (book.is_live(), book.best_bid(), book.best_ask()) else { return };
        self.mark_at(idx, bid.px, ask.px, out);
    }

    /// The same for the prices of a best quote of a live book.
    #[inline(always)]
    pub(crate) fn mark_at(&mut self, idx: usize, bid: Price, ask: Price, out: &mut Outbox) {
        let mark = &mut self.marks[idx];
        (mark.bid, mark.ask) = (Some(bid), Some(ask));
        self.risk.mark(InstrumentId(idx as u32), bid, ask, self.now);
        self.tell_halts(out);
    }

    pub(crate) fn on_limit_set(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let Ok(set) = frame.body::<LimitSet>() else { return self.bad_frame() };
        let refused = self.risk.set_limit(&set).is_err();
        let count = if refused { &mut self.counters.limits_refused } else { &mut self.counters.limits_set };
        *count += 1;
        let limit = if refused { -1 } else { 0 };
        let (reason, id) = (Reason::Operator as u16, Some(set.instrument));
        self.note(reason, set.strategy, id, set.control, 255, set.value, limit, out);
        self.tell_halts(out);
        for runner in &mut self.runners {
            runner.dirty = u64::MAX;
        }
    }

    /// What risk reserves and has seen, through its public side.
    pub(crate) fn risk_digest(&self, chain: &mut Chain) {
        for runner in &self.runners {
            let (gross, net) = self.risk.exposure(runner.id);
            for amount in [self.risk.profit(runner.id), gross, net] {
                chain.word(amount.0 as u64);
            }
            chain.word(self.risk.state(runner.id, runner.account) as u64);
        }
        for account in (0..self.config.accounts.len()).map(|idx| AccountId(idx as u16)) {
            chain.word(u64::from(self.risk.is_gate_open(account)));
            for instrument in &self.config.instruments.0 {
                let (position, buys, sells) = self.risk.account_worst_case(account, instrument.id);
                for qty in [position, buys, sells] {
                    chain.word(qty.0 as u64);
                }
            }
        }
    }

    /// The trading state of a strategy, the strictest of its scopes.
    #[inline]
    pub fn trading_state(&self, strategy: StrategyId) -> TradingState {
        let account = self.config.strategies.get(strategy.idx()).map(|own| own.account).unwrap_or_default();
        self.risk.state(strategy, account)
    }
}
