//! The order desk: the application of the venue's FIX session. Requests go to the simulated exchange, its answers back as
//! ExecutionReport (8) and OrderCancelReject (9). Answers made while the session is down wait and leave after the next logon.
use crate::log::{RequestLine, VenueLog};
use std::collections::VecDeque;
use tercel_event::{OrdType, SessionEvent, Tif};
use tercel_fix::session::{Link, Persist, business_reason, reject_reason};
use tercel_fix::tag::{self, msg_type};
use tercel_fix::{Application, Inbound, Message, Store, Verdict, Wire, Writer, parse_stamp};
use tercel_net::Now;
use tercel_sim::{
    Cancel, CancelRefused, ClientId, ClientNo, Exchange, ExecType, Execution, NewOrder, Refusal, Replace, Response,
    Terms, exec_id, order_id,
};
use tercel_types::{Ascii, ClOrdId, Decimal, DecimalError, Instrument, Money, Price, Qty, Side};

/// The one client of the venue.
pub(crate) const CLIENT: ClientNo = 0;

/// What the desk counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeskCounters {
    pub orders: u64,
    pub cancels: u64,
    pub replaces: u64,
    pub fills: u64,
    pub rejects: u64,
    /// Requests that the desk could not read.
    pub unreadable: u64,
    /// Answers that had to wait for the session.
    pub waited: u64,
}

#[derive(Debug)]
pub(crate) struct Desk {
    pub exchange: Exchange,
    pub log: VenueLog,
    pub counters: DeskCounters,
    instruments: Vec<Instrument>,
    /// Answers that the session has not taken yet, oldest first.
    waiting: VecDeque<Response>,
    cancel_on_disconnect: bool,
}

/// A request that cannot be read, in the words of the session.
fn missing(ref_tag: u32) -> Verdict {
    Verdict::Reject {
        reason: reject_reason::REQUIRED_TAG_MISSING,
        ref_tag: Some(ref_tag),
        text: "Required tag missing",
    }
}

fn bad_value(ref_tag: u32) -> Verdict {
    Verdict::Reject {
        reason: reject_reason::VALUE_OUT_OF_RANGE,
        ref_tag: Some(ref_tag),
        text: "Value is incorrect (out of range) for this tag",
    }
}

fn bad_format(ref_tag: u32) -> Verdict {
    Verdict::Reject {
        reason: reject_reason::INCORRECT_DATA_FORMAT,
        ref_tag: Some(ref_tag),
        text: "Incorrect data format for value",
    }
}

const UNKNOWN_SECURITY: Verdict = Verdict::BusinessReject { reason: 2, text: "Unknown security" };
const UNSUPPORTED: Verdict =
    Verdict::BusinessReject { reason: business_reason::UNSUPPORTED_MSG_TYPE, text: "Unsupported Message Type" };
/// ExpireTime (126).
const EXPIRE_TIME: u32 = 126;

fn id_of(message: &Message<'_>, tag: u32) -> Result<ClientId, Verdict> {
    let text = message.get(tag).ok_or_else(|| missing(tag))?;
    match ClientId::new(text) {
        Some(id) if !id.is_empty() => Ok(id),
        _ => Err(bad_value(tag)),
    }
}

fn side_of(message: &Message<'_>) -> Result<Side, Verdict> {
    let byte = message.get_char(tag::SIDE).ok_or_else(|| missing(tag::SIDE))?;
    Side::from_u8(byte.wrapping_sub(b'0')).ok_or_else(|| bad_value(tag::SIDE))
}

/// A number of steps; `Ok(Err(()))` when the text is a number but no multiple of the step.
fn steps_of(message: &Message<'_>, tag: u32, step: Decimal) -> Result<Result<i64, ()>, Verdict> {
    let text = message.get(tag).ok_or_else(|| missing(tag))?;
    match step.count_of(text) {
        Ok(steps) => Ok(Ok(steps)),
        Err(DecimalError::OffStep) => Ok(Err(())),
        Err(_) => Err(bad_format(tag)),
    }
}

