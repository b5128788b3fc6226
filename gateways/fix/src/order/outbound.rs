//! Hot path. Commands as FIX requests: D, F, G, H, AF.
use super::Desk;
use super::template::Template;
use crate::message::SOH;
use crate::session::{Link, NotWritten, Persist, Written};
use crate::store::Store;
use crate::tag::{self, msg_type};
use crate::writer::Writer;
use tercel_event::{Command, CommandKind, NotSentWhy, OrdType, Tif};
use tercel_net::{GatewayIo, Now, SendError};
use tercel_types::{ClOrdId, Side};

/// What the gate lets through.
struct Checked {
    side: Side,
    template: usize,
}

impl Desk {
    #[inline]
    pub(super) fn on_command<S: Store>(
        &mut self,
        command: &Command,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + '_),
    ) {
        let written = match CommandKind::from_u8(command.kind) {
            Some(CommandKind::New) => self.new_order(command, link, now, io),
            Some(CommandKind::Cancel) => self.cancel(command, link, now, io),
            Some(CommandKind::Replace) => self.replace(command, link, now, io),
            Some(CommandKind::Status) => self.status(command, link, now, io),
            Some(CommandKind::MassStatus) => self.mass_status(command, link, now, io),
            Some(CommandKind::Resync) | None => Err(NotSentWhy::Unsupported),
        };
        match written {
            Ok(written) => self.answer_sent(command, written.msg_seq_num, written.ts_tx, io),
            Err(why) => self.not_sent(command, why, now, io),
        }
    }

    // Inlined into `on_command`, as `replace` is: 60 instructions of an order less than by a call.
    #[inline(always)]
    fn new_order<S: Store>(
        &mut self,
        command: &Command,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + '_),
    ) -> Result<Written, NotSentWhy> {
        self.gate(link, io)?;
        let Checked { side, template } = self.check_order(command)?;
        // In the table before the bytes leave: from here on a kill finds it.
        let slot = self.table.insert(command.cl_ord_id, command.instrument, side, command.order_qty);
        let slot = slot.ok_or(NotSentWhy::Capacity)?;
        let (number, template) = (link.next_out(), (template, &self.templates[template]));
        let written = match self.new_form.render(number, command, template, &mut self.stamps_out, now.wall) {
            Some(message) => link.send_rendered(number, message, command.cl_ord_id, now, io),
            None => send_order(command, template.1, link, now, io, false),
        };
        written.map_err(|error| {
            self.table.remove(slot);
            why(error)
        })
    }

    fn cancel<S: Store>(
        &mut self,
        command: &Command,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + '_),
    ) -> Result<Written, NotSentWhy> {
        let Checked { side, template } = self.check(command)?;
        if !link.is_logged_on() {
            return Err(NotSentWhy::SessionDown);
        }
        let template = &self.templates[template];
        let written = send_cancel(command.cl_ord_id, command.orig_cl_ord_id, side, command, template, link, now, io);
        let written = written.map_err(why)?;
        if let Some(slot) = self.table.insert(command.orig_cl_ord_id, command.instrument, side, command.order_qty) {
            self.table.set_cancel(slot, command.cl_ord_id);
        }
        Ok(written)
    }

    #[inline(always)]
    fn replace<S: Store>(
        &mut self,
        command: &Command,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + '_),
    ) -> Result<Written, NotSentWhy> {
        self.gate(link, io)?;
        let Checked { side, template } = self.check_order(command)?;
        let slot = self.table.insert(command.orig_cl_ord_id, command.instrument, side, command.order_qty);
        let slot = slot.ok_or(NotSentWhy::Capacity)?;
        let (number, template) = (link.next_out(), (template, &self.templates[template]));
        let written = match self.replace_form.render(number, command, template, &mut self.stamps_out, now.wall) {
            Some(message) => link.send_rendered(number, message, command.cl_ord_id, now, io),
            None => send_order(command, template.1, link, now, io, true),
        };
        let written = written.map_err(why)?;
        self.table.set_replace(slot, command.cl_ord_id);
        Ok(written)
    }

