//! Everything outside the core, on one thread of its own: market data, the venue behind the order session, the model and the
//! operator. It plays rounds of trouble until the core has sequenced enough.
//!
//! Thread      the edge's; it may allocate, sleep and call the kernel as it likes.
use crate::setup::{FEED, MAKER, ORDERS};
use crate::tape::Tape;
use std::time::{Duration, Instant};
use tercel_event::{
    Body, Command, CommandKind, ExecReport, FeedEvent, FeedStatus, FrameBuf, FrameKind, Kill, LimitSet, Manifest, Mode,
    NotSent, NotSentWhy, ParamSet, Rearm, Scope, Sent, SessionEvent, SessionStatus, Signal, TradingState, sources,
};
use tercel_net::EdgeClock;
use tercel_ring::{Consumer, FrameProducer, Gauge};
use tercel_runtime::TscClock;
use tercel_sim::SimExchange;
use tercel_types::{AccountId, ExecId, InstrumentId, OrderId, StrategyId, TimeNs};

/// Market data frames from one round of trouble to the next.
const ROUND: u64 = 40_000;
/// Market data frames after which the log's reader falls behind, once.
const STALL_AT: u64 = 3 * ROUND;
/// Orders that the venue refuses in one burst.
const BURST: u64 = 48;
/// Requests that vanish in one round.
const LOST: u64 = 6;
/// How long the feed is silent in every fourth round: in engine time past what the strategies and the book allow.
const SILENCE: Duration = Duration::from_millis(120);
/// Market data on its way to the core, at most: what is older than this many bytes is not worth trading on.
const WINDOW: usize = 128 << 10;

/// The core's ends that the edge holds.
pub struct Rings {
    pub operator: FrameProducer,
    pub signals: FrameProducer,
    pub market: FrameProducer,
    pub orders: FrameProducer,
    pub feed_commands: Consumer<Command>,
    pub order_commands: Consumer<Command>,
}

pub struct Edge {
    rings: Rings,
    clock: TscClock,
    tape: Tape,
    sim: SimExchange,
    manifests: Vec<Manifest>,
    /// Place on the tape, and how often it was begun.
    at: usize,
    pass: u64,
    /// The next depth message is lost on its way.
    lose_depth: bool,
    session_up: bool,
    /// New orders that the venue will still refuse.
    refuse: u64,
    /// Requests that will still vanish on their way, without a word.
    lose_requests: u64,
    silent_until: Option<Instant>,
    /// Set to 1 for the log's reader to fall behind.
    stall: Gauge,
    market_frames: u64,
    /// Market data frames at which trouble began; `None` while the core warms up.
    trouble_from: Option<u64>,
    src_seq: [u64; 8],
    frame: FrameBuf,
    reply: FrameBuf,
    commands: Vec<Command>,
}

impl Edge {
    pub fn new(
        rings: Rings,
        clock: TscClock,
        tape: Tape,
        sim: SimExchange,
        manifests: Vec<Manifest>,
        stall: Gauge,
    ) -> Self {
        Self {
            rings,
            clock,
            tape,
            sim,
            manifests,
            at: 0,
            pass: 0,
            lose_depth: false,
            session_up: true,
            refuse: 0,
            lose_requests: 0,
            silent_until: None,
            stall,
            market_frames: 0,
            trouble_from: None,
            src_seq: [0; 8],
            frame: FrameBuf::new(),
            reply: FrameBuf::new(),
            commands: Vec::with_capacity(1_024),
        }
    }

