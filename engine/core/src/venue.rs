//! Order sessions: what gateways and venues say about our orders, and the way to a reconciled session.
use crate::deadlines::TimerClass;
use crate::session::Gate;
use crate::trade::Refusal;
use crate::{Core, Outbox};
use tercel_event::{
    CancelReject, Command, CommandKind, ExecReport, Frame, MassStatusEnd, MessageReject, NotSent, NotSentWhy, Reason,
    Scope, Sent, SessionEvent, SessionStatus, TradingState,
};
use tercel_order::{Order, OrderState, OrderUpdate};
use tercel_types::{ClOrdId, SourceId};

impl Core {
    pub(crate) fn on_exec_report(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let (Ok(report), Some(_)) = (frame.body::<ExecReport>(), self.session_of(frame.header.src)) else {
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
        self.on_update(&update, out);
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
        let update = self.orders.on_message_reject(&reject, self.now);
        self.leg_waits(&update, true);
        self.on_update(&update, out);
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

    /// Feeds risk, counts, tells the strategy, compares the two ledgers.
    fn on_update(&mut self, update: &OrderUpdate, out: &mut Outbox) {
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
                self.sessions[idx].gap = false;
                if !self.sessions[idx].is_up() {
                    self.ask_everything(idx, out);
                    self.touch_session(idx);
                }
            }
            Some(SessionEvent::Recovering) => self.sessions[idx].gap = true,
            Some(SessionEvent::Recovered) => {
                self.sessions[idx].gap = false;
                self.touch_session(idx);
            }
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
