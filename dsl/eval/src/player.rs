//! Plays events on the core, one after the other, and tells what every instant of the strategy came to.
use crate::cause::{Cause, Causes, World, closure};
use crate::engine::{Heard, Probed};
use crate::log::Log;
use crate::setup::{FEED, ORDERS};
use crate::venue::Venue;
use crate::{Engine, Event, Setup};
use std::sync::mpsc::{Receiver, channel};
use tercel_core::{CommandBatch, Core, MemoryLog, Replayer, Sequencer};
use tercel_event::{
    Body, BookSnapshot, Command, CommandKind, Control, EpochStart, FeedEvent, FeedStatus, FrameBuf, Kill, Level,
    Manifest, Mode, Note, ParamSet, Rearm, Scope, SessionEvent, Signal, Trade, sources,
};
use tercel_graph::{ClockSet, NodeId, Program, Value};
use tercel_lang::Compiled;
use tercel_types::{InstrumentId, SourceId, StrategyId, TimeNs};

/// A named value of the strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    node: NodeId,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub engine: Engine,
    /// Keeps the whole log, so that `restart` works; costs memory per event.
    pub can_restart: bool,
}

/// One instant of the strategy: per column its value, and whether this is an instant of that value.
#[derive(Clone, Debug)]
pub struct Instant {
    pub seq: u64,
    pub now: TimeNs,
    pub values: Vec<Value>,
    /// The cause of each absent value.
    pub causes: Vec<Option<Cause>>,
    /// Whether a clock of the value ticked in this instant, or the value changed.
    pub ticked: Vec<bool>,
    pub mode: String,
    pub control: Control,
    /// Rules fired and blocked since the start.
    pub fired: u64,
    pub blocked: u64,
}

/// Everything that one event led to.
#[derive(Debug, Default)]
pub struct Step {
    pub instants: Vec<Instant>,
    /// Which of them is the event's own: not of a timer that was due before, not of an answer of the venue.
    pub own: Option<usize>,
    pub commands: Vec<Command>,
    pub notes: Vec<Note>,
}

/// Answers to answers within one event, at most.
const ANSWERS_MAX: usize = 10_000;

/// One strategy on one engine, from its first event on.
pub struct Player {
    program: Program,
    manifest: Manifest,
    pub setup: Setup,
    options: Options,
    columns: Vec<Column>,
    seq: Option<Sequencer<Log>>,
    heard: Receiver<Heard>,
    venue: Venue,
    batch: CommandBatch,
    causes: Causes,
    /// Per column, in the instant before.
    before: Vec<Option<Value>>,
    timers_next_ns: Vec<i64>,
    started: bool,
    stopped: bool,
    feed_seq: u64,
    update_id: u64,
    epoch: u32,
    now: TimeNs,
}

impl Player {
    /// `names` are to be told, in this order; they are those of `let`s, `mode.name` where two modes have the same one.
    pub fn new(compiled: &Compiled, names: &[String], setup: Setup, options: Options) -> Result<Self, String> {
        let columns = names.iter().map(|name| column(compiled, name)).collect::<Result<Vec<_>, _>>()?;
        let mut program = compiled.program.clone();
        program.probes = closure(&program, columns.iter().map(|column| column.node));
        let manifest = compiled.manifest.clone();
        let (causes, venue) = (Causes::new(&program), Venue::new(ORDERS, manifest.instruments.len()));
        let (sender, heard) = channel();
        let mut player = Self {
            before: vec![None; columns.len()],
            timers_next_ns: vec![0; program.timers.len()],
            program,
            manifest,
            setup,
            options,
            columns,
            seq: None,
            heard,
            venue,
            batch: CommandBatch::with_capacity(64),
            causes,
            started: false,
            stopped: false,
            feed_seq: 0,
            update_id: 0,
            epoch: 1,
            now: TimeNs(0),
        };
        let core = player.core(sender)?;
        let log = Log { frames: options.can_restart.then(MemoryLog::default), ..Log::default() };
        player.seq = Some(Sequencer::new(core, log, 0, TimeNs::MIN));
        Ok(player)
    }

