//! The shell of an order gateway: owns the connection, drains commands, reads the kill word, pushes frames. One `turn` after
//! another on one gateway thread; the protocol is the machine's.
//!
//!   command ring ──▶ machine ──▶ socket          socket ──▶ machine ──▶ frame ring
//!
//! Thread      one. It blocks only while it opens a connection (at most the connector's time limit).
//! Memory      buffers are allocated once. Frames that find the ring full wait in a queue of their own, so that a core
//!             that hangs cannot keep the kill switch from working; order frames are never dropped.
use crate::{Connector, GatewayIo, Now, OrderMachine, Received, SendError, SharedClock, Stream, Url};
use std::io::{ErrorKind, Read, Write};
use tercel_event::Command;
use tercel_ring::{Consumer, FrameProducer, KillWord, PushError};
use tercel_types::{DurationNs, TimeNs};

/// How long to wait between two attempts to connect: doubles from the first to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    pub first: DurationNs,
    pub longest: DurationNs,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { first: DurationNs::from_millis(100), longest: DurationNs::from_secs(5) }
    }
}

/// What the shell counts; the machine has its own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderShellCounters {
    pub connects: u64,
    pub connect_failures: u64,
    pub disconnects: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Writes that the kernel did not take whole.
    pub writes_deferred: u64,
    /// Frames that found the ring to the core full and waited.
    pub frames_deferred: u64,
    /// Frames that no ring can carry; always 0 unless a machine builds a frame that is none.
    pub frames_refused: u64,
    pub kills: u64,
}

/// What the shell lends to its machine.
struct Io {
    stream: Option<Stream>,
    /// Bytes that the kernel has not taken yet, in order.
    unsent: Vec<u8>,
    broken: bool,
    close_asked: bool,
    frames: FrameProducer,
    /// Frames that wait for room, one after the other.
    waiting: Vec<u8>,
    clock: SharedClock,
    kill_word: Option<KillWord>,
    crash: Option<Box<dyn Fn(&'static str) + Send>>,
    counters: OrderShellCounters,
}

/// An order machine with its connection.
pub struct OrderShell<M> {
    machine: M,
    io: Io,
    connector: Connector,
    url: Url,
    commands: Consumer<Command>,
    read_buf: Box<[u8]>,
    back_off: BackOff,
    wait: DurationNs,
    connect_at: TimeNs,
    killed: bool,
    stopping: bool,
    failure: String,
}

/// Bytes that one connection may owe to the kernel.
const UNSENT_MAX: usize = 1 << 20;
const READ_LEN: usize = 64 * 1024;
/// Reads, and commands, per turn: one cannot starve the other.
const READS: usize = 16;
const COMMANDS: usize = 64;

impl<M: OrderMachine> OrderShell<M> {
    /// `url` names host, port and TLS; its path is not used.
    pub fn new(
        machine: M,
        connector: Connector,
        url: Url,
        commands: Consumer<Command>,
        frames: FrameProducer,
        kill_word: Option<KillWord>,
    ) -> Self {
        let io = Io {
            stream: None,
            unsent: Vec::with_capacity(UNSENT_MAX),
            broken: false,
            close_asked: false,
            frames,
            waiting: Vec::with_capacity(1 << 20),
            clock: connector.clock.clone(),
            kill_word,
            crash: None,
            counters: OrderShellCounters::default(),
        };
        let back_off = BackOff::default();
        Self {
            machine,
            io,
            connector,
            url,
            commands,
            read_buf: vec![0; READ_LEN].into_boxed_slice(),
            back_off,
            wait: back_off.first,
            connect_at: TimeNs::MIN,
            killed: false,
            stopping: false,
            failure: String::new(),
        }
    }

    pub fn with_back_off(mut self, back_off: BackOff) -> Self {
        (self.back_off, self.wait) = (back_off, back_off.first);
        self
    }

