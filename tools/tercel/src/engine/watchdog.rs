//! A side thread that looks after the others: a thread that hangs, the kill file, the clock, the control socket.
use crate::operator::ControlSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tercel_ring::{Gauge, KillWord};
use tercel_runtime::{CoreCells, Station, TscClock};

/// A thread that has not turned for this long hangs: the longest wait of each is a few milliseconds.
const WEDGED_AFTER: Duration = Duration::from_secs(2);
/// The TSC is slewed towards CLOCK_REALTIME by at most this much a second.
const SLEW_NS: i64 = 50_000;

/// The turns of one thread, and when they last grew.
pub struct Pulse {
    name: &'static str,
    turns: Gauge,
    seen: u64,
    since: Instant,
    hangs: bool,
}

impl Pulse {
    pub fn new(name: &'static str, turns: Gauge) -> Self {
        Self { name, turns, seen: 0, since: Instant::now(), hangs: false }
    }

    /// True once per hang. A thread that has not begun is not watched yet.
    fn begins_to_hang(&mut self, now: Instant) -> bool {
        let turns = self.turns.get();
        if turns != self.seen {
            (self.seen, self.since, self.hangs) = (turns, now, false);
        }
        let hangs = turns > 0 && now.duration_since(self.since) > WEDGED_AFTER;
        hangs && !core::mem::replace(&mut self.hangs, true)
    }
}

pub struct Watchdog {
    dir: PathBuf,
    kill: KillWord,
    cells: CoreCells,
    clock: Arc<TscClock>,
    control: ControlSocket,
    watched: Vec<Pulse>,
    /// 1 while the order session is logged on.
    ready: Gauge,
    wedged: Vec<&'static str>,
    next_look: Instant,
    next_discipline: Instant,
    max_clock_offset_ns: u64,
    log_failed_told: bool,
}

impl Watchdog {
    pub fn new(
        dir: PathBuf,
        kill: KillWord,
        cells: CoreCells,
        clock: Arc<TscClock>,
        control: ControlSocket,
        watched: Vec<Pulse>,
        ready: Gauge,
    ) -> Self {
        let now = Instant::now();
        Self {
            dir,
            kill,
            cells,
            clock,
            control,
            watched,
            ready,
            wedged: Vec::new(),
            next_look: now,
            next_discipline: now + Duration::from_secs(1),
            max_clock_offset_ns: 0,
            log_failed_told: false,
        }
    }

    pub fn max_clock_offset_ns(&self) -> u64 {
        self.max_clock_offset_ns
    }

    /// Threads that hung at some time, by name.
    pub fn wedged(&self) -> Vec<&'static str> {
        self.wedged.clone()
    }

    fn look(&mut self, now: Instant) {
        for at in 0..self.watched.len() {
            if self.watched[at].begins_to_hang(now) {
                self.on_hang(self.watched[at].name);
            }
        }
        if self.cells.log_failed.is_raised() && !self.log_failed_told {
            self.log_failed_told = true;
            eprintln!("watchdog: the sequenced log cannot be written; raising the kill word");
            self.kill.raise();
        }
        if !self.kill.is_raised() && self.dir.join("KILL").exists() {
            eprintln!("watchdog: found the file {}; raising the kill word", self.dir.join("KILL").display());
            self.kill.raise();
        }
    }

    fn on_hang(&mut self, name: &'static str) {
        // An order thread without a session may wait for a connection, and then it has nothing to lose.
        if name == "orders" && self.ready.get() == 0 {
            return;
        }
        if !self.wedged.contains(&name) {
            self.wedged.push(name);
        }
        let says = match name {
            "core" => "raising the kill word, the gateways cancel by their own tables",
            "orders" => {
                "raising the kill word; nobody here can cancel while it hangs: if it does not come back, end the process \
                 so that the venue cancels on disconnect, or cancel at the venue"
            }
            "journal" => "the core stops opening positions when the log runs full",
            _ => "the book goes stale and quotes leave the market",
        };
        eprintln!("watchdog: the {name} thread has not turned for {WEDGED_AFTER:?}; {says}");
        if matches!(name, "core" | "orders") {
            self.kill.raise();
        }
    }
}

impl Station for Watchdog {
    fn turn(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.next_look {
            self.next_look = now + Duration::from_millis(20);
            self.look(now);
        }
        if now >= self.next_discipline {
            self.next_discipline = now + Duration::from_secs(1);
            let offset = self.clock.discipline(SLEW_NS).unsigned_abs();
            self.max_clock_offset_ns = self.max_clock_offset_ns.max(offset);
        }
        self.control.turn()
    }

    fn finish(&mut self) {
        let _ = std::fs::remove_file(self.dir.join("control.sock"));
    }
}
