//! The venue's own account of a run, for a judge that shares no code with us: every byte of the order session, every
//! request and answer with the number of recorded messages before it, and what happened to connections and feed.
//! The format is documented in docs/reference/venue-log.md.
//!
//! Lines are written out before the venue's loop sleeps, so they outlive the engine; the venue itself may be killed too.
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tercel_net::Now;
use tercel_sim::{ClientId, ClientNo, Exchange, ExecType, Response, exec_id, order_id};
use tercel_types::{Instrument, Money, Price, Qty};

/// Names of the files in the log folder.
pub const ORDERS_FILE: &str = "orders.jsonl";
pub const FIX_FILE: &str = "fix.log";
pub const EVENTS_FILE: &str = "venue.log";

#[derive(Debug)]
enum Sink {
    Memory(Vec<u8>),
    File(BufWriter<File>),
}

impl Sink {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                bytes.extend_from_slice(line);
                bytes.push(b'\n');
                Ok(())
            }
            Self::File(file) => {
                file.write_all(line)?;
                file.write_all(b"\n")
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(file) => file.flush(),
        }
    }
}

/// Keeps the first failure; a venue without its log proves nothing, so the run ends with it.
fn keep(failed: &mut Option<io::Error>, outcome: io::Result<()>) {
    if let (Err(error), None) = (outcome, &failed) {
        *failed = Some(error);
    }
}

/// Replaces the value of Password (554): a log is read by more people than a secret is.
fn hide_password(line: &mut Vec<u8>) {
    const KEY: &[u8] = b"|554=";
    if let Some(at) = line.windows(KEY.len()).position(|window| window == KEY) {
        let from = at + KEY.len();
        let len = line[from..].iter().position(|&b| b == b'|').unwrap_or(line.len() - from);
        line.splice(from..from + len, *b"hidden");
    }
}

/// The bytes of the order session.
#[derive(Debug)]
pub struct FixLog {
    sink: Sink,
    failed: Option<io::Error>,
    line: Vec<u8>,
}

impl FixLog {
    fn new(sink: Sink) -> Self {
        Self { sink, failed: None, line: Vec::new() }
    }

    /// Bytes as they were read or written: SOH as `|`, everything else that is not plain ASCII as `\\xNN`.
    pub fn bytes(&mut self, direction: Direction, bytes: &[u8], now: Now) {
        let word = if direction == Direction::In { "in" } else { "out" };
        self.line.clear();
        self.line.extend_from_slice(format!("{} {} {word} ", now.engine.0, now.wall.0).as_bytes());
        for &byte in bytes {
            match byte {
                1 => self.line.push(b'|'),
                b' '..=b'~' if byte != b'|' && byte != b'\\' => self.line.push(byte),
                _ => self.line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            }
        }
        hide_password(&mut self.line);
        keep(&mut self.failed, self.sink.line(&self.line));
    }

    pub fn flush(&mut self) -> io::Result<()> {
        keep(&mut self.failed, self.sink.flush());
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The lines of a log in memory; empty when the log is a file.
    pub fn text(&self) -> &[u8] {
        match &self.sink {
            Sink::Memory(bytes) => bytes,
            Sink::File(_) => &[],
        }
    }
}

/// Requests, answers and events.
#[derive(Debug)]
pub struct VenueLog {
    orders: Sink,
    events: Sink,
    /// Lines in `orders.jsonl`, which count from 1.
    lines: u64,
    failed: Option<io::Error>,
    line: String,
}

/// Direction of bytes, as seen from the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
}

impl VenueLog {
    /// Keeps the log in memory.
    pub fn in_memory() -> (Self, FixLog) {
        let memory = || Sink::Memory(Vec::new());
        (Self::of(memory(), memory()), FixLog::new(memory()))
    }

    /// Makes the folder and the files; what an earlier run left there is replaced.
    pub fn in_folder(folder: &Path) -> Result<(Self, FixLog), (PathBuf, io::Error)> {
        fs::create_dir_all(folder).map_err(|error| (folder.to_path_buf(), error))?;
        let file = |name: &str| {
            let path = folder.join(name);
            File::create(&path).map(|file| Sink::File(BufWriter::new(file))).map_err(|error| (path, error))
        };
        Ok((Self::of(file(ORDERS_FILE)?, file(EVENTS_FILE)?), FixLog::new(file(FIX_FILE)?)))
    }

    fn of(orders: Sink, events: Sink) -> Self {
        Self { orders, events, lines: 0, failed: None, line: String::new() }
    }

    /// The order lines of a log in memory; empty when the log is in files.
    pub fn orders_text(&self) -> &[u8] {
        match &self.orders {
            Sink::Memory(bytes) => bytes,
            Sink::File(_) => &[],
        }
    }

