//! Hot path. Lifecycle of orders, positions by strategy and by account, profit and loss.
//!
//!   Command ─▶ on_command ─┐                          ┌▶ OrderUpdate: what risk must be fed, and any breach
//!   report  ─▶ on_*        ┼▶ Orders ─▶ NEXT (state) ─┼▶ Position (strategy), Position (account)
//!   time    ─▶ on_time     ┘                          └▶ who must be asked about (`status_due`)
//!
//! Thread      the core's.
//! Memory      all slots are allocated by `Orders::new`; a full table refuses new orders, never an answer to one.
//! Invariants  a fill counts once, always, and is never invented; an order that is not proven dead keeps its quantity in
//!             the open totals; an order is dead only when the venue said so and no fill of it is missing.
#![forbid(unsafe_code)]

mod config;
mod due;
mod exec_ids;
mod list;
mod order;
mod orders;
mod position;
mod reports;
mod requests;
mod state;
mod update;

pub use config::OrderConfig;
pub use order::{Order, Request};
pub use orders::{Counters, OpenTotals, Orders};
pub use position::{Fill, Position};
pub use state::{Event, NEXT, Next, OrderState, next};
pub use update::{Breach, OrderError, OrderUpdate, Replaced};
