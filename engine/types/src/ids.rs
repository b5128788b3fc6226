use bytemuck::{Pod, Zeroable};
use core::fmt;
use thiserror::Error;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($repr:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
        #[repr(transparent)]
        pub struct $name(pub $repr);

        impl $name {
            /// The position in a dense table of this id's kind.
            #[inline]
            pub const fn idx(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(/// Index into the instrument master of the run.
    InstrumentId(u32));
id!(/// Index of a strategy in configuration order, which is also the order in which strategies run.
    StrategyId(u16));
id!(/// Index of an account in configuration order.
    AccountId(u16));
id!(/// Index of an input: one gateway session, the signal reader, the operator. Fixed by configuration order.
    SourceId(u8));

/// Length of a `ClOrdId` on the wire, in bytes.
pub const CL_ORD_ID_LEN: usize = 13;

const EPOCH_BITS: u32 = 20;
const SHARD_BITS: u32 = 6;
const COUNTER_BITS: u32 = 38;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford: no I, L, O, U to misread over a telephone

const NO_DIGIT: u8 = 0xff;
/// Value of each byte as a digit of `ALPHABET`.
static DIGITS: [u8; 256] = {
    let (mut table, mut at) = ([NO_DIGIT; 256], 0);
    while at < ALPHABET.len() {
        table[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    table
};

/// FIX ClOrdID (11): epoch, shard and counter in 64 bits. Unique for ever, since an epoch is never used twice, and
/// decodable without a table. On the wire it is 13 characters of Crockford base 32. 0 means "no order".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct ClOrdId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClOrdIdError {
    #[error("a ClOrdID of ours has {CL_ORD_ID_LEN} characters, this one has {0}")]
    Length(usize),
    #[error("a ClOrdID of ours holds only 0-9 and A-Z without I, L, O, U; found byte {0:#04x}")]
    Character(u8),
    #[error("the ClOrdID is above 2^64")]
    Overflow,
}

impl ClOrdId {
    pub const NONE: Self = Self(0);

    /// `None` past 2^20 epochs, 2^6 shards or 2^38 orders in one epoch.
    pub const fn new(epoch: u32, shard: u8, counter: u64) -> Option<Self> {
        if epoch >> EPOCH_BITS != 0 || (shard as u32) >> SHARD_BITS != 0 || counter >> COUNTER_BITS != 0 {
            return None;
        }
        Some(Self(((epoch as u64) << (SHARD_BITS + COUNTER_BITS)) | ((shard as u64) << COUNTER_BITS) | counter))
    }

    pub const fn epoch(self) -> u32 {
        (self.0 >> (SHARD_BITS + COUNTER_BITS)) as u32
    }

    pub const fn shard(self) -> u8 {
        ((self.0 >> COUNTER_BITS) & ((1 << SHARD_BITS) - 1)) as u8
    }

    pub const fn counter(self) -> u64 {
        self.0 & ((1 << COUNTER_BITS) - 1)
    }

    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The wire text, most significant digit first, so that ids of one epoch sort by age as text too.
    #[inline]
    pub fn to_ascii(self) -> [u8; CL_ORD_ID_LEN] {
        let mut text = [0; CL_ORD_ID_LEN];
        let mut rest = self.0;
        for slot in text.iter_mut().rev() {
            *slot = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        text
    }

    pub fn parse(text: &[u8]) -> Result<Self, ClOrdIdError> {
        if text.len() != CL_ORD_ID_LEN {
            return Err(ClOrdIdError::Length(text.len()));
        }
        let mut value: u64 = 0;
        for &byte in text {
            let digit = DIGITS[byte as usize];
            if digit == NO_DIGIT {
                return Err(ClOrdIdError::Character(byte));
            }
            if value >> 59 != 0 {
                return Err(ClOrdIdError::Overflow);
            }
            value = (value << 5) | u64::from(digit);
        }
        Ok(Self(value))
    }
}

impl fmt::Display for ClOrdId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(core::str::from_utf8(&self.to_ascii()).unwrap_or("?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cl_ord_id_round_trips_and_keeps_its_parts() {
        for (epoch, shard, counter) in [(0, 0, 1), (1, 0, 0), (7, 3, 12_345), ((1 << 20) - 1, 63, (1 << 38) - 1)] {
            let id = ClOrdId::new(epoch, shard, counter).unwrap();
            assert_eq!((id.epoch(), id.shard(), id.counter()), (epoch, shard, counter));
            assert_eq!(ClOrdId::parse(&id.to_ascii()), Ok(id));
        }
        assert_eq!(ClOrdId::new(1 << 20, 0, 0), None);
        assert_eq!(ClOrdId::new(0, 64, 0), None);
        assert_eq!(ClOrdId::new(0, 0, 1 << 38), None);
    }

    #[test]
    fn foreign_ids_are_refused_with_the_reason() {
        assert_eq!(ClOrdId::parse(b"abc"), Err(ClOrdIdError::Length(3)));
        assert_eq!(ClOrdId::parse(b"000000000000I"), Err(ClOrdIdError::Character(b'I')));
        assert_eq!(ClOrdId::parse(b"ZZZZZZZZZZZZZ"), Err(ClOrdIdError::Overflow));
    }
}
