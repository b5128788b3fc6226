//! A desired state in steps and lots: the one place where a strategy's `f64` becomes prices and quantities.
use crate::MAX_LEGS;
use tercel_event::{Desires, NO_OWNER, QuoteWith, Reason, SinkSpec, Via};
use tercel_types::{DurationNs, Instrument, Price, Problem, Qty, Side};

/// Settings of the reconciler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExecConfig {
    /// Shortest time between two orders of one target.
    pub retry: DurationNs,
    /// How long a leg waits after a refusal.
    pub backoff: DurationNs,
    /// How long a quote's leg whose order was filled stays out of the market; 0 renews it at once.
    pub refill: DurationNs,
    /// How far beyond the mid a `flatten` may trade, as a ratio.
    pub flatten_slip: f64,
}

impl Default for ExecConfig {
    fn default() -> Self {
        let (retry, backoff) = (DurationNs::from_millis(50), DurationNs::from_millis(50));
        Self { retry, backoff, refill: DurationNs::ZERO, flatten_slip: 0.01 }
    }
}

impl ExecConfig {
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (key, span) in [("exec.retry", self.retry), ("exec.backoff", self.backoff)] {
            if span.0 <= 0 {
                problems.push(Problem {
                    key: key.into(),
                    seen: format!("{} ns", span.0),
                    allowed: "more than 0 ns".into(),
                    help: "give a positive duration, such as 50ms".into(),
                });
            }
        }
        if !(self.flatten_slip >= 0.0 && self.flatten_slip < 1.0) {
            problems.push(Problem {
                key: "exec.flatten_slip".into(),
                seen: format!("{}", self.flatten_slip),
                allowed: "0 or more, below 1".into(),
                help: "give a ratio, such as 0.01 for 1 %".into(),
            });
        }
        problems
    }
}

/// The public touch of a live book; `None` on a side that is empty or when the book is not live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Market {
    pub live: bool,
    pub bid: Option<Price>,
    pub ask: Option<Price>,
}

/// One leg of a quote: what should rest, or why nothing should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegWant {
    pub side: Side,
    pub want: Result<(Price, Qty), Reason>,
}

/// What should be, for one instrument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Want<'a> {
    /// Nothing should work; the reason is the one the cancels carry.
    Nothing {
        reason: Reason,
    },
    Quote {
        sink: u16,
        legs: &'a [LegWant],
        post_only: bool,
        keep_steps: i64,
        keep_qty: Qty,
    },
    Target {
        sink: u16,
        target: Option<Qty>,
        buy_px: Result<Price, Reason>,
        sell_px: Result<Price, Reason>,
        tries: u32,
    },
}

/// Holds the legs that a [`Want`] borrows.
#[derive(Clone, Debug)]
pub struct WantBuf {
    legs: [LegWant; MAX_LEGS],
}

impl Default for WantBuf {
    fn default() -> Self {
        Self { legs: [LegWant { side: Side::Buy, want: Err(Reason::NotReady) }; MAX_LEGS] }
    }
}

/// Whether a quantity can be an order at all: not below the instrument's minimum quantity and value.
#[inline]
pub fn is_tradable(instrument: &Instrument, px: Price, qty: Qty) -> bool {
    qty.0 > 0
        && qty >= instrument.min_qty
        && instrument.notional(px, qty).is_some_and(|value| value.0.abs() >= instrument.min_notional.0)
}

