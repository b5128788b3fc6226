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
        self.instruments() != 0 || self.beside_instruments()
    }

    #[inline]
    fn beside_instruments(&self) -> bool {
        self.signals != 0 || self.timer | self.param | self.control
    }

    /// Bindings of which anything changed.
    #[inline]
    pub fn instruments(&self) -> u64 {
        self.book | self.trades | self.quality | self.exec
    }
}

/// Bits of `Instant::ticks` of clocks that belong to no instrument.
#[derive(Clone, Debug)]
struct Clocks {
    signals: Vec<u64>,
    timer: u64,
    param: u64,
    control: u64,
}

impl Clocks {
    #[cold]
    fn ticks(&self, pending: &Pending) -> u64 {
        let on = |set: bool, ticks: u64| if set { ticks } else { 0 };
        let signals = self.signals.iter().enumerate().map(|(idx, &ticks)| on(pending.signals >> idx & 1 == 1, ticks));
        let own = on(pending.timer, self.timer) | on(pending.param, self.param) | on(pending.control, self.control);
        signals.fold(own, |all, ticks| all | ticks)
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
pub(crate) struct LedgerView<'a> {
    pub instrument: &'a Instrument,
    /// False until the account is reconciled: every ledger field is absent.
    pub reconciled: bool,
    pub position: Position,
    /// No order of the strategy in the instrument is live or unknown.
    pub settled: bool,
}

/// What belongs to the strategy and its account in one instrument.
pub(crate) trait Own {
    /// Whether the account has anything open on a side, buy and sell.
    fn has_open(&self) -> [bool; 2];
    /// Quantity of the account's own live orders at a price of one side.
    fn qty(&self, side: Side, px: Price) -> Qty;
    fn ledger(&self) -> LedgerView<'_>;
}

/// The values of one strategy, and where each comes from.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    /// The inputs, and one more place for what no input wants.
    values: Vec<f64>,
    count: usize,
    pub signal_times: Vec<TimeNs>,
    /// Per binding.
    sources: Vec<Sources>,
    clocks: Clocks,
    /// (input, signal binding).
    signals: Vec<(u32, u16)>,
    /// (input, binding) of fields that age with every instant.
    ages: Vec<(u32, u16)>,
}

/// The inputs of one binding by what they are read from, and its clocks.
#[derive(Clone, Debug)]
struct Sources {
    /// Bits of `Instant::ticks` by a change of book, trades, quality and execution.
    ticks: [u64; 4],
    /// Inputs of bid price, bid quantity, ask price and ask quantity.
    touch: [u32; 4],
    /// Inputs of the best prices of the others, of bids and asks, where there are any.
    others: Option<[u32; 2]>,
    /// Everything else that follows from the book, such as the levels behind the touch.
    levels: Vec<(u32, Field)>,
    trade: Vec<(u32, Field)>,
    ledger: Vec<(u32, Field)>,
}

