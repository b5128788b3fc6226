//! A core with hand-written strategies, and a script that feeds it frames and speaks for the venue.
#![allow(dead_code)] // each test file uses its part
use bytemuck::cast_slice;
use tercel_book::BookConfig;
use tercel_core::*;
use tercel_event::*;
use tercel_exec::ExecConfig;
use tercel_risk::{
    AccountLimits, Collar, InstrumentLimits, PositionLimits, RateLimits, RiskLimits, ScopeLimits, StrategyLimits,
};
use tercel_types::*;

pub const FEED: SourceId = SourceId(3);
pub const FIX: SourceId = SourceId(4);
pub const X: InstrumentId = InstrumentId(0);
pub const BID: i64 = 600_000;
pub const ASK: i64 = 600_001;
pub const MS: i64 = 1_000_000;

pub fn instrument() -> Instrument {
    Instrument {
        id: X,
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
    }
}

pub fn config(strategies: usize) -> CoreConfig {
    let scope = ScopeLimits {
        max_open_orders: 64,
        max_gross_value: Money::from_whole(10_000_000),
        max_net_value: Money::from_whole(10_000_000),
        max_loss_day: Money::from_whole(1_000_000),
        max_drawdown: Money::from_whole(1_000_000),
        rates: RateLimits { orders: [10_000; 3], cancels: [10_000; 3], halt_after: 0 },
    };
    let own = |idx: usize| StrategyConfig {
        name: format!("s{idx}"),
        account: AccountId(0),
        gateway: FIX,
        ..StrategyConfig::default()
    };
    CoreConfig {
        epoch: 1,
        shard: 0,
        instruments: Instruments(vec![instrument()]),
        feeds: vec![FEED],
        accounts: vec![AccountConfig { name: "main".into() }],
        strategies: (0..strategies).map(own).collect(),
        signals: vec![SignalConfig { name: "m".into(), schema: 1 }],
        exec: ExecConfig::default(),
        risk: RiskLimits {
            capacity: 256,
            firm: scope,
            accounts: vec![AccountLimits { scope, positions: vec![PositionLimits::both(10_000)] }],
            strategies: vec![
                StrategyLimits {
                    accounts: vec![AccountId(0)],
                    scope,
                    positions: vec![PositionLimits::both(10_000)],
                    duplicate_window: Some(DurationNs(0)),
                };
                strategies
            ],
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
        hash_every_frames: 1,
        resync_retry: DurationNs::from_millis(500),
    }
}

fn manifest(name: &str) -> Manifest {
    Manifest {
        name: name.into(),
        version: 1,
        hash: 7,
        instruments: vec![InstrumentBinding {
            alias: "x".into(),
            kind: "perp".into(),
            base: "BTC".into(),
            quote: "USDT".into(),
        }],
        inputs: [Field::BidPx(0), Field::AskPx(0), Field::Position, Field::Settled, Field::Flat]
            .map(|field| Input::Instrument { instrument: 0, field })
            .to_vec(),
        clocks: vec![
            ClockSource::Book(0),
            ClockSource::Exec(0),
            ClockSource::Timer,
            ClockSource::Param,
            ClockSource::Control,
            ClockSource::Quality(0),
            ClockSource::Trades(0),
        ],
        params: vec![ParamSpec { name: "p".into(), unit: "".into(), default: 0.0, lo: -1.0, hi: 1.0 }],
        messages: vec!["loss".into()],
        ..Manifest::default()
    }
}

/// What a test strategy saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub ticks: u64,
    pub inputs: Vec<f64>,
    pub now: i64,
}

/// Quotes `qty` on both sides at the touch, less `p` units of price; absent until the position is known.
pub struct Quoter {
    manifest: Manifest,
    pub qty: f64,
    offset: f64,
    instants: u64,
    /// Asked for as the next deadline, once.
    pub deadline: Option<TimeNs>,
}

