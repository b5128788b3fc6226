//! Hot path. The feed machine: bytes of several sockets and REST answers in, frames out. It owns the venue's sequence rules
//! and never touches a socket, a clock or a thread; the shell, the backtest and the tests drive the same machine.
//!
//!   on_message ──▶ Decoder ──▶ depth rules (depth.rs) ──▶ BookDelta
//!                     ├──────▶ newer than the last ─────▶ Bbo
//!                     └──────▶ id follows the last ─────▶ Trade
//!
//! Thread      the gateway's.
//! Memory      allocated by `new`; nothing per message.
//! Invariants  depth leaves as a chain behind its snapshot or not at all; sockets have no order among each other, so nothing
//!             here compares times or ids of different streams.
mod buffer;
mod depth;
mod frames;
mod io;
mod outbox;

pub use frames::LEVELS_MAX;
pub use io::{FeedCounters, FeedIo, RingFull, frames_of};

use crate::config::{FeedConfig, Stream, StreamKind};
use crate::json::{BookTicker, Decoder, Depth, Event, Malformed, Message, Trade};
use depth::{Backoff, DepthFeed, State};
use frames::{Stamps, Workbench};
use outbox::Outbox;
use tercel_event::{Bbo, Command, CommandKind, FeedEvent};
use tercel_net::{Now, Received};
use tercel_types::{DurationNs, Instrument, InstrumentId, Instruments, SourceId, TimeNs};

/// One market data source of the core.
pub struct FeedMachine {
    source: SourceId,
    src_seq: u64,
    decoder: Decoder,
    bench: Workbench,
    instruments: Vec<InstrumentFeed>,
    /// Streams by socket, as configured.
    sockets: Vec<Vec<Stream>>,
    counters: FeedCounters,
    first_malformed: Option<Malformed>,
}

struct InstrumentFeed {
    instrument: InstrumentId,
    depth: DepthFeed,
    book_ticker_id: u64,
    /// `None` until the first trade after a socket came up.
    trade_id: Option<u64>,
    trades_resumed: bool,
}

impl FeedMachine {
    /// `config` must be free of problems (`FeedConfig::validate`): streams that name no known instrument are left out.
    pub fn new(config: &FeedConfig, instruments: &Instruments) -> Self {
        let sockets: Vec<Vec<Stream>> = config
            .sockets
            .iter()
            .map(|s| s.streams.iter().filter_map(|name| Stream::parse(name, instruments)).collect())
            .collect();
        let mut known: Vec<&Instrument> =
            sockets.iter().flatten().filter_map(|s| instruments.get(s.instrument)).collect();
        known.sort_by_key(|i| i.id);
        known.dedup_by_key(|i| i.id);
        let backoff = Backoff {
            min: DurationNs::from_millis(i64::from(config.backoff_ms_min)),
            max: DurationNs::from_millis(i64::from(config.backoff_ms_max)),
            first_wait: DurationNs::from_millis(i64::from(config.first_depth_wait_ms)),
        };
        Self {
            source: config.source,
            src_seq: 0,
            decoder: Decoder::new(known.iter().copied()),
            bench: Workbench::new(),
            instruments: known
                .iter()
                .map(|i| InstrumentFeed {
                    instrument: i.id,
                    depth: DepthFeed::new(i.id, backoff, config.buffer_len),
                    book_ticker_id: 0,
                    trade_id: None,
                    trades_resumed: false,
                })
                .collect(),
            sockets,
            counters: FeedCounters::default(),
            first_malformed: None,
        }
    }

    pub fn source(&self) -> SourceId {
        self.source
    }

