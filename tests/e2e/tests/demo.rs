//! The main job end to end: venue, sidecar and engine as processes over sockets, then the proofs that a run leaves behind.
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tercel_event::{Bbo, Command, Frame, FrameKind, HEADER_LEN};
use tercel_journal::{JournalReader, refresh_crc, refresh_links};
use tercel_test_e2e::{Scratch, judge, root, run, run_json};

/// One run of the demo, shared by the tests of this file; 16 s of the recording hold everything that they look for.
fn demo() -> &'static (Scratch, Value) {
    static DEMO: OnceLock<(Scratch, Value)> = OnceLock::new();
    DEMO.get_or_init(|| {
        let scratch = Scratch::new("demo");
        let keep = scratch.path().join("kept");
        let report = run_json(&["demo", "--json", "--seconds", "16", "--keep", &keep.display().to_string()], 0);
        (scratch, report)
    })
}

fn kept() -> PathBuf {
    demo().0.path().join("kept")
}

fn count(report: &Value, path: &[&str]) -> u64 {
    let value = path.iter().fold(report, |value, key| &value[*key]);
    value.as_u64().unwrap_or_else(|| panic!("{} is {value}", path.join(".")))
}

#[test]
fn the_demo_trades_over_sockets_and_its_log_reproduces_it() {
    let report = &demo().1;
    for (path, least) in [
        (&["orders"][..], 50),
        (&["fills"], 10),
        (&["fills_passive"], 3),
        (&["fills_partial"], 1),
        (&["replaces"], 1),
        (&["feed", "gaps"], 1),
        // The first recovery is the start; the second follows the gap that the venue makes.
        (&["feed", "resyncs"], 2),
        (&["feed", "messages"], 1_000),
        (&["signals", "used"], 1),
        (&["replay", "frames"], 5_000),
        // Most orders follow a clock, which has no receive stamp to count from; these follow a message.
        (&["latency", "tick_to_trade_ns", "count"], 3),
    ] {
        assert!(count(report, path) >= least, "{} = {}, wanted {least}", path.join("."), count(report, path));
    }
    assert_eq!(report["replay"]["identical"], true);
    assert_eq!(count(report, &["orders_open"]), 0, "every order is cancelled at the end");
    assert_eq!(count(report, &["bad_frames"]), 0);
    assert_eq!(report["strategies"].as_array().map(Vec::len), Some(2));
    for strategy in report["strategies"].as_array().unwrap() {
        let fills: u64 = strategy["positions"].as_array().unwrap().iter().map(|p| p["fills"].as_u64().unwrap()).sum();
        assert!(fills >= 1, "{} has no fill", strategy["name"]);
    }
    for key in ["position", "pnl", "rejects", "topology", "duration_s"] {
        assert!(!report[key].is_null(), "the report lacks `{key}`");
    }
}

#[test]
fn the_judge_agrees_with_every_order_position_and_fee() {
    let report = &demo().1;
    let orders: Map<String, Value> = report["book_of_orders"]["orders"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(id, order)| (id.clone(), order["cum_qty"].clone()))
        .collect();
    let against = json!({
        "position": report["position"]["BTCUSDT"],
        "fees": report["pnl"]["fees"],
        "fills": report["fills"],
        "orders": orders,
    });
    let verdict = judge(&kept().join("venue"), Some(&against));
    assert_eq!(verdict["wrong"], json!([]));
    assert_eq!(verdict["open_orders"], 0);
    assert!(verdict["fills"].as_u64().unwrap() >= 10);
}

/// A copy of the journal that a test may spoil.
fn spoiled(name: &str) -> (Scratch, PathBuf) {
    let scratch = Scratch::new(name);
    let run_dir = scratch.path().join("run");
    copy(&kept().join("run/journal"), &run_dir.join("journal"));
    std::fs::copy(kept().join("run/end.json"), run_dir.join("end.json")).unwrap();
    (scratch, run_dir)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Where a record stands: segment file, offset of the record, offset of its frame, `seq`, the frame.
struct Place {
    segment: PathBuf,
    offset: u64,
    seq: u64,
    frame: Vec<u8>,
}

fn places(journal: &Path, wanted: impl Fn(&Frame<'_>) -> bool) -> Vec<Place> {
    let mut reader = JournalReader::open(journal).unwrap();
    let mut found = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        let frame = Frame::parse(record.frame).unwrap();
        if wanted(&frame) {
            found.push(Place {
                segment: journal.join(format!("{:08}.seg", record.segment)),
                offset: record.offset,
                seq: frame.header.seq,
                frame: record.frame.to_vec(),
            });
        }
    }
    found
}

fn write(place: &Place, frame: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).open(&place.segment).unwrap();
    let at = place.offset + tercel_journal::format::RECORD_HEADER_LEN as u64;
    file.write_all_at(frame, at).unwrap();
    refresh_crc(&place.segment, place.offset).unwrap();
}

fn replay_fails(run_dir: &Path, more: &[&str]) -> String {
    let shown = run_dir.display().to_string();
    let mut args = vec!["replay", &shown, "--json"];
    args.extend(more);
    let report = run_json(&args, 1);
    assert_eq!(report["replay"]["identical"], false);
    report["replay"]["difference"].as_str().unwrap().to_owned()
}

