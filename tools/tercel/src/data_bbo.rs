//! `tercel data bbo`: best bid and ask of the depth book of a recording, one row after each depth message, through the
//! gateway's feed machine and the core's book, without the touch overlay.
use crate::engine::chain;
use crate::{cli, run, venue};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use tercel_binance::recording::{LineKind, Player, Recording};
use tercel_binance::{FeedConfig, FeedIo, FeedMachine, RingFull, SocketConfig, frames_of};
use tercel_book::{Book, BookConfig, Quality};
use tercel_event::{BookDelta, Frame, FrameKind, Level};
use tercel_types::{
    Calendar, Decimal, DurationNs, FeeRates, Instrument, InstrumentId, InstrumentKind, Instruments, Money, Qty,
};

const HEADER: &str = "ts_exchange_ns,ts_recv_ns,update_id,bid_px,bid_qty,ask_px,ask_qty,quality";
const ID: InstrumentId = InstrumentId(0);
/// Lines read to learn symbol and decimals.
const LOOK_AHEAD: usize = 2_000;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub rows: u64,
    pub messages: u64,
    pub gaps: u64,
    pub malformed: u64,
}

/// Why there are no rows, or no more.
#[derive(Debug)]
pub enum Fault {
    /// The recording cannot be read, or has no book.
    Input(String),
    Output(io::Error),
}

pub fn main(args: &cli::Data) -> Result<Result<bool, String>, run::BadInput> {
    let cli::DataAction::Bbo { data, out, json } = &args.action;
    let scratch = std::env::temp_dir().join(format!("tercel-data-{}", std::process::id()));
    let paths = match data.is_empty() {
        true => vec![venue::recording(None, &scratch).map_err(run::BadInput)?],
        false => data.clone(),
    };
    let outcome = match out {
        Some(path) => match File::create(path) {
            Ok(file) => write(&paths, &mut BufWriter::new(file), *json),
            Err(error) => Err(Fault::Input(format!("cannot create `{}`: {error}", path.display()))),
        },
        None => write(&paths, &mut BufWriter::new(io::stdout().lock()), *json),
    };
    let _ = std::fs::remove_dir_all(&scratch);
    match outcome {
        Ok(written) => {
            let Written { rows, messages, gaps, malformed } = written;
            eprintln!("{rows} rows of {messages} messages; {gaps} gaps, {malformed} malformed");
            Ok(Ok(true))
        }
        // A reader that has seen enough, such as `head`.
        Err(Fault::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Ok(true)),
        Err(Fault::Output(error)) => Ok(Err(format!("cannot write the rows: {error}"))),
        Err(Fault::Input(text)) => Err(run::BadInput(format!("tercel: {text}"))),
    }
}

/// Writes the rows of the recording in `paths` (several files follow each other) to `out`, as CSV or as one JSON object a
/// line. An empty side has empty fields. Rows before a damaged place are written; the fault names its file and line.
pub fn write(paths: &[PathBuf], out: &mut dyn Write, json: bool) -> Result<Written, Fault> {
    let instrument = instrument_of(paths).map_err(Fault::Input)?;
    let symbol = instrument.symbol.to_lowercase();
    let instruments = Instruments(vec![instrument]);
    let config = FeedConfig {
        sockets: vec![SocketConfig {
            ws_url: String::new(),
            streams: ["depth", "bookTicker", "trade"].map(|s| format!("{symbol}@{s}")).to_vec(),
        }],
        ..FeedConfig::default()
    };
    let mut machine = FeedMachine::new(&config, &instruments);
    let mut player = Player::new(Recording::open(paths).map_err(|e| Fault::Input(chain(&e)))?, ID);
    // A recording has no silence that could be told from the pauses of its instrument.
    let book = Book::new(ID, BookConfig { stale_after: DurationNs::ZERO, ..BookConfig::default() });
    let mut rows = Rows { book, instrument: &instruments.0[0], out, json, rows: 0, failed: None };
    if !json {
        writeln!(rows.out, "{HEADER}").map_err(Fault::Output)?;
    }
    let ended = loop {
        match player.step(&mut machine, &mut rows) {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(Fault::Input(chain(&error))),
        }
        if let Some(error) = rows.failed.take() {
            break Err(Fault::Output(error));
        }
    };
    rows.out.flush().map_err(Fault::Output)?;
    ended?;
    let counters = machine.counters();
    if rows.rows == 0 {
        let depths = counters.depths;
        let text = format!("the recording has no book: no snapshot line links to any of its {depths} depth messages");
        return Err(Fault::Input(text));
    }
    Ok(Written { rows: rows.rows, messages: counters.messages, gaps: counters.gaps, malformed: counters.malformed })
}

/// The machine's way out: every frame into the book, a row after each whole depth message.
struct Rows<'a> {
    book: Book,
    instrument: &'a Instrument,
    out: &'a mut dyn Write,
    json: bool,
    rows: u64,
    failed: Option<std::io::Error>,
}

impl FeedIo for Rows<'_> {
    fn push(&mut self, frames: &[u8]) -> Result<(), RingFull> {
        for bytes in frames_of(frames) {
            let Ok(frame) = Frame::parse(bytes) else { continue };
            self.book.apply(&frame);
            if frame.kind() == Ok(FrameKind::BookDelta)
                && !frame.has_more()
                && let Ok(head) = frame.body::<BookDelta>()
            {
                self.rows += 1;
                if let Err(error) = self.row(&head) {
                    self.failed.get_or_insert(error);
                }
            }
        }
        Ok(())
    }

    fn request_snapshot(&mut self, _instrument: InstrumentId) {
        // The recording holds the answer, or there is none.
    }
}

