//! The loop on one thread, turn by turn, over a log whose room and lag the test sets.
use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tercel_book::BookConfig;
use tercel_core::{AccountConfig, Core, CoreConfig, LogSink, MemoryLog, StrategyConfig};
use tercel_event::{
    CommandKind, Desires, EpochStart, FeedEvent, FeedStatus, FrameFlags, FrameHeader, FrameKind, Instant, Kill,
    Manifest, Mode, NotSent, NotSentWhy, ParamError, Scope, Strategy, TradingState,
};
use tercel_exec::ExecConfig;
use tercel_net::WallClock;
use tercel_ring::{Consumer, FrameProducer, PowerOfTwo, WaitStrategy, frames, spsc};
use tercel_risk::{
    AccountLimits, Collar, InstrumentLimits, PositionLimits, RateLimits, RiskLimits, ScopeLimits, StrategyLimits,
};
use tercel_types::{
    AccountId, Calendar, Decimal, FeeRates, Instrument, InstrumentId, InstrumentKind, Instruments, Money, Qty,
};

const FEED: SourceId = SourceId(3);
const FIX: SourceId = SourceId(4);

/// What the test sets, and the loop sees.
#[derive(Clone, Default)]
struct Dials {
    /// Frames that the log has no room for.
    is_full: Flag2,
    is_tight: Flag2,
    lag: Gauge,
}

/// A flag that can be lowered.
#[derive(Clone, Default)]
struct Flag2(Arc<AtomicU64>);

