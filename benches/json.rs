//! `json/depth_update/LEVELS`, `json/book_ticker`, `json/trade`: message bytes to exact steps in a frame's levels, ours
//! beside sonic-rs and serde_json, typed, in the same run. The peers borrow their strings, fill a `Vec` and convert digits
//! of a known scale without checks, which favours them.
//!
//! Blocks of the competitors alternate; a figure is the median of block means, the ratio the median of block ratios
//! (best peer / ours).
use serde::Deserialize;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tercel_binance::json::{Decoder, Message};
use tercel_event::Level;
use tercel_types::{Calendar, Decimal, FeeRates, Instrument, InstrumentId, InstrumentKind, Money, Price, Qty};

#[derive(Deserialize)]
struct Envelope<'a, T> {
    #[serde(borrow, rename = "stream")]
    _stream: &'a str,
    data: T,
}

#[derive(Deserialize)]
struct DepthUpdate<'a> {
    #[serde(rename = "E")]
    event_time: u64,
    s: &'a str,
    #[serde(rename = "U")]
    first: u64,
    u: u64,
    pu: u64,
    #[serde(borrow)]
    b: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    a: Vec<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    #[serde(rename = "E")]
    event_time: u64,
    s: &'a str,
    u: u64,
    b: &'a str,
    #[serde(rename = "B")]
    bid_qty: &'a str,
    a: &'a str,
    #[serde(rename = "A")]
    ask_qty: &'a str,
}

#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(rename = "E")]
    event_time: u64,
    s: &'a str,
    t: u64,
    p: &'a str,
    q: &'a str,
    m: bool,
}

fn digits(text: &str) -> i64 {
    text.bytes().filter(|b| *b != b'.').fold(0, |n, b| n * 10 + i64::from(b - b'0'))
}

trait Peer {
    fn sum(&self) -> i64;
}

impl Peer for DepthUpdate<'_> {
    fn sum(&self) -> i64 {
        let side = |levels: &[(&str, &str)]| levels.iter().map(|(p, q)| digits(p) / 10 + digits(q)).sum::<i64>();
        (self.event_time + self.first + self.u + self.pu) as i64 + self.s.len() as i64 + side(&self.b) + side(&self.a)
    }
}

impl Peer for Ticker<'_> {
    fn sum(&self) -> i64 {
        let text = digits(self.b) / 10 + digits(self.a) / 10 + digits(self.bid_qty) + digits(self.ask_qty);
        (self.event_time + self.u) as i64 + self.s.len() as i64 + text
    }
}

impl Peer for Trade<'_> {
    fn sum(&self) -> i64 {
        (self.event_time + self.t) as i64
            + self.s.len() as i64
            + digits(self.p) / 10
            + digits(self.q)
            + i64::from(self.m)
    }
}

fn depth_message(levels: usize) -> String {
    let side = |base: usize, sign: i64| {
        (0..levels)
            .map(|i| {
                let steps = base as i64 + sign * (i as i64 * 7);
                format!("[\"{}.{}0\",\"{}.{:03}\"]", steps / 10, steps % 10, i % 13, (i * 37) % 1000)
            })
            .collect::<Vec<_>>()
            .join(",")
    };
    format!(
        "{{\"stream\":\"btcusdt@depth@0ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":1723161256299,\"T\":1723161256298,\
         \"s\":\"BTCUSDT\",\"U\":5123107832006,\"u\":5123107837557,\"pu\":5123107831937,\"b\":[{}],\"a\":[{}]}}}}",
        side(618_002, -1),
        side(618_003, 1)
    )
}

fn block(iterations: u32, mut run: impl FnMut() -> i64) -> f64 {
    let start = Instant::now();
    for _ in 0..iterations {
        black_box(run());
    }
    start.elapsed().as_nanos() as f64 / f64::from(iterations)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare<'a, T: Deserialize<'a> + Peer>(name: &str, text: &'a str, decoder: &mut Decoder, quick: bool) {
    let bytes = text.as_bytes();
    let mut levels = vec![Level::default(); 4_096];
    let mut ours = || match decoder.decode(black_box(bytes), &mut levels) {
        Ok(Message::Depth(depth)) => depth.last_update_id as i64 + levels[0].px.0,
        Ok(Message::BookTicker(ticker)) => ticker.bid_px.0,
        Ok(Message::Trade(trade)) => trade.px.0,
        other => panic!("{other:?}"),
    };
    let sonic = || sonic_rs::from_str::<Envelope<'_, T>>(black_box(text)).map(|m| m.data.sum()).unwrap_or(0);
    let serde = || serde_json::from_str::<Envelope<'_, T>>(black_box(text)).map(|m| m.data.sum()).unwrap_or(0);
    assert!(sonic() != 0 && sonic() == serde(), "the peers must read the message");
    let once = block(1_000, &mut ours);
    let iterations = if quick { 10 } else { (Duration::from_millis(20).as_nanos() as f64 / once) as u32 };
    let blocks = if quick { 1 } else { 21 };
    let (mut a, mut b, mut c, mut ratios) = (vec![], vec![], vec![], vec![]);
    for _ in 0..blocks {
        let (x, y, z) =
            (block(iterations, &mut ours), block(iterations / 3 + 1, sonic), block(iterations / 3 + 1, serde));
        ratios.push(y.min(z) / x);
        a.push(x);
        b.push(y);
        c.push(z);
    }
    let (x, y, z, ratio) = (median(a), median(b), median(c), median(ratios));
    println!(
        "{name:<28} {:>5} B  ours {x:>7.1} ns  sonic-rs {y:>7.1}  serde_json {z:>7.1}  best peer / ours {ratio:.2}",
        bytes.len()
    );
}

fn main() {
    // `cargo test` runs every benchmark small, so that none rots.
    let quick = !std::env::args().any(|a| a == "--bench");
    let btcusdt = Instrument {
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
        fees: FeeRates::default(),
        calendar: Calendar::Always,
    };
    let mut decoder = Decoder::new([&btcusdt]);
    let check = depth_message(1);
    let mut levels = [Level::default(); 4];
    assert!(decoder.decode(check.as_bytes(), &mut levels).is_ok() && levels[0].px == Price(618_002));
    for count in [1, 10, 17, 50, 500] {
        let text = depth_message(count);
        compare::<DepthUpdate<'_>>(&format!("json/depth_update/{count}+{count}"), &text, &mut decoder, quick);
    }
    let ticker = r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}}"#;
    compare::<Ticker<'_>>("json/book_ticker", ticker, &mut decoder, quick);
    let trade = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}"#;
    compare::<Trade<'_>>("json/trade", trade, &mut decoder, quick);
}
