//! `tercel`: the composition root. Everything that a person starts is a sub-command here.
//!
//! Exit codes: 0 done, 1 failed (or a comparison or replay said no), 2 bad usage or bad input.
#![forbid(unsafe_code)]

/// Standard output and error may be closed at any time, by a pager or a terminal that went away; a running engine must not
/// end over that. These stand in for the standard macros in all of this crate.
macro_rules! eprintln {
    ($($arg:tt)*) => {{ use std::io::Write as _; let _ = std::writeln!(std::io::stderr(), $($arg)*); }};
}
macro_rules! eprint {
    ($($arg:tt)*) => {{ use std::io::Write as _; let _ = std::write!(std::io::stderr(), $($arg)*); }};
}
macro_rules! println {
    ($($arg:tt)*) => {{ use std::io::Write as _; let _ = std::writeln!(std::io::stdout(), $($arg)*); }};
}
macro_rules! print {
    ($($arg:tt)*) => {{ use std::io::Write as _; let _ = std::write!(std::io::stdout(), $($arg)*); }};
}

mod backtest;
mod check;
mod cli;
mod config;
mod data_bbo;
mod demo;
mod engine;
mod eval;
mod incidents;
mod kill;
mod operator;
#[cfg(test)]
mod reference;
mod replay;
mod report;
mod run;
mod stop;
mod strategies;
mod venue;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let outcome = match &Cli::parse().command {
        Command::Demo(args) => demo::main(args),
        Command::Run(args) => run::main(args),
        Command::Venue(args) => venue::main(args),
        Command::Check(args) => check::main(args).map(|()| Ok(true)).map_err(run::BadInput),
        Command::Eval(args) => eval::main(args).map(|()| Ok(true)).map_err(run::BadInput),
        Command::Replay(args) => Ok(replay::main(args)),
        Command::Kill(args) => Ok(kill::main(args)),
        Command::Ctl(args) => Ok(kill::ctl(args)),
        Command::Backtest(args) => backtest::main(args),
        Command::Data(args) => data_bbo::main(args),
    };
    match outcome {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(error)) => {
            eprintln!("tercel: {error}");
            ExitCode::FAILURE
        }
        Err(run::BadInput(error)) => {
            eprintln!("{error}");
            ExitCode::from(BAD_INPUT)
        }
    }
}