impl Quoter {
    pub fn boxed(limits: Vec<LimitSpec>, bounds: &[f64]) -> Box<dyn Strategy> {
        let mut manifest = manifest("quoter");
        manifest.sinks = vec![SinkSpec::Quote {
            instrument: 0,
            legs: vec![LegSpec { side: Side::Buy }, LegSpec { side: Side::Sell }],
            first_slot: 0,
            with: QuoteWith { post_only: true, keep_slot: Some(4), keep_qty_slot: None },
        }];
        manifest.values_len = 5 + bounds.len();
        manifest.limits = limits;
        Box::new(Bounded {
            bounds: bounds.to_vec(),
            inner: Self { manifest, qty: 0.010, offset: 0.0, instants: 0, deadline: None },
        })
    }
}

/// A quoter with constant bounds of its limits behind its legs.
pub struct Bounded {
    inner: Quoter,
    bounds: Vec<f64>,
}

impl Strategy for Bounded {
    fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        let q = &mut self.inner;
        q.instants += 1;
        let [bid, ask, position] = [instant.inputs[0], instant.inputs[1], instant.inputs[2]];
        let qty = q.qty + 0.0 * position;
        out.owners[0] = 0;
        out.values[..5].copy_from_slice(&[bid - q.offset, qty, ask + q.offset, qty, 0.1]);
        out.values[5..].copy_from_slice(&self.bounds);
        out.control = if q.offset == 0.5 { Control::Halt(0) } else { Control::Run };
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        None
    }

    fn set_param(&mut self, _: usize, value: f64) -> Result<(), ParamError> {
        self.inner.offset = value;
        Ok(())
    }

    fn digest(&self) -> u64 {
        mix64(self.inner.instants ^ self.inner.offset.to_bits())
    }

    fn mode_name(&self) -> &str {
        ""
    }
}

/// Wants the position `p` by immediate orders at the touch; asks for a deadline every 100 ms.
pub struct Taker {
    manifest: Manifest,
    target: f64,
    next: TimeNs,
    timers: u64,
    via: Via,
}

impl Taker {
    pub fn boxed(via: Via) -> Box<dyn Strategy> {
        let mut manifest = manifest("taker");
        manifest.sinks = vec![SinkSpec::Target { instrument: 0, slot: 0, via }];
        manifest.values_len = 2;
        Box::new(Self { manifest, target: 0.0, next: TimeNs(0), timers: 0, via })
    }

    pub fn aggressive() -> Box<dyn Strategy> {
        Self::boxed(Via::Aggressive { max_slip_slot: 1 })
    }
}

impl Strategy for Taker {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        self.timers += instant.ticks >> 2 & 1;
        self.next = TimeNs(instant.now.0 - instant.now.0.rem_euclid(100 * MS) + 100 * MS);
        out.owners[0] = 0;
        out.values[0] = self.target;
        out.values[1] = match self.via {
            Via::Aggressive { .. } => 0.001,
            Via::Ioc { .. } => instant.inputs[1],
        };
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        Some(self.next)
    }

    fn set_param(&mut self, _: usize, value: f64) -> Result<(), ParamError> {
        self.target = value;
        Ok(())
    }

    fn digest(&self) -> u64 {
        mix64(self.timers ^ self.target.to_bits() ^ self.next.0 as u64)
    }

    fn mode_name(&self) -> &str {
        "taking"
    }
}

/// Quotes while `p` is 0, then wants the position `p` by immediate orders: two sinks on one instrument.
pub struct Switch {
    manifest: Manifest,
    target: f64,
}

impl Switch {
    pub fn boxed() -> Box<dyn Strategy> {
        let mut manifest = manifest("switch");
        manifest.sinks = vec![
            SinkSpec::Quote {
                instrument: 0,
                legs: vec![LegSpec { side: Side::Buy }],
                first_slot: 0,
                with: QuoteWith { post_only: true, keep_slot: None, keep_qty_slot: None },
            },
            SinkSpec::Target { instrument: 0, slot: 2, via: Via::Aggressive { max_slip_slot: 3 } },
        ];
        manifest.values_len = 4;
        Box::new(Self { manifest, target: 0.0 })
    }
}

