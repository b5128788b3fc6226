use crate::error::JournalError;
use crate::format::{
    END_MARK_LEN, FrameKey, SEGMENT_HEADER_LEN, SYNC_MARK_LEN, SegmentHeader, record_len, segment_name, write_record,
};
use crate::lock::JournalLock;
use crate::reader::JournalEnd;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use tercel_event::Frame;

/// What the segments of one run say, and how long they grow.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    pub build_hash: u64,
    pub config_hash: u64,
    pub epoch: u32,
    /// A segment is closed before it would pass this many bytes; a frame longer than that gets one to itself.
    pub segment_len_max: u64,
}

impl WriterConfig {
    pub const SEGMENT_LEN_DEFAULT: u64 = 256 << 20;
}

/// Appends frames to the journal. One owner, any thread; nothing here is on the hot path.
/// `append` gathers, `flush` gives to the kernel (survives the death of the process), `sync` to the disk.
pub struct SegmentWriter {
    config: WriterConfig,
    lock: JournalLock,
    end: JournalEnd,
    segment: Option<Segment>,
    buffer: Vec<u8>,
    failed: bool,
    synced: FrameKey,
}

/// Room that a segment keeps for the marks behind its last frame.
const MARKS_LEN: u64 = (record_len(SYNC_MARK_LEN) + record_len(END_MARK_LEN)) as u64;

struct Segment {
    path: PathBuf,
    file: File,
    /// Bytes in the file and in the buffer.
    len: u64,
    /// Bytes known to be on the disk, and whether a mark says so.
    synced_len: u64,
    marked: bool,
}

impl SegmentWriter {
    /// Bytes that `append` gathers before it flushes by itself.
    const FLUSH_LEN: usize = 64 << 10;

    /// Goes on behind the journal in the locked directory: cuts a torn tail off and begins a new segment with the first
    /// frame. Errors: those of reading the last segment, `Io`.
    pub fn open(lock: JournalLock, config: WriterConfig) -> Result<Self, JournalError> {
        let end = JournalEnd::find(lock.dir())?;
        end.cut(lock.dir())?;
        let buffer = Vec::with_capacity(Self::FLUSH_LEN + crate::format::MAX_RECORD_LEN);
        Ok(Self { config, lock, synced: end.last_key, end, segment: None, buffer, failed: false })
    }

    /// Takes a frame in. Frames come in the order of their keys.
    /// Errors: `Malformed`, `Order` (the writer stays usable); `Io`, `Failed`.
    pub fn append(&mut self, frame: &[u8]) -> Result<(), JournalError> {
        self.check()?;
        let parsed = Frame::parse(frame).map_err(JournalError::Malformed)?;
        let key = FrameKey::of(&parsed);
        if key <= self.end.last_key && self.end.last_record > 0 {
            return Err(JournalError::Order { seq: key.seq, derived: key.derived });
        }
        let frame = &frame[..parsed.header.len as usize];
        let need = record_len(frame.len()) as u64;
        let full = |segment: &Segment| segment.len + need + MARKS_LEN > self.config.segment_len_max;
        if self.segment.as_ref().is_some_and(full) {
            self.end_segment()?;
        }
        if self.segment.is_none() {
            self.begin_segment(key.seq)?;
        }
        self.mark_sync();
        self.end.closed = false;
        self.end.last_record += 1;
        self.end.last_crc = write_record(&mut self.buffer, self.end.last_record, self.end.last_crc, frame);
        self.end.last_key = key;
        if let Some(segment) = &mut self.segment {
            segment.len += need;
        }
        if self.buffer.len() >= Self::FLUSH_LEN { self.flush() } else { Ok(()) }
    }

