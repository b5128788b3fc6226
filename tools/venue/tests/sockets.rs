//! The venue over real loopback sockets: REST, WebSocket and FIX, as a client meets it.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tercel_net::{Connector, SocketOptions, TlsTrust, Url, WallClock, WsClient, WsEvent, http};
use tercel_venue::{Ready, Recording, Start, VenueConfig, VenueReport, btcusdt_perp, run};

/// A folder of this test alone, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tercel-venue-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn slice() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/btcusdt_usdm_20240808.jsonts.gz")
}

struct Venue {
    ready: Ready,
    stop: mpsc::Sender<()>,
    thread: thread::JoinHandle<VenueReport>,
}

impl Venue {
    fn start(folder: &Folder, adjust: impl FnOnce(&mut VenueConfig)) -> Self {
        let mut config = VenueConfig::new(slice(), btcusdt_perp(), folder.0.clone());
        adjust(&mut config);
        let (stop, stopped) = mpsc::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            let stop = || stopped.try_recv() != Err(mpsc::TryRecvError::Empty);
            run(&config, |at| ready.send(*at).unwrap(), stop).unwrap()
        });
        Self { ready: is_ready.recv_timeout(Duration::from_secs(20)).unwrap(), stop, thread }
    }

    fn get(&self, target: &str) -> String {
        let url = Url::parse(&format!("http://127.0.0.1:{}{target}", self.ready.http_port)).unwrap();
        let body = http::get(&connector(), &url, Duration::from_secs(5), 1 << 22).unwrap();
        String::from_utf8(body).unwrap()
    }

    fn socket(&self, path: &str) -> WsClient {
        let url = Url::parse(&format!("ws://127.0.0.1:{}{path}", self.ready.http_port)).unwrap();
        WsClient::open(&connector(), &url, 1 << 22).unwrap()
    }

    fn end(self) -> VenueReport {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}

fn connector() -> Connector {
    Connector {
        trust: TlsTrust::new(None).unwrap(),
        options: SocketOptions::default(),
        clock: Arc::new(WallClock),
        timeout: Duration::from_secs(5),
    }
}

/// The next text message; pings in between are passed over.
fn next(socket: &mut WsClient) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        match socket.poll() {
            Ok(Some(WsEvent::Message(text, _))) => return Some(String::from_utf8(text.to_vec()).unwrap()),
            Ok(Some(WsEvent::Alive(_))) => {}
            Ok(None) => thread::sleep(Duration::from_millis(1)),
            Err(_) => return None,
        }
    }
    None
}

fn number(json: &serde_json::Value, key: &str) -> i64 {
    json[key].as_i64().unwrap_or_else(|| panic!("no {key} in {json}"))
}

