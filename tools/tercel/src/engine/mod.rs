//! The composition root of a running engine: recovers, builds every part, starts the threads, and ends them in order.
mod orders;
mod recover;
mod telemetry;
mod watchdog;

pub use recover::{recover, torn_tail};
pub use telemetry::Progress;

use crate::config::{self, RunConfig};
use crate::incidents::Incidents;
use crate::operator::{self, ControlSocket, Operator};
use crate::{replay, strategies};
use orders::{OrderGauges, OrderStation};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use telemetry::Telemetry;
use tercel_binance::{FeedCounters, FeedShell};
use tercel_core::{Core, Report};
use tercel_event::{Chain, Command, EpochStart, FrameBuf, Manifest, Strategy, sources};
use tercel_fix::{FileStore, OrderGateway, OrderGatewayConfig};
use tercel_journal::{JournalLock, SegmentWriter, TextStore, WriterConfig, text_hash};
use tercel_net::{Connector, EdgeClock, OrderShell, SharedClock, SocketOptions, TlsTrust, Url};
use tercel_ring::{
    Consumer, Flag, FrameProducer, Gauge, KillWord, LogConfig, LogWriter, PowerOfTwo, SlotWriter, frames, spsc,
};
use tercel_runtime::{
    Class, CommandRing, CoreCells, CoreLoop, CrashPlan, Durability, JournalStation, LatencyNs, MappedLog,
    SignalCounters, SignalReader, SourceRing, Station, Topology, TscClock, spawn,
};
use tercel_types::{AccountId, InstrumentId, Problem, Side, TimeNs};
use watchdog::{Pulse, Watchdog};

/// What a run may be told beside its configuration.
#[derive(Default)]
pub struct Options {
    pub crash: CrashPlan,
    /// Print what happens to standard error.
    pub verbose: bool,
}

/// An engine with its threads running.
pub struct Running {
    pub progress: Progress,
    pub topology: Topology,
    pub kill: KillWord,
    pub cells: CoreCells,
    pub log_path: PathBuf,
    operator: Operator,
    pub orders: OrderGauges,
    stop_gateways: Flag,
    stop_core: Flag,
    stop_sides: Flag,
    core: JoinHandle<Box<CoreLoop<MappedLog>>>,
    feed: JoinHandle<FeedStation>,
    order: JoinHandle<OrderStation>,
    signal: JoinHandle<SignalStation>,
    journal: JoinHandle<JournalStation>,
    telemetry: JoinHandle<Telemetry>,
    watchdog: JoinHandle<Watchdog>,
    signals: SignalCounters,
    started: Instant,
}

/// What is left of an engine that ended.
pub struct Ended {
    pub report: Report,
    /// Every order that the core still knows, and what its risk ledger holds against it.
    pub orders: Value,
    pub incidents: Incidents,
    pub latency: LatencyNs,
    pub feed: FeedCounters,
    pub signals: SignalCounters,
    pub journal_failure: Option<(String, u64)>,
    pub max_clock_offset_ns: u64,
    /// Threads that the watchdog saw hang.
    pub wedged: Vec<&'static str>,
    pub duration: Duration,
}

const RING: usize = 1 << 22;
const COMMANDS: usize = 1 << 12;

fn power(value: usize) -> PowerOfTwo {
    PowerOfTwo::new(value.next_power_of_two()).unwrap_or_else(|| unreachable!("a power of two"))
}

/// Hash over everything that the core's behaviour depends on: configuration and strategy texts.
pub fn config_hash(config: &RunConfig) -> u64 {
    let mut chain = Chain::default();
    chain.bytes(config.text.as_bytes());
    for strategy in &config.strategies {
        chain.bytes(strategy.source.as_bytes());
    }
    chain.0
}

/// Hash of the build: what replays only with itself.
pub fn build_hash() -> u64 {
    text_hash(concat!(env!("CARGO_PKG_VERSION"), " frames 1").as_bytes())
}

