//! A venue in process: takes the engine's commands, answers with the frames that an order gateway would push. Between the
//! two lie constant latencies, or arrival points that a live run recorded.
//!
//!   commands ──(order latency | after message k)──▶ Exchange ──(report latency)──▶ ExecReport, CancelReject, …
//!   recorded messages ──────────────────────────────▶   │
//!
//! Order      Everything runs by time; at equal times the venue takes the recorded message before the request, and the
//!            engine the report before the message (the priority of its sources).
//! Memory     grows with the orders of the run.
use crate::exchange::{Cancel, Exchange, ExchangeConfig, NewOrder, Replace};
use crate::order::Terms;
use crate::report::{CancelRefused, ClientId, ClientNo, ExecType, Execution, Response};
use std::collections::{BTreeMap, VecDeque};
use tercel_event::{
    CancelReject, Command, CommandKind, ExecReport, Frame, FrameBuf, FrameError, MassStatusEnd, NotSent, NotSentWhy,
    OrdType, Sent, SessionEvent, SessionStatus, Tif,
};
use tercel_types::{Ascii, ClOrdId, DurationNs, ExecId, Instrument, OrderId, Price, Side, SourceId, TimeNs};

/// The one client of an in-process venue.
const CLIENT: ClientNo = 0;

/// Constant latencies between engine and venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// From the instant of a command to its arrival at the matcher.
    pub order: DurationNs,
    /// From an event at the venue to its frame.
    pub report: DurationNs,
    /// From the instant of a command to its `Sent` frame.
    pub sent: DurationNs,
    /// How much later than the venue the engine has a recorded message. Not above `report`.
    pub feed: DurationNs,
}

