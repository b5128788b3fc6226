//! Writing and reading back: order, rolling, going on, locks, texts.
mod common;

use common::{Scratch, append_all, config, derived, input, read_all, stream, writer};
use tercel_event::{Frame, FrameError};
use tercel_journal::{
    Damage, FrameKey, JournalEnd, JournalError, JournalLock, JournalReader, SegmentWriter, TextStore, WriterConfig,
    refresh_crc, refresh_links, text_hash,
};

#[test]
fn frames_come_back_in_order_over_many_segments() {
    let scratch = Scratch::new();
    let frames = stream(2000);
    let mut writer = writer(&scratch.0, 20_000);
    append_all(&mut writer, &frames);
    let closed = writer.close().unwrap();
    let (read, end) = read_all(&scratch.0).unwrap();
    assert_eq!(read, frames);
    assert_eq!(end, closed);
    assert!(end.last_segment > 10 && end.torn.is_none() && end.closed, "{end:?}");
    assert_eq!(JournalEnd::find(&scratch.0).unwrap(), end, "the last segment tells the same as all of them");
    for number in 1..=end.last_segment {
        assert!(std::fs::metadata(scratch.segment(number)).unwrap().len() <= 20_000);
    }
}

#[test]
fn every_run_goes_on_in_a_new_segment_that_says_who_wrote_it() {
    let scratch = Scratch::new();
    let frames = stream(90);
    for (epoch, part) in (1..).zip(frames.chunks(frames.len() / 3)) {
        let lock = JournalLock::acquire(&scratch.0).unwrap();
        let config = WriterConfig { epoch, config_hash: 100 + u64::from(epoch), ..config(1 << 20) };
        let mut writer = SegmentWriter::open(lock, config).unwrap();
        append_all(&mut writer, part);
        writer.close().unwrap();
    }
    let mut reader = JournalReader::open(&scratch.0).unwrap();
    let mut read = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        read.push(record.frame.to_vec());
    }
    assert_eq!(read, frames);
    let told: Vec<_> = reader.segments().iter().map(|s| (s.number, s.epoch, s.config_hash, s.build_hash)).collect();
    assert_eq!(told, [(1, 1, 101, 7), (2, 2, 102, 7), (3, 3, 103, 7)]);
    assert_eq!(reader.segments()[1].first_seq, Frame::parse(&frames[frames.len() / 3]).unwrap().header.seq);
    assert_eq!(reader.end().last_epoch, 3);
}

#[test]
fn a_writer_that_writes_nothing_leaves_nothing() {
    let scratch = Scratch::new();
    writer(&scratch.0, 1 << 20).close().unwrap();
    assert_eq!(read_all(&scratch.0).unwrap(), (vec![], JournalEnd::default()));
    assert_eq!(read_all(&scratch.0.join("never made")).unwrap().0, Vec::<Vec<u8>>::new());
}

#[test]
fn frames_out_of_order_or_malformed_are_refused_and_the_writer_goes_on() {
    let scratch = Scratch::new();
    let mut writer = writer(&scratch.0, 1 << 20);
    writer.append(&input(1, 0)).unwrap();
    writer.append(&derived(1, 0)).unwrap();
    for bad in [input(1, 0), derived(1, 0)] {
        assert!(matches!(writer.append(&bad), Err(JournalError::Order { seq: 1, .. })));
    }
    assert!(matches!(writer.append(&input(2, 0)[..50]), Err(JournalError::Malformed(FrameError::Size(_)))));
    writer.append(&derived(1, 1)).unwrap();
    writer.append(&input(2, 0)).unwrap();
    assert_eq!(writer.last_key(), FrameKey { seq: 2, derived: None });
    assert_eq!(writer.synced_key(), FrameKey::default());
    writer.sync().unwrap();
    assert_eq!((writer.synced_key(), writer.records_count()), (writer.last_key(), 4));
}

#[test]
fn flushed_frames_survive_a_writer_that_is_not_closed() {
    let scratch = Scratch::new();
    let mut writer = writer(&scratch.0, 1 << 20);
    writer.append(&input(1, 0)).unwrap();
    writer.flush().unwrap();
    writer.append(&input(2, 0)).unwrap();
    drop(writer);
    let (read, end) = read_all(&scratch.0).unwrap();
    assert_eq!(read, [input(1, 0)], "what was only appended is the log's to keep");
    assert!(!end.closed);
}

#[test]
fn one_journal_has_one_writer() {
    let scratch = Scratch::new();
    let lock = JournalLock::acquire(&scratch.0).unwrap();
    assert!(matches!(JournalLock::acquire(&scratch.0), Err(JournalError::Locked { .. })));
    drop(lock);
    JournalLock::acquire(&scratch.0).unwrap();
}

#[test]
fn texts_are_kept_by_hash_and_name() {
    let scratch = Scratch::new();
    let texts = TextStore::open(&scratch.0);
    assert_eq!(texts.texts().unwrap(), []);
    let hash = texts.store("as maker.strat", b"strategy one").unwrap();
    assert_eq!(hash, text_hash(b"strategy one"));
    assert_eq!(texts.store("as maker.strat", b"strategy one").unwrap(), hash);
    texts.store("as maker.strat", b"strategy two").unwrap();
    texts.store("tercel", b"").unwrap();
    let names: Vec<_> = texts.texts().unwrap().into_iter().map(|text| text.name).collect();
    assert_eq!(names, ["as maker.strat", "as maker.strat", "tercel"]);
    assert_eq!(texts.find("as maker.strat").unwrap().as_deref(), Some(&b"strategy two"[..]), "the newest of a name");
    assert_eq!(texts.find("unknown").unwrap(), None);
    let first = &texts.texts().unwrap()[0];
    assert!(first.path.extension().is_some_and(|ext| ext == "strat"));
    std::fs::write(&first.path, b"strategy 0ne").unwrap();
    assert!(matches!(texts.read(first), Err(JournalError::Text { .. })));
}

#[test]
fn a_changed_frame_with_a_refreshed_checksum_is_given_away_by_the_record_after_it() {
    let scratch = Scratch::new();
    let mut writer = writer(&scratch.0, 1 << 20);
    append_all(&mut writer, &stream(30));
    writer.close().unwrap();
    let mut reader = JournalReader::open(&scratch.0).unwrap();
    let place = loop {
        let record = reader.next_record().unwrap().unwrap();
        if Frame::parse(record.frame).unwrap().header.seq == 10 {
            break (scratch.segment(record.segment), record.offset);
        }
    };
    let mut bytes = std::fs::read(&place.0).unwrap();
    bytes[place.1 as usize + 16 + 40] ^= 1;
    std::fs::write(&place.0, bytes).unwrap();
    assert!(matches!(read_all(&scratch.0), Err(JournalError::Frame { seq: 10, offset, .. }) if offset == place.1));
    refresh_crc(&place.0, place.1).unwrap();
    let told = read_all(&scratch.0);
    assert!(
        matches!(told, Err(JournalError::Frame { seq: 10, offset, damage: Damage::Link, .. }) if offset == place.1)
    );
    refresh_links(&place.0).unwrap();
    let (read, _) = read_all(&scratch.0).unwrap();
    assert_eq!(read.iter().zip(&stream(30)).filter(|(a, b)| a != b).count(), 1);
}
