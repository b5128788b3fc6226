//! Order sessions: what gateways and venues say about our orders, and the way to a reconciled session.
use crate::deadlines::TimerClass;
use crate::session::Gate;
use crate::trade::Refusal;
use crate::{Core, NO_STRATEGY, Outbox};
use tercel_event::{
    CancelReject, Command, CommandKind, ExecReport, Frame, MassStatusEnd, MessageReject, NotSent, NotSentWhy, Reason,
    Scope, Sent, SessionEvent, SessionStatus, TradingState,
};
use tercel_order::{Breach, Order, OrderState, OrderUpdate};
use tercel_types::{ClOrdId, SourceId};

/// `MessageReject::level` of a report that the gateway could not read.
const UNREADABLE: u8 = 3;

impl Core {
    pub(crate) fn on_exec_report(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let (Ok(report), Some(idx)) = (frame.body::<ExecReport>(), self.session_of(frame.header.src)) else {
            return self.bad_frame();
        };
        self.ts_cause = report.ts_recv;
        let update = self.orders.on_exec_report(&report, frame.header.src, self.now);
        if update.before == Some(OrderState::PendingNew) && update.after == Some(OrderState::Rejected) {
            self.counters.venue_rejects += 1;
            self.leg_waits(&update, false);
        }
        if report.exec_type == b'5' && !update.duplicate {
            self.counters.replaced += 1;
        }
        self.watch_breaches(idx, &update, out);
        self.on_update(&update, out);
        if update.adopted && self.sessions[idx].is_answered() {
            // The mass status answer has been dealt with: nobody else would take it out.
            self.cancel_orphans(frame.header.src, out);
        }
    }

    /// What the venue did or knows and our books cannot follow: told, and from there the account's positions may only
    /// shrink, until a person has compared them with the venue's.
    fn watch_breaches(&mut self, idx: usize, update: &OrderUpdate, out: &mut Outbox) {
        const GRAVE: [Breach; 4] =
            [Breach::TradeBusted, Breach::TradeCorrected, Breach::TableFull, Breach::MissingFill];
        let breaches = self.orders.counters().breaches;
        for (at, breach) in GRAVE.into_iter().enumerate() {
            let count = breaches[breach as usize];
            if core::mem::replace(&mut self.breaches_seen[at], count) == count {
                continue;
            }
            let account = self.sessions[idx].account;
            let mut fresh = matches!(breach, Breach::TradeBusted | Breach::TradeCorrected);
            for runner in self.runners.iter().filter(|runner| runner.account == account) {
                fresh |= self.risk.state(runner.id, account) == TradingState::Active;
                self.risk.reduce(runner.id);
            }
            if fresh {
                // A missing fill is counted at every answer that shows it; once is enough to hear of it.
                let strategy = if update.root.is_none() { NO_STRATEGY } else { update.strategy };
                let id = Some(update.instrument);
                self.note(Reason::Verdict as u16, strategy, id, 12, 255, breach as i64, 0, out);
                self.tick_control(Scope::Account, account.0);
            }
        }
    }

    pub(crate) fn on_cancel_reject(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let (Ok(reject), Some(_)) = (frame.body::<CancelReject>(), self.session_of(frame.header.src)) else {
            return self.bad_frame();
        };
        self.ts_cause = reject.ts_recv;
        let update = self.orders.on_cancel_reject(&reject, self.now);
        self.counters.cancel_rejects += 1;
        self.leg_waits(&update, true);
        self.on_update(&update, out);
    }

    pub(crate) fn on_sent(&mut self, frame: &Frame<'_>) {
        let Ok(sent) = frame.body::<Sent>() else { return self.bad_frame() };
        self.orders.on_sent(&sent, self.now);
        self.counters.sent += 1;
    }

