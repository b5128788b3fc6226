//! Event tables: a strategy, events, and what must be seen of it, in one readable file.
//!
//!   # S2 · what the table shows, in one or more lines
//!   [strategy]   text of a strategy; without `edition` a frame and `instrument x: perp(BTC/USDT)` are put around it
//!   [setup]      optional: `x.tick 0.5`, `param p 3`, `cold`, `exec.retry 50ms`, …
//!   [play]       a head and rows, cells between `|`: at | event | column | …
//!
//! docs/reference/eval.md has the whole format.
use crate::event::{Names, Word, number, time_ns};
use crate::player::{Instant, Options, Player, Step, column};
use crate::show::reason_text;
use crate::{Engine, Event, Fault, Setup, command_text, note_text, value_text};
use tercel_event::Control;
use tercel_graph::Value;
use tercel_lang::{Compiled, StandardOnly};
use tercel_types::{DurationNs, TimeNs};

/// A table that has been read: its strategy is compiled, its events are checked.
#[derive(Debug)]
pub struct Table {
    pub title: String,
    compiled: Compiled,
    setup: Setup,
    /// Names of the `let`s that have columns.
    names: Vec<String>,
    columns: Vec<Shown>,
    rows: Vec<Row>,
}

/// What was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    pub rows: usize,
    /// Cells that were compared.
    pub cells: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Place among the names.
    Value(usize),
    Mode,
    Control,
    Rules,
    Orders,
    Why,
    Notes,
}

#[derive(Debug)]
struct Row {
    line: usize,
    at: TimeNs,
    event: Option<Event>,
    /// Column of the event, for what only the play finds wrong.
    event_column: usize,
    /// Expected texts with their columns.
    cells: Vec<(String, usize)>,
}

type Parsed<T> = Result<T, Fault>;

fn fault<T>(line: usize, column: usize, message: impl Into<String>) -> Parsed<T> {
    Err(Fault { line, column, message: message.into() })
}

/// Reads a table and plays it on both engines. `file` is for messages: `file:line:column: …`.
pub fn play_table(file: &str, text: &str) -> Result<Played, String> {
    let named = |fault: Fault| format!("{file}:{fault}");
    let table = Table::read(file, text)?;
    let mut played = Played::default();
    for engine in Engine::ALL {
        played = table
            .play(engine)
            .map_err(|f| named(Fault { message: format!("{}: {}", engine.name(), f.message), ..f }))?;
    }
    Ok(played)
}

impl Table {
    /// Errors are whole messages: those of a strategy have several lines.
    pub fn read(file: &str, text: &str) -> Result<Self, String> {
        let named = |fault: Fault| format!("{file}:{fault}");
        let parts = Parts::read(text).map_err(named)?;
        let source = parts.source();
        let compiled = tercel_lang::compile_to_watch(&source, file, &StandardOnly).map_err(|d| d.render())?;
        let mut setup = Setup::new(&compiled.manifest);
        parts.setup(&mut setup).map_err(named)?;
        let (names, columns, rows) = parts.play(&compiled, &setup).map_err(named)?;
        Ok(Self { title: parts.title, compiled, setup, names, columns, rows })
    }

