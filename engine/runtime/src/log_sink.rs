//! Hot path. The sequenced log as the sequencer writes it.
use tercel_core::{LogSink, MemoryLog, NullLog};
use tercel_event::{Frame, MAX_FRAME_LEN};
use tercel_ring::LogWriter;

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

/// Frames are built in a scratch buffer that stays in the first-level cache and copied into the mapping, so that a line of
/// the log is written once, front to back.
pub struct MappedLog {
    writer: LogWriter,
    scratch: Box<[u64]>,
    claimed: usize,
    /// Room at the last look at the readers' cursors, less what was written since: never more than there is.
    room: usize,
    failed: bool,
}

impl MappedLog {
    pub fn new(mut writer: LogWriter) -> Self {
        let room = writer.capacity() - writer.lag_bytes() as usize;
        Self { writer, scratch: vec![0; MAX_FRAME_LEN / 8].into_boxed_slice(), claimed: 0, room, failed: false }
    }

    /// A frame did not fit although there was room for it: the log is unusable.
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    pub fn writer_mut(&mut self) -> &mut LogWriter {
        &mut self.writer
    }
}

impl EdgeLog for MappedLog {
    #[inline]
    fn refresh(&mut self) -> u64 {
        let lag = self.writer.lag_bytes();
        let capacity = self.writer.capacity() as u64;
        self.room = capacity.saturating_sub(lag) as usize;
        lag * 100 / capacity
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
        self.room.saturating_sub(MAX_FRAME_LEN)
    }

    #[inline]
    fn claim(&mut self, len: usize) -> Option<&mut [u8]> {
        self.claimed = len;
        bytemuck::cast_slice_mut(&mut self.scratch).get_mut(..len)
    }

    #[inline]
    fn publish(&mut self) {
        let bytes: &[u8] = bytemuck::cast_slice(&self.scratch);
        let len = self.claimed;
        while self.writer.push(&bytes[..len]).is_err() {
            // `room` was asked before, so this is a reader that went backwards or a frame of impossible size.
            if len > MAX_FRAME_LEN || len == 0 {
                self.failed = true;
                return;
            }
            core::hint::spin_loop();
        }
        self.room = self.room.saturating_sub(Frame::padded_len(len));
    }
}