    /// The gateway's own gate refused a command. Its kill word and a store that cannot be written stop all trading.
    pub(crate) fn on_not_sent(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let Ok(not_sent) = frame.body::<NotSent>() else { return self.bad_frame() };
        let Some(why) = NotSentWhy::from_code(not_sent.why) else { return self.bad_frame() };
        self.counters.not_sent[why as usize] += 1;
        let update = self.orders.on_not_sent(&not_sent, self.now);
        let is_new = not_sent.command == CommandKind::New as u8;
        self.leg_waits(&update, !is_new);
        self.on_update(&update, out);
        // Told once per state: the gateway answers every command that was on its way in the same words.
        let stops = matches!(why, NotSentWhy::Killed | NotSentWhy::Storage);
        if stops && self.runners.iter().any(|r| self.risk.state(r.id, r.account) != TradingState::Halted) {
            self.halt_all(Reason::Operator, 22, i64::from(not_sent.why), 0, out);
        }
    }

    pub(crate) fn on_message_reject(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let Ok(reject) = frame.body::<MessageReject>() else { return self.bad_frame() };
        self.ts_cause = reject.ts_recv;
        self.counters.message_rejects += 1;
        if reject.level == UNREADABLE {
            return self.on_unreadable(&reject, frame.header.src, out);
        }
        let update = self.orders.on_message_reject(&reject, self.now);
        self.leg_waits(&update, true);
        self.on_update(&update, out);
    }

    /// A report of the venue that the gateway could not read, and that may have been a fill: nothing new is sent on the
    /// session until the venue has been asked how everything stands.
    #[cold]
    fn on_unreadable(&mut self, reject: &MessageReject, src: SourceId, out: &mut Outbox) {
        let Some(idx) = self.session_of(src) else { return self.bad_frame() };
        self.counters.unreadable_reports += 1;
        let (strategy, id) = match self.orders.get(reject.cl_ord_id) {
            Some(order) => (order.strategy, Some(order.instrument)),
            None => (NO_STRATEGY, None),
        };
        let (tag, number) = (i64::from(reject.ref_tag), i64::from(reject.msg_seq_num));
        self.note(Reason::Reconcile as u16, strategy, id, 33, 255, tag, number, out);
        match self.sessions[idx].gate {
            Gate::Closed => {}
            // Asked already. Asking again for every answer that cannot be read would never end.
            Gate::Asked | Gate::Resolving => {
                self.orders.on_unreadable(reject.cl_ord_id, self.now);
            }
            Gate::Open => self.reconcile_again(idx, out),
        }
        self.touch_session(idx);
    }

    /// Messages of the venue may have been lost on a session that stayed up: closes its gate and asks how everything stands.
    fn reconcile_again(&mut self, idx: usize, out: &mut Outbox) {
        self.close_session(idx);
        self.orders.on_session_lost(self.sessions[idx].src, self.now);
        self.ask_everything(idx, out);
        self.touch_session(idx);
    }

    /// After a refusal the leg waits, so that a venue that says no is not asked again at the speed of light.
    fn leg_waits(&mut self, update: &OrderUpdate, request: bool) {
        let Some(order) = self.orders.get(update.root) else { return };
        let (leg, now, backoff) = (order.leg, self.now, self.config.exec.backoff);
        let Some(runner) = self.runners.get_mut(update.strategy.idx()) else { return };
        let binding = runner.bound.instruments.iter().position(|&id| id == update.instrument);
        if let Some(slot) = binding.and_then(|at| runner.slots.get_mut(at)) {
            if request {
                slot.on_request_refused(leg, now, backoff);
            } else {
                slot.on_refused(leg, now, backoff);
            }
        }
    }

    /// A filled leg of a quote stays out for the configured time, so that a burst of trades does not find it again at once.
    fn leg_rests(&mut self, update: &OrderUpdate) {
        let refill = self.config.exec.refill;
        let Some(order) = self.orders.get(update.root).filter(|order| refill.0 > 0 && order.state.is_dead()) else {
            return;
        };
        let (leg, now) = (order.leg, self.now);
        let Some(runner) = self.runners.get_mut(update.strategy.idx()) else { return };
        let binding = runner.bound.instruments.iter().position(|&id| id == update.instrument);
        if let Some(slot) = binding.and_then(|at| runner.slots.get_mut(at)) {
            slot.on_filled(leg, now, refill);
        }
    }

