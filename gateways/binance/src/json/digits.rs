//! Hot path. Decimal digits eight at a time, as bytes of a word; the first digit is the lowest byte.

pub const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight bytes at `at` less `'0'`: digits become their values.
#[inline(always)]
pub fn eight(bytes: &[u8], at: u32) -> Option<u64> {
    // A place of 32 bits cannot wrap, so one comparison is enough.
    let text = bytes.get(at as usize..at as usize + 8)?.first_chunk()?;
    Some(u64::from_le_bytes(*text) ^ ZEROS)
}

/// Bit 7 of each byte that is no digit. Exact for the first of them and for what follows characters below `'p'`: beyond
/// such a one a carry may mark a digit.
#[inline(always)]
pub fn others(values: u64) -> u64 {
    (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080
}

/// The bytes before the lowest mark; only for a word that has a mark.
#[inline(always)]
pub fn before(marks: u64) -> u64 {
    (marks ^ marks.wrapping_sub(1)) >> 8
}

/// Which byte has the lowest mark, 8 when none has.
#[inline(always)]
pub fn first(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// The number that eight digit values spell.
#[inline(always)]
pub fn number(values: u64) -> u64 {
    let pairs = values.wrapping_mul(2_561) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(6_553_601) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(42_949_672_960_001) >> 32
}
