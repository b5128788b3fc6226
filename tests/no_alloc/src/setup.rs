//! The core under proof: one instrument, the two strategies of the repository in machine code, limits as the demo has them.
use crate::plant::{Plant, Planted};
use std::path::{Path, PathBuf};
use tercel_core::{AccountConfig, Core, CoreConfig, SignalConfig, StrategyConfig};
use tercel_event::{Manifest, Strategy, sources};
use tercel_risk::{
    AccountLimits, Collar, InstrumentLimits, PositionLimits, RateLimits, RiskLimits, ScopeLimits, StrategyLimits,
};
use tercel_types::{
    AccountId, Calendar, Decimal, DurationNs, FeeRates, Instrument, InstrumentId, InstrumentKind, Instruments, Money,
    Qty, SourceId,
};

pub const FEED: SourceId = sources::FIRST_GATEWAY;
pub const ORDERS: SourceId = SourceId(sources::FIRST_GATEWAY.0 + 1);

/// `gamma` of `as_maker` is the parameter that the operator turns.
pub const MAKER: usize = 0;
const STRATEGIES: [&str; 2] = ["as_maker.strat", "obi_scalper.strat"];

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
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
        min_notional: usdt(50),
        // Free, so that an hour of engine time does not end at the strategies' daily loss.
        fees: FeeRates { maker_e8: 0, taker_e8: 0 },
        calendar: Calendar::Always,
    }])
}

fn usdt(amount: i128) -> Money {
    Money(amount * Money::SCALE)
}

fn scope() -> ScopeLimits {
    ScopeLimits {
        max_open_orders: 64,
        max_gross_value: usdt(1_000_000),
        max_net_value: usdt(1_000_000),
        max_loss_day: usdt(100_000),
        max_drawdown: usdt(100_000),
        rates: RateLimits { orders: [40, 100, 6_000], cancels: [80, 200, 12_000], halt_after: 0 },
    }
}

fn config(names: &[String]) -> CoreConfig {
    let instruments = instruments();
    let positions = vec![PositionLimits::both(2_000); instruments.len()];
    let account = AccountId(0);
    let strategy = |name: &String| StrategyConfig {
        name: name.clone(),
        account,
        gateway: ORDERS,
        bindings: vec![("x".into(), "BTCUSDT".into())],
        params: Vec::new(),
    };
    let limits = StrategyLimits {
        accounts: vec![account],
        scope: scope(),
        positions: positions.clone(),
        duplicate_window: Some(DurationNs(0)),
    };
    let risk = RiskLimits {
        capacity: 256,
        firm: scope(),
        accounts: vec![AccountLimits { scope: scope(), positions }],
        strategies: vec![limits; names.len()],
        instruments: vec![InstrumentLimits {
            max_order_qty: Qty(200),
            max_order_value: usdt(20_000),
            collar: Some(Collar::Bps(50)),
            reference_max_age: DurationNs::from_secs(2),
        }],
    };
    CoreConfig {
        epoch: 1,
        shard: 0,
        feeds: vec![FEED; instruments.len()],
        instruments,
        accounts: vec![AccountConfig { name: "main".into() }],
        strategies: names.iter().map(strategy).collect(),
        signals: vec![SignalConfig { name: "next_mid".into(), schema: 1 }],
        exec: Default::default(),
        risk,
        book: Default::default(),
        // Small, so that both tables come round several times within the run.
        orders_max: 512,
        exec_ids_max: 512,
        outcome_timeout: DurationNs::from_secs(3),
        status_retry: DurationNs::from_secs(2),
        feed_stale: DurationNs::from_secs(5),
        hash_every_frames: 1,
        resync_retry: DurationNs::from_millis(500),
    }
}

/// The core with both strategies compiled; `plant` does its one thing at the input `at_seq`.
pub fn core(plant: Plant, at_seq: u64) -> Result<(Core, Vec<Manifest>), String> {
    let mut strategies: Vec<Box<dyn Strategy>> = Vec::new();
    let mut manifests = Vec::new();
    for (idx, file) in STRATEGIES.into_iter().enumerate() {
        let plant = if idx == MAKER { plant } else { Plant::None };
        let path = root().join("strategies").join(file);
        let source = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let compiled = tercel_lang::compile(&source, file).map_err(|diagnostics| diagnostics.render())?;
        let inner =
            tercel_jit::compile(compiled.program, compiled.manifest).map_err(|error| format!("{file}: {error}"))?;
        manifests.push(inner.manifest().clone());
        strategies.push(Box::new(Planted { inner: Box::new(inner), plant, at_seq, grown: Vec::new() }));
    }
    let names: Vec<String> = STRATEGIES.iter().map(|&name| name.into()).collect();
    let core = Core::new(config(&names), strategies)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    Ok((core, manifests))
}
