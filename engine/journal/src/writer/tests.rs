use super::*;
use crate::reader::JournalReader;
use tercel_event::{FrameBuf, Trade};
use tercel_types::{SourceId, TimeNs};

fn frame(seq: u64) -> Vec<u8> {
    let mut buf = FrameBuf::of(SourceId(3), seq, &Trade::default(), &[]);
    buf.stamp(seq, TimeNs(0));
    buf.bytes().to_vec()
}

/// A journal of one synced frame whose file then becomes `file`.
fn journal(name: &str, file: &str) -> (PathBuf, SegmentWriter) {
    let dir = std::env::temp_dir().join(format!("tercel-writer-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let config = WriterConfig { build_hash: 0, config_hash: 0, epoch: 1, segment_len_max: 1 << 20 };
    let mut writer = SegmentWriter::open(JournalLock::acquire(&dir).unwrap(), config).unwrap();
    writer.append(&frame(1)).unwrap();
    writer.sync().unwrap();
    writer.replace_file(OpenOptions::new().write(true).open(file).unwrap());
    (dir, writer)
}

fn is_final(writer: &mut SegmentWriter) {
    assert!(writer.has_failed());
    assert!(matches!(writer.append(&frame(9)), Err(JournalError::Failed)));
    assert!(matches!(writer.flush(), Err(JournalError::Failed)));
    assert!(matches!(writer.sync(), Err(JournalError::Failed)), "a failed sync is never retried");
    assert_eq!(writer.synced_key().seq, 1, "only what the disk has is claimed");
}

fn holds_one_frame(dir: &Path) {
    let mut reader = JournalReader::open(dir).unwrap();
    assert_eq!(reader.next_record().unwrap().map(|record| record.frame.to_vec()), Some(frame(1)));
    assert!(reader.next_record().unwrap().is_none());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_full_disk_is_final() {
    let (dir, mut writer) = journal("full", "/dev/full");
    writer.append(&frame(2)).unwrap();
    match writer.flush() {
        Err(error @ JournalError::Io { action: "write", .. }) => assert!(error.is_storage()),
        other => panic!("{other:?}"),
    }
    is_final(&mut writer);
    assert!(writer.close().is_err());
    holds_one_frame(&dir);
}

#[test]
fn a_failed_fsync_is_final() {
    let (dir, mut writer) = journal("fsync", "/dev/null"); // takes every write, refuses fdatasync
    writer.append(&frame(2)).unwrap();
    assert!(matches!(writer.sync(), Err(JournalError::Io { action: "sync", .. })));
    is_final(&mut writer);
    holds_one_frame(&dir);
}

/// A segment that cannot be made (here, because its name is taken by a folder) stops the journal like a full disk.
#[test]
fn a_segment_that_cannot_be_made_is_final() {
    let (dir, mut writer) = journal("roll", "/dev/null");
    writer.segment = None;
    std::fs::create_dir_all(dir.join("00000002.seg").join("inside")).unwrap();
    assert!(matches!(writer.append(&frame(2)), Err(JournalError::Io { action: "name", .. })));
    is_final(&mut writer);
    std::fs::remove_dir_all(dir).unwrap();
}
