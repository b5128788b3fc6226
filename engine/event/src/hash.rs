//! Digests of commands and state. Not cryptographic: they find divergence, they do not resist an adversary.

/// A strong 64-bit mixing of one word (the finaliser of SplitMix64, Steele et al. 2014).
#[inline]
pub const fn mix64(word: u64) -> u64 {
    let mut x = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Odd constants without structure: the fractional parts of √2 and √3, as 64 bits.
const K0: u64 = 0x6a09_e667_f3bc_c909;
const K1: u64 = 0xbb67_ae85_84ca_a73b;

/// Both halves of the 128-bit product, folded.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product as u64) ^ (product >> 64) as u64
}

/// A hash of a fixed number of words, whose place matters: for elements of the additive digests, and for commands. One
/// multiplication per pair of words, in two chains that do not wait for each other.
#[inline]
pub const fn hash_words<const N: usize>(key: u64, words: [u64; N]) -> u64 {
    let (mut even, mut odd) = (key ^ K0, key ^ K1);
    let mut at = 0;
    while at < N {
        let second = if at + 1 < N { words[at + 1] } else { 0 };
        let folded = fold(if at % 4 == 0 { even } else { odd } ^ words[at], second ^ K1);
        if at % 4 == 0 {
            even = folded;
        } else {
            odd = folded;
        }
        at += 2;
    }
    fold(even ^ K0, odd ^ K1)
}

/// A chained hash: order matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain(pub u64);

impl Chain {
    #[inline]
    pub fn word(&mut self, word: u64) {
        self.0 = mix64(self.0.rotate_left(5) ^ word);
    }

    /// Bytes are taken in little-endian words; the length is part of the hash.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.word(u64::from_le_bytes(word.try_into().unwrap_or([0; 8])));
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }
}

/// Digest of the core's state, of the parts that are kept up to date per change.
/// `orders`, `positions` and `books` are additive (sums of hashes of their elements), so a change costs one subtraction
/// and one addition and the order of elements does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateDigest {
    pub commands: u64,
    pub orders: u64,
    pub positions: u64,
    pub books: u64,
}

impl StateDigest {
    /// All parts in one word.
    pub fn combined(&self) -> u64 {
        let mut chain = Chain::default();
        for word in [self.commands, self.orders, self.positions, self.books] {
            chain.word(word);
        }
        chain.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every bit of every word and of the key counts, and so does the place of a word.
    #[test]
    fn every_bit_and_place_counts() {
        let words: [u64; 9] = core::array::from_fn(|at| mix64(at as u64));
        let hash = hash_words(3, words);
        for bit in 0..64 {
            assert_ne!(hash_words(3 ^ 1 << bit, words), hash, "bit {bit} of the key");
            for at in 0..words.len() {
                let mut changed = words;
                changed[at] ^= 1 << bit;
                assert_ne!(hash_words(3, changed), hash, "bit {bit} of word {at}");
            }
        }
        for (a, b) in (0..9).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let mut swapped = words;
            swapped.swap(a, b);
            assert_ne!(hash_words(3, swapped), hash, "words {a} and {b} swapped");
        }
        assert_ne!(hash_words(0, [0; 4]), hash_words(0, [0; 5]));
    }

    /// Small numbers, as digests are made of, do not meet, neither as they are nor in sums of two.
    #[test]
    fn small_numbers_do_not_collide() {
        let mut seen = std::collections::HashSet::new();
        for a in 0..40u64 {
            for b in 0..40 {
                for c in 0..40 {
                    assert!(seen.insert(hash_words(a, [b, c, 0, 0, 1, 0])), "{a} {b} {c}");
                }
            }
        }
        let mut sums = std::collections::HashSet::new();
        let one = |a: u64, b: u64| hash_words(7, [a, b, 100 + a, 5]);
        for (a, b) in (0..50).flat_map(|a| (0..50).map(move |b| (a, b))) {
            for (c, d) in (50..54).flat_map(|c| (0..50).map(move |d| (c, d))) {
                assert!(sums.insert(one(a, b).wrapping_add(one(c, d))), "{a} {b} {c} {d}");
            }
        }
    }
}
