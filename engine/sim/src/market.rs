//! The market as it was recorded: price levels from depth messages, overlaid by the newest best quote, less what our
//! simulated orders have already taken. Every fill is measured against this.
//!
//! Invariants  A level shows what the message with the highest update id says about it; a quote newer than depth hides
//!             levels better than its own. What was taken stays taken until the record shows less than that at the level,
//!             so liquidity that was displayed once is sold once.
use std::collections::BTreeMap;
use tercel_types::{Price, Qty, Side, TimeNs};

/// Best bid and ask at one update id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quote {
    pub update_id: u64,
    pub bid_px: Price,
    pub bid_qty: Qty,
    pub ask_px: Price,
    pub ask_qty: Qty,
    /// The venue's time of the message.
    pub ts: TimeNs,
}

/// One public trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicTrade {
    pub px: Price,
    pub qty: Qty,
    /// Side of the order that took liquidity.
    pub aggressor: Side,
    pub ts: TimeNs,
}

/// What the record says about one level, and how new that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    pub qty: i64,
    pub update_id: u64,
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    qty: i64,
    seen_id: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Market {
    /// Bids then asks, by price; quantities are positive.
    levels: [BTreeMap<Price, i64>; 2],
    depth_id: u64,
    quote: Quote,
    taken: [BTreeMap<Price, Taken>; 2],
}

