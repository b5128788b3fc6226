//! The venue's side of the conversation: every message that says something about an order.
use crate::order::Questions;
use crate::orders::{account_key, strategy_key};
use crate::state::{Event, Next, next};
use crate::{Breach, Fill, Order, OrderState, OrderUpdate, Orders, Replaced};
use tercel_event::{CancelReject, CommandKind, ExecReport, MessageReject, NotSent, NotSentWhy, Tif, is_terminal};
use tercel_types::{AccountId, ClOrdId, Instrument, Money, Qty, Side, SourceId, StrategyId, TimeNs};

/// CxlRejReason (102) "unknown order", plus 1 as the frame carries it.
const CXL_UNKNOWN_ORDER: u8 = 2;

/// Which of our messages an answer is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    New,
    Cancel,
    Replace,
    /// A request that has been settled.
    Past,
}

impl Orders {
    /// One ExecutionReport, whatever its ExecType; `source` is the session it came on.
    pub fn on_exec_report(&mut self, report: &ExecReport, source: SourceId, now: TimeNs) -> OrderUpdate {
        let mut update = OrderUpdate { instrument: report.instrument, ..OrderUpdate::default() };
        let Some(side) = Side::from_u8(report.side) else {
            self.breach(&mut update, Breach::Malformed);
            return update;
        };
        let quantities = [report.last_qty, report.cum_qty, report.leaves_qty, report.order_qty];
        if quantities.iter().any(|qty| qty.0 < 0) || self.instruments.get(report.instrument).is_none() {
            self.breach(&mut update, Breach::Malformed);
            return update;
        }
        let is_fill = matches!(report.exec_type, b'F' | b'1' | b'2') && report.last_qty.0 > 0;
        let once = report.exec_type != b'I' && !report.exec_id.is_empty();
        #[cfg(test)]
        let once = once && self.defect != Some(crate::orders::Defect::CountsTwice);
        if once && !self.exec_ids.insert(source, report.exec_id) {
            self.counters.duplicates += 1;
            update.duplicate = true;
            return update;
        }
        let found = self.find(report.cl_ord_id).or_else(|| self.find(report.orig_cl_ord_id));
        let found = found.or_else(|| self.find_by_order_id(source, &report.order_id));
        let slot = match found {
            Some(slot) => slot,
            None => match self.adopt(report, side, source, now, is_fill, &mut update) {
                Some(slot) => slot,
                None => return update,
            },
        };
        let order = &self.slots[slot as usize];
        describe(&mut update, order);
        if order.instrument != report.instrument || order.side != side {
            let (strategy, account) = (order.strategy, order.account);
            // The venue's word on what was traded stands; whose state it is does not follow.
            self.breach(&mut update, Breach::Identity);
            if is_fill {
                update.instrument = report.instrument;
                update.side = Some(side);
                update.fill = self.count_fill(report, side, strategy, account, &mut update);
            }
            return update;
        }
        let revived = order_lives(&self.slots[slot as usize], report);
        if revived {
            self.revive(slot, report, &mut update);
        }
        let order = &mut self.slots[slot as usize];
        if order.order_id.is_empty() && !report.order_id.is_empty() {
            order.order_id = report.order_id;
        }
        order.venue_cum_qty = order.venue_cum_qty.max(report.cum_qty);
        #[cfg(test)]
        if self.defect == Some(crate::orders::Defect::IgnoresMissingFills) {
            order.venue_cum_qty = order.cum_qty;
        }
        match report.exec_type {
            _ if is_fill => self.filled(slot, report, side, &mut update),
            _ if revived => self.restate(slot, report, &mut update),
            b'0' => {
                order.acked = true;
                self.step(slot, Event::Ack, report.poss_dup != 0, &mut update);
            }
            b'4' => self.finish(slot, OrderState::Canceled, &mut update),
            b'C' => self.finish(slot, OrderState::Expired, &mut update),
            // The end of a day order; one that outlives the day rests until the next.
            b'3' => {
                if let Some(end) = self.end_of(slot, b'3') {
                    self.finish(slot, end, &mut update);
                }
            }
            b'8' => self.refused(slot, report.cl_ord_id, OrderState::Rejected, &mut update),
            b'5' => self.replaced(slot, report, &mut update),
            b'I' => self.status(slot, report, &mut update),
            b'D' => {
                self.breach(&mut update, Breach::Restated);
                self.restate(slot, report, &mut update);
                if let Some(end) = self.end_of(slot, report.ord_status) {
                    self.finish(slot, end, &mut update);
                }
            }
            b'H' => self.breach(&mut update, Breach::TradeBusted),
            b'G' => self.breach(&mut update, Breach::TradeCorrected),
            // Pending new, cancel and replace are promises, not outcomes.
            b'A' | b'6' | b'E' => {}
            _ => self.breach(&mut update, Breach::Malformed),
        }
        let order = &mut self.slots[slot as usize];
        if revived && order.state.is_open() {
            // Two words against each other: only an answer to a question decides.
            order.state = OrderState::Unknown;
        }
        self.settle(slot, now, &mut update);
        update
    }

