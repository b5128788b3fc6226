//! Hot path. Working orders against a desire: what to send, and why nothing is sent.
//!
//! Invariants  On each side, what can fill never exceeds the worse of the old and the new desire: a leg opens or
//!             grows only into the room that this leaves, orders that belong to no leg any more included; a target
//!             counts everything that can still fill, in flight and unknown included, as filled.
//!             Only an acknowledged order without an open request is replaced. `Unknown` is cancelled, never replaced.
//! Cost        O(legs · working orders), both at most a few; no allocation within the capacity of the `Plan`.
use crate::{Action, ExecConfig, LegWant, MAX_LEGS, Plan, Slot, Want, Working, WorkingStatus, leg_tag};
use tercel_event::{NO_OWNER, Reason, Tif};
use tercel_types::{Price, Qty, Side, TimeNs, Units};

/// What may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    Free,
    /// Only what brings the position toward zero; a quote keeps its reducing side.
    ReduceOnly(Reason),
    /// Quotes leave the market; a target may still reduce.
    Pulled(Reason),
    /// Nothing new at all; working orders are cancelled.
    Blocked(Reason),
}

/// The state that a desire is held against.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub units: &'a Units,
    /// The strategy's own, signed.
    pub position: Qty,
    /// Every order of this strategy and instrument that is not terminal.
    pub working: &'a [Working],
    pub opening: Opening,
    /// `Err` when nothing new may be sent on the session, with the reason; cancels pass unless it is `SessionDown`.
    pub session: Result<(), Reason>,
    pub now: TimeNs,
}

/// Fills `plan` with what brings `view.working` toward `want`.
pub fn reconcile(want: Want<'_>, view: &View<'_>, config: &ExecConfig, slot: &mut Slot, plan: &mut Plan) {
    plan.clear();
    match want {
        Want::Quote { sink, legs, post_only, keep_steps, keep_qty } if view.opening == Opening::Free => {
            slot.own(sink);
            let keep = Keep { steps: keep_steps.unsigned_abs(), lots: keep_qty.0.unsigned_abs() };
            quote_legs(&Quote { sink, stated: legs, legs, post_only, keep }, view, slot, plan);
        }
        want => not_free(want, view, config, slot, plan),
    }
    if view.now < slot.cancel_not_before || view.session == Err(Reason::SessionDown) {
        hold_back(view, slot, plan);
    }
}

/// Everything but a quote that may open.
fn not_free(want: Want<'_>, view: &View<'_>, config: &ExecConfig, slot: &mut Slot, plan: &mut Plan) {
    match (want, view.opening) {
        (Want::Nothing { reason }, _) => {
            slot.own(NO_OWNER);
            cancel_all(view, plan, reason);
        }
        (_, Opening::Blocked(reason)) => {
            cancel_all(view, plan, reason);
            plan.hold(0, Reason::Inhibited);
        }
        (Want::Quote { sink, legs, post_only, keep_steps, .. }, opening) => {
            slot.own(sink);
            if let Opening::Pulled(reason) = opening {
                cancel_all(view, plan, reason);
                plan.hold(0, Reason::Inhibited);
            } else {
                // Nothing beyond the position may rest, not even what would be kept.
                let keep = Keep { steps: keep_steps.unsigned_abs(), lots: 0 };
                let mut clipped = core::mem::take(&mut plan.clipped);
                clip(legs, view, &mut clipped);
                quote_legs(&Quote { sink, stated: legs, legs: &clipped, post_only, keep }, view, slot, plan);
                plan.clipped = clipped;
            }
        }
        (Want::Target { sink, target, buy_px, sell_px, tries }, _) => {
            slot.own(sink);
            target_order(sink, target, [buy_px, sell_px], tries, view, config, slot, plan);
        }
    }
}

/// Takes back what may not be sent now.
#[cold]
fn hold_back(view: &View<'_>, slot: &Slot, plan: &mut Plan) {
    if view.now < slot.cancel_not_before {
        let before = plan.actions.len();
        plan.actions.retain(|action| !matches!(action, Action::Cancel { .. }));
        if plan.actions.len() != before {
            plan.wake_at(slot.cancel_not_before);
        }
    }
    if view.session == Err(Reason::SessionDown) {
        // Every live order of a lost session is unknown; asking is for the reconciliation when it is back.
        plan.actions.clear();
        plan.holds.clear();
        plan.hold(0, Reason::SessionDown);
        plan.wake = None;
    }
}

