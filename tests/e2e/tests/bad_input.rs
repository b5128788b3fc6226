//! What a person or a machine may give the program wrongly, over real processes: every problem is said at once with its place,
//! nothing is started, exit code 2. What goes wrong later is survived or ends in order, and said.
mod crooked;

use crooked::Crooked;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tercel_test_e2e::{Process, STRATEGIES, Scratch, Site, Venue, config_text, judge, root, run_json, skipped, tercel};

/// Runs the program in `dir`; its end, standard output and standard error.
fn tercel_in(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(tercel()).args(args).current_dir(dir).stdin(Stdio::null()).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("the directory can be read");
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every part of `parts` stands in `text`.
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

/// A directory with the demo's configuration and strategies, for ports that nobody serves.
fn desk(name: &str) -> (Scratch, PathBuf, String) {
    let scratch = Scratch::new(name);
    for strategy in STRATEGIES {
        std::fs::copy(root().join("strategies").join(strategy), scratch.path().join(strategy)).expect("copied");
    }
    let run_dir = scratch.path().join("run");
    let config = config_text(&run_dir, 1, 1);
    (scratch, run_dir, config)
}

/// Number of the first line of `text` that begins with `start`, from 1.
fn line_of(text: &str, start: &str) -> usize {
    1 + text.lines().position(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no line `{start}`"))
}

#[test]
fn the_program_alone_prints_help_and_starts_nothing() {
    let scratch = Scratch::new("alone");
    let started = Instant::now();
    let (code, out, err) = tercel_in(scratch.path(), &[]);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(code, 2, "nothing was asked for");
    assert_says(&(out + &err), &["Usage: tercel <COMMAND>", "demo", "backtest", "replay"]);
    assert_eq!(names_in(scratch.path()), Vec::<String>::new());
}

#[test]
fn every_problem_of_a_configuration_is_listed_at_once_and_nothing_starts() {
    let (scratch, run_dir, good) = desk("config");
    let bad = good
        .replace("log_mb = 64", "log_mbb = 64")
        .replace("heart_bt_int_s = 10", "heart_bt_int_s = \"ten\"")
        .replace("port = 1\n", "port = 70000\n")
        .replacen("max_loss_day = \"1000\"\n", "", 1)
        .replacen("max_long = \"0.3\"", "max_long = \"0.30005\"", 1)
        .replace("file = \"obi_scalper.strat\"", "file = \"nowhere.strat\"");
    let path = scratch.path().join("bad.toml");
    std::fs::write(&path, &bad).unwrap();
    let before = names_in(scratch.path());
    for more in [&[][..], &["--check-only"]] {
        let (code, out, err) = tercel_in(scratch.path(), &[&["run", "--config", "bad.toml"], more].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        let at = |start: &str, rest: &str| format!("bad.toml:{}:{rest}", line_of(&bad, start));
        assert_says(
            &err,
            &[
                &at("log_mbb", "1: `run.log_mbb`: found an unknown key"),
                "did you mean `log_mb`?",
                &at("heart_bt_int_s", "18: `session.heart_bt_int_s`: found a string (\"ten\")"),
                "a whole number in 1 .. 3600",
                &at("port = 70000", "8: `session.port`: found 70000"),
                &at("[account.limits]", "1: `account[0].limits.max_loss_day`: found nothing"),
                &at("max_long = \"0.30005\"", "12: `strategy[0].position[0].max_long`: found \"0.30005\""),
                "a multiple of the lot 0.001",
                "`nowhere.strat`: No such file",
            ],
        );
        assert_eq!(err.lines().count(), 6, "each problem once, in one line:\n{err}");
        let lines: Vec<usize> = err.lines().map(|line| line.split(':').nth(1).unwrap().parse().unwrap()).collect();
        assert!(lines.is_sorted(), "in the order of the file: {lines:?}");
    }
    assert_eq!(names_in(scratch.path()), before);
    assert!(!run_dir.exists(), "no journal");

    let (code, _, err) = tercel_in(scratch.path(), &["run", "--config", "missing.toml"]);
    assert_eq!(code, 2);
    assert_says(&err, &["missing.toml", "No such file"]);
    std::fs::write(&path, "[run]\nname = = 1\n").unwrap();
    let (code, _, err) = tercel_in(scratch.path(), &["run", "--config", "bad.toml"]);
    assert_eq!(code, 2);
    assert_says(&err, &["bad.toml:2:"]);
    std::fs::write(&path, good).unwrap();
    let (code, out, err) = tercel_in(scratch.path(), &["run", "--config", "bad.toml", "--check-only"]);
    assert_eq!(code, 0, "without the planted problems it is good: {err}");
    assert_says(&out, &["ok, 2 strategies, nothing started"]);
    assert!(!run_dir.exists());
}

#[test]
fn ports_in_use_and_other_bad_arguments_of_the_venue_are_listed_at_once() {
    let scratch = Scratch::new("ports");
    let taken = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [http, fix] = taken.each_ref().map(|listener| listener.local_addr().unwrap().port().to_string());
    let args = ["venue", "--http-port", &http, "--fix-port", &fix, "--data", "nowhere.gz", "--fault", "flood@3s"];
    let (code, out, err) = tercel_in(scratch.path(), &args);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    let port = |flag: &str, port: &str| format!("{flag} {port}: Address already in use");
    assert_says(
        &err,
        &[&port("--http-port", &http), &port("--fix-port", &fix), "nowhere.gz: no such file", "`flood@3s` is no fault"],
    );
    assert_eq!(err.lines().count(), 4, "{err}");
    assert_eq!(names_in(scratch.path()), Vec::<String>::new(), "nothing was written");
}

#[test]
fn a_wrong_strategy_is_shown_with_its_place_and_a_suggestion_by_every_command() {
    let (scratch, run_dir, config) = desk("strategy");
    let good = std::fs::read_to_string(root().join("strategies/obi_scalper.strat")).unwrap();
    let bad = good
        .replace("let view = alpha ?? 0 bps", "let view = alpha ?? 0 USDT")
        .replace("via aggressive(", "via agressive(");
    assert_ne!(good, bad);
    std::fs::write(scratch.path().join("bad.strat"), &bad).unwrap();
    std::fs::write(scratch.path().join("bad.toml"), config.replace("\"obi_scalper.strat\"", "\"bad.strat\"")).unwrap();
    let before = names_in(scratch.path());
    let unit = format!("bad.strat:{}:14", line_of(&bad, "  let view"));
    let way = format!("bad.strat:{}:26", line_of(&bad, "    target x = 0 BTC"));
    for args in [
        &["check", "bad.strat"][..],
        &["run", "--config", "bad.toml", "--seconds", "1"],
        &["run", "--config", "bad.toml", "--check-only"],
        &["demo", "--strategy", "bad.strat", "--keep", "kept", "--seconds", "1"],
        &["backtest", "--strategy", "bad.strat"],
    ] {
        let (code, _, err) = tercel_in(scratch.path(), args);
        assert_eq!(code, 2, "{args:?}: {err}");
        // Where, what was expected and found, and what to do, for both mistakes.
        assert_says(&err, &[&unit, "both sides need one unit", "`alpha` is ratio, `0 USDT` is USDT"]);
        assert_says(&err, &[&way, "unknown way to reach a target: `agressive`", "did you mean `aggressive`?"]);
    }
    assert_eq!(names_in(scratch.path()), before, "nothing was made");
    assert!(!run_dir.exists());
    let (code, out, _) =
        tercel_in(scratch.path(), &["check", "--json", "bad.strat", "as_maker.strat", "nowhere.strat"]);
    assert_eq!(code, 2);
    let found: Value = serde_json::from_str(&out).expect("JSON for every file");
    assert_eq!(found.as_array().map(Vec::len), Some(3));
    let verdicts: Vec<bool> = found.as_array().unwrap().iter().map(|file| file["ok"] == true).collect();
    assert_eq!(verdicts, [false, true, false], "{found}");
}

#[test]
fn a_strategy_that_does_not_fit_is_refused_before_anything_starts() {
    let (scratch, _, config) = desk("fit");
    let other = std::fs::read_to_string(root().join("strategies/as_maker.strat")).unwrap();
    let other = other.replace("BTC", "ETH");
    std::fs::write(scratch.path().join("as_maker.strat"), &other).unwrap();
    let place =
        format!("as_maker.strat:{}:14: strategy `as_maker`: `instrument.x`: found ", line_of(&other, "  instrument x"));
    std::fs::write(scratch.path().join("tercel.toml"), config).unwrap();
    let before = names_in(scratch.path());
    for args in [
        &["run", "--config", "tercel.toml", "--seconds", "1"][..],
        &["demo", "--strategy", "as_maker.strat", "--keep", "kept", "--seconds", "1"],
    ] {
        let (code, _, err) = tercel_in(scratch.path(), args);
        assert_eq!(code, 2, "{args:?}: {err}");
        // Where it stands in the strategy, what the configuration has, what to do.
        assert_says(&err, &[&place, "`BTCUSDT`, which is BTC/USDT", "perp(ETH/USDT)"]);
        assert_eq!(names_in(scratch.path()), before, "nothing was made");
    }
}

#[test]
fn certificates_and_parameters_are_checked_before_anything_starts() {
    let (scratch, run_dir, good) = desk("holes");
    std::fs::write(scratch.path().join("empty.pem"), "no certificate here\n").unwrap();
    let bad = good
        .replace("kind = \"binance\"\n", "kind = \"binance\"\nca_file = \"nowhere.pem\"\n")
        .replace("kind = \"fix44\"\n", "kind = \"fix44\"\ntls = true\nca_file = \"empty.pem\"\n");
    std::fs::write(scratch.path().join("bad.toml"), &bad).unwrap();
    let (code, _, err) = tercel_in(scratch.path(), &["run", "--config", "bad.toml", "--check-only"]);
    assert_eq!((code, err.lines().count()), (2, 2), "{err}");
    let at = |file: &str, key: &str| format!("bad.toml:{}:11: `{key}.ca_file`: found ", line_of(&bad, file));
    assert_says(&err, &[&at("ca_file = \"nowhere", "feed"), &at("ca_file = \"empty", "session")]);
    assert_says(&err, &["nowhere.pem", "empty.pem", "a readable PEM file with at least one certificate"]);

    let (head, tail) = good.split_once("file = \"obi_scalper.strat\"\n").unwrap();
    let bad = format!("{head}file = \"obi_scalper.strat\"\nparams = {{ clip = 5, hodl = 1 }}\n{tail}");
    std::fs::write(scratch.path().join("bad.toml"), &bad).unwrap();
    let (code, _, err) = tercel_in(scratch.path(), &["run", "--config", "bad.toml", "--check-only"]);
    assert_eq!((code, err.lines().count()), (2, 2), "{err}");
    let line = line_of(&bad, "params");
    assert_says(
        &err,
        &[
            &format!("bad.toml:{line}:19: strategy `obi_scalper`: `params.clip`: found 5, allowed is 0.001 .. 0.1"),
            &format!("bad.toml:{line}:29: strategy `obi_scalper`: `params.hodl`: found no such parameter"),
        ],
    );
    assert!(!run_dir.exists());
}

/// The built-in recording, unpacked up to `lines` lines.
fn recording(lines: usize) -> String {
    let packed = root().join("tools/venue/data/btcusdt_usdm_20240808.jsonts.gz");
    let script =
        "import gzip,sys; [sys.stdout.write(l) for _, l in zip(range(int(sys.argv[2])), gzip.open(sys.argv[1], 'rt'))]";
    let output = Command::new("python3").arg("-c").arg(script).arg(packed).arg(lines.to_string()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_cut_or_wrong_recording_is_refused_with_file_and_line_by_every_reader() {
    let scratch = Scratch::new("recording");
    let strategy = root().join("strategies/as_maker.strat").display().to_string();
    let text = recording(1_500);
    let lines: Vec<&str> = text.lines().collect();
    let packed = std::fs::read(root().join("tools/venue/data/btcusdt_usdm_20240808.jsonts.gz")).unwrap();
    let mut torn = lines[..600].join("\n");
    torn.truncate(torn.len() - 40);
    let mut wrong = lines.clone();
    wrong[699] = "hello, world";
    let wrong = wrong.join("\n") + "\n";
    for (file, bytes, line) in [
        ("torn.jsonts", torn.as_bytes(), Some(600)),
        ("wrong.jsonts", wrong.as_bytes(), Some(700)),
        ("cut.jsonts.gz", &packed[..100_000], None),
        ("empty.jsonts", b"", None),
    ] {
        std::fs::write(scratch.path().join(file), bytes).unwrap();
        let before = names_in(scratch.path());
        for args in [
            &["venue", "--dir", "venue", "--seconds", "1", "--data", file][..],
            &["backtest", "--strategy", &strategy, "--data", file],
            &["data", "bbo", "--data", file],
        ] {
            let (code, _, err) = tercel_in(scratch.path(), args);
            assert_eq!(code, 2, "{args:?}: {err}");
            assert_says(&err, &[file]);
            if let Some(line) = line {
                let said = [format!("{file}:{line}"), format!("line {line}")];
                assert!(said.iter().any(|place| err.contains(place.as_str())), "{args:?} says no line {line}: {err}");
            }
            if file.ends_with("gz") {
                assert!(err.contains("line 24") || err.contains("gz:24"), "the line where the text ends: {err}");
            }
        }
        assert!(!scratch.path().join("venue").exists(), "the venue wrote nothing");
        assert_eq!(names_in(scratch.path()), before);
    }
    let (code, _, err) = tercel_in(scratch.path(), &["demo", "--data", "torn.jsonts", "--seconds", "2"]);
    assert_ne!(code, 0);
    assert_says(&err, &["torn.jsonts", "600"]);
}

/// Starts an engine beside a venue, but with its order session through `port`.
fn engine_at(scratch: &Path, venue: &Venue, port: u64) -> (Process, PathBuf) {
    for strategy in STRATEGIES {
        std::fs::copy(root().join("strategies").join(strategy), scratch.join(strategy)).expect("copied");
    }
    let config = scratch.join("tercel.toml");
    std::fs::write(&config, config_text(&scratch.join("run"), venue.http, port)).unwrap();
    let (out, err) = (scratch.join("engine.out"), scratch.join("engine.err"));
    let shown = config.display().to_string();
    (Process::start_into(&tercel(), &["run", "--json", "--config", &shown], &out, err), out)
}

fn report_in(out: &Path, process: &Process) -> Value {
    let text = std::fs::read_to_string(out).unwrap_or_default();
    serde_json::from_str(text.trim().lines().last().unwrap_or(""))
        .unwrap_or_else(|e| panic!("no report ({e}): {text}\n{}", process.errors()))
}

fn wait_until(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_fix_peer_that_talks_nonsense_costs_nothing() {
    let scratch = Scratch::new("peer");
    let venue = Venue::start(scratch.path(), &[]);
    let crooked = Crooked::start(venue.fix as u16);
    let (mut engine, out) = engine_at(scratch.path(), &venue, u64::from(crooked.port));
    // Five connections that never become a session, then the real venue behind a line that damages, repeats and cuts.
    wait_until(Duration::from_secs(40), "every planned fault", || {
        assert!(engine.wait(Duration::ZERO).is_none(), "the engine died: {}", engine.errors());
        crooked.is_done()
    });
    let fills = || {
        let text = std::fs::read_to_string(venue.dir.join("orders.jsonl")).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"exec_type\":\"F\"")).count()
    };
    let before = fills();
    wait_until(Duration::from_secs(20), "a fill after the last fault", || fills() > before);
    engine.signal(libc::SIGINT);
    let status = engine.wait(Duration::from_secs(20)).expect("a clean end");
    assert_eq!(status.code(), Some(0), "{}", engine.errors());
    let report = report_in(&out, &engine);
    println!("{}", crooked.told());
    assert!(report["orders"].as_u64() >= Some(10) && report["fills"].as_u64() >= Some(1), "{report}");
    assert!(report["session_losses"].as_u64() >= Some(2), "{report}");
    assert_eq!(report["orders_open"], 0);
    assert_eq!(report["order_breaches"], 0, "{report}");
    assert_says(&engine.errors(), &["order session"]);
    // Nothing was lost and nothing counted twice: the venue's own account is ours.
    let verdict = venue.judge(Some(&tercel_test_e2e::account_of(&report)));
    assert_eq!((&verdict["open_orders"], verdict["wrong"].as_array().map(Vec::len)), (&0.into(), Some(0)), "{verdict}");
    // The damage was real, and orders were never repeated on the wire.
    let wire = std::fs::read_to_string(venue.dir.join("fix.log")).unwrap();
    assert!(wire.contains("|35=2|"), "a damaged report was asked for again");
    for line in wire.lines().filter(|line| line.contains(" in ")) {
        let resent_order = line
            .split("8=FIX")
            .any(|m| m.contains("|43=Y|") && ["|35=D|", "|35=F|", "|35=G|"].iter().any(|kind| m.contains(kind)));
        assert!(!resent_order, "{line}");
    }
}

#[test]
fn a_torn_journal_is_recovered_and_said_and_a_flipped_bit_is_refused() {
    let mut site = Site::new("journal", &[]);
    let mut engine = site.engine(&[]);
    assert!(site.wait_for(&mut engine, Duration::from_secs(30), |site| site.new_orders_since(0) >= 8));
    engine.end(Duration::from_secs(20)).expect("the first run ends in order");
    let journal = site.run_dir.join("journal");
    let segment = journal.join("00000001.seg");
    let whole = std::fs::read(&segment).expect("one segment");
    let dir = site.run_dir.display().to_string();

    // One bit in the middle: named by file, offset and seq by both commands; nothing is started or changed.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    std::fs::write(&segment, &flipped).unwrap();
    let before = (names_in(&site.run_dir), names_in(&journal), site.line_count());
    let config = site.config.display().to_string();
    for args in [&["run", "--config", &config, "--seconds", "1"][..], &["replay", &dir]] {
        let (code, _, err) = tercel_in(&site.run_dir, args);
        assert_eq!(code, 1, "{err}");
        assert_says(&err, &["00000001.seg` is damaged at offset ", ", seq ", "its checksum is wrong"]);
    }
    assert_eq!(before, (names_in(&site.run_dir), names_in(&journal), site.line_count()), "nothing was started");
    assert_eq!(std::fs::read(&segment).unwrap(), flipped, "evidence is not touched");

    // The end cut off inside a frame: recovered up to the frame before, and said by both.
    std::fs::write(&segment, &whole[..whole.len() - 151]).unwrap();
    let replayed = run_json(&["replay", &dir, "--json"], 1);
    assert_says(replayed["replay"]["torn"].as_str().unwrap_or(""), &["a torn tail of ", "00000001.seg at offset "]);
    assert_says(
        replayed["replay"]["difference"].as_str().unwrap_or(""),
        &["the journal ends before it, the run ended at"],
    );
    let mut engine = site.engine(&[]);
    let lines = site.line_count();
    assert!(site.wait_for(&mut engine, Duration::from_secs(30), |site| site.new_orders_since(lines) >= 2), "trades on");
    let report = engine.end(Duration::from_secs(20)).expect("the second run ends in order");
    let said = engine.process.errors();
    assert_says(&said, &["recovered epoch 1 up to seq ", "a torn tail of ", "00000001.seg at offset "]);
    assert_eq!(report["epochs"], 2);
    site.judge(&report).expect("the venue agrees");
    assert_eq!(run_json(&["replay", &dir, "--json"], 0)["replay"]["identical"], true);
}

/// Open orders of the venue's log as (time, how many) after every execution; IOC orders do not count.
fn open_over_time(lines: &[Value]) -> Vec<(i64, usize)> {
    let mut open = BTreeMap::new();
    let execs = lines.iter().filter(|line| line["type"] == "exec" && line["exec_type"] != "I" && line["tif"] != "3");
    execs
        .map(|line| {
            let live = line["ord_status"] == "0" || line["ord_status"] == "1";
            open.insert(line["order_id"].to_string(), live);
            (line["ts"].as_i64().expect("a time"), open.values().filter(|live| **live).count())
        })
        .collect()
}

#[test]
fn gapped_cut_and_lost_market_data_is_counted_pulls_the_quotes_and_heals() {
    let faults = ["malform-quote@4s", "duplicate-depth@4s", "refuse-snapshot@5s", "malform-depth@5s", "drop-depth@7s"];
    let faults = [&faults[..], &["disconnect-quote@9s", "disconnect-depth@9s"]].concat();
    let args: Vec<&str> = faults.iter().flat_map(|fault| ["--fault", fault]).collect();
    let mut site = Site::new("feed", &args);
    let venue_log = site.venue.dir.join("venue.log");
    let planted = || -> Vec<(String, i64)> {
        let text = std::fs::read_to_string(&venue_log).unwrap_or_default();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let faults = events.filter(|event| event["event"] == "fault");
        faults.map(|f| (f["kind"].as_str().unwrap_or("").to_owned(), f["ts"].as_i64().unwrap_or(0))).collect()
    };
    let mut engine = site.engine(&[]);
    assert!(
        site.wait_for(&mut engine, Duration::from_secs(40), |_| planted().len() == faults.len()),
        "{:?}",
        planted()
    );
    let lines = site.line_count();
    assert!(site.wait_for(&mut engine, Duration::from_secs(20), |site| site.new_orders_since(lines) >= 3), "it heals");
    let report = engine.end(Duration::from_secs(20)).expect("a clean end");
    let counted =
        |name: &str| report["feed"]["counters"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {report}"));
    assert!(counted("malformed") >= 2, "{report}");
    assert!(counted("depths_old") >= 1, "the repeated message: {report}");
    assert!(counted("snapshots_failed") >= 1 && counted("disconnects") >= 2, "{report}");
    assert!(report["feed"]["gaps"].as_u64() >= Some(1), "{report}");
    assert!(report["feed"]["resyncs"].as_u64() >= Some(3), "{report}");
    assert_eq!(report["bad_frames"], 0, "what was cut never became a frame: {report}");
    // Quotes do not outlive the book that they were made from.
    let open = open_over_time(&site.order_lines());
    for (kind, at) in planted().iter().filter(|(kind, _)| kind == "malform-depth" || kind == "disconnect-depth") {
        let before = open.iter().rev().find(|(ts, _)| ts < at).map_or(0, |(_, count)| *count);
        let least = open.iter().filter(|(ts, _)| ts > at && *ts < at + 1_500_000_000).map(|(_, count)| *count).min();
        assert!(before >= 1 && least == Some(0), "{kind} at {at}: {before} orders before, at least {least:?} after");
    }
    site.judge(&report).expect("the venue agrees");
}

/// Arguments for `unshare`: `program` twice in a mount namespace of its own, first with `size_kb` of tmpfs at `dir`, then with
/// room enough. Output and exit code of the first go to `first.out`, `.err` and `.code` in `scratch`. `None` where the
/// host does not allow it.
fn small_disk_first(dir: &Path, size_kb: u32, program: &str, scratch: &Path) -> Option<Vec<String>> {
    let mount = format!("mount -t tmpfs -o size={size_kb}k tmpfs '{}'", dir.display());
    let allowed = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        skipped("this host lets nobody mount a small disk (`unshare -rm`)", true);
        return None;
    }
    let first = scratch.join("first").display().to_string();
    let grow = format!("mount -o remount,size=64m tmpfs '{}'", dir.display());
    let script = format!(
        "{mount} && {{ {program} > '{first}.out' 2> '{first}.err'; echo $? > '{first}.code'; {grow} && exec {program}; }}"
    );
    Some(["-rm", "sh", "-c", &script].map(str::to_owned).to_vec())
}

#[test]
fn a_full_disk_halts_trading_cancels_the_orders_says_so_and_the_next_start_loses_nothing() {
    let scratch = Scratch::new("disk");
    let venue = Venue::start(scratch.path(), &[]);
    for strategy in STRATEGIES {
        std::fs::copy(root().join("strategies").join(strategy), scratch.path().join(strategy)).expect("copied");
    }
    let (run_dir, config) = (scratch.path().join("run"), scratch.path().join("tercel.toml"));
    std::fs::write(&config, config_text(&run_dir, venue.http, venue.fix)).unwrap();
    let journal = run_dir.join("journal");
    std::fs::create_dir_all(&journal).unwrap();
    let program = format!("'{}' run --json --config '{}'", tercel().display(), config.display());
    let Some(args) = small_disk_first(&journal, 600, &program, scratch.path()) else { return };
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (out, err) = (scratch.path().join("second.out"), scratch.path().join("second.err"));
    let mut lives = Process::start_into(Path::new("unshare"), &args, &out, err);
    let first =
        |kind: &str| std::fs::read_to_string(scratch.path().join("first").with_extension(kind)).unwrap_or_default();
    wait_until(Duration::from_secs(40), "the journal fails", || {
        assert!(first("code").is_empty(), "the engine ended: {}{}", first("err"), lives.errors());
        first("err").contains("journal:")
    });
    assert_says(
        &first("err"),
        &["No space left on device", "trading is halted and orders are cancelled", "free the disk"],
    );
    // The engine still runs and trades no more: every order dies at once, and none follows.
    let requests = |kind: &str| {
        let text = std::fs::read_to_string(venue.dir.join("orders.jsonl")).unwrap_or_default();
        text.lines().filter(|line| line.contains(&format!("\"msg_type\":\"{kind}\""))).count()
    };
    wait_until(Duration::from_secs(5), "no order is left", || open_at(&venue.dir) == 0);
    let orders = (requests("D"), requests("G"));
    assert!(orders.0 >= 5, "there was something to cancel: {orders:?}");
    assert!(requests("F") >= 3, "cancelled");
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(orders, (requests("D"), requests("G")), "no order after the halt");
    assert_eq!(open_at(&venue.dir), 0);
    let engine = child_of(lives.child.id(), "tercel.toml").expect("the engine is a child of the shell");
    // SAFETY: kill(2) takes no pointer; the process is a child of our child, found a moment ago.
    assert_eq!(unsafe { libc::kill(engine, libc::SIGINT) }, 0);
    wait_until(Duration::from_secs(20), "it ends in order", || !first("code").trim().is_empty());
    assert_eq!(first("code").trim(), "1", "{}", first("err"));
    let report: Value = serde_json::from_str(first("out").trim()).expect("a report");
    assert!(report["journal_failure"]["error"].as_str().is_some_and(|e| e.contains("No space left")), "{report}");

    // With room again: what the journal lost, the venue tells.
    wait_until(Duration::from_secs(30), "it trades again", || {
        assert!(lives.wait(Duration::ZERO).is_none(), "the second start failed: {}", lives.errors());
        requests("D") >= orders.0 + 3
    });
    lives.signal(libc::SIGINT);
    let status = lives.wait(Duration::from_secs(20)).expect("it ends in order");
    assert_eq!(status.code(), Some(0), "{}", lives.errors());
    assert_says(&lives.errors(), &["recovered epoch 1 up to seq ", " from the journal"]);
    let report = report_in(&out, &lives);
    assert_eq!((&report["epochs"], &report["orders_open"]), (&2.into(), &0.into()), "{report}");
    venue.judge(Some(&tercel_test_e2e::account_of(&report)));
}

/// A child of `parent` whose command line holds `word`.
fn child_of(parent: u32, word: &str) -> Option<i32> {
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()).find(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let ppid = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        ppid == Some(parent) && String::from_utf8_lossy(&words).contains(word)
    })
}

/// A demo that keeps its files in `kept`, with its output in a file.
fn demo(scratch: &Path, more: &[&str]) -> (Process, PathBuf, PathBuf) {
    let (kept, out) = (scratch.join("kept"), scratch.join("demo.out"));
    let shown = kept.display().to_string();
    let args = [&["demo", "--keep", &shown], more].concat();
    (Process::start_into(&tercel(), &args, &out, scratch.join("demo.err")), kept, out)
}

/// Orders that the venue holds open by its log so far; a line that is still being written is left out.
fn open_at(venue_dir: &Path) -> usize {
    let text = std::fs::read_to_string(venue_dir.join("orders.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut open = BTreeMap::new();
    for line in lines.filter(|line| line["type"] == "exec" && line["exec_type"] != "I") {
        let live = line["ord_status"] == "0" || line["ord_status"] == "1";
        open.insert(line["order_id"].to_string(), live);
    }
    open.values().filter(|live| **live).count()
}

fn orders_at(venue_dir: &Path) -> usize {
    let text = std::fs::read_to_string(venue_dir.join("orders.jsonl")).unwrap_or_default();
    text.lines().filter(|line| line.contains("\"msg_type\":\"D\"") || line.contains("\"msg_type\":\"G\"")).count()
}

#[test]
fn trading_goes_on_without_a_killed_sidecar_and_its_memory() {
    let scratch = Scratch::new("sidecar");
    let (mut demo, kept, out) = demo(scratch.path(), &["--json", "--seconds", "14"]);
    let venue_dir = kept.join("venue");
    wait_until(Duration::from_secs(30), "orders and a sidecar", || {
        orders_at(&venue_dir) >= 10 && child_of(demo.child.id(), "tercel_sidecar.py").is_some()
    });
    std::thread::sleep(Duration::from_secs(2));
    let sidecar = child_of(demo.child.id(), "tercel_sidecar.py").expect("it lives");
    // SAFETY: kill(2) takes no pointer; the process is a child of our child, found a moment ago.
    assert_eq!(unsafe { libc::kill(sidecar, libc::SIGKILL) }, 0);
    let signals = kept.join("run/signals");
    for len in [40, 10, 0] {
        std::fs::File::options().write(true).open(&signals).unwrap().set_len(len).unwrap();
        std::thread::sleep(Duration::from_millis(150));
    }
    std::fs::write(&signals, [0xA5; 64]).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    std::fs::remove_file(&signals).unwrap();
    let before = orders_at(&venue_dir);
    wait_until(Duration::from_secs(12), "orders after the sidecar's death", || orders_at(&venue_dir) >= before + 10);
    let status = demo.wait(Duration::from_secs(40)).expect("the demo ends by itself");
    assert_eq!(status.code(), Some(0), "{}", demo.errors());
    assert_says(&demo.errors(), &["the sidecar ended early", "trading goes on without the signal"]);
    let report = report_in(&out, &demo);
    assert_eq!(report["replay"]["identical"], true, "{report}");
    assert!(report["signals"]["absent"].as_u64() >= Some(1), "{report}");
    assert!(report["signals"]["faults"].as_u64() >= Some(1), "said and counted: {report}");
}

#[test]
fn ctrl_c_ends_the_demo_within_seconds_with_a_report_and_no_order_left() {
    let scratch = Scratch::new("ctrl-c");
    let (mut demo, kept, out) = demo(scratch.path(), &["--seconds", "120"]);
    let venue_dir = kept.join("venue");
    wait_until(Duration::from_secs(30), "orders", || orders_at(&venue_dir) >= 20);
    demo.signal(libc::SIGINT);
    let asked = Instant::now();
    let status = demo.wait(Duration::from_secs(15)).expect("it ends soon");
    println!("ended {:?} after SIGINT", asked.elapsed());
    assert_eq!(status.code(), Some(0), "{}", demo.errors());
    let text = std::fs::read_to_string(&out).unwrap();
    assert_says(&text, &["orders ", "open 0", "P&L ", "replay      identical"]);
    assert!(kept.join("report.json").exists());
    let verdict = judge(&venue_dir, None);
    assert_eq!(verdict["open_orders"], 0, "{verdict}");
    let log = std::fs::read_to_string(venue_dir.join("venue.log")).unwrap();
    assert!(log.contains("LoggedOut"), "the session was logged out, not cut: {log}");
    wait_until(Duration::from_secs(5), "no child is left", || child_of(demo.child.id(), "venue").is_none());
}
