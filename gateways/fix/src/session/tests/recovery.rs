use super::*;

/// The venue sends `lost` messages into nothing and then one that arrives.
fn pair_with_gap(lost: usize) -> Pair {
    let mut pair = Pair::logged_on();
    pair.venue.pipe.lossy = true;
    for at in 0..lost {
        pair.venue.send(&format!("lost{at}"), pair.now).unwrap();
    }
    pair.venue.pipe.lossy = false;
    pair.venue.send("seen", pair.now).unwrap();
    pair
}

#[test]
fn a_gap_is_asked_for_once_and_messages_reach_the_application_in_order() {
    let mut pair = pair_with_gap(3);
    pair.venue.send("seen too", pair.now).unwrap();
    pair.settle();
    assert_eq!(pair.engine.wrote("2").len(), 1, "one request per gap");
    assert!(pair.engine.wrote("2")[0].contains("|7=2|16=0|"));
    assert_eq!(pair.engine.texts(), ["lost0", "lost1", "lost2", "seen", "seen too"]);
    let resent = &pair.engine.app.messages[0];
    assert!(resent.2, "resent reports carry PossDupFlag");
    assert_eq!(
        pair.engine.app.events,
        [SessionEvent::Connected, SessionEvent::LoggedOn, SessionEvent::Recovering, SessionEvent::Recovered]
    );
    assert!(pair.engine.session.link().is_ready());
}

#[test]
fn a_gap_longer_than_the_chunk_is_asked_for_chunk_by_chunk() {
    let mut pair = pair_with_gap(0);
    pair.settle();
    let engine = SessionConfig { resend_chunk: 4, ..SessionConfig::initiator("TERCEL", "VENUE") };
    let mut pair = Pair::with(engine, SessionConfig::acceptor("VENUE", "TERCEL"));
    pair.connect();
    pair.venue.pipe.lossy = true;
    for at in 0..10 {
        pair.venue.send(&format!("m{at}"), pair.now).unwrap();
    }
    pair.venue.pipe.lossy = false;
    pair.venue.send("m10", pair.now).unwrap();
    pair.settle();
    assert_eq!(pair.engine.wrote("2").len(), 3);
    assert_eq!(pair.engine.texts(), (0..11).map(|at| format!("m{at}")).collect::<Vec<_>>());
    assert!(pair.engine.session.link().is_ready());
}

#[test]
fn orders_are_never_resent_and_the_gap_is_filled_at_once() {
    let mut pair = Pair::logged_on();
    pair.engine.pipe.lossy = true;
    for at in 0..5 {
        pair.engine.send(&format!("order{at}"), pair.now).unwrap();
    }
    pair.engine.pipe.lossy = false;
    pair.engine.send("last", pair.now).unwrap();
    pair.settle();
    assert!(pair.venue.texts().is_empty(), "the venue was told to forget all six");
    let fills = pair.engine.wrote("4");
    assert_eq!(fills.len(), 1);
    assert!(
        fills[0].contains("|34=2|") && fills[0].contains("|43=Y|") && fills[0].contains("|123=Y|36=8|"),
        "{fills:?}"
    );
    assert!(pair.venue.session.link().is_ready());
}

/// What was sent on this connection has arrived, for TCP loses nothing in the middle: filling it too would throw away a
/// status request that follows a logon at once.
#[test]
fn requests_of_this_connection_survive_the_gap_fill_of_the_one_before() {
    let mut pair = Pair::logged_on();
    pair.engine.pipe.lossy = true;
    pair.engine.send("order of the connection that died", pair.now).unwrap();
    pair.disconnect();
    for peer in [&mut pair.venue, &mut pair.engine] {
        peer.pipe = Pipe::default();
        peer.session.on_connected(pair.now, &mut peer.pipe, &mut peer.app);
    }
    let logon = pair.engine.pipe.sent.remove(0);
    pair.venue.receive(&logon, pair.now);
    let answers: Vec<_> = pair.venue.pipe.sent.drain(..).collect();
    assert_eq!(answers.len(), 2, "Logon and ResendRequest");
    pair.engine.receive(&answers[0], pair.now);
    pair.engine.send("status request", pair.now).unwrap();
    pair.engine.receive(&answers[1], pair.now);
    pair.settle();
    assert_eq!(pair.venue.texts(), ["status request"]);
    assert!(pair.venue.session.link().is_ready());
}

#[test]
fn resent_reports_keep_number_and_body_and_say_when_they_were_sent_first() {
    let mut pair = pair_with_gap(1);
    let first = pair.venue.wrote("D")[0].clone();
    pair.pass_time(5);
    pair.settle();
    let resent = pair.venue.wrote("D").into_iter().find(|m| m.contains("|43=Y|")).unwrap();
    let sending_time = |m: &str, tag: &str| m.split('|').find_map(|f| f.strip_prefix(tag).map(str::to_string));
    assert_eq!(sending_time(&resent, "122="), sending_time(&first, "52="));
    assert_ne!(sending_time(&resent, "52="), sending_time(&first, "52="));
    assert!(resent.contains("|34=2|") && resent.contains("|58=lost0|"));
}

#[test]
fn runs_of_session_messages_become_one_gap_fill() {
    let mut pair = Pair::logged_on();
    pair.venue.pipe.lossy = true;
    pair.venue.send("a", pair.now).unwrap();
    for _ in 0..2 {
        pair.pass_time(30_000);
        pair.settle();
    }
    pair.venue.send("b", pair.now).unwrap();
    pair.venue.pipe.lossy = false;
    pair.venue.send("c", pair.now).unwrap();
    pair.settle();
    assert_eq!(pair.engine.texts(), ["a", "b", "c"]);
    assert_eq!(pair.venue.wrote("4").len(), 1);
    assert!(pair.engine.session.link().is_ready());
}

