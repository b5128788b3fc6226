//! The venue as a machine of bytes and time: playback, subscriptions, snapshots, the order session and faults. It reads no
//! clock and owns no socket; `run` gives it both, a simulation gives it its own.
//!
//!   recording ──▶ Exchange (fills) ──▶ order session
//!        └──(faults)──▶ subscribers
//!
//! Time  All calls take the wall time. Engine time is the wall time until the start and runs `speed` times as fast from
//!       there: playback, order times and fills use it; the order session's timers use the wall.
use crate::desk::{CLIENT, Desk, DeskCounters};
use crate::fault::{Fault, FaultKind, Schedule};
use crate::log::{Direction, FixLog, VenueLog, price_text, qty_text};
use crate::recording::{ApplyCounters, Recording, RecordingError, StreamKind};
use crate::{Start, VenueConfig};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tercel_fix::session::Counters;
use tercel_fix::{Session, Store, Wire};
use tercel_net::{EdgeClock, Now, Received, ScaledClock, SendError};
use tercel_sim::{Exchange, ExchangeConfig, Holding};
use tercel_types::{Instrument, Side, TimeNs};

/// A market data connection.
pub type ConnId = u64;

/// What the machine may ask of its shell.
pub trait VenueIo {
    /// Sends one text message on a market data connection.
    fn data(&mut self, conn: ConnId, text: &[u8]);
    /// Closes a market data connection without a word.
    fn close_data(&mut self, conn: ConnId);
    /// Writes to the order connection; `Closed` when there is none. Returns the wall time at which the write returned.
    fn fix(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError>;
    /// Closes the order connection.
    fn close_fix(&mut self);
}

#[derive(Clone, Debug)]
struct Subscription {
    streams: Vec<(StreamKind, String)>,
    /// Messages carry the name of their stream.
    combined: bool,
}

/// A response to a REST request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub body: String,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct VenueReport {
    /// Messages of the recording that were played.
    pub played: u64,
    /// All of it was.
    pub ended: bool,
    pub desk: DeskCounters,
    pub session: Counters,
    pub holding: Holding,
    pub open_orders: usize,
    pub faults: u64,
    pub unusable: ApplyCounters,
}

struct FixWire<'a> {
    io: &'a mut dyn VenueIo,
    log: &'a mut FixLog,
    now: Now,
}

impl Wire for FixWire<'_> {
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        let sent = self.io.fix(bytes)?;
        self.log.bytes(Direction::Out, bytes, self.now);
        Ok(sent)
    }

    fn close(&mut self) {
        self.io.close_fix();
    }
}

pub struct VenueCore {
    recording: Arc<Recording>,
    instrument: Instrument,
    desk: Desk,
    fix_log: FixLog,
    session: Session<Box<dyn Store>>,
    clock: Option<ScaledClock>,
    speed: u32,
    shift_ms: i64,
    /// Next message to play.
    next: usize,
    /// Newest event time that was applied to the depth book, shifted, in milliseconds.
    book_ms: i64,
    subscriptions: BTreeMap<ConnId, Subscription>,
    faults: Schedule,
    faults_done: u64,
    /// Faults that wait for a message of their kind.
    drop_depth: bool,
    duplicate_depth: bool,
    malform: Option<StreamKind>,
    refuse_snapshot: bool,
    unusable: ApplyCounters,
    data: Vec<u8>,
    text: Vec<u8>,
}

impl VenueCore {
    /// A venue over `recording`. `wall` is now; with `Start::FirstSubscriber` playback waits for `subscribe`.
    pub fn new(
        config: &VenueConfig,
        recording: Arc<Recording>,
        store: Box<dyn Store>,
        log: (VenueLog, FixLog),
        wall: TimeNs,
    ) -> Result<Self, RecordingError> {
        let instrument = config.instrument.clone();
        let exchange_config = ExchangeConfig { queue: config.queue, ..ExchangeConfig::default() };
        let mut exchange = Exchange::new(core::slice::from_ref(&instrument), exchange_config);
        let start = match config.start {
            Start::At(start) => Some(start),
            Start::FirstSubscriber => None,
        };
        let shift_ms = recording.shift_ms(start.unwrap_or(wall));
        let mut unusable = ApplyCounters::default();
        recording.prime(&mut exchange, instrument.id, shift_ms, &mut unusable)?;
        let first = recording.first_played();
        let book_ms = recording.messages()[first].event_ms + shift_ms;
        let desk = Desk::new(core::slice::from_ref(&instrument), exchange, log.0, config.cancel_on_disconnect);
        Ok(Self {
            instrument,
            desk,
            fix_log: log.1,
            session: Session::new(config.session(), store),
            clock: start.map(|start| ScaledClock { start, speed: config.speed }),
            speed: config.speed,
            shift_ms,
            next: first,
            book_ms,
            recording,
            subscriptions: BTreeMap::new(),
            faults: Schedule::new(&config.faults),
            faults_done: 0,
            drop_depth: false,
            duplicate_depth: false,
            malform: None,
            refuse_snapshot: false,
            unusable,
            data: Vec::new(),
            text: Vec::new(),
        })
    }

