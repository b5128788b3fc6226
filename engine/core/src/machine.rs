//! Hot path. The deterministic state machine: one frame in, its consequences out.
//!
//!   frame ─▶ book | signal | order report | operator | timer ─▶ strategies that look at it ─▶ limits ─▶ reconciler
//!                                                     ─▶ risk ─▶ order table ─▶ `Outbox`: commands, notes, state hash
//!
//! Thread      one, whichever calls `step`. No clock, no IO, no lock, no log call.
//! Memory      taken by `Core::new`; `step` allocates nothing (tests/no_alloc.rs).
//! Invariants  equal frames give equal outboxes and equal `state_hash`; content never panics: what cannot be used is
//!             counted in `Counters::bad_frames`; risk's ledger equals the order table after every fill, or trading halts.
use crate::absorb::absorb;
use crate::bind::{bind, timer_counts};
use crate::deadlines::{Deadlines, TimerClass, timer_parts};
use crate::inputs::SignalValue;
use crate::market::FeedState;
use crate::pace::HashPace;
use crate::problem;
use crate::report::Counters;
use crate::runner::Runner;
use crate::session::Session;
use crate::shown::Shown;
use crate::trade::Mark;
use crate::{CoreConfig, Outbox};
use tercel_book::{Book, BookConfig};
use tercel_event::{
    Bbo, COMMAND_LEN, Chain, Command, CommandKind, EpochStart, Frame, FrameKind, Note, Reason, StateDigest, StateHash,
    Strategy, Timer, hash_words,
};
use tercel_exec::Plan;
use tercel_order::{OrderConfig, Orders};
use tercel_risk::Risk;
use tercel_types::{AccountId, ClOrdId, InstrumentId, Price, Problem, Qty, SourceId, StrategyId, TimeNs};

/// No strategy, no instrument: in notes and in commands that are nobody's.
pub const NO_STRATEGY: StrategyId = StrategyId(u16::MAX);
pub const NO_INSTRUMENT: InstrumentId = InstrumentId(u32::MAX);

/// The whole trading state of one shard.
pub struct Core {
    pub(crate) config: CoreConfig,
    pub(crate) books: Vec<Book>,
    pub(crate) feeds: Vec<FeedState>,
    pub(crate) orders: Orders,
    pub(crate) risk: Risk,
    pub(crate) runners: Vec<Runner>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) signals: Vec<SignalValue>,
    pub(crate) marks: Vec<Mark>,
    /// Per signal of the run: the strategies that name it, in configuration order, each with the bit of its binding.
    pub(crate) by_signal: Vec<Vec<(u32, u64)>>,
    pub(crate) deadlines: Deadlines,
    pub(crate) counters: Counters,
    pub(crate) epoch: u32,
    pub(crate) order_counter: u64,
    pub(crate) seq: u64,
    pub(crate) now: TimeNs,
    pub(crate) ts_cause: TimeNs,
    /// Over every command.
    chain: Chain,
    /// Over every input.
    inputs: u64,
    hash_pace: HashPace,
    /// Sum of the books' digests, kept per change.
    pub(crate) books_digest: u64,
    pub(crate) plan: Plan,
    /// The open orders of a strategy in an instrument that has too many of them for a view of its own.
    pub(crate) crowd: Shown,
    /// Earliest time at which something refused in this reconciliation may be tried again.
    pub(crate) refused_until: Option<TimeNs>,
    /// Counts of the order table that have been acted on.
    pub(crate) breaches_seen: [u64; 4],
    timer_ids: Vec<u32>,
}

