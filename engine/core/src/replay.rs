//! Proof that a log can be reproduced: its inputs are stepped again with their recorded numbers and times, and every
//! derived frame is computed anew and compared byte by byte with the recorded one.
//!
//! The same walk restores a core after a crash: feed it the journal and the log's tail, then `resume`.
use crate::sequencer::FeedError;
use crate::{Core, LogSink, Outbox, Sequencer, TimerClass, timer_parts};
use core::fmt;
use tercel_event::{Frame, FrameFlags, FrameKind, Timer};
use tercel_types::{SourceId, TimeNs};

/// The first place where a log and its replay differ. `seq` names the input; `index` the derived frame of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Inputs are numbered 1, 2, 3, …
    Hole { seq: u64, expected: u64 },
    /// `ts_seq` of an input is before the one of the input before it.
    TimeBackwards { seq: u64 },
    /// A timer was due before this input and was not sequenced, or one was sequenced that was not due.
    Timer { seq: u64, due: Option<TimeNs> },
    /// The replay has a derived frame that the log lacks.
    Missing { seq: u64, index: u64, kind: FrameKind },
    /// The log has a derived frame that the replay lacks.
    Extra { seq: u64, index: u64, kind: u16 },
    /// Both have it and byte `offset` differs, counted from the start of the frame.
    Changed { seq: u64, index: u64, kind: FrameKind, offset: usize },
}

impl Difference {
    /// The input at or after which log and replay part.
    pub fn seq(&self) -> u64 {
        match *self {
            Self::Hole { seq, .. }
            | Self::TimeBackwards { seq }
            | Self::Timer { seq, .. }
            | Self::Missing { seq, .. }
            | Self::Extra { seq, .. }
            | Self::Changed { seq, .. } => seq,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hole { seq, expected } => write!(f, "seq {seq}: input {expected} should follow"),
            Self::TimeBackwards { seq } => write!(f, "seq {seq}: its time is before that of the input before it"),
            Self::Timer { seq, due: Some(due) } => {
                write!(f, "seq {seq}: the timers due at {} ns are not in the log as the replay has them", due.0)
            }
            Self::Timer { seq, due: None } => write!(f, "seq {seq}: a timer that the replay does not have"),
            Self::Missing { seq, index, kind } => {
                write!(f, "seq {seq}: the replay makes {kind:?} {index}, the log does not have it")
            }
            Self::Extra { seq, index, kind } => {
                write!(f, "seq {seq}: the log has derived frame {index} of kind {kind}, the replay does not make it")
            }
            Self::Changed { seq, index, kind, offset } => {
                write!(f, "seq {seq}: {kind:?} {index} differs from the replay at byte {offset}")
            }
        }
    }
}

/// Walks a log frame by frame.
pub struct Replayer {
    core: Core,
    out: Outbox,
    /// Derived frames of the newest input that the log has shown.
    compared: usize,
    seq_last: u64,
    ts_last: TimeNs,
    parts_of: Option<SourceId>,
    timer_ids: Vec<u32>,
    frames_count: u64,
}

impl Replayer {
    /// Takes a fresh core, configured as the recorded one was.
    pub fn new(core: Core) -> Self {
        Self {
            out: core.outbox(),
            timer_ids: vec![0; core.timers_len()],
            core,
            compared: 0,
            seq_last: 0,
            ts_last: TimeNs::MIN,
            parts_of: None,
            frames_count: 0,
        }
    }

    /// The next frame of the log, input or derived. After a difference the walk is over.
    pub fn replay_frame(&mut self, frame: Frame<'_>) -> Result<(), Difference> {
        self.frames_count += 1;
        if frame.is_derived() { self.compare(frame) } else { self.input(frame) }
    }

    fn input(&mut self, frame: Frame<'_>) -> Result<(), Difference> {
        self.all_compared()?;
        let (seq, ts, expected) = (frame.header.seq, frame.header.ts_seq, self.seq_last + 1);
        if seq != expected {
            return Err(Difference::Hole { seq, expected });
        }
        if ts < self.ts_last {
            return Err(Difference::TimeBackwards { seq });
        }
        self.check_timers(&frame)?;
        self.parts_of = (frame.header.flags & FrameFlags::MORE != 0).then_some(frame.header.src);
        (self.seq_last, self.ts_last) = (seq, ts);
        self.core.step(frame, &mut self.out);
        self.compared = 0;
        Ok(())
    }

