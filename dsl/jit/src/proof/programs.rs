//! Random well-typed programs, generated as graphs: every operator, modes, rules, sinks, limits.
use tercel_event::{
    ClockSource, Field, Input, InstrumentBinding, LimitSpec, Manifest, Metric, ParamSpec, SignalBinding, SinkSpec, Via,
};
use tercel_graph::{
    Action, ClockSet, Cmp, Event, Init, Mode, NodeId, Op, Program, Rule, Sink, StateVar, TimeBase, Trigger, Ty,
};
use tercel_types::DurationNs;

use super::rng::Rng;

/// Inputs of every program: four fields of a book, one of the ledger, two signals.
pub(super) const INPUTS: usize = 7;
pub(super) const SIGNALS: usize = 2;
pub(super) const PARAMS: usize = 3;
/// Book, trades, signal, exec, timer, param.
pub(super) const CLOCKS: usize = 6;
pub(super) const TIMER_CLOCK: u64 = 1 << 4;

const SPANS_S: [f64; 8] = [0.0, 1e-9, 5e-9, 1e-6, 2.5e-4, 1.0, -1.0, 1e300];
const TYS: [Ty; 4] = [Ty::F64, Ty::F64, Ty::Bool, Ty::Time];

pub(super) fn random(rng: &mut Rng) -> (Program, Manifest) {
    let mut manifest = Manifest {
        name: "random".into(),
        instruments: vec![instrument("x"), instrument("y")],
        inputs: [Field::BidPx(0), Field::BidQty(0), Field::AskPx(0), Field::AskQty(0), Field::Position]
            .map(|field| Input::Instrument { instrument: 0, field })
            .into_iter()
            .chain((0..SIGNALS as u16).map(|signal| Input::Signal { signal }))
            .collect(),
        clocks: vec![
            ClockSource::Book(0),
            ClockSource::Trades(0),
            ClockSource::Signal(0),
            ClockSource::Exec(0),
            ClockSource::Timer,
            ClockSource::Param,
        ],
        signals: [0, 1]
            .map(|idx| SignalBinding {
                name: format!("s{idx}"),
                model: String::new(),
                schema: 1,
                max_age: DurationNs(rng.pick(&[0, 1, 40, 1_000, 1_000_000])),
            })
            .into(),
        params: (0..PARAMS)
            .map(|idx| ParamSpec {
                name: format!("p{idx}"),
                unit: String::new(),
                default: rng.finite(),
                lo: f64::MIN,
                hi: f64::MAX,
            })
            .collect(),
        messages: vec!["stop".into(), "done".into()],
        ..Manifest::default()
    };
    let mut program = Program::default();
    declare(rng, &mut program);
    nodes(rng, &mut program);
    let rules = rng.below(6);
    program.rules = (0..rules).map(|idx| rule(rng, &program, idx)).collect();
    outputs(rng, &mut program, &mut manifest);
    (program, manifest)
}

fn instrument(alias: &str) -> InstrumentBinding {
    InstrumentBinding { alias: alias.into(), kind: "perp".into(), base: "BTC".into(), quote: "USDT".into() }
}

fn declare(rng: &mut Rng, program: &mut Program) {
    for _ in 0..rng.below(4) {
        let period = rng.pick(&[1, 7, 1_000, 250_000, 1_000_000]);
        program.timer(DurationNs(period)).expect("few periods");
    }
    for idx in 0..rng.below(4) {
        let ty = rng.pick(&TYS);
        let init = match ty {
            _ if rng.one_in(3) => Init::Absent,
            Ty::F64 if rng.one_in(2) => Init::Param(0),
            Ty::F64 => Init::F64(rng.finite()),
            Ty::Bool => Init::Bool(rng.one_in(2)),
            Ty::Time => Init::Time(rng.below(1 << 40) as i64),
        };
        program.states.push(StateVar { name: format!("v{idx}"), ty, init, persist: false });
    }
    for idx in 0..rng.pick(&[0, 2, 3, 4]) {
        let values = if idx == 0 { 0 } else { usize::from(idx == 1) + rng.below(2) };
        program.modes.push(Mode { name: format!("m{idx}"), values: (0..values).map(|_| rng.pick(&TYS)).collect() });
    }
}

