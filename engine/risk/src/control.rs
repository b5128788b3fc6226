use tercel_types::Money;

/// The controls that can refuse or halt; the number is the one of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Control {
    /// Strategy and account are known, and the strategy may use the account.
    Attribution = 1,
    /// Quantity, price, side, type and time in force can be an order.
    Form = 3,
    MaxQty = 4,
    MaxValue = 5,
    /// Distance to a fresh reference price.
    Collar = 6,
    /// Messages per 100 ms, 1 s and 60 s.
    Rate = 8,
    /// The same order again within the window, or a ClOrdID that is not new.
    Duplicate = 10,
    /// Open orders: count, gross and net value.
    Exposure = 11,
    /// Worst case of each side if every open order fills.
    Position = 12,
    /// Loss of the day, or from the peak; marks must be fresh.
    Loss = 14,
    /// Would trade with an order of the same account.
    SelfTrade = 15,
    /// Trading state of firm, account or strategy.
    State = 20,
    /// The account is not reconciled yet.
    StartGate = 33,
}

impl Control {
    pub const ALL: [Self; 13] = [
        Self::Attribution,
        Self::Form,
        Self::MaxQty,
        Self::MaxValue,
        Self::Collar,
        Self::Rate,
        Self::Duplicate,
        Self::Exposure,
        Self::Position,
        Self::Loss,
        Self::SelfTrade,
        Self::State,
        Self::StartGate,
    ];

    /// Such as `C12`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Attribution => "C1",
            Self::Form => "C3",
            Self::MaxQty => "C4",
            Self::MaxValue => "C5",
            Self::Collar => "C6",
            Self::Rate => "C8",
            Self::Duplicate => "C10",
            Self::Exposure => "C11",
            Self::Position => "C12",
            Self::Loss => "C14",
            Self::SelfTrade => "C15",
            Self::State => "C20",
            Self::StartGate => "C33",
        }
    }
}

/// Why a command must not leave. `value` was seen, `limit` was allowed, in the control's unit: lots, steps (twice the distance
/// for a collar), messages, orders, nanoseconds, codes; amounts of money in 10^-6 of the currency, saturated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub control: Control,
    pub value: i64,
    pub limit: i64,
}

/// The answer to one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    Ok,
    Refused(Refusal),
}

impl Verdict {
    #[inline]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok)
    }

    /// The control that refused.
    pub const fn control(self) -> Option<Control> {
        match self {
            Self::Ok => None,
            Self::Refused(refusal) => Some(refusal.control),
        }
    }
}

#[cold]
pub(crate) const fn refuse(control: Control, value: i64, limit: i64) -> Result<(), Refusal> {
    Err(Refusal { control, value, limit })
}

#[cold]
pub(crate) fn refuse_money(control: Control, value: i128, limit: i128) -> Result<(), Refusal> {
    refuse(control, micros(value), micros(limit))
}

/// Money as 10^-6 of the currency in 64 bits, saturated; for messages.
pub(crate) fn micros(money: i128) -> i64 {
    let micros = money / (Money::SCALE / 1_000_000);
    micros.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}
