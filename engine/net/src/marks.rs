//! Hot path. One pass over the bytes of a message: where every delimiter stands, and the sum of all bytes.
//!
//! Memory      one bit for each byte of the longest message, allocated once.
//! Cost        some six instructions for sixteen bytes, without a branch on what they hold.
use lanes::Lanes;

/// Places of `MARK` in the bytes swept last: bit `i % 64` of word `i / 64`.
#[derive(Debug)]
pub struct Marks<const MARK: u8> {
    words: Box<[u64]>,
}

impl<const MARK: u8> Marks<MARK> {
    /// For messages of up to `len_max` bytes.
    pub fn new(len_max: usize) -> Self {
        Self { words: vec![0; len_max.div_ceil(64)].into_boxed_slice() }
    }

    /// Marks of `bytes`, one word for every 64, and their sum modulo 256; `None` when they are more than `len_max`.
    #[inline]
    pub fn sweep(&mut self, bytes: &[u8]) -> Option<(&[u64], u8)> {
        let words = self.words.get_mut(..bytes.len().div_ceil(64))?;
        let (blocks, rest) = bytes.as_chunks::<64>();
        let mut lanes = Lanes::new();
        for (word, block) in words.iter_mut().zip(blocks) {
            let [a, b, c, d] = block.as_chunks::<16>().0 else { continue };
            let [a, b, c, d] = [a, b, c, d].map(|piece| lanes.take::<MARK>(*piece));
            *word = a | b << 16 | c << 32 | d << 48;
        }
        if let Some(word) = words.get_mut(blocks.len()) {
            let (pieces, tail) = rest.as_chunks::<16>();
            let mut bits = 0;
            for (idx, piece) in pieces.iter().enumerate() {
                bits |= lanes.take::<MARK>(*piece) << (16 * idx);
            }
            if !tail.is_empty() {
                // The last sixteen bytes again, without those that were taken.
                let taken = 16 - tail.len();
                let piece = match bytes.last_chunk::<16>() {
                    Some(piece) => u128::from_le_bytes(*piece) >> (8 * taken),
                    None => tail.iter().rev().fold(0, |piece, &byte| piece << 8 | u128::from(byte)),
                };
                bits |= lanes.take::<MARK>(piece.to_le_bytes()) << (16 * pieces.len());
            }
            *word = bits;
        }
        Some((words, lanes.sum()))
    }
}

/// Sixteen bytes side by side, with instructions that every x86-64 processor has.
#[cfg(target_arch = "x86_64")]
mod lanes {
    use core::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_movemask_epi8, _mm_sad_epu8, _mm_set1_epi8,
        _mm_srli_si128,
    };

    pub(super) struct Lanes(__m128i);

    impl Lanes {
        #[inline]
        pub(super) fn new() -> Self {
            Self(bytemuck::Zeroable::zeroed())
        }

        /// Adds the bytes; returns a bit for each `MARK`. A zero leaves the sum as it is.
        #[inline]
        pub(super) fn take<const MARK: u8>(&mut self, bytes: [u8; 16]) -> u64 {
            const { assert!(MARK != 0, "zeros stand for no byte") };
            let bytes: __m128i = bytemuck::cast(bytes);
            // SAFETY: SSE2 belongs to every x86-64 target, and these instructions work on values alone.
            unsafe {
                self.0 = _mm_add_epi8(self.0, bytes);
                _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(MARK as i8))) as u64
            }
        }

        #[inline]
        pub(super) fn sum(self) -> u8 {
            // SAFETY: as above.
            unsafe {
                let halves = _mm_sad_epu8(self.0, bytemuck::Zeroable::zeroed());
                (_mm_cvtsi128_si64(halves) + _mm_cvtsi128_si64(_mm_srli_si128::<8>(halves))) as u8
            }
        }
    }
}

/// The same, a byte at a time.
#[cfg(not(target_arch = "x86_64"))]
mod lanes {
    pub(super) struct Lanes(u8);

    impl Lanes {
        pub(super) fn new() -> Self {
            Self(0)
        }

        pub(super) fn take<const MARK: u8>(&mut self, bytes: [u8; 16]) -> u64 {
            const { assert!(MARK != 0, "zeros stand for no byte") };
            self.0 = bytes.iter().fold(self.0, |sum, &byte| sum.wrapping_add(byte));
            (0..16).fold(0, |bits, at| bits | u64::from(bytes[at] == MARK) << at)
        }

        pub(super) fn sum(self) -> u8 {
            self.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every mark is found and nothing else, and the sum is the sum, for texts of every length, one after the other.
    #[test]
    fn marks_and_sum_of_texts_of_any_length() {
        let (mut marks, mut random) = (Marks::<1>::new(512), 7u64);
        for round in 0..2_000 {
            let text: Vec<u8> = (0..round % 400)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    if random.is_multiple_of(5) { 1 } else { (random >> 32) as u8 }
                })
                .collect();
            let (words, sum) = marks.sweep(&text).unwrap();
            assert_eq!(sum, text.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte)));
            assert_eq!(words.len(), text.len().div_ceil(64));
            for at in 0..words.len() * 64 {
                assert_eq!(words[at / 64] >> (at % 64) & 1 == 1, text.get(at) == Some(&1), "{at} of {}", text.len());
            }
        }
        assert!(marks.sweep(&[0; 513]).is_none());
    }
}
