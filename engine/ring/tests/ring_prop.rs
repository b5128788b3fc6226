//! Both rings against a `VecDeque`, and across two threads.
use proptest::prelude::*;
use std::collections::VecDeque;
use tercel_ring::{LINE_LEN, MAX_FRAME_LEN, PowerOfTwo, PushError, frames, spsc};

fn frame(len: usize, value: u64) -> Vec<u8> {
    let mut bytes = vec![value as u8; len];
    bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
    bytes
}

proptest! {
    /// Any mix of pushes and bounded drains gives what a queue of the same capacity gives.
    #[test]
    fn spsc_is_a_bounded_queue_prop(power in 0..5_u32, steps in prop::collection::vec((any::<bool>(), 0..20_usize), 1..400)) {
        let capacity = 1 << power;
        let (mut producer, mut consumer) = spsc::<u64>(PowerOfTwo::new(capacity).unwrap());
        let mut model = VecDeque::new();
        for (item, (push, count)) in steps.into_iter().enumerate() {
            if push {
                let item = item as u64;
                let fits = model.len() < capacity;
                prop_assert_eq!(producer.try_push(item).map_err(|full| full.0), if fits { Ok(()) } else { Err(item) });
                if fits {
                    model.push_back(item);
                }
            } else {
                // A consumer looks at the producer's index only when its cached copy is used up: it may see fewer.
                let mut drained = Vec::new();
                let taken = consumer.drain(count, |item| drained.push(*item));
                prop_assert_eq!(taken, drained.len());
                prop_assert!(taken <= count && (taken > 0 || model.is_empty() || count == 0));
                for item in drained {
                    prop_assert_eq!(Some(item), model.pop_front());
                }
            }
            prop_assert_eq!(producer.used(), model.len());
            prop_assert_eq!(consumer.used(), model.len());
        }
    }

    /// Frames of any length come out whole, in order, aligned; a refusal leaves nothing behind.
    #[test]
    fn frames_is_a_queue_of_whole_frames_prop(
        power in 8..13_u32,
        steps in prop::collection::vec((0..3_u8, 0..700_usize), 1..300),
    ) {
        let capacity = 1 << power;
        let (mut producer, mut consumer) = frames(PowerOfTwo::new(capacity).unwrap());
        let mut model = VecDeque::new();
        for (value, (action, len)) in steps.into_iter().enumerate() {
            match action {
                0 | 1 => {
                    let bytes = frame(len.max(4), value as u64);
                    let pushed = if action == 0 {
                        producer.push(&bytes)
                    } else {
                        producer.claim(len).map(|claimed| claimed.copy_from_slice(&bytes[4..])).inspect(|()| ())
                    };
                    match pushed {
                        Ok(()) => {
                            if action == 1 {
                                prop_assert_eq!(consumer.peek().is_none(), model.is_empty(), "a claim is invisible");
                                producer.publish();
                            }
                            model.push_back(bytes);
                        }
                        Err(PushError::Length) => prop_assert!(len <= 4 || len.div_ceil(LINE_LEN) * LINE_LEN > capacity / 2),
                        Err(PushError::Full) => prop_assert!(!model.is_empty(), "an empty ring takes half its capacity"),
                    }
                }
                _ => {
                    let seen = consumer.peek().map(<[u8]>::to_vec);
                    prop_assert_eq!(consumer.peek().map_or(0, |frame| frame.as_ptr() as usize % LINE_LEN), 0);
                    prop_assert_eq!(seen, model.pop_front());
                    consumer.release();
                }
            }
            let lines: usize = model.iter().map(|frame| frame.len().div_ceil(LINE_LEN) * LINE_LEN).sum();
            prop_assert!(producer.used_bytes() >= lines);
            if model.is_empty() {
                prop_assert!(consumer.peek().is_none());
            }
        }
    }
}

#[test]
fn a_frame_that_lies_about_its_length_is_refused() {
    let (mut producer, mut consumer) = frames(PowerOfTwo::new(1 << 16).unwrap());
    let mut bytes = frame(100, 1);
    bytes[0] = 99;
    assert_eq!(producer.push(&bytes), Err(PushError::Length));
    assert_eq!(producer.push(&[]), Err(PushError::Length));
    assert_eq!(producer.push(&frame(MAX_FRAME_LEN + 1, 1)), Err(PushError::Length));
    assert_eq!(producer.push(&frame(MAX_FRAME_LEN, 1)), Ok(()));
    assert_eq!(
        producer.push(&frame(MAX_FRAME_LEN, 1)),
        Err(PushError::Full),
        "its end has no room for the next header"
    );
    assert_eq!(consumer.peek().map(<[u8]>::len), Some(MAX_FRAME_LEN));
    producer.publish();
    consumer.release();
    assert!(consumer.peek().is_none(), "publishing without a claim does nothing");
}

#[test]
fn two_threads_hand_over_every_item_and_frame_in_order() {
    let count: u64 = if std::env::var_os("TERCEL_SOAK").is_some() { 50_000_000 } else { 300_000 };
    let (mut items_in, mut items_out) = spsc::<[u64; 8]>(PowerOfTwo::new(64).unwrap());
    let (mut frames_in, mut frames_out) = frames(PowerOfTwo::new(1 << 12).unwrap());
    let producing = std::thread::spawn(move || {
        let mut bytes = [0; 512];
        for value in 0..count {
            let len = 16 + (value.wrapping_mul(0x9e37_79b9) % 490) as usize;
            bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
            bytes[4..len].fill(value as u8);
            bytes[4..12].copy_from_slice(&value.to_le_bytes());
            while frames_in.push(&bytes[..len]).is_err() {
                std::thread::yield_now();
            }
            while items_in.try_push([value; 8]).is_err() {
                std::thread::yield_now();
            }
        }
    });
    let (mut next_item, mut next_frame) = (0, 0);
    while next_item < count || next_frame < count {
        let drained = items_out.drain(16, |item| {
            assert_eq!(*item, [next_item; 8]);
            next_item += 1;
        });
        if let Some(frame) = frames_out.peek() {
            assert_eq!(frame[4..12], next_frame.to_le_bytes());
            assert!(frame[12..].iter().all(|byte| *byte == next_frame as u8));
            next_frame += 1;
            frames_out.release();
        } else if drained == 0 {
            std::thread::yield_now();
        }
    }
    producing.join().unwrap();
}