/// Name of the sequenced log of the run in `dir`: two runs on one host never share one.
pub fn log_path(config: &RunConfig) -> PathBuf {
    let dir = std::fs::canonicalize(&config.dir).unwrap_or_else(|_| config.dir.clone());
    config.log_dir.join(format!("tercel-{:016x}.log", text_hash(dir.as_os_str().as_encoded_bytes())))
}

/// A core as the configuration says, with its strategies compiled.
pub fn build_core(config: &RunConfig) -> Result<(Core, Vec<Manifest>), String> {
    let files = config.strategies.iter().map(|entry| (entry.shown.as_str(), entry.source.as_str()));
    let (strategies, mut manifests): (Vec<Box<dyn Strategy>>, Vec<Manifest>) = strategies::compile_all(files)?;
    let mut core_config = config.core.clone();
    let names = strategies::unique_names(&manifests);
    for ((own, manifest), name) in core_config.strategies.iter_mut().zip(&mut manifests).zip(names) {
        own.name.clone_from(&name);
        manifest.name = name;
    }
    let core = Core::new(core_config, strategies).map_err(|problems| {
        problems.iter().map(|problem| place(config, &manifests, problem)).collect::<Vec<_>>().join("\n")
    })?;
    Ok((core, manifests))
}

/// A problem of a core behind the place where it can be mended: in the strategy, or in the configuration.
fn place(config: &RunConfig, manifests: &[Manifest], problem: &Problem) -> String {
    let found = manifests.iter().enumerate().find_map(|(at, manifest)| {
        let part = problem.key.strip_prefix("strategies.")?.strip_prefix(&manifest.name)?.strip_prefix('.')?;
        Some((config.strategies.get(at)?, manifest, part))
    });
    let Some((entry, manifest, part)) = found else {
        return format!("{}:1:1: {problem}", config.file);
    };
    let (kind, name) = part.split_once('.').unwrap_or((part, ""));
    let in_config = match kind {
        "account" => Some(entry.at),
        "params" => Some(entry.params_at.iter().find(|(key, _)| key == name).map_or(entry.at, |(_, at)| *at)),
        _ => None,
    };
    let (file, (line, column)) = match in_config {
        Some(at) => (&config.file, at),
        None => (&entry.shown, strategies::declared_at(&entry.source, kind, name)),
    };
    let problem = Problem { key: part.to_owned(), ..problem.clone() };
    format!("{file}:{line}:{column}: strategy `{}`: {problem}", manifest.name)
}

