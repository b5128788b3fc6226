//! One run against an order session that is not ours: the FIX acceptor in `python/acceptor.py`, built on PyPI `simplefix`, with
//! market data from `tercel venue`. Afterwards its account of the orders and ours must agree to the last digit, and
//! `python/wire.py` reads both sides' records of the session.
//!
//! Skipped, and said so, where simplefix is not installed; `cargo xtask test` installs it.
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tercel_test_e2e::{Process, STRATEGIES, Scratch, Venue, config_text, python, root, skipped, tercel};

/// Whether this Python has simplefix. `cargo xtask test` names its own, where a lack is a failure.
fn simplefix() -> bool {
    let script = root().join("tests/e2e/python/wire.py");
    let status = Command::new(python()).arg(script).arg("--help").stdout(Stdio::null()).status();
    let found = status.is_ok_and(|status| status.success());
    assert!(found || std::env::var_os("TERCEL_PYTHON").is_none(), "`{}` has no simplefix", python());
    if !found {
        skipped(&format!("simplefix is not installed for `{}`; `cargo xtask test` installs it", python()), false);
    }
    found
}

/// The foreign venue's process; its standard input keeps it alive.
struct Acceptor {
    process: Process,
    dir: PathBuf,
    port: u64,
}

impl Acceptor {
    fn start(dir: &Path, more: &[&str]) -> Self {
        let script = root().join("tests/e2e/python/acceptor.py").display().to_string();
        let folder = dir.join("acceptor");
        let shown = folder.display().to_string();
        let mut args = vec![script.as_str(), "--dir", &shown];
        args.extend(more);
        let mut process = Process::start(Path::new(&python()), &args, dir.join("acceptor.err"));
        let line = process.first_line();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line} {}", process.errors()));
        Self { process, dir: folder, port: ready["port"].as_u64().expect("the acceptor says its port") }
    }

    /// Ends it and reads its own account of the run.
    fn summary(&mut self) -> Value {
        drop(self.process.child.stdin.take());
        let status = self.process.wait(Duration::from_secs(10)).expect("the acceptor ends");
        assert!(status.success(), "{}", self.process.errors());
        let text = std::fs::read_to_string(self.dir.join("summary.json")).expect("the acceptor leaves a summary");
        serde_json::from_str(&text).expect("the summary is JSON")
    }

    /// What simplefix reads in the acceptor's bytes and in our message store; panics where anything is wrong.
    fn wire(&self, store: &Path) -> Value {
        let script = root().join("tests/e2e/python/wire.py");
        let output = Command::new(python())
            .arg(script)
            .arg(self.dir.join("fix.log"))
            .arg("--store")
            .arg(store)
            .output()
            .expect("python starts");
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&out).expect("JSON")
    }
}

/// An engine for some seconds, with its final report.
fn trade(scratch: &Path, config: &str, seconds: u64) -> Value {
    let path = scratch.join("tercel.toml");
    std::fs::write(&path, config).expect("the configuration can be written");
    for strategy in STRATEGIES {
        std::fs::copy(root().join("strategies").join(strategy), scratch.join(strategy)).expect("a strategy is copied");
    }
    let out = scratch.join("engine.out");
    let (shown, seconds_text) = (path.display().to_string(), seconds.to_string());
    let args = ["run", "--json", "--config", &shown, "--seconds", &seconds_text];
    let mut engine = Process::start_into(&tercel(), &args, &out, scratch.join("engine.err"));
    let status = engine.wait(Duration::from_secs(seconds + 30)).expect("the engine ends by itself");
    assert!(status.success(), "{status}: {}", engine.errors());
    let text = std::fs::read_to_string(&out).expect("the report is there");
    serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text} {}", engine.errors()))
}

/// A decimal in thousandths of a lot's unit, so that `0.01` and `0.010` are the same.
fn exact(value: &Value) -> i128 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no decimal text"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= 12, "{text}");
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    let digits = format!("{}{fraction:0<12}", whole.trim_start_matches('-'));
    sign * digits.parse::<i128>().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Orders by the id they were born with: side, CumQty.
