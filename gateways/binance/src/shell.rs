//! The thin shell around the feed machine: sockets, reconnects, REST requests, the ring.
//!
//! ```text
//!   gateway thread:  step() ─▶ poll every socket ─▶ machine ─▶ ring to the core
//!   job threads:     open a socket │ get a snapshot ─(channel)─▶ step()
//! ```
//! Thread      `step` is called by one gateway thread and never blocks. Whatever may block (name lookup, connect, handshakes,
//!             REST) runs on a short-lived thread of its own, at most one per socket and per instrument.
//! Memory      per socket one read buffer; messages are slices of it.
use crate::config::FeedConfig;
use crate::feed::{FeedCounters, FeedIo, FeedMachine, RingFull};
use crate::sink::FrameSink;
use core::fmt::Display;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use tercel_event::Command;
use tercel_net::{
    ConnectError, Connector, HttpError, Now, ReadStamps, Received, SharedClock, SocketOptions, TlsTrust, Url, UrlError,
    WsClient, WsError, WsEvent, http,
};
use tercel_types::{DurationNs, InstrumentId, Instruments, TimeNs};
use thiserror::Error;

/// Messages taken from one socket before the others get their turn.
const BATCH: usize = 64;

/// Receives one line per rare event: connections, failures, the first malformed message.
pub type Log = Box<dyn FnMut(&dyn Display) + Send>;

#[derive(Debug, Error)]
pub enum ShellError {
    #[error("TLS cannot be set up")]
    Trust(#[from] ConnectError),
    #[error("`{text}` is not an address")]
    Url {
        text: String,
        #[source]
        source: UrlError,
    },
}

pub struct FeedShell<S: FrameSink> {
    machine: FeedMachine,
    clock: SharedClock,
    connector: Connector,
    limits: Limits,
    sockets: Vec<SocketSlot>,
    /// Snapshot addresses of the instruments with depth.
    snapshots: Vec<(InstrumentId, Url)>,
    edge: Edge<S>,
    done: Receiver<Done>,
    done_tx: Sender<Done>,
    log: Log,
    malformed_logged: bool,
    /// Wall time of the next look at timers.
    next_time: TimeNs,
}

#[derive(Clone, Copy)]
struct Limits {
    snapshot_timeout: Duration,
    backoff_min: DurationNs,
    backoff_max: DurationNs,
    silence: DurationNs,
    message_len_max: usize,
}

struct SocketSlot {
    url: Url,
    state: SocketState,
    /// Attempts to connect since a message last arrived.
    attempts: u32,
}

enum SocketState {
    /// Connect at this wall time.
    Waiting(TimeNs),
    Opening,
    Open {
        ws: Box<WsClient>,
        heard_at: TimeNs,
        pinged: bool,
    },
}

enum Done {
    Opened(usize, Result<Box<WsClient>, WsError>),
    Snapshot(InstrumentId, Result<Vec<u8>, HttpError>),
}

/// The shell's side of `FeedIo`: the ring, and the snapshots that the machine asked for.
struct Edge<S> {
    sink: S,
    wanted: Vec<InstrumentId>,
}

impl<S: FrameSink> FeedIo for Edge<S> {
    #[inline]
    fn push(&mut self, frames: &[u8]) -> Result<(), RingFull> {
        self.sink.push(frames)
    }

    fn request_snapshot(&mut self, instrument: InstrumentId) {
        self.wanted.push(instrument);
    }
}

impl<S: FrameSink> FeedShell<S> {
    /// Makes the shell; connecting starts with the first `step`. `config` must be free of problems.
    pub fn new(
        config: &FeedConfig,
        instruments: &Instruments,
        sink: S,
        clock: SharedClock,
        log: Log,
    ) -> Result<Self, ShellError> {
        let machine = FeedMachine::new(config, instruments);
        let connector = Connector {
            trust: TlsTrust::new(config.ca_file.as_deref())?,
            options: SocketOptions { kernel_stamps: true, busy_poll_us: config.busy_poll_us },
            clock: clock.clone(),
            timeout: Duration::from_millis(u64::from(config.connect_timeout_ms)),
        };
        let parse = |text: String| match Url::parse(&text) {
            Ok(url) => Ok(url),
            Err(source) => Err(ShellError::Url { text, source }),
        };
        let sockets = config
            .sockets
            .iter()
            .map(|s| {
                let url = parse(format!("{}?streams={}", s.ws_url, s.streams.join("/")))?;
                Ok(SocketSlot { url, state: SocketState::Waiting(TimeNs::MIN), attempts: 0 })
            })
            .collect::<Result<_, ShellError>>()?;
        let snapshots = machine
            .instruments()
            .filter_map(|id| instruments.get(id))
            .map(|i| Ok((i.id, parse(config.snapshot_url(&i.symbol))?)))
            .collect::<Result<_, ShellError>>()?;
        let (done_tx, done) = channel();
        Ok(Self {
            machine,
            clock,
            connector,
            limits: Limits {
                snapshot_timeout: Duration::from_millis(u64::from(config.snapshot_timeout_ms)),
                backoff_min: DurationNs::from_millis(i64::from(config.backoff_ms_min)),
                backoff_max: DurationNs::from_millis(i64::from(config.backoff_ms_max)),
                silence: DurationNs::from_millis(i64::from(config.silence_ms_max)),
                message_len_max: config.message_len_max,
            },
            sockets,
            snapshots,
            edge: Edge { sink, wanted: Vec::new() },
            done,
            done_tx,
            log,
            malformed_logged: false,
            next_time: TimeNs::MIN,
        })
    }

