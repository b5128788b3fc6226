//! Hot path. The core thread: drains the sources in fixed priority, sequences, dispatches commands.
//!
//!   operator ▶ order gateways ▶ due timers ▶ signals ▶ market data     (bounded batch each)
//!
//! Thread      its own, pinned where the topology says so; the only one that touches the core.
//! Memory      everything is allocated before `run`; no system call while there is work (idling may park, by topology).
//! Invariants  order frames are never dropped; market data waits in its ring when the log or a command ring is full; a
//!             command leaves only after it is in the log, and with `durability` only after its frame is on disk.
use crate::{CrashPlan, EdgeLog};
use std::collections::VecDeque;
use tercel_core::{CommandBatch, FeedError, Sequencer};
use tercel_event::{
    Body, Command, CommandKind, Frame, FrameBuf, Kill, Mode, NotSent, NotSentWhy, Reason, Scope, TradingState, sources,
};
use tercel_net::EdgeClock;
use tercel_ring::{Flag, FrameConsumer, Full, Gauge, Producer, Waiter};
use tercel_types::{SourceId, TimeNs};

/// Priority of a source: lower first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Operator,
    Order,
    Signal,
    MarketData,
}

/// One input ring.
pub struct SourceRing {
    pub class: Class,
    pub ring: FrameConsumer,
}

/// One command ring, and what waits for room in it or for the disk.
pub struct CommandRing {
    pub dest: SourceId,
    pub ring: Producer<Command>,
    waiting: VecDeque<Command>,
}

/// Commands that may wait for one gateway before market data stops being drained.
const WAITING_MAX: usize = 4096;
/// Frames taken from one source in one turn.
const BATCH: usize = 64;

impl CommandRing {
    pub fn new(dest: SourceId, ring: Producer<Command>) -> Self {
        Self { dest, ring, waiting: VecDeque::with_capacity(2 * WAITING_MAX) }
    }
}

/// What others see of the core thread; all cells are shared.
#[derive(Clone, Debug, Default)]
pub struct CoreCells {
    /// Grows with every turn: the watchdog's proof that the thread is alive.
    pub heartbeat: Gauge,
    /// Sequence number of the newest input.
    pub seq: Gauge,
    /// Sequence number up to which the journal holds everything, for `durability`; raised by the journal thread.
    pub durable_seq: Gauge,
    /// Share of the log that the journal has not read, in percent.
    pub journal_lag_percent: Gauge,
    /// Raised by the journal thread when it cannot write any more.
    pub journal_failed: Flag,
    /// Turns that found the log without room.
    pub log_busy: Gauge,
    /// Commands to destinations that nobody serves.
    pub commands_lost: Gauge,
    /// Orders open or unknown, as of a recent turn.
    pub orders_open: Gauge,
    /// Raised when the log itself cannot be written.
    pub log_failed: Flag,
    /// Set by a test to make the thread hang, which the watchdog must notice and the kill word must survive.
    pub wedge: Flag,
}

pub struct CoreLoop<S: EdgeLog> {
    sequencer: Sequencer<S>,
    sources: Vec<SourceRing>,
    outputs: Vec<CommandRing>,
    clock: Box<dyn EdgeClock>,
    batch: CommandBatch,
    /// Commands wait until the journal holds their frame.
    wait_durable: bool,
    cells: CoreCells,
    crash: CrashPlan,
    lag_halted: bool,
    failure_told: bool,
    inject: FrameBuf,
    injected: u64,
    turns: u64,
    seq_told: u64,
}

/// Journal lag, in percent, at which no new order may leave, and at which they may again.
const LAG_HALT: u64 = 75;
const LAG_RESUME: u64 = 50;

