//! A backtest with constant latencies: recorded messages through the feed gateway's machine, requests to the matching one
//! latency later, reports back one latency later.
use super::journal::{Live, is_market};
use super::{Given, Outcome, Spans};
use crate::config::{self, RunConfig};
use crate::engine::{self, chain};
use crate::incidents::IncidentLog;
use std::collections::VecDeque;
use tercel_binance::{FeedIo, FeedMachine, RingFull, frames_of};
use tercel_core::{CommandBatch, Sequencer};
use tercel_event::{Command, CommandKind, EpochStart, FeedEvent, FeedStatus, Frame, FrameBuf, FrameKind, sources};
use tercel_net::{Now, Received};
use tercel_sim::{EngineSide, Latency, SimConfig, SimExchange, run_until};
use tercel_types::{DurationNs, InstrumentId, Side, TimeNs};
use tercel_venue::{ApplyCounters, Recording, StreamKind};

/// The engine of a backtest.
struct Engine {
    sequencer: Sequencer<IncidentLog>,
    batch: CommandBatch,
    given: Vec<Given>,
    market_frames: u64,
    inputs: u64,
    resync: Option<Command>,
}

impl Engine {
    fn feed(&mut self, bytes: &[u8], at: TimeNs, commands: &mut Vec<Command>) -> Result<(), String> {
        if Frame::parse(bytes).is_ok_and(|frame| is_market(&frame)) {
            self.market_frames += 1;
        }
        self.inputs += 1;
        self.sequencer.feed(bytes, at, &mut self.batch).map_err(|error| error.to_string())?;
        self.hand_on(commands);
        Ok(())
    }

    fn hand_on(&mut self, commands: &mut Vec<Command>) {
        for command in self.batch.as_slice() {
            self.given.push(Given { command: *command, at: command.ts, market_frames: self.market_frames });
            if command.kind == CommandKind::Resync as u8 {
                self.resync = Some(*command);
            } else {
                commands.push(*command);
            }
        }
        self.batch.clear();
    }
}

impl EngineSide for Engine {
    type Error = String;

    fn next_deadline(&self) -> Option<TimeNs> {
        self.sequencer.next_deadline()
    }

    fn on_deadline(&mut self, due: TimeNs, commands: &mut Vec<Command>) -> Result<(), String> {
        self.inputs += 1;
        self.sequencer.tick(due, &mut self.batch).map_err(|error| error.to_string())?;
        self.hand_on(commands);
        Ok(())
    }

    fn on_frame(&mut self, frame: &mut FrameBuf, at: TimeNs, commands: &mut Vec<Command>) -> Result<(), String> {
        self.feed(frame.bytes(), at, commands)
    }
}

/// What the feed machine hands on.
#[derive(Default)]
struct Edge {
    frames: Vec<Vec<u8>>,
    wanted: bool,
}

impl FeedIo for Edge {
    fn push(&mut self, frames: &[u8]) -> Result<(), RingFull> {
        self.frames.extend(frames_of(frames).map(<[u8]>::to_vec));
        Ok(())
    }

    fn request_snapshot(&mut self, _instrument: InstrumentId) {
        self.wanted = true;
    }
}

/// From the request of a REST snapshot to its answer, where no run says how long it took.
const SNAPSHOT_AFTER: DurationNs = DurationNs::from_millis(2);

/// What a live run did not get of the depth stream, and how long its rebuilds took.
#[derive(Default)]
struct Losses {
    /// Update ids above the first and up to the second never came.
    lost: Vec<(u64, u64)>,
    /// From each gap to the snapshot that ended it.
    rebuilds: VecDeque<DurationNs>,
}

impl Losses {
    fn of(live: &Live) -> Self {
        let mut losses = Self::default();
        let mut gap_at = None;
        for frame in live.inputs.iter().filter_map(|bytes| Frame::parse(bytes).ok()) {
            let at = frame.header.ts_seq;
            if let Ok(status) = frame.body::<FeedStatus>()
                && status.event == FeedEvent::Gap as u8
            {
                losses.lost.push((status.expected, status.found));
                gap_at = Some(at);
            }
            if frame.kind() == Ok(FrameKind::BookSnapshot)
                && let Some(gap_at) = gap_at.take()
            {
                losses.rebuilds.push_back(at.since(gap_at));
            }
        }
        losses
    }

