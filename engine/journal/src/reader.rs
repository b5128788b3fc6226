use crate::error::{Damage, JournalError};
use crate::format::{
    END_MARK_LEN, FrameKey, HeaderError, MAX_RECORD_LEN, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN,
    SegmentHeader, record_len, segment_name,
};
use crate::tail;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tercel_event::Frame;

/// A frame of the journal and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The frame's bytes, unpadded. Borrowed from the reader's buffer.
    pub frame: &'a [u8],
    /// Number of the record, from 1.
    pub number: u64,
    /// Number of the segment, and the record's offset in it: what `refresh_crc` takes.
    pub segment: u64,
    pub offset: u64,
}

/// The end of a journal whose writer died: nothing behind it was ever promised to be on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    pub path: PathBuf,
    /// Where the last whole record ends; the file is cut here before it is written again.
    pub offset: u64,
    /// Bytes behind it.
    pub torn_len: u64,
    /// The last whole frame.
    pub last_key: FrameKey,
}

/// What a writer must know to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalEnd {
    pub last_segment: u64,
    pub last_record: u64,
    pub last_crc: u32,
    pub last_key: FrameKey,
    pub last_epoch: u32,
    /// The journal ends with an end mark: whoever wrote last closed it.
    pub closed: bool,
    pub torn: Option<TornTail>,
}

/// Reads the frames of all segments in order, checking checksums, numbers and the chain of segments.
/// Memory: one buffer of 1 MiB, whatever the journal's length.
pub struct JournalReader {
    dir: PathBuf,
    last_segment: u64,
    open: Option<OpenSegment>,
    buffer: Box<[u8]>,
    /// The unread part of the buffer.
    start: usize,
    filled: usize,
    /// The newest frame in the buffer.
    current: Range<usize>,
    /// Where the newest frame's record stands in its segment.
    last_offset: u64,
    end: JournalEnd,
    segments: Vec<SegmentHeader>,
}

struct OpenSegment {
    path: PathBuf,
    file: File,
    /// Offset in the file of `buffer[start]`.
    offset: u64,
}

const BUFFER_LEN: usize = 1 << 20;
const _: () = assert!(BUFFER_LEN >= 2 * MAX_RECORD_LEN);

