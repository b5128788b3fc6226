//! The reference interpreter: walks the graph as written, one node at a time. What it computes is what a program means;
//! it shares no lowering with the machine code that must equal it.
//!
//! Thread      the core's.
//! Memory      everything is allocated in `new`; proven by `tests/no_alloc.rs` of `tercel-jit`.
//! Cost        tens of nanoseconds per node and round; for tests, explanation and platforms without machine code.
mod cell;
mod pure;
mod roll;

use tercel_event::{Chain, Control, Desires, Instant, Manifest, NO_OWNER, ParamError, Strategy};
use tercel_types::TimeNs;

use crate::clock::ClockSet;
use crate::error::GraphError;
use crate::limits::COMMIT_ROUNDS_MAX;
use crate::math;
use crate::op::{Cmp, Op, TimeBase};
use crate::program::{Action, Event, Init, NodeId, Program, Trigger};
use crate::value::Value;
use cell::{Cell, Round};

/// Engine times lie in `0 .. TIME_BOUND`; a feature time outside counts as missing.
const TIME_BOUND: i64 = 1 << 62;
const NEVER: i64 = i64::MAX;

/// A strategy run by walking its graph.
pub struct Interp {
    program: Program,
    manifest: Manifest,
    /// Per node, of the latest round.
    values: Vec<Value>,
    cells: Vec<Cell>,
    /// Per node: when its value changes without input; `NEVER` for most.
    deadlines: Vec<i64>,
    params: Vec<f64>,
    states: Vec<Value>,
    /// Per mode; absent while it is not active.
    mode_values: Vec<Vec<Value>>,
    mode: u16,
    entry_ns: i64,
    /// Per rule: the last present value of a `when` condition.
    edges: Vec<bool>,
    fired: Vec<u64>,
    blocked: Vec<u64>,
    timers_next_ns: Vec<i64>,
    now: i64,
    started: bool,
    control: Control,
    pending: Pending,
}

/// What the rules of a round asked for.
struct Pending {
    next: Vec<Option<Value>>,
    go: Option<u16>,
    go_values: Vec<Value>,
    control: Option<Control>,
}

impl Interp {
    /// Errors: the graph is not valid for the manifest.
    pub fn new(program: Program, manifest: Manifest) -> Result<Self, GraphError> {
        program.validate(&manifest)?;
        let operand = |args: &[NodeId]| args.first().map(|a| program.ty(*a));
        let cells = program.nodes.iter().map(|n| Cell::new(n.op, n.ty, operand(&n.args))).collect();
        let frozen = |m: &crate::program::Mode| m.values.iter().map(|ty| Value::absent(*ty)).collect::<Vec<_>>();
        let widest = program.modes.iter().map(|m| m.values.len()).max().unwrap_or(0);
        Ok(Self {
            values: program.nodes.iter().map(|n| Value::absent(n.ty)).collect(),
            cells,
            deadlines: vec![NEVER; program.nodes.len()],
            params: manifest.params.iter().map(|p| p.default).collect(),
            states: program.states.iter().map(|s| Value::absent(s.ty)).collect(),
            mode_values: program.modes.iter().map(frozen).collect(),
            mode: program.initial_mode,
            entry_ns: 0,
            edges: vec![true; program.rules.len()],
            fired: vec![0; program.rules.len()],
            blocked: vec![0; program.rules.len()],
            timers_next_ns: vec![0; program.timers.len()],
            now: 0,
            started: false,
            control: Control::Run,
            pending: Pending {
                next: vec![None; program.states.len()],
                go: None,
                go_values: Vec::with_capacity(widest),
                control: None,
            },
            program,
            manifest,
        })
    }

    /// The words of state of a node before the first instant, in the order of the digest.
    pub fn first_words(program: &Program, node: NodeId) -> Vec<u64> {
        let of = program.node(node);
        let mut words = Vec::with_capacity(of.op.state_words());
        Cell::new(of.op, of.ty, of.args.first().map(|a| program.ty(*a))).words(|word| words.push(word));
        words
    }

    /// Value of a node in the latest round.
    pub fn value(&self, node: NodeId) -> Value {
        self.values[node.idx()]
    }