    /// OrderCancelReject: the end of a cancel or replace request.
    pub fn on_cancel_reject(&mut self, reject: &CancelReject, now: TimeNs) -> OrderUpdate {
        let mut update = OrderUpdate::default();
        let found = self.find(reject.cl_ord_id).or_else(|| self.find(reject.orig_cl_ord_id));
        let Some(slot) = found else {
            self.breach(&mut update, Breach::UnknownOrder);
            return update;
        };
        let gone = reject.reason == CXL_UNKNOWN_ORDER || is_terminal(reject.ord_status);
        describe(&mut update, &self.slots[slot as usize]);
        let about = self.about(slot, reject.cl_ord_id);
        self.request_refused(slot, about, gone, &mut update);
        self.settle(slot, now, &mut update);
        update
    }

    /// The gateway did not write a command: as if it had never been asked.
    pub fn on_not_sent(&mut self, not_sent: &NotSent, now: TimeNs) -> OrderUpdate {
        let mut update = OrderUpdate::default();
        if not_sent.command == CommandKind::Status as u8 || not_sent.command == CommandKind::MassStatus as u8 {
            return update; // asked again when its time comes
        }
        let Some(slot) = self.find(not_sent.cl_ord_id) else { return update };
        describe(&mut update, &self.slots[slot as usize]);
        let gone = not_sent.why == NotSentWhy::UnknownOrder as u8;
        match self.about(slot, not_sent.cl_ord_id) {
            About::New if self.slots[slot as usize].acked => self.breach(&mut update, Breach::State),
            About::New => self.finish(slot, OrderState::Rejected, &mut update),
            about => self.request_refused(slot, about, gone, &mut update),
        }
        self.settle(slot, now, &mut update);
        update
    }

    /// Session Reject (3) or BusinessMessageReject (j) of a message of ours: it was not processed.
    pub fn on_message_reject(&mut self, reject: &MessageReject, now: TimeNs) -> OrderUpdate {
        let mut update = OrderUpdate::default();
        let Some(slot) = self.find(reject.cl_ord_id) else { return update };
        if reject.ref_msg_type == b'H' {
            return update; // a refused status question proves nothing
        }
        describe(&mut update, &self.slots[slot as usize]);
        match self.about(slot, reject.cl_ord_id) {
            About::New if self.slots[slot as usize].acked => self.breach(&mut update, Breach::MessageRefused),
            About::New => self.finish(slot, OrderState::Rejected, &mut update),
            about => self.request_refused(slot, about, false, &mut update),
        }
        self.settle(slot, now, &mut update);
        update
    }

    /// The peer said something about the order that could not be read: it is `Unknown` until a status shows it.
    pub fn on_unreadable(&mut self, id: ClOrdId, now: TimeNs) -> bool {
        let Some(slot) = self.find(id) else { return false };
        let root = self.slots[slot as usize].root;
        self.lose(now, |order| order.root == root) > 0
    }