impl JournalReader {
    /// Opens the journal in `dir`; an empty or missing directory is an empty journal.
    /// Errors: `Segment` when numbers are missing, `Io`.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        Self::from_segment(dir, 1, true)
    }

    /// Starts at segment `first`; without `chained`, what stands before it is taken from its header unchecked.
    fn from_segment(dir: &Path, first: u64, chained: bool) -> Result<Self, JournalError> {
        let last_segment = last_segment(dir)?;
        let mut reader = Self {
            dir: dir.to_path_buf(),
            last_segment,
            open: None,
            buffer: vec![0; BUFFER_LEN].into_boxed_slice(),
            start: 0,
            filled: 0,
            current: 0..0,
            last_offset: 0,
            end: JournalEnd::default(),
            segments: Vec::new(),
        };
        if last_segment >= first {
            reader.open_segment(first, chained)?;
        }
        Ok(reader)
    }

    /// The next frame, `None` at the end of the journal, where `torn` tells whether a tail was left out.
    /// Errors: `Frame` for damage, `Version`, `Segment`, `Io`.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        loop {
            let Some(offset) = self.open.as_ref().map(|open| open.offset) else { return Ok(None) };
            self.fill(RECORD_HEADER_LEN)?;
            if self.filled == self.start {
                if self.end.last_segment == self.last_segment {
                    self.open = None;
                    return Ok(None);
                }
                self.open_segment(self.end.last_segment + 1, true)?;
                continue;
            }
            let len = crate::format::u32_at(&self.buffer[self.start..self.filled], 4) as usize;
            self.fill(record_len(len.min(MAX_RECORD_LEN - RECORD_HEADER_LEN)))?;
            let bytes = &self.buffer[self.start..self.filled];
            let header = match RecordHeader::parse(bytes) {
                Ok(header) if header.number == (self.end.last_record + 1) as u32 => header,
                Ok(_) => return self.stop_at(offset, Damage::Number),
                Err(damage) => return self.stop_at(offset, damage),
            };
            if header.link != self.end.last_crc {
                return self.changed_before();
            }
            let content = self.start + RECORD_HEADER_LEN..self.start + RECORD_HEADER_LEN + header.len;
            self.start += record_len(header.len);
            if let Some(open) = &mut self.open {
                open.offset += record_len(header.len) as u64;
            }
            self.end.closed = header.len == END_MARK_LEN;
            if header.is_mark() {
                continue;
            }
            let frame = Frame::parse(&self.buffer[content.clone()]).map_err(JournalError::Malformed)?;
            self.end.last_key = FrameKey::of(&frame);
            self.end.last_record += 1;
            self.end.last_crc = header.crc;
            self.last_offset = offset;
            self.current = content;
            return Ok(Some(Record {
                frame: self.current(),
                number: self.end.last_record,
                segment: self.end.last_segment,
                offset,
            }));
        }
    }

    /// The frame that `next_record` returned last; empty before the first.
    #[inline]
    pub fn current(&self) -> &[u8] {
        &self.buffer[self.current.clone()]
    }

    /// The tail that was left out, known once `next_record` has returned `None`.
    pub fn torn(&self) -> Option<&TornTail> {
        self.end.torn.as_ref()
    }

    /// Headers of the segments read so far.
    pub fn segments(&self) -> &[SegmentHeader] {
        &self.segments
    }

    /// Where the reader stands; after the last frame, the end of the journal.
    pub fn end(&self) -> &JournalEnd {
        &self.end
    }

    /// The record in the buffer remembers another checksum of the frame before it.
    #[cold]
    fn changed_before(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        let path = self.open.take().map(|open| open.path).unwrap_or_default();
        let (offset, seq) = (self.last_offset, self.end.last_key.seq);
        Err(JournalError::Frame { path, offset, seq, damage: Damage::Link })
    }

    /// A bad record: damage, or the torn tail of the last segment.
    #[cold]
    fn stop_at(&mut self, offset: u64, damage: Damage) -> Result<Option<Record<'_>>, JournalError> {
        let Some(mut open) = self.open.take() else { return Ok(None) };
        let mut rest = self.buffer[self.start..self.filled].to_vec();
        open.file.read_to_end(&mut rest).map_err(JournalError::io("read", &open.path))?;
        let seq = tail::seq_of_bad(&rest, self.end.last_key.seq);
        let is_last = self.end.last_segment == self.last_segment;
        // A whole record with a wrong number is no tear, wherever it stands.
        if !is_last || damage == Damage::Number || tail::is_damage(&rest, offset, self.end.last_record + 1) {
            return Err(JournalError::Frame { path: open.path, offset, seq, damage });
        }
        self.end.torn =
            Some(TornTail { path: open.path, offset, torn_len: rest.len() as u64, last_key: self.end.last_key });
        Ok(None)
    }

    fn open_segment(&mut self, number: u64, chained: bool) -> Result<(), JournalError> {
        let path = self.dir.join(segment_name(number));
        let mut file = File::open(&path).map_err(JournalError::io("open", &path))?;
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        let segment = |why| JournalError::Segment { path: path.clone(), why };
        match file.read_exact(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(segment("it is shorter than its header"));
            }
            other => other.map_err(JournalError::io("read", &path))?,
        }
        let header = SegmentHeader::decode(&bytes).map_err(|error| match error {
            HeaderError::Version(found) => JournalError::Version { path: path.clone(), found },
            HeaderError::Why(why) => segment(why),
        })?;
        if header.number != number {
            return Err(segment("its name is not its number"));
        }
        if chained {
            if header.first_record != self.end.last_record + 1 {
                return Err(segment("records are missing between it and the segment before"));
            }
            if header.prev_crc != self.end.last_crc {
                return Err(segment("it does not follow the segment before: checksums differ"));
            }
        } else {
            self.end.last_record = header.first_record.saturating_sub(1);
            self.end.last_crc = header.prev_crc;
        }
        self.end.last_segment = number;
        self.end.last_epoch = header.epoch;
        self.end.closed = false;
        self.segments.push(header);
        (self.start, self.filled) = (0, 0);
        self.open = Some(OpenSegment { path, file, offset: SEGMENT_HEADER_LEN as u64 });
        Ok(())
    }

    /// Has at least `need` unread bytes in the buffer, unless the file ends before.
    #[inline]
    fn fill(&mut self, need: usize) -> Result<(), JournalError> {
        if self.filled - self.start >= need { Ok(()) } else { self.refill(need) }
    }

    fn refill(&mut self, need: usize) -> Result<(), JournalError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        self.buffer.copy_within(self.start..self.filled, 0);
        (self.start, self.filled) = (0, self.filled - self.start);
        while self.filled < need {
            match open.file.read(&mut self.buffer[self.filled..]) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(JournalError::io("read", &open.path)(error)),
            }
        }
        Ok(())
    }
}

impl JournalEnd {
    /// Finds the end by reading the last segment, and those before it as long as no frame is found.
    /// Errors: those of `JournalReader`.
    pub fn find(dir: &Path) -> Result<Self, JournalError> {
        let mut first = last_segment(dir)?.max(1);
        loop {
            let mut reader = JournalReader::from_segment(dir, first, first == 1)?;
            while reader.next_record()?.is_some() {}
            if first == 1 || reader.end.last_key != FrameKey::default() {
                return Ok(reader.end);
            }
            first -= 1;
        }
    }

    /// Cuts the torn tail off the file.
    pub(crate) fn cut(&self, dir: &Path) -> Result<(), JournalError> {
        let Some(torn) = &self.torn else { return Ok(()) };
        debug_assert!(torn.path.starts_with(dir));
        let file = OpenOptions::new().write(true).open(&torn.path).map_err(JournalError::io("open", &torn.path))?;
        file.set_len(torn.offset).map_err(JournalError::io("cut", &torn.path))?;
        file.sync_all().map_err(JournalError::io("sync", &torn.path))
    }
}

/// The number of the last segment, 0 without any. Errors: `Segment` when one before it is missing.
fn last_segment(dir: &Path) -> Result<u64, JournalError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other.map_err(JournalError::io("list", dir))?,
    };
    let mut numbers: Vec<u64> = Vec::new();
    for entry in entries {
        let name = entry.map_err(JournalError::io("list", dir))?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    match numbers.iter().zip(1..).find(|(number, expected)| **number != *expected) {
        Some((_, missing)) => {
            Err(JournalError::Segment { path: dir.join(segment_name(missing)), why: "it is missing, later ones exist" })
        }
        None => Ok(numbers.len() as u64),
    }
}
