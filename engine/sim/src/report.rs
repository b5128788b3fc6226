//! What a simulated venue answers: the content of an ExecutionReport (8) or OrderCancelReject (9), before any encoding.
use crate::order::{OrderNo, Refusal};
use tercel_event::{OrdType, Tif};
use tercel_types::{Ascii, InstrumentId, Money, Price, Qty, Side, TimeNs};

/// A client's own name of an order or request (ClOrdID, OrdStatusReqID, MassStatusReqID).
pub type ClientId = Ascii<40>;
/// A client of the venue: one order session.
pub type ClientNo = u32;

/// FIX ExecType (150), as its byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExecType {
    New = b'0',
    Canceled = b'4',
    Replaced = b'5',
    Rejected = b'8',
    Expired = b'C',
    Trade = b'F',
    Status = b'I',
}

/// FIX OrdStatus (39), as its byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OrdStatus {
    New = b'0',
    PartiallyFilled = b'1',
    Filled = b'2',
    Canceled = b'4',
    Rejected = b'8',
    Expired = b'C',
}

impl OrdStatus {
    pub const fn is_open(self) -> bool {
        matches!(self, Self::New | Self::PartiallyFilled)
    }
}

/// Position and fees of one client in one instrument, by the venue's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    pub position: Qty,
    pub bought: Qty,
    pub sold: Qty,
    pub fees: Money,
    pub fills_count: u64,
}

/// Place of a report in the answer to a mass status request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MassStatus {
    /// MassStatusReqID (584).
    pub request: ClientId,
    /// TotNumReports (911): orders in the answer; 0 in the one report of an empty answer.
    pub orders_count: u32,
    /// LastRptRequested (912).
    pub last: bool,
}

/// One ExecutionReport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    pub client: ClientNo,
    /// ExecID (17) as a number, from 1; 0 in answers to status requests, which have none of their own.
    pub exec_no: u64,
    /// OrderID (37) as a number; 0 when the venue has no such order.
    pub order_no: OrderNo,
    pub cl_ord_id: ClientId,
    /// OrigClOrdID (41), empty when absent.
    pub orig_cl_ord_id: ClientId,
    /// Account (1) as the order had it, empty when absent.
    pub account: Ascii<16>,
    pub instrument: InstrumentId,
    pub side: Side,
    pub ord_type: OrdType,
    pub tif: Tif,
    pub exec_type: ExecType,
    pub ord_status: OrdStatus,
    /// Limit price, `None` for a market order.
    pub px: Option<Price>,
    pub order_qty: Qty,
    pub last_px: Price,
    /// 0 unless the report is a fill.
    pub last_qty: Qty,
    pub cum_qty: Qty,
    pub leaves_qty: Qty,
    /// Σ price · quantity of all fills of the order, in steps times lots; AvgPx (6) is this over `cum_qty`.
    pub cost: i128,
    /// LastLiquidityInd (851): 1 added, 2 removed, 0 no fill.
    pub liquidity: u8,
    /// Commission of this fill, in the settlement currency.
    pub commission: Money,
    /// The client's position and fees in the instrument, this event included.
    pub holding: Holding,
    pub refusal: Option<Refusal>,
    /// OrdStatusReqID (790), empty when absent.
    pub status_request: ClientId,
    pub mass: Option<MassStatus>,
    /// Time at the venue.
    pub ts: TimeNs,
    /// How many recorded messages the matcher had taken in.
    pub after: u64,
}

/// One OrderCancelReject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelRefused {
    pub client: ClientNo,
    pub order_no: OrderNo,
    pub cl_ord_id: ClientId,
    pub orig_cl_ord_id: ClientId,
    pub ord_status: OrdStatus,
    /// CxlRejResponseTo (434): false for a cancel (1), true for a replace (2).
    pub replace: bool,
    pub refusal: Refusal,
    pub ts: TimeNs,
    pub after: u64,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "almost every answer is the large one")]
pub enum Response {
    Execution(Execution),
    CancelRefused(CancelRefused),
}

impl Response {
    pub const fn client(&self) -> ClientNo {
        match self {
            Self::Execution(execution) => execution.client,
            Self::CancelRefused(refused) => refused.client,
        }
    }

    pub const fn ts(&self) -> TimeNs {
        match self {
            Self::Execution(execution) => execution.ts,
            Self::CancelRefused(refused) => refused.ts,
        }
    }
}
