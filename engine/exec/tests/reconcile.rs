//! Tables: one desire, one state of the orders, the actions and holds that follow.
use tercel_event::{Reason, Tif};
use tercel_exec::*;
use tercel_types::*;

fn instrument() -> Instrument {
    Instrument {
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
        min_notional: Money::from_whole(100),
        fees: FeeRates::default(),
        calendar: Calendar::Always,
    }
}

struct Bench {
    units: Units,
    slot: Slot,
    plan: Plan,
    position: i64,
    opening: Opening,
    session: Result<(), Reason>,
    now: i64,
    config: ExecConfig,
}

impl Bench {
    fn new() -> Self {
        Self {
            units: Units::of(&instrument()),
            slot: Slot::default(),
            plan: Plan::with_capacity(16),
            position: 0,
            opening: Opening::Free,
            session: Ok(()),
            now: 1_000_000_000,
            config: ExecConfig::default(),
        }
    }

    fn run(&mut self, want: Want<'_>, working: &[Working]) -> (Vec<Action>, Vec<(u16, Reason)>) {
        let view = View {
            units: &self.units,
            position: Qty(self.position),
            working,
            opening: self.opening,
            session: self.session,
            now: TimeNs(self.now),
        };
        reconcile(want, &view, &self.config, &mut self.slot, &mut self.plan);
        (self.plan.actions.clone(), self.plan.holds.iter().map(|h| (h.leg, h.reason)).collect())
    }
}

fn bid(px: i64, qty: i64) -> LegWant {
    LegWant { side: Side::Buy, want: Ok((Price(px), Qty(qty))) }
}

fn ask(px: i64, qty: i64) -> LegWant {
    LegWant { side: Side::Sell, want: Ok((Price(px), Qty(qty))) }
}

fn quote(legs: &[LegWant]) -> Want<'_> {
    Want::Quote { sink: 0, legs, post_only: true, keep_steps: 2, keep_qty: Qty(1) }
}

fn target(lots: i64) -> Want<'static> {
    Want::Target {
        sink: 1,
        target: Some(Qty(lots)),
        buy_px: Ok(Price(600_001)),
        sell_px: Ok(Price(600_000)),
        tries: 99,
    }
}

fn order(root: u64, side: Side, px: i64, leaves: i64, status: WorkingStatus) -> Working {
    Working {
        root: ClOrdId(root),
        side,
        px: Price(px),
        px_standing: Price(px),
        leaves: Qty(leaves),
        cum: Qty(0),
        leg: leg_tag(0, usize::from(side == Side::Sell)),
        status,
        cancel_requested: status == WorkingStatus::PendingCancel,
        resting: true,
        post_only: true,
    }
}

const PX: i64 = 600_000;

#[test]
fn an_empty_market_is_opened_on_both_legs() {
    let (actions, holds) = Bench::new().run(quote(&[bid(PX, 10), ask(PX + 5, 10)]), &[]);
    let new = |side, px, leg| Action::New {
        side,
        px: Price(px),
        qty: Qty(10),
        leg,
        tif: Tif::Gtc,
        post_only: true,
        reason: Reason::Desired,
    };
    assert_eq!(actions, [new(Side::Buy, PX, 0), new(Side::Sell, PX + 5, 1)]);
    assert!(holds.is_empty());
}

#[test]
fn an_order_within_keep_stays_and_one_beyond_is_replaced() {
    let mut b = Bench::new();
    let live = [order(7, Side::Buy, PX, 10, WorkingStatus::Live)];
    assert_eq!(b.run(quote(&[bid(PX + 2, 11)]), &live), (vec![], vec![(0, Reason::KeepWithin)]));
    let (actions, _) = b.run(quote(&[bid(PX + 3, 10)]), &live);
    let replace = |px, order_qty, reason| Action::Replace {
        root: ClOrdId(7),
        px: Price(px),
        order_qty: Qty(order_qty),
        leg: 0,
        reason,
    };
    assert_eq!(actions, [replace(PX + 3, 10, Reason::PriceMoved)]);
    let partly = [Working { cum: Qty(4), leaves: Qty(6), ..live[0] }];
    let (actions, _) = b.run(quote(&[bid(PX, 10)]), &partly);
    assert_eq!(actions, [replace(PX, 14, Reason::QtyChanged)], "the new total counts what has filled");
}

