//! Digests of commands and state. Not cryptographic: they find divergence, they do not resist an adversary.

/// A strong 64-bit mixing of one word (the finaliser of SplitMix64, Steele et al. 2014).
#[inline]
pub const fn mix64(word: u64) -> u64 {
    let mut x = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A hash of a fixed number of words, whose place matters. The words are taken in pairs that do not wait for each other, so
/// it costs one multiplication's delay where `Chain` costs one per word: for elements of the additive digests.
#[inline]
pub const fn hash_words<const N: usize>(key: u64, words: [u64; N]) -> u64 {
    let (mut sum, mut at) = (key, 0);
    while at < N {
        // Odd constants that differ by place: the multiples of the golden ratio's fraction.
        let place = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let second = if at + 1 < N { words[at + 1] } else { 0 };
        let product = (words[at] ^ place) as u128 * (second ^ place.rotate_left(32)) as u128;
        sum = sum.wrapping_add((product as u64) ^ (product >> 64) as u64);
        at += 2;
    }
    mix64(sum)
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
