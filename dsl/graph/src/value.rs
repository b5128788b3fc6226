//! A value as the interpreter holds it, and its form as a word of state.
//!
//! Words, the same in both engines, so that digests can be compared:
//!   F64    its bits; absent is `ABSENT_BITS`
//!   Bool   false 0, absent 1, true 2
//!   Time   nanoseconds; absent is `ABSENT_TIME`
use crate::op::Ty;
use crate::{ABSENT_BITS, ABSENT_TIME};

/// Present (`Some`) or absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    F64(Option<f64>),
    Bool(Option<bool>),
    Time(Option<i64>),
}

impl Value {
    pub const fn absent(ty: Ty) -> Self {
        match ty {
            Ty::F64 => Self::F64(None),
            Ty::Bool => Self::Bool(None),
            Ty::Time => Self::Time(None),
        }
    }

    pub const fn is_present(self) -> bool {
        matches!(self, Self::F64(Some(_)) | Self::Bool(Some(_)) | Self::Time(Some(_)))
    }

    pub const fn word(self) -> u64 {
        match self {
            Self::F64(Some(value)) => value.to_bits(),
            Self::F64(None) => ABSENT_BITS,
            Self::Bool(Some(false)) => 0,
            Self::Bool(None) => 1,
            Self::Bool(Some(true)) => 2,
            Self::Time(Some(ns)) => ns as u64,
            Self::Time(None) => ABSENT_TIME as u64,
        }
    }

    /// What [`Value::word`] was made of.
    pub const fn of_word(word: u64, ty: Ty) -> Self {
        match ty {
            Ty::F64 if f64::from_bits(word).is_nan() => Self::F64(None),
            Ty::F64 => Self::F64(Some(f64::from_bits(word))),
            Ty::Bool => Self::Bool(match word {
                0 => Some(false),
                2 => Some(true),
                _ => None,
            }),
            Ty::Time if word == ABSENT_TIME as u64 => Self::Time(None),
            Ty::Time => Self::Time(Some(word as i64)),
        }
    }

    pub(crate) const fn f64(self) -> Option<f64> {
        match self {
            Self::F64(value) => value,
            _ => None,
        }
    }

    pub(crate) const fn bool(self) -> Option<bool> {
        match self {
            Self::Bool(value) => value,
            _ => None,
        }
    }

    pub(crate) const fn time(self) -> Option<i64> {
        match self {
            Self::Time(value) => value,
            _ => None,
        }
    }
}
