//! Typing of nodes and of whole programs: what both engines may rely on.
use tercel_event::{Input, Manifest};

use crate::clock::ClockSet;
use crate::error::GraphError;
use crate::op::{Cmp, Op, TimeBase, Ty};
use crate::program::{Action, Event, Init, Program, Trigger};
use crate::{NodeId, limits};

/// What an operand may be.
#[derive(Clone, Copy)]
enum Want {
    F64,
    Bool,
    Time,
    Any,
    /// F64 or Bool.
    Value,
    /// F64 or Time, same as operand 0.
    Ordered,
    /// Same as operand `.0`.
    Same(usize),
}

fn operands(op: Op) -> &'static [Want] {
    use Want::*;
    match op {
        Op::Const(_) | Op::ConstBool(_) | Op::Absent(_) | Op::Param(_) | Op::Input(_) | Op::Signal { .. } => &[],
        Op::SignalAge(_) | Op::Now | Op::Elapsed | Op::State(_) | Op::ModeValue { .. } | Op::InMode(_) | Op::Tick => {
            &[]
        }
        Op::Neg | Op::Abs | Op::Sqrt | Op::Ln | Op::Exp | Op::Floor | Op::Ceil | Op::Round | Op::CheckInt => &[F64],
        Op::PowI(_) => &[F64],
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Min | Op::Max | Op::CrossesAbove | Op::CrossesBelow => &[F64, F64],
        Op::Clamp | Op::Hysteresis => &[F64, F64, F64],
        Op::Cmp(_) => &[Ordered, Same(0)],
        Op::Not => &[Bool],
        Op::And | Op::Or => &[Bool, Bool],
        Op::If => &[Bool, Any, Same(1)],
        Op::Coalesce => &[Any, Same(0)],
        Op::Present | Op::Sample | Op::Hold | Op::History { .. } => &[Any],
        Op::TimeAdd => &[Time, F64],
        Op::TimeSub => &[Time, Time],
        Op::Deadline { base: TimeBase::Now, .. } => &[Time],
        Op::Deadline { .. } => &[F64],
        Op::Delta
        | Op::Skip { .. }
        | Op::Lag { .. }
        | Op::Total
        | Op::Ema { .. }
        | Op::EwMean { .. }
        | Op::EwVarRate { .. }
        | Op::EwStd { .. } => &[F64],
        Op::WindowSum { .. } => &[F64],
        Op::Adapt => &[F64, F64],
        Op::RollSum { .. } | Op::RollWeighted { .. } | Op::RollSquares { .. } => &[F64],
        Op::RollMax { .. } | Op::RollMin { .. } | Op::RollSinceMax { .. } | Op::RollSinceMin { .. } => &[F64],
        Op::Ofi => &[F64, F64, F64, F64],
        Op::Changed => &[Value],
    }
}

/// Type of a node with this operator and operands, or what is wrong with them.
pub(crate) fn result_type(program: &Program, op: Op, args: &[NodeId], clocks: ClockSet) -> Result<Ty, GraphError> {
    let name = op.name();
    let wants = operands(op);
    if wants.len() != args.len() {
        return Err(GraphError::Arity { op: name, want: wants.len(), got: args.len() });
    }
    let mut tys = [Ty::F64; 4];
    for (idx, (want, arg)) in wants.iter().zip(args).enumerate() {
        let got = program.nodes.get(arg.idx()).ok_or(GraphError::Order { op: name, idx })?.ty;
        tys[idx] = got;
        let (fits, want) = match *want {
            Want::F64 => (got == Ty::F64, "F64"),
            Want::Bool => (got == Ty::Bool, "Bool"),
            Want::Time => (got == Ty::Time, "Time"),
            Want::Any => (true, ""),
            Want::Value => (got != Ty::Time, "F64 or Bool"),
            Want::Ordered => (got != Ty::Bool, "F64 or Time"),
            Want::Same(other) => (got == tys[other], "the type of its partner"),
        };
        if !fits {
            return Err(GraphError::Type { op: name, idx, got, want });
        }
    }
    if op.needs_clock() && clocks.is_empty() {
        return Err(GraphError::NoClock { op: name });
    }
    structural(op)?;
    Ok(match op {
        Op::Absent(ty) => ty,
        Op::ConstBool(_) | Op::InMode(_) | Op::Tick | Op::Cmp(_) | Op::Not | Op::And | Op::Or | Op::Present => Ty::Bool,
        Op::Deadline { .. } | Op::CrossesAbove | Op::CrossesBelow | Op::Hysteresis | Op::Changed => Ty::Bool,
        Op::Now | Op::TimeAdd => Ty::Time,
        Op::Coalesce | Op::Sample | Op::Hold | Op::History { .. } => tys[0],
        Op::If => tys[1],
        Op::State(idx) => {
            let count = program.states.len();
            program.states.get(idx as usize).ok_or(GraphError::Unknown { what: "state", idx: idx as usize, count })?.ty
        }
        Op::ModeValue { mode, idx } => {
            let values = &mode_of(program, mode)?.values;
            *values.get(idx as usize).ok_or(GraphError::Unknown {
                what: "mode value",
                idx: idx as usize,
                count: values.len(),
            })?
        }
        _ => Ty::F64,
    })
}

