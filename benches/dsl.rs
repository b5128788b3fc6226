//! A market maker's instant in machine code, by hand and in the interpreter, and what compiling costs:
//! `cargo bench -p tercel-benches --bench dsl`
//!
//!   dsl/instant/as_maker/*   one `Strategy::on_instant`: inputs to desired quotes. `by_hand` is the same formulas in Rust
//!                            behind the same trait, through a pointer; it is the floor. Every quote must be equal, bit
//!                            for bit
//!   dsl/compile/as_maker/*   graph to callable code; `first` in a fresh process, the others median of many
//!   dsl/compile/nodes_*      the same for graphs of that many nodes
//!
//! Three quarters of the instants are book ticks, the rest trades; the timer of the variance ticks every 25th instant.
//! Under `cargo test` it runs small.
use std::hint::black_box;

use quanta::Clock;
use tercel_event::{
    ClockSource, Desires, Field, Input, Instant, InstrumentBinding, Manifest, NO_OWNER, ParamError, ParamSpec,
    QuoteWith, SignalBinding, SinkSpec, Strategy, mix64,
};
use tercel_graph::{ClockSet, Cmp, Interp, NodeId, Op, Program, Sink, Ty, math};
use tercel_jit::{JitStrategy, Opt, Options};
use tercel_types::{DurationNs, Side, TimeNs};

const PERIOD_NS: i64 = 250_000_000;
const HALFLIFE_NS: i64 = 2_000_000_000;
const MAX_AGE_NS: i64 = 500_000_000;
const READY: u32 = 8;
const PARAMS: [(&str, f64); 7] =
    [("clip", 0.02), ("max_clips", 5.0), ("tau", 1.0), ("gamma", 0.02), ("kappa", 20.0), ("floor", 0.0), ("lean", 0.5)];

/// Inputs in this order.
const FIELDS: [Field; 8] = [
    Field::BidPx(0),
    Field::BidQty(0),
    Field::AskPx(0),
    Field::AskQty(0),
    Field::OthersBidPx,
    Field::OthersAskPx,
    Field::Position,
    Field::Tick,
];

fn manifest() -> Manifest {
    let param = |(name, default): (&str, f64)| ParamSpec {
        name: name.into(),
        unit: String::new(),
        default,
        lo: f64::MIN,
        hi: f64::MAX,
    };
    let leg = |side| tercel_event::LegSpec { side };
    Manifest {
        name: "as_maker".into(),
        instruments: vec![InstrumentBinding {
            alias: "x".into(),
            kind: "perp".into(),
            base: "BTC".into(),
            quote: "USDT".into(),
        }],
        inputs: FIELDS
            .map(|field| Input::Instrument { instrument: 0, field })
            .into_iter()
            .chain([Input::Signal { signal: 0 }])
            .collect(),
        clocks: vec![ClockSource::Book(0), ClockSource::Trades(0), ClockSource::Timer],
        signals: vec![SignalBinding {
            name: "alpha".into(),
            model: "next_mid".into(),
            schema: 1,
            max_age: DurationNs(MAX_AGE_NS),
        }],
        params: PARAMS.map(param).into(),
        sinks: vec![SinkSpec::Quote {
            instrument: 0,
            legs: vec![leg(Side::Buy), leg(Side::Sell)],
            first_slot: 0,
            with: QuoteWith::default(),
        }],
        values_len: 4,
        ..Manifest::default()
    }
}

