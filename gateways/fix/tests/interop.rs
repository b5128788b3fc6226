//! Our bytes read, and bytes for us written, by `simplefix` from PyPI. Skipped, and said so, where it is not installed;
//! `TERCEL_PYTHON` names the interpreter that has it.
mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use support::FixRig;
use tercel_event::CommandKind;
use tercel_fix::framing::{Scan, scan};
use tercel_fix::number::count_of;
use tercel_fix::{Index, parse_stamp};
use tercel_net::conformance::Session;
use tercel_types::{Decimal, TimeNs};

/// Standard output of the script, `None` when simplefix is not there.
fn simplefix(mode: &str, input: &[u8]) -> Option<Vec<u8>> {
    let python = std::env::var("TERCEL_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop.py");
    let child = Command::new(&python).arg(script).arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        println!("skipped: `{python}` cannot be started");
        return None;
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A script that ends early closes the pipe; its exit status says why.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the script ends");
    feeder.join().expect("the feeder ends");
    if output.status.code() == Some(3) {
        println!("skipped: simplefix is not installed for `{python}`");
        return None;
    }
    assert!(output.status.success(), "{output:?}");
    Some(output.stdout)
}

#[test]
fn simplefix_reads_every_message_that_we_write() {
    let mut talk = Session::<FixRig>::logged_on();
    let mut stream = Vec::new();
    for id in 1..=20 {
        for (kind, id, orig) in [
            (CommandKind::New, 10 * id, 0),
            (CommandKind::Replace, 10 * id + 1, 10 * id),
            (CommandKind::Status, 10 * id + 2, 10 * id + 1),
            (CommandKind::Cancel, 10 * id + 3, 10 * id + 1),
            (CommandKind::MassStatus, 10 * id + 4, 0),
        ] {
            talk.command(kind as u8, id, orig);
            stream.extend_from_slice(&talk.io.bytes);
            talk.settle();
        }
    }
    let Some(stdout) = simplefix("parse", &stream) else { return };
    let theirs: Vec<&str> = core::str::from_utf8(&stdout).unwrap().lines().collect();
    let wrote: Vec<&str> = talk.rig.venue.exchange.raw.iter().map(|raw| raw.trim_end_matches('|')).collect();
    assert_eq!(theirs.len(), 100);
    for (theirs, ours) in theirs.iter().zip(&wrote) {
        assert_eq!(theirs, ours);
    }
}

#[test]
fn we_read_every_message_that_simplefix_writes() {
    let Some(stream) = simplefix("encode", b"") else { return };
    let (mut at, mut count) = (0, 0u32);
    let mut index = Index::default();
    while at < stream.len() {
        let Scan::Message(extent) = scan(&stream[at..]) else { panic!("no message at byte {at}") };
        let message = index.parse_extent(&stream[at..], extent).unwrap();
        at += extent.len;
        count += 1;
        let header = message.header();
        assert_eq!(header.msg_seq_num, Some(count));
        let sent = parse_stamp(header.sending_time).unwrap();
        assert_eq!(sent, TimeNs((1_790_000_000_125 + i64::from(count) * 1_000) * 1_000_000));
        let px = count_of(Decimal { mantissa: 1, scale: 1 }, message.get(31).unwrap()).unwrap();
        assert_eq!(px, i64::from((61_800 + count) * 10 + count % 10));
        let qty = count_of(Decimal { mantissa: 1, scale: 3 }, message.get(32).unwrap()).unwrap();
        assert_eq!(qty, i64::from(count));
        assert_eq!(message.get(96), Some(format!("raw\u{1}data{count}").as_bytes()));
    }
    assert_eq!(count, 50);
}
