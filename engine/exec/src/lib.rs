//! From what a strategy wants to what has to be sent: the reconciler between desired state and working orders.
//!
//!   `Desires` ──▶ [`Reader`] (steps and lots) ──▶ [`reconcile`] ◀── [`Working`] orders
//!                                                     └──▶ [`Plan`]: actions with reasons, holds with reasons, a wake time
//!
//! [`Reader::follow`] is the short way for a quote whose orders are settled.
//! Pure functions and a few words of memory per (strategy, instrument) in [`Slot`]; no clock, no order table, no risk: the
//! core passes each action through both before it becomes a command. No allocation after construction.
#![forbid(unsafe_code)]

mod follow;
mod reconcile;
mod slot;
mod want;
mod working;

pub use reconcile::{Opening, View, reconcile};
pub use slot::{Action, Hold, Plan, Slot};
pub use want::{ExecConfig, LegWant, Market, Reader, Want};
pub use working::{Working, WorkingStatus, leg_of, leg_tag};

/// Legs of one quote that the reconciler can hold.
pub const MAX_LEGS: usize = 16;
/// Sink number of orders that the core places itself to close a position (`flatten`).
pub const FLATTEN_SINK: u16 = 0xFE;