/// `strategies/as_maker.strat` as a graph, its limits left out.
fn program() -> Program {
    let mut p = Program::default();
    let book = ClockSet::base(0);
    let every = p.timer(DurationNs(PERIOD_NS)).expect("a timer");
    let mut on = |op, args: &[NodeId], clocks| p.push_on(op, args, clocks).expect("well typed");
    let inputs = [0, 1, 2, 3, 4, 5, 6, 7].map(|idx| on(Op::Input(idx), &[], book));
    let [bid, bid_qty, ask, ask_qty, others_bid, others_ask, position, tick] = inputs;
    let alpha = on(Op::Signal { input: 8, signal: 0 }, &[], ClockSet::NONE);
    let params = [0, 1, 2, 3, 4, 5, 6].map(|idx| on(Op::Param(idx), &[], ClockSet::NONE));
    let [clip, max_clips, tau, gamma, kappa, floor, lean] = params;
    let mut op = |op, args: &[NodeId]| p.push(op, args).expect("well typed");
    let (zero, one, two) = (op(Op::Const(0.0), &[]), op(Op::Const(1.0), &[]), op(Op::Const(2.0), &[]));
    let from_bid = op(Op::Mul, &[bid, ask_qty]);
    let from_ask = op(Op::Mul, &[ask, bid_qty]);
    let weighted = op(Op::Add, &[from_bid, from_ask]);
    let qty = op(Op::Add, &[bid_qty, ask_qty]);
    let micro = op(Op::Div, &[weighted, qty]);
    let forecast = op(Op::Coalesce, &[alpha, zero]);
    let leaned = op(Op::Mul, &[lean, forecast]);
    let factor = op(Op::Add, &[one, leaned]);
    let fair = op(Op::Mul, &[micro, factor]);
    let sampled = p.push_on(Op::Sample, &[fair], every).expect("well typed");
    let rate = Op::EwVarRate { halflife_ns: HALFLIFE_NS, ready: READY };
    let v = p.push_on(rate, &[sampled], every).expect("well typed");
    let mut op = |op, args: &[NodeId]| p.push(op, args).expect("well typed");
    let q = op(Op::Div, &[position, clip]);
    let q_gamma = op(Op::Mul, &[q, gamma]);
    let q_gamma_v = op(Op::Mul, &[q_gamma, v]);
    let shift = op(Op::Mul, &[q_gamma_v, tau]);
    let r = op(Op::Sub, &[fair, shift]);
    let gamma_v = op(Op::Mul, &[gamma, v]);
    let gamma_v_tau = op(Op::Mul, &[gamma_v, tau]);
    let risk = op(Op::Div, &[gamma_v_tau, two]);
    let ratio = op(Op::Div, &[gamma, kappa]);
    let ratio = op(Op::Add, &[one, ratio]);
    let log = op(Op::Ln, &[ratio]);
    let fill = op(Op::Div, &[log, gamma]);
    let wanted = op(Op::Add, &[risk, fill]);
    let least = op(Op::Mul, &[floor, tick]);
    let half = op(Op::Max, &[wanted, least]);
    let below = op(Op::Sub, &[r, half]);
    let above = op(Op::Add, &[r, half]);
    let bid_px = op(Op::Min, &[below, others_bid]);
    let ask_px = op(Op::Max, &[above, others_ask]);
    let most = op(Op::Sub, &[max_clips, one]);
    let fewest = op(Op::Sub, &[one, max_clips]);
    let may_buy = op(Op::Cmp(Cmp::Le), &[q, most]);
    let may_sell = op(Op::Cmp(Cmp::Ge), &[q, fewest]);
    let none = op(Op::Absent(Ty::F64), &[]);
    let bid_leg = op(Op::If, &[may_buy, clip, none]);
    let ask_leg = op(Op::If, &[may_sell, clip, none]);
    p.sinks.push(Sink { mode: None, guard: None, outputs: vec![(0, bid_px), (1, bid_leg), (2, ask_px), (3, ask_leg)] });
    p
}

/// The same strategy as one would write it in Rust: NaN is absent, and finite inputs give finite results here.
struct ByHand {
    manifest: Manifest,
    params: [f64; 7],
    fill: f64,
    next_ns: i64,
    last: f64,
    last_ns: i64,
    v: f64,
    count: u32,
    shown: f64,
}

impl ByHand {
    fn new() -> Self {
        let params = PARAMS.map(|(_, value)| value);
        let [_, _, _, gamma, kappa, ..] = params;
        Self {
            manifest: manifest(),
            params,
            fill: math::ln(1.0 + gamma / kappa) / gamma,
            next_ns: i64::MIN,
            last: f64::NAN,
            last_ns: 0,
            v: 0.0,
            count: 0,
            shown: f64::NAN,
        }
    }

    fn sample(&mut self, fair: f64, now: i64) {
        if self.last.is_nan() || fair.is_nan() {
            (self.last, self.last_ns, self.shown) = (fair, now, f64::NAN);
            return;
        }
        let dt = now - self.last_ns;
        if dt == 0 {
            return;
        }
        let change = fair - self.last;
        let rate = change * change / math::seconds(dt);
        self.v = if self.count == 0 { rate } else { self.v + math::ew_weight(dt, HALFLIFE_NS) * (rate - self.v) };
        (self.last, self.last_ns, self.count) = (fair, now, self.count + 1);
        if self.count >= READY {
            self.shown = self.v;
        }
    }
}

