//! The order gateway's thread: the shell of engine/net with what this process adds, which is the answer to commands that a
//! dead epoch left open, and an orderly end.
use std::time::{Duration, Instant};
use tercel_event::Command;
use tercel_fix::{FileStore, OrderGateway};
use tercel_net::{OrderMachine, OrderShell, SharedClock};
use tercel_ring::{Flag, Gauge};
use tercel_runtime::Station;

/// What others see of the order session.
#[derive(Clone, Default)]
pub struct OrderGauges {
    /// 1 while logged on with no message of the venue missing.
    pub ready: Gauge,
    pub connect_failures: Gauge,
    /// Grows with every turn of the thread.
    pub turns: Gauge,
    /// Set by a test to make the thread hang.
    pub wedge: Flag,
    /// Raised at the end of a run whose core did not get its orders cancelled: the gateway does it from its own table.
    pub cancel_all: Flag,
}

pub struct OrderStation {
    shell: OrderShell<OrderGateway<FileStore>>,
    gauges: OrderGauges,
    told_failure: String,
    clock: SharedClock,
    cancelled: bool,
    stop: Flag,
}

/// How long the end may take: the Logout's answer, and what is still to be written.
const END: Duration = Duration::from_secs(3);

impl OrderStation {
    /// Answers `unanswered` before the first turn, so that the core knows what never left before anything else happens.
    pub fn new(
        mut shell: OrderShell<OrderGateway<FileStore>>,
        unanswered: &[Command],
        clock: &SharedClock,
        gauges: OrderGauges,
        stop: Flag,
    ) -> Self {
        let now = clock.now();
        let (gateway, io) = shell.machine_and_io();
        for command in unanswered {
            gateway.settle_unanswered(command, now, io);
        }
        Self { shell, gauges, told_failure: String::new(), clock: clock.clone(), cancelled: false, stop }
    }
}

impl Station for OrderStation {
    fn turn(&mut self) -> bool {
        while self.gauges.wedge.is_raised() && !self.stop.is_raised() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut worked = self.shell.turn();
        if self.gauges.cancel_all.is_raised() && !self.cancelled {
            self.cancelled = true;
            let now = self.clock.now();
            let (gateway, io) = self.shell.machine_and_io();
            gateway.kill(now, io);
            worked = true;
        }
        self.gauges.ready.set(u64::from(self.shell.machine().is_ready()));
        self.gauges.connect_failures.set(self.shell.counters().connect_failures);
        if self.shell.last_failure() != self.told_failure {
            self.told_failure = self.shell.last_failure().to_owned();
            if !self.told_failure.is_empty() {
                eprintln!("order session: {}; trying again", self.told_failure);
            }
        }
        worked
    }

    fn finish(&mut self) {
        self.shell.stop();
        let deadline = Instant::now() + END;
        while !self.shell.is_ended() && Instant::now() < deadline {
            if !self.shell.turn() {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
}
