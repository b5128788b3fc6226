//! Hot path. A compiled program as the core runs it: inputs into the slab, rounds of machine code, rules, desired state.
//!
//! Thread      the core's.
//! Memory      one slab and the tables, allocated by `compile`; proven by `tests/no_alloc.rs`.
//! Cost        measured in `benches/dsl`.
use tercel_event::{Chain, Control, Desires, Instant, Manifest, ParamError, Strategy};
use tercel_graph::limits::COMMIT_ROUNDS_MAX;
use tercel_graph::{ClockSet, NodeId, Program, Value};
use tercel_types::TimeNs;

use crate::backend::Code;
use crate::layout::{ENTRY, Layout, MODE, NEVER, NOW, TIME_BOUND, next_multiple};
use crate::planted::Planted;
use crate::rules::Tables;

/// A compiled strategy: [`crate::compile`] makes it.
pub struct JitStrategy {
    manifest: Manifest,
    program: Program,
    layout: Layout,
    code: Code,
    slab: Box<[u64]>,
    tables: Tables,
    timers_next_ns: Box<[i64]>,
    /// The earliest of `timers_next_ns`.
    timer_next_ns: i64,
    /// The bits of `Instant::ticks` that are clocks of the manifest.
    clocks: u64,
    /// Set before the first instant too.
    params_changed: bool,
    started: bool,
    control: Control,
    short: Short,
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
            timer_next_ns: 0,
            clocks: (1 << manifest.clocks.len()) - 1,
            params_changed: true,
            started: false,
            control: Control::Run,
            short: Short::new(&manifest),
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
        self.timer_next_ns = 0;
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

    /// Value of a node in the latest round; `None` unless it is among `Program::probes`, or kept for another reason.
    pub fn value(&self, node: NodeId) -> Option<Value> {
        let word = self.slab[(*self.layout.value.get(node.idx())?)?];
        Some(Value::of_word(word, self.program.ty(node)))
    }

    fn start(&mut self, now: i64) {
        self.layout.start(&self.program, &mut self.slab, now);
        for (next, period) in self.timers_next_ns.iter_mut().zip(&self.program.timers) {
            *next = next_multiple(now, period.0);
        }
        self.timer_next_ns = earliest(&self.timers_next_ns);
        self.started = true;
    }

    #[inline]
    fn ticks(&mut self, outside: u64, now: i64) -> u64 {
        let ticks = outside & self.clocks;
        if now >= self.timer_next_ns { ticks | self.timer_ticks(now) } else { ticks }
    }

    /// The timers that have come due.
    #[inline(never)]
    fn timer_ticks(&mut self, now: i64) -> u64 {
        let mut ticks = 0;
        for (idx, next) in self.timers_next_ns.iter_mut().enumerate() {
            if now >= *next {
                ticks |= ClockSet::timer(idx).0;
                *next = next_multiple(now, self.program.timers[idx].0);
            }
        }
        self.timer_next_ns = earliest(&self.timers_next_ns);
        ticks
    }

    /// The first instant, and those after a parameter has changed.
    #[cold]
    fn prepare(&mut self, now: i64) {
        if !self.started {
            self.start(now);
        }
        self.params_changed = false;
        self.code.run_statics(&mut self.slab);
        self.tables.forget();
    }

    /// One round of machine code over what the core shows.
    #[inline]
    fn round(&mut self, ticks: u64, shown: &Instant<'_>, out: &mut Desires) {
        if !self.code.run_round(&mut self.slab, ticks, shown.inputs, shown.signal_times, &mut out.values) {
            self.round_short(ticks, shown);
        }
    }

    #[cold]
    fn round_short(&mut self, ticks: u64, shown: &Instant<'_>) {
        let (inputs, times, values) = self.short.fill(shown);
        let done = self.code.run_round(&mut self.slab, ticks, inputs, times, values);
        assert!(done, "`Short` has the lengths of the manifest");
        self.tables.forget();
    }

    /// Rules, and the rounds that follow what they commit.
    #[inline(never)]
    fn settle(&mut self, mut ticks: u64, shown: &Instant<'_>, out: &mut Desires) {
        for commit_rounds in 0.. {
            let fired = self.tables.apply(&self.slab, ticks);
            if !fired || !self.tables.commit(&mut self.slab, &mut self.control) || self.control != Control::Run {
                return;
            }
            if commit_rounds == COMMIT_ROUNDS_MAX {
                self.control = Control::Livelock;
                return;
            }
            ticks = ClockSet::COMMIT.0;
            self.round(ticks, shown, out);
        }
    }

    /// Nothing is desired any more.
    #[cold]
    fn stopped(&mut self, out: &mut Desires) {
        out.control = self.control;
        self.tables.withdraw(&mut out.owners, &mut out.values);
    }
}

/// Room for a caller that shows or takes less than the manifest asks for: what it leaves out is absent.
struct Short {
    inputs: Box<[f64]>,
    times: Box<[TimeNs]>,
    values: Box<[f64]>,
}

impl Short {
    fn new(manifest: &Manifest) -> Self {
        Self {
            inputs: vec![f64::NAN; manifest.inputs.len()].into(),
            times: vec![TimeNs::MIN; manifest.signals.len()].into(),
            values: vec![f64::NAN; manifest.values_len].into(),
        }
    }

    fn fill(&mut self, shown: &Instant<'_>) -> (&[f64], &[TimeNs], &mut [f64]) {
        self.inputs.fill(f64::NAN);
        self.times.fill(TimeNs::MIN);
        self.inputs.iter_mut().zip(shown.inputs).for_each(|(own, input)| *own = *input);
        self.times.iter_mut().zip(shown.signal_times).for_each(|(own, time)| *own = *time);
        (&self.inputs, &self.times, &mut self.values)
    }
}

impl Strategy for JitStrategy {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        if self.control != Control::Run {
            return self.stopped(out);
        }
        let now = instant.now.0.clamp(0, TIME_BOUND - 1).max(self.slab[NOW] as i64);
        self.slab[NOW] = now as u64;
        if self.params_changed {
            self.prepare(now);
        }
        let ticks = self.ticks(instant.ticks, now);
        self.round(ticks, instant, out);
        if self.tables.has_rules(self.slab[MODE]) {
            self.settle(ticks, instant, out);
            if self.control != Control::Run {
                return self.stopped(out);
            }
        }
        out.control = Control::Run;
        self.tables.write(&self.slab, &mut out.owners, &mut out.values);
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        if self.control != Control::Run || !self.started {
            return None;
        }
        let armed = &self.slab[self.layout.deadlines.start..self.layout.deadlines.end];
        let next = armed.iter().fold(self.timer_next_ns, |next, word| next.min(*word as i64));
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

fn earliest(times_ns: &[i64]) -> i64 {
    times_ns.iter().fold(NEVER, |earliest, ns| earliest.min(*ns))
}
