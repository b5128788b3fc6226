//! Hot path. From what changed to what is sent: run the strategies that look at it, hold their limits, reconcile, pass risk,
//! book the order, emit the command.
use crate::deadlines::TimerClass;
use crate::inputs::{LedgerView, Own};
use crate::limits::{LimitEvent, Metrics, Proposal};
use crate::runner::{Pair, Runner};
use crate::session::Session;
use crate::shown::Standing;
use crate::{Core, CoreConfig, Outbox};
use tercel_book::Book;
use tercel_event::{Command, CommandKind, Control, OrdType, Reason, TradingState, Verdict};
use tercel_exec::{Action, Market, Opening, View, Want, Working, leg_of, reconcile};
use tercel_order::Orders;
use tercel_types::{AccountId, ClOrdId, InstrumentId, Price, Qty, Side, StrategyId, TimeNs};

impl Core {
    /// Everything that the frame made due, in configuration order.
    #[inline]
    pub(crate) fn run_strategies(&mut self, out: &mut Outbox) {
        for idx in 0..self.runners.len() {
            let runner = &self.runners[idx];
            if runner.pending.any() || runner.dirty != 0 {
                self.instant(idx, out);
            }
        }
    }

    /// One strategy: it runs if anything that it looks at has changed, then its limits and its orders follow.
    #[inline(never)]
    fn instant(&mut self, idx: usize, out: &mut Outbox) {
        if self.runners[idx].pending.any() {
            self.run_one(idx, out);
        }
        self.runners[idx].dirty = 0;
        self.hold_limits(idx, out);
        // A verdict or a mode concerns every instrument of the strategy, so all are reconciled, most at no cost.
        for binding in 0..self.runners[idx].pairs.len() {
            if self.follow(idx, binding) || self.reconcile_afresh(idx, binding, out) {
                self.carry_out(idx, binding, out);
            }
        }
    }

    #[inline]
    fn run_one(&mut self, idx: usize, out: &mut Outbox) {
        let Self { runners, books, orders, sessions, signals, config, now, seq, .. } = self;
        let runner = &mut runners[idx];
        let Runner { pairs, inputs, pending, bound, id, account, session, profit, .. } = runner;
        let mut ticks = inputs.ticks_beside(pending);
        let mut rest = pending.instruments();
        while rest != 0 {
            let binding = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let Some(pair) = pairs.get(binding) else { break };
            let Some(book) = books.get(pair.id.idx()) else { continue };
            let (strategy, account, instrument) = (*id, *account, pair.id);
            let own = OwnOrders { orders, config, sessions, session: *session, strategy, account, instrument };
            ticks |= inputs.refill(binding, pending, &pair.units, book, &own);
        }
        let book_of = |binding: usize| bound.instruments.get(binding).and_then(|id| books.get(id.idx()));
        inputs.refill_common(pending, *now, bound, signals, book_of);
        profit.has_fills |= pending.exec != 0;
        let fired = pending.timer;
        runner.run(*seq, *now, ticks);
        let due = runner.next_deadline(*now);
        if due != runner.armed || fired {
            runner.armed = due;
            self.deadlines.set(TimerClass::Strategy, idx, due);
        }
        self.heed_control(idx, out);
    }

    /// `halt`, `finish` and livelock of the strategy itself: latched until `Rearm`.
    #[inline]
    fn heed_control(&mut self, idx: usize, out: &mut Outbox) {
        if self.runners[idx].desires.control != Control::Run {
            self.heed_stop(idx, out);
        }
    }

    #[cold]
    fn heed_stop(&mut self, idx: usize, out: &mut Outbox) {
        let runner = &mut self.runners[idx];
        if runner.stopped.is_some() {
            return;
        }
        let control = runner.desires.control;
        runner.stopped = Some(control);
        let (code, message) = match control {
            Control::Run => return,
            Control::Halt(message) => (1, message),
            Control::Finish(message) => (2, message),
            Control::Livelock => (3, 0),
        };
        let strategy = runner.id;
        self.note(Reason::Verdict as u16, strategy, None, 0, 255, code, i64::from(message), out);
    }

