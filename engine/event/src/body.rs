//! The bodies of frames. Each is `Pod`: fixed size, no implicit padding, any bytes are a value (enums travel as integers
//! and are checked where they are read).
use crate::frame::{FrameError, FrameHeader, FrameKind};
use crate::{Command, Frame};
use bytemuck::{Pod, Zeroable};
use tercel_types::{AccountId, ClOrdId, ExecId, InstrumentId, OrderId, Price, Qty, SourceId, StrategyId, TimeNs};

/// The fixed part of one kind of frame.
pub trait Body: Pod {
    const KIND: FrameKind;
    /// Header and body, as they lie in a frame.
    type Framed: Pod;

    /// The frame without a tail that `header` begins.
    fn framed(&self, header: FrameHeader) -> Self::Framed;
}

macro_rules! framed {
    ($name:ident) => {
        const _: () = {
            #[derive(Clone, Copy, Zeroable, Pod)]
            #[repr(C)]
            pub struct Framed {
                header: FrameHeader,
                body: $name,
            }

            impl Body for $name {
                const KIND: FrameKind = FrameKind::$name;
                type Framed = Framed;

                #[inline]
                fn framed(&self, header: FrameHeader) -> Framed {
                    Framed { header, body: *self }
                }
            }
        };
    };
}

macro_rules! bodies {
    ($($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $fdoc:literal])* $field:ident: $ty:ty,)* })+) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Zeroable, Pod)]
            #[repr(C)]
            pub struct $name { $($(#[doc = $fdoc])* pub $field: $ty,)* }
            framed!($name);
            impl Default for $name { fn default() -> Self { Zeroable::zeroed() } }
        )+

        pub(crate) fn field_tables() -> Vec<crate::layout::BodyLayout> {
            vec![$(crate::layout::BodyLayout {
                kind: FrameKind::$name,
                name: stringify!($name),
                doc: concat!($($doc, "\n",)*),
                len: size_of::<$name>(),
                fields: vec![$(crate::layout::FieldLayout {
                    name: stringify!($field),
                    ty: stringify!($ty),
                    offset: core::mem::offset_of!($name, $field),
                    len: size_of::<$ty>(),
                    doc: concat!($($fdoc, "\n",)*),
                },)*],
            },)+]
        }
    };
}

