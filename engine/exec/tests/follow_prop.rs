//! The short way of a quote gives the plan of the long one, wherever it gives one.
use tercel_event::{Chain, LegSpec, QuoteWith, Reason, SinkSpec, Tif, mix64};
use tercel_exec::*;
use tercel_types::*;

struct Rng(u64);
impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix64(self.0) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn units() -> Units {
    Units::of(&Instrument {
        id: InstrumentId(0),
        symbol: "X".into(),
        kind: InstrumentKind::LinearPerp,
        base: "X".into(),
        quote: "Y".into(),
        settle: "Y".into(),
        price_step: Decimal { mantissa: 5, scale: 1 },
        lot: Decimal { mantissa: 1, scale: 2 },
        multiplier: Decimal::ONE,
        min_qty: Qty(2),
        min_notional: Money(1_500_000_000_000),
        fees: FeeRates::default(),
        calendar: Calendar::Always,
    })
}

/// Orders as a quote leaves them, now and then with something odd about one of them.
fn working(rng: &mut Rng, sides: &[Side], post_only: bool) -> Vec<Working> {
    let mut orders = Vec::new();
    for (idx, side) in sides.iter().enumerate() {
        if rng.one_in(12) {
            continue;
        }
        let px = 100 - rng.below(12) as i64 * side.sign();
        let statuses = [WorkingStatus::PendingNew, WorkingStatus::PendingReplace, WorkingStatus::Unknown];
        orders.push(Working {
            root: ClOrdId(idx as u64 + 1),
            side: if rng.one_in(30) { side.opposite() } else { *side },
            px: Price(px),
            px_standing: Price(px + i64::from(rng.one_in(8))),
            leaves: Qty(rng.below(8) as i64),
            cum: Qty(rng.below(3) as i64),
            leg: leg_tag(u16::from(rng.one_in(30)), if rng.one_in(30) { 0 } else { idx }),
            status: if rng.one_in(12) { statuses[rng.below(3) as usize] } else { WorkingStatus::Live },
            cancel_requested: false,
            resting: !rng.one_in(30),
            post_only: post_only != rng.one_in(30),
        });
    }
    if rng.one_in(3) {
        orders.reverse();
    }
    orders
}

#[test]
fn the_short_way_is_the_long_way_prop() {
    let (units, config, mut short_count) = (units(), ExecConfig::default(), 0);
    for seed in 0..40_000u64 {
        let mut rng = Rng(seed << 20);
        let sides: Vec<Side> = (0..rng.below(4)).map(|_| [Side::Buy, Side::Sell][rng.below(2) as usize]).collect();
        let with = QuoteWith { post_only: rng.one_in(2), keep_slot: Some(0), keep_qty_slot: Some(1) };
        let legs = sides.iter().map(|&side| LegSpec { side }).collect();
        let spec = SinkSpec::Quote { instrument: 0, legs, first_slot: 2, with };
        let (mut short, mut long) = (Reader::new(0, &spec), Reader::new(0, &spec));
        let (mut slot, mut slot_long) = (Slot::default(), Slot::default());
        let (mut plan, mut plan_long) = (Plan::with_capacity(16), Plan::with_capacity(16));
        for step in 0..8 {
            let working = working(&mut rng, &sides, with.post_only);
            let mut values = vec![rng.below(3) as f64 * 0.5, rng.below(3) as f64 * 0.01];
            for side in &sides {
                let px = 50.0 - (rng.below(14) as f64 / 2.0 + rng.below(3) as f64 / 5.0) * side.sign() as f64;
                let qty = rng.below(8) as f64 / 100.0;
                values
                    .extend([if rng.one_in(20) { f64::NAN } else { px }, if rng.one_in(20) { f64::NAN } else { qty }]);
            }
            let now = TimeNs(step * 20_000_000);
            let followed = short.follow(&values, &units, &working, now, &slot, &mut plan);
            let market = || Market::default();
            let view = View {
                units: &units,
                position: Qty(0),
                working: &working,
                opening: Opening::Free,
                session: Ok(()),
                now,
            };
            reconcile(long.read(&values, &units, market), &view, &config, &mut slot_long, &mut plan_long);
            if followed {
                short_count += 1;
                let seen = |plan: &Plan| (plan.actions.clone(), plan.holds.clone(), plan.wake);
                assert_eq!(seen(&plan), seen(&plan_long), "seed {seed} step {step}: {working:?} {values:?}");
            } else {
                assert!(plan.actions.is_empty() && plan.holds.is_empty(), "seed {seed} step {step}");
                reconcile(short.read(&values, &units, market), &view, &config, &mut slot, &mut plan);
            }
            let digest = |slot: &Slot| {
                let mut chain = Chain::default();
                slot.digest(&mut chain);
                chain.0
            };
            assert_eq!(digest(&slot), digest(&slot_long), "seed {seed} step {step}");
            for action in &plan_long.actions {
                let refused = rng.one_in(4);
                for slot in [&mut slot, &mut slot_long] {
                    match *action {
                        Action::New { leg, tif: Tif::Gtc, .. } | Action::Replace { leg, .. } if refused => {
                            slot.on_request_refused(leg, now, config.backoff);
                        }
                        _ => slot.on_sent(action, now, config.retry),
                    }
                }
            }
            let reason = Reason::KeepWithin as u16;
            assert_eq!(slot.note_hold(0, reason), slot_long.note_hold(0, reason));
        }
    }
    assert!(short_count > 20_000, "the short way was gone {short_count} times");
}
