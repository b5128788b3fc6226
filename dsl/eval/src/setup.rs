//! What a play needs beside strategy and events: steps and lots of the instruments, and a core without limits of its own.
use tercel_book::BookConfig;
use tercel_core::{AccountConfig, CoreConfig, SignalConfig, StrategyConfig};
use tercel_event::{Manifest, sources};
use tercel_exec::ExecConfig;
use tercel_risk::{
    AccountLimits, Collar, InstrumentLimits, PositionLimits, RateLimits, RiskLimits, ScopeLimits, StrategyLimits,
};
use tercel_types::{
    AccountId, Calendar, Decimal, DurationNs, FeeRates, Instrument, InstrumentId, InstrumentKind, Instruments, Money,
    Qty, SourceId,
};

pub(crate) const FEED: SourceId = sources::FIRST_GATEWAY;
pub(crate) const ORDERS: SourceId = SourceId(FEED.0 + 1);

/// One instrument of the strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct InstrumentSetup {
    /// As in the strategy.
    pub alias: String,
    pub tick: Decimal,
    pub lot: Decimal,
    /// Smallest order, and smallest value of one.
    pub min_qty: Decimal,
    pub min_notional: Decimal,
    pub maker: Decimal,
    pub taker: Decimal,
}

impl InstrumentSetup {
    const ZERO: Decimal = Decimal { mantissa: 0, scale: 0 };

    /// Steps of 0.1, lots of 0.001, no minimum beyond one lot, no fees.
    pub fn new(alias: &str) -> Self {
        Self {
            alias: alias.into(),
            tick: Decimal { mantissa: 1, scale: 1 },
            lot: Decimal { mantissa: 1, scale: 3 },
            min_qty: Self::ZERO,
            min_notional: Self::ZERO,
            maker: Self::ZERO,
            taker: Self::ZERO,
        }
    }

    /// Sets `tick`, `lot`, `min_qty`, `min_notional`, `maker` or `taker` (both ratios of the value).
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let decimal = Decimal::parse(value.as_bytes()).map_err(|error| format!("`{value}`: {error}"))?;
        let positive = matches!(key, "tick" | "lot");
        if decimal.mantissa < 0 && !matches!(key, "maker" | "taker") || positive && decimal.mantissa == 0 {
            return Err(format!("`{key}` is {value}; expected {}", if positive { "above 0" } else { "0 or more" }));
        }
        let place = match key {
            "tick" => &mut self.tick,
            "lot" => &mut self.lot,
            "min_qty" => &mut self.min_qty,
            "min_notional" => &mut self.min_notional,
            "maker" => &mut self.maker,
            "taker" => &mut self.taker,
            _ => {
                return Err(format!("`{key}` is unknown; expected tick, lot, min_qty, min_notional, maker or taker"));
            }
        };
        *place = decimal;
        Ok(())
    }

    fn instrument(&self, idx: usize, manifest: &Manifest) -> Result<Instrument, String> {
        let binding = &manifest.instruments[idx];
        let parts = |decimal: Decimal, key: &str| {
            Decimal { mantissa: 1, scale: 8 }
                .count_of(decimal.to_string().as_bytes())
                .map_err(|_| format!("{}.{key} has more than 8 digits after the point", self.alias))
        };
        let min_qty = match self.min_qty.mantissa {
            0 => 1,
            _ => self
                .lot
                .count_of(self.min_qty.to_string().as_bytes())
                .map_err(|_| format!("{}.min_qty is no multiple of the lot {}", self.alias, self.lot))?,
        };
        let step = Decimal { mantissa: 1, scale: 12 };
        let least = step
            .count_of(self.min_notional.to_string().as_bytes())
            .map_err(|_| format!("{}.min_notional is out of range", self.alias))?;
        Ok(Instrument {
            id: InstrumentId(idx as u32),
            symbol: self.alias.clone(),
            kind: if binding.kind == "spot" { InstrumentKind::Spot } else { InstrumentKind::LinearPerp },
            base: binding.base.clone(),
            quote: binding.quote.clone(),
            settle: binding.quote.clone(),
            price_step: self.tick,
            lot: self.lot,
            multiplier: Decimal::ONE,
            min_qty: Qty(min_qty),
            min_notional: Money(i128::from(least)),
            fees: FeeRates { maker_e8: parts(self.maker, "maker")?, taker_e8: parts(self.taker, "taker")? },
            calendar: Calendar::Always,
        })
    }
}

