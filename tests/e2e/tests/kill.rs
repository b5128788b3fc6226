//! The kill switch by command, by file and by signal, with the core at work and with the core wedged. Judged from what the
//! venue wrote down: no order is open any more, and none came after.
use serde_json::Value;
use std::time::{Duration, Instant};
use tercel_test_e2e::{Engine, Site, judge_with, run_json};

const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Clone, Copy, Debug)]
enum Trigger {
    Command,
    File,
    Signal,
}

impl Trigger {
    fn pull(self, site: &Site, engine: &Engine) {
        let dir = site.run_dir.display().to_string();
        match self {
            Self::Command => assert_eq!(run_json(&["kill", &dir, "--json"], 0)["kill_word"], "raised"),
            Self::File => std::fs::write(site.run_dir.join("KILL"), "").expect("the file can be made"),
            Self::Signal => engine.process.signal(libc::SIGUSR1),
        }
    }
}

fn open_orders(site: &Site) -> Value {
    judge_with(&site.venue.dir, None, &[]).expect("the venue's log is sound")["open_orders"].clone()
}

/// Waits until the engine trades and has orders in the market.
fn trade(site: &Site, engine: &mut Engine) {
    let from = site.line_count();
    let traded = site.wait_for(engine, PATIENCE, |site| site.new_orders_since(from) >= 3 && open_orders(site) != 0);
    assert!(traded, "the engine does not trade: {}", engine.process.errors());
}

fn wall_ns() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as i64)
}

/// Pulls the trigger; then every order is cancelled, and nothing new comes for a while. Returns when the venue took in the
/// last cancel, as wall time.
fn kill(site: &Site, engine: &mut Engine, trigger: Trigger) -> i64 {
    let (from, pulled) = (site.line_count(), wall_ns());
    trigger.pull(site, engine);
    let flat = site.wait_for(engine, Duration::from_secs(10), |site| open_orders(site) == 0);
    assert!(flat, "{trigger:?}: {} orders are open 10 s after it: {}", open_orders(site), engine.process.errors());
    let after = site.line_count();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(site.new_orders_since(after), 0, "{trigger:?}: new orders came after it");
    assert_eq!(open_orders(site), 0, "{trigger:?}");
    let cancels = site.order_lines().split_off(from).into_iter().filter(|line| line["msg_type"] == "F");
    let last = cancels.filter_map(|line| line["wall"].as_i64()).next_back().unwrap_or(pulled);
    eprintln!("{trigger:?}: the last cancel {:.1} ms after it", (last - pulled) as f64 / 1e6);
    last
}

fn clear(site: &Site) {
    let dir = site.run_dir.display().to_string();
    assert_eq!(run_json(&["kill", &dir, "--clear", "--json"], 0)["kill_word"], "cleared");
    assert!(!site.run_dir.join("KILL").exists(), "the file would raise the word again");
    // The word stopped the core too; trading again is a second decision.
    let answer = run_json(&["ctl", &dir, "mode", "active", "--json"], 0);
    assert_eq!((&answer["ok"], answer["warning"].is_null()), (&true.into(), true), "{answer}");
}

#[test]
fn each_trigger_cancels_everything_and_can_be_taken_back() {
    let mut site = Site::new("kill", &[]);
    let mut engine = site.engine(&[]);
    for trigger in [Trigger::Command, Trigger::File, Trigger::Signal] {
        trade(&site, &mut engine);
        kill(&site, &mut engine, trigger);
        clear(&site);
    }
    trade(&site, &mut engine);
    let report = engine.end(PATIENCE).expect("an orderly end");
    let account = site.judge(&report).expect("the engine's account is the venue's");
    assert_eq!(account["open_orders"], 0);
}

