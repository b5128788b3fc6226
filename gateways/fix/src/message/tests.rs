use super::*;
use crate::framing::MAX_MESSAGE_LEN;
use crate::tag;
use crate::writer::Writer;
use proptest::collection::vec;
use proptest::prelude::*;

/// Frames fields as a message; values may be any bytes without SOH.
fn message_of(fields: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(MAX_MESSAGE_LEN);
    writer.begin();
    writer.text::<{ tag::MSG_TYPE }>(b"D");
    fields.iter().for_each(|(tag, value)| writer.field(*tag, value));
    writer.finish(b"8=FIX.4.4\x019=").expect("the message fits").to_vec()
}

fn plain_tag() -> impl Strategy<Value = u32> {
    (11u32..5_000).prop_filter("no data field", |tag| *tag != 35 && data_field_of(*tag) == 0)
}

fn fields() -> impl Strategy<Value = Vec<(u32, Vec<u8>)>> {
    vec((plain_tag(), vec((0u8..=255).prop_filter("no SOH", |b| *b != SOH), 0..40)), 0..30)
}

proptest! {
    /// What is written is read back: every field, in order, byte for byte.
    #[test]
    fn fields_round_trip_prop(fields in fields()) {
        let bytes = message_of(&fields);
        let mut index = Index::default();
        let message = index.parse(&bytes).unwrap();
        prop_assert_eq!(message.begin_string(), b"FIX.4.4");
        let read: Vec<_> = message.fields_from(1).map(|(tag, value)| (tag, value.to_vec())).collect();
        prop_assert_eq!(&read, &fields);
        for (tag, _) in &fields {
            prop_assert_eq!(message.get(*tag), fields.iter().find(|(t, _)| t == tag).map(|(_, v)| v.as_slice()));
        }
        prop_assert_eq!(message.empty_field(), fields.iter().find(|(_, v)| v.is_empty()).map(|(t, _)| *t));
    }

    /// A prefix is never a message and never garbled: it waits.
    #[test]
    fn every_prefix_is_partial_prop(fields in fields()) {
        let bytes = message_of(&fields);
        for len in 0..bytes.len() {
            prop_assert_eq!(scan(&bytes[..len]), Scan::Partial, "at {}", len);
        }
    }

    /// One changed byte is found, unless it changed neither the sum nor the frame.
    #[test]
    fn a_changed_byte_is_refused_prop(fields in fields(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let good = message_of(&fields);
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        prop_assert!(Index::default().parse(&bytes).is_err());
    }

    /// Any bytes at all: no panic, and progress, so that a reader can never hang.
    #[test]
    fn any_bytes_are_survived_prop(bytes in vec(any::<u8>(), 0..400)) {
        let mut at = 0;
        let mut index = Index::with_capacity(16);
        while at < bytes.len() {
            match scan(&bytes[at..]) {
                Scan::Message(extent) => {
                    let _ = index.parse_extent(&bytes[at..], extent);
                    at += extent.len;
                }
                Scan::Partial => break,
                Scan::Garbage { skip } | Scan::Garbled { skip, .. } => {
                    prop_assert!(skip > 0);
                    at += skip;
                }
            }
        }
        prop_assert!(at <= bytes.len());
    }
}

#[test]
fn data_fields_may_hold_soh_and_must_be_as_long_as_stated() {
    let frame = |body: &[u8]| {
        let mut message = format!("8=FIX.4.4\x019={}\x01", body.len()).into_bytes();
        message.extend_from_slice(body);
        let sum = checksum(&message);
        message.extend_from_slice(format!("10={sum:03}\x01").as_bytes());
        message
    };
    let mut index = Index::default();
    let good = frame(b"35=B\x0195=9\x0196=a\x018=FIX\x01z\x0158=t\x01");
    let message = index.parse(&good).unwrap();
    assert_eq!(message.get(96), Some(&b"a\x018=FIX\x01z"[..]));
    assert_eq!(message.get(58), Some(&b"t"[..]));
    for bad in [
        &b"35=B\x0195=9\x0158=t\x01"[..],
        b"35=B\x0195=2\x0196=abc\x01",
        b"35=B\x0195=99999\x0196=abc\x01",
        b"35=B\x0195=x\x0196=abc\x01",
        b"35=B\x0195=3\x01",
    ] {
        assert_eq!(index.parse(&frame(bad)).err(), Some(Garbled::Data), "{}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn each_fault_has_its_name() {
    let mut index = Index::with_capacity(4);
    let mut fault = |body: &str| {
        let body = body.replace('|', "\u{1}");
        let mut message = format!("8=FIX.4.4\u{1}9={}\u{1}{body}", body.len()).into_bytes();
        let sum = checksum(&message);
        message.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
        index.parse(&message).err()
    };
    assert_eq!(fault("35=0|112=x|"), None);
    assert_eq!(fault("34=1|35=0|"), Some(Garbled::Order));
    assert_eq!(fault("35=0|abc=1|"), Some(Garbled::Tag));
    assert_eq!(fault("35=0|=1|"), Some(Garbled::Tag));
    assert_eq!(fault("35=0|058=1|"), Some(Garbled::Tag));
    assert_eq!(fault("35=0|123456789=1|"), Some(Garbled::Tag));
    assert_eq!(fault("35=0|58|"), Some(Garbled::Tag));
    assert_eq!(fault("35=0|1=a|2=b|3=c|4=d|"), Some(Garbled::TooManyFields));
    let too_long = format!("8=FIX.4.4\u{1}9={MAX_MESSAGE_LEN}\u{1}35=0\u{1}");
    assert!(matches!(scan(too_long.as_bytes()), Scan::Garbled { why: Garbled::TooLong, .. }));
}

/// The tags of two and three digits are read as those of any length, whatever stands in their place.
#[test]
fn short_tags_are_read_as_long_ones() {
    let some: Vec<u8> = b"0123456789=./:;?@A\x00\x01\x0a\x7f\x80\xb0\xbd\xfa\xff".to_vec();
    for (first, second) in some.iter().flat_map(|a| some.iter().map(move |b| (*a, *b))) {
        for (third, fourth) in some.iter().flat_map(|a| some.iter().map(move |b| (*a, *b))) {
            let word = u64::from_le_bytes([first, second, third, fourth, b'=', b'x', 1, b'5']);
            assert_eq!(read_tag(word), read_rare_tag(word), "{word:#x}");
        }
    }
}

#[test]
fn the_next_message_is_found_behind_garbage() {
    let good = message_of(&[(58, b"x".to_vec())]);
    for garbage in [&b"noise"[..], b"8=FAX", b"8=FIX.4.4\x01x", b"\x01\x01", b"58=FIX is a text\x01"] {
        let mut bytes = garbage.to_vec();
        bytes.extend_from_slice(&good);
        let mut at = 0;
        let found = loop {
            match scan(&bytes[at..]) {
                Scan::Garbage { skip } | Scan::Garbled { skip, .. } => at += skip,
                other => break other,
            }
        };
        assert!(matches!(found, Scan::Message(extent) if extent.len == good.len()), "{garbage:?} {found:?}");
        assert_eq!(at, garbage.len());
    }
}

#[test]
fn a_message_that_does_not_fit_is_refused_not_cut() {
    let mut writer = Writer::with_capacity(64);
    writer.begin();
    writer.text::<{ tag::TEXT }>(&[b'x'; 61]);
    assert!(writer.finish(b"8=FIX.4.4\x019=").is_none());
    writer.begin();
    writer.text::<{ tag::TEXT }>(&[b'x'; 50]);
    assert!(writer.finish(b"8=FIX.4.4\x019=").is_some(), "the writer is usable after a refusal");
    writer.begin();
    (0..40).for_each(|_| writer.char::<{ tag::SIDE }>(b'1'));
    assert!(writer.finish(b"8=FIX.4.4\x019=").is_none());
}

/// Seeded mutations of real messages, many of them: TERCEL_SOAK=1 runs 10 million.
#[test]
fn mutated_messages_never_panic_fuzz() {
    let rounds = if std::env::var_os("TERCEL_SOAK").is_some() { 10_000_000 } else { 100_000 };
    let seeds = [
        message_of(&[(34, b"7".to_vec()), (49, b"A".to_vec()), (56, b"B".to_vec()), (58, b"hello".to_vec())]),
        message_of(&[(95, b"3".to_vec()), (96, b"a\x01b".to_vec()), (150, b"F".to_vec())]),
        b"8=FIX.4.4\x019=5\x0135=0\x0110=163\x01".to_vec(),
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let mut index = Index::default();
    let (mut whole, mut buf) = (0u32, Vec::new());
    for round in 0..rounds {
        buf.clear();
        buf.extend_from_slice(&seeds[round % seeds.len()]);
        for _ in 0..next(4) {
            let at = next(buf.len());
            match next(4) {
                0 => buf[at] = next(256) as u8,
                1 => buf.insert(at, b"0189=.\x01F"[next(8)]),
                2 if buf.len() > 1 => drop(buf.remove(at)),
                _ => buf.truncate(at.max(1)),
            }
        }
        if let Scan::Message(extent) = scan(&buf)
            && let Ok(message) = index.parse_extent(&buf, extent)
        {
            whole += 1;
            let header = message.header();
            let _ = (message.get(58), header.msg_seq_num, message.empty_field(), message.fields().count());
        }
    }
    assert!(whole > 0, "some are left whole");
}
