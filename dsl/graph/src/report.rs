//! What a program costs and when it is ready: numbers that follow from the graph alone, for reports and budgets.
use tercel_event::Manifest;

use crate::clock::ClockSet;
use crate::limits::COMMIT_ROUNDS_MAX;
use crate::op::Op;
use crate::program::Program;

/// Static costs. Operations are counted in the unit of [`Op::ops`]; nanoseconds are a matter of measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub nodes: usize,
    /// Bytes of state: operators, state variables, modes, rules' edges.
    pub state_bytes: usize,
    /// Periodic timers.
    pub timers: usize,
    /// Timer slots of deadlines, signal expiries and panes.
    pub deadlines: usize,
    /// One round in which every clock ticks: the worst case of a single round.
    pub ops_per_round: u64,
    /// One instant with every commit round taken and every window rolling all of its panes.
    pub ops_per_instant_max: u64,
    /// One round in which only this clock ticks: per `Manifest::clocks`, then per timer of the program.
    pub ops_per_clock: Vec<u64>,
}

/// When the output of an operator with state first means something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readiness {
    /// Present ticks until the first present output; orders wait for it.
    pub ready_after_ticks: u32,
    /// Live time until the first present output.
    pub ready_after_ns: i64,
    /// Ticks until the weight of the seed is below 1e-6; information only, 0 where it does not apply.
    pub settles_after_ticks: u64,
    /// The same in time, for half-lives.
    pub settles_after_ns: i64,
}

impl Op {
    /// Operations of one evaluation in a round in which the operator advances: arithmetic, compares, loads of state.
    pub const fn ops(self) -> u64 {
        match self {
            Self::Const(_) | Self::ConstBool(_) | Self::Absent(_) => 0,
            Self::Ln | Self::Exp => 24,
            Self::PowI(n) => 1 + 2 * (32 - n.unsigned_abs().leading_zeros()) as u64,
            Self::Clamp | Self::TimeAdd | Self::TimeSub => 4,
            Self::Signal { .. } | Self::Deadline { .. } => 6,
            Self::Hold => 2,
            Self::Sample | Self::Changed | Self::Hysteresis | Self::CrossesAbove | Self::CrossesBelow => 4,
            Self::History { .. } | Self::Delta => 4,
            Self::Ema { .. } | Self::Adapt => 6,
            Self::Skip { .. } | Self::Lag { .. } | Self::Total => 4,
            Self::RollSum { .. } => 12,
            Self::RollWeighted { .. } => 18,
            Self::RollSquares { .. } => 26,
            Self::RollMax { n } | Self::RollMin { n } => 8 + 5 * n.next_power_of_two().trailing_zeros() as u64,
            Self::RollSinceMax { n } | Self::RollSinceMin { n } => {
                10 + 9 * n.next_power_of_two().trailing_zeros() as u64
            }
            Self::EwMean { .. } | Self::EwVarRate { .. } | Self::EwStd { .. } => 36,
            Self::WindowSum { .. } => 12,
            Self::Ofi => 16,
            _ => 1,
        }
    }

    /// Operations in a round in which it only holds its output.
    pub const fn ops_held(self) -> u64 {
        match self {
            Self::WindowSum { .. } => 6,
            _ if self.needs_clock() => 1,
            _ => self.ops(),
        }
    }

    /// `None` for operators without warm-up.
    pub fn readiness(self) -> Option<Readiness> {
        let none = Readiness { ready_after_ticks: 0, ready_after_ns: 0, settles_after_ticks: 0, settles_after_ns: 0 };
        // ln 1e-6 / ln 2 halvings bring the seed's weight to 1e-6; exact to the nanosecond is not needed here.
        let settles = |halflife_ns: i64| halflife_ns.saturating_mul(19_931_569) / 1_000_000;
        match self {
            Self::Ema { alpha, seed, ready } => {
                let ready = ready.max(seed);
                let per_tick = -crate::math::ln(1.0 - alpha);
                let ticks = if per_tick > 0.0 { 13.815_510_557_964_274 / per_tick } else { 1.0 };
                Some(Readiness { ready_after_ticks: ready, settles_after_ticks: ticks as u64 + 1, ..none })
            }
            Self::EwMean { halflife_ns, ready } | Self::EwStd { halflife_ns, ready } => {
                Some(Readiness { ready_after_ticks: ready, settles_after_ns: settles(halflife_ns), ..none })
            }
            Self::EwVarRate { halflife_ns, ready } => Some(Readiness {
                ready_after_ticks: ready.saturating_add(1),
                settles_after_ns: settles(halflife_ns),
                ..none
            }),
            Self::WindowSum { panes, pane_ns, full } => {
                Some(Readiness { ready_after_ns: if full { i64::from(panes) * pane_ns } else { 0 }, ..none })
            }
            Self::Skip { n } | Self::Lag { n } => Some(Readiness { ready_after_ticks: n + 1, ..none }),
            Self::History { k } => Some(Readiness { ready_after_ticks: k + 1, ..none }),
            Self::Delta | Self::Ofi => Some(Readiness { ready_after_ticks: 2, ..none }),
            _ => self.roll_len().map(|n| Readiness { ready_after_ticks: n, ..none }),
        }
    }
}

impl Program {
    /// Static report; the program must be valid for the manifest.
    pub fn report(&self, manifest: &Manifest) -> Report {
        let round = |ticks: ClockSet| -> u64 {
            let node = |n: &crate::program::Node| {
                if n.op.needs_clock() && !n.clocks.intersects(ticks) { n.op.ops_held() } else { n.op.ops() }
            };
            let rules: u64 = self.rules.iter().map(|r| 3 + 2 * r.actions.len() as u64).sum();
            self.nodes.iter().map(node).sum::<u64>() + rules
        };
        let sinks: usize = self.sinks.iter().map(|s| 2 + s.outputs.len()).sum::<usize>() + self.limits.len();
        let panes: u64 =
            self.nodes.iter().map(|n| if let Op::WindowSum { panes, .. } = n.op { panes.into() } else { 0 }).sum();
        let base = (0..manifest.clocks.len()).map(ClockSet::base);
        let timers = (0..self.timers.len()).map(ClockSet::timer);
        let all = base.clone().chain(timers.clone()).fold(ClockSet::NONE, |set, clock| set | clock);
        let value_words: usize = self.modes.iter().map(|m| m.values.len()).sum();
        let state_words: usize = self.nodes.iter().map(|n| n.op.state_words()).sum::<usize>()
            + self.states.len()
            + value_words
            + self.rules.len()
            + self.timers.len()
            + 4;
        Report {
            nodes: self.nodes.len(),
            state_bytes: 8 * state_words,
            timers: self.timers.len(),
            deadlines: self.nodes.iter().filter(|n| n.op.has_deadline()).count(),
            ops_per_round: round(all),
            ops_per_instant_max: round(all)
                + u64::from(COMMIT_ROUNDS_MAX) * round(ClockSet::COMMIT)
                + 2 * panes
                + sinks as u64,
            ops_per_clock: base.chain(timers).map(|clock| round(clock) + sinks as u64).collect(),
        }
    }
}
