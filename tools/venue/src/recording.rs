//! A recorded Binance file in memory: one line per message, `<receive time, ns> <raw JSON>`, plain or gzip, with one bare REST
//! depth snapshot near the start that makes the book whole.
//!
//! Numbering  Stream lines count from 1 in file order; the snapshot line does not count. This is the `after` of the
//!            simulator's answers, in a live run as in a backtest of the same file.
//! Memory     the whole text and 48 bytes per line.
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tercel_event::Level;
use tercel_sim::{Exchange, PublicTrade, Quote};
use tercel_types::{Decimal, DecimalError, Instrument, InstrumentId, Price, Qty, Side, TimeNs};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum RecordingError {
    #[error("cannot read the recording `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{path}`, line {line}: {what}; a line is `<receive time in ns> <JSON message>`")]
    Line { path: PathBuf, line: usize, what: &'static str },
    #[error("`{path}`, line {line}: cannot be read on from here; the file may be cut or damaged")]
    Cut {
        path: PathBuf,
        line: usize,
        #[source]
        source: io::Error,
    },
    #[error("`{path}` holds no depth snapshot among its first {searched} lines, so its book cannot be built")]
    NoSnapshot { path: PathBuf, searched: usize },
    #[error("`{path}` ends before the book is whole")]
    TooShort { path: PathBuf },
}

/// Lines among which the snapshot must stand.
const SNAPSHOT_WITHIN: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    Depth,
    BookTicker,
    Trade,
}

impl StreamKind {
    /// The kind of a stream name such as `btcusdt@depth@100ms`.
    pub fn of_name(name: &str) -> Option<Self> {
        let kind = name.split('@').nth(1)?;
        match kind {
            "depth" => Some(Self::Depth),
            "bookTicker" => Some(Self::BookTicker),
            "trade" => Some(Self::Trade),
            _ => None,
        }
    }
}

/// One stream line.
#[derive(Clone, Debug)]
pub struct Message {
    pub recv: TimeNs,
    pub kind: StreamKind,
    /// Event time (`E`) in milliseconds, 0 when absent.
    pub event_ms: i64,
    name: Range<u32>,
    data: Range<u32>,
    /// Places of 13-digit times within `data`, 0 when absent.
    times: [u32; 2],
}

/// How many digits a time in milliseconds has, until the year 2286.
const TIME_DIGITS: usize = 13;

#[derive(Debug)]
pub struct Recording {
    pub path: PathBuf,
    text: Vec<u8>,
    messages: Vec<Message>,
    snapshot: Range<u32>,
    /// Stream lines before the snapshot.
    head_count: usize,
}

/// What could not be used of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyCounters {
    /// Messages that are no JSON of the expected shape.
    pub malformed: u64,
    /// Prices or quantities that are no multiple of the instrument's step or lot.
    pub off_step: u64,
}

