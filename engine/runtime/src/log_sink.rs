//! Hot path. The sequenced log as the sequencer writes it.
use tercel_core::{LogSink, MemoryLog, NullLog};
use tercel_event::{FrameHeader, HEADER_LEN, MAX_FRAME_LEN};
use tercel_ring::{LogWriter, PushError};

/// A log whose readers hold it back.
pub trait EdgeLog: LogSink {
    /// Looks at the readers' cursors. Returns the lag of the slowest in percent of the log.
    fn refresh(&mut self) -> u64;

    /// True when the room that is left, as of the last look, is kept for operator and order frames.
    fn is_tight(&self) -> bool {
        false
    }
}

/// One part in so many of the log is kept free of market data.
const RESERVE_PARTS: usize = 8;

impl EdgeLog for MemoryLog {
    fn refresh(&mut self) -> u64 {
        0
    }
}

impl EdgeLog for NullLog {
    fn refresh(&mut self) -> u64 {
        0
    }
}

/// Each frame is written once, straight into the mapping: header and body front to back, its length last.
pub struct MappedLog {
    writer: LogWriter,
    failed: bool,
}

impl MappedLog {
    pub fn new(mut writer: LogWriter) -> Self {
        writer.lag_bytes(); // the first look at the readers' cursors
        Self { writer, failed: false }
    }

    /// A frame did not fit although there was room for it: the log is unusable.
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    pub fn writer_mut(&mut self) -> &mut LogWriter {
        &mut self.writer
    }

    /// There was room for the frame, so this is a reader that went backwards, which is waited for, or a frame of
    /// impossible size.
    #[cold]
    fn append_late(&mut self, header: &[u8; HEADER_LEN], body: &[u8], mut error: PushError) -> bool {
        while error == PushError::Full {
            core::hint::spin_loop();
            match self.writer.append(header, body) {
                Ok(()) => return true,
                Err(now) => error = now,
            }
        }
        self.failed = true;
        false
    }
}

impl EdgeLog for MappedLog {
    #[inline]
    fn refresh(&mut self) -> u64 {
        self.writer.lag_bytes() * 100 / self.writer.capacity() as u64
    }

    #[inline]
    fn is_tight(&self) -> bool {
        self.room() < self.writer.capacity() / RESERVE_PARTS
    }
}

impl LogSink for MappedLog {
    #[inline]
    fn room(&self) -> usize {
        // A lap may end early by almost one frame.
        (self.writer.room_bytes() as usize).saturating_sub(MAX_FRAME_LEN)
    }

    #[inline]
    fn append(&mut self, header: &FrameHeader, body: &[u8]) -> bool {
        let header: &[u8; HEADER_LEN] = bytemuck::cast_ref(header);
        match self.writer.append(header, body) {
            Ok(()) => true,
            Err(error) => self.append_late(header, body, error),
        }
    }
}
