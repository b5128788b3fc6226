//! One engine process: the real core, order gateway and feed machine, with queues where the live engine has rings and with
//! `start` doing what `tercel run` does at start-up: replay, epoch, reconciliation of what was left unanswered.
use crate::disk::Disk;
use crate::options::{Defect, Options};
use crate::setup::{self, ORDERS};
use std::collections::{BTreeMap, VecDeque};
use tercel_binance::{FeedIo, FeedMachine, RingFull, frames_of};
use tercel_core::{CommandBatch, MemoryLog, Replayer, Sequencer};
use tercel_event::{Command, CommandKind, EpochStart, Frame, FrameBuf, FrameKind, NotSent, Sent, sources};
use tercel_fix::{InboundTrail, OrderGateway};
use tercel_net::{GatewayIo, Now, SendError};
use tercel_types::{DurationNs, InstrumentId, Instruments, TimeNs};

/// A planned death: the point, how often it is still passed, how long the process stays away.
#[derive(Clone, Copy, Debug)]
pub struct Armed {
    pub point: &'static str,
    pub count: u64,
    pub down: DurationNs,
}

/// What the order machine is lent.
pub struct OrderIo {
    pub now: i64,
    pub connected: bool,
    /// The kernel knows that the connection is gone.
    pub write_fails: bool,
    pub broken: bool,
    pub close_asked: bool,
    pub sent: Vec<Vec<u8>>,
    pub frames: Vec<Vec<u8>>,
    pub armed: Vec<Armed>,
    pub crashed: Option<Armed>,
    disk: Disk,
}

impl OrderIo {
    /// Dies here when planned. From then on nothing that the process does has an effect.
    pub fn pass(&mut self, point: &str) {
        if self.crashed.is_some() {
            return;
        }
        let Some(at) = self.armed.iter().position(|armed| armed.point == point) else { return };
        self.armed[at].count = self.armed[at].count.saturating_sub(1);
        if self.armed[at].count == 0 {
            self.crashed = Some(self.armed.remove(at));
            self.disk.die();
        }
    }
}

impl GatewayIo for OrderIo {
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        if self.crashed.is_some() {
            return Ok(TimeNs(self.now));
        }
        if !self.connected || self.broken || self.close_asked {
            return Err(SendError::Closed);
        }
        if self.write_fails {
            self.broken = true;
            return Err(SendError::Closed);
        }
        self.sent.push(bytes.to_vec());
        Ok(TimeNs(self.now))
    }

    fn push(&mut self, frame: &[u8]) {
        if self.crashed.is_none() {
            self.frames.push(frame.to_vec());
        }
    }

    fn close(&mut self) {
        self.close_asked = true;
    }

    fn crash_point(&mut self, point: &'static str) {
        self.pass(point);
    }
}

/// What the feed machine is lent.
#[derive(Default)]
pub struct FeedEdge {
    pub full: bool,
    /// Messages that found the ring full.
    pub refused: u64,
    pub frames: Vec<Vec<u8>>,
    pub wanted: Vec<InstrumentId>,
}

impl FeedIo for FeedEdge {
    fn push(&mut self, frames: &[u8]) -> Result<(), RingFull> {
        if self.full {
            self.refused += 1;
            return Err(RingFull);
        }
        self.frames.extend(frames_of(frames).map(<[u8]>::to_vec));
        Ok(())
    }

    fn request_snapshot(&mut self, instrument: InstrumentId) {
        self.wanted.push(instrument);
    }
}

/// What arrives at the order gateway's thread from outside.
#[derive(Debug)]
pub enum OrderIn {
    Opened(u64),
    Refused,
    Bytes(u64, Vec<u8>),
    End(u64),
}

