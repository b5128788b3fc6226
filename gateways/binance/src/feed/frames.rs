//! Hot path. Depth messages and snapshots as frames: decoded levels already stand where the body of a single frame has them,
//! so the usual message costs one head; a larger one is copied out into parts.
use crate::json::{Depth, Snapshot};
use tercel_event::{BookDelta, BookSnapshot, Frame, FrameFlags, HEADER_LEN, LEVEL_LEN, Level, MAX_LEVELS, write_frame};
use tercel_types::{InstrumentId, SourceId, TimeNs};

/// Levels that one message may have, both sides together. The venue's largest answer has 2,000.
pub const LEVELS_MAX: usize = 16_384;
const HEAD_LEN: usize = HEADER_LEN + size_of::<BookDelta>();
const _: () = assert!(HEAD_LEN.is_multiple_of(8), "levels must stay aligned behind the head");

/// Stamps of one message, engine time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    /// Kernel stamp, else the user stamp.
    pub ts_recv: TimeNs,
    pub ts_user: TimeNs,
}

/// Room in which one message becomes frames. Allocated once.
pub(super) struct Workbench {
    words: Box<[u64]>,
    parts: Vec<u8>,
}

impl Workbench {
    pub fn new() -> Self {
        let frames = LEVELS_MAX.div_ceil(MAX_LEVELS) + 2;
        Self {
            words: vec![0; (HEAD_LEN + LEVELS_MAX * LEVEL_LEN) / 8].into_boxed_slice(),
            parts: Vec::with_capacity(frames * tercel_event::MAX_FRAME_LEN),
        }
    }

    /// Where a decoder puts levels.
    #[inline]
    pub fn levels(&mut self) -> &mut [Level] {
        bytemuck::cast_slice_mut(&mut self.words[HEAD_LEN / 8..])
    }

    /// The depth message whose levels were just decoded, as frames.
    #[inline]
    pub fn delta(&mut self, depth: &Depth, stamps: Stamps, source: SourceId) -> &mut [u8] {
        let head = BookDelta {
            instrument: depth.instrument,
            bids_count: depth.bids_count as u32,
            asks_count: depth.asks_count as u32,
            reserved: 0,
            first_update_id: depth.first_update_id,
            last_update_id: depth.last_update_id,
            prev_update_id: depth.prev_update_id.unwrap_or(0),
            ts_exchange: depth.ts_exchange,
            ts_recv: stamps.ts_recv,
            ts_user: stamps.ts_user,
            checksum: 0,
        };
        let count = depth.bids_count + depth.asks_count;
        if count > MAX_LEVELS {
            self.split(depth.bids_count, count, |out, flags, _, bids, levels| {
                let (bids_count, asks_count) = (bids as u32, (levels.len() / LEVEL_LEN - bids) as u32);
                write_frame(out, source, 0, flags, &BookDelta { bids_count, asks_count, ..head }, levels)
            });
            return &mut self.parts;
        }
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words);
        let len = HEAD_LEN + count * LEVEL_LEN;
        // The head is written as a frame without a tail; then the length takes the levels behind it in.
        let _ = write_frame(bytes, source, 0, 0, &head, &[]);
        bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
        &mut bytes[..len]
    }

    /// The snapshot whose levels were just decoded, as frames.
    pub fn snapshot(
        &mut self,
        instrument: InstrumentId,
        snapshot: &Snapshot,
        stamps: Stamps,
        source: SourceId,
    ) -> &mut [u8] {
        let head = BookSnapshot {
            instrument,
            bids_count: 0,
            asks_count: 0,
            part: 0,
            last_update_id: snapshot.last_update_id,
            ts_exchange: snapshot.ts_exchange,
            ts_recv: stamps.ts_recv,
            ts_user: stamps.ts_user,
            checksum: 0,
        };
        let count = snapshot.bids_count + snapshot.asks_count;
        self.split(snapshot.bids_count, count, |out, flags, part, bids, levels| {
            let (bids_count, asks_count) = (bids as u32, (levels.len() / LEVEL_LEN - bids) as u32);
            write_frame(out, source, 0, flags, &BookSnapshot { bids_count, asks_count, part, ..head }, levels)
        });
        &mut self.parts
    }

    /// Fills `parts` with one frame per `MAX_LEVELS` levels (one even when there is none), each on a whole line.
    /// `write` gets the room, the flags, the number of the part, how many of its levels are bids, and the levels.
    fn split(
        &mut self,
        bids_count: usize,
        count: usize,
        mut write: impl FnMut(&mut [u8], u8, u32, usize, &[u8]) -> Option<usize>,
    ) {
        let bytes: &[u8] = bytemuck::cast_slice(&self.words);
        self.parts.clear();
        let (mut from, mut part) = (0, 0);
        loop {
            let to = count.min(from + MAX_LEVELS);
            let bids = bids_count.clamp(from, to) - from;
            let flags = if to < count { FrameFlags::MORE } else { 0 };
            let at = self.parts.len();
            self.parts.resize(at + tercel_event::MAX_FRAME_LEN, 0);
            let levels = &bytes[HEAD_LEN + from * LEVEL_LEN..HEAD_LEN + to * LEVEL_LEN];
            let len = write(&mut self.parts[at..], flags, part, bids, levels).unwrap_or(0);
            self.parts.truncate(at + Frame::padded_len(len));
            if to == count {
                return;
            }
            (from, part) = (to, part + 1);
        }
    }
}
