//! The shell around `VenueCore`: loopback sockets, the wall clock, one thread that owns the machine.
//!
//!   accept threads ──▶ one reader thread per connection ──▶ channel ──▶ the venue's thread ──▶ sockets
//!
//! The venue's thread sleeps until its next deadline or input; nothing spins. It writes to sockets itself; a peer that takes
//! nothing for `SEND_TIMEOUT` is cut off, so that no one can stall the playback for longer.
use crate::machine::{ConnId, HttpAnswer, VenueCore, VenueIo, VenueReport};
use crate::recording::{Recording, RecordingError};
use crate::ws::{self, ClientFrame, FrameReader};
use crate::{VenueConfig, VenueLog};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};
use tercel_fix::{FileStore, StoreError};
use tercel_net::{EdgeClock, SendError, WallClock};
use tercel_types::{Problem, TimeNs};
use thiserror::Error;

const SEND_TIMEOUT: Duration = Duration::from_millis(500);
/// The longest sleep: how late `stop` can be noticed.
const NAP: Duration = Duration::from_millis(100);
const PING_EVERY: Duration = Duration::from_secs(10);
/// Inputs handled between two looks at the clock.
const BATCH: usize = 64;
const REQUEST_LEN_MAX: usize = 16 * 1024;

#[derive(Debug, Error)]
pub enum VenueError {
    #[error("the venue's configuration has {} problem(s): {}", .0.len(), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<Problem>),
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error("cannot write the venue's log at `{path}`")]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen on {address}; choose another port, or 0 for a free one")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// Where the venue listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub http_port: u16,
    pub fix_port: u16,
}

impl Ready {
    /// The line that tells a parent process that it may connect.
    pub fn json(&self) -> String {
        format!("{{\"ready\":true,\"http\":{},\"fix\":{}}}", self.http_port, self.fix_port)
    }
}

enum Input {
    Http { target: String, answer: Sender<HttpAnswer> },
    DataOpen { conn: ConnId, path: String, stream: TcpStream },
    DataFrame { conn: ConnId, frame: ClientFrame },
    DataClosed { conn: ConnId },
    FixOpen { conn: ConnId, stream: TcpStream },
    FixBytes { conn: ConnId, bytes: Vec<u8> },
    FixClosed { conn: ConnId },
}

/// Runs a venue until `stop` says so; `ready` is called once it listens.
/// Errors: configuration, recording, log, message store, ports; a log that can no longer be written.
pub fn run(
    config: &VenueConfig,
    ready: impl FnOnce(&Ready),
    stop: impl Fn() -> bool,
) -> Result<VenueReport, VenueError> {
    let problems = config.validate();
    if !problems.is_empty() {
        return Err(VenueError::Config(problems));
    }
    let recording = Arc::new(Recording::open(&config.recording)?);
    let http = listen(config.http_port)?;
    let fix = listen(config.fix_port)?;
    let log = VenueLog::in_folder(&config.log_folder).map_err(|(path, source)| VenueError::Log { path, source })?;
    let (store, _) = FileStore::open(&config.log_folder.join("fix.store"), &config.session().identity())?;
    let (http_address, fix_address) = (address_of(&http)?, address_of(&fix)?);
    let mut core = VenueCore::new(config, recording, Box::new(store), log, WallClock.wall())?;
    let (inputs, received) = mpsc::channel();
    let accepting = [accept(http, inputs.clone(), serve_http), accept(fix, inputs, serve_fix)];
    ready(&Ready { http_port: http_address.port(), fix_port: fix_address.port() });
    let outcome = serve(&mut core, &received, stop);
    // With the receiver gone, the accepting threads end at their next connection: this one.
    drop(received);
    for address in [http_address, fix_address] {
        let _ = TcpStream::connect_timeout(&address, NAP);
    }
    for thread in accepting {
        let _ = thread.join();
    }
    outcome.map_err(|source| VenueError::Log { path: config.log_folder.clone(), source })?;
    Ok(core.report())
}

fn listen(port: u16) -> Result<TcpListener, VenueError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).map_err(|source| VenueError::Listen { address, source })
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr, VenueError> {
    listener
        .local_addr()
        .map_err(|source| VenueError::Listen { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), source })
}