/// Starts everything. Nothing is left running when it fails; the error is for people.
pub fn start(config: &RunConfig, options: &Options) -> Result<Running, String> {
    let say = |text: String| {
        if options.verbose {
            eprintln!("{text}");
        }
    };
    let io = |what: &str, path: &Path| {
        let text = format!("cannot {what} `{}`", path.display());
        move |error: std::io::Error| format!("{text}: {error}")
    };
    std::fs::create_dir_all(&config.dir).map_err(io("create", &config.dir))?;
    let journal_dir = config.dir.join("journal");
    let log_path = log_path(config);
    let hash = config_hash(config);
    let lock = JournalLock::acquire(&journal_dir).map_err(|error| chain(&error))?;
    let (core, manifests) = build_core(config)?;
    store_texts(config, &journal_dir)?;

    options.crash.pass("startup");
    let recovered = recover(core, &journal_dir, &log_path, config::ORDERS)?;
    if recovered.is_restart() {
        say(recovered.line());
    }
    let (unanswered, next_in, restart) = (recovered.unanswered.clone(), recovered.next_in, recovered.is_restart());
    let recovered_state = recovered.state_before_end;
    let epoch = recovered.summary.last_epoch + 1;
    let writer_config =
        WriterConfig { build_hash: build_hash(), config_hash: hash, epoch, segment_len_max: config.segment_mb << 20 };
    let mut writer = SegmentWriter::open(lock, writer_config).map_err(|error| chain(&error))?;
    recovered.recovery.move_log_tail(&mut writer).map_err(|error| chain(&error))?;
    replay::forget_end(&config.dir).map_err(io("change", &config.dir))?;
    let log_config = LogConfig {
        path: log_path.clone(),
        capacity: power(config.log_mb << 20),
        epoch,
        config_hash: hash,
        build_hash: build_hash(),
    };
    let mut log = LogWriter::create(&log_config).map_err(|error| chain(&error))?;
    let log_reader = log.gating_reader("journal").map_err(|error| chain(&error))?;
    let mut sequencer = recovered.replayer.resume(MappedLog::new(log)).map_err(|error| error.to_string())?;

    let clock = Arc::new(TscClock::new(config.start_at, config.speed));
    let shared: SharedClock = clock.clone();
    let mut batch = tercel_core::CommandBatch::with_capacity(64);
    let mut strategy_hash = Chain::default();
    manifests.iter().for_each(|manifest| strategy_hash.word(manifest.hash));
    let epoch_start = EpochStart {
        epoch,
        restart: u32::from(restart),
        config_hash: hash,
        build_hash: build_hash(),
        strategy_hash: strategy_hash.0,
        seed: 0,
    };
    let frame = FrameBuf::of(sources::CORE, u64::from(epoch), &epoch_start, &[]);
    sequencer.feed(frame.bytes(), clock.now().engine, &mut batch).map_err(|error| error.to_string())?;
    if let Some(state) = recovered_state {
        // The last end halted everything to cancel its orders; what held before holds again.
        let mode = operator::state_before_end(state);
        let frame = FrameBuf::of(sources::CORE, u64::from(epoch), &mode, &[]);
        sequencer.feed(frame.bytes(), clock.now().engine, &mut batch).map_err(|error| error.to_string())?;
    }

    let cpus = config::cpus();
    let topology = config.topology.resolve(cpus);
    let cells = CoreCells::default();
    let kill = KillWord::open(&config.dir.join("kill.word")).map_err(io("open", &config.dir.join("kill.word")))?;

    // Rings: one per source, one per command destination.
    let (operator_in, operator_ring) = frames(power(1 << 17));
    let (signal_in, signal_ring) = frames(power(1 << 18));
    let (feed_in, feed_ring) = frames(power(RING));
    let (order_in, order_ring) = frames(power(RING));
    let (feed_commands, feed_commands_out) = spsc::<Command>(power(COMMANDS));
    let (order_commands, order_commands_out) = spsc::<Command>(power(COMMANDS));

    let (store, opened) = FileStore::open(&config.dir.join("fix.store"), &config.session.fix.identity())
        .map_err(|error| chain(&error))?;
    if opened.cut_len > 0 {
        say(format!(
            "the FIX message store ended in a torn record: {} bytes were cut, {} messages are whole",
            opened.cut_len, opened.records
        ));
    }
    let gateway_config = OrderGatewayConfig {
        source: config.session.source,
        session: config.session.fix.clone(),
        instruments: config.core.instruments.0.clone(),
        accounts: config.core.accounts.iter().map(|account| account.name.clone()).collect(),
        epoch,
        orders_max: config.core.orders_max,
    };
    let mut gateway = OrderGateway::new(gateway_config, store);
    if let Some(next_in) = next_in {
        gateway.expect_in(next_in);
    }
    let orders = OrderGauges::default();
    let scheme = if config.session.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}:{}", config.session.host, config.session.port);
    let url = Url::parse(&url).map_err(|error| format!("order session address `{url}`: {error}"))?;
    let connector = Connector {
        trust: TlsTrust::new(config.session.ca_file.as_deref()).map_err(|error| chain(&error))?,
        options: SocketOptions { kernel_stamps: true, busy_poll_us: None },
        clock: shared.clone(),
        timeout: Duration::from_secs(3),
    };
    let crash = options.crash.clone();
    let order_shell = OrderShell::new(gateway, connector, url, order_commands_out, order_in, Some(kill.clone()))
        .with_crash_points(Box::new(move |point| crash.pass(point)));
    let stop_gateways = Flag::new();
    let order_station = OrderStation::new(order_shell, &unanswered, &shared, orders.clone(), stop_gateways.clone());
    let feed_log: tercel_binance::Log =
        if options.verbose { Box::new(|line| eprintln!("feed: {line}")) } else { Box::new(|_| {}) };
    let feed_shell = FeedShell::new(&config.feed, &config.core.instruments, feed_in, shared.clone(), feed_log)
        .map_err(|error| chain(&error))?;

    let slots = config.dir.join("signals");
    let slots_count = config.signals.iter().map(|signal| signal.slot_idx + 1).max().unwrap_or(1);
    SlotWriter::create(&slots, slots_count).map_err(io("create", &slots))?;
    let signals = SignalCounters::default();
    let signal_reader = SignalReader::new(&slots, config.signals.clone(), signal_in, signals.clone());

    let progress = Progress::default();
    let first = config.core.instruments.0.first().cloned().ok_or("no instrument is configured")?;
    let telemetry = Telemetry::new(&log_path, &config.dir.join("features"), first, progress.clone())?;

    let sources = vec![
        SourceRing { class: Class::Operator, ring: operator_ring },
        SourceRing { class: Class::Order, ring: order_ring },
        SourceRing { class: Class::Signal, ring: signal_ring },
        SourceRing { class: Class::MarketData, ring: feed_ring },
    ];
    let outputs =
        vec![CommandRing::new(config::FEED, feed_commands), CommandRing::new(config.session.source, order_commands)];
    let wait_durable = config.durability != Durability::Memory;
    let core_loop = Box::new(CoreLoop::new(
        sequencer,
        sources,
        outputs,
        Box::new(TscClock::clone(&clock)),
        wait_durable,
        cells.clone(),
        options.crash.clone(),
    ));
    let operator = Operator::new(
        operator_in,
        manifests,
        config.core.accounts.iter().map(|account| account.name.clone()).collect(),
    );
    let control_path = config.dir.join("control.sock");
    let control = ControlSocket::bind(&control_path, operator.clone()).map_err(io("bind", &control_path))?;
    let journal = JournalStation::new(log_reader, writer, config.durability, cells.clone(), config.speed == 1);

    let (stop_core, stop_sides) = (Flag::new(), Flag::new());
    let (journal_turns, feed_turns, unwatched) = (Gauge::new(), Gauge::new(), Gauge::new);
    let failed = |error: std::io::Error| format!("cannot start a thread: {error}");
    let (side_wait, stop) = (topology.side_wait, &stop_sides);
    let journal = spawn("journal", topology.journal_cpu, side_wait, stop.clone(), journal_turns.clone(), journal)
        .map_err(failed)?;
    let telemetry = spawn("telemetry", None, side_wait, stop.clone(), unwatched(), telemetry).map_err(failed)?;
    let core = spawn_core(&topology, &stop_core, core_loop).map_err(failed)?;
    let (gateway_wait, stop) = (topology.gateway_wait, &stop_gateways);
    let order = spawn("orders", topology.order_cpu, gateway_wait, stop.clone(), orders.turns.clone(), order_station)
        .map_err(failed)?;
    let feed_station = FeedStation { shell: feed_shell, commands: feed_commands_out };
    let feed = spawn("feed", topology.feed_cpu, gateway_wait, stop.clone(), feed_turns.clone(), feed_station)
        .map_err(failed)?;
    let signal_station = SignalStation { reader: signal_reader, clock: shared };
    let signal = spawn("signals", None, side_wait, stop.clone(), unwatched(), signal_station).map_err(failed)?;
    let watched = vec![
        Pulse::new("core", cells.heartbeat.clone()),
        Pulse::new("orders", orders.turns.clone()),
        Pulse::new("feed", feed_turns),
        Pulse::new("journal", journal_turns),
    ];
    let ready = orders.ready.clone();
    let watchdog = Watchdog::new(config.dir.clone(), kill.clone(), cells.clone(), clock, control, watched, ready);
    let watchdog = spawn("watchdog", None, side_wait, stop_sides.clone(), unwatched(), watchdog).map_err(failed)?;
    Ok(Running {
        progress,
        topology,
        kill,
        cells,
        log_path,
        operator,
        orders,
        stop_gateways,
        stop_core,
        stop_sides,
        core,
        feed,
        order,
        signal,
        journal,
        telemetry,
        watchdog,
        signals,
        started: Instant::now(),
    })
}

