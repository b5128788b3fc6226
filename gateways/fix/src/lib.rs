//! FIX 4.4 order connectivity: wire, session, store and order gateway, each a machine fed with bytes and time.
//!
//!   socket bytes ──▶ framing ──▶ Index/Message ──▶ Session ──▶ OrderGateway ──▶ frames for the core
//!   commands of the core ──▶ OrderGateway ──▶ Writer ──▶ Store ──▶ socket bytes
#![forbid(unsafe_code)]

pub mod framing;
pub mod message;
pub mod number;
pub mod order;
pub mod session;
pub mod stamp;
pub mod store;
pub mod tag;
pub mod writer;

pub use message::{Field, Garbled, Header, Index, Message, SOH, checksum};
pub use order::{Fate, InboundTrail, OrderGateway, OrderGatewayConfig};
pub use session::{Application, Credentials, Inbound, Role, Session, SessionConfig, Verdict, Wire};
pub use stamp::{STAMP_LEN, StampCache, parse_stamp};
pub use store::{FileStore, MemoryStore, Store, StoreError};
pub use writer::Writer;
