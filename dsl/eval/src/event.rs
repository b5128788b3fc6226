//! One event, as a row of a CSV file or of a table states it: words in, checked values out.
use crate::setup::Setup;
use tercel_event::{FeedEvent, Level, Manifest, Phase, TradingState};
use tercel_types::{Decimal, DecimalError, Price, Qty, Side};
use thiserror::Error;

/// What is wrong with an input, and where. Lines and columns count from 1; a column is a character of the line in a table,
/// a field in a CSV file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{line}:{column}: {message}")]
pub struct Fault {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// A word of a row with its column.
pub(crate) type Word<'a> = (&'a str, usize);

/// What happens at one time. Indices are those of the strategy's declarations.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Every level that is visible from now on.
    Book {
        instrument: usize,
        bids: Vec<Level>,
        asks: Vec<Level>,
    },
    Trade {
        instrument: usize,
        px: Price,
        qty: Qty,
        side: Option<Side>,
    },
    /// `None` withdraws the value; the feature time is the row's own unless it says another.
    Signal {
        signal: usize,
        value: Option<f64>,
        features_ns: Option<i64>,
    },
    /// Of the strategy's working orders on this side, best price first.
    Fill {
        instrument: usize,
        side: Side,
        qty: Qty,
        px: Option<Price>,
    },
    Feed {
        instrument: usize,
        event: FeedEvent,
    },
    Phase {
        instrument: usize,
        phase: Phase,
    },
    Param {
        param: usize,
        value: f64,
    },
    /// Time passes.
    Timer,
    Session {
        up: bool,
    },
    Venue(VenueWord),
    Operator(TradingState),
    Kill,
    Rearm,
    /// The process dies and another one takes over: state comes back from the journal.
    Restart,
}

/// What the venue does with requests that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VenueWord {
    /// Refuses the next so many.
    Refuse(u32),
    /// Answers none, until `Answer`.
    Silent,
    /// Answers what it has kept, and everything else at once again.
    Answer,
    /// Trades at most this much of the next order that meets the book.
    Partial(Qty),
}

/// The kinds of rows.
pub const KINDS: &[&str] =
    &["book", "trade", "bar", "signal", "fill", "quality", "param", "timer", "session", "venue", "operator", "restart"];

/// Names that events speak of.
pub(crate) struct Names<'a> {
    pub manifest: &'a Manifest,
    pub setup: &'a Setup,
}

type Parsed<T> = Result<T, (usize, String)>;

