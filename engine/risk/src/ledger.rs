use crate::control::Control;
use crate::duplicates::Duplicates;
use crate::limits::{Collar, PositionLimits, RiskLimits, ScopeLimits};
use crate::quick::Bounds;
use crate::resting::Resting;
use crate::scope::{Cell, ScopeState};
use crate::value::{VALUE_MAX, Valuer};
use tercel_event::{Command, Scope, TradingState};
use tercel_types::{
    AccountId, ClOrdId, DurationNs, IdMap, InstrumentId, Instruments, Money, Price, Qty, Side, StrategyId, TimeNs,
};

const DAY_NS: i64 = 86_400_000_000_000;

/// A scope was halted by a control. It stays so until the operator sets its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    pub scope: Scope,
    /// Strategy or account number, by scope.
    pub id: u16,
    pub control: Control,
    /// As in `Refusal`.
    pub value: i64,
    pub limit: i64,
}

/// What the order table says of one owner's open orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenSeen {
    pub orders_count: u32,
    pub buy_qty: Qty,
    pub sell_qty: Qty,
}

/// What the order table says, for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub strategy: StrategyId,
    pub account: AccountId,
    pub instrument: InstrumentId,
    pub strategy_qty: Qty,
    pub account_qty: Qty,
    pub strategy_open: OpenSeen,
    pub account_open: OpenSeen,
}

/// The two ledgers disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    pub scope: Scope,
    /// What differs: `position`, `open orders`, `open buys`, `open sells`.
    pub what: &'static str,
    pub here: i64,
    pub there: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct InstrumentState {
    pub(crate) max_order_qty: i64,
    pub(crate) max_order_value: i128,
    pub(crate) collar: Option<Collar>,
    pub(crate) max_age: DurationNs,
    pub(crate) min_qty: i64,
    pub(crate) min_value: i128,
    pub(crate) valuer: Valuer,
    pub(crate) bounds: Bounds,
    pub(crate) bid: Price,
    pub(crate) ask: Price,
    /// Bid plus ask: twice the reference, so that halves stay whole.
    pub(crate) twice: i64,
    /// Owners that hold a position in it: strategies and accounts.
    pub(crate) holders_count: u32,
    /// Time of the reference, `MIN` before the first.
    pub(crate) ts: TimeNs,
    /// The last time at which the reference may be used, `MIN` before the first.
    pub(crate) fresh_until: TimeNs,
}

impl InstrumentState {
    #[inline]
    pub(crate) fn is_fresh(&self, now: TimeNs) -> bool {
        now <= self.fresh_until && self.ts != TimeNs::MIN
    }
}

/// Whose order it is, and on which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Owner {
    pub(crate) instrument: InstrumentId,
    pub(crate) strategy: StrategyId,
    pub(crate) account: AccountId,
    pub(crate) side: Side,
}

impl Owner {
    pub(crate) fn of(command: &Command, side: Side) -> Self {
        Self { instrument: command.instrument, strategy: command.strategy, account: command.account, side }
    }

    /// All but the side in one word: three comparisons are one.
    #[inline(always)]
    pub(crate) fn key(&self) -> u64 {
        u64::from(self.instrument.0) | u64::from(self.strategy.0) << 32 | u64::from(self.account.0) << 48
    }
}

/// One reservation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserved {
    pub(crate) owner: Owner,
    pub(crate) px: Price,
    pub(crate) order_qty: i64,
    /// What a replace in flight asks for.
    pub(crate) pending: Option<(Price, i64)>,
    pub(crate) cum_qty: i64,
    /// As counted in every sum.
    pub(crate) qty: i64,
    pub(crate) value: i128,
}

/// How the sums change with one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) orders_count: i32,
    pub(crate) qty: i64,
    pub(crate) value: i128,
}

/// The ledger and its controls. See the crate's page for what holds.
#[derive(Clone, Debug)]
pub struct Risk {
    pub(crate) columns: usize,
    pub(crate) firm: ScopeState,
    pub(crate) accounts: Box<[ScopeState]>,
    /// The last one stands for orders of nobody in this run: it has no limits, so it can only cancel.
    pub(crate) strategies: Box<[ScopeState]>,
    pub(crate) strategy_cells: Box<[Cell]>,
    pub(crate) account_cells: Box<[Cell]>,
    pub(crate) duplicates: Box<[Duplicates]>,
    pub(crate) instruments: Box<[InstrumentState]>,
    pub(crate) resting: Box<[Resting]>,
    pub(crate) orders: Box<[Reserved]>,
    pub(crate) free: Vec<u32>,
    pub(crate) ids: IdMap,
    pub(crate) newest_id: ClOrdId,
    day_end: TimeNs,
    refusals: [u64; 64],
    pub(crate) anomalies: u64,
    /// A scope may have been halted since `next_halt` found none.
    pub(crate) halts_untold: bool,
    #[cfg(test)]
    pub(crate) defect: Option<Defect>,
}

