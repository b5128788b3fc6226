use crate::error::{Damage, JournalError};
use crate::format::{RECORD_HEADER_LEN, u32_at};
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