fn spawn_core(
    topology: &Topology,
    stop: &Flag,
    mut core: Box<CoreLoop<MappedLog>>,
) -> std::io::Result<JoinHandle<Box<CoreLoop<MappedLog>>>> {
    let (cpu, wait, stop) = (topology.core_cpu, topology.core_wait, stop.clone());
    std::thread::Builder::new().name("core".into()).spawn(move || {
        tercel_runtime::pin(cpu);
        core.run(&stop, &mut tercel_ring::Waiter::new(wait));
        core
    })
}

impl Running {
    /// True once the order session is logged on and nothing of the venue's answers is missing.
    pub fn is_ready(&self) -> bool {
        self.orders.ready.get() == 1
    }

    /// Ends the run in order: orders cancelled, session logged out, threads joined, journal closed.
    pub fn stop(self) -> Result<Ended, String> {
        if let Err(error) = self.operator.end_all() {
            // The core does not take frames any more: the gateway cancels by its own table.
            eprintln!("{error}; cancelling through the order gateway");
            self.kill.raise();
        }
        // Cancels take a moment to be made, so an empty table right now proves nothing.
        std::thread::sleep(Duration::from_millis(100));
        if !self.all_closed_within(Duration::from_secs(5)) {
            eprintln!(
                "{} orders are still open or unknown after 5 s; the order gateway cancels what its own table shows",
                self.cells.orders_open.get()
            );
            self.orders.cancel_all.raise();
            if !self.all_closed_within(Duration::from_secs(2)) {
                eprintln!(
                    "{} orders are still open or unknown; the next start will ask the venue about them",
                    self.cells.orders_open.get()
                );
            }
        }
        self.stop_leaving_orders()
    }

