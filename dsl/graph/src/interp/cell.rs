//! State of one operator, and how a round changes it. Each rule is written as in the documentation of [`Op`].
use core::cmp::Ordering;

use super::roll::{Extreme, Sums};
use crate::math::{ew_weight, seconds};
use crate::op::{Op, Ty};
use crate::value::Value;

/// Present only when finite.
pub(super) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn add(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    finite(a? + b?)
}

/// What a round shows to an operator with state.
#[derive(Clone, Copy)]
pub(super) struct Round {
    pub now: i64,
    /// One of the node's clocks ticks.
    pub ticks: bool,
}

pub(super) enum Cell {
    /// No state.
    None,
    Sample {
        held: Value,
    },
    Hold {
        last: Value,
    },
    History {
        pos: usize,
        ring: Vec<Value>,
        held: Value,
    },
    Delta {
        last: Option<f64>,
        held: Option<f64>,
    },
    Ema {
        y: f64,
        count: u64,
        held: Option<f64>,
    },
    EwMean {
        y: f64,
        last_ns: i64,
        count: u64,
        held: Option<f64>,
    },
    EwVarRate {
        last: Option<f64>,
        last_ns: i64,
        v: f64,
        count: u64,
        held: Option<f64>,
    },
    EwStd {
        mean: f64,
        var: f64,
        last_ns: i64,
        count: u64,
        held: Option<f64>,
    },
    Window(Window),
    Adapt {
        y: Option<f64>,
        started: bool,
        held: Option<f64>,
    },
    Skip {
        count: u64,
        held: Option<f64>,
    },
    Lag {
        pos: usize,
        count: u64,
        ring: Vec<f64>,
        held: Option<f64>,
    },
    Total {
        sum: f64,
        held: Option<f64>,
    },
    Sums(Sums),
    Extreme(Extreme),
    Ofi {
        last: [Option<f64>; 4],
        held: Option<f64>,
    },
    /// Memory of crosses: the last present comparison.
    Cross {
        last: Option<bool>,
    },
    Hysteresis {
        on: bool,
    },
    Changed {
        last: Value,
    },
}

/// State of `Op::WindowSum`. A sum that overflowed is absent until its pane leaves.
pub(super) struct Window {
    pub next_ns: i64,
    first_ns: Option<i64>,
    absent_ns: Option<i64>,
    current: Option<f64>,
    full_panes: Option<f64>,
    pos: usize,
    ring: Vec<Option<f64>>,
}

impl Cell {
    pub(super) fn new(op: Op, ty: Ty, operand: Option<Ty>) -> Self {
        let held = Value::absent(ty);
        match op {
            Op::Sample => Self::Sample { held },
            Op::Hold => Self::Hold { last: held },
            Op::History { k } => Self::History { pos: 0, ring: vec![held; k as usize], held },
            Op::Delta => Self::Delta { last: None, held: None },
            Op::Ema { .. } => Self::Ema { y: 0.0, count: 0, held: None },
            Op::EwMean { .. } => Self::EwMean { y: 0.0, last_ns: 0, count: 0, held: None },
            Op::EwVarRate { .. } => Self::EwVarRate { last: None, last_ns: 0, v: 0.0, count: 0, held: None },
            Op::EwStd { .. } => Self::EwStd { mean: 0.0, var: 0.0, last_ns: 0, count: 0, held: None },
            Op::WindowSum { panes, .. } => Self::Window(Window {
                next_ns: 0,
                first_ns: None,
                absent_ns: None,
                current: Some(0.0),
                full_panes: Some(0.0),
                pos: 0,
                ring: vec![Some(0.0); panes as usize],
            }),
            Op::Adapt => Self::Adapt { y: None, started: false, held: None },
            Op::Skip { .. } => Self::Skip { count: 0, held: None },
            Op::Lag { n } => Self::Lag { pos: 0, count: 0, ring: vec![0.0; n as usize], held: None },
            Op::Total => Self::Total { sum: 0.0, held: None },
            Op::RollSum { n } | Op::RollWeighted { n } | Op::RollSquares { n } => Self::Sums(Sums::new(n)),
            Op::RollMax { n } | Op::RollSinceMax { n } => Self::Extreme(Extreme::new(op, n, f64::NEG_INFINITY)),
            Op::RollMin { n } | Op::RollSinceMin { n } => Self::Extreme(Extreme::new(op, n, f64::INFINITY)),
            Op::Ofi => Self::Ofi { last: [None; 4], held: None },
            Op::CrossesAbove | Op::CrossesBelow => Self::Cross { last: None },
            Op::Hysteresis => Self::Hysteresis { on: false },
            Op::Changed => Self::Changed { last: Value::absent(operand.unwrap_or(Ty::F64)) },
            _ => Self::None,
        }
    }

