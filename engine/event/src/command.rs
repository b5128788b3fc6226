use bytemuck::{Pod, Zeroable};
use tercel_types::{AccountId, ClOrdId, InstrumentId, Price, Qty, SourceId, StrategyId, TimeNs};

pub const COMMAND_LEN: usize = 128;

/// What the core asks of a gateway. Identity is `(epoch, seq, index)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Command {
    /// `seq` of the frame that caused the command.
    pub seq: u64,
    pub epoch: u32,
    /// Place among the commands of one frame, from 0.
    pub index: u16,
    /// A `CommandKind`.
    pub kind: u8,
    /// The gateway that the command is for.
    pub dest: SourceId,
    /// `now` of the causing frame.
    pub ts: TimeNs,
    /// Receive stamp of the causing event, 0 when it has none: the start of tick-to-trade.
    pub ts_cause: TimeNs,
    /// The order, or the new id of a cancel or replace request.
    pub cl_ord_id: ClOrdId,
    /// The order that a cancel or replace request is about, as the venue last acknowledged it.
    pub orig_cl_ord_id: ClOrdId,
    /// The first id of the order, unchanged through replaces: the order's own identity.
    pub root_cl_ord_id: ClOrdId,
    /// The parent order, for execution algorithms.
    pub parent_id: u64,
    /// Limit price in steps.
    pub px: Price,
    /// OrderQty (38) in lots: the total, not what is left.
    pub order_qty: Qty,
    pub instrument: InstrumentId,
    pub strategy: StrategyId,
    pub account: AccountId,
    /// A `Side`.
    pub side: u8,
    /// A `Tif` as its FIX byte.
    pub tif: u8,
    /// An `OrdType` as its FIX byte.
    pub ord_type: u8,
    /// Bits of `Command::POST_ONLY`, `Command::REDUCE_ONLY`.
    pub flags: u8,
    /// A `Reason`: why the reconciler acted.
    pub reason: u16,
    /// Sink of the strategy's manifest in the high byte, leg in the low one.
    pub leg: u16,
    pub reserved: [u64; 4],
}

const _: () = assert!(size_of::<Command>() == COMMAND_LEN);

impl Command {
    /// ExecInst (18) = 6, participate don't initiate.
    pub const POST_ONLY: u8 = 1;
    pub const REDUCE_ONLY: u8 = 2;
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CommandKind {
    New = 1,
    Cancel = 2,
    Replace = 3,
    /// OrderStatusRequest (H) for one order.
    Status = 4,
    /// OrderMassStatusRequest (AF); `cl_ord_id` is the request id.
    MassStatus = 5,
    /// Rebuild the book of `instrument` from a snapshot.
    Resync = 6,
}

impl CommandKind {
    #[inline]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::New),
            2 => Some(Self::Cancel),
            3 => Some(Self::Replace),
            4 => Some(Self::Status),
            5 => Some(Self::MassStatus),
            6 => Some(Self::Resync),
            _ => None,
        }
    }
}

/// FIX TimeInForce (59), as its byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tif {
    Day = b'0',
    Gtc = b'1',
    Ioc = b'3',
    Fok = b'4',
    Gtd = b'6',
}

impl Tif {
    #[inline]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            b'0' => Some(Self::Day),
            b'1' => Some(Self::Gtc),
            b'3' => Some(Self::Ioc),
            b'4' => Some(Self::Fok),
            b'6' => Some(Self::Gtd),
            _ => None,
        }
    }
}

/// FIX OrdType (40), as its byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OrdType {
    Market = b'1',
    Limit = b'2',
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)+) => {
        /// Why the reconciler acted or did not act. The number is on disk: never reuse one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Reason { $($(#[$doc])* $name = $value,)+ }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            pub const fn from_u16(value: u16) -> Option<Self> {
                match value { $($value => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

reasons! {
    // Actions.
    /// The strategy wants an order where there is none.
    Desired = 1,
    /// The desired price moved beyond `keep`.
    PriceMoved = 2,
    /// The desired quantity changed.
    QtyChanged = 3,
    /// No owner, guard false, or a leg value absent: the order is withdrawn.
    Withdrawn = 4,
    /// A limit's verdict pulls, flattens or halts.
    Verdict = 5,
    /// An operator's or the watchdog's word.
    Operator = 6,
    /// The outcome of an order is not known: ask the venue.
    Outcome = 7,
    /// A session came up: ask for everything that is open.
    Reconcile = 8,
    /// The book is not what the venue has: rebuild it.
    BookFault = 9,
    /// A side must be free before the other one opens.
    Reversal = 10,
    // Non-actions.
    /// The working order is within `keep` of the desire.
    KeepWithin = 32,
    /// A request for the order is in flight.
    InFlight = 33,
    /// The order is `Unknown`.
    OutcomeUnknown = 34,
    /// A message rate is used up.
    RateLimited = 35,
    /// A latched verdict, trading state or kill inhibits opening.
    Inhibited = 36,
    /// The quantity is below the instrument's minimum, or zero after rounding.
    BelowMinimum = 37,
    /// A risk control refused; `Note::control` names it.
    RiskRefused = 38,
    /// The start gate is closed: the account is not reconciled.
    NotReconciled = 39,
    /// The book is not live.
    BookNotLive = 40,
    /// The price cannot be expressed in steps.
    PriceAbsent = 41,
    /// `tries` or the retry interval of `via` is used up.
    TriesUsed = 42,
    /// Would trade with an order of our own.
    SelfCross = 43,
    /// The order session is down.
    SessionDown = 44,
    /// Values needed by this sink are not ready yet.
    NotReady = 45,
    /// The leg's order was filled a moment ago: it comes back after the configured delay.
    Refilling = 46,
}
