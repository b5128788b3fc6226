//! Depth messages that wait for their snapshot, as frames, oldest first. Fixed memory; overflow is the caller's to count.
use tercel_event::{BookDelta, Frame, FrameFlags, HEADER_LEN};

/// Update ids of one buffered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub first: u64,
    pub last: u64,
    pub prev: u64,
}

pub(super) struct Buffer {
    bytes: Vec<u8>,
    capacity: usize,
    /// Where the oldest message starts; what lies before it has been taken.
    from: usize,
    pub messages: u64,
    /// `u` of the newest message ever appended since `clear`, taken or not: the chain goes on from it.
    pub last_update_id: Option<u64>,
}

impl Buffer {
    pub fn new(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), capacity, from: 0, messages: 0, last_update_id: None }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.from = 0;
        self.messages = 0;
        self.last_update_id = None;
    }

    /// Appends the frames of one message; `false` when there is no room.
    pub fn append(&mut self, frames: &[u8], last_update_id: u64) -> bool {
        let len = frames.len().next_multiple_of(tercel_event::LINE_LEN);
        if self.bytes.len() + len > self.capacity {
            self.bytes.drain(..self.from);
            self.from = 0;
            if self.bytes.len() + len > self.capacity {
                return false;
            }
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(frames);
        self.bytes.resize(at + len, 0);
        self.messages += 1;
        self.last_update_id = Some(last_update_id);
        true
    }

    /// Ids and frames of the oldest message.
    pub fn front(&mut self) -> Option<(Ids, &mut [u8])> {
        let to = self.front_end()?;
        let frames = &mut self.bytes[self.from..to];
        let head: BookDelta = Frame::parse(frames).ok()?.body().ok()?;
        Some((Ids { first: head.first_update_id, last: head.last_update_id, prev: head.prev_update_id }, frames))
    }

    /// Forgets the oldest message.
    pub fn pop(&mut self) {
        if let Some(to) = self.front_end() {
            self.from = to;
            self.messages -= 1;
        }
    }

    /// Behind the last part of the oldest message.
    fn front_end(&self) -> Option<usize> {
        let mut at = self.from;
        loop {
            let frame = Frame::parse(self.bytes.get(at..)?).ok()?;
            debug_assert!(frame.body.len() + HEADER_LEN == frame.header.len as usize);
            at += Frame::padded_len(frame.header.len as usize);
            if frame.header.flags & FrameFlags::MORE == 0 {
                return Some(at);
            }
        }
    }
}