/// What arrives at the feed gateway's thread from outside.
#[derive(Debug)]
pub enum FeedIn {
    Opened(usize, u64),
    Refused(usize),
    Text(usize, u64, Vec<u8>),
    Pong(usize, u64),
    End(usize, u64),
    Snapshot(Option<Vec<u8>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    Waiting { at: i64, attempts: u32 },
    Opening { attempts: u32 },
    Open { conn: u64, heard_at: i64, pinged: bool },
}

/// A queue between two threads: items with the time at which the other side can see them.
pub type Ring<T> = VecDeque<(i64, T)>;

pub struct Engine {
    pub epoch: u32,
    pub sequencer: Sequencer<MemoryLog>,
    pub batch: CommandBatch,
    pub gateway: OrderGateway<Disk>,
    pub feed: FeedMachine,
    pub io: OrderIo,
    pub edge: FeedEdge,
    pub operator_ring: Ring<Vec<u8>>,
    pub order_ring: Ring<Vec<u8>>,
    pub signal_ring: Ring<Vec<u8>>,
    pub feed_ring: Ring<Vec<u8>>,
    pub order_commands: Ring<Command>,
    pub feed_commands: Ring<Command>,
    pub order_in: VecDeque<OrderIn>,
    pub feed_in: VecDeque<FeedIn>,
    /// A thread does not run before this.
    pub core_from: i64,
    pub orders_from: i64,
    pub feed_from: i64,
    pub conn: Option<u64>,
    pub connecting: bool,
    pub connect_at: i64,
    pub wait: DurationNs,
    pub sockets: [Socket; 2],
}

/// What a start found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovered {
    pub frames: u64,
    pub unanswered: usize,
    pub never_stored: usize,
}

pub fn now_of(now: i64) -> Now {
    Now { engine: TimeNs(now), wall: TimeNs(now) }
}

impl Engine {
    /// Starts a process over what an earlier one left. Errors: the log cannot be reproduced.
    pub fn start(
        options: &Options,
        disk: &Disk,
        log: &MemoryLog,
        epoch: u32,
        armed: Vec<Armed>,
        now: i64,
    ) -> Result<(Self, Recovered), String> {
        let mut replayer = Replayer::new(setup::core());
        let mut trail = InboundTrail::new(ORDERS);
        let mut unanswered = BTreeMap::new();
        let mut sink = MemoryLog::with_capacity(log.bytes().len() + (1 << 20));
        for frame in log.frames() {
            trail.observe(&frame);
            follow(&frame, &mut unanswered);
            replayer.replay_frame(frame).map_err(|difference| format!("recovery: {difference}"))?;
            copy(&frame, &mut sink);
        }
        for command in replayer.derived().commands() {
            if replayer.frames_count() > 0 && command.kind != CommandKind::Resync as u8 {
                unanswered.entry((command.seq, command.index)).or_insert(*command);
            }
        }
        let mut recovered =
            Recovered { frames: replayer.frames_count(), unanswered: unanswered.len(), ..Recovered::default() };
        let restart = recovered.frames > 0;
        let mut sequencer = replayer.resume(sink).map_err(|error| error.to_string())?;
        let mut batch = CommandBatch::with_capacity(1024);
        if !(restart && options.defect == Some(Defect::SkipEpochStart)) {
            let start = EpochStart { epoch, restart: u32::from(restart), ..EpochStart::default() };
            let frame = FrameBuf::of(sources::CORE, u64::from(epoch), &start, &[]);
            sequencer.feed(frame.bytes(), TimeNs(now), &mut batch).map_err(|error| error.to_string())?;
            batch.clear();
        }
        let mut gateway = OrderGateway::new(setup::gateway(options, epoch), disk.open());
        if let Some(next_in) = trail.next_in().filter(|_| options.defect != Some(Defect::SkipExpectIn)) {
            gateway.expect_in(next_in);
        }
        let mut io = OrderIo {
            now,
            connected: false,
            write_fails: false,
            broken: false,
            close_asked: false,
            sent: Vec::new(),
            frames: Vec::new(),
            armed,
            crashed: None,
            disk: disk.clone(),
        };
        for command in unanswered.values() {
            let fate = gateway.settle_unanswered(command, now_of(now), &mut io);
            recovered.never_stored += usize::from(fate == tercel_fix::Fate::NeverStored);
        }
        let instruments = Instruments(vec![tercel_venue::btcusdt_perp()]);
        let waiting = Socket::Waiting { at: now, attempts: 0 };
        let engine = Self {
            epoch,
            sequencer,
            batch,
            gateway,
            feed: FeedMachine::new(&setup::feed(), &instruments),
            io,
            edge: FeedEdge::default(),
            operator_ring: VecDeque::new(),
            order_ring: VecDeque::new(),
            signal_ring: VecDeque::new(),
            feed_ring: VecDeque::new(),
            order_commands: VecDeque::new(),
            feed_commands: VecDeque::new(),
            order_in: VecDeque::new(),
            feed_in: VecDeque::new(),
            core_from: now,
            orders_from: now,
            feed_from: now,
            conn: None,
            connecting: false,
            connect_at: now,
            wait: options.back_off.0,
            sockets: [waiting; 2],
        };
        Ok((engine, recovered))
    }

