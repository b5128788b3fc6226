//! `tercel venue`: the embedded venue as a process of its own.
use crate::{cli, stop};
use serde_json::json;
use std::io::Read;
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

pub fn main(args: &cli::Venue) -> Result<bool, String> {
    let mut config = VenueConfig::new(recording(args.data.as_deref(), &args.dir)?, btcusdt_perp(), args.dir.clone());
    config.speed = args.speed;
    config.start = args.start_at.map_or(Start::FirstSubscriber, |ns| Start::At(TimeNs(ns)));
    config.http_port = args.http_port;
    config.fix_port = args.fix_port;
    for fault in &args.fault {
        config.faults.push(fault.parse().map_err(|error: tercel_venue::FaultError| error.to_string())?);
    }
    let asked = stop::Asked::install()?;
    let orphaned = args.with_parent.then(watch_stdin);
    let started = std::time::Instant::now();
    let seconds = args.seconds;
    let report = tercel_venue::run(
        &config,
        |ready| println!("{}", ready.json()),
        || {
            asked.stop()
                || orphaned.as_ref().is_some_and(|gone| gone.load(Ordering::SeqCst))
                || seconds.is_some_and(|seconds| started.elapsed().as_secs() >= seconds)
        },
    )
    .map_err(|error| venue_error(&error))?;
    print(&report, args.json);
    Ok(true)
}

fn venue_error(error: &VenueError) -> String {
    match error {
        VenueError::Config(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        other => crate::engine::chain(other),
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
    if as_json {
        println!("{}", json!({ "report": format!("{report:?}") }));
    } else {
        println!("{report:#?}");
    }
}
