//! What a simulated venue is asked and why it refuses.
use tercel_event::Tif;
use tercel_types::{Price, Qty, Side};

/// Number of an order at the venue, from 1 in order of arrival.
pub type OrderNo = u64;

/// An order as the matcher sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub side: Side,
    /// `None` is a market order: any price, and what cannot trade at once is cancelled.
    pub limit: Option<Price>,
    pub qty: Qty,
    pub tif: Tif,
    pub post_only: bool,
}

/// Why the venue refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    UnknownInstrument,
    DuplicateId,
    /// No order of that id, or not one of this client.
    UnknownOrder,
    /// The order is filled, cancelled, rejected or expired.
    TooLate,
    QtyBelowMinimum,
    NotionalBelowMinimum,
    /// Zero, negative, or absent where a limit is needed.
    Price,
    /// A price or quantity that is no multiple of the instrument's step or lot.
    OffStep,
    /// A post-only order that would take liquidity.
    WouldTake,
    /// Would trade with a resting order of the same client.
    SelfTrade,
    /// A replace to no more than what is already filled.
    BelowFilled,
    /// A replace of the side, instrument or kind of the order.
    Unreplaceable,
    /// Too many open orders.
    Full,
}

impl Refusal {
    pub const fn text(self) -> &'static str {
        match self {
            Self::UnknownInstrument => "unknown instrument",
            Self::DuplicateId => "duplicate ClOrdID",
            Self::UnknownOrder => "unknown order",
            Self::TooLate => "too late: the order is done",
            Self::QtyBelowMinimum => "quantity below the minimum",
            Self::NotionalBelowMinimum => "order value below the minimum",
            Self::Price => "price must be positive",
            Self::OffStep => "price or quantity off the step",
            Self::WouldTake => "post-only order would take liquidity",
            Self::SelfTrade => "would trade with an own order",
            Self::BelowFilled => "quantity is not above what is filled",
            Self::Unreplaceable => "only price and quantity can be replaced",
            Self::Full => "too many open orders",
        }
    }

    /// FIX OrdRejReason (103).
    pub const fn ord_rej_reason(self) -> u8 {
        match self {
            Self::UnknownInstrument => 1,
            Self::UnknownOrder | Self::TooLate => 5,
            Self::DuplicateId => 6,
            Self::QtyBelowMinimum => 13,
            Self::Full => 3,
            _ => 99,
        }
    }

    /// FIX CxlRejReason (102).
    pub const fn cxl_rej_reason(self) -> u8 {
        match self {
            Self::TooLate | Self::BelowFilled => 0,
            Self::UnknownOrder => 1,
            Self::DuplicateId => 6,
            _ => 99,
        }
    }
}
