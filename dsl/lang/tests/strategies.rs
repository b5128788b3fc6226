//! The strategies of the repository and the examples of the documentation compile without a finding, cost what is recorded,
//! and quote what their formulas say.
use std::path::Path;
use tercel_event::{Desires, Field, Input, Instant, Manifest, NO_OWNER, Strategy};
use tercel_graph::Interp;
use tercel_lang::{Compiled, compile};
use tercel_types::TimeNs;

const MS: i64 = 1_000_000;
const START: i64 = 1_723_161_255_000_000_000;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(name: &str) -> Compiled {
    let path = root().join("strategies").join(name);
    let source = std::fs::read_to_string(&path).unwrap();
    compile(&source, name).unwrap_or_else(|found| panic!("{found}"))
}

#[test]
fn the_strategies_compile_without_a_finding() {
    for name in ["as_maker.strat", "obi_scalper.strat"] {
        let compiled = read(name);
        assert!(compiled.warnings.is_empty(), "{}", compiled.warnings);
        assert!(compiled.report.ready_after_ns <= 2_500_000_000, "{name}: {}", compiled.report.ready_after_ns);
    }
}

#[test]
fn static_reports_are_as_recorded_golden() {
    for name in ["as_maker", "obi_scalper"] {
        let report = read(&format!("{name}.strat")).report;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/report_{name}.txt"));
        if std::env::var_os("TERCEL_BLESS").is_some() {
            std::fs::write(&path, report.to_string()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), report.to_string(), "{name}");
        assert!(report.to_json().starts_with(&format!("{{\"strategy\":\"{name}\",\"version\":1,\"nodes\":")));
    }
}

#[test]
fn the_examples_of_the_documentation_compile() {
    let mut count = 0;
    for page in ["docs/reference/strat.md", "docs/tutorial/first-strategy.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        for example in text.split("```strat\n").skip(1) {
            let source = example.split("```").next().unwrap();
            let compiled = compile(source, page).unwrap_or_else(|found| panic!("{found}"));
            assert!(compiled.warnings.is_empty(), "{page}: {}", compiled.warnings);
            count += 1;
        }
    }
    assert!(count >= 3, "{count}");
}

#[test]
fn the_mistake_of_the_tutorial_reads_as_printed_there() {
    let text = std::fs::read_to_string(root().join("docs/tutorial/first-strategy.md")).unwrap();
    let source = text.split("```strat\n").nth(1).unwrap().split("```").next().unwrap();
    let printed = text.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let found = compile(&source.replace("go long(x.best_ask)", "go long(x.best_ask + 1)"), "my.strat").unwrap_err();
    assert_eq!(found.render().trim(), printed.trim());
    let mended = source.replace("go long(x.best_ask)", "go long(x.best_ask + 1 * x.tick)");
    assert!(compile(&mended, "my.strat").is_ok());
}

/// Drives a strategy by hand: named fields, every clock of the manifest ticking with the book.
struct Bench {
    engine: Interp,
    manifest: Manifest,
    inputs: Vec<f64>,
    signal_times: Vec<TimeNs>,
    out: Desires,
    now: i64,
    seq: u64,
}

impl Bench {
    fn new(compiled: Compiled) -> Self {
        let manifest = compiled.manifest.clone();
        Self {
            inputs: vec![f64::NAN; manifest.inputs.len()],
            signal_times: vec![TimeNs::MIN; manifest.signals.len()],
            out: Desires::for_manifest(&manifest),
            engine: Interp::new(compiled.program, compiled.manifest).unwrap(),
            manifest,
            now: START,
            seq: 0,
        }
    }

    fn set(&mut self, field: Field, value: f64) {
        let input = Input::Instrument { instrument: 0, field };
        if let Some(idx) = self.manifest.inputs.iter().position(|i| *i == input) {
            self.inputs[idx] = value;
        }
    }

    fn signal(&mut self, value: f64) {
        let idx = self.manifest.inputs.iter().position(|i| *i == Input::Signal { signal: 0 }).unwrap();
        self.inputs[idx] = value;
        self.signal_times[0] = TimeNs(self.now);
    }

    /// One instant `ms` later, deadlines in between included.
    fn step(&mut self, ms: i64) {
        let until = self.now + ms * MS;
        while let Some(due) = self.engine.next_deadline().filter(|d| d.0 <= until) {
            self.instant(due.0, 0);
        }
        self.instant(until, u64::MAX >> (64 - self.manifest.clocks.len()));
    }

    fn instant(&mut self, now: i64, ticks: u64) {
        self.now = now;
        self.seq += 1;
        let instant =
            Instant { seq: self.seq, now: TimeNs(now), ticks, inputs: &self.inputs, signal_times: &self.signal_times };
        self.engine.on_instant(&instant, &mut self.out);
    }

