use crate::body::Body;
use bytemuck::{Pod, Zeroable};
use tercel_types::{SourceId, TimeNs};
use thiserror::Error;

/// A cache line; frames start on one.
pub const LINE_LEN: usize = 64;
pub const HEADER_LEN: usize = 32;
/// A frame is 1..=512 contiguous lines.
pub const MAX_FRAME_LEN: usize = 512 * LINE_LEN;

/// The 32 bytes before every body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FrameHeader {
    /// Header and body in bytes, without the padding to the next line. Never 0 once published.
    pub len: u32,
    /// A `FrameKind`.
    pub kind: u16,
    /// `FrameFlags`.
    pub flags: u8,
    /// The input that made the frame.
    pub src: SourceId,
    /// Place in the total order of the shard, from 1, without holes. A derived frame carries the `seq` of its cause.
    pub seq: u64,
    /// Sequencing time, UTC ns, non-decreasing. This is `now` for everything that the frame causes.
    pub ts_seq: TimeNs,
    /// Number of the frame at its source, from 1; of a derived frame, its index among those of one cause, from 0.
    pub src_seq: u64,
}

const _: () = assert!(size_of::<FrameHeader>() == HEADER_LEN);

/// Bits of `FrameHeader::flags`.
#[derive(Debug)]
pub struct FrameFlags;

impl FrameFlags {
    /// More parts of the same venue message follow; nothing is sequenced between them.
    pub const MORE: u8 = 1;
    /// Written by the core as a consequence of the frame with the same `seq`; replay recomputes and compares it.
    pub const DERIVED: u8 = 2;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)+) => {
        /// What a frame says. The number is on disk: never reuse one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum FrameKind { $($(#[$doc])* $name = $value,)+ }

        impl FrameKind {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            #[inline]
            pub const fn from_u16(value: u16) -> Option<Self> {
                match value { $($value => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// Start of an epoch: a process took over the journal. Every live order of an earlier epoch is `Unknown` from here.
    EpochStart = 1,
    /// Due deadlines of the core.
    Timer = 2,
    /// Level changes of one depth message.
    BookDelta = 16,
    /// A whole book, replacing what was there.
    BookSnapshot = 17,
    /// Best bid and ask of one instrument.
    Bbo = 18,
    /// One public trade.
    Trade = 19,
    /// State of one market data session: connection, gap, recovery, proof of life.
    FeedStatus = 20,
    /// One FIX ExecutionReport (8), whatever its ExecType.
    ExecReport = 32,
    /// OrderCancelReject (9).
    CancelReject = 33,
    /// The order gateway wrote a command to its socket.
    Sent = 34,
    /// The order gateway did not write a command, and why.
    NotSent = 35,
    /// State of one order session.
    SessionStatus = 36,
    /// Session Reject (3) or BusinessMessageReject (j) of a message of ours.
    MessageReject = 37,
    /// A mass status request has been answered completely.
    MassStatusEnd = 38,
    /// A value of a model.
    Signal = 48,
    /// Operator: a strategy parameter.
    ParamSet = 64,
    /// Operator: a risk limit.
    LimitSet = 65,
    /// Operator or watchdog: trading state of a scope.
    Mode = 66,
    /// Operator: cancel and block a scope.
    Kill = 67,
    /// The operator's word that ends a latched verdict.
    Rearm = 68,
    /// Operator: replace a strategy by another compiled text.
    StrategySwap = 69,
    /// Derived: a command of the core.
    Command = 128,
    /// Derived: the state hash, once a second.
    StateHash = 129,
    /// Derived: why the core did not act, or that a limit latched.
    Note = 130,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("frame kind {0} is not known to this version")]
    Kind(u16),
    #[error("frame of kind {kind:?} has {len} bytes, its body needs {need}")]
    Length { kind: FrameKind, len: usize, need: usize },
    #[error("frame length {0} is outside 32..=32768")]
    Size(usize),
}

/// A borrowed frame: header and the bytes of its body.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub header: FrameHeader,
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame at the start of `bytes`, which may be longer; no alignment is asked.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let Some(head) = bytes.get(..HEADER_LEN) else { return Err(FrameError::Size(bytes.len())) };
        let header: FrameHeader = bytemuck::pod_read_unaligned(head);
        let len = header.len as usize;
        match bytes.get(HEADER_LEN..len) {
            Some(body) if len <= MAX_FRAME_LEN => Ok(Self { header, body }),
            _ => Err(FrameError::Size(len)),
        }
    }

    #[inline]
    pub fn kind(&self) -> Result<FrameKind, FrameError> {
        FrameKind::from_u16(self.header.kind).ok_or(FrameError::Kind(self.header.kind))
    }

    #[inline]
    pub fn is_derived(&self) -> bool {
        self.header.flags & FrameFlags::DERIVED != 0
    }

    #[inline]
    pub fn has_more(&self) -> bool {
        self.header.flags & FrameFlags::MORE != 0
    }

    /// The fixed part of the body, copied out.
    #[inline]
    pub fn body<B: Body>(&self) -> Result<B, FrameError> {
        let need = size_of::<B>();
        match self.body.get(..need) {
            Some(bytes) if self.header.kind == B::KIND as u16 => Ok(bytemuck::pod_read_unaligned(bytes)),
            _ => Err(FrameError::Length { kind: B::KIND, len: self.body.len(), need }),
        }
    }

    /// What follows the fixed part of the body.
    #[inline]
    pub fn tail<B: Body>(&self) -> &'a [u8] {
        self.body.get(size_of::<B>()..).unwrap_or(&[])
    }

    /// Bytes that the frame occupies in a ring or log: its length rounded up to whole lines.
    #[inline]
    pub const fn padded_len(len: usize) -> usize {
        len.div_ceil(LINE_LEN) * LINE_LEN
    }
}