#[test]
fn a_raised_word_outlives_the_engine() {
    let mut site = Site::new("kill-restart", &[]);
    let mut engine = site.engine(&[]);
    trade(&site, &mut engine);
    engine.process.signal(libc::SIGKILL);
    engine.dies(PATIENCE).expect("SIGKILL kills");
    // Nobody is there to obey; the next start is.
    Trigger::Command.pull(&site, &engine);
    let from = site.line_count();
    let mut engine = site.engine(&[]);
    let flat = site.wait_for(&mut engine, PATIENCE, |site| open_orders(site) == 0);
    assert!(flat, "orders of the dead engine are still open: {}", engine.process.errors());
    assert_eq!(site.new_orders_since(from), 0);
    clear(&site);
    trade(&site, &mut engine);
    let report = engine.end(PATIENCE).expect("an orderly end");
    site.judge(&report).expect("the engine's account is the venue's");
}

/// How long a core may hang before the watchdog raises the word by itself.
const WATCHDOG_NS: i64 = 2_000_000_000;

/// An engine one of whose threads hangs while orders are open; with it, when the hanging was seen.
fn hanging(name: &str, thread: &str) -> (Site, Engine, i64) {
    let mut site = Site::new(name, &[]);
    let mut engine = site.engine(&["--wedge-after", "4", "--wedge", thread]);
    trade(&site, &mut engine);
    let deadline = Instant::now() + PATIENCE;
    while !engine.process.errors().contains("thread hangs, as asked") {
        assert!(Instant::now() < deadline, "no thread hangs: {}", engine.process.errors());
        std::thread::sleep(Duration::from_millis(5));
    }
    (site, engine, wall_ns())
}

/// The end of an engine whose core hangs still has a report, and it is right.
fn end_of_hanging(site: &Site, mut engine: Engine) {
    let report = engine.end(PATIENCE).expect("an end even so");
    assert_eq!(report["wedged"], serde_json::json!(["core"]), "the report says that the core hung");
    site.judge(&report).expect("the engine's account is the venue's");
}

/// The core hangs, so that only the gateway's own table is left to cancel by.
#[test]
fn each_trigger_works_with_the_core_wedged() {
    for trigger in [Trigger::Command, Trigger::File, Trigger::Signal] {
        // On a host that is very busy the watchdog can come first; that shows nothing about the trigger.
        let alone = (1..=3).any(|attempt| {
            let (site, mut engine, hung) = hanging(&format!("wedge-{trigger:?}-{attempt}"), "core");
            let alone = kill(&site, &mut engine, trigger) < hung + WATCHDOG_NS;
            end_of_hanging(&site, engine);
            alone
        });
        assert!(alone, "{trigger:?}: the watchdog was faster three times");
    }
}

#[test]
fn the_watchdog_cancels_when_nobody_else_does() {
    let (site, mut engine, _) = hanging("wedge-watchdog", "core");
    let flat = site.wait_for(&mut engine, PATIENCE, |site| open_orders(site) == 0);
    assert!(flat, "the watchdog did not cancel: {}", engine.process.errors());
    assert!(engine.process.errors().contains("watchdog: the core thread"), "{}", engine.process.errors());
    end_of_hanging(&site, engine);
}

/// Nobody can cancel for an order thread that hangs; it is named, nothing new leaves, and the end finds the venue's truth.
#[test]
fn an_order_thread_that_hangs_is_named_and_sends_nothing_more() {
    let (site, mut engine, _) = hanging("wedge-orders", "orders");
    let deadline = Instant::now() + PATIENCE;
    while !engine.process.errors().contains("watchdog: the orders thread has not turned") {
        assert!(Instant::now() < deadline, "nobody noticed: {}", engine.process.errors());
        std::thread::sleep(Duration::from_millis(5));
    }
    let from = site.line_count();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(site.new_orders_since(from), 0);
    let report = engine.end(PATIENCE).expect("an end even so");
    assert_eq!(report["wedged"], serde_json::json!(["orders"]));
    site.judge(&report).expect("the engine's account is the venue's");
}