/// The body of an order or replace, and a refusal when it can be read but not accepted.
struct Body {
    terms: Terms,
    refusal: Option<Refusal>,
}

fn body_of(message: &Message<'_>, instrument: &Instrument) -> Result<Body, Verdict> {
    let side = side_of(message)?;
    let qty = steps_of(message, tag::ORDER_QTY, instrument.lot)?;
    let limit = match message.get_char(tag::ORD_TYPE).ok_or_else(|| missing(tag::ORD_TYPE))? {
        byte if byte == OrdType::Market as u8 => Ok(None),
        byte if byte == OrdType::Limit as u8 => {
            steps_of(message, tag::PRICE, instrument.price_step)?.map(|steps| Some(Price(steps)))
        }
        _ => return Err(bad_value(tag::ORD_TYPE)),
    };
    let tif = match message.get(tag::TIME_IN_FORCE) {
        None => Tif::Day,
        Some([byte]) => Tif::from_u8(*byte).ok_or_else(|| bad_value(tag::TIME_IN_FORCE))?,
        Some(_) => return Err(bad_value(tag::TIME_IN_FORCE)),
    };
    let post_only =
        message.get(tag::EXEC_INST).is_some_and(|insts| insts.split(|&b| b == b' ').any(|inst| inst == b"6"));
    let refusal = if qty.is_err() || limit.is_err() { Some(Refusal::OffStep) } else { None };
    let terms = Terms { side, limit: limit.unwrap_or(None), qty: Qty(qty.unwrap_or(0)), tif, post_only };
    Ok(Body { terms, refusal })
}

impl Desk {
    pub fn new(instruments: &[Instrument], exchange: Exchange, log: VenueLog, cancel_on_disconnect: bool) -> Self {
        Self {
            exchange,
            log,
            counters: DeskCounters::default(),
            instruments: instruments.to_vec(),
            waiting: VecDeque::new(),
            cancel_on_disconnect,
        }
    }

    fn instrument_of(&self, message: &Message<'_>) -> Result<Instrument, Verdict> {
        let symbol = message.get(tag::SYMBOL).ok_or_else(|| missing(tag::SYMBOL))?;
        let found = self.instruments.iter().find(|i| i.symbol.as_bytes() == symbol);
        found.cloned().ok_or(UNKNOWN_SECURITY)
    }

    fn log_request(&mut self, inbound: &Inbound<'_>, now: Now) {
        let message = &inbound.message;
        let text = |tag| message.get(tag).and_then(|value| core::str::from_utf8(value).ok());
        let id = |tag| message.get(tag).and_then(ClientId::new).unwrap_or(ClientId::EMPTY);
        let named = [
            ("symbol", tag::SYMBOL),
            ("side", tag::SIDE),
            ("px", tag::PRICE),
            ("order_qty", tag::ORDER_QTY),
            ("ord_type", tag::ORD_TYPE),
            ("tif", tag::TIME_IN_FORCE),
            ("exec_inst", tag::EXEC_INST),
            ("ord_status_req_id", tag::ORD_STATUS_REQ_ID),
            ("mass_status_req_id", tag::MASS_STATUS_REQ_ID),
        ];
        let mut fields = Vec::with_capacity(named.len());
        fields.extend(named.iter().filter_map(|&(key, tag)| text(tag).map(|value| (key, value))));
        let request = RequestLine {
            msg_type: core::str::from_utf8(message.msg_type()).unwrap_or("?"),
            msg_seq_num: inbound.msg_seq_num,
            cl_ord_id: id(tag::CL_ORD_ID),
            orig_cl_ord_id: id(tag::ORIG_CL_ORD_ID),
            fields: &fields,
        };
        self.log.request(CLIENT, &request, self.exchange.after(), now);
    }

