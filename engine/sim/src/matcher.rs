//! Matches simulated orders of one instrument against the recorded market, never better than the record allows.
//!
//!   recorded message ──▶ Market ──▶ queue positions ──▶ passive fills
//!   order ──▶ checks ──▶ sweep of displayed liquidity ──▶ rest behind the displayed quantity, or cancel
//!
//! A resting order is filled by
//!   1. a recorded trade at its price, once the queue before it is used up, at most the traded quantity;
//!   2. a recorded trade at a worse price (the market went through), at most the traded quantity, at our limit;
//!   3. the other side's displayed quantity standing at our limit or through it, which is then taken, at our limit.
//!
//! The recorded market does not react to us: what we take is missing from it until the record shows less itself.
//!
//! Invariants  Passive fills by one trade ≤ its quantity. Taken at a level ≤ what the record displayed there.
use crate::market::{Market, PublicTrade, Quote, better, slot};
use crate::order::{OrderNo, Refusal, Terms};
use crate::queue::{QueueLevel, QueueModel};
use std::collections::BTreeMap;
use tercel_event::{Frame, FrameError, FrameKind, Level, Tif};
use tercel_types::{Instrument, Price, Qty, Side, TimeNs};

/// One execution of an order of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    pub no: OrderNo,
    pub px: Price,
    pub qty: Qty,
    /// The order was resting and gave liquidity.
    pub maker: bool,
}

/// What became of the quantity of an accepted order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub filled: Qty,
    /// Quantity that rests in the book.
    pub resting: Qty,
    /// Quantity that could not trade at once and is cancelled.
    pub canceled: Qty,
}

#[derive(Clone, Debug)]
pub struct Matcher {
    instrument: Instrument,
    queue: QueueModel,
    market: Market,
    /// Our resting orders, bids then asks, by price.
    resting: [BTreeMap<Price, QueueLevel>; 2],
    /// The newest time of the record.
    clock: TimeNs,
    fills: Vec<Fill>,
    sweep: Vec<(Price, i64)>,
    prices: Vec<Price>,
    /// A multi-part snapshot older than the book is being skipped.
    skip_snapshot: bool,
}

impl Matcher {
    pub fn new(instrument: Instrument, queue: QueueModel) -> Self {
        Self {
            instrument,
            queue,
            market: Market::default(),
            resting: Default::default(),
            clock: TimeNs::MIN,
            fills: Vec::new(),
            sweep: Vec::new(),
            prices: Vec::new(),
            skip_snapshot: false,
        }
    }