impl Core {
    /// Binds the strategies, which are in configuration order. Every problem is listed at once.
    pub fn new(config: CoreConfig, mut strategies: Vec<Box<dyn Strategy>>) -> Result<Self, Vec<Problem>> {
        let mut problems = config.validate();
        if strategies.len() != config.strategies.len() {
            problems.push(problem::count(strategies.len(), config.strategies.len()));
        }
        let bounds: Vec<_> = strategies
            .iter_mut()
            .enumerate()
            .map(|(idx, strategy)| bind(&config, idx, strategy.as_mut(), &mut problems))
            .collect();
        let mut sessions: Vec<(SourceId, AccountId)> = Vec::new();
        for own in &config.strategies {
            match sessions.iter().find(|(src, _)| *src == own.gateway) {
                None => sessions.push((own.gateway, own.account)),
                Some((_, account)) if *account == own.account => {}
                Some((_, account)) => problems.push(problem::account(own, *account)),
            }
        }
        let manifests: Vec<_> = strategies.iter().map(|s| s.manifest().clone()).collect();
        let counts = timer_counts(&config, &manifests, sessions.len());
        if counts.is_none() {
            problems.push(problem::timers());
        }
        let order_config = OrderConfig {
            capacity: config.orders_max,
            exec_ids: config.exec_ids_max,
            strategies: config.strategies.len(),
            sessions: sessions.clone(),
            accounts: config.accounts.len(),
            outcome_after: config.outcome_timeout,
            status_again_after: config.status_retry,
        };
        let book_config = BookConfig { stale_after: config.feed_stale, ..config.book };
        problems.extend(order_config.validate());
        problems.extend(book_config.validate());
        problems.extend(config.risk.validate(&config.instruments));
        let Some(counts) = counts.filter(|_| problems.is_empty()) else { return Err(problems) };

        let books: Vec<_> = config.instruments.0.iter().map(|i| Book::new(i.id, book_config)).collect();
        let mut feeds: Vec<_> = books.iter().map(FeedState::new).collect();
        let mut by_signal = vec![Vec::new(); config.signals.len()];
        let (mut runners, mut limit_base, mut pair_base) = (Vec::new(), 0, 0);
        for (idx, (strategy, bound)) in strategies.into_iter().zip(bounds).enumerate() {
            for (binding, id) in bound.instruments.iter().enumerate() {
                feeds[id.idx()].lookers.push((idx as u32, 1 << binding));
            }
            for (binding, &signal) in bound.signals.iter().enumerate() {
                by_signal[signal].push((idx as u32, 1u64 << binding));
            }
            let own = &config.strategies[idx];
            let session = sessions.iter().position(|(src, _)| *src == own.gateway).unwrap_or(0);
            let (limits, pairs) = (strategy.manifest().limits.len(), bound.instruments.len());
            let id = StrategyId(idx as u16);
            let instruments = &config.instruments;
            runners.push(Runner::new(strategy, id, own.account, session, bound, instruments, limit_base, pair_base));
            limit_base += limits;
            pair_base += pairs;
        }
        let deadlines = Deadlines::new(counts);
        Ok(Self {
            books_digest: feeds.iter().fold(0, |sum, feed| sum.wrapping_add(feed.digest)),
            books,
            feeds,
            orders: Orders::new(&config.instruments, order_config),
            risk: Risk::new(&config.instruments, &config.risk),
            sessions: sessions.iter().map(|&(src, account)| Session::new(src, account)).collect(),
            signals: vec![SignalValue::default(); config.signals.len()],
            marks: vec![Mark::default(); config.instruments.len()],
            by_signal,
            timer_ids: Vec::with_capacity(deadlines.len()),
            deadlines,
            counters: Counters::default(),
            epoch: config.epoch,
            order_counter: 0,
            seq: 0,
            now: TimeNs::MIN,
            ts_cause: TimeNs(0),
            chain: Chain::default(),
            inputs: 0,
            hash_pace: HashPace::new(config.hash_every_frames),
            plan: Plan::with_capacity(config.orders_max),
            crowd: Shown::with_capacity(config.orders_max),
            refused_until: None,
            breaches_seen: [0; 4],
            runners,
            config,
        })
    }

    /// An outbox that the core never has to grow in ordinary use.
    pub fn outbox(&self) -> Outbox {
        Outbox::with_capacity(2 * self.config.orders_max + 256)
    }

    /// Applies one input frame, stamped with its `seq` and `ts_seq`; leaves its consequences in `out`.
    pub fn step(&mut self, frame: Frame<'_>, out: &mut Outbox) {
        out.clear();
        (self.seq, self.now, self.ts_cause) = (frame.header.seq, frame.header.ts_seq, TimeNs(0));
        self.counters.frames += 1;
        // Best quotes are most frames of a run: with the length known, their bytes are absorbed without a loop.
        match <&[u8; size_of::<Bbo>()]>::try_from(frame.body) {
            Ok(body) if frame.header.kind == FrameKind::Bbo as u16 && !frame.is_derived() => {
                self.inputs = absorb(self.inputs, &frame.header, body);
                self.on_bbo(&frame, &bytemuck::pod_read_unaligned(body), out);
            }
            _ => {
                self.inputs = absorb(self.inputs, &frame.header, frame.body);
                self.dispatch(&frame, out);
            }
        }
        if !frame.has_more() {
            self.run_strategies(out);
        }
        self.ask_unknown(out);
        self.deadlines.set(TimerClass::Outcome, 0, self.orders.next_deadline());
        if self.hash_pace.frame(self.now) {
            let StateDigest { commands, orders, positions, books } = self.digest();
            out.push_hash(StateHash { commands, orders, positions, books });
        }
    }

