//! What the end-to-end tests share: the program as a process, directories of their own, the venue's judge.
//!
//! The tests start `target/release/tercel`, or what `TERCEL_BIN` names, and Python as `TERCEL_PYTHON` names it; `cargo xtask
//! test` builds the one and prepares the other.

mod site;

pub use site::{Engine, STRATEGIES, Site, account_of, config_text, is_done};

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace root exists")
}

/// The program under test. Panics with what to do when it is not built.
pub fn tercel() -> PathBuf {
    let path = std::env::var_os("TERCEL_BIN").map_or_else(|| root().join("target/release/tercel"), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo build --release` or `cargo xtask test`", path.display());
    path
}

pub fn python() -> String {
    std::env::var("TERCEL_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// Why a test cannot run here. Under `CI` that is a failure, so that no test goes missing unseen, unless the lack is one of
/// the machine's kernel, which no installation mends.
pub fn skipped(reason: &str, lacks_kernel_feature: bool) {
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(lacks_kernel_feature || !in_ci, "skipped under CI: {reason}");
    println!("skipped: {reason}");
}

/// An empty directory that is removed when the test passes and kept, with its name printed, when it fails.
pub struct Scratch(PathBuf);

/// Where the sequenced logs of a test lie: tmpfs, as always, but in a folder that goes with the test.
const TMPFS: &str = "/dev/shm";
const PREFIX: &str = "tercel-e2e-";

/// The folder for the logs of a run inside a scratch directory; `None` for a run elsewhere.
fn log_dir(run_dir: &Path) -> Option<PathBuf> {
    let names = run_dir.ancestors().filter_map(|folder| folder.file_name()?.to_str());
    let name = names.into_iter().find(|name| name.starts_with(PREFIX))?;
    Some(Path::new(TMPFS).join(name))
}

/// Removes the logs of tests that were killed before they could do it.
fn sweep_dead_logs() {
    for entry in std::fs::read_dir(TMPFS).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Scratch {
    pub fn new(name: &str) -> Self {
        sweep_dead_logs();
        let path = std::env::temp_dir().join(format!("{PREFIX}{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let logs = log_dir(&self.0);
        if std::thread::panicking() {
            // The memory goes, what the logs hold stays.
            for entry in logs.iter().filter_map(|logs| std::fs::read_dir(logs).ok()).flatten().flatten() {
                let _ = std::fs::copy(entry.path(), self.0.join(entry.file_name()));
            }
            eprintln!("kept for inspection: {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
        let _ = logs.map(std::fs::remove_dir_all);
    }
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Output {
    Command::new(tercel()).args(args).stdin(Stdio::null()).output().expect("the program starts")
}

/// Runs it and reads the JSON on its standard output; panics with both outputs unless it exits with `code`.
pub fn run_json(args: &[&str], code: i32) -> Value {
    let output = run(args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "tercel {}\n{out}\n{err}", args.join(" "));
    serde_json::from_str(out.trim().lines().last().unwrap_or(""))
        .unwrap_or_else(|e| panic!("not JSON ({e}): {out}\n{err}"))
}

/// A process that does not outlive the test.
pub struct Process {
    pub child: Child,
    pub err: PathBuf,
}

impl Process {
    pub fn start(program: &Path, args: &[&str], err: PathBuf) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(&err).expect("the log can be written");
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Self { child, err }
    }

    /// As `start`, with the standard output in a file: a long report cannot fill a pipe that nobody reads.
    pub fn start_into(program: &Path, args: &[&str], out: &Path, err: PathBuf) -> Self {
        let create = |path: &Path| std::fs::File::create(path).expect("the log can be written");
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(create(out))
            .stderr(create(&err))
            .spawn()
            .expect("the program starts");
        Self { child, err }
    }

    pub fn first_line(&mut self) -> String {
        let out = self.child.stdout.as_mut().expect("standard output is a pipe");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("the program prints a line");
        line
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) takes no pointer; the process is our child and not yet waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Waits for the end; `None` when it does not come.
    pub fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    pub fn errors(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A venue process with its ports.
pub struct Venue {
    pub process: Process,
    pub dir: PathBuf,
    pub http: u64,
    pub fix: u64,
}

impl Venue {
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        let folder = dir.join("venue");
        let shown = folder.display().to_string();
        let mut args = vec!["venue", "--json", "--dir", &shown];
        args.extend(more);
        let mut process = Process::start(&tercel(), &args, dir.join("venue.err"));
        let line = process.first_line();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("venue: {line} {}", process.errors()));
        let port = |key: &str| ready[key].as_u64().expect("the venue says its ports");
        Self { http: port("http"), fix: port("fix"), process, dir: folder }
    }

    /// What the judge, Python that imports nothing of ours, makes of the venue's log.
    pub fn judge(&self, against: Option<&Value>) -> Value {
        judge(&self.dir, against)
    }
}

pub fn judge(venue_dir: &Path, against: Option<&Value>) -> Value {
    judge_with(venue_dir, against, &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// As `judge` with more arguments; the error says what is wrong.
pub fn judge_with(venue_dir: &Path, against: Option<&Value>, more: &[&str]) -> Result<Value, String> {
    let script = root().join("tools/venue/judge.py");
    let mut command = Command::new(python());
    command.arg(script).arg(venue_dir).arg("--json").args(more);
    if let Some(value) = against {
        let path = venue_dir.join("against.json");
        std::fs::write(&path, value.to_string()).expect("the folder can be written");
        command.arg("--against").arg(path);
    }
    let output = command.output().expect("python3 starts");
    let out = String::from_utf8_lossy(&output.stdout);
    let answer: Value = serde_json::from_str(&out).map_err(|error| {
        format!("the judge's answer is not JSON ({error}): {out}{}", String::from_utf8_lossy(&output.stderr))
    })?;
    if output.status.success() { Ok(answer) } else { Err(format!("the judge says no: {}", answer["wrong"])) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_a_test_lie_in_a_folder_that_goes_with_it() {
        // A test that was killed: no process has the largest number.
        let dead = Path::new(TMPFS).join(format!("{PREFIX}dead-{}", u32::MAX));
        std::fs::create_dir_all(&dead).unwrap();
        let scratch = Scratch::new("logs");
        assert!(!dead.exists(), "swept");
        let run_dir = scratch.path().join("run");
        let text = config_text(&run_dir, 1, 2);
        let logs = log_dir(&run_dir).expect("a folder");
        assert!(logs.is_dir() && logs.starts_with(TMPFS));
        assert!(text.contains(&format!("log_dir = \"{}\"\n", logs.display())), "{text}");
        std::fs::write(logs.join("tercel-0.log"), "as a killed engine leaves it").unwrap();
        drop(scratch);
        assert!(!logs.exists(), "nothing is left");
        assert_eq!(log_dir(Path::new("/somewhere/run")), None);
    }
}
