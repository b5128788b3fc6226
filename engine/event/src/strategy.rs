//! The contract between the core and a strategy, whatever it was written in: the core fills the declared inputs, calls
//! `on_instant` once per instant, and reads a desired state. A strategy never sees an order, a clock or a thread.
use tercel_types::{DurationNs, Side, TimeNs};
use thiserror::Error;

/// A strategy as the core runs it. Deterministic: equal calls give equal answers, bit for bit.
pub trait Strategy: Send {
    fn manifest(&self) -> &Manifest;

    /// One instant: evaluate, run commit rounds, leave the desired state of the final mode in `out`.
    /// `out` is the same at every call and nobody else writes to it: a strategy leaves in it what has not changed.
    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires);

    /// The next time at which something changes without any input: a deadline, a pane, an expiry. Asked after each instant.
    fn next_deadline(&self) -> Option<TimeNs>;

    /// Sets a parameter; the value takes effect at the next instant, which the core makes with the `Param` clock ticking.
    fn set_param(&mut self, param_idx: usize, value: f64) -> Result<(), ParamError>;

    /// Digest over all state, by value: equal after equal histories on every host.
    fn digest(&self) -> u64;

    /// Name of the active mode, for people; `""` when the strategy has none.
    fn mode_name(&self) -> &str;
}

#[derive(Clone, Debug, PartialEq, Error)]
pub enum ParamError {
    #[error("parameter {idx} does not exist; there are {count}")]
    Unknown { idx: usize, count: usize },
    #[error("{name} = {value} is outside {lo} .. {hi}")]
    Range { name: String, value: f64, lo: f64, hi: f64 },
}

/// What a strategy sees of one instant.
#[derive(Clone, Copy, Debug)]
pub struct Instant<'a> {
    pub seq: u64,
    pub now: TimeNs,
    /// Bit i: base clock `Manifest::clocks[i]` ticks in this instant.
    pub ticks: u64,
    /// One value per `Manifest::inputs`, held between ticks; NaN is absent.
    pub inputs: &'a [f64],
    /// Feature time per `Manifest::signals`; `TimeNs::MIN` before the first value.
    pub signal_times: &'a [TimeNs],
}

/// Everything the core needs to know of a strategy before it runs.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Manifest {
    pub name: String,
    pub version: u32,
    /// Hash of the artefact: source, engine version, instruction-set level.
    pub hash: u64,
    pub instruments: Vec<InstrumentBinding>,
    pub inputs: Vec<Input>,
    /// At most 64; the index is the bit in `Instant::ticks`.
    pub clocks: Vec<ClockSource>,
    pub signals: Vec<SignalBinding>,
    pub params: Vec<ParamSpec>,
    pub sinks: Vec<SinkSpec>,
    pub limits: Vec<LimitSpec>,
    /// Length of `Desires::values`.
    pub values_len: usize,
    /// Texts of `halt`, `finish` and verdicts, by index.
    pub messages: Vec<String>,
}

/// `instrument x: perp(BTC/USDT)`; bound to the instrument master by `symbol` when the run starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentBinding {
    pub alias: String,
    /// `perp`, `spot`, …
    pub kind: String,
    pub base: String,
    pub quote: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A field of `Manifest::instruments[instrument]`.
    Instrument { instrument: u16, field: Field },
    /// Value of `Manifest::signals[signal]`; NaN when the newest one is not valid. Expiry is the strategy's to decide.
    Signal { signal: u16 },
}

