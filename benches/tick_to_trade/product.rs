//! The product, fused on one thread: message bytes ─▶ feed machine ─▶ sequencer (mapped log, core, machine code) ─▶ order
//! gateway ─▶ FIX bytes. Nothing of it is special to this bench but the store and the socket.
use crate::path::{FEED, ORDERS, Path, instruments, new_log};
use crate::venue::{RingStore, START, Socket, Venue};
use bytemuck::cast_slice;
use quanta::Clock;
use tercel_binance::{FeedConfig, FeedIo, FeedMachine, RingFull, SocketConfig, frames_of};
use tercel_core::{AccountConfig, CommandBatch, Core, CoreConfig, Sequencer, SignalConfig, StrategyConfig};
use tercel_event::{BookSnapshot, EpochStart, FeedEvent, FeedStatus, FrameBuf, Level, Strategy, sources};
use tercel_fix::StampCache;
use tercel_fix::order::{OrderGateway, OrderGatewayConfig};
use tercel_fix::session::SessionConfig;
use tercel_net::{Now, OrderMachine, Received};
use tercel_risk::{
    AccountLimits, Collar, InstrumentLimits, PositionLimits, RateLimits, RiskLimits, ScopeLimits, StrategyLimits,
};
use tercel_runtime::{EdgeLog, MappedLog};
use tercel_types::{AccountId, DurationNs, InstrumentId, Money, Price, Qty, TimeNs};

/// Sequencer and what it sent, as the feed machine sees it: fused, so a frame is sequenced where a ring would take it.
struct Fused {
    sequencer: Sequencer<MappedLog>,
    batch: CommandBatch,
    now: TimeNs,
}

impl FeedIo for Fused {
    #[inline]
    fn push(&mut self, frames: &[u8]) -> Result<(), RingFull> {
        for frame in frames_of(frames) {
            self.sequencer.feed(frame, self.now, &mut self.batch).expect("no reader holds the log");
        }
        Ok(())
    }

    fn request_snapshot(&mut self, _: InstrumentId) {}
}

pub struct Product {
    feed: FeedMachine,
    fused: Fused,
    gateway: OrderGateway<RingStore>,
    socket: Socket,
    venue: Venue,
    stamps: StampCache,
    events: u64,
    scratch: Vec<u8>,
    /// What the venue answered, and where each answer ends.
    answers: Vec<u8>,
    ends: Vec<usize>,
}

impl Product {
    /// `strategy` is source text.
    pub fn new(clock: &Clock, strategy: &str, log_name: &str) -> Self {
        let compiled = tercel_lang::compile(strategy, "bench.strat").unwrap_or_else(|e| panic!("{}", e.render()));
        let compiled = tercel_jit::compile(compiled.program, compiled.manifest).expect("the bench strategy");
        let core = Core::new(core_config(), vec![Box::new(compiled) as Box<dyn Strategy>])
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        let sequencer = Sequencer::new(core, MappedLog::new(new_log(log_name)), 0, TimeNs::MIN);
        let fused = Fused { sequencer, batch: CommandBatch::with_capacity(1_024), now: START };
        let gateway = OrderGatewayConfig {
            source: ORDERS,
            session: SessionConfig::initiator("TERCEL", "VENUE"),
            instruments: instruments().0,
            accounts: vec!["ACC".into()],
            epoch: 1,
            orders_max: 4_096,
        };
        let streams = ["depth@0ms", "bookTicker"].map(|stream| format!("btcusdt@{stream}")).into();
        let sockets = vec![SocketConfig { ws_url: String::new(), streams }];
        let feed = FeedConfig { source: FEED, sockets, ..FeedConfig::default() };
        let mut new = Self {
            feed: FeedMachine::new(&feed, &instruments()),
            fused,
            gateway: OrderGateway::new(gateway, RingStore::new(1)),
            socket: Socket::new(clock),
            venue: Venue::default(),
            stamps: StampCache::default(),
            events: 0,
            scratch: Vec::with_capacity(1 << 16),
            answers: Vec::with_capacity(1 << 12),
            ends: Vec::with_capacity(64),
        };
        new.start();
        new
    }

    fn now(&self) -> Now {
        Now { engine: self.fused.now, wall: self.fused.now }
    }

