use crate::error::JournalError;
use crate::format::FrameKey;
use crate::reader::{JournalReader, TornTail};
use crate::writer::SegmentWriter;
use std::path::{Path, PathBuf};
use tercel_event::Frame;
use tercel_ring::{LogError, LogRecovery};

/// The way back after a death: the journal's frames, then those that only the log held, each exactly once and in order.
pub struct Recovery {
    journal: JournalReader,
    journal_ended: bool,
    log: Option<LogRecovery>,
    log_path: Option<PathBuf>,
    summary: RecoverySummary,
}

/// What became of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogTail {
    /// None was named.
    #[default]
    NotAsked,
    /// The file is gone (the machine was restarted): the journal is all there is.
    Missing,
    Read,
}

/// What was found, for the line that the start prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoverySummary {
    pub journal_frames: u64,
    /// Frames of the log that the journal had already.
    pub log_duplicates: u64,
    /// Frames that only the log had.
    pub log_frames: u64,
    pub log: LogTail,
    /// The newest frame of the journal, then of both.
    pub journal_key: FrameKey,
    pub last_key: FrameKey,
    /// The newest epoch of journal and log; the next one is larger.
    pub last_epoch: u32,
    pub torn: Option<TornTail>,
}

impl Recovery {
    /// Opens the journal in `dir` and, when named, the log. Errors: those of `JournalReader`; `Log`.
    pub fn open(dir: &Path, log_path: Option<&Path>) -> Result<Self, JournalError> {
        let journal = JournalReader::open(dir)?;
        let mut summary = RecoverySummary::default();
        let log = match log_path {
            None => None,
            Some(path) => match LogRecovery::open(path) {
                Ok(log) => {
                    summary.log = LogTail::Read;
                    summary.last_epoch = log.epoch();
                    Some(log)
                }
                Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    summary.log = LogTail::Missing;
                    None
                }
                Err(error) => return Err(JournalError::Log(error)),
            },
        };
        Ok(Self { journal, journal_ended: false, log, log_path: log_path.map(Path::to_path_buf), summary })
    }

    /// The next frame, `None` when both are read. Errors: damage in either; `Gap` when frames between them are missing.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, JournalError> {
        if self.read_journal()? {
            return Ok(Some(self.journal.current()));
        }
        let Some(log) = &mut self.log else { return Ok(None) };
        next_of_log(log, &mut self.summary)
    }

    /// What has been found so far; whole once `next_frame` has returned `None`.
    pub fn summary(&self) -> &RecoverySummary {
        &self.summary
    }

    /// Hash of the configuration of the newest segment, `None` for an empty journal.
    pub fn config_hash(&self) -> Option<u64> {
        self.journal.segments().last().map(|segment| segment.config_hash)
    }

    /// After the last frame: appends what only the log held to `writer` and syncs it, so that a new log may take the
    /// place of the old one. A crash in between is harmless: the frames are recognised by their keys.
    /// Returns how many frames it appended. Errors: those of reading the log and of writing.
    pub fn move_log_tail(&self, writer: &mut SegmentWriter) -> Result<u64, JournalError> {
        let (Some(path), LogTail::Read) = (&self.log_path, self.summary.log) else { return Ok(0) };
        let mut log = LogRecovery::open(path).map_err(JournalError::Log)?;
        let mut summary = RecoverySummary { last_key: writer.last_key(), ..RecoverySummary::default() };
        while let Some(frame) = next_of_log(&mut log, &mut summary)? {
            writer.append(frame)?;
        }
        writer.sync()?;
        Ok(summary.log_frames)
    }

    /// Steps the journal; false at its end.
    fn read_journal(&mut self) -> Result<bool, JournalError> {
        if self.journal_ended {
            return Ok(false);
        }
        let found = self.journal.next_record()?.is_some();
        let end = self.journal.end();
        self.summary.journal_key = end.last_key;
        self.summary.last_key = end.last_key;
        self.summary.journal_frames += u64::from(found);
        if !found {
            self.journal_ended = true;
            self.summary.last_epoch = self.summary.last_epoch.max(end.last_epoch);
            self.summary.torn = end.torn.clone();
        }
        Ok(found)
    }
}

/// The next frame of the log behind `summary.last_key`.
fn next_of_log<'a>(log: &'a mut LogRecovery, summary: &mut RecoverySummary) -> Result<Option<&'a [u8]>, JournalError> {
    loop {
        let Some(frame) = log.next_frame().map_err(JournalError::Log)? else { return Ok(None) };
        let key = FrameKey::of(&Frame::parse(frame).map_err(JournalError::Malformed)?);
        let last = summary.last_key;
        if key <= last {
            summary.log_duplicates += 1;
            continue;
        }
        if key.seq > last.seq + 1 {
            return Err(JournalError::Gap { journal_seq: last.seq, log_seq: key.seq });
        }
        summary.log_frames += 1;
        summary.last_key = key;
        return Ok(Some(log.current()));
    }
}
