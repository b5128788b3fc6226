use tercel_types::{AccountId, DurationNs, Instruments, Money, Problem, Qty};

/// Every limit of a run. A limit left at its default is not configured, and what it would guard is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RiskLimits {
    /// Open orders that the ledger has room for.
    pub capacity: usize,
    pub firm: ScopeLimits,
    /// Dense by `AccountId`.
    pub accounts: Vec<AccountLimits>,
    /// Dense by `StrategyId`.
    pub strategies: Vec<StrategyLimits>,
    /// Dense by `InstrumentId`.
    pub instruments: Vec<InstrumentLimits>,
}

/// Limits of the firm, of one account or of one strategy. Values are in the settlement currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeLimits {
    /// C11: open orders, those in flight and unknown included.
    pub max_open_orders: u32,
    /// C11: Σ value of open orders.
    pub max_gross_value: Money,
    /// C11: |Σ buys − Σ sells| of open orders.
    pub max_net_value: Money,
    /// C14: loss since 00:00 UTC, fees included.
    pub max_loss_day: Money,
    /// C14: loss since the highest profit.
    pub max_drawdown: Money,
    pub rates: RateLimits,
}

/// C8. Each limit is the most messages in any sliding window of its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Orders and amends per 100 ms, 1 s, 60 s.
    pub orders: [u32; 3],
    /// Cancels, a budget of their own that orders cannot use up.
    pub cancels: [u32; 3],
    /// Halts the scope when it has run into its order limit this many times; 0 never. One run of refusals counts once.
    pub halt_after: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    pub scope: ScopeLimits,
    /// C12, dense by `InstrumentId`.
    pub positions: Vec<PositionLimits>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StrategyLimits {
    /// C1: the accounts that it may trade for.
    pub accounts: Vec<AccountId>,
    pub scope: ScopeLimits,
    /// C12, dense by `InstrumentId`.
    pub positions: Vec<PositionLimits>,
    /// C10: an equal order within this span, its end included, is refused. `Some(0)`: at the same instant only.
    pub duplicate_window: Option<DurationNs>,
}

/// C12: the largest position of each side, with every open order as if filled. 0 and 0: may not trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PositionLimits {
    pub max_long: Qty,
    /// As a positive quantity.
    pub max_short: Qty,
}

impl PositionLimits {
    pub const fn both(qty: i64) -> Self {
        Self { max_long: Qty(qty), max_short: Qty(qty) }
    }
}

