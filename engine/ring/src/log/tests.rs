use super::*;
use crate::publish::{MAX_FRAME_LEN, PushError, SKIP};
use std::fs::File;
use std::os::unix::fs::FileExt;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("tercel-log-{name}-{}", std::process::id())))
    }

    fn config(&self) -> LogConfig {
        let capacity = PowerOfTwo::new(CAPACITY_MIN).unwrap();
        LogConfig { path: self.0.clone(), capacity, epoch: 3, config_hash: 17, build_hash: 18 }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn frame(value: u64) -> Vec<u8> {
    let len = 40 + (value % 7) as usize * 100;
    let mut bytes = vec![value as u8; len];
    bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
    bytes[8..16].copy_from_slice(&value.to_le_bytes());
    bytes
}

fn recovered(path: &std::path::Path) -> Vec<Vec<u8>> {
    let mut recovery = LogRecovery::open(path).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = recovery.next_frame().unwrap() {
        frames.push(frame.to_vec());
    }
    frames
}

/// A frame written in one go takes the place of an open claim, and a late word to publish the claim publishes nothing.
#[test]
fn a_claim_that_was_overtaken_is_not_published() {
    let scratch = Scratch::new("overtaken");
    let mut writer = LogWriter::create(&scratch.config()).unwrap();
    writer.claim(200).unwrap().fill(0xEE);
    let bytes = frame(1);
    let (head, body) = bytes.split_first_chunk::<32>().unwrap();
    writer.append(head, body).unwrap();
    writer.publish();
    assert_eq!(recovered(&scratch.0), [frame(1)]);
}

#[test]
fn recovery_finds_every_whole_frame_behind_the_slowest_commit() {
    let scratch = Scratch::new("recovery");
    let mut writer = LogWriter::create(&scratch.config()).unwrap();
    let mut journal = writer.gating_reader("journal").unwrap();
    for value in 0..1000 {
        writer.push(&frame(value)).unwrap();
        assert_eq!(journal.peek().unwrap(), Some(&frame(value)[..]));
        journal.advance();
        if value % 10 == 3 {
            journal.commit();
        }
    }
    writer.claim(200).unwrap().fill(0xEE); // never published
    assert_eq!(recovered(&scratch.0), (994..1000).map(frame).collect::<Vec<_>>());
    let recovery = LogRecovery::open(&scratch.0).unwrap();
    assert_eq!((recovery.epoch(), recovery.config_hash(), recovery.build_hash()), (3, 17, 18));
}

#[test]
fn a_second_life_goes_on_at_the_tail_and_readers_where_they_stood() {
    let scratch = Scratch::new("open");
    let mut writer = LogWriter::create(&scratch.config()).unwrap();
    let mut journal = writer.gating_reader("journal").unwrap();
    (0..400).for_each(|value| {
        writer.push(&frame(value)).unwrap();
        journal.advance();
        journal.commit();
    });
    (400..410).for_each(|value| writer.push(&frame(value)).unwrap());
    assert!(matches!(LogWriter::open(&scratch.0), Err(LogError::Busy { .. })), "one writer at a time");
    assert!(matches!(LogWriter::create(&scratch.config()), Err(LogError::Busy { .. })));
    drop((writer, journal));
    let mut writer = LogWriter::open(&scratch.0).unwrap();
    let mut journal = writer.gating_reader("journal").unwrap();
    writer.push(&frame(410)).unwrap();
    for value in 400..411 {
        assert_eq!(journal.peek().unwrap(), Some(&frame(value)[..]));
        journal.advance();
    }
    assert_eq!(journal.peek().unwrap(), None);
    assert_eq!((writer.epoch(), writer.config_hash(), journal.lag_bytes()), (3, 17, 0));
}

#[test]
fn the_slowest_reader_holds_the_writer_back_and_the_lag_is_told() {
    let scratch = Scratch::new("gating");
    let mut config = scratch.config();
    config.capacity = PowerOfTwo::new(1 << 20).unwrap();
    let mut writer = LogWriter::create(&config).unwrap();
    let (mut fast, mut slow) = (writer.gating_reader("fast").unwrap(), writer.gating_reader("slow").unwrap());
    let mut steps = vec![writer.lag_step()];
    let mut written = 0;
    while writer.push(&frame(written)) != Err(PushError::Full) {
        written += 1;
        fast.advance();
        fast.commit();
        if writer.lag_step() != steps[steps.len() - 1] {
            steps.push(writer.lag_step());
        }
    }
    assert_eq!(steps, [LagStep::Normal, LagStep::Half, LagStep::ThreeQuarters, LagStep::Full]);
    for value in 0..written {
        assert_eq!(slow.peek().unwrap(), Some(&frame(value)[..]), "nothing was overwritten");
        slow.advance();
    }
    assert_eq!(writer.push(&frame(written)), Err(PushError::Full), "advanced is not committed");
    writer.detach(slow);
    assert_eq!(writer.push(&frame(written)), Ok(()), "a detached reader holds nothing back");
    assert_eq!(fast.peek().unwrap(), Some(&frame(written)[..]));
}

#[test]
fn a_lapped_reader_copies_whole_frames_and_knows_what_it_lost() {
    let scratch = Scratch::new("lapped");
    let mut writer = LogWriter::create(&scratch.config()).unwrap();
    writer.push(&frame(0)).unwrap();
    let mut reader = LappedReader::open(&scratch.0).unwrap();
    assert_eq!(reader.read(), Ok(Sighting::Empty), "it starts behind the newest frame");
    writer.push(&frame(1)).unwrap();
    assert_eq!(reader.read(), Ok(Sighting::Frame(&frame(1))));
    let before = writer.position();
    (2..2000).for_each(|value| writer.push(&frame(value)).unwrap());
    assert_eq!(reader.read(), Ok(Sighting::Lapped { lost_bytes: writer.position() - before }));
    assert_eq!(reader.read(), Ok(Sighting::Empty));
    writer.push(&frame(2000)).unwrap();
    assert_eq!(reader.read(), Ok(Sighting::Frame(&frame(2000))));
    assert_eq!(reader.lapped_count(), 1);
}

/// Short bursts, which the reader follows, and bursts of many laps, in which it is passed in the middle of a copy.
#[test]
fn a_lapped_reader_on_another_thread_never_sees_a_mixed_frame() {
    let scratch = Scratch::new("mixed");
    let mut writer = LogWriter::create(&scratch.config()).unwrap();
    let mut reader = LappedReader::open(&scratch.0).unwrap();
    let (done, seen, lapped) = (crate::Flag::new(), crate::Gauge::new(), crate::Gauge::new());
    let (stop, seen_cell, lapped_cell) = (done.clone(), seen.clone(), lapped.clone());
    let reading = std::thread::spawn(move || {
        let mut last = None;
        while !stop.is_raised() {
            match reader.read().unwrap() {
                Sighting::Frame(bytes) => {
                    let value = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
                    assert_eq!(bytes, frame(value));
                    assert!(last < Some(value));
                    last = Some(value);
                    seen_cell.set(seen_cell.get() + 1);
                }
                Sighting::Empty => std::thread::yield_now(),
                Sighting::Lapped { .. } => lapped_cell.set(reader.lapped_count()),
            }
        }
    });
    let mut values = 0..;
    for round in 0..400 {
        let before = seen.get() + lapped.get();
        let burst = if round % 20 == 19 { 100_000 } else { [5, 2000][round % 2] };
        values.by_ref().take(burst).for_each(|value| writer.push(&frame(value)).unwrap());
        while seen.get() + lapped.get() == before && !reading.is_finished() {
            std::thread::yield_now();
        }
    }
    done.raise();
    reading.join().unwrap();
    println!("{} frames seen, lapped {} times", seen.get(), lapped.get());
    assert!(seen.get() > 0 && lapped.get() > 0);
}

#[test]
fn damage_is_named_by_position_and_never_read_past() {
    let scratch = Scratch::new("damage");
    let mut writer = LogWriter::create(&scratch.config()).unwrap();
    let mut reader = writer.gating_reader("journal").unwrap();
    (0..4).for_each(|_| writer.push(&frame(0)).unwrap());
    for len in [1, 4, MAX_FRAME_LEN as u32 + 1, SKIP - 1] {
        writer.plant_len(64, len);
        drop(reader);
        reader = writer.gating_reader("journal").unwrap(); // stands at its committed cursor again
        reader.advance();
        assert_eq!(reader.peek(), Err(LogFault { position: 64, len }));
        let mut recovery = LogRecovery::open(&scratch.0).unwrap();
        assert!(recovery.next_frame().unwrap().is_some());
        assert!(matches!(recovery.next_frame(), Err(LogError::Damaged { .. })), "length {len}");
    }
    drop((reader, writer));
    assert!(matches!(LogWriter::open(&scratch.0), Err(LogError::Damaged { .. })));
}

#[test]
fn what_is_no_log_is_refused() {
    let scratch = Scratch::new("format");
    assert!(matches!(LogRecovery::open(&scratch.0), Err(LogError::Io { .. })));
    std::fs::write(&scratch.0, b"short").unwrap();
    assert!(matches!(LogRecovery::open(&scratch.0), Err(LogError::Format { .. })));
    drop(LogWriter::create(&scratch.config()).unwrap());
    let file = File::options().write(true).open(&scratch.0).unwrap();
    file.write_all_at(&[2], 8).unwrap();
    assert!(matches!(LogRecovery::open(&scratch.0), Err(LogError::Format { why: "another format version", .. })));
    file.write_all_at(&[1], 8).unwrap();
    file.write_all_at(&[9], 24).unwrap();
    assert!(matches!(LogWriter::open(&scratch.0), Err(LogError::Format { .. })), "the epoch is under the checksum");
    file.write_all_at(&[3], 24).unwrap();
    file.write_all_at(&[1], 512).unwrap();
    assert!(matches!(LogRecovery::open(&scratch.0), Err(LogError::Format { .. })), "a cursor between two lines");
    file.set_len(5000).unwrap();
    assert!(matches!(LogRecovery::open(&scratch.0), Err(LogError::Format { .. })), "cut");
    let small = LogConfig { capacity: PowerOfTwo::new(4096).unwrap(), ..scratch.config() };
    assert!(matches!(LogWriter::create(&small), Err(LogError::Capacity { seen: 4096 })));
}

#[test]
fn reader_names_and_slots_are_bounded() {
    let scratch = Scratch::new("names");
    let mut writer = LogWriter::create(&scratch.config()).unwrap();
    assert!(matches!(writer.gating_reader(""), Err(LogError::Name { .. })));
    assert!(matches!(writer.gating_reader("a name of 17 byte"), Err(LogError::Name { .. })));
    let readers: Vec<_> = (0..READERS_MAX).map(|i| writer.gating_reader(&format!("r{i}")).unwrap()).collect();
    assert!(matches!(writer.gating_reader("one more"), Err(LogError::Readers)));
    drop(readers);
}

/// Without a gating reader the log is recoverable from its start, until it has lapped.
#[test]
fn a_log_without_readers_is_recovered_from_its_first_frame() {
    let scratch = Scratch::new("readerless");
    let mut writer = LogWriter::create(&scratch.config()).unwrap();
    assert_eq!(recovered(&scratch.0), Vec::<Vec<u8>>::new());
    (0..20).for_each(|value| writer.push(&frame(value)).unwrap());
    assert_eq!(recovered(&scratch.0), (0..20).map(frame).collect::<Vec<_>>());
    (20..900).for_each(|value| writer.push(&frame(value)).unwrap());
    assert!(matches!(LogRecovery::open(&scratch.0), Err(LogError::NoCursor { .. })));
}

#[test]
fn what_the_memory_is_like_is_reported() {
    let scratch = Scratch(PathBuf::from(format!("/dev/shm/tercel-log-residency-{}", std::process::id())));
    let Ok(writer) = LogWriter::create(&scratch.config()) else {
        println!("skipped: /dev/shm is not writable here");
        return;
    };
    println!("{:?}", writer.residency());
    assert!(writer.residency().in_memory && writer.residency().prefaulted);
}