    #[inline(never)]
    fn dispatch(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let kind = match frame.kind() {
            Ok(kind) if !frame.is_derived() => kind,
            _ => return self.bad_frame(),
        };
        match kind {
            FrameKind::BookDelta
            | FrameKind::BookSnapshot
            | FrameKind::Bbo
            | FrameKind::Trade
            | FrameKind::FeedStatus => self.on_market(frame, kind, out),
            FrameKind::ExecReport => self.on_exec_report(frame, out),
            FrameKind::Sent => self.on_sent(frame),
            FrameKind::Timer => self.on_timer(frame, out),
            FrameKind::Signal => self.on_signal(frame),
            FrameKind::CancelReject => self.on_cancel_reject(frame, out),
            FrameKind::NotSent => self.on_not_sent(frame, out),
            FrameKind::MessageReject => self.on_message_reject(frame, out),
            FrameKind::SessionStatus => self.on_session_status(frame, out),
            FrameKind::MassStatusEnd => self.on_mass_status_end(frame, out),
            FrameKind::EpochStart => self.on_epoch_start(frame),
            FrameKind::ParamSet => self.on_param(frame, out),
            FrameKind::LimitSet => self.on_limit_set(frame, out),
            FrameKind::Mode => self.on_mode(frame, out),
            FrameKind::Kill => self.on_kill(frame, out),
            FrameKind::Rearm => self.on_rearm(frame),
            FrameKind::StrategySwap => self.on_swap(frame, out),
            FrameKind::Command | FrameKind::StateHash | FrameKind::Note => self.bad_frame(),
        }
    }

    fn on_timer(&mut self, frame: &Frame<'_>, out: &mut Outbox) {
        let Ok(timer) = frame.body::<Timer>() else { return self.bad_frame() };
        let mut ids = core::mem::take(&mut self.timer_ids);
        ids.clear();
        ids.extend(frame.timer_ids().take(self.deadlines.len()));
        if ids.len() != timer.ids_count as usize || timer.due != self.now {
            self.bad_frame();
        }
        for &id in &ids {
            let due = timer_parts(id).and_then(|(class, idx)| Some((class, idx, self.deadlines.get(class, idx)?)));
            match due {
                Some((class, idx, due)) if due <= self.now => self.on_deadline(class, idx, out),
                _ => self.bad_frame(),
            }
        }
        self.timer_ids = ids;
    }

    fn on_deadline(&mut self, class: TimerClass, idx: usize, out: &mut Outbox) {
        self.deadlines.set(class, idx, None);
        match class {
            TimerClass::Strategy => self.runners[idx].pending.timer = true,
            TimerClass::Silence | TimerClass::Hold => {
                if let Some(runner) = self.runners.iter_mut().rfind(|runner| runner.limit_base <= idx) {
                    runner.dirty = u64::MAX;
                }
            }
            TimerClass::Retry => {
                if let Some(runner) = self.runners.iter_mut().rfind(|runner| runner.pair_base <= idx) {
                    runner.dirty |= 1u64 << (idx - runner.pair_base).min(63);
                }
            }
            TimerClass::Outcome => self.on_outcome_due(),
            TimerClass::Reconcile => self.on_reconcile_due(idx, out),
            TimerClass::Stale => self.on_stale_due(idx, out),
            TimerClass::Resync => self.on_resync_due(idx, out),
        }
    }

    /// Another process took over: ids of its own, every session to be reconciled, every live order unknown.
    fn on_epoch_start(&mut self, frame: &Frame<'_>) {
        let Ok(start) = frame.body::<EpochStart>() else { return self.bad_frame() };
        let fresh = start.epoch > self.epoch || (start.epoch == self.epoch && self.order_counter == 0);
        if !fresh || ClOrdId::new(start.epoch, self.config.shard, 1).is_none() {
            return self.bad_frame();
        }
        (self.epoch, self.order_counter) = (start.epoch, 0);
        self.counters.epochs += 1;
        self.orders.on_epoch_start(self.now);
        for idx in 0..self.sessions.len() {
            self.close_session(idx);
        }
        for runner in &mut self.runners {
            runner.touch_all();
        }
    }

    /// Chained hash of the commands alone.
    pub fn commands_hash(&self) -> u64 {
        self.chain.0
    }

    #[inline]
    pub fn next_deadline(&self) -> Option<TimeNs> {
        self.deadlines.next()
    }

