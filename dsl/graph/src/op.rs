//! Operators of the typed graph: what each one means, for both engines.
//!
//! Values are present or absent. A pure operator is evaluated in every round from the values of that round. An operator
//! with state advances in the rounds in which one of its node's clocks ticks and holds its output otherwise; the
//! stutter-invariant ones (`Hold`, `CrossesAbove`, `CrossesBelow`, `Hysteresis`, `Changed`) and `WindowSum`'s panes look at every
//! round. State never depends on the mode or on a branch of `If`: it always advances (decision 16).
use crate::clock::ClockSet;

/// Type of a value. Durations are `F64` in seconds; integers are `F64` (exact to 2^53, see [`Op::CheckInt`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ty {
    /// Finite; absent is the one bit pattern [`crate::ABSENT_BITS`].
    F64,
    /// False, true or absent.
    Bool,
    /// UTC nanoseconds in an `i64`; absent is `i64::MIN`.
    Time,
}

/// A comparison. Absent when an operand is; equality is by value (`-0.0 == 0.0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cmp {
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
}

/// What a deadline compares with its bound, in integer nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeBase {
    /// The instant's time; the bound is a `Time`.
    Now,
    /// Time since the active mode was entered (since the first instant when there are no modes); the bound is in seconds.
    Elapsed,
    /// Time since the feature time of a signal, absent before its first value; the bound is in seconds.
    Age(u16),
}

