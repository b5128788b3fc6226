//! A backtest with the latencies of a run: the journal says when the engine had each input and after which recorded message
//! the venue had each request; what the venue answered is computed anew by the same matching.
use super::{Given, Outcome};
use crate::config::{self, RunConfig};
use crate::engine::{self, chain};
use crate::incidents::IncidentLog;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use tercel_core::{CommandBatch, Sequencer};
use tercel_event::{CancelReject, Command, CommandKind, ExecReport, Frame, FrameBuf, FrameKind};
use tercel_journal::Recovery;
use tercel_sim::{Latency, SimConfig, SimExchange};
use tercel_types::{DurationNs, InstrumentId, TimeNs};
use tercel_venue::{ApplyCounters, Arrival, Recording, StreamKind, read_arrivals};

/// The journal of a run in memory.
pub struct Live {
    /// Input frames in order, timers left out: the sequencer makes them again.
    pub inputs: Vec<Vec<u8>>,
    pub commands: Vec<Given>,
    pub arrivals: Vec<Arrival>,
    /// When the recording started.
    pub start: TimeNs,
}

pub fn read(dir: &Path, config: &RunConfig) -> Result<Live, String> {
    let log = engine::log_path(config);
    let mut recovery =
        Recovery::open(&dir.join("journal"), log.exists().then_some(log.as_path())).map_err(|error| chain(&error))?;
    let mut live = Live {
        inputs: Vec::new(),
        commands: Vec::new(),
        arrivals: Vec::new(),
        start: config.start_at.unwrap_or_default(),
    };
    let mut market_frames = 0;
    while let Some(bytes) = recovery.next_frame().map_err(|error| chain(&error))? {
        let Ok(frame) = Frame::parse(bytes) else { continue };
        if is_market(&frame) {
            market_frames += 1;
        }
        match frame.kind() {
            Ok(FrameKind::Command) => {
                if let Ok(command) = frame.body::<Command>() {
                    live.commands.push(Given { command, at: frame.header.ts_seq, market_frames });
                }
            }
            Ok(FrameKind::Timer) => {}
            _ if frame.is_derived() => {}
            _ => live.inputs.push(bytes.to_vec()),
        }
    }
    let venue = dir.parent().unwrap_or(dir).join("venue");
    live.arrivals = read_arrivals(&venue)
        .map_err(|error| format!("{}; the venue's log stands beside the run's directory", chain(&error)))?;
    Ok(live)
}

/// Frames by which instants of two runs are compared: best quotes and trades, which every run of a recording has in full. Depth
/// is left out, because a book that is rebuilt skips messages and adds snapshots.
pub fn is_market(frame: &Frame<'_>) -> bool {
    matches!(frame.kind(), Ok(FrameKind::Bbo | FrameKind::Trade))
}

const NONE: Latency = Latency { order: DurationNs(0), report: DurationNs(0), sent: DurationNs(0), feed: DurationNs(0) };

/// The venue of the backtest, stepped as far as the next answer needs.
struct Side<'a> {
    sim: SimExchange,
    recording: &'a Recording,
    next: usize,
    shift_ms: i64,
    start: TimeNs,
    counters: ApplyCounters,
    answers: VecDeque<FrameBuf>,
}

impl Side<'_> {
    /// The next execution report or cancel reject, from as many recorded messages as it takes.
    fn next_answer(&mut self) -> Option<FrameBuf> {
        loop {
            self.collect();
            if let Some(answer) = self.answers.pop_front() {
                return Some(answer);
            }
            let message = self.recording.messages().get(self.next)?;
            let at = self.start.saturating_add(message.recv.since(self.recording.base()));
            let (idx, shift_ms) = (self.next, self.shift_ms);
            let Self { sim, recording, counters, .. } = self;
            sim.data(at, |exchange, now| recording.apply(idx, exchange, InstrumentId(0), shift_ms, now, counters));
            self.next += 1;
        }
    }

    fn collect(&mut self) {
        let mut frame = FrameBuf::new();
        while self.sim.pop(TimeNs::MAX, &mut frame).is_some() {
            if matches!(frame.frame().kind(), Ok(FrameKind::ExecReport | FrameKind::CancelReject)) {
                self.answers.push_back(frame.clone());
            }
        }
    }
}

