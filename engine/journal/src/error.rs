use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its length is impossible")]
    Length,
    #[error("its number is not the next one")]
    Number,
    #[error("its checksum is not the one that the record after it holds, so it was changed after it was written")]
    Link,
    #[error("the file ends inside it")]
    Truncated,
}

#[derive(Debug, Error)]
pub enum JournalError {
    #[error("cannot {action} `{path}`")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the journal at `{path}` is in use by another process")]
    Locked { path: PathBuf },
    #[error("`{path}` has journal format {found}, this build reads {}", crate::format::VERSION)]
    Version { path: PathBuf, found: u32 },
    #[error("`{path}` is no journal segment: {why}")]
    Segment { path: PathBuf, why: &'static str },
    #[error(
        "`{path}` is damaged at offset {offset}, seq {seq}: {damage}; frames after it exist, so it is not a torn tail"
    )]
    Frame { path: PathBuf, offset: u64, seq: u64, damage: Damage },
    #[error("the log goes on at seq {log_seq}, the journal ends at seq {journal_seq}; frames between them are missing")]
    Gap { journal_seq: u64, log_seq: u64 },
    #[error("frame {seq} (derived index {derived:?}) does not come after the newest one of the journal")]
    Order { seq: u64, derived: Option<u64> },
    #[error("a frame to journal is malformed")]
    Malformed(#[source] tercel_event::FrameError),
    #[error("the journal has failed before; nothing is written after a failed write or fsync")]
    Failed,
    #[error("the sequenced log cannot be read")]
    Log(#[source] tercel_ring::LogError),
    #[error("text `{name}` does not have the content that its hash {hash:016x} says")]
    Text { name: String, hash: u64 },
}

impl JournalError {
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }

    /// True when the storage failed: trading halts, and only an operator's action resumes it.
    pub fn is_storage(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Failed)
    }
}
