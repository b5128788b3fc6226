use crate::scope::Sides;
use tercel_types::{Price, Side};

/// Own open prices of one account in one instrument (control C15), every strategy together. Sorted, the best one last, so
/// that the question "would it cross?" reads one element.
#[derive(Clone, Debug)]
pub(crate) struct Resting {
    /// Rank of the price and number of orders, by rising rank.
    levels: Sides<Vec<(i64, u32)>>,
}

/// The better price has the higher rank: the price itself for a buy, its negative for a sell.
#[inline(always)]
fn rank(side: Side, px: Price) -> i64 {
    match side {
        Side::Buy => px.0,
        Side::Sell => px.0.saturating_neg(),
    }
}

impl Resting {
    /// Room for `capacity` orders, each with a second price while it is being replaced.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { levels: Sides([Vec::with_capacity(capacity * 2), Vec::with_capacity(capacity * 2)]) }
    }

    /// Best own price on `side`.
    pub(crate) fn best(&self, side: Side) -> Option<Price> {
        self.levels[side].last().map(|&(best, _)| Price(if side == Side::Buy { best } else { best.saturating_neg() }))
    }

    /// An order at `px` would meet an own one of the other side.
    #[inline(always)]
    pub(crate) fn would_cross(&self, side: Side, px: Price) -> bool {
        let own = self.levels[side.opposite()].last();
        own.is_some_and(|(best, _)| rank(side, px).saturating_add(*best) >= 0)
    }

    #[inline]
    pub(crate) fn add(&mut self, side: Side, px: Price) {
        let (levels, rank) = (&mut self.levels[side], rank(side, px));
        match levels.last_mut() {
            Some((best, count)) if *best == rank => *count += 1,
            Some((best, _)) if *best > rank => add_below(levels, rank),
            // INVARIANT: at most two prices per order of the table, so the capacity suffices.
            _ => levels.push((rank, 1)),
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, side: Side, px: Price) {
        let (levels, rank) = (&mut self.levels[side], rank(side, px));
        // Searched from the best, where orders come and go.
        let Some(at) = levels.iter().rposition(|(found, _)| *found <= rank) else { return };
        let (found, count) = &mut levels[at];
        if *found == rank {
            *count -= 1;
            if *count == 0 {
                levels.remove(at);
            }
        }
    }
}

/// A rank that is not the best.
fn add_below(levels: &mut Vec<(i64, u32)>, rank: i64) {
    let at = levels.iter().rposition(|(found, _)| *found <= rank).map_or(0, |at| at + 1);
    match levels.get_mut(at.wrapping_sub(1)) {
        Some((found, count)) if *found == rank => *count += 1,
        _ => levels.insert(at, (rank, 1)),
    }
}