#[test]
fn a_request_in_flight_is_waited_for_and_an_absent_leg_is_withdrawn() {
    let mut b = Bench::new();
    for status in [WorkingStatus::PendingNew, WorkingStatus::PendingReplace, WorkingStatus::PendingCancel] {
        let working = [order(7, Side::Buy, PX, 10, status)];
        assert_eq!(b.run(quote(&[bid(PX + 9, 10)]), &working), (vec![], vec![(0, Reason::InFlight)]));
    }
    let gone = [LegWant { side: Side::Buy, want: Err(Reason::Withdrawn) }];
    for status in [WorkingStatus::PendingNew, WorkingStatus::Live, WorkingStatus::Unknown] {
        let (actions, _) = b.run(quote(&gone), &[order(7, Side::Buy, PX, 10, status)]);
        assert_eq!(actions, [Action::Cancel { root: ClOrdId(7), leg: 0, reason: Reason::Withdrawn }]);
    }
}

#[test]
fn an_unknown_order_is_cancelled_but_never_replaced_or_doubled() {
    let mut b = Bench::new();
    let unknown = [order(7, Side::Buy, PX, 10, WorkingStatus::Unknown)];
    let (actions, holds) = b.run(quote(&[bid(PX + 9, 10)]), &unknown);
    assert_eq!(actions, [Action::Cancel { root: ClOrdId(7), leg: 0, reason: Reason::PriceMoved }]);
    assert_eq!(holds, [(0, Reason::OutcomeUnknown)]);
    let asked = [Working { cancel_requested: true, ..unknown[0] }];
    assert_eq!(b.run(quote(&[bid(PX + 9, 10)]), &asked).0, []);
}

#[test]
fn a_new_owner_adopts_what_it_can_amend_and_waits_for_the_rest() {
    let mut b = Bench::new();
    let other = |status| [Working { leg: leg_tag(5, 0), ..order(7, Side::Buy, PX, 10, status) }];
    let (actions, _) = b.run(quote(&[bid(PX + 9, 10)]), &other(WorkingStatus::Live));
    assert!(matches!(actions[..], [Action::Replace { root: ClOrdId(7), leg: 0, .. }]), "{actions:?}");
    let (actions, holds) = b.run(quote(&[bid(PX + 9, 10)]), &other(WorkingStatus::PendingCancel));
    assert_eq!((actions, holds), (vec![], vec![(0, Reason::InFlight)]), "what is being cancelled can still fill");
}

#[test]
fn legs_of_one_side_never_hold_more_than_the_worse_of_old_and_new() {
    let mut b = Bench::new();
    let working = [
        order(7, Side::Buy, PX, 5, WorkingStatus::Live),
        Working { leg: leg_tag(0, 1), ..order(8, Side::Buy, PX - 20, 10, WorkingStatus::Live) },
    ];
    let (actions, holds) = b.run(quote(&[bid(PX, 10), bid(PX - 20, 5)]), &working);
    assert!(matches!(actions[..], [Action::Replace { root: ClOrdId(8), order_qty: Qty(5), .. }]), "{actions:?}");
    assert_eq!(holds, [(0, Reason::InFlight)]);
}

#[test]
fn a_target_counts_what_is_in_flight_as_filled() {
    let mut b = Bench::new();
    b.position = 2;
    let flying =
        Working { resting: false, leg: leg_tag(1, 0), ..order(7, Side::Buy, PX, 3, WorkingStatus::PendingNew) };
    let (actions, _) = b.run(target(10), &[flying]);
    assert!(matches!(actions[..], [Action::New { side: Side::Buy, qty: Qty(5), tif: Tif::Ioc, .. }]), "{actions:?}");
    let (actions, holds) = b.run(target(5), &[flying]);
    assert_eq!((actions, holds), (vec![], vec![(0, Reason::InFlight)]));
    let (actions, holds) = b.run(target(-5), &[flying]);
    assert_eq!((actions, holds), (vec![], vec![(0, Reason::Reversal)]), "the other side must settle first");
}

