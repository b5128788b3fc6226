//! The world: one queue of events in virtual time, the venue, the links, and the engine process that comes and goes.
//!
//!   market (seed) ─▶ VenueCore ◀─ links with faults ─▶ OrderGateway, FeedMachine ◀─ rings ─▶ Sequencer<MemoryLog>
//!
//! Thread      one; no clock, no socket, no file. Equal options give equal runs, byte for byte.
//! Invariants  events of one time happen in the order in which they were made; a thread of the engine runs when one of its
//!             inputs is due and not before its stall ends.
use crate::disk::Disk;
use crate::engine::{Armed, Engine, FeedIn, OrderIn, Socket, copy, now_of};
use crate::judge::Judge;
use crate::links::{Pipe, delay};
use crate::options::{CRASH_POINTS, Defect, Fault, Options};
use crate::rng::Rng;
use crate::setup::{self, PATHS, START};
use crate::stats::Stats;
use crate::{market, strategies};
use std::collections::BTreeMap;
use tercel_core::{MemoryLog, Replayer};
use tercel_event::{
    Body, Chain, Command, CommandKind, ExecReport, FrameBuf, Kill, MassStatusEnd, Mode, ParamSet, Scope, Signal,
    TradingState, sources,
};
use tercel_fix::MemoryStore;
use tercel_net::{GatewayIo, OrderMachine, Received, SendError};
use tercel_types::{DurationNs, ExecId, StrategyId, TimeNs};
use tercel_venue::{ConnId, VenueCore, VenueIo, VenueLog};

const MS: i64 = 1_000_000;
const SILENCE: i64 = 1_500 * MS;
/// Items that one turn of a thread takes from one queue.
const BATCH: usize = 64;
const TRACE_LINES: usize = 4_000;
/// More events than any run needs: something goes round in circles.
const EVENTS_MAX: u64 = 3_000_000;

enum Event {
    VenueOpen(u64),
    VenueBytes(u64, Vec<u8>),
    VenueEnd(u64),
    ToOrders(u32, OrderIn),
    VenueDataOpen(u64),
    VenueDataEnd(u64),
    ToFeed(u32, FeedIn),
    Snapshot(u32),
    Fault(usize),
    /// The operator lets trading go on.
    Resume,
    Restart,
    Signal,
    FaultsEnd,
    KillAll,
}

/// What the venue did during one call.
#[derive(Default)]
struct Wires {
    now: i64,
    fix_up: bool,
    fix: Vec<Vec<u8>>,
    fix_closed: bool,
    data: Vec<(ConnId, Vec<u8>)>,
    data_closed: Vec<ConnId>,
}

impl VenueIo for Wires {
    fn data(&mut self, conn: ConnId, text: &[u8]) {
        self.data.push((conn, text.to_vec()));
    }

    fn close_data(&mut self, conn: ConnId) {
        self.data_closed.push(conn);
    }

    fn fix(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        if !self.fix_up {
            return Err(SendError::Closed);
        }
        self.fix.push(bytes.to_vec());
        Ok(TimeNs(self.now))
    }

    fn close_fix(&mut self) {
        self.fix_closed = true;
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Over the core's state, its log and the venue's log.
    pub hash: u64,
    pub stats: Stats,
    /// Empty when everything held.
    pub violations: Vec<String>,
    /// The last events, when asked for.
    pub trace: Vec<String>,
}

pub struct Sim {
    options: Options,
    rng: Rng,
    data_rng: Rng,
    now: i64,
    queue: BTreeMap<(i64, u64), Event>,
    made: u64,
    venue: VenueCore,
    wires: Wires,
    venue_conn: Option<u64>,
    pipes: BTreeMap<u64, Pipe>,
    data_pipes: BTreeMap<u64, Pipe>,
    next_conn: u64,
    /// Bytes of the order session on their way.
    flying: u64,
    engine: Option<Box<Engine>>,
    disk: Disk,
    /// While no process runs: what the last one left.
    log: MemoryLog,
    armed: Vec<Armed>,
    epoch: u32,
    restarts: Vec<u64>,
    slow: (i64, i64),
    refuse_orders_until: i64,
    refuse_data_until: i64,
    full_until: i64,
    quiet_checked: i64,
    recovered_at: Option<i64>,
    reports: u64,
    src_seq: u64,
    pub judge: Judge,
    stats: Stats,
    trace: Vec<String>,
}

/// Runs the options to their end.
pub fn run(options: &Options) -> Outcome {
    Sim::new(options.clone()).run()
}

impl Sim {
    pub fn new(options: Options) -> Self {
        let seed = options.seed;
        let recording = match options.recorded {
            true => market::recorded(),
            false => market::recording(seed, options.end.0, options.market_us),
        };
        let config = setup::venue(&options);
        let venue = VenueCore::new(&config, recording, Box::new(MemoryStore::new()), VenueLog::in_memory(), START)
            .unwrap_or_else(|error| panic!("{error}"));
        let mut sim = Self {
            rng: Rng::stream(seed, 3),
            data_rng: Rng::stream(seed, 4),
            now: START.0,
            queue: BTreeMap::new(),
            made: 0,
            venue,
            wires: Wires::default(),
            venue_conn: None,
            pipes: BTreeMap::new(),
            data_pipes: BTreeMap::new(),
            next_conn: 1,
            flying: 0,
            engine: None,
            disk: Disk::new(),
            log: MemoryLog::default(),
            armed: Vec::new(),
            epoch: 0,
            restarts: Vec::new(),
            slow: (0, 0),
            refuse_orders_until: 0,
            refuse_data_until: 0,
            full_until: 0,
            quiet_checked: 0,
            recovered_at: None,
            reports: 0,
            src_seq: 0,
            judge: Judge::default(),
            stats: Stats::default(),
            trace: Vec::new(),
            options,
        };
        sim.at(START.0, Event::Restart);
        sim.at(START.0 + 100 * MS, Event::Signal);
        for idx in 0..sim.options.faults.len() {
            sim.at(START.0 + sim.options.faults[idx].0.0, Event::Fault(idx));
        }
        sim.at(START.0 + sim.options.faults_until.0, Event::FaultsEnd);
        sim.at(START.0 + sim.options.kill_at.0, Event::KillAll);
        sim
    }