    /// Before the start engine time is wall time, as at the engine: a request that came early has no negative latency.
    fn now(&self, wall: TimeNs) -> Now {
        let running = self.clock.filter(|clock| wall > clock.start);
        Now { engine: running.map_or(wall, |clock| clock.engine_of(wall)), wall }
    }

    /// When the playback started or will start; engine and wall time are the same there.
    pub fn start(&self) -> Option<TimeNs> {
        self.clock.map(|clock| clock.start)
    }

    /// Starts the playback at `wall`, unless its start is already fixed.
    pub fn start_at(&mut self, wall: TimeNs) {
        if self.clock.is_none() {
            self.clock = Some(ScaledClock { start: wall, speed: self.speed });
            self.shift_ms = self.recording.shift_ms(wall);
            let now = self.now(wall);
            self.desk.log.event("playback_start", now, |line| {
                line.int("speed", self.speed);
            });
        }
    }

    /// All messages are played.
    pub fn ended(&self) -> bool {
        self.next == self.recording.messages().len()
    }

    pub fn exchange(&self) -> &Exchange {
        &self.desk.exchange
    }

    /// The order lines of a log in memory.
    pub fn orders_text(&self) -> &[u8] {
        self.desk.log.orders_text()
    }

    pub fn report(&self) -> VenueReport {
        VenueReport {
            played: (self.next - self.recording.first_played()) as u64,
            ended: self.ended(),
            desk: self.desk.counters,
            session: *self.session.counters(),
            holding: self.desk.exchange.holding(CLIENT, self.instrument.id),
            open_orders: self.desk.exchange.open_orders_count(CLIENT),
            faults: self.faults_done,
            unusable: self.unusable,
        }
    }

    /// Writes what the log still holds; fails with the first failure of any write to it.
    pub fn flush_log(&mut self) -> io::Result<()> {
        // The orders first: whoever reads both files while we write finds no execution on the wire that no order line has.
        self.desk.log.flush()?;
        self.fix_log.flush()
    }

    // ---- time ----

    /// Engine time at which message `idx` is due.
    fn due(&self, idx: usize) -> Option<TimeNs> {
        let start = self.clock?.start;
        let message = self.recording.messages().get(idx)?;
        Some(start.saturating_add(message.recv.since(self.recording.base())))
    }

    /// Wall time of the next thing to do.
    pub fn next_deadline(&self) -> Option<TimeNs> {
        let wall_of = |clock: ScaledClock, engine: TimeNs| {
            let elapsed = engine.since(clock.start).0;
            if elapsed <= 0 {
                return engine;
            }
            // Rounded up, so that at the deadline the engine time has come.
            TimeNs(
                clock.start.0
                    + elapsed.div_euclid(i64::from(clock.speed))
                    + i64::from(elapsed % i64::from(clock.speed) != 0),
            )
        };
        let playback = self.clock.and_then(|clock| {
            let fault = self.faults.next_at().map(|at| clock.start.saturating_add(at));
            let engine = [self.due(self.next), fault, self.desk.exchange.next_expiry()].into_iter().flatten().min()?;
            Some(wall_of(clock, engine))
        });
        playback.into_iter().chain(self.session.next_deadline()).min()
    }