/// Place of a book side in the two-element tables: bids first.
#[inline]
pub(crate) const fn slot(side: Side) -> usize {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

/// True when `a` is a better price than `b` for an order resting on `side`.
#[inline]
pub(crate) fn better(side: Side, a: Price, b: Price) -> bool {
    match side {
        Side::Buy => a > b,
        Side::Sell => a < b,
    }
}

impl Market {
    pub fn depth_id(&self) -> u64 {
        self.depth_id
    }

    pub fn clear_levels(&mut self) {
        self.levels = Default::default();
    }

    /// Sets a level of the depth book; `qty` 0 removes it, a negative one too (a malformed record shows nothing).
    #[inline]
    pub fn set_level(&mut self, side: Side, px: Price, qty: Qty) {
        let levels = &mut self.levels[slot(side)];
        if qty.0 > 0 {
            levels.insert(px, qty.0);
        } else {
            levels.remove(&px);
        }
    }

    pub fn set_depth_id(&mut self, update_id: u64) {
        self.depth_id = update_id;
        self.settle_taken();
    }

    /// Returns false for a quote that is older than the one in force.
    pub fn set_quote(&mut self, quote: Quote) -> bool {
        if quote.update_id < self.quote.update_id {
            return false;
        }
        self.quote = quote;
        self.settle_taken();
        true
    }

    fn quote_rules(&self) -> bool {
        self.quote.update_id > self.depth_id
    }

    fn quoted(&self, side: Side) -> (Price, i64) {
        match side {
            Side::Buy => (self.quote.bid_px, self.quote.bid_qty.0),
            Side::Sell => (self.quote.ask_px, self.quote.ask_qty.0),
        }
    }

    /// The newest word of the record on the level at `px` of book side `side`.
    pub fn observe(&self, side: Side, px: Price) -> Observation {
        if self.quote_rules() {
            let (best_px, best_qty) = self.quoted(side);
            let update_id = self.quote.update_id;
            if best_qty <= 0 || better(side, px, best_px) {
                return Observation { qty: 0, update_id };
            }
            if px == best_px {
                return Observation { qty: best_qty, update_id };
            }
        }
        let qty = self.levels[slot(side)].get(&px).copied().unwrap_or(0);
        Observation { qty, update_id: self.depth_id }
    }

    fn taken_at(&self, side: Side, px: Price) -> i64 {
        self.taken[slot(side)].get(&px).map_or(0, |t| t.qty)
    }

    /// Displayed quantity at `px`, less what we took there.
    pub fn available(&self, side: Side, px: Price) -> i64 {
        (self.observe(side, px).qty - self.taken_at(side, px)).max(0)
    }

    /// The best level of book side `side`, taken or not.
    pub fn best(&self, side: Side) -> Option<(Price, i64)> {
        self.visit(side, |px, qty| Some((px, qty)))
    }

    /// Calls `on_level` from the best level of book side `side` outwards until it returns something.
    fn visit<R>(&self, side: Side, mut on_level: impl FnMut(Price, i64) -> Option<R>) -> Option<R> {
        let rules = self.quote_rules();
        let (best_px, best_qty) = self.quoted(side);
        if rules {
            if best_qty <= 0 {
                return None;
            }
            if let Some(found) = on_level(best_px, best_qty) {
                return Some(found);
            }
        }
        let hidden = |px: Price| rules && !better(side, best_px, px);
        let mut each = |px: Price, qty: i64| if hidden(px) { None } else { on_level(px, qty) };
        match side {
            Side::Buy => self.levels[0].iter().rev().find_map(|(&px, &qty)| each(px, qty)),
            Side::Sell => self.levels[1].iter().find_map(|(&px, &qty)| each(px, qty)),
        }
    }

    /// What an order of `taker` may trade against at `limit` or better, at most `want`; nothing is taken.
    pub fn available_to(&self, taker: Side, limit: Option<Price>, want: i64) -> i64 {
        let book_side = taker.opposite();
        let mut found = 0;
        self.visit(book_side, |px, qty| {
            if limit.is_some_and(|limit| better(book_side, limit, px)) {
                return Some(());
            }
            found += (qty - self.taken_at(book_side, px)).max(0);
            (found >= want).then_some(())
        });
        found.min(want)
    }

    /// Takes up to `want` at `limit` or better, level by level at the displayed prices, and returns what was taken.
    pub fn sweep(&mut self, taker: Side, limit: Option<Price>, want: i64, out: &mut Vec<(Price, i64)>) -> i64 {
        let book_side = taker.opposite();
        out.clear();
        let mut open = want;
        self.visit(book_side, |px, qty| {
            if open == 0 || limit.is_some_and(|limit| better(book_side, limit, px)) {
                return Some(());
            }
            let fill = (qty - self.taken_at(book_side, px)).clamp(0, open);
            if fill > 0 {
                out.push((px, fill));
                open -= fill;
            }
            None
        });
        for &(px, qty) in out.iter() {
            self.take(book_side, px, qty);
        }
        want - open
    }

    /// Marks `qty` of the level as taken by us.
    pub fn take(&mut self, side: Side, px: Price, qty: i64) {
        let seen_id = self.observe(side, px).update_id;
        let taken = self.taken[slot(side)].entry(px).or_insert(Taken { qty: 0, seen_id });
        taken.qty += qty;
    }

    /// A level that now shows less than we took has lost the rest to others: we took what is left at most.
    fn settle_taken(&mut self) {
        for side in [Side::Buy, Side::Sell] {
            if self.taken[slot(side)].is_empty() {
                continue;
            }
            let mut taken = core::mem::take(&mut self.taken[slot(side)]);
            taken.retain(|&px, entry| {
                let seen = self.observe(side, px);
                if seen.update_id > entry.seen_id {
                    entry.seen_id = seen.update_id;
                    entry.qty = entry.qty.min(seen.qty);
                }
                entry.qty > 0
            });
            self.taken[slot(side)] = taken;
        }
    }

    /// Up to `limit` levels of the depth book alone (without quotes and without what we took), best first.
    pub fn depth(&self, side: Side, limit: usize) -> Vec<(Price, Qty)> {
        let row = |(&px, &qty): (&Price, &i64)| (px, Qty(qty));
        match side {
            Side::Buy => self.levels[0].iter().rev().take(limit).map(row).collect(),
            Side::Sell => self.levels[1].iter().take(limit).map(row).collect(),
        }
    }
}