    /// Feeds risk, counts, tells the strategy, compares the two ledgers.
    fn on_update(&mut self, update: &OrderUpdate, out: &mut Outbox) {
        if update.fill.is_some() {
            self.leg_rests(update);
        }
        if update.breach.is_some() {
            self.counters.order_breaches += 1;
        }
        if update.root == ClOrdId::NONE && update.fill.is_none() {
            return;
        }
        self.feed_risk(update, out);
        if let Some(fill) = update.fill {
            self.counters.fills += 1;
            self.counters.fills_passive += u64::from(fill.maker);
            let open = update.after.is_some_and(|state| !state.is_dead());
            self.counters.fills_partial += u64::from(open);
        }
        if let Some(runner) = self.runners.get_mut(update.strategy.idx()) {
            for (binding, id) in runner.bound.instruments.iter().enumerate() {
                if *id == update.instrument {
                    runner.pending.exec |= 1 << binding;
                }
            }
        }
        self.open_gates();
    }

    pub(crate) fn on_session_status(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let (Ok(status), Some(idx)) = (frame.body::<SessionStatus>(), self.session_of(frame.header.src)) else {
            return self.bad_frame();
        };
        match SessionEvent::from_code(status.event) {
            Some(SessionEvent::Connected) => {}
            Some(SessionEvent::LoggedOn) => {
                // While it is up: numbers were reset, and with them went messages that nobody will resend.
                self.reconcile_again(idx, out);
            }
            Some(SessionEvent::Recovering) => self.sessions[idx].gap = true,
            // What filled the gap was resent, or replaced by the word that it will not be.
            Some(SessionEvent::Recovered) if self.sessions[idx].is_up() => self.reconcile_again(idx, out),
            Some(SessionEvent::Recovered) => self.sessions[idx].gap = false,
            Some(SessionEvent::LoggedOut | SessionEvent::Disconnected) => {
                self.counters.session_losses += u64::from(self.sessions[idx].is_up());
                self.close_session(idx);
                self.orders.on_session_lost(frame.header.src, self.now);
                self.touch_session(idx);
            }
            None => self.bad_frame(),
        }
    }

    /// Asks the venue for everything that is open on a session.
    fn ask_everything(&mut self, idx: usize, out: &mut Outbox) {
        let request = self.request_id();
        let session = &mut self.sessions[idx];
        (session.gate, session.request) = (Gate::Asked, request);
        session.patient = session.tries == 0;
        session.tries = session.tries.saturating_add(1);
        let dest = session.src;
        let mut command = self.request(CommandKind::MassStatus, dest, Reason::Reconcile);
        command.cl_ord_id = request;
        command.account = self.sessions[idx].account;
        // A mass status always passes the order table.
        if self.orders.on_command(&command).is_ok() {
            self.emit(&mut command, out);
        }
        let again = self.now.saturating_add(self.config.status_retry);
        self.deadlines.set(TimerClass::Reconcile, idx, Some(again));
    }

    pub(crate) fn on_reconcile_due(&mut self, idx: usize, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(idx) else { return };
        session.patient = false;
        if session.gate == Gate::Asked {
            self.ask_everything(idx, out);
        }
        for runner in self.runners.iter_mut().filter(|runner| runner.session == idx) {
            runner.dirty = u64::MAX;
        }
    }

    pub(crate) fn on_mass_status_end(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let (Ok(end), Some(idx)) = (frame.body::<MassStatusEnd>(), self.session_of(frame.header.src)) else {
            return self.bad_frame();
        };
        let session = &mut self.sessions[idx];
        if session.gate != Gate::Asked || end.request_id != session.request.0 {
            self.counters.late_mass_status += 1;
            return;
        }
        session.gate = Gate::Resolving;
        self.orders.on_mass_status_end(frame.header.src);
        self.cancel_orphans(frame.header.src, out);
        self.open_gates();
    }

    /// Orders of ours that the venue has and no strategy of this run owns: nobody would manage them, so they go.
    fn cancel_orphans(&mut self, src: SourceId, out: &mut Outbox) {
        let nobody = self.orders.foreign();
        for _ in 0..self.config.orders_max {
            let mut open = self.config.instruments.0.iter().flat_map(|i| self.orders.open(nobody, i.id));
            let Some(order) = open.find(|o| o.dest == src && o.cancel.is_none()).copied() else { return };
            drop(open);
            self.counters.orphans += 1;
            let mut command = self.about_order(&order, CommandKind::Cancel, Reason::Reconcile);
            command.cl_ord_id = self.request_id();
            command.orig_cl_ord_id = order.cl_ord_id;
            if self.orders.on_command(&command).is_err() {
                return;
            }
            self.emit(&mut command, out);
        }
    }

