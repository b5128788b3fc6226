use crate::{Fill, OrderState};
use tercel_types::{AccountId, ClOrdId, InstrumentId, Price, Qty, Side, StrategyId};
use thiserror::Error;

/// What one message did. The core feeds risk from it, in this order: `adopted` → reserve, `fill` → fill, `replaced`, then
/// `released`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderUpdate {
    /// The order's own identity; `NONE` when the message names no order of ours.
    pub root: ClOrdId,
    pub strategy: StrategyId,
    pub account: AccountId,
    pub instrument: InstrumentId,
    pub side: Option<Side>,
    pub before: Option<OrderState>,
    pub after: Option<OrderState>,
    /// The record was made, or made open again, by this message: an order of ours that the venue has and we had not.
    pub adopted: bool,
    pub fill: Option<Fill>,
    pub replaced: Option<Replaced>,
    /// The order is dead and nothing of it is missing: its reservation ends.
    pub released: bool,
    /// The message had counted before.
    pub duplicate: bool,
    pub breach: Option<Breach>,
}

/// The end of a replace request, or the venue's own word on price and quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// False: refused or never sent, the order stands as before.
    pub accepted: bool,
    /// What stands now.
    pub px: Price,
    pub order_qty: Qty,
}

/// Something that the rules of the protocol exclude. It is counted and alarmed; whatever it says about fills is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Breach {
    /// The report is not possible in the order's state.
    State = 1,
    /// A fill of an order that was dead.
    LateFill = 2,
    /// More filled than ordered.
    Overfill = 3,
    /// CumQty is below what we have counted.
    CumBelow = 4,
    /// CumQty is above what we have counted: a fill is missing.
    MissingFill = 5,
    /// The venue changed an order unasked (ExecType D).
    Restated = 6,
    /// A trade was cancelled by the venue (ExecType H). The position is not changed; a person must.
    TradeBusted = 7,
    /// A trade was corrected by the venue (ExecType G). The position is not changed; a person must.
    TradeCorrected = 8,
    /// A report for an order that we do not have.
    UnknownOrder = 9,
    /// Instrument or side of a report differ from the order's.
    Identity = 10,
    /// ExecType, quantity or price cannot be true.
    Malformed = 11,
    /// The table is full of open orders and could not take in an order that the venue has.
    TableFull = 12,
    /// The session or application refused a message about an order that stands.
    MessageRefused = 13,
}

impl Breach {
    pub const COUNT: usize = 14;
}

/// Why a command is not taken. Nothing has changed when one is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum OrderError {
    #[error("the table is full of open orders")]
    Full,
    #[error("the ClOrdID is not above every one used before")]
    ReusedId,
    #[error("no open order has this root ClOrdID")]
    UnknownOrder,
    #[error("not possible in state {0:?}")]
    State(OrderState),
    #[error("strategy, account, instrument, side or kind of the command is not known")]
    Malformed,
}