    /// Does everything that is due at `wall`.
    pub fn on_time(&mut self, wall: TimeNs, io: &mut dyn VenueIo) {
        let now = self.now(wall);
        while self.due(self.next).is_some_and(|due| due <= now.engine) {
            self.make_faults(now, io);
            self.play(now, io);
        }
        self.make_faults(now, io);
        if self.desk.exchange.next_expiry().is_some_and(|at| at <= now.engine) {
            self.desk.exchange.expire_due(now.engine);
            self.answer(now, io);
        }
        let Self { session, desk, fix_log, .. } = self;
        session.on_time(now, &mut FixWire { io, log: fix_log, now }, desk);
    }

    fn answer(&mut self, now: Now, io: &mut dyn VenueIo) {
        let Self { session, desk, fix_log, .. } = self;
        desk.answer(session.link_mut(), now, &mut FixWire { io, log: fix_log, now });
    }

    /// Plays one message: the matcher first, so that its fills are on their way when the message is.
    fn play(&mut self, now: Now, io: &mut dyn VenueIo) {
        let (idx, id) = (self.next, self.instrument.id);
        let recording = Arc::clone(&self.recording);
        recording.apply(idx, &mut self.desk.exchange, id, self.shift_ms, now.engine, &mut self.unusable);
        self.next += 1;
        let message = &recording.messages()[idx];
        if message.kind == StreamKind::Depth {
            self.book_ms = message.event_ms + self.shift_ms;
        }
        self.answer(now, io);
        self.publish(idx, message.kind, io);
        if self.ended() {
            self.desk.log.event("playback_end", now, |line| {
                line.int("after", self.desk.exchange.after());
            });
        }
    }

    fn publish(&mut self, idx: usize, kind: StreamKind, io: &mut dyn VenueIo) {
        let depth = kind == StreamKind::Depth;
        if depth && core::mem::take(&mut self.drop_depth) {
            return;
        }
        let copies = if depth && core::mem::take(&mut self.duplicate_depth) { 2 } else { 1 };
        let cut = self.malform == Some(kind);
        if cut {
            self.malform = None;
        }
        self.data.clear();
        self.recording.shifted_data(idx, self.shift_ms, &mut self.data);
        for (&conn, subscription) in &self.subscriptions {
            let Some((_, name)) = subscription.streams.iter().find(|(wanted, _)| *wanted == kind) else { continue };
            self.text.clear();
            if subscription.combined {
                self.text.extend_from_slice(b"{\"stream\":\"");
                self.text.extend_from_slice(name.as_bytes());
                self.text.extend_from_slice(b"\",\"data\":");
            }
            self.text.extend_from_slice(&self.data);
            if subscription.combined {
                self.text.push(b'}');
            }
            if cut {
                self.text.truncate(self.text.len() / 2);
            }
            for _ in 0..copies {
                io.data(conn, &self.text);
            }
        }
    }

    fn make_faults(&mut self, now: Now, io: &mut dyn VenueIo) {
        let Some(clock) = self.clock else { return };
        while let Some(fault) = self.faults.pop(now.engine.since(clock.start)) {
            self.make_fault(fault, now, io);
        }
    }

    /// Makes a fault now, whatever its time.
    pub fn make_fault(&mut self, fault: Fault, now: Now, io: &mut dyn VenueIo) {
        self.faults_done += 1;
        self.desk.log.event("fault", now, |line| {
            line.text("kind", fault.kind.name()).int("after", self.desk.exchange.after());
        });
        match fault.kind {
            FaultKind::DropDepth => self.drop_depth = true,
            FaultKind::DuplicateDepth => self.duplicate_depth = true,
            FaultKind::MalformDepth => self.malform = Some(StreamKind::Depth),
            FaultKind::MalformQuote => self.malform = Some(StreamKind::BookTicker),
            FaultKind::RefuseSnapshot => self.refuse_snapshot = true,
            FaultKind::DisconnectDepth => self.disconnect(StreamKind::Depth, io),
            FaultKind::DisconnectQuote => self.disconnect(StreamKind::BookTicker, io),
            FaultKind::DisconnectTrade => self.disconnect(StreamKind::Trade, io),
            FaultKind::DisconnectFix => io.close_fix(),
        }
    }

    fn disconnect(&mut self, kind: StreamKind, io: &mut dyn VenueIo) {
        let carries = |s: &Subscription| s.streams.iter().any(|(wanted, _)| *wanted == kind);
        let conns: Vec<ConnId> = self.subscriptions.iter().filter(|(_, s)| carries(s)).map(|(&conn, _)| conn).collect();
        for conn in conns {
            self.subscriptions.remove(&conn);
            io.close_data(conn);
        }
    }

