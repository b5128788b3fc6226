//! `tercel demo`: venue, sidecar and engine on free loopback ports, a report, and the proof by replay.
use crate::config::RunConfig;
use crate::engine::{self, Options, Running};
use crate::{cli, replay, report, run, stop, venue};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, IsTerminal, Write as _};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const AS_MAKER: &str = include_str!("../../../strategies/as_maker.strat");
const OBI_SCALPER: &str = include_str!("../../../strategies/obi_scalper.strat");
const SIDECAR: &str = include_str!("../../sidecar/tercel_sidecar.py");
const TEMPLATE: &str = include_str!("demo.toml");

/// What the built-in recording can play after its snapshot.
const BUILT_IN_SECONDS: u64 = 179;

/// A child process that ends when the demo does, whatever the reason.
struct Ward {
    child: Child,
    name: &'static str,
}

impl Ward {
    /// SIGTERM, then what the child printed; SIGKILL after three seconds.
    fn end(mut self) -> Option<String> {
        drop(self.child.stdin.take());
        let _ = Command::new("kill").arg(self.child.id().to_string()).stderr(Stdio::null()).status();
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut text = String::new();
        if let Some(mut out) = self.child.stdout.take() {
            let _ = self.child.kill();
            let _ = std::io::Read::read_to_string(&mut out, &mut text);
        }
        Some(text).filter(|text| !text.is_empty())
    }