impl<S: EdgeLog> CoreLoop<S> {
    pub fn new(
        sequencer: Sequencer<S>,
        mut sources: Vec<SourceRing>,
        outputs: Vec<CommandRing>,
        clock: Box<dyn EdgeClock>,
        wait_durable: bool,
        cells: CoreCells,
        crash: CrashPlan,
    ) -> Self {
        sources.sort_by_key(|source| source.class);
        Self {
            sequencer,
            sources,
            outputs,
            clock,
            batch: CommandBatch::with_capacity(1024),
            wait_durable,
            cells,
            crash,
            lag_halted: false,
            failure_told: false,
            inject: FrameBuf::new(),
            injected: 0,
            turns: 0,
            seq_told: 0,
        }
    }

    pub fn sequencer(&self) -> &Sequencer<S> {
        &self.sequencer
    }

    pub fn into_sequencer(self) -> Sequencer<S> {
        self.sequencer
    }

    /// Runs until `stop` is raised and every source is empty.
    pub fn run(&mut self, stop: &Flag, waiter: &mut Waiter) {
        loop {
            if self.turn() {
                waiter.reset();
            } else if stop.is_raised() {
                return;
            } else {
                waiter.idle();
            }
            while self.cells.wedge.is_raised() && !stop.is_raised() {
                core::hint::spin_loop();
            }
        }
    }

    /// One turn over all sources; `false` when nothing was there.
    pub fn turn(&mut self) -> bool {
        self.turns += 1;
        self.cells.heartbeat.set(self.turns);
        let mut worked = self.flush();
        worked |= self.watch_journal();
        for class in [Class::Operator, Class::Order] {
            worked |= self.drain(class);
        }
        worked |= self.tick();
        worked |= self.drain(Class::Signal);
        if self.outputs.iter().all(|output| output.waiting.len() < WAITING_MAX) {
            worked |= self.drain(Class::MarketData);
        }
        let (seq, _) = self.sequencer.last();
        if seq != self.seq_told {
            self.seq_told = seq;
            self.cells.seq.set(seq);
            if self.turns & 15 == 0 || !worked {
                self.tell_orders();
            }
        } else if !worked && self.turns & 15 == 0 {
            self.tell_orders();
        }
        worked
    }

    /// A walk over the open orders, which are few.
    fn tell_orders(&self) {
        self.cells.orders_open.set(self.sequencer.core().orders().open_all().count() as u64);
    }

    fn tick(&mut self) -> bool {
        let Some(due) = self.sequencer.next_deadline() else { return false };
        let now = self.clock.now().engine;
        if due > now {
            return false;
        }
        let outcome = self.sequencer.tick(now, &mut self.batch);
        self.after(outcome)
    }

    fn drain(&mut self, class: Class) -> bool {
        let mut worked = false;
        for at in 0..self.sources.len() {
            if self.sources[at].class != class {
                continue;
            }
            let mut taken = 0;
            let mut inside_message = false;
            while taken < BATCH || inside_message {
                let Some(bytes) = self.sources[at].ring.peek() else {
                    if inside_message {
                        // The other parts of the message are on their way: its gateway pushes them without a pause.
                        core::hint::spin_loop();
                        continue;
                    }
                    break;
                };
                let more = Frame::parse(bytes).is_ok_and(|frame| frame.has_more());
                let now = self.clock.now().engine;
                let outcome = self.sequencer.feed(bytes, now, &mut self.batch);
                if outcome == Err(FeedError::LogBusy) {
                    self.busy();
                    return worked;
                }
                self.sources[at].ring.release();
                inside_message = more;
                taken += 1;
                worked = true;
                self.crash.pass("after_log_write");
                self.after(outcome);
            }
        }
        worked
    }

    /// Dispatches what a frame caused. `true` when the frame was taken.
    fn after(&mut self, outcome: Result<(), FeedError>) -> bool {
        match outcome {
            Ok(()) | Err(FeedError::Frame(_)) => {}
            Err(FeedError::LogBusy) => {
                self.busy();
                return false;
            }
            Err(FeedError::LogFailed) => {
                // Its consequences are not in the log, so none of them may leave; the kill word cancels through the gateways.
                self.batch.clear();
                self.cells.log_failed.raise();
                return false;
            }
        }
        self.dispatch();
        true
    }

