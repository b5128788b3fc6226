//! `tercel backtest`: the core and the compiled strategies over a recorded file, with the venue's matching in process.
mod compare;
mod constant;
mod journal;

use crate::config::RunConfig;
use crate::incidents::Incidents;
use crate::{cli, demo, replay, report, run, venue};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use tercel_core::Report;
use tercel_event::Command;
use tercel_sim::ExchangeConfig;
use tercel_types::{DurationNs, TimeNs};
use tercel_venue::Recording;

/// A command and when the engine gave it.
pub struct Given {
    pub command: Command,
    pub at: TimeNs,
    /// Best quotes and trades that the engine had taken before it.
    pub market_frames: u64,
}

/// What a backtest came to.
pub struct Outcome {
    pub report: Report,
    pub incidents: Incidents,
    pub commands: Vec<Given>,
    /// Recorded messages that the venue took in.
    pub messages: u64,
    /// Engine time of the last of them at the venue.
    pub played_to: TimeNs,
    /// Engine time at which the recording started.
    pub start: TimeNs,
    pub inputs: u64,
}

/// Constant latencies: recorded message to engine, command to matching, execution to engine.
#[derive(Clone, Copy)]
pub struct Spans {
    pub feed: DurationNs,
    pub order: DurationNs,
    pub report: DurationNs,
}

/// How far engine and venue are apart.
enum Latency {
    Constant(Spans),
    Journal(std::path::PathBuf),
}

fn parse_latency(text: &str) -> Result<Latency, String> {
    let refused = || {
        format!(
            "--latency {text}: write `constant:FEED_US,ORDER_US,REPORT_US`, such as `constant:100,200,200`, or `journal:DIR`"
        )
    };
    match text.split_once(':') {
        Some(("journal", dir)) if !dir.is_empty() => Ok(Latency::Journal(replay::run_dir(Path::new(dir)))),
        Some(("constant", spans)) => {
            let micros = |word: &str| {
                word.trim().parse::<u32>().map(|us| DurationNs(i64::from(us) * 1_000)).map_err(|_| refused())
            };
            let spans: Vec<DurationNs> = spans.split(',').map(micros).collect::<Result<_, _>>()?;
            match *spans.as_slice() {
                [feed, order] => Ok(Latency::Constant(Spans { feed, order, report: order.max(feed) })),
                [feed, order, report] if report >= feed => Ok(Latency::Constant(Spans { feed, order, report })),
                [..] => Err(format!("{}; a report is not faster than the feed", refused())),
            }
        }
        _ => Err(refused()),
    }
}

pub fn main(args: &cli::Backtest) -> Result<Result<bool, String>, run::BadInput> {
    let latency = parse_latency(&args.latency).map_err(run::BadInput)?;
    let scratch = std::env::temp_dir().join(format!("tercel-backtest-{}", std::process::id()));
    let outcome = prepare(args, &scratch).map(|(recording, texts)| backtest(args, &latency, &recording, &texts));
    let _ = std::fs::remove_dir_all(&scratch);
    outcome
}

type Texts = Vec<(String, String)>;

fn prepare(args: &cli::Backtest, scratch: &Path) -> Result<(Recording, Texts), run::BadInput> {
    let path = venue::recording(args.data.as_deref(), scratch).map_err(run::BadInput)?;
    let recording = Recording::open(&path).map_err(|error| run::BadInput(crate::engine::chain(&error)))?;
    let texts = demo::strategy_texts(&args.strategy)?;
    Ok((recording, texts))
}

