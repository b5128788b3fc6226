//! A WebSocket client over `Stream`. Framing, masking, fragments, ping answers and close are tungstenite's; this file adds
//! the stamps and keeps the socket from ever blocking its thread.
//!
//! Thread      `WsClient::open` blocks and belongs on a thread of its own; `poll` never blocks.
//! Memory      one read buffer; a text message is a counted slice of it, not a copy.
use crate::{ConnectError, Connector, ReadStamps, Stream, Url};
use std::io;
use std::time::Instant;
use thiserror::Error;
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Bytes, Message, WebSocket};

#[derive(Debug, Error)]
pub enum WsError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("`{authority}` refused the WebSocket")]
    Handshake {
        authority: String,
        #[source]
        source: Box<tungstenite::Error>,
    },
    #[error("`{authority}` did not answer the WebSocket handshake in time")]
    Timeout { authority: String },
    #[error("the socket cannot be made nonblocking")]
    Socket(#[from] io::Error),
    #[error("closed by the server: code {code}, {reason}")]
    Closed { code: u16, reason: String },
    #[error("the WebSocket failed")]
    Failed(#[source] Box<tungstenite::Error>),
}

/// One thing that happened on the socket.
#[derive(Debug)]
pub enum WsEvent {
    /// A whole text or binary message, and when its last bytes were read.
    Message(Bytes, ReadStamps),
    /// A ping (already answered) or pong: the peer lives.
    Alive(ReadStamps),
}

pub struct WsClient {
    socket: WebSocket<Stream>,
}

impl WsClient {
    /// Connects and upgrades. Blocks for at most twice the connector's timeout.
    pub fn open(connector: &Connector, url: &Url, message_len_max: usize) -> Result<Self, WsError> {
        let stream = connector.open(url)?;
        let authority = url.authority();
        let config = WebSocketConfig::default()
            .read_buffer_size(256 * 1024)
            .write_buffer_size(0)
            .max_message_size(Some(message_len_max))
            .max_frame_size(Some(message_len_max));
        let deadline = Instant::now() + connector.timeout;
        let mut outcome = tungstenite::client::client_with_config(url.to_string(), stream, Some(config));
        let socket = loop {
            match outcome {
                Ok((socket, _)) => break socket,
                Err(HandshakeError::Failure(source)) => {
                    return Err(WsError::Handshake { authority, source: Box::new(source) });
                }
                Err(HandshakeError::Interrupted(_)) if Instant::now() >= deadline => {
                    return Err(WsError::Timeout { authority });
                }
                Err(HandshakeError::Interrupted(half)) => outcome = half.handshake(),
            }
        };
        socket.get_ref().set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// The next event, `None` when the socket has nothing. After an error the client is of no further use.
    #[inline]
    pub fn poll(&mut self) -> Result<Option<WsEvent>, WsError> {
        let message = match self.socket.read() {
            Ok(message) => message,
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(WsError::Failed(Box::new(error))),
        };
        let stamps = self.socket.get_ref().stamps();
        match message {
            Message::Text(text) => Ok(Some(WsEvent::Message(text.into(), stamps))),
            Message::Binary(bytes) => Ok(Some(WsEvent::Message(bytes, stamps))),
            Message::Ping(_) | Message::Pong(_) => {
                self.flush()?;
                Ok(Some(WsEvent::Alive(stamps)))
            }
            Message::Close(frame) => {
                // The answer to the close is best effort: the server has already said that it is over.
                let _ = self.flush();
                let (code, reason) = frame.map_or((1005, String::new()), |f| (f.code.into(), f.reason.to_string()));
                Err(WsError::Closed { code, reason })
            }
            Message::Frame(_) => Ok(None),
        }
    }

    /// Sends a ping, so that a silent peer has to prove that it lives.
    pub fn ping(&mut self) -> Result<(), WsError> {
        self.sent(|socket| socket.send(Message::Ping(Bytes::new())))
    }

    /// Says goodbye; does not wait for the answer.
    pub fn close(&mut self) {
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }

    fn flush(&mut self) -> Result<(), WsError> {
        self.sent(WebSocket::flush)
    }

    fn sent(
        &mut self,
        write: impl FnOnce(&mut WebSocket<Stream>) -> Result<(), tungstenite::Error>,
    ) -> Result<(), WsError> {
        match write(&mut self.socket) {
            // What the kernel did not take stays queued and leaves with the next flush.
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(WsError::Failed(Box::new(error))),
            Ok(()) => Ok(()),
        }
    }
}
