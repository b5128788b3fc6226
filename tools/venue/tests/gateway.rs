//! The engine's own order gateway against the venue, in one process: what it makes of the venue's messages is what the
//! in-process venue of a backtest hands over directly.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tercel_event::{
    CancelReject, Command, CommandKind, ExecReport, Frame, FrameBuf, FrameKind, OrdType, SessionEvent, SessionStatus,
    Tif, sources,
};
use tercel_fix::order::{OrderGateway, OrderGatewayConfig};
use tercel_fix::{MemoryStore, SessionConfig};
use tercel_net::{GatewayIo, Now, OrderMachine, Received, SendError};
use tercel_sim::{EngineSide, ExchangeConfig, Latency, SimConfig, SimExchange, run_until};
use tercel_types::{ClOrdId, DurationNs, InstrumentId, Price, Qty, Side, TimeNs};
use tercel_venue::{ApplyCounters, ConnId, Recording, Start, VenueConfig, VenueCore, VenueIo, VenueLog, btcusdt_perp};

const START: TimeNs = TimeNs(1_800_000_000_000_000_000);

fn slice() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/btcusdt_usdm_20240808.jsonts.gz")
}

#[derive(Default)]
struct VenueWire(Vec<u8>);

impl VenueIo for VenueWire {
    fn data(&mut self, _: ConnId, _: &[u8]) {}
    fn close_data(&mut self, _: ConnId) {}
    fn fix(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        self.0.extend_from_slice(bytes);
        Ok(START)
    }
    fn close_fix(&mut self) {}
}

#[derive(Default)]
struct ClientWire {
    bytes: Vec<u8>,
    frames: Vec<Vec<u8>>,
}

impl GatewayIo for ClientWire {
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        self.bytes.extend_from_slice(bytes);
        Ok(START)
    }
    fn push(&mut self, frame: &[u8]) {
        self.frames.push(frame.to_vec());
    }
    fn close(&mut self) {}
}

/// Gateway and venue, joined by two byte buffers that are carried across at once.
struct Pair {
    venue: VenueCore,
    gateway: OrderGateway<MemoryStore>,
    to_venue: ClientWire,
    to_client: VenueWire,
}

impl Pair {
    fn new(recording: Arc<Recording>) -> Self {
        let mut config = VenueConfig::new(slice(), btcusdt_perp(), PathBuf::new());
        config.start = Start::At(START);
        let store = Box::new(MemoryStore::new());
        let venue = VenueCore::new(&config, recording, store, VenueLog::in_memory(), START).unwrap();
        let gateway = OrderGatewayConfig {
            source: sources::FIRST_GATEWAY,
            session: SessionConfig::initiator("TERCEL", "VENUE"),
            instruments: vec![btcusdt_perp()],
            accounts: vec!["ACC".into()],
            epoch: 1,
            orders_max: 1_024,
        };
        let gateway = OrderGateway::new(gateway, MemoryStore::new());
        let mut pair = Self { venue, gateway, to_venue: ClientWire::default(), to_client: VenueWire::default() };
        pair.venue.fix_connected(START, &mut pair.to_client);
        pair.gateway.on_connected(Now { engine: START, wall: START }, &mut pair.to_venue);
        pair.carry(START);
        pair
    }

    fn carry(&mut self, at: TimeNs) {
        let now = Now { engine: at, wall: at };
        while !self.to_venue.bytes.is_empty() || !self.to_client.0.is_empty() {
            let bytes = std::mem::take(&mut self.to_venue.bytes);
            if !bytes.is_empty() {
                self.venue.fix_received(&bytes, at, &mut self.to_client);
            }
            let bytes = std::mem::take(&mut self.to_client.0);
            if !bytes.is_empty() {
                let received = Received { bytes: &bytes, ts_user: at, ts_kernel: None };
                self.gateway.on_received(received, now, &mut self.to_venue);
            }
        }
    }

