use crate::{Decimal, InstrumentId, Money, Price, Qty, Side};

/// What a contract is, which decides how value and profit are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstrumentKind {
    Spot,
    /// Settles in the quote currency: value = qty · multiplier · price.
    LinearPerp,
    /// Settles in the base currency: value = qty · multiplier / price, where the multiplier is in quote currency.
    InversePerp,
}

/// When an instrument trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Calendar {
    /// Every hour of every day; the trading day turns at 00:00 UTC.
    Always,
}

/// Fees as parts per 10^8 of the traded value; negative is a rebate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FeeRates {
    pub maker_e8: i64,
    pub taker_e8: i64,
}

/// One row of the instrument master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    pub id: InstrumentId,
    /// The venue's symbol, such as `BTCUSDT`.
    pub symbol: String,
    pub kind: InstrumentKind,
    pub base: String,
    pub quote: String,
    pub settle: String,
    pub price_step: Decimal,
    pub lot: Decimal,
    pub multiplier: Decimal,
    /// Smallest order, in lots.
    pub min_qty: Qty,
    /// Smallest order value, in the settlement currency.
    pub min_notional: Money,
    pub fees: FeeRates,
    pub calendar: Calendar,
}

/// The master of a run: dense by `InstrumentId`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instruments(pub Vec<Instrument>);

impl Instruments {
    #[inline]
    pub fn get(&self, id: InstrumentId) -> Option<&Instrument> {
        self.0.get(id.idx())
    }

