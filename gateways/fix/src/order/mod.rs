//! The order gateway: commands of the core out as FIX requests, the venue's answers in as frames, and a kill switch that
//! needs no core.
//!
//!   Command ──▶ gate (kill word, session, table) ──▶ Session ──▶ Sent | NotSent
//!   8 9 3 j ──▶ table ──▶ ExecReport | CancelReject | MessageReject | MassStatusEnd
//!
//! Thread      one gateway thread; the core sees only the frames.
//! Memory      table, ids and buffers are allocated by `new`; nothing grows per order.
//! Invariants  a command is answered by exactly one `Sent` or `NotSent`; under the kill word nothing but cancels and status
//!             requests leaves.
mod form;
mod inbound;
mod kill;
mod outbound;
mod sent;
mod table;
mod template;
mod trail;

pub use trail::InboundTrail;

use crate::session::{Application, Inbound, Link, Session, SessionConfig, Verdict};
use crate::stamp::{StampCache, StampReader};
use crate::store::Store;
use crate::tag::msg_type;
use form::Form;
use sent::SentRing;
use table::Table;
use template::Template;
use tercel_event::{Body, Command, CommandKind, FrameBuf, NotSent, NotSentWhy, Sent, SessionEvent, SessionStatus};
use tercel_net::{GatewayIo, Now, OrderMachine, Received};
use tercel_types::{ClOrdId, Instrument, Problem, SourceId, TimeNs};

/// ClOrdIDs of this shard are the gateway's own: cancels and mass status requests of the kill switch.
pub const KILL_SHARD: u8 = 63;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderGatewayConfig {
    pub source: SourceId,
    pub session: SessionConfig,
    /// Dense by `InstrumentId`, as the instrument master.
    pub instruments: Vec<Instrument>,
    /// Account (1) by `AccountId`; an empty text sends none.
    pub accounts: Vec<String>,
    /// Epoch of this process: part of the ids of kill cancels.
    pub epoch: u32,
    /// Orders that may be open at once.
    pub orders_max: usize,
}

impl OrderGatewayConfig {
    /// Every problem at once.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = self.session.validate();
        let mut problem = |key: &str, seen: String, allowed: &str, help: &str| {
            problems.push(Problem { key: key.into(), seen, allowed: allowed.into(), help: help.into() });
        };
        if !(1..=1_000_000).contains(&self.orders_max) {
            problem("orders_max", self.orders_max.to_string(), "1 to 1000000", "4096 suits most strategies");
        }
        for account in self.accounts.iter().filter(|a| a.bytes().any(|b| b < b' ') || a.len() > 32) {
            problem("accounts", format!("{account:?}"), "up to 32 bytes without control characters", "see the venue");
        }
        if ClOrdId::new(self.epoch, KILL_SHARD, 0).is_none() {
            problem("epoch", self.epoch.to_string(), "below 2^20", "start a new journal");
        }
        problems
    }
}

/// What the gateway refused or could not read, beside the session's own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewayCounters {
    pub sent: u64,
    pub not_sent: u64,
    pub reports: u64,
    /// Messages that could not be decoded; the venue was told, and the core where it was a report.
    pub malformed: u64,
    /// Reports and rejects that name an order which is not ours.
    pub foreign: u64,
    /// Message types that a client has no use for.
    pub unsupported: u64,
    pub kill_cancels: u64,
    /// Orders of a mass status answer that did not fit the table; a kill cannot cancel them by itself.
    pub not_tracked: u64,
}

/// What became of a command that a crash left without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The store never had it, so it never left.
    NeverStored,
    /// It was stored before sending; whether it left only the venue can tell.
    Stored { msg_seq_num: u32 },
}

/// A FIX 4.4 order gateway over any message store.
pub struct OrderGateway<S> {
    session: Session<S>,
    desk: Desk,
}

