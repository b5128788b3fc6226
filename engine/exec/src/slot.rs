//! What the reconciler remembers per (strategy, instrument), and what it answers.
use crate::{LegWant, MAX_LEGS};
use tercel_event::{Chain, NO_OWNER, Reason, Tif};
use tercel_types::{ClOrdId, DurationNs, Price, Qty, Side, TimeNs};

/// Something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    New {
        side: Side,
        px: Price,
        qty: Qty,
        leg: u16,
        tif: Tif,
        post_only: bool,
        reason: Reason,
    },
    /// `order_qty` is the new total: what has filled plus what is wanted.
    Replace {
        root: ClOrdId,
        px: Price,
        order_qty: Qty,
        leg: u16,
        reason: Reason,
    },
    Cancel {
        root: ClOrdId,
        leg: u16,
        reason: Reason,
    },
}

/// Why nothing is sent for a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Leg number, 0 for a target.
    pub leg: u16,
    pub reason: Reason,
}

/// The answer of one reconciliation; reused, never reallocated within its capacity.
#[derive(Clone, Debug)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub holds: Vec<Hold>,
    /// When to reconcile again although nothing happens.
    pub wake: Option<TimeNs>,
    /// Legs of a quote that may only reduce.
    pub(crate) clipped: Vec<LegWant>,
}

impl Plan {
    pub fn with_capacity(orders: usize) -> Self {
        Self {
            actions: Vec::with_capacity(orders + MAX_LEGS),
            holds: Vec::with_capacity(MAX_LEGS + 1),
            wake: None,
            clipped: Vec::with_capacity(MAX_LEGS),
        }
    }

    #[inline]
    pub fn clear(&mut self) {
        self.actions.clear();
        self.holds.clear();
        self.wake = None;
    }

    #[inline]
    pub(crate) fn hold(&mut self, leg: usize, reason: Reason) {
        self.holds.push(Hold { leg: leg as u16, reason });
    }

    #[inline]
    pub(crate) fn wake_at(&mut self, at: TimeNs) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }
}

/// Memory of one (strategy, instrument).
#[derive(Clone, Debug)]
pub struct Slot {
    pub(crate) owner: u16,
    /// Orders sent for a target in this ownership period.
    pub(crate) tries_used: u32,
    /// A target sends nothing before this.
    pub(crate) next_try: TimeNs,
    /// A leg whose order was refused opens nothing before this.
    pub(crate) leg_not_before: [TimeNs; MAX_LEGS],
    /// A leg whose order was filled comes back at this time.
    pub(crate) leg_rests_until: [TimeNs; MAX_LEGS],
    /// No cancel is asked for before this.
    pub(crate) cancel_not_before: TimeNs,
    held: [u16; MAX_LEGS],
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            owner: NO_OWNER,
            tries_used: 0,
            next_try: TimeNs::MIN,
            leg_not_before: [TimeNs::MIN; MAX_LEGS],
            leg_rests_until: [TimeNs::MIN; MAX_LEGS],
            cancel_not_before: TimeNs::MIN,
            held: [0; MAX_LEGS],
        }
    }
}

impl Slot {
    /// The sink that owned the instrument at the last reconciliation.
    pub fn owner(&self) -> u16 {
        self.owner
    }

    /// A new order of the slot became a command.
    #[inline]
    pub fn on_sent(&mut self, action: &Action, now: TimeNs, retry: DurationNs) {
        if let Action::New { tif: Tif::Ioc, .. } = action {
            self.tries_used = self.tries_used.saturating_add(1);
            self.next_try = now.saturating_add(retry);
        }
    }

    /// An order of the slot was refused by risk, gateway or venue: its leg waits before it tries again.
    #[inline]
    pub fn on_refused(&mut self, leg_tag: u16, now: TimeNs, backoff: DurationNs) {
        let until = now.saturating_add(backoff);
        if let Some(at) = self.leg_not_before.get_mut(usize::from(crate::leg_of(leg_tag))) {
            *at = until;
        }
        self.next_try = self.next_try.max(until);
    }

    /// The order of a leg is filled: the leg comes back after `refill`.
    #[inline]
    pub fn on_filled(&mut self, leg_tag: u16, now: TimeNs, refill: DurationNs) {
        if let Some(at) = self.leg_rests_until.get_mut(usize::from(crate::leg_of(leg_tag))) {
            *at = now.saturating_add(refill);
        }
    }

    /// A cancel or replace request came to nothing: the answer to it may be on its way, so the next one waits.
    #[inline]
    pub fn on_request_refused(&mut self, leg_tag: u16, now: TimeNs, backoff: DurationNs) {
        self.on_refused(leg_tag, now, backoff);
        self.cancel_not_before = now.saturating_add(backoff);
    }

    /// True when the reason of a leg differs from the one noted last; the caller writes the note.
    #[inline]
    pub fn note_hold(&mut self, leg: u16, reason: u16) -> bool {
        match self.held.get_mut(usize::from(leg)) {
            Some(held) if *held != reason => {
                *held = reason;
                true
            }
            _ => false,
        }
    }

    /// Takes over the instrument for `owner`; a new period starts when it is another one.
    #[inline]
    pub(crate) fn own(&mut self, owner: u16) {
        if self.owner != owner {
            self.start_period(owner);
        }
    }

    #[cold]
    fn start_period(&mut self, owner: u16) {
        self.owner = owner;
        self.tries_used = 0;
        self.next_try = TimeNs::MIN;
        self.leg_not_before = [TimeNs::MIN; MAX_LEGS];
        self.leg_rests_until = [TimeNs::MIN; MAX_LEGS];
    }

    /// Adds everything that decides future actions to a digest.
    pub fn digest(&self, chain: &mut Chain) {
        chain.word(u64::from(self.owner) | u64::from(self.tries_used) << 16);
        chain.word(self.next_try.0 as u64);
        chain.word(self.cancel_not_before.0 as u64);
        for (at, held) in self.leg_not_before.iter().zip(self.held) {
            chain.word(at.0 as u64 ^ u64::from(held));
        }
        for at in self.leg_rests_until {
            chain.word(at.0 as u64);
        }
    }
}
