//! `tercel replay`: the journal's inputs through a fresh core, every derived frame and the final state compared.
use crate::cli;
use crate::config::RunConfig;
use crate::engine::{self, chain};
use crate::incidents::Incidents;
use crate::report;
use serde_json::{Value, json};
use std::path::Path;
use tercel_core::Replayer;
use tercel_event::Frame;
use tercel_journal::{Damage, JournalError, Recovery, TextStore};

/// What a replay found.
pub struct Verdict {
    pub identical: bool,
    pub frames: u64,
    pub state_hash: u64,
    /// The first difference, with its `seq`.
    pub difference: Option<String>,
    /// What was cut off the end of a journal that nobody closed.
    pub torn: Option<String>,
    pub report: Value,
    /// What was refused and halted, by the journal's notes.
    pub incidents: Incidents,
}

impl Verdict {
    pub fn json(&self) -> Value {
        json!({
            "identical": self.identical,
            "frames": self.frames,
            "state_hash": format!("{:016x}", self.state_hash),
            "difference": self.difference,
            "torn": self.torn,
        })
    }
}

/// The configuration that the journal of the run in `dir` was written with; `replace` gives other texts for strategies.
pub fn journalled_config(dir: &Path, replace: &[(String, String)]) -> Result<RunConfig, String> {
    let journal = dir.join("journal");
    let texts = TextStore::open(&journal);
    let find = |name: &str| -> Result<String, String> {
        let bytes = texts.find(name).map_err(|error| chain(&error))?;
        let bytes = bytes.ok_or_else(|| {
            format!("the journal in {} holds no text `{name}`; is this the directory of a run?", journal.display())
        })?;
        String::from_utf8(bytes).map_err(|_| format!("the journalled text `{name}` is not UTF-8"))
    };
    let text = find("config.toml")?;
    let mut replaced = replace.iter();
    let parsed = std::cell::RefCell::new(Vec::new());
    let mut config = RunConfig::parse("journalled config.toml", &text, &|file| {
        parsed.borrow_mut().push(file.to_owned());
        find(file)
    })
    .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    // Other texts take the places of the journalled ones, in order.
    for (entry, (_, source)) in config.strategies.iter_mut().zip(&mut replaced) {
        entry.source.clone_from(source);
    }
    if replaced.next().is_some() {
        return Err(format!("more strategies given than the run had ({})", config.strategies.len()));
    }
    config.dir = dir.to_owned();
    Ok(config)
}

/// The directory of a run: as given, or `run` inside the directory that `tercel demo --keep` made.
pub fn run_dir(dir: &Path) -> std::path::PathBuf {
    if !dir.join("journal").is_dir() && dir.join("run/journal").is_dir() { dir.join("run") } else { dir.to_owned() }
}

/// Replays the run in `dir`. An error means that the journal could not be read; a difference is a verdict.
pub fn verify(dir: &Path, replace: &[(String, String)]) -> Result<Verdict, String> {
    let config = journalled_config(dir, replace)?;
    let (core, _) = engine::build_core(&config)?;
    let log = engine::log_path(&config);
    let log = log.exists().then_some(log.as_path());
    let mut recovery = Recovery::open(&dir.join("journal"), log).map_err(|error| chain(&error))?;
    let mut replayer = Replayer::new(core);
    let mut difference = None;
    let mut incidents = Incidents::default();
    loop {
        let bytes = match recovery.next_frame() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break,
            // A frame that was changed together with its checksum is a verdict, not a failure to read.
            Err(error @ JournalError::Frame { seq, damage: Damage::Link, .. }) => {
                difference = Some(format!("seq {seq}: {error}"));
                break;
            }
            Err(error) => return Err(chain(&error)),
        };
        let frame = Frame::parse(bytes).map_err(|error| format!("the journal holds what is no frame: {error}"))?;
        incidents.take(&frame);
        if let Err(found) = replayer.replay_frame(frame) {
            let hint = match (found, replace.is_empty()) {
                (tercel_core::Difference::Changed { seq: 1, .. }, true) => {
                    ". At the first input this means another build: replay with the build that recorded it"
                }
                (_, false) => ". The strategies are not the journalled ones",
                _ => "",
            };
            difference = Some(format!("{found}{hint}"));
            break;
        }
    }
    let frames = replayer.frames_count();
    if frames == 0 {
        return Err(format!("the journal in {} is empty", dir.display()));
    }
    let report = replayer.core().report();
    let state_hash = report.state_hash;
    if difference.is_none() {
        let ours = replayer.last().0;
        difference = match recorded_end(dir) {
            Some((seq, _)) if seq > ours => {
                Some(format!("seq {}: the journal ends before it, the run ended at seq {seq}", ours + 1))
            }
            Some((seq, hash)) if seq == ours && hash != format!("{state_hash:016x}") => {
                Some(format!("seq {seq}: the run ended with state hash {hash}, the replay with {state_hash:016x}"))
            }
            _ => None,
        };
    }
    let torn = recovery.summary().torn.as_ref().map(engine::torn_tail);
    let report = report::of_core(&report, &config, &incidents);
    Ok(Verdict { identical: difference.is_none(), frames, state_hash, difference, torn, report, incidents })
}

/// `seq` and state hash that the run itself ended with, where it ended in order.
fn recorded_end(dir: &Path) -> Option<(u64, String)> {
    let text = std::fs::read_to_string(dir.join("end.json")).ok()?;
    let value: Value = serde_json::from_str(&text).ok()?;
    Some((value["seq"].as_u64()?, value["state_hash"].as_str()?.to_owned()))
}

/// A run has begun, so what the last one ended with is the end no more.
pub fn forget_end(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(dir.join("end.json")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Leaves what `recorded_end` reads.
pub fn record_end(dir: &Path, seq: u64, state_hash: u64) -> std::io::Result<()> {
    std::fs::write(
        dir.join("end.json"),
        format!("{}\n", json!({"seq": seq, "state_hash": format!("{state_hash:016x}")})),
    )
}

pub fn main(args: &cli::Replay) -> Result<bool, String> {
    let mut replace = Vec::new();
    for path in &args.strategy {
        let source = crate::strategies::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        replace.push((path.display().to_string(), source));
    }
    let verdict = verify(&run_dir(&args.dir), &replace)?;
    if args.json {
        let mut value = verdict.report.clone();
        value["replay"] = verdict.json();
        println!("{value}");
    } else {
        match &verdict.difference {
            None => println!("identical: {} frames, state hash {:016x}", verdict.frames, verdict.state_hash),
            Some(difference) => println!("DIFFERENT after {} frames: {difference}", verdict.frames),
        }
        if let Some(torn) = &verdict.torn {
            println!("{torn}");
        }
    }
    Ok(verdict.identical)
}
