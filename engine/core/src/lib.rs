//! The deterministic core of Tercel: `Core::step` turns one sequenced frame into commands, `Sequencer` gives frames their
//! place in the order, `Replayer` proves that a log can be reproduced.
//!
//! Live, backtest, paper, replay and simulation run these same types; they differ in where frames come from, where the log
//! lies and where commands go.
#![forbid(unsafe_code)]

mod absorb;
mod bind;
mod config;
mod control;
mod deadlines;
mod inputs;
mod ledger;
mod limits;
mod machine;
mod market;
mod outbox;
mod pace;
mod problem;
mod profit;
mod replay;
mod report;
mod runner;
mod sequencer;
mod session;
mod shown;
mod trade;
mod venue;

pub use config::{AccountConfig, CoreConfig, SignalConfig, StrategyConfig};
pub use deadlines::{TimerClass, timer_id, timer_parts};
pub use limits::{PULL_HOLD, RATE_MAX};
pub use machine::{Core, NO_INSTRUMENT, NO_STRATEGY};
pub use market::FeedCounters;
pub use outbox::{CommandBatch, Derived, Outbox};
pub use replay::{Difference, Replayer};
pub use report::{AccountReport, Counters, FeedReport, Pnl, PositionReport, Report, StrategyReport};
pub use sequencer::{DERIVED_RESERVE, FeedError, LogSink, MemoryLog, NullLog, Sequencer, TIMERS_MAX};
pub use session::Gate;
pub use trade::STRATEGY_LIMIT;
