//! Hot path. The inputs of one strategy: which sources changed, and the values that follow.
//!
//! Only inputs of a changed source are written again. Fixed point becomes `f64` by integer ÷ 10^k; NaN is absent.
use crate::bind::Bound;
use tercel_book::Book;
use tercel_event::{ClockSource, Field, Input, Manifest};
use tercel_order::Position;
use tercel_types::{Instrument, Instruments, Price, Qty, Side, TimeNs};

/// What changed for one strategy since its last instant; sets are bits by binding index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    pub book: u64,
    pub trades: u64,
    pub quality: u64,
    pub exec: u64,
    pub signals: u64,
    pub timer: bool,
    pub param: bool,
    pub control: bool,
}

impl Pending {
    #[inline]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// `Instant::ticks` for the clocks of a manifest.
    #[inline]
    pub fn ticks(&self, clocks: &[ClockSource]) -> u64 {
        let has = |set: u64, idx: u16| set >> idx & 1;
        clocks.iter().enumerate().fold(0, |ticks, (bit, clock)| {
            let on = match *clock {
                ClockSource::Book(i) => has(self.book, i),
                ClockSource::Trades(i) => has(self.trades, i),
                ClockSource::Quality(i) => has(self.quality, i),
                ClockSource::Exec(i) => has(self.exec, i),
                ClockSource::Signal(i) => has(self.signals, i),
                ClockSource::Timer => u64::from(self.timer),
                ClockSource::Param => u64::from(self.param),
                ClockSource::Control => u64::from(self.control),
            };
            ticks | on << bit
        })
    }
}

/// The newest value of a signal of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalValue {
    /// NaN while not valid.
    pub value: f64,
    pub ts_features: TimeNs,
}

impl Default for SignalValue {
    fn default() -> Self {
        Self { value: f64::NAN, ts_features: TimeNs::MIN }
    }
}

/// What the ledger says of one (strategy, instrument).
#[derive(Clone, Copy, Debug)]
pub(crate) struct LedgerView {
    /// False until the account is reconciled: every ledger field is absent.
    pub reconciled: bool,
    pub position: Position,
    /// No order of the strategy in the instrument is live or unknown.
    pub settled: bool,
}

/// Quantity of the account's own live orders at a price of one side.
pub(crate) trait OwnDepth {
    fn own_qty(&self, side: Side, px: Price) -> Qty;
}

/// The values of one strategy, and where each comes from.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub values: Vec<f64>,
    pub signal_times: Vec<TimeNs>,
    /// (input, binding, field), by binding.
    fields: Vec<(u32, u16, Field)>,
    /// Start of each binding in `fields`, and the end.
    starts: Vec<usize>,
    /// (input, signal binding).
    signals: Vec<(u32, u16)>,
    /// (input, binding) of fields that age with every instant.
    ages: Vec<(u32, u16)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Book,
    Trade,
    Ledger,
    /// Book and own orders.
    Both,
    Fixed,
}

fn source(field: Field) -> Source {
    match field {
        Field::BidPx(_) | Field::BidQty(_) | Field::AskPx(_) | Field::AskQty(_) => Source::Book,
        Field::OthersBidPx | Field::OthersAskPx => Source::Both,
        Field::LastPx | Field::LastQty | Field::LastSide => Source::Trade,
        Field::Position | Field::AvgPrice | Field::Bought | Field::Sold | Field::Settled | Field::Flat => {
            Source::Ledger
        }
        Field::Tick | Field::Lot | Field::FeeMaker | Field::FeeTaker | Field::BookAge => Source::Fixed,
    }
}

impl Inputs {
    pub fn new(manifest: &Manifest, bound: &Bound, instruments: &Instruments) -> Self {
        let mut values = vec![f64::NAN; manifest.inputs.len()];
        let (mut fields, mut signals, mut ages) = (Vec::new(), Vec::new(), Vec::new());
        for (at, input) in manifest.inputs.iter().enumerate() {
            match *input {
                Input::Signal { signal } => signals.push((at as u32, signal)),
                Input::Instrument { instrument, field: Field::BookAge } => ages.push((at as u32, instrument)),
                Input::Instrument { instrument, field } => {
                    let master = bound.instruments.get(usize::from(instrument)).and_then(|&id| instruments.get(id));
                    match (source(field), master) {
                        (Source::Fixed, Some(master)) => values[at] = fixed(master, field),
                        (Source::Fixed, None) => {}
                        _ => fields.push((at as u32, instrument, field)),
                    }
                }
            }
        }
        fields.sort_by_key(|&(_, instrument, _)| instrument);
        let starts = (0..=manifest.instruments.len())
            .map(|idx| fields.partition_point(|&(_, instrument, _)| usize::from(instrument) < idx))
            .collect();
        let signal_times = vec![TimeNs::MIN; manifest.signals.len()];
        Self { values, signal_times, fields, starts, signals, ages }
    }

