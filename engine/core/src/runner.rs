//! One strategy with everything that the core keeps for it.
use crate::bind::Bound;
use crate::inputs::{Inputs, Pending};
use crate::limits::Limits;
use tercel_event::{Chain, Control, Desires, Instant, Manifest, Strategy};
use tercel_exec::Slot;
use tercel_types::{AccountId, DurationNs, Instruments, Money, StrategyId, TimeNs};

/// Least distance of a strategy's next deadline: one that asks for `now` again and again cannot stop time.
const DEADLINE_STEP: DurationNs = DurationNs(1_000);

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
    /// Per binding.
    pub slots: Vec<Slot>,
    pub limits: Limits,
    /// First limit and first (strategy, instrument) pair in the numbering over all strategies.
    pub limit_base: usize,
    pub pair_base: usize,
    /// Bindings to reconcile although the strategy does not run.
    pub dirty: u64,
    /// The strategy stopped itself.
    pub stopped: Option<Control>,
    /// Day number and the strategy's net profit at its start.
    pub day: i64,
    pub day_base: Money,
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
        Self {
            inputs: Inputs::new(&manifest, &bound, instruments),
            desires: Desires::for_manifest(&manifest),
            slots: vec![Slot::default(); manifest.instruments.len()],
            limits: Limits::new(&manifest.limits),
            strategy,
            manifest,
            id,
            account,
            session,
            bound,
            pending: Pending::default(),
            limit_base,
            pair_base,
            dirty: 0,
            stopped: None,
            day: i64::MIN,
            day_base: Money::ZERO,
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

    /// One instant; the inputs have been filled.
    #[inline]
    pub fn run(&mut self, seq: u64, now: TimeNs) {
        let ticks = core::mem::take(&mut self.pending).ticks(&self.manifest.clocks);
        let (inputs, signal_times) = (&self.inputs.values, &self.inputs.signal_times);
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
        chain.word(self.day as u64);
        chain.word(self.day_base.0 as u64);
    }
}

/// `count` low bits.
#[inline]
pub(crate) const fn mask(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}
