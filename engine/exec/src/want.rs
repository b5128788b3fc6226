//! A desired state in steps and lots: the one place where a strategy's `f64` becomes prices and quantities.
use crate::MAX_LEGS;
use tercel_event::{Reason, SinkSpec, Via};
use tercel_types::{DurationNs, Memo, Price, Problem, Qty, Side, Units};

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

/// Reads the desire of one sink, always for the same instrument. Missing slots, NaN and prices out of range become reasons,
/// not errors. It remembers what the newest numbers came to, and nothing else: equal values give equal wants, whatever came
/// before.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) sink: u16,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Quote(QuoteReader),
    Target { slot: usize, via: Via },
}

#[derive(Clone, Debug)]
pub(crate) struct QuoteReader {
    first_slot: usize,
    pub(crate) legs: Box<[LegReader]>,
    /// What the [`Want`] borrows; as long as `legs`.
    wants: Box<[LegWant]>,
    pub(crate) post_only: bool,
    keep: Option<(usize, Memo<i64>)>,
    keep_qty: Option<(usize, Memo<Qty>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct LegReader {
    pub(crate) side: Side,
    pub(crate) qty: Memo<Option<Qty>>,
}

impl Reader {
    /// Of sink number `sink` of a manifest.
    pub fn new(sink: u16, spec: &SinkSpec) -> Self {
        let kind = match spec {
            SinkSpec::Quote { legs, first_slot, with, .. } => {
                let sides = || legs.iter().take(MAX_LEGS).map(|leg| leg.side);
                Kind::Quote(QuoteReader {
                    first_slot: *first_slot,
                    legs: sides().map(|side| LegReader { side, qty: Memo::new(None) }).collect(),
                    wants: sides().map(|side| LegWant { side, want: Err(Reason::Withdrawn) }).collect(),
                    post_only: with.post_only,
                    keep: with.keep_slot.map(|slot| (slot, Memo::new(0))),
                    keep_qty: with.keep_qty_slot.map(|slot| (slot, Memo::new(Qty::ZERO))),
                })
            }
            SinkSpec::Target { slot, via, .. } => Kind::Target { slot: *slot, via: *via },
        };
        Self { sink, kind }
    }

    /// The desire as `values` states it; `market` is asked only by sinks that trade at the touch.
    pub fn read(&mut self, values: &[f64], units: &Units, market: impl FnOnce() -> Market) -> Want<'_> {
        let sink = self.sink;
        match &mut self.kind {
            Kind::Quote(quote) => {
                let (keep_steps, keep_qty) = quote.keep(values, units);
                let stated = quote.stated(values);
                for (idx, (leg, out)) in quote.legs.iter_mut().zip(&mut quote.wants).enumerate() {
                    out.want = match stated.get(idx) {
                        Some(&[px, qty]) => leg_want(units, leg.side, px, leg.qty.get(qty, |x| units.qty_of(x))),
                        None => Err(Reason::Withdrawn),
                    };
                }
                Want::Quote { sink, legs: &quote.wants, post_only: quote.post_only, keep_steps, keep_qty }
            }
            Kind::Target { slot, via } => target(sink, units, *slot, via, values, market()),
        }
    }
}

impl QuoteReader {
    /// Price and quantity of each leg, as far as there are slots for them.
    #[inline]
    pub(crate) fn stated<'a>(&self, values: &'a [f64]) -> &'a [[f64; 2]] {
        values.get(self.first_slot..).unwrap_or_default().as_chunks::<2>().0
    }

    /// How far a working order may be from its leg, in steps and in lots.
    #[inline]
    pub(crate) fn keep(&mut self, values: &[f64], units: &Units) -> (i64, Qty) {
        let value = |slot: usize| values.get(slot).copied().unwrap_or(f64::NAN);
        // `price_of` toward the passive side of a buy is the floor: `keep` is never widened by rounding.
        let steps = |x| units.price_of(x, Side::Buy).map_or(0, |px| px.0.max(0));
        let lots = |x| Qty(units.qty_of(x).map_or(0, |qty| qty.0.max(0)));
        (
            self.keep.as_mut().map_or(0, |(slot, memo)| memo.get(value(*slot), steps)),
            self.keep_qty.as_mut().map_or(Qty::ZERO, |(slot, memo)| memo.get(value(*slot), lots)),
        )
    }
}

#[inline]
fn leg_want(units: &Units, side: Side, px: f64, qty: Option<Qty>) -> Result<(Price, Qty), Reason> {
    let (px, qty) = match (units.price_of(px, side), qty) {
        (Some(px), Some(qty)) => (px, qty),
        // An absent leg is the ordinary way to say "not in the market"; only a present price that has no steps is odd.
        (None, Some(_)) if !px.is_nan() => return Err(Reason::PriceAbsent),
        _ => return Err(Reason::Withdrawn),
    };
    if units.is_tradable(px, qty) { Ok((px, qty)) } else { Err(Reason::BelowMinimum) }
}

fn target(sink: u16, units: &Units, slot: usize, via: &Via, values: &[f64], market: Market) -> Want<'static> {
    let value = |slot: usize| values.get(slot).copied().unwrap_or(f64::NAN);
    let (buy_px, sell_px, tries) = match *via {
        Via::Aggressive { max_slip_slot } => {
            let (buy, sell) = touch_prices(units, market, value(max_slip_slot));
            (buy, sell, u32::MAX)
        }
        Via::Ioc { limit_slot, tries } => {
            let limit = |side| units.price_of(value(limit_slot), side).ok_or(Reason::PriceAbsent);
            (limit(Side::Buy), limit(Side::Sell), tries)
        }
    };
    Want::Target { sink, target: units.qty_of(value(slot)), buy_px, sell_px, tries }
}

/// Prices of immediate orders at the touch, refused when the touch is more than `max_slip` beyond the mid.
/// Shape: (buy, sell). Reasons: `BookNotLive` without a touch, `PriceAbsent` when the bound is absent or passed.
fn touch_prices(units: &Units, market: Market, max_slip: f64) -> (Result<Price, Reason>, Result<Price, Reason>) {
    let (true, Some(bid), Some(ask)) = (market.live, market.bid, market.ask) else {
        return (Err(Reason::BookNotLive), Err(Reason::BookNotLive));
    };
    let mid = (units.price_f64(bid) + units.price_f64(ask)) / 2.0;
    let bound = |factor: f64, side| units.price_of(mid * factor, side).ok_or(Reason::PriceAbsent);
    let buy = bound(1.0 + max_slip, Side::Buy).and_then(|b| if ask <= b { Ok(ask) } else { Err(Reason::PriceAbsent) });
    let sell =
        bound(1.0 - max_slip, Side::Sell).and_then(|b| if bid >= b { Ok(bid) } else { Err(Reason::PriceAbsent) });
    (buy, sell)
}

impl<'a> Want<'a> {
    /// The desire of a latched `flatten`: no position, by immediate orders at the touch.
    pub fn flatten(units: &Units, market: Market, config: &ExecConfig) -> Self {
        let (buy_px, sell_px) = touch_prices(units, market, config.flatten_slip);
        Self::Target { sink: crate::FLATTEN_SINK, target: Some(Qty::ZERO), buy_px, sell_px, tries: u32::MAX }
    }
}
