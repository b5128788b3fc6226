//! A mapped log, a journal in a directory of its own, and no thread.
use super::*;
use std::path::PathBuf;
use tercel_event::{FrameBuf, FrameFlags, Note, Rearm, sources};
use tercel_journal::{JournalLock, WriterConfig};
use tercel_ring::{LogConfig, LogWriter, PowerOfTwo};
use tercel_types::TimeNs;

const CAPACITY: usize = 1 << 19;

struct Rig {
    dir: PathBuf,
    log: LogWriter,
    station: JournalStation,
    cells: CoreCells,
}

impl Rig {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("tercel-journal-station-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        let config = LogConfig {
            path: dir.join("log"),
            capacity: PowerOfTwo::new(CAPACITY).expect("a power of two"),
            epoch: 1,
            config_hash: 0,
            build_hash: 0,
        };
        let mut log = LogWriter::create(&config).expect("a log");
        let reader = log.gating_reader("journal").expect("a reader");
        let lock = JournalLock::acquire(&dir.join("journal")).expect("a lock");
        let config = WriterConfig { build_hash: 0, config_hash: 0, epoch: 1, segment_len_max: 1 << 20 };
        let writer = SegmentWriter::open(lock, config).expect("a journal");
        let cells = CoreCells::default();
        let station = JournalStation::new(reader, writer, Durability::Written, cells.clone(), false);
        Self { dir, log, station, cells }
    }

    fn write(&mut self, seq: u64, flags: u8) -> bool {
        let mut frame = FrameBuf::new();
        if flags & FrameFlags::DERIVED != 0 {
            assert!(frame.write(sources::CORE, 0, flags, &Note::default(), &[]));
        } else {
            assert!(frame.write(sources::OPERATOR, seq, flags, &Rearm::default(), &[]));
        }
        frame.stamp(seq, TimeNs(1));
        self.log.push(frame.bytes()).is_ok()
    }

    fn durable(&mut self) -> u64 {
        while self.station.turn() {}
        self.cells.durable_seq.get()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn an_input_is_durable_only_with_everything_derived_from_it() {
    let mut rig = Rig::new("durable");
    assert!(rig.write(1, 0));
    assert_eq!(rig.durable(), 0, "the core may still be writing what comes of it");
    assert!(rig.write(1, FrameFlags::DERIVED));
    assert_eq!(rig.durable(), 0, "there may be more of it");
    rig.cells.seq.set(1);
    assert_eq!(rig.durable(), 1, "the core says that this was all");
    assert!(rig.write(2, 0));
    assert_eq!(rig.durable(), 1);
    assert!(rig.write(3, 0));
    assert_eq!(rig.durable(), 2, "a later input proves that the earlier one is whole");
}

#[test]
fn what_a_failed_journal_cannot_store_stays_in_the_log_until_it_needs_the_room() {
    let mut rig = Rig::new("failure");
    std::fs::remove_dir_all(rig.dir.join("journal")).expect("the journal's directory");
    assert!(rig.write(1, 0));
    rig.durable();
    assert!(rig.cells.journal_failed.is_raised());
    for seq in 2..=1_000 {
        assert!(rig.write(seq, 0));
        rig.durable();
    }
    assert_eq!(rig.station.failure().map(|(_, lost)| lost), Some(0));
    assert!(rig.log.lag_bytes() > 0, "nothing of it is released");
    // Several laps more: the oldest give way, and the core always finds room.
    for seq in 1_001..=30_000 {
        assert!(rig.write(seq, 0), "no room at {seq}");
        rig.durable();
    }
    let lost = rig.station.failure().map_or(0, |(_, lost)| lost);
    assert!(lost > 20_000 && lost < 30_000, "{lost}");
    assert!(rig.log.lag_bytes() >= (CAPACITY / 4) as u64, "the newest tail is still there: {}", rig.log.lag_bytes());
    assert_eq!(rig.cells.durable_seq.get(), 0);
}