    fn book(&mut self, bid: f64, bid_qty: f64, ask: f64, ask_qty: f64) {
        for (field, value) in
            [(Field::BidPx(0), bid), (Field::AskPx(0), ask), (Field::OthersBidPx, bid), (Field::OthersAskPx, ask)]
        {
            self.set(field, value);
        }
        for level in 0..5 {
            self.set(Field::BidQty(level), bid_qty);
            self.set(Field::AskQty(level), ask_qty);
        }
    }

    fn ledger(&mut self, position: f64, flat: bool) {
        self.set(Field::Position, position);
        self.set(Field::Settled, 1.0);
        self.set(Field::Flat, f64::from(u8::from(flat)));
        self.set(Field::Tick, 0.1);
        self.set(Field::FeeTaker, 0.0005);
    }
}

fn maker() -> Bench {
    let mut bench = Bench::new(read("as_maker.strat"));
    bench.ledger(0.0, true);
    bench.book(61_800.0, 4.0, 61_800.1, 4.0);
    bench
}

#[test]
fn the_maker_waits_for_its_variance_and_then_quotes_the_touch() {
    let mut bench = maker();
    for _ in 0..8 {
        bench.step(250);
        assert!(bench.out.values[0].is_nan(), "quoted before the variance was ready");
    }
    for _ in 0..3 {
        bench.step(250);
    }
    // No variance, no position, no forecast: half = ln(1 + 0.0005/100)/0.0005 = 0.01, inside half a tick of the mid, so
    // both first legs stand at the touch and the others 5 and 10 ticks behind.
    assert_eq!(bench.out.owners, [0]);
    let legs: Vec<f64> = bench.out.values[..12].to_vec();
    let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-3, "{found} {wanted} {legs:?}");
    for (leg, wanted) in [61_800.0, 61_800.1, 61_799.5, 61_800.6, 61_799.0, 61_801.1].into_iter().enumerate() {
        near(legs[2 * leg], wanted);
        assert_eq!(legs[2 * leg + 1], 0.005);
    }
}

#[test]
fn the_maker_leans_by_the_forecast_and_goes_on_without_it() {
    let mut bench = maker();
    for _ in 0..12 {
        bench.step(250);
    }
    let at_rest = bench.out.values[2];
    bench.signal(2.0);
    bench.step(250);
    // fair = 61800.05 * (1 + 0.5 * 2 bps) moves up by 6.18; the ask follows it, the bid stays at the touch.
    assert!((bench.out.values[2] - (61_800.05 * 1.0001 + 0.01)).abs() < 1e-2, "{:?}", &bench.out.values[..4]);
    assert_eq!(bench.out.values[0], 61_800.0);
    // 500 ms later the forecast has expired, and the next sample has the quotes of a maker without a model.
    bench.step(501);
    assert!((bench.out.values[2] - at_rest).abs() < 1.0 && bench.out.values[1] == 0.005);
    assert_eq!(bench.out.owners, [0]);
}

#[test]
fn the_maker_withdraws_the_side_that_would_breach() {
    let mut bench = maker();
    for _ in 0..12 {
        bench.step(250);
    }
    bench.ledger(20.0 * 0.005, false);
    bench.step(1);
    let bids: Vec<bool> = [1, 5, 9].map(|slot| bench.out.values[slot].is_nan()).to_vec();
    assert_eq!(bids, [true, true, true], "a full position buys no more");
    assert_eq!(bench.out.values[3], 0.005, "and goes on selling");
    bench.set(Field::BidPx(0), f64::NAN);
    bench.step(1);
    assert_eq!(bench.out.owners, [NO_OWNER], "a dead book withdraws every leg at once, between two samples");
}

#[test]
fn the_scalper_enters_on_lean_and_flow_and_leaves_in_time() {
    let mut bench = Bench::new(read("obi_scalper.strat"));
    bench.ledger(0.0, true);
    // A book that flickers, so that flow has a spread; then one side grows.
    for i in 0..200 {
        let qty = if i % 2 == 0 { 4.0 } else { 4.2 };
        bench.book(61_800.0, qty, 61_800.1, 4.0);
        bench.step(25);
    }
    assert_eq!(bench.engine.mode_name(), "flat");
    bench.book(61_800.0, 16.0, 61_800.1, 4.0);
    bench.step(50);
    assert_eq!(bench.engine.mode_name(), "long");
    let want = bench.out.values.clone();
    assert!(want.contains(&0.01) && want.contains(&61_800.1), "{want:?}");
    bench.ledger(0.01, false);
    bench.step(150);
    assert_eq!(bench.engine.mode_name(), "long");
    assert_eq!(bench.out.owners, [NO_OWNER], "after 100 ms nothing is wanted but to hold");
    // Feed gone: every book field absent. The time limit still works.
    bench.book(f64::NAN, f64::NAN, f64::NAN, f64::NAN);
    bench.step(1_000);
    assert_eq!(bench.engine.mode_name(), "flat");
}