    // ---- market data connections ----

    /// Opens a market data connection on the path of its request: `…/stream?streams=a/b` or `…/ws/a`. False when the path
    /// names no such thing.
    pub fn open_data(&mut self, conn: ConnId, path: &str, wall: TimeNs) -> bool {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let combined = path.ends_with("/stream");
        let names: Vec<&str> = if combined {
            let streams = query.split('&').find_map(|pair| pair.strip_prefix("streams=")).unwrap_or("");
            streams.split('/').filter(|name| !name.is_empty()).collect()
        } else {
            match path.split_once("/ws") {
                Some((_, names)) => names.split('/').filter(|name| !name.is_empty()).collect(),
                None => return false,
            }
        };
        let now = self.now(wall);
        self.desk.log.event("data_open", now, |line| {
            line.int("conn", conn).text("path", path).text("streams", &names.join("/"));
        });
        self.subscriptions.insert(conn, Subscription { streams: Vec::new(), combined });
        for name in names {
            self.subscribe(conn, name, wall);
        }
        true
    }

    /// Adds a stream to a connection; the first one may start the playback. Streams that are not recorded stay silent.
    pub fn subscribe(&mut self, conn: ConnId, name: &str, wall: TimeNs) {
        let symbol = self.instrument.symbol.to_ascii_lowercase();
        let ours = name.split('@').next().is_some_and(|s| s.eq_ignore_ascii_case(&symbol));
        let (Some(kind), true) = (StreamKind::of_name(name), ours) else { return };
        let Some(subscription) = self.subscriptions.get_mut(&conn) else { return };
        if !subscription.streams.iter().any(|(_, known)| known == name) {
            subscription.streams.push((kind, name.to_owned()));
        }
        self.start_at(wall);
    }

