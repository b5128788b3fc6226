//! Disk, then the log's tail: every frame once, in order, wherever the journal thread stood when the process died.
mod common;

use common::{Scratch, append_all, config, derived, input, read_all, stream, writer};
use proptest::prelude::*;
use std::path::Path;
use tercel_journal::{
    FrameKey, JournalError, JournalLock, LogTail, Recovery, RecoverySummary, SegmentWriter, WriterConfig,
};
use tercel_ring::{LogConfig, LogWriter, PowerOfTwo};

fn log_config(path: &Path, epoch: u32) -> LogConfig {
    let capacity = PowerOfTwo::new(1 << 17).unwrap();
    LogConfig { path: path.to_path_buf(), capacity, epoch, config_hash: 8, build_hash: 7 }
}

fn recover(dir: &Path, log: Option<&Path>) -> Result<(Vec<Vec<u8>>, RecoverySummary), JournalError> {
    let mut recovery = Recovery::open(dir, log)?;
    let mut frames = Vec::new();
    while let Some(frame) = recovery.next_frame()? {
        frames.push(frame.to_vec());
    }
    assert!(recovery.next_frame()?.is_none(), "the end stays the end");
    Ok((frames, recovery.summary().clone()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The journal thread has appended `journalled`, flushed `flushed` and committed `committed` of the published frames.
    #[test]
    fn every_published_frame_is_recovered_once_prop(
        count in 1..200_u64, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), torn in 0..200_usize,
    ) {
        let scratch = Scratch::new();
        let frames = stream(count);
        let (committed, flushed) = (a.index(frames.len() + 1), b.index(frames.len() + 1));
        let (committed, flushed) = (committed.min(flushed), committed.max(flushed));
        let mut journal = writer(&scratch.0, 9_000);
        let log_path = scratch.0.join("log");
        let mut log = LogWriter::create(&log_config(&log_path, 1)).unwrap();
        let mut reader = log.gating_reader("journal").unwrap();
        for (index, frame) in frames.iter().enumerate() {
            log.push(frame).unwrap();
            if index < flushed {
                journal.append(reader.peek().unwrap().unwrap()).unwrap();
            }
            reader.advance();
            if index + 1 == committed {
                journal.flush().unwrap();
                reader.commit();
            }
        }
        journal.flush().unwrap();
        drop((journal, log, reader));
        // The write that was not committed may have reached the disk in part.
        if committed < flushed && torn > 0 {
            let last = tercel_journal::JournalEnd::find(&scratch.0).unwrap();
            let path = scratch.segment(last.last_segment);
            let len = std::fs::metadata(&path).unwrap().len();
            let last_frame = frames[flushed - 1].len() as u64;
            let cut = (torn as u64).min(last_frame);
            std::fs::File::options().write(true).open(&path).unwrap().set_len(len - cut).unwrap();
        }
        let (read, summary) = recover(&scratch.0, Some(&log_path)).unwrap();
        prop_assert_eq!(&read, &frames);
        prop_assert_eq!(summary.log, LogTail::Read);
        prop_assert_eq!(summary.journal_frames + summary.log_frames, frames.len() as u64);

        // The next life takes the tail over; killed before its new log stands, the one after it finds the same.
        for epoch in 2..4 {
            let recovery = Recovery::open(&scratch.0, Some(&log_path));
            let mut recovery = recovery.unwrap();
            while recovery.next_frame().unwrap().is_some() {}
            prop_assert_eq!(recovery.summary().last_epoch, if epoch == 2 || summary.log_frames == 0 { 1 } else { 2 });
            let lock = JournalLock::acquire(&scratch.0).unwrap();
            let mut next = SegmentWriter::open(lock, WriterConfig { epoch, ..config(9_000) }).unwrap();
            let moved = recovery.move_log_tail(&mut next).unwrap();
            prop_assert_eq!(moved, if epoch == 2 { summary.log_frames } else { 0 });
            drop(next);
            prop_assert_eq!(&recover(&scratch.0, Some(&log_path)).unwrap().0, &frames);
        }
        prop_assert_eq!(&recover(&scratch.0, None).unwrap().0, &frames);
    }
}

#[test]
fn without_its_log_the_journal_is_all_there_is() {
    let scratch = Scratch::new();
    let mut journal = writer(&scratch.0, 1 << 20);
    append_all(&mut journal, &stream(10));
    journal.close().unwrap();
    let (frames, summary) = recover(&scratch.0, Some(&scratch.0.join("gone"))).unwrap();
    assert_eq!((frames, summary.log, summary.last_epoch), (stream(10), LogTail::Missing, 1));
    assert_eq!(summary.last_key, FrameKey { seq: 10, derived: None });
}

#[test]
fn a_log_that_does_not_join_the_journal_is_refused() {
    let scratch = Scratch::new();
    let mut journal = writer(&scratch.0, 1 << 20);
    append_all(&mut journal, &stream(10));
    journal.close().unwrap();
    let log_path = scratch.0.join("log");
    let mut log = LogWriter::create(&log_config(&log_path, 2)).unwrap();
    log.push(&input(12, 0)).unwrap();
    assert!(matches!(recover(&scratch.0, Some(&log_path)), Err(JournalError::Gap { journal_seq: 10, log_seq: 12 })));
}

#[test]
fn derived_frames_that_only_the_log_has_are_appended_to_their_cause() {
    let scratch = Scratch::new();
    let mut journal = writer(&scratch.0, 1 << 20);
    journal.append(&input(1, 0)).unwrap();
    journal.append(&derived(1, 0)).unwrap();
    journal.flush().unwrap();
    drop(journal);
    let log_path = scratch.0.join("log");
    let mut log = LogWriter::create(&log_config(&log_path, 1)).unwrap();
    for frame in [input(1, 0), derived(1, 0), derived(1, 1), input(2, 0)] {
        log.push(&frame).unwrap();
    }
    drop(log);
    let (frames, summary) = recover(&scratch.0, Some(&log_path)).unwrap();
    assert_eq!(frames, [input(1, 0), derived(1, 0), derived(1, 1), input(2, 0)]);
    assert_eq!((summary.log_duplicates, summary.log_frames), (2, 2));
    assert_eq!(read_all(&scratch.0).unwrap().0.len(), 2);
}
