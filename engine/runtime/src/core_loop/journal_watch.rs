//! What the core thread does about a journal that lags or fails; each step is an input of its own.
//!
//!   lag ≥ 75 %   halt everything; at ≤ 50 % the trading state from before comes back, unless anyone else spoke meanwhile
//!   failure      halt, answer what waits for the disk as not sent, kill: in this order, each until it is in the log
//!
//! Thread      the core thread's.
//! Invariants  a step counts as done only once its frame is in the log; an operator's or the core's own halt is never lifted.
use super::CoreLoop;
use crate::EdgeLog;
use tercel_event::{CommandKind, Frame, FrameKind, Kill, Mode, NotSent, NotSentWhy, Reason, Scope, TradingState};

/// Journal lag, in percent, at which no new order may leave, and at which they may again.
const LAG_HALT: u64 = 75;
const LAG_RESUME: u64 = 50;

/// Steps after the journal failed, as far as they are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Failure {
    #[default]
    None,
    Halted,
    Refused,
    Killed,
}

/// A lag at which nothing may be opened.
#[derive(Clone, Copy, Debug)]
struct LagHalt {
    /// The state to go back to; `None` when somebody else's word holds.
    restore: Option<TradingState>,
    /// Halts by the core itself when the lag began.
    core_halts: u64,
}

#[derive(Debug, Default)]
pub(super) struct JournalWatch {
    lag_halt: Option<LagHalt>,
    failure: Failure,
    /// A step found no room in the log: it is taken again in the next turn.
    retry: bool,
}

impl JournalWatch {
    /// An operator's word on everything, while the halt is ours.
    #[inline]
    pub fn is_overridden_by(&self, frame: &Frame<'_>) -> bool {
        self.lag_halt.is_some() && speaks_on_all(frame)
    }

    #[cold]
    pub fn forget_restore(&mut self) {
        if let Some(halt) = &mut self.lag_halt {
            halt.restore = None;
        }
    }
}

#[cold]
fn speaks_on_all(frame: &Frame<'_>) -> bool {
    let scope = match frame.kind() {
        Ok(FrameKind::Mode) => frame.body::<Mode>().ok().map(|mode| mode.scope),
        Ok(FrameKind::Kill) => frame.body::<Kill>().ok().map(|kill| kill.scope),
        _ => None,
    };
    scope == Some(Scope::All as u8)
}

impl<S: EdgeLog> CoreLoop<S> {
    /// Takes the steps of lag and failure. `true` when a frame was sequenced.
    pub(super) fn watch_journal(&mut self) -> bool {
        if !self.watch.retry && self.turns & 255 != 0 {
            return false;
        }
        self.watch.retry = false;
        let lag = self.sequencer.sink_mut().refresh();
        self.cells.journal_lag_percent.set(lag);
        let (injected, done) = (
            self.injected,
            match self.watch.failure {
                Failure::Killed => true,
                Failure::None if !self.cells.journal_failed.is_raised() => match lag {
                    LAG_HALT.. => self.begin_lag_halt(),
                    ..=LAG_RESUME => self.end_lag_halt(),
                    _ => true,
                },
                _ => self.on_failure(),
            },
        );
        self.watch.retry = !done && !self.cells.log_failed.is_raised();
        self.injected > injected
    }

    /// `false` when the log had no room for it; so do the others.
    fn begin_lag_halt(&mut self) -> bool {
        let state = self.sequencer.core().risk().firm_state();
        let is_halted = state == TradingState::Halted;
        if is_halted && self.watch.lag_halt.is_some() {
            return true;
        }
        if !is_halted && !self.set_state(TradingState::Halted) {
            return false;
        }
        let restore = (!is_halted).then_some(state);
        self.watch.lag_halt = Some(LagHalt { restore, core_halts: self.core_halts() });
        true
    }

    fn end_lag_halt(&mut self) -> bool {
        let Some(halt) = self.watch.lag_halt else { return true };
        let is_ours = halt.core_halts == self.core_halts();
        if let Some(state) = halt.restore.filter(|_| is_ours)
            && !self.set_state(state)
        {
            return false;
        }
        self.watch.lag_halt = None;
        true
    }

    /// Times that the core halted by its own judgement. A halt of a narrower scope counts too: rather halted than not.
    fn core_halts(&self) -> u64 {
        let counters = self.sequencer.core().counters();
        let stopped = [NotSentWhy::Killed, NotSentWhy::Storage].map(|why| counters.not_sent[why as usize]);
        let adopted_beyond_limits = counters.rejects[11];
        counters.halts + counters.ledger_differences + stopped.iter().sum::<u64>() + adopted_beyond_limits
    }

    #[cold]
    fn on_failure(&mut self) -> bool {
        if self.watch.failure == Failure::None {
            if !self.set_state(TradingState::Halted) {
                return false;
            }
            self.watch.failure = Failure::Halted;
        }
        if self.watch.failure == Failure::Halted {
            if !self.refuse_waiting() {
                return false;
            }
            // Only now: until here the gate held back what is now answered.
            self.wait_durable = false;
            self.watch.failure = Failure::Refused;
        }
        if !self.inject(&Kill { operator: 0, scope: Scope::All as u8, ..Default::default() }) {
            return false;
        }
        self.watch.failure = Failure::Killed;
        true
    }

    #[cold]
    fn set_state(&mut self, state: TradingState) -> bool {
        let reason = u64::from(Reason::Operator as u16);
        self.inject(&Mode { operator: 0, state: state as u8, scope: Scope::All as u8, id: 0, reason })
    }

    /// The disk will never hold what still waits for it: orders are answered `NotSent`, the rest may leave. A command is
    /// forgotten only once its answer is in the log.
    #[cold]
    fn refuse_waiting(&mut self) -> bool {
        for at in 0..self.outputs.len() {
            let mut idx = 0;
            while let Some(&command) = self.outputs[at].waiting.get(idx) {
                if command.kind != CommandKind::New as u8 && command.kind != CommandKind::Replace as u8 {
                    idx += 1;
                    continue;
                }
                let not_sent = NotSent {
                    cl_ord_id: command.cl_ord_id,
                    cmd_seq: command.seq,
                    cmd_index: u32::from(command.index),
                    why: NotSentWhy::Storage as u8,
                    command: command.kind,
                    reserved: 0,
                    ts: command.ts,
                };
                if !self.inject(&not_sent) {
                    return false;
                }
                self.outputs[at].waiting.remove(idx);
            }
        }
        true
    }
}
