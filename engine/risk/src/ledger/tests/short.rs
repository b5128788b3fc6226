//! The short way against the controls in order: for limit orders in a linear contract both must say the same.
use super::*;
use proptest::prelude::*;

fn narrow(collar: Collar) -> RiskLimits {
    let mut narrow = limits();
    for instrument in &mut narrow.instruments {
        *instrument = InstrumentLimits {
            max_order_qty: Qty(40),
            max_order_value: Money::from_whole(30_000),
            collar: Some(collar),
            reference_max_age: DurationNs(50),
        };
    }
    let own = &mut narrow.strategies[0];
    own.positions = vec![PositionLimits { max_long: Qty(60), max_short: Qty(50) }; 2];
    own.duplicate_window = Some(DurationNs(3));
    own.scope.max_open_orders = 3;
    own.scope.max_gross_value = Money::from_whole(70_000);
    own.scope.max_net_value = Money::from_whole(45_000);
    own.scope.rates.orders = [4, 100, 100];
    narrow
}

proptest! {
    /// It passes exactly what passes every control, at every step of a ledger that fills up.
    #[test]
    fn the_short_way_passes_what_passes_in_order_prop(
        ticks in any::<bool>(),
        steps in prop::collection::vec((970i64..1_030, 0i64..45, any::<bool>(), 0i64..30, 0u8..8), 1..40),
    ) {
        let mut risk = ready(&narrow(if ticks { Collar::Ticks(20) } else { Collar::Bps(200) }));
        let (mut now, mut roots) = (0, Vec::new());
        for (at, (px, qty, is_buy, gap, what)) in steps.into_iter().enumerate() {
            now += gap;
            let (counter, side) = (at as u64 + 1, if is_buy { Side::Buy } else { Side::Sell });
            let (command, passes) = match roots.get(usize::from(what) % 4) {
                Some(&(root, side)) => {
                    let command = replace(counter, root, side, px, qty, now);
                    (command, risk.pass_replace(&command, side).is_some())
                }
                None => {
                    let command = new(counter, side, px, qty, now);
                    (command, risk.pass_new(&command, side).is_some())
                }
            };
            let verdict = risk.check_in_order(&command);
            prop_assert_eq!(passes, verdict.is_ok(), "{:?}: {:?}", command, verdict);
            prop_assert_eq!(risk.submit(&command), verdict);
            if verdict.is_ok() && command.kind == CommandKind::New as u8 {
                roots.push((counter, side));
            } else if verdict.is_ok() {
                let root = roots[usize::from(what) % 4].0;
                risk.replaced(id(root), command.px, command.order_qty);
            }
            match what {
                5 => risk.mark(X, Price(px), Price(px + 2), TimeNs(now)),
                6 if !roots.is_empty() => {
                    let (root, side) = roots[0];
                    risk.fill(&fill(root, side, px, 1 + qty / 4, now));
                }
                7 if !roots.is_empty() => risk.release(id(roots.swap_remove(0).0)),
                _ => {}
            }
        }
    }
}

#[test]
fn a_state_or_a_gate_closes_the_short_way_and_opens_it_again() {
    let mut risk = ready(&limits());
    let order = new(1, Side::Buy, 990, 1, 1);
    let passes = |risk: &Risk| risk.pass_new(&order, Side::Buy).is_some();
    assert!(passes(&risk));
    for scope in [Scope::All, Scope::Account, Scope::Strategy] {
        for state in [TradingState::Reducing, TradingState::Halted] {
            assert!(risk.set_state(scope, 0, state));
            assert!(!passes(&risk), "{scope:?} {state:?}");
            assert!(risk.set_state(scope, 0, TradingState::Active));
            assert!(passes(&risk));
        }
    }
    risk.close_gate(ACCOUNT);
    assert!(!passes(&risk));
    risk.open_gate(ACCOUNT);
    assert!(passes(&risk));
    let set = LimitSet { control: 14, value: 0, strategy: StrategyId(0), account: ACCOUNT, ..Default::default() };
    assert_eq!(risk.set_limit(&set), Ok(()));
    assert!(!passes(&risk), "no limit of loss, no order");
}
