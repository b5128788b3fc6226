//! Hot path. The one place where inputs get their place in the total order: number, time, log, then `step`.
//!
//!   frame ──▶ due timers ──▶ seq, ts_seq ──▶ log ──▶ `Core::step` ──▶ derived frames ──▶ log, commands to the caller
//!
//! The same sequencer runs live, in backtest and in simulation; only the log behind it and the source of `now` differ.
//! A command is in the log before it is in the caller's batch.
use crate::{CommandBatch, Core, Derived, Outbox};
use tercel_event::{Body, Frame, FrameError, FrameFlags, FrameHeader, FrameKind, HEADER_LEN, LINE_LEN, Timer, sources};
use tercel_types::{SourceId, TimeNs};
use thiserror::Error;

/// The sequenced log as the sequencer needs it. Implemented over the mapped log when live, over memory elsewhere.
pub trait LogSink {
    /// Bytes that can be appended now, padding to whole lines included, without overrunning a reader that gates.
    fn room(&self) -> usize;

    /// Writes one whole frame, whose length is in `header`, pads it to whole lines and shows it to the readers. Waits for a
    /// gating reader if it must; `false` only when the log cannot be written at all, after which the run must halt.
    #[must_use]
    fn append(&mut self, header: &FrameHeader, body: &[u8]) -> bool;
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
    timer_body: Box<[u8]>,
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
            timer_body: vec![0; size_of::<Timer>() + timers * size_of::<u32>()].into_boxed_slice(),
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
        let header = FrameHeader { seq: self.next_seq, ts_seq: now, ..frame.header };
        if !self.sink.append(&header, frame.body) {
            return Err(FeedError::LogFailed);
        }
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
        match self.core.next_deadline() {
            Some(due) if due <= now => self.fire_due(now, commands),
            _ => Ok(()),
        }
    }

    #[inline(never)]
    fn fire_due(&mut self, now: TimeNs, commands: &mut CommandBatch) -> Result<(), FeedError> {
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
        let head = Timer { due, ids_count: count as u32, reserved: 0 };
        let body_len = size_of::<Timer>() + ids.len();
        let len = HEADER_LEN + body_len;
        if self.sink.room() < Frame::padded_len(len) + DERIVED_RESERVE {
            return Err(FeedError::LogBusy);
        }
        self.timer_src_seq += 1;
        let header = FrameHeader {
            len: len as u32,
            kind: FrameKind::Timer as u16,
            flags: 0,
            src: sources::CORE,
            seq: self.next_seq,
            ts_seq: due,
            src_seq: self.timer_src_seq,
        };
        // Taken out for the time of the step; an empty box allocates nothing.
        let mut body = core::mem::take(&mut self.timer_body);
        body[..size_of::<Timer>()].copy_from_slice(bytemuck::bytes_of(&head));
        body[size_of::<Timer>()..body_len].copy_from_slice(ids);
        let outcome = if self.sink.append(&header, &body[..body_len]) {
            self.step(Frame { header, body: &body[..body_len] }, commands)
        } else {
            Err(FeedError::LogFailed)
        };
        self.timer_body = body;
        outcome
    }

    fn step(&mut self, frame: Frame<'_>, commands: &mut CommandBatch) -> Result<(), FeedError> {
        let (seq, ts_seq) = (frame.header.seq, frame.header.ts_seq);
        self.next_seq = seq + 1;
        self.ts_last = ts_seq;
        self.core.step(frame, &mut self.out);
        for (index, item) in self.out.items().iter().enumerate() {
            let cause = (index as u64, seq, ts_seq);
            let written = match item {
                Derived::Command(command) => {
                    let written = append_derived(&mut self.sink, cause, command);
                    if written {
                        commands.push(command);
                    }
                    written
                }
                Derived::StateHash(hash) => append_derived(&mut self.sink, cause, hash),
                Derived::Note(note) => append_derived(&mut self.sink, cause, note),
            };
            if !written {
                return Err(FeedError::LogFailed);
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

/// Number `index` of the frames derived from the cause `seq`, sequenced at `ts_seq`. The length is known where it is called,
/// so the body is moved word by word, without a call.
#[inline]
fn append_derived<S: LogSink, B: Body>(sink: &mut S, (index, seq, ts_seq): (u64, u64, TimeNs), body: &B) -> bool {
    sink.append(&Derived::header_of::<B>(index, seq, ts_seq), bytemuck::bytes_of(body))
}

/// A core has at most this many timer slots (checked by `CoreConfig::validate`).
pub const TIMERS_MAX: usize = 4096;

/// A log in memory that keeps every frame, for tests, tools and backtests that want the whole record.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    bytes: Vec<u8>,
}

impl MemoryLog {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
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

    #[inline]
    fn append(&mut self, header: &FrameHeader, body: &[u8]) -> bool {
        debug_assert_eq!(header.len as usize, HEADER_LEN + body.len());
        self.bytes.extend_from_slice(bytemuck::bytes_of(header));
        self.bytes.extend_from_slice(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(LINE_LEN), 0);
        true
    }
}

/// A log that keeps nothing: for a backtest that only wants the result.
#[derive(Clone, Debug, Default)]
pub struct NullLog {
    /// Frames published.
    pub frames_count: u64,
}

impl LogSink for NullLog {
    fn room(&self) -> usize {
        usize::MAX
    }

    #[inline]
    fn append(&mut self, _: &FrameHeader, _: &[u8]) -> bool {
        self.frames_count += 1;
        true
    }
}