/// An operator with its structural arguments. Operand types are checked by [`crate::Program::push`].
///
/// A finite result is the IEEE result of the operation as written; a NaN or infinite result is absent. Unless said
/// otherwise an absent operand makes the result absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    // Sources
    Const(f64),
    ConstBool(bool),
    /// Always absent.
    Absent(Ty),
    /// `Manifest::params[i]`, as set for this instant.
    Param(u16),
    /// `Manifest::inputs[i]` as the core shows it in this instant; NaN and infinity are absent. The node's clocks say
    /// when it ticks.
    Input(u16),
    /// `Manifest::inputs[input]`, which must be signal `signal`; absent from the first nanosecond at which its age
    /// exceeds `max_age` (an expiry is a deadline).
    Signal {
        input: u16,
        signal: u16,
    },
    /// Age of a signal in seconds; stays present after the signal has expired, absent before the first value.
    SignalAge(u16),
    /// The instant's time.
    Now,
    /// Seconds since the active mode was entered.
    Elapsed,
    /// A state variable: its committed value.
    State(u16),
    /// Frozen value `idx` of a mode; absent while that mode is not active.
    ModeValue {
        mode: u16,
        idx: u16,
    },
    /// Whether a mode is active; never absent.
    InMode(u16),
    /// Pulse: true in the rounds in which one of the node's clocks ticks; never absent.
    Tick,

    // Arithmetic: F64 -> F64
    Neg,
    Abs,
    Sqrt,
    /// Natural logarithm, the pinned one; absent unless the operand is > 0.
    Ln,
    /// The pinned one.
    Exp,
    Floor,
    Ceil,
    /// To the nearest integer, ties to even.
    Round,
    /// The operand when it is an integer of magnitude at most 2^53, else absent: keeps `int` arithmetic exact.
    CheckInt,
    Add,
    Sub,
    Mul,
    Div,
    /// Operand to a literal power, |n| <= 64: square and multiply from the top bit; negative n is 1 / x^|n|; x^0 is 1.
    PowI(i32),
    /// `if b < a then b else a`.
    Min,
    /// `if b > a then b else a`.
    Max,
    /// (x, lo, hi): `if x < lo then lo else if hi < x then hi else x`; absent when lo > hi.
    Clamp,

    // Logic
    /// Two F64 or two Time.
    Cmp(Cmp),
    Not,
    /// Kleene: false if either is false.
    And,
    /// Kleene: true if either is true.
    Or,
    /// (condition, then, else), branches of one type. Absent condition: absent; else the chosen branch alone.
    If,
    /// `a ?? b`, of one type: a when present, else b.
    Coalesce,
    /// Whether the operand (any type) is present; never absent.
    Present,

    // Time
    /// (Time, seconds) -> Time; seconds are rounded to the nearest nanosecond, ties to even.
    TimeAdd,
    /// (Time, Time) -> seconds: subtracted in nanoseconds, then divided by 1e9.
    TimeSub,
    /// `base cmp bound`; one timer slot: its flip is reported by `next_deadline`. `Eq` and `Ne` are refused.
    Deadline {
        base: TimeBase,
        cmp: Cmp,
    },

    // State, advancing on the node's clocks
    /// `e @ clocks`: the operand's value (present or absent) of the last ticking round. Any type.
    Sample,
    /// `x[k]`, k >= 1: the operand at the k-th tick before this one; a hole stays a hole. Any type.
    History {
        k: u32,
    },
    /// x - x[1]; absent when either is.
    Delta,
    /// y = mean of the first `seed` >= 1 values, then y + alpha * (x - y). An absent operand is a tick that does not
    /// advance, output absent. Absent until `ready` and until `seed` present values.
    Ema {
        alpha: f64,
        seed: u32,
        ready: u32,
    },
    /// (x, w), a mean that is told how far to follow: y = x until w is first present, then y + w * (x - y), from then on the
    /// output. After that an absent operand is a tick that does not advance, output absent.
    Adapt,
    /// Absent for the first `n` >= 1 present values, then the operand; an absent operand is absent and does not count.
    Skip {
        n: u32,
    },
    /// The present value n >= 1 present values before this one; an absent operand does not advance, output absent.
    Lag {
        n: u32,
    },
    /// Sum of all present values since the start, in order. An absent operand does not advance, output absent; neither
    /// does a value with which the sum would overflow.
    Total,
    /// Sum of the last n present values. Sliding: (sum + x) - oldest; every n values replaced by the sum of exactly those,
    /// oldest first, which a second accumulator has built up, so no error stays longer than 2 n values. O(1). All `Roll`
    /// operators: absent until n present values; an absent operand is a tick that does not advance, output absent; an
    /// accumulator that overflows is absent until it is next replaced.
    RollSum {
        n: u32,
    },
    /// 1 * oldest + 2 * next + ... + n * newest of the last n present values. Sliding: (sum + n * x) - plain sum before x;
    /// both sums replaced every n values as for `RollSum`. O(1).
    RollWeighted {
        n: u32,
    },
    /// Sum of squared deviations of the last n present values from their mean. Sliding (Welford): d = x - oldest,
    /// mean' = mean + d / n, sum' = sum + d * ((x - mean') + (oldest - mean)), below 0 is 0; both replaced every n values
    /// by those of exactly those values, built up by Welford's recursion. O(1).
    RollSquares {
        n: u32,
    },
    /// Largest of the last n present values, by a tree over their ring: O(log n), the same at every tick.
    RollMax {
        n: u32,
    },
    RollMin {
        n: u32,
    },
    /// Present values since the largest of the last n, 0 when it is the newest; of equal ones the newest. O(log n).
    RollSinceMax {
        n: u32,
    },
    RollSinceMin {
        n: u32,
    },
    /// Exponentially weighted mean by time: as `Ema` with alpha = 1 - exp(-ln 2 * dt / halflife), dt since the last
    /// present tick.
    EwMean {
        halflife_ns: i64,
        ready: u32,
    },
    /// Exponentially weighted mean of (change of x)^2 per second, over consecutive ticks with dt > 0; a tick with dt = 0
    /// does not advance. An absent operand is a gap: the next value only starts a new difference, output absent.
    /// `ready` counts differences.
    EwVarRate {
        halflife_ns: i64,
        ready: u32,
    },
    /// Exponentially weighted standard deviation by time, around the weighted mean (West 1979). `ready` counts values.
    EwStd {
        halflife_ns: i64,
        ready: u32,
    },
    /// Sum over the last `panes * pane_ns` nanoseconds and the current partial pane. Panes align to multiples of
    /// `pane_ns` since 1970; a value stamped on a boundary belongs to the new pane; full panes are added oldest first,
    /// then the current one. Absent ticks are skipped; the output is absent while the latest tick was absent. With
    /// `full`, absent until one whole width has passed since the first present tick, and again after an absence of a
    /// whole width. Without, present (0) from the first round unless the latest tick was absent.
    WindowSum {
        panes: u32,
        pane_ns: i64,
        full: bool,
    },
    /// (bid_px, bid_qty, ask_px, ask_qty): order-flow imbalance of the best level between two ticks,
    /// `[Pb >= Pb'] qb - [Pb <= Pb'] qb' - [Pa <= Pa'] qa + [Pa >= Pa'] qa'` summed left to right (Cont, Kukanov,
    /// Stoikov 2014). Absent on the first tick and on the first after a gap.
    Ofi,

    // State, stutter-invariant: evaluated in every round
    /// The last present value of the operand (any type), absent before the first.
    Hold,
    /// Pulse: a > b and the last present comparison was not. The first present comparison never fires.
    CrossesAbove,
    /// Pulse: a < b and the last present comparison was not.
    CrossesBelow,
    /// (x, on_above, off_below): turns true when x > on_above, else false when x < off_below, else stays; starts false.
    Hysteresis,
    /// Pulse: the operand (F64 or Bool) differs by value from its last present value. The first present value never
    /// fires.
    Changed,
}