    fn at(&mut self, time: i64, event: Event) {
        self.made += 1;
        if matches!(event, Event::VenueBytes(..) | Event::ToOrders(_, OrderIn::Bytes(..))) {
            self.flying += 1;
        }
        self.queue.insert((time.max(self.now), self.made), event);
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if self.options.trace {
            if self.trace.len() >= 2 * TRACE_LINES {
                self.trace.drain(..TRACE_LINES);
            }
            let us = (self.now - START.0) / 1_000;
            self.trace.push(format!("{}.{:03} ms  {}", us / 1_000, us % 1_000, text()));
        }
    }

    fn faulty(&self) -> bool {
        self.now < START.0 + self.options.faults_until.0
    }

    /// Plays to the end, then judges.
    pub fn run(mut self) -> Outcome {
        let end = START.0 + self.options.end.0;
        // A heartbeat may be on its way at the very end; it is given the time to arrive.
        while self.step(end) || (!self.is_at_rest() && self.step(end + 500 * MS)) {
            self.stats.events += 1;
            if self.stats.events == EVENTS_MAX {
                self.judge.violations.push(format!("no progress at {} ms", (self.now - START.0) / MS));
                break;
            }
        }
        self.finish()
    }

    /// The next thing that happens, at most at `end`.
    fn step(&mut self, end: i64) -> bool {
        let engine = self.engine.as_deref();
        let dues = [
            self.queue.first_key_value().map(|((at, _), _)| *at),
            self.venue.next_deadline().map(|due| due.0),
            engine.and_then(Engine::core_due),
            engine.and_then(Engine::orders_due),
            engine.and_then(|engine| engine.feed_due(SILENCE)),
        ];
        let Some((who, due)) = dues
            .iter()
            .enumerate()
            .filter_map(|(who, due)| due.map(|due| (who, due)))
            .min_by_key(|(who, due)| (*due, *who))
        else {
            return false;
        };
        let due = due.max(self.now);
        if due > end {
            return false;
        }
        self.now = due;
        match who {
            0 => {
                if let Some((_, event)) = self.queue.pop_first() {
                    self.happen(event);
                }
            }
            1 => self.with_venue(|venue, wires| venue.on_time(TimeNs(wires.now), wires)),
            2 => self.core_turn(),
            3 => self.orders_turn(),
            _ => self.feed_turn(),
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::VenueOpen(conn) => self.venue_open(conn),
            Event::VenueBytes(conn, bytes) => {
                self.flying -= 1;
                let lost = self.pipes.get(&conn).is_none_or(|pipe| pipe.to_venue.is_lost(self.now));
                if lost || self.venue_conn != Some(conn) {
                    self.stats.order_bytes_lost += bytes.len() as u64;
                } else {
                    self.with_venue(|venue, wires| venue.fix_received(&bytes, TimeNs(wires.now), wires));
                }
            }
            Event::VenueEnd(conn) => self.venue_end(conn),
            Event::ToOrders(epoch, input) => {
                if let OrderIn::Bytes(conn, bytes) = &input {
                    self.flying -= 1;
                    if self.pipes.get(conn).is_none_or(|pipe| pipe.to_engine.is_lost(self.now)) {
                        self.stats.order_bytes_lost += bytes.len() as u64;
                        return;
                    }
                }
                if let Some(engine) = self.engine.as_mut().filter(|engine| engine.epoch == epoch) {
                    engine.order_in.push_back(input);
                }
            }
            Event::VenueDataOpen(conn) => self.venue_data_open(conn),
            Event::VenueDataEnd(conn) => {
                let now = TimeNs(self.now);
                self.venue.data_closed(conn, now);
                self.data_pipes.remove(&conn);
            }
            Event::ToFeed(epoch, input) => {
                if let FeedIn::Text(_, conn, _) | FeedIn::Pong(_, conn) = &input
                    && self.data_pipes.get(conn).is_none_or(|pipe| pipe.to_engine.is_lost(self.now))
                {
                    return;
                }
                if let Some(engine) = self.engine.as_mut().filter(|engine| engine.epoch == epoch) {
                    engine.feed_in.push_back(input);
                }
            }
            Event::Snapshot(epoch) => self.venue_snapshot(epoch),
            Event::Fault(idx) => {
                let fault = self.options.faults[idx].1;
                self.note(|| format!("fault {fault:?}"));
                self.fault(fault);
            }
            Event::Resume => self.mode(TradingState::Active),
            Event::Restart => self.start(),
            Event::Signal => self.signal(true),
            Event::FaultsEnd => self.heal(),
            Event::KillAll => {
                self.note(|| "kill".into());
                self.operate(&Kill { scope: Scope::All as u8, ..Kill::default() });
            }
        }
    }

    // ---- the venue's side ----

    fn with_venue(&mut self, call: impl FnOnce(&mut VenueCore, &mut Wires)) {
        let mut wires = core::mem::take(&mut self.wires);
        (wires.now, wires.fix_up) = (self.now, self.venue_conn.is_some());
        call(&mut self.venue, &mut wires);
        self.judge.read(self.venue.orders_text());
        for bytes in wires.fix.drain(..) {
            self.send_to_engine(bytes);
        }
        if core::mem::take(&mut wires.fix_closed)
            && let Some(conn) = self.venue_conn
        {
            // Its own reader sees the end; until then the connection counts as taken.
            self.tell_engine_end(conn);
            self.at(self.now + 20_000, Event::VenueEnd(conn));
        }
        for (conn, text) in wires.data.drain(..) {
            self.send_data(conn, text);
        }
        for conn in wires.data_closed.drain(..) {
            self.end_data(conn);
        }
        self.wires = wires;
    }

