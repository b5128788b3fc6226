//! What is summed and limited: an owner in one instrument, and a whole scope (firm, account, strategy). Limits are kept as the
//! room that they leave, so that to ask one is a comparison and to count an order a subtraction.
use crate::control::{Control, micros};
use crate::ledger::Change;
use crate::limits::{PositionLimits, ScopeLimits};
use crate::rate::Rate;
use core::ops::{Index, IndexMut};
use tercel_event::TradingState;
use tercel_types::{Money, Side};

/// One value for the buys and one for the sells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sides<T>(pub(crate) [T; 2]);

impl<T> Sides<T> {
    /// The value of `side`, and that of the other one.
    #[inline(always)]
    pub(crate) fn both_mut(&mut self, side: Side) -> (&mut T, &mut T) {
        let [buys, sells] = &mut self.0;
        match side {
            Side::Buy => (buys, sells),
            Side::Sell => (sells, buys),
        }
    }
}

impl<T> Index<Side> for Sides<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, side: Side) -> &T {
        &self.0[side as usize - Side::Buy as usize]
    }
}

impl<T> IndexMut<Side> for Sides<T> {
    #[inline(always)]
    fn index_mut(&mut self, side: Side) -> &mut T {
        &mut self.0[side as usize - Side::Buy as usize]
    }
}

/// One owner in one instrument.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) limits: PositionLimits,
    pub(crate) position: i64,
    /// Reserved lots of open orders.
    pub(crate) open_qty: Sides<i64>,
    /// What C12 lets be added on each side; `MIN` where a side has no limit.
    pub(crate) room: Sides<i64>,
    pub(crate) orders_count: u32,
    /// Money received less paid for what is held; fees included. 10^-12.
    pub(crate) cash: i128,
    /// Worth of the position at the mark, as counted in the scope's profit.
    pub(crate) worth: i128,
}

impl Cell {
    pub(crate) fn new(limits: PositionLimits) -> Self {
        let mut cell = Self { limits, ..Self::default() };
        cell.set_limits(limits);
        cell
    }

    pub(crate) fn set_limits(&mut self, limits: PositionLimits) {
        self.limits = limits;
        self.measure_room(Side::Buy);
        self.measure_room(Side::Sell);
    }

    fn measure_room(&mut self, side: Side) {
        let (limit, held) = match side {
            Side::Buy => (self.limits.max_long.0, self.position),
            Side::Sell => (self.limits.max_short.0, self.position.saturating_neg()),
        };
        let worst = held.saturating_add(self.open_qty[side]);
        self.room[side] = if limit > 0 { limit.saturating_sub(worst) } else { i64::MIN };
    }

    /// Adds a change of one order.
    #[inline]
    pub(crate) fn add(&mut self, side: Side, change: &Change) {
        self.open_qty[side] += change.qty;
        self.orders_count = self.orders_count.wrapping_add_signed(change.orders_count);
        self.measure_room(side);
    }
}

/// The firm, an account or a strategy.
#[derive(Clone, Debug)]
pub(crate) struct ScopeState {
    pub(crate) limits: ScopeLimits,
    state: TradingState,
    /// C33 of an account; open for the others.
    is_gate_open: bool,
    /// `Active`, the gate is open, and C14 is configured: only then is an order passed on the short way.
    pub(crate) is_free: bool,
    /// C1, bit a: the strategy may trade for account a.
    pub(crate) allowed_accounts: u64,
    /// The control that halted it, with its value and limit; `None` when the operator did, or nothing.
    pub(crate) halted_by: Option<(Control, i64, i64)>,
    /// Both limits of C14 are above 0.
    pub(crate) has_loss_limits: bool,
    pub(crate) halt_told: bool,
    pub(crate) orders_count: u32,
    /// Instruments in which it holds a position; kept for strategies.
    pub(crate) held_count: u32,
    /// C11: what `max_gross_value` leaves to be opened.
    pub(crate) gross_room: i128,
    /// C11: what `max_net_value` leaves to be opened on each side.
    pub(crate) net_room: Sides<i128>,
    /// Profit since the start, fees taken off, at the newest marks.
    pub(crate) profit: i128,
    pub(crate) profit_day_start: i128,
    pub(crate) profit_peak: i128,
    pub(crate) orders: Rate,
    pub(crate) cancels: Rate,
    pub(crate) rate_runs: u32,
    pub(crate) in_rate_run: bool,
}