/// Bounds of the structural arguments.
fn structural(op: Op) -> Result<(), GraphError> {
    let halflife = |ns: i64| (1..=limits::SPAN_NS_MAX).contains(&ns);
    let (fits, what) = match op {
        Op::Const(value) => (value.is_finite(), "a literal is finite; use Absent"),
        Op::PowI(n) => ((-64..=64).contains(&n), "the exponent must be in -64 ..= 64"),
        Op::History { k } => ((1..=limits::HISTORY_MAX).contains(&k), "k must be in 1 ..= 65536"),
        Op::Ema { alpha, seed, .. } => (
            alpha > 0.0 && alpha <= 1.0 && (1..=limits::ROLL_MAX).contains(&seed),
            "alpha must be in 0 < alpha <= 1 and the seed in 1 ..= 16384",
        ),
        Op::Skip { n } | Op::Lag { n } => ((1..=limits::ROLL_MAX).contains(&n), "n must be in 1 ..= 16384"),
        Op::EwMean { halflife_ns, .. } | Op::EwVarRate { halflife_ns, .. } | Op::EwStd { halflife_ns, .. } => {
            (halflife(halflife_ns), "the half-life must be in 1 ns ..= 30 days")
        }
        Op::WindowSum { panes, pane_ns, .. } => (
            (1..=limits::PANES_MAX).contains(&panes)
                && (1..=limits::SPAN_NS_MAX).contains(&pane_ns)
                && i64::from(panes).checked_mul(pane_ns).is_some_and(|w| w <= limits::SPAN_NS_MAX),
            "panes must be in 1 ..= 1024 and the width at most 30 days",
        ),
        Op::Deadline { cmp, .. } => (!matches!(cmp, Cmp::Eq | Cmp::Ne), "a deadline is an order comparison"),
        op => (op.roll_len().is_none_or(|n| (1..=limits::ROLL_MAX).contains(&n)), "n must be in 1 ..= 16384"),
    };
    if fits { Ok(()) } else { Err(GraphError::Structural { op: op.name(), what }) }
}

fn mode_of(program: &Program, mode: u16) -> Result<&crate::program::Mode, GraphError> {
    let count = program.modes.len();
    program.modes.get(mode as usize).ok_or(GraphError::Unknown { what: "mode", idx: mode as usize, count })
}