    /// The end that the venue's word means for this order: done for the day ends only what does not outlive the day.
    fn end_of(&self, slot: u32, ord_status: u8) -> Option<OrderState> {
        let outlives = self.slots[slot as usize].tif == Tif::Gtc as u8 || self.slots[slot as usize].adopted;
        match ord_status {
            b'3' if !outlives => Some(OrderState::Expired),
            status => final_state(status),
        }
    }

    /// An order that was taken for dead and that the venue shows live: open again, and unknown until the venue is asked. To
    /// risk it is a new order, as one taken in.
    #[cold]
    fn revive(&mut self, slot: u32, report: &ExecReport, update: &mut OrderUpdate) {
        self.exhume(slot);
        let order = &mut self.slots[slot as usize];
        order.state = OrderState::Unknown;
        order.acked = true;
        order.final_state = None;
        (order.cancel, order.replace) = (None, None);
        order.status_from = TimeNs::MIN;
        order.questions = Questions::NONE;
        order.order_qty = order.order_qty.max(Qty(report.cum_qty.0.saturating_add(report.leaves_qty.0)));
        update.before = Some(OrderState::Unknown);
        update.adopted = true;
        self.counters.revived += 1;
        self.breach(update, Breach::State);
    }

    fn about(&self, slot: u32, id: ClOrdId) -> About {
        let order = &self.slots[slot as usize];
        if order.cancel.is_some_and(|request| request.cl_ord_id == id) {
            About::Cancel
        } else if order.replace.is_some_and(|request| request.cl_ord_id == id) {
            About::Replace
        } else if order.root == id {
            About::New
        } else {
            About::Past
        }
    }

    /// One fill. Positions first: whatever the state machine says, what was traded was traded.
    fn filled(&mut self, slot: u32, report: &ExecReport, side: Side, update: &mut OrderUpdate) {
        let order = &self.slots[slot as usize];
        let (strategy, account) = (order.strategy, order.account);
        let cum_qty = Qty(order.cum_qty.0.saturating_add(report.last_qty.0));
        if report.exec_id.is_empty() && cum_qty > report.cum_qty {
            // Without an ExecID only CumQty can tell a repetition.
            self.counters.duplicates += 1;
            update.duplicate = true;
            return;
        }
        update.fill = self.count_fill(report, side, strategy, account, update);
        let order = &mut self.slots[slot as usize];
        order.cum_qty = cum_qty;
        order.acked = true;
        let (venue_cum_qty, was_dead) = (order.venue_cum_qty, order.state.is_dead());
        let order_qty = order.replace.map_or(order.order_qty, |replace| replace.order_qty.max(order.order_qty));
        if cum_qty > order_qty {
            self.breach(update, Breach::Overfill);
        }
        if cum_qty > venue_cum_qty {
            self.breach(update, Breach::CumBelow);
        }
        if was_dead {
            self.breach(update, Breach::LateFill);
            return;
        }
        let end = self.slots[slot as usize].final_state.or_else(|| self.end_of(slot, report.ord_status));
        let order = &mut self.slots[slot as usize];
        if let Some(end) = end {
            self.finish(slot, end, update);
        } else if cum_qty < order.order_qty {
            self.missing(slot, update);
            self.step(slot, Event::PartFill, report.poss_dup != 0, update);
        } else if report.leaves_qty.0 > 0 {
            // The venue shows more than we knew of: what it says is live is live.
            order.order_qty = Qty(cum_qty.0.saturating_add(report.leaves_qty.0));
            update.replaced = Some(Replaced { accepted: true, px: order.px, order_qty: order.order_qty });
            self.breach(update, Breach::Restated);
            self.step(slot, Event::PartFill, report.poss_dup != 0, update);
        } else {
            self.finish(slot, OrderState::Filled, update);
        }
    }

