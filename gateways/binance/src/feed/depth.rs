//! The depth rules of one instrument: buffer, snapshot, link, follow the chain, start over.
//!
//! ```text
//!   Down ──connected──▶ Syncing ──snapshot links──▶ Draining ──buffer empty──▶ Live
//!    ▲                    ▲  gap, malformed, overflow, Resync │                  │
//!    └──disconnected──────┴────────────────────────────────────┴──────────────────┘
//! ```
//! Source: Binance, "How to manage a local order book correctly" (USD-M and COIN-M futures): drop messages with
//! u < lastUpdateId; the first one applied has U ≤ lastUpdateId ≤ u; from then on `pu` equals the previous `u`. Ids are
//! shared by many books, so a snapshot may fall between two messages: pu ≤ lastUpdateId < U links as well, because nothing
//! of this book happened between pu and U.
//!
//! Thread      the gateway's.
//! Memory      buffer and snapshot allocated by `new`.
//! Invariants  a `BookDelta` leaves only behind a snapshot that it links to, without a hole, and nothing of the book leaves
//!             while a status waits for the ring.
use crate::feed::buffer::Buffer;
use crate::feed::io::RingFull;
use crate::feed::outbox::{Outbox, Statuses};
use tercel_event::{FeedEvent, FeedStatus};
use tercel_net::Now;
use tercel_types::{DurationNs, InstrumentId, TimeNs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Down,
    Syncing,
    Draining,
    Live,
}

/// When snapshots may be asked for; wall time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub min: DurationNs,
    pub max: DurationNs,
    /// After connecting, how long to wait for a first depth message before asking anyway.
    pub first_wait: DurationNs,
}

pub(super) struct DepthFeed {
    instrument: InstrumentId,
    state: State,
    backoff: Backoff,
    statuses: Statuses,
    buffer: Buffer,
    /// Frames of the snapshot in hand, and its id; `None` when there is none.
    snapshot: Vec<u8>,
    snapshot_id: Option<u64>,
    snapshot_pushed: bool,
    /// `u` of the last message handed on, while live.
    last_update_id: u64,
    in_flight: bool,
    /// When to ask for a snapshot, while one is wanted.
    ask_at: Option<TimeNs>,
    asked_at: TimeNs,
    /// Requests since the book was last live for `backoff.max`.
    attempts: u32,
    live_since: TimeNs,
    /// `Recovering` has been said since the book was last whole.
    said_recovering: bool,
}

impl DepthFeed {
    pub fn new(instrument: InstrumentId, backoff: Backoff, buffer_len: usize) -> Self {
        Self {
            instrument,
            state: State::Down,
            backoff,
            statuses: Statuses::new(),
            buffer: Buffer::new(buffer_len),
            snapshot: Vec::with_capacity(64 * 1024),
            snapshot_id: None,
            snapshot_pushed: false,
            last_update_id: 0,
            in_flight: false,
            ask_at: None,
            asked_at: TimeNs::MIN,
            attempts: 0,
            live_since: TimeNs::MIN,
            said_recovering: false,
        }
    }

    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    pub fn last_update_id(&self) -> u64 {
        self.last_update_id
    }

    /// True when something waits for room in the ring.
    pub fn has_backlog(&self) -> bool {
        !self.statuses.is_empty() || self.state == State::Draining
    }

    pub fn deadline(&self) -> Option<TimeNs> {
        if self.has_backlog() { Some(TimeNs::MIN) } else { self.ask_at.filter(|_| !self.in_flight) }
    }

    pub fn say(&mut self, event: FeedEvent, expected: u64, found: u64, now: Now, out: &mut Outbox<'_>) {
        let (instrument, ts_recv) = (self.instrument, now.engine);
        let status = FeedStatus { instrument, event: event as u8, expected, found, ts_recv, ..Default::default() };
        self.statuses.add(status, out);
    }

    pub fn on_connected(&mut self, now: Now, out: &mut Outbox<'_>) {
        self.forget();
        self.state = State::Syncing;
        self.ask_at = Some(now.wall.saturating_add(self.backoff.first_wait));
        self.say(FeedEvent::Connected, 0, 0, now, out);
    }

