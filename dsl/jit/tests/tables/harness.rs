//! Reads a table and plays it on both engines.
use std::collections::BTreeMap;

use tercel_event::{
    ClockSource, Control, Desires, Field, Input, Instant, InstrumentBinding, LimitSpec, Manifest, Metric, NO_OWNER,
    ParamSpec, SignalBinding, SinkSpec, Strategy, Via,
};
use tercel_graph::{Action, ClockSet, Event, Init, Interp, NodeId, Op, Program, Rule, Sink, StateVar, Trigger, Ty};
use tercel_types::{DurationNs, TimeNs};

pub const BOOK: ClockSet = ClockSet::base(0);
pub const TRADES: ClockSet = ClockSet::base(1);
const CLOCK_LETTERS: &str = "btesTp";

/// A graph under construction, with the names of its columns.
#[derive(Default)]
pub struct Graph {
    pub program: Program,
    manifest: Manifest,
    columns: BTreeMap<String, Column>,
}

#[derive(Clone, Copy)]
enum Column {
    Input(usize),
    SignalTime(usize),
    Param(usize),
    /// Slot, and whether it shows a Bool.
    Slot(usize, bool),
}

impl Graph {
    fn new() -> Self {
        let mut graph = Self::default();
        graph.manifest.clocks = vec![
            ClockSource::Book(0),
            ClockSource::Trades(0),
            ClockSource::Exec(0),
            ClockSource::Signal(0),
            ClockSource::Timer,
            ClockSource::Param,
        ];
        graph.manifest.messages = vec!["first".into(), "second".into()];
        graph.manifest.instruments = vec![InstrumentBinding {
            alias: "x".into(),
            kind: "perp".into(),
            base: "BTC".into(),
            quote: "USDT".into(),
        }];
        graph
    }

    pub fn input(&mut self, name: &str) -> NodeId {
        self.input_on(name, BOOK)
    }

    pub fn input_on(&mut self, name: &str, clocks: ClockSet) -> NodeId {
        let idx = self.manifest.inputs.len();
        self.manifest.inputs.push(Input::Instrument { instrument: 0, field: Field::BidPx(0) });
        self.columns.insert(name.into(), Column::Input(idx));
        self.program.push_on(Op::Input(idx as u16), &[], clocks).expect("input")
    }

    pub fn signal(&mut self, name: &str, max_age_ns: i64) -> NodeId {
        let (input, signal) = (self.manifest.inputs.len(), self.manifest.signals.len());
        self.manifest.inputs.push(Input::Signal { signal: signal as u16 });
        let max_age = DurationNs(max_age_ns);
        self.manifest.signals.push(SignalBinding { name: name.into(), model: name.into(), schema: 1, max_age });
        self.columns.insert(name.into(), Column::Input(input));
        self.columns.insert(format!("{name}.t"), Column::SignalTime(signal));
        let op = Op::Signal { input: input as u16, signal: signal as u16 };
        self.program.push_on(op, &[], ClockSet::base(3)).expect("signal")
    }

    pub fn param(&mut self, name: &str, default: f64) -> NodeId {
        let idx = self.manifest.params.len();
        let (name, unit) = (name.to_owned(), String::new());
        self.columns.insert(name.clone(), Column::Param(idx));
        self.manifest.params.push(ParamSpec { name, unit, default, lo: -1e9, hi: 1e9 });
        self.op(Op::Param(idx as u16), &[])
    }