impl Recording {
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let read = |source| RecordingError::Read { path: path.into(), source };
        let mut file = BufReader::new(File::open(path).map_err(read)?);
        let mut text = Vec::new();
        if path.extension().is_some_and(|extension| extension == "gz") {
            if let Err(source) = MultiGzDecoder::new(file).read_to_end(&mut text) {
                let line = text.iter().filter(|&&b| b == b'\n').count() + 1;
                return Err(RecordingError::Cut { path: path.into(), line, source });
            }
        } else {
            file.read_to_end(&mut text).map_err(read)?;
        }
        Self::of_text(path, text)
    }

    /// Takes the text of a recording; `path` only names it in errors.
    pub fn of_text(path: &Path, text: Vec<u8>) -> Result<Self, RecordingError> {
        let mut recording = Self { path: path.into(), text, messages: Vec::new(), snapshot: 0..0, head_count: 0 };
        let (mut from, mut line, mut last_recv) = (0, 0, i64::MIN);
        while from < recording.text.len() {
            let len = recording.text[from..].iter().position(|&b| b == b'\n');
            let to = len.map_or(recording.text.len(), |len| from + len);
            line += 1;
            recording.read_line(from, to, &mut last_recv).map_err(|what| RecordingError::Line {
                path: path.into(),
                line,
                what: if len.is_none() { "the last line is cut" } else { what },
            })?;
            if line == SNAPSHOT_WITHIN && recording.snapshot.is_empty() {
                return Err(RecordingError::NoSnapshot { path: path.into(), searched: line });
            }
            from = to + 1;
        }
        if recording.snapshot.is_empty() {
            return Err(RecordingError::NoSnapshot { path: path.into(), searched: line });
        }
        if recording.head_count >= recording.messages.len() {
            return Err(RecordingError::TooShort { path: path.into() });
        }
        Ok(recording)
    }

    fn read_line(&mut self, from: usize, to: usize, last_recv: &mut i64) -> Result<(), &'static str> {
        let line = &self.text[from..to];
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let space = line.iter().position(|&b| b == b' ').ok_or("no space after the receive time")?;
        let recv = core::str::from_utf8(&line[..space]).ok().and_then(|t| t.parse::<i64>().ok());
        // A clock that stepped back must not make the playback do so.
        let recv = recv.ok_or("the receive time is not a number")?.max(*last_recv);
        *last_recv = recv;
        let json = line[space + 1..].trim_ascii_end();
        let json_from = from + space + 1;
        let Some(name) = json.strip_prefix(br#"{"stream":""#) else {
            if !json.starts_with(br#"{"lastUpdateId""#) {
                return Err("neither a stream message nor a depth snapshot");
            }
            if self.snapshot.is_empty() {
                self.snapshot = json_from as u32..(json_from + json.len()) as u32;
                self.head_count = self.messages.len();
            }
            return Ok(());
        };
        let name_len = name.iter().position(|&b| b == b'"').ok_or("the stream name does not end")?;
        let name_from = json_from + json.len() - name.len();
        let rest = &name[name_len..];
        let inner = rest.strip_prefix(br#"","data":"#).ok_or("no data after the stream name")?;
        let inner = inner.strip_suffix(b"}").ok_or("the message does not end with a brace")?;
        let data_from = name_from + name_len + (rest.len() - inner.len() - 1);
        let text = core::str::from_utf8(&name[..name_len]).map_err(|_| "the stream name is not text")?;
        let Some(kind) = StreamKind::of_name(text) else { return Ok(()) };
        let (event, transaction) = (find_time(inner, b"\"E\":"), find_time(inner, b"\"T\":"));
        self.messages.push(Message {
            recv: TimeNs(recv),
            kind,
            event_ms: event.map_or(0, |at| number(&inner[at..at + TIME_DIGITS])),
            name: name_from as u32..(name_from + name_len) as u32,
            data: data_from as u32..(data_from + inner.len()) as u32,
            times: [event.unwrap_or(0) as u32, transaction.unwrap_or(0) as u32],
        });
        Ok(())
    }

    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Place in `messages` of the first one after the snapshot: what is played.
    pub fn first_played(&self) -> usize {
        self.head_count
    }

    /// Time zero of the playback: the receive time of the first message played.
    pub fn base(&self) -> TimeNs {
        self.messages[self.head_count].recv
    }

    /// Length of the playback.
    pub fn span_ns(&self) -> i64 {
        self.messages.last().map_or(0, |last| last.recv.since(self.base()).0)
    }

    /// By how much event times lead receive times at most, so that a shift can keep them from lying in the future.
    pub fn lead_ns(&self) -> i64 {
        let timed = self.messages.iter().filter(|m| m.event_ms > 0);
        timed.map(|m| m.event_ms * 1_000_000 - m.recv.0).max().unwrap_or(0)
    }

    /// The constant in milliseconds that is added to event times when the recording starts at `start`: then none of
    /// them lies after the instant at which its message is played at 1×.
    pub fn shift_ms(&self, start: TimeNs) -> i64 {
        (start.0 - self.base().0 - self.lead_ns()).div_euclid(1_000_000)
    }

    fn slice(&self, range: &Range<u32>) -> &[u8] {
        &self.text[range.start as usize..range.end as usize]
    }

    /// Stream name as recorded.
    pub fn name(&self, idx: usize) -> &str {
        core::str::from_utf8(self.slice(&self.messages[idx].name)).unwrap_or("")
    }

    /// The message's own JSON, without the wrapper that names the stream.
    pub fn data(&self, idx: usize) -> &[u8] {
        self.slice(&self.messages[idx].data)
    }

    /// Appends the message's own JSON to `out`, its times moved by `shift_ms`; no other byte changes.
    pub fn shifted_data(&self, idx: usize, shift_ms: i64, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(self.data(idx));
        for place in self.messages[idx].times {
            if place > 0 {
                let at = from + place as usize;
                let digits = &mut out[at..at + TIME_DIGITS];
                let mut rest = number(digits) + shift_ms;
                for digit in digits.iter_mut().rev() {
                    *digit = b'0' + rest.rem_euclid(10) as u8;
                    rest = rest.div_euclid(10);
                }
            }
        }
    }

    /// Builds the book: messages before the snapshot, then the snapshot. Event times are moved by `shift_ms`.
    pub fn prime(
        &self,
        exchange: &mut Exchange,
        instrument: InstrumentId,
        shift_ms: i64,
        counters: &mut ApplyCounters,
    ) -> Result<(), RecordingError> {
        let too_short = || RecordingError::TooShort { path: self.path.clone() };
        let snapshot: Snapshot<'_> = serde_json::from_slice(self.slice(&self.snapshot)).map_err(|_| too_short())?;
        let ts = TimeNs::from_millis(snapshot.event_ms.unwrap_or(0) + shift_ms);
        {
            let matcher = exchange.matcher_mut(instrument).ok_or_else(too_short)?;
            let scale = Scale::of(matcher.instrument());
            matcher.snapshot_begin(snapshot.last_update_id);
            let bids = scale.levels(&snapshot.bids, counters);
            let asks = scale.levels(&snapshot.asks, counters);
            matcher.levels(bids.into_iter(), asks.into_iter());
            matcher.depth_end(snapshot.last_update_id, ts);
        }
        for idx in 0..self.head_count {
            self.apply_if(idx, exchange, instrument, shift_ms, ts, snapshot.last_update_id, counters);
        }
        Ok(())
    }

    /// Gives message `idx` to the matcher at `now` and counts it.
    pub fn apply(
        &self,
        idx: usize,
        exchange: &mut Exchange,
        instrument: InstrumentId,
        shift_ms: i64,
        now: TimeNs,
        counters: &mut ApplyCounters,
    ) {
        self.apply_if(idx, exchange, instrument, shift_ms, now, 0, counters);
    }

    /// Depth messages that end at or before update `after_id` are counted only.
    #[expect(clippy::too_many_arguments, reason = "what a message is applied to, and from where on")]
    fn apply_if(
        &self,
        idx: usize,
        exchange: &mut Exchange,
        instrument: InstrumentId,
        shift_ms: i64,
        now: TimeNs,
        after_id: u64,
        counters: &mut ApplyCounters,
    ) {
        let message = &self.messages[idx];
        let ts = TimeNs::from_millis(message.event_ms + shift_ms);
        let Some(matcher) = exchange.matcher_mut(instrument) else { return };
        let scale = Scale::of(matcher.instrument());
        let data = self.data(idx);
        let done = match message.kind {
            StreamKind::Depth => serde_json::from_slice::<Depth<'_>>(data).map(|depth| {
                if depth.last_id > after_id {
                    let bids = scale.levels(&depth.bids, counters);
                    let asks = scale.levels(&depth.asks, counters);
                    matcher.levels(bids.into_iter(), asks.into_iter());
                    matcher.depth_end(depth.last_id, ts);
                }
            }),
            StreamKind::BookTicker => {
                serde_json::from_slice::<Ticker<'_>>(data).map(|ticker| match scale.quote(&ticker, ts) {
                    Ok(quote) => matcher.on_quote(quote),
                    Err(_) => counters.off_step += 1,
                })
            }
            StreamKind::Trade => serde_json::from_slice::<Trade<'_>>(data).map(|trade| {
                let aggressor = if trade.buyer_is_maker { Side::Sell } else { Side::Buy };
                match (scale.price(trade.px), scale.qty(trade.qty)) {
                    (Ok(px), Ok(qty)) if trade.is_market() => matcher.on_trade(PublicTrade { px, qty, aggressor, ts }),
                    (Ok(_), Ok(_)) => {}
                    _ => counters.off_step += 1,
                }
            }),
        };
        if done.is_err() {
            counters.malformed += 1;
        }
        exchange.message_end(instrument, now);
    }
}

