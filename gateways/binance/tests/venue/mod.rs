//! A venue in miniature for the shell's tests: real sockets, plain or TLS, WebSocket streams and REST snapshots of one
//! chain of depth messages, with faults at named messages.
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Bytes, Message};

/// What goes wrong just before a depth message is sent, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The message is left out.
    Lose,
    /// Something that is not JSON goes out before it.
    Garbage,
    /// The connection is cut without a word.
    Cut,
    /// A close frame, as at the end of the venue's 24 hours.
    Close,
    /// A ping goes out before it.
    Ping,
    /// The REST side answers the next requests with an error.
    RestFails(u64),
    /// Nothing is sent for this long, milliseconds.
    Silence(u64),
}

pub struct Venue {
    pub ws_url: String,
    pub rest_url: String,
    pub ca_file: Option<PathBuf>,
    shared: Arc<Shared>,
}

struct Shared {
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: AtomicBool,
    faults: Vec<(u64, Fault)>,
    /// Number of the last depth message of the chain, whether it was sent or lost.
    newest: AtomicU64,
    rest_failures: AtomicU64,
    pongs: AtomicU64,
    urls: Mutex<Vec<String>>,
}

impl Venue {
    pub fn start(tls: bool, faults: &[(u64, Fault)]) -> Self {
        let (config, ca_file) = if tls { certificates() } else { (None, None) };
        let shared = Arc::new(Shared {
            tls: config,
            stop: AtomicBool::new(false),
            faults: faults.to_vec(),
            newest: AtomicU64::new(0),
            rest_failures: AtomicU64::new(0),
            pongs: AtomicU64::new(0),
            urls: Mutex::new(Vec::new()),
        });
        let ws_port = serve(&shared, Shared::stream);
        let rest_port = serve(&shared, Shared::rest);
        let s = if tls { "s" } else { "" };
        Self {
            ws_url: format!("ws{s}://localhost:{ws_port}/stream"),
            rest_url: format!("http{s}://localhost:{rest_port}/fapi/v1/depth"),
            ca_file,
            shared,
        }
    }

    pub fn pongs(&self) -> u64 {
        self.shared.pongs.load(Ordering::Relaxed)
    }

    /// Paths asked for so far.
    pub fn urls(&self) -> Vec<String> {
        self.shared.urls.lock().unwrap().clone()
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// The bid quantity after message `n`, which tells a reader whether its book is the venue's.
pub fn qty_after(n: u64) -> i64 {
    (n % 97 + 1) as i64
}

fn serve(shared: &Arc<Shared>, handle: fn(&Shared, Box<dyn Duplex>)) -> u16 {
    let listener = TcpListener::bind("localhost:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        while !shared.stop.load(Ordering::Relaxed) {
            let Ok((tcp, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(2));
                continue;
            };
            tcp.set_nonblocking(false).unwrap();
            tcp.set_nodelay(true).unwrap();
            let shared = Arc::clone(&shared);
            thread::spawn(move || match &shared.tls {
                None => handle(&shared, Box::new(tcp)),
                Some(config) => {
                    let tls = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
                    handle(&shared, Box::new(rustls::StreamOwned::new(tls, tcp)));
                }
            });
        }
    });
    port
}

trait Duplex: Read + Write + Send {
    fn tcp(&self) -> &TcpStream;
}
impl Duplex for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}
impl Duplex for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

impl Shared {
    // The handshake's error type is the library's and large.
    #[allow(clippy::result_large_err)]
    fn stream(&self, stream: Box<dyn Duplex>) {
        let mut path = String::new();
        let note = |request: &Request, response: Response| {
            path = request.uri().to_string();
            Ok(response)
        };
        let Ok(mut ws) = tungstenite::accept_hdr(stream, note) else { return };
        self.urls.lock().unwrap().push(path.clone());
        let depth = path.contains("@depth");
        // Everything that the client says is read between messages.
        ws.get_ref().tcp().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut quote = 0;
        while !self.stop.load(Ordering::Relaxed) {
            if let Ok(Message::Pong(_)) = ws.read() {
                self.pongs.fetch_add(1, Ordering::Relaxed);
            }
            let text = if depth {
                let n = self.newest.load(Ordering::Relaxed) + 1;
                let fault = self.faults.iter().find(|(at, _)| *at == n).map(|(_, fault)| *fault);
                self.newest.store(n, Ordering::Relaxed);
                match fault {
                    None => {}
                    Some(Fault::Lose) => continue,
                    Some(Fault::Garbage) => drop(ws.send(Message::text("{\"e\":\"depthUpdate\",\"U\":"))),
                    Some(Fault::Cut) => return drop(ws.get_ref().tcp().shutdown(std::net::Shutdown::Both)),
                    Some(Fault::Close) => {
                        let _ = ws.close(None);
                        thread::sleep(Duration::from_millis(20));
                        return;
                    }
                    Some(Fault::Ping) => drop(ws.send(Message::Ping(Bytes::from_static(b"x")))),
                    Some(Fault::RestFails(count)) => self.rest_failures.store(count, Ordering::Relaxed),
                    Some(Fault::Silence(ms)) => thread::sleep(Duration::from_millis(ms)),
                }
                format!(
                    r#"{{"stream":"btcusdt@depth@0ms","data":{{"e":"depthUpdate","E":{n},"T":{n},"s":"BTCUSDT","U":{},"u":{},"pu":{},"b":[["100.0","0.{:03}"]],"a":[["100.1","1.000"]]}}}}"#,
                    n * 10 - 5,
                    n * 10,
                    n * 10 - 10,
                    qty_after(n)
                )
            } else {
                quote += 1;
                format!(
                    r#"{{"stream":"btcusdt@bookTicker","data":{{"e":"bookTicker","u":{quote},"s":"BTCUSDT","b":"100.0","B":"1.000","a":"100.1","A":"1.000","T":1,"E":1}}}}"#
                )
            };
            if ws.send(Message::text(text)).is_err() {
                return;
            }
        }
    }

    fn rest(&self, mut stream: Box<dyn Duplex>) {
        let mut head = Vec::new();
        let mut chunk = [0; 1024];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut chunk) {
                Ok(len) if len > 0 => head.extend_from_slice(&chunk[..len]),
                _ => return,
            }
        }
        let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or("").to_owned();
        self.urls.lock().unwrap().push(path);
        let left = self.rest_failures.load(Ordering::Relaxed);
        let (status, body) = if left > 0 {
            self.rest_failures.store(left - 1, Ordering::Relaxed);
            ("429 Too Many Requests", r#"{"code":-1003,"msg":"Too many requests"}"#.to_owned())
        } else {
            // A few messages behind the stream, as the venue's REST side is.
            let n = self.newest.load(Ordering::Relaxed).saturating_sub(2);
            let qty = qty_after(n);
            let id = n * 10;
            let body = format!(
                r#"{{"lastUpdateId":{id},"E":1,"T":1,"bids":[["100.0","0.{qty:03}"]],"asks":[["100.1","1.000"]]}}"#
            );
            ("200 OK", body)
        };
        let _ =
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let _ = stream.flush();
    }
}

/// A certificate authority of this test and a certificate for `localhost` signed by it.
fn certificates() -> (Option<Arc<rustls::ServerConfig>>, Option<PathBuf>) {
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "tercel test authority");
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &issuer).unwrap();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("tercel-ca-{}-{}.pem", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, ca_certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    (Some(Arc::new(config)), Some(path))
}