bodies! {
    #[doc = "Start of an epoch: a process took over the journal."]
    EpochStart {
        #[doc = "Number of the epoch, from 1; never used twice."]
        epoch: u32,
        #[doc = "1 when the run replays an earlier epoch's journal first (a restart)."]
        restart: u32,
        #[doc = "Hash of the configuration text."]
        config_hash: u64,
        #[doc = "Hash of the build."]
        build_hash: u64,
        #[doc = "Hash over all strategies, in order."]
        strategy_hash: u64,
        #[doc = "First value of the run's seed, for what needs one."]
        seed: u64,
    }

    #[doc = "Deadlines that fell due at `ts_seq`; the tail holds one u32 id each, in order."]
    Timer {
        #[doc = "The due time; equal to `ts_seq`."]
        due: TimeNs,
        #[doc = "How many ids follow."]
        ids_count: u32,
        reserved: u32,
    }

    #[doc = "Level changes of one depth message; the tail holds `bids_count` then `asks_count` `Level`s; qty 0 removes."]
    BookDelta {
        instrument: InstrumentId,
        bids_count: u32,
        asks_count: u32,
        reserved: u32,
        #[doc = "Binance `U`: first update id in the message."]
        first_update_id: u64,
        #[doc = "Binance `u`: last update id in the message."]
        last_update_id: u64,
        #[doc = "Binance `pu`: last update id of the message before."]
        prev_update_id: u64,
        #[doc = "The venue's event time (`E`)."]
        ts_exchange: TimeNs,
        #[doc = "Kernel or NIC stamp of the last byte where there is one, else the user stamp."]
        ts_recv: TimeNs,
        #[doc = "When the gateway read the message."]
        ts_user: TimeNs,
        #[doc = "Checksum of the venue over the book after the message, 0 when it has none."]
        checksum: u64,
    }

    #[doc = "A whole book; the tail as `BookDelta`. With MORE, the parts add up to one book."]
    BookSnapshot {
        instrument: InstrumentId,
        bids_count: u32,
        asks_count: u32,
        #[doc = "0 for the first part, then 1, 2, …"]
        part: u32,
        #[doc = "The update id that the book stands at."]
        last_update_id: u64,
        ts_exchange: TimeNs,
        ts_recv: TimeNs,
        ts_user: TimeNs,
        checksum: u64,
    }

    #[doc = "Best bid and ask of one instrument."]
    Bbo {
        instrument: InstrumentId,
        reserved: u32,
        update_id: u64,
        bid_px: Price,
        bid_qty: Qty,
        ask_px: Price,
        ask_qty: Qty,
        ts_exchange: TimeNs,
        ts_recv: TimeNs,
        ts_user: TimeNs,
    }

    #[doc = "One public trade."]
    Trade {
        instrument: InstrumentId,
        #[doc = "Side of the aggressor: 1 buy, 2 sell."]
        aggressor: u8,
        reserved: [u8; 3],
        trade_id: u64,
        px: Price,
        qty: Qty,
        ts_exchange: TimeNs,
        ts_recv: TimeNs,
        ts_user: TimeNs,
    }

    #[doc = "State of the market data session of one instrument."]
    FeedStatus {
        instrument: InstrumentId,
        #[doc = "A `FeedEvent`."]
        event: u8,
        #[doc = "A `Phase` when the event is `Phase`."]
        phase: u8,
        reserved: u16,
        #[doc = "Expected update id of a gap, else 0."]
        expected: u64,
        #[doc = "Found update id of a gap, else 0."]
        found: u64,
        ts_recv: TimeNs,
    }

    #[doc = "One ExecutionReport (35=8)."]
    ExecReport {
        #[doc = "ClOrdID (11) that the report is for; 0 when it is not one of ours."]
        cl_ord_id: ClOrdId,
        #[doc = "OrigClOrdID (41), 0 when absent."]
        orig_cl_ord_id: ClOrdId,
        #[doc = "Price (44) of the order as the venue has it, 0 when absent."]
        px: Price,
        #[doc = "OrderQty (38)."]
        order_qty: Qty,
        #[doc = "LastPx (31) of a fill."]
        last_px: Price,
        #[doc = "LastQty (32) of a fill, else 0."]
        last_qty: Qty,
        #[doc = "CumQty (14)."]
        cum_qty: Qty,
        #[doc = "LeavesQty (151)."]
        leaves_qty: Qty,
        #[doc = "TransactTime (60)."]
        ts_exchange: TimeNs,
        ts_recv: TimeNs,
        instrument: InstrumentId,
        #[doc = "Side (54)."]
        side: u8,
        #[doc = "ExecType (150) as its ASCII byte: 0 4 5 6 8 C E F G H I …"]
        exec_type: u8,
        #[doc = "OrdStatus (39) as its ASCII byte."]
        ord_status: u8,
        #[doc = "LastLiquidityInd (851): 1 added, 2 removed, 0 unknown."]
        liquidity: u8,
        #[doc = "1 when PossDupFlag (43) was set."]
        poss_dup: u8,
        #[doc = "OrdRejReason (103) plus 1, 0 when absent."]
        rej_reason: u8,
        #[doc = "1 when the report answers a mass status request (584 present)."]
        mass_status: u8,
        #[doc = "1 when Price (44) was present."]
        has_px: u8,
        #[doc = "MsgSeqNum (34) of the message."]
        msg_seq_num: u32,
        #[doc = "Commission (12) in 10^-12 of the settlement currency, 0 when absent."]
        commission: i64,
        #[doc = "1 when Commission (12) was present."]
        has_commission: u64,
        order_id: OrderId,
        exec_id: ExecId,
    }

    #[doc = "OrderCancelReject (35=9)."]
    CancelReject {
        #[doc = "ClOrdID (11) of the refused request."]
        cl_ord_id: ClOrdId,
        #[doc = "OrigClOrdID (41)."]
        orig_cl_ord_id: ClOrdId,
        ts_exchange: TimeNs,
        ts_recv: TimeNs,
        #[doc = "OrdStatus (39) as its ASCII byte."]
        ord_status: u8,
        #[doc = "CxlRejResponseTo (434) as its ASCII byte: 1 cancel, 2 replace."]
        response_to: u8,
        #[doc = "CxlRejReason (102) plus 1, 0 when absent: 1 too late, 2 unknown order."]
        reason: u8,
        reserved: u8,
        msg_seq_num: u32,
    }

    #[doc = "The gateway wrote a command to its socket."]
    Sent {
        #[doc = "ClOrdID of the command."]
        cl_ord_id: ClOrdId,
        #[doc = "`seq` of the frame that caused the command."]
        cmd_seq: u64,
        cmd_index: u32,
        #[doc = "MsgSeqNum (34) of the message."]
        msg_seq_num: u32,
        #[doc = "When the write to the socket returned."]
        ts_tx: TimeNs,
        #[doc = "Receive stamp (`ts_recv`) of the event that caused the command, 0 when it had none."]
        ts_cause: TimeNs,
    }

    #[doc = "The gateway did not write a command."]
    NotSent {
        cl_ord_id: ClOrdId,
        cmd_seq: u64,
        cmd_index: u32,
        #[doc = "A `NotSentWhy`."]
        why: u8,
        #[doc = "A `CommandKind`."]
        command: u8,
        reserved: u16,
        ts: TimeNs,
    }

    #[doc = "State of one order session."]
    SessionStatus {
        #[doc = "A `SessionEvent`."]
        event: u8,
        reserved: [u8; 3],
        #[doc = "Next MsgSeqNum we will send."]
        next_out: u32,
        #[doc = "Next MsgSeqNum we expect."]
        next_in: u32,
        reserved2: u32,
        ts: TimeNs,
    }

    #[doc = "Session Reject (3) or BusinessMessageReject (j) that names a message of ours."]
    MessageReject {
        #[doc = "The order request it refers to, 0 when it is no order request."]
        cl_ord_id: ClOrdId,
        ref_seq_num: u32,
        #[doc = "SessionRejectReason (373) or BusinessRejectReason (380) plus 1, 0 when absent."]
        reason: u16,
        #[doc = "1 session (3), 2 business (j), 3 a report (8) of the peer that could not be read: `ref_tag` names the field, `cl_ord_id` its order."]
        level: u8,
        #[doc = "First byte of RefMsgType (372)."]
        ref_msg_type: u8,
        ref_tag: u32,
        msg_seq_num: u32,
        ts_recv: TimeNs,
    }

    #[doc = "Every report of a mass status answer has been delivered; 0 orders is an answer too."]
    MassStatusEnd {
        #[doc = "ClOrdId-like id of our request (584)."]
        request_id: u64,
        orders_count: u32,
        reserved: u32,
        ts: TimeNs,
    }

    #[doc = "A value of a model, checked: whole, finite, in time, of the expected schema."]
    Signal {
        #[doc = "Index of the signal in configuration order."]
        signal: u32,
        #[doc = "1 when `value` is to be used; 0 makes the signal absent."]
        valid: u32,
        value: f64,
        confidence: f64,
        model_id: u64,
        #[doc = "Sequence number at the sidecar."]
        publish_seq: u64,
        #[doc = "Time of the newest input of the value; `age` counts from it."]
        ts_features: TimeNs,
        ts_published: TimeNs,
        #[doc = "A `SignalFault` when not valid."]
        fault: u64,
    }

    #[doc = "Operator: a strategy parameter, already checked against its range by the core when applied."]
    ParamSet {
        operator: u32,
        strategy: StrategyId,
        param_idx: u16,
        value: f64,
    }

    #[doc = "Operator: a risk limit."]
    LimitSet {
        operator: u32,
        #[doc = "Number of the control, such as 4 for C4."]
        control: u16,
        strategy: StrategyId,
        account: AccountId,
        reserved: u16,
        instrument: InstrumentId,
        value: i64,
    }

    #[doc = "Operator or watchdog: trading state of a scope."]
    Mode {
        operator: u32,
        #[doc = "A `TradingState`."]
        state: u8,
        #[doc = "A `Scope`."]
        scope: u8,
        #[doc = "Strategy or account number, by scope."]
        id: u16,
        #[doc = "Why, as a code of `Reason`."]
        reason: u64,
    }

    #[doc = "Operator: block new orders of a scope and cancel its working ones."]
    Kill {
        operator: u32,
        #[doc = "A `Scope`."]
        scope: u8,
        reserved: u8,
        #[doc = "Strategy or account number, by scope."]
        id: u16,
    }

    #[doc = "Operator: end the latched verdicts of one strategy."]
    Rearm {
        operator: u32,
        strategy: StrategyId,
        reserved: u16,
    }

    #[doc = "Operator: the strategy runs another compiled text from here; the text is in the journal before this frame."]
    StrategySwap {
        operator: u32,
        strategy: StrategyId,
        reserved: u16,
        hash: u64,
    }

    #[doc = "Derived: digest of the core's state after the frame with the same `seq`."]
    StateHash {
        commands: u64,
        orders: u64,
        positions: u64,
        books: u64,
    }

    #[doc = "Derived: why the core did not act, or that a limit latched. Written when the reason changes."]
    Note {
        reason: u16,
        strategy: StrategyId,
        instrument: InstrumentId,
        #[doc = "Number of the control, 0 when none."]
        control: u16,
        #[doc = "Leg of the quote: 0 bid, 1 ask; or 255."]
        leg: u16,
        reserved: u32,
        value: i64,
        limit: i64,
    }
}

