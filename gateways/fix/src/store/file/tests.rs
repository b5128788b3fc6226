use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// A path of its own that disappears with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("tercel-fix-store-{}-{number}", std::process::id())))
    }

    fn open(&self) -> Result<(FileStore, Opened), StoreError> {
        FileStore::open(&self.0, "FIX.4.4:A->B")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn id(number: u64) -> ClOrdId {
    ClOrdId::new(1, 0, number).unwrap()
}

/// As `kill -9` leaves it: nothing is flushed, nothing dropped. The file descriptor goes, and with it the lock.
fn die(store: FileStore) {
    let mut store = std::mem::ManuallyDrop::new(store);
    let path = store.path.clone();
    store.file = File::open(path).unwrap();
}

#[test]
fn what_was_appended_survives_without_a_clean_end() {
    let scratch = Scratch::new();
    let (mut store, opened) = scratch.open().unwrap();
    assert_eq!((opened, store.next_out(), store.next_in()), (Opened::default(), 1, 1));
    for number in 1..=5 {
        store.append(number, id(u64::from(number)), format!("message {number}").as_bytes()).unwrap();
    }
    store.append(6, ClOrdId::NONE, b"").unwrap();
    die(store);
    let (store, opened) = scratch.open().unwrap();
    assert_eq!((opened.records, opened.cut_len, store.next_out()), (6, 0, 7));
    let mut out = Vec::new();
    assert!(store.sent(3, &mut out) && out == b"message 3");
    assert!(store.sent(6, &mut out) && out.is_empty());
    assert!(!store.sent(7, &mut out));
    assert_eq!((store.find(id(4)), store.find(id(9))), (Some(4), None));
}

#[test]
fn a_torn_tail_is_cut_and_said_at_every_length() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open().unwrap();
    store.append(1, id(1), b"first").unwrap();
    let whole = store.end;
    store.append(2, id(2), b"second").unwrap();
    drop(store);
    let bytes = std::fs::read(&scratch.0).unwrap();
    for len in whole as usize..bytes.len() {
        std::fs::write(&scratch.0, &bytes[..len]).unwrap();
        let (mut store, opened) = scratch.open().unwrap();
        assert_eq!((opened.records, opened.cut_len), (1, len as u64 - whole), "cut at {len}");
        assert_eq!(store.find(id(2)), None, "a torn message was never sent");
        assert_eq!(store.next_out(), 2);
        store.append(2, id(3), b"again").unwrap();
        drop(store);
        assert_eq!(scratch.open().unwrap().1.records, 2);
    }
}

#[test]
fn a_flipped_bit_before_whole_records_is_refused_with_its_place() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open().unwrap();
    for number in 1..=3 {
        store.append(number, id(u64::from(number)), b"some text").unwrap();
    }
    drop(store);
    let bytes = std::fs::read(&scratch.0).unwrap();
    let record_len = RECORD_HEAD_LEN + b"some text".len();
    for at in RECORDS_AT as usize..RECORDS_AT as usize + record_len {
        let mut bad = bytes.clone();
        bad[at] ^= 4;
        std::fs::write(&scratch.0, &bad).unwrap();
        match scratch.open() {
            Err(StoreError::Damaged { offset, .. }) => assert_eq!(offset, RECORDS_AT),
            other => panic!("byte {at}: {:?}", other.map(|(_, opened)| opened)),
        }
    }
}

#[test]
fn two_processes_cannot_hold_one_session() {
    let scratch = Scratch::new();
    let first = scratch.open().unwrap();
    assert!(matches!(scratch.open(), Err(StoreError::InUse { .. })));
    drop(first);
    assert!(scratch.open().is_ok());
}

#[test]
fn the_file_of_another_session_is_refused() {
    let scratch = Scratch::new();
    drop(scratch.open().unwrap());
    let error = FileStore::open(&scratch.0, "FIX.4.4:A->C").unwrap_err();
    assert!(error.to_string().contains("FIX.4.4:A->B"), "{error}");
    std::fs::write(&scratch.0, vec![7; 9_000]).unwrap();
    assert!(matches!(scratch.open(), Err(StoreError::Foreign { .. })));
}

#[test]
fn reset_starts_at_one_and_still_knows_the_orders() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open().unwrap();
    store.append(1, id(1), b"x").unwrap();
    store.set_next_in(40);
    store.flush().unwrap();
    store.reset().unwrap();
    die(store);
    let (mut store, _) = scratch.open().unwrap();
    assert_eq!((store.next_out(), store.next_in(), store.find(id(1))), (1, 1, Some(1)));
    store.append(1, id(2), b"y").unwrap();
    let mut out = Vec::new();
    assert!(store.sent(1, &mut out) && out == b"y");
}

#[test]
fn the_inbound_number_survives_a_clean_end_and_is_older_after_a_crash() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open().unwrap();
    store.set_next_in(10);
    drop(store);
    let (mut store, _) = scratch.open().unwrap();
    assert_eq!(store.next_in(), 10);
    store.set_next_in(20);
    die(store);
    assert_eq!(scratch.open().unwrap().0.next_in(), 10, "asked again rather than lost");
}

#[test]
fn numbers_sent_past_a_full_disk_are_not_used_twice() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open().unwrap();
    store.append(1, id(1), b"x").unwrap();
    store.skip_out(3);
    die(store);
    assert_eq!(scratch.open().unwrap().0.next_out(), 3);
}

proptest! {
    /// File and memory answer alike after any sequence of calls and re-openings.
    #[test]
    fn file_matches_memory_prop(steps in prop::collection::vec((0u8..6, 1u64..30), 1..60)) {
        let scratch = Scratch::new();
        let (mut file, _) = scratch.open().unwrap();
        let mut memory = super::super::MemoryStore::new();
        for (step, value) in steps {
            match step {
                0..=2 => {
                    let number = file.next_out();
                    let text = vec![b'a'; value as usize];
                    file.append(number, id(value), &text).unwrap();
                    memory.append(number, id(value), &text).unwrap();
                }
                3 => {
                    file.set_next_in(value as u32);
                    memory.set_next_in(value as u32);
                }
                4 => {
                    file.reset().unwrap();
                    memory.reset().unwrap();
                }
                _ => {
                    drop(file);
                    file = scratch.open().unwrap().0;
                }
            }
            prop_assert_eq!((file.next_out(), file.next_in()), (memory.next_out(), memory.next_in()));
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for number in 0..20 {
                prop_assert_eq!(file.sent(number, &mut ours), memory.sent(number, &mut theirs));
                prop_assert_eq!(&ours, &theirs);
            }
            for number in 1..30 {
                prop_assert_eq!(file.find(id(number)).is_some(), memory.find(id(number)).is_some());
            }
        }
    }
}