impl Strategy for Switch {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        out.owners[0] = u16::from(self.target != 0.0);
        out.values.copy_from_slice(&[instant.inputs[0], 0.010, self.target, 0.001]);
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        None
    }

    fn set_param(&mut self, _: usize, value: f64) -> Result<(), ParamError> {
        self.target = value;
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.target.to_bits()
    }

    fn mode_name(&self) -> &str {
        ""
    }
}

/// Drives a sequencer; every `feed` returns the commands that came of it.
pub struct Script {
    pub seq: Sequencer<MemoryLog>,
    pub batch: CommandBatch,
    pub now: i64,
    src_seq: u64,
    update_id: u64,
    exec_id: u64,
    make: fn() -> Core,
}

pub const START: i64 = 1_700_000_000_000_000_000;

impl Script {
    pub fn new(make: fn() -> Core) -> Self {
        Self {
            seq: Sequencer::new(make(), MemoryLog::default(), 0, TimeNs::MIN),
            batch: CommandBatch::with_capacity(64),
            now: START,
            src_seq: 0,
            update_id: 100,
            exec_id: 0,
            make,
        }
    }

    /// A running day: epoch, feed with a book, session logged on and reconciled.
    pub fn started(make: fn() -> Core) -> Self {
        let mut s = Self::new(make);
        s.epoch(1);
        s.connect_feed();
        s.book(BID, ASK);
        s.log_on();
        s
    }

    pub fn feed_bytes(&mut self, frame: &[u8]) -> Vec<Command> {
        self.batch.clear();
        self.seq.feed(frame, TimeNs(self.now), &mut self.batch).unwrap();
        self.batch.as_slice().to_vec()
    }

    pub fn feed<B: Body>(&mut self, src: SourceId, body: &B, tail: &[u8]) -> Vec<Command> {
        self.src_seq += 1;
        let frame = FrameBuf::of(src, self.src_seq, body, tail);
        self.feed_bytes(frame.bytes())
    }

    pub fn wait(&mut self, ms: i64) -> Vec<Command> {
        self.now += ms * MS;
        self.batch.clear();
        self.seq.tick(TimeNs(self.now), &mut self.batch).unwrap();
        self.batch.as_slice().to_vec()
    }

    pub fn epoch(&mut self, epoch: u32) -> Vec<Command> {
        self.feed(sources::CORE, &EpochStart { epoch, ..Default::default() }, &[])
    }

    pub fn feed_status(&mut self, event: FeedEvent) -> Vec<Command> {
        let ts_recv = TimeNs(self.now);
        self.feed(FEED, &FeedStatus { instrument: X, event: event as u8, ts_recv, ..Default::default() }, &[])
    }

    pub fn connect_feed(&mut self) {
        self.feed_status(FeedEvent::Connected);
    }

    /// A snapshot of one level a side, and the feed's word that it has recovered.
    pub fn book(&mut self, bid: i64, ask: i64) -> Vec<Command> {
        self.update_id += 10;
        let levels = [Level { px: Price(bid), qty: Qty(5_000) }, Level { px: Price(ask), qty: Qty(5_000) }];
        let head = BookSnapshot {
            instrument: X,
            bids_count: 1,
            asks_count: 1,
            last_update_id: self.update_id,
            ts_exchange: TimeNs(self.now),
            ts_recv: TimeNs(self.now),
            ..Default::default()
        };
        let mut commands = self.feed(FEED, &head, cast_slice(&levels));
        commands.extend(self.feed_status(FeedEvent::Recovered));
        commands
    }

    pub fn bbo(&mut self, bid: i64, ask: i64) -> Vec<Command> {
        self.update_id += 1;
        let body = Bbo {
            instrument: X,
            update_id: self.update_id,
            bid_px: Price(bid),
            bid_qty: Qty(5_000),
            ask_px: Price(ask),
            ask_qty: Qty(5_000),
            ts_exchange: TimeNs(self.now),
            ts_recv: TimeNs(self.now),
            ..Default::default()
        };
        self.feed(FEED, &body, &[])
    }