    /// Ids of every timer due at or before `now`, in order; returns how many. `ids` must hold `timers_len` of them.
    pub fn due_ids(&self, now: TimeNs, ids: &mut [u32]) -> usize {
        self.deadlines.due_ids(now, ids)
    }

    /// Timer slots of the core.
    pub fn timers_len(&self) -> usize {
        self.deadlines.len()
    }

    /// Digest of the parts that are kept up to date per change: what the log carries. `commands` covers what came in too, so
    /// that an input that had no effect cannot be changed unnoticed.
    pub fn digest(&self) -> StateDigest {
        debug_assert_eq!(self.books_digest, self.books.iter().map(Book::digest).fold(0, u64::wrapping_add));
        StateDigest {
            commands: self.chain.0 ^ self.inputs.rotate_left(1),
            orders: self.orders.orders_digest(),
            positions: self.orders.positions_digest(),
            books: self.books_digest,
        }
    }

    /// Digest of the whole state, strategies, limits, timers and gates included, over values and never over memory.
    pub fn state_hash(&self) -> u64 {
        let mut chain = Chain::default();
        let (orders, positions) = self.orders.full_digests();
        let (commands, books) =
            (self.digest().commands, self.books.iter().map(Book::digest).fold(0, u64::wrapping_add));
        for word in [commands, orders, positions, books, self.order_counter, u64::from(self.epoch)] {
            chain.word(word);
        }
        self.risk_digest(&mut chain);
        for runner in &self.runners {
            runner.digest(&mut chain);
        }
        for session in &self.sessions {
            session.digest(&mut chain);
        }
        for signal in &self.signals {
            chain.word(if signal.value.is_nan() { u64::MAX } else { signal.value.to_bits() });
            chain.word(signal.ts_features.0 as u64);
        }
        self.deadlines.digest(&mut chain);
        chain.0
    }

    pub fn book(&self, id: InstrumentId) -> Option<&Book> {
        self.books.get(id.idx())
    }

    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    pub fn risk(&self) -> &Risk {
        &self.risk
    }

    pub fn config(&self) -> &CoreConfig {
        &self.config
    }

    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Time of the newest frame, `TimeNs::MIN` before the first.
    pub fn now(&self) -> TimeNs {
        self.now
    }

    /// Value and feature time of a signal of the run; NaN while absent.
    pub fn signal(&self, idx: usize) -> Option<(f64, TimeNs)> {
        self.signals.get(idx).map(|signal| (signal.value, signal.ts_features))
    }

    #[cold]
    pub(crate) fn bad_frame(&mut self) {
        self.counters.bad_frames += 1;
    }

    /// A command with nothing in it but where and when it came from.
    #[inline]
    pub(crate) fn blank(&self) -> Command {
        Command {
            seq: self.seq,
            epoch: self.epoch,
            index: 0,
            kind: 0,
            dest: SourceId(0),
            ts: self.now,
            ts_cause: self.ts_cause,
            cl_ord_id: ClOrdId::NONE,
            orig_cl_ord_id: ClOrdId::NONE,
            root_cl_ord_id: ClOrdId::NONE,
            parent_id: 0,
            px: Price(0),
            order_qty: Qty(0),
            instrument: NO_INSTRUMENT,
            strategy: NO_STRATEGY,
            account: AccountId(u16::MAX),
            side: 0,
            tif: 0,
            ord_type: 0,
            flags: 0,
            reason: 0,
            leg: 0,
            reserved: [0; 4],
        }
    }

    /// A request that is no order.
    pub(crate) fn request(&self, kind: CommandKind, dest: SourceId, reason: Reason) -> Command {
        Command { kind: kind as u8, dest, reason: reason as u16, ..self.blank() }
    }

    /// Numbers the command, adds it to the command chain and to the outbox.
    #[inline]
    pub(crate) fn emit(&mut self, command: &mut Command, out: &mut Outbox) {
        out.push_command(command);
        let words: [u64; COMMAND_LEN / 8] = bytemuck::cast(*command);
        self.chain.0 = hash_words(self.chain.0.rotate_left(5), words);
        self.counters.commands += 1;
    }

    #[allow(clippy::too_many_arguments)] // the fields of a note, in their order
    pub(crate) fn note(
        &mut self,
        reason: u16,
        strategy: StrategyId,
        instrument: Option<InstrumentId>,
        control: u16,
        leg: u16,
        value: i64,
        limit: i64,
        out: &mut Outbox,
    ) {
        let instrument = instrument.unwrap_or(NO_INSTRUMENT);
        out.push_note(Note { reason, strategy, instrument, control, leg, reserved: 0, value, limit });
    }
}
