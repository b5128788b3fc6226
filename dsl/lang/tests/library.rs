//! The library against references that were computed without it (`dsl/reference`): every value of every call on every data
//! set, within the tolerance of the reference, absent where it is absent.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tercel_event::{Desires, Field, Input, Instant, SinkSpec, Strategy};
use tercel_graph::Interp;
use tercel_lang::{Compiled, compile};
use tercel_types::TimeNs;

/// How a row of bars is shown to a strategy: five fields of a book of `x`, read back as bars.
const BARS: &str = "\
indicator bars_of(i: market): (open: price[i], high: price[i], low: price[i], close: price[i], volume: qty[i]) {
  return (open: i.bid[0].px, high: i.ask[0].px, low: i.bid[1].px, close: i.ask[1].px, volume: i.bid[0].qty)
}
";
const FIELDS: [(Field, &str); 8] = [
    (Field::BidPx(0), "open"),
    (Field::AskPx(0), "high"),
    (Field::BidPx(1), "low"),
    (Field::AskPx(1), "close"),
    (Field::BidQty(0), "volume"),
    (Field::BidPx(2), "bench"),
    (Field::AskPx(2), "noise"),
    (Field::BidQty(3), "mark"),
];
/// A result in any unit, as a quantity; the step of `x` is 1.
const AS_QTY: [&str; 6] = [
    "(E) * 1 BTC",
    "(E) / x.tick * 1 BTC",
    "E",
    "(E) / x.tick ^ 2 * 1 BTC",
    "(E) / x.tick",
    "if E then 1 BTC else 0 BTC",
];

type Columns = BTreeMap<String, Vec<f64>>;

/// The folder of the references; another one while they are being made.
fn golden() -> PathBuf {
    std::env::var_os("TERCEL_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../reference/golden"), PathBuf::from)
}

/// Columns by name, absent as NaN, and the `# c1 = call` lines.
fn read(path: &Path) -> (Columns, Vec<(String, String)>) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let calls = text.lines().filter_map(|l| l.strip_prefix("# ")?.split_once(" = "));
    let calls = calls.map(|(case, call)| (case.to_string(), call.to_string())).collect();
    let mut rows = text.lines().filter(|l| !l.starts_with('#'));
    let names: Vec<String> = rows.next().unwrap_or("").split(',').map(str::to_string).collect();
    let mut columns: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    for row in rows {
        for (column, cell) in columns.iter_mut().zip(row.split(',')) {
            column.push(if cell.is_empty() { f64::NAN } else { cell.parse().expect("a number") });
        }
    }
    (names.into_iter().zip(columns).collect(), calls)
}

fn strategy(module: &str, name: &str, value: &str) -> Result<Compiled, Vec<&'static str>> {
    let source = format!(
        "edition 1\nuse {module}.{{{name}}}\n{BARS}strategy t version 1 {{\n  instrument x: perp(BTC/USDT)\n  let b = bars_of(x)\n  \
         let bench = x.bid[2].px\n  let noise = x.ask[2].px / x.tick\n  let mark = x.bid[3].qty > 0\n  \
         target x = {value} via aggressive(max_slip: 3 bps)\n}}\n"
    );
    compile(&source, "t.strat").map_err(|found| found.items.iter().map(|d| d.code).collect())
}

fn play(compiled: Compiled, rows: &Columns) -> Vec<f64> {
    let manifest = compiled.manifest.clone();
    let SinkSpec::Target { slot, .. } = manifest.sinks[0] else { panic!("one target") };
    let mut engine = Interp::new(compiled.program, compiled.manifest).expect("valid");
    let mut out = Desires::for_manifest(&manifest);
    let ticks = (1 << manifest.clocks.len()) - 1;
    (0..rows["close"].len())
        .map(|row| {
            let value = |input: &Input| match input {
                Input::Instrument { field: Field::Tick, .. } => 1.0,
                Input::Instrument { field, .. } => {
                    FIELDS.iter().find(|(f, _)| f == field).map_or(f64::NAN, |(_, name)| rows[*name][row])
                }
                Input::Signal { .. } => f64::NAN,
            };
            let inputs: Vec<f64> = manifest.inputs.iter().map(value).collect();
            let now = TimeNs((row as i64 + 1) * 60_000_000_000);
            engine
                .on_instant(&Instant { seq: row as u64 + 1, now, ticks, inputs: &inputs, signal_times: &[] }, &mut out);
            out.values[slot]
        })
        .collect()
}