    /// Writes again what comes from a changed source of binding `idx`.
    #[inline]
    pub fn refill(
        &mut self,
        idx: usize,
        pending: &Pending,
        instrument: &Instrument,
        book: &Book,
        ledger: &LedgerView,
        own: &impl OwnDepth,
    ) {
        let bit = 1u64 << idx;
        let (book_on, trade_on, ledger_on) =
            ((pending.book | pending.quality) & bit != 0, pending.trades & bit != 0, pending.exec & bit != 0);
        if !(book_on || trade_on || ledger_on) {
            return;
        }
        for &(at, _, field) in &self.fields[self.starts[idx]..self.starts[idx + 1]] {
            let value = match source(field) {
                Source::Book if book_on => book_field(instrument, book, field),
                Source::Both if book_on || ledger_on => others_field(instrument, book, field, own),
                Source::Trade if trade_on => trade_field(instrument, book, field),
                Source::Ledger if ledger_on => ledger_field(instrument, book, ledger, field),
                _ => continue,
            };
            self.values[at as usize] = value;
        }
    }

    /// Signals that changed, and what ages with every instant.
    #[inline]
    pub fn refill_common<'b>(
        &mut self,
        pending: &Pending,
        now: TimeNs,
        bound: &Bound,
        signals: &[SignalValue],
        book_of: impl Fn(usize) -> Option<&'b Book>,
    ) {
        if pending.signals != 0 {
            for &(at, signal) in &self.signals {
                let value = bound.signals.get(usize::from(signal)).and_then(|&idx| signals.get(idx));
                self.values[at as usize] = value.map_or(f64::NAN, |v| v.value);
            }
            for (time, &idx) in self.signal_times.iter_mut().zip(&bound.signals) {
                *time = signals.get(idx).map_or(TimeNs::MIN, |v| v.ts_features);
            }
        }
        for &(at, idx) in &self.ages {
            let changed = book_of(usize::from(idx)).and_then(Book::last_change);
            self.values[at as usize] = changed.map_or(f64::NAN, |ts| now.since(ts).0 as f64 / 1e9);
        }
    }
}

fn fixed(instrument: &Instrument, field: Field) -> f64 {
    match field {
        Field::Tick => instrument.price_step.f64_of(1),
        Field::Lot => instrument.lot.f64_of(1),
        Field::FeeMaker => instrument.fees.maker_e8 as f64 / 1e8,
        Field::FeeTaker => instrument.fees.taker_e8 as f64 / 1e8,
        _ => f64::NAN,
    }
}

#[inline]
fn book_field(instrument: &Instrument, book: &Book, field: Field) -> f64 {
    if !book.is_live() {
        return f64::NAN;
    }
    let (level, px) = match field {
        Field::BidPx(idx) => (book.bid_level(usize::from(idx)), true),
        Field::BidQty(idx) => (book.bid_level(usize::from(idx)), false),
        Field::AskPx(idx) => (book.ask_level(usize::from(idx)), true),
        Field::AskQty(idx) => (book.ask_level(usize::from(idx)), false),
        _ => (None, true),
    };
    level.map_or(f64::NAN, |l| if px { instrument.price_f64(l.px) } else { instrument.qty_f64(l.qty) })
}

fn others_field(instrument: &Instrument, book: &Book, field: Field, own: &impl OwnDepth) -> f64 {
    if !book.is_live() {
        return f64::NAN;
    }
    let level = match field {
        Field::OthersBidPx => book.best_bid_less(|px| own.own_qty(Side::Buy, px)),
        _ => book.best_ask_less(|px| own.own_qty(Side::Sell, px)),
    };
    level.map_or(f64::NAN, |l| instrument.price_f64(l.px))
}

fn trade_field(instrument: &Instrument, book: &Book, field: Field) -> f64 {
    let Some(trade) = book.last_trade() else { return f64::NAN };
    match field {
        Field::LastPx => instrument.price_f64(trade.px),
        Field::LastQty => instrument.qty_f64(trade.qty),
        _ => trade.aggressor.map_or(f64::NAN, |side| side.sign() as f64),
    }
}

fn ledger_field(instrument: &Instrument, book: &Book, ledger: &LedgerView, field: Field) -> f64 {
    if !ledger.reconciled {
        return f64::NAN;
    }
    let position = &ledger.position;
    match field {
        Field::Position => instrument.qty_f64(position.qty),
        Field::AvgPrice => position.avg_price(instrument).unwrap_or(f64::NAN),
        Field::Bought => instrument.qty_f64(position.bought),
        Field::Sold => instrument.qty_f64(position.sold),
        Field::Settled => f64::from(u8::from(ledger.settled)),
        _ => f64::from(u8::from(ledger.settled && !closable(instrument, book, position.qty))),
    }
}

/// Whether a position can still be traded away; without a price, minimum value counts as reached.
fn closable(instrument: &Instrument, book: &Book, position: Qty) -> bool {
    let qty = Qty(position.0.saturating_abs());
    let touch = if position.0 > 0 { book.best_bid() } else { book.best_ask() };
    match touch {
        Some(level) => tercel_exec::is_tradable(instrument, level.px, qty),
        None => qty >= instrument.min_qty && qty.0 > 0,
    }
}
