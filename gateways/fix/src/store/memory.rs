use super::{Store, StoreError};
use tercel_types::ClOrdId;

/// A store that lives as long as its process: for simulation, backtest and a venue that is never killed.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    next_out: u32,
    next_in: u32,
    bytes: Vec<u8>,
    /// (MsgSeqNum, start, end) in ascending order of MsgSeqNum.
    sent: Vec<(u32, usize, usize)>,
    /// In the order of sending.
    ids: Vec<(ClOrdId, u32)>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::at(1, 1)
    }

    pub fn at(next_out: u32, next_in: u32) -> Self {
        Self { next_out, next_in, bytes: Vec::new(), sent: Vec::new(), ids: Vec::new() }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn next_out(&self) -> u32 {
        self.next_out
    }

    fn next_in(&self) -> u32 {
        self.next_in
    }

    fn append(&mut self, msg_seq_num: u32, cl_ord_id: ClOrdId, message: &[u8]) -> Result<(), StoreError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message);
        self.sent.push((msg_seq_num, start, self.bytes.len()));
        if !cl_ord_id.is_none() {
            self.ids.push((cl_ord_id, msg_seq_num));
        }
        self.next_out = msg_seq_num + 1;
        Ok(())
    }

    fn skip_out(&mut self, next_out: u32) {
        self.next_out = next_out;
    }

    fn set_next_in(&mut self, next_in: u32) {
        self.next_in = next_in;
    }

    fn reset(&mut self) -> Result<(), StoreError> {
        (self.next_out, self.next_in) = (1, 1);
        self.bytes.clear();
        self.sent.clear();
        Ok(())
    }

    fn sent(&self, msg_seq_num: u32, out: &mut Vec<u8>) -> bool {
        out.clear();
        let Ok(at) = self.sent.binary_search_by_key(&msg_seq_num, |&(seq, ..)| seq) else { return false };
        let (_, start, end) = self.sent[at];
        out.extend_from_slice(&self.bytes[start..end]);
        true
    }

    fn find(&self, cl_ord_id: ClOrdId) -> Option<u32> {
        self.ids.iter().rev().find(|(id, _)| *id == cl_ord_id).map(|&(_, seq)| seq)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