/// The largest difference in tolerances; infinite where one is absent and the other is not.
fn worst(want: &[f64], got: &[f64], (rtol, atol): (f64, f64)) -> (f64, usize) {
    let mut worst = (0.0, 0);
    for (row, (w, g)) in want.iter().zip(got).enumerate() {
        let off = match (w.is_nan(), g.is_nan()) {
            (true, true) => 0.0,
            (false, false) => (w - g).abs() / (atol + rtol * w.abs()),
            _ => f64::INFINITY,
        };
        if off > worst.0 {
            worst = (off, row);
        }
    }
    worst
}

/// Compares every call of a reference file; `None`: the library has no such item.
fn check(
    module: &str,
    name: &str,
    tolerances: &BTreeMap<(String, String), (f64, f64)>,
    wrong: &mut Vec<String>,
) -> Option<(usize, f64)> {
    let (columns, calls) = read(&golden().join(format!("{module}.{name}.csv")));
    let (mut count, mut most) = (0, 0.0f64);
    let mut known: BTreeMap<String, Compiled> = BTreeMap::new();
    for (column, want) in &columns {
        let mut parts = column.splitn(3, '.');
        let (set, case, result) = (parts.next()?, parts.next()?, parts.next());
        let call = &calls.iter().find(|(c, _)| c == case)?.1;
        let expr = result.map_or(call.clone(), |r| format!("{call}.{r}"));
        if !known.contains_key(&expr) {
            let tried: Vec<_> = AS_QTY.iter().map(|form| strategy(module, name, &form.replace('E', &expr))).collect();
            let codes: Vec<_> = tried.iter().filter_map(|t| t.as_ref().err()).flatten().copied().collect();
            match tried.into_iter().find_map(Result::ok) {
                Some(compiled) => drop(known.insert(expr.clone(), compiled)),
                None if codes.iter().all(|c| matches!(*c, "E0204" | "E0900")) => return None,
                None => {
                    wrong.push(format!("{module}.{name}: `{expr}` does not compile: {codes:?}"));
                    continue;
                }
            }
        }
        let compiled = &known[&expr];
        let (rows, _) = read(&golden().join(format!("in/bars_{set}.csv")));
        let got = play(compiled.clone(), &rows);
        let tolerance = tolerances[&(format!("{module}.{name}"), column.clone())];
        let (off, row) = worst(want, &got, tolerance);
        count += want.len();
        most = most.max(off);
        if off > 1.0 {
            wrong.push(format!(
                "{module}.{name} {column} = {expr}: row {row}: expected {}, found {}",
                want[row], got[row]
            ));
        }
    }
    Some((count, most))
}

#[test]
fn the_library_answers_what_the_references_say_golden() {
    if !golden().exists() {
        println!("skipped: no {}", golden().display());
        return;
    }
    let table = std::fs::read_to_string(golden().join("tolerance.csv")).expect("tolerances");
    let tolerances: BTreeMap<_, _> = table
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |at: usize| cells[at].parse::<f64>().expect("a number");
            ((cells[0].to_string(), cells[1].to_string()), (number(2), number(3)))
        })
        .collect();
    let mut files: Vec<String> = std::fs::read_dir(golden())
        .expect("references")
        .filter_map(|f| f.ok()?.file_name().into_string().ok()?.strip_suffix(".csv").map(str::to_string))
        .filter(|f| f.starts_with("std.ta.") || f.starts_with("std.time."))
        .collect();
    files.sort();
    let (mut wrong, mut missing, mut items, mut values) = (Vec::new(), Vec::new(), 0, 0);
    for file in &files {
        let (module, name) = file.rsplit_once('.').expect("module.name");
        match check(module, name, &tolerances, &mut wrong) {
            Some((count, most)) => {
                items += 1;
                values += count;
                println!("{file:<28} {count:>6} values, largest difference {most:.2e} tolerances");
            }
            None => missing.push(name.to_string()),
        }
    }
    println!("{items} items, {values} values; not in this version: {}", missing.join(", "));
    assert!(wrong.is_empty(), "{} of {values} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(items >= 77, "{items}");
}