impl Op {
    /// Advances on its node's clocks: the node must have at least one.
    pub const fn needs_clock(self) -> bool {
        matches!(
            self,
            Self::Tick
                | Self::Sample
                | Self::History { .. }
                | Self::Delta
                | Self::Ema { .. }
                | Self::Adapt
                | Self::Skip { .. }
                | Self::Lag { .. }
                | Self::Total
                | Self::EwMean { .. }
                | Self::EwVarRate { .. }
                | Self::EwStd { .. }
                | Self::WindowSum { .. }
                | Self::Ofi
        ) || self.roll_len().is_some()
    }

    /// Length of a `Roll` operator.
    pub const fn roll_len(self) -> Option<u32> {
        match self {
            Self::RollSum { n } | Self::RollWeighted { n } | Self::RollSquares { n } => Some(n),
            Self::RollMax { n } | Self::RollMin { n } => Some(n),
            Self::RollSinceMax { n } | Self::RollSinceMin { n } => Some(n),
            _ => None,
        }
    }

    /// True in its own round only.
    pub const fn is_pulse(self) -> bool {
        matches!(self, Self::Tick | Self::CrossesAbove | Self::CrossesBelow | Self::Changed)
    }

    /// Reports a time to `next_deadline`.
    pub const fn has_deadline(self) -> bool {
        matches!(self, Self::Signal { .. } | Self::Deadline { .. } | Self::WindowSum { .. })
    }

    /// Words of state, the held output included; the order is given in [`crate::state`].
    pub const fn state_words(self) -> usize {
        match self {
            Self::Sample | Self::Hysteresis | Self::Hold => 1,
            Self::CrossesAbove | Self::CrossesBelow | Self::Changed => 1,
            Self::Delta | Self::Skip { .. } | Self::Total => 2,
            Self::Adapt => 3,
            Self::Lag { n } => 3 + n as usize,
            Self::RollSum { n } | Self::RollWeighted { n } | Self::RollSquares { n } => 7 + n as usize,
            Self::RollMax { n } | Self::RollMin { n } => 2 + 2 * n.next_power_of_two() as usize,
            Self::RollSinceMax { n } | Self::RollSinceMin { n } => 1 + 4 * n.next_power_of_two() as usize,
            Self::History { k } => 2 + k as usize,
            Self::Ema { .. } => 3,
            Self::EwMean { .. } => 4,
            Self::EwVarRate { .. } => 5,
            Self::EwStd { .. } => 5,
            Self::Ofi => 5,
            Self::WindowSum { panes, .. } => 6 + panes as usize,
            _ => 0,
        }
    }

    /// The clock a source has of itself, whatever its operands.
    pub(crate) const fn own_clock(self) -> ClockSet {
        match self {
            Self::State(_) | Self::ModeValue { .. } | Self::InMode(_) => ClockSet::COMMIT,
            _ => ClockSet::NONE,
        }
    }