    fn request(&mut self, inbound: &Inbound<'_>, now: Now) -> Result<(), Verdict> {
        let message = &inbound.message;
        match message.msg_type() {
            msg_type::NEW_ORDER_SINGLE => {
                let cl_ord_id = id_of(message, tag::CL_ORD_ID)?;
                let instrument = self.instrument_of(message)?;
                let Body { terms, refusal } = body_of(message, &instrument)?;
                let expire_at = message.get(EXPIRE_TIME).and_then(parse_stamp);
                if terms.tif == Tif::Gtd && expire_at.is_none() {
                    return Err(missing(EXPIRE_TIME));
                }
                if inbound.header.poss_resend && self.exchange.knows(CLIENT, cl_ord_id) {
                    return Ok(());
                }
                let account = message.get(tag::ACCOUNT).and_then(Ascii::new).unwrap_or_default();
                let new = NewOrder { cl_ord_id, account, instrument: instrument.id, terms, expire_at };
                self.counters.orders += 1;
                match refusal {
                    Some(refusal) => self.exchange.refuse_order(CLIENT, new, refusal, now.engine),
                    None => self.exchange.submit(CLIENT, new, now.engine),
                }
            }
            msg_type::ORDER_CANCEL_REQUEST => {
                let cl_ord_id = id_of(message, tag::CL_ORD_ID)?;
                let orig_cl_ord_id = id_of(message, tag::ORIG_CL_ORD_ID)?;
                self.counters.cancels += 1;
                self.exchange.cancel(CLIENT, Cancel { cl_ord_id, orig_cl_ord_id }, now.engine);
            }
            msg_type::ORDER_CANCEL_REPLACE_REQUEST => {
                let cl_ord_id = id_of(message, tag::CL_ORD_ID)?;
                let orig_cl_ord_id = id_of(message, tag::ORIG_CL_ORD_ID)?;
                let instrument = self.instrument_of(message)?;
                let Body { terms, refusal } = body_of(message, &instrument)?;
                let Terms { side, limit, qty, .. } = terms;
                let replace = Replace { cl_ord_id, orig_cl_ord_id, side, limit, qty };
                self.counters.replaces += 1;
                match refusal {
                    Some(refusal) => self.exchange.refuse_replace(CLIENT, &replace, refusal, now.engine),
                    None => self.exchange.replace(CLIENT, replace, now.engine),
                }
            }
            msg_type::ORDER_STATUS_REQUEST => {
                let cl_ord_id = id_of(message, tag::CL_ORD_ID)?;
                let request = message.get(tag::ORD_STATUS_REQ_ID).and_then(ClientId::new).unwrap_or_default();
                let side = side_of(message)?;
                self.exchange.status(CLIENT, cl_ord_id, request, side, now.engine);
            }
            msg_type::ORDER_MASS_STATUS_REQUEST => {
                let request = id_of(message, tag::MASS_STATUS_REQ_ID)?;
                match message.get(tag::MASS_STATUS_REQ_TYPE).ok_or_else(|| missing(tag::MASS_STATUS_REQ_TYPE))? {
                    b"7" => self.exchange.mass_status(CLIENT, request, now.engine),
                    _ => return Err(bad_value(tag::MASS_STATUS_REQ_TYPE)),
                }
            }
            _ => return Err(UNSUPPORTED),
        }
        Ok(())
    }

