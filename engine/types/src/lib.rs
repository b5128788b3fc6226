//! Fixed point, ids, time, instrument definitions: the words that every other crate shares. Imports nothing of ours.
#![forbid(unsafe_code)]

mod ascii;
mod decimal;
mod id_map;
mod ids;
mod instrument;
mod money;
mod price;
mod problem;
mod time;
mod units;

pub use ascii::{Ascii, ExecId, OrderId};
pub use decimal::{Decimal, DecimalError, DecimalText};
pub use id_map::IdMap;
pub use ids::{AccountId, CL_ORD_ID_LEN, ClOrdId, ClOrdIdError, InstrumentId, SourceId, StrategyId};
pub use instrument::{Calendar, FeeRates, Instrument, InstrumentKind, Instruments};
pub use money::Money;
pub use price::{Price, PriceDelta, Qty, Side};
pub use problem::Problem;
pub use time::{DurationNs, TimeNs};
pub use units::{Memo, Units};
