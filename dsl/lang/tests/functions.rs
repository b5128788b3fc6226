//! `fn`, `indicator` and modules: what a call means. What is refused, and how it is told, is in `tests/golden`.
use std::collections::BTreeMap;
use tercel_event::{Desires, Instant, Manifest, Strategy};
use tercel_graph::{Interp, Op};
use tercel_lang::{Compiled, Modules, bundle, compile, compile_with};
use tercel_types::TimeNs;

fn strategy(functions: &str, body: &str) -> String {
    format!(
        "edition 1\n{functions}\nstrategy t version 1 {{\n  instrument x: perp(BTC/USDT)\n  instrument e: perp(ETH/USDT)\n{body}\n  \
         target x = 0 BTC via aggressive(max_slip: 3 bps)\n}}\n"
    )
}

fn build(functions: &str, body: &str) -> Compiled {
    compile(&strategy(functions, body), "t.strat").unwrap_or_else(|found| panic!("{found}"))
}

fn ops(compiled: &Compiled) -> Vec<Op> {
    compiled.program.nodes.iter().map(|n| n.op).collect()
}

fn count(compiled: &Compiled, name: &str) -> usize {
    compiled.program.nodes.iter().filter(|n| n.op.name() == name).count()
}

#[test]
fn a_call_is_its_body_written_out() {
    let called = build(
        "fn lean(a: num, k: real): num = a * (1 + k)\nindicator move(a: num): num {\n  let was = a[1]\n  return a - was\n}",
        "  let a = move(lean(x.mid, 0.5)) > 0",
    );
    let written = build("", "  let a = x.mid * (1 + 0.5) - (x.mid * (1 + 0.5))[1] > 0");
    let kinds = |c: &Compiled| {
        let mut names: Vec<&str> = ops(c).iter().filter(|op| !matches!(op, Op::Const(_))).map(|op| op.name()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(kinds(&called), kinds(&written));
}

#[test]
fn equal_calls_are_one_and_others_remember_for_themselves() {
    let functions =
        "indicator steps(a: num): int {\n  state n: int = 0\n  on every 1s => next n = n + 1\n  return n\n}";
    let twice = build(functions, "  let a = steps(x.mid) + steps(x.mid)");
    assert_eq!((twice.program.states.len(), twice.program.rules.len()), (1, 1));
    let two = build(functions, "  let a = steps(x.mid) + steps(x.last)");
    assert_eq!((two.program.states.len(), two.program.rules.len()), (2, 2));
    assert_ne!(two.program.states[0].name, two.program.states[1].name);
    let memory = build("indicator was(a: num): num {\n  return a[1]\n}", "  let a = was(x.mid) + was(x.last)");
    assert_eq!(count(&memory, "history"), 2);
}

#[test]
fn a_body_sees_its_arguments_and_nothing_of_the_caller() {
    let inner = "fn f(x: ratio): ratio = x + fair";
    let found = compile(&strategy(inner, "  let fair = 2\n  let a = f(fair)"), "t.strat").unwrap_err();
    assert_eq!(found.items.iter().map(|d| d.code).collect::<Vec<_>>(), ["E0201"], "{found}");
    // Names of the caller are free to use inside, and the other way round.
    build("fn f(x: ratio): ratio = 2 * x", "  let a = f(x.spread / x.mid)\n  let f = 1");
}

#[test]
fn one_function_serves_many_units() {
    let functions = "fn mid_of(a: num, b: num): num = (a + b) / 2\nfn per(a: num[a], b: num[b]): num[a]/num[b] = a / b";
    build(
        functions,
        "  let a: price[x] = mid_of(x.mid, x.last)\n  let b: qty[e] = mid_of(e.position, 0)\n  \
         let c: qty[x]/qty[e] = per(e.mid, x.mid)\n  let d: ratio = mid_of(1, 2)\n  let e2: duration = mid_of(1s, 3s)",
    );
}

#[test]
fn arguments_come_by_place_by_name_by_default_and_from_a_record() {
    let functions = "indicator range(a: num): (high: num, low: num) {\n  return (high: max(a, a[1]), low: min(a, a[1]))\n}\n\
                     fn width(high: num, low: num, k: real = 2): num = k * (high - low)\nfn at_least(d: duration = 3s): duration = d";
    let by_record = build(
        functions,
        "  let a = width(range(x.mid)) > 0
  let b = at_least()",
    );
    let by_name = build(
        functions,
        "  let r = range(x.mid)\n  let a = width(k: 2, low: r.low, high: r.high) > 0\n  let b = at_least(3s)",
    );
    assert_eq!(by_record.program.nodes.len(), by_name.program.nodes.len());
}

#[test]
fn literals_stay_literals_through_calls() {
    let functions = "fn longer(n: int): int = floor((n + 1) / 2) + 1\nindicator ago(a: num, n: int = 3): num {\n  return a[longer(n)]\n}";
    let compiled = build(functions, "  let a = ago(x.mid, 6)\n  let b = ago(x.mid)");
    let depths: Vec<u32> =
        ops(&compiled).into_iter().filter_map(|op| if let Op::History { k } = op { Some(k) } else { None }).collect();
    assert_eq!(depths, [4, 3]);
    assert_eq!(compiled.report.warm_up[0].text, "ago(x.mid, 6)");
    assert_eq!(compiled.report.warm_up[0].ready_after_ticks, 5);
}

#[test]
fn readiness_adds_up_inside_a_call() {
    let compiled = build(
        "indicator slow(a: num): num {\n  return a[3][4]\n}",
        "  let a = slow(x.mid)\n  let b = slow(x.last @ every 2s)",
    );
    let ready: Vec<_> = compiled.report.warm_up.iter().map(|w| (w.ready_after_ticks, w.ready_after_ns)).collect();
    assert_eq!(ready, [(8, None), (0, Some(16_000_000_000))]);
}

/// Plays prices on the book clock of `x` and reads the first slot.
fn play(compiled: Compiled, ticks: &[f64]) -> Vec<f64> {
    let manifest: Manifest = compiled.manifest.clone();
    let mut engine = Interp::new(compiled.program, compiled.manifest).unwrap();
    let mut out = Desires::for_manifest(&manifest);
    let mut seen = Vec::new();
    for (seq, px) in ticks.iter().enumerate() {
        let inputs = vec![*px; manifest.inputs.len()];
        let instant = Instant {
            seq: seq as u64 + 1,
            now: TimeNs(1_000 + seq as i64),
            ticks: 1,
            inputs: &inputs,
            signal_times: &[],
        };
        engine.on_instant(&instant, &mut out);
        seen.push(out.values[0]);
    }
    seen
}

#[test]
fn private_state_follows_its_rules() {
    // The number of ticks in a row on which the price did not fall.
    let streak = "indicator streak(a: num): int {\n  persist state n: int = 0\n  next n = if a >= a[1] then n + 1 else 0\n  return n\n}";
    let source = format!(
        "edition 1\n{streak}\nstrategy t version 1 {{\n  instrument x: perp(BTC/USDT)\n  \
         target x = streak(x.best_bid) * 1 BTC via aggressive(max_slip: 3 bps)\n}}\n"
    );
    let compiled = compile(&source, "t.strat").unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(play(compiled, &[5.0, 6.0, 7.0, 7.0, 4.0, 9.0]), [0.0, 1.0, 2.0, 3.0, 0.0, 1.0]);
}

struct Given(BTreeMap<&'static str, &'static str>);

impl Modules for Given {
    fn text(&self, name: &str) -> Result<String, String> {
        self.0.get(name).map(|t| t.to_string()).ok_or_else(|| "no such file".into())
    }
}

fn modules() -> Given {
    Given(BTreeMap::from([
        ("own", "use lib.base.{twice}\nfn wide(a: num): num = twice(a)\n"),
        ("base", "fn twice(a: num): num = 2 * a\n"),
        ("other", "fn other(a: num): num = a\n"),
    ]))
}

#[test]
fn the_text_of_every_module_belongs_to_the_hash() {
    let source = strategy("use lib.own.{wide}", "  let a = wide(x.spread) > x.tick");
    let hash = |given: &Given| compile_with(&source, "t.strat", given).unwrap_or_else(|f| panic!("{f}")).source_hash;
    let first = hash(&modules());
    assert_eq!(first, hash(&modules()));
    let mut changed = modules();
    changed.0.insert("base", "fn twice(a: num): num = 3 * a\n");
    assert_ne!(first, hash(&changed), "a module behind a module");
    let mut unused = modules();
    unused.0.insert("other", "fn other(a: num): num = 9 * a\n");
    assert_eq!(first, hash(&unused));
}

#[test]
fn a_bundle_needs_no_second_file_and_is_the_same_strategy() {
    let source = strategy("use lib.own.{wide}", "  let a = wide(x.spread) > x.tick");
    let whole = bundle(&source, &modules());
    let (a, b) = (compile(&whole, "t.strat").unwrap(), compile_with(&source, "t.strat", &modules()).unwrap());
    assert_eq!((a.source_hash, a.program), (b.source_hash, b.program));
    let plain = strategy("", "");
    assert_eq!(bundle(&plain, &modules()), plain);
}

#[test]
fn a_function_may_have_another_name_here() {
    let source = strategy("use lib.base.{twice} as double", "  let a = double(x.spread) > x.tick");
    compile_with(&source, "t.strat", &modules()).unwrap_or_else(|f| panic!("{f}"));
    let found = compile_with(&source.replace("double(", "twice("), "t.strat", &modules()).unwrap_err();
    assert_eq!(found.items[0].code, "E0204");
}

#[test]
fn calls_are_bounded_in_depth_and_number() {
    let chain: String = (1..=40).map(|i| format!("fn f{i}(a: ratio): ratio = f{}(a) + 1\n", i - 1)).collect();
    let source = strategy(&format!("fn f0(a: ratio): ratio = a\n{chain}"), "  let a = f40(1)");
    let found = compile(&source, "t.strat").unwrap_err();
    assert_eq!(found.items.iter().map(|d| d.code).collect::<Vec<_>>(), ["E0217"], "{found}");
    let crowd: String = (0..5_000).map(|i| format!("fn f{i}(a: ratio): ratio = a\n")).collect();
    let found = compile(&strategy(&crowd, ""), "t.strat").unwrap_err();
    assert!(found.items.iter().any(|d| d.code == "E0109"), "{found}");
    let big: String = (0..60).map(|i| format!("  let v{i} = a * {i}.5 + a[{}]\n", i + 1)).collect();
    let calls: String = (0..900).map(|i| format!("  let c{i} = big(x.mid / x.tick * {i}.5)\n")).collect();
    let found =
        compile(&strategy(&format!("indicator big(a: real): real {{\n{big}  return v59\n}}"), &calls), "t.strat");
    assert!(found.unwrap_err().items.iter().any(|d| d.code == "E0501"));
}