    pub fn on_disconnected(&mut self, now: Now, out: &mut Outbox<'_>) {
        if self.state != State::Down {
            self.forget();
            self.state = State::Down;
            self.ask_at = None;
            out.counters.disconnects += 1;
            self.say(FeedEvent::Disconnected, 0, 0, now, out);
        }
    }

    /// One depth message with its frames; `last` is its `u`, `prev` its `pu`.
    #[inline]
    pub fn on_depth(&mut self, last: u64, prev: u64, frames: &mut [u8], now: Now, out: &mut Outbox<'_>) {
        if self.state != State::Live {
            return self.on_depth_unsettled(last, prev, frames, now, out);
        }
        if last <= self.last_update_id {
            out.counters.depths_old += 1;
        } else if prev != self.last_update_id {
            self.on_gap(self.last_update_id, last, prev, frames, now, out);
        } else if self.push(frames, out).is_ok() {
            self.last_update_id = last;
        } else {
            self.on_full(now, out);
        }
    }

    #[cold]
    fn on_depth_unsettled(&mut self, last: u64, prev: u64, frames: &mut [u8], now: Now, out: &mut Outbox<'_>) {
        if self.state == State::Down {
            out.counters.depths_unexpected += 1;
            return;
        }
        match self.buffer.last_update_id {
            Some(newest) if last <= newest => {
                out.counters.depths_old += 1;
                return;
            }
            Some(newest) if prev != newest && self.state == State::Draining => {
                return self.on_gap(newest, last, prev, frames, now, out);
            }
            Some(newest) if prev != newest => {
                // Nothing of this has reached the core yet, so it needs no word about it.
                out.counters.gaps += 1;
                out.counters.buffered_dropped += self.buffer.messages;
                self.buffer.clear();
            }
            _ => {}
        }
        self.keep(frames, last, now, out);
        match self.state {
            State::Draining => self.drain(now, out),
            _ => self.link(now, out),
        }
    }

    #[cold]
    fn on_gap(&mut self, expected: u64, last: u64, found: u64, frames: &mut [u8], now: Now, out: &mut Outbox<'_>) {
        out.counters.gaps += 1;
        self.resync(FeedEvent::Gap, expected, found, now, out);
        self.keep(frames, last, now, out);
    }

    /// The ring refused a message of this instrument.
    #[cold]
    pub fn on_full(&mut self, now: Now, out: &mut Outbox<'_>) {
        out.counters.ring_full += 1;
        if self.state == State::Live {
            self.resync(FeedEvent::Overflow, 0, 0, now, out);
        }
    }

    /// Throws the book away and starts over; `event` says why.
    #[cold]
    pub fn resync(&mut self, event: FeedEvent, expected: u64, found: u64, now: Now, out: &mut Outbox<'_>) {
        if self.state == State::Down {
            return;
        }
        if self.state == State::Live && now.wall.since(self.live_since) >= self.backoff.max {
            self.attempts = 0;
        }
        out.counters.resyncs += 1;
        self.said_recovering |= event == FeedEvent::Recovering;
        self.forget();
        self.state = State::Syncing;
        self.say(event, expected, found, now, out);
        self.want_snapshot(now, out);
    }

    /// The core asks for a new book.
    pub fn on_resync_command(&mut self, now: Now, out: &mut Outbox<'_>) {
        match self.state {
            State::Live | State::Draining => self.resync(FeedEvent::Recovering, 0, 0, now, out),
            State::Syncing | State::Down => out.counters.resyncs_idle += 1,
        }
    }

    /// A snapshot as frames, `None` when it could not be had.
    pub fn on_snapshot(&mut self, snapshot: Option<(u64, &[u8])>, now: Now, out: &mut Outbox<'_>) {
        self.in_flight = false;
        let Some((id, frames)) = snapshot else {
            out.counters.snapshots_failed += 1;
            if self.state == State::Syncing {
                self.want_snapshot(now, out);
            }
            return;
        };
        if self.state != State::Syncing || self.snapshot_id.is_some_and(|held| held >= id) {
            out.counters.snapshots_unneeded += 1;
            return;
        }
        self.snapshot.clear();
        self.snapshot.extend_from_slice(frames);
        self.snapshot_id = Some(id);
        self.ask_at = None;
        self.link(now, out);
    }