    /// Per rule: how often it fired, and how often an absent operand kept it from firing.
    pub fn rule_counts(&self) -> impl Iterator<Item = (u64, u64)> {
        self.fired.iter().copied().zip(self.blocked.iter().copied())
    }

    fn start(&mut self) {
        self.entry_ns = self.now;
        for (value, var) in self.states.iter_mut().zip(&self.program.states) {
            *value = match var.init {
                Init::Absent => Value::absent(var.ty),
                Init::F64(value) => Value::F64(Some(value)),
                Init::Bool(value) => Value::Bool(Some(value)),
                Init::Time(ns) => Value::Time(Some(ns)),
                Init::Param(idx) => Value::F64(Some(self.params[idx as usize])),
            };
        }
        for (cell, node) in self.cells.iter_mut().zip(&self.program.nodes) {
            cell.start(node.op, self.now);
        }
        for (next, period) in self.timers_next_ns.iter_mut().zip(&self.program.timers) {
            *next = (self.now / period.0 + 1) * period.0;
        }
        self.started = true;
    }

    /// Clocks that tick in the first round.
    fn ticks(&mut self, outside: u64) -> ClockSet {
        let mut ticks = ClockSet(outside & ((1 << self.manifest.clocks.len()) - 1));
        for (idx, next) in self.timers_next_ns.iter_mut().enumerate() {
            if self.now >= *next {
                let period = self.program.timers[idx].0;
                ticks |= ClockSet::timer(idx);
                *next = (self.now / period + 1) * period;
            }
        }
        ticks
    }

    fn evaluate(&mut self, instant: &Instant<'_>, ticks: ClockSet) {
        for idx in 0..self.program.nodes.len() {
            let node = &self.program.nodes[idx];
            let mut args = [Value::F64(None); 4];
            for (arg, id) in args.iter_mut().zip(&node.args) {
                *arg = self.values[id.idx()];
            }
            let round = Round { now: self.now, ticks: node.clocks.intersects(ticks) };
            let (op, clocks) = (node.op, node.clocks);
            self.values[idx] = match &mut self.cells[idx] {
                Cell::None => match op {
                    Op::Tick => Value::Bool(Some(clocks.intersects(ticks))),
                    Op::Deadline { base, cmp } => self.deadline(idx, base, cmp, args[0], instant),
                    Op::Signal { input, signal } => self.signal(idx, input, signal, instant),
                    _ => self.source(op, instant).unwrap_or_else(|| pure::eval(op, args)),
                },
                cell => {
                    let value = cell.eval(op, args, round);
                    if let Cell::Window(window) = cell {
                        self.deadlines[idx] = window.next_ns;
                    }
                    value
                }
            };
        }
    }

    fn source(&self, op: Op, instant: &Instant<'_>) -> Option<Value> {
        Some(match op {
            Op::Const(value) => Value::F64(Some(value)),
            Op::ConstBool(value) => Value::Bool(Some(value)),
            Op::Absent(ty) => Value::absent(ty),
            Op::Param(idx) => Value::F64(Some(self.params[idx as usize])),
            Op::Input(idx) => Value::F64(input(instant, idx)),
            Op::SignalAge(signal) => Value::F64(self.age(signal, instant).map(|(_, age)| math::seconds(age))),
            Op::Now => Value::Time(Some(self.now)),
            Op::Elapsed => Value::F64(Some(math::seconds(self.now - self.entry_ns))),
            Op::State(idx) => self.states[idx as usize],
            Op::ModeValue { mode, idx } => self.mode_values[mode as usize][idx as usize],
            Op::InMode(mode) => Value::Bool(Some(self.mode == mode)),
            _ => return None,
        })
    }

    /// Feature time and age of a signal.
    fn age(&self, signal: u16, instant: &Instant<'_>) -> Option<(i64, i64)> {
        let time = instant.signal_times.get(signal as usize)?.0;
        (0..TIME_BOUND).contains(&time).then_some((time, self.now - time))
    }

    fn arm(&mut self, idx: usize, at: i64) {
        self.deadlines[idx] = if at > self.now { at } else { NEVER };
    }