    fn order_delay(&mut self) -> i64 {
        let slow = if self.now < self.slow.1 { self.slow.0 } else { 0 };
        delay(&mut self.rng, self.options.order_us) + slow
    }

    fn send_to_engine(&mut self, bytes: Vec<u8>) {
        let Some(conn) = self.venue_conn else { return };
        let parts = self.split(bytes);
        for part in parts {
            let wait = self.order_delay();
            let Some(pipe) = self.pipes.get_mut(&conn) else { return };
            let (at, epoch) = (pipe.to_engine.arrival(self.now, wait), pipe.epoch);
            self.note(|| format!("venue sends {}", show(&part)));
            self.at(at, Event::ToOrders(epoch, OrderIn::Bytes(conn, part)));
        }
    }

    /// A write arrives in one piece or in two.
    fn split(&mut self, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
        if bytes.len() > 1 && self.rng.chance(self.options.split_per_mille) {
            let rest = bytes.split_off(1 + self.rng.below(bytes.len() as u64 - 1) as usize);
            return vec![bytes, rest];
        }
        vec![bytes]
    }

    fn tell_engine_end(&mut self, conn: u64) {
        let wait = self.order_delay();
        let Some(pipe) = self.pipes.get_mut(&conn) else { return };
        if !pipe.to_engine.silent {
            let (at, epoch) = (pipe.to_engine.arrival(self.now, wait), pipe.epoch);
            self.at(at, Event::ToOrders(epoch, OrderIn::End(conn)));
        }
    }

    fn venue_open(&mut self, conn: u64) {
        if self.venue_conn.is_some() {
            // One session, one connection: a second one is closed without a word.
            self.tell_engine_end(conn);
            return;
        }
        let Some(pipe) = self.pipes.get_mut(&conn) else { return };
        pipe.venue_open = true;
        self.venue_conn = Some(conn);
        self.with_venue(|venue, wires| venue.fix_connected(TimeNs(wires.now), wires));
    }

    fn venue_end(&mut self, conn: u64) {
        if self.venue_conn != Some(conn) {
            return;
        }
        self.note(|| format!("venue: connection {conn} ended"));
        if let Some(pipe) = self.pipes.get_mut(&conn) {
            pipe.venue_open = false;
        }
        self.tell_engine_end(conn);
        self.venue_conn = None;
        self.with_venue(|venue, wires| venue.fix_disconnected(TimeNs(wires.now), wires));
    }

    fn send_data(&mut self, conn: u64, mut text: Vec<u8>) {
        let Some(socket) = self.data_pipes.get(&conn).map(|pipe| pipe.socket) else { return };
        let mut copies = 1;
        if self.faulty() {
            if self.data_rng.chance(self.options.data_lost_per_mille) {
                self.stats.data_lost += 1;
                return;
            }
            if self.data_rng.chance(self.options.data_twice_per_mille) {
                self.stats.data_twice += 1;
                copies = 2;
            }
            if self.data_rng.chance(self.options.data_cut_per_mille) {
                self.stats.data_cut += 1;
                text.truncate(self.data_rng.below(text.len() as u64) as usize);
            }
        }
        for _ in 0..copies {
            let wait = delay(&mut self.data_rng, self.options.data_us[socket]);
            let Some(pipe) = self.data_pipes.get_mut(&conn) else { return };
            let (at, epoch) = (pipe.to_engine.arrival(self.now, wait), pipe.epoch);
            self.at(at, Event::ToFeed(epoch, FeedIn::Text(socket, conn, text.clone())));
        }
    }

    /// The connection breaks or is closed; both ends are told.
    fn end_data(&mut self, conn: u64) {
        let wait = delay(&mut self.data_rng, (10, 5_000));
        let Some(pipe) = self.data_pipes.get_mut(&conn) else { return };
        let (at, epoch, socket) = (pipe.to_engine.arrival(self.now, wait), pipe.epoch, pipe.socket);
        self.at(at, Event::ToFeed(epoch, FeedIn::End(socket, conn)));
        self.at(at + wait, Event::VenueDataEnd(conn));
    }

    fn venue_data_open(&mut self, conn: u64) {
        let Some(pipe) = self.data_pipes.get_mut(&conn) else { return };
        pipe.venue_open = true;
        let (epoch, socket, now) = (pipe.epoch, pipe.socket, TimeNs(self.now));
        self.venue.open_data(conn, PATHS[socket], now);
        let wait = delay(&mut self.data_rng, self.options.data_us[socket]);
        if let Some(pipe) = self.data_pipes.get_mut(&conn) {
            let at = pipe.to_engine.arrival(self.now, wait);
            self.at(at, Event::ToFeed(epoch, FeedIn::Opened(socket, conn)));
        }
    }

    fn venue_snapshot(&mut self, epoch: u32) {
        let fails = self.faulty() && self.data_rng.chance(self.options.snapshot_fails_per_mille);
        let body = if fails {
            self.stats.snapshots_failed += 1;
            None
        } else {
            let answer = self.venue.http("/fapi/v1/depth?symbol=BTCUSDT&limit=1000", TimeNs(self.now));
            Some(answer.body.into_bytes())
        };
        let wait = delay(&mut self.data_rng, self.options.snapshot_us);
        self.at(self.now + wait, Event::ToFeed(epoch, FeedIn::Snapshot(body)));
    }

    // ---- the engine's threads ----

    fn hop(&mut self) -> i64 {
        self.now + delay(&mut self.rng, self.options.hop_us)
    }

    fn start(&mut self) {
        if self.engine.is_some() {
            return;
        }
        self.epoch += 1;
        let armed = core::mem::take(&mut self.armed);
        match Engine::start(&self.options, &self.disk, &self.log, self.epoch, armed, self.now) {
            Ok((mut engine, recovered)) => {
                self.note(|| format!("start of epoch {}: {recovered:?}", engine.epoch));
                self.stats.unanswered += recovered.unanswered as u64;
                self.stats.never_stored += recovered.never_stored as u64;
                self.take_frames(&mut engine);
                self.engine = Some(Box::new(engine));
            }
            Err(error) => self.judge.violations.push(error),
        }
    }