impl Inputs {
    pub fn new(manifest: &Manifest, bound: &Bound, instruments: &Instruments) -> Self {
        let nowhere = manifest.inputs.len() as u32;
        let mut values = vec![f64::NAN; manifest.inputs.len() + 1];
        let bits = |source: ClockSource| {
            let clocks = manifest.clocks.iter().take(64).enumerate();
            clocks.filter(|(_, clock)| **clock == source).fold(0, |bits, (at, _)| bits | 1u64 << at)
        };
        let of_binding = |idx: usize| {
            use ClockSource::{Book, Exec, Quality, Trades};
            Sources {
                ticks: [Book, Trades, Quality, Exec].map(|source| bits(source(idx as u16))),
                touch: [nowhere; 4],
                others: None,
                levels: Vec::new(),
                trade: Vec::new(),
                ledger: Vec::new(),
            }
        };
        let mut sources: Vec<_> = (0..manifest.instruments.len()).map(of_binding).collect();
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
            // The first input of a field has a place of its own; should it be declared again, that one is a level.
            let mut first = |one: &mut u32| {
                if *one == nowhere { *one = place } else { own.levels.push((place, field)) }
            };
            match field {
                Field::BidPx(0) => first(&mut own.touch[0]),
                Field::BidQty(0) => first(&mut own.touch[1]),
                Field::AskPx(0) => first(&mut own.touch[2]),
                Field::AskQty(0) => first(&mut own.touch[3]),
                Field::OthersBidPx => first(&mut own.others.get_or_insert([nowhere; 2])[0]),
                Field::OthersAskPx => first(&mut own.others.get_or_insert([nowhere; 2])[1]),
                Field::BidPx(_) | Field::BidQty(_) | Field::AskPx(_) | Field::AskQty(_) => {
                    own.levels.push((place, field));
                }
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
        let clocks = Clocks {
            signals: (0..manifest.signals.len()).map(|idx| bits(ClockSource::Signal(idx as u16))).collect(),
            timer: bits(ClockSource::Timer),
            param: bits(ClockSource::Param),
            control: bits(ClockSource::Control),
        };
        let signal_times = vec![TimeNs::MIN; manifest.signals.len()];
        Self { count: manifest.inputs.len(), values, signal_times, sources, clocks, signals, ages }
    }

    /// One value per `Manifest::inputs`.
    #[inline]
    pub fn values(&self) -> &[f64] {
        &self.values[..self.count]
    }

    /// Writes again what comes from a changed source of binding `idx`. Returns the clocks that tick by it.
    #[inline]
    pub fn refill(&mut self, idx: usize, pending: &Pending, units: &Units, book: &Book, own: &impl Own) -> u64 {
        let Self { values, sources, .. } = self;
        let Some(sources) = sources.get(idx) else { return 0 };
        let bit = 1u64 << (idx & 63);
        let (book_on, ledger_on) = ((pending.book | pending.quality) & bit != 0, pending.exec & bit != 0);
        if book_on || ledger_on {
            let (bid, ask) = if book.is_live() { (book.best_bid(), book.best_ask()) } else { (None, None) };
            let ([bid_px, bid_qty], [ask_px, ask_qty]) = (in_units(units, bid), in_units(units, ask));
            for (&at, value) in sources.touch.iter().zip([bid_px, bid_qty, ask_px, ask_qty]) {
                write(values, at, value);
            }
            if let Some([bid_place, ask_place]) = sources.others {
                let [buys, sells] = own.has_open();
                let others_bid =
                    if !buys || theirs(bid, Side::Buy, own) { bid_px } else { others_px(units, book, Side::Buy, own) };
                let others_ask = if !sells || theirs(ask, Side::Sell, own) {
                    ask_px
                } else {
                    others_px(units, book, Side::Sell, own)
                };
                write(values, bid_place, others_bid);
                write(values, ask_place, others_ask);
            }
            if !sources.levels.is_empty() {
                sources.refill_levels(values, units, book, own);
            }
        }
        let mut ticks = if pending.book & bit != 0 { sources.ticks[0] } else { 0 };
        if (pending.trades | pending.quality | pending.exec) & bit != 0 {
            ticks |= sources.refill_rest(values, pending, bit, units, book, own);
        }
        ticks
    }

    /// The clocks that tick by changes beside those of instruments.
    #[inline]
    pub fn ticks_beside(&self, pending: &Pending) -> u64 {
        if pending.beside_instruments() { self.clocks.ticks(pending) } else { 0 }
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

impl Sources {
    #[inline(never)]
    fn refill_levels(&self, values: &mut [f64], units: &Units, book: &Book, own: &impl Own) {
        for &(at, field) in &self.levels {
            write(values, at, level_field(units, book, own, field));
        }
    }

    /// What follows from trades and from the ledger; returns the clocks that tick by them and by the book's quality.
    #[inline(never)]
    fn refill_rest(
        &self,
        values: &mut [f64],
        pending: &Pending,
        bit: u64,
        units: &Units,
        book: &Book,
        own: &impl Own,
    ) -> u64 {
        let [_, trades, quality, exec] = self.ticks;
        let mut ticks = if pending.quality & bit != 0 { quality } else { 0 };
        if pending.trades & bit != 0 {
            ticks |= trades;
            for &(at, field) in &self.trade {
                write(values, at, trade_field(units, book, field));
            }
        }
        if pending.exec & bit != 0 {
            ticks |= exec;
            let ledger = own.ledger();
            for &(at, field) in &self.ledger {
                write(values, at, ledger_field(units, book, &ledger, field));
            }
        }
        ticks
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

/// Whether a best level is not ours alone: then it is the best of the others too. So is none at all.
#[inline]
fn theirs(best: Option<Level>, side: Side, own: &impl Own) -> bool {
    best.is_none_or(|level| level.qty > own.qty(side, level.px))
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

fn level_field(units: &Units, book: &Book, own: &impl Own, field: Field) -> f64 {
    if !book.is_live() {
        return f64::NAN;
    }
    let (level, place) = match field {
        Field::BidPx(idx) => (book.bid_level(usize::from(idx)), 0),
        Field::BidQty(idx) => (book.bid_level(usize::from(idx)), 1),
        Field::AskPx(idx) => (book.ask_level(usize::from(idx)), 0),
        Field::AskQty(idx) => (book.ask_level(usize::from(idx)), 1),
        Field::OthersBidPx => return others_px(units, book, Side::Buy, own),
        Field::OthersAskPx => return others_px(units, book, Side::Sell, own),
        _ => (None, 0),
    };
    in_units(units, level)[place]
}

/// Best price of the others on one side of a live book.
#[cold]
fn others_px(units: &Units, book: &Book, side: Side, own: &impl Own) -> f64 {
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

fn ledger_field(units: &Units, book: &Book, ledger: &LedgerView<'_>, field: Field) -> f64 {
    if !ledger.reconciled {
        return f64::NAN;
    }
    let position = &ledger.position;
    match field {
        Field::Position => units.qty_f64(position.qty),
        Field::AvgPrice => position.avg_price(ledger.instrument).unwrap_or(f64::NAN),
        Field::Bought => units.qty_f64(position.bought),
        Field::Sold => units.qty_f64(position.sold),
        Field::Settled => f64::from(u8::from(ledger.settled)),
        _ => f64::from(u8::from(ledger.settled && !closable(ledger.instrument, units, book, position.qty))),
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
