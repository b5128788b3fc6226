//! A byte stream to a server: TCP, or TLS over it. Opening one blocks (name lookup, connect, handshake) within a deadline;
//! reading and writing then follow the socket's mode.
use crate::{ReadStamps, SharedClock, Socket, SocketOptions, Url};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ConnectError {
    #[error("cannot find the address of `{host}`")]
    Lookup {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("`{host}` has no address")]
    NoAddress { host: String },
    #[error("cannot connect to `{authority}`")]
    Connect {
        authority: String,
        #[source]
        source: io::Error,
    },
    #[error("`{host}` is not a name that a certificate can hold")]
    ServerName { host: String },
    #[error("TLS with `{authority}` failed")]
    Tls {
        authority: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot read the certificates of `{path}`; it must be a PEM file")]
    CaFile {
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("`{path}` holds no certificate that can be trusted")]
    CaEmpty { path: PathBuf },
    #[error("TLS cannot be set up")]
    TlsSetup(#[source] rustls::Error),
    #[error("no answer from `{authority}` within {timeout_ms} ms")]
    Timeout { authority: String, timeout_ms: u64 },
}

/// Whom a TLS client trusts. Cheap to clone; sessions resume among clones.
#[derive(Clone)]
pub struct TlsTrust(Arc<ClientConfig>);

impl TlsTrust {
    /// Mozilla's roots, or only the certificates of `ca_file` where one is given (a test venue, a private network).
    pub fn new(ca_file: Option<&Path>) -> Result<Self, ConnectError> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let fail = |source| ConnectError::CaFile { path: path.to_owned(), source };
                for certificate in CertificateDer::pem_file_iter(path).map_err(fail)? {
                    roots.add_parsable_certificates([certificate.map_err(fail)?]);
                }
                if roots.is_empty() {
                    return Err(ConnectError::CaEmpty { path: path.to_owned() });
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(ConnectError::TlsSetup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

/// What opening a stream needs beside the address.
#[derive(Clone)]
pub struct Connector {
    pub trust: TlsTrust,
    pub options: SocketOptions,
    pub clock: SharedClock,
    /// For the whole of connect and handshake. Name lookup is the system's and keeps its own limit.
    pub timeout: Duration,
}

/// A connected stream.
pub enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Connector {
    /// Connects, and shakes hands where the address asks for TLS. Blocks the calling thread; the stream that comes back is
    /// blocking with `timeout` on reads and writes.
    pub fn open(&self, url: &Url) -> Result<Stream, ConnectError> {
        let deadline = Instant::now() + self.timeout;
        let timed_out = || ConnectError::Timeout {
            authority: url.authority(),
            timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let tcp = self.tcp(url, deadline)?.ok_or_else(timed_out)?;
        let refused = |source| ConnectError::Connect { authority: url.authority(), source };
        tcp.set_read_timeout(Some(self.timeout)).map_err(refused)?;
        tcp.set_write_timeout(Some(self.timeout)).map_err(refused)?;
        let mut socket = Socket::new(tcp, self.options, self.clock.clone()).map_err(refused)?;
        if !url.tls {
            return Ok(Stream::Plain(socket));
        }
        let name =
            ServerName::try_from(url.host.clone()).map_err(|_| ConnectError::ServerName { host: url.host.clone() })?;
        let mut tls = ClientConnection::new(self.trust.0.clone(), name).map_err(ConnectError::TlsSetup)?;
        while tls.is_handshaking() {
            if Instant::now() >= deadline {
                return Err(timed_out());
            }
            match tls.complete_io(&mut socket) {
                Ok(_) => {}
                Err(error) if is_wait(&error) => return Err(timed_out()),
                Err(source) => return Err(ConnectError::Tls { authority: url.authority(), source }),
            }
        }
        Ok(Stream::Tls(Box::new(StreamOwned::new(tls, socket))))
    }

    /// Tries every address of the host until the deadline; `None` when it passed.
    fn tcp(&self, url: &Url, deadline: Instant) -> Result<Option<TcpStream>, ConnectError> {
        let addresses = (url.host.as_str(), url.port)
            .to_socket_addrs()
            .map_err(|source| ConnectError::Lookup { host: url.host.clone(), source })?;
        let mut last = None;
        for address in addresses {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(tcp) => return Ok(Some(tcp)),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            Some(source) => Err(ConnectError::Connect { authority: url.authority(), source }),
            None => Err(ConnectError::NoAddress { host: url.host.clone() }),
        }
    }
}

impl Stream {
    /// Switches between waiting and `WouldBlock`; a blocking stream keeps its time limits.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket().tcp().set_nonblocking(nonblocking)
    }

    /// Stamps of the newest read from the socket. Under TLS they are those of the newest bytes of ciphertext.
    #[inline]
    pub fn stamps(&self) -> ReadStamps {
        self.socket().stamps()
    }

    #[inline]
    pub fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// Nothing to read yet: how a nonblocking socket says it, and how a blocking one says that its time limit passed.
#[inline]
pub(crate) fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
