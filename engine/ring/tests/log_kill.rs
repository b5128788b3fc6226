//! `kill -9` at random instants: what the log's writer had published is found, whole and in order, and nothing else.
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tercel_ring::{LogConfig, LogRecovery, LogWriter, PowerOfTwo};

const CHILD: &str = "TERCEL_LOG_KILL_CHILD";

fn frame(value: u64) -> Vec<u8> {
    let len = 40 + (value.wrapping_mul(0x9e37_79b9) % 900) as usize;
    let mut bytes = vec![value as u8; len];
    bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
    bytes[8..16].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// Writes frames as fast as it can, tells a few of their numbers, and commits what lies 500 frames back. Not a test: it
/// returns at once unless it is started as the child.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let config = LogConfig {
        path: PathBuf::from(path),
        capacity: PowerOfTwo::new(1 << 20).unwrap(),
        epoch: 1,
        config_hash: 0,
        build_hash: 0,
    };
    let mut writer = LogWriter::create(&config).unwrap();
    let mut journal = writer.gating_reader("journal").unwrap();
    for value in 0.. {
        writer.push(&frame(value)).unwrap();
        if value >= 500 {
            assert_eq!(journal.peek().unwrap(), Some(&frame(value - 500)[..]));
            journal.advance();
            journal.commit();
        }
        if value % 1000 == 0 {
            println!("published {value}");
        }
        writer.claim(700).unwrap().fill(0xEE); // torn by the kill, most of the time
    }
}

fn trial(path: &Path, run_for: Duration) -> (u64, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = std::thread::spawn(move || {
        lines.map_while(Result::ok).filter_map(|line| line.rsplit("published ").next()?.parse::<u64>().ok()).last()
    });
    while !path.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(run_for);
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let told = reading.join().unwrap().unwrap_or(0);
    let mut recovery = LogRecovery::open(path).unwrap();
    let (mut next, mut count) = (None, 0);
    while let Some(bytes) = recovery.next_frame().unwrap() {
        let value = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
        assert_eq!(bytes, frame(value), "a whole frame");
        assert!(next.is_none_or(|next| next == value), "frame {value} follows {next:?}");
        next = Some(value + 1);
        count += 1;
    }
    let last = next.map_or(0, |next| next - 1);
    assert!(last >= told, "frame {told} was published, recovery ends at {last}");
    assert!(last < 500 || (499..=502).contains(&count), "{count} frames from the last commit to the tail");
    (last, count)
}

#[test]
fn a_killed_writer_leaves_every_published_frame_and_no_torn_one() {
    let trials = if std::env::var_os("TERCEL_SOAK").is_some() { 300 } else { 12 };
    let dir = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    for trial_idx in 0..trials {
        let path = dir.join(format!("tercel-log-kill-{}-{trial_idx}", std::process::id()));
        let (last, count) = trial(&path, Duration::from_micros(3_000 + trial_idx * 7_919 % 60_000));
        println!("killed at frame {last}, {count} recovered");
        std::fs::remove_file(&path).unwrap();
    }
}