    #[cold]
    fn busy(&mut self) {
        self.cells.log_busy.set(self.cells.log_busy.get() + 1);
        self.sequencer.sink_mut().refresh();
    }

    #[inline]
    fn dispatch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let durable = if self.wait_durable { self.cells.durable_seq.get() } else { u64::MAX };
        for command in self.batch.as_slice() {
            match self.outputs.iter_mut().find(|output| output.dest == command.dest) {
                Some(output) => {
                    if !output.waiting.is_empty() || command.seq > durable {
                        output.waiting.push_back(*command);
                    } else if let Err(Full(command)) = output.ring.try_push(*command) {
                        output.waiting.push_back(command);
                    }
                }
                None => self.cells.commands_lost.set(self.cells.commands_lost.get() + 1),
            }
        }
        self.batch.clear();
    }

    fn flush(&mut self) -> bool {
        let durable = if self.wait_durable { self.cells.durable_seq.get() } else { u64::MAX };
        let mut worked = false;
        for output in &mut self.outputs {
            while let Some(command) = output.waiting.front()
                && command.seq <= durable
                && output.ring.try_push(*command).is_ok()
            {
                output.waiting.pop_front();
                worked = true;
            }
        }
        worked
    }

    /// The steps of journal lag: at 75 % no new order (cancels pass), at 100 % the log has no room and inputs wait. A
    /// journal that cannot be written halts for good.
    fn watch_journal(&mut self) -> bool {
        if self.turns & 255 != 0 {
            return false;
        }
        let lag = self.sequencer.sink_mut().refresh();
        self.cells.journal_lag_percent.set(lag);
        if self.cells.journal_failed.is_raised() && !self.failure_told {
            self.failure_told = true;
            self.lag_halted = true;
            self.halt(TradingState::Halted);
            self.refuse_waiting();
            return self.kill_all();
        }
        if !self.lag_halted && lag >= LAG_HALT {
            self.lag_halted = true;
            return self.halt(TradingState::Halted);
        }
        if self.lag_halted && !self.failure_told && lag <= LAG_RESUME {
            self.lag_halted = false;
            return self.halt(TradingState::Active);
        }
        false
    }

    #[cold]
    fn halt(&mut self, state: TradingState) -> bool {
        let reason = u64::from(Reason::Operator as u16);
        self.inject(&Mode { operator: 0, state: state as u8, scope: Scope::All as u8, id: 0, reason })
    }

    #[cold]
    fn kill_all(&mut self) -> bool {
        self.inject(&Kill { operator: 0, scope: Scope::All as u8, ..Default::default() })
    }

    /// The disk will never hold what still waits for it: orders are answered `NotSent`, the rest may leave.
    #[cold]
    fn refuse_waiting(&mut self) {
        self.wait_durable = false;
        for at in 0..self.outputs.len() {
            for _ in 0..self.outputs[at].waiting.len() {
                let Some(command) = self.outputs[at].waiting.pop_front() else { break };
                if command.kind == CommandKind::New as u8 || command.kind == CommandKind::Replace as u8 {
                    self.inject(&NotSent {
                        cl_ord_id: command.cl_ord_id,
                        cmd_seq: command.seq,
                        cmd_index: u32::from(command.index),
                        why: NotSentWhy::Storage as u8,
                        command: command.kind,
                        reserved: 0,
                        ts: command.ts,
                    });
                } else {
                    self.outputs[at].waiting.push_back(command);
                }
            }
        }
    }

    fn inject<B: Body>(&mut self, body: &B) -> bool {
        self.injected += 1;
        self.inject.write(sources::CORE, self.injected, 0, body, &[]);
        let now: TimeNs = self.clock.now().engine;
        let outcome = self.sequencer.feed(self.inject.bytes(), now, &mut self.batch);
        self.after(outcome)
    }
}