#[test]
fn numbers_lost_before_a_reconnect_are_recovered_at_logon() {
    let mut pair = Pair::logged_on();
    pair.venue.pipe.lossy = true;
    pair.venue.send("fill while we were away", pair.now).unwrap();
    pair.disconnect();
    pair.connect();
    assert_eq!(pair.engine.texts(), ["fill while we were away"]);
    let events = &pair.engine.app.events[2..];
    assert_eq!(
        events,
        [SessionEvent::Disconnected, SessionEvent::Connected, SessionEvent::Recovering, SessionEvent::LoggedOn]
    );
}

#[test]
fn a_lowered_expectation_makes_the_peer_resend_what_the_log_does_not_hold() {
    let mut pair = Pair::logged_on();
    for at in 0..4 {
        pair.venue.send(&format!("r{at}"), pair.now).unwrap();
    }
    pair.settle();
    pair.disconnect();
    pair.engine.app.messages.clear();
    pair.engine.session.link_mut().store_mut().set_next_in(4);
    pair.connect();
    assert_eq!(pair.engine.texts(), ["r2", "r3"]);
    assert!(pair.engine.app.messages.iter().all(|m| m.2), "as possible duplicates");
}

#[test]
fn both_sides_with_a_gap_recover_each_other() {
    let mut pair = Pair::logged_on();
    for peer in [&mut pair.engine, &mut pair.venue] {
        peer.pipe.lossy = true;
        peer.send("lost", pair.now).unwrap();
        peer.pipe.lossy = false;
    }
    pair.disconnect();
    pair.connect();
    assert!(pair.engine.session.link().is_ready() && pair.venue.session.link().is_ready());
    assert_eq!(pair.engine.texts(), ["lost"]);
    assert!(pair.venue.texts().is_empty());
}

#[test]
fn too_low_without_poss_dup_ends_the_session_and_says_the_numbers() {
    let mut pair = Pair::logged_on();
    let low = pair.forge(1, "D", "58=x|");
    pair.engine.receive(&low, pair.now);
    assert!(pair.engine.wrote("5")[0].contains("|58=MsgSeqNum too low, expecting 2 but received 1|"));
    assert!(pair.engine.pipe.closed && pair.engine.app.messages.is_empty());
}

#[test]
fn too_low_with_poss_dup_is_counted_and_ignored() {
    let mut pair = Pair::logged_on();
    let duplicate = pair.forge(1, "D", "43=Y|122=20260901-00:00:00.000|58=x|");
    pair.engine.receive(&duplicate, pair.now);
    assert!(pair.engine.app.messages.is_empty() && pair.engine.session.link().is_ready());
    assert_eq!(pair.engine.session.counters().duplicates, 1);
    let without_122 = pair.forge(1, "D", "43=Y|58=x|");
    pair.engine.receive(&without_122, pair.now);
    assert!(pair.engine.wrote("3")[0].contains("|371=122|372=D|373=1|"));
    let late_122 = pair.forge(1, "D", "43=Y|122=20990901-00:00:00.000|58=x|");
    pair.engine.receive(&late_122, pair.now);
    assert!(pair.engine.wrote("3")[1].contains("|373=10|") && pair.engine.pipe.closed);
}

#[test]
fn gap_fill_and_reset_follow_their_own_rules() {
    let mut pair = Pair::logged_on();
    let fill = pair.forge(2, "4", "123=Y|36=10|");
    pair.engine.receive(&fill, pair.now);
    assert_eq!(pair.engine.session.link().next_in(), 10);
    let backwards = pair.forge(10, "4", "123=Y|36=10|");
    pair.engine.receive(&backwards, pair.now);
    assert!(pair.engine.wrote("3")[0].contains("|45=10|") && pair.engine.wrote("3")[0].contains("|373=5|"));
    let reset = pair.forge(999, "4", "36=20|");
    pair.engine.receive(&reset, pair.now);
    assert_eq!(pair.engine.session.link().next_in(), 20, "reset mode ignores its own number");
    let reset_low = pair.forge(999, "4", "36=5|");
    pair.engine.receive(&reset_low, pair.now);
    assert_eq!(pair.engine.wrote("3").len(), 2);
    assert_eq!(pair.engine.session.link().next_in(), 20);
}

#[test]
fn a_resend_request_that_nobody_answers_is_repeated_and_then_given_up() {
    let mut pair = Pair::logged_on();
    let ahead = pair.forge(9, "D", "58=x|");
    pair.engine.receive(&ahead, pair.now);
    for round in 1..=3 {
        assert_eq!(pair.engine.wrote("2").len(), round);
        pair.engine.pipe.sent.clear();
        pair.pass_time(10_000);
    }
    assert!(pair.engine.pipe.closed);
    assert!(pair.engine.session.link().last_reason().contains("ResendRequest"));
}

#[test]
fn what_does_not_fit_the_queue_is_counted_and_comes_again() {
    let mut pair = pair_with_gap(1);
    for at in 0..9_000 {
        pair.venue.send(&format!("m{at}"), pair.now).unwrap();
    }
    pair.settle();
    assert!(pair.engine.session.counters().queue_dropped > 0);
    assert_eq!(pair.engine.app.messages.len(), 9_002, "nothing is lost");
    assert!(pair.engine.app.messages.is_sorted_by_key(|m| m.0));
}