fn cancel_all(view: &View<'_>, plan: &mut Plan, reason: Reason) {
    for order in view.working {
        cancel(order, plan, reason);
    }
}

#[inline]
fn cancel(order: &Working, plan: &mut Plan, reason: Reason) {
    // An immediate order ends by itself; a cancel would only cross its report.
    if order.can_cancel() && (order.resting || order.status != WorkingStatus::PendingNew) {
        plan.actions.push(Action::Cancel { root: order.root, leg: order.leg, reason });
    }
}

/// How far an order may be from its desire.
#[derive(Clone, Copy)]
pub(crate) struct Keep {
    pub(crate) steps: u64,
    pub(crate) lots: u64,
}

/// Index of the order that a leg has; `NONE` where it has none.
type OfLeg = [u32; MAX_LEGS];
const NONE: u32 = u32::MAX;

/// A quote as stated, with the orders of its legs.
#[derive(Clone, Copy)]
struct Quote<'a> {
    sink: u16,
    /// What is wanted, and what of it may be.
    stated: &'a [LegWant],
    legs: &'a [LegWant],
    post_only: bool,
    keep: Keep,
}

fn quote_legs(quote: &Quote<'_>, view: &View<'_>, slot: &Slot, plan: &mut Plan) {
    let mut of_leg = [NONE; MAX_LEGS];
    let mut taken_count = 0;
    // First every order that carries the leg's tag, which is no other leg's.
    for (idx, leg) in quote.legs.iter().enumerate() {
        let tag = leg_tag(quote.sink, idx);
        let own = |w: &Working| w.leg == tag && w.side == leg.side && w.resting && w.post_only == quote.post_only;
        if let Some(at) = view.working.iter().position(own) {
            of_leg[idx] = at as u32;
            taken_count += 1;
        }
    }
    if taken_count < view.working.len() {
        adopt_or_cancel(quote, &mut of_leg, view, plan);
    }
    // What each side may still add before it can fill more than the worse of what works and what is wanted: asked for by
    // legs that open or grow, and not before the first of them.
    let mut room = None;
    for idx in 0..quote.legs.len() {
        one_leg(quote, &of_leg, idx, &mut room, view, slot, plan);
    }
}

/// Orders that carry no leg's tag: legs without one adopt what a former owner left on their side, the rest goes.
#[cold]
fn adopt_or_cancel(quote: &Quote<'_>, of_leg: &mut OfLeg, view: &View<'_>, plan: &mut Plan) {
    for (idx, leg) in quote.stated.iter().enumerate() {
        if of_leg[idx] == NONE && leg.want.is_ok() {
            let mut working = view.working.iter().enumerate();
            let left = working.find(|(at, w)| {
                w.leg >> 8 != quote.sink
                    && w.side == leg.side
                    && w.resting
                    && w.post_only == quote.post_only
                    && w.status == WorkingStatus::Live
                    && !of_leg.contains(&(*at as u32))
            });
            of_leg[idx] = left.map_or(NONE, |(at, _)| at as u32);
        }
    }
    for (at, order) in view.working.iter().enumerate() {
        if !of_leg.contains(&(at as u32)) {
            cancel(order, plan, Reason::Withdrawn);
        }
    }
}

/// The side that reduces, up to what is left of the position.
fn clip(legs: &[LegWant], view: &View<'_>, clipped: &mut Vec<LegWant>) {
    let mut reducible = view.position.0.saturating_abs();
    clipped.clear();
    for leg in legs {
        let want = leg.want.and_then(|(px, qty)| {
            let reduces = leg.side.sign() * view.position.0.signum() < 0;
            let qty = Qty(if reduces { qty.0.min(reducible) } else { 0 });
            if !view.units.is_tradable(px, qty) {
                return Err(Reason::Inhibited);
            }
            reducible -= qty.0;
            Ok((px, qty))
        });
        clipped.push(LegWant { side: leg.side, want });
    }
}

