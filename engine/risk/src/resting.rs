use tercel_types::{Price, Side};

/// Own open prices of one account in one instrument (control C15), every strategy together. Sorted, the best one last, so
/// that the question "would it cross?" reads one element.
#[derive(Clone, Debug)]
pub(crate) struct Resting {
    buys: Vec<(Price, u32)>,
    sells: Vec<(Price, u32)>,
}

impl Resting {
    /// Room for `capacity` orders, each with a second price while it is being replaced.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { buys: Vec::with_capacity(capacity * 2), sells: Vec::with_capacity(capacity * 2) }
    }

    /// Best own price on `side`.
    #[inline]
    pub(crate) fn best(&self, side: Side) -> Option<Price> {
        match side {
            Side::Buy => self.buys.last(),
            Side::Sell => self.sells.last(),
        }
        .map(|(px, _)| *px)
    }

    #[inline]
    pub(crate) fn add(&mut self, side: Side, px: Price) {
        let (levels, at) = self.place(side, px);
        match levels.get_mut(at.wrapping_sub(1)) {
            Some((found, count)) if *found == px => *count += 1,
            // INVARIANT: at most two prices per order of the table, so the capacity suffices.
            _ => levels.insert(at, (px, 1)),
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, side: Side, px: Price) {
        let (levels, at) = self.place(side, px);
        let at = at.wrapping_sub(1);
        if let Some((found, count)) = levels.get_mut(at)
            && *found == px
        {
            *count -= 1;
            if *count == 0 {
                levels.remove(at);
            }
        }
    }

    /// The levels of a side and the index after the last one that is `px` or worse; searched from the best, where orders
    /// come and go.
    #[inline]
    fn place(&mut self, side: Side, px: Price) -> (&mut Vec<(Price, u32)>, usize) {
        let levels = match side {
            Side::Buy => &mut self.buys,
            Side::Sell => &mut self.sells,
        };
        let better = |found: Price| match side {
            Side::Buy => found > px,
            Side::Sell => found < px,
        };
        let worse_count = levels.iter().rposition(|(found, _)| !better(*found)).map_or(0, |at| at + 1);
        (levels, worse_count)
    }
}
