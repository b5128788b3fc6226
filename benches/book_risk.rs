//! `book/apply/SHAPE`, `book/touch`, `risk/SHAPE`, `order/SHAPE`: single operations by one pair of clock reads each (p50, p99,
//! p99.9, max; the cost of the pair is printed and not taken off), and means of batches, where the clock does not count.
//! Recorded depth comes from `TERCEL_DATA` or `../shared/data`; without it that part is left out.
//!
//! Closed loop: nothing arrives from outside here. The tails on a shared machine are preemption.
use quanta::Clock;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use tercel_book::{Book, BookConfig};
use tercel_event::{
    Bbo, Body, BookDelta, BookSnapshot, Command, CommandKind, ExecReport, FeedEvent, FeedStatus, Frame, FrameFlags,
    Level, OrdType, Tif, stamp, write_frame,
};
use tercel_order::{OrderConfig, Orders};
use tercel_risk::{
    AccountLimits, Collar, InstrumentLimits, PositionLimits, RateLimits, Risk, RiskLimits, ScopeLimits, StrategyLimits,
};
use tercel_types::{
    AccountId, Calendar, ClOrdId, Decimal, DurationNs, ExecId, FeeRates, Instrument, InstrumentId, InstrumentKind,
    Instruments, Money, OrderId, Price, Qty, Side, SourceId, StrategyId, TimeNs,
};

const SRC: SourceId = SourceId(3);

fn main() {
    // `cargo test` builds and runs benches too: a small run then keeps this file from rotting.
    let scale = if std::env::args().any(|arg| arg == "--bench") { 1 } else { 100 };
    let bench = Bench { clock: Clock::new(), scale };
    bench.each("clock pair", 1_000_000, |_| ());
    book(&bench);
    recorded(&bench);
    risk(&bench);
    orders(&bench);
}

struct Bench {
    clock: Clock,
    scale: usize,
}

impl Bench {
    /// Times every operation by itself; `operation` gets its number.
    fn each<T>(&self, name: &str, count: usize, mut operation: impl FnMut(usize) -> T) {
        let mut ticks = Vec::with_capacity(count / self.scale);
        for at in 0..count / self.scale {
            let start = self.clock.raw();
            black_box(operation(black_box(at)));
            ticks.push(self.clock.raw() - start);
        }
        ticks.sort_unstable();
        let at = |share: f64| self.clock.delta_as_nanos(0, ticks[((ticks.len() - 1) as f64 * share) as usize]);
        let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), at(1.0));
        println!("{name:32} n={:8} p50={p50:5} p99={p99:5} p99.9={p999:6} max={max:8} ns", ticks.len());
    }

    /// Times batches of operations and prints means per operation. `batch` returns how many it did.
    fn batches(&self, name: &str, count: usize, mut batch: impl FnMut(usize) -> usize) {
        let mut means: Vec<f64> = (0..(count / self.scale).max(1))
            .map(|at| {
                let start = self.clock.raw();
                let done = batch(at);
                self.clock.delta_as_nanos(start, self.clock.raw()) as f64 / done.max(1) as f64
            })
            .collect();
        means.sort_by(f64::total_cmp);
        let (low, median) = (means[means.len() / 20], means[means.len() / 2]);
        println!("{name:32} batches={:4} p5={low:7.2} median={median:7.2} ns per operation", means.len());
    }
}

/// Frames one behind the other, as they lie in a ring.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    levels: usize,
}

impl Frames {
    fn push<B: Body>(&mut self, flags: u8, seq: u64, body: &B, levels: &[Level]) {
        let start = self.bytes.len();
        self.bytes.resize(start + Frame::padded_len(tercel_event::MAX_FRAME_LEN), 0);
        let tail = bytemuck::cast_slice(levels);
        let len = write_frame(&mut self.bytes[start..], SRC, seq, flags, body, tail).expect("the frame fits");
        stamp(&mut self.bytes[start..], seq, TimeNs(seq as i64));
        self.bytes.truncate(start + Frame::padded_len(len));
        self.starts.push(start);
        self.levels += levels.len();
    }

    fn delta(&mut self, id: u64, bids: &[Level], asks: &[Level]) {
        let head = BookDelta {
            bids_count: bids.len() as u32,
            asks_count: asks.len() as u32,
            first_update_id: id,
            last_update_id: id,
            prev_update_id: id - 1,
            ..Default::default()
        };
        let levels: Vec<Level> = bids.iter().chain(asks).copied().collect();
        self.push(0, id, &head, &levels);
    }

