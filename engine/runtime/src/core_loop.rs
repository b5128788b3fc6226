//! Hot path. The core thread: drains the sources in fixed priority, sequences, dispatches commands.
//!
//!   operator ▶ order gateways ▶ due timers ▶ signals ▶ market data     (bounded batch each)
//!
//! Thread      its own, pinned where the topology says so; the only one that touches the core.
//! Memory      everything is allocated before `run`; no system call while there is work (idling may park, by topology).
//! Invariants  order frames are never dropped; market data waits in its ring when a command ring is full or the log has
//!             only the room left that operator and orders need; a message of several parts is finished before another
//!             source is looked at; a command leaves only after it is in the log, and with `durability` only after its
//!             own frame, not just that of its cause, is on disk.
mod journal_watch;

use crate::{CrashPlan, EdgeLog};
use core::sync::atomic::{Ordering, fence};
use journal_watch::JournalWatch;
use std::collections::VecDeque;
use tercel_core::{CommandBatch, FeedError, Sequencer};
use tercel_event::{Body, Command, Frame, FrameBuf, sources};
use tercel_net::EdgeClock;
use tercel_ring::{Flag, FrameConsumer, Full, Gauge, Producer, Waiter};
use tercel_types::{DurationNs, SourceId, TimeNs};

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
/// Looks at an empty ring in the middle of a message before the turn ends without its other parts.
const PART_SPINS: u32 = 1_000;
/// How long the end of a run waits for room in the log, in time of the wall.
const END_WAIT: DurationNs = DurationNs::from_secs(5);

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
    /// Sequence number of the newest input that is in the log with everything derived from it.
    pub seq: Gauge,
    /// Sequence number up to which the journal holds every input and everything derived from it, for `durability`;
    /// raised by the journal thread.
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
    watch: JournalWatch,
    /// Source in the middle of a message: nothing else is sequenced until its last part.
    open_message: Option<usize>,
    /// Frames wait in this turn, for nothing but room in the log.
    waits: bool,
    inject: FrameBuf,
    injected: u64,
    turns: u64,
    seq_told: u64,
}

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
            watch: JournalWatch::default(),
            open_message: None,
            waits: false,
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
        let mut waits_since = None;
        loop {
            if self.turn() {
                waits_since = None;
                waiter.reset();
            } else if stop.is_raised() && !self.waits_for_end(&mut waits_since) {
                return;
            } else {
                waiter.idle();
            }
            while self.cells.wedge.is_raised() && !stop.is_raised() {
                core::hint::spin_loop();
            }
        }
    }

    /// Whether an end must wait for the journal: what was taken from the venue is sequenced before the thread goes.
    #[cold]
    fn waits_for_end(&self, since: &mut Option<TimeNs>) -> bool {
        let now = self.clock.now().wall;
        let waited = now.since(*since.get_or_insert(now));
        self.waits && !self.cells.log_failed.is_raised() && waited < END_WAIT
    }

    /// One turn over all sources; `false` when nothing was there, or what was there waits (`is_waiting`).
    pub fn turn(&mut self) -> bool {
        self.turns += 1;
        self.cells.heartbeat.set(self.turns);
        self.waits = false;
        let mut worked = self.flush();
        if let Some(at) = self.open_message {
            worked |= self.drain_source(at);
        }
        if self.is_free() {
            worked |= self.watch_journal();
        }
        for class in [Class::Operator, Class::Order] {
            worked |= self.drain(class);
        }
        if self.is_free() {
            worked |= self.tick();
        }
        worked |= self.drain(Class::Signal);
        if self.outputs.iter().all(|output| output.waiting.len() < WAITING_MAX) {
            worked |= self.drain(Class::MarketData);
        }
        let (seq, _) = self.sequencer.last();
        if seq != self.seq_told {
            self.seq_told = seq;
            // ORDERING: pairs with the fence of the journal: who sees the number sees every frame up to it.
            fence(Ordering::Release);
            self.cells.seq.set(seq);
            if self.turns & 15 == 0 || !worked {
                self.tell_orders();
            }
        } else if !worked && self.turns & 15 == 0 {
            self.tell_orders();
        }
        worked
    }

    /// True when the last turn left frames where they were because the log had no room for them.
    pub fn is_waiting(&self) -> bool {
        self.waits
    }

    /// Another source may be looked at: no message is open, and there was room for everything so far.
    #[inline]
    fn is_free(&self) -> bool {
        self.open_message.is_none() && !self.waits
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
            if self.sources[at].class == class && self.is_free() {
                worked |= self.drain_source(at);
            }
        }
        worked
    }

    fn drain_source(&mut self, at: usize) -> bool {
        let is_market = self.sources[at].class == Class::MarketData;
        let (mut taken, mut spins) = (0, 0);
        while taken < BATCH || self.open_message.is_some() {
            if is_market && self.open_message.is_none() && self.is_tight() {
                if self.sources[at].ring.peek().is_some() {
                    self.busy();
                }
                break;
            }
            let Some(bytes) = self.sources[at].ring.peek() else {
                if self.open_message.is_some() && spins < PART_SPINS {
                    // The other parts of the message are on their way: its gateway pushes them without a pause.
                    spins += 1;
                    core::hint::spin_loop();
                    continue;
                }
                break;
            };
            let (more, overrides) = match Frame::parse(bytes) {
                Ok(frame) => (frame.has_more(), self.watch.is_overridden_by(&frame)),
                Err(_) => (false, false),
            };
            let now = self.clock.now().engine;
            let outcome = self.sequencer.feed(bytes, now, &mut self.batch);
            if outcome == Err(FeedError::LogBusy) {
                self.after(outcome);
                break;
            }
            self.sources[at].ring.release();
            self.open_message = (more && outcome.is_ok()).then_some(at);
            if overrides {
                self.watch.forget_restore();
            }
            taken += 1;
            self.crash.pass("after_log_write");
            self.after(outcome);
        }
        taken > 0
    }

    /// Only the room is left that operator and orders need, at a fresh look.
    #[inline]
    fn is_tight(&mut self) -> bool {
        if !self.sequencer.sink().is_tight() {
            return false;
        }
        self.sequencer.sink_mut().refresh();
        self.sequencer.sink().is_tight()
    }

    /// Dispatches what a frame caused. `true` when the frame was taken.
    fn after(&mut self, outcome: Result<(), FeedError>) -> bool {
        match outcome {
            Ok(()) | Err(FeedError::Frame(_)) => {}
            Err(FeedError::LogBusy) => {
                self.busy();
                // Timers that were due before the frame may have found room.
                self.dispatch();
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
        self.waits = true;
        self.cells.log_busy.set(self.cells.log_busy.get() + 1);
        let lag = self.sequencer.sink_mut().refresh();
        self.cells.journal_lag_percent.set(lag);
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

    /// Sequences a frame of the core thread's own. `false` when it is not in the log: try again later.
    fn inject<B: Body>(&mut self, body: &B) -> bool {
        self.inject.write(sources::CORE, self.injected + 1, 0, body, &[]);
        let now: TimeNs = self.clock.now().engine;
        let outcome = self.sequencer.feed(self.inject.bytes(), now, &mut self.batch);
        let taken = self.after(outcome);
        self.injected += u64::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests;
