use tercel_event::hash_words;
use tercel_types::{Instrument, InstrumentKind, Money, Price, Qty, Side};

/// One execution, as it counts for positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    pub side: Side,
    pub px: Price,
    pub qty: Qty,
    /// What it cost; negative is a rebate.
    pub fee: Money,
    /// We added liquidity.
    pub maker: bool,
}

/// A position of one owner in one instrument, by average cost.
///
/// `cost` is the value at which the open quantity was entered, as `Money`; nothing is ever divided while a position grows, so
/// the average price is the exact rational `cost / qty`. Closing a part takes the same share of `cost`, rounded half to even
/// to 10^-12; what rounding moves between realised and unrealised profit is never lost, their sum is exact, and a position
/// that goes flat leaves exactly nothing behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Signed, in lots.
    pub qty: Qty,
    /// Value of the open quantity at entry, never negative for positive prices; 0 when flat.
    pub cost: Money,
    /// Profit of what has been closed, before fees.
    pub realised: Money,
    pub fees: Money,
    /// Lots bought and sold in all.
    pub bought: Qty,
    pub sold: Qty,
    pub fills: u64,
}

impl Position {
    /// Counts one fill. Returns `false` (and counts nothing) when its value has no meaning: an inverse contract at price 0,
    /// or a sum past the range of 64 bits.
    pub fn apply(&mut self, instrument: &Instrument, fill: &Fill) -> bool {
        let signed = fill.side.sign() * fill.qty.0;
        let Some(after) = self.qty.0.checked_add(signed) else { return false };
        let opens = self.qty.0 == 0 || (self.qty.0 > 0) == (signed > 0);
        // The part of the fill that closes, and the part that opens, in lots.
        let closing = if opens { 0 } else { signed.unsigned_abs().min(self.qty.0.unsigned_abs()) as i64 };
        let opening = fill.qty.0 - closing;
        let (Some(closed_value), Some(opened_value)) =
            (instrument.notional(fill.px, Qty(closing)), instrument.notional(fill.px, Qty(opening)))
        else {
            return false;
        };
        if closing > 0 {
            let cost = share(self.cost.0, closing, self.qty.0.unsigned_abs() as i64);
            // A long in a linear contract gains when it sells above cost; in an inverse one value falls as the price rises.
            let gain = closed_value - Money(cost);
            let long = self.qty.0 > 0;
            let gains_by_value = long == (instrument.kind != InstrumentKind::InversePerp);
            self.realised += if gains_by_value { gain } else { -gain };
            self.cost -= Money(cost);
        }
        if opening > 0 {
            self.cost += opened_value;
        }
        self.qty = Qty(after);
        self.fees += fill.fee;
        match fill.side {
            Side::Buy => self.bought = Qty(self.bought.0.saturating_add(fill.qty.0)),
            Side::Sell => self.sold = Qty(self.sold.0.saturating_add(fill.qty.0)),
        }
        self.fills += 1;
        true
    }

    /// Profit of the open quantity at `mark`, before fees. `None` for an inverse contract at price 0.
    #[inline]
    pub fn unrealised(&self, instrument: &Instrument, mark: Price) -> Option<Money> {
        if self.qty.is_zero() {
            return Some(Money::ZERO);
        }
        let gain = instrument.notional(mark, Qty(self.qty.0.abs()))? - self.cost;
        let gains_by_value = (self.qty.0 > 0) == (instrument.kind != InstrumentKind::InversePerp);
        Some(if gains_by_value { gain } else { -gain })
    }

    /// Realised + unrealised − fees at `mark`.
    #[inline]
    pub fn net(&self, instrument: &Instrument, mark: Price) -> Option<Money> {
        Some(self.realised + self.unrealised(instrument, mark)? - self.fees)
    }

    /// Average entry price in quote units for strategies and people; `None` when flat. The exact rational, each half rounded
    /// once to `f64`, and one division.
    #[inline]
    pub fn avg_price(&self, instrument: &Instrument) -> Option<f64> {
        if self.qty.is_zero() || self.cost.0 == 0 {
            return None;
        }
        let (lot, multiplier) = (instrument.lot, instrument.multiplier);
        let size = i128::from(self.qty.0.abs()) * i128::from(lot.mantissa) * i128::from(multiplier.mantissa);
        // `cost` is in 10^-12, `size` in 10^-(scales); both are brought to the finer of the two.
        let digits = lot.scale + multiplier.scale;
        let cost = self.cost.0 * 10i128.pow(u32::from(digits.saturating_sub(12)));
        let size = size * 10i128.pow(u32::from(12u8.saturating_sub(digits)));
        Some(match instrument.kind {
            InstrumentKind::Spot | InstrumentKind::LinearPerp => cost as f64 / size as f64,
            InstrumentKind::InversePerp => size as f64 / cost as f64,
        })
    }

    /// Hash of all fields under `key`, for the additive digest.
    pub(crate) fn digest(&self, key: u64) -> u64 {
        if self.fills == 0 {
            return 0;
        }
        let [cost, realised, fees] = [self.cost, self.realised, self.fees].map(|money| money.0 as u128);
        hash_words(
            key,
            [
                cost as u64,
                (cost >> 64) as u64,
                realised as u64,
                (realised >> 64) as u64,
                fees as u64,
                (fees >> 64) as u64,
                self.qty.0 as u64,
                self.bought.0 as u64,
                self.sold.0 as u64,
                self.fills,
            ],
        )
    }
}

/// `cost · part / whole`, rounded half to even, for 0 ≤ part ≤ whole and whole > 0, without overflow for any cost whose
/// quotient by `whole` leaves room.
fn share(cost: i128, part: i64, whole: i64) -> i128 {
    if part == whole {
        return cost;
    }
    let (part, whole) = (i128::from(part), i128::from(whole));
    match cost.checked_mul(part) {
        Some(product) => Money::div_half_even(product, whole),
        None => (cost / whole) * part + Money::div_half_even((cost % whole) * part, whole),
    }
}

#[cfg(test)]
mod tests;