    fn snapshot(&mut self, id: u64, bids: &[Level], asks: &[Level]) {
        self.push(0, id, &FeedStatus { event: FeedEvent::Connected as u8, ..Default::default() }, &[]);
        let head = |bids: &[Level], asks: &[Level], part| BookSnapshot {
            bids_count: bids.len() as u32,
            asks_count: asks.len() as u32,
            part,
            last_update_id: id,
            ..Default::default()
        };
        self.push(FrameFlags::MORE, id, &head(bids, &[], 0), bids);
        self.push(0, id, &head(&[], asks, 1), asks);
        self.push(0, id, &FeedStatus { event: FeedEvent::Recovered as u8, ..Default::default() }, &[]);
    }

    fn get(&self, at: usize) -> Frame<'_> {
        Frame::parse(&self.bytes[self.starts[at]..]).expect("frames are whole")
    }

    fn len(&self) -> usize {
        self.starts.len()
    }
}

fn level(px: i64, qty: i64) -> Level {
    Level { px: Price(px), qty: Qty(qty) }
}

/// A live book of 1,000 levels a side around 100,000/100,001, at update 1.
fn live_book() -> Book {
    let mut book = Book::new(InstrumentId(0), BookConfig::default());
    let mut frames = Frames::default();
    let bids: Vec<Level> = (0..1_000).map(|at| level(100_000 - at, 5)).collect();
    let asks: Vec<Level> = (1..=1_000).map(|at| level(100_000 + at, 5)).collect();
    frames.snapshot(1, &bids, &asks);
    for at in 0..frames.len() {
        book.apply(&frames.get(at));
    }
    assert!(book.is_live());
    book
}

fn book(bench: &Bench) {
    // What the n-th message changes: ticks away from the best bid, and the new quantity.
    type Change = fn(i64) -> (i64, i64);
    let shapes: [(&str, Change); 4] = [
        ("change_at_best", |at| (0, 6 + at % 2)),
        ("change_10_away", |at| (10, 6 + at % 2)),
        ("change_500_away", |at| (500, 6 + at % 2)),
        ("remove_add_at_best", |at| (0, 5 * (at % 2))),
    ];
    let count = 500_000;
    for (shape, change) in shapes {
        let mut frames = Frames::default();
        for at in 0..count / bench.scale as i64 {
            let (away, qty) = change(at);
            frames.delta(at as u64 + 2, &[level(100_000 - away, qty)], &[]);
        }
        let mut book = live_book();
        bench.each(&format!("book/apply/{shape}"), count as usize, |at| book.apply(&frames.get(at)));
        let mut book = live_book();
        let batch = 1_000.min(frames.len());
        bench.batches(&format!("book/apply/{shape}"), count as usize / 1_000, |at| {
            for frame in at * batch..(at + 1) * batch {
                black_box(book.apply(&frames.get(frame)));
            }
            batch
        });
        assert!(book.is_live());
    }
    let mut frames = Frames::default();
    for at in 0..20_000 / bench.scale as i64 {
        let bids: Vec<Level> = (0..50).map(|away| level(100_000 - away, 6 + at % 2)).collect();
        let asks: Vec<Level> = (1..=50).map(|away| level(100_000 + away, 6 + at % 2)).collect();
        frames.delta(at as u64 + 2, &bids, &asks);
    }
    let mut book = live_book();
    bench.batches("book/apply/50+50: per level", 200, |at| {
        let each = (100).min(frames.len());
        for frame in at * each..(at + 1) * each {
            black_box(book.apply(&frames.get(frame)));
        }
        each * 100
    });
    let mut quotes = Frames::default();
    for at in 0..count / bench.scale as i64 {
        let (bid_px, ask_px) = (Price(100_000), Price(100_001));
        let (bid_qty, ask_qty) = (Qty(1 + at % 2), Qty(1));
        let bbo = Bbo { update_id: 1 << 40 | at as u64, bid_px, bid_qty, ask_px, ask_qty, ..Default::default() };
        quotes.push(0, at as u64, &bbo, &[]);
    }
    let mut book = live_book();
    bench.each("book/apply/bbo", count as usize, |at| book.apply(&quotes.get(at)));
    let book = live_book();
    bench.batches("book/touch: best bid and ask", 1_000, |_| {
        for _ in 0..10_000 {
            let book = black_box(&book);
            black_box((book.best_bid(), book.best_ask()));
        }
        10_000
    });
}

