//! Whatever the venue answers and in whatever order, a side never holds more than the worse of old and new desire.
//! A hand-written venue with its own order list drives the reconciler; each failure prints its seed.
use tercel_event::{Reason, Tif, mix64};
use tercel_exec::*;
use tercel_types::*;

struct Rng(u64);
impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix64(self.0) % n
    }
}

fn instrument() -> Instrument {
    Instrument {
        id: InstrumentId(0),
        symbol: "X".into(),
        kind: InstrumentKind::LinearPerp,
        base: "X".into(),
        quote: "Y".into(),
        settle: "Y".into(),
        price_step: Decimal::ONE,
        lot: Decimal::ONE,
        multiplier: Decimal::ONE,
        min_qty: Qty(2),
        min_notional: Money::ZERO,
        fees: FeeRates::default(),
        calendar: Calendar::Always,
    }
}

/// An order as the engine sees it (`seen`) and the total it asked for, if a replace is open.
struct Order {
    seen: Working,
    total: i64,
    asked: Option<(i64, i64)>,
}

impl Order {
    fn refresh(&mut self) {
        let total = self.asked.map_or(self.total, |(_, total)| total.max(self.total));
        self.seen.leaves = Qty((total - self.seen.cum.0).max(0));
    }
}

struct World {
    orders: Vec<Order>,
    position: i64,
    next_root: u64,
}

impl World {
    fn filling(&self, side: Side) -> i64 {
        self.orders.iter().filter(|o| o.seen.side == side).map(|o| o.seen.leaves.0).sum()
    }

    fn apply(&mut self, action: &Action) {
        match *action {
            Action::New { side, px, qty, leg, tif, post_only, .. } => {
                self.next_root += 1;
                let seen = Working {
                    root: ClOrdId(self.next_root),
                    side,
                    px,
                    px_standing: px,
                    leaves: qty,
                    cum: Qty(0),
                    leg,
                    status: WorkingStatus::PendingNew,
                    cancel_requested: false,
                    resting: tif != Tif::Ioc,
                    post_only,
                };
                self.orders.push(Order { seen, total: qty.0, asked: None });
            }
            Action::Replace { root, px, order_qty, leg, .. } => {
                let order = self.orders.iter_mut().find(|o| o.seen.root == root).expect("a known order");
                assert_eq!(order.seen.status, WorkingStatus::Live, "only a settled order is replaced");
                order.seen.status = WorkingStatus::PendingReplace;
                order.asked = Some((px.0, order_qty.0));
                order.seen.px = px;
                order.seen.leg = leg;
                order.refresh();
            }
            Action::Cancel { root, .. } => {
                let order = self.orders.iter_mut().find(|o| o.seen.root == root).expect("a known order");
                assert!(order.seen.can_cancel(), "a cancel is asked once");
                order.seen.cancel_requested = true;
                if order.seen.status != WorkingStatus::Unknown {
                    order.seen.status = WorkingStatus::PendingCancel;
                }
            }
        }
    }

    /// Something happens at the venue or on the way.
    fn happen(&mut self, rng: &mut Rng) {
        if self.orders.is_empty() {
            return;
        }
        let at = rng.below(self.orders.len() as u64) as usize;
        let order = &mut self.orders[at];
        let what = rng.below(10);
        match what {
            0..=2 => {
                // Fill, in any state: late fills and fills of unknown orders count.
                let most = order.seen.leaves.0;
                let qty = if most > 0 { 1 + rng.below(most as u64) as i64 } else { 0 };
                order.seen.cum.0 += qty;
                order.total = order.total.max(order.seen.cum.0);
                self.position += qty * order.seen.side.sign();
            }
            3..=5 => match order.seen.status {
                WorkingStatus::PendingReplace => {
                    let (px, total) = order.asked.take().unwrap_or((0, 0));
                    (order.seen.px, order.total) = (Price(px), total.max(order.seen.cum.0));
                    order.seen.status = WorkingStatus::Live;
                }
                WorkingStatus::PendingCancel => (order.total, order.asked) = (order.seen.cum.0, None),
                WorkingStatus::Unknown if rng.below(2) == 0 => (order.total, order.asked) = (order.seen.cum.0, None),
                _ if !order.seen.resting => (order.total, order.asked) = (order.seen.cum.0, None),
                _ => (order.seen.status, order.seen.cancel_requested) = (WorkingStatus::Live, false),
            },
            6 => match order.seen.status {
                WorkingStatus::PendingNew => order.total = order.seen.cum.0,
                WorkingStatus::PendingReplace | WorkingStatus::PendingCancel => {
                    (order.seen.status, order.seen.cancel_requested) = (WorkingStatus::Live, false);
                    order.asked = None;
                }
                _ => {}
            },
            7 => order.seen.status = WorkingStatus::Unknown,
            _ => {}
        }
        if order.seen.status == WorkingStatus::Live {
            order.asked = None;
        }
        order.refresh();
        let done = order.total <= order.seen.cum.0 && order.asked.is_none();
        if done {
            self.orders.swap_remove(at);
        }
    }
}