    /// Hands everything to the operating system and returns the first failure of any write.
    pub fn flush(&mut self) -> io::Result<()> {
        keep(&mut self.failed, self.orders.flush());
        keep(&mut self.failed, self.events.flush());
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Something about connections, feed or faults. `more` adds fields.
    pub fn event(&mut self, word: &str, now: Now, more: impl FnOnce(&mut Line<'_>)) {
        self.line.clear();
        let mut line = Line::begin(&mut self.line);
        line.int("ts", now.engine.0).int("wall", now.wall.0).text("event", word);
        more(&mut line);
        line.end();
        keep(&mut self.failed, self.events.line(self.line.as_bytes()));
    }

    fn order_line(&mut self, word: &str, after: u64, now: Now, more: impl FnOnce(&mut Line<'_>)) {
        self.lines += 1;
        self.line.clear();
        let mut line = Line::begin(&mut self.line);
        line.int("n", self.lines)
            .int("ts", now.engine.0)
            .int("wall", now.wall.0)
            .int("after", after)
            .text("type", word);
        more(&mut line);
        line.end();
        keep(&mut self.failed, self.orders.line(self.line.as_bytes()));
    }

    /// A request as it was understood, before it was acted on.
    pub fn request(&mut self, client: ClientNo, request: &RequestLine<'_>, after: u64, now: Now) {
        self.order_line("request", after, now, |line| {
            line.int("client", client)
                .text("msg_type", request.msg_type)
                .int("msg_seq_num", request.msg_seq_num)
                .id("cl_ord_id", &request.cl_ord_id)
                .id("orig_cl_ord_id", &request.orig_cl_ord_id);
            for (key, value) in request.fields {
                line.text(key, value);
            }
        });
    }

    /// An answer as it was made; it may reach the wire later, when the session is up again.
    pub fn response(&mut self, response: &Response, exchange: &Exchange, now: Now) {
        match response {
            Response::Execution(e) => {
                let Some(instrument) = exchange.matcher(e.instrument).map(|m| m.instrument()) else { return };
                self.order_line("exec", e.after, now, |line| {
                    line.int("client", e.client)
                        .byte("exec_type", e.exec_type as u8)
                        .byte("ord_status", e.ord_status as u8)
                        .text("order_id", &order_id(e.order_no).to_string())
                        .text("exec_id", &exec_id(e.exec_no).to_string())
                        .id("cl_ord_id", &e.cl_ord_id)
                        .id("orig_cl_ord_id", &e.orig_cl_ord_id)
                        .text("symbol", &instrument.symbol)
                        .int("side", e.side as u8)
                        .byte("ord_type", e.ord_type as u8)
                        .byte("tif", e.tif as u8);
                    if let Some(px) = e.px {
                        line.text("px", &price_text(instrument, px));
                    }
                    line.text("order_qty", &qty_text(instrument, e.order_qty))
                        .text("cum_qty", &qty_text(instrument, e.cum_qty))
                        .text("leaves_qty", &qty_text(instrument, e.leaves_qty));
                    if e.exec_type == ExecType::Trade {
                        line.text("last_px", &price_text(instrument, e.last_px))
                            .text("last_qty", &qty_text(instrument, e.last_qty))
                            .int("liquidity", e.liquidity)
                            .text("commission", &money_text(e.commission))
                            .text("position", &qty_text(instrument, e.holding.position))
                            .text("fees", &money_text(e.holding.fees));
                    }
                    if let Some(refusal) = e.refusal {
                        line.text("reason", refusal.text());
                    }
                    if e.mass.is_some() {
                        line.int("mass", 1);
                    }
                });
            }
            Response::CancelRefused(r) => self.order_line("cancel_reject", r.after, now, |line| {
                line.int("client", r.client)
                    .text("order_id", &order_id(r.order_no).to_string())
                    .id("cl_ord_id", &r.cl_ord_id)
                    .id("orig_cl_ord_id", &r.orig_cl_ord_id)
                    .byte("ord_status", r.ord_status as u8)
                    .int("response_to", if r.replace { 2 } else { 1 })
                    .text("reason", r.refusal.text());
            }),
        }
    }
}

/// What is written of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    pub msg_type: &'a str,
    pub msg_seq_num: u32,
    pub cl_ord_id: ClientId,
    pub orig_cl_ord_id: ClientId,
    /// Further fields as they stood in the message.
    pub fields: &'a [(&'a str, &'a str)],
}

pub(crate) fn price_text(instrument: &Instrument, px: Price) -> String {
    instrument.price_step.text_of(px.0).to_string()
}

pub(crate) fn qty_text(instrument: &Instrument, qty: Qty) -> String {
    instrument.lot.text_of(qty.0).to_string()
}

/// All twelve digits, so that a reader needs no rounding rule.
pub(crate) fn money_text(money: Money) -> String {
    let (whole, fraction) = (money.0.unsigned_abs() / 1_000_000_000_000, money.0.unsigned_abs() % 1_000_000_000_000);
    format!("{}{whole}.{fraction:012}", if money.0 < 0 { "-" } else { "" })
}

/// One JSON object on one line; keys in the order of the calls.
#[derive(Debug)]
pub struct Line<'a> {
    text: &'a mut String,
}

impl<'a> Line<'a> {
    fn begin(text: &'a mut String) -> Self {
        text.push('{');
        Self { text }
    }

    fn key(&mut self, key: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(key);
        self.text.push_str("\":");
    }

    pub fn int(&mut self, key: &str, value: impl core::fmt::Display) -> &mut Self {
        self.key(key);
        self.text.push_str(&value.to_string());
        self
    }

    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        self.text.push('"');
        for c in value.chars() {
            match c {
                '"' | '\\' => {
                    self.text.push('\\');
                    self.text.push(c);
                }
                c if c < ' ' => self.text.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => self.text.push(c),
            }
        }
        self.text.push('"');
        self
    }

    fn byte(&mut self, key: &str, value: u8) -> &mut Self {
        self.text(key, &char::from(value).to_string())
    }

    /// An id, left out when empty.
    fn id(&mut self, key: &str, id: &ClientId) -> &mut Self {
        if id.is_empty() { self } else { self.text(key, &id.to_string()) }
    }

    fn end(self) {
        self.text.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercel_types::TimeNs;

    #[test]
    fn bytes_are_readable_and_the_password_is_not() {
        let mut log = VenueLog::in_memory().1;
        let now = Now { engine: TimeNs(5), wall: TimeNs(7) };
        log.bytes(Direction::In, b"35=A\x01553=me\x01554=secret\x0158=a|b\xff\x01", now);
        assert_eq!(log.text(), b"5 7 in 35=A|553=me|554=hidden|58=a\\x7cb\\xff|\n");
    }
}