    fn signal(&mut self, idx: usize, slot: u16, signal: u16, instant: &Instant<'_>) -> Value {
        self.deadlines[idx] = NEVER;
        let Some((time, age)) = self.age(signal, instant) else { return Value::F64(None) };
        let max_age = self.manifest.signals[signal as usize].max_age.0;
        self.arm(idx, time + max_age + 1);
        Value::F64(input(instant, slot).filter(|_| age <= max_age))
    }

    fn deadline(&mut self, idx: usize, base: TimeBase, cmp: Cmp, bound: Value, instant: &Instant<'_>) -> Value {
        self.deadlines[idx] = NEVER;
        let base_and_bound = match base {
            TimeBase::Now => bound.time().map(|time| (0, time)),
            TimeBase::Elapsed => bound.f64().and_then(math::span_ns).map(|span| (self.entry_ns, span)),
            TimeBase::Age(signal) => {
                self.age(signal, instant).zip(bound.f64().and_then(math::span_ns)).map(|((time, _), span)| (time, span))
            }
        };
        let Some((base_ns, bound_ns)) = base_and_bound else { return Value::Bool(None) };
        let (holds, flips_ns) = pure::deadline(cmp, base_ns, self.now, bound_ns);
        self.arm(idx, flips_ns);
        Value::Bool(Some(holds))
    }

    fn holds(&self, node: NodeId) -> bool {
        self.values[node.idx()] == Value::Bool(Some(true))
    }

    /// Rules of the active mode, then the strategy's.
    fn apply_rules(&mut self, ticks: ClockSet) {
        for scope in [Some(self.mode), None] {
            for idx in 0..self.program.rules.len() {
                if self.program.rules[idx].mode == scope && self.triggers(idx, ticks) {
                    self.fire(idx);
                }
            }
        }
    }

    fn triggers(&mut self, idx: usize, ticks: ClockSet) -> bool {
        match &self.program.rules[idx].trigger {
            Trigger::When(condition) => match self.values[condition.idx()].bool() {
                Some(now) => {
                    let was = core::mem::replace(&mut self.edges[idx], now);
                    now && !was
                }
                None => false,
            },
            Trigger::On { event, guard } => {
                let happens = match event {
                    Event::Clocks(clocks) => clocks.intersects(ticks),
                    Event::Pulse(pulse) => self.holds(*pulse),
                };
                happens && guard.is_none_or(|g| self.holds(g))
            }
        }
    }

    fn fire(&mut self, idx: usize) {
        let rule = &self.program.rules[idx];
        let absent = |node: &NodeId| !self.values[node.idx()].is_present();
        let blocked = rule.actions.iter().any(|action| match action {
            Action::Go { args, .. } => args.iter().any(absent),
            Action::Next { value, .. } => absent(value),
            _ => false,
        });
        if blocked {
            self.blocked[idx] += 1;
            return;
        }
        self.fired[idx] += 1;
        let pending = &mut self.pending;
        for action in &rule.actions {
            match action {
                Action::Go { mode, args } => {
                    if pending.go.is_none() {
                        pending.go = Some(*mode);
                        pending.go_values.clear();
                        pending.go_values.extend(args.iter().map(|a| self.values[a.idx()]));
                    }
                }
                Action::Next { state, value } => {
                    pending.next[*state as usize].get_or_insert(self.values[value.idx()]);
                }
                Action::Clear { state } => {
                    let ty = self.program.states[*state as usize].ty;
                    pending.next[*state as usize].get_or_insert(Value::absent(ty));
                }
                Action::Halt { message } => {
                    pending.control.get_or_insert(Control::Halt(*message));
                }
                Action::Finish { message } => {
                    pending.control.get_or_insert(Control::Finish(*message));
                }
                Action::Note { .. } => {}
            }
        }
    }

    /// Takes over what the rules asked for; whether anything changed.
    fn commit(&mut self) -> bool {
        let mut changed = false;
        for (state, next) in self.states.iter_mut().zip(&mut self.pending.next) {
            if let Some(next) = next.take() {
                changed |= next.word() != state.word();
                *state = next;
            }
        }
        if let Some(mode) = self.pending.go.take() {
            changed = true;
            (self.mode, self.entry_ns) = (mode, self.now);
            for (values, def) in self.mode_values.iter_mut().zip(&self.program.modes) {
                values.iter_mut().zip(&def.values).for_each(|(value, ty)| *value = Value::absent(*ty));
            }
            self.mode_values[mode as usize].copy_from_slice(&self.pending.go_values);
            for (edge, rule) in self.edges.iter_mut().zip(&self.program.rules) {
                if rule.mode == Some(mode) {
                    *edge = false;
                }
            }
        }
        if let Some(control) = self.pending.control.take() {
            self.control = control;
        }
        changed
    }