#[test]
fn snapshot_and_diffs_chain_without_a_gap() {
    let folder = Folder::new("chain");
    let venue = Venue::start(&folder, |config| config.speed = 20);
    let mut socket = venue.socket("/stream?streams=btcusdt@depth@0ms");
    let mut buffered = vec![next(&mut socket).unwrap()];
    let snapshot: serde_json::Value =
        serde_json::from_str(&venue.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000")).unwrap();
    while buffered.len() < 60 {
        buffered.push(next(&mut socket).unwrap());
    }
    assert_eq!(snapshot["bids"].as_array().unwrap().len(), 1_000);
    let at = number(&snapshot, "lastUpdateId");
    let mut last = None;
    for text in &buffered {
        let message: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(message["stream"], "btcusdt@depth@0ms");
        let data = &message["data"];
        if let Some(last) = last {
            assert_eq!(number(data, "pu"), last);
        }
        last = Some(number(data, "u"));
        if number(data, "pu") < at && at <= number(data, "u") {
            assert!(number(data, "U") <= at, "the snapshot lies inside or at the end of a diff");
        }
    }
    assert!(buffered.iter().any(|text| text.contains(&format!("\"u\":{at},"))), "the snapshot is that of a diff");
    let report = venue.end();
    assert!(report.played > 60 && !report.ended);
    assert_eq!((report.unusable.malformed, report.unusable.off_step), (0, 0));
}

#[test]
fn event_times_move_by_one_constant_and_nothing_else_changes() {
    let folder = Folder::new("shift");
    let venue = Venue::start(&folder, |config| config.speed = 50);
    let mut socket = venue.socket("/stream?streams=btcusdt@depth@0ms/btcusdt@bookTicker/btcusdt@trade");
    let texts: Vec<String> = (0..300).map(|_| next(&mut socket).unwrap()).collect();
    let recording = Recording::open(&slice()).unwrap();
    let mut shift = None;
    for (at, text) in texts.iter().enumerate() {
        let idx = recording.first_played() + at;
        let data = std::str::from_utf8(recording.data(idx)).unwrap();
        let sent: serde_json::Value = serde_json::from_str(text).unwrap();
        let was: serde_json::Value = serde_json::from_str(data).unwrap();
        for key in ["E", "T"] {
            let moved = number(&sent["data"], key) - number(&was, key);
            assert_eq!(*shift.get_or_insert(moved), moved);
        }
        assert_eq!(sent["stream"], recording.name(idx));
        assert_eq!(text.len(), data.len() + recording.name(idx).len() + r#"{"stream":"","data":}"#.len());
    }
    venue.end();
}

#[test]
fn raw_sockets_carry_one_stream_without_a_wrapper() {
    let folder = Folder::new("raw");
    let venue = Venue::start(&folder, |config| config.speed = 50);
    let mut quotes = venue.socket("/ws/btcusdt@bookTicker");
    let mut trades = venue.socket("/public/ws/btcusdt@trade");
    for _ in 0..20 {
        assert!(next(&mut quotes).unwrap().starts_with(r#"{"e":"bookTicker""#));
        assert!(next(&mut trades).unwrap().starts_with(r#"{"e":"trade""#));
    }
    assert!(venue.get("/fapi/v1/exchangeInfo").contains(r#""tickSize":"0.1""#));
    assert!(venue.get("/fapi/v1/time").contains("serverTime"));
    let missing = Url::parse(&format!("http://127.0.0.1:{}/nowhere", venue.ready.http_port)).unwrap();
    assert!(http::get(&connector(), &missing, Duration::from_secs(5), 1 << 20).is_err());
    venue.end();
}

#[test]
fn faults_happen_when_they_are_asked_for() {
    let folder = Folder::new("faults");
    let venue = Venue::start(&folder, |config| {
        config.speed = 20;
        config.faults = ["drop-depth@2s", "malform-depth@4s", "disconnect-depth@6s"].map(|f| f.parse().unwrap()).into();
    });
    let mut socket = venue.socket("/stream?streams=btcusdt@depth@0ms");
    let (mut last, mut gaps, mut malformed) = (None, 0, 0);
    while let Some(text) = next(&mut socket) {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(&text) else {
            malformed += 1;
            continue;
        };
        let data = &message["data"];
        gaps += i32::from(last.is_some_and(|last| last != number(data, "pu")));
        last = Some(number(data, "u"));
    }
    assert_eq!((gaps, malformed), (2, 1), "one gap by the loss, one by the cut message; then the socket closes");
    assert_eq!(venue.end().faults, 3);
}

/// A FIX client written out by hand, so that nothing of ours encodes or judges here.
struct Client {
    stream: TcpStream,
    next_out: u32,
    buf: Vec<u8>,
}

impl Client {
    fn connect(port: u16, next_out: u32) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = Self { stream, next_out, buf: Vec::new() };
        client.send("A", "98=0|108=30|");
        client
    }

    fn send(&mut self, msg_type: &str, body: &str) {
        let now = tercel_net::EdgeClock::wall(&WallClock);
        let stamp = String::from_utf8(tercel_fix::StampCache::default().render(now).to_vec()).unwrap();
        let body =
            format!("35={msg_type}|34={}|49=TERCEL|56=VENUE|52={stamp}|{body}", self.next_out).replace('|', "\x01");
        let head = format!("8=FIX.4.4\x019={}\x01", body.len());
        let sum: u32 = head.bytes().chain(body.bytes()).map(u32::from).sum();
        self.stream.write_all(format!("{head}{body}10={:03}\x01", sum % 256).as_bytes()).unwrap();
        self.next_out += 1;
    }

    /// The next message as `tag=value` pairs, SOH shown as `|`.
    fn next(&mut self) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.buf).replace('\x01', "|");
            if let Some(at) = text.find("|10=").filter(|at| text.len() >= at + 8) {
                self.buf.drain(..at + 8);
                return text[..at + 8].to_owned();
            }
            let mut part = [0; 4_096];
            let len = self.stream.read(&mut part).unwrap();
            assert!(len > 0, "the venue closed the session");
            self.buf.extend_from_slice(&part[..len]);
        }
    }

    /// The next message of a type.
    fn expect(&mut self, msg_type: &str) -> String {
        loop {
            let message = self.next();
            if field(&message, 35) == Some(msg_type) {
                return message;
            }
            assert!(matches!(field(&message, 35), Some("0" | "1")), "expected {msg_type}, found {message}");
        }
    }
}

fn field(message: &str, tag: u32) -> Option<&str> {
    message.split('|').find_map(|pair| pair.strip_prefix(&format!("{tag}=")))
}

fn has(message: &str, fields: &[(u32, &str)]) {
    for &(tag, value) in fields {
        assert_eq!(field(message, tag), Some(value), "tag {tag} of {message}");
    }
}

const ORDER: &str = "55=BTCUSDT|54=1|40=2|60=20260101-00:00:00|";

#[test]
fn orders_live_and_die_over_fix() {
    let folder = Folder::new("orders");
    let venue = Venue::start(&folder, |_| {});
    let mut client = Client::connect(venue.ready.fix_port, 1);
    has(&client.expect("A"), &[(49, "VENUE"), (56, "TERCEL"), (98, "0"), (108, "30")]);

    client.send("D", &format!("11=A1|{ORDER}38=0.010|44=61700.0|59=1|18=6|"));
    let new = client.expect("8");
    has(
        &new,
        &[(11, "A1"), (150, "0"), (39, "0"), (14, "0.000"), (151, "0.010"), (44, "61700.0"), (37, "V0000000001")],
    );

    client.send("G", &format!("11=A2|41=A1|{ORDER}38=0.020|44=61690.0|59=1|18=6|"));
    has(&client.expect("8"), &[(11, "A2"), (41, "A1"), (150, "5"), (39, "0"), (38, "0.020"), (151, "0.020")]);

    client.send("G", &format!("11=A3|41=A1|{ORDER}38=0.020|44=61691.0|59=1|18=6|"));
    has(&client.expect("9"), &[(11, "A3"), (41, "A1"), (434, "2"), (102, "1")]);

    client.send("H", "11=A2|790=S1|55=BTCUSDT|54=1|");
    has(&client.expect("8"), &[(150, "I"), (39, "0"), (11, "A2"), (790, "S1"), (17, "0")]);

    client.send("AF", "584=M1|585=7|");
    has(&client.expect("8"), &[(150, "I"), (584, "M1"), (911, "1"), (912, "Y"), (11, "A2")]);

    client.send("F", "11=A4|41=A2|55=BTCUSDT|54=1|60=20260101-00:00:00|");
    has(&client.expect("8"), &[(11, "A4"), (41, "A2"), (150, "4"), (39, "4"), (151, "0.000")]);

    client.send("F", "11=A5|41=A2|55=BTCUSDT|54=1|60=20260101-00:00:00|");
    has(&client.expect("9"), &[(11, "A5"), (41, "A2"), (434, "1"), (102, "0"), (39, "4")]);

    client.send("AF", "584=M2|585=7|");
    has(&client.expect("8"), &[(150, "I"), (39, "8"), (584, "M2"), (911, "0"), (912, "Y")]);

    client.send("D", &format!("11=A6|{ORDER}38=0.010|44=61700.05|59=1|"));
    has(&client.expect("8"), &[(150, "8"), (39, "8"), (103, "99"), (58, "price or quantity off the step")]);

    client.send("D", &format!("11=A1|{ORDER}38=0.010|44=61700.0|59=1|"));
    has(&client.expect("8"), &[(150, "8"), (103, "6")]);

    client.send("D", &format!("11=A7|{ORDER}38=0.010|44=61900.0|59=1|18=6|"));
    has(&client.expect("8"), &[(150, "8"), (58, "post-only order would take liquidity")]);

    client.send("D", &format!("11=A8|{ORDER}38=0.500|44=61900.0|59=3|"));
    has(&client.expect("8"), &[(150, "0"), (11, "A8")]);
    let fill = client.expect("8");
    has(&fill, &[(150, "F"), (31, "61800.3"), (851, "2"), (13, "3")]);
    assert!(field(&fill, 12).unwrap().parse::<f64>().unwrap() > 0.0);

    client.send("D", "11=A9|55=ETHUSDT|54=1|40=2|38=1|44=1|60=20260101-00:00:00|");
    has(&client.expect("j"), &[(380, "2"), (372, "D")]);
    client.send("D", "11=B1|55=BTCUSDT|54=1|40=2|38=0.010|60=20260101-00:00:00|");
    has(&client.expect("3"), &[(373, "1"), (371, "44")]);

    let report = venue.end();
    assert_eq!((report.desk.orders, report.desk.cancels, report.desk.replaces), (5, 2, 2));
    assert_eq!(report.open_orders, 0);
    let orders = std::fs::read_to_string(folder.0.join(tercel_venue::ORDERS_FILE)).unwrap();
    for line in orders.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["after"].is_u64() && line["n"].is_u64());
    }
    let fix = std::fs::read_to_string(folder.0.join(tercel_venue::FIX_FILE)).unwrap();
    assert!(fix.lines().any(|line| line.contains(" in 8=FIX.4.4|9=")));
    assert!(fix.lines().any(|line| line.contains(" out 8=FIX.4.4|9=") && line.contains("|35=8|")));
}

#[test]
fn fills_made_while_the_client_is_away_are_delivered_or_resent() {
    let folder = Folder::new("resend");
    let venue = Venue::start(&folder, |config| {
        config.start = Start::FirstSubscriber;
        config.speed = 20;
    });
    let mut client = Client::connect(venue.ready.fix_port, 1);
    client.expect("A");
    client.send("D", &format!("11=A1|{ORDER}38=0.010|44=61800.2|59=1|18=6|"));
    has(&client.expect("8"), &[(150, "0")]);
    let next_out = client.next_out;
    drop(client);
    // The recording trades through the price while nobody is connected.
    let mut socket = venue.socket("/stream?streams=btcusdt@trade");
    let mut client = loop {
        let trade: serde_json::Value = serde_json::from_str(&next(&mut socket).unwrap()).unwrap();
        if trade["data"]["p"].as_str().unwrap() < "61800.20" {
            thread::sleep(Duration::from_millis(300));
            break Client::connect(venue.ready.fix_port, next_out);
        }
    };
    // Logon is number 3: two reports came before it; the fill follows it.
    has(&client.expect("A"), &[(34, "3")]);
    let fill = client.expect("8");
    has(&fill, &[(150, "F"), (39, "2"), (11, "A1"), (14, "0.010"), (31, "61800.2"), (851, "1"), (34, "4")]);
    assert_eq!(field(&fill, 43), None, "it is sent for the first time");
    client.send("2", "7=2|16=0|");
    let resent = client.expect("8");
    has(&resent, &[(34, "2"), (43, "Y"), (150, "0"), (11, "A1")]);
    has(&client.expect("4"), &[(34, "3"), (43, "Y"), (123, "Y"), (36, "4")]);
    has(&client.expect("8"), &[(34, "4"), (43, "Y"), (150, "F"), (17, field(&fill, 17).unwrap())]);
    venue.end();
}

#[test]
fn a_taken_port_is_named() {
    let folder = Folder::new("port");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = VenueConfig { http_port: port, ..VenueConfig::new(slice(), btcusdt_perp(), folder.0.clone()) };
    let error = run(&config, |_| {}, || true).unwrap_err().to_string();
    assert!(error.contains(&port.to_string()), "{error}");
    let config = VenueConfig { speed: 0, recording: "none".into(), ..config };
    let error = run(&config, |_| {}, || true).unwrap_err().to_string();
    assert!(error.contains("venue.speed") && error.contains("venue.recording"), "{error}");
}