fn data_path() -> PathBuf {
    let root = std::env::var_os("TERCEL_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    root.join("l2/binance_usdm_btcusdt_20240808.jsonts.gz")
}

/// Recorded depth of BTCUSDT perpetuals: every message that the book would get, in order.
fn recorded_frames() -> Option<Frames> {
    let file = std::fs::File::open(data_path()).ok()?;
    let (step, lot) = (Decimal { mantissa: 1, scale: 1 }, Decimal { mantissa: 1, scale: 3 });
    let levels = |side: &serde_json::Value| -> Option<Vec<Level>> {
        let one = |pair: &serde_json::Value| {
            Some(level(
                step.count_of(pair[0].as_str()?.as_bytes()).ok()?,
                lot.count_of(pair[1].as_str()?.as_bytes()).ok()?,
            ))
        };
        side.as_array()?.iter().map(one).collect()
    };
    let (mut frames, mut synced) = (Frames::default(), false);
    let mut early: Vec<(BookDelta, Vec<Level>)> = Vec::new();
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let line = line.ok()?;
        let message: serde_json::Value = serde_json::from_str(line.split_once(' ')?.1).ok()?;
        if let Some(id) = message["lastUpdateId"].as_u64() {
            frames.snapshot(id, &levels(&message["bids"])?, &levels(&message["asks"])?);
            for (head, all) in std::mem::take(&mut early) {
                if head.last_update_id >= id {
                    frames.push(0, frames.len() as u64, &head, &all);
                }
            }
            (synced, frames.levels) = (true, 0);
        } else if message["data"]["e"] == "depthUpdate" {
            let data = &message["data"];
            let (bids, asks) = (levels(&data["b"])?, levels(&data["a"])?);
            let head = BookDelta {
                bids_count: bids.len() as u32,
                asks_count: asks.len() as u32,
                first_update_id: data["U"].as_u64()?,
                last_update_id: data["u"].as_u64()?,
                prev_update_id: data["pu"].as_u64()?,
                ..Default::default()
            };
            let all = [bids, asks].concat();
            if synced {
                frames.push(0, frames.len() as u64, &head, &all);
            } else {
                early.push((head, all));
            }
        }
    }
    Some(frames)
}

fn recorded(bench: &Bench) {
    let Some(frames) = recorded_frames() else {
        println!("book/apply/recorded: left out, {} cannot be read", data_path().display());
        return;
    };
    let mut book = Book::new(InstrumentId(0), BookConfig::default());
    bench.batches("book/apply/recorded: per level", 30, |_| {
        for at in 0..frames.len() {
            black_box(book.apply(&frames.get(at)));
        }
        frames.levels
    });
    assert!(book.is_live(), "{:?}", book.counters());
    let (bids, asks) = book.levels_count();
    let messages = frames.len() - 4;
    println!("    {messages} messages, {} level changes, {bids} + {asks} levels at the end", frames.levels);
    let mut book = Book::new(InstrumentId(0), BookConfig::default());
    bench.each("book/apply/recorded: per message", frames.len() * bench.scale, |at| book.apply(&frames.get(at)));
}

fn instruments() -> Instruments {
    Instruments(vec![Instrument {
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
    }])
}

fn command(kind: CommandKind, counter: u64, root: u64, px: i64, qty: i64, ts: i64) -> Command {
    let id = |counter| ClOrdId::new(1, 0, counter).expect("the counter fits");
    Command {
        kind: kind as u8,
        dest: SRC,
        ts: TimeNs(ts),
        cl_ord_id: id(counter),
        root_cl_ord_id: id(root),
        orig_cl_ord_id: id(root),
        px: Price(px),
        order_qty: Qty(qty),
        side: Side::Buy as u8,
        tif: Tif::Gtc as u8,
        ord_type: OrdType::Limit as u8,
        ..bytemuck::Zeroable::zeroed()
    }
}