    /// Limits of the strategy at this instant.
    #[inline]
    fn hold_limits(&mut self, idx: usize, out: &mut Outbox) {
        let Self { runners, orders, config, now, marks, .. } = self;
        let Runner { limits, desires, bound, profit, id, .. } = &mut runners[idx];
        if limits.len() == 0 {
            return;
        }
        if profit.is_due(*now, limits.watches_loss) {
            profit.update(*now, &config.instruments, orders, marks, *id, &bound.instruments);
        }
        if !limits.is_quiet(*now, &desires.values, profit.loss_today()) {
            self.watch_limits(idx, out);
        }
    }

    /// Latches and releases what has to be, and keeps the timers of the limits.
    #[inline(never)]
    fn watch_limits(&mut self, idx: usize, out: &mut Outbox) {
        let Self { runners, books, orders, now, deadlines, marks, .. } = self;
        let Runner { limits, desires, pairs, profit, id, limit_base, .. } = &mut runners[idx];
        let view = MetricsView { books, orders, marks, pairs, strategy: *id, loss: profit.loss_today() };
        limits.instant(*now, &desires.values, &view, deadlines, *limit_base);
        if !limits.events.is_empty() {
            self.tell_limits(idx, out);
        }
    }

    /// Verdicts that were latched or released become notes.
    #[cold]
    fn tell_limits(&mut self, idx: usize, out: &mut Outbox) {
        for at in 0..self.runners[idx].limits.events.len() {
            let runner = &self.runners[idx];
            let (limit, code, binding) = match runner.limits.events[at] {
                LimitEvent::Latched { limit, verdict: Verdict::Pull(b) } => (limit, 1, Some(b)),
                LimitEvent::Latched { limit, verdict: Verdict::Flatten(b) } => (limit, 2, Some(b)),
                LimitEvent::Latched { limit, verdict: Verdict::Halt(_) } => (limit, 3, None),
                LimitEvent::Latched { limit, verdict: Verdict::Refuse } => (limit, 4, None),
                LimitEvent::Released { limit } => (limit, 0, None),
            };
            self.counters.verdicts += u64::from(code != 0);
            let instrument = binding.and_then(|b| runner.bound.instruments.get(usize::from(b)).copied());
            self.note(Reason::Verdict as u16, runner.id, instrument, 0, 255, code, i64::from(limit), out);
        }
        self.runners[idx].limits.events.clear();
    }

    /// The short way to a plan, for an instrument of which nothing but the desire has moved; false when it does not lead there.
    #[inline]
    fn follow(&mut self, idx: usize, binding: usize) -> bool {
        let Self { runners, orders, sessions, risk, now, plan, .. } = self;
        let Runner { pairs, slots, readers, desires, limits, id, account, session, stopped, .. } = &mut runners[idx];
        let (Some(pair), Some(slot)) = (pairs.get_mut(binding), slots.get_mut(binding)) else { return false };
        let Some(owner) = desires.owners.get(binding) else { return false };
        let Some(reader) = readers.get_mut(usize::from(*owner)) else { return false };
        let verdicts = (limits.pulled | limits.flattened) >> (binding & 63) & 1 != 0 || limits.halted;
        !verdicts
            && stopped.is_none()
            && sessions[*session].may_send()
            && risk.state(*id, *account) == TradingState::Active
            && pair.shown.is_of(orders.changes(*id, pair.id))
            && reader.follow(&desires.values, &pair.units, pair.shown.working(), *now, slot, plan)
    }