#[test]
fn a_target_tries_again_only_after_the_interval() {
    let mut b = Bench::new();
    let (actions, _) = b.run(target(10), &[]);
    b.slot.on_sent(&actions[0], TimeNs(b.now), b.config.retry);
    b.now += 49_999_999;
    assert_eq!(b.run(target(10), &[]), (vec![], vec![(0, Reason::TriesUsed)]));
    assert_eq!(b.plan.wake, Some(TimeNs(1_050_000_000)));
    b.now += 1;
    assert_eq!(b.run(target(10), &[]).0.len(), 1);
}

#[test]
fn tries_are_counted_per_ownership_period() {
    let mut b = Bench::new();
    let once = Want::Target { sink: 1, target: Some(Qty(9)), buy_px: Ok(Price(PX)), sell_px: Ok(Price(PX)), tries: 1 };
    let (actions, _) = b.run(once, &[]);
    b.slot.on_sent(&actions[0], TimeNs(b.now), b.config.retry);
    b.now += 1_000_000_000;
    assert_eq!(b.run(once, &[]), (vec![], vec![(0, Reason::TriesUsed)]));
    b.run(Want::Nothing { reason: Reason::Withdrawn }, &[]);
    assert_eq!(b.run(once, &[]).0.len(), 1);
}

#[test]
fn inhibited_opening_leaves_only_what_reduces() {
    let mut b = Bench::new();
    b.position = 4;
    b.opening = Opening::ReduceOnly(Reason::Operator);
    let (actions, holds) = b.run(quote(&[bid(PX, 10), ask(PX + 5, 10)]), &[]);
    assert!(matches!(actions[..], [Action::New { side: Side::Sell, qty: Qty(4), .. }]), "{actions:?}");
    assert_eq!(holds, [(0, Reason::Inhibited)]);
    b.opening = Opening::Pulled(Reason::Verdict);
    let working = [order(7, Side::Sell, PX, 4, WorkingStatus::Live)];
    let (actions, _) = b.run(quote(&[ask(PX + 5, 4)]), &working);
    assert_eq!(actions, [Action::Cancel { root: ClOrdId(7), leg: 1, reason: Reason::Verdict }]);
    assert_eq!(b.run(target(9), &[]), (vec![], vec![(0, Reason::Inhibited)]));
    assert_eq!(b.run(target(0), &[]).0.len(), 1, "a target may still reduce");
    b.opening = Opening::Blocked(Reason::Operator);
    assert_eq!(b.run(target(0), &[]), (vec![], vec![(0, Reason::Inhibited)]));
}

#[test]
fn a_lost_session_gets_no_message_at_all() {
    let mut b = Bench::new();
    b.session = Err(Reason::SessionDown);
    let working = [order(7, Side::Buy, PX, 4, WorkingStatus::Unknown)];
    assert_eq!(b.run(Want::Nothing { reason: Reason::Withdrawn }, &working), (vec![], vec![(0, Reason::SessionDown)]));
}

#[test]
fn a_refused_leg_waits_before_it_tries_again() {
    let mut b = Bench::new();
    b.run(quote(&[bid(PX, 10)]), &[]);
    b.slot.on_refused(leg_tag(0, 0), TimeNs(b.now), b.config.backoff);
    assert_eq!(b.run(quote(&[bid(PX, 10)]), &[]), (vec![], vec![(0, Reason::RiskRefused)]));
    assert_eq!(b.plan.wake, Some(TimeNs(1_050_000_000)));
    b.now += 50_000_000;
    assert_eq!(b.run(quote(&[bid(PX, 10)]), &[]).0.len(), 1);
}

#[test]
fn a_filled_leg_comes_back_after_the_refill_delay() {
    let mut b = Bench::new();
    b.run(quote(&[bid(PX, 10)]), &[]);
    b.slot.on_filled(leg_tag(0, 0), TimeNs(b.now), DurationNs::from_millis(50));
    assert_eq!(b.run(quote(&[bid(PX, 10)]), &[]), (vec![], vec![(0, Reason::Refilling)]));
    assert_eq!(b.plan.wake, Some(TimeNs(1_050_000_000)));
    b.now += 50_000_000;
    assert_eq!(b.run(quote(&[bid(PX, 10)]), &[]).0.len(), 1);
}