fn serve(core: &mut VenueCore, inputs: &Receiver<Input>, stop: impl Fn() -> bool) -> io::Result<()> {
    let mut io = Sockets::default();
    let mut pinged = Instant::now();
    while !stop() {
        let wall = WallClock.wall();
        core.on_time(wall, &mut io);
        if pinged.elapsed() >= PING_EVERY {
            pinged = Instant::now();
            io.ping_all();
        }
        io.flush();
        core.flush_log()?;
        let due = core.next_deadline().map_or(i64::MAX, |due| due.since(WallClock.wall()).0);
        let nap = Duration::from_nanos(due.clamp(0, NAP.as_nanos() as i64) as u64);
        match inputs.recv_timeout(nap) {
            Ok(input) => {
                take(core, input, &mut io);
                for input in inputs.try_iter().take(BATCH) {
                    take(core, input, &mut io);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    core.logout(WallClock.wall(), &mut io);
    io.close_all();
    core.flush_log()
}

fn take(core: &mut VenueCore, input: Input, io: &mut Sockets) {
    let wall = WallClock.wall();
    match input {
        Input::Http { target, answer } => {
            // The client may have gone meanwhile.
            let _ = answer.send(core.http(&target, wall));
        }
        Input::DataOpen { conn, path, stream } => {
            io.data.insert(conn, DataConn { stream, out: Vec::new() });
            if !core.open_data(conn, &path, wall) {
                io.close_data(conn);
            }
        }
        Input::DataFrame { conn, frame } => match frame {
            ClientFrame::Text(text) => core.on_data_text(conn, &text, wall, io),
            ClientFrame::Ping(payload) => io.frame(conn, ws::PONG, &payload),
            ClientFrame::Close => {
                io.frame(conn, ws::CLOSE, &[]);
                io.flush();
                io.close_data(conn);
                core.data_closed(conn, wall);
            }
            ClientFrame::Other => {}
        },
        Input::DataClosed { conn } => {
            io.close_data(conn);
            core.data_closed(conn, wall);
        }
        Input::FixOpen { conn, stream } => {
            if io.fix.is_some() {
                // One session, one connection: a second one is closed without a word.
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            io.fix = Some((conn, stream));
            core.fix_connected(wall, io);
        }
        Input::FixBytes { conn, bytes } => {
            if io.fix.as_ref().is_some_and(|(known, _)| *known == conn) {
                core.fix_received(&bytes, wall, io);
            }
        }
        Input::FixClosed { conn } => {
            if io.fix.as_ref().is_some_and(|(known, _)| *known == conn) {
                io.fix = None;
                core.fix_disconnected(wall, io);
            }
        }
    }
}

struct DataConn {
    stream: TcpStream,
    out: Vec<u8>,
}

/// The writing halves of all connections.
#[derive(Default)]
struct Sockets {
    data: BTreeMap<ConnId, DataConn>,
    fix: Option<(ConnId, TcpStream)>,
}

impl Sockets {
    fn frame(&mut self, conn: ConnId, opcode: u8, payload: &[u8]) {
        if let Some(conn) = self.data.get_mut(&conn) {
            ws::write_frame(&mut conn.out, opcode, payload);
        }
    }

    fn ping_all(&mut self) {
        for conn in self.data.values_mut() {
            ws::write_frame(&mut conn.out, ws::PING, b"");
        }
    }

    /// Writes what has gathered; the reader threads of connections that fail report their end.
    fn flush(&mut self) {
        for conn in self.data.values_mut() {
            if !conn.out.is_empty() {
                if conn.stream.write_all(&conn.out).is_err() {
                    let _ = conn.stream.shutdown(Shutdown::Both);
                }
                conn.out.clear();
            }
        }
    }

    fn close_all(&mut self) {
        self.flush();
        for conn in self.data.values() {
            let _ = conn.stream.shutdown(Shutdown::Both);
        }
        self.close_fix();
    }
}

impl VenueIo for Sockets {
    fn data(&mut self, conn: ConnId, text: &[u8]) {
        self.frame(conn, ws::TEXT, text);
    }

    fn close_data(&mut self, conn: ConnId) {
        self.flush();
        if let Some(conn) = self.data.remove(&conn) {
            let _ = conn.stream.shutdown(Shutdown::Both);
        }
    }

    fn fix(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        let Some((_, stream)) = &mut self.fix else { return Err(SendError::Closed) };
        if stream.write_all(bytes).is_err() {
            let _ = stream.shutdown(Shutdown::Both);
            return Err(SendError::Closed);
        }
        Ok(WallClock.wall())
    }

    fn close_fix(&mut self) {
        // The reader thread sees the end and reports it; until then the connection counts as taken.
        if let Some((_, stream)) = &self.fix {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Accepts connections until the venue's thread is gone; each gets a thread of its own.
fn accept(
    listener: TcpListener,
    inputs: Sender<Input>,
    serve: fn(ConnId, TcpStream, &Sender<Input>) -> Option<()>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for (conn, stream) in (1..).zip(listener.incoming()) {
            let Ok(stream) = stream else { continue };
            let inputs = inputs.clone();
            // A message without effect tells whether the venue's thread is still there.
            if inputs.send(Input::FixClosed { conn: 0 }).is_err() {
                return;
            }
            thread::spawn(move || serve(conn, stream, &inputs));
        }
    })
}

fn prepare(stream: &TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SEND_TIMEOUT))?;
    stream.try_clone()
}

fn serve_fix(conn: ConnId, mut stream: TcpStream, inputs: &Sender<Input>) -> Option<()> {
    let writer = prepare(&stream).ok()?;
    inputs.send(Input::FixOpen { conn, stream: writer }).ok()?;
    let mut buf = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => break,
            Ok(len) => inputs.send(Input::FixBytes { conn, bytes: buf[..len].to_vec() }).ok()?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    inputs.send(Input::FixClosed { conn }).ok()
}

/// One HTTP request per connection, or a WebSocket for as long as it lives.
fn serve_http(conn: ConnId, mut stream: TcpStream, inputs: &Sender<Input>) -> Option<()> {
    let mut writer = prepare(&stream).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut bytes = Vec::new();
    let mut buf = vec![0; 16 * 1024];
    let request = loop {
        let len = stream.read(&mut buf).ok().filter(|&len| len > 0)?;
        bytes.extend_from_slice(&buf[..len]);
        match read_request(&bytes) {
            Ok(Some(request)) => break request,
            Ok(None) if bytes.len() < REQUEST_LEN_MAX => {}
            _ => {
                let answer = HttpAnswer { status: 400, body: r#"{"code":-1,"msg":"bad request"}"#.into() };
                return write_answer(&mut writer, &answer).ok();
            }
        }
    };
    let Some(key) = request.websocket_key else {
        let (answer, answered) = mpsc::channel();
        inputs.send(Input::Http { target: request.target, answer }).ok()?;
        return write_answer(&mut writer, &answered.recv().ok()?).ok();
    };
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    writer.write_all(head.as_bytes()).ok()?;
    stream.set_read_timeout(None).ok()?;
    inputs.send(Input::DataOpen { conn, path: request.target, stream: writer }).ok()?;
    let mut frames = FrameReader::default();
    frames.push(&bytes[request.len..]);
    read_frames(conn, stream, &mut frames, &mut buf, inputs);
    inputs.send(Input::DataClosed { conn }).ok()
}

/// Passes on a client's frames until it closes or breaks the protocol.
fn read_frames(conn: ConnId, mut stream: TcpStream, frames: &mut FrameReader, buf: &mut [u8], inputs: &Sender<Input>) {
    loop {
        loop {
            match frames.next() {
                Ok(Some(frame)) => {
                    if inputs.send(Input::DataFrame { conn, frame }).is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        match stream.read(buf) {
            Ok(0) => return,
            Ok(len) => frames.push(&buf[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

struct Request {
    target: String,
    websocket_key: Option<String>,
    /// Bytes of the request's head.
    len: usize,
}

/// Reads the head of a GET request; `None` while it is not whole.
fn read_request(bytes: &[u8]) -> Result<Option<Request>, ()> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(()),
    };
    if request.method != Some("GET") {
        return Err(());
    }
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| core::str::from_utf8(header.value).ok())
    };
    let upgrade = header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    let websocket_key = if upgrade { Some(header("sec-websocket-key").ok_or(())?.to_owned()) } else { None };
    Ok(Some(Request { target: request.path.ok_or(())?.to_owned(), websocket_key, len }))
}

fn write_answer(stream: &mut TcpStream, answer: &HttpAnswer) -> io::Result<()> {
    let reason = match answer.status {
        200 => "OK",
        404 => "Not Found",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    let head = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(answer.body.as_bytes())
}
