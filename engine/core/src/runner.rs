//! One strategy with everything that the core keeps for it.
use crate::bind::Bound;
use crate::inputs::{Inputs, Pending};
use crate::limits::Limits;
use crate::profit::Profit;
use crate::shown::Shown;
use tercel_event::{Chain, Control, Desires, Instant, Manifest, Strategy};
use tercel_exec::{Reader, Slot};
use tercel_types::{AccountId, DurationNs, InstrumentId, Instruments, StrategyId, TimeNs, Units};

/// Least distance of a strategy's next deadline: one that asks for `now` again and again cannot stop time.
const DEADLINE_STEP: DurationNs = DurationNs(1_000);

/// Open orders of one strategy in one instrument that are kept as the reconciler sees them; of more, the view is made anew
/// each time.
const SHOWN_MAX: usize = 64;

/// One binding, with what is resolved once.
pub(crate) struct Pair {
    pub id: InstrumentId,
    pub units: Units,
    pub shown: Shown,
    /// The view of its orders is `Core::crowd`.
    pub crowded: bool,
    /// Its retry timer was set and not taken back.
    pub waits: bool,
}

pub(crate) struct Runner {
    pub strategy: Box<dyn Strategy>,
    pub manifest: Manifest,
    pub id: StrategyId,
    pub account: AccountId,
    /// Index of its order session.
    pub session: usize,
    pub bound: Bound,
    pub inputs: Inputs,
    pub pending: Pending,
    pub desires: Desires,
    /// Per sink.
    pub readers: Vec<Reader>,
    /// Per binding.
    pub pairs: Vec<Pair>,
    pub slots: Vec<Slot>,
    pub limits: Limits,
    pub profit: Profit,
    /// First limit and first (strategy, instrument) pair in the numbering over all strategies.
    pub limit_base: usize,
    pub pair_base: usize,
    /// Its deadline as set, unless that has fired.
    pub armed: Option<TimeNs>,
    /// Bindings to reconcile although the strategy does not run.
    pub dirty: u64,
    /// The strategy stopped itself.
    pub stopped: Option<Control>,
    pub instants: u64,
}

impl Runner {
    #[allow(clippy::too_many_arguments)] // called once, from `Core::new`
    pub fn new(
        strategy: Box<dyn Strategy>,
        id: StrategyId,
        account: AccountId,
        session: usize,
        bound: Bound,
        instruments: &Instruments,
        limit_base: usize,
        pair_base: usize,
    ) -> Self {
        let manifest = strategy.manifest().clone();
        let bindings = manifest.instruments.len();
        let of_binding = |id: &InstrumentId| {
            let shown = Shown::with_capacity(SHOWN_MAX);
            instruments.get(*id).map(|own| Pair { id: *id, units: Units::of(own), shown, crowded: false, waits: false })
        };
        let sinks = manifest.sinks.iter().enumerate();
        Self {
            readers: sinks.map(|(idx, sink)| Reader::new(idx as u16, sink)).collect(),
            pairs: bound.instruments.iter().filter_map(of_binding).collect(),
            profit: Profit::new(bindings),
            inputs: Inputs::new(&manifest, &bound, instruments),
            desires: Desires::for_manifest(&manifest),
            slots: vec![Slot::default(); bindings],
            limits: Limits::new(&manifest.limits, bindings),
            strategy,
            manifest,
            id,
            account,
            session,
            bound,
            pending: Pending::default(),
            limit_base,
            pair_base,
            armed: None,
            dirty: 0,
            stopped: None,
            instants: 0,
        }
    }

    /// Every source counts as changed: at an epoch's start, and when the account becomes or ceases to be reconciled.
    pub fn touch_all(&mut self) {
        let all = mask(self.manifest.instruments.len());
        self.pending.book |= all;
        self.pending.exec |= all;
        self.pending.signals |= mask(self.manifest.signals.len());
        self.pending.control = true;
    }

    /// One instant; the inputs have been filled, and `ticks` are the clocks of what changed.
    #[inline]
    pub fn run(&mut self, seq: u64, now: TimeNs, ticks: u64) {
        self.pending = Pending::default();
        let (inputs, signal_times) = (self.inputs.values(), &self.inputs.signal_times[..]);
        let instant = Instant { seq, now, ticks, inputs, signal_times };
        self.strategy.on_instant(&instant, &mut self.desires);
        self.instants += 1;
    }

    /// The strategy's next deadline, always after `now`.
    #[inline]
    pub fn next_deadline(&self, now: TimeNs) -> Option<TimeNs> {
        self.strategy.next_deadline().map(|due| if due > now { due } else { now.saturating_add(DEADLINE_STEP) })
    }

    pub fn digest(&self, chain: &mut Chain) {
        chain.word(self.strategy.digest());
        for value in &self.desires.values {
            chain.word(if value.is_nan() { u64::MAX } else { value.to_bits() });
        }
        for &owner in &self.desires.owners {
            chain.word(u64::from(owner));
        }
        for slot in &self.slots {
            slot.digest(chain);
        }
        self.limits.digest(chain);
        chain.word(self.dirty);
        chain.word(u64::from(self.stopped.is_some()));
        self.profit.digest(chain);
    }
}

/// `count` low bits.
#[inline]
pub(crate) const fn mask(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}