    /// The process is gone; the kernel closes its connections behind what it wrote.
    fn crash(&mut self, engine: Engine, log_len: Option<usize>, armed: Option<Armed>, down: DurationNs) {
        let point = armed.and_then(|armed| CRASH_POINTS.iter().position(|point| *point == armed.point));
        self.stats.crashes[point.unwrap_or(CRASH_POINTS.len())] += 1;
        self.note(|| format!("crash {armed:?}"));
        self.disk.die();
        let own = |pipe: &Pipe| pipe.epoch == engine.epoch && !pipe.engine_closed;
        for (&conn, pipe) in self.pipes.iter_mut().filter(|(_, pipe)| own(pipe)) {
            (pipe.engine_open, pipe.engine_closed) = (false, true);
            if !pipe.to_venue.silent {
                let at = pipe.to_venue.arrival(self.now, 50_000);
                self.made += 1;
                self.queue.insert((at, self.made), Event::VenueEnd(conn));
            }
        }
        let data: Vec<u64> = self.data_pipes.keys().copied().collect();
        data.into_iter().for_each(|conn| self.at(self.now + 50_000, Event::VenueDataEnd(conn)));
        self.armed = engine.io.armed;
        let log = engine.sequencer.into_parts().1;
        self.log = self.torn(log, log_len);
        self.restarts.push(self.log.frames().last().map_or(0, |frame| frame.header.seq));
        self.at(self.now + down.0.max(1), Event::Restart);
    }

    /// What of the log the crash left: it may fall between any two frames that were written after `from`.
    fn torn(&mut self, log: MemoryLog, from: Option<usize>) -> MemoryLog {
        let frames: Vec<_> = log.frames().collect();
        let mut keep = frames.len();
        if let Some(from) = from {
            let padded = |frame: &tercel_event::Frame<'_>| tercel_event::Frame::padded_len(frame.header.len as usize);
            let mut len = 0;
            let before = frames
                .iter()
                .take_while(|frame| {
                    len += padded(frame);
                    len <= from
                })
                .count();
            keep = before + self.rng.below((frames.len() - before + 1) as u64) as usize;
        }
        if self.options.defect == Some(Defect::LogLate) {
            keep = keep.saturating_sub(60);
        }
        self.stats.frames_torn += (frames.len() - keep) as u64;
        if keep == frames.len() {
            return log;
        }
        let mut left = MemoryLog::with_capacity(log.bytes().len());
        frames[..keep].iter().for_each(|frame| copy(frame, &mut left));
        left
    }

    fn core_turn(&mut self) {
        let Some(mut engine) = self.engine.take() else { return };
        let (now, log_before) = (self.now, engine.sequencer.sink().bytes().len());
        for ring in [0, 1, 2, 3, 4] {
            if ring == 2 {
                if engine.sequencer.next_deadline().is_some_and(|due| due.0 <= now) {
                    let outcome = engine.sequencer.tick(TimeNs(now), &mut engine.batch);
                    self.fed(outcome);
                    self.dispatch(&mut engine);
                }
                continue;
            }
            let (mut taken, mut inside) = (0, false);
            while taken < BATCH || inside {
                let e = &mut *engine;
                let queue = match ring {
                    0 => &mut e.operator_ring,
                    1 => &mut e.order_ring,
                    3 => &mut e.signal_ring,
                    _ => &mut e.feed_ring,
                };
                let Some((_, bytes)) = queue.pop_front_if(|(ready, _)| *ready <= now || inside) else { break };
                inside = tercel_event::Frame::parse(&bytes).is_ok_and(|frame| frame.has_more());
                let len = engine.sequencer.sink().bytes().len();
                let outcome = engine.sequencer.feed(&bytes, TimeNs(now), &mut engine.batch);
                self.fed(outcome);
                taken += 1;
                engine.io.pass("after_log_write");
                if let Some(armed) = engine.io.crashed {
                    return self.crash(*engine, Some(len), Some(armed), armed.down);
                }
                self.dispatch(&mut engine);
            }
        }
        if engine.sequencer.sink().bytes().len() != log_before {
            self.look(&engine);
        }
        self.engine = Some(engine);
    }

    fn fed(&mut self, outcome: Result<(), tercel_core::FeedError>) {
        if let Err(error) = outcome {
            self.judge.violations.push(format!("{} ms: the sequencer refused: {error}", (self.now - START.0) / MS));
        }
    }

    fn dispatch(&mut self, engine: &mut Engine) {
        for idx in 0..engine.batch.as_slice().len() {
            let command = engine.batch.as_slice()[idx];
            self.note(|| {
                let kind = CommandKind::from_u8(command.kind);
                format!("command {kind:?} {} px {} qty {}", command.cl_ord_id, command.px.0, command.order_qty.0)
            });
            let ready = self.hop();
            let ring = if command.dest == setup::FEED { &mut engine.feed_commands } else { &mut engine.order_commands };
            let ready = ring.back().map_or(ready, |(last, _)| ready.max(*last));
            ring.push_back((ready, command));
        }
        engine.batch.clear();
    }

    /// Frames that the gateways pushed go into their rings.
    fn take_frames(&mut self, engine: &mut Engine) {
        for frame in core::mem::take(&mut engine.io.frames) {
            for frame in self.defective(frame) {
                let ready = self.hop();
                let ready = engine.order_ring.back().map_or(ready, |(last, _)| ready.max(*last));
                engine.order_ring.push_back((ready, frame));
            }
        }
        if !engine.edge.frames.is_empty() {
            let ready = self.hop();
            let ready = engine.feed_ring.back().map_or(ready, |(last, _)| ready.max(*last));
            engine.feed_ring.extend(engine.edge.frames.drain(..).map(|frame| (ready, frame)));
        }
    }

