//! The short way through the controls. Nearly every command passes all of them, so this file asks all of them at once, of
//! limits brought into the form in which they are compared, and only ever answers yes. Whatever it does not pass is judged by
//! `check.rs`, in order and in words; there alone stands what a control refuses.
//!
//! Invariants  a yes here is a yes there: every test of this crate asserts it at every command that passes.
use crate::check::{Added, Amend, COUNT_MAX};
use crate::duplicates::Likeness;
#[cfg(test)]
use crate::ledger::Defect;
use crate::ledger::{Change, InstrumentState, Owner, Risk};
use crate::limits::Collar;
use crate::scope::ScopeState;
use crate::value::Valuer;
use tercel_event::{Command, OrdType, Tif};
use tercel_types::Side;

/// The limits of one instrument as the short way compares them. What it cannot judge has a bound that nothing passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    qty_min: i64,
    qty_max: i64,
    /// 10^-12 of the currency per step·lot.
    unit: i64,
    /// Price times quantity, in steps·lots.
    product_min: i64,
    product_max: i64,
    /// 10,000 times twice the distance to the middle may be at most `away_bps` times twice the middle plus `away`.
    away_bps: i64,
    away: i64,
}

impl Bounds {
    /// To be asked anew after any change of the limits.
    pub(crate) fn of(state: &InstrumentState) -> Self {
        let (away_bps, away) = match state.collar {
            None => (0, -1),
            Some(Collar::Bps(bps)) => (bps, 0),
            Some(Collar::Ticks(ticks)) => (0, ticks.checked_mul(20_000).unwrap_or(-1)),
        };
        let products = match state.valuer {
            Valuer::Linear(unit) if unit > 0 => {
                let unit = i128::from(unit);
                let least = state.min_value.div_euclid(unit) + i128::from(state.min_value.rem_euclid(unit) > 0);
                let most = state.max_order_value.div_euclid(unit).min(i128::from(i64::MAX));
                i64::try_from(least.max(0)).ok().zip(i64::try_from(most).ok())
            }
            _ => None,
        };
        let unit = if let Valuer::Linear(unit) = state.valuer { unit } else { 0 };
        let (product_min, product_max) = products.unwrap_or((0, -1));
        let (qty_min, qty_max) = (state.min_qty.max(1), state.max_order_qty.min(COUNT_MAX));
        Self { qty_min, qty_max, unit, product_min, product_max, away_bps, away }
    }
}

impl Risk {
    /// The value of a new order that passes everything.
    #[inline(always)]
    pub(crate) fn pass_new(&self, command: &Command, side: Side) -> Option<i128> {
        let (strategy, account) = self.pass_owner(command)?;
        let instrument = self.instruments.get(command.instrument.idx())?;
        let product = pass_form(command, instrument)?;
        let value = i128::from(product) * i128::from(instrument.bounds.unit);
        let qty = command.order_qty;
        let added = Added { side, px: command.px, qty: qty.0, value, orders_count: 1 };
        self.pass_order(command, strategy, account, &added)?;
        let like = Likeness { px: command.px, qty, instrument: command.instrument, side };
        let unlike = self.duplicates.get(command.strategy.idx())?.check(&like, command.ts).is_ok();
        (unlike && !self.free.is_empty()).then_some(value)
    }

    /// An amend that passes everything.
    #[inline(always)]
    pub(crate) fn pass_replace(&self, command: &Command, side: Side) -> Option<Amend> {
        let (strategy, account) = self.pass_owner(command)?;
        let instrument = self.instruments.get(command.instrument.idx())?;
        pass_form(command, instrument)?;
        let slot = self.ids.get(command.root_cl_ord_id.0)?;
        let order = self.orders.get(slot as usize)?;
        let owner = Owner::of(command, side);
        let is_own = order.owner.key() == owner.key() && order.owner.side == side;
        let amendable = is_own && order.pending.is_none() && order.px.0 > 0;
        if !amendable || command.order_qty.0 <= order.cum_qty {
            return None;
        }
        // The worse of what stands and what is asked: the larger quantity at the higher price.
        let qty = order.order_qty.max(command.order_qty.0) - order.cum_qty;
        let value = i128::from(order.px.0.max(command.px.0).checked_mul(qty)?) * i128::from(instrument.bounds.unit);
        let change = Change { orders_count: 0, qty: qty - order.qty, value: value - order.value };
        let added = Added { side, px: command.px, qty: change.qty, value: change.value, orders_count: 0 };
        self.pass_order(command, strategy, account, &added)?;
        Some(Amend { slot, owner, qty, value, change })
    }

