//! Numbers frames and hands them on; statuses that found the ring full wait here and leave before anything else does.
use crate::feed::io::{FeedCounters, FeedIo, RingFull};
use std::collections::VecDeque;
use tercel_event::{Body, FeedStatus, Frame, FrameHeader, HEADER_LEN};
use tercel_types::SourceId;

/// Bytes of `src_seq` in a frame's header.
const SRC_SEQ: core::ops::Range<usize> = 24..HEADER_LEN;
/// More statuses than this never wait: they repeat themselves until the ring has room.
const WAITING_MAX: usize = 16;

pub(super) struct Outbox<'a> {
    pub io: &'a mut dyn FeedIo,
    pub source: SourceId,
    /// `src_seq` of the last frame handed on.
    pub src_seq: &'a mut u64,
    pub counters: &'a mut FeedCounters,
}

impl Outbox<'_> {
    /// Numbers and pushes one message. A refused one uses up no number.
    #[inline]
    pub fn push(&mut self, frames: &mut [u8]) -> Result<(), RingFull> {
        let (mut next, mut at) = (*self.src_seq, 0);
        while let Some(head) = frames.get_mut(at..at + HEADER_LEN) {
            next += 1;
            head[SRC_SEQ].copy_from_slice(&next.to_le_bytes());
            let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            at += Frame::padded_len(len.max(1));
        }
        self.io.push(frames)?;
        self.counters.frames += next - *self.src_seq;
        *self.src_seq = next;
        Ok(())
    }

    /// A frame without a tail.
    #[inline]
    pub fn push_body<B: Body>(&mut self, body: &B) -> Result<(), RingFull> {
        let src_seq = *self.src_seq + 1;
        let len = (HEADER_LEN + size_of::<B>()) as u32;
        let header = FrameHeader { len, kind: B::KIND as u16, src: self.source, src_seq, ..FrameHeader::default() };
        self.io.push(bytemuck::bytes_of(&body.framed(header)))?;
        self.counters.frames += 1;
        *self.src_seq = src_seq;
        Ok(())
    }
}

/// Statuses of one instrument on their way to the core, in order.
pub(super) struct Statuses {
    waiting: VecDeque<FeedStatus>,
}

impl Statuses {
    pub fn new() -> Self {
        Self { waiting: VecDeque::with_capacity(WAITING_MAX) }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn add(&mut self, status: FeedStatus, out: &mut Outbox<'_>) {
        if self.waiting.len() == WAITING_MAX {
            out.counters.statuses_dropped += 1;
        } else {
            self.waiting.push_back(status);
        }
        self.flush(out);
    }

    /// True when none waits any more.
    #[inline]
    pub fn flush(&mut self, out: &mut Outbox<'_>) -> bool {
        while let Some(status) = self.waiting.front() {
            if out.push_body(status).is_err() {
                return false;
            }
            self.waiting.pop_front();
        }
        true
    }
}