    pub fn machine(&self) -> &FeedMachine {
        &self.machine
    }

    pub fn counters(&self) -> &FeedCounters {
        self.machine.counters()
    }

    /// A command of the core for this source.
    pub fn on_command(&mut self, command: &Command) {
        let now = self.clock.now();
        self.machine.on_command(command, now, &mut self.edge);
        self.start_snapshots();
    }

    /// Does what there is to do and returns how many messages and answers it handled; 0 means that the thread may wait.
    pub fn step(&mut self) -> usize {
        let mut handled = 0;
        for idx in 0..self.sockets.len() {
            handled += self.poll(idx);
        }
        while let Ok(done) = self.done.try_recv() {
            self.on_done(done);
            handled += 1;
        }
        let wall = self.clock.wall();
        if wall >= self.next_time || self.machine.next_deadline().is_some_and(|at| at <= wall) {
            self.on_time(wall);
        }
        if !self.edge.wanted.is_empty() {
            self.start_snapshots();
        }
        handled
    }

    /// Says goodbye on every socket.
    pub fn close(&mut self) {
        let now = self.clock.now();
        for idx in 0..self.sockets.len() {
            if let SocketState::Open { ws, .. } = &mut self.sockets[idx].state {
                ws.close();
                self.sockets[idx].state = SocketState::Waiting(TimeNs::MAX);
                self.machine.on_disconnected(idx, now, &mut self.edge);
            }
            self.sockets[idx].state = SocketState::Waiting(TimeNs::MAX);
        }
    }

    /// True when every configured socket is open.
    pub fn is_connected(&self) -> bool {
        self.sockets.iter().all(|s| matches!(s.state, SocketState::Open { .. }))
    }