fn sequence(seed: u64) {
    let (mut rng, units) = (Rng(seed), Units::of(&instrument()));
    let mut world = World { orders: Vec::new(), position: 0, next_root: 0 };
    let (mut slot, mut plan, config) = (Slot::default(), Plan::with_capacity(64), ExecConfig::default());
    let (mut legs, mut kind, mut target, mut opening) = ([leg(&mut rng); 3], 0, 0, Opening::Free);
    for step in 0..60 {
        if rng.below(3) == 0 {
            legs = [leg(&mut rng), leg(&mut rng), leg(&mut rng)];
            kind = rng.below(5);
            target = rng.below(41) as i64 - 20;
            opening = match rng.below(8) {
                0 => Opening::ReduceOnly(Reason::Operator),
                1 => Opening::Pulled(Reason::Verdict),
                2 => Opening::Blocked(Reason::Operator),
                _ => Opening::Free,
            };
        }
        world.happen(&mut rng);
        let keep_qty = Qty(rng.below(3) as i64);
        let want = match kind {
            0 => Want::Nothing { reason: Reason::Withdrawn },
            1 | 2 => Want::Quote { sink: kind as u16, legs: &legs, post_only: true, keep_steps: 1, keep_qty },
            _ => {
                let px = Ok(Price(100));
                Want::Target { sink: kind as u16, target: Some(Qty(target)), buy_px: px, sell_px: px, tries: u32::MAX }
            }
        };
        let working: Vec<Working> = world.orders.iter().map(|o| o.seen).collect();
        let view = View {
            units: &units,
            position: Qty(world.position),
            working: &working,
            opening,
            session: Ok(()),
            now: TimeNs(step * 60_000_000),
        };
        let before = [world.filling(Side::Buy), world.filling(Side::Sell)];
        reconcile(want, &view, &config, &mut slot, &mut plan);
        for action in &plan.actions {
            world.apply(action);
            if let Action::New { .. } = action {
                assert!(!matches!(opening, Opening::Blocked(_)), "seed {seed} step {step}: opened while blocked");
            }
            slot.on_sent(action, view.now, config.retry);
        }
        let after = [world.filling(Side::Buy), world.filling(Side::Sell)];
        let wanted = |side: Side| match want {
            Want::Nothing { .. } => 0,
            Want::Quote { legs, .. } => {
                legs.iter().filter(|l| l.side == side).map(wanted_qty).sum::<i64>() + 3 * keep_qty.0
            }
            Want::Target { .. } => ((target - world.position) * side.sign()).max(0),
        };
        for (idx, side) in [Side::Buy, Side::Sell].into_iter().enumerate() {
            assert!(
                after[idx] <= before[idx].max(wanted(side)),
                "seed {seed} step {step}: {side:?} can fill {} after {}, wanted {}; {want:?}; {working:?}; {:?}",
                after[idx],
                before[idx],
                wanted(side),
                plan.actions
            );
            // Under any inhibition nothing may be added beyond closing the position.
            if opening != Opening::Free && after[idx] > before[idx] {
                let closing = (-world.position * side.sign()).max(0);
                assert!(after[idx] <= closing, "seed {seed} step {step}: inhibited, yet {side:?} opens");
            }
        }
    }
}

fn leg(rng: &mut Rng) -> LegWant {
    let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
    let want = match rng.below(4) {
        0 => Err(Reason::Withdrawn),
        _ => Ok((Price(90 + rng.below(20) as i64), Qty(2 + rng.below(12) as i64))),
    };
    LegWant { side, want }
}

fn wanted_qty(leg: &LegWant) -> i64 {
    leg.want.map_or(0, |(_, qty)| qty.0)
}

#[test]
fn exposure_never_exceeds_the_worse_of_old_and_new_desire_prop() {
    let sequences = if std::env::var_os("TERCEL_SOAK").is_some() { 5_000_000 } else { 100_000 };
    for seed in 0..sequences {
        sequence(mix64(seed));
    }
}
