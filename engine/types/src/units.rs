use crate::decimal::POW10;
use crate::instrument::passive;
use crate::{Decimal, Instrument, InstrumentKind, Money, Price, Qty, Side};

/// The units of one instrument, ready for the hot path: powers of ten looked up and factors multiplied once. Each function
/// gives exactly what the function of [`Instrument`] of that name gives.
#[derive(Clone, Debug)]
pub struct Units {
    step: Ratio,
    lot: Ratio,
    /// Least quantity of an order, at least 1.
    min_qty: Qty,
    value: Value,
}

/// One decimal in the forms that conversions take.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    mantissa: i64,
    /// The same, and the power of ten that it is divided by.
    divisor: f64,
    power: f64,
}

/// How price and quantity become money.
#[derive(Clone, Debug)]
enum Value {
    /// 10^-12 of the currency per step·lot, above 0: one multiplication, exact. `least` steps·lots are worth the smallest
    /// order value, one less is not.
    Linear { unit: i64, least: u64 },
    /// By the instrument's own function: inverse contracts, and linear ones with more than 12 digits.
    Other(Box<Instrument>),
}

impl Ratio {
    fn of(decimal: Decimal) -> Self {
        let Decimal { mantissa, scale } = decimal;
        Self { mantissa, divisor: mantissa as f64, power: POW10[usize::from(scale)] as f64 }
    }

    #[inline]
    fn f64_of(self, count: i64) -> f64 {
        count.wrapping_mul(self.mantissa) as f64 / self.power
    }

    #[inline]
    fn count_f64(self, x: f64) -> f64 {
        x * self.power / self.divisor
    }
}

impl Value {
    fn of(instrument: &Instrument) -> Self {
        let other = || Self::Other(Box::new(instrument.clone()));
        let Instrument { price_step, lot, multiplier, .. } = instrument;
        let linear = matches!(instrument.kind, InstrumentKind::Spot | InstrumentKind::LinearPerp);
        if !linear || price_step.scale + lot.scale + multiplier.scale > 12 {
            return other();
        }
        let Some(unit) = instrument.notional(Price(1), Qty(1)).filter(|unit| unit.0 > 0) else { return other() };
        let least = (instrument.min_notional.0.max(0) + unit.0 - 1) / unit.0;
        match (i64::try_from(unit.0), u64::try_from(least)) {
            (Ok(unit), Ok(least)) => Self::Linear { unit, least },
            _ => other(),
        }
    }
}

impl Units {
    pub fn of(instrument: &Instrument) -> Self {
        let (step, lot) = (Ratio::of(instrument.price_step), Ratio::of(instrument.lot));
        Self { step, lot, min_qty: instrument.min_qty.max(Qty(1)), value: Value::of(instrument) }
    }

    #[inline]
    pub fn price_f64(&self, price: Price) -> f64 {
        self.step.f64_of(price.0)
    }

    #[inline]
    pub fn qty_f64(&self, qty: Qty) -> f64 {
        self.lot.f64_of(qty.0)
    }

    #[inline]
    pub fn price_of(&self, x: f64, side: Side) -> Option<Price> {
        passive(self.step.count_f64(x), side)
    }

    #[inline]
    pub fn qty_of(&self, x: f64) -> Option<Qty> {
        crate::instrument::toward_zero(self.lot.count_f64(x))
    }

    #[inline]
    pub fn notional(&self, price: Price, qty: Qty) -> Option<Money> {
        match &self.value {
            Value::Linear { unit, .. } => Some(Money(i128::from(price.0) * i128::from(qty.0) * i128::from(*unit))),
            Value::Other(instrument) => instrument.notional(price, qty),
        }
    }

    /// Whether a quantity can be an order at all: above 0 and not below the instrument's minimum quantity and value.
    #[inline]
    pub fn is_tradable(&self, price: Price, qty: Qty) -> bool {
        qty >= self.min_qty
            && match &self.value {
                // What passes 64 bits is above any minimum.
                Value::Linear { least, .. } => {
                    price.0.checked_mul(qty.0).is_none_or(|product| product.unsigned_abs() >= *least)
                }
                Value::Other(instrument) => {
                    let value = instrument.notional(price, qty);
                    value.is_some_and(|value| value.0.abs() >= instrument.min_notional.0)
                }
            }
    }
}