    pub fn by_symbol(&self, symbol: &str) -> Option<&Instrument> {
        self.0.iter().find(|i| i.symbol == symbol)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A value within this share of a step of a step is that step: f64 arithmetic on prices leaves far less noise.
const SNAP: f64 = 1e-6;
const MAX_EXACT: f64 = 9_007_199_254_740_992.0; // 2^53

impl Instrument {
    /// Steps as an `f64` price, correctly rounded.
    #[inline]
    pub fn price_f64(&self, price: Price) -> f64 {
        self.price_step.f64_of(price.0)
    }

    #[inline]
    pub fn qty_f64(&self, qty: Qty) -> f64 {
        self.lot.f64_of(qty.0)
    }

    /// An `f64` price as steps: snapped within 1e-6 of a step, else to the passive side (floor for a buy, ceil for a sell).
    /// `None` for NaN, infinity and anything past ±2^53 steps.
    #[inline]
    pub fn price_of(&self, x: f64, side: Side) -> Option<Price> {
        passive(self.price_step.count_f64(x), side)
    }

    /// An `f64` quantity as lots, toward zero, never up. `None` as for `price_of`.
    #[inline]
    pub fn qty_of(&self, x: f64) -> Option<Qty> {
        toward_zero(self.lot.count_f64(x))
    }

    /// Value of `qty` at `price` in the settlement currency; the sign follows `qty`. Rounded half to even to 10^-12.
    /// `None` for an inverse contract at price 0.
    #[inline]
    pub fn notional(&self, price: Price, qty: Qty) -> Option<Money> {
        match self.kind {
            InstrumentKind::Spot | InstrumentKind::LinearPerp => Some(self.linear(price.0, qty)),
            InstrumentKind::InversePerp => self.inverse(price, qty),
        }
    }

    /// Profit of holding `qty` (signed) from `entry` to `exit`, before fees, in the settlement currency.
    /// `None` for an inverse contract at price 0.
    #[inline]
    pub fn pnl(&self, qty: Qty, entry: Price, exit: Price) -> Option<Money> {
        match self.kind {
            InstrumentKind::Spot | InstrumentKind::LinearPerp => Some(self.linear(exit.0 - entry.0, qty)),
            InstrumentKind::InversePerp => Some(self.inverse(entry, qty)? - self.inverse(exit, qty)?),
        }
    }

    /// Fee of one fill: rate · |value|, rounded half to even; negative is a rebate.
    #[inline]
    pub fn fee(&self, price: Price, qty: Qty, maker: bool) -> Option<Money> {
        let value = self.notional(price, Qty(qty.0.abs()))?;
        let rate_e8 = if maker { self.fees.maker_e8 } else { self.fees.taker_e8 };
        Some(Money(Money::div_half_even(value.0.abs() * i128::from(rate_e8), 100_000_000)))
    }

    /// steps · lots · (step · lot · multiplier), exact unless the product has more than 12 digits after the point.
    fn linear(&self, steps: i64, qty: Qty) -> Money {
        let unit =
            i128::from(self.price_step.mantissa) * i128::from(self.lot.mantissa) * i128::from(self.multiplier.mantissa);
        let scale = self.price_step.scale + self.lot.scale + self.multiplier.scale;
        let product = i128::from(steps) * i128::from(qty.0) * unit;
        Money(match scale {
            0..=12 => product * pow10(12 - scale),
            _ => Money::div_half_even(product, pow10(scale - 12)),
        })
    }

    fn inverse(&self, price: Price, qty: Qty) -> Option<Money> {
        if price.0 == 0 {
            return None;
        }
        let face = i128::from(qty.0) * i128::from(self.lot.mantissa) * i128::from(self.multiplier.mantissa);
        let down = self.lot.scale + self.multiplier.scale;
        let numerator = face * pow10(12) * pow10(self.price_step.scale);
        let denominator = i128::from(price.0) * i128::from(self.price_step.mantissa) * pow10(down);
        Some(Money(Money::div_half_even(numerator, denominator)))
    }
}

/// Powers by table: a loop of 128-bit multiplications stood out in the profile of an instant.
fn pow10(exponent: u8) -> i128 {
    const TABLE: [i128; 39] = {
        let mut table = [1i128; 39];
        let mut at = 1;
        while at < 39 {
            table[at] = table[at - 1] * 10;
            at += 1;
        }
        table
    };
    match TABLE.get(usize::from(exponent)) {
        Some(power) => *power,
        None => 10i128.pow(u32::from(exponent)),
    }
}

/// The number itself, cut to a whole one, and the nearest whole one (halves away from zero); `None` past `MAX_EXACT`, where
/// steps are no longer exact. Without `f64::round` and its like, which are calls on the baseline processor.
#[inline]
fn rounded(x: f64) -> Option<(f64, i64, i64)> {
    // The comparison is false for NaN, so NaN is refused too.
    if x.abs() <= MAX_EXACT {
        let whole = x as i64;
        let part = x - whole as f64;
        Some((x, whole, whole + i64::from(part >= 0.5) - i64::from(part <= -0.5)))
    } else {
        None
    }
}

/// Added to a number below 2^51 and taken away again, it leaves the nearest whole one (halves to even), whose bits stand in
/// the low part of the sum: 1.5 · 2^52. Without the saturation that a cast pays for.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
const ROUNDER_MAX: f64 = 2_251_799_813_685_248.0; // 2^51

/// A whole number near `x` and how far `x` is from it, at most one half; `None` past `ROUNDER_MAX` and for NaN.
#[inline]
fn near(x: f64) -> Option<(i64, f64)> {
    if x.abs() < ROUNDER_MAX {
        let sum = x + ROUNDER;
        Some((sum.to_bits().wrapping_sub(ROUNDER.to_bits()) as i64, x - (sum - ROUNDER)))
    } else {
        None
    }
}

/// A number of steps as a price: a whole one if it is near, else the one on the passive side.
#[inline]
pub(crate) fn passive(steps: f64, side: Side) -> Option<Price> {
    let Some((nearest, part)) = near(steps) else { return far_passive(steps, side) };
    Some(Price(if part.abs() <= SNAP {
        nearest
    } else if side == Side::Buy {
        nearest - i64::from(part < 0.0)
    } else {
        nearest + i64::from(part > 0.0)
    }))
}

#[cold]
fn far_passive(steps: f64, side: Side) -> Option<Price> {
    let (steps, whole, nearest) = rounded(steps)?;
    let part = steps - whole as f64;
    Some(Price(if (steps - nearest as f64).abs() <= SNAP {
        nearest
    } else if side == Side::Buy {
        whole - i64::from(part < 0.0)
    } else {
        whole + i64::from(part > 0.0)
    }))
}

/// A number of lots as a quantity: a whole one if it is near, else the one toward zero.
#[inline]
pub(crate) fn toward_zero(lots: f64) -> Option<Qty> {
    let Some((nearest, part)) = near(lots) else { return far_toward_zero(lots) };
    Some(Qty(if part.abs() <= SNAP {
        nearest
    } else if lots > 0.0 {
        nearest - i64::from(part < 0.0)
    } else {
        nearest + i64::from(part > 0.0)
    }))
}

#[cold]
fn far_toward_zero(lots: f64) -> Option<Qty> {
    let (lots, whole, nearest) = rounded(lots)?;
    Some(Qty(if (lots - nearest as f64).abs() <= SNAP { nearest } else { whole }))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn btcusdt() -> Instrument {
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
            fees: FeeRates { maker_e8: 20_000, taker_e8: 50_000 },
            calendar: Calendar::Always,
        }
    }

    #[test]
    fn steps_to_f64_to_steps_is_the_identity_on_both_sides() {
        for (mantissa, scale) in [(1, 1), (1, 2), (5, 2), (25, 2), (1, 0), (5, 0), (1, 8), (3, 3)] {
            let instrument = Instrument { price_step: Decimal { mantissa, scale }, ..btcusdt() };
            for steps in (0..2_000_000).step_by(37).chain([-5, -1, 618_002, 999_999_999]) {
                let x = instrument.price_f64(Price(steps));
                assert_eq!(instrument.price_of(x, Side::Buy), Some(Price(steps)), "step {mantissa}e-{scale}");
                assert_eq!(instrument.price_of(x, Side::Sell), Some(Price(steps)), "step {mantissa}e-{scale}");
            }
        }
    }

    #[test]
    fn rounding_by_hand_is_the_library_s() {
        let mut x = 0x1234_5678_9abc_def1u64;
        for round in 0..200_000u32 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let value = match round % 5 {
                0 => f64::from_bits(x),
                // Halves and quarters up to 2^51, on either side of where the rounder ends.
                4 => ((x >> (11 + x % 8)) as f64 / 4.0).copysign(x as i64 as f64),
                1 => (x >> 40) as f64 / 8.0 - 500_000.0,
                2 => ((x >> 11) as f64).copysign(x as i64 as f64),
                _ => (x >> 44) as f64 + f64::from(round % 7) * 0.25 * 1e-6 * if x & 1 == 0 { 1.0 } else { -1.0 },
            };
            let want = (value.abs() <= MAX_EXACT).then(|| (value, value.trunc() as i64, value.round() as i64));
            assert_eq!(rounded(value), want, "{value:?}");
            let instrument = Instrument { price_step: Decimal::ONE, ..btcusdt() };
            let snapped = (value - value.round()).abs() <= SNAP;
            let sides = [(Side::Buy, value.floor()), (Side::Sell, value.ceil())];
            for (side, passive) in sides.into_iter().filter(|_| value.abs() < MAX_EXACT) {
                let want = if snapped { value.round() } else { passive };
                assert_eq!(instrument.price_of(value, side), Some(Price(want as i64)), "{value:?}");
            }
            let instrument = Instrument { lot: Decimal::ONE, ..btcusdt() };
            let lots = if snapped { value.round() } else { value.trunc() };
            let want = (value.abs() <= MAX_EXACT).then_some(Qty(lots as i64));
            assert_eq!(instrument.qty_of(value), want, "{value:?}");
        }
    }

