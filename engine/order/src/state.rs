//! The life of an order as a table. `order.rs` decides which event a message is; this file decides what it does.

/// Where an order stands, as far as we can prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum OrderState {
    /// Asked for; the venue has not answered.
    PendingNew = 1,
    New = 2,
    PartFilled = 3,
    /// Live, with a cancel request in flight.
    PendingCancel = 4,
    /// Live, with a replace request in flight.
    PendingReplace = 5,
    /// Live, with both in flight.
    PendingBoth = 6,
    /// Neither dead nor alive until the venue proves it: no answer in time, session lost, restart, or a fill is missing.
    /// Risk stays reserved. May be cancelled, not replaced.
    Unknown = 7,
    Filled = 8,
    Canceled = 9,
    Rejected = 10,
    Expired = 11,
}

impl OrderState {
    pub const ALL: [Self; 11] = [
        Self::PendingNew,
        Self::New,
        Self::PartFilled,
        Self::PendingCancel,
        Self::PendingReplace,
        Self::PendingBoth,
        Self::Unknown,
        Self::Filled,
        Self::Canceled,
        Self::Rejected,
        Self::Expired,
    ];
    pub const COUNT: usize = Self::ALL.len();

    /// Proven to have no quantity left at the venue.
    #[inline]
    pub const fn is_dead(self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Rejected | Self::Expired)
    }

    /// Not proven dead: live, in flight or unknown.
    #[inline]
    pub const fn is_open(self) -> bool {
        !self.is_dead()
    }
}

/// What can happen to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// The venue accepted it.
    Ack = 0,
    /// A fill that leaves quantity.
    PartFill,
    /// A fill that leaves none.
    Fill,
    /// We ask to cancel.
    CancelReq,
    /// The venue cancelled it, asked or not.
    CancelAck,
    CancelRej,
    /// We ask to replace.
    ReplaceReq,
    ReplaceAck,
    ReplaceRej,
    /// Refused by the venue, or never sent.
    Reject,
    Expire,
    /// No answer in time, the session is down, or the venue counts a fill that we have not seen.
    Lost,
    /// A status report shows the order live.
    Status,
}

impl Event {
    pub const COUNT: usize = Self::Status as usize + 1;
    pub const ALL: [Self; Self::COUNT] = [
        Self::Ack,
        Self::PartFill,
        Self::Fill,
        Self::CancelReq,
        Self::CancelAck,
        Self::CancelRej,
        Self::ReplaceReq,
        Self::ReplaceAck,
        Self::ReplaceRej,
        Self::Reject,
        Self::Expire,
        Self::Lost,
        Self::Status,
    ];
}

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    To(OrderState),
    /// The live state that follows from `acked`, `cum_qty` and the requests still open.
    Live,
    /// Not possible by the rules. A request is refused; a report is counted and alarmed, and the state stays. A fill counts
    /// all the same.
    Breach,
}

const NW: Next = Next::To(OrderState::New);
const PF: Next = Next::To(OrderState::PartFilled);
const PC: Next = Next::To(OrderState::PendingCancel);
const PR: Next = Next::To(OrderState::PendingReplace);
const PB: Next = Next::To(OrderState::PendingBoth);
const UK: Next = Next::To(OrderState::Unknown);
const FL: Next = Next::To(OrderState::Filled);
const CX: Next = Next::To(OrderState::Canceled);
const RJ: Next = Next::To(OrderState::Rejected);
const EX: Next = Next::To(OrderState::Expired);
const RS: Next = Next::Live;
#[allow(non_upper_case_globals)]
const __: Next = Next::Breach;

/// Order lifecycle. The array sizes make it exhaustive: a new state or event does not compile until its row or column is
/// filled. A venue may answer a cancel after a fill, a replace after a cancel request, and a status at any time; a rejection
/// of a cancel that finds the order already dead is the normal end of a race and no breach; so is an acknowledgement that a
/// fill has overtaken.
#[rustfmt::skip]
pub const NEXT: [[Next; Event::COUNT]; OrderState::COUNT] = [
    //                   Ack PartFill Fill CxlReq CxlAck CxlRej RplReq RplAck RplRej Reject Expire Lost Status
    /* PendingNew     */ [NW,  PF,    FL,   PC,    CX,    __,    __,    __,    __,    RJ,    EX,   UK,   RS],
    /* New            */ [__,  PF,    FL,   PC,    CX,    __,    PR,    __,    __,    RJ,    EX,   UK,   RS],
    /* PartFilled     */ [PF,  PF,    FL,   PC,    CX,    __,    PR,    __,    __,    __,    EX,   UK,   RS],
    /* PendingCancel  */ [PC,  PC,    FL,   __,    CX,    RS,    __,    __,    __,    RJ,    EX,   UK,   RS],
    /* PendingReplace */ [__,  PR,    FL,   PB,    CX,    __,    __,    RS,    RS,    __,    EX,   UK,   RS],
    /* PendingBoth    */ [__,  PB,    FL,   __,    CX,    RS,    __,    RS,    RS,    __,    EX,   UK,   RS],
    /* Unknown        */ [RS,  RS,    FL,   UK,    CX,    UK,    __,    RS,    UK,    RJ,    EX,   UK,   RS],
    /* Filled         */ [FL,  __,    __,   __,    __,    FL,    __,    __,    FL,    __,    __,   FL,   __],
    /* Canceled       */ [__,  __,    __,   __,    __,    CX,    __,    __,    CX,    __,    __,   CX,   __],
    /* Rejected       */ [__,  __,    __,   __,    __,    RJ,    __,    __,    RJ,    __,    __,   RJ,   __],
    /* Expired        */ [__,  __,    __,   __,    __,    EX,    __,    __,    EX,    __,    __,   EX,   __],
];

/// The cell of `state` and `event`.
#[inline]
pub const fn next(state: OrderState, event: Event) -> Next {
    NEXT[state as usize - 1][event as usize]
}

const _: () = {
    // Every row stands at its state's number, every column at its event's.
    let mut at = 0;
    while at < OrderState::COUNT {
        assert!(OrderState::ALL[at] as usize == at + 1);
        at += 1;
    }
    let mut at = 0;
    while at < Event::COUNT {
        assert!(Event::ALL[at] as usize == at);
        at += 1;
    }
};