    /// Counts a fill for the strategy and the account.
    fn count_fill(
        &mut self,
        report: &ExecReport,
        side: Side,
        strategy: StrategyId,
        account: AccountId,
        update: &mut OrderUpdate,
    ) -> Option<Fill> {
        let instrument = self.instruments.get(report.instrument)?;
        let fill = Fill {
            side,
            px: report.last_px,
            qty: report.last_qty,
            fee: fee(instrument, report),
            maker: report.liquidity == 1,
        };
        let at = self.cell(strategy, report.instrument)?;
        let account_at = self.account_cell(account, report.instrument)?;
        let mut counted = true;
        for (position, key) in [
            (&mut self.positions[at], strategy_key(at)),
            (&mut self.account_positions[account_at], account_key(account_at)),
        ] {
            let before = position.digest(key);
            counted &= position.apply(instrument, &fill);
            self.positions_digest = self.positions_digest.wrapping_sub(before).wrapping_add(position.digest(key));
        }
        if !counted {
            self.breach(update, Breach::Malformed);
        }
        Some(fill)
    }

    /// The venue's count of fills is above ours: alarmed, never made up for.
    fn missing(&mut self, slot: u32, update: &mut OrderUpdate) -> bool {
        let missing = self.slots[slot as usize].missing_qty().0 > 0;
        if missing {
            self.breach(update, Breach::MissingFill);
        }
        missing
    }

    /// The venue says the order is dead. It is so here too once every fill has been seen; until then it is `Unknown`.
    fn finish(&mut self, slot: u32, end: OrderState, update: &mut OrderUpdate) {
        let order = &self.slots[slot as usize];
        if order.state.is_dead() {
            if order.state != end {
                self.breach(update, Breach::State);
            }
            self.missing(slot, update);
            return;
        }
        if self.missing(slot, update) {
            let order = &mut self.slots[slot as usize];
            order.final_state = Some(end);
            if order.state != OrderState::Unknown {
                order.status_from = TimeNs::MIN;
                self.step(slot, Event::Lost, false, update);
            }
            return;
        }
        let order = &mut self.slots[slot as usize];
        order.final_state = None;
        let event = match end {
            OrderState::Filled => Event::Fill,
            // A venue that has purged an order that had traded calls it unknown; what traded remains.
            OrderState::Rejected if order.cum_qty.0 == 0 => Event::Reject,
            OrderState::Rejected if order.state == OrderState::Unknown => Event::CancelAck,
            OrderState::Rejected => Event::Reject,
            OrderState::Expired => Event::Expire,
            _ => Event::CancelAck,
        };
        self.step(slot, event, false, update);
        let order = &mut self.slots[slot as usize];
        if order.state.is_dead() {
            order.cancel = None;
            order.replace = None;
        }
    }

    /// ExecType 8: of the order itself, or of a request where the venue answers so.
    fn refused(&mut self, slot: u32, id: ClOrdId, end: OrderState, update: &mut OrderUpdate) {
        match self.about(slot, id) {
            about @ (About::Cancel | About::Replace) => self.request_refused(slot, about, false, update),
            About::New | About::Past => self.finish(slot, end, update),
        }
    }

    /// A cancel or replace request came to nothing. `gone`: the venue says that the order itself is not live.
    fn request_refused(&mut self, slot: u32, about: About, gone: bool, update: &mut OrderUpdate) {
        let order = &mut self.slots[slot as usize];
        let event = match about {
            About::Cancel => {
                order.cancel = None;
                Event::CancelRej
            }
            About::Replace => {
                order.replace = None;
                update.replaced = Some(Replaced { accepted: false, px: order.px, order_qty: order.order_qty });
                Event::ReplaceRej
            }
            About::New | About::Past => {
                self.counters.late_answers += 1;
                return;
            }
        };
        let was_dead = order.state.is_dead();
        self.step(slot, event, false, update);
        if gone && !was_dead && self.slots[slot as usize].state != OrderState::Unknown {
            // It is not live, but how it ended has not been shown.
            self.slots[slot as usize].status_from = TimeNs::MIN;
            self.step(slot, Event::Lost, false, update);
        }
    }