    /// Calls `crash` at every named instant of the machine; for death tests.
    pub fn with_crash_points(mut self, crash: Box<dyn Fn(&'static str) + Send>) -> Self {
        self.io.crash = Some(crash);
        self
    }

    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine together with its io, for what is done before the first turn: commands that a crash left unanswered.
    pub fn machine_and_io(&mut self) -> (&mut M, &mut dyn GatewayIo) {
        (&mut self.machine, &mut self.io)
    }

    pub fn counters(&self) -> &OrderShellCounters {
        &self.io.counters
    }

    pub fn is_connected(&self) -> bool {
        self.io.stream.is_some()
    }

    /// Why the last attempt to connect failed; empty when it did not.
    pub fn last_failure(&self) -> &str {
        &self.failure
    }

    /// Asks for an orderly end: the machine logs out, and no connection is opened again. Go on with `turn` until `is_ended`.
    pub fn stop(&mut self) {
        if !self.stopping {
            self.stopping = true;
            let now = self.io.clock.now();
            self.machine.logout(now, &mut self.io);
        }
    }

    /// After `stop`: nothing is connected and every command has been answered.
    pub fn is_ended(&self) -> bool {
        self.stopping && self.io.stream.is_none() && self.commands.used() == 0 && self.io.waiting.is_empty()
    }

    /// One bounded piece of work; `false` when there was none.
    pub fn turn(&mut self) -> bool {
        let now = self.io.clock.now();
        let mut worked = self.io.push_waiting();
        worked |= self.obey_kill_word(now);
        if self.io.stream.is_none() && !self.stopping && now.wall >= self.connect_at {
            self.connect(now);
            worked = true;
        }
        worked |= self.io.write_unsent();
        worked |= self.read();
        if self.machine.is_ready() {
            // Only a logon proves the way; a venue that refuses us is asked less and less often.
            self.wait = self.back_off.first;
        }
        let Self { machine, commands, io, .. } = self;
        worked |= commands.drain(COMMANDS, |command| machine.on_command(command, io.clock.now(), io)) > 0;
        let now = self.io.clock.now();
        if self.machine.next_deadline().is_some_and(|deadline| now.wall >= deadline) {
            self.machine.on_time(now, &mut self.io);
            worked = true;
        }
        let done = self.io.close_asked && self.io.unsent.is_empty();
        if self.io.stream.is_some() && (self.io.broken || done) {
            self.disconnect();
            worked = true;
        }
        worked
    }

    fn obey_kill_word(&mut self, now: Now) -> bool {
        let raised = self.io.kill_word.as_ref().is_some_and(KillWord::is_raised);
        if raised == self.killed {
            return false;
        }
        self.killed = raised;
        if raised {
            self.io.counters.kills += 1;
            self.machine.kill(now, &mut self.io);
        } else {
            self.machine.unkill(now);
        }
        true
    }

    fn connect(&mut self, now: Now) {
        let opened = self.connector.open(&self.url).map_err(|error| error.to_string()).and_then(|stream| {
            stream.socket().tcp().set_nonblocking(true).map_err(|error| error.to_string())?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => {
                self.failure.clear();
                self.io.stream = Some(stream);
                self.io.unsent.clear();
                (self.io.broken, self.io.close_asked) = (false, false);
                self.io.counters.connects += 1;
                let now = self.io.clock.now();
                self.machine.on_connected(now, &mut self.io);
            }
            Err(failure) => {
                self.failure = failure;
                self.io.counters.connect_failures += 1;
                self.connect_at = now.wall.saturating_add(self.wait);
                self.wait = DurationNs(self.wait.0.saturating_mul(2).min(self.back_off.longest.0));
            }
        }
    }

    fn disconnect(&mut self) {
        self.io.stream = None;
        self.io.unsent.clear();
        self.io.counters.disconnects += 1;
        let now = self.io.clock.now();
        self.connect_at = now.wall.saturating_add(self.wait);
        self.wait = DurationNs(self.wait.0.saturating_mul(2).min(self.back_off.longest.0));
        self.machine.on_disconnected(now, &mut self.io);
    }

    fn read(&mut self) -> bool {
        let mut worked = false;
        for _ in 0..READS {
            let Some(stream) = &mut self.io.stream else { return worked };
            match stream.read(&mut self.read_buf) {
                Ok(0) => {
                    self.io.broken = true;
                    return true;
                }
                Ok(len) => {
                    worked = true;
                    let stamps = stream.stamps();
                    self.io.counters.bytes_in += len as u64;
                    let bytes = &self.read_buf[..len];
                    let received = Received { bytes, ts_user: stamps.ts_user, ts_kernel: stamps.ts_kernel };
                    self.machine.on_received(received, self.io.clock.now(), &mut self.io);
                    if len < READ_LEN / 2 {
                        return true; // the socket is most likely empty: do not pay for a read that says so
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return worked,
                Err(_) => {
                    self.io.broken = true;
                    return true;
                }
            }
        }
        worked
    }
}

impl Io {
    fn write_unsent(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        if matches!(stream, Stream::Tls(_)) {
            // TLS keeps ciphertext of its own that a full socket did not take.
            match stream.flush() {
                Err(error) if error.kind() != ErrorKind::WouldBlock => self.broken = true,
                _ => {}
            }
        }
        if self.unsent.is_empty() {
            return false;
        }
        match stream.write(&self.unsent) {
            Ok(len) => {
                self.unsent.drain(..len);
                self.counters.bytes_out += len as u64;
                len > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => false,
            Err(_) => {
                self.broken = true;
                true
            }
        }
    }

    /// Frames that waited, oldest first.
    fn push_waiting(&mut self) -> bool {
        let mut at = 0;
        while let Some(len) = frame_len(&self.waiting[at..]) {
            match self.frames.push(&self.waiting[at..at + len]) {
                Err(PushError::Full) => break,
                Err(PushError::Length) => self.counters.frames_refused += 1,
                Ok(()) => {}
            }
            at += len;
        }
        self.waiting.drain(..at);
        at > 0
    }
}

/// Length of the frame at the start of `bytes`: frames begin with it.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk::<4>().map(|len| u32::from_le_bytes(*len) as usize).filter(|&len| len > 0 && len <= bytes.len())
}

impl GatewayIo for Io {
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.broken && !self.close_asked) else {
            return Err(SendError::Closed);
        };
        let mut written = 0;
        if self.unsent.is_empty() {
            match stream.write(bytes) {
                Ok(len) => written = len,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => {
                    self.broken = true;
                    return Err(SendError::Closed);
                }
            }
        }
        self.counters.bytes_out += written as u64;
        let rest = &bytes[written..];
        if !rest.is_empty() {
            // Part of a message is never given up: a message whose start has left may pass the limit.
            if written == 0 && self.unsent.len() + rest.len() > UNSENT_MAX {
                return Err(SendError::Full);
            }
            self.counters.writes_deferred += 1;
            self.unsent.extend_from_slice(rest);
        }
        Ok(self.clock.now().engine)
    }

    fn push(&mut self, frame: &[u8]) {
        if self.waiting.is_empty() {
            match self.frames.push(frame) {
                Ok(()) => return,
                Err(PushError::Length) => {
                    self.counters.frames_refused += 1;
                    return;
                }
                Err(PushError::Full) => {}
            }
        }
        self.counters.frames_deferred += 1;
        self.waiting.extend_from_slice(frame);
    }

    fn close(&mut self) {
        self.close_asked = true;
    }

    #[inline]
    fn killed(&self) -> bool {
        self.kill_word.as_ref().is_some_and(KillWord::is_raised)
    }

    fn crash_point(&mut self, point: &'static str) {
        if let Some(crash) = &self.crash {
            crash(point);
        }
    }
}