    fn play_before(&mut self, until: TimeNs) {
        while let Some(due) = self.venue.next_deadline().filter(|due| *due < until) {
            self.venue.on_time(due, &mut self.to_client);
            self.carry(due);
        }
    }

    fn command(&mut self, command: &Command, at: TimeNs) {
        self.play_before(at);
        self.gateway.on_command(command, Now { engine: at, wall: at }, &mut self.to_venue);
        self.carry(at);
    }
}

fn id(counter: u64) -> ClOrdId {
    ClOrdId::new(1, 0, counter).unwrap()
}

/// Orders of every kind over the first 20 s, with some that must be refused.
fn commands() -> Vec<(TimeNs, Command)> {
    let base = Command { epoch: 1, ord_type: OrdType::Limit as u8, ..bytemuck::Zeroable::zeroed() };
    let new = |counter, side, px, qty, tif: Tif, flags| Command {
        kind: CommandKind::New as u8,
        cl_ord_id: id(counter),
        root_cl_ord_id: id(counter),
        side: side as u8,
        px: Price(px),
        order_qty: Qty(qty),
        tif: tif as u8,
        flags,
        ..base
    };
    let about = |kind: CommandKind, counter, orig, terms: Command| Command {
        kind: kind as u8,
        cl_ord_id: id(counter),
        orig_cl_ord_id: id(orig),
        ..terms
    };
    let post = Command::POST_ONLY;
    let sell = new(1, Side::Sell, 618_050, 3_000, Tif::Gtc, post);
    let buy = new(2, Side::Buy, 617_900, 20, Tif::Gtc, post);
    let list = vec![
        Command { kind: CommandKind::MassStatus as u8, cl_ord_id: id(100), ..base },
        sell,
        buy,
        new(3, Side::Buy, 618_003, 4, Tif::Ioc, 0),
        new(4, Side::Buy, 619_000, 5_000, Tif::Gtc, 0),
        new(5, Side::Buy, 619_000, 5, Tif::Gtc, post),
        about(CommandKind::Replace, 6, 2, Command { px: Price(617_950), order_qty: Qty(25), ..buy }),
        about(CommandKind::Replace, 7, 2, Command { px: Price(617_960), ..buy }),
        about(CommandKind::Status, 101, 6, buy),
        Command { kind: CommandKind::MassStatus as u8, cl_ord_id: id(102), ..base },
        about(CommandKind::Cancel, 8, 6, buy),
        about(CommandKind::Cancel, 9, 6, buy),
        new(10, Side::Sell, 618_100, 7, Tif::Gtc, post),
        new(11, Side::Buy, 618_000, 7, Tif::Gtc, post),
    ];
    let at = |n: usize| START.saturating_add(DurationNs(n as i64 * 700_000_000 + 123_456_789));
    list.into_iter().enumerate().map(|(n, command)| (at(n), command)).collect()
}

/// A frame without what latencies and wire numbers make different.
fn essence(bytes: &[u8]) -> Option<(FrameKind, Vec<u8>)> {
    let frame = Frame::parse(bytes).unwrap();
    let kind = frame.kind().unwrap();
    let body = match kind {
        FrameKind::ExecReport => {
            let report: ExecReport = frame.body().unwrap();
            let zero = TimeNs(0);
            bytemuck::bytes_of(&ExecReport { ts_recv: zero, ts_exchange: zero, msg_seq_num: 0, ..report }).to_vec()
        }
        FrameKind::CancelReject => {
            let reject: CancelReject = frame.body().unwrap();
            let zero = TimeNs(0);
            bytemuck::bytes_of(&CancelReject { ts_recv: zero, ts_exchange: zero, msg_seq_num: 0, ..reject }).to_vec()
        }
        FrameKind::MassStatusEnd => {
            bytemuck::bytes_of(&frame.body::<tercel_event::MassStatusEnd>().unwrap().orders_count).to_vec()
        }
        FrameKind::SessionStatus => match SessionEvent::from_code(frame.body::<SessionStatus>().unwrap().event) {
            Some(SessionEvent::LoggedOn) => Vec::new(),
            _ => return None,
        },
        FrameKind::Sent => bytemuck::bytes_of(&frame.body::<tercel_event::Sent>().unwrap().cl_ord_id).to_vec(),
        _ => Vec::new(),
    };
    Some((kind, body))
}