    /// Epoch, a book of 20 levels a side, logon, reconciliation.
    fn start(&mut self) {
        let instrument = InstrumentId(0);
        let status = |event| FeedStatus { instrument, event: event as u8, ts_recv: START, ..FeedStatus::default() };
        let level = |px| Level { px: Price(px), qty: Qty(2_000) };
        let base = crate::venue::BASE;
        let levels: Vec<Level> = (0..20).map(|i| level(base - i)).chain((1..21).map(|i| level(base + i))).collect();
        let book = BookSnapshot {
            instrument,
            bids_count: 20,
            asks_count: 20,
            last_update_id: 10,
            ts_exchange: START,
            ts_recv: START,
            ..BookSnapshot::default()
        };
        for frame in [
            FrameBuf::of(sources::CORE, 1, &EpochStart { epoch: 1, ..EpochStart::default() }, &[]),
            FrameBuf::of(FEED, 1, &status(FeedEvent::Connected), &[]),
            FrameBuf::of(FEED, 2, &book, cast_slice(&levels)),
            FrameBuf::of(FEED, 3, &status(FeedEvent::Recovered), &[]),
        ] {
            self.fused.push(frame.bytes()).expect("the log has room");
        }
        let now = self.now();
        self.gateway.on_connected(now, &mut self.socket);
        self.settle(|_| ());
        assert!(self.gateway.is_ready(), "the session did not log on");
    }

    #[inline]
    fn dispatch(&mut self) {
        let now = self.now();
        for command in self.fused.batch.for_dest(ORDERS) {
            self.gateway.on_command(command, now, &mut self.socket);
        }
        self.fused.batch.clear();
    }
}

impl Path for Product {
    fn before(&mut self, now: TimeNs) {
        self.fused.now = now;
        self.socket.now = now;
        self.events += 1;
        if self.events.is_multiple_of(64) {
            self.fused.sequencer.sink_mut().refresh();
        }
        self.fused.sequencer.tick(now, &mut self.fused.batch).expect("no reader holds the log");
        self.dispatch();
    }

    #[inline(never)]
    fn on_event(&mut self, message: &[u8]) {
        let now = self.now();
        let received = Received { bytes: message, ts_user: now.engine, ts_kernel: None };
        self.feed.on_message(0, received, now, &mut self.fused);
        self.dispatch();
    }

    fn sent_at(&self) -> u64 {
        self.socket.sent_at
    }

    /// Answers what was sent, and tells the core what the gateway said, until all is quiet.
    fn settle(&mut self, mut on_order: impl FnMut(&[u8])) {
        let now = self.now();
        loop {
            core::mem::swap(&mut self.scratch, &mut self.socket.frames);
            for frame in frames_of(&self.scratch) {
                self.fused.sequencer.feed(frame, now.engine, &mut self.fused.batch).expect("no reader holds the log");
            }
            self.scratch.clear();
            let stamp = self.stamps.render(now.wall);
            self.answers.clear();
            self.ends.clear();
            for message in self.socket.messages() {
                on_order(message);
                self.venue.answer(message, stamp, &mut self.answers);
                self.ends.push(self.answers.len());
            }
            self.socket.clear_messages();
            let mut start = 0;
            for &end in &self.ends {
                if end > start {
                    let received = Received { bytes: &self.answers[start..end], ts_user: now.engine, ts_kernel: None };
                    self.gateway.on_received(received, now, &mut self.socket);
                }
                start = end;
            }
            self.dispatch();
            if self.answers.is_empty() && self.socket.frames.is_empty() {
                return;
            }
        }
    }
}

fn core_config() -> CoreConfig {
    let usdt = Money::from_whole;
    let account = AccountId(0);
    let scope = ScopeLimits {
        max_open_orders: 64,
        max_gross_value: usdt(1_000_000),
        max_net_value: usdt(1_000_000),
        max_loss_day: usdt(100_000),
        max_drawdown: usdt(100_000),
        rates: RateLimits { orders: [40, 100, 6_000], cancels: [80, 200, 12_000], halt_after: 0 },
    };
    let positions = vec![PositionLimits::both(2_000)];
    CoreConfig {
        epoch: 1,
        shard: 0,
        instruments: instruments(),
        feeds: vec![FEED],
        accounts: vec![AccountConfig { name: "main".into() }],
        strategies: vec![StrategyConfig {
            name: "maker".into(),
            account,
            gateway: ORDERS,
            bindings: vec![("x".into(), "BTCUSDT".into())],
            params: Vec::new(),
        }],
        signals: vec![SignalConfig { name: "next_mid".into(), schema: 1 }],
        exec: Default::default(),
        risk: RiskLimits {
            capacity: 256,
            firm: scope,
            accounts: vec![AccountLimits { scope, positions: positions.clone() }],
            strategies: vec![StrategyLimits {
                accounts: vec![account],
                scope,
                positions,
                duplicate_window: Some(DurationNs(0)),
            }],
            instruments: vec![InstrumentLimits {
                max_order_qty: Qty(200),
                max_order_value: usdt(20_000),
                collar: Some(Collar::Bps(50)),
                reference_max_age: DurationNs::from_secs(2),
            }],
        },
        book: Default::default(),
        orders_max: 4_096,
        exec_ids_max: 1 << 16,
        outcome_timeout: DurationNs::from_secs(3),
        status_retry: DurationNs::from_secs(2),
        feed_stale: DurationNs::from_secs(5),
        hash_every_frames: 1,
        resync_retry: DurationNs::from_millis(500),
    }
}
