//! Neither engine allocates in `on_instant`, `next_deadline`, `digest` or an accepted `set_param`: a counting allocator
//! watches a program with modes, windows, rings, rules and timers. The allocator is shown to see an allocation.
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use tercel_event::{ClockSource, Desires, Field, Input, Instant, Manifest, ParamSpec, Strategy};
use tercel_graph::{Action, ClockSet, Cmp, Event, Init, Interp, Mode, Op, Program, Rule, StateVar, Trigger, Ty};
use tercel_types::{DurationNs, TimeNs};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to `System` unchanged; the counter is a thread-local `Cell` without destructor, so
// counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `alloc` above, that is from `System`, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn program() -> (Program, Manifest) {
    let fields = [Field::BidPx(0), Field::BidQty(0), Field::AskPx(0), Field::AskQty(0)];
    let manifest = Manifest {
        inputs: fields.map(|field| Input::Instrument { instrument: 0, field }).into(),
        clocks: vec![ClockSource::Book(0), ClockSource::Timer],
        params: vec![ParamSpec { name: "edge".into(), unit: String::new(), default: 1.0, lo: 0.0, hi: 9.0 }],
        ..Manifest::default()
    };
    let mut p = Program::default();
    let book = ClockSet::base(0);
    p.modes = ["flat", "long"].map(|name| Mode { name: name.into(), values: vec![] }).into();
    p.modes[1].values.push(Ty::F64);
    p.states.push(StateVar { name: "n".into(), ty: Ty::F64, init: Init::F64(0.0), persist: false });
    let every = p.timer(DurationNs(1_000)).unwrap();
    let touch = [0, 1, 2, 3].map(|idx| p.push_on(Op::Input(idx), &[], book).unwrap());
    let flow = p.push_on(Op::Ofi, &touch, book).unwrap();
    let sum = p.push_on(Op::WindowSum { panes: 8, pane_ns: 500, full: true }, &[flow], book).unwrap();
    let sampled = p.push_on(Op::Sample, &[sum], every).unwrap();
    let sd = p.push_on(Op::EwStd { halflife_ns: 20_000, ready: 3 }, &[sampled], every).unwrap();
    let before = p.push_on(Op::History { k: 3 }, &[touch[0]], book).unwrap();
    let edge = p.push(Op::Param(0), &[]).unwrap();
    let bound = p.push(Op::Mul, &[edge, sd]).unwrap();
    let up = p.push(Op::CrossesAbove, &[sum, bound]).unwrap();
    let down = p.push(Op::Cmp(Cmp::Lt), &[sum, bound]).unwrap();
    let count = p.push(Op::State(0), &[]).unwrap();
    let one = p.push(Op::Const(1.0), &[]).unwrap();
    let next = p.push(Op::Add, &[count, one]).unwrap();
    let mut rule = |mode, trigger, actions| p.rules.push(Rule { name: "r".into(), mode: Some(mode), trigger, actions });
    let enter = Trigger::On { event: Event::Pulse(up), guard: None };
    rule(0, enter, vec![Action::Go { mode: 1, args: vec![before] }, Action::Next { state: 0, value: next }]);
    rule(1, Trigger::When(down), vec![Action::Go { mode: 0, args: vec![] }]);
    (p, manifest)
}

/// Drives a strategy over `instants`; how often its mode changed, and how many allocations its calls made.
fn drive(strategy: &mut dyn Strategy, instants: u64) -> (u64, u64) {
    let mut out = Desires::for_manifest(strategy.manifest());
    let (mut switches, mut allocations, mut was_flat) = (0, 0, true);
    for seq in 0..instants {
        let word = tercel_event::mix64(seq);
        let gap = word.is_multiple_of(97);
        let inputs = [0, 1, 2, 3].map(|at| if gap { f64::NAN } else { f64::from((word >> (8 * at)) as u8 % 5) });
        let instant =
            Instant { seq, now: TimeNs(seq as i64 * 130), ticks: 1 + (word & 2), inputs: &inputs, signal_times: &[] };
        let before = ALLOCATIONS.get();
        strategy.on_instant(&instant, &mut out);
        if seq % 50 == 0 {
            strategy.set_param(0, (word % 3) as f64).unwrap();
        }
        black_box((strategy.next_deadline(), strategy.digest()));
        allocations += ALLOCATIONS.get() - before;
        let flat = strategy.mode_name() == "flat";
        switches += u64::from(flat != was_flat);
        was_flat = flat;
    }
    (switches, allocations)
}

#[test]
fn no_engine_allocates_after_construction() {
    let (program, manifest) = program();
    let mut jit = tercel_jit::compile(program.clone(), manifest.clone()).unwrap();
    let mut interp = Interp::new(program, manifest).unwrap();
    let instants = 50_000;
    let (switches, allocations) = drive(&mut jit, instants);
    assert!(switches > 100, "the tape must exercise the modes, saw {switches} switches");
    assert_eq!(allocations, 0, "machine code");
    assert_eq!(drive(&mut interp, instants), (switches, 0), "interpreter");
}

#[test]
fn the_allocator_sees_an_allocation() {
    let before = ALLOCATIONS.get();
    black_box(Box::new(7));
    assert!(ALLOCATIONS.get() > before);
}