impl Names<'_> {
    /// Reads the words behind the time: kind, what it is about, and what the kind needs. `end` is the column behind them.
    pub fn event(&self, words: &[Word<'_>], end: usize) -> Parsed<Event> {
        let Some((&(kind, at), rest)) = words.split_first() else {
            return Err((end, "expected a kind of event".into()));
        };
        let mut rest = Rest { words: rest, end };
        let event = match kind {
            "book" => self.book(&mut rest)?,
            "trade" => {
                let instrument = self.instrument(&mut rest)?;
                let (px, qty) = (self.price(instrument, &mut rest)?, self.qty(instrument, &mut rest)?);
                let side = match rest.optional() {
                    None | Some(("" | "-", _)) => None,
                    Some(word) => Some(side(word)?),
                };
                Event::Trade { instrument, px, qty, side }
            }
            "bar" => return Err((at, "bar rows need `bars`, which this version of the language does not run".into())),
            "signal" => self.signal(&mut rest)?,
            "fill" => {
                let instrument = self.instrument(&mut rest)?;
                let side = side(rest.next("a side: buy or sell")?)?;
                let qty = self.qty(instrument, &mut rest)?;
                let px = match rest.optional() {
                    None | Some(("", _)) => None,
                    Some(word) => Some(self.price_of(instrument, word)?),
                };
                Event::Fill { instrument, side, qty, px }
            }
            "quality" => self.quality(&mut rest)?,
            "param" => {
                let (name, at) = rest.next("the name of a parameter")?;
                let names = || self.manifest.params.iter().map(|p| p.name.as_str());
                let param = names().position(|own| own == name);
                let param = param.ok_or_else(|| (at, unknown("parameter", name, names())))?;
                Event::Param { param, value: number(rest.next("its new value")?)? }
            }
            "timer" => {
                rest.blank();
                Event::Timer
            }
            "session" => {
                rest.blank();
                match rest.next("`up` or `down`")? {
                    ("up", _) => Event::Session { up: true },
                    ("down", _) => Event::Session { up: false },
                    (word, at) => return Err((at, format!("expected `up` or `down`, found `{word}`"))),
                }
            }
            "venue" => self.venue(&mut rest)?,
            "operator" => {
                rest.blank();
                match rest.next("a word of the operator")? {
                    ("active", _) => Event::Operator(TradingState::Active),
                    ("reducing", _) => Event::Operator(TradingState::Reducing),
                    ("halted", _) => Event::Operator(TradingState::Halted),
                    ("kill", _) => Event::Kill,
                    ("rearm", _) => Event::Rearm,
                    (word, at) => {
                        return Err((at, format!("expected active, reducing, halted, kill or rearm, found `{word}`")));
                    }
                }
            }
            "restart" => {
                rest.blank();
                Event::Restart
            }
            _ => return Err((at, unknown("kind", kind, KINDS.iter().copied()))),
        };
        rest.nothing_more()?;
        Ok(event)
    }

    fn instrument(&self, rest: &mut Rest<'_, '_>) -> Parsed<usize> {
        let (name, at) = rest.next("an instrument of the strategy")?;
        let names = || self.setup.instruments.iter().map(|i| i.alias.as_str());
        names().position(|own| own == name).ok_or_else(|| (at, unknown("instrument", name, names())))
    }

    fn book(&self, rest: &mut Rest<'_, '_>) -> Parsed<Event> {
        let instrument = self.instrument(rest)?;
        let (mut bids, mut asks) = (Vec::new(), Vec::new());
        while !rest.words.is_empty() {
            for side in [&mut bids, &mut asks] {
                let (px, qty) = (rest.next("a price")?, rest.next("a quantity")?);
                match (px.0, qty.0) {
                    ("" | "-", "" | "-") => {}
                    _ => {
                        let (price, size) = (self.price_of(instrument, px)?, self.qty_of(instrument, qty)?);
                        if size.0 <= 0 {
                            return Err((qty.1, "a level has a quantity above 0; leave both fields empty".into()));
                        }
                        side.push(Level { px: price, qty: size });
                    }
                }
            }
        }
        if bids.len() + asks.len() > tercel_event::MAX_LEVELS {
            return Err((rest.end, format!("more than {} levels", tercel_event::MAX_LEVELS)));
        }
        let sorted = bids.is_sorted_by(|a, b| a.px > b.px) && asks.is_sorted_by(|a, b| a.px < b.px);
        if !sorted {
            return Err((rest.end, "levels go from the best to the worst, each price once".into()));
        }
        Ok(Event::Book { instrument, bids, asks })
    }

    fn signal(&self, rest: &mut Rest<'_, '_>) -> Parsed<Event> {
        let (name, at) = rest.next("a signal of the strategy")?;
        let names = || self.manifest.signals.iter().map(|s| s.name.as_str());
        let signal = names().position(|own| own == name).ok_or_else(|| (at, unknown("signal", name, names())))?;
        let value = match rest.next("a value, or `-` for none")? {
            ("" | "-", _) => None,
            word => Some(number(word)?),
        };
        let features_ns = match rest.optional() {
            None | Some(("", _)) => None,
            Some(word) => Some(time_ns(word)?),
        };
        Ok(Event::Signal { signal, value, features_ns })
    }

    fn quality(&self, rest: &mut Rest<'_, '_>) -> Parsed<Event> {
        let instrument = self.instrument(rest)?;
        let (word, at) = rest.next("the state of the feed")?;
        let feed = |event| Ok(Event::Feed { instrument, event });
        let phase = |phase| Ok(Event::Phase { instrument, phase });
        match word {
            "gap" => feed(FeedEvent::Gap),
            "disconnected" => feed(FeedEvent::Disconnected),
            "connected" => feed(FeedEvent::Connected),
            "recovering" => feed(FeedEvent::Recovering),
            "recovered" => feed(FeedEvent::Recovered),
            "alive" => feed(FeedEvent::Alive),
            "preopen" => phase(Phase::PreOpen),
            "auction" => phase(Phase::Auction),
            "continuous" => phase(Phase::Continuous),
            "halted" => phase(Phase::Halted),
            "closed" => phase(Phase::Closed),
            _ => {
                let words = [
                    "gap",
                    "disconnected",
                    "connected",
                    "recovering",
                    "recovered",
                    "alive",
                    "preopen",
                    "auction",
                    "continuous",
                    "halted",
                    "closed",
                ];
                Err((at, unknown("state", word, words.into_iter())))
            }
        }
    }

    fn venue(&self, rest: &mut Rest<'_, '_>) -> Parsed<Event> {
        rest.blank();
        let word = match rest.next("what the venue does")? {
            ("refuse", _) => VenueWord::Refuse(match rest.optional() {
                None | Some(("", _)) => 1,
                Some((count, at)) => count.parse().map_err(|_| (at, format!("expected a count, found `{count}`")))?,
            }),
            ("silent", _) => VenueWord::Silent,
            ("answer", _) => VenueWord::Answer,
            ("partial", _) => VenueWord::Partial(self.qty(0, rest)?),
            (word, at) => return Err((at, format!("expected refuse, silent, answer or partial, found `{word}`"))),
        };
        Ok(Event::Venue(word))
    }

    fn price(&self, instrument: usize, rest: &mut Rest<'_, '_>) -> Parsed<Price> {
        let word = rest.next("a price")?;
        self.price_of(instrument, word)
    }

    fn qty(&self, instrument: usize, rest: &mut Rest<'_, '_>) -> Parsed<Qty> {
        let word = rest.next("a quantity")?;
        let qty = self.qty_of(instrument, word)?;
        if qty.0 <= 0 { Err((word.1, format!("expected a quantity above 0, found `{}`", word.0))) } else { Ok(qty) }
    }

    fn price_of(&self, instrument: usize, word: Word<'_>) -> Parsed<Price> {
        count(self.setup.instruments[instrument].tick, word, "tick").map(Price)
    }

    fn qty_of(&self, instrument: usize, word: Word<'_>) -> Parsed<Qty> {
        count(self.setup.instruments[instrument].lot, word, "lot").map(Qty)
    }
}

