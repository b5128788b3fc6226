//! Hot path. The inputs of one strategy: which sources changed, and the values that follow.
//!
//! Only inputs of a changed source are written again. Fixed point becomes `f64` by integer ÷ 10^k; NaN is absent.
use crate::bind::Bound;
use tercel_book::Book;
use tercel_event::{ClockSource, Field, Input, Level, Manifest};
use tercel_order::Position;
use tercel_types::{Instrument, Instruments, Price, Qty, Side, TimeNs, Units};

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
        (self.instruments() | self.signals) != 0 || self.timer | self.param | self.control
    }

    /// Bindings of which anything changed.
    #[inline]
    pub fn instruments(&self) -> u64 {
        self.book | self.trades | self.quality | self.exec
    }
}

/// Bits of `Instant::ticks`, by what makes them tick.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    /// Per binding: its clocks of book, trades, quality and execution.
    instruments: Vec<[u64; 4]>,
    signals: Vec<u64>,
    timer: u64,
    param: u64,
    control: u64,
}

impl Clocks {
    pub fn new(manifest: &Manifest) -> Self {
        let bits = |of: &dyn Fn(&ClockSource) -> bool| {
            let clocks = manifest.clocks.iter().take(64).enumerate();
            clocks.filter(|(_, clock)| of(clock)).fold(0, |bits, (at, _)| bits | 1u64 << at)
        };
        const KINDS: [fn(u16) -> ClockSource; 4] =
            [ClockSource::Book, ClockSource::Trades, ClockSource::Quality, ClockSource::Exec];
        Self {
            instruments: (0..manifest.instruments.len())
                .map(|idx| KINDS.map(|source| bits(&|clock| *clock == source(idx as u16))))
                .collect(),
            signals: (0..manifest.signals.len())
                .map(|idx| bits(&|clock| *clock == ClockSource::Signal(idx as u16)))
                .collect(),
            timer: bits(&|clock| *clock == ClockSource::Timer),
            param: bits(&|clock| *clock == ClockSource::Param),
            control: bits(&|clock| *clock == ClockSource::Control),
        }
    }

    /// What ticks by the changes of one instrument.
    #[inline]
    pub fn of_instrument(&self, idx: usize, pending: &Pending) -> u64 {
        let Some([book, trades, quality, exec]) = self.instruments.get(idx) else { return 0 };
        // All ones where the bit is set.
        let on = |set: u64| (set >> (idx & 63) & 1).wrapping_neg();
        book & on(pending.book) | trades & on(pending.trades) | quality & on(pending.quality) | exec & on(pending.exec)
    }

    /// What ticks by everything else.
    #[inline]
    pub fn of_rest(&self, pending: &Pending) -> u64 {
        let on = |set: bool| u64::from(set).wrapping_neg();
        let mut ticks =
            self.timer & on(pending.timer) | self.param & on(pending.param) | self.control & on(pending.control);
        let mut rest = pending.signals;
        while rest != 0 {
            ticks |= self.signals.get(rest.trailing_zeros() as usize).copied().unwrap_or(0);
            rest &= rest - 1;
        }
        ticks
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

/// What belongs to the strategy and its account in one instrument.
pub(crate) trait Own {
    /// Quantity of the account's own live orders at a price of one side.
    fn qty(&self, side: Side, px: Price) -> Qty;
    fn ledger(&self) -> LedgerView;
}

/// The values of one strategy, and where each comes from.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub values: Vec<f64>,
    pub signal_times: Vec<TimeNs>,
    /// Per binding.
    sources: Vec<Sources>,
    /// (input, signal binding).
    signals: Vec<(u32, u16)>,
    /// (input, binding) of fields that age with every instant.
    ages: Vec<(u32, u16)>,
}

/// The inputs of one binding by what they are read from.
#[derive(Clone, Debug, Default)]
struct Sources {
    /// (input, place in the touch: bid price, bid quantity, ask price, ask quantity).
    touch: Vec<(u32, u8)>,
    /// Levels behind the touch.
    levels: Vec<(u32, Field)>,
    /// Best prices of the others: of book and own orders.
    others: Vec<(u32, Side)>,
    trade: Vec<(u32, Field)>,
    ledger: Vec<(u32, Field)>,
}

impl Inputs {
    pub fn new(manifest: &Manifest, bound: &Bound, instruments: &Instruments) -> Self {
        let mut values = vec![f64::NAN; manifest.inputs.len()];
        let mut sources = vec![Sources::default(); manifest.instruments.len()];
        let (mut signals, mut ages) = (Vec::new(), Vec::new());
        for (at, input) in manifest.inputs.iter().enumerate() {
            let place = at as u32;
            let (instrument, field) = match *input {
                Input::Signal { signal } => {
                    signals.push((place, signal));
                    continue;
                }
                Input::Instrument { instrument, field } => (instrument, field),
            };
            let Some(own) = sources.get_mut(usize::from(instrument)) else { continue };
            match field {
                Field::BidPx(0) => own.touch.push((place, 0)),
                Field::BidQty(0) => own.touch.push((place, 1)),
                Field::AskPx(0) => own.touch.push((place, 2)),
                Field::AskQty(0) => own.touch.push((place, 3)),
                Field::BidPx(_) | Field::BidQty(_) | Field::AskPx(_) | Field::AskQty(_) => {
                    own.levels.push((place, field));
                }
                Field::OthersBidPx => own.others.push((place, Side::Buy)),
                Field::OthersAskPx => own.others.push((place, Side::Sell)),
                Field::LastPx | Field::LastQty | Field::LastSide => own.trade.push((place, field)),
                Field::Position | Field::AvgPrice | Field::Bought | Field::Sold | Field::Settled | Field::Flat => {
                    own.ledger.push((place, field));
                }
                Field::BookAge => ages.push((place, instrument)),
                Field::Tick | Field::Lot | Field::FeeMaker | Field::FeeTaker => {
                    let master = bound.instruments.get(usize::from(instrument)).and_then(|&id| instruments.get(id));
                    values[at] = master.map_or(f64::NAN, |master| fixed(master, field));
                }
            }
        }
        let signal_times = vec![TimeNs::MIN; manifest.signals.len()];
        Self { values, signal_times, sources, signals, ages }
    }