    fn has(&self, update_id: u64) -> bool {
        self.lost.iter().any(|(after, to)| update_id > *after && update_id <= *to)
    }
}

/// Last update id of a recorded depth message.
fn update_id(json: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(json).ok()?["u"].as_u64()
}

/// Runs over `span` of the recording, or all of it. Signals and operator actions come from `live` where it is given.
pub fn run(
    config: &RunConfig,
    recording: &Recording,
    spans: Spans,
    span: Option<DurationNs>,
    live: Option<&Live>,
) -> Result<Outcome, String> {
    let start = live.map_or(recording.base(), |live| live.start);
    let shift_ms = recording.shift_ms(start);
    let (core, _) = engine::build_core(config)?;
    let mut engine = Engine {
        sequencer: Sequencer::new(core, IncidentLog::default(), 0, TimeNs::MIN),
        batch: CommandBatch::with_capacity(1024),
        given: Vec::new(),
        market_frames: 0,
        inputs: 0,
        resync: None,
    };
    let Spans { feed, order, report } = spans;
    let latency = Latency { order, report, sent: DurationNs(0), feed };
    let sim_config = SimConfig { source: config::ORDERS, exchange: Default::default(), latency };
    // The session is up a little before the market starts, as in a live run.
    let open = TimeNs(start.0 - 1_000_000_000);
    let mut sim = SimExchange::new(&config.core.instruments.0, sim_config, open);
    let mut counters = ApplyCounters::default();
    let mut primed = Ok(());
    sim.data(open, |exchange, _| primed = recording.prime(exchange, InstrumentId(0), shift_ms, &mut counters));
    primed.map_err(|error| chain(&error))?;

    let mut machine = FeedMachine::new(&config.feed, &config.core.instruments);
    let mut edge = Edge::default();
    let (mut frame, mut commands) = (FrameBuf::new(), Vec::new());
    let epoch = FrameBuf::of(sources::CORE, 1, &EpochStart { epoch: 1, ..Default::default() }, &[]);
    engine.feed(epoch.bytes(), open, &mut commands)?;
    for socket in 0..machine.sockets_count() {
        machine.on_connected(socket, now(open), &mut edge);
    }
    let injected: Vec<&Vec<u8>> =
        live.map(|live| live.inputs.iter().filter(|bytes| is_injected(bytes)).collect()).unwrap_or_default();
    let mut injected = injected.into_iter().peekable();
    let mut losses = live.map(Losses::of).unwrap_or_default();
    let mut started = false;
    let mut snapshot_at = None;
    let mut text = Vec::new();
    let mut messages = 0;
    let mut played_to = start;
    for idx in recording.first_played()..recording.messages().len() {
        let message = &recording.messages()[idx];
        let offset = message.recv.since(recording.base());
        if span.is_some_and(|span| offset > span) {
            break;
        }
        messages += 1;
        played_to = start.saturating_add(offset);
        let at = start.saturating_add(offset).saturating_add(feed);
        // Inputs of the outside that came before this message.
        while let Some(bytes) = injected.next_if(|bytes| time_of(bytes) <= at) {
            let when = time_of(bytes);
            run_until(&mut sim, &mut engine, when, &mut frame, &mut commands)?;
            commands.clear();
            engine.feed(bytes, when, &mut commands)?;
            send(&mut sim, &commands, when);
        }
        if let Some(due) = snapshot_at.filter(|due| *due <= at) {
            snapshot_at = None;
            run_until(&mut sim, &mut engine, due, &mut frame, &mut commands)?;
            let body = snapshot(&sim, config);
            let received = Received { bytes: body.as_bytes(), ts_user: due, ts_kernel: None };
            machine.on_snapshot(InstrumentId(0), Some(received), now(due), &mut edge);
            deliver(&mut engine, &mut edge, &mut sim, due, &mut commands)?;
        }
        run_until(&mut sim, &mut engine, at, &mut frame, &mut commands)?;
        sim.data(at, |exchange, venue_now| {
            recording.apply(idx, exchange, InstrumentId(0), shift_ms, venue_now, &mut counters)
        });
        run_until(&mut sim, &mut engine, at, &mut frame, &mut commands)?;
        if machine.next_deadline().is_some_and(|due| due <= at) {
            machine.on_time(now(at), &mut edge);
        }
        if message.kind == StreamKind::Depth
            && !losses.lost.is_empty()
            && update_id(recording.data(idx)).is_some_and(|id| losses.has(id))
        {
            continue; // the run never had this message
        }
        text.clear();
        recording.shifted_data(idx, shift_ms, &mut text);
        let received = Received { bytes: &text, ts_user: at, ts_kernel: None };
        machine.on_message(socket_of(config, message.kind), received, now(at), &mut edge);
        deliver(&mut engine, &mut edge, &mut sim, at, &mut commands)?;
        if let Some(resync) = engine.resync.take() {
            machine.on_command(&resync, now(at), &mut edge);
            deliver(&mut engine, &mut edge, &mut sim, at, &mut commands)?;
        }
        if edge.wanted {
            edge.wanted = false;
            // The first book is asked for at the start; the rebuilds after gaps took what they took.
            let after = if started { losses.rebuilds.pop_front() } else { None };
            started = true;
            snapshot_at.get_or_insert(at.saturating_add(after.unwrap_or(SNAPSHOT_AFTER)));
        }
    }
    for bytes in injected {
        let when = time_of(bytes);
        run_until(&mut sim, &mut engine, when, &mut frame, &mut commands)?;
        commands.clear();
        engine.feed(bytes, when, &mut commands)?;
        send(&mut sim, &commands, when);
    }
    let report = engine.sequencer.core().report();
    let incidents = engine.sequencer.into_parts().1.incidents;
    Ok(Outcome { report, incidents, commands: engine.given, messages, played_to, start, inputs: engine.inputs })
}

