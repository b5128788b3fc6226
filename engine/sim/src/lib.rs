//! Matching and venue models over recorded markets: what a backtest trades against and what `tercel venue` runs on.
//! Knows types and events only and shares no accounting with `engine/order`, so that the two can be compared.
//! Deterministic: no clock, no randomness, no threads, no floating point.
#![forbid(unsafe_code)]

mod adapter;
mod exchange;
mod market;
mod matcher;
mod order;
mod queue;
mod report;

pub use adapter::{EngineSide, Latency, SimConfig, SimExchange, exec_id, order_id, run_until};
pub use exchange::{Cancel, Exchange, ExchangeConfig, NewOrder, Replace};
pub use market::{PublicTrade, Quote};
pub use matcher::{Fill, Matcher, Placed};
pub use order::{OrderNo, Refusal, Terms};
pub use queue::{HOLD, QueueModel};
pub use report::{CancelRefused, ClientId, ClientNo, ExecType, Execution, Holding, MassStatus, OrdStatus, Response};