    /// Plays until the core has sequenced `frames` inputs behind `armed_at`, which is 0 while the core warms up.
    /// Errors: the core did not get there in `limit`.
    pub fn play(mut self, frames: u64, seq: &Gauge, armed_at: &Gauge, limit: Duration) -> Result<(), String> {
        let end = Instant::now() + limit;
        loop {
            let armed = armed_at.get();
            if armed > 0 && seq.get() >= armed + frames {
                return Ok(());
            }
            if armed > 0 && self.trouble_from.is_none() {
                self.trouble_from = Some(self.market_frames);
            }
            let mut worked = self.answer();
            worked |= self.feed();
            if !worked {
                if Instant::now() > end {
                    return Err(format!("the core stands at input {} after {} s", seq.get(), limit.as_secs()));
                }
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    fn now(&self) -> TimeNs {
        self.clock.now().engine
    }

    // ---- market data ----

    fn feed(&mut self) -> bool {
        if self.silent_until.is_some_and(|end| Instant::now() < end) {
            return false;
        }
        let mut pushed = 0;
        while pushed < 64 && self.rings.market.used_bytes() < WINDOW {
            self.market_frame(); // may begin a silence: at most this batch still goes out
            pushed += 1;
        }
        pushed > 0
    }

    /// The next frame of the tape; behind its end it starts over with a snapshot, as after a gap.
    fn market_frame(&mut self) {
        if self.at == self.tape.len() {
            self.feed_status(FeedEvent::Gap);
            return self.rewind();
        }
        let now = self.now();
        self.src_seq[FEED.0 as usize] += 1;
        self.tape.play(self.at, self.pass, self.src_seq[FEED.0 as usize], now, &mut self.frame);
        self.at += 1;
        if self.lose_depth && self.tape.kind(self.at - 1) == Some(FrameKind::BookDelta) {
            self.lose_depth = false;
            return;
        }
        if self.sim.on_data(&self.frame.frame(), now).is_err() {
            unreachable!("the tape holds frames");
        }
        push(&mut self.rings.market, &self.frame);
        self.market_frames += 1;
        if let Some(from) = self.trouble_from {
            let since = self.market_frames - from;
            self.trouble(since % ROUND);
            if since == STALL_AT {
                self.stall.set(1);
            }
            if since % (4 * ROUND) == 36_000 {
                self.silent_until = Some(Instant::now() + SILENCE);
            }
        }
        if self.market_frames.is_multiple_of(250) {
            self.signal();
        }
    }

    fn rewind(&mut self) {
        self.feed_status(FeedEvent::Recovering);
        self.at = 0;
        self.pass += 1;
    }

    fn feed_status(&mut self, event: FeedEvent) {
        let status =
            FeedStatus { instrument: InstrumentId(0), event: event as u8, ts_recv: self.now(), ..Default::default() };
        self.src_seq[FEED.0 as usize] += 1;
        self.frame.write(FEED, self.src_seq[FEED.0 as usize], 0, &status, &[]);
        push(&mut self.rings.market, &self.frame);
    }

    // ---- trouble ----

    fn trouble(&mut self, at: u64) {
        match at {
            3_000 => self.turn_parameter(),
            6_000 => self.lose_depth = true,
            12_000 => self.session(SessionEvent::Disconnected),
            13_000 => {
                self.session(SessionEvent::Connected);
                self.session(SessionEvent::LoggedOn);
            }
            16_000 => {
                self.feed_status(FeedEvent::Gap);
                self.rewind();
            }
            20_000 => self.refuse = BURST,
            25_000 => self.lose_requests = LOST,
            28_000 => self.operator(&Kill { operator: 1, scope: Scope::All as u8, ..Default::default() }),
            29_000 => {
                let (state, scope) = (TradingState::Active as u8, Scope::All as u8);
                self.operator(&Mode { operator: 1, state, scope, ..Default::default() });
                for strategy in 0..self.manifests.len() {
                    self.operator(&Rearm { operator: 1, strategy: StrategyId(strategy as u16), reserved: 0 });
                }
            }
            33_000 => {
                let nobody = (StrategyId(u16::MAX), AccountId(u16::MAX));
                let (strategy, account) = nobody;
                let set = LimitSet { operator: 1, control: 4, strategy, account, value: 200, ..Default::default() };
                self.operator(&set);
            }
            _ => {}
        }
    }

    /// One value inside its range, which the strategy takes, and one outside, which the core refuses with a note.
    fn turn_parameter(&mut self) {
        let strategy = StrategyId(MAKER as u16);
        let params = &self.manifests[MAKER].params;
        let Some(idx) = params.iter().position(|spec| spec.name == "gamma") else { return };
        let (lo, hi, default) = (params[idx].lo, params[idx].hi, params[idx].default);
        let value = if self.pass.is_multiple_of(2) { default * 2.0 } else { default };
        for value in [value.clamp(lo, hi), hi + 1.0] {
            self.operator(&ParamSet { operator: 1, strategy, param_idx: idx as u16, value });
        }
    }

    fn operator<B: Body>(&mut self, body: &B) {
        self.src_seq[sources::OPERATOR.0 as usize] += 1;
        self.reply.write(sources::OPERATOR, self.src_seq[sources::OPERATOR.0 as usize], 0, body, &[]);
        push(&mut self.rings.operator, &self.reply);
    }

    /// A forecast that swings through zero, and is withdrawn at times.
    fn signal(&mut self) {
        self.src_seq[sources::SIGNALS.0 as usize] += 1;
        let publish_seq = self.src_seq[sources::SIGNALS.0 as usize];
        let (valid, swing) = (!publish_seq.is_multiple_of(16), (publish_seq % 9) as f64 - 4.0);
        let now = self.now();
        let body = Signal {
            valid: u32::from(valid),
            value: if valid { swing * 0.05 } else { 0.0 },
            confidence: 0.5,
            publish_seq,
            ts_features: now,
            ts_published: now,
            ..Default::default()
        };
        self.reply.write(sources::SIGNALS, publish_seq, 0, &body, &[]);
        push(&mut self.rings.signals, &self.reply);
    }

    // ---- the order session ----

    fn session(&mut self, event: SessionEvent) {
        self.session_up = event == SessionEvent::LoggedOn;
        let status = SessionStatus { event: event as u8, ts: self.now(), ..Default::default() };
        self.order_frame(&status);
    }

    fn order_frame<B: Body>(&mut self, body: &B) {
        self.src_seq[ORDERS.0 as usize] += 1;
        self.reply.write(ORDERS, self.src_seq[ORDERS.0 as usize], 0, body, &[]);
        push(&mut self.rings.orders, &self.reply);
    }

    fn answer(&mut self) -> bool {
        let mut resync = false;
        self.rings.feed_commands.drain(64, |command| resync |= command.kind == CommandKind::Resync as u8);
        if resync && self.at < self.tape.len() {
            self.rewind();
        }
        let commands = &mut self.commands;
        commands.clear();
        let taken = self.rings.order_commands.drain(1_024, |command| commands.push(*command));
        for at in 0..taken {
            let command = self.commands[at];
            self.command(&command);
        }
        // Reports that become due while the session is down wait for it, as in a resend.
        let now = self.now();
        let mut reported = false;
        self.sim.next_due(now);
        while self.session_up && self.sim.pop(now, &mut self.reply).is_some() {
            push(&mut self.rings.orders, &self.reply);
            reported = true;
        }
        resync || taken > 0 || reported
    }

    fn command(&mut self, command: &Command) {
        let now = self.now();
        if !self.session_up {
            return self.order_frame(&NotSent {
                cl_ord_id: command.cl_ord_id,
                cmd_seq: command.seq,
                cmd_index: u32::from(command.index),
                why: NotSentWhy::SessionDown as u8,
                command: command.kind,
                reserved: 0,
                ts: now,
            });
        }
        if self.lose_requests > 0 {
            self.lose_requests -= 1;
            return;
        }
        if self.refuse > 0 && command.kind == CommandKind::New as u8 {
            self.refuse -= 1;
            return self.reject(command, now);
        }
        self.sim.on_command(command, now);
    }

    fn reject(&mut self, command: &Command, now: TimeNs) {
        self.order_frame(&Sent {
            cl_ord_id: command.cl_ord_id,
            cmd_seq: command.seq,
            cmd_index: u32::from(command.index),
            msg_seq_num: 0,
            ts_tx: now,
            ts_cause: command.ts_cause,
        });
        let number = self.src_seq[ORDERS.0 as usize];
        self.order_frame(&ExecReport {
            cl_ord_id: command.cl_ord_id,
            order_qty: command.order_qty,
            px: command.px,
            has_px: 1,
            ts_exchange: now,
            ts_recv: now,
            instrument: command.instrument,
            side: command.side,
            exec_type: b'8',
            ord_status: b'8',
            rej_reason: 1,
            order_id: OrderId::new(b"NONE").unwrap_or_default(),
            exec_id: ExecId::new(format!("R{number}").as_bytes()).unwrap_or_default(),
            ..Default::default()
        });
    }
}

/// Waits for room: nothing is lost on the way to the core.
fn push(ring: &mut FrameProducer, frame: &FrameBuf) {
    while ring.push(frame.bytes()).is_err() {
        std::thread::yield_now();
    }
}
