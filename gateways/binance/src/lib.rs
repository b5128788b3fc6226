//! Binance futures market data (USD-M and COIN-M): decoding, the feed machine that owns the venue's sequence rules, the
//! shell that owns its sockets, and the reader of recordings.
#![forbid(unsafe_code)]

mod config;
pub mod feed;
pub mod json;
pub mod recording;
mod shell;
mod sink;

pub use config::{FeedConfig, SocketConfig, Stream, StreamKind};
pub use feed::{FeedCounters, FeedIo, FeedMachine, RingFull, frames_of};
pub use shell::{FeedShell, Log, ShellError};
pub use sink::FrameSink;
