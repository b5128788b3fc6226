use super::Counters;

/// Messages that came behind a gap, kept until it closes. Bounded: what does not fit is dropped, counted and asked for again.
#[derive(Debug)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    /// (MsgSeqNum, start, end), ascending and without doubles.
    entries: Vec<(u32, usize, usize)>,
}

impl Queue {
    const BYTES: usize = 1 << 20;
    const ENTRIES: usize = 8_192;

    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(Self::BYTES), entries: Vec::with_capacity(Self::ENTRIES) }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    pub(super) fn keep(&mut self, msg_seq_num: u32, message: &[u8], counters: &mut Counters) {
        let Err(at) = self.entries.binary_search_by_key(&msg_seq_num, |&(seq, ..)| seq) else {
            counters.duplicates += 1;
            return;
        };
        if self.entries.len() == Self::ENTRIES || self.bytes.len() + message.len() > Self::BYTES {
            counters.queue_dropped += 1;
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message);
        self.entries.insert(at, (msg_seq_num, start, self.bytes.len()));
    }

    /// Copies the message with this number into `out` and forgets everything up to it.
    pub(super) fn take(&mut self, msg_seq_num: u32, out: &mut Vec<u8>) -> bool {
        let keep_from = self.entries.partition_point(|&(seq, ..)| seq < msg_seq_num);
        let found = match self.entries.get(keep_from) {
            Some(&(seq, start, end)) if seq == msg_seq_num => {
                out.clear();
                out.extend_from_slice(&self.bytes[start..end]);
                true
            }
            _ => false,
        };
        self.entries.drain(..keep_from + usize::from(found));
        if self.entries.is_empty() {
            self.bytes.clear();
        }
        found
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.entries.first().map(|&(seq, ..)| seq)
    }

    pub(super) fn last(&self) -> Option<u32> {
        self.entries.last().map(|&(seq, ..)| seq)
    }
}