    /// The plan of one instrument by everything that there is to say; false when nothing may be planned yet.
    #[inline(never)]
    fn reconcile_afresh(&mut self, idx: usize, binding: usize, out: &mut Outbox) -> bool {
        let Self { runners, books, orders, sessions, config, risk, now, plan, crowd, .. } = self;
        let Runner { pairs, slots, readers, desires, limits, id, account, session, stopped, .. } = &mut runners[idx];
        let (Some(pair), Some(slot)) = (pairs.get_mut(binding), slots.get_mut(binding)) else { return false };
        let Some(book) = books.get(pair.id.idx()) else { return false };
        let bit = 1u64 << binding;
        let stopped = limits.halted || stopped.is_some();
        let mut opening = opening(risk.state(*id, *account), stopped, limits.pulled & bit != 0);
        let owner = desires.owners.get(binding).and_then(|&owner| readers.get_mut(usize::from(owner)));
        let mut want = match owner {
            Some(reader) => reader.read(&desires.values, &pair.units, || market(book)),
            None => Want::Nothing { reason: Reason::Withdrawn },
        };
        if limits.flattened & bit != 0 && !matches!(opening, Opening::Blocked(Reason::Operator)) {
            // A latched `flatten` outranks the strategy's desire and its halt; only the operator's word outranks it.
            want = Want::flatten(&pair.units, market(book), &config.exec);
            opening = Opening::ReduceOnly(Reason::Verdict);
        }
        let session = &sessions[*session];
        if session.patient && matches!(opening, Opening::Free | Opening::ReduceOnly(_)) {
            self.hold_one(idx, binding, 0, Reason::NotReconciled, out);
            return false;
        }
        pair.crowded = !pair.shown.refresh(orders, *id, pair.id);
        if pair.crowded {
            crowd.clear();
            crowd.refresh(orders, *id, pair.id);
        }
        let view = View {
            units: &pair.units,
            position: orders.position(*id, pair.id).qty,
            working: if pair.crowded { crowd.working() } else { pair.shown.working() },
            opening,
            session: session.verdict(),
            now: *now,
        };
        reconcile(want, &view, &config.exec, slot, plan);
        true
    }