/// What each side may add: the worse of what works and what is wanted, less what works.
fn room_of(quote: &Quote<'_>, of_leg: &OfLeg, working: &[Working]) -> [i64; 2] {
    let (mut filling, mut desired) = ([0i64; 2], [0i64; 2]);
    for order in working {
        let side = side_idx(order.side);
        filling[side] = filling[side].saturating_add(order.leaves.0);
    }
    for (leg, &at) in quote.legs.iter().zip(of_leg) {
        let Ok((px, qty)) = leg.want else { continue };
        let kept = working.get(at as usize).filter(|order| !moved(order, px, qty, quote.keep).any());
        let side = side_idx(leg.side);
        desired[side] = desired[side].saturating_add(kept.map_or(qty.0, |order| order.leaves.0));
    }
    [0, 1].map(|side| desired[side].max(filling[side]).saturating_sub(filling[side]))
}

/// How a working order differs from its desire, beyond what is kept.
#[derive(Clone, Copy)]
pub(crate) struct Moved {
    px: bool,
    qty: bool,
}

impl Moved {
    pub(crate) fn any(self) -> bool {
        self.px || self.qty
    }

    pub(crate) fn reason(self) -> Reason {
        if self.px { Reason::PriceMoved } else { Reason::QtyChanged }
    }
}

#[inline]
pub(crate) fn moved(order: &Working, px: Price, qty: Qty, keep: Keep) -> Moved {
    Moved { px: order.px.0.abs_diff(px.0) > keep.steps, qty: order.leaves.0.abs_diff(qty.0) > keep.lots }
}

/// One leg with the order that it has, if any.
fn one_leg(
    quote: &Quote<'_>,
    of_leg: &OfLeg,
    idx: usize,
    room: &mut Option<[i64; 2]>,
    view: &View<'_>,
    slot: &Slot,
    plan: &mut Plan,
) {
    let LegWant { side, want } = quote.legs[idx];
    let Some(order) = view.working.get(of_leg[idx] as usize) else {
        return open_leg(quote, of_leg, idx, room, view, slot, plan);
    };
    let (px, qty) = match want {
        Ok(want) => want,
        Err(reason) => {
            cancel(order, plan, reason);
            return plan.hold(idx, reason);
        }
    };
    let moved = moved(order, px, qty, quote.keep);
    match order.status {
        WorkingStatus::Live if !moved.any() => plan.hold(idx, Reason::KeepWithin),
        WorkingStatus::Live => {
            let room = &mut room.get_or_insert_with(|| room_of(quote, of_leg, view.working))[side_idx(side)];
            let more = (qty.0 - order.leaves.0).max(0);
            if view.session.is_err() || view.now < slot.leg_not_before[idx] {
                // A desire that a replace cannot follow is followed by leaving the market.
                cancel(order, plan, moved.reason());
            } else if more > *room {
                plan.hold(idx, Reason::InFlight);
            } else if crosses_own(view.working, side, px) {
                plan.hold(idx, Reason::SelfCross);
            } else if let Some(order_qty) = order.cum.checked_add(qty) {
                *room -= more;
                let (root, leg, reason) = (order.root, leg_tag(quote.sink, idx), moved.reason());
                plan.actions.push(Action::Replace { root, px, order_qty, leg, reason });
            }
        }
        WorkingStatus::Unknown => {
            if moved.any() {
                cancel(order, plan, moved.reason());
            }
            plan.hold(idx, Reason::OutcomeUnknown);
        }
        WorkingStatus::PendingNew | WorkingStatus::PendingReplace | WorkingStatus::PendingCancel => {
            plan.hold(idx, Reason::InFlight);
        }
    }
}

