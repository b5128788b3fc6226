use bytemuck::{Pod, Zeroable};
use core::fmt;

/// Text of a counterparty, at most `N` bytes, padded with zeros: fits a frame, compares by value, needs no heap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Ascii<const N: usize>([u8; N]);

/// FIX OrderID (37), the venue's own name of an order.
pub type OrderId = Ascii<40>;
/// FIX ExecID (17), unique per venue and trading day.
pub type ExecId = Ascii<40>;

impl<const N: usize> Ascii<N> {
    pub const EMPTY: Self = Self([0; N]);

    /// `None` when `text` is longer than `N` or holds a zero byte: an id is never cut, a cut id would be another order's.
    pub fn new(text: &[u8]) -> Option<Self> {
        if text.len() > N || text.contains(&0) {
            return None;
        }
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text);
        Some(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|&b| b == 0).unwrap_or(N);
        &self.0[..len]
    }

    /// All `N` bytes, zeros after the text.
    pub const fn padded(&self) -> &[u8; N] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        N == 0 || self.0[0] == 0
    }
}

impl<const N: usize> Default for Ascii<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Display for Ascii<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl<const N: usize> fmt::Debug for Ascii<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_cut() {
        assert_eq!(Ascii::<4>::new(b"abcd").unwrap().as_bytes(), b"abcd");
        assert!(Ascii::<4>::new(b"abcde").is_none());
        assert!(Ascii::<4>::new(b"a\0b").is_none());
        assert!(Ascii::<4>::new(b"").unwrap().is_empty());
    }
}
