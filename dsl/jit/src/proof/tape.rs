//! Random tapes of instants: values of every kind, expiring signals, repeated and missed times, timers on their deadlines
//! and one nanosecond beside them.
use tercel_event::Instant;
use tercel_types::TimeNs;

use super::programs::{CLOCKS, INPUTS, SIGNALS, TIMER_CLOCK};
use super::rng::Rng;

pub(super) struct Tape {
    pub now: i64,
    seq: u64,
    inputs: [f64; INPUTS],
    times: [TimeNs; SIGNALS],
    ticks: u64,
    /// How much of inputs and signal times is shown: now and then not all.
    shown: (usize, usize),
    /// The next outside event, once drawn: deadlines due before it go first.
    ahead: Option<i64>,
    in_order: u32,
}

impl Tape {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let now = rng.pick(&[0, 1, 999, 1_000_000, 1_700_000_000_000_000_000]);
        Self {
            now,
            seq: 0,
            inputs: [f64::NAN; INPUTS],
            times: [TimeNs::MIN; SIGNALS],
            ticks: 0,
            shown: (INPUTS, SIGNALS),
            ahead: None,
            in_order: 0,
        }
    }

    /// Moves to the next instant. `deadline` is what the strategy asked for.
    pub(super) fn step(&mut self, rng: &mut Rng, deadline: Option<TimeNs>) {
        self.seq += 1;
        self.shown = if rng.one_in(64) { (rng.below(INPUTS + 1), rng.below(SIGNALS + 1)) } else { (INPUTS, SIGNALS) };
        let ahead = *self.ahead.get_or_insert_with(|| {
            self.now
                + match rng.below(8) {
                    0..=1 => 0,
                    2..=3 => rng.below(4) as i64,
                    4 => rng.below(100) as i64,
                    5 => rng.below(5_000) as i64,
                    6 => rng.below(2_000_000) as i64,
                    _ => rng.below(3_000_000_000) as i64,
                }
        });
        if let Some(TimeNs(due)) = deadline
            && due <= ahead
            && self.in_order < 6
            && !rng.one_in(8)
        {
            self.in_order += 1;
            self.ticks = TIMER_CLOCK;
            self.now = if rng.one_in(4) { (due - 1).max(self.now) } else { due };
            return;
        }
        self.in_order = 0;
        self.ahead = None;
        self.now = ahead;
        self.outside(rng);
    }

    fn outside(&mut self, rng: &mut Rng) {
        self.ticks = 0;
        for clock in 0..CLOCKS {
            if rng.one_in(3) {
                self.ticks |= 1 << clock;
            }
        }
        for input in &mut self.inputs {
            match rng.below(8) {
                0..=1 => *input = rng.number(),
                2 => *input = super::programs::span(rng),
                // A small move keeps windows and means busy.
                3..=4 if input.is_finite() => *input += rng.below(3) as f64 - 1.0,
                3 => *input = 1.0,
                _ => {}
            }
        }
        for time in &mut self.times {
            if rng.one_in(4) {
                *time = TimeNs(match rng.below(12) {
                    0 => i64::MIN,
                    1 => -5,
                    2 => i64::MAX,
                    3 => self.now + rng.below(1_000) as i64,
                    4..=7 => self.now - rng.below(60) as i64,
                    _ => self.now - rng.below(2_000_000) as i64,
                });
            }
        }
        if rng.one_in(64) {
            // Outside bits that no clock of the manifest has.
            self.ticks |= rng.word();
        }
    }

    pub(super) fn instant(&self) -> Instant<'_> {
        Instant {
            seq: self.seq,
            now: TimeNs(self.now),
            ticks: self.ticks,
            inputs: &self.inputs[..self.shown.0],
            signal_times: &self.times[..self.shown.1],
        }
    }
}
