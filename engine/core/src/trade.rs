//! Hot path. From what changed to what is sent: run the strategies that look at it, hold their limits, reconcile, pass risk,
//! book the order, emit the command.
use crate::deadlines::TimerClass;
use crate::inputs::{LedgerView, OwnDepth};
use crate::limits::{LimitEvent, Metrics, Proposal};
use crate::runner::{Runner, mask};
use crate::{Core, Outbox};
use tercel_book::Book;
use tercel_event::{Command, CommandKind, Control, NO_OWNER, OrdType, Reason, Tif, TradingState, Verdict};
use tercel_exec::{Action, Market, Opening, View, Want, Working, WorkingStatus, leg_of, read_sink, reconcile};
use tercel_order::{Order, OrderState, Orders};
use tercel_risk::Risk;
use tercel_types::{
    AccountId, ClOrdId, Instrument, InstrumentId, Instruments, Money, Price, Qty, Side, StrategyId, TimeNs,
};

/// Nanoseconds of a UTC day; the trading day of `Calendar::Always` turns at 00:00.
const DAY_NS: i64 = 86_400_000_000_000;

impl Core {
    /// Everything that the frame made due, in configuration order.
    pub(crate) fn run_strategies(&mut self, out: &mut Outbox) {
        for idx in 0..self.runners.len() {
            let ran = self.runners[idx].pending.any();
            if ran {
                self.run_one(idx, out);
            }
            let dirty = core::mem::take(&mut self.runners[idx].dirty);
            if ran || dirty != 0 {
                self.hold_limits(idx, out);
                let bindings = self.runners[idx].manifest.instruments.len();
                // A verdict or a mode concerns every instrument of the strategy, so all are reconciled, most at no cost.
                for binding in 0..bindings {
                    self.reconcile_one(idx, binding, out);
                }
            }
        }
    }

    fn run_one(&mut self, idx: usize, out: &mut Outbox) {
        let Self { runners, books, orders, sessions, signals, config, now, seq, .. } = self;
        let runner = &mut runners[idx];
        let reconciled = sessions[runner.session].is_reconciled();
        let touched = runner.pending.book | runner.pending.quality | runner.pending.trades | runner.pending.exec;
        let mut rest = touched & mask(runner.bound.instruments.len());
        while rest != 0 {
            let binding = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let id = runner.bound.instruments[binding];
            let (Some(instrument), Some(book)) = (config.instruments.get(id), books.get(id.idx())) else { continue };
            let ledger = LedgerView {
                reconciled,
                position: orders.position(runner.id, id),
                settled: orders.is_settled(runner.id, id),
            };
            let own = Own { orders, account: runner.account, instrument: id };
            runner.inputs.refill(binding, &runner.pending, instrument, book, &ledger, &own);
        }
        let book_of = |binding: usize| runner.bound.instruments.get(binding).and_then(|id| books.get(id.idx()));
        runner.inputs.refill_common(&runner.pending, *now, &runner.bound, signals, book_of);
        runner.run(*seq, *now);
        let due = runner.next_deadline(*now);
        self.deadlines.set(TimerClass::Strategy, idx, due);
        self.heed_control(idx, out);
    }

