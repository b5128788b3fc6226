use tercel_types::{Instrument, InstrumentKind, Money, Price, Qty};

/// Above every limit, and far from the end of its range.
pub(crate) const VALUE_MAX: i128 = i128::MAX / 4;

/// How price and quantity of one instrument become money.
#[derive(Clone, Debug)]
pub(crate) enum Valuer {
    /// 10^-12 of the currency per step·lot: one multiplication, exact.
    Linear(i64),
    /// By the instrument's own function: inverse contracts, and linear ones with more than 12 digits.
    Other(Box<Instrument>),
}

impl Valuer {
    pub(crate) fn of(instrument: &Instrument) -> Self {
        let linear = matches!(instrument.kind, InstrumentKind::LinearPerp | InstrumentKind::Spot);
        let scale = instrument.price_step.scale + instrument.lot.scale + instrument.multiplier.scale;
        let unit = instrument.notional(Price(1), Qty(1)).and_then(|unit| i64::try_from(unit.0).ok());
        match unit {
            Some(unit) if linear && scale <= 12 => Self::Linear(unit),
            _ => Self::Other(Box::new(instrument.clone())),
        }
    }

    /// |value| of an order; `None` when it has no meaning or `px · qty` passes 64 bits.
    #[inline]
    pub(crate) fn order(&self, px: Price, qty: Qty) -> Option<i128> {
        let product = px.0.checked_mul(qty.0)?;
        match self {
            Self::Linear(unit) => Some(i128::from(product.saturating_abs()) * i128::from(*unit)),
            Self::Other(instrument) => instrument.notional(px, qty).map(|value| value.0.abs()),
        }
    }

    /// The same for a price and a quantity above 0.
    #[inline(always)]
    pub(crate) fn positive(&self, px: Price, qty: Qty) -> Option<i128> {
        match self {
            Self::Linear(unit) => Some(i128::from(px.0.checked_mul(qty.0)?) * i128::from(*unit)),
            Self::Other(_) => self.order(px, qty),
        }
    }

    /// The larger of the |values| of two orders that differ in price, for what one order may become; an order without a
    /// meaning counts as more than any limit.
    #[inline]
    pub(crate) fn worse(&self, a: Price, b: Price, qty: Qty) -> i128 {
        let of = |px| self.order(px, qty).unwrap_or(VALUE_MAX);
        match self {
            // The dearer of two positive prices is the worse one: one multiplication.
            Self::Linear(_) if a.0 > 0 && b.0 > 0 => of(a.max(b)),
            _ if a == b => of(a),
            _ => of(a).max(of(b)),
        }
    }

    /// What a signed quantity is worth to its holder at `px`: profit is the difference of two of these. In an inverse
    /// contract a long loses what its value gains.
    #[inline]
    pub(crate) fn held(&self, px: Price, qty: Qty) -> i128 {
        match self {
            Self::Linear(unit) => i128::from(px.0) * i128::from(qty.0) * i128::from(*unit),
            Self::Other(instrument) => {
                let value = instrument.notional(px, qty).unwrap_or(Money::ZERO).0;
                if instrument.kind == InstrumentKind::InversePerp { -value } else { value }
            }
        }
    }
}
