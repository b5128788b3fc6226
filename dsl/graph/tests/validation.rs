//! What is not a program is refused with its reason; what is has its costs and its pinned numbers.
use tercel_event::{ClockSource, Manifest};
use tercel_graph::{Action, ClockSet, Event, GraphError, Init, NodeId, Op, Program, Rule, StateVar, Trigger, Ty, math};
use tercel_types::DurationNs;

fn manifest() -> Manifest {
    Manifest { clocks: vec![ClockSource::Book(0), ClockSource::Timer], ..Manifest::default() }
}

#[test]
fn operands_are_checked_by_number_type_and_order() {
    let mut p = Program::default();
    let one = p.push(Op::Const(1.0), &[]).unwrap();
    let yes = p.push(Op::ConstBool(true), &[]).unwrap();
    assert_eq!(p.push(Op::Add, &[one]), Err(GraphError::Arity { op: "add", want: 2, got: 1 }));
    assert!(matches!(p.push(Op::Add, &[one, yes]), Err(GraphError::Type { op: "add", idx: 1, .. })));
    assert!(matches!(p.push(Op::If, &[yes, one, yes]), Err(GraphError::Type { op: "if", idx: 2, .. })));
    assert_eq!(p.push(Op::Neg, &[NodeId(7)]), Err(GraphError::Order { op: "neg", idx: 0 }));
    assert!(p.push(Op::Const(f64::NAN), &[]).is_err());
}

#[test]
fn an_operator_that_counts_needs_a_clock() {
    let mut p = Program::default();
    let one = p.push(Op::Const(1.0), &[]).unwrap();
    assert_eq!(p.push(Op::Delta, &[one]), Err(GraphError::NoClock { op: "delta" }));
    assert!(p.push_on(Op::Delta, &[one], ClockSet::base(0)).is_ok());
    assert!(p.push_on(Op::WindowSum { panes: 0, pane_ns: 1, full: true }, &[one], ClockSet::base(0)).is_err());
    assert!(p.push_on(Op::WindowSum { panes: 8, pane_ns: i64::MAX, full: true }, &[one], ClockSet::base(0)).is_err());
}

#[test]
fn a_clock_that_does_not_exist_is_refused() {
    let mut p = Program::default();
    let one = p.push(Op::Const(1.0), &[]).unwrap();
    p.push_on(Op::Delta, &[one], ClockSet::base(2)).unwrap();
    assert!(p.validate(&manifest()).is_err());
    let mut p = Program::default();
    let event = Event::Clocks(ClockSet::timer(0));
    p.rules.push(Rule { name: "r".into(), mode: None, trigger: Trigger::On { event, guard: None }, actions: vec![] });
    assert!(p.validate(&manifest()).is_err());
    p.timer(DurationNs(1)).unwrap();
    assert_eq!(p.validate(&manifest()), Ok(()));
}

#[test]
fn next_must_fit_its_variable() {
    let mut p = Program::default();
    p.states.push(StateVar { name: "s".into(), ty: Ty::Bool, init: Init::Absent, persist: false });
    let one = p.push(Op::Const(1.0), &[]).unwrap();
    let actions = vec![Action::Next { state: 0, value: one }];
    let trigger = Trigger::On { event: Event::Clocks(ClockSet::base(0)), guard: None };
    p.rules.push(Rule { name: "r".into(), mode: None, trigger, actions });
    assert!(matches!(p.validate(&manifest()), Err(GraphError::Part { what: "rule", idx: 0, .. })));
}

#[test]
fn equal_periods_share_a_timer_and_there_are_fifteen() {
    let mut p = Program::default();
    assert_eq!(p.timer(DurationNs(5)), p.timer(DurationNs(5)));
    for period in 6..20 {
        p.timer(DurationNs(period)).unwrap();
    }
    assert!(matches!(p.timer(DurationNs(100)), Err(GraphError::TooMany { .. })));
    assert!(p.timer(DurationNs(0)).is_err());
}

#[test]
fn the_report_counts_what_is_there() {
    let mut p = Program::default();
    let x = p.push(Op::Const(1.0), &[]).unwrap();
    let every = p.timer(DurationNs(1_000)).unwrap();
    p.push_on(Op::WindowSum { panes: 10, pane_ns: 1_000, full: true }, &[x], ClockSet::base(0)).unwrap();
    p.push_on(Op::EwStd { halflife_ns: 1_000, ready: 3 }, &[x], every).unwrap();
    let report = p.report(&manifest());
    assert_eq!((report.nodes, report.timers, report.deadlines), (3, 1, 1));
    assert_eq!(report.state_bytes, 8 * (16 + 5 + 1 + 4));
    // Book: the window ticks, the deviation holds. Timer clock of the core: both hold. Period: the deviation ticks.
    assert_eq!(report.ops_per_clock, [13, 7, 42]);
    let readiness = p.nodes[2].op.readiness().unwrap();
    assert_eq!(readiness.ready_after_ticks, 3);
    assert_eq!(readiness.settles_after_ns, 19_931);
}

/// The bits of the pinned functions; a new version of `libm` that moves one is a new artefact.
#[test]
fn pinned_math_is_golden() {
    let mut digest = tercel_event::Chain::default();
    let mut x = 1e-300;
    while x < 1e300 {
        digest.word(math::ln(x).to_bits());
        digest.word(math::exp(x.min(700.0)).to_bits());
        digest.word(math::exp(-x.min(700.0)).to_bits());
        x *= 1.37;
    }
    assert_eq!(math::ln(2.0).to_bits(), 0x3fe6_2e42_fefa_39ef);
    assert_eq!(math::exp(1.0).to_bits(), 0x4005_bf0a_8b14_576a);
    assert_eq!(digest.0, GOLDEN, "{:#x}", digest.0);
}

const GOLDEN: u64 = 0xce13_46c6_263e_e5bd;

#[test]
fn spans_round_to_even_and_saturate() {
    assert_eq!(math::span_ns(1.5e-9), Some(2));
    assert_eq!(math::span_ns(2.5e-9), Some(2));
    assert_eq!(math::span_ns(-1.0), Some(-1_000_000_000));
    assert_eq!(math::span_ns(1e300), Some(1 << 61));
    assert_eq!(math::span_ns(f64::NAN), None);
}