    fn core(&self, heard: std::sync::mpsc::Sender<Heard>) -> Result<Core, String> {
        // Of a warm start the strategy sees the last frame alone, the one that opens the gate of the session.
        let first_seq = if self.setup.warm { 3 + 3 * self.manifest.instruments.len() as u64 } else { 0 };
        let (program, manifest) = (self.program.clone(), self.manifest.clone());
        let probed = Probed::new(self.options.engine, program, manifest, heard, first_seq)?;
        let config = self.setup.config(&self.manifest)?;
        Core::new(config, vec![Box::new(probed)])
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The core as it stands.
    pub fn state(&self) -> &Core {
        self.sequencer().core()
    }

    fn sequencer(&self) -> &Sequencer<Log> {
        self.seq.as_ref().expect("a sequencer is there except during a restart")
    }

    /// The run begins: a first epoch, and with a warm setup a live feed with an empty book and a reconciled session. The
    /// strategy's first instant is then the one in which the account is reconciled.
    pub fn start(&mut self, at: TimeNs) -> Result<Step, String> {
        let mut step = Step::default();
        self.now = at;
        self.body(sources::CORE, &EpochStart { epoch: self.epoch, ..Default::default() }, &[], &mut step)?;
        if self.setup.warm {
            for instrument in 0..self.manifest.instruments.len() {
                self.feed_status(instrument, FeedEvent::Connected, &mut step)?;
                self.book(instrument, &[], &[], &mut step)?;
                self.feed_status(instrument, FeedEvent::Recovered, &mut step)?;
            }
            self.session(true, &mut step)?;
        }
        self.settle(&mut step)?;
        // The first event shows every value, whether it has changed since or not.
        self.before.fill(None);
        Ok(step)
    }

    /// One event at `at`, after everything due by then. Errors are about the event; nothing else can go wrong.
    pub fn play(&mut self, at: TimeNs, event: &Event) -> Result<Step, String> {
        let mut step = Step::default();
        if *event == Event::Restart {
            // A process that is dead fires nothing.
            self.now = self.now.max(at);
        } else {
            self.wait(at, &mut step)?;
        }
        let first = step.instants.len();
        self.apply(event, &mut step)?;
        step.own = (step.instants.len() > first && !matches!(event, Event::Timer)).then_some(first);
        self.settle(&mut step)?;
        Ok(step)
    }

    /// Fires what is due by `at`, with the venue answering in between.
    fn wait(&mut self, at: TimeNs, step: &mut Step) -> Result<(), String> {
        while let Some(due) = self.sequencer().next_deadline().filter(|due| *due <= at) {
            self.now = self.now.max(due);
            let (now, batch) = (self.now, &mut self.batch);
            let seq = self.seq.as_mut().expect("a sequencer is there except during a restart");
            seq.tick(now, batch).map_err(|error| error.to_string())?;
            self.collect(step);
            self.settle(step)?;
        }
        self.now = self.now.max(at);
        Ok(())
    }

    fn apply(&mut self, event: &Event, step: &mut Step) -> Result<(), String> {
        let (operator, strategy) = (sources::OPERATOR, StrategyId(0));
        let id = |instrument: usize| InstrumentId(instrument as u32);
        match *event {
            Event::Book { instrument, ref bids, ref asks } => self.book(instrument, bids, asks, step),
            Event::Trade { instrument, px, qty, side } => {
                let trade = Trade {
                    instrument: id(instrument),
                    aggressor: side.map_or(0, |side| side as u8),
                    px,
                    qty,
                    ts_exchange: self.now,
                    ts_recv: self.now,
                    ..Default::default()
                };
                self.body(FEED, &trade, &[], step)
            }
            Event::Signal { signal, value, features_ns } => {
                let own = &self.manifest.signals[signal];
                let signals = &self.state().config().signals;
                let place = signals.iter().position(|s| s.name == own.model && s.schema == own.schema);
                let body = Signal {
                    signal: place.unwrap_or(0) as u32,
                    valid: u32::from(value.is_some()),
                    value: value.unwrap_or(f64::NAN),
                    ts_features: features_ns.map_or(self.now, TimeNs),
                    ts_published: self.now,
                    ..Default::default()
                };
                self.body(sources::SIGNALS, &body, &[], step)
            }
            Event::Fill { instrument, side, qty, px } => {
                let fills = self.venue.fill(id(instrument), side, qty, px, self.now).map_err(|working| {
                    let own = &self.setup.instruments[instrument];
                    let word = if side == tercel_types::Side::Buy { "buy" } else { "sell" };
                    format!(
                        "a fill needs a working {word} order in `{}`: {} are open, {} are to be filled",
                        own.alias,
                        own.lot.f64_of(working.0),
                        own.lot.f64_of(qty.0)
                    )
                })?;
                fills.iter().try_for_each(|frame| self.frame(frame, step))
            }
            Event::Feed { instrument, event } => self.feed_status(instrument, event, step),
            Event::Phase { instrument, phase } => {
                let event = FeedEvent::Phase as u8;
                let body = FeedStatus { instrument: id(instrument), event, phase: phase as u8, ..Default::default() };
                self.body(FEED, &FeedStatus { ts_recv: self.now, ..body }, &[], step)
            }
            Event::Param { param, value } => {
                let body = ParamSet { strategy, param_idx: param as u16, value, ..Default::default() };
                self.body(operator, &body, &[], step)
            }
            Event::Timer => Ok(()),
            Event::Session { up } => self.session(up, step),
            Event::Venue(word) => {
                self.venue.tell(word);
                Ok(())
            }
            Event::Operator(state) => {
                let body = Mode { state: state as u8, scope: Scope::All as u8, ..Default::default() };
                self.body(operator, &body, &[], step)
            }
            Event::Kill => self.body(operator, &Kill { scope: Scope::All as u8, ..Default::default() }, &[], step),
            Event::Rearm => self.body(operator, &Rearm { strategy, ..Default::default() }, &[], step),
            Event::Restart => self.restart(step),
        }
    }

    fn feed_status(&mut self, instrument: usize, event: FeedEvent, step: &mut Step) -> Result<(), String> {
        let (instrument, event) = (InstrumentId(instrument as u32), event as u8);
        self.body(FEED, &FeedStatus { instrument, event, ts_recv: self.now, ..Default::default() }, &[], step)
    }

    fn book(&mut self, instrument: usize, bids: &[Level], asks: &[Level], step: &mut Step) -> Result<(), String> {
        self.venue.show_book(instrument, bids, asks);
        self.update_id += 1;
        let head = BookSnapshot {
            instrument: InstrumentId(instrument as u32),
            bids_count: bids.len() as u32,
            asks_count: asks.len() as u32,
            last_update_id: self.update_id,
            ts_exchange: self.now,
            ts_recv: self.now,
            ..Default::default()
        };
        let levels = [bids, asks].concat();
        self.body(FEED, &head, bytemuck::cast_slice(&levels), step)
    }

    fn session(&mut self, up: bool, step: &mut Step) -> Result<(), String> {
        let event = if up { SessionEvent::LoggedOn } else { SessionEvent::Disconnected };
        let frame = self.venue.session(event);
        self.frame(&frame, step)
    }

    /// Another process: the log is walked from its start on a core and a strategy of their own, then a new epoch begins.
    fn restart(&mut self, step: &mut Step) -> Result<(), String> {
        let (sender, heard) = channel();
        let fresh = self.core(sender)?;
        let log = self.seq.take().expect("a sequencer is there except during a restart").into_parts().1;
        let Some(frames) = &log.frames else { return Err("this play keeps no log to restart from".into()) };
        let mut replay = Replayer::new(fresh);
        for frame in frames.frames() {
            replay.replay_frame(frame).map_err(|difference| format!("the replay differs: {difference}"))?;
        }
        self.seq = Some(replay.resume(log).map_err(|error| error.to_string())?);
        // What the replay told is known.
        while heard.try_recv().is_ok() {}
        self.heard = heard;
        self.epoch += 1;
        let (epoch, restart) = (self.epoch, 1);
        self.body(sources::CORE, &EpochStart { epoch, restart, ..Default::default() }, &[], step)
    }

    fn body<B: Body>(&mut self, src: SourceId, body: &B, tail: &[u8], step: &mut Step) -> Result<(), String> {
        self.feed_seq += 1;
        let frame = FrameBuf::of(src, self.feed_seq, body, tail);
        self.frame(&frame, step)
    }

    fn frame(&mut self, frame: &FrameBuf, step: &mut Step) -> Result<(), String> {
        let (now, batch) = (self.now, &mut self.batch);
        let seq = self.seq.as_mut().expect("a sequencer is there except during a restart");
        seq.feed(frame.bytes(), now, batch).map_err(|error| error.to_string())?;
        self.collect(step);
        Ok(())
    }

    /// The venue answers until there is nothing to answer.
    fn settle(&mut self, step: &mut Step) -> Result<(), String> {
        for _ in 0..ANSWERS_MAX {
            let Some(answers) = self.venue.answer(self.now) else { return Ok(()) };
            for frame in answers {
                self.frame(&frame, step)?;
            }
        }
        Err(format!("orders and answers do not settle within {ANSWERS_MAX} answers at one time"))
    }

    /// Takes what the core sent and the strategy told since the last call.
    fn collect(&mut self, step: &mut Step) {
        for command in self.batch.as_slice() {
            if command.kind != CommandKind::Resync as u8 {
                self.venue.take(command);
            }
            step.commands.push(*command);
        }
        self.batch.clear();
        let seq = self.seq.as_mut().expect("a sequencer is there except during a restart");
        step.notes.append(&mut seq.sink_mut().notes);
        while let Ok(heard) = self.heard.try_recv() {
            let instant = self.hear(heard);
            step.instants.push(instant);
        }
    }

    fn hear(&mut self, heard: Heard) -> Instant {
        let ticks = self.ticks(&heard);
        let was_stopped = std::mem::replace(&mut self.stopped, heard.control != Control::Run);
        if !was_stopped {
            let core = self.seq.as_ref().expect("a sequencer is there except during a restart").core();
            let world = Outside { core, manifest: &self.manifest };
            self.causes.instant(&self.program, &self.manifest, &heard.values, ticks, &world);
        }
        let place = |node: NodeId| self.program.probes.binary_search(&node).unwrap_or(0);
        let (mut values, mut causes, mut ticked) = (Vec::new(), Vec::new(), Vec::new());
        for (column, before) in self.columns.iter().zip(&mut self.before) {
            let node = self.program.node(column.node);
            if was_stopped {
                values.push(Value::absent(node.ty));
                causes.push(Some(Cause::Stopped));
                ticked.push(false);
                continue;
            }
            let value = heard.values[place(column.node)];
            let changed = before.replace(value).is_none_or(|before| before.word() != value.word());
            values.push(value);
            causes.push((!value.is_present()).then(|| self.causes.of(column.node)));
            ticked.push(changed || node.clocks.intersects(ticks));
        }
        let Heard { seq, now, mode, control, fired, blocked, .. } = heard;
        Instant { seq, now, values, causes, ticked, mode, control, fired, blocked }
    }

    /// Clocks of the instant: those of the manifest, and the periods that came due.
    fn ticks(&mut self, heard: &Heard) -> ClockSet {
        let mut ticks = ClockSet(heard.ticks & ((1 << self.manifest.clocks.len()) - 1));
        for (idx, (next, period)) in self.timers_next_ns.iter_mut().zip(&self.program.timers).enumerate() {
            if self.started && heard.now.0 >= *next {
                ticks |= ClockSet::timer(idx);
            }
            if !self.started || heard.now.0 >= *next {
                *next = (heard.now.0 / period.0 + 1) * period.0;
            }
        }
        self.started = true;
        ticks
    }
}

pub(crate) fn column(compiled: &Compiled, name: &str) -> Result<Column, String> {
    let full = |own: &tercel_lang::Named| own.mode.as_ref().map(|mode| format!("{mode}.{}", own.name));
    let found: Vec<_> =
        compiled.names.iter().filter(|own| own.name == name || full(own).as_deref() == Some(name)).collect();
    match found.as_slice() {
        [one] => Ok(Column { name: name.into(), node: one.node }),
        [] => {
            let known: Vec<_> = compiled.names.iter().map(|own| own.name.as_str()).collect();
            let known = if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
            Err(format!("the strategy has no `let {name}`; {known}"))
        }
        several => {
            let known: Vec<_> = several.iter().filter_map(|own| full(own)).collect();
            Err(format!("`{name}` is in several modes; write {}", known.join(" or ")))
        }
    }
}

/// What is outside the graph, as the core has it.
struct Outside<'a> {
    core: &'a Core,
    manifest: &'a Manifest,
}

impl World for Outside<'_> {
    fn book_is_live(&self, instrument: u16) -> bool {
        self.core.book(InstrumentId(instrument.into())).is_some_and(|book| book.is_live())
    }

    fn reconciled(&self) -> bool {
        self.core.report().sessions.iter().all(|(_, gate)| *gate == tercel_core::Gate::Open)
    }

    fn has_traded(&self, instrument: u16) -> bool {
        self.core.book(InstrumentId(instrument.into())).is_some_and(|book| book.last_trade().is_some())
    }

    fn signal(&self, signal: u16) -> (Option<f64>, Option<i64>) {
        let Some(own) = self.manifest.signals.get(signal as usize) else { return (None, None) };
        let signals = &self.core.config().signals;
        let place = signals.iter().position(|s| s.name == own.model && s.schema == own.schema);
        match place.and_then(|place| self.core.signal(place)) {
            Some((value, time)) => (Some(value).filter(|v| v.is_finite()), Some(time.0).filter(|ns| *ns >= 0)),
            None => (None, None),
        }
    }
}
