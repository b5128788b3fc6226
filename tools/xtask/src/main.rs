//! The project's own checks and test runs: `cargo xtask check | test | soak | bench | docs`.
#![forbid(unsafe_code)]

mod docs;
mod layers;
mod lints;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  check    format, clippy with warnings as errors, import rule, lint lists, generated docs up to date
  test     every test, Rust and Python (installs what Python needs into target/venv)
  soak     the long tests (about an hour on 2 cores)
  bench    every benchmark, printing figures beside their floors
  docs     regenerate docs/reference/event.md from the frame layouts
";

fn main() -> ExitCode {
    let root = workspace_root();
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_str() {
        "check" => check(&root),
        "test" => run::test(&root, &rest),
        "soak" => run::soak(&root),
        "bench" => run::bench(&root, &rest),
        "docs" => docs::write(&root),
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("xtask: no command `{other}`\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            for problem in &problems {
                eprintln!("xtask: {problem}");
            }
            eprintln!("xtask: {} problem(s)", problems.len());
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<(), Vec<String>>;

fn check(root: &Path) -> Outcome {
    let mut problems = Vec::new();
    let mut part = |name: &str, outcome: Outcome| {
        match &outcome {
            Ok(()) => println!("check {name}: ok"),
            Err(found) => {
                println!("check {name}: {} problem(s)", found.len());
                found.iter().for_each(|problem| println!("  {problem}"));
            }
        }
        problems.extend(outcome.err().unwrap_or_default());
    };
    part("layers", layers::check(root));
    part("lints", lints::check(root));
    part("format", run::cargo(root, &["fmt", "--all", "--check"]));
    part("docs", docs::check(root));
    part(
        "clippy",
        run::cargo(root, &["clippy", "--quiet", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    );
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn workspace_root() -> PathBuf {
    // xtask lives two folders below the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}
