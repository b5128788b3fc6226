//! A side thread that looks after the others: a core that hangs, the kill file, the clock, the control socket.
use crate::operator::ControlSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tercel_ring::KillWord;
use tercel_runtime::{CoreCells, Station, TscClock};

/// A core thread that has not turned for this long hangs: its longest wait is a fraction of a millisecond.
const WEDGED_AFTER: Duration = Duration::from_secs(2);
/// The TSC is slewed towards CLOCK_REALTIME by at most this much a second.
const SLEW_NS: i64 = 50_000;

pub struct Watchdog {
    dir: PathBuf,
    kill: KillWord,
    cells: CoreCells,
    clock: Arc<TscClock>,
    control: ControlSocket,
    heartbeat: (u64, Instant),
    wedged: bool,
    next_look: Instant,
    next_discipline: Instant,
    max_clock_offset_ns: u64,
    log_failed_told: bool,
}

impl Watchdog {
    pub fn new(dir: PathBuf, kill: KillWord, cells: CoreCells, clock: Arc<TscClock>, control: ControlSocket) -> Self {
        let now = Instant::now();
        Self {
            dir,
            kill,
            cells,
            clock,
            control,
            heartbeat: (0, now),
            wedged: false,
            next_look: now,
            next_discipline: now + Duration::from_secs(1),
            max_clock_offset_ns: 0,
            log_failed_told: false,
        }
    }

    pub fn max_clock_offset_ns(&self) -> u64 {
        self.max_clock_offset_ns
    }

    pub fn saw_wedge(&self) -> bool {
        self.wedged
    }

    fn look(&mut self, now: Instant) {
        let turns = self.cells.heartbeat.get();
        if turns != self.heartbeat.0 {
            self.heartbeat = (turns, now);
        } else if turns > 0 && !self.wedged && now.duration_since(self.heartbeat.1) > WEDGED_AFTER {
            self.wedged = true;
            eprintln!(
                "watchdog: the core thread has not turned for {WEDGED_AFTER:?}; raising the kill word, the gateways cancel by their own tables"
            );
            self.kill.raise();
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