impl Program {
    /// Checks everything that the engines rely on, against the manifest the program will run with.
    pub fn validate(&self, manifest: &Manifest) -> Result<(), GraphError> {
        if manifest.clocks.len() > ClockSet::BASE_COUNT {
            return Err(GraphError::TooMany { what: "base clocks", max: ClockSet::BASE_COUNT });
        }
        if self.timers.len() > ClockSet::TIMER_COUNT {
            return Err(GraphError::TooMany { what: "timer periods", max: ClockSet::TIMER_COUNT });
        }
        if self.nodes.len() > limits::NODES_MAX {
            return Err(GraphError::TooMany { what: "nodes", max: limits::NODES_MAX });
        }
        for (what, count) in [
            ("rules", self.rules.len()),
            ("sinks", self.sinks.len()),
            ("modes", self.modes.len()),
            ("state variables", self.states.len()),
        ] {
            if count > limits::PARTS_MAX {
                return Err(GraphError::TooMany { what, max: limits::PARTS_MAX });
            }
        }
        if let Some(idx) = manifest.params.iter().position(|p| !p.default.is_finite()) {
            return Err(GraphError::Part { what: "parameter", idx, problem: "its default is not finite" });
        }
        if let Some(idx) = manifest.signals.iter().position(|s| !(0..=limits::SPAN_NS_MAX).contains(&s.max_age.0)) {
            return Err(GraphError::Part { what: "signal", idx, problem: "`max_age` must be in 0 ..= 30 days" });
        }
        if let Some(idx) = self.timers.iter().position(|t| !(1..=limits::SPAN_NS_MAX).contains(&t.0)) {
            return Err(GraphError::Part { what: "timer", idx, problem: "its period must be in 1 ns ..= 30 days" });
        }
        self.check_nodes(manifest)?;
        self.check_state(manifest)?;
        for (idx, rule) in self.rules.iter().enumerate() {
            self.check_rule(idx, rule, manifest)?;
        }
        let (known, probe) = (self.nodes.len(), self.probes.iter().find(|probe| probe.idx() >= self.nodes.len()));
        if let Some(probe) = probe {
            return Err(GraphError::Unknown { what: "node", idx: probe.idx(), count: known });
        }
        self.check_sinks(manifest)
    }

    /// Every clock that exists.
    fn clocks(&self, manifest: &Manifest) -> ClockSet {
        let below = |count: usize| (1u64 << count) - 1;
        ClockSet(below(manifest.clocks.len()) | (below(self.timers.len()) << ClockSet::BASE_COUNT)) | ClockSet::COMMIT
    }

