//! The log is the truth: equal frames give equal commands, and whatever is changed in a log is found at its `seq`.
mod common;
use common::*;
use tercel_core::*;
use tercel_event::*;
use tercel_types::*;

/// A short day with everything in it.
fn day() -> Vec<u8> {
    let mut s = Script::started(make);
    let mut waiting: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    for at in 0..200u64 {
        s.now += 37 * MS;
        let mut fresh = s.bbo(BID + at as i64 % 9 * 3, ASK + at as i64 % 9 * 3);
        for command in core::mem::take(&mut waiting) {
            fresh.extend(s.answer(&command, mix64(command.cl_ord_id.0)));
        }
        if at % 11 == 0 {
            fresh.extend(s.param(1, (at % 3) as f64 * 0.001));
        }
        if at == 90 {
            s.session(SessionEvent::Disconnected);
            fresh = s.session(SessionEvent::LoggedOn);
        }
        waiting = fresh;
    }
    let counters = s.core().counters();
    assert!(counters.commands > 50 && counters.fills > 5 && counters.replaces > 5, "{counters:?}");
    assert_eq!(counters.ledger_differences, 0);
    s.end()
}

fn make() -> Core {
    core(config(2), vec![Quoter::boxed(vec![], &[]), Taker::aggressive()])
}

fn walk(log: &[u8], core: Core) -> Result<u64, Difference> {
    let mut replay = Replayer::new(core);
    let mut rest = log;
    while let Ok(frame) = Frame::parse(rest) {
        replay.replay_frame(frame)?;
        rest = &rest[Frame::padded_len(frame.header.len as usize)..];
    }
    Ok(replay.finish()?.state_hash())
}

/// (offset, frame header) of every frame.
fn index(log: &[u8]) -> Vec<(usize, FrameHeader)> {
    let (mut at, mut frames) = (0, Vec::new());
    while let Ok(frame) = Frame::parse(&log[at..]) {
        frames.push((at, frame.header));
        at += Frame::padded_len(frame.header.len as usize);
    }
    frames
}

#[test]
fn the_same_day_twice_is_the_same_log() {
    assert_eq!(day(), day());
}

#[test]
fn the_same_log_twice_is_the_same_state() {
    let log = day();
    assert_eq!(walk(&log, make()).unwrap(), walk(&log, make()).unwrap());
}

/// Flips one bit of every input in turn, of its price where it has one.
#[test]
fn a_changed_input_is_found_at_its_seq() {
    let log = day();
    for (at, header) in index(&log) {
        if header.flags & FrameFlags::DERIVED != 0 {
            continue;
        }
        let mut changed = log.clone();
        // The bid price of a best quote stands 16 bytes into the body; any other body is hit in its second byte.
        changed[at + HEADER_LEN + if header.kind == FrameKind::Bbo as u16 { 16 } else { 1 }] ^= 64;
        let difference = walk(&changed, make()).unwrap_err();
        assert_eq!(difference.seq(), header.seq, "{difference}");
    }
}

/// With one hash a second the difference is bracketed by that second.
#[test]
fn a_changed_input_is_found_within_the_second() {
    fn sparse() -> Core {
        let config = CoreConfig { hash_every_frames: 0, ..config(1) };
        core(config, vec![Quoter::boxed(vec![], &[])])
    }
    let mut s = Script::started(sparse);
    for at in 0..3 * 40 {
        s.now += 25 * MS;
        s.bbo(BID + at % 2, ASK + at % 2);
    }
    let mut log = s.end();
    let (at, header) = *index(&log).iter().filter(|(_, h)| h.kind == FrameKind::Bbo as u16).nth(50).unwrap();
    log[at + HEADER_LEN + 16] ^= 1;
    let seq = walk(&log, sparse()).unwrap_err().seq();
    assert!(seq >= header.seq && seq <= header.seq + 41, "{seq} for {}", header.seq);
}