fn nodes(rng: &mut Rng, program: &mut Program) {
    let base = |idx: usize| ClockSet::base(idx);
    for idx in 0..5 {
        let clock = if idx < 4 { base(0) } else { base(3) };
        program.push_on(Op::Input(idx), &[], clock).expect("input");
    }
    for signal in 0..SIGNALS as u16 {
        program.push_on(Op::Signal { input: 5 + signal, signal }, &[], base(2)).expect("signal");
    }
    let number = rng.finite();
    program.push(Op::Const(number), &[]).expect("const");
    program.push(Op::ConstBool(true), &[]).expect("const");
    program.push(Op::Now, &[]).expect("now");
    let count = 20 + rng.below(50);
    while program.nodes.len() < count {
        let op = operator(rng, program);
        if let Some(args) = operands(rng, program, op) {
            let clocks = if op.needs_clock() { clocks(rng, program) } else { ClockSet::NONE };
            program.push_on(op, &args, clocks).expect("the generator keeps to the types");
        }
    }
}

fn clocks(rng: &mut Rng, program: &Program) -> ClockSet {
    let mut clocks = ClockSet::base(rng.below(CLOCKS));
    if !program.timers.is_empty() && rng.one_in(2) {
        clocks = ClockSet::timer(rng.below(program.timers.len()));
    }
    if rng.one_in(4) {
        clocks |= ClockSet::base(rng.below(CLOCKS));
    }
    if rng.one_in(8) {
        clocks |= ClockSet::COMMIT;
    }
    clocks
}

fn operator(rng: &mut Rng, program: &Program) -> Op {
    let halflife_ns = rng.pick(&[1, 1_000, 1_000_000, 20_000_000_000]);
    let ready = rng.pick(&[0, 1, 2, 5]);
    let n = rng.pick(&[1, 2, 3, 4, 7]);
    let cmp = rng.pick(&[Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge]);
    let pick = |rng: &mut Rng, of: usize| rng.below(of.max(1)) as u16;
    match rng.below(86) {
        0 => Op::Const(rng.finite()),
        1 => Op::ConstBool(rng.one_in(2)),
        2 => Op::Absent(rng.pick(&TYS)),
        3 => Op::Param(pick(rng, PARAMS)),
        4 => Op::SignalAge(pick(rng, SIGNALS)),
        5 => Op::Now,
        6 => Op::Elapsed,
        7 if !program.states.is_empty() => Op::State(pick(rng, program.states.len())),
        8 if !program.modes.is_empty() => {
            // The initial mode has no values.
            let mode = pick(rng, program.modes.len()).max(1);
            match program.modes[mode as usize].values.len() {
                0 => Op::InMode(mode),
                values => Op::ModeValue { mode, idx: pick(rng, values) },
            }
        }
        9 if !program.modes.is_empty() => Op::InMode(pick(rng, program.modes.len())),
        10 => Op::Tick,
        11..=12 => Op::Neg,
        13 => Op::Abs,
        14 => Op::Sqrt,
        15 => Op::Ln,
        16 => Op::Exp,
        17 => Op::Floor,
        18 => Op::Ceil,
        19 => Op::Round,
        20 => Op::CheckInt,
        21..=22 => Op::Add,
        23..=24 => Op::Sub,
        25..=26 => Op::Mul,
        27 => Op::Div,
        28 => Op::PowI(rng.below(129) as i32 - 64),
        29 => Op::PowI(rng.below(9) as i32 - 4),
        30 => Op::Min,
        31 => Op::Max,
        32 => Op::Clamp,
        33..=35 => Op::Cmp(cmp),
        36 => Op::Cmp(Cmp::Eq),
        37 => Op::Cmp(Cmp::Ne),
        38 => Op::Not,
        39..=40 => Op::And,
        41..=42 => Op::Or,
        43..=44 => Op::If,
        45 => Op::Coalesce,
        46 => Op::Present,
        47 => Op::TimeAdd,
        48 => Op::TimeSub,
        49 => Op::Deadline { base: TimeBase::Now, cmp },
        50..=51 => Op::Deadline { base: TimeBase::Elapsed, cmp },
        52 => Op::Deadline { base: TimeBase::Age(pick(rng, SIGNALS)), cmp },
        53 => Op::Sample,
        54..=55 => Op::History { k: 1 + rng.below(4) as u32 },
        56 => Op::Delta,
        57 => Op::Ema { alpha: rng.pick(&[1.0, 0.5, 0.1, 1e-9]), seed: rng.pick(&[1, 1, 2, 4]), ready },
        58 => Op::EwMean { halflife_ns, ready },
        59 => Op::EwVarRate { halflife_ns, ready },
        60 => Op::EwStd { halflife_ns, ready },
        61..=63 => Op::WindowSum {
            panes: 1 + rng.below(5) as u32,
            pane_ns: rng.pick(&[1, 40, 1_000, 100_000, 1_000_000]),
            full: rng.one_in(2),
        },
        64 => Op::Ofi,
        65..=66 => Op::CrossesAbove,
        67 => Op::CrossesBelow,
        68 => Op::Hysteresis,
        72 => Op::Adapt,
        73 => Op::Skip { n: 1 + rng.below(5) as u32 },
        74 => Op::Total,
        75..=76 => Op::RollSum { n },
        77 => Op::RollWeighted { n },
        78..=79 => Op::RollSquares { n },
        80 => Op::RollMax { n },
        81 => Op::RollMin { n },
        82 => Op::RollSinceMax { n },
        83 => Op::RollSinceMin { n },
        84 => Op::Lag { n },
        85 => Op::Hold,
        69..=70 if !program.modes.is_empty() => Op::ModeValue { mode: 1, idx: 0 },
        _ => Op::Changed,
    }
}