    pub fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    /// Takes the executions since the last call, in order.
    pub fn drain_fills(&mut self) -> impl Iterator<Item = Fill> + '_ {
        self.fills.drain(..)
    }

    // ---- the record ----

    /// One recorded message as a frame; anything but market data is ignored. Returns whether the message is complete (with
    /// `MORE`, at its last part).
    pub fn on_frame(&mut self, frame: &Frame<'_>) -> Result<bool, FrameError> {
        match frame.kind()? {
            FrameKind::BookDelta => {
                let (head, levels) = frame.book_delta()?;
                self.levels(levels.bids(), levels.asks());
                if !frame.has_more() {
                    self.depth_end(head.last_update_id, head.ts_exchange);
                }
            }
            FrameKind::BookSnapshot => {
                let (head, levels) = frame.book_snapshot()?;
                if head.part == 0 {
                    self.skip_snapshot = !self.snapshot_begin(head.last_update_id);
                }
                if !self.skip_snapshot {
                    self.levels(levels.bids(), levels.asks());
                    if !frame.has_more() {
                        self.depth_end(head.last_update_id, head.ts_exchange);
                    }
                }
            }
            FrameKind::Bbo => {
                let bbo: tercel_event::Bbo = frame.body()?;
                self.on_quote(Quote {
                    update_id: bbo.update_id,
                    bid_px: bbo.bid_px,
                    bid_qty: bbo.bid_qty,
                    ask_px: bbo.ask_px,
                    ask_qty: bbo.ask_qty,
                    ts: bbo.ts_exchange,
                });
            }
            FrameKind::Trade => {
                let trade: tercel_event::Trade = frame.body()?;
                if let Some(aggressor) = Side::from_u8(trade.aggressor) {
                    self.on_trade(PublicTrade { px: trade.px, qty: trade.qty, aggressor, ts: trade.ts_exchange });
                }
            }
            _ => {}
        }
        Ok(!frame.has_more())
    }

    /// Starts a whole book; false (and nothing changes) when the book already stands at a later update.
    pub fn snapshot_begin(&mut self, last_update_id: u64) -> bool {
        if last_update_id < self.market.depth_id() {
            return false;
        }
        self.market.clear_levels();
        true
    }

    /// Level changes of a depth message or snapshot; `depth_end` follows the last of them.
    pub fn levels(&mut self, bids: impl Iterator<Item = Level>, asks: impl Iterator<Item = Level>) {
        for level in bids {
            self.market.set_level(Side::Buy, level.px, level.qty);
        }
        for level in asks {
            self.market.set_level(Side::Sell, level.px, level.qty);
        }
    }

    pub fn depth_end(&mut self, last_update_id: u64, ts: TimeNs) {
        self.market.set_depth_id(last_update_id);
        self.after_book(ts);
    }

    pub fn on_quote(&mut self, quote: Quote) {
        if self.market.set_quote(quote) {
            self.after_book(quote.ts);
        }
    }

    pub fn on_trade(&mut self, trade: PublicTrade) {
        self.clock = self.clock.max(trade.ts);
        let side = trade.aggressor.opposite();
        let mut open = trade.qty.0.max(0);
        self.resting_prices(side, |px| !better(side, trade.px, px));
        for at in 0..self.prices.len() {
            let px = self.prices[at];
            let fills = &mut self.fills;
            let on_fill = |no, qty| fills.push(Fill { no, px, qty: Qty(qty), maker: true });
            let Some(level) = self.resting[slot(side)].get_mut(&px) else { continue };
            open = if px == trade.px {
                level.trade(trade.qty.0.max(0), open, trade.ts, on_fill)
            } else {
                level.through(open, on_fill)
            };
            if level.orders.is_empty() {
                self.resting[slot(side)].remove(&px);
            }
        }
    }

    /// Collects into `prices` our prices of `side` for which `keep` holds, best first.
    fn resting_prices(&mut self, side: Side, keep: impl Fn(Price) -> bool) {
        self.prices.clear();
        let prices = self.resting[slot(side)].keys().copied();
        match side {
            Side::Buy => self.prices.extend(prices.rev().take_while(|&px| keep(px))),
            Side::Sell => self.prices.extend(prices.take_while(|&px| keep(px))),
        }
    }

    /// The displayed book changed: queue positions follow, and orders that the market has reached are filled.
    fn after_book(&mut self, ts: TimeNs) {
        self.clock = self.clock.max(ts);
        for side in [Side::Buy, Side::Sell] {
            for (&px, level) in &mut self.resting[slot(side)] {
                level.observe(self.market.observe(side, px), ts);
                level.settle(self.clock, self.queue);
            }
            self.fill_reached(side);
        }
    }

    /// Fills our orders of `side` at whose limit or through it the other side displays quantity.
    fn fill_reached(&mut self, side: Side) {
        let Some((opposite, _)) = self.market.best(side.opposite()) else { return };
        self.resting_prices(side, |px| !better(side, opposite, px));
        for at in 0..self.prices.len() {
            let px = self.prices[at];
            let Some(level) = self.resting[slot(side)].get_mut(&px) else { continue };
            let leaves: i64 = level.orders.iter().map(|order| order.leaves).sum();
            let reached = self.market.sweep(side, Some(px), leaves, &mut self.sweep);
            let fills = &mut self.fills;
            level.through(reached, |no, qty| fills.push(Fill { no, px, qty: Qty(qty), maker: true }));
            if level.orders.is_empty() {
                self.resting[slot(side)].remove(&px);
            }
        }
    }

    // ---- our orders ----

    /// Checks the terms of an order without placing it.
    pub fn check(&self, terms: &Terms) -> Result<(), Refusal> {
        if terms.qty < self.instrument.min_qty || terms.qty.0 <= 0 {
            return Err(Refusal::QtyBelowMinimum);
        }
        let value_px = match terms.limit {
            Some(px) if px.0 <= 0 => return Err(Refusal::Price),
            Some(px) => px,
            None => match self.market.best(terms.side.opposite()) {
                Some((px, _)) => px,
                None => return Err(Refusal::Price),
            },
        };
        match self.instrument.notional(value_px, terms.qty) {
            Some(value) if value >= self.instrument.min_notional => {}
            _ => return Err(Refusal::NotionalBelowMinimum),
        }
        if terms.post_only && self.market.available_to(terms.side, terms.limit, 1) > 0 {
            return Err(Refusal::WouldTake);
        }
        Ok(())
    }

    /// True when an order of `side` at `limit` would meet a resting order for which `own` holds.
    pub fn meets_own(&self, side: Side, limit: Option<Price>, own: impl Fn(OrderNo) -> bool) -> bool {
        let other = side.opposite();
        let meets = |px: &Price| limit.is_none_or(|limit| !better(other, limit, *px));
        let any = |level: &QueueLevel| level.orders.iter().any(|order| own(order.no));
        self.resting[slot(other)].iter().any(|(px, level)| meets(px) && any(level))
    }

    /// Places a checked order: takes what is displayed at its limit or better, then rests or cancels what is left.
    pub fn place(&mut self, no: OrderNo, terms: &Terms) -> Placed {
        let want = terms.qty.0;
        if terms.tif == Tif::Fok && self.market.available_to(terms.side, terms.limit, want) < want {
            return Placed { filled: Qty(0), resting: Qty(0), canceled: terms.qty };
        }
        let filled = self.market.sweep(terms.side, terms.limit, want, &mut self.sweep);
        for &(px, qty) in &self.sweep {
            self.fills.push(Fill { no, px, qty: Qty(qty), maker: false });
        }
        let left = want - filled;
        let rests = left > 0 && !matches!(terms.tif, Tif::Ioc | Tif::Fok);
        match terms.limit {
            Some(px) if rests => {
                self.rest(no, terms.side, px, left);
                Placed { filled: Qty(filled), resting: Qty(left), canceled: Qty(0) }
            }
            _ => Placed { filled: Qty(filled), resting: Qty(0), canceled: Qty(left) },
        }
    }

    fn rest(&mut self, no: OrderNo, side: Side, px: Price, leaves: i64) {
        let seen = self.market.observe(side, px);
        let taken = seen.qty - self.market.available(side, px);
        let level = self.resting[slot(side)].entry(px).or_insert_with(|| QueueLevel::new(seen));
        level.join(no, leaves, taken);
    }

    /// Takes a resting order out; returns what was left of it.
    pub fn remove(&mut self, no: OrderNo, side: Side, px: Price) -> Option<Qty> {
        let level = self.resting[slot(side)].get_mut(&px)?;
        let at = level.orders.iter().position(|order| order.no == no)?;
        let order = level.orders.remove(at);
        if level.orders.is_empty() {
            self.resting[slot(side)].remove(&px);
        }
        Some(Qty(order.leaves))
    }

    /// Lowers the open quantity of a resting order, which keeps its place. False when there is no such order or `leaves`
    /// is not below what is open.
    pub fn reduce(&mut self, no: OrderNo, side: Side, px: Price, leaves: Qty) -> bool {
        let level = self.resting[slot(side)].get_mut(&px);
        let Some(order) = level.and_then(|level| level.orders.iter_mut().find(|order| order.no == no)) else {
            return false;
        };
        if leaves.0 <= 0 || leaves.0 > order.leaves {
            return false;
        }
        order.leaves = leaves.0;
        true
    }

    /// Displayed quantity of others before a resting order, in lots.
    pub fn qty_ahead(&self, no: OrderNo, side: Side, px: Price) -> Option<Qty> {
        let level = self.resting[slot(side)].get(&px)?;
        level.orders.iter().find(|order| order.no == no).map(|order| Qty(order.ahead))
    }

    /// Levels of the recorded depth book, best first, without quotes and without what we took.
    pub fn depth(&self, side: Side, limit: usize) -> Vec<(Price, Qty)> {
        self.market.depth(side, limit)
    }

    /// Update id that the recorded depth book stands at.
    pub fn depth_id(&self) -> u64 {
        self.market.depth_id()
    }

    /// Best level of a book side with the newest quote in force.
    pub fn best(&self, side: Side) -> Option<(Price, Qty)> {
        self.market.best(side).map(|(px, qty)| (px, Qty(qty)))
    }
}