#[test]
fn the_leg_that_moves_away_goes_first_when_the_market_passes_the_own_spread() {
    let mut b = Bench::new();
    let live = [order(7, Side::Buy, PX, 4, WorkingStatus::Live), order(8, Side::Sell, PX + 5, 4, WorkingStatus::Live)];
    let up = [bid(PX + 20, 4), ask(PX + 25, 4)];
    let (actions, holds) = b.run(quote(&up), &live);
    assert!(matches!(actions[..], [Action::Replace { root: ClOrdId(8), .. }]), "{actions:?}");
    assert_eq!(holds, [(0, Reason::SelfCross)]);
    let moving = [live[0], Working { px: Price(PX + 25), status: WorkingStatus::PendingReplace, ..live[1] }];
    assert_eq!(b.run(quote(&up), &moving).0, [], "the old price stands until the venue has answered");
    let moved = [live[0], Working { px: Price(PX + 25), px_standing: Price(PX + 25), ..live[1] }];
    assert!(matches!(b.run(quote(&up), &moved).0[..], [Action::Replace { root: ClOrdId(7), .. }]));
}

#[test]
fn a_refused_cancel_is_asked_again_only_after_the_backoff() {
    let mut b = Bench::new();
    let live = [order(7, Side::Buy, PX, 4, WorkingStatus::Live)];
    b.slot.on_request_refused(0, TimeNs(b.now), b.config.backoff);
    let nothing = Want::Nothing { reason: Reason::Withdrawn };
    assert_eq!(b.run(nothing, &live).0, []);
    assert_eq!(b.plan.wake, Some(TimeNs(1_050_000_000)));
    b.now += 50_000_000;
    assert_eq!(b.run(nothing, &live).0.len(), 1);
}

#[test]
fn desires_become_steps_and_lots_passively_and_minimums_are_no_errors() {
    use tercel_event::{Desires, LegSpec, QuoteWith, SinkSpec, Via};
    let i = Units::of(&instrument());
    let sinks = [
        SinkSpec::Quote {
            instrument: 0,
            legs: vec![LegSpec { side: Side::Buy }, LegSpec { side: Side::Sell }],
            first_slot: 0,
            with: QuoteWith { post_only: true, keep_slot: Some(4), keep_qty_slot: None },
        },
        SinkSpec::Target { instrument: 0, slot: 5, via: Via::Aggressive { max_slip_slot: 6 } },
    ];
    let mut d =
        Desires { values: vec![60_000.07, 0.0109, 60_000.13, 0.0001, 0.1, -0.0109, 0.0003], ..Default::default() };
    let market = Market { live: true, bid: Some(Price(600_000)), ask: Some(Price(600_001)) };
    let [mut quote, mut target] = [0, 1].map(|sink| Reader::new(sink, &sinks[usize::from(sink)]));
    let Want::Quote { sink: 0, legs, keep_steps, .. } = quote.read(&d.values, &i, || market) else { panic!() };
    assert_eq!(legs[0].want, Ok((Price(600_000), Qty(10))));
    assert_eq!((legs[1].want, keep_steps), (Err(Reason::BelowMinimum), 1));
    d.values[2] = f64::NAN;
    let Want::Quote { legs, .. } = quote.read(&d.values, &i, || market) else { panic!() };
    assert_eq!(legs[1].want, Err(Reason::Withdrawn));
    let Want::Quote { legs, .. } = quote.read(&d.values[..3], &i, || market) else { panic!() };
    assert_eq!([legs[0].want.is_ok(), legs[1].want == Err(Reason::Withdrawn)], [true; 2], "a slot that is not there");
    let mut wanted = |d: &Desires, market| match target.read(&d.values, &i, || market) {
        Want::Target { sink: 1, target, buy_px, sell_px, .. } => (target, buy_px, sell_px),
        other => panic!("{other:?}"),
    };
    assert_eq!(wanted(&d, market), (Some(Qty(-10)), Ok(Price(600_001)), Ok(Price(600_000))));
    d.values[6] = 0.0;
    assert_eq!(wanted(&d, market).1, Err(Reason::PriceAbsent), "the touch is beyond the bound");
    let dead = Market { live: false, ..market };
    assert_eq!(wanted(&d, dead).1, Err(Reason::BookNotLive));
}
