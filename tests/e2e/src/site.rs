//! A venue and the files of one engine that is started, killed and started again beside it.
use crate::{Process, Scratch, Venue, judge_with, log_dir, root, tercel};
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One venue session with one journal; engines come and go.
pub struct Site {
    pub venue: Venue,
    pub run_dir: PathBuf,
    pub config: PathBuf,
    pub started: Instant,
    starts: u32,
    scratch: Scratch,
}

impl Site {
    /// A venue that plays the built-in recording, and the demo's configuration with its two strategies in real files.
    pub fn new(name: &str, venue_args: &[&str]) -> Self {
        let scratch = Scratch::new(name);
        let venue = Venue::start(scratch.path(), venue_args);
        let run_dir = scratch.path().join("run");
        let config = scratch.path().join("tercel.toml");
        let text = config_text(&run_dir, venue.http, venue.fix);
        std::fs::write(&config, text).expect("the configuration can be written");
        for strategy in STRATEGIES {
            let from = root().join("strategies").join(strategy);
            std::fs::copy(&from, scratch.path().join(strategy)).expect("the strategy can be copied");
        }
        Self { venue, run_dir, config, started: Instant::now(), starts: 0, scratch }
    }

    /// `tercel run` with the site's configuration.
    pub fn engine(&mut self, more: &[&str]) -> Engine {
        self.starts += 1;
        let file = |kind: &str| self.scratch.path().join(format!("engine-{:02}.{kind}", self.starts));
        let (out, err) = (file("out"), file("err"));
        let config = self.config.display().to_string();
        let mut args = vec!["run", "--json", "--config", &config];
        args.extend(more);
        Engine { process: Process::start_into(&tercel(), &args, &out, err), out }
    }

    /// Lines of the venue's order log so far. A line that is still being written is left out.
    pub fn order_lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.venue.dir.join("orders.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub fn line_count(&self) -> usize {
        self.order_lines().len()
    }

    /// New orders that reached the venue after the first `from` lines.
    pub fn new_orders_since(&self, from: usize) -> usize {
        self.order_lines().iter().skip(from).filter(|line| line["msg_type"] == "D").count()
    }

    /// Fills that the venue made in the whole session.
    pub fn fill_count(&self) -> usize {
        self.order_lines().iter().filter(|line| line["exec_type"] == "F").count()
    }

    /// Waits until `done` holds of the venue's log; `false` when the engine ended or the time is over before.
    pub fn wait_for(&self, engine: &mut Engine, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if done(self) {
                return true;
            }
            if engine.process.wait(Duration::from_millis(50)).is_some() {
                return false;
            }
        }
        false
    }

    /// What the judge makes of the venue's log when it is held against an engine's final report.
    pub fn judge(&self, report: &Value) -> Result<Value, String> {
        judge_with(&self.venue.dir, Some(&account_of(report)), &["--heard"])
    }

    /// Ends the venue and leaves every file where it is.
    pub fn keep(self) {
        eprintln!("kept for inspection: {}", self.scratch.path().display());
        std::mem::forget(self.scratch);
    }
}

pub const STRATEGIES: [&str; 2] = ["as_maker.strat", "obi_scalper.strat"];

/// The demo's configuration at 1x, with a place for the log that goes with the scratch directory around `run_dir`.
pub fn config_text(run_dir: &Path, http: u64, fix: u64) -> String {
    let template = std::fs::read_to_string(root().join("tools/tercel/src/demo.toml")).expect("the template exists");
    let text = template
        .replace("@DIR@", &json!(run_dir.display().to_string()).to_string())
        .replace("@HTTP@", &http.to_string())
        .replace("@FIX@", &fix.to_string())
        .replace("@SPEED@", "1")
        .replace("start_at_ns = @START@\n", "");
    let text = match log_dir(run_dir) {
        Some(log_dir) => {
            std::fs::create_dir_all(&log_dir).expect("tmpfs can be written");
            let place = format!("[run]\nlog_dir = {}\n", json!(log_dir.display().to_string()));
            text.replacen("[run]\n", &place, 1)
        }
        None => text,
    };
    let (head, strategy) = text.split_once("#@STRATEGY@\n").expect("the template marks its strategy");
    STRATEGIES.iter().fold(head.to_owned(), |text, file| text + &strategy.replace("@FILE@", &json!(file).to_string()))
}

/// A state after which the venue can do nothing more with an order.
pub fn is_done(state: &Value) -> bool {
    state.as_str().is_some_and(|state| ["Filled", "Canceled", "Rejected", "Expired"].contains(&state))
}

/// What a report says about money and orders, in the words of the judge.
pub fn account_of(report: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or("0").to_owned();
    let ledger = &report["book_of_orders"]["ledger"][0];
    let orders: serde_json::Map<String, Value> = report["book_of_orders"]["orders"]
        .as_object()
        .expect("the report lists the orders")
        .iter()
        .map(|(id, order)| (id.clone(), order["cum_qty"].clone()))
        .collect();
    let open: Vec<&String> = report["book_of_orders"]["orders"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, order)| !is_done(&order["state"]))
        .map(|(id, _)| id)
        .collect();
    let position = &report["position"]["BTCUSDT"];
    assert!(position.is_null() || *position == ledger["position"], "ledger and account disagree: {ledger} {position}");
    json!({
        "position": text(&ledger["position"]),
        "fees": report["accounts"][0]["pnl"]["fees"],
        "fills": report["fills"],
        "orders": orders,
        "open": open,
        "reservations": { "BTCUSDT": { "buys": ledger["reserved_buys"], "sells": ledger["reserved_sells"] } },
    })
}

/// One life of the engine.
pub struct Engine {
    pub process: Process,
    out: PathBuf,
}

impl Engine {
    /// Waits for the death by SIGKILL that was planned.
    pub fn dies(&mut self, limit: Duration) -> Result<(), String> {
        match self.process.wait(limit) {
            Some(status) if status.signal() == Some(libc::SIGKILL) => Ok(()),
            Some(status) => Err(format!("ended with {status} instead of dying: {}", self.process.errors())),
            None => Err(format!("still alive after {limit:?}: {}", self.process.errors())),
        }
    }

    /// SIGINT, and the report that it prints.
    pub fn end(&mut self, limit: Duration) -> Result<Value, String> {
        self.process.signal(libc::SIGINT);
        let status = self.process.wait(limit);
        let text = std::fs::read_to_string(&self.out).unwrap_or_default();
        match status {
            Some(_) => serde_json::from_str(text.trim().lines().last().unwrap_or(""))
                .map_err(|error| format!("no report ({error}); it said {}", self.process.errors())),
            None => Err(format!("no end within {limit:?} of SIGINT: {}", self.process.errors())),
        }
    }
}