fn now(at: TimeNs) -> Now {
    Now { engine: at, wall: at }
}

fn deliver(
    engine: &mut Engine,
    edge: &mut Edge,
    sim: &mut SimExchange,
    at: TimeNs,
    commands: &mut Vec<Command>,
) -> Result<(), String> {
    for bytes in core::mem::take(&mut edge.frames) {
        commands.clear();
        engine.feed(&bytes, at, commands)?;
        send(sim, commands, at);
    }
    Ok(())
}

fn send(sim: &mut SimExchange, commands: &[Command], at: TimeNs) {
    for command in commands {
        sim.on_command(command, at);
    }
}

/// The socket that carries messages of this kind, by the configuration's stream names.
fn socket_of(config: &RunConfig, kind: StreamKind) -> usize {
    let carries = |socket: &tercel_binance::SocketConfig| {
        socket.streams.iter().any(|name| StreamKind::of_name(name) == Some(kind))
    };
    config.feed.sockets.iter().position(carries).unwrap_or(0)
}

/// The REST answer of the venue, from the book of the matching.
fn snapshot(sim: &SimExchange, config: &RunConfig) -> String {
    let Some(matcher) = sim.exchange().matcher(InstrumentId(0)) else { return String::new() };
    let instrument = matcher.instrument();
    let side = |side: Side| {
        let rows: Vec<String> = matcher
            .depth(side, config.feed.snapshot_levels as usize)
            .iter()
            .map(|(px, qty)| {
                format!("[\"{}\",\"{}\"]", instrument.price_step.text_of(px.0), instrument.lot.text_of(qty.0))
            })
            .collect();
        rows.join(",")
    };
    format!(
        "{{\"lastUpdateId\":{},\"bids\":[{}],\"asks\":[{}]}}",
        matcher.depth_id(),
        side(Side::Buy),
        side(Side::Sell)
    )
}

/// Inputs of a live run that a backtest cannot make itself: signals and operator actions.
fn is_injected(bytes: &[u8]) -> bool {
    Frame::parse(bytes).is_ok_and(|frame| {
        matches!(
            frame.kind(),
            Ok(FrameKind::Signal
                | FrameKind::ParamSet
                | FrameKind::LimitSet
                | FrameKind::Mode
                | FrameKind::Kill
                | FrameKind::Rearm)
        )
    })
}

fn time_of(bytes: &[u8]) -> TimeNs {
    Frame::parse(bytes).map_or(TimeNs::MAX, |frame| frame.header.ts_seq)
}