    #[inline]
    fn poll(&mut self, idx: usize) -> usize {
        let Self { machine, clock, sockets, edge, .. } = self;
        let SocketState::Open { ws, heard_at, pinged } = &mut sockets[idx].state else { return 0 };
        let mut handled = 0;
        let failed = loop {
            match ws.poll() {
                Ok(Some(WsEvent::Message(bytes, stamps))) => {
                    let now = now_of(stamps, clock);
                    let ReadStamps { ts_user, ts_kernel } = stamps;
                    machine.on_message(idx, Received { bytes: &bytes, ts_user, ts_kernel }, now, edge);
                    (*heard_at, *pinged) = (now.wall, false);
                }
                Ok(Some(WsEvent::Alive(stamps))) => {
                    let now = now_of(stamps, clock);
                    machine.on_alive(idx, now, edge);
                    (*heard_at, *pinged) = (now.wall, false);
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
            handled += 1;
            if handled == BATCH {
                break None;
            }
        };
        if handled > 0 {
            self.sockets[idx].attempts = 0;
            if !self.malformed_logged {
                self.log_malformed();
            }
        }
        if let Some(error) = failed {
            self.lose(idx, &error);
        }
        handled
    }

    #[cold]
    fn log_malformed(&mut self) {
        if let Some(malformed) = self.machine.first_malformed() {
            self.malformed_logged = true;
            (self.log)(&format_args!("first malformed message: {malformed}; further ones are only counted"));
        }
    }

    #[cold]
    fn lose(&mut self, idx: usize, why: &dyn std::error::Error) {
        let now = self.clock.now();
        let wait = self.wait_after(self.sockets[idx].attempts);
        let slot = &mut self.sockets[idx];
        slot.attempts += 1;
        let was_open = matches!(slot.state, SocketState::Open { .. });
        slot.state = SocketState::Waiting(now.wall.saturating_add(wait));
        let ms = wait.0 / 1_000_000;
        (self.log)(&format_args!("socket {idx} ({}): {}; again in {ms} ms", slot.url, chain(why)));
        self.next_time = TimeNs::MIN;
        if was_open {
            self.machine.on_disconnected(idx, now, &mut self.edge);
        }
    }

    fn wait_after(&self, attempts: u32) -> DurationNs {
        let (min, max) = (self.limits.backoff_min.0, self.limits.backoff_max.0);
        DurationNs(min.saturating_mul(1 << attempts.min(20)).min(max))
    }

    #[cold]
    fn on_done(&mut self, done: Done) {
        let now = self.clock.now();
        match done {
            Done::Opened(idx, Ok(ws)) => {
                if !matches!(self.sockets[idx].state, SocketState::Opening) {
                    return;
                }
                (self.log)(&format_args!("socket {idx} ({}): connected", self.sockets[idx].url));
                self.sockets[idx].state = SocketState::Open { ws, heard_at: now.wall, pinged: false };
                self.machine.on_connected(idx, now, &mut self.edge);
            }
            Done::Opened(idx, Err(error)) => {
                if matches!(self.sockets[idx].state, SocketState::Opening) {
                    self.lose(idx, &error);
                }
            }
            Done::Snapshot(instrument, Ok(body)) => {
                let received = Received { bytes: &body, ts_user: now.engine, ts_kernel: None };
                self.machine.on_snapshot(instrument, Some(received), now, &mut self.edge);
                if !self.malformed_logged {
                    self.log_malformed();
                }
            }
            Done::Snapshot(instrument, Err(error)) => {
                (self.log)(&format_args!("snapshot of instrument {}: {}", instrument.0, chain(&error)));
                self.machine.on_snapshot(instrument, None, now, &mut self.edge);
            }
        }
    }

    /// Timers: the machine's, connections that are due, sockets that have gone silent.
    fn on_time(&mut self, wall: TimeNs) {
        let now = Now { engine: self.clock.engine_of(wall), wall };
        self.machine.on_time(now, &mut self.edge);
        // Nothing below needs to be seen sooner than this.
        self.next_time = wall.saturating_add(DurationNs::from_millis(5));
        for idx in 0..self.sockets.len() {
            let silence = self.limits.silence.0;
            match &mut self.sockets[idx].state {
                SocketState::Waiting(at) if *at <= wall => self.start_open(idx),
                SocketState::Open { ws, heard_at, pinged } => {
                    let silent = wall.since(*heard_at).0;
                    if silent >= silence {
                        self.lose(idx, &Silent(silent / 1_000_000));
                    } else if silent >= silence / 2 && !*pinged {
                        *pinged = true;
                        if let Err(error) = ws.ping() {
                            self.lose(idx, &error);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    #[cold]
    fn start_open(&mut self, idx: usize) {
        self.sockets[idx].state = SocketState::Opening;
        let (connector, url) = (self.connector.clone(), self.sockets[idx].url.clone());
        let (done, limit) = (self.done_tx.clone(), self.limits.message_len_max);
        let job = move || {
            // The shell may be gone by then; nobody waits for the answer.
            let _ = done.send(Done::Opened(idx, WsClient::open(&connector, &url, limit).map(Box::new)));
        };
        if let Err(error) = thread::Builder::new().name(format!("feed-open-{idx}")).spawn(job) {
            self.lose(idx, &error);
        }
    }

    #[cold]
    fn start_snapshots(&mut self) {
        while let Some(instrument) = self.edge.wanted.pop() {
            let (connector, timeout) = (self.connector.clone(), self.limits.snapshot_timeout);
            let (done, limit) = (self.done_tx.clone(), self.limits.message_len_max);
            let Some((_, url)) = self.snapshots.iter().find(|(id, _)| *id == instrument) else { continue };
            let url = url.clone();
            let job = move || {
                let _ = done.send(Done::Snapshot(instrument, http::get(&connector, &url, timeout, limit)));
            };
            if let Err(error) = thread::Builder::new().name("feed-snapshot".into()).spawn(job) {
                (self.log)(&format_args!("snapshot of instrument {}: no thread: {error}", instrument.0));
                let now = self.clock.now();
                self.machine.on_snapshot(instrument, None, now, &mut self.edge);
            }
        }
    }
}

/// The wall time of a message is only needed for back-off and silence, so one clock read serves both times.
#[inline]
fn now_of(stamps: ReadStamps, clock: &SharedClock) -> Now {
    Now { engine: stamps.ts_user, wall: clock.wall() }
}

#[derive(Debug, Error)]
#[error("nothing heard for {0} ms")]
struct Silent(i64);

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