/// Reads the desire of `owner` for its instrument. Missing slots, NaN and prices out of range become reasons, not errors.
pub fn read_sink<'a>(
    sinks: &[SinkSpec],
    owner: u16,
    desires: &Desires,
    instrument: &Instrument,
    market: Market,
    buf: &'a mut WantBuf,
) -> Want<'a> {
    let spec = if owner == NO_OWNER { None } else { sinks.get(usize::from(owner)) };
    let value = |slot: usize| desires.values.get(slot).copied().unwrap_or(f64::NAN);
    match spec {
        None => Want::Nothing { reason: Reason::Withdrawn },
        Some(SinkSpec::Quote { legs, first_slot, with, .. }) => {
            let count = legs.len().min(MAX_LEGS);
            for (idx, (leg, out)) in legs.iter().zip(&mut buf.legs).enumerate() {
                let (px, qty) = (value(first_slot + 2 * idx), value(first_slot + 2 * idx + 1));
                *out = LegWant { side: leg.side, want: leg_want(instrument, leg.side, px, qty) };
            }
            let (keep_steps, keep_qty) = keep(instrument, with, value);
            Want::Quote { sink: owner, legs: &buf.legs[..count], post_only: with.post_only, keep_steps, keep_qty }
        }
        Some(SinkSpec::Target { slot, via, .. }) => {
            let target = instrument.qty_of(value(*slot));
            let (buy_px, sell_px, tries) = match *via {
                Via::Aggressive { max_slip_slot } => {
                    let (buy, sell) = touch_prices(instrument, market, value(max_slip_slot));
                    (buy, sell, u32::MAX)
                }
                Via::Ioc { limit_slot, tries } => {
                    let limit = |side| instrument.price_of(value(limit_slot), side).ok_or(Reason::PriceAbsent);
                    (limit(Side::Buy), limit(Side::Sell), tries)
                }
            };
            Want::Target { sink: owner, target, buy_px, sell_px, tries }
        }
    }
}

fn leg_want(instrument: &Instrument, side: Side, px: f64, qty: f64) -> Result<(Price, Qty), Reason> {
    let (px, qty) = match (instrument.price_of(px, side), instrument.qty_of(qty)) {
        (Some(px), Some(qty)) => (px, qty),
        // An absent leg is the ordinary way to say "not in the market"; only a present price that has no steps is odd.
        (None, Some(_)) if !px.is_nan() => return Err(Reason::PriceAbsent),
        _ => return Err(Reason::Withdrawn),
    };
    if is_tradable(instrument, px, qty) { Ok((px, qty)) } else { Err(Reason::BelowMinimum) }
}

fn keep(instrument: &Instrument, with: &QuoteWith, value: impl Fn(usize) -> f64) -> (i64, Qty) {
    // `price_of` toward the passive side of a buy is the floor: `keep` is never widened by rounding.
    let steps = with.keep_slot.and_then(|slot| instrument.price_of(value(slot), Side::Buy)).map_or(0, |p| p.0.max(0));
    let qty = with.keep_qty_slot.and_then(|slot| instrument.qty_of(value(slot))).map_or(0, |q| q.0.max(0));
    (steps, Qty(qty))
}

/// Prices of immediate orders at the touch, refused when the touch is more than `max_slip` beyond the mid.
/// Shape: (buy, sell). Reasons: `BookNotLive` without a touch, `PriceAbsent` when the bound is absent or passed.
pub(crate) fn touch_prices(
    instrument: &Instrument,
    market: Market,
    max_slip: f64,
) -> (Result<Price, Reason>, Result<Price, Reason>) {
    let (true, Some(bid), Some(ask)) = (market.live, market.bid, market.ask) else {
        return (Err(Reason::BookNotLive), Err(Reason::BookNotLive));
    };
    let mid = (instrument.price_f64(bid) + instrument.price_f64(ask)) / 2.0;
    let bound = |factor: f64, side| instrument.price_of(mid * factor, side).ok_or(Reason::PriceAbsent);
    let buy = bound(1.0 + max_slip, Side::Buy).and_then(|b| if ask <= b { Ok(ask) } else { Err(Reason::PriceAbsent) });
    let sell =
        bound(1.0 - max_slip, Side::Sell).and_then(|b| if bid >= b { Ok(bid) } else { Err(Reason::PriceAbsent) });
    (buy, sell)
}

impl<'a> Want<'a> {
    /// The desire of a latched `flatten`: no position, by immediate orders at the touch.
    pub fn flatten(instrument: &Instrument, market: Market, config: &ExecConfig) -> Self {
        let (buy_px, sell_px) = touch_prices(instrument, market, config.flatten_slip);
        Self::Target { sink: crate::FLATTEN_SINK, target: Some(Qty::ZERO), buy_px, sell_px, tries: u32::MAX }
    }
}
