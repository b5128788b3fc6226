//! The configuration of the engine and the venue under test: one instrument, one account, one order session, two sockets.
use crate::options::{Defect, Options};
use crate::strategies;
use std::path::PathBuf;
use tercel_binance::{FeedConfig, SocketConfig};
use tercel_book::BookConfig;
use tercel_core::{AccountConfig, Core, CoreConfig, SignalConfig, StrategyConfig};
use tercel_exec::ExecConfig;
use tercel_fix::session::ResendPolicy;
use tercel_fix::{OrderGatewayConfig, SessionConfig};
use tercel_risk::{
    AccountLimits, Collar, InstrumentLimits, PositionLimits, RateLimits, RiskLimits, ScopeLimits, StrategyLimits,
};
use tercel_types::{AccountId, DurationNs, InstrumentId, Instruments, Money, Qty, SourceId, TimeNs};
use tercel_venue::{Start, VenueConfig, btcusdt_perp};

pub const FEED: SourceId = SourceId(3);
pub const ORDERS: SourceId = SourceId(4);
pub const X: InstrumentId = InstrumentId(0);
pub const ACCOUNT: AccountId = AccountId(0);
/// Wall and engine time of the start of every run.
pub const START: TimeNs = TimeNs(1_800_000_000_000_000_000);
/// Paths of the two sockets, as the feed's shell asks for them.
pub const PATHS: [&str; 2] = ["/stream?streams=btcusdt@depth@0ms", "/stream?streams=btcusdt@bookTicker/btcusdt@trade"];

/// A core that has seen nothing yet.
pub fn core() -> Core {
    let names = ["quoter", "taker", "as_maker"];
    let own = |name: &&str| StrategyConfig {
        name: (*name).into(),
        account: ACCOUNT,
        gateway: ORDERS,
        ..StrategyConfig::default()
    };
    let scope = ScopeLimits {
        max_open_orders: 64,
        max_gross_value: Money::from_whole(10_000_000),
        max_net_value: Money::from_whole(10_000_000),
        max_loss_day: Money::from_whole(1_000_000),
        max_drawdown: Money::from_whole(1_000_000),
        rates: RateLimits { orders: [10_000; 3], cancels: [10_000; 3], halt_after: 0 },
    };
    let per_strategy = StrategyLimits {
        accounts: vec![ACCOUNT],
        scope,
        positions: vec![PositionLimits::both(2_000)],
        duplicate_window: Some(DurationNs(0)),
    };
    let config = CoreConfig {
        epoch: 1,
        shard: 0,
        instruments: Instruments(vec![btcusdt_perp()]),
        feeds: vec![FEED],
        accounts: vec![AccountConfig { name: "main".into() }],
        strategies: names.iter().map(own).collect(),
        signals: vec![SignalConfig { name: "next_mid".into(), schema: 1 }],
        exec: ExecConfig::default(),
        risk: RiskLimits {
            capacity: 256,
            firm: scope,
            accounts: vec![AccountLimits { scope, positions: vec![PositionLimits::both(5_000)] }],
            strategies: vec![per_strategy; strategies::COUNT],
            instruments: vec![InstrumentLimits {
                max_order_qty: Qty(1_000),
                max_order_value: Money::from_whole(1_000_000),
                collar: Some(Collar::Bps(500)),
                reference_max_age: DurationNs::from_secs(5),
            }],
        },
        book: BookConfig { window: 1 << 13, known_min: 1, ..BookConfig::default() },
        orders_max: 256,
        exec_ids_max: 1 << 14,
        outcome_timeout: DurationNs::from_secs(1),
        status_retry: DurationNs::from_millis(700),
        feed_stale: DurationNs::from_secs(3),
        hash_every_frames: 16,
        resync_retry: DurationNs::from_millis(500),
    };
    let problems =
        |list: Vec<tercel_types::Problem>| list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Core::new(config, strategies::all()).unwrap_or_else(|list| panic!("{}", problems(list)))
}

pub fn gateway(options: &Options, epoch: u32) -> OrderGatewayConfig {
    let mut session = SessionConfig::initiator("TERCEL", "VENUE");
    session.heart_bt_int_s = 1;
    session.logon_timeout = DurationNs::from_secs(2);
    session.resend_timeout = DurationNs::from_secs(2);
    if options.defect == Some(Defect::ResendOrders) {
        session.resend = ResendPolicy::ResendApplication;
    }
    OrderGatewayConfig {
        source: ORDERS,
        session,
        instruments: vec![btcusdt_perp()],
        accounts: vec!["main".into()],
        epoch,
        orders_max: 256,
    }
}

pub fn feed() -> FeedConfig {
    let socket = |path: &str| {
        let streams = path.split_once('=').map_or("", |(_, names)| names);
        SocketConfig { ws_url: "ws://127.0.0.1:1/stream".into(), streams: streams.split('/').map(Into::into).collect() }
    };
    FeedConfig {
        source: FEED,
        rest_url: "http://127.0.0.1:1/fapi/v1/depth".into(),
        sockets: PATHS.iter().map(|path| socket(path)).collect(),
        backoff_ms_min: 50,
        backoff_ms_max: 1_000,
        first_depth_wait_ms: 300,
        silence_ms_max: 1_500,
        buffer_len: 1 << 18,
        ..FeedConfig::default()
    }
}

pub fn venue(options: &Options) -> VenueConfig {
    let mut config = VenueConfig::new(PathBuf::new(), btcusdt_perp(), PathBuf::new());
    config.start = Start::At(START);
    config.cancel_on_disconnect = options.cancel_on_disconnect;
    config
}
