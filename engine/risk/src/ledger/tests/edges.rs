//! Limit − 1, limit and limit + 1 of every control, for orders and amends, both sides, and every scope.
use super::*;

struct Case {
    name: String,
    control: &'static str,
    refused: bool,
    verdict: Verdict,
}

const SIDES: [Side; 2] = [Side::Buy, Side::Sell];

/// Runs `command` on a ledger made by `limits`, prepared by `prepare`; `check` must say the same as `submit`.
fn submit(limits: &RiskLimits, prepare: impl Fn(&mut Risk), command: Command) -> Verdict {
    let mut risk = ready(limits);
    prepare(&mut risk);
    let asked = risk.check(&command);
    let verdict = risk.submit(&command);
    assert_eq!(asked, verdict);
    verdict
}

/// As a new order, and as an amend of a small order that stands.
fn both_ways(
    limits: &RiskLimits,
    prepare: &dyn Fn(&mut Risk),
    side: Side,
    px: i64,
    qty: i64,
) -> [(&'static str, Verdict); 2] {
    let standing = |risk: &mut Risk| {
        prepare(risk);
        assert!(risk.submit(&new(100, side, 1_000, 1, 1)).is_ok());
    };
    [
        ("order", submit(limits, prepare, new(200, side, px, qty, 2))),
        ("amend", submit(limits, standing, replace(200, 100, side, px, qty, 2))),
    ]
}

fn quantity(cases: &mut Vec<Case>) {
    let mut tight = limits();
    tight.instruments[0].max_order_qty = Qty(50);
    for side in SIDES {
        for qty in [49, 50, 51] {
            for (way, verdict) in both_ways(&tight, &|_| {}, side, 1_000, qty) {
                cases.push(Case {
                    name: format!("{way} {side:?} {qty} lots"),
                    control: "C4",
                    refused: qty > 50,
                    verdict,
                });
            }
        }
    }
}

fn value(cases: &mut Vec<Case>) {
    let mut tight = limits();
    for (delta, refused) in [(-1, true), (0, false), (1, false)] {
        tight.instruments[0].max_order_value = Money(Money::from_whole(50_000).0 + delta);
        for side in SIDES {
            for (way, verdict) in both_ways(&tight, &|_| {}, side, 1_000, 50) {
                cases.push(Case {
                    name: format!("{way} {side:?} value limit {delta:+}"),
                    control: "C5",
                    refused,
                    verdict,
                });
            }
        }
        // A market order is valued at the edge of its collar: 1000 ± 500.
        for (side, edge) in [(Side::Buy, 1_500), (Side::Sell, 500)] {
            tight.instruments[0].max_order_value = Money(Money::from_whole(10 * edge).0 + delta);
            let market = Command { ord_type: OrdType::Market as u8, ..new(200, side, 0, 10, 2) };
            let verdict = submit(&tight, |_| {}, market);
            cases.push(Case { name: format!("market {side:?} {delta:+}"), control: "C5", refused, verdict });
        }
    }
}

fn collar(cases: &mut Vec<Case>) {
    for (collar, edge) in [(Collar::Ticks(20), 20), (Collar::Bps(200), 20)] {
        let mut tight = limits();
        tight.instruments[0].collar = Some(collar);
        for side in SIDES {
            for away in [edge - 1, edge, edge + 1] {
                for px in [1_000 - away, 1_000 + away] {
                    for (way, verdict) in both_ways(&tight, &|_| {}, side, px, 2) {
                        let name = format!("{way} {side:?} at {px} within {collar:?}");
                        cases.push(Case { name, control: "C6", refused: away > edge, verdict });
                    }
                }
            }
        }
    }
    // The middle of 999/1002 is 1000.5: whole ticks on either side of a half.
    let mut tight = limits();
    tight.instruments[0].collar = Some(Collar::Ticks(3));
    for (px, refused) in [(997, true), (998, false), (1_003, false), (1_004, true)] {
        let half = |risk: &mut Risk| risk.mark(X, Price(999), Price(1_002), TimeNs(0));
        let verdict = submit(&tight, half, new(200, Side::Buy, px, 1, 2));
        cases.push(Case { name: format!("{px} around 1000.5"), control: "C6", refused, verdict });
    }
    let mut tight = limits();
    tight.instruments[0].reference_max_age = DurationNs(100);
    for age in [99, 100, 101] {
        let verdict = submit(&tight, |_| {}, new(200, Side::Buy, 1_000, 1, age));
        cases.push(Case { name: format!("reference {age} ns old"), control: "C6", refused: age > 100, verdict });
    }
}

type ScopeOf = fn(&mut RiskLimits) -> &mut ScopeLimits;
const SCOPES: [(&str, ScopeOf); 3] = [
    ("firm", |l| &mut l.firm),
    ("account", |l| &mut l.accounts[0].scope),
    ("strategy", |l| &mut l.strategies[0].scope),
];

fn exposure(cases: &mut Vec<Case>) {
    // A buy of 10 at 990 stands; an order of each side is judged beside it.
    let standing = |risk: &mut Risk| assert!(risk.submit(&new(50, Side::Buy, 990, 10, 0)).is_ok());
    for (scope, of) in SCOPES {
        for max in [1, 2, 3] {
            let mut tight = limits();
            of(&mut tight).max_open_orders = max;
            for side in SIDES {
                let verdict = submit(&tight, standing, new(200, side, 1_000, 1, 2));
                let name = format!("{scope} second {side:?} of {max} orders");
                cases.push(Case { name, control: "C11", refused: max < 2, verdict });
            }
        }
        for (delta, refused) in [(-1, true), (0, false), (1, false)] {
            for (side, qty, gross, net) in [(Side::Buy, 5, 14_900, 14_900), (Side::Sell, 25, 34_900, 15_100)] {
                let mut tight = limits();
                of(&mut tight).max_gross_value = Money(Money::from_whole(gross).0 + delta);
                let verdict = submit(&tight, standing, new(200, side, 1_000, qty, 2));
                cases.push(Case {
                    name: format!("{scope} gross {side:?} {delta:+}"),
                    control: "C11",
                    refused,
                    verdict,
                });
                let mut tight = limits();
                of(&mut tight).max_net_value = Money(Money::from_whole(net).0 + delta);
                let verdict = submit(&tight, standing, new(200, side, 1_000, qty, 2));
                cases.push(Case { name: format!("{scope} net {side:?} {delta:+}"), control: "C11", refused, verdict });
            }
        }
    }
}

fn position(cases: &mut Vec<Case>) {
    let held = |risk: &mut Risk| {
        risk.fill(&fill(900, Side::Buy, 1_000, 5, 0));
        assert!(risk.submit(&new(50, Side::Buy, 990, 7, 0)).is_ok());
        assert!(risk.submit(&new(51, Side::Sell, 1_010, 3, 0)).is_ok());
    };
    for account in [false, true] {
        // Long worst case: 5 + 7 + 8 = 20; short: −5 + 3 + 22 = 20. The amend's standing lot is inside its quantity.
        for (side, qty) in [(Side::Buy, 8), (Side::Sell, 22)] {
            for max in [19, 20, 21] {
                let mut tight = limits();
                let cells = if account { &mut tight.accounts[0].positions } else { &mut tight.strategies[0].positions };
                cells[0] = PositionLimits::both(max);
                for (way, verdict) in both_ways(&tight, &held, side, 1_000, qty) {
                    let name = format!("{way} {side:?} worst case 20 of {max}, account {account}");
                    cases.push(Case { name, control: "C12", refused: max < 20, verdict });
                }
            }
        }
    }
}

fn duplicates(cases: &mut Vec<Case>) {
    let mut tight = limits();
    tight.strategies[0].duplicate_window = Some(DurationNs(100));
    let standing = |risk: &mut Risk| assert!(risk.submit(&new(50, Side::Buy, 990, 10, 10)).is_ok());
    for age in [0, 99, 100, 101] {
        let ts = 10 + age;
        for (what, like, command) in [
            ("equal", true, new(200, Side::Buy, 990, 10, ts)),
            ("other price", false, new(200, Side::Buy, 991, 10, ts)),
            ("other quantity", false, new(200, Side::Buy, 990, 11, ts)),
            ("other side", false, new(200, Side::Sell, 1_010, 10, ts)),
            ("other instrument", false, Command { instrument: InstrumentId(1), ..new(200, Side::Buy, 990, 10, ts) }),
            ("other strategy", false, Command { strategy: StrategyId(1), ..new(200, Side::Buy, 990, 10, ts) }),
        ] {
            let verdict = submit(&tight, standing, command);
            cases.push(Case {
                name: format!("{what} after {age}"),
                control: "C10",
                refused: like && age <= 100,
                verdict,
            });
        }
    }
    for (counter, refused) in [(49, true), (50, true), (51, false)] {
        let verdict = submit(&tight, standing, new(counter, Side::Buy, 980, 1, 500));
        cases.push(Case { name: format!("id {counter} after 50"), control: "C10", refused, verdict });
        let verdict = submit(&tight, standing, replace(counter, 50, Side::Buy, 980, 1, 500));
        cases.push(Case { name: format!("amend id {counter} after 50"), control: "C10", refused, verdict });
        let verdict = submit(&tight, standing, cancel(counter, 50, 500));
        cases.push(Case { name: format!("cancel id {counter} after 50"), control: "C10", refused, verdict });
    }
}

fn rates(cases: &mut Vec<Case>) {
    for (scope, of) in SCOPES {
        for (window, span) in crate::rate::SPANS_NS.into_iter().enumerate() {
            for (sent, edge) in [(2, -1), (2, 0), (3, -1), (3, 0)] {
                let mut tight = limits();
                of(&mut tight).rates.orders[window] = 3;
                of(&mut tight).rates.cancels[window] = 3;
                let orders = |risk: &mut Risk| {
                    for at in 0..sent {
                        assert!(risk.submit(&new(50 + at, Side::Buy, 990, 10 + at as i64, 0)).is_ok());
                    }
                };
                let cancels = |risk: &mut Risk| {
                    for at in 0..sent {
                        assert!(risk.submit(&cancel(50 + at, 1, 0)).is_ok());
                    }
                };
                let refused = sent == 3 && edge < 0;
                let (ts, name) =
                    (span + edge, format!("{scope} message {} of 3 in window {window} {edge:+} ns", sent + 1));
                let verdict = submit(&tight, orders, new(200, Side::Buy, 980, 1, ts));
                cases.push(Case { name: format!("order: {name}"), control: "C8", refused, verdict });
                let verdict = submit(&tight, cancels, cancel(200, 1, ts));
                cases.push(Case { name: format!("cancel: {name}"), control: "C8", refused, verdict });
                let verdict = submit(&tight, orders, cancel(200, 1, ts));
                cases.push(Case {
                    name: format!("cancel beside orders: {name}"),
                    control: "C8",
                    refused: false,
                    verdict,
                });
            }
        }
    }
}

fn self_trade(cases: &mut Vec<Case>) {
    let resting = |risk: &mut Risk| {
        let other = |command| Command { strategy: StrategyId(1), ..command };
        assert!(risk.submit(&other(new(50, Side::Buy, 990, 10, 0))).is_ok());
        assert!(risk.submit(&other(new(51, Side::Sell, 1_010, 10, 0))).is_ok());
    };
    for (side, own, toward) in [(Side::Buy, 1_010, 1), (Side::Sell, 990, -1)] {
        for beyond in [-1, 0, 1] {
            for (way, verdict) in both_ways(&limits(), &resting, side, own + toward * beyond, 2) {
                let name = format!("{way} {side:?} {beyond:+} from own");
                cases.push(Case { name, control: "C15", refused: beyond >= 0, verdict });
            }
        }
    }
}

fn form(cases: &mut Vec<Case>) {
    let good = new(200, Side::Buy, 1_000, 1, 2);
    for (name, command, refused) in [
        ("quantity 0", Command { order_qty: Qty(0), ..good }, true),
        ("quantity −1", Command { order_qty: Qty(-1), ..good }, true),
        ("quantity 1", good, false),
        ("quantity beyond counting", Command { order_qty: Qty((1 << 52) + 1), ..good }, true),
        ("price 0", Command { px: Price(0), ..good }, true),
        ("price −1", Command { px: Price(-1), ..good }, true),
        ("least price", Command { px: Price(i64::MIN), ..good }, true),
        ("value past 64 bits", Command { px: Price(1 << 40), order_qty: Qty(1 << 40), ..good }, true),
        ("side 0", Command { side: 0, ..good }, true),
        ("side 3", Command { side: 3, ..good }, true),
        ("time in force 0", Command { tif: 0, ..good }, true),
        ("type 0", Command { ord_type: 0, ..good }, true),
        ("instrument 7", Command { instrument: InstrumentId(7), ..good }, true),
        ("kind 0", Command { kind: 0, ..good }, true),
        ("amend of nothing", replace(200, 77, Side::Buy, 1_000, 1, 2), true),
    ] {
        let verdict = submit(&limits(), |_| {}, command);
        cases.push(Case { name: name.into(), control: "C3", refused, verdict });
    }
    // An amend must be of the order's own side, and of more than has filled.
    let part_filled = |risk: &mut Risk| {
        assert!(risk.submit(&new(50, Side::Buy, 1_000, 10, 0)).is_ok());
        risk.fill(&fill(50, Side::Buy, 1_000, 4, 1));
    };
    for (side, qty, refused) in
        [(Side::Buy, 3, true), (Side::Buy, 4, true), (Side::Buy, 5, false), (Side::Sell, 5, true)]
    {
        let verdict = submit(&limits(), part_filled, replace(200, 50, side, 1_000, qty, 2));
        cases.push(Case { name: format!("amend to {side:?} {qty} after 4"), control: "C3", refused, verdict });
    }
    for (name, strategy, account) in [
        ("strategy", StrategyId(2), ACCOUNT),
        ("strategy far", StrategyId(500), ACCOUNT),
        ("account", StrategyId(0), AccountId(1)),
        ("account far", StrategyId(0), AccountId(999)),
    ] {
        let verdict = submit(&limits(), |_| {}, Command { strategy, account, ..good });
        cases.push(Case { name: name.into(), control: "C1", refused: true, verdict });
    }
}

#[test]
fn every_control_decides_right_at_its_limit() {
    let mut cases = Vec::new();
    for run in [quantity, value, collar, exposure, position, duplicates, rates, self_trade, form] {
        run(&mut cases);
    }
    let wrong: Vec<_> = cases
        .iter()
        .filter(|case| refused_by(case.verdict) != case.refused.then_some(case.control))
        .map(|case| format!("{} {}: {:?}", case.control, case.name, case.verdict))
        .collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    println!("{} decisions at the edges of limits, all right", cases.len());
    assert!(cases.len() >= 300, "{}", cases.len());
}
