//! Decoding of the venue's messages, our own: no allocation, any key order, unknown keys skipped, levels written where the
//! frame wants them. What is not understood is a `Malformed` with its place, never a panic.
mod cursor;
mod digits;
mod forms;
mod levels;
mod message;
mod ordered;
mod places;
mod scale;

pub use message::{BookTicker, Decoder, Depth, Event, Message, Snapshot, Trade};

use tercel_types::InstrumentId;
use thiserror::Error;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Why {
    #[error("this is not JSON")]
    Syntax,
    #[error("the message ends too early")]
    Truncated,
    #[error("an escape, or one that JSON does not have")]
    Escape,
    #[error("values are nested too deeply")]
    Depth,
    #[error("not a number of the expected kind")]
    Number,
    #[error("not a multiple of the instrument's step")]
    OffStep,
    #[error("more digits than fit")]
    Overflow,
    #[error("a negative quantity")]
    Negative,
    #[error("a key occurs twice")]
    Twice,
    #[error("a key is missing")]
    Missing,
    #[error("more levels than the decoder has room for")]
    TooLarge,
}

/// A message that was refused. `event` and `instrument` are what was known of it by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("byte {at}: {why}")]
pub struct Malformed {
    /// Bytes from the start of the message.
    pub at: usize,
    pub why: Why,
    pub event: Option<Event>,
    pub instrument: Option<InstrumentId>,
}

impl Malformed {
    pub(crate) fn new(at: usize, why: Why) -> Self {
        Self { at, why, event: None, instrument: None }
    }
}
