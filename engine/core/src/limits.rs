//! The limits that a strategy declares about itself: refusals before an order, verdicts that latch at an instant.
//!
//! A breach outranks every desire and holds: `pull` until the limit has held again for [`PULL_HOLD`], `flatten` and `halt`
//! until the operator's `Rearm`. Orders that only reduce the position pass every limit of this file.
use tercel_event::{Chain, LimitSpec, Metric, Verdict};
use tercel_types::{DurationNs, Instrument, Price, Qty, Side, TimeNs};

/// How long a pulled limit must hold before opening is allowed again.
pub const PULL_HOLD: DurationNs = DurationNs::from_secs(1);
/// Orders that a rate window remembers; a bound above it is this.
pub const RATE_MAX: usize = 1024;

/// Why an order is refused: control number 0 stands for the strategy's own limits, `limit` is the index in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    pub limit: u16,
    pub value: i64,
    pub bound: i64,
}

/// An order as the limits see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proposal<'a> {
    pub instrument: &'a Instrument,
    /// Binding index.
    pub binding: u16,
    pub side: Side,
    pub px: Price,
    /// Quantity of the order itself.
    pub qty: Qty,
    /// What can fill on this side with the order, in lots.
    pub filling: i64,
    pub position: Qty,
    pub now: TimeNs,
}

impl Proposal<'_> {
    /// True when the order can at most close the position.
    pub fn reduces(&self) -> bool {
        self.side.sign() * self.position.0.signum() < 0 && self.filling <= self.position.0.saturating_abs()
    }

    /// |position| if everything on this side fills.
    fn worst(&self) -> Qty {
        let after = self.position.0.saturating_add(self.side.sign().saturating_mul(self.filling));
        Qty(after.saturating_abs())
    }
}

#[derive(Clone, Debug)]
struct RateWindow {
    times: Box<[TimeNs]>,
    head: usize,
    len: usize,
}

impl RateWindow {
    fn new() -> Self {
        Self { times: vec![TimeNs::MIN; RATE_MAX].into_boxed_slice(), head: 0, len: 0 }
    }

    fn drop_before(&mut self, since: TimeNs) {
        while self.len > 0 && self.times[self.head] <= since {
            self.head = (self.head + 1) % RATE_MAX;
            self.len -= 1;
        }
    }

    fn push(&mut self, now: TimeNs) {
        if self.len < RATE_MAX {
            self.times[(self.head + self.len) % RATE_MAX] = now;
            self.len += 1;
        }
    }
}

#[derive(Clone, Debug)]
struct Limit {
    spec: LimitSpec,
    breached: bool,
    /// A pull is latched.
    pulled: bool,
    /// Since when a pulled limit has held again.
    held_since: Option<TimeNs>,
    window: Option<RateWindow>,
}

/// State of all limits of one strategy.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    limits: Vec<Limit>,
    /// Latched verdicts, bits by binding.
    pub pulled: u64,
    pub flattened: u64,
    pub halted: bool,
}

/// What the instant-level metrics are measured against.
pub(crate) trait Metrics {
    /// Time since the last proof of life of the binding's feed; `None` before the first.
    fn feed_alive(&self, binding: u16) -> Option<TimeNs>;
    /// Loss of the strategy since 00:00 UTC, positive, in the settlement currency.
    fn loss_today(&self) -> f64;
    /// |position| of the binding in instrument units, and its value.
    fn exposure(&self, binding: u16) -> (f64, f64);
}

/// What changed when the limits were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitEvent {
    Latched { limit: u16, verdict: Verdict },
    Released { limit: u16 },
}

impl Limits {
    pub fn new(specs: &[LimitSpec]) -> Self {
        let limits = specs
            .iter()
            .map(|spec| Limit {
                spec: spec.clone(),
                breached: false,
                pulled: false,
                held_since: None,
                window: matches!(spec.metric, Metric::OrderRate { .. }).then(RateWindow::new),
            })
            .collect();
        Self { limits, pulled: 0, flattened: 0, halted: false }
    }

    /// The first limit that the order would break; reducing orders break none.
    #[inline]
    pub fn check(&mut self, order: &Proposal<'_>, values: &[f64]) -> Option<Breach> {
        if order.reduces() {
            return None;
        }
        for (idx, limit) in self.limits.iter_mut().enumerate() {
            let bound = values.get(limit.spec.bound_slot).copied().unwrap_or(f64::NAN);
            let verdict = match limit.spec.metric {
                Metric::Position(b) if b == order.binding => {
                    over(order.worst().0, order.instrument.qty_of(bound).map(|q| q.0))
                }
                Metric::OrderSize(b) if b == order.binding => {
                    over(order.qty.0, order.instrument.qty_of(bound).map(|q| q.0))
                }
                Metric::Notional(b) if b == order.binding => {
                    let value = order.instrument.notional(order.px, order.worst()).map(|m| m.to_f64());
                    match value {
                        Some(value) if value <= bound => None,
                        Some(value) => Some((value as i64, bound as i64)),
                        None => Some((i64::MAX, bound as i64)),
                    }
                }
                Metric::OrderRate { per } => match &mut limit.window {
                    Some(window) => {
                        window.drop_before(TimeNs(order.now.0.saturating_sub(per.0)));
                        let most = if bound >= 0.0 { (bound as usize).min(RATE_MAX) } else { 0 };
                        (window.len >= most).then_some((window.len as i64, most as i64))
                    }
                    None => None,
                },
                Metric::Position(_)
                | Metric::OrderSize(_)
                | Metric::Notional(_)
                | Metric::FeedSilence(_)
                | Metric::LossPerDay => None,
            };
            if let Some((value, bound)) = verdict {
                return Some(Breach { limit: idx as u16, value, bound });
            }
        }
        None
    }