    pub fn session(&mut self, event: SessionEvent) -> Vec<Command> {
        self.feed(FIX, &SessionStatus { event: event as u8, ..Default::default() }, &[])
    }

    pub fn mass_status_end(&mut self, request: &Command) -> Vec<Command> {
        self.feed(FIX, &MassStatusEnd { request_id: request.cl_ord_id.0, ..Default::default() }, &[])
    }

    pub fn log_on(&mut self) -> Vec<Command> {
        let asked = self.session(SessionEvent::LoggedOn);
        let mass: Vec<_> = asked.iter().filter(|c| c.kind == CommandKind::MassStatus as u8).collect();
        assert_eq!(mass.len(), 1, "{asked:?}");
        self.mass_status_end(&mass[0].clone())
    }

    pub fn operator<B: Body>(&mut self, body: &B) -> Vec<Command> {
        self.feed(sources::OPERATOR, body, &[])
    }

    pub fn param(&mut self, strategy: u16, value: f64) -> Vec<Command> {
        self.operator(&ParamSet { strategy: StrategyId(strategy), value, ..Default::default() })
    }

    /// A report about the order of `command`; the rest by `change`.
    pub fn report(&mut self, command: &Command, exec_type: u8, change: impl FnOnce(&mut ExecReport)) -> Vec<Command> {
        self.exec_id += 1;
        let mut report = ExecReport {
            cl_ord_id: command.cl_ord_id,
            orig_cl_ord_id: command.orig_cl_ord_id,
            px: command.px,
            has_px: 1,
            order_qty: command.order_qty,
            leaves_qty: command.order_qty,
            instrument: command.instrument,
            side: command.side,
            exec_type,
            ord_status: exec_type,
            order_id: OrderId::new(format!("V{}", command.root_cl_ord_id.counter()).as_bytes()).unwrap(),
            exec_id: ExecId::new(format!("E{}", self.exec_id).as_bytes()).unwrap(),
            ts_recv: TimeNs(self.now),
            ..Default::default()
        };
        change(&mut report);
        self.feed(FIX, &report, &[])
    }

    pub fn ack(&mut self, command: &Command) -> Vec<Command> {
        self.report(command, b'0', |_| {})
    }

    /// A fill that brings the order to `cum`.
    pub fn fill(&mut self, command: &Command, last: i64, cum: i64) -> Vec<Command> {
        let total = command.order_qty.0;
        let maker = command.tif != Tif::Ioc as u8;
        self.report(command, b'F', |r| {
            (r.last_qty, r.cum_qty, r.leaves_qty) = (Qty(last), Qty(cum), Qty(total - cum));
            r.last_px = command.px;
            r.ord_status = if cum == total { b'2' } else { b'1' };
            r.liquidity = if maker { 1 } else { 2 };
        })
    }

    pub fn canceled(&mut self, command: &Command, cum: i64) -> Vec<Command> {
        self.report(command, b'4', |r| (r.cum_qty, r.leaves_qty) = (Qty(cum), Qty(0)))
    }

    pub fn replaced(&mut self, command: &Command, cum: i64) -> Vec<Command> {
        let leaves = command.order_qty.0 - cum;
        self.report(command, b'5', |r| {
            (r.cum_qty, r.leaves_qty) = (Qty(cum), Qty(leaves));
            r.ord_status = b'0';
        })
    }

    pub fn rejected(&mut self, command: &Command) -> Vec<Command> {
        self.report(command, b'8', |r| (r.leaves_qty, r.rej_reason) = (Qty(0), 1))
    }

