//! The store on disk: an append-only file of records, each with its CRC32C, written before the message leaves.
//!
//! A record survives `kill -9` once `write` returned. On opening, whole records are read, a torn tail is cut and said; a
//! damaged record before whole ones is an error, since what follows it may name orders that were sent. One process at a
//! time holds the file (`flock`).
//!
//!   file    := head slot slot record*
//!   head    := "TERCELFX" version:u32 reserved:u32 identity:[u8; 112]
//!   slot    := next_out:u32 next_in:u32 stamp:u64 crc:u32 reserved:u32     written in place, in turn, so a full disk cannot stop it
//!   record  := len:u32 kind:u32 number:u32 crc:u32 cl_ord_id:u64 payload:[u8; len]
use super::{Store, StoreError};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tercel_types::ClOrdId;

const MAGIC: &[u8; 8] = b"TERCELFX";
const VERSION: u32 = 1;
const IDENTITY_LEN: usize = 112;
const HEAD_LEN: u64 = 128;
const SLOT_LEN: usize = 24;
const RECORDS_AT: u64 = 4_096;
const RECORD_HEAD_LEN: usize = 24;
const KIND_SENT: u32 = 1;
const KIND_RESET: u32 = 2;
/// Places for sent messages, reserved once so that a day of trading does not grow a table. Untouched pages cost nothing.
const RESERVED: usize = 1 << 20;

/// What opening found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    pub records: u64,
    /// Bytes of a torn record that were cut at the end.
    pub cut_len: u64,
}

/// The store of one session in one file.
#[derive(Debug)]
pub struct FileStore {
    file: File,
    path: PathBuf,
    end: u64,
    next_out: u32,
    next_in: u32,
    slot_stamp: u64,
    slot_dirty: bool,
    /// Offset of the payload and its length by MsgSeqNum, ascending; since the last reset.
    sent: Vec<(u32, u32, u64)>,
    /// Sorted by id up to `sorted`, then in the order of sending, which is almost sorted too.
    ids: Vec<(ClOrdId, u32)>,
    sorted: usize,
    record: Vec<u8>,
}

