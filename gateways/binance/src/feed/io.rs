//! What a feed machine may ask of whoever drives it, and the counters of everything that it saw, dropped or refused.
use tercel_event::{Frame, HEADER_LEN};
use tercel_types::InstrumentId;
use thiserror::Error;

/// The way to the core has no room; the machine drops the message, counts it and rebuilds the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the ring to the core is full")]
pub struct RingFull;

/// The shell, the backtest or a test, as the machine sees it.
pub trait FeedIo {
    /// Hands one venue message to the core, all of it or nothing: one frame, or the parts of one message back to back, each
    /// starting on a whole line. `frames_of` walks them.
    fn push(&mut self, frames: &[u8]) -> Result<(), RingFull>;

    /// Asks for a REST snapshot. Answered exactly once, at any later time, by `FeedMachine::on_snapshot`.
    fn request_snapshot(&mut self, instrument: InstrumentId);
}

/// The frames of one `push`, each without its padding.
pub fn frames_of(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let len = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        if len < HEADER_LEN {
            return None;
        }
        let frame = bytes.get(..len)?;
        bytes = bytes.get(Frame::padded_len(len)..).unwrap_or(&[]);
        Some(frame)
    })
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)+) => {
        /// Everything a feed saw, dropped or refused since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct FeedCounters { $($(#[doc = $doc])* pub $name: u64,)+ }

        impl FeedCounters {
            /// Name and value, in the order of the source.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

counters! {
    #[doc = "Messages given to the machine, of any kind."]
    messages,
    bytes,
    depths,
    book_tickers,
    trades,
    #[doc = "Well-formed messages of another kind, or of another instrument."]
    others,
    #[doc = "Frames handed to the core."]
    frames,
    #[doc = "Messages that could not be decoded, snapshots included."]
    malformed,
    #[doc = "Depth messages that the book already contained."]
    depths_old,
    #[doc = "Best quotes that were not newer than the last one."]
    book_tickers_old,
    #[doc = "Trades that had been seen."]
    trades_old,
    #[doc = "Notices on the trade stream that are no trades of the book."]
    trades_empty,
    #[doc = "Trade ids that never came."]
    trades_missing,
    #[doc = "Depth messages that came for an instrument whose depth socket is down."]
    depths_unexpected,
    #[doc = "Breaks of the depth chain, whether the book was live or not."]
    gaps,
    #[doc = "Times that a live or recovering book had to be rebuilt, for whatever reason."]
    resyncs,
    #[doc = "Times that a book became whole."]
    recoveries,
    #[doc = "`Resync` commands that came while the book was being rebuilt anyway."]
    resyncs_idle,
    #[doc = "Times that a depth socket was lost."]
    disconnects,
    snapshots_asked,
    snapshots_failed,
    #[doc = "Snapshots older than the first buffered message."]
    snapshots_old,
    #[doc = "Snapshots that nobody needed any more."]
    snapshots_unneeded,
    #[doc = "Buffered depth messages thrown away because the buffer was full."]
    buffered_dropped,
    #[doc = "Messages dropped because the ring to the core was full."]
    ring_full,
    #[doc = "Status frames dropped because too many were waiting for the ring."]
    statuses_dropped,
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercel_event::{Bbo, write_frame};
    use tercel_types::SourceId;

    #[test]
    fn frames_are_walked_and_lies_end_the_walk() {
        let mut bytes = vec![0; 512];
        let len = write_frame(&mut bytes, SourceId(3), 1, 0, &Bbo::default(), &[]).unwrap();
        let next = Frame::padded_len(len);
        write_frame(&mut bytes[next..], SourceId(3), 2, 0, &Bbo::default(), &[]).unwrap();
        bytes.truncate(next + len);
        assert_eq!(frames_of(&bytes).map(<[u8]>::len).collect::<Vec<_>>(), [len, len]);
        assert_eq!(frames_of(&bytes[..next + 9]).count(), 1);
        assert_eq!(frames_of(&[0; 64]).count(), 0);
    }
}