impl Strategy for ByHand {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        let &[bid, bid_qty, ask, ask_qty, others_bid, others_ask, position, tick, alpha] = instant.inputs else {
            return out.owners.fill(NO_OWNER);
        };
        let [clip, max_clips, tau, gamma, _, floor, lean] = self.params;
        let now = instant.now.0;
        let fresh = alpha.is_finite() && now - instant.signal_times[0].0 <= MAX_AGE_NS;
        let alpha = if fresh { alpha } else { 0.0 };
        let fair = (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty) * (1.0 + lean * alpha);
        if self.next_ns == i64::MIN {
            self.next_ns = (now / PERIOD_NS + 1) * PERIOD_NS;
        } else if now >= self.next_ns {
            self.next_ns = (now / PERIOD_NS + 1) * PERIOD_NS;
            self.sample(fair, now);
        }
        let v = self.shown;
        let q = position / clip;
        let r = fair - q * gamma * v * tau;
        let wanted = gamma * v * tau / 2.0 + self.fill;
        let least = floor * tick;
        let half = if least > wanted { least } else { wanted };
        let (below, above) = (r - half, r + half);
        out.owners[0] = 0;
        out.values[0] = if others_bid < below { others_bid } else { below };
        out.values[1] = if q <= max_clips - 1.0 { clip } else { f64::NAN };
        out.values[2] = if others_ask > above { others_ask } else { above };
        out.values[3] = if q >= 1.0 - max_clips { clip } else { f64::NAN };
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        Some(TimeNs(self.next_ns))
    }

    fn set_param(&mut self, _: usize, _: f64) -> Result<(), ParamError> {
        Ok(())
    }

    fn digest(&self) -> u64 {
        0
    }

    fn mode_name(&self) -> &str {
        ""
    }
}

struct Row {
    now: i64,
    ticks: u64,
    inputs: [f64; 9],
    times: [TimeNs; 1],
}

/// A random walk of the touch, 10 ms an instant.
fn tape(len: u64) -> Vec<Row> {
    let mut bid = 60_000.0;
    let row = |at: u64| {
        let word = mix64(at);
        bid += f64::from(word as u8 % 3) / 10.0 - 0.1;
        let qty = |shift: u32| f64::from((word >> shift) as u8) / 1_000.0 + 0.001;
        let now = 1_700_000_000_000_000_000 + at as i64 * 10_000_000;
        let ask = bid + 0.1;
        let position = f64::from((word >> 40) as u8 % 9) / 50.0 - 0.08;
        let alpha = f64::from((word >> 48) as u8) / 1e6;
        let inputs = [bid, qty(8), ask, qty(16), bid, ask, position, 0.1, alpha];
        let ticks = if word >> 62 == 0 { 2 } else { 1 };
        Row { now, ticks, inputs, times: [TimeNs(now - (word >> 56) as i64 * 4_000_000)] }
    };
    (0..len).map(row).collect()
}

fn step(strategy: &mut dyn Strategy, row: &Row, pass: usize, out: &mut Desires) {
    // Each pass over the tape is later by a day, so that time never runs back.
    let later = pass as i64 * 86_400_000_000_000;
    let times = [TimeNs(row.times[0].0 + later)];
    let now = TimeNs(row.now + later);
    let instant = Instant { seq: 0, now, ticks: row.ticks, inputs: &row.inputs, signal_times: &times };
    strategy.on_instant(black_box(&instant), out);
}

/// Every quote of the three is the same; how many legs were wanted.
fn equal(tape: &[Row], strategies: &mut [&mut dyn Strategy]) -> usize {
    let manifest = manifest();
    let mut outs: Vec<Desires> = strategies.iter().map(|_| Desires::for_manifest(&manifest)).collect();
    let mut legs = 0;
    for (at, row) in tape.iter().enumerate() {
        for (strategy, out) in strategies.iter_mut().zip(&mut outs) {
            step(*strategy, row, 0, out);
        }
        for other in &outs[1..] {
            for (a, b) in outs[0].values.iter().zip(&other.values) {
                assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "instant {at}: {a} and {b}");
            }
        }
        legs += outs[0].values.chunks(2).filter(|leg| leg.iter().all(|v| v.is_finite())).count();
    }
    legs
}

