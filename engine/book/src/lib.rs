//! Hot path. Price-level book of one instrument: what every quote, fill and signal is read against.
//!
//!   frame ──▶ Book::apply ──▶ levels ──▶ touch (levels, or a newer Bbo) ──▶ strategies, once, at the end of the frame
//!                     └──(gap, crossed, checksum, truncated)──▶ fault, and a request to rebuild (`ResyncReason`)
//!
//! Thread      the core's.
//! Memory      all levels are allocated by `Book::new`; any price is accepted afterwards without allocation.
//! Cost        O(1) for the tens of thousands of prices around the touch, wherever they are; a sorted list beyond (side.rs).
//! Invariants  while `Live`: best_bid < best_ask in the depth book; within a side prices are distinct and sorted; every
//!             level better than the side's horizon is known.
#![forbid(unsafe_code)]

mod book;
mod quality;
mod side;

pub use book::{Book, BookConfig, BookCounters, BookOutcome, LastTrade};
pub use quality::{Faults, Quality, ResyncReason};
pub use tercel_event::{Level, Phase};