    /// When the core's thread has something to do.
    pub fn core_due(&self) -> Option<i64> {
        let rings = [&self.operator_ring, &self.order_ring, &self.signal_ring, &self.feed_ring];
        let ready = rings.iter().filter_map(|ring| ring.front().map(|(at, _)| *at));
        let due = ready.chain(self.sequencer.next_deadline().map(|due| due.0)).min()?;
        Some(due.max(self.core_from))
    }

    pub fn orders_due(&self) -> Option<i64> {
        let command = self.order_commands.front().map(|(at, _)| *at);
        let timer = tercel_net::OrderMachine::next_deadline(&self.gateway).map(|due| due.0);
        let connect = (self.conn.is_none() && !self.connecting).then_some(self.connect_at);
        let arrived = (!self.order_in.is_empty()).then_some(i64::MIN);
        let due = [command, timer, connect, arrived].into_iter().flatten().min()?;
        Some(due.max(self.orders_from))
    }

    pub fn feed_due(&self, silence_ns: i64) -> Option<i64> {
        let command = self.feed_commands.front().map(|(at, _)| *at);
        let timer = self.feed.next_deadline().map(|due| due.0);
        let arrived = (!self.feed_in.is_empty()).then_some(i64::MIN);
        let sockets = self.sockets.iter().filter_map(|socket| match *socket {
            Socket::Waiting { at, .. } => Some(at),
            Socket::Opening { .. } => None,
            Socket::Open { heard_at, pinged, .. } => Some(heard_at + if pinged { silence_ns } else { silence_ns / 2 }),
        });
        let due = [command, timer, arrived].into_iter().flatten().chain(sockets).min()?;
        Some(due.max(self.feed_from))
    }

    /// Nothing of the order side waits between the threads.
    pub fn orders_quiet(&self) -> bool {
        self.order_ring.is_empty()
            && self.order_commands.is_empty()
            && self.operator_ring.is_empty()
            && self.order_in.is_empty()
            && self.io.frames.is_empty()
    }
}

/// Commands without `Sent` or `NotSent`, as the live recovery collects them.
fn follow(frame: &Frame<'_>, unanswered: &mut BTreeMap<(u64, u16), Command>) {
    match frame.kind() {
        Ok(FrameKind::Command) => {
            if let Ok(command) = frame.body::<Command>()
                && command.kind != CommandKind::Resync as u8
            {
                unanswered.insert((command.seq, command.index), command);
            }
        }
        Ok(FrameKind::Sent) => {
            if let Ok(sent) = frame.body::<Sent>() {
                unanswered.remove(&(sent.cmd_seq, sent.cmd_index as u16));
            }
        }
        Ok(FrameKind::NotSent) => {
            if let Ok(not_sent) = frame.body::<NotSent>() {
                unanswered.remove(&(not_sent.cmd_seq, not_sent.cmd_index as u16));
            }
        }
        _ => {}
    }
}

/// Appends a frame of another log as it is.
pub fn copy(frame: &Frame<'_>, log: &mut MemoryLog) {
    use tercel_core::LogSink;
    assert!(log.append(&frame.header, frame.body));
}
