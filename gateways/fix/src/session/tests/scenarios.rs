use super::*;

#[test]
fn logon_is_answered_and_announced_once_on_both_sides() {
    let pair = Pair::logged_on();
    for peer in [&pair.engine, &pair.venue] {
        assert_eq!(peer.app.events, [SessionEvent::Connected, SessionEvent::LoggedOn]);
        assert_eq!((peer.session.link().next_in(), peer.session.link().next_out()), (2, 2));
    }
    assert_eq!(pair.venue.wrote("A").len(), 1);
    assert!(pair.venue.wrote("A")[0].contains("|98=0|108=30|"));
}

#[test]
fn a_stranger_is_cut_off_without_a_word_and_cannot_reset_the_numbers() {
    for (sender, target, body) in [
        ("STRANGER", "VENUE", "98=0|108=30|141=Y|"),
        ("TERCEL", "OTHER", "98=0|108=30|141=Y|"),
        ("TERCEL", "VENUE", "98=0|141=Y|"),
        ("TERCEL", "VENUE", "98=0|108=x|141=Y|"),
        ("TERCEL", "VENUE", "98=1|108=30|141=Y|"),
    ] {
        let mut pair = Pair::logged_on();
        pair.disconnect();
        let before = pair.venue.session.link().next_in();
        pair.venue.pipe = Pipe::default();
        pair.venue.session.on_connected(pair.now, &mut pair.venue.pipe, &mut pair.venue.app);
        let stamp = String::from_utf8(crate::StampCache::default().render(pair.now.wall).to_vec()).unwrap();
        let logon = raw(&format!("35=A|34=1|49={sender}|56={target}|52={stamp}|{body}"));
        pair.venue.receive(&logon, pair.now);
        assert!(pair.venue.pipe.closed && pair.venue.pipe.log.is_empty(), "{sender} {target} {body}");
        assert_eq!(pair.venue.session.link().next_in(), before);
    }
}

#[test]
fn wrong_credentials_end_silently_and_right_ones_are_never_shown() {
    let credentials = |password: &str| Some(Credentials { username: "u".into(), password: password.into() });
    for (password, accepted) in [("secret-7", true), ("other", false)] {
        let mut pair = Pair::with(
            SessionConfig { credentials: credentials(password), ..SessionConfig::initiator("TERCEL", "VENUE") },
            SessionConfig { credentials: credentials("secret-7"), ..SessionConfig::acceptor("VENUE", "TERCEL") },
        );
        pair.connect();
        assert_eq!(pair.engine.session.link().is_logged_on(), accepted);
        assert!(!format!("{:?}", pair.engine.session.link().config()).contains(password));
        let mut kept = Vec::new();
        assert!(
            pair.engine.session.link().store().sent(1, &mut kept) && kept.is_empty(),
            "the Logon's text is not kept"
        );
    }
}

#[test]
fn messages_arrive_in_order_whatever_the_reads() {
    let mut pair = Pair::logged_on();
    for at in 0..50 {
        pair.engine.send(&format!("m{at}"), pair.now).unwrap();
    }
    let stream: Vec<u8> = pair.engine.pipe.sent.drain(..).flatten().collect();
    // One byte at a time, then in odd chunks.
    let (first, second) = stream.split_at(stream.len() / 2);
    first.iter().for_each(|byte| pair.venue.receive(&[*byte], pair.now));
    second.chunks(333).for_each(|chunk| pair.venue.receive(chunk, pair.now));
    assert_eq!(pair.venue.texts(), (0..50).map(|at| format!("m{at}")).collect::<Vec<_>>());
}

#[test]
fn a_test_request_is_answered_with_its_id() {
    let mut pair = Pair::logged_on();
    let request = pair.forge(2, "1", "112=hello|");
    pair.engine.receive(&request, pair.now);
    assert!(pair.engine.wrote("0")[0].contains("|112=hello|"));
}

