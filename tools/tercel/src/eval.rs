//! `tercel eval`: a file of events through a strategy, named values out.
use crate::cli::{self, EvalEngine};
use crate::strategies;
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use tercel_eval::{Engine, Evaluation, Setup, Steps};
use tercel_lang::{Compiled, StandardOnly};

/// Files from this size on show how far they are, at a terminal.
const LARGE: u64 = 8 << 20;
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Errors are about the input, each with its place.
pub fn main(args: &cli::Eval) -> Result<(), String> {
    let file = args.file.display().to_string();
    let source = strategies::read(&args.file).map_err(|error| format!("{file}: {error}"))?;
    let compiled = tercel_lang::compile_to_watch(&source, &file, &StandardOnly).map_err(|found| found.render())?;
    let setup = setup(&compiled, args)?;
    let names = match args.print.as_slice() {
        [] => all_names(&compiled),
        names => names.to_vec(),
    };
    let engine = match args.engine {
        EvalEngine::Interp => Engine::Interp,
        EvalEngine::Jit => Engine::Jit,
    };
    let evaluation = Evaluation::new(&compiled, &names, setup, engine).map_err(|error| format!("{file}: {error}"))?;
    let done = match &args.out {
        Some(path) => {
            let target = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
            play(args, evaluation, BufWriter::new(target))
        }
        None => play(args, evaluation, std::io::stdout().lock()),
    }?;
    if args.json {
        let summary = json!({
            "file": file,
            "engine": match args.engine { EvalEngine::Interp => "interp", EvalEngine::Jit => "jit" },
            "names": names,
            "rows": done.rows,
            "instants": done.instants,
            "printed": done.printed,
            "orders": done.orders,
        });
        println!("{summary}");
    }
    Ok(())
}

fn all_names(compiled: &Compiled) -> Vec<String> {
    let names = compiled.names.iter();
    names.map(|own| own.mode.as_ref().map_or(own.name.clone(), |mode| format!("{mode}.{}", own.name))).collect()
}

/// Steps, lots and parameters: those of the command line, else those that the file shows.
fn setup(compiled: &Compiled, args: &cli::Eval) -> Result<Setup, String> {
    let mut setup = Setup::new(&compiled.manifest);
    let mut said = Vec::new();
    for item in &args.set {
        let (name, value) = item.split_once('=').ok_or_else(|| format!("--set {item}: expected NAME=VALUE"))?;
        match name.split_once('.') {
            Some((alias, key)) => {
                let own = setup.instruments.iter_mut().find(|own| own.alias == alias);
                let own = own.ok_or_else(|| format!("--set {item}: the strategy has no instrument `{alias}`"))?;
                own.set(key, value).map_err(|error| format!("--set {item}: {error}"))?;
                said.push((alias.to_owned(), key.to_owned()));
            }
            None => {
                let value = value.parse().map_err(|_| format!("--set {item}: expected a number, found `{value}`"))?;
                setup.params.push((name.to_owned(), value));
            }
        }
    }
    let mut steps = Steps::default();
    let mut text = String::new();
    let mut events = open(&args.events)?;
    while read_line(&mut events, &mut text, &args.events)? {
        steps.scan(&text);
    }
    steps.apply(&mut setup, |alias, key| said.iter().any(|(a, k)| a == alias && k == key));
    Ok(setup)
}

fn open(path: &Path) -> Result<BufReader<File>, String> {
    File::open(path).map(|file| BufReader::with_capacity(1 << 16, file)).map_err(|e| format!("{}: {e}", path.display()))
}

/// The next line without its end; false behind the last one.
fn read_line(events: &mut impl BufRead, text: &mut String, path: &Path) -> Result<bool, String> {
    text.clear();
    let read = events.read_line(text).map_err(|error| format!("{}: {error}", path.display()))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(read > 0)
}

fn play(args: &cli::Eval, mut evaluation: Evaluation, mut out: impl Write) -> Result<Evaluation, String> {
    let path = args.events.display();
    let size = std::fs::metadata(&args.events).map_or(0, |meta| meta.len());
    let shows = size >= LARGE && std::io::stderr().is_terminal();
    let (mut events, mut text, mut lines) = (open(&args.events)?, String::new(), evaluation.head());
    let (mut done, mut told) = (0, Instant::now());
    while read_line(&mut events, &mut text, &args.events)? {
        done += text.len() as u64 + 1;
        evaluation.line(&text, &mut lines).map_err(|fault| format!("{path}:{fault}"))?;
        if lines.len() > 1 << 15 {
            if !write(&mut out, &lines)? {
                return Ok(evaluation);
            }
            lines.clear();
        }
        if shows && told.elapsed() > PROGRESS_EVERY {
            told = Instant::now();
            eprint!("\r{path}: {} rows, {} %", evaluation.rows, 100 * done.min(size) / size);
        }
    }
    if shows {
        eprintln!("\r{path}: {} rows, 100 %", evaluation.rows);
    }
    if !write(&mut out, &lines)? {
        return Ok(evaluation);
    }
    if evaluation.rows == 0 {
        return Err(format!("{path}: no event; expected a header `ts_ns,kind,instrument,…` and rows"));
    }
    Ok(evaluation)
}

/// False when whoever reads has seen enough.
fn write(out: &mut impl Write, text: &str) -> Result<bool, String> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("the output cannot be written: {error}")),
    }
}