    /// Writes again what comes from a changed source of binding `idx`.
    #[inline]
    pub fn refill(
        &mut self,
        idx: usize,
        pending: &Pending,
        instrument: &Instrument,
        units: &Units,
        book: &Book,
        own: &impl Own,
    ) {
        let Self { values, sources, .. } = self;
        let Some(sources) = sources.get(idx) else { return };
        let bit = 1u64 << (idx & 63);
        let (book_on, ledger_on) = ((pending.book | pending.quality) & bit != 0, pending.exec & bit != 0);
        if book_on || ledger_on {
            let (bid, ask) = if book.is_live() { (book.best_bid(), book.best_ask()) } else { (None, None) };
            if book_on {
                let [bid_px, bid_qty] = in_units(units, bid);
                let [ask_px, ask_qty] = in_units(units, ask);
                let touch = [bid_px, bid_qty, ask_px, ask_qty];
                for &(at, place) in &sources.touch {
                    write(values, at, touch[usize::from(place & 3)]);
                }
                for &(at, field) in &sources.levels {
                    write(values, at, level_field(units, book, field));
                }
            }
            for &(at, side) in &sources.others {
                let best = if side == Side::Buy { bid } else { ask };
                write(values, at, others_px(units, book, side, best, own));
            }
        }
        if pending.trades & bit != 0 {
            for &(at, field) in &sources.trade {
                write(values, at, trade_field(units, book, field));
            }
        }
        if ledger_on {
            let ledger = own.ledger();
            for &(at, field) in &sources.ledger {
                write(values, at, ledger_field(instrument, units, book, &ledger, field));
            }
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

#[inline]
fn write(values: &mut [f64], at: u32, value: f64) {
    if let Some(place) = values.get_mut(at as usize) {
        *place = value;
    }
}

/// Price and quantity of a level as a strategy reads them.
#[inline]
fn in_units(units: &Units, level: Option<Level>) -> [f64; 2] {
    level.map_or([f64::NAN; 2], |level| [units.price_f64(level.px), units.qty_f64(level.qty)])
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

fn level_field(units: &Units, book: &Book, field: Field) -> f64 {
    if !book.is_live() {
        return f64::NAN;
    }
    let (level, place) = match field {
        Field::BidPx(idx) => (book.bid_level(usize::from(idx)), 0),
        Field::BidQty(idx) => (book.bid_level(usize::from(idx)), 1),
        Field::AskPx(idx) => (book.ask_level(usize::from(idx)), 0),
        Field::AskQty(idx) => (book.ask_level(usize::from(idx)), 1),
        _ => (None, 0),
    };
    in_units(units, level)[place]
}

/// Best price of the others on a side whose public best is `best`, which is mostly not ours alone.
#[inline]
fn others_px(units: &Units, book: &Book, side: Side, best: Option<Level>, own: &impl Own) -> f64 {
    match best {
        None => f64::NAN,
        Some(level) if level.qty > own.qty(side, level.px) => units.price_f64(level.px),
        Some(_) => others_behind(units, book, side, own),
    }
}

#[cold]
fn others_behind(units: &Units, book: &Book, side: Side, own: &impl Own) -> f64 {
    let level = match side {
        Side::Buy => book.best_bid_less(|px| own.qty(side, px)),
        Side::Sell => book.best_ask_less(|px| own.qty(side, px)),
    };
    level.map_or(f64::NAN, |level| units.price_f64(level.px))
}

fn trade_field(units: &Units, book: &Book, field: Field) -> f64 {
    let Some(trade) = book.last_trade() else { return f64::NAN };
    match field {
        Field::LastPx => units.price_f64(trade.px),
        Field::LastQty => units.qty_f64(trade.qty),
        _ => trade.aggressor.map_or(f64::NAN, |side| side.sign() as f64),
    }
}

fn ledger_field(instrument: &Instrument, units: &Units, book: &Book, ledger: &LedgerView, field: Field) -> f64 {
    if !ledger.reconciled {
        return f64::NAN;
    }
    let position = &ledger.position;
    match field {
        Field::Position => units.qty_f64(position.qty),
        Field::AvgPrice => position.avg_price(instrument).unwrap_or(f64::NAN),
        Field::Bought => units.qty_f64(position.bought),
        Field::Sold => units.qty_f64(position.sold),
        Field::Settled => f64::from(u8::from(ledger.settled)),
        _ => f64::from(u8::from(ledger.settled && !closable(instrument, units, book, position.qty))),
    }
}

/// Whether a position can still be traded away; without a price, minimum value counts as reached.
fn closable(instrument: &Instrument, units: &Units, book: &Book, position: Qty) -> bool {
    let qty = Qty(position.0.saturating_abs());
    let touch = if position.0 > 0 { book.best_bid() } else { book.best_ask() };
    match touch {
        Some(level) => units.is_tradable(level.px, qty),
        None => qty >= instrument.min_qty && qty.0 > 0,
    }
}