#[test]
fn the_gateway_and_the_in_process_venue_speak_alike() {
    let recording = Arc::new(Recording::open(&slice()).unwrap());
    let until = START.saturating_add(DurationNs::from_secs(40));
    let mut pair = Pair::new(Arc::clone(&recording));
    assert!(pair.gateway.is_ready());
    for (at, command) in commands() {
        pair.command(&command, at);
    }
    pair.play_before(until);
    let counters = *pair.gateway.counters();
    assert_eq!((counters.malformed, counters.foreign, counters.unsupported, counters.not_sent), (0, 0, 0, 0));
    assert_eq!(pair.gateway.session().counters().rejects_sent, 0);

    let zero = DurationNs(0);
    let latency = Latency { order: zero, report: zero, sent: zero, feed: zero };
    let config = SimConfig { source: sources::FIRST_GATEWAY, exchange: ExchangeConfig::default(), latency };
    let mut sim = SimExchange::new(&[btcusdt_perp()], config, START);
    let (shift, mut counters) = (recording.shift_ms(START), ApplyCounters::default());
    let mut engine = Scripted { commands: commands(), next: 0, frames: Vec::new() };
    let (mut frame, mut out) = (FrameBuf::new(), Vec::new());
    sim.data(START, |exchange, _| recording.prime(exchange, InstrumentId(0), shift, &mut counters).unwrap());
    for idx in recording.first_played()..recording.messages().len() {
        let at = START.saturating_add(recording.messages()[idx].recv.since(recording.base()));
        if at >= until {
            break;
        }
        run_until(&mut sim, &mut engine, at, &mut frame, &mut out).unwrap();
        sim.data(at, |exchange, now| recording.apply(idx, exchange, InstrumentId(0), shift, now, &mut counters));
        run_until(&mut sim, &mut engine, at, &mut frame, &mut out).unwrap();
    }
    let of = |frames: &[Vec<u8>]| frames.iter().filter_map(|frame| essence(frame)).collect::<Vec<_>>();
    let (wire, direct) = (of(&pair.to_venue.frames), of(&engine.frames));
    let fills = |frames: &[Vec<u8>]| {
        frames
            .iter()
            .filter(|f| Frame::parse(f).unwrap().body::<ExecReport>().is_ok_and(|e| e.exec_type == b'F'))
            .count()
    };
    assert!(fills(&engine.frames) >= 8, "{} fills", fills(&engine.frames));
    for (at, (wire, direct)) in wire.iter().zip(&direct).enumerate() {
        assert_eq!(wire, direct, "frame {at}");
    }
    assert_eq!(wire.len(), direct.len());
}

/// An engine whose timers send a script of commands.
struct Scripted {
    commands: Vec<(TimeNs, Command)>,
    next: usize,
    frames: Vec<Vec<u8>>,
}

impl EngineSide for Scripted {
    type Error = std::convert::Infallible;

    fn next_deadline(&self) -> Option<TimeNs> {
        self.commands.get(self.next).map(|(at, _)| *at)
    }

    fn on_deadline(&mut self, due: TimeNs, commands: &mut Vec<Command>) -> Result<(), Self::Error> {
        while let Some((_, command)) = self.commands.get(self.next).filter(|(at, _)| *at <= due) {
            commands.push(*command);
            self.next += 1;
        }
        Ok(())
    }

    fn on_frame(&mut self, frame: &mut FrameBuf, _: TimeNs, _: &mut Vec<Command>) -> Result<(), Self::Error> {
        self.frames.push(frame.bytes().to_vec());
        Ok(())
    }
}
