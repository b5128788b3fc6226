//! Features for the sidecar, computed by a reader of the log with a book of its own: never on the core's thread.
//!
//! The file `features` of the run directory is a ring of rows of 128 bytes after a header of 128 bytes:
//! header: magic `TCLFEAT1`, u32 version 1, u32 rows, u64 rows written so far.
//! row: u64 0, u64 row number, i64 time (ns), f64 mid, six f64 features, padding, u32 CRC32C of bytes 0..124 at 124.
//! Rows are written with `pwrite`, so a reader may see a torn one; the checksum tells.
//!
//! Features, from the touch overlay of a live book: imbalance at the best level and over five (bid − ask over bid + ask), order
//! flow imbalance at the touch over 250 ms in lots (Cont, Kukanov, Stoikov 2014), signed trade volume over 250 ms in lots,
//! microprice minus mid in bps, spread in bps.
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tercel_book::{Book, BookConfig};
use tercel_event::{Frame, FrameKind, Level};
use tercel_types::{DurationNs, Instrument, TimeNs};

pub const ROW_LEN: usize = 128;
pub const HEADER_LEN: usize = 128;
pub const ROWS: u64 = 8192;
pub const MAGIC: &[u8; 8] = b"TCLFEAT1";
pub const FEATURES: usize = 6;

const WINDOW: DurationNs = DurationNs::from_millis(250);
/// Rows are at least this far apart in engine time: the model gains nothing from more.
const SPACING: DurationNs = DurationNs::from_millis(2);

/// Writes rows to the ring file.
pub struct FeatureFile {
    file: File,
    written: u64,
}

impl FeatureFile {
    /// Makes the file anew; a sidecar that still reads an old one sees an unlinked file and ends.
    pub fn create(path: &Path) -> io::Result<Self> {
        let _ = std::fs::remove_file(path);
        let partial = path.with_extension("partial");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&partial)?;
        file.set_len(HEADER_LEN as u64 + ROWS * ROW_LEN as u64)?;
        let mut head = [0; HEADER_LEN];
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&1u32.to_le_bytes());
        head[12..16].copy_from_slice(&(ROWS as u32).to_le_bytes());
        file.write_all_at(&head, 0)?;
        // Whole or not there: a reader never meets half a header.
        std::fs::rename(partial, path)?;
        Ok(Self { file, written: 0 })
    }

    pub fn append(&mut self, ts: TimeNs, mid: f64, features: &[f64; FEATURES]) -> io::Result<()> {
        let mut row = [0; ROW_LEN];
        row[8..16].copy_from_slice(&self.written.to_le_bytes());
        row[16..24].copy_from_slice(&ts.0.to_le_bytes());
        row[24..32].copy_from_slice(&mid.to_le_bytes());
        for (at, value) in features.iter().enumerate() {
            row[32 + 8 * at..40 + 8 * at].copy_from_slice(&value.to_le_bytes());
        }
        let crc = crc32c::crc32c(&row[..ROW_LEN - 4]);
        row[ROW_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all_at(&row, HEADER_LEN as u64 + (self.written % ROWS) * ROW_LEN as u64)?;
        self.written += 1;
        self.file.write_all_at(&self.written.to_le_bytes(), 16)
    }

    pub fn written(&self) -> u64 {
        self.written
    }
}

/// A sum over the last 250 ms.
#[derive(Default)]
struct Window {
    items: VecDeque<(TimeNs, i64)>,
    sum: i64,
}

impl Window {
    fn add(&mut self, now: TimeNs, value: i64) {
        self.items.push_back((now, value));
        self.sum += value;
    }

    fn at(&mut self, now: TimeNs) -> i64 {
        while let Some(&(ts, value)) = self.items.front()
            && now.since(ts).0 > WINDOW.0
        {
            self.items.pop_front();
            self.sum -= value;
        }
        self.sum
    }
}

/// Follows one instrument through the log's frames.
pub struct FeatureBuilder {
    book: Book,
    instrument: Instrument,
    touch: Option<(Level, Level)>,
    ofi: Window,
    trades: Window,
    last_row: TimeNs,
}

impl FeatureBuilder {
    pub fn new(instrument: Instrument) -> Self {
        Self {
            book: Book::new(instrument.id, BookConfig::default()),
            instrument,
            touch: None,
            ofi: Window::default(),
            trades: Window::default(),
            last_row: TimeNs::MIN,
        }
    }