/// A leg that has no order.
fn open_leg(
    quote: &Quote<'_>,
    of_leg: &OfLeg,
    idx: usize,
    room: &mut Option<[i64; 2]>,
    view: &View<'_>,
    slot: &Slot,
    plan: &mut Plan,
) {
    let LegWant { side, want } = quote.legs[idx];
    let (px, qty) = match (want, view.session) {
        (Err(reason), _) | (Ok(_), Err(reason)) => return plan.hold(idx, reason),
        (Ok(want), Ok(())) => want,
    };
    let room = &mut room.get_or_insert_with(|| room_of(quote, of_leg, view.working))[side_idx(side)];
    let (backoff_until, rests_until) = (slot.leg_not_before[idx], slot.leg_rests_until[idx]);
    if qty.0 > *room {
        plan.hold(idx, Reason::InFlight);
    } else if view.now < backoff_until {
        plan.wake_at(backoff_until);
        plan.hold(idx, Reason::RiskRefused);
    } else if view.now < rests_until {
        plan.wake_at(rests_until);
        plan.hold(idx, Reason::Refilling);
    } else if crosses_own(view.working, side, px) {
        plan.hold(idx, Reason::SelfCross);
    } else {
        *room -= qty.0;
        let (leg, post_only, reason) = (leg_tag(quote.sink, idx), quote.post_only, Reason::Desired);
        plan.actions.push(Action::New { side, px, qty, leg, tif: Tif::Gtc, post_only, reason });
    }
}

/// Whether a price would trade with what works on the other side, at its standing price or the one it is going to. When the
/// market moves by more than the own spread, the leg that moves away goes first and the other one follows its answer.
#[inline]
pub(crate) fn crosses_own(working: &[Working], side: Side, px: Price) -> bool {
    working.iter().filter(|order| order.side != side).any(|order| match side {
        Side::Buy => px >= order.px.min(order.px_standing),
        Side::Sell => px <= order.px.max(order.px_standing),
    })
}

#[allow(clippy::too_many_arguments)] // one call site; a struct would only rename the arguments
fn target_order(
    sink: u16,
    target: Option<Qty>,
    px_of: [Result<Price, Reason>; 2],
    tries: u32,
    view: &View<'_>,
    config: &ExecConfig,
    slot: &mut Slot,
    plan: &mut Plan,
) {
    let (mut filling, mut unknown) = ([0i64; 2], false);
    for order in view.working {
        let side = side_idx(order.side);
        filling[side] = filling[side].saturating_add(order.leaves.0);
        unknown |= order.status == WorkingStatus::Unknown;
        if order.resting {
            cancel(order, plan, Reason::Withdrawn);
        }
    }
    let Some(target) = target else { return plan.hold(0, Reason::NotReady) };
    let position = view.position.0;
    let (goal, clipped) = match view.opening {
        Opening::Free => (target.0, false),
        _ => {
            let goal = target.0.clamp(position.min(0), position.max(0));
            (goal, goal != target.0)
        }
    };
    let Some(need) = goal.checked_sub(position) else { return plan.hold(0, Reason::PriceAbsent) };
    if need == 0 {
        return plan.hold(0, if clipped { Reason::Inhibited } else { Reason::KeepWithin });
    }
    let side = if need > 0 { Side::Buy } else { Side::Sell };
    let (own, opposite) = (filling[side_idx(side)], filling[side_idx(side.opposite())]);
    let wait = if unknown { Reason::OutcomeUnknown } else { Reason::InFlight };
    if opposite > 0 {
        return plan.hold(0, if unknown { wait } else { Reason::Reversal });
    }
    let qty = Qty(need.saturating_abs().saturating_sub(own));
    if qty.0 <= 0 {
        return plan.hold(0, wait);
    }
    let px = match (view.session, px_of[side_idx(side)]) {
        (Err(reason), _) | (Ok(()), Err(reason)) => return plan.hold(0, reason),
        (Ok(()), Ok(px)) => px,
    };
    if !view.units.is_tradable(px, qty) {
        return plan.hold(0, if own > 0 { wait } else { Reason::BelowMinimum });
    }
    if slot.tries_used >= tries {
        return plan.hold(0, Reason::TriesUsed);
    }
    if view.now < slot.next_try {
        // Never longer than one interval, whatever a stale memory says.
        plan.wake_at(slot.next_try.min(view.now.saturating_add(config.retry.max(config.backoff))));
        return plan.hold(0, Reason::TriesUsed);
    }
    let leg = leg_tag(sink, 0);
    plan.actions.push(Action::New { side, px, qty, leg, tif: Tif::Ioc, post_only: false, reason: Reason::Desired });
}

#[inline]
fn side_idx(side: Side) -> usize {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}