#[test]
fn silence_brings_a_heartbeat_then_a_test_request_then_the_end() {
    let mut pair = Pair::logged_on();
    assert!(pair.engine.session.next_deadline().is_some());
    pair.venue.pipe.lossy = true;
    pair.pass_time(30_000);
    assert_eq!(pair.engine.wrote("0").len(), 1);
    pair.pass_time(6_000);
    assert_eq!(pair.engine.wrote("1").len(), 1, "a test request at 1.2 intervals");
    pair.pass_time(35_000);
    assert!(!pair.engine.pipe.closed);
    pair.pass_time(1_000);
    assert!(pair.engine.pipe.closed, "the end at 2.4 intervals");
    assert!(pair.engine.session.link().last_reason().contains("TestRequest"));
}

#[test]
fn heartbeats_keep_two_idle_sessions_alive_for_an_hour() {
    let mut pair = Pair::logged_on();
    for _ in 0..360 {
        pair.pass_time(10_000);
        pair.settle();
    }
    assert!(pair.engine.session.link().is_ready() && pair.venue.session.link().is_ready());
    assert!(pair.engine.wrote("1").is_empty(), "nobody had to ask");
}

#[test]
fn logout_is_answered_and_both_sides_close() {
    let mut pair = Pair::logged_on();
    let Pair { engine, now, .. } = &mut pair;
    engine.session.logout("done", *now, &mut engine.pipe);
    assert!(engine.send("late", *now).is_err(), "nothing leaves after the Logout");
    pair.settle();
    assert!(pair.engine.pipe.closed && pair.venue.pipe.closed);
    assert_eq!(pair.venue.wrote("5").len(), 1);
    for peer in [&pair.engine, &pair.venue] {
        assert_eq!(peer.app.events.last(), Some(&SessionEvent::LoggedOut));
    }
    // The next connection goes on with the numbers of this one.
    pair.disconnect();
    pair.connect();
    assert!(pair.engine.session.link().is_ready());
    assert_eq!(pair.engine.session.link().counters().gaps + pair.venue.session.link().counters().gaps, 0);
}

#[test]
fn an_unanswered_logout_and_an_unanswered_logon_end_by_themselves() {
    let mut pair = Pair::logged_on();
    pair.venue.pipe.lossy = true;
    let Pair { engine, now, .. } = &mut pair;
    engine.session.logout("done", *now, &mut engine.pipe);
    pair.pass_time(2_000);
    assert!(pair.engine.pipe.closed);

    let mut pair = Pair::new();
    pair.engine.session.on_connected(pair.now, &mut pair.engine.pipe, &mut pair.engine.app);
    pair.pass_time(10_000);
    assert!(pair.engine.pipe.closed && !pair.engine.session.link().is_logged_on());
}

#[test]
fn wrong_comp_ids_and_clocks_are_rejected_and_end_the_session() {
    let mut pair = Pair::logged_on();
    let stamp = String::from_utf8(crate::StampCache::default().render(pair.now.wall).to_vec()).unwrap();
    pair.engine.receive(&raw(&format!("35=0|34=2|49=OTHER|56=TERCEL|52={stamp}|")), pair.now);
    assert!(pair.engine.wrote("3")[0].contains("|373=9|") && !pair.engine.wrote("3")[0].contains("|371="));
    assert!(pair.engine.pipe.closed && pair.engine.wrote("5").len() == 1);

    let mut pair = Pair::logged_on();
    pair.engine.receive(&raw("35=0|34=2|49=VENUE|56=TERCEL|52=20200101-00:00:00|"), pair.now);
    assert!(pair.engine.wrote("3")[0].contains("|373=10|"));
    assert!(pair.engine.pipe.closed);

    let mut pair = Pair::logged_on();
    pair.engine.receive(&raw("35=0|34=2|49=VENUE|56=TERCEL|"), pair.now);
    assert!(pair.engine.wrote("3")[0].contains("|371=52|372=0|373=1|"));
    assert!(pair.engine.session.link().is_ready(), "a missing time is rejected, the session goes on");
}