    pub fn on_time(&mut self, now: Now, out: &mut Outbox<'_>) {
        self.statuses.flush(out);
        if self.state == State::Draining {
            self.drain(now, out);
        }
        if self.ask_at.is_some_and(|at| at <= now.wall) {
            self.want_snapshot(now, out);
        }
    }

    /// Looks for the first buffered message that the snapshot in hand links to.
    fn link(&mut self, now: Now, out: &mut Outbox<'_>) {
        let Some(id) = self.snapshot_id else {
            return self.want_snapshot(now, out);
        };
        let ids = loop {
            match self.buffer.front() {
                Some((ids, _)) if ids.last < id => self.buffer.pop(),
                Some((ids, _)) => break ids,
                // The snapshot is newer than everything received: the next message decides.
                None => return,
            }
        };
        if ids.first <= id || ids.prev <= id {
            self.state = State::Draining;
            self.snapshot_pushed = false;
            self.drain(now, out);
        } else {
            out.counters.snapshots_old += 1;
            self.snapshot_id = None;
            self.want_snapshot(now, out);
        }
    }

    /// Hands on the snapshot, then what was buffered, as far as the ring takes it; the rest follows at the next call.
    fn drain(&mut self, now: Now, out: &mut Outbox<'_>) {
        if !self.statuses.flush(out) {
            return;
        }
        if !self.snapshot_pushed {
            if out.push(&mut self.snapshot).is_err() {
                return;
            }
            self.snapshot_pushed = true;
        }
        while let Some((ids, frames)) = self.buffer.front() {
            if out.push(frames).is_err() {
                return;
            }
            self.last_update_id = ids.last;
            self.buffer.pop();
        }
        self.forget();
        self.state = State::Live;
        self.live_since = now.wall;
        self.said_recovering = false;
        out.counters.recoveries += 1;
        self.say(FeedEvent::Recovered, 0, 0, now, out);
    }

    #[inline]
    fn push(&mut self, frames: &mut [u8], out: &mut Outbox<'_>) -> Result<(), RingFull> {
        if !self.statuses.is_empty() && !self.statuses.flush(out) {
            return Err(RingFull);
        }
        out.push(frames)
    }

    /// Buffers a message; when there is no room, what was buffered is given up, since a later snapshot does without it.
    fn keep(&mut self, frames: &[u8], last: u64, now: Now, out: &mut Outbox<'_>) {
        if self.buffer.append(frames, last) {
            return;
        }
        out.counters.buffered_dropped += self.buffer.messages;
        if self.state == State::Draining {
            self.resync(FeedEvent::Overflow, 0, 0, now, out);
        }
        self.buffer.clear();
        if !self.buffer.append(frames, last) {
            out.counters.buffered_dropped += 1;
        }
    }

    /// Asks for a snapshot now or as soon as the back-off allows.
    fn want_snapshot(&mut self, now: Now, out: &mut Outbox<'_>) {
        if self.in_flight {
            self.ask_at = None;
            return;
        }
        let wait = match self.attempts {
            0 => DurationNs::ZERO,
            n => DurationNs(self.backoff.min.0.saturating_mul(1 << (n - 1).min(20)).min(self.backoff.max.0)),
        };
        let due = self.asked_at.saturating_add(wait);
        if due > now.wall {
            self.ask_at = Some(due);
            return;
        }
        self.ask_at = None;
        self.asked_at = now.wall;
        self.attempts += 1;
        self.in_flight = true;
        out.counters.snapshots_asked += 1;
        if !self.said_recovering {
            self.said_recovering = true;
            self.say(FeedEvent::Recovering, 0, 0, now, out);
        }
        out.io.request_snapshot(self.instrument);
    }

    fn forget(&mut self) {
        self.buffer.clear();
        self.snapshot_id = None;
        self.snapshot_pushed = false;
    }
}
