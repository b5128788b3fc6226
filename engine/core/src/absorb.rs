//! A fast chained hash of the inputs, so that no byte of an input can change without the state hash noticing.
use tercel_event::FrameHeader;

/// Odd constants without structure: the fractional parts of √2 and √3, as 64 bits.
const K0: u64 = 0x6a09_e667_f3bc_c909;
const K1: u64 = 0xbb67_ae85_84ca_a73b;

/// Both halves of the 128-bit product, folded. Sixteen bytes per multiplication.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[inline]
fn halves(pair: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*pair);
    (both as u64, (both >> 64) as u64)
}

/// Up to seven bytes, zeros behind them; most bodies are whole words and have none.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The chain after one more input. Not cryptographic: it finds accidents and edits, it does not resist an adversary.
#[inline]
pub(crate) fn absorb(chain: u64, header: &FrameHeader, body: &[u8]) -> u64 {
    let what = u64::from(header.kind) | u64::from(header.flags) << 16 | u64::from(header.src.0) << 24;
    let mut hash = fold(chain ^ header.seq, K0 ^ header.ts_seq.0 as u64) ^ header.src_seq.rotate_left(32);
    hash = fold(hash ^ what, K1 ^ u64::from(header.len));
    let (pairs, rest) = body.as_chunks::<16>();
    for pair in pairs {
        let (low, high) = halves(pair);
        hash = fold(hash ^ low, K0 ^ high);
    }
    let (low, high) = match rest.split_first_chunk::<8>() {
        Some((low, high)) => (u64::from_le_bytes(*low), short_word(high)),
        None => (short_word(rest), 0),
    };
    fold(hash ^ low, K1 ^ high).wrapping_add(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts_at_every_length() {
        let header = FrameHeader { seq: 5, ..Default::default() };
        for len in 0..70 {
            let mut body = vec![7u8; len];
            let before = absorb(1, &header, &body);
            for at in 0..len {
                body[at] ^= 1;
                assert_ne!(absorb(1, &header, &body), before, "byte {at} of {len}");
                body[at] ^= 1;
            }
            assert_ne!(absorb(2, &header, &body), before);
            assert_ne!(absorb(1, &FrameHeader { src_seq: 1, ..header }, &body), before);
        }
    }
}