/// Defects that the tests plant, to show that they would be caught.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A replace in flight reserves what is asked for instead of the worse of the two.
    ReservesNewOnly,
    /// An amend is not checked against own orders.
    SelfTradeOnAmend,
    /// A fill after the end of its order is ignored.
    DropsLateFills,
    /// An unanswered cancel is taken for done: the reservation ends when it is asked for.
    ReleasesOnCancelRequest,
    /// The short way does not ask for own orders on the other side.
    PassesSelfTrades,
    /// The short way does not ask for the exposure of the strategy.
    PassesExposure,
}

impl Risk {
    /// All memory is taken here. `limits` must have passed `validate`; whatever they lack is refused.
    pub fn new(instruments: &Instruments, limits: &RiskLimits) -> Self {
        let columns = instruments.len();
        let cells = |positions: Option<&Vec<PositionLimits>>| {
            let at = move |column| positions.and_then(|p| p.get(column)).copied().unwrap_or_default();
            (0..columns).map(move |column| Cell::new(at(column))).collect::<Vec<_>>()
        };
        let capacity = limits.capacity.max(1);
        let none = Reserved {
            owner: Owner {
                strategy: StrategyId(0),
                account: AccountId(0),
                instrument: InstrumentId(0),
                side: Side::Buy,
            },
            px: Price(0),
            order_qty: 0,
            pending: None,
            cum_qty: 0,
            qty: 0,
            value: 0,
        };
        // Nobody's orders have no limits, so none can be sent; nothing can halt them either.
        let nobody =
            ScopeLimits { max_loss_day: Money(i128::MAX), max_drawdown: Money(i128::MAX), ..ScopeLimits::default() };
        let strategies = limits.strategies.iter().map(|s| {
            let mut strategy = ScopeState::new(s.scope);
            strategy.allowed_accounts = s.accounts.iter().filter(|a| a.0 < 64).fold(0, |mask, a| mask | 1 << a.0);
            strategy
        });
        let closed = |scope: ScopeLimits| {
            let mut account = ScopeState::new(scope);
            account.set_gate(false);
            account
        };
        Self {
            columns,
            firm: ScopeState::new(limits.firm),
            accounts: limits.accounts.iter().map(|a| closed(a.scope)).collect(),
            strategies: strategies.chain([ScopeState::new(nobody)]).collect(),
            strategy_cells: limits
                .strategies
                .iter()
                .map(|s| Some(&s.positions))
                .chain([None])
                .flat_map(cells)
                .collect(),
            account_cells: limits.accounts.iter().map(|a| Some(&a.positions)).flat_map(cells).collect(),
            duplicates: limits.strategies.iter().map(|s| Duplicates::new(s.duplicate_window)).collect(),
            instruments: instruments
                .0
                .iter()
                .enumerate()
                .map(|(at, instrument)| {
                    let own = limits.instruments.get(at).copied().unwrap_or_default();
                    let mut state = InstrumentState {
                        max_order_qty: own.max_order_qty.0,
                        max_order_value: own.max_order_value.0,
                        collar: own.collar,
                        max_age: own.reference_max_age,
                        min_qty: instrument.min_qty.0.max(1),
                        min_value: instrument.min_notional.0,
                        valuer: Valuer::of(instrument),
                        bounds: Bounds::default(),
                        bid: Price(0),
                        ask: Price(0),
                        twice: 0,
                        holders_count: 0,
                        ts: TimeNs::MIN,
                        fresh_until: TimeNs::MIN,
                    };
                    state.bounds = Bounds::of(&state);
                    state
                })
                .collect(),
            resting: (0..limits.accounts.len() * columns).map(|_| Resting::new(capacity)).collect(),
            orders: vec![none; capacity].into_boxed_slice(),
            free: (0..capacity as u32).rev().collect(),
            ids: IdMap::new(capacity),
            newest_id: ClOrdId::NONE,
            day_end: TimeNs::MIN,
            refusals: [0; 64],
            anomalies: 0,
            halts_untold: false,
            #[cfg(test)]
            defect: None,
        }
    }

