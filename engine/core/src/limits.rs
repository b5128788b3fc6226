//! Hot path. The limits that a strategy declares about itself: refusals before an order, verdicts that latch at an instant.
//!
//! A breach outranks every desire and holds: `pull` until the limit has held again for [`PULL_HOLD`], `flatten` and `halt`
//! until the operator's `Rearm`. Orders that only reduce the position pass every limit of this file.
//!
//! Cost        an order looks at the limits of its instrument alone; an instant at those that it can change: a loss is one
//!             comparison, and a silence is not looked at before its timer unless the bound has changed.
use crate::deadlines::{Deadlines, TimerClass};
use tercel_event::{Chain, LimitSpec, Metric, Verdict};
use tercel_types::{DurationNs, Memo, Price, Qty, Side, TimeNs, Units};

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
    pub units: &'a Units,
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

/// Times of the newest orders and amends.
#[derive(Clone, Debug)]
struct RateWindow {
    per: DurationNs,
    times: Box<[TimeNs; RATE_MAX]>,
    head: usize,
    len: usize,
}

impl RateWindow {
    fn new(per: DurationNs) -> Self {
        Self { per, times: Box::new([TimeNs::MIN; RATE_MAX]), head: 0, len: 0 }
    }

    #[inline]
    fn drop_before(&mut self, since: TimeNs) {
        while self.len > 0 && self.times[self.head % RATE_MAX] <= since {
            self.head = (self.head + 1) % RATE_MAX;
            self.len -= 1;
        }
    }

    #[inline]
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
    /// It asks for more than the refusal of orders, so it latches at an instant.
    latches: bool,
    breached: bool,
    /// A pull is latched.
    pulled: bool,
    /// Since when a pulled limit has held again.
    held_since: Option<TimeNs>,
    /// Nothing is latched and none of its timers needs to be touched while it is not breached.
    settled: bool,
    /// A silence that is settled cannot be broken before this, its timer, while its bound is `calm_bound`.
    calm_until: TimeNs,
    calm_bound: u64,
    /// Its window among `Limits::rates`.
    rate: Option<usize>,
}

impl Limit {
    #[inline]
    fn bound(&self, values: &[f64]) -> f64 {
        values.get(self.spec.bound_slot).copied().unwrap_or(f64::NAN)
    }

    /// When feed silence first breaks the limit, given the feed's last sign of life: the first ns beyond the bound.
    fn silence_deadline(&self, bound: f64, metrics: &impl Metrics) -> Option<TimeNs> {
        let Metric::FeedSilence(binding) = self.spec.metric else { return None };
        if self.breached {
            return None;
        }
        let (most, alive) = (bound_ns(bound)?, metrics.feed_alive(binding)?);
        Some(alive.saturating_add(DurationNs(most + 1)))
    }
}

/// One limit as an order of one instrument meets it.
#[derive(Clone, Debug)]
struct Check {
    limit: u16,
    bound_slot: usize,
    kind: CheckKind,
}

#[derive(Clone, Debug)]
enum CheckKind {
    /// With the bound in lots.
    Position(Memo<Option<i64>>),
    OrderSize(Memo<Option<i64>>),
    Notional,
    /// Index of its window.
    Rate(usize),
}

