//! What the journal's tests share: a scratch directory, frames, and a reader into memory.
#![allow(dead_code)] // each test uses a part
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tercel_event::{Body, Command, FrameBuf, FrameFlags, Trade, write_frame};
use tercel_journal::{JournalEnd, JournalError, JournalLock, JournalReader, SegmentWriter, WriterConfig};
use tercel_types::{Price, SourceId, TimeNs};

pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tercel-journal-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // In memory where possible: these tests sync often, and none of them pulls the power.
        let shm = Path::new("/dev/shm");
        Self(if shm.is_dir() { shm.join(name) } else { std::env::temp_dir().join(name) })
    }

    pub fn segment(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:08}.seg"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn config(segment_len_max: u64) -> WriterConfig {
    WriterConfig { build_hash: 7, config_hash: 8, epoch: 1, segment_len_max }
}

pub fn writer(dir: &Path, segment_len_max: u64) -> SegmentWriter {
    SegmentWriter::open(JournalLock::acquire(dir).unwrap(), config(segment_len_max)).unwrap()
}

/// An input frame: a trade with a tail of `tail_len` bytes.
pub fn input(seq: u64, tail_len: usize) -> Vec<u8> {
    let body = Trade { px: Price(seq as i64 * 10), trade_id: seq, ..Trade::default() };
    frame(seq, seq, 0, &body, &vec![seq as u8; tail_len])
}

/// The derived frame `index` of `seq`.
pub fn derived(seq: u64, index: u64) -> Vec<u8> {
    let body: Command = Command { px: Price(seq as i64), index: index as u16, ..bytemuck::Zeroable::zeroed() };
    frame(seq, index, FrameFlags::DERIVED, &body, &[])
}

fn frame<B: Body>(seq: u64, src_seq: u64, flags: u8, body: &B, tail: &[u8]) -> Vec<u8> {
    let mut buf = FrameBuf::new();
    let len = write_frame(buf.bytes_mut(), SourceId(3), src_seq, flags, body, tail).unwrap();
    buf.set_len(len);
    buf.stamp(seq, TimeNs(seq as i64));
    buf.bytes().to_vec()
}

/// Inputs 1..=count, every third with two derived frames.
pub fn stream(count: u64) -> Vec<Vec<u8>> {
    let with_derived = |seq: u64| {
        let derived = if seq.is_multiple_of(3) { vec![derived(seq, 0), derived(seq, 1)] } else { vec![] };
        std::iter::once(input(seq, (seq * 37 % 500) as usize)).chain(derived)
    };
    (1..=count).flat_map(with_derived).collect()
}

pub fn append_all(writer: &mut SegmentWriter, frames: &[Vec<u8>]) {
    frames.iter().for_each(|frame| writer.append(frame).unwrap());
}

pub fn read_all(dir: &Path) -> Result<(Vec<Vec<u8>>, JournalEnd), JournalError> {
    let mut reader = JournalReader::open(dir)?;
    let mut frames = Vec::new();
    while let Some(record) = reader.next_record()? {
        frames.push(record.frame.to_vec());
    }
    Ok((frames, reader.end().clone()))
}