    /// Gives everything appended to the kernel with one write. What it returns for survives the death of the process.
    /// Errors: `Io` (a full disk too), after which every call is `Failed`.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        self.check()?;
        let Some(segment) = &mut self.segment else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = segment.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|source| {
            self.failed = true;
            JournalError::io("write", &segment.path)(source)
        })
    }

    /// Flushes, then waits until the disk has everything (fdatasync). What it returns for survives a power cut.
    /// Errors: as `flush`; a failed sync is never retried.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.flush()?;
        let Some(segment) = &mut self.segment else { return Ok(()) };
        if segment.synced_len == segment.len {
            return Ok(());
        }
        if let Err(source) = segment.file.sync_data() {
            self.failed = true;
            return Err(JournalError::io("sync", &segment.path)(source));
        }
        segment.synced_len = segment.len;
        segment.marked = false;
        self.synced = self.end.last_key;
        Ok(())
    }

    /// Ends the segment and waits for the disk: a journal that was closed has no tail to doubt.
    pub fn close(mut self) -> Result<JournalEnd, JournalError> {
        self.end_segment()?;
        Ok(self.end)
    }

    /// The newest frame that was appended.
    pub fn last_key(&self) -> FrameKey {
        self.end.last_key
    }

    /// The newest frame that is known to be on the disk.
    pub fn synced_key(&self) -> FrameKey {
        self.synced
    }

    /// Records ever appended to this journal.
    pub fn records_count(&self) -> u64 {
        self.end.last_record
    }

    pub fn has_failed(&self) -> bool {
        self.failed
    }

    pub fn dir(&self) -> &Path {
        self.lock.dir()
    }

    fn check(&self) -> Result<(), JournalError> {
        if self.failed { Err(JournalError::Failed) } else { Ok(()) }
    }

    /// Says in the file what is on the disk, once after each sync, in front of the next frame.
    fn mark_sync(&mut self) {
        if let Some(segment) = &mut self.segment
            && !segment.marked
        {
            let content = segment.synced_len.to_le_bytes();
            write_record(&mut self.buffer, self.end.last_record + 1, self.end.last_crc, &content);
            segment.len += record_len(content.len()) as u64;
            segment.marked = true;
        }
    }

    fn end_segment(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        if let Some(segment) = &mut self.segment {
            let mut content = [0; END_MARK_LEN];
            content[..8].copy_from_slice(&segment.synced_len.to_le_bytes());
            content[8..].copy_from_slice(&self.end.last_key.seq.to_le_bytes());
            write_record(&mut self.buffer, self.end.last_record + 1, self.end.last_crc, &content);
            segment.len += record_len(content.len()) as u64;
        }
        self.sync()?;
        self.end.closed |= self.segment.take().is_some();
        Ok(())
    }

    fn begin_segment(&mut self, first_seq: u64) -> Result<(), JournalError> {
        let number = self.end.last_segment + 1;
        let header = SegmentHeader {
            number,
            first_record: self.end.last_record + 1,
            first_seq,
            build_hash: self.config.build_hash,
            config_hash: self.config.config_hash,
            epoch: self.config.epoch,
            prev_crc: self.end.last_crc,
        };
        let path = self.lock.dir().join(segment_name(number));
        let file = create_segment(&path, &header).inspect_err(|_| self.failed = true)?;
        (self.end.last_segment, self.end.last_epoch) = (number, self.config.epoch);
        let len = SEGMENT_HEADER_LEN as u64;
        self.segment = Some(Segment { path, file, len, synced_len: len, marked: true });
        Ok(())
    }

    /// Puts another file under the writer, such as one that refuses every write.
    #[cfg(test)]
    pub(crate) fn replace_file(&mut self, file: File) {
        if let Some(segment) = &mut self.segment {
            segment.file = file;
        }
    }
}

/// A file gets a segment's name only once its header is on the disk.
fn create_segment(path: &Path, header: &SegmentHeader) -> Result<File, JournalError> {
    let fresh = path.with_extension("new");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&fresh);
    let mut file = file.map_err(JournalError::io("create", &fresh))?;
    file.write_all(&header.encode()).map_err(JournalError::io("write", &fresh))?;
    file.sync_data().map_err(JournalError::io("sync", &fresh))?;
    std::fs::rename(&fresh, path).map_err(JournalError::io("name", path))?;
    sync_parent(path)?;
    Ok(file)
}

/// Makes a new name of a directory durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), JournalError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let open = File::open(dir).map_err(JournalError::io("open", dir))?;
    open.sync_all().map_err(JournalError::io("sync", dir))
}

#[cfg(test)]
mod tests;
