//! The journal thread: copies the log to segments on disk, lossless, and measures tick-to-trade on the way.
use crate::{CoreCells, Station};
use hdrhistogram::Histogram;
use std::io::Write;
use tercel_event::{Frame, FrameKind, Sent};
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
    /// `None` after a failure: frames are then dropped from here on, counted, and trading is halted.
    writer: Option<SegmentWriter>,
    durability: Durability,
    cells: CoreCells,
    latency: LatencyNs,
    /// With a venue that plays faster than recorded, latencies mean nothing.
    measure: bool,
    lost: u64,
    error: Option<String>,
    last_seq: u64,
    unsynced: u64,
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
        }
    }

    pub fn latency(&self) -> &LatencyNs {
        &self.latency
    }

    /// Why the journal ended early, with the frames that were lost to it since.
    pub fn failure(&self) -> Option<(&str, u64)> {
        self.error.as_deref().map(|error| (error, self.lost))
    }

    fn take(&mut self) -> Result<usize, String> {
        let mut taken = 0;
        while taken < BATCH {
            let Some(bytes) = self.reader.peek().map_err(|fault| fault.to_string())? else { break };
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
            match &mut self.writer {
                Some(writer) => writer.append(bytes).map_err(|error| chain(&error))?,
                None => self.lost += 1,
            }
            self.reader.advance();
            taken += 1;
        }
        Ok(taken)
    }

    fn store(&mut self, taken: usize) -> Result<(), String> {
        let Some(writer) = &mut self.writer else {
            self.reader.commit();
            return Ok(());
        };
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
        self.reader.commit();
        self.cells.durable_seq.set(self.last_seq);
        Ok(())
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
        // Frames keep flowing so that the cancels can leave.
        self.cells.journal_failed.raise();
    }
}

impl Station for JournalStation {
    fn turn(&mut self) -> bool {
        match self.take().and_then(|taken| if taken > 0 { self.store(taken).map(|()| taken) } else { Ok(0) }) {
            Ok(taken) => taken > 0,
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