    /// What the plan says, and when to look again.
    #[inline]
    fn carry_out(&mut self, idx: usize, binding: usize, out: &mut Outbox) {
        let wake = self.plan.wake;
        for at in 0..self.plan.actions.len() {
            let action = self.plan.actions[at];
            self.act(idx, binding, &action, out);
        }
        // A refusal makes its leg wait, which is known only now.
        let wake = match (wake, self.refused_until.take()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let runner = &mut self.runners[idx];
        if core::mem::replace(&mut runner.pairs[binding].waits, wake.is_some()) || wake.is_some() {
            self.deadlines.set(TimerClass::Retry, runner.pair_base + binding, wake);
        }
        for at in 0..self.plan.holds.len() {
            let hold = self.plan.holds[at];
            self.hold_one(idx, binding, hold.leg, hold.reason, out);
        }
    }

    /// Notes why nothing is sent for a leg, when the reason is another one than before.
    fn hold_one(&mut self, idx: usize, binding: usize, leg: u16, reason: Reason, out: &mut Outbox) {
        let runner = &mut self.runners[idx];
        if runner.slots[binding].note_hold(leg, reason as u16) {
            let (strategy, id) = (runner.id, runner.bound.instruments[binding]);
            self.note(reason as u16, strategy, Some(id), 0, leg, 0, 0, out);
        }
    }

    /// One action through limits, risk and the order table; a refusal leaves a note and makes the leg wait.
    #[inline]
    fn act(&mut self, idx: usize, binding: usize, action: &Action, out: &mut Outbox) {
        let Some(cl_ord_id) = self.peek_id() else { return self.halt_all(Reason::Inhibited, 10, 0, 0, out) };
        let mut command = self.blank();
        let Self { runners, sessions, orders, crowd, now, .. } = self;
        let Runner { pairs, limits, desires, id, account, session, .. } = &mut runners[idx];
        let pair = &pairs[binding];
        (command.dest, command.ord_type) = (sessions[*session].src, OrdType::Limit as u8);
        (command.instrument, command.strategy, command.account) = (pair.id, *id, *account);
        (command.cl_ord_id, command.root_cl_ord_id) = (cl_ord_id, cl_ord_id);
        // What the order is beyond what is reserved for it already, where it needs to be allowed.
        let asks = match *action {
            Action::New { side, px, qty, leg, tif, post_only, reason } => {
                (command.kind, command.leg, command.reason) = (CommandKind::New as u8, leg, reason as u16);
                (command.side, command.px, command.order_qty) = (side as u8, px, qty);
                (command.tif, command.flags) = (tif as u8, if post_only { Command::POST_ONLY } else { 0 });
                Some((side, px, qty, qty.0))
            }
            Action::Replace { root, px, order_qty, leg, reason } => {
                let shown = if pair.crowded { &*crowd } else { &pair.shown };
                let Some((order, standing)) = shown.find(root) else { return };
                request(&mut command, CommandKind::Replace, order, standing, leg, reason);
                (command.px, command.order_qty) = (px, order_qty);
                let leaves = order_qty.0 - order.cum.0;
                Some((order.side, px, Qty(leaves), (leaves - order.leaves.0).max(0)))
            }
            Action::Cancel { root, leg, reason } => {
                let shown = if pair.crowded { &*crowd } else { &pair.shown };
                let Some((order, standing)) = shown.find(root) else { return };
                request(&mut command, CommandKind::Cancel, order, standing, leg, reason);
                None
            }
        };
        let breach = asks.and_then(|(side, px, qty, grows_by)| {
            let open = orders.open_totals(*id, pair.id);
            let filling = if side == Side::Buy { open.buy_qty } else { open.sell_qty };
            let (filling, position) = (filling.0.saturating_add(grows_by), orders.position(*id, pair.id).qty);
            let (units, binding, now) = (&pair.units, binding as u16, *now);
            limits.check(&Proposal { units, binding, side, px, qty, filling, position, now }, &desires.values)
        });
        let refused = match breach {
            Some(breach) => {
                Some(Refusal { control: STRATEGY_LIMIT + breach.limit, value: breach.value, limit: breach.bound })
            }
            None => self.place(&command).err(),
        };
        // A refused id is not tried again either: it may be the reason.
        self.use_id();
        if let Some(refusal) = refused {
            return self.on_refused(idx, binding, &command, refusal, out);
        }
        self.count_command(action);
        let (retry, now) = (self.config.exec.retry, self.now);
        let runner = &mut self.runners[idx];
        if asks.is_some() {
            runner.limits.on_sent(now);
        }
        runner.slots[binding].on_sent(action, now, retry);
        self.emit(&mut command, out);
    }

    #[cold]
    pub(crate) fn on_refused(
        &mut self,
        idx: usize,
        binding: usize,
        command: &Command,
        refusal: Refusal,
        out: &mut Outbox,
    ) {
        self.counters.reject(refusal.control);
        let (now, backoff) = (self.now, self.config.exec.backoff);
        let until = now.saturating_add(backoff);
        self.refused_until = Some(self.refused_until.map_or(until, |at| at.min(until)));
        let runner = &mut self.runners[idx];
        let slot = &mut runner.slots[binding];
        slot.on_refused(command.leg, now, backoff);
        // The control is part of the reason, so that another control makes another note.
        if slot.note_hold(leg_of(command.leg), Reason::RiskRefused as u16 | refusal.control.wrapping_add(1) << 7) {
            let (strategy, leg) = (runner.id, leg_of(command.leg));
            let Refusal { control, value, limit } = refusal;
            let id = Some(command.instrument);
            self.note(Reason::RiskRefused as u16, strategy, id, control, leg, value, limit, out);
        }
    }
}

/// Control numbers from here on are limits of the strategy itself, by their index in the manifest.
pub const STRATEGY_LIMIT: u16 = 1000;

/// Why an order was not placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub control: u16,
    pub value: i64,
    pub limit: i64,
}

/// What a strategy may open in one instrument; `pulled` is that instrument's verdict.
#[inline]
fn opening(state: TradingState, stopped: bool, pulled: bool) -> Opening {
    match state {
        TradingState::Halted => Opening::Blocked(Reason::Operator),
        _ if stopped => Opening::Blocked(Reason::Verdict),
        _ if pulled => Opening::Pulled(Reason::Verdict),
        TradingState::Reducing => Opening::ReduceOnly(Reason::Operator),
        TradingState::Active => Opening::Free,
    }
}

