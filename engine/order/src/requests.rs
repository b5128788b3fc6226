//! Our side of the conversation: commands as they leave, what the gateway did with them, and the passing of time.
use crate::order::Questions;
use crate::state::{Event, Next, next};
use crate::{Order, OrderError, OrderState, Orders, Request};
use tercel_event::{Command, CommandKind, Sent};
use tercel_types::{ClOrdId, Side, SourceId, TimeNs};

impl Orders {
    /// Takes a command into account before it leaves, so that every later message finds its order. A refused command has
    /// changed nothing and must not be sent. `Resync` concerns no order and always passes.
    pub fn on_command(&mut self, command: &Command) -> Result<(), OrderError> {
        match CommandKind::from_u8(command.kind) {
            Some(CommandKind::New) => self.on_new(command),
            Some(CommandKind::Replace) => self.on_request::<false>(command),
            Some(CommandKind::Cancel) => self.on_request::<true>(command),
            Some(CommandKind::Status) => self.on_status_request(command),
            Some(CommandKind::MassStatus) => {
                self.on_mass_status(command.dest, command.ts);
                Ok(())
            }
            Some(CommandKind::Resync) => Ok(()),
            None => Err(OrderError::Malformed),
        }
    }

    #[inline(never)]
    fn on_new(&mut self, command: &Command) -> Result<(), OrderError> {
        let side = Side::from_u8(command.side).ok_or(OrderError::Malformed)?;
        let known = command.strategy.idx() < self.config.strategies
            && self.account_cell(command.account, command.instrument).is_some()
            && command.order_qty.0 > 0;
        if !known {
            return Err(OrderError::Malformed);
        }
        if !self.is_unused(command.cl_ord_id) {
            return Err(OrderError::ReusedId);
        }
        let order = Order {
            strategy: command.strategy,
            account: command.account,
            instrument: command.instrument,
            dest: command.dest,
            side,
            tif: command.tif,
            flags: command.flags,
            leg: command.leg,
            parent_id: command.parent_id,
            px: command.px,
            order_qty: command.order_qty,
            state: OrderState::PendingNew,
            ..Order::blank(command.cl_ord_id, command.ts)
        };
        let slot = self.place(order).ok_or(OrderError::Full)?;
        self.newest_id = command.cl_ord_id;
        self.attach_new(slot, command.ts);
        Ok(())
    }

    /// A cancel (`IS_CANCEL`) or a replace.
    fn on_request<const IS_CANCEL: bool>(&mut self, command: &Command) -> Result<(), OrderError> {
        let slot = self.find(command.root_cl_ord_id).ok_or(OrderError::UnknownOrder)?;
        let is_unused = self.is_unused(command.cl_ord_id);
        let order = &mut self.slots[slot as usize];
        if order.state.is_dead() {
            return Err(OrderError::State(order.state));
        }
        if !is_unused {
            return Err(OrderError::ReusedId);
        }
        if !IS_CANCEL && command.order_qty.0 <= 0 {
            return Err(OrderError::Malformed);
        }
        let state = match next(order.state, if IS_CANCEL { Event::CancelReq } else { Event::ReplaceReq }) {
            Next::To(state) => state,
            Next::Live => order.live_state(),
            Next::Breach => return Err(OrderError::State(order.state)),
        };
        let request = Request {
            cl_ord_id: command.cl_ord_id,
            px: if IS_CANCEL { order.px } else { command.px },
            order_qty: if IS_CANCEL { order.order_qty } else { command.order_qty },
            ts: command.ts,
            sent: false,
        };
        *(if IS_CANCEL { &mut order.cancel } else { &mut order.replace }) = Some(request);
        #[cfg(test)]
        if self.defect == Some(crate::orders::Defect::ReservesOldOnly) && !IS_CANCEL {
            order.replace = Some(Request { order_qty: order.order_qty.min(request.order_qty), ..request });
        }
        order.state = state;
        self.newest_id = command.cl_ord_id;
        self.add_id(slot, command.cl_ord_id);
        self.recount(slot, command.ts);
        Ok(())
    }

    fn on_status_request(&mut self, command: &Command) -> Result<(), OrderError> {
        let slot = self.open_slot(command.root_cl_ord_id)?;
        self.asked(slot, command.ts);
        Ok(())
    }

