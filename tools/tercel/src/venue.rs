//! `tercel venue`: the embedded venue as a process of its own.
use crate::run::BadInput;
use crate::{cli, stop};
use serde_json::json;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tercel_types::TimeNs;
use tercel_venue::{Start, VenueConfig, VenueError, VenueReport, btcusdt_perp};

/// The demo's recording, compiled in: NOTICE says where it comes from.
pub const RECORDING: &[u8] = include_bytes!("../../venue/data/btcusdt_usdm_20240808.jsonts.gz");

/// The recording to use: the given file, or the built-in one written to `dir`.
pub fn recording(given: Option<&Path>, dir: &Path) -> Result<PathBuf, String> {
    match given {
        Some(path) if path.is_file() => Ok(path.to_owned()),
        Some(path) => Err(format!(
            "{}: no such file; a recording has lines `<receive time, ns> <raw JSON>`, plain or gzip",
            path.display()
        )),
        None => {
            let path = dir.join("btcusdt_usdm_20240808.jsonts.gz");
            std::fs::create_dir_all(dir)
                .and_then(|()| std::fs::write(&path, RECORDING))
                .map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(path)
        }
    }
}

pub fn main(args: &cli::Venue) -> Result<Result<bool, String>, BadInput> {
    let faults = check(args).map_err(|problems| BadInput(problems.join("\n")))?;
    let path = match recording(args.data.as_deref(), &args.dir) {
        Ok(path) => path,
        Err(error) => return Ok(Err(error)),
    };
    let mut config = VenueConfig::new(path, btcusdt_perp(), args.dir.clone());
    config.speed = args.speed;
    config.start = args.start_at.map_or(Start::FirstSubscriber, |ns| Start::At(TimeNs(ns)));
    config.http_port = args.http_port;
    config.fix_port = args.fix_port;
    config.faults = faults;
    run(args, &config)
}

/// Every problem of the arguments at once, before anything is written or listens.
fn check(args: &cli::Venue) -> Result<Vec<tercel_venue::Fault>, Vec<String>> {
    let mut problems = Vec::new();
    if let Some(path) = &args.data
        && let Err(problem) = recording(Some(path), &args.dir)
    {
        problems.push(format!("--data {problem}"));
    }
    for (flag, port) in [("--http-port", args.http_port), ("--fix-port", args.fix_port)] {
        // The venue itself binds a moment later and says the same if another process was faster.
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            problems.push(format!("{flag} {port}: {error}; choose another port, or 0 for a free one"));
        }
    }
    if args.http_port != 0 && args.http_port == args.fix_port {
        problems.push(format!("--fix-port {}: the same as --http-port; 0 takes a free one", args.fix_port));
    }
    let mut faults = Vec::new();
    for text in &args.fault {
        match text.parse() {
            Ok(fault) => faults.push(fault),
            Err(error) => {
                let error: tercel_venue::FaultError = error;
                problems.push(format!("--fault {error}"));
            }
        }
    }
    if problems.is_empty() { Ok(faults) } else { Err(problems) }
}

fn run(args: &cli::Venue, config: &VenueConfig) -> Result<Result<bool, String>, BadInput> {
    let asked = match stop::Asked::install() {
        Ok(asked) => asked,
        Err(error) => return Ok(Err(error)),
    };
    let orphaned = args.with_parent.then(watch_stdin);
    let started = std::time::Instant::now();
    let seconds = args.seconds;
    let outcome = tercel_venue::run(
        config,
        |ready| println!("{}", ready.json()),
        || {
            asked.stop()
                || orphaned.as_ref().is_some_and(|gone| gone.load(Ordering::SeqCst))
                || seconds.is_some_and(|seconds| started.elapsed().as_secs() >= seconds)
        },
    );
    match outcome {
        Ok(report) => {
            print(&report, args.json);
            Ok(Ok(true))
        }
        Err(VenueError::Config(problems)) => {
            Err(BadInput(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
        }
        Err(error @ (VenueError::Recording(_) | VenueError::Listen { .. })) => {
            Err(BadInput(crate::engine::chain(&error)))
        }
        Err(error) => Ok(Err(crate::engine::chain(&error))),
    }
}

/// Raised when standard input ends: the process that started us is gone.
fn watch_stdin() -> Arc<AtomicBool> {
    let gone = Arc::new(AtomicBool::new(false));
    let raise = gone.clone();
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        let mut input = std::io::stdin().lock();
        while input.read(&mut sink).is_ok_and(|len| len > 0) {}
        raise.store(true, Ordering::SeqCst);
    });
    gone
}

fn print(report: &VenueReport, as_json: bool) {
    let (desk, instrument) = (&report.desk, btcusdt_perp());
    let lots = |qty: i64| instrument.lot.text_of(qty).to_string();
    if as_json {
        let value = json!({
            "messages_played": report.played,
            "recording_ended": report.ended,
            "orders": desk.orders,
            "cancels": desk.cancels,
            "replaces": desk.replaces,
            "fills": desk.fills,
            "rejects": desk.rejects,
            "unreadable": desk.unreadable,
            "open_orders": report.open_orders,
            "position": lots(report.holding.position.0),
            "bought": lots(report.holding.bought.0),
            "sold": lots(report.holding.sold.0),
            "fees": report.holding.fees.to_string(),
            "faults": report.faults,
            "messages_in": report.session.messages_in,
            "messages_out": report.session.messages_out,
        });
        println!("{value}");
    } else {
        println!("played      {} messages{}", report.played, if report.ended { ", all of the recording" } else { "" });
        println!(
            "orders      {} ({} replaced, {} cancels, {} rejected), fills {}, open {}",
            desk.orders, desk.replaces, desk.cancels, desk.rejects, desk.fills, report.open_orders
        );
        println!(
            "position    {} {}, fees {} {}",
            lots(report.holding.position.0),
            instrument.base,
            report.holding.fees,
            instrument.settle
        );
    }
}
