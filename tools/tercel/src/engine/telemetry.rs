//! A reader of the log that may be lapped: writes features for the sidecar and counts what the progress line shows.
use crate::incidents::Incidents;
use std::path::Path;
use tercel_event::{Command, CommandKind, ExecReport, Frame, FrameKind};
use tercel_ring::{Counter, Gauge, LappedReader, Sighting};
use tercel_runtime::{FeatureBuilder, FeatureFile, Station};
use tercel_types::Instrument;

/// What is shown while a run goes on; clones see the same cells.
#[derive(Clone, Default)]
pub struct Progress {
    pub market_frames: Counter,
    pub orders: Counter,
    pub fills: Counter,
    pub signals: Counter,
    /// Position over all strategies in lots, as an i64.
    pub position: Gauge,
    pub lapped: Gauge,
}

pub struct Telemetry {
    log: LappedReader,
    view: View,
}

struct View {
    builder: FeatureBuilder,
    file: FeatureFile,
    progress: Progress,
    position: i64,
    incidents: Incidents,
    broken: bool,
}

const BATCH: usize = 256;

impl Telemetry {
    pub fn new(log: &Path, features: &Path, instrument: Instrument, progress: Progress) -> Result<Self, String> {
        Ok(Self {
            log: LappedReader::open(log).map_err(|error| error.to_string())?,
            view: View {
                builder: FeatureBuilder::new(instrument),
                file: FeatureFile::create(features).map_err(|error| format!("{}: {error}", features.display()))?,
                progress,
                position: 0,
                incidents: Incidents::default(),
                broken: false,
            },
        })
    }
}

impl Telemetry {
    /// What was refused and halted since the start; a reader that was lapped has not seen everything.
    pub fn into_incidents(self) -> Incidents {
        self.view.incidents
    }
}

impl View {
    fn take(&mut self, bytes: &[u8]) {
        let Ok(frame) = Frame::parse(bytes) else { return };
        self.incidents.take(&frame);
        match frame.kind() {
            Ok(FrameKind::Command) if is_new_order(&frame) => self.progress.orders.increment(),
            Ok(FrameKind::ExecReport) => {
                if let Ok(report) = frame.body::<ExecReport>()
                    && report.exec_type == b'F'
                {
                    self.progress.fills.increment();
                    self.position += if report.side == 1 { report.last_qty.0 } else { -report.last_qty.0 };
                    self.progress.position.set(self.position as u64);
                }
            }
            Ok(FrameKind::Signal) => self.progress.signals.increment(),
            Ok(FrameKind::BookDelta | FrameKind::BookSnapshot | FrameKind::Bbo | FrameKind::Trade) => {
                self.progress.market_frames.increment();
            }
            _ => {}
        }
        if let Some((ts, mid, features)) = self.builder.apply(&frame)
            && let Err(error) = self.file.append(ts, mid, &features)
            && !self.broken
        {
            self.broken = true;
            eprintln!("features: {error}; the sidecar gets no new rows, trading goes on");
        }
    }
}

fn is_new_order(frame: &Frame<'_>) -> bool {
    frame.body::<Command>().is_ok_and(|command| command.kind == CommandKind::New as u8)
}

impl Station for Telemetry {
    fn turn(&mut self) -> bool {
        let mut taken = 0;
        while taken < BATCH {
            match self.log.read() {
                Ok(Sighting::Frame(bytes)) => self.view.take(bytes),
                Ok(Sighting::Lapped { .. }) => self.view.progress.lapped.set(self.log.lapped_count()),
                Ok(Sighting::Empty) | Err(_) => break,
            }
            taken += 1;
        }
        taken > 0
    }
}