    fn write(&self, out: &mut Desires) {
        out.owners.fill(NO_OWNER);
        out.values.fill(f64::from_bits(crate::ABSENT_BITS));
        out.control = self.control;
        if self.control != Control::Run {
            return;
        }
        let mut put = |slot: usize, node: NodeId| {
            if let Some(value) = out.values.get_mut(slot) {
                *value = f64::from_bits(self.values[node.idx()].word());
            }
        };
        for scope in [Some(self.mode), None] {
            for (idx, sink) in self.program.sinks.iter().enumerate().filter(|(_, sink)| sink.mode == scope) {
                let instrument = self.manifest.sinks[idx].instrument() as usize;
                let Some(owner) = out.owners.get_mut(instrument) else { continue };
                if *owner == NO_OWNER && sink.guard.is_none_or(|g| self.holds(g)) {
                    *owner = idx as u16;
                    sink.outputs.iter().for_each(|(slot, node)| put(*slot, *node));
                }
            }
        }
        for (bound, spec) in self.program.limits.iter().zip(&self.manifest.limits) {
            put(spec.bound_slot, *bound);
        }
    }
}

/// An input as the core shows it.
fn input(instant: &Instant<'_>, idx: u16) -> Option<f64> {
    instant.inputs.get(idx as usize).copied().and_then(cell::finite)
}

impl Strategy for Interp {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        if self.control != Control::Run {
            return self.write(out);
        }
        self.now = instant.now.0.clamp(0, TIME_BOUND - 1).max(self.now);
        if !self.started {
            self.start();
        }
        let mut ticks = self.ticks(instant.ticks);
        for commit_rounds in 0.. {
            self.evaluate(instant, ticks);
            self.apply_rules(ticks);
            if !self.commit() || self.control != Control::Run {
                break;
            }
            if commit_rounds == COMMIT_ROUNDS_MAX {
                self.control = Control::Livelock;
                break;
            }
            ticks = ClockSet::COMMIT;
        }
        self.write(out);
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        if self.control != Control::Run || !self.started {
            return None;
        }
        let next = self.timers_next_ns.iter().chain(&self.deadlines).copied().min().filter(|at| *at != NEVER);
        next.map(TimeNs)
    }

    fn set_param(&mut self, param_idx: usize, value: f64) -> Result<(), ParamError> {
        let count = self.params.len();
        let spec = self.manifest.params.get(param_idx).ok_or(ParamError::Unknown { idx: param_idx, count })?;
        if !(spec.lo..=spec.hi).contains(&value) {
            return Err(ParamError::Range { name: spec.name.clone(), value, lo: spec.lo, hi: spec.hi });
        }
        self.params[param_idx] = value;
        Ok(())
    }

    fn digest(&self) -> u64 {
        let mut chain = Chain::default();
        let (kind, message) = match self.control {
            Control::Run => (0, 0),
            Control::Halt(message) => (1, message),
            Control::Finish(message) => (2, message),
            Control::Livelock => (3, 0),
        };
        chain.word(kind << 16 | u64::from(message));
        for word in [u64::from(self.started), self.now as u64, self.mode.into(), self.entry_ns as u64] {
            chain.word(word);
        }
        self.timers_next_ns.iter().for_each(|ns| chain.word(*ns as u64));
        self.params.iter().for_each(|p| chain.word(p.to_bits()));
        self.states.iter().chain(self.mode_values.iter().flatten()).for_each(|v| chain.word(v.word()));
        self.edges.iter().for_each(|edge| chain.word((*edge).into()));
        self.fired.iter().chain(&self.blocked).for_each(|count| chain.word(*count));
        self.cells.iter().for_each(|cell| cell.words(|word| chain.word(word)));
        chain.0
    }

    fn mode_name(&self) -> &str {
        self.program.modes.get(self.mode as usize).map_or("", |m| &m.name)
    }
}