    /// True as soon as the core counts no order open or unknown.
    fn all_closed_within(&self, span: Duration) -> bool {
        let deadline = Instant::now() + span;
        while self.cells.orders_open.get() > 0 {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// As `stop`, but what is open stays with the venue: the next start finds it by the journal and by FIX.
    pub fn stop_leaving_orders(self) -> Result<Ended, String> {
        let duration = self.started.elapsed();
        self.stop_gateways.raise();
        let order = join(self.order, "orders")?;
        let feed = join(self.feed, "feed")?;
        join(self.signal, "signals")?;
        drop(order);
        self.stop_core.raise();
        let core = join(self.core, "core")?;
        self.stop_sides.raise();
        let journal = join(self.journal, "journal")?;
        let telemetry = join(self.telemetry, "telemetry")?;
        let watchdog = join(self.watchdog, "watchdog")?;
        let report = core.sequencer().core().report();
        let journal_failure = journal.failure().map(|(text, lost)| (text.to_owned(), lost));
        if journal_failure.is_none() {
            // Everything is in the journal, closed and synced; a later start needs no log.
            let _ = std::fs::remove_file(&self.log_path);
        }
        let orders = orders_json(core.sequencer().core());
        Ok(Ended {
            report,
            orders,
            incidents: telemetry.into_incidents(),
            latency: journal.latency().clone(),
            feed: *feed.shell.counters(),
            signals: self.signals,
            journal_failure,
            max_clock_offset_ns: watchdog.max_clock_offset_ns(),
            wedged: watchdog.wedged(),
            duration,
        })
    }
}

/// Orders by ClOrdID, and per account and instrument the position and reservations of the risk ledger: what a judge compares
/// with the venue's own account.
fn orders_json(core: &Core) -> Value {
    let lots = |id: InstrumentId, qty: i64| core.config().instruments.get(id).map(|i| i.lot.text_of(qty).to_string());
    let orders: Map<String, Value> = core
        .orders()
        .all()
        .map(|order| {
            let value = json!({
                "root": order.root.to_string(),
                "state": format!("{:?}", order.state),
                "side": if order.side == Side::Buy { 1 } else { 2 },
                "order_qty": lots(order.instrument, order.order_qty.0),
                "cum_qty": lots(order.instrument, order.cum_qty.0),
                "acked": order.acked,
            });
            (order.cl_ord_id.to_string(), value)
        })
        .collect();
    let mut ledger = Vec::new();
    for (at, account) in core.config().accounts.iter().enumerate() {
        for instrument in &core.config().instruments.0 {
            let (position, buys, sells) = core.risk().account_worst_case(AccountId(at as u16), instrument.id);
            let open = core.orders().account_open_totals(AccountId(at as u16), instrument.id);
            ledger.push(json!({
                "account": account.name,
                "symbol": instrument.symbol,
                "position": lots(instrument.id, position.0),
                "reserved_buys": lots(instrument.id, buys.0),
                "reserved_sells": lots(instrument.id, sells.0),
                "open_buys": lots(instrument.id, open.buy_qty.0),
                "open_sells": lots(instrument.id, open.sell_qty.0),
            }));
        }
    }
    json!({ "orders": orders, "ledger": ledger })
}

fn join<T>(handle: JoinHandle<T>, name: &str) -> Result<T, String> {
    handle.join().map_err(|_| format!("the thread `{name}` panicked; the journal holds everything up to there"))
}

/// The feed gateway's thread.
struct FeedStation {
    shell: FeedShell<FrameProducer>,
    commands: Consumer<Command>,
}

impl Station for FeedStation {
    fn turn(&mut self) -> bool {
        let Self { shell, commands } = self;
        let asked = commands.drain(16, |command| shell.on_command(command));
        shell.step() + asked > 0
    }

    fn finish(&mut self) {
        self.shell.close();
    }
}

/// The signal reader's thread.
struct SignalStation {
    reader: SignalReader,
    clock: SharedClock,
}

impl Station for SignalStation {
    fn turn(&mut self) -> bool {
        self.reader.poll(self.clock.now().engine)
    }
}

/// Configuration and strategies go into the journal as their own text, before any frame names them.
fn store_texts(config: &RunConfig, journal: &Path) -> Result<(), String> {
    let texts = TextStore::open(journal);
    let stored = texts.find("config.toml").map_err(|error| chain(&error))?;
    if let Some(stored) = stored
        && stored != config.text.as_bytes()
    {
        return Err(format!(
            "the journal in {} was begun with another configuration; its orders and positions belong to that one. Start with the old \
             configuration (it is in {}/texts), flatten and stop, then use a new `run.dir` for the new one",
            journal.display(),
            journal.display()
        ));
    }
    texts.store("config.toml", config.text.as_bytes()).map_err(|error| chain(&error))?;
    for entry in &config.strategies {
        let held = texts.find(&entry.file).map_err(|error| chain(&error))?;
        if held.is_some_and(|held| held != entry.source.as_bytes()) {
            return Err(format!(
                "the journal in {} was begun with another text of `{}`; flatten and stop with the old text, then use a new `run.dir`",
                journal.display(),
                entry.file
            ));
        }
        texts.store(&entry.file, entry.source.as_bytes()).map_err(|error| chain(&error))?;
    }
    Ok(())
}

/// An error with its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Engine time of the start of a run that shares it with a venue.
pub fn start_in(span: Duration) -> TimeNs {
    let wall = tercel_net::WallClock.wall();
    TimeNs(wall.0 + span.as_nanos() as i64)
}
