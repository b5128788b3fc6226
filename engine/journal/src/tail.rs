//! Tells a torn tail from damage, by the rule of `format`.
use crate::format::{RECORD_HEADER_LEN, RecordHeader, record_len, u64_at};

const SECTOR_LEN: u64 = 512;

/// `rest` is what the last segment holds from a bad record at `offset` on; `number` is what the record should have had.
pub(crate) fn is_damage(rest: &[u8], offset: u64, number: u64) -> bool {
    let mut first_whole = None;
    let mut at = 8;
    while at + RECORD_HEADER_LEN <= rest.len() {
        match RecordHeader::parse(&rest[at..]) {
            // Numbers beyond what the bytes can hold are not of this segment's run of records.
            Ok(header) if header.number.wrapping_sub(number as u32) as usize <= rest.len() / 8 => {
                first_whole.get_or_insert(at);
                if header.is_mark() && u64_at(rest, at + RECORD_HEADER_LEN) > offset {
                    return true;
                }
                at += record_len(header.len);
            }
            _ => at += 8,
        }
    }
    first_whole.is_some_and(|whole| !has_lost_sector(&rest[..whole], offset))
}

/// Whether a sector that the disk never got lies inside `bytes`, which start at `offset` of their file: a whole one of
/// zeros, or the rest of one whose beginning was synced before (then `bytes` begin where the synced ones end).
fn has_lost_sector(bytes: &[u8], offset: u64) -> bool {
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let lead = (offset.next_multiple_of(SECTOR_LEN) - offset) as usize;
    let (rest_of_sector, aligned) = bytes.split_at(lead.min(bytes.len()));
    (lead > 0 && is_zero(rest_of_sector)) || aligned.chunks_exact(SECTOR_LEN as usize).any(is_zero)
}

/// The `seq` of the bad record: its own where it still reads as the next one, else the next after the last whole frame.
pub(crate) fn seq_of_bad(rest: &[u8], last_seq: u64) -> u64 {
    let own = u64_at(rest, RECORD_HEADER_LEN + 8);
    if own == last_seq { own } else { last_seq + 1 }
}
