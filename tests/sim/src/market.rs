//! A market made from the seed: a recording in the format of the venue, dense in what orders meet: a touch that moves by
//! single steps, queues that empty, trades that run through several levels.
use crate::rng::Rng;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use tercel_types::{Instrument, Side};
use tercel_venue::{Recording, btcusdt_perp};

/// Receive time of the first line, ns since 1970; any time of 13 digits in milliseconds will do.
const BASE: i64 = 1_700_000_000_000_000_000;
const LEVELS: usize = 12;

struct Market {
    instrument: Instrument,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    update_id: u64,
    trade_id: u64,
    /// Levels that changed since the last depth message.
    changed: [BTreeMap<i64, i64>; 2],
    text: String,
}

/// The demo's slice of real data.
pub fn recorded() -> Arc<Recording> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/venue/data/btcusdt_usdm_20240808.jsonts.gz");
    Arc::new(Recording::open(Path::new(path)).unwrap_or_else(|error| panic!("{error}")))
}

/// A recording that lasts `span_ns`.
pub fn recording(seed: u64, span_ns: i64, mean_us: i64) -> Arc<Recording> {
    let mut rng = Rng::stream(seed, 2);
    let mut market = Market {
        instrument: btcusdt_perp(),
        bids: BTreeMap::new(),
        asks: BTreeMap::new(),
        update_id: 1_000 + rng.below(1_000),
        trade_id: rng.below(1_000),
        changed: Default::default(),
        text: String::new(),
    };
    let mid = 600_000 + rng.between(-500, 500);
    for distance in 0..LEVELS as i64 {
        market.bids.insert(mid - distance, rng.between(2, 40));
        market.asks.insert(mid + 1 + distance, rng.between(2, 40));
    }
    market.snapshot(BASE);
    let mut at = BASE + 1;
    while at < BASE + span_ns {
        market.step(&mut rng, &mut at);
        at += rng.between(mean_us / 5, mean_us * 9 / 5) * 1_000;
    }
    let recording = Recording::of_text(Path::new("made from the seed"), market.text.into_bytes());
    Arc::new(recording.unwrap_or_else(|error| unreachable!("the market's own format: {error}")))
}

impl Market {
    fn side(&mut self, side: Side) -> &mut BTreeMap<i64, i64> {
        if side == Side::Buy { &mut self.bids } else { &mut self.asks }
    }

    fn best(&self, side: Side) -> (i64, i64) {
        let best = if side == Side::Buy { self.bids.last_key_value() } else { self.asks.first_key_value() };
        best.map(|(px, qty)| (*px, *qty)).unwrap_or_default()
    }

    fn set(&mut self, side: Side, px: i64, qty: i64) {
        if qty > 0 {
            self.side(side).insert(px, qty);
        } else {
            self.side(side).remove(&px);
        }
        self.changed[usize::from(side == Side::Sell)].insert(px, qty);
    }

    fn step(&mut self, rng: &mut Rng, at: &mut i64) {
        match rng.below(100) {
            0..=54 => {
                for _ in 0..rng.between(1, 4) {
                    let side = *rng.pick(&[Side::Buy, Side::Sell]);
                    let px = self.best(side).0 - side.sign() * rng.between(0, 8);
                    self.set(side, px, rng.between(1, 40));
                }
            }
            55..=84 => self.trade(rng, at),
            _ => {
                // The touch of one side leaves, the other side follows.
                let side = *rng.pick(&[Side::Buy, Side::Sell]);
                let px = self.best(side).0;
                self.set(side, px, 0);
                if rng.chance(800) {
                    self.set(side.opposite(), px, rng.between(1, 30));
                }
            }
        }
        self.refill(rng);
        if rng.chance(300) {
            self.quote(*at);
            *at += rng.between(1_000, 200_000);
            self.depth(rng, *at);
        } else {
            self.depth(rng, *at);
            *at += rng.between(1_000, 200_000);
            self.quote(*at);
        }
    }