/// Everything that is not strategy and not event.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// In the order of the strategy.
    pub instruments: Vec<InstrumentSetup>,
    /// Parameter values other than the defaults.
    pub params: Vec<(String, f64)>,
    pub exec: ExecConfig,
    /// Silence after which a book is stale; 0 never.
    pub feed_stale: DurationNs,
    /// An order without an answer for this long is unknown.
    pub outcome_timeout: DurationNs,
    /// Feed and session come up at the start; otherwise rows say so.
    pub warm: bool,
}

impl Setup {
    pub fn new(manifest: &Manifest) -> Self {
        Self {
            instruments: manifest.instruments.iter().map(|i| InstrumentSetup::new(&i.alias)).collect(),
            params: Vec::new(),
            exec: ExecConfig::default(),
            feed_stale: DurationNs::ZERO,
            outcome_timeout: DurationNs::from_secs(2),
            warm: true,
        }
    }

    /// The engine's own limits are out of the way: what a strategy may do is up to its `risk`.
    pub(crate) fn config(&self, manifest: &Manifest) -> Result<CoreConfig, String> {
        const MANY: i64 = 1 << 40;
        // The most that risk can count; its memory is taken as it is used.
        const RATE: u32 = 1 << 20;
        let count = self.instruments.len();
        let instruments = self.instruments.iter().enumerate().map(|(idx, own)| own.instrument(idx, manifest));
        let scope = ScopeLimits {
            max_open_orders: 256,
            max_gross_value: Money::from_whole(i64::MAX),
            max_net_value: Money::from_whole(i64::MAX),
            max_loss_day: Money::from_whole(i64::MAX),
            max_drawdown: Money::from_whole(i64::MAX),
            rates: RateLimits { orders: [RATE; 3], cancels: [RATE; 3], halt_after: 0 },
        };
        let positions = vec![PositionLimits::both(MANY); count];
        let strategy = StrategyConfig {
            name: manifest.name.clone(),
            account: AccountId(0),
            gateway: ORDERS,
            bindings: self.instruments.iter().map(|i| (i.alias.clone(), i.alias.clone())).collect(),
            params: self.params.clone(),
        };
        let mut signals: Vec<SignalConfig> = Vec::new();
        for own in &manifest.signals {
            if !signals.iter().any(|s| s.name == own.model && s.schema == own.schema) {
                signals.push(SignalConfig { name: own.model.clone(), schema: own.schema });
            }
        }
        Ok(CoreConfig {
            epoch: 1,
            shard: 0,
            instruments: Instruments(instruments.collect::<Result<_, _>>()?),
            feeds: vec![FEED; count],
            accounts: vec![AccountConfig { name: "main".into() }],
            strategies: vec![strategy],
            signals,
            exec: self.exec,
            risk: RiskLimits {
                capacity: 256,
                firm: scope,
                accounts: vec![AccountLimits { scope, positions: positions.clone() }],
                strategies: vec![StrategyLimits {
                    accounts: vec![AccountId(0)],
                    scope,
                    positions,
                    duplicate_window: Some(DurationNs(0)),
                }],
                instruments: vec![
                    InstrumentLimits {
                        max_order_qty: Qty(MANY),
                        max_order_value: Money::from_whole(i64::MAX),
                        collar: Some(Collar::Ticks(MANY)),
                        reference_max_age: DurationNs(i64::MAX),
                    };
                    count
                ],
            },
            book: BookConfig { window: 1 << 12, capacity: 4096, known_min: 1, ..BookConfig::default() },
            orders_max: 256,
            exec_ids_max: 1 << 14,
            outcome_timeout: self.outcome_timeout,
            status_retry: DurationNs::from_secs(1),
            feed_stale: self.feed_stale,
            hash_every_frames: 0,
            resync_retry: DurationNs::from_millis(500),
        })
    }
}