#[test]
fn a_changed_price_with_its_checksum_refreshed_is_named_by_seq() {
    let (_scratch, run_dir) = spoiled("price");
    let bbos = places(&run_dir.join("journal"), |frame| frame.kind() == Ok(FrameKind::Bbo));
    let place = &bbos[bbos.len() / 2];
    let mut frame = place.frame.clone();
    let at = HEADER_LEN + std::mem::offset_of!(Bbo, bid_px);
    frame[at] ^= 1;
    write(place, &frame);
    let difference = replay_fails(&run_dir, &[]);
    assert!(difference.contains(&format!("seq {}:", place.seq)), "changed seq {}, told: {difference}", place.seq);
    // With the whole segment made to agree, only the replay can tell; the hash of the inputs does, within its second.
    refresh_links(&place.segment).unwrap();
    let difference = replay_fails(&run_dir, &[]);
    let seq: u64 = difference.split([' ', ':']).nth(1).unwrap().parse().unwrap();
    assert!(seq >= place.seq && seq < place.seq + 5_000, "changed seq {}, told: {difference}", place.seq);
}

#[test]
fn two_commands_swapped_are_named_by_seq() {
    let (_scratch, run_dir) = spoiled("swap");
    let commands = places(&run_dir.join("journal"), |frame| frame.kind() == Ok(FrameKind::Command));
    let pair = commands.windows(2).find(|pair| pair[0].seq == pair[1].seq).expect("one frame caused two commands");
    // The bodies change places; numbers and checksums stay those of their records.
    let swap = |into: &Place, from: &Place| [&into.frame[..HEADER_LEN], &from.frame[HEADER_LEN..]].concat();
    write(&pair[0], &swap(&pair[0], &pair[1]));
    write(&pair[1], &swap(&pair[1], &pair[0]));
    let difference = replay_fails(&run_dir, &[]);
    assert!(
        difference.contains(&format!("seq {}:", pair[0].seq)),
        "swapped in seq {}, told: {difference}",
        pair[0].seq
    );
    refresh_links(&pair[0].segment).unwrap();
    let difference = replay_fails(&run_dir, &[]);
    assert!(difference.starts_with(&format!("seq {}: Command", pair[0].seq)), "{difference}");
    assert_eq!(pair[0].frame.len(), HEADER_LEN + size_of::<Command>());
}

#[test]
fn another_strategy_text_does_not_replay() {
    let text = std::fs::read_to_string(root().join("strategies/as_maker.strat")).unwrap();
    let changed = text.replace("step: int = 5", "step: int = 6");
    assert_ne!(text, changed, "the text to change is there");
    let scratch = Scratch::new("other");
    let path = scratch.path().join("as_maker.strat");
    std::fs::write(&path, changed).unwrap();
    let run_dir = kept().join("run");
    let difference = replay_fails(&run_dir, &["--strategy", &path.display().to_string()]);
    assert!(difference.contains("seq"), "{difference}");
    assert_eq!(run_json(&["replay", &run_dir.display().to_string(), "--json"], 0)["replay"]["identical"], true);
}

#[test]
fn a_backtest_with_the_latencies_of_the_journal_gives_identical_commands() {
    let report = run_json(&["backtest", "--json", "--latency", &format!("journal:{}", kept().display())], 0);
    assert_eq!(report["comparison"]["good"], true, "{}", report["comparison"]);
    let live = &demo().1;
    assert_eq!(report["comparison"]["commands_live"], report["comparison"]["commands_matched"]);
    for key in ["orders", "fills", "fills_passive", "replaces"] {
        assert_eq!(report[key], live[key], "{key}");
    }
    assert_eq!(report["pnl"], live["pnl"]);
}

#[test]
fn a_backtest_with_constant_latency_reports_what_it_did() {
    let report = run_json(&["backtest", "--json", "--seconds", "30"], 0);
    assert!(report["orders"].as_u64().unwrap() > 50, "{report}");
    assert!(report["fills"].as_u64().unwrap() > 10);
    assert!(report["events_per_second"].as_f64().unwrap() > 1_000.0);
    let again = run_json(&["backtest", "--json", "--seconds", "30"], 0);
    assert_eq!(report["state_hash"], again["state_hash"], "a backtest is a pure function of its inputs");
}

#[test]
fn a_second_run_in_the_same_directory_is_refused() {
    let output = run(&["demo", "--keep", &kept().display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not empty"));
}

#[test]
fn latencies_of_a_run_that_was_played_faster_are_said_in_engine_time() {
    let scratch = Scratch::new("fast");
    let keep = scratch.path().join("kept").display().to_string();
    run_json(&["demo", "--json", "--seconds", "12", "--speed", "4", "--keep", &keep], 0);
    let output = run(&["backtest", "--json", "--seconds", "12", "--compare", &keep]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut said = report["comparison"]["first"].as_array().unwrap().iter().filter_map(Value::as_str);
    let latencies = said.rfind(|line| line.starts_with("latencies of the run")).expect("the latencies");
    assert!(latencies.contains("in engine time, of which 4 us pass in one of the clock"), "{latencies}");
    let numbers: Vec<i64> = latencies.split_whitespace().filter_map(|word| word.parse().ok()).skip(1).collect();
    assert_eq!(numbers.len(), 9, "{latencies}");
    assert!(numbers.iter().all(|us| *us >= 0), "{latencies}");
}