#[test]
fn swapped_and_missing_commands_are_found_at_their_seq() {
    let log = day();
    let commands: Vec<_> = index(&log).into_iter().filter(|(_, h)| h.kind == FrameKind::Command as u16).collect();
    let pair = commands.windows(2).find(|w| w[0].1.seq == w[1].1.seq).expect("two commands of one frame");
    let len = 192;
    let mut swapped = log.clone();
    let (a, b) = (pair[0].0, pair[1].0);
    let first = log[a..a + len].to_vec();
    swapped.copy_within(b..b + len, a);
    swapped[b..b + len].copy_from_slice(&first);
    let difference = walk(&swapped, make()).unwrap_err();
    assert_eq!(difference.seq(), pair[0].1.seq, "{difference}");
    let mut cut = log.clone();
    cut.drain(a..a + len);
    assert_eq!(walk(&cut, make()).unwrap_err().seq(), pair[0].1.seq);
    let mut doubled = log.clone();
    doubled.splice(b..b, log[b..b + len].to_vec());
    assert_eq!(walk(&doubled, make()).unwrap_err().seq(), pair[0].1.seq);
}

#[test]
fn every_missing_input_is_found() {
    let log = day();
    let inputs: Vec<_> = index(&log).into_iter().filter(|(_, h)| h.flags & FrameFlags::DERIVED == 0).collect();
    for (at, header) in inputs.iter().take(inputs.len() - 1) {
        let mut cut = log.clone();
        cut.drain(*at..at + Frame::padded_len(header.len as usize));
        let difference = walk(&cut, make()).unwrap_err();
        assert!(difference.seq() >= header.seq && difference.seq() <= header.seq + 1, "{difference}");
    }
}

#[test]
fn another_strategy_does_not_reproduce_the_log() {
    let log = day();
    let other = core(config(2), vec![Taker::aggressive(), Quoter::boxed(vec![], &[])]);
    assert!(walk(&log, other).is_err());
    let mut wider = config(2);
    wider.exec.retry = DurationNs::from_millis(51);
    assert!(walk(&log, core(wider, vec![Quoter::boxed(vec![], &[]), Taker::aggressive()])).is_err());
}

/// A crash may cut the log anywhere after an input; what is resumed is what would have been.
#[test]
fn a_log_cut_at_any_frame_resumes_to_a_whole_one() {
    let log = day();
    let frames = index(&log);
    for cut in (1..frames.len()).step_by(7) {
        let mut replay = Replayer::new(make());
        let mut sink = MemoryLog::default();
        for (at, header) in &frames[..cut] {
            let bytes = &log[*at..at + header.len as usize];
            let frame = Frame::parse(bytes).unwrap();
            replay.replay_frame(frame).unwrap();
            assert!(sink.append(&frame.header, frame.body));
        }
        let mut seq = replay.resume(sink).unwrap();
        let (seq_last, ts_last) = seq.last();
        let mut batch = CommandBatch::with_capacity(8);
        let start = FrameBuf::of(sources::CORE, 1, &EpochStart { epoch: 2, restart: 1, ..Default::default() }, &[]);
        seq.feed(start.bytes(), ts_last, &mut batch).unwrap();
        assert!(seq.last().0 > seq_last);
        let whole = seq.into_parts().1;
        walk(whole.bytes(), make()).unwrap_or_else(|difference| panic!("cut at {cut}: {difference}"));
    }
}

/// Whatever bytes a frame holds, the core counts it and goes on, the same way every time.
#[test]
fn garbage_never_panics_and_replays() {
    let log = day();
    let frames = index(&log);
    let mut state = 0x1234_5678u64;
    let mut next = move |n: u64| {
        state = state.wrapping_add(1);
        mix64(state) % n
    };
    let rounds = if std::env::var_os("TERCEL_SOAK").is_some() { 20_000 } else { 200 };
    for _ in 0..rounds {
        let mut seq = Sequencer::new(make(), MemoryLog::default(), 0, TimeNs::MIN);
        let mut batch = CommandBatch::with_capacity(64);
        for (at, header) in &frames {
            if header.flags & FrameFlags::DERIVED != 0 || header.kind == FrameKind::Timer as u16 {
                continue;
            }
            let mut bytes = log[*at..at + header.len as usize].to_vec();
            for _ in 0..next(4) {
                let at = match next(3) {
                    0 => 4 + next(4) as usize,
                    _ => HEADER_LEN + next((bytes.len() - HEADER_LEN) as u64) as usize,
                };
                bytes[at] = match next(3) {
                    0 => 0xFF,
                    1 => 0,
                    _ => next(256) as u8,
                };
            }
            batch.clear();
            let _ = seq.feed(&bytes, header.ts_seq, &mut batch);
        }
        let hash = seq.core().state_hash();
        let (_, sink) = seq.into_parts();
        assert_eq!(walk(sink.bytes(), make()).unwrap(), hash);
    }
}