    fn status<S: Store>(
        &mut self,
        command: &Command,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + '_),
    ) -> Result<Written, NotSentWhy> {
        let Checked { side, template } = self.check(command)?;
        let template = &self.templates[template];
        let written = link.send(msg_type::ORDER_STATUS_REQUEST, ClOrdId::NONE, Persist::BestEffort, now, io, |w| {
            w.fixed::<{ tag::CL_ORD_ID }, _>(&super::about(command).to_ascii());
            w.raw(&template.symbol);
            w.char::<{ tag::SIDE }>(b'0' + side as u8);
            w.fixed::<{ tag::ORD_STATUS_REQ_ID }, _>(&command.cl_ord_id.to_ascii());
        });
        written.map_err(why)
    }

    fn mass_status<S: Store>(
        &mut self,
        command: &Command,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + '_),
    ) -> Result<Written, NotSentWhy> {
        self.send_mass_status(command.cl_ord_id, link, now, io).map_err(why)
    }

    pub(super) fn send_mass_status<S: Store>(
        &mut self,
        request: ClOrdId,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + '_),
    ) -> Result<Written, NotWritten> {
        let kind = msg_type::ORDER_MASS_STATUS_REQUEST;
        let written = link.send(kind, ClOrdId::NONE, Persist::BestEffort, now, io, |w| {
            w.fixed::<{ tag::MASS_STATUS_REQ_ID }, _>(&request.to_ascii());
            w.char::<{ tag::MASS_STATUS_REQ_TYPE }>(b'7');
        })?;
        self.mass = Some(super::inbound::MassAnswer::new(request));
        Ok(written)
    }

    /// Writes a cancel of the kill switch for the order in `slot`.
    pub(super) fn send_kill_cancel<S: Store>(
        &mut self,
        slot: u32,
        id: ClOrdId,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + '_),
    ) -> Result<Written, NotWritten> {
        let entry = *self.table.entry(slot);
        let terms =
            Command { order_qty: entry.order_qty, instrument: entry.instrument, ..bytemuck::Zeroable::zeroed() };
        let template = &self.templates[entry.instrument.idx()];
        let written = send_cancel(id, entry.current, entry.side, &terms, template, link, now, io)?;
        self.sent.remember(written.msg_seq_num, id, CommandKind::Cancel as u8);
        self.table.set_cancel(slot, id);
        self.counters.kill_cancels += 1;
        Ok(written)
    }