    /// Answers one command as some venue might; `dice` decides. Returns what the core sends in turn.
    pub fn answer(&mut self, command: &Command, dice: u64) -> Vec<Command> {
        let Some(order) = self.core().orders().get(command.root_cl_ord_id).copied() else {
            return match CommandKind::from_u8(command.kind) {
                Some(CommandKind::MassStatus) => self.mass_status_end(command),
                _ => Vec::new(),
            };
        };
        let (cum, leaves) = (order.cum_qty.0, order.leaves_qty().0);
        if order.state.is_dead() {
            return Vec::new();
        }
        match CommandKind::from_u8(command.kind) {
            Some(CommandKind::New) if command.tif == Tif::Ioc as u8 => match dice % 3 {
                0 => self.canceled(command, 0),
                1 => self.fill(command, leaves, leaves),
                _ => {
                    let mut all = self.fill(command, 1, 1);
                    all.extend(self.canceled(command, 1));
                    all
                }
            },
            Some(CommandKind::New) => match dice % 8 {
                0 => self.rejected(command),
                1 => self.fill(command, leaves, cum + leaves),
                2 => self.fill(command, 1, cum + 1),
                3 => Vec::new(),
                _ => self.ack(command),
            },
            Some(CommandKind::Replace) => match dice % 6 {
                0 => self.fill(&Command { cl_ord_id: order.cl_ord_id, ..*command }, 1, cum + 1),
                1 => self.feed(
                    FIX,
                    &CancelReject {
                        cl_ord_id: command.cl_ord_id,
                        orig_cl_ord_id: command.orig_cl_ord_id,
                        ord_status: b'0',
                        response_to: b'2',
                        ..Default::default()
                    },
                    &[],
                ),
                _ => self.replaced(command, cum),
            },
            Some(CommandKind::Cancel) => self.canceled(command, cum),
            Some(CommandKind::Status) => self.report(command, b'I', |r| {
                (r.cum_qty, r.leaves_qty) = (Qty(cum), Qty(0));
                r.ord_status = if cum == 0 { b'8' } else { b'4' };
            }),
            _ => Vec::new(),
        }
    }

    pub fn core(&self) -> &Core {
        self.seq.core()
    }

    pub fn position(&self, strategy: u16) -> i64 {
        self.core().orders().position(StrategyId(strategy), X).qty.0
    }

    pub fn open_orders(&self) -> usize {
        self.core().orders().open_all().count()
    }

    /// Notes of the log so far, as (reason, control, value).
    pub fn notes(&self) -> Vec<(Reason, u16, i64)> {
        let notes = self.seq.sink().frames().filter_map(|f| f.body::<Note>().ok());
        notes.map(|n| (Reason::from_u16(n.reason).unwrap(), n.control, n.value)).collect()
    }

    /// Every run ends here: the log replays to the same commands and the same state.
    pub fn end(self) -> Vec<u8> {
        let hash = self.core().state_hash();
        let mut replay = Replayer::new((self.make)());
        for frame in self.seq.sink().frames() {
            if let Err(difference) = replay.replay_frame(frame) {
                panic!("{difference}");
            }
        }
        let core = replay.finish().unwrap_or_else(|difference| panic!("{difference}"));
        assert_eq!(core.state_hash(), hash, "the replayed state differs");
        assert_eq!(core.counters(), self.core().counters());
        self.seq.into_parts().1.bytes().to_vec()
    }
}

pub fn kinds(commands: &[Command]) -> Vec<(CommandKind, u8, i64, i64)> {
    commands.iter().map(|c| (CommandKind::from_u8(c.kind).unwrap(), c.side, c.px.0, c.order_qty.0)).collect()
}

pub fn limit(metric: Metric, slot: usize, verdicts: &[Verdict]) -> LimitSpec {
    LimitSpec { metric, bound_slot: 5 + slot, verdicts: verdicts.to_vec() }
}

pub fn core(config: CoreConfig, strategies: Vec<Box<dyn Strategy>>) -> Core {
    match Core::new(config, strategies) {
        Ok(core) => core,
        Err(problems) => panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

pub fn quoter() -> Core {
    core(config(1), vec![Quoter::boxed(vec![], &[])])
}

pub fn taker() -> Core {
    core(config(1), vec![Taker::aggressive()])
}
