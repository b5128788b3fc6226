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
        match frames.get(..first) {
            Some(frame) if Frame::padded_len(first) >= frames.len() => {
                FrameProducer::push(self, frame).map_err(|_| RingFull)
            }
            _ => push_parts(self, frames),
        }
    }
}

/// Parts of one message go in only when all of them fit, the lines lost at the ring's end included: a reader that has seen
/// the first part may wait for the last. A snapshot of 1,000 levels a side has two parts and needs a ring of 128 KiB.
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