    pub fn op(&mut self, op: Op, args: &[NodeId]) -> NodeId {
        self.program.push(op, args).unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn on(&mut self, op: Op, args: &[NodeId], clocks: ClockSet) -> NodeId {
        self.program.push_on(op, args, clocks).unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn number(&mut self, value: f64) -> NodeId {
        self.op(Op::Const(value), &[])
    }

    pub fn every(&mut self, period_ns: i64) -> ClockSet {
        self.program.timer(DurationNs(period_ns)).expect("timer")
    }

    pub fn state(&mut self, ty: Ty, init: Init) -> (u16, NodeId) {
        let idx = self.program.states.len() as u16;
        self.program.states.push(StateVar { name: format!("s{idx}"), ty, init, persist: false });
        (idx, self.op(Op::State(idx), &[]))
    }

    pub fn when(&mut self, mode: Option<u16>, condition: NodeId, actions: &[Action]) {
        self.rule(mode, Trigger::When(condition), actions);
    }

    pub fn on_clock(&mut self, mode: Option<u16>, clocks: ClockSet, guard: Option<NodeId>, actions: &[Action]) {
        self.rule(mode, Trigger::On { event: Event::Clocks(clocks), guard }, actions);
    }

    pub fn rule(&mut self, mode: Option<u16>, trigger: Trigger, actions: &[Action]) {
        let name = format!("r{}", self.program.rules.len());
        self.program.rules.push(Rule { name, mode, trigger, actions: actions.to_vec() });
    }

    fn slot(&mut self) -> usize {
        self.manifest.values_len += 1;
        self.manifest.values_len - 1
    }

    /// A column for a node's value.
    pub fn show(&mut self, name: &str, node: NodeId) {
        let is_bool = self.program.ty(node) == Ty::Bool;
        let bound = if is_bool {
            let (yes, no) = (self.number(1.0), self.number(0.0));
            self.op(Op::If, &[node, yes, no])
        } else {
            node
        };
        let bound_slot = self.slot();
        self.program.limits.push(bound);
        self.manifest.limits.push(LimitSpec { metric: Metric::LossPerDay, bound_slot, verdicts: vec![] });
        self.columns.insert(name.into(), Column::Slot(bound_slot, is_bool));
    }

    /// `target x = value while guard`, with a column for what is desired while it owns x.
    pub fn target(&mut self, name: &str, mode: Option<u16>, guard: Option<NodeId>, value: NodeId) {
        let (slot, max_slip_slot) = (self.slot(), self.slot());
        self.manifest.sinks.push(SinkSpec::Target { instrument: 0, slot, via: Via::Aggressive { max_slip_slot } });
        self.program.sinks.push(Sink { mode, guard, outputs: vec![(slot, value)] });
        self.columns.insert(name.into(), Column::Slot(slot, false));
    }
}

/// Plays the table on both engines; panics with the line and column that differ.
pub fn play(build: impl Fn(&mut Graph), text: &str) {
    let mut graph = Graph::new();
    build(&mut graph);
    let (program, manifest) = (graph.program.clone(), graph.manifest.clone());
    let interp = Interp::new(program.clone(), manifest.clone()).unwrap_or_else(|e| panic!("{e}"));
    let jit = tercel_jit::compile(program, manifest).unwrap_or_else(|e| panic!("{e}"));
    let counts = |counts: &mut dyn Iterator<Item = (u64, u64)>| {
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    };
    run(&graph, text, "interpreter", interp, |s| counts(&mut s.rule_counts()));
    run(&graph, text, "machine code", jit, |s| counts(&mut s.rule_counts()));
}

fn run<S: Strategy>(graph: &Graph, text: &str, engine: &str, mut strategy: S, counts: impl Fn(&S) -> (u64, u64)) {
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let header: Vec<&str> = lines.next().expect("a header").split_whitespace().collect();
    let mut inputs = vec![f64::NAN; graph.manifest.inputs.len()];
    let mut times = vec![TimeNs::MIN; graph.manifest.signals.len()];
    let mut out = Desires::for_manifest(&graph.manifest);
    let mut rows = 0;
    for line in lines {
        rows += 1;
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells.len(), header.len(), "`{line}` does not fit `{}`", header.join(" "));
        let parted = header.iter().position(|c| *c == "|").expect("a `|`");
        let (mut now, mut ticks) = (0, 0);
        for (column, cell) in header[..parted].iter().zip(&cells) {
            match (*column, graph.columns.get(*column)) {
                ("at", _) => now = time(cell),
                ("ticks", _) => ticks = letters(cell),
                _ if *cell == "=" => {}
                (_, Some(Column::Input(idx))) => inputs[*idx] = number(cell),
                (_, Some(Column::SignalTime(idx))) => times[*idx] = TimeNs(time(cell)),
                (_, Some(Column::Param(idx))) => strategy.set_param(*idx, number(cell)).expect("in range"),
                _ => panic!("no column `{column}`"),
            }
        }
        let instant = Instant { seq: rows, now: TimeNs(now), ticks, inputs: &inputs, signal_times: &times };
        strategy.on_instant(&instant, &mut out);
        for (column, want) in header[parted + 1..].iter().zip(&cells[parted + 1..]) {
            let got = match *column {
                "mode" => strategy.mode_name().to_owned(),
                "owner" if out.owners[0] == NO_OWNER => ".".to_owned(),
                "owner" => out.owners[0].to_string(),
                "control" => control(out.control),
                "deadline" => match strategy.next_deadline() {
                    Some(at) if at.0 == time(want) => (*want).to_owned(),
                    Some(at) => at.0.to_string(),
                    None => "-".to_owned(),
                },
                "left" => format!("{},{}", counts(&strategy).0, counts(&strategy).1),
                name => shown(&graph.columns, name, &out, want),
            };
            assert_eq!(&got, want, "{engine}, `{line}`, column `{column}`");
        }
    }
    assert!(rows > 0, "an empty table shows nothing");
}

fn shown(columns: &BTreeMap<String, Column>, name: &str, out: &Desires, want: &str) -> String {
    let Some(Column::Slot(slot, is_bool)) = columns.get(name) else { panic!("no column `{name}`") };
    let value = out.values[*slot];
    if value.is_nan() {
        return "-".to_owned();
    }
    if *is_bool {
        return if value == 1.0 { "T" } else { "F" }.to_owned();
    }
    let near = want.strip_prefix('~').map(number).is_some_and(|w| (value - w).abs() <= 1e-12 * w.abs());
    let same = want.parse::<f64>().is_ok_and(|w| w.to_bits() == value.to_bits());
    if near || same { want.to_owned() } else { value.to_string() }
}

fn control(control: Control) -> String {
    match control {
        Control::Run => "run".to_owned(),
        Control::Halt(message) => format!("halt{message}"),
        Control::Finish(message) => format!("finish{message}"),
        Control::Livelock => "livelock".to_owned(),
    }
}

fn number(cell: &str) -> f64 {
    if cell == "-" { f64::NAN } else { cell.parse().unwrap_or_else(|_| panic!("`{cell}` is not a number")) }
}

/// `1s+250ms+1`; `-` never.
fn time(cell: &str) -> i64 {
    if cell == "-" {
        return i64::MIN;
    }
    let part = |part: &str| {
        let digits = part.trim_end_matches(char::is_alphabetic);
        let unit = match &part[digits.len()..] {
            "" | "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            unit => panic!("unit `{unit}`"),
        };
        digits.parse::<i64>().unwrap_or_else(|_| panic!("`{cell}` is not a time")) * unit
    };
    cell.split('+').map(part).sum()
}

fn letters(cell: &str) -> u64 {
    cell.chars()
        .filter(|c| *c != '.')
        .map(|c| 1 << CLOCK_LETTERS.find(c).unwrap_or_else(|| panic!("clock `{c}`")))
        .sum()
}
