//! The operator's frames. Each is checked here; a value outside its range changes nothing and leaves a note.
use crate::{Core, NO_STRATEGY, Outbox};
use tercel_event::{Frame, Kill, Mode, ParamSet, Rearm, Reason, Scope, StrategySwap, TradingState};
use tercel_types::StrategyId;

impl Core {
    pub(crate) fn on_mode(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let Ok(mode) = frame.body::<Mode>() else { return self.bad_frame() };
        let (Some(state), Some(scope)) = (TradingState::from_code(mode.state), Scope::from_code(mode.scope)) else {
            return self.bad_frame();
        };
        self.set_mode(scope, mode.id, state, out);
    }

    /// Blocks the scope and cancels everything that works in it; only a `Mode` frame opens it again.
    pub(crate) fn on_kill(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let Ok(kill) = frame.body::<Kill>() else { return self.bad_frame() };
        let Some(scope) = Scope::from_code(kill.scope) else { return self.bad_frame() };
        self.counters.kills += 1;
        self.set_mode(scope, kill.id, TradingState::Halted, out);
    }

    pub(crate) fn set_mode(&mut self, scope: Scope, id: u16, state: TradingState, out: &mut Outbox) {
        if !self.risk.set_state(scope, id, state) {
            return self.bad_frame();
        }
        let strategy = if scope == Scope::Strategy { StrategyId(id) } else { NO_STRATEGY };
        let (reason, id_of_account) = (Reason::Operator as u16, i64::from(id));
        self.note(reason, strategy, None, 20, 255, state as i64, id_of_account, out);
        self.tick_control(scope, id);
        self.tell_halts(out);
    }

    /// The strategies of a scope see an instant of the control clock.
    pub(crate) fn tick_control(&mut self, scope: Scope, id: u16) {
        for runner in &mut self.runners {
            let hit = match scope {
                Scope::All => true,
                Scope::Strategy => runner.id.0 == id,
                Scope::Account => runner.account.0 == id,
            };
            runner.pending.control |= hit;
        }
    }

    pub(crate) fn on_param(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let Ok(set) = frame.body::<ParamSet>() else { return self.bad_frame() };
        let Some(runner) = self.runners.get_mut(set.strategy.idx()) else { return self.bad_frame() };
        let known = runner.manifest.params.get(usize::from(set.param_idx));
        // The range is checked here too: a strategy that takes any value is still held to what it declared.
        let in_range = known.is_some_and(|spec| set.value >= spec.lo && set.value <= spec.hi);
        if in_range && runner.strategy.set_param(usize::from(set.param_idx), set.value).is_ok() {
            runner.pending.param = true;
            self.counters.params_set += 1;
        } else {
            self.counters.params_refused += 1;
            let (reason, value) = (Reason::Operator as u16, i64::from(set.param_idx));
            self.note(reason, set.strategy, None, 0, 255, value, -1, out);
        }
    }

    /// Ends latched verdicts and the strategy's own halt; it does not lift a trading state.
    pub(crate) fn on_rearm(&mut self, frame: &Frame<'_>) {
        let Ok(rearm) = frame.body::<Rearm>() else { return self.bad_frame() };
        let Some(runner) = self.runners.get_mut(rearm.strategy.idx()) else { return self.bad_frame() };
        runner.limits.rearm();
        runner.stopped = None;
        runner.pending.control = true;
    }

    /// A running strategy keeps its text in this version: the request is refused with a note.
    pub(crate) fn on_swap(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let Ok(swap) = frame.body::<StrategySwap>() else { return self.bad_frame() };
        if swap.strategy.idx() >= self.runners.len() {
            return self.bad_frame();
        }
        self.counters.swaps_refused += 1;
        self.note(Reason::Operator as u16, swap.strategy, None, 0, 255, swap.hash as i64, -2, out);
    }
}
