//! A FIX peer that misbehaves: five connections that never become a session, then a line to the real venue that puts garbage
//! between messages, damages one, repeats one and cuts the connection.
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Crooked {
    pub port: u16,
    faults: Arc<AtomicU32>,
    told: Arc<Mutex<Vec<String>>>,
}

/// Faults on the line to the venue: garbage, a damaged message, a repeated one, a cut.
const PLANNED: u32 = 4;
/// Reads with reports between two faults.
const PAUSE: u32 = 8;

impl Crooked {
    pub fn start(venue: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let faults = Arc::new(AtomicU32::new(0));
        let told = Arc::new(Mutex::new(Vec::new()));
        let crooked = Self { port, faults: faults.clone(), told: told.clone() };
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { return };
                match number {
                    0 => drop(stream),
                    1 => say(stream, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n\x00\xff\x018=FIX"),
                    2 => say(stream, &message("35=A|34=1|49=VENUE|56=TERCEL|52=@|98=0|108=10|", 1)),
                    3 => say(stream, &message("35=A|34=1|49=SOMEONE|56=ELSE|52=@|98=0|108=10|", 0)),
                    4 => say(stream, b"8=FIX.4.4\x019=99999999999\x0135=A\x01"),
                    _ => line(stream, venue, &faults, &told),
                }
            }
        });
        crooked
    }

    /// Every planned fault has happened.
    pub fn is_done(&self) -> bool {
        self.faults.load(Ordering::SeqCst) >= PLANNED
    }

    pub fn told(&self) -> String {
        self.told.lock().expect("nobody panics with it").join("\n")
    }
}

/// Waits for the Logon, answers with `bytes`, closes a little later.
fn say(mut stream: TcpStream, bytes: &[u8]) {
    let mut sink = [0; 4096];
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let _ = stream.read(&mut sink);
    let _ = stream.write_all(bytes);
    std::thread::sleep(Duration::from_millis(150));
}

/// A message from `|` text; `@` becomes the time, and the checksum is off by `error`.
fn message(body: &str, error: u32) -> Vec<u8> {
    let output = std::process::Command::new("date").args(["-u", "+%Y%m%d-%H:%M:%S"]).output().expect("date runs");
    let now = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let body = body.replace('@', &now).replace('|', "\x01");
    let mut text = format!("8=FIX.4.4\x019={}\x01{body}", body.len());
    let sum = text.bytes().map(u32::from).sum::<u32>() + error;
    text.push_str(&format!("10={:03}\x01", sum % 256));
    text.into_bytes()
}

/// Carries bytes both ways; what comes from the venue is damaged now and then.
fn line(engine: TcpStream, venue: u16, faults: &Arc<AtomicU32>, told: &Arc<Mutex<Vec<String>>>) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", venue)) else { return };
    let _ = (engine.set_nodelay(true), far.set_nodelay(true));
    let (mut from_engine, mut to_venue) = (engine.try_clone().expect("a clone"), far.try_clone().expect("a clone"));
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_engine, &mut to_venue);
        let _ = to_venue.shutdown(Shutdown::Both);
    });
    let (faults, told) = (faults.clone(), told.clone());
    let (mut from_venue, mut to_engine) = (far, engine);
    std::thread::spawn(move || {
        let (mut buffer, mut reports) = (vec![0; 1 << 16], 0);
        while let Ok(len @ 1..) = from_venue.read(&mut buffer) {
            let mut bytes = buffer[..len].to_vec();
            // Only reads that hold whole messages and at least one report, so that it is known what is damaged.
            let whole = bytes.starts_with(b"8=FIX") && bytes[..len - 1].iter().rposition(|&b| b == 1) == Some(len - 8);
            reports += u32::from(whole && bytes.windows(6).any(|w| w == b"\x0135=8\x01"));
            let due = reports >= PAUSE && faults.load(Ordering::SeqCst) < PLANNED;
            if due {
                reports = 0;
                let fault = faults.load(Ordering::SeqCst);
                let what = ["garbage before", "damaged", "sent twice", "cut in the middle of"][fault as usize];
                told.lock()
                    .expect("nobody panics with it")
                    .push(format!("{what} {}", String::from_utf8_lossy(&bytes).replace('\x01', "|")));
                match fault {
                    0 => {
                        let mut noise = b"\x00\x01\xff8=F8=FIX.4.4\x019=x\x01garbage\x0110=\x01".to_vec();
                        noise.extend_from_slice(&message("35=8|34=900|49=VENUE|56=TERCEL|52=@|150=F|39=2|", 7));
                        bytes.splice(0..0, noise);
                    }
                    1 => {
                        let at = bytes.windows(6).rposition(|w| w == b"\x0135=8\x01").expect("a report") + 10;
                        bytes[at] ^= 1;
                    }
                    2 => bytes.extend_from_within(..),
                    _ => {
                        let _ = to_engine.write_all(&bytes[..len / 2]);
                        faults.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                }
                faults.fetch_add(1, Ordering::SeqCst);
            }
            if to_engine.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to_engine.shutdown(Shutdown::Both);
        let _ = from_venue.shutdown(Shutdown::Both);
    });
}
