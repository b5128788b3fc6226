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

/// Pulls the trigger; then every order is cancelled, and nothing new comes for a while. Returns how long the cancels took.
fn kill(site: &Site, engine: &mut Engine, trigger: Trigger) -> Duration {
    let pulled = Instant::now();
    trigger.pull(site, engine);
    let flat = site.wait_for(engine, Duration::from_secs(10), |site| open_orders(site) == 0);
    let took = pulled.elapsed();
    assert!(flat, "{trigger:?}: {} orders are open 10 s after it: {}", open_orders(site), engine.process.errors());
    let after = site.line_count();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(site.new_orders_since(after), 0, "{trigger:?}: new orders came after it");
    assert_eq!(open_orders(site), 0, "{trigger:?}");
    eprintln!("{trigger:?}: no order open {} ms after it", took.as_millis());
    took
}

fn clear(site: &Site) {
    let dir = site.run_dir.display().to_string();
    assert_eq!(run_json(&["kill", &dir, "--clear", "--json"], 0)["kill_word"], "cleared");
    assert!(!site.run_dir.join("KILL").exists(), "the file would raise the word again");
    // The word stopped the core too; trading again is a second decision.
    assert_eq!(run_json(&["ctl", &dir, "mode", "active"], 0)["ok"], true);
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

/// The core hangs, so that only the gateway's own table is left to cancel by. The watchdog would pull a trigger itself after
/// 2 s; the last case waits for it.
#[test]
fn the_kill_switch_works_with_the_core_wedged() {
    for trigger in [Some(Trigger::Command), Some(Trigger::File), Some(Trigger::Signal), None] {
        let mut site = Site::new(&format!("wedge-{trigger:?}"), &[]);
        let mut engine = site.engine(&["--wedge-after", "5"]);
        trade(&site, &mut engine);
        let deadline = Instant::now() + PATIENCE;
        while !engine.process.errors().contains("the core hangs") {
            assert!(Instant::now() < deadline, "the core does not hang: {}", engine.process.errors());
            std::thread::sleep(Duration::from_millis(5));
        }
        match trigger {
            Some(trigger) => drop(kill(&site, &mut engine, trigger)),
            None => {
                let flat = site.wait_for(&mut engine, PATIENCE, |site| open_orders(site) == 0);
                assert!(flat, "the watchdog did not cancel: {}", engine.process.errors());
                assert!(engine.process.errors().contains("watchdog"), "{}", engine.process.errors());
            }
        }
        let report = engine.end(PATIENCE).expect("an end even so");
        assert_eq!(report["wedged"], true, "the report says that the core hung");
        site.judge(&report).expect("the engine's account is the venue's");
    }
}