/// Everything but the session, so that the session can call it.
pub(crate) struct Desk {
    source: SourceId,
    src_seq: u64,
    instruments: Vec<Instrument>,
    /// Constant parts of a NewOrderSingle by account and instrument.
    templates: Vec<Template>,
    accounts_count: usize,
    new_form: Form<false>,
    replace_form: Form<true>,
    stamps_out: StampCache,
    table: Table,
    sent: SentRing,
    frame: FrameBuf,
    stamps: StampReader,
    kill: kill::Kill,
    mass: Option<inbound::MassAnswer>,
    counters: GatewayCounters,
}

impl<S: Store> OrderGateway<S> {
    pub fn new(config: OrderGatewayConfig, store: S) -> Self {
        // Kill cancels use the first row of templates, so there is always one.
        let accounts = if config.accounts.is_empty() { vec![String::new()] } else { config.accounts };
        let desk = Desk {
            source: config.source,
            src_seq: 0,
            templates: Template::all(&accounts, &config.instruments),
            accounts_count: accounts.len(),
            instruments: config.instruments,
            new_form: Form::new(&config.session),
            replace_form: Form::new(&config.session),
            stamps_out: StampCache::default(),
            table: Table::with_capacity(config.orders_max),
            sent: SentRing::new(),
            frame: FrameBuf::new(),
            stamps: StampReader::default(),
            kill: kill::Kill::new(config.epoch),
            mass: None,
            counters: GatewayCounters::default(),
        };
        Self { session: Session::new(config.session, store), desk }
    }

    /// Before the first connection after a restart: the number that the core's own log says comes next (`InboundTrail`).
    /// What lies between the log and the socket of the dead process is asked for again.
    pub fn expect_in(&mut self, next_in: u32) {
        self.session.link_mut().store_mut().set_next_in(next_in.max(1));
    }

    /// For a command of an earlier epoch that has neither `Sent` nor `NotSent`. Status requests are never stored: asking
    /// again does no harm.
    pub fn fate(&self, command: &Command) -> Fate {
        match self.session.link().store().find(command.cl_ord_id) {
            Some(msg_seq_num) => Fate::Stored { msg_seq_num },
            None => Fate::NeverStored,
        }
    }

    /// As `fate`, and answers a command that never left with `NotSent`.
    pub fn settle_unanswered(&mut self, command: &Command, now: Now, io: &mut dyn GatewayIo) -> Fate {
        let fate = self.fate(command);
        if fate == Fate::NeverStored {
            self.desk.not_sent(command, NotSentWhy::NeverStored, now, io);
        }
        fate
    }

    pub fn session(&self) -> &Session<S> {
        &self.session
    }

    pub fn counters(&self) -> &GatewayCounters {
        &self.desk.counters
    }

    /// Orders that the gateway holds for live or unknown.
    pub fn open_orders(&self) -> usize {
        self.desk.table.len()
    }
}

impl<S: Store> OrderMachine for OrderGateway<S> {
    fn source(&self) -> SourceId {
        self.desk.source
    }

    fn on_connected(&mut self, now: Now, io: &mut dyn GatewayIo) {
        self.session.on_connected(now, io, &mut self.desk);
    }

    fn on_received(&mut self, received: Received<'_>, now: Now, io: &mut dyn GatewayIo) {
        self.session.on_received(received, now, io, &mut self.desk);
    }

    fn on_disconnected(&mut self, now: Now, io: &mut dyn GatewayIo) {
        self.session.on_disconnected(now, io, &mut self.desk);
    }

    #[inline]
    fn on_command(&mut self, command: &Command, now: Now, io: &mut dyn GatewayIo) {
        self.desk.on_command(command, self.session.link_mut(), now, io);
    }

    fn on_time(&mut self, now: Now, io: &mut dyn GatewayIo) {
        self.session.on_time(now, io, &mut self.desk);
        self.desk.kill_on_time(self.session.link_mut(), now, io);
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        self.session.next_deadline().into_iter().chain(self.desk.kill_deadline(self.session.link())).min()
    }