    fn replaced(&mut self, slot: u32, report: &ExecReport, update: &mut OrderUpdate) {
        let order = &mut self.slots[slot as usize];
        if order.state.is_dead() {
            self.breach(update, Breach::State);
            return;
        }
        let Some(request) = order.replace.filter(|request| request.cl_ord_id == report.cl_ord_id) else {
            self.breach(update, Breach::Restated);
            self.restate(slot, report, update);
            return;
        };
        order.replace = None;
        order.acked = true;
        order.cl_ord_id = request.cl_ord_id;
        order.px = if report.has_px != 0 { report.px } else { request.px };
        order.order_qty = if report.order_qty.0 > 0 { report.order_qty } else { request.order_qty };
        update.replaced = Some(Replaced { accepted: true, px: order.px, order_qty: order.order_qty });
        let done = order.cum_qty >= order.order_qty;
        match self.end_of(slot, report.ord_status) {
            Some(end) => self.finish(slot, end, update),
            None if done => self.finish(slot, OrderState::Filled, update),
            None => {
                self.missing(slot, update);
                self.step(slot, Event::ReplaceAck, report.poss_dup != 0, update);
            }
        }
    }

    /// The venue's own price and quantity of a live order, taken over.
    fn restate(&mut self, slot: u32, report: &ExecReport, update: &mut OrderUpdate) {
        let order = &mut self.slots[slot as usize];
        let px = if report.has_px != 0 { report.px } else { order.px };
        let order_qty = if report.order_qty.0 > 0 { report.order_qty } else { order.order_qty };
        if order.state.is_open() && (px, order_qty) != (order.px, order.order_qty) {
            (order.px, order.order_qty) = (px, order_qty);
            update.replaced = Some(Replaced { accepted: true, px, order_qty });
            if update.breach.is_none() {
                self.breach(update, Breach::Restated);
            }
        }
    }

    /// ExecType I: how the order stands, as an answer to a question of ours.
    fn status(&mut self, slot: u32, report: &ExecReport, update: &mut OrderUpdate) {
        if let Some(end) = self.end_of(slot, report.ord_status) {
            return self.finish(slot, end, update);
        }
        let order = &mut self.slots[slot as usize];
        if order.state.is_dead() {
            // The question crossed the report that ended the order.
            self.counters.late_answers += 1;
            return;
        }
        order.acked |= report.ord_status != b'A';
        // A request made before the question has been processed by now, or never arrived, unless the venue says "pending".
        let old = report.poss_dup != 0;
        let settled_up_to = if old { TimeNs::MIN } else { order.questions.answer() };
        #[cfg(test)]
        let settled_up_to =
            if self.defect == Some(crate::orders::Defect::AnyAnswerSettles) { TimeNs::MAX } else { settled_up_to };
        let before = |ts: TimeNs| ts < settled_up_to;
        if order.cancel.is_some_and(|request| before(request.ts)) && report.ord_status != b'6' {
            order.cancel = None;
        }
        if let Some(request) = order.replace
            && before(request.ts)
            && report.ord_status != b'E'
        {
            let accepted = report.cl_ord_id == request.cl_ord_id;
            order.replace = None;
            if accepted {
                order.cl_ord_id = request.cl_ord_id;
                (order.px, order.order_qty) = (request.px, request.order_qty);
            }
            update.replaced = Some(Replaced { accepted, px: order.px, order_qty: order.order_qty });
        }
        if !old && self.slots[slot as usize].replace.is_none() {
            self.restate(slot, report, update);
        }
        self.missing(slot, update);
        self.step(slot, Event::Status, old, update);
    }

    /// The table's word. `old`: the message is a repetition (PossDup) and proves nothing about now.
    fn step(&mut self, slot: u32, event: Event, old: bool, update: &mut OrderUpdate) {
        let order = &mut self.slots[slot as usize];
        match next(order.state, event) {
            Next::To(state) => order.state = state,
            Next::Live if old && order.state == OrderState::Unknown => {}
            Next::Live => order.state = order.live_state(),
            Next::Breach => self.breach(update, Breach::State),
        }
    }

    /// After a change: sums, lists, and what the core must know.
    fn settle(&mut self, slot: u32, now: TimeNs, update: &mut OrderUpdate) {
        let after = self.slots[slot as usize].state;
        update.after = Some(after);
        self.recount(slot, now);
        if update.before.is_some_and(OrderState::is_open) && after.is_dead() {
            update.released = true;
            self.bury(slot);
        }
    }