    /// Compares with what the order table says of one strategy, account and instrument; `None` when the ledgers agree. A
    /// difference means that one of them is wrong: the core halts.
    #[inline]
    pub fn compare(&self, seen: &Seen) -> Option<Difference> {
        let strategy = self.strategy_cells.get(seen.strategy.idx() * self.columns + seen.instrument.idx());
        let account = self.account_cells.get(seen.account.idx() * self.columns + seen.instrument.idx());
        for (scope, cell, qty, open) in [
            (Scope::Strategy, strategy, seen.strategy_qty, seen.strategy_open),
            (Scope::Account, account, seen.account_qty, seen.account_open),
        ] {
            let cell = cell.copied().unwrap_or_default();
            for (what, here, there) in [
                ("position", cell.position, qty.0),
                ("open orders", i64::from(cell.orders_count), i64::from(open.orders_count)),
                ("open buys", cell.open_qty[Side::Buy], open.buy_qty.0),
                ("open sells", cell.open_qty[Side::Sell], open.sell_qty.0),
            ] {
                if here != there {
                    return Some(Difference { scope, what, here, there });
                }
            }
        }
        None
    }

    /// The strictest trading state that holds for a strategy on an account.
    #[inline]
    pub fn state(&self, strategy: StrategyId, account: AccountId) -> TradingState {
        let strategy = self.strategies.get(strategy.idx()).map_or(TradingState::Halted, |scope| scope.state());
        let account = self.accounts.get(account.idx()).map_or(TradingState::Halted, |scope| scope.state());
        self.firm.state().max(strategy).max(account)
    }

    /// The trading state of everything, whatever narrower scopes say.
    pub fn firm_state(&self) -> TradingState {
        self.firm.state()
    }

    /// A halt that has not been told yet, firm first; each is told once.
    #[inline]
    pub fn next_halt(&mut self) -> Option<Halt> {
        // Asked several times a frame, almost always in vain.
        if self.halts_untold { self.find_halt() } else { None }
    }

    #[cold]
    fn find_halt(&mut self) -> Option<Halt> {
        let firm = core::iter::once((Scope::All, 0, &mut self.firm));
        let accounts = self.accounts.iter_mut().enumerate().map(|(at, scope)| (Scope::Account, at as u16, scope));
        let strategies = self.strategies.iter_mut().enumerate().map(|(at, scope)| (Scope::Strategy, at as u16, scope));
        for (scope, id, state) in firm.chain(accounts).chain(strategies) {
            if let Some((control, value, limit)) = state.halted_by
                && !state.halt_told
            {
                state.halt_told = true;
                return Some(Halt { scope, id, control, value, limit });
            }
        }
        self.halts_untold = false;
        None
    }