    #[test]
    fn prices_off_the_step_go_to_the_passive_side() {
        let x = btcusdt();
        assert_eq!(x.price_of(61_800.27, Side::Buy), Some(Price(618_002)));
        assert_eq!(x.price_of(61_800.21, Side::Sell), Some(Price(618_003)));
        assert_eq!(x.price_of(f64::NAN, Side::Sell), None);
        assert_eq!(x.price_of(1e300, Side::Buy), None);
        assert_eq!(x.qty_of(0.0129), Some(Qty(12)));
        assert_eq!(x.qty_of(-0.0129), Some(Qty(-12)));
    }

    #[test]
    fn linear_money_is_exact() {
        let x = btcusdt();
        assert_eq!(x.notional(Price(618_002), Qty(10)), Some(Money(618_002_000_000_000)));
        assert_eq!(x.pnl(Qty(-10), Price(618_002), Price(618_000)), Some(Money(2_000_000_000)));
        assert_eq!(x.fee(Price(618_002), Qty(10), true), Some(Money(123_600_400_000)));
    }

    /// Exact rational: 100 USD · 10 contracts · (1/61773.6 − 1/61800.0) BTC.
    #[test]
    fn inverse_money_rounds_the_exact_rational() {
        let x = Instrument {
            kind: InstrumentKind::InversePerp,
            lot: Decimal::ONE,
            multiplier: Decimal { mantissa: 100, scale: 0 },
            settle: "BTC".into(),
            ..btcusdt()
        };
        let at = |price: i128| Money::div_half_even(1_000 * Money::SCALE * 10, price);
        let want = at(617_736) - at(618_000);
        assert_eq!(x.pnl(Qty(10), Price(617_736), Price(618_000)), Some(Money(want)));
        assert_eq!(x.notional(Price(0), Qty(1)), None);
    }
}
