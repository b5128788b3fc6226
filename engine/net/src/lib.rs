//! Sockets with time stamps, and the contract between a gateway's machine and the shell that owns its sockets.

mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod gateway;
pub mod http;
mod marks;
mod order_shell;
mod socket;
mod stream;
mod url;
mod ws;

pub use clock::{EdgeClock, ScaledClock, SharedClock, WallClock};
pub use gateway::{GatewayIo, Now, OrderMachine, Received, SendError};
pub use http::HttpError;
pub use marks::Marks;
pub use order_shell::{BackOff, OrderShell, OrderShellCounters};
pub use socket::{ReadStamps, Socket, SocketOptions};
pub use stream::{ConnectError, Connector, Stream, TlsTrust};
pub use url::{Url, UrlError};
pub use ws::{WsClient, WsError, WsEvent};