    /// The frame as the core gets it; planted defects edit it here.
    fn defective(&mut self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        let Ok(parsed) = tercel_event::Frame::parse(&frame) else { return vec![frame] };
        let Ok(report) = parsed.body::<ExecReport>() else { return vec![frame] };
        self.reports += 1;
        let resent = report.exec_type == b'F' && report.poss_dup == 1;
        self.stats.fills_resent += u64::from(resent);
        match self.options.defect {
            Some(Defect::LoseReports) if self.reports.is_multiple_of(20) => Vec::new(),
            Some(Defect::CountPossDupTwice) if resent => {
                let mut again = report;
                again.exec_id = ExecId::new(b"AGAIN").unwrap_or(report.exec_id);
                again.cum_qty.0 += report.last_qty.0;
                let again = FrameBuf::of(parsed.header.src, parsed.header.src_seq, &again, &[]);
                vec![frame, again.bytes().to_vec()]
            }
            _ => vec![frame],
        }
    }

    fn orders_turn(&mut self) {
        let Some(mut engine) = self.engine.take() else { return };
        engine.io.now = self.now;
        if engine.conn.is_none() && !engine.connecting && engine.connect_at <= self.now {
            self.connect(&mut engine);
        }
        for _ in 0..BATCH {
            let Some(input) = engine.order_in.pop_front() else { break };
            self.order_input(&mut engine, input);
            if engine.io.crashed.is_some() {
                break;
            }
        }
        if engine.gateway.is_ready() {
            engine.wait = self.options.back_off.0;
        }
        for _ in 0..BATCH {
            if engine.io.crashed.is_some() {
                break;
            }
            let Some((_, command)) = engine.order_commands.pop_front_if(|(ready, _)| *ready <= self.now) else { break };
            self.command(&mut engine, &command);
        }
        let due = engine.gateway.next_deadline().is_some_and(|due| due.0 <= self.now);
        if due && engine.io.crashed.is_none() {
            engine.gateway.on_time(now_of(self.now), &mut engine.io);
        }
        self.flush(&mut engine);
        if engine.conn.is_some() && (engine.io.broken || engine.io.close_asked) {
            self.disconnect(&mut engine);
        }
        self.take_frames(&mut engine);
        match engine.io.crashed {
            Some(armed) => self.crash(*engine, None, Some(armed), armed.down),
            None => self.engine = Some(engine),
        }
    }

    fn command(&mut self, engine: &mut Engine, command: &Command) {
        let now = now_of(self.now);
        engine.gateway.on_command(command, now, &mut engine.io);
        let kind = CommandKind::from_u8(command.kind);
        if kind == Some(CommandKind::MassStatus) && self.options.defect == Some(Defect::EndMassStatusEarly) {
            let end = MassStatusEnd { request_id: command.cl_ord_id.0, ..MassStatusEnd::default() };
            engine.io.push(FrameBuf::of(setup::ORDERS, 0, &end, &[]).bytes());
        }
    }

    fn connect(&mut self, engine: &mut Engine) {
        engine.connecting = true;
        let wait = self.order_delay();
        if self.now < self.refuse_orders_until {
            self.stats.order_refusals += 1;
            self.at(self.now + wait, Event::ToOrders(engine.epoch, OrderIn::Refused));
            return;
        }
        let conn = self.next_conn;
        self.next_conn += 1;
        let mut pipe = Pipe::new(engine.epoch, 0);
        let at_venue = pipe.to_venue.arrival(self.now, wait);
        let at_engine = pipe.to_engine.arrival(at_venue, wait);
        self.pipes.insert(conn, pipe);
        self.at(at_venue, Event::VenueOpen(conn));
        self.at(at_engine, Event::ToOrders(engine.epoch, OrderIn::Opened(conn)));
    }

    fn order_input(&mut self, engine: &mut Engine, input: OrderIn) {
        let now = now_of(self.now);
        match input {
            OrderIn::Opened(conn) => {
                engine.connecting = false;
                engine.conn = Some(conn);
                (engine.io.connected, engine.io.broken, engine.io.close_asked) = (true, false, false);
                engine.io.write_fails = false;
                if let Some(pipe) = self.pipes.get_mut(&conn) {
                    pipe.engine_open = true;
                    engine.io.write_fails = pipe.write_fails;
                }
                engine.gateway.on_connected(now, &mut engine.io);
            }
            OrderIn::Refused => {
                engine.connecting = false;
                self.back_off(engine);
            }
            OrderIn::Bytes(conn, bytes) if engine.conn == Some(conn) => {
                let received = Received { bytes: &bytes, ts_user: now.engine, ts_kernel: None };
                engine.gateway.on_received(received, now, &mut engine.io);
            }
            OrderIn::End(conn) if engine.conn == Some(conn) => engine.io.broken = true,
            OrderIn::Bytes(..) | OrderIn::End(..) => {}
        }
        self.flush(engine);
        if engine.conn.is_some() && engine.io.broken && engine.io.crashed.is_none() {
            self.disconnect(engine);
        }
    }

    fn back_off(&mut self, engine: &mut Engine) {
        engine.connect_at = self.now + engine.wait.0;
        engine.wait = DurationNs((engine.wait.0 * 2).min(self.options.back_off.1.0));
    }

    /// What the machine wrote goes on its way.
    fn flush(&mut self, engine: &mut Engine) {
        let Some(conn) = engine.conn else { return };
        for bytes in core::mem::take(&mut engine.io.sent) {
            self.judge.wire(&bytes, (self.now - START.0) / MS);
            self.note(|| format!("engine sends {}", show(&bytes)));
            for part in self.split(bytes) {
                let wait = self.order_delay();
                let Some(pipe) = self.pipes.get_mut(&conn) else { break };
                let at = pipe.to_venue.arrival(self.now, wait);
                self.at(at, Event::VenueBytes(conn, part));
            }
        }
    }