    /// Read before every order write: the gateway's own state and the word that everyone can raise.
    #[inline]
    fn gate<S: Store>(&self, link: &Link<S>, io: &(dyn GatewayIo + '_)) -> Result<(), NotSentWhy> {
        if self.kill.is_on() || io.killed() {
            Err(NotSentWhy::Killed)
        } else if !link.is_logged_on() {
            Err(NotSentWhy::SessionDown)
        } else {
            Ok(())
        }
    }

    /// Instrument, account and side exist.
    #[inline]
    fn check(&self, command: &Command) -> Result<Checked, NotSentWhy> {
        let side = Side::from_u8(command.side).ok_or(NotSentWhy::Unsupported)?;
        let (account, instrument) = (command.account.idx(), command.instrument.idx());
        if account >= self.accounts_count || instrument >= self.instruments.len() {
            return Err(NotSentWhy::Unsupported);
        }
        Ok(Checked { side, template: account * self.instruments.len() + instrument })
    }

    /// And the terms can be said in FIX.
    #[inline]
    fn check_order(&self, command: &Command) -> Result<Checked, NotSentWhy> {
        let typed = command.ord_type == OrdType::Limit as u8 || command.ord_type == OrdType::Market as u8;
        // Good-till-date needs an ExpireTime, which a command does not carry.
        let timed = Tif::from_u8(command.tif).is_some_and(|tif| tif != Tif::Gtd);
        if !typed || !timed || command.order_qty.0 <= 0 {
            return Err(NotSentWhy::Unsupported);
        }
        self.check(command)
    }
}

/// An order or replace request that fits no form.
#[cold]
fn send_order<S: Store>(
    command: &Command,
    template: &Template,
    link: &mut Link<S>,
    now: Now,
    io: &mut (dyn GatewayIo + '_),
    replace: bool,
) -> Result<Written, NotWritten> {
    let kind = if replace { msg_type::ORDER_CANCEL_REPLACE_REQUEST } else { msg_type::NEW_ORDER_SINGLE };
    link.send(kind, command.cl_ord_id, Persist::Required, now, io, |w| order_fields(w, command, template, now, replace))
}

/// The body of D and G.
pub(super) fn order_fields(w: &mut Writer, command: &Command, template: &Template, now: Now, replace: bool) {
    w.fixed::<{ tag::CL_ORD_ID }, _>(&command.cl_ord_id.to_ascii());
    if replace {
        w.fixed::<{ tag::ORIG_CL_ORD_ID }, _>(&command.orig_cl_ord_id.to_ascii());
    }
    w.raw(&template.order);
    order_terms(w, command, template, now);
}

/// Side, time, quantity, type, price and instructions: what D and G share.
fn order_terms(w: &mut Writer, command: &Command, template: &Template, now: Now) {
    w.char::<{ tag::SIDE }>(b'0' + command.side);
    w.time::<{ tag::TRANSACT_TIME }>(now.wall);
    w.decimal::<{ tag::ORDER_QTY }>(template.lot, command.order_qty.0);
    w.char::<{ tag::ORD_TYPE }>(command.ord_type);
    if command.ord_type == OrdType::Limit as u8 {
        w.decimal::<{ tag::PRICE }>(template.price_step, command.px.0);
    }
    w.char::<{ tag::TIME_IN_FORCE }>(command.tif);
    // 6: participate don't initiate; E: do not increase the position.
    match (command.flags & Command::POST_ONLY != 0, command.flags & Command::REDUCE_ONLY != 0) {
        (false, false) => {}
        (true, false) => w.char::<{ tag::EXEC_INST }>(b'6'),
        (false, true) => w.char::<{ tag::EXEC_INST }>(b'E'),
        (true, true) => w.fixed::<{ tag::EXEC_INST }, 3>(b"6 E"),
    }
}

#[expect(clippy::too_many_arguments, reason = "one message, two callers")]
fn send_cancel<S: Store>(
    id: ClOrdId,
    orig: ClOrdId,
    side: Side,
    terms: &Command,
    template: &Template,
    link: &mut Link<S>,
    now: Now,
    io: &mut (dyn GatewayIo + '_),
) -> Result<Written, NotWritten> {
    link.send(msg_type::ORDER_CANCEL_REQUEST, id, Persist::BestEffort, now, io, |w| {
        w.fixed::<{ tag::CL_ORD_ID }, _>(&id.to_ascii());
        w.fixed::<{ tag::ORIG_CL_ORD_ID }, _>(&orig.to_ascii());
        w.raw(&template.symbol);
        w.char::<{ tag::SIDE }>(b'0' + side as u8);
        w.time::<{ tag::TRANSACT_TIME }>(now.wall);
        if terms.order_qty.0 > 0 {
            w.decimal::<{ tag::ORDER_QTY }>(template.lot, terms.order_qty.0);
        }
        debug_assert!(!template.symbol[..template.symbol.len() - 1].contains(&SOH));
    })
}

#[cold]
fn why(error: NotWritten) -> NotSentWhy {
    match error {
        NotWritten::SessionDown | NotWritten::Wire(SendError::Closed | SendError::Full) => NotSentWhy::SessionDown,
        NotWritten::Storage => NotSentWhy::Storage,
        NotWritten::TooLong => NotSentWhy::Unsupported,
    }
}