    fn trade(&mut self, rng: &mut Rng, at: &mut i64) {
        let aggressor = *rng.pick(&[Side::Buy, Side::Sell]);
        let other = aggressor.opposite();
        let mut rest = rng.between(1, 60);
        while rest > 0 {
            let (px, shown) = self.best(other);
            let qty = rest.min(shown);
            rest -= qty;
            self.set(other, px, shown - qty);
            self.print(aggressor, px, qty, *at);
            *at += rng.between(500, 50_000);
            self.refill(rng);
        }
    }

    /// Both sides stay deep and apart.
    fn refill(&mut self, rng: &mut Rng) {
        for side in [Side::Buy, Side::Sell] {
            while self.side(side).len() < LEVELS {
                let away = if side == Side::Buy {
                    self.bids.first_key_value().map(|(px, _)| px - 1)
                } else {
                    self.asks.last_key_value().map(|(px, _)| px + 1)
                };
                let far = away.unwrap_or(600_000);
                self.set(side, far, rng.between(2, 40));
            }
        }
    }

    fn px(&self, px: i64) -> String {
        self.instrument.price_step.text_of(px).to_string()
    }

    fn qty(&self, qty: i64) -> String {
        self.instrument.lot.text_of(qty).to_string()
    }

    fn rows<'a>(&self, rows: impl Iterator<Item = (&'a i64, &'a i64)>) -> String {
        let rows = rows.map(|(px, qty)| format!("[\"{}\",\"{}\"]", self.px(*px), self.qty(*qty)));
        rows.collect::<Vec<_>>().join(",")
    }

    fn snapshot(&mut self, at: i64) {
        let ms = at / 1_000_000;
        let (bids, asks) = (self.rows(self.bids.iter().rev()), self.rows(self.asks.iter()));
        let id = self.update_id;
        let _ = writeln!(
            self.text,
            "{at} {{\"lastUpdateId\":{id},\"E\":{ms},\"T\":{ms},\"bids\":[{bids}],\"asks\":[{asks}]}}"
        );
    }

    fn depth(&mut self, rng: &mut Rng, at: i64) {
        let [bids, asks] = core::mem::take(&mut self.changed);
        let (prev, ms) = (self.update_id, at / 1_000_000);
        // Ids are shared by many books: the first of a message need not follow the last of the one before.
        let first = prev + 1 + rng.below(3);
        self.update_id = first + rng.below(6);
        let (bids, asks, last) = (self.rows(bids.iter()), self.rows(asks.iter()), self.update_id);
        let _ = writeln!(
            self.text,
            "{at} {{\"stream\":\"btcusdt@depth@0ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{ms},\"T\":{ms},\"s\":\"BTCUSDT\",\
             \"U\":{first},\"u\":{last},\"pu\":{prev},\"b\":[{bids}],\"a\":[{asks}]}}}}"
        );
    }

    fn quote(&mut self, at: i64) {
        let ((bid, bid_qty), (ask, ask_qty), ms) = (self.best(Side::Buy), self.best(Side::Sell), at / 1_000_000);
        // A quote that goes out before its depth message carries an id inside that message.
        let ahead = self.changed.iter().any(|changed| !changed.is_empty());
        let (id, bid, ask) = (self.update_id + u64::from(ahead), self.px(bid), self.px(ask));
        let (bid_qty, ask_qty) = (self.qty(bid_qty), self.qty(ask_qty));
        let _ = writeln!(
            self.text,
            "{at} {{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"e\":\"bookTicker\",\"u\":{id},\"s\":\"BTCUSDT\",\"b\":\"{bid}\",\
             \"B\":\"{bid_qty}\",\"a\":\"{ask}\",\"A\":\"{ask_qty}\",\"T\":{ms},\"E\":{ms}}}}}"
        );
    }

    fn print(&mut self, aggressor: Side, px: i64, qty: i64, at: i64) {
        self.trade_id += 1;
        let (ms, px, qty, id) = (at / 1_000_000, self.px(px), self.qty(qty), self.trade_id);
        let seller = aggressor == Side::Sell;
        let _ = writeln!(
            self.text,
            "{at} {{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":{ms},\"T\":{ms},\"s\":\"BTCUSDT\",\"t\":{id},\
             \"p\":\"{px}\",\"q\":\"{qty}\",\"X\":\"MARKET\",\"m\":{seller}}}}}"
        );
    }
}