    fn disconnect(&mut self, engine: &mut Engine) {
        let Some(conn) = engine.conn.take() else { return };
        self.note(|| format!("engine: connection {conn} ended"));
        (engine.io.connected, engine.io.broken, engine.io.close_asked) = (false, false, false);
        let wait = self.order_delay();
        let mut told = None;
        if let Some(pipe) = self.pipes.get_mut(&conn) {
            (pipe.engine_open, pipe.engine_closed) = (false, true);
            if !pipe.to_venue.silent {
                told = Some(pipe.to_venue.arrival(self.now, wait));
            }
        }
        if let Some(at) = told {
            self.at(at, Event::VenueEnd(conn));
        }
        self.back_off(engine);
        engine.gateway.on_disconnected(now_of(self.now), &mut engine.io);
    }

    fn feed_turn(&mut self) {
        let Some(mut engine) = self.engine.take() else { return };
        let now = now_of(self.now);
        let e = &mut *engine;
        e.edge.full = self.now < self.full_until || e.feed_ring.len() > 8_192;
        while let Some((_, command)) = e.feed_commands.pop_front_if(|(ready, _)| *ready <= self.now) {
            e.feed.on_command(&command, now, &mut e.edge);
        }
        for _ in 0..BATCH {
            let Some(input) = e.feed_in.pop_front() else { break };
            self.feed_input(e, input);
        }
        if e.feed.next_deadline().is_some_and(|due| due.0 <= self.now) {
            e.feed.on_time(now, &mut e.edge);
            // What waits for room in the ring is tried again at the shell's pace.
            e.feed_from = self.now + MS / 5;
        }
        self.sockets(e);
        self.stats.rings_full += core::mem::take(&mut e.edge.refused);
        for _ in e.edge.wanted.drain(..) {
            let wait = delay(&mut self.data_rng, (50, 2_000));
            self.at(self.now + wait, Event::Snapshot(e.epoch));
        }
        self.take_frames(e);
        self.engine = Some(engine);
    }

    fn feed_input(&mut self, engine: &mut Engine, input: FeedIn) {
        let now = now_of(self.now);
        match input {
            FeedIn::Opened(socket, conn) => {
                engine.sockets[socket] = Socket::Open { conn, heard_at: self.now, pinged: false };
                engine.feed.on_connected(socket, now, &mut engine.edge);
            }
            FeedIn::Refused(socket) => self.lose(engine, socket),
            FeedIn::Text(socket, conn, text) => {
                if let Socket::Open { conn: own, heard_at, pinged } = &mut engine.sockets[socket]
                    && *own == conn
                {
                    (*heard_at, *pinged) = (self.now, false);
                    let received = Received { bytes: &text, ts_user: now.engine, ts_kernel: None };
                    engine.feed.on_message(socket, received, now, &mut engine.edge);
                }
            }
            FeedIn::Pong(socket, conn) => {
                if let Socket::Open { conn: own, heard_at, pinged } = &mut engine.sockets[socket]
                    && *own == conn
                {
                    (*heard_at, *pinged) = (self.now, false);
                    engine.feed.on_alive(socket, now, &mut engine.edge);
                }
            }
            FeedIn::End(socket, conn) => {
                if matches!(engine.sockets[socket], Socket::Open { conn: own, .. } if own == conn) {
                    self.lose(engine, socket);
                }
            }
            FeedIn::Snapshot(body) => {
                let received = body.as_ref().map(|bytes| Received { bytes, ts_user: now.engine, ts_kernel: None });
                engine.feed.on_snapshot(setup::X, received, now, &mut engine.edge);
            }
        }
    }

    fn lose(&mut self, engine: &mut Engine, socket: usize) {
        let (attempts, open) = match engine.sockets[socket] {
            Socket::Opening { attempts } => (attempts, None),
            Socket::Open { conn, .. } => (0, Some(conn)),
            Socket::Waiting { .. } => return,
        };
        let wait = (50 << attempts.min(5)) * MS;
        engine.sockets[socket] = Socket::Waiting { at: self.now + wait, attempts: attempts + 1 };
        if let Some(conn) = open {
            self.at(self.now + MS, Event::VenueDataEnd(conn));
            engine.feed.on_disconnected(socket, now_of(self.now), &mut engine.edge);
        }
    }

    fn sockets(&mut self, engine: &mut Engine) {
        for socket in 0..engine.sockets.len() {
            match engine.sockets[socket] {
                Socket::Waiting { at, attempts } if at <= self.now => {
                    engine.sockets[socket] = Socket::Opening { attempts };
                    let wait = delay(&mut self.data_rng, self.options.data_us[socket]);
                    if self.now < self.refuse_data_until {
                        self.at(self.now + wait, Event::ToFeed(engine.epoch, FeedIn::Refused(socket)));
                        continue;
                    }
                    let conn = self.next_conn;
                    self.next_conn += 1;
                    self.data_pipes.insert(conn, Pipe::new(engine.epoch, socket));
                    self.at(self.now + wait, Event::VenueDataOpen(conn));
                }
                Socket::Open { heard_at, .. } if self.now - heard_at >= SILENCE => self.lose(engine, socket),
                Socket::Open { heard_at, pinged: false, conn } if self.now - heard_at >= SILENCE / 2 => {
                    engine.sockets[socket] = Socket::Open { conn, heard_at, pinged: true };
                    let wait = 2 * delay(&mut self.data_rng, self.options.data_us[socket]);
                    self.at(self.now + wait, Event::ToFeed(engine.epoch, FeedIn::Pong(socket, conn)));
                }
                _ => {}
            }
        }
    }

    // ---- what goes wrong ----

