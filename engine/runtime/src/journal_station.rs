//! The journal thread: copies the log to segments on disk, lossless, and measures tick-to-trade on the way.
//!
//! Thread      its own.
//! Invariants  the log forgets a frame only once it is stored, or when a journal that failed would stop the core otherwise;
//!             `durable_seq` names an input only once everything derived from it is stored too.
use crate::{CoreCells, Station};
use core::sync::atomic::{Ordering, fence};
use hdrhistogram::Histogram;
use std::io::Write;
use tercel_core::DERIVED_RESERVE;
use tercel_event::{Frame, FrameKind, MAX_FRAME_LEN, Sent};
use tercel_journal::SegmentWriter;
use tercel_ring::GatingReader;

/// What a command waits for before it may leave the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// The log in tmpfs: survives the death of the process, not of the host.
    #[default]
    Memory,
    /// The journal's pages in the kernel: survives the process, and the host if it writes back before it dies.
    Written,
    /// The disk: survives pulling the power.
    Fsync,
}

impl Durability {
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("memory", Self::Memory), ("written", Self::Written), ("fsync", Self::Fsync)];
}

/// Latency in ns from the receive stamp of an event to the return of the socket write of the order that it caused.
pub type LatencyNs = Histogram<u64>;

pub struct JournalStation {
    reader: GatingReader,
    /// `None` after a failure: frames then stay in the log as long as it has room for more, and trading is halted.
    writer: Option<SegmentWriter>,
    durability: Durability,
    cells: CoreCells,
    latency: LatencyNs,
    /// With a venue that plays faster than recorded, latencies mean nothing.
    measure: bool,
    /// Frames that left the log without being stored.
    lost: u64,
    error: Option<String>,
    /// The newest frame that was read belongs to this input.
    last_seq: u64,
    unsynced: u64,
    /// Frames read since the last commit, and the position of that commit.
    uncommitted: u64,
    committed: u64,
}

/// Frames of one turn: bounded, so that a flush follows soon.
const BATCH: usize = 512;
/// Frames after which `memory` syncs too, so that a power cut costs little even there.
const SYNC_EVERY: u64 = 65_536;

impl JournalStation {
    pub fn new(
        reader: GatingReader,
        writer: SegmentWriter,
        durability: Durability,
        cells: CoreCells,
        measure: bool,
    ) -> Self {
        let latency =
            Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap_or_else(|_| unreachable!("bounds are constants"));
        let committed = reader.position();
        Self {
            reader,
            writer: Some(writer),
            durability,
            cells,
            latency,
            measure,
            lost: 0,
            error: None,
            last_seq: 0,
            unsynced: 0,
            uncommitted: 0,
            committed,
        }
    }

    pub fn latency(&self) -> &LatencyNs {
        &self.latency
    }

    /// Why the journal ended early, with the frames that the log had to forget since; the others are still in it.
    pub fn failure(&self) -> Option<(&str, u64)> {
        self.error.as_deref().map(|error| (error, self.lost))
    }

    /// Frames appended, and whether there was none left.
    fn take(&mut self) -> Result<(usize, bool), String> {
        let mut taken = 0;
        while taken < BATCH {
            let Some(bytes) = self.reader.peek().map_err(|fault| fault.to_string())? else { return Ok((taken, true)) };
            let Ok(frame) = Frame::parse(bytes) else { return Err("the log holds what is no frame".into()) };
            self.last_seq = frame.header.seq;
            if self.measure
                && frame.kind() == Ok(FrameKind::Sent)
                && let Ok(sent) = frame.body::<Sent>()
                && sent.ts_cause.0 > 0
                && let Ok(ns) = u64::try_from(sent.ts_tx.since(sent.ts_cause).0)
            {
                self.latency.saturating_record(ns);
            }
            if let Some(writer) = &mut self.writer {
                writer.append(bytes).map_err(|error| chain(&error))?;
            }
            self.reader.advance();
            self.uncommitted += 1;
            taken += 1;
        }
        Ok((taken, false))
    }

    fn commit(&mut self) {
        self.reader.commit();
        self.committed = self.reader.position();
        self.uncommitted = 0;
    }

    fn store(&mut self, taken: usize) -> Result<(), String> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        self.unsynced += taken as u64;
        let outcome = match self.durability {
            Durability::Fsync => writer.sync(),
            Durability::Memory | Durability::Written if self.unsynced >= SYNC_EVERY => {
                self.unsynced = 0;
                writer.sync()
            }
            Durability::Memory | Durability::Written => writer.flush(),
        };
        outcome.map_err(|error| chain(&error))?;
        // Only now may the log forget the frames: until here a restart finds them there.
        self.commit();
        Ok(())
    }

    /// A frame of a later input proves that everything derived from the earlier ones was read. For the newest one the
    /// core must have said, before the log was found empty, that its step is over.
    fn tell_durable(&self, finished_seq: u64, drained: bool) {
        let is_whole = drained && finished_seq >= self.last_seq;
        self.cells.durable_seq.set(if is_whole { self.last_seq } else { self.last_seq.saturating_sub(1) });
    }

    /// After a failure: the tail stays in the log, where a restart finds it, and gives way only to what must still pass
    /// so that the cancels can leave.
    fn make_room(&mut self) -> bool {
        let capacity = self.reader.capacity();
        let keep = (capacity / 4 * 3).min(capacity.saturating_sub(2 * (2 * MAX_FRAME_LEN + DERIVED_RESERVE))) as u64;
        if self.reader.lag_bytes() + (self.reader.position() - self.committed) <= keep {
            return false;
        }
        let mut passed = 0;
        while passed < BATCH && self.reader.lag_bytes() > keep && matches!(self.reader.peek(), Ok(Some(_))) {
            self.reader.advance();
            self.uncommitted += 1;
            passed += 1;
        }
        let forgotten = self.uncommitted;
        self.lost += forgotten;
        self.commit();
        forgotten > 0
    }

    #[cold]
    fn fail(&mut self, error: String) {
        // Standard error may be closed; that must not end the thread.
        let _ = writeln!(
            std::io::stderr(),
            "journal: {error}; trading is halted and orders are cancelled. Nothing is retried: free the disk, then start again."
        );
        self.error = Some(error);
        self.writer = None;
        self.cells.journal_failed.raise();
    }
}

impl Station for JournalStation {
    fn turn(&mut self) -> bool {
        if self.writer.is_none() {
            return self.make_room();
        }
        let finished_seq = self.cells.seq.get();
        // ORDERING: pairs with the fence of the core: every frame up to that number is seen by what is read from here on.
        fence(Ordering::Acquire);
        let outcome = self.take().and_then(|(taken, drained)| {
            if taken > 0 {
                self.store(taken)?;
            }
            Ok((taken, drained))
        });
        match outcome {
            Ok((taken, drained)) => {
                self.tell_durable(finished_seq, drained);
                taken > 0
            }
            Err(error) => {
                self.fail(error);
                true
            }
        }
    }

    fn finish(&mut self) {
        if let Some(writer) = self.writer.take()
            && let Err(error) = writer.close()
        {
            self.fail(chain(&error));
        }
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