framed!(Command);

/// One price level of a book frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Level {
    pub px: Price,
    /// 0 removes the level.
    pub qty: Qty,
}

pub const LEVEL_LEN: usize = size_of::<Level>();
/// Levels that fit one frame behind the larger of the two book heads.
pub const MAX_LEVELS: usize = (crate::MAX_FRAME_LEN - crate::HEADER_LEN - size_of::<BookDelta>()) / LEVEL_LEN;

/// The levels of a book frame: bids then asks, in the venue's order.
#[derive(Clone, Copy, Debug)]
pub struct Levels<'a> {
    bids: &'a [u8],
    asks: &'a [u8],
}

impl<'a> Levels<'a> {
    #[inline]
    pub fn bids(&self) -> impl ExactSizeIterator<Item = Level> + 'a {
        self.bids.chunks_exact(LEVEL_LEN).map(bytemuck::pod_read_unaligned)
    }

    #[inline]
    pub fn asks(&self) -> impl ExactSizeIterator<Item = Level> + 'a {
        self.asks.chunks_exact(LEVEL_LEN).map(bytemuck::pod_read_unaligned)
    }

    #[inline]
    fn split<B: Body>(frame: &Frame<'a>, bids_count: u32, asks_count: u32) -> Result<Self, FrameError> {
        let tail = frame.tail::<B>();
        let (bids_len, asks_len) = (bids_count as usize * LEVEL_LEN, asks_count as usize * LEVEL_LEN);
        match (tail.get(..bids_len), tail.get(bids_len..bids_len + asks_len)) {
            (Some(bids), Some(asks)) => Ok(Self { bids, asks }),
            _ => Err(FrameError::Length { kind: B::KIND, len: tail.len(), need: bids_len + asks_len }),
        }
    }
}