    /// C1, C33, C20, C10 (id), and that C14 is configured.
    #[inline(always)]
    fn pass_owner(&self, command: &Command) -> Option<(&ScopeState, &ScopeState)> {
        #[cfg(test)]
        if self.defect.is_some_and(|defect| !matches!(defect, Defect::PassesSelfTrades | Defect::PassesExposure)) {
            return None; // planted into the controls in order, so they are asked
        }
        let strategy = self.strategies.get(command.strategy.idx())?;
        let account = self.accounts.get(command.account.idx())?;
        let may_use = strategy.allowed_accounts >> command.account.idx() & 1 == 1;
        let is_free = strategy.is_free && account.is_free && self.firm.is_free;
        (may_use && is_free && command.cl_ord_id > self.newest_id).then_some((strategy, account))
    }

    /// C6, C12, C11, C14 (marks), C15, C8.
    #[inline(always)]
    fn pass_order(&self, command: &Command, strategy: &ScopeState, account: &ScopeState, added: &Added) -> Option<()> {
        let column = command.instrument.idx();
        let own = self.strategy_cells.get(command.strategy.idx() * self.columns + column)?;
        let account_cell = command.account.idx() * self.columns + column;
        let shared = self.account_cells.get(account_cell)?;
        let resting = self.resting.get(account_cell)?;
        let now = command.ts;
        let passes = added.qty <= own.room[added.side]
            && added.qty <= shared.room[added.side]
            && pass_exposure(&self.firm, added)
            && pass_exposure(account, added)
            && (pass_exposure(strategy, added) || self.skips_exposure())
            && (!resting.would_cross(added.side, added.px) || self.skips_self_trade())
            && strategy.orders.is_open(now)
            && account.orders.is_open(now)
            && self.firm.orders.is_open(now);
        let holds_more = strategy.held_count != u32::from(own.position != 0);
        let passes = passes && (!holds_more || self.fresh_marks(command, column, now).is_ok());
        passes.then_some(())
    }
}

/// Planted defects.
#[cfg(test)]
impl Risk {
    fn skips_exposure(&self) -> bool {
        self.defect == Some(Defect::PassesExposure)
    }

    fn skips_self_trade(&self) -> bool {
        self.defect == Some(Defect::PassesSelfTrades)
    }
}

#[cfg(not(test))]
impl Risk {
    #[inline(always)]
    const fn skips_exposure(&self) -> bool {
        false
    }

    #[inline(always)]
    const fn skips_self_trade(&self) -> bool {
        false
    }
}

/// C3 but for the side, C4, C5, C6 of a limit order; price times quantity.
#[inline(always)]
fn pass_form(command: &Command, instrument: &InstrumentState) -> Option<i64> {
    Tif::from_u8(command.tif)?;
    let bounds = &instrument.bounds;
    let (px, qty) = (command.px.0, command.order_qty.0);
    let is_limit = command.ord_type == OrdType::Limit as u8;
    if !is_limit || qty < bounds.qty_min || qty > bounds.qty_max || px <= 0 || px > COUNT_MAX {
        return None;
    }
    let product = px.checked_mul(qty)?;
    let away = (2 * px).checked_sub(instrument.twice)?.checked_abs()?.checked_mul(10_000)?;
    let allowed = instrument.twice.checked_mul(bounds.away_bps)?.checked_add(bounds.away)?;
    let passes = product >= bounds.product_min
        && product <= bounds.product_max
        && away <= allowed
        && command.ts <= instrument.fresh_until;
    passes.then_some(product)
}

/// C11.
#[inline(always)]
fn pass_exposure(scope: &ScopeState, added: &Added) -> bool {
    scope.orders_count.saturating_add(added.orders_count) <= scope.limits.max_open_orders
        && added.value <= scope.gross_room
        && added.value <= scope.net_room[added.side]
}