    /// Plays it; the fault is the first difference.
    pub fn play(&self, engine: Engine) -> Parsed<Played> {
        let options = Options { engine, can_restart: true };
        let start = self.rows.first().map_or(1, |row| row.line);
        let at = |row: &Row, message: String| Fault { line: row.line, column: row.event_column, message };
        let mut player = Player::new(&self.compiled, &self.names, self.setup.clone(), options)
            .or_else(|message| fault(start, 1, message))?;
        let (mut last, mut played) = (None, Played::default());
        for (idx, row) in self.rows.iter().enumerate() {
            let mut begun = Vec::new();
            if idx == 0 {
                let start = player.start(row.at).map_err(|message| at(row, message))?;
                (last, begun) = (start.instants.last().cloned(), start.commands);
            }
            let mut step = player.play(row.at, row.event.as_ref().unwrap_or(&Event::Timer)).map_err(|m| at(row, m))?;
            step.commands.splice(0..0, begun);
            let settled = step.instants.last().cloned().or_else(|| last.take());
            let seen = step.own.map(|own| step.instants.swap_remove(own)).or_else(|| settled.clone());
            last = settled;
            played.rows += 1;
            for (shown, (want, column)) in self.columns.iter().zip(&row.cells) {
                let (got, is_right) = self.compare(*shown, want, seen.as_ref(), &step, &player);
                played.cells += usize::from(!want.is_empty());
                if !is_right {
                    let name = self.column_name(*shown);
                    let message =
                        format!("`{name}`: expected `{}`, found `{got}`", if want.is_empty() { "." } else { want });
                    return fault(row.line, *column, message);
                }
            }
        }
        Ok(played)
    }

    fn column_name(&self, shown: Shown) -> &str {
        match shown {
            Shown::Value(at) => &self.names[at],
            Shown::Mode => "mode",
            Shown::Control => "control",
            Shown::Rules => "rules",
            Shown::Orders => "orders",
            Shown::Why => "why",
            Shown::Notes => "notes",
        }
    }

    /// What was found, and whether it is what was expected.
    fn compare(
        &self,
        shown: Shown,
        want: &str,
        seen: Option<&Instant>,
        step: &Step,
        player: &Player,
    ) -> (String, bool) {
        let list = |items: Vec<String>| if items.is_empty() { ".".to_owned() } else { items.join("; ") };
        let is_left_out = want.is_empty() && shown != Shown::Orders;
        let Some(seen) = seen.filter(|_| !is_left_out) else { return (String::new(), is_left_out) };
        let text = match shown {
            Shown::Value(at) => {
                let text = value_text(seen.values[at], || seen.causes[at].unwrap_or(crate::Cause::NotReady));
                let (want, moves) = match want.rsplit_once(' ') {
                    Some((want, word @ ("tick" | "held"))) => (want.trim(), Some(word == "tick")),
                    _ => (want, None),
                };
                let is_right = same_value(seen.values[at], seen.causes[at], want);
                return match moves {
                    Some(moves) => {
                        let word = if seen.ticked[at] { "tick" } else { "held" };
                        (format!("{text} {word}"), is_right && moves == seen.ticked[at])
                    }
                    None => (text, is_right),
                };
            }
            Shown::Mode => seen.mode.clone(),
            Shown::Control => match seen.control {
                Control::Run => "run".into(),
                Control::Halt(_) => "halt".into(),
                Control::Finish(_) => "finish".into(),
                Control::Livelock => "livelock".into(),
            },
            Shown::Rules => format!("{},{}", seen.fired, seen.blocked),
            Shown::Orders => list(step.commands.iter().filter_map(|c| command_text(c, &player.setup)).collect()),
            Shown::Why => {
                let orders = step.commands.iter().filter(|c| command_text(c, &player.setup).is_some());
                list(orders.map(|c| reason_text(c.reason)).collect())
            }
            Shown::Notes => {
                let text = |note| note_text(note, seen.control, player.manifest(), &player.setup);
                list(step.notes.iter().map(text).collect())
            }
        };
        let want = if want.is_empty() { "." } else { want };
        let is_right = match shown {
            Shown::Orders | Shown::Why | Shown::Notes => {
                want.split(';').map(str::trim).eq(text.split(';').map(str::trim))
            }
            _ => text == want,
        };
        (text, is_right)
    }
}

fn same_value(value: Value, cause: Option<crate::Cause>, want: &str) -> bool {
    match (want, value) {
        ("-", value) => !value.is_present(),
        ("T" | "true", value) => value == Value::Bool(Some(true)),
        ("F" | "false", value) => value == Value::Bool(Some(false)),
        (want, value) if want.starts_with("absent:") => {
            !value.is_present() && cause.is_some_and(|cause| want["absent:".len()..] == *cause.name())
        }
        (want, Value::F64(Some(x))) => match want.strip_prefix('~') {
            Some(near) => near.parse::<f64>().is_ok_and(|near| (x - near).abs() <= 1e-12 * near.abs()),
            None => want.parse::<f64>().is_ok_and(|want| want.to_bits() == x.to_bits()),
        },
        (want, Value::Time(Some(ns))) => time_ns((want, 0)).is_ok_and(|want| want == ns),
        _ => false,
    }
}

