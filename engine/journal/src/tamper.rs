use crate::error::{Damage, JournalError};
use crate::format::{PREV_CRC_AT, RECORD_HEADER_LEN, SEGMENT_HEADER_LEN, record_len, u32_at};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tercel_event::MAX_FRAME_LEN;

/// Writes the right checksum into the record at `offset` (`Record::offset`) of a segment whose content somebody changed.
/// For tests that show that replay notices what checksums cannot. Errors: `Io`, `Frame` when there is no record.
pub fn refresh_crc(segment: &Path, offset: u64) -> Result<(), JournalError> {
    let file = OpenOptions::new().read(true).write(true).open(segment);
    let file = file.map_err(JournalError::io("open", segment))?;
    let mut header = [0; RECORD_HEADER_LEN];
    file.read_exact_at(&mut header, offset).map_err(JournalError::io("read", segment))?;
    let len = u32_at(&header, 4) as usize;
    if len > MAX_FRAME_LEN {
        return Err(JournalError::Frame { path: segment.to_path_buf(), offset, seq: 0, damage: Damage::Length });
    }
    let mut checked = vec![0; RECORD_HEADER_LEN - 4 + len];
    file.read_exact_at(&mut checked, offset + 4).map_err(JournalError::io("read", segment))?;
    let crc = crc32c::crc32c(&checked);
    file.write_all_at(&crc.to_le_bytes(), offset).map_err(JournalError::io("write", segment))
}

/// Writes the right links and checksums into every record of a segment, so that a changed frame reads as whole and only its
/// replay can tell. For tests. Errors: `Io`, `Frame` at a record that cannot be stepped over.
pub fn refresh_links(segment: &Path) -> Result<(), JournalError> {
    let mut bytes = std::fs::read(segment).map_err(JournalError::io("read", segment))?;
    let mut link = u32_at(&bytes, PREV_CRC_AT);
    let mut at = SEGMENT_HEADER_LEN;
    while at + RECORD_HEADER_LEN <= bytes.len() {
        let len = u32_at(&bytes, at + 4) as usize;
        let end = at + RECORD_HEADER_LEN + len;
        if len > MAX_FRAME_LEN || end > bytes.len() {
            let damage = Damage::Length;
            return Err(JournalError::Frame { path: segment.to_path_buf(), offset: at as u64, seq: 0, damage });
        }
        bytes[at + 12..at + 16].copy_from_slice(&link.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[at + 4..end]);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        if len >= tercel_event::HEADER_LEN {
            link = crc; // marks are not linked to
        }
        at += record_len(len);
    }
    std::fs::write(segment, bytes).map_err(JournalError::io("write", segment))
}