/// State of all limits of one strategy.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    limits: Vec<Limit>,
    rates: Vec<RateWindow>,
    /// Per binding, in the manifest's order.
    checks: Vec<Vec<Check>>,
    /// Limits that an instant can change, or whose timers it keeps.
    watched: Vec<u16>,
    /// Some limit looks at the profit.
    pub watches_loss: bool,
    /// What the newest instant changed; the caller empties it.
    pub events: Vec<LimitEvent>,
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
    /// `bindings` instruments are named by the strategy.
    pub fn new(specs: &[LimitSpec], bindings: usize) -> Self {
        let mut rates = Vec::new();
        let limits: Vec<_> = specs
            .iter()
            .map(|spec| {
                let per = if let Metric::OrderRate { per } = spec.metric { Some(per) } else { None };
                rates.extend(per.map(RateWindow::new));
                Limit {
                    spec: spec.clone(),
                    latches: spec.verdicts.iter().any(|v| *v != Verdict::Refuse),
                    breached: false,
                    pulled: false,
                    held_since: None,
                    settled: false,
                    calm_until: TimeNs::MIN,
                    calm_bound: 0,
                    rate: per.map(|_| rates.len() - 1),
                }
            })
            .collect();
        let checks_of = |binding: usize| {
            let checks = limits.iter().enumerate().filter_map(|(idx, limit)| {
                let here = |b: u16| usize::from(b) == binding;
                let kind = match limit.spec.metric {
                    Metric::Position(b) if here(b) => CheckKind::Position(Memo::new(None)),
                    Metric::OrderSize(b) if here(b) => CheckKind::OrderSize(Memo::new(None)),
                    Metric::Notional(b) if here(b) => CheckKind::Notional,
                    Metric::OrderRate { .. } => CheckKind::Rate(limit.rate?),
                    _ => return None,
                };
                Some(Check { limit: idx as u16, bound_slot: limit.spec.bound_slot, kind })
            });
            checks.collect()
        };
        let silence = |limit: &Limit| matches!(limit.spec.metric, Metric::FeedSilence(_));
        let watched = limits.iter().enumerate().filter(|(_, limit)| limit.latches || silence(limit));
        Self {
            checks: (0..bindings).map(checks_of).collect(),
            watched: watched.map(|(idx, _)| idx as u16).collect(),
            watches_loss: limits.iter().any(|l| l.latches && l.spec.metric == Metric::LossPerDay),
            events: Vec::with_capacity(limits.iter().map(|limit| limit.spec.verdicts.len() + 1).sum()),
            limits,
            rates,
            pulled: 0,
            flattened: 0,
            halted: false,
        }
    }

    /// The first limit that the order would break; reducing orders break none.
    #[inline]
    pub fn check(&mut self, order: &Proposal<'_>, values: &[f64]) -> Option<Breach> {
        let Self { checks, rates, .. } = self;
        let checks = checks.get_mut(usize::from(order.binding)).filter(|checks| !checks.is_empty())?;
        if order.reduces() {
            return None;
        }
        let lots = |x| order.units.qty_of(x).map(|qty| qty.0);
        for check in checks {
            let bound = values.get(check.bound_slot).copied().unwrap_or(f64::NAN);
            let verdict = match &mut check.kind {
                CheckKind::Position(memo) => over(order.worst().0, memo.get(bound, lots)),
                CheckKind::OrderSize(memo) => over(order.qty.0, memo.get(bound, lots)),
                CheckKind::Notional => {
                    let value = order.units.notional(order.px, order.worst()).map(|m| m.to_f64());
                    match value {
                        Some(value) if value <= bound => None,
                        Some(value) => Some((value as i64, bound as i64)),
                        None => Some((i64::MAX, bound as i64)),
                    }
                }
                CheckKind::Rate(at) => rates.get_mut(*at).and_then(|window| {
                    window.drop_before(TimeNs(order.now.0.saturating_sub(window.per.0)));
                    let most = if bound >= 0.0 { (bound as usize).min(RATE_MAX) } else { 0 };
                    (window.len >= most).then_some((window.len as i64, most as i64))
                }),
            };
            if let Some((value, bound)) = verdict {
                return Some(Breach { limit: check.limit, value, bound });
            }
        }
        None
    }

    /// An order or amend became a command.
    #[inline]
    pub fn on_sent(&mut self, now: TimeNs) {
        for window in &mut self.rates {
            window.push(now);
        }
    }

    /// Checks the metrics of an instant, latches verdicts and keeps the timers of the limits, which start at `timer_base`
    /// in both classes. `events` has what changed.
    #[inline]
    pub fn instant(
        &mut self,
        now: TimeNs,
        values: &[f64],
        metrics: &impl Metrics,
        deadlines: &mut Deadlines,
        timer_base: usize,
    ) {
        for at in 0..self.watched.len() {
            let idx = usize::from(self.watched[at]);
            let Some(limit) = self.limits.get(idx) else { continue };
            let bound = limit.bound(values);
            let quiet = limit.settled
                && match limit.spec.metric {
                    Metric::FeedSilence(_) => now < limit.calm_until && bound.to_bits() == limit.calm_bound,
                    Metric::LossPerDay => !exceeds(metrics.loss_today(), bound),
                    Metric::Position(b) => !exceeds(metrics.exposure(b).0, bound),
                    Metric::Notional(b) => !exceeds(metrics.exposure(b).1, bound),
                    Metric::OrderSize(_) | Metric::OrderRate { .. } => true,
                };
            if !quiet {
                self.watch(idx, now, bound, metrics);
                self.set_timers(idx, now, bound, metrics, deadlines, timer_base + idx);
            }
        }
    }

    /// One limit at an instant that may change it.
    #[inline(never)]
    fn watch(&mut self, idx: usize, now: TimeNs, bound: f64, metrics: &impl Metrics) {
        let limit = &mut self.limits[idx];
        let breached = limit.latches
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
                    self.events.push(LimitEvent::Latched { limit: idx as u16, verdict });
                }
            }
        }
        let limit = &mut self.limits[idx];
        if limit.pulled && limit.held_since.is_some_and(|since| since.saturating_add(PULL_HOLD) <= now) {
            (limit.pulled, limit.held_since) = (false, None);
            self.recount_pulls();
            self.events.push(LimitEvent::Released { limit: idx as u16 });
        }
    }

    /// Keeps the timers of one limit right after it was watched, and notes whether it needs to be watched again.
    fn set_timers(
        &mut self,
        idx: usize,
        now: TimeNs,
        bound: f64,
        metrics: &impl Metrics,
        deadlines: &mut Deadlines,
        timer: usize,
    ) {
        let limit = &mut self.limits[idx];
        // Lazily: a later sign of life is looked up when the timer fires, only an earlier bound is set at once.
        let due = limit.silence_deadline(bound, metrics);
        match (due, deadlines.get(TimerClass::Silence, timer)) {
            (Some(due), Some(armed)) if armed <= due && armed > now => {}
            (due, _) => deadlines.set(TimerClass::Silence, timer, due),
        }
        deadlines.set(TimerClass::Hold, timer, limit.held_since.map(|since| since.saturating_add(PULL_HOLD)));
        limit.settled = !limit.breached && !limit.pulled && limit.held_since.is_none();
        // The timer was armed from some sign of life and this bound: what came since can only have moved the breach away.
        limit.calm_until = deadlines.get(TimerClass::Silence, timer).unwrap_or(TimeNs::MIN);
        limit.calm_bound = bound.to_bits();
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
            (limit.breached, limit.pulled, limit.held_since, limit.settled) = (false, false, None, false);
        }
        (self.pulled, self.flattened, self.halted) = (0, 0, false);
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
            if let Some(window) = limit.rate.and_then(|at| self.rates.get(at)) {
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