    /// Instruments that the streams name, in order of their id.
    pub fn instruments(&self) -> impl Iterator<Item = InstrumentId> + '_ {
        self.instruments.iter().map(|f| f.instrument)
    }

    pub fn sockets_count(&self) -> usize {
        self.sockets.len()
    }

    pub fn counters(&self) -> &FeedCounters {
        &self.counters
    }

    /// The first message that was refused, for the log line that goes with the counter.
    pub fn first_malformed(&self) -> Option<Malformed> {
        self.first_malformed
    }

    /// True while the depth chain of `instrument` is whole.
    pub fn is_live(&self, instrument: InstrumentId) -> bool {
        self.instruments.iter().any(|f| f.instrument == instrument && f.depth.state() == State::Live)
    }

    /// `u` of the newest depth message handed on.
    pub fn last_update_id(&self, instrument: InstrumentId) -> Option<u64> {
        self.instruments.iter().find(|f| f.instrument == instrument).map(|f| f.depth.last_update_id())
    }

    pub fn on_connected(&mut self, socket: usize, now: Now, io: &mut dyn FeedIo) {
        self.each_stream(socket, io, |kind, feed, out| match kind {
            StreamKind::Depth => feed.depth.on_connected(now, out),
            StreamKind::BookTicker => feed.book_ticker_id = 0,
            StreamKind::Trade => feed.trades_resumed = true,
        });
    }

    pub fn on_disconnected(&mut self, socket: usize, now: Now, io: &mut dyn FeedIo) {
        self.each_stream(socket, io, |kind, feed, out| {
            if kind == StreamKind::Depth {
                feed.depth.on_disconnected(now, out);
            }
        });
    }

    /// Proof of life without content.
    pub fn on_alive(&mut self, socket: usize, now: Now, io: &mut dyn FeedIo) {
        self.each_stream(socket, io, |kind, feed, out| {
            if kind == StreamKind::Depth && feed.depth.state() == State::Live {
                feed.depth.say(FeedEvent::Alive, 0, 0, now, out);
            }
        });
    }

    /// One whole message of a socket.
    #[inline]
    pub fn on_message(&mut self, socket: usize, received: Received<'_>, now: Now, io: &mut dyn FeedIo) {
        self.counters.messages += 1;
        self.counters.bytes += received.bytes.len() as u64;
        let stamps = Stamps { ts_recv: received.ts_kernel.unwrap_or(received.ts_user), ts_user: received.ts_user };
        match self.decoder.decode_form(received.bytes) {
            Some(Message::BookTicker(ticker)) => self.on_book_ticker(&ticker, stamps, now, io),
            Some(Message::Trade(trade)) => self.on_trade(&trade, stamps, now, io),
            _ => self.on_formless(socket, received.bytes, stamps, now, io),
        }
    }

    #[inline(never)]
    fn on_formless(&mut self, socket: usize, bytes: &[u8], stamps: Stamps, now: Now, io: &mut dyn FeedIo) {
        match self.decoder.decode_formless(bytes, self.bench.levels()) {
            Ok(Message::Depth(depth)) => self.on_depth(&depth, stamps, now, io),
            Ok(Message::BookTicker(ticker)) => self.on_book_ticker(&ticker, stamps, now, io),
            Ok(Message::Trade(trade)) => self.on_trade(&trade, stamps, now, io),
            Ok(Message::Other | Message::Foreign) => self.counters.others += 1,
            Err(malformed) => self.on_malformed(socket, malformed, now, io),
        }
    }

    /// The answer to `FeedIo::request_snapshot`: the body of the REST answer, `None` when there is none. A snapshot that
    /// nobody asked for (a recording has one) is used when it is of use.
    pub fn on_snapshot(
        &mut self,
        instrument: InstrumentId,
        received: Option<Received<'_>>,
        now: Now,
        io: &mut dyn FeedIo,
    ) {
        let Self { instruments, bench, decoder, counters, src_seq, source, first_malformed, .. } = self;
        let Some(feed) = instruments.iter_mut().find(|f| f.instrument == instrument) else { return };
        let snapshot = received.and_then(|received| {
            let stamps = Stamps { ts_recv: received.ts_kernel.unwrap_or(received.ts_user), ts_user: received.ts_user };
            match decoder.snapshot(instrument, received.bytes, bench.levels()) {
                Ok(snapshot) => Some((snapshot, stamps)),
                Err(malformed) => {
                    counters.malformed += 1;
                    first_malformed.get_or_insert(malformed);
                    None
                }
            }
        });
        let out = &mut Outbox { io, source: *source, src_seq, counters };
        match snapshot {
            Some((snapshot, stamps)) => {
                let frames = bench.snapshot(instrument, &snapshot, stamps, *source);
                feed.depth.on_snapshot(Some((snapshot.last_update_id, frames)), now, out);
            }
            None => feed.depth.on_snapshot(None, now, out),
        }
    }

    /// A command of the core; only `Resync` is one for a feed.
    pub fn on_command(&mut self, command: &Command, now: Now, io: &mut dyn FeedIo) {
        if command.kind == CommandKind::Resync as u8 {
            self.each(io, |feed, out| {
                if feed.instrument == command.instrument {
                    feed.depth.on_resync_command(now, out);
                }
            });
        }
    }

    /// Asks for snapshots that are due and hands on what waited for the ring; to be called at `next_deadline`.
    pub fn on_time(&mut self, now: Now, io: &mut dyn FeedIo) {
        self.each(io, |feed, out| feed.depth.on_time(now, out));
    }

    /// Wall time at which `on_time` has something to do; `TimeNs::MIN` while something waits for room in the ring.
    pub fn next_deadline(&self) -> Option<TimeNs> {
        self.instruments.iter().filter_map(|f| f.depth.deadline()).min()
    }

    #[inline]
    fn on_depth(&mut self, depth: &Depth, stamps: Stamps, now: Now, io: &mut dyn FeedIo) {
        self.counters.depths += 1;
        let Self { instruments, bench, counters, src_seq, source, .. } = self;
        let Some(feed) = feed_of(instruments, depth.instrument) else { return };
        let out = &mut Outbox { io, source: *source, src_seq, counters };
        // Without `pu` there is no chain to follow: 0 breaks it, which shows as a gap.
        let prev = depth.prev_update_id.unwrap_or(0);
        let frames = bench.delta(depth, stamps, out.source);
        feed.depth.on_depth(depth.last_update_id, prev, frames, now, out);
    }

    #[inline]
    fn on_book_ticker(&mut self, ticker: &BookTicker, stamps: Stamps, now: Now, io: &mut dyn FeedIo) {
        self.counters.book_tickers += 1;
        let Self { instruments, counters, src_seq, source, .. } = self;
        let Some(feed) = feed_of(instruments, ticker.instrument) else { return };
        if ticker.update_id <= feed.book_ticker_id {
            counters.book_tickers_old += 1;
            return;
        }
        let out = &mut Outbox { io, source: *source, src_seq, counters };
        let bbo = Bbo {
            instrument: ticker.instrument,
            reserved: 0,
            update_id: ticker.update_id,
            bid_px: ticker.bid_px,
            bid_qty: ticker.bid_qty,
            ask_px: ticker.ask_px,
            ask_qty: ticker.ask_qty,
            ts_exchange: ticker.ts_exchange,
            ts_recv: stamps.ts_recv,
            ts_user: stamps.ts_user,
        };
        match out.push_body(&bbo) {
            Ok(()) => feed.book_ticker_id = ticker.update_id,
            Err(RingFull) => feed.depth.on_full(now, out),
        }
    }

    #[inline]
    fn on_trade(&mut self, trade: &Trade, stamps: Stamps, now: Now, io: &mut dyn FeedIo) {
        self.counters.trades += 1;
        let Self { instruments, counters, src_seq, source, .. } = self;
        let Some(feed) = feed_of(instruments, trade.instrument) else { return };
        if let Some(last) = feed.trade_id {
            if trade.trade_id > last {
                counters.trades_missing += trade.trade_id - last - 1;
            } else if !feed.trades_resumed {
                counters.trades_old += 1;
                return;
            }
        }
        // After a reconnect ids may start anew (a venue that plays a recording again): they are taken as they come.
        feed.trade_id = Some(trade.trade_id);
        feed.trades_resumed = false;
        if trade.qty.is_zero() {
            counters.trades_empty += 1;
            return;
        }
        let out = &mut Outbox { io, source: *source, src_seq, counters };
        let body = tercel_event::Trade {
            instrument: trade.instrument,
            aggressor: trade.aggressor as u8,
            reserved: [0; 3],
            trade_id: trade.trade_id,
            px: trade.px,
            qty: trade.qty,
            ts_exchange: trade.ts_exchange,
            ts_recv: stamps.ts_recv,
            ts_user: stamps.ts_user,
        };
        if out.push_body(&body).is_err() {
            feed.depth.on_full(now, out);
        }
    }

    /// A message that cannot be read may have been depth: then the book is no longer known. One that had already said that
    /// it is a quote or a trade costs only itself.
    #[cold]
    fn on_malformed(&mut self, socket: usize, malformed: Malformed, now: Now, io: &mut dyn FeedIo) {
        self.counters.malformed += 1;
        self.first_malformed.get_or_insert(malformed);
        if matches!(malformed.event, Some(Event::BookTicker | Event::Trade)) {
            return;
        }
        self.each_stream(socket, io, |kind, feed, out| {
            if kind == StreamKind::Depth && malformed.instrument.is_none_or(|i| i == feed.instrument) {
                feed.depth.resync(FeedEvent::Malformed, 0, 0, now, out);
            }
        });
    }

    fn each(&mut self, io: &mut dyn FeedIo, mut act: impl FnMut(&mut InstrumentFeed, &mut Outbox<'_>)) {
        let Self { instruments, counters, src_seq, source, .. } = self;
        let out = &mut Outbox { io, source: *source, src_seq, counters };
        for feed in instruments {
            act(feed, out);
        }
    }

    fn each_stream(
        &mut self,
        socket: usize,
        io: &mut dyn FeedIo,
        mut act: impl FnMut(StreamKind, &mut InstrumentFeed, &mut Outbox<'_>),
    ) {
        let Self { instruments, sockets, counters, src_seq, source, .. } = self;
        let out = &mut Outbox { io, source: *source, src_seq, counters };
        for stream in sockets.get(socket).into_iter().flatten() {
            if let Some(feed) = feed_of(instruments, stream.instrument) {
                act(stream.kind, feed, out);
            }
        }
    }
}

#[inline]
fn feed_of(feeds: &mut [InstrumentFeed], instrument: InstrumentId) -> Option<&mut InstrumentFeed> {
    feeds.iter_mut().find(|f| f.instrument == instrument)
}

#[cfg(test)]
mod tests;
