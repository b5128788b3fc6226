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
    #[inline]
    pub fn reduces(&self) -> bool {
        let against = if self.side == Side::Buy { self.position.0 < 0 } else { self.position.0 > 0 };
        against && self.filling <= self.position.0.saturating_abs()
    }

    /// |position| if everything on this side fills.
    #[inline]
    fn worst(&self) -> Qty {
        let after = match self.side {
            Side::Buy => self.position.0.saturating_add(self.filling),
            Side::Sell => self.position.0.saturating_sub(self.filling),
        };
        Qty(after.saturating_abs())
    }
}

/// Times of the newest orders and amends.
#[derive(Clone, Debug)]
struct RateWindow {
    per: DurationNs,
    bound_slot: usize,
    most: Memo<usize>,
    times: Box<[TimeNs; RATE_MAX]>,
    head: usize,
    len: usize,
}

impl RateWindow {
    fn new(per: DurationNs, bound_slot: usize) -> Self {
        let times = Box::new([TimeNs::MIN; RATE_MAX]);
        Self { per, bound_slot, most: Memo::new(0), times, head: 0, len: 0 }
    }

    /// The bound as a count: no bound, no order.
    #[inline]
    fn most(&mut self, values: &[f64]) -> usize {
        let bound = values.get(self.bound_slot).copied().unwrap_or(f64::NAN);
        self.most.get(bound, |bound| if bound >= 0.0 { (bound as usize).min(RATE_MAX) } else { 0 })
    }