impl Default for Latency {
    fn default() -> Self {
        Self { order: DurationNs(200_000), report: DurationNs(200_000), sent: DurationNs(20_000), feed: DurationNs(0) }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct SimConfig {
    /// The source that the frames carry: the order gateway's.
    pub source: SourceId,
    pub exchange: ExchangeConfig,
    pub latency: Latency,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Session(SessionStatus),
    Sent(Sent),
    NotSent(NotSent),
    Exec(ExecReport),
    CancelReject(CancelReject),
    MassStatusEnd(MassStatusEnd),
}

#[derive(Debug)]
pub struct SimExchange {
    config: SimConfig,
    exchange: Exchange,
    /// Requests under way, by arrival.
    arriving: BTreeMap<(TimeNs, u64), Command>,
    /// Requests that arrive after a recorded message, by its number.
    placed: BTreeMap<(u64, u64), Command>,
    /// Frames under way, by the time at which the engine has them.
    due: BTreeMap<(TimeNs, u64), Body>,
    order: u64,
    src_seq: u64,
    msg_seq_num: u32,
    /// The newest venue time, below which nothing happens any more.
    now: TimeNs,
    messages: VecDeque<Response>,
}

impl SimExchange {
    /// The session is logged on at `start`. Panics when `latency.feed` is above `latency.report`: reports of a message
    /// would overtake the message.
    pub fn new(instruments: &[Instrument], config: SimConfig, start: TimeNs) -> Self {
        assert!(config.latency.feed <= config.latency.report, "feed latency above report latency");
        let mut sim = Self {
            config,
            exchange: Exchange::new(instruments, config.exchange),
            arriving: BTreeMap::new(),
            placed: BTreeMap::new(),
            due: BTreeMap::new(),
            order: 0,
            src_seq: 0,
            msg_seq_num: 1,
            now: TimeNs::MIN,
            messages: VecDeque::new(),
        };
        for event in [SessionEvent::Connected, SessionEvent::LoggedOn] {
            let status =
                SessionStatus { event: event as u8, next_out: 2, next_in: 2, ts: start, ..SessionStatus::default() };
            sim.emit(start, Body::Session(status));
        }
        sim
    }

    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Takes in one recorded message whose frame the engine has at `at`. Requests that arrive before come first.
    pub fn on_data(&mut self, frame: &Frame<'_>, at: TimeNs) -> Result<(), FrameError> {
        let mut outcome = Ok(());
        self.data(at, |exchange, now| outcome = exchange.on_frame(frame, now));
        outcome
    }

    /// As `on_data`, for a message that is not a frame: `apply` feeds it to the exchange at the venue's time.
    pub fn data(&mut self, at: TimeNs, apply: impl FnOnce(&mut Exchange, TimeNs)) {
        let venue = TimeNs(at.0.saturating_sub(self.config.latency.feed.0));
        self.arrive_before(venue);
        self.now = self.now.max(venue);
        self.exchange.expire_due(self.now);
        apply(&mut self.exchange, self.now);
        self.collect();
        let after = self.exchange.after();
        while let Some((&key, _)) = self.placed.first_key_value() {
            if key.0 > after {
                break;
            }
            if let Some(command) = self.placed.remove(&key) {
                self.request(&command);
            }
        }
    }

    /// Sends a command at engine time `at`; it arrives one order latency later. False when it is not for a venue.
    pub fn on_command(&mut self, command: &Command, at: TimeNs) -> bool {
        if !self.sent(command, at) {
            return false;
        }
        self.order += 1;
        self.arriving.insert((at.saturating_add(self.config.latency.order), self.order), *command);
        true
    }

    /// As `on_command`, but the request arrives right after recorded message number `after` (as `Execution::after` counts).
    pub fn on_command_after(&mut self, command: &Command, at: TimeNs, after: u64) -> bool {
        if !self.sent(command, at) {
            return false;
        }
        if after <= self.exchange.after() {
            self.now = self.now.max(at);
            self.request(command);
        } else {
            self.order += 1;
            self.placed.insert((after, self.order), *command);
        }
        true
    }

    /// The time of the next frame for the engine, given that the next recorded message has engine time `next_data`: lets
    /// every request arrive that precedes it.
    pub fn next_due(&mut self, next_data: TimeNs) -> Option<TimeNs> {
        self.arrive_before(TimeNs(next_data.0.saturating_sub(self.config.latency.feed.0)));
        self.due.first_key_value().map(|(key, _)| key.0)
    }

    /// Writes the next frame that is due at `now` or before into `out` and returns its time.
    pub fn pop(&mut self, now: TimeNs, out: &mut FrameBuf) -> Option<TimeNs> {
        let (&key, _) = self.due.first_key_value()?;
        if key.0 > now {
            return None;
        }
        let body = self.due.remove(&key)?;
        self.src_seq += 1;
        let (src, seq) = (self.config.source, self.src_seq);
        match body {
            Body::Session(body) => out.write(src, seq, 0, &body, &[]),
            Body::Sent(body) => out.write(src, seq, 0, &body, &[]),
            Body::NotSent(body) => out.write(src, seq, 0, &body, &[]),
            Body::Exec(body) => out.write(src, seq, 0, &body, &[]),
            Body::CancelReject(body) => out.write(src, seq, 0, &body, &[]),
            Body::MassStatusEnd(body) => out.write(src, seq, 0, &body, &[]),
        };
        Some(key.0)
    }

    fn emit(&mut self, at: TimeNs, body: Body) {
        self.order += 1;
        self.due.insert((at, self.order), body);
    }

    fn sent(&mut self, command: &Command, at: TimeNs) -> bool {
        let ts_tx = at.saturating_add(self.config.latency.sent);
        let body = match CommandKind::from_u8(command.kind) {
            None | Some(CommandKind::Resync) => return false,
            Some(_) if terms_of(command).is_none() => {
                let refused = NotSent {
                    cl_ord_id: command.cl_ord_id,
                    cmd_seq: command.seq,
                    cmd_index: u32::from(command.index),
                    why: NotSentWhy::Unsupported as u8,
                    command: command.kind,
                    reserved: 0,
                    ts: ts_tx,
                };
                self.emit(ts_tx, Body::NotSent(refused));
                return false;
            }
            Some(_) => Body::Sent(Sent {
                cl_ord_id: command.cl_ord_id,
                cmd_seq: command.seq,
                cmd_index: u32::from(command.index),
                msg_seq_num: self.msg_seq_num,
                ts_tx,
                ts_cause: command.ts_cause,
            }),
        };
        self.emit(ts_tx, body);
        true
    }

    fn arrive_before(&mut self, venue: TimeNs) {
        while let Some((&key, _)) = self.arriving.first_key_value() {
            if key.0 >= venue {
                break;
            }
            if let Some(command) = self.arriving.remove(&key) {
                self.now = self.now.max(key.0);
                self.exchange.expire_due(self.now);
                self.request(&command);
            }
        }
    }

    fn request(&mut self, command: &Command) {
        let now = self.now;
        let cl_ord_id = client_id(command.cl_ord_id);
        let orig_cl_ord_id = client_id(command.orig_cl_ord_id);
        let Some(terms) = terms_of(command) else { return };
        match CommandKind::from_u8(command.kind) {
            Some(CommandKind::New) => {
                let instrument = command.instrument;
                let new = NewOrder { cl_ord_id, account: Ascii::EMPTY, instrument, terms, expire_at: None };
                self.exchange.submit(CLIENT, new, now);
            }
            Some(CommandKind::Cancel) => self.exchange.cancel(CLIENT, Cancel { cl_ord_id, orig_cl_ord_id }, now),
            Some(CommandKind::Replace) => {
                let Terms { side, limit, qty, .. } = terms;
                self.exchange.replace(CLIENT, Replace { cl_ord_id, orig_cl_ord_id, side, limit, qty }, now);
            }
            Some(CommandKind::Status) => {
                let id = if command.orig_cl_ord_id.is_none() { cl_ord_id } else { orig_cl_ord_id };
                self.exchange.status(CLIENT, id, cl_ord_id, terms.side, now);
            }
            Some(CommandKind::MassStatus) => self.exchange.mass_status(CLIENT, cl_ord_id, now),
            Some(CommandKind::Resync) | None => {}
        }
        self.collect();
    }

    /// Puts the exchange's answers on their way.
    fn collect(&mut self) {
        while let Some(response) = self.exchange.pop() {
            self.messages.push_back(response);
        }
        while let Some(response) = self.messages.pop_front() {
            let at = response.ts().saturating_add(self.config.latency.report);
            self.msg_seq_num += 1;
            match response {
                Response::Execution(execution) => self.report(&execution, at),
                Response::CancelRefused(refused) => {
                    let body = cancel_reject(&refused, at, self.msg_seq_num);
                    self.emit(at, Body::CancelReject(body));
                }
            }
        }
    }

    fn report(&mut self, execution: &Execution, at: TimeNs) {
        if execution.mass.is_none_or(|mass| mass.orders_count > 0) {
            let body = exec_report(execution, at, self.msg_seq_num);
            self.emit(at, Body::Exec(body));
        }
        if let Some(mass) = execution.mass.filter(|mass| mass.last) {
            let request_id = ClOrdId::parse(mass.request.as_bytes()).unwrap_or(ClOrdId::NONE).0;
            let end = MassStatusEnd { request_id, orders_count: mass.orders_count, reserved: 0, ts: at };
            self.emit(at, Body::MassStatusEnd(end));
        }
    }
}

fn client_id(id: ClOrdId) -> ClientId {
    if id.is_none() { ClientId::EMPTY } else { ClientId::new(&id.to_ascii()).unwrap_or(ClientId::EMPTY) }
}

fn our_id(id: &ClientId) -> ClOrdId {
    ClOrdId::parse(id.as_bytes()).unwrap_or(ClOrdId::NONE)
}

/// `None` when an order or replace has a side, time in force or kind that FIX has no byte for.
fn terms_of(command: &Command) -> Option<Terms> {
    let order = matches!(CommandKind::from_u8(command.kind), Some(CommandKind::New | CommandKind::Replace));
    let side = match Side::from_u8(command.side) {
        Some(side) => side,
        None if order => return None,
        None => Side::Buy,
    };
    let tif = match Tif::from_u8(command.tif) {
        Some(tif) => tif,
        None if order => return None,
        None => Tif::Day,
    };
    let limit = (command.ord_type != OrdType::Market as u8).then_some(command.px);
    let post_only = command.flags & Command::POST_ONLY != 0;
    Some(Terms { side, limit, qty: command.order_qty, tif, post_only })
}

/// OrderID (37) of an order of a simulated venue.
pub fn order_id(no: u64) -> OrderId {
    numbered(b'V', no)
}

/// ExecID (17) of an execution of a simulated venue; `0` for a status report, which is no execution.
pub fn exec_id(no: u64) -> ExecId {
    if no == 0 { ExecId::new(b"0").unwrap_or_default() } else { numbered(b'E', no) }
}

fn numbered<const N: usize>(letter: u8, no: u64) -> Ascii<N> {
    let mut text = [b'0'; 11];
    text[0] = letter;
    let mut rest = no;
    for slot in text[1..].iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    Ascii::new(&text).unwrap_or_default()
}

/// TransactTime (60) has milliseconds on the wire.
fn wire_time(ts: TimeNs) -> TimeNs {
    TimeNs(ts.0 - ts.0.rem_euclid(1_000_000))
}

fn exec_report(e: &Execution, at: TimeNs, msg_seq_num: u32) -> ExecReport {
    let fill = e.exec_type == ExecType::Trade;
    ExecReport {
        cl_ord_id: our_id(&e.cl_ord_id),
        orig_cl_ord_id: our_id(&e.orig_cl_ord_id),
        px: e.px.unwrap_or(Price(0)),
        order_qty: e.order_qty,
        last_px: e.last_px,
        last_qty: e.last_qty,
        cum_qty: e.cum_qty,
        leaves_qty: e.leaves_qty,
        ts_exchange: wire_time(e.ts),
        ts_recv: at,
        instrument: e.instrument,
        side: e.side as u8,
        exec_type: e.exec_type as u8,
        ord_status: e.ord_status as u8,
        liquidity: e.liquidity,
        poss_dup: 0,
        rej_reason: e.refusal.map_or(0, |refusal| refusal.ord_rej_reason() + 1),
        mass_status: u8::from(e.mass.is_some()),
        has_px: u8::from(e.px.is_some()),
        msg_seq_num,
        commission: if fill { i64::try_from(e.commission.0).unwrap_or(i64::MAX) } else { 0 },
        has_commission: u64::from(fill),
        order_id: if e.order_no == 0 { OrderId::new(b"NONE").unwrap_or_default() } else { order_id(e.order_no) },
        exec_id: exec_id(e.exec_no),
    }
}

fn cancel_reject(r: &CancelRefused, at: TimeNs, msg_seq_num: u32) -> CancelReject {
    CancelReject {
        cl_ord_id: our_id(&r.cl_ord_id),
        orig_cl_ord_id: our_id(&r.orig_cl_ord_id),
        ts_exchange: wire_time(r.ts),
        ts_recv: at,
        ord_status: r.ord_status as u8,
        response_to: if r.replace { b'2' } else { b'1' },
        reason: r.refusal.cxl_rej_reason() + 1,
        reserved: 0,
        msg_seq_num,
    }
}

/// The engine as a backtest drives it.
pub trait EngineSide {
    type Error;

    /// The next timer of the engine.
    fn next_deadline(&self) -> Option<TimeNs>;
    /// Lets the engine act on everything due at `due`; its commands go to `commands`.
    fn on_deadline(&mut self, due: TimeNs, commands: &mut Vec<Command>) -> Result<(), Self::Error>;
    /// Gives the engine a frame at `at`; its commands go to `commands`.
    fn on_frame(&mut self, frame: &mut FrameBuf, at: TimeNs, commands: &mut Vec<Command>) -> Result<(), Self::Error>;
}

/// Runs reports and timers, earliest first and timers before reports of the same time, up to and with `until`, the engine
/// time of the next recorded message. For each message: `run_until`, `SimExchange::data`, `run_until` again, then
/// the message's frames to the engine and its commands to `SimExchange::on_command`.
pub fn run_until<E: EngineSide>(
    sim: &mut SimExchange,
    engine: &mut E,
    until: TimeNs,
    frame: &mut FrameBuf,
    commands: &mut Vec<Command>,
) -> Result<(), E::Error> {
    loop {
        let report = sim.next_due(until).filter(|&at| at <= until);
        let deadline = engine.next_deadline().filter(|&at| at <= until);
        commands.clear();
        let at = match (deadline, report) {
            (Some(deadline), report) if report.is_none_or(|report| deadline <= report) => {
                engine.on_deadline(deadline, commands)?;
                deadline
            }
            (_, Some(report)) => {
                if let Some(at) = sim.pop(report, frame) {
                    engine.on_frame(frame, at, commands)?;
                }
                report
            }
            _ => return Ok(()),
        };
        for command in commands.iter() {
            sim.on_command(command, at);
        }
    }
}
