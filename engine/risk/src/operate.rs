//! The operator's hands: trading states, limits, start gates.
use crate::ledger::Risk;
use crate::limits::{Collar, PositionLimits};
use crate::quick::Bounds;
use tercel_event::{LimitSet, Scope, TradingState};
use tercel_types::{AccountId, DurationNs, Money, StrategyId};
use thiserror::Error;

/// Why a limit is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    #[error("control {0} has no limit that can be set")]
    Control(u16),
    #[error("no such strategy, account or instrument")]
    Unknown,
    #[error("{0} is outside what this limit may be")]
    Value(i64),
}

impl Risk {
    /// C33: the account is reconciled; orders may leave.
    pub fn open_gate(&mut self, account: AccountId) {
        if let Some(scope) = self.accounts.get_mut(account.idx()) {
            scope.set_gate(true);
        }
    }

    /// C33: a restart, or the session is lost; no order leaves until it is reconciled again.
    pub fn close_gate(&mut self, account: AccountId) {
        if let Some(scope) = self.accounts.get_mut(account.idx()) {
            scope.set_gate(false);
        }
    }

    pub fn is_gate_open(&self, account: AccountId) -> bool {
        self.accounts.get(account.idx()).is_some_and(|scope| scope.is_gate_open())
    }

    /// C20: the operator's word. `Active` ends a latched halt: the drawdown counts from here, the day's loss goes on.
    /// Returns `false` for a scope that does not exist.
    pub fn set_state(&mut self, scope: Scope, id: u16, state: TradingState) -> bool {
        let found = match scope {
            Scope::All => Some(&mut self.firm),
            Scope::Account => self.accounts.get_mut(usize::from(id)),
            Scope::Strategy => self.strategies.get_mut(usize::from(id)),
        };
        let Some(scope) = found else { return false };
        scope.set_state(state);
        if state == TradingState::Active {
            scope.halted_by = None;
            scope.profit_peak = scope.profit;
            scope.rate_runs = 0;
            scope.in_rate_run = false;
        }
        // A loss that is still beyond its limit halts again at once.
        self.halts_untold |= scope.watch_loss();
        true
    }

    /// At least `Reducing`: after a breach the position may only shrink. A stricter state stays.
    pub fn reduce(&mut self, strategy: StrategyId) {
        if let Some(scope) = self.strategies.get_mut(strategy.idx()) {
            scope.set_state(scope.state().max(TradingState::Reducing));
        }
    }

    /// Halts everything: the two ledgers disagree, or worse.
    pub fn halt_all(&mut self) {
        self.firm.set_state(TradingState::Halted);
    }

    /// Changes one limit. Strategy or account 65535 means "not this scope"; with neither, a scope limit is the firm's. Units:
    /// C4 lots, C5 and C14 10^-6 of the currency, C6 ticks, C8 orders per second, C10 ns, C11 open orders, C12 lots each side.
    pub fn set_limit(&mut self, set: &LimitSet) -> Result<(), LimitError> {
        let value = set.value;
        if value < 0 {
            return Err(LimitError::Value(value));
        }
        let money = Money(i128::from(value) * (Money::SCALE / 1_000_000));
        let column = set.instrument.idx();
        let (strategy, account) = (set.strategy.idx(), set.account.idx());
        match set.control {
            4..=6 => {
                let instrument = self.instruments.get_mut(column).ok_or(LimitError::Unknown)?;
                match set.control {
                    4 => instrument.max_order_qty = value,
                    5 => instrument.max_order_value = money.0,
                    _ => instrument.collar = Some(Collar::Ticks(value)),
                }
                instrument.bounds = Bounds::of(instrument);
            }
            10 => {
                self.duplicates.get_mut(strategy).ok_or(LimitError::Unknown)?.set(DurationNs(value));
            }
            12 => {
                let cells = match (set.strategy.0, set.account.0) {
                    (u16::MAX, _) => self.account_cells.get_mut(account * self.columns + column),
                    _ => self.strategy_cells.get_mut(strategy * self.columns + column),
                };
                let cell = cells.filter(|_| column < self.columns).ok_or(LimitError::Unknown)?;
                cell.set_limits(PositionLimits::both(value));
            }
            8 | 11 | 14 => {
                let scope = match (set.strategy.0, set.account.0) {
                    (u16::MAX, u16::MAX) => Some(&mut self.firm),
                    (u16::MAX, _) => self.accounts.get_mut(account),
                    _ => self.strategies.get_mut(strategy),
                };
                let scope = scope.ok_or(LimitError::Unknown)?;
                let count = u32::try_from(value).map_err(|_| LimitError::Value(value));
                match set.control {
                    8 if !scope.orders.set(1, count?) => return Err(LimitError::Value(value)),
                    8 => {}
                    11 => scope.limits.max_open_orders = count?,
                    _ => {
                        scope.set_loss_day(money);
                        self.halts_untold |= scope.watch_loss();
                    }
                }
            }
            other => return Err(LimitError::Control(other)),
        }
        Ok(())
    }
}
