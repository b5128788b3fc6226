//! Zero allocations and zero system calls on the core thread, behind the first 10,000 inputs, over a million that hold
//! resyncs, reconnects, bursts of rejects and parameter changes. Each guard is shown to catch a planted violation.
//!
//! Every case is a process of its own, because the filter kills.
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_no-alloc")).args(args).output().expect("the binary of this crate runs")
}

fn value(output: &Output, name: &str) -> Option<u64> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The plants run few frames: they only have to be reached.
const SHORT: &str = "20000";

#[test]
fn a_million_frames_allocate_nothing_and_call_nobody() {
    let frames = match (std::env::var_os("TERCEL_SOAK"), cfg!(debug_assertions)) {
        (Some(_), _) => "10000000",
        (None, false) => "1000000",
        (None, true) => "200000",
    };
    let output = run(&["--frames", frames]);
    println!("{}", shown(&output));
    assert_eq!(output.status.code(), Some(0), "{:?}\n{}", output.status, shown(&output));
    assert_eq!((value(&output, "allocations"), value(&output, "releases")), (Some(0), Some(0)));
    assert!(value(&output, "frames") >= frames.parse().ok());
    for trouble in ["resyncs", "reconnects", "mass_statuses", "rejects", "params_set"] {
        assert!(value(&output, trouble) > Some(0), "{trouble}\n{}", shown(&output));
    }
}

#[test]
fn one_vec_that_grows_is_counted() {
    let output = run(&["--frames", SHORT, "--plant", "growth"]);
    assert_eq!(output.status.code(), Some(1), "{:?}\n{}", output.status, shown(&output));
    assert_eq!(value(&output, "allocations"), Some(1), "{}", shown(&output));
}

/// A bare call, a line of log, and a core that parks instead of spinning.
#[test]
fn one_system_call_kills() {
    for plant in ["syscall", "log", "park"] {
        let output = run(&["--frames", SHORT, "--plant", plant]);
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{plant}: {:?}\n{}", output.status, shown(&output));
    }
}
