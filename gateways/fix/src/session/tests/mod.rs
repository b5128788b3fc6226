//! Two sessions back to back over a pipe that a test can cut, delay and falsify.
mod recovery;
mod scenarios;

use super::*;
use crate::store::{MemoryStore, Store};
use crate::tag;
use tercel_net::Received;
use tercel_types::{ClOrdId, DurationNs};

/// Remembers what reached the application.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) messages: Vec<(u32, Vec<u8>, bool)>,
    pub(super) events: Vec<SessionEvent>,
    pub(super) verdict: Option<Verdict>,
}

impl<S: Store> Application<Pipe, S> for Recorder {
    fn on_message(&mut self, inbound: &Inbound<'_>, _: &mut Link<S>, _: Now, _: &mut Pipe) -> Verdict {
        let text = inbound.message.get(tag::TEXT).unwrap_or(b"").to_vec();
        self.messages.push((inbound.msg_seq_num, text, inbound.header.poss_dup));
        self.verdict.unwrap_or(Verdict::Done)
    }

    fn on_session(&mut self, event: SessionEvent, _: &mut Link<S>, _: Now, _: &mut Pipe) {
        self.events.push(event);
    }
}

/// What one side wrote and the other has not read yet, message by message.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) closed: bool,
    /// Swallow messages instead of delivering them: they were sent, stored, and lost.
    pub(super) lossy: bool,
    pub(super) log: Vec<Vec<u8>>,
}

impl Wire for Pipe {
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        if self.closed {
            return Err(SendError::Closed);
        }
        self.log.push(bytes.to_vec());
        if !self.lossy {
            self.sent.push(bytes.to_vec());
        }
        Ok(TimeNs(0))
    }

    fn close(&mut self) {
        self.closed = true;
    }
}

pub(super) struct Peer {
    pub(super) session: Session<MemoryStore>,
    pub(super) pipe: Pipe,
    pub(super) app: Recorder,
}

impl Peer {
    pub(super) fn new(config: SessionConfig) -> Self {
        Self { session: Session::new(config, MemoryStore::new()), pipe: Pipe::default(), app: Recorder::default() }
    }

    pub(super) fn receive(&mut self, bytes: &[u8], now: Now) {
        let received = Received { bytes, ts_user: now.engine, ts_kernel: None };
        self.session.on_received(received, now, &mut self.pipe, &mut self.app);
    }

    pub(super) fn send(&mut self, text: &str, now: Now) -> Result<Written, NotWritten> {
        let link = self.session.link_mut();
        link.send(b"D", ClOrdId::NONE, Persist::Required, now, &mut self.pipe, |w| {
            w.text::<{ tag::TEXT }>(text.as_bytes());
        })
    }

    /// The n-th message of this type that this side wrote, as text with `|`.
    pub(super) fn wrote(&self, msg_type: &str) -> Vec<String> {
        let needle = format!("|35={msg_type}|");
        self.pipe.log.iter().map(|m| readable(m)).filter(|m| m.contains(&needle)).collect()
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.app.messages.iter().map(|(_, text, _)| String::from_utf8_lossy(text).into_owned()).collect()
    }
}

pub(super) fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\u{1}', "|")
}

pub(super) struct Pair {
    pub(super) engine: Peer,
    pub(super) venue: Peer,
    pub(super) now: Now,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self::with(SessionConfig::initiator("TERCEL", "VENUE"), SessionConfig::acceptor("VENUE", "TERCEL"))
    }

    pub(super) fn with(engine: SessionConfig, venue: SessionConfig) -> Self {
        let start = TimeNs(1_790_000_000_000_000_000);
        Self { engine: Peer::new(engine), venue: Peer::new(venue), now: Now { engine: start, wall: start } }
    }

    pub(super) fn logged_on() -> Self {
        let mut pair = Self::new();
        pair.connect();
        assert!(pair.engine.session.link().is_ready() && pair.venue.session.link().is_ready());
        pair
    }

    pub(super) fn connect(&mut self) {
        for peer in [&mut self.venue, &mut self.engine] {
            peer.pipe = Pipe { log: core::mem::take(&mut peer.pipe.log), ..Pipe::default() };
            peer.session.on_connected(self.now, &mut peer.pipe, &mut peer.app);
        }
        self.settle();
    }

    pub(super) fn disconnect(&mut self) {
        for peer in [&mut self.venue, &mut self.engine] {
            peer.session.on_disconnected(self.now, &mut peer.pipe, &mut peer.app);
            peer.pipe.sent.clear();
        }
    }

    /// Delivers until both sides are silent.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let to_venue = core::mem::take(&mut self.engine.pipe.sent);
            let to_engine = core::mem::take(&mut self.venue.pipe.sent);
            if to_venue.is_empty() && to_engine.is_empty() {
                return;
            }
            to_venue.iter().for_each(|bytes| self.venue.receive(bytes, self.now));
            to_engine.iter().for_each(|bytes| self.engine.receive(bytes, self.now));
        }
        panic!("the two sessions never fall silent");
    }

    pub(super) fn pass_time(&mut self, ms: i64) {
        self.now.wall = self.now.wall.saturating_add(DurationNs::from_millis(ms));
        self.now.engine = self.now.wall;
        for peer in [&mut self.venue, &mut self.engine] {
            peer.session.on_time(self.now, &mut peer.pipe, &mut peer.app);
        }
    }

    /// A message of the venue's making, with the right length and checksum.
    pub(super) fn forge(&self, msg_seq_num: u32, msg_type: &str, body: &str) -> Vec<u8> {
        let stamp = crate::StampCache::default().render(self.now.wall).to_vec();
        let stamp = String::from_utf8(stamp).unwrap();
        raw(&format!("35={msg_type}|34={msg_seq_num}|49=VENUE|56=TERCEL|52={stamp}|{body}"))
    }
}

/// Frames `body` (with `|` for SOH) as FIX 4.4.
pub(super) fn raw(body: &str) -> Vec<u8> {
    let body = body.replace('|', "\u{1}");
    let mut message = format!("8=FIX.4.4\u{1}9={}\u{1}{body}", body.len()).into_bytes();
    let sum = crate::checksum(&message);
    message.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
    message
}