    /// At the first instant, before its first round.
    pub(super) fn start(&mut self, op: Op, now: i64) {
        if let (Self::Window(window), Op::WindowSum { pane_ns, .. }) = (self, op) {
            window.next_ns = (now / pane_ns + 1) * pane_ns;
        }
    }

    /// One round; `args` are the operands' values of this round.
    pub(super) fn eval(&mut self, op: Op, args: [Value; 4], round: Round) -> Value {
        let x = args[0].f64();
        match (self, op) {
            (Self::Sample { held }, _) => {
                if round.ticks {
                    *held = args[0];
                }
                *held
            }
            (Self::Hold { last }, _) => {
                if args[0].is_present() {
                    *last = args[0];
                }
                *last
            }
            (Self::History { pos, ring, held }, _) => {
                if round.ticks {
                    *held = ring[*pos];
                    ring[*pos] = args[0];
                    *pos = (*pos + 1) % ring.len();
                }
                *held
            }
            (Self::Delta { last, held }, _) => {
                if round.ticks {
                    *held = x.zip(*last).and_then(|(x, last)| finite(x - last));
                    *last = x;
                }
                Value::F64(*held)
            }
            (Self::Ema { y, count, held }, Op::Ema { alpha, seed, ready }) => {
                if round.ticks {
                    let next = x.and_then(|x| {
                        let sum = if *count == 0 { x } else { *y + x };
                        finite(match (*count + 1).cmp(&seed.into()) {
                            Ordering::Less => sum,
                            Ordering::Equal => sum / f64::from(seed),
                            Ordering::Greater => *y + alpha * (x - *y),
                        })
                    });
                    if let Some(next) = next {
                        (*y, *count) = (next, *count + 1);
                    }
                    *held = next.filter(|_| *count >= ready.max(seed).into());
                }
                Value::F64(*held)
            }
            (Self::Adapt { y, started, held }, _) => {
                if round.ticks {
                    let weight = args[1].f64();
                    let moved = x.zip(weight).and_then(|(x, w)| {
                        let before = y.unwrap_or(x);
                        finite(before + w * (x - before))
                    });
                    if x.is_some() && weight.is_none() && !*started {
                        *y = x;
                    }
                    if moved.is_some() {
                        (*y, *started) = (moved, true);
                    }
                    *held = moved;
                }
                Value::F64(*held)
            }
            (Self::Skip { count, held }, Op::Skip { n }) => {
                if round.ticks {
                    *held = x.filter(|_| *count >= n.into());
                    *count += u64::from(x.is_some());
                }
                Value::F64(*held)
            }
            (Self::Lag { pos, count, ring, held }, Op::Lag { n }) => {
                if round.ticks {
                    *held = x.and_then(|x| {
                        let before = core::mem::replace(&mut ring[*pos], x);
                        *pos = (*pos + 1) % ring.len();
                        *count += 1;
                        (*count > n.into()).then_some(before)
                    });
                }
                Value::F64(*held)
            }
            (Self::Total { sum, held }, _) => {
                if round.ticks {
                    *held = x.and_then(|x| finite(*sum + x));
                    *sum = held.unwrap_or(*sum);
                }
                Value::F64(*held)
            }
            (Self::Sums(sums), op) => {
                if round.ticks {
                    sums.held = x.and_then(|x| sums.tick(op, x));
                }
                Value::F64(sums.held)
            }
            (Self::Extreme(extreme), _) => {
                if round.ticks {
                    extreme.held = x.and_then(|x| extreme.tick(x));
                }
                Value::F64(extreme.held)
            }
            (Self::EwMean { y, last_ns, count, held }, Op::EwMean { halflife_ns, ready }) => {
                if round.ticks {
                    let next = x.and_then(|x| {
                        finite(if *count == 0 {
                            x
                        } else {
                            *y + ew_weight(round.now - *last_ns, halflife_ns) * (x - *y)
                        })
                    });
                    if let Some(next) = next {
                        (*y, *last_ns, *count) = (next, round.now, *count + 1);
                    }
                    *held = next.filter(|_| *count >= ready.into());
                }
                Value::F64(*held)
            }
            (Self::EwVarRate { last, last_ns, v, count, held }, Op::EwVarRate { halflife_ns, ready }) => {
                if !round.ticks {
                    return Value::F64(*held);
                }
                let dt = round.now - *last_ns;
                let (Some(x), Some(before)) = (x, *last) else {
                    (*last, *last_ns, *held) = (x, round.now, None);
                    return Value::F64(None);
                };
                if dt == 0 {
                    return Value::F64(*held);
                }
                let change = x - before;
                let rate = change * change / seconds(dt);
                let next = finite(if *count == 0 { rate } else { *v + ew_weight(dt, halflife_ns) * (rate - *v) });
                *last_ns = round.now;
                if let Some(next) = next {
                    (*last, *v, *count) = (Some(x), next, *count + 1);
                } else {
                    *last = None;
                }
                *held = next.filter(|_| *count >= ready.into());
                Value::F64(*held)
            }
            (Self::EwStd { mean, var, last_ns, count, held }, Op::EwStd { halflife_ns, ready }) => {
                if round.ticks {
                    let next = x.and_then(|x| {
                        if *count == 0 {
                            return Some((x, 0.0));
                        }
                        let weight = ew_weight(round.now - *last_ns, halflife_ns);
                        let away = x - *mean;
                        let step = weight * away;
                        finite(*mean + step).zip(finite((1.0 - weight) * (*var + away * step)))
                    });
                    if let Some((next_mean, next_var)) = next {
                        (*mean, *var, *last_ns, *count) = (next_mean, next_var, round.now, *count + 1);
                    }
                    *held = next.filter(|_| *count >= ready.into()).map(|(_, var)| var.sqrt());
                }
                Value::F64(*held)
            }
            (Self::Window(window), Op::WindowSum { panes, pane_ns, full }) => {
                window.roll(pane_ns, round.now);
                let width = i64::from(panes) * pane_ns;
                if round.ticks {
                    window.tick(x, width, round.now);
                }
                let live = !full || window.first_ns.is_some_and(|first| round.now - first >= width);
                let total = add(window.full_panes, window.current);
                Value::F64(total.filter(|_| live && window.absent_ns.is_none()))
            }
            (Self::Ofi { last, held }, _) => {
                if round.ticks {
                    let now = args.map(Value::f64);
                    *held = flow(now, *last);
                    *last = now;
                }
                Value::F64(*held)
            }
            (Self::Cross { last }, op) => {
                let Some((a, b)) = x.zip(args[1].f64()) else { return Value::Bool(None) };
                let beyond = if op == Op::CrossesAbove { a > b } else { a < b };
                let fires = beyond && *last == Some(false);
                *last = Some(beyond);
                Value::Bool(Some(fires))
            }
            (Self::Hysteresis { on }, _) => {
                let (Some(x), Some(above), Some(below)) = (x, args[1].f64(), args[2].f64()) else {
                    return Value::Bool(None);
                };
                if x > above {
                    *on = true;
                } else if x < below {
                    *on = false;
                }
                Value::Bool(Some(*on))
            }
            (Self::Changed { last }, _) => {
                if !args[0].is_present() {
                    return Value::Bool(None);
                }
                let fires = last.is_present() && *last != args[0];
                *last = args[0];
                Value::Bool(Some(fires))
            }
            (_, _) => Value::absent(Ty::F64),
        }
    }