/// What can be read of an instrument. Book fields are absent (NaN) unless the book is `Live`; ledger fields are absent
/// until the account is reconciled. Levels count from 0 at the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    BidPx(u8),
    BidQty(u8),
    AskPx(u8),
    AskQty(u8),
    /// Best bid of the public book less the strategy's account's own live quantity.
    OthersBidPx,
    OthersAskPx,
    LastPx,
    LastQty,
    /// +1 when the aggressor bought, −1 when it sold.
    LastSide,
    /// This strategy's own position, signed.
    Position,
    /// Average price of the open position; absent when flat.
    AvgPrice,
    /// Quantity bought (sold) by this strategy since its run began.
    Bought,
    Sold,
    /// 1 when no order of this strategy in the instrument is live or unknown.
    Settled,
    /// 1 when settled and the position is below what can be traded.
    Flat,
    /// Price step; always present.
    Tick,
    Lot,
    FeeMaker,
    FeeTaker,
    /// Seconds since the book last changed, as of the instant's frame; absent when it never did.
    BookAge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClockSource {
    Book(u16),
    Trades(u16),
    Quality(u16),
    Exec(u16),
    Signal(u16),
    Timer,
    Param,
    Control,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SignalBinding {
    pub name: String,
    /// The model's name, as in the configuration.
    pub model: String,
    pub schema: u32,
    pub max_age: DurationNs,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    pub name: String,
    /// The unit as written, for people.
    pub unit: String,
    pub default: f64,
    pub lo: f64,
    pub hi: f64,
}

/// A place where a desired state is written. Slots are indices into `Desires::values`.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkSpec {
    /// Leg i has its price at `first_slot + 2i` and its quantity at `first_slot + 2i + 1`, both in units of the
    /// instrument, quantity unsigned; NaN in either withdraws the leg.
    Quote { instrument: u16, legs: Vec<LegSpec>, first_slot: usize, with: QuoteWith },
    /// The desired position, signed, at `slot`; NaN holds the position and cancels opening orders.
    Target { instrument: u16, slot: usize, via: Via },
}

impl SinkSpec {
    pub fn instrument(&self) -> u16 {
        match self {
            Self::Quote { instrument, .. } | Self::Target { instrument, .. } => *instrument,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegSpec {
    /// `bid` buys, `ask` sells.
    pub side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct QuoteWith {
    pub post_only: bool,
    /// Slot of `keep`: a working order this close (in price units) to the desired price stays. `None`: 0.
    pub keep_slot: Option<usize>,
    /// Slot of `keep_qty`, likewise for the quantity.
    pub keep_qty_slot: Option<usize>,
}

/// How a target is reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Via {
    /// Immediate-or-cancel limit orders at the touch, at most `max_slip` (a ratio) beyond the mid.
    Aggressive { max_slip_slot: usize },
    /// Immediate-or-cancel at `limit`, at most `tries` orders while this sink owns the instrument.
    Ioc { limit_slot: usize, tries: u32 },
}

/// `limit METRIC <= BOUND else VERDICT`.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitSpec {
    pub metric: Metric,
    /// Slot of the bound: instrument units, money, seconds or a count, by metric. NaN refuses opening.
    pub bound_slot: usize,
    pub verdicts: Vec<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// |position|, pre-trade, with every open order as if filled.
    Position(u16),
    /// |value of the position|, likewise.
    Notional(u16),
    /// Quantity of one order.
    OrderSize(u16),
    /// Orders and amends per window, refused beyond.
    OrderRate { per: DurationNs },
    /// Time since the market data session last proved to be alive.
    FeedSilence(u16),
    /// Loss of the strategy since 00:00 UTC: realised + unrealised − fees, as a positive amount.
    LossPerDay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The order that would breach is not sent.
    Refuse,
    /// Latched: cancel working orders and inhibit opening until the limit has held again for 1 s.
    Pull(u16),
    /// Latched until `Rearm`: cancel, then close the position.
    Flatten(u16),
    /// Latched until `Rearm`: block everything; the message's index.
    Halt(u16),
}

/// The desired state of one strategy.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Desires {
    /// Per `Manifest::instruments`: the sink that owns it, or `NO_OWNER` (cancel working orders, keep the position).
    pub owners: Vec<u16>,
    pub values: Vec<f64>,
    pub control: Control,
}

pub const NO_OWNER: u16 = u16::MAX;

impl Desires {
    pub fn for_manifest(manifest: &Manifest) -> Self {
        Self {
            owners: vec![NO_OWNER; manifest.instruments.len()],
            values: vec![f64::NAN; manifest.values_len],
            control: Control::Run,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Control {
    #[default]
    Run,
    /// The strategy stopped itself; index of the message.
    Halt(u16),
    /// It is done; index of the message.
    Finish(u16),
    /// A fifth commit round.
    Livelock,
}
