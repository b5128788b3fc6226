//! Commands of a backtest beside those of a live run.
use super::journal::{Live, is_request};
use super::{Comparison, Given};
use std::collections::BTreeMap;
use tercel_event::{Bbo, Command, CommandKind, ExecReport, Frame};
use tercel_types::CL_ORD_ID_LEN;
use tercel_venue::{Arrival, Recording, StreamKind};

/// Differences shown in words.
const SHOWN: usize = 10;

/// Every command, byte for byte and in order.
pub fn exact(live: &[Given], ours: &[Given]) -> Comparison {
    let matched = live.iter().zip(ours).take_while(|(a, b)| a.command == b.command).count();
    let good = matched == live.len() && live.len() == ours.len();
    let mut first = Vec::new();
    if !good {
        let show = |list: &[Given]| list.get(matched).map_or("nothing".to_owned(), |given| words(&given.command));
        first.push(format!("command {}: the run gave {}, the backtest {}", matched + 1, show(live), show(ours)));
    }
    let causes = if good {
        Vec::new()
    } else {
        vec![("first difference ends the comparison".to_owned(), live.len().max(ours.len()) - matched)]
    };
    Comparison { good, live: live.len(), matched, causes, first }
}

fn words(command: &Command) -> String {
    let kind = CommandKind::from_u8(command.kind).map_or("?".to_owned(), |kind| format!("{kind:?}"));
    let side = if command.side == 1 { "buy" } else { "sell" };
    format!(
        "{kind} {side} {} @ {} (seq {}, strategy {})",
        command.order_qty.0, command.px.0, command.seq, command.strategy.0
    )
}

/// What makes two order requests the same: who, what, side, price, quantity.
fn key(command: &Command) -> (u16, u8, u8, i64, i64) {
    (command.strategy.0, command.kind, command.side, command.px.0, command.order_qty.0)
}

/// New orders, replaces and cancels by strategy, side, price, quantity and the number of market frames before them, plus or
/// minus one. What is left of the live run is put down to a cause.
pub fn loose(live: &Live, ours: &[Given]) -> Comparison {
    let mut free: BTreeMap<_, Vec<(u64, i64)>> = BTreeMap::new();
    for given in ours.iter().filter(|given| is_request(&given.command)) {
        free.entry(key(&given.command)).or_default().push((given.market_frames, given.at.0));
    }
    let requests: Vec<&Given> = live.commands.iter().filter(|given| is_request(&given.command)).collect();
    let offset = align(&requests, ours);
    let mut causes: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut first = Vec::new();
    let mut matched = 0;
    let mut missed = Vec::new();
    for given in &requests {
        let wanted = given.market_frames as i64 + offset;
        let places = free.get_mut(&key(&given.command));
        let found = places.and_then(|places| {
            let at = places.iter().position(|(frames, _)| (*frames as i64 - wanted).abs() <= 1)?;
            Some(places.swap_remove(at))
        });
        match found {
            Some(_) => matched += 1,
            None => missed.push(*given),
        }
    }
    for given in missed {
        let near = free
            .get(&key(&given.command))
            .is_some_and(|places| places.iter().any(|(_, at)| (at - given.at.0).abs() < 250_000_000));
        let same_order = free.iter().any(|(key, places)| {
            (key.0, key.1, key.2) == (given.command.strategy.0, given.command.kind, given.command.side)
                && places.iter().any(|(_, at)| (at - given.at.0).abs() < 250_000_000)
        });
        let cause = if near {
            "the same request at another instant (latency)"
        } else if same_order {
            "another price or quantity (inventory or a report that came at another instant)"
        } else {
            "no such request (a fill that one of the two did not have, or a book that was not live)"
        };
        *causes.entry(cause).or_default() += 1;
        if first.len() < SHOWN {
            first.push(format!("{}: {cause}", words(&given.command)));
        }
    }
    let mut causes: Vec<(String, usize)> = causes.into_iter().map(|(cause, count)| (cause.to_owned(), count)).collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let good = matched * 100 >= requests.len() * 95;
    Comparison { good, live: requests.len(), matched, causes, first }
}

/// Frames that one run has more than the other before its first request: the streams of a live run come up one by one.
fn align(live: &[&Given], ours: &[Given]) -> i64 {
    let mut votes: BTreeMap<i64, usize> = BTreeMap::new();
    for given in live.iter().take(200) {
        let twin = ours
            .iter()
            .filter(|other| key(&other.command) == key(&given.command))
            .min_by_key(|other| (other.at.0 - given.at.0).abs());
        if let Some(twin) = twin {
            *votes.entry(twin.market_frames as i64 - given.market_frames as i64).or_default() += 1;
        }
    }
    votes.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(offset, _)| offset)
}

/// Latencies of the run, as medians: what constants describe it best.
pub fn measured(live: &Live, recording: &Recording, speed: u32) -> String {
    let mut feed = Vec::new();
    let mut report = Vec::new();
    let mut played: BTreeMap<u64, i64> = BTreeMap::new();
    for (idx, message) in recording.messages().iter().enumerate().skip(recording.first_played()) {
        if message.kind == StreamKind::BookTicker
            && let Ok(value) = serde_json::from_slice::<serde_json::Value>(recording.data(idx))
            && let Some(id) = value["u"].as_u64()
        {
            played.insert(id, live.start.0 + message.recv.since(recording.base()).0);
        }
    }
    for bytes in &live.inputs {
        let Ok(frame) = Frame::parse(bytes) else { continue };
        let at = frame.header.ts_seq.0;
        if let Ok(bbo) = frame.body::<Bbo>()
            && let Some(nominal) = played.get(&bbo.update_id)
        {
            feed.push(at - nominal);
        }
        if let Ok(exec) = frame.body::<ExecReport>()
            && exec.exec_type != b'I'
        {
            report.push(at - exec.ts_exchange.0);
        }
    }
    // Orders alone: status requests go out while a session comes up, long before there is a market.
    let orders = live.commands.iter().filter(|given| is_request(&given.command));
    let given: BTreeMap<_, i64> = orders.map(|given| (given.command.cl_ord_id.to_ascii(), given.at.0)).collect();
    let arrival = |arrival: &Arrival| {
        let id: [u8; CL_ORD_ID_LEN] = arrival.request.as_bytes().try_into().ok()?;
        Some(arrival.ts.0 - given.get(&id)?)
    };
    let order: Vec<i64> = live.arrivals.iter().filter_map(arrival).collect();
    let show = |mut list: Vec<i64>| {
        list.sort_unstable();
        let at = |share: usize| list.get(list.len() * share / 100).map_or(0, |ns| ns / 1_000);
        format!("p10 {} p50 {} p90 {} us", at(10), at(50), at(90))
    };
    let scale = if speed > 1 {
        format!(" in engine time, of which {speed} us pass in one of the clock")
    } else {
        String::new()
    };
    format!("latencies of the run{scale}: feed {}; order {}; report {}", show(feed), show(order), show(report))
}
