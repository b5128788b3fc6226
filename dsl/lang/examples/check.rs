//! `cargo run -p tercel-lang --example check -- FILE.strat`: findings, or the static report.
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: check FILE.strat");
        return ExitCode::FAILURE;
    };
    let source = match std::fs::read_to_string(&path) {
        Ok(source) => source,
        Err(error) => {
            eprintln!("cannot read `{path}`: {error}");
            return ExitCode::FAILURE;
        }
    };
    match tercel_lang::compile(&source, &path) {
        Ok(compiled) => {
            print!("{}{}", compiled.warnings, compiled.report);
            ExitCode::SUCCESS
        }
        Err(findings) => {
            print!("{findings}");
            ExitCode::FAILURE
        }
    }
}
