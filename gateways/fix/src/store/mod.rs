//! What a session must not forget: its sequence numbers and the messages it sent, written before they are sent.
mod file;
mod memory;

pub use file::{FileStore, Opened};
pub use memory::MemoryStore;

use std::io;
use std::path::PathBuf;
use tercel_types::ClOrdId;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum StoreError {
    #[error("cannot open the message store at `{path}`; its folder must exist and be writable before logon")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the message store at `{path}` is in use by another process; one session has one process")]
    InUse { path: PathBuf },
    #[error("`{path}` is not a message store of this version, or it is one of another session (it says {found:?})")]
    Foreign { path: PathBuf, found: String },
    #[error(
        "record at byte {offset} of the message store `{path}` is damaged and whole ones follow; restore the file from a copy, or move it away and reset the sequence numbers with the venue"
    )]
    Damaged { path: PathBuf, offset: u64 },
    #[error("the message store cannot be written")]
    Write(#[source] io::Error),
}

/// Sequence numbers and sent messages of one session. `next_*` count from 1.
pub trait Store: Send {
    /// MsgSeqNum of the next message that we send.
    fn next_out(&self) -> u32;
    /// MsgSeqNum that we expect next.
    fn next_in(&self) -> u32;

    /// Keeps a message that is about to be sent and moves `next_out` past it. `cl_ord_id` names the order request in it,
    /// `ClOrdId::NONE` when it is none. On error nothing moved.
    fn append(&mut self, msg_seq_num: u32, cl_ord_id: ClOrdId, message: &[u8]) -> Result<(), StoreError>;

    /// Moves `next_out` without keeping a message: used when `append` failed and a cancel must leave all the same.
    fn skip_out(&mut self, next_out: u32);

    /// Moves `next_in`. May reach the disk later, since a message that was processed twice is recognised by its ExecID while
    /// one that was skipped is lost; `flush` forces it.
    fn set_next_in(&mut self, next_in: u32);

    /// Both numbers to 1. The messages of before stay findable by ClOrdID only.
    fn reset(&mut self) -> Result<(), StoreError>;

    /// Copies a sent message into `out` (cleared before); `false` when it is not kept.
    fn sent(&self, msg_seq_num: u32, out: &mut Vec<u8>) -> bool;

    /// The MsgSeqNum under which an order request was stored. What is stored may have left; what is not never did.
    fn find(&self, cl_ord_id: ClOrdId) -> Option<u32>;

    fn flush(&mut self) -> Result<(), StoreError>;
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn next_out(&self) -> u32 {
        (**self).next_out()
    }
    fn next_in(&self) -> u32 {
        (**self).next_in()
    }
    fn append(&mut self, msg_seq_num: u32, cl_ord_id: ClOrdId, message: &[u8]) -> Result<(), StoreError> {
        (**self).append(msg_seq_num, cl_ord_id, message)
    }
    fn skip_out(&mut self, next_out: u32) {
        (**self).skip_out(next_out);
    }
    fn set_next_in(&mut self, next_in: u32) {
        (**self).set_next_in(next_in);
    }
    fn reset(&mut self) -> Result<(), StoreError> {
        (**self).reset()
    }
    fn sent(&self, msg_seq_num: u32, out: &mut Vec<u8>) -> bool {
        (**self).sent(msg_seq_num, out)
    }
    fn find(&self, cl_ord_id: ClOrdId) -> Option<u32> {
        (**self).find(cl_ord_id)
    }
    fn flush(&mut self) -> Result<(), StoreError> {
        (**self).flush()
    }
}