#[test]
fn garbled_messages_are_dropped_and_use_no_number() {
    let pair = Pair::logged_on();
    let good = pair.forge(2, "D", "58=after|");
    let mut bad_sum = pair.forge(2, "D", "58=x|");
    let at = bad_sum.len() - 2;
    bad_sum[at] = if bad_sum[at] == b'0' { b'1' } else { b'0' };
    let bad_len = String::from_utf8(good.clone()).unwrap().replacen("9=", "9=1", 1).into_bytes();
    let bad_order = raw("34=2|35=D|49=VENUE|56=TERCEL|58=x|");
    let bad_tag = pair.forge(2, "D", "x58=x|");
    let no_end = b"8=FIX.4.4\x019=10\x0135=0\x01junkjunk".to_vec();
    for bad in [bad_sum, bad_order, bad_tag, bad_len, no_end, b"hello\x01world".to_vec()] {
        let mut stream = bad;
        stream.extend_from_slice(&good);
        let mut fresh = Pair::logged_on();
        fresh.engine.receive(&stream, fresh.now);
        // A message that lied about its length is only known as such once more bytes have come.
        for _ in 0..20 {
            fresh.engine.receive(&fresh.forge(3, "0", ""), fresh.now);
        }
        let counters = *fresh.engine.session.counters();
        assert!(counters.garbled + counters.garbage_bytes > 0, "{}", readable(&stream));
        assert_eq!(fresh.engine.texts(), ["after"], "{}", readable(&stream));
    }
}

#[test]
fn reject_and_business_reject_name_the_message() {
    let mut pair = Pair::logged_on();
    pair.venue.app.verdict = Some(Verdict::Reject { reason: 5, ref_tag: Some(54), text: "no such side" });
    pair.engine.send("x", pair.now).unwrap();
    pair.settle();
    assert!(pair.venue.wrote("3")[0].contains("|45=2|58=no such side|371=54|372=D|373=5|"));
    pair.venue.app.verdict = Some(Verdict::BusinessReject { reason: 3, text: "Unsupported Message Type" });
    pair.engine.send("y", pair.now).unwrap();
    pair.settle();
    assert!(pair.venue.wrote("j")[0].contains("|45=3|58=Unsupported Message Type|372=D|380=3|"));
    assert_eq!(pair.engine.app.messages.len(), 2, "both rejects reach the application");
}

#[test]
fn an_empty_value_is_rejected_and_uses_its_number() {
    let mut pair = Pair::logged_on();
    let empty = pair.forge(2, "D", "58=|");
    pair.engine.receive(&empty, pair.now);
    assert!(pair.engine.wrote("3")[0].contains("|371=58|372=D|373=4|"));
    assert_eq!(pair.engine.session.link().next_in(), 3);
    assert!(pair.engine.app.messages.is_empty());
}

#[test]
fn reset_on_logon_starts_both_sides_at_one() {
    let engine = SessionConfig { reset_on_logon: true, ..SessionConfig::initiator("TERCEL", "VENUE") };
    let mut pair = Pair::with(engine, SessionConfig::acceptor("VENUE", "TERCEL"));
    for round in 0..3 {
        pair.connect();
        for peer in [&pair.engine, &pair.venue] {
            assert_eq!((peer.session.link().next_in(), peer.session.link().next_out()), (2, 2), "round {round}");
        }
        pair.engine.send("x", pair.now).unwrap();
        pair.settle();
        pair.disconnect();
    }
    assert!(pair.venue.wrote("A").iter().all(|logon| logon.contains("|141=Y|")));
}

#[test]
fn a_reset_that_is_not_agreed_is_refused_before_anything_changes() {
    let mut pair = Pair::with(
        SessionConfig { reset_on_logon: true, ..SessionConfig::initiator("TERCEL", "VENUE") },
        SessionConfig { accept_reset: false, ..SessionConfig::acceptor("VENUE", "TERCEL") },
    );
    pair.connect();
    assert!(pair.venue.pipe.closed && !pair.engine.session.link().is_logged_on());
    assert!(pair.engine.session.link().last_reason().contains("ResetSeqNumFlag"));
}