    fn kill(&mut self, now: Now, io: &mut dyn GatewayIo) {
        self.desk.begin_kill(self.session.link_mut(), now, io);
    }

    fn unkill(&mut self, _now: Now) {
        self.desk.kill.end();
    }

    fn logout(&mut self, now: Now, io: &mut dyn GatewayIo) {
        self.session.logout("", now, io);
    }

    fn is_ready(&self) -> bool {
        self.session.link().is_ready()
    }
}

impl<'a, S: Store> Application<dyn GatewayIo + 'a, S> for Desk {
    fn on_message(
        &mut self,
        inbound: &Inbound<'_>,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + 'a),
    ) -> Verdict {
        match inbound.header.msg_type {
            msg_type::EXECUTION_REPORT => self.on_report(inbound, link, now, io),
            msg_type::ORDER_CANCEL_REJECT => self.on_cancel_reject(inbound, io),
            msg_type::REJECT | msg_type::BUSINESS_MESSAGE_REJECT => self.on_reject(inbound, io),
            _ => {
                self.counters.unsupported += 1;
                let reason = crate::session::business_reason::UNSUPPORTED_MSG_TYPE;
                Verdict::BusinessReject { reason, text: "Unsupported Message Type" }
            }
        }
    }

    fn on_session(&mut self, event: SessionEvent, link: &mut Link<S>, now: Now, io: &mut (dyn GatewayIo + 'a)) {
        let status = SessionStatus {
            event: event as u8,
            next_out: link.next_out(),
            next_in: link.next_in(),
            ts: now.engine,
            ..SessionStatus::default()
        };
        self.push(&status, io);
        self.sent.go_on_from(link.next_out());
        match event {
            SessionEvent::Disconnected | SessionEvent::LoggedOut => self.mass = None,
            SessionEvent::LoggedOn => self.kill_on_logon(link, now, io),
            SessionEvent::Connected | SessionEvent::Recovering | SessionEvent::Recovered => {}
        }
    }
}

impl Desk {
    #[inline]
    fn push<B: Body>(&mut self, body: &B, io: &mut (dyn GatewayIo + '_)) {
        self.src_seq += 1;
        self.frame.write(self.source, self.src_seq, 0, body, &[]);
        io.push(self.frame.bytes());
    }

    #[inline]
    fn answer_sent(&mut self, command: &Command, msg_seq_num: u32, ts_tx: TimeNs, io: &mut (dyn GatewayIo + '_)) {
        self.counters.sent += 1;
        self.sent.remember(msg_seq_num, about(command), command.kind);
        io.crash_point(if command.kind == CommandKind::MassStatus as u8 { "reconcile" } else { "after_send" });
        let sent = Sent {
            cl_ord_id: command.cl_ord_id,
            cmd_seq: command.seq,
            cmd_index: u32::from(command.index),
            msg_seq_num,
            ts_tx,
            ts_cause: command.ts_cause,
        };
        self.push(&sent, io);
    }

    #[cold]
    fn not_sent(&mut self, command: &Command, why: NotSentWhy, now: Now, io: &mut (dyn GatewayIo + '_)) {
        self.counters.not_sent += 1;
        let not_sent = NotSent {
            cl_ord_id: command.cl_ord_id,
            cmd_seq: command.seq,
            cmd_index: u32::from(command.index),
            why: why as u8,
            command: command.kind,
            reserved: 0,
            ts: now.engine,
        };
        self.push(&not_sent, io);
    }
}

/// The id by which a reject of the message is told to the core: the request, or the order that a status request asks about.
fn about(command: &Command) -> ClOrdId {
    let status = command.kind == CommandKind::Status as u8;
    if status && !command.orig_cl_ord_id.is_none() { command.orig_cl_ord_id } else { command.cl_ord_id }
}
