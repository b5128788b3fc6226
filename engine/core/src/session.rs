//! The start gate (control C33): no new order on a session until it is logged on, its peer's messages are complete, a mass
//! status has been answered and no order of it is unknown.
//!
//!   Closed ──LoggedOn──▶ Asked ──MassStatusEnd──▶ Resolving ──nothing unknown──▶ Open
//!     ▲                    └────────────── Disconnected, LoggedOut, EpochStart ──────┘
//!
//! On a session that is up, `LoggedOn` (numbers were reset), `Recovered` (a gap was closed) and a report that could not be
//! read lead back to Asked.
use tercel_event::{Chain, Reason};
use tercel_types::{AccountId, ClOrdId, SourceId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The session is down, or has not been up in this epoch.
    Closed,
    /// A mass status request is on its way.
    Asked,
    /// Everything open has been reported; orders that were not are asked about one by one.
    Resolving,
    Open,
}

/// One order session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub src: SourceId,
    pub account: AccountId,
    pub gate: Gate,
    /// Messages of the peer are missing and asked for again.
    pub gap: bool,
    /// Id of the mass status request that the gate waits for.
    pub request: ClOrdId,
    pub tries: u32,
    /// What strategies want waits for the venue's answer, for one `status_retry`: until then their own positions are absent
    /// to them, and what they withdraw for that reason alone would be wanted again a moment later.
    pub patient: bool,
}

impl Session {
    pub fn new(src: SourceId, account: AccountId) -> Self {
        Self { src, account, gate: Gate::Closed, gap: false, request: ClOrdId::NONE, tries: 0, patient: false }
    }

    #[inline]
    pub fn is_up(&self) -> bool {
        self.gate != Gate::Closed
    }

    /// The venue has told everything that it has open.
    #[inline]
    pub fn is_answered(&self) -> bool {
        matches!(self.gate, Gate::Resolving | Gate::Open)
    }

    /// Positions and orders of the session are what the venue has.
    #[inline]
    pub fn is_reconciled(&self) -> bool {
        self.gate == Gate::Open
    }

    /// Everything may be sent.
    #[inline]
    pub fn may_send(&self) -> bool {
        self.gate == Gate::Open && !self.gap && !self.patient
    }

    /// What the reconciler may do.
    #[inline]
    pub fn verdict(&self) -> Result<(), Reason> {
        match self.gate {
            Gate::Closed => Err(Reason::SessionDown),
            Gate::Asked | Gate::Resolving => Err(Reason::NotReconciled),
            Gate::Open if self.gap => Err(Reason::NotReconciled),
            Gate::Open => Ok(()),
        }
    }

    pub fn close(&mut self) {
        *self = Self::new(self.src, self.account);
    }

    pub fn digest(&self, chain: &mut Chain) {
        chain.word(
            self.gate as u64 | u64::from(self.gap) << 8 | u64::from(self.patient) << 9 | u64::from(self.tries) << 16,
        );
        chain.word(self.request.0);
    }
}
