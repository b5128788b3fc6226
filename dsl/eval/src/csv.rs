//! EVENTS.csv, line by line: `ts_ns,kind,instrument,…`, the rest by kind.
use crate::event::{Names, Word};
use crate::player::{Instant, Options, Player, Step};
use crate::setup::Setup;
use crate::{Engine, Event, Fault, command_text, value_text};
use tercel_event::Manifest;
use tercel_lang::Compiled;
use tercel_types::{Decimal, TimeNs};

/// Reads rows for one strategy. The first line it is given is the header.
#[derive(Clone, Debug, Default)]
pub struct EventLines {
    has_header: bool,
    last_ns: i64,
}

/// Fields of a line, numbered from 1.
fn fields(line: &str) -> Vec<Word<'_>> {
    line.split(',').enumerate().map(|(at, field)| (field.trim(), at + 1)).collect()
}

impl EventLines {
    /// The event of a line, `None` for the header and empty lines. `line_number` counts from 1.
    pub fn read(
        &mut self,
        line_number: usize,
        line: &str,
        manifest: &Manifest,
        setup: &Setup,
    ) -> Result<Option<(TimeNs, Event)>, Fault> {
        let fault = |(column, message): (usize, String)| Fault { line: line_number, column, message };
        let line = line.trim_end_matches('\r');
        let words = fields(line);
        if !self.has_header {
            let names: Vec<_> = words.iter().take(3).map(|(word, _)| *word).collect();
            if names != ["ts_ns", "kind", "instrument"] {
                let message = format!("expected a header that begins with `ts_ns,kind,instrument`, found `{line}`");
                return Err(fault((1, message)));
            }
            self.has_header = true;
            return Ok(None);
        }
        if line.trim().is_empty() {
            return Ok(None);
        }
        if let Some((word, at)) = words.iter().find(|(word, _)| word.contains('"')) {
            return Err(fault((*at, format!("fields stand without quotation marks, found `{word}`"))));
        }
        let (time, at) = words[0];
        let ts: i64 = time
            .parse()
            .ok()
            .filter(|ts| (0..1 << 62).contains(ts))
            .ok_or_else(|| fault((at, format!("expected a time in nanoseconds since 1970, found `{time}`"))))?;
        if ts < self.last_ns {
            return Err(fault((at, format!("time goes back: {ts} is before {}", self.last_ns))));
        }
        let names = Names { manifest, setup };
        let event = names.event(&words[1..], words.len() + 1).map_err(fault)?;
        self.last_ns = ts;
        Ok(Some((TimeNs(ts), event)))
    }
}

/// The finest decimals of a file: steps and lots for instruments of which nobody says them.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// (alias, digits of prices, digits of quantities).
    seen: Vec<(String, usize, usize)>,
}

impl Steps {
    /// Looks at one line.
    pub fn scan(&mut self, line: &str) {
        let words = fields(line.trim_end_matches('\r'));
        let (Some((kind, _)), Some((alias, _))) = (words.get(1), words.get(2)) else { return };
        let digits = |word: &str| word.split_once('.').map_or(0, |(_, digits)| digits.trim_end_matches('0').len());
        let is_price = |at: usize| match *kind {
            "book" => Some(at.is_multiple_of(2)),
            "trade" if at < 2 => Some(at == 0),
            "fill" => [None, Some(false), Some(true)].get(at).copied().flatten(),
            "bar" => Some(at < 4),
            _ => None,
        };
        for (at, (word, _)) in words[3..].iter().enumerate() {
            let Some(is_price) = is_price(at) else { continue };
            let place = match self.seen.iter().position(|(own, ..)| own == alias) {
                Some(place) => place,
                None => {
                    self.seen.push(((*alias).to_owned(), 0, 0));
                    self.seen.len() - 1
                }
            };
            let (_, prices, quantities) = &mut self.seen[place];
            let most = if is_price { prices } else { quantities };
            *most = (*most).max(digits(word));
        }
    }

    /// Powers of ten that hold everything seen, at most 12 digits. A lot is never coarser than it was: what a strategy orders
    /// may be finer than what others show.
    pub fn apply(&self, setup: &mut Setup, keep: impl Fn(&str, &str) -> bool) {
        let step = |digits: usize| Decimal { mantissa: 1, scale: digits.min(12) as u8 };
        for own in &mut setup.instruments {
            let Some((_, prices, quantities)) = self.seen.iter().find(|(alias, ..)| *alias == own.alias) else {
                continue;
            };
            if !keep(&own.alias, "tick") {
                own.tick = step(*prices);
            }
            if !keep(&own.alias, "lot") {
                own.lot = step((*quantities).max(own.lot.scale.into()));
            }
        }
    }
}

/// The first columns of what is printed.
const HEAD: &str = "seq,ts_ns";

/// Rows in, values out: a strategy over a file, line by line.
pub struct Evaluation {
    player: Player,
    lines: EventLines,
    line_number: usize,
    /// Rows played, instants of the strategy, lines printed, orders and requests sent.
    pub rows: u64,
    pub instants: u64,
    pub printed: u64,
    pub orders: u64,
}

impl Evaluation {
    /// Prints these names, each a `let` of the strategy.
    pub fn new(compiled: &Compiled, names: &[String], setup: Setup, engine: Engine) -> Result<Self, String> {
        let player = Player::new(compiled, names, setup, Options { engine, can_restart: false })?;
        let (lines, line_number) = (EventLines::default(), 0);
        Ok(Self { player, lines, line_number, rows: 0, instants: 0, printed: 0, orders: 0 })
    }

    /// First line of the output.
    pub fn head(&self) -> String {
        self.player.columns().fold(HEAD.to_owned(), |head, name| head + "," + name) + "\n"
    }

    /// Plays the next line of the file, the header first; appends what it leads to.
    pub fn line(&mut self, text: &str, out: &mut String) -> Result<(), Fault> {
        self.line_number += 1;
        let line = self.line_number;
        let read = self.lines.read(line, text, self.player.manifest(), &self.player.setup)?;
        let Some((at, event)) = read else { return Ok(()) };
        let fault = |message| Fault { line, column: 2, message };
        if self.rows == 0 {
            // Feed and session come up; what the strategy wants then already is sent.
            let start = self.player.start(at).map_err(fault)?;
            self.orders += self.orders_of(&start);
        }
        let step = self.player.play(at, &event).map_err(fault)?;
        self.rows += 1;
        self.orders += self.orders_of(&step);
        for instant in &step.instants {
            self.instants += 1;
            if instant.ticked.iter().any(|ticked| *ticked) {
                self.printed += 1;
                print(instant, out);
            }
        }
        Ok(())
    }
}

impl Evaluation {
    fn orders_of(&self, step: &Step) -> u64 {
        step.commands.iter().filter(|command| command_text(command, &self.player.setup).is_some()).count() as u64
    }
}

/// One line: values that tick in this instant, nothing for those that are held.
fn print(instant: &Instant, out: &mut String) {
    *out += &format!("{},{}", instant.seq, instant.now.0);
    for ((value, cause), ticked) in instant.values.iter().zip(&instant.causes).zip(&instant.ticked) {
        out.push(',');
        if *ticked {
            *out += &value_text(*value, || cause.unwrap_or(crate::Cause::NotReady));
        }
    }
    out.push('\n');
}