/// Words that are left of a row.
struct Rest<'a, 'w> {
    words: &'w [Word<'a>],
    end: usize,
}

impl<'a> Rest<'a, '_> {
    fn next(&mut self, expected: &str) -> Parsed<Word<'a>> {
        self.optional().ok_or_else(|| (self.end, format!("expected {expected}, the row ends here")))
    }

    fn optional(&mut self) -> Option<Word<'a>> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(*first)
    }

    /// The empty instrument of a kind that has none.
    fn blank(&mut self) {
        if let Some((("", _), rest)) = self.words.split_first() {
            self.words = rest;
        }
    }

    fn nothing_more(&self) -> Parsed<()> {
        match self.words.iter().find(|(word, _)| !word.is_empty()) {
            None => Ok(()),
            Some((word, at)) => Err((*at, format!("expected the end of the row, found `{word}`"))),
        }
    }
}

fn side((word, at): Word<'_>) -> Parsed<Side> {
    match word {
        "buy" => Ok(Side::Buy),
        "sell" => Ok(Side::Sell),
        _ => Err((at, format!("expected `buy` or `sell`, found `{word}`"))),
    }
}

pub(crate) fn number((word, at): Word<'_>) -> Parsed<f64> {
    let value: f64 = word.parse().map_err(|_| (at, format!("expected a number, found `{word}`")))?;
    if value.is_finite() { Ok(value) } else { Err((at, format!("expected a finite number, found `{word}`"))) }
}

fn count(step: Decimal, (word, at): Word<'_>, name: &str) -> Parsed<i64> {
    step.count_of(word.as_bytes()).map_err(|error| match error {
        DecimalError::OffStep => (at, format!("`{word}` is no multiple of the {name} {step}")),
        error => (at, format!("expected a decimal number, found `{word}` ({error})")),
    })
}

/// `1s+250ms+1`, or plain nanoseconds.
pub(crate) fn time_ns((word, at): Word<'_>) -> Parsed<i64> {
    let mut sum = 0i64;
    for part in word.split('+') {
        let digits = part.trim_end_matches(char::is_alphabetic);
        let unit = match &part[digits.len()..] {
            "" | "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return Err((at, format!("expected a time such as 1s+250ms, found `{word}`"))),
        };
        let value: i64 =
            digits.parse().map_err(|_| (at, format!("expected a time such as 1s+250ms, found `{word}`")))?;
        sum = value
            .checked_mul(unit)
            .and_then(|ns| sum.checked_add(ns))
            .filter(|ns| *ns >= 0)
            .ok_or((at, format!("`{word}` is out of range")))?;
    }
    Ok(sum)
}

fn unknown<'a>(what: &str, word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.collect();
    match known.as_slice() {
        [] => format!("the strategy has no {what}, found `{word}`"),
        known => format!("unknown {what} `{word}`; expected {}", known.join(", ")),
    }
}
