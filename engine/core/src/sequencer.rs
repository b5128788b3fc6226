//! Hot path. The one place where inputs get their place in the total order: number, time, log, then `step`.
//!
//!   frame ──▶ due timers ──▶ seq, ts_seq ──▶ log ──▶ `Core::step` ──▶ derived frames ──▶ log, commands to the caller
//!
//! The same sequencer runs live, in backtest and in simulation; only the log behind it and the source of `now` differ.
//! A command is in the log before it is in the caller's batch.
use crate::{CommandBatch, Core, Derived, Outbox};
use tercel_event::{Frame, FrameError, FrameFlags, FrameKind, HEADER_LEN, LINE_LEN, Timer, stamp, write_frame};
use tercel_types::{SourceId, TimeNs};
use thiserror::Error;

/// The sequenced log as the sequencer needs it. Implemented over the mapped log when live, over memory elsewhere.
pub trait LogSink {
    /// Bytes that can be claimed now, padding to whole lines included, without overrunning a reader that gates.
    fn room(&self) -> usize;

    /// `len` contiguous bytes for the next frame; the sink pads to whole lines. Waits for a gating reader if it must;
    /// `None` only when the log cannot be written at all, after which the run must halt.
    fn claim(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Makes the claimed frame visible to readers.
    fn publish(&mut self);
}

/// Room that must be free before an input is taken: its consequences must fit too.
pub const DERIVED_RESERVE: usize = 256 * 3 * LINE_LEN;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FeedError {
    /// Nothing has happened: the caller keeps the frame and tries again when readers have caught up.
    #[error("the log has no room for the frame and its consequences; wait for the journal")]
    LogBusy,
    /// The input is in the log, its consequences are not: no command of it may leave, the run must halt.
    #[error("the log cannot be written; halt, cancel through the gateways' own tables")]
    LogFailed,
    /// Dropped and counted; nothing has happened.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Owns the core and the order of its inputs.
pub struct Sequencer<S: LogSink> {
    core: Core,
    sink: S,
    out: Outbox,
    next_seq: u64,
    ts_last: TimeNs,
    /// Source of a message of which more parts follow: no timer between them.
    parts_of: Option<SourceId>,
    timer_ids: Vec<u32>,
    /// Inputs that were no frames, or derived ones.
    bad_inputs: u64,
    timer_src_seq: u64,
}

impl<S: LogSink> Sequencer<S> {
    /// Takes over a core that stands after `seq_last` at `ts_last`: 0 and `TimeNs::MIN` for a fresh one.
    pub fn new(core: Core, sink: S, seq_last: u64, ts_last: TimeNs) -> Self {
        let timers = core.timers_len();
        Self {
            out: core.outbox(),
            core,
            sink,
            next_seq: seq_last + 1,
            ts_last,
            parts_of: None,
            timer_ids: vec![0; timers],
            bad_inputs: 0,
            timer_src_seq: 0,
        }
    }

    /// Sequences one input at `now`, after every deadline due by then. Appends to `commands`.
    ///
    /// `EpochStart` alone goes before them: what fell due while no process ran must find the sessions closed, or a timer
    /// would trade on the gates and books of the process that died.
    pub fn feed(&mut self, frame: &[u8], now: TimeNs, commands: &mut CommandBatch) -> Result<(), FeedError> {
        let frame = match Frame::parse(frame) {
            // Timers are the sequencer's own.
            Ok(frame) if !frame.is_derived() && frame.header.kind != FrameKind::Timer as u16 => frame,
            Ok(frame) => return Err(self.refuse(FrameError::Kind(frame.header.kind))),
            Err(error) => return Err(self.refuse(error)),
        };
        let now = now.max(self.ts_last);
        if self.parts_of != Some(frame.header.src) && frame.header.kind != FrameKind::EpochStart as u16 {
            self.fire(now, commands)?;
        }
        let len = frame.header.len as usize;
        if self.sink.room() < Frame::padded_len(len) + DERIVED_RESERVE {
            return Err(FeedError::LogBusy);
        }
        let mut header = frame.header;
        header.seq = self.next_seq;
        header.ts_seq = now;
        let slot = self.sink.claim(len).ok_or(FeedError::LogFailed)?;
        slot[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
        slot[HEADER_LEN..len].copy_from_slice(frame.body);
        self.sink.publish();
        self.parts_of = (header.flags & FrameFlags::MORE != 0).then_some(header.src);
        self.step(Frame { header, body: frame.body }, commands)
    }

    /// Fires what is due at `now` when there is no input. Between the parts of one message nothing fires.
    pub fn tick(&mut self, now: TimeNs, commands: &mut CommandBatch) -> Result<(), FeedError> {
        if self.parts_of.is_some() {
            return Ok(());
        }
        self.fire(now.max(self.ts_last), commands)
    }

    /// When `tick` has something to do.
    #[inline]
    pub fn next_deadline(&self) -> Option<TimeNs> {
        self.core.next_deadline()
    }

    #[inline]
    pub fn core(&self) -> &Core {
        &self.core
    }

    #[inline]
    pub fn sink(&self) -> &S {
        &self.sink
    }

    #[inline]
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Number and time of the newest input; 0 and `TimeNs::MIN` before the first.
    pub fn last(&self) -> (u64, TimeNs) {
        (self.next_seq - 1, self.ts_last)
    }

    /// Inputs dropped because they were no frames of the outside.
    pub fn bad_inputs(&self) -> u64 {
        self.bad_inputs
    }

    pub fn into_parts(self) -> (Core, S) {
        (self.core, self.sink)
    }

    #[inline]
    fn fire(&mut self, now: TimeNs, commands: &mut CommandBatch) -> Result<(), FeedError> {
        while let Some(due) = self.core.next_deadline()
            && due <= now
        {
            self.fire_one(due.max(self.ts_last), commands)?;
        }
        Ok(())
    }

    fn fire_one(&mut self, due: TimeNs, commands: &mut CommandBatch) -> Result<(), FeedError> {
        let count = self.core.due_ids(due, &mut self.timer_ids);
        let ids: &[u8] = bytemuck::cast_slice(&self.timer_ids[..count]);
        let body = Timer { due, ids_count: count as u32, reserved: 0 };
        let len = HEADER_LEN + size_of::<Timer>() + ids.len();
        if self.sink.room() < Frame::padded_len(len) + DERIVED_RESERVE {
            return Err(FeedError::LogBusy);
        }
        self.timer_src_seq += 1;
        let slot = self.sink.claim(len).ok_or(FeedError::LogFailed)?;
        write_frame(slot, tercel_event::sources::CORE, self.timer_src_seq, 0, &body, ids)
            .ok_or(FeedError::LogFailed)?;
        stamp(slot, self.next_seq, due);
        let header = Frame::parse(slot)?.header;
        self.sink.publish();
        // The body is read back from a copy, since the log belongs to its readers once published.
        let mut copy = [0u8; TIMER_BODY_MAX];
        let body_len = len - HEADER_LEN;
        let Some(copy) = copy.get_mut(..body_len) else { return Err(FeedError::LogFailed) };
        copy[..size_of::<Timer>()].copy_from_slice(bytemuck::bytes_of(&body));
        copy[size_of::<Timer>()..].copy_from_slice(bytemuck::cast_slice(&self.timer_ids[..count]));
        self.step(Frame { header, body: copy }, commands)
    }

    #[inline]
    fn step(&mut self, frame: Frame<'_>, commands: &mut CommandBatch) -> Result<(), FeedError> {
        let (seq, ts) = (frame.header.seq, frame.header.ts_seq);
        self.next_seq = seq + 1;
        self.ts_last = ts;
        self.core.step(frame, &mut self.out);
        for (index, item) in self.out.items().iter().enumerate() {
            let slot = self.sink.claim(item.frame_len()).ok_or(FeedError::LogFailed)?;
            item.write(slot, index as u64).ok_or(FeedError::LogFailed)?;
            stamp(slot, seq, ts);
            self.sink.publish();
            if let Derived::Command(command) = item {
                commands.push(*command);
            }
        }
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, error: FrameError) -> FeedError {
        self.bad_inputs += 1;
        FeedError::Frame(error)
    }
}

/// A core has at most this many timer slots (checked by `CoreConfig::validate`).
pub const TIMERS_MAX: usize = 4096;
const TIMER_BODY_MAX: usize = size_of::<Timer>() + 4 * TIMERS_MAX;

/// A log in memory that keeps every frame, for tests, tools and backtests that want the whole record.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    bytes: Vec<u8>,
    claimed: usize,
}

impl MemoryLog {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), claimed: 0 }
    }

    /// The frames so far, each padded to whole lines.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The frames in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut rest = self.bytes.as_slice();
        core::iter::from_fn(move || {
            let frame = Frame::parse(rest).ok()?;
            rest = rest.get(Frame::padded_len(frame.header.len as usize)..).unwrap_or(&[]);
            Some(frame)
        })
    }
}

impl LogSink for MemoryLog {
    fn room(&self) -> usize {
        usize::MAX
    }

    fn claim(&mut self, len: usize) -> Option<&mut [u8]> {
        let at = self.bytes.len();
        self.claimed = at + Frame::padded_len(len);
        self.bytes.resize(self.claimed, 0);
        Some(&mut self.bytes[at..at + len])
    }

    fn publish(&mut self) {}
}

/// A log that keeps nothing but one frame: for a backtest that only wants the result.
#[derive(Clone, Debug)]
pub struct NullLog {
    scratch: Box<[u8]>,
    /// Frames published.
    pub frames_count: u64,
}

impl Default for NullLog {
    fn default() -> Self {
        Self { scratch: vec![0; tercel_event::MAX_FRAME_LEN].into_boxed_slice(), frames_count: 0 }
    }
}

impl LogSink for NullLog {
    fn room(&self) -> usize {
        usize::MAX
    }

    fn claim(&mut self, len: usize) -> Option<&mut [u8]> {
        self.scratch.get_mut(..len)
    }

    fn publish(&mut self) {
        self.frames_count += 1;
    }
}
