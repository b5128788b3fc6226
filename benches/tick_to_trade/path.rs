//! What the measured paths have in common: their shape, the instrument, the strategy, the log.
use tercel_event::sources;
use tercel_ring::{LogConfig, LogWriter, PowerOfTwo};
use tercel_types::{
    Calendar, Decimal, FeeRates, Instrument, InstrumentId, InstrumentKind, Instruments, Money, Qty, SourceId, TimeNs,
};

pub const FEED: SourceId = sources::FIRST_GATEWAY;
pub const ORDERS: SourceId = SourceId(sources::FIRST_GATEWAY.0 + 1);

/// A way from message bytes to order bytes.
pub trait Path {
    /// Time passes up to the next event; what is due by then fires here. Not measured.
    fn before(&mut self, now: TimeNs);
    /// The measured span.
    fn on_event(&mut self, message: &[u8]);
    /// The clock when the last order left.
    fn sent_at(&self) -> u64;
    /// Hands over each message that was sent, and lets the venue answer. Not measured.
    fn settle(&mut self, on_order: impl FnMut(&[u8]));
}

pub fn instruments() -> Instruments {
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
        min_notional: Money::from_whole(50),
        fees: FeeRates { maker_e8: 20_000, taker_e8: 50_000 },
        calendar: Calendar::Always,
    }])
}

/// `as_maker` with its first leg of each side, or the bid alone; a half-spread of ten ticks, so that no leg waits for the
/// answer of the other. Limits as there.
pub fn strategy(legs: usize) -> String {
    let ask = if legs > 1 { "ask clip at ask while q >= 1 - max_clips" } else { "" };
    let ask_price = if legs > 1 { "let ask = max(r + half, x.others.best_ask)" } else { "" };
    format!(
        "edition 1
use std.micro.{{microprice}}
use std.stat.{{ewvar_rate}}

strategy maker version 1 {{
  instrument x: perp(BTC/USDT) at primary
  signal alpha: bps from \"next_mid\" max_age 500ms schema 1

  param clip: qty[x] = 0.005 BTC in 0.001 BTC .. 0.1 BTC
  param max_clips: int = 20 in 3 .. 100
  param tau: duration = 1s in 100ms .. 60s
  param gamma: 1/price[x] = 0.005 in 0.0001 .. 0.5 scale log
  param kappa: 1/price[x] = 20 in 0.01 .. 100 scale log
  param floor: int = 10 in 0 .. 20
  param lean: real = 0.5 in 0 .. 2

  let fair = microprice(x) * (1 + lean * (alpha ?? 0 bps))
  let v = ewvar_rate(fair @ every 250ms, halflife: 2s)
  let q = x.position / clip
  let r = fair - q * gamma * v * tau
  let half = max(gamma * v * tau / 2 + ln(1 + gamma / kappa) / gamma, floor * x.tick)

  let bid = min(r - half, x.others.best_bid)
  {ask_price}

  quote x {{
    bid clip at bid while q <= max_clips - 1
    {ask}
  }} with post_only, keep(1 tick)

  risk {{
    limit position(x) <= max_clips * clip
    limit order_rate <= 40 per 1s
    limit feed_silence(x) <= 2s else pull x
    limit loss <= 300 USDT per day else {{ flatten x; halt \"daily loss\" }}
  }}
}}
"
    )
}

const LOG_LEN: usize = 64 << 20;

/// A log in memory where there is such a file system; its file goes when the process does.
pub fn new_log(name: &str) -> LogWriter {
    let shm = std::path::Path::new("/dev/shm");
    let dir = if shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
    let path = dir.join(format!("tercel-bench-{name}-{}", std::process::id()));
    let config = LogConfig {
        path: path.clone(),
        capacity: PowerOfTwo::at_least(LOG_LEN),
        epoch: 1,
        config_hash: 0,
        build_hash: 0,
    };
    let log = LogWriter::create(&config).expect("the bench log");
    // The mapping lives on without its name.
    let _ = std::fs::remove_file(path);
    log
}
