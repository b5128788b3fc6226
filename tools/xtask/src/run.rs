//! Runs other programs: cargo, and Python in an environment of its own under `target/venv`.
use crate::Outcome;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

pub fn cargo(root: &Path, args: &[&str]) -> Outcome {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    status(Command::new(cargo).args(args).current_dir(root), &format!("cargo {}", args.join(" ")))
}

fn status(command: &mut Command, shown: &str) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(vec![format!("`{shown}` ended with {status}")]),
        Err(error) => Err(vec![format!("`{shown}` did not start: {error}")]),
    }
}

/// Every test. Arguments are handed to `cargo test`.
pub fn test(root: &Path, rest: &[String]) -> Outcome {
    let started = Instant::now();
    let python = python(root)?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    // The binary first: end-to-end tests start it as a process.
    status(Command::new(&cargo).args(["build", "--release", "--package", "tercel"]).current_dir(root), "cargo build")?;
    let mut tests = Command::new(&cargo);
    tests.args(["test", "--release", "--workspace"]).args(rest).current_dir(root);
    tests.env("TERCEL_PYTHON", &python).env("TERCEL_BIN", binary(root));
    status(&mut tests, "cargo test --release --workspace")?;
    status(
        Command::new(&cargo)
            .args(["test", "--release", "--package", "tercel-ring", "--features", "loom"])
            .current_dir(root),
        "cargo test --package tercel-ring --features loom",
    )?;
    let sidecar = root.join("tools/sidecar");
    status(
        Command::new(&python).args(["-m", "unittest", "discover", "-v", "-s", "tests"]).current_dir(&sidecar),
        "python3 -m unittest (tools/sidecar)",
    )?;
    println!("xtask test: everything passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The same tests with their long settings.
pub fn soak(root: &Path) -> Outcome {
    let python = python(root)?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    status(Command::new(&cargo).args(["build", "--release", "--package", "tercel"]).current_dir(root), "cargo build")?;
    let mut tests = Command::new(&cargo);
    tests.args(["test", "--release", "--workspace", "--", "--nocapture"]).current_dir(root);
    tests.env("TERCEL_SOAK", "1").env("TERCEL_PYTHON", &python).env("TERCEL_BIN", binary(root));
    status(&mut tests, "TERCEL_SOAK=1 cargo test --release --workspace")
}

pub fn bench(root: &Path, rest: &[String]) -> Outcome {
    let mut args = vec!["bench", "--package", "tercel-benches"];
    args.extend(rest.iter().map(String::as_str));
    cargo(root, &args)
}

/// Where cargo puts the program: its own target directory unless the environment names another.
fn binary(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    target.join("release/tercel")
}

/// The Python of `target/venv`, made and filled on first use. What needs no package falls back to `python3` when the
/// package index is out of reach, and says so.
fn python(root: &Path) -> Result<PathBuf, Vec<String>> {
    let venv = root.join("target/venv");
    let python = venv.join("bin/python3");
    let requirements = root.join("tests/e2e/requirements.txt");
    let stamp = venv.join("requirements.stamp");
    let wanted =
        std::fs::read_to_string(&requirements).map_err(|e| vec![format!("{}: {e}", requirements.display())])?;
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) && python.exists() {
        return Ok(python);
    }
    status(
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv),
        "python3 -m venv target/venv (on Debian: apt-get install python3-venv)",
    )?;
    status(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements),
        "pip install -r tests/e2e/requirements.txt",
    )?;
    std::fs::write(&stamp, wanted).map_err(|e| vec![format!("{}: {e}", stamp.display())])?;
    Ok(python)
}