    /// Refused commands by control.
    pub fn refusals(&self) -> impl Iterator<Item = (Control, u64)> + '_ {
        Control::ALL.into_iter().map(|control| (control, self.refusals[control as usize]))
    }

    pub fn refusals_of(&self, control: Control) -> u64 {
        self.refusals[control as usize]
    }

    /// Messages that named no reservation, such as a fill after the end of its order; they counted for positions.
    pub fn anomalies(&self) -> u64 {
        self.anomalies
    }

    /// Profit of a strategy since the start, fees taken off, longs marked at the bid and shorts at the ask.
    pub fn profit(&self, strategy: StrategyId) -> Money {
        self.strategies.get(strategy.idx()).map_or(Money::ZERO, |scope| Money(scope.profit))
    }

    /// Value of the open orders of a strategy: gross and net.
    pub fn exposure(&self, strategy: StrategyId) -> (Money, Money) {
        self.strategies
            .get(strategy.idx())
            .map_or((Money::ZERO, Money::ZERO), |scope| (Money(scope.gross()), Money(scope.net())))
    }

    /// Reserved buys and sells of an account in an instrument, and its position, in lots.
    pub fn account_worst_case(&self, account: AccountId, instrument: InstrumentId) -> (Qty, Qty, Qty) {
        self.account_cells
            .get(account.idx() * self.columns + instrument.idx())
            .map_or((Qty::ZERO, Qty::ZERO, Qty::ZERO), |cell| {
                (Qty(cell.position), Qty(cell.open_qty[Side::Buy]), Qty(cell.open_qty[Side::Sell]))
            })
    }

    #[cold]
    pub(crate) fn count_refusal(&mut self, control: Control) {
        self.refusals[control as usize] += 1;
    }

    /// Adds a change of one order to every sum that it is part of.
    #[inline]
    pub(crate) fn tally(&mut self, owner: &Owner, change: &Change) {
        self.tally_cells(owner, change);
        if (change.orders_count, change.value) != (0, 0) {
            let add = |scope: &mut ScopeState| scope.add(owner.side, change);
            add(&mut self.firm);
            self.accounts.get_mut(owner.account.idx()).map(add);
            self.strategies.get_mut(owner.strategy.idx()).map(add);
        }
    }

    #[inline(always)]
    pub(crate) fn tally_cells(&mut self, owner: &Owner, change: &Change) {
        if (change.orders_count, change.qty) != (0, 0) {
            let column = owner.instrument.idx();
            let add = |cell: &mut Cell| cell.add(owner.side, change);
            self.strategy_cells.get_mut(owner.strategy.idx() * self.columns + column).map(add);
            self.account_cells.get_mut(owner.account.idx() * self.columns + column).map(add);
        }
    }

    /// What an order reserves with `pending` in flight: the worse of what stands and what is asked for, less what has filled,
    /// as quantity and value.
    #[inline(always)]
    pub(crate) fn measure(
        &self,
        order: &Reserved,
        pending: Option<(Price, i64)>,
        instrument: Option<&InstrumentState>,
    ) -> (i64, i128) {
        let (pending_px, pending_qty) = pending.unwrap_or((order.px, order.order_qty));
        let qty = (order.order_qty.max(pending_qty) - order.cum_qty).max(0);
        #[cfg(test)]
        let qty = match self.defect {
            Some(Defect::ReservesNewOnly) => (pending_qty - order.cum_qty).max(0),
            _ => qty,
        };
        let value = instrument.map_or(VALUE_MAX, |i| i.valuer.worse(order.px, pending_px, Qty(qty)));
        (qty, value)
    }

    /// Counts a trade for one owner and returns how its profit changed.
    #[inline]
    pub(crate) fn trade(cell: &mut Cell, instrument: &InstrumentState, signed_qty: i64, px: Price, fee: Money) -> i128 {
        cell.position = cell.position.saturating_add(signed_qty);
        cell.set_limits(cell.limits);
        cell.cash -= instrument.valuer.held(px, Qty(signed_qty)) + fee.0;
        let before = cell.worth;
        cell.worth = worth(instrument, cell.position, px);
        -(instrument.valuer.held(px, Qty(signed_qty)) + fee.0) + cell.worth - before
    }

    /// Revalues one owner at the newest mark and returns how its profit changed.
    #[inline]
    pub(crate) fn revalue(cell: &mut Cell, instrument: &InstrumentState) -> i128 {
        let before = cell.worth;
        cell.worth = worth(instrument, cell.position, instrument.bid);
        cell.worth - before
    }

    /// Money received less paid by an owner in an instrument, plus the worth of what it holds: what the profit must equal.
    #[cfg(test)]
    pub(crate) fn profit_of_cells(&self, strategy: StrategyId) -> i128 {
        let row = &self.strategy_cells[strategy.idx() * self.columns..][..self.columns];
        row.iter().map(|cell| cell.cash + cell.worth).sum()
    }

    /// Turns the day at 00:00 UTC.
    #[inline]
    pub(crate) fn turn_day(&mut self, now: TimeNs) {
        if now >= self.day_end {
            self.start_day(now);
        }
    }

    #[cold]
    fn start_day(&mut self, now: TimeNs) {
        self.day_end = TimeNs((now.0.div_euclid(DAY_NS) + 1).saturating_mul(DAY_NS));
        let scopes = self.accounts.iter_mut().chain(self.strategies.iter_mut());
        for scope in scopes.chain([&mut self.firm]) {
            scope.profit_day_start = scope.profit;
        }
    }
}

/// Worth of a position if closed at once: a long at the bid, a short at the ask; at `px` while there is no mark.
#[inline]
fn worth(instrument: &InstrumentState, position: i64, px: Price) -> i128 {
    if position == 0 {
        return 0;
    }
    let mark = match (instrument.ts == TimeNs::MIN, position > 0) {
        (true, _) => px,
        (false, true) => instrument.bid,
        (false, false) => instrument.ask,
    };
    instrument.valuer.held(mark, Qty(position))
}

#[cfg(test)]
mod tests;
