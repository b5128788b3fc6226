//! One working order of one strategy in one instrument, as the reconciler sees it.
use tercel_types::{ClOrdId, Price, Qty, Side};

/// What is known of a working order. Terminal orders are not shown to the reconciler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkingStatus {
    /// Sent, not yet acknowledged.
    PendingNew,
    /// Acknowledged, no request open: the only state that can be replaced.
    Live,
    /// A replace request is open.
    PendingReplace,
    /// A cancel request is open.
    PendingCancel,
    /// Its fate is not known. It counts as if it filled, may be cancelled, not replaced.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Working {
    /// The order's own identity through replaces.
    pub root: ClOrdId,
    pub side: Side,
    /// The price it has, or is being replaced to.
    pub px: Price,
    /// The price that stands at the venue; differs from `px` while a replace is open.
    pub px_standing: Price,
    /// What can still fill: of a pending or unknown replace, the worse of old and new.
    pub leaves: Qty,
    pub cum: Qty,
    /// [`leg_tag`] of its command.
    pub leg: u16,
    pub status: WorkingStatus,
    /// A cancel was asked and not yet answered; with `Unknown` it says not to ask again.
    pub cancel_requested: bool,
    /// Rests in the book; false for immediate-or-cancel.
    pub resting: bool,
    pub post_only: bool,
}

/// `Command::leg`: the sink in the high byte, the leg in the low one.
#[inline]
pub const fn leg_tag(sink: u16, leg: usize) -> u16 {
    (sink << 8) | (leg as u16 & 0xFF)
}

/// The leg number in a tag.
#[inline]
pub const fn leg_of(tag: u16) -> u16 {
    tag & 0xFF
}

impl Working {
    /// A cancel may be asked for now.
    #[inline]
    pub fn can_cancel(&self) -> bool {
        !self.cancel_requested && self.status != WorkingStatus::PendingCancel
    }
}