impl ScopeState {
    pub(crate) fn new(limits: ScopeLimits) -> Self {
        let mut scope = Self {
            limits,
            state: TradingState::Active,
            is_gate_open: true,
            is_free: false,
            allowed_accounts: 0,
            halted_by: None,
            has_loss_limits: false,
            halt_told: true,
            orders_count: 0,
            held_count: 0,
            gross_room: limits.max_gross_value.0,
            net_room: Sides([limits.max_net_value.0; 2]),
            profit: 0,
            profit_day_start: 0,
            profit_peak: 0,
            orders: Rate::new(limits.rates.orders),
            cancels: Rate::new(limits.rates.cancels),
            rate_runs: 0,
            in_rate_run: false,
        };
        scope.set_loss_day(limits.max_loss_day);
        scope
    }

    #[inline]
    pub(crate) fn state(&self) -> TradingState {
        self.state
    }

    pub(crate) fn set_state(&mut self, state: TradingState) {
        self.state = state;
        self.is_free = state == TradingState::Active && self.has_loss_limits && self.is_gate_open;
    }

    pub(crate) fn is_gate_open(&self) -> bool {
        self.is_gate_open
    }

    pub(crate) fn set_gate(&mut self, is_open: bool) {
        self.is_gate_open = is_open;
        self.set_state(self.state);
    }

    pub(crate) fn set_loss_day(&mut self, limit: Money) {
        self.limits.max_loss_day = limit;
        self.has_loss_limits = limit.0 > 0 && self.limits.max_drawdown.0 > 0;
        self.set_state(self.state);
    }

    /// Value of everything open: Σ of both sides.
    #[inline]
    pub(crate) fn gross(&self) -> i128 {
        self.limits.max_gross_value.0.wrapping_sub(self.gross_room)
    }

    /// Σ buys − Σ sells of what is open.
    #[inline]
    pub(crate) fn net(&self) -> i128 {
        self.limits.max_net_value.0.wrapping_sub(self.net_room[Side::Buy])
    }

    /// Adds a change of one order.
    #[inline(always)]
    pub(crate) fn add(&mut self, side: Side, change: &Change) {
        // Modulo 2^128, so that no limit is too large to be counted from.
        self.gross_room = self.gross_room.wrapping_sub(change.value);
        let (own, opposite) = self.net_room.both_mut(side);
        *own = own.wrapping_sub(change.value);
        *opposite = opposite.wrapping_add(change.value);
        self.orders_count = self.orders_count.wrapping_add_signed(change.orders_count);
    }

    /// Returns true when it was not halted before: then somebody must be told.
    #[cold]
    #[must_use]
    pub(crate) fn halt(&mut self, control: Control, value: i64, limit: i64) -> bool {
        let halts = self.halted_by.is_none();
        if halts {
            self.set_state(TradingState::Halted);
            self.halted_by = Some((control, value, limit));
            self.halt_told = false;
        }
        halts
    }

    /// Control C14 after a change of profit. Returns as `halt` does.
    #[inline]
    #[must_use]
    pub(crate) fn watch_loss(&mut self) -> bool {
        self.profit_peak = self.profit_peak.max(self.profit);
        let (loss, drawdown) = (self.profit_day_start - self.profit, self.profit_peak - self.profit);
        if loss > self.limits.max_loss_day.0 {
            self.halt(Control::Loss, micros(loss), micros(self.limits.max_loss_day.0))
        } else if drawdown > self.limits.max_drawdown.0 {
            self.halt(Control::Loss, micros(drawdown), micros(self.limits.max_drawdown.0))
        } else {
            false
        }
    }
}