    fn check_nodes(&self, manifest: &Manifest) -> Result<(), GraphError> {
        let known = |what, idx: usize, count: usize| {
            if idx < count { Ok(()) } else { Err(GraphError::Unknown { what, idx, count }) }
        };
        let clocks = self.clocks(manifest);
        for (at, node) in self.nodes.iter().enumerate() {
            if let Some(idx) = node.args.iter().position(|a| a.idx() >= at) {
                return Err(GraphError::Order { op: node.op.name(), idx });
            }
            if result_type(self, node.op, &node.args, node.clocks)? != node.ty {
                return Err(GraphError::Part { what: "node", idx: at, problem: "its type is not its operator's" });
            }
            if !clocks.contains(node.clocks) {
                return Err(GraphError::Part { what: "node", idx: at, problem: "a clock of it does not exist" });
            }
            let signals = manifest.signals.len();
            match node.op {
                Op::Param(idx) => known("parameter", idx.into(), manifest.params.len())?,
                Op::Input(idx) => known("input", idx.into(), manifest.inputs.len())?,
                Op::Signal { input, signal } => {
                    known("signal", signal.into(), signals)?;
                    if manifest.inputs.get(input as usize) != Some(&Input::Signal { signal }) {
                        return Err(GraphError::Part { what: "node", idx: at, problem: "its input is not its signal" });
                    }
                }
                Op::SignalAge(idx) | Op::Deadline { base: TimeBase::Age(idx), .. } => {
                    known("signal", idx.into(), signals)?;
                }
                Op::InMode(mode) => drop(mode_of(self, mode)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn check_state(&self, manifest: &Manifest) -> Result<(), GraphError> {
        for (idx, state) in self.states.iter().enumerate() {
            let fits = match state.init {
                Init::Absent => true,
                Init::F64(value) => state.ty == Ty::F64 && value.is_finite(),
                Init::Bool(_) => state.ty == Ty::Bool,
                Init::Time(ns) => state.ty == Ty::Time && ns.unsigned_abs() < 1 << 62,
                Init::Param(param) => state.ty == Ty::F64 && (param as usize) < manifest.params.len(),
            };
            if !fits {
                return Err(GraphError::Part { what: "state", idx, problem: "its first value is not of its type" });
            }
        }
        if !self.modes.is_empty() && !mode_of(self, self.initial_mode)?.values.is_empty() {
            return Err(GraphError::Part {
                what: "mode",
                idx: self.initial_mode.into(),
                problem: "the initial mode has values",
            });
        }
        Ok(())
    }

    fn check_rule(&self, idx: usize, rule: &crate::program::Rule, manifest: &Manifest) -> Result<(), GraphError> {
        let wrong = |problem| Err(GraphError::Part { what: "rule", idx, problem });
        if let Some(mode) = rule.mode {
            mode_of(self, mode)?;
        }
        let is_bool = |node: NodeId| self.nodes.get(node.idx()).is_some_and(|n| n.ty == Ty::Bool);
        let ticks_exist = match &rule.trigger {
            Trigger::On { event: Event::Clocks(set), .. } => self.clocks(manifest).contains(*set),
            _ => true,
        };
        if !ticks_exist {
            return wrong("a clock of its event does not exist");
        }
        let conditions_fit = match &rule.trigger {
            Trigger::When(condition) => is_bool(*condition),
            Trigger::On { event, guard } => {
                guard.is_none_or(is_bool)
                    && match event {
                        Event::Pulse(pulse) => is_bool(*pulse),
                        Event::Clocks(_) => true,
                    }
            }
        };
        if !conditions_fit {
            return wrong("its condition is not a Bool");
        }
        for action in &rule.actions {
            match action {
                Action::Go { mode, args } => {
                    let values = &mode_of(self, *mode)?.values;
                    if !values.iter().copied().map(Some).eq(args.iter().map(|a| self.nodes.get(a.idx()).map(|n| n.ty)))
                    {
                        return wrong("`go` does not fit the values of its mode");
                    }
                }
                Action::Next { state, value } => {
                    let var = self.states.get(*state as usize).map(|s| s.ty);
                    if var.is_none() || var != self.nodes.get(value.idx()).map(|n| n.ty) {
                        return wrong("`next` does not fit its state variable");
                    }
                }
                Action::Clear { state } if *state as usize >= self.states.len() => {
                    return wrong("no such state variable");
                }
                Action::Halt { message } | Action::Finish { message } | Action::Note { message, .. }
                    if *message as usize >= manifest.messages.len() =>
                {
                    return wrong("no such message");
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_sinks(&self, manifest: &Manifest) -> Result<(), GraphError> {
        let is = |node: NodeId, ty| self.nodes.get(node.idx()).is_some_and(|n| n.ty == ty);
        if self.sinks.len() != manifest.sinks.len() || self.limits.len() != manifest.limits.len() {
            return Err(GraphError::Part {
                what: "manifest",
                idx: 0,
                problem: "its sinks or limits are not the program's",
            });
        }
        let mut taken = vec![false; manifest.values_len];
        let mut take = |slot: usize| taken.get_mut(slot).is_some_and(|t| !core::mem::replace(t, true));
        for (idx, (sink, spec)) in self.sinks.iter().zip(&manifest.sinks).enumerate() {
            let wrong = |problem| Err(GraphError::Part { what: "sink", idx, problem });
            if sink.mode.is_some_and(|m| m as usize >= self.modes.len()) {
                return wrong("its mode does not exist");
            }
            if spec.instrument() as usize >= manifest.instruments.len() {
                return wrong("its instrument does not exist");
            }
            if sink.guard.is_some_and(|g| !is(g, Ty::Bool)) || sink.outputs.iter().any(|(_, n)| !is(*n, Ty::F64)) {
                return wrong("a guard is not a Bool or an output not an F64");
            }
            if sink.outputs.iter().any(|(slot, _)| !take(*slot)) {
                return wrong("a slot is outside the values or written twice");
            }
        }
        for (idx, (bound, spec)) in self.limits.iter().zip(&manifest.limits).enumerate() {
            if !is(*bound, Ty::F64) || !take(spec.bound_slot) {
                return Err(GraphError::Part {
                    what: "limit",
                    idx,
                    problem: "its bound is not an F64 or its slot taken",
                });
            }
        }
        Ok(())
    }
}