impl<'a> Frame<'a> {
    /// A `BookDelta` with its levels.
    #[inline]
    pub fn book_delta(&self) -> Result<(BookDelta, Levels<'a>), FrameError> {
        let head: BookDelta = self.body()?;
        Ok((head, Levels::split::<BookDelta>(self, head.bids_count, head.asks_count)?))
    }

    /// A `BookSnapshot` (or one part of it) with its levels.
    #[inline]
    pub fn book_snapshot(&self) -> Result<(BookSnapshot, Levels<'a>), FrameError> {
        let head: BookSnapshot = self.body()?;
        Ok((head, Levels::split::<BookSnapshot>(self, head.bids_count, head.asks_count)?))
    }

    /// The ids of a `Timer` frame.
    pub fn timer_ids(&self) -> impl Iterator<Item = u32> + 'a {
        self.tail::<Timer>().chunks_exact(4).map(bytemuck::pod_read_unaligned)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident: $repr:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)+ })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
            #[repr($repr)]
            pub enum $name { $($(#[$vdoc])* $variant = $value,)+ }

            impl $name {
                pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

                #[inline]
                pub const fn from_code(code: $repr) -> Option<Self> {
                    match code { $($value => Some(Self::$variant),)+ _ => None }
                }
            }
        )+

        pub(crate) fn code_tables() -> Vec<(&'static str, Vec<(u64, &'static str)>)> {
            vec![$((stringify!($name), vec![$(($value as u64, stringify!($variant)),)+]),)+]
        }
    };
}