/// Nanoseconds per instant: least and median of `runs` passes over the tape.
fn time(clock: &Clock, tape: &[Row], strategy: &mut dyn Strategy, runs: usize) -> (f64, f64) {
    let mut out = Desires::for_manifest(strategy.manifest());
    let mut passes: Vec<f64> = (0..runs)
        .map(|pass| {
            let start = clock.raw();
            for row in tape {
                step(strategy, row, pass + 1, &mut out);
            }
            black_box(&out);
            clock.delta_as_nanos(start, clock.raw()) as f64 / tape.len() as f64
        })
        .collect();
    passes.sort_by(f64::total_cmp);
    (passes[0], passes[passes.len() / 2])
}

fn compile(clock: &Clock, program: &Program, manifest: &Manifest, opt: Opt) -> (f64, JitStrategy) {
    let (program, manifest) = (program.clone(), manifest.clone());
    let start = clock.raw();
    let options = Options { opt, ..Options::default() };
    let jit = tercel_jit::compile_with(program, manifest, options).unwrap_or_else(|e| panic!("{e}"));
    (clock.delta_as_nanos(start, clock.raw()) as f64 / 1e6, jit)
}

fn median_ms(clock: &Clock, program: &Program, manifest: &Manifest, opt: Opt, runs: usize) -> f64 {
    let mut times: Vec<f64> = (0..runs).map(|_| compile(clock, program, manifest, opt).0).collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}

/// A chain of means and compares, as wide as wanted.
fn wide(nodes: usize) -> (Program, Manifest) {
    let mut p = Program::default();
    let book = ClockSet::base(0);
    let mut last = p.push_on(Op::Input(0), &[], book).expect("an input");
    while p.nodes.len() < nodes {
        let mean = p.push_on(Op::Ema { alpha: 0.1, seed: 1, ready: 1 }, &[last], book).expect("well typed");
        last = p.push(Op::Sub, &[last, mean]).expect("well typed");
    }
    (p, Manifest { sinks: vec![], ..manifest() })
}

fn main() {
    let full = std::env::args().any(|arg| arg == "--bench");
    let (len, runs) = if full { (40_000, 41) } else { (2_000, 3) };
    let clock = Clock::new();
    let (program, manifest) = (program(), manifest());
    let (first_ms, mut jit) = compile(&clock, &program, &manifest, Opt::Speed);
    let (_, mut jit_none) = compile(&clock, &program, &manifest, Opt::None);
    let mut by_hand = ByHand::new();
    let mut interp = Interp::new(program.clone(), manifest.clone()).unwrap_or_else(|e| panic!("{e}"));
    let tape = tape(len);
    let legs = equal(&tape, &mut [&mut by_hand, &mut jit, &mut jit_none, &mut interp]);
    assert!(legs > tape.len(), "the maker must quote: {legs} legs");
    println!(
        "{} nodes, {} bytes of code; {legs} legs over {len} instants, equal in all four",
        program.nodes.len(),
        jit.code_bytes()
    );
    println!("{:?}", program.report(&manifest));

    // By hand again last, so that drift of the host shows.
    let floor = time(&clock, &tape, &mut by_hand, runs);
    let mut rows = vec![("by_hand", floor)];
    rows.push(("jit_speed", time(&clock, &tape, &mut jit, runs)));
    rows.push(("jit_none", time(&clock, &tape, &mut jit_none, runs)));
    rows.push(("interpreter", time(&clock, &tape, &mut interp, runs)));
    rows.push(("by_hand_again", time(&clock, &tape, &mut by_hand, runs)));
    for (name, (least, median)) in rows {
        let ratio = median / floor.1;
        println!("dsl/instant/as_maker/{name:<14} min {least:7.1} ns  median {median:7.1} ns  {ratio:5.2} x by_hand");
    }
    println!("dsl/compile/as_maker/first          {first_ms:8.2} ms");
    for (name, opt) in [("speed", Opt::Speed), ("none", Opt::None)] {
        println!("dsl/compile/as_maker/{name:<14} {:8.2} ms", median_ms(&clock, &program, &manifest, opt, runs));
        for nodes in if full { vec![100, 200, 400, 1_000] } else { vec![100] } {
            let (program, manifest) = wide(nodes);
            let ms = median_ms(&clock, &program, &manifest, opt, 5);
            println!("dsl/compile/nodes_{nodes:<5}{name:<12} {ms:8.2} ms");
        }
    }
}
