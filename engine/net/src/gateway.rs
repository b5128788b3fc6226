//! A gateway is a machine of bytes and time inside a thin shell. The machine holds the protocol and never touches a socket,
//! a clock or a thread; the shell (live), the simulator and the tests drive the same machine.
use tercel_event::Command;
use tercel_types::{SourceId, TimeNs};
use thiserror::Error;

/// Time at the edge, read once by the shell before it calls the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Engine time: what frames carry. Runs N times faster than the wall when a venue plays at N×.
    pub engine: TimeNs,
    /// UTC wall time: what session timers and SendingTime (52) use.
    pub wall: TimeNs,
}

/// Bytes as they came from one read.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    pub bytes: &'a [u8],
    /// When the read returned, and the kernel's stamp of the newest byte where it gave one; engine time.
    pub ts_user: TimeNs,
    pub ts_kernel: Option<TimeNs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    #[error("the connection is closed")]
    Closed,
    #[error("the send buffer is full")]
    Full,
}

/// What a machine may ask of its shell.
pub trait GatewayIo {
    /// Writes to the socket at once; what the kernel does not take is kept by the shell in order. Returns the engine time
    /// at which the write returned.
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError>;

    /// Hands a frame to the core, lossless: the shell waits when the ring is full (order frames are never dropped).
    fn push(&mut self, frame: &[u8]);

    /// Closes the connection after what was sent.
    fn close(&mut self);

    /// The kill word, read by the machine before every order write; a shell without one never kills.
    fn killed(&self) -> bool {
        false
    }

    /// A named instant at which a death test may kill the process. Does nothing in production.
    fn crash_point(&mut self, _point: &'static str) {}
}

/// The protocol side of an order gateway. Every method is called from one thread.
pub trait OrderMachine: Send {
    /// The source that its frames carry and that commands are addressed to.
    fn source(&self) -> SourceId;

    fn on_connected(&mut self, now: Now, io: &mut dyn GatewayIo);
    fn on_received(&mut self, received: Received<'_>, now: Now, io: &mut dyn GatewayIo);
    fn on_disconnected(&mut self, now: Now, io: &mut dyn GatewayIo);

    /// Answers every command with exactly one `Sent` or `NotSent` frame.
    fn on_command(&mut self, command: &Command, now: Now, io: &mut dyn GatewayIo);

    /// Timers of the session; called at least once per `next_deadline` (wall time).
    fn on_time(&mut self, now: Now, io: &mut dyn GatewayIo);
    fn next_deadline(&self) -> Option<TimeNs>;

    /// Cancels everything that the machine's own table shows as live or unknown, without the core, and refuses every
    /// order until `unkill`. Calling it again does nothing.
    fn kill(&mut self, now: Now, io: &mut dyn GatewayIo);
    fn unkill(&mut self, now: Now);

    /// Asks the peer for an orderly end (FIX Logout).
    fn logout(&mut self, now: Now, io: &mut dyn GatewayIo);
    /// True when logged on and no message of the peer is missing.
    fn is_ready(&self) -> bool;
}