    /// A report of an order that is not in the table. One of ours that may live is taken in, so that it can be cancelled; a
    /// fill counts for the account whoever's it is.
    #[cold]
    fn adopt(
        &mut self,
        report: &ExecReport,
        side: Side,
        source: SourceId,
        now: TimeNs,
        is_fill: bool,
        update: &mut OrderUpdate,
    ) -> Option<u32> {
        let account =
            self.config.sessions.iter().find(|(session, _)| *session == source).map(|(_, account)| *account)?;
        let root = if report.orig_cl_ord_id.is_none() { report.cl_ord_id } else { report.orig_cl_ord_id };
        let live = !is_terminal(report.ord_status) && !matches!(report.exec_type, b'4' | b'8' | b'C');
        let strategy = self.foreign();
        if root.is_none() || !(live || is_fill) {
            if is_fill {
                (update.strategy, update.account, update.side) = (strategy, account, Some(side));
                self.breach(update, Breach::UnknownOrder);
                update.fill = self.count_fill(report, side, strategy, account, update);
            } else if root.is_none() {
                self.counters.foreign_reports += 1;
            } else {
                self.counters.unknown_reports += 1;
            }
            return None;
        }
        let known_before = Qty((report.cum_qty.0 - if is_fill { report.last_qty.0 } else { 0 }).max(0));
        let order = Order {
            cl_ord_id: if matches!(report.exec_type, b'6' | b'E') { root } else { report.cl_ord_id },
            order_id: report.order_id,
            strategy,
            account,
            instrument: report.instrument,
            dest: source,
            side,
            px: if report.has_px != 0 { report.px } else { report.last_px },
            order_qty: report.order_qty.max(Qty(report.cum_qty.0.saturating_add(report.leaves_qty.0))),
            // What filled before is the venue's past, not a fill of ours: it is never booked from here.
            cum_qty: known_before,
            venue_cum_qty: known_before,
            state: OrderState::Unknown,
            acked: true,
            sent: true,
            adopted: true,
            ..Order::blank(root, now)
        };
        let Some(slot) = self.place(order) else {
            self.breach(update, Breach::TableFull);
            if is_fill {
                (update.strategy, update.account, update.side) = (strategy, account, Some(side));
                update.fill = self.count_fill(report, side, strategy, account, update);
            }
            return None;
        };
        if report.cl_ord_id != root && !report.cl_ord_id.is_none() {
            self.add_id(slot, report.cl_ord_id);
        }
        self.attach_new(slot, now);
        self.counters.adopted += 1;
        update.adopted = true;
        self.breach(update, Breach::UnknownOrder);
        Some(slot)
    }
}

fn describe(update: &mut OrderUpdate, order: &Order) {
    update.root = order.root;
    update.strategy = order.strategy;
    update.account = order.account;
    update.instrument = order.instrument;
    update.side = Some(order.side);
    update.before = Some(order.state);
    update.after = Some(order.state);
}

/// The order is held dead, and the report, not a repetition nor older than what has been counted, shows it live.
#[inline]
fn order_lives(order: &Order, report: &ExecReport) -> bool {
    order.state.is_dead()
        && report.poss_dup == 0
        && report.leaves_qty.0 > 0
        && report.cum_qty >= order.cum_qty
        && matches!(report.exec_type, b'0' | b'5' | b'I' | b'D' | b'F' | b'1')
        && !is_terminal(report.ord_status)
}

/// The end that an OrdStatus (39) names, `None` while the order lives.
fn final_state(ord_status: u8) -> Option<OrderState> {
    match ord_status {
        b'2' => Some(OrderState::Filled),
        b'4' => Some(OrderState::Canceled),
        b'8' => Some(OrderState::Rejected),
        b'C' => Some(OrderState::Expired),
        _ => None,
    }
}

/// Commission of the report where it is given, else the instrument's rate; who does not say that he added pays as a taker.
fn fee(instrument: &Instrument, report: &ExecReport) -> Money {
    if report.has_commission != 0 {
        return Money(i128::from(report.commission));
    }
    instrument.fee(report.last_px, report.last_qty, report.liquidity == 1).unwrap_or(Money::ZERO)
}