/// Runs; also returns the commands of the live run, to compare with.
pub fn run(config: &RunConfig, dir: &Path, recording: &Recording) -> Result<(Outcome, Vec<Given>), String> {
    let live = read(dir, config)?;
    let known = known_ids(recording);
    let (core, _) = engine::build_core(config)?;
    let mut sequencer = Sequencer::new(core, IncidentLog::default(), 0, TimeNs::MIN);
    let sim_config = SimConfig { source: config::ORDERS, exchange: Default::default(), latency: NONE };
    let mut side = Side {
        sim: SimExchange::new(&config.core.instruments.0, sim_config, live.start),
        recording,
        next: recording.first_played(),
        shift_ms: recording.shift_ms(live.start),
        start: live.start,
        counters: ApplyCounters::default(),
        answers: VecDeque::new(),
    };
    let shift_ms = side.shift_ms;
    let mut primed = Ok(());
    {
        let Side { sim, counters, .. } = &mut side;
        sim.data(live.start, |exchange, _| primed = recording.prime(exchange, InstrumentId(0), shift_ms, counters));
    }
    primed.map_err(|error| chain(&error))?;
    let mut arrivals: VecDeque<&Arrival> = live.arrivals.iter().collect();
    let mut commands = Vec::new();
    let mut batch = CommandBatch::with_capacity(1024);
    let mut market_frames = 0;
    let mut frame_buf = FrameBuf::new();
    for bytes in &live.inputs {
        let frame = Frame::parse(bytes).map_err(|error| format!("the journal holds what is no frame: {error}"))?;
        let at = frame.header.ts_seq;
        check_recorded(&frame, &known)?;
        if is_market(&frame) {
            market_frames += 1;
        }
        let is_answer = matches!(frame.kind(), Ok(FrameKind::ExecReport | FrameKind::CancelReject));
        let own = if is_answer && !is_repeat(&frame) { side.next_answer() } else { None };
        match own {
            Some(answer) => {
                if !received_as(&frame, &answer, &mut frame_buf) {
                    let seq = frame.header.seq;
                    return Err(format!(
                        "seq {seq}: the venue answered with {:?}, the matching of the backtest with {:?}",
                        frame.kind(),
                        answer.frame().kind()
                    ));
                }
            }
            None if is_answer && !is_repeat(&frame) => {
                return Err(format!(
                    "seq {}: the venue answered here, the matching of the backtest has nothing to say",
                    frame.header.seq
                ));
            }
            None => {
                frame_buf.copy_from(bytes);
            }
        }
        sequencer.feed(frame_buf.bytes(), at, &mut batch).map_err(|error| error.to_string())?;
        for command in batch.as_slice() {
            commands.push(Given { command: *command, at: command.ts, market_frames });
            if command.dest != config::ORDERS {
                continue;
            }
            // The venue had a request when its log says so. One that it never had was lost with a connection.
            let id = request_id(command);
            if let Some(place) = arrivals.iter().position(|arrival| arrival.request == id) {
                let after = arrivals[place].after;
                arrivals.remove(place);
                side.sim.on_command_after(command, command.ts, after);
            }
        }
        batch.clear();
    }
    let inputs = live.inputs.len() as u64;
    let last = side.next.saturating_sub(1).max(recording.first_played());
    let played_to = recording
        .messages()
        .get(last)
        .map_or(live.start, |message| live.start.saturating_add(message.recv.since(recording.base())));
    let outcome = Outcome {
        report: sequencer.core().report(),
        incidents: std::mem::take(&mut sequencer.sink_mut().incidents),
        commands,
        messages: (side.next - recording.first_played()) as u64,
        played_to,
        start: live.start,
        inputs,
    };
    Ok((outcome, live.commands))
}

/// The backtest's answer with the stamps and numbers that the session gave the recorded one; `false` when the two are not
/// even of one kind.
fn received_as(recorded: &Frame<'_>, answer: &FrameBuf, out: &mut FrameBuf) -> bool {
    let (source, src_seq) = (recorded.header.src, recorded.header.src_seq);
    if let (Ok(theirs), Ok(mut ours)) = (recorded.body::<ExecReport>(), answer.frame().body::<ExecReport>()) {
        (ours.ts_recv, ours.msg_seq_num) = (theirs.ts_recv, theirs.msg_seq_num);
        return out.write(source, src_seq, 0, &ours, &[]);
    }
    if let (Ok(theirs), Ok(mut ours)) = (recorded.body::<CancelReject>(), answer.frame().body::<CancelReject>()) {
        (ours.ts_recv, ours.msg_seq_num) = (theirs.ts_recv, theirs.msg_seq_num);
        return out.write(source, src_seq, 0, &ours, &[]);
    }
    false
}

/// The id under which the venue logged a request.
fn request_id(command: &Command) -> tercel_sim::ClientId {
    let text = command.cl_ord_id.to_ascii();
    tercel_sim::ClientId::new(&text).unwrap_or_default()
}

/// A report that was sent again after a reconnect: the core has it already.
fn is_repeat(frame: &Frame<'_>) -> bool {
    frame.body::<ExecReport>().is_ok_and(|report| report.poss_dup == 1)
}

/// Ids of the recorded messages by kind.
fn known_ids(recording: &Recording) -> [BTreeSet<u64>; 3] {
    let mut known = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
    for idx in 0..recording.messages().len() {
        let kind = recording.messages()[idx].kind;
        let (at, key) = match kind {
            StreamKind::Depth => (0, "u"),
            StreamKind::BookTicker => (1, "u"),
            StreamKind::Trade => (2, "t"),
        };
        let value: Option<serde_json::Value> = serde_json::from_slice(recording.data(idx)).ok();
        if let Some(id) = value.as_ref().and_then(|value| value[key].as_u64()) {
            known[at].insert(id);
        }
    }
    known
}

/// A market data frame must stand in the recording, or this is the wrong file.
fn check_recorded(frame: &Frame<'_>, known: &[BTreeSet<u64>; 3]) -> Result<(), String> {
    let (at, id) = match frame.kind() {
        Ok(FrameKind::BookDelta) => (0, frame.book_delta().map(|(head, _)| head.last_update_id)),
        Ok(FrameKind::Bbo) => (1, frame.body::<tercel_event::Bbo>().map(|body| body.update_id)),
        Ok(FrameKind::Trade) => (2, frame.body::<tercel_event::Trade>().map(|body| body.trade_id)),
        _ => return Ok(()),
    };
    match id {
        Ok(id) if known[at].contains(&id) => Ok(()),
        Ok(id) => Err(format!(
            "seq {}: message {id} is not in the recording; give the file that the run was played from with --data",
            frame.header.seq
        )),
        Err(error) => Err(format!("seq {}: {error}", frame.header.seq)),
    }
}

/// Kinds of commands that a venue takes as requests.
pub fn is_request(command: &Command) -> bool {
    matches!(CommandKind::from_u8(command.kind), Some(CommandKind::New | CommandKind::Cancel | CommandKind::Replace))
}