type Account = BTreeMap<String, (i64, i128)>;

fn ours(report: &Value) -> Account {
    let orders = report["book_of_orders"]["orders"].as_object().expect("the report lists orders");
    let row = |order: &Value| {
        let root = order["root"].as_str().expect("a root").to_owned();
        (root, (order["side"].as_i64().expect("a side"), exact(&order["cum_qty"])))
    };
    orders.values().map(row).collect()
}

fn theirs(summary: &Value) -> Account {
    let orders = summary["orders"].as_object().expect("the summary lists orders");
    let side = |order: &Value| order["side"].as_str().and_then(|side| side.parse().ok()).expect("a side");
    orders.iter().map(|(root, order)| (root.clone(), (side(order), exact(&order["cum_qty"])))).collect()
}

/// Both accounts of the run, order by order. Orders that were lost on the way there exist on our side only, empty.
fn assert_same_account(report: &Value, summary: &Value) {
    assert_eq!(summary["wrong"], json!([]), "what the acceptor found wrong");
    let (mut ours, theirs) = (ours(report), theirs(summary));
    for lost in summary["lost_orders"].as_array().expect("a list") {
        let lost = lost.as_str().expect("an id");
        let (_, cum_qty) = ours.remove(lost).unwrap_or_else(|| panic!("{lost} was sent, so we must know it"));
        assert_eq!(cum_qty, 0, "{lost} never reached the venue");
    }
    assert_eq!(ours, theirs, "orders, sides and CumQty by the ClOrdID of the first request");
    assert_eq!(exact(&report["position"]["BTCUSDT"]), exact(&summary["position"]), "position");
    assert_eq!(exact(&report["pnl"]["fees"]), exact(&summary["fees"]), "fees");
    for (name, theirs) in [("fills", "fills"), ("fills_partial", "partials"), ("venue_rejects", "rejects")] {
        assert_eq!(report[name], summary["count"][theirs], "{name}");
    }
    let open = summary["orders"].as_object().unwrap().iter().filter(|(_, order)| order["open"] == true).count();
    assert_eq!((open, &report["orders_open"]), (0, &json!(0)), "nothing is left at the venue");
    let ledger = &report["book_of_orders"]["ledger"][0];
    assert_eq!(exact(&ledger["position"]), exact(&summary["position"]), "the risk ledger");
    assert_eq!((exact(&ledger["reserved_buys"]), exact(&ledger["reserved_sells"])), (0, 0), "nothing stays reserved");
    assert_eq!(report["order_breaches"], 0, "{report}");
}

#[test]
fn a_venue_that_is_not_ours_and_we_agree_on_every_order() {
    if !simplefix() {
        return;
    }
    let scratch = Scratch::new("foreign");
    let venue = Venue::start(scratch.path(), &[]);
    let mut acceptor = Acceptor::start(scratch.path(), &["--drop-after", "5"]);
    let run_dir = scratch.path().join("run");
    let config = config_text(&run_dir, venue.http, acceptor.port).replace("heart_bt_int_s = 10", "heart_bt_int_s = 2");
    let report = trade(scratch.path(), &config, 12);
    let summary = acceptor.summary();
    assert_same_account(&report, &summary);
    let wire = acceptor.wire(&run_dir.join("fix.store"));

    let count = |key: &str| summary["count"][key].as_u64().unwrap_or_else(|| panic!("no count of {key}"));
    println!("acceptor {}\nwire {wire}", summary["count"]);
    // The run held what it was made for: fills of both kinds, replaces and cancels,
    assert!(count("fills") >= 5 && count("partials") >= 2, "{summary}");
    assert!(count("replaces") >= 1 && count("cancels") >= 1, "{summary}");
    // a disconnect with an order and a fill lost on the way, and a fill while nobody listened,
    assert_eq!((count("logons"), count("disconnects")), (2, 1), "{summary}");
    assert!(count("lost_orders_in") >= 1 && count("fills_lost_out") == 1 && count("fills_away") == 1, "{summary}");
    // recovery by resend in both directions: executions again, orders never,
    assert!(count("resends_answered") >= 1 && count("resent") >= 2, "{summary}");
    assert!(count("resends_asked") >= 1 && count("gap_fills_in") >= 1, "{summary}");
    assert_eq!(count("poss_dup_in"), count("gap_fills_in"), "nothing but gap fills is ever sent again");
    // status requests before trading goes on, and a session kept alive.
    assert!(count("mass_status") >= 2 && count("status") >= 1, "{summary}");
    // The last question may be on its way when the run ends.
    assert!(count("tests_answered") >= 2 && count("tests_answered") + 1 >= count("tests_sent"), "{summary}");
    assert!(wire["client"]["types"]["0"].as_u64() >= Some(count("tests_answered")), "{wire}");
    assert_eq!(report["session_losses"], 2, "the drop, and the end");
    assert_planted_faults_are_found(&acceptor.dir.join("fix.log"));
}

