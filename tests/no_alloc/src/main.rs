//! The proof that the core thread allocates nothing and makes no system call: `no-alloc [--frames N] [--plant WHAT]`.
//!
//!   tape, venue, model, operator ──rings──▶ core thread, guarded ──sequenced log──▶ reader that counts what happened
//!   (edge thread)                ◀─commands─┘ (spins, default topology)              (as the journal's: it gates)
//!
//! Proven      from the first turn behind 10,000 inputs on, `CoreLoop::run` as it runs live: rings, TSC clock, sequencer,
//!             mapped log, books, both strategies in machine code, risk, orders, command rings.
//! Exit codes  0 proven, 1 an allocation or a missing piece of the scenario, 2 bad usage; SIGSYS: a system call.
mod edge;
mod evidence;
mod guard;
mod plant;
mod setup;
mod tape;

use edge::{Edge, Rings};
use evidence::{Evidence, Shared};
use guard::{Counting, Tally};
use plant::Plant;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tercel_core::{CommandBatch, Counters, Sequencer};
use tercel_event::{Command, EpochStart, FrameBuf, sources};
use tercel_net::EdgeClock;
use tercel_ring::{Flag, Gauge, LogConfig, LogWriter, PowerOfTwo, Producer, WaitStrategy, Waiter, frames, spsc};
use tercel_runtime::{
    Class, CommandRing, CoreCells, CoreLoop, CrashPlan, MappedLog, SourceRing, TopologyConfig, TscClock, pin,
};
use tercel_sim::{Latency, SimConfig, SimExchange};
use tercel_types::{DurationNs, TimeNs};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Inputs before the guards are armed: everything lazy has happened by then, or is a finding.
const WARM_UP: u64 = 10_000;
/// Engine time runs this many times as fast as the wall, since the tape is played as fast as the core takes it.
const SPEED: u32 = 50;
/// A violation is planted this many inputs behind the arming.
const PLANT_AFTER: u64 = 5_000;
/// Small, so that the reader's stall fills it within the run.
const LOG_BYTES: usize = 16 << 20;
const RING_BYTES: usize = 1 << 22;
/// For each million frames, begun ones included.
const LIMIT: Duration = Duration::from_secs(120);

