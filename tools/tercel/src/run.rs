//! `tercel run`: the engine with a configuration file, until told to stop.
use crate::cli::Wedge;
use crate::config::RunConfig;
use crate::engine::{self, Options};
use crate::{cli, replay, report, stop};
use serde_json::Value;
use std::time::{Duration, Instant};
use tercel_runtime::CrashPlan;

/// A refusal of what the user gave: exit code 2.
pub struct BadInput(pub String);

pub fn main(args: &cli::Run) -> Result<Result<bool, String>, BadInput> {
    let config = RunConfig::load(&args.config)
        .map_err(|problems| BadInput(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let crash = match &args.crash_at {
        Some(plan) => CrashPlan::parse(plan).map_err(BadInput)?,
        None => CrashPlan::default(),
    };
    // A strategy that does not compile or does not fit is found before anything is made on disk.
    engine::build_core(&config).map_err(BadInput)?;
    if args.check_only {
        println!("{}: ok, {} strategies, nothing started", args.config.display(), config.strategies.len());
        return Ok(Ok(true));
    }
    Ok(run(&config, args, crash))
}

fn run(config: &RunConfig, args: &cli::Run, crash: CrashPlan) -> Result<bool, String> {
    let asked = stop::Asked::install()?;
    let running = engine::start(config, &Options { crash, verbose: true })?;
    let topology = running.topology.line();
    eprintln!("{}: started; {topology}; log {}", config.name, running.log_path.display());
    if running.kill.is_raised() {
        let dir = config.dir.display();
        eprintln!(
            "the kill word is raised ({dir}/kill.word): no order leaves; clear it with `tercel kill {dir} --clear`, then `tercel ctl {dir} mode active`"
        );
    }
    let started = Instant::now();
    let mut told = Instant::now();
    let mut was_ready = false;
    while !asked.stop() && args.seconds.is_none_or(|seconds| started.elapsed().as_secs() < seconds) {
        std::thread::sleep(Duration::from_millis(50));
        if asked.take_kill() {
            eprintln!("SIGUSR1: raising the kill word");
            running.kill.raise();
        }
        if args.wedge_after.is_some_and(|seconds| started.elapsed().as_secs() >= seconds) {
            let (wedge, name) = match args.wedge {
                Wedge::Core => (&running.cells.wedge, "core"),
                Wedge::Orders => (&running.orders.wedge, "orders"),
            };
            if !wedge.is_raised() {
                wedge.raise();
                eprintln!("the {name} thread hangs, as asked");
            }
        }
        if running.is_ready() != was_ready {
            was_ready = !was_ready;
            eprintln!("order session {}", if was_ready { "up" } else { "down: its live orders are Unknown" });
        }
        if told.elapsed() >= Duration::from_secs(10) {
            told = Instant::now();
            let p = &running.progress;
            eprintln!(
                "{:>6.0} s  {} market frames, {} orders, {} fills, journal lag {} %",
                started.elapsed().as_secs_f64(),
                p.market_frames.get(),
                p.orders.get(),
                p.fills.get(),
                running.cells.journal_lag_percent.get()
            );
        }
    }
    let ended = if args.leave_orders {
        eprintln!("stopping: logging out, leaving the orders with the venue, closing the journal");
        running.stop_leaving_orders()?
    } else {
        eprintln!("stopping: cancelling orders, logging out, closing the journal");
        running.stop()?
    };
    let seq = ended.report.seq;
    replay::record_end(&config.dir, seq, ended.report.state_hash)
        .map_err(|error| format!("{}: {error}", config.dir.display()))?;
    let value = report::of_run(&ended, config, &ended.incidents, &topology);
    print(&value, args.json);
    Ok(ended.journal_failure.is_none() && ended.wedged.is_empty())
}

pub fn print(value: &Value, json: bool) {
    if json {
        println!("{value}");
    } else {
        print!("{}", report::text(value));
    }
}
