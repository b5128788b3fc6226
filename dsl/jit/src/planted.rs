//! Defects that the proof plants in the lowering, one at a time, to show that it would see them. Production code never
//! sets one: outside the tests of this crate there is no way to.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "constructed by the proof only"))]
pub(crate) enum Planted {
    /// `min` compares its operands the other way round.
    MinSwapped,
    /// An absent value is stored with whatever bits it has.
    NotCanonical,
    /// An overflowing product stays infinite.
    MulInfinite,
    /// `absent or true` is absent.
    OrNotKleene,
    /// An absent operand clears the memory of a cross.
    CrossForgetsOnAbsent,
    /// A window keeps one pane too few.
    PaneOffByOne,
    /// Panes are added newest first.
    PanesNewestFirst,
    /// `elapsed > d` fires one nanosecond early.
    DeadlineEarly,
    /// A signal lives one nanosecond too long.
    ExpiryLate,
    /// `x[k]` does not record a hole.
    HistorySkipsHoles,
    /// A difference spans a gap.
    VarianceSpansGap,
    /// The sums of a window of values are never replaced by rebuilt ones.
    SumsNeverRebuilt,
    /// Of equal extremes the older one counts.
    OldestOfEqual,
    /// `Skip` lets a value through too early.
    SkipsOneLess,
    /// A static node is not evaluated again after a parameter change.
    StaleParam,
}

impl Planted {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 15] = [
        Self::MinSwapped,
        Self::NotCanonical,
        Self::MulInfinite,
        Self::OrNotKleene,
        Self::CrossForgetsOnAbsent,
        Self::PaneOffByOne,
        Self::PanesNewestFirst,
        Self::DeadlineEarly,
        Self::ExpiryLate,
        Self::HistorySkipsHoles,
        Self::VarianceSpansGap,
        Self::SumsNeverRebuilt,
        Self::OldestOfEqual,
        Self::SkipsOneLess,
        Self::StaleParam,
    ];
}