/// C6: how far from the reference (middle of best bid and ask) a limit price may be, on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collar {
    /// In price steps.
    Ticks(i64),
    /// In 1/10,000 of the reference.
    Bps(i64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstrumentLimits {
    /// C4.
    pub max_order_qty: Qty,
    /// C5; a market order counts at the edge of the collar.
    pub max_order_value: Money,
    pub collar: Option<Collar>,
    /// C6, C14: the oldest reference and mark that may be used.
    pub reference_max_age: DurationNs,
}

/// Longest list of messages that a rate limit may look back over.
const RATE_MAX: u32 = 1 << 20;

impl RiskLimits {
    /// All problems at once. Limits that pass may still be absent: then they refuse.
    pub fn validate(&self, instruments: &Instruments) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, key: String, seen: String, allowed: &str, help: &str| {
            if !ok {
                problems.push(Problem { key, seen, allowed: allowed.into(), help: help.into() });
            }
        };
        check(
            (1..=1 << 20).contains(&self.capacity),
            "risk.capacity".into(),
            self.capacity.to_string(),
            "1..=1048576",
            "at least the firm's max_open_orders",
        );
        check(
            self.firm.max_open_orders as usize <= self.capacity,
            "risk.firm.max_open_orders".into(),
            self.firm.max_open_orders.to_string(),
            "at most risk.capacity",
            "raise the capacity",
        );
        check(
            self.instruments.len() == instruments.len(),
            "risk.instruments".into(),
            format!("{} entries", self.instruments.len()),
            "one per instrument",
            "an instrument without limits cannot be traded; write its limits",
        );
        check(
            (1..=64).contains(&self.accounts.len()),
            "risk.accounts".into(),
            format!("{} entries", self.accounts.len()),
            "1..=64",
            "write the limits of every account",
        );
        let mut settle: Vec<&str> = instruments.0.iter().map(|i| i.settle.as_str()).collect();
        settle.dedup();
        check(
            settle.len() <= 1,
            "risk.instruments".into(),
            settle.join(", "),
            "one settlement currency per shard",
            "values of two currencies cannot be added without a rate; run them as two shards",
        );
        let scopes = core::iter::once(("risk.firm".to_string(), &self.firm))
            .chain(self.accounts.iter().enumerate().map(|(at, a)| (format!("risk.accounts[{at}]"), &a.scope)))
            .chain(self.strategies.iter().enumerate().map(|(at, s)| (format!("risk.strategies[{at}]"), &s.scope)));
        for (key, scope) in scopes {
            for (name, amount) in [
                ("max_gross_value", scope.max_gross_value),
                ("max_net_value", scope.max_net_value),
                ("max_loss_day", scope.max_loss_day),
                ("max_drawdown", scope.max_drawdown),
            ] {
                check(
                    amount.0 > 0,
                    format!("{key}.{name}"),
                    amount.to_string(),
                    "above 0",
                    "a missing limit refuses every order",
                );
            }
            check(
                scope.max_open_orders > 0,
                format!("{key}.max_open_orders"),
                "0".into(),
                "above 0",
                "a missing limit refuses every order",
            );
            for (name, rates) in [("orders", scope.rates.orders), ("cancels", scope.rates.cancels)] {
                check(
                    rates.iter().all(|&rate| rate > 0 && rate <= RATE_MAX),
                    format!("{key}.rates.{name}"),
                    format!("{rates:?}"),
                    "1..=1048576 each",
                    "messages per 100 ms, 1 s and 60 s",
                );
            }
        }
        for (at, instrument) in self.instruments.iter().enumerate() {
            let key = format!("risk.instruments[{at}]");
            check(
                instrument.max_order_qty.0 > 0,
                format!("{key}.max_order_qty"),
                instrument.max_order_qty.0.to_string(),
                "above 0",
                "a missing limit refuses every order",
            );
            check(
                instrument.max_order_value.0 > 0,
                format!("{key}.max_order_value"),
                instrument.max_order_value.to_string(),
                "above 0",
                "a missing limit refuses every order",
            );
            let collar_ok = matches!(instrument.collar, Some(Collar::Ticks(n) | Collar::Bps(n)) if n > 0);
            check(
                collar_ok,
                format!("{key}.collar"),
                format!("{:?}", instrument.collar),
                "a distance above 0",
                "in ticks or in basis points",
            );
            check(
                instrument.reference_max_age.0 > 0,
                format!("{key}.reference_max_age"),
                format!("{} ns", instrument.reference_max_age.0),
                "above 0",
                "1 s suits a liquid instrument",
            );
        }
        for (at, strategy) in self.strategies.iter().enumerate() {
            let key = format!("risk.strategies[{at}]");
            check(
                !strategy.accounts.is_empty() && strategy.accounts.iter().all(|a| a.idx() < self.accounts.len()),
                format!("{key}.accounts"),
                format!("{:?}", strategy.accounts),
                "accounts of the configuration",
                "name the account that the strategy trades for",
            );
            check(
                strategy.duplicate_window.is_some_and(|window| window.0 >= 0),
                format!("{key}.duplicate_window"),
                format!("{:?}", strategy.duplicate_window),
                "0 or more",
                "0 refuses only equal orders of one instant",
            );
        }
        let positions =
            self.accounts.iter().enumerate().map(|(at, a)| (format!("risk.accounts[{at}].positions"), &a.positions));
        let positions = positions.chain(
            self.strategies
                .iter()
                .enumerate()
                .map(|(at, s)| (format!("risk.strategies[{at}].positions"), &s.positions)),
        );
        for (key, limits) in positions {
            check(
                limits.len() == instruments.len() && limits.iter().all(|l| l.max_long.0 >= 0 && l.max_short.0 >= 0),
                key,
                format!("{} entries", limits.len()),
                "one per instrument, 0 or more",
                "write the position limits of every instrument",
            );
        }
        problems
    }
}