    /// Logs the exchange's answers and sends them, or keeps them for the next logon. Call after everything that may answer.
    pub fn answer<W: Wire + ?Sized, S: Store>(&mut self, link: &mut Link<S>, now: Now, wire: &mut W) {
        while let Some(response) = self.exchange.pop() {
            match &response {
                Response::Execution(e) if e.exec_type == ExecType::Trade => self.counters.fills += 1,
                Response::Execution(e) if e.exec_type == ExecType::Rejected => self.counters.rejects += 1,
                Response::CancelRefused(_) => self.counters.rejects += 1,
                Response::Execution(_) => {}
            }
            self.log.response(&response, &self.exchange, now);
            if !link.is_logged_on() {
                self.counters.waited += 1;
            }
            self.waiting.push_back(response);
        }
        while link.is_logged_on() {
            let Some(response) = self.waiting.pop_front() else { break };
            let kind = match &response {
                Response::Execution(_) => msg_type::EXECUTION_REPORT,
                Response::CancelRefused(_) => msg_type::ORDER_CANCEL_REJECT,
            };
            let instruments = &self.instruments;
            // Stored before it is sent: what the wire loses, the peer asks for again. A failure is in the session's counters.
            let _ = link.send(kind, ClOrdId::NONE, Persist::BestEffort, now, wire, |writer| match &response {
                Response::Execution(execution) => write_execution(writer, execution, instruments),
                Response::CancelRefused(refused) => write_refused(writer, refused),
            });
        }
    }
}

impl<W: Wire + ?Sized, S: Store> Application<W, S> for Desk {
    fn on_message(&mut self, inbound: &Inbound<'_>, link: &mut Link<S>, now: Now, wire: &mut W) -> Verdict {
        match inbound.message.msg_type() {
            msg_type::REJECT | msg_type::BUSINESS_MESSAGE_REJECT => {
                self.log.event("peer_reject", now, |line| {
                    line.int("msg_seq_num", inbound.msg_seq_num);
                });
                return Verdict::Done;
            }
            _ => {}
        }
        self.log_request(inbound, now);
        match self.request(inbound, now) {
            Ok(()) => {
                self.answer(link, now, wire);
                Verdict::Done
            }
            Err(verdict) => {
                self.counters.unreadable += 1;
                verdict
            }
        }
    }

    fn on_session(&mut self, event: SessionEvent, link: &mut Link<S>, now: Now, wire: &mut W) {
        self.log.event("session", now, |line| {
            line.text("state", &format!("{event:?}")).text("reason", link.last_reason());
        });
        match event {
            SessionEvent::LoggedOn => self.answer(link, now, wire),
            SessionEvent::Disconnected if self.cancel_on_disconnect => {
                self.exchange.cancel_all(CLIENT, now.engine);
                self.answer(link, now, wire);
            }
            _ => {}
        }
    }
}