struct Options {
    frames: u64,
    plant: Plant,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { frames: 1_000_000, plant: Plant::None };
        while let Some(arg) = args.next() {
            let value = args.next().ok_or_else(|| format!("`{arg}` needs a value"))?;
            match arg.as_str() {
                "--frames" => options.frames = value.parse().map_err(|_| format!("`{value}` is not a count"))?,
                "--plant" => options.plant = value.parse()?,
                _ => {
                    return Err(format!(
                        "`{arg}` is unknown; there are --frames N, --plant none|growth|syscall|log|park"
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    guard::leave_no_core_dump();
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("no-alloc: {error}");
            return ExitCode::from(2);
        }
    };
    match prove(&options) {
        Ok(proof) => {
            proof.print();
            let problems = proof.problems(options.frames);
            problems.iter().for_each(|problem| eprintln!("no-alloc: {problem}"));
            // The guarded thread cannot end; it goes with the process, here.
            ExitCode::from(u8::from(!problems.is_empty()))
        }
        Err(error) => {
            eprintln!("no-alloc: {error}");
            ExitCode::from(1)
        }
    }
}

/// What the core thread leaves when its run is over.
#[derive(Clone, Copy)]
struct Left {
    tally: Tally,
    counters: Counters,
    seq_last: u64,
}

struct Proof {
    wait: &'static str,
    frames: u64,
    tally: Tally,
    filter_mode: Option<u64>,
    evidence: Evidence,
    counters: Counters,
    /// Turns that found the log full.
    log_busy: u64,
    duration: Duration,
}

fn prove(options: &Options) -> Result<Proof, String> {
    let tape = tape::Tape::load()?;
    let (core, manifests) = setup::core(options.plant, WARM_UP + PLANT_AFTER)?;
    let clock = TscClock::new(None, SPEED);
    let (log, reader) = open_log()?;
    let mut sequencer = Sequencer::new(core, MappedLog::new(log), 0, TimeNs::MIN);
    let epoch = FrameBuf::of(sources::CORE, 1, &EpochStart { epoch: 1, ..Default::default() }, &[]);
    let mut batch = CommandBatch::with_capacity(64);
    sequencer.feed(epoch.bytes(), clock.now().engine, &mut batch).map_err(|error| error.to_string())?;

    let (operator, operator_ring) = frames(power(1 << 17));
    let (signals, signal_ring) = frames(power(1 << 18));
    let (market, market_ring) = frames(power(RING_BYTES));
    let (orders, order_ring) = frames(power(RING_BYTES));
    let (to_feed, feed_commands) = spsc::<Command>(power(1 << 12));
    let (to_orders, order_commands) = spsc::<Command>(power(1 << 12));
    let sources = vec![
        SourceRing { class: Class::Operator, ring: operator_ring },
        SourceRing { class: Class::Order, ring: order_ring },
        SourceRing { class: Class::Signal, ring: signal_ring },
        SourceRing { class: Class::MarketData, ring: market_ring },
    ];
    let outputs = vec![CommandRing::new(setup::FEED, to_feed), CommandRing::new(setup::ORDERS, to_orders)];
    let cells = CoreCells::default();
    let core_clock = Box::new(clock.clone());
    let core = CoreLoop::new(sequencer, sources, outputs, core_clock, false, cells.clone(), CrashPlan::default());

    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let wait_strategy = if options.plant == Plant::Park { WaitStrategy::PARK } else { WaitStrategy::Spin };
    let topology = TopologyConfig { wait: Some(wait_strategy), ..Default::default() }.resolve(cpus);
    let latency = Latency { order: DurationNs(200_000), report: DurationNs(200_000), ..Latency::default() };
    let sim_config = SimConfig { source: setup::ORDERS, exchange: Default::default(), latency };
    let sim = SimExchange::new(&setup::instruments().0, sim_config, clock.now().engine);
    let rings = Rings { operator, signals, market, orders, feed_commands, order_commands };
    let (armed_at, stall) = (Gauge::new(), Gauge::new());
    let edge = Edge::new(rings, clock, tape, sim, manifests, stall.clone());

    let (stop, stop_reader) = (Flag::new(), Flag::new());
    let thread_no = Gauge::new();
    let (left_in, mut left_out) = spsc::<Left>(power(2));
    let started = Instant::now();
    let failed = |error: std::io::Error| format!("cannot start a thread: {error}");
    let reading = {
        let (armed_at, log_busy, stop) = (armed_at.clone(), cells.log_busy.clone(), stop_reader.clone());
        let shared = Shared { armed_at, stall, log_busy, stop };
        let read = move || evidence::collect(reader, &shared);
        std::thread::Builder::new().name("journal".into()).spawn(read).map_err(failed)?
    };
    let guarded = Guarded {
        core,
        waiter: Waiter::new(topology.core_wait),
        cpu: topology.core_cpu,
        stop: stop.clone(),
        armed_at: armed_at.clone(),
        thread_no: thread_no.clone(),
        left: left_in,
    };
    // Never joined: its end would be a system call.
    std::thread::Builder::new().name("core".into()).spawn(move || guarded.run()).map_err(failed)?;

    let limit = LIMIT * (1 + u32::try_from(options.frames / 1_000_000).unwrap_or(1_000));
    let played = edge.play(options.frames, &cells.seq, &armed_at, limit);
    stop.raise();
    let left = wait(LIMIT, || left_out.try_pop());
    stop_reader.raise();
    let evidence = reading.join().map_err(|_| "the log's reader panicked")??;
    played?;
    let left = left.ok_or("the core thread did not come to its end")?;
    Ok(Proof {
        wait: topology.core_wait.word(),
        frames: left.seq_last - armed_at.get(),
        tally: left.tally,
        filter_mode: guard::filter_mode(thread_no.get()),
        evidence,
        counters: left.counters,
        log_busy: cells.log_busy.get(),
        duration: started.elapsed(),
    })
}

/// The core thread.
struct Guarded {
    core: CoreLoop<MappedLog>,
    waiter: Waiter,
    cpu: Option<usize>,
    stop: Flag,
    armed_at: Gauge,
    thread_no: Gauge,
    left: Producer<Left>,
}

impl Guarded {
    fn run(mut self) -> ! {
        pin(self.cpu);
        self.thread_no.set(guard::thread_no());
        while self.core.sequencer().last().0 < WARM_UP {
            if self.core.turn() { self.waiter.reset() } else { self.waiter.idle() }
        }
        if let Err(error) = guard::arm() {
            eprintln!("no-alloc: cannot install the filter: {error}");
            std::process::exit(1);
        }
        self.armed_at.set(self.core.sequencer().last().0);
        self.core.run(&self.stop, &mut self.waiter);
        let tally = guard::tally();
        let (counters, seq_last) = (*self.core.sequencer().core().counters(), self.core.sequencer().last().0);
        // Empty until now, so there is room.
        let _ = self.left.try_push(Left { tally, counters, seq_last });
        loop {
            core::hint::spin_loop();
        }
    }
}

/// A log in tmpfs where there is one. Its name is gone at once, so that nothing is left behind by a kill.
fn open_log() -> Result<(LogWriter, tercel_ring::GatingReader), String> {
    let tmpfs = Path::new("/dev/shm");
    let dir: PathBuf = if tmpfs.is_dir() { tmpfs.into() } else { std::env::temp_dir() };
    let path = dir.join(format!("tercel-no-alloc-{}.log", std::process::id()));
    let config = LogConfig { path: path.clone(), capacity: power(LOG_BYTES), epoch: 1, config_hash: 0, build_hash: 0 };
    let mut log = LogWriter::create(&config).map_err(|error| error.to_string())?;
    let reader = log.gating_reader("journal").map_err(|error| error.to_string())?;
    std::fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((log, reader))
}

fn power(value: usize) -> PowerOfTwo {
    PowerOfTwo::new(value).unwrap_or_else(|| unreachable!("a power of two"))
}

fn wait<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Proof {
    /// One `name: value` a line.
    fn print(&self) {
        let (seen, counters) = (&self.evidence, &self.counters);
        println!("wait: {}", self.wait);
        let lines = [
            ("frames", self.frames),
            ("allocations", self.tally.allocations),
            ("releases", self.tally.releases),
            // The first would have killed the process.
            ("syscalls", 0),
            ("filter_mode", self.filter_mode.unwrap_or(0)),
            ("inputs", seen.inputs),
            ("derived", seen.derived),
            ("market", seen.market),
            ("timers", seen.timers),
            ("signals", seen.signals),
            ("gaps", seen.gaps),
            ("resync_commands", seen.resync_commands),
            ("resyncs", seen.recoveries),
            ("session_losses", seen.session_losses),
            ("reconnects", seen.logons),
            ("mass_statuses", seen.mass_statuses),
            ("gates_opened", counters.gates_opened),
            ("orders", seen.orders),
            ("replaces", seen.replaces),
            ("cancels", seen.cancels),
            ("fills", seen.fills),
            ("fills_partial", counters.fills_partial),
            ("rejects", seen.rejects),
            ("cancel_rejects", seen.cancel_rejects),
            ("params", seen.params),
            ("params_set", counters.params_set),
            ("params_refused", counters.params_refused),
            ("limits_set", counters.limits_set),
            ("kills", seen.kills),
            ("modes", seen.modes),
            ("not_sent", seen.messages_not_sent),
            ("statuses_asked", seen.statuses_asked),
            ("risk_refusals", counters.rejects.iter().sum()),
            ("log_full_turns", self.log_busy),
            ("verdicts", counters.verdicts),
            ("halts", counters.halts),
            ("order_breaches", counters.order_breaches),
            ("ledger_differences", counters.ledger_differences),
            ("bad_frames", counters.bad_frames),
            ("log_mb", seen.bytes >> 20),
            ("duration_ms", self.duration.as_millis() as u64),
        ];
        lines.iter().for_each(|(name, value)| println!("{name}: {value}"));
    }

    /// Whatever keeps this from being the proof.
    fn problems(&self, frames: u64) -> Vec<String> {
        let (seen, counters) = (&self.evidence, &self.counters);
        let mut problems = Vec::new();
        if self.tally != Tally::default() {
            problems.push(format!("{:?} on the core thread, allowed none", self.tally));
        }
        if self.filter_mode != Some(2) {
            problems.push(format!("the filter's mode is {:?}, it must be 2", self.filter_mode));
        }
        let wanted = [
            ("frames", self.frames, frames),
            ("gaps told by the feed", seen.gaps, 1),
            ("resyncs", seen.recoveries, 1),
            ("resync commands", seen.resync_commands, 1),
            ("session losses", seen.session_losses, 1),
            ("reconnects", seen.logons, 1),
            ("mass statuses", seen.mass_statuses, 1),
            ("start gates opened", counters.gates_opened, 2),
            ("orders", seen.orders, 100),
            ("replaces", seen.replaces, 1),
            ("fills", seen.fills, 1),
            ("rejects", seen.rejects, 10),
            ("parameters set", counters.params_set, 1),
            ("parameters refused", counters.params_refused, 1),
            ("kills", seen.kills, 1),
            ("verdicts of strategies", counters.verdicts, 1),
            ("status requests", seen.statuses_asked, 1),
            ("turns with a full log", self.log_busy, 1),
            ("timers", seen.timers, 1),
            ("signals", seen.signals, 1),
        ];
        for (name, found, least) in wanted {
            if found < least {
                problems.push(format!("{found} {name}, the scenario needs {least}"));
            }
        }
        problems
    }
}
