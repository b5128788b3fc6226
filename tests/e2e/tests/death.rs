//! The engine is killed with SIGKILL, started again and compared with what the venue wrote down. The judge is Python that
//! imports nothing of ours: orders, cumulative quantities, position, fees and reservations must equal the venue's log.
//!
//! Five deaths run always. `TERCEL_SOAK=1` runs 20 at named points, 30 at random times and 4 in the
//! middle of an orderly end, and prints how many passed.
use serde_json::Value;
use std::time::{Duration, Instant};
use tercel_test_e2e::{Engine, Site, is_done};

#[derive(Clone, Copy, Debug)]
enum Death {
    /// At a named point of the engine, `POINT:COUNT`.
    At(&'static str),
    /// From outside, this long after the start.
    After(Duration),
    /// Stopped first, until the venue has told what then dies unread in the socket.
    Deaf,
    /// In the middle of an orderly end, this long after SIGINT.
    Ending(Duration),
}

/// Deaths one after the other without an orderly end in between; the last one is what the trial is about, those before it
/// bring the engine there: a resend needs something that was stored and not sent.
type Trial = Vec<Death>;

/// A lower bound on how long a loaded machine may take for what needs a second.
const PATIENCE: Duration = Duration::from_secs(40);
/// A session ends well before the recording of 180 s does.
const SESSION: Duration = Duration::from_secs(120);

fn named(points: &[&'static str]) -> Trial {
    points.iter().map(|point| Death::At(point)).collect()
}

#[test]
fn what_a_restarted_engine_knows_equals_the_venues_log() {
    let trials = if std::env::var_os("TERCEL_SOAK").is_some() { soak() } else { brief() };
    let (mut site, mut failures, started) = (None, Vec::new(), Instant::now());
    for (at, trial) in trials.iter().enumerate() {
        let mut here = match site.take() {
            Some(site) => site,
            None => Site::new(&format!("death-{at}"), &["--fault", "disconnect-fix@45s"]),
        };
        // Every second end leaves the orders with the venue, so that reservations are compared while there are some.
        let leave = at % 2 == 1;
        match attempt(&mut here, trial, leave) {
            Ok(told) => {
                eprintln!("{:>3} s  {trial:?}: {told}", started.elapsed().as_secs());
                if here.started.elapsed() < SESSION {
                    site = Some(here);
                }
            }
            Err(error) => {
                eprintln!("{:>3} s  {trial:?} FAILED: {error}", started.elapsed().as_secs());
                failures.push(format!("{trial:?}: {error}"));
                here.keep();
            }
        }
    }
    eprintln!("{} of {} deaths passed", trials.len() - failures.len(), trials.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn brief() -> Vec<Trial> {
    vec![
        named(&["after_log_write:1500"]),
        named(&["before_send:7", "resend:1"]),
        named(&["after_send:5", "startup:2"]),
        named(&["after_send:6", "reconcile:2"]),
        vec![Death::After(random(1).next().expect("a random time"))],
    ]
}

fn soak() -> Vec<Trial> {
    let mut trials = vec![
        named(&["after_log_write:1"]),
        named(&["after_log_write:700"]),
        named(&["after_log_write:1500"]),
        named(&["after_log_write:4000"]),
        named(&["before_send:1"]),
        named(&["before_send:4"]),
        named(&["before_send:11"]),
        named(&["before_send:25"]),
        named(&["after_send:1"]),
        named(&["after_send:3"]),
        named(&["after_send:10"]),
        named(&["after_send:24"]),
        named(&["before_send:3", "resend:1"]),
        vec![Death::Deaf, Death::At("resend:1")],
        named(&["after_send:8", "before_send:5", "resend:1"]),
        named(&["after_send:5", "startup:1"]),
        named(&["after_send:7", "startup:2"]),
        named(&["after_send:4", "reconcile:1"]),
        named(&["after_send:6", "reconcile:2"]),
        named(&["before_send:9", "reconcile:1", "reconcile:2"]),
    ];
    trials.extend(random(30).map(|after| vec![Death::After(after)]));
    trials.extend([0, 20, 60, 90].map(|ms| vec![Death::Ending(Duration::from_millis(ms))]));
    trials
}

/// Times between 0.3 and 6 s, from `TERCEL_SEED`.
fn random(count: usize) -> impl Iterator<Item = Duration> {
    let seed = std::env::var("TERCEL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_120_u64);
    eprintln!("TERCEL_SEED={seed}");
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Duration::from_millis(300 + state % 5_700)
    })
    .take(count)
}

fn attempt(site: &mut Site, trial: &[Death], leave: bool) -> Result<String, String> {
    for death in trial {
        match death {
            Death::At(point) => site.engine(&["--crash-at", point]).dies(PATIENCE)?,
            Death::After(time) => {
                let mut engine = site.engine(&[]);
                std::thread::sleep(*time);
                engine.process.signal(libc::SIGKILL);
                engine.dies(PATIENCE)?;
            }
            Death::Ending(time) => {
                let mut engine = site.engine(&[]);
                let before = site.line_count();
                site.wait_for(&mut engine, PATIENCE, |site| site.new_orders_since(before) >= 3);
                engine.process.signal(libc::SIGINT);
                std::thread::sleep(*time);
                engine.process.signal(libc::SIGKILL);
                engine.dies(PATIENCE)?;
            }
            Death::Deaf => {
                let mut engine = site.engine(&[]);
                let before = site.line_count();
                site.wait_for(&mut engine, PATIENCE, |site| site.new_orders_since(before) >= 3);
                // In a quiet moment the venue has nothing to tell, so the next moment is tried, as soon as the engine trades again:
                // the one that was stopped has to find its feed first.
                let missed = (0..8).any(|_| {
                    engine.process.signal(libc::SIGSTOP);
                    let before = site.line_count();
                    let told = site.wait_for(&mut engine, Duration::from_secs(3), |site| site.line_count() > before);
                    if !told {
                        engine.process.signal(libc::SIGCONT);
                        let from = site.line_count();
                        site.wait_for(&mut engine, PATIENCE, |site| site.new_orders_since(from) >= 1);
                    }
                    told
                });
                if !missed {
                    return Err("the venue had nothing to tell in eight moments".to_owned());
                }
                engine.process.signal(libc::SIGKILL);
                engine.dies(PATIENCE)?;
            }
        }
    }
    let before = site.line_count();
    let mut engine = site.engine(if leave { &["--leave-orders"] } else { &[] });
    let traded =
        site.wait_for(&mut engine, PATIENCE, |site| site.new_orders_since(before) >= 3 && site.fill_count() > 0);
    if !traded {
        return Err(format!("no orders after the restart: {}", engine.process.errors()));
    }
    let report = end(&mut engine)?;
    reconciled_first(&site.order_lines()[before..])?;
    let account = site.judge(&report)?;
    judge_sees_planted(site, &report)?;
    let count = |value: &Value| value.as_object().map_or(0, |map| map.len());
    Ok(format!(
        "{} orders, {} fills, position {}, open {}{}",
        count(&account["orders"]),
        account["fills"],
        account["position"],
        account["open_orders"],
        if leave { " (left)" } else { "" }
    ))
}

fn end(engine: &mut Engine) -> Result<Value, String> {
    let report = engine.end(PATIENCE)?;
    let said = engine.process.errors();
    if !said.contains("recovered epoch") {
        return Err(format!("the restart did not say what it found: {said}"));
    }
    Ok(report)
}

/// The judge is no rubber stamp: it names each figure that is changed by the least.
fn judge_sees_planted(site: &Site, report: &Value) -> Result<(), String> {
    let ledger = "/book_of_orders/ledger/0";
    let mut planted = vec![
        ("/position/BTCUSDT".to_owned(), "position"),
        ("/accounts/0/pnl/fees".to_owned(), "fees"),
        ("/fills".to_owned(), "fills"),
        (format!("{ledger}/reserved_buys"), "reserved buys"),
        (format!("{ledger}/reserved_sells"), "reserved sells"),
    ];
    let listed = report["book_of_orders"]["orders"].as_object().and_then(|orders| orders.keys().next());
    planted.extend(listed.map(|id| (format!("/book_of_orders/orders/{id}/cum_qty"), "order ")));
    planted.extend(listed.map(|id| (format!("/book_of_orders/orders/{id}/state"), "open order")));
    for (place, word) in planted {
        let mut changed = report.clone();
        let value = changed.pointer_mut(&place).ok_or_else(|| format!("the report has no {place}"))?;
        *value = Value::String(match word {
            "open order" => if is_done(value) { "New" } else { "Canceled" }.to_owned(),
            _ => format!("{}1", value.to_string().trim_matches('"')),
        });
        if word == "position" {
            changed["book_of_orders"]["ledger"][0]["position"] = changed["position"]["BTCUSDT"].clone();
        }
        match site.judge(&changed) {
            Err(error) if error.contains(word) => {}
            other => return Err(format!("a planted change of {place} was not named: {other:?}")),
        }
    }
    Ok(())
}

/// The start gate: the first new order of a life comes after the question what is open.
fn reconciled_first(lines: &[Value]) -> Result<(), String> {
    let first = |kind: &str| lines.iter().position(|line| line["msg_type"] == kind);
    match (first("AF"), first("D")) {
        (Some(asked), Some(order)) if asked < order => Ok(()),
        found => Err(format!("mass status and first order at lines {found:?} after the restart")),
    }
}