fn risk(bench: &Bench) {
    let scope = ScopeLimits {
        max_open_orders: 1_000,
        max_gross_value: Money::from_whole(1_000_000_000),
        max_net_value: Money::from_whole(1_000_000_000),
        max_loss_day: Money::from_whole(1_000_000),
        max_drawdown: Money::from_whole(1_000_000),
        rates: RateLimits { orders: [1_000, 10_000, 600_000], cancels: [1_000, 10_000, 600_000], halt_after: 0 },
    };
    let positions = vec![PositionLimits::both(1_000_000)];
    let limits = RiskLimits {
        capacity: 1_024,
        firm: scope,
        accounts: vec![AccountLimits { scope, positions: positions.clone() }],
        strategies: vec![StrategyLimits {
            accounts: vec![AccountId(0)],
            scope,
            positions,
            duplicate_window: Some(DurationNs::from_millis(5)),
        }],
        instruments: vec![InstrumentLimits {
            max_order_qty: Qty(1_000),
            max_order_value: Money::from_whole(1_000_000),
            collar: Some(Collar::Bps(100)),
            reference_max_age: DurationNs::from_secs(i64::MAX / 2_000_000_000),
        }],
    };
    assert_eq!(limits.validate(&instruments()), []);
    let mut risk = Risk::new(&instruments(), &limits);
    risk.open_gate(AccountId(0));
    risk.mark(InstrumentId(0), Price(618_000), Price(618_001), TimeNs(0));
    // Eight orders rest and as many lie within the duplicate window, as a maker has them.
    let (mut counter, mut now) = (0u64, 0i64);
    let mut next = |counter: &mut u64| {
        *counter += 1;
        now += 600_000; // 1,667 orders a second: the windows are full of messages, no limit is reached
        command(CommandKind::New, *counter, *counter, 617_990 - (*counter % 50) as i64, 1 + (*counter % 7) as i64, now)
    };
    for _ in 0..8 {
        assert!(risk.submit(&next(&mut counter)).is_ok());
    }
    let probe = next(&mut counter);
    assert!(risk.check(&probe).is_ok());
    bench.each("risk/check_new", 1_000_000, |_| risk.check(black_box(&probe)));
    bench.batches("risk/check_new", 1_000, |_| {
        for _ in 0..1_000 {
            let _ = black_box(risk.check(black_box(&probe)));
        }
        1_000
    });
    let commands: Vec<Command> = (0..500_000 / bench.scale).map(|_| next(&mut counter)).collect();
    let mut refused = 0;
    bench.each("risk/submit_new + release", 500_000, |at| {
        refused += usize::from(!risk.submit(&commands[at]).is_ok());
        risk.release(commands[at].cl_ord_id);
    });
    assert_eq!(refused, 0);
    let later = commands.last().map_or(now, |last| last.ts.0);
    bench.each("risk/mark, no position", 500_000, |at| {
        let bid = 618_000 + (at % 3) as i64;
        risk.mark(InstrumentId(0), Price(bid), Price(bid + 1), TimeNs(later));
    });
}

fn orders(bench: &Bench) {
    let mut orders = Orders::new(&instruments(), OrderConfig { strategies: 1, ..OrderConfig::default() });
    let count = 200_000 / bench.scale;
    let news: Vec<Command> =
        (0..count as u64).map(|at| command(CommandKind::New, at + 1, at + 1, 618_000, 5, at as i64)).collect();
    let report = |at: usize, exec_type: u8, ord_status: u8, last: i64| ExecReport {
        cl_ord_id: news[at].cl_ord_id,
        exec_type,
        ord_status,
        side: Side::Buy as u8,
        last_px: Price(618_000),
        last_qty: Qty(last),
        cum_qty: Qty(last),
        leaves_qty: Qty(5 - last),
        exec_id: ExecId::new(format!("{exec_type}-{at}").as_bytes()).expect("short"),
        order_id: OrderId::new(b"V").expect("short"),
        ..ExecReport::default()
    };
    let acks: Vec<ExecReport> = (0..count).map(|at| report(at, b'0', b'0', 0)).collect();
    let fills: Vec<ExecReport> = (0..count).map(|at| report(at, b'F', b'2', 5)).collect();
    assert_eq!((news[0].strategy, news[0].account), (StrategyId(0), AccountId(0)));
    let mut ticks = [Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count)];
    for at in 0..count {
        let now = TimeNs(at as i64);
        let start = bench.clock.raw();
        let taken = orders.on_command(&news[at]);
        let sent = bench.clock.raw();
        black_box(orders.on_exec_report(&acks[at], SRC, now));
        let acked = bench.clock.raw();
        let update = orders.on_exec_report(&fills[at], SRC, now);
        let filled = bench.clock.raw();
        assert!(taken.is_ok() && update.released);
        for (ticks, span) in ticks.iter_mut().zip([sent - start, acked - sent, filled - acked]) {
            ticks.push(span);
        }
    }
    for (name, ticks) in ["order/new", "order/ack", "order/fill"].into_iter().zip(&mut ticks) {
        ticks.sort_unstable();
        let at = |share: f64| bench.clock.delta_as_nanos(0, ticks[((ticks.len() - 1) as f64 * share) as usize]);
        let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), at(1.0));
        println!("{name:32} n={:8} p50={p50:5} p99={p99:5} p99.9={p999:6} max={max:8} ns", ticks.len());
    }
}
