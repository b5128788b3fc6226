//! Torn tails are cut, damage is refused, and the two are not mistaken for each other.
mod common;

use common::{Scratch, append_all, input, read_all, stream, writer};
use proptest::prelude::*;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use tercel_event::Frame;
use tercel_journal::{Damage, JournalEnd, JournalError, JournalReader};

fn flip(path: &std::path::Path, offset: u64, bit: u8) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], offset).unwrap();
}

/// Where each record starts, with the `seq` of its frame.
fn places(scratch: &Scratch) -> Vec<(u64, u64, u64)> {
    let mut reader = JournalReader::open(&scratch.0).unwrap();
    let mut places = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        places.push((record.segment, record.offset, Frame::parse(record.frame).unwrap().header.seq));
    }
    places
}

#[test]
fn a_tail_cut_at_any_byte_is_a_prefix_and_the_writer_goes_on_behind_it() {
    let frames = stream(12);
    let scratch = Scratch::new();
    let mut whole = writer(&scratch.0, 1 << 20);
    append_all(&mut whole, &frames);
    whole.flush().unwrap();
    drop(whole);
    let bytes = std::fs::read(scratch.segment(1)).unwrap();
    for cut in (128..bytes.len()).rev() {
        std::fs::write(scratch.segment(1), &bytes[..cut]).unwrap();
        let (read, end) = read_all(&scratch.0).unwrap();
        assert_eq!(read, frames[..read.len()], "cut at {cut}");
        if let Some(torn) = &end.torn {
            assert_eq!(torn.offset + torn.torn_len, cut as u64);
            assert_eq!(torn.last_key, end.last_key);
        }
        if cut % 97 == 0 {
            let mut next = writer(&scratch.0, 1 << 20);
            append_all(&mut next, &frames[read.len()..]);
            next.close().unwrap();
            let (read, end) = read_all(&scratch.0).unwrap();
            assert_eq!((read, end.torn), (frames.clone(), None), "cut at {cut}, then written on");
            if end.last_segment == 2 {
                std::fs::remove_file(scratch.segment(2)).unwrap();
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_closed_journal_is_refused_with_its_place() {
    let scratch = Scratch::new();
    let mut whole = writer(&scratch.0, 4_000);
    append_all(&mut whole, &stream(24));
    whole.close().unwrap();
    let places = places(&scratch);
    let last = JournalEnd::find(&scratch.0).unwrap().last_segment;
    assert!(last > 1);
    for segment in 1..=last {
        let path = scratch.segment(segment);
        let own: Vec<_> = places.iter().filter(|place| place.0 == segment).collect();
        let len = own.last().map(|place| place.1).unwrap() + 16;
        for offset in 128..len {
            flip(&path, offset, (offset % 8) as u8);
            let (_, start, seq) = own.iter().rev().find(|place| place.1 <= offset).unwrap();
            match read_all(&scratch.0) {
                Err(JournalError::Frame { path: named, offset: at, seq: named_seq, .. }) => {
                    assert_eq!((named, at), (path.clone(), *start), "byte {offset}");
                    assert!(named_seq == *seq || offset < start + 40, "byte {offset}: seq {named_seq}, not {seq}");
                }
                // Padding is under no checksum; it means nothing.
                Ok((read, _)) => assert_eq!(read, stream(24), "byte {offset}"),
                other => panic!("byte {offset} of segment {segment}: {other:?}"),
            }
            flip(&path, offset, (offset % 8) as u8);
        }
    }
}

#[test]
fn a_bad_frame_in_the_middle_of_an_unsynced_segment_is_damage_not_a_tear() {
    let scratch = Scratch::new();
    let mut open = writer(&scratch.0, 1 << 20);
    append_all(&mut open, &stream(30));
    open.flush().unwrap();
    drop(open);
    let places = places(&scratch);
    flip(&scratch.segment(1), places[20].1 + 60, 3);
    match read_all(&scratch.0) {
        Err(JournalError::Frame { offset, seq, damage, .. }) => {
            assert_eq!((offset, seq, damage), (places[20].1, places[20].2, Damage::Checksum));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bad_last_frame_is_damage_once_a_mark_says_that_it_was_synced() {
    for synced in [false, true] {
        let scratch = Scratch::new();
        let mut open = writer(&scratch.0, 1 << 20);
        append_all(&mut open, &stream(30));
        if synced {
            open.sync().unwrap();
        }
        open.append(&input(31, 0)).unwrap();
        open.flush().unwrap();
        drop(open);
        let places = places(&scratch);
        let (before, last) = (places[places.len() - 2], places[places.len() - 1]);
        // The frame of seq 31 is cut away; the one before it is bad.
        File::options().write(true).open(scratch.segment(1)).unwrap().set_len(last.1 + 20).unwrap();
        flip(&scratch.segment(1), before.1 + 50, 0);
        match read_all(&scratch.0) {
            Err(JournalError::Frame { offset, .. }) => assert!(synced && offset == before.1),
            Ok((_, end)) => assert!(!synced && end.torn.unwrap().offset == before.1),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn damage_before_the_last_segment_is_never_a_tear() {
    let scratch = Scratch::new();
    let mut whole = writer(&scratch.0, 4_000);
    append_all(&mut whole, &stream(40));
    whole.close().unwrap();
    let first = std::fs::read(scratch.segment(1)).unwrap();
    std::fs::write(scratch.segment(1), &first[..first.len() - 60]).unwrap();
    assert!(matches!(read_all(&scratch.0), Err(JournalError::Frame { damage: Damage::Truncated, .. })));
    let records = places_of_first(&first);
    std::fs::write(scratch.segment(1), &first[..records[records.len() - 1]]).unwrap();
    assert!(matches!(read_all(&scratch.0), Err(JournalError::Segment { .. })), "a whole record is missing");
    std::fs::write(scratch.segment(1), &first).unwrap();
    std::fs::rename(scratch.segment(2), scratch.0.join("kept")).unwrap();
    assert!(matches!(read_all(&scratch.0), Err(JournalError::Segment { why: "it is missing, later ones exist", .. })));
}

/// Offsets of the frame records of a segment.
fn places_of_first(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut places) = (128, Vec::new());
    while at + 16 <= bytes.len() {
        let len = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        if len > 16 {
            places.push(at);
        }
        at += 16 + len.next_multiple_of(8);
    }
    places
}

#[test]
fn swapped_records_and_foreign_segments_are_refused() {
    let scratch = Scratch::new();
    let mut whole = writer(&scratch.0, 1 << 20);
    (1..=9).for_each(|seq| whole.append(&input(seq, 0)).unwrap());
    whole.close().unwrap();
    let places = places(&scratch);
    let mut bytes = std::fs::read(scratch.segment(1)).unwrap();
    let (a, b, len) = (places[3].1 as usize, places[4].1 as usize, (places[4].1 - places[3].1) as usize);
    let (left, right) = bytes.split_at_mut(b);
    left[a..a + len].swap_with_slice(&mut right[..len]);
    std::fs::write(scratch.segment(1), &bytes).unwrap();
    assert!(matches!(read_all(&scratch.0), Err(JournalError::Frame { damage: Damage::Number, .. })));
    std::fs::rename(scratch.segment(1), scratch.segment(2)).unwrap();
    assert!(matches!(read_all(&scratch.0), Err(JournalError::Segment { .. })));
    std::fs::copy(scratch.segment(2), scratch.segment(1)).unwrap();
    assert!(read_all(&scratch.0).is_err());
    std::fs::remove_file(scratch.segment(2)).unwrap();
    flip(&scratch.segment(1), 8, 1);
    assert!(matches!(read_all(&scratch.0), Err(JournalError::Version { found: 3, .. })));
    flip(&scratch.segment(1), 8, 1);
    flip(&scratch.segment(1), 40, 1);
    assert!(matches!(
        read_all(&scratch.0),
        Err(JournalError::Segment { why: "the checksum of its header is wrong", .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("TERCEL_SOAK").is_some() { 100_000 } else { 250 }))]

    /// A power cut: whatever was written after the last sync may be cut short, and any of its sectors may be missing. What
    /// recovery finds is a prefix of what was written, with everything that was synced; nothing is invented.
    #[test]
    fn a_crash_image_recovers_to_a_prefix_with_everything_synced_prop(
        count in 3..60_u64,
        sync_after in prop::collection::vec(0..60_u64, 0..4),
        cut in any::<prop::sample::Index>(),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        sector_len in prop::sample::select(vec![512_u64, 4096]),
    ) {
        let scratch = Scratch::new();
        let frames = stream(count);
        let mut open = writer(&scratch.0, 1 << 20);
        let (mut synced_frames, mut synced_len) = (0, 128);
        for (index, frame) in frames.iter().enumerate() {
            open.append(frame).unwrap();
            if sync_after.contains(&(index as u64)) {
                open.sync().unwrap();
                synced_frames = index + 1;
                synced_len = std::fs::metadata(scratch.segment(1)).unwrap().len();
            }
        }
        open.flush().unwrap();
        drop(open);
        let mut bytes = std::fs::read(scratch.segment(1)).unwrap();
        let unsynced = bytes.len() as u64 - synced_len;
        bytes.truncate((synced_len + cut.index(unsynced as usize + 1) as u64) as usize);
        for index in lost {
            // A sector that holds synced bytes was rewritten with them: only what lies behind them can be missing.
            let sectors = (bytes.len() as u64 - synced_len).div_ceil(sector_len) as usize;
            if sectors > 0 {
                let start = (synced_len / sector_len + index.index(sectors) as u64) * sector_len;
                let end = ((start + sector_len) as usize).min(bytes.len());
                bytes[start.max(synced_len) as usize..end].fill(0);
            }
        }
        std::fs::write(scratch.segment(1), &bytes).unwrap();
        let (read, _) = read_all(&scratch.0).unwrap();
        prop_assert!(read.len() >= synced_frames, "{} of {synced_frames} synced frames", read.len());
        prop_assert_eq!(&read[..], &frames[..read.len()]);
    }

    /// Any bytes in place of a segment's records end in an error or a prefix, never in a panic.
    #[test]
    fn garbage_never_panics_prop(garbage in prop::collection::vec(any::<u8>(), 0..2000), at in 128..4000_usize) {
        let scratch = Scratch::new();
        let mut whole = writer(&scratch.0, 1 << 20);
        append_all(&mut whole, &stream(20));
        whole.close().unwrap();
        let mut bytes = std::fs::read(scratch.segment(1)).unwrap();
        let at = at.min(bytes.len());
        bytes.truncate(at);
        bytes.extend_from_slice(&garbage);
        std::fs::write(scratch.segment(1), &bytes).unwrap();
        if let Ok((read, _)) = read_all(&scratch.0) {
            prop_assert_eq!(&read[..], &stream(20)[..read.len()]);
        }
    }
}