impl Rows<'_> {
    fn row(&mut self, head: &BookDelta) -> std::io::Result<()> {
        let (bid, ask) = self.book.depth_best();
        let text = |level: Option<Level>| match level {
            Some(l) => [
                self.instrument.price_step.text_of(l.px.0).to_string(),
                self.instrument.lot.text_of(l.qty.0).to_string(),
            ],
            None => Default::default(),
        };
        let ([bid_px, bid_qty], [ask_px, ask_qty]) = (text(bid), text(ask));
        let quality = quality_text(self.book.quality());
        let (exchange, recv, id) = (head.ts_exchange.0, head.ts_recv.0, head.last_update_id);
        if self.json {
            let row = json!({
                "ts_exchange_ns": exchange, "ts_recv_ns": recv, "update_id": id, "bid_px": bid_px, "bid_qty": bid_qty,
                "ask_px": ask_px, "ask_qty": ask_qty, "quality": quality,
            });
            writeln!(self.out, "{row}")
        } else {
            writeln!(self.out, "{exchange},{recv},{id},{bid_px},{bid_qty},{ask_px},{ask_qty},{quality}")
        }
    }
}

/// `live`, or the faults joined by `|`.
fn quality_text(quality: Quality) -> String {
    if quality.is_live() { "live".into() } else { quality.faults.names().collect::<Vec<_>>().join("|") }
}

/// Symbol and decimals as the first lines write them: the venue pads every number of a symbol to the same length, so the
/// smallest step that the text can show is exact, and rows come out as the venue writes its own numbers.
fn instrument_of(paths: &[PathBuf]) -> Result<Instrument, String> {
    let mut recording = Recording::open(paths).map_err(|e| chain(&e))?;
    let (mut symbol, mut price, mut qty) = (None, 0, 0);
    for _ in 0..LOOK_AHEAD {
        let Some(line) = recording.next_line() else { break };
        let line = match line {
            Ok(line) => line,
            Err(error) if symbol.is_none() => return Err(chain(&error)),
            // Writing the rows comes to the same place and says so after what stands before it.
            Err(_) => break,
        };
        let Ok(value) = serde_json::from_slice::<Value>(line.json) else { continue };
        let message = value.get("data").unwrap_or(&value);
        if line.kind == LineKind::Message && symbol.is_none() {
            symbol = message.get("s").and_then(Value::as_str).map(str::to_owned);
        }
        for side in ["b", "a", "bids", "asks"] {
            for level in message.get(side).and_then(Value::as_array).into_iter().flatten() {
                let decimals = |at: usize| {
                    level
                        .get(at)
                        .and_then(Value::as_str)
                        .and_then(|t| t.split_once('.'))
                        .map_or(0, |(_, part)| part.len())
                };
                price = price.max(decimals(0));
                qty = qty.max(decimals(1));
            }
        }
    }
    let shown = paths.first().map(|p| p.display().to_string()).unwrap_or_default();
    let symbol = symbol.ok_or_else(|| format!("{shown}: none of the first {LOOK_AHEAD} lines names a symbol (`s`)"))?;
    let step = |digits: usize| Decimal { mantissa: 1, scale: digits.min(18) as u8 };
    Ok(Instrument {
        id: ID,
        symbol,
        // Neither kind nor currency matters to a book.
        kind: InstrumentKind::Spot,
        base: String::new(),
        quote: String::new(),
        settle: String::new(),
        price_step: step(price),
        lot: step(qty),
        multiplier: Decimal::ONE,
        min_qty: Qty(1),
        min_notional: Money::ZERO,
        fees: FeeRates::default(),
        calendar: Calendar::Always,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"10 {"stream":"xbtc@depth@0ms","data":{"e":"depthUpdate","E":5,"T":5,"s":"XBTC","U":8,"u":10,"pu":7,"b":[["99.50","1.000"]],"a":[]}}
11 {"lastUpdateId":9,"bids":[["99.00","2.000"]],"asks":[["100.00","3.000"]]}
12 {"stream":"xbtc@depth@0ms","data":{"e":"depthUpdate","E":6,"T":6,"s":"XBTC","U":11,"u":12,"pu":10,"b":[],"a":[["100.00","0.000"]]}}
"#;

    fn written(text: &str, json: bool) -> (Result<Written, Fault>, String) {
        let name = format!("tercel-bbo-{}-{:?}.txt", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let outcome = write(std::slice::from_ref(&path), &mut out, json);
        std::fs::remove_file(&path).unwrap();
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_depth_message_gives_one_row() {
        let (outcome, text) = written(LINES, false);
        assert_eq!(outcome.unwrap(), Written { rows: 2, messages: 2, gaps: 0, malformed: 0 });
        let rows = [HEADER, "5000000,10,10,99.50,1.000,100.00,3.000,recovering", "6000000,12,12,99.50,1.000,,,live"];
        assert_eq!(text.lines().collect::<Vec<_>>(), rows);
        let (_, text) = written(LINES, true);
        let row: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((row["update_id"].as_u64(), row["quality"].as_str()), (Some(12), Some("live")));
    }

    #[test]
    fn a_cut_file_names_its_line_and_a_file_without_snapshot_says_so() {
        let (outcome, text) = written(&LINES[..LINES.len() - 5], false);
        let Err(Fault::Input(error)) = outcome else { panic!("{outcome:?}") };
        assert!(error.contains(":3: the last line is cut"), "{error}");
        assert_eq!(text.lines().count(), 2, "what came before is written: {text}");
        let (outcome, _) = written(LINES.lines().next().map(|l| format!("{l}\n")).unwrap().as_str(), false);
        let Err(Fault::Input(error)) = outcome else { panic!("{outcome:?}") };
        assert!(error.contains("the recording has no book"), "{error}");
    }
}