    /// `halt`, `finish` and livelock of the strategy itself: latched until `Rearm`.
    fn heed_control(&mut self, idx: usize, out: &mut Outbox) {
        let runner = &mut self.runners[idx];
        if runner.desires.control == Control::Run || runner.stopped.is_some() {
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

    /// Limits of the strategy at this instant; re-arms their deadlines.
    fn hold_limits(&mut self, idx: usize, out: &mut Outbox) {
        let Self { runners, books, orders, config, now, deadlines, marks, .. } = self;
        let Runner { limits, desires, bound, id, day, day_base, limit_base, .. } = &mut runners[idx];
        if limits.len() == 0 {
            return;
        }
        let net = net_profit(&config.instruments, orders, marks, *id, &bound.instruments);
        let today = now.0.div_euclid(DAY_NS);
        if *day != today {
            // The first day counts from the start of the run.
            *day_base = if *day == i64::MIN { Money::ZERO } else { net };
            *day = today;
        }
        let view = MetricsView {
            books,
            instruments: &config.instruments,
            orders,
            marks,
            ids: &bound.instruments,
            strategy: *id,
            loss: (*day_base - net).to_f64(),
        };
        let mut events = [None; 16];
        let mut count = 0;
        limits.instant(*now, &desires.values, &view, |event| {
            if let Some(slot) = events.get_mut(count) {
                *slot = Some(event);
                count += 1;
            }
        });
        for at in 0..limits.len() {
            let slot = *limit_base + at;
            // Lazily: a later sign of life is looked up when the timer fires, only an earlier bound is set at once.
            let due = limits.silence_deadline(at, &desires.values, &view);
            match (due, deadlines.get(TimerClass::Silence, slot)) {
                (Some(due), Some(armed)) if armed <= due && armed > *now => {}
                (due, _) => deadlines.set(TimerClass::Silence, slot, due),
            }
            deadlines.set(TimerClass::Hold, slot, limits.hold_deadline(at));
        }
        let strategy = *id;
        for event in events.into_iter().flatten() {
            let (limit, code, binding) = match event {
                LimitEvent::Latched { limit, verdict: Verdict::Pull(b) } => (limit, 1, Some(b)),
                LimitEvent::Latched { limit, verdict: Verdict::Flatten(b) } => (limit, 2, Some(b)),
                LimitEvent::Latched { limit, verdict: Verdict::Halt(_) } => (limit, 3, None),
                LimitEvent::Latched { limit, verdict: Verdict::Refuse } => (limit, 4, None),
                LimitEvent::Released { limit } => (limit, 0, None),
            };
            self.counters.verdicts += u64::from(code != 0);
            let instrument = binding.and_then(|b| self.runners[idx].bound.instruments.get(usize::from(b)).copied());
            self.note(Reason::Verdict as u16, strategy, instrument, 0, 255, code, i64::from(limit), out);
        }
    }

    fn reconcile_one(&mut self, idx: usize, binding: usize, out: &mut Outbox) {
        let Self { runners, books, orders, sessions, config, risk, now, plan, working, want_buf, .. } = self;
        let runner = &mut runners[idx];
        let id = runner.bound.instruments[binding];
        let (Some(instrument), Some(book)) = (config.instruments.get(id), books.get(id.idx())) else { return };
        let market = market(book);
        let bit = 1u64 << binding;
        let owner = runner.desires.owners.get(binding).copied().unwrap_or(NO_OWNER);
        let mut want = read_sink(&runner.manifest.sinks, owner, &runner.desires, instrument, market, want_buf);
        let mut opening = opening(risk, runner, bit);
        if runner.limits.flattened & bit != 0 && !matches!(opening, Opening::Blocked(Reason::Operator)) {
            // A latched `flatten` outranks the strategy's desire and its halt; only the operator's word outranks it.
            want = Want::flatten(instrument, market, &config.exec);
            opening = Opening::ReduceOnly(Reason::Verdict);
        }
        let session = &sessions[runner.session];
        if session.patient && matches!(opening, Opening::Free | Opening::ReduceOnly(_)) {
            return self.hold_one(idx, binding, 0, Reason::NotReconciled, out);
        }
        working.clear();
        working.extend(orders.open(runner.id, id).map(as_working));
        let view = View {
            instrument,
            position: orders.position(runner.id, id).qty,
            working,
            opening,
            session: session.verdict(),
            now: *now,
        };
        reconcile(want, &view, &config.exec, &mut runner.slots[binding], plan);
        let wake = plan.wake;
        let pair = runner.pair_base + binding;
        for at in 0..self.plan.actions.len() {
            let action = self.plan.actions[at];
            self.act(idx, binding, id, &action, out);
        }
        // A refusal makes its leg wait, which is known only now.
        let wake = match (wake, self.refused_until.take()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.deadlines.set(TimerClass::Retry, pair, wake);
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
    fn act(&mut self, idx: usize, binding: usize, id: InstrumentId, action: &Action, out: &mut Outbox) {
        let Some(cl_ord_id) = self.peek_id() else { return self.halt_all(Reason::Inhibited, 10, 0, 0, out) };
        let runner = &self.runners[idx];
        let mut command = Command {
            kind: CommandKind::New as u8,
            dest: self.sessions[runner.session].src,
            cl_ord_id,
            root_cl_ord_id: cl_ord_id,
            instrument: id,
            strategy: runner.id,
            account: runner.account,
            ord_type: OrdType::Limit as u8,
            ..self.blank()
        };
        match *action {
            Action::New { side, px, qty, leg, tif, post_only, reason } => {
                (command.side, command.px, command.order_qty, command.leg) = (side as u8, px, qty, leg);
                (command.tif, command.reason) = (tif as u8, reason as u16);
                command.flags = if post_only { Command::POST_ONLY } else { 0 };
            }
            Action::Replace { root, leg, reason, .. } | Action::Cancel { root, leg, reason } => {
                let Some(order) = self.orders.get(root) else { return };
                command.kind = CommandKind::Cancel as u8;
                (command.root_cl_ord_id, command.orig_cl_ord_id) = (order.root, order.cl_ord_id);
                (command.side, command.px, command.order_qty) = (order.side as u8, order.px, order.order_qty);
                (command.tif, command.flags) = (order.tif, order.flags);
                (command.leg, command.reason) = (leg, reason as u16);
                if let Action::Replace { px, order_qty, .. } = *action {
                    (command.kind, command.px, command.order_qty) = (CommandKind::Replace as u8, px, order_qty);
                }
            }
        }
        let refused =
            if matches!(action, Action::Cancel { .. }) { None } else { self.refuse_by_strategy(idx, binding, action) };
        let refused = match refused {
            Some(refusal) => Some(refusal),
            None => self.place(&command).err(),
        };
        match refused {
            None => {
                self.use_id();
                self.count_command(action);
                let (retry, now) = (self.config.exec.retry, self.now);
                let runner = &mut self.runners[idx];
                if !matches!(action, Action::Cancel { .. }) {
                    runner.limits.on_sent(now);
                }
                runner.slots[binding].on_sent(action, now, retry);
                self.emit(&mut command, out);
            }
            Some(refusal) => {
                // The id is not tried again: it may be the reason.
                self.use_id();
                self.on_refused(idx, binding, &command, refusal, out);
            }
        }
    }

    fn refuse_by_strategy(&mut self, idx: usize, binding: usize, action: &Action) -> Option<Refusal> {
        let (side, px, qty, grows_by) = match *action {
            Action::New { side, px, qty, .. } => (side, px, qty, qty.0),
            Action::Replace { root, px, order_qty, .. } => {
                let order = self.orders.get(root)?;
                let leaves = order_qty.0 - order.cum_qty.0;
                (order.side, px, Qty(leaves), (leaves - order.reserved_qty().0).max(0))
            }
            Action::Cancel { .. } => return None,
        };
        let Self { runners, orders, config, now, .. } = self;
        let runner = &mut runners[idx];
        let id = runner.bound.instruments[binding];
        let instrument = config.instruments.get(id)?;
        let filling: i64 = orders.open(runner.id, id).filter(|o| o.side == side).map(|o| o.reserved_qty().0).sum();
        let proposal = Proposal {
            instrument,
            binding: binding as u16,
            side,
            px,
            qty,
            filling: filling.saturating_add(grows_by),
            position: orders.position(runner.id, id).qty,
            now: *now,
        };
        let breach = runner.limits.check(&proposal, &runner.desires.values)?;
        Some(Refusal { control: STRATEGY_LIMIT + breach.limit, value: breach.value, limit: breach.bound })
    }

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

#[inline]
fn opening(risk: &Risk, runner: &Runner, bit: u64) -> Opening {
    match risk.state(runner.id, runner.account) {
        TradingState::Halted => Opening::Blocked(Reason::Operator),
        _ if runner.limits.halted || runner.stopped.is_some() => Opening::Blocked(Reason::Verdict),
        _ if runner.limits.pulled & bit != 0 => Opening::Pulled(Reason::Verdict),
        TradingState::Reducing => Opening::ReduceOnly(Reason::Operator),
        TradingState::Active => Opening::Free,
    }
}

#[inline]
fn market(book: &Book) -> Market {
    Market { live: book.is_live(), bid: book.best_bid().map(|l| l.px), ask: book.best_ask().map(|l| l.px) }
}

#[inline]
pub(crate) fn as_working(order: &Order) -> Working {
    let status = match order.state {
        OrderState::PendingNew => WorkingStatus::PendingNew,
        OrderState::PendingCancel | OrderState::PendingBoth => WorkingStatus::PendingCancel,
        OrderState::PendingReplace => WorkingStatus::PendingReplace,
        OrderState::Unknown => WorkingStatus::Unknown,
        _ => WorkingStatus::Live,
    };
    Working {
        root: order.root,
        side: order.side,
        px: order.replace.map_or(order.px, |request| request.px),
        px_standing: order.px,
        leaves: order.reserved_qty(),
        cum: order.cum_qty,
        leg: order.leg,
        status,
        cancel_requested: order.cancel.is_some(),
        resting: order.tif != Tif::Ioc as u8,
        post_only: order.flags & Command::POST_ONLY != 0,
    }
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

/// Net profit of one strategy over its instruments: realised + unrealised − fees, marks where there are any.
pub(crate) fn net_profit(
    instruments: &Instruments,
    orders: &Orders,
    marks: &[Mark],
    strategy: StrategyId,
    ids: &[InstrumentId],
) -> Money {
    let mut net = Money::ZERO;
    for &id in ids {
        let position = orders.position(strategy, id);
        let mark = marks.get(id.idx()).and_then(|mark| mark.of(position.qty));
        let open = instruments.get(id).zip(mark).and_then(|(i, mark)| position.unrealised(i, mark));
        net += position.realised + open.unwrap_or(Money::ZERO) - position.fees;
    }
    net
}

struct Own<'a> {
    orders: &'a Orders,
    account: AccountId,
    instrument: InstrumentId,
}

impl OwnDepth for Own<'_> {
    fn own_qty(&self, side: Side, px: Price) -> Qty {
        self.orders.own_qty_at(self.account, self.instrument, side, px)
    }
}

struct MetricsView<'a> {
    books: &'a [Book],
    instruments: &'a Instruments,
    orders: &'a Orders,
    marks: &'a [Mark],
    ids: &'a [InstrumentId],
    strategy: StrategyId,
    loss: f64,
}

impl MetricsView<'_> {
    fn instrument(&self, binding: u16) -> Option<&Instrument> {
        self.instruments.get(*self.ids.get(usize::from(binding))?)
    }
}

impl Metrics for MetricsView<'_> {
    fn feed_alive(&self, binding: u16) -> Option<TimeNs> {
        let book = self.books.get(self.ids.get(usize::from(binding))?.idx())?;
        Some(book.last_alive()).filter(|&at| at != TimeNs::MIN)
    }

    fn loss_today(&self) -> f64 {
        self.loss
    }

    fn exposure(&self, binding: u16) -> (f64, f64) {
        let Some(instrument) = self.instrument(binding) else { return (0.0, 0.0) };
        let qty = self.orders.position(self.strategy, instrument.id).qty;
        let mark = self.marks.get(instrument.id.idx()).and_then(|mark| mark.of(qty));
        let value = mark.and_then(|px| instrument.notional(px, qty)).map_or(0.0, |m| m.to_f64().abs());
        (instrument.qty_f64(qty).abs(), value)
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
