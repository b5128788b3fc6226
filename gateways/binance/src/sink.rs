//! Where the shell puts frames: the ring to the core, or a test's list.
use crate::feed::{RingFull, frames_of};
use tercel_event::{Frame, MAX_FRAME_LEN};
use tercel_ring::FrameProducer;

/// Takes one message, all of it or nothing (see `FeedIo::push`).
pub trait FrameSink {
    fn push(&mut self, frames: &[u8]) -> Result<(), RingFull>;
}

impl FrameSink for FrameProducer {
    #[inline]
    fn push(&mut self, frames: &[u8]) -> Result<(), RingFull> {
        let first = u32::from_le_bytes(frames.first_chunk().copied().unwrap_or_default()) as usize;
        if first == frames.len() {
            return FrameProducer::push(self, frames).map_err(|_| RingFull);
        }
        push_parts(self, frames)
    }
}

/// Parts of one message go in only when all of them fit, the lines lost at the ring's end included: a reader that has seen
/// the first part may wait for the last.
#[cold]
fn push_parts(ring: &mut FrameProducer, frames: &[u8]) -> Result<(), RingFull> {
    let need = frames.len().next_multiple_of(tercel_event::LINE_LEN) + Frame::padded_len(MAX_FRAME_LEN);
    if ring.capacity() - ring.used_bytes().min(ring.capacity()) < need {
        return Err(RingFull);
    }
    for frame in frames_of(frames) {
        ring.push(frame).map_err(|_| RingFull)?;
    }
    Ok(())
}