    /// An order or amend became a command.
    #[inline]
    pub fn on_sent(&mut self, now: TimeNs) {
        for window in self.limits.iter_mut().filter_map(|limit| limit.window.as_mut()) {
            window.push(now);
        }
    }

    /// Checks the metrics of an instant and latches verdicts. `on_event` hears of each change.
    pub fn instant(
        &mut self,
        now: TimeNs,
        values: &[f64],
        metrics: &impl Metrics,
        mut on_event: impl FnMut(LimitEvent),
    ) {
        for idx in 0..self.limits.len() {
            let limit = &mut self.limits[idx];
            let bound = values.get(limit.spec.bound_slot).copied().unwrap_or(f64::NAN);
            // A pre-trade metric latches only when the limit asks for more than the refusal.
            let latches = limit.spec.verdicts.iter().any(|v| *v != Verdict::Refuse);
            let breached = latches
                && match limit.spec.metric {
                    Metric::FeedSilence(b) => match metrics.feed_alive(b) {
                        Some(alive) => bound_ns(bound).is_none_or(|most| now.since(alive).0 > most),
                        None => false, // nothing heard yet: the book is not live either
                    },
                    Metric::LossPerDay => exceeds(metrics.loss_today(), bound),
                    Metric::Position(b) => exceeds(metrics.exposure(b).0, bound),
                    Metric::Notional(b) => exceeds(metrics.exposure(b).1, bound),
                    Metric::OrderSize(_) | Metric::OrderRate { .. } => false,
                };
            let newly = breached && !limit.breached;
            limit.breached = breached;
            if breached {
                limit.held_since = None;
            } else if limit.pulled && limit.held_since.is_none() {
                limit.held_since = Some(now);
            }
            if newly {
                for at in 0..self.limits[idx].spec.verdicts.len() {
                    let verdict = self.limits[idx].spec.verdicts[at];
                    if self.latch(idx, verdict) {
                        on_event(LimitEvent::Latched { limit: idx as u16, verdict });
                    }
                }
            }
            let limit = &mut self.limits[idx];
            if limit.pulled && limit.held_since.is_some_and(|since| since.saturating_add(PULL_HOLD) <= now) {
                (limit.pulled, limit.held_since) = (false, None);
                self.recount_pulls();
                on_event(LimitEvent::Released { limit: idx as u16 });
            }
        }
    }

    fn latch(&mut self, idx: usize, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Refuse => false,
            Verdict::Pull(_) => {
                let fresh = !self.limits[idx].pulled;
                self.limits[idx].pulled = true;
                self.recount_pulls();
                fresh
            }
            Verdict::Flatten(b) => {
                let bit = 1u64 << b;
                let fresh = self.flattened & bit == 0;
                self.flattened |= bit;
                fresh
            }
            Verdict::Halt(_) => !core::mem::replace(&mut self.halted, true),
        }
    }

    fn recount_pulls(&mut self) {
        self.pulled = 0;
        for limit in self.limits.iter().filter(|limit| limit.pulled) {
            for verdict in &limit.spec.verdicts {
                if let Verdict::Pull(b) = verdict {
                    self.pulled |= 1 << b;
                }
            }
        }
    }

    /// The operator ends every latched verdict; a limit that is still breached latches again at the next instant.
    pub fn rearm(&mut self) {
        for limit in &mut self.limits {
            (limit.breached, limit.pulled, limit.held_since) = (false, false, None);
        }
        (self.pulled, self.flattened, self.halted) = (0, 0, false);
    }

    /// When feed silence first breaks limit `idx`, given the feed's last sign of life: the first ns beyond the bound.
    pub fn silence_deadline(&self, idx: usize, values: &[f64], metrics: &impl Metrics) -> Option<TimeNs> {
        let limit = self.limits.get(idx)?;
        let Metric::FeedSilence(binding) = limit.spec.metric else { return None };
        if limit.breached {
            return None;
        }
        let most = bound_ns(values.get(limit.spec.bound_slot).copied()?)?;
        let alive = metrics.feed_alive(binding)?;
        Some(alive.saturating_add(DurationNs(most + 1)))
    }

    /// When a pulled limit has held long enough.
    pub fn hold_deadline(&self, idx: usize) -> Option<TimeNs> {
        self.limits.get(idx)?.held_since.map(|since| since.saturating_add(PULL_HOLD))
    }

    pub fn len(&self) -> usize {
        self.limits.len()
    }

    pub fn digest(&self, chain: &mut Chain) {
        chain.word(self.pulled);
        chain.word(self.flattened);
        chain.word(u64::from(self.halted));
        for limit in &self.limits {
            chain.word(u64::from(limit.breached) | u64::from(limit.pulled) << 1);
            chain.word(limit.held_since.map_or(0, |t| t.0 as u64));
            if let Some(window) = &limit.window {
                chain.word(window.len as u64);
            }
        }
    }
}

/// A bound in seconds as ns, from 0 to 30 years; `None` outside. The comparison and its deadline use the same integer.
fn bound_ns(bound_s: f64) -> Option<i64> {
    (0.0..=1e9).contains(&bound_s).then_some((bound_s * 1e9) as i64)
}

/// Absent counts as beyond: what cannot be shown to hold does not hold.
fn exceeds(value: f64, bound: f64) -> bool {
    value > bound || value.is_nan() || bound.is_nan()
}

#[inline]
fn over(value: i64, bound: Option<i64>) -> Option<(i64, i64)> {
    match bound {
        Some(bound) if value <= bound => None,
        Some(bound) => Some((value, bound)),
        None => Some((value, 0)), // no bound, no order
    }
}