/// Place of the 13 digits after `key`.
fn find_time(data: &[u8], key: &[u8; 4]) -> Option<usize> {
    let at = data.windows(4).position(|window| window == key)? + 4;
    let digits = data.get(at..at + TIME_DIGITS)?;
    let whole = digits.iter().all(u8::is_ascii_digit) && !data.get(at + TIME_DIGITS).is_some_and(u8::is_ascii_digit);
    whole.then_some(at)
}

fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}

#[derive(Deserialize)]
struct Depth<'a> {
    #[serde(rename = "u")]
    last_id: u64,
    #[serde(rename = "b", borrow)]
    bids: Vec<(&'a str, &'a str)>,
    #[serde(rename = "a", borrow)]
    asks: Vec<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    #[serde(rename = "u")]
    update_id: u64,
    #[serde(rename = "b")]
    bid_px: &'a str,
    #[serde(rename = "B")]
    bid_qty: &'a str,
    #[serde(rename = "a")]
    ask_px: &'a str,
    #[serde(rename = "A")]
    ask_qty: &'a str,
}

#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(rename = "p")]
    px: &'a str,
    #[serde(rename = "q")]
    qty: &'a str,
    #[serde(rename = "m")]
    buyer_is_maker: bool,
    /// `MARKET` for trades of the book; liquidations by the insurance fund and the like are none.
    #[serde(rename = "X", default)]
    kind: Option<&'a str>,
}

