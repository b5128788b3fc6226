//! Hot path. The ordinary instant of a quote: every leg is wanted and has its settled order, which stays or moves.
//!
//! [`reconcile`](crate::reconcile) gives the same plan by a longer way (tests/follow_prop.rs); all else is left to it.
use crate::reconcile::{Keep, crosses_own, moved};
use crate::want::Kind;
use crate::{Action, Plan, Reader, Slot, Working, WorkingStatus, leg_tag};
use tercel_event::Reason;
use tercel_types::{TimeNs, Units};

impl Reader {
    /// Fills `plan` when this is the ordinary instant of a quote, for a strategy that may open on a session that may send.
    /// Returns false when it is not: then `plan` says nothing, and [`reconcile`](crate::reconcile) has to be asked.
    #[inline]
    pub fn follow(
        &mut self,
        values: &[f64],
        units: &Units,
        working: &[Working],
        now: TimeNs,
        slot: &Slot,
        plan: &mut Plan,
    ) -> bool {
        plan.clear();
        let Kind::Quote(quote) = &mut self.kind else { return false };
        if slot.owner != self.sink || working.len() != quote.legs.len() {
            return false;
        }
        let (steps, lots) = quote.keep(values, units);
        let keep = Keep { steps: steps.unsigned_abs(), lots: lots.0.unsigned_abs() };
        let (stated, post_only) = (quote.stated(values), quote.post_only);
        for (idx, (leg, &[px, qty])) in quote.legs.iter_mut().zip(stated).enumerate() {
            let (Some(px), Some(qty)) = (units.price_of(px, leg.side), leg.qty.get(qty, |x| units.qty_of(x))) else {
                break;
            };
            // As many orders as legs, and no two legs of one tag: none is left over when each leg has found one.
            let tag = leg_tag(self.sink, idx);
            let Some(order) = working.iter().find(|order| order.leg == tag) else { break };
            let settled = order.status == WorkingStatus::Live
                && order.side == leg.side
                && order.resting
                && order.post_only == post_only
                && qty <= order.leaves;
            if !settled || !units.is_tradable(px, qty) {
                break;
            }
            let moved = moved(order, px, qty, keep);
            if !moved.any() {
                plan.hold(idx, Reason::KeepWithin);
                continue;
            }
            let Some(order_qty) = order.cum.checked_add(qty) else { break };
            if now < slot.leg_not_before[idx] || crosses_own(working, leg.side, px) {
                break;
            }
            let (root, leg, reason) = (order.root, tag, moved.reason());
            plan.actions.push(Action::Replace { root, px, order_qty, leg, reason });
        }
        // Each leg has left one word.
        if plan.actions.len() + plan.holds.len() == working.len() {
            return true;
        }
        plan.clear();
        false
    }
}
