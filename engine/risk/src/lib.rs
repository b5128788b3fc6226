//! Hot path. The last word before an order leaves: a ledger of its own, in integers, fed by value, and the controls on it.
//!
//!   Command ─▶ submit ─▶ Verdict (Ok: reserved)          LimitSet, Mode ─▶ set_limit, set_state
//!   mark, fill, replaced, release, adopt ─▶ ledger ─▶ exposure, worst-case position, loss ─▶ Halt
//!
//! Thread      the core's.
//! Memory      everything is allocated by `Risk::new`.
//! Fails       closed: a limit that is not configured, a reference that is not fresh, a gate that is not open refuse.
//! Speed       what is asked at every order is kept as it is compared: room that a limit leaves, not a sum and a limit.
//! Invariants  a reservation grows before the command leaves and shrinks only on the venue's word; a pending or unknown
//!             replace reserves the worse of old and new; what is refused has reserved and counted nothing.
//!
//! Knows neither the book nor the order table: the core compares its ledger with theirs after every fill.
#![forbid(unsafe_code)]

mod check;
mod control;
mod duplicates;
mod feed;
mod ledger;
mod limits;
mod operate;
mod quick;
mod rate;
mod resting;
mod scope;
mod value;

pub use control::{Control, Refusal, Verdict};
pub use feed::FillInput;
pub use ledger::{Difference, Halt, OpenSeen, Risk, Seen};
pub use limits::{
    AccountLimits, Collar, InstrumentLimits, PositionLimits, RateLimits, RiskLimits, ScopeLimits, StrategyLimits,
};
pub use operate::LimitError;