/// Any node of the type, the later the likelier; inputs now and then.
fn any(rng: &mut Rng, program: &Program, ty: Ty) -> Option<NodeId> {
    if ty == Ty::F64 && rng.one_in(3) {
        return Some(NodeId(rng.below(INPUTS) as u32));
    }
    let of: Vec<usize> = (0..program.nodes.len()).filter(|idx| program.nodes[*idx].ty == ty).collect();
    let back = rng.below(of.len().max(1)).min(rng.below(of.len().max(1)));
    of.iter().rev().nth(back).map(|idx| NodeId(*idx as u32))
}

fn operands(rng: &mut Rng, program: &Program, op: Op) -> Option<Vec<NodeId>> {
    let ty = rng.pick(&TYS);
    let ordered = rng.pick(&[Ty::F64, Ty::F64, Ty::Time]);
    let value = rng.pick(&[Ty::F64, Ty::Bool]);
    let tys: &[Ty] = match op {
        Op::Neg | Op::Abs | Op::Sqrt | Op::Ln | Op::Exp | Op::Floor | Op::Ceil | Op::Round => &[Ty::F64],
        Op::CheckInt | Op::PowI(_) | Op::Delta | Op::Ema { .. } | Op::EwMean { .. } => &[Ty::F64],
        Op::EwVarRate { .. } | Op::EwStd { .. } | Op::WindowSum { .. } => &[Ty::F64],
        Op::Skip { .. } | Op::Lag { .. } | Op::Total => &[Ty::F64],
        op if op.roll_len().is_some() => &[Ty::F64],
        Op::Adapt => &[Ty::F64; 2],
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Min | Op::Max => &[Ty::F64; 2],
        Op::CrossesAbove | Op::CrossesBelow => &[Ty::F64; 2],
        Op::Clamp | Op::Hysteresis => &[Ty::F64; 3],
        Op::Ofi => &[Ty::F64; 4],
        Op::Cmp(_) => &[ordered; 2],
        Op::Not => &[Ty::Bool],
        Op::And | Op::Or => &[Ty::Bool; 2],
        Op::If => &[Ty::Bool, ty, ty],
        Op::Coalesce => &[ty; 2],
        Op::Present | Op::Sample | Op::Hold | Op::History { .. } => &[ty],
        Op::TimeAdd => &[Ty::Time, Ty::F64],
        Op::Deadline { base: TimeBase::Now, .. } => &[Ty::Time],
        Op::Deadline { .. } => &[Ty::F64],
        Op::TimeSub => &[Ty::Time; 2],
        Op::Changed => &[value],
        _ => &[],
    };
    // The order book's own four fields make sense of a flow; anything else is mostly absent.
    if op == Op::Ofi && !rng.one_in(4) {
        return Some([0, 1, 2, 3].map(NodeId).to_vec());
    }
    tys.iter().map(|ty| any(rng, program, *ty)).collect()
}

