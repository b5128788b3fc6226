//! Instruments and shorthands of the simulator's tests.
#![allow(dead_code)]
use tercel_event::{Level, Tif};
use tercel_sim::{Fill, Matcher, OrderNo, Placed, PublicTrade, Quote, Terms};
use tercel_types::{
    Calendar, Decimal, FeeRates, Instrument, InstrumentId, InstrumentKind, Money, Price, Qty, Side, TimeNs,
};

pub fn instrument() -> Instrument {
    Instrument {
        id: InstrumentId(0),
        symbol: "BTCUSDT".into(),
        kind: InstrumentKind::LinearPerp,
        base: "BTC".into(),
        quote: "USDT".into(),
        settle: "USDT".into(),
        price_step: Decimal { mantissa: 1, scale: 1 },
        lot: Decimal { mantissa: 1, scale: 3 },
        multiplier: Decimal::ONE,
        min_qty: Qty(1),
        min_notional: Money::ZERO,
        fees: FeeRates { maker_e8: 20_000, taker_e8: 50_000 },
        calendar: Calendar::Always,
    }
}

pub fn ms(t: i64) -> TimeNs {
    TimeNs::from_millis(t)
}

pub fn limit(side: Side, px: i64, qty: i64) -> Terms {
    Terms { side, limit: Some(Price(px)), qty: Qty(qty), tif: Tif::Gtc, post_only: false }
}

/// A matcher under test with a running update id.
pub struct Bench {
    pub matcher: Matcher,
    pub update_id: u64,
    pub fills: Vec<Fill>,
}

impl Bench {
    pub fn new(queue: tercel_sim::QueueModel) -> Self {
        Self { matcher: Matcher::new(instrument(), queue), update_id: 0, fills: Vec::new() }
    }

    pub fn depth(&mut self, t: i64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> &[Fill] {
        let level = |&(px, qty): &(i64, i64)| Level { px: Price(px), qty: Qty(qty) };
        self.update_id += 1;
        self.matcher.levels(bids.iter().map(level), asks.iter().map(level));
        self.matcher.depth_end(self.update_id, ms(t));
        self.take()
    }

    pub fn quote(&mut self, t: i64, bid: (i64, i64), ask: (i64, i64)) -> &[Fill] {
        self.update_id += 1;
        self.matcher.on_quote(Quote {
            update_id: self.update_id,
            bid_px: Price(bid.0),
            bid_qty: Qty(bid.1),
            ask_px: Price(ask.0),
            ask_qty: Qty(ask.1),
            ts: ms(t),
        });
        self.take()
    }

    pub fn trade(&mut self, t: i64, px: i64, qty: i64, aggressor: Side) -> &[Fill] {
        self.matcher.on_trade(PublicTrade { px: Price(px), qty: Qty(qty), aggressor, ts: ms(t) });
        self.take()
    }

    pub fn place(&mut self, no: OrderNo, terms: Terms) -> (Placed, Vec<Fill>) {
        let placed = self.matcher.place(no, &terms);
        (placed, self.take().to_vec())
    }

    pub fn ahead(&self, no: OrderNo, side: Side, px: i64) -> Option<i64> {
        self.matcher.qty_ahead(no, side, Price(px)).map(|qty| qty.0)
    }

    fn take(&mut self) -> &[Fill] {
        self.fills.clear();
        self.fills.extend(self.matcher.drain_fills());
        &self.fills
    }
}

pub fn maker(no: OrderNo, px: i64, qty: i64) -> Fill {
    Fill { no, px: Price(px), qty: Qty(qty), maker: true }
}

pub fn taker(no: OrderNo, px: i64, qty: i64) -> Fill {
    Fill { no, px: Price(px), qty: Qty(qty), maker: false }
}