    /// The words of state in the order of the digest.
    pub(super) fn words(&self, mut word: impl FnMut(u64)) {
        let mut value = |v: Option<f64>| word(Value::F64(v).word());
        match self {
            Self::None => {}
            Self::Sample { held } => word(held.word()),
            Self::Hold { last } => word(last.word()),
            Self::History { pos, ring, held } => {
                word(*pos as u64);
                word(held.word());
                ring.iter().for_each(|v| word(v.word()));
            }
            Self::Delta { last, held } => [*last, *held].into_iter().for_each(value),
            Self::Ema { y, count, held } => {
                value(*held);
                [y.to_bits(), *count].into_iter().for_each(word);
            }
            Self::Adapt { y, started, held } => {
                value(*held);
                value(*y);
                word((*started).into());
            }
            Self::Skip { count, held } => {
                value(*held);
                word(*count);
            }
            Self::Lag { pos, count, ring, held } => {
                value(*held);
                [*pos as u64, *count].into_iter().chain(ring.iter().map(|v| v.to_bits())).for_each(word);
            }
            Self::Total { sum, held } => {
                value(*held);
                word(sum.to_bits());
            }
            Self::Sums(sums) => sums.words(word),
            Self::Extreme(extreme) => extreme.words(word),
            Self::EwMean { y, last_ns, count, held } => {
                value(*held);
                [y.to_bits(), *last_ns as u64, *count].into_iter().for_each(word);
            }
            Self::EwVarRate { last, last_ns, v, count, held } => {
                value(*held);
                value(*last);
                [*last_ns as u64, v.to_bits(), *count].into_iter().for_each(word);
            }
            Self::EwStd { mean, var, last_ns, count, held } => {
                value(*held);
                [mean.to_bits(), var.to_bits(), *last_ns as u64, *count].into_iter().for_each(word);
            }
            Self::Window(w) => {
                value(w.current);
                value(w.full_panes);
                w.ring.iter().for_each(|v| value(*v));
                let time = |ns| Value::Time(ns).word();
                [w.next_ns as u64, time(w.first_ns), time(w.absent_ns), w.pos as u64].into_iter().for_each(word);
            }
            Self::Ofi { last, held } => {
                value(*held);
                last.iter().for_each(|v| value(*v));
            }
            Self::Cross { last } => word(Value::Bool(*last).word()),
            Self::Hysteresis { on } => word(Value::Bool(Some(*on)).word()),
            Self::Changed { last } => word(last.word()),
        }
    }
}