    fn on_mass_status(&mut self, dest: SourceId, now: TimeNs) {
        self.for_each_open(|orders, slot| {
            if orders.slots[slot as usize].dest == dest {
                orders.asked(slot, now);
            }
        });
    }

    fn asked(&mut self, slot: u32, now: TimeNs) {
        let order = &mut self.slots[slot as usize];
        order.questions.ask(now);
        order.status_from = now.saturating_add(self.config.status_again_after);
        self.schedule(slot);
    }

    fn open_slot(&self, root: ClOrdId) -> Result<u32, OrderError> {
        let slot = self.find(root).ok_or(OrderError::UnknownOrder)?;
        match self.slots[slot as usize].state {
            state if state.is_dead() => Err(OrderError::State(state)),
            _ => Ok(slot),
        }
    }

    /// The gateway wrote a command: the wait for its answer starts now.
    pub fn on_sent(&mut self, sent: &Sent, now: TimeNs) {
        let Some(slot) = self.find(sent.cl_ord_id) else { return };
        let order = &mut self.slots[slot as usize];
        let id = sent.cl_ord_id;
        if order.root == id {
            order.sent = true;
        }
        for request in [&mut order.cancel, &mut order.replace].into_iter().flatten() {
            request.sent |= request.cl_ord_id == id;
        }
        if order.deadline != TimeNs::MAX {
            order.deadline = now.saturating_add(self.config.outcome_after);
        }
        self.schedule(slot);
    }

    /// The order session is lost: what was open on it is `Unknown`. Returns how many orders became so.
    pub fn on_session_lost(&mut self, source: SourceId, now: TimeNs) -> usize {
        self.forget_questions(|order| order.dest == source);
        self.lose(now, |order| order.dest == source)
    }

    /// A process took over: what was open is `Unknown`, on every session.
    pub fn on_epoch_start(&mut self, now: TimeNs) -> usize {
        self.forget_questions(|_| true);
        self.lose(now, |_| true)
    }

    /// A question that went down with its session is not answered by a later answer.
    fn forget_questions(&mut self, which: impl Fn(&Order) -> bool) {
        self.for_each_open(|orders, slot| {
            let order = &mut orders.slots[slot as usize];
            if which(order) {
                order.questions = Questions::NONE;
            }
        });
    }

    /// The venue has told everything it has: what it did not mention must be asked for by name.
    pub fn on_mass_status_end(&mut self, source: SourceId) {
        self.for_each_open(|orders, slot| {
            let order = &mut orders.slots[slot as usize];
            if order.dest == source && order.needs_status() {
                order.status_from = TimeNs::MIN;
                orders.schedule(slot);
            }
        });
    }

    /// Outcome timers (control C24) and repeated status questions. Returns how many orders became `Unknown`.
    pub fn on_time(&mut self, now: TimeNs) -> usize {
        if self.due.soonest() > now {
            return 0;
        }
        let lost = self.lose(now, |order| order.deadline <= now);
        self.for_each_open(|orders, slot| {
            let order = &mut orders.slots[slot as usize];
            if order.status_from <= now && order.status_from != TimeNs::MIN {
                order.status_from = TimeNs::MIN;
                orders.schedule(slot);
            }
        });
        lost
    }

    pub(crate) fn lose(&mut self, now: TimeNs, which: impl Fn(&Order) -> bool) -> usize {
        let mut lost = 0;
        self.for_each_open(|orders, slot| {
            let order = &orders.slots[slot as usize];
            if order.state == OrderState::Unknown || !which(order) {
                return;
            }
            if let Next::To(state) = next(order.state, Event::Lost) {
                orders.slots[slot as usize].state = state;
                orders.slots[slot as usize].status_from = TimeNs::MIN;
                #[cfg(test)]
                if orders.defect == Some(crate::orders::Defect::LostIsDead) {
                    orders.slots[slot as usize].state = OrderState::Canceled;
                    orders.bury(slot);
                }
                orders.recount(slot, now);
                lost += 1;
            }
        });
        self.counters.unknowns += lost as u64;
        lost
    }
}
