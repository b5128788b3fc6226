//! The journal: the frames of the sequenced log on disk, checksummed, in segments, and the way back from them.
//!
//!   log ──▶ SegmentWriter ──▶ 00000001.seg 00000002.seg … ──▶ JournalReader ─┐
//!                             texts/<hash>.<ext>                             ├──▶ Recovery ──▶ core
//!   log after a kill ──▶ tercel_ring::LogRecovery ───────────────────────────┘
//!
//! No threads here: the owner decides which thread appends, flushes and syncs. No clock either.
//! A failed write or fsync is final: the writer refuses everything after it, because what the kernel kept is unknown.
//! The file format is in `format`, with the rule that tells a torn tail from damage.
#![forbid(unsafe_code)]

mod error;
pub mod format;
mod lock;
mod reader;
mod recovery;
mod tail;
mod tamper;
mod texts;
mod writer;

pub use error::{Damage, JournalError};
pub use format::{FrameKey, SegmentHeader};
pub use lock::JournalLock;
pub use reader::{JournalEnd, JournalReader, Record, TornTail};
pub use recovery::{LogTail, Recovery, RecoverySummary};
pub use tamper::{refresh_crc, refresh_links};
pub use texts::{Text, TextStore, text_hash};
pub use writer::{SegmentWriter, WriterConfig};