    /// A stable name, used in reports and coverage tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Const(_) => "const",
            Self::ConstBool(_) => "const_bool",
            Self::Absent(_) => "absent",
            Self::Param(_) => "param",
            Self::Input(_) => "input",
            Self::Signal { .. } => "signal",
            Self::SignalAge(_) => "signal_age",
            Self::Now => "now",
            Self::Elapsed => "elapsed",
            Self::State(_) => "state",
            Self::ModeValue { .. } => "mode_value",
            Self::InMode(_) => "in_mode",
            Self::Tick => "tick",
            Self::Neg => "neg",
            Self::Abs => "abs",
            Self::Sqrt => "sqrt",
            Self::Ln => "ln",
            Self::Exp => "exp",
            Self::Floor => "floor",
            Self::Ceil => "ceil",
            Self::Round => "round",
            Self::CheckInt => "check_int",
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::PowI(_) => "pow_i",
            Self::Min => "min",
            Self::Max => "max",
            Self::Clamp => "clamp",
            Self::Cmp(Cmp::Lt) => "lt",
            Self::Cmp(Cmp::Le) => "le",
            Self::Cmp(Cmp::Gt) => "gt",
            Self::Cmp(Cmp::Ge) => "ge",
            Self::Cmp(Cmp::Eq) => "eq",
            Self::Cmp(Cmp::Ne) => "ne",
            Self::Not => "not",
            Self::And => "and",
            Self::Or => "or",
            Self::If => "if",
            Self::Coalesce => "coalesce",
            Self::Present => "present",
            Self::TimeAdd => "time_add",
            Self::TimeSub => "time_sub",
            Self::Deadline { base: TimeBase::Now, .. } => "deadline_now",
            Self::Deadline { base: TimeBase::Elapsed, .. } => "deadline_elapsed",
            Self::Deadline { base: TimeBase::Age(_), .. } => "deadline_age",
            Self::Sample => "sample",
            Self::History { .. } => "history",
            Self::Delta => "delta",
            Self::Ema { .. } => "ema",
            Self::Adapt => "adapt",
            Self::Skip { .. } => "skip",
            Self::Lag { .. } => "lag",
            Self::Total => "total",
            Self::RollSum { .. } => "roll_sum",
            Self::RollWeighted { .. } => "roll_weighted",
            Self::RollSquares { .. } => "roll_squares",
            Self::RollMax { .. } => "roll_max",
            Self::RollMin { .. } => "roll_min",
            Self::RollSinceMax { .. } => "roll_since_max",
            Self::RollSinceMin { .. } => "roll_since_min",
            Self::EwMean { .. } => "ew_mean",
            Self::EwVarRate { .. } => "ew_var_rate",
            Self::EwStd { .. } => "ew_std",
            Self::WindowSum { .. } => "window_sum",
            Self::Ofi => "ofi",
            Self::Hold => "hold",
            Self::CrossesAbove => "crosses_above",
            Self::CrossesBelow => "crosses_below",
            Self::Hysteresis => "hysteresis",
            Self::Changed => "changed",
        }
    }

    /// Every operator name, for coverage tables.
    pub const NAMES: [&'static str; 72] = [
        "const",
        "const_bool",
        "absent",
        "param",
        "input",
        "signal",
        "signal_age",
        "now",
        "elapsed",
        "state",
        "mode_value",
        "in_mode",
        "tick",
        "neg",
        "abs",
        "sqrt",
        "ln",
        "exp",
        "floor",
        "ceil",
        "round",
        "check_int",
        "add",
        "sub",
        "mul",
        "div",
        "pow_i",
        "min",
        "max",
        "clamp",
        "lt",
        "le",
        "gt",
        "ge",
        "eq",
        "ne",
        "not",
        "and",
        "or",
        "if",
        "coalesce",
        "present",
        "time_add",
        "time_sub",
        "deadline_now",
        "deadline_elapsed",
        "deadline_age",
        "sample",
        "history",
        "delta",
        "ema",
        "adapt",
        "skip",
        "lag",
        "total",
        "roll_sum",
        "roll_weighted",
        "roll_squares",
        "roll_max",
        "roll_min",
        "roll_since_max",
        "roll_since_min",
        "ew_mean",
        "ew_var_rate",
        "ew_std",
        "window_sum",
        "ofi",
        "hold",
        "crosses_above",
        "crosses_below",
        "hysteresis",
        "changed",
    ];
}