codes! {
    /// What happened to a market data session.
    FeedEvent: u8 {
        /// Transport is up; nothing is known of the book yet.
        Connected = 1,
        /// Transport is lost: every field of the book is absent.
        Disconnected = 2,
        /// An update is missing (`expected`, `found`).
        Gap = 3,
        /// A snapshot has been asked for.
        Recovering = 4,
        /// Snapshot and buffered updates are applied: the fault is over.
        Recovered = 5,
        /// Proof of life without content (ping, heartbeat).
        Alive = 6,
        /// The trading phase changed.
        Phase = 7,
        /// A message could not be decoded; it is counted and the book must be rebuilt.
        Malformed = 8,
        /// The ring to the core was full and messages were dropped; the book must be rebuilt.
        Overflow = 9,
    }

    /// Trading phase of an instrument.
    Phase: u8 {
        PreOpen = 1,
        Auction = 2,
        Continuous = 3,
        Halted = 4,
        Closed = 5,
    }

    /// Why a command was not written.
    NotSentWhy: u8 {
        /// The session is not logged on.
        SessionDown = 1,
        /// The kill word is set.
        Killed = 2,
        /// The gateway's own message rate gate.
        Rate = 3,
        /// The command names an order that the gateway does not know.
        UnknownOrder = 4,
        /// The message store or the journal cannot be written.
        Storage = 5,
        /// Found after a restart: neither sent nor refused, and absent from the message store.
        NeverStored = 6,
        /// The command cannot be expressed on this session.
        Unsupported = 7,
        /// The gateway's table of open orders is full.
        Capacity = 8,
    }

    /// What happened to an order session.
    SessionEvent: u8 {
        /// TCP is up, logon not yet answered.
        Connected = 1,
        /// Logged on, and no message of the peer is missing.
        LoggedOn = 2,
        /// A gap in the peer's numbers: resend asked.
        Recovering = 3,
        /// The gap is closed.
        Recovered = 4,
        LoggedOut = 5,
        Disconnected = 6,
    }

    /// Trading state of a scope (control C20), from free to closed.
    TradingState: u8 {
        Active = 1,
        /// Only orders that reduce the position.
        Reducing = 2,
        /// No new order and no amend; cancels pass.
        Halted = 3,
    }

    /// What an operator's word applies to.
    Scope: u8 {
        All = 1,
        Strategy = 2,
        Account = 3,
    }

    /// Why a signal is not valid.
    SignalFault: u8 {
        /// The slot has never been written, or its file is shorter than the slot.
        Missing = 1,
        /// Checksum, version or sequence of the slot is wrong.
        Malformed = 2,
        /// NaN, infinite or outside the declared range.
        Range = 3,
        /// Model id or schema is not the expected one.
        Schema = 4,
        /// The publisher says that it has no value.
        Withdrawn = 5,
        /// A time of the slot lies in the future.
        Future = 6,
    }
}

/// Source numbers that every run has; gateways follow from `FIRST_GATEWAY`, in configuration order.
pub mod sources {
    use super::SourceId;
    /// The sequencer itself: epochs, timers, derived frames.
    pub const CORE: SourceId = SourceId(0);
    pub const OPERATOR: SourceId = SourceId(1);
    pub const SIGNALS: SourceId = SourceId(2);
    pub const FIRST_GATEWAY: SourceId = SourceId(3);
}