impl Flag2 {
    fn set(&self, on: bool) {
        self.0.store(u64::from(on), Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

struct FakeLog {
    log: MemoryLog,
    dials: Dials,
}

impl LogSink for FakeLog {
    fn room(&self) -> usize {
        if self.dials.is_full.get() { 0 } else { usize::MAX }
    }

    fn append(&mut self, header: &FrameHeader, body: &[u8]) -> bool {
        self.log.append(header, body)
    }
}

impl EdgeLog for FakeLog {
    fn refresh(&mut self) -> u64 {
        self.dials.lag.get()
    }

    fn is_tight(&self) -> bool {
        self.dials.is_tight.get()
    }
}

/// Wants nothing.
struct Quiet(Manifest);

impl Strategy for Quiet {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    fn on_instant(&mut self, _: &Instant<'_>, _: &mut Desires) {}

    fn next_deadline(&self) -> Option<TimeNs> {
        None
    }

    fn set_param(&mut self, idx: usize, _: f64) -> Result<(), ParamError> {
        Err(ParamError::Unknown { idx, count: 0 })
    }

    fn digest(&self) -> u64 {
        0
    }

    fn mode_name(&self) -> &str {
        ""
    }
}

fn core() -> Core {
    let scope = ScopeLimits {
        max_open_orders: 64,
        max_gross_value: Money::from_whole(10_000_000),
        max_net_value: Money::from_whole(10_000_000),
        max_loss_day: Money::from_whole(1_000_000),
        max_drawdown: Money::from_whole(1_000_000),
        rates: RateLimits { orders: [10_000; 3], cancels: [10_000; 3], halt_after: 0 },
    };
    let instrument = Instrument {
        id: InstrumentId(0),
        symbol: "BTCUSDT".into(),
        kind: InstrumentKind::LinearPerp,
        base: "BTC".into(),
        quote: "USDT".into(),
        settle: "USDT".into(),
        price_step: Decimal { mantissa: 1, scale: 1 },
        lot: Decimal { mantissa: 1, scale: 3 },
        multiplier: Decimal::ONE,
        min_qty: Qty(1),
        min_notional: Money::from_whole(50),
        fees: FeeRates { maker_e8: 20_000, taker_e8: 50_000 },
        calendar: Calendar::Always,
    };
    let config = CoreConfig {
        epoch: 1,
        shard: 0,
        instruments: Instruments(vec![instrument]),
        feeds: vec![FEED],
        accounts: vec![AccountConfig { name: "main".into() }],
        strategies: vec![StrategyConfig { name: "quiet".into(), gateway: FIX, ..Default::default() }],
        signals: Vec::new(),
        exec: ExecConfig::default(),
        risk: RiskLimits {
            capacity: 256,
            firm: scope,
            accounts: vec![AccountLimits { scope, positions: vec![PositionLimits::both(10_000)] }],
            strategies: vec![StrategyLimits {
                accounts: vec![AccountId(0)],
                scope,
                positions: vec![PositionLimits::both(10_000)],
                duplicate_window: Some(DurationNs(0)),
            }],
            instruments: vec![InstrumentLimits {
                max_order_qty: Qty(1_000),
                max_order_value: Money::from_whole(1_000_000),
                collar: Some(Collar::Bps(500)),
                reference_max_age: DurationNs::from_secs(10),
            }],
        },
        book: BookConfig { capacity: 64, known_min: 1, ..BookConfig::default() },
        orders_max: 256,
        exec_ids_max: 4096,
        outcome_timeout: DurationNs::from_secs(2),
        status_retry: DurationNs::from_secs(1),
        feed_stale: DurationNs::from_secs(60),
        hash_every_frames: 0,
        resync_retry: DurationNs::from_millis(500),
    };
    let quiet = Quiet(Manifest { name: "quiet".into(), version: 1, ..Default::default() });
    Core::new(config, vec![Box::new(quiet)]).unwrap_or_else(|problems| panic!("{problems:?}"))
}

struct Rig {
    core: CoreLoop<FakeLog>,
    dials: Dials,
    operator: FrameProducer,
    orders: FrameProducer,
    market: FrameProducer,
    sent: Consumer<Command>,
    cells: CoreCells,
    src_seq: u64,
}

fn power(value: usize) -> PowerOfTwo {
    PowerOfTwo::new(value).unwrap_or_else(|| panic!("{value}"))
}

impl Rig {
    fn new(wait_durable: bool) -> Self {
        let dials = Dials::default();
        let log = FakeLog { log: MemoryLog::default(), dials: dials.clone() };
        let mut sequencer = Sequencer::new(core(), log, 0, TimeNs::MIN);
        let epoch = FrameBuf::of(sources::CORE, 1, &EpochStart { epoch: 1, ..Default::default() }, &[]);
        sequencer.feed(epoch.bytes(), WallClock.now().engine, &mut CommandBatch::default()).expect("room");
        let (operator, operator_ring) = frames(power(1 << 17));
        let (orders, order_ring) = frames(power(1 << 17));
        let (market, market_ring) = frames(power(1 << 17));
        let (to_orders, sent) = spsc::<Command>(power(16));
        let sources = vec![
            SourceRing { class: Class::MarketData, ring: market_ring },
            SourceRing { class: Class::Order, ring: order_ring },
            SourceRing { class: Class::Operator, ring: operator_ring },
        ];
        let cells = CoreCells::default();
        let outputs = vec![CommandRing::new(FIX, to_orders)];
        let clock = Box::new(WallClock);
        let core = CoreLoop::new(sequencer, sources, outputs, clock, wait_durable, cells.clone(), CrashPlan::default());
        Self { core, dials, operator, orders, market, sent, cells, src_seq: 0 }
    }

    /// Turns enough for a look at the journal.
    fn turns(&mut self) {
        (0..256).for_each(|_| _ = self.core.turn());
    }

    fn firm(&self) -> TradingState {
        self.core.sequencer().core().risk().firm_state()
    }

    fn operator_says(&mut self, state: TradingState) {
        let mode = Mode { operator: 1, state: state as u8, scope: Scope::All as u8, id: 0, reason: 0 };
        self.operator.push(FrameBuf::of(sources::OPERATOR, 1, &mode, &[]).bytes()).expect("room");
    }

    fn market_frame(&mut self, flags: u8) {
        let status = FeedStatus { event: FeedEvent::Connected as u8, ..Default::default() };
        let mut frame = FrameBuf::new();
        self.src_seq += 1;
        assert!(frame.write(FEED, self.src_seq, flags, &status, &[]));
        self.market.push(frame.bytes()).expect("room");
    }

    /// Kinds and sources of the inputs in the log, the epoch's start left out.
    fn inputs(&self) -> Vec<(FrameKind, SourceId)> {
        let frames = self.core.sequencer().sink().log.frames().filter(|frame| !frame.is_derived()).skip(1);
        frames.map(|frame| (frame.kind().expect("a kind"), frame.header.src)).collect()
    }

    fn wait(&mut self, kind: CommandKind, seq: u64) {
        let command = Command { kind: kind as u8, seq, dest: FIX, ..bytemuck::Zeroable::zeroed() };
        self.core.outputs[0].waiting.push_back(command);
    }
}

#[test]
fn a_lag_halts_and_its_end_gives_back_the_state_from_before() {
    for before in [TradingState::Active, TradingState::Reducing] {
        let mut rig = Rig::new(false);
        rig.operator_says(before);
        rig.turns();
        rig.dials.lag.set(80);
        rig.turns();
        assert_eq!(rig.firm(), TradingState::Halted);
        rig.dials.lag.set(60);
        rig.turns();
        assert_eq!(rig.firm(), TradingState::Halted, "between the two marks nothing changes");
        rig.dials.lag.set(50);
        rig.turns();
        assert_eq!(rig.firm(), before);
    }
}

#[test]
fn the_end_of_a_lag_does_not_lift_an_operators_halt_from_before() {
    let mut rig = Rig::new(false);
    rig.operator_says(TradingState::Halted);
    rig.turns();
    rig.dials.lag.set(80);
    rig.turns();
    rig.dials.lag.set(0);
    rig.turns();
    assert_eq!(rig.firm(), TradingState::Halted);
    assert_eq!(rig.inputs().len(), 1, "the lag had nothing to say");
}

#[test]
fn the_end_of_a_lag_does_not_lift_an_operators_halt_or_kill_from_meanwhile() {
    for kill in [false, true] {
        let mut rig = Rig::new(false);
        rig.dials.lag.set(80);
        rig.turns();
        if kill {
            let kill = Kill { operator: 1, scope: Scope::All as u8, ..Default::default() };
            rig.operator.push(FrameBuf::of(sources::OPERATOR, 1, &kill, &[]).bytes()).expect("room");
        } else {
            rig.operator_says(TradingState::Halted);
        }
        rig.turns();
        rig.dials.lag.set(0);
        rig.turns();
        assert_eq!(rig.firm(), TradingState::Halted);
    }
}

#[test]
fn the_end_of_a_lag_does_not_lift_what_the_kill_word_stopped() {
    let mut rig = Rig::new(false);
    rig.dials.lag.set(80);
    rig.turns();
    let not_sent = NotSent { why: NotSentWhy::Killed as u8, command: 1, ..Default::default() };
    rig.orders.push(FrameBuf::of(FIX, 1, &not_sent, &[]).bytes()).expect("room");
    rig.turns();
    rig.dials.lag.set(0);
    rig.turns();
    assert_eq!(rig.firm(), TradingState::Halted);
}

#[test]
fn an_operator_who_resumes_during_a_lag_is_halted_again() {
    let mut rig = Rig::new(false);
    rig.dials.lag.set(80);
    rig.turns();
    rig.operator_says(TradingState::Active);
    rig.turns();
    rig.turns();
    assert_eq!(rig.firm(), TradingState::Halted);
    rig.dials.lag.set(0);
    rig.turns();
    assert_eq!(rig.firm(), TradingState::Active);
}

#[test]
fn a_lag_halt_that_found_no_room_is_made_in_the_next_turn_with_room() {
    let mut rig = Rig::new(false);
    rig.dials.lag.set(80);
    rig.dials.is_full.set(true);
    rig.turns();
    assert_eq!(rig.firm(), TradingState::Active);
    rig.dials.is_full.set(false);
    rig.core.turn();
    assert_eq!(rig.firm(), TradingState::Halted);
    rig.dials.lag.set(0);
    rig.dials.is_full.set(true);
    rig.turns();
    assert_eq!(rig.firm(), TradingState::Halted);
    rig.dials.is_full.set(false);
    rig.core.turn();
    assert_eq!(rig.firm(), TradingState::Active);
}

#[test]
fn a_failed_journal_halts_refuses_and_kills_even_when_the_log_was_busy() {
    let mut rig = Rig::new(true);
    rig.wait(CommandKind::New, 9);
    rig.wait(CommandKind::Cancel, 9);
    rig.wait(CommandKind::Replace, 9);
    rig.dials.is_full.set(true);
    rig.cells.journal_failed.raise();
    rig.turns();
    rig.turns();
    assert!(rig.inputs().is_empty());
    assert_eq!(rig.core.outputs[0].waiting.len(), 3, "nothing is forgotten before it is answered");
    rig.dials.is_full.set(false);
    rig.turns();
    let kinds: Vec<FrameKind> = rig.inputs().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [FrameKind::Mode, FrameKind::NotSent, FrameKind::NotSent, FrameKind::Kill]);
    let sent = rig.sent.try_pop().expect("the cancel leaves");
    assert_eq!(sent.kind, CommandKind::Cancel as u8);
    assert!(rig.sent.try_pop().is_none(), "no order leaves without the disk");
    rig.turns();
    assert_eq!(rig.inputs().len(), 4, "each step is taken once");
}

#[test]
fn market_data_leaves_the_last_room_to_operator_and_orders() {
    let mut rig = Rig::new(false);
    rig.dials.is_tight.set(true);
    rig.market_frame(0);
    rig.core.turn();
    assert!(rig.inputs().is_empty() && rig.core.is_waiting());
    rig.operator_says(TradingState::Reducing);
    rig.core.turn();
    assert_eq!(rig.inputs(), [(FrameKind::Mode, sources::OPERATOR)]);
    rig.dials.is_tight.set(false);
    rig.core.turn();
    assert_eq!(rig.inputs().len(), 2);
    assert!(!rig.core.is_waiting());
}

#[test]
fn a_command_waits_until_the_journal_holds_its_input_and_all_that_came_of_it() {
    let mut rig = Rig::new(true);
    rig.wait(CommandKind::New, 3);
    rig.cells.durable_seq.set(2);
    rig.core.turn();
    assert!(rig.sent.try_pop().is_none());
    rig.cells.durable_seq.set(3);
    rig.core.turn();
    assert!(rig.sent.try_pop().is_some());
}

#[test]
fn a_busy_log_in_the_middle_of_a_message_lets_no_other_source_in_between() {
    let mut rig = Rig::new(false);
    rig.market_frame(FrameFlags::MORE);
    rig.core.turn();
    rig.market_frame(FrameFlags::MORE);
    rig.dials.is_full.set(true);
    rig.core.turn();
    rig.operator_says(TradingState::Reducing);
    rig.market_frame(0);
    rig.core.turn();
    assert_eq!(rig.inputs().len(), 1);
    // Neither do the lag's own frames, nor the reserve, cut it in two.
    rig.dials.is_full.set(false);
    rig.dials.is_tight.set(true);
    rig.dials.lag.set(80);
    rig.core.turn();
    let sources: Vec<SourceId> = rig.inputs().into_iter().map(|(_, source)| source).collect();
    assert_eq!(sources, [FEED, FEED, FEED, sources::OPERATOR]);
}

#[test]
fn a_stop_waits_for_frames_that_only_lack_room_in_the_log() {
    let mut rig = Rig::new(false);
    rig.dials.is_full.set(true);
    rig.operator_says(TradingState::Reducing);
    let (dials, stop) = (rig.dials.clone(), Flag::new());
    stop.raise();
    let journal = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        dials.is_full.set(false);
    });
    rig.core.run(&stop, &mut Waiter::new(WaitStrategy::PARK));
    journal.join().expect("the thread");
    assert_eq!(rig.inputs(), [(FrameKind::Mode, sources::OPERATOR)]);
}
