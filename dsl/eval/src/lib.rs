//! Strategies played on events: the one player of event tables, `tercel eval` and everything that compares engines.
//!
//!   events (CSV, table rows) ──▶ [`Player`]: frames ──▶ `tercel_core::Core` ──▶ strategy on an [`Engine`]
//!                                    ▲  └ venue: acknowledges at once ◀── commands      └──▶ values per instant, causes
//!
//! Thread      one.
//! Never       reads a clock or a file: texts come in as strings and lines.
//! Values      are those of the engine that runs, read by node through `Program::probes`; why one is absent is found by a
//!             walk over the graph beside it.
#![forbid(unsafe_code)]

mod cause;
mod csv;
mod engine;
mod event;
mod log;
mod player;
mod setup;
mod show;
mod table;
mod venue;

pub use cause::Cause;
pub use csv::{Evaluation, EventLines, Steps};
pub use engine::Engine;
pub use event::{Event, Fault};
pub use player::{Column, Instant, Options, Player, Step};
pub use setup::{InstrumentSetup, Setup};
pub use show::{command_text, note_text, number_text, value_text};
pub use table::{Played, Table, play_table};