/// A request about a standing order: it repeats what stands.
#[inline]
fn request(command: &mut Command, kind: CommandKind, order: &Working, standing: &Standing, leg: u16, reason: Reason) {
    (command.kind, command.leg, command.reason) = (kind as u8, leg, reason as u16);
    (command.root_cl_ord_id, command.orig_cl_ord_id) = (order.root, standing.cl_ord_id);
    (command.side, command.px, command.order_qty) = (order.side as u8, order.px_standing, standing.order_qty);
    (command.tif, command.flags) = (standing.tif, standing.flags);
}

#[inline]
fn market(book: &Book) -> Market {
    Market { live: book.is_live(), bid: book.best_bid().map(|l| l.px), ask: book.best_ask().map(|l| l.px) }
}

/// The price at which a position could be closed: the last live bid of a long, ask of a short.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    pub bid: Option<Price>,
    pub ask: Option<Price>,
}

impl Mark {
    #[inline]
    pub fn of(&self, position: Qty) -> Option<Price> {
        if position.0 >= 0 { self.bid } else { self.ask }
    }
}

struct OwnOrders<'a> {
    orders: &'a Orders,
    config: &'a CoreConfig,
    sessions: &'a [Session],
    session: usize,
    strategy: StrategyId,
    account: AccountId,
    instrument: InstrumentId,
}

impl Own for OwnOrders<'_> {
    #[inline]
    fn has_open(&self) -> [bool; 2] {
        let open = self.orders.account_open_totals(self.account, self.instrument);
        [open.buy_qty, open.sell_qty].map(|qty| qty.0 > 0)
    }

    fn qty(&self, side: Side, px: Price) -> Qty {
        self.orders.own_qty_at(self.account, self.instrument, side, px)
    }

    fn ledger(&self) -> LedgerView<'_> {
        LedgerView {
            instrument: &self.config.instruments.0[self.instrument.idx()],
            reconciled: self.sessions[self.session].is_reconciled(),
            position: self.orders.position(self.strategy, self.instrument),
            settled: self.orders.is_settled(self.strategy, self.instrument),
        }
    }
}

struct MetricsView<'a> {
    books: &'a [Book],
    orders: &'a Orders,
    marks: &'a [Mark],
    pairs: &'a [Pair],
    strategy: StrategyId,
    loss: f64,
}

impl Metrics for MetricsView<'_> {
    fn feed_alive(&self, binding: u16) -> Option<TimeNs> {
        let book = self.books.get(self.pairs.get(usize::from(binding))?.id.idx())?;
        Some(book.last_alive()).filter(|&at| at != TimeNs::MIN)
    }

    #[inline]
    fn loss_today(&self) -> f64 {
        self.loss
    }

    fn exposure(&self, binding: u16) -> (f64, f64) {
        let Some(Pair { id, units, .. }) = self.pairs.get(usize::from(binding)) else { return (0.0, 0.0) };
        let qty = self.orders.position(self.strategy, *id).qty;
        let mark = self.marks.get(id.idx()).and_then(|mark| mark.of(qty));
        let value = mark.and_then(|px| units.notional(px, qty)).map_or(0.0, |m| m.to_f64().abs());
        (units.qty_f64(qty).abs(), value)
    }
}

impl Core {
    /// The next ClOrdID, not used up yet; `None` when the epoch has no more.
    #[inline]
    fn peek_id(&self) -> Option<ClOrdId> {
        ClOrdId::new(self.epoch, self.config.shard, self.order_counter + 1)
    }

    #[inline]
    fn use_id(&mut self) {
        self.order_counter += 1;
    }

    /// A new id for a request that is no order.
    pub(crate) fn request_id(&mut self) -> ClOrdId {
        let id = self.peek_id().unwrap_or(ClOrdId::NONE);
        self.use_id();
        id
    }
}