    fn check_timers(&mut self, frame: &Frame<'_>) -> Result<(), Difference> {
        let seq = frame.header.seq;
        let due = self.core.next_deadline().map(|due| due.max(self.ts_last));
        if frame.header.kind != FrameKind::Timer as u16 {
            // A new epoch goes before what fell due while no process ran (`Sequencer::feed`).
            let first = frame.header.kind == FrameKind::EpochStart as u16;
            let in_parts = self.parts_of == Some(frame.header.src);
            return match due {
                Some(due) if due <= frame.header.ts_seq && !in_parts && !first => {
                    Err(Difference::Timer { seq, due: Some(due) })
                }
                _ => Ok(()),
            };
        }
        let recorded = frame.body::<Timer>().ok().map(|timer| timer.due);
        let Some(due) = due.filter(|&due| Some(due) == recorded) else { return Err(Difference::Timer { seq, due }) };
        let count = self.core.due_ids(due, &mut self.timer_ids);
        let same = frame.timer_ids().eq(self.timer_ids[..count].iter().copied());
        if same { Ok(()) } else { Err(Difference::Timer { seq, due: Some(due) }) }
    }

    fn compare(&mut self, frame: Frame<'_>) -> Result<(), Difference> {
        let (seq, index) = (frame.header.seq, frame.header.src_seq);
        let extra = Difference::Extra { seq, index, kind: frame.header.kind };
        if seq != self.seq_last {
            self.all_compared()?;
            return Err(extra);
        }
        let Some(item) = self.out.items().get(self.compared) else { return Err(extra) };
        let (header, body) = (item.header(self.compared as u64, self.seq_last, self.ts_last), item.body());
        if header != frame.header || body != frame.body {
            let own = bytemuck::bytes_of(&header).iter().chain(body);
            let recorded = bytemuck::bytes_of(&frame.header).iter().chain(frame.body);
            let (index, kind) = (self.compared as u64, item.kind());
            let offset = own.zip(recorded).position(|(a, b)| a != b).unwrap_or(header.len as usize);
            return Err(Difference::Changed { seq, index, kind, offset });
        }
        self.compared += 1;
        Ok(())
    }

    fn all_compared(&self) -> Result<(), Difference> {
        match self.out.items().get(self.compared) {
            None => Ok(()),
            Some(item) => {
                let index = self.compared as u64;
                Err(Difference::Missing { seq: self.seq_last, index, kind: item.kind() })
            }
        }
    }

    /// Ends the walk over a whole log.
    pub fn finish(self) -> Result<Core, Difference> {
        self.all_compared()?;
        Ok(self.core)
    }

    /// Ends the walk after a crash and goes on: derived frames of the last input that the crash kept out of the log are
    /// written now. Commands among them never left, since a command is in the log before it leaves; they are for the
    /// caller to report as not sent, if its order session does not know better.
    pub fn resume<S: LogSink>(self, mut sink: S) -> Result<Sequencer<S>, FeedError> {
        for (index, item) in self.out.items().iter().enumerate().skip(self.compared) {
            if !sink.append(&item.header(index as u64, self.seq_last, self.ts_last), item.body()) {
                return Err(FeedError::LogFailed);
            }
        }
        Ok(Sequencer::new(self.core, sink, self.seq_last, self.ts_last))
    }

    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Number and time of the newest input.
    pub fn last(&self) -> (u64, TimeNs) {
        (self.seq_last, self.ts_last)
    }

    /// Frames walked, derived ones included.
    pub fn frames_count(&self) -> u64 {
        self.frames_count
    }

    /// Derived frames that the newest input made, in order, compared or not.
    pub fn derived(&self) -> &Outbox {
        &self.out
    }

    /// Words for the timers due now, for messages about a `Difference::Timer`.
    pub fn due_timers(&mut self) -> Vec<(TimerClass, usize)> {
        let Some(due) = self.core.next_deadline() else { return Vec::new() };
        let count = self.core.due_ids(due, &mut self.timer_ids);
        self.timer_ids[..count].iter().filter_map(|&id| timer_parts(id)).collect()
    }
}
