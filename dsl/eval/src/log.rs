//! The log behind the sequencer of a play: notes for whoever asks, and every frame where a restart must be possible.
use tercel_core::{LogSink, MemoryLog};
use tercel_event::{Body, FrameHeader, Note};

#[derive(Default)]
pub(crate) struct Log {
    /// Notes since they were last taken.
    pub notes: Vec<Note>,
    pub frames: Option<MemoryLog>,
}

impl LogSink for Log {
    fn room(&self) -> usize {
        usize::MAX
    }

    fn append(&mut self, header: &FrameHeader, body: &[u8]) -> bool {
        if header.kind == Note::KIND as u16
            && let Ok(note) = bytemuck::try_pod_read_unaligned(body)
        {
            self.notes.push(note);
        }
        self.frames.as_mut().is_none_or(|frames| frames.append(header, body))
    }
}