    /// A text message of a client: `SUBSCRIBE` and `UNSUBSCRIBE` are answered as the exchange does.
    pub fn on_data_text(&mut self, conn: ConnId, text: &[u8], wall: TimeNs, io: &mut dyn VenueIo) {
        #[derive(serde::Deserialize)]
        struct Request {
            method: String,
            #[serde(default)]
            params: Vec<String>,
            id: serde_json::Value,
        }
        let Ok(request) = serde_json::from_slice::<Request>(text) else {
            return io.data(conn, br#"{"error":{"code":2,"msg":"Invalid JSON"}}"#);
        };
        match request.method.as_str() {
            "SUBSCRIBE" => {
                for name in &request.params {
                    self.subscribe(conn, name, wall);
                }
            }
            "UNSUBSCRIBE" => {
                if let Some(subscription) = self.subscriptions.get_mut(&conn) {
                    subscription.streams.retain(|(_, name)| !request.params.contains(name));
                }
            }
            _ => return io.data(conn, br#"{"error":{"code":2,"msg":"unknown method"}}"#),
        }
        io.data(conn, format!("{{\"result\":null,\"id\":{}}}", request.id).as_bytes());
    }

    pub fn data_closed(&mut self, conn: ConnId, wall: TimeNs) {
        if self.subscriptions.remove(&conn).is_some() {
            let now = self.now(wall);
            self.desk.log.event("data_close", now, |line| {
                line.int("conn", conn);
            });
        }
    }

    // ---- REST ----

    /// Answers `GET target`.
    pub fn http(&mut self, target: &str, wall: TimeNs) -> HttpAnswer {
        let now = self.now(wall);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let answer = match path.rsplit('/').next().unwrap_or("") {
            "depth" => self.depth_answer(value("symbol"), value("limit")),
            "exchangeInfo" => HttpAnswer { status: 200, body: self.exchange_info(now) },
            "time" => HttpAnswer { status: 200, body: format!("{{\"serverTime\":{}}}", now.engine.0 / 1_000_000) },
            "ping" => HttpAnswer { status: 200, body: "{}".into() },
            _ => HttpAnswer { status: 404, body: r#"{"code":-5000,"msg":"Path not found"}"#.into() },
        };
        let after = self.desk.exchange.after();
        self.desk.log.event("http", now, |line| {
            line.text("target", target).int("status", answer.status).int("len", answer.body.len()).int("after", after);
        });
        answer
    }

    fn depth_answer(&mut self, symbol: Option<&str>, limit: Option<&str>) -> HttpAnswer {
        let bad =
            |code: i32, msg: &str| HttpAnswer { status: 400, body: format!("{{\"code\":{code},\"msg\":\"{msg}\"}}") };
        if core::mem::take(&mut self.refuse_snapshot) {
            return HttpAnswer { status: 503, body: r#"{"code":-1001,"msg":"Internal error"}"#.into() };
        }
        if !symbol.is_some_and(|symbol| symbol.eq_ignore_ascii_case(&self.instrument.symbol)) {
            return bad(-1121, "Invalid symbol.");
        }
        let limit = match limit.map_or(Ok(500), str::parse::<usize>) {
            Ok(limit) if (1..=1_000).contains(&limit) => limit,
            _ => return bad(-4021, "Illegal limit."),
        };
        let Some(matcher) = self.desk.exchange.matcher(self.instrument.id) else {
            return bad(-1121, "Invalid symbol.");
        };
        let rows = |side| {
            let rows = matcher.depth(side, limit).into_iter().map(|(px, qty)| {
                format!("[\"{}\",\"{}\"]", price_text(&self.instrument, px), qty_text(&self.instrument, qty))
            });
            rows.collect::<Vec<_>>().join(",")
        };
        let body = format!(
            "{{\"lastUpdateId\":{},\"E\":{ms},\"T\":{ms},\"bids\":[{}],\"asks\":[{}]}}",
            matcher.depth_id(),
            rows(Side::Buy),
            rows(Side::Sell),
            ms = self.book_ms,
        );
        HttpAnswer { status: 200, body }
    }

    fn exchange_info(&self, now: Now) -> String {
        let Instrument { symbol, base, quote, settle, price_step, lot, min_qty, min_notional, .. } = &self.instrument;
        format!(
            "{{\"timezone\":\"UTC\",\"serverTime\":{},\"symbols\":[{{\"symbol\":\"{symbol}\",\"pair\":\"{symbol}\",\
             \"contractType\":\"PERPETUAL\",\"status\":\"TRADING\",\"baseAsset\":\"{base}\",\"quoteAsset\":\"{quote}\",\
             \"marginAsset\":\"{settle}\",\"pricePrecision\":{},\"quantityPrecision\":{},\"filters\":[\
             {{\"filterType\":\"PRICE_FILTER\",\"tickSize\":\"{price_step}\"}},\
             {{\"filterType\":\"LOT_SIZE\",\"stepSize\":\"{lot}\",\"minQty\":\"{}\"}},\
             {{\"filterType\":\"MIN_NOTIONAL\",\"notional\":\"{min_notional}\"}}]}}]}}",
            now.engine.0 / 1_000_000,
            price_step.scale,
            lot.scale,
            qty_text(&self.instrument, *min_qty),
        )
    }

    // ---- the order session ----

    pub fn fix_connected(&mut self, wall: TimeNs, io: &mut dyn VenueIo) {
        let now = self.now(wall);
        let Self { session, desk, fix_log, .. } = self;
        session.on_connected(now, &mut FixWire { io, log: fix_log, now }, desk);
    }

    pub fn fix_received(&mut self, bytes: &[u8], wall: TimeNs, io: &mut dyn VenueIo) {
        let now = self.now(wall);
        self.fix_log.bytes(Direction::In, bytes, now);
        let Self { session, desk, fix_log, .. } = self;
        let received = Received { bytes, ts_user: now.engine, ts_kernel: None };
        session.on_received(received, now, &mut FixWire { io, log: fix_log, now }, desk);
    }

    pub fn fix_disconnected(&mut self, wall: TimeNs, io: &mut dyn VenueIo) {
        let now = self.now(wall);
        let Self { session, desk, fix_log, .. } = self;
        session.on_disconnected(now, &mut FixWire { io, log: fix_log, now }, desk);
    }

    /// Ends the order session in order, as at the end of a day.
    pub fn logout(&mut self, wall: TimeNs, io: &mut dyn VenueIo) {
        let now = self.now(wall);
        let Self { session, fix_log, .. } = self;
        session.logout("the venue closes", now, &mut FixWire { io, log: fix_log, now });
    }
}