    fn fault(&mut self, fault: Fault) {
        let until = |lasts: DurationNs, now: i64| now + lasts.0;
        match fault {
            Fault::CutOrders => self.cut_orders(),
            Fault::SilenceOrders { to_venue, to_engine } => {
                self.stats.order_silences += 1;
                for pipe in self.pipes.values_mut().filter(|pipe| pipe.venue_open || pipe.engine_open) {
                    pipe.to_venue.silent |= to_venue;
                    pipe.to_engine.silent |= to_engine;
                }
            }
            Fault::SlowOrders { by, lasts } => {
                self.stats.slow_spans += 1;
                self.slow = (by.0, until(lasts, self.now));
            }
            Fault::RefuseOrders { lasts } => self.refuse_orders_until = until(lasts, self.now),
            Fault::CutData { socket } => {
                self.stats.data_cuts += 1;
                let conns = self.data_pipes.iter().filter(|(_, pipe)| pipe.socket == socket).map(|(&conn, _)| conn);
                conns.collect::<Vec<_>>().into_iter().for_each(|conn| self.end_data(conn));
            }
            Fault::SilenceData { socket } => {
                self.stats.data_silences += 1;
                let pipes = self.data_pipes.values_mut().filter(|pipe| pipe.socket == socket);
                pipes.for_each(|pipe| pipe.to_engine.silent = true);
            }
            Fault::RefuseData { lasts } => self.refuse_data_until = until(lasts, self.now),
            Fault::FullRing { lasts } => self.full_until = until(lasts, self.now),
            Fault::StallCore { lasts } => self.stall(|engine, at| engine.core_from = at, lasts),
            Fault::StallOrders { lasts } => self.stall(|engine, at| engine.orders_from = at, lasts),
            Fault::StallFeed { lasts } => self.stall(|engine, at| engine.feed_from = at, lasts),
            Fault::Crash { point: Some(point), count, down } => {
                let armed = Armed { point, count, down };
                match &mut self.engine {
                    Some(engine) => engine.io.armed.push(armed),
                    None => self.armed.push(armed),
                }
                // These points are passed on a new connection only.
                if matches!(point, "startup" | "resend" | "reconcile") {
                    self.cut_orders();
                }
            }
            Fault::Crash { point: None, down, .. } => {
                if let Some(engine) = self.engine.take() {
                    self.crash(*engine, None, None, down);
                }
            }
            Fault::Halt { lasts } => {
                self.stats.halts += 1;
                self.mode(TradingState::Halted);
                self.at(until(lasts, self.now), Event::Resume);
            }
            Fault::Param => {
                let value = self.rng.below(4) as f64 / 10.0;
                self.operate(&ParamSet { strategy: StrategyId(strategies::QUOTER), value, ..ParamSet::default() });
            }
            Fault::Signal => self.signal(false),
        }
    }

    fn stall(&mut self, set: impl FnOnce(&mut Engine, i64), lasts: DurationNs) {
        self.stats.stalls += 1;
        let at = self.now + lasts.0;
        if let Some(engine) = &mut self.engine {
            set(engine, at);
        }
    }

    fn cut_orders(&mut self) {
        self.stats.order_cuts += 1;
        let open = self.pipes.iter().filter(|(_, pipe)| pipe.venue_open || pipe.engine_open);
        for conn in open.map(|(&conn, _)| conn).collect::<Vec<_>>() {
            let span = 2 * self.options.order_us.1 * 1_000;
            let cuts = [self.rng.between(0, span), self.rng.between(0, span)];
            let told = [self.rng.between(0, 150 * MS), self.rng.between(0, 150 * MS)];
            let write_fails = self.rng.chance(500);
            let Some(pipe) = self.pipes.get_mut(&conn) else { continue };
            pipe.to_venue.cut_at = pipe.to_venue.cut_at.min(self.now + cuts[0]);
            pipe.to_engine.cut_at = pipe.to_engine.cut_at.min(self.now + cuts[1]);
            pipe.write_fails |= write_fails;
            let epoch = pipe.epoch;
            if let Some(engine) = &mut self.engine
                && engine.conn == Some(conn)
            {
                engine.io.write_fails |= write_fails;
            }
            self.at(self.now + cuts[0] + told[0], Event::VenueEnd(conn));
            self.at(self.now + cuts[1] + told[1], Event::ToOrders(epoch, OrderIn::End(conn)));
        }
    }

    /// From here on nothing goes wrong: what hangs is told that it is dead, what is armed is disarmed.
    fn heal(&mut self) {
        self.note(|| "faults end".into());
        self.armed.clear();
        if let Some(engine) = &mut self.engine {
            engine.io.armed.clear();
        }
        let hangs = |pipe: &Pipe| pipe.to_venue.silent || pipe.to_engine.silent;
        for (conn, pipe) in self.pipes.iter_mut().filter(|(_, pipe)| hangs(pipe)) {
            for (way, event) in [
                (&mut pipe.to_venue, Event::VenueEnd(*conn)),
                (&mut pipe.to_engine, Event::ToOrders(pipe.epoch, OrderIn::End(*conn))),
            ] {
                (way.cut_at, way.silent) = (self.now.min(way.cut_at), false);
                self.made += 1;
                self.queue.insert((self.now + 1, self.made), event);
            }
        }
        let silent: Vec<u64> = self.data_pipes.iter().filter(|(_, pipe)| hangs(pipe)).map(|(&conn, _)| conn).collect();
        silent.into_iter().for_each(|conn| self.end_data(conn));
        (self.slow.1, self.refuse_orders_until, self.refuse_data_until, self.full_until) = (0, 0, 0, 0);
    }

    fn operate<B: Body>(&mut self, body: &B) {
        self.src_seq += 1;
        let frame = FrameBuf::of(sources::OPERATOR, self.src_seq, body, &[]).bytes().to_vec();
        let ready = self.hop();
        if let Some(engine) = &mut self.engine {
            engine.operator_ring.push_back((ready, frame));
        }
    }

    fn mode(&mut self, state: TradingState) {
        if self.engine.is_none() {
            // The operator's word needs a process; he repeats it.
            self.at(self.now + 50 * MS, Event::Resume);
            return;
        }
        self.operate(&Mode { state: state as u8, scope: Scope::All as u8, ..Mode::default() });
    }