/// What the newest `f64` of one place came to: parameters and bounds stay the same from instant to instant, and their
/// conversion is not repeated while they do.
#[derive(Clone, Copy, Debug)]
pub struct Memo<T> {
    bits: u64,
    value: T,
}

impl<T: Copy> Memo<T> {
    /// `absent` is what NaN comes to.
    pub const fn new(absent: T) -> Self {
        Self { bits: f64::NAN.to_bits(), value: absent }
    }

    /// `convert(x)`, a pure function, always the same one.
    #[inline]
    pub fn get(&mut self, x: f64, convert: impl FnOnce(f64) -> T) -> T {
        if self.bits != x.to_bits() {
            (self.bits, self.value) = (x.to_bits(), convert(x));
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Calendar, FeeRates, InstrumentId};

    #[test]
    fn units_are_the_instrument_s_own() {
        let mut x = 0x1234_5678_9abc_def1u64;
        let mut random = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        let decimals =
            [(1, 1), (1, 0), (25, 2), (1, 8), (5, 3), (1, 12)].map(|(mantissa, scale)| Decimal { mantissa, scale });
        let mut linear = 0;
        for round in 0..20_000u32 {
            let kinds = [InstrumentKind::Spot, InstrumentKind::LinearPerp, InstrumentKind::InversePerp];
            let instrument = Instrument {
                id: InstrumentId(0),
                symbol: "X".into(),
                kind: kinds[random() as usize % 3],
                base: "X".into(),
                quote: "Y".into(),
                settle: "Y".into(),
                price_step: decimals[random() as usize % 6],
                lot: decimals[random() as usize % 6],
                multiplier: [Decimal::ONE, Decimal { mantissa: 100, scale: 0 }][random() as usize % 2],
                min_qty: Qty((random() % 3) as i64),
                min_notional: Money(i128::from(random() >> (random() % 64))),
                fees: FeeRates::default(),
                calendar: Calendar::Always,
            };
            let units = Units::of(&instrument);
            linear += u32::from(matches!(units.value, Value::Linear { .. }));
            for _ in 0..20 {
                let sign = [1, -1][random() as usize % 2];
                let price = Price((random() >> (30 + random() % 32)) as i64 * sign);
                let qty = Qty((random() >> (30 + random() % 32)) as i64 * [1, -1][random() as usize % 8 / 7]);
                let by_own = qty.0 > 0
                    && qty >= instrument.min_qty
                    && instrument.notional(price, qty).is_some_and(|v| v.0.abs() >= instrument.min_notional.0);
                assert_eq!(units.is_tradable(price, qty), by_own, "{instrument:?} {price:?} {qty:?}");
                assert_eq!(units.notional(price, qty), instrument.notional(price, qty));
                let value = match round % 3 {
                    0 => f64::from_bits(random()),
                    1 => instrument.price_f64(price) + (random() % 3) as f64 * 1e-7,
                    _ => instrument.qty_f64(qty),
                };
                for side in [Side::Buy, Side::Sell] {
                    assert_eq!(
                        units.price_of(value, side),
                        instrument.price_of(value, side),
                        "{instrument:?} {value:?}"
                    );
                }
                assert_eq!(units.qty_of(value), instrument.qty_of(value), "{instrument:?} {value:?}");
                assert_eq!(units.price_f64(price).to_bits(), instrument.price_f64(price).to_bits());
                assert_eq!(units.qty_f64(qty).to_bits(), instrument.qty_f64(qty).to_bits());
            }
        }
        assert!(linear > 2_000, "the short way was taken {linear} times");
    }

    #[test]
    fn a_memo_converts_again_only_what_changed() {
        let mut memo = Memo::new(None);
        let mut conversions = 0;
        for x in [f64::NAN, 1.5, 1.5, 2.0, f64::NAN, f64::NAN, 0.0, -0.0] {
            let got = memo.get(x, |x| {
                conversions += 1;
                (!x.is_nan()).then_some(x)
            });
            assert_eq!(got.map(f64::to_bits), (!x.is_nan()).then_some(x.to_bits()));
        }
        assert_eq!(conversions, 5);
    }
}
