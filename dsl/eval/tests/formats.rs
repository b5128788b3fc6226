//! What is wrong with events and tables is named by line and column.
use tercel_eval::{Engine, Evaluation, Setup, Steps, play_table};
use tercel_lang::StandardOnly;

const STRATEGY: &str = "edition 1
strategy watch version 1 {
  instrument x: perp(BTC/USDT)
  signal a: real from \"a\" max_age 1s
  param p: real = 2 in 0 .. 10
  let mid = x.mid
  let sum = a + p
}
";

/// The output for these rows, or the first fault.
fn eval(rows: &str, engine: Engine) -> Result<String, String> {
    let compiled = tercel_lang::compile_to_watch(STRATEGY, "watch.strat", &StandardOnly).unwrap();
    let mut setup = Setup::new(&compiled.manifest);
    let mut steps = Steps::default();
    rows.lines().for_each(|line| steps.scan(line));
    steps.apply(&mut setup, |_, _| false);
    let mut evaluation = Evaluation::new(&compiled, &["mid".into(), "sum".into()], setup, engine).unwrap();
    let mut out = evaluation.head();
    for line in rows.lines() {
        evaluation.line(line, &mut out).map_err(|fault| fault.to_string())?;
    }
    Ok(out)
}

fn fault(rows: &str) -> String {
    eval(&format!("ts_ns,kind,instrument,a,b,c,d\n{rows}"), Engine::Interp).expect_err(rows)
}

#[test]
fn values_are_printed_at_their_instants_by_both_engines() {
    let rows = "ts_ns,kind,instrument,bid_px,bid_qty,ask_px,ask_qty
1000,book,x,0.25,1,0.5,2
2000,trade,x,0.4,1,buy
3000,signal,a,1.5
4000,param,p,3
5000,signal,a,
2000000000,timer
";
    let want = "seq,ts_ns,mid,sum
7,1000,0.375,absent:no_signal
9,3000,,3.5
10,4000,,4.5
11,5000,,absent:signal_withdrawn
";
    for engine in Engine::ALL {
        assert_eq!(eval(rows, engine).unwrap(), want, "{}", engine.name());
    }
}

#[test]
fn every_fault_has_its_line_and_column() {
    assert_eq!(
        eval("time,kind\n", Engine::Interp).unwrap_err(),
        "1:1: expected a header that begins with `ts_ns,kind,instrument`, found `time,kind`"
    );
    for (row, want) in [
        ("x,book,x,1,1,2,1", "2:1: expected a time in nanoseconds since 1970, found `x`"),
        ("5,book,y,1,1,2,1", "2:3: unknown instrument `y`; expected x"),
        ("5,book,x,1,1,2", "2:7: expected a quantity, the row ends here"),
        ("5,book,x,1,0,2,1", "2:5: a level has a quantity above 0; leave both fields empty"),
        ("5,book,x,1,1,2,1,3,1,4,1", "2:12: levels go from the best to the worst, each price once"),
        ("5,book,x,one,1,2,1", "2:4: expected a decimal number, found `one` (not a decimal number)"),
        ("5,trade,x,1", "2:5: expected a quantity, the row ends here"),
        ("5,trade,x,1,1,up", "2:6: expected `buy` or `sell`, found `up`"),
        ("5,trade,x,1,1,buy,7", "2:7: expected the end of the row, found `7`"),
        ("5,bar,x,1,2,1,2,9", "2:2: bar rows need `bars`, which this version of the language does not run"),
        ("5,signal,b,1", "2:3: unknown signal `b`; expected a"),
        ("5,signal,a,nan", "2:4: expected a finite number, found `nan`"),
        ("5,param,q,1", "2:3: unknown parameter `q`; expected p"),
        (
            "5,quality,x,bad",
            "2:4: unknown state `bad`; expected gap, disconnected, connected, recovering, recovered, alive, preopen, auction, continuous, halted, closed",
        ),
        ("5,venue,,sulk", "2:4: expected refuse, silent, answer or partial, found `sulk`"),
        ("5,session,,sideways", "2:4: expected `up` or `down`, found `sideways`"),
        ("5,operator,,go", "2:4: expected active, reducing, halted, kill or rearm, found `go`"),
        (
            "5,fills,x,buy,1",
            "2:2: unknown kind `fills`; expected book, trade, bar, signal, fill, quality, param, timer, session, venue, operator, restart",
        ),
        ("5,timer\n4,timer", "3:1: time goes back: 4 is before 5"),
        ("5,book,x,\"1\",1,2,1", "2:4: fields stand without quotation marks, found `\"1\"`"),
        ("5,fill,x,buy,1", "2:2: a fill needs a working buy order in `x`: 0 are open, 1 are to be filled"),
        ("5,restart", "2:2: this play keeps no log to restart from"),
    ] {
        assert_eq!(fault(row), want, "{row}");
    }
}

#[test]
fn a_name_that_is_not_there_is_told_with_those_that_are() {
    let compiled = tercel_lang::compile_to_watch(STRATEGY, "watch.strat", &StandardOnly).unwrap();
    let setup = Setup::new(&compiled.manifest);
    let error = Evaluation::new(&compiled, &["fair".into()], setup, Engine::Jit).err().unwrap();
    assert_eq!(error, "the strategy has no `let fair`; it has mid, sum");
}

fn table(play: &str) -> Result<tercel_eval::Played, String> {
    play_table("t.table", &format!("# S5 · a table\n[strategy]\n  let mid = x.mid\n[play]\n{play}"))
}

#[test]
fn a_table_names_its_first_difference() {
    let good = table("at | event | mid\n1s | book x 1 1 2 1 | 1.5 tick\n2s | | \n").unwrap();
    assert_eq!((good.rows, good.cells), (2, 1));
    for (play, want) in [
        (
            "at | event | mid\n1s | book x 1 1 2 1 | 1.6\n",
            "t.table:6:23: interpreter: `mid`: expected `1.6`, found `1.5`",
        ),
        (
            "at | event | mid\n1s | book x 1 1 2 1 | 1.5 held\n",
            "t.table:6:23: interpreter: `mid`: expected `1.5 held`, found `1.5 tick`",
        ),
        (
            "at | event | mid\n1s | | absent:no_trade\n",
            "t.table:6:8: interpreter: `mid`: expected `absent:no_trade`, found `absent:no_quote`",
        ),
        (
            "at | event | orders\n1s | | buy 1 @ 2\n",
            "t.table:6:8: interpreter: `orders`: expected `buy 1 @ 2`, found `.`",
        ),
        (
            "at | event | mid\n1s | book x 1 1 2 1 |\n",
            "t.table:5:1: the table asserts nothing: every expected cell is empty",
        ),
        ("at | event | fair\n1s | | 1\n", "t.table:5:14: the strategy has no `let fair`; it has mid"),
        ("at | event | mid\n1s | book x 1.05 1 2 1 | 1\n", "t.table:6:13: `1.05` is no multiple of the tick 0.1"),
        (
            "at | event | mid\n1s | fill x buy 1 | 1\n",
            "t.table:6:6: interpreter: a fill needs a working buy order in `x`: 0 are open, 1 are to be filled",
        ),
        ("at | event | mid\n2s | | -\n1s | | -\n", "t.table:7:1: time goes back"),
        ("at | event | mid\n2s | -\n", "t.table:6:1: expected 3 cells as in the head, found 2"),
    ] {
        assert_eq!(table(play).unwrap_err(), want);
    }
}