    fn signal(&mut self, again: bool) {
        self.src_seq += 1;
        let now = TimeNs(self.now);
        let value = self.rng.between(-40, 40) as f64 / 10.0;
        let signal =
            Signal { valid: u32::from(again), value, ts_features: now, ts_published: now, ..Signal::default() };
        let frame = FrameBuf::of(sources::SIGNALS, self.src_seq, &signal, &[]).bytes().to_vec();
        let ready = self.hop();
        if let Some(engine) = &mut self.engine {
            engine.signal_ring.push_back((ready, frame));
        }
        if again {
            self.at(self.now + 250 * MS, Event::Signal);
        }
    }

    // ---- what must hold ----

    /// After a turn of the core.
    fn look(&mut self, engine: &Engine) {
        let core = engine.sequencer.core();
        let counters = core.counters();
        let at = || format!("{} ms", (self.now - START.0) / MS);
        if counters.ledger_differences > 0 || counters.bad_frames > 0 {
            let text = format!(
                "{}: {} ledger differences, {} frames that the core could not use",
                at(),
                counters.ledger_differences,
                counters.bad_frames
            );
            if self.judge.violations.is_empty() {
                self.judge.violations.push(text);
            }
        }
        if self.quiet_checked + 5 * MS <= self.now && self.is_quiet(engine) {
            self.quiet_checked = self.now;
            self.stats.compared += 1;
            let (holding, text) = (self.venue.report().holding, format!("{} ms", (self.now - START.0) / MS));
            let before = self.judge.violations.len();
            self.judge.compare(core, &holding, &text);
            if self.judge.violations.len() > before {
                self.note(|| "a comparison failed".into());
            }
        }
        if !self.faulty() && self.recovered_at.is_none() && self.is_recovered(engine) {
            self.recovered_at = Some(self.now);
        }
    }

    fn is_at_rest(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| self.is_quiet(engine))
    }

    /// Nothing of the order side is on its way, and the session is reconciled: both accounts must be equal.
    fn is_quiet(&self, engine: &Engine) -> bool {
        let core = engine.sequencer.core();
        self.flying == 0
            && engine.orders_quiet()
            && engine.gateway.is_ready()
            && core.risk().is_gate_open(setup::ACCOUNT)
            && engine.conn.and_then(|conn| self.pipes.get(&conn)).is_some_and(Pipe::is_whole)
            && core.orders().open_all().all(|order| !order.in_flight() && !order.needs_status())
    }

    /// Session ready, gate open, book live, and the quoter has an order at the venue.
    fn is_recovered(&self, engine: &Engine) -> bool {
        let core = engine.sequencer.core();
        let open = self.judge.open();
        engine.gateway.is_ready()
            && core.risk().is_gate_open(setup::ACCOUNT)
            && core.book(setup::X).is_some_and(tercel_book::Book::is_live)
            && core
                .orders()
                .open(StrategyId(strategies::QUOTER), setup::X)
                .any(|order| open.contains_key(order.cl_ord_id.to_string().as_str()))
    }

    fn finish(mut self) -> Outcome {
        let Some(engine) = self.engine.take() else {
            self.judge.violations.push("no engine runs at the end".into());
            return self.outcome(0);
        };
        let core = engine.sequencer.core();
        let limit = self.options.recover_within.0;
        let since = START.0 + self.options.faults_until.0;
        match self.recovered_at {
            Some(at) if at - since <= limit => {
                self.stats.recovery_ms += ((at - since) / MS) as u64;
                self.stats.recovery_ms_max = ((at - since) / MS) as u64;
            }
            Some(at) => {
                self.judge.violations.push(format!("quoting again only {} ms after the faults", (at - since) / MS))
            }
            None => self.judge.violations.push("never quoting again after the faults".into()),
        }
        if !self.is_quiet(&engine) {
            let open: Vec<_> = core.orders().open_all().collect();
            self.judge.violations.push(format!("not at rest at the end: {} bytes fly, open {open:?}", self.flying));
        }
        let holding = self.venue.report().holding;
        self.judge.compare(core, &holding, "end");
        if core.orders().open_all().count() > 0 {
            self.judge.violations.push("orders are open after the kill".into());
        }
        let log = engine.sequencer.sink();
        self.judge.walk(log, core, &self.restarts);
        self.replay(log, core.state_hash());
        self.count(&engine);
        let mut chain = Chain::default();
        chain.word(core.state_hash());
        chain.bytes(log.bytes());
        chain.bytes(self.venue.orders_text());
        self.outcome(chain.0)
    }

    /// The log, stepped through a fresh core, comes to the same state by the same commands.
    fn replay(&mut self, log: &MemoryLog, expected: u64) {
        let mut replayer = Replayer::new(setup::core());
        for frame in log.frames() {
            if let Err(difference) = replayer.replay_frame(frame) {
                self.judge.violations.push(format!("replay: {difference}"));
                return;
            }
        }
        match replayer.finish() {
            Ok(core) if core.state_hash() == expected => {}
            Ok(_) => self.judge.violations.push("replay comes to another state".into()),
            Err(difference) => self.judge.violations.push(format!("replay: {difference}")),
        }
    }

    fn count(&mut self, engine: &Engine) {
        let counters = engine.sequencer.core().counters();
        let feed = engine.feed.counters();
        let stats = &mut self.stats;
        (stats.runs, stats.virtual_ms) = (1, ((self.now - START.0) / MS) as u64);
        stats.frames = engine.sequencer.sink().frames().count() as u64;
        (stats.orders, stats.replaces, stats.cancels) = (counters.orders, counters.replaces, counters.cancels);
        (stats.fills, stats.fills_passive) = (self.judge.fills, self.judge.fills_passive);
        (stats.status_asked, stats.session_losses) = (counters.status_asked, counters.session_losses);
        (stats.gaps, stats.resyncs) = (feed.gaps, feed.resyncs);
    }

    fn outcome(self, hash: u64) -> Outcome {
        Outcome { hash, stats: self.stats, violations: self.judge.violations, trace: self.trace }
    }
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\x01', "|")
}