    /// Orders of the window that ends at `now`; older ones are forgotten.
    #[inline]
    fn count_at(&mut self, now: TimeNs) -> usize {
        let since = TimeNs(now.0.saturating_sub(self.per.0));
        while self.len > 0 && self.times[self.head % RATE_MAX] <= since {
            self.head = (self.head + 1) % RATE_MAX;
            self.len -= 1;
        }
        self.len
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

/// The limits that an order of one instrument meets. Their bounds are kept as whole numbers, but those of rates, which are
/// the same for every instrument.
#[derive(Clone, Debug)]
struct Gate {
    /// In the manifest's order.
    checks: Vec<u16>,
    /// Slots of the bounds, and the bits that the numbers are of.
    bounds: Vec<(usize, u64)>,
    /// Least bounds, in lots.
    position_most: i64,
    order_most: i64,
    has_notional: bool,
    is_fresh: bool,
}

impl Gate {
    fn of(limits: &[Limit], binding: usize) -> Self {
        let here = |b: u16| usize::from(b) == binding;
        let is_own = |limit: &Limit| match limit.spec.metric {
            Metric::Position(b) | Metric::OrderSize(b) | Metric::Notional(b) => here(b),
            Metric::OrderRate { .. } | Metric::FeedSilence(_) | Metric::LossPerDay => false,
        };
        let met = limits.iter().enumerate().filter(|(_, limit)| is_own(limit) || limit.rate.is_some());
        Self {
            checks: met.map(|(idx, _)| idx as u16).collect(),
            bounds: limits.iter().filter(|limit| is_own(limit)).map(|limit| (limit.spec.bound_slot, 0)).collect(),
            position_most: i64::MIN,
            order_most: i64::MIN,
            has_notional: limits.iter().any(|l| matches!(l.spec.metric, Metric::Notional(b) if here(b))),
            is_fresh: false,
        }
    }

    /// Whether the numbers are of the bounds that hold now.
    #[inline]
    fn is_of(&self, values: &[f64]) -> bool {
        let mut same = self.is_fresh;
        for &(slot, bits) in &self.bounds {
            same &= values.get(slot).is_some_and(|bound| bound.to_bits() == bits);
        }
        same
    }

    #[cold]
    fn renew(&mut self, limits: &[Limit], values: &[f64], units: &Units) {
        (self.position_most, self.order_most, self.is_fresh) = (i64::MAX, i64::MAX, true);
        let mut bounds = self.bounds.iter_mut();
        for limit in self.checks.iter().filter_map(|&idx| limits.get(usize::from(idx))) {
            let bound = limit.bound(values);
            // Without a bound not even 0 passes.
            let most = units.qty_of(bound).map_or(i64::MIN, |qty| qty.0);
            match limit.spec.metric {
                Metric::Position(_) => self.position_most = self.position_most.min(most),
                Metric::OrderSize(_) => self.order_most = self.order_most.min(most),
                Metric::Notional(_) => {}
                Metric::OrderRate { .. } | Metric::FeedSilence(_) | Metric::LossPerDay => continue,
            }
            if let Some((_, bits)) = bounds.next() {
                *bits = bound.to_bits();
            }
        }
    }
}

/// One limit as an instant meets it.
#[derive(Clone, Copy, Debug)]
struct Watch {
    limit: u16,
    bound_slot: usize,
    quiet: Quiet,
}

/// While what nothing about a limit changes at an instant, its timers included.
#[derive(Clone, Copy, Debug)]
enum Quiet {
    Never,
    /// Before its timer, while its bound has these bits.
    Until {
        timer: TimeNs,
        bits: u64,
    },
    /// While the loss is at most its bound.
    WithinLoss,
}

/// State of all limits of one strategy.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    limits: Vec<Limit>,
    rates: Vec<RateWindow>,
    /// Per binding.
    gates: Vec<Gate>,
    /// Limits that an instant can change, or whose timers it keeps.
    watched: Vec<Watch>,
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
                rates.extend(per.map(|per| RateWindow::new(per, spec.bound_slot)));
                Limit {
                    spec: spec.clone(),
                    latches: spec.verdicts.iter().any(|v| *v != Verdict::Refuse),
                    breached: false,
                    pulled: false,
                    held_since: None,
                    rate: per.map(|_| rates.len() - 1),
                }
            })
            .collect();
        let silence = |limit: &Limit| matches!(limit.spec.metric, Metric::FeedSilence(_));
        let watch = |(idx, limit): (usize, &Limit)| Watch {
            limit: idx as u16,
            bound_slot: limit.spec.bound_slot,
            quiet: Quiet::Never,
        };
        let watched = limits.iter().enumerate().filter(|(_, limit)| limit.latches || silence(limit));
        Self {
            gates: (0..bindings).map(|binding| Gate::of(&limits, binding)).collect(),
            watched: watched.map(watch).collect(),
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
        let Self { gates, rates, .. } = self;
        let gate = gates.get(usize::from(order.binding))?;
        if gate.checks.is_empty() || order.reduces() {
            return None;
        }
        let mut passes = !gate.has_notional && gate.is_of(values);
        passes = passes && order.worst().0 <= gate.position_most && order.qty.0 <= gate.order_most;
        for window in rates {
            passes = passes && window.count_at(order.now) < window.most(values);
        }
        if passes { None } else { self.first_breach(order, values) }
    }

    /// Limit by limit, in the manifest's order.
    #[inline(never)]
    fn first_breach(&mut self, order: &Proposal<'_>, values: &[f64]) -> Option<Breach> {
        let Self { limits, rates, gates, .. } = self;
        let gate = gates.get_mut(usize::from(order.binding))?;
        if !gate.is_of(values) {
            gate.renew(limits, values, order.units);
        }
        for &idx in &gate.checks {
            let Some(limit) = limits.get(usize::from(idx)) else { continue };
            let bound = limit.bound(values);
            let lots = || order.units.qty_of(bound).map(|qty| qty.0);
            let verdict = match limit.spec.metric {
                Metric::Position(_) => over(order.worst().0, lots()),
                Metric::OrderSize(_) => over(order.qty.0, lots()),
                Metric::Notional(_) => {
                    let value = order.units.notional(order.px, order.worst()).map(|m| m.to_f64());
                    match value {
                        Some(value) if value <= bound => None,
                        Some(value) => Some((value as i64, bound as i64)),
                        None => Some((i64::MAX, bound as i64)),
                    }
                }
                Metric::OrderRate { .. } => limit.rate.and_then(|at| rates.get_mut(at)).and_then(|window| {
                    let (count, most) = (window.count_at(order.now), window.most(values));
                    (count >= most).then_some((count as i64, most as i64))
                }),
                Metric::FeedSilence(_) | Metric::LossPerDay => None,
            };
            if let Some((value, bound)) = verdict {
                return Some(Breach { limit: idx, value, bound });
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

    /// True while an instant can change no limit: nothing is latched, no silence can have lasted too long and the loss is
    /// within its bounds. `loss` is the strategy's since 00:00 UTC.
    #[inline]
    pub fn is_quiet(&self, now: TimeNs, values: &[f64], loss: f64) -> bool {
        for watch in &self.watched {
            let bound = values.get(watch.bound_slot).copied().unwrap_or(f64::NAN);
            let quiet = match watch.quiet {
                Quiet::Never => false,
                Quiet::Until { timer, bits } => now < timer && bound.to_bits() == bits,
                Quiet::WithinLoss => loss <= bound,
            };
            if !quiet {
                return false;
            }
        }
        true
    }

    /// Checks the metrics of an instant, latches verdicts and keeps the timers of the limits, which start at `timer_base`
    /// in both classes. `events` has what changed.
    #[inline(never)]
    pub fn instant(
        &mut self,
        now: TimeNs,
        values: &[f64],
        metrics: &impl Metrics,
        deadlines: &mut Deadlines,
        timer_base: usize,
    ) {
        for at in 0..self.watched.len() {
            let idx = usize::from(self.watched[at].limit);
            let bound = self.limits[idx].bound(values);
            self.watch(idx, now, bound, metrics);
            self.watched[at].quiet = self.set_timers(idx, now, bound, metrics, deadlines, timer_base + idx);
        }
    }

    /// One limit at an instant that may change it.
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

    /// Keeps the timers of one limit right after it was watched. Returns how long it need not be watched again.
    fn set_timers(
        &mut self,
        idx: usize,
        now: TimeNs,
        bound: f64,
        metrics: &impl Metrics,
        deadlines: &mut Deadlines,
        timer: usize,
    ) -> Quiet {
        let limit = &mut self.limits[idx];
        // Lazily: a later sign of life is looked up when the timer fires, only an earlier bound is set at once.
        let due = limit.silence_deadline(bound, metrics);
        match (due, deadlines.get(TimerClass::Silence, timer)) {
            (Some(due), Some(armed)) if armed <= due && armed > now => {}
            (due, _) => deadlines.set(TimerClass::Silence, timer, due),
        }
        deadlines.set(TimerClass::Hold, timer, limit.held_since.map(|since| since.saturating_add(PULL_HOLD)));
        if limit.breached || limit.pulled {
            return Quiet::Never;
        }
        match limit.spec.metric {
            // The timer was armed from some sign of life and this bound: what came since can only have moved the breach away.
            Metric::FeedSilence(_) => match deadlines.get(TimerClass::Silence, timer) {
                Some(timer) => Quiet::Until { timer, bits: bound.to_bits() },
                None => Quiet::Never,
            },
            Metric::LossPerDay => Quiet::WithinLoss,
            Metric::OrderSize(_) | Metric::OrderRate { .. } => {
                Quiet::Until { timer: TimeNs::MAX, bits: bound.to_bits() }
            }
            Metric::Position(_) | Metric::Notional(_) => Quiet::Never,
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
        for watch in &mut self.watched {
            watch.quiet = Quiet::Never;
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