    /// Opens every gate behind which nothing is unknown any more.
    fn open_gates(&mut self) {
        for idx in 0..self.sessions.len() {
            let Self { sessions, orders, .. } = self;
            let session = &mut sessions[idx];
            if session.gate != Gate::Resolving
                || orders.open_all().any(|order| order.dest == session.src && order.needs_status())
            {
                continue;
            }
            (session.gate, session.patient) = (Gate::Open, false);
            let account = session.account;
            self.deadlines.set(TimerClass::Reconcile, idx, None);
            self.risk.open_gate(account);
            self.counters.gates_opened += 1;
            self.touch_session(idx);
        }
    }

    pub(crate) fn close_session(&mut self, idx: usize) {
        let session = &mut self.sessions[idx];
        session.close();
        self.risk.close_gate(session.account);
        self.deadlines.set(TimerClass::Reconcile, idx, None);
    }

    /// The account of a session became or ceased to be reconciled: every ledger field of its strategies changes.
    fn touch_session(&mut self, idx: usize) {
        for runner in self.runners.iter_mut().filter(|runner| runner.session == idx) {
            runner.pending.exec |= crate::runner::mask(runner.bound.instruments.len());
        }
    }

    /// Requests without an answer: their orders are unknown from here.
    pub(crate) fn on_outcome_due(&mut self) {
        if self.orders.on_time(self.now) > 0 {
            for idx in 0..self.sessions.len() {
                self.touch_session(idx);
            }
        }
    }

    /// Asks about every order whose fate is due to be asked for. Never resends anything.
    pub(crate) fn ask_unknown(&mut self, out: &mut Outbox) {
        // Each question moves on to the next order; the bound holds whatever reports have made of the table.
        for _ in 0..self.config.orders_max {
            let Some(order) = self.orders.status_due().copied() else { return };
            let mut command = self.about_order(&order, CommandKind::Status, Reason::Outcome);
            command.cl_ord_id = order.cl_ord_id;
            if self.orders.on_command(&command).is_err() {
                return;
            }
            // While the session is down the question is only put off: the mass status asks it when the session is back.
            if self.session_of(order.dest).is_some_and(|idx| self.sessions[idx].is_up()) {
                self.counters.status_asked += 1;
                self.emit(&mut command, out);
            }
        }
    }

    fn about_order(&self, order: &Order, kind: CommandKind, reason: Reason) -> Command {
        Command {
            root_cl_ord_id: order.root,
            px: order.px,
            order_qty: order.order_qty,
            instrument: order.instrument,
            strategy: order.strategy,
            account: order.account,
            side: order.side as u8,
            tif: order.tif,
            ord_type: tercel_event::OrdType::Limit as u8,
            flags: order.flags,
            leg: order.leg,
            ..self.request(kind, order.dest, reason)
        }
    }

    #[inline]
    fn session_of(&self, src: SourceId) -> Option<usize> {
        self.sessions.iter().position(|session| session.src == src)
    }

    /// Stops all trading: something is not as it must be.
    #[cold]
    pub(crate) fn halt_all(&mut self, reason: Reason, control: u16, value: i64, limit: i64, out: &mut Outbox) {
        self.note(reason as u16, crate::NO_STRATEGY, None, control, 255, value, limit, out);
        self.counters.reject(control);
        self.set_mode(Scope::All, 0, TradingState::Halted, out);
    }
}

impl From<tercel_order::OrderError> for Refusal {
    fn from(error: tercel_order::OrderError) -> Self {
        use tercel_order::OrderError as E;
        // C10 covers reuse of an id; everything else is a matter of form or of size.
        let control = match error {
            E::ReusedId => 10,
            E::Full => 11,
            E::UnknownOrder | E::State(_) | E::Malformed => 3,
        };
        Self { control, value: 0, limit: 0 }
    }
}
