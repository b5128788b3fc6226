use super::*;
use proptest::prelude::*;

fn slot(publish_seq: u64) -> Slot {
    Slot {
        schema: 3,
        valid: true,
        model_id: 0xABCD,
        value: -0.25,
        confidence: 0.75,
        ts_features: TimeNs(11),
        ts_published: TimeNs(12),
        publish_seq,
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("tercel-slot-{name}-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_slot_reads_back_what_was_written_and_the_latest_wins() {
    let scratch = Scratch::new("latest");
    let mut writer = SlotWriter::create(&scratch.0, 2).unwrap();
    let mut reader = SlotReader::new(&scratch.0);
    assert_eq!(reader.read(0), Err(SlotFault::Empty));
    writer.write(1, &slot(1)).unwrap();
    writer.write_all(0, &[slot(2), slot(3)]).unwrap();
    assert_eq!((reader.read(0), reader.read(1)), (Ok(slot(2)), Ok(slot(3))));
    assert!(writer.write(2, &slot(4)).is_err(), "past the last slot");
    assert_eq!(reader.read(2), Err(SlotFault::Short));
}

#[test]
fn a_truncated_removed_or_replaced_file_is_a_fault_and_never_a_signal() {
    let scratch = Scratch::new("truncated");
    let mut reader = SlotReader::new(&scratch.0);
    assert_eq!(reader.read(0), Err(SlotFault::Unreadable));
    let mut writer = SlotWriter::create(&scratch.0, 1).unwrap();
    writer.write(0, &slot(1)).unwrap();
    assert_eq!(reader.read(0), Ok(slot(1)), "the file came later");
    File::options().write(true).open(&scratch.0).unwrap().set_len(17).unwrap();
    assert_eq!(reader.read(0), Err(SlotFault::Short));
    std::fs::remove_file(&scratch.0).unwrap();
    SlotWriter::create(&scratch.0, 1).unwrap().write(0, &slot(2)).unwrap();
    assert_eq!(reader.read(0), Err(SlotFault::Short), "the old file is still held");
    assert!(reader.refresh());
    assert_eq!(reader.read(0), Ok(slot(2)));
    assert!(!reader.refresh());
}

#[test]
fn a_publisher_killed_half_way_leaves_no_value_and_its_successor_recovers() {
    let scratch = Scratch::new("killed");
    let mut writer = SlotWriter::create(&scratch.0, 1).unwrap();
    writer.write(0, &slot(1)).unwrap();
    writer.file.write_all_at(&3_u32.to_le_bytes(), 0).unwrap();
    let mut reader = SlotReader::new(&scratch.0);
    assert_eq!(reader.read(0), Err(SlotFault::Writing));
    let mut successor = SlotWriter::create(&scratch.0, 1).unwrap();
    successor.write(0, &slot(2)).unwrap();
    assert_eq!(reader.read(0), Ok(slot(2)));
}

/// The published layout, byte by byte: the sidecar is written against these numbers.
#[test]
fn the_layout_is_the_documented_one() {
    let bytes = slot(9).encode(6);
    assert_eq!(bytes[0..8], [6, 0, 0, 0, 1, 0, 3, 0]);
    assert_eq!(bytes[8..16], 0xABCD_u64.to_le_bytes());
    assert_eq!(bytes[16..24], (-0.25_f64).to_le_bytes());
    assert_eq!(bytes[24..32], 0.75_f64.to_le_bytes());
    assert_eq!(bytes[32..48], [11, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[48..60], [9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(crc32c::crc32c(b"123456789"), 0xE306_9283, "Castagnoli's check value");
}

#[test]
fn every_flipped_bit_behind_the_sequence_is_noticed() {
    let whole = slot(5).encode(2);
    for bit in 32..SLOT_LEN * 8 {
        let mut bytes = whole;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Slot::decode(&bytes), Err(SlotFault::Checksum), "bit {bit}");
    }
    let mut other = whole;
    other[4] = 2;
    let crc = crc32c::crc32c(&other[4..60]);
    other[60..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Slot::decode(&other), Err(SlotFault::Version));
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused_prop(bytes in proptest::array::uniform32(any::<[u8; 2]>())) {
        let bytes: [u8; SLOT_LEN] = core::array::from_fn(|i| bytes[i / 2][i % 2]);
        if let Ok(slot) = Slot::decode(&bytes) {
            let sequence = u32::from_le_bytes(field(&bytes, 0));
            prop_assert_eq!(&slot.encode(sequence)[..56], &bytes[..56]);
        }
    }
}