fn backtest(args: &cli::Backtest, latency: &Latency, recording: &Recording, texts: &Texts) -> Result<bool, String> {
    let started = Instant::now();
    let span = args.seconds.map(|seconds| DurationNs::from_secs(seconds as i64));
    let compared = args.compare.as_deref().map(replay::run_dir);
    let (config, outcome, comparison) = match latency {
        Latency::Journal(dir) => {
            let replace: &[_] = if args.strategy.is_empty() { &[] } else { texts };
            let config = replay::journalled_config(dir, replace)?;
            let (outcome, live) = journal::run(&config, dir, recording)?;
            let comparison = compare::exact(&live, &outcome.commands);
            (config, outcome, Some(comparison))
        }
        Latency::Constant(spans) => match &compared {
            Some(dir) => {
                let config = replay::journalled_config(dir, if args.strategy.is_empty() { &[] } else { texts })?;
                let live = journal::read(dir, &config)?;
                let outcome = constant::run(&config, recording, *spans, span, Some(&live))?;
                let mut comparison = compare::loose(&live, &outcome.commands);
                comparison.first.push(compare::measured(&live, recording, config.speed));
                (config, outcome, Some(comparison))
            }
            None => {
                let config = offline_config(texts)?;
                let outcome = constant::run(&config, recording, *spans, span, None)?;
                (config, outcome, None)
            }
        },
    };
    let elapsed = started.elapsed().as_secs_f64();
    let mut value = report::of_core(&outcome.report, &config, &outcome.incidents);
    value["feed"]["messages"] = json!(outcome.messages);
    value["duration_s"] = json!(elapsed);
    value["events_per_second"] = json!((outcome.inputs as f64 / elapsed).round());
    describe(&mut value, args, latency, recording, &outcome);
    let good = comparison.as_ref().is_none_or(|comparison| comparison.good);
    if let Some(comparison) = &comparison {
        value["comparison"] = comparison.json();
    }
    if args.json {
        println!("{value}");
    } else {
        print!("{}", report::text(&value));
        println!(
            "speed       {:.0} events/s ({} inputs in {elapsed:.2} s)",
            outcome.inputs as f64 / elapsed,
            outcome.inputs
        );
        if let Some(comparison) = &comparison {
            print!("{}", comparison.text());
        }
    }
    Ok(good)
}

/// What the figures stand on: data, latencies, queue.
fn describe(value: &mut Value, args: &cli::Backtest, latency: &Latency, recording: &Recording, outcome: &Outcome) {
    let played = DurationNs(outcome.played_to.since(outcome.start).0);
    let from = recording.base();
    let file =
        args.data.as_ref().map_or_else(|| "the built-in recording".to_owned(), |path| path.display().to_string());
    value["data"] = json!({
        "file": file,
        "from": report::utc(from),
        "to": report::utc(from.saturating_add(played)),
        "span_s": played.0 as f64 / 1e9,
        "messages": outcome.messages,
    });
    value["latency_model"] = json!(args.latency);
    value["latency_words"] = match latency {
        Latency::Constant(spans) => {
            let us = |span: DurationNs| span.0 / 1_000;
            value["latency_us"] = json!({"feed": us(spans.feed), "order": us(spans.order), "report": us(spans.report)});
            json!(format!(
                "constant: {} us from the recorded message to the engine, {} us from a command to the matching, {} us back",
                us(spans.feed),
                us(spans.order),
                us(spans.report)
            ))
        }
        Latency::Journal(dir) => json!(format!("of the run in {}, message by message", dir.display())),
    };
    let queue = ExchangeConfig::default().queue;
    value["queue_model"] = json!(queue.name());
    value["queue_words"] = json!(queue.words());
}

/// The demo's configuration with nothing to connect to.
fn offline_config(texts: &Texts) -> Result<RunConfig, String> {
    let text = demo::config_text(1, Path::new("backtest"), texts, 9, 9, 0);
    RunConfig::parse("backtest", &text, &|file| {
        let found = texts.iter().find(|(name, _)| name == file);
        found.map(|(_, source)| source.clone()).ok_or_else(|| "no such strategy".to_owned())
    })
    .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// A comparison's verdict for the report.
pub struct Comparison {
    pub good: bool,
    pub live: usize,
    pub matched: usize,
    /// (cause, count), most frequent first.
    pub causes: Vec<(String, usize)>,
    /// The first differences, in words.
    pub first: Vec<String>,
}

impl Comparison {
    fn share(&self) -> f64 {
        if self.live == 0 { 0.0 } else { self.matched as f64 / self.live as f64 }
    }

    fn json(&self) -> Value {
        let causes: serde_json::Map<String, Value> =
            self.causes.iter().map(|(cause, count)| (cause.clone(), json!(count))).collect();
        json!({
            "good": self.good, "commands_live": self.live, "commands_matched": self.matched, "share": self.share(),
            "differences": causes, "first": self.first,
        })
    }

    fn text(&self) -> String {
        let mut out = format!(
            "comparison  {} of {} commands of the run match ({:.2} %)\n",
            self.matched,
            self.live,
            self.share() * 100.0
        );
        for (cause, count) in &self.causes {
            out.push_str(&format!("            {count:>5}  {cause}\n"));
        }
        for line in &self.first {
            out.push_str(&format!("            {line}\n"));
        }
        out
    }
}