/// Writes a frame into `out` and returns its unpadded length; `seq` and `ts_seq` are the sequencer's to fill.
/// `None` when `out` is too small or the frame would pass `MAX_FRAME_LEN`.
#[inline]
pub fn write_frame<B: Body>(
    out: &mut [u8],
    src: SourceId,
    src_seq: u64,
    flags: u8,
    body: &B,
    tail: &[u8],
) -> Option<usize> {
    let fixed = HEADER_LEN + size_of::<B>();
    let len = fixed + tail.len();
    if len > MAX_FRAME_LEN {
        return None;
    }
    let out = out.get_mut(..len)?;
    let header = FrameHeader { len: len as u32, kind: B::KIND as u16, flags, src, seq: 0, ts_seq: TimeNs(0), src_seq };
    out[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
    out[HEADER_LEN..fixed].copy_from_slice(bytemuck::bytes_of(body));
    out[fixed..].copy_from_slice(tail);
    Some(len)
}

/// An owned frame, aligned to 8 bytes; 32 KiB once, then reused.
#[derive(Clone)]
pub struct FrameBuf {
    words: Box<[u64]>,
    len: usize,
}

impl Default for FrameBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameBuf {
    pub fn new() -> Self {
        Self { words: vec![0; MAX_FRAME_LEN / 8].into_boxed_slice(), len: 0 }
    }

    /// A buffer holding one frame. Panics if the frame is larger than `MAX_FRAME_LEN`: callers split before.
    pub fn of<B: Body>(src: SourceId, src_seq: u64, body: &B, tail: &[u8]) -> Self {
        let mut buf = Self::new();
        assert!(buf.write(src, src_seq, 0, body, tail), "a frame of more than {MAX_FRAME_LEN} bytes must be split");
        buf
    }

    /// Replaces the content; `false` when it does not fit.
    #[inline]
    pub fn write<B: Body>(&mut self, src: SourceId, src_seq: u64, flags: u8, body: &B, tail: &[u8]) -> bool {
        let written = write_frame(bytemuck::cast_slice_mut(&mut self.words), src, src_seq, flags, body, tail);
        self.len = written.unwrap_or(0);
        written.is_some()
    }

    /// Copies a frame in; `false` when `bytes` does not hold a whole one.
    #[inline]
    pub fn copy_from(&mut self, bytes: &[u8]) -> bool {
        let Ok(frame) = Frame::parse(bytes) else { return false };
        let len = frame.header.len as usize;
        self.bytes_mut()[..len].copy_from_slice(&bytes[..len]);
        self.len = len;
        true
    }

    /// The frame's bytes, unpadded; empty before the first write.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    /// The whole buffer, for a decoder that writes in place and then calls `set_len`.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }

    #[inline]
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= MAX_FRAME_LEN, "frame length {len}");
        self.len = len;
    }

    /// Sets the sequencer's fields of the header in place.
    #[inline]
    pub fn stamp(&mut self, seq: u64, ts_seq: TimeNs) {
        stamp(self.bytes_mut(), seq, ts_seq);
    }

    #[inline]
    pub fn frame(&self) -> Frame<'_> {
        Frame::parse(self.bytes()).expect("a FrameBuf holds a whole frame once written")
    }
}

/// Sets `seq` and `ts_seq` of the frame at the start of `bytes`.
#[inline]
pub fn stamp(bytes: &mut [u8], seq: u64, ts_seq: TimeNs) {
    bytes[8..16].copy_from_slice(&seq.to_le_bytes());
    bytes[16..24].copy_from_slice(&ts_seq.0.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BookDelta, LEVEL_LEN, Level, MAX_LEVELS, Timer};
    use tercel_types::{Price, Qty};

    #[test]
    fn a_frame_reads_back_what_was_written() {
        let levels = [Level { px: Price(10), qty: Qty(1) }, Level { px: Price(12), qty: Qty(0) }];
        let head = BookDelta { bids_count: 1, asks_count: 1, last_update_id: 9, ..Default::default() };
        let mut buf = FrameBuf::of(SourceId(3), 7, &head, bytemuck::cast_slice(&levels));
        buf.stamp(41, TimeNs(5));
        let frame = buf.frame();
        assert_eq!((frame.header.seq, frame.header.ts_seq, frame.header.src_seq), (41, TimeNs(5), 7));
        let (read, tail) = frame.book_delta().unwrap();
        assert_eq!(read, head);
        assert_eq!(tail.bids().chain(tail.asks()).collect::<Vec<_>>(), levels);
        assert!(frame.body::<Timer>().is_err(), "a body is not read as another kind");
    }

    #[test]
    fn lying_counts_and_lengths_are_refused() {
        let head = BookDelta { bids_count: u32::MAX, asks_count: 1, ..Default::default() };
        let buf = FrameBuf::of(SourceId(3), 7, &head, &[0; LEVEL_LEN]);
        assert!(buf.frame().book_delta().is_err());
        assert!(Frame::parse(&buf.bytes()[..40]).is_err());
        assert!(Frame::parse(&[0; 64]).is_err(), "length 0 is unpublished, not a frame");
        let mut out = vec![0; 2 * MAX_FRAME_LEN];
        assert!(write_frame(&mut out, SourceId(0), 0, 0, &head, &vec![0; (MAX_LEVELS + 1) * LEVEL_LEN]).is_none());
        assert!(write_frame(&mut out, SourceId(0), 0, 0, &head, &vec![0; MAX_LEVELS * LEVEL_LEN]).is_some());
    }
}
