//! The FIX order gateway under the checks that every order machine must pass, and a machine with a planted defect that they
//! must catch.
mod support;

use support::FixRig;
use tercel_event::Command;
use tercel_net::conformance::{self, Answer, Request, Rig};
use tercel_net::{GatewayIo, Now, OrderMachine, Received};
use tercel_types::{SourceId, TimeNs};

#[test]
fn the_fix_gateway_conforms() {
    conformance::check_all::<FixRig>();
}

/// The same gateway with one promise broken.
struct Defective<const DEFECT: u8> {
    rig: FixRig,
    commands: u32,
}

/// Swallows every third command, ignores the kill word, forgets the kill, or repeats it.
const SWALLOWS: u8 = 1;
const IGNORES_WORD: u8 = 2;
const FORGETS_KILL: u8 = 3;

struct Deaf<'a>(&'a mut dyn GatewayIo);

impl GatewayIo for Deaf<'_> {
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, tercel_net::SendError> {
        self.0.send(bytes)
    }
    fn push(&mut self, frame: &[u8]) {
        self.0.push(frame);
    }
    fn close(&mut self) {
        self.0.close();
    }
}

impl<const DEFECT: u8> OrderMachine for Defective<DEFECT> {
    fn source(&self) -> SourceId {
        self.rig.gateway.source()
    }
    fn on_connected(&mut self, now: Now, io: &mut dyn GatewayIo) {
        self.rig.gateway.on_connected(now, io);
    }
    fn on_received(&mut self, received: Received<'_>, now: Now, io: &mut dyn GatewayIo) {
        self.rig.gateway.on_received(received, now, io);
    }
    fn on_disconnected(&mut self, now: Now, io: &mut dyn GatewayIo) {
        self.rig.gateway.on_disconnected(now, io);
    }
    fn on_command(&mut self, command: &Command, now: Now, io: &mut dyn GatewayIo) {
        self.commands += 1;
        match DEFECT {
            SWALLOWS if self.commands.is_multiple_of(3) => {}
            IGNORES_WORD => self.rig.gateway.on_command(command, now, &mut Deaf(io)),
            _ => self.rig.gateway.on_command(command, now, io),
        }
    }
    fn on_time(&mut self, now: Now, io: &mut dyn GatewayIo) {
        self.rig.gateway.on_time(now, io);
    }
    fn next_deadline(&self) -> Option<TimeNs> {
        self.rig.gateway.next_deadline()
    }
    fn kill(&mut self, now: Now, io: &mut dyn GatewayIo) {
        if DEFECT != FORGETS_KILL {
            self.rig.gateway.kill(now, io);
        }
    }
    fn unkill(&mut self, now: Now) {
        self.rig.gateway.unkill(now);
    }
    fn logout(&mut self, now: Now, io: &mut dyn GatewayIo) {
        self.rig.gateway.logout(now, io);
    }
    fn is_ready(&self) -> bool {
        self.rig.gateway.is_ready()
    }
}

struct DefectiveRig<const DEFECT: u8>(Defective<DEFECT>);

impl<const DEFECT: u8> Rig for DefectiveRig<DEFECT> {
    type Machine = Defective<DEFECT>;
    fn fresh() -> Self {
        Self(Defective { rig: FixRig::fresh(), commands: 0 })
    }
    fn machine(&mut self) -> &mut Self::Machine {
        &mut self.0
    }
    fn set_answer(&mut self, answer: Answer) {
        self.0.rig.set_answer(answer);
    }
    fn venue(&mut self, bytes: &[u8], now: Now) -> Vec<u8> {
        self.0.rig.venue(bytes, now)
    }
    fn venue_connected(&mut self, now: Now) {
        self.0.rig.venue_connected(now);
    }
    fn requests(&self) -> &[Request] {
        self.0.rig.requests()
    }
}

fn is_caught(check: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    std::panic::catch_unwind(check).is_err()
}

#[test]
fn planted_defects_are_caught() {
    assert!(is_caught(conformance::every_command_is_answered_once::<DefectiveRig<SWALLOWS>>));
    assert!(is_caught(conformance::under_the_kill_word_only_cancels_leave::<DefectiveRig<IGNORES_WORD>>));
    assert!(is_caught(conformance::kill_cancels_everything_known_once::<DefectiveRig<FORGETS_KILL>>));
    assert!(!is_caught(conformance::every_command_is_answered_once::<DefectiveRig<0>>), "the unbroken one passes");
}