impl Window {
    /// Closes the panes whose end is not after `now`.
    fn roll(&mut self, pane_ns: i64, now: i64) {
        if now < self.next_ns {
            return;
        }
        let ended = (now - self.next_ns) / pane_ns + 1;
        // One roll more than there are panes empties the window; further ones would change nothing.
        for _ in 0..ended.min(self.ring.len() as i64 + 1) {
            self.ring[self.pos] = self.current.replace(0.0);
            self.pos = (self.pos + 1) % self.ring.len();
        }
        self.next_ns += ended * pane_ns;
        let oldest_first = (0..self.ring.len()).map(|i| self.ring[(self.pos + i) % self.ring.len()]);
        self.full_panes = oldest_first.fold(Some(0.0), add);
    }

    fn tick(&mut self, x: Option<f64>, width: i64, now: i64) {
        let Some(x) = x else {
            self.absent_ns = self.absent_ns.or(Some(now));
            return;
        };
        if self.absent_ns.take().is_some_and(|since| now - since >= width) {
            self.first_ns = None;
        }
        self.first_ns = self.first_ns.or(Some(now));
        self.current = add(self.current, Some(x));
    }
}

fn flow(now: [Option<f64>; 4], last: [Option<f64>; 4]) -> Option<f64> {
    let [bid, bid_qty, ask, ask_qty] = now;
    let (bid, bid_qty, ask, ask_qty) = (bid?, bid_qty?, ask?, ask_qty?);
    let [bid_was, bid_qty_was, ask_was, ask_qty_was] = last;
    let (bid_was, bid_qty_was, ask_was, ask_qty_was) = (bid_was?, bid_qty_was?, ask_was?, ask_qty_was?);
    let part = |counts: bool, qty: f64| if counts { qty } else { 0.0 };
    finite(
        part(bid >= bid_was, bid_qty) - part(bid <= bid_was, bid_qty_was) - part(ask <= ask_was, ask_qty)
            + part(ask >= ask_was, ask_qty_was),
    )
}