/// The sections of a table, lines numbered from 1.
struct Parts<'a> {
    title: String,
    heading: usize,
    strategy: Vec<&'a str>,
    setup: Vec<(usize, &'a str)>,
    play: Vec<(usize, &'a str)>,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Parsed<Self> {
        let mut parts = Self { title: String::new(), heading: 0, strategy: vec![], setup: vec![], play: vec![] };
        let mut section = "";
        for (at, line) in text.lines().enumerate() {
            let (number, bare) = (at + 1, line.trim());
            match (bare, section) {
                ("[strategy]", _) => (section, parts.heading) = ("strategy", number),
                ("[setup]", _) => section = "setup",
                ("[play]", _) => section = "play",
                (_, "strategy") => parts.strategy.push(line),
                ("", _) => {}
                (title, "") if title.starts_with('#') => {
                    parts.title += title.trim_start_matches('#').trim();
                    parts.title.push(' ');
                }
                (_, "") => return fault(number, 1, "expected `# what the table shows` or `[strategy]`"),
                (comment, _) if comment.starts_with("//") => {}
                (_, "setup") => parts.setup.push((number, line)),
                _ => parts.play.push((number, line)),
            }
        }
        if parts.title.trim().is_empty() {
            return fault(1, 1, "the first line says what the table shows: `# S2 · …`");
        }
        if parts.heading == 0 || parts.play.len() < 2 {
            return fault(text.lines().count().max(1), 1, "expected `[strategy]`, and `[play]` with a head and a row");
        }
        Ok(parts)
    }

    /// The strategy at the lines that it has in the table.
    fn source(&self) -> String {
        let body = &self.strategy;
        let is_whole = body.iter().any(|line| line.trim_start().starts_with("edition"));
        if is_whole {
            return "\n".repeat(self.heading) + &body.join("\n");
        }
        let is_use = |line: &&&str| line.trim_start().starts_with("use ");
        let mut frame = vec!["edition 1"];
        frame.extend(body.iter().filter(is_use));
        frame.push("strategy table version 1 {");
        // The lines of the title are free for it; with more modules than those have room for, lines move down.
        let mut source = "\n".repeat(self.heading.saturating_sub(frame.len())) + &frame.join("\n");
        if !body.iter().any(|line| line.trim_start().starts_with("instrument ")) {
            source.push_str(" instrument x: perp(BTC/USDT)");
        }
        for line in body {
            source.push('\n');
            source.push_str(if is_use(&line) { "" } else { line });
        }
        source.push_str("\n}\n");
        source
    }

    fn setup(&self, setup: &mut Setup) -> Parsed<()> {
        for &(line, text) in &self.setup {
            let words = words(text, 1);
            let wrong = |at: usize, message: String| Fault { line, column: at, message };
            let (key, at) = words[0];
            let value = words.get(1).copied();
            let needs = || value.ok_or_else(|| wrong(at, format!("expected a value behind `{key}`")));
            let span = || needs().and_then(|word| time_ns(word).map_err(|(at, m)| wrong(at, m))).map(DurationNs);
            match key {
                "cold" => setup.warm = false,
                "feed_stale" => setup.feed_stale = span()?,
                "outcome_timeout" => setup.outcome_timeout = span()?,
                "exec.retry" => setup.exec.retry = span()?,
                "exec.backoff" => setup.exec.backoff = span()?,
                "exec.refill" => setup.exec.refill = span()?,
                "exec.flatten_slip" => {
                    setup.exec.flatten_slip = number(needs()?).map_err(|(at, m)| wrong(at, m))?;
                }
                "param" => {
                    let (name, _) = needs()?;
                    let Some(word) = words.get(2) else { return fault(line, at, "expected `param NAME VALUE`") };
                    setup.params.push((name.into(), number(*word).map_err(|(at, m)| wrong(at, m))?));
                }
                _ => {
                    let known = key.split_once('.').and_then(|(alias, field)| {
                        let place = setup.instruments.iter().position(|own| own.alias == alias)?;
                        Some((place, field))
                    });
                    let Some((place, field)) = known else {
                        return fault(line, at, format!("unknown setting `{key}`"));
                    };
                    let (value, at) = needs()?;
                    setup.instruments[place].set(field, value).map_err(|m| wrong(at, m))?;
                }
            }
        }
        Ok(())
    }

    fn play(&self, compiled: &Compiled, setup: &Setup) -> Parsed<(Vec<String>, Vec<Shown>, Vec<Row>)> {
        let (line, head) = self.play[0];
        let head = cells(head);
        if head.len() < 3 || head[0].0 != "at" || head[1].0 != "event" {
            return fault(line, 1, "expected a head `at | event | column | …` with at least one column");
        }
        let (mut names, mut columns) = (Vec::new(), Vec::new());
        for &(name, at) in &head[2..] {
            columns.push(match name {
                "mode" => Shown::Mode,
                "control" => Shown::Control,
                "rules" => Shown::Rules,
                "orders" => Shown::Orders,
                "why" => Shown::Why,
                "notes" => Shown::Notes,
                "" => return fault(line, at, "a column has a name"),
                _ => {
                    names.push(name.to_owned());
                    Shown::Value(names.len() - 1)
                }
            });
            if let Some(name) = names.last()
                && let Err(message) = column(compiled, name)
            {
                return fault(line, at, message);
            }
        }
        let (mut rows, mut last) = (Vec::new(), 0);
        for &(line, text) in &self.play[1..] {
            let cells = cells(text);
            if cells.len() != head.len() {
                return fault(line, 1, format!("expected {} cells as in the head, found {}", head.len(), cells.len()));
            }
            let wrong = |(column, message): (usize, String)| Fault { line, column, message };
            let ns = if cells[0].0.is_empty() { last } else { time_ns(cells[0]).map_err(wrong)? };
            if ns < last {
                return fault(line, cells[0].1, "time goes back");
            }
            last = ns;
            let (event_text, event_column) = cells[1];
            let words = words(event_text, event_column);
            let names = Names { manifest: &compiled.manifest, setup };
            let end = event_column + event_text.chars().count();
            let event = if words.is_empty() { None } else { Some(names.event(&words, end).map_err(wrong)?) };
            let cells = cells[2..].iter().map(|(text, at)| ((*text).to_owned(), *at)).collect();
            rows.push(Row { line, at: TimeNs(ns), event, event_column, cells });
        }
        if rows.iter().all(|row| row.cells.iter().all(|(cell, _)| cell.is_empty())) {
            return fault(line, 1, "the table asserts nothing: every expected cell is empty");
        }
        Ok((names, columns, rows))
    }
}

/// Cells of a line with the column at which each begins.
fn cells(line: &str) -> Vec<Word<'_>> {
    let mut column = 1;
    line.split('|')
        .map(|cell| {
            let first = column + cell.chars().take_while(|c| c.is_whitespace()).count();
            column += cell.chars().count() + 1;
            (cell.trim(), first)
        })
        .collect()
}

/// Words of a text that begins at `column`.
fn words(text: &str, column: usize) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = None;
    for (place, (at, c)) in text.char_indices().enumerate() {
        match (c.is_whitespace(), start) {
            (false, None) => start = Some((at, place)),
            (true, Some((first, place))) => {
                words.push((&text[first..at], column + place));
                start = None;
            }
            _ => {}
        }
    }
    if let Some((first, place)) = start {
        words.push((&text[first..], column + place));
    }
    words
}
