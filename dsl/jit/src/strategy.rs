//! Hot path. A compiled program as the core runs it: inputs into the slab, rounds of machine code, rules, desired state.
//!
//! Thread      the core's.
//! Memory      one slab and the tables, allocated by `compile`; proven by `tests/no_alloc.rs`.
//! Cost        measured in `benches/dsl`.
use tercel_event::{Chain, Control, Desires, Instant, Manifest, NO_OWNER, ParamError, Strategy};
use tercel_graph::limits::COMMIT_ROUNDS_MAX;
use tercel_graph::{ABSENT_BITS, ABSENT_TIME, ClockSet, Program};
use tercel_types::TimeNs;

use crate::backend::Code;
use crate::layout::{ENTRY, Layout, MODE, NEVER, NOW, next_multiple};
use crate::planted::Planted;
use crate::rules::Tables;

/// Engine times lie in `0 .. TIME_BOUND`; a feature time outside counts as missing.
const TIME_BOUND: i64 = 1 << 62;

/// A compiled strategy: [`crate::compile`] makes it.
pub struct JitStrategy {
    manifest: Manifest,
    program: Program,
    layout: Layout,
    code: Code,
    slab: Box<[u64]>,
    tables: Tables,
    timers_next_ns: Box<[i64]>,
    params_changed: bool,
    started: bool,
    control: Control,
    planted: Option<Planted>,
}

impl JitStrategy {
    pub(crate) fn new(
        program: Program,
        manifest: Manifest,
        layout: Layout,
        code: Code,
        planted: Option<Planted>,
    ) -> Self {
        Self {
            slab: layout.slab(&program, &manifest),
            tables: Tables::new(&program, &manifest, &layout),
            timers_next_ns: vec![0; program.timers.len()].into(),
            params_changed: true,
            started: false,
            control: Control::Run,
            manifest,
            program,
            layout,
            code,
            planted,
        }
    }

    /// Back to before the first instant, parameters at their defaults: a sweep compiles once.
    pub fn reset(&mut self) {
        self.slab.copy_from_slice(&self.layout.slab(&self.program, &self.manifest));
        self.tables.reset();
        self.timers_next_ns.fill(0);
        self.params_changed = true;
        self.started = false;
        self.control = Control::Run;
    }

    /// Machine code in bytes.
    pub fn code_bytes(&self) -> usize {
        self.code.bytes
    }

    /// Per rule: how often it fired, and how often an absent operand kept it from firing.
    pub fn rule_counts(&self) -> impl Iterator<Item = (u64, u64)> {
        self.tables.fired.iter().copied().zip(self.tables.blocked.iter().copied())
    }

    /// Copies what the core shows into the slab, absent in its one form.
    fn read(&mut self, instant: &Instant<'_>) {
        let inputs = &mut self.slab[self.layout.inputs..self.layout.times];
        if instant.inputs.len() < inputs.len() {
            inputs.fill(ABSENT_BITS);
        }
        for (word, value) in inputs.iter_mut().zip(instant.inputs) {
            *word = if value.is_finite() { value.to_bits() } else { ABSENT_BITS };
        }
        let times = &mut self.slab[self.layout.times..self.layout.params];
        if instant.signal_times.len() < times.len() {
            times.fill(ABSENT_TIME as u64);
        }
        for (word, time) in times.iter_mut().zip(instant.signal_times) {
            *word = if (0..TIME_BOUND).contains(&time.0) { time.0 } else { ABSENT_TIME } as u64;
        }
    }

    fn start(&mut self, now: i64) {
        self.layout.start(&self.program, &mut self.slab, now);
        for (next, period) in self.timers_next_ns.iter_mut().zip(&self.program.timers) {
            *next = next_multiple(now, period.0);
        }
        self.started = true;
    }

    fn ticks(&mut self, outside: u64, now: i64) -> u64 {
        let mut ticks = outside & ((1 << self.manifest.clocks.len()) - 1);
        for (idx, next) in self.timers_next_ns.iter_mut().enumerate() {
            if now >= *next {
                ticks |= ClockSet::timer(idx).0;
                *next = next_multiple(now, self.program.timers[idx].0);
            }
        }
        ticks
    }

    fn rounds(&mut self, mut ticks: u64) {
        for commit_rounds in 0.. {
            self.code.run_round(&mut self.slab, ticks);
            let fired = self.tables.apply(&self.slab, ticks);
            if !fired || !self.tables.commit(&mut self.slab, &mut self.control) || self.control != Control::Run {
                return;
            }
            if commit_rounds == COMMIT_ROUNDS_MAX {
                self.control = Control::Livelock;
                return;
            }
            ticks = ClockSet::COMMIT.0;
        }
    }
}

impl Strategy for JitStrategy {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        out.owners.fill(NO_OWNER);
        out.values.fill(f64::from_bits(ABSENT_BITS));
        if self.control == Control::Run {
            let now = instant.now.0.clamp(0, TIME_BOUND - 1).max(self.slab[NOW] as i64);
            self.slab[NOW] = now as u64;
            self.read(instant);
            if !self.started {
                self.start(now);
            }
            if self.params_changed {
                self.params_changed = false;
                self.code.run_statics(&mut self.slab);
            }
            let ticks = self.ticks(instant.ticks, now);
            self.rounds(ticks);
        }
        out.control = self.control;
        if self.control == Control::Run {
            self.tables.write(&self.slab, &mut out.owners, &mut out.values);
        }
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        if self.control != Control::Run || !self.started {
            return None;
        }
        let armed = self.slab[self.layout.deadlines.clone()].iter().map(|word| *word as i64);
        let next = armed.chain(self.timers_next_ns.iter().copied()).min()?;
        (next != NEVER).then_some(TimeNs(next))
    }

    fn set_param(&mut self, param_idx: usize, value: f64) -> Result<(), ParamError> {
        let count = self.manifest.params.len();
        let spec = self.manifest.params.get(param_idx).ok_or(ParamError::Unknown { idx: param_idx, count })?;
        if !(spec.lo..=spec.hi).contains(&value) {
            return Err(ParamError::Range { name: spec.name.clone(), value, lo: spec.lo, hi: spec.hi });
        }
        self.slab[self.layout.params + param_idx] = value.to_bits();
        self.params_changed |= self.planted != Some(Planted::StaleParam);
        Ok(())
    }

    fn digest(&self) -> u64 {
        let mut chain = Chain::default();
        chain.word(match self.control {
            Control::Run => 0,
            Control::Halt(message) => 1 << 16 | u64::from(message),
            Control::Finish(message) => 2 << 16 | u64::from(message),
            Control::Livelock => 3 << 16,
        });
        for word in [self.started.into(), self.slab[NOW], self.slab[MODE], self.slab[ENTRY]] {
            chain.word(word);
        }
        self.timers_next_ns.iter().for_each(|ns| chain.word(*ns as u64));
        // Parameters, state variables and mode values lie next to each other, in this order.
        self.slab[self.layout.params..self.layout.deadlines.start].iter().for_each(|word| chain.word(*word));
        self.tables.edges.iter().for_each(|edge| chain.word((*edge).into()));
        self.tables.fired.iter().chain(&self.tables.blocked).for_each(|count| chain.word(*count));
        self.slab[self.layout.node_state.clone()].iter().for_each(|word| chain.word(*word));
        chain.0
    }

    fn mode_name(&self) -> &str {
        self.program.modes.get(self.slab[MODE] as usize).map_or("", |m| &m.name)
    }
}