impl FileStore {
    /// Opens or makes the file. `identity` names the session, such as `FIX.4.4:TERCEL->VENUE`; a file of another one is refused.
    pub fn open(path: &Path, identity: &str) -> Result<(Self, Opened), StoreError> {
        let failed = |source| StoreError::Open { path: path.to_path_buf(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: path.to_path_buf() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut store = Self {
            file,
            path: path.to_path_buf(),
            end: RECORDS_AT,
            next_out: 1,
            next_in: 1,
            slot_stamp: 0,
            slot_dirty: false,
            sent: Vec::with_capacity(RESERVED),
            ids: Vec::with_capacity(RESERVED),
            sorted: 0,
            record: Vec::with_capacity(RECORD_HEAD_LEN + crate::framing::MAX_MESSAGE_LEN),
        };
        let len = store.file.metadata().map_err(failed)?.len();
        let opened = if len < RECORDS_AT {
            // Shorter than its head: the process that made it died at once, and nothing was ever sent from it.
            store.create(identity).map_err(failed)?;
            Opened { records: 0, cut_len: len }
        } else {
            store.check_head(identity)?;
            store.read_slots().map_err(failed)?;
            store.scan(len)?
        };
        store.ids.sort_unstable_by_key(|&(id, _)| id);
        store.sorted = store.ids.len();
        Ok((store, opened))
    }

    fn create(&mut self, identity: &str) -> io::Result<()> {
        let mut head = vec![0u8; RECORDS_AT as usize];
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        head[16..HEAD_LEN as usize].copy_from_slice(&identity_field(identity));
        self.file.set_len(0)?;
        self.file.write_all_at(&head, 0)?;
        self.write_slot()
    }

    fn check_head(&self, identity: &str) -> Result<(), StoreError> {
        let mut head = [0u8; HEAD_LEN as usize];
        let failed = |source| StoreError::Open { path: self.path.clone(), source };
        self.file.read_exact_at(&mut head, 0).map_err(failed)?;
        if head[..8] != *MAGIC || head[8..12] != VERSION.to_le_bytes() || head[16..] != identity_field(identity) {
            let found = String::from_utf8_lossy(&head[16..]).trim_end_matches('\0').to_string();
            return Err(StoreError::Foreign { path: self.path.clone(), found });
        }
        Ok(())
    }

    /// The newer of the two slots that is whole.
    fn read_slots(&mut self) -> io::Result<()> {
        for idx in 0..2 {
            let mut slot = [0u8; SLOT_LEN];
            self.file.read_exact_at(&mut slot, HEAD_LEN + idx * SLOT_LEN as u64)?;
            let stamp = u64_at(&slot, 8);
            if crc32c::crc32c(&slot[..16]) == u32_at(&slot, 16) && stamp >= self.slot_stamp && stamp > 0 {
                (self.next_out, self.next_in, self.slot_stamp) =
                    (u32_at(&slot, 0).max(1), u32_at(&slot, 4).max(1), stamp);
            }
        }
        Ok(())
    }

    fn write_slot(&mut self) -> io::Result<()> {
        self.slot_stamp += 1;
        let mut slot = [0u8; SLOT_LEN];
        slot[..4].copy_from_slice(&self.next_out.to_le_bytes());
        slot[4..8].copy_from_slice(&self.next_in.to_le_bytes());
        slot[8..16].copy_from_slice(&self.slot_stamp.to_le_bytes());
        let crc = crc32c::crc32c(&slot[..16]);
        slot[16..20].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all_at(&slot, HEAD_LEN + (self.slot_stamp % 2) * SLOT_LEN as u64)?;
        self.slot_dirty = false;
        Ok(())
    }

    /// Reads all records and cuts a torn one at the end.
    fn scan(&mut self, len: u64) -> Result<Opened, StoreError> {
        let failed = |source| StoreError::Open { path: self.path.clone(), source };
        let mut bytes = vec![0u8; (len - RECORDS_AT) as usize];
        self.file.read_exact_at(&mut bytes, RECORDS_AT).map_err(failed)?;
        let (mut at, mut opened) = (0usize, Opened::default());
        // Sent records are the truth for `next_out`; the slot may be ahead of them (sent while the disk was full).
        let mut next_out = 1;
        while let Some(record) = Record::read(&bytes[at..]) {
            match record.kind {
                KIND_SENT => {
                    let payload_at = RECORDS_AT + (at + RECORD_HEAD_LEN) as u64;
                    self.sent.push((record.number, record.payload.len() as u32, payload_at));
                    if !record.cl_ord_id.is_none() {
                        self.ids.push((record.cl_ord_id, record.number));
                    }
                    next_out = record.number + 1;
                }
                _ => {
                    self.sent.clear();
                    // A slot written before the reset says nothing about the numbers after it.
                    next_out = 1;
                    if u64::from(record.number) >= self.slot_stamp {
                        (self.next_out, self.next_in) = (1, 1);
                    }
                }
            }
            at += RECORD_HEAD_LEN + record.payload.len();
            opened.records += 1;
        }
        self.next_out = self.next_out.max(next_out);
        if at < bytes.len() {
            if (at + 1..bytes.len()).any(|later| Record::read(&bytes[later..]).is_some()) {
                return Err(StoreError::Damaged { path: self.path.clone(), offset: RECORDS_AT + at as u64 });
            }
            opened.cut_len = (bytes.len() - at) as u64;
            self.file.set_len(RECORDS_AT + at as u64).map_err(failed)?;
        }
        self.end = RECORDS_AT + at as u64;
        Ok(opened)
    }

    fn write_record(&mut self, kind: u32, number: u32, cl_ord_id: ClOrdId, payload: &[u8]) -> Result<u64, StoreError> {
        self.record.clear();
        self.record.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        self.record.extend_from_slice(&kind.to_le_bytes());
        self.record.extend_from_slice(&number.to_le_bytes());
        self.record.extend_from_slice(&[0; 4]);
        self.record.extend_from_slice(&cl_ord_id.0.to_le_bytes());
        self.record.extend_from_slice(payload);
        let crc = crc32c::crc32c(&self.record);
        self.record[12..16].copy_from_slice(&crc.to_le_bytes());
        // At `end`, not appended: a write that failed half-way is overwritten by the next one.
        self.file.write_all_at(&self.record, self.end).map_err(StoreError::Write)?;
        let payload_at = self.end + RECORD_HEAD_LEN as u64;
        self.end += self.record.len() as u64;
        Ok(payload_at)
    }
}

impl Store for FileStore {
    fn next_out(&self) -> u32 {
        self.next_out
    }

    fn next_in(&self) -> u32 {
        self.next_in
    }

    fn append(&mut self, msg_seq_num: u32, cl_ord_id: ClOrdId, message: &[u8]) -> Result<(), StoreError> {
        let payload_at = self.write_record(KIND_SENT, msg_seq_num, cl_ord_id, message)?;
        self.sent.push((msg_seq_num, message.len() as u32, payload_at));
        if !cl_ord_id.is_none() {
            self.ids.push((cl_ord_id, msg_seq_num));
        }
        self.next_out = msg_seq_num + 1;
        Ok(())
    }

    fn skip_out(&mut self, next_out: u32) {
        self.next_out = next_out;
        // Best effort: the slot is already on disk, so even a full one takes it.
        self.slot_dirty = self.write_slot().is_err();
    }

    fn set_next_in(&mut self, next_in: u32) {
        self.next_in = next_in;
        self.slot_dirty = true;
    }

    fn reset(&mut self) -> Result<(), StoreError> {
        let stamp = u32::try_from(self.slot_stamp).unwrap_or(u32::MAX);
        self.write_record(KIND_RESET, stamp, ClOrdId::NONE, &[])?;
        (self.next_out, self.next_in) = (1, 1);
        self.sent.clear();
        self.write_slot().map_err(StoreError::Write)
    }

    fn sent(&self, msg_seq_num: u32, out: &mut Vec<u8>) -> bool {
        out.clear();
        let Ok(at) = self.sent.binary_search_by_key(&msg_seq_num, |&(seq, ..)| seq) else { return false };
        let (_, len, payload_at) = self.sent[at];
        out.resize(len as usize, 0);
        self.file.read_exact_at(out, payload_at).is_ok()
    }

    fn find(&self, cl_ord_id: ClOrdId) -> Option<u32> {
        let (sorted, recent) = self.ids.split_at(self.sorted);
        let found = sorted.binary_search_by_key(&cl_ord_id, |&(id, _)| id).ok().map(|at| sorted[at].1);
        found.or_else(|| recent.iter().rev().find(|(id, _)| *id == cl_ord_id).map(|&(_, seq)| seq))
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if self.slot_dirty {
            self.write_slot().map_err(StoreError::Write)?;
        }
        Ok(())
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        // A clean end; after a crash the number is older, and the peer resends what was seen already.
        let _ = self.flush();
    }
}

struct Record<'a> {
    kind: u32,
    number: u32,
    cl_ord_id: ClOrdId,
    payload: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.get(..RECORD_HEAD_LEN)?;
        let (len, kind) = (u32_at(head, 0) as usize, u32_at(head, 4));
        if len > crate::framing::MAX_MESSAGE_LEN || !matches!(kind, KIND_SENT | KIND_RESET) {
            return None;
        }
        let payload = bytes.get(RECORD_HEAD_LEN..RECORD_HEAD_LEN + len)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&head[..12]), &[0; 4]), &head[16..]);
        if crc32c::crc32c_append(crc, payload) != u32_at(head, 12) {
            return None;
        }
        Some(Self { kind, number: u32_at(head, 8), cl_ord_id: ClOrdId(u64_at(head, 16)), payload })
    }
}

fn identity_field(identity: &str) -> [u8; IDENTITY_LEN] {
    let mut field = [0; IDENTITY_LEN];
    let len = identity.len().min(IDENTITY_LEN);
    field[..len].copy_from_slice(&identity.as_bytes()[..len]);
    field
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;