/// The body of an ExecutionReport; FIX 4.4 prescribes no order of fields outside groups.
fn write_execution(writer: &mut Writer, e: &Execution, instruments: &[Instrument]) {
    let Some(instrument) = instruments.iter().find(|i| i.id == e.instrument) else { return };
    match e.order_no {
        0 => writer.text::<{ tag::ORDER_ID }>(b"NONE"),
        no => writer.text::<{ tag::ORDER_ID }>(order_id(no).as_bytes()),
    }
    optional::<{ tag::CL_ORD_ID }>(writer, &e.cl_ord_id);
    optional::<{ tag::ORIG_CL_ORD_ID }>(writer, &e.orig_cl_ord_id);
    optional::<{ tag::ORD_STATUS_REQ_ID }>(writer, &e.status_request);
    if let Some(mass) = &e.mass {
        writer.text::<{ tag::MASS_STATUS_REQ_ID }>(mass.request.as_bytes());
        writer.uint::<{ tag::TOT_NUM_REPORTS }>(u64::from(mass.orders_count));
        writer.char::<{ tag::LAST_RPT_REQUESTED }>(if mass.last { b'Y' } else { b'N' });
    }
    writer.text::<{ tag::EXEC_ID }>(exec_id(e.exec_no).as_bytes());
    writer.char::<{ tag::EXEC_TYPE }>(e.exec_type as u8);
    writer.char::<{ tag::ORD_STATUS }>(e.ord_status as u8);
    if let Some(refusal) = e.refusal {
        writer.uint::<{ tag::ORD_REJ_REASON }>(u64::from(refusal.ord_rej_reason()));
    }
    optional::<{ tag::ACCOUNT }>(writer, &e.account);
    writer.text::<{ tag::SYMBOL }>(instrument.symbol.as_bytes());
    writer.char::<{ tag::SIDE }>(b'0' + e.side as u8);
    if e.order_no != 0 {
        writer.decimal::<{ tag::ORDER_QTY }>(instrument.lot, e.order_qty.0);
        writer.char::<{ tag::ORD_TYPE }>(e.ord_type as u8);
        if let Some(px) = e.px {
            writer.decimal::<{ tag::PRICE }>(instrument.price_step, px.0);
        }
        writer.char::<{ tag::TIME_IN_FORCE }>(e.tif as u8);
    }
    if e.exec_type == ExecType::Trade {
        writer.decimal::<{ tag::LAST_QTY }>(instrument.lot, e.last_qty.0);
        writer.decimal::<{ tag::LAST_PX }>(instrument.price_step, e.last_px.0);
        writer.uint::<{ tag::LAST_LIQUIDITY_IND }>(u64::from(e.liquidity));
    }
    writer.decimal::<{ tag::LEAVES_QTY }>(instrument.lot, e.leaves_qty.0);
    writer.decimal::<{ tag::CUM_QTY }>(instrument.lot, e.cum_qty.0);
    let (avg_step, avg) = average(e, instrument);
    writer.decimal::<{ tag::AVG_PX }>(avg_step, avg);
    writer.time::<{ tag::TRANSACT_TIME }>(e.ts);
    if e.exec_type == ExecType::Trade {
        let money = Decimal { mantissa: 1, scale: 12 };
        writer.decimal::<{ tag::COMMISSION }>(money, i64::try_from(e.commission.0).unwrap_or(i64::MAX));
        // Absolute, in the settlement currency.
        writer.char::<{ tag::COMM_TYPE }>(b'3');
    }
    if let Some(refusal) = e.refusal {
        writer.text::<{ tag::TEXT }>(refusal.text().as_bytes());
    }
}

fn optional<const TAG: u32>(writer: &mut Writer, id: &impl AsciiText) {
    if !id.text().is_empty() {
        writer.text::<TAG>(id.text());
    }
}

trait AsciiText {
    fn text(&self) -> &[u8];
}

impl<const N: usize> AsciiText for Ascii<N> {
    fn text(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// AvgPx (6) with six digits more than the price step, rounded half to even.
fn average(e: &Execution, instrument: &Instrument) -> (Decimal, i64) {
    let step = instrument.price_step;
    if e.cum_qty.0 == 0 {
        return (step, 0);
    }
    let fine = Decimal { mantissa: 1, scale: (step.scale + 6).min(18) };
    let up = 10i128.pow(u32::from(fine.scale - step.scale));
    let units = Money::div_half_even(e.cost * i128::from(step.mantissa) * up, i128::from(e.cum_qty.0));
    (fine, i64::try_from(units).unwrap_or(0))
}

fn write_refused(writer: &mut Writer, r: &CancelRefused) {
    match r.order_no {
        0 => writer.text::<{ tag::ORDER_ID }>(b"NONE"),
        no => writer.text::<{ tag::ORDER_ID }>(order_id(no).as_bytes()),
    }
    writer.text::<{ tag::CL_ORD_ID }>(r.cl_ord_id.as_bytes());
    writer.text::<{ tag::ORIG_CL_ORD_ID }>(r.orig_cl_ord_id.as_bytes());
    writer.char::<{ tag::ORD_STATUS }>(r.ord_status as u8);
    writer.time::<{ tag::TRANSACT_TIME }>(r.ts);
    writer.char::<{ tag::CXL_REJ_RESPONSE_TO }>(if r.replace { b'2' } else { b'1' });
    writer.uint::<{ tag::CXL_REJ_REASON }>(u64::from(r.refusal.cxl_rej_reason()));
    writer.text::<{ tag::TEXT }>(r.refusal.text().as_bytes());
}
