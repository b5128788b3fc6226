use bytemuck::{Pod, Zeroable};

/// A price; 1 unit is one price step of its instrument. Signed, since spreads and power trade below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Price(pub i64);

/// Distance between two prices, in price steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct PriceDelta(pub i64);

/// A quantity; 1 unit is one lot of its instrument. Signed where it is a position, never negative on an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Qty(pub i64);

impl Price {
    /// Distance from `base`, `None` past the range of `i64`. There is no `Price + Price`.
    #[inline]
    pub const fn checked_sub(self, base: Self) -> Option<PriceDelta> {
        match self.0.checked_sub(base.0) {
            Some(steps) => Some(PriceDelta(steps)),
            None => None,
        }
    }

    #[inline]
    pub const fn checked_add(self, delta: PriceDelta) -> Option<Self> {
        match self.0.checked_add(delta.0) {
            Some(steps) => Some(Self(steps)),
            None => None,
        }
    }
}

impl Qty {
    pub const ZERO: Self = Self(0);

    #[inline]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(lots) => Some(Self(lots)),
            None => None,
        }
    }

    #[inline]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(lots) => Some(Self(lots)),
            None => None,
        }
    }

    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Side of an order. The sides of a book are `bid` and `ask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Side {
    Buy = 1,
    Sell = 2,
}

impl Side {
    /// FIX Side (54): 1 buy, 2 sell.
    #[inline]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Buy),
            2 => Some(Self::Sell),
            _ => None,
        }
    }

    #[inline]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// +1 for a buy, −1 for a sell: what one lot does to the position.
    #[inline]
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }
}