fn rule(rng: &mut Rng, program: &Program, idx: usize) -> Rule {
    let condition = |rng: &mut Rng| any(rng, program, Ty::Bool).expect("a literal at least");
    let guard = |rng: &mut Rng| rng.one_in(2).then(|| condition(rng));
    let trigger = match rng.below(4) {
        0..=1 => Trigger::When(condition(rng)),
        2 => Trigger::On { event: Event::Clocks(clocks(rng, program)), guard: guard(rng) },
        _ => Trigger::On { event: Event::Pulse(condition(rng)), guard: guard(rng) },
    };
    let mode = (!program.modes.is_empty() && !rng.one_in(3)).then(|| rng.below(program.modes.len()) as u16);
    let actions = (0..1 + rng.below(3)).filter_map(|_| action(rng, program)).collect();
    Rule { name: format!("r{idx}"), mode, trigger, actions }
}

fn action(rng: &mut Rng, program: &Program) -> Option<Action> {
    match rng.below(24) {
        0..=9 if !program.modes.is_empty() => {
            let mode = rng.below(program.modes.len());
            let values = &program.modes[mode].values;
            let args = values.iter().map(|ty| any(rng, program, *ty)).collect::<Option<Vec<_>>>()?;
            Some(Action::Go { mode: mode as u16, args })
        }
        10..=20 if !program.states.is_empty() => {
            let state = rng.below(program.states.len());
            let value = any(rng, program, program.states[state].ty)?;
            Some(Action::Next { state: state as u16, value })
        }
        21 if !program.states.is_empty() => Some(Action::Clear { state: rng.below(program.states.len()) as u16 }),
        22 if rng.one_in(8) => Some(Action::Halt { message: 0 }),
        23 if rng.one_in(8) => Some(Action::Finish { message: 1 }),
        _ => Some(Action::Note { message: 0, args: vec![] }),
    }
}

/// Sinks, and limits whose bounds show a third of the nodes.
fn outputs(rng: &mut Rng, program: &mut Program, manifest: &mut Manifest) {
    let mut slot = 0;
    let mut take = || {
        slot += 1;
        slot - 1
    };
    for _ in 0..1 + rng.below(4) {
        let mode = (!program.modes.is_empty() && rng.one_in(2)).then(|| rng.below(program.modes.len()) as u16);
        let guard = rng.one_in(2).then(|| any(rng, program, Ty::Bool).expect("a literal at least"));
        let (value, slip) = (take(), take());
        let node = |rng: &mut Rng| any(rng, program, Ty::F64).expect("an input at least");
        let outputs = vec![(value, node(rng)), (slip, node(rng))];
        let via = Via::Aggressive { max_slip_slot: slip };
        manifest.sinks.push(SinkSpec::Target { instrument: rng.below(2) as u16, slot: value, via });
        program.sinks.push(Sink { mode, guard, outputs });
    }
    let (yes, no) = (program.push(Op::Const(1.0), &[]), program.push(Op::Const(0.0), &[]));
    let (yes, no) = (yes.expect("const"), no.expect("const"));
    let shown: Vec<NodeId> = (0..program.nodes.len() as u32).map(NodeId).filter(|_| rng.one_in(3)).collect();
    for node in shown {
        let bound = match program.ty(node) {
            Ty::F64 => node,
            Ty::Bool => program.push(Op::If, &[node, yes, no]).expect("if"),
            Ty::Time => continue,
        };
        program.limits.push(bound);
        manifest.limits.push(LimitSpec { metric: Metric::LossPerDay, bound_slot: take(), verdicts: vec![] });
    }
    manifest.values_len = take();
}

/// Bounds of deadlines in the range of the tape's steps: made constant inputs of the tape.
pub(super) fn span(rng: &mut Rng) -> f64 {
    rng.pick(&SPANS_S)
}