/// The reader of the wire is no judge unless it says no: one fault a copy of a good log.
fn assert_planted_faults_are_found(log: &Path) {
    let good = std::fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let first = |direction: &str, kind: &str| {
        let found = |line: &&str| line.contains(direction) && line.contains(kind) && line.matches("8=FIX").count() == 1;
        lines.iter().position(found).unwrap_or_else(|| panic!("no {kind}{direction}"))
    };
    let (order, fill) = (first(" in ", "|35=D|"), first(" out ", "|150=F|"));
    let with = |at: usize, line: Option<&str>| {
        let mut copy = lines.clone();
        copy.splice(at..=at, line);
        copy.join("\n")
    };
    let moved = lines[fill].replacen("|31=6", "|31=7", 1);
    let longer = lines[fill].replacen("|31=6", "|31=66", 1);
    let again = format!("{}\n{}", lines[order], lines[order]);
    for (text, word) in [
        (with(fill, Some(&moved)), "wrong CheckSum"),
        (with(fill, Some(&longer)), "wrong BodyLength"),
        (with(fill, None), "neither sent, resent nor gap-filled"),
        (with(order, Some(&again)), "MsgSeqNum used twice"),
        (with(order, Some(&again)), "ClOrdID used twice"),
    ] {
        let path = log.with_extension("planted");
        std::fs::write(&path, text).unwrap();
        let script = root().join("tests/e2e/python/wire.py");
        let output = Command::new(python()).arg(script).arg(&path).output().expect("python starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(1) && said.contains(word), "planted `{word}` was not found: {said}");
    }
}

#[test]
fn the_order_session_runs_over_tls_with_a_test_certificate() {
    if !simplefix() {
        return;
    }
    let scratch = Scratch::new("foreign-tls");
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
    let (cert, key) = (scratch.path().join("cert.pem"), scratch.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let venue = Venue::start(scratch.path(), &[]);
    let (cert_text, key_text) = (cert.display().to_string(), key.display().to_string());
    let mut acceptor = Acceptor::start(scratch.path(), &["--tls-cert", &cert_text, "--tls-key", &key_text]);
    let run_dir = scratch.path().join("run");
    let tls = format!("kind = \"fix44\"\ntls = true\nca_file = {}\n", json!(cert_text));
    let config = config_text(&run_dir, venue.http, acceptor.port).replace("kind = \"fix44\"\n", &tls);
    let report = trade(scratch.path(), &config, 8);
    let summary = acceptor.summary();
    assert_same_account(&report, &summary);
    acceptor.wire(&run_dir.join("fix.store"));
    assert!(summary["count"]["fills"].as_u64() >= Some(1), "{summary}");
    assert_eq!(summary["count"]["logons"], 1, "{summary}");
}