    /// Takes one frame of the log; a row when the touch changed and the book is live.
    pub fn apply(&mut self, frame: &Frame<'_>) -> Option<(TimeNs, f64, [f64; FEATURES])> {
        let now = frame.header.ts_seq;
        match frame.kind() {
            Ok(FrameKind::Trade) => {
                if let Ok(trade) = frame.body::<tercel_event::Trade>()
                    && trade.instrument == self.instrument.id
                {
                    self.trades.add(now, if trade.aggressor == 1 { trade.qty.0 } else { -trade.qty.0 });
                }
                return None;
            }
            Ok(FrameKind::BookDelta | FrameKind::BookSnapshot | FrameKind::Bbo | FrameKind::FeedStatus) => {
                self.book.apply(frame);
            }
            _ => return None,
        }
        let (Some(bid), Some(ask), true) = (self.book.best_bid(), self.book.best_ask(), self.book.is_live()) else {
            self.touch = None;
            return None;
        };
        if let Some((old_bid, old_ask)) = self.touch
            && (old_bid, old_ask) != (bid, ask)
        {
            self.ofi.add(now, flow(old_bid, bid) - flow_ask(old_ask, ask));
        }
        let changed = self.touch != Some((bid, ask));
        self.touch = Some((bid, ask));
        if !changed || now.since(self.last_row).0 < SPACING.0 {
            return None;
        }
        self.last_row = now;
        Some((now, self.mid(bid, ask), self.row(now, bid, ask)))
    }

    fn mid(&self, bid: Level, ask: Level) -> f64 {
        (self.instrument.price_f64(bid.px) + self.instrument.price_f64(ask.px)) / 2.0
    }

    fn row(&mut self, now: TimeNs, bid: Level, ask: Level) -> [f64; FEATURES] {
        let mid = self.mid(bid, ask);
        let (bid_px, ask_px) = (self.instrument.price_f64(bid.px), self.instrument.price_f64(ask.px));
        let (bid_qty, ask_qty) = (bid.qty.0 as f64, ask.qty.0 as f64);
        let micro = (bid_px * ask_qty + ask_px * bid_qty) / (bid_qty + ask_qty);
        let depth = |level: fn(&Book, usize) -> Option<Level>| -> f64 {
            (0..5).filter_map(|at| level(&self.book, at)).map(|l| l.qty.0 as f64).sum()
        };
        let (bids, asks) = (depth(Book::bid_level), depth(Book::ask_level));
        [
            (bid_qty - ask_qty) / (bid_qty + ask_qty),
            (bids - asks) / (bids + asks),
            self.ofi.at(now) as f64,
            self.trades.at(now) as f64,
            (micro / mid - 1.0) * 1e4,
            (ask_px - bid_px) / mid * 1e4,
        ]
    }
}

/// What a change of the best bid adds to demand: the new queue where the price rose, minus the old one where it fell.
fn flow(old: Level, new: Level) -> i64 {
    let arrived = if new.px >= old.px { new.qty.0 } else { 0 };
    let left = if new.px <= old.px { old.qty.0 } else { 0 };
    arrived - left
}

/// The same for the best ask, where a lower price means more supply.
fn flow_ask(old: Level, new: Level) -> i64 {
    let arrived = if new.px <= old.px { new.qty.0 } else { 0 };
    let left = if new.px >= old.px { old.qty.0 } else { 0 };
    arrived - left
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercel_types::{Price, Qty};

    #[test]
    fn order_flow_follows_the_paper() {
        let level = |px, qty| Level { px: Price(px), qty: Qty(qty) };
        assert_eq!(flow(level(10, 5), level(10, 8)), 3, "same price: the change of the queue");
        assert_eq!(flow(level(10, 5), level(11, 2)), 2, "price up: all of the new queue");
        assert_eq!(flow(level(10, 5), level(9, 7)), -5, "price down: all of the old queue");
        assert_eq!(flow_ask(level(12, 4), level(11, 3)), 3);
        assert_eq!(flow_ask(level(12, 4), level(13, 9)), -4);
    }

    #[test]
    fn a_window_forgets_after_250_ms() {
        let mut window = Window::default();
        window.add(TimeNs(0), 5);
        window.add(TimeNs(200_000_000), 7);
        assert_eq!(window.at(TimeNs(250_000_000)), 12);
        assert_eq!(window.at(TimeNs(250_000_001)), 7);
    }
}
