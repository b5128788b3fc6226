use super::*;
use proptest::prelude::*;
use tercel_types::{Calendar, Decimal, FeeRates, InstrumentId};

pub(crate) fn linear() -> Instrument {
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
        min_notional: Money::ZERO,
        fees: FeeRates { maker_e8: 20_000, taker_e8: 50_000 },
        calendar: Calendar::Always,
    }
}

fn inverse() -> Instrument {
    Instrument {
        kind: InstrumentKind::InversePerp,
        lot: Decimal::ONE,
        multiplier: Decimal { mantissa: 100, scale: 0 },
        settle: "BTC".into(),
        ..linear()
    }
}

fn fill(side: Side, px: i64, qty: i64) -> Fill {
    Fill { side, px: Price(px), qty: Qty(qty), fee: Money::ZERO, maker: true }
}

fn after(instrument: &Instrument, fills: &[Fill]) -> Position {
    let mut position = Position::default();
    for fill in fills {
        assert!(position.apply(instrument, fill));
    }
    position
}

#[test]
fn average_cost_keeps_the_average_while_closing_and_starts_anew_when_reversing() {
    let x = linear();
    let long = [fill(Side::Buy, 600_000, 10), fill(Side::Buy, 600_100, 10)];
    let position = after(&x, &long);
    assert_eq!(position.avg_price(&x), Some(60_005.0));
    let part = after(&x, &[long[0], long[1], fill(Side::Sell, 600_200, 5)]);
    assert_eq!((part.qty, part.avg_price(&x)), (Qty(15), Some(60_005.0)));
    // 5 lots · 0.001 · 15.0 = 0.075.
    assert_eq!(part.realised, Money(75_000_000_000));
    let reversed = after(&x, &[long[0], long[1], fill(Side::Sell, 600_200, 5), fill(Side::Sell, 600_000, 25)]);
    assert_eq!((reversed.qty, reversed.avg_price(&x)), (Qty(-10), Some(60_000.0)));
    assert_eq!(reversed.realised, Money(0), "75 earned, 75 lost on the other 15");
    assert_eq!((reversed.bought, reversed.sold), (Qty(20), Qty(30)));
    let flat = after(&x, &[fill(Side::Sell, 600_000, 3), fill(Side::Buy, 599_000, 3)]);
    assert_eq!((flat.qty, flat.cost, flat.realised), (Qty(0), Money(0), Money(300_000_000_000)));
    assert_eq!(flat.avg_price(&x), None);
}

/// Exact rational: 100 USD · 10 contracts · (1/61773.6 − 1/61800.0) BTC, in either order of trades.
#[test]
fn inverse_profit_is_the_difference_of_reciprocals() {
    let x = inverse();
    let at = |px: i128| Money::div_half_even(1_000 * Money::SCALE * 10, px);
    let want = Money(at(617_736) - at(618_000));
    let long = after(&x, &[fill(Side::Buy, 617_736, 10), fill(Side::Sell, 618_000, 10)]);
    let short = after(&x, &[fill(Side::Sell, 617_736, 10), fill(Side::Buy, 618_000, 10)]);
    assert_eq!((long.realised, short.realised), (want, -want));
    let open = after(&x, &[fill(Side::Buy, 617_736, 10)]);
    assert_eq!(open.unrealised(&x, Price(618_000)), Some(want));
    assert_eq!(open.unrealised(&x, Price(0)), None);
    assert!((open.avg_price(&x).unwrap() - 61_773.6).abs() < 1e-5);
}

#[test]
fn a_share_does_not_overflow() {
    assert_eq!(share(i128::MAX / 8 * 2, 1_000_000, 2_000_000), i128::MAX / 8);
    assert_eq!(share(5, 1, 2), 2);
    assert_eq!(share(7, 1, 2), 4);
    assert_eq!(share(7, 2, 2), 7);
}

proptest! {
    /// Realised + unrealised equals the cash that flowed plus what the position is worth, exactly, whatever was rounded on
    /// the way; flat leaves no cost behind.
    #[test]
    fn profit_is_cash_plus_worth_prop(fills in prop::collection::vec((any::<bool>(), 500_000i64..700_000, 1i64..1_000), 1..60), mark in 500_000i64..700_000) {
        let x = linear();
        let (mut position, mut cash, mut qty) = (Position::default(), 0i128, 0i64);
        for (buy, px, lots) in fills {
            let side = if buy { Side::Buy } else { Side::Sell };
            position.apply(&x, &fill(side, px, lots));
            qty += side.sign() * lots;
            cash -= i128::from(side.sign()) * x.notional(Price(px), Qty(lots)).unwrap().0;
            prop_assert_eq!(position.qty.0, qty);
            prop_assert_eq!(position.bought.0 - position.sold.0, qty);
            let worth = x.notional(Price(mark), Qty(qty)).unwrap().0;
            prop_assert_eq!(position.net(&x, Price(mark)).unwrap().0, cash + worth);
            prop_assert!(qty != 0 || position.cost == Money::ZERO);
        }
    }
}