    fn died(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("the {} ended early with {status}", self.name))
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn main(args: &cli::Demo) -> Result<Result<bool, String>, run::BadInput> {
    let (dir, kept) = match &args.keep {
        Some(dir) => {
            let occupied = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
            if occupied {
                return Err(run::BadInput(format!(
                    "--keep {}: the directory is not empty; choose a new one",
                    dir.display()
                )));
            }
            (dir.clone(), true)
        }
        None => (std::env::temp_dir().join(format!("tercel-demo-{}", std::process::id())), false),
    };
    let outcome = demo(args, &dir);
    if !kept {
        let _ = std::fs::remove_dir_all(&dir);
    }
    outcome
}

fn demo(args: &cli::Demo, dir: &Path) -> Result<Result<bool, String>, run::BadInput> {
    // What was given is checked before anything is written or started.
    let strategies = strategy_texts(&args.strategy)?;
    let recording =
        args.data.as_deref().map(|path| venue::recording(Some(path), dir)).transpose().map_err(run::BadInput)?;
    check(args, dir, &strategies)?;
    std::fs::create_dir_all(dir).map_err(|error| run::BadInput(format!("{}: {error}", dir.display())))?;
    for (name, text) in &strategies {
        std::fs::write(dir.join(name), text)
            .map_err(|error| run::BadInput(format!("{}: {error}", dir.join(name).display())))?;
    }
    let asked = match stop::Asked::install() {
        Ok(asked) => asked,
        Err(error) => return Ok(Err(error)),
    };
    // Engine and venue share this instant: from here engine time runs `speed` times as fast as the wall.
    let start_at = engine::start_in(Duration::from_millis(2_500));
    let (mut venue, http, fix) = match start_venue(args, dir, recording.as_deref(), start_at.0) {
        Ok(started) => started,
        Err(error) => return Ok(Err(error)),
    };
    let text = config_text(args.speed, dir, &strategies, http, fix, start_at.0);
    let config_path = dir.join("tercel.toml");
    if let Err(error) = std::fs::write(&config_path, &text) {
        return Ok(Err(format!("{}: {error}", config_path.display())));
    }
    let config = match RunConfig::load(&config_path) {
        Ok(config) => config,
        Err(problems) => {
            return Err(run::BadInput(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
        }
    };
    let mut sidecar = if args.no_sidecar { None } else { start_sidecar(&config.dir) };
    let running = match engine::start(&config, &Options::default()) {
        Ok(running) => running,
        Err(error) => return Ok(Err(error)),
    };
    let topology = running.topology.line();
    if !args.json {
        eprintln!("venue      http 127.0.0.1:{http}, fix 127.0.0.1:{fix}, {}x", args.speed);
        eprintln!("topology   {topology}");
        for (named, (file, _)) in crate::strategies::named(&config).iter().zip(&strategies) {
            eprintln!("strategy   {} of {file} compiled", named.name);
        }
    }
    let trouble = watch(args, &running, &mut venue, &mut sidecar, &asked);
    if !args.json {
        eprintln!("stopping: cancelling orders, closing the journal, replaying it; Ctrl-C again aborts");
    }
    let ended = match running.stop() {
        Ok(ended) => ended,
        Err(error) => return Ok(Err(error)),
    };
    let sidecar_said = sidecar.and_then(Ward::end);
    let venue_said = venue.end();
    Ok(conclude(args, dir, &config, &ended, &topology, trouble, sidecar_said, venue_said))
}

/// Whether the strategies fit the demo's instruments and limits; the ports are known only later and do not matter here.
fn check(args: &cli::Demo, dir: &Path, strategies: &[(String, String)]) -> Result<(), run::BadInput> {
    let text = config_text(args.speed, dir, strategies, 1, 2, 0);
    let find = |name: &str| {
        let found = strategies.iter().find(|(file, _)| file == name);
        found.map(|(_, text)| text.clone()).ok_or_else(|| "no such strategy".to_owned())
    };
    let config = RunConfig::parse("demo.toml", &text, &find)
        .map_err(|problems| run::BadInput(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    engine::build_core(&config).map(drop).map_err(run::BadInput)
}

#[allow(clippy::too_many_arguments)] // the last step of one story, called once
fn conclude(
    args: &cli::Demo,
    dir: &Path,
    config: &RunConfig,
    ended: &engine::Ended,
    topology: &str,
    trouble: Option<String>,
    sidecar_said: Option<String>,
    venue_said: Option<String>,
) -> Result<bool, String> {
    replay::record_end(&config.dir, ended.report.seq, ended.report.state_hash)
        .map_err(|error| format!("{}: {error}", dir.display()))?;
    let verdict = replay::verify(&config.dir, &[])?;
    let mut value = report::of_run(ended, config, &verdict.incidents, topology);
    value["replay"] = verdict.json();
    let last_line = |text: &Option<String>| {
        text.as_deref().and_then(|t| t.trim().lines().last()).and_then(|l| serde_json::from_str::<Value>(l).ok())
    };
    value["sidecar"] = last_line(&sidecar_said).unwrap_or(Value::Null);
    value["venue"] = last_line(&venue_said).unwrap_or(Value::Null);
    if let Some(trouble) = &trouble {
        value["trouble"] = json!(trouble);
    }
    let report_path = dir.join("report.json");
    std::fs::write(&report_path, format!("{value}\n"))
        .map_err(|error| format!("{}: {error}", report_path.display()))?;
    run::print(&value, args.json);
    if !args.json && args.keep.is_some() {
        println!(
            "kept        {} (journal, logs, report.json); try `tercel replay {}`",
            dir.display(),
            config.dir.display()
        );
    }
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    Ok(verdict.identical && ended.journal_failure.is_none() && ended.wedged.is_empty())
}

/// (file name, text) of the given strategies, or of the two that are built in.
pub fn strategy_texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>, run::BadInput> {
    if paths.is_empty() {
        return Ok(vec![
            ("as_maker.strat".to_owned(), AS_MAKER.to_owned()),
            ("obi_scalper.strat".to_owned(), OBI_SCALPER.to_owned()),
        ]);
    }
    let mut list: Vec<(String, String)> = Vec::new();
    for path in paths {
        let text =
            crate::strategies::read(path).map_err(|error| run::BadInput(format!("{}: {error}", path.display())))?;
        let stem = path.file_stem().map_or_else(|| "strategy".into(), |stem| stem.to_string_lossy().into_owned());
        // Files of one name from different folders stay two files.
        let taken = |name: &String| list.iter().any(|(other, _)| other == name);
        let mut name = format!("{stem}.strat");
        for number in 2.. {
            if !taken(&name) {
                break;
            }
            name = format!("{stem}-{number}.strat");
        }
        // Found here, with the user's own path in the message, before anything starts.
        crate::strategies::compile(&text, &path.display().to_string()).map_err(run::BadInput)?;
        list.push((name, text));
    }
    Ok(list)
}

fn start_venue(
    args: &cli::Demo,
    dir: &Path,
    recording: Option<&Path>,
    start_at: i64,
) -> Result<(Ward, u64, u64), String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find my own program: {error}"))?;
    let venue_dir = dir.join("venue");
    let log = std::fs::File::create(dir.join("venue.err")).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut command = Command::new(program);
    command.args(["venue", "--json", "--with-parent", "--fault", "drop-depth@8s"]);
    command.arg("--dir").arg(&venue_dir).args([
        "--speed",
        &args.speed.to_string(),
        "--start-at",
        &start_at.to_string(),
    ]);
    if let Some(path) = recording {
        command.arg("--data").arg(path);
    }
    // Its own process group: Ctrl-C is for the demo, which ends the venue after the orders are cancelled.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().map_err(|error| format!("cannot start the venue: {error}"))?;
    let out = child.stdout.take().ok_or("the venue has no output")?;
    let mut lines = BufReader::new(out);
    let mut line = String::new();
    lines.read_line(&mut line).map_err(|error| format!("the venue says nothing: {error}"))?;
    let ready: Value = serde_json::from_str(&line).map_err(|_| {
        let said = std::fs::read_to_string(dir.join("venue.err")).unwrap_or_default();
        format!("the venue did not start: {}", said.trim())
    })?;
    child.stdout = Some(lines.into_inner());
    let port = |key: &str| ready[key].as_u64().ok_or_else(|| format!("the venue did not say its {key} port"));
    let (http, fix) = (port("http")?, port("fix")?);
    Ok((Ward { child, name: "venue" }, http, fix))
}

fn start_sidecar(run_dir: &Path) -> Option<Ward> {
    let start = || -> std::io::Result<Child> {
        std::fs::create_dir_all(run_dir)?;
        let script = run_dir.join("tercel_sidecar.py");
        std::fs::write(&script, SIDECAR)?;
        let log = std::fs::File::create(run_dir.join("sidecar.err"))?;
        let mut command = Command::new("python3");
        command.arg(script).arg("--run-dir").arg(run_dir).args(["--slot", "0", "--schema", "1", "--model-id", "1"]);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()
    };
    match start() {
        Ok(child) => Some(Ward { child, name: "sidecar" }),
        Err(error) => {
            eprintln!("sidecar    not started ({error}); trading goes on without the signal");
            None
        }
    }
}

/// The demo's configuration file.
pub fn config_text(
    speed: u32,
    dir: &Path,
    strategies: &[(String, String)],
    http: u64,
    fix: u64,
    start_at: i64,
) -> String {
    let run_dir: PathBuf = dir.join("run");
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let mut text = TEMPLATE
        .replace("@DIR@", &quoted(&run_dir.display().to_string()))
        .replace("@HTTP@", &http.to_string())
        .replace("@FIX@", &fix.to_string())
        .replace("@SPEED@", &speed.to_string())
        .replace("@START@", &start_at.to_string());
    let (head, strategy) =
        text.split_once("#@STRATEGY@\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap_or_default();
    text = head;
    for (name, _) in strategies {
        text.push_str(&strategy.replace("@FILE@", &quoted(name)));
    }
    text
}

/// Shows progress until the time is over, Ctrl-C, or a child is gone. A venue that died is trouble; a sidecar is not.
fn watch(
    args: &cli::Demo,
    running: &Running,
    venue: &mut Ward,
    sidecar: &mut Option<Ward>,
    asked: &stop::Asked,
) -> Option<String> {
    let mut seconds = args.seconds;
    if args.data.is_none() && seconds > BUILT_IN_SECONDS {
        seconds = BUILT_IN_SECONDS;
        eprintln!("recording  {seconds} s are built in; running those");
    }
    let wall = Duration::from_secs_f64(2.5 + seconds as f64 / f64::from(args.speed));
    let started = Instant::now();
    let live = std::io::stderr().is_terminal() && !args.json;
    let mut told = Instant::now();
    let mut trouble = None;
    while started.elapsed() < wall && !asked.stop() {
        std::thread::sleep(Duration::from_millis(50));
        if asked.take_kill() {
            running.kill.raise();
        }
        if let Some(died) = venue.died() {
            trouble = Some(died);
            break;
        }
        if let Some(died) = sidecar.as_mut().and_then(Ward::died) {
            eprintln!("{died}; trading goes on without the signal");
            *sidecar = None;
        }
        if told.elapsed() >= Duration::from_millis(if live { 250 } else { 5_000 }) && !args.json {
            told = Instant::now();
            let p = &running.progress;
            let share = (started.elapsed().as_secs_f64() / wall.as_secs_f64()).min(1.0);
            let bar: String = (0..12).map(|at| if f64::from(at) < share * 12.0 { '#' } else { '.' }).collect();
            let position = p.position.get() as i64;
            // Short enough for 80 columns, or every refresh would scroll.
            let line = format!(
                "[{bar}] {:>3.0} %  {} msgs  {} orders  {} fills  {} lots  {} signals  {}",
                share * 100.0,
                p.market_frames.get(),
                p.orders.get(),
                p.fills.get(),
                position,
                p.signals.get(),
                if running.is_ready() { "up" } else { "down" },
            );
            if live {
                eprint!("\r\x1b[K{line}");
                let _ = std::io::stderr().flush();
            } else {
                eprintln!("{line}");
            }
        }
    }
    if live {
        eprintln!();
    }
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_of_one_file_name_stay_apart() {
        let dir = std::env::temp_dir().join(format!("tercel-names-{}", std::process::id()));
        let mut paths = Vec::new();
        for (folder, text) in [("a", AS_MAKER), ("b", OBI_SCALPER), ("c", AS_MAKER)] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
            paths.push(dir.join(folder).join("x.strat"));
            std::fs::write(paths.last().unwrap(), text).unwrap();
        }
        let texts = strategy_texts(&paths).unwrap_or_else(|error| panic!("{}", error.0));
        std::fs::remove_dir_all(&dir).unwrap();
        let names: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x.strat", "x-2.strat", "x-3.strat"]);
        assert_eq!([texts[0].1.as_str(), texts[1].1.as_str()], [AS_MAKER, OBI_SCALPER]);
    }
}