impl Trade<'_> {
    fn is_market(&self) -> bool {
        self.kind.is_none_or(|kind| kind == "MARKET")
    }
}

#[derive(Deserialize)]
struct Snapshot<'a> {
    #[serde(rename = "lastUpdateId")]
    last_update_id: u64,
    #[serde(rename = "E")]
    event_ms: Option<i64>,
    #[serde(borrow)]
    bids: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    asks: Vec<(&'a str, &'a str)>,
}

/// Text to steps and lots.
struct Scale {
    price_step: Decimal,
    lot: Decimal,
}

impl Scale {
    fn of(instrument: &Instrument) -> Self {
        Self { price_step: instrument.price_step, lot: instrument.lot }
    }

    fn price(&self, text: &str) -> Result<Price, DecimalError> {
        self.price_step.count_of(text.as_bytes()).map(Price)
    }

    fn qty(&self, text: &str) -> Result<Qty, DecimalError> {
        self.lot.count_of(text.as_bytes()).map(Qty)
    }

    fn quote(&self, ticker: &Ticker<'_>, ts: TimeNs) -> Result<Quote, DecimalError> {
        Ok(Quote {
            update_id: ticker.update_id,
            bid_px: self.price(ticker.bid_px)?,
            bid_qty: self.qty(ticker.bid_qty)?,
            ask_px: self.price(ticker.ask_px)?,
            ask_qty: self.qty(ticker.ask_qty)?,
            ts,
        })
    }

    fn levels(&self, rows: &[(&str, &str)], counters: &mut ApplyCounters) -> Vec<Level> {
        let mut levels = Vec::with_capacity(rows.len());
        for (px, qty) in rows {
            match (self.price(px), self.qty(qty)) {
                (Ok(px), Ok(qty)) => levels.push(Level { px, qty }),
                _ => counters.off_step += 1,
            }
        }
        levels
    }
}
